//! Places in one long stretch of memory: the first hole that is large enough, so that what is long-lived gathers at the start.

use std::collections::BTreeMap;

/// Which parts of a stretch that begins at 0 are taken.
#[derive(Debug)]
pub(super) struct Heap {
    /// Holes below `end`: start and length. No two of them touch.
    holes: BTreeMap<usize, usize>,
    /// What is taken: start and length.
    taken: BTreeMap<usize, usize>,
    /// End of what is taken.
    end: usize,
    /// Length of the stretch.
    limit: usize,
}

impl Heap {
    /// A stretch of which nothing is taken.
    pub(super) fn new(limit: usize) -> Self {
        Self { holes: BTreeMap::new(), taken: BTreeMap::new(), end: 0, limit }
    }

    /// Takes a place of a length above 0 and gives its start; none where it does not fit.
    pub(super) fn take(&mut self, length: usize) -> Option<usize> {
        let found = self.holes.iter().find(|(_, hole)| **hole >= length).map(|(start, hole)| (*start, *hole));
        let Some((start, hole)) = found else {
            let start = self.end;
            self.end = start.checked_add(length).filter(|end| *end <= self.limit)?;
            self.taken.insert(start, length);
            return Some(start);
        };
        self.holes.remove(&start);
        if hole > length {
            self.holes.insert(start + length, hole - length);
        }
        self.taken.insert(start, length);
        Some(start)
    }

    /// Gives a place back by its start; one that nobody took is passed over.
    pub(super) fn give(&mut self, start: usize) {
        let Some(length) = self.taken.remove(&start) else { return };
        let (mut from, mut to) = (start, start + length);
        if let Some((before, hole)) = self.holes.range(..start).next_back().map(|(start, hole)| (*start, *hole))
            && before + hole == start
        {
            self.holes.remove(&before);
            from = before;
        }
        if let Some(hole) = self.holes.remove(&to) {
            to += hole;
        }
        if to == self.end {
            self.end = from;
        } else {
            self.holes.insert(from, to - from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hole_that_is_large_enough_is_taken() {
        let mut heap = Heap::new(60);
        let starts = [10, 5, 7, 3].map(|length| heap.take(length).unwrap());
        assert_eq!((starts, heap.end), ([0, 10, 15, 22], 25));
        heap.give(10);
        heap.give(0);
        // One hole of 15.
        assert_eq!([heap.take(8), heap.take(8), heap.take(7)], [Some(0), Some(25), Some(8)]);
        heap.give(25);
        heap.give(22);
        heap.give(15);
        // What lies at the end is no hole.
        assert_eq!((heap.take(40), heap.end), (Some(15), 55));
        assert_eq!((heap.take(6), heap.take(usize::MAX), heap.end), (None, None, 55));
        assert!(heap.holes.is_empty());
        // Twice, or what was never taken: nothing happens.
        heap.give(15);
        heap.give(15);
        heap.give(3);
        assert_eq!((heap.end, heap.holes.len()), (15, 0));
    }
}
