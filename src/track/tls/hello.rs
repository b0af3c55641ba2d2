//! What the hellos and certificates of TLS and DTLS said, owned.

use std::ops::Deref;
use std::sync::Arc;

use vpnscope_dissectors::tls::extension::Body;
use vpnscope_dissectors::tls::fingerprint::{Carrier, ja4};
use vpnscope_dissectors::tls::{
    Certificate, Certificates, CipherSuite, ClientHello, ExtensionType, NamedGroup, ServerHello,
    SignatureScheme, Ssl2ClientHello, Version,
};

use crate::limits::CERTIFICATES;
use crate::track::memo::{certificate, offered};
use crate::track::session::Stamp;

/// Codes of a list that are kept.
const KEPT: usize = 128;
/// Certificates of a chain that are kept.
const CERTIFICATES_KEPT: usize = 8;

/// A `ClientHello`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The frame that completed it.
    pub at: Stamp,
    /// Its random.
    pub random: [u8; 32],
    /// The session it wants to resume, or a decoy.
    pub session_id: Vec<u8>,
    /// The host name it asks for.
    pub server_name: Option<String>,
    /// All else: a client says it again and again, and so do all of its make.
    pub offered: Arc<Offered>,
}

/// What every `ClientHello` of a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// What the old field says.
    pub version: Version,
    /// All versions offered, newest first where the client lists them.
    pub versions: Vec<Version>,
    /// Octets of the cookie, DTLS only.
    pub cookie: Option<usize>,
    /// Suites in the client's order, GREASE and signals left out.
    pub suites: Vec<CipherSuite>,
    /// Whether `TLS_FALLBACK_SCSV` is among them.
    pub is_fallback: bool,
    /// Groups in the client's order.
    pub groups: Vec<NamedGroup>,
    /// Groups it sent a key for.
    pub key_shares: Vec<NamedGroup>,
    /// Signature schemes in the client's order.
    pub schemes: Vec<SignatureScheme>,
    /// Application protocols.
    pub alpn: Vec<String>,
    /// It offers a pre-shared key or a ticket of TLS 1.3.
    pub has_psk: bool,
    /// It offers a ticket of TLS 1.2.
    pub has_ticket: bool,
    /// Its fingerprint.
    pub ja4: Arc<str>,
    /// Whether all of it was there.
    pub is_whole: bool,
}

impl Deref for Hello {
    type Target = Offered;

    fn deref(&self) -> &Offered {
        &self.offered
    }
}

impl Hello {
    /// Keeps what matters.
    pub fn of(hello: &ClientHello<'_>, at: Stamp, carrier: Carrier) -> Self {
        Self {
            at,
            random: *hello.random,
            session_id: hello.session_id.0.to_vec(),
            server_name: hello.server_name().map(|name| text(name.0)),
            offered: offered(hello, carrier),
        }
    }

    /// Keeps what matters of an SSL 2.0 hello.
    pub fn of_ssl2(hello: &Ssl2ClientHello<'_>, at: Stamp) -> Self {
        Self {
            at,
            random: [0; 32],
            session_id: hello.session_id.0.to_vec(),
            server_name: None,
            offered: Arc::new(Offered {
                version: hello.version,
                versions: vec![hello.version],
                cookie: None,
                suites: hello.cipher_suites().take(KEPT).collect(),
                is_fallback: false,
                groups: Vec::new(),
                key_shares: Vec::new(),
                schemes: Vec::new(),
                alpn: Vec::new(),
                has_psk: false,
                has_ticket: false,
                ja4: "".into(),
                is_whole: true,
            }),
        }
    }
}

