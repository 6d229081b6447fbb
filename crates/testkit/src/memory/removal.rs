//! Archiving and removing one batch, with the proof that nothing else is affected.

use super::closing::Sets;
use super::database::{Row, text};
use super::length;
use super::rows::{column_names, describe, detached, identity, refers, rejected};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::closure::Detachment;
use unseed_core::fault::Fault;
use unseed_core::port::store::{ArchiveSink, Archived, Removed, SectionHead, SectionKind, TagRange, Work};
use unseed_core::schema::{ColumnIndex, ReferenceId, TableId};

/// Bytes per call of the sink; small, so that readers meet cut lines.
const CHUNK_BYTES: usize = 61;

/// The versions that were archived.
pub(super) type Versions = BTreeMap<(TableId, u64), Vec<Option<String>>>;

/// What a batch would be: the tables after it, or why the closure is out of date.
pub(super) enum Attempt {
    Proven(Vec<Vec<Row>>, Removed),
    Changed(String),
}

fn within(tags: TagRange, tag: u64) -> bool {
    (tags.first..=tags.last).contains(&tag)
}

/// Rows of the batch that leave, per table.
fn leaving(sets: &Sets, table: TableId, tags: TagRange) -> BTreeSet<u64> {
    let marks = sets.leaving.get(&table).into_iter().flatten();
    marks.filter(|(_, mark)| within(tags, mark.tag)).map(|(id, _)| *id).collect()
}

/// Rows of the batch that lose references, with the references.
fn losing(sets: &Sets, table: TableId, tags: TagRange) -> BTreeMap<u64, Vec<ReferenceId>> {
    let losses = sets.losing.get(&table).into_iter().flatten();
    losses
        .filter(|(_, loss)| within(tags, loss.tag))
        .map(|(id, loss)| (*id, loss.references.clone()))
        .collect()
}

fn detachments<'a>(work: &'a Work, table: TableId, references: &[ReferenceId]) -> Vec<&'a Detachment> {
    let of_table = work.program.detaches.iter().filter(|detach| detach.table == table);
    let all = of_table.flat_map(|detach| &detach.references);
    all.filter(|(id, _)| references.contains(id)).map(|(_, detachment)| detachment).collect()
}

/// Writes the batch to the sink and remembers the versions it wrote.
pub(super) fn archive(
    work: &Work,
    sets: &Sets,
    tables: &[Vec<Row>],
    tags: TagRange,
    sink: &mut dyn ArchiveSink,
) -> Result<(Archived, Versions), Fault> {
    let (mut archived, mut versions) = (Archived::default(), Versions::new());
    for table in work.program.removal.iter().flatten().rev() {
        let wanted = leaving(sets, *table, tags);
        let rows: Vec<&Row> = tables[table.0].iter().filter(|row| wanted.contains(&row.id)).collect();
        if rows.is_empty() {
            continue;
        }
        let columns = work.schema.table(*table).stored_columns();
        let lines = rows
            .iter()
            .map(|row| columns.iter().map(|c| row.values[*c].clone()).collect())
            .collect::<Vec<_>>();
        write(work, sink, (SectionKind::Rows, *table), (&columns, 0), &lines)?;
        archived.removed.insert(*table, length(&rows));
        versions.extend(rows.into_iter().map(|row| ((*table, row.id), row.values.clone())));
    }
    for table in work.program.detaches.iter().map(|detach| detach.table) {
        let mut by_references: BTreeMap<Vec<ReferenceId>, Vec<&Row>> = BTreeMap::new();
        let lost = losing(sets, table, tags);
        for row in tables[table.0].iter().filter(|row| lost.contains_key(&row.id)) {
            by_references.entry(lost[&row.id].clone()).or_default().push(row);
            versions.insert((table, row.id), row.values.clone());
            *archived.detached.entry(table).or_default() += 1;
        }
        for (references, rows) in by_references {
            archive_detached(work, sink, table, &references, &rows)?;
        }
    }
    Ok((archived, versions))
}

