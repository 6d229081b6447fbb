//! The state database is damaged, cut short, old or gone: one clear fault, no row is lost, and with a good copy of it
//! the run goes on.

use super::books::{archived, assert_chained, assert_settled};
use super::scene::{ROWS, SHOPS, kill};
use crate::lab::{Lab, Picture, assert_same};
use crate::support::{Answer, Disk};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What is done to a state folder.
type Damage = fn(&Path);

/// Ways in which the journal is cut short.
const STEPS: u64 = 6;

/// A purge that was killed in its tenth batch or a little later, with a copy of everything beside it.
fn killed() -> (Lab<'static>, Picture) {
    let lab = Lab::sqlite(&format!("{SHOPS}{ROWS}"));
    let before = lab.picture();
    lab.plan("tenants: id > 4", &["--batch-rows", "40", "--max-share", "1"]);
    let id = lab.plan_id();
    let mut command = lab.command(&["purge", "plan.json", "--confirm", &id]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !lab.path(".unseed/archive/r-1/batch-0010").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the tenth batch does not begin");
        std::thread::yield_now();
    }
    assert_eq!(kill(&mut child).code(), None, "it was killed");
    copy(&lab, &[".unseed", "app.db", "app.db-wal", "app.db-shm", "app.db-journal"], "good");
    (lab, before)
}

/// Copies what there is of these files and folders into a folder.
fn copy(lab: &Lab<'_>, names: &[&str], into: &str) {
    std::fs::create_dir_all(lab.path(into)).unwrap();
    let mut cp = Command::new("cp");
    cp.arg("-a").args(names.iter().map(|name| lab.path(name)).filter(|path| path.exists()));
    assert!(cp.arg(lab.path(into)).status().unwrap().success());
}

/// Everything as it was when the process was killed.
fn put_back(lab: &Lab<'_>) {
    for name in [".unseed", "app.db", "app.db-wal", "app.db-shm", "app.db-journal"] {
        let path = lab.path(name);
        drop(if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) });
    }
    assert!(
        Command::new("cp").arg("-a").arg(lab.path("good/.")).arg(lab.path("")).status().unwrap().success()
    );
}

/// Each original row is in the database or in a segment.
#[track_caller]
fn assert_nothing_lost(lab: &Lab<'_>, before: &Picture, context: &str) {
    let (now, kept) = (lab.picture(), archived(lab, "r-1"));
    for (table, rows) in before.iter().filter(|(table, _)| *table != "notes") {
        let kept = kept.get(table).map(Vec::as_slice).unwrap_or_default();
        let lost = rows.iter().filter(|row| !now[table].contains(row) && !kept.contains(row)).count();
        assert_eq!(lost, 0, "{context}: rows of `{table}` that are neither there nor archived");
    }
    assert_eq!(now["notes"].len(), before["notes"].len(), "{context}");
}

/// Three parts, each with something in it.
#[track_caller]
fn assert_told(answer: &Answer, context: &str) {
    let text = &answer.stderr;
    let parts = text.contains("error: ") && text.contains("\n  hint: ") && text.matches("\n  ").count() >= 2;
    assert!(parts && matches!(answer.code, Some(2..=4)), "{context}: {answer:?}");
}

/// Resumes over a damaged journal; whatever comes of it, a good copy of the journal ends it well.
fn survives(lab: &Lab<'_>, before: &Picture, context: &str, says: &[&str]) -> bool {
    let resume = ["resume", "r-1", "--confirm", "r-1"];
    let answer = lab.run(&resume);
    assert_nothing_lost(lab, before, context);
    let went_on = answer.code == Some(0);
    if !went_on {
        assert_told(&answer, context);
        assert!(
            says.is_empty() || says.iter().any(|text| answer.stderr.contains(text)),
            "{context}: {answer:?}"
        );
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            drop(std::fs::remove_file(lab.path(&format!(".unseed/{name}"))));
        }
        for name in ["state.db", "state.db-wal"] {
            copy(lab, &[&format!("good/.unseed/{name}")], ".unseed");
        }
        let again = lab.run(&resume);
        assert_eq!(again.code, Some(0), "{context}, with the good copy: {again:?}");
    }
    assert_settled(lab, "r-1", context);
    assert_chained(lab, context);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), before);
    went_on
}

