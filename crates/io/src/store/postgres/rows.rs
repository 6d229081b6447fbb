//! Rows of COPY's binary format: gathered into blocks as they arrive, cut into values by whoever visits a block.
//!
//! A row is a count of two bytes and its values, each behind a length of four, -1 for null; before the first row stands
//! a header, behind the last one a count of -1 (PostgreSQL's documentation, COPY, "Binary Format").
//!
//! Invariants
//! - chunks may be cut anywhere; a block holds whole rows only;
//! - a stream of another form is an error, as is one that ends within a row; the content of values is never one.
//!
//! Not here: sending the statement (`scan`), what the bytes of a value mean (`forms`).

use super::forms::Form;
use super::stream::{Gather, Malformed};
use std::ops::Range;
use std::sync::Arc;
use unseed_core::port::scan::{Block, Visit};

/// What a stream begins with; flags and the length of more header follow, four bytes each.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The count that stands behind the last row.
const END: i16 = -1;
/// Columns up to which a row is handed over without an allocation.
const INLINE_COLUMNS: usize = 16;
/// Bytes from which a block is handed over.
const BLOCK_BYTES: usize = 96 << 10;

/// Gathers a stream into blocks.
#[derive(Debug)]
pub(super) struct Cutter {
    forms: Arc<[Form]>,
    bytes: Vec<u8>,
    /// Where the last whole row ends.
    whole: usize,
    place: Place,
}

/// What comes next in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Row,
    End,
}

/// Whole rows.
#[derive(Debug)]
pub(super) struct Rows {
    forms: Arc<[Form]>,
    bytes: Vec<u8>,
}

impl Cutter {
    /// Reads rows with values of these forms.
    pub(super) fn new(forms: Vec<Form>) -> Self {
        Self {
            forms: forms.into(),
            bytes: Vec::with_capacity(BLOCK_BYTES + 4_096),
            whole: 0,
            place: Place::Header,
        }
    }

    /// Takes the header away once all of it is there.
    fn skip_header(&mut self) -> Result<bool, Malformed> {
        let known = self.bytes.len().min(SIGNATURE.len());
        if self.bytes[..known] != SIGNATURE[..known] {
            return Err(Malformed);
        }
        let mut rest = self.bytes.get(SIGNATURE.len() + 4..).unwrap_or_default();
        let Some(more) = take(&mut rest).map(i32::from_be_bytes) else { return Ok(false) };
        let more = usize::try_from(more).map_err(|_| Malformed)?;
        if rest.len() < more {
            return Ok(false);
        }
        self.bytes.drain(..SIGNATURE.len() + 8 + more);
        self.place = Place::Row;
        Ok(true)
    }

    /// Where the row that begins behind the last whole one ends; none as long as not all of it is there.
    fn row_end(&mut self) -> Result<Option<usize>, Malformed> {
        let mut rest = &self.bytes[self.whole..];
        let Some(count) = take(&mut rest).map(i16::from_be_bytes) else { return Ok(None) };
        if count == END {
            self.place = Place::End;
            return Ok(None);
        }
        if usize::try_from(count) != Ok(self.forms.len()) {
            return Err(Malformed);
        }
        for _ in 0..count {
            let Some(length) = take(&mut rest).map(i32::from_be_bytes) else { return Ok(None) };
            if length == -1 {
                continue;
            }
            let length = usize::try_from(length).map_err(|_| Malformed)?;
            let Some((_, behind)) = rest.split_at_checked(length) else { return Ok(None) };
            rest = behind;
        }
        Ok(Some(self.bytes.len() - rest.len()))
    }
}

impl Gather for Cutter {
    type Block = Rows;

    fn feed(&mut self, chunk: &[u8]) -> Result<Option<Rows>, Malformed> {
        self.bytes.extend_from_slice(chunk);
        if self.place == Place::Header && !self.skip_header()? {
            return Ok(None);
        }
        while self.place == Place::Row
            && let Some(end) = self.row_end()?
        {
            self.whole = end;
        }
        if self.whole < BLOCK_BYTES {
            return Ok(None);
        }
        let mut rest = Vec::with_capacity(BLOCK_BYTES + 4_096);
        rest.extend_from_slice(&self.bytes[self.whole..]);
        let mut bytes = std::mem::replace(&mut self.bytes, rest);
        bytes.truncate(self.whole);
        self.whole = 0;
        Ok(Some(Rows { forms: Arc::clone(&self.forms), bytes }))
    }

    fn finish(mut self) -> Result<Option<Rows>, Malformed> {
        if self.place != Place::End {
            return Err(Malformed);
        }
        self.bytes.truncate(self.whole);
        Ok((self.whole > 0).then_some(Rows { forms: self.forms, bytes: self.bytes }))
    }
}

/// Takes so many bytes from the front.
fn take<const BYTES: usize>(rest: &mut &[u8]) -> Option<[u8; BYTES]> {
    let (first, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*first)
}

/// The next value of a row that is whole.
fn value<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(i32::from_be_bytes(take(rest)?)).ok()?;
    let (value, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(value)
}

/// Where the text of a value stands.
enum Cell<'a> {
    Null,
    AsSent(&'a str),
    /// It was written beside.
    Written(Range<usize>),
}

impl Block for Rows {
    fn visit(&self, visit: &mut Visit<'_>) {
        let (mut cells, mut written) = (Vec::with_capacity(self.forms.len()), String::new());
        let mut rest = self.bytes.as_slice();
        while take::<2>(&mut rest).is_some() {
            cells.clear();
            written.clear();
            for form in self.forms.iter() {
                cells.push(match value(&mut rest) {
                    None => Cell::Null,
                    Some(bytes) => cell(*form, bytes, &mut written),
                });
            }
            hand_over(&cells, &written, visit);
        }
    }
}

