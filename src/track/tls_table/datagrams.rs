//! Folds what a DTLS association carried into its session.

use std::borrow::Cow;

use vpnscope_dissectors::dtls::{Fragment, PlainRecord};
use vpnscope_dissectors::tls::fingerprint::Carrier;
use vpnscope_dissectors::tls::{
    Certificates, ClientHello, ContentType, HandshakeType, ServerHello,
};

use super::super::rare::push_lean;
use super::super::session::{Kind, Session, Side, Stamp, Step, Unreadable};
use super::super::tls::association::{IncompleteMessage, MessageSeen};
use super::super::tls::connection::AlertSeen;
use super::super::tls::{Answer, Association, Chain, GaveUp, Hello, Move, Tls};
use super::super::{Core, DtlsEvent, Event};
use super::fold::{step_name, touch};
use super::link::{self, Place};
use super::{IDLE_OPEN, Table, begin, with};
use crate::assemble::messages::dtls::{Item, What};
use crate::time::Span;

/// Hellos, alerts and the like of an association that are kept.
const KEPT: usize = 8;
/// Data records of an association that are lines of the ladder.
const DATA_STEPS: u64 = 8;
/// Silence after which an association of its own is taken for over.
const IDLE: Span = Span::from_secs(600);

impl Table {
    /// Adds something of an association.
    pub(in super::super) fn dtls(
        &mut self,
        core: &mut Core,
        event: &Event<'_>,
        dtls: &DtlsEvent<'_>,
    ) {
        let item = &dtls.item;
        let Some((index, place)) = self.place(core, event, item) else {
            // It is of no association that is known: the copy before it was not its record.
            self.skip_record = false;
            return;
        };
        let from = if item.from_client {
            Side::Client
        } else {
            Side::Gateway
        };
        let skip = &mut self.skip_record;
        let mut copies = 0;
        with(core, index, |session, facts| {
            let mut fold = Fold {
                session,
                facts,
                place,
                event,
                from,
            };
            if let What::Record(record) = &item.what {
                *skip = fold.is_copy(record);
                copies = u64::from(*skip);
            }
            if !*skip {
                fold.item(item);
            }
        });
        if matches!(item.what, What::Unified(_)) {
            self.skip_record = false;
        }
        core.counters.copies += copies;
        let now = core.now;
        if let Some(open) = core.slab.get(index) {
            let alone = open.session.kind == Kind::Dtls;
            core.slab
                .touch(index, now, if alone { IDLE } else { IDLE_OPEN });
        }
    }

    /// The session of an association, and its place there; opens what is new.
    fn place(
        &mut self,
        core: &mut Core,
        event: &Event<'_>,
        item: &Item<'_>,
    ) -> Option<(u32, usize)> {
        if let Some(known) = self.associations.get(&item.association).copied() {
            return Some(known);
        }
        let at = Stamp::from(event.envelope);
        let hello = match item.what {
            What::Message {
                message_type: HandshakeType::CLIENT_HELLO,
                body,
                ..
            } => ClientHello::parse_dtls(body)
                .ok()
                .map(|hello| Hello::of(&hello, at, Carrier::Dtls)),
            // Wait for the hello to be whole: it says where the association belongs.
            What::Record(record) if is_clear_hello(&record) => return None,
            What::Fragment { fragment, .. }
                if fragment.message_type == HandshakeType::CLIENT_HELLO =>
            {
                return None;
            }
            _ => None,
        };
        if hello.is_none()
            && let Some(moved) = self.moved(core, event, item)
        {
            return Some(moved);
        }
        let found = link::tunnel(core, &item.flow, hello.as_ref(), at.time);
        let index = found.map_or_else(
            || begin(core, event.envelope, &item.flow, Kind::Dtls, at),
            |place| place.index,
        );
        let ambiguous = found.is_some_and(|place: Place| place.ambiguous);
        core.join_pair(index, event.envelope);
        let mut place = None;
        with(core, index, |session, facts| {
            if session.kind == Kind::Tls {
                session.kind = Kind::TlsVpn;
            }
            facts.ambiguous |= ambiguous;
            if facts.associations.len() >= Tls::KEPT {
                facts.not_kept = facts.not_kept.saturating_add(1);
                return;
            }
            let mut association = Association::new(item.association, item.flow, item.roles_known);
            association.started_late = hello.is_none() && !is_incomplete_hello(item);
            if found.is_none() {
                session.roles_known = item.roles_known;
                session.vantage.started_late = association.started_late;
            }
            let run = facts.flow.udp_unanswered;
            if hello.is_some() && facts.has_tunnel() && run.count >= 3 && facts.gave_up.is_none() {
                facts.gave_up = Some(Box::new(GaveUp { run, at }));
            }
            place = Some(facts.associations.len());
            // One is the rule, and it is large.
            facts.associations.reserve_exact(1);
            push_lean(&mut facts.associations, association);
        });
        let place = (index, place?);
        self.associations.insert(item.association, place);
        Some(place)
    }

