//! Undoing what triggers did during a purge: rows that they inserted go, rows that they changed or removed
//! come back as they were before the first batch.
//!
//! A batch archives such rows as they were (`Effect`) and as they are after it (`Born`). Over several batches,
//! the first of the former and the last of the latter count for each key. Rows without a key are told apart
//! by their content and matched by number, as often as they occur.
//!
//! Invariants
//! - a row that was changed again since is not touched: where the plan allowed triggers to change its table it
//!   is a conflict, elsewhere only its reference comes back;
//! - a row that looks like one that a trigger inserted, but is not, stays.

use super::dialect::Dialect;
use super::reattach::Obstacle;
use super::restore::{Staged, equal, quoted};
use unseed_core::port::store::{SectionHead, SectionKind, Work};
use unseed_core::schema::{Identity, Table};

/// The batch that a staged row is from; negative once it does not count any more.
const BATCH: &str = "unseed_batch";

fn tracked(s: &Staged) -> bool {
    match s.kind {
        SectionKind::Effect | SectionKind::Born => true,
        SectionKind::Rows | SectionKind::Detached => false,
    }
}

fn of_kind<'a>(staged: &'a [Staged], like: &Staged, kind: &SectionKind) -> Option<&'a Staged> {
    staged.iter().find(|s| s.table == like.table && s.kind == *kind && s.columns == like.columns)
}

fn key_names(shape: &Table) -> Option<Vec<String>> {
    shape.key().map(|key| key.iter().map(|c| shape.columns[*c].name.clone()).collect())
}

/// Statement that makes room for the batch, where a staging table needs it.
pub(crate) fn create(s: &Staged) -> Option<String> {
    tracked(s).then(|| format!("ALTER TABLE {} ADD COLUMN {BATCH} bigint", s.name))
}

/// Statement that marks what was just loaded as being from a batch.
pub(crate) fn loaded(s: &Staged, batch: u64) -> Option<String> {
    tracked(s).then(|| format!("UPDATE {} SET {BATCH} = {batch} WHERE {BATCH} IS NULL", s.name))
}

/// Statements that leave the first version before and the last version after, per key.
fn reduce(d: &dyn Dialect, work: &Work, staged: &[Staged]) -> Vec<String> {
    let mut marks = Vec::new();
    let mut deletes = Vec::new();
    for s in staged.iter().filter(|s| tracked(s)) {
        let Some(key) = key_names(work.schema.table(s.table)) else { continue };
        let sign = if s.kind == SectionKind::Effect { "<" } else { ">" };
        let others = [SectionKind::Effect, SectionKind::Born];
        let exists: Vec<String> = others
            .iter()
            .filter_map(|kind| of_kind(staged, s, kind))
            .map(|o| {
                let same = equal(d, &key, "o", "s");
                format!(
                    "EXISTS (SELECT 1 FROM {} o WHERE {same} AND abs(o.{BATCH}) {sign} abs(s.{BATCH}))",
                    d.others_of(&o.name)
                )
            })
            .collect();
        let sets = [(BATCH.to_owned(), format!("-s.{BATCH}"))];
        marks.push(d.update((&s.name, "s"), &sets, &[], &exists.join(" OR ")));
        deletes.push(format!("DELETE FROM {} WHERE {BATCH} < 0", s.name));
    }
    marks.extend(deletes);
    marks
}

/// Statements that sort out what counts, and stage what triggers removed among the rows to insert.
pub(crate) fn merge(d: &dyn Dialect, work: &Work, staged: &mut Vec<Staged>) -> Vec<String> {
    let mut statements = reduce(d, work, staged);
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
        let only_changed =
            changed(d, work, staged, &effect).map(|c| format!(" WHERE NOT {c}")).unwrap_or_default();
        statements.push(format!(
            "INSERT INTO {target} ({columns}) SELECT {columns} FROM {} s{only_changed}",
            effect.name,
        ));
    }
    statements
}

/// The row `s` as it was before has a version after: it was changed and not removed.
fn changed(d: &dyn Dialect, work: &Work, staged: &[Staged], effect: &Staged) -> Option<String> {
    let key = key_names(work.schema.table(effect.table))?;
    let born = of_kind(staged, effect, &SectionKind::Born)?;
    Some(format!("EXISTS (SELECT 1 FROM {} b WHERE {})", born.name, equal(d, &key, "b", "s")))
}

fn same_content(d: &dyn Dialect, columns: &[String], a: &str, b: &str) -> String {
    let names = quoted(d, columns).into_iter();
    let terms: Vec<String> =
        names.map(|name| d.same(&format!("{a}.{name}"), &format!("{b}.{name}"))).collect();
    if terms.is_empty() { "true".to_owned() } else { terms.join(" AND ") }
}

/// What keeps changed rows from coming back as they were.
pub(crate) fn obstacles(d: &dyn Dialect, work: &Work, staged: &[Staged], s: &Staged) -> Option<Obstacle> {
    if s.kind == SectionKind::Born {
        return lost(d, work, staged, s);
    }
    if s.kind != SectionKind::Effect || !work.allowed_effects.contains(&s.table) {
        return None;
    }
    let shape = work.schema.table(s.table);
    let (key, born) = (key_names(shape)?, of_kind(staged, s, &SectionKind::Born)?);
    let as_left = format!(
        "EXISTS (SELECT 1 FROM {} b WHERE {} AND {})",
        born.name,
        equal(d, &key, "b", "s"),
        same_content(d, &s.columns, "x", "b")
    );
    let condition = format!(
        "{} AND NOT EXISTS (SELECT 1 FROM {} x WHERE {} AND ({} OR {as_left}))",
        changed(d, work, staged, s)?,
        d.relation(shape),
        equal(d, &key, "x", "s"),
        same_content(d, &s.columns, "x", "s")
    );
    let reason = "a trigger of the purge changed it, and it was changed since".to_owned();
    Some(Obstacle { reason, rows: s.name.clone(), condition })
}

