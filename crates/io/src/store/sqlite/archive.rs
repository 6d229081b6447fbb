//! Archiving a batch from SQLite: INSERT statements that `sqlite3` reads by itself.
//!
//! Values are written by their storage class, not by their column's type, so that mixed types, infinities,
//! NUL characters and invalid UTF-8 come back as they were.

use super::dialect::{SqliteDialect, section_table};
use super::{real, sql_error};
use crate::store::sql::closure::key_set;
use crate::store::sql::counts;
use crate::store::sql::detached::Detached;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::restore::archived_columns;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::fmt::Write;
use unseed_core::fault::Fault;
use unseed_core::port::store::{ArchiveSink, Archived, Closure, SectionHead, SectionKind, TagRange, Work};
use unseed_core::schema::{ColumnIndex, TableId};

/// Rows per INSERT statement; SQLite takes at most 500 terms in a compound by default.
const ROWS_PER_INSERT: u64 = 200;
/// A statement is ended early once it has this many bytes.
const INSERT_BYTES_MAX: usize = 256 * 1024;

/// Writes a value as a literal of its storage class.
fn literal(value: ValueRef<'_>, out: &mut String) {
    match value {
        ValueRef::Null => out.push_str("NULL"),
        ValueRef::Integer(number) => {
            write!(out, "{number}").expect("writing to a string cannot fail");
        }
        ValueRef::Real(number) => real::literal(number, out),
        ValueRef::Text(bytes) => text_literal(bytes, out),
        ValueRef::Blob(bytes) => hex_literal(bytes, out),
    }
}

fn text_literal(bytes: &[u8], out: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(['\0', '\r']) => {
            out.push('\'');
            out.push_str(&text.replace('\'', "''"));
            out.push('\'');
        }
        Ok(_) | Err(_) => {
            out.push_str("CAST(");
            hex_literal(bytes, out);
            out.push_str(" AS TEXT)");
        }
    }
}

fn hex_literal(bytes: &[u8], out: &mut String) {
    out.push_str("X'");
    for byte in bytes {
        write!(out, "{byte:02X}").expect("writing to a string cannot fail");
    }
    out.push('\'');
}

/// Archives a batch; `expected` is what the closure holds of it.
pub(super) fn archive(
    db: &Connection,
    work: &Work,
    detached: &[Detached],
    batch: TagRange,
    expected: &Closure,
    sink: &mut dyn ArchiveSink,
) -> Result<Archived, Fault> {
    let d = SqliteDialect;
    let mut archived = Archived::default();
    for table in work.program.removal.iter().flatten() {
        if !expected.removed.contains_key(table) {
            continue;
        }
        let shape = work.schema.table(*table);
        let columns = archived_columns(work, *table);
        let source = format!(
            "FROM {} x JOIN {} k ON {} WHERE k.doomed AND {}",
            d.relation(shape),
            d.temp(&key_set(*table)),
            d.at(shape, "x", "k"),
            counts::in_batch("k", Some(batch)),
        );
        let section = Section { table: *table, kind: SectionKind::Rows, columns, identity: 0, source };
        archived.removed.insert(*table, write_section(db, work, &section, sink)?);
    }
    for section in detached {
        let rows = write_section(db, work, &detached_section(work, section), sink)?;
        *archived.detached.entry(section.table).or_default() += rows;
    }
    Ok(archived)
}

/// Rows to write, as a query from `FROM` on, with the table under alias `x`.
pub(super) struct Section {
    pub(super) table: TableId,
    pub(super) kind: SectionKind,
    pub(super) columns: Vec<ColumnIndex>,
    pub(super) identity: usize,
    pub(super) source: String,
}

fn detached_section(work: &Work, section: &Detached) -> Section {
    let d = SqliteDialect;
    let shape = work.schema.table(section.table);
    Section {
        table: section.table,
        kind: SectionKind::Detached,
        columns: section.identity.iter().chain(&section.written).copied().collect(),
        identity: section.identity.len(),
        source: format!(
            "FROM {} x JOIN {} k ON {} WHERE {}",
            d.relation(shape),
            d.temp(&section.set),
            d.at(shape, "x", "k"),
            section.filter,
        ),
    }
}

/// Writes one section; returns its rows.
pub(super) fn write_section(
    db: &Connection,
    work: &Work,
    section: &Section,
    sink: &mut dyn ArchiveSink,
) -> Result<u64, Fault> {
    let shape = work.schema.table(section.table);
    let names: Vec<String> = section.columns.iter().map(|c| shape.columns[*c].name.clone()).collect();
    let section_head = SectionHead {
        kind: section.kind.clone(),
        namespace: shape.name.namespace.clone(),
        table: shape.name.name.clone(),
        columns: names,
        identity_columns: section.identity,
    };
    write_rows(db, &section_head, &section.source, sink)
}

/// Writes the rows of a query from `FROM` on, with the columns of the section under alias `x`.
pub(super) fn write_rows(
    db: &Connection,
    section_head: &SectionHead,
    source: &str,
    sink: &mut dyn ArchiveSink,
) -> Result<u64, Fault> {
    let failed = |error: &rusqlite::Error| sql_error(error).fault("archiving");
    let d = SqliteDialect;
    let quoted: Vec<String> = section_head.columns.iter().map(|n| d.quote(n)).collect();
    let listed: Vec<String> = quoted.iter().map(|n| format!("x.{n}")).collect();
    let into = d.quote(&section_table(section_head));
    sink.begin(section_head.clone())?;
    let head = format!("INSERT INTO {into}({}) VALUES\n", quoted.join(","));
    let sql = format!("SELECT {} {source}", listed.join(", "));
    let mut statement = db.prepare(&sql).map_err(|error| failed(&error))?;
    let mut rows = statement.query([]).map_err(|error| failed(&error))?;
    let mut text = String::new();
    let (mut total, mut in_statement) = (0_u64, 0_u64);
    while let Some(row) = rows.next().map_err(|error| failed(&error))? {
        text.push_str(if in_statement == 0 { &head } else { ",\n" });
        text.push('(');
        for index in 0..listed.len() {
            if index > 0 {
                text.push(',');
            }
            literal(row.get_ref(index).map_err(|error| failed(&error))?, &mut text);
        }
        text.push(')');
        total += 1;
        in_statement += 1;
        if in_statement >= ROWS_PER_INSERT || text.len() >= INSERT_BYTES_MAX {
            text.push_str(";\n");
            sink.write(text.as_bytes())?;
            text.clear();
            in_statement = 0;
        }
    }
    if in_statement > 0 {
        text.push_str(";\n");
        sink.write(text.as_bytes())?;
    }
    sink.end(total)?;
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: ValueRef<'_>, expected: &str) {
        let mut out = String::new();
        literal(value, &mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn values_keep_their_storage_class() {
        check(ValueRef::Integer(-7), "-7");
        check(ValueRef::Real(1.0), "1.0");
        check(ValueRef::Real(f64::NEG_INFINITY), "-9e999");
        check(ValueRef::Text(b"it's"), "'it''s'");
        check(ValueRef::Text(b"a\0b"), "CAST(X'610062' AS TEXT)");
        check(ValueRef::Text(b"\xff"), "CAST(X'FF' AS TEXT)");
        check(ValueRef::Blob(b"\x00\x7f"), "X'007F'");
        check(ValueRef::Null, "NULL");
    }
}
