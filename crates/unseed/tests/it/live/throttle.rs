//! Waiting for others: what is waited for, that nothing is held meanwhile, and that it ends.

use super::{LONG, Running, TENANTS, configure, plan, report};
use crate::lab::{Lab, fault};
use crate::semantics_postgres::{Holder, wait_for};
use std::time::{Duration, Instant};
use unseed_testkit::server::{Postgres, Settings};

/// Nothing of ours is open on this database.
#[track_caller]
pub(crate) fn assert_nothing_is_held(lab: &Lab<'_>) {
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name = 'unseed' AND state LIKE 'idle in transaction%'";
    let locks = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid JOIN pg_class c ON c.oid = l.relation \
        WHERE a.datname = current_database() AND a.application_name = 'unseed' AND c.relname IN ('tenants', 'users')";
    wait_for(lab, open, "0");
    // A query of the throttle that reads these tables holds its lock while it runs.
    wait_for(lab, locks, "0");
}

/// The query stands for anything that others measure; it is asked again and again.
#[test]
fn a_purge_waits_between_its_batches_for_a_query_and_holds_nothing() {
    let lab =
        Lab::postgres(&format!("{TENANTS} CREATE TABLE queue (depth int); INSERT INTO queue VALUES (50);"));
    configure(
        &lab,
        "[throttle]\nrows_per_second = 60\nprobe_max = \"20s\"\nquery_max = 10\n\
         query = \"SELECT CASE WHEN (SELECT count(*) FROM tenants) < 55 THEN depth ELSE 0 END FROM queue\"",
    );
    plan(&lab);
    let mut purge = Running::purge(&lab);
    purge.says("waiting: the throttle query returned 50 > 10");
    let left = lab.count("tenants");
    assert!((2..55).contains(&left), "it began, and did not end: {left}");
    assert_nothing_is_held(&lab);
    // While it waits, others change what will leave.
    lab.sql(
        "SET lock_timeout = '2s'; UPDATE users SET tenant_id = tenant_id; INSERT INTO users VALUES (900, 60)",
    );
    assert_eq!(lab.count("tenants"), left);
    lab.sql("UPDATE queue SET depth = 10");
    let answer = purge.end();
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!((lab.count("tenants"), lab.count("users")), (1, 5));
    assert!(answer.stdout.contains("waited ") && answer.stdout.contains("returned 50 > 10"), "{answer:?}");
    let report = report(&lab, "r-1");
    assert!(report["waits"]["query"]["ms"].as_u64().unwrap() > 0, "{report}");
    assert!(report["waits"]["query"]["times"].as_u64().unwrap() >= 1, "{report}");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_eq!((lab.count("tenants"), lab.count("users")), (60, 301));
}

