//! Scanning SQLite: a cursor over the columns asked for, and a grouped query.
//!
//! SQLite stores what it was given: a text column may hold numbers, a number column text, and text need not be
//! UTF-8. Every value is made text here, with replacement characters where bytes are none.
//!
//! Invariants
//! - one statement per call, read row by row with reused buffers;
//! - blobs appear as lower-case hex, so that keys made of them can be compared.
//!
//! Not here: the connection and its settings.

use super::Sqlite;
use super::dialect::SqliteDialect;
use crate::store::sql::tally;
use crate::store::sql::within::within;
use async_trait::async_trait;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::fmt::Write;
use std::ops::ControlFlow;
use unseed_core::fault::Fault;
use unseed_core::port::scan::{PAID_STATUS, PaidWhen, RowBlock, ScanSource, Take, TallyRequest, VisitTally};
use unseed_core::schema::{ColumnIndex, ColumnKind, Schema, Table, TableId};

#[async_trait]
impl ScanSource for Sqlite {
    async fn read(
        &mut self,
        schema: &Schema,
        table: TableId,
        columns: &[ColumnIndex],
        take: &mut Take<'_>,
    ) -> Result<(), Fault> {
        let shape = schema.table(table);
        let list: Vec<String> = columns.iter().map(|c| name(shape, *c)).collect();
        // A table is never read without a column; SQLite needs one to count rows by.
        let list = if list.is_empty() { "NULL".to_owned() } else { list.join(", ") };
        let sql = format!("SELECT {list} FROM {}", relation(shape));
        let mut block = RowBlock::new(columns.len().max(1));
        let mut fill = |row: &[Option<&str>]| {
            row.iter().for_each(|value| block.push(*value));
            if !block.is_full() {
                return ControlFlow::Continue(());
            }
            let empty = RowBlock::new(row.len());
            take(Box::new(std::mem::replace(&mut block, empty)))
        };
        if stream(self.connection(), &sql, &format!("reading {}", shape.name), &mut fill)?.is_break() {
            return Ok(());
        }
        match take(Box::new(block)) {
            // Whoever wants no more gets no more: that was all.
            ControlFlow::Continue(()) | ControlFlow::Break(()) => Ok(()),
        }
    }

