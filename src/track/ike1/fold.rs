//! Adds one IKEv1 message to its session.

use std::borrow::Cow;

use vpnscope_dissectors::ike::v1::ExchangeType;
use vpnscope_dissectors::ike::{Header, Spi};

use super::read::{Content, complete, learn_vendors, read};
use super::{Exchange, FragmentSet, Ike1, Message, Mode, kind};
use crate::assemble::messages::cisco_ike;
use crate::decap::Envelope;
use crate::time::Span;
use crate::track::ike2::fold::{Folded, Incoming};
use crate::track::ike2::nat::{Algorithm, Covered, Said, is_initial_ttl};
use crate::track::session::{Session, Side, Stamp, Step};

/// Copies of a span port, and of the other side of a NAT, come within this time; the
/// shortest retransmission timers are several hundred milliseconds.
const COPY_SPAN: Span = Span::from_millis(20);

pub use super::read::{Opening, opening};

/// Adds a message.
pub fn fold(session: &mut Session, facts: &mut Ike1, incoming: &Incoming<'_>) -> Folded {
    let header = incoming.wire.header;
    if let Some(folded) = again(session, facts, incoming) {
        return folded;
    }
    let from = sender(session, facts, incoming.envelope);
    touch(session, from, incoming);
    if cisco_ike::fragment(incoming.wire).is_some() {
        return fragment(session, facts, from, incoming);
    }
    let (mut message, mut content) = read(session, from, incoming);
    let pieces = incoming.frames.len().max(1);
    message.pieces = u16::try_from(pieces).unwrap_or(u16::MAX);
    if header.major() != 1 {
        message.step = push_step(
            session,
            &message,
            incoming,
            "answer in another version of IKE",
        );
        if facts.foreign.len() < Session::FACTS_KEPT {
            facts.foreign.push(message);
        }
        return Folded::New;
    }
    let exchange = ExchangeType(header.exchange_type);
    if exchange.is_phase_1() && header.message_id == 0 {
        phase_1(session, facts, message, &mut content, incoming);
    } else {
        other(session, facts, message, incoming);
    }
    learn_cookies(facts, from, &header, incoming);
    Folded::New
}

/// Counts the frame, unless its fragment was counted before the message it completes.
fn touch(session: &mut Session, from: Side, incoming: &Incoming<'_>) {
    let from_fragments = incoming.frames.len() > 1 && incoming.envelope.fragments <= 1;
    if !from_fragments {
        session.touch(incoming.envelope, from);
    }
}

/// Who sent a message. IKEv1 has no flag that tells: the addresses must.
fn sender(session: &Session, facts: &Ike1, envelope: &Envelope) -> Side {
    if let Some(side) = session.side_of(envelope.source) {
        // Both ends may have the same address in a capture on one host: then ports tell.
        if session.client.ip != session.gateway.ip {
            return side;
        }
        return if envelope.source_port == session.client.port {
            Side::Client
        } else {
            Side::Gateway
        };
    }
    if let Some(side) = session.side_of(envelope.destination) {
        return side.other();
    }
    let flow = envelope.flow();
    let by_step = session.steps.iter().rev().find_map(|step| {
        if step.flow == flow {
            Some(step.from)
        } else if step.flow == flow.reversed() {
            Some(step.from.other())
        } else {
            None
        }
    });
    by_step.unwrap_or(facts.initiator)
}

/// The same octets again: a copy or a retransmission.
fn again(session: &mut Session, facts: &Ike1, incoming: &Incoming<'_>) -> Option<Folded> {
    let header = &incoming.wire.header;
    let known = facts
        .phase1
        .iter()
        .chain(facts.foreign.iter())
        .chain(
            facts
                .exchanges
                .iter()
                .rev()
                .filter(|e| e.id == header.message_id)
                .flat_map(|e| &e.messages),
        )
        .find(|m| m.digest == incoming.digest)?;
    let (from, index) = (known.from, known.step);
    touch(session, from, incoming);
    let at = Stamp::from(incoming.envelope);
    let Some(step) = index.and_then(|index| session.steps.get_mut(index)) else {
        return Some(Folded::Repeated);
    };
    step.ip_len = step.ip_len.max(incoming.envelope.ip_len);
    let gap = at.time - step.last().time;
    if gap.0.abs() <= COPY_SPAN.0 {
        step.copies += 1;
        session.vantage.copies += 1;
        session.vantage.two_points |= step.flow != incoming.envelope.flow();
        return Some(Folded::Copied);
    }
    step.repeats.note(at);
    Some(Folded::Repeated)
}