    /// An association that goes on from elsewhere is the old one.
    fn moved(
        &mut self,
        core: &mut Core,
        event: &Event<'_>,
        item: &Item<'_>,
    ) -> Option<(u32, usize)> {
        let What::Record(record) = item.what else {
            return None;
        };
        if record.epoch == 0 || item.roles_known {
            return None;
        }
        let (sequence, flow) = (record.sequence, event.envelope.flow());
        let (index, place) = link::moved(core, &flow, record.epoch, sequence)?;
        let at = Stamp::from(event.envelope);
        with(core, index, |_, facts| {
            let before = facts.associations.get(place).map(|known| known.flow);
            if let Some(before) = before
                && facts.moves.len() < KEPT
            {
                facts.moves.push(Move {
                    at,
                    before,
                    after: flow,
                    records: 0,
                    answered: false,
                });
            }
        });
        self.associations.insert(item.association, (index, place));
        Some((index, place))
    }
}

fn is_clear_hello(record: &PlainRecord<'_>) -> bool {
    record.content_type == ContentType::HANDSHAKE
        && record.epoch == 0
        && Fragment::parse(record.fragment.0)
            .is_ok_and(|fragment| fragment.message_type == HandshakeType::CLIENT_HELLO)
}

const fn is_incomplete_hello(item: &Item<'_>) -> bool {
    matches!(
        item.what,
        What::Incomplete {
            message_type: HandshakeType::CLIENT_HELLO,
            ..
        }
    )
}

struct Fold<'a, 'e> {
    session: &'a mut Session,
    facts: &'a mut Tls,
    place: usize,
    event: &'a Event<'e>,
    from: Side,
}

impl Fold<'_, '_> {
    fn at(&self) -> Stamp {
        Stamp::from(self.event.envelope)
    }

    fn association(&mut self) -> Option<&mut Association> {
        self.facts.associations.get_mut(self.place)
    }

    /// The same record again is a copy made on the way: who repeats himself in DTLS numbers
    /// the record anew.
    fn is_copy(&mut self, record: &PlainRecord<'_>) -> bool {
        let from = self.from;
        let at = self.at();
        let number = (record.epoch, record.sequence);
        self.association().is_some_and(|association| {
            let window = association.window.of_mut(from);
            let copy = window.seen(number);
            if copy {
                association.copies = association.copies.saturating_add(1);
                association.last.of_mut(from).get_or_insert(at);
            }
            copy
        })
    }

    fn step(&mut self, message: impl Into<Cow<'static, str>>, length: u32) -> Option<usize> {
        let frames = if self.event.frames.len() > 1 {
            self.event.frames
        } else {
            &[]
        };
        let step = Step::new(self.event.envelope, frames, self.from, message, length);
        self.session.push_step(step)
    }

