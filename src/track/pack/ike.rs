//! What sessions of IKE know.

use vpnscope_dissectors::ike::v1::IkeSuite;
use vpnscope_dissectors::ike::v1::codes::{AuthenticationMethod, Encryption, Group, Hash};
use vpnscope_dissectors::ike::v2::codes as v2;
use vpnscope_dissectors::ike::vendor::{Family, NatDraft};

use super::{Pack, Packer, Unpacker};
use crate::track::ike1::{self, Abilities, FragmentSet, Ike1, Mode};
use crate::track::ike2::nat::{Algorithm, Covered, Nat};
use crate::track::ike2::{self, Fragments, Ike2, IkeSa, Suite};

packed_choice! {
    Mode { 0 => Main, 1 => Aggressive, 2 => Base, 3 => Unknown }
    NatDraft { 0 => Other, 1 => Ietf(number), 2 => Rfc3947 }
    Algorithm { 0 => V2, 1 => V1(hash) }
}

packed_code!(
    AuthenticationMethod,
    Encryption,
    Group,
    Hash,
    v2::Encryption,
    v2::Integrity,
    v2::Prf,
    v2::KeyExchange,
);

packed! {
    Nat { request, response, private }
    Covered { spis, source, destination, algorithm }
    Suite { encryption, key_bits, integrity, prf, key_exchange }
    IkeSa {
        initiator_spi,
        responder_spi,
        initiator,
        offered,
        chosen,
        suite,
        first,
        inferred,
    }
    Ike2 { sas, exchanges, exchanges_not_kept, nat, vendor_ids, other_responders }
    ike2::Exchange { sa, id, kind, by, request, response }
    Fragments { total, seen, largest_ip }
    IkeSuite {
        encryption,
        key_length,
        hash,
        prf,
        authentication,
        group,
        life_seconds,
        life_kilobytes,
    }
    ike1::Offer { number, suite }
    ike1::Exchange { kind, id, by, messages }
    ike1::Message {
        step,
        at,
        from,
        ordinal,
        length,
        payloads,
        notifies,
        encrypted,
        commit,
        ke_len,
        pieces,
        truncated,
        digest,
    }
    FragmentSet { from, id, total, seen }
    Abilities { nat, nat_drafts, dpd, xauth, fragmentation, unity, makers }
}

/// Written by hand: of most messages most fields are as usual.
impl Pack for ike2::Message {
    fn pack(&self, to: &mut Packer<'_>) {
        let Self {
            step,
            at,
            length,
            payloads,
            notifies,
            encrypted,
            ke_group,
            fragments,
            truncated,
            digest,
        } = self;
        let usual = [
            *encrypted,
            *truncated,
            ke_group.is_none(),
            fragments.is_none(),
        ];
        to.flags(usual);
        step.pack(to);
        at.pack(to);
        length.pack(to);
        payloads.pack(to);
        notifies.pack(to);
        to.raw(&digest.to_le_bytes());
        let [_, _, is_groupless, is_whole] = usual;
        if !is_groupless {
            ke_group.pack(to);
        }
        if !is_whole {
            fragments.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let [encrypted, truncated, is_groupless, is_whole] = from.flags()?;
        Some(Self {
            encrypted,
            truncated,
            step: Pack::unpack(from)?,
            at: Pack::unpack(from)?,
            length: Pack::unpack(from)?,
            payloads: Pack::unpack(from)?,
            notifies: Pack::unpack(from)?,
            digest: u64::from_le_bytes(Pack::unpack(from)?),
            ke_group: from.unless(is_groupless, None)?,
            fragments: from.unless(is_whole, None)?,
        })
    }
}

impl Pack for Family {
    fn pack(&self, to: &mut Packer<'_>) {
        let place = to.shared.family(*self);
        to.number(place);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let place = from.number()?;
        from.shared.family_at(place)
    }
}

/// Written by hand for its offers, which are many and the same in most sessions.
impl Pack for Ike1 {
    fn pack(&self, to: &mut Packer<'_>) {
        let Self {
            initiator_cookie,
            responder_cookie,
            initiator,
            mode,
            offered,
            chosen,
            phase1,
            exchanges,
            exchanges_not_kept,
            nat,
            vendor_ids,
            abilities,
            other_responders,
            identities,
            fragments,
            renews,
            inherited,
            foreign,
        } = self;
        initiator_cookie.pack(to);
        responder_cookie.pack(to);
        initiator.pack(to);
        mode.pack(to);
        to.once(|to| {
            offered.pack(to);
            chosen.pack(to);
            abilities.pack(to);
        });
        phase1.pack(to);
        exchanges.pack(to);
        exchanges_not_kept.pack(to);
        nat.pack(to);
        vendor_ids.pack(to);
        other_responders.pack(to);
        identities.pack(to);
        fragments.pack(to);
        renews.pack(to);
        inherited.pack(to);
        foreign.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let initiator_cookie = Pack::unpack(from)?;
        let responder_cookie = Pack::unpack(from)?;
        let initiator = Pack::unpack(from)?;
        let mode = Pack::unpack(from)?;
        let (offered, chosen, abilities) = from.once(Pack::unpack)?;
        Some(Self {
            initiator_cookie,
            responder_cookie,
            initiator,
            mode,
            offered,
            chosen,
            phase1: Pack::unpack(from)?,
            exchanges: Pack::unpack(from)?,
            exchanges_not_kept: Pack::unpack(from)?,
            nat: Pack::unpack(from)?,
            vendor_ids: Pack::unpack(from)?,
            abilities,
            other_responders: Pack::unpack(from)?,
            identities: Pack::unpack(from)?,
            fragments: Pack::unpack(from)?,
            renews: Pack::unpack(from)?,
            inherited: Pack::unpack(from)?,
            foreign: Pack::unpack(from)?,
        })
    }
}
