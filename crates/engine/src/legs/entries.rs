//! One leg of a derived store: find, then chunk by chunk archive, journal, remove; look again until nothing is found.
//!
//! Removing entries is no transaction. A chunk is called `Committing` before its first entry leaves; if its outcome is cut
//! off, what is still there is found and archived again, and a restore takes the last version.
//!
//! Invariants
//! - a chunk is durable and journaled before its first entry leaves, and its archive is never discarded after that;
//! - more entries than the plan and its drift allow are refused before the first one leaves;
//! - a leg is done only when a whole pass finds nothing;
//! - between chunks it waits for others or stops as a run of rows does between batches.
//!
//! Not here: what belongs to which row (`io::store`, `core::pattern`), the order of legs (`purge`).

use super::plan::{entries_text, refuse_share, same_store};
use super::state::LegState;
use super::{LegStore, Legs, kind_changed};
use crate::context::Patience;
use crate::interrupt::Interrupt;
use crate::pace::{Pace, Surroundings};
use crate::refusals::wide;
use crate::report::{RestoreFigures, RunReport, Verification};
use std::collections::BTreeMap;
use unseed_core::archive::{BatchEntry, FORMAT as ARCHIVE_FORMAT, Manifest};
use unseed_core::fault::{Category, Fault};
use unseed_core::plan::{Action, Plan, PlanStore, SubjectsSum};
use unseed_core::port::archive::ArchiveStore;
use unseed_core::port::clock::Clock;
use unseed_core::port::derived::{Cleared, DerivedStore, Found};
use unseed_core::port::progress::Progress;
use unseed_core::port::state::{AuditEntry, StateDb};
use unseed_core::port::store::{Removed, Restored, Server, TagRange};
use unseed_core::run::{BatchRecord, BatchState, Consent, Run, RunState};
use unseed_core::subjects::SubjectSet;

/// Entries of one chunk.
const CHUNK_ENTRIES_MAX: u64 = 20_000;

/// A rate spreads a pass over time, which is begun anew after so many milliseconds: rows that stay may have other values.
const SPREAD_MS_MAX: u64 = 60_000;

/// A leg of a derived store at work.
pub(super) struct Entries<'a> {
    pub(super) id: String,
    plan: &'a Plan,
    planned: &'a PlanStore,
    store: &'a mut dyn DerivedStore,
    state: LegState<'a>,
    archive: &'a mut dyn ArchiveStore,
    clock: &'a dyn Clock,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
    actor: &'a str,
    patience: Patience,
    pace: Pace,
}

/// What a leg of entries goes by.
pub(super) struct Given<'g> {
    pub(super) subjects: &'g SubjectSet,
    /// From then on a wait ends the pass: rows that stay may have other values by now.
    pub(super) old_from_ms: u64,
    /// Passes that found something.
    pub(super) passes: &'g mut u64,
}

/// How a leg of entries came to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// A whole pass found nothing.
    Through,
    /// Others were waited for; what is doomed has to be told anew.
    Waited,
}

impl<'a> Entries<'a> {
    /// The leg at a position of the plan, in the run of this id.
    pub(super) fn of(
        cx: &'a mut Legs<'_>,
        plan: &'a Plan,
        run: &str,
        position: usize,
    ) -> Result<Self, Fault> {
        let name = &plan.legs[position].store;
        let planned = plan.store(name).ok_or_else(|| kind_changed(name))?;
        let pace = Pace::new(&cx.live_in(name));
        let port = cx.position(name)?;
        let port = &mut cx.ports[port];
        let LegStore::Entries(store) = &mut port.store else { return Err(kind_changed(name)) };
        Ok(Self {
            id: super::leg_id(run, name),
            plan,
            planned,
            store: &mut **store,
            state: LegState::new(cx.state, run, position, name),
            archive: &mut *port.archive,
            clock: cx.clock,
            progress: cx.progress,
            interrupt: cx.interrupt,
            actor: cx.actor,
            patience: cx.patience,
            pace,
        })
    }

    /// Connects, and compares the store with the plan.
    pub(super) async fn open(&mut self) -> Result<Server, Fault> {
        let server = self.store.inspect().await?;
        same_store(self.planned, &server.kind)?;
        Ok(server)
    }

    /// Looks before anything is removed anywhere: no more entries than the plan allows.
    pub(super) async fn look(&mut self, subjects: &SubjectSet) -> Result<(), Fault> {
        self.open().await?;
        let found = self.store.find(subjects, self.progress).await?;
        self.refuse_more(&found, 0)
    }

