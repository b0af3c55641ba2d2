//! The `ppp` layer.

use serde_json::{Map, Value, json};
use vpnscope_dissectors::ppp::{
    Content, Frame, LcpOption, OptionValue, Packet, Protocol, RawOption,
};
use vpnscope_dissectors::pppoe;

use crate::limits::ITEMS;

use super::{Layer, Secrets, first, text};

/// Options of one packet that are shown.
const OPTIONS_SHOWN: usize = 128;

/// The layer of a frame.
pub(super) fn layer(frame: &Frame<'_>, truncated: bool, secrets: Secrets) -> Layer {
    let layer = Layer::new("ppp")
        .with("protocol", frame.protocol.0)
        .with("protocol_name", frame.protocol.to_string());
    match frame.packet() {
        None => layer,
        Some(Err(error)) => Layer {
            error: Some(error.to_string()).filter(|_| !truncated),
            ..layer
        },
        Some(Ok(found)) => packet(layer, &found, truncated, secrets),
    }
}

/// The layer of a `PPPoE` packet: discovery, or the PPP inside a session.
pub(super) fn pppoe(packet: &pppoe::Packet<'_>, truncated: bool, secrets: Secrets) -> Layer {
    let fault = packet.length_fault.filter(|_| !truncated);
    let mut found = if packet.is_session() {
        match Frame::parse(packet.body) {
            Ok(frame) => layer(&frame, truncated, secrets),
            Err(error) => Layer {
                error: Some(error.to_string()).filter(|_| !truncated),
                ..Layer::new("ppp")
            },
        }
    } else {
        let tags = packet.tags().map_while(Result::ok).map(|tag| {
            json!({
                "type": tag.tag_type.0,
                "name": tag.tag_type.to_string(),
                "value": text(tag.value.0),
            })
        });
        Layer::new("ppp").with_first("tags", first(tags, ITEMS.or(OPTIONS_SHOWN)))
    };
    found.error = found.error.or(fault.map(|fault| fault.to_string()));
    found
        .with("pppoe_code", packet.code.0)
        .with("pppoe_code_name", packet.code.to_string())
        .with("pppoe_session", packet.session_id)
}

fn packet(layer: Layer, packet: &Packet<'_>, truncated: bool, secrets: Secrets) -> Layer {
    let mut error = packet.length_fault;
    let mut layer = layer
        .with("code", packet.code)
        .with("code_name", packet.code_name())
        .with("identifier", packet.identifier)
        .with("length", packet.length);
    match packet.content() {
        Ok(Content::Options) => {
            let mut options: Vec<Value> = Vec::new();
            let (shown, beyond) = first(packet.options(), ITEMS.or(OPTIONS_SHOWN));
            for option in shown {
                match option {
                    Ok(option) => {
                        error = error.or(option.value().err());
                        options.push(show(&option));
                    }
                    Err(fault) => error = error.or(Some(fault)),
                }
            }
            layer = layer.with_first("options", (options, beyond));
        }
        Ok(content) => {
            for (name, value) in carried(packet, &content, secrets) {
                layer = layer.with(name, value);
            }
        }
        Err(fault) => error = error.or(Some(fault)),
    }
    layer.error = error.filter(|_| !truncated).map(|error| error.to_string());
    layer
}

