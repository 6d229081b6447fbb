//! The audit log as a chain: every entry's hash covers the entry and the hash before it.
//!
//! A chain alone tells edits from inside. Whoever can write the state database can also compute a new chain, or
//! cut its end off. Against that stand *anchors*, hashes that were written to another place, and *checkpoints*,
//! signatures over the chain as it was.
//!
//! Invariants
//! - an edit, a move, an insertion or a gap breaks the chain at that place;
//! - a cut, a replacement or a removal of the chain contradicts every anchor and checkpoint behind that place.
//!
//! Not here: keeping entries (`port::state`), anchor files and signatures (`io`).

use crate::port::state::AuditEntry;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The namespace of signatures over checkpoints.
pub const NAMESPACE: &str = "unseed-audit";
/// The first line of every checkpoint.
pub const CHECKPOINT_HEAD: &str = "unseed audit checkpoint 1";
/// The action of the entry that says that a file holds anchors from here on; its object is the file.
pub const ANCHOR_ACTION: &str = "audit.anchor";

/// An entry as the log keeps it. Numbers begin with 1 and leave no gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub sequence: u64,
    #[serde(flatten)]
    pub entry: AuditEntry,
    pub hash: String,
}

/// A place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    pub sequence: u64,
    pub hash: String,
}

/// A signature over the chain up to a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The text that was signed, byte for byte.
    pub statement: String,
    /// An armored SSH signature.
    pub signature: String,
}

/// One line of an anchor file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Anchor {
    Link(Link),
    Checkpoint { checkpoint: Checkpoint },
}

/// The hash of an entry: blake3 over the previous hash and the entry.
pub fn chained(previous: &str, entry: &AuditEntry) -> String {
    let text = serde_json::to_string(entry).expect("plain data, which JSON can always hold");
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous.as_bytes()).update(b"\n").update(text.as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// What a checkpoint's signer signs.
pub fn checkpoint_text(link: &Link, at: &str) -> String {
    format!("{CHECKPOINT_HEAD}\nsequence: {}\nhash: {}\nat: {at}\n", link.sequence, link.hash)
}

/// The link that a checkpoint is about.
pub fn checkpoint_link(statement: &str) -> Option<Link> {
    let mut lines = statement.lines();
    (lines.next() == Some(CHECKPOINT_HEAD)).then_some(())?;
    let sequence = lines.next()?.strip_prefix("sequence: ")?.parse().ok()?;
    let link = Link { sequence, hash: lines.next()?.strip_prefix("hash: ")?.to_owned() };
    let at = lines.next()?.strip_prefix("at: ")?;
    (checkpoint_text(&link, at) == statement).then_some(link)
}

/// A checkpoint that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedCheckpoint {
    /// Nothing when the text is none of a checkpoint.
    pub link: Option<Link>,
    /// Who signed, or why the signature does not count.
    pub signer: Result<String, String>,
}

/// What the log is compared with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The anchor file in use, if the configuration names one.
    pub anchor: Option<String>,
    /// The lines of that file; nothing when it is missing.
    pub anchors: Option<Vec<Link>>,
    /// Lines of the anchor file that cannot be read.
    pub broken_anchors: u64,
    pub checkpoints: Vec<CheckedCheckpoint>,
    /// The highest number that the log ever gave out.
    pub issued: u64,
    /// Runs that the state database knows.
    pub runs: Vec<String>,
}

/// One thing that must not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable word.
    pub id: &'static str,
    /// The entry it is about, where there is one.
    pub sequence: Option<u64>,
    pub says: String,
}

/// What came of looking at a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Examination {
    pub entries: u64,
    pub head: Option<Link>,
    /// The last entry that an anchor confirms.
    pub anchored: Option<u64>,
    /// The last entry that a signature confirms, and whose it is.
    pub signed: Option<(u64, String)>,
    pub findings: Vec<Finding>,
}

impl Examination {
    /// Whether nothing speaks against the log.
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, id: &'static str, sequence: Option<u64>, says: String) {
        self.findings.push(Finding { id, sequence, says });
    }
}

/// The outcome of a plan that a run uses up.
pub fn used_by(run: &str, consent: &str) -> String {
    format!("used by {run}, {consent}")
}

/// The run that such an outcome names.
fn run_that_used(outcome: &str) -> Option<&str> {
    outcome.strip_prefix("used by ")?.split(',').next()
}

/// Looks at a log entry by entry.
#[derive(Debug)]
pub struct Examiner {
    evidence: Evidence,
    anchors: BTreeMap<u64, BTreeSet<String>>,
    /// Hashes of the entries that checkpoints are about.
    wanted: BTreeMap<u64, Option<String>>,
    /// Where anchor files begin, by their names.
    begun: BTreeMap<String, u64>,
    purged: BTreeSet<String>,
    found: Examination,
}

impl Examiner {
    /// An examiner with everything that the log is compared with.
    pub fn new(evidence: Evidence) -> Self {
        let mut anchors: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for link in evidence.anchors.iter().flatten() {
            anchors.entry(link.sequence).or_default().insert(link.hash.clone());
        }
        let links = evidence.checkpoints.iter().filter_map(|checked| checked.link.as_ref());
        let wanted = links.map(|link| (link.sequence, None)).collect();
        let (begun, purged) = (BTreeMap::new(), BTreeSet::new());
        Self { evidence, anchors, wanted, begun, purged, found: Examination::default() }
    }

