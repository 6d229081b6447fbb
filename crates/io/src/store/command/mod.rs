//! A store behind commands: any system that programs can list, archive, remove and restore.
//!
//! Each thing to do is a program of its own that reads lines of JSON and answers with lines of JSON; the guide
//! `docs/command-stores.md` describes them. Which program, is said by the configuration and never by a plan; a plan
//! holds a hash of what was configured.
//!
//! Invariants
//! - `find` and `look_again` call `list` and `verify` alone, so that planning changes nothing;
//! - what is removed is what `archive` answered for, in the version that it answered;
//! - an answer that leaves out an entry that was asked for is a fault.
//!
//! Not here: running a program (`process`), its log (`log`).

mod log;
mod process;

use async_trait::async_trait;
use log::Log;
use process::{Call, OnLine, program};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;
use unseed_core::config::Commands;
use unseed_core::fault::{Category, Fault, listed};
use unseed_core::port::derived::{Cleared, DerivedStore, Found, Need, Subjects};
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{
    ArchiveSink, ArchiveSource, RestoreConflict, Restored, SectionHead, SectionKind, Server,
};

/// The protocol that the commands speak.
const FORMAT: &str = "unseed.command/1";
/// Kind of the store in plans.
const KIND: &str = "command";
/// Entries that one store may hold of the rows of one plan.
const ENTRIES_MAX: usize = 1_000_000;
/// Entries, and bytes of what was archived of them, that one call is given.
const CALL_ENTRIES_MAX: usize = 100;
const CALL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A store behind commands.
pub(crate) struct CommandStore {
    name: String,
    commands: Commands,
    folder: PathBuf,
    log: Log,
    /// Found and not archived yet.
    waiting: VecDeque<Entry>,
    /// What the last `archive` wrote.
    archived: Vec<Entry>,
    /// Only looking: nothing was or will be removed.
    dry_run: bool,
}

/// One entry of the foreign system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Entry {
    #[serde(default = "plain_group")]
    group: String,
    entry: String,
    #[serde(default)]
    version: String,
}

fn plain_group() -> String {
    "entries".to_owned()
}

/// What became of one entry.
#[derive(Debug, Deserialize)]
struct Answer {
    entry: String,
    outcome: Outcome,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Removed,
    Gone,
    Changed,
    Restored,
    Present,
    Conflict,
}

impl CommandStore {
    /// A store behind these commands, which run in `folder`.
    pub(crate) fn new(name: &str, commands: Commands, folder: PathBuf) -> Self {
        let (waiting, archived, log) = (VecDeque::new(), Vec::new(), Log::default());
        Self { name: name.to_owned(), commands, folder, log, waiting, archived, dry_run: true }
    }

    fn head(&self, action: &str) -> Vec<u8> {
        let head = json!({"format": FORMAT, "action": action, "store": self.name, "dry_run": self.dry_run});
        line(&head)
    }

    async fn call(
        &self,
        action: &'static str,
        argv: &[String],
        input: Vec<u8>,
        on_line: &mut OnLine<'_>,
    ) -> Result<Value, Fault> {
        let timeout = Duration::from_secs(self.commands.timeout_s);
        let (store, folder) = (self.name.as_str(), self.folder.as_path());
        Call { store, action, argv, folder, timeout, input }.run(&self.log, on_line).await
    }

    /// The entries of the subjects, as `list` or `verify` names them, and how many it looked at.
    async fn entries(
        &self,
        action: &'static str,
        argv: &[String],
        subjects: &dyn Subjects,
    ) -> Result<(BTreeSet<Entry>, u64), Fault> {
        let mut input = self.head(action);
        for need in &self.commands.subjects {
            subjects.doomed(need, &mut |values| {
                let values: BTreeMap<&String, Option<&str>> =
                    need.columns.iter().zip(values.iter().copied()).collect();
                input.extend(line(&json!({"entity": need.entity, "values": values})));
                Ok(())
            })?;
        }
        let mut entries = BTreeSet::new();
        let last = self
            .call(action, argv, input, &mut |value, _| {
                entries.insert(self.parsed::<Entry>(action, value)?);
                if entries.len() > ENTRIES_MAX {
                    let message = format!("store `{}` names more than {ENTRIES_MAX} entries", self.name);
                    return Err(Fault::refused(message).hint("choose fewer roots"));
                }
                Ok(())
            })
            .await?;
        let seen = last.get("seen").and_then(Value::as_u64).ok_or_else(|| {
            Fault::store(format!("the answer of command `{action}` of store `{}` has no `seen`", self.name))
                .hint("its last line has to say how many entries it looked at: `{\"done\":true,\"count\":2,\"seen\":40}`")
        })?;
        Ok((entries, seen))
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, action: &str, value: &Value) -> Result<T, Fault> {
        T::deserialize(value).map_err(|error| {
            let message = format!(
                "a line of the answer of command `{action}` of store `{}` is wrong: {error}",
                self.name
            );
            Fault::store(message).hint("see the guide on stores behind commands")
        })
    }

