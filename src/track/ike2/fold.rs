//! Adds one IKEv2 message to its session.

use std::borrow::Cow;

use vpnscope_dissectors::ike::v2::{ExchangeType, NotifyType, Payload, PayloadType};
use vpnscope_dissectors::ike::{Header, Message as Wire};

use super::nat::{Algorithm, Covered, Said, is_initial_ttl};
use super::suite::{Offer, Suite, wire};
use super::{Exchange, Fragments, Ike2, IkeSa, Message, Notifies, Notify, Types, kind};
use crate::decap::Envelope;
use crate::time::Span;
use crate::track::rare::push_lean;
use crate::track::session::{Session, Side, Stamp, Step, Unreadable};
use crate::track::vendor::vendor;

/// Copies of a span port, and of the other side of a NAT, come within this time; the
/// shortest retransmission timers are several hundred milliseconds.
const COPY_SPAN: Span = Span::from_millis(20);

/// One message on its way into a session.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// How it travelled.
    pub envelope: &'a Envelope,
    /// Frames it was put together from.
    pub frames: &'a [u64],
    /// The message.
    pub wire: &'a Wire<'a>,
    /// Digest of its octets.
    pub digest: u64,
}

impl Ike2 {
    /// The SA with this pair of SPIs, or with this initiator's where the responder's is not
    /// known yet.
    pub fn find_sa(&self, header: &Header) -> Option<usize> {
        let (i, r) = (header.initiator_spi.0, header.responder_spi.0);
        self.sas.iter().position(|sa| {
            sa.initiator_spi == i && (r == 0 || sa.responder_spi == 0 || sa.responder_spi == r)
        })
    }

    /// The SA whose first request another host than the first answered: same initiator SPI,
    /// another responder SPI.
    pub fn other_answer(&self, header: &Header) -> Option<usize> {
        let answers = header.exchange_type == kind::SA_INIT && header.flags.is_response();
        self.sas
            .iter()
            .position(|sa| answers && sa.initiator_spi == header.initiator_spi.0)
    }

    /// Who sent a message: the I flag names the end that began this SA.
    pub fn sender(&self, sa: usize, header: &Header) -> Side {
        let initiator = self.sas.get(sa).map_or(Side::Client, |sa| sa.initiator);
        if header.flags.from_original_initiator() {
            initiator
        } else {
            initiator.other()
        }
    }

    /// Adds an SA first seen in `incoming`.
    pub fn add_sa(&mut self, incoming: &Incoming<'_>, initiator: Side, inferred: bool) -> usize {
        let header = &incoming.wire.header;
        let sa = IkeSa {
            initiator_spi: header.initiator_spi.0,
            responder_spi: header.responder_spi.0,
            initiator,
            offered: Offer::default(),
            chosen: Offer::default(),
            suite: None,
            first: Stamp::from(incoming.envelope),
            inferred,
        };
        push_lean(&mut self.sas, sa);
        self.sas.len() - 1
    }
}

/// What the fold found out about where the message belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    /// A message not seen before.
    New,
    /// The same octets again: a retransmission.
    Repeated,
    /// The same octets at once: a copy.
    Copied,
}

/// Adds a message to the session that owns its SA.
pub fn fold(session: &mut Session, facts: &mut Ike2, sa: usize, incoming: &Incoming<'_>) -> Folded {
    let header = incoming.wire.header;
    let from = facts.sender(sa, &header);
    session.touch(incoming.envelope, from);
    let is_response = header.flags.is_response();
    let by = if is_response { from.other() } else { from };
    let (message, sa_body) = read(session, from, incoming);
    let index = match place(facts, sa, &header, by, is_response, &message) {
        Some(index) => index,
        None => open_exchange(session, facts, sa, &header, by),
    };
    let Some(exchange) = facts.exchanges.get_mut(index) else {
        return Folded::New;
    };
    let slot = if is_response {
        &mut exchange.response
    } else {
        &mut exchange.request
    };
    if let Some(seen) = slot {
        if seen.digest == message.digest || seen.fragments.is_some() && message.fragments.is_some()
        {
            return again(session, seen, &message, incoming);
        }
        // Another message where one stands already: the step shows it, the facts keep the
        // first, which is the one that the peer acted on.
        let accepts = is_response && message.has(PayloadType::SA.0);
        learn_responder(facts, sa, &header, accepts, incoming);
        push_step(session, from, &header, incoming, message.length);
        return Folded::New;
    }
    let mut message = message;
    message.step = push_step(session, from, &header, incoming, message.length);
    let has_vendors = message.has(PayloadType::V.0);
    *slot = Some(message);
    if is_response && exchange.request.is_none() {
        *session.vantage.unseen.of_mut(by) += 1;
    } else if !is_response && exchange.response.is_some() {
        overtaken(session, facts, index, by);
    }
    learn(facts, sa, index, (sa_body, has_vendors), incoming);
    Folded::New
}

