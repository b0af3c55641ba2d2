//! What all sessions have.

use vpnscope_dissectors::radius::Code;

use super::{Pack, Packer, Unpacker};
use crate::track::path::{Limit, Sent};
use crate::track::radius::{Answer, Exchange};
use crate::track::rare::Rare;
use crate::track::session::{
    Detail, Ending, Endpoint, EspRun, IcmpFact, IncompleteDatagram, Kind, Repeats, Session, Side,
    Step, Unreadable, Vantage,
};
use crate::track::vantage::Told;

packed_choice! {
    Side { 0 => Client, 1 => Gateway }
    Kind {
        0 => Ikev1,
        1 => Ikev2,
        2 => L2tp,
        3 => Pppoe,
        4 => Tls,
        5 => Dtls,
        6 => TlsVpn,
        7 => Esp,
        8 => Dns,
        9 => Radius,
    }
    Ending { 0 => CaptureEnd, 1 => Done, 2 => Idle, 3 => Evicted }
    Told { 0 => Client, 1 => Gateway, 2 => Wan, 3 => Lan, 4 => Server }
}

packed! {
    Endpoint { ip, port }
    Repeats { count, stamps, last }
    IcmpFact {
        at,
        reporter,
        v6,
        icmp_type,
        code,
        mtu,
        about,
        protocol,
        ports,
        quoted_len,
        repeats,
    }
    IncompleteDatagram {
        at,
        frames,
        from,
        protocol,
        ports,
        seen,
        total,
        has_first,
        largest,
        is_esp,
    }
    Vantage {
        frames,
        started_late,
        unseen,
        truncated,
        copies,
        dropped,
        watched_after,
        two_points,
        other_direction_seen,
        reordered,
        ending,
        told,
    }
    EspRun { from, packets, since, last }
    Sent { largest, fragmented, offloaded, limits, esp }
    Limit { at, mtu, ignored, ignored_count, obeyed }
    Exchange { client, server, code, user, at, repeats, answer, authenticator }
    Answer { code, at, text, error }
    Session {
        id,
        kind,
        client,
        gateway,
        gateway_name,
        roles_known,
        first,
        last,
        frames,
        counted,
        steps,
        steps_not_kept,
        icmp,
        incomplete,
        unreadable,
        esp,
        esp_run,
        esp_pace,
        path,
        keepalives,
        radius,
        vantage,
        detail,
    }
}

packed_code!(Code);

/// Written by hand: of most steps most fields are as usual.
impl Pack for Step {
    fn pack(&self, to: &mut Packer<'_>) {
        let Self {
            at,
            frames,
            from,
            message,
            length,
            ip_len,
            dont_fragment,
            fragments,
            flow,
            ttl,
            repeats,
            copies,
        } = self;
        let usual = [
            *from == Side::Client,
            *dont_fragment,
            *fragments == 1,
            frames.is_empty(),
            *repeats == Rare::USUAL,
            *copies == 0,
        ];
        to.flags(usual);
        at.pack(to);
        message.pack(to);
        length.pack(to);
        ip_len.pack(to);
        flow.pack(to);
        ttl.pack(to);
        let [_, _, is_whole, is_one, is_single, is_original] = usual;
        if !is_whole {
            fragments.pack(to);
        }
        if !is_one {
            frames.pack(to);
        }
        if !is_single {
            repeats.pack(to);
        }
        if !is_original {
            copies.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let [
            by_client,
            dont_fragment,
            is_whole,
            is_one,
            is_single,
            is_original,
        ] = from.flags()?;
        let side = if by_client {
            Side::Client
        } else {
            Side::Gateway
        };
        Some(Self {
            at: Pack::unpack(from)?,
            from: side,
            message: Pack::unpack(from)?,
            length: Pack::unpack(from)?,
            ip_len: Pack::unpack(from)?,
            dont_fragment,
            flow: Pack::unpack(from)?,
            ttl: Pack::unpack(from)?,
            fragments: from.unless(is_whole, 1)?,
            frames: from.unless(is_one, Rare::USUAL)?,
            repeats: from.unless(is_single, Rare::USUAL)?,
            copies: from.unless(is_original, 0)?,
        })
    }
}

/// Rare, and they name what was being read: kept as they are.
impl Pack for Vec<Unreadable> {
    fn pack(&self, to: &mut Packer<'_>) {
        to.keep_unreadable(self);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(from.kept_unreadable())
    }
}

impl Pack for Detail {
    fn pack(&self, to: &mut Packer<'_>) {
        match self {
            Self::Esp => to.number(0),
            Self::Radius => to.number(1),
            Self::Ike1(facts) => {
                to.number(2);
                facts.pack(to);
            }
            Self::Ike2(facts) => {
                to.number(3);
                facts.pack(to);
            }
            Self::L2tp(facts) => {
                to.number(4);
                facts.pack(to);
            }
            Self::Pppoe(facts) => {
                to.number(5);
                facts.pack(to);
            }
            Self::Tls(facts) => {
                to.number(6);
                facts.pack(to);
            }
            // Its session is over when it begins.
            Self::Dns(_) => to.decline(),
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(match from.number()? {
            0 => Self::Esp,
            1 => Self::Radius,
            2 => Self::Ike1(Pack::unpack(from)?),
            3 => Self::Ike2(Pack::unpack(from)?),
            4 => Self::L2tp(Pack::unpack(from)?),
            5 => Self::Pppoe(Pack::unpack(from)?),
            6 => Self::Tls(Pack::unpack(from)?),
            _ => return None,
        })
    }
}
