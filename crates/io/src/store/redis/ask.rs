//! Asking for payloads ahead of whoever writes them down: the server works while the archive is compressed.
//!
//! Invariants
//! - what waits is a round trip or two: a few megabytes each, or one key where that is larger;
//! - a key is watched before it is read.

use super::archive::{absolute, time_ms};
use super::connect::Node;
use super::faults::{self, UNTOUCHED};
use redis::{Pipeline, Value};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use unseed_core::fault::Fault;

/// Bytes that one round trip may bring, as far as the server can tell in advance.
const CHUNK_BYTES_MAX: u64 = 8 << 20;
/// Entries of one round trip where it cannot.
const CHUNK_ENTRIES_UNKNOWN: u64 = 16;
/// Round trips whose answers wait.
const AHEAD: usize = 1;

/// What the server told of one key.
pub(super) struct Told {
    pub(super) payload: Vec<u8>,
    /// Milliseconds since 1970.
    pub(super) expires_ms: i64,
}

/// One for each key, in their order; none of those that are gone.
type Part = Vec<Option<Told>>;

/// Keys of one node that are asked for together.
pub(super) struct Question {
    pub(super) node: Node,
    /// The connection that watches them from now on.
    pub(super) watcher: Option<Node>,
    pub(super) keys: Vec<Vec<u8>>,
}

/// What the server can be asked, and how eagerly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) tells_size: bool,
    pub(super) tells_expiry: bool,
    pub(super) pause_ms: u64,
}

/// Questions on their way.
pub(super) struct Asking(Receiver<Result<Part, Fault>>);

impl Asking {
    /// Begins to ask; whoever drops it ends the asking.
    pub(super) fn begin(questions: Vec<Question>, manner: Manner) -> Self {
        let (sender, receiver) = channel(AHEAD);
        tokio::spawn(async move {
            for question in questions {
                if let Err(fault) = question.ask(manner, &sender).await {
                    drop(sender.send(Err(fault)).await);
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// What was told of the next few keys.
    pub(super) async fn next(&mut self) -> Result<Part, Fault> {
        self.0.recv().await.unwrap_or_else(|| Err(faults::lost_task()))
    }
}

impl Question {
    async fn ask(mut self, manner: Manner, sender: &Sender<Result<Part, Fault>>) -> Result<(), Fault> {
        let sizes = self.sizes(manner).await?;
        let mut from = 0;
        while from < self.keys.len() {
            let mut bytes = 0;
            let within = sizes[from..].iter().take_while(|size| {
                bytes += **size;
                bytes <= CHUNK_BYTES_MAX
            });
            let to = from + within.count().max(1);
            let told = self.dumped((from, to), manner).await?;
            // Nobody wants to know any more.
            if sender.send(Ok(told)).await.is_err() {
                break;
            }
            from = to;
            if manner.pause_ms > 0 {
                tokio::time::sleep(Duration::from_millis(manner.pause_ms)).await;
            }
        }
        Ok(())
    }

    /// How large each key is, about.
    async fn sizes(&mut self, manner: Manner) -> Result<Vec<u64>, Fault> {
        if !manner.tells_size {
            return Ok(vec![CHUNK_BYTES_MAX / CHUNK_ENTRIES_UNKNOWN; self.keys.len()]);
        }
        let mut pipeline = Pipeline::with_capacity(self.keys.len());
        for key in &self.keys {
            pipeline.cmd("MEMORY").arg("USAGE").arg(key);
        }
        let answers = self.node.ask(&pipeline, UNTOUCHED).await?;
        let size = |answer: &Value| match answer {
            Value::Int(bytes) => u64::try_from(*bytes).unwrap_or(0),
            _ => 0,
        };
        Ok(answers.iter().map(size).collect())
    }

    /// Payload and expiry of each key.
    async fn dumped(&mut self, (from, to): (usize, usize), manner: Manner) -> Result<Part, Fault> {
        let keys = &self.keys[from..to];
        let mut pipeline = Pipeline::with_capacity(keys.len() * 2 + 2);
        if self.watcher.is_some() {
            pipeline.cmd("WATCH").arg(keys);
        }
        pipeline.cmd("TIME");
        for key in keys {
            pipeline.cmd(if manner.tells_expiry { "PEXPIRETIME" } else { "PTTL" }).arg(key);
            pipeline.cmd("DUMP").arg(key);
        }
        let is_watched = self.watcher.is_some();
        let asked = self.watcher.as_mut().unwrap_or(&mut self.node);
        let mut answers = asked.ask(&pipeline, UNTOUCHED).await?.into_iter();
        let not_understood = |command: &str| faults::not_understood(&asked.location, command);
        if is_watched {
            answers.next();
        }
        let now_ms = time_ms(&answers.next().unwrap_or_default()).ok_or_else(|| not_understood("TIME"))?;
        let mut told = Vec::with_capacity(keys.len());
        while let (Some(expiry), Some(payload)) = (answers.next(), answers.next()) {
            told.push(match (expiry, payload) {
                (Value::Int(expiry), Value::BulkString(payload)) => {
                    Some(Told { payload, expires_ms: absolute(expiry, now_ms, manner.tells_expiry) })
                }
                (_, Value::Nil) => None,
                _ => return Err(not_understood("DUMP")),
            });
        }
        Ok(told)
    }
}
