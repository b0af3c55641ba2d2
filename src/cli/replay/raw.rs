//! `vpnscope replay --raw`: recorded frames onto an interface.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::net::IpAddr;

use anyhow::bail;

use super::load::standard_input;
use super::record::Record;
use super::{Args, consent, tell};
use crate::assemble::Hints;
use crate::cli::{Exit, Format, output};
use crate::replay::rewrite::Rewrite;
use crate::replay::{drive, recording};
use crate::report::replay as model;
use crate::source::{Frame, FrameSource, file};
use crate::time::{Span, Timestamp};
use crate::track::Session;

/// Frames to send, and what stays behind.
#[derive(Default)]
struct Picked {
    frames: Vec<(Timestamp, Vec<u8>)>,
    octets: usize,
    /// What they take here.
    held: usize,
    /// Of a link that cannot become Ethernet.
    unsendable: u64,
    /// Cut by the capture: they are sent as short as they are.
    cut: u64,
}

/// Sends recorded frames.
pub(super) fn raw(args: &Args, interface: &str) -> anyhow::Result<Exit> {
    let picked = picked(args)?;
    output::complain(&format!(
        "vpnscope: {} frames ({} octets) go to {interface}, {} times",
        picked.frames.len(),
        picked.octets,
        args.loops
    ));
    for (count, what) in [
        (
            picked.unsendable,
            "are of a link that cannot become Ethernet: not sent",
        ),
        (
            picked.cut,
            "are cut short in the capture, and sent as short as they are",
        ),
    ] {
        if count > 0 {
            output::complain(&format!("vpnscope: {count} frames {what}"));
        }
    }
    if args.dry_run || args.show_script {
        let mut out = output::open(args.common.output.as_deref())?;
        for (time, octets) in &picked.frames {
            writeln!(out, "{time} {}", vpnscope_dissectors::Octets(octets))?;
        }
        output::close(out)?;
        return Ok(Exit::Clean);
    }
    if picked.frames.is_empty() {
        bail!("the capture holds no frame to send");
    }
    let mut line = drive::raw::Interface::open(interface)?;
    consent(args)?;
    let mut record = Record::create(args.record.as_deref())?;
    let speed = drive::raw::Speed {
        rate: args.rate,
        loops: args.loops,
        patience: args.timeout.map(|s| Span::from_secs(i64::from(s))),
    };
    let sent = line.send(&picked.frames, speed, &mut |time, octets| {
        record.raw(time, octets);
    });
    record.finish()?;
    let all = sent.refused == 0 && !sent.cut_off;
    let late = if sent.cut_off { "; time was up" } else { "" };
    let why = format!(
        "sent {} frames, {} octets; {} were not taken{late}",
        sent.frames, sent.octets, sent.refused
    );
    if args.format == Format::Text {
        let mut out = output::open(args.common.output.as_deref())?;
        writeln!(out, "{why}")?;
        output::close(out)?;
    } else {
        let session = args.session.unwrap_or_default();
        tell::write(args, &[model::frames(session, interface, all, why)])?;
    }
    Ok(if all { Exit::Clean } else { Exit::Trouble })
}

/// The frames of one session, or of all, rewritten.
fn picked(args: &Args) -> anyhow::Result<Picked> {
    if args.file.as_os_str() == "-" {
        let octets = standard_input()?;
        let open = || file::FileSource::new("-", std::io::Cursor::new(octets.clone()), 0);
        return pick(args, &mut open()?, &mut open()?);
    }
    let open = || file::open(&args.file, 0);
    pick(args, &mut open()?, &mut open()?)
}

fn pick(
    args: &Args,
    first: &mut impl FrameSource,
    second: &mut impl FrameSource,
) -> anyhow::Result<Picked> {
    /// Octets that frames may take here: they stand in memory.
    const MOST: usize = 192 << 20;
    let wanted = wanted(args, first)?;
    let rewrite = Rewrite {
        mappings: args.map.clone(),
        source_mac: args.source_mac,
        destination_mac: args.destination_mac,
    };
    let mut picked = Picked::default();
    while let Some(frame) = second.next_frame() {
        if !wanted.takes(&frame) {
            continue;
        }
        let Some(rewritten) = rewrite.apply(&frame) else {
            picked.unsendable += 1;
            continue;
        };
        picked.cut += u64::from(frame.octets.len() < frame.wire_len as usize);
        picked.octets += rewritten.len();
        picked.held += rewritten.len() + size_of::<(Timestamp, Vec<u8>)>();
        if picked.held > MOST {
            bail!("frames of more than {MOST} octets: choose a session");
        }
        picked.frames.push((frame.time, rewritten));
    }
    Ok(picked)
}

