//! What stands in an extension.

use super::Place;
use crate::error::{PResult, be_u8, be_u16, be_u32, located};
use crate::tls::codes::{
    CertificateCompression, CertificateStatusType, ExtensionType, MaxFragmentLength, NameType,
    Version,
};
use crate::tls::vector::{Codes, List, end, opaque8, opaque16, opaque24};
use crate::tls::{NamedGroup, SignatureScheme};
use crate::{Octets, ParseError};

/// The body of an extension, read as its place demands.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Body<'a> {
    /// No octets, and none expected: the extension's presence is the message.
    Flag,
    /// `server_name` of a client (RFC 6066 §3).
    ServerNames(List<'a, ServerName<'a>>),
    /// `max_fragment_length`.
    MaxFragmentLength(MaxFragmentLength),
    /// `status_request` of a client (RFC 6066 §8).
    StatusRequest(StatusRequest<'a>),
    /// `status_request` beside a certificate of TLS 1.3: its OCSP response.
    CertificateStatus(CertificateStatusType, Octets<'a>),
    /// `supported_groups`.
    SupportedGroups(Codes<'a, NamedGroup>),
    /// `ec_point_formats`, one octet each.
    PointFormats(Octets<'a>),
    /// `signature_algorithms`.
    SignatureAlgorithms(Codes<'a, SignatureScheme>),
    /// `signature_algorithms_cert`.
    SignatureAlgorithmsCert(Codes<'a, SignatureScheme>),
    /// `delegated_credential` of a client: the schemes it accepts them with.
    DelegatedCredential(Codes<'a, SignatureScheme>),
    /// `use_srtp` (RFC 5764 §4.1.1): protection profiles and master key identifier.
    UseSrtp(Codes<'a, u16>, Octets<'a>),
    /// `heartbeat` (RFC 6520 §2): 1 may send, 2 must not.
    Heartbeat(u8),
    /// `application_layer_protocol_negotiation`: what is offered, or the one chosen.
    Protocols(List<'a, Octets<'a>>),
    /// `signed_certificate_timestamp` with timestamps.
    CertificateTimestamps(List<'a, Octets<'a>>),
    /// `client_certificate_type` and `server_certificate_type`, one octet each.
    CertificateTypes(Octets<'a>),
    /// `padding`: how many octets of it.
    Padding(usize),
    /// `compress_certificate`.
    CompressCertificate(Codes<'a, CertificateCompression>),
    /// `record_size_limit`, octets of plaintext.
    RecordSizeLimit(u16),
    /// `session_ticket`; empty to ask for one.
    SessionTicket(Octets<'a>),
    /// `pre_shared_key` of a client: identities, and a binder for each.
    PreSharedKeys(List<'a, PskIdentity<'a>>, List<'a, Octets<'a>>),
    /// `pre_shared_key` of a server: which identity, from 0.
    SelectedIdentity(u16),
    /// `early_data` of a `NewSessionTicket`: how much, in octets.
    MaxEarlyData(u32),
    /// `supported_versions` of a client.
    SupportedVersions(Codes<'a, Version>),
    /// `supported_versions` of a server.
    SelectedVersion(Version),
    /// `cookie`.
    Cookie(Octets<'a>),
    /// `psk_key_exchange_modes`, one octet each.
    PskKeyExchangeModes(Octets<'a>),
    /// `certificate_authorities`: DER names.
    CertificateAuthorities(List<'a, Octets<'a>>),
    /// `oid_filters`.
    OidFilters(List<'a, OidFilter<'a>>),
    /// `key_share` of a client.
    KeyShares(List<'a, KeyShare<'a>>),
    /// `key_share` of a server.
    SelectedKeyShare(KeyShare<'a>),
    /// `key_share` of a HelloRetryRequest.
    SelectedGroup(NamedGroup),
    /// `connection_id`: what the sender wants to receive.
    ConnectionId(Octets<'a>),
    /// `ticket_request` of a client (RFC 9149): new sessions and resumed ones.
    TicketRequest(u8, u8),
    /// `renegotiation_info`: empty in a first handshake.
    RenegotiationInfo(Octets<'a>),
    /// `encrypted_client_hello`.
    EncryptedClientHello(EncryptedClientHello<'a>),
    /// An extension whose structure is not read here, GREASE among them.
    Other(Octets<'a>),
}

/// An entry of `server_name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerName<'a> {
    /// 0 is a host name.
    pub name_type: NameType,
    /// In ASCII, if the client keeps the rules.
    pub name: Octets<'a>,
}

/// `status_request` of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRequest<'a> {
    /// 1 is OCSP.
    pub status_type: CertificateStatusType,
    /// DER of responder ids, each with a length of two octets in front.
    pub responder_ids: Octets<'a>,
    /// DER of OCSP extensions.
    pub extensions: Octets<'a>,
}

/// One identity of `pre_shared_key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PskIdentity<'a> {
    /// A ticket, or the name of an external key.
    pub identity: Octets<'a>,
    /// In milliseconds, with a number added that only the peers know.
    pub obfuscated_ticket_age: u32,
}

/// One key of `key_share`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyShare<'a> {
    /// Octets 0..2.
    pub group: NamedGroup,
    /// The public key, in the group's own form.
    pub key: Octets<'a>,
}

/// One filter of `oid_filters`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OidFilter<'a> {
    /// DER of a certificate extension's OID.
    pub oid: Octets<'a>,
    /// DER of the values wanted.
    pub values: Octets<'a>,
}

/// `encrypted_client_hello` (RFC 9849 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptedClientHello<'a> {
    /// The outer hello, or GREASE that looks like one.
    Outer {
        /// HPKE key derivation function.
        kdf: u16,
        /// HPKE cipher.
        aead: u16,
        /// Which key of the server.
        config_id: u8,
        /// Empty in the answer to a HelloRetryRequest.
        enc: Octets<'a>,
        /// The inner hello, encrypted.
        payload: Octets<'a>,
    },
    /// The inner hello, seen only with keys.
    Inner,
    /// Of a HelloRetryRequest (8 octets) or of `EncryptedExtensions` (retry configurations).
    Server(Octets<'a>),
}

impl<'a> Body<'a> {
    /// Reads the body of an extension of a given type in a given place. Offsets in errors
    /// count from the start of `octets`.
    pub fn parse(
        extension_type: ExtensionType,
        place: Place,
        octets: &'a [u8],
    ) -> Result<Self, ParseError> {
        located("TLS extension", octets, octets, |i| {
            Self::read(extension_type, place, i)
        })
        .map(|(_, body)| body)
    }

    fn read(extension_type: ExtensionType, place: Place, i: &'a [u8]) -> PResult<'a, Self> {
        use ExtensionType as T;
        match extension_type {
            T::SERVER_NAME if place != Place::ClientHello => flag(i),
            T::SERVER_NAME => whole16(i, |part| {
                Self::ServerNames(List::new("TLS server name", i, part, server_name))
            }),
            T::MAX_FRAGMENT_LENGTH => {
                one(i, |code| Self::MaxFragmentLength(MaxFragmentLength(code)))
            }
            T::STATUS_REQUEST => status_request(place, i),
            T::SUPPORTED_GROUPS => codes16(i, Self::SupportedGroups),
            T::EC_POINT_FORMATS => whole8(i, |part| Self::PointFormats(Octets(part))),
            T::SIGNATURE_ALGORITHMS => codes16(i, Self::SignatureAlgorithms),
            T::SIGNATURE_ALGORITHMS_CERT => codes16(i, Self::SignatureAlgorithmsCert),
            T::DELEGATED_CREDENTIAL if place != Place::Certificate => {
                codes16(i, Self::DelegatedCredential)
            }
            T::USE_SRTP => use_srtp(i),
            T::HEARTBEAT => one(i, Self::Heartbeat),
            T::APPLICATION_LAYER_PROTOCOL_NEGOTIATION => whole16(i, |part| {
                Self::Protocols(List::new("TLS application protocol", i, part, name8))
            }),
            T::SIGNED_CERTIFICATE_TIMESTAMP => timestamps(i),
            T::CLIENT_CERTIFICATE_TYPE | T::SERVER_CERTIFICATE_TYPE
                if place == Place::ClientHello =>
            {
                whole8(i, |part| Self::CertificateTypes(Octets(part)))
            }
            T::CLIENT_CERTIFICATE_TYPE | T::SERVER_CERTIFICATE_TYPE => {
                let (_, _) = be_u8(i)?;
                Ok((&[], Self::CertificateTypes(Octets(i))))
            }
            T::PADDING => Ok((&[], Self::Padding(i.len()))),
            T::COMPRESS_CERTIFICATE => {
                let (i, part) = opaque8(i)?;
                let (_, algorithms) = Codes::read(part)?;
                end(i).map(|(i, ())| (i, Self::CompressCertificate(algorithms)))
            }
            T::RECORD_SIZE_LIMIT => {
                let (i, limit) = be_u16(i)?;
                end(i).map(|(i, ())| (i, Self::RecordSizeLimit(limit)))
            }
            T::SESSION_TICKET => Ok((&[], Self::SessionTicket(Octets(i)))),
            T::ENCRYPT_THEN_MAC | T::EXTENDED_MASTER_SECRET | T::POST_HANDSHAKE_AUTH => flag(i),
            _ => Self::read_newer(extension_type, place, i),
        }
    }

    /// The extensions that came with TLS 1.3, DTLS connection ids and ECH.
    fn read_newer(extension_type: ExtensionType, place: Place, i: &'a [u8]) -> PResult<'a, Self> {
        use ExtensionType as T;
        match extension_type {
            T::PRE_SHARED_KEY if place == Place::ClientHello => pre_shared_keys(i),
            T::PRE_SHARED_KEY => {
                let (i, identity) = be_u16(i)?;
                end(i).map(|(i, ())| (i, Self::SelectedIdentity(identity)))
            }
            T::EARLY_DATA if place == Place::NewSessionTicket => {
                let (i, octets) = be_u32(i)?;
                end(i).map(|(i, ())| (i, Self::MaxEarlyData(octets)))
            }
            T::EARLY_DATA => flag(i),
            T::SUPPORTED_VERSIONS if place == Place::ClientHello => {
                let (i, part) = opaque8(i)?;
                let (_, versions) = Codes::read(part)?;
                end(i).map(|(i, ())| (i, Self::SupportedVersions(versions)))
            }
            T::SUPPORTED_VERSIONS => {
                let (i, version) = be_u16(i)?;
                end(i).map(|(i, ())| (i, Self::SelectedVersion(Version(version))))
            }
            T::COOKIE => whole16(i, |part| Self::Cookie(Octets(part))),
            T::PSK_KEY_EXCHANGE_MODES => whole8(i, |part| Self::PskKeyExchangeModes(Octets(part))),
            T::CERTIFICATE_AUTHORITIES => whole16(i, |part| {
                Self::CertificateAuthorities(List::new(
                    "TLS certificate authority",
                    i,
                    part,
                    name16,
                ))
            }),
            T::OID_FILTERS => whole16(i, |part| {
                Self::OidFilters(List::new("TLS OID filter", i, part, oid_filter))
            }),
            T::KEY_SHARE => match place {
                Place::ClientHello => whole16(i, |part| {
                    Self::KeyShares(List::new("TLS key share", i, part, key_share))
                }),
                Place::HelloRetryRequest => {
                    let (i, group) = be_u16(i)?;
                    end(i).map(|(i, ())| (i, Self::SelectedGroup(NamedGroup(group))))
                }
                _ => {
                    let (i, share) = key_share(i)?;
                    end(i).map(|(i, ())| (i, Self::SelectedKeyShare(share)))
                }
            },
            T::CONNECTION_ID | T::CONNECTION_ID_DEPRECATED => {
                whole8(i, |part| Self::ConnectionId(Octets(part)))
            }
            T::TICKET_REQUEST if place == Place::ClientHello => {
                let (i, new) = be_u8(i)?;
                let (i, resumed) = be_u8(i)?;
                end(i).map(|(i, ())| (i, Self::TicketRequest(new, resumed)))
            }
            T::RENEGOTIATION_INFO => whole8(i, |part| Self::RenegotiationInfo(Octets(part))),
            T::ENCRYPTED_CLIENT_HELLO => encrypted_client_hello(place, i),
            _ => Ok((&[], Self::Other(Octets(i)))),
        }
    }
}

fn flag(i: &[u8]) -> PResult<'_, Body<'_>> {
    end(i).map(|(i, ())| (i, Body::Flag))
}

fn one<'a>(i: &'a [u8], body: impl FnOnce(u8) -> Body<'a>) -> PResult<'a, Body<'a>> {
    let (i, code) = be_u8(i)?;
    end(i).map(|(i, ())| (i, body(code)))
}

/// A body that is one vector of the first length.
fn whole8<'a>(i: &'a [u8], body: impl FnOnce(&'a [u8]) -> Body<'a>) -> PResult<'a, Body<'a>> {
    let (i, part) = opaque8(i)?;
    end(i).map(|(i, ())| (i, body(part)))
}

fn whole16<'a>(i: &'a [u8], body: impl FnOnce(&'a [u8]) -> Body<'a>) -> PResult<'a, Body<'a>> {
    let (i, part) = opaque16(i)?;
    end(i).map(|(i, ())| (i, body(part)))
}

fn codes16<'a, T>(
    i: &'a [u8],
    body: impl FnOnce(Codes<'a, T>) -> Body<'a>,
) -> PResult<'a, Body<'a>> {
    let (i, part) = opaque16(i)?;
    let (_, codes) = Codes::read(part)?;
    end(i).map(|(i, ())| (i, body(codes)))
}

fn server_name(i: &[u8]) -> PResult<'_, ServerName<'_>> {
    let (i, name_type) = be_u8(i)?;
    let (i, name) = opaque16(i)?;
    let name = ServerName {
        name_type: NameType(name_type),
        name: Octets(name),
    };
    Ok((i, name))
}

fn name8(i: &[u8]) -> PResult<'_, Octets<'_>> {
    opaque8(i).map(|(i, name)| (i, Octets(name)))
}

fn name16(i: &[u8]) -> PResult<'_, Octets<'_>> {
    opaque16(i).map(|(i, name)| (i, Octets(name)))
}

fn status_request(place: Place, i: &[u8]) -> PResult<'_, Body<'_>> {
    if place == Place::ServerHello {
        return flag(i);
    }
    if i.is_empty() {
        return Ok((i, Body::Flag));
    }
    let (i, status_type) = be_u8(i)?;
    let status_type = CertificateStatusType(status_type);
    if place == Place::Certificate {
        let (i, response) = opaque24(i)?;
        return end(i).map(|(i, ())| (i, Body::CertificateStatus(status_type, Octets(response))));
    }
    if status_type != CertificateStatusType::OCSP {
        return Ok((&[], Body::Other(Octets(i))));
    }
    let (i, responder_ids) = opaque16(i)?;
    let (i, extensions) = opaque16(i)?;
    let request = StatusRequest {
        status_type,
        responder_ids: Octets(responder_ids),
        extensions: Octets(extensions),
    };
    end(i).map(|(i, ())| (i, Body::StatusRequest(request)))
}

fn use_srtp(i: &[u8]) -> PResult<'_, Body<'_>> {
    let (i, part) = opaque16(i)?;
    let (_, profiles) = Codes::read(part)?;
    let (i, identifier) = opaque8(i)?;
    end(i).map(|(i, ())| (i, Body::UseSrtp(profiles, Octets(identifier))))
}

fn timestamps(i: &[u8]) -> PResult<'_, Body<'_>> {
    if i.is_empty() {
        return Ok((i, Body::Flag));
    }
    whole16(i, |part| {
        Body::CertificateTimestamps(List::new("certificate timestamp", i, part, name16))
    })
}

fn pre_shared_keys(i: &[u8]) -> PResult<'_, Body<'_>> {
    let whole = i;
    let (i, identities) = opaque16(i)?;
    let (i, binders) = opaque16(i)?;
    let body = Body::PreSharedKeys(
        List::new("TLS PSK identity", whole, identities, psk_identity),
        List::new("TLS PSK binder", whole, binders, name8),
    );
    end(i).map(|(i, ())| (i, body))
}

fn psk_identity(i: &[u8]) -> PResult<'_, PskIdentity<'_>> {
    let (i, identity) = opaque16(i)?;
    let (i, obfuscated_ticket_age) = be_u32(i)?;
    let identity = PskIdentity {
        identity: Octets(identity),
        obfuscated_ticket_age,
    };
    Ok((i, identity))
}

fn oid_filter(i: &[u8]) -> PResult<'_, OidFilter<'_>> {
    let (i, oid) = opaque8(i)?;
    let (i, values) = opaque16(i)?;
    let filter = OidFilter {
        oid: Octets(oid),
        values: Octets(values),
    };
    Ok((i, filter))
}

fn key_share(i: &[u8]) -> PResult<'_, KeyShare<'_>> {
    let (i, group) = be_u16(i)?;
    let (i, key) = opaque16(i)?;
    let share = KeyShare {
        group: NamedGroup(group),
        key: Octets(key),
    };
    Ok((i, share))
}

fn encrypted_client_hello(place: Place, i: &[u8]) -> PResult<'_, Body<'_>> {
    if place != Place::ClientHello {
        return Ok((
            &[],
            Body::EncryptedClientHello(EncryptedClientHello::Server(Octets(i))),
        ));
    }
    let (i, kind) = be_u8(i)?;
    if kind == 1 {
        return end(i).map(|(i, ())| (i, Body::EncryptedClientHello(EncryptedClientHello::Inner)));
    }
    let (i, kdf) = be_u16(i)?;
    let (i, aead) = be_u16(i)?;
    let (i, config_id) = be_u8(i)?;
    let (i, enc) = opaque16(i)?;
    let (i, payload) = opaque16(i)?;
    let outer = EncryptedClientHello::Outer {
        kdf,
        aead,
        config_id,
        enc: Octets(enc),
        payload: Octets(payload),
    };
    end(i).map(|(i, ())| (i, Body::EncryptedClientHello(outer)))
}
