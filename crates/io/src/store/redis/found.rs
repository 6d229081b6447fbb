//! The entries that a pass found, packed one behind the other.
//!
//! A server names keys in the order of its hash table, which is none. What one application wrote for one row is mostly
//! written at one time, so that it lies close together in the server's memory; a server that is asked for the keys of one
//! row after the other waits for its memory far less often, and an archive in which they are neighbours is smaller. The same
//! holds for rows that were made one after the other, so entries are put in the order in which their rows were handed out.
//!
//! Entries of rows that are not far from each other are packed together as soon as they come, so that reading them in order
//! does not wait for our own memory either.
//!
//! Invariants
//! - an entry that the server names twice is kept once;
//! - whole keys of a node come before entries within its keys, those in the order in which they were found;
//! - memory is the entries' own bytes and some forty more for each while they are gathered, sixteen afterwards, twenty-four once
//!   they were put in order.

use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use unseed_core::pattern;

/// What was found: a key, or an entry within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) member: Option<&'a [u8]>,
    pub(super) pattern: usize,
    pub(super) node: usize,
    /// The place of its row.
    pub(super) row: pattern::Place,
}

/// How each packed entry begins: pattern, node, lengths of key and member, place of the row.
const HEAD_BYTES: usize = 16;
const NO_MEMBER: u32 = u32::MAX;
/// Blocks are not moved when more are needed.
const BLOCK_BYTES: usize = 1 << 16;
/// Entries of one node and kind are packed by the places of their rows, in so many shelves at most: what is on one of them
/// fits into a processor's cache up to a few million entries.
const SHELVES: u32 = 64;

/// Where an entry is: a block, and a place in it.
type Place = (u32, u32);

/// A place, and half of its entry's hash: most comparisons, and all moves within the table, need no look at the entry.
type Known = (u32, Place);

/// Node, whether they are entries within keys, and where the rows of whole keys are among all.
type Shelf = (usize, bool, u32);

/// Packed entries.
pub(super) struct Entries {
    blocks: Vec<Vec<u8>>,
    /// Which blocks are of which shelf.
    shelves: BTreeMap<Shelf, Vec<u32>>,
    /// Places of rows that share a shelf.
    shelf_rows: u32,
    /// Where each is, in their order, once they have one.
    order: Vec<Place>,
    known: HashTable<Known>,
    hasher: RandomState,
    bytes: usize,
    count: usize,
}

/// A place between two entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position(usize);

impl Entries {
    /// None yet, of as many rows.
    pub(super) fn of_rows(rows: u32) -> Self {
        Self {
            blocks: Vec::new(),
            shelves: BTreeMap::new(),
            shelf_rows: rows / SHELVES + 1,
            order: Vec::new(),
            known: HashTable::new(),
            hasher: RandomState::new(),
            bytes: 0,
            count: 0,
        }
    }

    /// Adds an entry; false if it is known.
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> bool {
        let Self { blocks, shelves, shelf_rows, known, hasher, bytes, count, .. } = self;
        let half = half(hasher.hash_one((entry.key, entry.member)));
        let is_same = |(other, place): &Known| {
            *other == half && {
                let there = read(blocks, *place).0;
                there.key == entry.key && there.member == entry.member
            }
        };
        if known.find(spread(half), is_same).is_some() {
            return false;
        }
        let length = HEAD_BYTES + entry.key.len() + entry.member.map_or(0, <[u8]>::len);
        let level = if entry.member.is_some() { 0 } else { entry.row / *shelf_rows };
        let shelf = shelves.entry((entry.node, entry.member.is_some(), level)).or_default();
        let has_room = |number: &u32| {
            let block = &blocks[widened(*number)];
            block.len() + length <= block.capacity()
        };
        let number = shelf.last().copied().filter(has_room).unwrap_or_else(|| {
            blocks.push(Vec::with_capacity(length.max(BLOCK_BYTES)));
            let number = narrowed(blocks.len() - 1);
            shelf.push(number);
            number
        });
        let block = &mut blocks[widened(number)];
        let place = (number, narrowed(block.len()));
        let short =
            |number: usize| u16::try_from(number).expect("there are fewer than 65536 patterns and nodes");
        block.extend_from_slice(&short(entry.pattern).to_le_bytes());
        block.extend_from_slice(&short(entry.node).to_le_bytes());
        block.extend_from_slice(&narrowed(entry.key.len()).to_le_bytes());
        block.extend_from_slice(
            &entry.member.map_or(NO_MEMBER, |member| narrowed(member.len())).to_le_bytes(),
        );
        block.extend_from_slice(&entry.row.to_le_bytes());
        block.extend_from_slice(entry.key);
        block.extend_from_slice(entry.member.unwrap_or_default());
        (*bytes, *count) = (*bytes + length, *count + 1);
        known.insert_unique(spread(half), (half, place), |(half, _)| spread(*half));
        true
    }

    /// Nothing more is added: what only tells known entries from new ones is given back.
    pub(super) fn complete(&mut self) {
        self.known = HashTable::new();
    }

    /// Puts whole keys of one row beside each other, and rows in the order of their places; once is enough.
    pub(super) fn arrange(&mut self) {
        if !self.order.is_empty() {
            return;
        }
        self.order.reserve_exact(self.count);
        let mut shelf: Vec<(pattern::Place, Place)> = Vec::new();
        for ((_, is_member, _), numbers) in std::mem::take(&mut self.shelves) {
            for number in numbers {
                let (mut at, end) = (0, self.blocks[widened(number)].len());
                while at < end {
                    let place = (number, narrowed(at));
                    let (entry, behind) = read(&self.blocks, place);
                    // Entries within keys stay in the order in which they were found.
                    shelf.push((if is_member { 0 } else { entry.row }, place));
                    at = behind;
                }
            }
            // What was found at once stays together where rows are the same.
            shelf.sort_unstable();
            self.order.extend(shelf.drain(..).map(|(_, place)| place));
        }
    }

