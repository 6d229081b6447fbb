//! Local parts that no person chose: long hex or random runs, and Unix times.
//!
//! Relay services make such addresses for real people (`3fa9c1d2@privaterelay…`), so they are left alone, and
//! elsewhere the signal is weak.

use super::text::Kind;
use super::{Detector, Found, Group, Subject, suffix};

pub(super) const DETECTOR: Detector = Detector {
    id: "mail.machine-made",
    title: "mail address made by a machine",
    group: Group::Shape,
    examine,
};

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let words = &subject.words.local;
    if words.is_empty() || subject.words.site.classes.relay {
        return None;
    }
    let ending = suffix::ending(words).map(|(weight, _)| weight * 0.6);
    let whole = words.iter().filter(|(t, text)| t.kind == Kind::Mixed && is_random(text)).map(|_| 1.6).next();
    let long_hex = words.iter().any(|(_, t)| {
        t.len() >= 8 && t.bytes().all(|b| b.is_ascii_hexdigit()) && t.bytes().any(|b| b.is_ascii_digit())
    });
    // Somebody let a machine choose an address that is thrown away.
    let thrown = subject.words.site.classes.disposable && words.counts.mixed > 0;
    let weight = ending.unwrap_or(0.0).max(whole.unwrap_or(0.0)).max(if thrown {
        2.0
    } else if long_hex {
        1.8
    } else {
        0.0
    });
    (weight >= 0.8).then(|| Found::new(weight, "mail address is made by a machine"))
}

/// Eight or more, hex or with several digits among the letters.
fn is_random(text: &str) -> bool {
    let switches =
        text.as_bytes().windows(2).filter(|w| w[0].is_ascii_digit() != w[1].is_ascii_digit()).count();
    text.len() >= 8 && switches >= 3
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::*;

    #[track_caller]
    fn weigh(email: &str) -> f64 {
        check::weight(&DETECTOR, &check::user("", email), &Context::default())
    }

    #[test]
    fn machine_made_addresses_are_found() {
        for email in ["1bb3f74c@corp.com", "test-1712345678123@corp.com", "a8k3x9q2z@corp.com"] {
            assert!(weigh(email) > 1.0, "{email}");
        }
    }

    #[test]
    fn years_and_relays_are_not() {
        for email in
            ["maria.1987@corp.com", "hans59@gmx.de", "x7k2p9qq4m@privaterelay.appleid.com", "bob2@corp.com"]
        {
            assert!(weigh(email).abs() < 1e-9, "{email}");
        }
    }
}
