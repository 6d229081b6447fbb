//! A run at work: what purge and resume share before and after the batches.
//!
//! Invariants
//! - the run is registered and leased before anything else happens, and the lease is given back in the end;
//! - the baseline is kept durably before the first batch;
//! - whatever fails, the state database learns in which state the run is, unless it is what failed.
//!
//! Not here: the batches themselves (`batches`).

use crate::batches::Stop;
use crate::context::Context;
use crate::ending::Ending;
use crate::fingerprints::Taking;
use crate::hooks::Around;
use crate::pace::Pace;
use crate::positions::{Remaining, merged};
use crate::report::{Baseline, RunReport, reference_key};
use crate::retention;
use crate::work::{self, Opened};
use std::collections::BTreeMap;
use unseed_core::archive::{BatchEntry, FORMAT as ARCHIVE_FORMAT, Manifest};
use unseed_core::fault::Fault;
use unseed_core::keys::WholePlan;
use unseed_core::plan::RootSet;
use unseed_core::port::state::AuditEntry;
use unseed_core::port::store::{SectionEntry, Server, Statements, Work};
use unseed_core::run::{BatchRecord, BatchState, RunState};
use unseed_core::schema::{ReferenceId, TableId};

pub(crate) struct Session<'c, 'p> {
    pub(crate) cx: &'c mut Context<'p>,
    pub(crate) run: String,
    pub(crate) whole: WholePlan,
    pub(crate) work: Work,
    pub(crate) server: Server,
    pub(crate) roots: Vec<RootSet>,
    pub(crate) report: RunReport,
    pub(crate) batches: Vec<BatchRecord>,
    /// The state that was kept last.
    pub(crate) state: RunState,
    pub(crate) pace: Pace,
    /// What the run had sent to the store before this process went on with it.
    earlier: Statements,
    /// The run was begun by an earlier process.
    pub(crate) resumed: bool,
    /// Roots are gone that no batch of the journal took.
    behind: bool,
    /// The baseline, as long as it is not whole.
    measuring: Option<Measuring>,
    /// Rows are put back: what is sent to the store is the restore's, not the run's.
    pub(crate) restoring: bool,
}

/// A baseline that is not whole yet.
struct Measuring {
    orphans: BTreeMap<String, u64>,
    fingerprints: Option<Taking>,
}

impl<'c, 'p> Session<'c, 'p> {
    pub(crate) fn new(
        cx: &'c mut Context<'p>,
        whole: WholePlan,
        opened: Opened,
        roots: Vec<RootSet>,
        report: RunReport,
        batches: Vec<BatchRecord>,
    ) -> Self {
        let Opened { work, server, .. } = opened;
        let earlier = report.statements;
        let pace = Pace::new(&cx.live);
        Self {
            cx,
            run: report.run.clone(),
            whole,
            work,
            server,
            roots,
            report,
            batches,
            state: RunState::Running,
            pace,
            earlier,
            resumed: false,
            behind: false,
            measuring: None,
            restoring: false,
        }
    }

    /// What is measured before the first batch; kept, so that a resumed run does not do it again.
    pub(crate) async fn baseline(&mut self) -> Result<(), Fault> {
        if self.report.baseline.is_none() && self.measuring.is_none() {
            self.measure().await?;
        }
        // Behind an entry of the journal, which a process that lost the run cannot write.
        self.publish_plan()
    }

    async fn measure(&mut self) -> Result<(), Fault> {
        let begun = self.cx.clock.monotonic_ms();
        self.cx.progress.note("reading the state before the purge");
        let schema = &self.work.schema;
        let open: Vec<ReferenceId> =
            work::around(&self.work).into_iter().filter(|id| !schema.reference(*id).validated).collect();
        let orphans = self.cx.store.orphans(schema, &open).await?;
        let orphans =
            orphans.into_iter().map(|found| (reference_key(schema, found.reference), found.rows)).collect();
        let counts = self.cx.store.count(schema, &work::touched(&self.work)).await?;
        for (table, rows) in counts {
            let name = schema.table(table).name.to_string();
            self.report.tables.entry(name).or_default().before = Some(rows);
        }
        self.measuring = Some(Measuring { orphans, fingerprints: None });
        self.report.timings.prepare_ms += self.cx.clock.monotonic_ms().saturating_sub(begun);
        self.keep(RunState::Running)
    }

