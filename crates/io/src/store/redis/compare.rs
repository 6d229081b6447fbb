//! Comparing what was archived with what is there, and removing it where it is the same.
//!
//! A small script compares and unlinks a few keys at a time, so that nobody can come in between. Where scripts are
//! forbidden, keys are watched while they are compared.
//!
//! Invariants
//! - a key whose payload or expiry is not the archived one stays;
//! - a transaction that the server gives up has removed nothing.

use super::Redis;
use super::archive::{Archived, NEVER};
use super::faults::{self, REMOVING, UNTOUCHED};
use super::{connect::Node, quiet};
use redis::{Pipeline, ServerError, Value};
use sha1::{Digest as _, Sha1};
use std::fmt::Write as _;
use unseed_core::fault::Fault;

/// Keys that are compared without anybody coming in between …
const KEYS_MAX: usize = 50;
/// … and bytes of their payloads, unless it is a single one: a fraction of a millisecond, either way.
const BYTES_MAX: u64 = 128 << 10;
/// Expiries that are told as time left are compared with this much slack.
pub(super) const SLACK_MS: i64 = 1_000;
const TRIES_MAX: u32 = 3;

/// Gets keys, and whether expiries are told exactly, then for each key the hash of its payload and its expiry. Answers
/// with a digit for each: 0 where it is gone, 1 where it was removed, 2 where it changed.
const KEYS_SCRIPT: &str = "
local function is_same_expiry(key, wanted)
  if ARGV[1] == '1' then return redis.call('PEXPIRETIME', key) == wanted end
  local left = redis.call('PTTL', key)
  if (left < 0) ~= (wanted < 0) then return false end
  if left < 0 then return true end
  local now = redis.call('TIME')
  return math.abs(now[1] * 1000 + now[2] / 1000 + left - wanted) <= 1000
end
local fates, same = {}, {}
for n, key in ipairs(KEYS) do
  local payload = redis.call('DUMP', key)
  if not payload then
    fates[n] = '0'
  elseif redis.sha1hex(payload) == ARGV[2 * n] and is_same_expiry(key, tonumber(ARGV[2 * n + 1])) then
    fates[n] = '1'
    same[#same + 1] = key
  else
    fates[n] = '2'
  end
end
if #same > 0 then redis.call('UNLINK', unpack(same)) end
return table.concat(fates)";

/// The same for an entry within a key.
const MEMBER_SCRIPT: &str = "
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'hash' then
  local value = redis.call('HGET', KEYS[1], ARGV[1])
  if not value then return '0' end
  if redis.sha1hex(value) ~= ARGV[2] then return '2' end
  return tostring(redis.call('HDEL', KEYS[1], ARGV[1]))
end
if kind == 'zset' then
  local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
  if not score then return '0' end
  if redis.sha1hex(score) ~= ARGV[2] then return '2' end
  return tostring(redis.call('ZREM', KEYS[1], ARGV[1]))
end
if kind == 'set' and ARGV[2] == redis.sha1hex('') then return tostring(redis.call('SREM', KEYS[1], ARGV[1])) end
return '0'";

/// What became of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Gone,
    Removed,
    Changed,
}

impl Redis {
    /// Removes what is still as it was archived; what became of each entry.
    pub(super) async fn compared(&mut self, chunk: &[Archived]) -> Result<Vec<Fate>, Fault> {
        let mut groups = Vec::new();
        let mut rest = chunk;
        while !rest.is_empty() {
            let (group, after) = rest.split_at(self.together(rest));
            groups.push(group);
            rest = after;
        }
        if self.facts()?.runs_scripts {
            self.by_script(&groups).await
        } else {
            self.by_watching(&groups).await
        }
    }

    /// How many of these entries may be compared together: in a cluster, what does so is bound to one slot.
    fn together(&self, entries: &[Archived]) -> usize {
        let is_cluster = self.facts().is_ok_and(|facts| facts.is_cluster);
        let mut bytes = 0;
        let within = entries.iter().take(KEYS_MAX).take_while(|archived| {
            bytes += archived.payload_bytes;
            bytes <= BYTES_MAX && !is_cluster && self.entry(archived.at).member.is_none()
        });
        within.count().max(1)
    }

