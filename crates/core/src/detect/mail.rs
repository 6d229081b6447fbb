//! Takes a mail address apart: local part, plus-tag, domain.
//!
//! Invariants
//! - never fails: text without `@` has no domain and is not an address;
//! - the domain is lower case, without a final dot, and no longer than [`DOMAIN_BYTES_MAX`].
//!
//! Not here: what a domain means (`domain`), what a local part means (`mail_local`).

use super::text;

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
    let address = text::trimmed(address);
    let at = address.bytes().rposition(|b| b == b'@')?;
    let (before, behind) = (&address[..at], &address[at + 1..]);
    let domain = &behind[..=behind.bytes().rposition(|b| b != b'.')?];
    if before.is_empty() || domain.len() > DOMAIN_BYTES_MAX {
        return None;
    }
    let (local, tag) = match before.bytes().position(|b| b == b'+') {
        Some(plus) => (&before[..plus], Some(&before[plus + 1..])),
        None => (before, None),
    };
    Some(Parts { local, tag, domain })
}

/// `c`, `b.c`, `a.b.c`: the top of the domain, what is below it, and so on for a few labels.
pub(super) fn suffixes(domain: &str) -> impl Iterator<Item = &str> {
    let mut end = Some(domain.len());
    let next = move || {
        end = domain.as_bytes()[..end?].iter().rposition(|b| *b == b'.');
        Some(&domain[end.map_or(0, |dot| dot + 1)..])
    };
    std::iter::from_fn(next).take(LABELS_MAX)
}

/// Where the label stands that a domain is known by: `acme` of `mail.acme.co.uk`.
pub(super) fn main_label(domain: &str) -> (usize, usize) {
    let dot = |end: usize| domain.as_bytes()[..end].iter().rposition(|b| *b == b'.');
    let Some(top) = dot(domain.len()) else { return (0, domain.len()) };
    let Some(second) = dot(top) else { return (0, top) };
    // `co.uk`, `com.au`: the second level is a category, the name stands before it.
    let category = matches!(
        &domain[second + 1..top],
        "co" | "com" | "org" | "net" | "gov" | "edu" | "ac" | "or" | "ne" | "go"
    );
    if !category {
        return (second + 1, top);
    }
    (dot(second).map_or(0, |third| third + 1), second)
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
        assert_eq!(suffixes("a.b.c").collect::<Vec<_>>(), ["c", "b.c", "a.b.c"]);
        assert_eq!(suffixes(&"x.".repeat(10_000)).count(), 5);
    }

    #[test]
    fn the_main_label_skips_categories() {
        for (domain, expected) in
            [("contestmedia.co.uk", "contestmedia"), ("mail.acme.com", "acme"), ("localhost", "localhost")]
        {
            let (start, end) = main_label(domain);
            assert_eq!(&domain[start..end], expected);
        }
    }
}
