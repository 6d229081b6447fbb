//! How SQLite spells addresses and temporary tables.
//!
//! A row is addressed by its rowid, or by its quoted primary key in a table without one. There is no row
//! version: the caller holds the write lock and compares `data_version` instead.

use crate::store::sql::dialect::Dialect;
use unseed_core::port::store::{SectionHead, SectionKind};
use unseed_core::schema::{Column, Table, TableId};

/// SQLite.
#[derive(Debug, Clone, Copy)]
pub(super) struct SqliteDialect;

/// Tables without a rowid carry this handle.
pub(super) const WITHOUT_ROWID: u64 = 1;

/// Number of a row of a staging table.
const STAGING_ROW: &str = "unseed_row";

/// The name by which the rowid of a table can be reached, if all of them are not taken by columns.
pub(super) fn rowid(table: &Table) -> Option<&'static str> {
    if table.parts.iter().any(|part| part.handle == WITHOUT_ROWID) {
        return None;
    }
    let taken = |name: &str| table.columns.iter().any(|c| c.name.eq_ignore_ascii_case(name));
    ["rowid", "_rowid_", "oid"].into_iter().find(|name| !taken(name))
}

impl Dialect for SqliteDialect {
    fn literal(&self, text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }

    fn relation(&self, table: &Table) -> String {
        format!("main.{}", self.quote(&table.name.name))
    }

    fn temp(&self, name: &str) -> String {
        format!("temp.{name}")
    }

    fn address(&self) -> &'static [&'static str] {
        &["tid"]
    }

    fn address_of(&self, table: &Table, alias: &str) -> Vec<String> {
        match rowid(table) {
            Some(name) => vec![format!("{alias}.{name}")],
            None => {
                let key = table.key().unwrap_or_default();
                let parts: Vec<String> = key
                    .iter()
                    .map(|c| format!("quote({alias}.{})", self.quote(&table.columns[*c].name)))
                    .collect();
                vec![if parts.is_empty() { "NULL".to_owned() } else { parts.join(" || ',' || ") }]
            }
        }
    }

    fn address_literal(&self, value: &str) -> String {
        if value.parse::<i64>().is_ok() { value.to_owned() } else { self.literal(value) }
    }

    fn version_of(&self, _table: &Table, _alias: &str) -> Option<String> {
        None
    }

    fn text(&self, expression: &str) -> String {
        // Bytes are written as a literal, since they need not be text; `load` reads that back.
        format!(
            "CASE typeof({expression}) WHEN 'blob' THEN quote({expression}) ELSE CAST({expression} AS TEXT) END"
        )
    }

    fn least(&self, expressions: &[String]) -> String {
        match expressions {
            [one] => one.clone(),
            several => {
                let all: Vec<String> =
                    several.iter().map(|e| format!("coalesce({e}, 9223372036854775807)")).collect();
                format!("min({})", all.join(", "))
            }
        }
    }

    fn null_of(&self, _column: &Column) -> String {
        "NULL".to_owned()
    }

    fn row_hash(&self, table: &Table, alias: &str) -> String {
        // Functions take at most 127 arguments here, so wide rows are hashed in pieces.
        let columns: Vec<String> =
            table.columns.iter().map(|c| format!("{alias}.{}", self.quote(&c.name))).collect();
        let pieces: Vec<String> =
            columns.chunks(100).map(|piece| format!("unseed_hash({})", piece.join(", "))).collect();
        match pieces.as_slice() {
            [one] => one.clone(),
            several => format!("unseed_hash({})", several.join(", ")),
        }
    }

    fn digest_of(&self, hash: &str) -> String {
        format!("unseed_digest({hash})")
    }

    fn comparable(&self, _a: &Column, _b: &Column) -> bool {
        true
    }

    /// A key compares as its parent column does: with its affinity and its collation. The collation is always
    /// named, since that of the child would win otherwise.
    fn refers(&self, (left, child): (&str, &Column), (right, parent): (&str, &Column)) -> String {
        let (from, to) = (affinity(&child.type_name), affinity(&parent.type_name));
        let is_number = ["INTEGER", "REAL", "NUMERIC"].contains(&to);
        // A plus takes the affinity off. Where the parent holds numbers, its own wins anyway.
        let bare = if is_number || from == to || from.is_empty() { "" } else { "+" };
        let collation =
            if is_number { String::new() } else { format!(" COLLATE {}", self.collation_of(parent)) };
        format!("{bare}{left} = {right}{collation}")
    }

    fn in_parts(&self, _x: &str, _handles: &[u64]) -> String {
        "true".to_owned()
    }

    fn key_in_parts(&self, _k: &str, _handles: &[u64]) -> String {
        "true".to_owned()
    }

    fn staging(&self, _id: TableId, head: &SectionHead) -> String {
        format!("temp.{}", self.quote(&section_table(head)))
    }

    fn create_staging(&self, table: &Table, name: &str, columns: &[String]) -> String {
        let typed = |column: &String| {
            let known = table.columns.iter().find(|known| known.name == *column);
            format!("{} {}", self.quote(column), known.map_or("", |known| affinity(&known.type_name)))
        };
        // The table may have columns that hide the rowid.
        let columns: Vec<String> = columns.iter().map(typed).collect();
        format!("CREATE TABLE {name} ({STAGING_ROW} INTEGER PRIMARY KEY, {})", columns.join(", "))
    }

    fn staging_row(&self, alias: &str) -> String {
        format!("{alias}.{STAGING_ROW}")
    }

    fn same(&self, a: &str, b: &str) -> String {
        format!("{a} IS {b}")
    }

    fn alike(&self, a: &str, b: &str) -> String {
        format!("({a} COLLATE BINARY IS {b} AND typeof({a}) = typeof({b}))")
    }

    fn group(&self, expression: &str) -> String {
        format!("{expression} COLLATE BINARY, typeof({expression})")
    }

    fn insert_staged(&self, table: &Table, columns: &[String], staging: &str) -> String {
        let columns: Vec<String> = columns.iter().map(|c| self.quote(c)).collect();
        let columns = columns.join(", ");
        format!("INSERT INTO {} ({columns}) SELECT {columns} FROM {staging} s", self.relation(table))
    }

    fn analyze(&self, temp: &str) -> String {
        format!("ANALYZE {temp}")
    }

    fn tag_of(&self, ordinal: &str, group: u64) -> String {
        format!("({ordinal} / {group})")
    }
}

