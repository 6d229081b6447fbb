//! SQLite, in the process.
//!
//! A batch runs under the write lock (`BEGIN IMMEDIATE`), so nobody else can change anything between the
//! closure and the commit; `data_version` tells whether someone did before the lock was taken. What a batch
//! did is counted, whoever did it: triggers, cascades, REPLACE (see `remove`).
//!
//! Invariants
//! - the database's own foreign-key actions are off during a batch, so that neither order nor cycles nor a
//!   key that does not match its parent's index matter; the same fact is proven by sets before the commit;
//! - a change that the plan does not name rolls the batch back and is named.
//!
//! Not here: SQL shared with other stores (`store::sql`), journals and retries (`engine`).

mod archive;
mod dialect;
mod functions;
mod inspect;
mod real;
mod remove;
mod restore;
mod scan;
pub(super) mod scratch;
mod virtual_tables;

use super::sql::closure::{Leaves, Sets};
use super::sql::dialect::Dialect;
use super::sql::{
    Session, SqlError, TextRow, closure, conflicts, counts, detached, explain, fingerprint, roots, script,
    tags, values,
};
use async_trait::async_trait;
use dialect::SqliteDialect;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use unseed_core::fault::Fault;
use unseed_core::plan::RootSet;
use unseed_core::port::progress::{Progress, Silent};
use unseed_core::port::store::{
    ArchiveSink, ArchiveSource, Archived, Catalog, CloseRequest, Closure, Conflict, Fingerprint, Orphans,
    Outcome, Removal, RestoreScope, Restored, RootChoice, SectionEntry, Server, Statements, Store,
    StoreWaits, TagRange, Tags, VisitValues, Wanted, Work,
};
use unseed_core::schema::{ReferenceId, Schema, TableId};

/// How long a statement waits for another writer.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// How long it waits when it will be asked again.
const SETTLE_WAIT: Duration = Duration::from_millis(200);

/// An open SQLite database.
pub(crate) struct Sqlite {
    session: LiteSession,
    path: PathBuf,
    sets: Sets,
    /// `data_version` when the closure was computed.
    version: i64,
    /// Whether triggers and foreign keys are off for a restore.
    restoring: bool,
}

/// The connection as a [`Session`].
pub(super) struct LiteSession {
    db: Connection,
    statements: Statements,
    holding_since: Option<Instant>,
}

/// The database's answer.
pub(super) fn sql_error(error: &rusqlite::Error) -> SqlError {
    let code = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Some("55P03".to_owned()),
        Some(ErrorCode::DiskFull) => Some("53100".to_owned()),
        Some(ErrorCode::ReadOnly) => Some("25006".to_owned()),
        Some(ErrorCode::ConstraintViolation) => Some("23000".to_owned()),
        Some(_) | None => None,
    };
    SqlError { code, message: error.to_string() }
}

impl LiteSession {
    fn end_transaction(&mut self) {
        if let Some(since) = self.holding_since.take() {
            let held = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.statements.longest_transaction_us = self.statements.longest_transaction_us.max(held);
        }
    }

    /// Begins a transaction with the write lock; false where another writer keeps it for longer.
    async fn locked_within(&mut self, wait: Duration) -> Result<bool, SqlError> {
        self.db.busy_timeout(wait).map_err(|error| sql_error(&error))?;
        let begun = self.run("BEGIN IMMEDIATE").await;
        self.db.busy_timeout(BUSY_WAIT).map_err(|error| sql_error(&error))?;
        match begun {
            Err(error) if error.code.as_deref() == Some("55P03") => Ok(false),
            begun => begun.map(|_| true),
        }
    }

    fn forget(&mut self) -> Result<(), SqlError> {
        let names: Vec<String> = {
            let failed = |error: rusqlite::Error| sql_error(&error);
            let mut query = self
                .db
                .prepare("SELECT name FROM sqlite_temp_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
                .map_err(failed)?;
            let names = query.query_map([], |row| row.get(0)).map_err(failed)?;
            names.collect::<rusqlite::Result<_>>().map_err(failed)?
        };
        for name in names {
            let sql = format!("DROP TABLE temp.{}", SqliteDialect.quote(&name));
            self.db.execute_batch(&sql).map_err(|error| sql_error(&error))?;
        }
        Ok(())
    }
}

fn as_text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

/// A value that came as text: bytes where it is the literal of bytes, such as `X'00FF'`.
fn value(text: String) -> Value {
    let hex = text.strip_prefix(['X', 'x']).and_then(|rest| rest.strip_prefix('\'')?.strip_suffix('\''));
    let bytes = hex.filter(|hex| hex.len() % 2 == 0 && hex.is_ascii()).and_then(|hex| {
        let pairs = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok());
        pairs.collect::<Option<Vec<u8>>>()
    });
    bytes.map_or(Value::Text(text), Value::Blob)
}

