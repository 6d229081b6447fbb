//! Putting detached references back: which row is meant, whether it is as the detach left it, which of the old
//! values count.
//!
//! A row is found by a key that no detach writes, or else by its content. Rows of the same content cannot be
//! told apart, so they are numbered on both sides and matched by their numbers.
//!
//! Invariants
//! - a column is only written where it is null, or at the default that the detach wrote;
//! - an old value that is null was never detached, and changes nothing;
//! - a row that triggers changed while it was detached, and that has no key, comes back as a whole (`effects`) and
//!   is not looked for here.

use super::condition::{Conditions, Side};
use super::dialect::Dialect;
use super::restore::{Staged, parents_of, whole};
use super::{Session, SqlError};
use unseed_core::closure::Detachment;
use unseed_core::port::store::{SectionKind, Work};
use unseed_core::schema::{ColumnIndex, Reference, ReferenceId, TableId};

/// Number of a row among those of the same content.
const NUMBER: &str = "unseed_n";

/// The sections of detached rows.
fn detached(staged: &[Staged]) -> impl Iterator<Item = &Staged> {
    staged.iter().filter(|s| s.kind == SectionKind::Detached)
}

fn identity_names(s: &Staged) -> &[String] {
    &s.columns[..s.identity_columns]
}

fn old_names(s: &Staged) -> &[String] {
    &s.columns[s.identity_columns..]
}

/// Whether the identity of the rows is a key without nulls, so that each is one row.
fn has_key(work: &Work, s: &Staged) -> bool {
    let shape = work.schema.table(s.table);
    let is_identity = |key: &&Vec<usize>| key.iter().map(|c| &shape.columns[*c].name).eq(identity_names(s));
    shape.keys.iter().find(is_identity).is_some_and(|key| key.iter().all(|c| !shape.columns[*c].nullable))
}

/// The row under alias `x` is the one that the staged row under alias `t` means, as far as values tell.
fn identity(d: &dyn Dialect, s: &Staged, x: &str, t: &str) -> String {
    let names = identity_names(s).iter().map(|name| d.quote(name));
    let terms: Vec<String> =
        names.map(|name| d.same(&format!("{x}.{name}"), &format!("{t}.{name}"))).collect();
    if terms.is_empty() { "true".to_owned() } else { terms.join(" AND ") }
}

/// The column is as the detach left it.
fn untouched(d: &dyn Dialect, work: &Work, s: &Staged, name: &str, x: &str) -> String {
    let shape = work.schema.table(s.table);
    let column = format!("{x}.{}", d.quote(name));
    let writes_default = |detachment: &Detachment| {
        detachment.to_default && detachment.columns.iter().any(|c| shape.columns[*c].name == name)
    };
    let to_default = weak(work, s.table).any(|(_, detachment)| writes_default(detachment));
    let default = shape.columns.iter().find(|c| c.name == name).and_then(|c| c.default.clone());
    match default.filter(|_| to_default) {
        Some(default) => format!("({column} IS NULL OR {})", d.same(&column, &default)),
        None => format!("{column} IS NULL"),
    }
}

/// The references of a table that may be detached, and what that writes.
fn weak(work: &Work, table: TableId) -> impl Iterator<Item = &(ReferenceId, Detachment)> {
    work.program
        .detaches
        .iter()
        .filter(move |detach| detach.table == table)
        .flat_map(|detach| &detach.references)
}

/// One update per section of detached rows.
pub(crate) fn reattaches(d: &dyn Dialect, work: &Work, staged: &[Staged]) -> Vec<(TableId, String)> {
    let statement =
        |s: &Staged| if has_key(work, s) { by_key(d, work, s) } else { by_content(d, work, staged, s) };
    detached(staged).map(|s| (s.table, statement(s))).collect()
}

fn by_key(d: &dyn Dialect, work: &Work, s: &Staged) -> String {
    let set = |name: &String| {
        let (column, untouched) = (d.quote(name), untouched(d, work, s, name, "x"));
        let counts = format!("s.{column} IS NOT NULL AND {untouched}");
        let value = format!("CASE WHEN {counts} THEN s.{column} ELSE x.{column} END");
        (column, value)
    };
    let shape = work.schema.table(s.table);
    let mut sets: Vec<(String, String)> = old_names(s).iter().map(set).collect();
    sets.extend(d.pinned(shape, old_names(s)));
    d.update((&d.target(shape), "x"), &sets, &[format!("{} s", s.name)], &identity(d, s, "x", "s"))
}

