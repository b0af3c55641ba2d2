//! What the messages of a recording are, and how far they can be played.

use vpnscope_dissectors::l2tp::{self, AvpType, MessageType};

use super::wire::Packet;
use super::{CHAP, EAP, LCP, PAP, code};
use crate::replay::conversation::{Conversation, Message, Side};
use crate::replay::script::{CannotPlay, Reach};
use crate::replay::settings::Substitution;

/// What a recorded message is.
pub(super) enum Said {
    Control(MessageType),
    Ppp(Packet),
    /// Acknowledgements, keepalives, data.
    Nothing,
}

pub(super) fn said(message: &Message) -> Said {
    let Ok(read) = l2tp::Message::parse(&message.octets) else {
        return Said::Nothing;
    };
    if read.is_control() {
        return match read.message_type() {
            Some(MessageType::HELLO) | None => Said::Nothing,
            Some(kind) => Said::Control(kind),
        };
    }
    match Packet::read(read.body) {
        Some(packet) if packet.protocol == LCP && packet.code >= code::ECHO => Said::Nothing,
        Some(packet) => Said::Ppp(packet),
        None => Said::Nothing,
    }
}

/// How far a conversation can be played: as the client up to its credentials, as the gateway
/// up to its verdict on them.
pub(in crate::replay) fn reach(recording: &Conversation, role: Side) -> Result<Reach, CannotPlay> {
    let mut places = Vec::new();
    for (place, message) in recording.messages.iter().enumerate() {
        match said(message) {
            Said::Nothing => {}
            // The recorded client took its leave: so does ours, when it is done.
            Said::Control(MessageType::STOP_CCN | MessageType::CDN)
                if role == Side::Client && message.from == Side::Client =>
            {
                break;
            }
            Said::Control(_) if role == message.from && proves(message) => break,
            Said::Control(_) => places.push(place),
            Said::Ppp(packet) => {
                let auth = [PAP, CHAP, EAP].contains(&packet.protocol);
                let ours = message.from == Side::Client && role == Side::Client;
                if (auth && ours) || !(auth || packet.protocol == LCP) {
                    break;
                }
                places.push(place);
            }
        }
    }
    let ours = |place: &usize| recording.messages.get(*place).map(|m| m.from) == Some(role);
    if role == Side::Gateway && recording.messages.iter().any(proves) && !places.iter().any(ours) {
        return Err(CannotPlay::Keys {
            session: recording.session,
            why: "its gateway proves that it knows the secret of the tunnel",
        });
    }
    if places.is_empty() {
        return Err(CannotPlay::Half {
            session: recording.session,
            what: "the client's SCCRQ",
        });
    }
    Ok(Reach {
        places,
        first: "the client's SCCRQ",
        end: "where the password is asked for: recorded credentials are never sent",
    })
}

/// Whether a control message proves knowledge of a password: the tunnel's own, or a caller's.
fn proves(message: &Message) -> bool {
    l2tp::Message::parse(&message.octets).is_ok_and(|read| {
        read.avps().flatten().any(|avp| {
            [
                Some(AvpType::CHALLENGE_RESPONSE),
                Some(AvpType::PROXY_AUTHEN_RESPONSE),
            ]
            .contains(&avp.avp_type())
        })
    })
}

/// What is changed in a message of ours.
pub(in crate::replay) fn substitutions(message: &Message) -> Vec<Substitution> {
    use Substitution as S;
    match said(message) {
        Said::Control(_) => vec![S::TunnelId, S::SessionId, S::Sequence],
        Said::Ppp(packet) if packet.code == code::REQUEST => {
            vec![S::TunnelId, S::SessionId, S::Magic]
        }
        Said::Ppp(_) => vec![S::TunnelId, S::SessionId, S::Identifier],
        Said::Nothing => Vec::new(),
    }
}