/// A type with the affinity of this one. Values that come from such a column are not changed by it, and are
/// compared as SQLite compares those of the column.
fn affinity(type_name: &str) -> &'static str {
    let upper = type_name.split(COLLATE).next().unwrap_or_default().to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| upper.contains(word));
    if has(&["INT"]) {
        "INTEGER"
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        "TEXT"
    } else if upper.is_empty() || has(&["BLOB"]) || upper == "ANY" {
        // ANY has no affinity in strict tables; elsewhere it has one, which does not matter here.
        ""
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        "REAL"
    } else {
        "NUMERIC"
    }
}

/// What stands between the type of a column and its collation, if that is not the ordinary one.
pub(super) const COLLATE: &str = " COLLATE ";

impl SqliteDialect {
    fn collation_of(self, column: &Column) -> String {
        let named = column.type_name.split_once(COLLATE).map(|(_, name)| self.quote(name));
        named.unwrap_or_else(|| "BINARY".to_owned())
    }
}

/// The table that the statements of an archived section insert into; a restore creates it as a temporary
/// table, which hides the real one of the same name.
pub(super) fn section_table(head: &SectionHead) -> String {
    let table = &head.table;
    match head.kind {
        SectionKind::Rows => table.clone(),
        SectionKind::Detached => {
            // Sections of one table can have different columns.
            let old = head.columns[head.identity_columns..].join(",");
            format!("unseed_detached:{table}({old})")
        }
        SectionKind::Effect => format!("unseed_effect:{table}"),
        SectionKind::Born => format!("unseed_born:{table}"),
    }
}
