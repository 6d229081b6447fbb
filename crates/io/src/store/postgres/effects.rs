//! What triggers, rules and cascades did besides the plan: counted, named, and either archived or refused.
//!
//! PostgreSQL counts per transaction how many rows of each table were inserted, updated and deleted,
//! whoever did it. Anything beyond the batch's own rows is an effect.

use super::archive::copy_out;
use super::dialect::{PostgresDialect, qualified};
use super::remove::{Stop, Swept};
use super::session::PgSession;
use crate::store::sql::closure::{Sets, key_set};
use crate::store::sql::counts::{self, detach_sources};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, number, text};
use std::collections::BTreeMap;
use unseed_core::fault::Fault;
use unseed_core::port::store::{ArchiveSink, Closure, Removed, SectionHead, SectionKind, TagRange, Work};
use unseed_core::schema::{Effect, EffectKind, Table, TableId};

/// Rows that triggers inserted are only looked up in tables up to this size, since that reads the table.
const BORN_TABLE_ROWS_MAX: u64 = 5_000_000;

const COUNTERS: &str = "SELECT s.relid::int8, s.schemaname, s.relname, s.n_tup_ins, s.n_tup_upd, s.n_tup_del, \
     pg_current_xact_id()::text, current_setting('track_counts') FROM pg_stat_xact_user_tables s \
     WHERE s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0 AND s.schemaname !~ '^pg_' \
     UNION ALL SELECT 0, '', '', 0, 0, 0, pg_current_xact_id()::text, current_setting('track_counts')";

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

