//! What the state database promises, on real files and on a real server.

use super::super::homes::{Home, each};
use super::super::migrations;
use super::*;
use std::sync::Barrier;
use unseed_core::audit::{Evidence, Examiner, chained};
use unseed_core::fault::Category;
use unseed_core::port::state::GovernanceDb;
use unseed_core::port::store::{Removed, TagRange};
use unseed_core::run::{BatchState, Consent};

fn run(id: &str, digest: &str) -> Run {
    Run {
        id: id.to_owned(),
        plan: digest[..4].to_owned(),
        plan_digest: digest.to_owned(),
        state: RunState::Running,
        started_at: "2026-01-02T03:04:05.000Z".to_owned(),
        finished_at: None,
        actor: "dana".to_owned(),
        consent: Consent::Id,
        batches_total: 3,
        report: serde_json::json!({}),
    }
}

fn batch(number: u64, state: BatchState) -> BatchRecord {
    BatchRecord {
        number,
        state,
        tags: TagRange { first: 0, last: 4 },
        roots: vec![(0, 4)],
        segment: format!("batch-{number:04}"),
        segment_hash: "blake3:00".to_owned(),
        token: "7".to_owned(),
        removed: Removed::default(),
    }
}

fn entry(outcome: &str) -> AuditEntry {
    AuditEntry {
        at: "2026-01-02T03:04:05.000Z".to_owned(),
        actor: "dana".to_owned(),
        action: "purge.batch".to_owned(),
        object: "r-1/1".to_owned(),
        outcome: outcome.to_owned(),
    }
}

#[test]
fn runs_and_batches_survive_reopening() {
    each(|home| {
        let mut state = home.open();
        state.begin_run(&run("r-1", "aaaa1")).unwrap();
        state.put_batch("r-1", &batch(2, BatchState::Archived)).unwrap();
        state.put_batch("r-1", &batch(1, BatchState::Committed)).unwrap();
        state.put_batch("r-1", &batch(2, BatchState::Committed)).unwrap();
        let report = serde_json::json!({"batches_total": 5, "odd": "a\u{0}b ü 💥 ?1 $1"});
        state.update_run("r-1", RunState::Done, &report).unwrap();
        drop(state);
        let mut state = home.open();
        let found = state.run("r-1").unwrap();
        assert_eq!((found.state, found.batches_total, found.report), (RunState::Done, 5, report));
        assert!(found.finished_at.is_some());
        let expected = [batch(1, BatchState::Committed), batch(2, BatchState::Committed)];
        assert_eq!(state.batches("r-1").unwrap(), expected);
        assert_eq!(state.next_run_id().unwrap(), "r-2");
    });
}

#[test]
fn a_plan_is_used_once_even_by_two_connections() {
    each(|home| {
        let (mut state, mut other) = (home.open(), home.open());
        state.begin_run(&run("r-1", "aaaa1")).unwrap();
        let fault = other.begin_run(&run("r-2", "aaaa1")).unwrap_err();
        assert_eq!(fault.category, Category::Refused);
        assert_eq!(fault.message, "plan `aaaa` was used by run `r-1`, and a plan is used once");
        assert_eq!(fault.hint, "run `unseed resume r-1` to finish it");
        assert_eq!(other.runs().unwrap().len(), 1);
        assert_eq!(other.run_of_plan("aaaa1").unwrap().unwrap().id, "r-1");
        let fault = other.begin_run(&run("r-1", "bbbb1")).unwrap_err();
        assert_eq!(fault.message, "another process began run `r-1` at the same time");
    });
}

#[test]
fn of_many_who_use_a_plan_at_the_same_time_one_does() {
    each(|home| {
        let outcomes = at_once((1..=4).map(|number| (number, home.open())), |(number, mut state)| {
            state.begin_run(&run(&format!("r-{number}"), "aaaa1")).is_ok()
        });
        assert_eq!(outcomes.iter().filter(|begun| **begun).count(), 1);
        assert_eq!(home.open().runs().unwrap().len(), 1);
    });
}

#[test]
fn all_who_open_a_new_state_at_the_same_time_get_it() {
    // SQLite does not wait for its turn when a file is changed to WAL, and what goes wrong does so rarely.
    let homes = std::iter::repeat_with(Home::file).take(50).chain([Home::server()]);
    for home in homes {
        at_once(0..4, |_| home.open().runs().unwrap());
    }
}

