//! A plan together with the keys of its roots, wherever they are kept.
//!
//! Few keys stand in the plan itself; many stand in JSON Lines files beside it, named after their hash, so
//! that a plan stays readable. Whoever works with a plan needs both, checked against each other: a
//! [`WholePlan`] can only come from [`WholePlan::seal`] or [`WholePlan::load`].
//!
//! Invariants
//! - the digest of the plan is right, and each key file has the hash and the count that the plan states;
//! - keys keep their order, since batches are told by positions in it.
//!
//! Not here: reading and writing the files (the command line), what the keys are used for (`engine`).

use crate::fault::{Category, Fault};
use crate::plan::{FORMAT, Keys, Plan, RootRow, RootRows, RootSet, Roots};
use crate::schema::{Schema, TableId};

/// Up to this many roots of one table stand in the plan itself.
pub const INLINE_ROWS_MAX: usize = 1000;

/// A plan and all its keys, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct WholePlan {
    plan: Plan,
    /// In the order of `plan.roots`.
    keys: Vec<RootRows>,
}

/// A file of keys that belongs beside a plan.
#[derive(Debug, Clone, Copy)]
pub struct KeyFile<'a> {
    pub name: &'a str,
    rows: &'a RootRows,
}

/// Reads the file of this name and hands over its lines without their line feeds, none that is empty; a fault of whoever
/// takes them ends it.
pub type ReadLines<'a> =
    dyn FnMut(&str, &mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> + 'a;

impl KeyFile<'_> {
    /// The lines of the file, each with its line feed.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(|row| line(&row))
    }
}

impl WholePlan {
    /// Puts the keys into the plan or beside it, then computes digest and id.
    pub fn seal(mut plan: Plan, keys: Vec<RootRows>, inline_rows_max: usize) -> Self {
        assert_eq!(plan.roots.len(), keys.len(), "a plan has one list of keys per root table");
        for (roots, rows) in plan.roots.iter_mut().zip(&keys) {
            roots.count = rows.count();
            roots.keys = if rows.len() <= inline_rows_max {
                Keys::Inline(rows.iter().collect())
            } else {
                let hash = hash(rows);
                let file =
                    format!("keys-{}.jsonl", hash.trim_start_matches("blake3:").get(..16).unwrap_or(""));
                Keys::File { file, hash }
            };
        }
        Self { plan: plan.sealed(), keys }
    }

    /// Checks a plan that was read, and reads the key files it names with `read`, which hands over line by line.
    ///
    /// # Errors
    /// An archive fault when the digest, the hash of a file or a count does not fit; what `read` returns.
    pub fn load(plan: Plan, read: &mut ReadLines<'_>) -> Result<Self, Fault> {
        if plan.format != FORMAT {
            let message = format!("plan `{}` has the format `{}`, not `{FORMAT}`", plan.id, plan.format);
            return Err(Fault::usage(message).hint("make the plan again with `unseed plan`"));
        }
        if !plan.is_intact() {
            return Err(corrupt(format!("plan `{}` does not match its digest", plan.id)));
        }
        let mut keys = Vec::new();
        for roots in &plan.roots {
            let rows = match &roots.keys {
                Keys::Inline(rows) => rows.iter().cloned().collect(),
                Keys::File { file, hash: expected } => {
                    let mut rows = RootRows::default();
                    read(file, &mut |line| {
                        rows.push(parse(line, file)?);
                        Ok(())
                    })?;
                    if hash(&rows) != *expected {
                        return Err(corrupt(format!(
                            "key file `{file}` does not match the hash in its plan"
                        )));
                    }
                    rows
                }
            };
            if rows.count() != roots.count {
                return Err(corrupt(format!("plan `{}` has not the roots it counts", plan.id)));
            }
            keys.push(rows);
        }
        Ok(Self { plan, keys })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is done to the rows of one of several stores, as a plan of its own; it names this plan as the one that it
    /// is a leg of. `None` where the plan has no such leg, or it is one of entries.
    pub fn leg(&self, store: &str) -> Option<Self> {
        let (plan, positions) = self.plan.leg(store)?;
        let keys = positions.into_iter().map(|n| self.keys[n].clone()).collect();
        Some(Self::seal(plan, keys, INLINE_ROWS_MAX))
    }

    /// Puts plans for single stores into one; `plan` says all but roots, which are taken from the parts.
    pub fn join(plan: Plan, parts: Vec<(Option<String>, Self)>) -> Self {
        let mut joined = Plan { roots: Vec::new(), ..plan };
        let mut keys = Vec::new();
        for (store, part) in parts {
            let roots = part.plan.roots.into_iter();
            joined.roots.extend(roots.map(|roots| Roots { store: store.clone(), ..roots }));
            keys.extend(part.keys);
        }
        Self::seal(joined, keys, INLINE_ROWS_MAX)
    }

    /// The roots of each table with their keys.
    pub fn targets(&self) -> impl Iterator<Item = (&Roots, &RootRows)> {
        self.plan.roots.iter().zip(&self.keys)
    }

    /// Files that must be written beside the plan.
    pub fn files(&self) -> Vec<KeyFile<'_>> {
        let pairs = self.plan.roots.iter().zip(&self.keys);
        pairs
            .filter_map(|(roots, rows)| match &roots.keys {
                Keys::Inline(_) => None,
                Keys::File { file, .. } => Some(KeyFile { name: file, rows }),
            })
            .collect()
    }