    /// Removes all entries of the subjects; begins the leg, or goes on with it.
    pub(super) async fn purge(&mut self, given: &mut Given<'_>, consent: &Consent) -> Result<Pass, Fault> {
        let server = self.open().await?;
        let mut report = match self.state.begun()? {
            Some(run) => {
                let report = RunReport::of(&run)?;
                self.archive.seal(&report.recipients)?;
                report
            }
            None => self.begin(consent)?,
        };
        self.store.log_to(&self.archive.location(&self.id));
        self.keep(RunState::Running, &report)?;
        let ended = match self.clear(given, &mut report).await {
            Ok(Pass::Through) => self.finish(server, &mut report).map(|()| Pass::Through),
            Ok(Pass::Waited) => self.keep(RunState::Running, &report).map(|()| Pass::Waited),
            Err(fault) => Err(fault),
        };
        match ended {
            Ok(Pass::Through) => {
                self.audit("purge.run", &self.id.clone(), "done")?;
                Ok(Pass::Through)
            }
            Ok(Pass::Waited) => Ok(Pass::Waited),
            Err(fault) => Err(self.stopped(fault, &report)),
        }
    }

    fn stopped(&mut self, fault: Fault, report: &RunReport) -> Fault {
        let kept = self.keep(RunState::Stopped, report);
        let id = self.id.clone();
        match kept.and_then(|()| self.audit("purge.run", &id, "stopped")) {
            Ok(()) => fault,
            Err(second) => fault.detail(format!("the state of the leg could not be kept: {second}")),
        }
    }

    fn begin(&mut self, consent: &Consent) -> Result<RunReport, Fault> {
        self.archive.prepare(&self.id)?;
        let mut report = RunReport::begun(&self.id, self.plan, self.clock.now());
        report.store.clone_from(&self.planned.store);
        report.archive = self.archive.location(&self.id);
        report.recipients = self.archive.recipients();
        let run = Run {
            id: self.id.clone(),
            plan: self.plan.id.clone(),
            plan_digest: self.plan.digest.clone(),
            state: RunState::Running,
            started_at: report.started_at.clone(),
            finished_at: None,
            actor: self.actor.to_owned(),
            consent: consent.clone(),
            batches_total: 0,
            report: report.to_json(),
        };
        self.audit("purge.run", &self.id.clone(), "started")?;
        self.state.begin_run(&run)?;
        Ok(report)
    }

    /// Passes over the store until one finds nothing.
    async fn clear(&mut self, given: &mut Given<'_>, report: &mut RunReport) -> Result<Pass, Fault> {
        self.settle(report)?;
        loop {
            if self.admit(given, report).await? == Pass::Waited {
                return Ok(Pass::Waited);
            }
            let begun = self.clock.monotonic_ms();
            let found = self.store.find(given.subjects, self.progress).await?;
            let took_ms = self.clock.monotonic_ms().saturating_sub(begun);
            if report.tables.is_empty() {
                for (pattern, entries) in &found.doomed {
                    report.tables.entry(pattern.clone()).or_default().before = Some(*entries);
                }
            }
            if found.entries() == 0 {
                report.timings.finish_ms += took_ms;
                return Ok(Pass::Through);
            }
            report.timings.close_ms += took_ms;
            self.refuse_more(&found, report.rows.deleted)?;
            *given.passes += 1;
            self.again(*given.passes, &found, report).await?;
            if self.pass(given, &found, report).await? == Pass::Waited {
                return Ok(Pass::Waited);
            }
        }
    }

    /// Removes chunk by chunk what a look found.
    async fn pass(
        &mut self,
        given: &mut Given<'_>,
        found: &Found,
        report: &mut RunReport,
    ) -> Result<Pass, Fault> {
        let removed_before = report.rows.deleted;
        let begun_ms = self.clock.monotonic_ms();
        // A look at many entries takes long: a window that was open before it may be closed.
        if !self.pace.is_open(self.clock) {
            self.admit(given, report).await?;
            *given.passes -= 1;
            return Ok(Pass::Waited);
        }
        while self.chunk(report, found.entries()).await? {
            let waited = self.admit(given, report).await?;
            let took_ms = self.clock.monotonic_ms().saturating_sub(begun_ms);
            let is_spread = self.pace.throttle().rows_per_second.is_some() && took_ms >= SPREAD_MS_MAX;
            if waited == Pass::Waited || is_spread {
                // The next pass is the rest of this one, if there is any.
                *given.passes -=
                    u64::from(report.rows.deleted.saturating_sub(removed_before) < found.entries());
                return Ok(Pass::Waited);
            }
        }
        Ok(Pass::Through)
    }

