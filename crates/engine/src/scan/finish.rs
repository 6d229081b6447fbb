//! Makes the report out of what a scan kept: late signals, verdicts, counts, recommendations.
//!
//! Tenants are settled before users, since a user's last signal is its tenant.
//!
//! Invariants
//! - the counts per table and the findings agree;
//! - findings are ordered by table, then score from high to low, then key.

use super::{Kept, Options, Scan, TableState, is_listed, key};
use std::collections::{BTreeMap, HashMap};
use unseed_core::detect::{Context, Score, Verdict, late_signals, score, time, title};
use unseed_core::entity::{Entity, Map};
use unseed_core::scan::{FORMAT, Finding, Month, OrphanCount, Report, SignalCount, Since, TableCount};
use unseed_core::schema::Schema;

/// Rows created per month.
#[derive(Debug, Default)]
pub(super) struct Months {
    all: BTreeMap<i64, u64>,
    test: BTreeMap<i64, u64>,
    since: Option<Since>,
}

/// Months that a timeline shows at most.
const MONTHS_MAX: usize = 600;

impl Months {
    /// Counts a row of any verdict.
    pub(super) fn count(&mut self, created_at: Option<i64>) {
        let Some(at) = created_at else { return };
        let month = time::month(at);
        if self.all.len() < MONTHS_MAX || self.all.contains_key(&month) {
            *self.all.entry(month).or_insert(0) += 1;
        }
    }

    fn count_test(&mut self, created_at: Option<i64>) {
        let Some(at) = created_at else { return };
        *self.test.entry(time::month(at)).or_insert(0) += 1;
        let since = self.since.get_or_insert(Since { first: at, last: at });
        since.first = since.first.min(at);
        since.last = since.last.max(at);
    }

    /// Every month from the first to the last, those without rows included.
    fn timeline(&self) -> Vec<Month> {
        let (Some(first), Some(last)) = (self.all.keys().next(), self.all.keys().next_back()) else {
            return Vec::new();
        };
        let months = (*first..=*last).take(MONTHS_MAX).map(|month| {
            let all = self.all.get(&month).copied().unwrap_or(0);
            let test = self.test.get(&month).copied().unwrap_or(0);
            Month { month: time::month_text(month), test, real: all.saturating_sub(test) }
        });
        months.collect()
    }
}

/// Counts of one table of evidence.
#[derive(Debug, Default)]
struct Owned {
    test: u64,
    suspect: u64,
}

/// Finishes the scan.
pub(super) fn report(mut scan: Scan, schema: &Schema, map: &Map, options: &Options) -> Report {
    let mut kept = std::mem::take(&mut scan.kept);
    let mut verdicts = Verdicts::new(&scan);
    let mut findings = Vec::new();
    for entity in [Entity::Tenant, Entity::User] {
        let (now, later): (Vec<Kept>, Vec<Kept>) =
            kept.into_iter().partition(|k| scan.tables[k.table].entity == entity);
        kept = later;
        for row in now {
            findings.extend(settle(&mut scan, &mut verdicts, row));
        }
    }
    let mut order = findings;
    order.sort_by(|a, b| {
        a.table.cmp(&b.table).then(b.score.total_cmp(&a.score)).then_with(|| a.key.cmp(&b.key))
    });
    let mut report = Report {
        format: FORMAT,
        store: options.store.clone(),
        complete: true,
        tables: verdicts.tables(&scan, schema),
        findings: order,
        recommendations: Vec::new(),
        since: scan.months.since,
        timeline: scan.months.timeline(),
        signals: verdicts.signals(),
        orphans: orphans(&scan.tables),
    };
    report.recommendations = recommendations(&report, map);
    report
}

/// Adds what only the whole store tells, and decides.
fn settle(scan: &mut Scan, verdicts: &mut Verdicts, mut row: Kept) -> Option<Finding> {
    let state = &scan.tables[row.table];
    let entity = state.entity;
    let context = Context {
        series: row.stem.and_then(|stem| state.series.of(stem)),
        members: if entity == Entity::Tenant { scan.graph.members(&row.hashes) } else { None },
        owner: scan.graph.owner(row.tenant),
        orphan: row.orphan,
        ..Context::default()
    };
    late_signals(entity, &context, &mut row.signals);
    let total = score::sum(&row.signals);
    if entity == Entity::Tenant {
        scan.graph.settle(&row.hashes, total);
    }
    let verdict = scan.thresholds.verdict(total);
    if !is_listed(verdict) {
        return None;
    }
    verdicts.count(scan, &row, verdict);
    row.signals.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
    row.signals.shrink_to_fit();
    let state = &scan.tables[row.table];
    Some(Finding {
        table: state.name.clone(),
        key: key(state, row.values),
        label: row.label,
        score: rounded(total),
        verdict,
        signals: row.signals,
    })
}

