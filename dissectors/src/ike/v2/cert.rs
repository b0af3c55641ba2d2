//! CERT and CERTREQ payloads.

use super::codes::CertEncoding;
use super::{body, rest};
use crate::error::be_u8;
use crate::ike::RawPayload;
use crate::{Octets, ParseError};

/// CERT payload (RFC 7296 §3.6). The certificate is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// Octet 4 of the payload.
    pub encoding: CertEncoding,
    /// Octets 5..
    pub data: Octets<'a>,
}

impl<'a> Certificate<'a> {
    /// Reads the body.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        let read = |i| {
            let (i, encoding) = be_u8(i)?;
            let (i, data) = rest(i)?;
            let encoding = CertEncoding(encoding);
            Ok((i, Self { encoding, data }))
        };
        body("IKEv2 CERT", raw, read)
    }

    /// Where the certificate is to be fetched, for encodings 12 and 13.
    pub fn hash_and_url(&self) -> Option<HashAndUrl<'a>> {
        let is_url = matches!(
            self.encoding,
            CertEncoding::HASH_AND_URL_X509 | CertEncoding::HASH_AND_URL_BUNDLE
        );
        let (hash, url) = self.data.0.split_first_chunk()?;
        let url = core::str::from_utf8(url).ok()?;
        is_url.then_some(HashAndUrl { hash, url })
    }
}

/// A certificate that is somewhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashAndUrl<'a> {
    /// Octets 0..20. SHA-1 of what stands at the URL.
    pub hash: &'a [u8; 20],
    /// Octets 20..
    pub url: &'a str,
}

/// CERTREQ payload (RFC 7296 §3.7): the authorities whose certificates the sender would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateRequest<'a> {
    /// Octet 4 of the payload.
    pub encoding: CertEncoding,
    /// Octets 5..
    pub data: Octets<'a>,
}

impl<'a> CertificateRequest<'a> {
    /// Reads the body.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        let read = |i| {
            let (i, encoding) = be_u8(i)?;
            let (i, data) = rest(i)?;
            let encoding = CertEncoding(encoding);
            Ok((i, Self { encoding, data }))
        };
        body("IKEv2 CERTREQ", raw, read)
    }

    /// SHA-1 of the public key of each authority, for encodings 4, 12 and 13, which have such a
    /// list; nothing for the others. Octets after the last whole hash are left out.
    pub fn authorities(&self) -> impl Iterator<Item = &'a [u8; 20]> {
        let is_list = matches!(
            self.encoding,
            CertEncoding::X509_SIGNATURE
                | CertEncoding::HASH_AND_URL_X509
                | CertEncoding::HASH_AND_URL_BUNDLE
        );
        let list = if is_list { self.data.0 } else { &[] };
        list.chunks_exact(20)
            .filter_map(|hash| hash.try_into().ok())
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::super::tests::{fault, raw, truncations};
    use super::*;
    use crate::Reason;
    use crate::ike::v2::PayloadType;

    #[test]
    fn a_certificate_is_left_unread() {
        // The head of charon's certificate, as decrypted.
        let body = hex!("04 308201be30820163a003020102");
        let certificate = Certificate::parse(&raw(PayloadType::CERT, &body)).unwrap();
        assert_eq!(certificate.encoding, CertEncoding::X509_SIGNATURE);
        assert_eq!(certificate.data.len(), 13);
        assert_eq!(certificate.hash_and_url(), None);
        truncations(PayloadType::CERT, &body);
    }

    #[test]
    fn a_certificate_may_be_elsewhere() {
        // By hand from RFC 7296 §3.6.
        let mut body = vec![12];
        body.extend_from_slice(&[0xaa; 20]);
        body.extend_from_slice(b"http://example.test/c");
        let certificate = Certificate::parse(&raw(PayloadType::CERT, &body)).unwrap();
        let elsewhere = certificate.hash_and_url().unwrap();
        assert_eq!(elsewhere.hash, &[0xaa; 20]);
        assert_eq!(elsewhere.url, "http://example.test/c");
        let short = Certificate::parse(&raw(PayloadType::CERT, &body[..15])).unwrap();
        assert_eq!(short.hash_and_url(), None);
    }

    #[test]
    fn a_request_lists_authorities() {
        // As charon sent it, decrypted.
        let body = hex!("04 e4faac7add43df835e52957fed56140af64eeac8");
        let request = CertificateRequest::parse(&raw(PayloadType::CERTREQ, &body)).unwrap();
        let authorities: Vec<_> = request.authorities().collect();
        assert_eq!(authorities.len(), 1);
        assert_eq!(authorities[0][..2], [0xe4, 0xfa]);
        truncations(PayloadType::CERTREQ, &body);
        // OCSP: the hashes are of responders and not listed here.
        let mut ocsp = body;
        ocsp[0] = 14;
        let request = CertificateRequest::parse(&raw(PayloadType::CERTREQ, &ocsp)).unwrap();
        assert_eq!(request.authorities().count(), 0);
    }

    #[test]
    fn an_encoding_there_must_be() {
        let reason = Reason::Truncated {
            needed: 1,
            available: 0,
        };
        assert_eq!(
            fault(PayloadType::CERT, &[]),
            ParseError::new("IKEv2 CERT", 32, reason)
        );
        assert_eq!(
            fault(PayloadType::CERTREQ, &[]),
            ParseError::new("IKEv2 CERTREQ", 32, reason)
        );
    }
}
