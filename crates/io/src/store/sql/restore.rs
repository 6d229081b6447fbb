//! Restoring: archived rows are staged in temporary tables, checked against what is there, then inserted.
//!
//! Nothing is overwritten: a row whose key exists, or whose parent is missing, is a conflict. References are
//! only reattached where they are still null (or at the default that the detach wrote).

use super::condition::{Conditions, Side};
use super::dialect::Dialect;
use super::reattach::{self, Obstacle};
use super::{Session, SqlError, number, text};
use std::collections::BTreeMap;
use unseed_core::port::store::{RestoreConflict, SectionEntry, SectionHead, SectionKind, Work};
use unseed_core::schema::{Origin, Reference, ReferenceId, TableId};

/// One staging table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Staged {
    pub(crate) table: TableId,
    pub(crate) kind: SectionKind,
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    pub(crate) identity_columns: usize,
    /// Indexes of the sections that are loaded into it.
    pub(crate) sections: Vec<usize>,
}

/// Staging tables for all sections, parents before children; an error names the missing table.
pub(crate) fn staged(d: &dyn Dialect, work: &Work, sections: &[SectionEntry]) -> Result<Vec<Staged>, String> {
    let mut staged: Vec<Staged> = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let head = &section.head;
        let found = work.schema.table_ids().find(|id| {
            let name = &work.schema.table(*id).name;
            name.namespace == head.namespace && name.name == head.table
        });
        let Some(table) = found else { return Err(format!("{}.{}", head.namespace, head.table)) };
        let shape = work.schema.table(table);
        if let Some(column) = head.columns.iter().find(|c| shape.columns.iter().all(|known| known.name != **c)) {
            return Err(format!("{}.{column}", shape.name));
        }
        match staged.iter_mut().find(|s| s.table == table && s.kind == head.kind && s.columns == head.columns) {
            Some(known) => known.sections.push(index),
            None => staged.push(Staged {
                table,
                kind: head.kind.clone(),
                name: d.staging(table, head),
                columns: head.columns.clone(),
                identity_columns: head.identity_columns,
                sections: vec![index],
            }),
        }
    }
    let place = |table: TableId| {
        let order = work.program.removal.iter().flatten().rev().position(|t| *t == table);
        order.unwrap_or(usize::MAX)
    };
    staged.sort_by_key(|s| (place(s.table), s.table));
    Ok(staged)
}

/// Statements that create the staging tables.
pub(crate) fn create(d: &dyn Dialect, work: &Work, staged: &[Staged]) -> Vec<String> {
    staged.iter().map(|s| d.create_staging(work.schema.table(s.table), &s.name, &s.columns)).collect()
}

/// Statements that move what triggers deleted to the rows, unless the row is there again.
pub(crate) fn merge_effects(d: &dyn Dialect, work: &Work, staged: &mut Vec<Staged>) -> Vec<String> {
    let mut statements = Vec::new();
    let effects: Vec<Staged> = staged.iter().filter(|s| s.kind == SectionKind::Effect).cloned().collect();
    for effect in effects {
        let shape = work.schema.table(effect.table);
        let rows = staged.iter().find(|s| s.table == effect.table && s.kind == SectionKind::Rows);
        let target = match rows {
            Some(rows) => rows.name.clone(),
            None => {
                let kind = SectionKind::Rows;
                let head = SectionHead {
                    kind: kind.clone(),
                    namespace: shape.name.namespace.clone(),
                    table: shape.name.name.clone(),
                    columns: effect.columns.clone(),
                    identity_columns: 0,
                };
                let name = d.staging(effect.table, &head);
                statements.push(d.create_staging(shape, &name, &effect.columns));
                staged.push(Staged { kind, name: name.clone(), sections: Vec::new(), ..effect.clone() });
                name
            }
        };
        let columns = quoted(d, &effect.columns).join(", ");
        let there = shape.key().map(|key| {
            let names: Vec<String> = key.iter().map(|c| shape.columns[*c].name.clone()).collect();
            format!(" WHERE NOT EXISTS (SELECT 1 FROM {} x WHERE {})", d.relation(shape), equal(d, &names, "x", "s"))
        });
        statements.push(format!(
            "INSERT INTO {target} ({columns}) SELECT {columns} FROM {} s{}",
            effect.name,
            there.unwrap_or_default()
        ));
    }
    statements
}