/// Notes a Cisco fragment; the message it belongs to comes by itself when it is whole.
fn fragment(
    session: &mut Session,
    facts: &mut Ike1,
    from: Side,
    incoming: &Incoming<'_>,
) -> Folded {
    let Some(part) = cisco_ike::fragment(incoming.wire) else {
        return Folded::New;
    };
    let at = Stamp::from(incoming.envelope);
    let index = facts
        .fragments
        .iter()
        .position(|set| set.from == from && set.id == part.id);
    let index = index.unwrap_or(facts.fragments.len());
    if index == facts.fragments.len() && index < FragmentSet::KEPT {
        facts.fragments.push(FragmentSet {
            from,
            id: part.id,
            total: None,
            seen: Vec::new(),
        });
    }
    let Some(set) = facts.fragments.get_mut(index) else {
        return Folded::New;
    };
    if part.is_last() {
        set.total = Some(part.number);
    }
    let Some((_, first, times)) = set.seen.iter_mut().find(|(n, ..)| *n == part.number) else {
        set.seen.push((part.number, at, 1));
        return Folded::New;
    };
    if (at.time - first.time).0.abs() <= COPY_SPAN.0 {
        session.vantage.copies += 1;
        return Folded::Copied;
    }
    *times = times.saturating_add(1);
    Folded::Repeated
}

fn push_step(
    session: &mut Session,
    message: &Message,
    incoming: &Incoming<'_>,
    name: impl Into<Cow<'static, str>>,
) -> Option<usize> {
    session.push_step(Step::new(
        incoming.envelope,
        incoming.frames,
        message.from,
        name,
        message.length,
    ))
}

fn phase_1(
    session: &mut Session,
    facts: &mut Ike1,
    mut message: Message,
    content: &mut Content<'_>,
    incoming: &Incoming<'_>,
) {
    let mode = match incoming.wire.header.exchange_type {
        kind::MAIN => Mode::Main,
        kind::AGGRESSIVE => Mode::Aggressive,
        kind::BASE => Mode::Base,
        _ => Mode::Unknown,
    };
    if facts.mode == Mode::Unknown {
        facts.mode = mode;
    }
    message.ordinal = ordinal(mode, &message, facts.initiator);
    prove_unseen(session, facts, &message);
    let answer_first = facts
        .message(2)
        .is_some_and(|answer| answer.at.follows(message.at));
    if message.ordinal == 1 && session.vantage.started_late && answer_first {
        session.vantage.started_late = false;
    }
    let name = match message.ordinal {
        0 => mode.title().into(),
        n => numbered(mode.title(), n),
    };
    message.step = push_step(session, &message, incoming, name);
    learn(facts, &message, content, incoming);
    if facts.phase1.len() < Ike1::PHASE1_KEPT {
        facts.phase1.push(message);
    }
}

/// The place of a message in its mode, by its sender and what it carries in clear.
fn ordinal(mode: Mode, message: &Message, initiator: Side) -> u8 {
    const SA: u8 = 1;
    const KE: u8 = 4;
    let second = u8::from(message.from != initiator);
    match mode {
        Mode::Main if message.encrypted => 5 + second,
        Mode::Main if message.has(KE) => 3 + second,
        Mode::Main | Mode::Aggressive | Mode::Base if message.has(SA) => 1 + second,
        Mode::Aggressive if message.from == initiator => 3,
        Mode::Base => 3 + second,
        _ => 0,
    }
}

/// A message proves that those before it were sent, seen or not.
fn prove_unseen(session: &mut Session, facts: &Ike1, message: &Message) {
    if facts.phase1.iter().any(|m| m.ordinal == message.ordinal) {
        return;
    }
    let after = facts
        .phase1
        .iter()
        .find(|m| m.ordinal == message.ordinal + 1);
    if after.is_some_and(|after| after.at.follows(message.at)) {
        // It was missed a moment ago, when its answer came first.
        let unseen = session.vantage.unseen.of_mut(message.from);
        *unseen = unseen.saturating_sub(1);
        return;
    }
    if message.ordinal < 2 {
        return;
    }
    let before = message.ordinal - 1;
    let later_seen = facts.phase1.iter().any(|m| m.ordinal >= before);
    if !later_seen && !session.vantage.started_late {
        *session.vantage.unseen.of_mut(message.from.other()) += 1;
    }
}

