//! The rewrite path: tables of which nearly all rows leave are emptied, and the rows that stay are put back.
//!
//! A person has to ask for it. It removes everything in one transaction that nobody can read or write these tables
//! beside, and for which the server neither checks references nor fires triggers; in return it takes as long as the
//! rows that stay need, not those that leave.
//!
//! Invariants
//! - the tables are the ones that the closure saw, under their names and with their parts, and so are their rows: nobody
//!   wrote since, or none is missing and the younger versions are the same, as is looked at under the lock;
//! - before the commit every table holds exactly the rows that stay, by their number and a digest over all of them, and
//!   nothing else was written;
//! - no table that is left alone refers to one that is emptied, by whatever kind of reference;
//! - no row was counted by a key that leads to nothing, since it may belong to a row that stays.
//!
//! Not here: which rows stay (`sql::remainder`), the archive.

use super::Postgres;
use super::dialect::PostgresDialect;
use super::effects::{self, Counters};
use super::remove::{Mode, Stop};
use crate::store::sql::counts::{self, Tally};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::remainder::{Remainder, stay_set};
use crate::store::sql::{Session, SqlError, fingerprint, number, numbered, text};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::fault::{Category, Fault, counted};
use unseed_core::port::store::{Archived, Closure, Removal, Removed, Tags, Work};
use unseed_core::schema::{EffectKind, Part, ReferenceId, TableId};

/// Rows and a digest over them, per table.
type Digests = BTreeMap<TableId, (u64, String)>;

/// Tables that are emptied.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    /// How many rows stay, per table.
    staying: BTreeMap<TableId, u64>,
    /// How many rows there are, per table.
    totals: BTreeMap<TableId, u64>,
    /// Versions that the closure saw although they are younger than the oldest transaction that ran then.
    young: Digests,
    last_tag: u64,
}

impl Rewritten {
    /// Chooses the tables: those that rows leave, and all that refer to them, since the server empties none without.
    ///
    /// # Errors
    /// `Refused` where a table has to be left alone that refers to one that is emptied, and where rules or triggers
    /// would work on rows that are put back.
    pub(super) fn choose(work: &Work, remainder: &Remainder, last_tag: u64) -> Result<Self, Fault> {
        let mut tables: BTreeSet<TableId> = remainder.closure.removed.keys().copied().collect();
        let all = work.schema.references.iter();
        while let Some(r) = all.clone().find(|r| tables.contains(&r.parent) && !tables.contains(&r.child)) {
            let is_known =
                remainder.staying.contains_key(&r.child) || remainder.totals.get(&r.child) == Some(&0);
            if !is_known {
                let (child, parent) = (&work.schema.table(r.child).name, &work.schema.table(r.parent).name);
                return Err(refused(&format!("`{child}` refers to `{parent}` and keeps all its rows")));
            }
            tables.insert(r.child);
        }
        for table in &tables {
            let shape = work.schema.table(*table);
            let stays = remainder.staying.get(table).is_some_and(|rows| *rows > 0);
            if let Some(check) = shape.checks.iter().find(|check| stays && !check.validated) {
                let why = format!(
                    "rows of `{}` stay, and may fail `{}`, which was never validated",
                    shape.name, check.name
                );
                return Err(refused(&why));
            }
            if let Some(effect) = shape.effects.iter().find(|e| e.always || e.kind == EffectKind::Rule) {
                return Err(refused(&format!("`{}` of `{}` is always in force", effect.name, shape.name)));
            }
        }
        let of = |counts: &BTreeMap<TableId, u64>| {
            tables
                .iter()
                .map(|t| (*t, counts.get(t).copied().unwrap_or(0)))
                .collect::<BTreeMap<TableId, u64>>()
        };
        let (staying, totals) = (of(&remainder.staying), of(&remainder.totals));
        Ok(Self { staying, totals, young: Digests::new(), last_tag })
    }

