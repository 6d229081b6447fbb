//! Names typed without a meaning: keyboard walks (`asdf`, `qwerty`), one key held down (`aaaa`), syllables
//! beaten out (`asdasd`, `lkjlkj`).
//!
//! A short word such as `AAA` is also a company, so repeated letters below four weigh less, and nothing counts
//! where part of a real name stands beside it.

use super::{Detector, Found, Group, Subject};
use std::sync::LazyLock;

pub(super) const DETECTOR: Detector =
    Detector { id: "name.junk", title: "name is typed junk", group: Group::Name, examine };

/// Words that the walk test does not reach.
pub(super) const WORDS: &str = "\
    asd qwe zxc qaz wsx sdf dfg jkl hjk blabla blablabla yolo asdfasdf qwertz azerty wasd xxx aaa zzz \
    qqq sss ddd fff bbb йцукен фыва фывап ячсм ячсмить asdfg1 qwe123 asd123 qwerty123 abc123 1q2w3e 1q2w3e4r \
    1qaz2wsx q1w2e3 zxc123 aaa111 blah blahblah hjkl dsfsdf sdfsdf asdsad adsf sadf fdsa gfhgfh";

const ROWS: &[&str] = &[
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
    "yxcvbnm",
    "poiuytrewq",
    "lkjhgfdsa",
    "mnbvcxz",
    "qazwsxedc",
    "abcdefgh",
];
/// Shortest run of neighbouring keys that no real word contains by chance.
const WALK_MIN: usize = 4;

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let words = if subject.words.name.is_empty() { &subject.words.username } else { &subject.words.name };
    let counts = &words.counts;
    if counts.number > 0 && counts.number == words.tokens.len() {
        return digits(words.joined());
    }
    if counts.junk == 0 || !counts.no_name_left() {
        return None;
    }
    let longest =
        words.iter().filter(|(t, _)| t.class == super::lexicon::Class::Junk).map(|(_, w)| w.len()).max()?;
    let weight = match (longest, counts.legal > 0) {
        // `XXX Ltd`
        (..=3, true) => return None,
        (_, true) => 4.5,
        (4.., false) => 6.2,
        (_, false) if counts.junk > 1 => 6.2,
        (_, false) => 4.0,
    };
    Some(Found::new(weight, "name is typed junk, not a name"))
}

/// A name of nothing but digits, such as `1234` or `11111`; a year or a short number may be meant.
fn digits(text: &str) -> Option<Found> {
    let bytes = text.as_bytes();
    let counts_up = bytes.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1));
    let is_held = bytes.windows(2).all(|pair| pair[1] == pair[0]);
    match bytes.len() {
        ..3 => None,
        3 if counts_up || is_held => Some(Found::new(4.0, "name is nothing but digits typed in a row")),
        4.. if counts_up || is_held => Some(Found::new(5.5, "name is nothing but digits typed in a row")),
        5.. => Some(Found::new(2.0, "name is nothing but digits")),
        _ => None,
    }
}

/// Whether a word in lower case was typed along the keyboard, or repeats one or a few keys.
pub(super) fn is_typed(word: &str) -> bool {
    let bytes = word.as_bytes();
    if bytes.len() < WALK_MIN || bytes.len() > 40 || !word.is_ascii() {
        return false;
    }
    is_repeated(bytes) || (STEPS.begins(bytes) && is_walk(word)) || is_mashed(bytes)
}

/// Whether a word can be spoken, as a surname can: `wert`, `trew`, `azer`. What cannot has two letters that never
/// stand together, three vowels in a row, or too many consonants in a row.
fn is_spoken(word: &[u8]) -> bool {
    let is_vowel = |b: &u8| b"aeiouy".contains(b);
    let run = |of: bool| word.split(|b| is_vowel(b) != of).map(<[u8]>::len).max().unwrap_or(0);
    let inner = word.len() > 2 && word[1..word.len() - 1].iter().any(is_vowel);
    let odd = word.windows(2).any(|pair| matches!(pair, b"qw" | b"wq" | b"zx" | b"xz"));
    // `ertz`: a vowel and a liquid carry a syllable.
    let inner = inner || (word.len() <= 5 && is_vowel(&word[0]) && b"rlnm".contains(&word[1]));
    inner && !odd && run(true) < 3 && run(false) < 4
}

/// `sdkfjh`, `lkjsdf`: six or more keys of the middle row without any vowel, as no word has.
fn is_mashed(bytes: &[u8]) -> bool {
    bytes.len() >= 6
        && bytes.iter().all(|b| matches!(b, b's' | b'd' | b'f' | b'g' | b'h' | b'j' | b'k' | b'l'))
}