/// Three digits are more than the weights are worth; never quite 1.
fn rounded(score: Score) -> f64 {
    ((score.probability() * 1_000.0).round() / 1_000.0).min(0.999)
}

/// Counts by verdict while findings are settled.
struct Verdicts {
    by_table: Vec<Owned>,
    by_source: Vec<Owned>,
    by_signal: HashMap<&'static str, u64>,
}

impl Verdicts {
    fn new(scan: &Scan) -> Self {
        let zeros = |n: usize| std::iter::repeat_with(Owned::default).take(n).collect();
        Self {
            by_table: zeros(scan.tables.len()),
            by_source: zeros(scan.evidence.sources.len()),
            by_signal: HashMap::new(),
        }
    }

    fn count(&mut self, scan: &mut Scan, row: &Kept, verdict: Verdict) {
        self.by_table[row.table].add(verdict, 1);
        for (source, owned) in scan.evidence.sources.iter().zip(&mut self.by_source) {
            owned.add(verdict, u64::from(source.counts_of(&row.hashes).rows));
        }
        if verdict == Verdict::Test {
            scan.months.count_test(row.created_at);
            for signal in row.signals.iter().filter(|s| s.weight > 0.0) {
                *self.by_signal.entry(signal.id).or_insert(0) += 1;
            }
        }
    }

    /// Tenant and user tables by their findings; the others by whom their rows belong to.
    fn tables(&self, scan: &Scan, schema: &Schema) -> Vec<TableCount> {
        let mut counts: Vec<TableCount> = Vec::new();
        for (state, owned) in scan.tables.iter().zip(&self.by_table) {
            counts.push(owned.table(state.name.to_string(), state.entity, state.rows));
        }
        for (source, owned) in scan.evidence.sources.iter().zip(&self.by_source) {
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

    fn signals(&self) -> Vec<SignalCount> {
        let mut counts: Vec<SignalCount> = self
            .by_signal
            .iter()
            .map(|(id, rows)| SignalCount { id, title: title(id), rows: *rows })
            .collect();
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
        TableCount { table, entity, rows, test: self.test, suspect: self.suspect }
    }
}

fn orphans(tables: &[TableState]) -> Vec<OrphanCount> {
    let orphaned = tables.iter().filter(|t| t.orphans > 0);
    orphaned
        .map(|t| OrphanCount { table: t.name.to_string(), column: t.orphan_column.clone(), rows: t.orphans })
        .collect()
}

/// What to do next, in the order of doing it.
fn recommendations(report: &Report, map: &Map) -> Vec<String> {
    let mut list = Vec::new();
    if map.of(Entity::Tenant).chain(map.of(Entity::User)).next().is_none() {
        list.push("no table looks like tenants or users: name them under [entities.tenant] and [entities.user] in unseed.toml".to_owned());
        return list;
    }
    let sum = |entity: Entity, rows: fn(&TableCount) -> u64| -> u64 {
        report.tables.iter().filter(|t| t.entity == entity).map(rows).sum()
    };
    let test = sum(Entity::Tenant, |t| t.test) + sum(Entity::User, |t| t.test);
    let doomed = people(sum(Entity::Tenant, |t| t.test), sum(Entity::User, |t| t.test));
    if let Some(doomed) = doomed {
        list.push(format!("plan the removal of {doomed} with all that belongs to them: `unseed plan --findings -o plan.json`"));
    }
    if let Some(suspect) = people(sum(Entity::Tenant, |t| t.suspect), sum(Entity::User, |t| t.suspect)) {
        list.push(format!("look at {suspect} under suspicion: no plan takes them unless you name them"));
    }
    for orphan in &report.orphans {
        list.push(format!(
            "{} rows of {} point by `{}` at tenants that no longer exist",
            orphan.rows, orphan.table, orphan.column
        ));
    }
    let often = |id: &str| report.signals.iter().any(|s| s.id == id && s.rows * 10 > test && s.rows >= 10);
    if often("created.burst") {
        list.push("many test rows were created within single seconds: look for a seed script or a test suite that runs against this database".to_owned());
    }
    if often("mail.reserved-domain") || often("mail.disposable-domain") {
        list.push("refuse reserved and throw-away mail domains at sign-up".to_owned());
    }
    if list.is_empty() {
        list.push("nothing to do: no row looks like test data".to_owned());
    }
    list
}

/// `3 tenants and 1 user`; nothing when there are none.
fn people(tenants: u64, users: u64) -> Option<String> {
    let several = |count: u64, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        _ => Some(format!("{count} {what}s")),
    };
    match (several(tenants, "tenant"), several(users, "user")) {
        (Some(tenants), Some(users)) => Some(format!("{tenants} and {users}")),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}
