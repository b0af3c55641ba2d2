//! Fingerprints of clients, from what their ClientHello offers and in which order.
//!
//! JA3 hashes the lists as they stand, without GREASE. JA4 sorts suites and extensions, so
//! that a client that shuffles them keeps its fingerprint.

use core::fmt::Write as _;

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::codes::{ExtensionType, Version};
use super::extension::{Body, Place};
use super::hello::ClientHello;

/// The text that JA3 hashes: version, suites, extensions, groups, point formats.
pub fn ja3_text(hello: &ClientHello<'_>) -> String {
    let mut text = hello.version.0.to_string();
    text.push(',');
    let suites = hello
        .cipher_suites
        .iter()
        .filter(|suite| !suite.is_grease());
    join(&mut text, suites.map(|suite| suite.0));
    text.push(',');
    join(&mut text, extension_types(hello).map(|ext| ext.0));
    text.push(',');
    let groups = hello.groups().unwrap_or_default();
    let groups = groups.iter().filter(|group| !group.is_grease());
    join(&mut text, groups.map(|group| group.0));
    text.push(',');
    if let Some(Body::PointFormats(formats)) = hello.extension(ExtensionType::EC_POINT_FORMATS) {
        join(&mut text, formats.iter().map(|format| u16::from(*format)));
    }
    text
}

/// JA3: MD5 of [`ja3_text`], 32 hex digits.
pub fn ja3(hello: &ClientHello<'_>) -> String {
    hex(&Md5::digest(ja3_text(hello)))
}

/// What carried the ClientHello: JA4's first letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// TLS over TCP: `t`.
    Tcp,
    /// DTLS: `d`.
    Dtls,
    /// QUIC: `q`.
    Quic,
}

/// JA4, for instance `t13d1516h2_8daaf6152771_e5627efa2ab1`.
pub fn ja4(hello: &ClientHello<'_>, carrier: Carrier) -> String {
    let mut suites: Vec<u16> = hello
        .cipher_suites
        .iter()
        .filter(|suite| !suite.is_grease())
        .map(|suite| suite.0)
        .collect();
    suites.sort_unstable();
    let mut types: Vec<u16> = extension_types(hello).map(|ext| ext.0).collect();
    let extension_count = types.len();
    types.retain(|ext| {
        *ext != ExtensionType::SERVER_NAME.0
            && *ext != ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION.0
    });
    types.sort_unstable();

    let mut text = String::new();
    text.push(match carrier {
        Carrier::Tcp => 't',
        Carrier::Dtls => 'd',
        Carrier::Quic => 'q',
    });
    text.push_str(version_letters(hello.newest_version()));
    let has_name = extension_types(hello).any(|ext| ext == ExtensionType::SERVER_NAME);
    text.push(if has_name { 'd' } else { 'i' });
    let _ = write!(
        text,
        "{:02}{:02}",
        suites.len().min(99),
        extension_count.min(99)
    );
    let (first, last) = protocol_letters(hello);
    text.push(first);
    text.push(last);
    text.push('_');
    text.push_str(&short_hash(&hex_list(&suites)));
    text.push('_');
    let mut tail = hex_list(&types);
    if let Some(schemes) = hello.signature_algorithms() {
        let schemes: Vec<u16> = schemes
            .iter()
            .filter(|scheme| !scheme.is_grease())
            .map(|scheme| scheme.0)
            .collect();
        if !schemes.is_empty() {
            tail.push('_');
            tail.push_str(&hex_list(&schemes));
        }
    }
    text.push_str(&if types.is_empty() {
        NO_HASH.to_owned()
    } else {
        short_hash(&tail)
    });
    text
}

const NO_HASH: &str = "000000000000";

fn extension_types<'a>(hello: &ClientHello<'a>) -> impl Iterator<Item = ExtensionType> + use<'a> {
    hello
        .extensions
        .into_iter()
        .flatten()
        .map(|extension| extension.extension_type)
        .filter(|ext| !ext.is_grease())
}

fn join(text: &mut String, values: impl Iterator<Item = u16>) {
    for (index, value) in values.enumerate() {
        if index > 0 {
            text.push('-');
        }
        let _ = write!(text, "{value}");
    }
}

fn hex_list(values: &[u16]) -> String {
    let mut text = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let _ = write!(text, "{value:04x}");
    }
    text
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// The first twelve hex digits of SHA-256; zeros for no text.
fn short_hash(text: &str) -> String {
    if text.is_empty() {
        return NO_HASH.to_owned();
    }
    let mut digits = hex(&Sha256::digest(text));
    digits.truncate(12);
    digits
}

const fn version_letters(version: Version) -> &'static str {
    match version {
        Version::TLS_1_3 => "13",
        Version::TLS_1_2 => "12",
        Version::TLS_1_1 => "11",
        Version::TLS_1_0 => "10",
        Version::SSL_3_0 => "s3",
        Version::SSL_2_0 => "s2",
        Version::DTLS_1_0 => "d1",
        Version::DTLS_1_2 => "d2",
        Version::DTLS_1_3 => "d3",
        _ => "00",
    }
}

/// First and last character of the first protocol offered; where one of them is no letter
/// or digit, those of its hex form. What starts beyond ASCII is `99`: the text of the
/// method says hex there too, but the values published with it have this.
fn protocol_letters(hello: &ClientHello<'_>) -> (char, char) {
    let protocol = hello
        .extensions
        .into_iter()
        .flatten()
        .find(|ext| ext.extension_type == ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION)
        .and_then(|extension| extension.read(Place::ClientHello).ok())
        .and_then(|body| match body {
            Body::Protocols(mut protocols) => protocols.next()?.ok(),
            _ => None,
        });
    let Some((first, last)) = protocol.and_then(|name| Some((*name.0.first()?, *name.0.last()?)))
    else {
        return ('0', '0');
    };
    if !first.is_ascii() {
        return ('9', '9');
    }
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return (char::from(first), char::from(last));
    }
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    (digit(first >> 4), digit(last & 0x0f))
}
