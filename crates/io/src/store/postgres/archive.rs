//! Archiving a batch: every row that leaves and every value that is detached, as COPY text.
//!
//! Rows are read by address and version, so a row that changed since the closure is missing from the
//! count and the batch is closed again.

use super::Closed;
use super::dialect::{PostgresDialect, qualified};
use super::session::{PgSession, sql_error};
use super::stream::{Blocks, Gather, Malformed};
use crate::store::sql::counts::{self, detach_sources};
use crate::store::sql::detached::{self, Detached};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::restore::archived_columns;
use crate::store::sql::{Session, SqlError, number};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use std::collections::BTreeMap;
use tokio_postgres::{Client, CopyOutStream};
use unseed_core::fault::Fault;
use unseed_core::port::store::{ArchiveSink, Archived, Closure, SectionHead, SectionKind, TagRange, Work};
use unseed_core::schema::{Part, Table, TableId};

/// Bytes from which rows are handed over.
const BLOCK_BYTES: usize = 64 << 10;

/// Archives a batch, of which `expected` is what the closure found; returns what the sections hold.
pub(super) async fn archive(
    session: &mut PgSession,
    work: &Work,
    closed: &Closed,
    batch: TagRange,
    expected: &Closure,
    sink: &mut dyn ArchiveSink,
) -> Result<Archived, Fault> {
    let mut archived = Archived {
        detached: detached(session, work, closed, batch, expected, sink).await?,
        ..Archived::default()
    };
    let sections = sections(work, closed, batch, expected);
    session.count_archive_statements(statements(&sections));
    archived.removed = stream_sections(session.client(), sections, sink).await?;
    Ok(archived)
}

/// How many statements read these sections.
pub(super) fn statements(sections: &[Section]) -> u64 {
    sections.iter().map(|section| u64::try_from(section.queries.len()).unwrap_or_default()).sum()
}

/// Streams sections in their order; returns the rows of each. The server is asked for a few of them at a time, so that
/// it need not wait for the next question.
pub(super) async fn stream_sections(
    client: &Client,
    sections: Vec<Section>,
    sink: &mut dyn ArchiveSink,
) -> Result<BTreeMap<TableId, u64>, Fault> {
    const ASKED_AHEAD: usize = 4;
    let queries = sections.iter().flat_map(|section| &section.queries);
    let prepared = try_join_all(queries.map(|sql| client.prepare(sql))).await;
    let prepared = prepared.map_err(|error| sql_error(&error).fault("archiving"))?;
    let answers = prepared.into_iter().map(|statement| async move { client.copy_out(&statement).await });
    let mut answers = std::pin::pin!(futures_util::stream::iter(answers).buffered(ASKED_AHEAD));
    let mut archived = BTreeMap::new();
    for Section { table, head, queries } in sections {
        sink.begin(head)?;
        let mut rows = 0;
        for _ in queries {
            let Some(answer) = answers.next().await else { continue };
            let stream = answer.map_err(|error| sql_error(&error).fault("archiving"))?;
            rows += drain(client, stream, sink).await?;
        }
        sink.end(rows)?;
        archived.insert(table, rows);
    }
    Ok(archived)
}

/// Archives the values that a batch detaches; returns the rows per table.
pub(super) async fn detached(
    session: &mut PgSession,
    work: &Work,
    closed: &Closed,
    batch: TagRange,
    expected: &Closure,
    sink: &mut dyn ArchiveSink,
) -> Result<BTreeMap<TableId, u64>, Fault> {
    let mut archived = BTreeMap::new();
    for source in detach_sources(&closed.sets) {
        if !expected.detached_rows.contains_key(&source.table) {
            continue;
        }
        let sections = detached::sections(session, work, &source, batch).await;
        for section in sections.map_err(|e| e.fault("archiving"))? {
            let rows = archive_detached(session, work, &section, batch, sink).await?;
            *archived.entry(source.table).or_default() += rows;
        }
    }
    Ok(archived)
}

/// The rows of one table that leave with a batch, and the statements that read them.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) table: TableId,
    pub(super) head: SectionHead,
    pub(super) queries: Vec<String>,
}

/// The sections of a batch, in the order of its removal.
pub(super) fn sections(work: &Work, closed: &Closed, batch: TagRange, expected: &Closure) -> Vec<Section> {
    let leaving = work.program.removal.iter().flatten().filter(|table| expected.removed.contains_key(table));
    leaving.map(|table| section(work, closed, *table, batch)).collect()
}