/// Who begins a second transaction, or quick mode after it, has the answer to its first one.
fn prove_answer(session: &mut Session, facts: &Ike1, kind: u8, message: &Message) {
    let goes_on = matches!(kind, kind::TRANSACTION | kind::QUICK);
    let last = facts.exchanges.iter().rfind(|e| e.by == message.from);
    let asked = last
        .filter(|e| e.kind == kind::TRANSACTION && e.answer().is_none())
        .and_then(Exchange::first);
    if goes_on && asked.is_some_and(|asked| !asked.at.follows(message.at)) {
        *session.vantage.unseen.of_mut(message.from.other()) += 1;
    }
}

/// Takes what a message of phase 1 in clear teaches.
fn learn(facts: &mut Ike1, message: &Message, content: &mut Content<'_>, incoming: &Incoming<'_>) {
    let header = &incoming.wire.header;
    let from_initiator = message.from == facts.initiator;
    if from_initiator && facts.offered.is_empty() {
        facts.offered = std::mem::take(&mut content.offers);
        if let Some(chosen) = &facts.chosen {
            facts.chosen = Some(complete(chosen, &facts.offered));
        }
    } else if let Some(chosen) = content.offers.first().filter(|_| !from_initiator)
        && facts.chosen.is_none()
    {
        facts.chosen = Some(complete(chosen, &facts.offered));
    }
    let cookie = if from_initiator {
        header.initiator_spi
    } else {
        header.responder_spi
    };
    learn_vendors(
        facts.abilities.of_mut(message.from),
        &mut facts.vendor_ids,
        message.from,
        &content.vendors,
        cookie,
    );
    if let Some(identity) = content.identity.take()
        && facts.identities.len() < 8
    {
        facts.identities.push((message.from, identity));
    }
    learn_nat(facts, from_initiator, content, incoming);
}

fn learn_nat(
    facts: &mut Ike1,
    from_initiator: bool,
    content: &Content<'_>,
    incoming: &Incoming<'_>,
) {
    if content.nat.is_empty() {
        return;
    }
    let header = &incoming.wire.header;
    let envelope = incoming.envelope;
    let covered = Covered {
        spis: (header.initiator_spi.0, header.responder_spi.0),
        source: (envelope.source, envelope.source_port),
        destination: (envelope.destination, envelope.destination_port),
        algorithm: Algorithm::V1(facts.suite().and_then(|s| s.hash)),
    };
    // The first is about the receiver's address, all others about those of the sender.
    let (receiver, senders) = content.nat.split_at(content.nat.len().min(1));
    let (receiver, senders) = (receiver.iter().copied(), senders.iter().copied());
    let said = Said::new(covered, is_initial_ttl(envelope.ttl), senders, receiver);
    if from_initiator {
        facts.nat.request = said;
    } else {
        facts.nat.response = said;
    }
}

fn learn_cookies(facts: &mut Ike1, from: Side, header: &Header, incoming: &Incoming<'_>) {
    let Spi(responder) = header.responder_spi;
    if responder == 0 {
        return;
    }
    // An error answer may carry any cookie; one that accepts carries the responder's.
    let accepts = facts.phase1.last().is_some_and(|m| m.has(1)) || header.flags.is_encrypted();
    if facts.responder_cookie == 0 && (accepts || from == facts.initiator) {
        facts.responder_cookie = responder;
    } else if facts.responder_cookie != 0
        && facts.responder_cookie != responder
        && facts.other_responders.len() < Session::FACTS_KEPT
    {
        let at = Stamp::from(incoming.envelope);
        facts.other_responders.push((at, responder));
    }
}

