//! Putting archived entries back.
//!
//! Invariants
//! - nothing is overwritten: what exists with other content stays and is listed;
//! - what exists with the same content counts as put back, so that a restore can be repeated;
//! - of an entry that was archived more than once, the last version counts;
//! - what would have expired by now stays away, and is told.

use super::Redis;
use super::archive::{MEMBERS, NEVER, absolute, time_ms};
use super::compare::SLACK_MS;
use super::dump;
use super::faults::{self, RESTORING};
use super::lines::{self, Cutter, KeyLine, Line, MemberKind, MemberLine};
use super::text::shown;
use redis::{Pipeline, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use unseed_core::fault::Fault;
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{ArchiveSource, RestoreConflict, Restored};

const CHUNK_ENTRIES: usize = 500;
const CHUNK_BYTES_MAX: usize = 8 << 20;
/// Names that are compared at a time, to find those that were archived more than once: 128 MiB.
const NAMES_MAX: u64 = 4_000_000;
/// Conflicts that are listed one by one; the others are counted.
const CONFLICTS_SHOWN_MAX: u64 = 1_000;

const EXISTS: &str = "a key with this name and other content exists";
const EXPIRES_OTHERWISE: &str = "a key with this name and content exists, but it expires at another time";
const OTHER_TYPE: &str = "the key is of another type by now";
const OTHER_VALUE: &str = "an entry with this name and another value exists";
const UNREADABLE: &str =
    "this server cannot read what the other one wrote, and no commands were archived beside it";

/// A restore that is going on.
struct Putting<'a> {
    redis: &'a mut Redis,
    /// Lines, by their number over all sections, of which a later version exists.
    superseded: HashSet<u64>,
    waiting: Vec<Line>,
    bytes: usize,
    restored: Restored,
    conflicts: u64,
    done: u64,
    progress: &'a dyn Progress,
}

/// What became of a line.
enum Outcome {
    There,
    Expired,
    Conflict(&'static str),
}

impl Redis {
    /// See [`unseed_core::port::derived::DerivedStore::restore`].
    pub(super) async fn put_back(
        &mut self,
        source: &mut dyn ArchiveSource,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault> {
        let superseded = superseded(source)?;
        let mut putting = Putting {
            redis: self,
            superseded,
            waiting: Vec::new(),
            bytes: 0,
            restored: Restored::default(),
            conflicts: 0,
            done: 0,
            progress,
        };
        let handle = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            each_line(source, &mut |number, line, is_member| {
                if putting.superseded.contains(&number) {
                    return Ok(());
                }
                let line = lines::read(line, is_member)?;
                putting.bytes += line.bytes();
                putting.waiting.push(line);
                if putting.waiting.len() >= CHUNK_ENTRIES || putting.bytes >= CHUNK_BYTES_MAX {
                    handle.block_on(putting.put())?;
                }
                Ok(())
            })?;
            handle.block_on(putting.put())
        })?;
        let Putting { mut restored, conflicts, .. } = putting;
        if conflicts > CONFLICTS_SHOWN_MAX {
            restored.conflicts.push(RestoreConflict {
                table: super::archive::KEYS.to_owned(),
                key: "…".to_owned(),
                reason: "more entries are in the way".to_owned(),
                rows: conflicts - CONFLICTS_SHOWN_MAX,
            });
        }
        restored.token = Some("restored".to_owned());
        Ok(restored)
    }
}

/// Gets a line, its number, and whether it is about an entry within a key.
type VisitLine<'a> = dyn FnMut(u64, &[u8], bool) -> Result<(), Fault> + 'a;

/// Visits every line of every section with its number.
fn each_line(source: &mut dyn ArchiveSource, visit: &mut VisitLine<'_>) -> Result<(), Fault> {
    let mut number = 0;
    for (index, section) in source.sections().into_iter().enumerate() {
        let is_member = section.head.table == MEMBERS;
        let mut cutter = Cutter::default();
        source.read(index, &mut |piece| {
            cutter.feed(piece, &mut |line| {
                number += 1;
                visit(number - 1, line, is_member)
            })
        })?;
        cutter.end()?;
    }
    Ok(())
}

