//! What leaves, told by what stays: a count of a closure in which nearly all rows leave.
//!
//! The few rows of a table that stay are found from the few rows of its parents that stay, by index where there is
//! one; all others leave, and are only counted. That is a count and no key sets, so it serves plans, and purges that
//! put back what stays. It holds only where the cut is clean: no row that stays refers to one that leaves (it would be detached), no
//! protected row leaves, and none that leaves belongs to a row that stays. Where the cut is not clean, where a check
//! decides whether a row leaves, or where many rows of a table stay, there is no answer, and the closure has to be
//! computed from the other side.
//!
//! Invariants
//! - a row stays if it is no root and none of the references that are followed leads it to a row that leaves;
//!   in a cycle the rows that may stay only ever become fewer;
//! - a declared key that was validated is taken to lead to a row; of any other reference, that is looked up. Where
//!   replication or a role without checks has made that wrong, the count is too high: a purge counts for itself, and the
//!   rewrite path looks closer.
//!
//! Not here: the closure itself (`closure`), which this must agree with.

use super::closure::{carried, pretty};
use super::condition::{Conditions, Side};
use super::dialect::Dialect;
use super::{Session, SqlError, counts, fingerprint, number, roots};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::closure::{Stage, Visit};
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{CloseRequest, Closure, Work};
use unseed_core::schema::{Origin, Reference, ReferenceId, Schema, Table, TableId};

/// The part of the root tables' rows that must be roots, in percent.
const NEARLY_ALL_PERCENT: u64 = 80;
/// So many rows of a table may stay in any case; of larger tables, half.
const STAYING_ROWS: u64 = 1_000;
/// Questions of one statement.
const CHUNK: usize = 40;

/// What leaves, by what stays.
#[derive(Debug, Default)]
pub(crate) struct Remainder {
    pub(crate) closure: Closure,
    /// Tables with a set of rows that stay, and how many those are.
    pub(crate) staying: BTreeMap<TableId, u64>,
    /// Rows of every table that the closure can reach.
    pub(crate) totals: BTreeMap<TableId, u64>,
}

/// What the count came to.
pub(crate) enum Told {
    Counted(Remainder),
    /// This way does not tell, and why.
    Not(String),
}

/// Counts what leaves with the roots, per table. Must run within one snapshot. If that succeeds, the sets of loaded
/// roots and of what stays are left behind.
pub(crate) async fn count(
    session: &mut dyn Session,
    work: &Work,
    request: &CloseRequest<'_>,
    progress: &dyn Progress,
) -> Result<Told, SqlError> {
    if let Some(table) = few(work, request) {
        let name = &work.schema.table(table).name;
        return Ok(Told::Not(format!(
            "less than {NEARLY_ALL_PERCENT} % of the rows of `{name}` are roots, or nobody has analysed it"
        )));
    }
    let tables: Vec<TableId> = work.program.sets.iter().map(|set| set.table).collect();
    let totals = counts::tables(session, &work.schema, &tables).await?;
    for roots in request.roots {
        roots::load(session, &work.schema, roots, 0).await?;
    }
    let mut search = Search { work, totals, rests: BTreeMap::new(), unread: Vec::new(), refused: None };
    search.follow(session, progress).await?;
    if search.refused.is_none() {
        search.refused = search.crossing(session).await?;
    }
    if let Some(why) = search.refused.take() {
        search.forget(session).await?;
        return Ok(Told::Not(why));
    }
    let left = search.rests.iter().map(|(table, rest)| (*table, rest.leaving()));
    Ok(Told::Counted(Remainder {
        closure: Closure { removed: left.filter(|(_, rows)| *rows > 0).collect(), ..Closure::default() },
        staying: search.rests.iter().map(|(table, rest)| (*table, rest.staying)).collect(),
        totals: search.totals,
    }))
}

