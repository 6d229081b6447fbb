//! Removing what was archived, in that version and in no other.
//!
//! Keys that were watched since they were archived (`watch`) go by the hundred, if nobody touched one of them. Else, and
//! in a cluster, a small script compares and unlinks one key at a time, so that nobody can come in between. Where scripts
//! are forbidden, each key is watched while it is compared.
//!
//! Invariants
//! - a key whose payload or expiry is not the archived one stays;
//! - what is gone already is no error.

use super::Redis;
use super::archive::{Archived, NEVER};
use super::faults::{self, REMOVING};
use redis::{Pipeline, ServerError, Value};
use sha1::{Digest as _, Sha1};
use std::collections::VecDeque;
use std::fmt::Write as _;
use unseed_core::fault::Fault;
use unseed_core::port::derived::Cleared;
use unseed_core::port::progress::Progress;

/// Entries of one round trip: a tenth of a millisecond of the server's time for every twenty.
const CHUNK_ENTRIES: usize = 200;
/// Transactions whose outcome is not known when the next one is sent, where nobody has to wait for others.
const AHEAD: usize = 1;
/// Expiries that are told as time left are compared with this much slack.
pub(super) const SLACK_MS: i64 = 1_000;
const TRIES_MAX: u32 = 3;

/// Returns 0 where the key is gone, 1 where it was removed, 2 where it changed.
const KEY_SCRIPT: &str = "
local payload = redis.call('DUMP', KEYS[1])
if not payload then return 0 end
if redis.sha1hex(payload) ~= ARGV[1] then return 2 end
local wanted = tonumber(ARGV[2])
if ARGV[3] == '1' then
  if redis.call('PEXPIRETIME', KEYS[1]) ~= wanted then return 2 end
else
  local left = redis.call('PTTL', KEYS[1])
  if (left < 0) ~= (wanted < 0) then return 2 end
  if left >= 0 then
    local now = redis.call('TIME')
    if math.abs(now[1] * 1000 + now[2] / 1000 + left - wanted) > 1000 then return 2 end
  end
end
redis.call('UNLINK', KEYS[1])
return 1";

/// The same for an entry within a key.
const MEMBER_SCRIPT: &str = "
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'hash' then
  local value = redis.call('HGET', KEYS[1], ARGV[1])
  if not value then return 0 end
  if redis.sha1hex(value) ~= ARGV[2] then return 2 end
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
if kind == 'zset' then
  local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
  if not score then return 0 end
  if redis.sha1hex(score) ~= ARGV[2] then return 2 end
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
if kind == 'set' and ARGV[2] == redis.sha1hex('') then return redis.call('SREM', KEYS[1], ARGV[1]) end
return 0";

/// What became of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Gone,
    Removed,
    Changed,
}

impl Redis {
    /// See [`unseed_core::port::derived::DerivedStore::remove`].
    pub(super) async fn clear(&mut self, progress: &dyn Progress) -> Result<Cleared, Fault> {
        let archived = std::mem::take(&mut self.archived);
        let mut cleared = Cleared { gone: std::mem::take(&mut self.gone), ..Cleared::default() };
        let mut groups = archived.chunk_by(|a, b| (a.node, a.watcher) == (b.node, b.watcher));
        let ahead = if self.settings.pause_ms == 0 { AHEAD } else { 0 };
        let (mut sent, mut done) = (VecDeque::new(), 0_u64);
        loop {
            while sent.len() <= ahead
                && let Some(group) = groups.next()
            {
                sent.push_back((group, self.transaction(group)));
            }
            let Some((group, transaction)) = sent.pop_front() else { return Ok(cleared) };
            let is_done = match transaction {
                Some(transaction) => self.settled(transaction, &mut cleared).await?,
                None => false,
            };
            if !is_done {
                self.one_by_one(group, &mut cleared).await?;
            }
            done += u64::try_from(group.len()).unwrap_or(0);
            progress.update("removed entries", done, None);
            self.pause().await;
        }
    }

