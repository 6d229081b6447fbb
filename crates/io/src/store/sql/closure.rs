//! The closure program as statements: one `CREATE TEMPORARY TABLE … AS SELECT` per table that is reached.
//!
//! A table outside cycles is scanned once, joined with the key sets of all its parents; the tables of a
//! cycle are scanned again only for references whose parent set grew since (semi-naive evaluation, with a
//! step number per insert). Tables whose parents' sets are empty are not touched at all. Where nearly all rows of a
//! table leave and it is looked at again, the first scan sets the others aside, and later ones read only those.
//!
//! Columns of a key set: the row's address and version, `tag` (the batch unit of the root it leaves with),
//! `doomed` (false for a row that only gets detached, found on the same scan), `is_open` (it may belong to a
//! row that stays), `step` (in cycles), `w7` (reference 7 must be detached), and `c3` (column 3, needed by
//! later joins).

use super::condition::{Conditions, Side};
use super::dialect::Dialect;
use super::{Session, SqlError, number, numbered, roots};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::closure::{Detachment, KeySet, Program, Stage, Together, Visit};
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{CloseRequest, Work};
use unseed_core::protect::Ownership;
use unseed_core::schema::{ReferenceId, Schema, Table, TableId};

/// The condition of rows that are not open.
const NEVER: &str = "false";

/// How the statement of a visit is made, apart from the references that it follows.
#[derive(Clone, Copy)]
struct Look<'a> {
    /// Weak references whose detached rows it finds too.
    inline: &'a [ReferenceId],
    /// Number of the insert.
    step: u64,
    /// Rows that are not found to leave are put into the key set too, to be set aside next.
    sets_aside: bool,
}

/// What is known about one key set.
#[derive(Debug, Clone, Default)]
pub(crate) struct SetInfo {
    /// Rows in it, detached ones included.
    pub(crate) rows: u64,
    last_step: u64,
    /// Whether it has a `step` column.
    stepped: bool,
    /// Weak references whose detached rows were found on the same scan.
    pub(crate) inline: Vec<ReferenceId>,
    /// Whether the database has looked at its contents.
    pub(crate) analyzed: bool,
    /// Whether rows of it may be open, as far as statements tell.
    may_be_open: bool,
    /// How many rows that leave are open, once they were counted.
    pub(crate) open: Option<u64>,
    /// Whether its rows were only counted or listed, so that there is no such table.
    pub(crate) is_leaf: bool,
    /// Whether the rows of the table that are not in it were set aside.
    has_aside: bool,
}

/// What becomes of the rows of tables that nothing follows from.
#[derive(Clone, Copy)]
pub(crate) enum Leaves<'a> {
    /// Key sets, as of any other table.
    Keep,
    /// They are only counted.
    Count,
    /// A statement of the store lists the rows of several tables, and answers with a table's number, how many rows it
    /// has listed, and how many of them are open; more than once for a table, if it likes.
    List(&'a (dyn Fn(&[Leaf]) -> String + Sync)),
}

/// A table that nothing follows from, and the query for its rows.
pub(crate) struct Leaf {
    pub(crate) table: TableId,
    pub(crate) select: String,
    step: u64,
    may_be_open: bool,
}

/// Leaves are found by one statement, as long as the key sets that it joins have so many rows: it holds them in memory.
const JOINED_ROWS_MAX: u64 = 250_000;

impl SetInfo {
    /// Whether some rows that leave may belong to a row that stays.
    pub(crate) fn has_open(&self) -> bool {
        self.may_be_open && self.open != Some(0)
    }

    /// What needs no counting: all rows leave, and none of them is open.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_leaf || self.inline.is_empty() && !self.may_be_open
    }
}

/// The key sets of one closure.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sets {
    pub(crate) keys: BTreeMap<TableId, SetInfo>,
    /// Tables with a separate set of detached rows, and the weak references that it covers.
    pub(crate) detached: BTreeMap<TableId, Vec<ReferenceId>>,
    processed: BTreeMap<ReferenceId, u64>,
    /// Per table: the step up to which its groups of references were followed together.
    together: BTreeMap<TableId, u64>,
    step: u64,
}

