//! Flights of TLS and DTLS, described.

use vpnscope_dissectors::Octets;
use vpnscope_dissectors::tls::{
    AlertLevel, Certificate, Certificates, CipherSuite, ClientHello, Context, ExtensionType,
    HandshakeType, ServerHello, Version,
};
use vpnscope_dissectors::tls::{Extensions, Message as Handshake};

use super::super::conversation::{Message, Protocol};
use super::super::tls::{Flight, flight};
use super::{Description, Field, Round, Rule, list, same, varies};

/// Describes what one end said in one go.
pub(super) fn describe(protocol: Protocol, group: &[&Message]) -> Option<Description> {
    let first = group.first()?;
    let flight = flight(protocol, group);
    let mut facts = Facts {
        dtls: protocol == Protocol::Dtls,
        fields: Vec::new(),
        name: None,
        rank: 0,
        round: Round::No,
        resumes: false,
        context: Context {
            is_dtls: protocol == Protocol::Dtls,
            ..Context::default()
        },
    };
    facts.read(&flight);
    facts.close(&flight, group);
    let refusal = flight
        .alerts
        .iter()
        .find(|alert| alert.level == AlertLevel::FATAL)
        .map(|alert| alert.description.to_string());
    let name = facts.name.unwrap_or_else(|| match &refusal {
        Some(alert) => format!("Alert {alert}"),
        None if !flight.alerts.is_empty() => "Alert (warning)".to_string(),
        None if flight.hidden > 0 => "encrypted records".to_string(),
        None => "octets".to_string(),
    });
    Some(Description {
        name,
        from: first.from,
        rank: facts.rank,
        resumes: facts.resumes,
        refusal,
        round: facts.round,
        fields: facts.fields,
        time: first.time,
        frame: first.frame,
    })
}

struct Facts {
    dtls: bool,
    fields: Vec<Field>,
    name: Option<String>,
    rank: u8,
    round: Round,
    resumes: bool,
    context: Context,
}

impl Facts {
    fn read(&mut self, flight: &Flight) {
        let mut kinds = Vec::new();
        for (kind, body) in &flight.handshakes {
            kinds.push(kind.to_string());
            match Handshake::parse(*kind, body, self.context) {
                Ok(message) => self.message(*kind, &message),
                Err(error) => self.fields.push(same("malformed", error.to_string())),
            }
        }
        if flight.get(HandshakeType::SERVER_HELLO_DONE).is_some() && self.rank > 0 {
            self.rank = 4;
        }
        let short = flight.get(HandshakeType::SERVER_HELLO).is_some()
            && flight.get(HandshakeType::SERVER_HELLO_DONE).is_none()
            && flight.get(HandshakeType::CERTIFICATE).is_none();
        if short && flight.changed && self.rank == 2 {
            // An abbreviated handshake (RFC 5246 §7.3): this is all there is to it.
            self.resumes = true;
            self.rank = 4;
        }
        self.fields.extend(list("messages", &kinds));
        let alerts: Vec<String> = flight
            .alerts
            .iter()
            .map(|alert| format!("{} {}", alert.level, alert.description))
            .collect();
        self.fields.extend(list("alert", &alerts));
    }

    fn message(&mut self, kind: HandshakeType, message: &Handshake<'_>) {
        match message {
            Handshake::ClientHello(hello) => self.client_hello(hello),
            Handshake::ServerHello(hello) => self.server_hello(hello),
            Handshake::HelloVerifyRequest(request) => {
                self.name.get_or_insert_with(|| kind_name(kind));
                self.round = Round::Cookie;
                self.fields
                    .push(varies("cookie", Octets(&request.cookie).to_string()));
                self.fields
                    .push(same("version", request.version.to_string()));
            }
            Handshake::Certificate(certificates) => self.certificate(certificates),
            Handshake::ServerKeyExchange(exchange) => {
                if let Some(group) = exchange.group() {
                    self.fields.push(same("group", group.to_string()));
                }
                if let Some(scheme) = exchange.scheme {
                    self.fields.push(same("signature", scheme.to_string()));
                }
            }
            Handshake::CertificateRequest(request) => {
                let text = format!(
                    "types {}; schemes {}; {} authorities",
                    request.certificate_types,
                    join(request.schemes.iter()),
                    request.authorities.count()
                );
                self.fields.push(same("certificate_request", text));
            }
            _ => {}
        }
    }

