//! Writing found entries to the archive: a line each, with all that is needed to put it back.
//!
//! Whole keys: key, type, when it expires (milliseconds since 1970, or nothing), the payload of `DUMP`, and the commands
//! that make the same content on any server (several are separated by ` | `). Entries within keys: key, type, when the
//! whole key expires, entry, and its value or score. Texts stand in quotes, as `redis-cli` reads them.
//!
//! Invariants
//! - what is held in memory is a few megabytes, or one key where that is larger;
//! - of each line, `remove` knows the hash of the payload and the expiry: the version;
//! - whether anybody writes is looked at before the first key is read.

use super::Redis;
use super::ask::{Asking, Manner, Question, Told};
use super::dump::{self, Content};
use super::faults::{self, UNTOUCHED};
use super::found::{Entry, Position};
use super::text::{escape, quote};
use redis::{Pipeline, Value};
use sha1::{Digest as _, Sha1};
use unseed_core::fault::{Category, Fault};
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{ArchiveSink, SectionHead, SectionKind};

/// Names of sections, and of their columns.
/// What stands before them.
const NAMESPACE: &str = "redis";
pub(super) const KEYS: &str = "keys";
pub(super) const MEMBERS: &str = "members";
pub(super) const KEY_COLUMNS: [&str; 5] = ["key", "type", "expires_ms", "dump", "commands"];
pub(super) const MEMBER_COLUMNS: [&str; 5] = ["key", "type", "expires_ms", "member", "value"];

/// Entries of one call at most: what waits for `remove` is kept in memory.
const ENTRIES_MAX: u64 = 32_000;
/// Entries within keys of one round trip …
pub(super) const CHUNK_ENTRIES: usize = 500;
/// … and whole keys: few enough that the server finds in its caches what it was asked about a moment before.
const CHUNK_KEYS: usize = 128;
/// Payloads beyond this have no commands beside them: those would need as much again, several times.
const COMMANDS_BYTES_MAX: usize = 1 << 20;
/// Elements that one command adds.
const ELEMENTS_PER_COMMAND: usize = 500;
/// Appended text is handed on in pieces of this size.
const PIECE_BYTES: usize = 1 << 18;

/// Never expires.
pub(super) const NEVER: i64 = -1;

/// What was archived: where the entry stands, and in which version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Archived {
    pub(super) at: Position,
    pub(super) node: usize,
    /// SHA-1 of the payload, or of the value of an entry within a key.
    pub(super) hash: [u8; 20],
    /// Milliseconds since 1970.
    pub(super) expires_ms: i64,
    /// Bytes of the payload.
    pub(super) payload_bytes: u64,
}

/// Entries of one node and one kind, and the place behind them.
type Chunk = (Vec<Position>, Position);

impl Redis {
    /// See [`unseed_core::port::derived::DerivedStore::archive`].
    pub(super) async fn write(
        &mut self,
        entries_max: u64,
        sink: &mut dyn ArchiveSink,
        progress: &dyn Progress,
    ) -> Result<u64, Fault> {
        self.archived.clear();
        self.seen = self.look().await?;
        let entries_max = entries_max.min(ENTRIES_MAX);
        let mut out = Out { sink, text: Vec::new(), rows: 0, open: None };
        while out.rows < entries_max {
            let wanted = usize::try_from(entries_max - out.rows).unwrap_or(usize::MAX);
            // What is only counted needs no order.
            self.entries.arrange();
            let (chunk, behind) = self.chunk(self.position, wanted.min(CHUNK_ENTRIES));
            let Some(first) = chunk.first() else {
                if out.rows == 0 && self.refill(progress).await? {
                    continue;
                }
                break;
            };
            let is_member = self.entry(*first).member.is_some();
            // One section holds one kind.
            if out.open.is_some_and(|open| open != is_member) {
                break;
            }
            if is_member {
                self.seen = None;
                self.members(&chunk, &mut out).await?;
                self.position = behind;
                progress.update("archived entries", out.rows, None);
                self.pause().await;
            } else {
                self.keys(wanted, &mut out, progress).await?;
            }
        }
        out.end()
    }

