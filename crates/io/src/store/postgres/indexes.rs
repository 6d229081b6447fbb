//! Indexes for the time of a run: where the server checks foreign keys itself, a key without an index makes
//! every removed parent scan the whole referring table.
//!
//! They are built and dropped concurrently, outside any transaction, so that nobody is blocked for long.
//! Their names start with `unseed_tmp_`; what a crashed run left behind is dropped before anything is built.

use super::Postgres;
use super::dialect::{PostgresDialect, qualified};
use super::remove::fires;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, text};
use std::collections::BTreeSet;
use unseed_core::fault::Fault;
use unseed_core::plan::Path;
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{Closure, Work};
use unseed_core::schema::{Origin, Reference, TableName};

/// Rows that one backend can look at in a second, roughly; only used to weigh an index against its absence.
const ROWS_PER_SECOND: u64 = 10_000_000;

impl Postgres {
    /// Builds the indexes whose absence would cost more than a second; returns them in words.
    pub(super) async fn build_indexes(
        &mut self,
        work: &Work,
        closure: &Closure,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Fault> {
        self.drop_indexes().await?;
        let wanted = wanted(work, closure);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let owned = self.owned().await.map_err(|e| e.fault("reading table owners"))?;
        let mut built = Vec::new();
        let total = u64::try_from(wanted.len()).ok();
        for (n, (relation, columns)) in wanted.into_iter().enumerate() {
            progress.update("building indexes", u64::try_from(n).unwrap_or_default(), total);
            if !owned.contains(&relation.to_string()) {
                let why = "this role does not own the table, or may not CREATE in its schema";
                progress.note(&format!(
                    "no index on {relation} ({columns}), so its key is checked slowly: {why}"
                ));
                continue;
            }
            let name = format!("unseed_tmp_{}", n + 1);
            let sql = format!("CREATE INDEX CONCURRENTLY {name} ON {} ({columns})", qualified(&relation));
            match self.session.run(&sql).await {
                Ok(_) => built.push(format!("{relation} ({columns})")),
                // Without the index the run is slow, not wrong.
                Err(error) => progress.note(&format!("no index on {relation} ({columns}): {error}")),
            }
        }
        Ok(built)
    }

    /// Drops every index that a run of ours has built.
    pub(super) async fn drop_indexes(&mut self) -> Result<(), Fault> {
        let failed = |e: SqlError| e.fault("dropping the indexes of the run");
        let sql = "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c \
                   JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE c.relkind = 'i' AND c.relname LIKE 'unseed\\_tmp\\_%' AND pg_has_role(c.relowner, 'USAGE')";
        for row in self.session.rows(sql).await.map_err(failed)? {
            let sql = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", text(&row, 0));
            self.session.run(&sql).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn owned(&mut self) -> Result<BTreeSet<String>, SqlError> {
        let sql = "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE')";
        Ok(self.session.rows(sql).await?.iter().map(|row| text(row, 0)).collect())
    }
}

/// Relations and columns, each once.
fn wanted(work: &Work, closure: &Closure) -> Vec<(TableName, String)> {
    let mut wanted: BTreeSet<(TableName, String)> = BTreeSet::new();
    for r in work.schema.references.iter().filter(|r| !r.indexed && r.origin == Origin::Declared) {
        let child = work.schema.table(r.child);
        let columns: Vec<String> =
            r.child_columns.iter().map(|c| PostgresDialect.quote(&child.columns[*c].name)).collect();
        if costs(work, closure, r) > 1 {
            wanted.extend(child.parts.iter().map(|part| (part.name.clone(), columns.join(", "))));
        }
    }
    wanted.into_iter().collect()
}

/// Seconds that the server's own checks of this key would take without an index.
fn costs(work: &Work, closure: &Closure, r: &Reference) -> u64 {
    let checked = work.path == Path::Checked || fires(work, r.parent);
    let parents = closure.removed.get(&r.parent).copied().unwrap_or(0);
    if !checked || parents == 0 {
        return 0;
    }
    let known = work.schema.table(r.child).rows_estimate;
    let children = known.max(closure.removed.get(&r.child).copied().unwrap_or(0));
    parents.saturating_mul(children) / ROWS_PER_SECOND
}
