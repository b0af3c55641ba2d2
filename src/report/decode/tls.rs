//! The `tls` layer: records that end in a frame, messages completed in it, clear alerts.

use serde_json::{Map, Value, json};
use vpnscope_dissectors::tls::extension::{Body, EncryptedClientHello};
use vpnscope_dissectors::tls::fingerprint::{Carrier, ja3, ja4};
use vpnscope_dissectors::tls::{
    Alert, Certificate, Certificates, CipherSuite, ClientHello, Codes, Context, ExtensionType,
    Extensions, HandshakeType, Message, Place, ServerHello, Version,
};
use vpnscope_dissectors::{Octets, ParseError};

use super::{Layer, first};
use crate::limits::CERTIFICATES;
use crate::time::Timestamp;
use crate::track::TlsWhat as What;

/// Certificates of one message that are shown, and names of one certificate.
const SHOWN: usize = 64;

/// Adds what a TLS stream gave to the layer of its frame.
pub(super) fn add(layer: &mut Layer, what: &What<'_>, context: Context, truncated: bool) {
    match what {
        What::Record {
            content_type,
            version,
            length,
            clear,
            ..
        } => {
            let record = json!({
                "content_type": content_type.0, "content_type_name": content_type.to_string(),
                "version": version.0, "version_name": version.to_string(),
                "length": length, "clear": clear,
            });
            push(layer, "records", record);
        }
        What::Handshake { message_type, body } => {
            let (fields, error) = message(*message_type, body, context);
            note(layer, error);
            push(layer, "handshakes", Value::Object(fields));
        }
        What::HandshakeCut {
            message_type,
            length,
            body,
        } => {
            let mut fields = head(*message_type, *length);
            fields.insert("cut".into(), true.into());
            if !truncated {
                let have = body.len();
                layer.error.get_or_insert_with(|| {
                    format!(
                        "TLS handshake message: {length} octets needed, {have} available at octet 4"
                    )
                });
            }
            if *message_type == HandshakeType::CLIENT_HELLO
                && let Ok(hello) = ClientHello::parse(body)
            {
                client_hello(&mut fields, &hello, context.is_dtls);
            }
            push(layer, "handshakes", Value::Object(fields));
        }
        What::Ssl2Hello(hello) => {
            let record = json!({
                "content_type": null, "version": 2, "version_name": "SSL 2.0",
                "length": hello.length,
            });
            push(layer, "records", record);
            let mut fields = head(HandshakeType::CLIENT_HELLO, u32::from(hello.length));
            version(&mut fields, hello.version);
            fields.insert("session_id".into(), hello.session_id.to_string().into());
            suites(&mut fields, hello.cipher_suites());
            push(layer, "handshakes", Value::Object(fields));
        }
        What::Alert(found) => push(layer, "alerts", alert(*found)),
        What::NotTls(octets) => {
            let text: String = octets
                .iter()
                .take_while(|octet| octet.is_ascii_graphic() || **octet == b' ')
                .map(|octet| char::from(*octet))
                .collect();
            layer.error.get_or_insert_with(|| {
                format!(
                    "TLS record: not TLS, starts with {:?} ({text:?})",
                    Octets(octets)
                )
            });
        }
        What::Unreadable(error) => note(layer, Some(*error)),
    }
}

fn note(layer: &mut Layer, error: Option<ParseError>) {
    if let Some(error) = error {
        layer.error.get_or_insert_with(|| error.to_string());
    }
}

/// Adds to one of the lists of a layer.
pub(super) fn push(layer: &mut Layer, list: &str, value: Value) {
    let entry = layer
        .fields
        .entry(list)
        .or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(values) = entry {
        values.push(value);
    }
}

/// Type and length of a handshake message.
pub(super) fn head(message_type: HandshakeType, length: u32) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("type".into(), message_type.0.into());
    fields.insert("type_name".into(), message_type.to_string().into());
    fields.insert("length".into(), length.into());
    fields
}

/// A clear alert.
pub(super) fn alert(alert: Alert) -> Value {
    json!({
        "level": alert.level.0, "level_name": alert.level.to_string(),
        "description": alert.description.0, "description_name": alert.description.to_string(),
    })
}

/// A handshake message, and what is wrong with it.
pub(super) fn message(
    message_type: HandshakeType,
    body: &[u8],
    context: Context,
) -> (Map<String, Value>, Option<ParseError>) {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut fields = head(message_type, length);
    let error = match Message::parse(message_type, body, context) {
        Err(error) => Some(error),
        Ok(message) => read(&mut fields, &message, context),
    };
    (fields, error)
}

