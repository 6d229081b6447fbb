//! Draws the rows of a case: first the keys, then what refers to them.

use super::{CheckModel, Dice, Kind, Model, ReferenceModel};

/// Texts that archives and scripts get wrong.
const TEXTS: &[&str] = &[
    "plain",
    "",
    "it's",
    "back\\slash",
    "tab\there",
    "two\nlines",
    "\\N",
    "null",
    "NULL",
    "größe 🦀",
    "\"q\"",
    "a,b",
    "\\.",
    " ",
];

/// A row under construction.
type Row = Vec<Option<String>>;

/// Draws the rows of all tables, with keys and labels; what refers elsewhere is still null.
pub(super) fn keys(dice: &mut Dice, model: &mut Model) {
    for number in 0..model.tables.len() {
        let count = 1 + dice.index(8);
        for position in 0..count {
            let row = row(dice, model, number, position);
            let table = &mut model.tables[number];
            let same = |known: &Row| {
                !table.primary_key.is_empty() && table.primary_key.iter().all(|c| known[*c] == row[*c])
            };
            if !table.rows.iter().any(same) {
                table.rows.push(row);
            }
        }
    }
}

fn row(dice: &mut Dice, model: &Model, number: usize, position: usize) -> Row {
    let table = &model.tables[number];
    let mut row: Row = vec![None; table.columns.len()];
    for (index, column) in table.columns.iter().enumerate() {
        let linked = model
            .references
            .iter()
            .find(|r| r.child == number && r.columns == [index] && table.primary_key.contains(&index));
        row[index] = match (column.name.as_str(), linked) {
            (_, Some(link)) => {
                let parents = &model.tables[link.parent].rows;
                parents[dice.index(parents.len())][link.parent_columns[0]].clone()
            }
            ("id" | "Id", None) => Some(key(column.kind, position, table.primary_key.len() > 1)),
            ("scope", None) => Some(dice.below(3).to_string()),
            // Rows without a key are often told apart by nothing else.
            ("label", None) if table.primary_key.is_empty() && dice.chance(50) => Some("plain".to_owned()),
            ("label", None) => (!dice.chance(15)).then(|| dice.pick(TEXTS).to_owned()),
            // The first row always has one, so that there is something to refer to.
            ("code", None) => {
                (position == 0 || !column.nullable || dice.chance(70)).then(|| format!("code-{position}"))
            }
            (_, None) => None,
        };
    }
    row
}

/// A key value; within scopes the same ones come again.
fn key(kind: Kind, position: usize, repeats: bool) -> String {
    let number = if repeats { position / 2 } else { position };
    match kind {
        Kind::Integer => (number + 1).to_string(),
        Kind::Text => format!("k{number}'s"),
    }
}

/// Draws what every row refers to.
pub(super) fn references(dice: &mut Dice, model: &mut Model) {
    for reference in model.references.clone() {
        for position in 0..model.tables[reference.child].rows.len() {
            let is_key = |c: &usize| model.tables[reference.child].primary_key == [0, 1] && *c < 2;
            if reference.columns.len() == 1 && reference.columns.iter().all(is_key) {
                continue;
            }
            refer(dice, model, &reference, position);
        }
    }
    for number in 0..model.tables.len() {
        for check in model.tables[number].checks.clone() {
            for position in 0..model.tables[number].rows.len() {
                satisfy(dice, model, number, position, &check);
            }
        }
    }
}