    /// The next entries of one group.
    fn next(&mut self, entries_max: u64) -> Vec<Entry> {
        let most = usize::try_from(entries_max).unwrap_or(usize::MAX).min(CALL_ENTRIES_MAX);
        let Some(first) = self.waiting.front().map(|entry| entry.group.clone()) else { return Vec::new() };
        let same = self.waiting.iter().take(most).take_while(|entry| entry.group == first).count();
        self.waiting.drain(..same).collect()
    }

    /// Has entries answered for one by one; each has to be, and no other.
    fn unanswered(&self, action: &str, left: &BTreeSet<String>) -> Result<(), Fault> {
        let Some(first) = left.first() else { return Ok(()) };
        let message = format!(
            "command `{action}` of store `{}` did not answer for {}, among them `{first}`",
            self.name,
            counted_entries(left.len())
        );
        Err(Fault::store(message).hint("it has to answer with one line for each entry that it is given"))
    }

    async fn outcomes(
        &self,
        action: &'static str,
        argv: &[String],
        (names, lines): (&BTreeSet<String>, Vec<u8>),
        allowed: &[Outcome],
    ) -> Result<Vec<Answer>, Fault> {
        let mut input = self.head(action);
        input.extend(lines);
        let (mut left, mut answers) = (names.clone(), Vec::new());
        self.call(action, argv, input, &mut |value, _| {
            let answer: Answer = self.parsed(action, value)?;
            if !allowed.contains(&answer.outcome) || !left.remove(&answer.entry) {
                let message = format!(
                    "command `{action}` of store `{}` answered for `{}` with something that was not asked",
                    self.name, answer.entry
                );
                return Err(Fault::store(message).hint("see the guide on stores behind commands"));
            }
            answers.push(answer);
            Ok(())
        })
        .await?;
        self.unanswered(action, &left)?;
        Ok(answers)
    }

    async fn put_back(&self, call: Restoring, restored: &mut Restored) -> Result<(), Fault> {
        if call.groups.is_empty() {
            return Ok(());
        }
        let names: BTreeSet<String> = call.groups.keys().cloned().collect();
        let allowed = [Outcome::Restored, Outcome::Present, Outcome::Conflict];
        let argv = &self.commands.restore;
        for answer in self.outcomes("restore", argv, (&names, call.lines), &allowed).await? {
            let group = call.groups[&answer.entry].clone();
            if answer.outcome == Outcome::Conflict {
                let reason = if answer.reason.is_empty() { "it exists".to_owned() } else { answer.reason };
                restored.conflicts.push(RestoreConflict { table: group, key: answer.entry, reason, rows: 1 });
            } else {
                *restored.inserted.entry(group).or_default() += 1;
            }
        }
        Ok(())
    }
}

/// Entries that one call of `restore` is given.
#[derive(Default)]
struct Restoring {
    /// Group of each entry.
    groups: BTreeMap<String, String>,
    lines: Vec<u8>,
}

fn line(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("a value is always JSON");
    bytes.push(b'\n');
    bytes
}

fn counted_entries(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).expect("a length fits 64 bits")
}

fn by_group(entries: &BTreeSet<Entry>) -> BTreeMap<String, u64> {
    let mut groups = BTreeMap::new();
    for entry in entries {
        *groups.entry(entry.group.clone()).or_default() += 1;
    }
    groups
}

