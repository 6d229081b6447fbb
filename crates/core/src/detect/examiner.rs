//! Runs every detector over rows, one after the other, with reused buffers.
//!
//! Weighing and telling are two things: a scan weighs every row, and tells of few of them in words. Weighing
//! allocates nothing once the buffers have grown.
//!
//! Invariants
//! - telling gives the signals that weighing counted, in the order of [`DETECTORS`];
//! - late signals depend on the context alone, and their groups hold no others, so that they can be added to a
//!   sum that was made without them.
//!
//! Not here: what a signal is worth (one file per signal), how signals add up (`score`).

use super::record::{Context, Prepared, Record, Subject};
use super::rules::{NONE, Rules};
use super::score::{self, Score, Signal};
use super::sequence::{self, Stem};
use super::{DETECTORS, Detector, Found, Group, burst, cloned, members, orphan, owner, regular};
use crate::entity::Entity;
use std::sync::Arc;

/// Weighs rows and tells why.
#[derive(Debug, Clone, Default)]
pub struct Examiner {
    rules: Arc<Rules>,
    prepared: Prepared,
    weights: Vec<(Group, f64)>,
    /// The detector behind each weight, as its place in [`DETECTORS`].
    places: Vec<u8>,
}

/// What a row weighs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighed {
    pub score: Score,
    pub reasons: Reasons,
}

/// Which signals stand behind a score, in few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reasons {
    /// A bit for each detector that spoke for test data, by its place in [`DETECTORS`].
    pub positive: u64,
    /// The two strongest, by their places plus one; 0 for none.
    pub strongest: [u8; 2],
}

impl Reasons {
    /// The ids of the signals that speak for test data.
    pub fn ids(self) -> impl Iterator<Item = &'static str> {
        let set = DETECTORS.iter().enumerate().filter(move |(place, _)| self.positive >> place & 1 == 1);
        set.map(|(_, detector)| detector.id)
    }
}

impl Examiner {
    /// An examiner that heeds what was configured.
    pub fn new(rules: Arc<Rules>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Adds up every detector over a row.
    pub fn weigh(&mut self, record: &Record<'_>, context: &Context) -> Weighed {
        self.prepared.read(record);
        self.weights.clear();
        self.places.clear();
        let subject = Subject { record, context, words: &self.prepared, rules: &self.rules };
        for (place, detector) in DETECTORS.iter().enumerate() {
            if let Some(found) = (detector.examine)(&subject) {
                self.weights.push((detector.group, self.rules.scaled(record.entity, detector, found)));
                self.places.push(narrow(place));
            }
        }
        Weighed { score: score::total(&self.weights), reasons: self.reasons() }
    }

    /// The score of the row that was weighed last, without what its mail address says.
    pub fn score_without_mail(&self) -> Score {
        let is_mail = |group: Group| matches!(group, Group::MailLocal | Group::MailDomain);
        let own: Vec<(Group, f64)> = self.weights.iter().filter(|(g, _)| !is_mail(*g)).copied().collect();
        score::total(&own)
    }

    /// Every signal of a row in words, in the order of [`DETECTORS`], with their sum.
    pub fn tell(&mut self, record: &Record<'_>, context: &Context) -> (Score, Vec<Signal>) {
        let mut signals = Vec::new();
        (self.tell_into(record, context, &mut signals), signals)
    }

    /// The same, in a list that is used again for the next row.
    pub fn tell_into(&mut self, record: &Record<'_>, context: &Context, signals: &mut Vec<Signal>) -> Score {
        self.prepared.read(record);
        self.weights.clear();
        signals.clear();
        let subject = Subject { record, context, words: &self.prepared, rules: &self.rules };
        for detector in DETECTORS {
            if let Some(found) = (detector.examine)(&subject) {
                let signal = told(detector, found, &subject);
                self.weights.push((signal.group, signal.weight));
                signals.push(signal);
            }
        }
        score::total(&self.weights)
    }

    /// What stands before the running number of the last row's name, user name or mail, if there is one.
    pub fn stem(&self) -> Option<Stem> {
        sequence::stem(&self.prepared)
    }

    fn reasons(&self) -> Reasons {
        let mut reasons = Reasons::default();
        let mut best = [0.0_f64; 2];
        for ((_, weight), place) in self.weights.iter().zip(&self.places) {
            if *weight > 0.0 {
                reasons.positive |= 1 << place;
            }
            if weight.abs() > best[0] {
                best = [weight.abs(), best[0]];
                reasons.strongest = [place + 1, reasons.strongest[0]];
            } else if weight.abs() > best[1] {
                best[1] = weight.abs();
                reasons.strongest[1] = place + 1;
            }
        }
        reasons
    }
}

impl Rules {
    /// The weight of what a detector found, by the factor that was configured for it.
    fn scaled(&self, entity: Entity, detector: &Detector, found: Found) -> f64 {
        if self.factors.is_empty() { found.weight } else { found.weight * self.factor(entity, detector.id) }
    }
}

fn narrow(place: usize) -> u8 {
    u8::try_from(place).expect("there are fewer than 64 detectors")
}

fn told(detector: &Detector, found: Found, subject: &Subject<'_>) -> Signal {
    let weight = subject.rules.scaled(subject.record.entity, detector, found);
    Signal { id: detector.id, group: detector.group, weight, says: found.says.of(subject) }
}

/// Signals that depend on other rows only: what a scan knows when it has read the whole store. While rows stream
/// their parts of the context are empty.
const LATE: &[Detector] = &[
    sequence::DETECTOR,
    burst::DETECTOR,
    regular::DETECTOR,
    cloned::DETECTOR,
    orphan::DETECTOR,
    members::DETECTOR,
    owner::DETECTOR,
];

/// Weighs the late signals.
#[derive(Debug, Clone, Default)]
pub struct Late {
    rules: Arc<Rules>,
    words: Prepared,
}

impl Late {
    /// Heeds what was configured.
    pub fn new(rules: Arc<Rules>) -> Self {
        Self { rules, words: Prepared::default() }
    }

