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
    sets: Vec<Set>,
    /// Of the rows of each counter, those that are test data for certain; apart, since most rows are not.
    certain: Vec<[u32; SET]>,
}

/// The counters of some seconds: one line of the processor's cache, since reading it is what a row costs.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Set {
    /// The low half of each second; a century is enough to tell seconds apart.
    seconds: [u32; SET],
    rows: [u32; SET],
}

impl Seconds {
    /// Counters for about so many rows.
    pub(super) fn for_rows(estimate: u64) -> Self {
        let sets = (estimate / 8).clamp(SETS_MIN, SETS_MAX).next_power_of_two();
        let sets = usize::try_from(sets).expect("a few thousand fit in a usize");
        Self { sets: vec![Set::default(); sets], certain: vec![[0; SET]; sets] }
    }

    /// Fetches the counters of rows that are counted next. One after the other each would be waited for; here
    /// the processor fetches many at once.
    pub(super) fn fetch(&self, times: impl Iterator<Item = i64>) {
        let sum = times.fold(0_u32, |sum, at| sum ^ self.sets[self.place(at).0].rows[0]);
        std::hint::black_box(sum);
    }

    /// Counts one row, which may be test data for certain.
    pub(super) fn count(&mut self, at: i64, is_certain: bool) {
        let (place, second) = self.place(at);
        let set = &mut self.sets[place];
        let known = (0..SET).find(|n| set.seconds[*n] == second && set.rows[*n] > 0);
        if let Some(n) = known {
            set.rows[n] = set.rows[n].saturating_add(1);
            if is_certain {
                self.certain[place][n] += 1;
            }
            return;
        }
        let least = (0..SET).min_by_key(|n| set.rows[*n]).expect("a set has counters");
        if set.rows[least] < ROWS_WORN_MAX {
            let worn = set.rows[least] > 0;
            set.seconds[least] = second;
            set.rows[least] = 1;
            if worn || is_certain {
                self.certain[place][least] = u32::from(is_certain);
            }
        }
    }

    /// Rows of a second.
    pub(super) fn rows(&self, at: i64) -> u64 {
        let (place, second) = self.place(at);
        let set = &self.sets[place];
        let found = (0..SET).find(|n| set.seconds[*n] == second && set.rows[*n] > 0);
        found.map_or(0, |n| u64::from(set.rows[n]))
    }

    /// Rows of each second, and how many of them are test data for certain, where there are any.
    pub(super) fn certain(&self) -> impl Iterator<Item = (u64, u64)> {
        let pairs =
            self.sets.iter().zip(&self.certain).flat_map(|(set, certain)| set.rows.iter().zip(certain));
        pairs
            .filter(|(_, certain)| **certain > 0)
            .map(|(rows, certain)| (u64::from(*rows), u64::from(*certain)))
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
