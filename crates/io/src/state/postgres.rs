//! A state database on a PostgreSQL server, in a schema of its own.
//!
//! The driver is asynchronous and the port is not, and whoever asks may be inside of another runtime. So a session
//! has a runtime of its own, with one thread, and waits for its answers.
//!
//! Invariants
//! - a statement that is not answered within [`ANSWER_WAIT`] counts as a lost connection;
//! - the outcome of a commit whose answer was lost is asked for, never guessed;
//! - a process that stands still in a transaction keeps nobody waiting for longer than [`SETTINGS`] allow.
//!
//! Not here: TLS and how an address is read (`store::postgres`), what is asked (`database`).

use super::migrations::SCHEMA;
use super::session::{Kind, Row, Session, Trouble, Value};
use crate::store::postgres_connection::{Target, connect, sql_error};
use bytes::BytesMut;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, SimpleQueryMessage};
use unseed_core::fault::{Category, Fault};

/// How long an answer is waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// Who stands still within a transaction loses it before others have waited too long for its locks.
const SETTINGS: &str = "SET idle_in_transaction_session_timeout = '10s'; SET lock_timeout = '30s'; \
    SET statement_timeout = '45s'; SET client_min_messages = warning";

/// Waits between questions for the outcome of a commit, in milliseconds.
const OUTCOME_WAITS_MS: [u64; 9] = [0, 50, 100, 200, 400, 800, 1_600, 2_000, 2_000];

/// A session of the server.
pub(super) struct PostgresSession {
    target: Arc<Target>,
    /// Always there until the session is dropped.
    runtime: Option<Runtime>,
    client: Option<Arc<Client>>,
    /// The number of the open transaction.
    transaction: Option<String>,
}

impl PostgresSession {
    /// Connects; the schema need not be there.
    pub(super) fn open(target: Arc<Target>) -> Result<Self, Fault> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(|error| {
                Fault::new(Category::Archive, format!("no thread can be started: {error}"))
                    .hint("give the process room for more threads")
            })?;
        let mut session = Self { target, runtime: Some(runtime), client: None, transaction: None };
        match session.connect() {
            Ok(()) => Ok(session),
            Err(fault) => Err(Fault { message: format!("state database: {}", fault.message), ..fault }),
        }
    }

    /// Runs something on the session's own thread, and waits for it for so long.
    fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, outcome) = channel();
        let runtime = self.runtime.as_ref().expect("it is there until the session is dropped");
        runtime.spawn(async move {
            if let Ok(value) = tokio::time::timeout(ANSWER_WAIT, work).await {
                // Nobody waits any more only where the process ends.
                drop(done.send(value));
            }
        });
        outcome.recv().ok()
    }

    fn connect(&mut self) -> Result<(), Fault> {
        (self.client, self.transaction) = (None, None);
        let target = Arc::clone(&self.target);
        let connected = self.wait(async move {
            let client = connect(&target).await?.client;
            let settings = format!("{SETTINGS}; SET search_path = {SCHEMA}");
            match client.batch_execute(&settings).await {
                Ok(()) => Ok(client),
                Err(error) => Err(Fault::store(sql_error(&error).message)),
            }
        });
        let silent = || Fault::store(format!("`{}` does not answer", self.target.location));
        self.client = Some(Arc::new(connected.unwrap_or_else(|| Err(silent()))?));
        Ok(())
    }

    /// The connection, made again where it is gone. Within a transaction there is no other than its own.
    fn client(&mut self) -> Result<Arc<Client>, Trouble> {
        let open = self.client.clone().filter(|client| !client.is_closed());
        if let Some(client) = open {
            return Ok(client);
        }
        if self.transaction.is_some() {
            return Err(Trouble::Lost("the server closed the connection".to_owned()));
        }
        self.connect().map_err(|fault| Trouble::Lost(fault.message))?;
        Ok(self.client.clone().expect("it was just made"))
    }

    /// Asks the server; whether the connection is still good is part of the answer.
    fn ask<T, F>(&mut self, question: impl FnOnce(Arc<Client>) -> F) -> Result<T, Trouble>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, tokio_postgres::Error>> + Send + 'static,
    {
        let client = self.client()?;
        match self.wait(question(client)) {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => {
                let message = sql_error(&error).message;
                if is_lost(&error) {
                    self.client = None;
                    return Err(Trouble::Lost(message));
                }
                let full = error.code().is_some_and(|code| code.code() == "53100");
                Err(if full { Trouble::Full(message) } else { Trouble::Failed(message) })
            }
            None => {
                self.client = None;
                Err(Trouble::Lost(format!("no answer within {} s", ANSWER_WAIT.as_secs())))
            }
        }
    }

    /// What became of a transaction whose commit was not answered.
    fn outcome(&mut self, transaction: &str) -> Result<(), Trouble> {
        let unknown = || Trouble::Failed("it is not known whether the last entry was kept".to_owned());
        let sql = format!("SELECT coalesce(pg_xact_status('{transaction}'::xid8), '')");
        for wait_ms in OUTCOME_WAITS_MS {
            std::thread::sleep(Duration::from_millis(wait_ms));
            let sql = sql.clone();
            let status = self.ask(|client| async move {
                match client.query_one(&sql, &[]).await {
                    Ok(row) => row.try_get(0),
                    // A server that crashed may come back without numbers that left no trace on its disk.
                    Err(error) if error.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) => {
                        Ok("aborted".to_owned())
                    }
                    Err(error) => Err(error),
                }
            });
            match status.as_deref() {
                Ok("committed") => return Ok(()),
                Ok("aborted") => return Err(Trouble::Lost("the server rolled back".to_owned())),
                Ok("in progress") | Err(_) => {}
                Ok(_) => return Err(unknown()),
            }
        }
        Err(unknown())
    }
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        // Waiting for its thread is not allowed within another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether the server, or the way to it, is gone; what was open there is rolled back.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    match error.code().map(|state| state.code()) {
        // Shut down, crashed, starting, or weary of a transaction in which nothing happened.
        Some(code) => code.starts_with("57P") || code.starts_with("08") || code == "25P03",
        None => error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()),
    }
}

