//! A process that stands still for longer than its lease, and then goes on as if nothing had happened.
//!
//! It is stopped (SIGSTOP) right behind the n-th write to the state, another process takes the run over, and the first
//! one goes on (SIGCONT): its writes are refused, it commits no further batch, and the books are right in the end.

use super::books::{assert_archived, assert_chained, assert_settled};
use super::line::Line;
use super::scene::{ROWS, SHOPS};
use crate::lab::{Lab, Picture, assert_same};
use crate::support::Answer;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use unseed_testkit::server::Postgres;

/// Longer than anything here takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);
const RESUME: [&str; 4] = ["resume", "r-1", "--confirm", "r-1"];

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").arg(name).arg(child.id().to_string()).status().unwrap().success());
}

/// Whether the kernel has stopped all threads of a process.
fn stands_still(child: &Child) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state stands behind the name, which is in parentheses.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Resumes as soon as the lease has ended.
fn taken_over(lab: &Lab<'_>) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = lab.run(&RESUME);
        if !answer.stderr.contains("is being worked on by") {
            return answer;
        }
        assert_eq!(answer.code, Some(3), "{answer:?}");
        assert!(begun.elapsed() < PATIENCE, "the lease never ends: {answer:?}");
    }
}

/// What the stopped process does to the store once it has lost the run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    /// The other one is through with everything.
    Done,
    /// The other one waits for the commit that the journal says is under way.
    Waits,
}

/// The journal's state of a batch behind whose entry the process is stopped.
fn entries(lab: &Lab<'_>, batch: u64, state: &str) -> bool {
    lab.state(&format!(
        "SELECT count(*) FROM journal WHERE entry LIKE '{{\"batch\":{batch},%\"state\":\"{state}\"%'"
    )) != "0"
}

fn case(lab: &Lab<'_>, before: &Picture, at: (u64, &str), meanwhile: Meanwhile) {
    let context = format!("stopped behind batch {} {}", at.0, at.1);
    lab.plan("tenants: id > 4", &["--batch-rows", "150", "--max-share", "1"]);
    let id = lab.plan_id();
    let line = Line::before(lab.state_database().unwrap());
    let mut command = lab.command(&["purge", "plan.json", "--confirm", &id]);
    command.env("UNSEED_STATE", line.url()).stdout(Stdio::null()).stderr(Stdio::piped());
    // Every commit is held behind its arrival until the one that is looked for.
    line.hold_behind(1);
    let child = command.spawn().unwrap();
    let mut commit = 1;
    loop {
        // A heartbeat that comes along just then is held and counted too.
        wait_for("the purge stands still", || line.commits() >= commit);
        if entries(lab, at.0, at.1) {
            break;
        }
        commit = line.commits() + 1;
        line.hold_next(commit);
    }
    signal(&child, "-STOP");
    // One of its threads has to run first, which stops the others.
    wait_for("all threads are stopped", || stands_still(&child));
    line.hold_next(u64::MAX);
    let other = std::thread::scope(|scope| {
        let other = scope.spawn(|| taken_over(lab));
        match meanwhile {
            Meanwhile::Done => wait_for("the other one is done", || other.is_finished()),
            // If it ended instead, what it said is told below.
            Meanwhile::Waits => wait_for("the run is taken over", || {
                other.is_finished()
                    || lab.state("SELECT count(*) FROM audit WHERE outcome LIKE 'resumed%'") != "0"
            }),
        }
        signal(&child, "-CONT");
        other.join().unwrap()
    });
    assert_eq!(other.code, Some(0), "{context}: {other:?}");
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{context}: {text}");
    assert!(text.contains("another process took over run `r-1`"), "{context}: {text}");
    assert_settled(lab, "r-1", &context);
    assert_chained(lab, &context);
    assert_archived(lab, "r-1", before, &lab.picture(), &context);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), before);
}

fn lab_with_short_leases(lab: Lab<'static>) -> Lab<'static> {
    let lab = lab.with_state_on(Postgres::shared().unwrap());
    std::fs::write(lab.path("unseed.toml"), "[state]\nlease_s = 2\n").unwrap();
    lab
}

fn stopped_at(at: (u64, &str), meanwhile: Meanwhile) {
    let lab = lab_with_short_leases(Lab::postgres(&format!("{SHOPS}{ROWS}")));
    let before = lab.picture();
    case(&lab, &before, at, meanwhile);
}

#[test]
fn a_process_that_stood_still_before_its_archive_commits_no_further_batch() {
    stopped_at((3, "begun"), Meanwhile::Done);
}

#[test]
fn a_process_that_stood_still_behind_its_archive_commits_no_further_batch() {
    stopped_at((3, "archived"), Meanwhile::Done);
}

#[test]
fn a_process_that_stood_still_before_its_commit_ends_that_batch_and_no_other() {
    stopped_at((3, "committing"), Meanwhile::Waits);
}

#[test]
fn a_process_that_stood_still_behind_its_commit_commits_no_further_batch() {
    stopped_at((3, "committed"), Meanwhile::Done);
}

#[test]
fn on_sqlite_too_a_commit_that_is_still_open_is_waited_for() {
    let lab = lab_with_short_leases(Lab::sqlite(&format!("{SHOPS}{ROWS}")));
    let before = lab.picture();
    case(&lab, &before, (3, "committing"), Meanwhile::Waits);
}

#[test]
fn a_run_whose_process_died_elsewhere_is_taken_over_within_the_time_of_its_lease() {
    let lab = lab_with_short_leases(Lab::postgres(&format!("{SHOPS}{ROWS}")));
    lab.plan("tenants: id > 4", &["--batch-rows", "60", "--max-share", "1"]);
    let id = lab.plan_id();
    let mut command = lab.command(&["purge", "plan.json", "--confirm", &id]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the third batch begins", || lab.path(".unseed/archive/r-1/batch-0003").exists());
    super::scene::kill(&mut child);
    // From here it looks like a process of another machine, of which nothing but its lease is known.
    lab.state("UPDATE leases SET host = 'elsewhere'");
    let begun = Instant::now();
    let answer = taken_over(&lab);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(begun.elapsed() < PATIENCE);
    assert_settled(&lab, "r-1", "taken over");
    lab.verify("r-1");
}