impl Sets {
    /// Whether any row of the table leaves (or is detached on the same scan).
    pub(crate) fn has(&self, table: TableId) -> bool {
        self.keys.get(&table).is_some_and(|set| set.rows > 0)
    }
}

/// Short name of the key set of a table.
pub(crate) fn key_set(table: TableId) -> String {
    format!("unseed_k{}", table.0)
}

/// Short name of the separate set of detached rows of a table.
pub(crate) fn detach_set(table: TableId) -> String {
    format!("unseed_d{}", table.0)
}

/// Short name of the set of rows that key sets do not hold, of all tables that have such.
const ASIDE: &str = "unseed_s";

/// The rows of a table that its key set does not hold, as a relation.
fn aside(d: &dyn Dialect, table: TableId) -> String {
    format!("(SELECT a.* FROM {} a WHERE a.no = {})", d.temp(ASIDE), table.0)
}

/// The columns of a table under alias `x` that later steps need, as `expression AS name`.
pub(crate) fn carried(d: &dyn Dialect, shape: &Table, set: Option<&KeySet>) -> Vec<String> {
    let columns = set.map(|set| set.carried.as_slice()).unwrap_or_default();
    columns.iter().map(|c| format!("x.{} AS c{c}", d.quote(&shape.columns[*c].name))).collect()
}

/// Runs the closure of the roots; returns its sets. Must run within one snapshot.
pub(crate) async fn close(
    session: &mut dyn Session,
    work: &Work,
    request: &CloseRequest<'_>,
    leaves: Leaves<'_>,
    progress: &dyn Progress,
) -> Result<Sets, SqlError> {
    let mut closing = Closing::new(work);
    closing.leaves = leaves;
    let mut ordinal = 0;
    for roots in request.roots {
        roots::load(session, &work.schema, roots, ordinal).await?;
        ordinal += u64::try_from(roots.rows.len()).unwrap_or(u64::MAX);
        closing.seed(session, roots.table, request.roots_per_tag).await?;
    }
    let total = u64::try_from(work.program.sets.len() + work.program.detaches.len()).ok();
    let mut done = 0;
    for stage in &work.program.stages {
        match stage {
            Stage::Once(visit) => {
                closing.visit(session, visit).await?;
                done += 1;
            }
            Stage::Fixpoint(visits) => {
                closing.fixpoint(session, visits).await?;
                done += u64::try_from(visits.len()).unwrap_or(0);
            }
        }
        progress.update("following references", done, total);
    }
    closing.find_leaves(session).await?;
    for detach in &work.program.detaches {
        closing.detach(session, detach.table).await?;
        done += 1;
        progress.update("following references", done, total);
    }
    Ok(closing.sets)
}

pub(crate) struct Closing<'a> {
    schema: &'a Schema,
    program: &'a Program,
    ownership: &'a Ownership,
    stepped: BTreeSet<TableId>,
    leaves: Leaves<'a>,
    /// Leaves that are still to be found, and how many rows the key sets have that are joined for that.
    postponed: Vec<Leaf>,
    joined: u64,
    sets: Sets,
}

impl<'a> Closing<'a> {
    pub(crate) fn new(work: &'a Work) -> Self {
        let mut stepped = BTreeSet::new();
        for stage in &work.program.stages {
            match stage {
                Stage::Once(_) => {}
                Stage::Fixpoint(visits) => stepped.extend(visits.iter().map(|v| v.table)),
            }
        }
        Self {
            schema: &work.schema,
            program: &work.program,
            ownership: &work.ownership,
            stepped,
            leaves: Leaves::Keep,
            postponed: Vec::new(),
            joined: 0,
            sets: Sets::default(),
        }
    }

    fn seed_sql(&self, d: &dyn Dialect, table: TableId, group: u64) -> String {
        let tag = d.tag_of("r.ord", group);
        format!(
            "{} FROM {} x JOIN {} r ON {}",
            self.columns(d, table, &tag, "true", &self.open_all(table), 1),
            d.relation(self.schema.table(table)),
            d.temp(&roots::root_set(table)),
            roots::same_key(d, self.schema.table(table), "x", "r"),
        )
    }

