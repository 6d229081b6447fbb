//! The batches of a purge: archive, make durable, remove, prove, commit, each with its journal entry.
//!
//! Invariants
//! - the number of a batch is journaled before its segment is begun, so whoever goes on with the run never writes
//!   or discards a segment of a process that only stood still;
//! - nothing is removed before the segment of its batch is durable and journaled;
//! - the journal says `Committing`, with the store's token, before the commit is sent;
//! - a batch that found changed rows leaves nothing behind: no rows removed, no segment, its number is spent;
//! - before every closure the remaining roots are compared with their planned versions.
//!
//! Not here: what is measured before and after (`session`), settling what a crash left (`settle`).

use crate::ahead::{self, Ahead, Segment};
use crate::plan::CONFLICTS_DESCRIBED_MAX;
use crate::positions::{Remaining, select};
use crate::refusals::{check_limits, refuse_conflicts, wide};
use crate::session::{Session, by_name};
use crate::{indexes, pace};
use std::collections::BTreeMap;
use unseed_core::archive::Part;
use unseed_core::batch::{self, Batch, Packer};
use unseed_core::fault::{Category, Fault, counted, listed};
use unseed_core::plan::Action;
use unseed_core::port::store::{
    ArchiveSink, Archived, CloseRequest, Closure, Outcome, Removal, Removed, SectionHead, TagRange,
};
use unseed_core::run::{BatchRecord, BatchState, RunState};

/// Why batches ended before the last one.
pub(crate) struct Stop {
    pub(crate) cause: Fault,
    /// Number of a batch whose commit was cut off.
    pub(crate) unsettled: Option<u64>,
    /// Between two batches, so that none was rolled back.
    pub(crate) between: bool,
}

impl Stop {
    /// Ends a run between two batches.
    pub(crate) fn between(cause: Fault) -> Self {
        Self { cause, unsettled: None, between: true }
    }

    fn unsettled(cause: Fault, number: u64) -> Self {
        Self { cause, unsettled: Some(number), between: false }
    }
}

impl From<Fault> for Stop {
    fn from(cause: Fault) -> Self {
        Self { cause, unsettled: None, between: false }
    }
}

/// How a batch ended.
enum Ended {
    /// After it held its locks for so many milliseconds.
    Committed {
        held_ms: u64,
    },
    Changed(String),
}

/// Where a batch failed: before its commit was sent nothing can have happened.
enum Failed {
    BeforeCommit(Fault),
    InCommit(Fault),
}

impl From<Fault> for Failed {
    fn from(cause: Fault) -> Self {
        Self::BeforeCommit(cause)
    }
}

/// Measures what is there before, as often as somebody is in the way.
pub(crate) async fn baseline(session: &mut Session<'_, '_>) -> Result<(), Fault> {
    let patience = session.cx.patience;
    let mut attempts = 0;
    loop {
        attempts += 1;
        match session.baseline().await {
            Err(fault) if fault.transient && attempts < patience.attempts_max => {
                session.cx.progress.note(&format!("{fault}; trying again"));
                patience.pause(attempts).await;
            }
            Err(fault) if fault.transient => return Err(Again::InTheWay(fault).given_up(attempts)),
            ended => return ended,
        }
    }
}

/// Removes everything that is left, closing again as often as rows change or somebody else is in the way.
pub(crate) async fn run_all(session: &mut Session<'_, '_>) -> Result<(), Stop> {
    indexes::build(session).await?;
    let mut failed_attempts = 0;
    loop {
        let remaining = session.remaining();
        if remaining.is_empty() {
            return Ok(session.keep_baseline().await?);
        }
        pace::admit(session, &mut None).await?;
        let done_before = session.committed_count();
        let again = match one_pass(session, &remaining).await {
            Ok(None) => continue,
            Ok(Some(reason)) => Again::Changed(reason),
            Err(stop) if stop.cause.transient && stop.unsettled.is_none() => Again::InTheWay(stop.cause),
            Err(stop) => return Err(stop),
        };
        session.report.retries += 1;
        failed_attempts = if session.committed_count() > done_before { 1 } else { failed_attempts + 1 };
        if failed_attempts >= session.cx.patience.attempts_max {
            return Err(again.given_up(failed_attempts).into());
        }
        session.cx.progress.note(&format!("{}; closing again", again.reason()));
        session.cx.patience.pause(failed_attempts).await;
    }
}