    /// The root tables, as ids of this schema.
    ///
    /// # Errors
    /// A stale fault that names the table that is gone.
    pub fn root_tables(&self, schema: &Schema) -> Result<Vec<TableId>, Fault> {
        self.plan.root_tables(schema)
    }

    /// The roots, as ids and column indexes of this schema.
    ///
    /// # Errors
    /// A stale fault that names the table or column that is gone.
    pub fn root_sets(&self, schema: &Schema) -> Result<Vec<RootSet>, Fault> {
        let mut sets = Vec::new();
        for ((roots, rows), table) in self.plan.roots.iter().zip(&self.keys).zip(self.root_tables(schema)?) {
            let mut columns = Vec::new();
            for name in &roots.columns {
                let found = schema.table(table).columns.iter().position(|c| c.name == *name);
                columns.push(found.ok_or_else(|| gone(&format!("column `{name}` of `{}`", roots.table)))?);
            }
            sets.push(RootSet { table, columns, rows: rows.clone() });
        }
        Ok(sets)
    }
}

impl Plan {
    /// The root tables, as ids of this schema.
    ///
    /// # Errors
    /// A stale fault that names the table that is gone.
    pub fn root_tables(&self, schema: &Schema) -> Result<Vec<TableId>, Fault> {
        let find = |name: &str| {
            let found = schema.table_ids().find(|t| schema.table(*t).name.to_string() == name);
            found.ok_or_else(|| gone(&format!("table `{name}`")))
        };
        self.roots.iter().map(|roots| find(&roots.table)).collect()
    }
}

fn gone(what: &str) -> Fault {
    Fault::new(Category::Stale, format!("{what} of the plan is gone"))
        .hint("make a new plan with `unseed plan`")
}

fn corrupt(message: String) -> Fault {
    Fault::new(Category::Archive, message).hint("make the plan again with `unseed plan`")
}

fn line(row: &RootRow) -> String {
    let mut text = serde_json::to_string(row).expect("a root is plain text, which JSON can always hold");
    text.push('\n');
    text
}

fn hash(rows: &RootRows) -> String {
    let mut hasher = blake3::Hasher::new();
    for row in rows {
        hasher.update(line(&row).as_bytes());
    }
    format!("blake3:{}", hasher.finalize().to_hex())
}

fn parse(line: &[u8], file: &str) -> Result<RootRow, Fault> {
    serde_json::from_slice(line)
        .map_err(|error| corrupt(format!("key file `{file}` cannot be read: {error}")))
}
