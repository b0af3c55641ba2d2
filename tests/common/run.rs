//! The two commands in memory: octets of a capture in, what `analyze` and `decode` print out.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code; each test uses a part of it"
)]

use std::io::Cursor;

use serde_json::Value;
use vpnscope::assemble::ip;
use vpnscope::desk::Desk;
use vpnscope::dissect::streams;
use vpnscope::render::{text, tree};
use vpnscope::report::decode::{Builder, FrameReport, Secrets, wire_len};
use vpnscope::report::{self, Report, Summary};
use vpnscope::source::file::FileSource;
use vpnscope::source::{Frame, FrameSource, LinkType, Statistics};
use vpnscope::time::Timestamp;
use vpnscope::track::{self, Change, Event};
use vpnscope::walk::{Front, Walk};

/// A frame that owns its octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    pub time: Timestamp,
    pub link: LinkType,
    pub octets: Vec<u8>,
    pub wire_len: u32,
}

impl Owned {
    /// An Ethernet frame of one UDP datagram, at second `no` of the epoch.
    pub fn as_frame(&self, no: u64) -> Frame<'_> {
        Frame {
            capture: 0,
            no,
            time: self.time,
            link: self.link,
            octets: &self.octets,
            wire_len: self.wire_len,
            interface: 0,
        }
    }
}

/// All frames of a capture.
pub fn frames(octets: &[u8]) -> Vec<Owned> {
    let Ok(mut source) = FileSource::new("memory", Cursor::new(octets.to_vec()), 0) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    while let Some(frame) = source.next_frame() {
        all.push(Owned {
            time: frame.time,
            link: frame.link,
            octets: frame.octets.to_vec(),
            wire_len: frame.wire_len,
        });
    }
    all
}

/// Collects what the walk finds.
struct Analysis {
    walk: Walk,
    desk: Desk,
    summary: Summary,
    filed: Vec<vpnscope::desk::Filed>,
}

impl Analysis {
    fn new() -> Self {
        Self {
            walk: Walk::new(ip::Config::default(), track::Config::default()),
            desk: Desk::new(None),
            summary: Summary::default(),
            filed: Vec::new(),
        }
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        self.walk.frame(frame);
        while let Some(Change::Closed(session)) = self.walk.poll() {
            self.filed.push(self.desk.close(session));
        }
    }

    fn finish(mut self, statistics: &Statistics) -> Report {
        self.walk.finish();
        self.desk.capture_ended(statistics);
        let mut last = Vec::new();
        while let Some(Change::Closed(session)) = self.walk.poll() {
            last.push(session);
        }
        self.filed.extend(self.desk.close_all(last));
        self.filed.sort_by_key(|filed| filed.session.id);
        for filed in &self.filed {
            self.summary
                .count(filed.session.kind.word(), &filed.verdict);
        }
        let counters = self.walk.track_counters();
        Report {
            schema: report::SCHEMA,
            captures: vec![report::capture(
                statistics,
                counters.copies,
                self.walk.counters().undecodable,
            )],
            sessions: self
                .filed
                .iter()
                .map(|filed| report::session(filed.session.id, &filed.session, &filed.verdict))
                .collect(),
            summary: self.summary,
            expected: Vec::new(),
            hints: Vec::new(),
        }
    }
}

/// What `analyze` would report of a capture, or why it is none.
pub fn analyze_octets(octets: &[u8]) -> Result<Report, String> {
    let mut source = FileSource::new("memory", Cursor::new(octets.to_vec()), 0)
        .map_err(|error| error.to_string())?;
    let mut analysis = Analysis::new();
    while let Some(frame) = source.next_frame() {
        analysis.frame(&frame);
    }
    Ok(analysis.finish(source.statistics()))
}

/// What `analyze` would report of these frames.
pub fn analyze_frames(frames: &[Owned]) -> Report {
    let mut analysis = Analysis::new();
    let mut statistics = Statistics::new("memory", vpnscope::source::Format::Pcap);
    for (no, frame) in (1u64..).zip(frames) {
        analysis.frame(&frame.as_frame(no));
        statistics.frames = no;
    }
    analysis.finish(&statistics)
}

/// What `decode` would print of these frames.
pub fn decode_frames(frames: &[Owned]) -> Vec<FrameReport> {
    let streams = streams::Config {
        waits: false,
        ..streams::Config::default()
    };
    let mut front = Front::with(ip::Config::default(), streams);
    let mut all = Vec::new();
    for (no, frame) in (1u64..).zip(frames) {
        let mut builder = Builder::default();
        front.frame(&frame.as_frame(no), &mut |event: &Event<'_>| {
            builder.add(event, wire_len(event.envelope), Secrets(true));
        });
        all.extend(builder.take());
    }
    all
}

/// The lines of `decode --format ndjson` as values.
pub fn decode_values(frames: &[Owned]) -> Vec<Value> {
    decode_frames(frames)
        .iter()
        .map(|report| serde_json::to_value(report).expect("serialises"))
        .collect()
}

/// The text of `analyze`.
pub fn report_text(report: &Report) -> String {
    let mut out = Vec::new();
    text::report(&mut out, report, text::Style { colour: false }).expect("memory does not fail");
    String::from_utf8(out).expect("the text is UTF-8")
}

/// The text of `decode`.
pub fn decode_text(frames: &[FrameReport]) -> String {
    let mut out = Vec::new();
    for frame in frames {
        tree::frame(&mut out, frame).expect("memory does not fail");
    }
    String::from_utf8(out).expect("the text is UTF-8")
}
