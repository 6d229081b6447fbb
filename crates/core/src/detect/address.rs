//! Addresses where nobody lives: `1 Test Street`, `Musterstraße 1`, `742 Evergreen Terrace`.
//!
//! There are main streets with a number 123, so that one is weak.

use super::lexicon::{self, Class, WordSet};
use super::{Detector, Found, Group, Subject, junk};
use std::sync::LazyLock;

pub(super) const DETECTOR: Detector = Detector {
    id: "address.placeholder",
    title: "address where nobody lives",
    group: Group::Address,
    examine,
};

/// Characters of an address that are looked at.
const CHARS_MAX: usize = 80;

/// Beginnings of addresses of examples, films and songs, with their words run together.
const PLACES: &[(&str, f64)] = &[
    ("123fakest", 4.5),
    ("callefalsa123", 4.5),
    ("742evergreenterrace", 4.0),
    ("musterstr", 4.0),
    ("musterweg", 4.0),
    ("12grimmauldplace", 4.0),
    ("4privetdrive", 4.0),
    ("31spoonerstreet", 4.0),
    ("124conchstreet", 4.0),
    ("123anystreet", 4.5),
    ("123anywhere", 4.0),
    ("1234mainst", 2.5),
    ("123mainst", 2.5),
    ("1mainst", 1.0),
    ("ruedutest", 4.5),
    ("voorbeeldstraat", 4.0),
    ("123exampl", 4.5),
];

/// What stands behind the name of a street.
static STREETS: LazyLock<WordSet> = LazyLock::new(|| {
    WordSet::new(
        "street st road rd avenue ave lane ln drive dr way blvd boulevard court place address adresse str straße \
         strasse weg platz allee rue calle via avenida rua straat laan ulica gade gata vej line"
            .split_whitespace(),
    )
});

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let address = subject.record.address.trim();
    if address.is_empty() {
        return None;
    }
    let weight = weigh(address);
    (weight > 0.0).then(|| Found::new(weight, "address is one of examples"))
}

fn weigh(address: &str) -> f64 {
    let mut joined = String::new();
    let (mut strong, mut junk, mut streets, mut others) = (0, 0, 0, 0);
    let lower: String = address.chars().take(CHARS_MAX).flat_map(char::to_lowercase).collect();
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        joined.push_str(word);
        let street = ["straße", "strasse", "str", "straat", "weg"].iter().find_map(|s| word.strip_suffix(s));
        match street.filter(|stem| !stem.is_empty()) {
            Some(stem) if lexicon::class(stem) == Class::Strong => {
                (strong, streets) = (strong + 1, streets + 1);
            }
            Some(_) | None if STREETS.contains(word) => streets += 1,
            Some(_) | None if lexicon::class(word) == Class::Strong => strong += 1,
            Some(_) | None if junk::is_typed(word) => junk += 1,
            Some(_) | None if word.bytes().all(|b| b.is_ascii_digit()) => {}
            Some(_) | None => others += 1,
        }
    }
    if let Some((_, weight)) = PLACES.iter().find(|(place, _)| joined.starts_with(place)) {
        return *weight;
    }
    match (strong, junk, streets, others) {
        (1.., _, _, 0) => 5.0,
        (1.., _, 1.., _) => 3.0,
        (0, 1.., _, 0) => 4.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Record};
    use super::*;

    #[track_caller]
    fn weight(address: &str) -> f64 {
        check::weight(&DETECTOR, &Record { address, ..check::user("", "") }, &Context::default())
    }

    #[test]
    fn addresses_of_examples_are_found() {
        for address in [
            "1 Test Street",
            "Test Address",
            "Teststraße 1",
            "123 Fake St.",
            "Musterstraße 12",
            "742 Evergreen Terrace",
            "asdf 12",
        ] {
            assert!(weight(address) >= 4.0, "{address}");
        }
    }

    #[test]
    fn addresses_of_people_are_not() {
        for address in [
            "1 Testament Road",
            "Contest Lane 5",
            "Hauptstraße 12",
            "17 Main Street",
            "Rue de la Paix 3",
            "Weststr. 4",
            "12 Fakenham Road",
            "Hans-Muster-Allee 3",
        ] {
            assert!(weight(address).abs() < 1e-9, "{address}");
        }
        assert!(weight("123 Main St") < 3.0);
    }
}
