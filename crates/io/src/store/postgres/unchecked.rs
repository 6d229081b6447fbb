//! Tables whose triggers have to fire, deleted without the server's checks of the keys that refer to them.
//!
//! Triggers fire only where the server's checks run too, and those cost more than all the rest of such a table. So
//! where many of its rows leave, a superuser switches the checks of deletes off for that table in the transaction of
//! the batch, and on again before it ends; nobody else sees that. What the checks would have found is proven by
//! sets, as it is for all other tables of the fast path (`sweep`).
//!
//! Invariants
//! - nobody else writes to the table meanwhile, and nobody is waited for: where the lock is not free, the batch begins
//!   again with checks on;
//! - only checks that are on are switched off, and they are on again when the batch is proven;
//! - where triggers may remove rows beyond the batch, checks stay on.
//!
//! Not here: what is set aside for a restore (`aside`).

use super::Postgres;
use super::dialect::{PostgresDialect, qualified};
use super::remove::{Stop, fires};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, number, text};
use std::collections::BTreeMap;
use unseed_core::plan::Path;
use unseed_core::port::store::{Closure, Work};
use unseed_core::schema::{Part, TableId};

/// Below this many rows in a batch, checks cost less than asking.
const ROWS_MIN: u64 = 1_000;

/// Checks of deletes per plain table, for superusers of databases where no event trigger listens.
const CHECKS: &str = "SELECT c.oid::int8, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
     JOIN pg_constraint k ON k.oid = t.tgconstraint AND k.contype = 'f' AND k.confrelid = c.oid \
     WHERE t.tgisinternal AND t.tgenabled = 'O' AND t.tgtype & 8 <> 0 AND c.relkind = 'r' AND NOT c.relispartition \
     AND NOT EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid)) \
     AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname = current_user AND r.rolsuper) \
     AND NOT EXISTS (SELECT FROM pg_event_trigger e WHERE e.evtenabled <> 'D') AND c.oid IN ";

/// Checks per table, as `pg_trigger` names them.
pub(super) type Checks = BTreeMap<TableId, Vec<String>>;

impl Postgres {
    /// Locks the tables of a batch whose checks are to be switched off, once its roots are locked: whoever holds one
    /// of those may go on to write to these tables, and would wait for us while we wait for them.
    /// Returns nothing to switch off where there is no need or no right; [`Stop::Busy`] where the lock is not free.
    pub(super) async fn lock_unchecked(&mut self, work: &Work, expected: &Closure) -> Result<Checks, Stop> {
        let many = |table: &TableId| expected.removed.get(table).is_some_and(|rows| *rows >= ROWS_MIN);
        let sure = work.path == Path::Fast && work.allowed_effects.is_empty() && !self.apart && !self.held;
        if !sure || !expected.removed.keys().any(|table| fires(work, *table) && many(table)) {
            return Ok(Checks::new());
        }
        let mut checks = self.checks(work).await?;
        checks.retain(|table, _| many(table));
        if checks.is_empty() {
            return Ok(checks);
        }
        let names: Vec<String> = checks.keys().map(|table| only(work, *table)).collect();
        let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE NOWAIT", names.join(", "));
        match self.session.run(&lock).await {
            Ok(_) => Ok(checks),
            Err(error) if error.code.is_some() => Err(Stop::Busy),
            Err(error) => Err(error.into()),
        }
    }

    /// All checks that may be switched off in this run, once they were asked for.
    async fn checks(&mut self, work: &Work) -> Result<Checks, SqlError> {
        if let Some(known) = &self.closed.checks {
            return Ok(known.clone());
        }
        let firing = work.schema.table_ids().filter(|table| fires(work, *table));
        let owner: BTreeMap<u64, TableId> =
            firing.filter_map(|table| Some((plain(work, table)?.handle, table))).collect();
        let handles: Vec<String> = owner.keys().map(ToString::to_string).collect();
        let mut checks = Checks::new();
        for row in self.session.rows(&format!("{CHECKS}({})", handles.join(", "))).await? {
            if let Some(table) = owner.get(&number(&row, 0)) {
                checks.entry(*table).or_default().push(text(&row, 1));
            }
        }
        self.closed.checks = Some(checks.clone());
        Ok(checks)
    }

    /// Switches the checks off, or on again.
    pub(super) async fn switch_checks(
        &mut self,
        work: &Work,
        checks: &Checks,
        word: &str,
    ) -> Result<(), SqlError> {
        for (table, names) in checks {
            let each: Vec<String> =
                names.iter().map(|name| format!("{word} TRIGGER {}", PostgresDialect.quote(name))).collect();
            self.session.run(&format!("ALTER TABLE {} {}", only(work, *table), each.join(", "))).await?;
        }
        Ok(())
    }
}

/// The only part of a table.
fn plain(work: &Work, table: TableId) -> Option<&Part> {
    match work.schema.table(table).parts.as_slice() {
        [part] => Some(part),
        _ => None,
    }
}

fn only(work: &Work, table: TableId) -> String {
    plain(work, table).map(|part| format!("ONLY {}", qualified(&part.name))).unwrap_or_default()
}
