//! Conflicts: rows that would leave or be detached although they are protected or belong to protected rows.
//!
//! Candidates are rows that leave while an owning reference of theirs leads to a row that stays, and all
//! detached rows. From each candidate the owning references are followed upwards, level by level and in
//! sets; the first level at which a row of a protected table is reached decides (see `core::protect`).
//! Paths are then described row by row, for a bounded number of conflicts.

use super::closure::{Sets, key_set};
use super::condition::{Conditions, Side};
use super::counts::{DetachSource, detach_sources};
use super::dialect::{Dialect, Indexed};
use super::{Session, SqlError, fingerprint, number, numbered, roots, text};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::port::store::{Conflict, Harm, Hop, Work};
use unseed_core::schema::{ReferenceId, TableId};

/// Owners are looked for up to this many references away.
const LEVELS_MAX: u64 = 64;

const WALK: &str = "unseed_walk";
const VERDICT: &str = "unseed_verdict";
const ENTRY: &str = "unseed_entry";

/// So many conflicts of one table are described; the others are like them.
const KIND_NAMED_MAX: u64 = 3;

/// Where a row is, as literals for SQL.
type Address = Vec<String>;

/// Finds conflicts of the current closure; describes at most `limit` of them, and counts the rest in the
/// last one.
pub(crate) async fn conflicts(
    session: &mut dyn Session,
    work: &Work,
    sets: &Sets,
    limit: usize,
) -> Result<Vec<Conflict>, SqlError> {
    if work.protections.is_empty() || sets.keys.values().all(|set| set.rows == 0) {
        return Ok(Vec::new());
    }
    let search = Search { work, sets, sources: detach_sources(sets) };
    search.prepare(session).await?;
    if search.direct(session).await? == 0 {
        return Ok(Vec::new());
    }
    let mut level = 0;
    while search.climb(session, level).await? && level < LEVELS_MAX {
        level += 1;
    }
    search.describe(session, limit).await
}

struct Search<'a> {
    work: &'a Work,
    sets: &'a Sets,
    sources: Vec<DetachSource>,
}

