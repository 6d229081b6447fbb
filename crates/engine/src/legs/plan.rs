//! Makes one plan over several stores: first the source, then what follows from the rows that leave there.
//!
//! Invariants
//! - a store that cannot be seen in full is a refusal of the whole plan, never a leg with fewer entries;
//! - limits count over all stores, and hold for the share of the entries of each.
//!
//! Not here: a plan over one store (`crate::plan`), the order (`core::legs`).

use super::values::{read, refuse_shared};
use super::{LegStore, kind_changed};
use crate::plan::{self, Choice, ChoiceRows, Request};
use crate::refusals::exceeds_share;
use crate::work::{self, Opened};
use std::collections::BTreeSet;
use unseed_core::entity::Overrides;
use unseed_core::fault::{Category, Fault, counted};
use unseed_core::keys::WholePlan;
use unseed_core::legs::{Place, Rule, Turn, order, united};
use unseed_core::plan::{Action, EntriesLeg, Leg, LegWork, Plan, PlanStore, RowsLeg, Step, Warning};
use unseed_core::policy::{Limits, Policy};
use unseed_core::port::clock::Clock;
use unseed_core::port::derived::{DerivedStore, Found, Need, Subjects};
use unseed_core::port::progress::Progress;
use unseed_core::port::store::Store;
use unseed_core::subjects::SubjectSet;

/// What a person asked for, over several stores.
pub struct RequestOf<'a> {
    /// The rows that are chosen, in the store that the others follow from.
    pub source: Request<'a>,
    pub overrides: &'a Overrides,
    /// Stores that come after the source, and before it.
    pub before: Vec<String>,
    pub after: Vec<String>,
}

/// A store that follows from the source.
pub struct LegRequest<'a> {
    pub name: String,
    /// Its address without any secret.
    pub address: String,
    pub before: Vec<String>,
    pub after: Vec<String>,
    pub store: LegStore<'a>,
    /// How its roots follow; none for a derived store.
    pub roots: Vec<Rule>,
    /// Its own policy; ignored for a derived store.
    pub policy: Policy,
    /// Hash of how a derived store is configured.
    pub configured: String,
}

/// What the plan says of one store.
pub(super) struct Part {
    store: PlanStore,
    leg: Leg,
    pub(super) steps: Vec<Step>,
    warnings: Vec<Warning>,
    rows: Option<WholePlan>,
}

/// Makes a plan over the source and the stores that follow from it.
///
/// # Errors
/// A usage fault for unknown entities, columns and rings in the order; `Refused` for a store that cannot be seen, a
/// limit, a protected row, a value that also a row that stays has.
pub async fn make(
    (source, clock, progress): (&mut dyn Store, &dyn Clock, &dyn Progress),
    request: &RequestOf<'_>,
    mut legs: Vec<LegRequest<'_>>,
) -> Result<WholePlan, Fault> {
    let order = order(&places(request, &legs))?;
    let first = plan::make(source, clock, progress, &request.source).await?;
    let opened = work::open(source, first.plan()).await?;
    let roots = first.root_sets(&opened.work.schema)?;
    let needs = needs(&legs);
    let set = read(source, &opened, &roots, (needs, request.overrides)).await?;
    let mut parts = vec![of_source(request, &first)];
    for leg in &mut legs {
        let made = part(leg, &set, (clock, progress), request).await;
        parts.extend(made.map_err(|fault| unseen(&leg.name, fault))?);
    }
    sort(&mut parts, &order);
    limit(&parts, &request.source.policy.limits)?;
    Ok(joined(&first, &opened, parts))
}

fn places(request: &RequestOf<'_>, legs: &[LegRequest<'_>]) -> Vec<Place> {
    let turn = |leg: &LegRequest<'_>| match leg.store {
        LegStore::Entries(_) => Turn::Entries,
        LegStore::Rows(_) => Turn::Rows,
    };
    let place = |leg: &LegRequest<'_>| Place {
        store: leg.name.clone(),
        turn: turn(leg),
        before: leg.before.clone(),
        after: leg.after.clone(),
    };
    let mut places: Vec<Place> = legs.iter().map(place).collect();
    places.push(Place {
        store: request.source.store.to_owned(),
        turn: Turn::Source,
        before: request.before.clone(),
        after: request.after.clone(),
    });
    places
}

