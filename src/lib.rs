//! why a VPN connection failed