/// What is sent of a capture.
fn wanted(args: &Args, source: &mut impl FrameSource) -> anyhow::Result<Wanted> {
    let walk = args.common.budgets.walk(0, Hints::default());
    let sessions = recording::sessions_and(source, args.session, walk);
    let chosen = match args.session {
        Some(_) => vec![recording::choose(&sessions, args.session)?],
        None => sessions.iter().collect(),
    };
    Ok(Wanted::of(&chosen))
}

/// First and last frame of a stretch.
type Stretch = (u64, u64);

/// Which frames belong to the chosen sessions.
#[derive(Default)]
struct Wanted {
    /// Those that the sessions name.
    named: HashSet<u64>,
    /// While which frames sessions went on between two addresses, the lower one first. In
    /// order, and no two of a pair overlap: a frame is asked of one, however many there are.
    between: HashMap<(IpAddr, IpAddr), Vec<Stretch>>,
}

impl Wanted {
    fn of(chosen: &[&Session]) -> Self {
        let mut wanted = Self::default();
        for session in chosen {
            for step in &session.steps {
                let sightings = step.sightings().map(crate::track::Stamp::frame);
                wanted.named.extend(sightings);
                wanted.named.extend(step.frames.iter().copied());
            }
            let stretch = (session.first.frame(), session.last.frame());
            wanted.add(session.client.ip, session.gateway.ip, stretch);
        }
        wanted.settle();
        wanted
    }

    fn add(&mut self, a: IpAddr, b: IpAddr, stretch: Stretch) {
        self.between.entry(ordered(a, b)).or_default().push(stretch);
    }

    /// Joins what overlaps.
    fn settle(&mut self) {
        for stretches in self.between.values_mut() {
            stretches.sort_unstable();
            stretches.dedup_by(|next, kept| {
                let joins = next.0 <= kept.1.saturating_add(1);
                if joins {
                    kept.1 = kept.1.max(next.1);
                }
                joins
            });
        }
    }

    /// Whether a frame is named, or went between the ends of a session while it lasted,
    /// fragments included.
    fn takes(&self, frame: &Frame<'_>) -> bool {
        if self.named.contains(&frame.no) {
            return true;
        }
        let envelope = crate::decap::decap(frame).envelope;
        self.falls(envelope.source, envelope.destination, frame.no)
    }

    /// Whether a session went on between two addresses when a frame came.
    fn falls(&self, a: IpAddr, b: IpAddr, no: u64) -> bool {
        // A session may have one address at both of its ends.
        [ordered(a, b), (a, a), (b, b)]
            .iter()
            .filter_map(|pair| self.between.get(pair))
            .any(|stretches| {
                let before = stretches.partition_point(|(first, _)| *first <= no);
                let last = before.checked_sub(1).and_then(|at| stretches.get(at));
                last.is_some_and(|(_, last)| no <= *last)
            })
    }
}

fn ordered(a: IpAddr, b: IpAddr) -> (IpAddr, IpAddr) {
    (a.min(b), a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_falls_into_a_session_as_if_each_was_asked() {
        let address = |n: u64| IpAddr::from([10, 0, 0, u8::try_from(n % 4).unwrap()]);
        let mut random = 7u64;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        let mut taken = 0;
        for _ in 0..200 {
            let mut wanted = Wanted::default();
            let mut all = Vec::new();
            for _ in 0..next(12) {
                let (a, b, from) = (address(next(4)), address(next(4)), next(90));
                let stretch = (from, from + next(10));
                wanted.add(a, b, stretch);
                all.push((a, b, stretch));
            }
            wanted.settle();
            for no in 0..100 {
                let (x, y) = (address(next(4)), address(next(4)));
                let ends = [x, y];
                let one = all.iter().any(|(a, b, (first, last))| {
                    ends.contains(a) && ends.contains(b) && (*first..=*last).contains(&no)
                });
                assert_eq!(wanted.falls(x, y, no), one);
                taken += usize::from(one);
            }
        }
        assert!(taken > 500);
    }
}
