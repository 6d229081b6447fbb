//! Removing a batch in one transaction: lock, detach, delete, look for what came in between, prove.
//!
//! The tables of a batch are deleted by one statement with one common table expression each (by a few, where
//! there are many tables): PostgreSQL checks foreign keys at the end of a statement, so cycles do not matter. On the fast path the
//! statement runs with checks skipped, but tables with triggers of the application's own are deleted in
//! statements of their own with checks on, children first, so that those triggers fire.

use super::Postgres;
use super::archive::{self, in_part};
use super::dialect::{PostgresDialect, qualified, written_by};
use super::effects::{self, Beside, Counters};
use super::locked;
use super::session::PgSession;
use super::unchecked::Checks;
use crate::store::sql::closure::key_set;
use crate::store::sql::condition::Conditions;
use crate::store::sql::counts::{self, DetachSource, detach_sources};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, number, numbered, runs};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use unseed_core::fault::{Fault, counted};
use unseed_core::plan::Path;
use unseed_core::port::store::{ArchiveSink, Archived, Closure, Removal, Removed, TagRange, Work};
use unseed_core::schema::{Effect, EffectKind, Origin, Part, TableId};

/// On the checked path a batch of so many rows is removed table by table, where that is possible: who deletes within a
/// larger statement and wants to know how many rows there were has each of them returned, which takes half as long again.
/// Below, the statements themselves would cost more.
const APART_ROWS_MIN: u64 = 200_000;

/// Why a batch was not removed.
pub(super) enum Stop {
    Sql(SqlError),
    Fault(Fault),
    /// The data moved on; close again.
    Changed(String),
    /// The lock under which checks are switched off is not free.
    Busy,
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Whether triggers and checks of the server run during a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Skipped,
    Firing,
}

pub(super) struct Segment {
    pub(super) mode: Mode,
    pub(super) tables: Vec<TableId>,
}