/// Which letters stand side by side in some row: most words are seen to be no walk by their first three.
struct Steps([u32; 26]);

static STEPS: LazyLock<Steps> = LazyLock::new(|| {
    let mut steps = Steps([0; 26]);
    for pair in ROWS.iter().flat_map(|row| row.as_bytes().windows(2)) {
        if let (Some(from), Some(to)) = (letter(pair[0]), letter(pair[1])) {
            steps.0[from] |= 1 << to;
        }
    }
    steps
});

fn letter(byte: u8) -> Option<usize> {
    byte.is_ascii_lowercase().then(|| usize::from(byte - b'a'))
}

impl Steps {
    fn begins(&self, word: &[u8]) -> bool {
        let next = |from: u8, to: u8| {
            letter(from).zip(letter(to)).is_some_and(|(from, to)| self.0[from] >> to & 1 == 1)
        };
        next(word[0], word[1]) && next(word[1], word[2])
    }
}

/// `aaaa`, `asdasd`, `abcabcabc`: a unit of up to four letters, again and again; `mama` and `papa` are words.
fn is_repeated(bytes: &[u8]) -> bool {
    // The first letter comes again after the first unit, which hardly any word does so soon.
    if !bytes[1..bytes.len().min(5)].contains(&bytes[0]) {
        return false;
    }
    let of_unit = |unit: usize| {
        bytes.len() >= unit * 2 && bytes.iter().zip(&bytes[unit..]).all(|(before, after)| before == after)
    };
    let (one, two) = (of_unit(1), of_unit(2));
    if one || (two && bytes.len() >= 6) {
        return true;
    }
    // `dardar`, `berber`, `tartar` are names: a syllable that is said twice. Fingers repeat what lies side by side.
    let typed = |unit: usize| of_unit(unit) && (is_along_a_row(&bytes[..unit]) || !is_spoken(bytes));
    typed(3) || typed(4) || (of_unit(3) && bytes.len() >= 9)
}

/// Whether all letters stand in one row of the keyboard, each next to the one before or one further.
pub(super) fn is_along_a_row(unit: &[u8]) -> bool {
    ROWS[..3].iter().any(|row| {
        let places: Vec<usize> = unit.iter().filter_map(|b| row.bytes().position(|key| key == *b)).collect();
        places.len() == unit.len()
            && places.windows(2).all(|pair| (1..=2).contains(&pair[0].abs_diff(pair[1])))
    })
}

/// The whole word is made of runs along one keyboard row: `asdf`, `qwerty`, `asdfjkl`.
fn is_walk(word: &str) -> bool {
    let mut rest = word;
    let mut longest = 0;
    while !rest.is_empty() {
        let run = ROWS.iter().map(|row| run_length(rest, row)).max().unwrap_or(0);
        if run < 3 {
            return false;
        }
        longest = longest.max(run);
        rest = &rest[run..];
    }
    let long = word.len() >= 6 && !is_spoken(word.as_bytes());
    (longest >= WALK_MIN && (longest >= 6 || !is_spoken(word.as_bytes()))) || long
}

/// How many leading letters of a word stand side by side in a row.
fn run_length(word: &str, row: &str) -> usize {
    let Some(start) = word.bytes().next().and_then(|first| row.bytes().position(|b| b == first)) else {
        return 0;
    };
    word.bytes().zip(row.bytes().skip(start)).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::*;

    #[track_caller]
    fn weigh(name: &str) -> f64 {
        check::weight(&DETECTOR, &check::tenant(name, "", ""), &Context::default())
    }

    #[test]
    fn typed_junk_is_found() {
        for name in [
            "asdf",
            "qwerty",
            "asdfgh",
            "asdasd",
            "aaaa",
            "zxcvbn",
            "qwer asdf",
            "asdf jkl",
            "xxxxxx",
            "sdkfjh",
            "asdlkj",
            "qweqwe",
            "fghfgh",
            "dfgdfg",
            "фыва",
        ] {
            assert!(weigh(name) > 6.0, "{name}");
        }
    }

    #[test]
    fn real_words_and_companies_are_not_junk() {
        for name in [
            "Poi Consulting",
            "AAA Insurance",
            "Were",
            "Property",
            "Mama",
            "Fedwire",
            "Barbara",
            "Asda Stores",
            "XXX Lutz",
            "Coco",
            "1984",
            "747",
            "Dallas Flask",
            "Dardar",
            "Berber",
            "Wertz",
            "Trew",
            "Azer",
            "Kankan",
            "Pompom",
            "Hotshots",
        ] {
            assert!(weigh(name).abs() < 1e-9, "{name}");
        }
        assert!(weigh("AAA") < 5.0);
    }
}
