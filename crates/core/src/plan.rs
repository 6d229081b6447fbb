//! The plan: an immutable description of a purge, with a digest over all of it.
//!
//! A plan names everything by name, so that it means the same to a person, to another process and to a
//! later version. Root keys stand inside, or, when there are many, in a file beside it whose hash is inside.
//!
//! Invariants
//! - the digest covers every field but itself and the id, which is its beginning;
//! - a plan says which schema and which versions of its roots it was made for; anything else is stale.
//!
//! Not here: making one (`engine::plan`), using it up (`engine::purge`), reading and writing files (`io`).

use crate::policy::Policy;
use crate::port::store::Conflict;
use crate::rows::{self, Rows};
use crate::schema::{ColumnIndex, TableId};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The value of [`Plan::format`].
pub const FORMAT: &str = "unseed.plan/1";

/// How the names of indexes begin that are built for a run; the id of its plan follows, and a number.
pub const INDEX_PREFIX: &str = "unseed_tmp_";

/// How rows are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// The store's own checks are skipped, and the same fact is proven set by set before each commit.
    Fast,
    /// The store checks every row itself.
    Checked,
    /// Tables are emptied and the rows that stay are put back, all in one transaction that nobody can read beside.
    Rewrite,
}

/// One root as the plan keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRow {
    /// Values of the key columns as text.
    pub key: Vec<String>,
    /// Hash of the whole row as it was when planned.
    pub version: String,
}

/// The roots of one table, in the order in which they will be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootSet {
    pub table: TableId,
    pub columns: Vec<ColumnIndex>,
    pub rows: RootRows,
}

/// Roots, packed; clones share them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootRows {
    /// The values of the key, and behind them the version.
    rows: Rows,
}

impl RootRows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The same, as reports count.
    pub fn count(&self) -> u64 {
        u64::try_from(self.len()).expect("a length fits 64 bits")
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a root at the end.
    pub fn push(&mut self, mut row: RootRow) {
        row.key.push(row.version);
        self.rows.push(&row.key);
    }

    /// Adds roots as they come from a store: the values of the key, and behind them the version.
    pub fn push_joined(&mut self, row: &[String]) {
        self.rows.push(row);
    }

    /// All roots, in order.
    pub fn iter(&self) -> RootIter<'_> {
        RootIter(self.rows.iter())
    }

    /// The roots at these positions, in this order.
    ///
    /// # Panics
    /// When there is no root at one of them.
    #[must_use]
    pub fn reordered(&self, order: impl IntoIterator<Item = usize>) -> Self {
        Self { rows: self.rows.reordered(order) }
    }
}

impl FromIterator<RootRow> for RootRows {
    fn from_iter<I: IntoIterator<Item = RootRow>>(rows: I) -> Self {
        let mut all = Self::default();
        rows.into_iter().for_each(|row| all.push(row));
        all
    }
}

impl<'a> IntoIterator for &'a RootRows {
    type Item = RootRow;
    type IntoIter = RootIter<'a>;

    fn into_iter(self) -> RootIter<'a> {
        self.iter()
    }
}

/// Walks over roots.
#[derive(Debug, Clone)]
pub struct RootIter<'a>(rows::Iter<'a>);

impl Iterator for RootIter<'_> {
    type Item = RootRow;

    fn next(&mut self) -> Option<RootRow> {
        let mut key = self.0.next()?;
        let version = key.pop().unwrap_or_default();
        Some(RootRow { key, version })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for RootIter<'_> {}

impl RootSet {
    /// Leaves the first of rows with the same key.
    ///
    /// Equal keys have equal hashes, so only keys whose hash comes twice are compared: eight bytes of memory a root.
    pub fn drop_repeated(&mut self) {
        let mut hashes: Vec<u64> = self.rows.iter().map(|row| key_hash(&row.key)).collect();
        hashes.sort_unstable();
        let repeated = hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
        let repeated: HashSet<u64> = repeated.collect();
        drop(hashes);
        if repeated.is_empty() {
            return;
        }
        let mut seen = HashSet::new();
        let mut is_first =
            |row: &RootRow| !repeated.contains(&key_hash(&row.key)) || seen.insert(row.key.clone());
        self.rows = self.rows.iter().filter(|row| is_first(row)).collect();
    }
}

fn key_hash(key: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Where the keys of a plan's roots are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Keys {
    Inline(Vec<RootRow>),
    /// A JSON Lines file beside the plan, with its blake3 hash.
    File {
        file: String,
        hash: String,
    },
}

/// The roots of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots {
    /// The store they are in, where a plan spans several and it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    pub table: String,
    pub count: u64,
    /// Names of the key columns.
    pub columns: Vec<String>,
    /// How they were chosen, in words.
    pub chosen_by: String,
    pub keys: Keys,
}

