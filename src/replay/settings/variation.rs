//! Deliberate changes: `--set`.

use super::Substitution;

/// One deliberate change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variation {
    /// Encryption transform, with key length in bits where there is one.
    Encryption(u16, Option<u16>),
    /// Pseudo-random function (IKEv2) or hash (IKEv1).
    Prf(u16),
    /// Integrity transform.
    Integrity(u16),
    /// Key exchange group, with a key share of our own.
    Group(u16),
    /// Proposals in this order, from 1; those left out are dropped.
    Proposals(Vec<usize>),
    /// Proposals, or IKEv1 transforms, back to front.
    ReverseProposals,
    /// A vendor id taken out: by the hex of its beginning; empty for all.
    DropVendorId(Vec<u8>),
    /// The payload at this place, from 1, taken out.
    Drop(usize),
    /// The payload at this place, from 1, twice.
    Duplicate(usize),
    /// The version octets: one for IKE, two for TLS.
    Version(u16),
    /// TLS cipher suites.
    Ciphers(Vec<u16>),
    /// Octets of a TLS record's or DTLS fragment's content at most.
    FragmentSize(usize),
    /// A substitution left out.
    Keep(Substitution),
}

impl Variation {
    /// What `--set` understands.
    pub const HELP: &'static str = "encryption=ID[/BITS], prf=ID, integrity=ID, group=ID, \
        proposals=2,1|reverse, drop-vendor-id=HEX|all, drop=N, duplicate=N, version=HEX, \
        ciphers=HEX,…, fragment=OCTETS, keep=SUBSTITUTION";

    /// Reads `KEY=VALUE`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| format!("KEY=VALUE expected: {}", Self::HELP))?;
        let number = |text: &str| {
            text.trim()
                .parse::<u16>()
                .map_err(|_| format!("{key}: {text} is no number from 0 to 65535"))
        };
        let place = |text: &str| match text.trim().parse::<usize>() {
            Ok(n) if (1..=255).contains(&n) => Ok(n),
            _ => Err(format!("{key}: {text} is no place from 1 to 255")),
        };
        let hex = |text: &str| {
            let text = text.trim().trim_start_matches("0x");
            u16::from_str_radix(text, 16).map_err(|_| format!("{key}: {text} is no hex number"))
        };
        Ok(match key {
            "encryption" => match value.split_once('/') {
                Some((id, bits)) => Self::Encryption(number(id)?, Some(number(bits)?)),
                None => Self::Encryption(number(value)?, None),
            },
            "prf" | "hash" => Self::Prf(number(value)?),
            "integrity" => Self::Integrity(number(value)?),
            "group" => Self::Group(number(value)?),
            "proposals" if value == "reverse" => Self::ReverseProposals,
            "proposals" => Self::Proposals(value.split(',').map(place).collect::<Result<_, _>>()?),
            "drop-vendor-id" if value == "all" => Self::DropVendorId(Vec::new()),
            "drop-vendor-id" => Self::DropVendorId(octets(key, value)?),
            "drop" => Self::Drop(place(value)?),
            "duplicate" => Self::Duplicate(place(value)?),
            "version" => Self::Version(hex(value)?),
            "ciphers" => Self::Ciphers(value.split(',').map(hex).collect::<Result<_, _>>()?),
            "fragment" => match value.parse::<usize>() {
                Ok(n) if (1..=16_384).contains(&n) => Self::FragmentSize(n),
                _ => return Err(format!("fragment: {value} is no size from 1 to 16384")),
            },
            "keep" => Self::Keep(
                Substitution::ALL
                    .iter()
                    .find(|(_, word, _)| *word == value)
                    .map(|(item, _, _)| *item)
                    .ok_or_else(|| {
                        let words: Vec<_> = Substitution::ALL.iter().map(|s| s.1).collect();
                        format!("keep: {value} is none of {}", words.join(", "))
                    })?,
            ),
            _ => return Err(format!("{key} is not known; there is {}", Self::HELP)),
        })
    }
}

fn octets(key: &str, text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("{key}: {text} is no hex string");
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.is_ascii() {
        return Err(wrong());
    }
    (0..text.len() / 2)
        .map(|i| {
            text.get(2 * i..2 * i + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or_else(wrong)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_variations() {
        let parse = |text| Variation::parse(text);
        assert_eq!(
            parse("encryption=12/256"),
            Ok(Variation::Encryption(12, Some(256)))
        );
        assert_eq!(parse("group=31"), Ok(Variation::Group(31)));
        assert_eq!(parse("proposals=2,1"), Ok(Variation::Proposals(vec![2, 1])));
        assert_eq!(parse("proposals=reverse"), Ok(Variation::ReverseProposals));
        assert_eq!(
            parse("drop-vendor-id=4a13"),
            Ok(Variation::DropVendorId(vec![0x4a, 0x13]))
        );
        assert_eq!(
            parse("ciphers=c02f,0x1301"),
            Ok(Variation::Ciphers(vec![0xc02f, 0x1301]))
        );
        assert_eq!(
            parse("keep=nat-detection"),
            Ok(Variation::Keep(Substitution::NatDetection))
        );
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for text in [
            "",
            "group",
            "group=x",
            "drop=0",
            "nonsense=1",
            "keep=all",
            "drop-vendor-id=4",
            "fragment=0",
            "drop-vendor-id=é",
        ] {
            assert!(Variation::parse(text).is_err(), "{text}");
        }
    }
}