/// What the packet carries beside options.
fn carried(
    packet: &Packet<'_>,
    content: &Content<'_>,
    secrets: Secrets,
) -> Vec<(&'static str, Value)> {
    match *content {
        Content::Text(message) => vec![("message", text(message.0).into())],
        Content::RejectedPacket(octets) => vec![("rejected", octets.to_string().into())],
        Content::ProtocolReject { protocol, .. } => vec![
            ("rejected_protocol", protocol.0.into()),
            ("rejected_protocol_name", protocol.to_string().into()),
        ],
        Content::Echo { magic, .. } => vec![("magic", magic.into())],
        Content::Identification { magic, message } => {
            vec![("magic", magic.into()), ("message", text(message.0).into())]
        }
        Content::TimeRemaining {
            seconds, message, ..
        } => vec![
            ("seconds", seconds.into()),
            ("message", text(message.0).into()),
        ],
        Content::Pap(request) => {
            let mut all = vec![("peer_id", text(request.peer_id.0).into())];
            if secrets.0 {
                all.push(("password", text(request.password.0).into()));
            }
            all
        }
        Content::ChapValue(value) => {
            let mut all = vec![
                ("name", text(value.name.0).into()),
                ("value_size", value.value.len().into()),
            ];
            if secrets.0 {
                all.push(("value", value.value.to_string().into()));
            }
            all
        }
        Content::ChapMessage(message) => {
            let mut all = vec![("message", text(message.text.0).into())];
            if let Some(failure) = message.ms_chap_failure() {
                all.push(("ms_chap_error", failure.error.0.into()));
                all.push(("ms_chap_error_name", failure.error.to_string().into()));
                all.push(("retry", failure.retry.into()));
            }
            all
        }
        Content::Other(_) if packet.protocol == Protocol::EAP => eap(packet),
        _ => Vec::new(),
    }
}

/// Type and, of an identity, the name.
fn eap(packet: &Packet<'_>) -> Vec<(&'static str, Value)> {
    match packet.body.split_first() {
        Some((&eap_type, data)) if matches!(packet.code, 1 | 2) => {
            let mut all = vec![("eap_type", Value::from(eap_type))];
            if eap_type == 1 && packet.code == 2 {
                all.push(("identity", text(data).into()));
            }
            all
        }
        _ => Vec::new(),
    }
}

fn show(option: &RawOption<'_>) -> Value {
    let mut all = Map::new();
    all.insert("type".into(), option.option_type.into());
    let name = option.name().map_or_else(
        || format!("UNKNOWN_{}", option.option_type),
        ToString::to_string,
    );
    all.insert("name".into(), name.into());
    all.insert("length".into(), option.length.into());
    let value = match option.value() {
        Ok(OptionValue::Number(number) | OptionValue::Bits(number)) => number.into(),
        Ok(OptionValue::Authentication {
            protocol,
            algorithm,
        }) => {
            all.insert("algorithm".into(), algorithm.map(|a| a.0).into());
            all.insert(
                "algorithm_name".into(),
                algorithm.map(|a| a.to_string()).into(),
            );
            all.insert("value_name".into(), protocol.to_string().into());
            protocol.0.into()
        }
        Ok(OptionValue::Protocol { protocol, .. }) => protocol.0.into(),
        Ok(OptionValue::Classed { class, data }) => {
            json!({"class": class, "data": data.to_string()})
        }
        Ok(OptionValue::Ipv4(address)) => std::net::Ipv4Addr::from(address).to_string().into(),
        Ok(OptionValue::Ipv4Pair(one, other)) => json!([
            std::net::Ipv4Addr::from(one).to_string(),
            std::net::Ipv4Addr::from(other).to_string()
        ]),
        Ok(OptionValue::InterfaceIdentifier(id)) => {
            format!("{:016x}", u64::from_be_bytes(id)).into()
        }
        Ok(OptionValue::Mppe(bits)) => {
            let lengths = [
                (bits.is_40_bit(), 40),
                (bits.is_56_bit(), 56),
                (bits.is_128_bit(), 128),
            ];
            let offered: Vec<u32> = lengths
                .iter()
                .filter(|(has, _)| *has)
                .map(|(_, bits)| *bits)
                .collect();
            json!({
                "bits": bits.0,
                "stateless": bits.is_stateless(),
                "key_bits": offered,
                "compression": bits.compresses(),
            })
        }
        Ok(OptionValue::Octets(octets)) => octets.to_string().into(),
        Ok(_) | Err(_) => Value::Null,
    };
    if option.protocol == Protocol::LCP && LcpOption(option.option_type) == LcpOption::MAGIC_NUMBER
    {
        all.insert(
            "hex".into(),
            value.as_u64().map(|magic| format!("{magic:08x}")).into(),
        );
    }
    all.insert("value".into(), value);
    all.into()
}
