//! Texts that were written before, so that they need not be made again.
//!
//! Invariants
//! - memory is that of a few thousand short texts, whatever is written;
//! - what is given out is what making it anew would give.

use unseed_core::detect::Signal;

/// Places of each table; a power of two.
const PLACES: usize = 1 << 10;

/// Numbers as text, by their bits.
pub(super) struct Numbers {
    make: fn(f64) -> String,
    places: Vec<(u64, String)>,
}

impl Numbers {
    /// Numbers of which `make` makes texts.
    pub(super) fn new(make: fn(f64) -> String) -> Self {
        // These bits are a number that nobody writes, and a place of which nothing is known.
        Self { make, places: vec![(u64::MAX, String::new()); PLACES] }
    }

    /// The text of a number.
    pub(super) fn text(&mut self, number: f64) -> &[u8] {
        let bits = number.to_bits();
        let (known, text) = &mut self.places[place(bits)];
        if *known != bits {
            *known = bits;
            *text = (self.make)(number);
        }
        text.as_bytes()
    }
}

/// Signals with fixed sentences as JSON. Sentences and ids live as long as the program, so where they stand
/// says which they are.
pub(super) struct Told {
    places: Vec<(Key, Vec<u8>)>,
}

/// Where id and sentence stand, the sentence's length, the bits of the weight.
type Key = (usize, usize, usize, u64);

impl Told {
    pub(super) fn new() -> Self {
        Self { places: vec![((0, 0, 0, 0), Vec::new()); PLACES] }
    }

    /// The text of a signal with a fixed sentence, which `make` makes where it is not known.
    pub(super) fn signal(
        &mut self,
        signal: &Signal,
        says: &'static str,
        make: impl FnOnce(&mut Vec<u8>),
    ) -> &[u8] {
        let (id, at) = (signal.id.as_ptr().addr(), says.as_ptr().addr());
        let key = (id, at, says.len(), signal.weight.to_bits());
        let spread = u64::try_from(at ^ id.rotate_left(20)).expect("an address fits in 64 bits");
        let (known, text) = &mut self.places[place(spread ^ key.3)];
        if *known != key {
            *known = key;
            text.clear();
            make(text);
        }
        text
    }
}

fn place(bits: u64) -> usize {
    let mixed = (bits ^ (bits >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 54).expect("ten bits fit in a usize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use unseed_core::detect::Group;

    #[test]
    fn numbers_and_signals_are_those_that_were_asked_for() {
        let mut numbers = Numbers::new(|number| number.to_string());
        let mut told = Told::new();
        for round in 0..3 {
            for n in 0..5_000_u32 {
                let number = f64::from(n) / 1_000.0;
                assert_eq!(numbers.text(number), number.to_string().as_bytes(), "round {round}");
                let says = if n % 2 == 0 { "one" } else { "other" };
                let signal =
                    Signal { id: "x", group: Group::Name, weight: number, says: Cow::Borrowed(says) };
                let expected = format!("{says} {number}");
                let text = told.signal(&signal, says, |into| into.extend_from_slice(expected.as_bytes()));
                assert_eq!(text, expected.as_bytes());
            }
        }
    }
}
