//! Remembers what is known of the words that were met last: they come again in the same row's slug and mail address,
//! and in the rows around it.
//!
//! Invariants
//! - it answers as `lexicon` does, since whole words are compared, not hashes of them;
//! - its size is fixed, and a look-up allocates nothing.
//!
//! Not here: which words exist (`lexicon`).

use super::lexicon::{self, Class, Known};

/// Words that are remembered: few enough for the first cache of a processor.
const SLOTS: usize = 512;

/// A word of at most sixteen bytes as its first and last eight, which hold all of it; shorter ones stand in the last
/// eight alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    first: u64,
    last: u64,
    /// 0 where no word is.
    length: u8,
}

/// What is known of some words.
#[derive(Debug, Clone)]
pub struct Memory {
    slots: Vec<(Key, Known)>,
}

impl Default for Memory {
    fn default() -> Self {
        let none = Key { first: 0, last: 0, length: 0 };
        let known = Known { class: Class::Content, erased: false, glued: false };
        Self { slots: vec![(none, known); SLOTS] }
    }
}

impl Memory {
    /// What is known of a word in lower case.
    pub(super) fn known(&mut self, word: &str) -> Known {
        let Some(key) = Key::of(word) else { return lexicon::known(word) };
        let slot = &mut self.slots[key.slot()];
        if slot.0 != key {
            *slot = (key, lexicon::known(word));
        }
        slot.1
    }
}

impl Key {
    fn of(word: &str) -> Option<Self> {
        let bytes = word.as_bytes();
        let length = u8::try_from(bytes.len()).ok().filter(|length| (1..=16).contains(length))?;
        let first = bytes.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first));
        Some(Self { first, last: lexicon::tail(bytes), length })
    }

    fn slot(self) -> usize {
        let mixed = (self.first.rotate_left(23) ^ self.last).wrapping_mul(lexicon::ODD);
        usize::try_from(mixed >> 40).expect("24 bits fit in a usize") % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_as_without_it_however_alike_they_are() {
        let mut memory = Memory::default();
        let mut words: Vec<String> =
            ["test", "demo", "brennan", "testtenant", "asdf", "a", "gmbh"].map(Into::into).into();
        for length in 1..20 {
            words.extend(["t", "e", "é", "テ"].map(|letter| letter.repeat(length)));
            words.push(format!("{}x", "t".repeat(length)));
            words.push(format!("x{}", "t".repeat(length)));
        }
        for word in words.iter().chain(&words) {
            assert_eq!(memory.known(word), lexicon::known(word), "{word}");
        }
    }

    #[test]
    fn different_words_have_different_keys() {
        let texts = [
            "a",
            "aa",
            "aaa",
            "aaaa",
            "aaab",
            "abaa",
            "aaaaaaaa",
            "aaaaaaaaa",
            "baaaaaaaa",
            "aaaaaaaaaaaaaaaa",
        ];
        for (place, one) in texts.iter().enumerate() {
            for other in &texts[place + 1..] {
                assert_ne!(Key::of(one), Key::of(other), "{one} {other}");
            }
        }
        assert_eq!(Key::of("seventeen letters"), None);
    }
}