/// The statements that find what stays, as if rows of every table left; for people to read.
pub(crate) fn explain(d: &dyn Dialect, work: &Work) -> Vec<String> {
    let search =
        Search { work, totals: BTreeMap::new(), rests: BTreeMap::new(), unread: Vec::new(), refused: None };
    let visits = work.program.stages.iter().flat_map(Stage::visits);
    let stays = |visit: &Visit| {
        let ids: Vec<ReferenceId> = visit.follows.iter().map(|follow| follow.reference).collect();
        search.stay_sql(d, visit.table, &ids, None)
    };
    visits.map(|visit| pretty(&stays(visit))).collect()
}

/// A root table of whose rows, as far as the database's estimates tell, not nearly all are roots.
fn few(work: &Work, request: &CloseRequest<'_>) -> Option<TableId> {
    let few = request.roots.iter().find(|roots| {
        let all = work.schema.table(roots.table).rows_estimate;
        all == 0 || roots.rows.count().saturating_mul(100) < all.saturating_mul(NEARLY_ALL_PERCENT)
    });
    few.map(|roots| roots.table)
}

/// Short name of the set of rows of a table that stay.
pub(crate) fn stay_set(table: TableId) -> String {
    format!("unseed_y{}", table.0)
}

/// The row of a table under this alias is none of those that stay.
pub(crate) fn leaves(d: &dyn Dialect, (table, shape): (TableId, &Table), x: &str) -> String {
    format!("NOT EXISTS (SELECT 1 FROM {} y WHERE {})", d.temp(&stay_set(table)), d.at(shape, x, "y"))
}

/// Where a reference is set, it leads to exactly one row, since the database has seen to that.
fn is_certain(schema: &Schema, id: ReferenceId) -> bool {
    let r = schema.reference(id);
    r.origin == Origin::Declared
        && r.validated
        && r.when.is_empty()
        && r.child_parts.is_none()
        && r.parent_parts.is_none()
        && schema.leads_to_key(r)
}

/// References that have to lead to a row wherever they are set, or else rows may have been counted that do not leave.
///
/// A row that belongs to its parent by a key that is never null leaves with it: were the parent one that stays, the cut
/// would not be clean. So one such key to a table of which that is known already tells of all rows of a table, and the
/// parent with the fewest rows is looked up fastest. Of other tables it has to hold for every key.
pub(crate) fn decisive(
    work: &Work,
    remainder: &Remainder,
    roots: &BTreeMap<TableId, u64>,
) -> Vec<ReferenceId> {
    let (schema, removed) = (&work.schema, &remainder.closure.removed);
    let mut known: BTreeSet<TableId> = roots
        .iter()
        .filter(|(table, rows)| removed.get(table) == Some(rows))
        .map(|(table, _)| *table)
        .collect();
    let mut decisive = Vec::new();
    let total = |table: &TableId| remainder.totals.get(table).copied().unwrap_or(u64::MAX);
    while let Some((table, id)) = removed.keys().filter(|table| !known.contains(table)).find_map(|table| {
        let owning = work.ownership.owning.get(table).into_iter().flatten();
        let sure = owning.filter(|id| {
            let r = schema.reference(**id);
            let never_null = r.child_columns.iter().all(|c| !schema.table(*table).columns[*c].nullable);
            never_null && known.contains(&r.parent) && is_certain(schema, **id)
        });
        sure.min_by_key(|id| total(&schema.reference(**id).parent)).map(|id| (*table, *id))
    }) {
        known.insert(table);
        decisive.push(id);
    }
    let others = schema.reference_ids().filter(|id| {
        let r = schema.reference(*id);
        removed.contains_key(&r.child) && !known.contains(&r.child) && is_certain(schema, *id)
    });
    decisive.extend(others);
    decisive
}

/// What is known of a table whose rows may leave.
#[derive(Debug, Default)]
struct Rest {
    total: u64,
    staying: u64,
    /// How often its staying rows became fewer.
    shrunk: u64,
    /// References that were followed, with the count of their parent then.
    followed: BTreeMap<ReferenceId, u64>,
}

