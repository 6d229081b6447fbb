//! One pass over all keys, against all patterns at once.
//!
//! `SCAN` promises every key that is there from the beginning to the end of a pass, however the table grows or shrinks
//! meanwhile; it may name a key twice. That promise is one server's, so a pass during which a node, its role or its slots
//! changed is made again.
//!
//! Invariants
//! - a pass that was not over one and the same data is never counted.

use super::Redis;
use super::connect::Node;
use super::faults::{self, UNTOUCHED};
use super::found::{Entries, Entry, Position};
use super::inspect::{Identity, identity};
use super::text::shown;
use super::wire::{self, Head, Wire};
use redis::{Pipeline, Value};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use unseed_core::fault::Fault;
use unseed_core::pattern::{Matcher, Verdict};
use unseed_core::port::derived::{Found, Subjects};
use unseed_core::port::progress::Progress;

/// Keys that the server looks at in one step, which takes it a fraction of a millisecond; more at once cost it more for each …
const KEYS_PER_SCAN: u64 = 500;
/// … or 2 to 5 ms, where it waits for us between two steps …
const KEYS_PER_DRIVEN_SCAN: u64 = 2_000;
/// … and 1 or 2 ms, where others must not wait.
const KEYS_PER_SCAN_PAUSED: u64 = 1_000;
/// Steps whose answers wait.
const STEPS_WAITING: usize = 8;
const MEMBERS_PER_SCAN: u64 = 1_000;
const PASSES_MAX: u32 = 3;
const SAMPLES_MAX: usize = 10;

/// A pass that is going on.
struct Pass<'a> {
    redis: &'a mut Redis,
    matcher: Matcher,
    entries: Entries,
    /// Orphans, so that one that is named twice counts once.
    orphans: Entries,
    found: Found,
    progress: &'a dyn Progress,
    /// Where to go on once `entries` were dealt with: no more of them could be kept.
    rest: Option<Place>,
    /// What to do once no more can be kept.
    once_full: OnceFull,
}

/// A place in a pass: the number of a node, and a cursor there. Such a place stays good as long as the node lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    node: usize,
    cursor: String,
}

/// What a pass does when it has found as much as is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnceFull {
    /// It counts on.
    Count,
    /// It ends.
    Stop,
}

/// What is left of a pass over more than is kept in memory.
pub(super) struct Rest {
    place: Place,
    matcher: Matcher,
    identity: Identity,
}

impl Redis {
    /// See [`unseed_core::port::derived::DerivedStore::find`].
    pub(super) async fn pass(
        &mut self,
        subjects: &dyn Subjects,
        progress: &dyn Progress,
    ) -> Result<Found, Fault> {
        let matcher = self.patterns.matcher(subjects)?;
        if !matcher.knows_all() {
            progress.note("rows that stay are not known here, so a value that they share with a doomed row is not noticed");
        }
        // What an earlier pass found is not needed beside what this one finds.
        self.kept(Entries::of_rows(0));
        for _ in 0..PASSES_MAX {
            let before = self.identity().await?;
            let mut pass = Pass::new(self, matcher.clone(), progress, OnceFull::Count);
            pass.found.skipped = matcher.skipped();
            pass.run(Place { node: 0, cursor: "0".to_owned() }).await?;
            let Pass { entries, found, rest, .. } = pass;
            if self.identity().await? == before {
                self.kept(entries);
                self.gone = 0;
                self.rest = rest.map(|place| Rest { place, matcher, identity: before });
                return Ok(found);
            }
            progress.note("the servers changed their roles during the pass over the keys; it is made again");
        }
        let message = format!("the servers of `{}` change their roles all the time", self.target.location);
        Err(Fault::refused(format!("{message}, so nobody can say that all keys were seen"))
            .hint("wait until failovers and moves of slots are over, then run the same command again"))
    }

    fn kept(&mut self, mut entries: Entries) {
        entries.complete();
        (self.entries, self.position) = (entries, Position::default());
        self.archived.clear();
    }

    /// Looks for the next entries, where not all could be kept; false if there are none.
    pub(super) async fn refill(&mut self, progress: &dyn Progress) -> Result<bool, Fault> {
        let Some(Rest { place, matcher, identity }) = self.rest.take() else { return Ok(false) };
        let mut pass = Pass::new(self, matcher.clone(), progress, OnceFull::Stop);
        pass.run(place).await?;
        let Pass { entries, rest, .. } = pass;
        if self.identity().await? != identity {
            let message = format!("the servers of `{}` changed their roles meanwhile", self.target.location);
            let state = "what was removed is in the archive, everything else is as it was";
            return Err(Fault::store(message)
                .state(state)
                .hint("run `unseed resume`: it looks at all keys again"));
        }
        self.kept(entries);
        self.rest = rest.map(|place| Rest { place, matcher, identity });
        Ok(true)
    }

    async fn identity(&mut self) -> Result<Identity, Fault> {
        let facts = self.facts()?.clone();
        identity(&self.target, &mut self.nodes, &facts).await
    }
}

