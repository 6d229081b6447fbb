//! The entries that a pass found, packed one behind the other.
//!
//! Invariants
//! - an entry that the server names twice is kept once;
//! - memory is the entries' own bytes and some forty more for each while they are gathered, twelve afterwards.

use hashbrown::HashTable;
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

/// Packed entries in the order in which they were found.
pub(super) struct Entries {
    blocks: Vec<Vec<u8>>,
    known: HashTable<Known>,
    hasher: RandomState,
    bytes: usize,
}

/// A place between two entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    block: usize,
    at: usize,
}

impl Default for Entries {
    fn default() -> Self {
        Self { blocks: Vec::new(), known: HashTable::new(), hasher: RandomState::new(), bytes: 0 }
    }
}

impl Entries {
    /// Adds an entry; false if it is known.
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> bool {
        let Self { blocks, known, hasher, bytes } = self;
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

    /// The entry at a position, and the position behind it.
    pub(super) fn next(&self, mut position: Position) -> Option<(Entry<'_>, Position)> {
        while self.blocks.get(position.block)?.len() == position.at {
            position = Position { block: position.block + 1, at: 0 };
        }
        let place = (narrowed(position.block), narrowed(position.at));
        let (entry, at) = read(&self.blocks, place);
        Some((entry, Position { block: position.block, at }))
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
            (0..3000_u32).map(|n| (n.to_le_bytes().repeat(200), None)).collect();
        all.push((long.clone(), None));
        all.push((Vec::new(), None));
        all.push((Vec::new(), Some(Vec::new())));
        all.push((b"a".to_vec(), Some(b"b".to_vec())));
        all.push((b"ab".to_vec(), Some(Vec::new())));
        for round in 0..2 {
            for (key, member) in &all {
                let entry = Entry { key, member: member.as_deref(), pattern: 3, node: 1 };
                assert_eq!(entries.add(&entry), round == 0);
            }
        }
        let (mut position, mut read) = (Position::default(), Vec::new());
        while let Some((entry, next)) = entries.next(position) {
            assert_eq!((entry.pattern, entry.node), (3, 1));
            read.push((entry.key.to_vec(), entry.member.map(<[u8]>::to_vec)));
            position = next;
        }
        assert!(read == all);
    }
}
