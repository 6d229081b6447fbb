//! What must reach the disk before rows leave, seen from outside: every call of fsync, in its order.

use super::scene::{ROWS, SHOPS};
use crate::lab::Lab;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Whether this machine lets system calls be watched.
fn can_watch() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    strace.status().is_ok_and(|status| status.success())
}

#[test]
fn an_archive_is_on_the_disk_before_the_first_row_leaves() {
    if !can_watch() {
        return;
    }
    let lab = Lab::sqlite(&format!("{SHOPS}{ROWS}"));
    lab.plan("tenants: id > 4", &["--max-share", "1"]);
    let (id, log) = (lab.plan_id(), lab.path("calls"));
    let unseed = lab.command(&["purge", "plan.json", "--confirm", &id]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", "trace=fsync,fdatasync", "-o"]).arg(&log).arg(unseed.get_program());
    strace.args(unseed.get_args()).current_dir(lab.path("")).stdin(Stdio::null());
    let output = strace.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read_to_string(log).unwrap();
    let calls: Vec<&str> = log.lines().filter(|line| line.contains("sync(")).collect();
    let position = |path: &str| calls.iter().position(|call| call.contains(&format!("{path}>")));
    let leaves = calls.iter().position(|call| call.contains("/app.db")).expect("the database is written to");
    let mut expected =
        vec!["archive/r-1".to_owned(), "batch-0001".to_owned(), "batch-0001/batch.json.new".to_owned()];
    let folder: PathBuf = lab.path(".unseed/archive/r-1/batch-0001");
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    expected.extend(names.filter(|name| name.ends_with(".gz")).map(|name| format!("batch-0001/{name}")));
    assert!(expected.len() >= 6, "{expected:?}");
    for path in expected {
        assert!(
            position(&path).is_some_and(|at| at < leaves),
            "`{path}` is durable before rows leave:\n{log}"
        );
    }
    let journal = calls[..leaves].iter().rposition(|call| call.contains("state.db-wal"));
    assert!(journal > position("batch-0001/batch.json.new"), "the journal follows the archive:\n{log}");
}
