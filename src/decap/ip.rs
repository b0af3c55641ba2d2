//! IPv4 and IPv6 headers, with what may stand between them and their payload.

use std::net::IpAddr;

use etherparse::{
    IpAuthHeaderSlice, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice,
};

use super::rest::Rest;
use super::walk::{Layer, Step, Walk, other};
use super::{Checksum, Content, Fragment, Peel, Stop, checksum};

/// IP protocol numbers the walk knows.
pub(super) mod protocol {
    pub(in crate::decap) const HOP_BY_HOP: u8 = 0;
    pub(in crate::decap) const ICMP: u8 = 1;
    pub(in crate::decap) const IPV4: u8 = 4;
    pub(in crate::decap) const TCP: u8 = 6;
    pub(in crate::decap) const UDP: u8 = 17;
    pub(in crate::decap) const IPV6: u8 = 41;
    pub(in crate::decap) const ROUTING: u8 = 43;
    pub(in crate::decap) const FRAGMENT: u8 = 44;
    pub(in crate::decap) const GRE: u8 = 47;
    pub(in crate::decap) const ESP: u8 = 50;
    pub(in crate::decap) const AH: u8 = 51;
    pub(in crate::decap) const ICMPV6: u8 = 58;
    pub(in crate::decap) const NO_NEXT: u8 = 59;
    pub(in crate::decap) const DESTINATION: u8 = 60;
    pub(in crate::decap) const MOBILITY: u8 = 135;
    pub(in crate::decap) const MPLS: u8 = 137;
    pub(in crate::decap) const HIP: u8 = 139;
    pub(in crate::decap) const SHIM6: u8 = 140;
}

/// More extension headers than this is no datagram anybody means.
const EXTENSIONS: usize = 16;

/// IPv4 (RFC 791 §3.1).
pub(super) fn v4<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let header = match Ipv4HeaderSlice::from_slice(rest.octets) {
        Ok(header) => header,
        Err(error) => return Err(bad_v4(walk, rest, &error)),
    };
    let (total, fault) = v4_total(&header, rest)?;
    let header_len = header.slice().len();
    let envelope = &mut walk.envelope;
    envelope.source = IpAddr::V4(header.source_addr());
    envelope.destination = IpAddr::V4(header.destination_addr());
    (envelope.source_port, envelope.destination_port) = (0, 0);
    envelope.protocol = header.protocol().0;
    envelope.ttl = header.ttl();
    envelope.ip_id = u32::from(header.identification());
    envelope.dont_fragment = header.dont_fragment();
    envelope.checksum = checksum::ipv4_header(header.slice());
    let body = rest.declared(total).skip_or_end(header_len);
    enclose(walk, total, body, fault);
    if header.is_fragmenting_payload() {
        if walk.envelope.checksum != Checksum::Bad {
            walk.envelope.checksum = Checksum::Unverified;
        }
        let fragment = Fragment {
            id: u32::from(header.identification()),
            protocol: header.protocol().0,
            offset: u32::from(header.fragments_offset().value()) * 8,
            more: header.more_fragments(),
            header_len: u32::try_from(header_len).unwrap_or(u32::MAX),
            payload: body.octets,
            payload_len: body.wire_len(),
        };
        first_ports(walk, &fragment);
        walk.found(Content::Fragment(fragment));
        return Ok(None);
    }
    walk.found(other(body));
    Ok(Some((Layer::Payload(header.protocol().0), body)))
}

/// The total length, as far as it can be believed.
fn v4_total(header: &Ipv4HeaderSlice<'_>, rest: Rest<'_>) -> Result<(usize, Option<Stop>), Stop> {
    let total = usize::from(header.total_len());
    if total == 0 {
        // A host that leaves segmentation to its card captures datagrams without a length.
        return Ok((rest.wire, None));
    }
    if total < header.slice().len() {
        return Err(rest.stop("ipv4", 2, "total length shorter than the header"));
    }
    let fault =
        (total > rest.wire).then(|| rest.stop("ipv4", 2, "total length longer than the frame"));
    Ok((total, fault))
}

/// Why no IPv4 header could be read; addresses that are there are kept.
fn bad_v4(
    walk: &mut Walk<'_>,
    rest: Rest<'_>,
    error: &etherparse::err::ipv4::HeaderSliceError,
) -> Stop {
    use etherparse::err::ipv4::{HeaderError, HeaderSliceError};
    match error {
        HeaderSliceError::Content(HeaderError::UnexpectedVersion { .. }) => {
            rest.stop("ipv4", 0, "version is not 4")
        }
        HeaderSliceError::Content(HeaderError::HeaderLengthSmallerThanHeader { .. }) => {
            rest.stop("ipv4", 0, "header length below 20 octets")
        }
        HeaderSliceError::Len(_) => {
            if let (Some(from), Some(to)) = (rest.be32(12), rest.be32(16)) {
                walk.envelope.source = IpAddr::V4(from.into());
                walk.envelope.destination = IpAddr::V4(to.into());
            }
            rest.short("ipv4")
        }
    }
}

/// The length and completeness of a datagram.
fn enclose(walk: &mut Walk<'_>, total: usize, body: Rest<'_>, fault: Option<Stop>) {
    walk.envelope.ip_len = u32::try_from(total).unwrap_or(u32::MAX);
    walk.envelope.truncated = body.is_cut();
    if let Some(fault) = fault {
        walk.note(fault);
    }
}

