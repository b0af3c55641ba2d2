//! Adds a PPP frame to the facts.

use std::hash::BuildHasher;
use std::net::Ipv4Addr;

use foldhash::fast::FixedState;
use vpnscope_dissectors::ppp::{
    ChapCode, Code, Content, Frame, LcpOption, OptionValue, Packet, PapCode, Protocol, RawOption,
};

use super::{
    Decision, Half, Login, Method, Negotiation, Ppp, Refusal, RejectedProtocol, Terminated, Value,
    Wanted,
};
use crate::decap::Envelope;
use crate::time::Span;
use crate::track::session::{Session, Side, Stamp, Step, Unreadable};

/// Copies of a span port come within this time; no PPP timer is that short.
const COPY_SPAN: Span = Span::from_millis(20);
/// Longest text kept of a name, a message or a reason, octets.
const TEXT: usize = 128;

/// Where a frame comes from.
#[derive(Debug, Clone, Copy)]
pub(in crate::track) struct Incoming<'a> {
    pub(in crate::track) envelope: &'a Envelope,
    pub(in crate::track) frames: &'a [u64],
    pub(in crate::track) from: Side,
    /// The octets of the PPP frame.
    pub(in crate::track) octets: &'a [u8],
}

/// Adds the frame in `incoming.octets`. `true` where it is a copy made by a span port.
pub(in crate::track) fn fold(
    session: &mut Session,
    ppp: &mut Ppp,
    incoming: &Incoming<'_>,
) -> bool {
    let frame = match Frame::parse(incoming.octets) {
        Ok(frame) => frame,
        Err(error) => {
            unreadable(session, incoming, error);
            return false;
        }
    };
    match frame.protocol {
        Protocol::IPV4
        | Protocol::IPV6
        | Protocol::COMPRESSED
        | Protocol::VJ_COMPRESSED
        | Protocol::VJ_UNCOMPRESSED
        | Protocol::MULTILINK => {
            carried(ppp, incoming);
            return false;
        }
        _ => {}
    }
    let packet = match frame.packet() {
        Some(Ok(packet)) => packet,
        Some(Err(error)) => {
            unreadable(session, incoming, error);
            return false;
        }
        None => return false,
    };
    if let Some(fault) = packet.length_fault {
        unreadable(session, incoming, fault);
    }
    if frame.protocol == Protocol::LCP && echo(ppp, incoming, &packet) {
        return false;
    }
    let step = match note(session, ppp, incoming, &packet) {
        Noted::New(step) => step,
        Noted::Again(is_copy) => return is_copy,
    };
    if !session.vantage.started_late && answers_unseen(ppp, incoming.from, &packet) {
        *session.vantage.unseen.of_mut(incoming.from.other()) += 1;
    }
    learn(ppp, incoming, &packet, step);
    false
}

/// Whether a packet answers one of the other side that was not seen: it must have been sent.
fn answers_unseen(ppp: &mut Ppp, from: Side, packet: &Packet<'_>) -> bool {
    const KEPT: usize = 64;
    let protocol = packet.protocol;
    let number = |code| u16::from_be_bytes([code, packet.identifier]);
    // The code that it answers (RFC 1661 §5, RFC 1334 §2.2, RFC 1994 §4).
    let (asks, answered) = match (protocol, packet.code) {
        (Protocol::CHAP, 2) => (true, Some(1)),
        (Protocol::CHAP, 3 | 4) => (false, Some(2)),
        (Protocol::PAP, 2 | 3) => (false, Some(1)),
        (Protocol::LCP | Protocol::IPCP | Protocol::IPV6CP | Protocol::CCP, 2..=4) => {
            (false, Some(1))
        }
        (Protocol::LCP | Protocol::IPCP | Protocol::IPV6CP | Protocol::CCP, 6) => (false, Some(5)),
        (_, 1 | 5) => (true, None),
        _ => return false,
    };
    if ppp.asked.len() >= KEPT {
        ppp.asked.drain(..2);
    }
    if asks {
        let question = (protocol.0, from, number(packet.code));
        ppp.asked.push_back(question);
    }
    let Some(code) = answered else { return false };
    let question = (protocol.0, from.other(), number(code));
    if ppp.asked.contains(&question) {
        return false;
    }
    // Once for each.
    ppp.asked.push_back(question);
    let unseen = ppp.unseen.of_mut(from.other());
    *unseen = unseen.saturating_add(1);
    true
}

