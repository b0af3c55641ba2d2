//! Vendor IDs of IKEv1 and IKEv2: whose a payload is, and what it says its sender can do.
//!
//! What comes in: the body of a vendor ID payload. What goes out: [`VendorMatch`], with how many
//! of its octets were recognised and what the others say. What this does not do: it does not
//! judge; a vendor ID is a claim that anybody may copy.
//!
//! Many vendor IDs are hashes of a text, cut or followed by a version. Where the text is known the
//! table holds it, and a test computes the hash; the others were seen on the wire. Some makers
//! build on another's daemon and send its vendor ID: [`Family::also`].

use core::fmt;

use super::Spi;
use crate::Octets;

mod family;
mod table;

pub use family::Family;

/// A row of the table.
struct Entry {
    octets: &'static [u8],
    rule: Rule,
    family: Family,
    name: &'static str,
    source: Source,
    tail: Tail,
    capability: Option<Capability>,
}

/// How the octets of a row compare with a vendor ID.
#[derive(Clone, Copy)]
enum Rule {
    /// They are all of it.
    Whole,
    /// They are its beginning.
    Prefix,
    /// They are its beginning, and it has this many octets.
    PrefixOf(usize),
}

/// What follows the octets of a row.
#[derive(Clone, Copy)]
enum Tail {
    /// Nothing that would be known.
    None,
    /// Two octets: major and minor version.
    Version,
    /// Two octets: the second holds release and maintenance release.
    Release,
    /// Four octets: which Windows.
    Windows,
    /// Four octets: what the sender speaks.
    KeyModules,
    /// Four octets: the lower two are a build number.
    Build,
    /// Five words: product, version, time, reserved, features.
    CheckPoint,
    /// Two words: platform and release.
    ScreenOs,
    /// Four octets: flags.
    Flags,
    /// Text.
    Text,
    /// Text in base 64.
    Base64,
    /// Something.
    Octets,
}

/// How the octets of a vendor ID are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// They begin the MD5 hash of this text.
    Md5(&'static str),
    /// They are the SHA-256 hash of this text.
    Sha256(&'static str),
    /// They are text.
    Text,
    /// They were seen on the wire; what they are made from is not known.
    Seen,
}

/// What the sender of a vendor ID says that it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// NAT traversal, by this document.
    NatTraversal(NatDraft),
    /// Dead peer detection (RFC 3706).
    DeadPeerDetection,
    /// XAUTH.
    Xauth,
    /// Cisco's fragmentation of IKE messages.
    Fragmentation,
    /// Cisco's Unity protocol: mode config with its own attributes.
    Unity,
    /// Authentication by GSS-API.
    GssApi,
    /// Microsoft's: the first message of a new start.
    InitialContact,
}

/// A document that describes NAT traversal. The drafts differ in payload types, in encapsulation
/// modes and in whether ports float to 4500 (from draft 02 on).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatDraft {
    /// A private proposal, or one that does not tell its number.
    Other,
    /// draft-ietf-ipsec-nat-t-ike of this number.
    Ietf(u8),
    /// RFC 3947.
    Rfc3947,
}

impl NatDraft {
    /// Whether the peers move to port 4500.
    pub const fn floats(self) -> bool {
        match self {
            Self::Ietf(number) => number >= 2,
            Self::Rfc3947 => true,
            Self::Other => false,
        }
    }
}

/// A vendor ID that is known.
///
/// `Display` writes the name and what the rest of the octets say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VendorMatch<'a> {
    /// What it is called.
    pub name: &'static str,
    /// Whose it is.
    pub family: Family,
    /// How many of its octets were recognised.
    pub matched: usize,
    /// How those are known.
    pub source: Source,
    /// What it says its sender can do, where it does.
    pub capability: Option<Capability>,
    /// What the other octets say.
    pub detail: Detail<'a>,
}