#[async_trait]
impl DerivedStore for CommandStore {
    async fn inspect(&mut self) -> Result<Server, Fault> {
        let c = &self.commands;
        let all = [Some(&c.list), Some(&c.archive), Some(&c.remove), c.verify.as_ref(), Some(&c.restore)];
        let mut missing: Vec<String> = all.into_iter().flatten().map(|argv| argv[0].clone()).collect();
        missing.retain(|name| name.contains('/') && !program(&self.folder, name).is_file());
        missing.sort();
        missing.dedup();
        if !missing.is_empty() {
            let message = format!("{} of store `{}` is not there", listed(&missing, "command"), self.name);
            let mut fault = Fault::store(message).hint("correct `commands` of the store");
            fault.details = missing;
            return Err(fault);
        }
        Ok(Server {
            kind: KIND.to_owned(),
            version: FORMAT.to_owned(),
            location: c.list.join(" "),
            may_skip_checks: false,
            read_only: false,
        })
    }

    fn needs(&self) -> Vec<Need> {
        self.commands.subjects.clone()
    }

    /// A program may go by any of the values that it is given.
    fn distinct(&self) -> Vec<Need> {
        let single = |need: &Need| -> Vec<Need> {
            let one = |column: &String| Need { entity: need.entity.clone(), columns: vec![column.clone()] };
            need.columns.iter().map(one).collect()
        };
        self.commands.subjects.iter().flat_map(single).collect()
    }

    async fn find(&mut self, subjects: &dyn Subjects, progress: &dyn Progress) -> Result<Found, Fault> {
        progress.note(&format!("asking store `{}` for its entries", self.name));
        let (entries, seen) = self.entries("list", &self.commands.list, subjects).await?;
        self.archived.clear();
        let found = Found { doomed: by_group(&entries), seen, ..Found::default() };
        self.waiting = entries.into_iter().collect();
        Ok(found)
    }

    async fn look_again(&mut self, subjects: &dyn Subjects, progress: &dyn Progress) -> Result<Found, Fault> {
        progress.note(&format!("asking store `{}` what is left", self.name));
        let (action, argv) = match &self.commands.verify {
            Some(argv) => ("verify", argv),
            None => ("list", &self.commands.list),
        };
        let (entries, seen) = self.entries(action, argv, subjects).await?;
        Ok(Found { doomed: by_group(&entries), seen, ..Found::default() })
    }

    fn log_to(&mut self, folder: &str) {
        self.log = Log::within(folder);
        self.dry_run = false;
    }

    async fn archive(
        &mut self,
        entries_max: u64,
        sink: &mut dyn ArchiveSink,
        progress: &dyn Progress,
    ) -> Result<u64, Fault> {
        progress.note(&format!("archiving entries of store `{}`", self.name));
        self.archived.clear();
        // Entries that are gone by now leave nothing to write, so the next ones take their turn.
        while self.archived.is_empty() {
            let asked = self.next(entries_max);
            let Some(first) = asked.first() else { return Ok(0) };
            let group = first.group.clone();
            self.archived = self.archive_group(&group, &asked, sink).await?;
        }
        Ok(wide(self.archived.len()))
    }

    async fn remove(&mut self, progress: &dyn Progress) -> Result<Cleared, Fault> {
        progress.note(&format!("removing entries of store `{}`", self.name));
        let entries = std::mem::take(&mut self.archived);
        let names: BTreeSet<String> = entries.iter().map(|entry| entry.entry.clone()).collect();
        let each = |entry: &Entry| line(&json!({"entry": entry.entry, "version": entry.version}));
        let lines: Vec<u8> = entries.iter().flat_map(each).collect();
        let allowed = [Outcome::Removed, Outcome::Gone, Outcome::Changed];
        let mut cleared = Cleared::default();
        for answer in self.outcomes("remove", &self.commands.remove, (&names, lines), &allowed).await? {
            match answer.outcome {
                Outcome::Removed => {
                    let group = entries.first().map(|entry| entry.group.clone()).unwrap_or_default();
                    *cleared.removed.entry(group).or_default() += 1;
                }
                Outcome::Gone => cleared.gone += 1,
                Outcome::Changed | Outcome::Restored | Outcome::Present | Outcome::Conflict => {
                    cleared.changed += 1;
                }
            }
        }
        Ok(cleared)
    }