    /// Begins to take the fingerprints of the baseline, unless it has them.
    pub(crate) async fn begin_fingerprints(&mut self) -> Result<(), Fault> {
        if let Some(Measuring { fingerprints: taking @ None, .. }) = &mut self.measuring {
            *taking = Some(Taking::begin(self.cx.store, &self.work).await?);
        }
        Ok(())
    }

    /// Keeps the whole baseline; nothing may be removed before.
    pub(crate) async fn keep_baseline(&mut self) -> Result<(), Fault> {
        let begun = self.cx.clock.monotonic_ms();
        // Again, if they were begun and could not be taken.
        self.begin_fingerprints().await?;
        let Some(measuring) = &mut self.measuring else { return Ok(()) };
        let Some(taking) = measuring.fingerprints.take() else { return Ok(()) };
        let protected = taking.end().await?;
        let orphans = std::mem::take(&mut measuring.orphans);
        self.measuring = None;
        self.report.baseline = Some(Baseline { orphans, protected });
        self.report.timings.prepare_ms += self.cx.clock.monotonic_ms().saturating_sub(begun);
        self.keep(RunState::Running)
    }

    /// Writes the report as it is, with the state of the run.
    pub(crate) fn keep(&mut self, state: RunState) -> Result<(), Fault> {
        if !self.restoring {
            self.report.statements = added(self.earlier, self.cx.store.statements());
        }
        self.report.count_batches(&self.work.schema, &self.batches);
        self.cx.state.update_run(&self.run, state, &self.report.to_json())?;
        self.state = state;
        Ok(())
    }

