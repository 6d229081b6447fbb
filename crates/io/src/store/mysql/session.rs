//! The connection as a [`Session`], with its statements counted and its transactions timed.
//!
//! Invariants
//! - a connection whose answer was not read to its end is never used again: it is taken out while a statement runs
//!   and put back only afterwards, since the next answer would be that of the statement before;
//! - values of rows are cut out of what the server says, since messages end up in logs.

use super::dialect::{MysqlDialect, hex_literal, text_literal};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, TextRow, text};
use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, ServerError, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Instant;
use unseed_core::port::store::Statements;

/// Rows are sent to the server in statements of about this size.
const INSERT_BYTES: usize = 256 * 1024;

/// A session of MariaDB.
pub(super) struct MySession {
    /// Absent while a statement runs, and for good once one was given up.
    conn: Option<Conn>,
    statements: Statements,
    /// Temporary tables that were made.
    pub(super) temporary: BTreeSet<String>,
    /// When the transaction began that holds locks on user tables.
    holding_since: Option<Instant>,
    /// The longest statement that the server takes.
    pub(super) packet_bytes_max: usize,
    joins: Joins,
}

/// How the server may join tables.
///
/// It takes a hash of a whole table wherever it is allowed to, however few rows of it are wanted, and then locks and
/// reads them all. Where values are compared as texts, though, no index serves, and all but a hash is far worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joins {
    Indexed,
    Hashed,
}

/// The server's answer, or the loss of the connection.
pub(super) fn sql_error(error: &Error) -> SqlError {
    match error {
        Error::Server(said) => SqlError { code: Some(code(said)), message: message(said) },
        Error::Driver(_) | Error::Io(_) | Error::Other(_) | Error::Url(_) => {
            SqlError { code: None, message: "the connection to the server was lost".to_owned() }
        }
    }
}

/// The SQLSTATE that other databases have for it; MariaDB has few of its own.
fn code(said: &ServerError) -> String {
    let known = match said.code {
        1205 => "55P03",
        1213 | 1020 => "40001",
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 => "42501",
        1021 | 1114 => "53100",
        1317 | 1969 | 3024 => "57014",
        1062 | 1586 => "23505",
        1451 | 1452 | 1216 | 1217 => "23503",
        1048 => "23502",
        4025 => "23514",
        1644 => "P0001",
        _ => return said.state.clone(),
    };
    known.to_owned()
}

/// What the server said, without values of rows.
fn message(said: &ServerError) -> String {
    match said.code {
        1062 | 1586 => {
            let key = said.message.rsplit(" for key ").next().unwrap_or_default();
            format!("another row has the same value of key {key}")
        }
        // "Incorrect integer value: 'abc' for column `db`.`t`.`c` at row 1" and its like.
        1292 | 1366 | 1411 | 1525 => match said.message.split_once(": '") {
            Some((what, rest)) => {
                let place = rest.rsplit_once(" for column ").map(|(_, place)| format!(" for column {place}"));
                format!("{what}{}", place.unwrap_or_default())
            }
            None => said.message.clone(),
        },
        _ => said.message.clone(),
    }
}

/// One row as the server sent it; SQL null is `None`.
pub(super) type ByteRow = Vec<Option<Vec<u8>>>;

fn as_bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        // The text protocol sends nothing but bytes.
        other @ (Value::Int(_)
        | Value::UInt(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Date(..)
        | Value::Time(..)) => Some(other.as_sql(true).into_bytes()),
    }
}

fn as_text(value: Option<Vec<u8>>) -> Option<String> {
    value.map(|bytes| {
        String::from_utf8(bytes).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())
    })
}

fn lost() -> SqlError {
    SqlError { code: None, message: "the connection to the server was lost".to_owned() }
}

impl MySession {
    pub(super) fn new(conn: Conn) -> Self {
        Self {
            conn: Some(conn),
            statements: Statements::default(),
            temporary: BTreeSet::new(),
            holding_since: None,
            packet_bytes_max: 16 << 20,
            joins: Joins::Indexed,
        }
    }

    /// Lets the following statements join so.
    pub(super) async fn join(&mut self, joins: Joins) -> Result<(), SqlError> {
        if self.joins != joins {
            let level = match joins {
                Joins::Indexed => 2,
                Joins::Hashed => 4,
            };
            self.run(&format!("SET SESSION join_cache_level = {level}")).await?;
            self.joins = joins;
        }
        Ok(())
    }

    pub(super) fn statements(&self) -> Statements {
        self.statements
    }

    /// Counts a statement that only archives.
    pub(super) fn count_archive_statement(&mut self) {
        self.statements.archive += 1;
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

    /// Runs a query and visits its rows as the server sends them; an error of the visitor ends it, and the
    /// connection with it.
    pub(super) async fn stream<E: From<SqlError>>(
        &mut self,
        sql: &str,
        visit: &mut (dyn FnMut(ByteRow) -> Result<(), E> + Send),
    ) -> Result<u64, E> {
        self.statements.total += 1;
        let mut conn = self.conn.take().ok_or_else(lost)?;
        let outcome = Self::read(&mut conn, sql, visit).await;
        match outcome {
            Ok(rows) => {
                self.conn = Some(conn);
                Ok(rows)
            }
            Err(Ended::Server(error)) => {
                if matches!(error, Error::Server(_)) {
                    self.conn = Some(conn);
                }
                Err(sql_error(&error).into())
            }
            Err(Ended::Visitor(error)) => Err(error),
        }
    }

    /// Rows that were visited, or that the statement touched.
    async fn read<E>(
        conn: &mut Conn,
        sql: &str,
        visit: &mut (dyn FnMut(ByteRow) -> Result<(), E> + Send),
    ) -> Result<u64, Ended<E>> {
        let mut result = conn.query_iter(sql).await.map_err(Ended::Server)?;
        let mut rows = 0;
        while let Some(row) = result.next().await.map_err(Ended::Server)? {
            visit(row.unwrap().into_iter().map(as_bytes).collect()).map_err(Ended::Visitor)?;
            rows += 1;
        }
        let touched = result.affected_rows();
        result.drop_result().await.map_err(Ended::Server)?;
        Ok(rows.max(touched))
    }

    /// Runs statements one after the other.
    pub(super) async fn run_all(&mut self, statements: &[&str]) -> Result<(), SqlError> {
        for sql in statements {
            self.run(sql).await?;
        }
        Ok(())
    }
}

enum Ended<E> {
    Server(Error),
    Visitor(E),
}

#[async_trait]
impl Session for MySession {
    fn dialect(&self) -> &dyn Dialect {
        &MysqlDialect
    }