fn unreadable(
    session: &mut Session,
    incoming: &Incoming<'_>,
    error: vpnscope_dissectors::ParseError,
) {
    if session.unreadable.len() >= Session::FACTS_KEPT || incoming.envelope.truncated {
        return;
    }
    session.unreadable.push(Unreadable {
        at: Stamp::from(incoming.envelope),
        from: incoming.from,
        what: error.what,
        offset: error.offset,
        reason: error.reason,
    });
}

fn carried(ppp: &mut Ppp, incoming: &Incoming<'_>) {
    let at = Stamp::from(incoming.envelope);
    let carried = ppp.carried.of_mut(incoming.from);
    carried.packets += 1;
    carried.octets += incoming.octets.len() as u64;
    carried.first.get_or_insert(at);
    carried.last = Some(at);
}

/// Echoes keep a link alive for hours: they are counted and have no step.
fn echo(ppp: &mut Ppp, incoming: &Incoming<'_>, packet: &Packet<'_>) -> bool {
    let at = Stamp::from(incoming.envelope);
    match Code(packet.code) {
        Code::ECHO_REQUEST => {
            if let Ok(Content::Echo { magic, .. }) = packet.content() {
                heard_itself(ppp, incoming.from, magic, at);
            }
            let echo = ppp.echo.of_mut(incoming.from);
            echo.requests = echo.requests.saturating_add(1);
            echo.unanswered = echo.unanswered.saturating_add(1);
            echo.since.get_or_insert(at);
            echo.last = Some(at);
            true
        }
        Code::ECHO_REPLY => {
            let echo = ppp.echo.of_mut(incoming.from.other());
            echo.unanswered = 0;
            echo.since = None;
            true
        }
        Code::DISCARD_REQUEST => true,
        _ => false,
    }
}

/// A side that uses the magic number of the other one hears its own packets.
fn heard_itself(ppp: &mut Ppp, from: Side, magic: u32, at: Stamp) {
    let other = *ppp.magic.of(from.other());
    if magic != 0 && other == Some(magic) && *ppp.magic.of(from) == Some(magic) {
        ppp.looped.get_or_insert(at);
    }
}

enum Noted {
    New(Option<usize>),
    Again(bool),
}

/// A step for a new packet; for one seen before, its repetition.
fn note(
    session: &mut Session,
    ppp: &mut Ppp,
    incoming: &Incoming<'_>,
    packet: &Packet<'_>,
) -> Noted {
    let at = Stamp::from(incoming.envelope);
    // The same octets of the other side are another packet: a loop sends them back.
    let digest = FixedState::default().hash_one((incoming.from, incoming.octets));
    let known = ppp.digests.iter().rev().find(|(seen, _)| *seen == digest);
    if let Some(step) = known.and_then(|&(_, index)| session.steps.get_mut(index)) {
        let gap = at.time - step.last().time;
        if gap.0.abs() <= COPY_SPAN.0 {
            step.copies += 1;
            session.vantage.copies += 1;
            return Noted::Again(true);
        }
        step.repeats.note(at);
        return Noted::Again(false);
    }
    let length = u32::from(packet.length);
    let index = session.push_step(Step::new(
        incoming.envelope,
        incoming.frames,
        incoming.from,
        name(packet),
        length,
    ));
    if let Some(index) = index {
        ppp.digests.push((digest, index));
    }
    Noted::New(index)
}

/// `LCP Configure-Request`, as the field says it.
fn name(packet: &Packet<'_>) -> String {
    let protocol = short_name(packet.protocol);
    match packet.code_name() {
        Some(code) => format!("{protocol} {code}"),
        None => format!("{protocol} code {}", packet.code),
    }
}

/// The short name of a PPP protocol.
pub fn short_name(protocol: Protocol) -> String {
    match protocol {
        Protocol::LCP => "LCP",
        Protocol::PAP => "PAP",
        Protocol::CHAP => "CHAP",
        Protocol::EAP => "EAP",
        Protocol::IPCP => "IPCP",
        Protocol::IPV6CP => "IPV6CP",
        Protocol::CCP => "CCP",
        Protocol::MPLSCP => "MPLSCP",
        Protocol::CBCP => "CBCP",
        Protocol::ECP => "ECP",
        Protocol(number) => return format!("PPP {number:#06x}"),
    }
    .to_string()
}

