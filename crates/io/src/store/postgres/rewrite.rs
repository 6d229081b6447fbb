//! The rewrite path: tables of which nearly all rows leave are emptied, and the rows that stay are put back.
//!
//! A person has to ask for it. It removes everything in one transaction that nobody can read or write these tables
//! beside, and for which the server neither checks references nor fires triggers; in return it takes as long as the
//! rows that stay need, not those that leave.
//!
//! Invariants
//! - the tables are the ones that the closure saw, row by row: nobody wrote since, or no version is younger and none is
//!   missing, as is looked at under the lock;
//! - before the commit every table holds exactly the rows that stay, by their number and a digest over all of them, and
//!   nothing else was written;
//! - no table that is left alone refers to one that is emptied.
//!
//! Not here: which rows stay (`sql::remainder`), the archive.

use super::dialect::PostgresDialect;
use super::effects::{self, Counters};
use super::remove::{Mode, Stop};
use super::{Closed, Postgres};
use crate::store::sql::counts::Tally;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::remainder::{Remainder, stay_set};
use crate::store::sql::{Session, SqlError, fingerprint, number, numbered, text};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::fault::Fault;
use unseed_core::port::store::{Archived, Closure, Removal, Removed, Tags, Work};
use unseed_core::schema::{EffectKind, Origin, Part, TableId};

/// Rows and a digest over them, per table.
type Digests = BTreeMap<TableId, (u64, String)>;