/// Values are numbered `$1` in PostgreSQL.
fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Integer(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::INT8 || *ty == Type::TEXT
    }

    to_sql_checked!();
}

impl Value {
    fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        let ty = match self {
            Self::Integer(_) => Type::INT8,
            Self::Text(_) => Type::TEXT,
        };
        (self, ty)
    }
}

fn plain(row: &tokio_postgres::Row) -> Result<Row, tokio_postgres::Error> {
    let value = |(at, column): (usize, &tokio_postgres::Column)| {
        if *column.type_() == Type::INT8 {
            row.try_get(at).map(Value::Integer)
        } else {
            row.try_get(at).map(Value::Text)
        }
    };
    row.columns().iter().enumerate().map(value).collect::<Result<_, _>>().map(Row)
}

impl Session for PostgresSession {
    fn kind(&self) -> Kind {
        Kind::Postgres
    }

    fn begin(&mut self) -> Result<(), Trouble> {
        self.transaction = None;
        let begun = self.ask(|client| async move {
            client.simple_query("BEGIN; SELECT pg_current_xact_id()::text").await
        })?;
        let number = begun.iter().find_map(|message| {
            let SimpleQueryMessage::Row(row) = message else { return None };
            row.get(0).map(str::to_owned)
        });
        self.transaction = Some(number.expect("the question has one row"));
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Trouble> {
        let outcome = self.ask(|client| async move { client.batch_execute("COMMIT").await });
        let transaction = self.transaction.take().expect("a transaction is open");
        match outcome {
            Err(Trouble::Lost(_)) => self.outcome(&transaction),
            outcome => outcome,
        }
    }

    fn roll_back(&mut self) {
        // Where the connection is gone, the server rolls back by itself.
        if self.client.is_some() {
            drop(self.ask(|client| async move { client.batch_execute("ROLLBACK").await }));
        }
        self.transaction = None;
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Trouble> {
        let (sql, values) = (numbered(sql), values.to_vec());
        self.ask(|client| async move {
            let typed: Vec<_> = values.iter().map(Value::typed).collect();
            client.execute_typed(&sql, &typed).await
        })
    }

    fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Trouble> {
        let (sql, values) = (numbered(sql), values.to_vec());
        self.ask(|client| async move {
            let typed: Vec<_> = values.iter().map(Value::typed).collect();
            client.query_typed(&sql, &typed).await?.iter().map(plain).collect()
        })
    }

    fn script(&mut self, sql: &str) -> Result<(), Trouble> {
        let sql = sql.to_owned();
        self.ask(|client| async move { client.batch_execute(&sql).await })
    }
}
