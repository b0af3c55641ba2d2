//! What is changed so that a live peer accepts a recorded message.

use crate::replay::conversation::Protocol;

/// What is changed in a recorded message so that a live peer accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Substitution {
    /// IKE: the initiator's SPI is fresh.
    InitiatorSpi,
    /// IKE: the responder's SPI is that of the live peer.
    ResponderSpi,
    /// IKE: the NAT detection hashes are those of the live addresses.
    NatDetection,
    /// IKEv2: a cookie that the peer asks for stands first.
    Cookie,
    /// IKE: a key share of our own in the group that the peer asks for.
    KeyShare,
    /// L2TP: tunnel ids.
    TunnelId,
    /// L2TP: session ids.
    SessionId,
    /// L2TP: Ns and Nr count live.
    Sequence,
    /// PPP: identifiers of answers are those of the live questions.
    Identifier,
    /// PPP: the magic number is fresh.
    Magic,
    /// DTLS: the cookie that the peer asks for.
    DtlsCookie,
    /// DTLS: `message_seq` counts live.
    MessageSeq,
    /// DTLS: record sequence numbers count live.
    RecordSequence,
    /// TLS, DTLS: random and session id are fresh.
    Random,
    /// TLS: offers of earlier sessions are taken out, for their binders cannot be made.
    Binders,
    /// TLS: the server name is the one asked for.
    ServerName,
}

impl Substitution {
    /// All of them with the word for `--set keep=`, and the rule.
    pub const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (
            Self::InitiatorSpi,
            "initiator-spi",
            "fresh, so that the peer does not take it for a retransmission (--keep-spi keeps it)",
        ),
        (
            Self::ResponderSpi,
            "responder-spi",
            "zero at first, then the one the live peer chose",
        ),
        (
            Self::NatDetection,
            "nat-detection",
            "hashed anew over the live SPIs, addresses and ports",
        ),
        (
            Self::Cookie,
            "cookie",
            "when the peer asks for one: put first, SPI and nonce unchanged",
        ),
        (
            Self::KeyShare,
            "key-share",
            "when the peer asks for another group: a public value of our own in it",
        ),
        (
            Self::TunnelId,
            "tunnel-id",
            "ours fresh, the peer's learned live",
        ),
        (
            Self::SessionId,
            "session-id",
            "ours fresh, the peer's learned live",
        ),
        (
            Self::Sequence,
            "sequence",
            "Ns and Nr count what really happened",
        ),
        (
            Self::Identifier,
            "identifier",
            "that of the live question in every answer",
        ),
        (
            Self::Magic,
            "magic",
            "fresh, or the peer would see its own line looped",
        ),
        (Self::DtlsCookie, "dtls-cookie", "the one the peer asks for"),
        (
            Self::MessageSeq,
            "message-seq",
            "counts what was really sent",
        ),
        (
            Self::RecordSequence,
            "record-sequence",
            "counts what was really sent",
        ),
        (
            Self::Random,
            "random",
            "random and session id fresh, unless kept with --keep-random",
        ),
        (
            Self::Binders,
            "binders",
            "offers to resume are taken out: their binders cannot be made without keys",
        ),
        (Self::ServerName, "server-name", "replaced by --sni"),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(item, _, _)| *item == self)
            .map_or("", |(_, word, _)| word)
    }

    /// Whether it is made in this protocol.
    pub const fn is_of(self, protocol: Protocol) -> bool {
        let ike = protocol.is_ike();
        let (dtls, tls) = (
            matches!(protocol, Protocol::Dtls),
            matches!(protocol, Protocol::Tls | Protocol::Dtls),
        );
        match self {
            Self::InitiatorSpi | Self::ResponderSpi | Self::NatDetection => ike,
            Self::Cookie => matches!(protocol, Protocol::Ikev2),
            Self::KeyShare => ike || tls,
            Self::TunnelId | Self::SessionId | Self::Sequence | Self::Identifier | Self::Magic => {
                matches!(protocol, Protocol::L2tp)
            }
            Self::DtlsCookie | Self::MessageSeq | Self::RecordSequence => dtls,
            Self::Random | Self::Binders | Self::ServerName => tls,
        }
    }

    /// Its rule.
    pub fn rule(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(item, _, _)| *item == self)
            .map_or("", |(_, _, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_substitution_has_a_word_and_a_rule() {
        for (item, word, rule) in Substitution::ALL {
            assert_eq!((item.word(), item.rule()), (*word, *rule));
        }
    }
}
