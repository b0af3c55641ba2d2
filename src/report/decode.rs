//! The serialised model of `decode`: every VPN-relevant frame, layer by layer.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::decap::{Encapsulation, Envelope, Icmp, Quoted};
use crate::dissect::{self, Class};
use crate::track::{DtlsEvent, Event, Over, TlsEvent, What};

mod dtls;
mod ike;
mod ike1;
mod ike2;
mod l2tp;
mod ppp;
mod tls;

/// One frame that holds a VPN-relevant layer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FrameReport {
    /// Capture, from 0.
    pub capture: u16,
    /// Frame number.
    pub frame: u64,
    /// Time, UTC, RFC 3339.
    pub time: String,
    /// Length on the wire.
    pub len: u32,
    /// Source address of the innermost datagram.
    pub src: String,
    /// Its destination address.
    pub dst: String,
    /// UDP or TCP source port.
    pub sport: u16,
    /// UDP or TCP destination port.
    pub dport: u16,
    /// What was peeled off, outermost first.
    pub encapsulation: Vec<String>,
    /// Frames a datagram or message was put together from, where there is more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<u64>,
    /// The layers.
    pub layers: Vec<Layer>,
}

/// One layer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Layer {
    /// `ike`, `nat-keepalive`, `esp`, `ah`, `l2tp`, `ppp`, `tls`, `dtls`, `icmp`.
    pub layer: &'static str,
    /// What is malformed, and at which octet; what was read before it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The fields of the layer.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Layer {
    /// A layer without fields.
    pub fn new(layer: &'static str) -> Self {
        Self {
            layer,
            error: None,
            fields: Map::new(),
        }
    }

    /// With a list of its first items, and the count of those beyond where there are any.
    fn with_first(self, name: &str, (items, beyond): (Vec<Value>, usize)) -> Self {
        let layer = self.with(name, items);
        if beyond == 0 {
            return layer;
        }
        layer.with(&format!("{name}_not_shown"), beyond)
    }

    /// With a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_string(), value.into());
        self
    }
}

/// The first of some items, and how many there are beyond.
fn first<T>(mut items: impl Iterator<Item = T>, most: usize) -> (Vec<T>, usize) {
    let first = items.by_ref().take(most).collect();
    (first, items.count())
}

/// Whether secrets are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secrets(pub bool);

/// Collects the events of one frame.
#[derive(Debug, Default)]
pub struct Builder {
    current: Option<FrameReport>,
}

impl Builder {
    /// Adds an event; its layers join those of the same frame.
    pub fn add(&mut self, event: &Event<'_>, len: u32, secrets: Secrets) {
        let joins = matches!(event.what, What::Tls(TlsEvent::Item { .. }) | What::Dtls(_));
        let layers = layers(event, secrets);
        if layers.is_empty() && !joins {
            return;
        }
        let report = self.current.get_or_insert_with(|| frame(event, len));
        for frame in event.frames {
            if event.frames.len() > 1 && !report.frames.contains(frame) {
                report.frames.push(*frame);
            }
        }
        report.layers.extend(layers);
        report.join(event);
    }

    /// The frame that is complete now.
    pub fn take(&mut self) -> Option<FrameReport> {
        let mut report = self.current.take()?;
        // A segment that holds only encrypted application data has no line.
        report
            .layers
            .retain(|layer| layer.layer != "tls" || !tls::is_plain_data(layer));
        (!report.layers.is_empty()).then_some(report)
    }
}

impl FrameReport {
    /// Adds what has one layer for all that a frame holds of it.
    fn join(&mut self, event: &Event<'_>) {
        let truncated = event.envelope.truncated;
        match event.what {
            What::Tls(TlsEvent::Item { context, what, .. }) => {
                self.change("tls", |layer| tls::add(layer, &what, context, truncated));
            }
            What::Dtls(DtlsEvent { item }) => {
                self.change("dtls", |layer| {
                    dtls::add(layer, &item.what, item.context, truncated);
                });
            }
            _ => {}
        }
    }

    /// Changes the layer of that name, made if it is not there.
    fn change(&mut self, name: &'static str, change: impl FnOnce(&mut Layer)) {
        if let Some(layer) = self.layers.iter_mut().find(|layer| layer.layer == name) {
            change(layer);
        } else {
            let mut layer = Layer::new(name);
            change(&mut layer);
            self.layers.push(layer);
        }
    }
}

fn frame(event: &Event<'_>, len: u32) -> FrameReport {
    let envelope = event.envelope;
    FrameReport {
        capture: envelope.capture,
        frame: envelope.frame,
        time: envelope.time.to_string(),
        len,
        src: envelope.source.to_string(),
        dst: envelope.destination.to_string(),
        sport: envelope.source_port,
        dport: envelope.destination_port,
        encapsulation: encapsulation(envelope.encapsulation),
        frames: Vec::new(),
        layers: Vec::new(),
    }
}

fn encapsulation(peels: Encapsulation) -> Vec<String> {
    peels.iter().map(|peel| peel.to_string()).collect()
}

