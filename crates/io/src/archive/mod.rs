//! Archives as a folder per run, readable with `gunzip` and the store's own client alone.
//!
//! ```text
//! archive/r-19/manifest.json               what the run removed, and the hashes that prove it
//! archive/r-19/restore.sql                 for the store's own client
//! archive/r-19/batch-0001/batch.json       the parts of one batch
//! archive/r-19/batch-0001/public.users.copy.gz
//! archive/r-19/tombstone.json              since when the rows are removed, of an archive whose time is over
//! ```
//!
//! Invariants
//! - a batch whose `finish` returned is durable, files and folders;
//! - a part is never used before its length and hash were compared with its batch's manifest, and that
//!   manifest with the hash that the state database holds;
//! - everything is readable by its owner alone;
//! - what is encrypted is written with public keys alone, and no private key is ever written in the clear.
//!
//! Not here: the text format of rows (`store`), which batches count (`core::run`).

mod artefacts;
mod faults;
mod gzip;
mod keys;
mod names;
mod reader;
mod rows;
mod seal;
mod survey;
mod tombstone;
mod writer;

pub use keys::{Identities, Passphrase, Recipients, Sealing, Unlock, is_private_key};

use crate::durable;
pub use artefacts::{Artefact, artefacts};
use faults::{damaged_manifest, missing, unwritable};
use keys::KEY_FILE;
use reader::Lock;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use unseed_core::archive::{BatchManifest, Manifest, Survey, Tombstone};
use unseed_core::fault::{Category, Fault};
use unseed_core::keys::KeyFile;
use unseed_core::port::archive::{ArchiveStore, BatchWriter};
use unseed_core::port::store::ArchiveSource;

/// Bytes that must fit on the disk before a run begins.
const PROBE_BYTES: usize = 256 * 1024;

/// Archives below one folder.
#[derive(Debug, Clone)]
pub struct FolderArchive {
    root: PathBuf,
    extension: String,
    sealing: Sealing,
    unlock: Unlock,
}

/// The file extension of parts for a kind of store; `.gz` follows.
pub fn extension(store_kind: &str) -> &'static str {
    match store_kind {
        "postgresql" => "copy",
        "command" => "jsonl",
        "redis" => "tsv",
        _ => "sql",
    }
}

impl FolderArchive {
    /// Archives in `root`; `extension` says what the store's text format is (see [`extension`]).
    pub fn new(root: impl Into<PathBuf>, extension: impl Into<String>) -> Self {
        let (sealing, unlock) = (Sealing::default(), Unlock::default());
        Self { root: root.into(), extension: extension.into(), sealing, unlock }
    }

    /// Encrypts what is written.
    #[must_use]
    pub fn sealed(self, sealing: Sealing) -> Self {
        Self { sealing, ..self }
    }

    /// Reads with these keys.
    #[must_use]
    pub fn unlocked(self, unlock: Unlock) -> Self {
        Self { unlock, ..self }
    }

    /// Makes the run's own key, where a passphrase is to open its archive.
    fn make_key(&mut self, folder: &Path) -> Result<(), Fault> {
        let Sealing::Passphrase(passphrase) = &self.sealing else { return Ok(()) };
        let (recipients, file) = passphrase.new_key()?;
        let path = folder.join(KEY_FILE);
        durable::write(&path, &file).map_err(|error| unwritable(&path, &error))?;
        self.sealing = Sealing::To(recipients);
        Ok(())
    }

    /// The keys for some batches; none where none of them is encrypted.
    fn lock(&self, folder: &Path, manifests: &[BatchManifest]) -> Result<Lock, Fault> {
        let mut recipients: Vec<String> = manifests.iter().flat_map(|m| m.recipients.clone()).collect();
        recipients.sort();
        recipients.dedup();
        if recipients.is_empty() {
            return Ok(Lock::default());
        }
        let keys = self.unlock.keys(folder, &recipients)?;
        Ok(Lock { recipients, keys })
    }

