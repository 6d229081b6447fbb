//! Rows of a few text values, packed: keys and versions of rows come by the million, and a `Vec<String>` for each would
//! take ten times the memory of what is in it.
//!
//! Numbers, UUIDs and hex digits are kept as the bytes they stand for, everything else as it is. Rows lie one behind
//! the other in blocks, so that a list grows without being copied; clones share the blocks.
//!
//! Invariants
//! - what comes out is to the byte what went in, in the order it went in;
//! - equal lists are equal, however they were made.
//!
//! Not here: what the values mean.

use std::sync::Arc;

/// A list of rows of text values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    blocks: Arc<Vec<Block>>,
    rows: usize,
}

/// Some rows, one behind the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Block {
    bytes: Vec<u8>,
    rows: usize,
}

/// Bytes from which a block is full.
const BLOCK_BYTES: usize = 64 << 10;
/// Room for one more row in a block that is not full yet.
const SPARE_BYTES: usize = 256;

/// How the bytes of a value are to be read; stands in the two lowest bits before it, its length above them.
mod kind {
    pub(super) const TEXT: u64 = 0;
    /// Lower-case digits, an even number of them.
    pub(super) const HEX: u64 = 1;
    /// Lower-case, with its dashes.
    pub(super) const UUID: u64 = 2;
    /// Without sign and leading zeros.
    pub(super) const NUMBER: u64 = 3;
}

/// Fewer digits are not worth packing.
const HEX_DIGITS_MIN: usize = 8;
/// More digits may not fit 64 bits.
const NUMBER_DIGITS_MAX: usize = 18;
/// Where the dashes of a UUID are.
const DASHES: [usize; 4] = [8, 13, 18, 23];
const UUID_BYTES: usize = 16;

impl Rows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds a row at the end.
    pub fn push<T: AsRef<str>>(&mut self, row: &[T]) {
        let blocks = Arc::make_mut(&mut self.blocks);
        if blocks.last().is_none_or(|block| block.bytes.len() >= BLOCK_BYTES) {
            blocks.push(Block { bytes: Vec::with_capacity(BLOCK_BYTES + SPARE_BYTES), rows: 0 });
        }
        let block = blocks.last_mut().expect("a block was just pushed");
        number(wide(row.len()), &mut block.bytes);
        row.iter().for_each(|value| pack(value.as_ref(), &mut block.bytes));
        block.rows += 1;
        self.rows += 1;
    }

    /// All rows, in order.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// The rows from this position on; none behind the end.
    pub fn iter_from(&self, position: usize) -> Iter<'_> {
        let position = position.min(self.rows);
        let mut rest = position;
        let mut blocks = self.blocks.as_slice();
        while let [first, behind @ ..] = blocks {
            if rest < first.rows {
                break;
            }
            rest -= first.rows;
            blocks = behind;
        }
        let mut rows = Iter { blocks, bytes: &[], left: self.rows - position + rest };
        for _ in 0..rest {
            rows.next();
        }
        rows
    }

    /// The rows at these positions, in this order.
    ///
    /// # Panics
    /// When there is no row at one of them.
    #[must_use]
    pub fn reordered(&self, order: impl IntoIterator<Item = usize>) -> Self {
        let mut starts: Vec<&[u8]> = Vec::with_capacity(self.rows);
        for block in self.blocks.iter() {
            let mut rest = block.bytes.as_slice();
            for _ in 0..block.rows {
                starts.push(rest);
                unpack_row(&mut rest);
            }
        }
        order.into_iter().map(|position| unpack_row(&mut &*starts[position])).collect()
    }
}

impl<T: AsRef<str>> Extend<Vec<T>> for Rows {
    fn extend<I: IntoIterator<Item = Vec<T>>>(&mut self, rows: I) {
        rows.into_iter().for_each(|row| self.push(&row));
    }
}

impl<T: AsRef<str>> FromIterator<Vec<T>> for Rows {
    fn from_iter<I: IntoIterator<Item = Vec<T>>>(rows: I) -> Self {
        let mut all = Self::default();
        all.extend(rows);
        all
    }
}

impl<'a> IntoIterator for &'a Rows {
    type Item = Vec<String>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Walks over rows.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    blocks: &'a [Block],
    /// What is left of the block before those.
    bytes: &'a [u8],
    left: usize,
}

impl Iterator for Iter<'_> {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        self.left = self.left.checked_sub(1)?;
        if self.bytes.is_empty() {
            let (first, behind) = self.blocks.split_first()?;
            (self.bytes, self.blocks) = (&first.bytes, behind);
        }
        Some(unpack_row(&mut self.bytes))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

fn unpack_row(bytes: &mut &[u8]) -> Vec<String> {
    (0..take_number(bytes)).map(|_| unpack(bytes)).collect()
}

fn pack(value: &str, into: &mut Vec<u8>) {
    let bytes = value.as_bytes();
    let length = wide(bytes.len()) << 2;
    if let Some(digits) = as_number(bytes) {
        number(kind::NUMBER, into);
        number(digits, into);
    } else if is_uuid(bytes) {
        number(kind::UUID, into);
        let digits: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'-').collect();
        halve(&digits, into);
    } else if bytes.len() >= HEX_DIGITS_MIN && bytes.len().is_multiple_of(2) && bytes.iter().all(is_hex) {
        number(length | kind::HEX, into);
        halve(bytes, into);
    } else {
        number(length | kind::TEXT, into);
        into.extend_from_slice(bytes);
    }
}

