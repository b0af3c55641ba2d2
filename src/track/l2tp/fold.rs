//! Adds an L2TP message to the facts.

use std::borrow::Cow;

use vpnscope_dissectors::l2tp::{Avp, AvpType, Message, MessageType, Value};

use super::{Call, Closing, Control, L2tp};
use crate::decap::Envelope;
use crate::time::Span;
use crate::track::ppp;
use crate::track::rare::push_lean;
use crate::track::session::{Session, Side, Stamp, Step, Unreadable};

/// Copies of a span port come within this time; no L2TP timer is that short.
const COPY_SPAN: Span = Span::from_millis(20);

/// A message on its way into the facts.
#[derive(Debug, Clone, Copy)]
pub(in crate::track) struct Incoming<'a> {
    pub(in crate::track) envelope: &'a Envelope,
    pub(in crate::track) frames: &'a [u64],
    pub(in crate::track) from: Side,
    pub(in crate::track) message: Message<'a>,
    pub(in crate::track) octets: &'a [u8],
    /// Digest of the octets, to tell a retransmission from another message.
    pub(in crate::track) digest: u64,
}

/// What the attributes of a control message say, as far as it is kept.
#[derive(Debug, Default)]
pub(in crate::track) struct Attributes {
    pub(in crate::track) message_type: Option<MessageType>,
    pub(in crate::track) tunnel: Option<u32>,
    pub(in crate::track) session: Option<u32>,
    pub(in crate::track) remote_session: Option<u32>,
    host: Option<String>,
    vendor: Option<String>,
    challenge: bool,
    response: bool,
    hidden: bool,
    result: Option<(u16, Option<u16>, Option<String>)>,
    ppp_cause: Option<(u16, u16)>,
}

impl Attributes {
    /// Reads the attributes up to the first that cannot be read.
    pub(in crate::track) fn read(message: &Message<'_>) -> Self {
        let mut all = Self::default();
        for avp in message.avps().map_while(Result::ok).take(128) {
            all.hidden |= avp.is_hidden();
            all.add(&avp);
        }
        all
    }

    fn add(&mut self, avp: &Avp<'_>) {
        let Some(avp_type) = avp.avp_type() else {
            return;
        };
        let number = |value: u64| u32::try_from(value).ok();
        match (avp_type, avp.value()) {
            (_, Ok(Value::MessageType(message_type))) => {
                self.message_type.get_or_insert(message_type);
            }
            (
                AvpType::ASSIGNED_TUNNEL_ID | AvpType::ASSIGNED_CONTROL_CONNECTION_ID,
                Ok(Value::Number(id)),
            ) => self.tunnel = number(id),
            (AvpType::ASSIGNED_SESSION_ID | AvpType::LOCAL_SESSION_ID, Ok(Value::Number(id))) => {
                self.session = number(id);
            }
            (AvpType::REMOTE_SESSION_ID, Ok(Value::Number(id))) => {
                self.remote_session = number(id).filter(|id| *id != 0);
            }
            (AvpType::HOST_NAME, Ok(Value::Text(name))) => {
                self.host = Some(ppp::fold::text(name.0));
            }
            (AvpType::VENDOR_NAME, Ok(Value::Text(name))) => {
                self.vendor = Some(ppp::fold::text(name.0));
            }
            (AvpType::CHALLENGE, _) => self.challenge = true,
            (AvpType::CHALLENGE_RESPONSE, _) => self.response = true,
            (
                _,
                Ok(Value::Result {
                    result,
                    error,
                    message,
                }),
            ) => {
                let text = message
                    .map(|m| ppp::fold::text(m.0))
                    .filter(|t| !t.is_empty());
                self.result = Some((result, error.map(|e| e.0), text));
            }
            (_, Ok(Value::PppDisconnect { code, protocol, .. })) => {
                self.ppp_cause = Some((code.0, protocol));
            }
            _ => {}
        }
    }
}

