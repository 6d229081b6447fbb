//! Rows created at the same interval, one after the other: a script with a pause in its loop.
//!
//! Imports are paced too, so it supports other signals and never suffices, as a burst does.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "created.regular", title: "created at a machine's pace", group: Group::Rhythm, examine };

/// What it adds.
pub const WEIGHT: f64 = 1.5;
/// Rows from which an interval is one.
const ROWS_MIN: u64 = 8;

fn examine(subject: &Subject<'_>) -> Option<Found> {
    (subject.context.regular_rows >= ROWS_MIN).then(|| {
        Found::told(WEIGHT, |s| {
            format!("one of {} rows created at the same interval", s.context.regular_rows)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::*;

    #[test]
    fn a_long_run_counts_and_a_short_one_is_chance() {
        let weigh = |regular_rows| {
            check::weight(
                &DETECTOR,
                &check::user("Jane", ""),
                &Context { regular_rows, ..Context::default() },
            )
        };
        assert!(weigh(40) > 1.0 && weigh(4).abs() < 1e-9);
    }
}
