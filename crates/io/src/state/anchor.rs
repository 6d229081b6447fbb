//! An anchor file: the hash of every entry of the audit log, kept where the state database is not.
//!
//! The file is only ever appended to, one line of JSON per entry, so it can lie on a share, on a disk that is
//! written once, or under `chattr +a`.
//!
//! Invariants
//! - a line is written after its entry is durable, and is durable when the next one is begun;
//! - nothing is logged to a log that contradicts the last line, so a fresh state folder does not pass for the old one;
//! - beginning a file is an entry of the log itself, so a file that is lost cannot be begun again in silence.
//!
//! Not here: comparing the log with it (`core::audit`).

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use unseed_core::audit::{ANCHOR_ACTION, Anchor, Checkpoint, Link};
use unseed_core::fault::{Category, Fault};
use unseed_core::port::state::AuditEntry;

/// The end of the file, which holds several lines, whatever they are.
const TAIL_BYTES: u64 = 64 * 1024;

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

    /// The last entry that the file knows.
    pub(super) fn last(&self) -> Result<Option<Link>, Fault> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            let mut tail = Vec::new();
            file.read_to_end(&mut tail)?;
            Ok(tail)
        };
        let tail = match read() {
            Ok(tail) => tail,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&self.path, &error)),
        };
        let links = tail.split(|b| *b == b'\n').rev().filter_map(|line| serde_json::from_slice(line).ok());
        Ok(links.into_iter().find_map(|anchor| match anchor {
            Anchor::Link(link) => Some(link),
            Anchor::Checkpoint { .. } => None,
        }))
    }

    /// What is said when the log is not the one that was anchored here.
    pub(super) fn foreign(&self, link: &Link) -> Fault {
        let message = format!(
            "the audit log does not have entry {} as anchor `{}` knows it: the state folder is another one, or was tampered with",
            link.sequence,
            self.path.display()
        );
        Fault::refused(message).hint(
            "run `unseed audit verify`; go back to the right state folder, or have a new anchor configured",
        )
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
