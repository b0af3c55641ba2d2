//! Notes problems of an input, with their place, in its [`Statistics`].

use super::input::{End, Input};
use crate::source::{Problem, Statistics};

/// Whether reading goes on after a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    GoesOn,
    Ends,
}

/// A problem at an offset, of the frame that would be the next.
#[cold]
pub(super) fn problem(
    statistics: &mut Statistics,
    offset: u64,
    walk: Walk,
    what: impl Into<String>,
) {
    statistics.note(Problem {
        offset: Some(offset),
        frame: Some(statistics.frames + 1),
        what: what.into(),
        fatal: walk == Walk::Ends,
    });
}

/// The input ended where `announced` octets should follow.
#[cold]
pub(super) fn ended(input: &Input, statistics: &mut Statistics, announced: usize) {
    let (offset, left) = (input.offset(), input.available());
    let end = offset + left as u64;
    match input.end() {
        Some(End::Failed(reason)) => {
            let what = format!("it cannot be read further: {reason}");
            problem(statistics, end, Walk::Ends, what);
        }
        Some(End::CutOff) => {
            let what = "the compressed data stops in its middle";
            problem(statistics, end, Walk::GoesOn, what);
        }
        _ if left > 0 => {
            let what =
                format!("cut off in its last record: {left} of {announced} octets are there");
            problem(statistics, offset, Walk::GoesOn, what);
        }
        _ => {}
    }
}