/// Adds a message. `true` where it is a copy made by a span port.
pub(in crate::track) fn fold(
    session: &mut Session,
    facts: &mut L2tp,
    incoming: &Incoming<'_>,
    attributes: Option<&Attributes>,
) -> bool {
    session.touch(incoming.envelope, incoming.from);
    if facts.version == 0 {
        facts.version = incoming.message.flags.version();
    }
    if let Some(id) = incoming.message.tunnel_id.filter(|id| *id != 0) {
        facts.tunnel.of_mut(incoming.from.other()).get_or_insert(id);
    }
    match attributes {
        Some(attributes) => control(session, facts, incoming, attributes),
        None => data(session, facts, incoming),
    }
}

fn control(
    session: &mut Session,
    facts: &mut L2tp,
    incoming: &Incoming<'_>,
    attributes: &Attributes,
) -> bool {
    let message = &incoming.message;
    faults(session, incoming);
    let at = Stamp::from(incoming.envelope);
    if let Some(nr) = message.nr {
        acknowledge(facts, incoming.from.other(), nr, at);
    }
    let is_copy = match attributes.message_type {
        None | Some(MessageType::ACK) => false,
        Some(MessageType::HELLO) => hello(facts, incoming, at),
        Some(message_type) => listed(session, facts, incoming, attributes, message_type),
    };
    unseen(session, facts);
    is_copy
}

/// A bad length or attribute costs nothing before it, and is noted.
fn faults(session: &mut Session, incoming: &Incoming<'_>) {
    if incoming.envelope.truncated || session.unreadable.len() >= Session::FACTS_KEPT {
        return;
    }
    let message = &incoming.message;
    let fault = message
        .length_fault
        .or_else(|| message.avps().find_map(Result::err))
        .or_else(|| {
            let mut avps = message.avps().map_while(Result::ok);
            avps.find_map(|avp| avp.value().err())
        });
    if let Some(error) = fault {
        session.unreadable.push(Unreadable {
            at: Stamp::from(incoming.envelope),
            from: incoming.from,
            what: error.what,
            offset: error.offset,
            reason: error.reason,
        });
    }
}

/// `a` is before `b` on the circle of sequence numbers (RFC 2661 §5.8).
fn before(a: u16, b: u16) -> bool {
    a != b && b.wrapping_sub(a) < 0x8000
}

fn acknowledge(facts: &mut L2tp, of: Side, nr: u16, at: Stamp) {
    for control in facts.control.iter_mut().rev().take(32) {
        if control.from == of && control.acked.is_none() && before(control.ns, nr) {
            control.acked = Some(at);
        }
    }
    let hello = facts.hello.of_mut(of);
    if hello.last.is_some_and(|(_, ns)| before(ns, nr)) {
        hello.acked = true;
    }
    let sequence = facts.sequence.of_mut(of);
    if before(sequence.expected, nr) {
        sequence.expected = nr;
    }
}

fn sent(facts: &mut L2tp, from: Side, ns: u16) {
    let sequence = facts.sequence.of_mut(from);
    sequence.seen = sequence.seen.saturating_add(1);
    let next = ns.wrapping_add(1);
    if before(sequence.next, next) {
        sequence.next = next;
    }
}

/// What sequence numbers prove to have been sent, less what was seen of it.
fn unseen(session: &mut Session, facts: &L2tp) {
    if session.vantage.started_late {
        return;
    }
    for side in [Side::Client, Side::Gateway] {
        let sequence = facts.sequence.of(side);
        let proven = if before(sequence.next, sequence.expected) {
            sequence.expected
        } else {
            sequence.next
        };
        // After a turn of the circle the count says nothing.
        if sequence.seen < 0x7fff {
            let inside = facts.calls.iter().map(|call| *call.ppp.unseen.of(side));
            *session.vantage.unseen.of_mut(side) =
                u32::from(proven).saturating_sub(sequence.seen) + inside.sum::<u32>();
        }
    }
}

