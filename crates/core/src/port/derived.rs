//! What the engine asks of a store whose entries are derived from rows elsewhere: a cache, a key-value store, a bucket,
//! a system behind commands.
//!
//! Such a store has no references of its own. What belongs to a doomed row is found by the row's values ([`Subjects`]),
//! in one pass over the store, never one look-up per row.
//!
//! The order of calls is fixed: `inspect` → `find` → (`archive` → `remove`)* → `find`; or `inspect` → `restore`.
//!
//! Invariants
//! - `remove` removes an entry only in the version that `archive` wrote; what changed in between stays and is reported;
//! - every call can be repeated after a crash: what is already gone, or already back, is no error.
//!
//! Not here: journals, the order of stores (`engine`), file formats (`archive`).

use crate::fault::Fault;
use crate::port::progress::Progress;
use crate::port::store::{ArchiveSink, ArchiveSource, Restored, Server};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Values that a derived store needs of the rows of one entity, e.g. `tenant`: `id`, `subdomain`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Need {
    /// The entity's name, or the table's, as the pattern has it.
    pub entity: String,
    /// Columns, in the order in which [`Subjects`] hands their values out.
    pub columns: Vec<String>,
}

/// Takes one row: its values as text, in the order of [`Need::columns`]; `None` is a null.
pub type VisitSubject<'a> = dyn FnMut(&[Option<&str>]) -> Result<(), Fault> + 'a;

/// The values of the rows whose entries are asked for; read as a stream, as often as wanted.
pub trait Subjects: Send + Sync {
    /// Visits the doomed rows that answer `need`.
    fn doomed(&self, need: &Need, visit: &mut VisitSubject<'_>) -> Result<(), Fault>;
    /// Visits every row that answers `need`, each once, doomed ones too, even when those have left their store already:
    /// for finding entries that belong to nobody, and for keeping those whose value a row that stays has as well.
    /// `false`, and nothing visited, where that is not known.
    fn known(&self, need: &Need, visit: &mut VisitSubject<'_>) -> Result<bool, Fault>;
}

/// What [`DerivedStore::find`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Entries of doomed rows, per pattern as it was written.
    pub doomed: BTreeMap<String, u64>,
    /// Entries that fit a pattern and belong to no known row, per pattern; empty where that was not asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub orphaned: BTreeMap<String, u64>,
    /// A few of the orphaned ones, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
    /// Entries that could belong to a doomed row and also to one that stays; they are in no other figure, and stay.
    #[serde(default)]
    pub ambiguous: u64,
    /// Values of doomed rows that were not looked for, since they are null, empty or far too short.
    #[serde(default)]
    pub skipped: u64,
    /// Entries looked at.
    pub seen: u64,
}

impl Found {
    /// Entries of doomed rows, over all patterns.
    pub fn entries(&self) -> u64 {
        self.doomed.values().sum()
    }
}

/// What [`DerivedStore::remove`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    /// Entries removed, per pattern.
    pub removed: BTreeMap<String, u64>,
    /// Entries that had changed since they were archived, and stayed.
    pub changed: u64,
    /// Entries that were gone already.
    pub gone: u64,
}

/// A store whose entries are derived from rows elsewhere.
#[async_trait]
pub trait DerivedStore: Send {
    /// Connects; says what the store is and whether this role sees and may do everything that is needed.
    async fn inspect(&mut self) -> Result<Server, Fault>;

    /// The values that its patterns need.
    fn needs(&self) -> Vec<Need>;

    /// Finds the entries of the doomed rows, in one pass, and keeps them (on its side, or in bounded memory) for
    /// `archive` and `remove`. A pass that could not see everything is a fault, never a smaller number.
    async fn find(&mut self, subjects: &dyn Subjects, progress: &dyn Progress) -> Result<Found, Fault>;

    /// Values that no row that stays may have in common with one that leaves, since the store cannot tell whose an entry
    /// is that it finds by them. None where it tells by [`Subjects::known`].
    fn distinct(&self) -> Vec<Need> {
        Vec::new()
    }

    /// Looks again after a purge. Nothing that this finds is removed.
    async fn look_again(&mut self, subjects: &dyn Subjects, progress: &dyn Progress) -> Result<Found, Fault> {
        self.find(subjects, progress).await
    }

    /// From here on what is sent to the store is logged in this folder of the run, where the store keeps a log.
    fn log_to(&mut self, folder: &str) {
        let _ = folder;
    }

    /// Writes at most `entries_max` of the found entries that were not archived yet, with what is needed to put them
    /// back; returns how many it wrote, 0 when none is left.
    async fn archive(
        &mut self,
        entries_max: u64,
        sink: &mut dyn ArchiveSink,
        progress: &dyn Progress,
    ) -> Result<u64, Fault>;

    /// Removes what the last `archive` wrote.
    async fn remove(&mut self, progress: &dyn Progress) -> Result<Cleared, Fault>;

    /// Puts archived entries back. Of an entry that was archived more than once, the last version counts. An entry that
    /// exists with other content is a conflict and stays; with the same content it counts as put back.
    async fn restore(
        &mut self,
        source: &mut dyn ArchiveSource,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault>;

    /// What a purge would do, for people to read.
    fn explain(&self) -> Vec<String>;

    /// Files that let a person restore with the store's own client alone: name and content.
    fn restore_script(&self, files: &[String]) -> Vec<(String, String)>;
}
