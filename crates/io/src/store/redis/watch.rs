//! Keys that are watched from the moment they are archived until they are removed.
//!
//! The server itself then knows whether anybody touched one of them, so that many are removed by one command and nothing
//! has to be compared. Each group has a connection of its own, since the end of a transaction ends all watches of its
//! connection, and since a server compares a key with all that its connection watches already. In a cluster, transactions
//! are bound to one slot; keys are compared there one by one.
//!
//! Invariants
//! - a transaction that the server gives up has removed nothing; its keys are then compared one by one.

use super::Redis;
use super::archive::Archived;
use super::connect::Node;
use super::faults::{self, REMOVING, UNTOUCHED};
use redis::{Pipeline, Value};
use std::collections::BTreeMap;
use tokio::task::JoinHandle;
use unseed_core::fault::Fault;
use unseed_core::port::derived::Cleared;

/// Keys that one connection watches: as many as a server removes in a fraction of a millisecond.
pub(super) const KEYS_PER_CONNECTION: usize = 128;

/// The part of the free connections of a server that we take, and how many where it does not tell.
const PART: usize = 4;
const WATCHERS_UNKNOWN: usize = 64;

/// How many connections may watch keys, from what `INFO` tells.
pub(super) fn watchers_max(connected: Option<usize>, most: Option<usize>) -> usize {
    most.map_or(WATCHERS_UNKNOWN, |most| most.saturating_sub(connected.unwrap_or(0)) / PART)
}

/// A removal on its way.
pub(super) struct Transaction {
    watcher: usize,
    /// How many keys of which pattern each command names.
    counts: Vec<(usize, u64)>,
    answers: JoinHandle<Result<Vec<Value>, Fault>>,
}

impl Redis {
    /// The connection of this number, which watches keys of one chunk; none where none may, or where that would take
    /// connections that others need.
    pub(super) async fn watcher(&mut self, number: usize) -> Result<Option<usize>, Fault> {
        let facts = self.facts()?;
        if facts.is_cluster || !facts.watches || number >= facts.watchers_max {
            return Ok(None);
        }
        while self.watchers.len() <= number {
            self.watchers.push(self.target.connect().await?);
        }
        Ok(Some(number))
    }

    /// The first connection that watches nothing of what waits for `remove`.
    pub(super) fn unused_watcher(&self) -> usize {
        self.archived.iter().filter_map(|archived| archived.watcher).max().map_or(0, |last| last + 1)
    }

    /// Ends all watches, for keys that nobody is going to remove.
    pub(super) fn unwatch(&mut self) {
        self.watchers.clear();
    }

    /// Sends the removal of what one connection watches, if one does.
    pub(super) fn transaction(&self, watched: &[Archived]) -> Option<Transaction> {
        let watcher = watched.first()?.watcher?;
        let mut by_pattern: BTreeMap<usize, Vec<&[u8]>> = BTreeMap::new();
        for archived in watched {
            let entry = self.entry(archived.at);
            by_pattern.entry(entry.pattern).or_default().push(entry.key);
        }
        let (mut pipeline, mut counts) = (Pipeline::new(), Vec::new());
        pipeline.cmd("MULTI");
        for (pattern, keys) in &by_pattern {
            pipeline.cmd("UNLINK").arg(keys);
            counts.push((*pattern, u64::try_from(keys.len()).unwrap_or(0)));
        }
        pipeline.cmd("EXEC");
        let mut node = self.watchers[watcher].clone();
        let answers = tokio::spawn(async move { node.ask(&pipeline, REMOVING).await });
        Some(Transaction { watcher, counts, answers })
    }

    /// Waits for the outcome; false, and nothing was removed, if anybody touched one of the keys.
    pub(super) async fn settled(
        &mut self,
        transaction: Transaction,
        cleared: &mut Cleared,
    ) -> Result<bool, Fault> {
        let Transaction { watcher, counts, answers } = transaction;
        let answers = answers.await.unwrap_or_else(|_| Err(faults::lost_task().state(REMOVING)))?;
        let removed = match answers.last() {
            Some(Value::Nil) => return Ok(false),
            Some(Value::Array(removed)) if removed.len() == counts.len() => removed,
            _ => return Err(self.not_understood("EXEC").state(REMOVING)),
        };
        for ((pattern, asked), answer) in counts.into_iter().zip(removed) {
            let done = match answer {
                Value::Int(done) => u64::try_from(*done).unwrap_or(0),
                Value::ServerError(error) => {
                    return Err(faults::reply(&self.watchers[watcher].location, error, REMOVING));
                }
                _ => return Err(self.not_understood("UNLINK").state(REMOVING)),
            };
            cleared.gone += asked - done.min(asked);
            if done > 0 {
                *cleared.removed.entry(self.patterns.name(pattern).to_owned()).or_default() += done;
            }
        }
        Ok(true)
    }
}

/// Whether this user may watch keys and open transactions.
pub(super) async fn is_allowed(node: &mut Node) -> Result<bool, Fault> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("UNWATCH");
    pipeline.cmd("MULTI");
    pipeline.cmd("DISCARD");
    let answers = node.send(&pipeline, UNTOUCHED).await?;
    // WATCH cannot be asked for without a key that may be touched; the three are granted together.
    Ok(!answers.iter().any(|answer| matches!(answer, Value::ServerError(_))))
}
