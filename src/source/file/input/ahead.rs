//! Reads ahead on a thread of its own, so that waiting for octets and copying them out of the
//! system's cache cost the walk nothing.
//!
//! Blocks travel whole: each has room before its octets for what is left of the one before it.

use std::io::{self, ErrorKind, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Octets of room before those of a block: longer than nearly every record.
pub(super) const ROOM: usize = 64 << 10;
/// Octets in a block.
const BLOCK: usize = 256 << 10;
/// Blocks on the way.
const BLOCKS: usize = 4;

/// The receiving end.
pub(super) struct Ahead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    used: SyncSender<Vec<u8>>,
}

impl Ahead {
    /// Begins to read.
    pub(super) fn new(reader: impl Read + Send + 'static) -> io::Result<Self> {
        let (blocks, received) = sync_channel(BLOCKS);
        let (used, reuse) = sync_channel(BLOCKS + 2);
        let work = move || pump(reader, &blocks, &reuse);
        thread::Builder::new().name("read".into()).spawn(work)?;
        Ok(Self {
            blocks: received,
            used,
        })
    }

    /// The next block, its octets after the room; `None` at the end.
    pub(super) fn next(&self) -> Option<io::Result<Vec<u8>>> {
        self.blocks.recv().ok()
    }

    /// Gives a block back to be filled again; one too many is simply freed.
    pub(super) fn give_back(&self, block: Vec<u8>) {
        drop(self.used.try_send(block));
    }
}

/// Gives whatever each read brings, so that nothing waits for a block to be full.
fn pump(
    mut reader: impl Read,
    blocks: &SyncSender<io::Result<Vec<u8>>>,
    reuse: &Receiver<Vec<u8>>,
) {
    loop {
        let mut block = reuse.try_recv().unwrap_or_default();
        block.resize(ROOM + BLOCK, 0);
        match reader.read(block.get_mut(ROOM..).unwrap_or_default()) {
            Ok(0) => return,
            Ok(n) => {
                block.truncate(ROOM + n);
                if blocks.send(Ok(block)).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return drop(blocks.send(Err(error))),
        }
    }
}
