//! Counts rows that share a value, in a fixed amount of memory, as `seconds` does with points in time.
//!
//! Values are known by their hashes only. Sets of counters, in which the smallest gives way, keep the values that
//! come often; a value whose rows lie far apart may be missed.
//!
//! Invariants
//! - memory is [`SETS`] sets per table, whatever the table holds;
//! - no value is ever counted more often than it comes.

use unseed_core::detect::record::{Cloned, Shared};

/// Counters per set.
const SET: usize = 8;
/// Sets per table; a megabyte and a half.
const SETS: usize = 1 << 13;
/// Rows up to which a counter gives way to another value.
const ROWS_WORN_MAX: u32 = 4;
/// Rows of a table from which a value that half of them share is a constant of the application.
const ROWS_CONSTANT_MIN: u64 = 40;

/// Counters of one table.
#[derive(Debug, Default)]
pub(super) struct Clones {
    sets: Vec<[Counter; SET]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    hash: u64,
    rows: u32,
    /// Part of the hash of the first row's tenant.
    tenant: u32,
    /// Rows of another tenant came.
    several: bool,
}

impl Clones {
    /// Counts a value; 0 stands for none. The tenant is the row's own or, where nothing is known of it, 0.
    pub(super) fn count(&mut self, hash: u64, tenant: u64) {
        if hash == 0 {
            return;
        }
        if self.sets.is_empty() {
            self.sets = vec![[Counter::default(); SET]; SETS];
        }
        let tenant = u32::try_from(tenant >> 32).expect("32 bits fit in a u32");
        let mut least = &mut Counter { rows: u32::MAX, ..Counter::default() };
        for counter in &mut self.sets[set(hash)] {
            if counter.hash == hash {
                counter.rows = counter.rows.saturating_add(1);
                counter.several |= counter.tenant != tenant;
                return;
            }
            if counter.rows < least.rows {
                least = counter;
            }
        }
        if least.rows < ROWS_WORN_MAX {
            *least = Counter { hash, rows: 1, tenant, several: false };
        }
    }

    /// Those who share the value with a row, in a table of so many rows.
    pub(super) fn of(&self, hash: u64, what: Shared, table_rows: u64) -> Option<Cloned> {
        let counter = self.sets.get(set(hash))?.iter().find(|c| c.hash == hash && hash != 0)?;
        let rows = u64::from(counter.rows);
        let constant = table_rows >= ROWS_CONSTANT_MIN && rows * 2 > table_rows;
        (!constant).then_some(Cloned { what, rows, tenants: counter.several })
    }
}

fn set(hash: u64) -> usize {
    usize::try_from(hash >> 40).expect("24 bits fit in a usize") & (SETS - 1)
}

/// Whether a password hash holds a salt, so that two people with one password have two hashes.
pub(super) fn is_salted(hash: &str) -> bool {
    let named =
        ["$2", "$argon2", "$5$", "$6$", "$7$", "$pbkdf2", "$scrypt", "pbkdf2_", "bcrypt", "argon2", "scrypt"];
    hash.len() >= 40 && named.iter().any(|name| hash.starts_with(name))
}

/// Finds rows that come at the same interval, in the order in which a table holds them.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: i64,
    gap: i64,
    rows: u32,
    runs: Vec<Run>,
}

/// Rows from `first` to `last`, each `gap` seconds behind the one before.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: i64,
    last: i64,
    gap: i64,
    rows: u32,
}

/// Runs that are kept.
const RUNS_MAX: usize = 512;
/// Rows of the shortest run that is.
const RUN_ROWS_MIN: u32 = 8;
/// Seconds of the longest interval; what is slower follows people's clocks.
const GAP_S: std::ops::RangeInclusive<i64> = 1..=600;

impl Pace {
    /// Takes the time of the next row.
    pub(super) fn count(&mut self, at: i64) {
        let gap = at.saturating_sub(self.last);
        if gap == self.gap && GAP_S.contains(&gap) {
            self.rows += 1;
        } else {
            self.close();
            (self.gap, self.rows) = (gap, 2);
        }
        self.last = at;
    }

    /// Ends the run that is open.
    pub(super) fn close(&mut self) {
        if self.rows >= RUN_ROWS_MIN && self.runs.len() < RUNS_MAX {
            let first = self.last - self.gap * i64::from(self.rows - 1);
            self.runs.push(Run { first, last: self.last, gap: self.gap, rows: self.rows });
        }
        self.rows = 0;
    }

    /// Rows of the run that a time belongs to; 0 for none.
    pub(super) fn rows(&self, at: i64) -> u64 {
        let belongs = |run: &&Run| (run.first..=run.last).contains(&at) && (at - run.first) % run.gap == 0;
        self.runs.iter().find(belongs).map_or(0, |run| u64::from(run.rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_many_share_is_found_among_a_million_single_ones() {
        let mut clones = Clones::default();
        for n in 1..1_000_000_u64 {
            clones.count(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, n << 32);
            if n % 20_000 < 40 {
                clones.count(77 << 40, (n % 3) << 32);
            }
        }
        let found = clones.of(77 << 40, Shared::Phone, 1_000_000).unwrap();
        assert!(found.rows > 1_000 && found.tenants, "{found:?}");
        assert_eq!(clones.of(77 << 40, Shared::Phone, 2_000), None, "most rows share a constant");
        assert_eq!(clones.of(0, Shared::Phone, 9), None);
    }

    #[test]
    fn a_steady_pace_is_found_and_people_have_none() {
        let mut pace = Pace::default();
        for n in 0..20 {
            pace.count(1_700_000_000 + n * 30);
        }
        for n in 0..50_i64 {
            pace.count(1_710_000_000 + n * n * 7);
        }
        pace.close();
        assert_eq!(
            (pace.rows(1_700_000_030), pace.rows(1_700_000_031), pace.rows(1_710_000_007)),
            (20, 0, 0)
        );
    }

    #[test]
    fn only_salted_hashes_tell() {
        assert!(is_salted("$2y$10$92IXUNpkjO0rOQ5byMi.Ye4oKoEa3Ro9llC/.og/at2.uheWG/igi"));
        assert!(!is_salted("5f4dcc3b5aa765d61d8327deb882cf99") && !is_salted("!") && !is_salted(""));
    }
}
