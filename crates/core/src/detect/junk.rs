//! Names typed without a meaning: keyboard walks (`asdf`, `qwerty`), one key held down (`aaaa`), syllables
//! beaten out (`asdasd`, `lkjlkj`).
//!
//! A short word such as `AAA` is also a company, so repeated letters below four weigh less, and nothing counts
//! where part of a real name stands beside it.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "name.junk", title: "name is typed junk", group: Group::Name, examine };

/// Words that the walk test does not reach.
pub(super) const WORDS: &str = "\
    asd qwe zxc qaz wsx sdf dfg jkl hjk blabla blablabla yolo asdfasdf qwertz azerty wasd xxx aaa zzz \
    qqq sss ddd fff bbb";

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
    if counts.junk == 0 || !counts.no_name_left() || counts.legal > 0 {
        return None;
    }
    let longest =
        words.iter().filter(|(t, _)| t.class == super::lexicon::Class::Junk).map(|(_, w)| w.len()).max()?;
    let weight = if longest > 3 || counts.junk > 1 { 6.2 } else { 4.0 };
    Some(Found::new(weight, "name is typed junk, not a name"))
}

/// Whether a word in lower case was typed along the keyboard, or repeats one or a few keys.
pub(super) fn is_typed(word: &str) -> bool {
    let bytes = word.as_bytes();
    if bytes.len() < WALK_MIN || bytes.len() > 40 || !word.is_ascii() {
        return false;
    }
    is_repeated(bytes) || is_walk(word)
}

/// `aaaa`, `asdasd`, `abcabcabc`: a unit of up to four letters, again and again; `mama` and `papa` are words.
fn is_repeated(bytes: &[u8]) -> bool {
    let of_unit =
        |unit: usize| bytes.len() >= unit * 2 && bytes.iter().enumerate().all(|(i, b)| *b == bytes[i % unit]);
    let vowels = bytes.iter().filter(|b| b"aeiouy".contains(b)).count();
    of_unit(1)
        || (of_unit(2) && bytes.len() >= 6)
        || ((of_unit(3) || of_unit(4)) && vowels * 3 <= bytes.len())
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
    longest >= WALK_MIN && word != "tyui"
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
        for name in
            ["asdf", "qwerty", "asdfgh", "asdasd", "aaaa", "zxcvbn", "qwer asdf", "asdf jkl", "xxxxxx"]
        {
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
        ] {
            assert!(weigh(name).abs() < 1e-9, "{name}");
        }
        assert!(weigh("AAA") < 5.0);
    }
}
