//! Rows of COPY's text format: gathered into blocks as they arrive, cut into values by whoever visits a block,
//! without copying where nothing is escaped.
//!
//! Invariants
//! - chunks may be cut anywhere; a block holds whole rows only;
//! - any bytes that are no UTF-8 become replacement characters, so nothing here fails on content.
//!
//! Not here: sending the statement (`scan`).

use memchr::{memchr, memchr_iter, memrchr};
use std::borrow::Cow;
use std::ops::Range;
use unseed_core::port::scan::{Block, Visit};

/// Columns up to which a row is handed over without an allocation.
const INLINE_COLUMNS: usize = 48;
/// Bytes from which a block is handed over.
const BLOCK_BYTES: usize = 96 << 10;

/// Gathers a stream into blocks.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    bytes: Vec<u8>,
}

/// Whole rows, each ended by a line feed.
#[derive(Debug)]
pub(super) struct Lines(Vec<u8>);

impl Cutter {
    /// Takes a chunk, and gives back the rows that are whole once they are enough for a block.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Option<Lines> {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(BLOCK_BYTES + 4_096);
        }
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() < BLOCK_BYTES {
            return None;
        }
        // Chunks are rows as a rule, so the last line feed is near the end.
        let end = memrchr(b'\n', &self.bytes)? + 1;
        let mut rest = Vec::with_capacity(BLOCK_BYTES + 4_096);
        rest.extend_from_slice(&self.bytes[end..]);
        let mut lines = std::mem::replace(&mut self.bytes, rest);
        lines.truncate(end);
        Some(Lines(lines))
    }

    /// The rows that are left at the end.
    pub(super) fn finish(self) -> Option<Lines> {
        (!self.bytes.is_empty()).then_some(Lines(self.bytes))
    }
}

impl Block for Lines {
    fn visit(&self, visit: &mut Visit<'_>) {
        let mut row = Row::default();
        let mut start = 0;
        // Where the whole block is text, no row of it needs to be looked at for that.
        let text = std::str::from_utf8(&self.0).ok();
        for end in memchr_iter(b'\n', &self.0) {
            match text {
                Some(text) => row.visit_plain(&text[start..end], visit),
                None => row.visit(&self.0[start..end], visit),
            }
            start = end + 1;
        }
    }
}

/// One row: where its cells stand, and the bytes of those that were escaped.
#[derive(Debug, Default)]
struct Row {
    unescaped: Vec<u8>,
    cells: Vec<Option<Range<usize>>>,
}

impl Row {
    /// Cuts a row of text; one in which something but nulls is escaped takes the longer way.
    fn visit_plain(&mut self, line: &str, visit: &mut Visit<'_>) {
        let mut cells = [None; INLINE_COLUMNS];
        let (mut count, mut start) = (0, 0);
        let escapes = memchr(b'\\', line.as_bytes()).is_some();
        for end in memchr_iter(b'\t', line.as_bytes()).chain([line.len()]) {
            let cell = &line[start..end];
            let null = escapes && cell == "\\N";
            let escaped = escapes && !null && memchr(b'\\', cell.as_bytes()).is_some();
            if count == INLINE_COLUMNS || escaped {
                return self.visit(line.as_bytes(), visit);
            }
            cells[count] = (!null).then_some(cell);
            count += 1;
            start = end + 1;
        }
        visit(&cells[..count]);
    }

    fn visit(&mut self, line: &[u8], visit: &mut Visit<'_>) {
        self.cells.clear();
        let bytes = if memchr(b'\\', line).is_some() {
            self.unescape(line);
            self.unescaped.as_slice()
        } else {
            let mut start = 0;
            for end in memchr_iter(b'\t', line).chain([line.len()]) {
                self.cells.push(Some(start..end));
                start = end + 1;
            }
            line
        };
        let text = String::from_utf8_lossy(bytes);
        match &text {
            Cow::Borrowed(text) => hand_over(text, &self.cells, visit),
            // Ranges speak of the bytes, so each cell is made text on its own.
            Cow::Owned(_) => {
                let cells: Vec<Option<Cow<'_, str>>> = self
                    .cells
                    .iter()
                    .map(|c| c.clone().map(|r| String::from_utf8_lossy(&bytes[r])))
                    .collect();
                let cells: Vec<Option<&str>> = cells.iter().map(Option::as_deref).collect();
                visit(&cells);
            }
        }
    }

