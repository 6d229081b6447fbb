//! The connection as a [`Session`], with its statements counted and its transactions timed.

use super::dialect::PostgresDialect;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, TextRow};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::SinkExt;
use std::time::Instant;
use tokio_postgres::{Client, SimpleQueryMessage};
use unseed_core::port::store::Statements;

/// Rows are sent to the server in pieces of about this size.
const COPY_CHUNK_BYTES: usize = 64 * 1024;

/// A session of PostgreSQL.
pub(super) struct PgSession {
    client: Client,
    statements: Statements,
    /// When the transaction began that holds locks on user tables.
    holding_since: Option<Instant>,
}

/// The server's answer, or the loss of the connection.
pub(super) fn sql_error(error: &tokio_postgres::Error) -> SqlError {
    match error.as_db_error() {
        Some(db) => SqlError { code: Some(db.code().code().to_owned()), message: db_message(db) },
        None => SqlError { code: None, message: connection_message(error) },
    }
}

fn db_message(db: &tokio_postgres::error::DbError) -> String {
    // DETAIL can hold row content (key values), so it stays out; the constraint's name is enough.
    let message = match (db.table(), db.constraint()) {
        (Some(table), Some(constraint)) => {
            format!("{} (table {table}, constraint {constraint})", db.message())
        }
        (Some(_) | None, Some(_) | None) => db.message().to_owned(),
    };
    match db.where_().and_then(function) {
        Some(function) => format!("{message}, in function {function}"),
        None => message,
    }
}

/// The function that the server was in. The rest of its context can hold row content.
fn function(context: &str) -> Option<&str> {
    let line = context.lines().find(|line| line.starts_with("PL/pgSQL"))?;
    line.split('(').next()?.split_whitespace().last()
}

fn connection_message(error: &tokio_postgres::Error) -> String {
    if error.is_closed() {
        return "the server closed the connection".to_owned();
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

impl PgSession {
    pub(super) fn new(client: Client) -> Self {
        Self { client, statements: Statements::default(), holding_since: None }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn statements(&self) -> Statements {
        self.statements
    }

    pub(super) fn count_statements(&mut self, n: u64) {
        self.statements.total += n;
    }

    pub(super) fn count_archive_statements(&mut self, n: u64) {
        self.statements.total += n;
        self.statements.archive += n;
    }

    /// A transaction that will hold locks begins.
    pub(super) fn begin_holding(&mut self) {
        self.holding_since = Some(Instant::now());
    }

    /// It ended.
    pub(super) fn end_transaction(&mut self) {
        if let Some(since) = self.holding_since.take() {
            let held = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.statements.longest_transaction_us = self.statements.longest_transaction_us.max(held);
        }
    }

    /// Runs several statements in one message; returns the rows of all.
    pub(super) async fn script(&mut self, sql: &str, statements: u64) -> Result<Vec<TextRow>, SqlError> {
        self.statements.total += statements;
        let messages = self.client.simple_query(sql).await.map_err(|error| sql_error(&error))?;
        Ok(text_rows(&messages))
    }

    /// Copies text rows in; `feed` is called with a function that takes bytes.
    pub(super) async fn copy_in(&mut self, sql: &str, bytes: Vec<Bytes>) -> Result<u64, SqlError> {
        self.statements.total += 1;
        let sink = self.client.copy_in(sql).await.map_err(|error| sql_error(&error))?;
        let mut sink = std::pin::pin!(sink);
        for chunk in bytes {
            sink.send(chunk).await.map_err(|error| sql_error(&error))?;
        }
        sink.finish().await.map_err(|error| sql_error(&error))
    }
}

pub(super) fn text_rows(messages: &[SimpleQueryMessage]) -> Vec<TextRow> {
    let mut rows = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|n| row.get(n).map(str::to_owned)).collect());
        }
    }
    rows
}

/// One value in COPY's text format.
fn copy_value(value: &str, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            other => out.push(other),
        }
    }
}

#[async_trait]
impl Session for PgSession {
    fn dialect(&self) -> &dyn Dialect {
        &PostgresDialect
    }

    async fn run(&mut self, sql: &str) -> Result<u64, SqlError> {
        self.statements.total += 1;
        let messages = self.client.simple_query(sql).await.map_err(|error| sql_error(&error))?;
        let counts = messages.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
            SimpleQueryMessage::Row(_) | SimpleQueryMessage::RowDescription(_) | _ => None,
        });
        Ok(counts.unwrap_or_default())
    }

    async fn rows(&mut self, sql: &str) -> Result<Vec<TextRow>, SqlError> {
        self.script(sql, 1).await
    }

    async fn load(
        &mut self,
        table: &str,
        rows: &mut (dyn Iterator<Item = Vec<String>> + Send),
    ) -> Result<u64, SqlError> {
        let mut chunks = Vec::new();
        let mut chunk: Vec<u8> = Vec::new();
        for row in rows {
            for (n, value) in row.iter().enumerate() {
                if n > 0 {
                    chunk.push(b'\t');
                }
                copy_value(value, &mut chunk);
            }
            chunk.push(b'\n');
            if chunk.len() >= COPY_CHUNK_BYTES {
                chunks.push(Bytes::from(std::mem::take(&mut chunk)));
            }
        }
        if !chunk.is_empty() {
            chunks.push(Bytes::from(chunk));
        }
        self.copy_in(&format!("COPY {table} FROM STDIN"), chunks).await
    }
}
