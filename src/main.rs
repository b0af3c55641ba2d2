//! vpnscope
fn main() {}
