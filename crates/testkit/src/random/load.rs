//! A case as a schema of `core` with rows in memory.

use super::{Case, CheckModel, ColumnModel, Kind, Model, ReferenceModel, TableModel, sql};
use crate::memory::{Database, Router};
use std::collections::BTreeMap;
use unseed_core::schema::{
    Check, Column, ColumnKind, Origin, Part, Reference, Schema, Table, TableId, TableName, Visibility,
};

impl Case {
    /// The case as a database in memory.
    pub fn database(&self) -> Database {
        let order = order(&self.model);
        let ids: BTreeMap<usize, TableId> =
            order.iter().enumerate().map(|(id, n)| (*n, TableId(id))).collect();
        let mut references: Vec<Reference> =
            self.model.references.iter().map(|r| reference(&self.model, &ids, r)).collect();
        references
            .sort_by(|a, b| (a.child, &a.child_columns, &a.name).cmp(&(b.child, &b.child_columns, &b.name)));
        let tables = order.iter().map(|n| table(&self.model.tables[*n], *n)).collect();
        let mut database = Database::new(Schema { tables, references });
        for (number, model) in self.model.tables.iter().enumerate() {
            if let Some(partitions) = &model.partitions {
                let parts = partitions.values.iter().enumerate();
                let parts =
                    parts.flat_map(|(p, values)| values.iter().map(move |v| (v.clone(), handle(number, p))));
                let router = Router { column: partitions.column, parts: parts.collect() };
                database.routers.insert(ids[&number], router);
            }
            for row in &model.rows {
                database.insert(ids[&number], row.clone());
            }
        }
        database
    }
}

/// Table numbers in the order of their names.
fn order(model: &Model) -> Vec<usize> {
    let mut order: Vec<usize> = (0..model.tables.len()).collect();
    order.sort_by_key(|n| model.tables[*n].name.clone());
    order
}

/// A number for a part, unlike all others.
fn handle(table: usize, part: usize) -> u64 {
    u64::try_from(table * 100 + part + 1).expect("a small number")
}

fn table(model: &TableModel, number: usize) -> Table {
    let mut keys = Vec::new();
    if !model.primary_key.is_empty() {
        keys.push(model.primary_key.clone());
    }
    let never_null = |key: &&Vec<usize>| key.iter().all(|c| !model.columns[*c].nullable);
    keys.extend(model.uniques.iter().filter(never_null).cloned());
    let parts = model.partitions.as_ref().map_or(1, |p| p.values.len());
    let part = |p: usize| Part {
        name: TableName::new(
            "public",
            if model.partitions.is_some() { sql::part_name(model, p) } else { model.name.clone() },
        ),
        handle: handle(number, p),
    };
    Table {
        name: TableName::new("public", &model.name),
        columns: model.columns.iter().map(column).collect(),
        has_primary_key: !model.primary_key.is_empty(),
        keys,
        parts: (0..parts).map(part).collect(),
        partitioned: model.partitions.is_some(),
        checks: model.checks.iter().enumerate().map(|(n, c)| check(model, n, c)).collect(),
        effects: Vec::new(),
        visibility: Visibility::Full,
        rows_estimate: 0,
    }
}

fn column(model: &ColumnModel) -> Column {
    let (type_name, kind) = match model.kind {
        Kind::Integer => ("bigint", ColumnKind::Integer),
        Kind::Text => ("text", ColumnKind::Text),
    };
    Column {
        name: model.name.clone(),
        type_name: type_name.to_owned(),
        kind,
        nullable: model.nullable,
        generated: false,
        identity: None,
        sequence: None,
        default: model.default.as_ref().map(|value| sql::literal(Some(value), model.kind)),
    }
}

fn check(model: &TableModel, number: usize, check: &CheckModel) -> Check {
    let columns = match check {
        CheckModel::AnySet(columns) | CheckModel::OneSet(columns) | CheckModel::AllOrNone(columns) => columns,
    };
    Check {
        name: sql::check_name(model, number),
        columns: columns.clone(),
        expression: sql::check_for_postgres(model, check),
        validated: true,
    }
}

fn reference(model: &Model, ids: &BTreeMap<usize, TableId>, r: &ReferenceModel) -> Reference {
    Reference {
        name: r.name.clone(),
        child: ids[&r.child],
        child_parts: r.child_partition.map(|part| vec![handle(r.child, part)]),
        child_columns: r.columns.clone(),
        parent: ids[&r.parent],
        parent_parts: r.parent_partition.map(|part| vec![handle(r.parent, part)]),
        parent_columns: r.parent_columns.clone(),
        on_delete: r.on_delete,
        set_columns: r.set_columns.clone().unwrap_or_else(|| r.columns.clone()),
        match_full: r.match_full,
        deferrable: r.deferrable,
        validated: !r.not_valid,
        indexed: r.indexed || model.tables[r.child].primary_key == r.columns,
        origin: Origin::Declared,
        when: Vec::new(),
    }
}
