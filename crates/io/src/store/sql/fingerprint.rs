//! Content digests of what is protected: the protected rows and every row that belongs to them wholly.
//!
//! A row belongs wholly when all its owning references that are set lead to rows that are protected or
//! belong wholly. Such a row can neither be removed nor detached by any plan, so its digest must not change.

use super::closure::carried;
use super::condition::Conditions;
use super::dialect::Dialect;
use super::{Session, SqlError, number, numbered, text};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::closure::{self, KeySet};
use unseed_core::port::store::{Fingerprint, Work};
use unseed_core::protect::{ProtectedRows, Protection};
use unseed_core::schema::{ReferenceId, Schema, TableId};

/// Tables that one statement looks at, at most.
const CHUNK: usize = 100;

fn set_name(table: TableId) -> String {
    format!("unseed_q{}", table.0)
}

/// Condition that picks the protected rows of a table under alias `x`.
pub(crate) fn protected(d: &dyn Dialect, work: &Work, table: TableId, x: &str) -> String {
    protected_among(d, &work.schema, &work.protections, (table, x))
}

/// The same, by these protections.
pub(crate) fn protected_among(
    d: &dyn Dialect,
    schema: &Schema,
    protections: &[Protection],
    (table, x): (TableId, &str),
) -> String {
    let shape = schema.table(table);
    let mut terms = Vec::new();
    for protection in protections.iter().filter(|p| p.table == table) {
        match &protection.rows {
            ProtectedRows::Values { column, values } => {
                let literals: Vec<String> = values.iter().map(|v| d.literal(v)).collect();
                let column = &shape.columns[*column];
                let column = d.text_of(column, &format!("{x}.{}", d.quote(&column.name)));
                if !literals.is_empty() {
                    terms.push(format!("{column} IN ({})", literals.join(", ")));
                }
            }
            ProtectedRows::Where(predicate) => {
                let same = d.at(shape, x, "p");
                let address = d.located(shape, &d.quote(&shape.name.name));
                terms.push(format!(
                    "EXISTS (SELECT 1 FROM (SELECT {} FROM {} AS {} WHERE ({predicate}\n)) p WHERE {same})",
                    address.join(", "),
                    d.relation(shape),
                    d.quote(&shape.name.name),
                ));
            }
        }
    }
    if terms.is_empty() { "false".to_owned() } else { format!("({})", terms.join(" OR ")) }
}

/// Tables that have protected rows or rows that belong to such.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// With a set each.
    alone: BTreeSet<TableId>,
    /// In one set: nothing belongs to their rows.
    together: BTreeSet<TableId>,
}

/// Where the rows of those tables are that share a set.
const TOGETHER: &str = "unseed_q";

/// Finds the protected rows and what belongs to them.
pub(crate) async fn find(session: &mut dyn Session, work: &Work) -> Result<Found, SqlError> {
    let mut filled: BTreeSet<TableId> = BTreeSet::new();
    let (mut unread, mut empty) = (Vec::new(), BTreeSet::new());
    let mut last = Vec::new();
    for set in order(work) {
        if set.carried.is_empty() && session.dialect().addresses_are_alike() {
            last.push(set);
            continue;
        }
        let table = set.table;
        let owners = work.ownership.owning.get(&table).into_iter().flatten();
        if owners.map(|id| work.schema.reference(*id).parent).any(|owner| unread.contains(&owner)) {
            analyze(session, &mut unread).await?;
        }
        let Some(select) = select(session.dialect(), work, &set, &filled) else { continue };
        let name = session.dialect().temp(&set_name(table));
        let shape = work.schema.table(table);
        let carried = set.carried.iter().map(|c| vec![(format!("c{c}"), Some(&shape.columns[*c]))]);
        let create = session.dialect().create_set(&name, &carried.collect::<Vec<_>>(), &select);
        let rows = session.run(&create).await?;
        if rows == 0 {
            empty.insert(table);
            continue;
        }
        unread.push(table);
        filled.insert(table);
    }
    analyze(session, &mut unread).await?;
    forget(session, &Found { alone: empty, together: BTreeSet::new() }).await?;
    let together = find_together(session, work, &last, &filled).await?;
    Ok(Found { alone: filled, together })
}

/// Finds rows that nothing belongs to, a few dozen tables at a time; returns the tables that have any.
async fn find_together(
    session: &mut dyn Session,
    work: &Work,
    sets: &[KeySet],
    filled: &BTreeSet<TableId>,
) -> Result<BTreeSet<TableId>, SqlError> {
    let d = session.dialect();
    let selects: Vec<String> = sets
        .iter()
        .filter_map(|set| Some((set.table, select(d, work, set, filled)?)))
        .map(|(table, select)| format!("SELECT {} AS no, s.* FROM ({select}) s", table.0))
        .collect();
    let name = d.temp(TOGETHER);
    for (n, chunk) in selects.chunks(CHUNK).enumerate() {
        let select = chunk.join(" UNION ALL ");
        let d = session.dialect();
        let sql =
            if n == 0 { d.create_set(&name, &[], &select) } else { format!("INSERT INTO {name} {select}") };
        session.run(&sql).await?;
    }
    if selects.is_empty() {
        return Ok(BTreeSet::new());
    }
    session.run(&session.dialect().analyze(&name)).await?;
    let rows = session.rows(&format!("SELECT DISTINCT no FROM {name}")).await?;
    Ok(rows.iter().map(|row| numbered(row, 0)).collect())
}

