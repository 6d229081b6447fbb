//! The shape of a store as its catalog describes it: tables, columns, keys, references, triggers.
//!
//! A store adapter fills this once per command; everything that decides (closure, plan, detection of
//! entities) reads it and nothing else. Tables and references are addressed by their index, so that a
//! [`Schema`] is plain data and two inspections of one database compare equal.
//!
//! Invariants
//! - tables are ordered by name and references by child, columns and name, since digests depend on it;
//! - a partitioned table is one [`Table`] with several [`Part`]s; a partition never stands alone;
//! - column lists hold indexes into the `columns` of the table they speak of.
//!
//! Not here: how a catalog is read (`io::store`), which references are followed (`closure`).

use serde::{Deserialize, Serialize};
use std::fmt;

/// Index of a table in [`Schema::tables`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableId(pub usize);

/// Index of a reference in [`Schema::references`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReferenceId(pub usize);

/// Index of a column within its table.
pub type ColumnIndex = usize;

/// Name of a relation: the namespace it stands in and its own name, both exactly as the catalog has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// PostgreSQL schema, MySQL database, or `main` in SQLite.
    pub namespace: String,
    pub name: String,
}

impl TableName {
    /// A name from its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for TableName {
    /// `namespace.name`; SQLite's `main` is left out, since its users never write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace == "main" {
            f.write_str(&self.name)
        } else {
            write!(f, "{}.{}", self.namespace, self.name)
        }
    }
}

/// The whole shape of one store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    pub tables: Vec<Table>,
    pub references: Vec<Reference>,
}

/// One table that holds rows (views and foreign tables are left out).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub name: TableName,
    pub columns: Vec<Column>,
    /// Column sets that are unique and never null; the primary key, if there is one, is first.
    pub keys: Vec<Vec<ColumnIndex>>,
    /// Whether `keys[0]` is the declared primary key.
    pub has_primary_key: bool,
    /// Where the rows physically live: the table itself, or the leaf partitions of a partitioned one.
    pub parts: Vec<Part>,
    pub partitioned: bool,
    pub checks: Vec<Check>,
    pub effects: Vec<Effect>,
    pub visibility: Visibility,
    /// The store's own estimate of the number of rows.
    pub rows_estimate: u64,
}

/// A physical relation that holds rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub name: TableName,
    /// The store's own number for it (PostgreSQL: the relation's oid); 0 where there is none.
    pub handle: u64,
}

/// What a column holds, as far as detection and comparison need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    Text,
    Integer,
    Number,
    Boolean,
    Uuid,
    Time,
    Json,
    Bytes,
    Other,
}

/// How a value of an identity column comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    Always,
    ByDefault,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// The type as the store prints it, e.g. `character varying(20)`.
    pub type_name: String,
    pub kind: ColumnKind,
    pub nullable: bool,
    /// Computed by the store from other columns; never written by a restore.
    pub generated: bool,
    pub identity: Option<Identity>,
    /// The ascending sequence that feeds it, quoted as the store expects it: owned by the column or used by its default.
    pub sequence: Option<String>,
    /// The default as SQL text.
    pub default: Option<String>,
}

/// A CHECK constraint, as SQL text over unqualified column names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub columns: Vec<ColumnIndex>,
    pub expression: String,
    /// False for NOT VALID checks: rows that fail it may exist, and such a row bears no change at all.
    pub validated: bool,
}

/// Code that the store runs when rows are removed or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    pub name: String,
    pub kind: EffectKind,
    /// Fires when a row is deleted.
    pub on_delete: bool,
    /// Fires when a row is updated (a detached reference is an update).
    pub on_update: bool,
    /// Fires when a row is inserted (a restore inserts).
    pub on_insert: bool,
    /// Fires even where the role skips triggers (PostgreSQL: `ENABLE ALWAYS` or `ENABLE REPLICA`).
    pub always: bool,
    /// The definition, for people.
    pub definition: String,
}

/// What kind of code an [`Effect`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    Trigger,
    Rule,
}

/// What a published table lacks when its server could not tell subscribers which rows were deleted, and so deletes none.
pub const PUBLISHED_DELETES: &str = "a replica identity for its published deletes";
/// The same for updates.
pub const PUBLISHED_UPDATES: &str = "a replica identity for its published updates";

/// Whether everything in a table can be seen and removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    Full,
    /// Row-level security applies to the connected role: rows may be hidden.
    RowSecurity,
    /// Privileges that the connected role lacks, e.g. `SELECT`, and what else stands in the way.
    Denied(Vec<String>),
}

/// What the store does to referencing rows when the referenced row goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

impl OnDelete {
    /// The SQL words for it.
    pub fn sql(self) -> &'static str {
        match self {
            Self::NoAction => "NO ACTION",
            Self::Restrict => "RESTRICT",
            Self::Cascade => "CASCADE",
            Self::SetNull => "SET NULL",
            Self::SetDefault => "SET DEFAULT",
        }
    }
}

/// Where a reference is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A foreign key of the catalog.
    Declared,
    /// A `[[references]]` entry of the configuration.
    Configured,
}

