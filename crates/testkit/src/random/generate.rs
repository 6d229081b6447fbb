//! Draws a case: tables and their keys, references between them, checks, and which rows are roots.
//!
//! Not here: the rows (`fill`).

use super::fill;
use super::{Case, CheckModel, ColumnModel, Dice, Kind, Model, PartitionModel, ReferenceModel, TableModel};
use crate::oracle;
use unseed_core::schema::OnDelete;

/// Names that need quoting, differ in case only from ordinary ones, or are words of SQL.
const NAMES: &[&str] = &[
    "tenants",
    "User",
    "order",
    "line item",
    "say \"hi\"",
    "größe",
    "UPPER",
    "select",
    "it's",
    "dot.ted",
    "back\\slash",
    "50%",
];

/// What kind of key a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    /// A key of its own, and a second one together with its scope.
    Qualified,
    /// The key repeats from scope to scope.
    Scoped,
    Partitioned,
    Keyless,
    /// Its key consists of references to two other tables.
    Link,
}

/// The case of a seed.
pub fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let mut model = Model::default();
    tables(&mut dice, &mut model);
    references(&mut dice, &mut model);
    checks(&mut dice, &mut model);
    fill::keys(&mut dice, &mut model);
    fill::references(&mut dice, &mut model);
    // In some cases nearly all rows of a table are roots.
    let percent = if seed % 4 == 2 { 85 } else { 35 };
    let roots = roots(&mut dice, &model, percent);
    let mut case = Case { seed, model, roots };
    settle_defaults(&mut case);
    case
}

fn tables(dice: &mut Dice, model: &mut Model) {
    let count = 2 + dice.index(6);
    for number in 0..count {
        let shape = match dice.below(100) {
            0..35 => Shape::Plain,
            35..50 => Shape::Qualified,
            50..65 => Shape::Scoped,
            65..77 => Shape::Partitioned,
            77..88 => Shape::Keyless,
            _ => Shape::Link,
        };
        let plain: Vec<usize> = (0..number).filter(|n| model.tables[*n].primary_key == [0]).collect();
        let shape = match shape {
            // Two tables to link are needed, and the first table shall be one that can be chosen from.
            Shape::Link if plain.is_empty() => Shape::Plain,
            Shape::Keyless if number == 0 => Shape::Plain,
            Shape::Plain
            | Shape::Qualified
            | Shape::Scoped
            | Shape::Partitioned
            | Shape::Keyless
            | Shape::Link => shape,
        };
        let name = format!("{}{number}", dice.pick(NAMES));
        let table = table(dice, name, shape);
        model.tables.push(table);
        if shape == Shape::Link {
            link(dice, model, &plain, number);
        }
    }
}

fn column(name: &str, kind: Kind, nullable: bool) -> ColumnModel {
    ColumnModel { name: name.to_owned(), kind, nullable, default: None }
}

fn table(dice: &mut Dice, name: String, shape: Shape) -> TableModel {
    let kind = if dice.chance(60) { Kind::Integer } else { Kind::Text };
    let mut table = TableModel {
        name,
        columns: Vec::new(),
        primary_key: Vec::new(),
        uniques: Vec::new(),
        checks: Vec::new(),
        partitions: None,
        rows: Vec::new(),
    };
    match shape {
        Shape::Plain => {
            table.columns.push(column("id", kind, false));
            table.primary_key = vec![0];
        }
        Shape::Qualified => {
            table.columns.extend([column("id", kind, false), column("scope", Kind::Integer, false)]);
            table.primary_key = vec![0];
            table.uniques.push(vec![1, 0]);
        }
        Shape::Scoped | Shape::Partitioned => {
            table.columns.extend([column("scope", Kind::Integer, false), column("Id", kind, false)]);
            table.primary_key = vec![0, 1];
            if shape == Shape::Partitioned {
                let values = vec![vec!["0".to_owned()], vec!["1".to_owned(), "2".to_owned()]];
                table.partitions = Some(PartitionModel { column: 0, values });
            }
        }
        Shape::Keyless | Shape::Link => {}
    }
    table.columns.push(column("label", Kind::Text, true));
    let may_be_unique = matches!(shape, Shape::Plain | Shape::Qualified | Shape::Scoped);
    if may_be_unique && dice.chance(35) {
        table.columns.push(column("code", Kind::Text, dice.chance(50)));
        table.uniques.push(vec![table.columns.len() - 1]);
    }
    table
}