/// Identity of each row as the detach leaves it, then the values that the detach overwrites.
fn archive_detached(
    work: &Work,
    sink: &mut dyn ArchiveSink,
    table: TableId,
    references: &[ReferenceId],
    rows: &[&Row],
) -> Result<(), Fault> {
    let shape = work.schema.table(table);
    let detachments = detachments(work, table, references);
    let written: BTreeSet<ColumnIndex> = detachments.iter().flat_map(|d| d.columns.iter().copied()).collect();
    let identity = identity(shape);
    let mut columns = identity.clone();
    columns.extend(&written);
    let line = |row: &&Row| {
        let after = detachments.iter().fold(row.values.clone(), |values, d| detached(shape, d, &values));
        let known = identity.iter().map(|c| after[*c].clone());
        known.chain(written.iter().map(|c| row.values[*c].clone())).collect()
    };
    let lines: Vec<Vec<Option<String>>> = rows.iter().map(line).collect();
    write(work, sink, (SectionKind::Detached, table), (&columns, identity.len()), &lines)
}

fn write(
    work: &Work,
    sink: &mut dyn ArchiveSink,
    (kind, table): (SectionKind, TableId),
    (columns, identity_columns): (&[ColumnIndex], usize),
    rows: &[Vec<Option<String>>],
) -> Result<(), Fault> {
    let shape = work.schema.table(table);
    sink.begin(SectionHead {
        kind,
        namespace: shape.name.namespace.clone(),
        table: shape.name.name.clone(),
        columns: column_names(shape, columns),
        identity_columns,
    })?;
    let bytes: Vec<u8> = rows.iter().flat_map(|row| (text(row) + "\n").into_bytes()).collect();
    for chunk in bytes.chunks(CHUNK_BYTES) {
        sink.write(chunk)?;
    }
    sink.end(length(rows))
}

/// Removes and detaches on a copy of the tables, if the rows are still as they were archived.
pub(super) fn remove(
    work: &Work,
    sets: &Sets,
    tables: &[Vec<Row>],
    tags: TagRange,
    versions: &Versions,
) -> Result<Attempt, Fault> {
    for ((table, id), archived) in versions {
        let name = &work.schema.table(*table).name;
        match tables[table.0].iter().find(|row| row.id == *id) {
            None => return Ok(Attempt::Changed(format!("a row of `{name}` vanished"))),
            Some(row) if row.values != *archived => {
                return Ok(Attempt::Changed(format!("a row of `{name}` changed")));
            }
            Some(_) => {}
        }
    }
    let mut after = tables.to_vec();
    let mut removed = Removed::default();
    let mut gone: BTreeMap<TableId, Vec<Row>> = BTreeMap::new();
    for table in work.program.removal.iter().flatten() {
        let wanted = leaving(sets, *table, tags);
        let (out, stay): (Vec<Row>, Vec<Row>) =
            after[table.0].drain(..).partition(|row| wanted.contains(&row.id));
        after[table.0] = stay;
        if !out.is_empty() {
            removed.removed.insert(*table, length(&out));
            gone.insert(*table, out);
        }
    }
    for table in work.program.detaches.iter().map(|detach| detach.table) {
        let shape = work.schema.table(table);
        let lost = losing(sets, table, tags);
        for row in after[table.0].iter_mut().filter(|row| lost.contains_key(&row.id)) {
            let apply = |values: Vec<Option<String>>, d: &&Detachment| detached(shape, d, &values);
            row.values = detachments(work, table, &lost[&row.id]).iter().fold(row.values.clone(), apply);
            if let Some(reason) = rejected(shape, &row.values)? {
                return Err(Fault::store(format!("a detached row is rejected: {reason}")));
            }
            *removed.detached.entry(table).or_default() += 1;
        }
    }
    Ok(match dangling(work, sets, &after, &gone)? {
        Some(reason) => Attempt::Changed(reason),
        None => Attempt::Proven(after, removed),
    })
}

/// The proof: no row that is left refers to one that went.
fn dangling(
    work: &Work,
    sets: &Sets,
    after: &[Vec<Row>],
    gone: &BTreeMap<TableId, Vec<Row>>,
) -> Result<Option<String>, Fault> {
    for reference in &work.schema.references {
        let Some(gone) = gone.get(&reference.parent) else { continue };
        for child in &after[reference.child.0] {
            if !gone.iter().any(|parent| refers(reference, child, parent)) {
                continue;
            }
            let known = sets.leaving.get(&reference.child).is_some_and(|marks| marks.contains_key(&child.id));
            let name = describe(&work.schema, reference);
            if known {
                let message = format!(
                    "the batches are in the wrong order: `{name}` leads from a later to an earlier one"
                );
                return Err(Fault::store(message));
            }
            return Ok(Some(format!("rows appeared that refer to rows that leave, by `{name}`")));
        }
    }
    Ok(None)
}