/// All that the legs are searched by.
pub(super) fn needs(legs: &[LegRequest<'_>]) -> Vec<Need> {
    let mut all = Vec::new();
    for leg in legs {
        all.extend(leg.roots.iter().map(|rule| rule.need.clone()));
        if let LegStore::Entries(store) = &leg.store {
            all.extend(store.needs());
            all.extend(store.distinct());
        }
    }
    united(&all)
}

/// A store that fails while it is planned for was not seen, which is a refusal.
pub(super) fn unseen(name: &str, fault: Fault) -> Fault {
    if fault.category != Category::Store {
        return fault;
    }
    let hint =
        if fault.hint.is_empty() { "mend the cause, then plan again".to_owned() } else { fault.hint.clone() };
    let mut refused =
        Fault::refused(format!("store `{name}` cannot be seen in full: {}", fault.message)).hint(hint);
    refused.details = fault.details;
    refused
}

fn of_source(request: &RequestOf<'_>, first: &WholePlan) -> Part {
    let name = request.source.store.to_owned();
    rows_part(first.clone(), &name, Vec::new(), None)
}

fn rows_part(whole: WholePlan, name: &str, follows: Vec<String>, tagged: Option<&str>) -> Part {
    let plan = whole.plan().clone();
    let tag = |warning: &Warning| Warning { store: tagged.map(str::to_owned), ..warning.clone() };
    Part {
        store: plan.stores[0].clone(),
        leg: Leg {
            store: name.to_owned(),
            work: LegWork::Rows(Box::new(RowsLeg {
                path: plan.path,
                path_reason: plan.path_reason,
                batch_rows_max: plan.batch_rows_max,
                // Hooks run around the whole of the plan.
                policy: Policy { hooks: Vec::new(), ..plan.policy },
                follows,
            })),
        },
        steps: plan.steps,
        warnings: plan.warnings.iter().map(tag).collect(),
        rows: Some(whole),
    }
}

/// What the plan says of one store; `None` where nothing follows to it.
pub(super) async fn part(
    leg: &mut LegRequest<'_>,
    set: &SubjectSet,
    (clock, progress): (&dyn Clock, &dyn Progress),
    request: &RequestOf<'_>,
) -> Result<Option<Part>, Fault> {
    match &mut leg.store {
        LegStore::Entries(store) => {
            let about = About { name: &leg.name, address: &leg.address, configured: &leg.configured };
            entries(&mut **store, &about, set, progress).await.map(Some)
        }
        LegStore::Rows(store) => {
            progress.note(&format!("following to store `{}`", leg.name));
            for rule in &leg.roots {
                refuse_shared(set, &leg.name, std::slice::from_ref(&rule.need))?;
            }
            let choices: Result<Vec<Choice>, Fault> =
                leg.roots.iter().map(|rule| choice(rule, set)).collect();
            let wanted = Request {
                store: &leg.name,
                url: &leg.address,
                choices: choices?,
                policy: &leg.policy,
                path: None,
                batch_rows_max: request.source.batch_rows_max,
                build_indexes: request.source.build_indexes,
                created_by: request.source.created_by,
            };
            let made = plan::make_if_any(&mut **store, clock, progress, &wanted).await?;
            let follows = leg.roots.iter().map(|rule| rule.text.clone()).collect();
            Ok(made.map(|whole| rows_part(whole, &leg.name, follows, Some(&leg.name))))
        }
    }
}

/// Roots of another store whose keys are values of the rows that leave.
fn choice(rule: &Rule, set: &SubjectSet) -> Result<Choice, Fault> {
    let mut keys = BTreeSet::new();
    set.doomed(&rule.need, &mut |values| {
        if let Some(value) = values.first().copied().flatten().filter(|value| !value.is_empty()) {
            keys.insert(if rule.lower { value.to_lowercase() } else { value.to_owned() });
        }
        Ok(())
    })?;
    let keys = keys.iter().map(|key| vec![key]).collect();
    Ok(Choice {
        table: rule.table.clone(),
        rows: ChoiceRows::Keys { columns: vec![rule.column.clone()], keys },
        chosen_by: rule.text.clone(),
    })
}

struct About<'a> {
    name: &'a str,
    address: &'a str,
    configured: &'a str,
}

async fn entries(
    store: &mut dyn DerivedStore,
    about: &About<'_>,
    set: &SubjectSet,
    progress: &dyn Progress,
) -> Result<Part, Fault> {
    let server = store.inspect().await?;
    if server.read_only {
        return Err(Fault::refused(format!("store `{}` can only be read", about.name))
            .hint("connect to it as somebody who may write"));
    }
    refuse_shared(set, about.name, &store.distinct())?;
    let found = store.find(set, progress).await?;
    let needed = united(&store.needs());
    let is_needed = |entity: &str| needed.iter().any(|need| need.entity == entity);
    let subjects = set.sums().into_iter().filter(|sum| is_needed(&sum.entity)).collect();
    Ok(Part {
        store: PlanStore {
            store: about.name.to_owned(),
            kind: server.kind,
            url: about.address.to_owned(),
            server_version: server.version,
            schema_fingerprint: about.configured.to_owned(),
        },
        leg: Leg {
            store: about.name.to_owned(),
            work: LegWork::Entries(EntriesLeg { seen: found.seen, subjects, says: store.explain() }),
        },
        steps: clear_steps(about.name, &found),
        warnings: warnings(about.name, &found),
        rows: None,
    })
}

