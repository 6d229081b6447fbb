//! Putting archived rows back: all conflicts are listed, and with any of them nothing changes.

use super::database::{Database, Row, text};
use super::rows::{counts, default_value, parents, pick, refers};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::fault::{Category, Fault};
use unseed_core::port::store::{
    ArchiveSource, RestoreConflict, RestoreScope, Restored, SectionEntry, SectionKind, Work,
};
use unseed_core::schema::{ColumnIndex, Origin, ReferenceId, TableId, TableName};

/// A section, decoded.
struct Section {
    kind: SectionKind,
    table: TableId,
    columns: Vec<ColumnIndex>,
    identity_columns: usize,
    lines: Vec<Vec<Option<String>>>,
}

/// Reads and decodes everything.
fn decode(work: &Work, source: &mut dyn ArchiveSource) -> Result<Vec<Section>, Fault> {
    let mut sections = Vec::new();
    for (index, entry) in source.sections().into_iter().enumerate() {
        let mut bytes = Vec::new();
        source.read(index, &mut |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        sections.push(section(work, &entry, &bytes)?);
    }
    Ok(sections)
}

fn section(work: &Work, entry: &SectionEntry, bytes: &[u8]) -> Result<Section, Fault> {
    let name = TableName::new(&entry.head.namespace, &entry.head.table);
    let found = work.schema.table_ids().find(|id| work.schema.table(*id).name == name);
    let broken = |what: &str| Fault::new(Category::Archive, format!("archived rows of `{name}`: {what}"));
    let table = found.ok_or_else(|| broken("the table is gone"))?;
    let shape = work.schema.table(table);
    let columns: Option<Vec<ColumnIndex>> =
        entry.head.columns.iter().map(|c| shape.columns.iter().position(|known| known.name == *c)).collect();
    let lines: Result<Vec<Vec<Option<String>>>, _> =
        bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(serde_json::from_slice).collect();
    let lines = lines.map_err(|error| broken(&error.to_string()))?;
    if super::length(&lines) != entry.rows {
        return Err(broken("another number of rows than was counted"));
    }
    Ok(Section {
        kind: entry.head.kind.clone(),
        table,
        columns: columns.ok_or_else(|| broken("a column is gone"))?,
        identity_columns: entry.head.identity_columns,
        lines,
    })
}

/// Puts rows back into a copy of the tables; the copy counts only when there is no conflict.
pub(super) fn restore(
    work: &Work,
    database: &mut Database,
    source: &mut dyn ArchiveSource,
    scope: &RestoreScope,
) -> Result<(Vec<Vec<Row>>, Restored), Fault> {
    let sections = decode(work, source)?;
    let mut back = archived_rows(work, database, &sections);
    if let RestoreScope::Root { table, key } = scope {
        back = with_root(work, back, *table, key)?;
    }
    let mut restoring = Restoring {
        work,
        tables: database.tables.clone(),
        back,
        reattached: Vec::new(),
        restored: Restored::default(),
    };
    restoring.insert();
    for section in sections.iter().rev().filter(|section| section.kind == SectionKind::Detached) {
        for line in section.lines.iter().rev() {
            restoring.reattach(section, line, scope);
        }
    }
    restoring.check_parents();
    Ok((restoring.tables, restoring.restored))
}

fn archived_rows(work: &Work, database: &mut Database, sections: &[Section]) -> Vec<(TableId, Row)> {
    let mut rows = Vec::new();
    for section in sections.iter().filter(|section| section.kind == SectionKind::Rows) {
        for line in &section.lines {
            let mut values = vec![None; work.schema.table(section.table).columns.len()];
            for (column, value) in section.columns.iter().zip(line) {
                values[*column].clone_from(value);
            }
            rows.push((section.table, database.row(section.table, values)));
        }
    }
    rows
}

/// The root and the archived rows that refer to it, directly or not, by references that pull rows in.
fn with_root(
    work: &Work,
    archived: Vec<(TableId, Row)>,
    table: TableId,
    key: &[String],
) -> Result<Vec<(TableId, Row)>, Fault> {
    let columns = work.schema.table(table).key().unwrap_or_default();
    let is_root = |(t, row): &(TableId, Row)| *t == table && pick(&row.values, columns) == *key;
    let mut chosen: BTreeSet<usize> =
        archived.iter().enumerate().filter(|(_, row)| is_root(row)).map(|(n, _)| n).collect();
    if chosen.is_empty() {
        let name = &work.schema.table(table).name;
        return Err(Fault::usage(format!("the archive holds no row {} of `{name}`", key.join(","))));
    }
    let visits = work.program.stages.iter().flat_map(|stage| stage.visits());
    let follows: Vec<_> = visits.flat_map(|visit| &visit.follows).map(|follow| follow.reference).collect();
    loop {
        let belongs = |(t, row): &(TableId, Row)| {
            follows.iter().map(|id| work.schema.reference(*id)).filter(|r| r.child == *t).any(|r| {
                chosen
                    .iter()
                    .map(|n| &archived[*n])
                    .any(|(p, parent)| r.parent == *p && refers(r, row, parent))
            })
        };
        let more: Vec<usize> =
            (0..archived.len()).filter(|n| !chosen.contains(n) && belongs(&archived[*n])).collect();
        if more.is_empty() {
            break;
        }
        chosen.extend(more);
    }
    Ok(archived.into_iter().enumerate().filter(|(n, _)| chosen.contains(n)).map(|(_, row)| row).collect())
}

struct Restoring<'a> {
    work: &'a Work,
    tables: Vec<Vec<Row>>,
    back: Vec<(TableId, Row)>,
    /// Rows that stayed and got values back.
    reattached: Vec<(TableId, Row)>,
    restored: Restored,
}

