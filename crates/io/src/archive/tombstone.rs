//! Removing the rows of an archive whose time is over. Its manifests stay, so that figures and hashes can be compared.
//!
//! Invariants
//! - the tombstone is durable before the first file goes, and from then on the rows count as removed: what a crash
//!   left half removed is never read, and the next attempt removes it;
//! - only files of the batches that the tombstone names are removed, and what only served to restore them; no link is
//!   followed, and segments that no batch claims stay.
//!
//! Not here: whether it is time (`core::keeping`).

use super::faults::{damaged_manifest, missing, unwritable};
use super::keys::KEY_FILE;
use super::{batch_folder, json_bytes};
use crate::durable;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use unseed_core::archive::Tombstone;
use unseed_core::fault::Fault;

/// Name of the tombstone within a run's folder.
pub(super) const FILE: &str = "tombstone.json";
/// What is of no use without the rows.
const TOOLS: [&str; 2] = ["restore.sql", KEY_FILE];

/// The tombstone in a run's folder, if there is one.
pub(super) fn read(folder: &Path) -> Result<Option<Tombstone>, Fault> {
    let path = folder.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(missing(&path, &error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| damaged_manifest(&path))
}

/// Writes the tombstone, then removes the rows; returns files and bytes removed.
pub(super) fn bury(folder: &Path, tombstone: &Tombstone) -> Result<(u64, u64), Fault> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |error: io::Error| unwritable(&path, &error)
    };
    durable::create_folder(folder).map_err(failed(folder))?;
    let path = folder.join(FILE);
    durable::write(&path, &json_bytes(tombstone)).map_err(failed(&path))?;
    let mut removed = (0, 0);
    for entry in &tombstone.batches {
        let batch = folder.join(batch_folder(entry.batch));
        let paths = parts(&batch).map_err(failed(&batch))?;
        for path in &paths {
            remove(path, &mut removed).map_err(failed(path))?;
        }
        if !paths.is_empty() {
            durable::sync_folder(&batch).map_err(failed(&batch))?;
        }
    }
    for name in TOOLS {
        let path = folder.join(name);
        remove(&path, &mut removed).map_err(failed(&path))?;
    }
    durable::sync_folder(folder).map_err(failed(folder))?;
    Ok(removed)
}

/// Files of a batch that hold rows: everything but its manifest. None where there is no such folder.
pub(super) fn parts(batch: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::symlink_metadata(batch).is_ok_and(|found| found.is_dir()) {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(batch)? {
        let entry = entry?;
        if entry.file_name() != "batch.json" && !entry.file_type()?.is_dir() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn remove(path: &Path, (files, bytes): &mut (u64, u64)) -> io::Result<()> {
    let length = match fs::symlink_metadata(path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    fs::remove_file(path)?;
    *files += 1;
    *bytes += length;
    Ok(())
}

/// Folders of batches with something in them whose number is none of these.
pub(super) fn unclaimed(folder: &Path, claimed: &[u64]) -> Vec<String> {
    let known: Vec<String> = claimed.iter().map(|number| batch_folder(*number)).collect();
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries
        .flatten()
        .filter(|entry| fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_some()));
    let mut names: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with("batch-") && !known.contains(name));
    names.sort();
    names
}

/// Files and bytes of a folder with everything below it; no link is followed.
pub(super) fn size(folder: &Path) -> io::Result<(u64, u64)> {
    let mut size = (0, 0);
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let found = entry.metadata()?;
            if found.is_dir() {
                open.push(entry.path());
            } else {
                size = (size.0 + 1, size.1 + found.len());
            }
        }
    }
    Ok(size)
}
