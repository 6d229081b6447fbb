//! What triggers, rules and cascades did besides the plan: counted, named, and either archived or refused.
//!
//! PostgreSQL counts per transaction how many rows of each table were inserted, updated and deleted,
//! whoever did it. Anything beyond the batch's own rows is an effect.

use super::Closed;
use super::archive::copy_out;
use super::dialect::PostgresDialect;
use super::remove::Stop;
use super::session::PgSession;
use super::sweep::Swept;
use super::written::{self, Places};
use crate::store::sql::closure::{Sets, key_set};
use crate::store::sql::counts::{self, detach_sources};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, number, text};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::fault::{Fault, counted};
use unseed_core::plan::Path;
use unseed_core::port::store::{ArchiveSink, Closure, Removed, SectionHead, SectionKind, TagRange, Work};
use unseed_core::schema::{Effect, EffectKind, Table, TableId};

/// Rows that triggers inserted are only looked up in tables up to this size, since that reads the table.
const BORN_TABLE_ROWS_MAX: u64 = 5_000_000;

/// What the server has counted in this session; the transaction, with the snapshot's end and how many transactions
/// were running, and how many triggers and checks may wait for the commit; and the relations that it keeps even
/// readers from.
pub(super) const COUNTERS: &str = "SELECT s.relid::int8, s.schemaname, s.relname, s.n_tup_ins, s.n_tup_upd, s.n_tup_del, \
     pg_current_xact_id()::text, current_setting('track_counts') FROM pg_stat_xact_all_tables s \
     WHERE s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0 AND (s.schemaname !~ '^pg_' AND s.schemaname <> 'information_schema' \
     OR s.schemaname = 'pg_catalog' AND s.relname = 'pg_largeobject_metadata') \
     UNION ALL SELECT 0, NULL, pg_snapshot_xmax(s)::text, \
     (SELECT count(*) FROM pg_trigger WHERE tginitdeferred OR tgdeferrable AND NOT tgisinternal), 0, (SELECT count(*) FROM pg_snapshot_xip(s)), \
     pg_current_xact_id()::text, current_setting('track_counts') FROM pg_current_snapshot() s \
     UNION ALL SELECT l.relation::int8, NULL, NULL, 0, 0, 0, NULL, NULL FROM pg_locks l WHERE l.pid = pg_backend_pid() \
     AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' \
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";

fn remembered(table: TableId) -> String {
    format!("unseed_e{}", table.0)
}

/// `trigger `name``, with what fires it.
pub(super) fn describe(effect: &Effect) -> String {
    let kind = match effect.kind {
        EffectKind::Trigger => "trigger",
        EffectKind::Rule => "rule",
    };
    format!("{kind} `{}`: {}", effect.name, effect.definition)
}

/// Copies the tables whose change by triggers was allowed, so that what changes can be archived; and of tables
/// with triggers on updates, the rows that are detached.
pub(super) async fn remember(
    session: &mut PgSession,
    work: &Work,
    sets: &Sets,
    batch: TagRange,
    expected: &Closure,
) -> Result<(), Stop> {
    for table in work.schema.table_ids() {
        let allowed = work.allowed_effects.contains(&table);
        if !allowed && !stamped(work, table, expected) {
            continue;
        }
        let shape = work.schema.table(table);
        let select = format!(
            "SELECT x.tableoid AS unseed_part, x.ctid AS unseed_tid, x.xmin AS unseed_ver, {} FROM {} x",
            columns(shape, "x"),
            PostgresDialect.relation(shape),
        );
        let sources = detach_sources(sets);
        let mut selects: Vec<String> = Vec::new();
        for source in sources.iter().filter(|s| s.table == table && !allowed) {
            selects.push(format!(
                "{select} JOIN {} k ON {} AND x.xmin = k.ver WHERE {} AND {}",
                PostgresDialect.temp(&source.name),
                PostgresDialect.at(shape, "x", "k"),
                source.filter,
                counts::in_batch("k", Some(batch)),
            ));
        }
        let select = if allowed { select } else { selects.join(" UNION ALL ") };
        let sql = format!("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS {select}", remembered(table));
        session.run(&sql).await?;
    }
    Ok(())
}

/// Rows of the table are detached, and triggers on updates fire and may write more into them.
fn stamped(work: &Work, table: TableId, expected: &Closure) -> bool {
    let fires =
        |e: &Effect| e.on_update && e.kind == EffectKind::Trigger && (work.path == Path::Checked || e.always);
    expected.detached_rows.contains_key(&table) && work.schema.table(table).effects.iter().any(fires)
}

/// Rows inserted, updated and deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Touched {
    inserted: u64,
    updated: u64,
    deleted: u64,
}

