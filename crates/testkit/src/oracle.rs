//! What a purge must do to a random case, worked out row by row.
//!
//! Nothing in here knows the closure program: the oracle reads the model alone and repeats one question
//! until the answer stays the same: is there a row that may not stay? Slow, and simple enough to be believed.
//!
//! The rules
//! - a row leaves when it refers to a row that leaves and the reference may not be detached: CASCADE, NO
//!   ACTION, RESTRICT, or SET NULL and SET DEFAULT where no column can be written (MATCH FULL: not all);
//! - a row leaves when a check would fail if some of its references to rows that leave were detached;
//! - any other row that refers to a row that leaves stays, with the columns written.

use crate::memory::{Database, MemDb};
use crate::random::{Case, CheckModel, ReferenceModel, row_text};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::schema::OnDelete;

/// Where rows are after a purge, by table name; rows are texts as [`row_text`] makes them, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    pub removed: BTreeMap<String, Vec<String>>,
    /// Rows that stay and change: before and after.
    pub detached: BTreeMap<String, Vec<(String, String)>>,
    /// Everything that is in the table afterwards.
    pub remaining: BTreeMap<String, Vec<String>>,
}

impl Expected {
    /// Rows that leave, over all tables.
    pub fn removed_count(&self) -> usize {
        self.removed.values().map(Vec::len).sum()
    }
}

/// A row by table and position.
type Place = (usize, usize);

/// What the purge of a case must leave behind.
pub fn expect(case: &Case) -> Expected {
    let removed = removed_rows(case);
    let mut expected = Expected::default();
    for (number, table) in case.model.tables.iter().enumerate() {
        let (mut gone, mut changed, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for (position, row) in table.rows.iter().enumerate() {
            if removed.contains(&(number, position)) {
                gone.push(row_text(row));
                continue;
            }
            let lost = lost_references(case, &removed, (number, position));
            let after = written(case, row, &lost);
            if !lost.is_empty() {
                changed.push((row_text(row), row_text(&after)));
            }
            rest.push(row_text(&after));
        }
        gone.sort();
        changed.sort();
        rest.sort();
        if !gone.is_empty() {
            expected.removed.insert(table.name.clone(), gone);
        }
        if !changed.is_empty() {
            expected.detached.insert(table.name.clone(), changed);
        }
        expected.remaining.insert(table.name.clone(), rest);
    }
    expected
}

/// The rows that leave, by table number and position.
pub fn removed_rows(case: &Case) -> BTreeSet<Place> {
    let mut removed: BTreeSet<Place> = BTreeSet::new();
    for (table, rows) in &case.roots {
        removed.extend(rows.iter().map(|row| (*table, *row)));
    }
    loop {
        let next =
            all_places(case).find(|place| !removed.contains(place) && must_leave(case, &removed, *place));
        match next {
            Some(place) => removed.insert(place),
            None => return removed,
        };
    }
}

fn all_places(case: &Case) -> impl Iterator<Item = Place> {
    let tables = case.model.tables.iter().enumerate();
    tables.flat_map(|(number, table)| (0..table.rows.len()).map(move |row| (number, row)))
}

fn must_leave(case: &Case, removed: &BTreeSet<Place>, place: Place) -> bool {
    let table = &case.model.tables[place.0];
    let mut weak = Vec::new();
    for reference in case.model.references.iter().filter(|r| leads_to_removed(case, removed, r, place)) {
        match detachable(case, reference) {
            None => return true,
            Some(_) => weak.push(reference),
        }
    }
    groups(&weak).iter().any(|group| {
        let after = written(case, &table.rows[place.1], group);
        table.checks.iter().any(|check| !holds(check, &after))
    })
}

/// All groups of at least one.
fn groups<'a>(all: &[&'a ReferenceModel]) -> Vec<Vec<&'a ReferenceModel>> {
    let mut groups: Vec<Vec<&ReferenceModel>> = vec![Vec::new()];
    for one in all {
        for mut group in groups.clone() {
            group.push(*one);
            groups.push(group);
        }
    }
    groups.split_off(1)
}

fn lost_references<'a>(case: &'a Case, removed: &BTreeSet<Place>, place: Place) -> Vec<&'a ReferenceModel> {
    case.model.references.iter().filter(|r| leads_to_removed(case, removed, r, place)).collect()
}

