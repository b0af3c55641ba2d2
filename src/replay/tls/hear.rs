//! What one end of TLS or DTLS makes of what it hears.

use vpnscope_dissectors::tls::{
    AlertLevel, ExtensionType, HandshakeType, HelloVerifyRequest, NamedGroup, ServerHello, Version,
    extension::Body,
};

use super::hello::Hello;
use super::{Flight, ROUNDS, State, Tls, flight};
use crate::replay::conversation::Side;
use crate::replay::ike::public_value;
use crate::replay::player::Heard;
use crate::replay::rng::Rng;
use crate::replay::settings::Substitution;

impl Tls {
    pub(super) fn hear_client(&mut self, flight: &Flight) -> Heard {
        let Some(body) = flight.get(HandshakeType::CLIENT_HELLO) else {
            let alert = !flight.alerts.is_empty() || flight.hidden > 0 || flight.changed;
            if alert && self.at > 0 {
                self.satisfied = true;
                self.state = State::Done;
                return Heard::Answer;
            }
            return Heard::Part;
        };
        if let Some(hello) = Hello::new(body, self.dtls) {
            self.session_id = hello.session_id;
        }
        self.state = if self.at < self.ours.len() {
            State::Speak
        } else {
            State::Listen
        };
        self.satisfied = self.at + 1 >= self.ours.len();
        self.heard.clear();
        Heard::Answer
    }

    pub(super) fn hear_server(&mut self, flight: &Flight) -> Heard {
        if flight
            .alerts
            .iter()
            .any(|alert| alert.level == AlertLevel::FATAL)
        {
            return self.done();
        }
        if let Some(body) = flight.get(HandshakeType::HELLO_VERIFY_REQUEST)
            && let Ok(request) = HelloVerifyRequest::parse(body)
            && flight.get(HandshakeType::SERVER_HELLO).is_none()
        {
            return self.verify(&request);
        }
        let Some(body) = flight.get(HandshakeType::SERVER_HELLO) else {
            return Heard::Part;
        };
        let Ok(hello) = ServerHello::parse(body) else {
            return self.done();
        };
        if hello.is_hello_retry_request() {
            return self.retry(&hello);
        }
        self.satisfied = true;
        let over = flight.get(HandshakeType::SERVER_HELLO_DONE).is_some() && flight.whole;
        let tls13 = hello.selected_version().rank() >= Version::TLS_1_3.rank();
        if over || (flight.changed && !tls13) {
            return self.done();
        }
        Heard::Part
    }

    const fn done(&mut self) -> Heard {
        self.satisfied = true;
        self.state = State::Done;
        Heard::Answer
    }

    fn verify(&mut self, request: &HelloVerifyRequest<'_>) -> Heard {
        self.rounds += 1;
        if self.rounds > ROUNDS || !self.settings.does(Substitution::DtlsCookie) {
            return self.done();
        }
        if let Some(hello) = &mut self.hello {
            hello.cookie = Some(request.cookie.to_vec());
        }
        self.again();
        Heard::Answer
    }

    fn retry(&mut self, request: &ServerHello<'_>) -> Heard {
        self.rounds += 1;
        let group = request.group();
        let cookie = match request.extension(ExtensionType::COOKIE) {
            Some(Body::Cookie(cookie)) => Some(cookie.to_vec()),
            _ => None,
        };
        let share = group.map(|group| (group, self.share(group)));
        let impossible = matches!(share, Some((_, None)));
        if self.rounds > ROUNDS || impossible || !self.settings.does(Substitution::KeyShare) {
            return self.done();
        }
        let share = share.and_then(|(group, value)| Some((group.0, value?)));
        if let Some(hello) = &mut self.hello {
            hello.retry(share, cookie.as_deref());
        }
        self.again();
        Heard::Answer
    }

    /// A key share: that of the recorded second ClientHello, or one of our own.
    fn share(&mut self, group: NamedGroup) -> Option<Vec<u8>> {
        let recorded = self.recording.of(Side::Client).find_map(|(_, message)| {
            let flight = flight(self.recording.protocol, &[message]);
            Hello::new(flight.get(HandshakeType::CLIENT_HELLO)?, self.dtls)?.share(group.0)
        });
        recorded.or_else(|| own_share(group, &mut self.rng))
    }

    fn again(&mut self) {
        if self.settings.does(Substitution::MessageSeq) {
            self.message_seq += 1;
        }
        self.state = State::Speak;
        self.heard.clear();
    }
}

/// A public value of our own: the groups of IKE under their numbers in TLS (RFC 8446 §4.2.7).
fn own_share(group: NamedGroup, rng: &mut Rng) -> Option<Vec<u8>> {
    let (ike, uncompressed) = match group.0 {
        23 => (19, true),
        24 => (20, true),
        25 => (21, true),
        29 => (31, false),
        30 => (32, false),
        _ => return None,
    };
    let value = public_value(ike, rng)?;
    let mut share = if uncompressed { vec![4] } else { Vec::new() };
    share.extend(value);
    Some(share)
}
