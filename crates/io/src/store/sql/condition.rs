//! Join conditions: when does a row refer to a row of a key set or of a table.

use super::closure::key_set;
use super::dialect::Dialect;
use unseed_core::closure::Detachment;
use unseed_core::schema::{Origin, Reference, Schema, TableId};

/// What stands on the parent side of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// A key set: columns are named `c0`, `c1` … by their index.
    Keys,
    /// The table itself.
    Table,
}

/// Writes conditions over one schema.
pub(crate) struct Conditions<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) dialect: &'a dyn Dialect,
}

impl Conditions<'_> {
    /// `x` (or a key set of the child) refers to `j` by this reference.
    pub(crate) fn refers(
        &self,
        r: &Reference,
        (x, child): (&str, Side),
        (j, parent): (&str, Side),
    ) -> String {
        let (child_table, parent_table) = (self.schema.table(r.child), self.schema.table(r.parent));
        let mut terms = Vec::new();
        for (c, p) in r.child_columns.iter().zip(&r.parent_columns) {
            let (cc, pc) = (&child_table.columns[*c], &parent_table.columns[*p]);
            let left = self.column(x, child, *c, &cc.name);
            let right = self.column(j, parent, *p, &pc.name);
            if r.origin == Origin::Declared {
                terms.push(self.dialect.refers((&left, cc), (&right, pc)));
            } else if self.dialect.comparable(cc, pc) {
                terms.push(self.dialect.exactly(cc, &left, &right));
            } else if cc.kind == unseed_core::schema::ColumnKind::Text {
                terms.push(format!("{left} = {}", self.dialect.text_of(pc, &right)));
            } else {
                let (left, right) = (self.dialect.text_of(cc, &left), self.dialect.text_of(pc, &right));
                terms.push(format!("{left} = {right}"));
            }
        }
        for (c, value) in &r.when {
            let shape = &child_table.columns[*c];
            let column = self.dialect.text_of(shape, &self.column(x, child, *c, &shape.name));
            terms.push(format!("{column} = {}", self.dialect.literal(value)));
        }
        if let Some(handles) = &r.child_parts {
            terms.push(match child {
                Side::Keys => self.dialect.key_in_parts(x, handles),
                Side::Table => self.dialect.in_parts(x, handles),
            });
        }
        if let Some(handles) = &r.parent_parts {
            terms.push(match parent {
                Side::Keys => self.dialect.key_in_parts(j, handles),
                Side::Table => self.dialect.in_parts(j, handles),
            });
        }
        terms.join(" AND ")
    }

    /// The referring columns are all set, so that the reference means something.
    pub(crate) fn is_set(&self, r: &Reference, x: &str) -> String {
        let table = self.schema.table(r.child);
        let mut terms: Vec<String> = r
            .child_columns
            .iter()
            .map(|c| format!("{x}.{} IS NOT NULL", self.dialect.quote(&table.columns[*c].name)))
            .collect();
        for (c, value) in &r.when {
            let shape = &table.columns[*c];
            let column = self.dialect.text_of(shape, &format!("{x}.{}", self.dialect.quote(&shape.name)));
            terms.push(format!("{column} = {}", self.dialect.literal(value)));
        }
        if let Some(handles) = &r.child_parts {
            terms.push(self.dialect.in_parts(x, handles));
        }
        terms.join(" AND ")
    }

    /// The reference of a row under alias `x` is not set, or leads to a row of this set.
    pub(crate) fn stays_within(&self, r: &Reference, x: &str, set: &str) -> String {
        let refers = self.refers(r, (x, Side::Table), ("j", Side::Keys));
        let leads = format!("EXISTS (SELECT 1 FROM {set} j WHERE {refers})");
        // A plain EXISTS can be planned as a join; one below OR cannot.
        let columns = &self.schema.table(r.child).columns;
        let never_null = r.when.is_empty() && r.child_columns.iter().all(|c| !columns[*c].nullable);
        if never_null { leads } else { format!("(NOT ({}) OR {leads})", self.is_set(r, x)) }
    }

    /// One of these checks of the row would fail if all these detaches were made.
    pub(crate) fn checks_fail(
        &self,
        table: TableId,
        detachments: &[&Detachment],
        checks: &[usize],
        x: &str,
    ) -> String {
        let shape = self.schema.table(table);
        let written = |c: usize| detachments.iter().find(|d| d.columns.contains(&c));
        let mut terms = Vec::new();
        for check in checks.iter().map(|c| &shape.checks[*c]) {
            let columns: Vec<(String, String)> = check
                .columns
                .iter()
                .map(|c| {
                    let column = &shape.columns[*c];
                    let name = self.dialect.quote(&column.name);
                    match (written(*c), &column.default) {
                        (Some(detachment), Some(default)) if detachment.to_default => (name, default.clone()),
                        (Some(_), Some(_) | None) => (name, self.dialect.null_of(column)),
                        (None, Some(_) | None) => (name.clone(), format!("{x}.{name}")),
                    }
                })
                .collect();
            terms.push(self.dialect.check_fails(&check.expression, &columns));
        }
        if terms.is_empty() { "false".to_owned() } else { format!("({})", terms.join(" OR ")) }
    }

    /// What a detach writes into a column of `x`: its default, unless that leads to a row that leaves too.
    pub(crate) fn default_of(&self, r: &Reference, default: &str) -> String {
        let shape = self.schema.table(r.child);
        let terms = r.child_columns.iter().zip(&r.parent_columns).map(|(c, p)| {
            let column = &shape.columns[*c];
            let value = match &column.default {
                Some(default) if r.set_columns.contains(c) => default.clone(),
                None if r.set_columns.contains(c) => "NULL".to_owned(),
                Some(_) | None => format!("x.{}", self.dialect.quote(&column.name)),
            };
            format!(" AND d.c{p} = ({value})")
        });
        let keys = self.dialect.temp(&key_set(r.parent));
        format!(
            "CASE WHEN EXISTS (SELECT 1 FROM {keys} d WHERE d.doomed{}) THEN NULL ELSE {default} END",
            terms.collect::<String>()
        )
    }

    fn column(&self, alias: &str, side: Side, index: usize, name: &str) -> String {
        match side {
            Side::Keys => format!("{alias}.c{index}"),
            Side::Table => format!("{alias}.{}", self.dialect.quote(name)),
        }
    }
}
