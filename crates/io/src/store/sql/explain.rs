//! The closure as the statements that compute it, for people who want to read them before approving.

use super::closure::{self, Closing};
use super::dialect::Dialect;
use unseed_core::closure::Stage;
use unseed_core::port::store::Work;

/// All statements of the closure, as if every set had rows.
pub(crate) fn closure(d: &dyn Dialect, work: &Work) -> Vec<String> {
    let mut closing = Closing::new(work);
    let mut statements = Vec::new();
    for table in &work.program.roots {
        statements.push(closing.explain_seed(d, *table));
    }
    for stage in &work.program.stages {
        let visits = match stage {
            Stage::Once(visit) => std::slice::from_ref(visit),
            Stage::Fixpoint(visits) => {
                closing.assume(visits);
                visits
            }
        };
        for visit in visits {
            statements.extend(closing.explain_visit(d, visit));
        }
    }
    for detach in &work.program.detaches {
        statements.extend(closing.explain_detach(d, detach.table));
    }
    statements.into_iter().map(|s| closure::pretty(&s)).collect()
}
