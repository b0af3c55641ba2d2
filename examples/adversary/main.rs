//! Writes a capture of nothing but attacks to standard output, made on the fly:
//! `adversary [PACKETS] [SEED] [KINDS] | vpnscope analyze --summary -`.
//!
//! Everything is half-open and from ever new addresses, ports and identifiers: random octets,
//! beginnings of right messages, fragments that are never completed, SPIs, cookies and tunnels
//! that occur once, connections that send ahead of a hole. `KINDS` is a list of letters; all of
//! them where it is missing, and a list of what there is where none is known.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a generator: what it makes is what it means to make"
)]

mod attacks;

use std::io::{self, BufWriter, Write};

use attacks::{KINDS, Random};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |or: u64| {
        let text = arguments.next();
        text.and_then(|text| text.parse().ok()).unwrap_or(or)
    };
    let (packets, seed) = (number(1_000_000), number(1));
    let kinds = attacks::kinds(arguments.next().as_deref());
    if kinds.is_empty() {
        eprintln!("usage: adversary [PACKETS] [SEED] [KINDS], of");
        for (letter, what, _) in KINDS {
            eprintln!("  {letter}  {what}");
        }
        return Ok(());
    }
    let mut random = Random(seed);
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    out.write_all(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
    out.write_all(&[0, 0, 4, 0, 1, 0, 0, 0])?;
    for no in 0..packets {
        let kind = kinds[random.below(kinds.len() as u64) as usize];
        let frame = kind(&mut random);
        let micros = attacks::time_of(no) / 1000;
        let len = frame.len() as u32;
        let time = [(micros / 1_000_000) as u32, (micros % 1_000_000) as u32];
        for value in [time[0], time[1], len, len] {
            out.write_all(&value.to_le_bytes())?;
        }
        out.write_all(&frame)?;
    }
    out.flush()
}
