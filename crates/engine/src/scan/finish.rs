//! Makes the report out of what a scan kept: late signals, verdicts, counts, samples, recommendations.
//!
//! Tenants are settled before users, since a user's last signal is its tenant. Their tables were read in that
//! order, so one pass over the tapes settles everything.
//!
//! Invariants
//! - the counts per table and the findings agree;
//! - findings are ordered by table, then score from high to low, then key.

use super::findings::{self, Findings, Teller};
use super::gather::{Scan, TableState};
use super::kept::{Kept, decode_values};
use super::samples::{self, Samples};
use super::sorter::Sorter;
use super::tape::{Cursor, Tape};
use super::{Options, Scanned, Wanted, is_listed};
use std::sync::Arc;
use unseed_core::detect::{Late, Score, Verdict};
use unseed_core::entity::{Entity, Map};
use unseed_core::fault::Fault;
use unseed_core::port::scan::Scratch;
use unseed_core::scan::{Baseline, FORMAT, Key, OrphanCount, Report, TableCount};
use unseed_core::schema::Schema;

/// Finishes the scan.
pub(super) fn finish(
    mut scan: Scan,
    schema: &Schema,
    map: &Map,
    options: &Options,
    scratch: &Arc<dyn Scratch>,
) -> Result<Scanned, Fault> {
    let mut settling = Settling {
        late: Late::new(Arc::clone(&scan.rules)),
        baseline: options.baseline.clone(),
        explained: Vec::new(),
        samples: Samples::new(scan.tables.len()),
        sorter: match options.wanted {
            Wanted::Samples => None,
            Wanted::Findings => Some(Sorter::new(Arc::clone(scratch))),
        },
    };
    scan.tables.iter_mut().for_each(|table| table.pace.close());
    for table in 0..scan.tables.len() {
        settling.table(&mut scan, table)?;
    }
    let Settling { samples, sorter, explained, .. } = settling;
    scan.count_late_signals();
    let verdicts = std::mem::take(&mut scan.verdicts);
    let tables = verdicts.tables(&scan.tables, &scan.evidence, schema);
    let since = scan.months.since;
    let timeline = scan.months.timeline();
    let orphans = orphans(&scan.tables);
    let mut values = std::mem::replace(&mut scan.values, Tape::new(Arc::clone(scratch)));
    let mut teller = Teller::new(scan);
    let samples = samples.tell(&mut teller, &mut values)?;
    let explained = samples::tell(explained, &mut teller, &mut values)?;
    let mut report = Report {
        format: FORMAT,
        store: options.store.clone(),
        complete: true,
        tables,
        findings: Vec::new(),
        samples,
        recommendations: Vec::new(),
        since,
        timeline,
        signals: verdicts.signals(),
        orphans,
    };
    report.recommendations = recommendations(&report, map);
    let sorted = sorter.map(Sorter::finish).transpose()?;
    Ok(Scanned { report, findings: Findings::new(teller, sorted), explained })
}

/// What is made while rows are settled.
struct Settling {
    late: Late,
    baseline: Option<Arc<Baseline>>,
    explained: Vec<(usize, Kept, u64)>,
    samples: Samples,
    sorter: Option<Sorter>,
}

impl Settling {
    /// Settles the rows of one table.
    fn table(&mut self, scan: &mut Scan, table: usize) -> Result<(), Fault> {
        let state = &scan.tables[table];
        let (rows, width) = (state.kept, state.width());
        let ends = scan.tables.get(table + 1).map(|next| (next.kept_at, next.values_at));
        let (kept_end, values_end) = ends.unwrap_or((scan.kept.end(), scan.values.end()));
        let mut numbers = Cursor::new(state.kept_at, kept_end);
        let mut values = Cursor::new(state.values_at, values_end);
        let mut values_at = state.values_at;
        let hashes = state.hashes;
        let mut kept = Kept::default();
        let reads_values = self.sorter.is_some() || self.baseline.is_some();
        let mut row = Vec::new();
        for _ in 0..rows {
            let bytes = numbers.take(&mut scan.kept, width)?.to_vec();
            kept.decode(&bytes, hashes);
            if kept.is_explained {
                self.explained.push((table, kept.clone(), values_at));
            }
            let (score, verdict, positive) = self.verdict(scan, table, &kept);
            if reads_values {
                let length = usize::try_from(kept.values).expect("32 bits fit in a usize");
                row.clear();
                row.extend_from_slice(values.take(&mut scan.values, length)?);
            }
            if is_listed(verdict) && self.is_known(scan, table, verdict, &row) {
                scan.verdicts.count_known(table);
                scan.months.count_known(kept.created_at);
            } else if is_listed(verdict) {
                count(scan, (table, verdict), &kept, positive);
                self.samples.offer(table, verdict, score, (&kept, values_at));
                if let Some(sorter) = &mut self.sorter {
                    let key = findings::sort_key(&scan.tables, table, score, &row);
                    sorter.push(&key, &[&bytes, &row])?;
                }
            }
            values_at += u64::from(kept.values);
        }
        Ok(())
    }

    /// Adds what only the whole store tells, and decides; with the signals that speak for test data.
    fn verdict(&mut self, scan: &mut Scan, table: usize, kept: &Kept) -> (Score, Verdict, u64) {
        let state = &scan.tables[table];
        let entity = state.ground.layout.entity;
        let (late, positive) = self.late.weigh(entity, &findings::late_context(scan, table, kept));
        let total = Score { log_odds: kept.log_odds + late };
        if entity == Entity::Tenant && state.ground.is_linked {
            scan.graph.settle(&kept.own, total.log_odds);
        }
        (total, scan.thresholds.verdict(total), kept.reasons.positive | positive)
    }

    /// Whether an earlier report lists the row already.
    fn is_known(&self, scan: &Scan, table: usize, verdict: Verdict, values: &[u8]) -> bool {
        let Some(baseline) = &self.baseline else { return false };
        let state = &scan.tables[table];
        let key = state.ground.layout.key_values(&decode_values(values));
        let key = Key { columns: Arc::clone(&state.columns), values: key };
        baseline.knows(&state.name, key.pairs(), verdict)
    }
}

fn count(scan: &mut Scan, place: (usize, Verdict), kept: &Kept, positive: u64) {
    if kept.is_counted {
        return;
    }
    scan.verdicts.count(&scan.evidence, place, &kept.own, positive);
    if place.1 == Verdict::Test {
        scan.months.count_test(kept.created_at);
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
            grouped(orphan.rows),
            orphan.table,
            orphan.column
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
        _ => Some(format!("{} {what}s", grouped(count))),
    };
    match (several(tenants, "tenant"), several(users, "user")) {
        (Some(tenants), Some(users)) => Some(format!("{tenants} and {users}")),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}

/// A count with its thousands apart: `1,826`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    groups.join(",")
}
