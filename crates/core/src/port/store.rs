//! What the engine asks of a store that holds rows: sets of keys in, counts out.
//!
//! The port is set-based. A store keeps the key sets of a closure on its own side (temporary tables) and
//! answers with numbers; rows cross the wire only on their way to the archive and back. A remote or
//! non-relational store can keep the sets wherever it likes, as long as the answers agree.
//!
//! The order of calls is fixed: `inspect` → `choose` → `close` → (`conflicts`, `tags`) → per batch
//! `archive` → `remove` → `commit` or `rollback`; between `archive` and `remove`, `archive_ahead` may begin with the
//! next batch, whose `remove` then takes what its reader returned. `settle` answers for a commit whose outcome was cut off.
//!
//! Invariants
//! - `remove` leaves its transaction open; nothing it did is visible before `commit`;
//! - `archive` writes exactly the versions that `remove` will remove: if a row changes in between, `remove`
//!   reports [`Removal::Changed`] and changes nothing. A store may lock rows instead, in the transaction that `remove`
//!   goes on with; after any failure in between, `rollback` is called.
//!
//! Not here: journals, retries, limits (`engine`), file formats (`archive`).

use crate::closure::Program;
use crate::fault::Fault;
use crate::plan::{BuildIndexes, Path, RootSet, RunIndex};
use crate::port::progress::Progress;
use crate::protect::{Ownership, Protection};
use crate::rows::Rows;
use crate::schema::{ColumnIndex, ReferenceId, Schema, TableId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a store says about itself.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub schema: Schema,
    pub server: Server,
}

/// The connected server and what the connected role may do there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Kind of store, e.g. `postgresql` or `sqlite`; the word that archives and plans use.
    pub kind: String,
    pub version: String,
    /// Where it is, without any secret.
    pub location: String,
    /// Checks and triggers can be skipped by the role, so the fast path is open.
    pub may_skip_checks: bool,
    pub read_only: bool,
}

/// Which rows to remove, as a person said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootChoice {
    pub table: TableId,
    pub rows: ChosenRows,
}

/// How roots are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChosenRows {
    /// An SQL predicate over the table's columns.
    Where(String),
    /// Key values as text, one list per row, in the order of these columns.
    Keys { columns: Vec<ColumnIndex>, keys: Rows },
}

/// Everything a store needs to know while it works on one plan.
#[derive(Debug, Clone)]
pub struct Work {
    pub schema: Schema,
    pub program: Program,
    pub ownership: Ownership,
    pub protections: Vec<Protection>,
    pub path: Path,
    /// Tables whose rows a trigger may change or delete; such rows are archived too.
    pub allowed_effects: Vec<TableId>,
}

/// Roots to close over; `first_tag..` numbers them in their order, several to a tag.
#[derive(Debug, Clone)]
pub struct CloseRequest<'a> {
    pub roots: &'a [RootSet],
    /// How many consecutive roots share one tag (a tag is the smallest unit of a batch), at least 1.
    pub roots_per_tag: u64,
    /// Compare each root with the version hash of the plan.
    pub check_versions: bool,
    /// Only counts and conflicts are wanted: what `tags` and batches need may be left out.
    pub count_only: bool,
}

/// What a closure found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// Rows that leave, per table; tables without any are left out.
    pub removed: BTreeMap<TableId, u64>,
    /// Rows that survive with one reference set to null, per reference.
    pub detached: BTreeMap<ReferenceId, u64>,
    /// Rows that survive with any reference set to null, per table.
    pub detached_rows: BTreeMap<TableId, u64>,
    /// Roots that are gone or have another version than planned, as text for people (table and key).
    pub stale: Vec<String>,
}

impl Closure {
    /// Rows that leave, over all tables.
    pub fn rows(&self) -> u64 {
        self.removed.values().sum()
    }
}

/// A row on the path to a protected one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    pub table: String,
    /// Key columns and their values as text.
    pub key: Vec<(String, String)>,
    /// The reference that leads here from the previous hop, for people; none for the first.
    pub via: Option<String>,
}

/// What would happen to a protected row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    Removed,
    Detached,
}

/// A path from a root to a row that is protected or belongs to a protected row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    pub harm: Harm,
    /// root → … → row that would be removed or detached.
    pub path: Vec<Hop>,
    /// row → … → protected row it belongs to; empty when the row itself is protected.
    pub owner: Vec<Hop>,
    /// How many rows are in the same position (same tables and references).
    pub rows: u64,
}

