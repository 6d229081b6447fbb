//! Removing a batch from SQLite under the write lock, with every change counted, whoever made it.
//!
//! The update hook sees each row of tables with a rowid; `total_changes` counts the rest, so that the sum of
//! both leaves nothing out. REPLACE deletes rows without telling either: where a trigger uses it, tables are
//! counted before and after.

use super::Sqlite;
use super::archive::{Section, write_section};
use super::dialect::{SqliteDialect, WITHOUT_ROWID};
use super::virtual_tables::{self, VirtualTables};
use crate::store::sql::closure::key_set;
use crate::store::sql::condition::{Conditions, Side};
use crate::store::sql::counts::{self, DetachSource, detach_sources};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::explain::{dangling, detach_sources as detach_sources_of};
use crate::store::sql::{Session, SqlError, number};
use rusqlite::hooks::{Action, AuthAction, AuthContext, Authorization};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use unseed_core::fault::{Fault, counted};
use unseed_core::port::store::{
    ArchiveSink, Archived, Closure, Removal, Removed, SectionKind, TagRange, Work,
};
use unseed_core::schema::TableId;

/// Rows inserted, updated and deleted in one table of the main database.
#[derive(Debug, Clone, Copy, Default)]
struct Touched {
    inserted: u64,
    updated: u64,
    deleted: u64,
}

/// What the hook saw: counts per table, and which rows were inserted and updated.
#[derive(Debug, Default)]
struct Seen {
    touched: BTreeMap<String, Touched>,
    inserted: BTreeMap<String, Vec<i64>>,
    updated: BTreeMap<String, Vec<i64>>,
}

type Counters = Arc<Mutex<Seen>>;

enum Stop {
    Sql(SqlError),
    Fault(Fault),
    Changed(String),
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

impl Sqlite {
    pub(super) async fn remove_batch(
        &mut self,
        work: &Work,
        batch: TagRange,
        archived: &Archived,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Removal, Fault> {
        // Inside a transaction this setting would be ignored.
        let off = self.session.run("PRAGMA foreign_keys = OFF").await;
        off.map_err(|e| e.fault("switching foreign-key actions"))?;
        match self.session.run("BEGIN IMMEDIATE").await {
            Ok(_) => {}
            Err(error) if error.code.as_deref() == Some("55P03") => {
                return Err(Fault::store("another process is writing to the database")
                    .transient(true)
                    .hint("wait until it is done"));
            }
            Err(error) => return Err(read_only_hint(error.fault("taking the write lock"))),
        }
        self.session.holding_since = Some(std::time::Instant::now());
        let counters = self.watch().map_err(|e| e.fault("watching changes"))?;
        let result = self.remove_and_prove(work, batch, archived, &counters, sink).await;
        self.unwatch();
        match result {
            Ok(removed) => Ok(Removal::Proven(removed)),
            Err(stop) => {
                drop(self.session.run("ROLLBACK").await);
                self.session.end_transaction();
                match stop {
                    Stop::Changed(why) => Ok(Removal::Changed(why)),
                    Stop::Sql(error) => Err(error.fault("removing a batch")),
                    Stop::Fault(fault) => Err(fault),
                }
            }
        }
    }

    /// Counts every row that changes from now on, by whatever means.
    fn watch(&self) -> Result<Counters, SqlError> {
        let counters = Counters::default();
        let counting = Arc::clone(&counters);
        let hook = move |action: Action, database: &str, table: &str, rowid: i64| {
            if database != "main" {
                return;
            }
            let mut seen = counting.lock().unwrap_or_else(PoisonError::into_inner);
            let name = table.to_lowercase();
            if action == Action::SQLITE_UPDATE {
                seen.updated.entry(name.clone()).or_default().push(rowid);
            }
            if action == Action::SQLITE_INSERT {
                seen.inserted.entry(name.clone()).or_default().push(rowid);
            }
            let touched = seen.touched.entry(name).or_default();
            match action {
                Action::SQLITE_INSERT => touched.inserted += 1,
                Action::SQLITE_UPDATE => touched.updated += 1,
                Action::SQLITE_DELETE => touched.deleted += 1,
                // The enumeration may grow; whatever is new counts as a change nobody planned.
                Action::UNKNOWN | _ => touched.updated += 1,
            }
        };
        self.session.db.update_hook(Some(hook)).map_err(|error| super::sql_error(&error))?;
        // Without this a DELETE of all rows of a table goes past the hook.
        let row_by_row = |asked: AuthContext<'_>| {
            let own = |table: &str| asked.database_name == Some("main") && !table.starts_with("sqlite_");
            let deletes = matches!(asked.action, AuthAction::Delete { table_name } if own(table_name));
            if deletes { Authorization::Ignore } else { Authorization::Allow }
        };
        self.session.db.authorizer(Some(row_by_row)).map_err(|error| super::sql_error(&error))?;
        Ok(counters)
    }