#[test]
fn a_journal_that_lost_its_last_entries_loses_no_row() {
    let (lab, before) = killed();
    let wal = std::fs::metadata(lab.path("good/.unseed/state.db-wal")).unwrap().len();
    // Frames have 4,096 bytes and a header; each step takes a few entries more from the end.
    let mut went_on = 0;
    for step in 0..STEPS {
        put_back(&lab);
        let file = OpenOptions::new().write(true).open(lab.path(".unseed/state.db-wal")).unwrap();
        file.set_len(wal - 2_000 - step * step * 8_240).unwrap();
        went_on += u64::from(survives(&lab, &before, &format!("the journal is {step} steps short"), &[]));
    }
    assert!(went_on < STEPS, "some of them are behind the database");
}

#[test]
fn a_damaged_journal_is_told_and_a_copy_of_it_helps() {
    let (lab, before) = killed();
    let damage: [(&str, Damage); 5] = [
        ("the log is gone", |folder| std::fs::remove_file(folder.join("state.db-wal")).unwrap()),
        ("the last entry is garbled", |folder| garble(&folder.join("state.db-wal"), -3_000)),
        ("the middle of the log is garbled", |folder| garble(&folder.join("state.db-wal"), 200_000)),
        ("the file is garbled", |folder| {
            std::fs::remove_file(folder.join("state.db-wal")).unwrap();
            std::fs::write(folder.join("state.db"), vec![b'x'; 8192]).unwrap();
        }),
        ("everything is gone", |folder| {
            std::fs::remove_file(folder.join("state.db-wal")).unwrap();
            std::fs::remove_file(folder.join("state.db")).unwrap();
        }),
    ];
    for (context, damage) in damage {
        put_back(&lab);
        damage(&lab.path(".unseed"));
        survives(
            &lab,
            &before,
            context,
            &["is damaged", "no such run `r-1`", "is not what it was", "are not what they were"],
        );
    }
}

fn garble(path: &Path, at: i64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let length = i64::try_from(file.metadata().unwrap().len()).unwrap();
    let at = if at < 0 { length + at } else { at.min(length - 64) };
    file.write_all_at(&[0xa5; 64], u64::try_from(at).unwrap()).unwrap();
}

/// The rows of a batch that the journal has lost are in the archive only: whoever restores is told.
#[test]
fn a_restore_tells_of_segments_that_no_entry_claims() {
    let lab = Lab::sqlite(&format!("{SHOPS}{ROWS}"));
    lab.plan("tenants: id > 4", &["--batch-rows", "150", "--max-share", "1"]);
    lab.purge();
    lab.state("DELETE FROM batches WHERE number = 2");
    let answer = lab.run(&["restore", "r-1", "--confirm", "r-1"]);
    assert!(
        answer.stderr.contains("batch-0002 of the archive is claimed by no committed batch"),
        "{answer:?}"
    );
    assert_eq!(answer.stderr.matches("claimed by no committed batch").count(), 1, "{answer:?}");
}

/// A new state database counts from one again; the archive of the old one is not overwritten.
#[test]
fn a_new_journal_does_not_overwrite_an_old_archive() {
    let (lab, before) = killed();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        drop(std::fs::remove_file(lab.path(&format!(".unseed/{name}"))));
    }
    lab.plan("tenants: id > 4", &["--batch-rows", "40", "--max-share", "1"]);
    let answer = lab.try_purge();
    assert_told(&answer, "a new journal");
    assert!(answer.stderr.contains("belongs to a run that the state database does not know"), "{answer:?}");
    assert_nothing_lost(&lab, &before, "a new journal");
}

/// The archive has room, the journal has not.
#[test]
fn a_full_disk_below_the_journal_stops_the_purge_and_loses_nothing() {
    let Some(disk) = Disk::mount("400k") else { return };
    let lab = Lab::sqlite(&format!("{SHOPS}{ROWS}"));
    let before = lab.picture();
    lab.plan("tenants: id > 4", &["--batch-rows", "40", "--max-share", "1"]);
    std::os::unix::fs::symlink(disk.path(), lab.path(".unseed")).unwrap();
    std::fs::create_dir(lab.path("archive")).unwrap();
    std::os::unix::fs::symlink(lab.path("archive"), disk.path().join("archive")).unwrap();
    let answer = lab.try_purge();
    assert_told(&answer, "full");
    assert!(answer.stderr.contains("full") && answer.code == Some(4), "{answer:?}");
    assert_nothing_lost(&lab, &before, "full");
    assert!(lab.count("tenants") > 4, "it stopped before the end");
    disk.resize("50m");
    lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_settled(&lab, "r-1", "full");
    assert_chained(&lab, "full");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}