/// What the server has counted for this session and not yet handed over to its statistics. That can include
/// earlier transactions, so only the difference of two readings within one transaction means anything.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    /// By the relation's number; with its name.
    relations: BTreeMap<u64, (String, Touched)>,
    token: String,
    on: bool,
    next: u64,
    running: u64,
    deferred: bool,
    locked: BTreeSet<u64>,
    files: BTreeMap<u64, String>,
    beside: Vec<u64>,
}

impl Counters {
    /// What came on top since an earlier reading.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut relations = BTreeMap::new();
        for (handle, (name, now)) in &self.relations {
            let was = earlier.relations.get(handle).map(|(_, t)| *t).unwrap_or_default();
            let touched = Touched {
                inserted: now.inserted.saturating_sub(was.inserted),
                updated: now.updated.saturating_sub(was.updated),
                deleted: now.deleted.saturating_sub(was.deleted),
            };
            if touched != Touched::default() {
                relations.insert(*handle, (name.clone(), touched));
            }
        }
        Self { relations, ..self.clone() }
    }

    /// The open transaction, the first id that its snapshot does not know, and how many others were running.
    pub(super) fn transactions(&self) -> (u64, u64, u64) {
        (self.token.parse().unwrap_or_default(), self.next, self.running)
    }

    /// Whether any check or trigger of the database may wait for the commit.
    pub(super) fn anything_is_deferred(&self) -> bool {
        self.deferred
    }

    /// The file of each relation that was asked for.
    pub(super) fn files(&self) -> &BTreeMap<u64, String> {
        &self.files
    }

    /// How many rows each query had that was asked beside.
    pub(super) fn beside(&self) -> &[u64] {
        &self.beside
    }

    /// Relations that the transaction keeps even readers from.
    pub(super) fn locked(&self) -> &BTreeSet<u64> {
        &self.locked
    }

    /// Whether the server counts at all.
    pub(super) fn are_on(&self) -> bool {
        self.on
    }

    /// How many rows of the table were deleted.
    pub(super) fn deleted(&self, work: &Work, table: TableId) -> u64 {
        self.of(work, table).map(|t| t.deleted).sum()
    }

    /// How often rows of the table were inserted or updated.
    pub(super) fn written(&self, work: &Work, table: TableId) -> u64 {
        self.of(work, table).map(|t| t.inserted + t.updated).sum()
    }

    /// A relation that was written into and is none of these.
    pub(super) fn elsewhere(&self, handles: &BTreeSet<u64>) -> Option<&str> {
        let others = self.relations.iter().find(|(handle, _)| !handles.contains(handle));
        others.map(|(_, (name, _))| name.as_str())
    }

    /// What was counted for the parts of a table.
    fn of(&self, work: &Work, table: TableId) -> impl Iterator<Item = &Touched> {
        let parts = work.schema.table(table).parts.iter();
        parts.filter_map(|part| self.relations.get(&part.handle)).map(|(_, touched)| touched)
    }
}

/// Reads the counters.
pub(super) async fn counters(session: &mut PgSession) -> Result<Counters, SqlError> {
    read(session, COUNTERS).await
}

/// Reads the counters, and in which files relations are now.
pub(super) async fn counters_and_files(
    session: &mut PgSession,
    files: &BTreeMap<u64, String>,
) -> Result<Counters, SqlError> {
    let beside = Beside { files: files.keys().copied().collect(), ..Beside::default() };
    counters_beside(session, &beside).await
}

/// What is asked with the counters, so that it needs no statement of its own.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Relations whose files are asked for.
    pub(super) files: Vec<u64>,
    /// Queries whose rows are counted, in this order.
    pub(super) queries: Vec<String>,
    /// Calls of `set_config`, which hold for the statements that follow.
    pub(super) settings: Vec<&'static str>,
}

/// Reads the counters, and what is asked beside.
pub(super) async fn counters_beside(session: &mut PgSession, beside: &Beside) -> Result<Counters, SqlError> {
    let mut sql = COUNTERS.to_owned();
    if !beside.files.is_empty() {
        let handles: Vec<String> = beside.files.iter().map(ToString::to_string).collect();
        sql.push_str(&format!(
            " UNION ALL SELECT oid::int8, NULL, NULL, 0, 0, 0, coalesce(pg_relation_filenode(oid)::text, ''), NULL \
             FROM pg_class WHERE oid IN ({})",
            handles.join(", ")
        ));
    }
    for query in &beside.queries {
        let counted =
            format!(" UNION ALL SELECT 0, NULL, NULL, 0, 0, count(*), NULL, 'rows' FROM ({query}) asked");
        sql.push_str(&counted);
    }
    for setting in &beside.settings {
        sql.push_str(&format!(" UNION ALL SELECT 0, NULL, NULL, 0, 0, 0, {setting}, 'set'"));
    }
    read(session, &sql).await
}

