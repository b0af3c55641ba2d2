//! Certificates: the message (RFC 5246 §7.4.2, RFC 9846 §4.4.2), and what rules and reports
//! want to know of the X.509 in it (RFC 5280).

use core::fmt::Write as _;
use core::net::{Ipv4Addr, Ipv6Addr};

use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::extension::Extensions;
use super::vector::{end, opaque8, opaque16, opaque24};
use crate::error::{PResult, located, offset_within};
use crate::{Octets, ParseError, Reason};

/// A Certificate message.
#[derive(Debug, Clone, Copy)]
pub struct Certificates<'a> {
    /// Whether it has the form of TLS 1.3: a context in front, extensions with each entry.
    pub is_tls13: bool,
    /// TLS 1.3: what the request said; empty for a server.
    pub request_context: Octets<'a>,
    rest: &'a [u8],
    offset: usize,
}

/// One certificate of the message, the peer's own first.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// DER.
    pub der: Octets<'a>,
    /// TLS 1.3.
    pub extensions: Extensions<'a>,
}

impl<'a> Certificates<'a> {
    /// Reads the body. The two forms cannot be mistaken: the length of the list must meet
    /// the end of the message.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        const WHAT: &str = "TLS Certificate";
        let tls12 = located(WHAT, body, body, |i| {
            let (i, list) = opaque24(i)?;
            end(i).map(|(i, ())| (i, list))
        });
        let old = match tls12 {
            Ok((_, list)) => return Ok(Self::of(false, &[], body, list)),
            Err(error) => error,
        };
        let tls13 = located(WHAT, body, body, |i| {
            let (i, context) = opaque8(i)?;
            let (i, list) = opaque24(i)?;
            end(i).map(|(i, ())| (i, (context, list)))
        });
        match tls13 {
            Ok((_, (context, list))) => Ok(Self::of(true, context, body, list)),
            Err(_) => Err(old),
        }
    }

    fn of(is_tls13: bool, context: &'a [u8], body: &'a [u8], list: &'a [u8]) -> Self {
        Self {
            is_tls13,
            request_context: Octets(context),
            rest: list,
            offset: offset_within(body, list),
        }
    }

    /// Whether the peer sent none: the answer of a client that has no certificate.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The entries in wire order: every whole one, then at most one error.
    pub const fn entries(&self) -> Entries<'a> {
        Entries {
            is_tls13: self.is_tls13,
            rest: self.rest,
            offset: self.offset,
        }
    }
}

/// A walk over the entries of [`Certificates`].
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    is_tls13: bool,
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = core::mem::take(&mut self.rest);
        if rest.is_empty() {
            return None;
        }
        let is_tls13 = self.is_tls13;
        match located("TLS certificate", rest, rest, |i| entry(i, is_tls13)) {
            Ok((left, entry)) => {
                self.offset = self.offset.saturating_add(offset_within(rest, left));
                self.rest = left;
                Some(Ok(entry))
            }
            Err(error) => Some(Err(error.moved(self.offset))),
        }
    }
}

fn entry(i: &[u8], is_tls13: bool) -> PResult<'_, Entry<'_>> {
    let whole = i;
    let (i, der) = opaque24(i)?;
    let (i, extensions) = if is_tls13 {
        let (i, part) = opaque16(i)?;
        let extensions = Extensions::of("TLS certificate extensions", whole, part);
        (i, extensions)
    } else {
        (i, Extensions::none())
    };
    let entry = Entry {
        der: Octets(der),
        extensions,
    };
    Ok((i, entry))
}

/// What an X.509 certificate says, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's name, in the order of the certificate, `CN=gateway, O=Example`.
    pub subject: String,
    /// The issuer's name.
    pub issuer: String,
    /// Whether subject and issuer are the same name.
    pub is_self_issued: bool,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Seconds since 1970, UTC.
    pub not_before_s: i64,
    /// Seconds since 1970, UTC.
    pub not_after_s: i64,
    /// Names the certificate is for.
    pub subject_alternative_names: Vec<SubjectName>,
    /// The common names of the subject, which old clients compare where no alternative
    /// name is given.
    pub common_names: Vec<String>,
    /// The public key, for instance `RSA 2048` or `EC secp256r1`.
    pub key: String,
    /// Bits of the public key; 0 where unknown.
    pub key_bits: usize,
    /// The kind of public key.
    pub key_kind: KeyKind,
    /// OID of the signature's algorithm, dotted.
    pub signature_algorithm: String,
    /// Basic constraints say that it may sign others.
    pub is_authority: bool,
    /// The extended key usage, where given.
    pub extended_key_usage: Option<ExtendedKeyUsage>,
    /// SHA-256 of the DER, lower-case hex.
    pub sha256: String,
}

