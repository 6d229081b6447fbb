//! Shapes that seed libraries give their values: `Kuhn, Moreau and Sons`, `Kiera.Kuhn43@hotmail.com` of somebody else,
//! `(694)538-5461x42`, `8213 Rolfson Alley Apt. 731`.
//!
//! Each occurs among real rows as well, so one alone is silent, and all together make no more than a suspect:
//! reserved domains, bursts and series do the rest.

use super::text::{self, Kind};
use super::{Detector, Found, Group, Subject};
use crate::entity::Entity;

pub(super) const DETECTOR: Detector =
    Detector { id: "seed.shapes", title: "values shaped like a seed library's", group: Group::Seed, examine };

/// The most that shapes add up to.
const WEIGHT_MAX: f64 = 4.5;
/// Providers whose addresses seed libraries make.
const PROVIDERS: &[&str] = &["gmail.com", "yahoo.com", "hotmail.com"];

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let record = subject.record;
    if record.phone.is_empty() && record.address.is_empty() {
        return None;
    }
    let extension = if has_extension(record.phone) { 1.8 } else { 0.0 };
    let door = if has_numbered_door(record.address) { 1.4 } else { 0.0 };
    // One shape alone is silent, and all but these two speak of one field each.
    if extension + door <= 0.0 {
        return None;
    }
    let name = if record.entity == Entity::Tenant && is_joined_surnames(record.name) { 0.8 } else { 0.0 };
    let shapes = [extension, door, name, mail(subject)];
    let seen = shapes.iter().filter(|weight| **weight > 0.0).count();
    let sum: f64 = shapes.iter().sum();
    (seen >= 2).then(|| Found::new(sum.min(WEIGHT_MAX), "several values are shaped like a seed library's"))
}

/// `001-581-896-0013x3890`: three to five digits behind an `x` that touches the number.
fn has_extension(phone: &str) -> bool {
    let Some((number, extension)) = phone.rsplit_once('x') else { return false };
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    (3..=5).contains(&extension.len())
        && extension.bytes().all(|b| b.is_ascii_digit())
        && digits >= 10
        && number.ends_with(|c: char| c.is_ascii_digit())
}

/// `8213 Rolfson Alley Apt. 731`: three digits behind the kind of door.
fn has_numbered_door(address: &str) -> bool {
    let mut parts = address.trim().rsplit(' ');
    let (Some(number), Some(door)) = (parts.next(), parts.next()) else { return false };
    let begins = address.bytes().take_while(u8::is_ascii_digit).count();
    number.len() == 3
        && number.bytes().all(|b| b.is_ascii_digit())
        && matches!(door, "Apt." | "Suite")
        && (3..=5).contains(&begins)
}

/// `Kuhn, Moreau and Okafor`, `Kuhn-Moreau`, `Kuhn and Sons`.
fn is_joined_surnames(name: &str) -> bool {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().is_some_and(char::is_uppercase) && letters.all(char::is_alphabetic) && word.len() > 2
    };
    if let Some((one, rest)) = name.split_once(", ") {
        return rest
            .split_once(" and ")
            .is_some_and(|(two, three)| [one, two, three].into_iter().all(capital));
    }
    if let Some(family) = name.strip_suffix(" and Sons") {
        return capital(family);
    }
    name.split_once('-')
        .or_else(|| name.split_once(" - "))
        .is_some_and(|(one, two)| capital(one) && capital(two))
}

/// A local part made of another person's name, or of the person's own with capitals and a number.
fn mail(subject: &Subject<'_>) -> f64 {
    let (local, name) = (&subject.words.local, &subject.words.name);
    if subject.record.entity != Entity::User || name.tokens.len() < 2 || local.tokens.is_empty() {
        return 0.0;
    }
    let words = || local.iter().filter(|(t, word)| t.kind == Kind::Word && word.len() >= 3);
    if words().count() < 2 || !PROVIDERS.contains(&subject.words.domain.as_str()) {
        return 0.0;
    }
    let agrees = words().any(|(_, word)| text::contains(name.joined(), word));
    let typed =
        subject.record.email.bytes().take_while(|b| *b != b'@').filter(u8::is_ascii_uppercase).count();
    match (agrees, typed) {
        (false, 2) => 2.2,
        (false, _) => 0.8,
        (true, 2) => 0.6,
        (true, _) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Record};
    use super::super::score::Verdict;
    use super::*;

    fn seeded() -> Record<'static> {
        Record {
            phone: "001-581-896-0013x3890",
            address: "8213 Rolfson Alley Apt. 731",
            ..check::user("Allison Hill", "Donald.Garcia43@hotmail.com")
        }
    }

    #[test]
    fn shapes_add_up_to_a_suspect_and_no_more() {
        assert!(check::weight(&DETECTOR, &seeded(), &Context::default()) > 4.0);
        assert_eq!(check::verdict(&seeded(), &Context::default()), Verdict::Suspect);
        let burst = Context { burst_rows: 200, ..Context::default() };
        assert_eq!(check::verdict(&seeded(), &burst), Verdict::Test);
    }

    #[test]
    fn one_shape_alone_is_silent() {
        for record in [
            check::tenant("Smith, Jones and Brown", "", "office@sjb-law.com"),
            check::user("Katharina Berger", "Thomas.Mueller@gmail.com"),
            Record { phone: "212-736-5000x204", ..check::user("Maria Keller", "maria@keller.com") },
            Record { address: "350 Fifth Avenue Suite 500", ..check::user("Maria Keller", "") },
        ] {
            assert!(check::weight(&DETECTOR, &record, &Context::default()).abs() < 1e-9, "{}", record.name);
        }
    }
}
