//! What an expert finds out about the schema before writing a script: tables, keys, references, an order.
//!
//! Invariants
//! - children come before their parents, but for references to the own table and the two that close a cycle;
//! - `audit_logs` comes last, since removing documents writes into it.

use super::ground::{Ground, script};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// Tables that belong to everybody.
const COMMON: [&str; 4] = ["plans", "currencies", "model_catalog", "skill_catalog"];

/// References that close a cycle; an expert sets them to NULL first.
pub(super) const CYCLE_BREAKERS: [(&str, &str); 2] =
    [("users", "default_team_id"), ("tenants", "primary_agent_id")];

/// Which rows `entity_tags` speaks about, by its type.
pub(super) const TAGGED: [(&str, &str); 3] =
    [("agent", "agents"), ("document", "documents"), ("canvas", "canvases")];

#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) key: Vec<String>,
    pub(super) has_tenant: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) child: String,
    pub(super) columns: Vec<String>,
    pub(super) parent: String,
    pub(super) parent_columns: Vec<String>,
    pub(super) sets_null: bool,
    pub(super) indexed: bool,
}

#[derive(Debug)]
pub(super) struct Catalog {
    tables: BTreeMap<String, Table>,
    /// Between tables of tenants.
    pub(super) references: Vec<Reference>,
    /// Children first.
    pub(super) order: Vec<String>,
    /// Test tenants from the oldest to the youngest.
    pub(super) doomed: Vec<String>,
}

impl Catalog {
    pub(super) fn read(ground: &Ground) -> Result<Self> {
        let ask =
            |name: &str| -> Result<String> { ground.read_template(&std::fs::read_to_string(script(name))?) };
        let doomed = ground
            .read_template("SELECT id FROM tenants WHERE plan_code = 'free' ORDER BY created_at, id")?;
        let mut catalog = Self::parse(&ask("tables.sql")?, &ask("references.sql")?)?;
        catalog.doomed = doomed.lines().map(str::to_owned).collect();
        Ok(catalog)
    }

    fn parse(tables: &str, references: &str) -> Result<Self> {
        let tables = tables.lines().map(table).collect::<Result<BTreeMap<_, _>>>()?;
        let tables: BTreeMap<_, _> =
            tables.into_iter().filter(|(name, _)| !COMMON.contains(&name.as_str())).collect();
        let mut all = references.lines().map(reference).collect::<Result<Vec<_>>>()?;
        all.retain(|r| tables.contains_key(&r.child) && tables.contains_key(&r.parent));
        let order = order(&tables, &all)?;
        Ok(Self { tables, references: all, order, doomed: Vec::new() })
    }

    pub(super) fn table(&self, name: &str) -> &Table {
        self.tables.get(name).expect("names come from this catalog")
    }

    /// For a table that does not say itself whose a row is: the reference that does.
    pub(super) fn owner(&self, table: &str) -> Result<&Reference> {
        let says =
            |r: &&Reference| r.child == table && !r.sets_null && r.parent != table && r.parent != "users";
        self.references.iter().find(says).with_context(|| format!("nobody owns the rows of `{table}`"))
    }

    /// Statements that make the indexes which the references lack.
    pub(super) fn missing_indexes(&self) -> BTreeSet<String> {
        let missing = self.references.iter().filter(|r| !r.indexed);
        missing.map(|r| format!("CREATE INDEX ON {} ({});\n", r.child, r.columns.join(", "))).collect()
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn table(line: &str) -> Result<(String, Table)> {
    let fields: Vec<&str> = line.split('|').collect();
    let [name, key, has_tenant] = fields.as_slice() else { bail!("unexpected answer `{line}`") };
    ensure!(!key.is_empty(), "`{name}` has no key");
    Ok(((*name).to_owned(), Table { key: list(key), has_tenant: *has_tenant == "t" }))
}

fn reference(line: &str) -> Result<Reference> {
    let fields: Vec<&str> = line.split('|').collect();
    let [child, columns, parent, parent_columns, action, indexed] = fields.as_slice() else {
        bail!("unexpected answer `{line}`")
    };
    Ok(Reference {
        child: (*child).to_owned(),
        columns: list(columns),
        parent: (*parent).to_owned(),
        parent_columns: list(parent_columns),
        sets_null: *action == "n",
        indexed: *indexed == "t",
    })
}

fn order(tables: &BTreeMap<String, Table>, references: &[Reference]) -> Result<Vec<String>> {
    let closes_cycle = |r: &Reference| CYCLE_BREAKERS.contains(&(r.child.as_str(), r.columns[0].as_str()));
    let binding: Vec<&Reference> =
        references.iter().filter(|r| r.child != r.parent && !closes_cycle(r)).collect();
    let mut left: BTreeSet<&str> = tables.keys().map(String::as_str).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let has_child =
            |name: &str| binding.iter().any(|r| r.parent == name && left.contains(r.child.as_str()));
        let free: Vec<&str> = left.iter().copied().filter(|name| !has_child(name)).collect();
        ensure!(!free.is_empty(), "a cycle among {left:?}");
        left.retain(|name| !free.contains(name));
        order.extend(free.into_iter().map(str::to_owned));
    }
    order.retain(|name| name != "audit_logs" && name != "entity_tags");
    order.insert(0, "entity_tags".to_owned());
    order.push("audit_logs".to_owned());
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "audit_logs|id|t\nentity_tags|entity_type,entity_id|f\nplans|code|f\nteams|id|t\nteam_members|team_id,user_id|f\ntenants|id|f\nusers|id|t";
    const REFERENCES: &str = "team_members|team_id|teams|id|c|t\nteam_members|user_id|users|id|c|f\nteams|owner_id|users|id|a|f\n\
        teams|tenant_id|tenants|id|a|t\ntenants|plan_code|plans|code|r|f\nusers|default_team_id|teams|id|a|f\nusers|tenant_id|tenants|id|a|t";

    #[test]
    fn children_come_first_and_reference_data_is_left_out() {
        let catalog = Catalog::parse(TABLES, REFERENCES).unwrap();
        let order = ["entity_tags", "team_members", "teams", "users", "tenants", "audit_logs"];
        assert_eq!(catalog.order, order);
        assert_eq!(catalog.owner("team_members").unwrap().parent, "teams");
        assert_eq!(catalog.missing_indexes().len(), 3);
    }
}