    /// All tables that the closure can reach, as if each kept rows; for people to read.
    pub(super) fn any(work: &Work) -> Self {
        let tables = || work.program.sets.iter().map(|set| (set.table, 1));
        let (staying, totals) = (tables().collect(), tables().collect());
        Self { staying, totals, young: Digests::new(), last_tag: 0 }
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &TableId> {
        self.staying.keys()
    }

    /// Tables that rows are put back into, parents first, as far as there is such an order.
    fn kept<'a>(&'a self, work: &'a Work) -> impl Iterator<Item = TableId> + 'a {
        let parents_first = work.program.removal.iter().rev().flatten().copied();
        parents_first.filter(|table| self.staying.get(table).is_some_and(|rows| *rows > 0))
    }

    /// Everything leaves with one batch, of all tags.
    pub(super) fn tags(&self, rows: u64) -> Tags {
        match self.last_tag {
            0 => Tags { rows: vec![(0, rows)], joined: Vec::new() },
            last => Tags { rows: vec![(0, rows), (last, 0)], joined: vec![(0, last)] },
        }
    }

    /// What leaves, all of it with the first tag.
    pub(super) fn tally(closure: &Closure) -> Tally {
        let mut tally = Tally::default();
        for (table, rows) in &closure.removed {
            tally.set_removed(*table, 0, *rows);
        }
        tally
    }
}

/// What others did to a table since the closure.
fn altered(what: &str) -> Fault {
    let message = format!("the schema changed while tables were to be emptied: {what}");
    Fault::new(Category::Stale, message)
        .state("the batch was rolled back")
        .hint("make a new plan with `unseed plan`")
}

/// Why a plan cannot take this path.
pub(super) fn refused(why: &str) -> Fault {
    Fault::refused(format!("the rewrite path cannot be taken: {why}"))
        .hint("leave `--path rewrite` out, or plan for other roots")
}

/// Short name of the rows of a table that are put back.
fn kept_set(table: TableId) -> String {
    format!("unseed_z{}", table.0)
}

impl Postgres {
    /// Refuses tables that the role may not empty or fill.
    pub(super) async fn may_rewrite(&mut self, work: &Work, rewritten: &Rewritten) -> Result<(), Fault> {
        let parts = rewritten.tables().flat_map(|t| parts(work, *t));
        let handles: Vec<String> = parts.map(|part| part.handle.to_string()).collect();
        let sql = format!(
            "SELECT oid::regclass::text FROM pg_class WHERE oid IN ({}) \
             AND NOT (has_table_privilege(oid, 'TRUNCATE') AND has_table_privilege(oid, 'INSERT')) ORDER BY 1 LIMIT 5",
            if handles.is_empty() { "0".to_owned() } else { handles.join(", ") }
        );
        let denied = self.session.rows(&sql).await.map_err(|e| e.fault("reading privileges"))?;
        if denied.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = denied.iter().map(|row| format!("`{}`", text(row, 0))).collect();
        Err(refused(&format!("the role may not TRUNCATE and INSERT INTO {}", names.join(", "))))
    }

    /// Removes what the closure found, in a transaction that stays open if all is proven.
    pub(super) async fn rewrite(
        &mut self,
        work: &Work,
        expected: &Closure,
        archived: &Archived,
    ) -> Result<Removal, Fault> {
        if expected.removed != archived.removed {
            return Ok(Removal::Changed("rows changed before they were archived".to_owned()));
        }
        let failed = |e: SqlError| e.fault("beginning a batch");
        self.wait_briefly(true).await.map_err(failed)?;
        self.session.run("BEGIN").await.map_err(failed)?;
        self.mode = None;
        self.session.begin_holding();
        let stop = match self.rewrite_and_prove(work, expected).await {
            Ok(removed) => return Ok(Removal::Proven(removed)),
            Err(stop) => stop,
        };
        // If the connection is gone, the server rolls back by itself.
        drop(self.session.run("ROLLBACK").await);
        self.session.end_transaction();
        match stop {
            Stop::Changed(why) => Ok(Removal::Changed(why)),
            Stop::Busy => Ok(Removal::Changed("a lock is not free".to_owned())),
            // A key refers to an emptied table that was not there, or a table is not there any more.
            Stop::Sql(error) if matches!(error.code.as_deref(), Some("0A000" | "42P01")) => {
                Err(altered(&error.message))
            }
            Stop::Sql(error) => Err(error.fault("rewriting tables")),
            Stop::Fault(fault) => Err(fault),
        }
    }

