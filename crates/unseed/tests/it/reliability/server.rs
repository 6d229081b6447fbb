//! The server dies, not the client: every process of it at once, with nothing told to anybody.

use super::books::{assert_archived, assert_chained, assert_settled};
use super::scene::{ROWS, SHOPS};
use crate::lab::{Lab, assert_same};
use std::process::Stdio;
use std::time::{Duration, Instant};
use unseed_testkit::server::{Mariadb, Postgres, Settings};

#[test]
fn a_server_that_dies_again_and_again_loses_nothing() {
    let server = Postgres::start_own(&Settings::default().set("wal_writer_delay", "10s")).unwrap();
    let lab = Lab::on(&server, &format!("{SHOPS}{ROWS} CHECKPOINT;"));
    let start = || server.start().unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
    dies_again_and_again(&lab, &|| server.die().unwrap(), &start);
}

#[test]
fn a_mariadb_server_that_dies_again_and_again_loses_nothing() {
    let server = Mariadb::start_own(&["--innodb-flush-log-at-trx-commit=1"]).unwrap();
    let lab = Lab::on_mariadb(&server, &format!("SET sql_mode = 'PIPES_AS_CONCAT'; {SHOPS}{ROWS}"));
    dies_again_and_again(&lab, &|| server.die().unwrap(), &|| server.start().unwrap());
}

fn dies_again_and_again(lab: &Lab<'_>, die: &dyn Fn(), start: &dyn Fn()) {
    let before = lab.picture();
    lab.plan("tenants: id > 4", &["--batch-rows", "60", "--max-share", "1"]);
    let id = lab.plan_id();
    let mut arguments = ["purge", "plan.json", "--confirm", &id];
    for batch in ["batch-0003", "batch-0007"] {
        let mut command = lab.command(&arguments);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while !lab.path(&format!(".unseed/archive/r-1/{batch}")).exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{batch} does not appear");
            std::thread::yield_now();
        }
        die();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{text}");
        assert!(text.contains("error: purge `r-1` stopped") && text.contains("unseed resume r-1"), "{text}");
        start();
        arguments = ["resume", "r-1", "--confirm", "r-1"];
    }
    lab.json(0, &arguments);
    assert_settled(lab, "r-1", "after two dead servers");
    assert_chained(lab, "after two dead servers");
    assert_archived(lab, "r-1", &before, &lab.picture(), "after two dead servers");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}