/// How far an answer may stand before its request: jitter of clocks and queues.
const OVERTAKE: Span = Span::from_millis(50);

/// The request of an answer that came first: it was not missing after all.
fn overtaken(session: &mut Session, facts: &Ike2, index: usize, by: Side) {
    let unseen = session.vantage.unseen.of_mut(by);
    *unseen = unseen.saturating_sub(1);
    let Some(exchange) = facts.exchanges.get(index) else {
        return;
    };
    let (Some(request), Some(response)) = (&exchange.request, &exchange.response) else {
        return;
    };
    let near = (request.at.time - response.at.time).0.abs() <= OVERTAKE.0;
    if near && index == 0 && exchange.kind == kind::SA_INIT && exchange.id == 0 {
        session.vantage.started_late = false;
        session.roles_known = true;
    }
}

/// Finds the exchange a message belongs to.
fn place(
    facts: &Ike2,
    sa: usize,
    header: &Header,
    by: Side,
    is_response: bool,
    message: &Message,
) -> Option<usize> {
    let same = |e: &Exchange| e.sa == sa && e.id == header.message_id && e.by == by;
    let mut rounds = facts
        .exchanges
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, e)| same(e));
    if header.exchange_type != kind::SA_INIT {
        return rounds.next().map(|(index, _)| index);
    }
    let slot = |e: &Exchange| {
        let slot = if is_response { &e.response } else { &e.request };
        slot.as_ref().map(|seen| seen.digest)
    };
    if let Some((index, _)) = rounds
        .clone()
        .find(|(_, e)| slot(e) == Some(message.digest))
    {
        return Some(index);
    }
    if !is_response {
        // An answer that overtook its request has opened the round already.
        return rounds
            .next()
            .filter(|(_, e)| slot(e).is_none())
            .map(|(index, _)| index);
    }
    // What asks for another try answers the oldest open round, what accepts the latest:
    // times may run backwards a little, or the next try overtake the answer.
    let accepts = message.has(PayloadType::SA.0);
    let mut open = rounds.filter(|(_, e)| slot(e).is_none());
    let found = if accepts {
        open.next()
    } else {
        open.next_back()
    };
    found.map(|(index, _)| index)
}

fn open_exchange(
    session: &mut Session,
    facts: &mut Ike2,
    sa: usize,
    header: &Header,
    by: Side,
) -> usize {
    // A later message ID proves that every earlier exchange of this side was completed.
    if let Some(before) = facts
        .exchanges
        .iter_mut()
        .rev()
        .find(|e| e.sa == sa && e.by == by && e.id.checked_add(1) == Some(header.message_id))
        && before.response.is_none()
    {
        *session.vantage.unseen.of_mut(by.other()) += 1;
    }
    if facts.exchanges.len() >= Ike2::EXCHANGES_KEPT {
        // The first exchanges tell how it began, the last ones how it ended.
        facts.exchanges.remove(Ike2::EXCHANGES_KEPT / 2);
        facts.exchanges_not_kept += 1;
    }
    facts.exchanges.push(Exchange {
        sa,
        id: header.message_id,
        kind: header.exchange_type,
        by,
        request: None,
        response: None,
    });
    facts.exchanges.len() - 1
}

/// The same message again: a copy, a retransmission, or another of its fragments.
fn again(
    session: &mut Session,
    seen: &mut Message,
    new: &Message,
    incoming: &Incoming<'_>,
) -> Folded {
    let at = Stamp::from(incoming.envelope);
    if let (Some(have), Some(part)) = (&mut seen.fragments, &new.fragments) {
        return another_fragment(
            session,
            seen.step,
            &mut seen.length,
            have,
            part,
            new,
            incoming,
        );
    }
    let Some(step) = seen.step.and_then(|index| session.steps.get_mut(index)) else {
        return Folded::Repeated;
    };
    step.ip_len = step.ip_len.max(incoming.envelope.ip_len);
    if is_copy(step, at) {
        step.copies += 1;
        session.vantage.copies += 1;
        session.vantage.two_points |= step.flow != incoming.envelope.flow();
        return Folded::Copied;
    }
    step.repeats.note(at);
    Folded::Repeated
}

