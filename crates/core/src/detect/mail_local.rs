//! Local parts that people type when an address does not matter: `test@`, `qa.user@`, `demo12@`, `user1@`.
//!
//! The same words are surnames (`demo.lewis@`) and role addresses of real customers (`qa@`), so what stands
//! beside them decides, as for names.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector = Detector {
    id: "mail.local-part",
    title: "mail address begins like a test",
    group: Group::MailLocal,
    examine,
};

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let words = &subject.words.local;
    let counts = &words.counts;
    if subject.is_from_name(words.joined()) {
        return None;
    }
    let numbered = counts.number + counts.mixed > 0;
    let framed = numbered || counts.noun > 0;
    if !counts.no_name_left() {
        if is_placeholder(words.joined()) {
            return Some(Found::new(3.0, "mail address is that of a placeholder person"));
        }
        return (counts.strong > 0).then(|| Found::new(0.7, "mail address contains a test word"));
    }
    let weight = match (counts.strong, counts.soft + counts.junk) {
        (1.., _) if framed || counts.strong > 1 => 6.2,
        (1.., _) if subject.words.name.counts.content == 0 => 6.0,
        (1.., _) => 5.0,
        (0, 2..) => 5.5,
        (0, 1) if counts.noun > 0 => 4.5,
        (0, 1) if numbered => 3.5,
        (0, 1) => 1.5,
        (0, 0) => return generic(subject),
    };
    Some(Found::new(weight, "mail address begins like a test address"))
}

/// `user17@`, `customer3@`: a noun with a number.
fn generic(subject: &Subject<'_>) -> Option<Found> {
    let counts = &subject.words.local.counts;
    if counts.number == 1 && counts.noun == 1 && counts.filler == 0 {
        return Some(Found::new(2.0, "mail address is a noun with a number"));
    }
    (counts.placeholder > 0).then(|| Found::new(3.0, "mail address is that of an example company"))
}

fn is_placeholder(joined: &str) -> bool {
    let stem = joined.trim_end_matches(|c: char| c.is_ascii_digit());
    matches!(
        stem,
        "johndoe" | "janedoe" | "jdoe" | "doejohn" | "doejane" | "joebloggs" | "maxmustermann" | "mustermann"
    )
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
    fn test_addresses_are_found() {
        for email in [
            "test@corp.com",
            "test12@corp.com",
            "qa.user@corp.com",
            "test.user@corp.com",
            "e2e-bot-3f9a1c@corp.com",
            "testuser@corp.com",
        ] {
            assert!(weigh(email) >= 4.5, "{email}: {}", weigh(email));
        }
    }

    #[test]
    fn surnames_roles_and_numbered_nouns_do_not_suffice() {
        for email in [
            "demo.lewis@lewisroofing.com",
            "customer7@gmail.com",
            "tester@hotmail.com",
            "qa@petroleum.qa",
            "info@corp.com",
            "contest@media.com",
        ] {
            assert!(weigh(email) <= 2.0, "{email}: {}", weigh(email));
        }
    }
}
