//! Restoring: archived rows are staged in temporary tables, checked against what is there, then inserted.
//!
//! Nothing is overwritten: a row whose key exists, or whose parent is missing, is a conflict. References are
//! only reattached where they are still null (or at the default that the detach wrote).

use super::condition::{Conditions, Side};
use super::dialect::Dialect;
use super::effects;
use super::reattach::{self, Obstacle};
use super::{Session, SqlError, number, runs, text};
use std::collections::BTreeMap;
use std::ops::Range;
use unseed_core::port::store::{RestoreConflict, SectionEntry, SectionKind, Work};
use unseed_core::schema::{ColumnIndex, Origin, Reference, ReferenceId, TableId};

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

/// Columns of a table that an archive holds: all that an insert may write, and the generated ones that keys or
/// references are made of, which a restore compares.
pub(crate) fn archived_columns(work: &Work, table: TableId) -> Vec<ColumnIndex> {
    let shape = work.schema.table(table);
    let refers = |c: &ColumnIndex| {
        work.schema.references.iter().any(|r| {
            (r.child == table && r.child_columns.contains(c))
                || (r.parent == table && r.parent_columns.contains(c))
        })
    };
    let compared = |c: &ColumnIndex| shape.keys.iter().any(|key| key.contains(c)) || refers(c);
    (0..shape.columns.len()).filter(|c| !shape.columns[*c].generated || compared(c)).collect()
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
        if let Some(column) =
            head.columns.iter().find(|c| shape.columns.iter().all(|known| known.name != **c))
        {
            return Err(format!("{}.{column}", shape.name));
        }
        let alike = |s: &&mut Staged| {
            s.table == table
                && s.kind == head.kind
                && s.columns == head.columns
                && s.identity_columns == head.identity_columns
        };
        match staged.iter_mut().find(alike) {
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
    let create = |s: &Staged| d.create_staging(work.schema.table(s.table), &s.name, &s.columns);
    staged.iter().flat_map(|s| std::iter::once(create(s)).chain(effects::create(s))).collect()
}

pub(crate) fn quoted(d: &dyn Dialect, names: &[String]) -> Vec<String> {
    names.iter().map(|name| d.quote(name)).collect()
}

pub(crate) fn equal(d: &dyn Dialect, names: &[String], x: &str, s: &str) -> String {
    let terms: Vec<String> =
        names.iter().map(|name| d.quote(name)).map(|name| format!("{x}.{name} = {s}.{name}")).collect();
    terms.join(" AND ")
}

/// Whether a staging table has these columns of its table.
pub(crate) fn holds(work: &Work, s: &Staged, columns: &[ColumnIndex]) -> bool {
    let shape = work.schema.table(s.table);
    columns.iter().all(|c| s.columns.contains(&shape.columns[*c].name))
}

/// The staged rows that a reference can lead to.
pub(crate) fn parents_of<'a>(work: &Work, staged: &'a [Staged], r: &Reference) -> Option<&'a Staged> {
    rows_of(staged, r.parent).filter(|parent| holds(work, parent, &r.parent_columns))
}

/// The staged rows of a table.
fn rows_of(staged: &[Staged], table: TableId) -> Option<&Staged> {
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
    let follows: Vec<ReferenceId> = work
        .program
        .stages
        .iter()
        .flat_map(|s| s.visits())
        .flat_map(|v| &v.follows)
        .map(|f| f.reference)
        .collect();
    loop {
        let mut grew = 0;
        for id in &follows {
            let r = whole(work.schema.reference(*id));
            let child = rows_of(staged, r.child).filter(|child| holds(work, child, &r.child_columns));
            let (Some(child), Some(parent)) = (child, parents_of(work, staged, &r)) else { continue };
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
        let select = format!("SELECT {} AS z FROM {} s WHERE false", d.staging_row("s"), s.name);
        let create = d.create_set(&name, &[vec![("z".to_owned(), None)]], &select);
        session.run(&create).await?;
    }
    let d = session.dialect();
    let shape = work.schema.table(table);
    let matches: Vec<String> = shape
        .key()
        .unwrap_or_default()
        .iter()
        .zip(key)
        .map(|(c, v)| {
            let column = &shape.columns[*c];
            format!("{} = {}", d.text_of(column, &format!("s.{}", d.quote(&column.name))), d.literal(v))
        })
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
        let kept = d.temp(&kept(s.table));
        let sql = d.delete(&s.name, &|s| {
            format!("NOT EXISTS (SELECT 1 FROM {kept} p WHERE p.z = {})", d.staging_row(s))
        });
        session.run(&sql).await?;
    }
    // What triggers changed or inserted because of other roots stays.
    for s in staged.iter().filter(|s| matches!(s.kind, SectionKind::Born | SectionKind::Effect)) {
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

/// How many questions go into one statement.
const QUESTIONS_PER_STATEMENT: usize = 50;

/// One question to the database: which staged rows have a problem.
struct Question {
    table: TableId,
    reason: String,
    /// What comes behind SELECT.
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
                questions.extend(reattach::obstacles(d, work, staged, s).into_iter().map(ask));
            }
            SectionKind::Effect | SectionKind::Born => {
                let obstacle = effects::obstacles(d, work, staged, s);
                questions.extend(obstacle.map(|obstacle| question(d, work, s, obstacle)));
            }
        }
    }
    let mut found = Obstacles::default();
    for questions in questions.chunks(QUESTIONS_PER_STATEMENT) {
        let selects: Vec<String> =
            questions.iter().enumerate().map(|(n, q)| format!("SELECT {n}, {}", q.sql)).collect();
        let mut answers = session.rows(&selects.join(" UNION ALL ")).await?;
        answers.retain(|row| number(row, 1) > 0);
        answers.sort_by_key(|row| number(row, 0));
        for row in answers {
            let asked = usize::try_from(number(&row, 0)).ok().and_then(|n| questions.get(n));
            let question = asked.expect("the database answers with the number of a question");
            let conflict = RestoreConflict {
                table: work.schema.table(question.table).name.to_string(),
                key: text(&row, 2),
                reason: question.reason.clone(),
                rows: number(&row, 1),
            };
            match question.bearable {
                Some(id) => found.orphans.push((id, conflict)),
                None => found.conflicts.push(conflict),
            }
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
        .filter_map(|name| shape.columns.iter().find(|column| column.name == *name))
        .map(|column| d.text_of(column, &format!("s.{}", d.quote(&column.name))))
        .collect();
    let key = match shape.key() {
        Some(_) if !texts.is_empty() => format!("min({})", d.concat(&texts, ", ")),
        Some(_) | None => "'a row without a key'".to_owned(),
    };
    let Obstacle { reason, rows, condition } = obstacle;
    let sql = format!("count(*), {key} FROM {rows} s WHERE {condition}");
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
        let speaks = r.child == s.table && r.origin == Origin::Declared && holds(work, s, &r.child_columns);
        // In which partition a row will be is only known when it is there.
        if !speaks || r.child_parts.is_some() || r.parent_parts.is_some() {
            continue;
        }
        let bearable = (!r.validated && orphans_allowed).then_some(id);
        let refers = conditions.refers(r, ("s", Side::Table), ("y", Side::Table));
        let parent = work.schema.table(r.parent);
        let mut condition = format!(
            "{} AND NOT EXISTS (SELECT 1 FROM {} y WHERE {refers})",
            conditions.is_set(r, "s"),
            d.relation(parent)
        );
        if let Some(rows) = parents_of(work, staged, r) {
            condition.push_str(&format!(" AND NOT EXISTS (SELECT 1 FROM {} y WHERE {refers})", rows.name));
        }
        let reason = format!("its parent in `{}` is missing ({})", parent.name, work.schema.describe(id));
        let obstacle = Obstacle { reason, rows: s.name.clone(), condition };
        questions.push(Question { bearable, ..question(d, work, s, obstacle) });
    }
    questions
}

