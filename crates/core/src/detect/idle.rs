//! Nothing ever happened: no log-in, no session, or everything within the first hour.
//!
//! Weak: new rows and forgotten trials look the same.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "activity.none", title: "never used", group: Group::Activity, examine };

/// What happens sooner than this after creation is part of the creation.
const FIRST_HOUR_S: i64 = 3_600;

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let record = subject.record;
    let used = subject.context.activity.is_some_and(|a| a.span_s > FIRST_HOUR_S);
    if used {
        return None;
    }
    let traces = subject.context.activity.map_or(0, |a| a.rows);
    match (record.has_last_seen, record.last_seen, record.created_at) {
        (true, None, _) if traces == 0 => Some(Found::new(1.0, "never logged in")),
        (true, None, _) => Some(Found::new(0.7, "no log-in is recorded")),
        (true, Some(seen), Some(created)) if seen - created <= FIRST_HOUR_S => {
            Some(Found::new(0.9, "not seen again after the first hour"))
        }
        (true, Some(_), _) => None,
        (false, _, _) if subject.context.activity.is_some() && traces == 0 => {
            Some(Found::new(0.8, "no activity at all"))
        }
        (false, _, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Activity, Context, Record};
    use super::*;

    #[test]
    fn never_used_is_a_weak_signal_and_a_later_log_in_ends_it() {
        let user = |last_seen| Record {
            created_at: Some(1_000_000),
            has_last_seen: true,
            last_seen,
            ..check::user("Jane", "")
        };
        let none = Context::default();
        assert!(check::weight(&DETECTOR, &user(None), &none) > 0.5);
        assert!(check::weight(&DETECTOR, &user(Some(1_000_060)), &none) > 0.5);
        assert!(check::weight(&DETECTOR, &user(Some(9_000_000)), &none).abs() < 1e-9);
    }

    #[test]
    fn a_table_that_records_nothing_says_nothing() {
        assert!(check::weight(&DETECTOR, &check::user("Jane", ""), &Context::default()).abs() < 1e-9);
        let used = Context {
            activity: Some(Activity { rows: 9, days: 4, span_s: 400_000, hours: 0 }),
            ..Context::default()
        };
        assert!(check::weight(&DETECTOR, &check::user("Jane", ""), &used).abs() < 1e-9);
    }
}