/// Why a pass has to be done again.
enum Again {
    /// Rows are not what they were.
    Changed(String),
    /// A lock, a deadlock, a limit of time: nothing of the rows is wrong.
    InTheWay(Fault),
}

impl Again {
    fn reason(&self) -> String {
        match self {
            Self::Changed(reason) => reason.clone(),
            Self::InTheWay(fault) if fault.details.is_empty() => fault.message.clone(),
            Self::InTheWay(fault) => format!("{} ({})", fault.message, fault.details.join("; ")),
        }
    }

    fn given_up(self, attempts: u64) -> Fault {
        match self {
            Self::Changed(reason) => {
                Fault::store(format!("rows kept changing during {attempts} attempts: {reason}"))
                    .hint("wait until the rows are at rest")
            }
            Self::InTheWay(mut fault) => {
                fault.message = format!("{} failed: {}", counted(attempts, "attempt"), fault.message);
                fault
            }
        }
    }
}

/// Closes over the remaining roots and removes batch by batch; returns why the closure is out of date.
async fn one_pass(session: &mut Session<'_, '_>, remaining: &Remaining) -> Result<Option<String>, Stop> {
    let plan = session.whole.plan();
    let batch_rows_max = session.pace.throttle().batch_rows_max(plan.batch_rows_max);
    let per_tag = batch::roots_per_tag(plan.root_count(), plan.rows_deleted(), batch_rows_max);
    let mut packer = close(session, remaining, per_tag).await?;
    let leaving = |batch: Batch| Leaving { tags: batch.tags, roots: remaining.ranges(batch.tags, per_tag) };
    let mut ahead = None;
    let ended = in_turn(session, &mut packer, &leaving, &mut ahead).await;
    match (ahead, ended) {
        (None, ended) => ended,
        (Some(ahead), Ok(ended)) => Ok(ahead.discard(session).await.map(|()| ended)?),
        (Some(ahead), Err(mut stop)) => {
            if let Err(second) = ahead.discard(session).await {
                stop.cause = stop.cause.detail(format!("while discarding the next batch: {second}"));
            }
            Err(stop)
        }
    }
}

/// What leaves with one batch.
pub(crate) struct Leaving {
    pub(crate) tags: TagRange,
    pub(crate) roots: Vec<(u64, u64)>,
}

/// Takes the number of a batch and journals that: one that was taken before and not used, or the next one.
pub(crate) fn take_number(session: &mut Session<'_, '_>, batch: &Leaving) -> Result<BatchRecord, Fault> {
    let unused = session.batches.iter().find(|known| known.state == BatchState::Begun);
    let next = || session.batches.iter().map(|known| known.number).max().unwrap_or(0) + 1;
    let record = BatchRecord {
        number: unused.map_or_else(next, |unused| unused.number),
        state: BatchState::Begun,
        tags: batch.tags,
        roots: batch.roots.clone(),
        segment: String::new(),
        segment_hash: String::new(),
        token: String::new(),
        removed: Removed::default(),
    };
    session.put_batch(&record)?;
    Ok(record)
}

