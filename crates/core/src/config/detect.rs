//! `[detect]`: thresholds, weights of signals, rules and lists of rows that are real.
//!
//! Invariants
//! - a signal that does not exist, a pattern without text and a weight without sense are mistakes, never ignored.
//!
//! Not here: what rules do (`detect::rules`).

use crate::detect::rules::{Field, Pattern, Rule};
use crate::detect::{DETECTORS, Rules, Thresholds};
use crate::entity::Entity;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a configuration says about detection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detection {
    pub thresholds: Thresholds,
    pub rules: Rules,
}

/// The section as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileDetection {
    test: Option<f64>,
    suspect: Option<f64>,
    weights: BTreeMap<String, Factor>,
    rules: Vec<FileRule>,
    allow: BTreeMap<Entity, BTreeMap<Field, Globs>>,
}

/// One factor, or one for each entity.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Factor {
    Both(f64),
    Each(FactorEach),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct FactorEach {
    #[serde(default = "one")]
    tenant: f64,
    #[serde(default = "one")]
    user: f64,
}

fn one() -> f64 {
    1.0
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    id: String,
    entity: Option<Entity>,
    field: Field,
    pattern: Globs,
    weight: f64,
    says: Option<String>,
}

/// One pattern or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Globs {
    One(String),
    Several(Vec<String>),
}

/// A mistake: what is wrong, and what to do.
pub(super) type Mistake = (String, String);

/// Largest factor of a signal.
const FACTOR_MAX: f64 = 5.0;
/// Largest weight of a rule, in log-odds; a flag that says "test" weighs 7.5.
const WEIGHT_MAX: f64 = 20.0;

impl FileDetection {
    /// The section in the terms of detection.
    pub(super) fn read(self) -> Result<Detection, Mistake> {
        let thresholds = self.thresholds()?;
        let mut rules = Rules::default();
        for (id, factor) in &self.weights {
            rules.factors.push(factor_of(id, *factor)?);
        }
        for rule in self.rules {
            rules.rules.push(rule.read()?);
        }
        for (entity, fields) in self.allow {
            for (field, globs) in fields {
                let place = format!("detect.allow.{}", entity.word());
                rules.allowed.push(pattern(Some(entity), field, globs, &place)?);
            }
        }
        Ok(Detection { thresholds, rules })
    }

    fn thresholds(&self) -> Result<Thresholds, Mistake> {
        let default = Thresholds::default();
        let found = Thresholds {
            test: self.test.unwrap_or(default.test),
            suspect: self.suspect.unwrap_or(default.suspect.min(self.test.unwrap_or(1.0))),
        };
        for (key, value) in [("test", found.test), ("suspect", found.suspect)] {
            if !(value > 0.0 && value < 1.0) {
                let what = format!("`detect.{key}` is {value}, but a probability lies between 0 and 1");
                return Err((what, "write for example `test = 0.95`".to_owned()));
            }
        }
        if found.suspect > found.test {
            let what =
                "`detect.suspect` is above `detect.test`, so nothing would ever be a suspect".to_owned();
            return Err((what, "choose a lower `suspect`".to_owned()));
        }
        Ok(found)
    }
}

fn factor_of(id: &str, factor: Factor) -> Result<(&'static str, f64, f64), Mistake> {
    let Some(detector) = DETECTORS.iter().find(|d| d.id == id) else {
        let known: Vec<&str> = DETECTORS.iter().map(|d| d.id).collect();
        return Err((
            format!("`detect.weights` names `{id}`, which is no signal"),
            format!("it is one of {}", known.join(", ")),
        ));
    };
    let (tenant, user) = match factor {
        Factor::Both(both) => (both, both),
        Factor::Each(each) => (each.tenant, each.user),
    };
    if [tenant, user].iter().any(|f| !(0.0..=FACTOR_MAX).contains(f)) {
        let what =
            format!("the factor of `{id}` in `detect.weights` does not lie between 0 and {FACTOR_MAX}");
        return Err((what, "1 leaves a signal as it is, 0 silences it".to_owned()));
    }
    Ok((detector.id, tenant, user))
}

