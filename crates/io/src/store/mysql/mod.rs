//! MariaDB, over the network.
//!
//! Two statements see two states of the database here, since copying rows into key sets under one snapshot would
//! lock them. What holds nevertheless: every row of a set carries a hash of all its columns, and is removed only if
//! it still is that row, so that at the moment of the removal the set is the closure of its roots; and that nothing
//! is missing from it is proven before the commit (see `remove`). Tables from which nothing follows need no such set
//! where their rows can be locked until then (see `leaves`).
//!
//! Invariants
//! - tables without transactions, and tables that keep what is deleted from them, are refused;
//! - a connection carries a named lock, so that a later one can tell whether it is still at work.
//!
//! Not here: SQL shared with other stores (`store::sql`), journals and retries (`engine`).

mod archive;
mod connect;
mod dialect;
mod effects;
mod inspect;
mod leaves;
mod remove;
mod restore;
mod runs;
mod scan;
mod session;
mod types;

use super::Lookup;
use super::sql::closure::{Leaves, Sets};
use super::sql::counts::Tally;
use super::sql::dialect::Dialect;
use super::sql::{
    Session, SqlError, closure, conflicts, counts, explain, fingerprint, number, roots, script, tags, text,
};
use async_trait::async_trait;
use connect::Target;
use dialect::MysqlDialect;
use leaves::{Held, Leaf};
use runs::Onlooker;
use session::{Joins, MySession};
use std::collections::BTreeMap;
use unseed_core::fault::Fault;
use unseed_core::plan::{Path, RootSet};
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{
    ArchiveSink, ArchiveSource, Archived, Catalog, CloseRequest, Closure, Conflict, Fingerprint, Orphans,
    Outcome, Removal, RestoreScope, Restored, RootChoice, SectionEntry, Server, Statements, Store, TagRange,
    Tags, Work,
};
use unseed_core::schema::{Origin, Reference, ReferenceId, Schema, TableId};

/// The word that plans and archives use.
const KIND: &str = "mariadb";

/// A connected MariaDB server.
pub(crate) struct Mysql {
    session: MySession,
    target: Target,
    sets: Sets,
    /// What the sets hold per tag, once that was counted.
    tally: Option<Tally>,
    /// Tables whose rows are found by their reference, if the closure made no set of them.
    leaves: BTreeMap<TableId, Leaf>,
    /// What the open transaction has locked since it archived.
    held: Held,
    onlooker: Onlooker,
    in_transaction: bool,
    /// The lock that tells later connections that this one is at work.
    lock: Option<String>,
}

/// Why a step ended early.
pub(super) enum Stop {
    Sql(SqlError),
    Fault(Fault),
    Changed(String),
    /// Whoever takes rows wants no more.
    Enough,
}