fn quoted(d: &dyn Dialect, names: &[String]) -> Vec<String> {
    names.iter().map(|name| d.quote(name)).collect()
}

fn equal(d: &dyn Dialect, names: &[String], x: &str, s: &str) -> String {
    let terms: Vec<String> =
        names.iter().map(|name| d.quote(name)).map(|name| format!("{x}.{name} = {s}.{name}")).collect();
    terms.join(" AND ")
}

/// The staged rows of a table.
pub(crate) fn rows_of(staged: &[Staged], table: TableId) -> Option<&Staged> {
    staged.iter().find(|s| s.table == table && s.kind == SectionKind::Rows)
}

/// A reference without its restriction to parts, which staged rows do not know.
pub(crate) fn whole(r: &Reference) -> Reference {
    Reference { child_parts: None, parent_parts: None, ..r.clone() }
}

/// Short name of the staged rows of a table that are kept.
fn kept(table: TableId) -> String {
    format!("unseed_z{}", table.0)
}

/// Adds staged rows that refer strongly to kept ones, until there are no more.
async fn grow_kept(session: &mut dyn Session, work: &Work, staged: &[Staged]) -> Result<(), SqlError> {
    let follows: Vec<ReferenceId> =
        work.program.stages.iter().flat_map(|s| s.visits()).flat_map(|v| &v.follows).map(|f| f.reference).collect();
    loop {
        let mut grew = 0;
        for id in &follows {
            let r = whole(work.schema.reference(*id));
            let (Some(child), Some(parent)) = (rows_of(staged, r.child), rows_of(staged, r.parent)) else { continue };
            let d = session.dialect();
            let conditions = Conditions { schema: &work.schema, dialect: d };
            let sql = format!(
                "INSERT INTO {zc} SELECT DISTINCT {xr} FROM {} x JOIN {} y ON {} JOIN {zp} p ON p.z = {yr} \
                 WHERE NOT EXISTS (SELECT 1 FROM {zc} c WHERE c.z = {xr})",
                child.name,
                parent.name,
                conditions.refers(&r, ("x", Side::Table), ("y", Side::Table)),
                zc = d.temp(&kept(r.child)),
                zp = d.temp(&kept(r.parent)),
                xr = d.staging_row("x"),
                yr = d.staging_row("y"),
            );
            grew += session.run(&sql).await?;
        }
        if grew == 0 {
            return Ok(());
        }
    }
}

/// Keeps only what left because of one root: the root itself and, again and again, staged rows that refer
/// strongly to kept ones. Returns whether the root was found.
pub(crate) async fn narrow(
    session: &mut dyn Session,
    work: &Work,
    staged: &[Staged],
    (table, key): (TableId, &[String]),
) -> Result<bool, SqlError> {
    let Some(root) = rows_of(staged, table) else { return Ok(false) };
    for s in staged.iter().filter(|s| s.kind == SectionKind::Rows) {
        let d = session.dialect();
        let name = d.temp(&kept(s.table));
        session.run(&format!("DROP TABLE IF EXISTS {name}")).await?;
        let d = session.dialect();
        let row = d.staging_row("s");
        session
            .run(&format!("CREATE TEMPORARY TABLE {name} AS SELECT {row} AS z FROM {} s WHERE false", s.name))
            .await?;
    }
    let d = session.dialect();
    let shape = work.schema.table(table);
    let matches: Vec<String> = shape
        .key()
        .unwrap_or_default()
        .iter()
        .zip(key)
        .map(|(c, v)| format!("{} = {}", d.text(&format!("s.{}", d.quote(&shape.columns[*c].name))), d.literal(v)))
        .collect();
    let sql = format!(
        "INSERT INTO {} SELECT {} FROM {} s WHERE {}",
        d.temp(&kept(table)),
        d.staging_row("s"),
        root.name,
        matches.join(" AND ")
    );
    if session.run(&sql).await? == 0 {
        return Ok(false);
    }
    grow_kept(session, work, staged).await?;
    for s in staged.iter().filter(|s| s.kind == SectionKind::Rows) {
        let d = session.dialect();
        let sql = format!(
            "DELETE FROM {} AS s WHERE NOT EXISTS (SELECT 1 FROM {} p WHERE p.z = {})",
            s.name,
            d.temp(&kept(s.table)),
            d.staging_row("s"),
        );
        session.run(&sql).await?;
    }
    // What triggers inserted because of other roots stays.
    for s in staged.iter().filter(|s| s.kind == SectionKind::Born) {
        session.run(&format!("DELETE FROM {}", s.name)).await?;
    }
    reattach::narrow(session, work, staged).await?;
    Ok(true)
}