/// Numbers of the lines that a later line replaces.
fn superseded(source: &mut dyn ArchiveSource) -> Result<HashSet<u64>, Fault> {
    let sections = source.sections();
    let mut found = HashSet::new();
    if sections.len() < 2 {
        // A section names nothing twice.
        return Ok(found);
    }
    let lines: u64 = sections.iter().map(|section| section.rows).sum();
    let shares = lines.div_ceil(NAMES_MAX).max(1);
    for share in 0..shares {
        let mut names: Vec<(u128, u64)> = Vec::new();
        each_line(source, &mut |number, line, is_member| {
            let name = hash_of_name(line, is_member);
            if name % u128::from(shares) == u128::from(share) {
                names.push((name, number));
            }
            Ok(())
        })?;
        names.sort_unstable();
        found.extend(names.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].1));
    }
    Ok(found)
}

/// Of what stands in front of the content: the key, and for an entry within it the entry.
fn hash_of_name(line: &[u8], is_member: bool) -> u128 {
    let mut hasher = blake3::Hasher::new();
    let mut columns = line.split(|byte| *byte == b'\t');
    hasher.update(columns.next().unwrap_or_default());
    if is_member {
        hasher.update(b"\t");
        hasher.update(columns.nth(2).unwrap_or_default());
    }
    let hash = hasher.finalize();
    let (half, _) = hash.as_bytes().split_at(16);
    u128::from_le_bytes(half.try_into().expect("a hash has 32 bytes"))
}

