//! PostgreSQL 13 and later.
//!
//! One connection does everything: key sets are temporary tables of its session. Archives are written with
//! `COPY (SELECT …) TO STDOUT`, rows are removed by address and version in one statement per batch (or per
//! group of tables, where triggers must fire), and each batch is proven from `pg_stat_xact_all_tables` and,
//! on the fast path, by one query per referring table that finds no new reference to a removed row.
//!
//! Invariants
//! - what `remove` deletes is exactly the version that `archive` read: address and `xmin` are compared, and
//!   no table was rewritten since the closure (relfilenodes are compared);
//! - a trigger, rule, cascade or policy that changes anything else rolls the batch back and is named.
//!
//! Not here: SQL shared with other stores (`store::sql`), journals and retries (`engine`).

mod ahead;
mod archive;
mod aside;
mod blockers;
mod connect;
mod dialect;
mod effects;
mod explain;
mod forms;
mod gauges;
mod indexes;
mod inspect;
mod lists;
mod locked;
mod news;
pub mod parsing;
mod protected;
mod remove;
mod restore;
mod rewrite;
mod rows;
mod scan;
mod scratch;
mod session;
mod stream;
mod sweep;
mod unchecked;
mod written;

/// What others need who talk to a server: its address, the connection, its errors.
pub(crate) mod connection {
    pub(crate) use super::connect::{Target, connect, target};
    pub(crate) use super::session::sql_error;
}

use super::Lookup;
use super::sql::closure::{Leaves, Sets};
use super::sql::counts::Tally;
use super::sql::remainder::Told;
use super::sql::{Session, closure, conflicts, counts, number, remainder, roots, script, tags, text, values};
use ahead::Second;
use async_trait::async_trait;
use connect::Target;
pub(crate) use gauges::PgGauges;
use protected::{Beside, Known};
use session::PgSession;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use unseed_core::fault::Fault;
use unseed_core::plan::{BuildIndexes, Path, RootSet, RunIndex};
use unseed_core::port::progress::{Progress, Silent};
use unseed_core::port::store::{
    ArchiveSink, ArchiveSource, Archived, Catalog, CloseRequest, Closure, Conflict, Fingerprint,
    Fingerprinter, IndexBuilt, Orphans, Outcome, Reader, Removal, RestoreScope, Restored, RootChoice,
    SectionEntry, Server, Statements, Store, StoreWaits, TagRange, Tags, VisitValues, Wanted, Work,
};
use unseed_core::schema::{ReferenceId, Schema, TableId};
use unseed_core::throttle::Throttle;

/// How long statements wait for a lock while rows are removed or put back; a wait that the role or the URL asks for
/// is kept.
const LOCK_WAIT: &str =
    "SELECT set_config('lock_timeout', '10s', false) WHERE current_setting('lock_timeout') = '0'";

/// A connected PostgreSQL database.
pub(crate) struct Postgres {
    session: PgSession,
    target: Target,
    second: Second,
    closed: Closed,
    /// Protected rows that were looked for on this connection.
    protected: Known,
    beside: Beside,
    /// The transaction in which digests are or were taken beside this connection, which writes nothing that matters.
    taking: u64,
    /// The plan whose indexes were built, and whose lock is held for that.
    indexes_of: Option<String>,
    /// How long a purge waits; `None` until there is one.
    waits: Option<StoreWaits>,
    /// The process of our session on the server, once it was asked for.
    process: Option<u64>,
    lookout: blockers::Lookout,
    /// Whether joins are planned to fetch rows by address.
    by_address: bool,
    /// Whether a wait for locks was set that has to be taken back.
    waits_briefly: bool,
    /// Whether triggers change rows that leave, so that tables have to be removed one after the other.
    apart: bool,
    /// Whether rows are locked before triggers fire, since some of those remove rows on their own.
    held: bool,
    /// Whether triggers fire in the open transaction, once that was said.
    mode: Option<remove::Mode>,
}