fn read(
    fields: &mut Map<String, Value>,
    message: &Message<'_>,
    context: Context,
) -> Option<ParseError> {
    match message {
        Message::ClientHello(hello) => return client_hello(fields, hello, context.is_dtls),
        Message::ServerHello(hello) => return server_hello(fields, hello),
        Message::HelloVerifyRequest(request) => {
            version(fields, request.version);
            fields.insert("cookie".into(), request.cookie.to_string().into());
        }
        Message::Certificate(certificates) => return certificate(fields, certificates),
        Message::ServerKeyExchange(exchange) => {
            if let Some(group) = exchange.group() {
                fields.insert("group".into(), group.0.into());
                fields.insert("group_name".into(), group.to_string().into());
            }
            if let Some(scheme) = exchange.scheme {
                fields.insert("signature_algorithm".into(), scheme.0.into());
                fields.insert("signature_algorithm_name".into(), scheme.to_string().into());
            }
        }
        Message::CertificateRequest(request) => {
            let schemes: Vec<u16> = request.schemes.iter().map(|scheme| scheme.0).collect();
            fields.insert("signature_algorithms".into(), schemes.into());
            let authorities = request.authorities;
            fields.insert("authorities".into(), authorities.flatten().count().into());
        }
        Message::ClientKeyExchange(exchange) => {
            if let Some(identity) = exchange.psk_identity {
                fields.insert("psk_identity".into(), text(identity.0).into());
            }
        }
        Message::NewSessionTicket(ticket) => {
            fields.insert("lifetime_s".into(), ticket.lifetime_s.into());
            fields.insert("ticket_length".into(), ticket.ticket.len().into());
        }
        Message::CertificateStatus(status) => {
            fields.insert("status_type".into(), status.status_type.0.into());
            fields.insert("response_length".into(), status.response.len().into());
        }
        _ => {}
    }
    None
}

/// The fields of a ClientHello, and what is wrong with it.
fn client_hello(
    fields: &mut Map<String, Value>,
    hello: &ClientHello<'_>,
    is_dtls: bool,
) -> Option<ParseError> {
    version(fields, hello.version);
    fields.insert("session_id".into(), hello.session_id.to_string().into());
    if let Some(cookie) = hello.cookie {
        fields.insert("cookie".into(), cookie.to_string().into());
    }
    suites(fields, hello.cipher_suites.iter());
    extensions(fields, hello.extensions);
    if let Some(name) = hello.server_name() {
        fields.insert("sni".into(), text(name.0).into());
    }
    if let Some(protocols) = hello.alpn() {
        let names: Vec<String> = protocols.flatten().take(SHOWN).map(|p| text(p.0)).collect();
        fields.insert("alpn".into(), names.into());
    }
    if let Some(versions) = hello.supported_versions() {
        codes(fields, "supported_versions", &versions, |version| version.0);
    }
    if let Some(groups) = hello.groups() {
        codes(fields, "groups", &groups, |group| group.0);
    }
    if let Some(schemes) = hello.signature_algorithms() {
        codes(fields, "signature_algorithms", &schemes, |scheme| scheme.0);
    }
    if let Some(shares) = hello.key_shares() {
        let groups: Vec<u16> = shares.flatten().map(|share| share.group.0).collect();
        fields.insert("key_share_groups".into(), groups.into());
    }
    if let Some(id) = hello.connection_id() {
        fields.insert("connection_id".into(), id.to_string().into());
    }
    if hello.extension(ExtensionType::PRE_SHARED_KEY).is_some() {
        fields.insert("pre_shared_key".into(), true.into());
    }
    structures(fields, hello.extensions, Place::ClientHello);
    let carrier = if is_dtls { Carrier::Dtls } else { Carrier::Tcp };
    fields.insert("ja3".into(), ja3(hello).into());
    fields.insert("ja4".into(), ja4(hello, carrier).into());
    hello.fault
}

fn server_hello(fields: &mut Map<String, Value>, hello: &ServerHello<'_>) -> Option<ParseError> {
    version(fields, hello.version);
    let selected = hello.selected_version();
    fields.insert("selected_version".into(), selected.0.into());
    fields.insert("selected_version_name".into(), selected.to_string().into());
    fields.insert("session_id".into(), hello.session_id.to_string().into());
    fields.insert("cipher_suite".into(), hello.cipher_suite.0.into());
    fields.insert(
        "cipher_suite_name".into(),
        hello.cipher_suite.to_string().into(),
    );
    extensions(fields, hello.extensions);
    if hello.is_hello_retry_request() {
        fields.insert("hello_retry_request".into(), true.into());
    }
    if let Some(group) = hello.group() {
        fields.insert("group".into(), group.0.into());
        fields.insert("group_name".into(), group.to_string().into());
    }
    if let Some(protocol) = hello.alpn() {
        fields.insert("alpn".into(), text(protocol.0).into());
    }
    if let Some(id) = hello.connection_id() {
        fields.insert("connection_id".into(), id.to_string().into());
    }
    structures(fields, hello.extensions, Place::ServerHello);
    hello.fault
}

