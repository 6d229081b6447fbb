//! Takes in what the weighers made of each row, in the order of the rows, and keeps what the end of the scan needs.
//!
//! Memory: counters of a fixed size per table; of every tenant a few numbers where users point at it; of every
//! tenant and user that has payments or sessions as many more. Rows that may become findings go to tapes.
//!
//! Not here: what becomes of them (`finish`).

use super::clones::{Clones, Pace};
use super::evidence::Evidence;
use super::graph::Graph;
use super::kept::Kept;
use super::layout::{self, Layout};
use super::memberships::Memberships;
use super::months::Months;
use super::seconds::Seconds;
use super::series::SeriesCounter;
use super::tape::Tape;
use super::verdicts::Verdicts;
use super::weigher::{self, Batch, Ground, Row, Shown};
use super::{Explain, Options, Wanted, links_to_tenants};
use std::sync::Arc;
use unseed_core::detect::time::DAY_S;
use unseed_core::detect::{Context, Late, Rules, Thresholds, Verdict};
use unseed_core::entity::{Entity, Map, Member};
use unseed_core::fault::Fault;
use unseed_core::port::scan::Scratch;
use unseed_core::schema::Schema;

/// What is known of a table while its rows stream.
pub(super) struct TableState {
    pub name: Arc<str>,
    /// Names of its key columns.
    pub columns: Arc<[String]>,
    pub ground: Arc<Ground>,
    pub rows: u64,
    pub orphans: u64,
    pub orphan_column: String,
    pub series: SeriesCounter,
    pub seconds: Option<Seconds>,
    pub clones: Clones,
    pub pace: Pace,
    /// Where its rows begin on the tapes, and how many there are.
    pub kept_at: u64,
    pub values_at: u64,
    pub kept: u64,
    /// How often each pair of reasons stood behind a row that is test data for certain.
    pub shown: Shown,
    /// Hashes of its keys that are kept of each row.
    pub hashes: usize,
    /// Hashes of values that it may share with others.
    pub shared: usize,
}

impl TableState {
    /// Bytes of a kept row without its values.
    pub(super) fn width(&self) -> usize {
        Kept::width(self.hashes + self.shared)
    }
}

/// Everything a scan accumulates.
pub(super) struct Scan {
    pub evidence: Arc<Evidence>,
    pub thresholds: Thresholds,
    pub tables: Vec<TableState>,
    pub graph: Graph,
    pub months: Months,
    pub verdicts: Verdicts,
    /// Rows that may become findings, in numbers, and their values.
    pub kept: Tape,
    pub values: Tape,
    pub rules: Arc<Rules>,
    memberships: Arc<Memberships>,
    explain: Option<Explain>,
    wanted: Wanted,
    bytes: Vec<u8>,
}

impl Scan {
    /// A scan that has read nothing yet.
    pub(super) fn new(
        schema: &Schema,
        (evidence, memberships): (Evidence, Memberships),
        options: &Options,
        scratch: &Arc<dyn Scratch>,
    ) -> Self {
        Self {
            graph: Graph::new(schema.tables.len()),
            verdicts: Verdicts::new(evidence.sources.len()),
            evidence: Arc::new(evidence),
            thresholds: options.thresholds,
            tables: Vec::new(),
            months: Months::default(),
            kept: Tape::new(Arc::clone(scratch)),
            values: Tape::new(Arc::clone(scratch)),
            rules: Arc::clone(&options.rules),
            memberships: Arc::new(memberships),
            explain: options.explain.clone(),
            // Rows of a baseline are told apart by their keys, so all that may be listed are kept.
            wanted: if options.baseline.is_some() { Wanted::Findings } else { options.wanted },
            bytes: Vec::new(),
        }
    }

    /// Makes ready for the rows of a table.
    pub(super) fn open(&mut self, schema: &Schema, member: &Member, map: &Map) {
        let table = schema.table(member.table);
        let layout = Layout::new(schema, member, &self.evidence, &self.memberships);
        let is_linked = match member.entity {
            Entity::Tenant => links_to_tenants(map, member.table),
            Entity::User => layout.has_tenant(),
            Entity::Session | Entity::Payment | Entity::Invoice | Entity::Subscription | Entity::Other => {
                false
            }
        };
        let is_pointed_at =
            self.evidence.is_about(member.table) || (is_linked && member.entity == Entity::Tenant);
        let crowds = layout.has_time() && !layout::is_day(table, member.fields.created_at);
        let seconds = crowds.then(|| Seconds::for_rows(table.rows_estimate));
        let factor = |id: &str| self.rules.factor(member.entity, id);
        let (graph_min, graph_max) = match (is_linked, member.entity) {
            (true, Entity::Tenant) => {
                (weigher::USERS_MIN * factor("graph.users"), weigher::USERS_MAX * factor("graph.users"))
            }
            (true, _) => {
                (weigher::TENANT_MIN * factor("graph.tenant"), weigher::TENANT_MAX * factor("graph.tenant"))
            }
            (false, _) => (0.0, 0.0),
        };
        let burst_max = if crowds { weigher::BURST_MAX * factor("created.burst") } else { 0.0 };
        let certain = match self.wanted {
            Wanted::Samples => Some(weigher::test_from(self.thresholds) - graph_min),
            Wanted::Findings => None,
        };
        self.verdicts.open();
        let shared = layout.shared_kinds().len();
        let late_max = graph_max + burst_max;
        self.tables.push(TableState {
            name: Arc::from(table.name.to_string()),
            columns: layout.key_columns(table),
            rows: 0,
            orphans: 0,
            orphan_column: layout.tenant_column(table),
            series: SeriesCounter::default(),
            seconds,
            clones: Clones::default(),
            pace: Pace::default(),
            kept_at: self.kept.end(),
            values_at: self.values.end(),
            kept: 0,
            shown: Shown::default(),
            hashes: if is_pointed_at { layout.own_sets() } else { 0 },
            shared,
            ground: Arc::new(Ground {
                layout,
                evidence: Arc::clone(&self.evidence),
                rules: Arc::clone(&self.rules),
                explain: self.explain.clone().filter(|asked| asked.is_of(&table.name)),
                series_max: weigher::SERIES_MAX * self.rules.factor(member.entity, "series.numbered"),
                listed: weigher::listed_from(self.thresholds),
                support_factor: factor("value.cloned").max(factor("created.regular")),
                late_max,
                certain,
                is_pointed_at,
                is_linked,
            }),
        });
    }

