//! Password hashes that seeds and examples publish: whoever has one has the salt of the example too, so nobody came to
//! it by choosing a password.
//!
//! Seeded administrators of real installations have them as well, so it is never enough. Sources: factories and default
//! users of widely used frameworks, as their repositories show them. The hashes are public and no secret.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "password.seeded", title: "password hash of a seed", group: Group::Password, examine };

const HASHES: &[&str] = &[
    "$2y$10$92IXUNpkjO0rOQ5byMi.Ye4oKoEa3Ro9llC/.og/at2.uheWG/igi",
    "$2y$10$TKh8H1.PfQx37YgCzwiKb.KjNyWgaHb9cbcoQgdIVFlYg7B77UdFm",
    "$2a$10$gSAhZrxMllrbgj/kkK9UceBPpChGWJA7SYIb1Mqo.n5aNLq1/oRrC",
    "$2a$10$VEjxo0jq2YG9Rbk2HmX9S.k1uZBGYUHdUcid3g/vfiEl7lwWgOH/K",
    "$2a$10$dXJ3SW6G7P50lGmMkkmwe.20cQQubK3.HZWzG3YB1tlRy.fqvM/BG",
];

fn examine(subject: &Subject<'_>) -> Option<Found> {
    is_published(subject.record.password).then(|| Found::new(3.0, "password hash is one that seeds publish"))
}

/// Whether a hash is known to everybody, by itself or behind the name of its method.
pub fn is_published(hash: &str) -> bool {
    let hash = hash.strip_prefix("{bcrypt}").unwrap_or(hash);
    hash.starts_with("$2") && HASHES.contains(&hash)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Record};
    use super::super::score::Verdict;
    use super::*;

    #[test]
    fn published_hashes_count_and_one_that_differs_in_a_letter_does_not() {
        let user = |password| Record { password, ..check::user("Maria Keller", "maria@keller.com") };
        let weigh = |password| check::weight(&DETECTOR, &user(password), &Context::default());
        let named = format!("{{bcrypt}}{}", HASHES[4]);
        assert!(weigh(HASHES[0]) > 2.5 && weigh(&named) > 2.5);
        for hash in ["", "$2y$10$", "$2y$10$92IXUNpkjO0rOQ5byMi.Ye4oKoEa3Ro9llC/.og/at2.uheWG/igj", "secret"]
        {
            assert!(weigh(hash).abs() < 1e-9, "{hash}");
        }
    }

    #[test]
    fn it_is_never_enough() {
        let hash = HASHES[1];
        let nobody = Record { password: hash, ..check::user("Katharina Berger", "") };
        assert_eq!(check::verdict(&nobody, &Context::default()), Verdict::Suspect);
        let admin =
            Record { password: hash, role: "admin", ..check::user("Administrator", "it@brennan.com") };
        assert_eq!(check::verdict(&admin, &Context::default()), Verdict::Real);
        let faked = Record { password: hash, ..check::user("Katharina Berger", "kberger@example.org") };
        assert_eq!(check::verdict(&faked, &Context::default()), Verdict::Test);
    }
}
