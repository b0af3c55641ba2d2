//! ClientHello and ServerHello (RFC 5246 §7.4.1, RFC 9846 §4.1; with the cookie of DTLS,
//! RFC 6347 §4.2.1).

use super::codes::{ExtensionType, Version};
use super::extension::{Body, Extensions, KeyShare, Place};
use super::vector::{Codes, List, array_ref, opaque8, opaque16};
use super::{CipherSuite, NamedGroup, SignatureScheme};
use crate::error::{PResult, be_u8, be_u16, fault, located};
use crate::{Octets, ParseError, Reason};

/// The random of a ServerHello that is a HelloRetryRequest: SHA-256 of that word (RFC 9846
/// §4.1.3).
pub const HELLO_RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What a client offers.
///
/// A message that was cut off keeps the fields that are there; [`ClientHello::fault`] says
/// where it broke, and the fields after that are empty.
#[derive(Debug, Clone, Copy)]
pub struct ClientHello<'a> {
    /// Octets 0..2. The highest version that a client of TLS 1.2 and before offers; TLS 1.3
    /// has `supported_versions` for it.
    pub version: Version,
    /// Octets 2..34.
    pub random: &'a [u8; 32],
    /// Up to 32 octets. In TLS 1.3 a decoy; in legacy AnyConnect DTLS what the TLS channel
    /// has agreed on.
    pub session_id: Octets<'a>,
    /// DTLS only: what the HelloVerifyRequest gave, empty at first.
    pub cookie: Option<Octets<'a>>,
    /// In the client's order.
    pub cipher_suites: Codes<'a, CipherSuite>,
    /// One octet each; 0 is none.
    pub compression_methods: Octets<'a>,
    /// Empty where there are none.
    pub extensions: Extensions<'a>,
    /// What is wrong with the message, if anything.
    pub fault: Option<ParseError>,
}