impl Putting<'_> {
    /// Puts the waiting lines back.
    async fn put(&mut self) -> Result<(), Fault> {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        self.done += u64::try_from(waiting.len()).unwrap_or(0);
        let mut by_node: BTreeMap<usize, (Vec<KeyLine>, Vec<MemberLine>)> = BTreeMap::new();
        for line in waiting {
            let node = self.redis.node_of(line.name().0)?;
            let (keys, members) = by_node.entry(node).or_default();
            match line {
                Line::Key(line) => keys.push(line),
                Line::Member(line) => members.push(line),
            }
        }
        for (node, (keys, members)) in by_node {
            let now_ms = self.now_ms(node).await?;
            if !keys.is_empty() {
                self.keys(node, keys, now_ms).await?;
            }
            if !members.is_empty() {
                self.members(node, members, now_ms).await?;
            }
        }
        self.progress.update("restored entries", self.done, None);
        self.redis.pause().await;
        Ok(())
    }

    async fn now_ms(&mut self, node: usize) -> Result<i64, Fault> {
        let answer = self.redis.nodes[node].one("TIME", &[], RESTORING).await?;
        time_ms(&answer).ok_or_else(|| self.redis.not_understood("TIME"))
    }

    fn tell(&mut self, section: &str, (key, member): (&[u8], Option<&[u8]>), outcome: &Outcome) {
        match outcome {
            Outcome::There => *self.restored.inserted.entry(section.to_owned()).or_default() += 1,
            Outcome::Expired => *self.restored.expired.entry(section.to_owned()).or_default() += 1,
            Outcome::Conflict(reason) => {
                self.conflicts += 1;
                if self.conflicts <= CONFLICTS_SHOWN_MAX {
                    let within = member.map(|member| format!(" → {}", shown(member))).unwrap_or_default();
                    self.restored.conflicts.push(RestoreConflict {
                        table: section.to_owned(),
                        key: shown(key) + &within,
                        reason: (*reason).to_owned(),
                        rows: 1,
                    });
                }
            }
        }
    }

    async fn keys(&mut self, node: usize, lines: Vec<KeyLine>, now_ms: i64) -> Result<(), Fault> {
        let is_expired = |line: &KeyLine| line.expires_ms != NEVER && line.expires_ms <= now_ms;
        let (expired, lines): (Vec<KeyLine>, Vec<KeyLine>) = lines.into_iter().partition(is_expired);
        for line in expired {
            self.tell(super::archive::KEYS, (&line.key, None), &Outcome::Expired);
        }
        let mut pipeline = Pipeline::with_capacity(lines.len());
        for line in &lines {
            let expires_ms = if line.expires_ms == NEVER { 0 } else { line.expires_ms };
            pipeline.cmd("RESTORE").arg(&line.key).arg(expires_ms).arg(&line.payload).arg("ABSTTL");
        }
        let answers = self.redis.nodes[node].send(&pipeline, RESTORING).await?;
        for (line, answer) in lines.iter().zip(answers) {
            let outcome = match answer {
                Value::ServerError(error) if error.code() == "BUSYKEY" => self.compared(node, line).await?,
                Value::ServerError(error) if is_unreadable(error.details()) => {
                    self.by_commands(node, line).await?
                }
                Value::ServerError(error) => {
                    return Err(faults::reply(&self.redis.nodes[node].location, &error, RESTORING));
                }
                _ => Outcome::There,
            };
            self.tell(super::archive::KEYS, (&line.key, None), &outcome);
        }
        Ok(())
    }

    /// Whether what exists is what was archived.
    async fn compared(&mut self, node: usize, line: &KeyLine) -> Result<Outcome, Fault> {
        let tells_expiry = self.redis.facts()?.tells_expiry;
        let mut pipeline = Pipeline::new();
        pipeline.cmd("TIME");
        pipeline.cmd(if tells_expiry { "PEXPIRETIME" } else { "PTTL" }).arg(&line.key);
        pipeline.cmd("DUMP").arg(&line.key);
        let answers = self.redis.nodes[node].ask(&pipeline, RESTORING).await?;
        let [time, Value::Int(expiry), Value::BulkString(payload)] = answers.as_slice() else {
            // It expired between two commands.
            return Ok(Outcome::Conflict(EXISTS));
        };
        let in_order = |payload: &[u8]| dump::content(payload).map(dump::Content::in_order);
        let is_same = *payload == line.payload
            || in_order(payload).is_some_and(|there| Some(there) == in_order(&line.payload));
        let there_ms = absolute(*expiry, time_ms(time).unwrap_or_default(), tells_expiry);
        let at_once = (there_ms == NEVER) == (line.expires_ms == NEVER)
            && (there_ms - line.expires_ms).abs() <= SLACK_MS;
        Ok(match (is_same, at_once) {
            (true, true) => Outcome::There,
            (true, false) => Outcome::Conflict(EXPIRES_OTHERWISE),
            (false, _) => Outcome::Conflict(EXISTS),
        })
    }

    /// Makes the content anew, on a server that does not read the payload of another version.
    async fn by_commands(&mut self, node: usize, line: &KeyLine) -> Result<Outcome, Fault> {
        if line.commands.is_empty() {
            return Ok(Outcome::Conflict(UNREADABLE));
        }
        let mut watch = Pipeline::new();
        watch.cmd("WATCH").arg(&line.key);
        watch.cmd("EXISTS").arg(&line.key);
        let answers = self.redis.nodes[node].ask(&watch, RESTORING).await?;
        if answers.get(1) != Some(&Value::Int(0)) {
            self.redis.nodes[node].one("UNWATCH", &[], RESTORING).await?;
            return self.compared(node, line).await;
        }
        let mut make = Pipeline::new();
        make.cmd("MULTI");
        for command in &line.commands {
            let mut parts = command.iter();
            let mut made = redis::Cmd::new();
            parts.by_ref().for_each(|part| {
                made.arg(part);
            });
            make.add_command(made);
        }
        if line.expires_ms != NEVER {
            make.cmd("PEXPIREAT").arg(&line.key).arg(line.expires_ms);
        }
        make.cmd("EXEC");
        let answers = self.redis.nodes[node].ask(&make, RESTORING).await?;
        Ok(match answers.last() {
            Some(Value::Array(_)) => Outcome::There,
            _ => Outcome::Conflict(EXISTS),
        })
    }

    async fn members(&mut self, node: usize, lines: Vec<MemberLine>, now_ms: i64) -> Result<(), Fault> {
        let is_expired = |line: &MemberLine| line.expires_ms != NEVER && line.expires_ms <= now_ms;
        let (expired, lines): (Vec<MemberLine>, Vec<MemberLine>) = lines.into_iter().partition(is_expired);
        for line in expired {
            self.tell(MEMBERS, (&line.key, Some(&line.member)), &Outcome::Expired);
        }
        let absent = self.absent(node, &lines).await?;
        let mut pipeline = Pipeline::with_capacity(lines.len());
        for line in &lines {
            match line.kind {
                MemberKind::Hash => pipeline.cmd("HSETNX").arg(&line.key).arg(&line.member).arg(&line.value),
                MemberKind::Set => pipeline.cmd("SADD").arg(&line.key).arg(&line.member),
                MemberKind::Zset => {
                    pipeline.cmd("ZADD").arg(&line.key).arg("NX").arg(&line.value).arg(&line.member)
                }
            };
        }
        // A key that went with its last entry expires when it would have.
        for (key, expires_ms) in &absent {
            pipeline.cmd("PEXPIREAT").arg(key).arg(expires_ms);
        }
        let answers = self.redis.nodes[node].send(&pipeline, RESTORING).await?;
        let mut present = Vec::new();
        for (line, answer) in lines.iter().zip(answers) {
            match answer {
                Value::ServerError(error) if error.code() == "WRONGTYPE" => {
                    self.tell(MEMBERS, (&line.key, Some(&line.member)), &Outcome::Conflict(OTHER_TYPE));
                }
                Value::ServerError(error) => {
                    return Err(faults::reply(&self.redis.nodes[node].location, &error, RESTORING));
                }
                Value::Int(0) if line.kind != MemberKind::Set => present.push(line),
                _ => self.tell(MEMBERS, (&line.key, Some(&line.member)), &Outcome::There),
            }
        }
        self.compare_members(node, &present).await
    }

    /// Keys with an expiry that do not exist: they come with their first entry.
    async fn absent(&mut self, node: usize, lines: &[MemberLine]) -> Result<HashMap<Vec<u8>, i64>, Fault> {
        let expiring = lines.iter().filter(|line| line.expires_ms != NEVER);
        let keys: BTreeSet<(&[u8], i64)> =
            expiring.map(|line| (line.key.as_slice(), line.expires_ms)).collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for (key, _) in &keys {
            pipeline.cmd("EXISTS").arg(*key);
        }
        let answers = self.redis.nodes[node].ask(&pipeline, RESTORING).await?;
        let absent = keys.into_iter().zip(answers).filter(|(_, answer)| *answer == Value::Int(0));
        Ok(absent.map(|((key, expires_ms), _)| (key.to_vec(), expires_ms)).collect())
    }

    async fn compare_members(&mut self, node: usize, lines: &[&MemberLine]) -> Result<(), Fault> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut pipeline = Pipeline::with_capacity(lines.len());
        for line in lines {
            let command = if line.kind == MemberKind::Hash { "HGET" } else { "ZSCORE" };
            pipeline.cmd(command).arg(&line.key).arg(&line.member);
        }
        let answers = self.redis.nodes[node].ask(&pipeline, RESTORING).await?;
        for (line, answer) in lines.iter().zip(answers) {
            let is_same = matches!(answer, Value::BulkString(value) if value == line.value);
            let outcome = if is_same { Outcome::There } else { Outcome::Conflict(OTHER_VALUE) };
            self.tell(MEMBERS, (&line.key, Some(&line.member)), &outcome);
        }
        Ok(())
    }
}

fn is_unreadable(details: Option<&str>) -> bool {
    details.is_some_and(|text| {
        text.contains("payload version or checksum") || text.to_ascii_lowercase().contains("bad data format")
    })
}
