//! What is kept, for how long, and what never ends early.

use super::*;

const DAY_S: u64 = 86_400;

fn quarantined(until: &str) -> Kept {
    let quarantine = Quarantine { since: at(1), until: until.to_owned(), refused: None };
    Kept { quarantine: Some(quarantine), ..Kept::default() }
}

/// The start of a day of January 2026.
fn at(day: u32) -> String {
    format!("2026-01-{day:02}T00:00:00.000Z")
}

#[track_caller]
fn stands(state: RunState, kept: &Kept, keep_days: Option<u64>, now: &str, expected: &Standing) {
    let keep_s = keep_days.map(|days| days * DAY_S);
    let finished = at(1);
    let question = Question { state, finished_at: Some(&finished), has_rows: true, kept, keep_s, now };
    assert_eq!(standing(&question), *expected);
}

#[test]
fn a_quarantine_is_due_when_its_time_is_over_and_not_a_second_earlier() {
    let kept = quarantined(&at(31));
    let state = RunState::Quarantined;
    stands(state, &kept, None, "2026-01-30T23:59:59.999Z", &Standing::Quarantined { until: at(31) });
    stands(state, &kept, None, &at(31), &Standing::Due { since: at(31) });
    // A clock that went back makes nothing due.
    stands(state, &kept, None, "1999-01-01T00:00:00.000Z", &Standing::Quarantined { until: at(31) });
    stands(state, &kept, None, "soon", &Standing::Quarantined { until: at(31) });
    stands(state, &quarantined("soon"), None, &at(31), &Standing::Quarantined { until: "soon".to_owned() });
    stands(state, &Kept::default(), Some(1), &at(31), &Standing::Kept { until: None });
}

#[test]
fn an_archive_outlives_its_quarantine_where_archives_are_kept_longer() {
    let kept = quarantined(&at(11));
    stands(RunState::Quarantined, &kept, Some(20), &at(12), &Standing::Quarantined { until: at(21) });
    stands(RunState::Quarantined, &kept, Some(20), &at(21), &Standing::Due { since: at(21) });
    stands(RunState::Quarantined, &kept, Some(5), &at(12), &Standing::Due { since: at(11) });
}

#[test]
fn the_longer_of_plan_and_configuration_counts_and_nothing_said_means_for_ever() {
    let agreed = Keeping { archive_s: Some(20 * DAY_S), quarantine_s: None };
    let kept = Kept { agreed, ..Kept::default() };
    for state in [RunState::Done, RunState::Verified, RunState::Restored] {
        stands(state, &kept, Some(10), &at(15), &Standing::Kept { until: Some(at(21)) });
        stands(state, &kept, Some(25), &at(22), &Standing::Kept { until: Some(at(26)) });
        stands(state, &kept, Some(10), &at(21), &Standing::Over { since: at(21) });
        stands(state, &kept, None, &at(31), &Standing::Kept { until: None });
        stands(state, &Kept::default(), Some(10), &at(11), &Standing::Over { since: at(11) });
    }
}

#[test]
fn holds_and_runs_that_are_not_over_outrank_every_time() {
    let hold = Hold { at: at(2), by: "kim".to_owned(), reason: "case 7".to_owned() };
    let held = Kept { hold: Some(hold.clone()), ..quarantined(&at(3)) };
    for state in [RunState::Quarantined, RunState::Done, RunState::Restored] {
        stands(state, &held, Some(1), &at(31), &Standing::Held(hold.clone()));
    }
    for state in [RunState::Running, RunState::Stopped] {
        stands(state, &Kept::default(), Some(1), &at(31), &Standing::Unfinished);
    }
    let expired = Expired { at: at(9), by: "kim".to_owned(), why: String::new() };
    let gone = Kept { expired: Some(expired.clone()), ..held };
    stands(RunState::Done, &gone, Some(1), &at(31), &Standing::Expired(expired));
}

#[test]
fn a_clock_that_went_back_does_not_shorten_a_quarantine() {
    let agreed = Keeping { quarantine_s: Some(10 * DAY_S), archive_s: None };
    let seen = [at(5), "never".to_owned(), at(3)];
    let begun = begin(agreed, "1970-01-01T00:00:07.000Z", seen.iter().map(String::as_str)).unwrap();
    assert_eq!((begun.since, begun.until), (at(5), at(15)));
    let begun = begin(agreed, &at(6), seen.iter().map(String::as_str)).unwrap();
    assert_eq!((begun.since, begun.until), (at(6), at(16)));
    let longer = Keeping { archive_s: Some(20 * DAY_S), ..agreed };
    assert_eq!(begin(longer, &at(6), std::iter::empty()).unwrap().until, at(26));
    assert_eq!(begin(Keeping::default(), &at(6), std::iter::empty()), None);
}

#[test]
fn times_are_read_and_told() {
    for (text, seconds, told) in [
        ("30d", 30 * DAY_S, "30 days"),
        ("1d", DAY_S, "1 day"),
        ("2w", 14 * DAY_S, "14 days"),
        ("12h", 12 * 3_600, "12 hours"),
        ("90s", 90, "90 seconds"),
    ] {
        assert_eq!(span(text, "`--quarantine`").map(span_text), Ok(told.to_owned()));
        assert_eq!(span(text, "`--quarantine`"), Ok(seconds));
    }
    for text in
        ["", "d", "30", "0d", "-1d", "+1d", "1.5d", "1m", "30 d", "9999999d", "99999999999999999999d", "1é"]
    {
        assert!(span(text, "`keep`").is_err(), "{text}");
    }
}
