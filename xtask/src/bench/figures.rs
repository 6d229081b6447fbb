//! What was measured: named numbers per round.
//!
//! A name is `contestant` or `contestant.part`; times are seconds, memory is MiB, everything else a count.

use std::collections::BTreeMap;

/// Of one contestant in one round.
pub(super) type Samples = BTreeMap<String, f64>;

/// Of all rounds.
#[derive(Debug, Default)]
pub(super) struct Figures {
    samples: BTreeMap<String, Vec<f64>>,
}

impl Figures {
    pub(super) fn add(&mut self, samples: Samples) {
        for (name, value) in samples {
            self.samples.entry(name).or_default().push(value);
        }
    }

    pub(super) fn median(&self, name: &str) -> Option<f64> {
        median(self.samples.get(name)?.clone())
    }

    /// The worst of all rounds.
    pub(super) fn highest(&self, name: &str) -> Option<f64> {
        self.samples.get(name)?.iter().copied().reduce(f64::max)
    }

    /// The median over the rounds of a sum, divided by a sum of the same round.
    pub(super) fn ratio(&self, parts: &[&str], base: &[&str]) -> Option<f64> {
        let rounds = self.samples.get(*base.first()?)?.len();
        let sum = |names: &[&str], round: usize| -> Option<f64> {
            names.iter().map(|name| self.in_round(name, round)).sum()
        };
        let ratios: Option<Vec<f64>> =
            (0..rounds).map(|round| Some(sum(parts, round)? / sum(base, round)?)).collect();
        median(ratios?)
    }

    /// A name that starts with `-` counts negative.
    fn in_round(&self, name: &str, round: usize) -> Option<f64> {
        let (sign, name) = name.strip_prefix('-').map_or((1.0, name), |rest| (-1.0, rest));
        self.samples.get(name)?.get(round).map(|value| sign * value)
    }

    pub(super) fn sum_of_medians(&self, parts: &[&str]) -> Option<f64> {
        let one = |name: &&str| match name.strip_prefix('-') {
            Some(rest) => self.median(rest).map(|value| -value),
            None => self.median(name),
        };
        parts.iter().map(one).sum()
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = values.get(half)?;
    if values.len() % 2 == 1 { Some(*upper) } else { Some(f64::midpoint(*upper, *values.get(half - 1)?)) }
}

pub(super) fn in_one_line(samples: &Samples) -> String {
    let parts: Vec<String> = samples.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut figures = Figures::default();
        for (expert, plan, purge, archive) in
            [(10.0, 1.0, 4.0, 2.0), (100.0, 10.0, 40.0, 20.0), (10.0, 2.0, 3.0, 0.0)]
        {
            let names = ["expert", "plan", "purge", "archive"].map(str::to_owned);
            figures.add(names.into_iter().zip([expert, plan, purge, archive]).collect());
        }
        let ratio = figures.ratio(&["plan", "purge", "-archive"], &["expert"]).unwrap();
        assert!((ratio - 0.3).abs() < 1e-9, "{ratio}");
        assert_eq!(figures.median("expert"), Some(10.0));
        assert_eq!(figures.highest("expert"), Some(100.0));
        assert_eq!(figures.median("nothing"), None);
    }
}
