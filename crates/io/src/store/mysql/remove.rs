//! Removing a batch from MariaDB in one transaction, with every row operation counted, whoever made it.
//!
//! The server's own checks are per row: they fail on self references and on cycles, and their cascades fire no
//! triggers and are not counted. So they are off in this session while a batch is removed, and what they promise is
//! proven by sets before the commit. Parents go first: once they are locked, nobody can add a child to them, and
//! triggers of children that write to their parents find nothing left to write to.
//!
//! Invariants
//! - a row is deleted or detached only if all its columns are as they were when it was archived;
//! - the session counts each row that is inserted, changed or deleted, by triggers too: the batch is rolled back
//!   unless the numbers are exactly those of the plan, or explained by tables that the plan allows triggers to touch;
//! - no statement here commits: temporary tables aside, there is no DDL.

use super::archive::{by_key, leaving};
use super::dialect::MysqlDialect;
use super::leaves::{self, Held};
use super::session::Joins;
use super::{Mysql, Stop};
use crate::store::sql::closure::key_set;
use crate::store::sql::condition::{Conditions, Side};
use crate::store::sql::counts::{self, DetachSource, detach_sources};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::explain::{dangling, detach_sources as detach_sources_of};
use crate::store::sql::{Session, SqlError, number, text};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::fault::{Fault, counted};
use unseed_core::plan::Path;
use unseed_core::port::store::{ArchiveSink, Archived, Closure, Removal, Removed, TagRange, Work};
use unseed_core::schema::{Table, TableId};

/// Rows inserted, changed and deleted by this session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) inserted: u64,
    pub(super) updated: u64,
    pub(super) deleted: u64,
}

impl Touched {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            inserted: self.inserted.saturating_sub(before.inserted),
            updated: self.updated.saturating_sub(before.updated),
            deleted: self.deleted.saturating_sub(before.deleted),
        }
    }
}

/// Row operations that the server counts for rows of a table.
pub(super) fn operations_of(work: &Work, table: TableId, rows: u64) -> u64 {
    operations(work.schema.table(table), rows)
}

/// Each row of a partitioned table is counted once for the table and once for the partition.
fn operations(table: &Table, rows: u64) -> u64 {
    if table.partitioned { rows * 2 } else { rows }
}