/// The store a plan is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStore {
    pub store: String,
    pub kind: String,
    /// The URL without any secret, or `env:NAME`.
    pub url: String,
    pub server_version: String,
    pub schema_fingerprint: String,
}

/// What is done to the rows of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Delete,
    Detach,
    /// Entries of a derived store, named by their pattern.
    Clear,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub store: String,
    /// The table; in a derived store the pattern.
    pub table: String,
    pub action: Action,
    /// For a detach: the columns that are set to null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    pub rows: u64,
    /// Rows in the table, counted or estimated by the store, before the purge.
    pub of: u64,
    /// The references that lead here; empty for the roots.
    pub via: String,
}

/// Whether indexes are built for the time of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildIndexes {
    /// Where that saves more than a second.
    #[default]
    Auto,
    /// On every foreign key without one that the store has to look rows up by.
    Always,
    Never,
}

/// An index that is built before the first batch and dropped after the last one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunIndex {
    pub namespace: String,
    /// The table; of a partitioned one, a partition.
    pub table: String,
    pub columns: Vec<String>,
    /// Seconds that the run would take longer without it, roughly.
    pub saves_s: u64,
}

impl RunIndex {
    /// `public.users (tenant_id)`.
    pub fn on(&self) -> String {
        format!("{}.{} ({})", self.namespace, self.table, self.columns.join(", "))
    }
}

/// Something a person should know before approving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The store it is about, where a plan spans several and it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Stable word, e.g. `missing-fk-index`.
    pub id: String,
    pub table: String,
    pub says: String,
    /// Seconds it will cost, where that is the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_s: Option<u64>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub format: String,
    pub id: String,
    pub digest: String,
    pub created_at: String,
    pub created_by: String,
    pub stores: Vec<PlanStore>,
    pub path: Path,
    /// Why this path was chosen, in words.
    pub path_reason: String,
    pub batch_rows_max: u64,
    pub policy: Policy,
    pub roots: Vec<Roots>,
    pub steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "is_auto")]
    pub build_indexes: BuildIndexes,
    /// What is built for the time of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<RunIndex>,
    pub warnings: Vec<Warning>,
    pub conflicts: Vec<Conflict>,
    /// Where a plan spans several stores: what is done in each of them, in this order. The first of `stores` is the
    /// one that the others follow from; path, policy and size of batches above are its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<Leg>,
    /// Digest of the plan that this one is a leg of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg_of: Option<String>,
}

/// What a plan does in one of several stores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    pub store: String,
    #[serde(flatten)]
    pub work: LegWork,
}

/// The two kinds of legs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "of")]
pub enum LegWork {
    /// Rows of a store with tables.
    Rows(Box<RowsLeg>),
    /// Entries of a derived store.
    Entries(EntriesLeg),
}

/// What only this store's rows need; roots, steps and warnings stand in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowsLeg {
    pub path: Path,
    pub path_reason: String,
    pub batch_rows_max: u64,
    pub policy: Policy,
    /// How its roots follow from the first store, as configured; none for the first store itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follows: Vec<String>,
}

/// What was found in a derived store; the numbers per pattern are steps of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntriesLeg {
    /// Entries looked at.
    pub seen: u64,
    /// The values that entries were found by.
    pub subjects: Vec<SubjectsSum>,
    /// What a purge would do there, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub says: Vec<String>,
}

/// Values of rows that leave, without the values: a plan travels, and they may be personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectsSum {
    pub entity: String,
    pub columns: Vec<String>,
    pub count: u64,
    /// blake3 over the sorted values.
    pub hash: String,
}

fn is_auto(choice: &BuildIndexes) -> bool {
    *choice == BuildIndexes::Auto
}