    fn unwatch(&self) {
        drop(self.session.db.update_hook(None::<fn(Action, &str, &str, i64)>));
        drop(self.session.db.authorizer(None::<fn(AuthContext<'_>) -> Authorization>));
    }

    async fn remove_and_prove(
        &mut self,
        work: &Work,
        batch: TagRange,
        archived: &Archived,
        counters: &Counters,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Removed, Stop> {
        if self.data_version()? != self.version {
            return Err(Stop::Changed("another process has written to the database".to_owned()));
        }
        let expected = counts::batch(&mut self.session, &self.sets, batch).await?;
        if expected.removed != archived.removed || expected.detached_rows != archived.detached {
            return Err(Stop::Changed("rows changed before they were archived".to_owned()));
        }
        self.remember(work).await?;
        let before = self.count_if_replaced(work).await?;
        let changes = self.session.db.total_changes();
        for source in detach_sources(&self.sets) {
            if let Some(rows) = expected.detached_rows.get(&source.table).copied() {
                let done = self.session.run(&detach_sql(work, &source, batch)).await?;
                self.compare(work, source.table, "detached", rows, done)?;
            }
        }
        for table in work.program.removal.iter().flatten() {
            if let Some(rows) = expected.removed.get(table).copied() {
                let done = self.session.run(&delete_sql(work, *table, batch)).await?;
                self.compare(work, *table, "deleted", rows, done)?;
            }
        }
        let swept = self.sweep(work, batch, &expected).await?;
        let changes = self.session.db.total_changes().saturating_sub(changes);
        let gone = self.updates_of_doomed(work, batch, &expected, counters).await?;
        let virtuals = self.virtual_tables(work)?;
        let mut removed = prove((work, &virtuals), &expected, &swept, &gone, counters)?;
        uncounted((work, &virtuals), &expected, &swept, counters, changes)?;
        self.compare_counts(work, before, counters, &expected).await?;
        removed.effects = self.archive_effects(work, batch, sink).await?;
        self.archive_born(work, &removed, counters, sink).await?;
        removed.token = format!("{}..{}", batch.first, batch.last);
        Ok(removed)
    }

    /// How many updates were of rows that left afterwards: a counter on a parent, for instance, that a trigger
    /// of a child keeps up to date until the end.
    async fn updates_of_doomed(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
        counters: &Counters,
    ) -> Result<BTreeMap<TableId, u64>, SqlError> {
        let updated = counters.lock().unwrap_or_else(PoisonError::into_inner).updated.clone();
        let mut gone = BTreeMap::new();
        for table in expected.removed.keys() {
            let Some(rows) = updated.get(&work.schema.table(*table).name.name.to_lowercase()) else {
                continue;
            };
            let sql = format!(
                "SELECT k.tid FROM {} k WHERE k.doomed AND {}",
                SqliteDialect.temp(&key_set(*table)),
                counts::in_batch("k", Some(batch))
            );
            let doomed = self.session.rows(&sql).await?;
            let doomed: BTreeSet<i64> =
                doomed.iter().filter_map(|row| row.first()?.as_ref()?.parse().ok()).collect();
            let count = rows.iter().filter(|rowid| doomed.contains(rowid)).count();
            gone.insert(*table, u64::try_from(count).unwrap_or(u64::MAX));
        }
        Ok(gone)
    }

    /// Virtual tables, where triggers may write to them.
    fn virtual_tables(&self, work: &Work) -> Result<VirtualTables, SqlError> {
        if work.schema.tables.iter().all(|t| t.effects.is_empty()) {
            return Ok(VirtualTables::default());
        }
        VirtualTables::read(&self.session.db).map_err(|error| super::sql_error(&error))
    }

    /// Row counts of all tables, if a trigger may delete rows without the hook being told: by REPLACE, in its
    /// own words or in those of a table that it writes to.
    async fn count_if_replaced(&mut self, work: &Work) -> Result<Option<BTreeMap<TableId, u64>>, SqlError> {
        if work.schema.tables.iter().all(|t| t.effects.is_empty()) {
            return Ok(None);
        }
        let replaces = "SELECT count(*) FROM main.sqlite_schema WHERE sql LIKE '%REPLACE%'";
        if self.session.rows(replaces).await?.first().is_none_or(|row| number(row, 0) == 0) {
            return Ok(None);
        }
        let tables: Vec<TableId> = work.schema.table_ids().collect();
        counts::tables(&mut self.session, &work.schema, &tables).await.map(Some)
    }

    async fn compare_counts(
        &mut self,
        work: &Work,
        before: Option<BTreeMap<TableId, u64>>,
        counters: &Counters,
        expected: &Closure,
    ) -> Result<(), Stop> {
        let Some(before) = before else { return Ok(()) };
        let tables: Vec<TableId> = before.keys().copied().collect();
        let after = counts::tables(&mut self.session, &work.schema, &tables).await?;
        let counted = counters.lock().unwrap_or_else(PoisonError::into_inner).touched.clone();
        for (table, rows) in before {
            let shape = work.schema.table(table);
            let key = shape.name.name.to_lowercase();
            if super::dialect::rowid(shape).is_none() || work.allowed_effects.contains(&table) {
                continue;
            }
            let touched = counted.get(&key).copied().unwrap_or_default();
            let left = (rows + touched.inserted).saturating_sub(touched.deleted);
            let found = after.get(&table).copied().unwrap_or_default();
            if left != found {
                let mut fault = unplanned(&shape.name.to_string(), left.saturating_sub(found), 0);
                fault = blame(fault, work, expected);
                return Err(Stop::Fault(fault.detail("a trigger replaces rows with INSERT OR REPLACE")));
            }
        }
        Ok(())
    }

    fn compare(
        &self,
        work: &Work,
        table: TableId,
        word: &str,
        expected: u64,
        found: u64,
    ) -> Result<(), Stop> {
        if expected == found {
            return Ok(());
        }
        let shape = work.schema.table(table);
        let mut fault =
            Fault::refused(format!("{found} of {expected} rows of `{}` could be {word}", shape.name))
                .state("the batch was rolled back")
                .hint("disable the trigger that keeps or removes the rows, and plan again");
        for effect in &shape.effects {
            fault = fault.detail(format!("it may be trigger `{}`: {}", effect.name, effect.definition));
        }
        Err(Stop::Fault(fault))
    }

    /// Copies what triggers may insert into or change, so that it can be archived.
    async fn remember(&mut self, work: &Work) -> Result<(), SqlError> {
        let d = SqliteDialect;
        for table in &work.allowed_effects {
            let shape = work.schema.table(*table);
            let name = d.temp(&format!("unseed_e{}", table.0));
            self.session.run(&format!("DROP TABLE IF EXISTS {name}")).await?;
            let address = d.address_of(shape, "x").join(", ");
            let sql = format!(
                "CREATE TEMPORARY TABLE {name} AS SELECT {address} AS unseed_tid, {} AS unseed_ver, x.* FROM {} x",
                d.row_hash(shape, "x"),
                d.relation(shape)
            );
            self.session.run(&sql).await?;
        }
        let watermark = d.temp("unseed_watermark");
        self.session.run(&format!("DROP TABLE IF EXISTS {watermark}")).await?;
        let selects: Vec<String> = work
            .schema
            .table_ids()
            .filter_map(|id| {
                let shape = work.schema.table(id);
                let rowid = super::dialect::rowid(shape)?;
                Some(format!("SELECT {} AS t, max({rowid}) AS top FROM {}", id.0, d.relation(shape)))
            })
            .collect();
        if !work.schema.tables.iter().any(|t| !t.effects.is_empty()) || selects.is_empty() {
            return Ok(());
        }
        self.session.run(&format!("CREATE TEMPORARY TABLE {watermark} AS {}", selects[0])).await?;
        for select in &selects[1..] {
            self.session.run(&format!("INSERT INTO {watermark} {select}")).await?;
        }
        Ok(())
    }

    /// Looks for rows that refer to removed ones. Under the write lock only triggers of this batch can have
    /// written them; they go with it. Anything else means that the closure was not complete.
    async fn sweep(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
    ) -> Result<BTreeMap<TableId, u64>, Stop> {
        let mut swept = BTreeMap::new();
        let d = SqliteDialect;
        let watched = work.schema.tables.iter().any(|t| !t.effects.is_empty());
        for _ in 0..8 {
            let mut found = 0;
            for id in work.schema.reference_ids() {
                let r = work.schema.reference(id);
                if !expected.removed.contains_key(&r.parent) {
                    continue;
                }
                let conditions = Conditions { schema: &work.schema, dialect: &d };
                let child = work.schema.table(r.child);
                let refers = format!(
                    "EXISTS (SELECT 1 FROM {} k WHERE {} AND k.doomed AND {})",
                    d.temp(&key_set(r.parent)),
                    conditions.refers(r, ("x", Side::Table), ("k", Side::Keys)),
                    counts::in_batch("k", Some(batch)),
                );
                let count = format!("SELECT count(*) FROM {} AS x WHERE {refers}", d.relation(child));
                let dangling = self.session.rows(&count).await?.first().map_or(0, |row| number(row, 0));
                if dangling == 0 {
                    continue;
                }
                let rowid = super::dialect::rowid(child).filter(|_| watched);
                let mut removed = 0;
                if let Some(rowid) = rowid {
                    let sql = format!(
                        "DELETE FROM {} AS x WHERE {refers} AND x.{rowid} > (SELECT coalesce(max(top), -9223372036854775808) FROM {} WHERE t = {})",
                        d.relation(child),
                        d.temp("unseed_watermark"),
                        r.child.0,
                    );
                    removed = self.session.run(&sql).await?;
                }
                if removed < dangling {
                    let message = format!(
                        "{} of `{}` would refer to removed rows ({})",
                        counted(dangling - removed, "row"),
                        child.name,
                        work.schema.describe(id)
                    );
                    return Err(Stop::Fault(Fault::refused(message).state("the batch was rolled back")));
                }
                *swept.entry(r.child).or_default() += removed;
                found += removed;
            }
            if found == 0 {
                return Ok(swept);
            }
        }
        Err(Stop::Fault(
            Fault::refused("triggers of the removed rows keep inserting rows that refer to them")
                .state("the batch was rolled back")
                .hint("drop the trigger for the purge, or leave these rows out of the plan"),
        ))
    }

    async fn archive_effects(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<BTreeMap<String, u64>, Stop> {
        let d = SqliteDialect;
        let mut effects = BTreeMap::new();
        for table in &work.allowed_effects {
            let shape = work.schema.table(*table);
            let mut source = format!(
                "FROM {} x WHERE NOT EXISTS (SELECT 1 FROM {} y WHERE {} = x.unseed_tid AND {} = x.unseed_ver)",
                d.temp(&format!("unseed_e{}", table.0)),
                d.relation(shape),
                d.address_of(shape, "y").join(", "),
                d.row_hash(shape, "y"),
            );
            if self.sets.has(*table) {
                source.push_str(&format!(
                    " AND NOT EXISTS (SELECT 1 FROM {} k WHERE k.tid = x.unseed_tid AND {})",
                    d.temp(&key_set(*table)),
                    counts::in_batch("k", Some(batch)),
                ));
            }
            let columns = shape.stored_columns();
            let section = Section { table: *table, kind: SectionKind::Effect, columns, identity: 0, source };
            let rows = tokio::task::block_in_place(|| write_section(&self.session.db, work, &section, sink))?;
            if rows > 0 {
                effects.insert(shape.name.to_string(), rows);
            }
        }
        Ok(effects)
    }

    /// Archives rows that triggers inserted, which their rowids tell, and in allowed tables every row that was
    /// not there like that before.
    async fn archive_born(
        &mut self,
        work: &Work,
        removed: &Removed,
        counters: &Counters,
        sink: &mut dyn ArchiveSink,
    ) -> Result<(), Stop> {
        let d = SqliteDialect;
        for table in work.schema.table_ids() {
            let shape = work.schema.table(table);
            if work.allowed_effects.contains(&table) {
                let source = format!(
                    "FROM {} x WHERE NOT EXISTS (SELECT 1 FROM {} e WHERE e.unseed_tid = {} AND e.unseed_ver = {})",
                    d.relation(shape),
                    d.temp(&format!("unseed_e{}", table.0)),
                    d.address_of(shape, "x").join(", "),
                    d.row_hash(shape, "x"),
                );
                let columns = shape.stored_columns();
                let section = Section { table, kind: SectionKind::Born, columns, identity: 0, source };
                tokio::task::block_in_place(|| write_section(&self.session.db, work, &section, sink))?;
                continue;
            }
            let Some(expected) = removed.inserted.get(&shape.name.to_string()).copied() else { continue };
            let Some(rowid) = super::dialect::rowid(shape) else { continue };
            let born = counters.lock().unwrap_or_else(PoisonError::into_inner).inserted.clone();
            let born = born.get(&shape.name.name.to_lowercase()).cloned().unwrap_or_default();
            let name = d.temp("unseed_born");
            self.session.run(&format!("DROP TABLE IF EXISTS {name}")).await?;
            self.session.run(&format!("CREATE TEMPORARY TABLE {name} AS SELECT 0 AS id WHERE false")).await?;
            self.session.load(&name, &mut born.iter().map(|id| vec![id.to_string()])).await?;
            let source = format!(
                "FROM {} x WHERE x.{rowid} IN (SELECT CAST(id AS INTEGER) FROM {name})",
                d.relation(shape)
            );
            let counted = self.session.rows(&format!("SELECT count(*) {source}")).await?;
            if counted.first().map_or(0, |row| number(row, 0)) != expected {
                continue;
            }
            let columns = shape.stored_columns();
            let section = Section { table, kind: SectionKind::Born, columns, identity: 0, source };
            tokio::task::block_in_place(|| write_section(&self.session.db, work, &section, sink))?;
        }
        Ok(())
    }
}

fn read_only_hint(fault: Fault) -> Fault {
    if fault.message.contains("readonly") || fault.message.contains("read-only") {
        return fault.hint("make the database file and its folder writable for this user");
    }
    fault
}

fn prove(
    (work, virtuals): (&Work, &VirtualTables),
    expected: &Closure,
    swept: &BTreeMap<TableId, u64>,
    gone: &BTreeMap<TableId, u64>,
    counters: &Counters,
) -> Result<Removed, Stop> {
    let mut removed = Removed {
        removed: expected.removed.clone(),
        detached: expected.detached_rows.clone(),
        ..Removed::default()
    };
    let counted = counters.lock().unwrap_or_else(PoisonError::into_inner).touched.clone();
    for (name, touched) in counted {
        if let Some(owner) = virtuals.owner(&name) {
            kept_in_step(work, virtuals, owner, expected)?;
            continue;
        }
        let table =
            work.schema.table_ids().find(|id| work.schema.table(*id).name.name.to_lowercase() == name);
        let of = |map: &BTreeMap<TableId, u64>| table.and_then(|id| map.get(&id).copied()).unwrap_or(0);
        let shown = table.map_or_else(|| name.clone(), |id| work.schema.table(id).name.to_string());
        let deleted = i128::from(touched.deleted) - i128::from(of(&expected.removed)) - i128::from(of(swept));
        let updated =
            i128::from(touched.updated) - i128::from(of(&expected.detached_rows)) - i128::from(of(gone));
        let born = touched.inserted.saturating_sub(of(swept));
        if born > 0 {
            removed.inserted.insert(shown.clone(), born);
        }
        let allowed = table.is_some_and(|id| work.allowed_effects.contains(&id));
        // SQLite keeps its own bookkeeping of AUTOINCREMENT in a table.
        if name.starts_with("sqlite_") || allowed || (deleted <= 0 && updated <= 0) {
            continue;
        }
        let counts = (deleted.max(0), updated.max(0));
        let as_rows = |n: i128| u64::try_from(n).unwrap_or_default();
        let fault = unplanned(&shown, as_rows(counts.0), as_rows(counts.1));
        return Err(Stop::Fault(blame(fault, work, expected)));
    }
    Ok(removed)
}

/// Triggers may take the entries of rows out of a virtual table if a restore can enter them again.
fn kept_in_step(work: &Work, virtuals: &VirtualTables, name: &str, expected: &Closure) -> Result<(), Stop> {
    let tables = expected.removed.keys().map(|id| work.schema.table(*id));
    let Some(table) = virtuals.one_way(name, tables) else { return Ok(()) };
    let message = format!(
        "triggers of `{}` take entries out of the virtual table `{name}`, and no archive holds those",
        table.name
    );
    let hint = format!(
        "drop the trigger for the purge and fill `{name}` again afterwards, or give `{}` an insert trigger that enters them",
        table.name
    );
    Err(Stop::Fault(Fault::refused(message).state("the batch was rolled back").hint(hint)))
}

fn unplanned(table: &str, deleted: u64, updated: u64) -> Fault {
    let delete = (deleted > 0).then(|| format!("delete {}", counted(deleted, "row")));
    let change = (updated > 0).then(|| format!("change {}", counted(updated, "row")));
    let what: Vec<String> = delete.into_iter().chain(change).collect();
    Fault::refused(format!(
        "removing the batch would also {} of `{table}` that the plan does not name",
        what.join(" and ")
    ))
    .state("the batch was rolled back")
    .hint(format!("plan again with --allow-effect {table} if that is meant, or change the trigger"))
}

/// Names the triggers that may be behind an effect.
fn blame(mut fault: Fault, work: &Work, expected: &Closure) -> Fault {
    for id in expected.removed.keys().chain(expected.detached_rows.keys()) {
        let shape = work.schema.table(*id);
        for effect in &shape.effects {
            fault = fault.detail(format!("it may be trigger `{}` on `{}`", effect.name, shape.name));
        }
    }
    fault
}

/// Changes that no hook saw: rows of tables without a rowid. They must be the batch's own.
fn uncounted(
    (work, virtuals): (&Work, &VirtualTables),
    expected: &Closure,
    swept: &BTreeMap<TableId, u64>,
    counters: &Counters,
    changes: u64,
) -> Result<(), Stop> {
    let counted = counters.lock().unwrap_or_else(PoisonError::into_inner).touched.clone();
    let seen: u64 = counted.values().map(|t| t.inserted + t.updated + t.deleted).sum();
    let without: Vec<TableId> = work
        .schema
        .table_ids()
        .filter(|id| work.schema.table(*id).parts.iter().any(|p| p.handle == WITHOUT_ROWID))
        .collect();
    let own: u64 = without
        .iter()
        .map(|id| {
            let of = |map: &BTreeMap<TableId, u64>| map.get(id).copied().unwrap_or(0);
            of(&expected.removed) + of(&expected.detached_rows) + of(swept)
        })
        .sum();
    // Some shadow tables have no rowid either. What else has none is only written to by triggers that say so.
    let entries = counted.keys().any(|name| virtuals.owner(name).is_some());
    let named = |id: &TableId| {
        let name = work.schema.table(*id).name.name.to_lowercase();
        work.schema.tables.iter().flat_map(|t| &t.effects).any(|e| virtual_tables::writes(e, &name))
    };
    if entries && !without.iter().any(named) {
        return Ok(());
    }
    if changes <= seen + own || without.iter().any(|id| work.allowed_effects.contains(id)) {
        return Ok(());
    }
    let names: Vec<String> = without.iter().map(|id| work.schema.table(*id).name.to_string()).collect();
    let fault = unplanned(&names.join(", "), 0, changes - seen - own);
    Err(Stop::Fault(blame(fault, work, expected)))
}

fn delete_sql(work: &Work, table: TableId, batch: TagRange) -> String {
    let d = SqliteDialect;
    let shape = work.schema.table(table);
    format!(
        "DELETE FROM {} AS x WHERE {} IN (SELECT k.tid FROM {} k WHERE k.doomed AND {})",
        d.relation(shape),
        d.address_of(shape, "x").join(", "),
        d.temp(&key_set(table)),
        counts::in_batch("k", Some(batch)),
    )
}

fn detach_sql(work: &Work, source: &DetachSource, batch: TagRange) -> String {
    let d = SqliteDialect;
    let shape = work.schema.table(source.table);
    let detach = work.program.detaches.iter().find(|detach| detach.table == source.table);
    let conditions = Conditions { schema: &work.schema, dialect: &d };
    let mut sets: BTreeMap<usize, (Vec<String>, String)> = BTreeMap::new();
    for (id, detachment) in detach.map(|detach| detach.references.as_slice()).unwrap_or_default() {
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
            let name = d.quote(&shape.columns[column].name);
            format!("{name} = CASE WHEN {} THEN {value} ELSE x.{name} END", flags.join(" OR "))
        })
        .collect();
    format!(
        "UPDATE {} AS x SET {} FROM {} k WHERE {} AND {} AND {}",
        d.relation(shape),
        sets.join(", "),
        d.temp(&source.name),
        d.at(shape, "x", "k"),
        source.filter,
        counts::in_batch("k", Some(batch)),
    )
}

/// The removal of one batch as statements for people.
pub(super) fn explain(work: &Work) -> Vec<String> {
    let mut statements = vec!["PRAGMA foreign_keys = OFF".to_owned(), "BEGIN IMMEDIATE".to_owned()];
    let batch = TagRange { first: 0, last: 0 };
    statements.push("-- must be what it was when the closure was computed\nPRAGMA data_version".to_owned());
    statements.extend(detach_sources_of(work).iter().map(|source| detach_sql(work, source, batch)));
    statements.extend(work.program.removal.iter().flatten().map(|table| delete_sql(work, *table, batch)));
    let proof = dangling(&SqliteDialect, work);
    statements.extend(proof.iter().map(|sql| format!("-- must find nothing\n{sql}")));
    statements.push(
        "-- a hook has counted every change: exactly what the plan says, or ROLLBACK\nCOMMIT".to_owned(),
    );
    statements
}