/// One step per pattern that found something.
pub(super) fn clear_steps(store: &str, found: &Found) -> Vec<Step> {
    let step = |(pattern, entries): (&String, &u64)| Step {
        store: store.to_owned(),
        table: pattern.clone(),
        action: Action::Clear,
        columns: Vec::new(),
        rows: *entries,
        of: found.seen,
        via: String::new(),
    };
    found.doomed.iter().filter(|(_, entries)| **entries > 0).map(step).collect()
}

fn warnings(name: &str, found: &Found) -> Vec<Warning> {
    let warning = |id: &str, says: String| Warning {
        store: Some(name.to_owned()),
        id: id.to_owned(),
        table: name.to_owned(),
        says,
        estimate_s: None,
    };
    let orphaned: u64 = found.orphaned.values().sum();
    let mut all = Vec::new();
    if orphaned > 0 {
        let says = format!("{} fit a pattern and belong to no row; they stay", entries_text(orphaned));
        all.push(warning("orphaned-entries", says));
    }
    if found.ambiguous > 0 {
        let says =
            format!("{} could also be of a row that stays, so they stay", entries_text(found.ambiguous));
        all.push(warning("ambiguous-entries", says));
    }
    if found.skipped > 0 {
        let says =
            format!("{} of rows that leave are too short to be looked for", counted(found.skipped, "value"));
        all.push(warning("skipped-values", says));
    }
    all
}

/// `1 entry`, `2 entries`.
pub(super) fn entries_text(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn sort(parts: &mut [Part], order: &[String]) {
    parts.sort_by_key(|part| order.iter().position(|name| *name == part.leg.store));
}

fn limit(parts: &[Part], limits: &Limits) -> Result<(), Fault> {
    let leaving = |part: &Part| -> u64 {
        part.steps.iter().filter(|step| step.action != Action::Detach).map(|step| step.rows).sum()
    };
    let total: u64 = parts.iter().map(leaving).sum();
    if total > limits.max_rows {
        let message = format!(
            "{} would leave over all stores, the limit is {}",
            counted(total, "row"),
            limits.max_rows
        );
        return Err(Fault::refused(message).hint("choose fewer roots, or raise `max_rows` in `[limits]`"));
    }
    for part in parts {
        if let LegWork::Entries(leg) = &part.leg.work {
            refuse_share(&part.leg.store, leaving(part), leg.seen, limits)?;
        }
    }
    Ok(())
}

/// Refuses to clear more than the allowed share of a store.
pub(super) fn refuse_share(store: &str, leaving: u64, seen: u64, limits: &Limits) -> Result<(), Fault> {
    let share = limits.max_share_of_table;
    if !exceeds_share(leaving, seen, share) {
        return Ok(());
    }
    let message = format!(
        "{leaving} of {} of store `{store}` would leave, the limit is a share of {share}",
        entries_text(seen)
    );
    Err(Fault::refused(message).hint("check the patterns, or raise `max_share_of_table` in `[limits]`"))
}

fn joined(first: &WholePlan, opened: &Opened, parts: Vec<Part>) -> WholePlan {
    let source = first.plan().stores[0].store.clone();
    assert_eq!(
        first.plan().stores[0].schema_fingerprint,
        opened.fingerprint,
        "the schema was read a moment ago"
    );
    let mut stores: Vec<PlanStore> = parts.iter().map(|part| part.store.clone()).collect();
    stores.sort_by_key(|store| store.store != source);
    let plan = Plan {
        id: String::new(),
        digest: String::new(),
        stores,
        steps: parts.iter().flat_map(|part| part.steps.clone()).collect(),
        warnings: parts.iter().flat_map(|part| part.warnings.clone()).collect(),
        legs: parts.iter().map(|part| part.leg.clone()).collect(),
        ..first.plan().clone()
    };
    let rows = parts.into_iter().filter_map(|part| {
        let store = Some(part.leg.store).filter(|name| *name != source);
        Some((store, part.rows?))
    });
    WholePlan::join(plan, rows.collect())
}

/// Compares a derived store with what the plan says of it.
pub(super) fn same_store(planned: &PlanStore, kind: &str) -> Result<(), Fault> {
    if planned.kind == kind { Ok(()) } else { Err(kind_changed(&planned.store)) }
}
