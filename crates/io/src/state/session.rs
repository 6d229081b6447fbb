//! One way to talk to both kinds of state database: the same statements, with values and rows as plain data.
//!
//! Statements number their values `?1`, `?2`, …, and use what SQLite and PostgreSQL have in common; where they
//! differ, the caller asks for the [`Kind`].
//!
//! Not here: what is asked (`database`, `governance`, `lease`), the drivers (`sqlite`, `postgres`).

use unseed_core::fault::Fault;

/// Kinds of state databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// Milliseconds since 1970 by the clock of the database: on a server, one clock for all who share it.
    pub(super) fn now_ms(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Self::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
        }
    }
}

/// A connection to a state database.
pub(super) trait Session: Send {
    fn kind(&self) -> Kind;

    /// Begins a transaction that may write, and connects again where the connection is gone.
    fn begin(&mut self) -> Result<(), Trouble>;

    /// Ends it; durable when this returns. `Lost` means that nothing of it was kept.
    fn commit(&mut self) -> Result<(), Trouble>;

    fn roll_back(&mut self);

    /// Runs a statement; returns how many rows it changed.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Trouble>;

    /// Runs a statement; returns its rows.
    fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Trouble>;

    /// Runs several statements without values.
    fn script(&mut self, sql: &str) -> Result<(), Trouble>;

    /// The first row of a statement that always has one.
    fn one(&mut self, sql: &str, values: &[Value]) -> Result<Row, Trouble> {
        let row = self.rows(sql, values)?.into_iter().next();
        row.ok_or_else(|| Trouble::Damaged("an entry is missing".to_owned()))
    }
}

/// Does all of it or nothing.
pub(super) fn in_transaction<T>(
    session: &mut dyn Session,
    change: &mut dyn FnMut(&mut dyn Session) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    session.begin()?;
    match change(session) {
        Ok(value) => session.commit().map(|()| value),
        Err(trouble) => {
            session.roll_back();
            Err(trouble)
        }
    }
}

/// Why a state database did not do what it was asked for.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection is gone, and nothing of what was asked for was kept: it can be asked again.
    Lost(String),
    /// The disk is full.
    Full(String),
    /// The file, or an entry in it, is not what was written.
    Damaged(String),
    /// A later version wrote it.
    Newer {
        found: i64,
        known: i64,
    },
    Failed(String),
    /// What was asked for is refused.
    Fault(Fault),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A value of a statement or row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&Option<String>> for Value {
    fn from(text: &Option<String>) -> Self {
        Self::Text(text.clone())
    }
}

/// The values of a statement, in their order.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::state::session::Value::from($value)),*] };
}
pub(super) use values;

/// A row, its columns counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<Value>);

impl Row {
    pub(super) fn integer(&self, column: usize) -> Result<i64, Trouble> {
        match self.0.get(column) {
            Some(Value::Integer(Some(number))) => Ok(*number),
            Some(Value::Integer(None) | Value::Text(_)) | None => Err(unexpected(column)),
        }
    }

    pub(super) fn text(&self, column: usize) -> Result<String, Trouble> {
        self.maybe_text(column)?.ok_or_else(|| unexpected(column))
    }

    pub(super) fn maybe_text(&self, column: usize) -> Result<Option<String>, Trouble> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text.clone()),
            // A column without any value has no type in SQLite.
            Some(Value::Integer(None)) => Ok(None),
            Some(Value::Integer(Some(_))) | None => Err(unexpected(column)),
        }
    }

    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, Trouble> {
        from_json(&self.text(column)?)
    }
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Trouble> {
    serde_json::from_str(text).map_err(|error| Trouble::Damaged(format!("an entry cannot be read: {error}")))
}

fn unexpected(column: usize) -> Trouble {
    Trouble::Damaged(format!("column {} of an entry is of another type", column + 1))
}
