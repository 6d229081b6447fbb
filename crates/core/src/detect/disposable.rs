//! Addresses of throw-away mail services.
//!
//! Someone wanted no mail back: often a test, sometimes a cautious person. Privacy relays and free providers
//! are other classes and say nothing.

use super::mail;
use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector = Detector {
    id: "mail.disposable-domain",
    title: "throw-away mail domain",
    group: Group::MailDomain,
    examine,
};

/// Services that read mail for test suites: nobody else has an address there.
const INBOXES: &[&str] = &[
    "mailosaur.net",
    "mailosaur.io",
    "mailtrap.io",
    "mailslurp.com",
    "mailslurp.net",
    "mailslurp.biz",
    "mailslurp.xyz",
    "mailslurp.info",
    "ethereal.email",
    "inbox.testmail.app",
    "mailsac.com",
];

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let domain = subject.words.domain.as_str();
    let named = matches!(
        subject.words.label(),
        "mailosaur" | "mailtrap" | "mailslurp" | "ethereal" | "testmail" | "mailsac"
    );
    if named && mail::suffixes(domain).any(|suffix| INBOXES.contains(&suffix)) {
        return Some(Found::new(6.2, "mail domain is an inbox of test suites"));
    }
    subject.words.site.classes.disposable.then(|| Found::new(4.2, "mail domain is a throw-away service"))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::*;

    #[test]
    fn throw_away_services_are_found_and_providers_are_not() {
        let weigh = |email: &str| check::weight(&DETECTOR, &check::user("", email), &Context::default());
        assert!(weigh("1bb3f74c@yopmail.com") > 4.0);
        assert!(weigh("x@sub.guerrillamail.com") > 4.0);
        assert!(weigh("signup@abc123.mailosaur.net") > 6.0 && weigh("it@ethereal.com").abs() < 1e-9);
        for email in
            ["maria@gmail.com", "x@privaterelay.appleid.com", "hans@zoho.com", "it@brennanmachinery.com"]
        {
            assert!(weigh(email).abs() < 1e-9, "{email}");
        }
    }
}
