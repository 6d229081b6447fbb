//! Sections of an archive in an empty PostgreSQL database: copied in, copied out, compared.
//!
//! Columns have the types they had, without their lengths. A type that the scratch database does not know is text there, which keeps every
//! value as it is written; so are types whose values name objects of a database (`regclass` and its like).

use super::Postgres;
use super::archive::copy_out;
use super::dialect::PostgresDialect;
use crate::store::scratch::{HashSink, HashedSource, Rehearsed};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, number, text};
use std::collections::BTreeMap;
use unseed_core::fault::Fault;
use unseed_core::port::store::{ArchiveSource, SectionEntry};
use unseed_core::schema::Schema;

const RELATIONS: &str = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";

impl Postgres {
    /// Loads every section, each in a transaction that is rolled back.
    pub(in crate::store) async fn rehearse(
        &mut self,
        schema: &Schema,
        source: &mut dyn ArchiveSource,
    ) -> Result<Vec<Rehearsed>, Fault> {
        let failed = |e: crate::store::sql::SqlError| e.fault("preparing the scratch database");
        let found = self.session.rows(RELATIONS).await.map_err(failed)?;
        if found.first().map_or(0, |row| number(row, 0)) > 0 {
            return Err(Fault::refused("the database to restore into is not empty")
                .hint("make a new one with `createdb NAME`, and give its address"));
        }
        self.session.run("SET synchronize_seqscans = off").await.map_err(failed)?;
        let mut types = BTreeMap::new();
        let mut rehearsed = Vec::new();
        for (index, entry) in source.sections().iter().enumerate() {
            let columns = self.columns(schema, entry, &mut types).await;
            let outcome = self.load_again(source, index, &columns).await;
            self.session.run("ROLLBACK").await.map_err(failed)?;
            rehearsed.push(Rehearsed::of(entry, outcome));
        }
        Ok(rehearsed)
    }

    /// Names and types of a section's columns. Types are spelled by this server, never by the archive.
    async fn columns(
        &mut self,
        schema: &Schema,
        entry: &SectionEntry,
        known: &mut BTreeMap<String, String>,
    ) -> Vec<(String, String)> {
        let head = &entry.head;
        let same =
            |t: &&unseed_core::schema::Table| t.name.namespace == head.namespace && t.name.name == head.table;
        let table = schema.tables.iter().find(same);
        let mut columns = Vec::new();
        for name in &head.columns {
            let column = table.and_then(|t| t.columns.iter().find(|c| c.name == *name));
            let wanted = column.map_or("text", |c| c.type_name.as_str());
            if !known.contains_key(wanted) {
                let ask = format!("SELECT to_regtype({})::text", PostgresDialect.literal(wanted));
                let rows = self.session.rows(&ask).await.unwrap_or_default();
                let found = rows
                    .first()
                    .map(|row| text(row, 0))
                    .filter(|found| !found.is_empty() && !found.starts_with("reg"));
                known.insert(wanted.to_owned(), found.map_or_else(|| "text".to_owned(), unbounded));
            }
            columns.push((PostgresDialect.quote(name), known[wanted].clone()));
        }
        columns
    }

    async fn load_again(
        &mut self,
        source: &mut dyn ArchiveSource,
        index: usize,
        columns: &[(String, String)],
    ) -> Result<(u64, bool), Fault> {
        let failed = |e: crate::store::sql::SqlError| e.fault("restoring into the scratch database");
        let typed: Vec<String> = columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let (typed, names) = (typed.join(", "), names.join(", "));
        self.session.run("BEGIN").await.map_err(failed)?;
        self.session
            .run(&format!("CREATE TEMPORARY TABLE unseed_scratch ({typed})"))
            .await
            .map_err(failed)?;
        let mut hashed = HashedSource::new(source);
        let copy = format!("COPY unseed_scratch ({names}) FROM STDIN");
        self.load_section(&mut hashed, index, &copy).await?;
        let mut sink = HashSink::default();
        let out = format!("COPY unseed_scratch ({names}) TO STDOUT");
        let rows = copy_out(&mut self.session, &out, &mut sink).await?;
        Ok((rows, sink.0.finalize() == hashed.hasher.finalize()))
    }
}

/// A type without its length; two of them mean a length of 1 then.
fn unbounded(name: String) -> String {
    let (plain, array) = name.strip_suffix("[]").map_or((name.as_str(), ""), |plain| (plain, "[]"));
    match plain {
        "bit" => format!("bit varying{array}"),
        "character" => format!("text{array}"),
        _ => name,
    }
}
