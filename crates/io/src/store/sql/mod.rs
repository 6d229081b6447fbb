//! What SQL stores share: the closure program and everything around it as set-based statements.
//!
//! A store brings a [`Session`] (run a statement, read rows as text) and a [`Dialect`] (how its SQL spells
//! addresses, versions and temporary tables); the modules here turn each step of a program into one
//! statement. Key sets live in temporary tables: `unseed_k7` holds the rows of table 7 that leave.
//!
//! Invariants
//! - no statement here writes to anything but temporary tables;
//! - row content never leaves the database through here, only keys and counts, and the values that other stores are
//!   searched by (`values`).
//!
//! Not here: removing and archiving (each store in its own way), connections.

pub(crate) mod closure;
pub(crate) mod condition;
pub(crate) mod conflicts;
pub(crate) mod counts;
pub(crate) mod detached;
pub(crate) mod dialect;
pub(crate) mod effects;
pub(crate) mod explain;
pub(crate) mod fingerprint;
pub(crate) mod reattach;
pub(crate) mod remainder;
pub(crate) mod restore;
pub(crate) mod roots;
pub(crate) mod runs;
pub(crate) mod script;
pub(crate) mod tags;
pub(crate) mod tally;
pub(crate) mod values;
pub(crate) mod within;

use async_trait::async_trait;
use dialect::Dialect;
use unseed_core::fault::{Category, Fault};
use unseed_core::schema::TableId;

/// One row as text; SQL null is `None`.
pub(crate) type TextRow = Vec<Option<String>>;

/// An error that the database answered, or the loss of the connection.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct SqlError {
    /// SQLSTATE, where there is one.
    pub(crate) code: Option<String>,
    pub(crate) message: String,
}

/// What to do when a row becomes like another one.
const ALIKE: &str =
    "two rows would be alike once their references are empty: choose them as roots too, or change them first";

impl SqlError {
    /// As a fault of the store while it was doing `what`.
    pub(crate) fn fault(self, what: &str) -> Fault {
        let hint = match self.code.as_deref() {
            Some("42501") => "grant the missing privilege to the connected role, or connect as another",
            Some("53100") => "free disk space on the database server, then run the command again",
            Some("55P03") => "another session holds the lock; run the command again when it is done",
            Some("40001" | "40P01") => "another session changed the same rows; run the command again",
            Some("57014") => "the statement was cancelled or timed out; run the command again",
            Some("23505" | "23P01") => ALIKE,
            Some("23000") if self.message.contains("UNIQUE constraint") => ALIKE,
            Some("P0001" | "23000" | "23502" | "23514") => {
                "look at the trigger or rule that does this, then run the command again"
            }
            Some(_) | None => "check the connection and the server's log, then run the command again",
        };
        let transient = matches!(self.code.as_deref(), Some("40001" | "40P01" | "55P03"));
        Fault::new(Category::Store, format!("{what} failed: {}", self.message))
            .hint(hint)
            .transient(transient)
    }
}

/// A connection that runs SQL.
#[async_trait]
pub(crate) trait Session: Send {
    /// How this database spells things.
    fn dialect(&self) -> &dyn Dialect;

    /// Runs one statement; returns the number of rows it touched or created, where the database tells.
    async fn run(&mut self, sql: &str) -> Result<u64, SqlError>;

    /// Runs one query; all values as text.
    async fn rows(&mut self, sql: &str) -> Result<Vec<TextRow>, SqlError>;

    /// Runs one query; each row is handed on as it comes.
    async fn each(&mut self, sql: &str, visit: &mut (dyn FnMut(TextRow) + Send)) -> Result<(), SqlError> {
        for row in self.rows(sql).await? {
            visit(row);
        }
        Ok(())
    }

    /// Fills a temporary table with rows of text.
    async fn load(
        &mut self,
        table: &str,
        rows: &mut (dyn Iterator<Item = Vec<String>> + Send),
    ) -> Result<u64, SqlError>;
}

/// A value that must be a number.
pub(crate) fn number(row: &[Option<String>], index: usize) -> u64 {
    row.get(index).and_then(Option::as_deref).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The table whose number this column holds.
pub(crate) fn numbered(row: &[Option<String>], index: usize) -> TableId {
    TableId(usize::try_from(number(row, index)).unwrap_or(usize::MAX))
}

/// A value that must be text.
pub(crate) fn text(row: &[Option<String>], index: usize) -> String {
    row.get(index).cloned().flatten().unwrap_or_default()
}
