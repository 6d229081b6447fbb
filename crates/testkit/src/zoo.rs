//! One very large PostgreSQL schema, as the biggest monoliths grow it, written as SQL.
//!
//! It holds every shape that a planner or a store must cope with, in numbers: partitions in schemas of their own,
//! keys with every ON DELETE rule, composite keys, keys to other unique columns, NOT VALID keys, keys of single
//! partitions and keys to single partitions, self references, rings with and without NULLs, triggers by the hundred,
//! row-level security, checks that forbid what a key's rule wants to do, tables which carry a tenant's id but no key.
//!
//! Invariants
//! - the same `Zoo` gives the same text, byte for byte;
//! - row `g` of every filled table belongs to organization `1 + (g - 1) % organization_count`, and so does every row
//!   it refers to: tenants never share a row, except that SET DEFAULT falls back to user 1;
//! - organization 1 is the operator's own and is meant to be protected; any other may go.
//!
//! Not here: shapes of single tables in isolation; a test that needs one writes its ten lines of SQL.

mod features;
mod model;
mod partitions;
mod render;
mod spine;
mod triggers;

use model::Schema;

/// How large the schema gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zoo {
    /// Tables, counting every partition.
    pub table_count: u32,
    /// Foreign keys as they were declared, not counting copies that partitions inherit.
    pub foreign_key_count: u32,
    pub trigger_count: u32,
    /// How many of the tables that are no partitions are filled.
    pub filled_table_count: u32,
    /// A multiple of `organization_count`.
    pub rows_per_table: u32,
    pub organization_count: u32,
    /// Another seed gives other references between the tables.
    pub seed: u64,
}

impl Zoo {
    /// 1,400 tables, 1,700 foreign keys, 600 triggers; rows in 300 tables.
    pub fn large() -> Self {
        Self {
            table_count: 1_400,
            foreign_key_count: 1_700,
            trigger_count: 600,
            filled_table_count: 300,
            rows_per_table: 40,
            organization_count: 10,
            seed: 7,
        }
    }

    /// Every shape of the large one, in 600 tables of which most are partitions.
    pub fn small() -> Self {
        Self {
            table_count: 600,
            foreign_key_count: 500,
            trigger_count: 120,
            filled_table_count: 80,
            ..Self::large()
        }
    }

    /// The whole schema with its rows, for `psql` or any driver that runs a script.
    pub fn sql(&self) -> String {
        assert!(
            self.rows_per_table.is_multiple_of(self.organization_count),
            "every organization needs as many rows as any other"
        );
        let mut schema = Schema::new(*self);
        spine::add(&mut schema);
        partitions::add(&mut schema);
        features::add(&mut schema);
        features::add_keys_up_to_the_count(&mut schema);
        let declared = u32::try_from(schema.keys.len()).expect("a key count fits");
        assert_eq!(declared, self.foreign_key_count, "the tables alone need more keys than were asked for");
        triggers::add(&mut schema);
        render::script(&schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_zoo_gives_the_same_text() {
        assert_eq!(Zoo::large().sql(), Zoo::large().sql());
        assert_ne!(Zoo::large().sql(), Zoo { seed: 8, ..Zoo::large() }.sql());
    }
}
