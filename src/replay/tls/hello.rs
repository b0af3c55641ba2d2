//! A ClientHello taken apart for changes, and put together again.

use vpnscope_dissectors::tls::ClientHello;

use super::super::rng::Rng;
use super::super::settings::{Settings, Substitution, Variation};

/// Extensions that are touched (IANA "TLS `ExtensionType` Values").
const SERVER_NAME: u16 = 0;
const SESSION_TICKET: u16 = 35;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const COOKIE: u16 = 44;
const KEY_SHARE: u16 = 51;

/// A ClientHello that can be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    version: u16,
    random: Vec<u8>,
    pub(super) session_id: Vec<u8>,
    /// Of DTLS.
    pub(super) cookie: Option<Vec<u8>>,
    suites: Vec<u16>,
    compression: Vec<u8>,
    extensions: Option<Vec<(u16, Vec<u8>)>>,
}

impl Hello {
    /// Takes the body of a ClientHello apart; `None` where it is malformed.
    pub(super) fn new(body: &[u8], dtls: bool) -> Option<Self> {
        let hello = if dtls {
            ClientHello::parse_dtls(body).ok()?
        } else {
            ClientHello::parse(body).ok()?
        };
        if hello.fault.is_some() {
            return None;
        }
        let cookie = hello.cookie.map(|cookie| cookie.to_vec());
        let suites: Vec<u16> = hello.cipher_suites.iter().map(|suite| suite.0).collect();
        let before = 2
            + 32
            + 1
            + hello.session_id.len()
            + cookie.as_ref().map_or(0, |cookie| 1 + cookie.len())
            + 2
            + 2 * suites.len()
            + 1
            + hello.compression_methods.len();
        let rest = body.get(before..)?;
        Some(Self {
            version: hello.version.0,
            random: hello.random.to_vec(),
            session_id: hello.session_id.to_vec(),
            cookie,
            suites,
            compression: hello.compression_methods.to_vec(),
            extensions: if rest.is_empty() {
                None
            } else {
                Some(extensions(rest.get(2..)?)?)
            },
        })
    }

    /// Makes the substitutions and variations.
    pub(super) fn change(&mut self, settings: &Settings, rng: &mut Rng) {
        if settings.does(Substitution::Random) {
            rng.fill(&mut self.random);
            rng.fill(&mut self.session_id);
        }
        if let Some(cookie) = &mut self.cookie
            && settings.does(Substitution::DtlsCookie)
        {
            cookie.clear();
        }
        if let Some(extensions) = &mut self.extensions {
            if settings.does(Substitution::Binders) {
                extensions.retain(|(kind, _)| ![PRE_SHARED_KEY, EARLY_DATA].contains(kind));
                for (_, body) in extensions.iter_mut().filter(|(k, _)| *k == SESSION_TICKET) {
                    body.clear();
                }
            }
            if settings.does(Substitution::DtlsCookie) {
                extensions.retain(|(kind, _)| *kind != COOKIE);
            }
        }
        if let Some(name) = &settings.sni
            && settings.does(Substitution::ServerName)
        {
            self.set(SERVER_NAME, server_name(name));
        }
        for variation in &settings.variations {
            match variation {
                Variation::Version(version) => self.version = *version,
                Variation::Ciphers(suites) => self.suites.clone_from(suites),
                _ => {}
            }
        }
    }

    /// Puts an extension in the place of the recorded one, or last.
    fn set(&mut self, kind: u16, body: Vec<u8>) {
        let extensions = self.extensions.get_or_insert_default();
        match extensions.iter_mut().find(|(this, _)| *this == kind) {
            Some((_, old)) => *old = body,
            None => extensions.push((kind, body)),
        }
    }

    /// What a HelloRetryRequest asks for: a key share in a group, a cookie.
    pub(super) fn retry(&mut self, share: Option<(u16, Vec<u8>)>, cookie: Option<&[u8]>) {
        if let Some((group, value)) = share {
            let mut entry = group.to_be_bytes().to_vec();
            entry.extend(prefixed16(&value));
            self.set(KEY_SHARE, prefixed16(&entry));
        }
        if let Some(cookie) = cookie {
            self.set(COOKIE, prefixed16(cookie));
        }
    }

    /// The value of a key share in this group.
    pub(super) fn share(&self, group: u16) -> Option<Vec<u8>> {
        let (_, body) = self
            .extensions
            .as_ref()?
            .iter()
            .find(|(k, _)| *k == KEY_SHARE)?;
        let mut rest = body.get(2..)?;
        while let Some((&[a, b, c, d], after)) = rest.split_first_chunk::<4>() {
            let (value, after) = after.split_at_checked(usize::from(u16::from_be_bytes([c, d])))?;
            if u16::from_be_bytes([a, b]) == group {
                return Some(value.to_vec());
            }
            rest = after;
        }
        None
    }

    /// The body.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend(&self.random);
        body.extend(prefixed8(&self.session_id));
        if let Some(cookie) = &self.cookie {
            body.extend(prefixed8(cookie));
        }
        let suites: Vec<u8> = self.suites.iter().flat_map(|s| s.to_be_bytes()).collect();
        body.extend(prefixed16(&suites));
        body.extend(prefixed8(&self.compression));
        if let Some(extensions) = &self.extensions {
            let mut all = Vec::new();
            for (kind, octets) in extensions {
                all.extend(kind.to_be_bytes());
                all.extend(prefixed16(octets));
            }
            body.extend(prefixed16(&all));
        }
        body
    }
}

fn extensions(mut rest: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut list = Vec::new();
    while !rest.is_empty() {
        let (&[a, b, c, d], after) = rest.split_first_chunk::<4>()?;
        let (body, after) = after.split_at_checked(usize::from(u16::from_be_bytes([c, d])))?;
        list.push((u16::from_be_bytes([a, b]), body.to_vec()));
        rest = after;
    }
    Some(list)
}

/// A list of one host name (RFC 6066 §3).
fn server_name(name: &str) -> Vec<u8> {
    let mut entry = vec![0];
    entry.extend(prefixed16(name.as_bytes()));
    prefixed16(&entry)
}

fn prefixed8(octets: &[u8]) -> Vec<u8> {
    let cut = octets.get(..255).unwrap_or(octets);
    let mut all = vec![u8::try_from(cut.len()).unwrap_or(u8::MAX)];
    all.extend(cut);
    all
}

fn prefixed16(octets: &[u8]) -> Vec<u8> {
    let cut = octets.get(..65_535).unwrap_or(octets);
    let mut all = u16::try_from(cut.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes()
        .to_vec();
    all.extend(cut);
    all
}