    fn run_folder(&self, run: &str) -> Result<PathBuf, Fault> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_plain = |part: &str| !part.is_empty() && part.chars().all(plain);
        // A run over several stores has a folder in its own for each of them: `r-7/cache`.
        let (own, leg) = run.split_once('/').map_or((run, None), |(own, leg)| (own, Some(leg)));
        if !is_plain(own) || !leg.is_none_or(is_plain) {
            return Err(Fault::usage(format!("`{run}` is not the id of a run"))
                .hint("run `unseed runs` to see which runs there are"));
        }
        Ok(self.root.join(run))
    }

    /// Files and bytes of the archive of a run; none where there is no folder.
    ///
    /// # Errors
    /// An archive fault when the folder cannot be read.
    pub fn size(&self, run: &str) -> Result<(u64, u64), Fault> {
        let folder = self.run_folder(run)?;
        tombstone::size(&folder).map_err(|error| missing(&folder, &error))
    }

    /// Folders that lie where archives do, by name.
    pub fn folders(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.root) else { return Vec::new() };
        let folders = entries.flatten().filter(|entry| entry.path().is_dir());
        let mut names: Vec<String> =
            folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn manifests(&self, run: &str, batches: &[(u64, String)]) -> Result<Vec<BatchManifest>, Fault> {
        let folder = self.run_folder(run)?;
        batches.iter().map(|(batch, hash)| read_batch(&folder, *batch, hash)).collect()
    }
}

/// Unpacks a part of an archive, for the fuzzer; gives back how many bytes it holds.
///
/// # Errors
/// When it is damaged.
#[doc(hidden)]
pub fn unpacked_bytes(part: &[u8]) -> io::Result<usize> {
    let mut unpacker = gzip::Unpacker::new(part);
    let mut bytes = 0;
    while let Some(member) = unpacker.next()? {
        bytes += member.len();
    }
    Ok(bytes)
}

/// A part of an archive that holds a text, for the fuzzer.
#[doc(hidden)]
pub fn packed(text: &[u8]) -> Vec<u8> {
    let mut packer = gzip::Packer::new();
    text.chunks(gzip::MEMBER_BYTES).flat_map(|member| packer.pack(member).to_vec()).collect()
}

fn batch_folder(batch: u64) -> String {
    format!("batch-{batch:04}")
}

fn read_batch(run_folder: &Path, batch: u64, hash: &str) -> Result<BatchManifest, Fault> {
    let path = run_folder.join(batch_folder(batch)).join("batch.json");
    let bytes = fs::read(&path).map_err(|error| missing(&path, &error))?;
    if hash_of(&bytes) != hash {
        return Err(damaged_manifest(&path));
    }
    serde_json::from_slice(&bytes).map_err(|_| damaged_manifest(&path))
}

fn hash_of(bytes: &[u8]) -> String {
    format!("blake3:{}", blake3::hash(bytes).to_hex())
}

fn json_bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes =
        serde_json::to_vec_pretty(value).expect("a manifest is plain data, which JSON can always hold");
    bytes.push(b'\n');
    bytes
}

/// Writes and removes a file, to learn about full and read-only disks before anything depends on it.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(".probe");
    let write = || {
        let mut file = durable::create(&path)?;
        file.write_all(&vec![b'.'; PROBE_BYTES])?;
        file.sync_all()
    };
    let written = write();
    match fs::remove_file(&path) {
        Err(error) if written.is_ok() => Err(error),
        Ok(()) | Err(_) => written,
    }
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Whether segments of another run with this id are here, whose state database is lost.
fn holds_rows(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("batch-"))
    })
}

impl ArchiveStore for FolderArchive {
    fn prepare(&mut self, run: &str) -> Result<(), Fault> {
        let folder = self.run_folder(run)?;
        if holds_rows(&folder) {
            return Err(faults::taken(&folder));
        }
        let ready = durable::create_folder(&folder).and_then(|()| probe(&folder));
        ready.map_err(|error| unwritable(&folder, &error))?;
        self.make_key(&folder)
    }

    fn begin_batch(&mut self, run: &str, batch: u64) -> Result<Box<dyn BatchWriter>, Fault> {
        let run_folder = self.run_folder(run)?;
        let folder = run_folder.join(batch_folder(batch));
        let recipients = match &self.sealing {
            Sealing::Open => Recipients::default(),
            Sealing::To(recipients) => recipients.clone(),
            Sealing::Passphrase(_) => return Err(Fault::new(Category::Archive, "the run has no key yet")),
        };
        let ready = remove_folder(&folder).and_then(|()| durable::create_folder(&folder));
        ready.map_err(|error| unwritable(&folder, &error))?;
        let place = (batch, batch_folder(batch));
        Ok(Box::new(writer::FolderBatch::new(run_folder, place, &self.extension, recipients)))
    }