/// Statements that bring changed rows back to what they were and take inserted ones away.
pub(crate) fn undo(d: &dyn Dialect, work: &Work, staged: &[Staged]) -> Vec<String> {
    let effects = staged.iter().filter(|s| s.kind == SectionKind::Effect);
    let mut statements: Vec<String> = effects.filter_map(|s| revert(d, work, staged, s)).collect();
    let born = staged.iter().filter(|s| s.kind == SectionKind::Born);
    statements.extend(born.map(|s| match key_names(work.schema.table(s.table)) {
        Some(key) => take_by_key(d, work, staged, s, &key),
        None => take_by_content(d, work, s),
    }));
    statements
}

fn revert(d: &dyn Dialect, work: &Work, staged: &[Staged], s: &Staged) -> Option<String> {
    let shape = work.schema.table(s.table);
    let (key, born) = (key_names(shape)?, of_kind(staged, s, &SectionKind::Born)?);
    let written = |name: &&String| {
        let fixed = shape.columns.iter().any(|c| c.name == **name && c.identity == Some(Identity::Always));
        !key.contains(*name) && !fixed
    };
    let set = |name: &String| (d.quote(name), format!("s.{}", d.quote(name)));
    let sets: Vec<(String, String)> = s.columns.iter().filter(written).map(set).collect();
    if sets.is_empty() {
        return None;
    }
    let condition = format!(
        "{} AND EXISTS (SELECT 1 FROM {} b WHERE {} AND {})",
        equal(d, &key, "x", "s"),
        born.name,
        equal(d, &key, "b", "s"),
        same_content(d, &s.columns, "x", "b")
    );
    Some(d.update((&d.target(shape), "x"), &sets, &[format!("{} s", s.name)], &condition))
}

fn take_by_key(d: &dyn Dialect, work: &Work, staged: &[Staged], s: &Staged, key: &[String]) -> String {
    let not_changed = of_kind(staged, s, &SectionKind::Effect)
        .map(|e| format!(" AND NOT EXISTS (SELECT 1 FROM {} e WHERE {})", e.name, equal(d, key, "e", "s")))
        .unwrap_or_default();
    d.delete(&d.target(work.schema.table(s.table)), &|x| {
        format!(
            "EXISTS (SELECT 1 FROM {} s WHERE {} AND {}{not_changed})",
            s.name,
            equal(d, key, x, "s"),
            same_content(d, &s.columns, x, "s")
        )
    })
}

/// Rows without a key that triggers changed, and that are not as the last batch left them.
fn lost(d: &dyn Dialect, work: &Work, staged: &[Staged], s: &Staged) -> Option<Obstacle> {
    let shape = work.schema.table(s.table);
    let effect = of_kind(staged, s, &SectionKind::Effect)?;
    if shape.key().is_some() || s.columns.is_empty() {
        return None;
    }
    let names = quoted(d, &s.columns);
    let groups: Vec<String> = names.iter().map(|name| d.group(&format!("s.{name}"))).collect();
    let (groups, names) = (groups.join(", "), names.join(", "));
    let numbered =
        |from: &str| format!("SELECT {groups}, row_number() OVER (PARTITION BY {groups}) FROM {from} s");
    // What a later batch changed once more is among the rows as they were before it.
    let there =
        format!("(SELECT {names} FROM {} UNION ALL SELECT {names} FROM {})", d.relation(shape), effect.name);
    let rows = format!("({} EXCEPT {})", numbered(&s.name), numbered(&there));
    let condition = format!("EXISTS (SELECT 1 FROM {})", effect.name);
    let reason = "a trigger of the purge changed it, and it is not as it was left".to_owned();
    Some(Obstacle { reason, rows, condition })
}

/// As many rows of the same content as were inserted, whichever they are.
fn take_by_content(d: &dyn Dialect, work: &Work, s: &Staged) -> String {
    let shape = work.schema.table(s.table);
    let number = |alias: &str| {
        let names = quoted(d, &s.columns).into_iter();
        let groups: Vec<String> = names.map(|name| d.group(&format!("{alias}.{name}"))).collect();
        format!("row_number() OVER (PARTITION BY {}) AS unseed_n", groups.join(", "))
    };
    let address = d.located(shape, "y");
    let content: Vec<String> =
        quoted(d, &s.columns).iter().enumerate().map(|(n, name)| format!("y.{name} AS i{n}")).collect();
    let names = quoted(d, &s.columns).into_iter().enumerate();
    let alike: Vec<String> =
        names.map(|(n, name)| d.alike(&format!("k.i{n}"), &format!("s.{name}"))).collect();
    let picked = d.address_in_set(shape, "k");
    d.delete(&d.target(shape), &|x| {
        format!(
            "({}) IN (SELECT {} FROM (SELECT {}, {}, {} FROM {} y) k \
             JOIN (SELECT s.*, {} FROM {} s) s ON {} AND k.unseed_n = s.unseed_n)",
            d.address_of(shape, x).join(", "),
            picked.join(", "),
            address.join(", "),
            content.join(", "),
            number("y"),
            d.relation(shape),
            number("s"),
            s.name,
            alike.join(" AND ")
        )
    })
}
