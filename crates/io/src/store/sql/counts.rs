//! Counting: what a closure holds, what a table holds, which references lead nowhere.

use super::closure::{Sets, detach_set, key_set};
use super::condition::{Conditions, Side};
use super::dialect::Dialect;
use super::{Session, SqlError, TextRow, number, numbered, text};
use std::collections::BTreeMap;
use unseed_core::port::store::{Closure, Orphans, TagRange};
use unseed_core::schema::{ReferenceId, Schema, TableId};

/// Restricts a set to the tags of a batch.
pub(crate) fn in_batch(alias: &str, batch: Option<TagRange>) -> String {
    match batch {
        Some(range) => format!("{alias}.tag BETWEEN {} AND {}", range.first, range.last),
        None => "true".to_owned(),
    }
}

/// A set of detached rows: where it is, which rows of it count, and for which references.
pub(crate) struct DetachSource {
    pub(crate) table: TableId,
    pub(crate) name: String,
    pub(crate) filter: &'static str,
    pub(crate) references: Vec<ReferenceId>,
}

/// All sets that may hold detached rows.
pub(crate) fn detach_sources(sets: &Sets) -> Vec<DetachSource> {
    let mut sources: Vec<DetachSource> = sets
        .keys
        .iter()
        .filter(|(_, set)| !set.inline.is_empty() && set.rows > 0)
        .map(|(table, set)| DetachSource {
            table: *table,
            name: key_set(*table),
            filter: "NOT k.doomed",
            references: set.inline.clone(),
        })
        .collect();
    sources.extend(sets.detached.iter().map(|(table, references)| DetachSource {
        table: *table,
        name: detach_set(*table),
        filter: "true",
        references: references.clone(),
    }));
    sources
}

/// What every set holds per tag, so that a batch need not be counted again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    removed: BTreeMap<TableId, BTreeMap<u64, u64>>,
    detached: BTreeMap<TableId, BTreeMap<u64, u64>>,
}

impl Tally {
    /// Rows that leave per tag, over all tables.
    pub(crate) fn rows(&self) -> BTreeMap<u64, u64> {
        let mut rows = BTreeMap::new();
        for (tag, count) in self.removed.values().flatten() {
            *rows.entry(*tag).or_default() += count;
        }
        rows
    }

    /// Notes how many rows of a table leave with a tag.
    pub(crate) fn set_removed(&mut self, table: TableId, tag: u64, rows: u64) {
        self.removed.entry(table).or_default().insert(tag, rows);
    }

    /// What a batch holds. Counts per reference are left out.
    pub(crate) fn batch(&self, range: TagRange) -> Closure {
        let within = |tags: &BTreeMap<TableId, BTreeMap<u64, u64>>| -> BTreeMap<TableId, u64> {
            tags.iter()
                .map(|(table, tags)| (*table, tags.range(range.first..=range.last).map(|(_, n)| n).sum()))
                .filter(|(_, rows): &(TableId, u64)| *rows > 0)
                .collect()
        };
        Closure {
            removed: within(&self.removed),
            detached_rows: within(&self.detached),
            ..Closure::default()
        }
    }
}

/// Counts all sets per tag, in one statement; what has none is the store's to add.
pub(crate) async fn tally(session: &mut dyn Session, sets: &Sets) -> Result<Tally, SqlError> {
    let d = session.dialect();
    let filled = sets.keys.iter().filter(|(_, set)| set.rows > 0 && !set.is_leaf);
    let mut selects: Vec<String> = filled
        .map(|(table, _)| {
            let name = d.temp(&key_set(*table));
            format!("SELECT 'k', {}, k.tag, count(*) FROM {name} k WHERE k.doomed GROUP BY k.tag", table.0)
        })
        .collect();
    selects.extend(detached_per_tag(d, sets));
    let mut tally = Tally::default();
    add(session, &selects, &mut tally).await?;
    Ok(tally)
}

