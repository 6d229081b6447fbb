//! A scan: reads tenants and users once, weighs each row, and combines them along the graph into a report.
//!
//! Order: infer the entities → refuse a partial view → ask the store for bursts and for tallies of payments and
//! sessions → stream tenants, then users → add what only the whole store can tell (series, orphans, a tenant by
//! its users, a user by its tenant) → report.
//!
//! Memory: findings and rows that may still become findings are kept whole; of every tenant a few numbers, and
//! of every tenant and user that has payments or sessions as many more. Rows that are surely real leave nothing.
//!
//! Invariants
//! - every tenant and user row is read once; the other tables are grouped by the store;
//! - a table that cannot be seen in full ends the scan, and no report is made;
//! - nothing is written anywhere, so a scan may be dropped at any point.
//!
//! Not here: what a signal is worth (`core::detect`), how a report looks (the command line).

mod evidence;
mod finish;
mod graph;
mod layout;
mod series;

use evidence::Evidence;
use graph::Graph;
use layout::{Layout, Slots};
use series::SeriesCounter;
use std::sync::Arc;
use unseed_core::detect::record::FlagValue;
use unseed_core::detect::{Context, Examiner, Signal, Stem, Thresholds, Verdict, time};
use unseed_core::entity::{self, Entity, Map, Member, Overrides};
use unseed_core::fault::Fault;
use unseed_core::port::progress::Progress;
use unseed_core::port::scan::{BurstRequest, ScanSource};
use unseed_core::scan::{Key, Report};
use unseed_core::schema::{Schema, Visibility};

/// How to scan.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Name of the store in the report.
    pub store: String,
    pub overrides: Overrides,
    pub thresholds: Thresholds,
}

/// Rows between two progress messages.
const PROGRESS_ROWS: u64 = 50_000;
/// Rows within one second from which it is a burst.
const BURST_ROWS_MIN: u64 = 8;
/// Crowded seconds that are kept per table, the fullest first.
const BURST_SECONDS_MAX: u64 = 100_000;

