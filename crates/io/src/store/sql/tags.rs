//! Rows per tag, and the tags that must share a batch.
//!
//! Inside a cycle, and for weak references that the stages do not settle, a row can carry a later tag than
//! the row it points at. Removing them in that order would leave the first pointing at nothing for a while,
//! so such tags are reported as joined.

use super::closure::{Sets, key_set};
use super::condition::{Conditions, Side};
use super::counts::Tally;
use super::{Session, SqlError, number};
use std::collections::BTreeSet;
use unseed_core::port::store::{Tags, Work};

/// The tags of the current closure, as they were counted.
pub(crate) async fn tags(
    session: &mut dyn Session,
    work: &Work,
    sets: &Sets,
    tally: &Tally,
) -> Result<Tags, SqlError> {
    let rows: Vec<(u64, u64)> = tally.rows().into_iter().collect();
    let joined = if rows.len() > 1 { joined(session, work, sets).await? } else { Vec::new() };
    Ok(Tags { rows, joined })
}

async fn joined(session: &mut dyn Session, work: &Work, sets: &Sets) -> Result<Vec<(u64, u64)>, SqlError> {
    let d = session.dialect();
    let conditions = Conditions { schema: &work.schema, dialect: d };
    let mut selects = Vec::new();
    for id in &work.program.late {
        let r = work.schema.reference(*id);
        if !sets.has(r.child) || !sets.has(r.parent) {
            continue;
        }
        selects.push(format!(
            "SELECT DISTINCT j.tag, k.tag FROM {} k JOIN {} j ON {} WHERE k.doomed AND j.doomed AND k.tag > j.tag",
            d.temp(&key_set(r.child)),
            d.temp(&key_set(r.parent)),
            conditions.refers(r, ("k", Side::Keys), ("j", Side::Keys)),
        ));
    }
    if selects.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session.rows(&selects.join(" UNION ")).await?;
    let pairs: BTreeSet<(u64, u64)> = rows.iter().map(|row| (number(row, 0), number(row, 1))).collect();
    Ok(pairs.into_iter().collect())
}
