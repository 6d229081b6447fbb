//! A case as SQL text: what both databases spell alike.
//!
//! Rows are inserted before the foreign keys are added (PostgreSQL) or while they are not looked at (SQLite), so
//! that cycles need no order.

mod mariadb;
mod postgres;
mod sqlite;

use super::{Case, CheckModel, Kind, ReferenceModel, TableModel};
use unseed_core::schema::OnDelete;

/// Name of the generated column of a dress.
const GENERATED: &str = "made";
/// Names of the column of a dress that holds odd values; `rowid` hides a row's own number in SQLite.
const ODD: [&str; 6] = ["odd value", "rowid", "it's", "a,b)", "back\\slash", "tid"];

impl Case {
    /// Name of the column of odd values in a table.
    fn odd_name(&self, number: usize) -> &'static str {
        ODD[(usize::try_from(self.seed % 89).unwrap_or_default() + number) % ODD.len()]
    }

    /// A query that gives every row of the model as its table, a tab, and `row` of the columns as text.
    fn rows_sql(
        &self,
        relation: impl Fn(usize) -> String,
        row: impl Fn(&[String]) -> String,
        as_text: &str,
    ) -> String {
        let select = |(number, table): (usize, &TableModel)| {
            let columns: Vec<String> =
                table.columns.iter().map(|c| format!("{}{as_text}", quote(&c.name))).collect();
            let name = text_literal(&format!("{}\t", table.name));
            format!("SELECT {name} || {} FROM {}", row(&columns), relation(number))
        };
        let selects: Vec<String> = self.model.tables.iter().enumerate().map(select).collect();
        selects.join("\nUNION ALL ") + ";\n"
    }

    /// One statement that inserts all rows of a table, each with `more` values behind those of the model.
    fn insert(
        &self,
        number: usize,
        relation: &str,
        more: (&[&str], impl Fn(usize) -> Vec<String>),
        overriding: &str,
    ) -> String {
        let table = &self.model.tables[number];
        let (names, extra) = more;
        let mut columns: Vec<String> = table.columns.iter().map(|c| quote(&c.name)).collect();
        columns.extend(names.iter().map(|name| quote(name)));
        let line = |(position, row): (usize, &Vec<Option<String>>)| {
            let values = row.iter().zip(&table.columns).map(|(value, c)| literal(value.as_ref(), c.kind));
            format!("({})", values.chain(extra(position)).collect::<Vec<_>>().join(", "))
        };
        let lines: Vec<String> = table.rows.iter().enumerate().map(line).collect();
        if lines.is_empty() {
            return String::new();
        }
        format!(
            "INSERT INTO {relation} ({}){overriding} VALUES\n  {};\n",
            columns.join(", "),
            lines.join(",\n  ")
        )
    }
}

fn key_lines(table: &TableModel, primary: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if primary && !table.primary_key.is_empty() {
        lines.push(format!("PRIMARY KEY {}", list(table, &table.primary_key)));
    }
    lines.extend(table.uniques.iter().map(|unique| format!("UNIQUE {}", list(table, unique))));
    lines
}

fn rule(r: &ReferenceModel) -> String {
    match r.on_delete {
        OnDelete::NoAction => String::new(),
        OnDelete::Restrict | OnDelete::Cascade | OnDelete::SetNull | OnDelete::SetDefault => {
            format!(" ON DELETE {}", r.on_delete.sql())
        }
    }
}

/// An identifier, quoted.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value as a literal.
pub(super) fn literal(value: Option<&String>, kind: Kind) -> String {
    match (value, kind) {
        (None, Kind::Integer | Kind::Text) => "NULL".to_owned(),
        (Some(value), Kind::Integer) => value.clone(),
        (Some(value), Kind::Text) => text_literal(value),
    }
}

fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Name of a partition.
pub(super) fn part_name(table: &TableModel, part: usize) -> String {
    format!("{} p{part}", table.name)
}

/// Name of a check.
pub(super) fn check_name(table: &TableModel, number: usize) -> String {
    format!("{} check {number}", table.name)
}

fn list(table: &TableModel, columns: &[usize]) -> String {
    let names: Vec<String> = columns.iter().map(|c| quote(&table.columns[*c].name)).collect();
    format!("({})", names.join(", "))
}

fn joined(table: &TableModel, columns: &[usize], suffix: &str, word: &str) -> String {
    let terms: Vec<String> =
        columns.iter().map(|c| format!("{} {suffix}", quote(&table.columns[*c].name))).collect();
    terms.join(word)
}

/// A check as PostgreSQL and the memory store spell it.
pub(super) fn check_for_postgres(table: &TableModel, check: &CheckModel) -> String {
    match check {
        CheckModel::OneSet(columns) => format!("num_nonnulls{} = 1", list(table, columns)),
        CheckModel::AnySet(_) | CheckModel::AllOrNone(_) => check_for_sqlite(table, check),
    }
}

fn check_for_sqlite(table: &TableModel, check: &CheckModel) -> String {
    match check {
        CheckModel::AnySet(columns) => joined(table, columns, "IS NOT NULL", " OR "),
        CheckModel::OneSet(columns) => {
            let terms: Vec<String> =
                columns.iter().map(|c| format!("({} IS NOT NULL)", quote(&table.columns[*c].name))).collect();
            format!("({}) = 1", terms.join(" + "))
        }
        CheckModel::AllOrNone(columns) => format!(
            "({}) OR ({})",
            joined(table, columns, "IS NULL", " AND "),
            joined(table, columns, "IS NOT NULL", " AND ")
        ),
    }
}

/// A small number as one of the seeds' kind.
pub(super) fn number(small: usize) -> u64 {
    u64::try_from(small).expect("a small number")
}