    async fn by_script(&mut self, groups: &[&[Archived]]) -> Result<Vec<Fate>, Fault> {
        let node = groups.first().map_or(0, |group| group[0].node);
        let mut fates: Vec<Option<Vec<Fate>>> = vec![None; groups.len()];
        for _ in 0..TRIES_MAX {
            let waiting: Vec<usize> = (0..groups.len()).filter(|n| fates[*n].is_none()).collect();
            if waiting.is_empty() {
                break;
            }
            let mut pipeline = Pipeline::with_capacity(waiting.len());
            for number in &waiting {
                self.script(&mut pipeline, groups[*number])?;
            }
            let answers = self.nodes[node].send(&pipeline, REMOVING).await?;
            let mut is_unknown = false;
            for (number, answer) in waiting.into_iter().zip(answers) {
                match answer {
                    Value::BulkString(digits) if digits.len() == groups[number].len() => {
                        fates[number] = Some(digits.into_iter().map(fate).collect());
                    }
                    Value::ServerError(error) if error.code() == "NOSCRIPT" => is_unknown = true,
                    Value::ServerError(error) => return Err(self.refused(node, &error)),
                    _ => return Err(self.not_understood("EVALSHA").state(REMOVING)),
                }
            }
            if is_unknown {
                load_scripts(&mut self.nodes[node]).await?;
            }
        }
        let fates = fates.into_iter().collect::<Option<Vec<Vec<Fate>>>>().ok_or_else(|| {
            let message =
                format!("`{}` forgets scripts as soon as they are loaded", self.nodes[node].location);
            Fault::store(message).state(REMOVING).hint("see who runs SCRIPT FLUSH, then run `unseed resume`")
        })?;
        Ok(fates.concat())
    }

    fn script(&self, pipeline: &mut Pipeline, group: &[Archived]) -> Result<(), Fault> {
        let first = self.entry(group[0].at);
        if let Some(member) = first.member {
            let script = pipeline.cmd("EVALSHA").arg(sha1_of(MEMBER_SCRIPT)).arg(1).arg(first.key);
            script.arg(member).arg(hex(&group[0].hash));
            return Ok(());
        }
        let script = pipeline.cmd("EVALSHA").arg(sha1_of(KEYS_SCRIPT)).arg(group.len());
        for archived in group {
            script.arg(self.entry(archived.at).key);
        }
        script.arg(if self.facts()?.tells_expiry { "1" } else { "0" });
        for archived in group {
            script.arg(hex(&archived.hash)).arg(archived.expires_ms);
        }
        Ok(())
    }

    fn refused(&self, node: usize, error: &ServerError) -> Fault {
        faults::reply(&self.nodes[node].location, error, REMOVING)
    }

    /// Watches a few keys at a time, compares them, and removes those that are the same unless anybody touched one meanwhile.
    async fn by_watching(&mut self, groups: &[&[Archived]]) -> Result<Vec<Fate>, Fault> {
        let mut fates = Vec::new();
        for group in groups {
            if let Some(some) = self.tried(group).await? {
                fates.extend(some);
                continue;
            }
            // Somebody writes to one of them all the time.
            for archived in *group {
                let alone = self.tried(std::slice::from_ref(archived)).await?;
                fates.extend(alone.unwrap_or_else(|| vec![Fate::Changed]));
            }
        }
        Ok(fates)
    }

    async fn tried(&mut self, group: &[Archived]) -> Result<Option<Vec<Fate>>, Fault> {
        for _ in 0..TRIES_MAX {
            let fates = self.watched(group).await?;
            if fates.is_some() {
                return Ok(fates);
            }
        }
        Ok(None)
    }

    /// What became of the entries; none if somebody touched one of their keys between our look and our removal.
    async fn watched(&mut self, group: &[Archived]) -> Result<Option<Vec<Fate>>, Fault> {
        let keys: Vec<Vec<u8>> = group.iter().map(|archived| self.entry(archived.at).key.to_vec()).collect();
        let member = self.entry(group[0].at).member.map(<[u8]>::to_vec);
        let node = group[0].node;
        let mut watch = Pipeline::new();
        watch.cmd("WATCH").arg(&keys);
        self.nodes[node].ask(&watch, REMOVING).await?;
        let mut end = Pipeline::new();
        end.cmd("MULTI");
        let fates = match member {
            None => self.compared_keys(&keys, group, &mut end).await?,
            Some(member) => vec![self.compared_member((&keys[0], &member), &group[0], &mut end).await?],
        };
        if fates.contains(&Fate::Removed) {
            end.cmd("EXEC");
        } else {
            end = Pipeline::new();
            end.cmd("UNWATCH");
        }
        let answers = self.nodes[node].ask(&end, REMOVING).await?;
        Ok((answers.last() != Some(&Value::Nil)).then_some(fates))
    }