/// The ports that the first fragment shows.
fn first_ports(walk: &mut Walk<'_>, fragment: &Fragment<'_>) {
    if let (0, protocol::TCP | protocol::UDP, Some([a, b, c, d])) = (
        fragment.offset,
        fragment.protocol,
        fragment.payload.first_chunk(),
    ) {
        walk.envelope.source_port = u16::from_be_bytes([*a, *b]);
        walk.envelope.destination_port = u16::from_be_bytes([*c, *d]);
    }
}

/// IPv6 (RFC 8200 §3).
pub(super) fn v6<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let header = match Ipv6HeaderSlice::from_slice(rest.octets) {
        Ok(header) => header,
        Err(etherparse::err::ipv6::HeaderSliceError::Content(_)) => {
            return Err(rest.stop("ipv6", 0, "version is not 6"));
        }
        Err(etherparse::err::ipv6::HeaderSliceError::Len(_)) => return Err(rest.short("ipv6")),
    };
    let header_len = header.slice().len();
    let next = header.next_header().0;
    let declared = usize::from(header.payload_length()) + header_len;
    let (total, fault) = if header.payload_length() == 0 && next != protocol::NO_NEXT {
        // A jumbogram (RFC 2675), or segmentation left to the card.
        (rest.wire, None)
    } else if declared > rest.wire {
        let fault = rest.stop("ipv6", 4, "payload length longer than the frame");
        (declared, Some(fault))
    } else {
        (declared, None)
    };
    let envelope = &mut walk.envelope;
    envelope.source = IpAddr::V6(header.source_addr());
    envelope.destination = IpAddr::V6(header.destination_addr());
    (envelope.source_port, envelope.destination_port) = (0, 0);
    envelope.protocol = next;
    envelope.ttl = header.hop_limit();
    envelope.ip_id = 0;
    envelope.dont_fragment = false;
    envelope.checksum = Checksum::Unverified;
    let body = rest.declared(total).skip_or_end(header_len);
    enclose(walk, total, body, fault);
    walk.found(other(body));
    extensions(walk, next, body, header_len)
}

/// Looks through the headers between IP and its payload: extension headers of IPv6, AH in
/// both versions. `before` is what the datagram has before `rest`.
pub(super) fn extensions<'a>(
    walk: &mut Walk<'a>,
    first: u8,
    mut rest: Rest<'a>,
    before: usize,
) -> Step<'a> {
    let (mut next, mut before) = (first, before);
    for _ in 0..EXTENSIONS {
        let len = match next {
            protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::DESTINATION
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6 => {
                let Ok(header) = Ipv6RawExtHeaderSlice::from_slice(rest.octets) else {
                    return Err(rest.short("ipv6-extension"));
                };
                next = header.next_header().0;
                header.slice().len()
            }
            protocol::FRAGMENT => {
                let Ok(header) = Ipv6FragmentHeaderSlice::from_slice(rest.octets) else {
                    return Err(rest.short("ipv6-fragment"));
                };
                walk.envelope.ip_id = header.identification();
                next = header.next_header().0;
                let body = rest.skip_or_end(8);
                if header.is_fragmenting_payload() {
                    v6_fragment(walk, &header, body, before);
                    return Ok(None);
                }
                8
            }
            protocol::AH => return authentication(walk, rest),
            protocol::NO_NEXT => {
                walk.envelope.protocol = next;
                walk.found(other(rest));
                return Ok(None);
            }
            _ => return Ok(Some((Layer::Payload(next), rest))),
        };
        before += len;
        rest = rest.skip_or_end(len);
        walk.envelope.protocol = next;
        walk.found(other(rest));
    }
    Err(rest.stop("ipv6-extension", 0, "too many extension headers"))
}

fn v6_fragment<'a>(
    walk: &mut Walk<'a>,
    header: &Ipv6FragmentHeaderSlice<'_>,
    body: Rest<'a>,
    before: usize,
) {
    walk.envelope.protocol = header.next_header().0;
    let fragment = Fragment {
        id: header.identification(),
        protocol: header.next_header().0,
        offset: u32::from(header.fragment_offset().value()) * 8,
        more: header.more_fragments(),
        header_len: u32::try_from(before).unwrap_or(u32::MAX),
        payload: body.octets,
        payload_len: body.wire_len(),
    };
    first_ports(walk, &fragment);
    walk.found(Content::Fragment(fragment));
}

/// AH (RFC 4302 §2) authenticates and hides nothing: what follows is read.
pub(super) fn authentication<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let header = match IpAuthHeaderSlice::from_slice(rest.octets) {
        Ok(header) => header,
        Err(etherparse::err::ip_auth::HeaderSliceError::Content(_)) => {
            return Err(rest.stop("ah", 1, "payload length 0"));
        }
        Err(etherparse::err::ip_auth::HeaderSliceError::Len(_)) => return Err(rest.short("ah")),
    };
    walk.peel(Peel::Ah, rest)?;
    walk.ah = Some(header.slice());
    let next = header.next_header().0;
    let body = rest.skip_or_end(header.slice().len());
    walk.envelope.protocol = next;
    walk.found(other(body));
    Ok(Some((Layer::Payload(next), body)))
}
