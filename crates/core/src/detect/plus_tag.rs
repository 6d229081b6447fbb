//! Plus-tags that mark an address as a test: `alice+test12@`, `e2e+3f9a@`, `bob+qa@`.
//!
//! People also use tags to sort mail (`anna+newsletter@`, `anna+shopname@`); unknown words therefore say nothing.

use super::lexicon::Class;
use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector = Detector {
    id: "mail.plus-tag",
    title: "mail address carries a test tag",
    group: Group::MailLocal,
    examine,
};

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let tag = &subject.words.tag;
    if tag.is_empty() {
        return None;
    }
    let counts = &tag.counts;
    if counts.strong > 0 && counts.content == 0 {
        return Some(Found::new(6.3, "mail address carries a test tag"));
    }
    if counts.soft > 0 && counts.content == 0 {
        // People try things out once, and need no number for it.
        let weight = if counts.number + counts.mixed > 0 { 6.2 } else { 5.0 };
        return Some(Found::new(weight, "mail address carries a tag for demos or trials"));
    }
    let machine = counts.content == 0 && counts.noun == 0 && (counts.number > 0 || counts.mixed > 0);
    let test_user = subject.words.local.tokens.iter().any(|t| t.class == Class::Strong);
    match (machine, test_user) {
        (true, true) => Some(Found::new(6.3, "test address with a machine-made tag")),
        (true, false) => Some(Found::new(2.0, "mail address carries a numbered tag")),
        (false, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::*;

    #[track_caller]
    fn weigh(email: &str) -> f64 {
        check::weight(&DETECTOR, &check::user("", email), &Context::default())
    }

    #[test]
    fn test_tags_are_found() {
        for email in [
            "alice+test12@gmail.com",
            "e2e+3f9a1c@corp.com",
            "bob+e2e@corp.com",
            "bob+qa@corp.com",
            "bob+test-user-4@corp.com",
        ] {
            assert!(weigh(email) >= 5.0, "{email}");
        }
    }

    #[test]
    fn tags_for_sorting_are_not() {
        for email in
            ["anna+newsletter@gmail.com", "anna+github@gmail.com", "anna@gmail.com", "anna+contest@gmail.com"]
        {
            assert!(weigh(email).abs() < 1e-9, "{email}");
        }
    }
}
