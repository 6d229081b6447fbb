//! Segments in the folder of a run that no committed batch claims: they may be the only copy of rows.

use crate::lab::{Lab, assert_same};
use std::fs;
use unseed_io::sample;

const SAYS: &str = "is claimed by no committed batch";

/// A purge of several batches whose state database says something else afterwards.
fn purged(sql: &str) -> Lab<'static> {
    let lab = Lab::sqlite(super::SHOP);
    lab.plan("tenants: id > 1", &["--batch-rows", "3"]);
    lab.purge();
    assert!(lab.path(".unseed/archive/r-1/batch-0002").exists());
    sample::change(&lab.path(".unseed/state.db"), sql).unwrap();
    lab
}

#[test]
fn a_segment_that_the_journal_lost_is_told() {
    // As if the state database had been put back from a copy of the time after the first batch.
    let lab =
        purged("DELETE FROM batches WHERE number > 1; UPDATE runs SET state = 'stopped', finished_at = NULL");
    // Its manifest is from later, which is a problem of its own.
    let check = lab.json(1, &["archive", "check", "r-1"]);
    let warnings = &check["archives"][0]["warnings"];
    assert_eq!(warnings[0]["file"], "batch-0002", "{check}");
    assert!(lab.run(&["archive", "check", "r-1"]).stdout.contains(SAYS));
    let restored = lab.run(&["restore", "r-1", "--confirm", "r-1"]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert!(
        restored.stderr.contains("batch-0002 of the archive is claimed by no committed batch"),
        "{restored:?}"
    );
}

#[test]
fn so_it_is_where_the_journal_lost_every_batch() {
    let lab = purged("DELETE FROM batches; UPDATE runs SET state = 'stopped', finished_at = NULL");
    for arguments in [["archive", "check", "r-1"], ["archive", "check", "--all"]] {
        let answer = lab.run(&arguments);
        assert_eq!(answer.code, Some(0), "{answer:?}");
        assert!(answer.stdout.contains("batch-0001") && answer.stdout.contains(SAYS), "{answer:?}");
    }
}

#[test]
fn of_a_run_that_is_over_it_is_a_problem_and_a_restore_says_so_too() {
    let lab = Lab::sqlite(super::SHOP);
    let before = lab.picture();
    lab.plan("tenants: id > 1", &[]);
    lab.purge();
    let clean = lab.run(&["archive", "check", "r-1"]);
    assert!(clean.code == Some(0) && !clean.stdout.contains("warning"), "{clean:?}");
    let folder = lab.path(".unseed/archive/r-1/batch-0042");
    fs::create_dir(&folder).unwrap();
    assert_eq!(lab.run(&["restore", "r-9"]).code, Some(2));
    fs::write(folder.join("users.sql.gz"), "rows").unwrap();
    let check = lab.json(1, &["archive", "check", "r-1"]);
    assert_eq!(check["archives"][0]["problems"].as_array().unwrap().len(), 1, "told once: {check}");
    let restored = lab.run(&["restore", "r-1", "--confirm", "r-1"]);
    assert!(restored.code == Some(0) && restored.stderr.contains("batch-0042"), "{restored:?}");
    assert_same(&lab.picture(), &before);
}
