//! What sessions of TLS and DTLS know.

use std::sync::Arc;

use vpnscope_dissectors::tls::{
    Alert, AlertDescription, AlertLevel, Certificate, CipherSuite, ContentType, HandshakeType,
    NamedGroup, SignatureScheme, Version,
};

use super::plain::{octets, octets_of};
use super::{Pack, Packer, Unpacker};
use crate::assemble::tcp::{Opening, Rewritten};
use crate::track::tls::association::{IncompleteMessage, MessageSeen};
use crate::track::tls::connection::{
    AlertSeen, Hole, Largest, NotTls, Progress, RecordSeen, Repeated, Reset, Sack,
};
use crate::track::tls::hello::Offered;
use crate::track::tls::{
    Activity, Answer, Association, Chain, Connection, DataFlow, GaveUp, Hello, Lookup, Move, Run,
    Size, Tls,
};

packed_code!(
    AlertDescription,
    AlertLevel,
    CipherSuite,
    ContentType,
    HandshakeType,
    NamedGroup,
    SignatureScheme,
    Version,
);

packed! {
    Alert { level, description }
    Tls { connections, associations, not_kept, lookups, flow, ambiguous, moves, gave_up }
    GaveUp { run, at }
    Move { at, before, after, records, answered }
    Lookup { name, asked, answered }
    DataFlow {
        tcp,
        udp,
        udp_unanswered,
        udp_unheard,
        tcp_since_udp,
        gateway_last,
        client_last,
        round_trip,
        sizes,
    }
    Activity { first, last, count, octets }
    Run { first, last, count, longest }
    Size { ip_len, sent, followed, lost, first, last }
    Connection {
        number,
        flow,
        roles_known,
        opening,
        started_late,
        hellos,
        answers,
        chains,
        certificate_request,
        certificate_verify,
        hello_done,
        key_exchange,
        group,
        scheme,
        changed,
        cut_messages,
        records,
        tail,
        record_count,
        alerts,
        not_tls,
        fin,
        length,
        reset,
        acked,
        sent,
        repeats,
        repeat_count,
        holes,
        sacks,
        gaps,
        conflicts,
        largest,
        last,
        ttl,
        closed,
        counted,
        client_flight,
    }
    Opening {
        syn,
        last_syn,
        syns,
        answer,
        acknowledged,
        mss,
        answer_mss,
        rewritten,
        answer_rewritten,
        ttl,
        answer_ttl,
    }
    Rewritten { from, to }
    RecordSeen { at, from, content_type, length, clear }
    AlertSeen { at, from, alert }
    NotTls { at, from, octets }
    Reset { at, from, ttl, usual_ttl, offset }
    Progress { octets, at }
    Repeated { from, offset, len, ip_len, dont_fragment, repeats, acked }
    Hole { from, offset, len, at, filled, lost_by_capture }
    Sack { by, acked, from, first, last, count }
    Largest { ip_len, at, dont_fragment }
    Association {
        number,
        flow,
        roles_known,
        started_late,
        hellos,
        verify_requests,
        answers,
        chains,
        messages,
        incomplete,
        alerts,
        changed,
        finished,
        encrypted_alerts,
        data,
        datagrams,
        last,
        record_version,
        sequence,
        late_handshake,
        rekey,
        copies,
        window,
    }
    MessageSeen {
        from,
        message_type,
        message_seq,
        at,
        whole,
        length,
        ip_len,
        ip_fragments,
        repeats,
        step,
    }
    IncompleteMessage { from, message_type, message_seq, length, seen, frames }
    Answer { at, is_retry, version, suite, session_id, group, alpn, has_psk }
    Chain { at, certificates, count }
    Offered {
        version,
        versions,
        cookie,
        suites,
        is_fallback,
        groups,
        key_shares,
        schemes,
        alpn,
        has_psk,
        has_ticket,
        ja4,
        is_whole,
    }
}

impl Pack for Arc<Certificate> {
    fn pack(&self, to: &mut Packer<'_>) {
        match to.shared.certificates.place(self) {
            Some(place) => to.number(place + 1),
            None => {
                to.number(0);
                to.keep(self);
            }
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        match from.number()?.checked_sub(1) {
            Some(place) => from.shared.certificates.at(place),
            None => from.kept(),
        }
    }
}

/// Written by hand for what many hellos share.
impl Pack for Hello {
    fn pack(&self, to: &mut Packer<'_>) {
        let Self {
            at,
            random,
            session_id,
            server_name,
            offered,
        } = self;
        at.pack(to);
        random.pack(to);
        octets(session_id, to);
        server_name.pack(to);
        match to.shared.offers.place(offered) {
            Some(place) => to.number(place + 1),
            None => {
                to.number(0);
                (**offered).pack(to);
            }
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Self {
            at: Pack::unpack(from)?,
            random: Pack::unpack(from)?,
            session_id: octets_of(from)?.to_vec(),
            server_name: Pack::unpack(from)?,
            offered: match from.number()?.checked_sub(1) {
                Some(place) => from.shared.offers.at(place)?,
                None => Arc::new(Pack::unpack(from)?),
            },
        })
    }
}
