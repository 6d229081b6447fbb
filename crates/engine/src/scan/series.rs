//! Counts rows that differ only in a running number, in a fixed amount of memory.
//!
//! A table of counters by stem: a stem that finds its counter taken wears the other one down and takes its place
//! when it is worn out, so that long series stay and single rows do not crowd them out.
//!
//! Invariants
//! - memory is [`COUNTERS`] counters per table, whatever the table holds;
//! - a series is never counted longer than it is, up to a collision of its 64-bit hash.

use unseed_core::detect::Stem;
use unseed_core::detect::record::Series;

/// Counters per table; a power of two.
const COUNTERS: usize = 1 << 14;

/// Counters of one table.
#[derive(Debug, Default)]
pub(super) struct SeriesCounter {
    counters: Vec<Counter>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    hash: u64,
    rows: u32,
    /// Rows that other stems may still wear off.
    life: u32,
    low: u32,
    high: u32,
    /// Rows that are test data for certain.
    certain: u32,
    generic: bool,
}

impl SeriesCounter {
    /// Counts one row, which may be test data for certain.
    pub(super) fn count(&mut self, stem: Stem, is_certain: bool) {
        if self.counters.is_empty() {
            self.counters = vec![Counter::default(); COUNTERS];
        }
        let counter = &mut self.counters[slot(stem.hash)];
        if counter.hash == stem.hash && counter.rows > 0 {
            counter.rows = counter.rows.saturating_add(1);
            counter.life = counter.life.saturating_add(1);
            counter.certain += u32::from(is_certain);
            counter.low = counter.low.min(stem.number);
            counter.high = counter.high.max(stem.number);
        } else if counter.life > 1 {
            counter.life -= 1;
        } else {
            *counter = Counter {
                hash: stem.hash,
                rows: 1,
                life: 1,
                low: stem.number,
                high: stem.number,
                certain: u32::from(is_certain),
                generic: stem.generic,
            };
        }
    }

    /// The series that a row belongs to.
    pub(super) fn of(&self, stem: Stem) -> Option<Series> {
        let counter = self.counters.get(slot(stem.hash))?;
        (counter.hash == stem.hash).then(|| counter.series(stem.generic))
    }

    /// Each series, and how many of its rows are test data for certain, where there are any.
    pub(super) fn certain(&self) -> impl Iterator<Item = (Series, u64)> {
        let counters = self.counters.iter().filter(|c| c.certain > 0);
        counters.map(|c| (c.series(c.generic), u64::from(c.certain)))
    }
}

impl Counter {
    fn series(&self, generic: bool) -> Series {
        Series { rows: u64::from(self.rows), span: u64::from(self.high - self.low) + 1, generic }
    }
}

fn slot(hash: u64) -> usize {
    usize::try_from(hash >> 48).expect("16 bits fit in a usize") & (COUNTERS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stem(hash: u64, number: u32) -> Stem {
        Stem { hash, number, generic: true }
    }

    #[test]
    fn a_long_series_survives_a_crowd_of_single_rows() {
        let mut counter = SeriesCounter::default();
        for number in 1..=50 {
            counter.count(stem(7, number), number < 4);
            if number % 2 == 0 {
                counter.count(stem(1_000 + u64::from(number), 1), false);
            }
        }
        assert_eq!(counter.of(stem(7, 3)), Some(Series { rows: 50, span: 50, generic: true }));
        assert_eq!(counter.of(stem(1_002, 1)), None);
        assert_eq!(
            counter.certain().map(|(series, rows)| (series.rows, rows)).collect::<Vec<_>>(),
            [(50, 3)]
        );
    }
}
