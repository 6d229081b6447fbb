//! What a person decided beyond the catalog: links no constraint declares, protected rows, limits.
//!
//! A policy comes from the configuration and the command line, is copied into the plan, and is applied to a
//! freshly inspected schema both when planning and when purging, so that both see the same graph.
//!
//! Not here: reading `unseed.toml` (`config`), what references and protections then do (`closure`, `protect`).

use crate::fault::Fault;
use crate::hook::Hook;
use crate::keeping::Keeping;
use crate::protect::{ProtectedRows, Protection};
use crate::schema::{ColumnIndex, OnDelete, Origin, Reference, Schema, TableId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What happens to the referring row of a configured reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRemove {
    Delete,
    Detach,
    Keep,
}

/// One `[[references]]` entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfiguredReference {
    /// `table.column`, or `schema.table.column`; several columns are separated by commas.
    pub from: String,
    /// The row it means, in the same form.
    pub to: String,
    pub on_remove: OnRemove,
    /// Polymorphic links: counts only where these columns have these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub when: BTreeMap<String, String>,
}

/// One protection: rows of a table by the values of a column, or by a predicate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredProtection {
    /// Table name as typed.
    pub table: String,
    /// Column and values; exclusive with `predicate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
}

/// How much a plan may remove, and how far the data may drift between plan and purge.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Rows that one plan may remove.
    pub max_rows: u64,
    /// Share of the rows of one entity table (the root tables) that one plan may remove, 0 to 1.
    pub max_share_of_table: f64,
    /// Dependents that may appear or vanish between plan and purge, as a share of the planned rows …
    pub max_drift_share: f64,
    /// … or this many rows, whichever is more.
    pub max_drift_rows: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_rows: 5_000_000, max_share_of_table: 0.999, max_drift_share: 0.01, max_drift_rows: 100 }
    }
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    #[serde(default)]
    pub references: Vec<ConfiguredReference>,
    #[serde(default)]
    pub protect: Vec<ConfiguredProtection>,
    #[serde(default)]
    pub limits: Limits,
    /// Tables that triggers may change although they are not part of the closure.
    #[serde(default)]
    pub allow_effects: Vec<String>,
    /// How many people have to agree, as the configuration said when the plan was made.
    #[serde(default, skip_serializing_if = "PlannedApprovals::is_none")]
    pub approvals: PlannedApprovals,
    /// Commands around the purge and the restore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// How long rows can be put back.
    #[serde(default, skip_serializing_if = "Keeping::is_none")]
    pub keeping: Keeping,
}

/// How many people have to sign before a plan is purged, and before its run is restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedApprovals {
    pub purge: u32,
    pub restore: u32,
}

impl PlannedApprovals {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Policy {
    /// Adds the configured references to an inspected schema; entries that say `keep` add nothing.
    ///
    /// # Errors
    /// A usage fault that names the entry whose table or column does not exist.
    pub fn extend(&self, schema: &mut Schema) -> Result<(), Fault> {
        for entry in &self.references {
            let reference = entry.resolve(schema)?;
            if entry.on_remove != OnRemove::Keep {
                schema.references.push(reference);
            }
        }
        Ok(())
    }

    /// Columns of references that say `keep`: they look like references, and their rows stay all the same.
    pub fn kept(&self, schema: &Schema) -> Vec<(TableId, ColumnIndex)> {
        let kept = self.references.iter().filter(|entry| entry.on_remove == OnRemove::Keep);
        let resolved = kept.filter_map(|entry| entry.resolve(schema).ok());
        resolved.flat_map(|r| r.child_columns.into_iter().map(move |column| (r.child, column))).collect()
    }

    /// Resolves the protections against a schema.
    ///
    /// # Errors
    /// A usage fault that names the table or column that does not exist.
    pub fn protections(&self, schema: &Schema) -> Result<Vec<Protection>, Fault> {
        self.protect.iter().map(|entry| entry.resolve(schema)).collect()
    }