/// What the extensions say that no method of the hello tells.
fn structures(fields: &mut Map<String, Value>, extensions: Extensions<'_>, place: Place) {
    for extension in extensions.iter().flatten().take(SHOWN) {
        let (name, value) = match extension.read(place) {
            Ok(Body::Cookie(cookie)) => ("cookie", json!(cookie.to_string())),
            Ok(Body::MaxFragmentLength(code)) => ("max_fragment_length", json!(code.0)),
            Ok(Body::RecordSizeLimit(limit)) => ("record_size_limit", json!(limit)),
            Ok(Body::StatusRequest(request)) => ("status_request", json!(request.status_type.0)),
            Ok(Body::PskKeyExchangeModes(modes)) => ("psk_key_exchange_modes", json!(modes.0)),
            Ok(Body::PointFormats(formats)) => ("ec_point_formats", json!(formats.0)),
            Ok(Body::RenegotiationInfo(info)) => ("renegotiation_info", json!(info.to_string())),
            Ok(Body::SessionTicket(ticket)) => ("session_ticket_length", json!(ticket.len())),
            Ok(Body::Heartbeat(mode)) => ("heartbeat", json!(mode)),
            Ok(Body::Padding(octets)) => ("padding", json!(octets)),
            Ok(Body::SelectedIdentity(index)) => ("selected_identity", json!(index)),
            Ok(Body::TicketRequest(new, resumed)) => ("ticket_request", json!([new, resumed])),
            Ok(Body::EncryptedClientHello(EncryptedClientHello::Outer { config_id, .. })) => {
                ("encrypted_client_hello", json!({ "config_id": config_id }))
            }
            _ => continue,
        };
        fields.insert(name.to_string(), value);
    }
}

fn certificate(
    fields: &mut Map<String, Value>,
    certificates: &Certificates<'_>,
) -> Option<ParseError> {
    let mut list = Vec::new();
    let mut fault = None;
    let (shown, beyond) = first(certificates.entries(), CERTIFICATES.or(SHOWN));
    for entry in shown {
        match entry.map(|entry| Certificate::parse(entry.der.0)) {
            Ok(Ok(certificate)) => list.push(describe(&certificate)),
            Ok(Err(error)) => list.push(json!({ "error": error.to_string() })),
            Err(error) => fault = Some(error),
        }
    }
    fields.insert("certificates".into(), list.into());
    if beyond > 0 {
        fields.insert("certificates_not_shown".into(), beyond.into());
    }
    fault
}

fn describe(certificate: &Certificate) -> Value {
    let names: Vec<String> = certificate
        .subject_alternative_names
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    json!({
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "not_before": Timestamp::from_parts(certificate.not_before_s, 0).to_string(),
        "not_after": Timestamp::from_parts(certificate.not_after_s, 0).to_string(),
        "sans": names,
        "key": certificate.key,
        "sha256": certificate.sha256,
    })
}

fn version(fields: &mut Map<String, Value>, version: Version) {
    fields.insert("version".into(), version.0.into());
    fields.insert("version_name".into(), version.to_string().into());
}

fn suites(fields: &mut Map<String, Value>, suites: impl Iterator<Item = CipherSuite>) {
    let suites: Vec<CipherSuite> = suites.collect();
    let numbers: Vec<u16> = suites.iter().map(|suite| suite.0).collect();
    let names: Vec<String> = suites.iter().map(ToString::to_string).collect();
    fields.insert("cipher_suites".into(), numbers.into());
    fields.insert("cipher_suites_names".into(), names.into());
}

fn codes<T: From<u16> + ToString>(
    fields: &mut Map<String, Value>,
    name: &str,
    codes: &Codes<'_, T>,
    number: impl Fn(&T) -> u16,
) {
    let numbers: Vec<u16> = codes.iter().map(|code| number(&code)).collect();
    let names: Vec<String> = codes.iter().map(|code| code.to_string()).collect();
    fields.insert(name.into(), numbers.into());
    fields.insert(format!("{name}_names"), names.into());
}

fn extensions(fields: &mut Map<String, Value>, extensions: Extensions<'_>) {
    let types: Vec<ExtensionType> = extensions
        .iter()
        .flatten()
        .map(|extension| extension.extension_type)
        .collect();
    let numbers: Vec<u16> = types.iter().map(|ext| ext.0).collect();
    let names: Vec<String> = types.iter().map(ToString::to_string).collect();
    fields.insert("extensions".into(), numbers.into());
    fields.insert("extensions_names".into(), names.into());
}

/// Octets that should be text.
fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Whether a layer shows nothing but records with application data.
pub(super) fn is_plain_data(layer: &Layer) -> bool {
    layer.error.is_none()
        && layer.fields.keys().all(|key| key == "records")
        && layer
            .fields
            .get("records")
            .and_then(Value::as_array)
            .is_none_or(|records| {
                records
                    .iter()
                    .all(|record| record.get("content_type") == Some(&json!(23)))
            })
}
