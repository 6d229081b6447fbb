//! Archiving a batch from MariaDB: INSERT statements that `mariadb` reads by itself, one row a line.
//!
//! Values are written by the sort of their column: numbers as they are, floats with every digit that counts, bytes
//! and texts of other character sets than UTF-8 as their bytes, everything else as quoted text. Only rows whose
//! version is still the one of the closure are read; if one is missing, the batch is closed over again.

use super::dialect::{MysqlDialect, hex_literal, staging_table, text_literal};
use super::runs::Keys;
use super::session::{ByteRow, Joins, MySession};
use super::types::{self, Sort, sort};
use super::{Mysql, Stop};
use crate::store::sql::closure::key_set;
use crate::store::sql::counts::{self, detach_sources};
use crate::store::sql::detached::{self, Detached};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::restore::archived_columns;
use unseed_core::fault::Fault;
use unseed_core::port::store::{ArchiveSink, Archived, SectionHead, SectionKind, TagRange, Work};
use unseed_core::schema::{Column, ColumnIndex, Table, TableId};

const ROWS_PER_INSERT: u64 = 500;
/// A statement is ended early once it has this many bytes.
const INSERT_BYTES_MAX: usize = 256 * 1024;

/// Rows to write, as queries from `FROM` on, with the table under alias `x`.
pub(super) struct Section {
    pub(super) table: TableId,
    pub(super) kind: SectionKind,
    pub(super) columns: Vec<ColumnIndex>,
    pub(super) identity: usize,
    pub(super) sources: Vec<String>,
}

/// What a value is as a literal.
#[derive(Debug, Clone)]
enum Literal {
    Bare,
    Quoted,
    Bytes,
    /// Bytes of a text in this character set.
    Encoded(String),
}

/// How a column is asked for, and how its answer is written.
fn reading(column: &Column) -> (String, Literal) {
    let name = format!("x.{}", MysqlDialect.quote(&column.name));
    match sort(column) {
        Sort::Number => (name, Literal::Bare),
        Sort::Float => (format!("CAST({name} AS DOUBLE)"), Literal::Quoted),
        Sort::Bit => (format!("{name} + 0"), Literal::Bare),
        Sort::Double | Sort::Words | Sort::Plain => (name, Literal::Quoted),
        Sort::Bytes => (name, Literal::Bytes),
        Sort::Text => match types::collation(column) {
            Some(("utf8mb4" | "utf8mb3" | "utf8" | "ascii", _)) | None => (name, Literal::Quoted),
            Some((set, _)) => (format!("CAST({name} AS BINARY)"), Literal::Encoded(set.to_owned())),
        },
    }
}

fn write(value: Option<&[u8]>, literal: &Literal, out: &mut String) -> Result<(), Fault> {
    let Some(bytes) = value else {
        out.push_str("NULL");
        return Ok(());
    };
    let text = || {
        std::str::from_utf8(bytes)
            .map_err(|_| Fault::store("the server sent text that is not UTF-8").state("nothing was removed"))
    };
    match literal {
        Literal::Bare => out.push_str(text()?),
        Literal::Quoted => text_literal(text()?, out),
        Literal::Bytes => hex_literal(bytes, out),
        Literal::Encoded(set) => {
            out.push('_');
            out.push_str(set);
            out.push(' ');
            hex_literal(bytes, out);
        }
    }
    Ok(())
}

/// INSERT statements, cut into pieces of a bounded size.
struct Inserts<'a> {
    head: String,
    literals: Vec<Literal>,
    packet_bytes_max: usize,
    text: String,
    in_statement: u64,
    total: u64,
    sink: &'a mut dyn ArchiveSink,
}

impl Inserts<'_> {
    fn row(&mut self, row: &[Option<Vec<u8>>]) -> Result<(), Fault> {
        self.text.push_str(if self.in_statement == 0 { &self.head } else { ",\n" });
        self.text.push('(');
        for (n, (value, literal)) in row.iter().zip(&self.literals).enumerate() {
            if n > 0 {
                self.text.push(',');
            }
            write(value.as_deref(), literal, &mut self.text)?;
        }
        self.text.push(')');
        self.total += 1;
        self.in_statement += 1;
        if self.in_statement >= ROWS_PER_INSERT || self.text.len() >= INSERT_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        if self.in_statement == 0 {
            return Ok(());
        }
        self.text.push_str(";\n");
        if self.text.len() > self.packet_bytes_max {
            let message = format!("a row of {} bytes could not be put back", self.text.len());
            return Err(Fault::refused(message)
                .state("nothing of this batch was removed")
                .hint("raise max_allowed_packet of the server, then run the command again"));
        }
        self.sink.write(self.text.as_bytes())?;
        self.text.clear();
        self.in_statement = 0;
        Ok(())
    }
}

