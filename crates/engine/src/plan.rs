//! Makes a plan: chooses the roots, closes over them, refuses what is not safe, says what to expect.
//!
//! Invariants
//! - nothing is written to the store;
//! - a plan that comes out of here has no conflict, is within its limits and saw every table in full;
//! - the same data and the same request give the same steps in the same order.
//!
//! Not here: the warnings (`warnings`), executing a plan (`purge`), its files (the command line).

pub use crate::refusals::path_text;
use crate::refusals::{check_limits, refuse_conflicts};
use crate::warnings;
use crate::work;
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::fault::Fault;
use unseed_core::keys::{INLINE_ROWS_MAX, WholePlan};
use unseed_core::plan::{
    Action, BuildIndexes, FORMAT, Keys, Path, Plan, PlanStore, RootSet, Roots, RunIndex, Step, Warning,
};
use unseed_core::policy::{Policy, one_column, one_table};
use unseed_core::port::clock::Clock;
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{ChosenRows, CloseRequest, Closure, RootChoice, Server, Store, Work};
use unseed_core::rows::Rows;
use unseed_core::schema::{EffectKind, ReferenceId, Schema, TableId};

/// How many conflicts are described before the rest is only counted.
pub const CONFLICTS_DESCRIBED_MAX: usize = 20;
/// What a person asked for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Name of the store in configuration and plans, e.g. `main`.
    pub store: &'a str,
    /// Its address without any secret, or `env:NAME`.
    pub url: &'a str,
    pub choices: Vec<Choice>,
    pub policy: &'a Policy,
    /// A path that a person wants; otherwise the better one is chosen.
    pub path: Option<Path>,
    /// Rows of one batch; by default as many as keep transactions short on the path.
    pub batch_rows_max: Option<u64>,
    /// Whether indexes are built for the time of the run.
    pub build_indexes: BuildIndexes,
    pub created_by: &'a str,
}

/// Roots of one table, as a person named them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Table as typed.
    pub table: String,
    pub rows: ChoiceRows,
    /// In words, e.g. `--where name LIKE 'Test%'`.
    pub chosen_by: String,
}

/// How the rows of a choice are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChoiceRows {
    /// An SQL predicate over the table.
    Where(String),
    /// Values of these columns; of the table's key when no column is named.
    Keys { columns: Vec<String>, keys: Rows },
}

/// Makes a plan.
///
/// # Errors
/// A usage fault for unknown tables and columns and where nothing is chosen; `Refused` for a partial view,
/// a limit or a protected row; what the store says.
pub async fn make(
    store: &mut dyn Store,
    clock: &dyn Clock,
    progress: &dyn Progress,
    request: &Request<'_>,
) -> Result<WholePlan, Fault> {
    let made = make_if_any(store, clock, progress, request).await?;
    made.ok_or_else(|| nothing_chosen(&request.choices))
}

