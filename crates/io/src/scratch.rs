//! Room for what a scan cannot keep in memory: nameless temporary files.
//!
//! Invariants
//! - a file has no name that anybody could open, and is gone with the process, however that ends;
//! - nothing is written durably: a scan that is cut off begins again.
//!
//! Not here: what is written (`engine::scan`).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use unseed_core::fault::{Category, Fault};
use unseed_core::port::scan::{Scratch, Spool};

/// Temporary files in the system's folder for them.
#[derive(Debug, Clone, Copy, Default)]
pub struct TemporaryFiles;

impl Scratch for TemporaryFiles {
    fn spool(&self) -> Result<Box<dyn Spool>, Fault> {
        let file = tempfile::tempfile().map_err(|error| failed("made", &error))?;
        Ok(Box::new(SpoolFile { file, end: 0, at: 0 }))
    }
}

/// One file, and where its next read or write would happen.
#[derive(Debug)]
struct SpoolFile {
    file: File,
    end: u64,
    at: u64,
}

impl SpoolFile {
    fn go_to(&mut self, at: u64) -> std::io::Result<()> {
        if self.at != at {
            self.at = self.file.seek(SeekFrom::Start(at))?;
        }
        Ok(())
    }
}

impl Spool for SpoolFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let written = self.go_to(self.end).and_then(|()| self.file.write_all(bytes));
        written.map_err(|error| failed("written", &error))?;
        self.end += u64::try_from(bytes.len()).expect("a length fits in 64 bits");
        self.at = self.end;
        Ok(())
    }

    fn read(&mut self, at: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let read = self.go_to(at).and_then(|()| self.file.read_exact(buffer));
        read.map_err(|error| failed("read", &error))?;
        self.at = at + u64::try_from(buffer.len()).expect("a length fits in 64 bits");
        Ok(())
    }
}

fn failed(what: &str, error: &std::io::Error) -> Fault {
    Fault::new(Category::Archive, format!("a temporary file cannot be {what}: {error}"))
        .state("nothing was changed")
        .hint("make room in the folder for temporary files, or set TMPDIR to another one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_from_anywhere() {
        let mut spool = TemporaryFiles.spool().unwrap();
        spool.append(b"hello ").unwrap();
        let mut part = [0; 2];
        spool.read(2, &mut part).unwrap();
        assert_eq!(&part, b"ll");
        spool.append(b"world").unwrap();
        let mut whole = [0; 11];
        spool.read(0, &mut whole).unwrap();
        assert_eq!(&whole, b"hello world");
        assert!(spool.read(8, &mut [0; 9]).is_err(), "nothing stands there");
    }
}