    async fn run(&mut self, sql: &str) -> Result<u64, SqlError> {
        if let Some(rest) = sql.strip_prefix("CREATE TEMPORARY TABLE ") {
            self.temporary.insert(rest.split(' ').next().unwrap_or_default().to_owned());
        }
        // The statements that all stores share drop temporary tables only. Here that has to be said: it would commit
        // otherwise, and take a table of that name that somebody else has.
        let sql = match sql.strip_prefix("DROP TABLE ") {
            Some(rest) => Cow::Owned(format!("DROP TEMPORARY TABLE {rest}")),
            None => Cow::Borrowed(sql),
        };
        self.stream(&sql, &mut |_| Ok::<(), SqlError>(())).await
    }

    async fn rows(&mut self, sql: &str) -> Result<Vec<TextRow>, SqlError> {
        let mut rows = Vec::new();
        let mut keep = |row: ByteRow| {
            rows.push(row.into_iter().map(as_text).collect());
            Ok::<(), SqlError>(())
        };
        self.stream(sql, &mut keep).await?;
        Ok(rows)
    }

    async fn each(&mut self, sql: &str, visit: &mut (dyn FnMut(TextRow) + Send)) -> Result<(), SqlError> {
        let mut hand_on = |row: ByteRow| {
            visit(row.into_iter().map(as_text).collect());
            Ok::<(), SqlError>(())
        };
        self.stream(sql, &mut hand_on).await.map(drop)
    }

    async fn load(
        &mut self,
        table: &str,
        rows: &mut (dyn Iterator<Item = Vec<String>> + Send),
    ) -> Result<u64, SqlError> {
        let columns = self.rows(&format!("SHOW COLUMNS FROM {table}")).await?;
        let holds_bytes = |row: &TextRow| {
            let kind = text(row, 1);
            ["binary", "varbinary", "blob", "tinyblob", "mediumblob", "longblob"]
                .iter()
                .any(|k| kind.starts_with(k))
        };
        let bytes: Vec<bool> = columns.iter().map(holds_bytes).collect();
        // Text would be taken for the bits themselves.
        let bits: Vec<bool> = columns.iter().map(|row| text(row, 1).starts_with("bit")).collect();
        let mut count = 0;
        let mut sql = String::new();
        for row in rows {
            sql.push_str(if sql.is_empty() { "" } else { ", " });
            if sql.is_empty() {
                sql = format!("INSERT INTO {table} VALUES ");
            }
            sql.push('(');
            for (n, value) in row.iter().enumerate() {
                sql.push_str(if n == 0 { "" } else { ", " });
                match unhex(value).filter(|_| bytes.get(n) == Some(&true)) {
                    Some(value) => hex_literal(&value, &mut sql),
                    None if bits.get(n) == Some(&true) && value.bytes().all(|b| b.is_ascii_digit()) => {
                        sql.push_str(if value.is_empty() { "NULL" } else { value });
                    }
                    None => text_literal(value, &mut sql),
                }
            }
            sql.push(')');
            if sql.len() >= INSERT_BYTES {
                count += self.run(&sql).await?;
                sql.clear();
            }
        }
        if !sql.is_empty() {
            count += self.run(&sql).await?;
        }
        Ok(count)
    }
}

/// The bytes of a literal such as `X'00FF'`.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let hex = text.strip_prefix(['X', 'x'])?.strip_prefix('\'')?.strip_suffix('\'')?;
    if hex.len() % 2 != 0 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: u16, said: &str, expected: &str) {
        let error = ServerError { code, message: said.to_owned(), state: "HY000".to_owned() };
        assert_eq!(message(&error), expected);
    }

    #[test]
    fn values_are_cut_out_of_messages() {
        check(
            1062,
            "Duplicate entry 'a@b.c' for key 'email'",
            "another row has the same value of key 'email'",
        );
        check(
            1366,
            "Incorrect integer value: 'secret' for column `d`.`t`.`c` at row 1",
            "Incorrect integer value for column `d`.`t`.`c` at row 1",
        );
        check(1292, "Truncated incorrect DOUBLE value: 'secret'", "Truncated incorrect DOUBLE value");
        check(1146, "Table 'd.t' doesn't exist", "Table 'd.t' doesn't exist");
    }

    #[test]
    fn bytes_are_read_back_from_their_literal() {
        assert_eq!(unhex("X'00ff'"), Some(vec![0, 255]));
        assert_eq!((unhex("X'0'"), unhex("00ff"), unhex("X'0g'")), (None, None, None));
    }
}
