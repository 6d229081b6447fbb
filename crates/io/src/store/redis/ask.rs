//! Asking for payloads ahead of whoever writes them down: the server works while the archive is compressed.
//!
//! Keys are asked for their size before they are asked for their payload, the next ones while payloads are on their way. Where
//! there is a connection of our own (`wired`), the server has the next questions before it has answered these.
//!
//! Invariants
//! - what is on its way is a few megabytes, or one key where that is larger; as much may wait to be written down.

use super::archive::{absolute, time_ms};
use super::connect::Node;
use super::faults::{self, UNTOUCHED};
use super::wire::Wire;
use super::wired::Wired;
use redis::{Pipeline, Value};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use unseed_core::fault::Fault;

/// Bytes that are on their way, as far as the server can tell in advance.
pub(super) const BYTES_MAX: u64 = 4 << 20;
/// What a key is taken for where it cannot.
pub(super) const BYTES_UNKNOWN: u64 = 512 << 10;
/// Round trips whose answers are on their way at once, where nobody has to wait for others.
const AHEAD: usize = 2;
/// Round trips whose answers wait.
const WAITING: usize = 1;

/// What the server told of one key.
pub(super) struct Told {
    pub(super) payload: Vec<u8>,
    /// Milliseconds since 1970.
    pub(super) expires_ms: i64,
}

/// One for each key, in their order; none of those that are gone.
pub(super) type Part = Vec<Option<Told>>;

/// Names of keys.
pub(super) type Keys = Vec<Vec<u8>>;

/// Keys of one node that are asked for together.
#[derive(Clone)]
pub(super) struct Question {
    pub(super) node: Node,
    pub(super) keys: Keys,
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
        let (sender, receiver) = channel(WAITING);
        tokio::spawn(async move {
            let mut questions = VecDeque::from(questions);
            while let Some(mut node) = questions.front().map(|question| question.node.clone()) {
                let is_here = |question: &&Question| Arc::ptr_eq(&question.node.target, &node.target);
                let count = questions.iter().take_while(is_here).count();
                let here = questions.drain(..count);
                let asked = match Wire::beside(&mut node, UNTOUCHED).await {
                    Some(wire) => {
                        Wired::new(wire, manner, &sender).ask(here.map(|question| question.keys)).await
                    }
                    None => {
                        let asker = Asker { manner, sender: &sender, under_way: VecDeque::new() };
                        asker.ask(here).await
                    }
                };
                if asked.is_err() {
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

type Sizes = JoinHandle<Result<Vec<u64>, Fault>>;

/// Keeps the server at work.
struct Asker<'a> {
    manner: Manner,
    sender: &'a Sender<Result<Part, Fault>>,
    /// Answers on their way, and about how many bytes each is.
    under_way: VecDeque<(u64, JoinHandle<Result<Part, Fault>>)>,
}

/// Nobody wants to know any more, or was told why not.
pub(super) struct Over;

impl Asker<'_> {
    async fn ask(mut self, mut questions: impl Iterator<Item = Question>) -> Result<(), Over> {
        let mut next = questions.next().map(|question| self.sized(question));
        while let Some((question, sizes)) = next {
            let sizes = sizes.await.unwrap_or_else(|_| Err(faults::lost_task()));
            next = questions.next().map(|question| self.sized(question));
            let asked = match sizes {
                Ok(sizes) => self.parts(question, &sizes).await,
                Err(fault) => self.told(Err(fault)).await,
            };
            asked?;
        }
        while !self.under_way.is_empty() {
            self.forward().await?;
        }
        Ok(())
    }

    /// Begins to ask how large the keys are.
    fn sized(&self, question: Question) -> (Question, Sizes) {
        let (copy, manner) = (question.clone(), self.manner);
        (question, tokio::spawn(copy.sizes(manner)))
    }

    async fn parts(&mut self, question: Question, sizes: &[u64]) -> Result<(), Over> {
        let Question { node, keys } = question;
        for (keys, bytes) in parts(keys, sizes) {
            self.begin(Question { node: node.clone(), keys }, bytes).await?;
        }
        Ok(())
    }

    /// Asks for payloads as soon as there is room for them.
    async fn begin(&mut self, part: Question, bytes: u64) -> Result<(), Over> {
        let ahead = if self.manner.pause_ms == 0 { AHEAD } else { 1 };
        let is_much =
            |asker: &Self| asker.under_way.iter().map(|(bytes, _)| bytes).sum::<u64>() + bytes > BYTES_MAX;
        while !self.under_way.is_empty() && (self.under_way.len() >= ahead || is_much(self)) {
            self.forward().await?;
            if self.manner.pause_ms > 0 {
                tokio::time::sleep(Duration::from_millis(self.manner.pause_ms)).await;
            }
        }
        self.under_way.push_back((bytes, tokio::spawn(part.dumped(self.manner))));
        Ok(())
    }

    /// Hands on the oldest answer.
    async fn forward(&mut self) -> Result<(), Over> {
        let Some((_, answer)) = self.under_way.pop_front() else { return Ok(()) };
        let told = answer.await.unwrap_or_else(|_| Err(faults::lost_task()));
        self.told(told).await
    }

    async fn told(&self, told: Result<Part, Fault>) -> Result<(), Over> {
        let is_fault = told.is_err();
        let is_sent = self.sender.send(told).await.is_ok();
        if is_sent && !is_fault { Ok(()) } else { Err(Over) }
    }
}

/// Keys that are asked for together, a few megabytes or one key, and about how many bytes that is.
pub(super) fn parts(mut keys: Keys, mut sizes: &[u64]) -> Vec<(Keys, u64)> {
    let mut parts = Vec::new();
    while !keys.is_empty() {
        let mut bytes = 0;
        let within = sizes.iter().take_while(|size| {
            bytes += **size;
            bytes <= BYTES_MAX
        });
        let count = within.count().clamp(1, keys.len());
        let later = keys.split_off(count);
        parts.push((std::mem::replace(&mut keys, later), sizes.iter().take(count).sum()));
        sizes = sizes.get(count..).unwrap_or_default();
    }
    parts
}

impl Question {
    /// How large each key is, about.
    async fn sizes(mut self, manner: Manner) -> Result<Vec<u64>, Fault> {
        if !manner.tells_size {
            return Ok(vec![BYTES_UNKNOWN; self.keys.len()]);
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
    async fn dumped(mut self, manner: Manner) -> Result<Part, Fault> {
        let mut pipeline = Pipeline::with_capacity(self.keys.len() * 2 + 1);
        pipeline.cmd("TIME");
        for key in &self.keys {
            pipeline.cmd(if manner.tells_expiry { "PEXPIRETIME" } else { "PTTL" }).arg(key);
            pipeline.cmd("DUMP").arg(key);
        }
        let mut answers = self.node.ask(&pipeline, UNTOUCHED).await?.into_iter();
        let not_understood = |command: &str| faults::not_understood(&self.node.location, command);
        let now_ms = time_ms(&answers.next().unwrap_or_default()).ok_or_else(|| not_understood("TIME"))?;
        let mut told = Vec::with_capacity(self.keys.len());
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