    async fn rewrite_and_prove(&mut self, work: &Work, expected: &Closure) -> Result<Removed, Stop> {
        let Some(rewritten) = self.closed.rewritten.clone() else { return Ok(Removed::default()) };
        let rewritten = rewritten.as_ref();
        let Statements { lock, keep, empty, refill } = statements(work, rewritten);
        self.limit_statements().await?;
        self.session.run(&lock).await?;
        self.refuse_altered(work, rewritten).await?;
        let before = effects::counters_and_files(&mut self.session, &self.closed.files).await?;
        if *before.files() != self.closed.files {
            return Err(Stop::Changed("a table was rewritten since the closure was computed".to_owned()));
        }
        if !self.nobody_wrote(&before) {
            self.refuse_changes(work, rewritten).await?;
        }
        self.set_mode(work, Mode::Skipped).await?;
        for sql in &keep {
            self.session.run(sql).await?;
        }
        let kept = self.digests(&kept_sql(work, rewritten)).await?;
        self.session.run(&empty).await?;
        for sql in &refill {
            self.session.run(sql).await?;
        }
        let found = self.digests(&found_sql(work, rewritten)).await?;
        let now = effects::counters(&mut self.session).await?;
        prove(work, rewritten, (&kept, &found), &now.since(&before))?;
        Ok(Removed {
            removed: expected.removed.clone(),
            token: now.transactions().0.to_string(),
            ..Removed::default()
        })
    }

    /// Looks whether the tables hold the rows that the closure saw and no others.
    async fn refuse_changes(&mut self, work: &Work, rewritten: &Rewritten) -> Result<(), Stop> {
        let (totals, young) = self.versions(work, rewritten).await?;
        let is_same =
            |t: &&TableId| totals.get(t) == rewritten.totals.get(t) && young.get(t) == rewritten.young.get(t);
        match rewritten.tables().find(|table| !is_same(table)) {
            Some(table) => {
                let name = &work.schema.table(*table).name;
                Err(Stop::Changed(format!("somebody wrote into `{name}`")))
            }
            None => Ok(()),
        }
    }

    /// Rows per table, and the versions among them that are not older than the closure's horizon.
    async fn versions(
        &mut self,
        work: &Work,
        rewritten: &Rewritten,
    ) -> Result<(BTreeMap<TableId, u64>, Digests), SqlError> {
        let young = format!("age(x.xmin) <= age('{}'::xid)", self.closed.horizon);
        let version = "hashtextextended(x.tableoid::text || x.ctid::text || x.xmin::text, 0)::numeric";
        let counts = rewritten.tables().map(|table| {
            let relation = PostgresDialect.relation(work.schema.table(*table));
            format!(
                "SELECT {}, count(*), count(*) FILTER (WHERE {young}), sum({version}) FILTER (WHERE {young}) FROM {relation} x",
                table.0
            )
        });
        let rows = self.session.rows(&counts.collect::<Vec<_>>().join(" UNION ALL ")).await?;
        let totals = rows.iter().map(|row| (numbered(row, 0), number(row, 1))).collect();
        let some = rows.iter().filter(|row| number(row, 2) > 0);
        Ok((totals, some.map(|row| (numbered(row, 0), (number(row, 2), text(row, 3)))).collect()))
    }

