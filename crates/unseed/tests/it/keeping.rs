//! Rows in quarantine and archives that expire, on both stores: nothing goes early, nothing half, nothing unseen.
//!
//! Time passes by moving the dates that the state database holds into the past, which a new process then reads.

mod expiring;
mod quarantine;
mod unclaimed;

use crate::lab::Lab;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use unseed_io::sample;

/// Tenants with users and a note that loses its reviewer; of text that keys can be told apart from.
const SHOP: &str = "
    CREATE TABLE tenants (id int PRIMARY KEY, name text NOT NULL);
    CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants (id), email text);
    CREATE TABLE notes (id int PRIMARY KEY, user_id int REFERENCES users (id) ON DELETE SET NULL, body text);
    CREATE INDEX users_tenant ON users (tenant_id); CREATE INDEX notes_user ON notes (user_id);
    INSERT INTO tenants VALUES (1, 'real'), (2, 'test two'), (3, 'test three'), (4, 'test four');
    INSERT INTO users VALUES (10, 1, 'kim@real'), (20, 2, 'a@test'), (21, 2, 'b@test'), (30, 3, 'c@test'), (40, 4, 'd@test');
    INSERT INTO notes VALUES (1, 10, 'kept'), (2, 20, 'reviewed by a test user');";

fn both() -> [Lab<'static>; 2] {
    [Lab::sqlite(SHOP), Lab::postgres(SHOP)]
}

/// Purges the test tenants into quarantine; returns the report.
#[track_caller]
fn quarantined(lab: &Lab<'_>) -> Value {
    lab.plan("tenants: id > 1", &["--batch-rows", "3"]);
    let id = lab.plan_id();
    let report = lab.json(0, &["purge", "plan.json", "--confirm", &id, "--quarantine", "30d"]);
    assert_eq!(state(lab), "quarantined");
    report
}

fn state(lab: &Lab<'_>) -> String {
    lab.json(0, &["runs"])["runs"][0]["state"].as_str().unwrap().to_owned()
}

/// Everything happened years ago.
fn years_pass(lab: &Lab<'_>) {
    let sql = "UPDATE runs SET finished_at = '2020-01-01T00:00:00.000Z',
        report = CASE WHEN json_extract(report, '$.kept.quarantine.until') IS NULL THEN report
            ELSE json_set(report, '$.kept.quarantine.until', '2020-01-31T00:00:00.000Z') END";
    sample::change(&lab.path(".unseed/state.db"), sql).unwrap();
}

/// Files below the archive of a run that hold rows.
fn sections(lab: &Lab<'_>, run: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let folder = lab.path(&format!(".unseed/archive/{run}"));
    for batch in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|p| p.is_dir()) {
        let files = fs::read_dir(batch).unwrap().map(|entry| entry.unwrap().path());
        found.extend(files.filter(|path| path.to_string_lossy().contains(".gz")));
    }
    found
}

/// No file of the archive holds a row any longer, and nobody says otherwise.
#[track_caller]
fn assert_gone(lab: &Lab<'_>, run: &str) {
    assert_eq!(sections(lab, run), Vec::<PathBuf>::new());
    assert!(!lab.path(&format!(".unseed/archive/{run}/restore.sql")).exists());
    let before = lab.picture();
    let text = crate::lab::fault(
        &lab.run(&["restore", run, "--confirm", run]),
        3,
        &["the archive of run `r-1` expired at 20", "gone for good"],
    );
    assert!(text.contains("backup"), "{text}");
    crate::lab::assert_same(&lab.picture(), &before);
    let check = lab.json(0, &["archive", "check", run]);
    assert_eq!(check["archives"][0]["ok"], true, "{check}");
    assert!(check["archives"][0]["expired"]["at"].is_string(), "{check}");
    let into = lab.run(&["archive", "check", run, "--restore-into", "sqlite"]);
    crate::lab::fault(&into, 3, &["expired at 20"]);
    let record = lab.run(&["show", run, "--change-record"]).stdout;
    assert!(record.contains("- rows are gone for good since 20"), "{record}");
    assert!(lab.run(&["verify", run]).stdout.contains("manifests of an archive that expired at 20"));
    let verified = lab.json(0, &["verify", run]);
    assert!(verified["verification"]["archive_expired_at"].is_string(), "{verified}");
    assert_eq!(lab.json(0, &["audit", "verify"])["intact"], true);
    let listed = lab.json(0, &["archive", "list"]);
    assert_eq!(listed["archives"][0]["standing"], "expired", "{listed}");
}

/// Entries of the audit log with this action.
fn logged(lab: &Lab<'_>, action: &str) -> Vec<String> {
    let text = lab.run(&["audit", "export"]).stdout;
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["action"] == action)
        .map(|line| format!("{} {}", line["object"].as_str().unwrap(), line["outcome"].as_str().unwrap()))
        .collect()
}

/// Copies a folder of the lab, with everything in it.
fn copy(lab: &Lab<'_>, from: &str, to: &str) {
    drop(fs::remove_dir_all(lab.path(to)));
    let mut cp = std::process::Command::new("cp");
    assert!(cp.arg("-a").arg(lab.path(from)).arg(lab.path(to)).status().unwrap().success());
}
