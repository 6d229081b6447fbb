//! `cargo xtask tidy`: rules of this repository that neither the compiler nor clippy knows.
//!
//! `edges` looks at which crate uses which, `sources` at the text of the files. Both return complaints; none is
//! printed twice, and all are printed at once.

mod edges;
mod sources;

use crate::process::{self, say};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// One file of the repository.
struct SourceFile {
    /// From the root, with forward slashes.
    path: String,
    text: String,
}

pub(crate) fn run() -> Result<()> {
    let complaints = complaints()?;
    complaints.iter().for_each(|complaint| say(complaint));
    if !complaints.is_empty() {
        bail!("the tree is not tidy: {} complaints", complaints.len());
    }
    Ok(())
}

fn complaints() -> Result<Vec<String>> {
    let files = files()?;
    let mut complaints = edges::complaints()?;
    complaints.extend(sources::complaints(&files));
    Ok(complaints)
}

/// Every text file that is tracked or could be added: what git ignores is not ours.
fn files() -> Result<Vec<SourceFile>> {
    let root = process::root();
    let mut list = Command::new("git");
    list.current_dir(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let list = process::capture(&mut list)?;
    let paths = list.split('\0').filter(|path| !path.is_empty());
    let read = |path: &str| read_text(root.join(path)).map(|text| SourceFile { path: path.to_owned(), text });
    Ok(paths.filter_map(read).collect())
}

/// Nothing for a file that is gone from the folder or is not text.
fn read_text(path: PathBuf) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn tree_is_tidy() {
        let complaints = super::complaints().unwrap();
        assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    }
}
