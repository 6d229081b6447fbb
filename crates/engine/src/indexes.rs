//! Indexes for the time of a run: built before the first batch, dropped after the last one, journaled on both sides.
//!
//! Invariants
//! - the report names all indexes before the first is begun, so that a crash leaves none that nobody knows of;
//! - only what the plan names is built.
//!
//! Not here: which ones are worth it, and how they are built (`io::store`).

use crate::report::{IndexFigures, IndexState};
use crate::session::Session;
use unseed_core::fault::Fault;
use unseed_core::plan::RunIndex;
use unseed_core::port::store::IndexBuilt;
use unseed_core::run::RunState;

/// Builds what the plan names; an index that cannot be had makes the run slower, not wrong.
pub(crate) async fn build(session: &mut Session<'_, '_>) -> Result<(), Fault> {
    let plan = session.whole.plan();
    let wanted: Vec<_> =
        plan.indexes.iter().enumerate().map(|(n, index)| (plan.index_name(n), index.clone())).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let full = |(name, index): &(String, RunIndex)| format!("{}.{name}", index.namespace);
    for wanted in &wanted {
        note(session, &full(wanted), &wanted.1.on(), IndexState::Building, "");
    }
    session.keep(RunState::Running)?;
    for wanted in &wanted {
        let object = format!("{}/{}", session.run, full(wanted));
        session.audit("index.build", &object, "started")?;
    }
    let outcomes = session.cx.store.build_indexes(&wanted, session.cx.progress).await?;
    for (wanted, outcome) in wanted.iter().zip(outcomes) {
        let on = wanted.1.on();
        let (state, why, said, told) = match outcome {
            IndexBuilt::Built => {
                (IndexState::Built, String::new(), "built", format!("built an index for the run: {on}"))
            }
            IndexBuilt::Not(why) => {
                let told = format!("no index on {on}: {why}");
                (IndexState::Skipped, why, "not built", told)
            }
        };
        note(session, &full(wanted), &on, state, &why);
        session.audit("index.build", &format!("{}/{}", session.run, full(wanted)), said)?;
        session.cx.progress.note(&told);
    }
    session.keep(RunState::Running)
}

/// Takes down what was built, by this process or by one that died.
pub(crate) async fn drop(session: &mut Session<'_, '_>) -> Result<(), Fault> {
    let mut dropped = false;
    for position in 0..session.report.indexes.len() {
        let figures = &session.report.indexes[position];
        if !figures.is_left() {
            continue;
        }
        let full = figures.name.clone();
        let (namespace, name) = full.rsplit_once('.').unwrap_or(("", &full));
        session.cx.store.drop_index(namespace, name).await?;
        session.report.indexes[position].state = IndexState::Dropped;
        let object = format!("{}/{full}", session.run);
        session.audit("index.drop", &object, "dropped")?;
        dropped = true;
    }
    if dropped {
        session.keep(session.state)?;
    }
    session.cx.store.finish().await
}

fn note(session: &mut Session<'_, '_>, name: &str, on: &str, state: IndexState, says: &str) {
    let figures = IndexFigures { name: name.to_owned(), on: on.to_owned(), state, says: says.to_owned() };
    let known = session.report.indexes.iter_mut().find(|known| known.name == name);
    match known {
        Some(known) => *known = figures,
        None => session.report.indexes.push(figures),
    }
}
