//! Recorded frames with other addresses, ports and MACs, and checksums that fit: for `--raw`.
//!
//! Checksums are amended by what changed (RFC 1624), not computed anew: so a wrong one stays
//! wrong, an absent one absent, and fragments need no reassembly.

use std::net::{IpAddr, Ipv6Addr};

use crate::source::{Frame, LinkType};

/// One address, with or without port, that becomes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// What is recorded.
    pub from: (IpAddr, Option<u16>),
    /// What is sent.
    pub to: (IpAddr, Option<u16>),
}

impl Mapping {
    /// Reads `OLD[:PORT]=NEW[:PORT]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let end = |text: &str| {
            if let Ok(ip) = text.parse::<IpAddr>() {
                return Ok((ip, None));
            }
            text.parse::<std::net::SocketAddr>()
                .map(|at| (at.ip(), Some(at.port())))
                .map_err(|_| format!("{text} is no address"))
        };
        let (from, to) = text.split_once('=').ok_or("OLD=NEW expected")?;
        let (from, to) = (end(from)?, end(to)?);
        if from.0.is_ipv4() != to.0.is_ipv4() {
            return Err("both addresses must be of one family".to_string());
        }
        if to.1.is_some() && from.1.is_none() {
            return Err("a port can only be put in the place of another".to_string());
        }
        Ok(Self { from, to })
    }
}

/// What is changed in every frame.
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    /// Addresses and ports.
    pub mappings: Vec<Mapping>,
    /// The source MAC.
    pub source_mac: Option<[u8; 6]>,
    /// The destination MAC.
    pub destination_mac: Option<[u8; 6]>,
}

/// A MAC as `02:00:00:00:00:01`.
pub fn parse_mac(text: &str) -> Result<[u8; 6], String> {
    let octets: Vec<u8> = text
        .split([':', '-'])
        .map_while(|part| u8::from_str_radix(part, 16).ok())
        .collect();
    octets
        .try_into()
        .map_err(|_| format!("{text} is no MAC address"))
}

impl Rewrite {
    /// The Ethernet frame to send; `None` for links that cannot become Ethernet.
    pub fn apply(&self, frame: &Frame<'_>) -> Option<Vec<u8>> {
        let mut octets = match frame.link {
            LinkType::ETHERNET => frame.octets.to_vec(),
            LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => in_ethernet(frame.octets)?,
            _ => return None,
        };
        let (macs, rest) = octets.split_at_mut_checked(12)?;
        let (to, from) = macs.split_at_mut(6);
        if let Some(mac) = self.destination_mac {
            to.copy_from_slice(&mac);
        }
        if let Some(mac) = self.source_mac {
            from.copy_from_slice(&mac);
        }
        self.network(rest);
        Some(octets)
    }

    /// From the `EtherType` on. Tags stay as they are.
    fn network(&self, octets: &mut [u8]) {
        let Some((kind, rest)) = octets.split_first_chunk_mut::<2>() else {
            return;
        };
        match u16::from_be_bytes(*kind) {
            0x8100 | 0x88a8 | 0x9100 => {
                if let Some(rest) = rest.get_mut(2..) {
                    self.network(rest);
                }
            }
            0x0800 => self.ipv4(rest),
            0x86dd => self.ipv6(rest),
            _ => {}
        }
    }

    fn ipv4(&self, octets: &mut [u8]) {
        let Some(&first) = octets.first() else { return };
        let header_len = usize::from(first & 0x0f) * 4;
        if first >> 4 != 4 || header_len < 20 || octets.len() < header_len {
            return;
        }
        let (header, payload) = octets.split_at_mut(header_len);
        let protocol = header.get(9).copied().unwrap_or_default();
        let offset = word(header, 6) & 0x1fff;
        let address = |header: &[u8], at: usize| {
            let four = header
                .get(at..at + 4)
                .and_then(|o| <[u8; 4]>::try_from(o).ok());
            IpAddr::from(four.unwrap_or_default())
        };
        let ends = [address(header, 12), address(header, 16)];
        let mut change = Change::default();
        for (side, ip) in (0..).zip(ends) {
            let port = (offset == 0)
                .then(|| port(protocol, payload, side))
                .flatten();
            let Some(mapping) = self.find(ip, port) else {
                continue;
            };
            if let IpAddr::V4(new) = mapping.to.0
                && let Some(place) = header.get_mut(12 + 4 * side..16 + 4 * side)
            {
                change.replace(place, &new.octets());
            }
            set_port(protocol, payload, side, port, mapping, &mut change);
        }
        // The header's own checksum covers no ports.
        let addresses = change.addresses;
        if let Some(sum) = header.get_mut(10..12) {
            amend(sum, addresses);
        }
        if offset == 0 {
            transport(protocol, payload, &change);
        }
    }