fn learn(ppp: &mut Ppp, incoming: &Incoming<'_>, packet: &Packet<'_>, step: Option<usize>) {
    let from = incoming.from;
    let at = Stamp::from(incoming.envelope);
    match packet.protocol {
        Protocol::PAP => pap(ppp, from, at, packet, step),
        Protocol::CHAP => chap(ppp, from, at, packet, step),
        Protocol::EAP => eap(ppp, from, at, packet, step),
        protocol if protocol.negotiates() => {
            control(ppp, from, at, packet, step);
            if let Some(negotiation) = negotiation(ppp, protocol) {
                negotiate(negotiation, from, at, packet, step);
            }
            if protocol == Protocol::LCP {
                magic(ppp, from, at, packet);
            }
        }
        _ => {}
    }
}

fn negotiation(ppp: &mut Ppp, protocol: Protocol) -> Option<&mut Negotiation> {
    match protocol {
        Protocol::LCP => Some(&mut ppp.lcp),
        Protocol::IPCP => Some(&mut ppp.ipcp),
        Protocol::IPV6CP => Some(&mut ppp.ipv6cp),
        Protocol::CCP => Some(&mut ppp.ccp),
        _ => None,
    }
}

/// What all control protocols share: rejections, terminations, identifications.
fn control(ppp: &mut Ppp, by: Side, at: Stamp, packet: &Packet<'_>, step: Option<usize>) {
    match packet.content() {
        Ok(Content::ProtocolReject { protocol, .. }) if ppp.rejected.len() < Ppp::KEPT => {
            ppp.rejected.push(RejectedProtocol {
                by,
                protocol,
                at,
                step,
            });
        }
        Ok(Content::Text(reason))
            if Code(packet.code) == Code::TERMINATE_REQUEST && ppp.terminated.len() < Ppp::KEPT =>
        {
            ppp.terminated.push(Terminated {
                by,
                protocol: packet.protocol,
                at,
                step,
                text: text(reason.0),
            });
        }
        Ok(Content::Identification { message, .. }) if ppp.identifications.len() < Ppp::KEPT => {
            let said = (by, text(message.0));
            if !ppp.identifications.contains(&said) {
                ppp.identifications.push(said);
            }
        }
        _ => {}
    }
}

fn magic(ppp: &mut Ppp, from: Side, at: Stamp, packet: &Packet<'_>) {
    if Code(packet.code) != Code::CONFIGURE_REQUEST {
        return;
    }
    let wanted = packet.options().map_while(Result::ok).find_map(|option| {
        match (LcpOption(option.option_type), option.value()) {
            (LcpOption::MAGIC_NUMBER, Ok(OptionValue::Bits(magic))) => Some(magic),
            _ => None,
        }
    });
    if let Some(magic) = wanted {
        *ppp.magic.of_mut(from) = Some(magic);
        heard_itself(ppp, from, magic, at);
    }
}

fn negotiate(
    negotiation: &mut Negotiation,
    from: Side,
    at: Stamp,
    packet: &Packet<'_>,
    step: Option<usize>,
) {
    let code = Code(packet.code);
    if code == Code::CONFIGURE_REQUEST {
        let half = negotiation.of.of_mut(from);
        // A request after an acknowledgment begins anew (RFC 1661 §4.3).
        half.acked = None;
        half.requests = half.requests.saturating_add(1);
        if half.first.is_none() {
            half.first = step;
        }
        half.last = step.or(half.last);
        half.wanted = packet
            .options()
            .map_while(Result::ok)
            .take(Half::KEPT)
            .map(|option| Wanted {
                option: option.option_type,
                value: value(&option),
            })
            .collect();
        return;
    }
    let half = negotiation.of.of_mut(from.other());
    match code {
        Code::CONFIGURE_ACK => {
            half.answers = half.answers.saturating_add(1);
            half.acked = Some((at, step));
        }
        Code::CONFIGURE_NAK | Code::CONFIGURE_REJECT => {
            half.answers = half.answers.saturating_add(1);
            for option in packet.options().map_while(Result::ok).take(Half::KEPT) {
                refuse(half, &option, code == Code::CONFIGURE_REJECT, step);
            }
        }
        _ => {}
    }
}

