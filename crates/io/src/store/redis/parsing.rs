//! What servers, archives and people give this store to read, for the fuzzer.

use super::connect::Target;
use super::{dump, lines};
use unseed_core::fault::Fault;

/// Reads a payload of DUMP; what it holds does not depend on being read twice.
pub fn payload(bytes: &[u8]) {
    let (kind, content) = (dump::kind(bytes), dump::content(bytes));
    assert!(content.is_none() || kind.is_some(), "what can be read has a type");
    assert_eq!(content.map(dump::Content::in_order), dump::content(bytes).map(dump::Content::in_order));
}

/// Reads archived lines that arrive in pieces of so many bytes; returns how many there were, and how many were damaged.
pub fn archived(text: &[u8], piece_bytes: usize, are_members: bool) -> (u64, u64) {
    let (mut cutter, mut seen, mut damaged) = (lines::Cutter::default(), 0, 0);
    for piece in text.chunks(piece_bytes.max(1)) {
        let visited = cutter.feed(piece, &mut |line| {
            seen += 1;
            damaged += u64::from(lines::read(line, are_members).is_err());
            Ok(())
        });
        visited.expect("visiting a line does not fail");
    }
    damaged += u64::from(cutter.end().is_err());
    (seen, damaged)
}

/// Reads an address, and says where it leads.
///
/// # Errors
/// A usage fault when it is none.
pub fn location(url: &str) -> Result<String, Fault> {
    Target::read(url, &|_| None).map(|target| target.location)
}