    async fn restore(
        &mut self,
        source: &mut dyn ArchiveSource,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault> {
        progress.note(&format!("putting entries of store `{}` back", self.name));
        let mut restored = Restored::default();
        let mut done: BTreeSet<String> = BTreeSet::new();
        // The last version of an entry counts, so the last sections are read first.
        for (index, section) in source.sections().into_iter().enumerate().rev() {
            for call in calls(source, index, &section.head.table, &mut done)? {
                self.put_back(call, &mut restored).await?;
            }
        }
        Ok(restored)
    }

    fn explain(&self) -> Vec<String> {
        let c = &self.commands;
        let line = |action: &str, argv: &[String]| format!("{action}: {}", argv.join(" "));
        let mut lines = vec![line("list", &c.list), line("archive", &c.archive), line("remove", &c.remove)];
        lines.extend(c.verify.as_ref().map(|argv| line("verify", argv)));
        lines.push(line("restore", &c.restore));
        lines
    }

    fn restore_script(&self, files: &[String]) -> Vec<(String, String)> {
        let quoted = |text: &String| format!("'{}'", text.replace('\'', "'\\''"));
        let words = |list: &[String]| list.iter().map(quoted).collect::<Vec<_>>().join(" ");
        let head = json!({"format": FORMAT, "action": "restore", "store": self.name, "dry_run": false});
        // The last version of an entry counts: later files first, and the first line of an entry wins.
        let reversed: Vec<String> = files.iter().rev().cloned().collect();
        let script = format!(
            "#!/bin/sh\n# Puts the entries of this archive back with the store's own command. Run it in the folder where\n\
             # the configuration of unseed is, with this folder as its argument.\nset -eu\narchive=${{1:?the folder of the archive}}\n\
             {{\n  printf '%s\\n' {}\n  for file in {}; do gunzip -c \"$archive/$file\"; done\n}} | {}\n",
            quoted(&head.to_string()),
            words(&reversed),
            words(&self.commands.restore),
        );
        vec![("restore.sh".to_owned(), script)]
    }
}

impl CommandStore {
    /// Writes entries of one group as one section; returns those that were there.
    async fn archive_group(
        &self,
        group: &str,
        asked: &[Entry],
        sink: &mut dyn ArchiveSink,
    ) -> Result<Vec<Entry>, Fault> {
        let mut input = self.head("archive");
        input.extend(asked.iter().flat_map(|e| line(&json!({"entry": e.entry, "version": e.version}))));
        let mut left: BTreeSet<String> = asked.iter().map(|entry| entry.entry.clone()).collect();
        let mut kept = Vec::new();
        sink.begin(SectionHead {
            kind: SectionKind::Rows,
            namespace: "main".to_owned(),
            table: group.to_owned(),
            columns: ["entry", "version", "data"].map(str::to_owned).to_vec(),
            identity_columns: 1,
        })?;
        let argv = &self.commands.archive;
        self.call("archive", argv, input, &mut |value, text| {
            let entry: Entry = self.parsed("archive", value)?;
            if !left.remove(&entry.entry) {
                let message =
                    format!("store `{}` archived `{}`, which was not asked", self.name, entry.entry);
                return Err(Fault::store(message).hint("see the guide on stores behind commands"));
            }
            if value.get("gone").and_then(Value::as_bool) == Some(true) {
                return Ok(());
            }
            if value.get("data").is_none() {
                let message = format!("store `{}` archived `{}` without `data`", self.name, entry.entry);
                return Err(Fault::store(message).hint("what is archived has to be enough to put it back"));
            }
            sink.write(text.as_bytes())?;
            sink.write(b"\n")?;
            kept.push(Entry { group: group.to_owned(), ..entry });
            Ok(())
        })
        .await?;
        self.unanswered("archive", &left)?;
        sink.end(wide(kept.len()))?;
        Ok(kept)
    }
}

/// The entries of a section that were not put back from a later one, in portions.
fn calls(
    source: &mut dyn ArchiveSource,
    index: usize,
    group: &str,
    done: &mut BTreeSet<String>,
) -> Result<Vec<Restoring>, Fault> {
    let (mut calls, mut current, mut rest) = (Vec::new(), Restoring::default(), Vec::new());
    source.read(index, &mut |bytes| {
        rest.extend_from_slice(bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let text: Vec<u8> = rest.drain(..=end).collect();
            let entry: Entry = serde_json::from_slice(&text).map_err(|error| {
                Fault::new(Category::Archive, format!("an archived entry cannot be read: {error}"))
                    .hint("bring the archive folder back from a copy")
            })?;
            if !done.insert(entry.entry.clone()) {
                continue;
            }
            if current.groups.len() >= CALL_ENTRIES_MAX || current.lines.len() >= CALL_BYTES_MAX {
                calls.push(std::mem::take(&mut current));
            }
            current.groups.insert(entry.entry, group.to_owned());
            current.lines.extend(text);
        }
        Ok(())
    })?;
    calls.push(current);
    Ok(calls)
}