fn by_content(d: &dyn Dialect, work: &Work, staged: &[Staged], s: &Staged) -> String {
    let shape = work.schema.table(s.table);
    let set = |name: &String| {
        let column = d.quote(name);
        let value = format!("CASE WHEN s.{column} IS NULL THEN x.{column} ELSE s.{column} END");
        (column, value)
    };
    let mut sets: Vec<(String, String)> = old_names(s).iter().map(set).collect();
    sets.extend(d.pinned(shape, old_names(s)));
    let from = [format!("{} s", numbered(d, staged, s)), format!("{} k", candidates(d, work, s))];
    let condition = format!("{} AND {}", d.at(shape, "x", "k"), matched(d, s));
    d.update((&d.target(shape), "x"), &sets, &from, &condition)
}

/// The staged rows, numbered among those of the same content; none where they come back as a whole, since then
/// each of them is among the rows that triggers changed.
fn numbered(d: &dyn Dialect, staged: &[Staged], s: &Staged) -> String {
    let effect = staged.iter().find(|e| e.table == s.table && e.kind == SectionKind::Effect);
    let unless = effect.map(|e| format!(" WHERE NOT EXISTS (SELECT 1 FROM {})", e.name)).unwrap_or_default();
    format!("(SELECT s.*, {} AS {NUMBER} FROM {} s{unless})", number_among(d, s, "s"), s.name)
}

/// Addresses and content of the rows that are as a detach left them, numbered alike.
fn candidates(d: &dyn Dialect, work: &Work, s: &Staged) -> String {
    let shape = work.schema.table(s.table);
    let mut columns = d.located(shape, "x");
    let content = identity_names(s).iter().enumerate();
    columns.extend(content.map(|(n, name)| format!("x.{} AS i{n}", d.quote(name))));
    let left: Vec<String> = old_names(s).iter().map(|name| untouched(d, work, s, name, "x")).collect();
    format!(
        "(SELECT {}, {} AS {NUMBER} FROM {} x WHERE {})",
        columns.join(", "),
        number_among(d, s, "x"),
        d.relation(shape),
        left.join(" AND ")
    )
}

fn number_among(d: &dyn Dialect, s: &Staged, alias: &str) -> String {
    let names = identity_names(s).iter().map(|name| d.group(&format!("{alias}.{}", d.quote(name))));
    let groups: Vec<String> = names.collect();
    let within =
        if groups.is_empty() { String::new() } else { format!("PARTITION BY {}", groups.join(", ")) };
    format!("row_number() OVER ({within})")
}

/// A numbered staged row `s` and a candidate `k` belong together.
fn matched(d: &dyn Dialect, s: &Staged) -> String {
    let content = identity_names(s).iter().enumerate();
    let mut terms: Vec<String> =
        content.map(|(n, name)| d.alike(&format!("k.i{n}"), &format!("s.{}", d.quote(name)))).collect();
    terms.push(format!("k.{NUMBER} = s.{NUMBER}"));
    terms.join(" AND ")
}

/// Something that may stand in the way of a section: why, rows to look at under alias `s`, and which of them.
pub(crate) struct Obstacle {
    pub(crate) reason: String,
    pub(crate) rows: String,
    pub(crate) condition: String,
}