    /// Starts the key set of a root table with the loaded roots.
    async fn seed(&mut self, session: &mut dyn Session, table: TableId, group: u64) -> Result<(), SqlError> {
        let select = self.seed_sql(session.dialect(), table, group);
        let rows = self.fill(session, table, &select, true).await?;
        self.note(table, rows, 1, Vec::new(), self.open_all(table) != NEVER);
        self.sets.step = 1;
        Ok(())
    }

    async fn fixpoint(&mut self, session: &mut dyn Session, visits: &[Visit]) -> Result<(), SqlError> {
        loop {
            let mut grew = false;
            for visit in visits {
                grew |= self.visit(session, visit).await? > 0;
            }
            if !grew {
                return Ok(());
            }
        }
    }

    /// References of a visit whose parent set grew since they were last followed, with the step they were
    /// followed up to.
    fn active(&self, visit: &Visit) -> Vec<(usize, u64)> {
        let mut active = Vec::new();
        for (index, follow) in visit.follows.iter().enumerate() {
            let parent = self.schema.reference(follow.reference).parent;
            let Some(set) = self.sets.keys.get(&parent).filter(|set| set.rows > 0) else { continue };
            match self.sets.processed.get(&follow.reference) {
                None => active.push((index, 0)),
                Some(seen) if set.last_step > *seen => active.push((index, *seen)),
                Some(_) => {}
            }
        }
        active
    }

    async fn visit(&mut self, session: &mut dyn Session, visit: &Visit) -> Result<u64, SqlError> {
        let active = self.active(visit);
        let inline = self.inline(visit);
        if active.is_empty() && inline.is_empty() && self.active_together(visit).is_empty() {
            return Ok(0);
        }
        let step = self.sets.step + 1;
        let follows = active.iter().map(|(index, _)| visit.follows[*index].reference);
        self.analyze(session, follows.chain(visit.companions.iter().copied()).collect()).await?;
        let exists = self.sets.keys.contains_key(&visit.table);
        let sets_aside = !exists && inline.is_empty() && self.sets_aside(session.dialect(), visit, &active);
        let look = Look { inline: &inline, step, sets_aside };
        let sql = self.visit_sql(session.dialect(), visit, &active, look);
        let may_be_open = self.open(visit, &active, session.dialect()) != NEVER;
        if !matches!(self.leaves, Leaves::Keep) && self.is_leaf(visit.table) {
            let leaf = Leaf { table: visit.table, select: sql, step, may_be_open };
            self.sets.step = step;
            return self.postpone(session, leaf, visit, &active).await.map(|()| 0);
        }
        let rows = self.fill(session, visit.table, &sql, !exists).await?;
        let rows = self.part_aside(session, visit.table, rows, look).await?;
        for (index, _) in &active {
            let reference = visit.follows[*index].reference;
            let parent = self.schema.reference(reference).parent;
            let seen = self.sets.keys.get(&parent).map_or(0, |set| set.last_step);
            self.sets.processed.insert(reference, seen.max(1));
        }
        let grown = |id: &ReferenceId| self.sets.keys.get(&self.schema.reference(*id).parent);
        let seen = visit.together.iter().flat_map(|t| &t.references).filter_map(|(id, _)| grown(id));
        let seen = seen.map(|set| set.last_step).max().unwrap_or(0);
        self.sets.together.insert(visit.table, seen);
        self.sets.step = step;
        self.note(visit.table, rows, step, inline, may_be_open);
        Ok(rows)
    }

    /// Nothing refers to the table's rows, they are found in one go, and no row of it is detached or protected.
    fn is_leaf(&self, table: TableId) -> bool {
        self.program.set(table).is_some_and(|set| set.carried.is_empty())
            && !self.stepped.contains(&table)
            && !self.program.roots.contains(&table)
            && !self.ownership.protected.contains(&table)
            && !self.program.detaches.iter().any(|detach| detach.table == table)
    }

    /// Finds the rows of a table later, together with those of others.
    async fn postpone(
        &mut self,
        session: &mut dyn Session,
        leaf: Leaf,
        visit: &Visit,
        active: &[(usize, u64)],
    ) -> Result<(), SqlError> {
        let follows = active.iter().map(|(index, _)| visit.follows[*index].reference);
        let parents =
            follows.chain(visit.companions.iter().copied()).map(|id| self.schema.reference(id).parent);
        let joined: u64 = parents.filter_map(|parent| self.sets.keys.get(&parent)).map(|set| set.rows).sum();
        if self.joined + joined > JOINED_ROWS_MAX || !session.dialect().plans_by_statistics() {
            self.find_leaves(session).await?;
        }
        self.joined += joined;
        self.postponed.push(leaf);
        Ok(())
    }

