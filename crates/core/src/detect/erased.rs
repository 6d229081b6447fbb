//! Evidence against: a real person whose data were erased on request.
//!
//! Erasure writes addresses such as `deleted-4711@example.com`; the rows stay for the accounts and are no tests.

use super::text::Counts;
use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "mail.erased", title: "erased person", group: Group::MailLocal, examine };

/// Words that erasure writes in place of a name or an address.
pub(super) const WORDS: &str = "\
    deleted removed erased anonymized anonymised anonymous anon redacted gdpr forgotten deactivated closed \
    purged scrubbed masked gelöscht geloescht supprimé supprime eliminado verwijderd";

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let words = subject.words;
    let erased = |counts: &Counts| counts.erased > 0 && counts.strong + counts.soft == 0;
    let found = erased(&words.local.counts) || erased(&words.name.counts) || erased(&words.username.counts);
    found.then(|| Found::new(-5.0, "looks like an erased person, not a test"))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::super::score::Verdict;
    use super::*;

    #[test]
    fn erased_people_are_not_test_and_test_rows_are_not_excused() {
        let erased = check::user("Deleted User", "deleted-4711@example.com");
        assert_ne!(check::verdict(&erased, &Context::default()), Verdict::Test);
        let test = check::user("delete me", "test@example.com");
        assert!(check::weight(&DETECTOR, &test, &Context::default()).abs() < 1e-9);
    }
}