#[async_trait]
impl Session for LiteSession {
    fn dialect(&self) -> &dyn Dialect {
        &SqliteDialect
    }

    async fn run(&mut self, sql: &str) -> Result<u64, SqlError> {
        self.statements.total += 1;
        let failed = |error: rusqlite::Error| sql_error(&error);
        tokio::task::block_in_place(|| {
            if let Some(rest) = sql.strip_prefix("CREATE TEMPORARY TABLE ") {
                self.db.execute_batch(sql).map_err(failed)?;
                let name = rest.split(" AS ").next().unwrap_or(rest);
                let count = format!("SELECT count(*) FROM {name}");
                let rows: i64 = self.db.query_row(&count, [], |row| row.get(0)).map_err(failed)?;
                return Ok(u64::try_from(rows).unwrap_or_default());
            }
            let mut statement = self.db.prepare(sql).map_err(failed)?;
            if statement.column_count() > 0 {
                let mut rows = statement.query([]).map_err(failed)?;
                while rows.next().map_err(failed)?.is_some() {}
                return Ok(0);
            }
            let rows = statement.execute([]).map_err(failed)?;
            Ok(u64::try_from(rows).unwrap_or(u64::MAX))
        })
    }

    async fn rows(&mut self, sql: &str) -> Result<Vec<TextRow>, SqlError> {
        let mut found = Vec::new();
        self.each(sql, &mut |row| found.push(row)).await?;
        Ok(found)
    }

    async fn each(&mut self, sql: &str, visit: &mut (dyn FnMut(TextRow) + Send)) -> Result<(), SqlError> {
        self.statements.total += 1;
        let failed = |error: rusqlite::Error| sql_error(&error);
        tokio::task::block_in_place(|| {
            let mut statement = self.db.prepare(sql).map_err(failed)?;
            let columns = statement.column_count();
            let mut rows = statement.query([]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let mut values = Vec::with_capacity(columns);
                for index in 0..columns {
                    values.push(as_text(row.get_ref(index).map_err(failed)?));
                }
                visit(values);
            }
            Ok(())
        })
    }

    async fn load(
        &mut self,
        table: &str,
        rows: &mut (dyn Iterator<Item = Vec<String>> + Send),
    ) -> Result<u64, SqlError> {
        self.statements.total += 1;
        let failed = |error: rusqlite::Error| sql_error(&error);
        let mut count = 0;
        tokio::task::block_in_place(|| {
            let mut insert = None;
            for row in rows {
                let statement = match &mut insert {
                    Some(statement) => statement,
                    None => {
                        let marks = vec!["?"; row.len()].join(", ");
                        let sql = format!("INSERT INTO {table} VALUES ({marks})");
                        insert.insert(self.db.prepare(&sql).map_err(failed)?)
                    }
                };
                statement.execute(rusqlite::params_from_iter(row.into_iter().map(value))).map_err(failed)?;
                count += 1;
            }
            Ok(count)
        })
    }
}

impl Sqlite {
    /// Opens an existing database file; see [`super::open`].
    pub(crate) fn open(path: &str) -> Result<Self, Fault> {
        let path = path.split('?').next().unwrap_or(path);
        let failed = |error: &rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Fault::store(format!("another process keeps database `{path}` locked"))
                    .hint("wait until that process is done, or end it, then run the command again")
            }
            Some(_) | None => Fault::usage(format!("cannot open database `{path}`: {error}"))
                .hint("check the path; unseed never creates a database it is asked to scan"),
        };
        let file = std::path::Path::new(path);
        if !file.is_file() {
            return Err(Fault::usage(format!("no such database file `{path}`"))
                .hint("check the path; unseed never creates a database it is asked to scan"));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(file, flags).map_err(|error| failed(&error))?;
        db.busy_timeout(BUSY_WAIT).map_err(|error| failed(&error))?;
        // Reading the header proves that it is a database at all.
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
            .map_err(|error| failed(&error))?;
        db.execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA temp_store = FILE; PRAGMA recursive_triggers = OFF; PRAGMA cache_size = -65536",
        )
        .map_err(|error| failed(&error))?;
        functions::register(&db).map_err(|error| failed(&error))?;
        let session = LiteSession { db, statements: Statements::default(), holding_since: None };
        Ok(Self { session, path: file.to_path_buf(), sets: Sets::default(), version: 0, restoring: false })
    }

    /// The connection, for scans.
    pub(super) fn connection(&self) -> &Connection {
        &self.session.db
    }

    fn data_version(&self) -> Result<i64, Fault> {
        let version = self.session.db.query_row("PRAGMA data_version", [], |row| row.get(0));
        version.map_err(|error| sql_error(&error).fault("reading the data version"))
    }

    async fn digest_protected(&mut self, work: &Work) -> Result<Vec<Fingerprint>, SqlError> {
        let found = fingerprint::find(&mut self.session, work).await?;
        let digests = fingerprint::digests(&mut self.session, work, &found).await?;
        fingerprint::forget(&mut self.session, &found).await?;
        Ok(digests)
    }

    async fn close_in_snapshot(
        &mut self,
        work: &Work,
        request: &CloseRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Closure, SqlError> {
        let leaves = if request.count_only { Leaves::Count } else { Leaves::Keep };
        self.sets = closure::close(&mut self.session, work, request, leaves, progress).await?;
        let mut found = counts::whole(&mut self.session, &mut self.sets, &BTreeMap::new()).await?;
        if request.check_versions {
            for roots in request.roots {
                found.stale.extend(roots::stale(&mut self.session, &work.schema, roots.table).await?);
            }
        }
        Ok(found)
    }
}