    /// Removes what is still as it was archived, each entry for itself.
    async fn one_by_one(&mut self, group: &[Archived], cleared: &mut Cleared) -> Result<(), Fault> {
        for (number, chunk) in group.chunks(CHUNK_ENTRIES).enumerate() {
            if number > 0 {
                self.pause().await;
            }
            let fates = if self.facts()?.runs_scripts {
                self.by_script(chunk).await?
            } else {
                self.by_watching(chunk).await?
            };
            for (archived, fate) in chunk.iter().zip(fates) {
                match fate {
                    Fate::Gone => cleared.gone += 1,
                    Fate::Changed => cleared.changed += 1,
                    Fate::Removed => {
                        let name = self.patterns.name(self.entry(archived.at).pattern);
                        *cleared.removed.entry(name.to_owned()).or_default() += 1;
                    }
                }
            }
        }
        Ok(())
    }

    async fn by_script(&mut self, chunk: &[Archived]) -> Result<Vec<Fate>, Fault> {
        let node = chunk[0].node;
        let tells_expiry = if self.facts()?.tells_expiry { "1" } else { "0" };
        let mut fates: Vec<Option<Fate>> = vec![None; chunk.len()];
        for _ in 0..TRIES_MAX {
            let waiting: Vec<usize> = (0..chunk.len()).filter(|n| fates[*n].is_none()).collect();
            if waiting.is_empty() {
                break;
            }
            let mut pipeline = Pipeline::with_capacity(waiting.len());
            for number in &waiting {
                let archived = &chunk[*number];
                let entry = self.entry(archived.at);
                match entry.member {
                    None => pipeline
                        .cmd("EVALSHA")
                        .arg(sha1_of(KEY_SCRIPT))
                        .arg(1)
                        .arg(entry.key)
                        .arg(hex(&archived.hash))
                        .arg(archived.expires_ms)
                        .arg(tells_expiry),
                    Some(member) => pipeline
                        .cmd("EVALSHA")
                        .arg(sha1_of(MEMBER_SCRIPT))
                        .arg(1)
                        .arg(entry.key)
                        .arg(member)
                        .arg(hex(&archived.hash)),
                };
            }
            let answers = self.nodes[node].send(&pipeline, REMOVING).await?;
            let mut is_unknown = false;
            for (number, answer) in waiting.into_iter().zip(answers) {
                match answer {
                    Value::Int(0) => fates[number] = Some(Fate::Gone),
                    Value::Int(1) => fates[number] = Some(Fate::Removed),
                    Value::Int(_) => fates[number] = Some(Fate::Changed),
                    Value::ServerError(error) if error.code() == "NOSCRIPT" => is_unknown = true,
                    Value::ServerError(error) => return Err(self.refused(node, &error)),
                    _ => return Err(self.not_understood("EVALSHA").state(REMOVING)),
                }
            }
            if is_unknown {
                self.load_scripts(node).await?;
            }
        }
        fates.into_iter().collect::<Option<Vec<Fate>>>().ok_or_else(|| {
            let message =
                format!("`{}` forgets scripts as soon as they are loaded", self.nodes[node].location);
            Fault::store(message).state(REMOVING).hint("see who runs SCRIPT FLUSH, then run `unseed resume`")
        })
    }

    async fn load_scripts(&mut self, node: usize) -> Result<(), Fault> {
        let mut pipeline = Pipeline::new();
        for script in [KEY_SCRIPT, MEMBER_SCRIPT] {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(script);
        }
        self.nodes[node].ask(&pipeline, REMOVING).await.map(drop)
    }

    fn refused(&self, node: usize, error: &ServerError) -> Fault {
        faults::reply(&self.nodes[node].location, error, REMOVING)
    }

    /// One entry at a time: watch it, compare it, remove it unless anybody touched it meanwhile.
    async fn by_watching(&mut self, chunk: &[Archived]) -> Result<Vec<Fate>, Fault> {
        let mut fates = Vec::with_capacity(chunk.len());
        for archived in chunk {
            let mut fate = None;
            for _ in 0..TRIES_MAX {
                fate = self.watched(archived).await?;
                if fate.is_some() {
                    break;
                }
            }
            // Somebody writes to it all the time.
            fates.push(fate.unwrap_or(Fate::Changed));
        }
        Ok(fates)
    }

