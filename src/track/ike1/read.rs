//! Reads what stands in clear in an IKEv1 message.

use std::sync::Arc;

use vpnscope_dissectors::ike::v1::{
    ExchangeType, Identification, IkeSuite, Payload, PayloadType, SecurityAssociation,
};
use vpnscope_dissectors::ike::vendor::{Capability, Family};
use vpnscope_dissectors::ike::{Message as Wire, Spi};

use super::{Abilities, Message, Offer};
use crate::track::ike2::fold::Incoming;
use crate::track::ike2::{Notifies, Types};
use crate::track::session::{Session, Side, Stamp, Unreadable};
use crate::track::vendor::vendor_from;

/// Payloads of one message that are read.
const PAYLOADS_READ: usize = 128;

/// What a message in clear says besides its shape.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    /// The transforms of its SA payload.
    pub(super) offers: Vec<Offer>,
    /// Its vendor ids.
    pub(super) vendors: Vec<&'a [u8]>,
    /// Its NAT-D payloads.
    pub(super) nat: Vec<&'a [u8]>,
    /// The identity that it names.
    pub(super) identity: Option<String>,
}

/// Reads a message; a bad payload is noted and costs nothing before it.
pub(super) fn read<'a>(
    session: &mut Session,
    from: Side,
    incoming: &Incoming<'a>,
) -> (Message, Content<'a>) {
    let wire = incoming.wire;
    let mut message = Message {
        step: None,
        at: Stamp::from(incoming.envelope),
        from,
        ordinal: 0,
        length: wire.header.length,
        payloads: Types::default(),
        notifies: Notifies::default(),
        encrypted: wire.header.flags.is_encrypted(),
        commit: wire.header.flags.is_commit(),
        ke_len: None,
        pieces: 1,
        truncated: incoming.envelope.truncated,
        digest: incoming.digest,
    };
    let mut content = Content::default();
    let mut fault = wire.length_fault;
    let exchange = ExchangeType(wire.header.exchange_type);
    for payload in wire.payloads().take(PAYLOADS_READ) {
        let raw = match payload {
            Ok(raw) => raw,
            Err(error) => {
                fault = fault.or(Some(error));
                break;
            }
        };
        message.payloads.insert(raw.payload_type);
        match Payload::parse(&raw, exchange) {
            Ok(payload) => note(&mut message, &mut content, &payload),
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    let fault = fault.filter(|_| !incoming.envelope.truncated);
    if let Some(error) = fault.filter(|_| session.unreadable.len() < Session::FACTS_KEPT) {
        session.unreadable.push(Unreadable {
            at: message.at,
            from,
            what: error.what,
            offset: error.offset,
            reason: error.reason,
        });
    }
    (message, content)
}

fn note<'a>(message: &mut Message, content: &mut Content<'a>, payload: &Payload<'a>) {
    match payload {
        Payload::Notify(notify) => message.notifies.push(notify.notify_type.0, notify.data.0),
        Payload::Ke(octets) => message.ke_len = u32::try_from(octets.len()).ok(),
        Payload::Sa(sa) => content.offers = offers(sa),
        Payload::VendorId(octets) => push(&mut content.vendors, octets.0),
        Payload::NatD(octets) => push(&mut content.nat, octets.0),
        Payload::Id(id) => content.identity = Some(identity(id)),
        _ => {}
    }
}

/// Some dozen are the rule: asked for once.
fn push<'a>(list: &mut Vec<&'a [u8]>, octets: &'a [u8]) {
    if list.capacity() == 0 {
        list.reserve(16);
    }
    list.push(octets);
}

fn offers(sa: &SecurityAssociation<'_>) -> Vec<Offer> {
    sa.proposals()
        .flatten()
        .flat_map(|proposal| proposal.transforms().flatten())
        .take(super::Ike1::OFFERS_KEPT)
        .map(|transform| Offer {
            number: transform.number,
            suite: transform.ike_suite(),
        })
        .collect()
}

/// An identity, cut where it is longer than anybody would read.
fn identity(id: &Identification<'_>) -> String {
    const SHOWN: usize = 128;
    let text = id.identity().to_string();
    let cut: String = text.chars().take(SHOWN).collect();
    format!("{} {cut}", id.id_type)
}

/// Adds what the vendor ids of one end say.
pub(super) fn learn_vendors(
    abilities: &mut Abilities,
    names: &mut Vec<(Side, Arc<str>)>,
    from: Side,
    vendors: &[&[u8]],
    cookie: Spi,
) {
    const NAMES_KEPT: usize = 64;
    for octets in vendors {
        let found = vendor_from(octets, cookie);
        if let Some((family, capability)) = found.known {
            learn(abilities, family, capability);
        }
        let name = found.name;
        let known = names.iter().any(|(side, n)| *side == from && *n == name);
        if !known && names.len() < NAMES_KEPT {
            names.push((from, name));
        }
    }
}

fn learn(abilities: &mut Abilities, family: Family, capability: Option<Capability>) {
    match capability {
        Some(Capability::NatTraversal(draft)) => {
            abilities.nat = abilities.nat.max(Some(draft));
            if !abilities.nat_drafts.contains(&draft) {
                abilities.nat_drafts.push(draft);
            }
        }
        Some(Capability::DeadPeerDetection) => abilities.dpd = true,
        Some(Capability::Xauth) => abilities.xauth = true,
        Some(Capability::Fragmentation) => abilities.fragmentation = true,
        Some(Capability::Unity) => abilities.unity = true,
        _ => {}
    }
    if !family.is_extension() && !abilities.makers.contains(&family) {
        abilities.makers.push(family);
    }
}

/// What a message is to its phase 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The first message: an offer.
    First,
    /// The second: the answer to the offer.
    Answer,
    /// Any other message.
    Later,
}

/// Tells the message that begins a phase 1, and its answer, from all others.
pub fn opening(wire: &Wire<'_>) -> Opening {
    match (negotiates(wire), wire.header.responder_spi.is_zero()) {
        (true, true) => Opening::First,
        (true, false) => Opening::Answer,
        (false, _) => Opening::Later,
    }
}

fn negotiates(wire: &Wire<'_>) -> bool {
    let header = &wire.header;
    ExchangeType(header.exchange_type).is_phase_1()
        && header.message_id == 0
        && !header.flags.is_encrypted()
        && wire
            .payloads()
            .take(PAYLOADS_READ)
            .flatten()
            .any(|raw| raw.payload_type == PayloadType::SA.0)
}

/// The suite that a responder chose, with what its transform leaves out taken from the offer of
/// the same number: some responders repeat only what they changed.
pub(super) fn complete(chosen: &Offer, offered: &[Offer]) -> Offer {
    let Some(offer) = offered.iter().find(|offer| offer.number == chosen.number) else {
        return *chosen;
    };
    let (c, o) = (&chosen.suite, &offer.suite);
    Offer {
        number: chosen.number,
        suite: IkeSuite {
            encryption: c.encryption.or(o.encryption),
            key_length: c
                .key_length
                .or(o.key_length.filter(|_| c.encryption.is_none())),
            hash: c.hash.or(o.hash),
            prf: c.prf.or(o.prf),
            authentication: c.authentication.or(o.authentication),
            group: c.group.or(o.group),
            life_seconds: c.life_seconds.or(o.life_seconds),
            life_kilobytes: c.life_kilobytes.or(o.life_kilobytes),
        },
    }
}
