//! Sorts more records than fit into memory: sorted runs on a tape, merged when they are read.
//!
//! Invariants
//! - records come out by their keys, byte by byte; equal keys in the order in which they went in;
//! - memory is that of one run, and of one cursor per run while they are merged.

use super::tape::{Cursor, Tape, wide};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use unseed_core::fault::Fault;
use unseed_core::port::scan::Scratch;

/// Bytes of one run.
const RUN_BYTES: usize = 24 << 20;

/// Takes records in.
pub(super) struct Sorter {
    tape: Tape,
    runs: Vec<(u64, u64)>,
    bytes: Vec<u8>,
    /// Start of each record in `bytes`, the length of its key, its end.
    records: Vec<(usize, usize, usize)>,
}

/// Gives records out.
pub(super) struct Sorted {
    tape: Tape,
    cursors: Vec<Cursor>,
    heads: BinaryHeap<Reverse<Head>>,
}

/// A record: its key, and the rest.
pub(super) type Record = (Vec<u8>, Vec<u8>);

/// The next record of a run: key, run, payload.
type Head = (Vec<u8>, usize, Vec<u8>);

impl Sorter {
    pub(super) fn new(scratch: Arc<dyn Scratch>) -> Self {
        Self { tape: Tape::new(scratch), runs: Vec::new(), bytes: Vec::new(), records: Vec::new() }
    }

    /// Adds a record.
    pub(super) fn push(&mut self, key: &[u8], payload: &[&[u8]]) -> Result<(), Fault> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        payload.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.records.push((start, key.len(), self.bytes.len()));
        if self.bytes.len() + self.records.len() * 24 >= RUN_BYTES {
            self.close_run()?;
        }
        Ok(())
    }

    fn close_run(&mut self) -> Result<(), Fault> {
        let (bytes, tape) = (&self.bytes, &mut self.tape);
        self.records.sort_by(|a, b| bytes[a.0..a.0 + a.1].cmp(&bytes[b.0..b.0 + b.1]));
        let begun = tape.end();
        for (start, key, end) in self.records.drain(..) {
            tape.append(&wide(key).to_le_bytes())?;
            tape.append(&wide(end - start - key).to_le_bytes())?;
            tape.append(&bytes[start..end])?;
        }
        self.runs.push((begun, tape.end()));
        self.bytes.clear();
        Ok(())
    }

    /// Everything that was added, in order.
    pub(super) fn finish(mut self) -> Result<Sorted, Fault> {
        self.close_run()?;
        let cursors: Vec<Cursor> = self.runs.iter().map(|(start, end)| Cursor::new(*start, *end)).collect();
        let count = cursors.len();
        let mut sorted = Sorted { tape: self.tape, cursors, heads: BinaryHeap::new() };
        (0..count).try_for_each(|run| sorted.refill(run))?;
        Ok(sorted)
    }
}

impl Sorted {
    /// The next record: its key and the rest.
    pub(super) fn next(&mut self) -> Result<Option<Record>, Fault> {
        let Some(Reverse((key, run, payload))) = self.heads.pop() else { return Ok(None) };
        self.refill(run)?;
        Ok(Some((key, payload)))
    }

    fn refill(&mut self, run: usize) -> Result<(), Fault> {
        let cursor = &mut self.cursors[run];
        if cursor.is_done() {
            return Ok(());
        }
        let length = |cursor: &mut Cursor, tape: &mut Tape| -> Result<usize, Fault> {
            let bytes = cursor.take(tape, 8)?.first_chunk().copied().unwrap_or_default();
            Ok(usize::try_from(u64::from_le_bytes(bytes)).expect("it was a usize when it was written"))
        };
        let key = length(cursor, &mut self.tape)?;
        let payload = length(cursor, &mut self.tape)?;
        let key = cursor.take(&mut self.tape, key)?.to_vec();
        let payload = cursor.take(&mut self.tape, payload)?.to_vec();
        self.heads.push(Reverse((key, run, payload)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tape::tests::Memory;
    use super::*;

    #[test]
    fn many_runs_come_out_in_order() {
        let mut sorter = Sorter::new(Arc::new(Memory));
        let filler = [7; 300];
        for n in 0..200_000_u32 {
            let key = n.wrapping_mul(2_654_435_761).to_be_bytes();
            sorter.push(&key, &[&n.to_le_bytes(), &filler]).unwrap();
        }
        assert!(sorter.runs.len() > 1);
        let mut sorted = sorter.finish().unwrap();
        let (mut before, mut count) = (Vec::new(), 0);
        while let Some((key, payload)) = sorted.next().unwrap() {
            assert!(before < key && payload.len() == 304);
            before = key;
            count += 1;
        }
        assert_eq!(count, 200_000);
    }
}
