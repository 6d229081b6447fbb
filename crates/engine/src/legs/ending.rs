//! How a run over several stores that ended early is told: what is where, and how to go on.
//!
//! Not here: how one leg ended (`crate::ending`).

use crate::report::LegReport;
use unseed_core::fault::{Category, Fault, counted};
use unseed_core::run::RunState;

/// How far a run came.
pub(super) struct Ended<'a> {
    pub(super) run: &'a str,
    /// The store in which it stopped.
    pub(super) place: Option<&'a str>,
    pub(super) legs: &'a [LegReport],
}

impl Ended<'_> {
    /// Whether any leg has begun to remove: a leg that began and did not fail may have.
    fn has_changed(&self) -> bool {
        self.legs.iter().any(|leg| leg.state.is_some_and(|state| state != RunState::Failed))
    }

    /// A run that was refused before any leg changed anything has failed; all others can go on.
    pub(super) fn state(&self, category: Category) -> RunState {
        let refused = match category {
            Category::Refused | Category::Stale | Category::Usage | Category::Findings => true,
            Category::Store | Category::Archive | Category::Interrupted => false,
        };
        if refused && !self.has_changed() { RunState::Failed } else { RunState::Stopped }
    }

    /// The fault that a person sees.
    pub(super) fn fault(&self, cause: Fault) -> Fault {
        let run = self.run;
        if self.state(cause.category) == RunState::Failed {
            let hint = match cause.hint.as_str() {
                "" => "make a new plan with `unseed plan`".to_owned(),
                hint => hint.to_owned(),
            };
            return cause.hint(format!("{hint}; this plan was used up by run `{run}`"));
        }
        let category = cause.category.of_a_stop();
        let place = self.place.map_or_else(String::new, |store| format!(" in store `{store}`"));
        let verb = if cause.category == Category::Interrupted { "was interrupted" } else { "stopped" };
        let mut fault = Fault::new(category, format!("purge `{run}` {verb}{place}: {}", cause.message))
            .state(self.whereabouts())
            .hint(format!(
                "run `unseed resume {run}` to go on, or `unseed restore {run}` to put back what left"
            ));
        fault.details = cause.details;
        if cause.state != "nothing was changed" {
            fault = fault.detail(cause.state);
        }
        // How to go on is said once, below.
        if !cause.hint.is_empty() && !cause.hint.contains("unseed resume") {
            fault = fault.detail(cause.hint);
        }
        fault
    }

    /// What is where: one clause per store.
    fn whereabouts(&self) -> String {
        let clauses: Vec<String> = self.legs.iter().map(clause).collect();
        clauses.join("; ")
    }
}

fn clause(leg: &LegReport) -> String {
    let name = &leg.store;
    let deleted = leg.report.as_ref().map_or(0, |report| report.rows.deleted);
    let removed = counted(deleted, "row");
    match leg.state {
        None | Some(RunState::Failed) => format!("`{name}` is untouched"),
        Some(RunState::Running | RunState::Stopped) => {
            format!("`{name}` is under way, {removed} archived and removed so far")
        }
        Some(RunState::Done | RunState::Verified | RunState::Quarantined) => {
            format!("`{name}` is done, {removed} archived and removed")
        }
        Some(RunState::Restored) => format!("`{name}` is restored"),
    }
}