    fn discard(&mut self, run: &str, batch: u64) -> Result<(), Fault> {
        let run_folder = self.run_folder(run)?;
        let folder = run_folder.join(batch_folder(batch));
        if !folder.exists() {
            return Ok(());
        }
        let gone = remove_folder(&folder).and_then(|()| durable::sync_folder(&run_folder));
        gone.map_err(|error| unwritable(&folder, &error))
    }

    fn batch(&mut self, run: &str, batch: u64, hash: &str) -> Result<BatchManifest, Fault> {
        read_batch(&self.run_folder(run)?, batch, hash)
    }

    fn publish(
        &mut self,
        manifest: &Manifest,
        scripts: &[(String, String)],
        keys: &[KeyFile<'_>],
    ) -> Result<(), Fault> {
        let folder = self.run_folder(&manifest.run)?;
        let put = |name: &str, content: &[u8]| {
            let path = folder.join(name);
            durable::write(&path, content).map_err(|error| unwritable(&path, &error))
        };
        durable::create_folder(&folder).map_err(|error| unwritable(&folder, &error))?;
        for (name, content) in scripts {
            put(name, content.as_bytes())?;
        }
        for file in keys {
            let path = folder.join(file.name);
            durable::write_lines(&path, file.lines()).map_err(|error| unwritable(&path, &error))?;
        }
        put("manifest.json", &json_bytes(manifest))
    }

    fn open(&mut self, run: &str, batches: &[(u64, String)]) -> Result<Box<dyn ArchiveSource>, Fault> {
        let folder = self.run_folder(run)?;
        let manifests = self.manifests(run, batches)?;
        let lock = self.lock(&folder, &manifests)?;
        Ok(Box::new(reader::FolderSource::new(folder, manifests, lock)?))
    }

    fn check(&mut self, run: &str, batches: &[(u64, String)]) -> Result<(u64, u64), Fault> {
        let folder = self.run_folder(run)?;
        let manifests = self.manifests(run, batches)?;
        let inside = self.unlock.reads_inside.then(|| self.lock(&folder, &manifests)).transpose()?;
        let mut checked = (0, 0);
        for part in manifests.iter().flat_map(|manifest| &manifest.parts) {
            let (path, file) = reader::verified(&folder, part)?;
            if let Some(lock) = &inside {
                survey::read_inside(&folder, (&path, file), part, lock)?;
            }
            checked = (checked.0 + 1, checked.1 + part.bytes_compressed);
        }
        Ok(checked)
    }

    fn recipients(&self) -> Vec<String> {
        match &self.sealing {
            Sealing::To(recipients) => recipients.shown().to_vec(),
            Sealing::Open | Sealing::Passphrase(_) => Vec::new(),
        }
    }

    fn seal(&mut self, recipients: &[String]) -> Result<(), Fault> {
        let mut keys = Recipients::default();
        for recipient in recipients {
            keys.add(recipient, "the state of the run").map_err(|fault| {
                Fault::new(Category::Archive, fault.message)
                    .hint("bring the state folder back from a copy, then run the command again")
            })?;
        }
        self.sealing = if keys.is_empty() { Sealing::Open } else { Sealing::To(keys) };
        Ok(())
    }

    fn survey(&mut self, run: &str, batches: &[(u64, String)], complete: bool) -> Result<Survey, Fault> {
        let folder = self.run_folder(run)?;
        survey::look(self, &folder, &survey::Claim { run, batches, complete })
    }

    fn unclaimed(&mut self, run: &str, claimed: &[u64]) -> Result<Vec<String>, Fault> {
        Ok(tombstone::unclaimed(&self.run_folder(run)?, claimed))
    }

    fn tombstone(&mut self, run: &str) -> Result<Option<Tombstone>, Fault> {
        tombstone::read(&self.run_folder(run)?)
    }

    fn expire(&mut self, tombstone: &Tombstone) -> Result<(u64, u64), Fault> {
        tombstone::bury(&self.run_folder(&tombstone.run)?, tombstone)
    }

    fn location(&self, run: &str) -> String {
        self.root.join(run).display().to_string()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
