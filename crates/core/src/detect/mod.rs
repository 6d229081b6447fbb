//! Detection: how sure one can be that a row is test data, and why.
//!
//! One file per signal. A detector is a pure function over a [`Subject`]: a row's fields by the part they play,
//! read into words once, and what is known about the row from elsewhere. It returns nothing or one signal with
//! a weight in log-odds; negative weights are evidence against. [`score`] adds them up.
//!
//! | file | looks at |
//! |---|---|
//! | `record` | the row, its context, the words of its fields |
//! | `text`, `lexicon`, `memory`, `mail`, `time`, `domain` | how values are read |
//! | `score` | groups, damping, verdicts |
//! | `examiner` | runs all detectors over rows, one after the other |
//! | all others | one signal each |
//!
//! Invariants
//! - a detector sees one row and never another one; what it knows of others stands in the context;
//! - the same row and context give the same signals in the same order.
//!
//! Adding one: write `NAME.rs` with its weight, a match and a near miss, and add a line to [`DETECTORS`].

mod active;
mod address;
mod burst;
pub mod cloned;
mod company_domain;
mod disposable;
pub mod domain;
mod erased;
mod examiner;
mod flag;
mod generator;
mod handle;
mod hold;
mod hours;
mod idle;
mod inbound;
mod junk;
mod lexicon;
mod lorem;
mod machine_mail;
mod mail;
mod mail_local;
mod members;
pub mod memory;
mod orphan;
mod owner;
mod paid;
mod phone;
mod placeholder;
mod placeholder_domain;
mod plus_tag;
pub mod record;
pub mod regular;
mod reserved;
pub mod rules;
pub mod score;
pub mod seed_password;
mod sequence;
mod suffix;
mod system;
mod template;
mod test_money;
mod test_payment;
pub mod text;
pub mod time;
mod vocabulary;

pub use examiner::{Examiner, Late, Reasons, Weighed};
pub use record::{Context, Record, Subject};
pub use rules::Rules;
pub use score::{Score, Signal, Thresholds, Verdict};
pub use sequence::Stem;

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
    Phone,
    Address,
    Seed,
    Payment,
    Money,
    Creation,
    Rhythm,
    Clone,
    Password,
    Activity,
    Hours,
    Graph,
    Role,
    Rule,
    Hold,
    Inbound,
    Allowed,
}

/// What a detector found.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Log-odds; negative is evidence against.
    pub weight: f64,
    pub says: Says,
}

/// The words of a signal. Most rows are only weighed, so sentences with figures are made when somebody reads them.
#[derive(Debug, Clone, Copy)]
pub enum Says {
    Fixed(&'static str),
    Told(fn(&Subject<'_>) -> String),
}

impl Found {
    /// A finding with a fixed sentence.
    pub fn new(weight: f64, says: &'static str) -> Self {
        Self { weight, says: Says::Fixed(says) }
    }

    /// A finding whose sentence holds figures.
    pub fn told(weight: f64, says: fn(&Subject<'_>) -> String) -> Self {
        Self { weight, says: Says::Told(says) }
    }
}

impl Says {
    /// The sentence about a row.
    pub fn of(self, subject: &Subject<'_>) -> Cow<'static, str> {
        match self {
            Self::Fixed(text) => Cow::Borrowed(text),
            Self::Told(tell) => Cow::Owned(tell(subject)),
        }
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
    template::DETECTOR,
    lorem::DETECTOR,
    suffix::DETECTOR,
    sequence::DETECTOR,
    mail_local::DETECTOR,
    machine_mail::DETECTOR,
    plus_tag::DETECTOR,
    reserved::DETECTOR,
    placeholder_domain::DETECTOR,
    disposable::DETECTOR,
    phone::DETECTOR,
    address::DETECTOR,
    generator::DETECTOR,
    test_payment::DETECTOR,
    test_money::DETECTOR,
    burst::DETECTOR,
    regular::DETECTOR,
    cloned::DETECTOR,
    seed_password::DETECTOR,
    idle::DETECTOR,
    orphan::DETECTOR,
    members::DETECTOR,
    owner::DETECTOR,
    paid::DETECTOR,
    active::DETECTOR,
    hours::DETECTOR,
    company_domain::DETECTOR,
    system::DETECTOR,
    erased::DETECTOR,
    hold::DETECTOR,
    inbound::DETECTOR,
    rules::CUSTOM,
    rules::ALLOWED,
];

/// What a signal looks for, in a few words; its id where it is unknown.
pub fn title(id: &str) -> &str {
    DETECTORS.iter().find(|d| d.id == id).map_or(id, |d| d.title)
}

/// What the tests of all signals use.
#[cfg(test)]
pub(crate) mod check {
    use super::record::Prepared;
    use super::*;
    use crate::entity::Entity;

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
        (detector.examine)(&Subject { record, context, words: &words, rules: &rules::NONE })
            .map_or(0.0, |f| f.weight)
    }

    /// The verdict over all signals with the default thresholds.
    pub(crate) fn verdict(record: &Record<'_>, context: &Context) -> Verdict {
        Thresholds::default().verdict(Examiner::default().weigh(record, context).score)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
