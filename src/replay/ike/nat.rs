//! The hashes by which IKE finds out that addresses are translated on the way.

use std::net::SocketAddr;

use sha1::{Digest as _, Sha1};
use vpnscope_dissectors::ike::Spi;
use vpnscope_dissectors::ike::v1::Hash;

/// `HASH(SPIi | SPIr | address | port)`: `NAT_DETECTION_*_IP` of IKEv2 (RFC 7296 §2.23, always
/// SHA-1) and NAT-D of IKEv1 (RFC 3947 §3.2, the hash of the chosen proposal).
///
/// `None` for a hash that is not known here.
pub(in crate::replay) fn detection(
    hash: Hash,
    initiator: Spi,
    responder: Spi,
    at: SocketAddr,
) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(34);
    text.extend(initiator.0.to_be_bytes());
    text.extend(responder.0.to_be_bytes());
    match at.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => text.extend(ip.octets()),
        std::net::IpAddr::V6(ip) => text.extend(ip.octets()),
    }
    text.extend(at.port().to_be_bytes());
    Some(match hash {
        Hash::MD5 => md5::Md5::digest(&text).to_vec(),
        Hash::SHA => Sha1::digest(&text).to_vec(),
        Hash::SHA2_256 => sha2::Sha256::digest(&text).to_vec(),
        Hash::SHA2_384 => sha2::Sha384::digest(&text).to_vec(),
        Hash::SHA2_512 => sha2::Sha512::digest(&text).to_vec(),
        _ => return None,
    })
}
