//! What is waited for, in which order, and when waiting ends.

use super::*;

fn limits(lag_ms: u64, query: f64) -> Limits {
    Limits { replication_lag_ms: Some(lag_ms), query: Some(query), ..Limits::default() }
}

fn throttle() -> Throttle {
    Throttle {
        wait_above: limits(5_000, 10.0),
        stop_above: limits(60_000, 100.0),
        query: Some("SELECT 1".to_owned()),
        ..Throttle::default()
    }
}

fn read(lag: Lag, query: f64) -> Sensed {
    Sensed::Read(Readings { replication_lag: Some(lag), query: Some(query), ..Readings::default() })
}

#[track_caller]
fn waits(decision: &Decision, cause: Cause, says: &str) {
    match decision {
        Decision::Wait(reason) => assert_eq!((reason.cause, reason.says.as_str()), (cause, says)),
        Decision::Go | Decision::Stop(_) => panic!("{decision:?} is no wait for {says}"),
    }
}

#[track_caller]
fn stops(decision: &Decision, says: &str) {
    match decision {
        Decision::Stop(reason) => assert_eq!(reason.says, says),
        Decision::Go | Decision::Wait(_) => panic!("{decision:?} does not stop: {says}"),
    }
}

#[test]
fn below_its_limits_a_run_goes_on_and_above_it_waits() {
    let mut governor = Governor::new(throttle());
    let mut at = |sensed: &Sensed| governor.decide(0, sensed, Opening::Open);
    assert_eq!(at(&read(Lag::Known(5_000), 10.0)), Decision::Go);
    waits(&at(&read(Lag::Known(12_000), 10.0)), Cause::ReplicationLag, "replication lag 12 s > 5 s");
    waits(&at(&read(Lag::Known(0), 10.5)), Cause::Query, "the throttle query returned 10.5 > 10");
    // One reason, the first.
    waits(&at(&read(Lag::Known(5_100), 50.0)), Cause::ReplicationLag, "replication lag 5.1 s > 5 s");
}

#[test]
fn the_critical_limit_stops_at_once_whatever_else_is_waited_for() {
    let mut governor = Governor::new(throttle());
    let mut at = |sensed: &Sensed| governor.decide(0, sensed, Opening::Open);
    stops(&at(&read(Lag::Known(61_000), 0.0)), "replication lag 61 s > 60 s, the critical limit");
    stops(&at(&read(Lag::Known(6_000), 101.0)), "the throttle query returned 101 > 100, the critical limit");
}

#[test]
fn a_lag_that_is_not_known_yet_is_no_small_one() {
    let mut governor = Governor::new(throttle());
    waits(
        &governor.decide(0, &read(Lag::AtLeast(100), 0.0), Opening::Open),
        Cause::ReplicationLag,
        "replication lag at least 100 ms",
    );
    stops(
        &governor.decide(0, &read(Lag::AtLeast(61_000), 0.0), Opening::Open),
        "replication lag at least 61 s > 60 s, the critical limit",
    );
}

#[test]
fn a_probe_that_fails_counts_as_wait_and_then_stops_the_run() {
    let mut governor = Governor::new(Throttle { failing_ms_max: 2_000, ..throttle() });
    let failed = Sensed::Failed("the connection was lost".to_owned());
    waits(&governor.decide(500, &failed, Opening::Open), Cause::Probe, "the connection was lost");
    waits(&governor.decide(2_499, &failed, Opening::Open), Cause::Probe, "the connection was lost");
    stops(
        &governor.decide(2_500, &failed, Opening::Open),
        "whether it may go on could not be told for 2 s: the connection was lost",
    );
    // One good answer, and the time begins anew.
    assert_eq!(governor.decide(2_600, &read(Lag::Known(0), 0.0), Opening::Open), Decision::Go);
    waits(&governor.decide(2_700, &failed, Opening::Open), Cause::Probe, "the connection was lost");
}

#[test]
fn nonsense_is_a_failure() {
    for (readings, says) in [
        (Readings { query: Some(1.0), ..Readings::default() }, "the replication lag was not measured"),
        (
            Readings { replication_lag: Some(Lag::Known(1)), query: Some(f64::NAN), ..Readings::default() },
            "the throttle query returned no number",
        ),
        (
            Readings { replication_lag: Some(Lag::Known(1)), ..Readings::default() },
            "the throttle query returned no number",
        ),
    ] {
        let mut governor = Governor::new(throttle());
        waits(&governor.decide(0, &Sensed::Read(readings), Opening::Open), Cause::Probe, says);
    }
    let mut governor = Governor::new(throttle());
    waits(&governor.decide(0, &Sensed::Unasked, Opening::Open), Cause::Probe, "nothing was measured");
}

#[test]
fn a_wait_has_an_end() {
    let mut governor = Governor::new(Throttle { wait_ms_max: 60_000, ..throttle() });
    let behind = read(Lag::Known(9_000), 0.0);
    waits(
        &governor.decide(1_000, &behind, Opening::Open),
        Cause::ReplicationLag,
        "replication lag 9 s > 5 s",
    );
    waits(
        &governor.decide(60_999, &behind, Opening::Open),
        Cause::ReplicationLag,
        "replication lag 9 s > 5 s",
    );
    stops(&governor.decide(61_000, &behind, Opening::Open), "waited 60 s in vain: replication lag 9 s > 5 s");
    assert_eq!(governor.decide(62_000, &read(Lag::Known(1), 0.0), Opening::Open), Decision::Go);
    waits(
        &governor.decide(63_000, &behind, Opening::Open),
        Cause::ReplicationLag,
        "replication lag 9 s > 5 s",
    );
}