/// What follows the constant part of a vendor ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detail<'a> {
    /// Nothing.
    None,
    /// Major and minor version.
    Version(u8, u8),
    /// Major version, release, maintenance release.
    Release(u8, u8, u8),
    /// Which Windows; [`Detail::windows_name`] says it in words.
    Windows(u32),
    /// Which key modules Windows means: 0 IKE, 1 `AuthIP`, 2 IKEv2.
    KeyModules(u32),
    /// `FortiOS`' major version and build.
    Build(u16, u16),
    /// Check Point: 1 gateway or 2 client; version; seconds since 1970, mostly 0; features.
    CheckPoint {
        /// 1 gateway, 2 client.
        product: u32,
        /// An internal number.
        version: u32,
        /// Seconds since 1970; 0 where it is not told.
        time: u32,
        /// Flags.
        features: u32,
    },
    /// `ScreenOS`: platform, and release as two octets.
    ScreenOs(u32, u8, u8),
    /// Flags.
    Flags(u32),
    /// Text.
    Text(&'a str),
    /// Text in base 64.
    Base64(Octets<'a>),
    /// Octets whose meaning is not known, or that do not have the expected form.
    Octets(Octets<'a>),
}

impl Detail<'_> {
    /// The Windows that sends this number after `MS NT5 ISAKMPOAKLEY` (MS-IKEE §1.7).
    pub const fn windows_name(number: u32) -> Option<&'static str> {
        Some(match number {
            2 => "Windows 2000",
            3 => "Windows XP",
            4 => "Windows Server 2003",
            5 => "Windows Vista",
            6 => "Windows Server 2008",
            7 => "Windows 7",
            8 => "Windows Server 2008 R2",
            9 => "Windows 8, Server 2012 or later",
            _ => return None,
        })
    }
}

/// Whose vendor ID `octets` are; `None` where the table does not know. Of several rows that fit the
/// longest counts.
pub fn lookup(octets: &[u8]) -> Option<VendorMatch<'_>> {
    // The first octet decides against nearly all of the table.
    let first = octets.first();
    table::TABLE
        .iter()
        .filter(|entry| entry.octets.first() == first)
        .filter_map(|entry| entry.matches(octets))
        .max_by_key(|found| found.matched)
}

/// As [`lookup`], and recognises what Cisco IOS and the Cisco VPN client send in main mode: 16
/// octets that look random, the second four being the lower half of the sender's own cookie with
/// one bit changed. `sender` is that cookie.
pub fn lookup_from(octets: &[u8], sender: Spi) -> Option<VendorMatch<'_>> {
    lookup(octets).or_else(|| cisco_cookie(octets, sender))
}

fn cisco_cookie(octets: &[u8], sender: Spi) -> Option<VendorMatch<'_>> {
    const CHANGED: u64 = 0x0001_0000;
    let ([first, _], []) = octets.as_chunks::<8>() else {
        return None;
    };
    let differing = (u64::from_be_bytes(*first) ^ sender.0) & 0xffff_ffff;
    (!sender.is_zero() && differing == CHANGED).then_some(VendorMatch {
        name: "Cisco IOS or VPN client",
        family: Family::Cisco,
        matched: 4,
        source: Source::Seen,
        capability: None,
        detail: Detail::None,
    })
}

impl Entry {
    fn matches<'a>(&self, octets: &'a [u8]) -> Option<VendorMatch<'a>> {
        let rest = octets.strip_prefix(self.octets)?;
        let fits = match self.rule {
            Rule::Whole => rest.is_empty(),
            Rule::Prefix => true,
            Rule::PrefixOf(len) => octets.len() == len,
        };
        fits.then(|| VendorMatch {
            name: self.name,
            family: self.family,
            matched: self.octets.len(),
            source: self.source,
            capability: self.capability,
            detail: self.tail.read(rest),
        })
    }
}

