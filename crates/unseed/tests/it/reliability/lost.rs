//! The state server dies or restarts in the middle of a purge: the purge stops safely, or goes on.

use super::books::{assert_archived, assert_chained, assert_settled};
use super::line::Line;
use super::scene::{ROWS, SHOPS};
use crate::lab::{Lab, assert_same, fault};
use crate::support::Answer;
use std::process::Stdio;
use std::time::{Duration, Instant};
use unseed_testkit::server::{Postgres, ServerError, Settings};

/// What is done to a server.
type Blow = fn(&Postgres) -> Result<(), ServerError>;

/// Runs a command, and deals the blow to the server of the state at this commit of it.
fn struck(lab: &Lab<'_>, server: &Postgres, arguments: &[&str], commit: u64, blow: Blow) -> Answer {
    let line = Line::before(lab.state_database().unwrap());
    line.hold_at(commit);
    let mut command = lab.command(arguments);
    command.env("UNSEED_STATE", line.url()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let begun = Instant::now();
    while line.commits() < commit {
        assert!(begun.elapsed() < Duration::from_secs(120), "commit {commit} is never sent");
        std::thread::yield_now();
    }
    blow(server).unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
    line.hold_next(u64::MAX);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// `commit` is one in the middle of the purge.
fn goes_through(lab: &Lab<'_>, server: &Postgres, commit: u64) {
    let before = lab.picture();
    lab.plan("tenants: id > 4", &["--batch-rows", "60", "--max-share", "1"]);
    let id = lab.plan_id();
    let dead = struck(lab, server, &["purge", "plan.json", "--confirm", &id], commit, Postgres::die);
    let told = fault(&dead, 4, &["purge `r-1` stopped", "state database `postgres://", "unseed resume r-1"]);
    assert_eq!(told.matches("error: ").count(), 1, "one fault: {told}");
    assert!(lab.count("tenants") > 4, "it stopped before the end");
    // Without the state nothing is done, and nothing is guessed.
    let tenants = lab.count("tenants");
    fault(&lab.run(&["resume", "r-1", "--confirm", "r-1"]), 4, &["state database", "cannot connect"]);
    assert_eq!(lab.count("tenants"), tenants);
    server.start().unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
    // A server that is back when it is asked again is not even noticed.
    let answer = struck(lab, server, &["resume", "r-1", "--confirm", "r-1"], commit, Postgres::restart);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_settled(lab, "r-1", "after a dead state server");
    assert_chained(lab, "after a dead state server");
    assert_archived(lab, "r-1", &before, &lab.picture(), "after a dead state server");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

#[test]
fn a_state_server_that_dies_stops_the_purge_and_loses_nothing() {
    let server = Postgres::start_own(&Settings::default()).unwrap();
    // The first one is lost before it arrives, the second one with its answer.
    goes_through(&Lab::postgres(&format!("{SHOPS}{ROWS}")).with_state_on(&server), &server, 25);
    goes_through(&Lab::sqlite(&format!("{SHOPS}{ROWS}")).with_state_on(&server), &server, 26);
}
