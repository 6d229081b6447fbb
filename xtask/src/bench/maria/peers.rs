//! What people do today: one DELETE, a DELETE per range of keys, pt-archiver.

use super::ground::{COPY, Ground};
use super::{ROWS, Samples};
use crate::bench::watch;
use anyhow::Result;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Which messages leave.
const DOOMED: &str = "tenant_id % 100 <> 0";
/// Keys per statement and commit.
const RANGE: u64 = 5000;

/// Whether pt-archiver keeps the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    Kept,
    None,
}

/// Everything in one statement.
pub(super) fn delete(ground: &Ground, folder: &Path) -> Result<Samples> {
    script(ground, folder, "delete", &format!("DELETE FROM messages WHERE {DOOMED};\n"))
}

/// A statement and a commit for each range of keys.
pub(super) fn ranges(ground: &Ground, folder: &Path) -> Result<Samples> {
    let mut sql = String::new();
    for from in (0..ROWS).step_by(usize::try_from(RANGE)?) {
        let to = from + RANGE;
        writeln!(sql, "DELETE FROM messages WHERE id >= {from} AND id < {to} AND {DOOMED};")?;
    }
    script(ground, folder, "ranges", &sql)
}

pub(super) fn pt_archiver(ground: &Ground, folder: &Path, file: File) -> Result<Samples> {
    let rows = folder.join("pt-archiver.txt");
    drop(std::fs::remove_file(&rows));
    let mut command = Command::new("pt-archiver");
    command.arg("--source").arg(format!("h=localhost,S={},u=root,D={COPY},t=messages", ground.socket()));
    command.args(["--where", DOOMED, "--bulk-delete", "--commit-each", "--no-version-check"]);
    command.args(["--no-check-charset", "--limit"]).arg(RANGE.to_string());
    let name = match file {
        File::Kept => {
            command.arg("--file").arg(&rows);
            "pt_file"
        }
        File::None => {
            command.arg("--purge");
            "pt"
        }
    };
    // It reads option files of its own from there.
    command.env("HOME", folder).stdin(Stdio::null());
    let done = watch::run(&mut command, folder, &[0])?;
    drop(std::fs::remove_file(&rows));
    Ok(Samples::from([(name.to_owned(), done.seconds)]))
}

fn script(ground: &Ground, folder: &Path, name: &str, sql: &str) -> Result<Samples> {
    let path = folder.join(format!("{name}.sql"));
    std::fs::write(&path, sql)?;
    let mut client = ground.client()?;
    client.stdin(Stdio::from(std::fs::File::open(&path)?));
    let done = watch::run(&mut client, folder, &[0])?;
    Ok(Samples::from([(name.to_owned(), done.seconds)]))
}