impl Restoring<'_> {
    fn name(&self, table: TableId) -> String {
        self.work.schema.table(table).name.to_string()
    }

    fn conflict(&mut self, table: TableId, key: String, reason: String) {
        let table = self.name(table);
        let conflicts = &mut self.restored.conflicts;
        match conflicts.iter_mut().find(|known| known.table == table && known.reason == reason) {
            Some(known) => known.rows += 1,
            None => conflicts.push(RestoreConflict { table, key, reason, rows: 1 }),
        }
    }

    fn key_text(&self, table: TableId, row: &Row) -> String {
        match self.work.schema.table(table).key() {
            Some(key) => pick(&row.values, key).join(","),
            None => text(&row.values),
        }
    }

    fn insert(&mut self) {
        for (table, row) in self.back.clone() {
            let taken = self.work.schema.table(table).keys.iter().any(|key| {
                self.tables[table.0].iter().any(|known| pick(&known.values, key) == pick(&row.values, key))
            });
            if taken {
                self.conflict(table, self.key_text(table, &row), "a row with this key exists".to_owned());
            } else {
                *self.restored.inserted.entry(self.name(table)).or_default() += 1;
                self.tables[table.0].push(row);
            }
        }
    }

    /// Gives one row its old values back, if it still is as the detach left it.
    fn reattach(&mut self, section: &Section, line: &[Option<String>], scope: &RestoreScope) {
        let shape = self.work.schema.table(section.table);
        let (identity, columns) = section.columns.split_at(section.identity_columns);
        let (known, old) = line.split_at(section.identity_columns);
        let same = |row: &&Row| identity.iter().zip(known).all(|(c, value)| row.values[*c] == *value);
        let key: Vec<String> = known.iter().map(|value| value.clone().unwrap_or_default()).collect();
        let Some(current) = self.tables[section.table.0].iter().find(same).cloned() else {
            if *scope == RestoreScope::Everything {
                self.conflict(section.table, key.join(","), "the row that was detached is gone".to_owned());
            }
            return;
        };
        let left = |c: usize| [None, default_value(&shape.columns[c])].contains(&current.values[c]);
        let mut row = current.clone();
        let mut wanted: BTreeMap<ColumnIndex, Option<String>> =
            columns.iter().copied().zip(old.iter().cloned()).collect();
        if *scope != RestoreScope::Everything {
            let mut before = current.clone();
            before.values = applied(before.values, &wanted);
            wanted.retain(|column, _| self.leads_back(section.table, *column, &before));
        }
        if wanted.is_empty() {
            return;
        }
        row.values = applied(row.values, &wanted);
        if wanted.keys().any(|c| !left(*c)) {
            let reason = "the reference that was detached has a new value".to_owned();
            return self.conflict(section.table, key.join(","), reason);
        }
        *self.restored.reattached.entry(self.name(section.table)).or_default() += 1;
        self.reattached.push((section.table, row.clone()));
        let place = self.tables[section.table.0].iter_mut().find(|known| known.id == row.id);
        *place.expect("the row was just found") = row;
    }

    /// Whether the column belongs to a weak reference that leads to a row that comes back.
    fn leads_back(&self, table: TableId, column: ColumnIndex, before: &Row) -> bool {
        let detaches = self.work.program.detaches.iter().filter(|detach| detach.table == table);
        let mut references = detaches.flat_map(|detach| &detach.references);
        references.any(|(id, detachment)| {
            let reference = self.work.schema.reference(*id);
            let parents = self.back.iter().filter(|(t, _)| *t == reference.parent);
            detachment.columns.contains(&column)
                && parents.into_iter().any(|(_, parent)| refers(reference, before, parent))
        })
    }

    /// Every row that was written must find what it refers to; where the store does not insist on it, the rows
    /// that do not are told.
    fn check_parents(&mut self) {
        let detached = |id: ReferenceId| {
            let mut references = self.work.program.detaches.iter().flat_map(|detach| &detach.references);
            references.any(|(known, _)| *known == id)
        };
        let mut missing = Vec::new();
        for id in self.work.schema.reference_ids() {
            let reference = self.work.schema.reference(id);
            // Of a row that stayed, only what was written matters.
            let reattached = self.reattached.iter().filter(|_| detached(id));
            let rows = self.back.iter().chain(reattached).filter(|(table, _)| *table == reference.child);
            for (table, row) in rows.filter(|_| reference.origin == Origin::Declared) {
                if counts(reference, row) && parents(reference, row, &self.tables).next().is_none() {
                    missing.push((*table, row.clone(), id));
                }
            }
        }
        for (table, row, id) in missing {
            let reference = self.work.schema.reference(id);
            let reason = format!("its parent in `{}` is missing", self.name(reference.parent));
            let key = self.key_text(table, &row);
            if reference.validated {
                self.conflict(table, key, reason);
                continue;
            }
            let orphans = &mut self.restored.orphans;
            match orphans.iter_mut().find(|(known, _)| *known == id) {
                Some((_, known)) => known.rows += 1,
                None => {
                    let table = self.work.schema.table(table).name.to_string();
                    orphans.push((id, RestoreConflict { table, key, reason, rows: 1 }));
                }
            }
        }
    }
}

fn applied(
    mut values: Vec<Option<String>>,
    written: &BTreeMap<ColumnIndex, Option<String>>,
) -> Vec<Option<String>> {
    for (column, value) in written {
        values[*column].clone_from(value);
    }
    values
}
