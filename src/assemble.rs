//! From pieces to wholes: IP fragments to datagrams, TCP segments to octets in order, and
//! records, fragments and frames to messages.
//!
//! Takes [`Segment`](crate::decap::Segment)s, gives wholes with the frames they came from, and
//! what never became whole as facts. Works within fixed budgets and counts what they evict.
//! Never judges.

pub mod ip;
pub mod messages;
pub mod tcp;
pub mod tcp_ike;
pub mod waiting;

use std::net::IpAddr;

use crate::decap::Flow;

/// Who is who, as the user knows it. Decides where the capture does not: a connection that it
/// shows from its middle only, or one that carried nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hints {
    /// The client.
    pub client: Option<IpAddr>,
    /// The gateway, and its port if it was named.
    pub gateway: Option<(IpAddr, Option<u16>)>,
}

impl Hints {
    /// Whether the source of a flow is the client; `None` where the hints do not tell.
    pub fn from_client(&self, flow: &Flow) -> Option<bool> {
        let (source, destination) = (flow.source, flow.destination);
        let is_gateway = |(ip, port): (IpAddr, u16)| {
            self.gateway
                .is_some_and(|(named, at)| named == ip && at.is_none_or(|at| at == port))
        };
        let is_client = |(ip, _): (IpAddr, u16)| self.client == Some(ip);
        match (
            is_gateway(destination) || is_client(source),
            is_gateway(source) || is_client(destination),
        ) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }

    /// Whether a flow goes to the gateway.
    pub fn to_gateway(&self, flow: &Flow) -> bool {
        let (ip, port) = flow.destination;
        self.gateway
            .is_some_and(|(named, at)| named == ip && at.is_none_or(|at| at == port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_say_who_called() {
        let flow = Flow {
            source: ("192.0.2.9".parse().unwrap(), 443),
            destination: ("192.0.2.1".parse().unwrap(), 444),
        };
        assert_eq!(Hints::default().from_client(&flow), None);
        let gateway = |port| Hints {
            gateway: Some((flow.destination.0, port)),
            ..Hints::default()
        };
        assert_eq!(gateway(None).from_client(&flow), Some(true));
        assert_eq!(gateway(None).from_client(&flow.reversed()), Some(false));
        assert_eq!(gateway(Some(443)).from_client(&flow), None);
        assert!(gateway(Some(444)).to_gateway(&flow));
        assert!(!gateway(Some(443)).to_gateway(&flow));
        let client = Hints {
            client: Some(flow.destination.0),
            ..Hints::default()
        };
        assert_eq!(client.from_client(&flow), Some(false));
        // Both ends are the same host: nothing follows.
        let flow = Flow {
            source: (flow.destination.0, 1),
            ..flow
        };
        assert_eq!(gateway(None).from_client(&flow), None);
    }
}