    fn item(&mut self, item: &Item<'_>) {
        let at = self.at();
        let from = self.from;
        touch(self.session, at, self.event.envelope, from);
        if self.event.envelope.frame != 0 {
            self.facts.flow.heard(from, at);
            if let Some(association) = self.association() {
                *association.last.of_mut(from) = Some(at);
            }
        }
        match item.what {
            What::Record(record) => self.record(&record, item),
            What::Unified(record) => {
                let length = u32::try_from(record.ciphertext.len()).unwrap_or(u32::MAX);
                if record.epoch_bits() == 2 {
                    self.encrypted_handshake(length);
                } else {
                    self.data(length);
                }
            }
            What::Fragment { fragment, again } => self.fragment(&fragment, again),
            What::Message {
                message_type,
                message_seq,
                body,
                ..
            } => self.message(message_type, message_seq, body),
            What::Incomplete {
                message_type,
                message_seq,
                length,
                seen,
                frames,
            } => {
                let frames = frames.to_vec();
                if let Some(association) = self.association()
                    && association.incomplete.len() < KEPT
                {
                    association.incomplete.push(IncompleteMessage {
                        from,
                        message_type,
                        message_seq,
                        length,
                        seen,
                        frames,
                    });
                }
            }
            What::Alert(alert) => {
                self.step(
                    format!("DTLS alert {} ({})", alert.description, alert.level),
                    2,
                );
                if let Some(association) = self.association()
                    && association.alerts.len() < KEPT
                {
                    association.alerts.push(AlertSeen { at, from, alert });
                }
            }
            What::ChangeCipherSpec(_) => {
                if let Some(association) = self.association() {
                    association.changed.of_mut(from).get_or_insert(at);
                }
                self.step("DTLS ChangeCipherSpec", 1);
            }
            What::Unreadable(error) => {
                if self.session.unreadable.len() < Session::FACTS_KEPT
                    && !self.event.envelope.truncated
                {
                    self.session.unreadable.push(Unreadable {
                        at,
                        from,
                        what: error.what,
                        offset: error.offset,
                        reason: error.reason,
                    });
                }
            }
        }
    }

    fn record(&mut self, record: &PlainRecord<'_>, item: &Item<'_>) {
        let from = self.from;
        let at = self.at();
        let flow = self.event.envelope.flow();
        if let Some(moved) = self.facts.moves.there().and_then(|moves| moves.last_mut()) {
            if flow == moved.after {
                moved.records = moved.records.saturating_add(1);
            } else if flow == moved.after.reversed() {
                moved.answered = true;
            }
        }
        if record.epoch > 0 {
            self.answered_unseen();
        }
        let Some(association) = self.association() else {
            return;
        };
        association.record_version.get_or_insert(record.version);
        if record.offset == 0 {
            let count = association.datagrams.of_mut(from);
            *count = count.saturating_add(1);
        }
        if record.epoch > 0 {
            let sequence = association.sequence.of_mut(from);
            *sequence = (*sequence).max((record.epoch, record.sequence));
        }
        let length = u32::from(record.length);
        let with_id = record.content_type == ContentType::TLS12_CID;
        let finished = association.finished.of(from).is_some();
        match record.content_type {
            ContentType::HANDSHAKE if record.epoch > 0 => self.encrypted_handshake(length),
            ContentType::APPLICATION_DATA => self.data(length),
            _ if with_id && !finished && item.context.version.is_some_and(|v| v.rank() <= 5) => {
                self.encrypted_handshake(length);
            }
            _ if with_id => self.data(length),
            ContentType::ALERT if record.epoch > 0 && record.length != 2 => {
                association.encrypted_alerts.of_mut(from).get_or_insert(at);
                self.step("DTLS encrypted alert", length);
            }
            _ => {}
        }
    }

    /// The client goes on, so it was answered: where nothing of that is in the capture, it was
    /// sent all the same.
    fn answered_unseen(&mut self) {
        if self.from == Side::Client
            && self.association().is_some_and(|association| {
                !association.started_late && association.last.gateway.is_none()
            })
        {
            let unseen = &mut self.session.vantage.unseen.gateway;
            *unseen = (*unseen).max(1);
        }
    }

    fn encrypted_handshake(&mut self, length: u32) {
        let from = self.from;
        let at = self.at();
        let Some(association) = self.association() else {
            return;
        };
        let established = association.is_established() && association.data.of(from).count > 0;
        association.finished.of_mut(from).get_or_insert(at);
        if established {
            association.rekey.of_mut(from).get_or_insert(at);
            let late = association.late_handshake.of_mut(from);
            *late = late.saturating_add(1);
        }
        self.step("DTLS encrypted handshake message", length);
    }

    fn data(&mut self, length: u32) {
        let from = self.from;
        let at = self.at();
        let ip_len = self.event.envelope.ip_len;
        let Some(association) = self.association() else {
            return;
        };
        association.data.of_mut(from).note(at, length);
        let count = association.data.client.count + association.data.gateway.count;
        if count <= DATA_STEPS {
            self.step("DTLS encrypted data", length);
        }
        let doubtful = self.session.vantage.reordered > 0;
        self.facts.flow.udp(from, at, length, ip_len, doubtful);
    }