    /// Splits at tabs and takes the escapes out; `\N` alone is null.
    fn unescape(&mut self, line: &[u8]) {
        self.unescaped.clear();
        for cell in line.split(|b| *b == b'\t') {
            if cell == b"\\N" {
                self.cells.push(None);
                continue;
            }
            let start = self.unescaped.len();
            let mut bytes = cell.iter().copied();
            while let Some(byte) = bytes.next() {
                let plain = if byte == b'\\' { bytes.next().map_or(b'\\', escaped) } else { byte };
                self.unescaped.push(plain);
            }
            self.cells.push(Some(start..self.unescaped.len()));
        }
    }
}

/// What stands for the letter behind a backslash. COPY writes no octal or hex escapes.
fn escaped(letter: u8) -> u8 {
    match letter {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        other => other,
    }
}

fn hand_over(text: &str, cells: &[Option<Range<usize>>], visit: &mut Visit<'_>) {
    // Tabs are ASCII, so every range ends where a character does.
    let cell = |range: &Option<Range<usize>>| range.clone().and_then(|r| text.get(r));
    if cells.len() <= INLINE_COLUMNS {
        let mut row = [None; INLINE_COLUMNS];
        for (slot, range) in row.iter_mut().zip(cells) {
            *slot = cell(range);
        }
        visit(&row[..cells.len()]);
    } else {
        let row: Vec<Option<&str>> = cells.iter().map(cell).collect();
        visit(&row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(stream: &[u8], chunk: usize) -> Vec<Vec<Option<String>>> {
        let mut cutter = Cutter::default();
        let mut blocks: Vec<Lines> = stream.chunks(chunk).filter_map(|piece| cutter.feed(piece)).collect();
        blocks.extend(cutter.finish());
        let mut rows = Vec::new();
        let mut visit = |row: &[Option<&str>]| rows.push(row.iter().map(|c| c.map(str::to_owned)).collect());
        blocks.iter().for_each(|block| block.visit(&mut visit));
        rows
    }

    #[test]
    fn nulls_escapes_and_cuts_anywhere_give_the_same_rows() {
        let stream = "1\t\\N\ta\\tb\\\\c\n2\t\tü\\nx\n".as_bytes();
        let expected = read(stream, stream.len());
        assert_eq!(expected[0], [Some("1".into()), None, Some("a\tb\\c".into())]);
        assert_eq!(expected[1], [Some("2".into()), Some(String::new()), Some("ü\nx".into())]);
        for chunk in 1..8 {
            assert_eq!(read(stream, chunk), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_in_their_cell_only() {
        assert_eq!(
            read(b"a\t\xff\xfe\tb\n", 3)[0],
            [Some("a".into()), Some("\u{fffd}\u{fffd}".into()), Some("b".into())]
        );
    }

    #[test]
    fn a_stream_of_several_blocks_loses_no_row_wherever_it_is_cut() {
        let lines: String = (0..9_000).map(|n| format!("{n}\tname {n}\t{}\n", "é".repeat(n % 40))).collect();
        for chunk in [1_000, 4_099, 70_001] {
            let rows = read(lines.as_bytes(), chunk);
            let keys: Vec<String> = rows.iter().filter_map(|row| row[0].clone()).collect();
            assert_eq!(keys, (0..9_000).map(|n| n.to_string()).collect::<Vec<_>>(), "chunks of {chunk}");
            assert_eq!(rows[8_999][2].as_deref(), Some("é".repeat(39).as_str()));
        }
    }

    #[test]
    fn many_columns_are_handed_over_too() {
        let line = format!("{}\n", vec!["x"; 100].join("\t"));
        assert_eq!(read(line.as_bytes(), 16)[0].len(), 100);
    }
}
