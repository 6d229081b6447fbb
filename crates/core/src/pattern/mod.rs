//! Patterns of keys that are derived from rows: `tenant:{tenant.id}:*`, `user:map:{user.email|lower}`.
//!
//! A pattern is literal text, fields in braces, and `*` for anything, even nothing. A field names an entity and a column,
//! and may be changed on its way (`lower`, `sha256`, …). All fields of a pattern belong to one row. A backslash makes the
//! next character literal. A pattern with a `member` means entries within a shared key: fields of a hash, members of a set.
//!
//! Invariants
//! - a pattern without a field, or with a field whose end nobody could tell, is refused when it is compiled;
//! - a null, an empty or a far too short value never matches anything;
//! - a key that could also belong to a row that stays is never called doomed, where those rows are known.
//!
//! Not here: walking over keys (`io::store`), where values come from (`engine`).

mod digests;
mod matcher;
mod parse;
mod transform;
mod walk;

#[cfg(test)]
mod tests;

pub use matcher::{Matcher, Place, Verdict};
pub use transform::Transform;

use crate::fault::Fault;
use crate::port::derived::Need;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Values shorter than this, in bytes, are no names where a pattern has no word of its own.
const NAMELESS_BYTES_MIN: usize = 8;

/// A pattern as a person wrote it: `"cache:{tenant.id}"` or `{ key = "tenants:active", member = "{tenant.id}" }`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PatternSpec {
    /// Whole keys.
    Key(String),
    /// Entries within keys.
    Member(MemberSpec),
}

/// The pattern of a key that many share, and of what belongs to a row within it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    pub key: String,
    pub member: String,
}

impl fmt::Display for PatternSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Member(spec) => write!(f, "{} → {}", spec.key, spec.member),
        }
    }
}

/// One piece of a compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(Vec<u8>),
    /// The field of this number.
    Field(usize),
    Any,
    /// Where the key ends and the member begins.
    Boundary,
}

/// A column of the row, and what happens to its value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    column: String,
    transforms: Vec<Transform>,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
struct Pattern {
    name: String,
    has_member: bool,
    tokens: Vec<Token>,
    entity: String,
    fields: Vec<Field>,
    value_bytes_min: usize,
    /// Index into [`PatternSet::groups`].
    group: usize,
}

/// Patterns that look for the same values of the same rows share them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    entity: String,
    fields: Vec<Field>,
    value_bytes_min: usize,
}

/// Compiled patterns of one store.
#[derive(Debug, Clone)]
pub struct PatternSet {
    patterns: Vec<Pattern>,
    groups: Vec<Group>,
}

impl PatternSet {
    /// Compiles patterns.
    ///
    /// # Errors
    /// A usage fault that shows the place in the pattern, and how to write it.
    pub fn compile(specs: &[PatternSpec]) -> Result<Self, Fault> {
        let (mut patterns, mut groups) = (Vec::new(), Vec::<Group>::new());
        for spec in specs {
            let mut pattern = parse::compile(spec)?;
            let group = Group {
                entity: pattern.entity.clone(),
                fields: pattern.fields.clone(),
                value_bytes_min: pattern.value_bytes_min,
            };
            pattern.group = groups.iter().position(|known| *known == group).unwrap_or_else(|| {
                groups.push(group);
                groups.len() - 1
            });
            patterns.push(pattern);
        }
        Ok(Self { patterns, groups })
    }

    /// The values that the patterns need: one entry per entity, so that its rows are visited once.
    pub fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::<Need>::new();
        for group in &self.groups {
            let at = needs.iter().position(|need| need.entity == group.entity).unwrap_or_else(|| {
                needs.push(Need { entity: group.entity.clone(), columns: Vec::new() });
                needs.len() - 1
            });
            for field in &group.fields {
                if !needs[at].columns.contains(&field.column) {
                    needs[at].columns.push(field.column.clone());
                }
            }
        }
        needs
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// A pattern as it was written.
    pub fn name(&self, pattern: usize) -> &str {
        &self.patterns[pattern].name
    }

    /// Whether any pattern means entries within keys.
    pub fn has_members(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.has_member)
    }

    /// Whether a key may hold entries that a pattern means.
    pub fn opens(&self, key: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern.has_member && walk::key_fits(pattern, key))
    }
}
