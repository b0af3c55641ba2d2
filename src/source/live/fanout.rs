//! Several rings on one interface, each of which gets a share of its frames.
//!
//! The kernel spreads the frames of an interface over the sockets of a *fanout group*. Its own
//! hash takes the ports in, so that the two channels of one VPN and the fragments of a datagram
//! would part; here a small program chooses by the pair of addresses, the same for both
//! directions. The kernel's defragmentation is never asked for: fragments are evidence.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

/// `SOL_PACKET`, `PACKET_FANOUT`, `PACKET_FANOUT_DATA` of `linux/if_packet.h`.
const SOL_PACKET: i32 = 263;
const PACKET_FANOUT: i32 = 18;
const PACKET_FANOUT_DATA: i32 = 22;
/// A classic BPF program chooses.
const BY_PROGRAM: u32 = 6;
/// The kernel chooses a number for the group that nobody uses.
const UNIQUE: u32 = 0x2000;

/// Offsets that the kernel reads as "from the network header on" and "what is known of it".
const NETWORK: u32 = 0xfff0_0000;
const KNOWN_PROTOCOL: u32 = 0xffff_f000;

/// A group; its number is known once the first ring has joined.
#[derive(Debug, Default)]
pub(super) struct Group {
    number: Mutex<Option<u32>>,
}

impl Group {
    /// Lets a ring join. It gets its share from here on.
    pub(super) fn join(&self, ring: BorrowedFd<'_>) -> io::Result<()> {
        let mut known = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        match *known {
            Some(number) => set(ring, PACKET_FANOUT, &(number | BY_PROGRAM << 16))?,
            None => {
                set(ring, PACKET_FANOUT, &((BY_PROGRAM | UNIQUE) << 16))?;
                *known = Some(number_of(ring)? & 0xffff);
            }
        }
        // A group that all had left begins anew, without a program.
        let program = by_addresses();
        let pointed = libc::sock_fprog {
            len: u16::try_from(program.len()).unwrap_or(u16::MAX),
            filter: program.as_ptr().cast_mut(),
        };
        set(ring, PACKET_FANOUT_DATA, &pointed)
    }
}

