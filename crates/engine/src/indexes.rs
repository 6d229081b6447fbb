//! Indexes for the time of a run: built before the first batch, dropped after the last one, journaled on both sides.
//!
//! Invariants
//! - the report names an index before it is begun, so that a crash leaves none that nobody knows of;
//! - only what the plan names is built.
//!
//! Not here: which ones are worth it, and how they are built (`io::store`).

use crate::report::{IndexFigures, IndexState};
use crate::session::Session;
use unseed_core::fault::Fault;
use unseed_core::port::store::IndexBuilt;
use unseed_core::run::RunState;

/// Builds what the plan names; an index that cannot be had makes the run slower, not wrong.
pub(crate) async fn build(session: &mut Session<'_, '_>) -> Result<(), Fault> {
    let plan = session.whole.plan();
    let wanted: Vec<_> =
        plan.indexes.iter().enumerate().map(|(n, index)| (plan.index_name(n), index.clone())).collect();
    let total = u64::try_from(wanted.len()).ok();
    for ((name, index), done) in wanted.into_iter().zip(0..) {
        let full = format!("{}.{name}", index.namespace);
        let object = format!("{}/{full}", session.run);
        session.cx.progress.update("building indexes", done, total);
        note(session, &full, &index.on(), IndexState::Building, "")?;
        session.audit("index.build", &object, "started")?;
        match session.cx.store.build_index(&name, &index).await? {
            IndexBuilt::Built => {
                note(session, &full, &index.on(), IndexState::Built, "")?;
                session.audit("index.build", &object, "built")?;
                session.cx.progress.note(&format!("built an index for the run: {}", index.on()));
            }
            IndexBuilt::Not(why) => {
                note(session, &full, &index.on(), IndexState::Skipped, &why)?;
                session.audit("index.build", &object, "not built")?;
                session.cx.progress.note(&format!("no index on {}: {why}", index.on()));
            }
        }
    }
    Ok(())
}

/// Takes down what was built, by this process or by one that died.
pub(crate) async fn drop(session: &mut Session<'_, '_>) -> Result<(), Fault> {
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
        session.keep(session.state)?;
    }
    session.cx.store.finish().await
}

fn note(
    session: &mut Session<'_, '_>,
    name: &str,
    on: &str,
    state: IndexState,
    says: &str,
) -> Result<(), Fault> {
    let figures = IndexFigures { name: name.to_owned(), on: on.to_owned(), state, says: says.to_owned() };
    let known = session.report.indexes.iter_mut().find(|known| known.name == name);
    match known {
        Some(known) => *known = figures,
        None => session.report.indexes.push(figures),
    }
    session.keep(RunState::Running)
}