#[test]
fn other_limits_tell_their_figures() {
    let limits = Limits {
        active_sessions: Some(50),
        lock_waits: Some(2),
        wal_bytes_per_second: Some(50_000_000),
        ..Limits::default()
    };
    let throttle = Throttle { wait_above: limits, ..Throttle::default() };
    assert_eq!(throttle.measured(), ["active_sessions_max", "lock_waits_max", "wal_mb_per_second_max"]);
    let mut governor = Governor::new(throttle);
    let calm = Readings {
        active_sessions: Some(50),
        lock_waits: Some(2),
        wal_bytes_per_second: Some(0),
        ..Readings::default()
    };
    let mut at = |readings: Readings| governor.decide(0, &Sensed::Read(readings), Opening::Open);
    assert_eq!(at(calm), Decision::Go);
    let busy = Readings { active_sessions: Some(51), ..calm };
    waits(&at(busy), Cause::ActiveSessions, "active sessions: 51 > 50");
    let locked = Readings { lock_waits: Some(3), ..calm };
    waits(&at(locked), Cause::LockWaits, "sessions that wait for locks: 3 > 2");
    let written = Readings { wal_bytes_per_second: Some(62_340_000), ..calm };
    waits(&at(written), Cause::WalRate, "WAL rate 62.3 MB/s > 50.0 MB/s");
    let unknown = Readings { wal_bytes_per_second: None, ..calm };
    waits(&at(unknown), Cause::Probe, "the WAL rate is not known yet");
}

#[test]
fn a_rate_allows_no_burst_after_a_pause() {
    let mut governor = Governor::new(Throttle { rows_per_second: Some(1_000), ..Throttle::default() });
    let mut at = |now_ms| governor.decide(now_ms, &Sensed::Unasked, Opening::Open);
    assert_eq!(at(0), Decision::Go);
    governor.removed(0, 1_000);
    let mut at = |now_ms| governor.decide(now_ms, &Sensed::Unasked, Opening::Open);
    waits(&at(999), Cause::RowRate, "1000 rows per second are reached");
    assert_eq!(at(1_000), Decision::Go);
    // An hour later it is still one batch a second.
    governor.removed(3_600_000, 500);
    assert_eq!(governor.due_in_ms(3_600_000), 500);
    governor.removed(3_600_500, 1_000);
    assert_eq!(governor.due_in_ms(3_600_500), 1_000);
}

#[test]
fn a_rate_bounds_a_batch_to_a_second() {
    let rated = Throttle { rows_per_second: Some(20_000), ..Throttle::default() };
    assert_eq!([rated.batch_rows_max(180_000), rated.batch_rows_max(500)], [20_000, 500]);
    assert_eq!(Throttle::default().batch_rows_max(180_000), 180_000);
}

#[test]
fn a_window_is_waited_for_without_an_end() {
    let window = Window::parse("22:00-06:00 Europe/Berlin").unwrap();
    let mut governor = Governor::new(Throttle { window: Some(window), ..Throttle::default() });
    let noon = Opening::Closed { minute: 12 * 60 + 5 };
    let says = "outside of the window 22:00-06:00 Europe/Berlin, it is 12:05 there";
    for now_ms in [0, 40_000_000] {
        waits(&governor.decide(now_ms, &Sensed::Unasked, noon), Cause::Window, says);
    }
    assert_eq!(governor.decide(0, &Sensed::Unasked, Opening::Open), Decision::Go);
    let unknown = governor.decide(0, &Sensed::Unasked, Opening::Unknown);
    waits(&unknown, Cause::Probe, "the time in the zone of the window is not known");
}

#[test]
fn windows_may_pass_midnight() {
    let night = Window::parse("22:00-06:00 UTC").unwrap();
    let inside = |window: &Window, hour: u16, minute: u16| window.contains(hour * 60 + minute);
    assert!(inside(&night, 22, 0) && inside(&night, 0, 0) && inside(&night, 5, 59));
    assert!(!inside(&night, 6, 0) && !inside(&night, 21, 59));
    let day = Window::parse("09:30-24:00 America/New_York").unwrap();
    assert!(inside(&day, 9, 30) && inside(&day, 23, 59) && !inside(&day, 0, 0) && !inside(&day, 9, 29));
    assert_eq!((day.to_string().as_str(), day.zone()), ("09:30-24:00 America/New_York", "America/New_York"));
}

#[test]
fn what_is_no_window_is_told() {
    for (text, why) in [
        ("22:00-06:00", "it names no time zone"),
        ("22:00 UTC", "it has no end"),
        ("22:00-25:00 UTC", "`25:00` is no time of a day"),
        ("22:61-23:00 UTC", "`22:61` is no time of a day"),
        ("9:00-10:00 UTC", "`9:00` is no time of a day"),
        ("06:00-06:00 UTC", "it is empty"),
        ("24:00-06:00 UTC", "it is empty"),
        ("22:00-06:00 Europe/Berlin UTC", "it names no time zone"),
    ] {
        assert_eq!(Window::parse(text).unwrap_err(), format!("`{text}` is no window: {why}"));
    }
}
