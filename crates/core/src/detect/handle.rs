//! Test words in a slug, subdomain or user name.
//!
//! Handles are mostly made from the name, so this shares the name's group; where the name is a neutral one
//! (`New Org`), the handle is the person's own choice and speaks for itself.

use super::text::Words;
use super::{Detector, Found, Group, Subject, vocabulary};

pub(super) const DETECTOR: Detector = Detector {
    id: "handle.vocabulary",
    title: "slug or user name made of test words",
    group: Group::Name,
    examine,
};

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let weigh = |words: &Words, says: &'static str| {
        let weight = vocabulary::weigh(words)?;
        let weight = if subject.repeats_name(words.joined()) { weight.min(0.5) } else { weight };
        // One word of a handle is chosen for being free, not for being true: `demo`, `test`.
        let share = if words.counts.no_name_left() { 0.9 } else { 0.6 };
        Some((weight, share, says))
    };
    let slug = weigh(&subject.words.slug, "slug is made of test words");
    let username = weigh(&subject.words.username, "user name is made of test words");
    let (weight, share, says) = slug.into_iter().chain(username).max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Found::new(weight * share, says))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Record};
    use super::*;

    #[track_caller]
    fn weigh(slug: &str, username: &str) -> f64 {
        let record = Record { username, ..check::tenant("", slug, "") };
        check::weight(&DETECTOR, &record, &Context::default())
    }

    #[test]
    fn test_handles_weigh_much() {
        assert!(weigh("test-tenant-1712345678123", "") > 5.0);
        assert!(weigh("loadtest-000123", "") > 5.0);
        assert!(weigh("", "testuser5") > 5.0);
    }

    #[test]
    fn handles_of_real_names_do_not() {
        for slug in ["testarossa-motors", "demopolisfoods", "sandbox-toys", "brennan", "demo-lewis"] {
            assert!(weigh(slug, "") < 1.0, "{slug}");
        }
    }
}
