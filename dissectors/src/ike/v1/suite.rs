//! The attributes of one transform, gathered: what a peer offers or has chosen.

use core::fmt;

use super::Attributes;
use super::codes::{
    AuthenticationAlgorithm, AuthenticationMethod, EncapsulationMode, Encryption, Group, Hash,
    IkeAttribute, IpsecAttribute, LifeType,
};

/// What one phase-1 transform says. Attributes that it does not carry are `None`; attributes that
/// spell a group out are left to the walk over [`Transform::attributes`](super::Transform).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct IkeSuite {
    /// The cipher.
    pub encryption: Option<Encryption>,
    /// Length of its key, bits.
    pub key_length: Option<u16>,
    /// The hash, on which the default pseudo-random function rests.
    pub hash: Option<Hash>,
    /// A pseudo-random function of its own; the registry has none.
    pub prf: Option<u16>,
    /// How the peers authenticate themselves.
    pub authentication: Option<AuthenticationMethod>,
    /// The Diffie-Hellman group.
    pub group: Option<Group>,
    /// Lifetime, seconds.
    pub life_seconds: Option<u64>,
    /// Lifetime, kilobytes.
    pub life_kilobytes: Option<u64>,
}

impl IkeSuite {
    /// Gathers the good attributes; of several of one kind the first counts.
    pub fn gather(attributes: Attributes<'_>) -> Self {
        let mut suite = Self::default();
        let mut life = Life::default();
        for attribute in attributes.flatten() {
            let Some(number) = attribute.value.number() else {
                continue;
            };
            let short = u16::try_from(number).ok();
            match IkeAttribute(attribute.code) {
                IkeAttribute::ENCRYPTION_ALGORITHM => {
                    suite.encryption = suite.encryption.or(short.map(Encryption));
                }
                IkeAttribute::HASH_ALGORITHM => suite.hash = suite.hash.or(short.map(Hash)),
                IkeAttribute::AUTHENTICATION_METHOD => {
                    suite.authentication = suite.authentication.or(short.map(AuthenticationMethod));
                }
                IkeAttribute::GROUP_DESCRIPTION => suite.group = suite.group.or(short.map(Group)),
                IkeAttribute::PRF => suite.prf = suite.prf.or(short),
                IkeAttribute::KEY_LENGTH => suite.key_length = suite.key_length.or(short),
                IkeAttribute::LIFE_TYPE => life.counts = short.map(LifeType),
                IkeAttribute::LIFE_DURATION => life.add(number),
                _ => (),
            }
        }
        suite.life_seconds = life.seconds;
        suite.life_kilobytes = life.kilobytes;
        suite
    }

    /// The cipher with its key length, as people write it.
    pub fn cipher(&self) -> Option<CipherName> {
        self.encryption.map(|encryption| CipherName {
            encryption,
            key_length: self.key_length,
        })
    }

    /// Block size of the cipher in octets, which is the size of the IV too. An encrypted message
    /// is 28 octets of header and a multiple of it.
    pub fn block_len(&self) -> Option<u8> {
        self.encryption.and_then(Encryption::block_len)
    }

    /// Output of the pseudo-random function in octets: the body of a HASH payload. `None` where it
    /// is unknown.
    pub fn prf_len(&self) -> Option<u8> {
        match self.prf {
            Some(_) => None,
            None => self.hash.and_then(Hash::output_len),
        }
    }

    /// Length of the IKE message that carries `plain` octets of payloads, their generic headers
    /// included: the header, and the payloads padded to a whole number of blocks with as little as
    /// possible (RFC 2409 appendix B). Senders may pad more.
    pub fn sealed_len(&self, plain: usize) -> Option<usize> {
        let block = usize::from(self.block_len()?);
        plain
            .checked_next_multiple_of(block)?
            .checked_add(crate::ike::Header::LEN)
    }
}

impl fmt::Display for IkeSuite {
    /// `AES_CBC_256/SHA/PSK/MODP_1024`; what the transform does not say is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Parts::new(f);
        parts.part(self.cipher())?;
        parts.part(self.hash)?;
        parts.part(self.authentication)?;
        parts.part(self.group)
    }
}

