//! What a person adds to detection: patterns with weights, lists of rows that are real, factors for signals.
//!
//! A pattern is a glob over one field: `*` stands for any text, `?` for one character, everything else for itself
//! without regard to case. It has to match the whole value.
//!
//! Invariants
//! - matching takes time linear in the value times the pattern, whatever either holds;
//! - a row on an allow list is never test data, whatever else is found.
//!
//! Not here: reading them from a file (`config`).

use super::record::{Record, Subject};
use super::{Detector, Found, Group};
use crate::entity::Entity;
use serde::Deserialize;

pub(super) const CUSTOM: Detector = Detector {
    id: "rule.custom",
    title: "matches a rule of the configuration",
    group: Group::Rule,
    examine: custom,
};
pub(super) const ALLOWED: Detector = Detector {
    id: "rule.allowed",
    title: "listed as real in the configuration",
    group: Group::Allowed,
    examine: allowed,
};

/// Log-odds of a row on an allow list; nothing outweighs it.
const ALLOWED_WEIGHT: f64 = -60.0;
/// Characters of a value that patterns look at.
const VALUE_CHARS_MAX: usize = 512;

/// Everything that was configured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// Factors of signals: id, for tenants, for users.
    pub factors: Vec<(&'static str, f64, f64)>,
    pub rules: Vec<Rule>,
    pub allowed: Vec<Pattern>,
}

/// No rules at all.
pub(super) static NONE: Rules = Rules { factors: Vec::new(), rules: Vec::new(), allowed: Vec::new() };

/// A pattern that says something.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub id: String,
    pub pattern: Pattern,
    /// Log-odds.
    pub weight: f64,
    /// In words; the pattern where nothing was given.
    pub says: String,
}

/// A field of tenants, users or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pub entity: Option<Entity>,
    pub field: Field,
    /// Any of these.
    pub globs: Vec<String>,
}

/// What a pattern looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    Name,
    Slug,
    Username,
    Email,
    /// What stands behind the `@` of the mail address.
    Domain,
    Phone,
    Role,
}

impl Rules {
    /// By how much a signal counts.
    pub fn factor(&self, entity: Entity, id: &str) -> f64 {
        let found = self.factors.iter().find(|(known, _, _)| *known == id);
        found.map_or(1.0, |(_, tenant, user)| if entity == Entity::Tenant { *tenant } else { *user })
    }
}

impl Pattern {
    fn matches(&self, record: &Record<'_>, domain: &str) -> bool {
        if self.entity.is_some_and(|entity| entity != record.entity) {
            return false;
        }
        let value = match self.field {
            Field::Name => record.name,
            Field::Slug => record.slug,
            Field::Username => record.username,
            Field::Email => record.email,
            Field::Domain => domain,
            Field::Phone => record.phone,
            Field::Role => record.role,
        };
        !value.is_empty() && self.globs.iter().any(|glob| glob_matches(glob, value.trim()))
    }
}

fn strongest<'a>(subject: &Subject<'a>) -> Option<&'a Rule> {
    let rules = subject.rules.rules.iter();
    let matching = rules.filter(|rule| rule.pattern.matches(subject.record, &subject.words.domain));
    matching.max_by(|a, b| a.weight.abs().total_cmp(&b.weight.abs()))
}

fn custom(subject: &Subject<'_>) -> Option<Found> {
    let rule = strongest(subject)?;
    Some(Found::told(rule.weight, |s| {
        strongest(s).map_or_else(String::new, |rule| format!("rule `{}`: {}", rule.id, rule.says))
    }))
}

fn allowed(subject: &Subject<'_>) -> Option<Found> {
    let lists = &subject.rules.allowed;
    let listed = lists.iter().any(|pattern| pattern.matches(subject.record, &subject.words.domain));
    listed.then(|| Found::new(ALLOWED_WEIGHT, "listed as real in the configuration"))
}

/// Whether a glob matches a whole value. Goes back to the last star only, which is enough for globs.
fn glob_matches(glob: &str, value: &str) -> bool {
    let glob: Vec<char> = glob.chars().flat_map(char::to_lowercase).collect();
    let value: Vec<char> = value.chars().take(VALUE_CHARS_MAX).flat_map(char::to_lowercase).collect();
    let (mut at, mut read) = (0, 0);
    // Where the last star stands, and what it has been tried to swallow.
    let mut star: Option<(usize, usize)> = None;
    while read < value.len() {
        match glob.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == value[read] => {
                at += 1;
                read += 1;
            }
            Some(_) | None => {
                let Some((place, swallowed)) = star else { return false };
                star = Some((place, swallowed + 1));
                at = place + 1;
                read = swallowed + 1;
            }
        }
    }
    glob[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::super::{Examiner, Thresholds, Verdict};
    use super::*;
    use std::sync::Arc;

    fn rules() -> Rules {
        let pattern = |entity, field, glob: &str| Pattern { entity, field, globs: vec![glob.to_owned()] };
        Rules {
            factors: vec![("mail.reserved-domain", 1.0, 0.0)],
            rules: vec![Rule {
                id: "our-qa".to_owned(),
                pattern: pattern(Some(Entity::User), Field::Domain, "*.qa.brennan.com"),
                weight: 7.0,
                says: "our test team".to_owned(),
            }],
            allowed: vec![pattern(None, Field::Name, "Test Rite*")],
        }
    }

    #[test]
    fn rules_add_allow_lists_forbid_and_factors_scale() {
        let mut examiner = Examiner::new(Arc::new(rules()));
        let mut verdict = |record: &Record<'_>| {
            Thresholds::default().verdict(examiner.weigh(record, &Context::default()).score)
        };
        assert_eq!(verdict(&check::user("Maria Okafor", "m@x.QA.brennan.com")), Verdict::Test);
        assert_eq!(verdict(&check::tenant("Maria Okafor", "", "m@x.qa.brennan.com")), Verdict::Real);
        assert_eq!(verdict(&check::tenant("Test Rite 5", "test-rite", "test@example.com")), Verdict::Real);
        assert_eq!(verdict(&check::user("Maria Okafor", "m@example.com")), Verdict::Real);
        assert_eq!(verdict(&check::tenant("Maria Okafor", "", "m@example.com")), Verdict::Test);
        let (_, signals) = examiner.tell(&check::user("", "m@x.qa.brennan.com"), &Context::default());
        assert!(signals.iter().any(|s| s.says == "rule `our-qa`: our test team"));
    }

    #[test]
    fn globs_match_whole_values_without_regard_to_case() {
        for (glob, value) in
            [("*", "x"), ("a*c", "ABBC"), ("*@qa.*", "x@qa.de"), ("?b*", "abc"), ("ä*", "ÄX")]
        {
            assert!(glob_matches(glob, value), "{glob} {value}");
        }
        for (glob, value) in [("a", "ab"), ("a*c", "abd"), ("?", ""), ("*b", "abc")] {
            assert!(!glob_matches(glob, value), "{glob} {value}");
        }
    }

    #[test]
    fn a_glob_of_many_stars_over_a_long_value_ends_soon() {
        let glob = "a*".repeat(200) + "b";
        assert!(!glob_matches(&glob, &"a".repeat(1_000_000)));
    }
}
