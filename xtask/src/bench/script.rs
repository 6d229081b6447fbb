//! The peers' SQL, as an expert or a person in a hurry would write it for this schema.
//!
//! Scripts are for psql. After each phase they print a line `@phase seconds`, which [`phases`] reads.

use super::catalog::{CYCLE_BREAKERS, Catalog, TAGGED};
use super::figures::Samples;
use anyhow::{Context as _, Result, ensure};

/// Where the expert's archive goes, from the folder that psql runs in.
pub(super) const ARCHIVE: &str = "archive";

const DOOMED: &str = "SELECT id FROM tenants WHERE plan_code = 'free'";

/// How the expert removes the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checks {
    /// Foreign-key triggers check every row, helped by indexes that are made first.
    On,
    /// Triggers are off; what they would have checked is proven by sets at the end.
    Replica,
}

/// Whether the expert keeps the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Archive {
    Kept,
    None,
}

/// One transaction: key tables, archive if asked for, ordered deletes.
pub(super) fn expert(catalog: &Catalog, checks: Checks, archive: Archive) -> Result<String> {
    let mut sql = format!("BEGIN;\n{}{}", mark("begin"), key_tables(catalog, true)?);
    sql.push_str(&mark("plan"));
    if archive == Archive::Kept {
        sql.push_str(&copies_of_doomed(catalog));
        sql.push_str(&mark("archive"));
    }
    match checks {
        Checks::On => sql.extend(catalog.missing_indexes()),
        Checks::Replica => sql.push_str("SET LOCAL session_replication_role = replica;\n"),
    }
    sql.push_str(&mark("prepare"));
    if checks == Checks::On {
        sql.extend(CYCLE_BREAKERS.map(|(table, column)| {
            format!("UPDATE {table} x SET {column} = NULL FROM doomed_{table} d WHERE x.id = d.id AND x.{column} IS NOT NULL;\n")
        }));
    }
    for table in &catalog.order {
        let (keys, on) = doomed_rows(catalog, table);
        sql.push_str(&format!("DELETE FROM {table} x USING {keys} d WHERE {on};\n"));
    }
    sql.push_str(&mark("delete"));
    if checks == Checks::Replica {
        sql.push_str(&proof(catalog));
        sql.push_str(&mark("proof"));
    }
    sql.push_str("COMMIT;\n");
    Ok(sql + &mark("commit"))
}

/// Key tables over `tenant_id`, or over the one reference that says whose a row is.
pub(super) fn key_tables(catalog: &Catalog, complete: bool) -> Result<String> {
    let mut sql = format!("CREATE TEMP TABLE doomed_tenants AS {DOOMED};\n");
    sql.push_str("CREATE UNIQUE INDEX ON doomed_tenants (id);\nANALYZE doomed_tenants;\n");
    let own = |table: &&String| !["tenants", "audit_logs"].contains(&table.as_str());
    let tables = catalog.order.iter().rev().filter(own);
    for table in tables.filter(|table| complete || *table != "entity_tags") {
        let key = qualified("x", &catalog.table(table).key);
        let rows = if table == "entity_tags" {
            let parts = TAGGED.map(|(kind, parent)| {
                format!("SELECT {key} FROM entity_tags x JOIN doomed_{parent} d ON d.id = x.entity_id WHERE x.entity_type = '{kind}'")
            });
            parts.join(" UNION ALL ")
        } else if catalog.table(table).has_tenant {
            format!("SELECT {key} FROM {table} x JOIN doomed_tenants d ON x.tenant_id = d.id")
        } else {
            let owner = catalog.owner(table)?;
            let on = equal(&owner.columns, &owner.parent_columns);
            format!("SELECT {key} FROM {table} x JOIN doomed_{} d ON {on}", owner.parent)
        };
        sql.push_str(&format!("CREATE TEMP TABLE doomed_{table} AS {rows};\nANALYZE doomed_{table};\n"));
    }
    Ok(sql)
}

/// All rows of the tables to the client, in one stream.
pub(super) fn copies(catalog: &Catalog) -> String {
    let copies = catalog.order.iter().map(|table| format!("COPY (SELECT * FROM {table}) TO STDOUT;\n"));
    copies.collect()
}