/// Gives a table a key of two references; its label column goes behind them.
fn link(dice: &mut Dice, model: &mut Model, plain: &[usize], child: usize) {
    let mut key = Vec::new();
    for (place, name) in ["left_id", "right_id"].into_iter().enumerate() {
        let parent = dice.pick(plain);
        let kind = model.tables[parent].columns[0].kind;
        key.push(column(name, kind, false));
        model.references.push(ReferenceModel {
            name: format!("link{child} {place}"),
            child,
            columns: vec![place],
            parent,
            parent_columns: vec![0],
            on_delete: on_delete(dice),
            set_columns: None,
            match_full: false,
            deferrable: dice.chance(20),
            not_valid: false,
            indexed: dice.chance(50),
            child_partition: None,
            parent_partition: None,
        });
    }
    let table = &mut model.tables[child];
    table.columns.splice(0..0, key);
    table.primary_key = vec![0, 1];
}

fn on_delete(dice: &mut Dice) -> OnDelete {
    let rules = [
        OnDelete::Cascade,
        OnDelete::NoAction,
        OnDelete::Restrict,
        OnDelete::SetNull,
        OnDelete::SetNull,
        OnDelete::SetDefault,
    ];
    dice.pick(&rules)
}

fn references(dice: &mut Dice, model: &mut Model) {
    let count = 1 + dice.index(2 * model.tables.len());
    for number in 0..count {
        let (child, parent) = match model.references.last() {
            // Twins, as `created_by` and `updated_by` are.
            Some(twin) if dice.chance(25) => (twin.child, twin.parent),
            Some(_) | None => {
                let child = dice.index(model.tables.len());
                // A table of its own now and then, so that self references are not rare.
                (child, if dice.chance(20) { child } else { dice.index(model.tables.len()) })
            }
        };
        let targets: Vec<Vec<usize>> = targets(&model.tables[parent]);
        if targets.is_empty() {
            continue;
        }
        let target = dice.pick(&targets);
        let reference = reference(dice, model, number, (child, parent), target);
        model.references.push(reference);
    }
}

fn targets(table: &TableModel) -> Vec<Vec<usize>> {
    let primary = (!table.primary_key.is_empty()).then(|| table.primary_key.clone());
    primary.into_iter().chain(table.uniques.iter().cloned()).collect()
}

fn reference(
    dice: &mut Dice,
    model: &mut Model,
    number: usize,
    (child, parent): (usize, usize),
    target: Vec<usize>,
) -> ReferenceModel {
    let scope = model.tables[child].columns.iter().position(|c| c.name == "scope");
    let shared = scope.filter(|_| target.len() > 1 && dice.chance(60));
    let rule = on_delete(dice);
    // PostgreSQL has no such key from a table to its own partition.
    let parent_partition = if child == parent { None } else { partition(dice, &model.tables[parent]) };
    // One partition may hold no row, so then nothing can be all there is to refer to.
    let may_lack = shared.is_some() || parent_partition.is_some();
    let nullable = may_lack || dice.chance(60);
    let mixed = !may_lack && target.len() > 1 && dice.chance(25);
    let mut columns = Vec::new();
    for (place, parent_column) in target.iter().enumerate() {
        let like = model.tables[parent].columns[*parent_column].clone();
        if let Some(scope) = shared.filter(|_| like.name == "scope") {
            columns.push(scope);
            continue;
        }
        let nullable = if mixed { place == 0 } else { nullable };
        let table = &mut model.tables[child];
        table.columns.push(column(&format!("r{number} {}", like.name), like.kind, nullable));
        columns.push(table.columns.len() - 1);
    }
    let shared = shared.filter(|scope| columns.contains(scope));
    let own: Vec<usize> = columns.iter().copied().filter(|c| Some(*c) != shared).collect();
    let child_partition = partition(dice, &model.tables[child]);
    let is_partitioned = model.tables[child].partitions.is_some();
    let named = rule == OnDelete::SetNull && shared.is_some() && dice.chance(50);
    ReferenceModel {
        name: format!("fk {number}"),
        child,
        columns,
        parent,
        parent_columns: target,
        on_delete: rule,
        set_columns: named.then_some(own),
        match_full: shared.is_none() && dice.chance(25),
        deferrable: dice.chance(20),
        // PostgreSQL has no such keys on partitioned tables.
        not_valid: !is_partitioned && dice.chance(12),
        indexed: dice.chance(50),
        child_partition,
        parent_partition,
    }
}