    /// What the table that is open is weighed with.
    pub(super) fn ground(&self) -> Arc<Ground> {
        Arc::clone(&self.tables.last().expect("a table is opened before its rows stream").ground)
    }

    /// Takes the rows of one block in.
    pub(super) fn batch(&mut self, batch: &Batch) -> Result<(), Fault> {
        let state = self.tables.last_mut().expect("a table is opened before its rows stream");
        let ground = Arc::clone(&state.ground);
        let (hashes, shared) = (state.hashes, state.shared);
        if let Some(seconds) = &state.seconds {
            seconds.fetch(batch.rows.iter().filter_map(|row| row.created_at));
        }
        let mut read = 0;
        for (n, row) in batch.rows.iter().enumerate() {
            let own = &batch.own[n * hashes..(n + 1) * hashes];
            let bytes = usize::try_from(row.values).expect("32 bits fit in a usize");
            let values = &batch.values[read..read + bytes];
            read += bytes;
            let shared = &batch.shared[n * shared..(n + 1) * shared];
            self.row(&ground, row, (own, shared), values)?;
        }
        Ok(())
    }

    fn row(
        &mut self,
        ground: &Ground,
        row: &Row,
        (own, shared): (&[u64], &[u64]),
        values: &[u8],
    ) -> Result<(), Fault> {
        let state = self.tables.last_mut().expect("a table is opened before its rows stream");
        state.rows += 1;
        self.months.count(row.created_at);
        let orphan = ground.is_linked && self.graph.enter(&ground.layout, row, own);
        state.orphans += u64::from(orphan);
        let is_certain = !orphan && ground.is_certain(row);
        if let Some(stem) = row.stem {
            state.series.count(stem, is_certain);
        }
        // Midnight is a day that was written into a column of times.
        let second = row.created_at.filter(|at| at % DAY_S != 0);
        if let (Some(seconds), Some(at)) = (&mut state.seconds, second) {
            seconds.count(at, is_certain);
            state.pace.count(at);
        }
        // A tenant's row is a tenant; users of whom no tenant is known are taken for those of one.
        let is_tenant = ground.layout.entity == Entity::Tenant;
        let tenant = if is_tenant { state.rows << 32 } else { row.tenant.unwrap_or(0) };
        shared.iter().for_each(|hash| state.clones.count(*hash, tenant));
        let is_kept = row.is_explained
            || if is_certain {
                self.certain(ground, row, own)
            } else {
                !values.is_empty() && self.graph.may_be_listed(ground, row, orphan)
            };
        if is_kept { self.keep(row, (own, shared), values, (orphan, is_certain)) } else { Ok(()) }
    }

    /// Counts a row that is test data whatever the whole store says; true if it should be kept to be shown.
    fn certain(&mut self, ground: &Ground, row: &Row, own: &[u64]) -> bool {
        let table = self.tables.len() - 1;
        self.verdicts.count(&self.evidence, (table, Verdict::Test), own, row.reasons.positive);
        self.months.count_test(row.created_at);
        if ground.is_linked {
            self.graph.mark_certain(row, own);
        }
        self.tables[table].shown.takes(row)
    }

    fn keep(
        &mut self,
        row: &Row,
        (own, shared): (&[u64], &[u64]),
        values: &[u8],
        (orphan, is_counted): (bool, bool),
    ) -> Result<(), Fault> {
        let kept = Kept {
            log_odds: row.log_odds,
            reasons: row.reasons,
            created_at: row.created_at,
            stem: row.stem,
            tenant: row.tenant,
            orphan,
            is_counted,
            is_explained: row.is_explained,
            values: row.values,
            own: own.to_vec(),
            shared: shared.to_vec(),
        };
        self.tables.last_mut().expect("a table is opened before its rows stream").kept += 1;
        self.bytes.clear();
        kept.encode(&mut self.bytes);
        self.kept.append(&self.bytes)?;
        self.values.append(values)
    }

    /// Counts the late signals of the rows whose verdicts were certain before.
    pub(super) fn count_late_signals(&mut self) {
        let late = Late::new(Arc::clone(&self.rules));
        let mut add = |entity: Entity, context: &Context, rows: u64| {
            let (_, positive) = late.weigh(entity, context);
            self.verdicts.count_signals(positive, rows);
        };
        for table in &self.tables {
            let entity = table.ground.layout.entity;
            for (burst_rows, rows) in table.seconds.iter().flat_map(Seconds::certain) {
                add(entity, &Context { burst_rows, ..Context::default() }, rows);
            }
            for (series, rows) in table.series.certain() {
                add(entity, &Context { series: Some(series), ..Context::default() }, rows);
            }
        }
        for (members, owner, users) in self.graph.certain() {
            add(Entity::Tenant, &Context { members, ..Context::default() }, 1);
            add(Entity::User, &Context { owner: Some(owner), ..Context::default() }, users);
        }
    }
}
