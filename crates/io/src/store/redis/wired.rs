//! Asking for payloads on a connection of our own.
//!
//! Answers come in the order of the questions, so it is remembered what was asked, and the server always has a question more
//! than it has answered.
//!
//! Invariants
//! - no more is on its way than `ask` says.

use super::archive::absolute;
use super::ask::{BYTES_MAX, BYTES_UNKNOWN, Keys, Manner, Over, Part, Told, parts};
use super::wire::{Head, Wire, command};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use unseed_core::fault::Fault;

/// Questions for payloads on their way at once, where nobody has to wait for others.
const AHEAD: usize = 3;
/// Groups of keys whose sizes were asked for, and payloads were not.
const SIZED_AHEAD: usize = 2;

/// What was asked.
enum Asked {
    Sizes(Keys),
    /// Payloads of so many keys, and of about so many bytes.
    Payloads(usize, u64),
}

/// What an answer came to.
enum Answer {
    Sizes,
    Payloads(Part),
    /// Everything was answered.
    End,
}

/// Keeps the server at work.
pub(super) struct Wired<'a> {
    wire: Wire,
    manner: Manner,
    sender: &'a Sender<Result<Part, Fault>>,
    /// In the order in which it will be answered.
    asked: VecDeque<Asked>,
    /// What there was no room yet to ask for.
    sized: VecDeque<(Keys, u64)>,
}

impl<'a> Wired<'a> {
    pub(super) fn new(wire: Wire, manner: Manner, sender: &'a Sender<Result<Part, Fault>>) -> Self {
        Self { wire, manner, sender, asked: VecDeque::new(), sized: VecDeque::new() }
    }

    /// Asks for all these keys.
    pub(super) async fn ask(mut self, mut questions: impl Iterator<Item = Keys>) -> Result<(), Over> {
        loop {
            let told = match self.answer(&mut questions).await {
                Ok(Answer::End) => return Ok(()),
                Ok(Answer::Sizes) => continue,
                Ok(Answer::Payloads(part)) => Ok(part),
                Err(fault) => Err(fault),
            };
            let is_fault = told.is_err();
            if self.sender.send(told).await.is_err() || is_fault {
                return Err(Over);
            }
            if self.manner.pause_ms > 0 {
                tokio::time::sleep(Duration::from_millis(self.manner.pause_ms)).await;
            }
        }
    }

    async fn answer(&mut self, questions: &mut impl Iterator<Item = Keys>) -> Result<Answer, Fault> {
        self.go_on(questions).await?;
        match self.asked.pop_front() {
            None => Ok(Answer::End),
            Some(Asked::Sizes(keys)) => {
                let sizes = self.sizes(keys.len()).await?;
                self.sized.extend(parts(keys, &sizes));
                Ok(Answer::Sizes)
            }
            Some(Asked::Payloads(count, _)) => self.payloads(count).await.map(Answer::Payloads),
        }
    }

    /// Asks whatever there is room for.
    async fn go_on(&mut self, questions: &mut impl Iterator<Item = Keys>) -> Result<(), Fault> {
        let mut commands = Vec::new();
        loop {
            if self.may_dump()
                && let Some((keys, bytes)) = self.sized.pop_front()
            {
                self.dump(&mut commands, &keys);
                self.asked.push_back(Asked::Payloads(keys.len(), bytes));
            } else if self.may_size()
                && let Some(keys) = questions.next()
            {
                if self.manner.tells_size {
                    keys.iter().for_each(|key| command(&mut commands, &[b"MEMORY", b"USAGE", key]));
                    self.asked.push_back(Asked::Sizes(keys));
                } else {
                    let sizes = vec![BYTES_UNKNOWN; keys.len()];
                    self.sized.extend(parts(keys, &sizes));
                }
            } else {
                break;
            }
        }
        if commands.is_empty() { Ok(()) } else { self.wire.send(&commands).await }
    }

    /// Whether there is room for the next payloads.
    fn may_dump(&self) -> bool {
        let ahead = if self.manner.pause_ms == 0 { AHEAD } else { 1 };
        let Some((_, next)) = self.sized.front() else { return false };
        let (mut count, mut bytes) = (0, *next);
        for asked in &self.asked {
            if let Asked::Payloads(_, some) = asked {
                (count, bytes) = (count + 1, bytes + some);
            }
        }
        count == 0 || count < ahead && bytes <= BYTES_MAX
    }

    fn may_size(&self) -> bool {
        let asked = self.asked.iter().filter(|asked| matches!(asked, Asked::Sizes(_))).count();
        asked + self.sized.len() < SIZED_AHEAD
    }

    fn dump(&self, commands: &mut Vec<u8>, keys: &Keys) {
        if !self.manner.tells_expiry {
            command(commands, &[b"TIME"]);
        }
        for key in keys {
            let expiry: &[u8] = if self.manner.tells_expiry { b"PEXPIRETIME" } else { b"PTTL" };
            command(commands, &[expiry, key]);
            command(commands, &[b"DUMP", key]);
        }
    }

    async fn sizes(&mut self, count: usize) -> Result<Vec<u64>, Fault> {
        let mut sizes = Vec::with_capacity(count);
        for _ in 0..count {
            sizes.push(match self.wire.head().await? {
                Head::Number(bytes) => u64::try_from(bytes).unwrap_or(0),
                // It is gone.
                Head::Nothing => 0,
                Head::List(_) | Head::Text(_) | Head::Word => return Err(self.wire.not_understood("MEMORY")),
            });
        }
        Ok(sizes)
    }

    async fn payloads(&mut self, count: usize) -> Result<Part, Fault> {
        let now_ms = if self.manner.tells_expiry { 0 } else { self.now_ms().await? };
        let mut told = Vec::with_capacity(count);
        for _ in 0..count {
            let Head::Number(expiry) = self.wire.head().await? else {
                return Err(self.wire.not_understood("PTTL"));
            };
            told.push(match self.wire.head().await? {
                Head::Text(length) => {
                    let payload = self.wire.text(length).await?.to_vec();
                    Some(Told { payload, expires_ms: absolute(expiry, now_ms, self.manner.tells_expiry) })
                }
                Head::Nothing => None,
                Head::List(_) | Head::Number(_) | Head::Word => return Err(self.wire.not_understood("DUMP")),
            });
        }
        Ok(told)
    }

    /// What the answer to `TIME` says.
    async fn now_ms(&mut self) -> Result<i64, Fault> {
        let mut parts = [0; 2];
        let is_pair = self.wire.head().await? == Head::List(2);
        for part in &mut parts {
            let read = match self.wire.head().await? {
                Head::Text(length) if is_pair => std::str::from_utf8(self.wire.text(length).await?).ok(),
                Head::Text(_) | Head::List(_) | Head::Number(_) | Head::Word | Head::Nothing => None,
            };
            let number = read.and_then(|text| text.parse::<i64>().ok());
            *part = number.ok_or_else(|| self.wire.not_understood("TIME"))?;
        }
        let [seconds, micros] = parts;
        Ok(seconds * 1000 + micros / 1000)
    }
}
