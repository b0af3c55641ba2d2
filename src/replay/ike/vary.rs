//! Deliberate changes of a recorded IKE message: `--set`.

use vpnscope_dissectors::ike::v2::KeyExchange;

use super::super::rng::Rng;
use super::super::settings::Variation;
use super::edit::{Edit, Part};
use super::{kind, share};

const V1_SA: u8 = 1;
const V1_VENDOR: u8 = 13;
const V2_SA: u8 = 33;
const V2_VENDOR: u8 = 43;

/// Makes every change that concerns IKE.
pub(super) fn apply(edit: &mut Edit, variations: &[Variation], rng: &mut Rng) {
    let v2 = edit.header.major() >= 2;
    for variation in variations {
        match variation {
            Variation::Encryption(id, bits) => {
                let attributes = bits.map(|bits| (14, bits));
                set(edit, v2, Kind(1, 1), *id, attributes);
            }
            Variation::Prf(id) => set(edit, v2, Kind(2, 2), *id, None),
            Variation::Integrity(id) if v2 => set(edit, v2, Kind(3, 0), *id, None),
            Variation::Group(id) => {
                set(edit, v2, Kind(4, 4), *id, None);
                own_share(edit, v2, *id, rng);
            }
            Variation::ReverseProposals => reorder(edit, v2, &Order::Reverse),
            Variation::Proposals(order) => reorder(edit, v2, &Order::These(order)),
            Variation::DropVendorId(start) => {
                let vendor = if v2 { V2_VENDOR } else { V1_VENDOR };
                edit.parts
                    .retain(|part| part.kind != vendor || !part.body.starts_with(start));
            }
            Variation::Drop(place) => {
                if (1..=edit.parts.len()).contains(place) {
                    edit.parts.remove(place - 1);
                }
            }
            Variation::Duplicate(place) => {
                if let Some(part) = edit.parts.get(place - 1).cloned() {
                    edit.parts.insert(*place, part);
                }
            }
            Variation::Version(version) => {
                edit.header.version = u8::try_from(*version).unwrap_or(u8::MAX);
            }
            Variation::Integrity(_)
            | Variation::Ciphers(_)
            | Variation::FragmentSize(_)
            | Variation::Keep(_) => {}
        }
    }
}

/// What a transform is about: its type in IKEv2, the attribute's code in IKEv1.
#[derive(Clone, Copy)]
struct Kind(u8, u16);

enum Order<'a> {
    Reverse,
    These(&'a [usize]),
}

fn own_share(edit: &mut Edit, v2: bool, group: u16, rng: &mut Rng) {
    let Some(value) = share::public_value(KeyExchange(group), rng) else {
        return;
    };
    if let (true, Some(part)) = (v2, edit.first_mut(kind::V2_KE)) {
        part.body = group.to_be_bytes().to_vec();
        part.body.extend([0, 0]);
        part.body.extend(value);
    } else if let (false, Some(part)) = (v2, edit.first_mut(kind::V1_KE)) {
        part.body = value;
    }
}

/// The SA payload with what stands before its proposals, and the proposals.
fn proposals(edit: &mut Edit, v2: bool) -> Option<(&mut Part, usize, Vec<Vec<u8>>)> {
    let part = edit.first_mut(if v2 { V2_SA } else { V1_SA })?;
    let start = if v2 { 0 } else { 8 };
    let chain = split(part.body.get(start..)?)?;
    Some((part, start, chain))
}

/// A chain of substructures (octet 0: whether there are more; octets 2..4: length).
fn split(mut octets: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut chain = Vec::new();
    while !octets.is_empty() {
        let &[_, _, high, low] = octets.first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (one, rest) = octets.split_at_checked(len.max(4))?;
        chain.push(one.to_vec());
        octets = rest;
    }
    Some(chain)
}

fn join(mut chain: Vec<Vec<u8>>, more: u8) -> Vec<u8> {
    let last = chain.len().saturating_sub(1);
    for (index, one) in chain.iter_mut().enumerate() {
        let length = u16::try_from(one.len()).unwrap_or(u16::MAX).to_be_bytes();
        if let Some([first, _, high, low]) = one.first_chunk_mut::<4>() {
            *first = if index < last { more } else { 0 };
            [*high, *low] = length;
        }
    }
    chain.concat()
}

/// Marker of "more follows": of proposals and of transforms.
const MORE_PROPOSALS: u8 = 2;
const MORE_TRANSFORMS: u8 = 3;