impl Search<'_> {
    fn conditions<'b>(&'b self, dialect: &'b dyn Dialect) -> Conditions<'b> {
        Conditions { schema: &self.work.schema, dialect }
    }

    /// Creates the walk and verdict tables. Origins carry their harm: `r` removed, `d` detached.
    async fn prepare(&self, session: &mut dyn Session) -> Result<(), SqlError> {
        let (walk, verdict) = (session.dialect().temp(WALK), session.dialect().temp(VERDICT));
        let some = self.sets.keys.iter().find(|(_, set)| !set.is_leaf).map(|(table, _)| *table);
        let Some(some) = some else { return Ok(()) };
        let d = session.dialect();
        let here: Vec<String> =
            d.address().iter().map(|a| format!("{} AS o_{a}", d.any_address(a))).collect();
        let there: Vec<String> =
            d.address().iter().map(|a| format!("{} AS a_{a}", d.any_address(a))).collect();
        let shape = format!(
            "SELECT {} AS harm, 0 AS o_table, {}, 0 AS level, 0 AS a_table, {} FROM {} k WHERE false",
            d.blank_text(),
            here.join(", "),
            there.join(", "),
            d.temp(&key_set(some)),
        );
        let creates = [&walk, &verdict].map(|name| d.create_set(name, &walk_indexes(d), &shape));
        for names in d.lists_of_tables(&[walk, verdict]) {
            session.run(&format!("DROP TABLE IF EXISTS {names}")).await?;
        }
        for create in creates {
            session.run(&create).await?;
        }
        Ok(())
    }

    /// Level 0: rows of protected tables decide themselves; all other candidates start a walk. Returns how many there
    /// are of both.
    async fn direct(&self, session: &mut dyn Session) -> Result<u64, SqlError> {
        let (mut verdicts, mut walks) = (Vec::new(), Vec::new());
        let d = session.dialect();
        for (table, set) in self.sets.keys.iter().filter(|(_, set)| set.rows > 0) {
            let name = d.temp(&key_set(*table));
            if self.work.ownership.protected.contains(table) {
                verdicts.push(self.direct_sql(d, "r", *table, &name, "k.doomed"));
            } else if set.has_open() {
                let open = self.leads_outside(d, *table);
                let filter = format!("k.doomed AND k.is_open AND ({open})");
                walks.push(self.start_sql(d, "r", *table, &name, &filter));
            }
        }
        for source in &self.sources {
            let name = d.temp(&source.name);
            if self.work.ownership.protected.contains(&source.table) {
                verdicts.push(self.direct_sql(d, "d", source.table, &name, source.filter));
            } else if self.work.ownership.owning.contains_key(&source.table) {
                walks.push(self.start_sql(d, "d", source.table, &name, source.filter));
            }
        }
        let mut found = 0;
        for (target, selects) in [(VERDICT, verdicts), (WALK, walks)] {
            let target = session.dialect().temp(target);
            for chunk in selects.chunks(50) {
                found += session.run(&format!("INSERT INTO {target} {}", chunk.join(" UNION ALL "))).await?;
            }
        }
        Ok(found)
    }

    fn origin(&self, d: &dyn Dialect, harm: &str, table: TableId) -> String {
        let here = d.address_in_set(self.work.schema.table(table), "k").join(", ");
        format!("SELECT '{harm}', {}, {here}, 0, {}, {here}", table.0, table.0)
    }

    fn direct_sql(&self, d: &dyn Dialect, harm: &str, table: TableId, name: &str, filter: &str) -> String {
        let shape = self.work.schema.table(table);
        format!(
            "{} FROM {name} k JOIN {} x ON {} WHERE {filter} AND {}",
            self.origin(d, harm, table),
            d.relation(shape),
            d.at(shape, "x", "k"),
            fingerprint::protected(d, self.work, table, "x"),
        )
    }

    fn start_sql(&self, d: &dyn Dialect, harm: &str, table: TableId, name: &str, filter: &str) -> String {
        let shape = self.work.schema.table(table);
        format!(
            "{} FROM {name} k JOIN {} x ON {} WHERE {filter}",
            self.origin(d, harm, table),
            d.relation(shape),
            d.at(shape, "x", "k"),
        )
    }

    /// Some owning reference of the row under alias `x` leads to a row that does not leave.
    fn leads_outside(&self, d: &dyn Dialect, table: TableId) -> String {
        let conditions = self.conditions(d);
        let mut terms = Vec::new();
        for id in self.work.ownership.owning.get(&table).into_iter().flatten() {
            let r = self.work.schema.reference(*id);
            let set = conditions.is_set(r, "x");
            if self.sets.has(r.parent) {
                let keys = d.temp(&key_set(r.parent));
                let refers = conditions.refers(r, ("x", Side::Table), ("j", Side::Keys));
                terms.push(format!(
                    "({set} AND NOT EXISTS (SELECT 1 FROM {keys} j WHERE {refers} AND j.doomed))"
                ));
            } else {
                terms.push(format!("({set})"));
            }
        }
        if terms.is_empty() { "false".to_owned() } else { terms.join(" OR ") }
    }

    /// Goes one level up from all rows at `level`; decides origins that reach a protected table. Returns
    /// whether anything is left to follow.
    async fn climb(&self, session: &mut dyn Session, level: u64) -> Result<bool, SqlError> {
        let walk = session.dialect().temp(WALK);
        let at = session.rows(&format!("SELECT DISTINCT a_table FROM {walk} WHERE level = {level}")).await?;
        let mut reached: BTreeSet<TableId> = BTreeSet::new();
        for row in &at {
            let table = numbered(row, 0);
            for id in self.work.ownership.owning.get(&table).into_iter().flatten() {
                let sql = self.climb_sql(session.dialect(), level, *id);
                if session.run(&sql).await? > 0 {
                    reached.insert(self.work.schema.reference(*id).parent);
                }
            }
        }
        let decided: Vec<TableId> =
            reached.iter().copied().filter(|t| self.work.ownership.protected.contains(t)).collect();
        if !decided.is_empty() {
            for table in &decided {
                let sql = self.decide_sql(session.dialect(), level + 1, *table);
                session.run(&sql).await?;
            }
            let tables: Vec<String> = decided.iter().map(|t| t.0.to_string()).collect();
            let d = session.dialect();
            let sql = d.delete(&walk, &|w| {
                let same: Vec<String> =
                    origin_columns(d).iter().map(|c| format!("s.{c} = {w}.{c}")).collect();
                format!(
                    "EXISTS (SELECT 1 FROM {walk} s WHERE {} AND s.level = {} AND s.a_table IN ({}))",
                    same.join(" AND "),
                    level + 1,
                    tables.join(", "),
                )
            });
            session.run(&sql).await?;
        }
        let left = session.rows(&format!("SELECT count(*) FROM {walk} WHERE level = {}", level + 1)).await?;
        Ok(left.first().is_some_and(|row| number(row, 0) > 0))
    }

    fn climb_sql(&self, d: &dyn Dialect, level: u64, id: ReferenceId) -> String {
        let conditions = self.conditions(d);
        let r = self.work.schema.reference(id);
        let (child, parent) = (self.work.schema.table(r.child), self.work.schema.table(r.parent));
        let origin: Vec<String> = origin_columns(d).iter().map(|c| format!("w.{c}")).collect();
        let there = d.address_of(parent, "y").join(", ");
        let walk = d.temp(WALK);
        let walked = walked_row(d, child, "x", "w");
        let seen: Vec<String> = origin_columns(d).iter().map(|c| format!("s.{c} = w.{c}")).collect();
        format!(
            "INSERT INTO {walk} SELECT DISTINCT {}, {}, {}, {there} FROM {walk} w JOIN {} x ON {walked} JOIN {} y ON {} \
             WHERE w.level = {level} AND w.a_table = {} AND NOT EXISTS (SELECT 1 FROM {walk} s WHERE {} AND s.a_table = {} AND {})",
            origin.join(", "),
            level + 1,
            r.parent.0,
            d.relation(child),
            d.relation(parent),
            conditions.refers(r, ("x", Side::Table), ("y", Side::Table)),
            r.child.0,
            seen.join(" AND "),
            r.parent.0,
            walked_row(d, parent, "y", "s"),
        )
    }

    fn decide_sql(&self, d: &dyn Dialect, level: u64, table: TableId) -> String {
        let shape = self.work.schema.table(table);
        format!(
            "INSERT INTO {} SELECT w.* FROM {} w JOIN {} x ON {} WHERE w.level = {level} AND w.a_table = {} AND {}",
            d.temp(VERDICT),
            d.temp(WALK),
            d.relation(shape),
            walked_row(d, shape, "x", "w"),
            table.0,
            fingerprint::protected(d, self.work, table, "x"),
        )
    }

    /// Keeps the rows at which the closure enters what is protected: what leaves only because such a row
    /// leaves says nothing new. In a ring of such rows nobody is first; then all are kept. Returns where they are,
    /// if there are any.
    async fn entries(&self, session: &mut dyn Session) -> Result<Option<&'static str>, SqlError> {
        let (verdict, entry) = (session.dialect().temp(VERDICT), session.dialect().temp(ENTRY));
        let kinds = session.rows(&format!("SELECT DISTINCT harm, o_table FROM {verdict}")).await?;
        if kinds.is_empty() {
            return Ok(None);
        }
        session.run(&format!("DROP TABLE IF EXISTS {entry}")).await?;
        let create =
            session.dialect().create_set(&entry, &[], &format!("SELECT * FROM {verdict} WHERE false"));
        session.run(&create).await?;
        let kinds: BTreeSet<(String, TableId)> =
            kinds.iter().map(|row| (text(row, 0), numbered(row, 1))).collect();
        for source in self.sources.iter().filter(|source| kinds.contains(&("d".to_owned(), source.table))) {
            let sql = self.detached_entry_sql(session.dialect(), source);
            session.run(&sql).await?;
        }
        for (_, table) in kinds.iter().filter(|(harm, _)| harm == "r") {
            let sql = self.entry_sql(session.dialect(), *table);
            session.run(&sql).await?;
        }
        let found = session.rows(&format!("SELECT count(*) FROM {entry}")).await?;
        let any = found.first().is_some_and(|row| number(row, 0) > 0);
        Ok(Some(if any { ENTRY } else { VERDICT }))
    }

    fn entry_sql(&self, d: &dyn Dialect, table: TableId) -> String {
        let conditions = self.conditions(d);
        let shape = self.work.schema.table(table);
        let at = |alias: &str, prefix: &str| {
            let pairs = d.address_of(shape, alias).into_iter().zip(d.address());
            pairs.map(|(e, name)| format!("{e} = {prefix}{name}")).collect::<Vec<_>>().join(" AND ")
        };
        let mut led = String::new();
        for id in self.strong(table) {
            let r = self.work.schema.reference(id);
            if !self.sets.has(r.parent) {
                continue;
            }
            let same = verdict_of(d, self.work.schema.table(r.parent));
            led.push_str(&format!(
                " AND NOT EXISTS (SELECT 1 FROM {} j JOIN {} v ON v.harm = 'r' AND v.o_table = {} AND {} WHERE {} AND j.doomed)",
                d.temp(&key_set(r.parent)),
                d.temp(VERDICT),
                r.parent.0,
                same.join(" AND "),
                conditions.refers(r, ("x", Side::Table), ("j", Side::Keys)),
            ));
        }
        format!(
            "INSERT INTO {} SELECT w.* FROM {} w JOIN {} x ON {} WHERE w.harm = 'r' AND w.o_table = {}{led}",
            d.temp(ENTRY),
            d.temp(VERDICT),
            d.relation(shape),
            at("x", "w.o_"),
            table.0,
        )
    }

    /// Detached rows that refer to a row which leaves for a reason of its own.
    fn detached_entry_sql(&self, d: &dyn Dialect, source: &DetachSource) -> String {
        let conditions = self.conditions(d);
        let shape = self.work.schema.table(source.table);
        let mut led = Vec::new();
        for id in &source.references {
            let r = self.work.schema.reference(*id);
            let same = verdict_of(d, self.work.schema.table(r.parent));
            led.push(format!(
                "EXISTS (SELECT 1 FROM {} j WHERE {} AND j.doomed AND NOT EXISTS \
                 (SELECT 1 FROM {} v WHERE v.harm = 'r' AND v.o_table = {} AND {}))",
                d.temp(&key_set(r.parent)),
                conditions.refers(r, ("x", Side::Table), ("j", Side::Keys)),
                d.temp(VERDICT),
                r.parent.0,
                same.join(" AND "),
            ));
        }
        let pairs = d.address_of(shape, "x").into_iter().zip(d.address());
        let at: Vec<String> = pairs.map(|(e, name)| format!("{e} = w.o_{name}")).collect();
        format!(
            "INSERT INTO {} SELECT w.* FROM {} w JOIN {} x ON {} WHERE w.harm = 'd' AND w.o_table = {} AND ({})",
            d.temp(ENTRY),
            d.temp(VERDICT),
            d.relation(shape),
            at.join(" AND "),
            source.table.0,
            led.join(" OR "),
        )
    }

    /// Describes a few conflicts of each kind, and counts the others of the kind in its last one.
    async fn describe(&self, session: &mut dyn Session, limit: usize) -> Result<Vec<Conflict>, SqlError> {
        let Some(from) = self.entries(session).await? else { return Ok(Vec::new()) };
        let d = session.dialect();
        let columns: Vec<String> = d.address().iter().map(|a| d.text(&format!("o_{a}"))).collect();
        let origin = origin_columns(d).join(", ");
        let sql = format!(
            "SELECT harm, o_table, {}, n, kind FROM (SELECT e.*, row_number() OVER (PARTITION BY harm, o_table ORDER BY {origin}) AS n,              count(*) OVER (PARTITION BY harm, o_table) AS kind FROM (SELECT DISTINCT {origin} FROM {}) e) numbered              WHERE n <= {KIND_NAMED_MAX} ORDER BY 1 DESC, 2, n LIMIT {}",
            columns.join(", "),
            d.temp(from),
            limit.max(1)
        );
        let width = columns.len();
        let mut conflicts = Vec::new();
        for row in session.rows(&sql).await? {
            let (n, kind) = (number(&row, width + 2), number(&row, width + 3));
            let mut conflict = self.describe_one(session, &row[..width + 2]).await?;
            if n == KIND_NAMED_MAX {
                conflict.rows += kind.saturating_sub(n);
            }
            conflicts.push(conflict);
        }
        Ok(without_consequences(conflicts))
    }

    async fn describe_one(
        &self,
        session: &mut dyn Session,
        row: &[Option<String>],
    ) -> Result<Conflict, SqlError> {
        let harm = if text(row, 0) == "d" { Harm::Detached } else { Harm::Removed };
        let table = numbered(row, 1);
        let address: Address = (2..row.len()).map(|n| text(row, n)).collect();
        let path = self.path_down(session, harm, table, &address).await?;
        let owner = self.path_up(session, table, &address).await?;
        Ok(Conflict { harm, path, owner, rows: 1 })
    }

    /// From a root down to the row: found by going up from the row through rows that leave.
    async fn path_down(
        &self,
        session: &mut dyn Session,
        harm: Harm,
        table: TableId,
        address: &Address,
    ) -> Result<Vec<Hop>, SqlError> {
        let weak: Vec<ReferenceId> = match harm {
            Harm::Removed => Vec::new(),
            Harm::Detached => {
                let sources = self.sources.iter().filter(|s| s.table == table);
                sources.flat_map(|s| s.references.clone()).collect()
            }
        };
        let mut trail = Trail::start(table, address.clone());
        while let Some(at) = trail.next() {
            let (table, address) = trail.node(at);
            if (at > 0 || harm == Harm::Removed) && self.is_root(session, table, &address).await? {
                return self.hops(session, &trail, at).await;
            }
            let ids: Vec<ReferenceId> =
                if at == 0 && harm == Harm::Detached { weak.clone() } else { self.strong(table) };
            for id in ids {
                for parent in self.parents(session, id, &address, true).await? {
                    trail.add(at, id, self.work.schema.reference(id).parent, parent);
                }
            }
        }
        self.hops(session, &trail, 0).await
    }

    /// From the row up to the protected row it belongs to; empty when it is protected itself.
    async fn path_up(
        &self,
        session: &mut dyn Session,
        table: TableId,
        address: &Address,
    ) -> Result<Vec<Hop>, SqlError> {
        let mut trail = Trail::start(table, address.clone());
        while let Some(at) = trail.next() {
            let (table, address) = trail.node(at);
            if self.work.ownership.protected.contains(&table)
                && self.is_protected(session, table, &address).await?
            {
                if at == 0 {
                    return Ok(Vec::new());
                }
                let mut hops = self.hops(session, &trail, at).await?;
                hops.reverse();
                // Turned round, each hop is led to by the reference that the previous one holds.
                let vias: Vec<Option<String>> = hops.iter().map(|hop| hop.via.clone()).collect();
                for (hop, via) in hops.iter_mut().zip(std::iter::once(None).chain(vias)) {
                    hop.via = via;
                }
                return Ok(hops);
            }
            for id in self.work.ownership.owning.get(&table).cloned().unwrap_or_default() {
                for parent in self.parents(session, id, &address, false).await? {
                    trail.add(at, id, self.work.schema.reference(id).parent, parent);
                }
            }
        }
        Ok(Vec::new())
    }

    fn strong(&self, table: TableId) -> Vec<ReferenceId> {
        let visits = self.work.program.stages.iter().flat_map(|stage| stage.visits());
        visits.filter(|v| v.table == table).flat_map(|v| v.follows.iter().map(|f| f.reference)).collect()
    }

    async fn parents(
        &self,
        session: &mut dyn Session,
        id: ReferenceId,
        address: &Address,
        leaving: bool,
    ) -> Result<Vec<Address>, SqlError> {
        let d = session.dialect();
        let conditions = self.conditions(d);
        let r = self.work.schema.reference(id);
        if leaving && !self.sets.has(r.parent) {
            return Ok(Vec::new());
        }
        let child = self.work.schema.table(r.child);
        let parent = self.work.schema.table(r.parent);
        let (columns, source) = if leaving {
            let columns: Vec<String> = d.address_in_set(parent, "j").iter().map(|e| d.text(e)).collect();
            let refers = conditions.refers(r, ("x", Side::Table), ("j", Side::Keys));
            (columns, format!("{} j ON {refers} AND j.doomed", d.temp(&key_set(r.parent))))
        } else {
            let columns: Vec<String> = d.address_of(parent, "y").iter().map(|e| d.text(e)).collect();
            let refers = conditions.refers(r, ("x", Side::Table), ("y", Side::Table));
            (columns, format!("{} y ON {refers}", d.relation(parent)))
        };
        let sql = format!(
            "SELECT {} FROM {} x JOIN {source} WHERE {} LIMIT 3",
            columns.join(", "),
            d.relation(child),
            here(d, child, "x", address),
        );
        let rows = session.rows(&sql).await?;
        Ok(rows.iter().map(|row| (0..row.len()).map(|n| text(row, n)).collect()).collect())
    }

    async fn is_root(
        &self,
        session: &mut dyn Session,
        table: TableId,
        address: &Address,
    ) -> Result<bool, SqlError> {
        if !self.work.program.roots.contains(&table) {
            return Ok(false);
        }
        let d = session.dialect();
        let shape = self.work.schema.table(table);
        let sql = format!(
            "SELECT count(*) FROM {} x JOIN {} r ON {} WHERE {}",
            d.relation(shape),
            d.temp(&roots::root_set(table)),
            roots::same_key(d, shape, "x", "r"),
            here(d, shape, "x", address),
        );
        Ok(session.rows(&sql).await?.first().is_some_and(|row| number(row, 0) > 0))
    }

    async fn is_protected(
        &self,
        session: &mut dyn Session,
        table: TableId,
        address: &Address,
    ) -> Result<bool, SqlError> {
        let d = session.dialect();
        let shape = self.work.schema.table(table);
        let sql = format!(
            "SELECT count(*) FROM {} x WHERE {} AND {}",
            d.relation(shape),
            here(d, shape, "x", address),
            fingerprint::protected(d, self.work, table, "x"),
        );
        Ok(session.rows(&sql).await?.first().is_some_and(|row| number(row, 0) > 0))
    }

    /// The hops from node `last` back to the start of the trail, in that order.
    async fn hops(
        &self,
        session: &mut dyn Session,
        trail: &Trail,
        last: usize,
    ) -> Result<Vec<Hop>, SqlError> {
        let mut hops = Vec::new();
        let mut at = Some(last);
        let mut via = None;
        while let Some(index) = at {
            let node = &trail.nodes[index];
            let key = self.key_of(session, node.table, &node.address).await?;
            let table = self.work.schema.table(node.table).name.to_string();
            hops.push(Hop { table, key, via });
            via = node.from.map(|(_, id)| self.work.schema.describe(id));
            at = node.from.map(|(previous, _)| previous);
        }
        Ok(hops)
    }

    async fn key_of(
        &self,
        session: &mut dyn Session,
        table: TableId,
        address: &Address,
    ) -> Result<Vec<(String, String)>, SqlError> {
        let d = session.dialect();
        let shape = self.work.schema.table(table);
        let Some(key) = shape.key() else {
            return Ok(d.address().iter().map(|a| (*a).to_owned()).zip(address.iter().cloned()).collect());
        };
        let columns: Vec<String> = key
            .iter()
            .map(|c| &shape.columns[*c])
            .map(|c| d.text_of(c, &format!("x.{}", d.quote(&c.name))))
            .collect();
        let sql = format!(
            "SELECT {} FROM {} x WHERE {}",
            columns.join(", "),
            d.relation(shape),
            here(d, shape, "x", address)
        );
        let rows = session.rows(&sql).await?;
        let row = rows.first().cloned().unwrap_or_default();
        let names = key.iter().map(|c| shape.columns[*c].name.clone());
        Ok(names.enumerate().map(|(n, name)| (name, text(&row, n))).collect())
    }
}