/// Adds the detached rows per tag, where those that leave were counted otherwise.
pub(crate) async fn tally_detached(
    session: &mut dyn Session,
    sets: &Sets,
    tally: &mut Tally,
) -> Result<(), SqlError> {
    let selects = detached_per_tag(session.dialect(), sets);
    add(session, &selects, tally).await
}

fn detached_per_tag(d: &dyn Dialect, sets: &Sets) -> Vec<String> {
    let select = |source: DetachSource| {
        let (name, filter) = (d.temp(&source.name), source.filter);
        format!("SELECT 'd', {}, k.tag, count(*) FROM {name} k WHERE {filter} GROUP BY k.tag", source.table.0)
    };
    detach_sources(sets).into_iter().map(select).collect()
}

async fn add(session: &mut dyn Session, selects: &[String], tally: &mut Tally) -> Result<(), SqlError> {
    if selects.is_empty() {
        return Ok(());
    }
    for row in session.rows(&selects.join(" UNION ALL ")).await? {
        let table = numbered(&row, 1);
        let kind = if text(&row, 0) == "k" { &mut tally.removed } else { &mut tally.detached };
        kind.entry(table).or_default().insert(number(&row, 2), number(&row, 3));
    }
    Ok(())
}

/// Rows that leave per table, and how many of them are open.
pub(crate) type Counted = BTreeMap<TableId, (u64, u64)>;

/// Counts the whole closure in one statement, and how many of its rows are open; apart from what was counted already.
pub(crate) async fn whole(
    session: &mut dyn Session,
    sets: &mut Sets,
    counted: &Counted,
) -> Result<Closure, SqlError> {
    let d = session.dialect();
    for (table, (_, open)) in counted {
        if let Some(set) = sets.keys.get_mut(table) {
            set.open = Some(*open);
        }
    }
    let filled = sets.keys.iter().filter(|(table, set)| set.rows > 0 && !counted.contains_key(table));
    let (plain, other): (Vec<_>, Vec<_>) = filled.partition(|(_, set)| set.is_plain());
    let mut removed: BTreeMap<TableId, u64> =
        plain.into_iter().map(|(table, set)| (*table, set.rows)).collect();
    removed.extend(counted.iter().map(|(table, (rows, _))| (*table, *rows)));
    let mut selects: Vec<String> = other
        .into_iter()
        .map(|(table, set)| {
            let name = d.temp(&key_set(*table));
            if set.inline.is_empty() {
                // All of them leave.
                let open = d.text("count(*)");
                return format!(
                    "SELECT 'k', {}, {}, {open} FROM {name} k WHERE k.is_open",
                    table.0, set.rows
                );
            }
            let open = d.text("count(CASE WHEN k.doomed AND k.is_open THEN 1 END)");
            format!("SELECT 'k', {}, count(CASE WHEN k.doomed THEN 1 END), {open} FROM {name} k", table.0)
        })
        .collect();
    selects.extend(detached_selects(d, sets, None));
    let rows =
        if selects.is_empty() { Vec::new() } else { session.rows(&selects.join(" UNION ALL ")).await? };
    for row in rows.iter().filter(|row| text(row, 0) == "k") {
        let table = numbered(row, 1);
        if let Some(set) = sets.keys.get_mut(&table) {
            set.open = Some(number(row, 3));
        }
    }
    let mut closure = collect(sets, &rows);
    closure.removed.extend(removed);
    Ok(closure)
}

/// Counts one batch of the closure in one statement.
pub(crate) async fn batch(
    session: &mut dyn Session,
    sets: &Sets,
    batch: TagRange,
) -> Result<Closure, SqlError> {
    let d = session.dialect();
    let within = in_batch("k", Some(batch));
    let filled = sets.keys.iter().filter(|(_, set)| set.rows > 0);
    let mut selects: Vec<String> = filled
        .map(|(table, _)| {
            let name = d.temp(&key_set(*table));
            format!("SELECT 'k', {}, count(*), '' FROM {name} k WHERE k.doomed AND {within}", table.0)
        })
        .collect();
    selects.extend(detached_selects(d, sets, Some(batch)));
    if selects.is_empty() {
        return Ok(Closure::default());
    }
    let rows = session.rows(&selects.join(" UNION ALL ")).await?;
    Ok(collect(sets, &rows))
}

