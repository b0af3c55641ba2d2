//! Captures: the files that were read, and clients that should have shown up in them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::source::{Format, Statistics};

/// A client that should have shown up.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExpectedReport {
    /// Its address.
    pub client: String,
    /// Whether anything came from it.
    pub arrived: bool,
    /// Frames from it.
    pub frames_from: u64,
    /// Frames to it.
    pub frames_to: u64,
    /// Capture of the first of them.
    pub first_capture: Option<u16>,
    /// The first of them.
    pub first_frame: Option<u64>,
    /// All frames that were looked at: proof that the capture works.
    pub frames_looked_at: u64,
    /// Other addresses that sent some of them.
    pub other_senders: u64,
    /// From when.
    pub since: Option<String>,
    /// To when.
    pub until: Option<String>,
    /// The same as a sentence.
    pub says: String,
}

/// One input.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CaptureReport {
    /// File name, `-` or interface.
    pub file: String,
    /// `pcap`, `pcapng` or `live`.
    pub format: &'static str,
    /// Link types met, as pcap numbers them.
    pub link_types: Vec<u16>,
    /// Frames read.
    pub frames: u64,
    /// Octets captured.
    pub bytes: u64,
    /// Time of the first frame, UTC, RFC 3339.
    pub first: Option<String>,
    /// Latest time of any frame.
    pub last: Option<String>,
    /// Capture filter, where the file names one.
    pub filter: Option<String>,
    /// Frames the capturing host dropped, where known.
    pub dropped: Option<u64>,
    /// Frames cut by snaplen.
    pub truncated_frames: u64,
    /// Copies made by a span port.
    pub duplicated_frames: u64,
    /// Frames that could not be decoded.
    pub undecodable_frames: u64,
    /// Datagrams on the ports of IKE and L2TP that are something else.
    pub unclassified_frames: u64,
    /// What was wrong, and where.
    pub problems: Vec<ProblemReport>,
}

/// Something wrong with an input.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ProblemReport {
    /// Octet offset in the input.
    pub offset: Option<u64>,
    /// Frame number.
    pub frame: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// The report of one input.
pub fn capture(statistics: &Statistics, duplicated: u64, undecodable: u64) -> CaptureReport {
    let mut problems: Vec<_> = statistics
        .problems
        .iter()
        .map(|p| ProblemReport {
            offset: p.offset,
            frame: p.frame,
            what: p.what.clone(),
        })
        .collect();
    if statistics.problems_not_kept > 0 {
        let what = format!("{} more problems like these", statistics.problems_not_kept);
        problems.push(ProblemReport {
            offset: None,
            frame: None,
            what,
        });
    }
    CaptureReport {
        file: statistics.name.clone(),
        format: match statistics.format {
            Format::Pcap => "pcap",
            Format::PcapNg => "pcapng",
            Format::Live => "live",
        },
        link_types: statistics.link_types.iter().map(|link| link.0).collect(),
        frames: statistics.frames,
        bytes: statistics.bytes,
        first: statistics.first.map(|time| time.to_string()),
        last: statistics.last.map(|time| time.to_string()),
        filter: statistics.filter.clone(),
        dropped: statistics.dropped,
        truncated_frames: statistics.truncated_frames,
        duplicated_frames: duplicated,
        undecodable_frames: undecodable,
        unclassified_frames: 0,
        problems,
    }
}
