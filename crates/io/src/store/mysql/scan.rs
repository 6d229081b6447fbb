//! Scanning MariaDB: the columns asked for, streamed, and a grouped query.
//!
//! Invariants
//! - rows are read as the server sends them, block by block, never a whole table;
//! - bytes appear as `X'00FF'`, so that keys made of them can be compared.
//!
//! Not here: the connection and its settings.

use super::dialect::MysqlDialect;
use super::session::ByteRow;
use super::types::{Sort, sort};
use super::{Mysql, Stop};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::tally;
use crate::store::sql::within::within;
use async_trait::async_trait;
use std::ops::ControlFlow;
use unseed_core::fault::Fault;
use unseed_core::port::scan::{PAID_STATUS, PaidWhen, RowBlock, ScanSource, Take, TallyRequest, VisitTally};
use unseed_core::schema::{Column, ColumnIndex, ColumnKind, Schema, Table, TableId};

#[async_trait]
impl ScanSource for Mysql {
    async fn read(
        &mut self,
        schema: &Schema,
        table: TableId,
        columns: &[ColumnIndex],
        take: &mut Take<'_>,
    ) -> Result<(), Fault> {
        let shape = schema.table(table);
        let list: Vec<String> = columns.iter().map(|c| shown(&shape.columns[*c])).collect();
        // A table is never read without a column; the server needs one to send rows by.
        let list = if list.is_empty() { "NULL".to_owned() } else { list.join(", ") };
        let sql = format!("SELECT {list} FROM {}", MysqlDialect.relation(shape));
        let width = columns.len().max(1);
        let mut block = RowBlock::new(width);
        let mut fill = |row: ByteRow| {
            for value in &row {
                block.push(value.as_deref().map(String::from_utf8_lossy).as_deref());
            }
            if !block.is_full() {
                return Ok(());
            }
            let full = std::mem::replace(&mut block, RowBlock::new(width));
            if take(Box::new(full)).is_break() { Err(Stop::Enough) } else { Ok(()) }
        };
        match self.session.stream(&sql, &mut fill).await {
            Ok(_) => {}
            // The rest of the answer is on its way, so that this connection is of no more use.
            Err(Stop::Enough) => return self.reconnect().await,
            Err(stop) => return Err(stop.fault(&format!("reading {}", shape.name))),
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
        let mut read = |row: ByteRow| {
            let texts: Vec<_> =
                row.iter().map(|value| value.as_deref().map(String::from_utf8_lossy)).collect();
            let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
            let tally = tally::of_row(&texts, request.by.len());
            counted += tally.rows;
            visit(&tally);
            Ok::<(), Stop>(())
        };
        let outcome = self.session.stream(&sql, &mut read).await;
        outcome.map_err(|stop| stop.fault(&format!("counting {}", shape.name)))?;
        Ok(counted)
    }
}

fn name(table: &Table, column: ColumnIndex) -> String {
    MysqlDialect.quote(&table.columns[column].name)
}

/// A column as its text is shown.
fn shown(column: &Column) -> String {
    let name = MysqlDialect.quote(&column.name);
    match sort(column) {
        Sort::Number | Sort::Double | Sort::Words | Sort::Plain | Sort::Text => name,
        Sort::Float => format!("CAST({name} AS DOUBLE)"),
        Sort::Bit => format!("{name} + 0"),
        Sort::Bytes => format!("CONCAT('X''', HEX({name}), '''')"),
    }
}

/// A time column in SQL.
struct TimeOf {
    value: String,
    day: String,
    /// The bit of its hour; null where there is none.
    hour: String,
}

/// A time column as expressions; none where it holds no point in time.
fn time(table: &Table, column: ColumnIndex) -> Option<TimeOf> {
    let shape = &table.columns[column];
    let name = name(table, column);
    match shape.kind {
        ColumnKind::Time if shape.type_name.starts_with("time(") || shape.type_name == "time" => None,
        ColumnKind::Time => {
            let has_hours = shape.type_name != "date";
            let hour = if has_hours { format!("1 << HOUR({name})") } else { "NULL".to_owned() };
            Some(TimeOf { day: format!("DATE({name})"), hour, value: name })
        }
        ColumnKind::Integer | ColumnKind::Number => {
            // Milliseconds have twelve digits or more from 1973 on.
            let seconds = format!("CASE WHEN {name} >= 100000000000 THEN {name} / 1000 ELSE {name} END");
            let point = format!("CASE WHEN {name} > 0 THEN '1970-01-01' + INTERVAL ({seconds}) SECOND END");
            let hour = format!("1 << (({seconds}) DIV 3600 % 24)");
            Some(TimeOf { value: point, day: format!("({seconds}) DIV 86400"), hour })
        }
        ColumnKind::Text => {
            let hour = format!(
                "CASE WHEN SUBSTR({name}, 11, 3) REGEXP '^[T ][0-2][0-9]$' THEN 1 << CAST(SUBSTR({name}, 12, 2) AS UNSIGNED) END"
            );
            Some(TimeOf { day: format!("LEFT({name}, 10)"), hour, value: name })
        }
        ColumnKind::Boolean | ColumnKind::Uuid | ColumnKind::Json | ColumnKind::Bytes | ColumnKind::Other => {
            None
        }
    }
}

/// First by key and day, then by key, so that no list of distinct days is kept per key.
fn tally_sql(schema: &Schema, request: &TallyRequest) -> String {
    let table = schema.table(request.table);
    let by: Vec<String> = request.by.iter().map(|c| shown(&table.columns[*c])).collect();
    // Keys are grouped by their bytes: two that a collation takes for equal are two.
    let exact: Vec<String> = by.iter().map(|column| format!("CAST({column} AS BINARY)")).collect();
    let keys: Vec<String> = (0..by.len()).map(|n| format!("k{n}")).collect();
    let named: Vec<String> =
        exact.iter().zip(&keys).map(|(column, key)| format!("{column} AS {key}")).collect();
    let mut present: Vec<String> =
        request.by.iter().map(|c| format!("{} IS NOT NULL", name(table, *c))).collect();
    present.extend(request.within.as_ref().map(|w| within(&MysqlDialect, schema, request.table, w)));
    let nothing = || "NULL".to_owned();
    let TimeOf { value, day, hour } = request.time.and_then(|c| time(table, c)).unwrap_or_else(|| TimeOf {
        value: nothing(),
        day: nothing(),
        hour: nothing(),
    });
    let (marked, paid) = classes(table, &request.paid);
    let keys = keys.join(", ");
    format!(
        "SELECT {keys}, SUM(n), SUM(marked), SUM(paid), COUNT(day), MIN(earliest), MAX(latest), BIT_OR(hours) FROM \
         (SELECT {}, {day} AS day, COUNT(*) AS n, SUM({marked}) AS marked, SUM({paid}) AS paid, \
         MIN({value}) AS earliest, MAX({value}) AS latest, BIT_OR({hour}) AS hours FROM {} x WHERE {} GROUP BY {}, day) days GROUP BY {keys}",
        named.join(", "),
        MysqlDialect.relation(table),
        present.join(" AND "),
        keys,
    )
}

/// The conditions for test money and for real money, each 0 or 1.
fn classes(table: &Table, paid: &PaidWhen) -> (String, String) {
    let mut marks = Vec::new();
    let mut real = Vec::new();
    let text = |c: ColumnIndex| MysqlDialect.text_of(&table.columns[c], &name(table, c));
    if let Some(id) = paid.external_id.map(text) {
        marks.push(format!("COALESCE(INSTR({id}, '_test_') > 0 OR {id} LIKE 'test%', 0)"));
        real.push(format!("{id} IS NOT NULL"));
    }
    if let Some(live) = paid.live_flag.map(text) {
        marks.push(format!("COALESCE(LOWER({live}) IN ('0', 'false', 'f', 'no'), 0)"));
    }
    // An amount or a status says more than an id that is there.
    let is_number =
        |c: &ColumnIndex| matches!(table.columns[*c].kind, ColumnKind::Integer | ColumnKind::Number);
    let is_word = |c: &ColumnIndex| matches!(table.columns[*c].kind, ColumnKind::Text | ColumnKind::Other);
    let amount = paid.amount.filter(is_number).map(|c| name(table, c));
    let status = paid.status.filter(is_word).map(text);
    if amount.is_some() || status.is_some() {
        real.clear();
    }
    real.extend(amount.map(|amount| format!("COALESCE({amount} > 0, 0)")));
    let words: Vec<String> = PAID_STATUS.iter().map(|w| format!("'{w}'")).collect();
    real.extend(status.map(|s| format!("COALESCE(LOWER({s}) IN ({}), 0)", words.join(", "))));
    let marked = if marks.is_empty() { "0".to_owned() } else { format!("({})", marks.join(" OR ")) };
    if real.is_empty() {
        return (marked, "0".to_owned());
    }
    let paid = format!("(NOT {marked} AND {})", real.join(" AND "));
    (marked, paid)
}
