//! What servers and people give this store to read, for the fuzzer: rows of COPY and connection URLs.

use super::connect;
use super::forms::Form;
use super::rows::{Cutter, Rows};
use super::stream::Gather;
use unseed_core::fault::Fault;
use unseed_core::port::scan::{Block, Visit};

/// Reads rows of COPY's binary format, of a column of each form, that arrive in chunks of so many bytes; false if the
/// stream is of another form.
pub fn copy_rows(stream: &[u8], chunk_bytes: usize, visit: &mut Visit<'_>) -> bool {
    let forms =
        vec![Form::Text, Form::Integer, Form::Boolean, Form::Uuid, Form::Date, Form::Time, Form::TimeInUtc];
    let mut cutter = Cutter::new(forms);
    let mut blocks: Vec<Rows> = Vec::new();
    for piece in stream.chunks(chunk_bytes.max(1)) {
        match cutter.feed(piece) {
            Ok(block) => blocks.extend(block),
            Err(_) => return false,
        }
    }
    let last = cutter.finish();
    let is_whole = last.is_ok();
    blocks.extend(last.ok().flatten());
    blocks.iter().for_each(|block| block.visit(visit));
    is_whole
}

/// Reads a connection URL, and says where it leads.
///
/// # Errors
/// A usage fault when it is none.
pub fn location(url: &str) -> Result<String, Fault> {
    connect::target(url, &|_| None).map(|target| target.location)
}