    /// The next found entries of one node and one kind, and the place behind them.
    fn chunk(&self, mut position: Position, wanted: usize) -> Chunk {
        let mut chunk = Vec::new();
        let mut first: Option<(usize, bool)> = None;
        while let Some((entry, next)) = self.entries.next(position).filter(|_| chunk.len() < wanted) {
            let kind = (entry.node, entry.member.is_some());
            if *first.get_or_insert(kind) != kind {
                break;
            }
            chunk.push(position);
            position = next;
        }
        (chunk, position)
    }

    /// The entry at a position that is known to have one.
    pub(super) fn entry(&self, at: Position) -> Entry<'_> {
        self.entries.next(at).expect("an entry was read there before").0
    }

    /// Archives the next whole keys, at most so many: it asks for the next ones while these are written.
    async fn keys(&mut self, wanted: usize, out: &mut Out<'_>, progress: &dyn Progress) -> Result<(), Fault> {
        let (chunks, mut asking) = self.asked(wanted)?;
        for (chunk, behind) in chunks {
            let mut rest = chunk.as_slice();
            while !rest.is_empty() {
                let told = asking.next().await?;
                let (part, after) = rest.split_at(told.len().min(rest.len()));
                for (at, told) in part.iter().zip(told) {
                    let Some(told) = told else {
                        self.gone += 1;
                        continue;
                    };
                    let entry = self.entry(*at);
                    out.key(entry.key, &told, self.settings.portable)?;
                    let (node, hash) = (entry.node, Sha1::digest(&told.payload).into());
                    let payload_bytes = u64::try_from(told.payload.len()).unwrap_or(u64::MAX);
                    let expires_ms = told.expires_ms;
                    self.archived.push(Archived { at: *at, node, hash, expires_ms, payload_bytes });
                }
                rest = after;
            }
            self.position = behind;
            progress.update("archived entries", out.rows, None);
        }
        Ok(())
    }

    /// Begins to ask for the next whole keys, and which they are.
    fn asked(&self, wanted: usize) -> Result<(Vec<Chunk>, Asking), Fault> {
        let (mut chunks, mut left, mut from) = (Vec::<Chunk>::new(), wanted, self.position);
        loop {
            let (chunk, behind) = self.chunk(from, left.min(CHUNK_KEYS));
            if chunk.first().is_none_or(|at| self.entry(*at).member.is_some()) {
                break;
            }
            (left, from) = (left - chunk.len(), behind);
            chunks.push((chunk, behind));
        }
        let questions = chunks.iter().map(|(chunk, _)| Question {
            node: self.nodes[self.entry(chunk[0]).node].clone(),
            keys: chunk.iter().map(|at| self.entry(*at).key.to_vec()).collect(),
        });
        let (facts, pause_ms) = (self.facts()?, self.settings.pause_ms);
        let manner = Manner { tells_size: facts.tells_size, tells_expiry: facts.tells_expiry, pause_ms };
        let asking = Asking::begin(questions.collect(), manner);
        Ok((chunks, asking))
    }

    async fn members(&mut self, chunk: &[Position], out: &mut Out<'_>) -> Result<(), Fault> {
        let kinds = self.kinds(chunk).await?;
        let tells_expiry = self.facts()?.tells_expiry;
        let mut pipeline = Pipeline::with_capacity(chunk.len() * 2 + 1);
        pipeline.cmd("TIME");
        for (at, kind) in chunk.iter().zip(&kinds) {
            let entry = self.entry(*at);
            let member = entry.member.unwrap_or_default();
            pipeline.cmd(if tells_expiry { "PEXPIRETIME" } else { "PTTL" }).arg(entry.key);
            match kind.as_str() {
                "hash" => pipeline.cmd("HGET").arg(entry.key).arg(member),
                "zset" => pipeline.cmd("ZSCORE").arg(entry.key).arg(member),
                "set" => pipeline.cmd("SISMEMBER").arg(entry.key).arg(member),
                // It is gone, or something else by now: nothing that was found is there.
                _ => pipeline.cmd("EXISTS").arg(""),
            };
        }
        let node = self.entry(chunk[0]).node;
        let mut answers = self.nodes[node].send(&pipeline, UNTOUCHED).await?.into_iter();
        let now_ms =
            time_ms(&answers.next().unwrap_or_default()).ok_or_else(|| self.not_understood("TIME"))?;
        for (at, kind) in chunk.iter().zip(&kinds) {
            let (expiry, answer) = (answers.next().unwrap_or_default(), answers.next().unwrap_or_default());
            let expires_ms = match expiry {
                Value::Int(expiry) => absolute(expiry, now_ms, tells_expiry),
                _ => NEVER,
            };
            let value = match (kind.as_str(), answer) {
                ("hash" | "zset", Value::BulkString(value)) => value,
                ("set", Value::Int(1)) => Vec::new(),
                ("hash" | "zset" | "set", Value::ServerError(error)) if error.code() != "WRONGTYPE" => {
                    return Err(faults::reply(&self.nodes[node].location, &error, UNTOUCHED));
                }
                _ => {
                    self.gone += 1;
                    continue;
                }
            };
            let hash = Sha1::digest(&value).into();
            let payload_bytes = u64::try_from(value.len()).unwrap_or(u64::MAX);
            self.archived.push(Archived { at: *at, node, hash, expires_ms: NEVER, payload_bytes });
            let entry = self.entry(*at);
            let member = entry.member.unwrap_or_default();
            out.member((entry.key, kind, expires_ms), member, &value)?;
        }
        Ok(())
    }

    /// The types of the keys, as words.
    pub(super) async fn kinds(&mut self, chunk: &[Position]) -> Result<Vec<String>, Fault> {
        let mut pipeline = Pipeline::with_capacity(chunk.len());
        for at in chunk {
            pipeline.cmd("TYPE").arg(self.entry(*at).key);
        }
        let node = self.entry(chunk[0]).node;
        let answers = self.nodes[node].ask(&pipeline, UNTOUCHED).await?;
        let word = |answer| match answer {
            Value::SimpleString(word) => word,
            _ => String::new(),
        };
        Ok(answers.into_iter().map(word).collect())
    }

    pub(super) fn not_understood(&self, command: &str) -> Fault {
        faults::not_understood(&self.target.location, command)
    }
}