    /// Counts or lists the rows of tables that nothing follows from without keeping them, unless some are open.
    async fn find_leaves(&mut self, session: &mut dyn Session) -> Result<(), SqlError> {
        let leaves = std::mem::take(&mut self.postponed);
        self.joined = 0;
        if leaves.is_empty() {
            return Ok(());
        }
        let counts = |leaf: &Leaf| {
            let open = "count(CASE WHEN q.is_open THEN 1 END)";
            format!("SELECT {}, count(*), {open} FROM ({}) q", leaf.table.0, leaf.select)
        };
        let sql = match self.leaves {
            Leaves::List(list) => list(&leaves),
            Leaves::Count | Leaves::Keep => leaves.iter().map(counts).collect::<Vec<_>>().join(" UNION ALL "),
        };
        let mut found: BTreeMap<TableId, (u64, u64)> = BTreeMap::new();
        for row in session.rows(&sql).await? {
            let (rows, open) = found.entry(numbered(&row, 0)).or_default();
            *rows += number(&row, 1);
            *open += number(&row, 2);
        }
        for leaf in leaves {
            let (rows, open) = found.get(&leaf.table).copied().unwrap_or_default();
            let rows = if open == 0 {
                let set = self.sets.keys.entry(leaf.table).or_default();
                (set.is_leaf, set.open) = (true, Some(0));
                rows
            } else {
                self.fill(session, leaf.table, &leaf.select, true).await?
            };
            self.note(leaf.table, rows, leaf.step, Vec::new(), leaf.may_be_open);
        }
        Ok(())
    }

    /// Before many sets are joined, has the database look at them: guesses about unknown sets multiply with
    /// each join, up to plans for more rows than there can be.
    async fn analyze(&mut self, session: &mut dyn Session, ids: Vec<ReferenceId>) -> Result<(), SqlError> {
        const GUESSED_JOINS_MAX: usize = 2;
        if !session.dialect().plans_by_statistics() || ids.len() <= GUESSED_JOINS_MAX {
            return Ok(());
        }
        let mut names = Vec::new();
        for parent in ids.into_iter().map(|id| self.schema.reference(id).parent) {
            if let Some(set) = self.sets.keys.get_mut(&parent).filter(|set| set.rows > 0 && !set.analyzed) {
                set.analyzed = true;
                names.push(session.dialect().temp(&key_set(parent)));
            }
        }
        if !names.is_empty() {
            session.run(&session.dialect().analyze(&names.join(", "))).await?;
        }
        Ok(())
    }