    fn ipv6(&self, octets: &mut [u8]) {
        let Some((header, payload)) = octets.split_at_mut_checked(40) else {
            return;
        };
        // With extension headers the addresses change, ports and checksums stay.
        let protocol = header.get(6).copied().unwrap_or_default();
        let mut change = Change::default();
        for side in 0..2 {
            let at = 8 + 16 * side;
            let Some(place) = header.get_mut(at..at + 16) else {
                return;
            };
            let ip = <[u8; 16]>::try_from(&*place).map(Ipv6Addr::from);
            let port = port(protocol, payload, side);
            let Some(mapping) = ip.ok().and_then(|ip| self.find(ip.into(), port)) else {
                continue;
            };
            if let IpAddr::V6(new) = mapping.to.0 {
                change.replace(place, &new.octets());
            }
            set_port(protocol, payload, side, port, mapping, &mut change);
        }
        transport(protocol, payload, &change);
    }

    fn find(&self, ip: IpAddr, port: Option<u16>) -> Option<&Mapping> {
        self.mappings.iter().find(|mapping| {
            mapping.from.0 == ip && (mapping.from.1.is_none() || mapping.from.1 == port)
        })
    }
}

/// Locally administered MACs where the recording has none.
fn in_ethernet(ip: &[u8]) -> Option<Vec<u8>> {
    let kind: [u8; 2] = match ip.first()? >> 4 {
        4 => [0x08, 0x00],
        6 => [0x86, 0xdd],
        _ => return None,
    };
    let mut octets = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    octets.extend(kind);
    octets.extend(ip);
    Some(octets)
}

fn word(octets: &[u8], at: usize) -> u16 {
    octets
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |pair| u16::from_be_bytes(*pair))
}

/// The source (0) or destination (1) port of TCP and UDP.
fn port(protocol: u8, payload: &[u8], side: usize) -> Option<u16> {
    ([6, 17].contains(&protocol) && payload.len() >= 4).then(|| word(payload, 2 * side))
}

fn set_port(
    protocol: u8,
    payload: &mut [u8],
    side: usize,
    old: Option<u16>,
    mapping: &Mapping,
    change: &mut Change,
) {
    let (Some(_), Some(new)) = (old, mapping.to.1) else {
        return;
    };
    if [6, 17].contains(&protocol)
        && let Some(place) = payload.get_mut(2 * side..2 * side + 2)
    {
        change.ports += difference(place, &new.to_be_bytes());
        place.copy_from_slice(&new.to_be_bytes());
    }
}

/// What changed, as sums of the differences of 16-bit words.
#[derive(Default)]
struct Change {
    addresses: i64,
    ports: i64,
}

impl Change {
    fn replace(&mut self, place: &mut [u8], new: &[u8]) {
        self.addresses += difference(place, new);
        place.copy_from_slice(new);
    }
}

fn difference(old: &[u8], new: &[u8]) -> i64 {
    let sum = |octets: &[u8]| -> i64 {
        octets
            .chunks_exact(2)
            .map(|pair| i64::from(word(pair, 0)))
            .sum()
    };
    sum(new) - sum(old)
}

/// Amends a checksum: `HC' = ~(~HC + ~m + m')` (RFC 1624 §3).
fn amend(place: &mut [u8], difference: i64) {
    if difference == 0 || place.len() != 2 {
        return;
    }
    let sum = i64::from(!word(place, 0)) + difference;
    // One's complement arithmetic is arithmetic modulo 65535.
    let folded = u16::try_from(sum.rem_euclid(0xffff)).unwrap_or_default();
    place.copy_from_slice(&(!folded).to_be_bytes());
}

