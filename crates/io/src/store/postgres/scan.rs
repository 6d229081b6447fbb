//! Scanning PostgreSQL: COPY of the columns asked for, and a grouped query.
//!
//! Invariants
//! - row-level security is off in the session, so a policy that would hide rows is an error of the server;
//! - values arrive in the session's pinned formats: UTC, ISO dates;
//! - a scan that is dropped cancels nothing on its own: the connection is dropped with it.
//!
//! Not here: cutting the stream into rows and values (`rows`).

use super::Postgres;
use super::dialect::PostgresDialect;
use super::rows::{Cutter, Lines};
use super::session::sql_error;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::tally;
use crate::store::sql::within::within;
use async_trait::async_trait;
use futures_util::StreamExt;
use std::ops::ControlFlow;
use tokio::sync::mpsc::Sender;
use tokio_postgres::{Client, CopyOutStream};
use unseed_core::fault::Fault;
use unseed_core::port::scan::{Block, PAID_STATUS, PaidWhen, ScanSource, Take, TallyRequest, VisitTally};
use unseed_core::schema::{ColumnIndex, ColumnKind, Schema, Table, TableId};

#[async_trait]
impl ScanSource for Postgres {
    async fn read(
        &mut self,
        schema: &Schema,
        table: TableId,
        columns: &[ColumnIndex],
        take: &mut Take<'_>,
    ) -> Result<(), Fault> {
        let shape = schema.table(table);
        let list: Vec<String> = columns.iter().map(|c| name(shape, *c)).collect();
        let sql = format!("COPY (SELECT {} FROM {}) TO STDOUT", list.join(", "), relation(shape));
        copy(self.client(), &sql, &format!("reading {}", shape.name), take).await
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
        };
        let mut take = |block: Box<dyn Block>| {
            block.visit(&mut read);
            ControlFlow::Continue(())
        };
        copy(self.client(), &sql, &format!("counting {}", shape.name), &mut take).await?;
        Ok(counted)
    }
}

fn name(table: &Table, column: ColumnIndex) -> String {
    PostgresDialect.quote(&table.columns[column].name)
}

fn relation(table: &Table) -> String {
    PostgresDialect.relation(table)
}

/// Blocks that wait for whoever takes them.
const WAITING_MAX: usize = 4;

/// Streams a COPY as blocks. Rows are gathered beside the connection, which hands over few at a time: whoever takes
/// the blocks is woken once per block.
async fn copy(client: &Client, sql: &str, what: &str, take: &mut Take<'_>) -> Result<(), Fault> {
    let failed = |error: &tokio_postgres::Error| sql_error(error).fault(what);
    let stream = client.copy_out(sql).await.map_err(|error| failed(&error))?;
    let (blocks, mut gathered) = tokio::sync::mpsc::channel(WAITING_MAX);
    let gathering = AbortOnDrop(tokio::spawn(gather(stream, blocks)));
    while let Some(block) = gathered.recv().await {
        if take(Box::new(block.map_err(|error| failed(&error))?)).is_break() {
            break;
        }
    }
    drop(gathering);
    Ok(())
}

/// Ends a task that nobody waits for any more.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Ends early when nobody receives, and after an error.
async fn gather(stream: CopyOutStream, blocks: Sender<Result<Lines, tokio_postgres::Error>>) {
    let mut stream = std::pin::pin!(stream);
    let mut cutter = Cutter::default();
    while let Some(chunk) = stream.next().await {
        let block = match chunk {
            Ok(chunk) => cutter.feed(&chunk).map(Ok),
            Err(error) => Some(Err(error)),
        };
        let Some(block) = block else { continue };
        let is_last = block.is_err();
        if blocks.send(block).await.is_err() || is_last {
            return;
        }
    }
    if let Some(block) = cutter.finish() {
        // Whoever is gone wants nothing.
        drop(blocks.send(Ok(block)).await);
    }
}

/// A time column as expressions.
struct Time {
    value: String,
    day: String,
    /// The hour of the day as a bit of a number, null where only days are known.
    hour: String,
}

