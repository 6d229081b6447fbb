//! Purge, stop, resume, verify, restore with the real binary and real signals.

use crate::support::{Disk, Sandbox, assert_same};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_purge_and_its_restore_leave_the_original() {
    let sandbox = Sandbox::new(30);
    let id = sandbox.plan(&["--batch-rows", "20"]);
    let report = sandbox.json(0, &["purge", "plan.json", "--confirm", &id]);
    assert!(report["batches"]["done"].as_u64().unwrap() > 3, "{report}");
    assert_eq!((sandbox.count("tenants"), sandbox.count("users"), sandbox.count("notes")), (2, 2, 2));
    sandbox.expect(0, &["verify", "r-1"]);
    sandbox.expect(0, &["restore", "r-1", "--confirm", "r-1"]);
    sandbox.assert_untouched();
}

#[test]
fn findings_of_a_scan_become_a_plan() {
    let sandbox = Sandbox::new(20);
    sandbox.expect(1, &["scan", "app.db", "-o", "scan.json"]);
    let by_file = sandbox.json(0, &["plan", "app.db", "--findings=scan.json", "-o", "a.json"]);
    let by_scan = sandbox.json(0, &["plan", "app.db", "--findings", "-o", "b.json"]);
    assert_eq!(by_file["steps"], by_scan["steps"]);
    let id = by_scan["id"].as_str().unwrap().to_owned();
    sandbox.expect(0, &["purge", "b.json", "--confirm", &id]);
    assert_eq!((sandbox.count("tenants"), sandbox.count("users")), (2, 2));
}

#[test]
fn one_root_is_put_back_with_what_left_because_of_it() {
    let sandbox = Sandbox::new(5);
    let run = sandbox.purged();
    let restored = sandbox.json(0, &["restore", &run, "--root", "103", "--confirm", &run]);
    assert_eq!(restored["inserted"], serde_json::json!({"invoices": 1, "tenants": 1, "users": 2}));
    assert_eq!((sandbox.count("tenants"), sandbox.count("users")), (3, 4));
    sandbox.expect(0, &["restore", &run, "--root", "tenants=104", "--confirm", &run]);
    assert_eq!(sandbox.count("tenants"), 4);
}

#[test]
fn many_roots_are_kept_beside_the_plan() {
    let sandbox = Sandbox::new(1500);
    let id = sandbox.plan(&[]);
    let keys: Vec<_> = std::fs::read_dir(sandbox.path(""))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.ends_with(".jsonl"))
        .collect();
    assert_eq!(keys.len(), 1);
    sandbox.expect(0, &["purge", "plan.json", "--confirm", &id]);
    // Everything that a run needs later is in the state folder.
    std::fs::remove_file(sandbox.path("plan.json")).unwrap();
    std::fs::remove_file(sandbox.path(&keys[0])).unwrap();
    sandbox.expect(0, &["verify", "r-1"]);
    sandbox.expect(0, &["restore", "r-1", "--confirm", "r-1"]);
    sandbox.assert_untouched();
}

/// Begins a purge of many small batches and waits until some are done.
fn long_purge(sandbox: &Sandbox) -> Child {
    let id = sandbox.plan(&["--batch-rows", "4"]);
    let mut command = sandbox.command(&["purge", "plan.json", "--confirm", &id]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let third = sandbox.path(".unseed/archive/r-1/batch-0003");
    wait_until(&third);
    child
}

fn wait_until(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} does not appear", path.display());
        std::thread::yield_now();
    }
}

fn send(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

fn signal(child: &mut Child, name: &str) -> (ExitStatus, String) {
    send(child, name);
    let mut text = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut text).unwrap();
    }
    (child.wait().unwrap(), text)
}

