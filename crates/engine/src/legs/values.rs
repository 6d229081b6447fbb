//! The values of rows that leave: read from the source, compared, kept in the archive of the run.
//!
//! Invariants
//! - they are read from the closure of the very roots of the plan, in one view of the source;
//! - they are durable before anything is removed, encrypted as everything that is archived;
//! - a value that a row shares with one that stays is refused: what is found by it would be of both.
//!
//! Not here: what is found by them (`entries`).

use super::{LegStore, Legs, kind_changed, source};
use crate::report::KeptSubjects;
use crate::work::Opened;
use unseed_core::entity::{self, Entity, Overrides};
use unseed_core::fault::{Category, Fault, counted};
use unseed_core::keys::WholePlan;
use unseed_core::legs::{Rule, united};
use unseed_core::plan::{LegWork, Plan, RootSet, SubjectsSum};
use unseed_core::policy::{one_column, one_table};
use unseed_core::port::derived::Need;
use unseed_core::port::store::{SectionHead, SectionKind, Store, Wanted};
use unseed_core::schema::{ColumnIndex, Schema, TableId};
use unseed_core::subjects::SubjectSet;

/// Number of the batch that holds them, in the archive of the run.
const BATCH: u64 = 1;

/// Where the values of each need are in a schema.
///
/// # Errors
/// A usage fault for an entity that no table plays, or that several do, and for unknown columns.
pub(super) fn wanted(schema: &Schema, overrides: &Overrides, needs: &[Need]) -> Result<Vec<Wanted>, Fault> {
    let map = entity::infer(schema, overrides)?;
    let mut all = Vec::new();
    for need in needs {
        let table = table(schema, &map, need)?;
        let columns: Result<Vec<ColumnIndex>, Fault> =
            need.columns.iter().map(|column| self::column(schema, &map, table, column)).collect();
        all.push(Wanted { table, columns: columns? });
    }
    Ok(all)
}

fn table(schema: &Schema, map: &entity::Map, need: &Need) -> Result<TableId, Fault> {
    let Some(role) = Entity::ALL.into_iter().find(|role| role.word() == need.entity) else {
        return one_table(schema, &need.entity);
    };
    let tables: Vec<TableId> = map.of(role).map(|member| member.table).collect();
    let word = role.word();
    match tables.as_slice() {
        [one] => Ok(*one),
        [] => Err(Fault::usage(format!("no table of the store plays the part of `{word}`"))
            .hint(format!("name it: `[entities.{word}]` with `table = \"…\"`"))),
        several => {
            let names: Vec<String> = several.iter().map(|t| schema.table(*t).name.to_string()).collect();
            Err(Fault::usage(format!("several tables play the part of `{word}`: {}", names.join(", ")))
                .hint("write the table's own name in place of the entity's"))
        }
    }
}

/// A column by its name, else by the part it plays: `slug`, `email`, …
fn column(schema: &Schema, map: &entity::Map, table: TableId, name: &str) -> Result<ColumnIndex, Fault> {
    if let Some(found) = schema.table(table).column(name) {
        return Ok(found);
    }
    let fields = map.member(table).map(|member| &member.fields);
    let part = fields.and_then(|fields| match name {
        "slug" => fields.slug,
        "email" => fields.email,
        "username" => fields.username,
        "phone" => fields.phone,
        "name" => fields.name.first().copied().filter(|_| fields.name.len() == 1),
        _ => None,
    });
    part.map_or_else(|| one_column(schema, table, name), Ok)
}

/// Reads the values of the rows that leave with the roots, and of those that stay.
pub(super) async fn read(
    store: &mut dyn Store,
    opened: &Opened,
    roots: &[RootSet],
    (needs, overrides): (Vec<Need>, &Overrides),
) -> Result<SubjectSet, Fault> {
    let wanted = wanted(&opened.work.schema, overrides, &needs)?;
    let mut set = SubjectSet::new(needs);
    if !wanted.is_empty() {
        let mut visit =
            |position: usize, leaves: bool, values: &[Option<String>]| set.add(position, leaves, values);
        store.values(&opened.work, roots, &wanted, &mut visit).await?;
    }
    set.seal();
    Ok(set)
}

/// Refuses values that also a row that stays has.
pub(super) fn refuse_shared(set: &SubjectSet, store: &str, distinct: &[Need]) -> Result<(), Fault> {
    for need in distinct {
        let rows = set.shared(need)?;
        if rows > 0 {
            let columns: Vec<String> =
                need.columns.iter().map(|column| format!("{}.{column}", need.entity)).collect();
            let has = if rows == 1 { "has" } else { "have" };
            let message = format!(
                "{} that would leave {has} the same `{}` as a row that stays, so entries of store `{store}` could be of either",
                counted(rows, "row"),
                columns.join(", ")
            );
            return Err(Fault::refused(message).hint(
                "choose all rows with such a value or none of them, or search the store by a value that is unique",
            ));
        }
    }
    Ok(())
}

