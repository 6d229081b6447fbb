//! Classes of mail domains: disposable, relay, free.
//!
//! Three different things. A disposable address is thrown away; a relay hides a real person's address; a free
//! provider serves people. Only the first says anything about test data. Look-ups walk from the whole domain to
//! its last labels, so that subdomains of a listed domain are listed too.
//!
//! The lists are facts about services, one domain a line, and may be replaced by longer ones of the same form.
//!
//! Invariants
//! - the relay list wins over the disposable list;
//! - a look-up is linear in the domain and allocates nothing.
//!
//! Not here: reserved names (`reserved`), domains of examples (`placeholder_domain`).

use super::lexicon::WordSet;
use super::mail;
use std::sync::LazyLock;

static DISPOSABLE: LazyLock<WordSet> =
    LazyLock::new(|| WordSet::new(lines(include_str!("lists/disposable.txt"))));
static RELAY: LazyLock<WordSet> = LazyLock::new(|| WordSet::new(lines(include_str!("lists/relay.txt"))));
static FREE: LazyLock<WordSet> = LazyLock::new(|| WordSet::new(lines(include_str!("lists/free.txt"))));

fn lines(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn listed(set: &WordSet, domain: &str) -> bool {
    mail::suffixes(domain).any(|suffix| set.contains(suffix))
}

/// Throw-away addresses.
pub(super) fn is_disposable(domain: &str) -> bool {
    listed(&DISPOSABLE, domain) && !is_relay(domain)
}

/// Services that hide a real person's address.
pub(super) fn is_relay(domain: &str) -> bool {
    listed(&RELAY, domain)
}

/// Providers where anyone has an address.
pub(super) fn is_free(domain: &str) -> bool {
    listed(&FREE, domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_classes_are_apart() {
        assert!(is_disposable("mailinator.com") && is_disposable("eu.mailinator.com"));
        for domain in ["privaterelay.appleid.com", "duck.com", "mozmail.com", "simplelogin.com"] {
            assert!(is_relay(domain) && !is_disposable(domain), "{domain}");
        }
        for domain in ["gmail.com", "zoho.com", "proton.me", "notmailinator.com", "brennanmachinery.com"] {
            assert!(!is_disposable(domain), "{domain}");
        }
        assert!(is_free("gmail.com") && !is_free("harborlaw.com"));
    }
}
