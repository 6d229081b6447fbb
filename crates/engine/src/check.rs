//! Looks at the archive of a run without a store: files, hashes, counts, and what is inside where it can be read.
//!
//! Invariants
//! - all that is wrong is listed, not just the first;
//! - what the archive holds is compared with what the journal says was removed, batch by batch.
//!
//! Not here: looking at files (`port::archive`), the store (`verify`).

use crate::report::RunReport;
use crate::retention::UNCLAIMED;
use serde::Serialize;
use std::collections::BTreeMap;
use unseed_core::archive::{Problem, Survey};
use unseed_core::fault::{Category, Fault, listed};
use unseed_core::port::archive::ArchiveStore;
use unseed_core::port::state::StateDb;
use unseed_core::port::store::SectionKind;
use unseed_core::run::{BatchRecord, BatchState, Run, RunState};

/// What a check of one archive found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArchiveCheck {
    pub run: String,
    /// Where the archive is.
    pub archive: String,
    pub batches: u64,
    #[serde(flatten)]
    pub survey: Survey,
}

impl ArchiveCheck {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.survey.problems.is_empty()
    }
}

/// Checks the archive of a run, in whatever state the run is.
///
/// # Errors
/// What the state database says, and a fault when a key that was given does not fit.
pub fn execute(
    state: &mut dyn StateDb,
    archive: &mut dyn ArchiveStore,
    id: &str,
) -> Result<ArchiveCheck, Fault> {
    let run = state.run(id)?;
    let batches = claimed(state, id)?;
    let location = archive.location(id);
    let mut check = ArchiveCheck {
        run: id.to_owned(),
        archive: location,
        batches: u64::try_from(batches.len()).expect("a length fits 64 bits"),
        survey: Survey::default(),
    };
    let numbers: Vec<u64> = batches.iter().map(|batch| batch.number).collect();
    let unclaimed = archive.unclaimed(id, &numbers)?;
    if !batches.is_empty() {
        check.survey = archive.survey(id, &hashes(&batches), is_over(&run))?;
    }
    // Of a run that is over they are among the problems.
    let told = |file: &String| check.survey.problems.iter().any(|problem| problem.file == *file);
    let news: Vec<String> = unclaimed.into_iter().filter(|file| !told(file)).collect();
    let warning = |file| Problem { file, what: UNCLAIMED.to_owned() };
    check.survey.warnings.extend(news.into_iter().map(warning));
    if batches.is_empty() {
        return Ok(check);
    }
    compare(&mut check.survey, &batches);
    if let Some(expired) = check.survey.expired.as_ref().filter(|_| !knows_end(&run)) {
        let what =
            format!("says that the rows expired at {}, which the state database does not know", expired.at);
        check.survey.problems.push(Problem { file: "tombstone.json".to_owned(), what });
    }
    if is_over(&run) && !batches.iter().any(is_of_entries) {
        compare_tables(&mut check.survey, &RunReport::of(&run)?, batches.len());
    }
    Ok(check)
}

/// The fault that a check ends with, when something is wrong.
pub fn fault(checks: &[ArchiveCheck]) -> Option<Fault> {
    let bad: Vec<&ArchiveCheck> = checks.iter().filter(|check| !check.is_clean()).collect();
    let first = bad.first()?;
    let message = match bad.len() {
        1 => format!("{} in the archive of run `{}`", listed(&first.survey.problems, "problem"), first.run),
        several => format!("{several} archives have problems"),
    };
    let mut fault = Fault::new(Category::Findings, message)
        .state("checking changed nothing; the store was not looked at")
        .hint("bring the files that are named back from a copy of the archive, then check again");
    for check in &bad {
        let line = |p: &Problem| format!("{}/{} {}", check.run, p.file, p.what);
        fault.details.extend(check.survey.problems.iter().map(line));
    }
    Some(fault)
}

fn knows_end(run: &Run) -> bool {
    RunReport::of(run).is_ok_and(|report| report.kept.expired.is_some())
}

fn is_over(run: &Run) -> bool {
    match run.state {
        RunState::Done | RunState::Verified | RunState::Restored | RunState::Quarantined => true,
        RunState::Running | RunState::Stopped | RunState::Failed => false,
    }
}

/// Batches whose rows left, whether or not they came back.
pub fn claimed(state: &mut dyn StateDb, id: &str) -> Result<Vec<BatchRecord>, Fault> {
    let left = |batch: &BatchRecord| match batch.state {
        BatchState::Committed | BatchState::Restored => true,
        BatchState::Begun | BatchState::Archived | BatchState::Committing | BatchState::Discarded => false,
    };
    Ok(state.batches(id)?.into_iter().filter(left).collect())
}

/// Numbers and hashes, as archives take them.
pub fn hashes(batches: &[BatchRecord]) -> Vec<(u64, String)> {
    batches.iter().map(|batch| (batch.number, batch.segment_hash.clone())).collect()
}

/// Whether a batch is of a derived store: it is made of entries, not of roots.
fn is_of_entries(batch: &BatchRecord) -> bool {
    batch.roots.is_empty()
}

/// Rows per batch: those that the archive holds and those that were removed.
fn compare(survey: &mut Survey, batches: &[BatchRecord]) {
    for manifest in &survey.manifests {
        let Some(batch) = batches.iter().find(|batch| batch.number == manifest.batch) else { continue };
        let of_entries = is_of_entries(batch);
        let removed: u64 = if of_entries {
            batch.removed.entries.values().sum()
        } else {
            batch.removed.removed.values().sum()
        };
        let rows = manifest.parts.iter().filter(|part| part.head.kind == SectionKind::Rows);
        let archived: u64 = rows.map(|part| part.rows).sum();
        // Entries that changed or were gone when they should leave were archived all the same.
        if archived < removed || (archived > removed && !of_entries) {
            survey.problems.push(Problem {
                file: format!("{}/batch.json", batch.segment),
                what: format!("speaks of {archived} rows, but {removed} were removed"),
            });
        }
    }
}

/// The same per table, over all batches; only where every manifest could be read.
fn compare_tables(survey: &mut Survey, report: &RunReport, batches: usize) {
    if survey.manifests.len() != batches {
        return;
    }
    let mut archived: BTreeMap<String, u64> = BTreeMap::new();
    for manifest in &survey.manifests {
        for (table, rows) in crate::batches::rows_by_table(&manifest.parts) {
            *archived.entry(table).or_default() += rows;
        }
    }
    for (table, figures) in &report.tables {
        let found = archived.get(table).copied().unwrap_or(0);
        if found != figures.deleted {
            survey.problems.push(Problem {
                file: "manifest.json".to_owned(),
                what: format!(
                    "and its batches hold {found} rows of `{table}`, but {} were removed",
                    figures.deleted
                ),
            });
        }
    }
}
