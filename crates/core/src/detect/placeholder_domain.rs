//! Mail domains that people type when any domain will do: `test.com`, `foo.com`, `yourcompany.com`, and the domains
//! of example companies.
//!
//! They exist and someone owns them, so they weigh less than reserved ones. The label must be a test word as a
//! whole; `testo.com` and `demopolis.com` are companies.

use super::lexicon::{Class, WordSet};
use super::memory::Memory;
use super::{Detector, Found, Group, Subject, junk, placeholder, reserved, vocabulary};
use crate::entity::Entity;
use std::sync::LazyLock;

pub(super) const DETECTOR: Detector = Detector {
    id: "mail.placeholder-domain",
    title: "mail domain typed as a placeholder",
    group: Group::MailDomain,
    examine,
};

/// Labels that are no test words but no company either.
static LABELS: LazyLock<WordSet> = LazyLock::new(|| WordSet::new(LABEL_LIST.split_whitespace()));

const LABEL_LIST: &str = "\
    yourdomain mydomain domain yourcompany mycompany somecompany somedomain anydomain nowhere noemail nomail \
    no-email asdf foobar company corp mail-test test-mail";

/// Soft words whose bare domain belongs to no known business that gives out addresses.
static SOFT: LazyLock<WordSet> = LazyLock::new(|| WordSet::new(SOFT_LIST.split_whitespace()));

const SOFT_LIST: &str = "\
    foo bar baz sample demo tester temp tmp null undefined abc xyz blah placeholder ejemplo beispiel exemple \
    muster mock dev localhost example";

/// Bytes of the longest label that several words could make.
const LABEL_BYTES_MAX: usize = 63;

/// What a label is that people type without a company in mind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Typed {
    #[default]
    Not,
    /// One of the list.
    Listed,
    /// `test-company`, `my-test-org`: several words that leave no name.
    Composed,
}

impl Typed {
    pub(super) fn of(label: &str, memory: &mut Memory) -> Self {
        if LABELS.contains(label) {
            return Self::Listed;
        }
        if label.len() > LABEL_BYTES_MAX || !label.contains('-') {
            return Self::Not;
        }
        let mut strong = false;
        for part in label.split('-') {
            match memory.known(part).class {
                Class::Strong | Class::Junk => strong = true,
                Class::Noun | Class::Activity | Class::Filler | Class::Soft | Class::Placeholder => {}
                Class::Trade | Class::Legal | Class::System | Class::Content => return Self::Not,
            }
        }
        if strong { Self::Composed } else { Self::Not }
    }
}

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let domain = subject.words.domain.as_str();
    let site = &subject.words.site;
    if domain.is_empty() || site.classes.free || site.classes.relay {
        return None;
    }
    let label = subject.words.label();
    // Most labels are names, and nothing more is asked of them.
    if site.label_class == Class::Content && label.len() > 1 && site.typed == Typed::Not {
        return tool(subject, label).or_else(|| twice(subject, label));
    }
    if reserved::is_reserved(domain) || subject.is_from_name(label) {
        return None;
    }
    let local = &subject.words.local;
    let repeats = says_the_name(subject, label);
    let typed_twice = local.joined() == label || (local.counts.soft > 0 && local.counts.no_name_left());
    let weight = match site.label_class {
        // `Sample GmbH` at `sample.de`, `Acme` at `acme.com`: the name has said it already.
        Class::Strong | Class::Soft | Class::Placeholder if repeats && local.joined() != label => 0.3,
        Class::Strong if matches!(domain, "test.com" | "test.org" | "test.net") => 6.1,
        Class::Strong => 5.5,
        Class::Junk if label.len() > 3 => 5.5,
        Class::Junk if typed_twice => 5.0,
        Class::Placeholder => 3.5,
        Class::Soft if SOFT.contains(label) && typed_twice => 5.0,
        // `a@a.com`; `x.com` by itself is a company's.
        Class::Content | Class::Filler if label.len() == 1 && local.joined() == label => letter_twice(domain),
        Class::Content | Class::Filler if label.len() == 1 && (typed_twice || local.joined().len() < 2) => {
            letter_twice(domain) - 1.0
        }
        Class::Soft if SOFT.contains(label) => 3.5,
        // `user@user.com`
        Class::Noun if local.joined() == label => 4.5,
        Class::Noun | Class::Content | Class::Filler | Class::Legal if site.typed == Typed::Listed => 4.5,
        Class::Junk
        | Class::Soft
        | Class::Noun
        | Class::Activity
        | Class::Filler
        | Class::Trade
        | Class::Legal
        | Class::System
        | Class::Content => match site.typed {
            Typed::Composed => 4.5,
            Typed::Listed | Typed::Not => return twice(subject, label),
        },
    };
    Some(Found::new(weight, "mail domain is one that people type for tests"))
}

