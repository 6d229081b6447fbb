//! Archiving the next batch while the store removes the one before it.
//!
//! Invariants
//! - of a segment that was begun ahead only the number is journaled until its own turn; if that never comes, its files
//!   are discarded, here or, after a crash, when the batch is settled;
//! - what is read ahead is compared with what is removed, like any other segment, so a row that changes in between
//!   sends the batch back.

use crate::batches::{Leaving, take_number};
use crate::session::Session;
use tokio::task::{JoinError, JoinHandle};
use unseed_core::fault::{Category, Fault};
use unseed_core::port::archive::BatchWriter;
use unseed_core::port::store::Archived;
use unseed_core::run::BatchRecord;

/// A durable segment that waits for the removal of its rows.
pub(crate) struct Segment {
    pub(crate) writer: Box<dyn BatchWriter>,
    pub(crate) archived: Archived,
    pub(crate) folder: String,
    pub(crate) hash: String,
    /// How long it took, in milliseconds.
    pub(crate) took_ms: u64,
}

/// A segment that is being written.
pub(crate) struct Ahead {
    record: BatchRecord,
    task: JoinHandle<Result<Segment, Fault>>,
    ended: Option<Result<Segment, Fault>>,
}

/// Begins the segment of a batch; `None` where the store reads only in turn.
pub(crate) async fn begin(session: &mut Session<'_, '_>, batch: &Leaving) -> Result<Option<Ahead>, Fault> {
    let begun = tokio::time::Instant::now();
    let record = take_number(session, batch)?;
    let mut writer = session.cx.archive.begin_batch(&session.run, record.number)?;
    let reader = session.cx.store.archive_ahead(&session.work, batch.tags, writer.sink()).await;
    let Ok(Some(mut reader)) = reader else {
        drop(writer);
        session.cx.archive.discard(&session.run, record.number)?;
        return reader.map(|_| None);
    };
    let task = tokio::spawn(async move {
        let archived = reader.read(writer.sink()).await?;
        let (folder, hash) = writer.finish()?;
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Segment { writer, archived, folder, hash, took_ms })
    });
    Ok(Some(Ahead { record, task, ended: None }))
}

impl Ahead {
    /// The batch as it is journaled.
    pub(crate) fn record(&self) -> &BatchRecord {
        &self.record
    }

    /// Waits for the segment.
    pub(crate) async fn segment(mut self) -> Result<Segment, Fault> {
        match self.ended.take() {
            Some(ended) => ended,
            None => ended((&mut self.task).await),
        }
    }

    /// Waits until nothing is read any more; the segment is kept.
    pub(crate) async fn read_to_its_end(&mut self) {
        if self.ended.is_none() {
            self.ended = Some(ended((&mut self.task).await));
        }
    }

    /// Waits for the segment and discards it.
    pub(crate) async fn discard(self, session: &mut Session<'_, '_>) -> Result<(), Fault> {
        let number = self.record.number;
        drop(self.segment().await);
        session.cx.archive.discard(&session.run, number)
    }
}

fn ended(result: Result<Result<Segment, Fault>, JoinError>) -> Result<Segment, Fault> {
    result.unwrap_or_else(|error| {
        Err(Fault::new(Category::Archive, format!("the archive ended early: {error}")))
    })
}
