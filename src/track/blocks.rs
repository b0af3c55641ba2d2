//! Records in blocks: a list that grows without moving what it holds, so that it never takes twice
//! its room for a moment.

/// Records of a block.
const BLOCK: usize = 256;

/// Records that are told by their place.
#[derive(Debug)]
pub(super) struct Blocks<T> {
    each: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self {
            each: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Blocks<T> {
    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Octets that they take.
    pub(super) const fn octets(&self) -> usize {
        self.each.len() * BLOCK * size_of::<T>()
    }

    #[inline]
    pub(super) fn get(&self, at: u32) -> Option<&T> {
        let at = at as usize;
        self.each.get(at / BLOCK)?.get(at % BLOCK)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let at = at as usize;
        self.each.get_mut(at / BLOCK)?.get_mut(at % BLOCK)
    }

    /// Adds one, and gives its place.
    pub(super) fn push(&mut self, record: T) -> u32 {
        match self.each.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(record),
            _ => {
                let mut block = Vec::with_capacity(BLOCK);
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
        let mut blocks = Blocks::default();
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
    }
}
