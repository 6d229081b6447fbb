//! Random schemas with rows and roots: every shape of reference that a purge must get right.
//!
//! A [`Case`] is a neutral model. It can be rendered as SQL for PostgreSQL and for SQLite, and loaded into a
//! memory store; `oracle` says what a purge of its roots must leave behind.
//!
//! Shapes: self references, cycles (of several tables, NOT NULL too), composite keys, keys that repeat from
//! scope to scope, unique targets (nullable too), link tables, every ON DELETE rule, SET NULL on NOT NULL,
//! MATCH FULL, checks over several references, tables without a key with equal rows, partitions and keys of
//! one partition only, keys that were never validated with orphans, odd names and odd texts. What a table has
//! beyond that and no purge needs to know (its `Dress`) is drawn apart, for the renderers.
//!
//! Invariants
//! - the same seed gives the same case, on every machine;
//! - all rows satisfy all constraints, except that keys that are not validated may have orphans;
//! - what a SET DEFAULT points at is not among the rows that leave.

mod dice;
mod dress;
mod fill;
mod generate;
mod load;
mod sql;

pub use dice::Dice;
pub use generate::case;

use unseed_core::schema::OnDelete;

/// A schema with rows, and the rows to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub seed: u64,
    pub model: Model,
    /// Table numbers, and positions of rows in them.
    pub roots: Vec<(usize, Vec<usize>)>,
}

/// Tables and references.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    pub tables: Vec<TableModel>,
    pub references: Vec<ReferenceModel>,
}

/// One table with its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableModel {
    pub name: String,
    pub columns: Vec<ColumnModel>,
    /// Empty for a table without a key.
    pub primary_key: Vec<usize>,
    pub uniques: Vec<Vec<usize>>,
    pub checks: Vec<CheckModel>,
    pub partitions: Option<PartitionModel>,
    pub rows: Vec<Vec<Option<String>>>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Integer,
    Text,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnModel {
    pub name: String,
    pub kind: Kind,
    pub nullable: bool,
    /// The default as a value.
    pub default: Option<String>,
}

/// A check over nullable columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckModel {
    AnySet(Vec<usize>),
    OneSet(Vec<usize>),
    AllOrNone(Vec<usize>),
}

/// Partitioning by the values of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionModel {
    pub column: usize,
    /// Values per partition.
    pub values: Vec<Vec<String>>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceModel {
    pub name: String,
    pub child: usize,
    pub columns: Vec<usize>,
    pub parent: usize,
    pub parent_columns: Vec<usize>,
    pub on_delete: OnDelete,
    /// Columns that SET NULL names, where it names fewer than all.
    pub set_columns: Option<Vec<usize>>,
    pub match_full: bool,
    pub deferrable: bool,
    pub not_valid: bool,
    pub indexed: bool,
    /// The key belongs to this partition of the child only.
    pub child_partition: Option<usize>,
    /// The key points at this partition of the parent only.
    pub parent_partition: Option<usize>,
}

impl TableModel {
    /// The partition that a row lies in.
    pub fn partition_of(&self, row: &[Option<String>]) -> Option<usize> {
        let partitions = self.partitions.as_ref()?;
        let value = row[partitions.column].as_ref()?;
        partitions.values.iter().position(|values| values.contains(value))
    }
}

impl Case {
    /// The case as SQLite understands it: MATCH FULL means nothing there, SET NULL names no columns, and
    /// there are no partitions, so keys of one partition are left out. Same rows, same roots.
    #[must_use]
    pub fn for_sqlite(&self) -> Self {
        let mut case = self.clone();
        for table in &mut case.model.tables {
            table.partitions = None;
        }
        case.model.references.retain(|reference| reference.child_partition.is_none());
        for reference in &mut case.model.references {
            reference.match_full = false;
            reference.set_columns = None;
            reference.parent_partition = None;
        }
        case
    }

    /// The case as MariaDB understands it: beyond what SQLite lacks, no SET DEFAULT, no SET NULL where a column may
    /// not be null or is checked, and every table has a key, since rows without one are refused. Same roots.
    #[must_use]
    pub fn for_mariadb(&self) -> Self {
        let mut case = self.for_sqlite();
        for table in &mut case.model.tables {
            if !table.primary_key.is_empty() {
                continue;
            }
            table.primary_key = vec![table.columns.len()];
            let (name, kind) = ("own key".to_owned(), Kind::Integer);
            table.columns.push(ColumnModel { name, kind, nullable: false, default: None });
            table.rows.iter_mut().zip(1..).for_each(|(row, n)| row.push(Some(n.to_string())));
        }
        for reference in &mut case.model.references {
            let columns = &case.model.tables[reference.child].columns;
            let nullable = reference.columns.iter().all(|c| columns[*c].nullable);
            match reference.on_delete {
                OnDelete::SetDefault => reference.on_delete = OnDelete::Restrict,
                OnDelete::SetNull if !nullable => reference.on_delete = OnDelete::Cascade,
                OnDelete::SetNull | OnDelete::Cascade | OnDelete::NoAction | OnDelete::Restrict => {}
            }
        }
        // A check may not name a column that a key sets to null.
        for (number, table) in case.model.tables.iter_mut().enumerate() {
            let emptied = |column: &usize| {
                let mut own = case.model.references.iter().filter(|r| r.child == number);
                own.any(|r| r.on_delete == OnDelete::SetNull && r.columns.contains(column))
            };
            table.checks.retain(|check| match check {
                CheckModel::AnySet(columns)
                | CheckModel::OneSet(columns)
                | CheckModel::AllOrNone(columns) => !columns.iter().any(emptied),
            });
        }
        case
    }

    /// The roots as key columns and key values, by table name.
    pub fn root_keys(&self) -> Vec<(String, Vec<String>, Vec<Vec<String>>)> {
        let mut roots = Vec::new();
        for (number, rows) in &self.roots {
            let table = &self.model.tables[*number];
            let columns = table.primary_key.iter().map(|c| table.columns[*c].name.clone()).collect();
            let value = |row: usize, c: &usize| table.rows[row][*c].clone().expect("keys are never null");
            let keys =
                rows.iter().map(|row| table.primary_key.iter().map(|c| value(*row, c)).collect()).collect();
            roots.push((table.name.clone(), columns, keys));
        }
        roots
    }

    /// All rows as comparable text, by table name, sorted.
    pub fn content(&self) -> std::collections::BTreeMap<String, Vec<String>> {
        let mut content = std::collections::BTreeMap::new();
        for table in &self.model.tables {
            let mut rows: Vec<String> = table.rows.iter().map(|row| row_text(row)).collect();
            rows.sort();
            content.insert(table.name.clone(), rows);
        }
        content
    }
}

impl Case {
    /// What a client printed for `postgres_content_sql` or `sqlite_content_sql`, as [`Case::content`] has it.
    pub fn read_content(&self, printed: &str) -> std::collections::BTreeMap<String, Vec<String>> {
        let empty = self.model.tables.iter().map(|table| (table.name.clone(), Vec::new()));
        let mut content: std::collections::BTreeMap<String, Vec<String>> = empty.collect();
        for (table, row) in printed.lines().filter_map(|line| line.split_once('\t')) {
            content.entry(table.to_owned()).or_default().push(row.to_owned());
        }
        content.values_mut().for_each(|rows| rows.sort());
        content
    }
}

/// A row as comparable text: a JSON list of the columns' values as text, null for null.
pub fn row_text(values: &[Option<String>]) -> String {
    serde_json::to_string(values).expect("text is always JSON")
}
