//! Reading archived lines back.
//!
//! Invariants
//! - what is not a line of ours is a fault, never a guess.

use super::archive::{KEY_COLUMNS, MEMBER_COLUMNS, NEVER};
use super::text::{arguments, unquote};
use memchr::memchr;
use unseed_core::fault::{Category, Fault};

/// A command and its arguments.
pub(super) type Command = Vec<Vec<u8>>;

/// A key as it was archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyLine {
    pub(super) key: Vec<u8>,
    pub(super) expires_ms: i64,
    pub(super) payload: Vec<u8>,
    /// Commands that make the same content; none where there were none.
    pub(super) commands: Vec<Command>,
}

/// An entry within a key as it was archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberLine {
    pub(super) key: Vec<u8>,
    pub(super) kind: MemberKind,
    /// When the whole key expires.
    pub(super) expires_ms: i64,
    pub(super) member: Vec<u8>,
    /// The field's value, or the member's score.
    pub(super) value: Vec<u8>,
}

/// What holds the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberKind {
    Hash,
    Set,
    Zset,
}

/// A line of either section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Key(KeyLine),
    Member(MemberLine),
}

impl Line {
    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Key(line) => line.key.len() + line.payload.len(),
            Self::Member(line) => line.key.len() + line.member.len() + line.value.len(),
        }
    }

    /// What it is about, apart from its content.
    pub(super) fn name(&self) -> (&[u8], Option<&[u8]>) {
        match self {
            Self::Key(line) => (&line.key, None),
            Self::Member(line) => (&line.key, Some(&line.member)),
        }
    }
}

/// Reads a line without its end; `is_member` says of which section.
pub(super) fn read(line: &[u8], is_member: bool) -> Result<Line, Fault> {
    let read = if is_member { member(line).map(Line::Member) } else { key(line).map(Line::Key) };
    read.ok_or_else(damaged)
}

fn damaged() -> Fault {
    Fault::new(Category::Archive, "an archived line cannot be read")
        .hint("the archive is damaged; check it with `unseed archive check` and look for a copy of it")
}

fn columns<const N: usize>(line: &[u8]) -> Option<[&[u8]; N]> {
    let mut columns = [[].as_slice(); N];
    let mut rest = line;
    for column in &mut columns[..N - 1] {
        let end = memchr(b'\t', rest)?;
        *column = &rest[..end];
        rest = &rest[end + 1..];
    }
    *columns.last_mut()? = rest;
    memchr(b'\t', rest).is_none().then_some(columns)
}

fn expiry(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return Some(NEVER);
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|at| *at >= 0)
}

fn key(line: &[u8]) -> Option<KeyLine> {
    let [key, _kind, expires, payload, text] = columns::<{ KEY_COLUMNS.len() }>(line)?;
    let mut commands = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (command, after) = match memchr(b'|', rest) {
            None => (rest, [].as_slice()),
            Some(at) => (rest[..at].strip_suffix(b" ")?, rest[at + 1..].strip_prefix(b" ")?),
        };
        let command = arguments(command)?;
        if command.len() < 3 {
            return None;
        }
        commands.push(command);
        rest = after;
    }
    Some(KeyLine { key: unquote(key)?, expires_ms: expiry(expires)?, payload: unquote(payload)?, commands })
}

fn member(line: &[u8]) -> Option<MemberLine> {
    let [key, kind, expires, member, value] = columns::<{ MEMBER_COLUMNS.len() }>(line)?;
    let kind = match kind {
        b"hash" => MemberKind::Hash,
        b"set" => MemberKind::Set,
        b"zset" => MemberKind::Zset,
        _ => return None,
    };
    let (key, member, value) = (unquote(key)?, unquote(member)?, unquote(value)?);
    Some(MemberLine { key, kind, expires_ms: expiry(expires)?, member, value })
}

/// Cuts bytes that come in pieces into lines.
#[derive(Default)]
pub(super) struct Cutter {
    started: Vec<u8>,
}

impl Cutter {
    /// Hands every line that ends within this piece to `visit`.
    pub(super) fn feed(
        &mut self,
        mut piece: &[u8],
        visit: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        while let Some(end) = memchr(b'\n', piece) {
            if self.started.is_empty() {
                visit(&piece[..end])?;
            } else {
                self.started.extend_from_slice(&piece[..end]);
                visit(&self.started)?;
                self.started.clear();
            }
            piece = &piece[end + 1..];
        }
        self.started.extend_from_slice(piece);
        Ok(())
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Fault> {
        if self.started.is_empty() { Ok(()) } else { Err(damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let line =
            b"\"k\"\tset\t1700000000000\t\"\\x00\\x7c\"\t\"SADD\" \"k\" \"a\" | \"SADD\" \"k\" \"\\x7c\"";
        let Line::Key(read) = read(line, false).unwrap() else { panic!("a key") };
        assert_eq!((read.expires_ms, read.payload.as_slice()), (1_700_000_000_000, b"\0|".as_slice()));
        let command = |value: &[u8]| vec![b"SADD".to_vec(), b"k".to_vec(), value.to_vec()];
        assert_eq!(read.commands, [command(b"a"), command(b"|")]);
        let line = b"\"k\"\thash\t\t\"f\"\t\"v\"";
        let Line::Member(read) = super::read(line, true).unwrap() else { panic!("an entry") };
        assert_eq!(
            (read.kind, read.expires_ms, read.value.as_slice()),
            (MemberKind::Hash, NEVER, b"v".as_slice())
        );
    }

    #[test]
    fn damaged_lines_are_faults() {
        for line in [
            "",
            "\"k\"\tset\t\t\"\"",
            "\"k\"\tset\t-5\t\"\"\t",
            "\"k\"\tset\t\t\"\"\t\"SADD\"",
            "k\tset\t\t\"\"\t",
        ] {
            assert!(read(line.as_bytes(), false).is_err(), "{line}");
        }
        assert!(read(b"\"k\"\tlist\t\t\"f\"\t\"v\"", true).is_err());
    }

    #[test]
    fn lines_are_cut_wherever_the_pieces_end() {
        let text = b"a\n\nbc\n";
        for size in 1..=text.len() {
            let (mut cutter, mut lines) = (Cutter::default(), Vec::new());
            for piece in text.chunks(size) {
                let visited = cutter.feed(piece, &mut |line| {
                    lines.push(line.to_vec());
                    Ok(())
                });
                visited.unwrap();
            }
            cutter.end().unwrap();
            assert_eq!(lines, [b"a".to_vec(), Vec::new(), b"bc".to_vec()]);
        }
    }
}
