//! Whether anybody wrote to a server since it was looked at.
//!
//! A server counts what is written to it, as long as it is not saved (`rdb_changes_since_last_save`). The count is read
//! before keys are read for the archive. To remove them, a small script reads it again and unlinks many keys at once,
//! without anybody coming in between, if it is still the same: then no key has changed, whoever may write, and by whatever
//! command. The script answers with the count after its own removals, which the next one has to find.
//!
//! What would make the count of another moment look the same is told beside it, and has to be the same too: a save takes
//! off what it saved, a failover or a restart begins anew. The time of a save has whole seconds, so a look is not used
//! until two of them have passed. Keys that expire or are evicted are not counted; they are gone. What modules write need
//! not be counted, so that a server with modules is never taken to be quiet.
//!
//! Invariants
//! - a script that finds anything else than it was told to expect has removed nothing;
//! - each script is sent once the answer to the one before is known: what a removal counts for is never guessed.

use super::Redis;
use super::archive::Archived;
use super::compare::sha1_of;
use super::connect::Node;
use super::faults::{self, REMOVING, UNTOUCHED};
use super::wire::{self, Head, Wire};
use redis::{Cmd, Pipeline, Value};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use unseed_core::fault::Fault;

/// Keys that one script unlinks: 1 or 2 ms of the server's time …
pub(super) const KEYS_MAX: usize = 1_000;
/// … and a fraction of one, where others must not wait.
pub(super) const KEYS_MAX_PAUSED: usize = 250;

/// Gets keys, what the server has to be like (count, and what is beside it), and where the keys of each pattern end.
/// Answers with what the server is like (nothing beside the count where that says nothing), and with how many keys of each
/// pattern it unlinked, unless somebody wrote. Up to some thirty arguments a call, a server uses the same memory again.
pub(super) const SCRIPT: &str = "
local function look()
  local saves = redis.call('INFO', 'persistence')
  local count = string.match(saves, 'rdb_changes_since_last_save:(%d+)')
  local saved = string.match(saves, 'rdb_last_save_time:(%d+)')
  local roles = redis.call('INFO', 'replication')
  local lineage = string.match(roles, 'master_replid:(%x+)')
  local is_primary = string.find(roles, 'role:master', 1, true)
  local has_modules = string.find(redis.call('INFO', 'modules'), 'module:', 1, true)
  if not count or not saved or not lineage or not is_primary or has_modules then return '0', '' end
  if redis.call('TIME')[1] - saved < 2 then return '0', '' end
  local saves_done = string.match(saves, 'rdb_saves:(%d+)') or ''
  return count, saved .. ' ' .. saves_done .. ' ' .. lineage
end
local count, beside = look()
if beside == '' or count ~= ARGV[1] or beside ~= ARGV[2] then return {count, beside} end
local answer, from = {'', ''}, 1
for n = 3, #ARGV do
  local to, removed = tonumber(ARGV[n]), 0
  for some = from, to, 30 do
    removed = removed + redis.call('UNLINK', unpack(KEYS, some, math.min(some + 29, to)))
  end
  answer[n], from = removed, to + 1
end
answer[1], answer[2] = look()
return answer";

/// Groups that are written out, the one on its way among them.
const GROUPS_WAITING: usize = 2;

/// What a server was like at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    count: Vec<u8>,
    beside: Vec<u8>,
}

impl Look {
    /// Whether nothing but one change was counted since.
    pub(super) fn is_next_to(&self, before: &Self) -> bool {
        let number = |look: &Self| std::str::from_utf8(&look.count).ok()?.parse::<u64>().ok();
        let next = number(before).and_then(|count| count.checked_add(1));
        self.beside == before.beside && next.is_some() && next == number(self)
    }
}

/// Keys that one script is to remove, written out.
struct Asked {
    written: Written,
    /// Where the keys of each pattern end.
    ends: Vec<u64>,
}

/// All of a call but what the server has to be like, and what stands behind it.
enum Written {
    Wire(Vec<u8>),
    Driver(Cmd),
}

/// On which way the scripts are sent.
enum Way {
    Wire(Wire),
    Driver(Node),
}

/// How many keys of each pattern were removed; none, and nothing was removed, if somebody wrote, or if the server cannot say.
type Answer = Result<Option<Vec<u64>>, Fault>;

/// A group whose answer is not known, and how many keys of each pattern it has, in the order in which they are named.
type Waiting<'a> = (&'a [Archived], Vec<(usize, u64)>);

