//! Sees every store of a plan before anything is removed, and keeps the values that entries are found by.
//!
//! Invariants
//! - until every store was seen and the values are durable, nothing is removed anywhere;
//! - values that grew old while the run waited are compared with the rows of now before they are used again;
//! - where time passed, the stores of rows in which nothing was removed yet are compared with the plan again.
//!
//! Not here: reading the values (`values`), the legs (`ordered`).

use super::entries::{Entries, refuse_grown};
use super::ordered::Stopped;
use super::purge::Agreed;
use super::values::{keep, kept, of_source, refuse_shared, with_rest};
use super::{LegStore, Legs, kind_changed};
use crate::batches::refuse_stale;
use crate::plan::CONFLICTS_DESCRIBED_MAX;
use crate::refusals::{check_limits, refuse_conflicts, wide};
use crate::report::RunReport;
use crate::work::{self, Opened};
use std::collections::BTreeMap;
use unseed_core::archive::{FORMAT as ARCHIVE_FORMAT, Manifest};
use unseed_core::entity::Overrides;
use unseed_core::fault::{Category, Fault};
use unseed_core::keys::WholePlan;
use unseed_core::plan::{LegWork, Plan};
use unseed_core::port::store::{CloseRequest, Server};
use unseed_core::run::RunState;
use unseed_core::subjects::SubjectSet;

/// Values of rows that stay are as of now for this long, in milliseconds.
const FRESH_MS_MAX: u64 = 5_000;

/// The values that entries are found by.
pub(super) struct Known {
    /// `None` until this process has read those that an earlier one kept.
    set: Option<SubjectSet>,
    read_at_ms: u64,
    /// The run waited, or removed rows, since they were read.
    has_moved: bool,
}

impl Known {
    fn read(set: SubjectSet, now_ms: u64) -> Self {
        Self { set: Some(set), read_at_ms: now_ms, has_moved: false }
    }

    /// Notes that time passed without anybody looking at the rows that stay.
    pub(super) fn moved(&mut self) {
        self.has_moved = true;
    }

    /// From when on they are old.
    pub(super) fn old_from_ms(&self) -> u64 {
        self.read_at_ms.saturating_add(FRESH_MS_MAX)
    }

    /// Whether others may have changed what was seen.
    pub(super) fn is_old(&self, cx: &Legs<'_>) -> bool {
        self.set.is_none() || (self.has_moved && cx.clock.monotonic_ms() >= self.old_from_ms())
    }

    /// Where what was seen is old: compares the stores with the plan again, then reads the values of rows that stay, and
    /// all of them where nothing is known. A fault of another store than the one at work names it.
    pub(super) async fn refresh(
        &mut self,
        cx: &mut Legs<'_>,
        agreed: &Agreed<'_>,
        (id, overrides, at_work): (&str, &Overrides, &str),
    ) -> Result<(), Stopped> {
        if !self.is_old(cx) {
            return Ok(());
        }
        whole_stores(cx, agreed.whole(), (id, at_work)).await?;
        let read = match self.set.take() {
            None => again(cx, agreed, (id, overrides)).await,
            Some(set) => with_rest(cx, agreed.whole(), (id, overrides), set).await,
        };
        let set = read.map_err(|fault| (Some(at_work.to_owned()), fault))?;
        *self = Self::read(set, cx.clock.monotonic_ms());
        Ok(())
    }

    /// The values, once they were read.
    pub(super) fn subjects(&self) -> &SubjectSet {
        self.set.as_ref().expect("the values were read before")
    }
}