/// Refuses rows that nothing tells apart: columns took all names of the rowid, and there is no key.
fn addressable(work: &Work, closure: &Closure) -> Result<(), Fault> {
    let affected = closure.removed.iter().chain(&closure.detached_rows).filter(|(_, rows)| **rows > 0);
    for table in affected.map(|(id, _)| work.schema.table(*id)) {
        let has_rowid = table.parts.iter().all(|part| part.handle != dialect::WITHOUT_ROWID);
        if has_rowid && dialect::rowid(table).is_none() && table.key().is_none() {
            let message = format!(
                "rows of `{}` cannot be told apart: it has no key, and columns named like the rowid",
                table.name
            );
            return Err(Fault::refused(message).hint("give the table a primary key, or rename a column"));
        }
    }
    Ok(())
}

#[async_trait]
impl Store for Sqlite {
    async fn inspect(&mut self) -> Result<Catalog, Fault> {
        let schema = tokio::task::block_in_place(|| inspect::schema(&self.session.db))?;
        let read_only = self.session.db.is_readonly("main").unwrap_or(true);
        let server = Server {
            kind: "sqlite".to_owned(),
            version: rusqlite::version().to_owned(),
            location: format!("sqlite:{}", self.path.display()),
            may_skip_checks: false,
            read_only,
        };
        Ok(Catalog { schema, server })
    }

    async fn count(&mut self, schema: &Schema, tables: &[TableId]) -> Result<BTreeMap<TableId, u64>, Fault> {
        counts::tables(&mut self.session, schema, tables).await.map_err(|e| e.fault("counting rows"))
    }

    async fn choose(&mut self, schema: &Schema, choices: &[RootChoice]) -> Result<Vec<RootSet>, Fault> {
        roots::choose(&mut self.session, schema, choices).await
    }