fn refuse(half: &mut Half, option: &RawOption<'_>, rejected: bool, step: Option<usize>) {
    let instead = (!rejected).then(|| value(option));
    let known = half
        .refusals
        .iter()
        .position(|refusal| refusal.option == option.option_type);
    let index = known.unwrap_or(half.refusals.len());
    if known.is_none() && half.refusals.len() < Half::KEPT {
        half.refusals.push(Refusal {
            option: option.option_type,
            rejected,
            count: 0,
            steps: Vec::new(),
            instead,
        });
    }
    let Some(refusal) = half.refusals.get_mut(index) else {
        return;
    };
    refusal.rejected |= rejected;
    refusal.count = refusal.count.saturating_add(1);
    refusal.instead = instead.or(refusal.instead);
    if let Some(step) = step
        && refusal.steps.len() < Half::STEPS
    {
        refusal.steps.push(step);
    }
}

fn value(option: &RawOption<'_>) -> Value {
    match option.value() {
        Ok(OptionValue::Authentication {
            protocol,
            algorithm,
        }) => Value::Authentication(match protocol {
            Protocol::PAP => Method::Pap,
            Protocol::CHAP => Method::Chap(algorithm),
            Protocol::EAP => Method::Eap,
            other => Method::Other(other),
        }),
        Ok(OptionValue::Number(number) | OptionValue::Bits(number)) => Value::Number(number),
        Ok(OptionValue::Mppe(bits)) => Value::Number(bits.0),
        Ok(OptionValue::Ipv4(address)) => Value::Ipv4(address),
        _ => Value::Other,
    }
}

/// The login that a packet belongs to: the last one without a verdict, or a new one.
fn login(ppp: &mut Ppp, method: Method, authenticator: Side) -> Option<&mut Login> {
    let same = |login: &Login| {
        login.verdict.is_none()
            && login.authenticator == authenticator
            && std::mem::discriminant(&login.method) == std::mem::discriminant(&method)
    };
    if !ppp.logins.last().is_some_and(same) {
        if ppp.logins.len() >= Ppp::KEPT {
            // The first tells how it began, the last ones how it ended.
            ppp.logins.remove(1);
        }
        let method = match method {
            Method::Chap(None) => Method::Chap(algorithm(ppp, authenticator)),
            other => other,
        };
        ppp.logins.push(Login {
            method,
            authenticator,
            asked: None,
            answered: None,
            answered_at: None,
            user: None,
            verdict: None,
        });
    }
    ppp.logins.last_mut()
}

/// The CHAP algorithm that the authenticator asked for in LCP.
fn algorithm(ppp: &Ppp, authenticator: Side) -> Option<vpnscope_dissectors::ppp::ChapAlgorithm> {
    let half = ppp.lcp.of.of(authenticator);
    half.wanted.iter().find_map(|wanted| match wanted.value {
        Value::Authentication(Method::Chap(algorithm)) => algorithm,
        _ => None,
    })
}

fn pap(ppp: &mut Ppp, from: Side, at: Stamp, packet: &Packet<'_>, step: Option<usize>) {
    match (PapCode(packet.code), packet.content()) {
        (PapCode::AUTHENTICATE_REQUEST, content) => {
            let Some(login) = login(ppp, Method::Pap, from.other()) else {
                return;
            };
            login.answered = step;
            login.answered_at = Some(at);
            if let Ok(Content::Pap(request)) = content {
                login.user = Some(text(request.peer_id.0));
            }
        }
        (code @ (PapCode::AUTHENTICATE_ACK | PapCode::AUTHENTICATE_NAK), content) => {
            let said = match content {
                Ok(Content::Text(message)) => text(message.0),
                _ => String::new(),
            };
            let granted = code == PapCode::AUTHENTICATE_ACK;
            decide(ppp, Method::Pap, from, granted, at, step, said);
        }
        _ => {}
    }
}