impl Stop {
    fn fault(self, what: &str) -> Fault {
        match self {
            Self::Sql(error) => error.fault(what),
            Self::Fault(fault) => fault,
            Self::Changed(why) => Fault::store(format!("{what} failed: {why}")).hint("run the command again"),
            Self::Enough => Fault::store(format!("{what} was ended early")),
        }
    }
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Mysql {
    /// Connects; see [`super::open`].
    pub(crate) async fn connect(url: &str, lookup: Lookup<'_>) -> Result<Self, Fault> {
        let target = connect::target(url, lookup)?;
        let session = connect::connect(&target).await?;
        Ok(Self {
            session,
            target,
            sets: Sets::default(),
            tally: None,
            leaves: BTreeMap::new(),
            held: Held::default(),
            onlooker: Onlooker::default(),
            in_transaction: false,
            lock: None,
        })
    }

    /// Takes a new connection in place of one whose answer was not read to its end.
    async fn reconnect(&mut self) -> Result<(), Fault> {
        self.session = connect::connect(&self.target).await?;
        (self.sets, self.tally, self.in_transaction, self.lock) = (Sets::default(), None, false, None);
        (self.leaves, self.held) = (BTreeMap::new(), Held::default());
        Ok(())
    }

    /// Drops the temporary tables of earlier steps.
    async fn forget(&mut self) -> Result<(), SqlError> {
        let names: Vec<String> = std::mem::take(&mut self.session.temporary).into_iter().collect();
        if !names.is_empty() {
            self.session.run(&format!("DROP TEMPORARY TABLE IF EXISTS {}", names.join(", "))).await?;
        }
        Ok(())
    }

    /// By what a later connection asks for the outcome of this one's commit.
    async fn token(&mut self) -> Result<String, SqlError> {
        if let Some(lock) = &self.lock {
            return Ok(lock.clone());
        }
        let name = self.session.rows("SELECT CONCAT('unseed-', UUID())").await?;
        let name = name.first().map(|row| text(row, 0)).unwrap_or_default();
        self.session.rows(&format!("SELECT GET_LOCK({}, 0)", MysqlDialect.literal(&name))).await?;
        self.lock = Some(name.clone());
        Ok(name)
    }

    /// Lets the server use hashes where references compare what no index can find.
    async fn join_for(&mut self, schema: &Schema) -> Result<(), SqlError> {
        let by_text = |r: &Reference| {
            let columns = r.child_columns.iter().zip(&r.parent_columns);
            let (child, parent) = (schema.table(r.child), schema.table(r.parent));
            r.origin != Origin::Declared
                && columns
                    .into_iter()
                    .any(|(c, p)| !types::comparable(&child.columns[*c], &parent.columns[*p]))
        };
        let hashed = schema.references.iter().any(by_text);
        self.session.join(if hashed { Joins::Hashed } else { Joins::Indexed }).await
    }

    async fn close_over(
        &mut self,
        work: &Work,
        request: &CloseRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Closure, SqlError> {
        self.forget().await?;
        self.join_for(&work.schema).await?;
        self.leaves = if request.count_only { BTreeMap::new() } else { self.find_leaves(work).await? };
        let found = &self.leaves;
        let list = |asked: &[closure::Leaf]| leaves::count_sql(found, asked);
        let leaves = match request.count_only {
            true => Leaves::Count,
            false if found.is_empty() => Leaves::Keep,
            false => Leaves::List(&list),
        };
        self.sets = closure::close(&mut self.session, work, request, leaves, progress).await?;
        let mut found = counts::whole(&mut self.session, &mut self.sets, &BTreeMap::new()).await?;
        if request.check_versions {
            for roots in request.roots {
                found.stale.extend(roots::stale(&mut self.session, &work.schema, roots.table).await?);
            }
        }
        Ok(found)
    }

    /// What a batch holds; the sets do not change while batches leave.
    async fn expected(&mut self, batch: TagRange) -> Result<Closure, SqlError> {
        match &self.tally {
            Some(tally) => Ok(tally.batch(batch)),
            None => counts::batch(&mut self.session, &self.sets, batch).await,
        }
    }

    async fn digest_protected(&mut self, work: &Work) -> Result<Vec<Fingerprint>, SqlError> {
        self.join_for(&work.schema).await?;
        let found = fingerprint::find(&mut self.session, work).await?;
        let digests = fingerprint::digests(&mut self.session, work, &found).await?;
        fingerprint::forget(&mut self.session, &found).await?;
        Ok(digests)
    }

    /// Refuses tables from which nothing can be removed and taken back.
    async fn refuse_unsafe(&mut self, work: &Work, closure: &Closure) -> Result<(), Fault> {
        let affected = closure.removed.iter().chain(&closure.detached_rows).filter(|(_, rows)| **rows > 0);
        for table in affected.map(|(id, _)| work.schema.table(*id)) {
            if table.key().is_none() {
                let message = format!("rows of `{}` cannot be told apart: it has no key", table.name);
                return Err(Fault::refused(message)
                    .hint("give the table a primary key, or a unique key over columns that are never null"));
            }
            if table.parts.iter().all(|part| part.handle != inspect::UNSAFE) {
                continue;
            }
            let d = MysqlDialect;
            let sql = format!(
                "SELECT ENGINE, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                d.literal(&table.name.namespace),
                d.literal(&table.name.name)
            );
            let rows = self.session.rows(&sql).await.map_err(|e| e.fault("looking at a table"))?;
            let row = rows.first().cloned().unwrap_or_default();
            let (why, hint) = if text(&row, 1) == "SYSTEM VERSIONED" {
                (
                    "it keeps every version of its rows".to_owned(),
                    "drop its system versioning, or leave these rows out of the plan",
                )
            } else {
                (
                    format!("its engine {} has no transactions", text(&row, 0)),
                    "convert the table with ALTER TABLE … ENGINE = InnoDB, then plan again",
                )
            };
            let message = format!("rows of `{}` cannot be removed safely: {why}", table.name);
            return Err(Fault::refused(message).hint(hint));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Mysql {
    async fn inspect(&mut self) -> Result<Catalog, Fault> {
        let failed = |e: SqlError| e.fault("reading the catalog");
        let schema = inspect::schema(&mut self.session, &self.target.database).await.map_err(failed)?;
        let about = self.session.rows("SELECT version(), @@read_only").await.map_err(failed)?;
        let about = about.first().cloned().unwrap_or_default();
        let server = Server {
            kind: KIND.to_owned(),
            version: text(&about, 0),
            location: self.target.location.clone(),
            may_skip_checks: true,
            read_only: text(&about, 1) == "1",
        };
        Ok(Catalog { schema, server })
    }

    async fn count(&mut self, schema: &Schema, tables: &[TableId]) -> Result<BTreeMap<TableId, u64>, Fault> {
        counts::tables(&mut self.session, schema, tables).await.map_err(|e| e.fault("counting rows"))
    }

    async fn choose(&mut self, schema: &Schema, choices: &[RootChoice]) -> Result<Vec<RootSet>, Fault> {
        self.forget().await.map_err(|e| e.fault("choosing roots"))?;
        roots::choose(&mut self.session, schema, choices).await
    }

    async fn close(
        &mut self,
        work: &Work,
        request: &CloseRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Closure, Fault> {
        (self.sets, self.tally) = (Sets::default(), None);
        let closure = self.close_over(work, request, progress).await;
        let closure = closure.map_err(|e| e.fault("computing the closure"))?;
        self.refuse_unsafe(work, &closure).await?;
        Ok(closure)
    }

    async fn conflicts(&mut self, work: &Work, limit: usize) -> Result<Vec<Conflict>, Fault> {
        let failed = |e: SqlError| e.fault("looking for protected rows");
        self.join_for(&work.schema).await.map_err(failed)?;
        let found = conflicts::conflicts(&mut self.session, work, &self.sets, limit).await;
        found.map_err(failed)
    }

    fn batch_rows(&self, path: Path) -> u64 {
        match path {
            Path::Fast | Path::Rewrite => 40_000,
            Path::Checked => 20_000,
        }
    }

    async fn tags(&mut self, work: &Work) -> Result<Tags, Fault> {
        let failed = |e: SqlError| e.fault("counting batches");
        self.join_for(&work.schema).await.map_err(failed)?;
        let mut tally = counts::tally(&mut self.session, &self.sets).await.map_err(failed)?;
        self.tally_leaves(&mut tally).await.map_err(failed)?;
        let tags = tags::tags(&mut self.session, work, &self.sets, &tally).await.map_err(failed)?;
        self.tally = Some(tally);
        Ok(tags)
    }

    async fn archive(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Archived, Fault> {
        self.archive_batch(work, batch, sink).await.map_err(|stop| stop.fault("archiving"))
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
        self.end("COMMIT").await.map_err(|e| e.fault("committing"))
    }

    async fn rollback(&mut self) -> Result<(), Fault> {
        self.end("ROLLBACK").await.map_err(|e| e.fault("rolling back"))
    }

    async fn settle(&mut self, work: &Work, token: &str, roots: &[RootSet]) -> Result<Outcome, Fault> {
        let failed = |e: SqlError| e.fault("asking for a transaction's outcome");
        let token = MysqlDialect.literal(token);
        let sql = format!("SELECT IS_USED_LOCK({token}), CONNECTION_ID()");
        let row = self.session.rows(&sql).await.map_err(failed)?.first().cloned().unwrap_or_default();
        let (holder, own) = (number(&row, 0), number(&row, 1));
        if holder == own {
            // The commit was answered by an error: what it left open ends here.
            self.session.run("ROLLBACK").await.map_err(failed)?;
        } else if holder != 0 {
            // Nobody waits for that connection any more. If it may not be ended, it ends by itself.
            drop(self.session.run(&format!("KILL {holder}")).await);
            return Ok(Outcome::Pending);
        }
        // There is no record of transactions: a batch is all or nothing, so its roots tell.
        let found = self.present(&work.schema, roots).await?;
        Ok(if found == 0 { Outcome::Committed } else { Outcome::RolledBack })
    }

    async fn fingerprint(&mut self, work: &Work) -> Result<Vec<Fingerprint>, Fault> {
        self.digest_protected(work).await.map_err(|e| e.fault("hashing protected rows"))
    }

    async fn orphans(&mut self, schema: &Schema, references: &[ReferenceId]) -> Result<Vec<Orphans>, Fault> {
        let failed = |e: SqlError| e.fault("looking for orphans");
        self.join_for(schema).await.map_err(failed)?;
        counts::orphans(&mut self.session, schema, references).await.map_err(failed)
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
        let mut statements = explain::closure(&MysqlDialect, work);
        statements.extend(remove::explain(work));
        statements
    }

    fn restore_script(
        &self,
        work: &Work,
        sections: &[SectionEntry],
        files: &[String],
    ) -> Vec<(String, String)> {
        vec![("restore.sh".to_owned(), script::mysql(&MysqlDialect, work, sections, files))]
    }

    fn statements(&self) -> Statements {
        let own = self.session.statements();
        Statements { total: own.total + self.onlooker.statements().total, ..own }
    }
}