    /// Groups of weak references whose parents all have rows, if one of those sets grew since.
    fn active_together<'b>(&self, visit: &'b Visit) -> Vec<&'b Together> {
        let seen = self.sets.together.get(&visit.table).copied().unwrap_or(0);
        let set = |id: ReferenceId| self.sets.keys.get(&self.schema.reference(id).parent);
        visit
            .together
            .iter()
            .filter(|t| t.references.iter().all(|(id, _)| set(*id).is_some_and(|s| s.rows > 0)))
            .filter(|t| t.references.iter().any(|(id, _)| set(*id).is_some_and(|s| s.last_step > seen)))
            .collect()
    }

    /// The weak references of a table that this visit can serve too: all of them or none.
    fn inline(&self, visit: &Visit) -> Vec<ReferenceId> {
        let Some(detach) = self.program.detaches.iter().find(|d| d.table == visit.table) else {
            return Vec::new();
        };
        let outside = !self.stepped.contains(&visit.table) && !self.program.roots.contains(&visit.table);
        let all = detach.references.iter().all(|(id, _)| visit.companions.contains(id));
        if !outside || !all {
            return Vec::new();
        }
        let ids = detach.references.iter().map(|(id, _)| *id);
        ids.filter(|id| self.sets.has(self.schema.reference(*id).parent)).collect()
    }

    /// Whether the first scan of a table is to set aside the rows that it does not find to leave: nearly all leave, as
    /// those do to which a column that is never null refers, and the table is looked at again.
    fn sets_aside(&self, d: &dyn Dialect, visit: &Visit, active: &[(usize, u64)]) -> bool {
        const NEARLY_ALL_PERCENT: u64 = 90;
        let table = self.schema.table(visit.table);
        let again = self.stepped.contains(&visit.table)
            || self.program.detaches.iter().any(|detach| detach.table == visit.table);
        let takes_nearly_all = |index: &usize| {
            let follow = &visit.follows[*index];
            let reference = self.schema.reference(follow.reference);
            let all = self.schema.table(reference.parent).rows_estimate;
            let found = self.sets.keys.get(&reference.parent).map_or(0, |set| set.rows);
            follow.only_if_check_fails.is_none()
                && reference.child_columns.iter().all(|c| !table.columns[*c].nullable)
                && all > 0
                && found.saturating_mul(100) >= all.saturating_mul(NEARLY_ALL_PERCENT)
        };
        again && d.rest_of(table).is_some() && active.iter().any(|(index, _)| takes_nearly_all(index))
    }

    /// Keeps the promise that a table's rows are either in its key set or, if they were set aside, there; returns how
    /// many of the rows that were just put into the key set are still in it.
    async fn part_aside(
        &mut self,
        session: &mut dyn Session,
        table: TableId,
        rows: u64,
        look: Look<'_>,
    ) -> Result<u64, SqlError> {
        let d = session.dialect();
        let (keys, aside) = (d.temp(&key_set(table)), d.temp(ASIDE));
        if look.sets_aside {
            let address = d.address().join(", ");
            if !self.sets.keys.values().any(|set| set.has_aside) {
                let shape = format!("SELECT {} AS no, {address} FROM {keys} WHERE false", table.0);
                session.run(&d.create_set(&aside, &[], &shape)).await?;
            }
            let moved = format!("DELETE FROM {keys} WHERE doomed IS NOT TRUE RETURNING {address}");
            let insert = format!("INSERT INTO {aside} SELECT {}, {address} FROM moved", table.0);
            let staying = session.run(&format!("WITH moved AS ({moved}) {insert}")).await?;
            self.sets.keys.entry(table).or_default().has_aside = true;
            return Ok(rows - staying);
        }
        if rows > 0 && self.sets.keys.get(&table).is_some_and(|set| set.has_aside) {
            let same = d.address().iter().map(|name| format!("k.{name} = s.{name}"));
            let same = same.collect::<Vec<_>>().join(" AND ");
            let found = format!("SELECT 1 FROM {keys} k WHERE k.step = {} AND {same}", look.step);
            session
                .run(&format!("DELETE FROM {aside} s WHERE s.no = {} AND EXISTS ({found})", table.0))
                .await?;
        }
        Ok(rows)
    }

    fn visit_sql(&self, d: &dyn Dialect, visit: &Visit, active: &[(usize, u64)], look: Look<'_>) -> String {
        let Look { inline, step, sets_aside } = look;
        let conditions = Conditions { schema: self.schema, dialect: d };
        let mut joins = String::new();
        let (mut tags, mut strong, mut weak) = (Vec::new(), Vec::new(), Vec::new());
        for (n, (index, seen)) in active.iter().enumerate() {
            let follow = &visit.follows[*index];
            let alias = format!("j{n}");
            let mut extra = Vec::new();
            if *seen > 0 {
                extra.push(format!("{alias}.step > {seen}"));
            }
            if let Some(detachment) = &follow.only_if_check_fails {
                extra.push(conditions.checks_fail(visit.table, &[detachment], &detachment.checks, "x"));
            }
            joins.push_str(&self.join(&conditions, follow.reference, &alias, &extra));
            tags.push(format!("{alias}.tag"));
            strong.push(format!("{alias}.tag IS NOT NULL"));
        }
        for (n, id) in visit.companions.iter().enumerate() {
            if !self.sets.has(self.schema.reference(*id).parent) {
                continue;
            }
            let alias = format!("w{n}");
            joins.push_str(&self.join(&conditions, *id, &alias, &[]));
            tags.push(format!("{alias}.tag"));
            if inline.contains(id) {
                weak.push((*id, format!("{alias}.tag IS NOT NULL")));
            }
        }
        for (n, together) in self.active_together(visit).into_iter().enumerate() {
            let mut all = Vec::new();
            for (m, (id, _)) in together.references.iter().enumerate() {
                let alias = format!("t{n}_{m}");
                joins.push_str(&self.join(&conditions, *id, &alias, &[]));
                tags.push(format!("{alias}.tag"));
                all.push(format!("{alias}.tag IS NOT NULL"));
            }
            let detachments: Vec<&Detachment> = together.references.iter().map(|(_, d)| d).collect();
            all.push(conditions.checks_fail(visit.table, &detachments, &together.checks, "x"));
            strong.push(format!("({})", all.join(" AND ")));
        }
        let doomed =
            if strong.is_empty() { "false".to_owned() } else { format!("({})", strong.join(" OR ")) };
        let mut columns =
            self.columns(d, visit.table, &d.least(&tags), &doomed, &self.open(visit, active, d), step);
        for (id, matches) in &weak {
            columns.push_str(&format!(", ({matches}) AS w{}", id.0));
        }
        let any: Vec<String> = strong.into_iter().chain(weak.into_iter().map(|(_, m)| m)).collect();
        let any = if sets_aside { "true".to_owned() } else { any.join(" OR ") };
        format!("{columns} {}", self.unknown(d, visit.table, &joins, &any))
    }

    /// `FROM … WHERE …` for the rows of a table, under alias `x` and with these joins, that meet a condition and are
    /// not known to leave. Where most are known, those are taken out before anything is joined.
    fn unknown(&self, d: &dyn Dialect, table: TableId, joins: &str, condition: &str) -> String {
        let shape = self.schema.table(table);
        let relation = d.relation(shape);
        let Some(set) = self.sets.keys.get(&table) else {
            return format!("FROM {relation} x{joins} WHERE ({condition})");
        };
        if let Some(rest) = d.rest_of(shape).filter(|_| set.has_aside) {
            let aside = d.among(shape, "x", &aside(d, table));
            return format!(
                "FROM (SELECT {rest} FROM {relation} x WHERE {aside} OFFSET 0) x{joins} WHERE ({condition})"
            );
        }
        let same = d.at(shape, "x", "known");
        let unknown = format!("NOT EXISTS (SELECT 1 FROM {} known WHERE {same})", d.temp(&key_set(table)));
        match d.rest_of(shape) {
            Some(rest) if set.rows > shape.rows_estimate / 2 => {
                format!(
                    "FROM (SELECT {rest} FROM {relation} x WHERE {unknown} OFFSET 0) x{joins} WHERE ({condition})"
                )
            }
            Some(_) | None => format!("FROM {relation} x{joins} WHERE ({condition}) AND {unknown}"),
        }
    }

    /// A left join of the scanned table `x` with the key set that a reference leads to.
    fn join(&self, conditions: &Conditions<'_>, id: ReferenceId, alias: &str, extra: &[String]) -> String {
        let d = conditions.dialect;
        let reference = self.schema.reference(id);
        let set = self.sets.keys.get(&reference.parent);
        let mut on = vec![conditions.refers(reference, ("x", Side::Table), (alias, Side::Keys))];
        if set.is_some_and(|s| !s.inline.is_empty()) {
            on.push(format!("{alias}.doomed"));
        }
        on.extend_from_slice(extra);
        let keys = d.temp(&key_set(reference.parent));
        let source = if self.is_unique_target(id) {
            format!("{keys} {alias}")
        } else {
            // Several parents may share the value: keep one row per value, with the lowest tag.
            let columns: Vec<String> = reference.parent_columns.iter().map(|c| format!("c{c}")).collect();
            let columns = columns.join(", ");
            let step = if set.is_some_and(|s| s.stepped) { ", max(step) AS step" } else { "" };
            on.retain(|term| term != &format!("{alias}.doomed"));
            let parts = reference.parent_parts.as_ref().map(|handles| {
                on[0] = {
                    let mut whole = reference.clone();
                    whole.parent_parts = None;
                    conditions.refers(&whole, ("x", Side::Table), (alias, Side::Keys))
                };
                format!(" AND {}", d.key_in_parts("k", handles))
            });
            format!(
                "(SELECT {columns}, min(tag) AS tag{step} FROM {keys} k WHERE doomed{} GROUP BY {columns}) {alias}",
                parts.unwrap_or_default()
            )
        };
        format!(" LEFT JOIN {source} ON {}", on.join(" AND "))
    }

    fn is_unique_target(&self, id: ReferenceId) -> bool {
        let reference = self.schema.reference(id);
        // A declared key can point at columns that may be null, or, in SQLite, that are not unique at all.
        self.schema.leads_to_key(reference)
            && reference.origin == unseed_core::schema::Origin::Declared
            && reference.parent_parts.is_none()
    }

    /// The row may belong to a row that stays: an owning reference leads outside what is known so far.
    fn open(&self, visit: &Visit, active: &[(usize, u64)], d: &dyn Dialect) -> String {
        let conditions = Conditions { schema: self.schema, dialect: d };
        let mut terms = Vec::new();
        for id in self.ownership.owning.get(&visit.table).into_iter().flatten() {
            let set = conditions.is_set(self.schema.reference(*id), "x");
            let joined = active.iter().position(|(index, _)| visit.follows[*index].reference == *id);
            match joined {
                Some(n) => terms.push(format!("({set} AND j{n}.tag IS NULL)")),
                None => terms.push(format!("({set})")),
            }
        }
        if terms.is_empty() { NEVER.to_owned() } else { terms.join(" OR ") }
    }

    fn open_all(&self, table: TableId) -> String {
        if self.ownership.owning.contains_key(&table) { "true".to_owned() } else { NEVER.to_owned() }
    }

    fn columns(
        &self,
        d: &dyn Dialect,
        table: TableId,
        tag: &str,
        doomed: &str,
        open: &str,
        step: u64,
    ) -> String {
        let shape = self.schema.table(table);
        let mut columns = d.located(shape, "x");
        if let Some(version) = d.version_of(shape, "x") {
            columns.push(format!("{version} AS ver"));
        }
        columns.push(format!("{tag} AS tag"));
        columns.push(format!("{} AS doomed", d.truth(doomed)));
        columns.push(format!("{} AS is_open", d.truth(&format!("({open})"))));
        if self.stepped.contains(&table) {
            columns.push(format!("{step} AS step"));
        }
        columns.extend(carried(d, shape, self.program.set(table)));
        format!("SELECT {}", columns.join(", "))
    }

    async fn fill(
        &self,
        session: &mut dyn Session,
        table: TableId,
        select: &str,
        create: bool,
    ) -> Result<u64, SqlError> {
        let name = session.dialect().temp(&key_set(table));
        if create {
            let sql = self.create(session.dialect(), table, select);
            session.run(&sql).await
        } else {
            session.run(&format!("INSERT INTO {name} {select}")).await
        }
    }

    /// Statement that makes the key set of a table, looked up by tag and by what references lead to.
    fn create(&self, d: &dyn Dialect, table: TableId, select: &str) -> String {
        let shape = self.schema.table(table);
        let targets: BTreeSet<&Vec<usize>> =
            self.schema.references.iter().filter(|r| r.parent == table).map(|r| &r.parent_columns).collect();
        let carried = |c: &usize| (format!("c{c}"), Some(&shape.columns[*c]));
        let mut indexes = vec![vec![("tag".to_owned(), None)]];
        if !self.is_leaf(table) {
            let named = |(name, column): (String, usize)| (name, Some(&shape.columns[column]));
            indexes.extend(d.lookup(shape).into_iter().map(|index| index.into_iter().map(named).collect()));
        }
        if self.program.set(table).is_some_and(|set| !set.carried.is_empty()) {
            indexes.extend(targets.into_iter().map(|columns| columns.iter().map(carried).collect()));
        }
        d.create_set(&d.temp(&key_set(table)), &indexes, select)
    }

    fn note(&mut self, table: TableId, rows: u64, step: u64, inline: Vec<ReferenceId>, may_be_open: bool) {
        let stepped = self.stepped.contains(&table);
        let set = self.sets.keys.entry(table).or_default();
        set.rows += rows;
        set.may_be_open |= may_be_open && rows > 0;
        set.stepped = stepped;
        if rows > 0 {
            set.last_step = step;
        }
        if !inline.is_empty() {
            set.inline = inline;
        }
    }

    /// Finds the rows of one table that survive but refer weakly to rows that leave, where no visit did.
    async fn detach(&mut self, session: &mut dyn Session, table: TableId) -> Result<(), SqlError> {
        if self.sets.keys.get(&table).is_some_and(|set| !set.inline.is_empty()) {
            return Ok(());
        }
        let Some(detach) = self.program.detaches.iter().find(|d| d.table == table) else { return Ok(()) };
        let ids: Vec<ReferenceId> = detach
            .references
            .iter()
            .map(|(id, _)| *id)
            .filter(|id| self.sets.has(self.schema.reference(*id).parent))
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        self.analyze(session, ids.clone()).await?;
        let sql = self.detach_sql(session.dialect(), table, &ids);
        if session.run(&sql).await? > 0 {
            self.sets.detached.insert(table, ids);
        }
        Ok(())
    }

    fn detach_sql(&self, d: &dyn Dialect, table: TableId, ids: &[ReferenceId]) -> String {
        let shape = self.schema.table(table);
        let conditions = Conditions { schema: self.schema, dialect: d };
        let (mut joins, mut tags, mut flags, mut any) =
            (String::new(), Vec::new(), String::new(), Vec::new());
        for (n, id) in ids.iter().enumerate() {
            let alias = format!("j{n}");
            joins.push_str(&self.join(&conditions, *id, &alias, &[]));
            tags.push(format!("{alias}.tag"));
            flags.push_str(&format!(", ({alias}.tag IS NOT NULL) AS w{}", id.0));
            any.push(format!("{alias}.tag IS NOT NULL"));
        }
        let version = d.version_of(shape, "x").map(|v| format!(", {v} AS ver")).unwrap_or_default();
        let select = format!(
            "SELECT {}{version}, {} AS tag{flags} {}",
            d.located(shape, "x").join(", "),
            d.least(&tags),
            self.unknown(d, table, &joins, &any.join(" OR ")),
        );
        d.create_set(&d.temp(&detach_set(table)), &[vec![("tag".to_owned(), None)]], &select)
    }

    /// The seed of a root table as a statement.
    pub(crate) fn explain_seed(&mut self, d: &dyn Dialect, table: TableId) -> String {
        let sql = self.create(d, table, &self.seed_sql(d, table, 1));
        self.note(table, 1, 1, Vec::new(), true);
        sql
    }

    /// Pretends that the sets of a cycle have rows.
    pub(crate) fn assume(&mut self, visits: &[Visit]) {
        for visit in visits {
            self.note(visit.table, 1, 1, Vec::new(), true);
        }
    }

    /// A visit as a statement, if it would follow anything.
    pub(crate) fn explain_visit(&mut self, d: &dyn Dialect, visit: &Visit) -> Option<String> {
        let active = self.active(visit);
        let inline = self.inline(visit);
        if active.is_empty() && inline.is_empty() && self.active_together(visit).is_empty() {
            return None;
        }
        let look = Look { inline: &inline, step: 1, sets_aside: false };
        let select = self.visit_sql(d, visit, &active, look);
        let name = d.temp(&key_set(visit.table));
        let known = self.sets.keys.contains_key(&visit.table);
        self.note(visit.table, 1, 1, inline, true);
        Some(if known {
            format!("INSERT INTO {name} {select}")
        } else {
            self.create(d, visit.table, &select)
        })
    }

    /// The search for detached rows as a statement, if there can be any.
    pub(crate) fn explain_detach(&self, d: &dyn Dialect, table: TableId) -> Option<String> {
        if self.sets.keys.get(&table).is_some_and(|set| !set.inline.is_empty()) {
            return None;
        }
        let detach = self.program.detaches.iter().find(|detach| detach.table == table)?;
        let ids: Vec<ReferenceId> = detach.references.iter().map(|(id, _)| *id).collect();
        Some(self.detach_sql(d, table, &ids))
    }
}

/// Breaks a statement into lines at its clauses.
pub(crate) fn pretty(sql: &str) -> String {
    let mut text = sql.to_owned();
    for clause in [" LEFT JOIN ", " WHERE (", " FROM ", " AND NOT EXISTS "] {
        text = text.replace(clause, &format!("\n  {}", clause.trim_start()));
    }
    text
}
