//! The options of a TCP header (RFC 9293 §3.2, RFC 7323, RFC 2018).

/// What the options of a segment say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Largest segment the sender of a SYN wants to receive, octets of data.
    pub mss: Option<u16>,
    /// The sender of a SYN understands selective acknowledgment.
    pub sack_permitted: bool,
    /// Selective acknowledgment: first octet and the one after the last, as sequence numbers.
    pub sack: [Option<(u32, u32)>; 4],
}

impl Options {
    /// Reads the options as far as they make sense.
    pub fn parse(mut octets: &[u8]) -> Self {
        let mut options = Self::default();
        while let [kind, rest @ ..] = octets {
            match kind {
                0 => break,
                1 => {
                    octets = rest;
                    continue;
                }
                _ => {}
            }
            let Some(length) = rest.first().copied().map(usize::from) else {
                break;
            };
            let Some((option, left)) = octets.split_at_checked(length.max(2)) else {
                break;
            };
            match (kind, option) {
                (2, [_, _, high, low]) => options.mss = Some(u16::from_be_bytes([*high, *low])),
                (4, [_, _]) => options.sack_permitted = true,
                (5, [_, _, blocks @ ..]) => options.read_sack(blocks),
                _ => {}
            }
            octets = left;
        }
        options
    }

    /// What they say of the segment size.
    #[inline]
    pub(super) fn mss(octets: &[u8]) -> Option<u16> {
        if octets.is_empty() {
            return None;
        }
        Self::parse(octets).mss
    }

    fn read_sack(&mut self, blocks: &[u8]) {
        for (slot, block) in self.sack.iter_mut().zip(blocks.chunks_exact(8)) {
            if let [a, b, c, d, e, f, g, h] = *block {
                let edge = (
                    u32::from_be_bytes([a, b, c, d]),
                    u32::from_be_bytes([e, f, g, h]),
                );
                *slot = Some(edge);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_syn_says() {
        let octets = [
            2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 10,
        ];
        let options = Options::parse(&octets);
        assert_eq!(options.mss, Some(1460));
        assert!(options.sack_permitted);
    }

    #[test]
    fn reads_sack_blocks() {
        let octets = [
            1, 1, 5, 18, 0, 0, 0, 9, 0, 0, 0, 12, 0, 0, 0, 20, 0, 0, 0, 30,
        ];
        let options = Options::parse(&octets);
        assert_eq!(options.sack, [Some((9, 12)), Some((20, 30)), None, None]);
    }

    #[test]
    fn nonsense_ends_the_walk() {
        for octets in [
            &[2][..],
            &[2, 0],
            &[2, 40, 1],
            &[5, 2],
            &[0, 2, 4, 5, 0xb4],
            &[9, 1, 9, 1],
        ] {
            assert_eq!(Options::parse(octets), Options::default(), "{octets:?}");
        }
    }
}