    /// What a removal has to know that a plan can do without; to be asked in the snapshot of the closure, of which
    /// `decisive` says by which keys rows were counted.
    ///
    /// # Errors
    /// `Refused` where such a key leads to nothing: a row that refers by it may belong to a row that stays.
    pub(super) async fn look_closer(
        &mut self,
        work: &Work,
        rewritten: &mut Rewritten,
        decisive: &[ReferenceId],
    ) -> Result<(), Fault> {
        let failed = |e: SqlError| e.fault("looking at what leaves");
        if !self.closed.sees_nothing_young {
            rewritten.young = self.versions(work, rewritten).await.map_err(failed)?.1;
        }
        let orphans = counts::orphans(&mut self.session, &work.schema, decisive).await.map_err(failed)?;
        match orphans.first() {
            Some(found) => {
                let key = work.schema.describe(found.reference);
                Err(refused(&format!("{} refer to nothing by {key}", counted(found.rows, "row"))))
            }
            None => Ok(()),
        }
    }

    /// Looks whether the names still lead to the tables that the closure saw, and to all of their parts.
    async fn refuse_altered(&mut self, work: &Work, rewritten: &Rewritten) -> Result<(), Stop> {
        let d = PostgresDialect;
        let known = rewritten.tables().map(|table| {
            let shape = work.schema.table(*table);
            let mut handles: Vec<u64> = shape.parts.iter().map(|part| part.handle).collect();
            handles.sort_unstable();
            let handles: Vec<String> = handles.iter().map(u64::to_string).collect();
            let name = d.literal(&super::dialect::qualified(&shape.name));
            format!("({}, to_regclass({name}), '{{{}}}'::int8[])", table.0, handles.join(","))
        });
        let sql = format!(
            "SELECT v.no FROM (VALUES {}) v (no, name, parts) WHERE coalesce((SELECT array_agg(relid::oid::int8 ORDER BY relid::oid::int8) \
             FROM pg_partition_tree(v.name) WHERE isleaf), ARRAY[v.name::oid::int8]) IS DISTINCT FROM v.parts",
            known.collect::<Vec<_>>().join(", ")
        );
        match self.session.rows(&sql).await?.first() {
            Some(row) => {
                let name = &work.schema.table(numbered(row, 0)).name;
                Err(Stop::Fault(altered(&format!("`{name}` is another table, or has other partitions"))))
            }
            None => Ok(()),
        }
    }

    /// Rows and digest per table.
    async fn digests(&mut self, selects: &[String]) -> Result<Digests, SqlError> {
        if selects.is_empty() {
            return Ok(BTreeMap::new());
        }
        let rows = self.session.rows(&selects.join(" UNION ALL ")).await?;
        Ok(rows.iter().map(|row| (numbered(row, 0), (number(row, 1), text(row, 2)))).collect())
    }