fn layers(event: &Event<'_>, secrets: Secrets) -> Vec<Layer> {
    let truncated = event.envelope.truncated;
    match event.what {
        What::Ike { message, .. } => vec![ike::layer(&message, truncated, secrets)],
        What::NatKeepalive => vec![Layer::new("nat-keepalive")],
        What::Esp {
            spi,
            sequence,
            over,
            ..
        } => vec![
            Layer::new("esp")
                .with("spi", format!("{spi:08x}"))
                .with("sequence", sequence)
                .with("over", over.word()),
        ],
        What::Ah {
            spi,
            sequence,
            next_header,
        } => vec![
            Layer::new("ah")
                .with("spi", format!("{spi:08x}"))
                .with("sequence", sequence)
                .with("next_header", next_header),
        ],
        What::L2tp { message, .. } => {
            let mut layers = vec![l2tp::layer(&message, truncated, secrets)];
            if !message.is_control() && message.flags.version() == 2 {
                layers.extend(
                    vpnscope_dissectors::ppp::Frame::parse(message.body)
                        .ok()
                        .map(|frame| ppp::layer(&frame, truncated, secrets)),
                );
            }
            layers
        }
        What::Pppoe { packet } => vec![ppp::pppoe(&packet, truncated, secrets)],
        What::Ppp { frame } => vec![ppp::layer(&frame, truncated, secrets)],
        What::Icmp(icmp) => icmp_layers(&icmp),
        What::Unreadable(error) => {
            let layer = if error.what.starts_with("L2TP") {
                "l2tp"
            } else {
                "ike"
            };
            vec![Layer {
                error: Some(error.to_string()),
                ..Layer::new(layer)
            }]
        }
        What::Radius { .. }
        | What::Incomplete(_)
        | What::Tcp(_)
        | What::Tls(_)
        | What::Dtls(_)
        | What::Dns(_) => Vec::new(),
    }
}

/// Text from the wire, as far as it is text.
fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets)
        .trim_end_matches('\0')
        .to_string()
}

/// An ICMP error that quotes one of the VPN protocols; an ESP header in the quote shows as a
/// layer of its own, marked as quoted, because its SPI says which SA was refused.
fn icmp_layers(icmp: &Icmp<'_>) -> Vec<Layer> {
    let Some(quoted) = icmp.quoted.filter(is_ours) else {
        return Vec::new();
    };
    let mut about = Map::new();
    about.insert("src".into(), quoted.source.to_string().into());
    about.insert("dst".into(), quoted.destination.to_string().into());
    about.insert("sport".into(), quoted.source_port.into());
    about.insert("dport".into(), quoted.destination_port.into());
    about.insert("protocol".into(), quoted.protocol.into());
    let natt =
        quoted.source_port == dissect::NATT_PORT || quoted.destination_port == dissect::NATT_PORT;
    let ike = vpnscope_dissectors::ike::Header::parse(
        quoted
            .payload
            .strip_prefix(&[0; 4])
            .filter(|_| natt)
            .unwrap_or(quoted.payload),
    );
    let is_ike = quoted.protocol == 17
        && (!natt || quoted.payload.starts_with(&[0; 4]))
        && (natt
            || quoted.source_port == dissect::IKE_PORT
            || quoted.destination_port == dissect::IKE_PORT);
    if let (true, Ok(header)) = (is_ike, ike) {
        about.insert(
            "initiator_spi".into(),
            header.initiator_spi.to_string().into(),
        );
    }
    let mut layers = vec![
        Layer::new("icmp")
            .with("version", if icmp.v6 { 6 } else { 4 })
            .with("type", icmp.icmp_type)
            .with("code", icmp.code)
            .with("mtu", icmp.mtu)
            .with("quoted", about),
    ];
    let esp = quoted.protocol == 50 || natt && !quoted.payload.starts_with(&[0; 4]);
    if let (true, Ok(packet)) = (esp, vpnscope_dissectors::esp::Packet::parse(quoted.payload)) {
        let over = if quoted.protocol == 50 {
            Over::Ip
        } else {
            Over::Udp
        };
        layers.push(
            Layer::new("esp")
                .with("spi", format!("{:08x}", packet.spi))
                .with("sequence", packet.sequence)
                .with("over", over.word())
                .with("quoted", true),
        );
    }
    layers
}

/// Whether a quoted datagram is one of the VPN protocols.
fn is_ours(quoted: &Quoted<'_>) -> bool {
    const TLS_PORTS: [u16; 4] = [443, 4443, 8443, 10443];
    let ports = (quoted.source_port, quoted.destination_port);
    let has = |port| ports.0 == port || ports.1 == port;
    match quoted.protocol {
        50 | 51 | 115 => true,
        17 => {
            dissect::classify(ports, quoted.payload) != Class::NotOurs
                || [500, 4500, 1701].into_iter().any(has)
        }
        6 => TLS_PORTS.into_iter().any(has),
        _ => false,
    }
}

/// The length on the wire that belongs to an event's frame.
pub fn wire_len(envelope: &Envelope) -> u32 {
    envelope.wire_len
}
