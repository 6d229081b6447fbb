//! Findings that show the variety of what was found: rows whose strongest reasons differ, before more of the same.
//!
//! Invariants
//! - memory is a few rows for each table, verdict and pair of reasons, however many findings there are;
//! - among equals the row that was read first is shown.

use super::findings::{Teller, rounded};
use super::kept::Kept;
use super::tape::Tape;
use std::collections::BTreeMap;
use unseed_core::detect::{Score, Verdict};
use unseed_core::fault::Fault;
use unseed_core::scan::Finding;

/// Samples of each table and verdict.
const SAMPLES_MAX: usize = 8;

/// Rows to choose from, for each table.
pub(super) struct Samples {
    test: Vec<Choice>,
    suspect: Vec<Choice>,
}

#[derive(Debug, Default)]
struct Choice {
    /// The best row for each pair of strongest reasons.
    kinds: BTreeMap<[u8; 2], Row>,
    /// The best rows that are second to one of those.
    more: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    score: f64,
    values_at: u64,
    kept: Kept,
}

impl Samples {
    pub(super) fn new(tables: usize) -> Self {
        let empty = || std::iter::repeat_with(Choice::default).take(tables).collect();
        Self { test: empty(), suspect: empty() }
    }

    /// Offers a row, in the order of reading.
    pub(super) fn offer(&mut self, table: usize, verdict: Verdict, score: Score, (kept, at): (&Kept, u64)) {
        let choice = match verdict {
            Verdict::Test => &mut self.test[table],
            Verdict::Suspect => &mut self.suspect[table],
            Verdict::Real => return,
        };
        choice.offer(kept, rounded(score), at);
    }

    /// The samples in words, those of a table together, test before suspect.
    pub(super) fn tell(self, teller: &mut Teller, values: &mut Tape) -> Result<Vec<Finding>, Fault> {
        let mut rows = Vec::new();
        for (table, (test, suspect)) in self.test.into_iter().zip(self.suspect).enumerate() {
            let chosen = test.chosen().into_iter().chain(suspect.chosen());
            rows.extend(chosen.map(|row| (table, row.kept, row.values_at)));
        }
        tell(rows, teller, values)
    }
}

/// Rows in words: of each the table, the numbers, and where its values stand.
pub(super) fn tell(
    rows: Vec<(usize, Kept, u64)>,
    teller: &mut Teller,
    values: &mut Tape,
) -> Result<Vec<Finding>, Fault> {
    let mut told = Vec::new();
    for (table, kept, values_at) in rows {
        let length = usize::try_from(kept.values).expect("32 bits fit in a usize");
        let mut bytes = vec![0; length];
        values.read(values_at, &mut bytes)?;
        told.push(teller.tell(table, &kept, &bytes));
    }
    Ok(told)
}

impl Choice {
    fn offer(&mut self, kept: &Kept, score: f64, values_at: u64) {
        let row = || Row { score, values_at, kept: kept.clone() };
        match self.kinds.get_mut(&kept.reasons.strongest) {
            Some(best) if best.score >= score => self.add_more(score, row),
            Some(best) => {
                let second = std::mem::replace(best, row());
                self.add_more(second.score, || second);
            }
            None => drop(self.kinds.insert(kept.reasons.strongest, row())),
        }
    }

    fn add_more(&mut self, score: f64, row: impl FnOnce() -> Row) {
        if self.more.len() == SAMPLES_MAX && self.more.last().is_some_and(|worst| worst.score >= score) {
            return;
        }
        let place = self.more.partition_point(|known| known.score >= score);
        self.more.insert(place, row());
        self.more.truncate(SAMPLES_MAX);
    }

    fn chosen(self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.kinds.into_values().collect();
        rows.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.values_at.cmp(&b.values_at)));
        rows.truncate(SAMPLES_MAX);
        let missing = SAMPLES_MAX - rows.len();
        rows.extend(self.more.into_iter().take(missing));
        rows
    }
}
