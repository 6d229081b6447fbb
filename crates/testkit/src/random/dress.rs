//! What a table has that changes nothing about which rows a purge takes, but that a store can trip over.
//!
//! A dress is drawn from the seed of the case and the number of the table alone, so that cases stay what they
//! are when a dress is added. Each renderer takes what its database knows.

use super::{Case, Dice, Kind, TableModel};

/// The extras of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dress {
    /// PostgreSQL: it lies in the second schema.
    pub(super) elsewhere: bool,
    /// PostgreSQL: the other schema has a table of the same name with the same rows.
    pub(super) namesake: bool,
    /// PostgreSQL: a table with the same rows inherits from it.
    pub(super) heir: bool,
    /// PostgreSQL: one partition was attached with its columns in another order, the other has partitions itself.
    pub(super) layered: bool,
    /// The lone number that is its key is made by the database (`ALWAYS` when the table's number is even).
    pub(super) identity: bool,
    /// It has a generated column among the others (and, in PostgreSQL, a dropped one before them).
    pub(super) generated: bool,
    /// It has a column of values that are easily spoiled on the way to a file and back.
    pub(super) odd: bool,
    /// SQLite: no rowid.
    pub(super) without_rowid: bool,
    /// Columns that refer have another type than what they refer to; in SQLite, some have none.
    pub(super) loose: bool,
}

impl Case {
    /// The extras of a table.
    pub(super) fn dress(&self, number: usize) -> Dress {
        let mut dice =
            Dice::new(self.seed.wrapping_mul(31).wrapping_add(super::sql::number(number)) ^ 0x00d1_2e55);
        let table = &self.model.tables[number];
        let keyed = !table.primary_key.is_empty();
        Dress {
            elsewhere: dice.chance(30),
            namesake: dice.chance(25),
            heir: dice.chance(15) && table.partitions.is_none(),
            layered: dice.chance(60) && table.partitions.is_some(),
            identity: dice.chance(50) && counts_up(table),
            generated: dice.chance(30),
            odd: dice.chance(40),
            without_rowid: dice.chance(35) && keyed,
            loose: dice.chance(35),
        }
    }
}

impl Case {
    /// Whether a column may have another type than what it refers to: it refers, and nothing refers to it.
    pub(super) fn is_loose(&self, number: usize, column: usize) -> bool {
        let references = &self.model.references;
        let refers = references.iter().any(|r| r.child == number && r.columns.contains(&column));
        let is_meant = references.iter().any(|r| r.parent == number && r.parent_columns.contains(&column));
        let is_key = self.model.tables[number].primary_key.contains(&column);
        self.dress(number).loose && refers && !is_meant && !is_key
    }
}

/// Its key is one number that refers to nothing.
fn counts_up(table: &TableModel) -> bool {
    let [key] = table.primary_key.as_slice() else { return false };
    table.columns[*key].kind == Kind::Integer && table.columns[*key].name == "id"
}
