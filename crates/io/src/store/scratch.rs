//! Loads the sections of an archive into a scratch database, reads them back, and compares byte for byte.
//!
//! That shows what no hash can: that the database takes every archived row as it is. Each section gets a table of its
//! own without keys and references, since rows that stayed are not in the archive; it is gone again afterwards.
//!
//! Invariants
//! - a database that holds anything is refused, so that nobody's rows are ever touched;
//! - nothing is left behind.
//!
//! Not here: a restore into the store itself (`core::port::store::Store::restore`).

use super::{Lookup, postgres, sqlite};
use serde::Serialize;
use unseed_core::fault::Fault;
use unseed_core::port::store::{ArchiveSink, ArchiveSource, SectionEntry, SectionHead};
use unseed_core::schema::{Schema, TableName};

/// Where sections are loaded.
#[derive(Debug, Clone, Copy)]
pub enum Scratch<'a> {
    /// A new SQLite file in a temporary folder.
    SqliteFile,
    /// An empty PostgreSQL database.
    Postgres(&'a str),
}

/// One section, loaded and read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rehearsed {
    pub batch: u64,
    pub table: String,
    /// Rows in the archive, and rows that the scratch database held.
    pub archived: u64,
    pub restored: u64,
    /// Whether what was read back is what was archived, byte for byte.
    pub same: bool,
    /// What the database said, if it did not take the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Rehearsed {
    /// Whether the rows came back as they were.
    pub fn is_good(&self) -> bool {
        self.refused.is_none() && self.same && self.archived == self.restored
    }

    pub(super) fn of(entry: &SectionEntry, outcome: Result<(u64, bool), Fault>) -> Self {
        let (counts, refused) = match outcome {
            Ok(counts) => (counts, None),
            Err(fault) => ((0, false), Some(fault.message)),
        };
        Self {
            batch: entry.batch,
            table: TableName::new(&entry.head.namespace, &entry.head.table).to_string(),
            archived: entry.rows,
            restored: counts.0,
            same: counts.1,
            refused,
        }
    }
}

/// Loads every section and compares.
///
/// # Errors
/// `Refused` when the database is not empty, and what the connection says.
pub async fn rehearse(
    place: Scratch<'_>,
    schema: &Schema,
    source: &mut dyn ArchiveSource,
    lookup: Lookup<'_>,
) -> Result<Vec<Rehearsed>, Fault> {
    match place {
        Scratch::SqliteFile => sqlite::scratch::rehearse(source),
        Scratch::Postgres(url) => {
            postgres::Postgres::connect(url, lookup).await?.rehearse(schema, source).await
        }
    }
}

/// A source that hashes what is read from it.
pub(super) struct HashedSource<'a> {
    pub(super) inner: &'a mut dyn ArchiveSource,
    pub(super) hasher: blake3::Hasher,
}

impl<'a> HashedSource<'a> {
    pub(super) fn new(inner: &'a mut dyn ArchiveSource) -> Self {
        Self { inner, hasher: blake3::Hasher::new() }
    }
}

impl ArchiveSource for HashedSource<'_> {
    fn sections(&self) -> Vec<SectionEntry> {
        self.inner.sections()
    }

    fn read(&mut self, index: usize, visit: &mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        let hasher = &mut self.hasher;
        self.inner.read(index, &mut |bytes| {
            hasher.update(bytes);
            visit(bytes)
        })
    }
}

/// A sink that keeps nothing but a hash.
#[derive(Default)]
pub(super) struct HashSink(pub(super) blake3::Hasher);

impl ArchiveSink for HashSink {
    fn begin(&mut self, _: SectionHead) -> Result<(), Fault> {
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.0.update(bytes);
        Ok(())
    }

    fn end(&mut self, _: u64) -> Result<(), Fault> {
        Ok(())
    }
}