impl<'a> ClientHello<'a> {
    /// Reads the body of a ClientHello of TLS.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        Self::parse_with(body, false)
    }

    /// Reads the body of a ClientHello of DTLS, which has a cookie.
    pub fn parse_dtls(body: &'a [u8]) -> Result<Self, ParseError> {
        Self::parse_with(body, true)
    }

    fn parse_with(body: &'a [u8], has_cookie: bool) -> Result<Self, ParseError> {
        const WHAT: &str = "TLS ClientHello";
        let (rest, (version, random)) = located(WHAT, body, body, |i| {
            let (i, version) = be_u16(i)?;
            if version >> 8 == 0 {
                return fault(body, Reason::Invalid("no version of TLS"));
            }
            let (i, random) = array_ref::<32>(i)?;
            Ok((i, (Version(version), random)))
        })?;
        let mut hello = Self {
            version,
            random,
            session_id: Octets(&[]),
            cookie: has_cookie.then_some(Octets(&[])),
            cipher_suites: Codes::default(),
            compression_methods: Octets(&[]),
            extensions: Extensions::none(),
            fault: None,
        };
        if let Err(error) = located(WHAT, body, rest, |i| hello.read_rest(body, i, has_cookie)) {
            hello.fault = Some(error);
        }
        Ok(hello)
    }

    fn read_rest(&mut self, body: &'a [u8], i: &'a [u8], has_cookie: bool) -> PResult<'a, ()> {
        let (i, session_id) = opaque8(i)?;
        self.session_id = Octets(session_id);
        let i = if has_cookie {
            let (i, cookie) = opaque8(i)?;
            self.cookie = Some(Octets(cookie));
            i
        } else {
            i
        };
        let (i, suites) = match opaque16(i) {
            Ok(whole) => whole,
            Err(error) => {
                self.cipher_suites = Codes::cut(i.get(2..).unwrap_or_default());
                return Err(error);
            }
        };
        let (_, suites) = Codes::read(suites)?;
        self.cipher_suites = suites;
        let (i, compression_methods) = opaque8(i)?;
        self.compression_methods = Octets(compression_methods);
        if i.is_empty() {
            return Ok((i, ()));
        }
        let (extensions, fault) = Extensions::delimit("TLS ClientHello extensions", body, i);
        self.extensions = extensions;
        self.fault = fault;
        Ok((&[], ()))
    }

    /// The first extension of a type, read; `None` where it is not there or broken.
    pub fn extension(&self, wanted: ExtensionType) -> Option<Body<'a>> {
        self.extensions
            .find(wanted)
            .and_then(|extension| extension.read(Place::ClientHello).ok())
    }

    /// The host name that the client asks for, as it stands there.
    pub fn server_name(&self) -> Option<Octets<'a>> {
        match self.extension(ExtensionType::SERVER_NAME)? {
            Body::ServerNames(mut names) => names.next()?.ok().map(|name| name.name),
            _ => None,
        }
    }

    /// The application protocols offered.
    pub fn alpn(&self) -> Option<List<'a, Octets<'a>>> {
        match self.extension(ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION)? {
            Body::Protocols(protocols) => Some(protocols),
            _ => None,
        }
    }

    /// `supported_versions`, where the client sent it.
    pub fn supported_versions(&self) -> Option<Codes<'a, Version>> {
        match self.extension(ExtensionType::SUPPORTED_VERSIONS)? {
            Body::SupportedVersions(versions) => Some(versions),
            _ => None,
        }
    }

    /// The newest version offered, in `supported_versions` or in the old field.
    pub fn newest_version(&self) -> Version {
        self.supported_versions()
            .and_then(|versions| {
                versions
                    .iter()
                    .filter(|version| version.rank() > 0)
                    .max_by_key(|version| version.rank())
            })
            .unwrap_or(self.version)
    }

    /// The groups offered.
    pub fn groups(&self) -> Option<Codes<'a, NamedGroup>> {
        match self.extension(ExtensionType::SUPPORTED_GROUPS)? {
            Body::SupportedGroups(groups) => Some(groups),
            _ => None,
        }
    }

    /// The groups for which a key was sent along (TLS 1.3).
    pub fn key_shares(&self) -> Option<List<'a, KeyShare<'a>>> {
        match self.extension(ExtensionType::KEY_SHARE)? {
            Body::KeyShares(shares) => Some(shares),
            _ => None,
        }
    }

    /// The signature schemes offered.
    pub fn signature_algorithms(&self) -> Option<Codes<'a, SignatureScheme>> {
        match self.extension(ExtensionType::SIGNATURE_ALGORITHMS)? {
            Body::SignatureAlgorithms(schemes) => Some(schemes),
            _ => None,
        }
    }

    /// The connection id that the client wants to receive (RFC 9146 §3); of length zero
    /// where it only wants to send one.
    pub fn connection_id(&self) -> Option<Octets<'a>> {
        match self.extension(ExtensionType::CONNECTION_ID)? {
            Body::ConnectionId(id) => Some(id),
            _ => None,
        }
    }
}

/// What a server chose: a ServerHello, or the HelloRetryRequest of TLS 1.3.
#[derive(Debug, Clone, Copy)]
pub struct ServerHello<'a> {
    /// Octets 0..2. TLS 1.2 in TLS 1.3, whose version is in `supported_versions`.
    pub version: Version,
    /// Octets 2..34.
    pub random: &'a [u8; 32],
    /// In TLS 1.2 the session that may be resumed; in TLS 1.3 what the client sent.
    pub session_id: Octets<'a>,
    /// The suite chosen.
    pub cipher_suite: CipherSuite,
    /// The compression chosen; 0 is none.
    pub compression_method: u8,
    /// Empty where there are none.
    pub extensions: Extensions<'a>,
    /// What is wrong with the extensions, if anything.
    pub fault: Option<ParseError>,
}

