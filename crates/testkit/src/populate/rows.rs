//! Rows in memory: own values first, then references, table by table, so that cycles are no trouble.
//!
//! A key that refers to columns which are themselves references needs those to be known; tables are taken in that
//! order, as far as there is one.

use super::Population;
use super::catalog::{ForeignKey, Shape, Table};
use super::value;
use crate::random::Dice;
use std::collections::BTreeSet;

/// How often other parents are tried for a row whose values are taken.
const ATTEMPTS_MAX: usize = 24;

/// One row and the tenant it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) tenant: usize,
    pub(super) cells: Vec<Option<String>>,
}

/// Makes the rows of all tables.
pub(super) fn make(shape: &Shape, population: Population) -> Vec<Vec<Row>> {
    let own = |(number, table): (usize, &Table)| -> Vec<Row> {
        (0..population.rows_per_table).map(|n| own_row(shape, table, number, population, n)).collect()
    };
    let mut maker = Maker {
        shape,
        population,
        dice: Dice::new(population.seed),
        rows: shape.tables.iter().enumerate().map(own).collect(),
    };
    for table in order(shape) {
        maker.refer(table);
    }
    maker.rows
}

/// A predicate that picks the rows of every second tenant by the table's key.
pub(super) fn predicate(table: &Table, rows: &[Row]) -> Option<String> {
    let key = table.key()?;
    let quoted = |c: &usize| format!("\"{}\"", table.columns[*c].name.replace('"', "\"\""));
    let names: Vec<String> = key.iter().map(quoted).collect();
    let doomed = rows.iter().filter(|row| row.tenant % 2 == 1);
    let values: Vec<String> = doomed
        .map(|row| {
            let cells = key.iter().map(|c| row.cells[*c].clone().unwrap_or_default().replace('\'', "''"));
            format!("({})", cells.map(|cell| format!("'{cell}'")).collect::<Vec<_>>().join(", "))
        })
        .collect();
    (!values.is_empty()).then(|| format!("({}) IN ({})", names.join(", "), values.join(", ")))
}

fn references_of(shape: &Shape, table: usize) -> impl Iterator<Item = &ForeignKey> {
    shape.keys.iter().filter(move |key| key.child == table)
}

fn own_row(shape: &Shape, table: &Table, number: usize, population: Population, n: usize) -> Row {
    let refers = |column: usize| references_of(shape, number).any(|key| key.child_columns.contains(&column));
    let cell = |(index, column): (usize, &super::catalog::Column)| {
        let absent = !column.required && !table.is_unique(index) && (n + index) % 7 == 3;
        if column.generated || refers(index) || absent {
            return None;
        }
        value::value(column, population.first_number + n, table.is_unique(index))
    };
    Row { tenant: n % population.tenant_count, cells: table.columns.iter().enumerate().map(cell).collect() }
}

/// Tables in an order in which the values that a key refers to are known, as far as possible.
fn order(shape: &Shape) -> Vec<usize> {
    let mut waits: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); shape.tables.len()];
    for key in shape.keys.iter().filter(|key| key.child != key.parent) {
        let borrowed = references_of(shape, key.parent)
            .any(|k| k.child_columns.iter().any(|c| key.parent_columns.contains(c)));
        if borrowed {
            waits[key.child].insert(key.parent);
        }
    }
    let mut order = Vec::new();
    let mut left: BTreeSet<usize> = (0..shape.tables.len()).collect();
    while let Some(first) = left.first().copied() {
        let free = left.iter().copied().find(|table| waits[*table].is_disjoint(&left)).unwrap_or(first);
        left.remove(&free);
        order.push(free);
    }
    order
}

struct Maker<'a> {
    shape: &'a Shape,
    population: Population,
    dice: Dice,
    rows: Vec<Vec<Row>>,
}