/// A link from rows of one table to rows of another. Columns of unlike types are compared as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Constraint name, or the configured `from` text.
    pub name: String,
    pub child: TableId,
    /// Set when the key belongs to one partition only: handles of the parts whose rows refer.
    pub child_parts: Option<Vec<u64>>,
    pub child_columns: Vec<ColumnIndex>,
    pub parent: TableId,
    /// Set when the key points at one partition: handles of the parts whose rows can be meant.
    pub parent_parts: Option<Vec<u64>>,
    pub parent_columns: Vec<ColumnIndex>,
    pub on_delete: OnDelete,
    /// Columns that SET NULL or SET DEFAULT writes (PostgreSQL 15 can name fewer than all).
    pub set_columns: Vec<ColumnIndex>,
    /// MATCH FULL: all columns are null, or none.
    pub match_full: bool,
    pub deferrable: bool,
    /// False for NOT VALID keys and for configured references: orphans may exist.
    pub validated: bool,
    /// Whether an index on the child side starts with the referencing columns.
    pub indexed: bool,
    pub origin: Origin,
    /// Polymorphic references count only where these columns hold these values.
    pub when: Vec<(ColumnIndex, String)>,
}

impl Schema {
    /// The table behind an id that came from this schema.
    pub fn table(&self, id: TableId) -> &Table {
        &self.tables[id.0]
    }

    /// The reference behind an id that came from this schema.
    pub fn reference(&self, id: ReferenceId) -> &Reference {
        &self.references[id.0]
    }

    /// Whether a reference leads to columns that are a key, so that no two rows share what it refers to.
    pub fn leads_to_key(&self, r: &Reference) -> bool {
        let is_key = |key: &Vec<ColumnIndex>| {
            key.len() == r.parent_columns.len() && key.iter().all(|c| r.parent_columns.contains(c))
        };
        self.table(r.parent).keys.iter().any(is_key)
    }

    /// Ids of all tables.
    pub fn table_ids(&self) -> impl Iterator<Item = TableId> + use<> {
        (0..self.tables.len()).map(TableId)
    }

    /// Ids of all references.
    pub fn reference_ids(&self) -> impl Iterator<Item = ReferenceId> + use<> {
        (0..self.references.len()).map(ReferenceId)
    }

    /// Finds a table by what a person typed: `name` or `namespace.name`, first as spelled, then without
    /// regard to case. Returns all that fit, so that the caller can say when a name is ambiguous.
    pub fn find(&self, typed: &str) -> Vec<TableId> {
        let plain = typed.replace('"', "");
        // A name may hold quotes of its own, so what was typed counts before what was perhaps meant.
        let exact = |t: &Table| {
            [typed, &plain].iter().any(|name| t.name.name == **name || t.name.to_string() == **name)
        };
        let folded = |t: &Table| {
            t.name.name.eq_ignore_ascii_case(&plain) || t.name.to_string().eq_ignore_ascii_case(&plain)
        };
        let pick = |test: &dyn Fn(&Table) -> bool| -> Vec<TableId> {
            self.table_ids().filter(|id| test(self.table(*id))).collect()
        };
        let found = pick(&exact);
        if found.is_empty() { pick(&folded) } else { found }
    }

    /// `child.column → parent.column (RULE)`, for people.
    pub fn describe(&self, id: ReferenceId) -> String {
        let r = self.reference(id);
        let rule = match r.origin {
            Origin::Declared => r.on_delete.sql().to_owned(),
            Origin::Configured => "configured".to_owned(),
        };
        format!(
            "{}.{} → {}.{} ({rule})",
            self.table(r.child).name.name,
            self.table(r.child).column_names(&r.child_columns),
            self.table(r.parent).name.name,
            self.table(r.parent).column_names(&r.parent_columns),
        )
    }

    /// blake3 over everything that a plan depends on: names, columns, keys, references, triggers, checks.
    /// Row estimates, handles and privileges are left out, since they change without meaning anything.
    pub fn fingerprint(&self) -> String {
        let mut plain = self.clone();
        for table in &mut plain.tables {
            table.rows_estimate = 0;
            table.visibility = Visibility::Full;
            for part in &mut table.parts {
                part.handle = 0;
            }
        }
        for reference in &mut plain.references {
            reference.indexed = false;
            reference.parent_parts = reference.parent_parts.as_ref().map(|_| Vec::new());
            reference.child_parts = reference.child_parts.as_ref().map(|_| Vec::new());
        }
        let bytes = serde_json::to_vec(&plain).expect("a schema is plain data, which JSON can always hold");
        format!("blake3:{}", blake3::hash(&bytes).to_hex())
    }
}

impl Table {
    /// Index of a column by name, as spelled first, then without regard to case.
    pub fn column(&self, name: &str) -> Option<ColumnIndex> {
        self.columns
            .iter()
            .position(|c| c.name == name)
            .or_else(|| self.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name)))
    }

    /// The columns that address a row for people and files: the primary key, else the first unique key.
    pub fn key(&self) -> Option<&[ColumnIndex]> {
        self.keys.first().map(Vec::as_slice)
    }

    /// `a` or `(a, b)`.
    pub fn column_names(&self, columns: &[ColumnIndex]) -> String {
        let names: Vec<&str> = columns.iter().map(|c| self.columns[*c].name.as_str()).collect();
        match names.as_slice() {
            [one] => (*one).to_owned(),
            several => format!("({})", several.join(", ")),
        }
    }

    /// Columns that an insert may write: all but the generated ones.
    pub fn stored_columns(&self) -> Vec<ColumnIndex> {
        (0..self.columns.len()).filter(|c| !self.columns[*c].generated).collect()
    }
}
