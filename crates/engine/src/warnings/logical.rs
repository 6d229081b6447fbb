//! Columns that are named like a reference but declare none: `tenant_id`, `org_id`, `subject_type` + `subject_id`.
//!
//! Such rows stay behind, since no constraint leads to them. A person decides: the warning says how many
//! there are and what to write into the configuration.

use super::Found;
use std::collections::BTreeSet;
use unseed_core::fault::Fault;
use unseed_core::plan::Warning;
use unseed_core::port::store::Store;
use unseed_core::schema::{ColumnIndex, ColumnKind, TableId};

/// Short forms that people use for table names.
const SHORT_FORMS: &[(&str, &str)] = &[
    ("org", "organization"),
    ("acct", "account"),
    ("ws", "workspace"),
    ("cust", "customer"),
    ("dept", "department"),
];

/// A column, or a pair, that looks like a reference.
struct Lookalike {
    table: TableId,
    columns: Vec<ColumnIndex>,
    /// The table it seems to mean; none for a polymorphic pair.
    target: Option<TableId>,
}

/// Warnings for all lookalikes that seem to mean rows that leave.
pub(super) async fn all(store: &mut dyn Store, found: &Found<'_>) -> Result<Vec<Warning>, Fault> {
    let lookalikes = find(found);
    let uncounted: Vec<TableId> = lookalikes
        .iter()
        .map(|l| l.table)
        .filter(|t| found.work.schema.table(*t).rows_estimate == 0)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let counts = if uncounted.is_empty() {
        std::collections::BTreeMap::new()
    } else {
        store.count(&found.work.schema, &uncounted).await?
    };
    let rows = |t: TableId| counts.get(&t).copied().unwrap_or(found.work.schema.table(t).rows_estimate);
    let filled = lookalikes.iter().filter(|l| rows(l.table) > 0);
    Ok(filled.map(|l| text(found, l, rows(l.table))).collect())
}

fn text(found: &Found<'_>, lookalike: &Lookalike, rows: u64) -> Warning {
    let table = found.work.schema.table(lookalike.table);
    let columns = table.column_names(&lookalike.columns);
    let says = match lookalike.target {
        Some(target) => {
            let target = found.name(target);
            format!(
                "`{columns}` looks like a reference to `{target}`, but none is declared: of {rows} rows, those \
                 that only it leads to stay; declare it in `[[references]]` to take them along"
            )
        }
        None => format!(
            "`{columns}` looks like a reference to several tables, but none is declared: of {rows} rows, those \
             that only it leads to stay; declare it in `[[references]]` with `when`"
        ),
    };
    found.warning("logical-reference", lookalike.table, says)
}

fn find(found: &Found<'_>) -> Vec<Lookalike> {
    let schema = &found.work.schema;
    let leaving: Vec<TableId> = schema.table_ids().filter(|t| found.removed(*t) > 0).collect();
    let mut declared: BTreeSet<(TableId, ColumnIndex)> = BTreeSet::new();
    for reference in &schema.references {
        declared.extend(reference.child_columns.iter().map(|c| (reference.child, *c)));
    }
    // Somebody has decided that these stay.
    declared.extend(found.policy.kept(schema));
    let mut lookalikes = Vec::new();
    for id in schema.table_ids() {
        let table = schema.table(id);
        for (index, column) in table.columns.iter().enumerate() {
            if declared.contains(&(id, index)) || table.key() == Some(&[index]) {
                continue;
            }
            let Some(stem) = stem(&column.name) else { continue };
            let of_type = table.column(&format!("{stem}_type"));
            if let Some(of_type) = of_type.filter(|c| table.columns[*c].kind == ColumnKind::Text) {
                lookalikes.push(Lookalike { table: id, columns: vec![of_type, index], target: None });
                continue;
            }
            let fits = |t: &&TableId| {
                means(&stem, &schema.table(**t).name.name) && same_kind(found, **t, column.kind)
            };
            if let Some(target) = leaving.iter().find(fits) {
                lookalikes.push(Lookalike { table: id, columns: vec![index], target: Some(*target) });
            }
        }
    }
    lookalikes
}

/// `tenant` of `tenant_id`, `tenantId` or `tenant_uuid`.
fn stem(column: &str) -> Option<String> {
    let lower = column.to_ascii_lowercase();
    let snake = lower.strip_suffix("_id").or_else(|| lower.strip_suffix("_uuid"));
    let camel = column.strip_suffix("Id").or_else(|| column.strip_suffix("ID")).map(str::to_ascii_lowercase);
    snake.map(str::to_owned).or(camel).filter(|stem| !stem.is_empty())
}

/// Whether a column stem means a table: `tenant` → `tenants`, `app_tenant`, `company` → `companies`.
fn means(stem: &str, table: &str) -> bool {
    let table = table.to_ascii_lowercase();
    let long = SHORT_FORMS.iter().find(|(short, _)| *short == stem).map_or(stem, |(_, long)| long);
    let mut forms = vec![long.to_owned(), format!("{long}s"), format!("{long}es")];
    if let Some(start) = long.strip_suffix('y') {
        forms.push(format!("{start}ies"));
    }
    forms
        .iter()
        .any(|form| table == *form || table.strip_suffix(form.as_str()).is_some_and(|p| p.ends_with('_')))
}

/// Whether the column can hold the key of the table; text may hold anything.
fn same_kind(found: &Found<'_>, target: TableId, kind: ColumnKind) -> bool {
    let table = found.work.schema.table(target);
    match table.key() {
        Some([one]) => table.columns[*one].kind == kind || kind == ColumnKind::Text,
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{means, stem};

    #[test]
    fn a_column_named_after_a_table_is_recognised_in_its_usual_spellings() {
        for (column, table) in [
            ("tenant_id", "tenants"),
            ("companyId", "companies"),
            ("org_id", "organizations"),
            ("user_id", "auth_user"),
        ] {
            assert!(stem(column).is_some_and(|stem| means(&stem, table)), "{column} means {table}");
        }
        for (column, table) in [("paid", "pa"), ("tenant", "tenants"), ("user_id", "superuser"), ("_id", "s")]
        {
            assert!(!stem(column).is_some_and(|stem| means(&stem, table)), "{column} does not mean {table}");
        }
    }
}