impl Tail {
    fn read(self, rest: &[u8]) -> Detail<'_> {
        if rest.is_empty() {
            return Detail::None;
        }
        let detail = match self {
            Self::None => Some(Detail::None),
            Self::Octets => None,
            Self::Version => exact(rest).map(|[major, minor]| Detail::Version(major, minor)),
            Self::Release => {
                exact(rest).map(|[major, minor]| Detail::Release(major, minor >> 4, minor & 15))
            }
            Self::Windows => word(rest).map(Detail::Windows),
            Self::KeyModules => word(rest).map(Detail::KeyModules),
            Self::Build => exact(rest).map(|[a, b, c, d]| {
                Detail::Build(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
            }),
            Self::CheckPoint => check_point(rest),
            Self::ScreenOs => exact(rest).map(|[a, b, c, d, _, _, major, minor]| {
                Detail::ScreenOs(u32::from_be_bytes([a, b, c, d]), major, minor)
            }),
            Self::Flags => word(rest).map(Detail::Flags),
            // Huawei fills up with zeros.
            Self::Text => core::str::from_utf8(rest)
                .ok()
                .map(|text| text.trim_end_matches('\0'))
                .filter(|text| !text.contains(char::is_control))
                .map(Detail::Text),
            Self::Base64 => Some(Detail::Base64(Octets(rest))),
        };
        detail.unwrap_or(Detail::Octets(Octets(rest)))
    }
}

fn exact<const N: usize>(octets: &[u8]) -> Option<[u8; N]> {
    octets.try_into().ok()
}

fn word(octets: &[u8]) -> Option<u32> {
    exact(octets).map(u32::from_be_bytes)
}

fn check_point<'a>(rest: &[u8]) -> Option<Detail<'a>> {
    let (words, []) = rest.as_chunks::<4>() else {
        return None;
    };
    let &[product, version, time, _, features] = words else {
        return None;
    };
    Some(Detail::CheckPoint {
        product: u32::from_be_bytes(product),
        version: u32::from_be_bytes(version),
        time: u32::from_be_bytes(time),
        features: u32::from_be_bytes(features),
    })
}

impl fmt::Display for VendorMatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.detail {
            Detail::None | Detail::Build(0, 0) => Ok(()),
            Detail::Version(major, minor) => write!(f, " {major}.{minor}"),
            Detail::Release(major, minor, maintenance) => {
                write!(f, " {major}.{minor}.{maintenance}")
            }
            Detail::Windows(number) => match Detail::windows_name(number) {
                Some(name) => write!(f, " ({name})"),
                None => write!(f, " v{number}"),
            },
            Detail::KeyModules(0) => f.write_str(" (IKE)"),
            Detail::KeyModules(1) => f.write_str(" (AuthIP)"),
            Detail::KeyModules(2) => f.write_str(" (IKEv2)"),
            Detail::KeyModules(number) => write!(f, " ({number})"),
            Detail::Build(major, build) => write!(f, " v{major} build {build}"),
            Detail::CheckPoint {
                product, version, ..
            } => match product {
                1 => write!(f, " gateway, version {version}"),
                2 => write!(f, " client, version {version}"),
                _ => write!(f, " product {product}, version {version}"),
            },
            Detail::ScreenOs(platform, 0, 0) => write!(f, ", platform {platform}"),
            Detail::ScreenOs(platform, major, minor) => {
                write!(f, " {major}.{minor}, platform {platform}")
            }
            Detail::Flags(flags) => write!(f, " ({flags:08x})"),
            Detail::Text(text) => write!(f, " {}", text.trim_start()),
            Detail::Base64(octets) => {
                f.write_str(" ")?;
                write_base64(f, octets.0)
            }
            Detail::Octets(octets) => write!(f, " ({octets:?})"),
        }
    }
}

/// Writes the text that `octets` hold in base 64; what is none is written as dots.
fn write_base64(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    use fmt::Write as _;
    let mut bits = 0_u32;
    let mut have = 0_u32;
    for &octet in octets {
        let value = match octet {
            b'A'..=b'Z' => octet.saturating_sub(b'A'),
            b'a'..=b'z' => octet.saturating_sub(b'a').saturating_add(26),
            b'0'..=b'9' => octet.saturating_sub(b'0').saturating_add(52),
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        have = have.saturating_add(6);
        if have >= 8 {
            have = have.saturating_sub(8);
            let [_, _, _, low] = (bits >> have).to_be_bytes();
            let printable = (0x20..0x7f).contains(&low);
            f.write_char(if printable { char::from(low) } else { '.' })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
