//! Rows of COPY's text format, cut out of the byte stream without copying where nothing is escaped.
//!
//! Invariants
//! - chunks may be cut anywhere; a row is only visited whole;
//! - any bytes that are no UTF-8 become replacement characters, so nothing here fails on content.
//!
//! Not here: sending the statement (`scan`).

use memchr::{memchr, memchr_iter};
use std::borrow::Cow;
use std::ops::Range;
use unseed_core::port::scan::Visit;

/// Columns up to which a row is handed over without an allocation.
const INLINE_COLUMNS: usize = 48;

/// Cuts a stream into rows.
#[derive(Debug, Default)]
pub(super) struct RowReader {
    /// The beginning of a row whose end has not arrived.
    rest: Vec<u8>,
    row: Row,
    rows: u64,
}

impl RowReader {
    /// Takes a chunk and visits every row that ends in it.
    pub(super) fn feed(&mut self, chunk: &[u8], visit: &mut Visit<'_>) {
        let mut start = 0;
        for end in memchr_iter(b'\n', chunk) {
            let line = &chunk[start..end];
            if self.rest.is_empty() {
                self.row.visit(line, visit);
            } else {
                self.rest.extend_from_slice(line);
                let whole = std::mem::take(&mut self.rest);
                self.row.visit(&whole, visit);
            }
            self.rows += 1;
            start = end + 1;
        }
        self.rest.extend_from_slice(&chunk[start..]);
    }

    /// Rows visited so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }
}

/// One row: where its cells stand, and the bytes of those that were escaped.
#[derive(Debug, Default)]
struct Row {
    unescaped: Vec<u8>,
    cells: Vec<Option<Range<usize>>>,
}

impl Row {
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
        let mut reader = RowReader::default();
        let mut rows = Vec::new();
        let mut visit = |row: &[Option<&str>]| rows.push(row.iter().map(|c| c.map(str::to_owned)).collect());
        for piece in stream.chunks(chunk) {
            reader.feed(piece, &mut visit);
        }
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
    fn many_columns_are_handed_over_too() {
        let line = format!("{}\n", vec!["x"; 100].join("\t"));
        assert_eq!(read(line.as_bytes(), 16)[0].len(), 100);
    }
}
