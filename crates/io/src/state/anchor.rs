//! An anchor file: the hash of every entry of the audit log, kept where the state database is not.
//!
//! The file is only ever appended to, one line of JSON per entry, so it can lie on a share, on a disk that is
//! written once, or under `chattr +a`.
//!
//! Invariants
//! - a line is written after its entry is durable, and is durable when the next one is begun;
//! - beginning a file is an entry of the log itself, so a file that is lost cannot be begun again in silence.
//!
//! Not here: comparing the log with it (`core::audit`).

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use unseed_core::audit::{ANCHOR_ACTION, Anchor, Checkpoint, Link};
use unseed_core::fault::{Category, Fault};
use unseed_core::port::state::AuditEntry;

/// An anchor file.
#[derive(Debug, Clone)]
pub struct AnchorFile {
    path: PathBuf,
}

/// What stands in an anchor file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anchored {
    pub links: Vec<Link>,
    pub checkpoints: Vec<Checkpoint>,
    /// Lines that cannot be read.
    pub broken: u64,
}

impl AnchorFile {
    /// The file at this path, which need not exist yet.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The entry that says that the file begins here; nothing where there is one. Of several processes that come
    /// first, one makes the file and begins it.
    pub(super) fn beginning(&self, entry: &AuditEntry) -> Option<AuditEntry> {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path).ok().map(|_| AuditEntry {
            action: ANCHOR_ACTION.to_owned(),
            object: self.path.display().to_string(),
            outcome: "begun".to_owned(),
            ..entry.clone()
        })
    }

    /// Makes sure that a line can be written.
    pub(super) fn prepare(&self) -> Result<(), Fault> {
        self.open().map(drop).map_err(|error| unwritable(&self.path, &error))
    }

    /// Adds a line, durably.
    ///
    /// # Errors
    /// An archive fault when the file cannot be written.
    pub fn add(&self, anchor: &Anchor) -> Result<(), Fault> {
        let mut line = serde_json::to_vec(anchor).expect("plain data, which JSON can always hold");
        line.push(b'\n');
        let write = || {
            let mut file = self.open()?;
            file.write_all(&line)?;
            file.sync_data()
        };
        write().map_err(|error| unwritable(&self.path, &error))
    }

    /// Reads the file; nothing where there is none.
    ///
    /// # Errors
    /// An archive fault when it cannot be read.
    pub fn read(&self) -> Result<Option<Anchored>, Fault> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&self.path, &error)),
        };
        let mut found = Anchored::default();
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(|error| unreadable(&self.path, &error))?;
            match serde_json::from_slice(&line) {
                Ok(Anchor::Link(link)) => found.links.push(link),
                Ok(Anchor::Checkpoint { checkpoint }) => found.checkpoints.push(checkpoint),
                Err(_) => found.broken += 1,
            }
        }
        Ok(Some(found))
    }

    fn open(&self) -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(Category::Archive, format!("anchor `{}` cannot be written: {error}", path.display()))
        .hint("make the file writable: nothing is done that cannot be logged and anchored")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(Category::Archive, format!("anchor `{}` cannot be read: {error}", path.display()))
        .hint("make the file readable, or name the right one with `--anchor FILE`")
}
