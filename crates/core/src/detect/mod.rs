//! Detection: how sure one can be that a row is test data, and why.
//!
//! One file per signal. A detector is a pure function over a [`Subject`]: a row's fields by the part they play,
//! read into words once, and what is known about the row from elsewhere. It returns nothing or one signal with
//! a weight in log-odds; negative weights are evidence against. [`score`] adds them up.
//!
//! | file | looks at |
//! |---|---|
//! | `record` | the row, its context, the words of its fields |
//! | `text`, `lexicon`, `mail`, `time`, `domain` | how values are read |
//! | `score` | groups, damping, verdicts |
//! | all others | one signal each |
//!
//! Invariants
//! - a detector sees one row and never another one; what it knows of others stands in the context;
//! - the same row and context give the same signals in the same order.
//!
//! Adding one: write `NAME.rs` with its weight, a match and a near miss, and add a line to [`DETECTORS`].

mod active;
mod burst;
mod company_domain;
mod disposable;
pub mod domain;
mod erased;
mod flag;
mod handle;
mod idle;
mod junk;
mod lexicon;
mod machine_mail;
mod mail;
mod mail_local;
mod members;
mod orphan;
mod owner;
mod paid;
mod placeholder;
mod placeholder_domain;
mod plus_tag;
pub mod record;
mod reserved;
pub mod score;
mod sequence;
mod suffix;
mod system;
mod test_money;
pub mod text;
pub mod time;
mod vocabulary;

pub use record::{Context, Record, Subject};
pub use score::{Score, Signal, Thresholds, Verdict};
pub use sequence::Stem;

use crate::entity::Entity;
use record::Prepared;
use std::borrow::Cow;

/// Signals of one group are one observation seen twice: the strongest counts in full, others little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    Flag,
    Name,
    Shape,
    Series,
    MailLocal,
    MailDomain,
    Money,
    Creation,
    Activity,
    Graph,
    Role,
}

/// What a detector found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Log-odds; negative is evidence against.
    pub weight: f64,
    /// In words, for people.
    pub says: Cow<'static, str>,
}

impl Found {
    /// A finding with a fixed sentence.
    pub fn new(weight: f64, says: &'static str) -> Self {
        Self { weight, says: Cow::Borrowed(says) }
    }

    /// A finding whose sentence holds figures.
    pub fn told(weight: f64, says: String) -> Self {
        Self { weight, says: Cow::Owned(says) }
    }
}

/// One registered signal.
#[derive(Debug, Clone, Copy)]
pub struct Detector {
    /// Stable name in reports and configuration.
    pub id: &'static str,
    /// What it looks for, in a few words for people.
    pub title: &'static str,
    pub group: Group,
    pub examine: fn(&Subject<'_>) -> Option<Found>,
}

/// All signals, in the order in which reports list equals.
pub const DETECTORS: &[Detector] = &[
    flag::DETECTOR,
    vocabulary::DETECTOR,
    handle::DETECTOR,
    junk::DETECTOR,
    placeholder::DETECTOR,
    suffix::DETECTOR,
    sequence::DETECTOR,
    mail_local::DETECTOR,
    machine_mail::DETECTOR,
    plus_tag::DETECTOR,
    reserved::DETECTOR,
    placeholder_domain::DETECTOR,
    disposable::DETECTOR,
    test_money::DETECTOR,
    burst::DETECTOR,
    idle::DETECTOR,
    orphan::DETECTOR,
    members::DETECTOR,
    owner::DETECTOR,
    paid::DETECTOR,
    active::DETECTOR,
    company_domain::DETECTOR,
    system::DETECTOR,
    erased::DETECTOR,
];

/// What a signal looks for, in a few words; its id where it is unknown.
pub fn title(id: &str) -> &str {
    DETECTORS.iter().find(|d| d.id == id).map_or(id, |d| d.title)
}

/// Examines rows one after the other with reused buffers.
#[derive(Debug, Clone, Default)]
pub struct Examiner {
    prepared: Prepared,
}

impl Examiner {
    /// Runs every detector over a row; `signals` is cleared and filled, and the score is their sum.
    pub fn examine(&mut self, record: &Record<'_>, context: &Context, signals: &mut Vec<Signal>) -> Score {
        signals.clear();
        self.prepared.read(record);
        let subject = Subject { record, context, words: &self.prepared };
        for detector in DETECTORS {
            if let Some(found) = (detector.examine)(&subject) {
                signals.push(Signal {
                    id: detector.id,
                    group: detector.group,
                    weight: found.weight,
                    says: found.says,
                });
            }
        }
        score::sum(signals)
    }

    /// What stands before the running number of the row's name, user name or mail, if there is one.
    pub fn stem(&self) -> Option<Stem> {
        sequence::stem(&self.prepared)
    }
}

/// Signals that depend on other rows only: what a scan knows when it has read the whole store. They are left
/// out while rows stream (their parts of the context are empty then) and added by [`late_signals`].
const LATE: &[Detector] = &[sequence::DETECTOR, orphan::DETECTOR, members::DETECTOR, owner::DETECTOR];

/// Adds the signals that need the whole store to those of a row.
pub fn late_signals(entity: Entity, context: &Context, signals: &mut Vec<Signal>) {
    let (record, words) = (Record::new(entity), Prepared::default());
    let subject = Subject { record: &record, context, words: &words };
    for detector in LATE {
        if let Some(found) = (detector.examine)(&subject) {
            signals.push(Signal {
                id: detector.id,
                group: detector.group,
                weight: found.weight,
                says: found.says,
            });
        }
    }
}

/// What the tests of all signals use.
#[cfg(test)]
pub(crate) mod check {
    use super::*;

    /// A tenant of which nothing but these fields is known.
    pub(crate) fn tenant<'a>(name: &'a str, slug: &'a str, email: &'a str) -> Record<'a> {
        Record { name, slug, email, ..Record::new(Entity::Tenant) }
    }

    /// A user of whom nothing but these fields is known.
    pub(crate) fn user<'a>(name: &'a str, email: &'a str) -> Record<'a> {
        Record { name, email, ..Record::new(Entity::User) }
    }

    /// The weight that one detector gives, 0 for silence.
    pub(crate) fn weight(detector: &Detector, record: &Record<'_>, context: &Context) -> f64 {
        let mut words = Prepared::default();
        words.read(record);
        (detector.examine)(&Subject { record, context, words: &words }).map_or(0.0, |f| f.weight)
    }

    /// The verdict over all signals with the default thresholds.
    pub(crate) fn verdict(record: &Record<'_>, context: &Context) -> Verdict {
        let mut signals = Vec::new();
        let score = Examiner::default().examine(record, context, &mut signals);
        Thresholds::default().verdict(score)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
