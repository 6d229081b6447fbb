//! Archiving the next batch on a second connection while the first removes a batch.
//!
//! The second connection is given the addresses of some batches and reads the rows by them; it takes part in no
//! transaction of the removal and holds no lock that the removal waits for. Where the server has no room for it,
//! batches are archived and removed in turn.
//!
//! Not here: what a section is (`archive`), the lists (`lists`).

use super::archive::{self, Section};
use super::connect::{Target, connect};
use super::lists::{CREATE, LISTS};
use super::session::{PgSession, sql_error};
use super::{LOCK_WAIT, Postgres, archive as rows};
use crate::store::sql::{SqlError, number};
use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_postgres::Client;
use unseed_core::fault::Fault;
use unseed_core::port::store::{ArchiveSink, Archived, Reader, TagRange, Work};

/// Rows are fetched by address, see `Postgres::read_by_address`; nothing that has to last is written here.
const SETTINGS: &str = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET synchronous_commit = off";

/// The addresses of so many batches are handed over at once, if they are as large as the first of them.
const HANDED_BATCHES: u64 = 8;

/// The second connection, and how many statements its readers have sent.
#[derive(Default)]
pub(super) enum Second {
    #[default]
    Unasked,
    Refused,
    Open(Arc<Client>, Arc<AtomicU64>),
}

impl Second {
    /// Statements of readers so far.
    pub(super) fn statements(&self) -> u64 {
        match self {
            Self::Open(_, statements) => statements.load(Ordering::Relaxed),
            Self::Unasked | Self::Refused => 0,
        }
    }

    async fn open(target: &Target, lock_ms_max: Option<u64>) -> Self {
        let Ok(connected) = connect(target).await else { return Self::Refused };
        let waits = lock_ms_max.map_or(LOCK_WAIT.to_owned(), |ms| format!("SET lock_timeout = {ms}"));
        match connected.client.batch_execute(&format!("{SETTINGS}; {waits}")).await {
            Ok(()) => Self::Open(Arc::new(connected.client), Arc::default()),
            Err(_) => Self::Refused,
        }
    }
}

/// Reads the rows of one batch.
struct PgReader {
    client: Arc<Client>,
    statements: Arc<AtomicU64>,
    sections: Vec<Section>,
    archived: Archived,
}

#[async_trait]
impl Reader for PgReader {
    async fn read(&mut self, sink: &mut dyn ArchiveSink) -> Result<Archived, Fault> {
        let sections = std::mem::take(&mut self.sections);
        self.statements.fetch_add(archive::statements(&sections), Ordering::Relaxed);
        self.archived.removed = archive::stream_sections(&self.client, sections, sink).await?;
        Ok(std::mem::take(&mut self.archived))
    }
}

impl Postgres {
    /// See [`unseed_core::port::store::Store::archive_ahead`].
    pub(super) async fn begin_ahead(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Option<Box<dyn Reader>>, Fault> {
        let expected = self.expected(batch).await?;
        if matches!(self.second, Second::Unasked) {
            self.second = Second::open(&self.target, self.waits.and_then(|waits| waits.lock_ms_max)).await;
        }
        if matches!(self.second, Second::Refused) {
            return Ok(None);
        }
        self.index_for_written(work).await.map_err(|e| e.fault("indexing the key sets"))?;
        let Second::Open(client, statements) = &self.second else { return Ok(None) };
        let (client, statements) = (Arc::clone(client), Arc::clone(statements));
        if !self.closed.handed.is_some_and(|handed| handed.first <= batch.first && batch.last <= handed.last)
        {
            let width = batch.last - batch.first + 1;
            let last = batch.last.saturating_add(width.saturating_mul(HANDED_BATCHES - 1));
            let tags = TagRange { first: batch.first, last };
            match hand_over(&mut self.session, &client, tags).await {
                Ok(transaction) => self.closed.seen(transaction),
                Err(_) if client.is_closed() => {
                    self.second = Second::Refused;
                    return Ok(None);
                }
                Err(error) => return Err(error.fault("handing batches over")),
            }
            self.closed.handed = Some(tags);
        }
        let detached = rows::detached(&mut self.session, work, &self.closed, batch, &expected, sink).await?;
        let sections = archive::sections(work, &self.closed, batch, &expected);
        let archived = Archived { detached, ..Archived::default() };
        Ok(Some(Box::new(PgReader { client, statements, sections, archived })))
    }
}

/// Copies the lists of these tags to the second connection; returns the id of the transaction that took.
async fn hand_over(session: &mut PgSession, second: &Client, tags: TagRange) -> Result<u64, SqlError> {
    const STATEMENTS: u64 = 7;
    session.count_archive_statements(STATEMENTS);
    let failed = |error: tokio_postgres::Error| sql_error(&error);
    let begin = format!("BEGIN; {CREATE}");
    second.batch_execute(&begin).await.map_err(failed)?;
    let moved = copy_lists(session.client(), second, tags).await;
    let own = match &moved {
        Ok(()) => second.simple_query("SELECT pg_current_xact_id()::text").await.map_err(failed),
        Err(_) => Ok(Vec::new()),
    };
    let end = if moved.is_ok() && own.is_ok() { "COMMIT" } else { "ROLLBACK" };
    second.batch_execute(end).await.map_err(failed)?;
    moved?;
    let rows = super::session::text_rows(&own?);
    Ok(rows.first().map_or(0, |row| number(row, 0)))
}

async fn copy_lists(first: &Client, second: &Client, tags: TagRange) -> Result<(), SqlError> {
    let failed = |error: tokio_postgres::Error| sql_error(&error);
    let out = format!(
        "COPY (SELECT no, part, tag, tids, CASE WHEN young THEN vers END FROM {LISTS} WHERE tag BETWEEN {} AND {}) TO STDOUT (FORMAT binary)",
        tags.first, tags.last
    );
    let stream = first.copy_out(&out).await.map_err(failed)?;
    let mut stream = std::pin::pin!(stream);
    let sink = second
        .copy_in(&format!("COPY {LISTS} (no, part, tag, tids, vers) FROM STDIN (FORMAT binary)"))
        .await
        .map_err(failed)?;
    let mut sink = std::pin::pin!(sink);
    while let Some(bytes) = stream.next().await {
        sink.send(bytes.map_err(failed)?).await.map_err(failed)?;
    }
    sink.finish().await.map_err(failed)?;
    Ok(())
}