/// What may stand in a certificate as the subject's public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// RSA.
    Rsa,
    /// An elliptic curve for ECDSA.
    Ec,
    /// Ed25519 or Ed448.
    EdDsa,
    /// DSA.
    Dsa,
    /// Something else.
    Other,
}

/// A name that a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubjectName {
    /// A DNS name, perhaps with `*` as its first label.
    Dns(String),
    /// An address.
    Ip(core::net::IpAddr),
    /// An e-mail address.
    Email(String),
    /// A URI.
    Uri(String),
}

impl core::fmt::Display for SubjectName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Dns(text) | Self::Email(text) | Self::Uri(text) => f.write_str(text),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// What a key may be used for (RFC 5280 §4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a purpose of the standard"
)]
pub struct ExtendedKeyUsage {
    /// Any purpose.
    pub any: bool,
    /// A TLS server.
    pub server_auth: bool,
    /// A TLS client.
    pub client_auth: bool,
    /// `ikeIntermediate`, which old `IPsec` clients want.
    pub ike_intermediate: bool,
}

impl Certificate {
    /// Reads the DER of one certificate. Allocates: it is for handshakes, not for the walk.
    pub fn parse(der: &[u8]) -> Result<Self, ParseError> {
        let Ok((_, x509)) = X509Certificate::from_der(der) else {
            let reason = Reason::Invalid("no certificate in DER");
            return Err(ParseError::new("X.509 certificate", 0, reason));
        };
        let (key, key_bits, key_kind) = describe_key(x509.public_key());
        let mut certificate = Self {
            subject: name_text(x509.subject()),
            issuer: name_text(x509.issuer()),
            is_self_issued: x509.subject().as_raw() == x509.issuer().as_raw(),
            serial: hex(x509.raw_serial()),
            not_before_s: x509.validity().not_before.timestamp(),
            not_after_s: x509.validity().not_after.timestamp(),
            subject_alternative_names: Vec::new(),
            common_names: x509
                .subject()
                .iter_common_name()
                .filter_map(|name| name.as_str().ok().map(str::to_owned))
                .collect(),
            key,
            key_bits,
            key_kind,
            signature_algorithm: x509.signature_algorithm.algorithm.to_id_string(),
            is_authority: false,
            extended_key_usage: None,
            sha256: hex(&Sha256::digest(der)),
        };
        for extension in x509.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    certificate.subject_alternative_names = names
                        .general_names
                        .iter()
                        .filter_map(subject_name)
                        .collect();
                }
                ParsedExtension::BasicConstraints(constraints) => {
                    certificate.is_authority = constraints.ca;
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    let ike_intermediate = usage
                        .other
                        .iter()
                        .any(|oid| oid.to_id_string() == "1.3.6.1.5.5.8.2.2");
                    certificate.extended_key_usage = Some(ExtendedKeyUsage {
                        any: usage.any,
                        server_auth: usage.server_auth,
                        client_auth: usage.client_auth,
                        ike_intermediate,
                    });
                }
                _ => {}
            }
        }
        Ok(certificate)
    }

    /// Whether it is for the host `name`, which may be an address (RFC 9525 §6). A `*`
    /// stands for one whole first label. Common names count only where no alternative name
    /// is given.
    pub fn is_for(&self, name: &str) -> bool {
        if let Ok(address) = name.parse::<core::net::IpAddr>() {
            return self
                .subject_alternative_names
                .contains(&SubjectName::Ip(address))
                || (self.subject_alternative_names.is_empty()
                    && self.common_names.iter().any(|common| common == name));
        }
        let mut dns = self
            .subject_alternative_names
            .iter()
            .filter_map(|san| match san {
                SubjectName::Dns(pattern) => Some(pattern.as_str()),
                _ => None,
            })
            .peekable();
        if dns.peek().is_some() {
            return dns.any(|pattern| matches_name(pattern, name));
        }
        self.common_names
            .iter()
            .any(|pattern| matches_name(pattern, name))
    }
}