/// How busy the server is; see [`super::gauges`].
pub(crate) fn gauges(url: &str, lookup: Lookup<'_>, throttle: &Throttle) -> Result<PgGauges, Fault> {
    Ok(PgGauges::new(connect::target(url, lookup)?, throttle))
}

/// What is remembered of the last closure.
#[derive(Debug, Default)]
struct Closed {
    sets: Sets,
    /// Oldest transaction that was running when the closure took its snapshot.
    horizon: String,
    /// No version that the closure saw is as young as the horizon, since no transaction with rows had begun after it.
    sees_nothing_young: bool,
    /// relfilenode per part, by handle.
    files: BTreeMap<u64, String>,
    /// Blocks per part when the closure was computed, by handle.
    blocks: BTreeMap<u64, u64>,
    /// Counts per tag, once the addresses are listed.
    tally: Option<Tally>,
    listed: lists::Listed,
    /// Tags whose lists the second connection has.
    handed: Option<TagRange>,
    /// The next transaction id, as long as everything before it is known to have been seen.
    seen_up_to: Option<u64>,
    /// Tables that others or triggers of earlier batches wrote into, and those whose references are indexed for it.
    written: BTreeSet<TableId>,
    indexed: BTreeSet<TableId>,
    /// Tables into which the triggers of the last batch wrote nothing but rows at the end that left with it.
    swept_at_the_end: BTreeSet<TableId>,
    /// Key sets and their columns that have an index.
    indexes: BTreeSet<String>,
    /// Our transaction at the last look.
    own: u64,
    /// Tables with a row that is younger than the horizon.
    young: BTreeSet<TableId>,
    /// Tables that are emptied, on the rewrite path.
    rewritten: Option<Arc<rewrite::Rewritten>>,
    /// Checks that may be switched off while a batch is removed, once they were asked for.
    checks: Option<unchecked::Checks>,
}

impl Closed {
    /// A transaction of our own on another connection, which is over, had this id and wrote nothing that matters.
    fn seen(&mut self, transaction: u64) {
        self.seen_up_to = self.seen_up_to.filter(|next| *next == transaction).map(|next| next + 1);
    }
}

impl Postgres {
    /// Connects; see [`super::open`].
    pub(crate) async fn connect(url: &str, lookup: Lookup<'_>) -> Result<Self, Fault> {
        let target = connect::target(url, lookup)?;
        let connected = connect::connect(&target).await?;
        Ok(Self {
            session: PgSession::new(connected.client),
            target,
            second: Second::default(),
            closed: Closed::default(),
            protected: None,
            beside: Beside::default(),
            taking: 0,
            indexes_of: None,
            waits: None,
            process: None,
            lookout: blockers::Lookout::default(),
            by_address: false,
            waits_briefly: false,
            apart: false,
            held: false,
            mode: None,
        })
    }

    /// The connection, for scans.
    pub(super) fn client(&self) -> &tokio_postgres::Client {
        self.session.client()
    }

    async fn server(&mut self) -> Result<Server, Fault> {
        let sql = "SELECT current_setting('server_version'), \
                   (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)::text, \
                   pg_is_in_recovery()::text, current_setting('default_transaction_read_only'), \
                   current_setting('server_version_num')";
        let rows = self.session.rows(sql).await.map_err(|e| e.fault("reading the server's version"))?;
        let row = rows.first().cloned().unwrap_or_default();
        let version: u64 = text(&row, 4).parse().unwrap_or_default();
        if version < 130_000 {
            return Err(Fault::usage(format!("PostgreSQL {} is too old", text(&row, 0)))
                .hint("PostgreSQL 13 or later is needed"));
        }
        let superuser = text(&row, 1) == "true";
        let granted = if !superuser && version >= 150_000 {
            let sql = "SELECT has_parameter_privilege('session_replication_role', 'SET')::text";
            let rows = self.session.rows(sql).await.map_err(|e| e.fault("reading privileges"))?;
            rows.first().is_some_and(|row| text(row, 0) == "true")
        } else {
            superuser
        };
        Ok(Server {
            kind: "postgresql".to_owned(),
            version: text(&row, 0),
            location: self.target.location.clone(),
            may_skip_checks: granted,
            read_only: text(&row, 2) == "true" || text(&row, 3) == "on",
        })
    }