impl<'a> Pass<'a> {
    fn new(redis: &'a mut Redis, matcher: Matcher, progress: &'a dyn Progress, once_full: OnceFull) -> Self {
        let (entries, orphans) = (Entries::of_rows(matcher.places()), Entries::of_rows(0));
        let found = Found::default();
        Self { redis, matcher, entries, orphans, found, progress, rest: None, once_full }
    }

    async fn run(&mut self, from: Place) -> Result<(), Fault> {
        let mut cursor = from.cursor;
        for number in from.node..self.redis.nodes.len() {
            let node = self.redis.nodes[number].clone();
            self.keys(number, node, cursor).await?;
            if self.is_over() {
                break;
            }
            cursor = "0".to_owned();
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.rest.is_some() && self.once_full == OnceFull::Stop
    }

    /// Remembers where to go on, once as much was found as is kept.
    fn measure(&mut self, next: Place) {
        if self.rest.is_none() && self.entries.bytes() >= self.redis.settings.found_bytes_max {
            self.rest = Some(next);
        }
    }

    async fn keys(&mut self, number: usize, mut node: Node, cursor: String) -> Result<(), Fault> {
        let mut scanning = Scanning::begin(node.clone(), cursor, self.redis.settings.pause_ms);
        loop {
            let (cursor, keys) = scanning.next().await?;
            let is_last = cursor == "0";
            let next = Place { node: if is_last { number + 1 } else { number }, cursor };
            let mut shared = Vec::new();
            for key in keys.iter() {
                if !self.key(number, key)?
                    && self.redis.patterns.has_members()
                    && self.redis.patterns.opens(key)
                {
                    shared.push(key.to_vec());
                }
            }
            for key in shared {
                self.members(number, &mut node, &key).await?;
            }
            self.progress.update("keys", self.found.seen, None);
            self.measure(next);
            if is_last || self.is_over() {
                return Ok(());
            }
        }
    }

    /// Whether a whole key leaves, so that nobody has to look inside.
    fn key(&mut self, node: usize, key: &[u8]) -> Result<bool, Fault> {
        self.found.seen += 1;
        let verdict = self.matcher.key(key)?;
        self.judged(verdict, node, key, None);
        Ok(matches!(verdict, Verdict::Doomed { .. }))
    }

    fn judged(&mut self, verdict: Verdict, node: usize, key: &[u8], member: Option<&[u8]>) {
        let patterns = &self.redis.patterns;
        match verdict {
            Verdict::Other => {}
            Verdict::Ambiguous(_) => self.found.ambiguous += 1,
            Verdict::Doomed { pattern, place } => {
                // What is not kept cannot be known to be named twice; tables that shrink meanwhile are rare.
                if self.rest.is_some() || self.entries.add(&Entry { key, member, pattern, node, row: place })
                {
                    *self.found.doomed.entry(patterns.name(pattern).to_owned()).or_default() += 1;
                }
            }
            Verdict::Orphan(pattern) if self.redis.settings.orphans => {
                let is_full = self.orphans.bytes() >= self.redis.settings.found_bytes_max / 4;
                if is_full || self.orphans.add(&Entry { key, member, pattern, node, row: 0 }) {
                    *self.found.orphaned.entry(patterns.name(pattern).to_owned()).or_default() += 1;
                    if self.found.samples.len() < SAMPLES_MAX {
                        let within = member.map(|member| format!(" → {}", shown(member))).unwrap_or_default();
                        self.found.samples.push(shown(key) + &within);
                    }
                }
            }
            Verdict::Orphan(_) => {}
        }
    }

    async fn members(&mut self, number: usize, node: &mut Node, key: &[u8]) -> Result<(), Fault> {
        let mut asked = Pipeline::new();
        asked.cmd("TYPE").arg(key);
        let answers = node.ask(&asked, UNTOUCHED).await?;
        let (command, values_too): (&[u8], bool) = match answers.first() {
            Some(Value::SimpleString(kind)) => match kind.as_str() {
                "none" => return Ok(()),
                "hash" => (b"HSCAN", true),
                "set" => (b"SSCAN", false),
                "zset" => (b"ZSCAN", true),
                other => return Err(not_shared(key, other)),
            },
            _ => return Err(not_shared(key, "of an unknown type")),
        };
        let mut cursor = "0".to_owned();
        loop {
            let (next, members) = scan(node, &[command, key], &cursor, MEMBERS_PER_SCAN).await?;
            for member in members.iter().step_by(if values_too { 2 } else { 1 }) {
                self.found.seen += 1;
                let verdict = self.matcher.member(key, member)?;
                self.judged(verdict, number, key, Some(member));
            }
            self.redis.pause().await;
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }
}

fn not_shared(key: &[u8], kind: &str) -> Fault {
    let message = format!(
        "the key `{}` is a {kind}, whose entries cannot be taken out and put back one by one",
        shown(key)
    );
    Fault::refused(message).hint("write the pattern so that it means hashes, sets and sorted sets only")
}

/// A step: where the next one begins, and what was found.
type Scanned = (String, Keys);

/// Keys of one step, packed.
#[derive(Default)]
struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(from, to)| &self.bytes[from..*to])
    }
}

