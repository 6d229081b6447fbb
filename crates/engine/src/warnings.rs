//! What a person should know before approving a plan.
//!
//! Each warning is one function over what planning found. Warnings never stop a plan; what must stop it is a
//! refusal in `plan`.
//!
//! Not here: columns that only look like references (`warnings::logical`).

mod logical;

use crate::refusals::wide;
use crate::work;
use unseed_core::fault::Fault;
use unseed_core::plan::{Path, Warning};
use unseed_core::policy::Policy;
use unseed_core::port::store::{Closure, Server, Store, Work};
use unseed_core::schema::{EffectKind, Origin, Reference, ReferenceId, TableId, Visibility};

/// Rows that a store looks through per second when it scans a table for one removed parent.
const SCANNED_ROWS_PER_SECOND: f64 = 1.5e7;
/// Child tables below this size are scanned in no time.
const LARGE_TABLE_ROWS: u64 = 10_000;

/// What planning found.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    pub work: &'a Work,
    pub closure: &'a Closure,
    pub server: &'a Server,
    pub policy: &'a Policy,
}

/// All warnings, in a fixed order.
///
/// # Errors
/// What the store says while rows are counted.
pub async fn all(store: &mut dyn Store, found: &Found<'_>) -> Result<Vec<Warning>, Fault> {
    let mut warnings = Vec::new();
    warnings.extend(path(found));
    warnings.extend(missing_indexes(found));
    warnings.extend(effects(found));
    warnings.extend(pulled(found));
    warnings.extend(unvalidated(found));
    warnings.extend(without_key(found));
    warnings.extend(row_security(found));
    warnings.extend(logical::all(store, found).await?);
    Ok(warnings)
}

impl Found<'_> {
    fn name(&self, table: TableId) -> String {
        self.work.schema.table(table).name.to_string()
    }

    fn removed(&self, table: TableId) -> u64 {
        self.closure.removed.get(&table).copied().unwrap_or(0)
    }

    /// Tables of which rows leave or are detached.
    fn affected(&self) -> Vec<TableId> {
        let detached = |t: &TableId| self.closure.detached_rows.get(t).copied().unwrap_or(0);
        work::touched(self.work).into_iter().filter(|t| self.removed(*t) > 0 || detached(t) > 0).collect()
    }

    fn warning(&self, id: &str, table: TableId, says: String) -> Warning {
        Warning { store: None, id: id.to_owned(), table: self.name(table), says, estimate_s: None }
    }
}

fn path(found: &Found<'_>) -> Option<Warning> {
    let root = found.work.program.roots.first()?;
    let (id, says) = match found.work.path {
        Path::Fast => {
            ("fast-path", "the store's own checks are skipped; the same is proven by sets before each commit")
        }
        Path::Checked => ("checked-path", "the store checks every removed row itself, which takes longer"),
        Path::Rewrite => (
            "rewrite-path",
            "tables are emptied and what stays is put back: nobody can read or write them meanwhile, \
             triggers do not fire, and who looks with an older snapshot sees them empty",
        ),
    };
    Some(found.warning(id, *root, says.to_owned()))
}

fn missing_indexes(found: &Found<'_>) -> Vec<Warning> {
    let schema = &found.work.schema;
    let slow = |reference: &Reference| {
        let large = schema.table(reference.child).rows_estimate >= LARGE_TABLE_ROWS;
        !reference.indexed
            && large
            && reference.origin == Origin::Declared
            && found.removed(reference.parent) > 0
    };
    let mut warnings = Vec::new();
    for id in schema.reference_ids().filter(|id| slow(schema.reference(*id))) {
        let reference = schema.reference(id);
        let (parents, rows) = (found.removed(reference.parent), schema.table(reference.child).rows_estimate);
        let seconds = wide(parents) * wide(rows) / SCANNED_ROWS_PER_SECOND;
        let columns = schema.table(reference.child).column_names(&reference.child_columns);
        let (cost, estimate_s) = match found.work.path {
            Path::Fast => ("costs nothing on the fast path".to_owned(), None),
            Path::Rewrite => ("costs nothing on the rewrite path".to_owned(), None),
            Path::Checked => {
                let cost = format!(
                    "the store scans {rows} rows for each of {parents} removed rows, unless it is built"
                );
                (cost, Some(whole_seconds(seconds)))
            }
        };
        let says = format!("no index on {columns} for {}: {cost}", schema.describe(id));
        let warning = found.warning("missing-fk-index", reference.child, says);
        warnings.push(Warning { estimate_s, ..warning });
    }
    warnings
}

