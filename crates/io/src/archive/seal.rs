//! One part's file, plain or encrypted: what is written is hashed on its way, what is read is opened on its way.
//!
//! Invariants
//! - the hash of a part is that of the bytes in the file, so a check needs no key;
//! - memory does not grow with a part: age encrypts in chunks of 64 KiB, each with a check of its own;
//! - a file that ends early is an error, never a shorter text.
//!
//! Not here: compression (`gzip`), keys (`keys`).

use super::keys::Recipients;
use crate::durable;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// What a finished file holds.
pub(super) struct Written {
    pub(super) file: File,
    pub(super) bytes: u64,
    pub(super) hash: String,
    pub(super) hash_inside: Option<String>,
}

/// A file that hashes what is written to it.
pub(super) struct Hashed {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += u64::try_from(written).expect("lengths fit into 64 bits");
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A part's file that is being written.
pub(super) enum Out {
    Plain(Box<Hashed>),
    Sealed { stream: Box<age::stream::StreamWriter<Hashed>>, inside: Box<blake3::Hasher> },
}

impl Out {
    /// A new file, encrypted where there is somebody to encrypt it to.
    pub(super) fn create(path: &Path, recipients: &Recipients) -> io::Result<Self> {
        let file = Hashed { file: durable::create(path)?, hasher: blake3::Hasher::new(), bytes: 0 };
        if recipients.is_empty() {
            return Ok(Self::Plain(Box::new(file)));
        }
        let encryptor = recipients.encryptor().map_err(|error| io::Error::other(error.to_string()))?;
        let stream = Box::new(encryptor.wrap_output(file)?);
        Ok(Self::Sealed { stream, inside: Box::default() })
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Sealed { stream, inside } => {
                inside.update(bytes);
                stream.write_all(bytes)
            }
        }
    }

    /// Writes what is left; the file is not durable yet.
    pub(super) fn finish(self) -> io::Result<Written> {
        let (file, inside) = match self {
            Self::Plain(file) => (*file, None),
            Self::Sealed { stream, inside } => (stream.finish()?, Some(inside)),
        };
        Ok(Written {
            file: file.file,
            bytes: file.bytes,
            hash: shown(&file.hasher),
            hash_inside: inside.map(|hasher| shown(&hasher)),
        })
    }
}

/// A hash as manifests hold it.
pub(super) fn shown(hasher: &blake3::Hasher) -> String {
    format!("blake3:{}", hasher.finalize().to_hex())
}

/// What hashes the text that is read through it.
pub(super) struct Hashing<R> {
    inner: R,
    hasher: blake3::Hasher,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, hasher: blake3::Hasher::new() }
    }

    pub(super) fn hash(&self) -> String {
        shown(&self.hasher)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(room)?;
        self.hasher.update(&room[..read]);
        Ok(read)
    }
}