/// Makes a plan, or none where the choices find no row.
///
/// # Errors
/// As [`make`].
pub(crate) async fn make_if_any(
    store: &mut dyn Store,
    clock: &dyn Clock,
    progress: &dyn Progress,
    request: &Request<'_>,
) -> Result<Option<WholePlan>, Fault> {
    if request.batch_rows_max == Some(0) {
        return Err(Fault::usage("a batch needs room for at least one row").hint("set `--batch-rows 100000`"));
    }
    let catalog = store.inspect().await?;
    let fingerprint = catalog.schema.fingerprint();
    let mut extended = catalog.schema.clone();
    request.policy.extend(&mut extended)?;
    let choices = resolve(&extended, &request.choices)?;
    let mut tables: Vec<TableId> = choices.iter().map(|choice| choice.table).collect();
    tables.sort_unstable();
    tables.dedup();
    let mut work = work::build(catalog.schema.clone(), request.policy, &tables, Path::Checked)?;
    let choice_of_path = choose_path(&work, &catalog.server, request.path)?;
    work.path = choice_of_path.0;
    work::full_view(&work)?;
    let roots = merge(store.choose(&work.schema, &choices).await?);
    // There may be millions, and each is held once.
    drop(choices);
    if roots.is_empty() {
        return Ok(None);
    }
    let root_tables: Vec<TableId> = roots.iter().map(|set| set.table).collect();
    if root_tables != tables {
        // Some choices found nothing, so fewer tables can be reached.
        work = work::build(catalog.schema, request.policy, &root_tables, work.path)?;
    }
    let closure = close(store, &work, &roots, progress).await?;
    refuse_lost(&work.schema, &roots, &closure)?;
    // Limits need exact numbers; elsewhere the store's estimate will do, where it has one.
    let mut counted = root_tables.clone();
    let unknown = closure.removed.keys().chain(closure.detached_rows.keys());
    counted.extend(unknown.filter(|t| work.schema.table(**t).rows_estimate == 0 && !root_tables.contains(t)));
    counted.sort();
    counted.dedup();
    let counts = store.count(&work.schema, &counted).await?;
    check_limits(&work.schema, request.policy, &closure, &counts, &root_tables)?;
    refuse_conflicts(&store.conflicts(&work, CONFLICTS_DESCRIBED_MAX).await?)?;
    let indexes = store.indexes(&work, &closure, request.build_indexes);
    if indexes.is_empty()
        && request.build_indexes == BuildIndexes::Always
        && catalog.server.kind != "postgresql"
    {
        return Err(no_indexes(&catalog.server));
    }
    let steps = steps(&work, &closure, &counts, request.store);
    let found =
        warnings::Found { work: &work, closure: &closure, server: &catalog.server, policy: request.policy };
    let warnings = warnings::all(store, &found).await?;
    let bare = Bare {
        request,
        server: &catalog.server,
        fingerprint,
        batch_rows: store.batch_rows(choice_of_path.0),
        path: choice_of_path,
        steps,
        indexes,
        warnings,
    };
    let plan = bare.plan(&work.schema, &roots, clock.now());
    let keys = roots.into_iter().map(|set| set.rows).collect();
    Ok(Some(WholePlan::seal(plan, keys, INLINE_ROWS_MAX)))
}

/// Refuses roots that the closure did not find again by their keys: a look-up that finds less than was chosen
/// must not shrink a plan in silence.
fn refuse_lost(schema: &Schema, roots: &[RootSet], closure: &Closure) -> Result<(), Fault> {
    for set in roots {
        let chosen = set.rows.count();
        let found = closure.removed.get(&set.table).copied().unwrap_or(0);
        if found < chosen {
            let table = schema.table(set.table);
            let message = format!(
                "{} of {chosen} chosen rows of `{}` cannot be found again by their key {}",
                chosen - found,
                table.name,
                table.column_names(&set.columns)
            );
            return Err(Fault::refused(message)
                .hint("choose rows whose key is not null and is of the type of its column"));
        }
    }
    Ok(())
}

fn resolve(schema: &Schema, choices: &[Choice]) -> Result<Vec<RootChoice>, Fault> {
    let mut resolved = Vec::new();
    for choice in choices {
        let table = one_table(schema, &choice.table)?;
        let Some(key) = schema.table(table).key() else {
            let message = format!("table `{}` has no key, so its rows cannot be roots", choice.table);
            return Err(Fault::usage(message).hint("choose the rows that it belongs to instead"));
        };
        let rows = match &choice.rows {
            ChoiceRows::Where(predicate) => ChosenRows::Where(predicate.clone()),
            ChoiceRows::Keys { columns, keys } => {
                let named: Result<Vec<usize>, Fault> =
                    columns.iter().map(|name| one_column(schema, table, name)).collect();
                let columns = if columns.is_empty() { key.to_vec() } else { named? };
                if let Some(odd) = keys.iter().find(|key| key.len() != columns.len()) {
                    let message = format!("the key `{}` has not {} values", odd.join(","), columns.len());
                    return Err(Fault::usage(message)
                        .hint(format!("give {}", schema.table(table).column_names(&columns))));
                }
                ChosenRows::Keys { columns, keys: keys.clone() }
            }
        };
        resolved.push(RootChoice { table, rows });
    }
    Ok(resolved)
}

