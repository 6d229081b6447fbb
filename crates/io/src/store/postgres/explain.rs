//! The removal of one batch as statements for people: locks, detaching, removing, proof.
//!
//! Of a partitioned table one partition stands for all. What is a list of addresses when it runs is a join here.
//!
//! Not here: the closure (`sql::explain`), running any of this (`remove`).

use super::dialect::{PostgresDialect, qualified};
use super::remove::{self, Mode};
use super::{LOCK_WAIT, effects, rewrite};
use crate::store::sql::closure::key_set;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::explain::{dangling, detach_sources};
use std::collections::BTreeSet;
use unseed_core::plan::Path;
use unseed_core::port::store::{Closure, TagRange, Work};
use unseed_core::schema::TableId;

/// The tags of a batch, as they are written here.
const BATCH: TagRange = TagRange { first: 0, last: 0 };

/// All statements of a batch, as if every set had rows.
pub(super) fn batch(work: &Work) -> Vec<String> {
    let mut statements = vec![LOCK_WAIT.to_owned(), "BEGIN".to_owned()];
    if work.path == Path::Rewrite {
        statements.extend(rewrite::explain(work));
        statements.push(note("nothing else was written", effects::COUNTERS));
        statements.push("COMMIT".to_owned());
        return statements;
    }
    statements.extend(locks(work));
    statements.push(note("the server's counters, before", effects::COUNTERS));
    statements.extend(detaches(work));
    statements.extend(deletes(work));
    if work.path == Path::Checked || work.schema.tables.iter().any(|t| !t.effects.is_empty()) {
        let why = "left out when no check or trigger of the database waits for the commit";
        statements.push(note(why, "SET CONSTRAINTS ALL IMMEDIATE"));
    }
    let why = match work.path {
        Path::Fast | Path::Rewrite => {
            "must find no row that is younger than the closure; left out when nobody else has written"
        }
        Path::Checked => "the server checks this itself, but for references that it does not know",
    };
    statements.extend(dangling(&PostgresDialect, work).iter().map(|sql| note(why, sql)));
    statements.push(note("and after: the difference must be exactly what the plan says", effects::COUNTERS));
    statements.push("COMMIT".to_owned());
    statements
}

fn note(why: &str, sql: &str) -> String {
    format!("-- {why}\n{sql}")
}

fn locks(work: &Work) -> Vec<String> {
    let touched = work.program.sets.iter().map(|set| set.table);
    let touched: BTreeSet<TableId> = touched.chain(work.program.detaches.iter().map(|d| d.table)).collect();
    let parts = touched.iter().flat_map(|table| &work.schema.table(*table).parts);
    let names: Vec<String> = parts.map(|part| format!("ONLY {}", qualified(&part.name))).collect();
    let mut statements = vec![format!("LOCK TABLE {} IN ROW EXCLUSIVE MODE", names.join(", "))];
    for table in &work.program.roots {
        for part in work.schema.table(*table).parts.iter().take(1) {
            statements.push(format!(
                "SELECT count(*) FROM (SELECT 1 FROM {} k JOIN ONLY {} x ON x.ctid = k.tid AND x.xmin = k.ver \
                 WHERE k.doomed AND k.tag BETWEEN 0 AND 0 FOR UPDATE OF x) locked",
                PostgresDialect.temp(&key_set(*table)),
                qualified(&part.name),
            ));
        }
    }
    statements
}

fn role(work: &Work, mode: Mode) -> Option<String> {
    let role = match mode {
        Mode::Firing => "origin",
        Mode::Skipped => "replica",
    };
    (work.path == Path::Fast).then(|| format!("SET LOCAL session_replication_role = {role}"))
}

fn detaches(work: &Work) -> Vec<String> {
    let mut statements = Vec::new();
    for source in detach_sources(work) {
        for part in work.schema.table(source.table).parts.iter().take(1) {
            statements.push(remove::detach_sql(work, &source, part, BATCH));
        }
    }
    if !statements.is_empty() {
        let mode = if work.path == Path::Fast { Mode::Skipped } else { Mode::Firing };
        statements.splice(0..0, role(work, mode));
    }
    statements
}

fn deletes(work: &Work) -> Vec<String> {
    let expected = Closure {
        removed: work.program.sets.iter().map(|set| (set.table, 1)).collect(),
        ..Closure::default()
    };
    let mut statements = Vec::new();
    for segment in remove::segments(work, &expected, false) {
        statements.extend(role(work, segment.mode));
        for table in &segment.tables {
            for part in work.schema.table(*table).parts.iter().take(1) {
                statements.push(remove::delete_sql(work, *table, part, BATCH));
            }
        }
    }
    statements
}
