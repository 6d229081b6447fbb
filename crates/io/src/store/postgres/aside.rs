//! What is set aside while rows are put back, and brought back before the commit: triggers and rules that would
//! alter or refuse archived rows, and constraints that were never validated and that archived rows fail.
//!
//! All of it happens in the transaction of the restore, so whoever looks from outside sees no difference, and a
//! restore that stops leaves everything as it was.
//!
//! Invariants
//! - only what the role owns is touched; what stays in force is compared or refused by the restore;
//! - a trigger or rule comes back in the state it had, a constraint with its definition and its comment.
//!
//! Not here: keys that hold for all rows, which are looked into before anything is inserted (`sql::restore`).

use super::Postgres;
use super::dialect::PostgresDialect;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::restore::{Staged, holds};
use crate::store::sql::{Session, SqlError, number, text};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::port::store::{SectionKind, Work};
use unseed_core::schema::{Check, Origin, Reference, ReferenceId, Table, TableId};

/// Events as `pg_trigger` numbers them.
const INSERT: u8 = 4;
const DELETE: u8 = 8;
const UPDATE: u8 = 16;

/// Triggers and rules of these relations and their partitions, as statements that switch them off and on again.
const HOOKS: &str = "WITH given(relation, events) AS (VALUES {given}), relations AS (
    SELECT DISTINCT t.relid AS id, g.events FROM given g, LATERAL (
        SELECT relid::oid FROM pg_partition_tree(g.relation) UNION SELECT g.relation::oid) t
), owned AS (
    SELECT c.oid AS id, c.oid::regclass AS name, r.events FROM relations r JOIN pg_class c ON c.oid = r.id
    WHERE pg_has_role(c.relowner, 'USAGE')
)
SELECT format('ALTER TABLE ONLY %s DISABLE TRIGGER %I', o.name, t.tgname),
    format('ALTER TABLE ONLY %s ENABLE %sTRIGGER %I', o.name, CASE t.tgenabled WHEN 'A' THEN 'ALWAYS ' WHEN 'R' THEN 'REPLICA ' ELSE '' END, t.tgname)
FROM owned o JOIN pg_trigger t ON t.tgrelid = o.id
WHERE NOT t.tgisinternal AND t.tgenabled IN ({enabled}) AND t.tgtype & o.events <> 0
UNION ALL
SELECT format('ALTER TABLE %s DISABLE RULE %I', o.name, r.rulename),
    format('ALTER TABLE %s ENABLE %sRULE %I', o.name, CASE r.ev_enabled WHEN 'A' THEN 'ALWAYS ' WHEN 'R' THEN 'REPLICA ' ELSE '' END, r.rulename)
FROM owned o JOIN pg_rewrite r ON r.ev_class = o.id
WHERE r.rulename <> '_RETURN' AND r.ev_enabled IN ({enabled})
    AND CASE r.ev_type WHEN '2' THEN 16 WHEN '3' THEN 4 WHEN '4' THEN 8 ELSE 0 END & o.events <> 0";

