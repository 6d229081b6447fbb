//! The entries that a pass found, packed one behind the other.
//!
//! A server names keys in the order of its hash table, which is none. What one application wrote for one row is mostly
//! written at one time, so that it lies close together in the server's memory; a server that is asked for the keys of one
//! row after the other waits for its memory far less often, and an archive in which they are neighbours is smaller.
//!
//! Invariants
//! - an entry that the server names twice is kept once;
//! - whole keys of a node come before entries within its keys, those in the order in which they were found;
//! - memory is the entries' own bytes and some forty more for each while they are gathered, twelve afterwards, twenty once they
//!   were put in order.

use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

/// What was found: a key, or an entry within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) member: Option<&'a [u8]>,
    pub(super) pattern: usize,
    pub(super) node: usize,
}

/// How each packed entry begins: pattern, node, lengths of key and member.
const HEAD_BYTES: usize = 12;
const NO_MEMBER: u32 = u32::MAX;
/// Blocks are not moved when more are needed.
const BLOCK_BYTES: usize = 1 << 20;

/// Where an entry is: a block, and a place in it.
type Place = (u32, u32);

/// A place, and half of its entry's hash: most comparisons, and all moves within the table, need no look at the entry.
type Known = (u32, Place);

/// Packed entries.
pub(super) struct Entries {
    blocks: Vec<Vec<u8>>,
    /// Where each is, in their order, once they have one.
    order: Vec<Place>,
    known: HashTable<Known>,
    hasher: RandomState,
    bytes: usize,
}

/// A place between two entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position(usize);

/// Entries of one node and kind: how the value begins that each was found by, and where it is.
type Ranks = Vec<(u64, Place)>;

impl Default for Entries {
    fn default() -> Self {
        let (blocks, order, known) = (Vec::new(), Vec::new(), HashTable::new());
        Self { blocks, order, known, hasher: RandomState::new(), bytes: 0 }
    }
}

impl Entries {
    /// Adds an entry; false if it is known.
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> bool {
        let Self { blocks, known, hasher, bytes, .. } = self;
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
        if blocks.last().is_none_or(|block| block.len() + length > block.capacity()) {
            blocks.push(Vec::with_capacity(length.max(BLOCK_BYTES)));
        }
        let number = blocks.len() - 1;
        let block = &mut blocks[number];
        let place = (narrowed(number), narrowed(block.len()));
        let short =
            |number: usize| u16::try_from(number).expect("there are fewer than 65536 patterns and nodes");
        block.extend_from_slice(&short(entry.pattern).to_le_bytes());
        block.extend_from_slice(&short(entry.node).to_le_bytes());
        block.extend_from_slice(&narrowed(entry.key.len()).to_le_bytes());
        block.extend_from_slice(
            &entry.member.map_or(NO_MEMBER, |member| narrowed(member.len())).to_le_bytes(),
        );
        block.extend_from_slice(entry.key);
        block.extend_from_slice(entry.member.unwrap_or_default());
        *bytes += length;
        known.insert_unique(spread(half), (half, place), |(half, _)| spread(*half));
        true
    }

    /// Nothing more is added: what only tells known entries from new ones is given back.
    pub(super) fn complete(&mut self) {
        self.known = HashTable::new();
    }

    /// Puts whole keys of one row beside each other, as far as their patterns begin with so many bytes (`literals`) and
    /// then name the row; once is enough.
    pub(super) fn arrange(&mut self, literals: &[usize]) {
        if !self.order.is_empty() {
            return;
        }
        let mut ranks: BTreeMap<(usize, bool), Ranks> = BTreeMap::new();
        for (number, block) in self.blocks.iter().enumerate() {
            let mut at = 0;
            while at < block.len() {
                let place = (narrowed(number), narrowed(at));
                let (entry, end) = read(&self.blocks, place);
                let value = entry.key.get(literals[entry.pattern]..).unwrap_or_default();
                let kind = (entry.node, entry.member.is_some());
                ranks.entry(kind).or_default().push((beginning(value), place));
                at = end;
            }
        }
        self.order = Vec::with_capacity(ranks.values().map(Vec::len).sum());
        for ((_, is_member), mut ranks) in ranks {
            if !is_member {
                // What was found at once stays together where values begin the same.
                ranks.sort_unstable();
            }
            self.order.extend(ranks.into_iter().map(|(_, place)| place));
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

/// The first eight bytes; zeros where there are fewer.
fn beginning(text: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = text.len().min(bytes.len());
    bytes[..length].copy_from_slice(&text[..length]);
    u64::from_be_bytes(bytes)
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
    (Entry { key: &bytes[HEAD_BYTES..key_end], member, pattern: short(0), node: short(2) }, at + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_once_each_in_their_order() {
        let mut entries = Entries::default();
        let long = vec![7; BLOCK_BYTES + 1];
        let mut all: Vec<(Vec<u8>, Option<Vec<u8>>)> =
            (0..3000_u32).map(|n| (n.to_le_bytes().repeat(200), Some(Vec::new()))).collect();
        all.push((long.clone(), Some(b"a".to_vec())));
        all.push((Vec::new(), Some(Vec::new())));
        all.push((b"a".to_vec(), Some(b"b".to_vec())));
        all.push((b"ab".to_vec(), Some(Vec::new())));
        for round in 0..2 {
            for (key, member) in &all {
                let entry = Entry { key, member: member.as_deref(), pattern: 3, node: 1 };
                assert_eq!(entries.add(&entry), round == 0);
            }
        }
        entries.complete();
        entries.arrange(&[0, 0, 0, 9]);
        let read = all_of(&entries);
        assert!(read.iter().all(|entry| (entry.pattern, entry.node) == (3, 1)));
        let texts = read.iter().map(|entry| (entry.key.to_vec(), entry.member.map(<[u8]>::to_vec)));
        assert!(texts.collect::<Vec<_>>() == all);
    }

    #[test]
    fn keys_of_one_row_are_neighbours_and_those_of_a_node_come_before_its_members() {
        let mut entries = Entries::default();
        let literals = ["tenant:".len(), "sess:".len(), 0];
        let key = |key, pattern, node| Entry { key, member: None, pattern, node };
        let member = |member| Entry { key: b"all", member: Some(member), pattern: 2, node: 0 };
        let found = [
            member(b"8f1c".as_slice()),
            key(b"tenant:8f1c:b".as_slice(), 0, 0),
            key(b"tenant:07aa:x", 0, 1),
            key(b"sess:07aa", 1, 0),
            member(b"07aa"),
            key(b"tenant:07aa:z", 0, 0),
            key(b"sess:8f1c", 1, 0),
            key(b"sess:", 1, 0),
            key(b"tenant:8f1c:a", 0, 0),
        ];
        for entry in &found {
            assert!(entries.add(entry));
        }
        entries.complete();
        entries.arrange(&literals);
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
            "0 sess:8f1c",
            "0 tenant:8f1c:a",
            "0 tenant:8f1c:b",
            "0 all 8f1c",
            "0 all 07aa",
            "1 tenant:07aa:x",
        ];
        assert_eq!(shown, expected);
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
