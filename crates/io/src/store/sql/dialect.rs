//! How one database spells what all SQL stores need.

use unseed_core::port::store::SectionHead;
use unseed_core::schema::{Column, Table, TableId};

/// The spelling of one database. Expressions are SQL text; `x` is always an alias of the real table and `k`
/// one of a key set.
pub(crate) trait Dialect: Send + Sync {
    /// A quoted identifier.
    fn quote(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    /// A quoted text literal.
    fn literal(&self, text: &str) -> String;

    /// A table to read from, without its inheritance children but with its partitions.
    fn relation(&self, table: &Table) -> String;

    /// A temporary table by its short name.
    fn temp(&self, name: &str) -> String;

    /// Names of the columns by which a key set addresses rows.
    fn address(&self) -> &'static [&'static str];

    /// The same address, computed from a row of the table under this alias.
    fn address_of(&self, table: &Table, alias: &str) -> Vec<String>;

    /// A value of an address column, as it came back as text, as a literal.
    fn address_literal(&self, value: &str) -> String {
        self.literal(value)
    }

    /// An expression that changes with every version of a row, where the database has one.
    fn version_of(&self, alias: &str) -> Option<String>;

    /// Whether the row under alias `x` is the one a key set row under alias `k` addresses.
    fn at(&self, table: &Table, x: &str, k: &str) -> String {
        let columns = self.address_of(table, x);
        let pairs = columns.iter().zip(self.address());
        pairs.map(|(expression, name)| format!("{expression} = {k}.{name}")).collect::<Vec<_>>().join(" AND ")
    }

    /// Text form of an expression.
    fn text(&self, expression: &str) -> String;

    /// The smallest of these, ignoring nulls.
    fn least(&self, expressions: &[String]) -> String;

    /// Null of the type of a column.
    fn null_of(&self, column: &Column) -> String;

    /// Hash over the whole content of a row under this alias, as text.
    fn row_hash(&self, table: &Table, alias: &str) -> String;

    /// Order-free digest over such hashes, as text.
    fn digest_of(&self, hash: &str) -> String;

    /// Whether two columns hold comparable values without a conversion.
    fn comparable(&self, a: &Column, b: &Column) -> bool;

    /// Whether a declared key takes the value of one column for that of another.
    fn refers(&self, (left, _child): (&str, &Column), (right, _parent): (&str, &Column)) -> String {
        format!("{left} = {right}")
    }

    /// Restriction of rows under alias `x` to parts of a partitioned table.
    fn in_parts(&self, x: &str, handles: &[u64]) -> String;

    /// The same for rows of a key set.
    fn key_in_parts(&self, k: &str, handles: &[u64]) -> String;

    /// Name of the temporary table that a section of an archive is loaded into.
    fn staging(&self, id: TableId, head: &SectionHead) -> String;

    /// Statement that creates it with these columns.
    fn create_staging(&self, table: &Table, name: &str, columns: &[String]) -> String;

    /// Address of a row of a staging table.
    fn staging_row(&self, alias: &str) -> String;

    /// Two values are the same or both null, whatever their type.
    fn same(&self, a: &str, b: &str) -> String;

    /// Two values are the same down to their type.
    fn alike(&self, a: &str, b: &str) -> String {
        self.same(a, b)
    }

    /// What an expression is grouped by, so that values share a group if they are [`Dialect::alike`].
    fn group(&self, expression: &str) -> String;

    /// Statement that inserts the staged rows with these columns.
    fn insert_staged(&self, table: &Table, columns: &[String], staging: &str) -> String;

    /// A table to change, without its inheritance children.
    fn target(&self, table: &Table) -> String {
        self.relation(table)
    }

    /// Statement that gathers statistics on a temporary table.
    fn analyze(&self, temp: &str) -> String;

    /// Columns of a table under alias `x` that a subquery must hand on, so that it can stand for the table;
    /// `None` where subqueries are not worth it.
    fn rest_of(&self, _table: &Table) -> Option<String> {
        None
    }

    /// Whether `ANALYZE` and `DROP TABLE` take several tables.
    fn takes_lists_of_tables(&self) -> bool {
        false
    }

    /// Whether joins of temporary tables are planned by such statistics.
    fn plans_by_statistics(&self) -> bool {
        false
    }

    /// Number of the tag of a root: its ordinal divided by a group size.
    fn tag_of(&self, ordinal: &str, group: u64) -> String;
}