impl Rest {
    fn leaving(&self) -> u64 {
        self.total - self.staying
    }
}

struct Search<'a> {
    work: &'a Work,
    totals: BTreeMap<TableId, u64>,
    rests: BTreeMap<TableId, Rest>,
    /// Sets whose contents the database has not looked at.
    unread: Vec<TableId>,
    /// Why this way does not tell.
    refused: Option<String>,
}

impl Search<'_> {
    fn conditions<'b>(&'b self, dialect: &'b dyn Dialect) -> Conditions<'b> {
        Conditions { schema: &self.work.schema, dialect }
    }

    fn reference(&self, id: ReferenceId) -> &Reference {
        self.work.schema.reference(id)
    }

    /// Whether rows of a table leave.
    fn leaves(&self, table: TableId) -> bool {
        self.rests.get(&table).is_some_and(|rest| rest.leaving() > 0)
    }

    async fn follow(&mut self, session: &mut dyn Session, progress: &dyn Progress) -> Result<(), SqlError> {
        let work = self.work;
        let stages = u64::try_from(work.program.stages.len()).ok();
        for (done, stage) in (1..).zip(&work.program.stages) {
            match stage {
                Stage::Once(visit) => drop(self.visit(session, visit).await?),
                Stage::Fixpoint(visits) => self.fixpoint(session, visits).await?,
            }
            if self.refused.is_some() {
                return Ok(());
            }
            progress.update("following references", done, stages);
        }
        self.analyze(session).await
    }

    /// Drops all sets, so that the closure can be computed in the same snapshot.
    async fn forget(&self, session: &mut dyn Session) -> Result<(), SqlError> {
        let roots = self.work.program.roots.iter().map(|table| roots::root_set(*table));
        let names = roots.chain(self.rests.keys().map(|table| stay_set(*table)));
        let names: Vec<String> = names.map(|name| session.dialect().temp(&name)).collect();
        for names in session.dialect().lists_of_tables(&names) {
            session.run(&format!("DROP TABLE {names}")).await?;
        }
        Ok(())
    }

    async fn fixpoint(&mut self, session: &mut dyn Session, visits: &[Visit]) -> Result<(), SqlError> {
        loop {
            let mut moved = false;
            for visit in visits {
                moved |= self.visit(session, visit).await?;
            }
            if !moved || self.refused.is_some() {
                return Ok(());
            }
        }
    }

    /// Follows the references of a table that lead to rows which leave, and were not followed since those became
    /// more; returns whether more rows leave now.
    async fn visit(&mut self, session: &mut dyn Session, visit: &Visit) -> Result<bool, SqlError> {
        let table = visit.table;
        let leads = |id: &ReferenceId| self.leaves(self.reference(*id).parent);
        let active = visit.follows.iter().filter(|follow| leads(&follow.reference));
        let decided_by_checks = active.clone().any(|follow| follow.only_if_check_fails.is_some())
            || visit.together.iter().any(|t| t.references.iter().all(|(id, _)| leads(id)));
        let shrunk = |id: ReferenceId| self.rests[&self.reference(id).parent].shrunk;
        let followed = |id: &ReferenceId| self.rests.get(&table).and_then(|rest| rest.followed.get(id));
        let news: Vec<(ReferenceId, u64)> = active
            .map(|follow| (follow.reference, shrunk(follow.reference)))
            .filter(|(id, now)| followed(id) != Some(now))
            .collect();
        let is_new = !self.rests.contains_key(&table);
        let is_root = self.work.program.roots.contains(&table);
        let total = self.totals.get(&table).copied().unwrap_or(0);
        if decided_by_checks {
            let name = &self.work.schema.table(table).name;
            self.refused = Some(format!("a check decides whether rows of `{name}` leave"));
        }
        if self.refused.is_some() || total == 0 || news.is_empty() && !(is_new && is_root) {
            return Ok(false);
        }
        if self
            .unread
            .iter()
            .any(|t| *t == table || news.iter().any(|(id, _)| self.reference(*id).parent == *t))
        {
            self.analyze(session).await?;
        }
        let ids: Vec<ReferenceId> = news.iter().map(|(id, _)| *id).collect();
        let before = self.rests.get(&table).map_or(total, |rest| rest.staying);
        let staying = if is_new {
            let most = STAYING_ROWS.max(total / 2);
            let sql = self.stay_sql(session.dialect(), table, &ids, Some(most + 1));
            let staying = session.run(&sql).await?;
            self.unread.push(table);
            if staying > most {
                let name = &self.work.schema.table(table).name;
                self.refused = Some(format!("more than half of the rows of `{name}` stay"));
            }
            staying
        } else {
            let sql = self.leave_sql(session.dialect(), table, &ids);
            before - session.run(&sql).await?
        };
        let rest = self.rests.entry(table).or_default();
        (rest.total, rest.staying) = (total, staying);
        rest.followed.extend(news);
        rest.shrunk += u64::from(staying < before);
        Ok(staying < before)
    }

    /// Has the database look at the sets that it has not seen: small ones are joined by index then.
    async fn analyze(&mut self, session: &mut dyn Session) -> Result<(), SqlError> {
        let names = std::mem::take(&mut self.unread);
        let names: Vec<String> = names.into_iter().map(|t| session.dialect().temp(&stay_set(t))).collect();
        for names in session.dialect().lists_of_tables(&names) {
            session.run(&session.dialect().analyze(&names)).await?;
        }
        Ok(())
    }

    /// The statement that finds the rows of a table that stay, as far as these references tell, and no more than `most`,
    /// where that is given.
    fn stay_sql(&self, d: &dyn Dialect, table: TableId, ids: &[ReferenceId], most: Option<u64>) -> String {
        let shape = self.work.schema.table(table);
        let mut columns = d.located(shape, "x");
        columns.extend(carried(d, shape, self.work.program.set(table)));
        let mut terms: Vec<String> = ids.iter().map(|id| self.stays(d, *id)).collect();
        if self.work.program.roots.contains(&table) {
            let set = d.temp(&roots::root_set(table));
            let same = roots::same_key(d, shape, "x", "r");
            terms.push(format!("NOT EXISTS (SELECT 1 FROM {set} r WHERE {same})"));
        }
        let select = format!(
            "SELECT {} FROM {} x WHERE {}{}",
            columns.join(", "),
            d.relation(shape),
            terms.join(" AND "),
            most.map(|most| format!(" LIMIT {most}")).unwrap_or_default(),
        );
        d.create_set(&d.temp(&stay_set(table)), &[], &select)
    }

    /// The statement that takes the rows out of a set that leave by one of these references.
    fn leave_sql(&self, d: &dyn Dialect, table: TableId, ids: &[ReferenceId]) -> String {
        let shape = self.work.schema.table(table);
        let set = d.temp(&stay_set(table));
        let leaving: Vec<String> = ids.iter().map(|id| format!("NOT ({})", self.stays(d, *id))).collect();
        format!(
            "DELETE FROM {set} y WHERE EXISTS (SELECT 1 FROM {} x WHERE {} AND {} AND ({}))",
            d.relation(shape),
            d.among(shape, "x", &set),
            d.at(shape, "x", "y"),
            leaving.join(" OR "),
        )
    }

    /// The row under alias `x` does not refer by this reference to a row that leaves.
    fn stays(&self, d: &dyn Dialect, id: ReferenceId) -> String {
        if !is_certain(&self.work.schema, id) {
            return format!("NOT {}", self.leads_away(d, id));
        }
        let r = self.reference(id);
        self.conditions(d).stays_within(r, "x", &d.temp(&stay_set(r.parent)))
    }

    /// The row under alias `x` refers by this reference to a row that is there and leaves.
    fn leads_away(&self, d: &dyn Dialect, id: ReferenceId) -> String {
        let r = self.reference(id);
        let parent = self.work.schema.table(r.parent);
        format!(
            "EXISTS (SELECT 1 FROM {} p WHERE {} AND {})",
            d.relation(parent),
            self.conditions(d).refers(r, ("x", Side::Table), ("p", Side::Table)),
            leaves(d, (r.parent, parent), "p"),
        )
    }

    /// What crosses the cut, apart from references of rows that leave to rows they do not belong to.
    async fn crossing(&self, session: &mut dyn Session) -> Result<Option<String>, SqlError> {
        let mut questions = self.detached(session.dialect());
        questions.extend(self.belonging(session.dialect()));
        for chunk in questions.chunks(CHUNK) {
            let numbered = (0..).zip(chunk).map(|(n, (_, from))| format!("SELECT {n}, count(*) FROM {from}"));
            let sql = numbered.collect::<Vec<String>>().join(" UNION ALL ");
            let rows = session.rows(&sql).await?;
            if let Some(row) = rows.iter().find(|row| number(row, 1) > 0) {
                let place = usize::try_from(number(row, 0)).unwrap_or_default();
                return Ok(chunk.get(place).map(|(what, _)| what.clone()));
            }
        }
        Ok(None)
    }

    /// Rows that stay and would be detached: what that means, and the rows as `relation WHERE …`.
    fn detached(&self, d: &dyn Dialect) -> Vec<(String, String)> {
        let mut questions = Vec::new();
        for detach in &self.work.program.detaches {
            let shape = self.work.schema.table(detach.table);
            let set = self.rests.contains_key(&detach.table).then(|| d.temp(&stay_set(detach.table)));
            let stays = set.map(|set| format!("{} AND ", d.among(shape, "x", &set))).unwrap_or_default();
            for (id, _) in detach.references.iter().filter(|(id, _)| self.leaves(self.reference(*id).parent))
            {
                let refers = if is_certain(&self.work.schema, *id) {
                    format!("NOT ({})", self.stays(d, *id))
                } else {
                    self.leads_away(d, *id)
                };
                let what = format!("rows of `{}` stay and refer to rows that leave", shape.name);
                questions.push((what, format!("{} x WHERE {stays}{refers}", d.relation(shape))));
            }
        }
        questions
    }

    /// Rows that leave and are protected, or may belong to a row that stays; like [`Search::detached`].
    fn belonging(&self, d: &dyn Dialect) -> Vec<(String, String)> {
        let conditions = self.conditions(d);
        let mut questions = Vec::new();
        for (table, rest) in self.rests.iter().filter(|(_, rest)| rest.leaving() > 0) {
            let shape = self.work.schema.table(*table);
            let (relation, leaves) = (d.relation(shape), leaves(d, (*table, shape), "x"));
            if self.work.ownership.protected.contains(table) {
                let protected = fingerprint::protected(d, self.work, *table, "x");
                let what = format!("protected rows of `{}` leave", shape.name);
                questions.push((what, format!("{relation} x WHERE {protected} AND {leaves}")));
            }
            let is_root = self.work.program.roots.contains(table);
            let only: BTreeSet<ReferenceId> = if is_root || rest.followed.len() > 1 {
                BTreeSet::new()
            } else {
                rest.followed.keys().copied().collect()
            };
            for id in self.work.ownership.owning.get(table).into_iter().flatten() {
                let r = self.reference(*id);
                // By its only reference, a row leaves with the row that it belongs to.
                if only.contains(id) && is_certain(&self.work.schema, *id) {
                    continue;
                }
                let belongs = if self.rests.contains_key(&r.parent) {
                    let refers = conditions.refers(r, ("x", Side::Table), ("j", Side::Keys));
                    format!("EXISTS (SELECT 1 FROM {} j WHERE {refers})", d.temp(&stay_set(r.parent)))
                } else {
                    conditions.is_set(r, "x")
                };
                let what = format!("rows of `{}` leave and belong to rows that stay", shape.name);
                questions.push((what, format!("{relation} x WHERE {belongs} AND {leaves}")));
            }
        }
        questions
    }
}
