//! What a row means: whom it refers to, what a detach makes of it, which checks hold.

use super::database::Row;
use super::expression;
use unseed_core::closure::Detachment;
use unseed_core::fault::Fault;
use unseed_core::schema::{Column, ColumnIndex, Reference, Schema, Table};

/// Whether the child refers to the parent by this reference. A null in any referring column means that it
/// refers to nothing, under MATCH SIMPLE and MATCH FULL alike.
pub(super) fn refers(reference: &Reference, child: &Row, parent: &Row) -> bool {
    let pairs = reference.child_columns.iter().zip(&reference.parent_columns);
    counts(reference, child)
        && within(reference.parent_parts.as_deref(), parent.part)
        && pairs.into_iter().all(|(c, p)| child.values[*c].is_some() && child.values[*c] == parent.values[*p])
}

/// Whether the reference means anything for this row: its part, its `when` columns, no null.
pub(super) fn counts(reference: &Reference, child: &Row) -> bool {
    within(reference.child_parts.as_deref(), child.part)
        && reference.when.iter().all(|(column, value)| child.values[*column].as_ref() == Some(value))
        && reference.child_columns.iter().all(|column| child.values[*column].is_some())
}

fn within(parts: Option<&[u64]>, part: u64) -> bool {
    parts.is_none_or(|parts| parts.contains(&part))
}

/// The values after the detach.
pub(super) fn detached(
    table: &Table,
    detachment: &Detachment,
    values: &[Option<String>],
) -> Vec<Option<String>> {
    let mut values = values.to_vec();
    for column in &detachment.columns {
        values[*column] = if detachment.to_default { default_value(&table.columns[*column]) } else { None };
    }
    values
}

/// The value that a simple literal default stands for.
pub(super) fn default_value(column: &Column) -> Option<String> {
    let text = column.default.as_deref()?.trim();
    if text.eq_ignore_ascii_case("null") {
        return None;
    }
    let quoted = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    Some(quoted.map_or_else(|| text.to_owned(), |content| content.replace("''", "'")))
}

/// Whether one of the checks is false for these values; unknown passes, as in SQL.
pub(super) fn check_fails(table: &Table, checks: &[usize], values: &[Option<String>]) -> Result<bool, Fault> {
    for check in checks.iter().map(|index| &table.checks[*index]) {
        if expression::evaluate(&check.expression, &names(table), values)? == Some(false) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn names(table: &Table) -> Vec<&str> {
    table.columns.iter().map(|column| column.name.as_str()).collect()
}

/// What a real store would say about these values, if it rejected them.
pub(super) fn rejected(table: &Table, values: &[Option<String>]) -> Result<Option<String>, Fault> {
    for (column, value) in table.columns.iter().zip(values) {
        if value.is_none() && !column.nullable {
            return Ok(Some(format!("`{}.{}` may not be null", table.name, column.name)));
        }
    }
    for (index, check) in table.checks.iter().enumerate() {
        if check_fails(table, &[index], values)? {
            return Ok(Some(format!("check `{}` of `{}` fails", check.name, table.name)));
        }
    }
    Ok(None)
}

/// The rows of a table that the child refers to.
pub(super) fn parents<'a>(
    reference: &Reference,
    child: &Row,
    tables: &'a [Vec<Row>],
) -> impl Iterator<Item = &'a Row> + use<'a> {
    let found: Vec<&Row> =
        tables[reference.parent.0].iter().filter(|parent| refers(reference, child, parent)).collect();
    found.into_iter()
}

/// Values of some columns, as text; null becomes the empty text.
pub(super) fn pick(values: &[Option<String>], columns: &[ColumnIndex]) -> Vec<String> {
    columns.iter().map(|column| values[*column].clone().unwrap_or_default()).collect()
}

/// The columns that address a row: its key, or all of it.
pub(super) fn identity(table: &Table) -> Vec<ColumnIndex> {
    table.key().map_or_else(|| table.stored_columns(), <[usize]>::to_vec)
}

/// Hash of a whole row.
pub(super) fn version(values: &[Option<String>]) -> String {
    blake3::hash(super::database::text(values).as_bytes()).to_hex().to_string()
}

/// Names of some columns.
pub(super) fn column_names(schema_table: &Table, columns: &[ColumnIndex]) -> Vec<String> {
    columns.iter().map(|column| schema_table.columns[*column].name.clone()).collect()
}

/// The rows as text of one reference, for messages.
pub(super) fn describe(schema: &Schema, reference: &Reference) -> String {
    format!("{}.{}", schema.table(reference.child).name, reference.name)
}
