//! The `l2tp` layer.

use serde_json::{Map, Value, json};
use vpnscope_dissectors::l2tp::{self, Avp, AvpType, CallResult, Message, MessageType, StopResult};

use crate::limits::ITEMS;

use super::{Layer, Secrets, first, text};

/// Attributes of one message that are shown; a real one has a dozen or two.
const AVPS_SHOWN: usize = 256;

pub(super) fn layer(message: &Message<'_>, truncated: bool, secrets: Secrets) -> Layer {
    let mut error = message.length_fault.filter(|_| !truncated);
    let message_type = message.message_type();
    let mut avps: Vec<Value> = Vec::new();
    let mut result = None;
    let (shown, beyond) = first(message.avps(), ITEMS.or(AVPS_SHOWN));
    for avp in shown {
        match avp {
            Ok(avp) => {
                if let Ok(l2tp::Value::Result {
                    result: code,
                    error,
                    ..
                }) = avp.value()
                {
                    result = Some((code, error));
                }
                if let Err(fault) = avp.value() {
                    error = error.or(Some(fault).filter(|_| !truncated));
                }
                avps.push(show(&avp, message_type, secrets));
            }
            Err(fault) => error = error.or(Some(fault).filter(|_| !truncated)),
        }
    }
    let mut layer = Layer {
        error: error.map(|error| error.to_string()),
        ..Layer::new("l2tp")
    }
    .with("version", message.flags.version())
    .with("control", message.is_control())
    .with("tunnel_id", message.tunnel_id)
    .with("session_id", message.session_id)
    .with("ns", message.ns)
    .with("nr", message.nr)
    .with("length", message.length)
    .with("offset", message.offset_size);
    if message.is_control() {
        layer = layer
            .with("zlb", message.is_zlb())
            .with("message_type", message_type.map(|code| code.0))
            .with(
                "message_type_name",
                message_type.map(|code| code.to_string()),
            )
            .with_first("avps", (avps, beyond));
    }
    if let Some((code, error)) = result {
        layer = layer
            .with("result_code", code)
            .with("result_code_name", result_name(message_type, code))
            .with("error_code", error.map(|error| error.0))
            .with("error_code_name", error.map(|error| error.to_string()));
    }
    layer
}

/// The name of a result code, which depends on the message.
fn result_name(message_type: Option<MessageType>, code: u16) -> String {
    if message_type == Some(MessageType::STOP_CCN) {
        StopResult(code).to_string()
    } else {
        CallResult(code).to_string()
    }
}

fn show(avp: &Avp<'_>, message_type: Option<MessageType>, secrets: Secrets) -> Value {
    let name = avp.avp_type().map_or_else(
        || format!("vendor {} attribute {}", avp.vendor, avp.attribute),
        |avp_type| avp_type.to_string(),
    );
    let hide = avp.is_secret() && !secrets.0;
    let value = if hide {
        Value::Null
    } else {
        value(avp, message_type)
    };
    let mut all = Map::new();
    all.insert("vendor".into(), avp.vendor.into());
    all.insert("type".into(), avp.attribute.into());
    all.insert("name".into(), name.into());
    all.insert("mandatory".into(), avp.is_mandatory().into());
    all.insert("hidden".into(), avp.is_hidden().into());
    all.insert("length".into(), avp.length.into());
    all.insert("value".into(), value);
    if hide {
        all.insert("secret".into(), true.into());
    }
    all.into()
}

fn value(avp: &Avp<'_>, message_type: Option<MessageType>) -> Value {
    let Ok(value) = avp.value() else {
        return Value::Null;
    };
    match value {
        l2tp::Value::MessageType(code) => code.0.into(),
        l2tp::Value::Result {
            result,
            error,
            message,
        } => json!({
            "result": result,
            "result_name": result_name(message_type, result),
            "error": error.map(|code| code.0),
            "error_name": error.map(|code| code.to_string()),
            "message": message.map(|message| text(message.0)),
        }),
        l2tp::Value::Version { version, revision } => format!("{version}.{revision}").into(),
        l2tp::Value::Cause {
            code,
            message,
            text: advice,
        } => {
            json!({"code": code, "message": message, "text": text(advice.0)})
        }
        l2tp::Value::PppDisconnect {
            code,
            protocol,
            direction,
            text: reason,
        } => json!({
            "code": code.0,
            "code_name": code.to_string(),
            "protocol": protocol,
            "direction": direction,
            "text": text(reason.0),
        }),
        l2tp::Value::ProxyAuthen(code) => json!({"code": code.0, "name": code.to_string()}),
        l2tp::Value::Number(number) => match avp.avp_type() {
            Some(AvpType::ROUTER_ID) => u32::try_from(number).map_or(Value::Null, |id| {
                std::net::Ipv4Addr::from(id).to_string().into()
            }),
            _ => number.into(),
        },
        l2tp::Value::Accm { send, receive } => {
            json!({"send": format!("{send:08x}"), "receive": format!("{receive:08x}")})
        }
        l2tp::Value::Text(octets) => text(octets.0).into(),
        l2tp::Value::Hidden(octets) | l2tp::Value::Octets(octets) => octets.to_string().into(),
        _ => Value::Null,
    }
}
