//! `[archive] keep`, and `unseed archive list|hold|release|expire`.

use super::{assert_gone, both, logged, sections, state, years_pass};
use crate::lab::{Lab, fault};
use std::fs;

/// A purge of one tenant each; the configuration keeps archives for 90 days.
fn purged(lab: &Lab<'_>, tenants: &[u64]) {
    fs::write(lab.path("unseed.toml"), "[archive]\nkeep = \"90d\"\n").unwrap();
    for tenant in tenants {
        lab.plan(&format!("tenants: id = {tenant}"), &[]);
        lab.purge();
    }
}

#[test]
fn archives_expire_when_their_time_is_over_and_leave_their_figures() {
    for lab in both() {
        purged(&lab, &[2]);
        let listed = lab.json(0, &["archive", "list"]);
        let archive = &listed["archives"][0];
        assert_eq!((&archive["standing"], &archive["recipients"]), (&"kept".into(), &serde_json::json!([])));
        assert!(archive["bytes"].as_u64().unwrap() > 1_000 && archive["at"].as_str().unwrap() > "2026");
        assert_eq!(lab.json(0, &["archive", "expire", "--due"])["archives"], serde_json::json!([]));
        fault(
            &lab.run(&["archive", "expire", "r-1", "--confirm", "r-1"]),
            3,
            &["stays: it is kept until 20"],
        );
        years_pass(&lab);
        let manifest = fs::read(lab.path(".unseed/archive/r-1/manifest.json")).unwrap();
        let dry = lab.json(0, &["archive", "expire"]);
        assert_eq!((&dry["removed"], &dry["archives"][0]["run"]), (&false.into(), &"r-1".into()));
        assert!(!sections(&lab, "r-1").is_empty(), "without `--due` nothing is removed");
        assert_eq!(logged(&lab, "archive.expire"), Vec::<String>::new());
        let done = lab.json(0, &["archive", "expire", "--due"]);
        assert_eq!(done["archives"][0]["outcome"], "removed", "{done}");
        assert_eq!(fs::read(lab.path(".unseed/archive/r-1/manifest.json")).unwrap(), manifest);
        assert_gone(&lab, "r-1");
        let log = logged(&lab, "archive.expire");
        assert!(log.len() == 2 && log[0].contains("archives are kept for 90 days"), "{log:?}");
        assert_eq!(lab.json(0, &["archive", "expire", "--due"])["archives"], serde_json::json!([]));
        assert!(lab.run(&["show", "r-1"]).stdout.contains("rows are gone for good since 20"));
    }
}

#[test]
fn the_stricter_of_plan_and_configuration_keeps_an_archive() {
    let lab = Lab::sqlite(super::SHOP);
    purged(&lab, &[2]);
    years_pass(&lab);
    fs::write(lab.path("unseed.toml"), "").unwrap();
    let fault_text =
        fault(&lab.run(&["archive", "expire", "r-1", "--confirm", "r-1"]), 3, &["nobody said how long"]);
    assert!(fault_text.contains("keep = \"90d\""), "{fault_text}");
    fs::write(lab.path("unseed.toml"), "[archive]\nkeep = \"5000d\"\n").unwrap();
    assert_eq!(lab.json(0, &["archive", "expire", "--due"])["archives"], serde_json::json!([]));
    // A shorter time than the plan was made with does not shorten it.
    let lab = Lab::sqlite(super::SHOP);
    purged(&lab, &[2]);
    fs::write(lab.path("unseed.toml"), "[archive]\nkeep = \"1s\"\n").unwrap();
    fault(&lab.run(&["archive", "expire", "r-1", "--confirm", "r-1"]), 3, &["it is kept until 20"]);
}

#[test]
fn a_hold_outranks_the_time_until_it_is_released() {
    let lab = Lab::sqlite(super::SHOP);
    purged(&lab, &[2, 3]);
    lab.json(0, &["archive", "hold", "r-1", "--reason", "case 4711"]);
    years_pass(&lab);
    let done = lab.json(0, &["archive", "expire", "--due"]);
    assert_eq!((done["archives"].as_array().unwrap().len(), &done["archives"][0]["run"]), (1, &"r-2".into()));
    assert!(!sections(&lab, "r-1").is_empty());
    let listed = lab.json(0, &["archive", "list"]);
    assert_eq!(listed["archives"][1]["held"]["reason"], "case 4711", "{listed}");
    assert_eq!(lab.json(0, &["runs"])["runs"][1]["held"], "case 4711");
    let says = ["`dana` holds it since", "case 4711", "unseed archive release r-1"];
    fault(&lab.run(&["archive", "expire", "r-1", "--confirm", "r-1"]), 3, &says);
    lab.json(0, &["archive", "release", "r-1"]);
    fault(&lab.run(&["archive", "release", "r-1"]), 3, &["nobody holds"]);
    lab.json(0, &["archive", "expire", "r-1", "--confirm", "r-1"]);
    assert!(sections(&lab, "r-1").is_empty());
    assert_eq!(logged(&lab, "archive.hold"), ["r-1 held: case 4711", "r-1 released"]);
    fault(&lab.run(&["archive", "hold", "r-1", "--reason", "late"]), 3, &["no rows that could be kept"]);
    assert_eq!(lab.run(&["archive", "hold", "r-1", "--reason", " "]).code, Some(2));
    assert_eq!(lab.run(&["archive", "hold", "r-9", "--reason", "x"]).code, Some(2));
}

