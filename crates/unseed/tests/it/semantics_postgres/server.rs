//! The server itself: killed in the middle, encrypted, with a certificate nobody knows.

use super::SHOP;
use crate::lab::{Lab, Moment, assert_same, fault, purge_with};
use std::process::Stdio;
use std::time::{Duration, Instant};
use unseed_core::fault::Category;
use unseed_testkit::server::{Postgres, Settings, Tls};

fn many(lab: &Lab<'_>) {
    lab.sql(
        "INSERT INTO tenants SELECT n, 'Test' FROM generate_series(3, 120) n;
         INSERT INTO users SELECT n + 10, n, 'x' FROM generate_series(3, 120) n;",
    );
}

/// The role does not wait for its commits to reach the disk; unseed does, since its journal says they are there.
#[test]
fn a_server_that_is_killed_during_a_purge_loses_nothing() {
    let server = Postgres::start_own(&Settings::default().set("wal_writer_delay", "10s")).unwrap();
    let lab = Lab::on(&server, SHOP);
    many(&lab);
    lab.sql("CHECKPOINT");
    let before = lab.picture();
    lab.plan("tenants: id > 1", &["--batch-rows", "3"]);
    let id = lab.plan_id();
    let mut command = lab.command(&["purge", "plan.json", "--confirm", &id]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !lab.path(".unseed/archive/r-1/batch-0004").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
    server.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(
        text.contains("error: purge `r-1` stopped at batch") && text.contains("unseed resume r-1"),
        "{text}"
    );
    fault(&lab.run(&["resume", "r-1", "--confirm", "r-1"]), 4, &["cannot connect"]);
    server.start().unwrap();
    assert!(lab.count("tenants") > 1, "the purge was not finished");
    let resumed = lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(resumed["rows"]["deleted"], 119 + 120 + 2);
    assert_eq!(lab.sql("SELECT (SELECT count(*) FROM tenants), (SELECT count(*) FROM users), (SELECT count(*) FROM sessions)"), "1|1|1");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
    the_outcome_of_a_commit_that_was_cut_off_is_asked_for(&server);
}

/// The session is ended right before the commit is sent: the journal does not know, the server does.
fn the_outcome_of_a_commit_that_was_cut_off_is_asked_for(server: &Postgres) {
    let lab = Lab::on(server, SHOP);
    many(&lab);
    let before = lab.picture();
    lab.plan("tenants: id > 1", &["--batch-rows", "3"]);
    let fault = purge_with(&lab, Moment::Commit, |time| {
        if time == 3 {
            lab.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'unseed'",
            );
        }
    });
    let fault = fault.unwrap_err();
    assert_eq!(fault.category, Category::Store);
    assert!(fault.state.contains("the outcome of batch 4 is not known yet"), "{fault:?}");
    lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

#[test]
fn tls_is_used_and_certificates_are_checked_when_asked() {
    let server = Postgres::start_own(&Settings::default().tls(Tls::Required)).unwrap();
    let lab = Lab::on(&server, SHOP);
    let authority = server.authority_file().display().to_string();
    let url = lab.url();
    let scan = |query: &str| lab.run(&["scan", &format!("{url}{query}")]);
    for works in [
        "?sslmode=require".to_owned(),
        String::new(),
        format!("?sslmode=verify-full&sslrootcert={authority}"),
        format!("?sslmode=verify-ca&sslrootcert={authority}"),
    ] {
        let answer = scan(&works);
        assert_eq!(answer.code, Some(1), "{works}: {answer:?}");
    }
    fault(&scan("?sslmode=verify-full"), 4, &["certificate", "sslrootcert"]);
    fault(&scan("?sslmode=disable"), 4, &["cannot connect"]);
    fault(
        &scan("?sslmode=verify-full&sslrootcert=/no/such/file"),
        2,
        &["certificate file `/no/such/file` cannot be used"],
    );
    let by_name = url.replace("127.0.0.1", "localhost");
    let answer = lab.run(&["scan", &format!("{by_name}?sslmode=verify-full&sslrootcert={authority}")]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    // The certificate is for this machine; the same address under another name is another server.
    let other = url.replace("127.0.0.1", "127.0.0.2");
    let answer = lab.run(&["scan", &format!("{other}?sslmode=verify-full&sslrootcert={authority}")]);
    fault(&answer, 4, &["cannot connect"]);
    // Only `verify-full` wants the name to fit; both want a known authority.
    let elsewhere = url.replace("127.0.0.1", "db.example");
    let scan = |mode: &str| lab.run(&["scan", &format!("{elsewhere}?hostaddr=127.0.0.1&sslmode={mode}")]);
    let trusted = format!("&sslrootcert={authority}");
    let answer = scan(&format!("verify-ca{trusted}"));
    assert_eq!(answer.code, Some(1), "{answer:?}");
    fault(&scan(&format!("verify-full{trusted}")), 4, &["certificate"]);
    fault(&scan("verify-ca"), 4, &["certificate"]);
}
