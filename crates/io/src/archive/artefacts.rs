//! The files that a run leaves for people, with their times and hashes, for its change record.
//!
//! Not here: the parts of batches, whose hashes stand in the manifest that is among these files.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A file that a run left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    pub path: PathBuf,
    pub bytes: u64,
    /// When it was last written, as RFC 3339 in UTC.
    pub written_at: String,
    pub hash: String,
}

/// The files of a folder, without those of folders inside it, by name; none where there is no folder.
///
/// # Errors
/// What the system says.
pub fn artefacts(folder: &Path) -> io::Result<Vec<Artefact>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    paths.into_iter().map(artefact).collect()
}

fn artefact(path: PathBuf) -> io::Result<Artefact> {
    let file = File::open(&path)?;
    let found = file.metadata()?;
    let written = jiff::Timestamp::try_from(found.modified()?).map_err(io::Error::other)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    let hash = format!("blake3:{}", hasher.finalize().to_hex());
    Ok(Artefact { path, bytes: found.len(), written_at: format!("{written:.0}"), hash })
}
