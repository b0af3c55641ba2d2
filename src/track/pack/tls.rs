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
}

impl Pack for Arc<Certificate> {
    fn pack(&self, to: &mut Packer<'_>) {
        to.keep(self);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        from.kept()
    }
}

/// Written by hand: all but the random octets and the session id is the same in every hello of a
/// client.
impl Pack for Hello {
    fn pack(&self, to: &mut Packer<'_>) {
        let Self {
            at,
            version,
            versions,
            random,
            session_id,
            cookie,
            suites,
            is_fallback,
            groups,
            key_shares,
            schemes,
            alpn,
            server_name,
            has_psk,
            has_ticket,
            ja4,
            is_whole,
        } = self;
        at.pack(to);
        random.pack(to);
        octets(session_id, to);
        server_name.pack(to);
        to.once(|to| {
            version.pack(to);
            versions.pack(to);
            cookie.pack(to);
            suites.pack(to);
            is_fallback.pack(to);
            groups.pack(to);
            key_shares.pack(to);
            schemes.pack(to);
            alpn.pack(to);
            has_psk.pack(to);
            has_ticket.pack(to);
            ja4.pack(to);
            is_whole.pack(to);
        });
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let at = Pack::unpack(from)?;
        let random = Pack::unpack(from)?;
        let session_id = octets_of(from)?.to_vec();
        let server_name = Pack::unpack(from)?;
        from.once(|from| {
            Some(Self {
                at,
                version: Pack::unpack(from)?,
                versions: Pack::unpack(from)?,
                random,
                session_id,
                cookie: Pack::unpack(from)?,
                suites: Pack::unpack(from)?,
                is_fallback: Pack::unpack(from)?,
                groups: Pack::unpack(from)?,
                key_shares: Pack::unpack(from)?,
                schemes: Pack::unpack(from)?,
                alpn: Pack::unpack(from)?,
                server_name,
                has_psk: Pack::unpack(from)?,
                has_ticket: Pack::unpack(from)?,
                ja4: Pack::unpack(from)?,
                is_whole: Pack::unpack(from)?,
            })
        })
    }
}
