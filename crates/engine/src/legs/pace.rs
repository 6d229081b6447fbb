//! How a run over several stores keeps pace with others: the maintenance window and the throttle of the whole run.
//!
//! The store that the others follow from is looked at in every leg, since it is what its users notice; a store that follows,
//! before its closure and between its own batches.
//!
//! Invariants
//! - what cannot be measured is told before a plan is used up, and before a run goes on;
//! - however a wait ends, the report of the run says how long it was and what for.
//!
//! Not here: the waiting itself (`crate::pace`), waits within a leg (`entries`, `crate::batches`).

use super::{LegStore, Legs, source};
use crate::context::Live;
use crate::pace::{Pace, Senses, Surroundings, first_look, refuse_closed};
use crate::report::{RunReport, WaitFigures};
use std::collections::BTreeMap;
use unseed_core::fault::Fault;
use unseed_core::plan::Plan;

impl Legs<'_> {
    /// Whether a run may begin, or go on.
    ///
    /// # Errors
    /// `Refused` outside of the maintenance window; a store fault when what the throttle asks for cannot be measured.
    pub(super) async fn preflight(&mut self, plan: &Plan) -> Result<(), Fault> {
        refuse_closed(&self.live, self.clock)?;
        let followers = self.live.throttle.of_follower();
        for port in &mut self.ports {
            match port.store {
                LegStore::Entries(_) => {}
                LegStore::Rows(_) if port.name == source(plan) => {
                    first_look(port.gauges.as_mut(), &self.live.throttle).await?;
                }
                LegStore::Rows(_) => {
                    let looked = first_look(port.gauges.as_mut(), &followers).await;
                    looked.map_err(|fault| fault.in_store(&port.name))?;
                }
            }
        }
        Ok(())
    }

    /// Looks at the stores of rows from here on.
    pub(super) fn begin_looking(&mut self, plan: &Plan) {
        let Live { throttle, senses, .. } = &mut self.live;
        for port in &mut self.ports {
            match port.gauges.take() {
                Some(gauges) if port.name == source(plan) => senses.begin(gauges, throttle),
                Some(gauges) => senses.follow(&port.name, gauges, throttle),
                None => {}
            }
        }
    }

    /// Looks no more.
    pub(super) fn end_looking(&mut self) {
        self.live.senses = Senses::default();
    }

    /// How the work in one store lives with others. It has no hooks: those are the whole run's.
    pub(super) fn live_in(&self, store: &str) -> Live {
        Live {
            throttle: self.live.throttle.clone(),
            window: self.live.window.clone(),
            senses: self.live.senses.of(store),
            waits: self.live.waits,
            ..Live::default()
        }
    }

    /// Waits until a closure, a pass or a leg may begin in a store; returns for how many milliseconds.
    ///
    /// # Errors
    /// Why the run ends before it.
    pub(super) async fn admit(&mut self, run: &str, store: &str) -> Result<u64, Fault> {
        let mut pace = Pace::new(&self.live_in(store));
        let mut waits = BTreeMap::new();
        let mut here = Surroundings {
            clock: self.clock,
            progress: self.progress,
            interrupt: self.interrupt,
            waits: &mut waits,
        };
        let admitted = pace.wait(&mut here, &mut None).await.map_err(|stop| stop.cause);
        if waits.is_empty() {
            return admitted;
        }
        match (admitted, self.keep_waits(run, &waits)) {
            (Ok(ms), kept) => kept.map(|()| ms),
            (Err(fault), Ok(())) => Err(fault),
            (Err(fault), Err(second)) => {
                Err(fault.detail(format!("how long it waited could not be kept: {second}")))
            }
        }
    }

    fn keep_waits(&mut self, id: &str, waits: &BTreeMap<String, WaitFigures>) -> Result<(), Fault> {
        let run = self.state.run(id)?;
        let mut report = RunReport::of(&run)?;
        for (cause, more) in waits {
            report.waits.entry(cause.clone()).or_default().add(more.ms, more.times, &more.last);
        }
        self.state.update_run(id, run.state, &report.to_json())
    }
}