fn decide(
    ppp: &mut Ppp,
    method: Method,
    by: Side,
    granted: bool,
    at: Stamp,
    step: Option<usize>,
    text: String,
) -> Option<&mut Decision> {
    let login = login(ppp, method, by)?;
    login.verdict = Some(Decision {
        granted,
        at,
        step,
        error: None,
        retry: None,
        text,
        proof_missing: false,
    });
    login.verdict.as_mut()
}

fn chap(ppp: &mut Ppp, from: Side, at: Stamp, packet: &Packet<'_>, step: Option<usize>) {
    let content = packet.content();
    match (ChapCode(packet.code), content) {
        (ChapCode::CHALLENGE, _) => {
            if let Some(login) = login(ppp, Method::Chap(None), from) {
                login.asked = step;
            }
        }
        (ChapCode::RESPONSE, content) => {
            let Some(login) = login(ppp, Method::Chap(None), from.other()) else {
                return;
            };
            login.answered = step;
            login.answered_at = Some(at);
            if let Ok(Content::ChapValue(value)) = content {
                login.user = Some(text(value.name.0));
            }
        }
        (code @ (ChapCode::SUCCESS | ChapCode::FAILURE), Ok(Content::ChapMessage(message))) => {
            let granted = code == ChapCode::SUCCESS;
            let said = text(message.text.0);
            let failure = message.ms_chap_failure();
            let success = message.ms_chap_success();
            let Some(decision) = decide(ppp, Method::Chap(None), from, granted, at, step, said)
            else {
                return;
            };
            if let (false, Some(failure)) = (granted, failure) {
                decision.error = Some(failure.error.0);
                decision.retry = failure.retry;
                if let Some(message) = failure.message {
                    decision.text = text(message.as_bytes());
                }
            }
            let proven = success.is_some_and(|success| success.is_well_formed());
            if granted && !proven {
                let v2 = Method::Chap(Some(vpnscope_dissectors::ppp::ChapAlgorithm::MS_CHAP_V2));
                let is_v2 = ppp.logins.last().is_some_and(|login| login.method == v2);
                if let Some(decision) = ppp.logins.last_mut().and_then(|l| l.verdict.as_mut()) {
                    decision.proof_missing = is_v2;
                }
            }
        }
        _ => {}
    }
}

fn eap(ppp: &mut Ppp, from: Side, at: Stamp, packet: &Packet<'_>, step: Option<usize>) {
    /// EAP type of an identity (RFC 3748 §5.1).
    const IDENTITY: u8 = 1;
    match packet.code {
        1 => {
            if let Some(login) = login(ppp, Method::Eap, from) {
                login.asked = login.asked.or(step);
            }
        }
        2 => {
            if let Some(login) = login(ppp, Method::Eap, from.other()) {
                login.answered = step;
                login.answered_at = Some(at);
                if let Some((&IDENTITY, name)) = packet.body.split_first() {
                    login.user = Some(text(name));
                }
            }
        }
        3 | 4 => {
            let granted = packet.code == 3;
            decide(ppp, Method::Eap, from, granted, at, step, String::new());
        }
        _ => {}
    }
}

/// Text from the wire, bounded.
pub(in crate::track) fn text(octets: &[u8]) -> String {
    let octets = octets.get(..TEXT).unwrap_or(octets);
    String::from_utf8_lossy(octets)
        .trim_end_matches(['\0', '\r', '\n'])
        .to_string()
}

impl Ppp {
    /// The IPv4 address that the client was given: the one that the gateway acknowledged.
    pub fn client_address(&self) -> Option<Ipv4Addr> {
        let half = &self.ipcp.of.client;
        half.acked?;
        half.wanted
            .iter()
            .find_map(|wanted| match (wanted.option, wanted.value) {
                (3, Value::Ipv4(address)) => Some(Ipv4Addr::from(address)),
                _ => None,
            })
    }

    /// The MRU that a side asked for.
    pub fn mru(&self, side: Side) -> Option<u32> {
        let half = self.lcp.of.of(side);
        half.wanted
            .iter()
            .find_map(|wanted| match (LcpOption(wanted.option), wanted.value) {
                (LcpOption::MRU, Value::Number(mru)) => Some(mru),
                _ => None,
            })
    }
}
