//! Opens a store for a plan: the inspected schema, extended by the policy, and the program over it.
//!
//! Planning, purging, verifying and restoring all come through here, so that all see the same graph.
//!
//! Not here: what is then done with it.

use unseed_core::closure;
use unseed_core::fault::{Category, Fault, listed};
use unseed_core::plan::{Path, Plan};
use unseed_core::policy::Policy;
use unseed_core::port::store::{Server, Store, Work};
use unseed_core::protect;
use unseed_core::schema::{PUBLISHED_DELETES, PUBLISHED_UPDATES, ReferenceId, Schema, TableId, Visibility};

/// A store that was inspected for a plan.
#[derive(Debug, Clone)]
pub struct Opened {
    pub work: Work,
    pub server: Server,
    /// Fingerprint of the schema as inspected, before the policy extended it.
    pub fingerprint: String,
}

/// Inspects the store and compiles the program of a plan.
///
/// # Errors
/// What the store says; a stale fault when tables of the plan are gone; a usage fault of the policy.
pub async fn open(store: &mut dyn Store, plan: &Plan) -> Result<Opened, Fault> {
    let catalog = store.inspect().await?;
    let fingerprint = catalog.schema.fingerprint();
    let roots = plan.root_tables(&catalog.schema)?;
    let work = build(catalog.schema, &plan.policy, &roots, plan.path)?;
    Ok(Opened { work, server: catalog.server, fingerprint })
}

/// Refuses a store whose schema is not the one of the plan.
///
/// # Errors
/// A stale fault that names what differs, as far as the plan tells.
pub fn same_schema(opened: &Opened, plan: &Plan) -> Result<(), Fault> {
    let planned = plan.stores.first().map(|s| s.schema_fingerprint.as_str());
    if planned == Some(opened.fingerprint.as_str()) {
        return Ok(());
    }
    let mut fault =
        Fault::new(Category::Stale, format!("the schema has changed since plan `{}` was made", plan.id))
            .hint("make a new plan with `unseed plan`");
    let names: Vec<String> = opened.work.schema.tables.iter().map(|t| t.name.to_string()).collect();
    for step in plan.steps.iter().filter(|step| !names.contains(&step.table)) {
        fault = fault.detail(format!("table `{}` is gone", step.table));
    }
    Err(fault)
}

/// Extends a schema by a policy and compiles everything a store needs to know.
///
/// # Errors
/// A usage fault that names the part of the policy that does not fit the schema.
pub fn build(mut schema: Schema, policy: &Policy, roots: &[TableId], path: Path) -> Result<Work, Fault> {
    policy.extend(&mut schema)?;
    let protections = policy.protections(&schema)?;
    let allowed_effects = policy.allowed_effects(&schema)?;
    let program = closure::program(&schema, roots);
    let ownership = protect::ownership(&schema, &protections);
    Ok(Work { schema, program, ownership, protections, path, allowed_effects })
}

/// Tables that a program removes from or writes to.
pub fn touched(work: &Work) -> Vec<TableId> {
    let sets = work.program.sets.iter().map(|set| set.table);
    let detaches = work.program.detaches.iter().map(|detach| detach.table);
    let mut tables: Vec<TableId> = sets.chain(detaches).collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}

/// References that point into the closure.
pub fn inward(work: &Work) -> Vec<ReferenceId> {
    let reached = |id: &ReferenceId| work.program.set(work.schema.reference(*id).parent).is_some();
    work.schema.reference_ids().filter(reached).collect()
}

/// References that point into the closure or out of it.
pub fn around(work: &Work) -> Vec<ReferenceId> {
    let reached = |table| work.program.set(table).is_some();
    let touches = |id: &ReferenceId| {
        let reference = work.schema.reference(*id);
        reached(reference.parent) || reached(reference.child)
    };
    work.schema.reference_ids().filter(touches).collect()
}

/// What a role must be allowed to do with a table: rows are read everywhere, deleted where they leave, changed
/// where references are emptied, and roots are locked, which is a right to change them.
/// Whether this is no privilege but a property that the table lacks.
fn published(privilege: &str) -> bool {
    [PUBLISHED_DELETES, PUBLISHED_UPDATES].contains(&privilege)
}

fn needs(work: &Work, table: TableId, privilege: &str) -> bool {
    let detached = work.program.detaches.iter().any(|detach| detach.table == table);
    match privilege {
        "DELETE" | PUBLISHED_DELETES => work.program.set(table).is_some(),
        PUBLISHED_UPDATES => detached,
        "UPDATE" => {
            let allowed = work.allowed_effects.contains(&table);
            detached || allowed || work.program.roots.contains(&table)
        }
        _ => true,
    }
}

/// Refuses a partial view: what cannot be seen cannot be called clean.
///
/// # Errors
/// `Refused`, naming each table and what is missing.
pub fn full_view(work: &Work) -> Result<(), Fault> {
    let mut tables = touched(work);
    tables.extend(inward(work).into_iter().map(|id| work.schema.reference(id).child));
    tables.extend(&work.ownership.protected);
    tables.extend(work.ownership.owning.keys());
    tables.sort_unstable();
    tables.dedup();
    let mut lines = Vec::new();
    for id in &tables {
        let table = work.schema.table(*id);
        match &table.visibility {
            Visibility::Full => {}
            Visibility::RowSecurity => {
                lines.push(format!("`{}`: row-level security may hide rows from this role", table.name));
            }
            Visibility::Denied(privileges) => {
                let lacking: Vec<&str> =
                    privileges.iter().map(String::as_str).filter(|p| needs(work, *id, p)).collect();
                if !lacking.is_empty() {
                    let who = if lacking.iter().all(|p| published(p)) { "it" } else { "this role" };
                    lines.push(format!("`{}`: {who} lacks {}", table.name, lacking.join(", ")));
                }
            }
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let message =
        format!("{} that the roots lead to cannot be seen or changed in full", listed(&lines, "table"));
    let mut fault = Fault::refused(message).hint(
        "connect as the owner of the tables, or grant what is missing (and BYPASSRLS; for a published table, ALTER TABLE … \
         REPLICA IDENTITY), then plan again",
    );
    fault.details = lines;
    Err(fault)
}
