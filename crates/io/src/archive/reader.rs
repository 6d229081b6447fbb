//! Reading batches back: every part is compared with its manifest before its first byte is used.
//!
//! Invariants
//! - memory does not grow with a part: it is read, hashed and unpacked in pieces of about 1 MiB;
//! - a part whose length, hash or unpacked length differs is refused.
//!
//! Not here: what rows look like (`store`), the manifests themselves (`mod`).

use super::faults::{damaged, missing, wrong_length};
use super::gzip::{MEMBER_BYTES, Unpacker};
use super::keys::{Identities, locked};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::sync_channel;
use unseed_core::archive::{BatchManifest, Part};
use unseed_core::fault::Fault;
use unseed_core::port::store::{ArchiveSource, SectionEntry};

/// Members that may wait to be used.
const MEMBERS_MAX: usize = 4;

/// Parts of some batches of one run.
pub(super) struct FolderSource {
    run_folder: PathBuf,
    parts: Vec<(u64, Part)>,
    lock: Lock,
}

/// To whom parts are encrypted, and the keys that are there; no keys are needed for parts that are not.
#[derive(Debug, Clone, Default)]
pub(super) struct Lock {
    pub(super) recipients: Vec<String>,
    pub(super) keys: Identities,
}

impl FolderSource {
    /// With keys that fit, if any part is encrypted.
    pub(super) fn new(run_folder: PathBuf, manifests: Vec<BatchManifest>, lock: Lock) -> Result<Self, Fault> {
        let parts = manifests
            .into_iter()
            .flat_map(|m| m.parts.into_iter().map(move |part| (m.batch, part)))
            .collect();
        let source = Self { run_folder, parts, lock };
        if let Some((_, part)) = source.parts.iter().find(|(_, part)| is_encrypted(part)) {
            // A key that does not fit is told before anything is begun.
            let (path, file) = verified(&source.run_folder, part)?;
            drop(opened(&source.run_folder, (&path, file), part, &source.lock)?);
        }
        Ok(source)
    }
}

impl ArchiveSource for FolderSource {
    fn sections(&self) -> Vec<SectionEntry> {
        let entry = |(batch, part): &(u64, Part)| SectionEntry {
            batch: *batch,
            head: part.head.clone(),
            rows: part.rows,
        };
        self.parts.iter().map(entry).collect()
    }

    fn read(&mut self, index: usize, visit: &mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        let (_, part) = &self.parts[index];
        let (path, file) = verified(&self.run_folder, part)?;
        let packed = opened(&self.run_folder, (&path, file), part, &self.lock)?;
        // One thread unpacks while the store takes what is ready.
        let (sender, members) = sync_channel::<io::Result<Vec<u8>>>(MEMBERS_MAX);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut unpacker = Unpacker::new(packed);
                // Sending fails when the reader gave up, which it has its own fault for.
                while let Some(member) = unpacker.next().transpose() {
                    let failed = member.is_err();
                    if sender.send(member).is_err() || failed {
                        break;
                    }
                }
            });
            let mut bytes = 0;
            for member in members {
                let text = member.map_err(|_| damaged(&path))?;
                bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
                visit(&text)?;
            }
            if bytes == part.bytes { Ok(()) } else { Err(wrong_length(&path, bytes, part.bytes)) }
        })
    }
}

/// Whether a part can only be read with a key.
pub(super) fn is_encrypted(part: &Part) -> bool {
    part.hash_inside.is_some()
}

/// The compressed text of a part's file, decrypted on its way where it is encrypted.
pub(super) fn opened(
    run_folder: &Path,
    (path, file): (&Path, File),
    part: &Part,
    lock: &Lock,
) -> Result<Box<dyn Read + Send>, Fault> {
    let file = BufReader::with_capacity(MEMBER_BYTES, file);
    if !is_encrypted(part) {
        return Ok(Box::new(file));
    }
    match lock.keys.open(file) {
        Ok(Some(stream)) => Ok(Box::new(stream)),
        Ok(None) => Err(locked(run_folder, &lock.recipients, "the key that was given does not open it")),
        Err(_) => Err(damaged(path)),
    }
}

/// Opens a part after comparing its length and hash; the file stands at its beginning.
pub(super) fn verified(run_folder: &Path, part: &Part) -> Result<(PathBuf, File), Fault> {
    let relative = Path::new(&part.file);
    let path = run_folder.join(relative);
    if !relative.components().all(|c| matches!(c, Component::Normal(_))) {
        return Err(damaged(&path));
    }
    let mut file = File::open(&path).map_err(|error| missing(&path, &error))?;
    let length = file.metadata().map_err(|error| missing(&path, &error))?.len();
    if length != part.bytes_compressed {
        return Err(wrong_length(&path, length, part.bytes_compressed));
    }
    let hash = hash(&mut file).map_err(|error| missing(&path, &error))?;
    if hash != part.hash {
        return Err(damaged(&path));
    }
    Ok((path, file))
}

fn hash(file: &mut File) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; MEMBER_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            some => hasher.update(&chunk[..some]),
        };
    }
    file.rewind()?;
    Ok(format!("blake3:{}", hasher.finalize().to_hex()))
}