    /// What became of the entry; none if somebody touched its key between our look and our removal.
    async fn watched(&mut self, archived: &Archived) -> Result<Option<Fate>, Fault> {
        let (key, member) = {
            let entry = self.entry(archived.at);
            (entry.key.to_vec(), entry.member.map(<[u8]>::to_vec))
        };
        let node = archived.node;
        let mut watch = Pipeline::new();
        watch.cmd("WATCH").arg(&key);
        watch.cmd("TYPE").arg(&key);
        let answers = self.nodes[node].ask(&watch, REMOVING).await?;
        let kind = match answers.get(1) {
            Some(Value::SimpleString(kind)) => kind.clone(),
            _ => String::new(),
        };
        let fate = match &member {
            None => self.compared_key(node, &key, archived).await?,
            Some(member) => self.compared_member(node, (&key, &kind), member, archived).await?,
        };
        let mut end = Pipeline::new();
        if fate == Fate::Removed {
            end.cmd("MULTI");
            match (&member, kind.as_str()) {
                (None, _) => end.cmd("UNLINK").arg(&key),
                (Some(member), "hash") => end.cmd("HDEL").arg(&key).arg(member),
                (Some(member), "zset") => end.cmd("ZREM").arg(&key).arg(member),
                (Some(member), _) => end.cmd("SREM").arg(&key).arg(member),
            };
            end.cmd("EXEC");
        } else {
            end.cmd("UNWATCH");
        }
        let answers = self.nodes[node].ask(&end, REMOVING).await?;
        Ok((answers.last() != Some(&Value::Nil)).then_some(fate))
    }

    /// `Removed` means: may be removed.
    async fn compared_key(&mut self, node: usize, key: &[u8], archived: &Archived) -> Result<Fate, Fault> {
        let tells_expiry = self.facts()?.tells_expiry;
        let mut pipeline = Pipeline::new();
        pipeline.cmd("TIME");
        pipeline.cmd(if tells_expiry { "PEXPIRETIME" } else { "PTTL" }).arg(key);
        pipeline.cmd("DUMP").arg(key);
        let answers = self.nodes[node].ask(&pipeline, REMOVING).await?;
        let [time, Value::Int(expiry), Value::BulkString(payload)] = answers.as_slice() else {
            return Ok(Fate::Gone);
        };
        let now_ms = super::archive::time_ms(time).unwrap_or_default();
        let is_same_expiry = match (*expiry, archived.expires_ms) {
            (..0, wanted) => wanted == NEVER,
            (_, NEVER) => false,
            (at, wanted) if tells_expiry => at == wanted,
            (left, wanted) => (now_ms + left - wanted).abs() <= SLACK_MS,
        };
        let is_same = Sha1::digest(payload).as_slice() == archived.hash && is_same_expiry;
        Ok(if is_same { Fate::Removed } else { Fate::Changed })
    }

    async fn compared_member(
        &mut self,
        node: usize,
        (key, kind): (&[u8], &str),
        member: &[u8],
        archived: &Archived,
    ) -> Result<Fate, Fault> {
        let command = match kind {
            "hash" => "HGET",
            "zset" => "ZSCORE",
            "set" => "SISMEMBER",
            _ => return Ok(Fate::Gone),
        };
        let mut pipeline = Pipeline::new();
        pipeline.cmd(command).arg(key).arg(member);
        let answers = self.nodes[node].ask(&pipeline, REMOVING).await?;
        Ok(match answers.first() {
            Some(Value::BulkString(value)) if Sha1::digest(value).as_slice() == archived.hash => {
                Fate::Removed
            }
            Some(Value::BulkString(_)) => Fate::Changed,
            Some(Value::Int(1)) => Fate::Removed,
            _ => Fate::Gone,
        })
    }
}

fn sha1_of(script: &str) -> String {
    hex(&Sha1::digest(script.as_bytes()).into())
}

fn hex(bytes: &[u8; 20]) -> String {
    let mut text = String::with_capacity(40);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}
