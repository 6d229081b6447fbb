//! Small file operations that are durable when they return and readable by their owner alone.
//!
//! Invariants
//! - folders are made with mode 0700 and files with 0600;
//! - [`write()`] replaces a file as a whole: after a crash there is the old content or the new one.
//!
//! Not here: what is in the files (`archive`, `state`), messages for people.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

/// Makes a folder and those above it where they are missing, and makes their names durable.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        create_folder(above)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    builder.mode(0o700);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_parent(path),
    }
}

/// Opens a new, empty file for writing.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    private().truncate(true).open(path)
}

/// Makes an empty file where there is none. One that is there is not opened: to close it would end every lock that
/// this process has on it, those of SQLite too.
pub(crate) fn touch(path: &Path) -> io::Result<()> {
    match private().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Replaces a file durably.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, |file| file.write_all(content))
}

/// The same with lines, each of which brings its line feed; they are written as they come.
pub(crate) fn write_lines(path: &Path, lines: impl Iterator<Item = String>) -> io::Result<()> {
    replace(path, |file| {
        let mut out = io::BufWriter::new(file);
        for line in lines {
            out.write_all(line.as_bytes())?;
        }
        out.flush()
    })
}

fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let mut file = create(&fresh)?;
    fill(&mut file)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    sync_parent(path)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(above) if above.as_os_str().is_empty() => sync_folder(Path::new(".")),
        Some(above) => sync_folder(above),
        None => Ok(()),
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    options.mode(0o600);
    options
}
