//! Fills the tables of any schema with valid rows, made from nothing but its catalog.
//!
//! Rows belong to imaginary tenants in turn: a row refers to rows of its own tenant, seldom to another's, so that
//! removing some tenants takes a share of every table along. Values follow types, lengths and labels; where a
//! CHECK objects, other values are tried until it agrees. Rows that cannot be made are left out.
//!
//! Invariants
//! - the same schema and settings give the same rows;
//! - no row refers to nothing, whatever could not be inserted.
//!
//! Not here: rows that mean anything (`workloads`, `zoo`).

mod catalog;
mod postgres;
mod rows;
mod sqlite;
mod value;

use crate::server::{Database, ServerError, SqliteFile};
use catalog::Shape;
use rows::Row;

/// How much to fill in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Population {
    pub rows_per_table: usize,
    pub tenant_count: usize,
    /// Numbers of the rows start here, for databases that have rows already.
    pub first_number: usize,
    /// One reference in so many leads to another tenant; 0 is never.
    pub stray_every: u64,
    pub seed: u64,
}

impl Default for Population {
    fn default() -> Self {
        Self { rows_per_table: 18, tenant_count: 6, first_number: 1, stray_every: 150, seed: 11 }
    }
}

/// What was filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Populated {
    pub table_count: usize,
    pub row_count: u64,
    /// Tables that stayed without new rows, with the last reason.
    pub empty: Vec<String>,
    /// Per table, as SQL spells it: a predicate over its key that picks the rows of every second tenant.
    pub every_second_tenant: Vec<(String, String)>,
}

impl Populated {
    /// The predicate that picks the rows of every second tenant of a table.
    pub fn predicate(&self, table: &str) -> Option<&str> {
        self.every_second_tenant
            .iter()
            .find(|(name, _)| name == table)
            .map(|(_, predicate)| predicate.as_str())
    }
}

impl Population {
    /// Fills a PostgreSQL database, as its superuser.
    pub fn fill_postgres(self, database: &Database<'_>) -> Result<Populated, ServerError> {
        let shape = postgres::read(database)?;
        let rows = rows::make(&shape, self);
        let answer = database.psql(&postgres::script(&shape, &rows))?;
        Ok(populated(&shape, &rows, &answer))
    }

    /// Fills a SQLite file.
    pub fn fill_sqlite(self, file: &SqliteFile) -> Result<Populated, ServerError> {
        let shape = sqlite::read(file)?;
        let rows = rows::make(&shape, self);
        let answer = file.run(&sqlite::script(&shape, &rows))?;
        Ok(populated(&shape, &rows, &answer))
    }
}

/// `answer` has one line per table: its number, its rows, and why the last row was left out.
fn populated(shape: &Shape, rows: &[Vec<Row>], answer: &str) -> Populated {
    let mut populated = Populated { table_count: shape.tables.len(), ..Populated::default() };
    for line in answer.lines() {
        let mut cells = line.splitn(3, '|');
        let mut number = || cells.next().and_then(|cell| cell.parse::<u64>().ok());
        let (Some(table), Some(count)) = (number(), number()) else { continue };
        let Some(table) = usize::try_from(table).ok().and_then(|n| shape.tables.get(n)) else { continue };
        populated.row_count += count;
        if count == 0 {
            populated.empty.push(format!("{}: {}", table.name, cells.next().unwrap_or_default()));
        }
    }
    for (table, rows) in shape.tables.iter().zip(rows) {
        if let Some(predicate) = rows::predicate(table, rows) {
            populated.every_second_tenant.push((table.name.clone(), predicate));
        }
    }
    populated
}