    async fn tally(
        &mut self,
        schema: &Schema,
        request: &TallyRequest,
        visit: &mut VisitTally<'_>,
    ) -> Result<u64, Fault> {
        let shape = schema.table(request.table);
        let sql = tally_sql(schema, request);
        let mut counted = 0;
        let mut read = |row: &[Option<&str>]| {
            let tally = tally::of_row(row, request.by.len());
            counted += tally.rows;
            visit(&tally);
            ControlFlow::Continue(())
        };
        let counting = format!("counting {}", shape.name);
        match stream(self.connection(), &sql, &counting, &mut read)? {
            ControlFlow::Continue(()) | ControlFlow::Break(()) => Ok(counted),
        }
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn name(table: &Table, column: ColumnIndex) -> String {
    quote(&table.columns[column].name)
}

fn relation(table: &Table) -> String {
    format!("{}.{}", quote(&table.name.namespace), quote(&table.name.name))
}

/// Receives a row; breaking ends the query.
type VisitRow<'a> = dyn FnMut(&[Option<&str>]) -> ControlFlow<()> + 'a;

/// Runs a query and visits every row as text.
fn stream(
    connection: &Connection,
    sql: &str,
    what: &str,
    visit: &mut VisitRow<'_>,
) -> Result<ControlFlow<()>, Fault> {
    let failed = |error: &rusqlite::Error| {
        Fault::store(format!("{what} failed: {error}"))
            .hint("check that the file is a SQLite database and that no other process holds it, then run the command again")
    };
    let mut statement = connection.prepare(sql).map_err(|e| failed(&e))?;
    let columns = statement.column_count();
    let mut cells: Vec<Cell> = std::iter::repeat_with(Cell::default).take(columns).collect();
    let mut rows = statement.query([]).map_err(|e| failed(&e))?;
    while let Some(row) = rows.next().map_err(|e| failed(&e))? {
        for (n, cell) in cells.iter_mut().enumerate() {
            cell.read(row, n).map_err(|e| failed(&e))?;
        }
        let texts: Vec<Option<&str>> = cells.iter().map(Cell::text).collect();
        if visit(&texts).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// A value as text, in a buffer that is used again for the next row.
#[derive(Debug, Default)]
struct Cell {
    text: String,
    null: bool,
}

impl Cell {
    fn read(&mut self, row: &Row<'_>, index: usize) -> rusqlite::Result<()> {
        self.text.clear();
        self.null = false;
        match row.get_ref(index)? {
            ValueRef::Null => self.null = true,
            ValueRef::Integer(number) => self.write(format_args!("{number}")),
            ValueRef::Real(number) => self.write(format_args!("{number}")),
            ValueRef::Text(bytes) => self.text.push_str(&String::from_utf8_lossy(bytes)),
            ValueRef::Blob(bytes) => {
                self.text.push_str("X'");
                bytes.iter().for_each(|b| self.write(format_args!("{b:02X}")));
                self.text.push('\'');
            }
        }
        Ok(())
    }

    fn write(&mut self, value: std::fmt::Arguments<'_>) {
        self.text.write_fmt(value).expect("writing to a string cannot fail");
    }

    fn text(&self) -> Option<&str> {
        (!self.null).then_some(self.text.as_str())
    }
}

/// Seconds since 1970 of a number, which counts seconds or milliseconds.
fn seconds(time: &str) -> String {
    format!("CAST(CASE WHEN {time} >= 100000000000 THEN {time} / 1000 ELSE {time} END AS INTEGER)")
}

fn day(time: &str) -> String {
    format!("CASE typeof({time}) WHEN 'text' THEN substr({time}, 1, 10) ELSE {} / 86400 END", seconds(time))
}

/// The hour of the day as a bit of a number, null where only days are known.
fn hour(time: &str) -> String {
    format!(
        "CASE typeof({time}) WHEN 'text' THEN CASE WHEN substr({time}, 11, 3) GLOB '[T ][0-2][0-9]' \
         THEN 1 << CAST(substr({time}, 12, 2) AS INTEGER) END ELSE 1 << ({} / 3600 % 24) END",
        seconds(time)
    )
}

/// All bits of a column together; there is no function for that.
fn all_bits(column: &str) -> String {
    let bits: Vec<String> = (0..24).map(|bit| format!("max({column} & {})", 1 << bit)).collect();
    bits.join(" | ")
}

/// First by key and day, then by key, so that no list of distinct days is kept per key.
fn tally_sql(schema: &Schema, request: &TallyRequest) -> String {
    let table = schema.table(request.table);
    let by: Vec<String> = request.by.iter().map(|c| name(table, *c)).collect();
    let keys: Vec<String> = (0..by.len()).map(|n| format!("k{n}")).collect();
    let named: Vec<String> = by.iter().zip(&keys).map(|(column, key)| format!("{column} AS {key}")).collect();
    let mut present: Vec<String> = by.iter().map(|column| format!("{column} IS NOT NULL")).collect();
    present.extend(request.within.as_ref().map(|w| within(&SqliteDialect, schema, request.table, w)));
    let time = request.time.map(|c| name(table, c));
    let hour = time.as_deref().map_or("NULL".to_owned(), hour);
    let day = time.as_deref().map_or("NULL".to_owned(), day);
    let time = time.unwrap_or_else(|| "NULL".to_owned());
    let (marked, paid) = classes(table, &request.paid);
    let keys = keys.join(", ");
    format!(
        "SELECT {keys}, sum(n), sum(marked), sum(paid), count(day), min(earliest), max(latest), {} FROM \
         (SELECT {}, {day} AS day, count(*) AS n, sum({marked}) AS marked, sum({paid}) AS paid, \
         min({time}) AS earliest, max({time}) AS latest, sum(DISTINCT {hour}) AS hours FROM {} AS x WHERE {} GROUP BY {}, {day}) GROUP BY {keys}",
        all_bits("hours"),
        named.join(", "),
        relation(table),
        present.join(" AND "),
        by.join(", "),
    )
}

/// The conditions for test money and for real money, each 0 or 1.
fn classes(table: &Table, paid: &PaidWhen) -> (String, String) {
    let mut marks = Vec::new();
    let mut real = Vec::new();
    if let Some(id) = paid.external_id.map(|c| name(table, c)) {
        marks.push(format!("coalesce(instr({id}, '_test_') > 0 OR {id} LIKE 'test%', 0)"));
        real.push(format!("{id} IS NOT NULL"));
    }
    if let Some(live) = paid.live_flag.map(|c| name(table, c)) {
        marks.push(format!("coalesce(lower({live}) IN ('0', 'false', 'f'), 0)"));
    }
    // An amount or a status says more than an id that is there.
    if paid.amount.is_some() || paid.status.is_some() {
        real.clear();
    }
    real.extend(paid.amount.map(|c| format!("coalesce(CAST({} AS REAL) > 0, 0)", name(table, c))));
    let words: Vec<String> = PAID_STATUS.iter().map(|w| format!("'{w}'")).collect();
    let status =
        paid.status.filter(|c| matches!(table.columns[*c].kind, ColumnKind::Text | ColumnKind::Other));
    real.extend(status.map(|c| format!("coalesce(lower({}) IN ({}), 0)", name(table, c), words.join(", "))));
    let marked = if marks.is_empty() { "0".to_owned() } else { format!("({})", marks.join(" OR ")) };
    if real.is_empty() {
        return (marked, "0".to_owned());
    }
    let paid = format!("(NOT {marked} AND {})", real.join(" AND "));
    (marked, paid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a query the way scans do and returns its rows.
    #[track_caller]
    fn read(setup: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(setup).unwrap();
        let mut rows = Vec::new();
        let mut visit = |row: &[Option<&str>]| {
            rows.push(row.iter().map(|c| c.map(str::to_owned)).collect());
            ControlFlow::Continue(())
        };
        assert!(stream(&connection, sql, "reading", &mut visit).unwrap().is_continue());
        rows
    }

    #[test]
    fn values_of_every_kind_become_text_and_broken_text_does_not_fail() {
        let setup = "CREATE TABLE t (v); INSERT INTO t VALUES (NULL), (7), (1.5), ('x'), (CAST(x'41ff' AS TEXT)), (x'00ab')";
        let rows = read(setup, "SELECT v FROM t");
        let values: Vec<Option<&str>> = rows.iter().map(|r| r[0].as_deref()).collect();
        assert_eq!(values, [None, Some("7"), Some("1.5"), Some("x"), Some("A\u{fffd}"), Some("X'00AB'")]);
    }

    #[test]
    fn days_are_found_in_text_and_in_counts() {
        let setup = "CREATE TABLE t (v); INSERT INTO t VALUES ('2026-03-14 09:26:53.1'), (1773480413), (1773480413100)";
        let rows = read(setup, &format!("SELECT {} FROM t", day("v")));
        let cell = |text: &str| Some(text.to_owned());
        assert_eq!((&rows[0][0], &rows[1][0]), (&cell("2026-03-14"), &cell("20526")));
        assert_eq!(rows[1], rows[2]);
    }

    #[test]
    fn hours_of_several_days_are_put_together_and_bare_days_have_none() {
        let setup = "CREATE TABLE t (v); INSERT INTO t VALUES ('2026-03-14 09:26:53.1'), ('2026-03-15T23:00:00Z'), \
                     ('2026-03-15T09:59:59Z'), ('2026-03-16'), ('soon'), (NULL), (1773480413), (1773483999100)";
        let sql = format!(
            "SELECT {} FROM (SELECT sum(DISTINCT {}) AS hours FROM t GROUP BY {})",
            all_bits("hours"),
            hour("v"),
            day("v")
        );
        let rows = read(setup, &sql);
        assert_eq!(rows[0][0].as_deref(), Some((1 << 9 | 1 << 10 | 1 << 23_u32).to_string().as_str()));
        let none = read("CREATE TABLE t (v); INSERT INTO t VALUES ('2026-03-16'), (NULL)", &sql);
        assert_eq!(none[0][0], None);
    }
}