fn detached_selects(d: &dyn Dialect, sets: &Sets, batch: Option<TagRange>) -> Vec<String> {
    let within = in_batch("k", batch);
    let select = |source: DetachSource| {
        let flags =
            source.references.iter().map(|id| d.text(&format!("count(CASE WHEN k.w{} THEN 1 END)", id.0)));
        format!(
            "SELECT 'd', {}, count(*), {} FROM {} k WHERE {} AND {within}",
            source.table.0,
            d.concat(&flags.collect::<Vec<_>>(), ","),
            d.temp(&source.name),
            source.filter,
        )
    };
    detach_sources(sets).into_iter().map(select).collect()
}

fn collect(sets: &Sets, rows: &[TextRow]) -> Closure {
    let mut closure = Closure::default();
    let sources = detach_sources(sets);
    for row in rows {
        let table = numbered(row, 1);
        let count = number(row, 2);
        if count == 0 {
            continue;
        }
        if text(row, 0) == "k" {
            closure.removed.insert(table, count);
            continue;
        }
        closure.detached_rows.insert(table, count);
        let references = sources.iter().find(|s| s.table == table).map(|s| s.references.clone());
        for (id, n) in references.unwrap_or_default().into_iter().zip(text(row, 3).split(',')) {
            match n.parse() {
                Ok(0) | Err(_) => {}
                Ok(n) => {
                    closure.detached.insert(id, n);
                }
            }
        }
    }
    closure
}

/// Counts tables.
pub(crate) async fn tables(
    session: &mut dyn Session,
    schema: &Schema,
    tables: &[TableId],
) -> Result<BTreeMap<TableId, u64>, SqlError> {
    let d = session.dialect();
    let selects: Vec<String> = tables
        .iter()
        .map(|t| format!("SELECT {}, count(*) FROM {} x", t.0, d.relation(schema.table(*t))))
        .collect();
    let mut counts = BTreeMap::new();
    for chunk in selects.chunks(100) {
        for row in session.rows(&chunk.join(" UNION ALL ")).await? {
            counts.insert(numbered(&row, 0), number(&row, 1));
        }
    }
    Ok(counts)
}

/// Rows whose reference is set and leads to no row.
pub(crate) async fn orphans(
    session: &mut dyn Session,
    schema: &Schema,
    references: &[ReferenceId],
) -> Result<Vec<Orphans>, SqlError> {
    let mut found = Vec::new();
    for chunk in references.chunks(40) {
        let d = session.dialect();
        let selects: Vec<String> = chunk.iter().map(|id| orphan_sql(d, schema, *id)).collect();
        for row in session.rows(&selects.join(" UNION ALL ")).await? {
            if number(&row, 1) > 0 {
                let reference = ReferenceId(usize::try_from(number(&row, 0)).unwrap_or(usize::MAX));
                found.push(Orphans { reference, rows: number(&row, 1) });
            }
        }
    }
    Ok(found)
}

fn orphan_sql(d: &dyn Dialect, schema: &Schema, id: ReferenceId) -> String {
    let conditions = Conditions { schema, dialect: d };
    let r = schema.reference(id);
    format!(
        "SELECT {}, count(*) FROM {} x WHERE {} AND NOT EXISTS (SELECT 1 FROM {} y WHERE {})",
        id.0,
        d.relation(schema.table(r.child)),
        conditions.is_set(r, "x"),
        d.relation(schema.table(r.parent)),
        conditions.refers(r, ("x", Side::Table), ("y", Side::Table)),
    )
}