/// A tool that ignores a probe that fails goes on blindly.
#[test]
fn a_probe_that_fails_stops_the_run_resumable() {
    let lab =
        Lab::postgres(&format!("{TENANTS} CREATE TABLE queue (depth int); INSERT INTO queue VALUES (50);"));
    configure(
        &lab,
        "[throttle]\nfailing_max = \"3s\"\nprobe_max = \"20s\"\nquery_max = 10\nquery = \"SELECT depth FROM queue\"",
    );
    plan(&lab);
    let mut purge = Running::purge(&lab);
    purge.says("waiting: the throttle query returned 50 > 10");
    lab.sql("DROP TABLE queue");
    let answer = purge.end();
    let says = [
        "before its first batch",
        "whether it may go on could not be told for",
        "relation \"queue\" does not exist",
        "unseed resume r-1",
    ];
    fault(&answer, 4, &says);
    assert_eq!(lab.count("tenants"), 60);
    // A resume looks first, and is where it was if it sees nothing.
    let blind = lab.run(&["resume", "r-1", "--confirm", "r-1"]);
    fault(&blind, 4, &["relation \"queue\" does not exist", "run `r-1` is where it was"]);
    lab.sql("CREATE TABLE queue AS SELECT 1 AS depth");
    // The table is new, so the plan is stale only where it matters: the schema is compared.
    let resumed = lab.run(&["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert_eq!(lab.count("tenants"), 1);
}

#[test]
fn a_probe_that_cannot_work_leaves_the_plan_unused() {
    let lab = Lab::postgres(TENANTS);
    plan(&lab);
    for (query, more, says) in [
        ("SELECT depth FROM nowhere", "", "relation \"nowhere\" does not exist"),
        ("SELECT 'Tenant of somebody'", "", "the throttle query returned no number"),
        ("SELECT NULL", "", "the throttle query returned nothing"),
        ("SELECT id FROM tenants WHERE id < 1", "", "the throttle query returned nothing"),
        ("SELECT id FROM tenants", "", "more than one row returned by a subquery"),
        ("SELECT 1); DROP TABLE users; SELECT (1", "", "cannot insert multiple commands"),
        ("SELECT pg_sleep(60)::text", "probe_max = \"300ms\"", "statement timeout"),
        ("SELECT 'NaN'", "", "the throttle query returned no number"),
    ] {
        configure(&lab, &format!("[throttle]\nquery_max = 10\nquery = \"{query}\"\n{more}"));
        let text = fault(&lab.try_purge(), 4, &[says, "nothing was changed"]);
        assert!(!text.contains("somebody"), "no content of rows: {text}");
    }
    assert_eq!((lab.count("tenants"), lab.count("users")), (60, 300));
    // What writes does not work either.
    lab.sql("CREATE FUNCTION sneaky() RETURNS int LANGUAGE sql AS 'DELETE FROM users; SELECT 1'");
    plan(&lab);
    configure(&lab, "[throttle]\nquery_max = 10\nquery = \"SELECT sneaky()\"");
    fault(&lab.try_purge(), 4, &["read-only transaction"]);
    configure(&lab, "");
    lab.purge();
}

/// Sessions and locks are those of the whole server, so this one is the test's own.
#[test]
fn locks_sessions_and_writing_of_others_are_waited_for() {
    let server = Postgres::start_own(&Settings::default()).unwrap();
    let lab =
        Lab::on(&server, &format!("{TENANTS} CREATE TABLE others (id int); INSERT INTO others VALUES (1);"));
    configure(&lab, "[throttle]\nlock_waits_max = 0\nprobe_max = \"20s\"");
    plan(&lab);
    let holder = Holder::of(&lab, "SELECT * FROM others FOR UPDATE");
    let waiter = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| lab.sql("UPDATE others SET id = 2"));
        wait_for(&lab, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
        let mut purge = Running::purge(&lab);
        purge.says("waiting: sessions that wait for locks: 1 > 0");
        assert_eq!(lab.count("tenants"), 60);
        drop(holder);
        waiting.join().unwrap();
        purge.end()
    });
    assert_eq!(waiter.code, Some(0), "{waiter:?}");
    lab.restore("r-1");

    configure(
        &lab,
        "[throttle]\nactive_sessions_max = 0\nwait_max = \"2s\"\nprobe_max = \"20s\"\n[throttle.critical]\nactive_sessions_max = 1",
    );
    plan(&lab);
    let busy = |n: usize| {
        let mut client = server.client("psql", lab.database().name());
        let sleeper = client.args(["-X", "-c", "SELECT pg_sleep(600)"]).stdout(std::process::Stdio::null());
        let child = sleeper.spawn().unwrap();
        let active =
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query ~ '^SELECT pg_sleep'";
        wait_for(&lab, active, &n.to_string());
        child
    };
    let mut one = busy(1);
    let answer = Running::purge(&lab).end();
    fault(&answer, 4, &["active sessions: 1 > 0", "unseed resume r-2"]);
    let mut two = busy(2);
    let answer = Running::start(&lab, &["resume", "r-2", "--confirm", "r-2"]).end();
    fault(&answer, 4, &["active sessions: 2 > 1, the critical limit"]);
    assert_eq!(lab.count("tenants"), 60);
    for sleeper in [&mut one, &mut two] {
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
    lab.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'");
    wait_for(&lab, "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'", "0");
    lab.json(0, &["resume", "r-2", "--confirm", "r-2"]);
    lab.restore("r-2");

    lab.sql("CREATE TABLE written (x text)");
    configure(&lab, "[throttle]\nwal_mb_per_second_max = 1\nrows_per_second = 30\nprobe_max = \"20s\"");
    plan(&lab);
    let mut purge = Running::purge(&lab);
    purge.until("some tenants are gone", |_| lab.count("tenants") < 60);
    lab.sql("INSERT INTO written SELECT repeat('x', 1000) FROM generate_series(1, 30000)");
    purge.until("it waits", |said| said.contains("waiting: WAL rate ") && said.contains(" > 1.0 MB/s"));
    let answer = purge.end();
    assert_eq!(answer.code, Some(0), "{answer:?}");
}

/// Replay that stands still looks like no lag at all in the server's own figures.
#[test]
fn a_replica_that_falls_behind_is_waited_for() {
    let primary = Postgres::start_own(&Settings::default()).unwrap();
    let replica = primary.start_replica().unwrap();
    let lab = Lab::on(
        &primary,
        &format!("{TENANTS} CREATE TABLE queue (depth int); INSERT INTO queue VALUES (0);"),
    );
    // To pause is a request, which the replica follows before its next record.
    let replay = |word: &str, state: &str| {
        replica.psql("postgres", &format!("SELECT pg_wal_replay_{word}()")).unwrap();
        let begun = Instant::now();
        while replica.psql("postgres", "SELECT pg_get_wal_replay_pause_state()").unwrap().trim() != state {
            assert!(begun.elapsed() < LONG, "the replica never is `{state}`");
        }
    };
    wait_for(&lab, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "1");
    configure(
        &lab,
        "[throttle]\nreplication_lag_max = \"700ms\"\nrows_per_second = 30\nprobe_max = \"20s\"\n\
         query = \"SELECT depth FROM queue\"\nquery_max = 10",
    );
    plan(&lab);
    replay("pause", "paused");
    lab.sql("INSERT INTO tenants VALUES (1000, 'late')");
    // So that it is behind before the first batch.
    std::thread::sleep(Duration::from_secs(1));
    let mut purge = Running::purge(&lab);
    purge.says("waiting: replication lag ");
    assert_eq!(lab.count("tenants"), 61);
    // The queue holds it while the replica catches up and is stopped again, however long that takes here.
    lab.sql("UPDATE queue SET depth = 50");
    replay("resume", "not paused");
    purge.says("waiting: the throttle query returned 50 > 10");
    assert_eq!(lab.count("tenants"), 61);
    replay("pause", "paused");
    let before = purge.stderr().lines().count();
    lab.sql("UPDATE queue SET depth = 0");
    // It goes on, and the replica falls behind again.
    purge.until("it waits for the lag", |said| {
        let mut lines = said.lines().skip(before);
        lines.any(|line| line.starts_with("waiting: replication lag ") && line.ends_with(" > 700 ms"))
    });
    let left = lab.count("tenants");
    assert!(left > 2, "it has not ended: {left}");
    assert_nothing_is_held(&lab);
    replay("resume", "not paused");
    let answer = purge.end();
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(report(&lab, "r-1")["waits"]["replication_lag"]["times"].as_u64().unwrap() >= 2);
    // Without any replica nobody knows how far it is.
    drop(replica);
    wait_for(&lab, "SELECT count(*) FROM pg_stat_replication", "0");
    plan_again(&lab);
    fault(&lab.try_purge(), 4, &["no replica is connected, so its lag is not known"]);
    configure(&lab, "");
    lab.purge();
}

fn plan_again(lab: &Lab<'_>) {
    lab.plan("tenants: id = 1000", &["--max-share", "1"]);
}

/// A role that sees the activity of others as empty would find every server at rest.
#[test]
fn a_role_that_may_not_look_is_refused() {
    let lab = Lab::postgres(TENANTS).owned();
    configure(&lab, "[throttle]\nactive_sessions_max = 1000");
    plan(&lab);
    let other = Holder::of(&lab, "SELECT 1");
    fault(&lab.try_purge(), 4, &["this role may not see what other sessions do", "GRANT pg_read_all_stats"]);
    let role = format!("role_of_{}", lab.database().name());
    lab.sql(&format!("GRANT pg_read_all_stats TO {role}"));
    lab.purge();
    drop(other);
}

#[test]
fn a_rate_holds_on_sqlite_too_and_nothing_else_can_be_measured_there() {
    let lab = Lab::sqlite(TENANTS);
    lab.plan("tenants: id > 1", &[]);
    configure(&lab, "[throttle]\nlock_waits_max = 3\nreplication_lag_max = \"1s\"");
    fault(
        &lab.try_purge(),
        2,
        &["`throttle.replication_lag_max`, `throttle.lock_waits_max` cannot be measured"],
    );
    configure(&lab, "[throttle]\nrows_per_second = 100");
    let begun = Instant::now();
    let report = lab.purge();
    // 354 rows: after the first 100, a second for each further hundred.
    assert!(begun.elapsed() >= Duration::from_millis(2_400), "{:?}", begun.elapsed());
    assert!(report["batches"]["done"].as_u64().unwrap() >= 4, "no batch of more than a second: {report}");
    assert!(report["waits"]["row_rate"]["ms"].as_u64().unwrap() > 500, "{report}");
    lab.verify("r-1");
}

/// A window of an hour that begins so many hours from now.
pub(crate) fn window(hours_from_now: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let minute = (now / 60 + hours_from_now * 60) % 1440;
    let clock = |minute: u64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    format!("{}-{} UTC", clock(minute), clock(minute + 60))
}

#[test]
fn outside_of_its_windows_a_purge_waits_or_refuses() {
    let lab = Lab::sqlite(TENANTS);
    lab.plan("tenants: id > 1", &[]);
    let closed = window(6);
    configure(&lab, &format!("[purge]\nwindow = \"{closed}\""));
    let says = format!("it is outside of the maintenance window {closed}");
    fault(&lab.try_purge(), 3, &[&says, "nothing was changed"]);
    configure(&lab, "[purge]\nwindow = \"22:00-06:00 Europe/Nowhere\"");
    fault(&lab.try_purge(), 2, &["the time zone `Europe/Nowhere` is not known"]);
    // The plan was not used up.
    configure(&lab, &format!("[throttle]\nwindow = \"{closed}\""));
    let mut purge = Running::purge(&lab);
    purge.says(&format!("waiting: outside of the window {closed}, it is "));
    purge.signal("-INT");
    fault(&purge.end(), 130, &["was interrupted before its first batch", "unseed resume r-1"]);
    assert_eq!(lab.count("tenants"), 60);
    let open = window(0);
    configure(&lab, &format!("[throttle]\nwindow = \"{open}\"\n[purge]\nwindow = \"{open}\""));
    lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(lab.count("tenants"), 1);
}
