//! Evidence against: used over weeks, as people do.

use super::time::DAY_S;
use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "activity.weeks", title: "in use for weeks", group: Group::Activity, examine };

/// Shorter use is what a test run that is repeated looks like.
pub(super) const SPAN_DAYS_MIN: i64 = 14;

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let weight = match days(subject) {
        ..SPAN_DAYS_MIN => return None,
        SPAN_DAYS_MIN..60 => -1.5,
        60.. => -2.2,
    };
    Some(Found::told(weight, |s| format!("still in use {} days after it was created", days(s))))
}

/// From the creation to the last trace of use.
fn days(subject: &Subject<'_>) -> i64 {
    let record = subject.record;
    let seen = match (record.created_at, record.last_seen) {
        (Some(created), Some(seen)) => (seen - created) / DAY_S,
        (_, _) => 0,
    };
    let activity = subject.context.activity.unwrap_or_default();
    // Two traces far apart are a coincidence; several days of use are not.
    let used = if activity.days >= 4 { activity.span_s / DAY_S } else { 0 };
    seen.max(used)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Record};
    use super::*;

    #[test]
    fn use_over_weeks_counts_against_and_a_week_does_not() {
        let user = |days: i64| Record {
            created_at: Some(0),
            has_last_seen: true,
            last_seen: Some(days * DAY_S),
            ..check::user("Jane", "")
        };
        assert!(check::weight(&DETECTOR, &user(90), &Context::default()) < -2.0);
        assert!(check::weight(&DETECTOR, &user(9), &Context::default()).abs() < 1e-9);
    }
}