fn is_copy(step: &Step, at: Stamp) -> bool {
    let gap = at.time - step.last().time;
    gap.0.abs() <= COPY_SPAN.0
}

fn another_fragment(
    session: &mut Session,
    step: Option<usize>,
    length: &mut u32,
    have: &mut Fragments,
    part: &Fragments,
    new: &Message,
    incoming: &Incoming<'_>,
) -> Folded {
    let at = Stamp::from(incoming.envelope);
    have.total = have.total.max(part.total);
    have.largest_ip = have.largest_ip.max(part.largest_ip);
    let Some(&(number, ..)) = part.seen.first() else {
        return Folded::Repeated;
    };
    let Some((_, first, times)) = have.seen.iter_mut().find(|(seen, ..)| *seen == number) else {
        if have.seen.len() < Fragments::KEPT {
            have.seen.push((number, at, 1));
        }
        *length = length.saturating_add(new.length);
        if let Some(step) = step.and_then(|index| session.steps.get_mut(index)) {
            if step.frames.is_empty() {
                step.frames.push(step.at.frame());
            }
            step.frames.push(at.frame());
            step.length = *length;
        }
        return Folded::New;
    };
    if (at.time - first.time).0.abs() <= COPY_SPAN.0 {
        session.vantage.copies += 1;
        return Folded::Copied;
    }
    *times = times.saturating_add(1);
    let lowest = have.seen.iter().map(|(number, ..)| *number).min();
    if let Some(step) = step.and_then(|index| session.steps.get_mut(index)) {
        // One retransmission of the message shows once, by its lowest fragment.
        if lowest == Some(number) {
            step.repeats.note(at);
        }
    }
    Folded::Repeated
}

fn push_step(
    session: &mut Session,
    from: Side,
    header: &Header,
    incoming: &Incoming<'_>,
    length: u32,
) -> Option<usize> {
    let name = name(header);
    session.push_step(Step::new(
        incoming.envelope,
        incoming.frames,
        from,
        name,
        length,
    ))
}

/// `IKE_AUTH request`, as the field says it.
fn name(header: &Header) -> Cow<'static, str> {
    let response = header.flags.is_response();
    let text = match (header.exchange_type, response) {
        (kind::SA_INIT, false) => "IKE_SA_INIT request",
        (kind::SA_INIT, true) => "IKE_SA_INIT response",
        (kind::AUTH, false) => "IKE_AUTH request",
        (kind::AUTH, true) => "IKE_AUTH response",
        (kind::CREATE_CHILD, false) => "CREATE_CHILD_SA request",
        (kind::CREATE_CHILD, true) => "CREATE_CHILD_SA response",
        (kind::INFORMATIONAL, false) => "INFORMATIONAL request",
        (kind::INFORMATIONAL, true) => "INFORMATIONAL response",
        (other, _) => {
            let word = if response { "response" } else { "request" };
            return format!("{} {word}", ExchangeType(other)).into();
        }
    };
    text.into()
}

