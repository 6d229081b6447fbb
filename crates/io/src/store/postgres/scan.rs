//! Scanning PostgreSQL: COPY of the columns asked for, and a grouped query.
//!
//! Invariants
//! - row-level security is off in the session, so a policy that would hide rows is an error of the server;
//! - values have the session's pinned formats: UTC, ISO dates;
//! - a scan that is dropped cancels nothing on its own: the connection is dropped with it.
//!
//! COPY sends its binary format, which costs the server two thirds of what text does where rows have ids and times.
//!
//! Not here: cutting the stream into rows and values (`rows`), the text of values (`forms`).

use super::Postgres;
use super::dialect::PostgresDialect;
use super::forms::{Form, asked};
use super::rows::Cutter;
use super::session::sql_error;
use super::stream::Blocks;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::tally;
use crate::store::sql::within::within;
use async_trait::async_trait;
use std::ops::ControlFlow;
use tokio_postgres::Client;
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
        let list = columns.iter().map(|c| asked(&name(shape, *c), &shape.columns[*c].type_name));
        let (list, forms): (Vec<String>, Vec<Form>) = list.unzip();
        let select = format!("SELECT {} FROM {}", list.join(", "), relation(shape));
        copy(self.client(), (&select, forms), &format!("reading {}", shape.name), take).await
    }

    async fn tally(
        &mut self,
        schema: &Schema,
        request: &TallyRequest,
        visit: &mut VisitTally<'_>,
    ) -> Result<u64, Fault> {
        let shape = schema.table(request.table);
        let (sql, forms) = tally_sql(schema, request);
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
        copy(self.client(), (&sql, forms), &format!("counting {}", shape.name), &mut take).await?;
        Ok(counted)
    }
}

fn name(table: &Table, column: ColumnIndex) -> String {
    PostgresDialect.quote(&table.columns[column].name)
}

fn relation(table: &Table) -> String {
    PostgresDialect.relation(table)
}

/// Streams the rows of a query, whose values have these forms, as blocks.
async fn copy(
    client: &Client,
    (select, forms): (&str, Vec<Form>),
    what: &str,
    take: &mut Take<'_>,
) -> Result<(), Fault> {
    let sql = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
    let stream = client.copy_out(&sql).await.map_err(|error| sql_error(&error).fault(what))?;
    let mut blocks = Blocks::of(stream, Cutter::new(forms));
    while let Some(block) = blocks.next(what).await? {
        if take(Box::new(block)).is_break() {
            break;
        }
    }
    Ok(())
}

/// A time column as expressions.
struct Time {
    value: String,
    /// The form of its first and last value.
    form: Form,
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
            ColumnKind::Time => match asked(&name, &shape.type_name).1 {
                form @ (Form::Time | Form::TimeInUtc) => Some(Self::point(name, form)),
                Form::Date => Some(Self { hour: "NULL::int".to_owned(), ..Self::point(name, Form::Date) }),
                Form::Text | Form::Integer | Form::Boolean | Form::Uuid => None,
            },
            ColumnKind::Integer | ColumnKind::Number => {
                // Milliseconds have twelve digits or more from 1973 on.
                let seconds =
                    format!("CASE WHEN {name} >= 100000000000 THEN {name} / 1000.0 ELSE {name} END");
                let value = format!("CASE WHEN {name} > 0 THEN to_timestamp({seconds}) END");
                Some(Self::point(value, Form::TimeInUtc))
            }
            ColumnKind::Text => Some(Self {
                day: format!("left({name}, 10)"),
                hour: format!(
                    "CASE WHEN substr({name}, 11, 3) ~ '^[T ]([01][0-9]|2[0-3])$' THEN 1 << substr({name}, 12, 2)::int END"
                ),
                value: format!("({name})::text"),
                form: Form::Text,
            }),
            ColumnKind::Boolean
            | ColumnKind::Uuid
            | ColumnKind::Json
            | ColumnKind::Bytes
            | ColumnKind::Other => None,
        }
    }

    fn point(value: String, form: Form) -> Self {
        // An infinity has no hour.
        let hour = format!("CASE WHEN isfinite({value}) THEN 1 << extract(hour FROM {value})::int END");
        Self { day: format!("date_trunc('day', {value})"), hour, value, form }
    }

    /// Nothing is known of when rows happened.
    fn none() -> Self {
        Self {
            value: "NULL::timestamp".to_owned(),
            form: Form::Time,
            day: "NULL::timestamp".to_owned(),
            hour: "NULL::int".to_owned(),
        }
    }
}

/// The query and the forms of what it gives. First by key and day, then by key: both steps hash, where counting distinct
/// days would sort every row.
fn tally_sql(schema: &Schema, request: &TallyRequest) -> (String, Vec<Form>) {
    let table = schema.table(request.table);
    let by: Vec<String> = request.by.iter().map(|c| name(table, *c)).collect();
    let keys: Vec<String> = (0..by.len()).map(|n| format!("k{n}")).collect();
    let named: Vec<String> = by.iter().zip(&keys).map(|(column, key)| format!("{column} AS {key}")).collect();
    let mut present: Vec<String> = by.iter().map(|column| format!("{column} IS NOT NULL")).collect();
    present.extend(request.within.as_ref().map(|w| within(&PostgresDialect, schema, request.table, w)));
    let time = request.time.and_then(|c| Time::of(table, c)).unwrap_or_else(Time::none);
    let (marked, paid) = classes(table, &request.paid);
    let types = request.by.iter().map(|c| &table.columns[*c].type_name);
    let (mut given, mut forms): (Vec<String>, Vec<Form>) =
        keys.iter().zip(types).map(|(key, type_name)| asked(key, type_name)).unzip();
    for (expression, form) in [
        ("sum(n)::bigint", Form::Integer),
        ("sum(marked)::bigint", Form::Integer),
        ("sum(paid)::bigint", Form::Integer),
        ("count(day)", Form::Integer),
        ("min(first)", time.form),
        ("max(last)", time.form),
        ("bit_or(hours)", Form::Integer),
    ] {
        given.push(expression.to_owned());
        forms.push(form);
    }
    let Time { value, day, hour, .. } = time;
    let select = format!(
        "SELECT {} FROM (SELECT {}, {day} AS day, count(*) AS n, count(*) FILTER (WHERE {marked}) AS marked, \
         count(*) FILTER (WHERE {paid}) AS paid, min({value}) AS first, max({value}) AS last, bit_or({hour}) AS hours \
         FROM {} x WHERE {} GROUP BY {}, {day}) AS days GROUP BY {}",
        given.join(", "),
        named.join(", "),
        relation(table),
        present.join(" AND "),
        by.join(", "),
        keys.join(", "),
    );
    (select, forms)
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