/// Rows of one tag, and the tags that must share a batch with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Rows that leave per tag, in tag order.
    pub rows: Vec<(u64, u64)>,
    /// Pairs (earlier, later) that must be in one batch.
    pub joined: Vec<(u64, u64)>,
}

/// A batch: an inclusive range of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRange {
    pub first: u64,
    pub last: u64,
}

/// What a section of an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionKind {
    /// Rows that are removed, all stored columns.
    Rows,
    /// Identity and old values of rows that are detached.
    Detached,
    /// Rows as they were before an allowed trigger effect changed or removed them.
    Effect,
    /// Rows that triggers inserted during the batch; a restore takes them away again.
    Born,
}

/// Head of one archive section: rows of one table in the store's own bulk text format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionHead {
    pub kind: SectionKind,
    /// The table, and for a partitioned one the table that was asked, not the partition.
    pub namespace: String,
    pub table: String,
    /// Columns in the order of the rows.
    pub columns: Vec<String>,
    /// For `Detached`: how many of the leading columns identify the row; the rest are old values.
    pub identity_columns: usize,
}

/// Where a store writes archive sections to. One section at a time.
pub trait ArchiveSink: Send {
    /// Opens a section.
    fn begin(&mut self, head: SectionHead) -> Result<(), Fault>;
    /// Appends bytes in the store's bulk text format, cut anywhere.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault>;
    /// Closes the section; `rows` is what the store counted.
    fn end(&mut self, rows: u64) -> Result<(), Fault>;
}

/// One section to read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionEntry {
    pub batch: u64,
    pub head: SectionHead,
    pub rows: u64,
}

/// Reads the rows of one batch for the archive, on a connection of its own, while the store removes another.
#[async_trait]
pub trait Reader: Send {
    /// Writes the sections that are left to the sink; returns what the archive of the batch holds then.
    async fn read(&mut self, sink: &mut dyn ArchiveSink) -> Result<Archived, Fault>;
}

/// Takes a fingerprint on a connection of its own, while the store does other work.
#[async_trait]
pub trait Fingerprinter: Send {
    /// What [`Store::fingerprint`] returns.
    async fn take(&mut self) -> Result<Vec<Fingerprint>, Fault>;
}

/// Where a store reads archive sections from.
pub trait ArchiveSource: Send {
    /// All sections of the batches to restore, in batch order.
    fn sections(&self) -> Vec<SectionEntry>;
    /// Reads section `index` of [`ArchiveSource::sections`]; `visit` gets its bytes in order, in chunks.
    fn read(&mut self, index: usize, visit: &mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault>;
}

/// What the archive of a batch holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    pub removed: BTreeMap<TableId, u64>,
    pub detached: BTreeMap<TableId, u64>,
    /// Whether rows were locked for it and stay so until their removal ends.
    #[serde(default)]
    pub is_locked: bool,
}

/// What one batch did, proven from the store's own counters; its transaction is still open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    pub removed: BTreeMap<TableId, u64>,
    pub detached: BTreeMap<TableId, u64>,
    /// Rows that triggers inserted elsewhere, per table.
    pub inserted: BTreeMap<String, u64>,
    /// Rows of allowed tables that triggers changed or deleted.
    pub effects: BTreeMap<String, u64>,
    /// Entries that left a derived store, per pattern.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub entries: BTreeMap<String, u64>,
    /// By which the outcome of the commit can be asked for later.
    pub token: String,
    /// What the tables were called, since numbers of tables mean nothing in the schema of another day.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<TableId, String>,
}

impl Removed {
    /// Keeps the names of the tables of this schema.
    pub fn name_tables(&mut self, schema: &Schema) {
        let tables = self.removed.keys().chain(self.detached.keys());
        self.names = tables.map(|table| (*table, schema.table(*table).name.to_string())).collect();
    }

    /// What a table was called, or else what the schema of today calls it.
    pub fn name_of(&self, table: TableId, schema: &Schema) -> String {
        let today = || schema.tables.get(table.0).map(|shape| shape.name.to_string());
        self.names.get(&table).cloned().or_else(today).unwrap_or_else(|| format!("table {}", table.0))
    }

    /// Rows that were removed per name of a table, without tables that lost none.
    pub fn removed_by_name(&self, schema: &Schema) -> BTreeMap<String, u64> {
        let some = self.removed.iter().filter(|(_, rows)| **rows > 0);
        some.map(|(table, rows)| (self.name_of(*table, schema), *rows)).collect()
    }