/// Constraints of a relation or its partitions that were never validated, as statements that drop and add them.
const CONSTRAINTS: &str = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', c.oid::regclass, k.conname),
    format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.oid::regclass, k.conname, pg_get_constraintdef(k.oid))
    || coalesce(format('; COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, c.oid::regclass, obj_description(k.oid, 'pg_constraint')), '')
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.contype = '{kind}' AND NOT k.convalidated AND k.coninhcount = 0 AND k.conname = {name} AND pg_has_role(c.relowner, 'USAGE')
    AND c.oid IN (SELECT relid::oid FROM pg_partition_tree({relation}) UNION SELECT {relation}::oid)";

/// How everything that was set aside comes back.
#[derive(Debug, Default)]
pub(super) struct Aside {
    again: Vec<String>,
}

fn relation(shape: &Table) -> String {
    let d = PostgresDialect;
    format!("{}::regclass", d.literal(&super::dialect::qualified(&shape.name)))
}

impl Postgres {
    /// Sets aside what stands in the way of the staged rows; `skip` is set where the server's checks are skipped.
    pub(super) async fn set_aside(
        &mut self,
        work: &Work,
        staged: &[Staged],
        orphaned: &BTreeSet<ReferenceId>,
        skip: bool,
    ) -> Result<Aside, SqlError> {
        let mut aside = Aside::default();
        let mut queries = hooks(work, staged, skip);
        for (table, check) in self.failed_checks(work, staged).await? {
            queries.push(constraint('c', &check.name, work.schema.table(table)));
        }
        for id in orphaned.iter().filter(|_| !skip) {
            let r = work.schema.reference(*id);
            queries.push(constraint('f', &r.name, work.schema.table(r.child)));
        }
        for query in queries {
            for row in self.session.rows(&query).await? {
                self.session.run(&text(&row, 0)).await?;
                aside.again.push(text(&row, 1));
            }
        }
        Ok(aside)
    }

    /// Brings back what was set aside.
    pub(super) async fn bring_back(&mut self, aside: Aside) -> Result<(), SqlError> {
        if aside.again.is_empty() {
            return Ok(());
        }
        // A table cannot be altered while checks of its rows are still to come.
        self.session.run("SET CONSTRAINTS ALL IMMEDIATE").await?;
        for statements in aside.again.iter().rev() {
            self.session.script(statements, 1).await?;
        }
        Ok(())
    }

    /// Whether the role may drop and add every key that was never validated.
    pub(super) async fn may_set_keys_aside(
        &mut self,
        work: &Work,
        staged: &[Staged],
    ) -> Result<bool, SqlError> {
        let keys: Vec<&Reference> = open_keys(work, staged).map(|id| work.schema.reference(id)).collect();
        if keys.is_empty() {
            return Ok(true);
        }
        let children: BTreeSet<TableId> = keys.iter().map(|r| r.child).collect();
        let parents: BTreeSet<TableId> = keys.iter().map(|r| r.parent).collect();
        let list = |tables: BTreeSet<TableId>| {
            tables.into_iter().map(|t| relation(work.schema.table(t))).collect::<Vec<_>>().join(", ")
        };
        let sql = format!(
            "SELECT count(*) FROM pg_class WHERE oid IN ({}) AND NOT pg_has_role(relowner, 'USAGE') \
             OR oid IN ({}) AND NOT has_table_privilege(oid, 'REFERENCES')",
            list(children),
            list(parents),
        );
        Ok(self.session.rows(&sql).await?.first().is_some_and(|row| number(row, 0) == 0))
    }

    /// Checks that were never validated and that staged rows fail, or may fail once they are put back.
    async fn failed_checks<'w>(
        &mut self,
        work: &'w Work,
        staged: &[Staged],
    ) -> Result<Vec<(TableId, &'w Check)>, SqlError> {
        let mut failed: Vec<(TableId, &Check)> = Vec::new();
        for s in staged {
            for check in work.schema.table(s.table).checks.iter().filter(|c| !c.validated) {
                if failed.iter().any(|(table, known)| *table == s.table && known.name == check.name) {
                    continue;
                }
                let whole = s.kind == SectionKind::Rows && holds(work, s, &check.columns);
                let sql = format!("SELECT count(*) FROM {} WHERE NOT ({})", s.name, check.expression);
                if !whole || self.session.rows(&sql).await?.first().is_some_and(|row| number(row, 0) > 0) {
                    failed.push((s.table, check));
                }
            }
        }
        Ok(failed)
    }
}

/// Keys of staged rows that were never validated.
fn open_keys<'a>(work: &'a Work, staged: &'a [Staged]) -> impl Iterator<Item = ReferenceId> + 'a {
    let is_back = |table| staged.iter().any(|s| s.table == table && s.kind == SectionKind::Rows);
    work.schema.reference_ids().filter(move |id| {
        let r = work.schema.reference(*id);
        !r.validated && r.origin == Origin::Declared && is_back(r.child)
    })
}

/// Such keys of single partitions, which are only looked into once the rows are there.
pub(super) fn open_keys_of_parts(work: &Work, staged: &[Staged]) -> BTreeSet<ReferenceId> {
    let of_part = |id: &ReferenceId| {
        let r = work.schema.reference(*id);
        r.child_parts.is_some() || r.parent_parts.is_some()
    };
    open_keys(work, staged).filter(of_part).collect()
}

/// The query for triggers and rules, where staged tables have any.
fn hooks(work: &Work, staged: &[Staged], skip: bool) -> Vec<String> {
    let mut events: BTreeMap<TableId, u8> = BTreeMap::new();
    for s in staged.iter().filter(|s| !work.schema.table(s.table).effects.is_empty()) {
        *events.entry(s.table).or_default() |= match s.kind {
            SectionKind::Rows => INSERT,
            SectionKind::Detached => UPDATE,
            SectionKind::Effect | SectionKind::Born => INSERT | UPDATE | DELETE,
        };
    }
    if events.is_empty() {
        return Vec::new();
    }
    let given: Vec<String> =
        events.iter().map(|(t, events)| format!("({}, {events})", relation(work.schema.table(*t)))).collect();
    let enabled = if skip { "'A', 'R'" } else { "'O', 'A'" };
    vec![HOOKS.replace("{given}", &given.join(", ")).replace("{enabled}", enabled)]
}

fn constraint(kind: char, name: &str, shape: &Table) -> String {
    CONSTRAINTS
        .replace("{kind}", &kind.to_string())
        .replace("{relation}", &relation(shape))
        .replace("{name}", &PostgresDialect.literal(name))
}
