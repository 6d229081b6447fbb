//! How PostgreSQL spells addresses, versions and temporary tables.
//!
//! A row is addressed by `tableoid` and `ctid` and its version by `xmin`. That triple is exact for as long
//! as no table is rewritten (the caller compares relfilenodes): a slot is only reused by a newer transaction.

use crate::store::sql::dialect::Dialect;
use unseed_core::port::store::{SectionHead, SectionKind};
use unseed_core::schema::{Column, Table, TableId, TableName};

/// PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub(super) struct PostgresDialect;

/// A quoted name with its schema.
pub(super) fn qualified(name: &TableName) -> String {
    let d = PostgresDialect;
    format!("{}.{}", d.quote(&name.namespace), d.quote(&name.name))
}

/// The row under alias `x` was written by the transaction with this id, or by a part of it: a block with an
/// exception handler has an id of its own. Only for rows that this very transaction looks at.
pub(super) fn written_by(own: u64, x: &str) -> String {
    let id = own % (1 << 32);
    format!(
        "CASE WHEN {x}.xmin = '{id}'::xid THEN true WHEN age({x}.xmin) >= age('{id}'::xid) THEN false \
         ELSE pg_xact_status(({own} + age('{id}'::xid) - age({x}.xmin))::text::xid8) = 'in progress' END"
    )
}

fn handles(handles: &[u64]) -> String {
    let list: Vec<String> = handles.iter().map(u64::to_string).collect();
    if list.is_empty() { "0".to_owned() } else { list.join(", ") }
}

impl Dialect for PostgresDialect {
    fn literal(&self, text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }

    fn relation(&self, table: &Table) -> String {
        // ONLY keeps the rows of inheritance children out; they are tables of their own.
        if table.partitioned { qualified(&table.name) } else { format!("ONLY {}", qualified(&table.name)) }
    }

    fn temp(&self, name: &str) -> String {
        format!("pg_temp.{name}")
    }

    fn address(&self) -> &'static [&'static str] {
        &["part", "tid"]
    }

    fn address_of(&self, _table: &Table, alias: &str) -> Vec<String> {
        vec![format!("{alias}.tableoid"), format!("{alias}.ctid")]
    }

    fn addresses_are_alike(&self) -> bool {
        true
    }

    fn version_of(&self, _table: &Table, alias: &str) -> Option<String> {
        Some(format!("{alias}.xmin"))
    }

    fn text(&self, expression: &str) -> String {
        format!("({expression})::text")
    }

    fn least(&self, expressions: &[String]) -> String {
        match expressions {
            [one] => one.clone(),
            several => format!("LEAST({})", several.join(", ")),
        }
    }

    fn null_of(&self, column: &Column) -> String {
        format!("NULL::{}", column.type_name)
    }

    fn row_hash(&self, _table: &Table, alias: &str) -> String {
        format!("hashtextextended(ROW({alias}.*)::text, 0)::text")
    }

    fn digest_of(&self, hash: &str) -> String {
        format!("sum(({hash})::numeric)::text")
    }

    fn comparable(&self, a: &Column, b: &Column) -> bool {
        a.type_name == b.type_name || a.kind == b.kind
    }

    fn in_parts(&self, x: &str, parts: &[u64]) -> String {
        format!("{x}.tableoid IN ({})", handles(parts))
    }

    fn key_in_parts(&self, k: &str, parts: &[u64]) -> String {
        format!("{k}.part IN ({})", handles(parts))
    }

    fn staging(&self, id: TableId, head: &SectionHead) -> String {
        let letter = match head.kind {
            SectionKind::Rows => "s",
            SectionKind::Detached => "t",
            SectionKind::Effect => "f",
            SectionKind::Born => "b",
        };
        // Sections of one table can have different columns, or the same with another identity.
        let columns = format!("{}\n{}", head.identity_columns, head.columns.join("\n"));
        format!("pg_temp.unseed_{letter}{}_{}", id.0, &blake3::hash(columns.as_bytes()).to_hex()[..8])
    }

    fn create_staging(&self, table: &Table, name: &str, columns: &[String]) -> String {
        let columns: Vec<String> = columns.iter().map(|c| self.quote(c)).collect();
        format!(
            "CREATE TEMPORARY TABLE {} AS SELECT {} FROM {} WHERE false",
            name.trim_start_matches("pg_temp."),
            columns.join(", "),
            qualified(&table.name)
        )
    }

    fn staging_row(&self, alias: &str) -> String {
        format!("{alias}.ctid")
    }

    fn same(&self, a: &str, b: &str) -> String {
        format!("({a})::text IS NOT DISTINCT FROM ({b})::text")
    }

    fn group(&self, expression: &str) -> String {
        self.text(expression)
    }

    fn insert_staged(&self, table: &Table, columns: &[String], staging: &str) -> String {
        let columns: Vec<String> = columns.iter().map(|c| self.quote(c)).collect();
        let columns = columns.join(", ");
        format!(
            "INSERT INTO {} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {staging} s",
            qualified(&table.name)
        )
    }

    fn analyze(&self, temp: &str) -> String {
        format!("ANALYZE {temp}")
    }

    fn among(&self, table: &Table, x: &str, set: &str) -> String {
        let fetched = format!("{x}.ctid = ANY (ARRAY(SELECT s.tid FROM {set} s))");
        if table.parts.len() <= 1 {
            return fetched;
        }
        format!("{fetched} AND EXISTS (SELECT 1 FROM {set} s WHERE {})", self.at(table, x, "s"))
    }

    fn rest_of(&self, _table: &Table) -> Option<String> {
        Some("x.*, x.tableoid, x.ctid, x.xmin".to_owned())
    }

    fn takes_lists_of_tables(&self) -> bool {
        true
    }

    fn plans_by_statistics(&self) -> bool {
        true
    }

    fn tag_of(&self, ordinal: &str, group: u64) -> String {
        format!("({ordinal} / {group})::int")
    }
}