/// Removes batch by batch; `ahead` is the segment of the next one, if it was begun.
async fn in_turn(
    session: &mut Session<'_, '_>,
    packer: &mut Packer,
    leaving: &(dyn Fn(Batch) -> Leaving + Sync),
    ahead: &mut Option<Ahead>,
) -> Result<Option<String>, Stop> {
    let mut reads_ahead = session.pace.throttle().archives_ahead;
    let mut following = packer.next().map(leaving);
    while let Some(batch) = following.take() {
        pace::admit(session, ahead).await?;
        let begun_ms = session.cx.clock.monotonic_ms();
        following = packer.next().map(leaving);
        let next = following.as_ref().filter(|_| reads_ahead);
        match one_batch(session, &batch, next, ahead).await? {
            Ended::Committed { held_ms } => {
                reads_ahead &= next.is_none() || ahead.is_some();
                let rows = session.committed().last().map_or(0, |batch| batch.removed.rows());
                session.pace.removed(begun_ms, rows);
                packer.learn(rows, held_ms);
                let left = packer.batches_left() + u64::from(following.is_some());
                session.report.batches.total = session.committed_count() + left;
            }
            Ended::Changed(reason) => return Ok(Some(reason)),
        }
    }
    Ok(None)
}

/// Computes the closure, compares it with the plan, and packs it.
async fn close(
    session: &mut Session<'_, '_>,
    remaining: &Remaining,
    roots_per_tag: u64,
) -> Result<Packer, Fault> {
    let begun = session.cx.clock.monotonic_ms();
    session.begin_fingerprints().await?;
    let request =
        CloseRequest { roots: &remaining.sets, roots_per_tag, check_versions: true, count_only: false };
    let closure = session.cx.store.close(&session.work, &request, session.cx.progress).await?;
    refuse_stale(&closure).map_err(|fault| session.perhaps_behind(fault))?;
    check_drift(session, &closure)?;
    refuse_conflicts(&session.cx.store.conflicts(&session.work, CONFLICTS_DESCRIBED_MAX).await?)?;
    let tags = session.cx.store.tags(&session.work).await?;
    let batch_rows_max = session.pace.throttle().batch_rows_max(session.whole.plan().batch_rows_max);
    let packer = Packer::new(&tags, batch_rows_max);
    if packer.batches_left() == 0 {
        let message = format!("the store found no rows for {} that remain", counted(remaining.len(), "root"));
        return Err(Fault::store(message));
    }
    session.report.batches.total = session.committed_count() + packer.batches_left();
    session.report.timings.close_ms += session.cx.clock.monotonic_ms().saturating_sub(begun);
    session.keep_baseline().await?;
    session.keep(RunState::Running)?;
    Ok(packer)
}

/// Refuses roots that are not what they were.
pub(crate) fn refuse_stale(closure: &Closure) -> Result<(), Fault> {
    const NAMED_MAX: usize = 20;
    if closure.stale.is_empty() {
        return Ok(());
    }
    let are = if closure.stale.len() == 1 { "is not what it was" } else { "are not what they were" };
    let message = format!("{} {are} when the plan was made", listed(&closure.stale, "root"));
    let mut fault =
        Fault::new(Category::Stale, message).hint("look at them and make a new plan with `unseed plan`");
    fault.details = closure.stale.iter().take(NAMED_MAX).cloned().collect();
    Err(fault)
}

/// Compares what has been removed and what would be removed with what was planned.
fn check_drift(session: &Session<'_, '_>, closure: &Closure) -> Result<(), Fault> {
    let plan = session.whole.plan();
    let mut difference: BTreeMap<(String, bool), (u64, u64)> = BTreeMap::new();
    for step in &plan.steps {
        difference.entry((step.table.clone(), step.action == Action::Delete)).or_default().0 += step.rows;
    }
    let mut found = |rows: &BTreeMap<_, u64>, deleted: bool| {
        for (table, rows) in by_name(&session.work, rows) {
            difference.entry((table, deleted)).or_default().1 += rows;
        }
    };
    found(&closure.removed, true);
    found(&closure.detached_rows, false);
    for batch in session.committed() {
        found(&batch.removed.removed, true);
        found(&batch.removed.detached, false);
    }
    let planned: u64 = plan.steps.iter().map(|step| step.rows).sum();
    let drift: u64 = difference.values().map(|(planned, found)| planned.abs_diff(*found)).sum();
    let limits = &plan.policy.limits;
    if drift > limits.max_drift_rows && wide(drift) > limits.max_drift_share * wide(planned) {
        let message = format!(
            "{drift} rows differ from the {planned} planned ones, the limit is {} or a share of {}",
            counted(limits.max_drift_rows, "row"),
            limits.max_drift_share
        );
        let mut fault = Fault::new(Category::Stale, message)
            .hint("make a new plan with `unseed plan` and look at it again");
        for ((table, _), (planned, found)) in
            difference.iter().filter(|(_, (planned, found))| planned != found)
        {
            fault = fault.detail(format!("`{table}`: {planned} rows planned, {found} found"));
        }
        return Err(fault);
    }
    let no_counts = BTreeMap::new();
    check_limits(&session.work.schema, &plan.policy, closure, &no_counts, &[])
}