impl Mysql {
    pub(super) async fn remove_batch(
        &mut self,
        work: &Work,
        batch: TagRange,
        archived: &Archived,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Removal, Fault> {
        let began = if self.in_transaction { Ok(()) } else { self.begin().await };
        let result = match began {
            Ok(()) => self.remove_and_prove(work, batch, archived, sink).await,
            Err(error) => Err(Stop::Sql(error)),
        };
        match result {
            Ok(removed) => Ok(Removal::Proven(removed)),
            Err(stop) => {
                // If this fails the connection is gone, and with it the transaction.
                drop(self.end("ROLLBACK").await);
                match stop {
                    Stop::Changed(why) => Ok(Removal::Changed(why)),
                    Stop::Sql(error) if matches!(error.code.as_deref(), Some("55P03" | "40001")) => {
                        Ok(Removal::Changed("another session holds rows of the batch".to_owned()))
                    }
                    Stop::Sql(error) => {
                        Err(error.fault("removing a batch").state("the batch was rolled back"))
                    }
                    stop @ (Stop::Fault(_) | Stop::Enough) => Err(stop.fault("removing a batch")),
                }
            }
        }
    }

    /// Begins a transaction in which the server checks no keys.
    pub(super) async fn begin(&mut self) -> Result<(), SqlError> {
        self.session.run("SET SESSION foreign_key_checks = 0").await?;
        self.session.run("START TRANSACTION").await?;
        self.in_transaction = true;
        self.session.begin_holding();
        Ok(())
    }

    /// Ends the transaction by this word, and has the server check keys again.
    pub(super) async fn end(&mut self, word: &str) -> Result<(), SqlError> {
        if !self.in_transaction {
            return Ok(());
        }
        let ended = self.session.run(word).await;
        (self.in_transaction, self.held) = (false, Held::default());
        self.session.end_transaction();
        ended?;
        // The next batch sets it again, and nothing else of ours depends on it.
        drop(self.session.run("SET SESSION foreign_key_checks = 1").await);
        Ok(())
    }

    async fn remove_and_prove(
        &mut self,
        work: &Work,
        batch: TagRange,
        archived: &Archived,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Removed, Stop> {
        let expected = self.expected(batch).await?;
        if expected.removed != archived.removed || expected.detached_rows != archived.detached {
            return Err(Stop::Changed("rows changed before they were archived".to_owned()));
        }
        self.session.join(Joins::Indexed).await?;
        self.lock(work, batch, &expected).await?;
        self.remember(work).await?;
        let before = self.touched().await?;
        self.detach(work, batch, &expected).await?;
        for table in self.order(work).iter().filter(|t| expected.removed.contains_key(t)) {
            self.delete(work, *table, batch, expected.removed[table]).await?;
        }
        self.sweep(work, batch, &expected, before).await?;
        let extra = prove(work, &expected, self.touched().await?.since(before))?;
        let mut removed = Removed {
            removed: expected.removed.clone(),
            detached: expected.detached_rows.clone(),
            ..Removed::default()
        };
        self.explain_extra(work, batch, &expected, extra, &mut removed, sink).await?;
        removed.token = self.token().await?;
        Ok(removed)
    }

    /// Parents first; where the server is to check keys, children first.
    fn order(&self, work: &Work) -> Vec<TableId> {
        let children_first = work.program.removal.iter().flatten().copied();
        match work.path {
            Path::Checked => children_first.collect(),
            Path::Fast | Path::Rewrite => children_first.rev().collect(),
        }
    }

    /// Locks the rows of a key set that leave with a batch and are what they were; returns how many.
    pub(super) async fn lock_leaving(
        &mut self,
        work: &Work,
        table: TableId,
        batch: TagRange,
    ) -> Result<u64, SqlError> {
        self.session.run(&format!("SELECT 1 {} FOR UPDATE", leaving(work, table, batch))).await
    }

    /// Locks the roots, and every row that leaves where the server is to check keys: a child that comes later would
    /// be cascaded away.
    async fn lock(&mut self, work: &Work, batch: TagRange, expected: &Closure) -> Result<(), Stop> {
        let needs_lock = |table: &TableId| {
            let by_path = work.path == Path::Checked || work.program.roots.contains(table);
            by_path && !self.held.locked.contains(table)
        };
        let needed = expected.removed.iter().filter(|(table, _)| needs_lock(table));
        let needed: Vec<(&TableId, &u64)> = needed.collect();
        for (table, rows) in needed {
            if self.lock_leaving(work, *table, batch).await? != *rows {
                return Err(Stop::Changed(changed(work.schema.table(*table))));
            }
        }
        if work.path == Path::Checked {
            let before = self.touched().await?;
            self.dangling(work, batch, expected, before, true).await?;
            self.session.join(Joins::Indexed).await?;
        }
        Ok(())
    }

    async fn detach(&mut self, work: &Work, batch: TagRange, expected: &Closure) -> Result<(), Stop> {
        for source in detach_sources(&self.sets) {
            let Some(rows) = expected.detached_rows.get(&source.table).copied() else { continue };
            let table = work.schema.table(source.table);
            let before = self.watched(work, source.table).await?;
            let done = self.session.run(&detach_sql(work, &source, batch)).await?;
            if done != rows {
                return Err(Stop::Changed(changed(table)));
            }
            if let Some(before) = before {
                let own = Touched { updated: operations(table, rows), ..Touched::default() };
                self.blame(work, source.table, before, own).await?;
            }
        }
        Ok(())
    }

    async fn delete(&mut self, work: &Work, table: TableId, batch: TagRange, rows: u64) -> Result<(), Stop> {
        let shape = work.schema.table(table);
        let before = self.watched(work, table).await?;
        let checked = work.path == Path::Checked && !is_in_cycle(work, table);
        if checked {
            self.session.run("SET SESSION foreign_key_checks = 1").await?;
        }
        let done = self.delete_rows(work, table, batch).await;
        if checked {
            self.session.run("SET SESSION foreign_key_checks = 0").await?;
        }
        if done? != rows {
            return Err(Stop::Changed(changed(shape)));
        }
        if let Some(before) = before {
            let own = Touched { deleted: operations(shape, rows), ..Touched::default() };
            self.blame(work, table, before, own).await?;
        }
        Ok(())
    }

    async fn delete_rows(&mut self, work: &Work, table: TableId, batch: TagRange) -> Result<u64, SqlError> {
        if !self.is_leaf(table) {
            return self.session.run(&delete_sql(work, table, batch)).await;
        }
        let deletions = self.deletions(work, table).await?;
        let mut rows = 0;
        for sql in deletions {
            rows += self.session.run(&sql).await?;
        }
        Ok(rows)
    }

    /// What the session has counted so far, if triggers of the table may fire and touch what the plan does not allow.
    async fn watched(&mut self, work: &Work, table: TableId) -> Result<Option<Touched>, SqlError> {
        let fires = work.schema.table(table).effects.iter().any(|e| e.on_delete || e.on_update);
        if !fires || !work.allowed_effects.is_empty() {
            return Ok(None);
        }
        self.touched().await.map(Some)
    }

    /// Refuses what a statement did beyond its own rows, and names the triggers of its table.
    async fn blame(
        &mut self,
        work: &Work,
        table: TableId,
        before: Touched,
        own: Touched,
    ) -> Result<(), Stop> {
        let extra = self.touched().await?.since(before).since(own);
        if extra == Touched::default() {
            return Ok(());
        }
        Err(Stop::Fault(unplanned(work, &BTreeSet::from([table]), extra)))
    }

    /// What this session has done to rows of tables, its own temporary ones included.
    pub(super) async fn touched(&mut self) -> Result<Touched, SqlError> {
        let sql = "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_write', 'Handler_update', 'Handler_delete')";
        let rows = self.session.rows(sql).await?;
        let of = |name: &str| rows.iter().find(|row| text(row, 0) == name).map_or(0, |row| number(row, 1));
        Ok(Touched {
            inserted: of("Handler_write"),
            updated: of("Handler_update"),
            deleted: of("Handler_delete"),
        })
    }

    /// Looks for rows that refer to removed ones.
    async fn sweep(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
        before: Touched,
    ) -> Result<(), Stop> {
        self.look_behind(work).await?;
        self.dangling(work, batch, expected, before, false).await
    }

    /// Rows that refer to rows which leave, apart from those that leave too (`leaving`), or at all.
    async fn dangling(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
        before: Touched,
        leaving: bool,
    ) -> Result<(), Stop> {
        self.join_for(&work.schema).await?;
        let d = MysqlDialect;
        let conditions = Conditions { schema: &work.schema, dialect: &d };
        for id in work.schema.reference_ids() {
            let r = work.schema.reference(id);
            // Rows that were found by this reference were removed by it, too, or it was looked at since; what they refer
            // to is locked.
            let is_done = self.held.found.contains_key(&r.child);
            if is_done || !expected.removed.contains_key(&r.parent) {
                continue;
            }
            let child = work.schema.table(r.child);
            let mut sql = format!(
                "SELECT count(*) FROM {} k JOIN {} x ON {} WHERE k.doomed AND {}",
                d.temp(&key_set(r.parent)),
                d.relation(child),
                conditions.refers(r, ("x", Side::Table), ("k", Side::Keys)),
                counts::in_batch("k", Some(batch)),
            );
            if leaving {
                let sources = detach_sources(&self.sets).into_iter().filter(|source| source.table == r.child);
                let known =
                    sources.map(|source| source.name).chain(self.sets.has(r.child).then(|| key_set(r.child)));
                for set in known.collect::<BTreeSet<_>>() {
                    let at = d.at(child, "x", "known");
                    sql.push_str(&format!(
                        " AND NOT EXISTS (SELECT 1 FROM {} known WHERE {at})",
                        d.temp(&set)
                    ));
                }
            }
            let found = self.session.rows(&sql).await?.first().map_or(0, |row| number(row, 0));
            if found == 0 {
                continue;
            }
            let message = format!(
                "{} of `{}` would refer to removed rows ({})",
                counted(found, "row"),
                child.name,
                work.schema.describe(id)
            );
            // What this session did not write came from another one since the closure.
            if self.touched().await?.since(before).inserted == 0 {
                return Err(Stop::Changed(message));
            }
            return Err(Stop::Fault(Fault::refused(message).state("the batch was rolled back").hint(
                "drop the trigger that inserts them for the purge, or leave these rows out of the plan",
            )));
        }
        Ok(())
    }
}

fn changed(table: &Table) -> String {
    format!("rows of `{}` changed since they were archived", table.name)
}

/// Whether rows of the table refer to each other, directly or over other tables: the server checks row by row, and
/// there is no order in which each row would pass.
fn is_in_cycle(work: &Work, table: TableId) -> bool {
    let group = work.program.removal.iter().find(|group| group.contains(&table));
    let refers_to_itself = work.schema.references.iter().any(|r| r.child == table && r.parent == table);
    refers_to_itself || group.is_some_and(|group| group.len() > 1)
}

/// What was counted beyond the rows of the batch; fewer than those is no batch at all.
fn prove(work: &Work, expected: &Closure, found: Touched) -> Result<Touched, Stop> {
    let sum = |rows: &BTreeMap<TableId, u64>| -> u64 {
        rows.iter().map(|(table, rows)| operations(work.schema.table(*table), *rows)).sum()
    };
    let own = Touched { inserted: 0, updated: sum(&expected.detached_rows), deleted: sum(&expected.removed) };
    if found.deleted < own.deleted || found.updated < own.updated {
        let message = format!(
            "the server counted {} and {}, where {} and {} were expected",
            counted(found.deleted, "deleted row"),
            counted(found.updated, "changed row"),
            own.deleted,
            own.updated
        );
        return Err(Stop::Fault(
            Fault::refused(message)
                .state("the batch was rolled back")
                .hint("report this with the version of the server; nothing was removed"),
        ));
    }
    Ok(found.since(own))
}

/// The refusal of what triggers did.
pub(super) fn unplanned(work: &Work, fired: &BTreeSet<TableId>, extra: Touched) -> Fault {
    let parts = [(extra.inserted, "insert"), (extra.updated, "change"), (extra.deleted, "delete")];
    let what: Vec<String> = parts
        .iter()
        .filter(|(rows, _)| *rows > 0)
        .map(|(rows, word)| format!("{word} {}", counted(*rows, "row")))
        .collect();
    let named: Vec<String> = super::effects::mentioned(work, fired)
        .tables
        .into_iter()
        .filter(|table| !work.allowed_effects.contains(table))
        .map(|table| work.schema.table(table).name.to_string())
        .collect();
    let hint = if named.is_empty() {
        "drop the trigger for the purge, or leave these rows out of the plan".to_owned()
    } else {
        let allowed: Vec<String> = named.iter().map(|name| format!("--allow-effect {name}")).collect();
        format!("plan again with {} if that is meant, or drop the trigger for the purge", allowed.join(" "))
    };
    let mut fault = Fault::refused(format!(
        "removing the batch would also {} that the plan does not name",
        what.join(" and ")
    ))
    .state("the batch was rolled back")
    .hint(hint);
    for id in fired {
        let shape = work.schema.table(*id);
        for effect in shape.effects.iter().filter(|e| e.on_delete || e.on_update) {
            fault = fault.detail(format!("it may be trigger `{}` on `{}`", effect.name, shape.name));
        }
    }
    fault
}

fn delete_sql(work: &Work, table: TableId, batch: TagRange) -> String {
    format!("DELETE x {}", leaving(work, table, batch))
}

fn detach_sql(work: &Work, source: &DetachSource, batch: TagRange) -> String {
    let d = MysqlDialect;
    let shape = work.schema.table(source.table);
    let detach = work.program.detaches.iter().find(|detach| detach.table == source.table);
    let mut flags: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (id, detachment) in detach.map(|detach| detach.references.as_slice()).unwrap_or_default() {
        if source.references.contains(id) {
            for column in &detachment.columns {
                flags.entry(*column).or_default().push(format!("k.w{}", id.0));
            }
        }
    }
    let written: Vec<String> = flags.keys().map(|column| shape.columns[*column].name.clone()).collect();
    let mut sets: Vec<String> = flags
        .into_iter()
        .map(|(column, flags)| {
            let name = d.quote(&shape.columns[column].name);
            format!("x.{name} = CASE WHEN {} THEN NULL ELSE x.{name} END", flags.join(" OR "))
        })
        .collect();
    sets.extend(d.pinned(shape, &written).into_iter().map(|(name, value)| format!("x.{name} = {value}")));
    format!(
        "UPDATE {} k STRAIGHT_JOIN {} ON {} SET {} WHERE {} AND {} AND k.ver = {}",
        d.temp(&source.name),
        by_key(shape),
        d.at(shape, "x", "k"),
        sets.join(", "),
        source.filter,
        counts::in_batch("k", Some(batch)),
        d.row_hash(shape, "x"),
    )
}

/// The removal of one batch as statements for people.
pub(super) fn explain(work: &Work) -> Vec<String> {
    let mut statements =
        vec!["SET SESSION foreign_key_checks = 0".to_owned(), "START TRANSACTION".to_owned()];
    let batch = TagRange { first: 0, last: 0 };
    statements.extend(detach_sources_of(work).iter().map(|source| detach_sql(work, source, batch)));
    let tables = work.program.removal.iter().flatten().rev();
    let delete =
        |table: &TableId| leaves::explain(work, *table).unwrap_or_else(|| delete_sql(work, *table, batch));
    statements.extend(tables.map(delete));
    let proof = dangling(&MysqlDialect, work);
    statements.extend(proof.iter().map(|sql| format!("-- must find nothing\n{sql}")));
    statements.push(
        "-- must have counted exactly the rows of the plan, triggers included, or ROLLBACK\n\
         SHOW SESSION STATUS WHERE Variable_name IN ('Handler_write', 'Handler_update', 'Handler_delete')"
            .to_owned(),
    );
    statements.push("COMMIT".to_owned());
    statements
}