/// Does the same with each of these in a thread of its own, all at the same moment.
fn at_once<T: Send, R: Send>(things: impl IntoIterator<Item = T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let things: Vec<T> = things.into_iter().collect();
    let (barrier, work) = (Barrier::new(things.len()), &work);
    let with = |thing| {
        barrier.wait();
        work(thing)
    };
    let with = &with;
    std::thread::scope(|scope| {
        let threads: Vec<_> = things.into_iter().map(|thing| scope.spawn(move || with(thing))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn a_missing_run_is_a_usage_fault() {
    each(|home| {
        let mut state = home.open();
        assert_eq!(state.run("r-9").unwrap_err().category, Category::Usage);
        let fault = state.update_run("r-9", RunState::Done, &serde_json::Value::Null).unwrap_err();
        assert_eq!(fault.message, "no such run `r-9`");
    });
}

#[test]
fn runs_are_listed_newest_first() {
    each(|home| {
        let mut state = home.open();
        for number in 1..=11 {
            state.begin_run(&run(&format!("r-{number}"), &format!("{number:04}"))).unwrap();
        }
        let ids: Vec<String> = state.runs().unwrap().into_iter().map(|r| r.id).collect();
        assert_eq!(ids[..3], ["r-11", "r-10", "r-9"]);
    });
}

#[test]
fn a_living_lease_is_respected_and_a_released_one_is_free() {
    each(|home| {
        let (mut state, mut other) = (home.open(), home.open());
        state.lease("r-1", "dana").unwrap();
        state.lease("r-1", "dana").unwrap();
        let fault = other.lease("r-1", "kim").unwrap_err();
        assert_eq!(fault.category, Category::Refused);
        assert!(fault.message.starts_with("run `r-1` is being worked on by `dana` (process "));
        drop(state);
        other.lease("r-1", "kim").unwrap();
    });
}

#[test]
fn the_lease_of_a_dead_process_is_taken_and_its_late_writes_are_refused() {
    each(|home| {
        let mut state = home.open();
        state.begin_run(&run("r-1", "aaaa1")).unwrap();
        state.lease("r-1", "dana").unwrap();
        // As if the machine's process numbers had moved on: the holder's start time fits nobody.
        home.ask("UPDATE leases SET process_start = process_start + 1").unwrap();
        let mut other = home.open();
        other.lease("r-1", "kim").unwrap();
        let late = [
            state.put_batch("r-1", &batch(1, BatchState::Committed)).unwrap_err(),
            state.update_run("r-1", RunState::Done, &serde_json::json!({})).unwrap_err(),
        ];
        for fault in late {
            assert_eq!(fault.message, "another process took over run `r-1`");
        }
        // Not even when the new holder is done, nor under the next one.
        drop(other);
        assert!(state.put_batch("r-1", &batch(1, BatchState::Committed)).is_err());
        let mut third = home.open();
        third.lease("r-1", "lee").unwrap();
        assert!(state.put_batch("r-1", &batch(1, BatchState::Committed)).is_err());
        assert_eq!(home.ask("SELECT epoch FROM leases").unwrap(), "3");
        drop(state);
        third.put_batch("r-1", &batch(1, BatchState::Archived)).unwrap();
        assert_eq!(home.ask("SELECT count(*) FROM journal").unwrap(), "2", "the beginning, and one batch");
    });
}

#[test]
fn on_a_server_a_lease_ends_by_its_clock_and_a_heartbeat_keeps_it() {
    let home = Home::server();
    let (mut state, mut other) = (home.open(), home.open());
    state.lease_for(20);
    state.lease("r-1", "dana").unwrap();
    let end = || home.ask("SELECT expires_ms FROM leases").unwrap();
    let first = end();
    while end() == first {
        std::thread::yield_now();
    }
    assert!(other.lease("r-1", "kim").is_err(), "it was kept");
    // As if the process had not been heard of for long enough; nothing but the server's clock decides.
    home.ask("UPDATE leases SET epoch = 77, host = 'elsewhere', expires_ms = 1").unwrap();
    other.lease("r-1", "kim").unwrap();
    assert_eq!(home.ask("SELECT epoch, holder FROM leases").unwrap(), "78|kim");
}

#[test]
fn the_journal_and_all_records_cannot_be_changed() {
    each(|home| {
        let mut state = home.open();
        state.begin_run(&run("r-1", "aaaa1")).unwrap();
        state.put_batch("r-1", &batch(1, BatchState::Archived)).unwrap();
        state.put_batch("r-1", &batch(1, BatchState::Committed)).unwrap();
        state.audit(&entry("started")).unwrap();
        assert_eq!(home.ask("SELECT count(*) FROM journal").unwrap(), "3");
        let mut ways = vec![
            "UPDATE journal SET entry = '{}'",
            "DELETE FROM journal",
            "UPDATE audit SET outcome = ''",
            "DELETE FROM audit",
        ];
        if home.database.is_some() {
            ways.extend([
                "TRUNCATE journal",
                "TRUNCATE audit",
                "TRUNCATE approvals",
                "TRUNCATE revocations",
                "TRUNCATE checkpoints",
                "SET session_replication_role = replica; DELETE FROM journal",
                "SET session_replication_role = replica; UPDATE audit SET actor = 'eve'",
            ]);
        }
        for way in ways {
            let refused = home.ask(way).unwrap_err();
            assert!(refused.contains("append-only"), "{way}: {refused}");
        }
        assert_eq!(home.ask("SELECT count(*) FROM journal").unwrap(), "3");
    });
}

#[test]
fn audit_entries_are_chained() {
    each(|home| {
        let mut state = home.open();
        state.audit(&entry("started")).unwrap();
        state.audit(&entry("committed")).unwrap();
        let first = chained("", &entry("started"));
        let second = chained(&first, &entry("committed"));
        let hashes = home.ask("SELECT hash FROM audit ORDER BY sequence").unwrap();
        assert_eq!(hashes, format!("{first}\n{second}"));
    });
}

#[test]
fn a_state_that_is_damaged_or_too_new_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("state.db"), vec![b'x'; 8192]).unwrap();
    let fault = State::open(folder.path()).unwrap_err();
    assert_eq!(fault.category, Category::Archive);
    assert!(fault.message.contains("not a database"), "{}", fault.message);
    each(|home| {
        drop(home.open());
        home.ask("INSERT INTO schema_version VALUES (99, '')").unwrap();
        let fault = home.try_open().unwrap_err();
        assert!(fault.message.contains("later version"), "{}", fault.message);
        assert_eq!((fault.category, fault.hint.is_empty()), (Category::Archive, false));
    });
}

#[test]
fn an_entry_that_cannot_be_read_is_told_as_damage() {
    each(|home| {
        let mut state = home.open();
        state.begin_run(&run("r-1", "aaaa1")).unwrap();
        home.ask("UPDATE runs SET report = '{'").unwrap();
        let fault = state.run("r-1").unwrap_err();
        assert!(fault.message.contains("is damaged"), "{}", fault.message);
    });
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let fault = State::open(&file.join("inside")).unwrap_err();
    assert_eq!(fault.category, Category::Archive);
    assert!(fault.message.starts_with("state folder: `"), "{}", fault.message);
}

#[cfg(unix)]
#[test]
fn state_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::file();
    let mut state = home.open();
    state.begin_run(&run("r-1", "aaaa1")).unwrap();
    let mode = |name: &str| {
        let path = home.state_folder().join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(""), mode("state.db"), mode("state.db-wal")), (0o700, 0o600, 0o600));
}