    /// What the late signals add to a row's log-odds, and a bit for each that speaks for test data.
    pub fn weigh(&self, entity: Entity, context: &Context) -> (f64, u64) {
        let record = Record::new(entity);
        let subject = Subject { record: &record, context, words: &self.words, rules: &NONE };
        let (mut sum, mut positive) = (0.0, 0);
        for detector in LATE {
            let Some(found) = (detector.examine)(&subject) else { continue };
            let weight = self.rules.scaled(entity, detector, found);
            sum += weight;
            let place = DETECTORS.iter().position(|d| d.id == detector.id);
            let place = place.expect("late signals are registered");
            positive |= u64::from(weight > 0.0) << place;
        }
        (sum, positive)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Members, Series};
    use super::*;

    #[test]
    fn late_signals_have_their_groups_for_themselves_and_add_up_apart() {
        let late = |d: &Detector| LATE.iter().any(|l| l.id == d.id);
        for group in LATE.iter().map(|d| d.group) {
            assert!(DETECTORS.iter().all(|d| d.group != group || late(d)), "{group:?}");
        }
        let context = Context {
            burst_rows: 40,
            series: Some(Series { rows: 9, span: 9, generic: true }),
            members: Some(Members { users: 2, test_like: 2, people: 0, evidence_mean: 7.0 }),
            ..Context::default()
        };
        let record = check::tenant("Test Tenant 17", "test-17", "a@example.com");
        let mut examiner = Examiner::default();
        let early = examiner.weigh(&record, &Context::default()).score.log_odds;
        let (sum, positive) = Late::default().weigh(Entity::Tenant, &context);
        let whole = examiner.weigh(&record, &context);
        assert!((early + sum - whole.score.log_odds).abs() < 1e-9);
        assert_eq!(whole.reasons.positive & positive, positive);
        assert_eq!(positive.count_ones(), 3);
    }

    #[test]
    fn telling_and_weighing_agree() {
        let record = check::user("Demo User 12", "demo12@example.com");
        let mut examiner = Examiner::default();
        let weighed = examiner.weigh(&record, &Context::default());
        let (score, signals) = examiner.tell(&record, &Context::default());
        assert_eq!(score, weighed.score);
        let positive: Vec<&str> = signals.iter().filter(|s| s.weight > 0.0).map(|s| s.id).collect();
        assert_eq!(weighed.reasons.ids().collect::<Vec<_>>(), positive);
    }
}