/// One batch from its archive to its commit.
async fn one_batch(
    session: &mut Session<'_, '_>,
    batch: &Leaving,
    next: Option<&Leaving>,
    ahead: &mut Option<Ahead>,
) -> Result<Ended, Stop> {
    let mut record = match ahead {
        Some(begun) => begun.record().clone(),
        None => take_number(session, batch)?,
    };
    let number = record.number;
    let object = format!("{}/{number}", session.run);
    session.audit("purge.batch", &object, "started")?;
    let ended = match attempt(session, &mut record, next, ahead).await {
        Ok(ended) => ended,
        Err(Failed::BeforeCommit(cause)) => return Err(roll_back(session, &mut record, cause).await),
        Err(Failed::InCommit(cause)) => return Err(cut_off(session, &mut record, cause).await),
    };
    match &ended {
        Ended::Committed { .. } => {
            record.state = BatchState::Committed;
            let unsettled = |cause| Stop::unsettled(cause, number);
            // The log first: what the journal calls settled is not looked at again after a crash.
            session.audit("purge.batch", &object, "committed").map_err(unsettled)?;
            session.put_batch(&record).map_err(unsettled)?;
            let rows: u64 = session.committed().flat_map(|b| b.removed.removed.values()).sum();
            session.cx.progress.update("remove", rows, Some(session.whole.plan().rows_deleted()));
        }
        Ended::Changed(reason) => {
            discard(session, &mut record, &format!("rolled back: {reason}"))?;
        }
    }
    Ok(ended)
}

async fn attempt(
    session: &mut Session<'_, '_>,
    record: &mut BatchRecord,
    next: Option<&Leaving>,
    ahead: &mut Option<Ahead>,
) -> Result<Ended, Failed> {
    let segment = match ahead.take() {
        Some(begun) => begun.segment().await?,
        None => archive(session, record).await?,
    };
    session.report.timings.archive_ms += segment.took_ms;
    let Segment { mut writer, archived, folder, hash, took_ms } = segment;
    (record.segment, record.segment_hash) = (folder, hash);
    record.state = BatchState::Archived;
    check_segment(session, record, &archived)?;
    if let Some(next) = next {
        *ahead = ahead::begin(session, next).await?;
    }
    let begun = session.cx.clock.monotonic_ms();
    let mut sink = Watched { inner: writer.sink(), sections: 0 };
    let removal = session.cx.store.remove(&session.work, record.tags, &archived, &mut sink).await?;
    let effects = sink.sections > 0;
    let removed = match removal {
        Removal::Proven(removed) => removed,
        Removal::Changed(reason) => return Ok(Ended::Changed(reason)),
    };
    if effects {
        (record.segment, record.segment_hash) = writer.finish()?;
    }
    record.token.clone_from(&removed.token);
    record.removed = removed;
    record.removed.name_tables(&session.work.schema);
    record.state = BatchState::Committing;
    session.put_batch(record)?;
    session.cx.store.commit().await.map_err(Failed::InCommit)?;
    let removed_ms = session.cx.clock.monotonic_ms().saturating_sub(begun);
    session.report.timings.remove_ms += removed_ms;
    let locked_ms = if archived.is_locked { took_ms } else { 0 };
    Ok(Ended::Committed { held_ms: removed_ms + locked_ms })
}