async fn read(session: &mut PgSession, sql: &str) -> Result<Counters, SqlError> {
    let mut counters = Counters::default();
    for row in session.rows(sql).await? {
        let handle = number(&row, 0);
        if row.get(1).is_none_or(Option::is_none) {
            if handle > 0 && row.get(6).is_some_and(Option::is_some) {
                counters.files.insert(handle, text(&row, 6));
            } else if handle > 0 {
                counters.locked.insert(handle);
            } else if text(&row, 7) == "rows" {
                counters.beside.push(number(&row, 5));
            } else if text(&row, 7) != "set" {
                (counters.next, counters.running) = (number(&row, 2), number(&row, 5));
                counters.deferred = number(&row, 3) > 0;
                (counters.token, counters.on) = (text(&row, 6), text(&row, 7) == "on");
            }
        } else {
            let touched =
                Touched { inserted: number(&row, 3), updated: number(&row, 4), deleted: number(&row, 5) };
            let name = format!("{}.{}", text(&row, 1), text(&row, 2));
            counters.relations.insert(handle, (name, touched));
        }
    }
    Ok(counters)
}

/// Compares what the transaction did with the batch; names whatever is beyond it.
pub(super) fn prove(
    work: &Work,
    expected: &Closure,
    swept: &Swept,
    done: &Counters,
) -> Result<Removed, Stop> {
    if !done.on {
        return Err(Stop::Fault(uncounted()));
    }
    let mut removed = Removed {
        removed: expected.removed.clone(),
        detached: expected.detached_rows.clone(),
        token: done.token.clone(),
        ..Removed::default()
    };
    let owner: BTreeMap<u64, TableId> = work
        .schema
        .table_ids()
        .flat_map(|id| work.schema.table(id).parts.iter().map(move |part| (part.handle, id)))
        .collect();
    let mut by_table: BTreeMap<(Option<TableId>, String), Touched> = BTreeMap::new();
    for (handle, (name, touched)) in &done.relations {
        let table = owner.get(handle).copied();
        let name = table.map_or_else(|| name.clone(), |id| work.schema.table(id).name.to_string());
        let sum = by_table.entry((table, name)).or_default();
        sum.inserted += touched.inserted;
        sum.updated += touched.updated;
        sum.deleted += touched.deleted;
    }
    for ((table, name), touched) in &by_table {
        judge(work, *table, (name, *touched), swept, &mut removed)?;
    }
    let counted = |table: &TableId| {
        by_table.iter().filter(|((id, _), _)| *id == Some(*table)).map(|(_, t)| t.deleted).sum::<u64>()
    };
    match expected.removed.iter().find(|(table, rows)| counted(table) < **rows) {
        None => Ok(removed),
        Some((table, rows)) => {
            let name = &work.schema.table(*table).name;
            let message = format!("the server counted {} deletes in `{name}`, not {rows}", counted(table));
            Err(Stop::Fault(Fault::refused(message).state("the batch was rolled back")))
        }
    }
}

pub(super) fn uncounted() -> Fault {
    Fault::refused("the server does not count changes (`track_counts` is off), so nothing can be proven")
        .state("the batch was rolled back")
        .hint("turn `track_counts` on for this role or database: ALTER ROLE … SET track_counts = on")
}

fn judge(
    work: &Work,
    table: Option<TableId>,
    (name, touched): (&str, Touched),
    swept: &Swept,
    removed: &mut Removed,
) -> Result<(), Stop> {
    let of = |map: &BTreeMap<TableId, u64>| table.and_then(|id| map.get(&id).copied()).unwrap_or(0);
    let born = touched.inserted.saturating_sub(of(&swept.deleted));
    if born > 0 {
        removed.inserted.insert(name.to_owned(), born);
    }
    let deleted = touched.deleted.saturating_sub(of(&removed.removed) + of(&swept.deleted));
    let changed = match table.and_then(|id| swept.left.get(&id)) {
        Some(left) => left.saturating_sub(born),
        None => touched.updated,
    };
    let updated = changed.saturating_sub(of(&removed.detached) + of(&swept.updated));
    let allowed = table.is_some_and(|id| work.allowed_effects.contains(&id));
    if deleted + updated == 0 || allowed {
        return Ok(());
    }
    let mut what = Vec::new();
    if deleted > 0 {
        what.push(format!("delete {}", counted(deleted, "row")));
    }
    if updated > 0 {
        what.push(format!("change {}", counted(updated, "row")));
    }
    let mut fault = Fault::refused(format!(
        "removing the batch would also {} of `{name}` that the plan does not name",
        what.join(" and ")
    ))
    .state("the batch was rolled back")
    .hint(match table {
        Some(_) => format!("plan again with --allow-effect {name} if that is meant, or change the trigger"),
        None => "an archive cannot hold that; disable the trigger for the time of the run".to_owned(),
    });
    for id in removed.removed.keys() {
        let shape = work.schema.table(*id);
        for effect in shape.effects.iter().filter(|e| e.on_delete) {
            fault = fault.detail(format!("it may be {} on `{}`", describe(effect), shape.name));
        }
    }
    Err(Stop::Fault(fault))
}