impl Time {
    /// None for columns that hold no point in time, such as a time of day.
    fn of(table: &Table, column: ColumnIndex) -> Option<Self> {
        let shape = &table.columns[column];
        let name = name(table, column);
        match shape.kind {
            ColumnKind::Time if shape.type_name.starts_with("timestamp") => Some(Self::point(name)),
            ColumnKind::Time if shape.type_name == "date" => {
                Some(Self { hour: "NULL::int".to_owned(), ..Self::point(name) })
            }
            ColumnKind::Integer | ColumnKind::Number => {
                // Milliseconds have twelve digits or more from 1973 on.
                let seconds =
                    format!("CASE WHEN {name} >= 100000000000 THEN {name} / 1000.0 ELSE {name} END");
                Some(Self::point(format!("CASE WHEN {name} > 0 THEN to_timestamp({seconds}) END")))
            }
            ColumnKind::Text => Some(Self {
                day: format!("left({name}, 10)"),
                hour: format!(
                    "CASE WHEN substr({name}, 11, 3) ~ '^[T ]([01][0-9]|2[0-3])$' THEN 1 << substr({name}, 12, 2)::int END"
                ),
                value: name,
            }),
            ColumnKind::Time
            | ColumnKind::Boolean
            | ColumnKind::Uuid
            | ColumnKind::Json
            | ColumnKind::Bytes
            | ColumnKind::Other => None,
        }
    }

    fn point(value: String) -> Self {
        // An infinity has no hour.
        let hour = format!("CASE WHEN isfinite({value}) THEN 1 << extract(hour FROM {value})::int END");
        Self { day: format!("date_trunc('day', {value})"), hour, value }
    }
}

/// First by key and day, then by key: both steps hash, where counting distinct days would sort every row.
fn tally_sql(schema: &Schema, request: &TallyRequest) -> String {
    let table = schema.table(request.table);
    let by: Vec<String> = request.by.iter().map(|c| name(table, *c)).collect();
    let keys: Vec<String> = (0..by.len()).map(|n| format!("k{n}")).collect();
    let named: Vec<String> = by.iter().zip(&keys).map(|(column, key)| format!("{column} AS {key}")).collect();
    let mut present: Vec<String> = by.iter().map(|column| format!("{column} IS NOT NULL")).collect();
    present.extend(request.within.as_ref().map(|w| within(&PostgresDialect, schema, request.table, w)));
    let time = request.time.and_then(|c| Time::of(table, c));
    let none = || Time {
        value: "NULL::timestamp".to_owned(),
        day: "NULL::timestamp".to_owned(),
        hour: "NULL::int".to_owned(),
    };
    let Time { value, day, hour } = time.unwrap_or_else(none);
    let (marked, paid) = classes(table, &request.paid);
    let keys = keys.join(", ");
    format!(
        "COPY (SELECT {keys}, sum(n), sum(marked), sum(paid), count(day), min(first), max(last), bit_or(hours) FROM \
         (SELECT {}, {day} AS day, count(*) AS n, count(*) FILTER (WHERE {marked}) AS marked, \
         count(*) FILTER (WHERE {paid}) AS paid, min({value}) AS first, max({value}) AS last, bit_or({hour}) AS hours \
         FROM {} x WHERE {} GROUP BY {}, {day}) AS days GROUP BY {keys}) TO STDOUT",
        named.join(", "),
        relation(table),
        present.join(" AND "),
        by.join(", "),
    )
}

/// The conditions for test money and for real money.
fn classes(table: &Table, paid: &PaidWhen) -> (String, String) {
    let mut marks = Vec::new();
    let mut real = Vec::new();
    if let Some(id) = paid.external_id.map(|c| name(table, c)) {
        marks.push(format!("coalesce(strpos({id}::text, '_test_') > 0 OR {id}::text LIKE 'test%', false)"));
        real.push(format!("{id} IS NOT NULL"));
    }
    if let Some(live) = paid.live_flag.map(|c| name(table, c)) {
        marks.push(format!("coalesce({live}::text IN ('false', 'f', '0'), false)"));
    }
    // An amount or a status says more than an id that is there.
    let amount = paid.amount.filter(|c| is_number(table.columns[*c].kind)).map(|c| name(table, c));
    let status = paid.status.filter(|c| is_word(table.columns[*c].kind)).map(|c| name(table, c));
    if amount.is_some() || status.is_some() {
        real.clear();
    }
    real.extend(amount.map(|a| format!("coalesce({a}::numeric > 0, false)")));
    let words: Vec<String> = PAID_STATUS.iter().map(|w| format!("'{w}'")).collect();
    real.extend(status.map(|s| format!("coalesce(lower({s}::text) IN ({}), false)", words.join(", "))));
    let marked = if marks.is_empty() { "false".to_owned() } else { format!("({})", marks.join(" OR ")) };
    if real.is_empty() {
        return (marked, "false".to_owned());
    }
    let paid = format!("NOT {marked} AND {}", real.join(" AND "));
    (marked, paid)
}

fn is_number(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::Integer | ColumnKind::Number)
}

fn is_word(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::Text | ColumnKind::Other)
}