/// Writes one section, whose keys somebody may want; returns its rows.
pub(super) async fn write_section(
    session: &mut MySession,
    work: &Work,
    section: &Section,
    keys: Option<&mut Keys>,
    sink: &mut dyn ArchiveSink,
) -> Result<u64, Stop> {
    let shape = work.schema.table(section.table);
    let names: Vec<String> = section.columns.iter().map(|c| shape.columns[*c].name.clone()).collect();
    let head = SectionHead {
        kind: section.kind.clone(),
        namespace: shape.name.namespace.clone(),
        table: shape.name.name.clone(),
        columns: names,
        identity_columns: section.identity,
    };
    let columns: Vec<&Column> = section.columns.iter().map(|c| &shape.columns[*c]).collect();
    write_rows(session, &head, (&columns, &section.sources), keys, sink).await
}

/// Writes the rows of queries from `FROM` on, with the columns of the section under alias `x`.
async fn write_rows(
    session: &mut MySession,
    head: &SectionHead,
    (columns, sources): (&[&Column], &[String]),
    mut keys: Option<&mut Keys>,
    sink: &mut dyn ArchiveSink,
) -> Result<u64, Stop> {
    let quoted: Vec<String> = head.columns.iter().map(|name| MysqlDialect.quote(name)).collect();
    let (listed, literals): (Vec<String>, Vec<Literal>) = columns.iter().map(|c| reading(c)).unzip();
    sink.begin(head.clone())?;
    let mut inserts = Inserts {
        head: format!("INSERT INTO {}({}) VALUES\n", staging_table(head), quoted.join(",")),
        literals,
        packet_bytes_max: session.packet_bytes_max,
        text: String::new(),
        in_statement: 0,
        total: 0,
        sink,
    };
    for source in sources {
        session.count_archive_statement();
        let sql = format!("SELECT {} {source}", listed.join(", "));
        let mut visit = |row: ByteRow| {
            if let Some(keys) = &mut keys {
                keys.see(&row);
            }
            inserts.row(&row).map_err(Stop::Fault)
        };
        session.stream(&sql, &mut visit).await?;
    }
    inserts.flush()?;
    let total = inserts.total;
    sink.end(total)?;
    Ok(total)
}

/// The table under alias `x`, whose rows are looked up by their key: of a small one the server would read, and lock,
/// all rows.
pub(super) fn by_key(shape: &Table) -> String {
    let hint = if shape.has_primary_key { " FORCE INDEX (PRIMARY)" } else { "" };
    format!("{} x{hint}", MysqlDialect.relation(shape))
}

/// The rows of a set that are still what the closure saw, as a query from `FROM` on.
pub(super) fn unchanged(shape: &Table, set: &str, filter: &str) -> String {
    let d = MysqlDialect;
    format!(
        "FROM {} k STRAIGHT_JOIN {} ON {} WHERE {filter} AND k.ver = {}",
        d.temp(set),
        by_key(shape),
        d.at(shape, "x", "k"),
        d.row_hash(shape, "x"),
    )
}

/// The rows of a table's key set that leave with a batch, as a query from `FROM` on.
pub(super) fn leaving(work: &Work, table: TableId, batch: TagRange) -> String {
    let filter = format!("k.doomed AND {}", counts::in_batch("k", Some(batch)));
    unchanged(work.schema.table(table), &key_set(table), &filter)
}

fn detached_section(work: &Work, section: &Detached) -> Section {
    let shape = work.schema.table(section.table);
    Section {
        table: section.table,
        kind: SectionKind::Detached,
        columns: section.identity.iter().chain(&section.written).copied().collect(),
        identity: section.identity.len(),
        sources: vec![unchanged(shape, &section.set, &section.filter)],
    }
}

impl Mysql {
    pub(super) async fn archive_batch(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Archived, Stop> {
        self.session.join(Joins::Indexed).await?;
        let expected = self.expected(batch).await?;
        self.hold(work, batch, &expected).await?;
        let mut archived = Archived { is_locked: self.in_transaction, ..Archived::default() };
        for table in work.program.removal.iter().flatten() {
            if !expected.removed.contains_key(table) {
                continue;
            }
            let sources = self.rows_of(work, *table, batch);
            let columns = archived_columns(work, *table);
            let mut keys = self.keys(work, *table, &columns);
            let section = Section { table: *table, kind: SectionKind::Rows, columns, identity: 0, sources };
            let rows = write_section(&mut self.session, work, &section, keys.as_mut(), sink).await?;
            if let Some(found) = self.held.found.get_mut(table) {
                found.runs = keys.and_then(Keys::runs);
            }
            archived.removed.insert(*table, rows);
        }
        for source in detach_sources(&self.sets) {
            if !expected.detached_rows.contains_key(&source.table) {
                continue;
            }
            for section in detached::sections(&mut self.session, work, &source, batch).await? {
                let section = detached_section(work, &section);
                let rows = write_section(&mut self.session, work, &section, None, sink).await?;
                *archived.detached.entry(section.table).or_default() += rows;
            }
        }
        Ok(archived)
    }

    /// The rows of a table that leave with a batch.
    fn rows_of(&self, work: &Work, table: TableId, batch: TagRange) -> Vec<String> {
        if self.is_leaf(table) {
            let found = self.held.found.get(&table).into_iter().flat_map(|found| &found.sources);
            return found.map(|source| format!("{source} FOR UPDATE")).collect();
        }
        vec![leaving(work, table, batch)]
    }
}
