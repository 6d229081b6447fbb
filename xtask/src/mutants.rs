//! `cargo xtask mutants`: whether the tests notice a fault that was put in on purpose.
//!
//! Each file under `xtask/mutations` is a patch with two kinds of lines in front: `Fault:` says what is wrong in it, and
//! each `Test:` holds the arguments of a `cargo test` that must fail because of it. The patches are applied one after
//! the other to a copy of the last commit, never to the working tree.
//!
//! Not part of CI: every fault is built and tested on its own, which takes a quarter of an hour.

use crate::process::{self, cargo, root, say};
use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// One fault.
struct Mutation {
    name: String,
    patch: PathBuf,
    fault: String,
    tests: Vec<Vec<String>>,
}

/// Applies those whose names contain one of `names`, or all.
pub(crate) fn run(names: &[String]) -> Result<()> {
    let mut mutations = all()?;
    mutations.retain(|m| names.is_empty() || names.iter().any(|name| m.name.contains(name.as_str())));
    ensure!(!mutations.is_empty(), "there is no such mutation");
    let tree = copy()?;
    let mut missed = Vec::new();
    for mutation in &mutations {
        let begun = Instant::now();
        apply(&tree, mutation, &[])?;
        let caught = is_caught(&tree, mutation);
        // The files get a new time, so that cargo builds them again.
        apply(&tree, mutation, &["--reverse"])?;
        let word = if caught? { "caught" } else { "MISSED" };
        if word == "MISSED" {
            missed.push(mutation.name.as_str());
        }
        say(&format!("{word}  {:>4} s  {}: {}", begun.elapsed().as_secs(), mutation.name, mutation.fault));
    }
    say(&format!("{} of {} faults are caught", mutations.len() - missed.len(), mutations.len()));
    ensure!(missed.is_empty(), "no test notices {}", missed.join(", "));
    Ok(())
}

fn all() -> Result<Vec<Mutation>> {
    let folder = root().join("xtask/mutations");
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Mutation> {
    let text = std::fs::read_to_string(path)?;
    let head = || text.lines().take_while(|line| !line.starts_with("diff "));
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    let fault = head().find_map(|line| line.strip_prefix("Fault: ")).unwrap_or_default().to_owned();
    let tests: Vec<Vec<String>> = head().filter_map(|line| line.strip_prefix("Test: ")).map(words).collect();
    ensure!(!fault.is_empty() && !tests.is_empty(), "{} needs `Fault:` and `Test:`", path.display());
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Mutation { name, patch: path.to_owned(), fault, tests })
}

/// The last commit in a folder of its own, always the same one, so that only what changed is built again.
fn copy() -> Result<PathBuf> {
    let folder = target().join("mutants");
    let tree = folder.join("tree");
    if tree.exists() {
        std::fs::remove_dir_all(&tree)?;
    }
    std::fs::create_dir_all(&tree)?;
    let tar = folder.join("tree.tar");
    let mut archive = Command::new("git");
    process::run(archive.current_dir(root()).args(["archive", "--format=tar", "HEAD", "-o"]).arg(&tar))?;
    // Without `-m` the files would be as old as the commit, and older than what was built from them.
    process::run(Command::new("tar").arg("-xmf").arg(&tar).arg("-C").arg(&tree))?;
    Ok(tree)
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn apply(tree: &Path, mutation: &Mutation, more: &[&str]) -> Result<()> {
    let mut git = Command::new("patch");
    git.args(["-p1", "--quiet", "--no-backup-if-mismatch", "-i"]).arg(&mutation.patch).args(more);
    process::run(git.current_dir(tree)).with_context(|| format!("`{}` does not fit", mutation.name))
}

/// Whether every named test fails; a fault that cannot be built proves nothing.
fn is_caught(tree: &Path, mutation: &Mutation) -> Result<bool> {
    for test in &mutation.tests {
        if !cargo_test(tree, test, &["--no-run"])? {
            bail!("`{}` cannot be built", mutation.name);
        }
        if cargo_test(tree, test, &[])? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn cargo_test(tree: &Path, test: &[String], more: &[&str]) -> Result<bool> {
    let mut command = cargo();
    command.current_dir(tree).env("CARGO_TARGET_DIR", target()).arg("test").args(more).args(test);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.status().context("cargo did not start")?.success())
}