fn matches_name(pattern: &str, name: &str) -> bool {
    let pattern = pattern.trim_end_matches('.');
    let name = name.trim_end_matches('.');
    if let Some(parent) = pattern.strip_prefix("*.") {
        return name
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent));
    }
    pattern.eq_ignore_ascii_case(name)
}

fn subject_name(name: &GeneralName<'_>) -> Option<SubjectName> {
    match name {
        GeneralName::DNSName(text) => Some(SubjectName::Dns((*text).to_owned())),
        GeneralName::RFC822Name(text) => Some(SubjectName::Email((*text).to_owned())),
        GeneralName::URI(text) => Some(SubjectName::Uri((*text).to_owned())),
        GeneralName::IPAddress(octets) => match **octets {
            [a, b, c, d] => Some(SubjectName::Ip(Ipv4Addr::new(a, b, c, d).into())),
            _ => <[u8; 16]>::try_from(*octets)
                .ok()
                .map(|octets| SubjectName::Ip(Ipv6Addr::from(octets).into())),
        },
        _ => None,
    }
}

/// `CN=gateway, O=Example`; an attribute without a short name by its OID.
fn name_text(name: &x509_parser::x509::X509Name<'_>) -> String {
    let mut text = String::new();
    for attribute in name.iter_attributes() {
        if !text.is_empty() {
            text.push_str(", ");
        }
        let oid = attribute.attr_type().to_id_string();
        let value = attribute
            .as_str()
            .map_or_else(|_| format!("#{}", hex(attribute.as_slice())), str::to_owned);
        let _ = write!(text, "{}={value}", short_name(&oid));
    }
    text
}

/// Short names of attributes (RFC 4514 §3, and two that are everywhere).
fn short_name(oid: &str) -> &str {
    match oid {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => oid,
    }
}

fn describe_key(key: &SubjectPublicKeyInfo<'_>) -> (String, usize, KeyKind) {
    let curve = key
        .algorithm
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.as_oid().ok())
        .map(|oid| oid.to_id_string());
    match key.algorithm.algorithm.to_id_string().as_str() {
        "1.3.101.112" => return ("Ed25519".to_owned(), 256, KeyKind::EdDsa),
        "1.3.101.113" => return ("Ed448".to_owned(), 456, KeyKind::EdDsa),
        _ => {}
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let bits = rsa.key_size();
            (format!("RSA {bits}"), bits, KeyKind::Rsa)
        }
        Ok(PublicKey::EC(point)) => {
            let (name, bits) = curve
                .as_deref()
                .map_or(("unnamed curve", point.key_size()), curve_name);
            (format!("EC {name}"), bits, KeyKind::Ec)
        }
        Ok(PublicKey::DSA(_)) => ("DSA".to_owned(), 0, KeyKind::Dsa),
        _ => (key.algorithm.algorithm.to_id_string(), 0, KeyKind::Other),
    }
}

fn curve_name(oid: &str) -> (&str, usize) {
    match oid {
        "1.2.840.10045.3.1.7" => ("secp256r1", 256),
        "1.3.132.0.34" => ("secp384r1", 384),
        "1.3.132.0.35" => ("secp521r1", 521),
        "1.3.132.0.10" => ("secp256k1", 256),
        "1.3.132.0.33" => ("secp224r1", 224),
        "1.2.840.10045.3.1.1" => ("secp192r1", 192),
        "1.3.36.3.3.2.8.1.1.7" => ("brainpoolP256r1", 256),
        "1.3.36.3.3.2.8.1.1.11" => ("brainpoolP384r1", 384),
        "1.3.36.3.3.2.8.1.1.13" => ("brainpoolP512r1", 512),
        _ => (oid, 0),
    }
}

fn hex(octets: &[u8]) -> String {
    Octets(octets).to_string()
}