/// Takes a proposal apart: its head with the SPI, its transforms.
fn transforms(proposal: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let spi = usize::from(*proposal.get(6)?);
    let (head, rest) = proposal.split_at_checked(8 + spi)?;
    Some((head.to_vec(), split(rest)?))
}

fn proposal(mut head: Vec<u8>, chain: Vec<Vec<u8>>) -> Vec<u8> {
    if let Some(count) = head.get_mut(7) {
        *count = u8::try_from(chain.len()).unwrap_or(u8::MAX);
    }
    head.extend(join(chain, MORE_TRANSFORMS));
    head
}

fn set(edit: &mut Edit, v2: bool, about: Kind, id: u16, attribute: Option<(u16, u16)>) {
    let Some((part, start, mut chain)) = proposals(edit, v2) else {
        return;
    };
    for one in &mut chain {
        let Some((head, list)) = transforms(one) else {
            return;
        };
        let changed = if v2 {
            replace(list, about.0, id, attribute)
        } else {
            list.into_iter()
                .map(|transform| rewrite(&transform, about.1, id, attribute))
                .collect()
        };
        *one = proposal(head, changed);
    }
    part.body.truncate(start);
    part.body.extend(join(chain, MORE_PROPOSALS));
}

/// IKEv2: one transform of the type instead of all there were.
fn replace(list: Vec<Vec<u8>>, kind: u8, id: u16, attribute: Option<(u16, u16)>) -> Vec<Vec<u8>> {
    let mut made = vec![0, 0, 0, 0, kind, 0];
    made.extend(id.to_be_bytes());
    if let Some((code, value)) = attribute {
        made.extend((code | 0x8000).to_be_bytes());
        made.extend(value.to_be_bytes());
    }
    let is_kind = |one: &Vec<u8>| one.get(4) == Some(&kind);
    let place = list.iter().position(is_kind);
    let mut changed: Vec<Vec<u8>> = list.into_iter().filter(|one| !is_kind(one)).collect();
    if let Some(place) = place {
        changed.insert(place.min(changed.len()), made);
    }
    changed
}

/// IKEv1: the attribute of each transform, whose short form is four octets.
fn rewrite(transform: &[u8], code: u16, id: u16, attribute: Option<(u16, u16)>) -> Vec<u8> {
    let (head, mut rest) = transform.split_at(transform.len().min(8));
    let mut made = head.to_vec();
    while let Some((&[a, b, c, d], after)) = rest.split_first_chunk::<4>() {
        let short = a & 0x80 != 0;
        let this = u16::from_be_bytes([a & 0x7f, b]);
        let len = if short {
            0
        } else {
            usize::from(u16::from_be_bytes([c, d]))
        };
        let (value, after) = after.split_at(len.min(after.len()));
        rest = after;
        let replaced = match attribute {
            _ if this == code => Some(id),
            Some((extra, bits)) if this == extra => Some(bits),
            // The cipher changed and has no variable key: the old length goes.
            None if this == 14 && code == 1 => continue,
            _ => None,
        };
        if let Some(number) = replaced {
            made.extend((this | 0x8000).to_be_bytes());
            made.extend(number.to_be_bytes());
        } else {
            made.extend([a, b, c, d]);
            made.extend(value);
        }
    }
    made
}

fn reorder(edit: &mut Edit, v2: bool, order: &Order<'_>) {
    let Some((part, start, chain)) = proposals(edit, v2) else {
        return;
    };
    let chain = if v2 {
        renumber(arrange(chain, order))
    } else {
        // IKEv1 offers its alternatives as transforms of one proposal.
        chain
            .into_iter()
            .map(|one| match transforms(&one) {
                Some((head, list)) => proposal(head, renumber(arrange(list, order))),
                None => one,
            })
            .collect()
    };
    part.body.truncate(start);
    part.body.extend(join(chain, MORE_PROPOSALS));
}

fn arrange(chain: Vec<Vec<u8>>, order: &Order<'_>) -> Vec<Vec<u8>> {
    match order {
        Order::Reverse => chain.into_iter().rev().collect(),
        Order::These(places) => places
            .iter()
            .filter_map(|place| chain.get(place.checked_sub(1)?).cloned())
            .collect(),
    }
}

/// Numbers them from 1 (octet 4 of proposals and of IKEv1 transforms).
fn renumber(mut chain: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    for (number, one) in (1..=u8::MAX).zip(&mut chain) {
        if let Some(octet) = one.get_mut(4) {
            *octet = number;
        }
    }
    chain
}