    fn client_hello(&mut self, hello: &ClientHello<'_>) {
        let cookie = hello.cookie.filter(|cookie| !cookie.is_empty());
        self.round = if cookie.is_some() {
            Round::Cookie
        } else {
            Round::No
        };
        let suffix = if cookie.is_some() { " (cookie)" } else { "" };
        self.name = Some(format!("ClientHello{suffix}"));
        self.fields
            .push(same("version", hello.newest_version().to_string()));
        self.fields
            .push(same("cipher_suites", join(hello.cipher_suites.iter())));
        self.extensions(&hello.extensions);
        if let Some(name) = hello.server_name() {
            let text = String::from_utf8_lossy(&name).into_owned();
            self.fields.push(same("sni", text));
        }
        if let Some(groups) = hello.groups() {
            self.fields.push(same("groups", join(groups.iter())));
        }
        self.fields
            .push(varies("random", Octets(hello.random).to_string()));
        self.fields
            .push(varies("session_id", hello.session_id.to_string()));
        if let Some(cookie) = cookie {
            self.fields.push(varies("cookie", cookie.to_string()));
        }
    }

    fn server_hello(&mut self, hello: &ServerHello<'_>) {
        let retry = hello.is_hello_retry_request();
        let version = hello.selected_version();
        let name = if retry {
            "HelloRetryRequest"
        } else {
            "ServerHello"
        };
        if retry {
            self.round = Round::Retry;
        } else {
            self.rank = if version.rank() >= Version::TLS_1_3.rank() {
                4
            } else {
                2
            };
        }
        self.name.get_or_insert_with(|| name.to_string());
        self.resumes |= hello.extension(ExtensionType::PRE_SHARED_KEY).is_some();
        self.context.version = Some(version);
        self.context.suite = Some(hello.cipher_suite);
        self.fields.push(same("version", version.to_string()));
        let suite: CipherSuite = hello.cipher_suite;
        self.fields.push(same("cipher_suite", suite.to_string()));
        self.fields
            .push(same("compression", hello.compression_method.to_string()));
        self.extensions(&hello.extensions);
        if let Some(group) = hello.group() {
            self.fields.push(same("group", group.to_string()));
        }
        if let Some(protocol) = hello.alpn() {
            let text = String::from_utf8_lossy(&protocol).into_owned();
            self.fields.push(same("alpn", text));
        }
        self.fields
            .push(varies("random", Octets(hello.random).to_string()));
        self.fields
            .push(varies("session_id", hello.session_id.to_string()));
    }

    fn extensions(&mut self, extensions: &Extensions<'_>) {
        let names: Vec<String> = extensions
            .into_iter()
            .flatten()
            .map(|extension| extension.extension_type.to_string())
            .collect();
        self.fields.extend(list("extensions", &names));
    }

    fn certificate(&mut self, certificates: &Certificates<'_>) {
        let mut texts = Vec::new();
        for entry in certificates.entries().flatten() {
            texts.push(match Certificate::parse(&entry.der) {
                Ok(certificate) => format!(
                    "{} ({})",
                    certificate.subject,
                    certificate.sha256.get(..16).unwrap_or_default()
                ),
                Err(error) => format!("unreadable: {error}"),
            });
        }
        self.fields.push(same("certificate", texts.join(", ")));
    }

    /// What holds for the flight as a whole.
    fn close(&mut self, flight: &Flight, group: &[&Message]) {
        if let Some(version) = flight.version {
            self.fields
                .push(same("record_version", version.to_string()));
        }
        if flight.hidden > 0 {
            self.fields.push(Field {
                name: "encrypted",
                value: format!("{} octets", flight.hidden),
                rule: Rule::Hidden,
            });
        }
        let octets: usize = group.iter().map(|message| message.octets.len()).sum();
        // Signatures of elliptic curves differ in length from one to the next.
        self.fields.push(varies("size", format!("{octets} octets")));
        if self.dtls {
            self.fields
                .push(varies("datagrams", group.len().to_string()));
        }
    }
}

fn kind_name(kind: HandshakeType) -> String {
    match kind {
        HandshakeType::HELLO_VERIFY_REQUEST => "HelloVerifyRequest".to_string(),
        other => other.to_string(),
    }
}

fn join<T: std::fmt::Display>(items: impl Iterator<Item = T>) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(" ")
}
