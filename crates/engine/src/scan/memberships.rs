//! Which tenant a user belongs to, where a table between them says it.
//!
//! Memory: two hashes per membership. A user of several tenants counts for the one that was read first.

use super::layout::key_hash;
use std::collections::HashMap;
use std::ops::ControlFlow;
use unseed_core::entity::Map;
use unseed_core::fault::Fault;
use unseed_core::port::scan::{Block, ScanSource};
use unseed_core::schema::{ColumnIndex, Schema, TableId};

/// The memberships of all tables of users.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    tables: Vec<Members>,
}

#[derive(Debug)]
struct Members {
    users: TableId,
    /// Columns by which users are addressed.
    columns: Vec<ColumnIndex>,
    tenants: HashMap<u64, u64>,
}

impl Memberships {
    /// Reads every table between users and tenants.
    pub(super) async fn read(source: &mut dyn ScanSource, schema: &Schema, map: &Map) -> Result<Self, Fault> {
        let mut all = Self::default();
        for membership in &map.memberships {
            let (user, tenant) = (&membership.user, &membership.tenant);
            let split = user.child_columns.len();
            let columns = [user.child_columns.as_slice(), &tenant.child_columns].concat();
            let mut tenants = HashMap::new();
            let mut visit = |row: &[Option<&str>]| {
                let (own, theirs) = row.split_at(split);
                let own = key_hash(user.parent, &user.parent_columns, own.iter().copied());
                let theirs = key_hash(tenant.parent, &tenant.parent_columns, theirs.iter().copied());
                if let (Some(own), Some(theirs)) = (own, theirs) {
                    tenants.entry(own).or_insert(theirs);
                }
            };
            let mut take = |block: Box<dyn Block>| {
                block.visit(&mut visit);
                ControlFlow::Continue(())
            };
            source.read(schema, membership.table, &columns, &mut take).await?;
            all.tables.push(Members { users: user.parent, columns: user.parent_columns.clone(), tenants });
        }
        Ok(all)
    }

    /// The columns by which users of a table are addressed, if some table says whose they are.
    pub(super) fn columns(&self, users: TableId) -> Option<&[ColumnIndex]> {
        self.of(users).map(|members| members.columns.as_slice())
    }

    /// The hash of the tenant of a user.
    pub(super) fn tenant(&self, users: TableId, user: u64) -> Option<u64> {
        self.of(users)?.tenants.get(&user).copied()
    }

    fn of(&self, users: TableId) -> Option<&Members> {
        self.tables.iter().find(|members| members.users == users)
    }
}
