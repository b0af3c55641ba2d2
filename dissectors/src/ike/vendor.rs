//! Vendor ids of IKEv1 and IKEv2: who says what about itself.