fn unpack(bytes: &mut &[u8]) -> String {
    let head = take_number(bytes);
    let length = usize::try_from(head >> 2).expect("a length of this process");
    match head & 3 {
        kind::NUMBER => take_number(bytes).to_string(),
        kind::HEX => digits(take(bytes, length / 2), &[]),
        kind::UUID => digits(take(bytes, UUID_BYTES), &DASHES),
        _ => String::from_utf8(take(bytes, length).to_vec()).expect("text is kept as it is"),
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (first, behind) = bytes.split_at(length);
    *bytes = behind;
    first
}

/// A number that prints as it was written.
fn as_number(bytes: &[u8]) -> Option<u64> {
    let is_plain = match bytes {
        [] => false,
        [b'0'] => true,
        [first, ..] => {
            *first != b'0' && bytes.len() <= NUMBER_DIGITS_MAX && bytes.iter().all(u8::is_ascii_digit)
        }
    };
    is_plain.then(|| bytes.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

fn is_uuid(bytes: &[u8]) -> bool {
    let fits = |(n, byte): (usize, &u8)| if DASHES.contains(&n) { *byte == b'-' } else { is_hex(byte) };
    bytes.len() == 36 && bytes.iter().enumerate().all(fits)
}

fn is_hex(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Two digits become one byte.
fn halve(digits: &[u8], into: &mut Vec<u8>) {
    let value = |digit: u8| if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 };
    into.extend(digits.as_chunks::<2>().0.iter().map(|[high, low]| value(*high) << 4 | value(*low)));
}

/// One byte becomes two digits; dashes stand at these places.
fn digits(bytes: &[u8], dashes: &[usize]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2 + dashes.len());
    for byte in bytes {
        if dashes.contains(&text.len()) {
            text.push('-');
        }
        for half in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(half)]));
        }
    }
    text
}

/// Seven bits to a byte, the lowest first; the highest bit says that more follow.
fn number(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(low(number) | 0x80);
        number >>= 7;
    }
    into.push(low(number));
}

fn low(number: u64) -> u8 {
    u8::try_from(number & 0x7f).expect("seven bits fit a byte")
}

fn take_number(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let [byte] = take(bytes, 1) else { unreachable!("one byte was taken") };
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return number;
        }
        shift += 7;
    }
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &[&str] = &[
        "",
        "0",
        "00",
        "7",
        "-7",
        "007",
        "999999999999999999",
        "18446744073709551616",
        "12345678",
        "deadbeef",
        "DEADBEEF",
        "deadbee",
        "00000000",
        "e1495a17-d5d9-d0b4-de49-f1be439892cd",
        "E1495a17-d5d9-d0b4-de49-f1be439892cd",
        "e1495a17xd5d9-d0b4-de49-f1be439892cd",
        "00000000-0000-0000-0000-000000000000",
        "a\tb\nc\0",
        "中文 ü",
    ];

    #[test]
    fn every_value_comes_back_to_the_byte() {
        let long = "x".repeat(100_000);
        let rows: Vec<Vec<String>> = VALUES
            .iter()
            .chain([&long.as_str()])
            .map(|value| vec![(*value).to_owned(), "v".to_owned(), (*value).to_owned()])
            .chain([vec![], vec![String::new()]])
            .collect();
        let packed: Rows = rows.iter().cloned().collect();
        assert_eq!((packed.len(), packed.iter().len()), (rows.len(), rows.len()));
        assert_eq!(packed.iter().collect::<Vec<_>>(), rows);
    }

    #[test]
    fn rows_are_found_by_position_in_every_block() {
        let rows: Rows = (0..40_000).map(|n| vec![n.to_string(), format!("{n:032x}")]).collect();
        assert!(rows.blocks.len() > 3);
        for position in [0, 1, 3_000, 17_777, 39_999] {
            let mut rest = rows.iter_from(position);
            assert_eq!(rest.len(), 40_000 - position);
            assert_eq!(rest.next().unwrap()[0], position.to_string());
            assert_eq!(rest.count(), 39_999 - position);
        }
        assert_eq!(rows.iter_from(40_000).next(), None);
        assert_eq!(rows.iter_from(50_000).next(), None);
        let some = rows.reordered([39_999, 0, 17_777]);
        assert_eq!(some.iter().map(|row| row[0].clone()).collect::<Vec<_>>(), ["39999", "0", "17777"]);
    }

    #[test]
    fn a_clone_that_grows_leaves_the_other_as_it_was() {
        let one: Rows = [vec!["1"]].into_iter().collect();
        let mut two = one.clone();
        two.push(&["2"]);
        assert_eq!((one.len(), two.len()), (1, 2));
        assert_eq!(one.iter().collect::<Vec<_>>(), [["1"]]);
        assert_ne!(one, two);
    }

    #[test]
    fn keys_and_versions_take_a_fraction_of_their_text() {
        let row = |n: u64| vec![format!("{n:08x}-d5d9-d0b4-de49-f1be439892cd"), format!("{n:032x}")];
        let rows: Rows = (0..1_000).map(row).collect();
        let bytes: usize = rows.blocks.iter().map(|block| block.bytes.len()).sum();
        assert!(bytes <= 1_000 * 37, "{bytes} bytes");
    }
}
