//! The state server dies or restarts in the middle of a purge: the purge stops safely, or goes on.

use super::books::{assert_archived, assert_chained, assert_settled};
use super::scene::{ROWS, SHOPS};
use crate::lab::{Lab, assert_same, fault};
use crate::support::Answer;
use std::process::Stdio;
use std::time::{Duration, Instant};
use unseed_testkit::server::{Postgres, ServerError, Settings};

/// What is done to a server.
type Blow = fn(&Postgres) -> Result<(), ServerError>;

/// Purges, and deals the blow to the server of the state when this batch begins.
fn struck(lab: &Lab<'_>, server: &Postgres, arguments: &[&str], batch: &str, blow: Blow) -> Answer {
    let mut command = lab.command(arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !lab.path(&format!(".unseed/archive/r-1/{batch}")).exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{batch} does not appear");
        std::thread::yield_now();
    }
    blow(server).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn goes_through(lab: &Lab<'_>, server: &Postgres) {
    let before = lab.picture();
    lab.plan("tenants: id > 4", &["--batch-rows", "60", "--max-share", "1"]);
    let id = lab.plan_id();
    let dead = struck(lab, server, &["purge", "plan.json", "--confirm", &id], "batch-0003", Postgres::die);
    let told = fault(&dead, 4, &["purge `r-1` stopped", "state database `postgres://", "unseed resume r-1"]);
    assert_eq!(told.matches("error: ").count(), 1, "one fault: {told}");
    assert!(lab.count("tenants") > 4, "it stopped before the end");
    // Without the state nothing is done, and nothing is guessed.
    let tenants = lab.count("tenants");
    fault(&lab.run(&["resume", "r-1", "--confirm", "r-1"]), 4, &["cannot connect"]);
    assert_eq!(lab.count("tenants"), tenants);
    server.start().unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
    let resume = ["resume", "r-1", "--confirm", "r-1"];
    let mut answer = struck(lab, server, &resume, "batch-0008", Postgres::restart);
    // A server that is back soon enough is not even noticed; on a slow machine it may not be.
    if answer.code == Some(4) {
        answer = lab.run(&resume);
    }
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
    goes_through(&Lab::postgres(&format!("{SHOPS}{ROWS}")).with_state_on(&server), &server);
    goes_through(&Lab::sqlite(&format!("{SHOPS}{ROWS}")).with_state_on(&server), &server);
}
