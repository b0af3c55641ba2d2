//! The two attribute classes of transforms: what their codes and values are called.

use super::codes::{
    AuthenticationAlgorithm, AuthenticationMethod, EncapsulationMode, Encryption, Group, GroupType,
    Hash, IkeAttribute, IpsecAttribute, LifeType, Protocol,
};

/// Which registry the attributes of a transform belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttributeClass {
    /// Phase 1: RFC 2409 appendix A.
    Ike,
    /// Phase 2: RFC 2407 §4.5.
    Ipsec,
}

impl AttributeClass {
    /// The class of the attributes in a proposal for `protocol`.
    pub const fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::ISAKMP => Self::Ike,
            _ => Self::Ipsec,
        }
    }

    /// The registry's name of attribute `code`.
    pub const fn name(self, code: u16) -> Option<&'static str> {
        match self {
            Self::Ike => IkeAttribute(code).name(),
            Self::Ipsec => IpsecAttribute(code).name(),
        }
    }

    /// The registry's name of the value `number` in attribute `code`; `None` where it is just a
    /// number, or unknown.
    pub fn value_name(self, code: u16, number: u64) -> Option<&'static str> {
        let number = u16::try_from(number).ok()?;
        match self {
            Self::Ike => match IkeAttribute(code) {
                IkeAttribute::ENCRYPTION_ALGORITHM => Encryption(number).name(),
                IkeAttribute::HASH_ALGORITHM => Hash(number).name(),
                IkeAttribute::AUTHENTICATION_METHOD => AuthenticationMethod(number).name(),
                IkeAttribute::GROUP_DESCRIPTION => Group(number).name(),
                IkeAttribute::GROUP_TYPE => GroupType(number).name(),
                IkeAttribute::LIFE_TYPE => LifeType(number).name(),
                _ => None,
            },
            Self::Ipsec => match IpsecAttribute(code) {
                IpsecAttribute::SA_LIFE_TYPE => LifeType(number).name(),
                IpsecAttribute::GROUP_DESCRIPTION => Group(number).name(),
                IpsecAttribute::ENCAPSULATION_MODE => EncapsulationMode(number).name(),
                IpsecAttribute::AUTHENTICATION_ALGORITHM => AuthenticationAlgorithm(number).name(),
                _ => None,
            },
        }
    }
}