fn cell<'a>(form: Form, bytes: &'a [u8], written: &mut String) -> Cell<'a> {
    let start = written.len();
    if form == Form::Text {
        match std::str::from_utf8(bytes) {
            Ok(text) => return Cell::AsSent(text),
            Err(_) => written.push_str(&String::from_utf8_lossy(bytes)),
        }
    } else {
        form.write(bytes, written);
    }
    Cell::Written(start..written.len())
}

fn hand_over(cells: &[Cell<'_>], written: &str, visit: &mut Visit<'_>) {
    fn text<'a>(cell: &Cell<'a>, written: &'a str) -> Option<&'a str> {
        match cell {
            Cell::Null => None,
            Cell::AsSent(text) => Some(text),
            Cell::Written(range) => written.get(range.clone()),
        }
    }
    if cells.len() <= INLINE_COLUMNS {
        let mut row = [None; INLINE_COLUMNS];
        for (slot, cell) in row.iter_mut().zip(cells) {
            *slot = text(cell, written);
        }
        visit(&row[..cells.len()]);
    } else {
        let row: Vec<Option<&str>> = cells.iter().map(|cell| text(cell, written)).collect();
        visit(&row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(rows: &[Vec<Option<&[u8]>>]) -> Vec<u8> {
        let mut bytes = [SIGNATURE, &[0, 0, 0, 0, 0, 0, 0, 3, 7, 7, 7]].concat();
        for row in rows {
            bytes.extend_from_slice(&i16::try_from(row.len()).unwrap().to_be_bytes());
            for value in row {
                let length = value.map_or(-1, |v| i32::try_from(v.len()).unwrap());
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(value.unwrap_or_default());
            }
        }
        bytes.extend_from_slice(&END.to_be_bytes());
        bytes
    }

    /// How many blocks there are, and the values of each row.
    type Found = (usize, Vec<Vec<Option<String>>>);

    fn read(stream: &[u8], forms: &[Form], chunk: usize) -> Result<Found, Malformed> {
        let mut cutter = Cutter::new(forms.to_vec());
        let mut blocks = Vec::new();
        for piece in stream.chunks(chunk) {
            blocks.extend(cutter.feed(piece)?);
        }
        blocks.extend(cutter.finish()?);
        let mut rows = Vec::new();
        let mut visit = |row: &[Option<&str>]| rows.push(row.iter().map(|c| c.map(str::to_owned)).collect());
        blocks.iter().for_each(|block| block.visit(&mut visit));
        Ok((blocks.len(), rows))
    }

    #[test]
    fn nulls_and_cuts_anywhere_give_the_same_rows() {
        let forms = [Form::Integer, Form::Text, Form::Text];
        let rows: Vec<Vec<Option<&[u8]>>> = vec![
            vec![Some(&[0, 7]), None, Some(b"a\tb\\c")],
            vec![Some(&[255, 255, 255, 254]), Some(b""), Some("ü\nx".as_bytes())],
        ];
        let stream = stream(&rows);
        let (_, expected) = read(&stream, &forms, stream.len()).unwrap();
        assert_eq!(expected[0], [Some("7".into()), None, Some("a\tb\\c".into())]);
        assert_eq!(expected[1], [Some("-2".into()), Some(String::new()), Some("ü\nx".into())]);
        for chunk in 1..40 {
            assert_eq!(read(&stream, &forms, chunk).unwrap().1, expected, "chunks of {chunk}");
        }
        assert_eq!(read(&stream[..stream.len() - 2], &forms, 9), Err(Malformed), "it ends without an end");
        for cut in [3, 15, 40] {
            assert_eq!(read(&stream[..cut], &forms, 9), Err(Malformed), "it ends at {cut}");
        }
        assert_eq!(read(&stream, &forms[..2], 9), Err(Malformed), "rows have other values");
        assert_eq!(read(b"1\ta\n", &forms[..2], 9), Err(Malformed), "text");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_in_their_cell_only() {
        let rows = [vec![Some(b"a".as_slice()), Some(&[255, 254]), Some(b"b")]];
        assert_eq!(
            read(&stream(&rows), &[Form::Text; 3], 3).unwrap().1[0],
            [Some("a".into()), Some("\u{fffd}\u{fffd}".into()), Some("b".into())]
        );
    }

    #[test]
    fn a_stream_of_several_blocks_loses_no_row_wherever_it_is_cut() {
        let texts: Vec<(String, String)> = (0..9_000).map(|n| (n.to_string(), "é".repeat(n % 40))).collect();
        let rows: Vec<_> = texts.iter().map(|(a, b)| vec![Some(a.as_bytes()), Some(b.as_bytes())]).collect();
        let stream = stream(&rows);
        for chunk in [1_000, 4_099, 70_001, stream.len()] {
            let (blocks, rows) = read(&stream, &[Form::Text; 2], chunk).unwrap();
            let keys: Vec<String> = rows.iter().filter_map(|row| row[0].clone()).collect();
            assert_eq!(keys, (0..9_000).map(|n| n.to_string()).collect::<Vec<_>>(), "chunks of {chunk}");
            assert_eq!(rows[8_999][1].as_deref(), Some("é".repeat(39).as_str()));
            assert!(blocks > 1 || chunk == stream.len(), "{blocks} blocks of chunks of {chunk}");
        }
    }

    #[test]
    fn many_columns_are_handed_over_too() {
        let rows = [vec![Some(b"x".as_slice()); 100]];
        assert_eq!(read(&stream(&rows), &[Form::Text; 100], 16).unwrap().1[0].len(), 100);
    }
}
