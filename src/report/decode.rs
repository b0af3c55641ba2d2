//! The serialised model of `decode`: every VPN-relevant frame, layer by layer.