impl<'a> ServerHello<'a> {
    /// Reads the body of a ServerHello of TLS or DTLS.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        const WHAT: &str = "TLS ServerHello";
        let (rest, mut hello) = located(WHAT, body, body, Self::read)?;
        if !rest.is_empty() {
            (hello.extensions, hello.fault) =
                Extensions::delimit("TLS ServerHello extensions", body, rest);
        }
        Ok(hello)
    }

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, version) = be_u16(i)?;
        let (i, random) = array_ref::<32>(i)?;
        // The drafts of TLS 1.3 before the 22nd left out session id and compression.
        let is_short = (0x7f00..0x7f16).contains(&version);
        let (i, session_id) = if is_short { (i, &[][..]) } else { opaque8(i)? };
        let (i, cipher_suite) = be_u16(i)?;
        let (i, compression_method) = if is_short { (i, 0) } else { be_u8(i)? };
        let hello = Self {
            version: Version(version),
            random,
            session_id: Octets(session_id),
            cipher_suite: CipherSuite(cipher_suite),
            compression_method,
            extensions: Extensions::none(),
            fault: None,
        };
        Ok((i, hello))
    }

    /// Whether it is a HelloRetryRequest, which has the form of a ServerHello (RFC 9846
    /// §4.1.4).
    pub fn is_hello_retry_request(&self) -> bool {
        *self.random == HELLO_RETRY_RANDOM
    }

    fn place(&self) -> Place {
        if self.is_hello_retry_request() {
            Place::HelloRetryRequest
        } else {
            Place::ServerHello
        }
    }

    /// The first extension of a type, read; `None` where it is not there or broken.
    pub fn extension(&self, wanted: ExtensionType) -> Option<Body<'a>> {
        self.extensions
            .find(wanted)
            .and_then(|extension| extension.read(self.place()).ok())
    }

    /// The version chosen, wherever it stands.
    pub fn selected_version(&self) -> Version {
        match self.extension(ExtensionType::SUPPORTED_VERSIONS) {
            Some(Body::SelectedVersion(version)) => version,
            _ => self.version,
        }
    }

    /// The group chosen (TLS 1.3); in a HelloRetryRequest the one that the client is asked
    /// to send a key for.
    pub fn group(&self) -> Option<NamedGroup> {
        match self.extension(ExtensionType::KEY_SHARE)? {
            Body::SelectedKeyShare(share) => Some(share.group),
            Body::SelectedGroup(group) => Some(group),
            _ => None,
        }
    }

    /// The application protocol chosen (TLS 1.2 and before; TLS 1.3 encrypts it).
    pub fn alpn(&self) -> Option<Octets<'a>> {
        match self.extension(ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION)? {
            Body::Protocols(mut protocols) => protocols.next()?.ok(),
            _ => None,
        }
    }

    /// The connection id that the server wants to receive (RFC 9146 §3).
    pub fn connection_id(&self) -> Option<Octets<'a>> {
        match self.extension(ExtensionType::CONNECTION_ID)? {
            Body::ConnectionId(id) => Some(id),
            _ => None,
        }
    }

    /// The version that the server could have spoken, where the end of its random says that
    /// it was made to speak an older one (RFC 9846 §4.1.3).
    pub fn downgraded_from(&self) -> Option<Version> {
        let (_, last) = self.random.split_last_chunk::<8>()?;
        match last {
            b"DOWNGRD\x01" => Some(Version::TLS_1_3),
            b"DOWNGRD\x00" => Some(Version::TLS_1_2),
            _ => None,
        }
    }
}

/// The HelloVerifyRequest of DTLS 1.0 and 1.2 (RFC 6347 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelloVerifyRequest<'a> {
    /// Octets 0..2. DTLS 1.0 whatever is spoken after.
    pub version: Version,
    /// What the client must send back.
    pub cookie: Octets<'a>,
}

impl<'a> HelloVerifyRequest<'a> {
    /// Reads the body.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        located("DTLS HelloVerifyRequest", body, body, |i| {
            let (i, version) = be_u16(i)?;
            let (i, cookie) = opaque8(i)?;
            let request = Self {
                version: Version(version),
                cookie: Octets(cookie),
            };
            Ok((i, request))
        })
        .map(|(_, request)| request)
    }
}