impl Plan {
    /// Computes digest and id and puts them in.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.digest = self.compute_digest();
        let hex = self.digest.trim_start_matches("blake3:");
        self.id = hex.chars().take(8).collect();
        self
    }

    /// Whether digest and id belong to the content.
    pub fn is_intact(&self) -> bool {
        let digest = self.compute_digest();
        digest == self.digest
            && digest.trim_start_matches("blake3:").starts_with(&self.id)
            && self.id.len() == 8
    }

    /// Rows that leave, over all tables.
    pub fn rows_deleted(&self) -> u64 {
        self.steps.iter().filter(|s| s.action == Action::Delete).map(|s| s.rows).sum()
    }

    /// Rows that are detached, over all tables.
    pub fn rows_detached(&self) -> u64 {
        self.steps.iter().filter(|s| s.action == Action::Detach).map(|s| s.rows).sum()
    }

    /// The name of an index of the run, by its position, without the schema, which is that of its table.
    pub fn index_name(&self, position: usize) -> String {
        format!("{INDEX_PREFIX}{}_{}", self.id, position + 1)
    }

    /// Entries that leave derived stores, over all patterns.
    pub fn entries_cleared(&self) -> u64 {
        self.steps.iter().filter(|s| s.action == Action::Clear).map(|s| s.rows).sum()
    }

    /// The store of this name.
    pub fn store(&self, name: &str) -> Option<&PlanStore> {
        self.stores.iter().find(|store| store.store == name)
    }

    /// Whether it is about several stores, or about one that others follow from.
    pub fn has_legs(&self) -> bool {
        !self.legs.is_empty()
    }

    /// The leg in a store, as a plan of its own; the keys of its roots are not filled in.
    fn bare_leg(&self, leg: &Leg) -> Option<Self> {
        let LegWork::Rows(rows) = &leg.work else { return None };
        let is_first = self.stores.first().is_some_and(|first| first.store == leg.store);
        let here = |store: &Option<String>| match store {
            Some(name) => *name == leg.store,
            None => is_first,
        };
        let roots = self.roots.iter().filter(|roots| here(&roots.store));
        let warnings = self.warnings.iter().filter(|warning| here(&warning.store));
        Some(Self {
            id: String::new(),
            digest: String::new(),
            stores: self.stores.iter().filter(|store| store.store == leg.store).cloned().collect(),
            path: rows.path,
            path_reason: rows.path_reason.clone(),
            batch_rows_max: rows.batch_rows_max,
            policy: rows.policy.clone(),
            roots: roots.map(|roots| Roots { store: None, ..roots.clone() }).collect(),
            steps: self.steps.iter().filter(|step| step.store == leg.store).cloned().collect(),
            warnings: warnings.map(|warning| Warning { store: None, ..warning.clone() }).collect(),
            legs: Vec::new(),
            leg_of: Some(self.digest.clone()),
            ..self.clone()
        })
    }

    /// The leg in a store of rows, as a plan of its own, and which of the roots are its.
    pub(crate) fn leg(&self, store: &str) -> Option<(Self, Vec<usize>)> {
        let leg = self.legs.iter().find(|leg| leg.store == store)?;
        let bare = self.bare_leg(leg)?;
        let first = self.stores.first().map(|first| first.store.as_str());
        let of = |roots: &Roots| roots.store.as_deref().or(first) == Some(store);
        let positions = (0..self.roots.len()).filter(|n| of(&self.roots[*n])).collect();
        Some((bare, positions))
    }

    /// Number of roots.
    pub fn root_count(&self) -> u64 {
        self.roots.iter().map(|r| r.count).sum()
    }

    fn compute_digest(&self) -> String {
        let mut bare = self.clone();
        bare.id = String::new();
        bare.digest = String::new();
        let bytes = serde_json::to_vec(&bare).expect("a plan is plain data, which JSON can always hold");
        format!("blake3:{}", blake3::hash(&bytes).to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_roots_with_the_same_key_the_first_is_left() {
        let root = |key: &[&str], version: &str| RootRow {
            key: key.iter().map(|value| (*value).to_owned()).collect(),
            version: version.to_owned(),
        };
        let rows =
            [root(&["1", "x"], "a"), root(&["2", "x"], "b"), root(&["1", "x"], "c"), root(&["1x", ""], "d")];
        let mut set =
            RootSet { table: TableId(0), columns: vec![0, 1], rows: rows.iter().cloned().collect() };
        set.drop_repeated();
        let left: Vec<String> = set.rows.iter().map(|row| row.version).collect();
        assert_eq!(left, ["a", "b", "d"]);
        assert_eq!(set.rows.iter().next(), Some(rows[0].clone()));
    }
}