fn head(shape: &Table, kind: SectionKind) -> SectionHead {
    SectionHead {
        kind,
        namespace: shape.name.namespace.clone(),
        table: shape.name.name.clone(),
        columns: shape.stored_columns().iter().map(|c| shape.columns[*c].name.clone()).collect(),
        identity_columns: 0,
    }
}

/// The columns of a row under this alias that the server does not compute itself.
pub(super) fn columns(shape: &Table, alias: &str) -> String {
    let list = shape.stored_columns();
    let quoted: Vec<String> =
        list.iter().map(|c| format!("{alias}.{}", PostgresDialect.quote(&shape.columns[*c].name))).collect();
    quoted.join(", ")
}

/// Archives what triggers changed or deleted, as it was before.
pub(super) async fn archive(
    session: &mut PgSession,
    work: &Work,
    sets: &Sets,
    batch: TagRange,
    expected: &Closure,
    sink: &mut dyn ArchiveSink,
) -> Result<BTreeMap<String, u64>, Stop> {
    let mut effects = BTreeMap::new();
    for table in work.schema.table_ids() {
        let allowed = work.allowed_effects.contains(&table);
        if !allowed && !stamped(work, table, expected) {
            continue;
        }
        let shape = work.schema.table(table);
        let mut known = String::new();
        if sets.has(table) {
            known.push_str(&format!(
                " AND NOT EXISTS (SELECT 1 FROM {} k WHERE k.tid = e.unseed_tid AND k.part = e.unseed_part AND k.doomed AND {})",
                PostgresDialect.temp(&key_set(table)),
                counts::in_batch("k", Some(batch)),
            ));
        }
        let sql = format!(
            "COPY (SELECT {} FROM pg_temp.{} e WHERE NOT EXISTS (SELECT 1 FROM {} x WHERE x.tableoid = e.unseed_part \
             AND x.ctid = e.unseed_tid AND x.xmin = e.unseed_ver){known}) TO STDOUT",
            columns(shape, "e"),
            remembered(table),
            PostgresDialect.relation(shape),
        );
        sink.begin(head(shape, SectionKind::Effect))?;
        let rows = copy_out(session, &sql, sink).await?;
        sink.end(rows)?;
        if rows > 0 && allowed {
            effects.insert(shape.name.to_string(), rows);
        }
    }
    Ok(effects)
}

/// Archives the rows that triggers inserted, and the later versions of those that they changed, so that a
/// restore can undo that.
pub(super) async fn archive_born(
    session: &mut PgSession,
    (work, closed): (&Work, &Closed),
    expected: &Closure,
    removed: &mut Removed,
    sink: &mut dyn ArchiveSink,
) -> Result<(), Stop> {
    let own: u64 = removed.token.parse().unwrap_or_default();
    for table in work.schema.table_ids() {
        let shape = work.schema.table(table);
        let inserted = removed.inserted.get(&shape.name.to_string()).copied();
        let changed = work.allowed_effects.contains(&table) || stamped(work, table, expected);
        let places = if changed {
            written::everywhere(shape, own)
        } else if let Some(inserted) = inserted.filter(|_| is_readable(shape, table, removed)) {
            let places = written::places(session, closed, shape, own, inserted).await?;
            if count(session, &places).await? == inserted { places } else { continue }
        } else {
            continue;
        };
        sink.begin(head(shape, SectionKind::Born))?;
        let mut rows = 0;
        for (relation, own) in &places {
            let list = columns(shape, "x");
            let sql = format!("COPY (SELECT {list} FROM {relation} x WHERE {own}) TO STDOUT");
            rows += copy_out(session, &sql, sink).await?;
        }
        sink.end(rows)?;
    }
    Ok(())
}

/// Whether it can be told, at a price, which rows of a table triggers inserted.
fn is_readable(shape: &Table, table: TableId, removed: &Removed) -> bool {
    shape.rows_estimate <= BORN_TABLE_ROWS_MAX && !removed.detached.contains_key(&table)
}

async fn count(session: &mut PgSession, places: &Places) -> Result<u64, SqlError> {
    let mut counted = 0;
    for (relation, own) in places {
        let rows = session.rows(&format!("SELECT count(*) FROM {relation} x WHERE {own}")).await?;
        counted += rows.first().map_or(0, |row| number(row, 0));
    }
    Ok(counted)
}