impl Postgres {
    pub(super) async fn remove_batch(
        &mut self,
        work: &Work,
        batch: TagRange,
        archived: &Archived,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Removal, Fault> {
        let expected = self.expected(batch).await?;
        if self.closed.rewritten.is_some() {
            return self.rewrite(work, &expected, archived).await;
        }
        if expected.removed != archived.removed || expected.detached_rows != archived.detached {
            return Ok(Removal::Changed("rows changed before they were archived".to_owned()));
        }
        self.read_by_address(true).await.map_err(|e| e.fault("beginning a batch"))?;
        let mut result = self.attempt(work, batch, &expected, true, sink).await?;
        if matches!(result, Err((Stop::Busy, _))) {
            result = self.attempt(work, batch, &expected, false, sink).await?;
        }
        match result {
            Ok(removed) => Ok(Removal::Proven(removed)),
            Err((stop, rolled_back)) => {
                match stop {
                    // Checks stay on the second time.
                    Stop::Busy => Ok(Removal::Changed("a lock is not free".to_owned())),
                    Stop::Changed(why) => Ok(Removal::Changed(why)),
                    Stop::Sql(error) if rolled_back && is_transient(&error) => {
                        match self.keeper(work, batch, &expected).await {
                            Some(fault) => Err(fault),
                            None => Ok(Removal::Changed(format!("{error}{}", suspects(work, &expected)))),
                        }
                    }
                    // 27000: a trigger changed a row that the same statement was to remove.
                    Stop::Sql(error) if !self.apart && error.code.as_deref() == Some("27000") => {
                        self.apart = true;
                        Ok(Removal::Changed(
                            "a trigger changes rows that leave; removing table by table".to_owned(),
                        ))
                    }
                    Stop::Sql(error) => {
                        let late = self.is_late(&error);
                        let fault = error.fault("removing a batch");
                        let transient = fault.transient || late;
                        Err(fault.transient(transient))
                    }
                    // What a cascade of the server took along may be news and no effect of a trigger.
                    Stop::Fault(fault) => match self.late_news(work, batch, &expected).await {
                        Some(why) => Ok(Removal::Changed(why)),
                        None => Err(fault),
                    },
                }
            }
        }
    }

    /// Removes a batch in a transaction that stays open if all is proven, and is rolled back if not; then the second
    /// value says whether the server did so.
    async fn attempt(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
        unchecked: bool,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Result<Removed, (Stop, bool)>, Fault> {
        let began = self.session.run("BEGIN").await;
        began.map_err(|e| e.fault("beginning a batch"))?;
        self.mode = None;
        self.session.begin_holding();
        match self.remove_and_prove(work, batch, expected, unchecked, sink).await {
            Ok(removed) => Ok(Ok(removed)),
            Err(stop) => {
                // If the connection is gone, the server rolls back by itself.
                let rolled_back = self.session.run("ROLLBACK").await.is_ok();
                self.session.end_transaction();
                Ok(Err((stop, rolled_back)))
            }
        }
    }

    /// News about a batch that was rolled back, of whatever reference.
    async fn late_news(&mut self, work: &Work, batch: TagRange, expected: &Closure) -> Option<String> {
        self.session.run("BEGIN").await.ok()?;
        let found = self.refuse_news(work, batch, expected, true).await;
        // If this fails the connection is gone, and the next statement tells.
        drop(self.session.run("ROLLBACK").await);
        match found {
            Err(Stop::Changed(why)) => Some(why),
            Ok(()) | Err(Stop::Sql(_) | Stop::Fault(_) | Stop::Busy) => None,
        }
    }

    async fn remove_and_prove(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
        unchecked: bool,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Removed, Stop> {
        self.limit_statements().await?;
        self.lock_tables(work, batch, expected).await?;
        let before = self.lock_rows(work, batch, expected).await?;
        let checks = if unchecked { self.lock_unchecked(work, expected).await? } else { Checks::default() };
        if *before.files() != self.closed.files {
            // Addresses mean nothing any more.
            return Err(Stop::Changed("a table was rewritten since the closure was computed".to_owned()));
        }
        effects::remember(&mut self.session, work, &self.closed.sets, batch, expected).await?;
        self.detach(work, batch, expected).await?;
        self.switch_checks(work, &checks, "DISABLE").await?;
        let mut rewritten = BTreeSet::new();
        // The first segment may be counted from here, as long as nothing else can have removed rows.
        let fires = expected.detached_rows.keys().any(|t| !work.schema.table(*t).effects.is_empty());
        let mut counted = Some(&before).filter(|before| before.are_on() && !fires);
        let segments = segments(work, expected, self.apart);
        for (place, segment) in segments.iter().enumerate() {
            let counted =
                counted.take().map(|before| (before, segments.get(place + 1).map(|next| next.mode)));
            rewritten.extend(self.delete(work, batch, expected, segment, counted).await?);
        }
        if before.anything_is_deferred() {
            // Checks and triggers that wait for the commit would act after the proof.
            self.session.run("SET CONSTRAINTS ALL IMMEDIATE").await?;
        }
        self.switch_checks(work, &checks, "ENABLE").await?;
        let mut swept = self.sweep(work, batch, expected, &before).await?;
        for table in rewritten {
            let own = written_by(self.own().await?, "x");
            let relation = PostgresDialect.relation(work.schema.table(table));
            let rows = self.session.rows(&format!("SELECT count(*) FROM {relation} x WHERE {own}")).await?;
            swept.left.insert(table, rows.first().map_or(0, |row| number(row, 0)));
        }
        let now = effects::counters(&mut self.session).await?;
        locked::refuse(work, expected, now.locked())?;
        let mut removed = effects::prove(work, expected, &swept, &now.since(&before))?;
        if !work.allowed_effects.is_empty() {
            self.unfold().await?;
        }
        removed.effects =
            effects::archive(&mut self.session, work, &self.closed.sets, batch, expected, sink).await?;
        effects::archive_born(&mut self.session, (work, &self.closed), expected, &mut removed, sink).await?;
        Ok(removed)
    }

    /// Bounds how long each statement of the transaction may take, where a person wants that.
    pub(super) async fn limit_statements(&mut self) -> Result<(), SqlError> {
        match self.waits.and_then(|waits| waits.statement_ms_max) {
            Some(ms) => self.session.run(&format!("SET LOCAL statement_timeout = {ms}")).await.map(drop),
            None => Ok(()),
        }
    }

    /// Whether a statement took longer than that; without a limit, somebody cancelled it.
    fn is_late(&self, error: &SqlError) -> bool {
        let limited = self.waits.is_some_and(|waits| waits.statement_ms_max.is_some());
        limited && error.code.as_deref() == Some("57014")
    }

    /// Keeps the tables of the batch from being rewritten until it ends, which would move their rows.
    async fn lock_tables(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
    ) -> Result<(), SqlError> {
        let mut names = BTreeSet::new();
        for table in expected.removed.keys() {
            let parts = self.closed.parts_of(work.schema.table(*table), *table, batch);
            names.extend(parts.iter().map(|part| qualified(&part.name)));
        }
        for table in expected.detached_rows.keys() {
            names.extend(work.schema.table(*table).parts.iter().map(|part| qualified(&part.name)));
        }
        if !names.is_empty() {
            let list: Vec<String> = names.iter().map(|name| format!("ONLY {name}")).collect();
            self.session.run(&format!("LOCK TABLE {} IN ROW EXCLUSIVE MODE", list.join(", "))).await?;
        }
        Ok(())
    }

    /// The id of the open transaction.
    pub(super) async fn own(&mut self) -> Result<u64, SqlError> {
        let rows = self.session.rows("SELECT pg_current_xact_id()::text").await?;
        Ok(rows.first().map_or(0, |row| number(row, 0)))
    }

    /// A row that a trigger keeps can make a key fail before anything is counted. Removing table by table,
    /// children first, tells which trigger it is; all of that is rolled back.
    async fn keeper(&mut self, work: &Work, batch: TagRange, expected: &Closure) -> Option<Fault> {
        if !expected.removed.keys().any(|table| fires(work, *table)) {
            return None;
        }
        self.session.run("BEGIN").await.ok()?;
        self.mode = None;
        let mut found = None;
        for table in work.program.removal.iter().flatten().filter(|t| expected.removed.contains_key(t)) {
            let segment = Segment { mode: Mode::Firing, tables: vec![*table] };
            match self.delete(work, batch, expected, &segment, None).await {
                Ok(_) => {}
                Err(Stop::Fault(fault)) => {
                    found = Some(fault);
                    break;
                }
                Err(Stop::Sql(_) | Stop::Changed(_) | Stop::Busy) => break,
            }
        }
        // If this fails the connection is gone, and the next statement tells.
        drop(self.session.run("ROLLBACK").await);
        found
    }

    /// Locks the rows of root tables, so that no new row can refer to them, and where triggers remove rows on
    /// their own, all rows that are there when the first of them fires.
    /// Returns the counters as they are then.
    async fn lock_rows(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
    ) -> Result<Counters, Stop> {
        let mut tables = work.program.roots.clone();
        if self.held {
            self.unfold().await?;
            let segments = segments(work, expected, self.apart).into_iter();
            tables.extend(segments.skip_while(|s| s.mode == Mode::Skipped).flat_map(|s| s.tables));
            tables.sort_unstable();
            tables.dedup();
        }
        let (mut queries, mut owners) = (Vec::new(), Vec::new());
        for table in tables.iter().filter(|table| expected.removed.contains_key(table)) {
            let shape = work.schema.table(*table);
            for part in self.closed.parts_of(shape, *table, batch) {
                queries.push(format!(
                    "SELECT 1 FROM {} k JOIN ONLY {} x ON x.ctid = k.tid AND x.xmin = k.ver \
                     WHERE k.doomed AND {}{} FOR UPDATE OF x",
                    PostgresDialect.temp(&key_set(*table)),
                    qualified(&part.name),
                    counts::in_batch("k", Some(batch)),
                    in_part(shape, &part),
                ));
                owners.push(*table);
            }
        }
        let settings = self.mode_beside(work, Mode::Skipped);
        let files = self.closed.files.keys().copied().collect();
        let counters =
            effects::counters_beside(&mut self.session, &Beside { files, queries, settings }).await?;
        let mut locked: BTreeMap<TableId, u64> = BTreeMap::new();
        for (table, rows) in owners.into_iter().zip(counters.beside()) {
            *locked.entry(table).or_default() += rows;
        }
        for table in &tables {
            let rows = expected.removed.get(table).copied().unwrap_or(0);
            let gone = rows.saturating_sub(locked.get(table).copied().unwrap_or(0));
            if gone > 0 {
                let name = &work.schema.table(*table).name;
                return Err(Stop::Changed(format!("of `{name}`, {} changed or left", counted(gone, "row"))));
            }
        }
        Ok(counters)
    }

    async fn detach(&mut self, work: &Work, batch: TagRange, expected: &Closure) -> Result<(), Stop> {
        let mut updates = Vec::new();
        for source in detach_sources(&self.closed.sets) {
            if !expected.detached_rows.contains_key(&source.table) {
                continue;
            }
            let parts = archive::parts_with_rows(
                &mut self.session,
                work,
                source.table,
                &source.name,
                source.filter,
                batch,
            )
            .await?;
            for part in parts {
                updates.push((source.table, detach_sql(work, &source, &part, batch)));
            }
        }
        if updates.is_empty() {
            return Ok(());
        }
        self.set_mode(work, if work.path == Path::Fast { Mode::Skipped } else { Mode::Firing }).await?;
        let counted = if updates.iter().any(|(table, _)| has_rule(work, *table, |e| e.on_update)) {
            run_one_by_one(&mut self.session, &updates).await?
        } else {
            run_counted(&mut self.session, batch, &|_| updates.clone()).await?
        };
        for (table, rows) in &expected.detached_rows {
            self.compare(work, *table, "detached", *rows, counted.get(table).copied().unwrap_or(0), batch)
                .await?;
        }
        Ok(())
    }

    async fn delete(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
        segment: &Segment,
        before: Option<(&Counters, Option<Mode>)>,
    ) -> Result<BTreeSet<TableId>, Stop> {
        let mut parts = Vec::new();
        for table in &segment.tables {
            let found = self.closed.parts_of(work.schema.table(*table), *table, batch);
            parts.extend(found.into_iter().map(|part| (*table, part)));
        }
        let tables: Vec<TableId> = parts.iter().map(|(table, _)| *table).collect();
        self.set_mode(work, segment.mode).await?;
        let (session, closed) = (&mut self.session, &self.closed);
        let deletes = |run: Range<usize>, tags: [&str; 2]| {
            let delete = |(table, part): &(TableId, Part)| {
                (*table, closed.delete((*table, work.schema.table(*table)), part, tags))
            };
            parts[run].iter().map(delete).collect::<Vec<_>>()
        };
        let [first, last] = [batch.first, batch.last].map(|tag| tag.to_string());
        let mut counted = if segment.tables.iter().any(|t| has_rule(work, *t, |e| e.on_delete)) {
            // Rules are not supported inside a common table expression.
            run_one_by_one(session, &deletes(0..parts.len(), [&first, &last])).await?
        } else if let Some((before, next)) = before.filter(|_| segment.mode == Mode::Skipped) {
            for run in runs::runs(&tables, std::iter::empty()) {
                run_uncounted(session, batch, &|tags| deletes(run.clone(), tags)).await?;
            }
            let settings = next.map(|next| self.mode_beside(work, next)).unwrap_or_default();
            let beside = Beside { settings, ..Beside::default() };
            let now = effects::counters_beside(&mut self.session, &beside).await?.since(before);
            tables.into_iter().map(|table| (table, now.deleted(work, table))).collect()
        } else {
            let many = work.path == Path::Checked && expected.removed.values().sum::<u64>() >= APART_ROWS_MIN;
            let mut counted = BTreeMap::new();
            for run in runs_of(work, segment, &tables, many) {
                let found = match run.len() {
                    1 if many => run_one_by_one(session, &deletes(run, [&first, &last])).await?,
                    _ => run_counted(session, batch, &|tags| deletes(run.clone(), tags)).await?,
                };
                for (table, rows) in found {
                    *counted.entry(table).or_default() += rows;
                }
            }
            counted
        };
        let mut rewritten = BTreeSet::new();
        for table in &segment.tables {
            let rows = expected.removed.get(table).copied().unwrap_or(0);
            let found = counted.entry(*table).or_default();
            if *found < rows && work.schema.tables.iter().any(|t| !t.effects.is_empty()) {
                self.set_mode(work, segment.mode).await?;
                let more = self.delete_rewritten(work, *table, batch).await?;
                *found += more;
                rewritten.extend((more > 0).then_some(*table));
            }
            if *found < rows && self.removed_by_triggers(work, *table, batch, expected).await? {
                *found = rows;
                rewritten.insert(*table);
            }
            self.compare(work, *table, "deleted", rows, *found, batch).await?;
        }
        Ok(rewritten)
    }

    /// Removes rows of the batch that a trigger of this very transaction has changed since they were archived.
    /// They have another address now, and are found by the columns that other rows refer to them by.
    async fn delete_rewritten(
        &mut self,
        work: &Work,
        table: TableId,
        batch: TagRange,
    ) -> Result<u64, SqlError> {
        let references = work.schema.references.iter();
        let mut targets = references
            .filter(|r| r.parent == table && r.origin == Origin::Declared && r.parent_parts.is_none());
        let Some(target) = targets.next() else { return Ok(0) };
        let shape = work.schema.table(table);
        let same: Vec<String> = target
            .parent_columns
            .iter()
            .map(|c| format!("x.{} = k.c{c}", PostgresDialect.quote(&shape.columns[*c].name)))
            .collect();
        let sql = format!(
            "DELETE FROM {} x USING {} k WHERE {} AND k.doomed AND {} AND {}",
            PostgresDialect.relation(shape),
            PostgresDialect.temp(&key_set(table)),
            same.join(" AND "),
            counts::in_batch("k", Some(batch)),
            written_by(self.own().await?, "x"),
        );
        self.session.run(&sql).await
    }

    /// Whether rows of the batch are gone because a trigger of it, or a cascade, has removed them. That is certain
    /// only when they were locked, so that nobody else could; how many were removed is counted in the proof.
    async fn removed_by_triggers(
        &mut self,
        work: &Work,
        table: TableId,
        batch: TagRange,
        expected: &Closure,
    ) -> Result<bool, Stop> {
        let sets = [(key_set(table), "k.doomed")];
        let suspected = expected.removed.keys().any(|t| fires(work, *t));
        if !suspected || self.still_there(work, table, &sets, batch).await? {
            return Ok(false);
        }
        if self.held {
            return Ok(true);
        }
        self.held = true;
        let name = &work.schema.table(table).name;
        Err(Stop::Changed(format!("rows of `{name}` left before their turn; locking them first")))
    }

    /// What a query that is sent anyway selects beside its own to switch the mode.
    fn mode_beside(&mut self, work: &Work, mode: Mode) -> Vec<&'static str> {
        if work.path == Path::Checked || self.mode == Some(mode) {
            return Vec::new();
        }
        self.mode = Some(mode);
        vec![match mode {
            Mode::Skipped => "set_config('session_replication_role', 'replica', true)",
            Mode::Firing => "set_config('session_replication_role', 'origin', true)",
        }]
    }

    pub(super) async fn set_mode(&mut self, work: &Work, mode: Mode) -> Result<(), SqlError> {
        for setting in self.mode_beside(work, mode) {
            self.session.run(&format!("SELECT {setting}")).await?;
        }
        Ok(())
    }

    /// Fewer rows than archived: either someone else changed them, or a trigger or rule kept them.
    async fn compare(
        &mut self,
        work: &Work,
        table: TableId,
        word: &str,
        expected: u64,
        found: u64,
        batch: TagRange,
    ) -> Result<(), Stop> {
        if expected == found {
            return Ok(());
        }
        let shape = work.schema.table(table);
        let message = format!("{found} of {expected} rows of `{}` could be {word}", shape.name);
        let blockers: Vec<&Effect> = shape
            .effects
            .iter()
            .filter(|e| if word == "deleted" { e.on_delete } else { e.on_update })
            .collect();
        let sets: Vec<(String, &str)> = if word == "deleted" {
            vec![(key_set(table), "k.doomed")]
        } else {
            let sources = detach_sources(&self.closed.sets);
            sources.into_iter().filter(|s| s.table == table).map(|s| (s.name, s.filter)).collect()
        };
        if blockers.is_empty() || !self.still_there(work, table, &sets, batch).await? {
            return Err(Stop::Changed(message));
        }
        let mut fault = Fault::refused(message)
            .state("the batch was rolled back")
            .hint("disable what keeps the rows, or leave them out of the plan, and plan again");
        for effect in blockers {
            fault = fault.detail(format!("kept by {}", effects::describe(effect)));
        }
        Err(Stop::Fault(fault))
    }

    /// Whether rows of these sets are there as they were archived: then something kept them.
    async fn still_there(
        &mut self,
        work: &Work,
        table: TableId,
        sets: &[(String, &str)],
        batch: TagRange,
    ) -> Result<bool, SqlError> {
        self.unfold().await?;
        let shape = work.schema.table(table);
        let d = PostgresDialect;
        for (name, filter) in sets {
            let sql = format!(
                "SELECT count(*) FROM {} k JOIN {} x ON {} AND x.xmin = k.ver WHERE {filter} AND {}",
                d.temp(name),
                d.relation(shape),
                d.at(shape, "x", "k"),
                counts::in_batch("k", Some(batch)),
            );
            if self.session.rows(&sql).await?.first().is_some_and(|row| number(row, 0) > 0) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Which deletes of a segment share a statement: the shortest runs, where that is wanted, before those of the first table
/// whose triggers fire, since these may change rows that leave later; and longer ones of the others.
fn runs_of(work: &Work, segment: &Segment, tables: &[TableId], shortest: bool) -> Vec<Range<usize>> {
    // Where the server checks keys, a row goes no earlier than the rows that refer to it.
    let checked = work.schema.references.iter().filter(|r| r.origin == Origin::Declared);
    let checked = checked.filter(|_| segment.mode == Mode::Firing).map(|r| (r.parent, r.child));
    let quiet = tables.iter().position(|table| fires(work, *table)).unwrap_or(tables.len());
    let mut cut = if shortest { runs::shortest(tables, checked.clone()) } else { Vec::new() };
    cut.retain(|run| run.end <= quiet);
    let from = cut.last().map_or(0, |run| run.end);
    let rest = runs::runs(&tables[from..], checked);
    cut.extend(rest.into_iter().map(|run| run.start + from..run.end + from));
    cut
}

/// Statements that change one table each, with these texts for the first and the last tag of the batch.
type Changes<'a> = dyn Fn([&str; 2]) -> Vec<(TableId, String)> + Sync + 'a;

/// Runs deletes that fire no trigger as one. A row that a statement returns is fetched once more, which takes a third of
/// the time of its removal; so they return none, and who needs to know how many there were reads the counters.
async fn run_uncounted(
    session: &mut PgSession,
    batch: TagRange,
    changes: &Changes<'_>,
) -> Result<(), SqlError> {
    let sql = |tags: [&str; 2]| {
        let with = changes(tags).into_iter().enumerate().map(|(n, (_, sql))| format!("s{n} AS ({sql})"));
        format!("WITH {} SELECT 1", with.collect::<Vec<_>>().join(", "))
    };
    session.again([batch.first, batch.last], &sql).await.map(drop)
}

/// Runs data-modifying statements as one, and returns how many rows of each table they changed.
async fn run_counted(
    session: &mut PgSession,
    batch: TagRange,
    changes: &Changes<'_>,
) -> Result<BTreeMap<TableId, u64>, SqlError> {
    let sql = |tags: [&str; 2]| {
        let (mut with, mut select) = (Vec::new(), Vec::new());
        for (n, (table, sql)) in changes(tags).into_iter().enumerate() {
            with.push(format!("s{n} AS ({sql} RETURNING 1)"));
            select.push(format!("SELECT {}, (SELECT count(*) FROM s{n})", table.0));
        }
        format!("WITH {} {}", with.join(", "), select.join(" UNION ALL "))
    };
    let mut counted = BTreeMap::new();
    for row in session.again([batch.first, batch.last], &sql).await? {
        *counted.entry(numbered(&row, 0)).or_default() += number(&row, 1);
    }
    Ok(counted)
}

async fn run_one_by_one(
    session: &mut PgSession,
    changes: &[(TableId, String)],
) -> Result<BTreeMap<TableId, u64>, SqlError> {
    let mut counted = BTreeMap::new();
    for (table, sql) in changes {
        *counted.entry(*table).or_default() += session.run(sql).await?;
    }
    Ok(counted)
}

/// Whether a key failed because of rows that came in between. Locks and deadlocks are faults that the engine tries
/// again.
fn is_transient(error: &SqlError) -> bool {
    error.code.as_deref() == Some("23503")
}

/// Triggers that may be why a key fails, again and again, though nobody else writes.
fn suspects(work: &Work, expected: &Closure) -> String {
    let of = |table: &TableId, fires: fn(&Effect) -> bool| {
        let shape = work.schema.table(*table);
        let names =
            shape.effects.iter().filter(|e| fires(e)).map(|e| format!("`{}` on `{}`", e.name, shape.name));
        names.collect::<Vec<_>>()
    };
    let mut names: Vec<String> = expected.removed.keys().flat_map(|t| of(t, |e| e.on_delete)).collect();
    if work.path == Path::Checked {
        names.extend(expected.detached_rows.keys().flat_map(|t| of(t, |e| e.on_update)));
    }
    names.truncate(3);
    if names.is_empty() { String::new() } else { format!("; it may be trigger {}", names.join(" or ")) }
}

fn has_rule(work: &Work, table: TableId, event: fn(&Effect) -> bool) -> bool {
    work.schema.table(table).effects.iter().any(|e| e.kind == EffectKind::Rule && event(e))
}

/// Whether rows of the table must be deleted with triggers firing.
pub(super) fn fires(work: &Work, table: TableId) -> bool {
    work.schema.table(table).effects.iter().any(|e| e.on_delete)
}

/// Splits the removal order, children first, where the mode changes, or between all tables whose triggers change
/// rows that leave (`apart`); a cycle is never split.
pub(super) fn segments(work: &Work, expected: &Closure, apart: bool) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for group in quiet_first(work) {
        let tables: Vec<TableId> =
            group.iter().copied().filter(|t| expected.removed.contains_key(t)).collect();
        if tables.is_empty() {
            continue;
        }
        let firing = work.path == Path::Checked || tables.iter().any(|t| fires(work, *t));
        let mode = if firing { Mode::Firing } else { Mode::Skipped };
        let with_rule = |t: &TableId| has_rule(work, *t, |e| e.on_delete);
        let alone = apart && mode == Mode::Firing || tables.iter().any(with_rule);
        match segments.last_mut() {
            Some(last) if last.mode == mode && !alone && !last.tables.iter().any(with_rule) => {
                last.tables.extend(tables);
            }
            Some(_) | None => segments.push(Segment { mode, tables }),
        }
    }
    segments
}

/// The removal order, with the tables in front that have no triggers, nor have those that refer to them: what a
/// trigger does later finds their rows gone. The others stay until then, since triggers may look at them.
fn quiet_first(work: &Work) -> Vec<&Vec<TableId>> {
    let mut children: BTreeMap<TableId, Vec<TableId>> = BTreeMap::new();
    for r in &work.schema.references {
        children.entry(r.parent).or_default().push(r.child);
    }
    let mut late: BTreeSet<TableId> = BTreeSet::new();
    for group in &work.program.removal {
        let referring = group.iter().flat_map(|table| children.get(table).into_iter().flatten());
        if group.iter().chain(referring).any(|table| fires(work, *table) || late.contains(table)) {
            late.extend(group);
        }
    }
    let mut groups: Vec<&Vec<TableId>> = work.program.removal.iter().collect();
    groups.sort_by_key(|group| group.iter().any(|table| late.contains(table)));
    groups
}

/// A delete as people read it: what is run has the same addresses as a list.
pub(super) fn delete_sql(work: &Work, table: TableId, part: &Part, batch: TagRange) -> String {
    format!(
        "DELETE FROM ONLY {} x USING {} k WHERE x.ctid = k.tid AND x.xmin = k.ver AND k.doomed AND {}{}",
        qualified(&part.name),
        PostgresDialect.temp(&key_set(table)),
        counts::in_batch("k", Some(batch)),
        in_part(work.schema.table(table), part),
    )
}

pub(super) fn detach_sql(work: &Work, source: &DetachSource, part: &Part, batch: TagRange) -> String {
    let shape = work.schema.table(source.table);
    let detach = work.program.detaches.iter().find(|d| d.table == source.table);
    let conditions = Conditions { schema: &work.schema, dialect: &PostgresDialect };
    let mut sets: BTreeMap<usize, (Vec<String>, String)> = BTreeMap::new();
    for (id, detachment) in detach.map(|d| d.references.as_slice()).unwrap_or_default() {
        if !source.references.contains(id) {
            continue;
        }
        for column in &detachment.columns {
            let value = match &shape.columns[*column].default {
                Some(default) if detachment.to_default => {
                    conditions.default_of(work.schema.reference(*id), default)
                }
                Some(_) | None => "NULL".to_owned(),
            };
            sets.entry(*column).or_insert((Vec::new(), value)).0.push(format!("k.w{}", id.0));
        }
    }
    let sets: Vec<String> = sets
        .into_iter()
        .map(|(column, (flags, value))| {
            let name = PostgresDialect.quote(&shape.columns[column].name);
            format!("{name} = CASE WHEN {} THEN {value} ELSE x.{name} END", flags.join(" OR "))
        })
        .collect();
    format!(
        "UPDATE ONLY {} x SET {} FROM {} k WHERE x.ctid = k.tid AND x.xmin = k.ver AND {} AND {}{}",
        qualified(&part.name),
        sets.join(", "),
        PostgresDialect.temp(&source.name),
        source.filter,
        counts::in_batch("k", Some(batch)),
        in_part(shape, part),
    )
}