impl Offered {
    /// Keeps what matters.
    pub(in crate::track) fn of(hello: &ClientHello<'_>, carrier: Carrier) -> Self {
        let mut versions: Vec<Version> = hello
            .supported_versions()
            .map(|versions| {
                let known = versions.iter().filter(|version| version.rank() > 0);
                gather(versions.len(), known)
            })
            .unwrap_or_default();
        if versions.is_empty() {
            versions.push(hello.version);
        }
        let suites = hello.cipher_suites.iter();
        let ticket = hello.extension(ExtensionType::SESSION_TICKET);
        Self {
            version: hello.version,
            versions,
            cookie: hello.cookie.map(|cookie| cookie.len()),
            suites: gather(
                hello.cipher_suites.len(),
                suites
                    .clone()
                    .filter(|suite| !suite.is_grease() && !suite.is_signal()),
            ),
            is_fallback: suites
                .clone()
                .any(|suite| suite == CipherSuite::TLS_FALLBACK_SCSV),
            groups: hello.groups().map_or_else(Vec::new, |groups| {
                let real = groups.iter().filter(|group| !group.is_grease());
                gather(groups.len(), real)
            }),
            key_shares: hello.key_shares().map_or_else(Vec::new, |shares| {
                let groups = shares.flatten().map(|share| share.group);
                groups
                    .filter(|group| !group.is_grease())
                    .take(KEPT)
                    .collect()
            }),
            schemes: hello
                .signature_algorithms()
                .map_or_else(Vec::new, |schemes| gather(schemes.len(), schemes.iter())),
            alpn: hello.alpn().map_or_else(Vec::new, |protocols| {
                let names = protocols.flatten().take(16);
                names.map(|name| text(name.0)).collect()
            }),
            has_psk: hello.extension(ExtensionType::PRE_SHARED_KEY).is_some(),
            has_ticket: matches!(ticket, Some(Body::SessionTicket(ticket)) if !ticket.is_empty()),
            ja4: ja4(hello, carrier).into(),
            is_whole: hello.fault.is_none(),
        }
    }

    /// The newest version offered.
    pub fn newest(&self) -> Version {
        let newest = self.versions.iter().max_by_key(|version| version.rank());
        newest.copied().unwrap_or(self.version)
    }

    /// The oldest version offered; a client that lists none takes any up to the newest.
    pub fn oldest_listed(&self) -> Version {
        let oldest = self.versions.iter().min_by_key(|version| version.rank());
        oldest.copied().unwrap_or(self.version)
    }
}

/// A `ServerHello` or `HelloRetryRequest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The frame that completed it.
    pub at: Stamp,
    /// Whether it asks for another `ClientHello`.
    pub is_retry: bool,
    /// The version chosen.
    pub version: Version,
    /// The suite chosen.
    pub suite: CipherSuite,
    /// The session that may be resumed, or is.
    pub session_id: Vec<u8>,
    /// The group chosen, TLS 1.3.
    pub group: Option<NamedGroup>,
    /// The protocol chosen, TLS 1.2 and before.
    pub alpn: Option<String>,
    /// It uses a pre-shared key of TLS 1.3.
    pub has_psk: bool,
}

impl Answer {
    /// Keeps what matters.
    pub fn of(hello: &ServerHello<'_>, at: Stamp) -> Self {
        Self {
            at,
            is_retry: hello.is_hello_retry_request(),
            version: hello.selected_version(),
            suite: hello.cipher_suite,
            session_id: hello.session_id.0.to_vec(),
            group: hello.group(),
            alpn: hello.alpn().map(|name| text(name.0)),
            has_psk: hello.extension(ExtensionType::PRE_SHARED_KEY).is_some(),
        }
    }

    /// Whether it is TLS 1.3 or DTLS 1.3.
    pub fn is_tls13(&self) -> bool {
        self.version.rank() >= Version::TLS_1_3.rank()
    }
}

/// A Certificate message in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The frame that completed it.
    pub at: Stamp,
    /// The certificates that could be read, the sender's own first.
    pub certificates: Vec<Arc<Certificate>>,
    /// How many there are.
    pub count: usize,
}

impl Chain {
    /// Keeps what matters.
    pub fn of(message: &Certificates<'_>, at: Stamp) -> Self {
        let entries = message.entries().flatten();
        Self {
            at,
            certificates: entries
                .take(CERTIFICATES.or(CERTIFICATES_KEPT))
                .filter_map(|entry| certificate(entry.der.0))
                .collect(),
            count: message.entries().flatten().count(),
        }
    }

    /// How many of them were not read for lack of room.
    pub fn left_out(&self) -> usize {
        let most = CERTIFICATES.or(CERTIFICATES_KEPT);
        self.count.saturating_sub(most)
    }

    /// The sender's own certificate.
    pub fn leaf(&self) -> Option<&Certificate> {
        self.certificates.first().map(|leaf| &**leaf)
    }
}

/// Codes of a list of at most so many, in one piece of memory.
fn gather<T>(most: usize, codes: impl Iterator<Item = T>) -> Vec<T> {
    let mut list = Vec::with_capacity(most.min(KEPT));
    list.extend(codes.take(KEPT));
    list
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets.get(..octets.len().min(255)).unwrap_or_default()).into_owned()
}
