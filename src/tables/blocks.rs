//! Records in blocks: a list that grows without moving what it holds, so that it never takes twice
//! its room for a moment.

/// Records that are told by their place, so many to a block: a power of two, for each look-up
/// divides by it.
#[derive(Debug)]
pub(crate) struct Blocks<T, const EACH: usize = 256> {
    /// None is empty, and all but the last are full.
    each: Vec<Vec<T>>,
    len: usize,
}

impl<T, const EACH: usize> Default for Blocks<T, EACH> {
    fn default() -> Self {
        Self {
            each: Vec::new(),
            len: 0,
        }
    }
}

impl<T, const EACH: usize> Blocks<T, EACH> {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// For how many there is room.
    pub(crate) const fn room(&self) -> usize {
        self.each.len() * EACH
    }

    /// Octets that they take.
    pub(crate) const fn octets(&self) -> usize {
        self.room() * size_of::<T>()
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        let at = at as usize;
        self.each.get(at / EACH)?.get(at % EACH)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let at = at as usize;
        self.each.get_mut(at / EACH)?.get_mut(at % EACH)
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.each.iter().flatten()
    }

    /// All of them, in order, to change.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.each.iter_mut().flatten()
    }

    /// The blocks that they are in.
    pub(crate) fn into_blocks(self) -> Vec<Vec<T>> {
        self.each
    }

    /// Adds one, and gives its place.
    pub(crate) fn push(&mut self, record: T) -> u32 {
        match self.each.last_mut() {
            Some(block) if block.len() < EACH => block.push(record),
            _ => {
                let mut block = Vec::with_capacity(EACH);
                block.push(record);
                self.each.push(block);
            }
        }
        self.len += 1;
        u32::try_from(self.len - 1).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_where_it_was_put() {
        let mut blocks = Blocks::<u32>::default();
        for n in 0..1000_u32 {
            assert_eq!(blocks.push(n * 3), n);
        }
        if let Some(record) = blocks.get_mut(700) {
            *record = 7;
        }
        let all: Vec<u32> = (0..1000).filter_map(|at| blocks.get(at).copied()).collect();
        let expected = |n: u32| if n == 700 { 7 } else { n * 3 };
        assert_eq!(all, (0..1000).map(expected).collect::<Vec<_>>());
        assert_eq!((blocks.len(), blocks.get(1000)), (1000, None));
        assert_eq!(blocks.octets(), 1024 * size_of::<u32>());
        assert!(blocks.iter().eq(&all));
        assert!(blocks.iter_mut().map(|record| *record).eq(all));
        let each = blocks.into_blocks();
        assert!(each.iter().map(Vec::len).eq([256, 256, 256, 232]));
    }

    #[test]
    fn a_place_that_no_list_reaches_is_none_of_it() {
        let mut blocks = Blocks::<u8, 4>::default();
        assert_eq!((blocks.get(0), blocks.get(u32::MAX)), (None, None));
        blocks.push(9);
        assert_eq!((blocks.get(0), blocks.get(u32::MAX)), (Some(&9), None));
        assert_eq!(blocks.get_mut(u32::MAX), None);
    }
}