fn leads_to_removed(case: &Case, removed: &BTreeSet<Place>, r: &ReferenceModel, (table, row): Place) -> bool {
    let child_table = &case.model.tables[table];
    let child = &child_table.rows[row];
    if r.child != table || r.child_partition.is_some_and(|part| child_table.partition_of(child) != Some(part))
    {
        return false;
    }
    removed.iter().filter(|(parent_table, _)| *parent_table == r.parent).any(|(_, parent)| {
        let parent_table = &case.model.tables[r.parent];
        let parent = &parent_table.rows[*parent];
        let mut pairs = r.columns.iter().zip(&r.parent_columns);
        r.parent_partition.is_none_or(|part| parent_table.partition_of(parent) == Some(part))
            && pairs.all(|(c, p)| child[*c].is_some() && child[*c] == parent[*p])
    })
}

/// The columns that a detach writes, or nothing when the reference may not be detached.
fn detachable(case: &Case, reference: &ReferenceModel) -> Option<Vec<usize>> {
    let table = &case.model.tables[reference.child];
    let candidates = reference.set_columns.as_ref().unwrap_or(&reference.columns);
    // Rows that refer to this one by the column would be cut off.
    let referred_to = |column: usize| {
        let mut keys = case.model.references.iter().filter(|r| r.parent == reference.child);
        keys.any(|r| r.parent_columns.contains(&column))
    };
    let writable: Vec<usize> = match reference.on_delete {
        OnDelete::Cascade | OnDelete::NoAction | OnDelete::Restrict => return None,
        OnDelete::SetNull => candidates.iter().copied().filter(|c| table.columns[*c].nullable).collect(),
        OnDelete::SetDefault => {
            let free = |c: &usize| table.columns[*c].nullable || table.columns[*c].default.is_some();
            candidates.iter().copied().filter(free).collect()
        }
    };
    let has_default = |c: &usize| table.columns[*c].default.is_some();
    let to_default = reference.on_delete == OnDelete::SetDefault && candidates.iter().any(has_default);
    if to_default && candidates.iter().any(|c| referred_to(*c)) {
        return None;
    }
    let writable: Vec<usize> = writable.into_iter().filter(|c| !referred_to(*c)).collect();
    let enough = if reference.match_full { writable.len() == candidates.len() } else { !writable.is_empty() };
    enough.then_some(writable)
}

fn written(case: &Case, row: &[Option<String>], lost: &[&ReferenceModel]) -> Vec<Option<String>> {
    let mut after = row.to_vec();
    for reference in lost {
        let table = &case.model.tables[reference.child];
        for column in detachable(case, reference).unwrap_or_default() {
            after[column] = match reference.on_delete {
                OnDelete::SetDefault => table.columns[column].default.clone(),
                OnDelete::SetNull | OnDelete::Cascade | OnDelete::NoAction | OnDelete::Restrict => None,
            };
        }
    }
    after
}

fn holds(check: &CheckModel, row: &[Option<String>]) -> bool {
    let set = |columns: &[usize]| columns.iter().filter(|c| row[**c].is_some()).count();
    match check {
        CheckModel::AnySet(columns) => set(columns) >= 1,
        CheckModel::OneSet(columns) => set(columns) == 1,
        CheckModel::AllOrNone(columns) => set(columns) == 0 || set(columns) == columns.len(),
    }
}

/// What is wrong with the rows of a case, if anything: a generator's own mistakes.
pub fn first_violation(case: &Case) -> Option<String> {
    crate::memory::first_violation(&case.database())
}

/// Compares a database with what was expected to remain; returns the tables that differ.
pub fn differences(expected: &Expected, db: &MemDb) -> Vec<String> {
    let content = by_bare_name(&db.lock());
    let empty = Vec::new();
    let of = |name: &String| content.get(name).unwrap_or(&empty).clone();
    let differing = expected.remaining.iter().filter(|(name, rows)| of(name) != **rows);
    differing.map(|(name, rows)| format!("{name}: expected {rows:#?}, found {:#?}", of(name))).collect()
}

fn by_bare_name(database: &Database) -> BTreeMap<String, Vec<String>> {
    let names = database.schema.tables.iter().map(|table| (table.name.to_string(), table.name.name.clone()));
    let bare: BTreeMap<String, String> = names.collect();
    database.content().into_iter().map(|(name, rows)| (bare[&name].clone(), rows)).collect()
}