/// The state as every released version left it, written by that version.
const RELEASED: [(u64, &str); 2] = [
    (1, include_str!("migrations/released/1.sqlite.sql")),
    (2, include_str!("migrations/released/2.sqlite.sql")),
];

/// Tables, columns and triggers, without the spelling of the statements that made them.
fn shape(home: &Home) -> String {
    home.ask(
        "SELECT m.type, m.name, m.tbl_name, i.name, i.type, i.\"notnull\", i.pk FROM sqlite_master m
         LEFT JOIN pragma_table_info(m.name) i WHERE m.name NOT LIKE 'sqlite_%' ORDER BY 1, 2, 4",
    )
    .unwrap()
}

#[test]
fn the_state_of_every_released_version_is_brought_up() {
    let fresh = Home::file();
    drop(fresh.open());
    for (version, dump) in RELEASED {
        let home = Home::file();
        std::fs::create_dir_all(home.state_folder()).unwrap();
        home.ask(dump.trim_end().trim_end_matches(';')).unwrap();
        let journal = home.ask("SELECT * FROM journal").unwrap();
        let mut state = home.open();
        assert_eq!(shape(&home), shape(&fresh), "version {version}");
        assert_eq!(home.ask("SELECT * FROM journal").unwrap(), journal);
        let states: Vec<RunState> = state.runs().unwrap().into_iter().map(|run| run.state).collect();
        assert_eq!(states, [RunState::Restored, RunState::Verified], "version {version}");
        assert_eq!(state.run("r-1").unwrap().consent, Consent::Id);
        let batches = state.batches("r-2").unwrap();
        assert!(batches.len() == 2 && batches.iter().all(|batch| batch.state == BatchState::Restored));
        state.audit(&entry("after")).unwrap();
        let mut examiner =
            Examiner::new(Evidence { issued: state.audit_issued().unwrap(), ..Evidence::default() });
        state
            .audit_log(&mut |record| {
                examiner.look(&record);
                Ok(())
            })
            .unwrap();
        let found = examiner.finish();
        assert!(found.is_intact() && found.entries > 10, "version {version}: {:?}", found.findings);
        // What a process elsewhere held is over by now; its number is not given out again.
        state.lease("r-1", "kim").unwrap();
        assert_eq!(home.ask("SELECT epoch FROM leases").unwrap(), "2");
    }
}