    /// Pauses before another pass, as long as there is patience for one.
    async fn again(&self, passes: u64, found: &Found, report: &mut RunReport) -> Result<(), Fault> {
        if passes > self.patience.attempts_max {
            let message = format!(
                "{} of store `{}` came back during {} passes",
                entries_text(found.entries()),
                self.planned.store,
                passes - 1
            );
            return Err(Fault::store(message)
                .hint("stop what writes them, or have this store come after the others with `after`"));
        }
        if passes > 1 {
            report.retries += 1;
            self.patience.pause(passes - 1).await;
        }
        Ok(())
    }

    /// Waits until the next pass or chunk may begin; nothing is locked or watched meanwhile.
    async fn admit(&mut self, given: &Given<'_>, report: &mut RunReport) -> Result<Pass, Fault> {
        let mut here = Surroundings {
            clock: self.clock,
            progress: self.progress,
            interrupt: self.interrupt,
            waits: &mut report.waits,
        };
        let waited_ms = self.pace.wait(&mut here, &mut None).await.map_err(|stop| stop.cause)?;
        let is_old = waited_ms > 0 && self.clock.monotonic_ms() >= given.old_from_ms;
        Ok(if is_old { Pass::Waited } else { Pass::Through })
    }

    /// Chunks whose outcome was cut off count as removed: what is still there of them is found again.
    fn settle(&mut self, report: &mut RunReport) -> Result<(), Fault> {
        for batch in self.state.batches(&self.id)? {
            let object = format!("{}/{}", self.id, batch.number);
            match batch.state {
                BatchState::Committing => {
                    self.audit("purge.batch", &object, "cut off; what is left is archived again")?;
                    self.state.put_batch(&self.id, &BatchRecord { state: BatchState::Committed, ..batch })?;
                    report.retries += 1;
                }
                BatchState::Begun | BatchState::Archived => {
                    self.audit("purge.batch", &object, "rolled back")?;
                    self.archive.discard(&self.id, batch.number)?;
                    self.state.put_batch(&self.id, &BatchRecord { state: BatchState::Discarded, ..batch })?;
                }
                BatchState::Committed | BatchState::Discarded | BatchState::Restored => {}
            }
        }
        self.count(report)
    }

    fn refuse_more(&self, found: &Found, removed: u64) -> Result<(), Fault> {
        let limits = &self.plan.policy.limits;
        let name = &self.planned.store;
        let steps = self.plan.steps.iter().filter(|step| step.store == *name && step.action == Action::Clear);
        let planned: u64 = steps.map(|step| step.rows).sum();
        let now = found.entries() + removed;
        let more = now.saturating_sub(planned);
        if more > limits.max_drift_rows && wide(more) > limits.max_drift_share * wide(planned) {
            let message = format!(
                "store `{name}` holds {} of the rows that leave, planned were {planned}",
                entries_text(now)
            );
            return Err(Fault::new(Category::Stale, message)
                .hint("make a new plan with `unseed plan` and look at it again"));
        }
        refuse_share(name, found.entries(), found.seen, limits)
    }

    /// Archives and removes one chunk; false when none is left.
    async fn chunk(&mut self, report: &mut RunReport, expected: u64) -> Result<bool, Fault> {
        let batches = self.state.batches(&self.id)?;
        let number = batches.iter().map(|batch| batch.number).max().unwrap_or(0) + 1;
        let mut record = BatchRecord {
            number,
            state: BatchState::Begun,
            tags: TagRange { first: 0, last: 0 },
            roots: Vec::new(),
            segment: String::new(),
            segment_hash: String::new(),
            token: String::new(),
            removed: Removed::default(),
        };
        // Journaled first, so that no other process ever writes this segment.
        self.state.put_batch(&self.id, &record)?;
        let begun_ms = self.clock.monotonic_ms();
        let Some((segment, segment_hash)) = self.archive_chunk(number).await? else {
            self.state.put_batch(&self.id, &BatchRecord { state: BatchState::Discarded, ..record })?;
            return Ok(false);
        };
        report.timings.archive_ms += self.clock.monotonic_ms().saturating_sub(begun_ms);
        (record.state, record.segment, record.segment_hash) = (BatchState::Committing, segment, segment_hash);
        let object = format!("{}/{number}", self.id);
        self.audit("purge.batch", &object, "started")?;
        self.state.put_batch(&self.id, &record)?;
        let begun = self.clock.monotonic_ms();
        let Cleared { removed, changed, gone } = self.store.remove(self.progress).await?;
        report.timings.remove_ms += self.clock.monotonic_ms().saturating_sub(begun);
        self.pace.removed(begun_ms, removed.values().sum());
        record.state = BatchState::Committed;
        record.removed.entries = removed;
        self.audit("purge.batch", &object, &format!("committed, {changed} had changed, {gone} were gone"))?;
        self.state.put_batch(&self.id, &record)?;
        self.count(report)?;
        self.progress.update("remove", report.rows.deleted, Some(expected.max(report.rows.deleted)));
        Ok(true)
    }

