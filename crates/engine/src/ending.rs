//! How a run that ended early is told: which state it is left in, and the three parts of its fault.
//!
//! Not here: keeping that state (`session`).

use unseed_core::fault::{Category, Fault, counted};
use unseed_core::run::RunState;

/// How far a run came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending<'a> {
    pub(crate) run: &'a str,
    /// Batches committed, of so many; 0 when it did not come as far as counting them.
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// The commit of the batch after those was cut off.
    pub(crate) unsettled: bool,
    /// Roots are gone that no batch of the journal took: it may have lost its last entries.
    pub(crate) behind: bool,
    /// It ended between two batches, and none was rolled back.
    pub(crate) between: bool,
}

impl Ending<'_> {
    /// A run that was refused before it changed anything has failed; all others can go on.
    pub(crate) fn state(&self, category: Category) -> RunState {
        let refused = match category {
            Category::Refused | Category::Stale | Category::Usage | Category::Findings => true,
            Category::Store | Category::Archive | Category::Interrupted => false,
        };
        let untouched = self.done == 0 && !self.unsettled && !self.behind;
        if refused && untouched { RunState::Failed } else { RunState::Stopped }
    }

    /// The fault that a person sees.
    pub(crate) fn fault(&self, cause: Fault) -> Fault {
        if self.state(cause.category) == RunState::Failed {
            let used = format!("this plan was used up by run `{}`", self.run);
            let hint = match cause.hint.as_str() {
                "" => format!("make a new plan with `unseed plan`; {used}"),
                hint if ["`unseed plan`", "plan again", "new plan"]
                    .iter()
                    .any(|said| hint.contains(said)) =>
                {
                    format!("{hint}; {used}")
                }
                hint => format!("{hint}, then make a new plan with `unseed plan`; {used}"),
            };
            return cause.hint(hint);
        }
        let category = cause.category.of_a_stop();
        let mut fault =
            Fault::new(category, self.message(&cause)).state(self.data(cause.category)).hint(self.next());
        fault.details = cause.details;
        // How to go on is said once, below.
        let mend = ["run the command again when it is done", "run the command again"]
            .iter()
            .fold(cause.hint.as_str(), |hint, again| hint.strip_suffix(again).unwrap_or(hint))
            .trim_end_matches(" then ")
            .trim_end_matches([' ', ',', ';']);
        if !mend.is_empty() {
            fault = fault.detail(mend);
        }
        fault
    }

    fn message(&self, cause: &Fault) -> String {
        let Self { run, done, total, .. } = self;
        let current = done + 1;
        match cause.category {
            Category::Interrupted if *total == 0 => {
                format!("purge `{run}` was interrupted before its first batch")
            }
            Category::Interrupted => format!("purge `{run}` was interrupted after batch {done} of {total}"),
            Category::Usage
            | Category::Refused
            | Category::Stale
            | Category::Store
            | Category::Archive
            | Category::Findings => {
                let place = match total {
                    0 => "before its first batch".to_owned(),
                    _ if self.between && *done == 0 => "before its first batch".to_owned(),
                    _ if self.between => format!("after batch {done} of {total}"),
                    _ if current > *total => "after its last batch".to_owned(),
                    _ => format!("at batch {current} of {total}"),
                };
                format!("purge `{run}` stopped {place}: {}", cause.message)
            }
        }
    }

    fn data(&self, category: Category) -> String {
        let current = self.done + 1;
        let done = match self.done {
            1 => "1 batch is archived and deleted".to_owned(),
            done => format!("{} are archived and deleted", counted(done, "batch")),
        };
        let rest = match self.total.saturating_sub(current) {
            1 => "1 is untouched".to_owned(),
            rest => format!("{rest} are untouched"),
        };
        if self.unsettled {
            return format!("{done}, the outcome of batch {current} is not known yet, {rest}");
        }
        if self.behind {
            return format!(
                "this command removed nothing; by the journal {done}, and roots that are gone may have left with batches that it has lost"
            );
        }
        if self.total == 0 {
            return "nothing was changed".to_owned();
        }
        if current > self.total {
            return format!("{done}, nothing is left to remove");
        }
        if category == Category::Interrupted || self.between {
            return format!("{done}, {} are untouched", self.total - self.done);
        }
        format!("{done}, batch {current} was rolled back, {rest}")
    }

    fn next(&self) -> String {
        let resume = format!("run `unseed resume {}` to go on{}", self.run, self.way_back());
        if self.behind {
            format!("bring the state database back from its latest copy, then {resume}")
        } else {
            resume
        }
    }

    fn way_back(&self) -> String {
        match self.done {
            0 => String::new(),
            1 => format!(", or `unseed restore {}` to put the 1 batch back", self.run),
            done => format!(", or `unseed restore {}` to put the {done} batches back", self.run),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ending;
    use unseed_core::fault::{Category, Fault};

    #[track_caller]
    fn tells(ending: Ending<'_>, cause: Fault, expected: [&str; 3]) {
        let fault = ending.fault(cause);
        assert_eq!([fault.message.as_str(), &fault.state, &fault.hint], expected);
    }

    #[test]
    fn a_stopped_run_tells_where_it_is_and_how_to_go_on() {
        let ending =
            Ending { run: "r-19", done: 40, total: 310, unsettled: false, behind: false, between: false };
        tells(
            ending,
            Fault::store("store `main` closed the connection"),
            [
                "purge `r-19` stopped at batch 41 of 310: store `main` closed the connection",
                "40 batches are archived and deleted, batch 41 was rolled back, 269 are untouched",
                "run `unseed resume r-19` to go on, or `unseed restore r-19` to put the 40 batches back",
            ],
        );
        tells(
            Ending { unsettled: true, ..ending },
            Fault::store("timeout"),
            [
                "purge `r-19` stopped at batch 41 of 310: timeout",
                "40 batches are archived and deleted, the outcome of batch 41 is not known yet, 269 are untouched",
                "run `unseed resume r-19` to go on, or `unseed restore r-19` to put the 40 batches back",
            ],
        );
        tells(
            Ending { between: true, ..ending },
            Fault::store("replication lag 70 s > 60 s, the critical limit"),
            [
                "purge `r-19` stopped after batch 40 of 310: replication lag 70 s > 60 s, the critical limit",
                "40 batches are archived and deleted, 270 are untouched",
                "run `unseed resume r-19` to go on, or `unseed restore r-19` to put the 40 batches back",
            ],
        );
        tells(
            Ending { done: 1, ..ending },
            Fault::new(Category::Interrupted, ""),
            [
                "purge `r-19` was interrupted after batch 1 of 310",
                "1 batch is archived and deleted, 309 are untouched",
                "run `unseed resume r-19` to go on, or `unseed restore r-19` to put the 1 batch back",
            ],
        );
    }

    #[test]
    fn a_resume_that_finds_roots_gone_does_not_say_that_nothing_was_changed() {
        tells(
            Ending { run: "r-2", done: 0, total: 0, unsettled: false, behind: true, between: false },
            Fault::new(Category::Stale, "3 roots are not what they were"),
            [
                "purge `r-2` stopped before its first batch: 3 roots are not what they were",
                "this command removed nothing; by the journal 0 batches are archived and deleted, \
                 and roots that are gone may have left with batches that it has lost",
                "bring the state database back from its latest copy, then run `unseed resume r-2` to go on",
            ],
        );
    }

    #[test]
    fn a_run_refused_before_its_first_batch_has_used_its_plan_up() {
        tells(
            Ending { run: "r-2", done: 0, total: 0, unsettled: false, behind: false, between: false },
            Fault::new(Category::Stale, "the schema has changed"),
            [
                "the schema has changed",
                "nothing was changed",
                "make a new plan with `unseed plan`; this plan was used up by run `r-2`",
            ],
        );
    }
}
