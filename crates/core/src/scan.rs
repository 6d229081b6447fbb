//! The report of a scan: what was found, why, and what to do about it.
//!
//! The same value is printed as a table, written as JSON (`unseed.scan/1`) and drawn as a page, so that the
//! three agree. Fields may be added to the format; none changes its meaning.
//!
//! Invariants
//! - `complete` is true in every report that exists: a partial view is a fault, not a report;
//! - findings are ordered by table, then score, then key; their verdict is never `real`;
//! - every row that a table counts as test or suspect is a finding, where the table is one of tenants or users.
//!
//! Not here: how findings come about (`engine::scan`), how they are drawn (the command line's `report`).

use crate::detect::{Signal, Verdict};
use crate::entity::Entity;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The name and version of the format.
pub const FORMAT: &str = "unseed.scan/1";

/// A finished scan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub format: &'static str,
    pub store: String,
    pub complete: bool,
    pub tables: Vec<TableCount>,
    /// Empty where findings are told one by one.
    pub findings: Vec<Finding>,
    /// A few findings of each table and verdict that show the variety, for people.
    #[serde(skip)]
    pub samples: Vec<Finding>,
    pub recommendations: Vec<String>,
    /// First and last creation of a row with verdict `test`, as seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    /// Rows created per month, in order of months.
    pub timeline: Vec<Month>,
    /// How often each signal stands behind a finding with verdict `test`, most frequent first.
    pub signals: Vec<SignalCount>,
    /// Users whose tenant is gone, per table; empty when there are none.
    pub orphans: Vec<OrphanCount>,
}

/// Rows of one table by verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableCount {
    pub table: String,
    pub entity: Entity,
    pub rows: u64,
    pub test: u64,
    pub suspect: u64,
    /// Rows that the baseline lists; they are not among the others.
    #[serde(skip_serializing_if = "is_zero")]
    pub known: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The rows that an earlier report lists, by hashes of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    test: HashSet<u64>,
    suspect: HashSet<u64>,
}

impl Baseline {
    /// Adds a row of the earlier report.
    pub fn add<'a>(&mut self, table: &str, key: impl Iterator<Item = (&'a str, &'a str)>, verdict: Verdict) {
        let hash = row_hash(table, key);
        match verdict {
            Verdict::Test => drop(self.test.insert(hash)),
            Verdict::Suspect => drop(self.suspect.insert(hash)),
            Verdict::Real => {}
        }
    }

    /// Whether a row was listed with this verdict or a graver one.
    pub fn knows<'a>(
        &self,
        table: &str,
        key: impl Iterator<Item = (&'a str, &'a str)>,
        verdict: Verdict,
    ) -> bool {
        let hash = row_hash(table, key);
        match verdict {
            Verdict::Test => self.test.contains(&hash),
            Verdict::Suspect => self.test.contains(&hash) || self.suspect.contains(&hash),
            Verdict::Real => true,
        }
    }
}

/// The same for any order of the columns.
fn row_hash<'a>(table: &str, key: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let pairs = key.map(|(column, value)| {
        let mut hasher = blake3::Hasher::new();
        for part in [table, column, value] {
            hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().as_bytes().first_chunk().copied().map_or(0, u64::from_le_bytes)
    });
    pairs.fold(0, u64::wrapping_add)
}

/// A row that looks like test data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    #[serde(serialize_with = "plain")]
    pub table: Arc<str>,
    pub key: Key,
    /// What people know the row by: its name, else its mail address or handle.
    pub label: Box<str>,
    pub score: f64,
    pub verdict: Verdict,
    /// Reasons for and, with negative weights, against; strongest first.
    pub signals: Vec<Signal>,
}

/// The key of a row: column names shared by all rows of a table, values as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub columns: Arc<[String]>,
    pub values: Box<[Box<str>]>,
}

impl Key {
    /// Pairs of column and value.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.columns.iter().map(String::as_str).zip(self.values.iter().map(AsRef::as_ref))
    }

    /// `id=17` or `a=1, b=2`, for people.
    pub fn describe(&self) -> String {
        let pairs: Vec<String> = self.pairs().map(|(column, value)| format!("{column}={value}")).collect();
        pairs.join(", ")
    }
}

impl Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.pairs())
    }
}

fn plain<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// From when to when test rows were created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Since {
    pub first: i64,
    pub last: i64,
}

/// Rows of tenant and user tables created in one month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Month {
    /// `2026-03`
    pub month: String,
    pub test: u64,
    pub real: u64,
}

/// How often a signal occurs among test rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignalCount {
    pub id: &'static str,
    /// What it looks for, in a few words.
    pub title: &'static str,
    pub rows: u64,
}

/// Rows of a table that name a tenant which does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrphanCount {
    pub table: String,
    pub column: String,
    pub rows: u64,
}

impl Report {
    /// Rows with verdict `test` in the tables of an entity.
    pub fn test_rows(&self, entity: Entity) -> u64 {
        self.tables.iter().filter(|t| t.entity == entity).map(|t| t.test).sum()
    }

    /// Whether nothing was found: no test row and no suspect.
    pub fn is_clean(&self) -> bool {
        self.tables.iter().all(|t| t.test == 0 && t.suspect == 0)
    }

    /// Findings with verdict `test`, the roots that a plan takes by default.
    pub fn test_findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.verdict == Verdict::Test)
    }

    /// Keys of all test rows by table, for a plan.
    pub fn roots(&self) -> BTreeMap<&str, Vec<&Key>> {
        let mut roots: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
        for finding in self.test_findings() {
            roots.entry(&finding.table).or_default().push(&finding.key);
        }
        roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Group;
    use std::borrow::Cow;

    #[test]
    fn json_has_the_documented_shape() {
        let finding = Finding {
            table: "public.tenants".into(),
            key: Key { columns: Arc::from(["id".to_owned()]), values: Box::from(["17".into()]) },
            label: "Test Tenant 1712345678".into(),
            score: 0.998,
            verdict: Verdict::Test,
            signals: vec![Signal {
                id: "name.machine-suffix",
                group: Group::Shape,
                weight: 3.5,
                says: Cow::Borrowed("name ends in a Unix time"),
            }],
        };
        let json = serde_json::to_value(&finding).unwrap();
        let expected = serde_json::json!({
            "table": "public.tenants", "key": { "id": "17" }, "label": "Test Tenant 1712345678", "score": 0.998, "verdict": "test",
            "signals": [{ "id": "name.machine-suffix", "weight": 3.5, "says": "name ends in a Unix time" }],
        });
        assert_eq!(json, expected);
    }
}
