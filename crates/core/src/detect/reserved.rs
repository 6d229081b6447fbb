//! Mail domains that can never receive mail because a standard reserves them.
//!
//! RFC 2606 and RFC 6761: `example.com`, `.net`, `.org`, and the top levels `test`, `example`, `invalid`,
//! `localhost`; RFC 6762: `local`; RFC 9476: `alt`. Nobody can have such an address.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector = Detector {
    id: "mail.reserved-domain",
    title: "mail domain reserved for tests",
    group: Group::MailDomain,
    examine,
};

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let domain = subject.words.domain.as_str();
    let top = top(domain);
    if !domain.is_empty() && is_no_top(top) {
        return Some(Found::new(6.0, "mail domain has an ending that cannot exist"));
    }
    match top {
        "test" | "example" | "invalid" | "localhost" => {
            Some(Found::new(6.4, "mail domain is reserved for tests (RFC 2606)"))
        }
        "local" | "localdomain" | "internal" | "alt" | "lan" => {
            Some(Found::new(3.0, "mail domain exists on no public network"))
        }
        "com" | "net" | "org" if is_example(domain) => {
            Some(Found::new(6.4, "mail domain is reserved for examples (RFC 2606)"))
        }
        "edu" if domain == "example.edu" => Some(Found::new(6.0, "mail domain is reserved for examples")),
        _ => None,
    }
}

/// Whether no mail can ever reach the domain.
pub(super) fn is_reserved(domain: &str) -> bool {
    is_example(domain) || matches!(top(domain), "test" | "example" | "invalid" | "localhost")
}

/// The last label.
pub(super) fn top(domain: &str) -> &str {
    domain.bytes().rposition(|b| b == b'.').map_or(domain, |dot| &domain[dot + 1..])
}

/// Endings that nobody gives out: of one letter, of digits, and the codes that ISO 3166 leaves to its users.
fn is_no_top(top: &str) -> bool {
    match top.as_bytes() {
        [one] => one.is_ascii_alphanumeric(),
        [b'a', b'a'] | [b'z', b'z'] | [b'q', b'm'..=b'z'] => true,
        [b'x', second] => second.is_ascii_lowercase() && *second != b'k',
        bytes => bytes.iter().all(u8::is_ascii_digit),
    }
}

fn is_example(domain: &str) -> bool {
    ["example.com", "example.net", "example.org"]
        .iter()
        .any(|e| domain.strip_suffix(e).is_some_and(|before| before.is_empty() || before.ends_with('.')))
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
    fn reserved_names_are_found_with_their_subdomains() {
        for email in [
            "jane@example.com",
            "a@mail.EXAMPLE.org",
            "a@app.test",
            "a@localhost",
            "a@x.invalid",
            "a@example.net.",
            "xx@xx.xx",
            "a@b.c",
        ] {
            assert!(weigh(email) >= 6.0, "{email}");
        }
    }

    #[test]
    fn names_that_only_contain_them_are_not() {
        for email in [
            "a@examplebay.ca",
            "a@myexample.com",
            "a@example.de",
            "a@test.de",
            "a@testcompany.com",
            "example@gmail.com",
            "a@firma.xk",
            "a@qatar.qa",
        ] {
            assert!(weigh(email).abs() < 1e-9, "{email}");
        }
    }
}
