//! Sets of values as hashes, sorted, with an index over their first bits.
//!
//! Two million rows take 32 MiB, and a look touches a few neighbouring entries.

/// What a set holds: something uniformly distributed whose leading bits can be had.
pub(super) trait Digest: Copy + Ord {
    fn leading(self) -> u64;
}

impl Digest for u128 {
    fn leading(self) -> u64 {
        u64::try_from(self >> 64).expect("the upper half has 64 bits")
    }
}

impl Digest for u64 {
    fn leading(self) -> u64 {
        self
    }
}

/// Entries that share an index cell, about.
const CELL_ENTRIES: usize = 8;
const CELL_BITS_MAX: u32 = 22;

/// A set that is complete.
#[derive(Debug, Clone, Default)]
pub(super) struct Digests<T> {
    entries: Vec<T>,
    /// Where each cell begins, and one more for the end.
    cells: Vec<u32>,
    bits: u32,
}

impl<T: Digest> Digests<T> {
    /// Of entries in any order; equal ones count once.
    pub(super) fn new(mut entries: Vec<T>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        Self::sorted(entries)
    }

    /// Of entries that are sorted and differ.
    pub(super) fn sorted(entries: Vec<T>) -> Self {
        let wanted = (entries.len() / CELL_ENTRIES).max(1);
        let bits = wanted.ilog2().min(CELL_BITS_MAX);
        let count = 1_usize << bits;
        let mut cells = Vec::with_capacity(count + 1);
        let mut at = 0;
        for cell in 0..count {
            while at < entries.len() && cell_of(entries[at], bits) < cell {
                at += 1;
            }
            cells.push(u32::try_from(at).expect("a set has fewer than 2^32 entries"));
        }
        cells.push(u32::try_from(entries.len()).expect("a set has fewer than 2^32 entries"));
        Self { entries, cells, bits }
    }

    /// Where the entry is.
    pub(super) fn position(&self, entry: T) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        let cell = cell_of(entry, self.bits);
        let place = |cell: usize| usize::try_from(self.cells[cell]).expect("an index fits");
        let (from, to) = (place(cell), place(cell + 1));
        self.entries[from..to].binary_search(&entry).ok().map(|found| from + found)
    }

    pub(super) fn contains(&self, entry: T) -> bool {
        self.position(entry).is_some()
    }
}

fn cell_of<T: Digest>(entry: T, bits: u32) -> usize {
    let cell = entry.leading().checked_shr(64 - bits).unwrap_or(0);
    usize::try_from(cell).expect("a cell's number has few bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_nothing_else() {
        for count in [0_u64, 1, 7, 8, 100, 10_000] {
            let spread = |n: u64| {
                u128::from_le_bytes(blake3::hash(&n.to_le_bytes()).as_bytes()[..16].try_into().unwrap())
            };
            let set = Digests::new((0..count).chain(0..count).map(spread).collect());
            assert!((0..count).all(|n| set.contains(spread(n))));
            assert!((count..count + 1000).all(|n| !set.contains(spread(n))));
        }
        let edges = Digests::new(vec![0, u64::MAX, 1]);
        assert!(edges.contains(0) && edges.contains(u64::MAX) && !edges.contains(2));
    }
}
