//! Rows that count up: `user1` … `user99`, `Load Test 000001` and so on.
//!
//! The scan counts how many rows share a stem and how dense their numbers are; a series of generic nouns is
//! also what a hurried import makes (`Customer 1`), so it supports other signals and never suffices.

use super::lexicon;
use super::record::Prepared;
use super::text::{Kind, Words};
use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "series.numbered", title: "one of a numbered series", group: Group::Series, examine };

/// Rows from which a series is one.
pub(super) const ROWS_MIN: u64 = 8;

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let series = subject.context.series?;
    if series.rows < ROWS_MIN || series.rows * 3 < series.span {
        return None;
    }
    let weight = if series.generic { 2.0 } else { 1.0 };
    Some(Found::told(weight, |s| {
        let rows = s.context.series.map_or(0, |series| series.rows);
        format!("one of {rows} rows that differ only in a running number")
    }))
}

/// What stands before a running number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stem {
    /// Hash of the text before the number; rows of one series share it.
    pub hash: u64,
    pub number: u32,
    /// Nothing but nouns and test words.
    pub generic: bool,
}

/// The first field that ends in a number.
pub(super) fn stem(words: &Prepared) -> Option<Stem> {
    [&words.name, &words.username, &words.local].into_iter().find_map(stem_of)
}

fn stem_of(words: &Words) -> Option<Stem> {
    let (last, text) = words.iter().next_back()?;
    if last.kind != Kind::Number || words.tokens.len() < 2 {
        return None;
    }
    let number = text.parse().ok()?;
    let before = &words.joined()[..words.joined().len() - text.len()];
    Some(Stem { hash: lexicon::hash(before), number, generic: words.counts.content == 0 })
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Series};
    use super::*;

    #[test]
    fn a_dense_series_counts_and_a_sparse_one_does_not() {
        let user = check::user("", "user17@corp.com");
        let dense =
            Context { series: Some(Series { rows: 99, span: 99, generic: true }), ..Context::default() };
        let sparse =
            Context { series: Some(Series { rows: 9, span: 4_000, generic: true }), ..Context::default() };
        assert!(check::weight(&DETECTOR, &user, &dense) > 1.5);
        assert!(check::weight(&DETECTOR, &user, &sparse).abs() < 1e-9);
    }

    #[test]
    fn stems_ignore_the_number_only() {
        let stem_of = |name: &str| {
            let mut words = Prepared::default();
            words.read(&check::user(name, ""));
            stem(&words)
        };
        assert_eq!(stem_of("Customer 7").map(|s| s.hash), stem_of("customer-31").map(|s| s.hash));
        assert_ne!(stem_of("Customer 7").map(|s| s.hash), stem_of("Client 7").map(|s| s.hash));
        assert_eq!(stem_of("Maria Okafor"), None);
    }
}