impl FileRule {
    fn read(self) -> Result<Rule, Mistake> {
        let place = format!("rule `{}`", self.id);
        if !self.weight.is_finite() || self.weight.abs() > WEIGHT_MAX {
            let what = format!("the weight of {place} does not lie between -{WEIGHT_MAX} and {WEIGHT_MAX}");
            return Err((what, "6 makes a row test data by itself, 3 makes it suspect".to_owned()));
        }
        let pattern = pattern(self.entity, self.field, self.pattern, &place)?;
        let says = self.says.unwrap_or_else(|| format!("matches `{}`", pattern.globs.join("`, `")));
        Ok(Rule { id: self.id, pattern, weight: self.weight, says })
    }
}

fn pattern(entity: Option<Entity>, field: Field, globs: Globs, place: &str) -> Result<Pattern, Mistake> {
    let globs = match globs {
        Globs::One(glob) => vec![glob],
        Globs::Several(globs) => globs,
    };
    if globs.is_empty() || globs.iter().any(|glob| glob.trim().is_empty()) {
        let what = format!("{place} has an empty pattern");
        return Err((what, "write for example `pattern = \"*@qa.example.org\"`".to_owned()));
    }
    if !matches!(entity, None | Some(Entity::Tenant | Entity::User)) {
        let what = format!("{place} is about rows that are not judged");
        return Err((what, "name `tenant` or `user`".to_owned()));
    }
    Ok(Pattern { entity, field, globs })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::detect::rules::Field;
    use crate::entity::Entity;

    const WHOLE: &str = r#"
[detect]
test = 0.99
suspect = 0.6

[detect.weights]
"mail.disposable-domain" = 0.5
"created.burst" = { user = 0 }

[[detect.rules]]
id = "our-qa"
entity = "user"
field = "email"
pattern = ["*@qa.brennan.com", "qa-*@brennan.com"]
weight = 7
says = "our test team"

[detect.allow]
tenant.name = "Test Rite*"
user.domain = ["brennan.com"]
"#;

    #[test]
    fn thresholds_weights_rules_and_lists_are_read() {
        let detection = Config::parse(WHOLE, "unseed.toml").unwrap().detection;
        assert!((detection.thresholds.test - 0.99).abs() < 1e-9);
        let rules = detection.rules;
        assert!((rules.factor(Entity::Tenant, "mail.disposable-domain") - 0.5).abs() < 1e-9);
        assert!(rules.factor(Entity::User, "created.burst").abs() < 1e-9);
        assert!((rules.factor(Entity::Tenant, "created.burst") - 1.0).abs() < 1e-9);
        assert_eq!((rules.rules[0].id.as_str(), rules.rules[0].pattern.globs.len()), ("our-qa", 2));
        assert_eq!(rules.allowed[0].field, Field::Name);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            ("[detect]\ntest = 1.5", "`detect.test` is 1.5"),
            ("[detect]\nsuspect = 0.99", "`detect.suspect` is above `detect.test`"),
            ("[detect.weights]\n\"mail.nothing\" = 1", "`mail.nothing`, which is no signal"),
            ("[detect.weights]\n\"created.burst\" = 9", "does not lie between 0 and 5"),
            ("[[detect.rules]]\nid = \"a\"\nfield = \"name\"\npattern = \"\"\nweight = 1", "empty pattern"),
            (
                "[[detect.rules]]\nid = \"a\"\nfield = \"name\"\npattern = \"x\"\nweight = 99",
                "weight of rule `a`",
            ),
            ("[detect.allow]\nsession.name = \"x\"", "rows that are not judged"),
            ("[detect]\nthreshold = 1", "unknown key `threshold`"),
        ] {
            let fault = Config::parse(text, "unseed.toml").expect_err(text);
            assert!(fault.message.contains(message), "{text}: {}", fault.message);
            assert!(!fault.hint.is_empty(), "{text}");
        }
    }
}