#[test]
fn archives_of_runs_that_are_not_over_or_in_quarantine_stay() {
    let lab = Lab::sqlite(super::SHOP);
    fs::write(lab.path("unseed.toml"), "[archive]\nkeep = \"1d\"\n").unwrap();
    super::quarantined(&lab);
    let expire = ["archive", "expire", "r-1", "--confirm", "r-1"];
    fault(&lab.run(&expire), 3, &["its rows are in quarantine until 20"]);
    unseed_io::sample::change(
        &lab.path(".unseed/state.db"),
        "UPDATE runs SET state = 'stopped', finished_at = NULL",
    )
    .unwrap();
    fault(&lab.run(&expire), 3, &["the run is not over"]);
    assert_eq!(lab.json(0, &["archive", "expire", "--due"])["archives"], serde_json::json!([]));
    assert_eq!(state(&lab), "stopped");
    assert!(!sections(&lab, "r-1").is_empty());
}

#[test]
fn removing_follows_no_link_and_leaves_what_no_batch_claims() {
    let lab = Lab::sqlite(super::SHOP);
    purged(&lab, &[2]);
    years_pass(&lab);
    let run = lab.path(".unseed/archive/r-1");
    fs::create_dir(lab.path("precious")).unwrap();
    fs::write(lab.path("precious/file"), "precious").unwrap();
    std::os::unix::fs::symlink(lab.path("precious/file"), run.join("batch-0001/link")).unwrap();
    std::os::unix::fs::symlink(lab.path("precious"), run.join("batch-0002")).unwrap();
    fs::create_dir(run.join("batch-0007")).unwrap();
    fs::write(run.join("batch-0007/users.sql.gz"), "rows of nobody").unwrap();
    fs::create_dir(lab.path(".unseed/archive/r-7")).unwrap();
    assert_eq!(lab.json(0, &["archive", "list"])["unknown"], serde_json::json!(["r-7"]));
    assert!(lab.run(&["archive", "list"]).stderr.contains("`r-7` belongs to no run"));
    lab.json(0, &["archive", "expire", "--due"]);
    assert_eq!(fs::read_to_string(lab.path("precious/file")).unwrap(), "precious");
    assert!(!run.join("batch-0001/link").exists());
    assert_eq!(sections(&lab, "r-1"), [run.join("batch-0007/users.sql.gz")]);
    let check = lab.json(1, &["archive", "check", "r-1"]);
    assert!(check.to_string().contains("batch-0007"), "what is left is told: {check}");
}

#[test]
fn a_damaged_archive_and_a_missing_one_can_expire() {
    let lab = Lab::sqlite(super::SHOP);
    purged(&lab, &[2, 3]);
    years_pass(&lab);
    fs::write(lab.path(".unseed/archive/r-1/batch-0001/batch.json"), "{}").unwrap();
    fs::remove_dir_all(lab.path(".unseed/archive/r-2")).unwrap();
    lab.json(0, &["archive", "expire", "--due"]);
    assert!(sections(&lab, "r-1").is_empty());
    for run in ["r-1", "r-2"] {
        fault(&lab.run(&["restore", run, "--confirm", run]), 3, &["expired at"]);
        assert_eq!(lab.run(&["archive", "check", run]).code, Some(1), "its manifests are not what they were");
    }
}

#[test]
fn no_row_goes_before_the_tombstone_is_written() {
    let lab = Lab::sqlite(super::SHOP);
    let before = lab.picture();
    super::quarantined(&lab);
    years_pass(&lab);
    let there = sections(&lab, "r-1");
    // Where the tombstone is to be written first lies something that is no file.
    let taken = lab.path(".unseed/archive/r-1/tombstone.json.new");
    fs::create_dir(&taken).unwrap();
    fault(
        &lab.run(&["purge", "--due"]),
        4,
        &["tombstone.json", "nothing was removed for good", "unseed restore r-1"],
    );
    assert_eq!(sections(&lab, "r-1"), there);
    assert_eq!(state(&lab), "quarantined");
    lab.restore("r-1");
    crate::lab::assert_same(&lab.picture(), &before);
}

#[test]
fn only_what_was_done_is_signed() {
    let lab = Lab::sqlite(super::SHOP);
    let mut keygen = std::process::Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(lab.path("signer"));
    assert!(keygen.status().unwrap().success());
    fs::write(lab.path("unseed.toml"), "[archive]\nkeep = \"1d\"\n[audit]\ncheckpoint_key = \"signer\"\n")
        .unwrap();
    super::quarantined(&lab);
    let signed = || logged(&lab, "audit.checkpoint").len();
    let before = signed();
    for _ in 0..3 {
        lab.json(0, &["purge", "--due"]);
        lab.json(0, &["archive", "expire", "--due"]);
    }
    assert_eq!(signed(), before, "what is asked every minute and does nothing leaves no trace");
    years_pass(&lab);
    lab.json(0, &["purge", "--due"]);
    assert_eq!(signed(), before + 1);
}

#[test]
fn an_encrypted_archive_loses_its_key_too() {
    let lab = Lab::sqlite(super::SHOP);
    fs::write(lab.path("pass.txt"), "correct horse battery staple\n").unwrap();
    fs::write(lab.path("unseed.toml"), "[archive]\npassphrase_file = \"pass.txt\"\nkeep = \"1d\"\n").unwrap();
    lab.plan("tenants: id = 2", &[]);
    lab.purge();
    assert_eq!(lab.json(0, &["archive", "list"])["archives"][0]["recipients"].as_array().unwrap().len(), 1);
    years_pass(&lab);
    assert!(lab.path(".unseed/archive/r-1/key.age").exists());
    lab.json(0, &["archive", "expire", "--due"]);
    assert!(!lab.path(".unseed/archive/r-1/key.age").exists());
    assert_gone(&lab, "r-1");
}