    /// The run, for its hooks.
    pub(crate) fn around(&mut self) -> Around<'_> {
        Around {
            run: &self.run,
            plan: self.whole.plan(),
            report: &mut self.report,
            state: self.state,
            db: &mut *self.cx.state,
            clock: self.cx.clock,
            progress: self.cx.progress,
            interrupt: self.cx.interrupt,
            actor: self.cx.actor,
            live: &mut self.cx.live,
        }
    }

    pub(crate) fn audit(&mut self, action: &str, object: &str, outcome: &str) -> Result<(), Fault> {
        audit(self.cx, action, object, outcome)
    }

    /// Roots that no committed batch covers.
    pub(crate) fn remaining(&self) -> Remaining {
        let covered = self.committed().flat_map(|batch| batch.roots.iter().copied()).collect();
        Remaining::new(&self.roots, &merged(covered))
    }

    pub(crate) fn committed(&self) -> impl Iterator<Item = &BatchRecord> {
        self.batches.iter().filter(|batch| batch.state == BatchState::Committed)
    }

    pub(crate) fn committed_count(&self) -> u64 {
        u64::try_from(self.committed().count()).expect("a length fits 64 bits")
    }

    /// Keeps a batch durably and in memory.
    pub(crate) fn put_batch(&mut self, batch: &BatchRecord) -> Result<(), Fault> {
        self.cx.state.put_batch(&self.run, batch)?;
        match self.batches.iter_mut().find(|known| known.number == batch.number) {
            Some(known) => *known = batch.clone(),
            None => self.batches.push(batch.clone()),
        }
        Ok(())
    }

    /// Measures the state after the last batch, publishes the archive, and ends the run.
    pub(crate) async fn finish(&mut self) -> Result<(), Fault> {
        let begun = self.cx.clock.monotonic_ms();
        self.cx.progress.note("reading the state after the purge");
        let taking = Taking::begin(self.cx.store, &self.work).await?;
        let counts = self.cx.store.count(&self.work.schema, &work::touched(&self.work)).await?;
        self.report.protected_after = taking.end().await?;
        for (table, rows) in counts {
            let name = self.work.schema.table(table).name.to_string();
            self.report.tables.entry(name).or_default().after = Some(rows);
        }
        self.publish_archive()?;
        self.report.timings.finish_ms += self.cx.clock.monotonic_ms().saturating_sub(begun);
        self.report.finished_at = Some(self.cx.clock.now());
        self.report.batches.total = self.committed_count();
        let (state, outcome) = retention::ended(self.cx, &mut self.report)?;
        self.keep(state)?;
        let run = self.run.clone();
        self.audit("purge.run", &run, &outcome)
    }

    /// Puts the plan and the schema beside the archive, so that it explains itself from the first batch on.
    fn publish_plan(&mut self) -> Result<(), Fault> {
        let files = self.plan_files();
        self.cx.archive.publish(&self.manifest(), &files, &self.whole.files())
    }

    /// Publishes the manifest of all committed batches, with scripts that restore by hand.
    pub(crate) fn publish_archive(&mut self) -> Result<(), Fault> {
        let committed: Vec<(u64, String)> =
            self.committed().map(|b| (b.number, b.segment_hash.clone())).collect();
        let (mut sections, mut names) = (Vec::new(), Vec::new());
        for (number, hash) in committed {
            for part in self.cx.archive.batch(&self.run, number, &hash)?.parts {
                sections.push(SectionEntry { batch: number, head: part.head, rows: part.rows });
                names.push(part.file);
            }
        }
        let mut files = self.plan_files();
        files.extend(self.cx.store.restore_script(&self.work, &sections, &names));
        self.cx.archive.publish(&self.manifest(), &files, &self.whole.files())
    }

    fn plan_files(&self) -> Vec<(String, String)> {
        let plain = |value: serde_json::Result<String>| value.expect("plain data can always be JSON");
        vec![
            ("plan.json".to_owned(), plain(serde_json::to_string_pretty(self.whole.plan()))),
            ("schema.json".to_owned(), plain(serde_json::to_string(&self.work.schema))),
        ]
    }

    fn manifest(&self) -> Manifest {
        let plan = self.whole.plan();
        Manifest {
            format: ARCHIVE_FORMAT.to_owned(),
            run: self.run.clone(),
            plan: plan.id.clone(),
            plan_digest: plan.digest.clone(),
            owner: self.cx.actor.to_owned(),
            created_at: self.report.started_at.clone(),
            server: self.server.clone(),
            schema_fingerprint: plan.stores.first().map(|s| s.schema_fingerprint.clone()).unwrap_or_default(),
            recipients: self.report.recipients.clone(),
            batches: self
                .committed()
                .map(|b| BatchEntry {
                    batch: b.number,
                    folder: b.segment.clone(),
                    hash: b.segment_hash.clone(),
                })
                .collect(),
        }
    }

    /// Roots that are gone in a resumed run may have left with a batch that the journal has lost.
    pub(crate) fn perhaps_behind(&mut self, fault: Fault) -> Fault {
        if !self.resumed {
            return fault;
        }
        self.behind = true;
        let place = self.cx.archive.location(&self.run);
        fault.detail(format!(
            "if the state database was damaged or put back from a copy, rows that left since are in `{place}` only: keep it"
        ))
    }

    /// Turns what ended the run early into the fault a person sees, and keeps the state of the run.
    pub(crate) fn stopped(&mut self, stop: Stop) -> Fault {
        let Stop { cause, unsettled, between } = stop;
        let (done, total) = (self.committed_count(), self.report.batches.total);
        let (unsettled, behind) = (unsettled.is_some(), self.behind);
        let ending = Ending { run: &self.run, done, total, unsettled, behind, between };
        let state = ending.state(cause.category);
        let fault = ending.fault(cause);
        let run = self.run.clone();
        let kept = self.keep(state).and_then(|()| self.audit("purge.run", &run, state.as_str()));
        match kept {
            Ok(()) => fault,
            Err(second) => fault.detail(format!("the state of the run could not be kept either: {second}")),
        }
    }
}

fn added(earlier: Statements, now: Statements) -> Statements {
    Statements {
        total: earlier.total + now.total,
        archive: earlier.archive + now.archive,
        longest_transaction_us: earlier.longest_transaction_us.max(now.longest_transaction_us),
    }
}

/// Appends to the audit log.
pub(crate) fn audit(cx: &mut Context<'_>, action: &str, object: &str, outcome: &str) -> Result<(), Fault> {
    let now = cx.clock.now();
    cx.state.audit(&AuditEntry::new(now, cx.actor, action, object, outcome))
}

/// Gives the lease back; an error on the way out does not hide the result.
pub(crate) fn released<T>(cx: &mut Context<'_>, run: &str, result: Result<T, Fault>) -> Result<T, Fault> {
    match (cx.state.release(run), result) {
        (Ok(()), result) => result,
        (Err(_), Err(fault)) => Err(fault),
        (Err(fault), Ok(_)) => Err(fault),
    }
}

/// Rows per table name, without the tables that have none, for reports and comparisons.
pub(crate) fn by_name(work: &Work, rows: &BTreeMap<TableId, u64>) -> BTreeMap<String, u64> {
    let some = rows.iter().filter(|(_, rows)| **rows > 0);
    some.map(|(table, rows)| (work.schema.table(*table).name.to_string(), *rows)).collect()
}
