//! What is lost or changed between two points? As a rule only a comparison of captures can
//! answer, and `compare` names these causes.

use crate::diagnose::{Context, Family, Findings, cause};
use crate::track::session::Session;

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "points",
    causes: &[&REQUEST_NEVER_ARRIVED, &PAYLOAD_ALTERED],
    check,
};

cause! {
    /// ## What it means
    /// The client's message left the client and did not reach the point nearer to the gateway.
    /// Whatever stops it stands between the two captures. One capture can tell where the
    /// gateway goes on asking for a message that was sent, or that the client took as delivered.
    /// ## What is seen
    /// In the capture nearer to the client the message, usually several times; in the other one
    /// nothing of it, although that capture was running. Messages are compared by SPIs, message
    /// IDs, sequence numbers and payload, which address translation does not change. In one
    /// capture: IKEv1's quick mode 2 again and again, although quick mode 3 was sent each time,
    /// or although data in ESP show that the client considers the tunnel made.
    /// ## Likely causes
    /// A firewall or access list on the way, a provider that blocks UDP 500 or 4500, a missing
    /// port forwarding, a route into nowhere, a wrong gateway address.
    /// ## What to check on each side
    /// Client: the address that the gateway's name gives; the first router's firewall. Gateway:
    /// upstream firewall and port forwarding; whether the second capture stood on the interface
    /// by which the packets must come.
    /// ## When this is wrong
    /// When the second capture stood on another interface, used a filter that excludes the
    /// packets, or had not started yet.
    pub(in crate::diagnose::rules) static REQUEST_NEVER_ARRIVED = {
        code: "request-never-arrived",
        title: "the client's messages are lost on the way to the gateway",
        remedies: [
            "Look between the two capture points: access lists, port forwarding, provider, routes.",
            "Move the second capture point towards the client, step by step, until the message shows up.",
        ],
        needs: "a capture between the two points, to narrow the place down",
    }
}

cause! {
    /// ## What it means
    /// A message reached the other point with other octets than it was sent with.
    /// ## What is seen
    /// The same message, by SPIs, message ID and length, or the same sequence number, with
    /// different contents in two captures; its receiver then answers an error or nothing.
    /// ## Likely causes
    /// An application-layer gateway ("IPsec passthrough", SIP or VPN helper) that rewrites what it
    /// believes to understand, a broken offload or checksum unit, a faulty memory.
    /// ## What to check on each side
    /// Every router and firewall between the two points: switch VPN helpers off; compare the
    /// octets at each hop.
    /// ## When this is wrong
    /// When one of the captures was anonymised or edited.
    pub(super) static PAYLOAD_ALTERED = {
        code: "payload-altered",
        title: "a box on the way changes the messages",
        remedies: [
            "Switch off IPsec passthrough, VPN helpers and application-layer gateways on the boxes between the two points.",
            "Replace network card, driver or offload settings of the box after which the octets differ.",
        ],
    }
}

fn check(_: &Session, _: &Context, _: &mut Findings) {}