    /// Rows removed and detached, over all tables.
    pub fn rows(&self) -> u64 {
        self.removed.values().chain(self.detached.values()).sum()
    }
}

/// Outcome of [`Store::remove`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// All proven; waits for `commit`.
    Proven(Removed),
    /// Rows changed, appeared or vanished since the closure; rolled back. Close again and retry.
    Changed(String),
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    RolledBack,
    /// Still running on the server.
    Pending,
}

/// Content digest of the protected rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub table: String,
    pub rows: u64,
    /// Order-free hash over the content of the rows.
    pub digest: String,
}

/// What to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreScope {
    Everything,
    /// One root row, by table and key text, with what left because of it.
    Root {
        table: TableId,
        key: Vec<String>,
    },
}

/// A row that cannot be put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreConflict {
    pub table: String,
    /// Key of the row for people; of several rows in the same position, one.
    pub key: String,
    /// Why, in words: `a row with this key exists`, `its parent … is missing`.
    pub reason: String,
    pub rows: u64,
}

/// What a restore did or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    pub inserted: BTreeMap<String, u64>,
    pub reattached: BTreeMap<String, u64>,
    pub conflicts: Vec<RestoreConflict>,
    /// Rows put back whose parent is missing, by references that the store does not insist on. They are
    /// conflicts too, unless as many rows referred to nothing before the purge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<(ReferenceId, RestoreConflict)>,
    /// Entries of a derived store whose time had passed meanwhile, so that they stay away; in no other figure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expired: BTreeMap<String, u64>,
    /// Set when the restore is done and waits for `commit`.
    pub token: Option<String>,
}

/// Rows that refer to nothing, over one reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphans {
    pub reference: ReferenceId,
    pub rows: u64,
}

/// How long statements of a purge may wait and take, in milliseconds; `None` as the connection says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreWaits {
    /// For a lock.
    pub lock_ms_max: Option<u64>,
    /// For a statement that removes.
    pub statement_ms_max: Option<u64>,
}

/// What became of an index that was to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexBuilt {
    Built,
    /// In words why not; the run goes on without it.
    Not(String),
}

/// Values of the rows of one table that other stores are searched by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub table: TableId,
    pub columns: Vec<ColumnIndex>,
}

/// Takes one row of a [`Wanted`] by its position: whether it leaves, and its values as text.
pub type VisitValues<'a> = dyn FnMut(usize, bool, &[Option<String>]) + Send + 'a;

/// A store that holds rows.
#[async_trait]
pub trait Store: Send {
    /// Reads the catalog and what the role may do.
    async fn inspect(&mut self) -> Result<Catalog, Fault>;

    /// Row counts of the tables, counted, not estimated.
    async fn count(&mut self, schema: &Schema, tables: &[TableId]) -> Result<BTreeMap<TableId, u64>, Fault>;

    /// Evaluates the choices: keys and version hash of every root.
    async fn choose(&mut self, schema: &Schema, choices: &[RootChoice]) -> Result<Vec<RootSet>, Fault>;