    /// Resolves the tables of `allow_effects`.
    ///
    /// # Errors
    /// A usage fault that names the table that does not exist.
    pub fn allowed_effects(&self, schema: &Schema) -> Result<Vec<TableId>, Fault> {
        self.allow_effects.iter().map(|name| one_table(schema, name)).collect()
    }
}

impl ConfiguredReference {
    fn resolve(&self, schema: &Schema) -> Result<Reference, Fault> {
        let (child, child_columns) = columns(schema, &self.from)?;
        let (parent, parent_columns) = columns(schema, &self.to)?;
        if child_columns.len() != parent_columns.len() {
            let message = format!("reference `{}` → `{}` has unequal numbers of columns", self.from, self.to);
            return Err(Fault::usage(message).hint("name as many columns in `from` as in `to`"));
        }
        let on_delete = match self.on_remove {
            OnRemove::Delete | OnRemove::Keep => OnDelete::Cascade,
            OnRemove::Detach => OnDelete::SetNull,
        };
        let mut when = Vec::new();
        for (name, value) in &self.when {
            when.push((one_column(schema, child, name)?, value.clone()));
        }
        Ok(Reference {
            name: self.from.clone(),
            child,
            child_parts: None,
            set_columns: child_columns.clone(),
            child_columns,
            parent,
            parent_parts: None,
            parent_columns,
            on_delete,
            match_full: false,
            deferrable: false,
            validated: false,
            indexed: false,
            origin: Origin::Configured,
            when,
        })
    }
}

impl ConfiguredProtection {
    fn resolve(&self, schema: &Schema) -> Result<Protection, Fault> {
        let table = one_table(schema, &self.table)?;
        let rows = match (&self.column, &self.predicate) {
            (Some(column), None) => ProtectedRows::Values {
                column: one_column(schema, table, column)?,
                values: self.values.clone(),
            },
            (None, Some(predicate)) => ProtectedRows::Where(predicate.clone()),
            (Some(_), Some(_)) | (None, None) => {
                let message = format!("protection of `{}` needs either a column or a predicate", self.table);
                return Err(
                    Fault::usage(message).hint("write `[protect]` entries as `table.column = [values]`")
                );
            }
        };
        Ok(Protection { table, rows })
    }
}

/// Finds the one table that a typed name means.
///
/// # Errors
/// A usage fault when there is none, or several; it lists what is there.
pub fn one_table(schema: &Schema, typed: &str) -> Result<TableId, Fault> {
    match schema.find(typed).as_slice() {
        [one] => Ok(*one),
        [] => Err(Fault::usage(format!("no such table `{typed}`")).hint(nearest(schema, typed))),
        several => {
            let names: Vec<String> = several.iter().map(|t| schema.table(*t).name.to_string()).collect();
            let message = format!("table `{typed}` is ambiguous: {}", names.join(", "));
            Err(Fault::usage(message).hint("write it with its schema"))
        }
    }
}

/// Finds a column of a table by its typed name.
///
/// # Errors
/// A usage fault that lists the table's columns.
pub fn one_column(schema: &Schema, table: TableId, typed: &str) -> Result<ColumnIndex, Fault> {
    let table = schema.table(table);
    let column = table.column(typed).or_else(|| table.column(&typed.trim().replace('"', "")));
    column.ok_or_else(|| {
        let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        Fault::usage(format!("no such column `{typed}` in table `{}`", table.name))
            .hint(format!("its columns are {}", names.join(", ")))
    })
}

fn columns(schema: &Schema, typed: &str) -> Result<(TableId, Vec<ColumnIndex>), Fault> {
    let Some((table, names)) = typed.rsplit_once('.') else {
        let message = format!("`{typed}` is not of the form `table.column`");
        return Err(Fault::usage(message).hint("write for example `from = \"audit_logs.tenant_id\"`"));
    };
    let table = one_table(schema, table)?;
    let mut found = Vec::new();
    for name in names.trim_matches(['(', ')']).split(',') {
        found.push(one_column(schema, table, name)?);
    }
    Ok((table, found))
}

fn nearest(schema: &Schema, typed: &str) -> String {
    let wanted = typed.to_ascii_lowercase();
    let mut close: Vec<String> = schema
        .tables
        .iter()
        .map(|t| t.name.to_string())
        .filter(|name| {
            let name = name.to_ascii_lowercase();
            name.contains(&wanted) || name.rsplit('.').next().is_some_and(|n| wanted.contains(n))
        })
        .take(5)
        .collect();
    close.sort();
    if close.is_empty() {
        "run `unseed scan URL` to see which tables there are".to_owned()
    } else {
        format!("did you mean {}?", close.join(", "))
    }
}