/// Writes the segment of a batch in its turn.
async fn archive(session: &mut Session<'_, '_>, record: &BatchRecord) -> Result<Segment, Fault> {
    let begun = session.cx.clock.monotonic_ms();
    let mut writer = session.cx.archive.begin_batch(&session.run, record.number)?;
    let archived = session.cx.store.archive(&session.work, record.tags, writer.sink()).await?;
    let (folder, hash) = writer.finish()?;
    let took_ms = session.cx.clock.monotonic_ms().saturating_sub(begun);
    Ok(Segment { writer, archived, folder, hash, took_ms })
}

/// Compares the segment with what the store says it wrote, and journals it.
fn check_segment(
    session: &mut Session<'_, '_>,
    record: &BatchRecord,
    archived: &Archived,
) -> Result<(), Fault> {
    let manifest = session.cx.archive.batch(&session.run, record.number, &record.segment_hash)?;
    let written = rows_by_table(&manifest.parts);
    if written != by_name(&session.work, &archived.removed) {
        let message =
            format!("the archive of batch {} does not hold the rows that the store sent", record.number);
        return Err(Fault::new(Category::Archive, message));
    }
    session.put_batch(record)
}

/// Archived rows per table, without the tables that have none.
pub(crate) fn rows_by_table(parts: &[Part]) -> BTreeMap<String, u64> {
    use unseed_core::port::store::SectionKind;
    use unseed_core::schema::TableName;
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for part in parts.iter().filter(|part| part.head.kind == SectionKind::Rows && part.rows > 0) {
        let name = TableName::new(&part.head.namespace, &part.head.table).to_string();
        *rows.entry(name).or_default() += part.rows;
    }
    rows
}

/// Ends a batch whose commit failed: the store is asked what became of it.
async fn cut_off(session: &mut Session<'_, '_>, record: &mut BatchRecord, cause: Fault) -> Stop {
    let roots = select(&session.roots, &record.roots);
    match session.cx.store.settle(&session.work, &record.token, &roots).await {
        Ok(Outcome::RolledBack) => roll_back(session, record, cause).await,
        Ok(Outcome::Committed) => {
            record.state = BatchState::Committed;
            let object = format!("{}/{}", session.run, record.number);
            let kept =
                session.audit("purge.batch", &object, "committed").and_then(|()| session.put_batch(record));
            Stop { cause, unsettled: kept.is_err().then_some(record.number), between: false }
        }
        Ok(Outcome::Pending) | Err(_) => Stop::unsettled(cause, record.number),
    }
}

/// Ends a batch that failed before its commit.
async fn roll_back(session: &mut Session<'_, '_>, record: &mut BatchRecord, cause: Fault) -> Stop {
    // Where the connection is gone, the store rolls back by itself; the segment may stay until a resume.
    let cause = match session.cx.store.rollback().await.and_then(|()| discard(session, record, "rolled back"))
    {
        Ok(()) => cause,
        Err(second) => cause.detail(format!("while rolling back: {second}")),
    };
    cause.into()
}

/// Drops the segment of a batch whose transaction is rolled back.
fn discard(session: &mut Session<'_, '_>, record: &mut BatchRecord, outcome: &str) -> Result<(), Fault> {
    let object = format!("{}/{}", session.run, record.number);
    session.audit("purge.batch", &object, outcome)?;
    session.cx.archive.discard(&session.run, record.number)?;
    record.state = BatchState::Discarded;
    record.removed = Removed::default();
    session.put_batch(record)
}

/// A sink that knows whether anything was added to it.
struct Watched<'a> {
    inner: &'a mut dyn ArchiveSink,
    sections: u64,
}

impl ArchiveSink for Watched<'_> {
    fn begin(&mut self, head: SectionHead) -> Result<(), Fault> {
        self.sections += 1;
        self.inner.begin(head)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.inner.write(bytes)
    }

    fn end(&mut self, rows: u64) -> Result<(), Fault> {
        self.inner.end(rows)
    }
}