    /// Puts the removal of those that are the same at the end of the transaction.
    async fn compared_keys(
        &mut self,
        keys: &[Vec<u8>],
        group: &[Archived],
        end: &mut Pipeline,
    ) -> Result<Vec<Fate>, Fault> {
        let tells_expiry = self.facts()?.tells_expiry;
        let mut pipeline = Pipeline::with_capacity(keys.len() * 2 + 1);
        pipeline.cmd("TIME");
        for key in keys {
            pipeline.cmd(if tells_expiry { "PEXPIRETIME" } else { "PTTL" }).arg(key);
            pipeline.cmd("DUMP").arg(key);
        }
        let mut answers = self.nodes[group[0].node].ask(&pipeline, REMOVING).await?.into_iter();
        let now_ms = super::archive::time_ms(&answers.next().unwrap_or_default()).unwrap_or_default();
        let is_same_expiry = |expiry: i64, wanted: i64| match (expiry, wanted) {
            (..0, wanted) => wanted == NEVER,
            (_, NEVER) => false,
            (at, wanted) if tells_expiry => at == wanted,
            (left, wanted) => (now_ms + left - wanted).abs() <= SLACK_MS,
        };
        let (mut fates, mut same) = (Vec::with_capacity(keys.len()), Vec::new());
        for (key, archived) in keys.iter().zip(group) {
            fates.push(match (answers.next(), answers.next()) {
                (Some(Value::Int(expiry)), Some(Value::BulkString(payload))) => {
                    let is_same = Sha1::digest(&payload).as_slice() == archived.hash;
                    if is_same && is_same_expiry(expiry, archived.expires_ms) {
                        same.push(key);
                        Fate::Removed
                    } else {
                        Fate::Changed
                    }
                }
                _ => Fate::Gone,
            });
        }
        if !same.is_empty() {
            end.cmd("UNLINK").arg(&same);
        }
        Ok(fates)
    }

    /// Puts the removal of the entry at the end of the transaction.
    async fn compared_member(
        &mut self,
        (key, member): (&[u8], &[u8]),
        archived: &Archived,
        end: &mut Pipeline,
    ) -> Result<Fate, Fault> {
        let node = archived.node;
        let kind = self.kinds(&[archived.at]).await?.pop().unwrap_or_default();
        let (look, removal) = match kind.as_str() {
            "hash" => ("HGET", "HDEL"),
            "zset" => ("ZSCORE", "ZREM"),
            "set" => ("SISMEMBER", "SREM"),
            _ => return Ok(Fate::Gone),
        };
        let mut pipeline = Pipeline::new();
        pipeline.cmd(look).arg(key).arg(member);
        let answers = self.nodes[node].ask(&pipeline, REMOVING).await?;
        end.cmd(removal).arg(key).arg(member);
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

fn fate(digit: u8) -> Fate {
    match digit {
        b'0' => Fate::Gone,
        b'1' => Fate::Removed,
        _ => Fate::Changed,
    }
}

async fn load_scripts(node: &mut Node) -> Result<(), Fault> {
    let mut pipeline = Pipeline::new();
    for script in [KEYS_SCRIPT, MEMBER_SCRIPT, quiet::SCRIPT] {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(script);
    }
    node.ask(&pipeline, REMOVING).await.map(drop)
}

/// Whether this user may watch keys and open transactions.
pub(super) async fn may_watch(node: &mut Node) -> Result<bool, Fault> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("UNWATCH");
    pipeline.cmd("MULTI");
    pipeline.cmd("DISCARD");
    let answers = node.send(&pipeline, UNTOUCHED).await?;
    // WATCH cannot be asked for without a key that may be touched; the three are granted together.
    Ok(!answers.iter().any(|answer| matches!(answer, Value::ServerError(_))))
}

pub(super) fn sha1_of(script: &str) -> String {
    hex(&Sha1::digest(script.as_bytes()).into())
}

fn hex(bytes: &[u8; 20]) -> String {
    let mut text = String::with_capacity(40);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}