/// Has the database look at sets before they are joined: it guesses far more rows than the few that are usually
/// protected, and then reads whole tables.
async fn analyze(session: &mut dyn Session, unread: &mut Vec<TableId>) -> Result<(), SqlError> {
    for names in together(session.dialect(), std::mem::take(unread)) {
        session.run(&session.dialect().analyze(&names)).await?;
    }
    Ok(())
}

/// Names of sets, as many in one list as a statement takes.
fn together(d: &dyn Dialect, tables: Vec<TableId>) -> Vec<String> {
    let names: Vec<String> = tables.into_iter().map(|table| d.temp(&set_name(table))).collect();
    d.lists_of_tables(&names)
}

/// Forgets what [`find`] found.
pub(crate) async fn forget(session: &mut dyn Session, found: &Found) -> Result<(), SqlError> {
    for names in together(session.dialect(), found.alone.iter().copied().collect()) {
        session.run(&format!("DROP TABLE IF EXISTS {names}")).await?;
    }
    if session.dialect().addresses_are_alike() {
        let name = session.dialect().temp(TOGETHER);
        session.run(&format!("DROP TABLE IF EXISTS {name}")).await?;
    }
    Ok(())
}

/// Digests of the rows that were found, per table. A row that changed since has another address, and so
/// another digest.
pub(crate) async fn digests(
    session: &mut dyn Session,
    work: &Work,
    found: &Found,
) -> Result<Vec<Fingerprint>, SqlError> {
    let mut digests = Vec::new();
    let alone = found.alone.iter().map(|table| (*table, set_name(*table), String::new()));
    let together = found.together.iter();
    let together = together.map(|table| (*table, TOGETHER.to_owned(), format!("k.no = {} AND ", table.0)));
    for chunk in alone.chain(together).collect::<Vec<_>>().chunks(CHUNK) {
        let d = session.dialect();
        let selects: Vec<String> = chunk
            .iter()
            .map(|(table, set, which)| {
                let shape = work.schema.table(*table);
                format!(
                    "SELECT {}, count(*), {} FROM {} x JOIN {} k ON {which}{}",
                    table.0,
                    d.digest_of(&d.row_hash(shape, "x")),
                    d.relation(shape),
                    d.temp(set),
                    d.at(shape, "x", "k"),
                )
            })
            .collect();
        for row in session.rows(&selects.join(" UNION ALL ")).await? {
            let table = numbered(&row, 0);
            let name = work.schema.table(table).name.to_string();
            digests.push(Fingerprint { table: name, rows: number(&row, 1), digest: text(&row, 2) });
        }
    }
    Ok(digests)
}

/// Tables in an order in which owners come first, as far as there is one, and as many as can follow one another
/// before any of them is joined to the next.
fn order(work: &Work) -> Vec<KeySet> {
    let owning: BTreeSet<ReferenceId> = work.ownership.owning.values().flatten().copied().collect();
    let references = work
        .schema
        .reference_ids()
        .filter(|id| owning.contains(id))
        .map(|id| work.schema.reference(id).clone());
    let schema = Schema { tables: work.schema.tables.clone(), references: references.collect() };
    let mut sets = closure::program(&schema, &work.ownership.protected).sets;
    let mut depths: BTreeMap<TableId, usize> = BTreeMap::new();
    for set in &sets {
        let owners = work.ownership.owning.get(&set.table).into_iter().flatten();
        let owners = owners.filter_map(|id| depths.get(&work.schema.reference(*id).parent));
        let depth = owners.max().map_or(0, |depth| depth + 1);
        depths.insert(set.table, depth);
    }
    sets.sort_by_key(|set| depths[&set.table]);
    sets
}

fn select(d: &dyn Dialect, work: &Work, set: &KeySet, filled: &BTreeSet<TableId>) -> Option<String> {
    let conditions = Conditions { schema: &work.schema, dialect: d };
    let table = set.table;
    let shape = work.schema.table(table);
    let mut columns = d.located(shape, "x");
    columns.extend(carried(d, shape, Some(set)));
    let head = format!("SELECT {} FROM {} x", columns.join(", "), d.relation(shape));
    if work.ownership.protected.contains(&table) {
        return Some(format!("{head} WHERE {}", protected(d, work, table, "x")));
    }
    let (mut all, mut any) = (Vec::new(), Vec::new());
    for id in work.ownership.owning.get(&table)? {
        let r = work.schema.reference(*id);
        let is_set = conditions.is_set(r, "x");
        if !filled.contains(&r.parent) {
            all.push(format!("NOT ({is_set})"));
            continue;
        }
        all.push(conditions.stays_within(r, "x", &d.temp(&set_name(r.parent))));
        any.push(format!("({is_set})"));
    }
    if any.is_empty() {
        return None;
    }
    Some(format!("{head} WHERE ({}) AND {}", any.join(" OR "), all.join(" AND ")))
}