fn section(work: &Work, closed: &Closed, table: TableId, batch: TagRange) -> Section {
    let shape = work.schema.table(table);
    let columns: Vec<String> =
        archived_columns(work, table).into_iter().map(|c| shape.columns[c].name.clone()).collect();
    let list: Vec<String> = columns.iter().map(|n| format!("x.{}", PostgresDialect.quote(n))).collect();
    let list = list.join(", ");
    let parts = closed.parts_of(shape, table, batch);
    let query =
        |part: &Part| format!("COPY ({}) TO STDOUT", closed.select(&list, (table, shape), part, batch));
    Section {
        table,
        head: SectionHead {
            kind: SectionKind::Rows,
            namespace: shape.name.namespace.clone(),
            table: shape.name.name.clone(),
            columns,
            identity_columns: 0,
        },
        queries: parts.iter().map(query).collect(),
    }
}

/// Parts of a table that a set has rows of in a batch; asked only where there is more than one part.
pub(super) async fn parts_with_rows(
    session: &mut PgSession,
    work: &Work,
    table: TableId,
    set: &str,
    filter: &str,
    batch: TagRange,
) -> Result<Vec<Part>, SqlError> {
    let parts = &work.schema.table(table).parts;
    if parts.len() <= 1 {
        return Ok(parts.clone());
    }
    let sql = format!(
        "SELECT DISTINCT k.part::int8 FROM {} k WHERE {filter} AND {}",
        PostgresDialect.temp(set),
        counts::in_batch("k", Some(batch)),
    );
    let found: Vec<u64> = session.rows(&sql).await?.iter().map(|row| number(row, 0)).collect();
    Ok(parts.iter().filter(|part| found.contains(&part.handle)).cloned().collect())
}

/// Restriction of a key set to one part, where a table has several.
pub(super) fn in_part(table: &Table, part: &Part) -> String {
    if table.parts.len() > 1 { format!(" AND k.part = {}", part.handle) } else { String::new() }
}

async fn archive_detached(
    session: &mut PgSession,
    work: &Work,
    section: &Detached,
    batch: TagRange,
    sink: &mut dyn ArchiveSink,
) -> Result<u64, Fault> {
    let shape = work.schema.table(section.table);
    let columns = section.identity.iter().chain(&section.written);
    let names: Vec<String> = columns.map(|c| shape.columns[*c].name.clone()).collect();
    let list: Vec<String> = names.iter().map(|n| format!("x.{}", PostgresDialect.quote(n))).collect();
    sink.begin(SectionHead {
        kind: SectionKind::Detached,
        namespace: shape.name.namespace.clone(),
        table: shape.name.name.clone(),
        columns: names,
        identity_columns: section.identity.len(),
    })?;
    let mut rows = 0;
    let parts = parts_with_rows(session, work, section.table, &section.set, &section.filter, batch).await;
    for part in &parts.map_err(|e| e.fault("archiving"))? {
        let sql = format!(
            "COPY (SELECT {} FROM {} k JOIN ONLY {} x ON x.ctid = k.tid AND x.xmin = k.ver WHERE {}{}) TO STDOUT",
            list.join(", "),
            PostgresDialect.temp(&section.set),
            qualified(&part.name),
            section.filter,
            in_part(shape, part),
        );
        rows += copy_out(session, &sql, sink).await?;
    }
    sink.end(rows)?;
    Ok(rows)
}

/// Streams a COPY into the open section; returns the number of rows.
pub(super) async fn copy_out(
    session: &mut PgSession,
    sql: &str,
    sink: &mut dyn ArchiveSink,
) -> Result<u64, Fault> {
    session.count_archive_statements(1);
    let client = session.client();
    let stream = client.copy_out(sql).await.map_err(|error| sql_error(&error).fault("archiving"))?;
    drain(client, stream, sink).await
}

/// Rows of COPY's text format, one behind the other.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Gather for Lines {
    type Block = Vec<u8>;

    fn feed(&mut self, chunk: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        self.0.extend_from_slice(chunk);
        let is_full = self.0.len() >= BLOCK_BYTES;
        Ok(is_full.then(|| std::mem::replace(&mut self.0, Vec::with_capacity(BLOCK_BYTES + BLOCK_BYTES / 8))))
    }

    fn finish(self) -> Result<Option<Vec<u8>>, Malformed> {
        Ok((!self.0.is_empty()).then_some(self.0))
    }
}

/// Writes everything that a COPY answers; returns the number of rows.
async fn drain(client: &Client, stream: CopyOutStream, sink: &mut dyn ArchiveSink) -> Result<u64, Fault> {
    let mut blocks = Blocks::of(stream, Lines::default());
    let mut rows = 0;
    while let Some(block) = blocks.next("archiving").await? {
        rows += u64::try_from(memchr::memchr_iter(b'\n', &block).count()).unwrap_or_default();
        if let Err(fault) = sink.write(&block) {
            // Ask the server to stop; what is still sent is dropped, so that the connection stays usable.
            drop(client.cancel_token().cancel_query(tokio_postgres::NoTls).await);
            return Err(fault);
        }
    }
    Ok(rows)
}