/// Steps of a pass over the keys of a node, on a task of its own: the server looks for the next keys while these are
/// compared. Ends with the step whose cursor is 0, or with a fault.
struct Scanning(Receiver<Result<Scanned, Fault>>);

impl Scanning {
    fn begin(mut node: Node, cursor: String, pause_ms: u64) -> Self {
        let (sender, receiver) = channel(STEPS_WAITING);
        tokio::spawn(async move {
            let scanned = match Wire::beside(&mut node, UNTOUCHED).await {
                Some(mut wire) => by_wire(&mut wire, cursor, pause_ms, &sender).await,
                None => by_driver(&mut node, cursor, pause_ms, &sender).await,
            };
            if let Err(fault) = scanned {
                drop(sender.send(Err(fault)).await);
            }
        });
        Self(receiver)
    }

    /// The next step. A task that ends before its time is a fault, never the end of the keys.
    async fn next(&mut self) -> Result<Scanned, Fault> {
        self.0.recv().await.unwrap_or_else(|| Err(faults::lost_task()))
    }
}

/// Asks for each step as soon as it is known where it begins, which stands in front of the keys of the one before.
async fn by_wire(
    wire: &mut Wire,
    mut cursor: String,
    pause_ms: u64,
    sender: &Sender<Result<Scanned, Fault>>,
) -> Result<(), Fault> {
    let count = if pause_ms == 0 { KEYS_PER_SCAN } else { KEYS_PER_SCAN_PAUSED }.to_string();
    let step = |cursor: &str| {
        let mut asked = Vec::new();
        wire::command(&mut asked, &[b"SCAN", cursor.as_bytes(), b"COUNT", count.as_bytes()]);
        asked
    };
    wire.send(&step(&cursor)).await?;
    loop {
        let not_understood = |wire: &Wire| wire.not_understood("SCAN");
        let (Head::List(2), Head::Text(length)) = (wire.head().await?, wire.head().await?) else {
            return Err(not_understood(wire));
        };
        cursor = String::from_utf8_lossy(wire.text(length).await?).into_owned();
        let is_last = cursor == "0";
        if !is_last && pause_ms == 0 {
            wire.send(&step(&cursor)).await?;
        }
        let Head::List(count) = wire.head().await? else { return Err(not_understood(wire)) };
        let mut keys = Keys::default();
        for _ in 0..count {
            let Head::Text(length) = wire.head().await? else { return Err(not_understood(wire)) };
            keys.push(wire.text(length).await?);
        }
        // Nobody wants to know any more, or there is no more.
        if sender.send(Ok((cursor.clone(), keys))).await.is_err() || is_last {
            return Ok(());
        }
        if pause_ms > 0 {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            wire.send(&step(&cursor)).await?;
        }
    }
}

/// The same where there is no connection of our own.
async fn by_driver(
    node: &mut Node,
    mut cursor: String,
    pause_ms: u64,
    sender: &Sender<Result<Scanned, Fault>>,
) -> Result<(), Fault> {
    let count = if pause_ms == 0 { KEYS_PER_DRIVEN_SCAN } else { KEYS_PER_SCAN_PAUSED };
    let mut step = scan(node, &[b"SCAN"], &cursor, count).await?;
    loop {
        cursor.clone_from(&step.0);
        let mut keys = Keys::default();
        step.1.iter().for_each(|key| keys.push(key));
        if cursor == "0" {
            drop(sender.send(Ok((cursor, keys))).await);
            return Ok(());
        }
        let hand_on = async {
            // Behind the question, so that the server works meanwhile.
            tokio::task::yield_now().await;
            sender.send(Ok((cursor.clone(), keys))).await
        };
        let ask_on = async {
            if pause_ms > 0 {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            scan(node, &[b"SCAN"], &cursor, count).await
        };
        let (asked, handed) = tokio::join!(ask_on, hand_on);
        if handed.is_err() {
            // Nobody wants to know any more.
            return Ok(());
        }
        step = asked?;
    }
}

/// One step through keys or members.
async fn scan(
    node: &mut Node,
    command: &[&[u8]],
    cursor: &str,
    count: u64,
) -> Result<(String, Vec<Vec<u8>>), Fault> {
    let mut cmd = redis::Cmd::new();
    command.iter().for_each(|part| {
        cmd.arg(*part);
    });
    cmd.arg(cursor).arg("COUNT").arg(count);
    let mut pipeline = Pipeline::new();
    pipeline.add_command(cmd);
    let mut answers = node.ask(&pipeline, UNTOUCHED).await?.into_iter();
    let not_understood = || {
        Fault::store(format!("`{}` answered a scan with something else", node.location))
            .hint("see its version")
    };
    let Some(Value::Array(parts)) = answers.next() else { return Err(not_understood()) };
    let Ok([Value::BulkString(cursor), Value::Array(keys)]) = <[Value; 2]>::try_from(parts) else {
        return Err(not_understood());
    };
    let keys = keys.into_iter().filter_map(|key| match key {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    });
    Ok((String::from_utf8_lossy(&cursor).into_owned(), keys.collect()))
}