/// Compares the stores that are not done with the plan, without looking for anything in them.
pub(super) async fn stores(cx: &mut Legs<'_>, whole: &WholePlan, id: &str) -> Result<(), Stopped> {
    let plan = whole.plan();
    let done = super::ordered::done(cx, id).map_err(|fault| (None, fault))?;
    for (position, leg) in plan.legs.iter().enumerate().filter(|(position, _)| !done[*position]) {
        let in_leg = |fault| (Some(leg.store.clone()), fault);
        match leg.work {
            LegWork::Rows(_) => {
                let single = whole.leg(&leg.store).ok_or_else(|| in_leg(kind_changed(&leg.store)))?;
                open(cx, single.plan(), &leg.store).await.map_err(in_leg)?;
            }
            LegWork::Entries(_) => {
                let mut entries = Entries::of(cx, plan, id, position).map_err(in_leg)?;
                entries.open().await.map_err(in_leg)?;
            }
        }
    }
    Ok(())
}

/// Compares the stores of rows in which nothing was removed yet with the plan, but for the one at work, which does that
/// itself: what became somebody else's since leaves from no store.
pub(super) async fn whole_stores(
    cx: &mut Legs<'_>,
    whole: &WholePlan,
    (id, at_work): (&str, &str),
) -> Result<(), Stopped> {
    let report = cx.report(id).map_err(|fault| (None, fault))?;
    for (leg, kept) in whole.plan().legs.iter().zip(&report.legs) {
        let is_rows = matches!(leg.work, LegWork::Rows(_));
        let is_whole = kept.state.is_none_or(|state| state == RunState::Failed);
        if is_rows && is_whole && leg.store != at_work {
            look(cx, whole, &leg.store).await.map_err(|fault| (Some(leg.store.clone()), fault))?;
        }
    }
    Ok(())
}

/// Sees every store, and keeps the values durably, before anything is removed. Nothing is known where an earlier process
/// did that, and perhaps removed the rows.
pub(super) async fn values(
    cx: &mut Legs<'_>,
    agreed: &Agreed<'_>,
    (id, overrides): (&str, &Overrides),
) -> Result<Known, Stopped> {
    let nowhere = |fault| (None, fault);
    let whole = agreed.whole();
    let plan = whole.plan();
    let report = cx.report(id).map_err(nowhere)?;
    if report.subjects.is_some() {
        return Ok(Known { set: None, read_at_ms: 0, has_moved: false });
    }
    for leg in plan.legs.iter().filter(|leg| matches!(leg.work, LegWork::Rows(_))) {
        let in_leg = |fault| (Some(leg.store.clone()), fault);
        cx.admit(id, &leg.store).await.map_err(in_leg)?;
        look(cx, whole, &leg.store).await.map_err(in_leg)?;
    }
    let source = super::source(plan).to_owned();
    let in_source = |fault| (Some(source.clone()), fault);
    cx.admit(id, &source).await.map_err(in_source)?;
    let set = of_source(cx, whole, overrides).await.map_err(in_source)?;
    refuse_grown(plan, &set.sums()).map_err(in_source)?;
    let mut known = Known::read(set, cx.clock.monotonic_ms());
    for (position, leg) in plan.legs.iter().enumerate() {
        let in_leg = |fault| (Some(leg.store.clone()), fault);
        if matches!(leg.work, LegWork::Entries(_)) {
            known.has_moved |= cx.admit(id, &leg.store).await.map_err(in_leg)? > 0;
            known.refresh(cx, agreed, (id, overrides, &leg.store)).await?;
            let set = known.subjects();
            unshared(cx, set, &leg.store).map_err(in_leg)?;
            Entries::of(cx, plan, id, position).map_err(in_leg)?.look(set).await.map_err(in_leg)?;
        }
    }
    keep_values(cx, whole, (id, &known)).map_err(nowhere)?;
    // Looking at all entries may have taken long.
    known.moved();
    Ok(known)
}

fn keep_values(cx: &mut Legs<'_>, whole: &WholePlan, (id, known): (&str, &Known)) -> Result<(), Fault> {
    let kept = keep(cx, id, known.subjects())?;
    // Waits were added to it meanwhile.
    let mut report = cx.report(id)?;
    report.subjects = Some(kept);
    publish(cx, whole, &report)?;
    cx.state.update_run(id, RunState::Running, &report.to_json())
}

