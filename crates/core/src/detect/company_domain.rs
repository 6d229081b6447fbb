//! Evidence against: the mail domain is that of the company or person named.
//!
//! `Brennan Machinery` with `it@brennanmachinery.com`. Only words of a real name count: `Test Company` with
//! `test@testcompany.com` agrees as well and proves nothing.

use super::domain::Classes;
use super::lexicon::Class;
use super::text::{self, Kind};
use super::{Detector, Found, Group, Subject, placeholder, placeholder_domain, reserved};

pub(super) const DETECTOR: Detector = Detector {
    id: "mail.own-domain",
    title: "mail domain carries the name",
    group: Group::MailDomain,
    examine,
};

/// Shorter words agree with a domain by chance.
const WORD_CHARS_MIN: usize = 4;

fn examine(subject: &Subject<'_>) -> Option<Found> {
    if subject.words.domain.is_empty() || subject.words.site.classes != Classes::default() {
        return None;
    }
    let label = subject.words.label();
    // `abc@abc.com` of `Abc`: the same word three times proves nothing.
    if subject.words.local.joined() == label {
        return None;
    }
    let agrees = subject.words.name.iter().any(|(token, word)| {
        let named = matches!(token.class, Class::Content | Class::Trade) && token.kind == Kind::Word;
        // A word of fewer bytes has fewer characters, which is cheaper to see.
        let long = word.len() >= WORD_CHARS_MIN && word.chars().count() >= WORD_CHARS_MIN;
        named && long && text::contains(label, word)
    });
    let typed =
        || [reserved::DETECTOR, placeholder_domain::DETECTOR].iter().any(|d| (d.examine)(subject).is_some());
    (agrees && !typed() && (placeholder::DETECTOR.examine)(subject).is_none())
        .then(|| Found::new(-1.2, "mail domain carries the name"))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::*;

    #[track_caller]
    fn weigh(name: &str, email: &str) -> f64 {
        check::weight(&DETECTOR, &check::tenant(name, "", email), &Context::default())
    }

    #[test]
    fn a_domain_that_carries_the_name_counts_against() {
        for (name, email) in [
            ("Brennan Machinery", "it@brennanmachinery.com"),
            ("Demo Lewis", "demo.lewis@lewisroofing.com"),
            ("QA Petroleum Services", "accounts@qapetroleum.qa"),
        ] {
            assert!(weigh(name, email) < -1.0, "{name}");
        }
    }

    #[test]
    fn test_words_and_typed_domains_prove_nothing() {
        for (name, email) in [
            ("Test Company", "a@testcompany.com"),
            ("Acme Foods", "a@example.com"),
            ("Maria Okafor", "maria@gmail.com"),
            ("Bluewater", "x@yopmail.com"),
        ] {
            assert!(weigh(name, email).abs() < 1e-9, "{name}");
        }
    }
}