    /// Remembers the snapshot of the closure, which the proof of a batch compares with.
    async fn mark(&mut self) -> Result<(), super::sql::SqlError> {
        let sql = format!(
            "SELECT pg_snapshot_xmin(s)::xid::text, pg_snapshot_xmax(s)::text, \
             (SELECT count(*) FROM pg_snapshot_xip(s) id WHERE id::text <> '{}'), pg_current_xact_id()::text, pg_snapshot_xmin(s)::text FROM pg_current_snapshot() s",
            self.taking
        );
        let rows = self.session.rows(&sql).await?;
        let row = rows.first().cloned().unwrap_or_default();
        self.closed.horizon = text(&row, 0);
        let (next, running, own, oldest) =
            (number(&row, 1), number(&row, 2), number(&row, 3), number(&row, 4));
        // If our own transaction came right after the snapshot, the closure saw everything before it; but for the one
        // beside us, which may be the last that has begun.
        let follows = own == next || own == next + 1 && next == self.taking;
        self.closed.seen_up_to = (running == 0 && follows).then_some(own + 1);
        self.closed.sees_nothing_young = oldest == next || oldest == self.taking && next == oldest + 1;
        Ok(())
    }

    async fn files(&mut self, work: &Work) -> Result<BTreeMap<u64, String>, Fault> {
        let rewritten = self.closed.rewritten.iter().flat_map(|rewritten| rewritten.tables());
        let tables = self.closed.sets.keys.keys().chain(self.closed.sets.detached.keys()).chain(rewritten);
        let handles: Vec<String> = tables
            .flat_map(|t| work.schema.table(*t).parts.iter().map(|part| part.handle.to_string()))
            .collect();
        if handles.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "SELECT oid::int8, pg_relation_filenode(oid)::text FROM pg_class WHERE oid IN ({})",
            handles.join(", ")
        );
        let rows = self.session.rows(&sql).await.map_err(|e| e.fault("reading relation files"))?;
        Ok(rows.iter().map(|row| (number(row, 0), text(row, 1))).collect())
    }
}

#[async_trait]
impl Store for Postgres {
    async fn inspect(&mut self) -> Result<Catalog, Fault> {
        self.wait_briefly(self.waits.is_some()).await.map_err(|e| e.fault("limiting waits"))?;
        let server = self.server().await?;
        let schema = inspect::schema(self.session.client())
            .await
            .map_err(|error| session::sql_error(&error).fault("reading the catalog"))?;
        self.session.count_statements(8);
        Ok(Catalog { schema, server })
    }

    async fn count(&mut self, schema: &Schema, tables: &[TableId]) -> Result<BTreeMap<TableId, u64>, Fault> {
        counts::tables(&mut self.session, schema, tables).await.map_err(|e| e.fault("counting rows"))
    }

    async fn choose(&mut self, schema: &Schema, choices: &[RootChoice]) -> Result<Vec<RootSet>, Fault> {
        for choice in choices {
            self.check_predicate(schema, choice).await?;
        }
        roots::choose(&mut self.session, schema, choices).await
    }