/// Copies the tables whose change by triggers was allowed, so that what changes can be archived.
pub(super) async fn remember(session: &mut PgSession, work: &Work) -> Result<(), Stop> {
    for table in &work.allowed_effects {
        let shape = work.schema.table(*table);
        let columns: Vec<String> = shape
            .stored_columns()
            .iter()
            .map(|c| format!("x.{}", PostgresDialect.quote(&shape.columns[*c].name)))
            .collect();
        let sql = format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT x.tableoid AS unseed_part, x.ctid AS unseed_tid, \
             x.xmin AS unseed_ver, {} FROM {} x",
            remembered(*table),
            columns.join(", "),
            PostgresDialect.relation(shape),
        );
        session.run(&sql).await?;
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Touched {
    name: String,
    inserted: u64,
    updated: u64,
    deleted: u64,
}

/// Compares the transaction's counters with the batch; names whatever is beyond it.
pub(super) async fn prove(
    session: &mut PgSession,
    work: &Work,
    expected: &Closure,
    swept: &Swept,
) -> Result<Removed, Stop> {
    let mut removed = Removed {
        removed: expected.removed.clone(),
        detached: expected.detached_rows.clone(),
        ..Removed::default()
    };
    let owner: BTreeMap<u64, TableId> = work
        .schema
        .table_ids()
        .flat_map(|id| work.schema.table(id).parts.iter().map(move |part| (part.handle, id)))
        .collect();
    let mut touched: BTreeMap<String, (Option<TableId>, Touched)> = BTreeMap::new();
    for row in session.rows(COUNTERS).await? {
        removed.token = text(&row, 6);
        if text(&row, 7) != "on" {
            return Err(Stop::Fault(uncounted()));
        }
        if number(&row, 0) == 0 {
            continue;
        }
        let table = owner.get(&number(&row, 0)).copied();
        let name = match table {
            Some(id) => work.schema.table(id).name.to_string(),
            None => format!("{}.{}", text(&row, 1), text(&row, 2)),
        };
        let entry = touched.entry(name.clone()).or_default();
        entry.0 = table;
        entry.1.name = name;
        entry.1.inserted += number(&row, 3);
        entry.1.updated += number(&row, 4);
        entry.1.deleted += number(&row, 5);
    }
    for (table, touched) in touched.values() {
        judge(work, *table, touched, swept, &mut removed)?;
    }
    let seen = |table: &TableId| touched.values().any(|(id, _)| *id == Some(*table));
    match expected.removed.iter().find(|(table, rows)| **rows > 0 && !seen(table)) {
        None => Ok(removed),
        Some((table, _)) => {
            let name = &work.schema.table(*table).name;
            Err(Stop::Fault(
                Fault::refused(format!("the server counted no deletes in `{name}`")).state("the batch was rolled back"),
            ))
        }
    }
}

fn uncounted() -> Fault {
    Fault::refused("the server does not count changes (`track_counts` is off), so nothing can be proven")
        .state("the batch was rolled back")
        .hint("turn `track_counts` on for this role or database: ALTER ROLE … SET track_counts = on")
}

fn judge(
    work: &Work,
    table: Option<TableId>,
    touched: &Touched,
    swept: &Swept,
    removed: &mut Removed,
) -> Result<(), Stop> {
    let of = |map: &BTreeMap<TableId, u64>| table.and_then(|id| map.get(&id).copied()).unwrap_or(0);
    let born = touched.inserted.saturating_sub(of(&swept.deleted));
    if born > 0 {
        removed.inserted.insert(touched.name.clone(), born);
    }
    let deleted = touched.deleted.saturating_sub(of(&removed.removed) + of(&swept.deleted));
    let updated = touched.updated.saturating_sub(of(&removed.detached) + of(&swept.updated));
    let allowed = table.is_some_and(|id| work.allowed_effects.contains(&id));
    if deleted + updated == 0 || allowed {
        return Ok(());
    }
    let mut what = Vec::new();
    if deleted > 0 {
        what.push(format!("delete {deleted}"));
    }
    if updated > 0 {
        what.push(format!("change {updated}"));
    }
    let mut fault = Fault::refused(format!(
        "removing the batch would also {} rows of `{}` that the plan does not name",
        what.join(" and "),
        touched.name
    ))
    .state("the batch was rolled back")
    .hint(format!(
        "plan again with --allow-effect {} if that is meant, or change the trigger",
        touched.name
    ));
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

fn columns(shape: &Table, alias: &str) -> String {
    let list = shape.stored_columns();
    let quoted: Vec<String> =
        list.iter().map(|c| format!("{alias}.{}", PostgresDialect.quote(&shape.columns[*c].name))).collect();
    quoted.join(", ")
}

/// Archives what triggers changed or deleted in allowed tables, as it was before.
pub(super) async fn archive(
    session: &mut PgSession,
    work: &Work,
    sets: &Sets,
    batch: TagRange,
    sink: &mut dyn ArchiveSink,
) -> Result<BTreeMap<String, u64>, Stop> {
    let mut effects = BTreeMap::new();
    for table in &work.allowed_effects {
        let shape = work.schema.table(*table);
        let mut known = String::new();
        if sets.has(*table) {
            known.push_str(&format!(
                " AND NOT EXISTS (SELECT 1 FROM {} k WHERE k.tid = e.unseed_tid AND k.part = e.unseed_part AND {})",
                PostgresDialect.temp(&key_set(*table)),
                counts::in_batch("k", Some(batch)),
            ));
        }
        for source in detach_sources(sets).iter().filter(|s| s.table == *table) {
            known.push_str(&format!(
                " AND NOT EXISTS (SELECT 1 FROM {} k WHERE k.tid = e.unseed_tid AND k.part = e.unseed_part AND {} AND {})",
                PostgresDialect.temp(&source.name),
                source.filter,
                counts::in_batch("k", Some(batch)),
            ));
        }
        let sql = format!(
            "COPY (SELECT {} FROM pg_temp.{} e WHERE NOT EXISTS (SELECT 1 FROM {} x WHERE x.tableoid = e.unseed_part \
             AND x.ctid = e.unseed_tid AND x.xmin = e.unseed_ver){known}) TO STDOUT",
            columns(shape, "e"),
            remembered(*table),
            PostgresDialect.relation(shape),
        );
        sink.begin(head(shape, SectionKind::Effect))?;
        let rows = copy_out(session, &sql, sink).await?;
        sink.end(rows)?;
        if rows > 0 {
            effects.insert(shape.name.to_string(), rows);
        }
    }
    Ok(effects)
}

/// Archives the rows that triggers inserted, so that a restore can take them away again.
pub(super) async fn archive_born(
    session: &mut PgSession,
    work: &Work,
    removed: &mut Removed,
    sink: &mut dyn ArchiveSink,
) -> Result<(), Stop> {
    for table in work.schema.table_ids() {
        let shape = work.schema.table(table);
        let Some(expected) = removed.inserted.get(&shape.name.to_string()).copied() else { continue };
        if shape.rows_estimate > BORN_TABLE_ROWS_MAX || removed.detached.contains_key(&table) {
            continue;
        }
        let own = "x.xmin = pg_current_xact_id()::xid";
        let counted = session
            .rows(&format!("SELECT count(*) FROM {} x WHERE {own}", PostgresDialect.relation(shape)))
            .await?;
        if counted.first().map_or(0, |row| number(row, 0)) != expected {
            continue;
        }
        sink.begin(head(shape, SectionKind::Born))?;
        let mut rows = 0;
        for part in &shape.parts {
            let sql = format!(
                "COPY (SELECT {} FROM ONLY {} x WHERE {own}) TO STDOUT",
                columns(shape, "x"),
                qualified(&part.name)
            );
            rows += copy_out(session, &sql, sink).await?;
        }
        sink.end(rows)?;
    }
    Ok(())
}
