//! Redis and Valkey: keys that are derived from rows elsewhere.
//!
//! | file | does |
//! |---|---|
//! | `connect` | address, TLS, connections to the nodes that hold keys |
//! | `sentinel` | asking Sentinels where the primary is |
//! | `wire` | a connection of our own for what is asked a million times |
//! | `inspect` | what the server is, and whether this user may do what is needed |
//! | `find` | one pass over all keys |
//! | `found` | what the pass found, packed |
//! | `archive`, `ask`, `wired` | lines of the archive, and the version of each entry |
//! | `remove` | unlinking what was archived |
//! | `quiet` | … as long as nobody writes: by the hundred |
//! | `compare` | … else: what is the same, a few at a time |
//! | `restore`, `lines` | putting back |
//! | `dump` | what a payload of DUMP holds |
//! | `text` | bytes as `redis-cli` reads them |
//! | `script` | restoring with `redis-cli` alone |
//!
//! Not here: what patterns mean (`core::pattern`), the order of calls (`engine`).

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the driver's enums may grow; any answer but those asked for is refused"
)]

mod archive;
mod ask;
mod compare;
mod connect;
mod dump;
mod faults;
mod find;
mod found;
mod inspect;
mod lines;
pub mod parsing;
mod quiet;
mod remove;
mod restore;
mod script;
mod sentinel;
mod slot;
mod text;
mod wire;
mod wired;

pub(super) use connect::is_ours;

use crate::store::Lookup;
use archive::Archived;
use async_trait::async_trait;
use connect::{Node, Target};
use find::Rest;
use found::{Entries, Position};
use inspect::Facts;
use quiet::Look;
use std::time::Duration;
use unseed_core::fault::Fault;
use unseed_core::pattern::{PatternSet, PatternSpec};
use unseed_core::port::derived::{Cleared, DerivedStore, Found, Need, Subjects};
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{ArchiveSink, ArchiveSource, Restored, Server};

/// What a person decides about such a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// What belongs to which rows.
    pub keys: Vec<PatternSpec>,
    /// Also count the keys that fit a pattern and belong to nobody.
    pub orphans: bool,
    /// Milliseconds to wait between round trips, for the sake of others; 0 for none.
    pub pause_ms: u64,
    /// Also archive commands that make the same content on a server of another version.
    pub portable: bool,
    /// Bytes of found keys that are kept in memory; beyond that, they are looked for again when their turn comes.
    pub found_bytes_max: usize,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self { keys: Vec::new(), orphans: false, pause_ms: 0, portable: true, found_bytes_max: 64 << 20 }
    }
}

/// A server or cluster.
pub(super) struct Redis {
    target: Target,
    settings: RedisSettings,
    patterns: PatternSet,
    facts: Option<Facts>,
    nodes: Vec<Node>,
    /// What the last pass found, and how much of it was archived.
    entries: Entries,
    position: Position,
    /// Where to look for more, if not all that was found is kept.
    rest: Option<Rest>,
    /// What waits for `remove`.
    archived: Vec<Archived>,
    /// What the server was like before that was read.
    seen: Option<Look>,
    /// Whether it is known to count what is removed from it.
    counts_changes: bool,
    /// Entries that were gone when they should have been archived.
    gone: u64,
}

impl Redis {
    /// Reads address and patterns; connects only when it is inspected.
    pub(super) fn new(url: &str, settings: RedisSettings, lookup: Lookup<'_>) -> Result<Self, Fault> {
        let patterns = PatternSet::compile(&settings.keys)?;
        let target = Target::read(url, lookup)?;
        Ok(Self {
            target,
            settings,
            patterns,
            facts: None,
            nodes: Vec::new(),
            entries: Entries::of_rows(0),
            position: Position::default(),
            rest: None,
            archived: Vec::new(),
            seen: None,
            counts_changes: false,
            gone: 0,
        })
    }

    fn facts(&self) -> Result<&Facts, Fault> {
        self.facts
            .as_ref()
            .ok_or_else(|| Fault::store(format!("`{}` was not inspected", self.target.location)))
    }

    /// The node that a key belongs to.
    fn node_of(&self, key: &[u8]) -> Result<usize, Fault> {
        if !self.facts()?.is_cluster {
            return Ok(0);
        }
        let slot = slot::of(key);
        let serves = |node: &Node| node.slots.iter().any(|(from, to)| (*from..=*to).contains(&slot));
        self.nodes.iter().position(serves).ok_or_else(|| {
            Fault::store(format!("no node of `{}` serves slot {slot}", self.target.location))
                .hint("run `CLUSTER INFO`, mend the cluster, then try again")
        })
    }

    /// Lets others have their turn.
    async fn pause(&self) {
        if self.settings.pause_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.settings.pause_ms)).await;
        }
    }
}

#[async_trait]
impl DerivedStore for Redis {
    async fn inspect(&mut self) -> Result<Server, Fault> {
        let (nodes, facts) = inspect::inspect(&self.target).await?;
        let server = facts.server.clone();
        (self.nodes, self.facts, self.counts_changes) = (nodes, Some(facts), false);
        self.archived.clear();
        Ok(server)
    }

    fn needs(&self) -> Vec<Need> {
        self.patterns.needs()
    }

    async fn find(&mut self, subjects: &dyn Subjects, progress: &dyn Progress) -> Result<Found, Fault> {
        self.pass(subjects, progress).await
    }

    async fn archive(
        &mut self,
        entries_max: u64,
        sink: &mut dyn ArchiveSink,
        progress: &dyn Progress,
    ) -> Result<u64, Fault> {
        self.write(entries_max, sink, progress).await
    }

    async fn remove(&mut self, progress: &dyn Progress) -> Result<Cleared, Fault> {
        self.clear(progress).await
    }

    async fn restore(
        &mut self,
        source: &mut dyn ArchiveSource,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault> {
        self.put_back(source, progress).await
    }

    fn explain(&self) -> Vec<String> {
        let mut lines = vec![
            format!("SCAN over database {} of {}, once", self.target.database(), self.target.location),
            "DUMP and PEXPIRETIME of every key that belongs to a doomed row, into the archive".to_owned(),
            "UNLINK, if nobody wrote meanwhile; else compare first: what changed since it was archived stays"
                .to_owned(),
        ];
        lines.extend((0..self.patterns.len()).map(|n| format!("pattern {}", self.patterns.name(n))));
        lines
    }

    fn restore_script(&self, files: &[String]) -> Vec<(String, String)> {
        vec![("restore.sh".to_owned(), script::restore(files))]
    }
}
