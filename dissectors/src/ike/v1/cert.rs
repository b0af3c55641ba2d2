//! CERT and CR payloads.

use super::codes::CertEncoding;
use super::{body, rest};
use crate::error::{PResult, be_u8};
use crate::ike::RawPayload;
use crate::{Octets, ParseError};

/// Certificate payload (RFC 2408 §3.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// Octet 4 of the payload.
    pub encoding: CertEncoding,
    /// Octets 5.., in the form that the encoding says; mostly X.509 in DER.
    pub data: Octets<'a>,
}

impl<'a> Certificate<'a> {
    /// Reads the body. The certificate itself is not looked at.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        body("IKEv1 certificate", raw, |i| {
            let (i, (encoding, data)) = encoded(i)?;
            Ok((i, Self { encoding, data }))
        })
    }
}

/// Certificate request payload (RFC 2408 §3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateRequest<'a> {
    /// Octet 4 of the payload. The encoding that is wanted.
    pub encoding: CertEncoding,
    /// Octets 5.. The authority that should have signed, for X.509 its name in DER; empty for any.
    pub authority: Octets<'a>,
}

impl<'a> CertificateRequest<'a> {
    /// Reads the body. The name itself is not looked at.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        body("IKEv1 certificate request", raw, |i| {
            let (i, (encoding, authority)) = encoded(i)?;
            Ok((
                i,
                Self {
                    encoding,
                    authority,
                },
            ))
        })
    }
}

fn encoded(i: &[u8]) -> PResult<'_, (CertEncoding, Octets<'_>)> {
    let (i, encoding) = be_u8(i)?;
    let (i, octets) = rest(i)?;
    Ok((i, (CertEncoding(encoding), octets)))
}