/// Leaves out conflicts whose path leads through the row of another one: they go when that one goes.
fn without_consequences(mut conflicts: Vec<Conflict>) -> Vec<Conflict> {
    conflicts.sort_by_key(|c| c.path.len());
    let mut kept: Vec<Conflict> = Vec::new();
    for conflict in conflicts {
        let before = &conflict.path[..conflict.path.len().saturating_sub(1)];
        let through = |known: &Conflict| {
            let last = known.path.last();
            last.is_some_and(|last| before.iter().any(|hop| hop.table == last.table && hop.key == last.key))
        };
        match kept.iter_mut().find(|known| through(known)) {
            Some(known) => known.rows += conflict.rows,
            None => kept.push(conflict),
        }
    }
    kept
}

/// The verdict under alias `v` is about the row of a key set under alias `j`.
fn verdict_of(d: &dyn Dialect, table: &unseed_core::schema::Table) -> Vec<String> {
    let pairs = d.address_in_set(table, "j").into_iter().zip(d.address());
    pairs.map(|(expression, name)| format!("v.o_{name} = {expression}")).collect()
}

/// By what rows of a walk are looked up: where they come from, and where they stand.
fn walk_indexes(d: &dyn Dialect) -> Vec<Vec<Indexed<'static>>> {
    let index = |letter: &str| {
        let columns = d.address().iter().map(|a| format!("{letter}_{a}"));
        std::iter::once(format!("{letter}_table")).chain(columns).map(|name| (name, None)).collect()
    };
    vec![index("o"), index("a")]
}