    async fn close(
        &mut self,
        work: &Work,
        request: &CloseRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Closure, Fault> {
        let failed = |e: super::sql::SqlError| e.fault("computing the closure");
        if self.session.rows("SHOW transaction_read_only").await.map_err(failed)?.concat()
            == [Some("on".to_owned())]
        {
            return Err(Fault::refused(format!(
                "store `{}` can only be read, and a closure needs temporary tables",
                self.target.location
            ))
            .hint("connect to the primary, as a role that may write"));
        }
        self.read_by_address(false).await.map_err(failed)?;
        // A purge that waits for a table waits with its snapshot open.
        self.wait_briefly(self.waits.is_some()).await.map_err(failed)?;
        let watch = self.watch().await;
        self.closed = Closed::default();
        self.forget_closure().await.map_err(failed)?;
        self.session.run("BEGIN ISOLATION LEVEL REPEATABLE READ").await.map_err(failed)?;
        let result = self.close_in_snapshot(work, request, progress).await;
        let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.session.run(end).await.map_err(failed);
        let closure = result.map_err(|fault| watch.explain(fault))?;
        ended?;
        Ok(closure)
    }

    async fn values(
        &mut self,
        work: &Work,
        roots: &[RootSet],
        wanted: &[Wanted],
        visit: &mut VisitValues<'_>,
    ) -> Result<(), Fault> {
        let failed =
            |e: super::sql::SqlError| e.fault("reading the values that other stores are searched by");
        self.read_by_address(false).await.map_err(failed)?;
        self.closed = Closed::default();
        self.forget_closure().await.map_err(failed)?;
        self.session.run("BEGIN ISOLATION LEVEL REPEATABLE READ").await.map_err(failed)?;
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
        let failed = |e: super::sql::SqlError| e.fault("looking for protected rows");
        self.session.run("BEGIN").await.map_err(failed)?;
        let found = conflicts::conflicts(&mut self.session, work, &self.closed.sets, limit).await;
        let watched = self.keep_watch().await;
        self.session.run(if found.is_ok() { "COMMIT" } else { "ROLLBACK" }).await.map_err(failed)?;
        watched.map_err(failed)?;
        found.map_err(failed)
    }

    async fn tags(&mut self, work: &Work) -> Result<Tags, Fault> {
        let failed = |e: super::sql::SqlError| e.fault("counting batches");
        if let (Some(rewritten), Some(tally)) = (&self.closed.rewritten, &self.closed.tally) {
            return Ok(rewritten.tags(tally.rows().into_values().sum()));
        }
        let tally = self.tally().await.map_err(failed)?;
        let tags = tags::tags(&mut self.session, work, &self.closed.sets, &tally).await.map_err(failed)?;
        self.closed.tally = Some(tally);
        Ok(tags)
    }

    fn limit_waits(&mut self, waits: StoreWaits) {
        self.waits = Some(waits);
    }

    fn indexes(&self, work: &Work, closure: &Closure, choice: BuildIndexes) -> Vec<RunIndex> {
        indexes::wanted(work, closure, choice)
    }

    async fn build_indexes(
        &mut self,
        wanted: &[(String, RunIndex)],
        progress: &dyn Progress,
    ) -> Result<Vec<IndexBuilt>, Fault> {
        self.build_run_indexes(wanted, progress).await
    }

    async fn drop_index(&mut self, namespace: &str, name: &str) -> Result<(), Fault> {
        self.drop_run_index(namespace, name).await
    }

    async fn finish(&mut self) -> Result<(), Fault> {
        self.session.count_archive_statements(self.second.statements());
        self.second = Second::default();
        self.lookout = blockers::Lookout::default();
        let ending = |e: super::sql::SqlError| e.fault("ending the run");
        self.read_by_address(false).await.map_err(ending)?;
        self.wait_briefly(false).await.map_err(ending)?;
        self.drop_left_indexes().await
    }

    async fn archive(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Archived, Fault> {
        let expected = self.expected(batch).await?;
        self.read_by_address(self.closed.rewritten.is_none()).await.map_err(|e| e.fault("archiving"))?;
        self.index_for_written(work).await.map_err(|e| e.fault("indexing the key sets"))?;
        let watch = self.watch().await;
        let archived = archive::archive(&mut self.session, work, &self.closed, batch, &expected, sink).await;
        archived.map_err(|fault| watch.explain(fault))
    }

    async fn archive_ahead(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Option<Box<dyn Reader>>, Fault> {
        self.begin_ahead(work, batch, sink).await
    }

    async fn remove(
        &mut self,
        work: &Work,
        batch: TagRange,
        archived: &Archived,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Removal, Fault> {
        let watch = self.watch().await;
        let removal = self.remove_batch(work, batch, archived, sink).await;
        removal.map_err(|fault| watch.explain(fault))
    }

    async fn commit(&mut self) -> Result<(), Fault> {
        let result = self.session.run("COMMIT").await;
        self.session.end_transaction();
        result.map_err(|e| e.fault("committing"))?;
        if self.closed.rewritten.is_some() {
            // Nothing of it matters to what is committed.
            drop(self.forget_protected().await);
        }
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), Fault> {
        let result = self.session.run("ROLLBACK").await;
        self.session.end_transaction();
        result.map(|_| ()).map_err(|e| e.fault("rolling back"))
    }

    async fn settle(&mut self, _work: &Work, token: &str, _roots: &[RootSet]) -> Result<Outcome, Fault> {
        let id: u64 = token.parse().map_err(|_| Fault::store(format!("`{token}` is no transaction id")))?;
        let sql = format!("SELECT pg_xact_status('{id}'::xid8)");
        let rows = match self.session.rows(&sql).await {
            // A server that crashed may come back without ids whose transactions left no trace on its disk.
            Err(error) if error.code.as_deref() == Some("22023") => return Ok(Outcome::RolledBack),
            answer => answer.map_err(|e| e.fault("asking for a transaction's outcome"))?,
        };
        match rows.first().map(|row| text(row, 0)).unwrap_or_default().as_str() {
            "committed" => Ok(Outcome::Committed),
            "in progress" => Ok(Outcome::Pending),
            "aborted" => Ok(Outcome::RolledBack),
            _ => Err(Fault::store(format!("the server has forgotten the outcome of transaction {id}"))
                .hint("look whether the roots of the batch are still there before resuming")),
        }
    }

    async fn fingerprint(&mut self, work: &Work) -> Result<Vec<Fingerprint>, Fault> {
        self.digest_protected(work).await
    }

    async fn fingerprint_beside(&mut self, work: &Work) -> Result<Option<Box<dyn Fingerprinter>>, Fault> {
        Ok(self.digest_beside(work).await)
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
        let d = &dialect::PostgresDialect;
        let mut statements = match work.path {
            Path::Rewrite => remainder::explain(d, work),
            Path::Fast | Path::Checked => super::sql::explain::closure(d, work),
        };
        statements.extend(explain::batch(work));
        statements
    }

    fn restore_script(
        &self,
        work: &Work,
        sections: &[SectionEntry],
        files: &[String],
    ) -> Vec<(String, String)> {
        vec![("restore.sql".to_owned(), script::postgres(&dialect::PostgresDialect, work, sections, files))]
    }

    fn statements(&self) -> Statements {
        let mut statements = self.session.statements();
        statements.total += self.second.statements() + self.beside.statements();
        statements.archive += self.second.statements();
        statements
    }
}

impl Postgres {
    async fn close_in_snapshot(
        &mut self,
        work: &Work,
        request: &CloseRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Closure, Fault> {
        let failed = |e: super::sql::SqlError| e.fault("computing the closure");
        self.mark().await.map_err(failed)?;
        let counted = self.count_remainder(work, request, progress).await?;
        let is_counted = counted.is_some();
        let mut found = match counted {
            Some(found) => found,
            None => self.find(work, request, progress).await.map_err(failed)?,
        };
        if request.check_versions {
            for roots in request.roots {
                found.stale.extend(
                    roots::stale(&mut self.session, &work.schema, roots.table).await.map_err(failed)?,
                );
            }
        }
        self.closed.files = self.files(work).await?;
        if is_counted {
            return Ok(found);
        }
        self.closed.blocks = written::blocks(&mut self.session, &work.schema).await.map_err(failed)?;
        let sets = &self.closed.sets;
        let joined = |table: &TableId| work.program.set(*table).is_some_and(|set| !set.carried.is_empty());
        let unknown = sets.keys.iter().filter(|(t, set)| !set.analyzed && (set.has_open() || joined(t)));
        let names = unknown.map(|(table, _)| closure::key_set(*table));
        let names: Vec<String> = names
            .chain(sets.detached.keys().map(|t| closure::detach_set(*t)))
            .map(|name| format!("pg_temp.{name}"))
            .collect();
        if !names.is_empty() {
            self.session.run(&format!("ANALYZE {}", names.join(", "))).await.map_err(failed)?;
        }
        Ok(found)
    }

    /// Counts what leaves by what stays, where that serves: for a plan, and on the rewrite path.
    async fn count_remainder(
        &mut self,
        work: &Work,
        request: &CloseRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Option<Closure>, Fault> {
        let rewrites = work.path == Path::Rewrite;
        if !rewrites && !request.count_only {
            return Ok(None);
        }
        let told = remainder::count(&mut self.session, work, request, progress).await;
        let remainder = match told.map_err(|e| e.fault("counting the closure"))? {
            Told::Counted(remainder) => remainder,
            Told::Not(why) if rewrites => return Err(rewrite::refused(&why)),
            Told::Not(_) => return Ok(None),
        };
        if rewrites {
            let roots: u64 = request.roots.iter().map(|roots| roots.rows.count()).sum();
            let last_tag = roots.saturating_sub(1) / request.roots_per_tag.max(1);
            let mut rewritten = rewrite::Rewritten::choose(work, &remainder, last_tag)?;
            self.may_rewrite(work, &rewritten).await?;
            if !request.count_only {
                let roots = request.roots.iter().map(|roots| (roots.table, roots.rows.count())).collect();
                let decisive = remainder::decisive(work, &remainder, &roots);
                self.look_closer(work, &mut rewritten, &decisive).await?;
            }
            self.closed.rewritten = Some(Arc::new(rewritten));
            self.closed.tally = Some(rewrite::Rewritten::tally(&remainder.closure));
        }
        Ok(Some(remainder.closure))
    }

    /// Finds what leaves, in key sets and lists.
    async fn find(
        &mut self,
        work: &Work,
        request: &CloseRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Closure, super::sql::SqlError> {
        // Sets are joined to the table that is scanned one after the other; looking for another order takes
        // longer than the joins, where a table has many keys.
        self.session.run("SET LOCAL join_collapse_limit = 1").await?;
        let list = lists::leaves(&self.closed.horizon);
        let leaves = if request.count_only { Leaves::Count } else { Leaves::List(&list) };
        if !request.count_only {
            self.session.script(lists::CREATE, 3).await?;
        }
        self.closed.sets = closure::close(&mut self.session, work, request, leaves, progress).await?;
        let listed = if request.count_only { BTreeMap::new() } else { self.list().await? };
        counts::whole(&mut self.session, &mut self.closed.sets, &listed).await
    }

    /// Has the server parse the predicate as part of one statement, which rules out a second one in it, and
    /// evaluate it once where nothing can be written, which rules out functions that do.
    async fn check_predicate(&mut self, schema: &Schema, choice: &RootChoice) -> Result<(), Fault> {
        use super::sql::dialect::Dialect;
        let unseed_core::port::store::ChosenRows::Where(predicate) = &choice.rows else { return Ok(()) };
        let shape = schema.table(choice.table);
        let d = dialect::PostgresDialect;
        let alias = d.quote(&shape.name.name);
        let sql = format!("SELECT 1 FROM {} AS {alias} WHERE ({predicate}\n)", d.relation(shape));
        let failed = |e: super::sql::SqlError| e.fault("choosing roots");
        self.session.run("BEGIN READ ONLY").await.map_err(failed)?;
        let checked = match self.session.client().prepare(&sql).await {
            Ok(_) => self.session.run(&format!("SELECT count(*) FROM ({sql}) chosen")).await.map(drop),
            Err(error) => Err(session::sql_error(&error)),
        };
        self.session.run("ROLLBACK").await.map_err(failed)?;
        checked.map_err(|error| {
            Fault::usage(format!("predicate on `{}` is not valid: {}", shape.name, error.message))
                .detail(format!("predicate: {predicate}"))
                .hint("write it as the WHERE clause of a SELECT on that table, e.g. --where \"tenants: name LIKE 'Test %'\"")
        })
    }

    /// At the end of a transaction of our own that touched nothing but temporary tables.
    async fn keep_watch(&mut self) -> Result<(), super::sql::SqlError> {
        let now = effects::counters(&mut self.session).await?;
        if !self.nobody_wrote(&now) {
            self.closed.seen_up_to = None;
        }
        Ok(())
    }

    /// What triggers or others wrote is looked up in the sets of the rows it may refer to: index those by their keys.
    async fn index_for_written(&mut self, work: &Work) -> Result<(), super::sql::SqlError> {
        let news: Vec<TableId> = self.closed.written.difference(&self.closed.indexed).copied().collect();
        if news.is_empty() {
            return Ok(());
        }
        self.session.run("BEGIN").await?;
        let references = work.schema.references.iter().filter(|r| news.contains(&r.child));
        for r in references.filter(|r| self.closed.sets.has(r.parent)) {
            let columns: Vec<String> = r.parent_columns.iter().map(|c| format!("c{c}")).collect();
            let on = format!("pg_temp.{} ({})", closure::key_set(r.parent), columns.join(", "));
            if self.closed.indexes.insert(on.clone()) {
                self.session.run(&format!("CREATE INDEX ON {on}")).await?;
            }
        }
        self.closed.indexed.extend(news);
        self.keep_watch().await?;
        self.session.run("COMMIT").await?;
        Ok(())
    }

    /// Batches fetch their rows one by one by address. The planner would rather scan the whole table and
    /// hash, because it takes every fetch for a random read of the disk; that would cost a scan per batch.
    async fn read_by_address(&mut self, on: bool) -> Result<(), super::sql::SqlError> {
        if self.by_address != on {
            self.by_address = on;
            let word = if on { "off" } else { "on" };
            let sql = format!("SET enable_hashjoin = {word}; SET enable_mergejoin = {word}");
            self.session.script(&sql, 2).await?;
            self.wait_briefly(on).await?;
        }
        Ok(())
    }

    /// Bounds how long statements wait for a lock, or stops doing so: an index that is built waits for as long as it
    /// takes.
    pub(super) async fn wait_briefly(&mut self, on: bool) -> Result<(), super::sql::SqlError> {
        if on && !self.waits_briefly {
            self.waits_briefly = match self.waits.and_then(|waits| waits.lock_ms_max) {
                Some(ms) => {
                    self.session.run(&format!("SET lock_timeout = {ms}")).await?;
                    true
                }
                None => !self.session.rows(LOCK_WAIT).await?.is_empty(),
            };
        } else if !on && self.waits_briefly {
            self.session.run("RESET lock_timeout").await?;
            self.waits_briefly = false;
        }
        Ok(())
    }

    /// What the closure found of a batch.
    async fn expected(&mut self, batch: TagRange) -> Result<Closure, Fault> {
        if let Some(tally) = &self.closed.tally {
            return Ok(tally.batch(batch));
        }
        let tally = self.tally().await.map_err(|e| e.fault("counting the batch"))?;
        let expected = tally.batch(batch);
        self.closed.tally = Some(tally);
        Ok(expected)
    }

    /// Drops the sets of an earlier closure, but not those of protected rows.
    async fn forget_closure(&mut self) -> Result<(), super::sql::SqlError> {
        let sql = "SELECT 'pg_temp.' || quote_ident(relname) FROM pg_class \
                   WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r' AND relname !~ '^unseed_q'";
        let names: Vec<String> = self.session.rows(sql).await?.iter().map(|row| text(row, 0)).collect();
        if !names.is_empty() {
            self.session.run(&format!("DROP TABLE {}", names.join(", "))).await?;
        }
        Ok(())
    }
}