/// A message of any other exchange.
fn other(session: &mut Session, facts: &mut Ike1, mut message: Message, incoming: &Incoming<'_>) {
    let header = &incoming.wire.header;
    let (kind, id) = (header.exchange_type, header.message_id);
    // An informational exchange has one message: two with the same ID are two.
    let index = facts
        .exchanges
        .iter()
        .rposition(|e| e.kind == kind && e.id == id && kind != kind::INFORMATIONAL);
    let index = index.unwrap_or_else(|| {
        prove_answer(session, facts, kind, &message);
        open_exchange(facts, kind, id, message.from)
    });
    let Some(exchange) = facts.exchanges.get_mut(index) else {
        return;
    };
    let place = exchange
        .messages
        .iter()
        .filter(|m| m.from == message.from)
        .count();
    let first = message.from == exchange.by;
    if place == 1 && !first && swapped(session, exchange, &message) {
        message.ordinal = 3;
        message.step = push_step(session, &message, incoming, name(kind, 3));
        exchange.messages.push(message);
        return;
    }
    message.ordinal = u8::try_from(2 * place + usize::from(!first) + 1).unwrap_or(u8::MAX);
    let answered = exchange.answer().is_some();
    if kind == kind::QUICK && first && place == 1 && !answered {
        // The third message exists only as an answer to the second.
        *session.vantage.unseen.of_mut(message.from.other()) += 1;
    }
    message.step = push_step(session, &message, incoming, name(kind, message.ordinal));
    if exchange.messages.len() < Exchange::MESSAGES_KEPT {
        exchange.messages.push(message);
    }
}

/// The initiator of quick mode is the one that sends two messages. Where merged captures or their
/// clocks put its peer's first, this puts them right.
fn swapped(session: &mut Session, exchange: &mut Exchange, third: &Message) -> bool {
    let [answer, asked] = exchange.messages.as_mut_slice() else {
        return false;
    };
    let jitter = asked.at.time - answer.at.time <= Stamp::JITTER;
    if exchange.kind != kind::QUICK || asked.from != third.from || !jitter {
        return false;
    }
    (asked.ordinal, answer.ordinal) = (1, 2);
    for message in [&*asked, &*answer] {
        if let Some(step) = message.step.and_then(|i| session.steps.get_mut(i)) {
            step.message = name(exchange.kind, message.ordinal);
        }
    }
    exchange.by = third.from;
    exchange.messages.swap(0, 1);
    true
}

fn open_exchange(facts: &mut Ike1, kind: u8, id: u32, by: Side) -> usize {
    if facts.exchanges.len() >= Ike1::EXCHANGES_KEPT {
        // The first exchanges tell how it began, the last ones how it ended.
        facts.exchanges.remove(Ike1::EXCHANGES_KEPT / 2);
        facts.exchanges_not_kept += 1;
    }
    facts.exchanges.push(Exchange {
        kind,
        id,
        by,
        messages: Vec::new(),
    });
    facts.exchanges.len() - 1
}

/// `Quick Mode 1`, as the field says it.
fn name(kind: u8, ordinal: u8) -> Cow<'static, str> {
    match (kind, ordinal) {
        (kind::INFORMATIONAL, _) => "Informational".into(),
        (kind::QUICK, n) => numbered("Quick Mode", n),
        (kind::TRANSACTION, n) => numbered("Transaction", n),
        (kind::NEW_GROUP, n) => numbered("New Group Mode", n),
        (other, _) => ExchangeType(other).to_string().into(),
    }
}

/// A title and a number; nearly all that come are there already.
fn numbered(title: &'static str, n: u8) -> Cow<'static, str> {
    const KNOWN: [(&str, [&str; 6]); 4] = [
        (
            "Main Mode",
            [
                "Main Mode 1",
                "Main Mode 2",
                "Main Mode 3",
                "Main Mode 4",
                "Main Mode 5",
                "Main Mode 6",
            ],
        ),
        (
            "Aggressive Mode",
            [
                "Aggressive Mode 1",
                "Aggressive Mode 2",
                "Aggressive Mode 3",
                "Aggressive Mode 4",
                "Aggressive Mode 5",
                "Aggressive Mode 6",
            ],
        ),
        (
            "Quick Mode",
            [
                "Quick Mode 1",
                "Quick Mode 2",
                "Quick Mode 3",
                "Quick Mode 4",
                "Quick Mode 5",
                "Quick Mode 6",
            ],
        ),
        (
            "Transaction",
            [
                "Transaction 1",
                "Transaction 2",
                "Transaction 3",
                "Transaction 4",
                "Transaction 5",
                "Transaction 6",
            ],
        ),
    ];
    let known = KNOWN.iter().find(|(known, _)| *known == title);
    known
        .and_then(|(_, names)| names.get(usize::from(n).checked_sub(1)?))
        .map_or_else(|| format!("{title} {n}").into(), |name| (*name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_there_are_those_that_would_be_written() {
        for title in [
            "Main Mode",
            "Aggressive Mode",
            "Quick Mode",
            "Transaction",
            "Other",
        ] {
            for n in 0..=u8::MAX {
                assert_eq!(numbered(title, n), format!("{title} {n}"));
            }
        }
    }
}