/// What stands in the way of the staged rows.
#[derive(Debug, Default)]
pub(crate) struct Obstacles {
    pub(crate) conflicts: Vec<RestoreConflict>,
    /// Rows without a parent, by references that the store does not insist on.
    pub(crate) orphans: Vec<(ReferenceId, RestoreConflict)>,
}

/// One question to the database: which staged rows have a problem.
struct Question {
    table: TableId,
    reason: String,
    sql: String,
    /// Set where rows without a parent can be put back.
    bearable: Option<ReferenceId>,
}

/// Everything that stands in the way of the staged rows.
pub(crate) async fn obstacles(
    session: &mut dyn Session,
    work: &Work,
    staged: &[Staged],
    orphans_allowed: bool,
) -> Result<Obstacles, SqlError> {
    let d = session.dialect();
    let mut questions: Vec<Question> = Vec::new();
    for s in staged {
        match s.kind {
            SectionKind::Rows => {
                questions.extend(existing(d, work, s));
                questions.extend(missing_parents(d, work, staged, s, orphans_allowed));
            }
            SectionKind::Detached => {
                let ask = |obstacle| question(d, work, s, obstacle);
                questions.extend(reattach::obstacles(d, work, s).into_iter().map(ask));
            }
            SectionKind::Effect | SectionKind::Born => {}
        }
    }
    let mut found = Obstacles::default();
    for question in questions {
        let rows = session.rows(&question.sql).await?;
        let Some(row) = rows.first().filter(|row| number(row, 0) > 0) else { continue };
        let conflict = RestoreConflict {
            table: work.schema.table(question.table).name.to_string(),
            key: text(row, 1),
            reason: question.reason,
            rows: number(row, 0),
        };
        match question.bearable {
            Some(id) => found.orphans.push((id, conflict)),
            None => found.conflicts.push(conflict),
        }
    }
    Ok(found)
}

/// Asks for the number of rows in the way and for the key of one of them.
fn question(d: &dyn Dialect, work: &Work, s: &Staged, obstacle: Obstacle) -> Question {
    let shape = work.schema.table(s.table);
    let key: Vec<String> = match s.kind {
        SectionKind::Detached => s.columns.iter().take(s.identity_columns).cloned().collect(),
        SectionKind::Rows | SectionKind::Effect | SectionKind::Born => {
            shape.key().unwrap_or_default().iter().map(|c| shape.columns[*c].name.clone()).collect()
        }
    };
    let texts: Vec<String> = key
        .iter()
        .filter(|name| s.columns.contains(name))
        .map(|name| d.text(&format!("s.{}", d.quote(name))))
        .collect();
    let key = match shape.key() {
        Some(_) if !texts.is_empty() => format!("min({})", texts.join(" || ', ' || ")),
        Some(_) | None => "'a row without a key'".to_owned(),
    };
    let Obstacle { reason, rows, condition } = obstacle;
    let sql = format!("SELECT count(*), {key} FROM {rows} s WHERE {condition}");
    Question { table: s.table, reason, sql, bearable: None }
}