/// Sometimes one partition of a table, if it has any.
fn partition(dice: &mut Dice, table: &TableModel) -> Option<usize> {
    let count = table.partitions.as_ref().map_or(0, |p| p.values.len());
    (count > 0 && dice.chance(35)).then(|| dice.index(count))
}

/// Checks over nullable columns that refer by themselves.
fn checks(dice: &mut Dice, model: &mut Model) {
    for number in 0..model.tables.len() {
        let table = &model.tables[number];
        let fits = |r: &&ReferenceModel| {
            r.child == number && r.columns.len() == 1 && table.columns[r.columns[0]].nullable
        };
        let mut columns: Vec<usize> = model.references.iter().filter(fits).map(|r| r.columns[0]).collect();
        if columns.is_empty() || !dice.chance(50) {
            continue;
        }
        columns.truncate(1 + dice.index(3));
        if dice.chance(60) {
            // Otherwise few of them are detached, and checks have nothing to forbid.
            let checked = |r: &&mut ReferenceModel| {
                r.child == number && r.columns.len() == 1 && columns.contains(&r.columns[0])
            };
            model.references.iter_mut().filter(checked).for_each(|r| r.on_delete = OnDelete::SetNull);
        }
        let check = match dice.below(3) {
            0 => CheckModel::AnySet(columns),
            1 => CheckModel::OneSet(columns),
            _ => CheckModel::AllOrNone(columns),
        };
        model.tables[number].checks.push(check);
    }
}

fn roots(dice: &mut Dice, model: &Model, percent: u64) -> Vec<(usize, Vec<usize>)> {
    let keyed: Vec<usize> =
        (0..model.tables.len()).filter(|n| !model.tables[*n].primary_key.is_empty()).collect();
    // Tables that others refer to make the better roots.
    let mut drawn = keyed.clone();
    drawn.extend(model.references.iter().map(|r| r.parent).filter(|n| keyed.contains(n)));
    let mut tables = vec![dice.pick(&drawn)];
    if dice.chance(30) {
        tables.push(dice.pick(&drawn));
    }
    tables.sort_unstable();
    tables.dedup();
    let mut roots = Vec::new();
    for table in tables {
        let count = model.tables[table].rows.len();
        let mut rows: Vec<usize> = (0..count).filter(|_| dice.chance(percent)).collect();
        if rows.is_empty() {
            rows.push(dice.index(count));
        }
        roots.push((table, rows));
    }
    roots
}

/// Gives columns of SET DEFAULT a default, as far as the row that it means stays.
fn settle_defaults(case: &mut Case) {
    let mut means: Vec<(usize, usize, usize)> = Vec::new();
    for reference in &case.model.references {
        let single = reference.columns.len() == 1
            && !case.model.tables[reference.child].primary_key.contains(&reference.columns[0]);
        let target = case.model.tables[reference.parent].rows[0][reference.parent_columns[0]].clone();
        let draw = case.seed.wrapping_add(super::sql::number(reference.columns[0]));
        let wanted = !draw.is_multiple_of(3);
        if reference.on_delete == OnDelete::SetDefault && single && wanted {
            case.model.tables[reference.child].columns[reference.columns[0]].default = target;
            means.push((reference.child, reference.columns[0], reference.parent));
        }
    }
    loop {
        let gone = [&*case, &case.for_sqlite()].map(oracle::removed_rows);
        let lost =
            means.iter().position(|(_, _, parent)| gone.iter().any(|rows| rows.contains(&(*parent, 0))));
        let Some(lost) = lost else { return };
        let (child, column, _) = means.remove(lost);
        case.model.tables[child].columns[column].default = None;
    }
}