/// What stands in the way of a section: values that were set since, rows that cannot be found.
pub(crate) fn obstacles(d: &dyn Dialect, work: &Work, staged: &[Staged], s: &Staged) -> Vec<Obstacle> {
    let shape = work.schema.table(s.table);
    if !has_key(work, s) {
        let missing =
            format!("NOT EXISTS (SELECT 1 FROM {} k WHERE {})", candidates(d, work, s), matched(d, s));
        let reason = "the row that was detached is not as it was left".to_owned();
        return vec![Obstacle { reason, rows: numbered(d, staged, s), condition: missing }];
    }
    let changed = |name: &String| {
        let column = d.quote(name);
        let condition = format!(
            "s.{column} IS NOT NULL AND EXISTS (SELECT 1 FROM {} x WHERE {} AND NOT ({}) AND NOT ({}))",
            d.relation(shape),
            identity(d, s, "x", "s"),
            untouched(d, work, s, name, "x"),
            d.same(&format!("x.{column}"), &format!("s.{column}")),
        );
        Obstacle {
            reason: format!("its {name} was set to something else since"),
            rows: s.name.clone(),
            condition,
        }
    };
    old_names(s).iter().map(changed).collect()
}

/// Keeps only old values that lead to rows which are put back.
pub(crate) async fn narrow(
    session: &mut dyn Session,
    work: &Work,
    staged: &[Staged],
) -> Result<(), SqlError> {
    for s in detached(staged) {
        let d = session.dialect();
        let leads: Vec<(&Detachment, String)> = weak(work, s.table)
            .filter_map(|(id, detachment)| Some((detachment, leads(d, work, staged, s, *id)?)))
            .collect();
        let shape = work.schema.table(s.table);
        let keep = |name: &String| {
            let writes =
                |detachment: &Detachment| detachment.columns.iter().any(|c| shape.columns[*c].name == *name);
            let any: Vec<&str> = leads
                .iter()
                .filter(|(detachment, _)| writes(detachment))
                .map(|(_, sql)| sql.as_str())
                .collect();
            let (column, any) =
                (d.quote(name), if any.is_empty() { "false".to_owned() } else { any.join(" OR ") });
            let value = format!("CASE WHEN {any} THEN s.{column} END");
            (column, value)
        };
        let sets: Vec<(String, String)> = old_names(s).iter().map(keep).collect();
        let delete = d.delete(&s.name, &|s_alias| {
            let nothing = old_names(s).iter().map(|name| format!("{s_alias}.{} IS NULL", d.quote(name)));
            nothing.collect::<Vec<_>>().join(" AND ")
        });
        let update = d.update((&s.name, "s"), &sets, &[], "true");
        session.run(&update).await?;
        session.run(&delete).await?;
    }
    Ok(())
}

/// A staged row `s`, as it was before the detach, refers to a staged row by this reference.
fn leads(d: &dyn Dialect, work: &Work, staged: &[Staged], s: &Staged, id: ReferenceId) -> Option<String> {
    let conditions = Conditions { schema: &work.schema, dialect: d };
    let r: Reference = whole(work.schema.reference(id));
    let parent = parents_of(work, staged, &r)?;
    let shape = work.schema.table(s.table);
    let staged = |c: &ColumnIndex| s.columns.contains(&shape.columns[*c].name);
    let (archived, kept) = split(&r, staged);
    let refers = |r: &Reference, x: &str| conditions.refers(r, (x, Side::Table), ("y", Side::Table));
    let before = if kept.child_columns.is_empty() && kept.when.is_empty() {
        format!("SELECT 1 FROM {} y WHERE {}", parent.name, refers(&archived, "s"))
    } else {
        // What no detach wrote is as it was, in the row itself.
        let terms = [refers(&archived, "s"), refers(&kept, "x"), identity(d, s, "x", "s")];
        let terms: Vec<String> = terms.into_iter().filter(|term| !term.is_empty()).collect();
        format!("SELECT 1 FROM {} x, {} y WHERE {}", d.relation(shape), parent.name, terms.join(" AND "))
    };
    Some(format!("EXISTS ({before})"))
}

/// The reference over the columns that pass the test, and over the others.
fn split(r: &Reference, test: impl Fn(&ColumnIndex) -> bool) -> (Reference, Reference) {
    let half = |wanted: bool| {
        let pairs = r.child_columns.iter().zip(&r.parent_columns).filter(|(c, _)| test(c) == wanted);
        let (child_columns, parent_columns) = pairs.map(|(c, p)| (*c, *p)).unzip();
        let when = r.when.iter().filter(|(c, _)| test(c) == wanted).cloned().collect();
        Reference { child_columns, parent_columns, when, ..r.clone() }
    };
    (half(true), half(false))
}