/// Keepalives go on for hours: the last one is kept, the others are counted.
fn hello(facts: &mut L2tp, incoming: &Incoming<'_>, at: Stamp) -> bool {
    let ns = incoming.message.ns.unwrap_or_default();
    let hello = facts.hello.of_mut(incoming.from);
    if let Some((first, last_ns)) = hello.last
        && last_ns == ns
        && hello.sent > 0
    {
        let last = hello.repeats.last.unwrap_or(first);
        if (at.time - last.time).0.abs() <= COPY_SPAN.0 {
            return true;
        }
        hello.repeats.note(at);
        return false;
    }
    hello.sent = hello.sent.saturating_add(1);
    hello.last = Some((at, ns));
    hello.repeats = crate::track::rare::Rare::USUAL;
    hello.acked = false;
    sent(facts, incoming.from, ns);
    false
}

/// A control message that has its line in the ladder.
fn listed(
    session: &mut Session,
    facts: &mut L2tp,
    incoming: &Incoming<'_>,
    attributes: &Attributes,
    message_type: MessageType,
) -> bool {
    let at = Stamp::from(incoming.envelope);
    let from = incoming.from;
    let ns = incoming.message.ns.unwrap_or_default();
    if let Some(index) = known(facts, incoming, message_type, ns) {
        let Some(step) = session.steps.get_mut(index) else {
            return false;
        };
        if (at.time - step.last().time).0.abs() <= COPY_SPAN.0 {
            step.copies += 1;
            session.vantage.copies += 1;
            return true;
        }
        step.repeats.note(at);
        return false;
    }
    sent(facts, from, ns);
    let length = incoming.message.length.map_or(0, u32::from);
    let step = session.push_step(Step::new(
        incoming.envelope,
        incoming.frames,
        from,
        message_type
            .name()
            .map_or_else(|| Cow::from(message_type.to_string()), Cow::from),
        length,
    ));
    facts.hidden = facts.hidden.saturating_add(u32::from(attributes.hidden));
    tunnel(facts, from, at, attributes);
    let call = call(facts, incoming, attributes, message_type, at, step);
    if message_type == MessageType::STOP_CCN && facts.stop.is_none() {
        facts.stop = Some(closing(from, at, step, attributes));
    }
    if facts.control.len() < L2tp::CONTROL_KEPT {
        facts.control.push(Control {
            message_type,
            from,
            ns,
            at,
            step,
            acked: None,
            call,
        });
        if let Some(step) = step {
            facts.digests.push((incoming.digest, step));
        }
    }
    false
}

/// The step of a message seen before: the same octets, or, because a repetition may carry a
/// newer Nr, the same type with the same number.
fn known(
    facts: &L2tp,
    incoming: &Incoming<'_>,
    message_type: MessageType,
    ns: u16,
) -> Option<usize> {
    let by_octets = facts
        .digests
        .iter()
        .rev()
        .find(|(digest, _)| *digest == incoming.digest)
        .map(|(_, step)| *step);
    by_octets.or_else(|| {
        facts
            .control
            .iter()
            .rev()
            .take(64)
            .find(|control| {
                control.from == incoming.from
                    && control.ns == ns
                    && control.message_type == message_type
            })
            .and_then(|control| control.step)
    })
}

fn tunnel(facts: &mut L2tp, from: Side, at: Stamp, attributes: &Attributes) {
    if let Some(id) = attributes.tunnel {
        let known = facts.tunnel.of_mut(from);
        *known = known.or(Some(id));
    }
    let name = |slot: &mut Option<String>, value: &Option<String>| {
        if slot.is_none() {
            slot.clone_from(value);
        }
    };
    name(facts.host.of_mut(from), &attributes.host);
    name(facts.vendor.of_mut(from), &attributes.vendor);
    let challenge = facts.challenge.of_mut(from);
    if attributes.challenge {
        challenge.asked.get_or_insert(at);
    }
    if attributes.response {
        challenge.answered.get_or_insert(at);
    }
}

fn closing(from: Side, at: Stamp, step: Option<usize>, attributes: &Attributes) -> Closing {
    let (result, error, message) = match &attributes.result {
        Some((result, error, message)) => (Some(*result), *error, message.clone()),
        None => (None, None, None),
    };
    Closing {
        from,
        at,
        step,
        result,
        error,
        message,
        ppp_cause: attributes.ppp_cause,
    }
}

