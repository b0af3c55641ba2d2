//! The handshake messages beside the hellos, and one enum over all of them.

use super::certificate::Certificates;
use super::codes::{CertificateCompression, CertificateStatusType, HandshakeType, Version};
use super::extension::Extensions;
use super::hello::{ClientHello, HelloVerifyRequest, ServerHello};
use super::key_exchange::{ClientKeyExchange, ServerKeyExchange};
use super::vector::{Codes, List, end, opaque8, opaque16, opaque24};
use super::{CipherSuite, SignatureScheme};
use crate::error::{PResult, be_u8, be_u16, be_u24, be_u32, located};
use crate::{Octets, ParseError};

/// What must be known of the handshake to read its later messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context {
    /// Whether it is DTLS.
    pub is_dtls: bool,
    /// The version that the server chose, where it was seen.
    pub version: Option<Version>,
    /// The suite that the server chose, where it was seen.
    pub suite: Option<CipherSuite>,
}

impl Context {
    fn is_tls13(&self) -> bool {
        self.version
            .is_some_and(|version| version.rank() >= Version::TLS_1_3.rank())
    }
}

/// A handshake message, read.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Message<'a> {
    /// ClientHello.
    ClientHello(ClientHello<'a>),
    /// ServerHello or HelloRetryRequest.
    ServerHello(ServerHello<'a>),
    /// HelloVerifyRequest of DTLS.
    HelloVerifyRequest(HelloVerifyRequest<'a>),
    /// `NewSessionTicket`.
    NewSessionTicket(NewSessionTicket<'a>),
    /// `EncryptedExtensions`, seen only with keys.
    EncryptedExtensions(Extensions<'a>),
    /// Certificate.
    Certificate(Certificates<'a>),
    /// `CompressedCertificate`, seen only with keys.
    CompressedCertificate(CompressedCertificate<'a>),
    /// ServerKeyExchange.
    ServerKeyExchange(ServerKeyExchange<'a>),
    /// CertificateRequest.
    CertificateRequest(CertificateRequest<'a>),
    /// `CertificateVerify`.
    CertificateVerify(CertificateVerify<'a>),
    /// `ClientKeyExchange`.
    ClientKeyExchange(ClientKeyExchange<'a>),
    /// `CertificateStatus`.
    CertificateStatus(CertificateStatus<'a>),
    /// Finished: the verify data.
    Finished(Octets<'a>),
    /// `KeyUpdate`, seen only with keys: whether the peer must do the same.
    KeyUpdate(u8),
    /// `HelloRequest`, `ServerHelloDone` or `EndOfEarlyData`: no octets.
    Empty,
    /// A message whose structure is not read here, or cannot be without its context.
    Other(Octets<'a>),
}

impl<'a> Message<'a> {
    /// Reads the body of a handshake message.
    pub fn parse(
        message_type: HandshakeType,
        body: &'a [u8],
        context: Context,
    ) -> Result<Self, ParseError> {
        use HandshakeType as T;
        Ok(match message_type {
            T::CLIENT_HELLO if context.is_dtls => Self::ClientHello(ClientHello::parse_dtls(body)?),
            T::CLIENT_HELLO => Self::ClientHello(ClientHello::parse(body)?),
            T::SERVER_HELLO => Self::ServerHello(ServerHello::parse(body)?),
            T::HELLO_VERIFY_REQUEST => Self::HelloVerifyRequest(HelloVerifyRequest::parse(body)?),
            T::NEW_SESSION_TICKET => {
                Self::NewSessionTicket(NewSessionTicket::parse(body, context)?)
            }
            T::ENCRYPTED_EXTENSIONS => {
                let (extensions, fault) =
                    Extensions::delimit("TLS EncryptedExtensions", body, body);
                fault.map_or(Ok(Self::EncryptedExtensions(extensions)), Err)?
            }
            T::CERTIFICATE => Self::Certificate(Certificates::parse(body)?),
            T::COMPRESSED_CERTIFICATE => {
                Self::CompressedCertificate(CompressedCertificate::parse(body)?)
            }
            T::SERVER_KEY_EXCHANGE => match (context.version, context.suite) {
                (Some(version), Some(suite)) if suite.has_known_key_exchange() => {
                    Self::ServerKeyExchange(ServerKeyExchange::parse(body, version, suite)?)
                }
                _ => Self::Other(Octets(body)),
            },
            T::CERTIFICATE_REQUEST => match context.version {
                Some(_) => Self::CertificateRequest(CertificateRequest::parse(body, context)?),
                None => Self::Other(Octets(body)),
            },
            T::CERTIFICATE_VERIFY => match context.version {
                Some(_) => Self::CertificateVerify(CertificateVerify::parse(body, context)?),
                None => Self::Other(Octets(body)),
            },
            T::CLIENT_KEY_EXCHANGE => match context.suite {
                Some(suite) => Self::ClientKeyExchange(ClientKeyExchange::parse(body, suite)?),
                None => Self::Other(Octets(body)),
            },
            T::CERTIFICATE_STATUS => Self::CertificateStatus(CertificateStatus::parse(body)?),
            T::FINISHED => Self::Finished(Octets(body)),
            T::KEY_UPDATE => located("TLS KeyUpdate", body, body, be_u8)
                .map(|(_, request)| Self::KeyUpdate(request))?,
            T::HELLO_REQUEST | T::SERVER_HELLO_DONE | T::END_OF_EARLY_DATA => {
                located("TLS handshake message", body, body, end)?;
                Self::Empty
            }
            _ => Self::Other(Octets(body)),
        })
    }
}

/// `NewSessionTicket` (RFC 5077 §3.3, RFC 9846 §4.6.1).
#[derive(Debug, Clone, Copy)]
pub struct NewSessionTicket<'a> {
    /// Octets 0..4. How long the ticket may be used, seconds; 0 in TLS 1.2 is "as you like".
    pub lifetime_s: u32,
    /// TLS 1.3: what the client adds to the age it sends.
    pub age_add: Option<u32>,
    /// TLS 1.3: makes the key of each ticket differ.
    pub nonce: Option<Octets<'a>>,
    /// The ticket.
    pub ticket: Octets<'a>,
    /// TLS 1.3.
    pub extensions: Extensions<'a>,
}

impl<'a> NewSessionTicket<'a> {
    fn parse(body: &'a [u8], context: Context) -> Result<Self, ParseError> {
        located("TLS NewSessionTicket", body, body, |i| {
            Self::read(i, body, context.is_tls13())
        })
        .map(|(_, ticket)| ticket)
    }

    fn read(i: &'a [u8], body: &'a [u8], is_tls13: bool) -> PResult<'a, Self> {
        let (i, lifetime_s) = be_u32(i)?;
        if !is_tls13 {
            let (i, ticket) = opaque16(i)?;
            let ticket = Self {
                lifetime_s,
                age_add: None,
                nonce: None,
                ticket: Octets(ticket),
                extensions: Extensions::none(),
            };
            return Ok((i, ticket));
        }
        let (i, age_add) = be_u32(i)?;
        let (i, nonce) = opaque8(i)?;
        let (i, ticket) = opaque16(i)?;
        let (i, extensions) = opaque16(i)?;
        let ticket = Self {
            lifetime_s,
            age_add: Some(age_add),
            nonce: Some(Octets(nonce)),
            ticket: Octets(ticket),
            extensions: Extensions::of("TLS NewSessionTicket extensions", body, extensions),
        };
        Ok((i, ticket))
    }
}

/// CertificateRequest (RFC 5246 §7.4.4, RFC 9846 §4.3.2).
#[derive(Debug, Clone, Copy)]
pub struct CertificateRequest<'a> {
    /// TLS 1.2 and before: one octet each, see [`super::codes::ClientCertificateType`].
    pub certificate_types: Octets<'a>,
    /// TLS 1.2: the schemes accepted. TLS 1.3 has them among the extensions.
    pub schemes: Codes<'a, SignatureScheme>,
    /// TLS 1.2 and before: DER names of the authorities accepted; empty is any.
    pub authorities: List<'a, Octets<'a>>,
    /// TLS 1.3.
    pub extensions: Extensions<'a>,
}

impl<'a> CertificateRequest<'a> {
    fn parse(body: &'a [u8], context: Context) -> Result<Self, ParseError> {
        located("TLS CertificateRequest", body, body, |i| {
            if context.is_tls13() {
                Self::read_tls13(i)
            } else {
                Self::read_tls12(i, context)
            }
        })
        .map(|(_, request)| request)
    }

    fn read_tls13(i: &'a [u8]) -> PResult<'a, Self> {
        let whole = i;
        let (i, _context) = opaque8(i)?;
        let (i, extensions) = opaque16(i)?;
        let request = Self {
            certificate_types: Octets(&[]),
            schemes: Codes::default(),
            authorities: authorities(whole, &[]),
            extensions: Extensions::of("TLS CertificateRequest extensions", whole, extensions),
        };
        end(i).map(|(i, ())| (i, request))
    }

    fn read_tls12(i: &'a [u8], context: Context) -> PResult<'a, Self> {
        let whole = i;
        let (i, certificate_types) = opaque8(i)?;
        let has_schemes = context
            .version
            .is_none_or(|version| version.rank() >= Version::TLS_1_2.rank());
        let (i, schemes) = if has_schemes {
            let (i, schemes) = opaque16(i)?;
            let (_, schemes) = Codes::read(schemes)?;
            (i, schemes)
        } else {
            (i, Codes::default())
        };
        let (i, names) = opaque16(i)?;
        let request = Self {
            certificate_types: Octets(certificate_types),
            schemes,
            authorities: authorities(whole, names),
            extensions: Extensions::none(),
        };
        end(i).map(|(i, ())| (i, request))
    }
}

fn authorities<'a>(whole: &'a [u8], part: &'a [u8]) -> List<'a, Octets<'a>> {
    List::new("TLS certificate authority", whole, part, |i| {
        opaque16(i).map(|(i, name)| (i, Octets(name)))
    })
}

/// `CertificateVerify` (RFC 5246 §7.4.8, RFC 9846 §4.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateVerify<'a> {
    /// TLS 1.2 and later.
    pub scheme: Option<SignatureScheme>,
    /// The signature.
    pub signature: Octets<'a>,
}

impl<'a> CertificateVerify<'a> {
    fn parse(body: &'a [u8], context: Context) -> Result<Self, ParseError> {
        let has_scheme = context
            .version
            .is_none_or(|version| version.rank() >= Version::TLS_1_2.rank());
        located("TLS CertificateVerify", body, body, |i| {
            let (i, scheme) = if has_scheme {
                be_u16(i).map(|(i, scheme)| (i, Some(SignatureScheme(scheme))))?
            } else {
                (i, None)
            };
            let (i, signature) = opaque16(i)?;
            let verify = Self {
                scheme,
                signature: Octets(signature),
            };
            end(i).map(|(i, ())| (i, verify))
        })
        .map(|(_, verify)| verify)
    }
}

/// `CertificateStatus` (RFC 6066 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateStatus<'a> {
    /// Octet 0.
    pub status_type: CertificateStatusType,
    /// DER of the OCSP response; a list of them for `ocsp_multi`.
    pub response: Octets<'a>,
}

impl<'a> CertificateStatus<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        located("TLS CertificateStatus", body, body, |i| {
            let (i, status_type) = be_u8(i)?;
            let (i, response) = opaque24(i)?;
            let status = Self {
                status_type: CertificateStatusType(status_type),
                response: Octets(response),
            };
            end(i).map(|(i, ())| (i, status))
        })
        .map(|(_, status)| status)
    }
}

/// `CompressedCertificate` (RFC 8879 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompressedCertificate<'a> {
    /// Octets 0..2.
    pub algorithm: CertificateCompression,
    /// Octets 2..5. Octets once unpacked.
    pub uncompressed_length: u32,
    /// The packed Certificate message.
    pub message: Octets<'a>,
}

impl<'a> CompressedCertificate<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        located("TLS CompressedCertificate", body, body, |i| {
            let (i, algorithm) = be_u16(i)?;
            let (i, uncompressed_length) = be_u24(i)?;
            let (i, message) = opaque24(i)?;
            let certificate = Self {
                algorithm: CertificateCompression(algorithm),
                uncompressed_length,
                message: Octets(message),
            };
            end(i).map(|(i, ())| (i, certificate))
        })
        .map(|(_, certificate)| certificate)
    }
}