#[test]
fn the_dumps_are_of_all_versions_before_this_one() {
    let mut session = Home::file().open();
    let version =
        session.ask(|session| session.one("SELECT max(version) FROM schema_version", &[])?.integer(0));
    let dumped = i64::try_from(RELEASED.len()).unwrap();
    assert!(version.unwrap() <= dumped + 1, "keep a dump of each version that was released");
}

#[test]
fn of_many_who_migrate_at_the_same_time_one_does() {
    each(|home| {
        if home.database.is_none() {
            std::fs::create_dir_all(home.state_folder()).unwrap();
            home.ask(RELEASED[0].1.trim_end().trim_end_matches(';')).unwrap();
        }
        at_once(0..4, |_| home.open().runs().unwrap());
        let versions =
            home.ask("SELECT count(*) = max(version) OR min(version) = max(version) FROM schema_version");
        assert!(["1", "t"].contains(&versions.unwrap().as_str()));
    });
}

#[test]
fn looking_for_a_state_makes_none() {
    let home = Home::server();
    let url = home.database.as_ref().unwrap().url();
    assert!(State::connect_existing(&url, &|_| None).unwrap().is_none());
    assert_eq!(home.ask("SELECT count(*) FROM pg_namespace WHERE nspname = 'unseed'").unwrap(), "0");
    drop(home.open());
    assert!(State::connect_existing(&url, &|_| None).unwrap().is_some());
}

#[test]
fn a_role_without_the_right_to_make_a_schema_uses_one_that_is_there() {
    let home = Home::server();
    let database = home.database.as_ref().unwrap();
    let role = format!("keeper_of_{}", database.name());
    database.server().role(&role, Some("geheim")).unwrap();
    let url = database.url_as(&role, Some("geheim"));
    let fault = State::connect(&url, &|_| None).unwrap_err();
    assert_eq!(fault.category, Category::Archive);
    assert!(fault.message.contains("permission denied"), "{fault:?}");
    assert!(!format!("{fault:?}").contains("geheim"));
    database.psql(&format!("CREATE SCHEMA unseed AUTHORIZATION {role}")).unwrap();
    let mut state = State::connect(&url, &|_| None).unwrap();
    assert!(!format!("{state:?}").contains("geheim"));
    state.begin_run(&run("r-1", "aaaa1")).unwrap();
}

#[test]
fn who_stands_still_in_a_transaction_keeps_others_waiting_for_seconds_only() {
    let home = Home::server();
    let (mut still, mut other) = (home.open(), home.open());
    still.session.begin().unwrap();
    still.session.execute("UPDATE issued SET number = 7 WHERE name = 'audit'", &[]).unwrap();
    other.audit(&entry("goes on")).unwrap();
    assert!(matches!(still.session.commit(), Err(Trouble::Lost(_))), "nothing of it was kept");
    assert_eq!(home.ask("SELECT number FROM issued WHERE name = 'audit'").unwrap(), "1");
    still.audit(&entry("later")).unwrap();
    assert_eq!(still.audit_issued().unwrap(), 2);
}

#[test]
fn a_server_that_restarts_is_waited_for_and_one_that_does_not_come_back_is_told() {
    let server =
        unseed_testkit::server::Postgres::start_own(&unseed_testkit::server::Settings::default()).unwrap();
    let database = server.database("state").unwrap();
    let mut state = State::connect(&database.url(), &|_| None).unwrap();
    state.begin_run(&run("r-1", "aaaa1")).unwrap();
    state.lease("r-1", "dana").unwrap();
    server.restart().unwrap();
    state.put_batch("r-1", &batch(1, BatchState::Archived)).unwrap();
    server.kill().unwrap();
    let fault = state.put_batch("r-1", &batch(1, BatchState::Committed)).unwrap_err();
    assert_eq!(fault.category, Category::Archive);
    assert!(fault.message.contains("cannot be reached"), "{fault:?}");
    // It is not waited for again by everybody who comes after.
    assert!(state.audit(&entry("x")).is_err() && state.gone);
    server.start().unwrap();
    state.put_batch("r-1", &batch(1, BatchState::Committed)).unwrap();
    assert_eq!(state.batches("r-1").unwrap(), [batch(1, BatchState::Committed)]);
    assert!(migrations::is_there(state.session.as_mut()).unwrap());
}