/// The same bytes compressed and on disk, as a person would do it.
fn copies_of_doomed(catalog: &Catalog) -> String {
    let copy = |table: &String| {
        let (keys, on) = doomed_rows(catalog, table);
        let file = format!("{ARCHIVE}/{table}.csv.zst");
        format!(
            "\\copy (SELECT x.* FROM {table} x JOIN {keys} d ON {on}) TO PROGRAM 'zstd -q -3 -T1 -f -o {file} && sync {file}' (FORMAT csv)\n"
        )
    };
    catalog.order.iter().map(copy).collect()
}

/// For each test tenant a DELETE per table; a commit every fifty tenants.
pub(super) fn naive(catalog: &Catalog, tenants: &[&String]) -> Result<String> {
    let mut sql = mark("begin");
    for fifty in tenants.chunks(50) {
        sql.push_str("BEGIN;\n");
        for tenant in fifty {
            for (table, column) in CYCLE_BREAKERS {
                let rows = rows_of(catalog, table, tenant)?;
                sql.push_str(&format!("UPDATE {table} SET {column} = NULL WHERE {rows};\n"));
            }
            for table in &catalog.order {
                sql.push_str(&format!("DELETE FROM {table} WHERE {};\n", rows_of(catalog, table, tenant)?));
            }
        }
        sql.push_str("COMMIT;\n");
    }
    Ok(sql + &mark("naive"))
}

/// Which rows of a table belong to a tenant.
fn rows_of(catalog: &Catalog, table: &str, tenant: &str) -> Result<String> {
    if table == "tenants" {
        return Ok(format!("id = '{tenant}'"));
    }
    if table == "entity_tags" {
        let parts = TAGGED.map(|(kind, parent)| {
            format!("(entity_type = '{kind}' AND entity_id IN (SELECT id FROM {parent} WHERE tenant_id = '{tenant}'))")
        });
        return Ok(parts.join(" OR "));
    }
    if catalog.table(table).has_tenant {
        return Ok(format!("tenant_id = '{tenant}'"));
    }
    let owner = catalog.owner(table)?;
    let (columns, parent_columns) = (owner.columns.join(", "), owner.parent_columns.join(", "));
    let rows = rows_of(catalog, &owner.parent, tenant)?;
    Ok(format!("({columns}) IN (SELECT {parent_columns} FROM {} WHERE {rows})", owner.parent))
}

/// Division by zero where a row that stays points at one that went.
fn proof(catalog: &Catalog) -> String {
    let prove = |reference: &super::catalog::Reference| {
        let on = equal(&reference.columns, &reference.parent_columns);
        let (child, parent) = (&reference.child, &reference.parent);
        format!("SELECT 1 / (count(*) = 0)::int FROM {child} x JOIN doomed_{parent} d ON {on};\n")
    };
    // The keys of other columns than the primary key would need wider key tables; this schema has none.
    catalog.references.iter().map(prove).collect()
}

/// The key table of a table and how to join it.
fn doomed_rows(catalog: &Catalog, table: &str) -> (String, String) {
    if table == "audit_logs" {
        return ("doomed_tenants".to_owned(), "x.tenant_id = d.id::text".to_owned());
    }
    let key = &catalog.table(table).key;
    (format!("doomed_{table}"), equal(key, key))
}

fn equal(columns: &[String], others: &[String]) -> String {
    let pairs: Vec<String> =
        columns.iter().zip(others).map(|(column, other)| format!("x.{column} = d.{other}")).collect();
    pairs.join(" AND ")
}

fn qualified(alias: &str, columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| format!("{alias}.{column}")).collect();
    columns.join(", ")
}

fn mark(phase: &str) -> String {
    format!("SELECT '@{phase} ' || extract(epoch FROM clock_timestamp());\n")
}

/// Seconds per phase, named `prefix.phase`, out of what psql printed.
pub(super) fn phases(printed: &str, prefix: &str) -> Result<Samples> {
    let mut samples = Samples::new();
    let mut before: Option<f64> = None;
    for line in printed.lines().filter_map(|line| line.strip_prefix('@')) {
        let (phase, at) = line.split_once(' ').with_context(|| format!("unexpected mark `{line}`"))?;
        let at: f64 = at.parse()?;
        if let Some(before) = before {
            samples.insert(format!("{prefix}.{phase}"), at - before);
        }
        before = Some(at);
    }
    ensure!(!samples.is_empty(), "the script of `{prefix}` told no phase");
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_the_time_between_marks() {
        let samples = phases("@begin 10.0\n1\n@plan 12.5\n@delete 20\n", "expert").unwrap();
        assert_eq!(
            samples,
            Samples::from([("expert.plan".to_owned(), 2.5), ("expert.delete".to_owned(), 7.5)])
        );
    }
}
