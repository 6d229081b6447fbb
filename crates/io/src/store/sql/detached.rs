//! How detached rows are archived: by what they are found again, and which of their columns were written.
//!
//! Rows with a key that no detach writes are one section. All others are told apart by their content, so that
//! they get one section per combination of references that they lose together: then everything else in a row
//! is as it will be afterwards, and finds it again.

use super::counts::{DetachSource, in_batch};
use super::{Session, SqlError, number, text};
use std::collections::BTreeSet;
use unseed_core::port::store::{TagRange, Work};
use unseed_core::schema::{ColumnIndex, ReferenceId, Table, TableId};

/// One section of detached rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Detached {
    pub(crate) table: TableId,
    /// Short name of the set that holds their addresses.
    pub(crate) set: String,
    /// Which rows of the set, under alias `k`.
    pub(crate) filter: String,
    /// Columns that find a row again.
    pub(crate) identity: Vec<ColumnIndex>,
    /// Columns that the detach writes.
    pub(crate) written: Vec<ColumnIndex>,
}

/// The sections of one source in a batch.
pub(crate) async fn sections(
    session: &mut dyn Session,
    work: &Work,
    source: &DetachSource,
    batch: TagRange,
) -> Result<Vec<Detached>, SqlError> {
    let shape = work.schema.table(source.table);
    let filter = format!("{} AND {}", source.filter, in_batch("k", Some(batch)));
    let section = |filter: String, identity: Vec<ColumnIndex>, written: Vec<ColumnIndex>| Detached {
        table: source.table,
        set: source.name.clone(),
        filter,
        identity,
        written,
    };
    let all = written(work, source.table, &source.references);
    if let Some(key) = shape.keys.iter().find(|key| key.iter().all(|c| !all.contains(c)))
        && !has_nulls(session, shape, source, &filter, key).await?
    {
        return Ok(vec![section(filter, key.clone(), all)]);
    }
    let mut sections = Vec::new();
    for lost in combinations(session, source, &filter).await? {
        let flags = source.references.iter().map(|id| {
            let not = if lost.contains(id) { "" } else { "NOT " };
            format!(" AND {not}k.w{}", id.0)
        });
        let written = written(work, source.table, &lost);
        let identity = content(shape, &written);
        sections.push(section(format!("{filter}{}", flags.collect::<String>()), identity, written));
    }
    Ok(sections)
}

/// Whether a key is null in any of the rows; SQLite allows that.
async fn has_nulls(
    session: &mut dyn Session,
    shape: &Table,
    source: &DetachSource,
    filter: &str,
    key: &[ColumnIndex],
) -> Result<bool, SqlError> {
    if key.iter().all(|c| !shape.columns[*c].nullable) {
        return Ok(false);
    }
    let d = session.dialect();
    let nulls = key.iter().map(|c| format!("x.{} IS NULL", d.quote(&shape.columns[*c].name)));
    let sql = format!(
        "SELECT count(*) FROM {} x JOIN {} k ON {} WHERE {filter} AND ({})",
        d.relation(shape),
        d.temp(&source.name),
        d.at(shape, "x", "k"),
        nulls.collect::<Vec<_>>().join(" OR "),
    );
    Ok(session.rows(&sql).await?.first().is_some_and(|row| number(row, 0) > 0))
}

/// Combinations of references that rows of a source lose together.
async fn combinations(
    session: &mut dyn Session,
    source: &DetachSource,
    filter: &str,
) -> Result<Vec<Vec<ReferenceId>>, SqlError> {
    let flags: Vec<String> =
        source.references.iter().map(|id| format!("CASE WHEN k.w{} THEN 1 ELSE 0 END", id.0)).collect();
    let name = session.dialect().temp(&source.name);
    let sql = format!("SELECT DISTINCT {} FROM {name} k WHERE {filter}", flags.join(", "));
    let rows = session.rows(&sql).await?;
    let lost: BTreeSet<Vec<ReferenceId>> = rows
        .iter()
        .map(|row| {
            let marked = source.references.iter().enumerate().filter(|(n, _)| text(row, *n) == "1");
            marked.map(|(_, id)| *id).collect()
        })
        .collect();
    Ok(lost.into_iter().collect())
}

/// Columns that are written when rows of a table lose these references.
fn written(work: &Work, table: TableId, lost: &[ReferenceId]) -> Vec<ColumnIndex> {
    let detaches = work.program.detaches.iter().filter(|detach| detach.table == table);
    let references = detaches.flat_map(|detach| &detach.references).filter(|(id, _)| lost.contains(id));
    let columns: BTreeSet<ColumnIndex> =
        references.flat_map(|(_, detachment)| detachment.columns.iter().copied()).collect();
    columns.into_iter().collect()
}

/// Everything that is stored of a row, apart from what is written.
fn content(table: &Table, written: &[ColumnIndex]) -> Vec<ColumnIndex> {
    table.stored_columns().into_iter().filter(|c| !written.contains(c)).collect()
}