/// Reads what stands in clear, and finds the body of the SA payload; a bad payload is noted and
/// costs nothing before it.
fn read<'a>(
    session: &mut Session,
    from: Side,
    incoming: &Incoming<'a>,
) -> (Message, Option<&'a [u8]>) {
    let wire = incoming.wire;
    let mut message = Message {
        step: None,
        at: Stamp::from(incoming.envelope),
        length: wire.header.length,
        payloads: Types::default(),
        notifies: Notifies::default(),
        encrypted: false,
        ke_group: None,
        fragments: None,
        truncated: incoming.envelope.truncated,
        digest: incoming.digest,
    };
    let mut fault = wire.length_fault.filter(|_| !incoming.envelope.truncated);
    let mut sa_body = None;
    for payload in wire.payloads().take(128) {
        let raw = match payload {
            Ok(raw) => raw,
            Err(error) => {
                fault = fault.or(Some(error));
                break;
            }
        };
        message.payloads.insert(raw.payload_type);
        if raw.payload_type == PayloadType::SA.0 {
            sa_body = sa_body.or(Some(raw.body));
        }
        match Payload::parse(&raw) {
            Ok(payload) => note(&mut message, &payload, incoming),
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    if let Some(error) = fault.filter(|_| !incoming.envelope.truncated)
        && session.unreadable.len() < Session::FACTS_KEPT
    {
        session.unreadable.push(Unreadable {
            at: message.at,
            from,
            what: error.what,
            offset: error.offset,
            reason: error.reason,
        });
    }
    (message, sa_body)
}

fn note(message: &mut Message, payload: &Payload<'_>, incoming: &Incoming<'_>) {
    match payload {
        Payload::Notify(notify) => message.notifies.push(notify.notify_type.0, notify.data.0),
        Payload::Ke(ke) => message.ke_group = Some(ke.method.0),
        Payload::Encrypted(_) => message.encrypted = true,
        Payload::EncryptedFragment(part) => {
            message.encrypted = true;
            message.fragments = Some(Box::new(Fragments {
                total: part.total_fragments,
                seen: vec![(part.fragment_number, message.at, 1)],
                largest_ip: incoming.envelope.ip_len,
            }));
        }
        _ => {}
    }
}

/// Takes what a message in clear teaches about its SA.
fn learn(
    facts: &mut Ike2,
    sa: usize,
    index: usize,
    (sa_body, has_vendors): (Option<&[u8]>, bool),
    incoming: &Incoming<'_>,
) {
    let header = incoming.wire.header;
    let is_response = header.flags.is_response();
    if !matches!(header.exchange_type, kind::SA_INIT | kind::RESUME) {
        learn_responder(facts, sa, &header, true, incoming);
        return;
    }
    let first = sa_body.and_then(|body| Some((body, wire(body).next()?)));
    let side = if is_response {
        Side::Gateway
    } else {
        Side::Client
    };
    if has_vendors {
        learn_vendors(facts, side, incoming.wire);
    }
    if is_response {
        learn_responder(facts, sa, &header, first.is_some(), incoming);
    }
    // Only an answer that accepts counts for NAT detection: a COOKIE answer has no hashes.
    learn_nat(facts, &header, is_response, index, incoming);
    let (Some(entry), Some((body, proposal))) = (facts.sas.get_mut(sa), first) else {
        return;
    };
    if is_response {
        entry.suite = Suite::of(&proposal);
        entry.chosen = Offer::new(body);
    } else {
        entry.offered = Offer::new(body);
    }
}

fn learn_responder(
    facts: &mut Ike2,
    sa: usize,
    header: &Header,
    decisive: bool,
    incoming: &Incoming<'_>,
) {
    let Some(entry) = facts.sas.get_mut(sa) else {
        return;
    };
    let spi = header.responder_spi.0;
    if spi == 0 || !decisive {
        return;
    }
    if entry.responder_spi == 0 {
        entry.responder_spi = spi;
    } else if entry.responder_spi != spi && facts.other_responders.len() < Session::FACTS_KEPT {
        facts
            .other_responders
            .push((Stamp::from(incoming.envelope), spi));
    }
}

fn learn_vendors(facts: &mut Ike2, side: Side, wire: &Wire<'_>) {
    for raw in wire.payloads().take(128).flatten() {
        if raw.payload_type == PayloadType::V.0 && facts.vendor_ids.len() < 32 {
            let name = vendor(raw.body).name;
            if !facts
                .vendor_ids
                .iter()
                .any(|(s, n)| *s == side && *n == name)
            {
                facts.vendor_ids.push((side, name));
            }
        }
    }
}

fn learn_nat(
    facts: &mut Ike2,
    header: &Header,
    response: bool,
    index: usize,
    incoming: &Incoming<'_>,
) {
    let envelope = incoming.envelope;
    let Some(exchange) = facts.exchanges.get(index) else {
        return;
    };
    let message = if response {
        &exchange.response
    } else {
        &exchange.request
    };
    let Some(message) = message else {
        return;
    };
    let of = |notify_type: NotifyType| {
        let fitting = move |n: &Notify<'_>| n.notify_type == notify_type.0;
        message.notifies.iter().filter(fitting).map(|n| n.data)
    };
    let source = of(NotifyType::NAT_DETECTION_SOURCE_IP);
    let destination = of(NotifyType::NAT_DETECTION_DESTINATION_IP);
    if source.clone().next().is_none() && destination.clone().next().is_none() {
        return;
    }
    let covered = Covered {
        spis: (header.initiator_spi.0, header.responder_spi.0),
        source: (envelope.source, envelope.source_port),
        destination: (envelope.destination, envelope.destination_port),
        algorithm: Algorithm::V2,
    };
    let said = Said::new(covered, is_initial_ttl(envelope.ttl), source, destination);
    if response {
        facts.nat.response = said;
    } else {
        facts.nat.request = said;
    }
}
