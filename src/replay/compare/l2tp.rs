//! L2TP control messages and the PPP in data messages, described.

use vpnscope_dissectors::Octets;
use vpnscope_dissectors::l2tp::{self, AvpType, MessageType, Value};
use vpnscope_dissectors::ppp::{self, Code, Content, LcpOption, Protocol};

use super::super::conversation::{Message, Side};
use super::super::l2tp::protocol_name;
use super::{Description, Field, Round, list, same, varies};

/// Describes a message; `None` for acknowledgements, keepalives and data.
pub(super) fn describe(message: &Message) -> Option<Description> {
    let read = l2tp::Message::parse(&message.octets).ok()?;
    let mut facts = if read.is_control() {
        control(&read)?
    } else {
        packet(&read, message.from)?
    };
    let size = format!("{} octets", message.octets.len());
    facts.fields.push(if facts.free {
        varies("size", size)
    } else {
        same("size", size)
    });
    Some(Description {
        name: facts.name,
        from: message.from,
        rank: if message.from == Side::Gateway {
            facts.rank
        } else {
            0
        },
        refusal: facts.refusal,
        round: Round::No,
        resumes: false,
        fields: facts.fields,
        time: message.time,
        frame: message.frame,
    })
}

struct Facts {
    name: String,
    /// Whether it holds random octets of any length.
    free: bool,
    rank: u8,
    refusal: Option<String>,
    fields: Vec<Field>,
}

fn control(read: &l2tp::Message<'_>) -> Option<Facts> {
    let kind = read.message_type()?;
    if kind == MessageType::HELLO {
        return None;
    }
    let mut fields = vec![
        varies("tunnel_id", read.tunnel_id.unwrap_or_default().to_string()),
        varies(
            "session_id",
            read.session_id.unwrap_or_default().to_string(),
        ),
        varies("ns", read.ns.unwrap_or_default().to_string()),
        varies("nr", read.nr.unwrap_or_default().to_string()),
    ];
    let mut names = Vec::new();
    let mut values = Vec::new();
    let mut refusal = None;
    for avp in read.avps().flatten() {
        let name = match avp.avp_type() {
            Some(kind) => kind.to_string(),
            None => format!("vendor {} attribute {}", avp.vendor, avp.attribute),
        };
        names.push(name.clone());
        match (avp.avp_type(), avp.value()) {
            (Some(AvpType::ASSIGNED_TUNNEL_ID), Ok(Value::Number(id))) => {
                fields.push(varies("assigned_tunnel_id", id.to_string()));
            }
            (Some(AvpType::ASSIGNED_SESSION_ID), Ok(Value::Number(id))) => {
                fields.push(varies("assigned_session_id", id.to_string()));
            }
            (
                _,
                Ok(Value::Result {
                    result,
                    error,
                    message,
                }),
            ) => {
                let error = error.map(|e| format!(", error {e}")).unwrap_or_default();
                let text = message
                    .map(|m| format!(" ({})", text(&m)))
                    .unwrap_or_default();
                let result = format!("{result}{error}{text}");
                refusal = Some(format!("{kind} {result}"));
                fields.push(same("result", result));
            }
            (_, Ok(Value::Number(number))) => values.push(format!("{name} {number}")),
            (_, Ok(Value::Text(octets))) => values.push(format!("{name} {}", text(&octets))),
            (_, Ok(Value::Version { version, revision })) => {
                values.push(format!("{name} {version}.{revision}"));
            }
            _ => {}
        }
    }
    fields.extend(list("avps", &names));
    // Call serial numbers count the calls; tie breakers are random.
    values.retain(|value| !value.starts_with("Call Serial") && !value.starts_with("Tie"));
    if !values.is_empty() {
        fields.push(same("values", values.join(", ")));
    }
    Some(Facts {
        name: kind.to_string(),
        free: names.iter().any(|name| name == "Challenge"),
        rank: match kind {
            MessageType::SCCRP => 1,
            MessageType::ICRP => 2,
            _ => 0,
        },
        refusal,
        fields,
    })
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn packet(read: &l2tp::Message<'_>, from: Side) -> Option<Facts> {
    let frame = ppp::Frame::parse(read.body).ok()?;
    let packet = frame.packet()?.ok()?;
    let lcp = packet.protocol == Protocol::LCP;
    if lcp && packet.code >= Code::ECHO_REQUEST.0 {
        return None;
    }
    let code = packet
        .code_name()
        .map_or_else(|| packet.code.to_string(), str::to_string);
    let mut fields = vec![
        varies("tunnel_id", read.tunnel_id.unwrap_or_default().to_string()),
        varies(
            "session_id",
            read.session_id.unwrap_or_default().to_string(),
        ),
        varies("identifier", packet.identifier.to_string()),
    ];
    let mut refusal = None;
    match packet.content() {
        Ok(Content::Options) => {
            let mut options = Vec::new();
            for option in packet.options().flatten() {
                if lcp && option.option_type == LcpOption::MAGIC_NUMBER.0 {
                    fields.push(varies("magic", Octets(option.body).to_string()));
                    options.push("Magic-Number".to_string());
                    continue;
                }
                let name = option.name().unwrap_or("option");
                let value = Octets(option.body).to_string();
                options.push(format!("{name} {value}").trim_end().to_string());
            }
            fields.push(same("options", options.join(", ")));
        }
        Ok(Content::ChapValue(value)) => {
            fields.push(varies("challenge", format!("{} octets", value.value.len())));
            fields.push(same("name", text(&value.name)));
        }
        Ok(Content::ChapMessage(message)) => {
            if let Some(failure) = message.ms_chap_failure() {
                refusal = Some(format!("CHAP failure {}", failure.error));
            }
            fields.push(varies("text", text(&message.text)));
        }
        _ => {}
    }
    if from == Side::Gateway && code.contains("Terminate-Request") {
        refusal = Some("LCP Terminate-Request".to_string());
    }
    let rank = match (packet.protocol, Code(packet.code)) {
        (Protocol::LCP, Code::CONFIGURE_ACK) => 3,
        (Protocol::PAP | Protocol::CHAP | Protocol::EAP, _) => 4,
        (Protocol::LCP, _) => 0,
        _ => 5,
    };
    Some(Facts {
        free: packet.protocol == Protocol::CHAP,
        name: format!("{} {code}", protocol_name(packet.protocol)),
        rank,
        refusal,
        fields,
    })
}