impl Maker<'_> {
    /// Fills in the references of a table and drops the rows for which there is no room.
    fn refer(&mut self, number: usize) {
        let table = &self.shape.tables[number];
        let keys = sorted_keys(self.shape, number);
        let mut taken: Vec<BTreeSet<Vec<String>>> = vec![BTreeSet::new(); table.uniques.len()];
        let mut kept = Vec::new();
        for (n, row) in self.rows[number].clone().into_iter().enumerate() {
            let ordinal = n / self.population.tenant_count;
            let made = (0..ATTEMPTS_MAX).find_map(|attempt| {
                let made = self.with_parents(table, &keys, &row, (attempt == 0).then_some(ordinal))?;
                take(table, &mut taken, &made).then_some(made)
            });
            kept.extend(made);
        }
        self.rows[number] = kept;
    }

    /// The row with parents chosen; nothing when a required one cannot be had.
    fn with_parents(
        &mut self,
        table: &Table,
        keys: &[&ForeignKey],
        row: &Row,
        ordinal: Option<usize>,
    ) -> Option<Row> {
        let mut made = row.clone();
        let mut fixed: BTreeSet<usize> = BTreeSet::new();
        for (index, key) in keys.iter().enumerate() {
            let optional =
                key.child_columns.iter().any(|c| !table.columns[*c].required && !fixed.contains(c));
            let chance = if key.child == key.parent { 30 } else { 12 };
            let parent = if optional && self.dice.chance(chance) {
                None
            } else {
                self.choose(key, &made, &fixed, ordinal.map(|n| n + index))
            };
            match parent {
                Some(values) => {
                    for (column, value) in key.child_columns.iter().zip(values) {
                        made.cells[*column] = Some(value);
                    }
                }
                None if optional => {
                    for column in key
                        .child_columns
                        .iter()
                        .filter(|c| !table.columns[**c].required && !fixed.contains(c))
                    {
                        made.cells[*column] = None;
                    }
                }
                None => return None,
            }
            fixed.extend(&key.child_columns);
        }
        // A column of a composite key whose other column is null may be left without a value.
        for (index, column) in table.columns.iter().enumerate() {
            if column.required && !column.generated && made.cells[index].is_none() {
                made.cells[index] = value::value(column, self.population.first_number, false);
            }
        }
        Some(made)
    }

    /// Key values of a parent that agrees with what is fixed already: of the same tenant, but for a few.
    fn choose(
        &mut self,
        key: &ForeignKey,
        row: &Row,
        fixed: &BTreeSet<usize>,
        nth: Option<usize>,
    ) -> Option<Vec<String>> {
        let strays = self.population.stray_every > 0 && self.dice.below(self.population.stray_every) == 0;
        let values = |parent: &Row| -> Option<Vec<String>> {
            let values: Vec<String> =
                key.parent_columns.iter().filter_map(|c| parent.cells[*c].clone()).collect();
            let mut pairs = key.child_columns.iter().zip(&values);
            let agrees = pairs.all(|(c, value)| !fixed.contains(c) || row.cells[*c].as_ref() == Some(value));
            (values.len() == key.parent_columns.len() && agrees).then_some(values)
        };
        let own = |parent: &&Row| strays || parent.tenant == row.tenant;
        let candidates: Vec<Vec<String>> =
            self.rows[key.parent].iter().filter(own).filter_map(values).collect();
        if candidates.is_empty() {
            return None;
        }
        let index = nth.filter(|_| !strays).unwrap_or_else(|| self.dice.index(candidates.len()));
        Some(candidates[index % candidates.len()].clone())
    }
}

/// Wide and required keys first, since they leave the least choice.
fn sorted_keys(shape: &Shape, table: usize) -> Vec<&ForeignKey> {
    let required =
        |key: &ForeignKey| key.child_columns.iter().all(|c| shape.tables[table].columns[*c].required);
    let mut keys: Vec<&ForeignKey> = references_of(shape, table).collect();
    keys.sort_by_key(|key| (!required(key), usize::MAX - key.child_columns.len()));
    keys
}

/// Notes the unique values of a row, unless one of them is taken.
fn take(table: &Table, taken: &mut [BTreeSet<Vec<String>>], row: &Row) -> bool {
    let values = |unique: &Vec<usize>| -> Option<Vec<String>> {
        unique.iter().map(|c| row.cells[*c].clone()).collect()
    };
    let all: Vec<Option<Vec<String>>> = table.uniques.iter().map(values).collect();
    let is_free = |(values, taken): (&Option<Vec<String>>, &BTreeSet<Vec<String>>)| {
        values.as_ref().is_none_or(|values| !taken.contains(values))
    };
    if !all.iter().zip(taken.iter()).all(is_free) {
        return false;
    }
    for (values, taken) in all.into_iter().zip(taken) {
        taken.extend(values);
    }
    true
}
