//! A queue that grows piece by piece: nothing is moved where it becomes long, and what was given
//! is given back.

use std::collections::VecDeque;

/// A queue.
#[derive(Debug)]
pub(super) struct Line<T> {
    /// None is empty, and all but the first and the last are full.
    pieces: VecDeque<VecDeque<T>>,
    len: usize,
}

/// Entries of a piece.
const PIECE: usize = 256;

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            pieces: VecDeque::new(),
            len: 0,
        }
    }
}

impl<T> Line<T> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push_back(&mut self, entry: T) {
        self.len += 1;
        if let Some(piece) = self.pieces.back_mut()
            && piece.len() < PIECE
        {
            return piece.push_back(entry);
        }
        let mut piece = VecDeque::new();
        if !self.pieces.is_empty() {
            piece.reserve_exact(PIECE);
        }
        piece.push_back(entry);
        self.pieces.push_back(piece);
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let piece = self.pieces.front_mut()?;
        let entry = piece.pop_front();
        // The last one is used again.
        if piece.is_empty() && self.pieces.len() > 1 {
            self.pieces.pop_front();
        }
        self.len -= usize::from(entry.is_some());
        entry
    }

    pub(super) fn pop_back(&mut self) -> Option<T> {
        let piece = self.pieces.back_mut()?;
        let entry = piece.pop_back();
        if piece.is_empty() && self.pieces.len() > 1 {
            self.pieces.pop_back();
        }
        self.len -= usize::from(entry.is_some());
        entry
    }

    pub(super) fn back(&self) -> Option<&T> {
        self.pieces.back()?.back()
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut T> {
        self.pieces.back_mut()?.back_mut()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut T> {
        self.pieces.front_mut()?.front_mut()
    }

    /// All from the entry with this number on.
    pub(super) fn range_mut(&mut self, from: usize) -> impl Iterator<Item = &mut T> {
        let first = self.pieces.front().map_or(0, VecDeque::len);
        let (piece, at) = match from.checked_sub(first) {
            None => (0, from),
            Some(behind) => (1 + behind / PIECE, behind % PIECE),
        };
        let mut at = Some(at);
        let pieces = self.pieces.range_mut(piece.min(self.pieces.len())..);
        pieces.flat_map(move |piece| {
            let from = at.take().unwrap_or(0).min(piece.len());
            piece.range_mut(from..)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_what_it_took_in_order() {
        let mut line = Line::default();
        let (mut put, mut got) = (0, 0);
        for round in 0..40 {
            for _ in 0..round * 37 % 500 {
                line.push_back(put);
                put += 1;
            }
            assert_eq!(line.back().copied(), (got < put).then(|| put - 1));
            assert_eq!(line.front_mut().copied(), (got < put).then_some(got));
            for from in [0, 1, PIECE, line.len() / 2, line.len(), line.len() + 1] {
                let seen = line.range_mut(from).map(|entry| *entry);
                assert!(seen.eq(got + from..put), "from {from} of {}", line.len());
            }
            if round % 5 == 0 && line.pop_back().is_some() {
                put -= 1;
            }
            for _ in 0..round * 53 % 480 {
                let next = line.pop_front();
                assert_eq!(next, (got < put).then_some(got));
                got += usize::from(next.is_some());
            }
            assert_eq!(line.len(), put - got);
            assert_eq!(line.is_empty(), put == got);
            let room: usize = line.pieces.iter().map(VecDeque::capacity).sum();
            assert!(room <= line.len() + 3 * PIECE, "{room} for {}", line.len());
        }
    }
}