    async fn archive_chunk(&mut self, number: u64) -> Result<Option<(String, String)>, Fault> {
        let mut writer = self.archive.begin_batch(&self.id, number)?;
        let entries_max = self.pace.throttle().batch_rows_max(CHUNK_ENTRIES_MAX);
        let archived = self.store.archive(entries_max, writer.sink(), self.progress).await;
        let written = match archived {
            Ok(0) => Ok(None),
            Ok(entries) => writer.finish().map(|(folder, hash)| Some((entries, folder, hash))),
            Err(fault) => Err(fault),
        };
        drop(writer);
        let Ok(Some((entries, folder, hash))) = written else {
            self.archive.discard(&self.id, number)?;
            return written.map(|_| None);
        };
        let parts = self.archive.batch(&self.id, number, &hash)?.parts;
        if parts.iter().map(|part| part.rows).sum::<u64>() != entries {
            let message =
                format!("the archive of chunk {number} does not hold the entries that the store sent");
            return Err(Fault::new(Category::Archive, message));
        }
        Ok(Some((folder, hash)))
    }

    /// Figures from the journal.
    fn count(&mut self, report: &mut RunReport) -> Result<(), Fault> {
        let claimed =
            |batch: &BatchRecord| [BatchState::Committed, BatchState::Restored].contains(&batch.state);
        let batches: Vec<BatchRecord> = self.state.batches(&self.id)?.into_iter().filter(claimed).collect();
        let mut removed: BTreeMap<String, u64> = BTreeMap::new();
        for (pattern, entries) in batches.iter().flat_map(|batch| &batch.removed.entries) {
            *removed.entry(pattern.clone()).or_default() += entries;
        }
        for (pattern, entries) in removed {
            report.tables.entry(pattern).or_default().deleted = entries;
        }
        report.batches.done = u64::try_from(batches.len()).expect("a length fits 64 bits");
        report.batches.total = report.batches.total.max(report.batches.done);
        report.batches_total = report.batches.total;
        report.rows.deleted = report.tables.values().map(|figures| figures.deleted).sum();
        Ok(())
    }

    fn finish(&mut self, server: Server, report: &mut RunReport) -> Result<(), Fault> {
        let settled = report.retries > 0;
        for figures in report.tables.values_mut() {
            figures.after = Some(0);
            if settled {
                // Of a chunk that was cut off nobody counted what left; the last pass found nothing any more.
                figures.deleted = figures.deleted.max(figures.before.unwrap_or(0));
            }
        }
        report.rows.deleted = report.tables.values().map(|figures| figures.deleted).sum();
        self.publish(server, report)?;
        report.finished_at = Some(self.clock.now());
        self.keep(RunState::Done, report)
    }

    fn publish(&mut self, server: Server, report: &RunReport) -> Result<(), Fault> {
        let mut batches = Vec::new();
        let mut files = Vec::new();
        for batch in self.claimed()? {
            let manifest = self.archive.batch(&self.id, batch.number, &batch.segment_hash)?;
            files.extend(manifest.parts.into_iter().map(|part| part.file));
            batches.push(BatchEntry { batch: batch.number, folder: batch.segment, hash: batch.segment_hash });
        }
        let manifest = Manifest {
            format: ARCHIVE_FORMAT.to_owned(),
            run: self.id.clone(),
            plan: self.plan.id.clone(),
            plan_digest: self.plan.digest.clone(),
            owner: self.actor.to_owned(),
            created_at: report.started_at.clone(),
            server,
            schema_fingerprint: self.planned.schema_fingerprint.clone(),
            recipients: report.recipients.clone(),
            batches,
        };
        let scripts = self.store.restore_script(&files);
        self.archive.publish(&manifest, &scripts, &[])
    }

    fn claimed(&mut self) -> Result<Vec<BatchRecord>, Fault> {
        let claimed = |batch: &BatchRecord| match batch.state {
            BatchState::Committing | BatchState::Committed => true,
            BatchState::Begun | BatchState::Archived | BatchState::Discarded | BatchState::Restored => false,
        };
        Ok(self.state.batches(&self.id)?.into_iter().filter(claimed).collect())
    }