/// A group, and of each pattern how many keys of it were removed, and how many it has.
pub(super) type Unlinked<'a> = (&'a [Archived], Vec<(usize, u64, u64)>);

/// Removals of groups of keys, one after the other, on a task of its own: none of them waits for whoever writes out the
/// next ones and counts what was removed. The task ends with the first one that removed nothing.
pub(super) struct Unlinking<'a> {
    asking: Sender<Asked>,
    answers: Receiver<Answer>,
    under_way: VecDeque<Waiting<'a>>,
    is_wired: bool,
}

impl Redis {
    /// What the only server is like now; none where that cannot be told, or says nothing.
    pub(super) async fn look(&mut self) -> Result<Option<Look>, Fault> {
        let facts = self.facts()?;
        if facts.is_cluster || !facts.runs_scripts {
            return Ok(None);
        }
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(sha1_of(SCRIPT)).arg(0).arg("").arg("");
        let node = &mut self.nodes[0];
        let mut answer = node.run(cmd.clone(), UNTOUCHED).await?;
        if matches!(&answer, Value::ServerError(error) if error.code() == "NOSCRIPT") {
            node.one("SCRIPT", &["LOAD", SCRIPT], UNTOUCHED).await?;
            answer = node.run(cmd, UNTOUCHED).await?;
        }
        Ok(understood(answer).map(|(look, _)| look).filter(|look| !look.beside.is_empty()))
    }

    /// Begins to remove keys, as long as the server is as it was at this look.
    pub(super) async fn unlinking<'a>(&self, look: Look) -> Unlinking<'a> {
        let (asking, asked) = channel(GROUPS_WAITING);
        let (answering, answers) = channel(GROUPS_WAITING);
        let mut node = self.nodes[0].clone();
        let way = match Wire::beside(&mut node, REMOVING).await {
            Some(wire) => Way::Wire(wire),
            None => Way::Driver(node),
        };
        let is_wired = matches!(way, Way::Wire(_));
        tokio::spawn(unlink(way, (look, self.settings.pause_ms), asked, answering));
        Unlinking { asking, answers, under_way: VecDeque::new(), is_wired }
    }

    /// Writes out the removal of these keys, to be begun behind those that were written out before.
    pub(super) async fn unlink<'a>(&self, unlinking: &mut Unlinking<'a>, group: &'a [Archived]) {
        let mut by_pattern: BTreeMap<usize, Vec<&[u8]>> = BTreeMap::new();
        for archived in group {
            let entry = self.entry(archived.at);
            assert!(entry.member.is_none(), "only whole keys are unlinked");
            by_pattern.entry(entry.pattern).or_default().push(entry.key);
        }
        let (mut counts, mut ends, mut end) = (Vec::new(), Vec::new(), 0);
        for (pattern, keys) in &by_pattern {
            let count = u64::try_from(keys.len()).unwrap_or(0);
            end += count;
            counts.push((*pattern, count));
            ends.push(end);
        }
        let written =
            written(by_pattern.into_values().flatten(), (group.len(), ends.len()), unlinking.is_wired);
        // Whoever does not take it has said why, or will.
        drop(unlinking.asking.send(Asked { written, ends }).await);
        unlinking.under_way.push_back((group, counts));
    }
}

/// Removes what is asked for, each group only once it is known what the server was like after the one before.
async fn unlink(
    mut way: Way,
    (mut look, pause_ms): (Look, u64),
    mut asked: Receiver<Asked>,
    answering: Sender<Answer>,
) {
    while let Some(asked) = asked.recv().await {
        // Nobody wants to know any more.
        if answering.is_closed() {
            return;
        }
        let answer = way.run(asked, &look).await.map(|answer| {
            let (after, removed) = answer.filter(|(_, removed)| !removed.is_empty())?;
            look = after;
            Some(removed)
        });
        let is_over = !matches!(answer, Ok(Some(_)));
        if answering.send(answer).await.is_err() || is_over {
            return;
        }
        if pause_ms > 0 {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }
}

/// A call up to its keys, so many, and how many numbers follow at its end.
fn written<'k>(
    keys: impl Iterator<Item = &'k [u8]>,
    (key_count, end_count): (usize, usize),
    is_wired: bool,
) -> Written {
    let script = sha1_of(SCRIPT);
    if is_wired {
        let mut out = Vec::new();
        // The command, the script, the number of keys; at the end, what the server is like.
        wire::begin(&mut out, 3 + key_count + 2 + end_count);
        for part in [b"EVALSHA".as_slice(), script.as_bytes(), key_count.to_string().as_bytes()] {
            wire::part(&mut out, part);
        }
        keys.for_each(|key| wire::part(&mut out, key));
        return Written::Wire(out);
    }
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(script).arg(key_count);
    keys.for_each(|key| {
        cmd.arg(key);
    });
    Written::Driver(cmd)
}

