//! Cuts a stream into records, however it arrives.
//!
//! Invariants
//! - a record is given whole, without the end of its line;
//! - a byte order mark is no part of the first record, and UTF-16 is a fault;
//! - a record longer than [`RECORD_BYTES_MAX`] is a fault, not an ever growing buffer.

use std::io::Read;
use unseed_core::fault::Fault;

/// The longest record; a name and an address need a few hundred bytes.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// Bytes in which the mark of an encoding stands.
const MARK_BYTES_MAX: usize = 4;
/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// A stream and what of it is waiting.
#[derive(Debug)]
pub(super) struct Input<R> {
    from: R,
    buffer: Vec<u8>,
    /// What of the buffer has been given out.
    start: usize,
    is_done: bool,
    /// Records that were given out.
    given: u64,
}

impl<R: Read> Input<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, buffer: Vec::new(), start: 0, is_done: false, given: 0 }
    }

    /// Passes over a byte order mark, and refuses text in another encoding than UTF-8.
    pub(super) fn begin(&mut self) -> Result<(), Fault> {
        while self.buffer.len() < MARK_BYTES_MAX && self.more()? {}
        match self.buffer.as_slice() {
            [0xef, 0xbb, 0xbf, ..] => self.start = 3,
            // Without a mark, each letter has a zero beside it.
            [0xff, 0xfe, ..]
            | [0xfe, 0xff, ..]
            | [1..=127, 0, 1..=127, 0, ..]
            | [0, 1..=127, 0, 1..=127, ..] => {
                return Err(Fault::usage("the records are UTF-16, not UTF-8")
                    .hint("convert them with `iconv -f UTF-16 -t UTF-8 FILE | unseed classify`"));
            }
            _ => {}
        }
        Ok(())
    }

    /// The first character that is no space, without taking it.
    pub(super) fn first_letter(&mut self) -> Result<Option<u8>, Fault> {
        loop {
            let waiting = &self.buffer[self.start..];
            let seen = waiting.iter().find(|b| !b.is_ascii_whitespace() && **b < 128).copied();
            if seen.is_some() || !self.more()? {
                return Ok(seen);
            }
        }
    }

    /// The next line.
    pub(super) fn line(&mut self) -> Result<Option<&[u8]>, Fault> {
        let mut searched = 0;
        loop {
            let rest = &self.buffer[self.start + searched..];
            if let Some(end) = memchr::memchr(b'\n', rest) {
                return Ok(Some(self.give(searched + end, 1)));
            }
            searched = self.buffer.len() - self.start;
            if !self.more()? {
                return Ok(self.last());
            }
        }
    }

    /// The next record of a CSV file: a line, and those after it while a quote is open.
    pub(super) fn csv_record(&mut self) -> Result<Option<&[u8]>, Fault> {
        let (mut searched, mut is_open) = (0, false);
        loop {
            let rest = &self.buffer[self.start + searched..];
            match memchr::memchr2(b'\n', b'"', rest) {
                Some(at) if rest[at] == b'"' => {
                    is_open = !is_open;
                    searched += at + 1;
                }
                Some(at) if is_open => searched += at + 1,
                Some(at) => return Ok(Some(self.give(searched + at, 1))),
                None => {
                    searched = self.buffer.len() - self.start;
                    if !self.more()? {
                        return Ok(self.last());
                    }
                }
            }
        }
    }

    /// Gives out so many bytes, and drops those behind them.
    fn give(&mut self, length: usize, behind: usize) -> &[u8] {
        let start = self.start;
        self.start += length + behind;
        self.given += 1;
        let record = &self.buffer[start..start + length];
        record.strip_suffix(b"\r").unwrap_or(record)
    }

    fn last(&mut self) -> Option<&[u8]> {
        let left = self.buffer.len() - self.start;
        (left > 0).then(|| self.give(left, 0))
    }

    /// Reads on; false at the end.
    fn more(&mut self) -> Result<bool, Fault> {
        if self.is_done {
            return Ok(false);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let have = self.buffer.len();
        if have > RECORD_BYTES_MAX {
            let before = crate::ui::count(self.given);
            return Err(Fault::usage(format!("a record is longer than 16 MiB, behind {before} other lines"))
                .hint("is a quote left open, or the file neither CSV nor NDJSON?"));
        }
        self.buffer.resize(have + READ_BYTES, 0);
        let read = self.from.read(&mut self.buffer[have..]).map_err(|error| {
            Fault::usage(format!("the records cannot be read: {error}")).hint("check the file")
        })?;
        self.buffer.truncate(have + read);
        self.is_done = read == 0;
        Ok(!self.is_done)
    }
}