    fn hashes(&mut self) -> Result<Vec<(u64, String)>, Fault> {
        Ok(self.claimed()?.into_iter().map(|batch| (batch.number, batch.segment_hash)).collect())
    }

    /// Whether it may have removed something that is not back.
    pub(super) fn has_removed(&mut self) -> Result<bool, Fault> {
        Ok(self.state.begun()?.is_some() && !self.claimed()?.is_empty())
    }

    /// Looks again after a purge.
    pub(super) async fn verify(&mut self, subjects: &SubjectSet) -> Result<Verification, Fault> {
        self.open().await?;
        self.audit("verify.run", &self.id.clone(), "started")?;
        let found = self.store.look_again(subjects, self.progress).await?;
        let hashes = self.hashes()?;
        let (archive_parts, archive_bytes) = self.archive.check(&self.id, &hashes)?;
        let verification = Verification {
            at: self.clock.now(),
            leftovers: found.doomed.into_iter().filter(|(_, entries)| *entries > 0).collect(),
            entries_checked: found.seen,
            archive_parts,
            archive_bytes,
            ..Verification::default()
        };
        let clean = verification.is_clean();
        let run = self.state.run(&self.id)?;
        let mut report = RunReport::of(&run)?;
        report.verification = Some(verification.clone());
        self.keep(if clean { RunState::Verified } else { RunState::Done }, &report)?;
        self.audit("verify.run", &self.id.clone(), if clean { "clean" } else { "something remains" })?;
        Ok(verification)
    }

    /// Puts all archived entries back; where others are in the way, they stay and are listed.
    pub(super) async fn restore(&mut self, agreed: &str) -> Result<Restored, Fault> {
        self.open().await?;
        let hashes = self.hashes()?;
        let mut source = self.archive.open(&self.id, &hashes)?;
        self.store.log_to(&self.archive.location(&self.id));
        self.audit("restore.run", &self.id.clone(), &format!("started, everything, {agreed}"))?;
        let restored = self.store.restore(source.as_mut(), self.progress).await.map_err(|fault| {
            fault.state("whether all entries are back is not known yet; a restore can be repeated")
        })?;
        if !restored.conflicts.is_empty() {
            self.audit("restore.run", &self.id.clone(), "conflicts")?;
            return Ok(restored);
        }
        for batch in self.claimed()? {
            self.state.put_batch(&self.id, &BatchRecord { state: BatchState::Restored, ..batch })?;
        }
        let run = self.state.run(&self.id)?;
        let mut report = RunReport::of(&run)?;
        report.restores.push(RestoreFigures {
            at: self.clock.now(),
            scope: "everything".to_owned(),
            committed: true,
            inserted: restored.inserted.clone(),
            ..RestoreFigures::default()
        });
        report.finished_at = Some(self.clock.now());
        self.keep(RunState::Restored, &report)?;
        self.audit("restore.run", &self.id.clone(), "committed")?;
        Ok(restored)
    }

    fn keep(&mut self, state: RunState, report: &RunReport) -> Result<(), Fault> {
        self.state.update_run(&self.id.clone(), state, &report.to_json())
    }

    fn audit(&mut self, action: &str, object: &str, outcome: &str) -> Result<(), Fault> {
        let now = self.clock.now();
        self.state.audit(&AuditEntry::new(now, self.actor, action, object, outcome))
    }
}

/// Refuses values that grew far beyond those of the plan.
pub(super) fn refuse_grown(plan: &Plan, now: &[SubjectsSum]) -> Result<(), Fault> {
    let planned: BTreeMap<&str, u64> = plan
        .legs
        .iter()
        .filter_map(|leg| match &leg.work {
            unseed_core::plan::LegWork::Entries(entries) => Some(&entries.subjects),
            unseed_core::plan::LegWork::Rows(_) => None,
        })
        .flatten()
        .map(|sum| (sum.entity.as_str(), sum.count))
        .collect();
    let limits = &plan.policy.limits;
    for sum in now {
        let before = planned.get(sum.entity.as_str()).copied().unwrap_or(0);
        let more = sum.count.abs_diff(before);
        if more > limits.max_drift_rows && wide(more) > limits.max_drift_share * wide(before) {
            let message =
                format!("{} rows of `{}` would leave, planned were {before}", sum.count, sum.entity);
            return Err(Fault::new(Category::Stale, message)
                .hint("make a new plan with `unseed plan` and look at it again"));
        }
    }
    Ok(())
}