/// Scans a store.
///
/// # Errors
/// `Refused` when a table that matters is not fully visible; `Store` when the store fails; `Usage` when an
/// override names something that does not exist.
pub async fn scan(
    source: &mut dyn ScanSource,
    schema: &Schema,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Report, Fault> {
    let map = entity::infer(schema, &options.overrides)?;
    refuse_partial_view(schema, &map)?;
    let evidence = evidence::collect(source, schema, &map, progress).await?;
    let mut scan = Scan::new(schema, evidence, options.thresholds);
    for entity in [Entity::Tenant, Entity::User] {
        for member in map.of(entity) {
            read_table(source, schema, member, &mut scan, progress).await?;
        }
    }
    progress.update("weighing findings", 0, None);
    Ok(finish::report(scan, schema, &map, options))
}

/// Rows that nobody can see would count as none; that must not pass for clean.
fn refuse_partial_view(schema: &Schema, map: &Map) -> Result<(), Fault> {
    let mut hidden = Vec::new();
    for member in &map.members {
        let table = schema.table(member.table);
        match &table.visibility {
            Visibility::Full => {}
            Visibility::RowSecurity => {
                hidden.push(format!("{}: row-level security may hide rows", table.name));
            }
            Visibility::Denied(privileges) if privileges.iter().any(|p| p.eq_ignore_ascii_case("select")) => {
                hidden.push(format!("{}: the role may not SELECT", table.name));
            }
            Visibility::Denied(_) => {}
        }
    }
    if hidden.is_empty() {
        return Ok(());
    }
    let fault = Fault::refused(format!(
        "the role sees only part of {} tables that the scan needs",
        hidden.len()
    ))
    .state("nothing was read")
    .hint("connect as a role that sees every row: a member of the owner with BYPASSRLS, and SELECT granted");
    Err(hidden.into_iter().fold(fault, Fault::detail))
}

/// A row that is a finding, or may become one when the whole store is known.
#[derive(Debug)]
struct Kept {
    /// Index into [`Scan::tables`].
    table: usize,
    values: Box<[Box<str>]>,
    label: Box<str>,
    signals: Vec<Signal>,
    created_at: Option<i64>,
    stem: Option<Stem>,
    /// Hashes of the columns by which other tables point at it.
    hashes: Box<[u64]>,
    /// Hash of its tenant's key.
    tenant: Option<u64>,
    orphan: bool,
}

/// What is known of a table while its rows stream.
#[derive(Debug)]
struct TableState {
    name: Arc<str>,
    columns: Arc<[String]>,
    entity: Entity,
    rows: u64,
    orphans: u64,
    orphan_column: String,
    series: SeriesCounter,
}

/// Everything a scan accumulates.
struct Scan {
    evidence: Evidence,
    thresholds: Thresholds,
    tables: Vec<TableState>,
    kept: Vec<Kept>,
    graph: Graph,
    months: finish::Months,
    examiner: Examiner,
    signals: Vec<Signal>,
    full_name: String,
}

impl Scan {
    fn new(schema: &Schema, evidence: Evidence, thresholds: Thresholds) -> Self {
        Self {
            graph: Graph::new(schema.tables.len()),
            evidence,
            thresholds,
            tables: Vec::new(),
            kept: Vec::new(),
            months: finish::Months::default(),
            examiner: Examiner::default(),
            signals: Vec::new(),
            full_name: String::new(),
        }
    }

    /// Weighs one row and keeps what is needed of it.
    fn row(&mut self, layout: &Layout, row: &[Option<&str>]) {
        let mut full_name = std::mem::take(&mut self.full_name);
        layout.full_name(row, &mut full_name);
        let mut flags: [FlagValue<'_>; layout::FLAGS_MAX] = layout::NO_FLAGS;
        let record = layout.record(row, &full_name, &mut flags);
        let slots = layout.slots(row);
        let context = self.context(layout, &slots, record.created_at);
        let score = self.examiner.examine(&record, &context, &mut self.signals);
        let stem = self.examiner.stem();
        self.months.count(record.created_at);
        let state = self.tables.last_mut().expect("a table is opened before its rows stream");
        state.rows += 1;
        if let Some(stem) = stem {
            state.series.count(stem);
        }
        let orphan = self.graph.enter(layout, &slots, &record, &context, (&self.signals, score));
        state.orphans += u64::from(orphan);
        if orphan || self.graph.may_become_finding(layout.entity, &slots, score, self.thresholds) {
            let label = layout::label(&record, row, layout);
            self.kept.push(Kept {
                table: self.tables.len() - 1,
                values: layout.key_values(row),
                label,
                signals: self.signals.as_slice().into(),
                created_at: record.created_at,
                stem,
                hashes: slots.own.into(),
                tenant: slots.tenant,
                orphan,
            });
        }
        self.full_name = full_name;
    }

    /// What other tables say about the row, as far as it is known while rows stream.
    fn context(&self, layout: &Layout, slots: &Slots, created_at: Option<i64>) -> Context {
        let burst_rows = created_at.and_then(|at| layout.bursts.get(&at).copied()).unwrap_or(0);
        let (money, activity) = self.evidence.of(layout, &slots.own);
        Context { burst_rows, money, activity, belongs: slots.tenant.is_some(), ..Context::default() }
    }
}

async fn read_table(
    source: &mut dyn ScanSource,
    schema: &Schema,
    member: &Member,
    scan: &mut Scan,
    progress: &dyn Progress,
) -> Result<(), Fault> {
    let table = schema.table(member.table);
    let mut layout = Layout::new(schema, member, &scan.evidence);
    layout.bursts = bursts(source, schema, member).await?;
    scan.tables.push(TableState {
        name: Arc::from(table.name.to_string()),
        columns: layout.key_columns(table),
        entity: member.entity,
        rows: 0,
        orphans: 0,
        orphan_column: layout.tenant_column(table),
        series: SeriesCounter::default(),
    });
    let stage = format!("reading {}", table.name);
    let mut done = 0_u64;
    let columns = layout.columns.clone();
    let mut visit = |row: &[Option<&str>]| {
        scan.row(&layout, row);
        done += 1;
        if done.is_multiple_of(PROGRESS_ROWS) {
            progress.update(&stage, done, Some(table.rows_estimate.max(done)));
        }
    };
    let rows = source.read(schema, member.table, &columns, &mut visit).await?;
    progress.update(&stage, rows, Some(rows));
    Ok(())
}

/// The crowded seconds of a table, by their second since 1970.
async fn bursts(
    source: &mut dyn ScanSource,
    schema: &Schema,
    member: &Member,
) -> Result<layout::Bursts, Fault> {
    let mut found = layout::Bursts::new();
    let Some(column) = member.fields.created_at else { return Ok(found) };
    // A date says nothing about seconds.
    if schema.table(member.table).columns[column].type_name.eq_ignore_ascii_case("date") {
        return Ok(found);
    }
    let request = BurstRequest {
        table: member.table,
        time: column,
        rows_min: BURST_ROWS_MIN,
        seconds_max: BURST_SECONDS_MAX,
    };
    for burst in source.bursts(schema, &request).await? {
        if let Some(at) = time::parse(&burst.at).filter(|_| !layout::is_date(&burst.at)) {
            let rows = found.entry(at).or_insert(0);
            *rows += burst.rows;
        }
    }
    Ok(found)
}

/// A verdict that is listed.
fn is_listed(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Test | Verdict::Suspect => true,
        Verdict::Real => false,
    }
}

/// The key of a kept row.
fn key(state: &TableState, values: Box<[Box<str>]>) -> Key {
    Key { columns: Arc::clone(&state.columns), values }
}

#[cfg(test)]
mod tests;