fn existing(d: &dyn Dialect, work: &Work, s: &Staged) -> Vec<Question> {
    let shape = work.schema.table(s.table);
    let mut questions = Vec::new();
    for key in &shape.keys {
        let names: Vec<String> = key.iter().map(|c| shape.columns[*c].name.clone()).collect();
        if !names.iter().all(|name| s.columns.contains(name)) {
            continue;
        }
        let condition =
            format!("EXISTS (SELECT 1 FROM {} x WHERE {})", d.relation(shape), equal(d, &names, "x", "s"));
        let reason = format!("a row with the same {} exists", names.join(", "));
        questions.push(question(d, work, s, Obstacle { reason, rows: s.name.clone(), condition }));
    }
    questions
}

fn missing_parents(
    d: &dyn Dialect,
    work: &Work,
    staged: &[Staged],
    s: &Staged,
    orphans_allowed: bool,
) -> Vec<Question> {
    let conditions = Conditions { schema: &work.schema, dialect: d };
    let mut questions = Vec::new();
    for id in work.schema.reference_ids() {
        let r = work.schema.reference(id);
        if r.child != s.table || r.origin != Origin::Declared || r.child_parts.is_some() {
            continue;
        }
        let bearable = (!r.validated && orphans_allowed).then_some(id);
        let r = whole(r);
        let refers = conditions.refers(&r, ("s", Side::Table), ("y", Side::Table));
        let parent = work.schema.table(r.parent);
        let mut condition = format!(
            "{} AND NOT EXISTS (SELECT 1 FROM {} y WHERE {refers})",
            conditions.is_set(&r, "s"),
            d.relation(parent)
        );
        if let Some(rows) = rows_of(staged, r.parent) {
            condition.push_str(&format!(" AND NOT EXISTS (SELECT 1 FROM {} y WHERE {refers})", rows.name));
        }
        let reason = format!("its parent in `{}` is missing ({})", parent.name, work.schema.describe(id));
        let obstacle = Obstacle { reason, rows: s.name.clone(), condition };
        questions.push(Question { bearable, ..question(d, work, s, obstacle) });
    }
    questions
}

/// One insert per table with rows, parents first.
pub(crate) fn inserts(d: &dyn Dialect, work: &Work, staged: &[Staged]) -> Vec<(TableId, String)> {
    let rows = staged.iter().filter(|s| s.kind == SectionKind::Rows);
    rows.map(|s| (s.table, d.insert_staged(work.schema.table(s.table), &s.columns, &s.name))).collect()
}

/// One delete per table in which triggers of the purge inserted rows; only rows that are still the same.
pub(crate) fn unborn(d: &dyn Dialect, work: &Work, staged: &[Staged]) -> Vec<String> {
    let born = staged.iter().filter(|s| s.kind == SectionKind::Born);
    born.map(|s| {
        let shape = work.schema.table(s.table);
        let mut terms: Vec<String> = Vec::new();
        if let Some(key) = shape.key() {
            let names: Vec<String> = key.iter().map(|c| shape.columns[*c].name.clone()).collect();
            terms.push(equal(d, &names, "x", "s"));
        }
        let same = s.columns.iter().map(|name| d.quote(name));
        terms.extend(same.map(|name| d.same(&format!("x.{name}"), &format!("s.{name}"))));
        format!(
            "DELETE FROM {} AS x WHERE EXISTS (SELECT 1 FROM {} s WHERE {})",
            d.target(shape),
            s.name,
            terms.join(" AND ")
        )
    })
    .collect()
}

/// Adds counts under the names of the tables.
pub(crate) fn by_name(work: &Work, counts: &BTreeMap<TableId, u64>) -> BTreeMap<String, u64> {
    counts
        .iter()
        .filter(|(_, rows)| **rows > 0)
        .map(|(table, rows)| (work.schema.table(*table).name.to_string(), *rows))
        .collect()
}