    fn fragment(&mut self, fragment: &Fragment<'_>, again: bool) {
        let from = self.from;
        let at = self.at();
        let envelope = self.event.envelope;
        let (ip_len, ip_fragments) = (envelope.ip_len, envelope.fragments);
        let Some(association) = self.association() else {
            return;
        };
        let has_room = association.messages.len() < Association::MESSAGES_KEPT;
        let known = association.messages.iter_mut().find(|message| {
            message.from == from
                && message.message_type == fragment.message_type
                && message.message_seq == fragment.message_seq
        });
        match known {
            Some(message) => {
                message.ip_len = message.ip_len.max(ip_len);
                if again && fragment.fragment_offset == 0 {
                    message.repeats.note(at);
                    let step = message.step;
                    if let Some(step) = step.and_then(|step| self.session.steps.get_mut(step)) {
                        step.repeats.note(at);
                    }
                }
            }
            None if has_room => {
                association.messages.push(MessageSeen {
                    from,
                    message_type: fragment.message_type,
                    message_seq: fragment.message_seq,
                    at,
                    whole: false,
                    length: fragment.length,
                    ip_len,
                    ip_fragments,
                    repeats: crate::track::rare::Rare::USUAL,
                    step: None,
                });
            }
            None => {}
        }
    }

    fn message(&mut self, message_type: HandshakeType, message_seq: u16, body: &[u8]) {
        let from = self.from;
        let at = self.at();
        let envelope = self.event.envelope;
        let (ip_len, ip_fragments) = (envelope.ip_len, envelope.fragments);
        let name = dtls_name(&step_name(message_type, body));
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let step = self.step(name, length);
        let Some(association) = self.association() else {
            return;
        };
        let known = association.messages.iter_mut().find(|message| {
            message.from == from
                && message.message_type == message_type
                && message.message_seq == message_seq
        });
        if let Some(message) = known {
            message.whole = true;
            message.step = step;
        } else if association.messages.len() < Association::MESSAGES_KEPT {
            association.messages.push(MessageSeen {
                from,
                message_type,
                message_seq,
                at,
                whole: true,
                length,
                ip_len,
                ip_fragments,
                repeats: crate::track::rare::Rare::USUAL,
                step,
            });
        }
        self.learn(message_type, body);
    }

    fn learn(&mut self, message_type: HandshakeType, body: &[u8]) {
        let from = self.from;
        let at = self.at();
        let Some(association) = self.association() else {
            return;
        };
        match message_type {
            HandshakeType::CLIENT_HELLO => {
                if let Ok(hello) = ClientHello::parse_dtls(body)
                    && association.hellos.len() < KEPT
                {
                    let hello = Hello::of(&hello, at, Carrier::Dtls);
                    let name = hello.server_name.clone();
                    push_lean(&mut association.hellos, hello);
                    let known = self.session.gateway_name.take();
                    self.session.gateway_name = known.or(name);
                }
            }
            HandshakeType::HELLO_VERIFY_REQUEST if association.verify_requests.len() < KEPT => {
                association.verify_requests.push(at);
            }
            HandshakeType::SERVER_HELLO => {
                if let Ok(hello) = ServerHello::parse(body)
                    && association.answers.len() < KEPT
                {
                    push_lean(&mut association.answers, Answer::of(&hello, at));
                    let asked = association.hellos.last().map(|hello| hello.at);
                    if let Some(asked) = asked {
                        self.facts.flow.round_trip = at.time - asked.time;
                    }
                }
            }
            HandshakeType::CERTIFICATE => {
                if let Ok(message) = Certificates::parse(body) {
                    let chain = association.chains.of_mut(from);
                    chain.get_or_insert_with(|| Chain::of(&message, at));
                }
            }
            _ => {}
        }
    }
}

/// The name of a message with `DTLS` before it; the usual ones are there already.
fn dtls_name(name: &str) -> Cow<'static, str> {
    const USUAL: [&str; 12] = [
        "DTLS ClientHello",
        "DTLS HelloVerifyRequest",
        "DTLS ServerHello",
        "DTLS HelloRetryRequest",
        "DTLS Certificate",
        "DTLS ServerKeyExchange",
        "DTLS CertificateRequest",
        "DTLS ServerHelloDone",
        "DTLS ClientKeyExchange",
        "DTLS CertificateVerify",
        "DTLS NewSessionTicket",
        "DTLS Finished",
    ];
    let usual = USUAL
        .iter()
        .find(|usual| usual.strip_prefix("DTLS ") == Some(name));
    usual.map_or_else(|| format!("DTLS {name}").into(), |usual| (*usual).into())
}