/// Locks the rows outside the archive that staged rows refer to, so that they cannot go before the restore is
/// done; needed where the database does not check keys itself.
pub(crate) fn parent_locks(d: &dyn Dialect, work: &Work, staged: &[Staged], lock: &str) -> Vec<String> {
    let conditions = Conditions { schema: &work.schema, dialect: d };
    let mut statements = Vec::new();
    for s in staged.iter().filter(|s| s.kind == SectionKind::Rows) {
        for r in work.schema.references.iter().filter(|r| r.child == s.table && r.origin == Origin::Declared)
        {
            if !holds(work, s, &r.child_columns) {
                continue;
            }
            let shape = work.schema.table(s.table);
            let r = Reference { child_parts: None, ..r.clone() };
            let refers = conditions.refers(&r, ("s", Side::Table), ("y", Side::Table));
            let columns: Vec<String> =
                r.child_columns.iter().map(|c| format!("s.{}", d.quote(&shape.columns[*c].name))).collect();
            let inside = parents_of(work, staged, &r).map(|rows| {
                let r = Reference { parent_parts: None, ..r.clone() };
                let refers = conditions.refers(&r, ("s", Side::Table), ("y", Side::Table));
                format!(" AND NOT EXISTS (SELECT 1 FROM {} y WHERE {refers})", rows.name)
            });
            statements.push(format!(
                "SELECT count(*) FROM (SELECT 1 FROM {} y JOIN (SELECT DISTINCT {} FROM {} s WHERE {}{}) s ON {refers} \
                 {lock}) locked",
                d.relation(work.schema.table(r.parent)),
                columns.join(", "),
                s.name,
                conditions.is_set(&r, "s"),
                inside.unwrap_or_default(),
            ));
        }
    }
    statements
}

/// One insert per table with rows, parents first.
pub(crate) fn inserts(d: &dyn Dialect, work: &Work, staged: &[Staged]) -> Vec<(TableId, String)> {
    let rows = staged.iter().filter(|s| s.kind == SectionKind::Rows);
    let statement = |s: &Staged| {
        let shape = work.schema.table(s.table);
        let generated = |name: &String| shape.columns.iter().any(|c| c.generated && c.name == *name);
        let columns: Vec<String> = s.columns.iter().filter(|name| !generated(name)).cloned().collect();
        (s.table, d.insert_staged(shape, &columns, &s.name))
    };
    rows.map(statement).collect()
}

/// Inserts that share a statement: where the database checks keys (`checked`), rows come no earlier than the rows
/// they refer to.
pub(crate) fn runs(work: &Work, inserts: &[(TableId, String)], checked: bool) -> Vec<Range<usize>> {
    let tables: Vec<TableId> = inserts.iter().map(|(table, _)| *table).collect();
    let declared = work.schema.references.iter().filter(|r| checked && r.origin == Origin::Declared);
    runs::runs(&tables, declared.map(|r| (r.child, r.parent)))
}

/// Adds counts under the names of the tables.
pub(crate) fn by_name(work: &Work, counts: &BTreeMap<TableId, u64>) -> BTreeMap<String, u64> {
    counts
        .iter()
        .filter(|(_, rows)| **rows > 0)
        .map(|(table, rows)| (work.schema.table(*table).name.to_string(), *rows))
        .collect()
}