/// What one phase-2 transform says. Attributes that it does not carry are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct IpsecSuite {
    /// Integrity of ESP, or of AH together with the transform's id.
    pub authentication: Option<AuthenticationAlgorithm>,
    /// Length of the cipher's key, bits.
    pub key_length: Option<u16>,
    /// The group of a fresh key exchange: perfect forward secrecy is wanted.
    pub group: Option<Group>,
    /// Tunnel or transport, inside UDP or not.
    pub encapsulation: Option<EncapsulationMode>,
    /// Extended sequence numbers.
    pub extended_sequence_numbers: bool,
    /// Lifetime, seconds.
    pub life_seconds: Option<u64>,
    /// Lifetime, kilobytes.
    pub life_kilobytes: Option<u64>,
}

impl IpsecSuite {
    /// Gathers the good attributes; of several of one kind the first counts.
    pub fn gather(attributes: Attributes<'_>) -> Self {
        let mut suite = Self::default();
        let mut life = Life::default();
        for attribute in attributes.flatten() {
            let Some(number) = attribute.value.number() else {
                continue;
            };
            let short = u16::try_from(number).ok();
            match IpsecAttribute(attribute.code) {
                IpsecAttribute::SA_LIFE_TYPE => life.counts = short.map(LifeType),
                IpsecAttribute::SA_LIFE_DURATION => life.add(number),
                IpsecAttribute::GROUP_DESCRIPTION => suite.group = suite.group.or(short.map(Group)),
                IpsecAttribute::ENCAPSULATION_MODE => {
                    suite.encapsulation = suite.encapsulation.or(short.map(EncapsulationMode));
                }
                IpsecAttribute::AUTHENTICATION_ALGORITHM => {
                    suite.authentication =
                        suite.authentication.or(short.map(AuthenticationAlgorithm));
                }
                IpsecAttribute::KEY_LENGTH => suite.key_length = suite.key_length.or(short),
                IpsecAttribute::EXTENDED_SEQUENCE_NUMBER => {
                    suite.extended_sequence_numbers = number == 1;
                }
                _ => (),
            }
        }
        suite.life_seconds = life.seconds;
        suite.life_kilobytes = life.kilobytes;
        suite
    }
}

impl fmt::Display for IpsecSuite {
    /// `256/HMAC_SHA/MODP_1024/TUNNEL`; what the transform does not say is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Parts::new(f);
        parts.part(self.key_length)?;
        parts.part(self.authentication)?;
        parts.part(self.group)?;
        parts.part(self.encapsulation)
    }
}

/// Lifetimes come as pairs of attributes: what is counted, then how much.
#[derive(Default)]
struct Life {
    counts: Option<LifeType>,
    seconds: Option<u64>,
    kilobytes: Option<u64>,
}

impl Life {
    fn add(&mut self, number: u64) {
        // RFC 2407 §4.5: without a type, seconds.
        match self.counts.unwrap_or(LifeType::SECONDS) {
            LifeType::SECONDS => self.seconds = self.seconds.or(Some(number)),
            LifeType::KILOBYTES => self.kilobytes = self.kilobytes.or(Some(number)),
            _ => (),
        }
    }
}

/// A cipher and the length of its key: `AES_CBC_256`, `3DES_CBC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CipherName {
    /// The cipher.
    pub encryption: Encryption,
    /// Length of its key, bits.
    pub key_length: Option<u16>,
}

impl fmt::Display for CipherName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.encryption, f)?;
        match self.key_length {
            Some(bits) => write!(f, "_{bits}"),
            None => Ok(()),
        }
    }
}

/// Writes what is there, with slashes between.
struct Parts<'f, 'b> {
    f: &'f mut fmt::Formatter<'b>,
    written: bool,
}

impl<'f, 'b> Parts<'f, 'b> {
    const fn new(f: &'f mut fmt::Formatter<'b>) -> Self {
        Self { f, written: false }
    }

    fn part(&mut self, part: Option<impl fmt::Display>) -> fmt::Result {
        let Some(part) = part else {
            return Ok(());
        };
        if self.written {
            self.f.write_str("/")?;
        }
        self.written = true;
        write!(self.f, "{part}")
    }
}