/// Refuses values that a row that stays has too, where a store could not tell whose an entry is.
pub(super) fn unshared(cx: &Legs<'_>, set: &SubjectSet, store: &str) -> Result<(), Fault> {
    match &cx.ports[cx.position(store)?].store {
        LegStore::Entries(entries) => refuse_shared(set, store, &entries.distinct()),
        LegStore::Rows(_) => Err(kind_changed(store)),
    }
}

/// The values that were kept, and of the rows that stay those of now.
async fn again(
    cx: &mut Legs<'_>,
    agreed: &Agreed<'_>,
    (id, overrides): (&str, &Overrides),
) -> Result<SubjectSet, Fault> {
    let report = cx.report(id)?;
    let sums = report.subjects.ok_or_else(|| Fault::store(format!("run `{id}` kept no values")))?;
    let leaving = kept(cx, id, &sums)?;
    with_rest(cx, agreed.whole(), (id, overrides), leaving).await
}

/// Connects to a store of rows, and compares it with its part of the plan.
async fn open(cx: &mut Legs<'_>, plan: &Plan, name: &str) -> Result<Opened, Fault> {
    let position = cx.position(name)?;
    let LegStore::Rows(store) = &mut cx.ports[position].store else { return Err(kind_changed(name)) };
    let opened = work::open(&mut **store, plan).await?;
    work::same_schema(&opened, plan)?;
    work::full_view(&opened.work)?;
    Ok(opened)
}

/// Compares a store of rows with its part of the plan: schema, roots, limits, protected rows.
async fn look(cx: &mut Legs<'_>, whole: &WholePlan, name: &str) -> Result<(), Fault> {
    let leg = whole.leg(name).ok_or_else(|| kind_changed(name))?;
    let plan = leg.plan();
    let opened = open(cx, plan, name).await?;
    let (position, progress) = (cx.position(name)?, cx.progress);
    let LegStore::Rows(store) = &mut cx.ports[position].store else { return Err(kind_changed(name)) };
    let roots = leg.root_sets(&opened.work.schema)?;
    let request = CloseRequest { roots: &roots, roots_per_tag: 1, check_versions: true, count_only: true };
    let closure = store.close(&opened.work, &request, progress).await?;
    refuse_stale(&closure)?;
    let (planned, limits) = (plan.rows_deleted(), &plan.policy.limits);
    let drift = closure.rows().abs_diff(planned);
    if drift > limits.max_drift_rows && wide(drift) > limits.max_drift_share * wide(planned) {
        let message =
            format!("{} rows of store `{name}` would leave, planned were {planned}", closure.rows());
        return Err(Fault::new(Category::Stale, message)
            .hint("make a new plan with `unseed plan` and look at it again"));
    }
    check_limits(&opened.work.schema, &plan.policy, &closure, &BTreeMap::new(), &[])?;
    refuse_conflicts(&store.conflicts(&opened.work, CONFLICTS_DESCRIBED_MAX).await?)
}

/// Puts the whole plan beside the archives of the legs.
fn publish(cx: &mut Legs<'_>, whole: &WholePlan, report: &RunReport) -> Result<(), Fault> {
    let plan = whole.plan();
    let source = &plan.stores[0];
    let manifest = Manifest {
        format: ARCHIVE_FORMAT.to_owned(),
        run: report.run.clone(),
        plan: plan.id.clone(),
        plan_digest: plan.digest.clone(),
        owner: cx.actor.to_owned(),
        created_at: report.started_at.clone(),
        server: Server {
            kind: source.kind.clone(),
            version: source.server_version.clone(),
            location: source.url.clone(),
            may_skip_checks: false,
            read_only: false,
        },
        schema_fingerprint: source.schema_fingerprint.clone(),
        recipients: report.recipients.clone(),
        batches: Vec::new(),
    };
    let text = serde_json::to_string_pretty(plan).expect("plain data can always be JSON");
    cx.archive.publish(&manifest, &[("plan.json".to_owned(), text)], &whole.files())
}