    async fn close(
        &mut self,
        work: &Work,
        request: &CloseRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Closure, Fault> {
        let failed = |e: SqlError| e.fault("computing the closure");
        self.sets = Sets::default();
        self.session.forget().map_err(failed)?;
        self.session.run("BEGIN").await.map_err(failed)?;
        self.version = self.data_version()?;
        let result = self.close_in_snapshot(work, request, progress).await;
        let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.session.run(end).await.map_err(failed);
        let closure = result.map_err(failed)?;
        ended?;
        addressable(work, &closure)?;
        Ok(closure)
    }

    async fn values(
        &mut self,
        work: &Work,
        roots: &[RootSet],
        wanted: &[Wanted],
        visit: &mut VisitValues<'_>,
    ) -> Result<(), Fault> {
        let failed = |e: SqlError| e.fault("reading the values that other stores are searched by");
        self.sets = Sets::default();
        self.session.forget().map_err(failed)?;
        self.session.run("BEGIN").await.map_err(failed)?;
        let request = CloseRequest { roots, roots_per_tag: 1, check_versions: false, count_only: false };
        let closing = closure::close(&mut self.session, work, &request, Leaves::Keep, &Silent).await;
        let read = match closing {
            Ok(sets) => values::values(&mut self.session, &work.schema, &sets, wanted, visit).await,
            Err(error) => Err(error),
        };
        // The key sets go with the transaction.
        let ended = self.session.run("ROLLBACK").await;
        read.map_err(failed)?;
        ended.map(|_| ()).map_err(failed)
    }

    async fn conflicts(&mut self, work: &Work, limit: usize) -> Result<Vec<Conflict>, Fault> {
        let found = conflicts::conflicts(&mut self.session, work, &self.sets, limit).await;
        found.map_err(|e| e.fault("looking for protected rows"))
    }

    async fn tags(&mut self, work: &Work) -> Result<Tags, Fault> {
        let failed = |e: SqlError| e.fault("counting batches");
        let tally = counts::tally(&mut self.session, &self.sets).await.map_err(failed)?;
        tags::tags(&mut self.session, work, &self.sets, &tally).await.map_err(failed)
    }

    fn limit_waits(&mut self, waits: StoreWaits) {
        let wait = waits.lock_ms_max.map_or(BUSY_WAIT, Duration::from_millis);
        // It only sets a number of the connection.
        drop(self.session.db.busy_timeout(wait));
    }

    async fn archive(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Archived, Fault> {
        let failed = |e: SqlError| e.fault("counting the batch");
        let expected = counts::batch(&mut self.session, &self.sets, batch).await.map_err(failed)?;
        let mut detached = Vec::new();
        for source in counts::detach_sources(&self.sets) {
            if expected.detached_rows.contains_key(&source.table) {
                let sections = detached::sections(&mut self.session, work, &source, batch).await;
                detached.extend(sections.map_err(failed)?);
            }
        }
        tokio::task::block_in_place(|| {
            archive::archive(&self.session.db, work, &detached, batch, &expected, sink)
        })
    }

    async fn remove(
        &mut self,
        work: &Work,
        batch: TagRange,
        archived: &Archived,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Removal, Fault> {
        self.remove_batch(work, batch, archived, sink).await
    }

    async fn commit(&mut self) -> Result<(), Fault> {
        let result = self.session.run("COMMIT").await;
        if result.is_err() && !self.session.db.is_autocommit() {
            // A reader can keep a commit from happening; then the transaction is still open, and looks done from inside.
            drop(self.session.run("ROLLBACK").await);
        }
        self.session.end_transaction();
        self.end_restore().await?;
        result.map(|_| ()).map_err(|e| e.fault("committing"))
    }

    async fn rollback(&mut self) -> Result<(), Fault> {
        if self.session.db.is_autocommit() {
            return Ok(());
        }
        let result = self.session.run("ROLLBACK").await;
        self.session.end_transaction();
        self.end_restore().await?;
        result.map(|_| ()).map_err(|e| e.fault("rolling back"))
    }

    async fn settle(&mut self, work: &Work, _token: &str, roots: &[RootSet]) -> Result<Outcome, Fault> {
        // A commit that failed because somebody reads is still open; what it removed counts as removed only to us.
        self.rollback().await?;
        // Whoever has the write lock may be the process whose commit this is about.
        if !self.session.locked_within(SETTLE_WAIT).await.map_err(|e| e.fault("taking the write lock"))? {
            return Ok(Outcome::Pending);
        }
        // There is no record of transactions: a batch is all or nothing, so its roots tell.
        let found = self.present(&work.schema, roots).await;
        self.rollback().await?;
        Ok(if found? == 0 { Outcome::Committed } else { Outcome::RolledBack })
    }

    async fn fingerprint(&mut self, work: &Work) -> Result<Vec<Fingerprint>, Fault> {
        self.digest_protected(work).await.map_err(|e| e.fault("hashing protected rows"))
    }

    async fn orphans(&mut self, schema: &Schema, references: &[ReferenceId]) -> Result<Vec<Orphans>, Fault> {
        let orphans = counts::orphans(&mut self.session, schema, references).await;
        orphans.map_err(|e| e.fault("looking for orphans"))
    }

    async fn present(&mut self, schema: &Schema, roots: &[RootSet]) -> Result<u64, Fault> {
        let found = roots::present(&mut self.session, schema, roots).await;
        found.map_err(|e| e.fault("looking for roots"))
    }

    async fn restore(
        &mut self,
        work: &Work,
        source: &mut dyn ArchiveSource,
        scope: &RestoreScope,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault> {
        self.restore_archive(work, source, scope, progress).await
    }

    fn explain(&self, work: &Work) -> Vec<String> {
        let mut statements = explain::closure(&SqliteDialect, work);
        statements.extend(remove::explain(work));
        statements
    }

    fn restore_script(
        &self,
        work: &Work,
        sections: &[SectionEntry],
        files: &[String],
    ) -> Vec<(String, String)> {
        vec![(
            "restore.sql".to_owned(),
            script::sqlite(
                &SqliteDialect,
                work,
                (sections, files),
                // Without them the rows come back all the same, and the schema was read a moment ago.
                |staged| self.entering(work, staged).unwrap_or_default(),
            ),
        )]
    }

    fn statements(&self) -> Statements {
        self.session.statements
    }
}