fn no_indexes(server: &Server) -> Fault {
    Fault::usage(format!("{} builds no indexes for the time of a run", server.kind))
        .hint("leave `--build-indexes` out; where an index is missing, make it yourself before the run")
}

/// One set per table, without rows that were chosen twice and without empty sets.
fn merge(sets: Vec<RootSet>) -> Vec<RootSet> {
    let mut merged: BTreeMap<TableId, RootSet> = BTreeMap::new();
    for set in sets {
        match merged.get_mut(&set.table) {
            None => drop(merged.insert(set.table, set)),
            Some(into) => {
                assert_eq!(
                    into.columns, set.columns,
                    "a store addresses the roots of one table by the same columns"
                );
                set.rows.iter().for_each(|row| into.rows.push(row));
                into.drop_repeated();
            }
        }
    }
    merged.into_values().filter(|set| !set.rows.is_empty()).collect()
}

fn nothing_chosen(choices: &[Choice]) -> Fault {
    let said: Vec<String> =
        choices.iter().map(|choice| format!("`{}` ({})", choice.table, choice.chosen_by)).collect();
    Fault::usage(format!("no row is chosen: {}", said.join(", ")))
        .hint("run `unseed scan` to see what looks like test data")
}

async fn close(
    store: &mut dyn Store,
    work: &Work,
    roots: &[RootSet],
    progress: &dyn Progress,
) -> Result<Closure, Fault> {
    let request = CloseRequest { roots, roots_per_tag: 1, check_versions: false, count_only: true };
    store.close(work, &request, progress).await
}

fn choose_path(work: &Work, server: &Server, wanted: Option<Path>) -> Result<(Path, String), Fault> {
    let rule = work::touched(work).into_iter().map(|id| work.schema.table(id)).find_map(|table| {
        let rule =
            |e: &&unseed_core::schema::Effect| e.kind == EffectKind::Rule && (e.on_delete || e.on_update);
        table.effects.iter().find(rule).map(|effect| (table, effect))
    });
    if wanted == Some(Path::Rewrite) && server.kind != "postgresql" {
        let message = format!("{} has no rewrite path", server.kind);
        return Err(Fault::usage(message).hint("leave `--path rewrite` out"));
    }
    match (wanted, server.may_skip_checks) {
        (Some(path @ (Path::Rewrite | Path::Fast)), false) => {
            let name = if path == Path::Rewrite { "rewrite" } else { "fast" };
            let message =
                format!("the {name} path was asked for, but this role may not skip the store's checks");
            Err(Fault::refused(message).hint("leave the path out, or connect as a role that may"))
        }
        (Some(path), true) | (Some(path @ Path::Checked), false) => Ok((path, "asked for".to_owned())),
        (None, false) if server.kind == "sqlite" => Ok((
            Path::Checked,
            "each batch holds the database's write lock, and what the keys demand is proven by sets"
                .to_owned(),
        )),
        (None, false) => Ok((
            Path::Checked,
            "this role may not skip the store's checks, so the store checks each row".to_owned(),
        )),
        (None, true) => Ok(match rule {
            Some((table, effect)) => {
                let reason =
                    format!("rule `{}` of `{}` needs the store's ordinary way", effect.name, table.name);
                (Path::Checked, reason)
            }
            None => {
                let reason =
                    "this role may skip the store's checks; the same is proven by sets before each commit";
                (Path::Fast, reason.to_owned())
            }
        }),
    }
}

