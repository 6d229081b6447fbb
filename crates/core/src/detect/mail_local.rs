//! Local parts that people type when an address does not matter: `test@`, `qa.user@`, `demo12@`, `user1@`.
//!
//! The same words are surnames (`demo.lewis@`) and role addresses of real customers (`qa@`), so what stands
//! beside them decides, as for names.

use super::lexicon::Class;
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
        // `Jess Test`, `test1969@`: the name has said it already.
        let says = "mail address repeats a test word of the name";
        return (counts.strong > 0 && counts.no_name_left()).then(|| Found::new(2.2, says));
    }
    let numbered = counts.number + counts.mixed > 0;
    let framed = numbered || counts.noun > 0;
    if !counts.no_name_left() {
        if is_placeholder(words.joined()) {
            return Some(Found::new(3.0, "mail address is that of a placeholder person"));
        }
        return (counts.strong > 0)
            .then(|| Found::new(beside_name(subject), "mail address contains a test word"));
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
    Some(Found::new(capped(subject, weight), "mail address begins like a test address"))
}

/// `maria.test@` of Maria Keller is her account for tests; `speed.test@` may be what a company does.
fn beside_name(subject: &Subject<'_>) -> f64 {
    let words = &subject.words.local;
    let own = words
        .iter()
        .any(|(t, word)| t.class == Class::Content && word.len() >= 3 && subject.is_from_name(word));
    let exact = words.iter().any(|(_, word)| matches!(word, "test" | "e2e" | "testing"));
    if own && exact && subject.words.name.counts.strong == 0 { 4.0 } else { 0.7 }
}

/// `QA Manager`, `qa.manager@`: what the name says already counts less the second time; so does the test word of a
/// name that holds more, whatever stands beside it: `mail.pilot@` of `Pilot Corporation`, `a.test@` of Alain Test.
fn capped(subject: &Subject<'_>, weight: f64) -> f64 {
    let (name, local) = (&subject.words.name.counts, &subject.words.local);
    let is_named = !name.no_name_left() || name.legal > 0;
    let is_test = |class| matches!(class, Class::Strong | Class::Soft | Class::Junk);
    let mut said = local.iter().filter(|(t, _)| is_test(t.class)).peekable();
    let again = is_named && said.peek().is_some() && said.all(|(_, word)| subject.repeats_name(word));
    let numbered = local.counts.number + local.counts.mixed > 0;
    if subject.repeats_name(local.joined()) || (again && !numbered) { weight.min(2.0) } else { weight }
}

/// `user17@`, `customer3@`: a noun with a number.
fn generic(subject: &Subject<'_>) -> Option<Found> {
    let counts = &subject.words.local.counts;
    if counts.number == 1 && counts.noun == 1 && counts.filler == 0 {
        return Some(Found::new(2.0, "mail address is a noun with a number"));
    }
    let says = "mail address is that of an example company";
    (counts.placeholder > 0).then(|| Found::new(capped(subject, 3.0), says))
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

    #[test]
    fn the_test_word_of_a_real_name_says_little_the_second_time() {
        let weigh = |name: &str, email: &str| {
            check::weight(&DETECTOR, &check::tenant(name, "", email), &Context::default())
        };
        assert!(weigh("Pilot Corporation", "mail.pilot@gmail.com") <= 2.0);
        assert!(weigh("Alain Test", "a.test@wanadoo.fr") <= 2.0);
        assert!(weigh("Alain Moreau", "a.test@wanadoo.fr") >= 5.0);
        assert!(weigh("Alain Test", "test.user17@wanadoo.fr") >= 6.0);
    }
}
