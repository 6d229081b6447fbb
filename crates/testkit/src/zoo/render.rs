//! Turns the model into one script, in the order that loads fastest: tables, rows, indexes, keys, the rest.

use super::model::{Column, ForeignKey, Schema, Table};
use super::triggers::FUNCTIONS;

const HEAD: &str = "\
SET client_min_messages = warning;
SET timezone = 'UTC';
BEGIN;
CREATE SCHEMA parts_dynamic;
CREATE SCHEMA parts_static;
CREATE TYPE life AS ENUM ('active', 'archived', 'pending');
CREATE DOMAIN slug AS text CHECK (VALUE ~ '^[a-z0-9-]+$');
";

pub(super) fn script(schema: &Schema) -> String {
    let mut statements: Vec<String> = schema.tables.iter().map(create).collect();
    statements.extend(schema.partitions.iter().cloned());
    statements.extend(schema.tables.iter().filter_map(|table| fill(schema, table)));
    statements.extend(
        schema.keys.iter().enumerate().filter(|(_, key)| key.has_index).map(|(n, key)| index(n, key)),
    );
    statements.extend(schema.keys.iter().enumerate().map(|(number, key)| constraint(number, key)));
    let body: String = statements.iter().flat_map(|statement| [statement.as_str(), ";\n"]).collect();
    let rest: String = schema.statements.iter().flat_map(|statement| [statement.as_str(), ";\n"]).collect();
    format!("{HEAD}{body}{FUNCTIONS}{rest}COMMIT;\nANALYZE;\n")
}

/// A name without quotes, for use inside a string.
pub(super) fn bare(name: &str) -> String {
    name.replace('"', "")
}

fn create(table: &Table) -> String {
    let columns =
        table.columns.iter().map(|column| format!("{} {}", quoted(&column.name), column.declaration));
    let parts: Vec<String> = columns.chain(table.constraints.iter().cloned()).collect();
    format!("CREATE TABLE {} ({}) {}", table.name, parts.join(", "), table.tail)
}

fn fill(schema: &Schema, table: &Table) -> Option<String> {
    if !table.is_filled {
        return None;
    }
    let given = |column: &&Column| column.value.is_some();
    let names: Vec<String> = table.columns.iter().filter(given).map(|column| quoted(&column.name)).collect();
    let values: Vec<&str> = table.columns.iter().filter_map(|column| column.value.as_deref()).collect();
    let rows =
        if table.name == "organizations" { schema.zoo.organization_count } else { schema.zoo.rows_per_table };
    let (names, values) = (names.join(", "), values.join(", "));
    Some(format!("INSERT INTO {} ({names}) SELECT {values} FROM generate_series(1, {rows}) g", table.name))
}

fn index(number: usize, key: &ForeignKey) -> String {
    format!("CREATE INDEX by_key_{number} ON {} ({})", key.table, list(&key.columns))
}

fn constraint(number: usize, key: &ForeignKey) -> String {
    let ForeignKey { table, target, rule, suffix, .. } = key;
    let (columns, target_columns) = (list(&key.columns), list(&key.target_columns));
    format!(
        "ALTER TABLE {table} ADD CONSTRAINT fk_{number} FOREIGN KEY ({columns}) \
         REFERENCES {target} ({target_columns}) ON DELETE {rule} {suffix}"
    )
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    let is_plain =
        name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    if is_plain && name != "until" { name.to_owned() } else { format!("\"{name}\"") }
}
