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

use super::lexicon::Table;
use super::mail;
use std::sync::LazyLock;

/// What a domain is used for; a domain may be in several lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Classes {
    /// Throw-away addresses.
    pub disposable: bool,
    /// Services that hide a real person's address.
    pub relay: bool,
    /// Providers where anyone has an address.
    pub free: bool,
}

static TABLE: LazyLock<Table<Classes>> = LazyLock::new(|| {
    let none = Classes::default();
    let lists = [
        (include_str!("lists/relay.txt"), Classes { relay: true, ..none }),
        (include_str!("lists/disposable.txt"), Classes { disposable: true, ..none }),
        (include_str!("lists/free.txt"), Classes { free: true, ..none }),
    ];
    let mut domains: Vec<(&'static str, Classes)> = Vec::new();
    for (list, class) in lists {
        for domain in lines(list) {
            match domains.iter_mut().find(|(known, _)| *known == domain) {
                Some((_, classes)) => *classes = classes.and(class),
                None => domains.push((domain, class)),
            }
        }
    }
    Table::new(domains)
});

fn lines(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

impl Classes {
    fn and(self, other: Self) -> Self {
        let relay = self.relay || other.relay;
        Self {
            disposable: (self.disposable || other.disposable) && !relay,
            relay,
            free: self.free || other.free,
        }
    }
}

/// The classes of a domain in lower case, by itself and by the domains above it.
pub fn classes(domain: &str) -> Classes {
    let found = mail::suffixes(domain).filter_map(|suffix| TABLE.get(suffix));
    found.fold(Classes::default(), Classes::and)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_classes_are_apart() {
        assert!(classes("mailinator.com").disposable && classes("eu.mailinator.com").disposable);
        for domain in ["privaterelay.appleid.com", "duck.com", "mozmail.com", "simplelogin.com"] {
            assert!(classes(domain).relay && !classes(domain).disposable, "{domain}");
        }
        for domain in ["gmail.com", "zoho.com", "proton.me", "notmailinator.com", "brennanmachinery.com"] {
            assert!(!classes(domain).disposable, "{domain}");
        }
        assert!(classes("gmail.com").free && !classes("harborlaw.com").free);
    }
}
