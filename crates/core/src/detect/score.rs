//! Adds signals up to a probability and a verdict.
//!
//! Weights are log-odds. Within a [`Group`] signals are mostly the same observation (a name and the slug made
//! from it), so the strongest counts in full and the others little; evidence for and against is damped apart,
//! since a contradiction is not a repetition.
//!
//! Invariants
//! - the order of signals does not change the sum;
//! - no signal at all gives the prior.
//!
//! Not here: weights (one file per signal), thresholds of a configuration (`config`).

use super::Group;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Log-odds of a row about which nothing is known: one in twenty.
pub const PRIOR: f64 = -3.0;
/// What the second and the later signals of a group still count.
const DAMPING: [f64; 2] = [0.35, 0.15];

/// One reason, for or against.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signal {
    pub id: &'static str,
    #[serde(skip)]
    pub group: Group,
    pub weight: f64,
    pub says: Cow<'static, str>,
}

/// Log-odds that a row is test data.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Score {
    pub log_odds: f64,
}

impl Score {
    /// The probability, 0 to 1.
    pub fn probability(self) -> f64 {
        1.0 / (1.0 + (-self.log_odds).exp())
    }

    /// What the signals say without the prior.
    pub fn evidence(self) -> f64 {
        self.log_odds - PRIOR
    }
}

/// The sum of the signals on top of the prior.
pub fn sum(signals: &[Signal]) -> Score {
    let weights: Vec<(Group, f64)> = signals.iter().map(|s| (s.group, s.weight)).collect();
    total(&weights)
}

/// How much of each signal's weight counts in the sum, in their order.
pub fn counted(signals: &[Signal]) -> Vec<f64> {
    let weights: Vec<(Group, f64)> = signals.iter().map(|s| (s.group, s.weight)).collect();
    (0..weights.len()).map(|i| weights[i].1 * share_of(&weights, i)).collect()
}

/// The sum of weights by their groups on top of the prior.
pub fn total(weights: &[(Group, f64)]) -> Score {
    let mut log_odds = PRIOR;
    for (i, weight) in weights.iter().enumerate() {
        log_odds += weight.1 * share_of(weights, i);
    }
    Score { log_odds }
}

/// The part of a weight that counts, given the others of its group.
fn share_of(weights: &[(Group, f64)], i: usize) -> f64 {
    let stronger = weights.iter().enumerate().filter(|(j, other)| outranks(**other, weights[i], *j < i));
    share(stronger.count())
}

/// Whether `other` says the same as `one`, and louder; among equals the earlier one does.
fn outranks(other: (Group, f64), one: (Group, f64), earlier: bool) -> bool {
    let same = other.0 == one.0 && (other.1 < 0.0) == (one.1 < 0.0);
    let (other, own) = (other.1.abs(), one.1.abs());
    same && (other > own || (earlier && other.total_cmp(&own).is_eq()))
}

fn share(stronger: usize) -> f64 {
    match stronger {
        0 => 1.0,
        1 => DAMPING[0],
        2.. => DAMPING[1],
    }
}

/// What becomes of a row. A protected row may have any verdict; protection is decided by the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Test,
    Suspect,
    Real,
}

impl Verdict {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Suspect => "suspect",
            Self::Real => "real",
        }
    }
}

/// From which probability on a row is called test or suspect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    pub test: f64,
    pub suspect: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { test: 0.95, suspect: 0.5 }
    }
}

impl Thresholds {
    /// The verdict for a score.
    pub fn verdict(&self, score: Score) -> Verdict {
        let probability = score.probability();
        if probability >= self.test {
            Verdict::Test
        } else if probability >= self.suspect {
            Verdict::Suspect
        } else {
            Verdict::Real
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(group: Group, weight: f64) -> Signal {
        Signal { id: "x", group, weight, says: Cow::Borrowed("") }
    }

    #[test]
    fn one_observation_seen_twice_counts_little_more_than_once() {
        let once = sum(&[signal(Group::Name, 5.0)]).log_odds;
        let twice = sum(&[signal(Group::Name, 5.0), signal(Group::Name, 5.0)]).log_odds;
        let apart = sum(&[signal(Group::Name, 5.0), signal(Group::Flag, 5.0)]).log_odds;
        assert!((once - 2.0).abs() < 1e-9 && (twice - 3.75).abs() < 1e-9 && (apart - 7.0).abs() < 1e-9);
    }

    #[test]
    fn evidence_against_is_not_damped_by_evidence_for() {
        let both = sum(&[signal(Group::Money, 4.0), signal(Group::Money, -4.0)]);
        assert!((both.log_odds - PRIOR).abs() < 1e-9);
        assert_eq!(Thresholds::default().verdict(both), Verdict::Real);
    }
}
