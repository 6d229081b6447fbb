//! What servers and people give this store to read, for the fuzzer: rows of COPY and connection URLs.

use super::connect;
use super::rows::{Cutter, Lines};
use unseed_core::fault::Fault;
use unseed_core::port::scan::{Block, Visit};

/// Reads rows of COPY's text format that arrive in chunks of so many bytes.
pub fn copy_rows(stream: &[u8], chunk_bytes: usize, visit: &mut Visit<'_>) {
    let mut cutter = Cutter::default();
    let mut blocks: Vec<Lines> =
        stream.chunks(chunk_bytes.max(1)).filter_map(|piece| cutter.feed(piece)).collect();
    blocks.extend(cutter.finish());
    blocks.iter().for_each(|block| block.visit(visit));
}

/// Reads a connection URL, and says where it leads.
///
/// # Errors
/// A usage fault when it is none.
pub fn location(url: &str) -> Result<String, Fault> {
    connect::target(url, &|_| None).map(|target| target.location)
}
