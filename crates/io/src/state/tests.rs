//! What the state database promises, on real files.

use super::*;
use unseed_core::audit::chained;
use unseed_core::fault::Category;
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

fn open() -> (tempfile::TempDir, SqliteState) {
    let folder = tempfile::tempdir().unwrap();
    let state = SqliteState::open(&folder.path().join("deep/.unseed")).unwrap();
    (folder, state)
}

#[test]
fn runs_and_batches_survive_reopening() {
    let (folder, mut state) = open();
    state.begin_run(&run("r-1", "aaaa1")).unwrap();
    state.put_batch("r-1", &batch(2, BatchState::Archived)).unwrap();
    state.put_batch("r-1", &batch(1, BatchState::Committed)).unwrap();
    state.put_batch("r-1", &batch(2, BatchState::Committed)).unwrap();
    let report = serde_json::json!({"batches_total": 5});
    state.update_run("r-1", RunState::Done, &report).unwrap();
    drop(state);
    let mut state = SqliteState::open(&folder.path().join("deep/.unseed")).unwrap();
    let found = state.run("r-1").unwrap();
    assert_eq!((found.state, found.batches_total, found.report), (RunState::Done, 5, report));
    assert!(found.finished_at.is_some());
    let expected = [batch(1, BatchState::Committed), batch(2, BatchState::Committed)];
    assert_eq!(state.batches("r-1").unwrap(), expected);
    assert_eq!(state.next_run_id().unwrap(), "r-2");
}

#[test]
fn a_plan_is_used_once_even_by_two_connections() {
    let (folder, mut state) = open();
    let mut other = SqliteState::open(&folder.path().join("deep/.unseed")).unwrap();
    state.begin_run(&run("r-1", "aaaa1")).unwrap();
    let fault = other.begin_run(&run("r-2", "aaaa1")).unwrap_err();
    assert_eq!(fault.category, Category::Refused);
    assert_eq!(fault.message, "plan `aaaa` was used by run `r-1`, and a plan is used once");
    assert_eq!(fault.hint, "run `unseed resume r-1` to finish it");
    assert_eq!(other.runs().unwrap().len(), 1);
    assert_eq!(other.run_of_plan("aaaa1").unwrap().unwrap().id, "r-1");
}

#[test]
fn a_missing_run_is_a_usage_fault() {
    let (_folder, mut state) = open();
    assert_eq!(state.run("r-9").unwrap_err().category, Category::Usage);
    let fault = state.update_run("r-9", RunState::Done, &serde_json::Value::Null).unwrap_err();
    assert_eq!(fault.message, "no such run `r-9`");
}

#[test]
fn runs_are_listed_newest_first() {
    let (_folder, mut state) = open();
    for number in 1..=11 {
        state.begin_run(&run(&format!("r-{number}"), &format!("{number:04}"))).unwrap();
    }
    let ids: Vec<String> = state.runs().unwrap().into_iter().map(|r| r.id).collect();
    assert_eq!(ids[..3], ["r-11", "r-10", "r-9"]);
}

#[test]
fn a_living_lease_is_respected_and_a_released_one_is_free() {
    let (folder, mut state) = open();
    let mut other = SqliteState::open(&folder.path().join("deep/.unseed")).unwrap();
    state.lease("r-1", "dana").unwrap();
    state.lease("r-1", "dana").unwrap();
    let fault = other.lease("r-1", "kim").unwrap_err();
    assert_eq!(fault.category, Category::Refused);
    assert!(fault.message.starts_with("run `r-1` is being worked on by `dana` (process "));
    drop(state);
    other.lease("r-1", "kim").unwrap();
}

#[test]
fn the_lease_of_a_dead_process_is_taken_and_its_late_writes_are_refused() {
    let (folder, mut state) = open();
    state.begin_run(&run("r-1", "aaaa1")).unwrap();
    state.lease("r-1", "dana").unwrap();
    // As if the machine's process numbers had moved on: the holder's start time fits nobody.
    state.db.execute("UPDATE leases SET process_start = process_start + 1", []).unwrap();
    let mut other = SqliteState::open(&folder.path().join("deep/.unseed")).unwrap();
    other.lease("r-1", "kim").unwrap();
    let fault = state.put_batch("r-1", &batch(1, BatchState::Committed)).unwrap_err();
    assert_eq!(fault.message, "another process took over run `r-1`");
    assert!(other.batches("r-1").unwrap().is_empty());
}

#[test]
fn the_journal_keeps_every_state_and_cannot_be_changed() {
    let (_folder, mut state) = open();
    state.begin_run(&run("r-1", "aaaa1")).unwrap();
    state.put_batch("r-1", &batch(1, BatchState::Archived)).unwrap();
    state.put_batch("r-1", &batch(1, BatchState::Committed)).unwrap();
    let count = |state: &SqliteState| -> i64 {
        state.db.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&state), 3);
    assert!(state.db.execute("UPDATE journal SET entry = '{}'", []).is_err());
    assert!(state.db.execute("DELETE FROM journal", []).is_err());
    assert_eq!(count(&state), 3);
}

#[test]
fn audit_entries_are_chained() {
    let (_folder, mut state) = open();
    let entry = |outcome: &str| AuditEntry {
        at: "2026-01-02T03:04:05.000Z".to_owned(),
        actor: "dana".to_owned(),
        action: "purge.batch".to_owned(),
        object: "r-1/1".to_owned(),
        outcome: outcome.to_owned(),
    };
    state.audit(&entry("started")).unwrap();
    state.audit(&entry("committed")).unwrap();
    let mut statement = state.db.prepare("SELECT hash FROM audit ORDER BY sequence").unwrap();
    let hashes: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let first = chained("", &entry("started"));
    assert_eq!(hashes, [first.clone(), chained(&first, &entry("committed"))]);
}

#[test]
fn a_file_that_is_no_database_or_too_new_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("state.db"), vec![b'x'; 8192]).unwrap();
    let fault = SqliteState::open(folder.path()).unwrap_err();
    assert_eq!(fault.category, Category::Archive);
    assert!(fault.message.contains("not a database"), "{}", fault.message);

    let (folder, state) = open();
    state.db.execute("INSERT INTO schema_version VALUES (99, '')", []).unwrap();
    let fault = SqliteState::open(&folder.path().join("deep/.unseed")).unwrap_err();
    assert!(fault.message.contains("later version"), "{}", fault.message);
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let fault = SqliteState::open(&file.join("inside")).unwrap_err();
    assert_eq!(fault.category, Category::Archive);
    assert!(fault.message.starts_with("state folder: `"), "{}", fault.message);
}

#[cfg(unix)]
#[test]
fn state_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, mut state) = open();
    state.begin_run(&run("r-1", "aaaa1")).unwrap();
    let mode = |name: &str| {
        let path = folder.path().join("deep/.unseed").join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(""), mode("state.db"), mode("state.db-wal")), (0o700, 0o600, 0o600));
}