#[expect(
    unsafe_code,
    reason = "no crate offers these options of a packet socket"
)]
fn set<T>(ring: BorrowedFd<'_>, option: i32, value: &T) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: the descriptor is open while it is borrowed; the kernel reads `size` octets at
    // `value`, which is as large and outlives the call, as does what it points at.
    let done = unsafe {
        libc::setsockopt(
            ring.as_raw_fd(),
            SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            size,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[expect(unsafe_code, reason = "no crate offers this option of a packet socket")]
fn number_of(ring: BorrowedFd<'_>) -> io::Result<u32> {
    let mut value = 0u32;
    let mut size = libc::socklen_t::try_from(size_of::<u32>()).unwrap_or(0);
    // SAFETY: the descriptor is open while it is borrowed; the kernel writes at most `size`
    // octets, which is what `value` holds.
    let done = unsafe {
        libc::getsockopt(
            ring.as_raw_fd(),
            SOL_PACKET,
            PACKET_FANOUT,
            std::ptr::from_mut(&mut value).cast(),
            &raw mut size,
        )
    };
    if done == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}

const LOAD_HALF: u16 = 0x28;
const LOAD_WORD: u16 = 0x20;
const KEEP: u16 = 0x02;
const FETCH: u16 = 0x61;
const IF_EQUAL: u16 = 0x15;
const XOR_FETCHED: u16 = 0xac;
const TIMES: u16 = 0x24;
const SHIFT_RIGHT: u16 = 0x74;
const GIVE: u16 = 0x16;
const GIVE_NUMBER: u16 = 0x06;

/// The program: a number from the two addresses, whichever of them comes first. Frames without
/// addresses of IP directly below at most two tags all get the same.
fn by_addresses() -> Vec<libc::sock_filter> {
    let mut program = Program::default();
    program.put(LOAD_HALF, KNOWN_PROTOCOL);
    program.branches(0);
    // A tag that the kernel left in place: what is below it.
    for kind in [0x8100, 0x88a8] {
        program.when(kind, |program| {
            program.put(LOAD_HALF, NETWORK + 2);
            program.branches(4);
        });
    }
    program.put(GIVE_NUMBER, 0);
    program.list
}

#[derive(Default)]
struct Program {
    list: Vec<libc::sock_filter>,
}

impl Program {
    fn put(&mut self, code: u16, k: u32) {
        self.list.push(libc::sock_filter {
            code,
            jt: 0,
            jf: 0,
            k,
        });
    }

    /// What is done where the number at hand is `value`.
    fn when(&mut self, value: u32, then: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        then(&mut inner);
        inner.put(GIVE_NUMBER, 0);
        self.list.push(libc::sock_filter {
            code: IF_EQUAL,
            jt: 0,
            jf: u8::try_from(inner.list.len()).unwrap_or(u8::MAX),
            k: value,
        });
        self.list.append(&mut inner.list);
    }

    /// The addresses of either version, the header of which begins `at` octets further on.
    fn branches(&mut self, at: u32) {
        self.when(0x0800, |program| program.mix(at + 12, 2));
        self.when(0x86dd, |program| program.mix(at + 8, 8));
    }

    /// A number from `words` words that stays the same when both halves change places.
    fn mix(&mut self, from: u32, words: u32) {
        self.put(LOAD_WORD, NETWORK + from);
        for word in 1..words {
            self.put(KEEP, 0);
            self.put(LOAD_WORD, NETWORK + from + 4 * word);
            self.put(FETCH, 0);
            self.put(XOR_FETCHED, 0);
        }
        // Neighbours differ in the last bits; spread them, and use the high ones.
        self.put(TIMES, 0x9e37_79b1);
        self.put(SHIFT_RIGHT, 12);
        self.put(GIVE, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program gives for a packet, read as the kernel reads it.
    fn share(protocol: u16, network: &[u8]) -> u32 {
        let (mut a, mut x, mut kept) = (0u32, 0u32, 0u32);
        let program = by_addresses();
        let mut at = 0;
        loop {
            let step = program[at];
            at += 1;
            let load = |len: usize| {
                let from = (step.k - NETWORK) as usize;
                network[from..from + len]
                    .iter()
                    .fold(0u32, |n, octet| n << 8 | u32::from(*octet))
            };
            match step.code {
                LOAD_HALF if step.k == KNOWN_PROTOCOL => a = u32::from(protocol),
                LOAD_HALF => a = load(2),
                LOAD_WORD => a = load(4),
                KEEP => kept = a,
                FETCH => x = kept,
                XOR_FETCHED => a ^= x,
                TIMES => a = a.wrapping_mul(step.k),
                SHIFT_RIGHT => a >>= step.k,
                IF_EQUAL if a == step.k => at += usize::from(step.jt),
                IF_EQUAL => at += usize::from(step.jf),
                GIVE => return a,
                GIVE_NUMBER => return step.k,
                code => panic!("{code:#x}"),
            }
        }
    }

    fn ipv4(from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        [&[0x45; 12][..], &from, &to].concat()
    }

    fn ipv6(from: u8, to: u8) -> Vec<u8> {
        let address = |last| [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[last]].concat();
        [&[0x60; 8][..], &address(from), &address(to)].concat()
    }

    #[test]
    fn both_directions_of_a_pair_get_the_same_and_pairs_are_spread() {
        let pair = |last| {
            (
                ipv4([10, 0, 0, last], [192, 0, 2, 1]),
                ipv4([192, 0, 2, 1], [10, 0, 0, last]),
            )
        };
        let mut shares = [0; 2];
        for last in 0..=255 {
            let (there, back) = pair(last);
            assert_eq!(share(0x0800, &there), share(0x0800, &back));
            shares[(share(0x0800, &there) % 2) as usize] += 1;
        }
        assert!(shares[0] > 80 && shares[1] > 80, "{shares:?}");
        assert_eq!(share(0x86dd, &ipv6(1, 2)), share(0x86dd, &ipv6(2, 1)));
        assert_ne!(share(0x86dd, &ipv6(1, 2)), share(0x86dd, &ipv6(1, 3)));
    }

    #[test]
    fn a_tag_changes_nothing_and_what_has_no_address_goes_one_way() {
        let plain = ipv4([10, 0, 0, 7], [192, 0, 2, 1]);
        let tagged = [&[0, 10, 0x08, 0][..], &plain].concat();
        assert_eq!(share(0x8100, &tagged), share(0x0800, &plain));
        assert_eq!(share(0x88a8, &tagged), share(0x0800, &plain));
        assert_eq!((share(0x0806, &plain), share(0x8864, &plain)), (0, 0));
    }
}