    /// Looks at the next entry.
    pub fn look(&mut self, record: &Record) {
        let Record { sequence, entry, hash } = record;
        let (last, previous) = match &self.found.head {
            Some(head) => (head.sequence, head.hash.clone()),
            None => (0, String::new()),
        };
        if *sequence != last + 1 {
            let (from, to) = (last + 1, sequence.saturating_sub(1));
            let says = match from.cmp(&to) {
                Ordering::Equal => format!("entry {to} is missing"),
                Ordering::Less => format!("entries {from} to {to} are missing"),
                Ordering::Greater => format!("entry {sequence} stands behind entry {last}"),
            };
            self.found.find("gap", Some(*sequence), says);
        } else if chained(&previous, entry) != *hash {
            let says = format!("entry {sequence} was changed, moved or put in: its hash does not fit");
            self.found.find("chain", Some(*sequence), says);
        }
        self.compare_anchors(*sequence, hash);
        if let Some(wanted) = self.wanted.get_mut(sequence) {
            *wanted = Some(hash.clone());
        }
        self.note(*sequence, entry);
        self.found.entries += 1;
        self.found.head = Some(Link { sequence: *sequence, hash: hash.clone() });
    }

    fn compare_anchors(&mut self, sequence: u64, hash: &str) {
        let Some(hashes) = self.anchors.remove(&sequence) else { return };
        if hashes.len() == 1 && hashes.contains(hash) {
            self.found.anchored = Some(sequence);
            return;
        }
        let says = format!("entry {sequence} is not the one that was anchored: the log was written anew");
        self.found.find("anchor", Some(sequence), says);
    }

    fn note(&mut self, sequence: u64, entry: &AuditEntry) {
        if entry.action == ANCHOR_ACTION && self.begun.insert(entry.object.clone(), sequence).is_some() {
            let says = format!(
                "anchor `{}` was begun again with entry {sequence}: it was lost or removed",
                entry.object
            );
            self.found.find("anchor-lost", Some(sequence), says);
        }
        // The plan's entry comes before the run is registered, so whoever is killed between them leaves no run untold.
        let run = match entry.action.as_str() {
            "purge.run" => Some(entry.object.as_str()),
            "purge.plan" => run_that_used(&entry.outcome),
            _ => None,
        };
        self.purged.extend(run.map(str::to_owned));
    }

    /// What came of it, when every entry was looked at.
    pub fn finish(mut self) -> Examination {
        let last = self.found.head.as_ref().map_or(0, |head| head.sequence);
        if let Some(beyond) = self.anchors.keys().next_back().copied().filter(|beyond| *beyond > last) {
            let says = match last {
                0 => format!("the log is empty, but the anchor knows {beyond} entries: it was removed"),
                _ => format!(
                    "the log ends with entry {last}, but the anchor knows entry {beyond}: its end was cut off"
                ),
            };
            self.found.find("cut", Some(beyond), says);
        }
        if self.evidence.issued > last {
            let issued = self.evidence.issued;
            let says = format!(
                "entry {issued} was written, but the log ends with entry {last}: its end was cut off"
            );
            self.found.find("cut", Some(issued), says);
        }
        self.judge_anchor_file();
        self.judge_checkpoints(last);
        let runs = std::mem::take(&mut self.evidence.runs);
        for run in runs.iter().filter(|run| !self.purged.contains(*run)) {
            self.found.find(
                "run",
                None,
                format!("run `{run}` has no entry in the log: entries were removed"),
            );
        }
        self.found
    }

    fn judge_anchor_file(&mut self) {
        if self.evidence.broken_anchors > 0 {
            let says = format!("{} lines of the anchor cannot be read", self.evidence.broken_anchors);
            self.found.find("anchor-broken", None, says);
        }
        let Some(file) = self.evidence.anchor.clone() else { return };
        let Some(begun) = self.begun.get(&file) else { return };
        let links = self.evidence.anchors.as_deref().unwrap_or_default();
        if !links.iter().any(|link| link.sequence == *begun) {
            let says = format!(
                "anchor `{file}` was begun with entry {begun} and does not know it: it was lost or cut"
            );
            self.found.find("anchor-lost", Some(*begun), says);
        }
    }

    fn judge_checkpoints(&mut self, last: u64) {
        for checked in std::mem::take(&mut self.evidence.checkpoints) {
            let CheckedCheckpoint { link, signer } = checked;
            let Some(Link { sequence, hash }) = link else {
                self.found.find("checkpoint", None, "a checkpoint is not in its form".to_owned());
                continue;
            };
            let says = match (signer, self.wanted.get(&sequence)) {
                (Err(why), _) => format!("the checkpoint of entry {sequence} does not count: {why}"),
                (Ok(signer), Some(Some(there))) if *there == hash => {
                    if self.found.signed.as_ref().is_none_or(|(before, _)| *before <= sequence) {
                        self.found.signed = Some((sequence, signer));
                    }
                    continue;
                }
                (Ok(signer), Some(Some(_))) => {
                    format!("entry {sequence} is not the one that {signer} signed: the log was written anew")
                }
                (Ok(signer), Some(None) | None) => {
                    format!(
                        "{signer} signed entry {sequence}, but the log ends with entry {last}: its end was cut off"
                    )
                }
            };
            self.found.find("checkpoint", Some(sequence), says);
        }
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