    /// Protected rows have other addresses now; they are looked for again.
    pub(super) async fn forget_protected(&mut self) -> Result<(), SqlError> {
        if let Some((found, _)) = self.protected.take() {
            fingerprint::forget(&mut self.session, &found).await?;
        }
        self.beside.forget().await
    }
}

/// All statements of the removal, for people to read.
pub(super) fn explain(work: &Work) -> Vec<String> {
    let rewritten = Rewritten::any(work);
    let Statements { lock, keep, empty, refill } = statements(work, &rewritten);
    let note = |why: &str, sql: String| format!("-- {why}\n{sql}");
    let kept = note("rows that stay, and a digest over them", kept_sql(work, &rewritten).join(" UNION ALL "));
    let found = note("must be the same", found_sql(work, &rewritten).join(" UNION ALL "));
    let mut all = vec![lock, "SET LOCAL session_replication_role = replica".to_owned()];
    all.extend(keep);
    all.extend([kept, empty]);
    all.extend(refill);
    all.push(found);
    all
}

/// The statements of the removal, in their order.
struct Statements {
    lock: String,
    /// One for each table that keeps rows, as all in `refill`.
    keep: Vec<String>,
    empty: String,
    refill: Vec<String>,
}

fn statements(work: &Work, rewritten: &Rewritten) -> Statements {
    let d = PostgresDialect;
    let relations: Vec<String> = rewritten.tables().map(|t| d.relation(work.schema.table(*t))).collect();
    let relations = relations.join(", ");
    let keep = |table: TableId| {
        let shape = work.schema.table(table);
        format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} x WHERE {}",
            d.temp(&kept_set(table)),
            effects::columns(shape, "x"),
            d.relation(shape),
            d.among(shape, "x", &d.temp(&stay_set(table))),
        )
    };
    let refill = |table: TableId| {
        let shape = work.schema.table(table);
        let columns = shape.stored_columns().into_iter().map(|c| shape.columns[c].name.clone());
        d.insert_staged(shape, &columns.collect::<Vec<_>>(), &d.temp(&kept_set(table)))
    };
    Statements {
        lock: format!("LOCK TABLE {relations} IN ACCESS EXCLUSIVE MODE"),
        keep: rewritten.kept(work).map(keep).collect(),
        empty: format!("TRUNCATE {relations}"),
        refill: rewritten.kept(work).map(refill).collect(),
    }
}

/// Rows and a digest over all their columns, also over those that were added since the catalog was read.
fn digest_sql(work: &Work, table: TableId, condition: &str) -> String {
    let (d, shape) = (PostgresDialect, work.schema.table(table));
    let digest = d.digest_of(&d.row_hash(shape, "x"));
    format!(
        "SELECT {}, count(*), coalesce({digest}, '0') FROM {} x WHERE {condition}",
        table.0,
        d.relation(shape)
    )
}

fn kept_sql(work: &Work, rewritten: &Rewritten) -> Vec<String> {
    let d = PostgresDialect;
    let stays = |table| d.among(work.schema.table(table), "x", &d.temp(&stay_set(table)));
    rewritten.kept(work).map(|table| digest_sql(work, table, &stays(table))).collect()
}

fn found_sql(work: &Work, rewritten: &Rewritten) -> Vec<String> {
    rewritten.tables().map(|table| digest_sql(work, *table, "true")).collect()
}

/// The tables hold what was kept, as many rows as stay, and nothing else was written.
fn prove(
    work: &Work,
    rewritten: &Rewritten,
    (kept, found): (&Digests, &Digests),
    done: &Counters,
) -> Result<(), Stop> {
    let wrong = |message: String| {
        let fault = Fault::refused(message).state("the batch was rolled back");
        Err(Stop::Fault(fault.hint("plan again without `--path rewrite`")))
    };
    let nothing = (0, "0".to_owned());
    for (table, rows) in &rewritten.staying {
        let name = &work.schema.table(*table).name;
        let (kept, found) = (kept.get(table).unwrap_or(&nothing), found.get(table).unwrap_or(&nothing));
        if kept != found || kept.0 != *rows {
            return wrong(format!(
                "of `{name}`, {rows} rows stay, {} were kept and {} are there now, or they are not the same",
                kept.0, found.0
            ));
        }
        if done.are_on() && (done.written(work, *table), done.deleted(work, *table)) != (*rows, 0) {
            return wrong(format!("the server counted other changes of `{name}` than {rows} inserted rows"));
        }
    }
    let handles: BTreeSet<u64> =
        rewritten.tables().flat_map(|t| parts(work, *t)).map(|part| part.handle).collect();
    match done.elsewhere(&handles) {
        _ if !done.are_on() => Err(Stop::Fault(effects::uncounted())),
        Some(name) => wrong(format!("putting rows back also wrote into `{name}`")),
        None => Ok(()),
    }
}

fn parts(work: &Work, table: TableId) -> &[Part] {
    &work.schema.table(table).parts
}