/// Tables that are emptied.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    /// How many rows stay, per table.
    staying: BTreeMap<TableId, u64>,
    /// How many rows there are, per table.
    totals: BTreeMap<TableId, u64>,
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
        let declared = || work.schema.references.iter().filter(|r| r.origin == Origin::Declared);
        while let Some(r) = declared().find(|r| tables.contains(&r.parent) && !tables.contains(&r.child)) {
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
        Ok(Self { staying: of(&remainder.staying), totals: of(&remainder.totals), last_tag })
    }

    /// All tables that the closure can reach, as if each kept rows; for people to read.
    pub(super) fn any(work: &Work) -> Self {
        let tables = || work.program.sets.iter().map(|set| (set.table, 1));
        Self { staying: tables().collect(), totals: tables().collect(), last_tag: 0 }
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &TableId> {
        self.staying.keys()
    }

    /// Tables that rows are put back into.
    fn kept(&self) -> impl Iterator<Item = TableId> {
        self.staying.iter().filter(|(_, rows)| **rows > 0).map(|(table, _)| *table)
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

/// Why a plan cannot take this path.
pub(super) fn refused(why: &str) -> Fault {
    Fault::refused(format!("the rewrite path cannot be taken: {why}"))
        .hint("leave `--path rewrite` out, or plan for other roots")
}

impl Closed {
    /// The condition of the rows that leave, under alias `x`.
    pub(super) fn leaving(table: TableId) -> String {
        let set = PostgresDialect.temp(&stay_set(table));
        format!("NOT EXISTS (SELECT 1 FROM {set} k WHERE k.part = x.tableoid AND k.tid = x.ctid)")
    }
}

/// Short name of the rows of a table that are put back.
fn kept_set(table: TableId) -> String {
    format!("unseed_z{}", table.0)
}

/// Columns whose values are kept; the server computes the others.
fn columns(work: &Work, table: TableId, alias: &str) -> String {
    let shape = work.schema.table(table);
    let quoted = |c: &usize| format!("{alias}{}", PostgresDialect.quote(&shape.columns[*c].name));
    shape.stored_columns().iter().map(quoted).collect::<Vec<_>>().join(", ")
}

impl Postgres {
    /// Refuses tables that the role may not empty or fill.
    pub(super) async fn may_rewrite(&mut self, work: &Work) -> Result<(), Fault> {
        let rewritten = self.closed.rewritten.as_ref().into_iter();
        let tables = rewritten.flat_map(Rewritten::tables).flat_map(|t| parts(work, *t));
        let handles: Vec<String> = tables.map(|part| part.handle.to_string()).collect();
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
            Stop::Sql(error) => Err(error.fault("rewriting tables")),
            Stop::Fault(fault) => Err(fault),
        }
    }

    async fn rewrite_and_prove(&mut self, work: &Work, expected: &Closure) -> Result<Removed, Stop> {
        let rewritten = self.closed.rewritten.take().unwrap_or_default();
        let done = self.rewrite_tables(work, expected, &rewritten).await;
        self.closed.rewritten = Some(rewritten);
        done
    }

    async fn rewrite_tables(
        &mut self,
        work: &Work,
        expected: &Closure,
        rewritten: &Rewritten,
    ) -> Result<Removed, Stop> {
        self.limit_statements().await?;
        let [lock, rest @ ..] = &statements(work, rewritten)[..] else { return Ok(Removed::default()) };
        self.session.run(lock).await?;
        let before = effects::counters_and_files(&mut self.session, &self.closed.files).await?;
        if *before.files() != self.closed.files {
            return Err(Stop::Changed("a table was rewritten since the closure was computed".to_owned()));
        }
        if !self.nobody_wrote(&before) {
            self.refuse_changes(work, rewritten).await?;
        }
        self.set_mode(work, Mode::Skipped).await?;
        let (keep, refill) = rest.split_at(rewritten.kept().count());
        for sql in keep {
            self.session.run(sql).await?;
        }
        let kept = self.digests(&kept_sql(work, rewritten)).await?;
        for sql in refill {
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
        let young = format!("age(x.xmin) <= age('{}'::xid)", self.closed.horizon);
        let counts: Vec<String> = rewritten
            .tables()
            .map(|table| {
                let relation = PostgresDialect.relation(work.schema.table(*table));
                format!("SELECT {}, count(*), count(*) FILTER (WHERE {young}) FROM {relation} x", table.0)
            })
            .collect();
        for row in self.session.rows(&counts.join(" UNION ALL ")).await? {
            let table = numbered(&row, 0);
            if number(&row, 1) != rewritten.totals[&table] || number(&row, 2) > 0 {
                let name = &work.schema.table(table).name;
                return Err(Stop::Changed(format!("somebody wrote into `{name}`")));
            }
        }
        Ok(())
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
    let mut all = statements(work, &rewritten);
    let refill = all.split_off(1 + rewritten.kept().count());
    let note = |why: &str, sql: String| format!("-- {why}\n{sql}");
    all.insert(1, "SET LOCAL session_replication_role = replica".to_owned());
    let kept = note("rows that stay, and a digest over them", kept_sql(work, &rewritten).join(" UNION ALL "));
    let found = note("must be the same", found_sql(work, &rewritten).join(" UNION ALL "));
    all.into_iter().chain([kept]).chain(refill).chain([found]).collect()
}

/// The lock, one statement for each table that keeps rows, the one that empties all, and one for each that is refilled.
pub(super) fn statements(work: &Work, rewritten: &Rewritten) -> Vec<String> {
    let d = PostgresDialect;
    let relations: Vec<String> = rewritten.tables().map(|t| d.relation(work.schema.table(*t))).collect();
    let relations = relations.join(", ");
    let mut statements = vec![format!("LOCK TABLE {relations} IN ACCESS EXCLUSIVE MODE")];
    for table in rewritten.kept() {
        let shape = work.schema.table(table);
        statements.push(format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} x WHERE {}",
            kept_set(table),
            columns(work, table, "x."),
            d.relation(shape),
            d.among(shape, "x", &d.temp(&stay_set(table))),
        ));
    }
    statements.push(format!("TRUNCATE {relations}"));
    for table in rewritten.kept() {
        let list = columns(work, table, "");
        statements.push(format!(
            "INSERT INTO {} ({list}) OVERRIDING SYSTEM VALUE SELECT {list} FROM {}",
            super::dialect::qualified(&work.schema.table(table).name),
            d.temp(&kept_set(table)),
        ));
    }
    statements
}

/// Rows and a digest over all their columns, also over those that were added since the catalog was read.
fn digest_sql(work: &Work, table: TableId, condition: &str) -> String {
    let relation = PostgresDialect.relation(work.schema.table(table));
    format!(
        "SELECT {}, count(*), coalesce(sum(hashtextextended(ROW(x.*)::text, 0)::numeric), 0)::text \
         FROM {relation} x WHERE {condition}",
        table.0,
    )
}

fn kept_sql(work: &Work, rewritten: &Rewritten) -> Vec<String> {
    let d = PostgresDialect;
    let stays = |table| d.among(work.schema.table(table), "x", &d.temp(&stay_set(table)));
    rewritten.kept().map(|table| digest_sql(work, table, &stays(table))).collect()
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