fn transport(protocol: u8, payload: &mut [u8], change: &Change) {
    let at = match protocol {
        6 => 16,
        17 => 6,
        _ => return,
    };
    let absent = protocol == 17 && word(payload, at) == 0;
    if let Some(place) = payload.get_mut(at..at + 2)
        && !absent
    {
        amend(place, change.addresses + change.ports);
        if protocol == 17 && place == [0, 0] {
            place.copy_from_slice(&[0xff, 0xff]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet;
    use super::*;
    use crate::decap::{Checksum, decap};
    use crate::time::Timestamp;

    fn frame(octets: &[u8], link: LinkType) -> Frame<'_> {
        Frame {
            capture: 0,
            no: 1,
            time: Timestamp(0),
            link,
            octets,
            wire_len: u32::try_from(octets.len()).unwrap(),
            interface: 0,
        }
    }

    fn rewrite(maps: &[&str]) -> Rewrite {
        Rewrite {
            mappings: maps
                .iter()
                .map(|map| Mapping::parse(map).unwrap())
                .collect(),
            source_mac: Some([2, 0, 0, 0, 0, 9]),
            destination_mac: Some([2, 0, 0, 0, 0, 8]),
        }
    }

    #[test]
    fn addresses_and_ports_change_and_checksums_fit() {
        let cases = [
            (
                "192.0.2.1:500",
                "203.0.113.9:4500",
                "192.0.2.1:500=10.0.0.7:1500",
                "203.0.113.9=10.0.0.8",
            ),
            (
                "[2001:db8::1]:500",
                "[2001:db8::2]:4500",
                "[2001:db8::1]:500=[fd00::7]:1500",
                "2001:db8::2=fd00::8",
            ),
        ];
        for (a, b, first, second) in cases {
            let packet = packet::udp(a.parse().unwrap(), b.parse().unwrap(), b"some payload");
            let sent = rewrite(&[first, second])
                .apply(&frame(&packet, LinkType::RAW))
                .unwrap();
            assert_eq!(sent[..12], [2, 0, 0, 0, 0, 8, 2, 0, 0, 0, 0, 9]);
            let segment = decap(&frame(&sent, LinkType::ETHERNET));
            let envelope = segment.envelope;
            assert_eq!(envelope.checksum, Checksum::Good);
            assert_eq!(
                (envelope.source_port, envelope.destination_port),
                (1500, 4500)
            );
            let mapping = Mapping::parse(second).unwrap();
            assert_eq!(envelope.destination, mapping.to.0);
        }
    }

    #[test]
    fn tags_stay_and_later_fragments_keep_their_octets() {
        let packet = packet::udp(
            "192.0.2.1:1".parse().unwrap(),
            "192.0.2.2:2".parse().unwrap(),
            b"x",
        );
        let mut tagged = vec![0; 12];
        tagged.extend([0x81, 0x00, 0x00, 0x2a, 0x08, 0x00]);
        tagged.extend(&packet);
        let one = rewrite(&["192.0.2.1=192.0.2.77"]);
        let sent = one.apply(&frame(&tagged, LinkType::ETHERNET)).unwrap();
        let envelope = decap(&frame(&sent, LinkType::ETHERNET)).envelope;
        assert_eq!(
            (envelope.vlan, envelope.checksum),
            (Some(42), Checksum::Good)
        );
        // The same as a later fragment: nothing after the header is touched.
        tagged[18 + 7] = 3;
        let later = one.apply(&frame(&tagged, LinkType::ETHERNET)).unwrap();
        assert_eq!(later[18 + 20..], tagged[18 + 20..]);
        assert_eq!(
            packet::checksum(&later[18..38]),
            packet::checksum(&tagged[18..38])
        );
    }

    #[test]
    fn a_checksum_that_is_absent_stays_absent() {
        let mut packet = packet::udp(
            "192.0.2.1:1".parse().unwrap(),
            "192.0.2.2:2".parse().unwrap(),
            b"x",
        );
        packet[26..28].fill(0);
        let sent = rewrite(&["192.0.2.1=192.0.2.77"])
            .apply(&frame(&packet, LinkType::RAW))
            .unwrap();
        assert_eq!(
            decap(&frame(&sent, LinkType::ETHERNET)).envelope.checksum,
            Checksum::Absent
        );
    }

    #[test]
    fn every_truncation_is_survived() {
        let packet = packet::udp(
            "192.0.2.1:1".parse().unwrap(),
            "192.0.2.2:2".parse().unwrap(),
            b"abc",
        );
        for len in 0..packet.len() {
            let cut =
                rewrite(&["192.0.2.1:1=192.0.2.77:9"]).apply(&frame(&packet[..len], LinkType::RAW));
            assert_eq!(cut.is_some(), len > 0);
        }
    }

    #[test]
    fn mappings_and_macs_are_read_or_refused() {
        assert_eq!(parse_mac("02:00:00:00:00:0a"), Ok([2, 0, 0, 0, 0, 10]));
        for text in ["", "02:00", "02:00:00:00:00:0g", "1:2:3:4:5:6:7"] {
            assert!(parse_mac(text).is_err(), "{text}");
        }
        for text in ["", "1.2.3.4", "1.2.3.4=::1", "1.2.3.4=1.2.3.5:7", "x=y"] {
            assert!(Mapping::parse(text).is_err(), "{text}");
        }
    }
}