/// When a key expires, from what PEXPIRETIME or PTTL answered.
pub(super) fn absolute(answer: i64, now_ms: i64, tells_expiry: bool) -> i64 {
    match answer {
        ..0 => NEVER,
        at if tells_expiry => at,
        left => now_ms + left,
    }
}

/// Seconds and microseconds, as TIME tells them.
pub(super) fn time_ms(answer: &Value) -> Option<i64> {
    let number = |value: &Value| match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse::<i64>().ok(),
        Value::Int(number) => Some(*number),
        _ => None,
    };
    match answer.as_sequence()? {
        [seconds, micros] => Some(number(seconds)? * 1000 + number(micros)? / 1000),
        _ => None,
    }
}

/// Lines on their way to a section.
struct Out<'a> {
    sink: &'a mut dyn ArchiveSink,
    text: Vec<u8>,
    rows: u64,
    /// Set once a section was begun: whether it holds entries within keys.
    open: Option<bool>,
}

impl Out<'_> {
    fn begin(&mut self, is_member: bool) -> Result<(), Fault> {
        if self.open.is_some() {
            return Ok(());
        }
        let (table, columns, identity_columns) = if is_member {
            (MEMBERS, MEMBER_COLUMNS.as_slice(), 4)
        } else {
            (KEYS, KEY_COLUMNS.as_slice(), 1)
        };
        self.open = Some(is_member);
        self.sink.begin(SectionHead {
            kind: SectionKind::Rows,
            namespace: NAMESPACE.to_owned(),
            table: table.to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            identity_columns,
        })
    }

    fn key(&mut self, key: &[u8], told: &Told, portable: bool) -> Result<(), Fault> {
        self.begin(false)?;
        let kind = dump::kind(&told.payload).ok_or_else(|| unknown_format(key))?;
        quote(&mut self.text, key);
        self.text.push(b'\t');
        self.text.extend_from_slice(kind.name().as_bytes());
        self.expiry(told.expires_ms);
        self.text.push(b'"');
        for piece in told.payload.chunks(PIECE_BYTES) {
            escape(&mut self.text, piece);
            self.flush()?;
        }
        self.text.extend_from_slice(b"\"\t");
        if portable
            && told.payload.len() <= COMMANDS_BYTES_MAX
            && let Some(content) = dump::content(&told.payload)
        {
            commands(&mut self.text, key, &content);
        }
        self.line()
    }

    fn expiry(&mut self, expires_ms: i64) {
        self.text.push(b'\t');
        if expires_ms != NEVER {
            self.text.extend_from_slice(expires_ms.to_string().as_bytes());
        }
        self.text.push(b'\t');
    }

    fn member(
        &mut self,
        (key, kind, expires_ms): (&[u8], &str, i64),
        member: &[u8],
        value: &[u8],
    ) -> Result<(), Fault> {
        self.begin(true)?;
        quote(&mut self.text, key);
        self.text.push(b'\t');
        self.text.extend_from_slice(kind.as_bytes());
        self.expiry(expires_ms);
        quote(&mut self.text, member);
        self.text.push(b'\t');
        quote(&mut self.text, value);
        self.line()
    }

    fn line(&mut self) -> Result<(), Fault> {
        self.text.push(b'\n');
        self.rows += 1;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Fault> {
        if self.text.len() >= PIECE_BYTES {
            self.sink.write(&self.text)?;
            self.text.clear();
        }
        Ok(())
    }

    fn end(self) -> Result<u64, Fault> {
        if self.open.is_some() {
            self.sink.write(&self.text)?;
            self.sink.end(self.rows)?;
        }
        Ok(self.rows)
    }
}

