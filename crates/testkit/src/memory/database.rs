//! The rows of a memory store, shared by its connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use unseed_core::port::store::{Outcome, Server};
use unseed_core::schema::{ColumnIndex, Schema, TableId};

/// One row, with an address of its own that survives changes of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: u64,
    /// Handle of the part that it lies in.
    pub part: u64,
    pub values: Vec<Option<String>>,
}

/// Tells which part a row belongs to, by the value of one column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Router {
    pub column: ColumnIndex,
    pub parts: BTreeMap<String, u64>,
}

/// Schema and rows.
#[derive(Debug, Clone)]
pub struct Database {
    pub schema: Schema,
    pub server: Server,
    pub tables: Vec<Vec<Row>>,
    pub routers: BTreeMap<TableId, Router>,
    pub(super) next_id: u64,
    pub(super) next_token: u64,
    pub(super) outcomes: BTreeMap<String, Outcome>,
}

impl Database {
    /// An empty database of this shape.
    pub fn new(schema: Schema) -> Self {
        let tables = vec![Vec::new(); schema.tables.len()];
        let server = Server {
            kind: "memory".to_owned(),
            version: "1".to_owned(),
            location: "memory".to_owned(),
            may_skip_checks: true,
            read_only: false,
        };
        let routers = BTreeMap::new();
        Self { schema, server, tables, routers, next_id: 1, next_token: 1, outcomes: BTreeMap::new() }
    }

    /// Adds a row.
    pub fn insert(&mut self, table: TableId, values: Vec<Option<String>>) {
        let row = self.row(table, values);
        self.tables[table.0].push(row);
    }

    pub(super) fn row(&mut self, table: TableId, values: Vec<Option<String>>) -> Row {
        let part = self.part_of(table, &values);
        let id = self.next_id;
        self.next_id += 1;
        Row { id, part, values }
    }

    fn part_of(&self, table: TableId, values: &[Option<String>]) -> u64 {
        let routed = self.routers.get(&table).and_then(|router| {
            let value = values[router.column].as_ref()?;
            router.parts.get(value).copied()
        });
        routed.unwrap_or_else(|| self.schema.table(table).parts.first().map_or(0, |part| part.handle))
    }

    /// Everything as sorted text, by table name, for comparing two databases.
    pub fn content(&self) -> BTreeMap<String, Vec<String>> {
        let mut content = BTreeMap::new();
        for (id, rows) in self.schema.table_ids().zip(&self.tables) {
            let mut lines: Vec<String> = rows.iter().map(|row| text(&row.values)).collect();
            lines.sort();
            content.insert(self.schema.table(id).name.to_string(), lines);
        }
        content
    }
}

/// A row as comparable text: a JSON list of its values.
pub(crate) fn text(values: &[Option<String>]) -> String {
    serde_json::to_string(values).expect("text is always JSON")
}

/// A handle on a database; connections are made from it.
#[derive(Debug, Clone)]
pub struct MemDb(Arc<Mutex<Database>>);

impl MemDb {
    /// Shares a database.
    pub fn new(database: Database) -> Self {
        Self(Arc::new(Mutex::new(database)))
    }

    /// The database itself, for tests to look at and to change behind a run's back.
    pub fn lock(&self) -> MutexGuard<'_, Database> {
        self.0.lock().expect("no test panics while it holds the rows")
    }

    /// See [`Database::content`].
    pub fn content(&self) -> BTreeMap<String, Vec<String>> {
        self.lock().content()
    }
}
