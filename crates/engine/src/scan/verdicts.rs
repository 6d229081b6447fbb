//! Counts of rows by verdict, and of the signals behind those that are test data.
//!
//! Invariants
//! - a row is counted once, as soon as its verdict is certain.

use super::evidence::Evidence;
use super::gather::TableState;
use unseed_core::detect::{DETECTORS, Verdict};
use unseed_core::entity::Entity;
use unseed_core::scan::{SignalCount, TableCount};
use unseed_core::schema::Schema;

/// Counts of all tables.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    by_table: Vec<Owned>,
    by_source: Vec<Owned>,
    /// By the place of the detector.
    by_signal: Vec<u64>,
}

/// Counts of one table of evidence.
#[derive(Debug, Default)]
struct Owned {
    test: u64,
    suspect: u64,
    known: u64,
}

impl Verdicts {
    pub(super) fn new(sources: usize) -> Self {
        let by_source = std::iter::repeat_with(Owned::default).take(sources).collect();
        Self { by_table: Vec::new(), by_source, by_signal: vec![0; DETECTORS.len()] }
    }

    /// Makes room for one more table.
    pub(super) fn open(&mut self) {
        self.by_table.push(Owned::default());
    }

    /// Counts a row of a table, and what belongs to it.
    pub(super) fn count(
        &mut self,
        evidence: &Evidence,
        (table, verdict): (usize, Verdict),
        own: &[u64],
        positive: u64,
    ) {
        self.by_table[table].add(verdict, 1);
        for (source, owned) in evidence.sources.iter().zip(&mut self.by_source) {
            owned.add(verdict, u64::from(source.counts_of(own).rows));
        }
        if verdict == Verdict::Test {
            self.count_signals(positive, 1);
        }
    }

    /// Counts a row that an earlier report lists.
    pub(super) fn count_known(&mut self, table: usize) {
        self.by_table[table].known += 1;
    }

    /// Counts signals behind so many rows that are test data.
    pub(super) fn count_signals(&mut self, positive: u64, rows: u64) {
        let mut left = positive;
        while left != 0 {
            let place = usize::try_from(left.trailing_zeros()).expect("a bit of 64");
            self.by_signal[place] += rows;
            left &= left - 1;
        }
    }

    /// Tenant and user tables by their findings; the others by whom their rows belong to.
    pub(super) fn tables(
        &self,
        tables: &[TableState],
        evidence: &Evidence,
        schema: &Schema,
    ) -> Vec<TableCount> {
        let mut counts: Vec<TableCount> = Vec::new();
        for (state, owned) in tables.iter().zip(&self.by_table) {
            counts.push(owned.table(state.name.to_string(), state.ground.layout.entity, state.rows));
        }
        for (source, owned) in evidence.sources.iter().zip(&self.by_source) {
            let count = owned.table(schema.table(source.table).name.to_string(), source.entity, source.rows);
            match counts.iter_mut().find(|c| c.table == count.table) {
                Some(known) => {
                    known.test = known.test.max(count.test);
                    known.suspect = known.suspect.max(count.suspect);
                    known.rows = known.rows.max(count.rows);
                }
                None => counts.push(count),
            }
        }
        counts
    }

    pub(super) fn signals(&self) -> Vec<SignalCount> {
        let found = DETECTORS.iter().zip(&self.by_signal).filter(|(_, rows)| **rows > 0);
        let mut counts: Vec<SignalCount> =
            found.map(|(d, rows)| SignalCount { id: d.id, title: d.title, rows: *rows }).collect();
        counts.sort_by(|a, b| b.rows.cmp(&a.rows).then(a.id.cmp(b.id)));
        counts
    }
}

impl Owned {
    fn add(&mut self, verdict: Verdict, rows: u64) {
        match verdict {
            Verdict::Test => self.test += rows,
            Verdict::Suspect => self.suspect += rows,
            Verdict::Real => {}
        }
    }

    fn table(&self, table: String, entity: Entity, rows: u64) -> TableCount {
        TableCount { table, entity, rows, test: self.test, suspect: self.suspect, known: self.known }
    }
}