    /// The entry at a position, and the position behind it; none before they were put in order.
    pub(super) fn next(&self, Position(number): Position) -> Option<(Entry<'_>, Position)> {
        let (entry, _) = read(&self.blocks, *self.order.get(number)?);
        Some((entry, Position(number + 1)))
    }

    /// Bytes that the entries take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Half of a hash.
fn half(hash: u64) -> u32 {
    u32::try_from(hash >> 32).expect("the upper half has 32 bits")
}

/// A whole hash again: the table looks at its upper and at its lower bits.
fn spread(half: u32) -> u64 {
    u64::from(half).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn narrowed(number: usize) -> u32 {
    u32::try_from(number).expect("a key has at most 512 MiB")
}

fn widened(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit")
}

/// The entry at a place, and where it ends.
fn read(blocks: &[Vec<u8>], (block, at): Place) -> (Entry<'_>, usize) {
    let at = widened(at);
    let bytes = &blocks[widened(block)][at..];
    let short = |from: usize| usize::from(u16::from_le_bytes([bytes[from], bytes[from + 1]]));
    let long = |from: usize| {
        let taken = [bytes[from], bytes[from + 1], bytes[from + 2], bytes[from + 3]];
        u32::from_le_bytes(taken)
    };
    let key_end = HEAD_BYTES + widened(long(4));
    let (member, end) = match long(8) {
        NO_MEMBER => (None, key_end),
        length => {
            let end = key_end + widened(length);
            (Some(&bytes[key_end..end]), end)
        }
    };
    let key = &bytes[HEAD_BYTES..key_end];
    (Entry { key, member, pattern: short(0), node: short(2), row: long(12) }, at + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_once_each_in_their_order() {
        let mut entries = Entries::of_rows(0);
        let long = vec![7; BLOCK_BYTES + 1];
        let mut all: Vec<(Vec<u8>, Option<Vec<u8>>)> =
            (0..3000_u32).map(|n| (n.to_le_bytes().repeat(200), Some(Vec::new()))).collect();
        all.push((long.clone(), Some(b"a".to_vec())));
        all.push((Vec::new(), Some(Vec::new())));
        all.push((b"a".to_vec(), Some(b"b".to_vec())));
        all.push((b"ab".to_vec(), Some(Vec::new())));
        for round in 0..2 {
            for (key, member) in &all {
                let entry = Entry { key, member: member.as_deref(), pattern: 3, node: 1, row: 0 };
                assert_eq!(entries.add(&entry), round == 0);
            }
        }
        entries.complete();
        entries.arrange();
        let read = all_of(&entries);
        assert!(read.iter().all(|entry| (entry.pattern, entry.node) == (3, 1)));
        let texts = read.iter().map(|entry| (entry.key.to_vec(), entry.member.map(<[u8]>::to_vec)));
        assert!(texts.collect::<Vec<_>>() == all);
    }

    #[test]
    fn keys_are_in_the_order_of_their_rows_and_those_of_a_node_come_before_its_members() {
        let mut entries = Entries::of_rows(1_000);
        let key = |key, row, node| Entry { key, member: None, pattern: 0, node, row };
        let member = |member, row| Entry { key: b"all", member: Some(member), pattern: 2, node: 0, row };
        let found = [
            member(b"8f1c".as_slice(), 999),
            key(b"tenant:8f1c:b".as_slice(), 999, 0),
            key(b"tenant:07aa:x", 7, 1),
            key(b"sess:07aa", 7, 0),
            member(b"07aa", 7),
            key(b"tenant:aaaa:x", 8, 0),
            key(b"tenant:07aa:z", 7, 0),
            key(b"sess:8f1c", 999, 0),
            key(b"sess:", 0, 0),
            key(b"tenant:8f1c:a", 999, 0),
            key(b"branding:one", 7, 0),
        ];
        for entry in &found {
            assert!(entries.add(entry));
        }
        entries.complete();
        entries.arrange();
        let read = all_of(&entries);
        let shown: Vec<String> = read
            .iter()
            .map(|entry| {
                let member = entry.member.map(|member| format!(" {}", member.escape_ascii()));
                format!("{} {}{}", entry.node, entry.key.escape_ascii(), member.unwrap_or_default())
            })
            .collect();
        let expected = [
            "0 sess:",
            "0 sess:07aa",
            "0 tenant:07aa:z",
            "0 branding:one",
            "0 tenant:aaaa:x",
            "0 tenant:8f1c:b",
            "0 sess:8f1c",
            "0 tenant:8f1c:a",
            "0 all 8f1c",
            "0 all 07aa",
            "1 tenant:07aa:x",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn far_more_rows_than_shelves_are_in_order_too() {
        let mut entries = Entries::of_rows(10_000);
        let rows = || (0..10_000_u32).map(|n| n * 7_919 % 10_000);
        for row in rows() {
            let key = format!("k{row}");
            assert!(entries.add(&Entry { key: key.as_bytes(), member: None, pattern: 0, node: 0, row }));
        }
        entries.complete();
        entries.arrange();
        assert!(all_of(&entries).iter().map(|entry| entry.row).eq(0..10_000));
        assert!(entries.blocks.len() <= 64, "a block for each shelf is enough");
    }

    fn all_of(entries: &Entries) -> Vec<Entry<'_>> {
        let (mut position, mut read) = (Position::default(), Vec::new());
        while let Some((entry, next)) = entries.next(position) {
            read.push(entry);
            position = next;
        }
        read
    }
}
