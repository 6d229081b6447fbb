//! Findings in words, one by one: a row's values are examined again, with all that the whole store says.
//!
//! Invariants
//! - findings come in the order of the report: by table, then score from high to low, then key;
//! - no more than one is in memory.

use super::gather::{Scan, TableState};
use super::kept::{Kept, decode_values};
use super::layout;
use super::sorter::Sorted;
use super::weigher;
use std::sync::Arc;
use unseed_core::detect::record::{Cloned, FlagValue};
use unseed_core::detect::{Context, Examiner, Late, Score, cloned};
use unseed_core::entity::Entity;
use unseed_core::fault::Fault;
use unseed_core::scan::{Finding, Key};

/// All findings of a scan, each once.
pub struct Findings {
    teller: Teller,
    sorted: Option<Sorted>,
}

impl Findings {
    pub(super) fn new(teller: Teller, sorted: Option<Sorted>) -> Self {
        Self { teller, sorted }
    }

    /// The next finding; none at the end, and where no findings were wanted.
    ///
    /// # Errors
    /// A fault when a temporary file cannot be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "a fault ends the findings, which an iterator would go on behind"
    )]
    pub fn next(&mut self) -> Result<Option<Finding>, Fault> {
        let Some(sorted) = &mut self.sorted else { return Ok(None) };
        let Some((key, payload)) = sorted.next()? else { return Ok(None) };
        let table = self.teller.table_of(&key);
        let (numbers, values) = payload.split_at(self.teller.scan.tables[table].width());
        let mut kept = Kept::default();
        kept.decode(numbers, self.teller.scan.tables[table].hashes);
        Ok(Some(self.teller.tell(table, &kept, values)))
    }
}

impl std::fmt::Debug for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Findings").finish_non_exhaustive()
    }
}

/// What only the whole store says about a row.
pub(super) fn late_context(scan: &Scan, table: usize, kept: &Kept) -> Context {
    let state = &scan.tables[table];
    let is_tenant = state.ground.layout.entity == Entity::Tenant;
    let seconds = state.seconds.as_ref().zip(kept.created_at);
    let supported = weigher::is_supported(kept.log_odds);
    let steady = seconds.filter(|_| supported).map_or(0, |(_, at)| state.pace.rows(at));
    Context {
        cloned: if supported { cloned(state, kept) } else { None },
        regular_rows: steady,
        burst_rows: seconds.map_or(0, |(seconds, at)| seconds.rows(at)),
        series: kept.stem.and_then(|stem| state.series.of(stem)),
        members: if is_tenant { scan.graph.members(&kept.own) } else { None },
        owner: scan.graph.owner(kept.tenant),
        orphan: kept.orphan,
        ..Context::default()
    }
}

/// The value that says most among those that the row shares with others.
fn cloned(state: &TableState, kept: &Kept) -> Option<Cloned> {
    let kinds = state.ground.layout.shared_kinds().zip(&kept.shared);
    let found = kinds.filter_map(|(what, hash)| state.clones.of(*hash, what, state.rows));
    found.max_by(|a, b| cloned::weight(*a).total_cmp(&cloned::weight(*b)))
}

/// Three digits are more than the weights are worth; never quite 1.
pub(super) fn rounded(score: Score) -> f64 {
    ((score.probability() * 1_000.0).round() / 1_000.0).min(0.999)
}

/// By which findings are sorted: the table's place among the names, the score, the key.
pub(super) fn sort_key(tables: &[TableState], table: usize, score: Score, values: &[u8]) -> Vec<u8> {
    let rank = tables.iter().filter(|t| t.name < tables[table].name).count();
    let mut key = u32::try_from(rank).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    // The bits of a number between 0 and 1 are ordered as it is.
    key.extend_from_slice(&(1.0 - rounded(score)).to_bits().to_be_bytes());
    let row = decode_values(values);
    for value in tables[table].ground.layout.key_values(&row) {
        key.extend_from_slice(value.as_bytes());
        key.push(0);
    }
    key
}

/// Makes findings out of kept rows.
pub(super) struct Teller {
    scan: Scan,
    /// Tables in the order of their names.
    ranks: Vec<usize>,
    examiner: Examiner,
    late: Late,
}

impl Teller {
    pub(super) fn new(scan: Scan) -> Self {
        let mut ranks: Vec<usize> = (0..scan.tables.len()).collect();
        ranks.sort_by(|a, b| scan.tables[*a].name.cmp(&scan.tables[*b].name));
        let examiner = Examiner::new(Arc::clone(&scan.rules));
        let late = Late::new(Arc::clone(&scan.rules));
        Self { scan, ranks, examiner, late }
    }

    fn table_of(&self, key: &[u8]) -> usize {
        let rank = key.first_chunk().copied().unwrap_or_default();
        self.ranks[usize::try_from(u32::from_be_bytes(rank)).expect("32 bits fit in a usize")]
    }

    /// The finding that a row is; its verdict may be real where somebody asked for its sum.
    pub(super) fn tell(&mut self, table: usize, kept: &Kept, values: &[u8]) -> Finding {
        let late = late_context(&self.scan, table, kept);
        let state = &self.scan.tables[table];
        let layout = &state.ground.layout;
        let total = Score { log_odds: kept.log_odds + self.late.weigh(layout.entity, &late).0 };
        let row = decode_values(values);
        let mut full_name = String::new();
        layout.full_name(&row, &mut full_name);
        let mut flags: [FlagValue<'_>; layout::FLAGS_MAX] = layout::NO_FLAGS;
        let record = layout.record(&row, &full_name, &mut flags);
        let early = state.ground.context(&kept.own, kept.tenant);
        let context = Context {
            money: early.money,
            activity: early.activity,
            vouching_rows: early.vouching_rows,
            belongs: early.belongs,
            ..late
        };
        let (_, mut signals) = self.examiner.tell(&record, &context);
        signals.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
        Finding {
            table: state.name.clone(),
            key: Key { columns: state.columns.clone(), values: layout.key_values(&row) },
            label: layout::label(&record, &row, layout),
            score: rounded(total),
            verdict: self.scan.thresholds.verdict(total),
            signals,
        }
    }
}
