//! The connection as a [`Session`], with its statements counted and its transactions timed.

use super::dialect::PostgresDialect;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, TextRow};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::collections::{HashSet, VecDeque};
use std::time::Instant;
use tokio_postgres::{Client, SimpleQueryMessage};
use unseed_core::port::store::Statements;

/// Rows are sent to the server in pieces of about this size.
const COPY_CHUNK_BYTES: usize = 64 * 1024;
/// The server holds the plans of so many statements; one over many tables takes some megabytes.
const KEPT_MAX: usize = 8;

/// A session of PostgreSQL.
pub(super) struct PgSession {
    client: Client,
    statements: Statements,
    /// When the transaction began that holds locks on user tables.
    holding_since: Option<Instant>,
    kept: KeptPlans,
}

/// Statements that came more than once, and whose plans the server keeps.
#[derive(Default)]
struct KeptPlans {
    /// Hashes of statements that came once.
    seen: HashSet<blake3::Hash>,
    /// Names of prepared statements, the oldest first.
    names: VecDeque<(blake3::Hash, String)>,
    made: u64,
}

/// The server's answer, or the loss of the connection.
pub(crate) fn sql_error(error: &tokio_postgres::Error) -> SqlError {
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
        Self { client, statements: Statements::default(), holding_since: None, kept: KeptPlans::default() }
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

    /// Runs a statement that comes again and again with other values; returns its rows. `sql` writes it with these texts
    /// in place of the values. From the second time on the server keeps it, and need not plan it anew.
    pub(super) async fn again(
        &mut self,
        values: [u64; 2],
        sql: &(dyn Fn([&str; 2]) -> String + Sync),
    ) -> Result<Vec<TextRow>, SqlError> {
        let [first, last] = values.map(|value| value.to_string());
        let general = sql(["$1", "$2"]);
        let hash = blake3::hash(general.as_bytes());
        if self.kept.seen.insert(hash) {
            return self.script(&sql([&first, &last]), 1).await;
        }
        let known = self.kept.names.iter().find(|(known, _)| *known == hash).map(|(_, name)| name.clone());
        let name = match known {
            Some(name) => name,
            None => self.keep(hash, &general).await?,
        };
        self.script(&format!("EXECUTE {name}({first}, {last})"), 1).await
    }

    /// Has the server keep a statement, instead of the oldest that it keeps if they are many; returns its name.
    async fn keep(&mut self, hash: blake3::Hash, general: &str) -> Result<String, SqlError> {
        if self.kept.names.len() == KEPT_MAX
            && let Some((_, oldest)) = self.kept.names.pop_front()
        {
            self.script(&format!("DEALLOCATE {oldest}"), 1).await?;
        }
        self.kept.made += 1;
        // A pooler may hand on a connection with what an earlier process left in it.
        let name = format!("unseed_{}_{}", std::process::id(), self.kept.made);
        self.script(&format!("PREPARE {name} (int, int) AS {general}"), 1).await?;
        self.kept.names.push_back((hash, name.clone()));
        Ok(name)
    }

    /// Runs several statements in one message; returns the rows of all.
    pub(super) async fn script(&mut self, sql: &str, statements: u64) -> Result<Vec<TextRow>, SqlError> {
        self.statements.total += statements;
        let failed = |error: tokio_postgres::Error| sql_error(&error);
        let messages = self.client.simple_query_raw(sql).await.map_err(failed)?;
        let mut messages = std::pin::pin!(messages);
        let mut rows = Vec::new();
        while let Some(message) = messages.next().await {
            // A row as the server sent it is several times as large.
            rows.extend(text_row(&message.map_err(failed)?));
        }
        Ok(rows)
    }
}

pub(super) fn text_rows(messages: &[SimpleQueryMessage]) -> Vec<TextRow> {
    messages.iter().filter_map(text_row).collect()
}

fn text_row(message: &SimpleQueryMessage) -> Option<TextRow> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    Some((0..row.len()).map(|n| row.get(n).map(str::to_owned)).collect())
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

    async fn each(&mut self, sql: &str, visit: &mut (dyn FnMut(TextRow) + Send)) -> Result<(), SqlError> {
        self.statements.total += 1;
        let failed = |error: tokio_postgres::Error| sql_error(&error);
        let messages = self.client.simple_query_raw(sql).await.map_err(failed)?;
        let mut messages = std::pin::pin!(messages);
        while let Some(message) = messages.next().await {
            if let Some(row) = text_row(&message.map_err(failed)?) {
                visit(row);
            }
        }
        Ok(())
    }

    async fn load(
        &mut self,
        table: &str,
        rows: &mut (dyn Iterator<Item = Vec<String>> + Send),
    ) -> Result<u64, SqlError> {
        let failed = |error: tokio_postgres::Error| sql_error(&error);
        self.statements.total += 1;
        let sink = self.client.copy_in(&format!("COPY {table} FROM STDIN")).await.map_err(failed)?;
        let mut sink = std::pin::pin!(sink);
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
                sink.send(Bytes::from(std::mem::take(&mut chunk))).await.map_err(failed)?;
            }
        }
        if !chunk.is_empty() {
            sink.send(Bytes::from(chunk)).await.map_err(failed)?;
        }
        sink.finish().await.map_err(failed)
    }
}
