//! Counts rows per second, in a fixed amount of memory, to find the seconds in which many were created.
//!
//! Seconds share small sets of counters, neighbours the same one, since rows that were created together mostly
//! stand together. In a full set the smallest counter gives way, so that crowded seconds stay.
//!
//! Invariants
//! - memory is that of [`SETS_MAX`] sets per table, whatever the table holds;
//! - no second is ever counted fuller than it is.

/// Counters per set.
const SET: usize = 8;
/// Sets of a large table; 12 MiB.
const SETS_MAX: u64 = 1 << 17;
/// Sets of a small one.
const SETS_MIN: u64 = 1 << 12;
/// Rows up to which a counter gives way to another second.
const ROWS_WORN_MAX: u32 = 8;

/// Counters of one table.
#[derive(Debug)]
pub(super) struct Seconds {
    sets: Vec<[Counter; SET]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    /// The low half of the second; a century is enough to tell seconds apart.
    second: u32,
    rows: u32,
    /// Of these, rows that are test data for certain.
    certain: u32,
}

impl Seconds {
    /// Counters for about so many rows.
    pub(super) fn for_rows(estimate: u64) -> Self {
        let sets = (estimate / 8).clamp(SETS_MIN, SETS_MAX).next_power_of_two();
        let sets = usize::try_from(sets).expect("a few thousand fit in a usize");
        Self { sets: vec![[Counter::default(); SET]; sets] }
    }

    /// Counts one row, which may be test data for certain.
    pub(super) fn count(&mut self, at: i64, is_certain: bool) {
        let (set, second) = self.place(at);
        let mut least = &mut Counter::default();
        least.rows = u32::MAX;
        for counter in &mut self.sets[set] {
            if counter.rows > 0 && counter.second == second {
                counter.rows = counter.rows.saturating_add(1);
                counter.certain += u32::from(is_certain);
                return;
            }
            if counter.rows < least.rows {
                least = counter;
            }
        }
        if least.rows < ROWS_WORN_MAX {
            *least = Counter { second, rows: 1, certain: u32::from(is_certain) };
        }
    }

    /// Rows of a second.
    pub(super) fn rows(&self, at: i64) -> u64 {
        let (set, second) = self.place(at);
        let found = self.sets[set].iter().find(|c| c.rows > 0 && c.second == second);
        found.map_or(0, |counter| u64::from(counter.rows))
    }

    /// Rows of each second, and how many of them are test data for certain, where there are any.
    pub(super) fn certain(&self) -> impl Iterator<Item = (u64, u64)> {
        let counters = self.sets.iter().flatten().filter(|c| c.certain > 0);
        counters.map(|c| (u64::from(c.rows), u64::from(c.certain)))
    }

    fn place(&self, at: i64) -> (usize, u32) {
        let low = u32::try_from(at & 0xffff_ffff).expect("32 bits fit in a u32");
        let set = usize::try_from(low >> 3).expect("29 bits fit in a usize") & (self.sets.len() - 1);
        (set, low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowded_second_is_found_among_a_million_single_ones() {
        let mut seconds = Seconds::for_rows(1_000);
        for n in 0..1_000_000_i64 {
            seconds.count(1_700_000_000 + n * 37, false);
            if n % 2_000 == 0 {
                (0..10).for_each(|_| seconds.count(1_710_000_001, true));
            }
        }
        assert_eq!(seconds.rows(1_710_000_001), 5_000);
        assert_eq!(seconds.certain().collect::<Vec<_>>(), [(5_000, 5_000)]);
        assert!(seconds.rows(1_700_000_000 + 37 * 999_999) <= 1);
        assert_eq!(seconds.rows(1_999_999_999), 0);
    }
}
