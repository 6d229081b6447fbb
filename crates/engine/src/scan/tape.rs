//! Bytes that a scan writes once and reads again, in memory while they are few and in a spool beyond that.
//!
//! Invariants
//! - no more than [`TAIL_BYTES`] stand in memory, however much is written;
//! - a scan that finds little makes no file at all.
//!
//! Not here: where spools are kept (`io::scratch`).

use std::sync::Arc;
use unseed_core::fault::Fault;
use unseed_core::port::scan::{Scratch, Spool};

/// Bytes that wait in memory.
const TAIL_BYTES: usize = 4 << 20;
/// Bytes that a cursor reads at once.
const CURSOR_BYTES: usize = 256 << 10;

/// Written once, one thing behind the other.
pub(super) struct Tape {
    scratch: Arc<dyn Scratch>,
    spool: Option<Box<dyn Spool>>,
    spooled: u64,
    tail: Vec<u8>,
}

/// Widens a length.
pub(super) fn wide(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits in 64 bits")
}

fn narrow(length: u64) -> usize {
    usize::try_from(length).expect("what is in memory is addressed by a usize")
}

impl Tape {
    /// An empty tape.
    pub(super) fn new(scratch: Arc<dyn Scratch>) -> Self {
        Self { scratch, spool: None, spooled: 0, tail: Vec::new() }
    }

    /// Where the next thing will stand.
    pub(super) fn end(&self) -> u64 {
        self.spooled + wide(self.tail.len())
    }

    /// Writes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.tail.extend_from_slice(bytes);
        if self.tail.len() < TAIL_BYTES {
            return Ok(());
        }
        if self.spool.is_none() {
            self.spool = Some(self.scratch.spool()?);
        }
        let spool = self.spool.as_mut().expect("it was made above");
        spool.append(&self.tail)?;
        self.spooled += wide(self.tail.len());
        self.tail.clear();
        Ok(())
    }

    /// Fills the buffer from what stands at `at`.
    pub(super) fn read(&mut self, at: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let in_spool = narrow(self.spooled.saturating_sub(at)).min(buffer.len());
        let (first, rest) = buffer.split_at_mut(in_spool);
        if let (Some(spool), false) = (&mut self.spool, first.is_empty()) {
            spool.read(at, first)?;
        }
        if !rest.is_empty() {
            let start = narrow((at + wide(first.len())) - self.spooled);
            rest.copy_from_slice(&self.tail[start..start + rest.len()]);
        }
        Ok(())
    }
}

/// Reads a tape from one place to another.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Where the bytes behind those in the buffer stand.
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    read: usize,
}

impl Cursor {
    /// A cursor over a part of a tape.
    pub(super) fn new(start: u64, end: u64) -> Self {
        Self { at: start, end, buffer: Vec::new(), read: 0 }
    }

    /// Whether everything was taken.
    pub(super) fn is_done(&self) -> bool {
        self.at == self.end && self.read == self.buffer.len()
    }

    /// The next so many bytes, which must have been written.
    pub(super) fn take(&mut self, tape: &mut Tape, count: usize) -> Result<&[u8], Fault> {
        if self.buffer.len() - self.read < count {
            self.buffer.drain(..self.read);
            self.read = 0;
            let have = self.buffer.len();
            let left = self.end - self.at;
            let more = wide(CURSOR_BYTES.max(count - have)).min(left);
            self.buffer.resize(have + narrow(more), 0);
            tape.read(self.at, &mut self.buffer[have..])?;
            self.at += more;
        }
        let start = self.read;
        self.read += count;
        Ok(&self.buffer[start..self.read])
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Spools as vectors.
    #[derive(Debug, Default)]
    pub(in crate::scan) struct Memory;

    impl Scratch for Memory {
        fn spool(&self) -> Result<Box<dyn Spool>, Fault> {
            Ok(Box::new(MemorySpool(Vec::new())))
        }
    }

    struct MemorySpool(Vec<u8>);

    impl Spool for MemorySpool {
        fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }

        fn read(&mut self, at: u64, buffer: &mut [u8]) -> Result<(), Fault> {
            let at = narrow(at);
            buffer.copy_from_slice(&self.0[at..at + buffer.len()]);
            Ok(())
        }
    }

    #[test]
    fn what_was_written_comes_back_across_the_border_of_memory() {
        let mut tape = Tape::new(Arc::new(Memory));
        let piece: Vec<u8> = (0..=250).collect();
        for _ in 0..30_000 {
            tape.append(&piece).unwrap();
        }
        assert!(tape.spool.is_some() && !tape.tail.is_empty());
        let mut cursor = Cursor::new(0, tape.end());
        for _ in 0..30_000 {
            assert_eq!(cursor.take(&mut tape, piece.len()).unwrap(), piece);
        }
        assert!(cursor.is_done());
        let mut buffer = vec![0; piece.len()];
        let border = tape.spooled / 251 * 251;
        tape.read(border, &mut buffer).unwrap();
        assert_eq!(buffer, piece);
    }
}
