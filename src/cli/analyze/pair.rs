//! One file on two threads: one reads frames, the other one tracks what is in them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::{Choice, Watcher};
use crate::source::FrameSource;
use crate::source::file::FileSource;
use crate::walk::{Giving, Load, Walk};

/// Loads on the way.
const LOADS: usize = 4;
/// After so many loads it is told how far the file was read.
const TOLD_EACH: usize = 64;

/// Walks what is left of a file. `false` where there is no other thread to be had, and nothing was
/// done.
pub(super) fn walk<W: Watcher>(
    source: &mut FileSource,
    choice: &Choice,
    walk: &mut Walk,
    watcher: &mut W,
) -> Result<bool, W::Error> {
    let (giving, mut taking) = walk.halves();
    let (full, loads) = sync_channel(LOADS);
    let (used, empty) = sync_channel(LOADS + 2);
    thread::scope(|scope| {
        let read = move || read(source, choice, giving, &full, &empty);
        let builder = thread::Builder::new().name("front".into());
        if builder.spawn_scoped(scope, read).is_err() {
            return Ok(false);
        }
        for (number, (mut load, offset)) in (1..).zip(loads) {
            taking.take(&load, |session| watcher.over(session))?;
            load.clear();
            // One too many is simply freed.
            drop(used.try_send(load));
            if number % TOLD_EACH == 0 {
                watcher.at(offset)?;
            }
        }
        Ok(true)
    })
}

/// Reads frames to the end of the file, or until nobody wants to know.
fn read(
    source: &mut FileSource,
    choice: &Choice,
    mut giving: Giving<'_>,
    full: &SyncSender<(Load, u64)>,
    empty: &Receiver<Load>,
) {
    while let Some(frame) = source.next_frame() {
        if choice.takes_frame(frame.time) && giving.frame(&frame) {
            let load = giving.hand_over(empty.try_recv().unwrap_or_default());
            if full.send((load, source.offset())).is_err() {
                return;
            }
        }
    }
    let last = giving.hand_over(Load::default());
    // Where nobody takes it, nobody wants it.
    drop(full.send((last, source.offset())));
}