/// `asd@asd.asd`, `no@no.com`: the same few letters before and behind the `@`.
fn twice(subject: &Subject<'_>, label: &str) -> Option<Found> {
    if subject.words.local.joined() != label {
        return None;
    }
    let top = reserved::top(&subject.words.domain);
    // People have no number behind their names; what is typed again and again has.
    let counted = subject.record.entity == Entity::User && subject.words.name.counts.number > 0;
    if subject.is_from_name(label) && top != label && !counted {
        return None;
    }
    let weight = match label.len() {
        _ if top == label => 6.0,
        1 => letter_twice(&subject.words.domain),
        ..=3 if !counted && subject.repeats_name(label) && !junk::is_along_a_row(label.as_bytes()) => 2.0,
        ..=3 => 4.5,
        _ => 1.5,
    };
    Some(Found::new(weight, "mail address is the same word twice"))
}

/// `a@a.com`: the registries of these endings give out no single letters, but for the few that were taken before that rule
/// (ICANN's reserved single-character names), so nobody has such an address. Elsewhere, as in `o@o.co`, somebody may.
fn letter_twice(domain: &str) -> f64 {
    let is_given = match domain.split_once('.') {
        Some((letter, "com")) => matches!(letter, "q" | "x" | "z"),
        Some((letter, "net")) => matches!(letter, "i" | "q"),
        Some((letter, "org")) => matches!(letter, "i" | "w" | "x"),
        Some(_) | None => true,
    };
    if is_given { 4.5 } else { 6.0 }
}

/// Addresses of tools: people of the examples of an object mapper.
fn tool(subject: &Subject<'_>, label: &str) -> Option<Found> {
    let people =
        label == "prisma" && matches!(subject.words.local.joined(), "alice" | "bob" | "nilu" | "mahmoud");
    people.then(|| Found::new(6.2, "mail address is that of a tool's example"))
}

/// Whether the domain repeats a name that a company may have chosen: `Sample`, `Load Testing Ltd`, `Acme Corp`. Names in
/// other scripts are spelled anew in a domain, or translated: `株式会社サンプル` at `sample.co.jp`.
fn says_the_name(subject: &Subject<'_>, label: &str) -> bool {
    let name = &subject.words.name;
    (subject.repeats_name(label) || !name.joined().is_ascii())
        && (vocabulary::may_be_chosen(name) || placeholder::may_be_chosen(name))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::super::score::Verdict;
    use super::*;

    #[track_caller]
    fn weigh(email: &str) -> f64 {
        check::weight(&DETECTOR, &check::user("", email), &Context::default())
    }

    #[test]
    fn typed_domains_are_found() {
        for email in [
            "a@a.com",
            "agk@agk.agk",
            "no@no.com",
            "user@user.com",
            "a@test1.com",
            "a@test.com",
            "a@foo.com",
            "a@yourcompany.com",
            "a@testcompany.com",
            "a@test-org.io",
            "a@contoso.com",
            "a@asdf.de",
        ] {
            assert!(weigh(email) >= 3.5, "{email}");
        }
    }

    #[test]
    fn an_address_of_one_short_word_is_a_persons_unless_a_number_stands_behind_the_name() {
        let weigh = |name, email| check::weight(&DETECTOR, &check::user(name, email), &Context::default());
        assert!(weigh("hg 28", "hg@hg.com") > 4.0 && weigh("gah 10", "gah@gah.com") > 4.0);
        assert!(weigh("Li", "li@li.com") <= 2.0 && weigh("Kim Weber", "kim@kim.com").abs() < 1e-9);
    }

    #[test]
    fn a_letter_twice_is_nobodys_where_no_single_letters_are_given_out() {
        for (email, is_test) in [("a@a.com", true), ("k@k.org", true), ("o@o.co", false), ("x@x.com", false)]
        {
            let verdict = check::verdict(&check::user("Olivia Okafor", email), &Context::default());
            assert_eq!(verdict == Verdict::Test, is_test, "{email}");
        }
    }

    #[test]
    fn a_domain_that_repeats_the_company_says_nothing_new() {
        let sample = check::tenant("Sample GmbH", "sample", "kontakt@sample.de");
        assert!(check::weight(&DETECTOR, &sample, &Context::default()) < 1.0);
        assert_ne!(check::verdict(&sample, &Context::default()), Verdict::Test);
        let translated = check::tenant("株式会社サンプル", "", "info@sample.co.jp");
        assert!(check::weight(&DETECTOR, &translated, &Context::default()) < 1.0);
        let demo = check::tenant("Demo Tenant", "demo", "demo@demo.com");
        assert_eq!(check::verdict(&demo, &Context::default()), Verdict::Test);
    }

    #[test]
    fn companies_and_providers_are_not() {
        for email in [
            "a@testo.com",
            "a@demopolisfoods.com",
            "a@sandbox-toys.de",
            "a@stagingrigging.com",
            "a@qa.com",
            "a@mail.com",
            "a@testarossa-motors.it",
            "a@contest.co.uk",
        ] {
            assert!(weigh(email).abs() < 1e-9, "{email}");
        }
    }
}