    /// Computes the closure of the roots and keeps its key sets for the calls below.
    async fn close(
        &mut self,
        work: &Work,
        request: &CloseRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Closure, Fault>;

    /// Paths from the closure to protected rows; `limit` bounds how many are described.
    async fn conflicts(&mut self, work: &Work, limit: usize) -> Result<Vec<Conflict>, Fault>;

    /// Rows of one batch unless a person says otherwise: about what leaves within half a second.
    fn batch_rows(&self, path: Path) -> u64 {
        match path {
            Path::Fast => 180_000,
            // The server checks every reference of every row.
            Path::Checked => 40_000,
            // One batch holds them all.
            Path::Rewrite => 1_000_000_000,
        }
    }

    /// Row counts per tag of the current closure.
    async fn tags(&mut self, work: &Work) -> Result<Tags, Fault>;

    /// How long statements of a purge may wait for locks and take; until this is called, as the connection says.
    fn limit_waits(&mut self, waits: StoreWaits) {
        let _ = waits;
    }

    /// Indexes that a removal is better done with, by what the closure says; nothing where the store builds none.
    fn indexes(&self, work: &Work, closure: &Closure, choice: BuildIndexes) -> Vec<RunIndex> {
        let _ = (work, closure, choice);
        Vec::new()
    }

    /// Builds these indexes, outside any transaction and without keeping others from writing, and says what became of
    /// each; what an earlier attempt left half built under a name is replaced. In front of each stands its
    /// [`Plan::index_name`](crate::plan::Plan::index_name).
    async fn build_indexes(
        &mut self,
        wanted: &[(String, RunIndex)],
        progress: &dyn Progress,
    ) -> Result<Vec<IndexBuilt>, Fault> {
        let _ = progress;
        let not = |index: &RunIndex| IndexBuilt::Not(format!("this store builds no index on {}", index.on()));
        Ok(wanted.iter().map(|(_, index)| not(index)).collect())
    }

    /// Drops an index that was built for a run, by this process or by one that died; one that is gone is no error.
    async fn drop_index(&mut self, namespace: &str, name: &str) -> Result<(), Fault> {
        let _ = (namespace, name);
        Ok(())
    }

    /// Takes down what else was made for this run, and what runs left whose process has died; called when a run ends
    /// or stops.
    async fn finish(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// Writes every row of the batch, and every value it detaches, to the sink.
    async fn archive(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Archived, Fault>;

    /// Begins to archive a batch while an earlier one has not been removed: writes to the sink what only this
    /// connection can read, and returns a reader for the rest. `None`, and nothing written, where the store cannot.
    async fn archive_ahead(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Option<Box<dyn Reader>>, Fault> {
        let _ = (work, batch, sink);
        Ok(None)
    }

    /// Locks the roots, removes and detaches the rows of the batch as they were archived, and proves from
    /// the store's own counters that nothing else was touched. Effects of allowed triggers are written to
    /// the sink.
    async fn remove(
        &mut self,
        work: &Work,
        batch: TagRange,
        archived: &Archived,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Removal, Fault>;

    /// Commits the open transaction of `remove` or `restore`.
    async fn commit(&mut self) -> Result<(), Fault>;

    /// Rolls the open transaction back.
    async fn rollback(&mut self) -> Result<(), Fault>;

    /// What became of an earlier commit; `roots` are the roots of its batch, for stores that keep no
    /// record of transactions.
    async fn settle(&mut self, work: &Work, token: &str, roots: &[RootSet]) -> Result<Outcome, Fault>;

    /// Content digests of the rows that are protected or belong to protected rows, per table.
    async fn fingerprint(&mut self, work: &Work) -> Result<Vec<Fingerprint>, Fault>;

    /// Begins to take a fingerprint beside what the store does next, which must not change rows until it is taken.
    /// `None` where the store takes it only in turn.
    async fn fingerprint_beside(&mut self, work: &Work) -> Result<Option<Box<dyn Fingerprinter>>, Fault> {
        let _ = work;
        Ok(None)
    }

    /// Rows whose reference points at nothing, for each of the references that has any.
    async fn orphans(&mut self, schema: &Schema, references: &[ReferenceId]) -> Result<Vec<Orphans>, Fault>;

    /// Visits every row of the wanted tables with values of its columns, and whether it leaves when the roots leave; all
    /// in one view of the store. The last closure is forgotten.
    async fn values(
        &mut self,
        work: &Work,
        roots: &[RootSet],
        wanted: &[Wanted],
        visit: &mut VisitValues<'_>,
    ) -> Result<(), Fault> {
        let _ = (work, roots, wanted);
        let _visit = visit;
        Err(Fault::usage("this kind of store cannot be the one that others follow from")
            .hint("remove `keys`, `commands` and `roots` of the other stores from the configuration"))
    }

    /// How many of the roots exist.
    async fn present(&mut self, schema: &Schema, roots: &[RootSet]) -> Result<u64, Fault>;

    /// Puts archived rows back, parents first, and reattaches what was detached; leaves the transaction
    /// open when there is no conflict, and changes nothing when there is one.
    async fn restore(
        &mut self,
        work: &Work,
        source: &mut dyn ArchiveSource,
        scope: &RestoreScope,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault>;

    /// The statements that a purge of this plan would run, for people to read.
    fn explain(&self, work: &Work) -> Vec<String>;

    /// Files that let a person restore with the store's own client alone: name and content.
    fn restore_script(
        &self,
        work: &Work,
        sections: &[SectionEntry],
        files: &[String],
    ) -> Vec<(String, String)>;

    /// Number of statements sent so far, those that only archive counted apart.
    fn statements(&self) -> Statements;
}

/// Statements sent to a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statements {
    pub total: u64,
    pub archive: u64,
    /// The longest transaction that held locks, in microseconds.
    pub longest_transaction_us: u64,
}
