//! Endings that machines make: Unix times, hex, UUIDs, zero-padded run numbers, dates.
//!
//! A tool that creates rows must keep their names apart, a person need not. Applications do the same to slugs
//! (`brennan-3fa9c1`), so an ending of a slug weighs little.

use super::text::{Kind, Words};
use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector = Detector {
    id: "name.machine-suffix",
    title: "name ends like a machine made it",
    group: Group::Shape,
    examine,
};

/// Seconds since 1970 that a run between 2010 and 2035 would write.
const EPOCH_S: std::ops::RangeInclusive<u64> = 1_262_304_000..=2_051_222_400;

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let w = &subject.words;
    let fields: [(&Words, f64); 3] = [(&w.name, 1.0), (&w.slug, 0.45), (&w.username, 0.7)];
    let best = fields.into_iter().filter_map(|(words, share)| {
        let (weight, says) = ending(words)?;
        Some((weight * share, says))
    });
    let (weight, says) = best.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Found::new(weight, says))
}

/// What the last token of a field looks like, if a machine made it.
pub(super) fn ending(words: &Words) -> Option<(f64, &'static str)> {
    let (last, text) = words.iter().next_back()?;
    if words.tokens.len() < 2 {
        return None;
    }
    match last.kind {
        Kind::Number => number(text),
        Kind::Mixed if is_uuid_tail(words) => Some((3.5, "name ends in a UUID")),
        Kind::Mixed => mixed(text),
        Kind::Word => None,
    }
}

fn number(text: &str) -> Option<(f64, &'static str)> {
    let value: u64 = text.parse().ok()?;
    match text.len() {
        10 if EPOCH_S.contains(&value) => Some((3.5, "name ends in a Unix time")),
        13 if EPOCH_S.contains(&(value / 1_000)) => Some((3.8, "name ends in a Unix time in milliseconds")),
        4.. if text.starts_with('0') => Some((2.5, "name ends in a zero-padded run number")),
        8 if (20_100_101..=20_401_231).contains(&value) => Some((1.5, "name ends in a date")),
        5.. => Some((1.5, "name ends in a long number")),
        3.. if text.starts_with('0') => Some((1.5, "name ends in a zero-padded run number")),
        4 if (1_900..=2_100).contains(&value) => None,
        3 | 4 => Some((0.8, "name ends in a number")),
        _ => None,
    }
}

fn mixed(text: &str) -> Option<(f64, &'static str)> {
    let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    match text.len() {
        6.. if hex => Some((2.8, "name ends in hex digits")),
        4 | 5 if hex && digits > 0 => Some((1.5, "name ends in hex digits")),
        8.. if digits >= 2 && digits + 2 <= text.len() => {
            Some((1.8, "name ends in random letters and digits"))
        }
        _ => None,
    }
}

/// Five groups of 8, 4, 4, 4 and 12 hex digits at the end.
fn is_uuid_tail(words: &Words) -> bool {
    let lengths = [12, 4, 4, 4, 8];
    let mut groups = words.iter().rev();
    lengths.iter().all(|wanted| {
        groups.next().is_some_and(|(_, t)| t.len() == *wanted && t.bytes().all(|b| b.is_ascii_hexdigit()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::*;

    #[track_caller]
    fn weigh(name: &str) -> f64 {
        check::weight(&DETECTOR, &check::tenant(name, "", ""), &Context::default())
    }

    #[test]
    fn machine_endings_are_found() {
        for name in [
            "Tenant 1712345678",
            "Org 1712345678123",
            "E2E Org 00d2be",
            "run-8f14e45f-ceea-467f-a9a3-12ab34cd56ef",
            "Load Test 000123",
        ] {
            assert!(weigh(name) >= 2.5, "{name}: {}", weigh(name));
        }
    }

    #[test]
    fn years_models_and_small_numbers_are_not() {
        for name in [
            "Class of 1998",
            "Studio 54",
            "Boeing 747 Parts",
            "Forever 21",
            "Route 66",
            "Area51",
            "3M",
            "Motel 6",
        ] {
            assert!(weigh(name) <= 0.8, "{name}: {}", weigh(name));
        }
    }
}
