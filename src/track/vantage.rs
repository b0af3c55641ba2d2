//! Where a capture stands, as far as its datagrams tell.

use super::ike2::nat::Fit;
use super::session::{PerSide, Session, Side};

/// Where a capture stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Place {
    /// At the client, or in its network.
    Client,
    /// At the gateway, or in its network.
    Gateway,
    /// Between routers.
    Between,
    /// Client and gateway are neighbours here.
    Both,
    /// Nothing tells.
    #[default]
    Unknown,
}

impl Place {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Between => "between",
            Self::Both => "both",
            Self::Unknown => "unknown",
        }
    }
}

/// Where the user says that the capture stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Told {
    /// At the client.
    Client,
    /// At the gateway.
    Gateway,
    /// On the gateway's outer interface.
    Wan,
    /// On the gateway's inner interface.
    Lan,
    /// At a server behind the gateway.
    Server,
}

impl Told {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Wan => "wan",
            Self::Lan => "lan",
            Self::Server => "server",
        }
    }

    /// Whether what a client sends and is seen here has come all the way.
    pub const fn is_gateways(self) -> bool {
        matches!(self, Self::Gateway | Self::Wan)
    }
}

/// Where a capture stands, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Where.
    pub place: Place,
    /// How that is known.
    pub because: String,
    /// Routers between each end and the capture, where its TTL tells.
    pub hops: PerSide<Option<u8>>,
}

/// Routers passed by something that shows this TTL: systems start at 64, 128 or 255.
pub const fn hops(ttl: u8) -> u8 {
    match ttl {
        0..=64 => 64 - ttl,
        65..=128 => 128 - ttl,
        129.. => 255 - ttl,
    }
}

/// Works out where the capture of a session stands.
pub fn standing(session: &Session) -> Standing {
    let of = |side: Side| {
        let steps = session.steps.iter().filter(|s| s.from == side && s.ttl > 0);
        // A copy of a span port may have lost a hop more: the nearest counts.
        steps.map(|s| hops(s.ttl)).min()
    };
    let hops = PerSide {
        client: of(Side::Client),
        gateway: of(Side::Gateway),
    };
    let (place, because) = decide(session, hops);
    Standing {
        place,
        because,
        hops,
    }
}

fn decide(session: &Session, hops: PerSide<Option<u8>>) -> (Place, String) {
    if session.vantage.two_points {
        return (
            Place::Both,
            "the same messages were seen between two pairs of addresses".to_string(),
        );
    }
    let nat = session.ike2().map(|facts| &facts.nat.request);
    let translated = nat.is_some_and(|n| !n.untouched && n.source() == Fit::Differs);
    let tail = if translated {
        ", and the client's address was translated before it came here"
    } else {
        ""
    };
    match (hops.client, hops.gateway) {
        (Some(0), Some(0)) => (
            Place::Both,
            "no router stands between either end and the capture".to_string(),
        ),
        (Some(0), _) if !translated => (
            Place::Client,
            "the client's TTL is that of a sender".to_string(),
        ),
        (Some(n), Some(0)) => (
            Place::Gateway,
            format!("the gateway's TTL is that of a sender, the client's lost {n} hop(s){tail}"),
        ),
        (None, Some(0)) => (
            Place::Gateway,
            "the gateway's TTL is that of a sender".to_string(),
        ),
        (Some(n), Some(m)) => (
            Place::Between,
            format!("the client's TTL lost {n} hop(s), the gateway's {m}{tail}"),
        ),
        (Some(n), None) if n > 0 => (
            Place::Unknown,
            format!("the client's TTL lost {n} hop(s){tail}; nothing of the gateway was seen"),
        ),
        _ => (Place::Unknown, "no TTL tells".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::hops;

    #[test]
    fn hops_are_counted_from_what_systems_start_with() {
        assert_eq!(
            [hops(64), hops(63), hops(128), hops(113), hops(255)],
            [0, 1, 0, 15, 0]
        );
        assert_eq!([hops(1), hops(65), hops(129)], [63, 63, 126]);
    }
}