impl Way {
    /// Runs the script if the server is as it was at this look: what it is like then, and how many keys were removed.
    async fn run(&mut self, asked: Asked, look: &Look) -> Result<Option<(Look, Vec<u64>)>, Fault> {
        match (self, asked.written) {
            (Self::Wire(wire), Written::Wire(mut out)) => {
                wire::part(&mut out, &look.count);
                wire::part(&mut out, &look.beside);
                asked.ends.iter().for_each(|end| wire::part(&mut out, end.to_string().as_bytes()));
                wire.send(&out).await?;
                answered(wire).await
            }
            (Self::Driver(node), Written::Driver(mut cmd)) => {
                cmd.arg(&look.count).arg(&look.beside).arg(asked.ends);
                node.run(cmd, REMOVING).await.map(understood)
            }
            (Self::Wire(_), Written::Driver(_)) | (Self::Driver(_), Written::Wire(_)) => {
                unreachable!("calls are written out for the way on which they are sent")
            }
        }
    }
}

/// The same as [`understood`], as it arrives.
async fn answered(wire: &mut Wire) -> Result<Option<(Look, Vec<u64>)>, Fault> {
    let count = match wire.head_or_refusal().await? {
        Ok(Head::List(count @ 2..)) => count,
        Ok(Head::List(_) | Head::Text(_) | Head::Number(_) | Head::Word | Head::Nothing) => {
            return Err(wire.not_understood("EVALSHA"));
        }
        Err(_) => return Ok(None),
    };
    let mut texts = [Vec::new(), Vec::new()];
    for text in &mut texts {
        let Head::Text(length) = wire.head().await? else { return Err(wire.not_understood("EVALSHA")) };
        *text = wire.text(length).await?.to_vec();
    }
    let mut removed = Vec::new();
    for _ in 2..count {
        let Head::Number(number) = wire.head().await? else { return Err(wire.not_understood("EVALSHA")) };
        removed.push(u64::try_from(number).map_err(|_| wire.not_understood("EVALSHA"))?);
    }
    let [count, beside] = texts;
    Ok(Some((Look { count, beside }, removed)))
}

impl<'a> Unlinking<'a> {
    /// Whether another group may be written out before the next answer is waited for.
    pub(super) fn has_room(&self) -> bool {
        self.under_way.len() < GROUPS_WAITING
    }

    /// The next group, and of how many of its keys of each pattern how many were removed: pattern, removed, asked for. None
    /// at the end, and where a group was refused: then nothing of it was removed, nor of any behind it.
    pub(super) async fn next(&mut self) -> Result<Option<Unlinked<'a>>, Fault> {
        let Some((group, counts)) = self.under_way.pop_front() else { return Ok(None) };
        let answer = self.answers.recv().await;
        let answer = answer.unwrap_or_else(|| Err(faults::lost_task().state(REMOVING)))?;
        Ok(answer.map(|removed| {
            let removed = counts.into_iter().zip(removed);
            (group, removed.map(|((pattern, asked), removed)| (pattern, removed, asked)).collect())
        }))
    }
}

/// What the server is like, and how many keys were removed of each pattern; nothing if it was refused.
fn understood(answer: Value) -> Option<(Look, Vec<u64>)> {
    let Value::Array(parts) = answer else { return None };
    let mut parts = parts.into_iter();
    let (Some(Value::BulkString(count)), Some(Value::BulkString(beside))) = (parts.next(), parts.next())
    else {
        return None;
    };
    let number = |part| match part {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    };
    Some((Look { count, beside }, parts.map(number).collect::<Option<_>>()?))
}

impl Node {
    /// Runs one command; a refusal is an answer.
    async fn run(&mut self, cmd: Cmd, state: &str) -> Result<Value, Fault> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(cmd);
        Ok(self.send(&pipeline, state).await?.into_iter().next().unwrap_or_default())
    }
}