/// All that was read for the plan, one need per entity.
fn needs(cx: &Legs<'_>, plan: &Plan) -> Result<Vec<Need>, Fault> {
    let mut all = Vec::new();
    for leg in &plan.legs {
        if let LegWork::Rows(rows) = &leg.work {
            for rule in &rows.follows {
                all.push(Rule::parse(rule)?.need);
            }
        }
    }
    for port in &cx.ports {
        if let LegStore::Entries(store) = &port.store {
            all.extend(store.needs());
            all.extend(store.distinct());
        }
    }
    Ok(united(&all))
}

/// Writes the values into the archive of the run, and makes them durable.
pub(super) fn keep(cx: &mut Legs<'_>, run: &str, set: &SubjectSet) -> Result<KeptSubjects, Fault> {
    let mut writer = cx.archive.begin_batch(run, BATCH)?;
    for (need, lines) in set.lines() {
        let sink = writer.sink();
        sink.begin(SectionHead {
            kind: SectionKind::Rows,
            namespace: "main".to_owned(),
            table: format!("subjects.{}", need.entity),
            columns: need.columns.clone(),
            identity_columns: 0,
        })?;
        for line in lines {
            sink.write(line.as_bytes())?;
            sink.write(b"\n")?;
        }
        sink.end(u64::try_from(lines.len()).expect("a length fits 64 bits"))?;
    }
    let (_, hash) = writer.finish()?;
    Ok(KeptSubjects { hash, sums: set.sums() })
}

/// Reads the kept values back.
pub(super) fn kept(cx: &mut Legs<'_>, run: &str, kept: &KeptSubjects) -> Result<SubjectSet, Fault> {
    let mut source = cx.archive.open(run, &[(BATCH, kept.hash.clone())]).map_err(|fault| {
        fault.detail("the values that entries are found by are in the archive of the run")
    })?;
    let mut groups: Vec<(Need, Vec<String>)> = kept.sums.iter().map(|sum| (need(sum), Vec::new())).collect();
    for (index, section) in source.sections().into_iter().enumerate() {
        let entity = section.head.table.strip_prefix("subjects.").unwrap_or_default().to_owned();
        let mut bytes = Vec::new();
        source.read(index, &mut |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable())?;
        let group = groups.iter_mut().find(|(need, _)| need.entity == entity).ok_or_else(unreadable)?;
        group.1.extend(text.lines().map(str::to_owned));
    }
    let set = SubjectSet::of_lines(groups)?;
    if set.sums() != kept.sums {
        return Err(unreadable());
    }
    Ok(set)
}

fn need(sum: &SubjectsSum) -> Need {
    Need { entity: sum.entity.clone(), columns: sum.columns.clone() }
}

fn unreadable() -> Fault {
    Fault::new(Category::Archive, "the kept values of removed rows are not those that were written")
        .hint("bring the archive folder of the run back from a copy")
}

/// The values of all rows of the source, while the roots are there.
///
/// # Errors
/// A stale fault when the source is not what the plan was made for; what the source says.
pub(super) async fn of_source(
    cx: &mut Legs<'_>,
    whole: &WholePlan,
    overrides: &Overrides,
) -> Result<SubjectSet, Fault> {
    asked(cx, whole, (overrides, true)).await
}

/// Values of rows that leave, with those of the rows that stay as they are now. While entries are looked for the source is
/// whole or done, so of each of its rows it is known whether it stays.
///
/// # Errors
/// As [`of_source`].
pub(super) async fn with_rest(
    cx: &mut Legs<'_>,
    whole: &WholePlan,
    (id, overrides): (&str, &Overrides),
    leaving: SubjectSet,
) -> Result<SubjectSet, Fault> {
    let plan = whole.plan();
    let place = plan.legs.iter().position(|leg| leg.store == source(plan));
    let done = super::ordered::done(cx, id)?;
    let is_whole = place.is_none_or(|place| !done[place]);
    Ok(leaving.with_staying(asked(cx, whole, (overrides, is_whole)).await?))
}

/// Asks the source for all values; which of them leave is only known as long as the roots are there.
async fn asked(
    cx: &mut Legs<'_>,
    whole: &WholePlan,
    (overrides, by_roots): (&Overrides, bool),
) -> Result<SubjectSet, Fault> {
    let name = source(whole.plan()).to_owned();
    let needs = needs(cx, whole.plan())?;
    let position = cx.position(&name)?;
    let leg = whole.leg(&name).ok_or_else(|| kind_changed(&name))?;
    let LegStore::Rows(store) = &mut cx.ports[position].store else { return Err(kind_changed(&name)) };
    let opened = crate::work::open(&mut **store, leg.plan()).await?;
    let roots = if by_roots { leg.root_sets(&opened.work.schema)? } else { Vec::new() };
    read(&mut **store, &opened, &roots, (needs, overrides)).await
}