fn refer(dice: &mut Dice, model: &mut Model, reference: &ReferenceModel, position: usize) {
    let table = &model.tables[reference.child];
    let own: Vec<usize> = own_columns(model, reference);
    let nullable: Vec<usize> = own.iter().copied().filter(|c| table.columns[*c].nullable).collect();
    let all_nullable = nullable.len() == reference.columns.len();
    let may_be_null = if reference.match_full { all_nullable } else { !nullable.is_empty() };
    let wants_null = may_be_null && dice.chance(30);
    if wants_null && all_nullable && (reference.match_full || dice.chance(50)) {
        return;
    }
    let target = target(dice, model, reference, position);
    let Some(mut values) = target else {
        assert!(may_be_null, "a reference that must be set always has something to refer to");
        return;
    };
    if wants_null {
        for (column, value) in reference.columns.iter().zip(&mut values) {
            if nullable.contains(column) {
                *value = None;
            }
        }
    }
    write(model, reference, position, &own, &values);
}

/// Columns that belong to this reference alone.
fn own_columns(model: &Model, reference: &ReferenceModel) -> Vec<usize> {
    let table = &model.tables[reference.child];
    reference.columns.iter().copied().filter(|c| table.columns[*c].name != "scope").collect()
}

fn write(
    model: &mut Model,
    reference: &ReferenceModel,
    position: usize,
    own: &[usize],
    values: &[Option<String>],
) {
    let row = &mut model.tables[reference.child].rows[position];
    for (column, value) in reference.columns.iter().zip(values) {
        if own.contains(column) {
            row[*column].clone_from(value);
        }
    }
}

/// Values of a row to refer to; sometimes of none, where nothing forbids that.
fn target(dice: &mut Dice, model: &Model, reference: &ReferenceModel, position: usize) -> Option<Row> {
    let child = &model.tables[reference.child];
    let row = &child.rows[position];
    let elsewhere = reference.child_partition.is_some_and(|part| child.partition_of(row) != Some(part));
    if (reference.not_valid || elsewhere) && dice.chance(25) {
        let lost = |c: &usize| {
            Some(if child.columns[*c].kind == Kind::Integer { "90001" } else { "gone" }.to_owned())
        };
        return Some(reference.columns.iter().map(lost).collect());
    }
    let own = own_columns(model, reference);
    let table = &model.tables[reference.parent];
    let fits = |parent: &&Row| {
        let mut pairs = reference.columns.iter().zip(&reference.parent_columns);
        let inside = |part| table.partition_of(parent) == Some(part);
        reference.parent_partition.is_none_or(inside)
            && pairs.all(|(c, p)| parent[*p].is_some() && (own.contains(c) || row[*c] == parent[*p]))
    };
    let parents: Vec<&Row> = table.rows.iter().filter(fits).collect();
    if parents.is_empty() {
        return None;
    }
    let parent = parents[dice.index(parents.len())];
    Some(reference.parent_columns.iter().map(|p| parent[*p].clone()).collect())
}

/// Makes a row satisfy a check over columns that each refer by themselves.
fn satisfy(dice: &mut Dice, model: &mut Model, number: usize, position: usize, check: &CheckModel) {
    let is_set = |model: &Model, column: usize| model.tables[number].rows[position][column].is_some();
    match check {
        CheckModel::AnySet(columns) => {
            if !columns.iter().any(|c| is_set(model, *c)) {
                let column = dice.pick(columns);
                set(dice, model, number, position, column);
            }
        }
        CheckModel::OneSet(columns) => {
            let kept =
                columns.iter().copied().find(|c| is_set(model, *c)).unwrap_or_else(|| dice.pick(columns));
            for column in columns {
                model.tables[number].rows[position][*column] = None;
            }
            set(dice, model, number, position, kept);
        }
        CheckModel::AllOrNone(columns) => {
            if columns.iter().any(|c| is_set(model, *c)) {
                for column in columns {
                    set(dice, model, number, position, *column);
                }
            }
        }
    }
}

fn set(dice: &mut Dice, model: &mut Model, number: usize, position: usize, column: usize) {
    let reference = model.references.iter().find(|r| r.child == number && r.columns == [column]).cloned();
    let reference = reference.expect("checks are drawn over columns that refer by themselves");
    let values =
        target(dice, model, &reference, position).expect("a lone column always has something to refer to");
    write(model, &reference, position, &[column], &values);
}