#[test]
fn a_signal_stops_after_the_batch_and_resume_finishes() {
    let sandbox = Sandbox::new(150);
    let mut child = long_purge(&sandbox);
    let (status, text) = signal(&mut child, "-TERM");
    assert_eq!(status.code(), Some(130), "{text}");
    assert!(text.contains("was interrupted") && text.contains("unseed resume r-1"), "{text}");
    let left = sandbox.count("tenants");
    assert!(left > 2 && left < 152, "{left} tenants are left");
    assert_eq!(sandbox.json(0, &["runs"])["runs"][0]["state"], "stopped");
    sandbox.expect(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(sandbox.count("tenants"), 2);
    sandbox.expect(0, &["verify", "r-1"]);
    sandbox.expect(0, &["restore", "r-1", "--confirm", "r-1"]);
    assert_same(&sandbox.path("app.db"), &sandbox.path("original.db"));
}

#[test]
fn a_killed_purge_is_resumed_at_once_by_another_process() {
    let sandbox = Sandbox::new(150);
    let mut child = long_purge(&sandbox);
    let (status, _) = signal(&mut child, "-KILL");
    assert_eq!(status.code(), None);
    sandbox.expect(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(sandbox.count("tenants"), 2);
    sandbox.expect(0, &["verify", "r-1"]);
    sandbox.expect(0, &["restore", "r-1", "--confirm", "r-1"]);
    sandbox.assert_untouched();
}

#[test]
fn two_processes_never_work_on_one_run() {
    let sandbox = Sandbox::new(150);
    let mut child = long_purge(&sandbox);
    let second = sandbox.run(&["resume", "r-1", "--confirm", "r-1"]);
    let (_, text) = signal(&mut child, "-TERM");
    assert_eq!(second.code, Some(3), "{second:?} {text}");
    assert!(second.stderr.contains("is being worked on by"), "{second:?}");
}

/// A client in a transaction that has read, until its standard input ends.
fn reader_of(database: &Path) -> Child {
    let mut reader =
        Command::new("sqlite3").arg(database).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let script = b"BEGIN; SELECT count(*) FROM tenants;\n";
    reader.stdin.as_mut().unwrap().write_all(script).unwrap();
    let mut answer = String::new();
    BufReader::new(reader.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
    assert_eq!(answer.trim(), "42");
    reader
}

/// The rows are gone to the process that could not commit, and to nobody else: it must not take that for a commit.
#[test]
fn a_commit_that_a_reader_keeps_waiting_for_too_long_is_rolled_back() {
    let sandbox = Sandbox::new(40);
    let id = sandbox.plan(&["--batch-rows", "1000000", "--max-share", "1"]);
    let mut reader = reader_of(&sandbox.path("app.db"));
    let answer = sandbox.run(&["purge", "plan.json", "--confirm", &id]);
    assert_eq!(answer.code, Some(4), "{answer:?}");
    assert!(answer.stderr.contains("batch 1 was rolled back"), "{answer:?}");
    drop(reader.stdin.take());
    assert!(reader.wait().unwrap().success());
    sandbox.assert_untouched();
    sandbox.expect(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(sandbox.count("tenants"), 2);
    sandbox.expect(0, &["verify", "r-1"]);
    sandbox.expect(0, &["restore", "r-1", "--confirm", "r-1"]);
    sandbox.assert_untouched();
}

#[test]
fn a_second_signal_ends_the_process_at_once_and_nothing_is_lost() {
    let sandbox = Sandbox::new(40);
    let id = sandbox.plan(&["--batch-rows", "1000000", "--max-share", "1"]);
    // Somebody reads all the time, so that the only batch cannot be committed before the second signal is there.
    let mut reader = reader_of(&sandbox.path("app.db"));
    let mut command = sandbox.command(&["purge", "plan.json", "--confirm", &id]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(&sandbox.path(".unseed/archive/r-1/batch-0001"));
    send(&child, "-TERM");
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains("stopping after this batch") {
        assert!(stderr.read_line(&mut text).unwrap() > 0, "the first signal is not answered: {text}");
    }
    send(&child, "-TERM");
    stderr.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{text}");
    drop(reader.stdin.take());
    assert!(reader.wait().unwrap().success());
    sandbox.assert_untouched();
    sandbox.expect(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(sandbox.count("tenants"), 2);
    sandbox.expect(0, &["restore", "r-1", "--confirm", "r-1"]);
    sandbox.assert_untouched();
}

#[test]
fn ids_may_come_from_standard_input() {
    let sandbox = Sandbox::new(3);
    let mut command = sandbox.command(&["plan", "app.db", "--ids", "tenants=-", "-o", "plan.json"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"100\n102\n").unwrap();
    assert!(child.wait().unwrap().success());
    let plan = sandbox.json(0, &["show", "plan.json"]);
    assert_eq!(plan["roots"][0]["count"], 2);
}

/// A disk that fills up while batches are archived: the run stops, and goes on when there is room again.
#[test]
fn a_purge_that_filled_the_disk_goes_on_when_there_is_room() {
    let Some(disk) = Disk::mount("8m") else { return };
    let sandbox = Sandbox::new(3000);
    let id = sandbox.plan(&["--batch-rows", "600", "--max-share", "1"]);
    let state = disk.path().join("state").display().to_string();
    let mut command = sandbox.command(&["purge", "plan.json", "--confirm", &id, "--state", &state]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(&disk.path().join("state/archive/r-1/batch-0002"));
    let ballast = disk.path().join("ballast");
    // Takes whatever is left; the run finds the disk full at its next write.
    drop(std::fs::write(&ballast, vec![b'.'; 9 << 20]));
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("disk is full") || text.contains("disk full"), "{text}");
    std::fs::remove_file(&ballast).unwrap();
    let left = sandbox.count("tenants");
    assert!(left > 2, "it stopped before the end");
    sandbox.expect(0, &["resume", "r-1", "--confirm", "r-1", "--state", &state]);
    assert_eq!(sandbox.count("tenants"), 2);
    sandbox.expect(0, &["verify", "r-1", "--state", &state]);
    sandbox.expect(0, &["restore", "r-1", "--confirm", "r-1", "--state", &state]);
    sandbox.assert_untouched();
}
