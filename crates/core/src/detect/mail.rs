//! Takes a mail address apart: local part, plus-tag, domain.
//!
//! Invariants
//! - never fails: text without `@` has no domain and is not an address;
//! - the domain is lower case, without a final dot, and no longer than [`DOMAIN_BYTES_MAX`].
//!
//! Not here: what a domain means (`domain`), what a local part means (`mail_local`).

/// Longest domain that is looked at; longer ones cannot be delivered to.
pub(super) const DOMAIN_BYTES_MAX: usize = 253;
/// Labels from the right that a domain is looked up by.
const LABELS_MAX: usize = 5;

/// The parts of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub local: &'a str,
    pub tag: Option<&'a str>,
    pub domain: &'a str,
}

/// Splits at the last `@`, and the local part at its first `+`.
pub(super) fn split(address: &str) -> Option<Parts<'_>> {
    let (before, domain) = address.trim().rsplit_once('@')?;
    let domain = domain.trim_end_matches('.');
    if before.is_empty() || domain.is_empty() || domain.len() > DOMAIN_BYTES_MAX {
        return None;
    }
    let (local, tag) = match before.split_once('+') {
        Some((local, tag)) => (local, Some(tag)),
        None => (before, None),
    };
    Some(Parts { local, tag, domain })
}

/// `a.b.c`, `b.c`, `c`: the domain and everything above it, longest first.
pub(super) fn suffixes(domain: &str) -> impl Iterator<Item = &str> {
    let start = domain.rmatch_indices('.').nth(LABELS_MAX - 1).map_or(0, |(dot, _)| dot + 1);
    let mut rest = Some(&domain[start..]);
    std::iter::from_fn(move || {
        let now = rest?;
        rest = now.split_once('.').map(|(_, above)| above);
        Some(now)
    })
}

/// The label a domain is known by: `acme` of `mail.acme.co.uk`.
pub(super) fn main_label(domain: &str) -> &str {
    let mut labels = domain.rsplit('.');
    let Some(_top) = labels.next() else { return domain };
    let second = labels.next().unwrap_or(domain);
    // `co.uk`, `com.au`: the second level is a category, the name stands before it.
    match labels.next() {
        Some(third)
            if second.len() <= 3
                && matches!(
                    second,
                    "co" | "com" | "org" | "net" | "gov" | "edu" | "ac" | "or" | "ne" | "go"
                ) =>
        {
            third
        }
        Some(_) | None => second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_three_parts() {
        let parts = split("alice+test12@Gmail.com.").unwrap();
        assert_eq!((parts.local, parts.tag, parts.domain), ("alice", Some("test12"), "Gmail.com"));
        assert_eq!(split("no address"), None);
        assert_eq!(split("@example.com"), None);
    }

    #[test]
    fn suffixes_stop_at_the_top_and_ten_thousand_labels_cost_nothing() {
        assert_eq!(suffixes("a.b.c").collect::<Vec<_>>(), ["a.b.c", "b.c", "c"]);
        assert_eq!(suffixes(&"x.".repeat(10_000)).count(), 5);
    }

    #[test]
    fn the_main_label_skips_categories() {
        assert_eq!(main_label("contestmedia.co.uk"), "contestmedia");
        assert_eq!(main_label("mail.acme.com"), "acme");
        assert_eq!(main_label("localhost"), "localhost");
    }
}
