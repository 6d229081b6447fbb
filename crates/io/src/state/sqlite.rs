//! A state database in one SQLite file.
//!
//! Invariants
//! - every write is durable when its call returns (WAL with `synchronous = FULL`);
//! - whoever writes holds the write lock from the beginning of the transaction on;
//! - whoever finds the file busy waits, also while several open it for the first time.
//!
//! Not here: what is asked (`database`).

use super::session::{Kind, Row, Session, Trouble, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, ErrorCode, ToSql, params_from_iter};
use std::path::Path;
use std::time::{Duration, Instant};

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts where SQLite does not wait by itself.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// A connection to the file.
pub(super) struct SqliteSession(Connection);

impl SqliteSession {
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        let connect = || {
            let db = Connection::open(path)?;
            db.busy_timeout(BUSY_TIMEOUT)?;
            use_wal(&db)?;
            db.pragma_update(None, "synchronous", "FULL")?;
            db.pragma_update(None, "foreign_keys", true)?;
            Ok(Self(db))
        };
        connect().map_err(|error| trouble(&error))
    }
}

/// Changes the file to WAL if it is not. SQLite does not wait for others who do the same, whatever the time-out says, so
/// the waiting is done here.
fn use_wal(db: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match db.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if is_busy(&error) && begun.elapsed() < BUSY_TIMEOUT => std::thread::sleep(BUSY_PAUSE),
            outcome => return outcome,
        }
    }
}

fn is_busy(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn trouble(error: &Error) -> Trouble {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Trouble::Full(text),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Damaged(text),
        Some(_) | None => Trouble::Failed(text),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Integer(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}

fn value(found: ValueRef<'_>) -> Value {
    match found {
        ValueRef::Null => Value::Integer(None),
        ValueRef::Integer(number) => Value::Integer(Some(number)),
        ValueRef::Real(number) => Value::Text(Some(number.to_string())),
        ValueRef::Text(text) | ValueRef::Blob(text) => {
            Value::Text(Some(String::from_utf8_lossy(text).into_owned()))
        }
    }
}

impl Session for SqliteSession {
    fn kind(&self) -> Kind {
        Kind::Sqlite
    }

    fn begin(&mut self) -> Result<(), Trouble> {
        self.script("BEGIN IMMEDIATE")
    }

    fn commit(&mut self) -> Result<(), Trouble> {
        let outcome = self.script("COMMIT");
        if outcome.is_err() {
            self.roll_back();
        }
        outcome
    }

    fn roll_back(&mut self) {
        // It fails where the failure itself has ended the transaction.
        drop(self.0.execute_batch("ROLLBACK"));
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Trouble> {
        let run = || self.0.prepare_cached(sql)?.execute(params_from_iter(values));
        let changed = run().map_err(|error| trouble(&error))?;
        Ok(u64::try_from(changed).expect("a count fits 64 bits"))
    }

    fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Trouble> {
        let run = || -> rusqlite::Result<Vec<Row>> {
            let mut statement = self.0.prepare_cached(sql)?;
            let columns = statement.column_count();
            let row = |row: &rusqlite::Row<'_>| {
                (0..columns).map(|at| row.get_ref(at).map(value)).collect::<rusqlite::Result<_>>().map(Row)
            };
            statement.query_map(params_from_iter(values), row)?.collect()
        };
        run().map_err(|error| trouble(&error))
    }

    fn script(&mut self, sql: &str) -> Result<(), Trouble> {
        self.0.execute_batch(sql).map_err(|error| trouble(&error))
    }
}