/// Seconds rounded up, without a cast.
fn whole_seconds(seconds: f64) -> u64 {
    let capped = seconds.clamp(0.0, 1.0e9).ceil();
    let mut whole = 0_u64;
    for bit in (0..31).rev() {
        let candidate = whole | (1 << bit);
        if wide(candidate) <= capped {
            whole = candidate;
        }
    }
    whole
}

fn effects(found: &Found<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for table in found.affected() {
        let removed = found.removed(table) > 0;
        let changed = found.closure.detached_rows.get(&table).is_some_and(|rows| *rows > 0);
        for effect in &found.work.schema.table(table).effects {
            if !(effect.on_delete && removed || effect.on_update && changed) {
                continue;
            }
            let (id, says) = match effect.kind {
                EffectKind::Trigger if found.work.path == Path::Rewrite => {
                    ("trigger-skipped", format!("trigger `{}` will not fire", effect.name))
                }
                EffectKind::Trigger => ("trigger-fires", format!("trigger `{}` will fire", effect.name)),
                EffectKind::Rule => {
                    ("rule-fires", format!("rule `{}` rewrites what is sent to the table", effect.name))
                }
            };
            warnings.push(found.warning(id, table, says));
        }
    }
    warnings
}

/// References that say SET NULL where that is forbidden, so that rows leave instead.
fn pulled(found: &Found<'_>) -> Vec<Warning> {
    let schema = &found.work.schema;
    let leads = |id: ReferenceId| {
        let reference = schema.reference(id);
        found.removed(reference.parent) > 0 && found.removed(reference.child) > 0
    };
    let mut warnings = Vec::new();
    for id in found.work.program.forbidden.iter().copied().filter(|id| leads(*id)) {
        let says = format!(
            "{} cannot be detached, since the column is not null or other rows refer to it: the rows leave",
            schema.describe(id)
        );
        warnings.push(found.warning("not-null-pull", schema.reference(id).child, says));
    }
    for visit in found.work.program.stages.iter().flat_map(|stage| stage.visits()) {
        for follow in visit.follows.iter().filter(|f| leads(f.reference)) {
            let Some(detachment) = &follow.only_if_check_fails else { continue };
            let checks = &schema.table(visit.table).checks;
            let names: Vec<&str> = detachment.checks.iter().map(|i| checks[*i].name.as_str()).collect();
            let reference = schema.describe(follow.reference);
            let says = format!("{reference}: rows that {} forbids to detach leave", names.join(", "));
            warnings.push(found.warning("not-null-pull", visit.table, says));
        }
    }
    warnings
}

fn unvalidated(found: &Found<'_>) -> Vec<Warning> {
    let schema = &found.work.schema;
    if schema.references.iter().all(|r| !r.validated) {
        // A store that never validates has nothing to say about a single key.
        return Vec::new();
    }
    let open = |id: &ReferenceId| {
        let reference = schema.reference(*id);
        !reference.validated && reference.origin == Origin::Declared && found.removed(reference.parent) > 0
    };
    let text = |id: ReferenceId| {
        let says =
            format!("{} was never validated: rows that refer to nothing may exist", schema.describe(id));
        found.warning("unvalidated-key", schema.reference(id).child, says)
    };
    schema.reference_ids().filter(open).map(text).collect()
}

fn without_key(found: &Found<'_>) -> Vec<Warning> {
    let keyless = |t: &TableId| found.work.schema.table(*t).key().is_none();
    let text = |t: TableId| {
        found.warning(
            "no-key",
            t,
            "the table has no key: its rows are told apart by their whole content".to_owned(),
        )
    };
    found.affected().into_iter().filter(keyless).map(text).collect()
}

/// Tables beside the closure that this role cannot see in full; inside, that is a refusal.
fn row_security(found: &Found<'_>) -> Vec<Warning> {
    let touched = work::touched(found.work);
    let hidden = |t: &TableId| {
        found.work.schema.table(*t).visibility == Visibility::RowSecurity && !touched.contains(t)
    };
    let text = |t: TableId| {
        let says = "row-level security may hide rows here; nothing that leaves refers to it".to_owned();
        found.warning("row-security", t, says)
    };
    found.work.schema.table_ids().filter(hidden).map(text).collect()
}
