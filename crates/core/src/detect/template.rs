//! Values that nobody ever filled in, and attacks typed into a form: `{{firstName}}`, `[object Object]`, `string`,
//! `<script>`.
//!
//! A broken import writes such names beside the addresses of real people, so a name alone makes a suspect; an
//! address that is a template reaches nobody.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "name.template", title: "value that nobody filled in", group: Group::Name, examine };

/// What scanners for weaknesses send.
const ATTACKS: &[&str] =
    &["<script", "onerror=", "javascript:", "drop table", "union select", "or 1=1", "../../"];

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let email = subject.record.email;
    if matches!(email.as_bytes().first(), Some(b'{' | b'<' | b'%' | b'[' | b'_' | b'$' | b's')) {
        let nothing = email == "string" && subject.record.name == email;
        if nothing || is_template(email.trim()) {
            return Some(Found::new(6.2, "mail address is a template that nobody filled in"));
        }
    }
    let (words, name) = (&subject.words.name, subject.record.name.trim());
    let default = || matches!(words.joined(), "string" | "stringstring");
    // Most names hold nothing but words with one space between them, and are no template.
    let plain = name.len() < words.joined().len() + words.tokens.len();
    if plain && !default() {
        return None;
    }
    if is_template(name) || name == "string" || name == "string string" {
        return Some(Found::new(4.0, "name is a template that nobody filled in"));
    }
    is_attack(name).then(|| Found::new(4.5, "name is an attack on a form, as scanners type them"))
}

/// `{{name}}`, `${name}`, `<first_name>`, `<%= name %>`, `%s`, `__NAME__`, `[object Object]`.
fn is_template(text: &str) -> bool {
    let Some(mark) = text.bytes().find(|b| matches!(b, b'{' | b'<' | b'%' | b'[' | b'_')) else {
        return false;
    };
    match mark {
        b'{' => text.contains("}}") || (text.contains("${") && text.contains('}')),
        b'<' => text.starts_with("<%") || is_tag(text),
        b'%' => {
            matches!(text, "%s" | "%d" | "%s %s" | "%name%") || text.contains("%(") && text.contains(")s")
        }
        b'[' => text.contains("[object Object]"),
        b'_' => text.len() > 5 && text.starts_with("__") && text.ends_with("__"),
        _ => false,
    }
}

/// `<first_name> <last_name>`, and no tag of a page.
fn is_tag(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | ' ' | '<' | '>');
    text.starts_with('<') && text.ends_with('>') && text.chars().all(inner) && text.contains(['_', ' '])
}

fn is_attack(name: &str) -> bool {
    let odd = name.bytes().any(|b| matches!(b, b'<' | b'\'' | b'=' | b';' | b':' | b'/'));
    if !odd || name.len() > 400 {
        return false;
    }
    let lower = name.to_ascii_lowercase();
    ATTACKS.iter().any(|attack| lower.contains(attack))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::super::score::Verdict;
    use super::*;

    #[test]
    fn templates_and_attacks_are_found() {
        for name in [
            "{{firstName}} {{lastName}}",
            "${name}",
            "<first_name> <last_name>",
            "[object Object]",
            "__NAME__",
            "%s %s",
            "string",
            "<script>alert(1)</script>",
            "' OR 1=1 --",
        ] {
            assert!(check::weight(&DETECTOR, &check::user(name, ""), &Context::default()) >= 4.0, "{name}");
        }
        let template = check::user("Maria", "{{$randomEmail}}");
        assert_eq!(check::verdict(&template, &Context::default()), Verdict::Test);
    }

    #[test]
    fn odd_names_and_broken_imports_of_real_people_are_not_test() {
        for name in [
            "O'Neil & Sons",
            "A_B Studio",
            "100% Wolle",
            "<3 Bakery",
            "[m] Architects",
            "Stringer",
            "1=1 GmbH",
        ] {
            assert!(
                check::weight(&DETECTOR, &check::tenant(name, "", ""), &Context::default()).abs() < 1e-9,
                "{name}"
            );
        }
        let broken = check::user("[object Object]", "maria.keller@gmail.com");
        assert_ne!(check::verdict(&broken, &Context::default()), Verdict::Test);
    }
}
