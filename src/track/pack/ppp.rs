//! What sessions of L2TP and `PPPoE` know.

use vpnscope_dissectors::l2tp::MessageType;
use vpnscope_dissectors::ppp::{ChapAlgorithm, Protocol};
use vpnscope_dissectors::pppoe::Code;

use super::{Pack, Packer, Unpacker};
use crate::track::l2tp::{Call, Challenge, Closing, Control, Data, Hello, L2tp};
use crate::track::ppp::{
    Carried, Decision, Echo, Half, Login, Method, Negotiation, Ppp, Refusal, RejectedProtocol,
    Terminated, Value, Wanted,
};
use crate::track::pppoe::{Discovery, Pppoe, Refused};

packed_code!(MessageType, ChapAlgorithm, Protocol, Code);

packed_choice! {
    Value { 0 => Authentication(method), 1 => Number(number), 2 => Ipv4(address), 3 => Other }
    Method { 0 => Pap, 1 => Chap(algorithm), 2 => Eap, 3 => Other(protocol) }
}

packed! {
    L2tp {
        version,
        tunnel,
        control,
        host,
        vendor,
        challenge,
        stop,
        calls,
        calls_not_kept,
        data,
        hello,
        hidden,
        sequence,
        digests,
    }
    Control { message_type, from, ns, at, step, acked, call }
    Challenge { asked, answered }
    Closing { from, at, step, result, error, message, ppp_cause }
    Call { session, by, connected, disconnect, ppp }
    Data { packets, octets, first, last }
    Hello { sent, last, repeats, acked }
    Pppoe {
        client,
        server,
        session_id,
        discovery,
        ac_name,
        service,
        error,
        terminated,
        ppp,
        digests,
    }
    Discovery { code, at, step }
    Refused { tag, text, at, step }
    Ppp {
        lcp,
        ipcp,
        ipv6cp,
        ccp,
        logins,
        rejected,
        terminated,
        carried,
        echo,
        identifications,
        magic,
        looped,
        unseen,
        asked,
        digests,
    }
    Half { requests, first, last, wanted, answers, acked, refusals }
    Wanted { option, value }
    Refusal { option, rejected, count, steps, instead }
    Login { method, authenticator, asked, answered, answered_at, user, verdict }
    Decision { granted, at, step, error, retry, text, proof_missing }
    RejectedProtocol { by, protocol, at, step }
    Terminated { by, protocol, at, step, text }
    Carried { packets, octets, first, last }
    Echo { requests, unanswered, since, last }
}

impl Pack for Negotiation {
    fn pack(&self, to: &mut Packer<'_>) {
        let Self { of } = self;
        let begun = *self != Self::default();
        begun.pack(to);
        if begun {
            of.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        if bool::unpack(from)? {
            Pack::unpack(from).map(|of| Self { of })
        } else {
            Some(Self::default())
        }
    }
}