fn steps(work: &Work, closure: &Closure, counts: &BTreeMap<TableId, u64>, store: &str) -> Vec<Step> {
    let of = |table: TableId, rows: u64| {
        let estimate = work.schema.table(table).rows_estimate;
        counts.get(&table).copied().unwrap_or(estimate).max(rows)
    };
    let mut steps = Vec::new();
    for table in work.program.removal.iter().flatten() {
        let Some(rows) = closure.removed.get(table).copied().filter(|rows| *rows > 0) else { continue };
        steps.push(Step {
            store: store.to_owned(),
            table: work.schema.table(*table).name.to_string(),
            action: Action::Delete,
            columns: Vec::new(),
            rows,
            of: of(*table, rows),
            via: via(work, closure, *table),
        });
    }
    for detach in &work.program.detaches {
        let used = |id: ReferenceId| closure.detached.get(&id).is_some_and(|rows| *rows > 0);
        let references: Vec<_> = detach.references.iter().filter(|(id, _)| used(*id)).collect();
        let Some(rows) = closure.detached_rows.get(&detach.table).copied().filter(|rows| *rows > 0) else {
            continue;
        };
        let table = work.schema.table(detach.table);
        let columns: BTreeSet<usize> =
            references.iter().flat_map(|(_, d)| d.columns.iter().copied()).collect();
        let lines: Vec<String> = references.iter().map(|(id, _)| work.schema.describe(*id)).collect();
        steps.push(Step {
            store: store.to_owned(),
            table: table.name.to_string(),
            action: Action::Detach,
            columns: columns.iter().map(|c| table.columns[*c].name.clone()).collect(),
            rows,
            of: of(detach.table, rows),
            via: lines.join("; "),
        });
    }
    steps
}

/// The references that lead to the rows of a table that leave; nothing for root tables.
fn via(work: &Work, closure: &Closure, table: TableId) -> String {
    if work.program.roots.contains(&table) {
        return String::new();
    }
    let visits = work.program.stages.iter().flat_map(|stage| stage.visits());
    let follows = visits.filter(|visit| visit.table == table).flat_map(|visit| &visit.follows);
    let found = |id: &ReferenceId| closure.removed.contains_key(&work.schema.reference(*id).parent);
    let lines: Vec<String> =
        follows.map(|f| f.reference).filter(found).map(|id| work.schema.describe(id)).collect();
    lines.join("; ")
}

/// Everything of a plan but its keys.
struct Bare<'a> {
    request: &'a Request<'a>,
    server: &'a Server,
    fingerprint: String,
    path: (Path, String),
    batch_rows: u64,
    steps: Vec<Step>,
    indexes: Vec<RunIndex>,
    warnings: Vec<Warning>,
}

impl Bare<'_> {
    fn plan(self, schema: &Schema, roots: &[RootSet], now: String) -> Plan {
        let chosen_by = |table: TableId| {
            let of_table = |choice: &&Choice| schema.find(&choice.table) == [table];
            let said: Vec<&str> = self
                .request
                .choices
                .iter()
                .filter(of_table)
                .map(|choice| choice.chosen_by.as_str())
                .collect();
            said.join("; ")
        };
        let roots = roots.iter().map(|set| Roots {
            store: None,
            table: schema.table(set.table).name.to_string(),
            count: 0,
            columns: set.columns.iter().map(|c| schema.table(set.table).columns[*c].name.clone()).collect(),
            chosen_by: chosen_by(set.table),
            keys: Keys::Inline(Vec::new()),
        });
        Plan {
            format: FORMAT.to_owned(),
            id: String::new(),
            digest: String::new(),
            created_at: now,
            created_by: self.request.created_by.to_owned(),
            stores: vec![PlanStore {
                store: self.request.store.to_owned(),
                kind: self.server.kind.clone(),
                url: self.request.url.to_owned(),
                server_version: self.server.version.clone(),
                schema_fingerprint: self.fingerprint,
            }],
            path: self.path.0,
            path_reason: self.path.1,
            batch_rows_max: self.request.batch_rows_max.unwrap_or(self.batch_rows),
            policy: self.request.policy.clone(),
            roots: roots.collect(),
            steps: self.steps,
            build_indexes: self.request.build_indexes,
            indexes: self.indexes,
            warnings: self.warnings,
            conflicts: Vec::new(),
            legs: Vec::new(),
            leg_of: None,
        }
    }
}