fn unknown_format(key: &[u8]) -> Fault {
    let shown = super::text::shown(key);
    Fault::new(
        Category::Refused,
        format!("the key `{shown}` is of a type that this version of unseed does not know"),
    )
    .hint("use a later version of unseed")
}

/// The commands that make this content under this key.
fn commands(text: &mut Vec<u8>, key: &[u8], content: &Content) {
    let mut command = |name: &[u8], arguments: &mut dyn Iterator<Item = &[u8]>| {
        if text.last() == Some(&b'"') {
            text.extend_from_slice(b" | ");
        }
        quote(text, name);
        text.push(b' ');
        quote(text, key);
        for argument in arguments {
            text.push(b' ');
            quote(text, argument);
        }
    };
    match content {
        Content::String(value) => command(b"SET", &mut std::iter::once(value.as_slice())),
        Content::List(elements) => elements
            .chunks(ELEMENTS_PER_COMMAND)
            .for_each(|some| command(b"RPUSH", &mut some.iter().map(Vec::as_slice))),
        Content::Set(members) => members
            .chunks(ELEMENTS_PER_COMMAND)
            .for_each(|some| command(b"SADD", &mut some.iter().map(Vec::as_slice))),
        Content::Zset(pairs) => pairs.chunks(ELEMENTS_PER_COMMAND).for_each(|some| {
            command(
                b"ZADD",
                &mut some.iter().flat_map(|(member, score)| [score.as_slice(), member.as_slice()]),
            );
        }),
        Content::Hash(pairs) => pairs.chunks(ELEMENTS_PER_COMMAND).for_each(|some| {
            command(
                b"HSET",
                &mut some.iter().flat_map(|(field, value)| [field.as_slice(), value.as_slice()]),
            );
        }),
    }
}