fn origin_columns(d: &dyn Dialect) -> Vec<String> {
    let mut columns = vec!["harm".to_owned(), "o_table".to_owned()];
    columns.extend(d.address().iter().map(|a| format!("o_{a}")));
    columns
}

/// The row of the table under alias `x` is where the walk row under alias `w` stands.
fn walked_row(d: &dyn Dialect, table: &unseed_core::schema::Table, x: &str, w: &str) -> String {
    let pairs = d.address_of(table, x).into_iter().zip(d.address());
    pairs.map(|(e, name)| format!("{e} = {w}.a_{name}")).collect::<Vec<_>>().join(" AND ")
}

/// The row of the table under alias `x` has this address.
fn here(d: &dyn Dialect, table: &unseed_core::schema::Table, x: &str, address: &Address) -> String {
    d.has_address(table, x, address)
}

struct Node {
    table: TableId,
    address: Address,
    from: Option<(usize, ReferenceId)>,
}

/// A breadth-first search that remembers where it came from.
struct Trail {
    nodes: Vec<Node>,
    seen: BTreeMap<(TableId, Address), usize>,
    at: usize,
}

impl Trail {
    const NODES_MAX: usize = 2_000;

    fn start(table: TableId, address: Address) -> Self {
        let seen = BTreeMap::from([((table, address.clone()), 0)]);
        Self { nodes: vec![Node { table, address, from: None }], seen, at: 0 }
    }

    fn next(&mut self) -> Option<usize> {
        let at = self.at;
        self.at += 1;
        (at < self.nodes.len()).then_some(at)
    }

    fn node(&self, at: usize) -> (TableId, Address) {
        (self.nodes[at].table, self.nodes[at].address.clone())
    }

    fn add(&mut self, from: usize, id: ReferenceId, table: TableId, address: Address) {
        let key = (table, address.clone());
        if self.nodes.len() < Self::NODES_MAX && !self.seen.contains_key(&key) {
            self.seen.insert(key, self.nodes.len());
            self.nodes.push(Node { table, address, from: Some((from, id)) });
        }
    }
}