/// The call that a message is about; opens one for a request.
fn call(
    facts: &mut L2tp,
    incoming: &Incoming<'_>,
    attributes: &Attributes,
    message_type: MessageType,
    at: Stamp,
    step: Option<usize>,
) -> Option<usize> {
    let from = incoming.from;
    let asks = matches!(message_type, MessageType::ICRQ | MessageType::OCRQ);
    let is_about_call = asks
        || matches!(
            message_type,
            MessageType::ICRP
                | MessageType::ICCN
                | MessageType::OCRP
                | MessageType::OCCN
                | MessageType::CDN
                | MessageType::WEN
                | MessageType::SLI
        );
    if !is_about_call {
        return None;
    }
    let to = attributes
        .remote_session
        .or(incoming.message.session_id.filter(|id| *id != 0));
    let index = find_call(facts, from, to, attributes.session).or_else(|| {
        if facts.calls.len() >= L2tp::CALLS_KEPT {
            facts.calls_not_kept += 1;
            return None;
        }
        let call = Call {
            by: asks.then_some(from),
            ..Call::default()
        };
        push_lean(&mut facts.calls, call);
        Some(facts.calls.len() - 1)
    })?;
    let call = facts.calls.get_mut(index)?;
    if let Some(id) = attributes.session {
        let known = call.session.of_mut(from);
        *known = known.or(Some(id));
    }
    if let Some(id) = to {
        let known = call.session.of_mut(from.other());
        *known = known.or(Some(id));
    }
    match message_type {
        MessageType::ICCN | MessageType::OCCN => call.connected = call.connected.or(Some(at)),
        MessageType::CDN if call.disconnect.is_none() => {
            call.disconnect = Some(closing(from, at, step, attributes));
        }
        _ => {}
    }
    Some(index)
}

/// By the ID that the receiver gave, else by the one that the sender gave.
fn find_call(facts: &L2tp, from: Side, to: Option<u32>, own: Option<u32>) -> Option<usize> {
    let by = |side: Side, id: Option<u32>| {
        let id = id?;
        facts
            .calls
            .iter()
            .rposition(|call| *call.session.of(side) == Some(id))
    };
    by(from.other(), to).or_else(|| by(from, own))
}

fn data(session: &mut Session, facts: &mut L2tp, incoming: &Incoming<'_>) -> bool {
    let at = Stamp::from(incoming.envelope);
    let data = facts.data.of_mut(incoming.from);
    data.packets += 1;
    data.octets += incoming.octets.len() as u64;
    data.first.get_or_insert(at);
    data.last = Some(at);
    if incoming.message.flags.version() != 2 {
        return false;
    }
    let to = incoming.message.session_id;
    let index =
        find_call(facts, incoming.from, to, None).or_else(|| unknown_call(facts, incoming, to));
    let Some(call) = index.and_then(|index| facts.calls.get_mut(index)) else {
        return false;
    };
    let inner = ppp::fold::Incoming {
        envelope: incoming.envelope,
        frames: incoming.frames,
        from: incoming.from,
        octets: incoming.message.body,
    };
    ppp::fold::fold(session, &mut call.ppp, &inner)
}

/// Data of a call whose set-up was not seen, or only in part: the call that lacks this
/// side's ID, or a new one.
fn unknown_call(facts: &mut L2tp, incoming: &Incoming<'_>, to: Option<u32>) -> Option<usize> {
    let receiver = incoming.from.other();
    let lacking = facts
        .calls
        .iter()
        .rposition(|call| call.session.of(receiver).is_none());
    let index = lacking.or_else(|| {
        if facts.calls.len() >= L2tp::CALLS_KEPT {
            return None;
        }
        push_lean(&mut facts.calls, Call::default());
        Some(facts.calls.len() - 1)
    })?;
    *facts.calls.get_mut(index)?.session.of_mut(receiver) = to;
    Some(index)
}
