//! How one database spells what all SQL stores need.

use unseed_core::port::store::SectionHead;
use unseed_core::schema::{Column, Table, TableId};

/// A column of a temporary table that joins look up, and the column that its values come from.
pub(crate) type Indexed<'a> = (String, Option<&'a Column>);

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

    /// The same address, computed from a row of a key set of the table under this alias.
    fn address_in_set(&self, _table: &Table, alias: &str) -> Vec<String> {
        self.address().iter().map(|name| format!("{alias}.{name}")).collect()
    }

    /// What a key set holds to find a row under this alias again, as `expression AS name`.
    fn located(&self, table: &Table, alias: &str) -> Vec<String> {
        let pairs = self.address_of(table, alias).into_iter().zip(self.address());
        pairs.map(|(expression, name)| format!("{expression} AS {name}")).collect()
    }

    /// A value of the type of an address column that suits the rows of every table; key set rows are under `k`.
    fn any_address(&self, name: &str) -> String {
        format!("k.{name}")
    }

    /// The row of the table under alias `x` has this address, as it came back as text.
    fn has_address(&self, table: &Table, x: &str, address: &[String]) -> String {
        let pairs = self.address_of(table, x).into_iter().zip(address);
        let terms: Vec<String> =
            pairs.map(|(e, value)| format!("{e} = {}", self.address_literal(value))).collect();
        terms.join(" AND ")
    }

    /// A value of an address column, as it came back as text, as a literal.
    fn address_literal(&self, value: &str) -> String {
        self.literal(value)
    }

    /// Whether rows of all tables have addresses of the same types, so that one set can hold those of several tables.
    fn addresses_are_alike(&self) -> bool {
        false
    }

    /// An expression that changes with every version of a row, where the database has one.
    fn version_of(&self, table: &Table, alias: &str) -> Option<String>;

    /// Whether the row under alias `x` is the one a key set row under alias `k` addresses.
    fn at(&self, table: &Table, x: &str, k: &str) -> String {
        let columns = self.address_of(table, x);
        let pairs = columns.iter().zip(self.address());
        pairs.map(|(expression, name)| format!("{expression} = {k}.{name}")).collect::<Vec<_>>().join(" AND ")
    }

    /// Whether a set of few rows addresses the row under alias `x`.
    fn among(&self, table: &Table, x: &str, set: &str) -> String {
        format!("EXISTS (SELECT 1 FROM {set} s WHERE {})", self.at(table, x, "s"))
    }

    /// Text form of an expression.
    fn text(&self, expression: &str) -> String;

    /// Text form of an expression of the type of a column, by which its values are told apart.
    fn text_of(&self, _column: &Column, expression: &str) -> String {
        self.text(expression)
    }

    /// Several texts as one, with something between them.
    fn concat(&self, texts: &[String], between: &str) -> String {
        texts.join(&format!(" || {} || ", self.literal(between)))
    }

    /// Two values of a column are the same value, whatever its collation takes for equal.
    fn exactly(&self, _column: &Column, a: &str, b: &str) -> String {
        format!("{a} = {b}")
    }

    /// A condition as a value that is never null.
    fn truth(&self, condition: &str) -> String {
        condition.to_owned()
    }

    /// By what a key set finds its rows, where the database makes no index on its own: names in the set, and the
    /// columns of the table.
    fn lookup(&self, _table: &Table) -> Vec<Vec<(String, usize)>> {
        Vec::new()
    }

    /// A number and an empty text, of types that hold any.
    fn blank_number(&self) -> &'static str {
        "CAST(0 AS bigint)"
    }

    /// See [`Dialect::blank_number`].
    fn blank_text(&self) -> &'static str {
        "CAST('' AS text)"
    }

    /// Statement that makes a temporary table of a query. Joins look it up by these lists of columns, where the
    /// database makes no index on its own; a column of a table tells its type.
    fn create_set(&self, name: &str, _indexes: &[Vec<Indexed<'_>>], select: &str) -> String {
        format!("CREATE TEMPORARY TABLE {name} AS {select}")
    }

    /// Statement that deletes rows; the condition gets the alias under which it finds them.
    fn delete(&self, target: &str, condition: &dyn Fn(&str) -> String) -> String {
        format!("DELETE FROM {target} AS x WHERE {}", condition("x"))
    }

    /// Statement that sets columns (quoted names and values) of a table under this alias, from other rows.
    fn update(
        &self,
        (target, alias): (&str, &str),
        sets: &[(String, String)],
        from: &[String],
        condition: &str,
    ) -> String {
        let sets: Vec<String> = sets.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let from = if from.is_empty() { String::new() } else { format!(" FROM {}", from.join(", ")) };
        format!("UPDATE {target} AS {alias} SET {}{from} WHERE {condition}", sets.join(", "))
    }

    /// The same temporary table, to be read while rows of it are changed.
    fn others_of(&self, name: &str) -> String {
        name.to_owned()
    }

    /// Columns that change by themselves with every update, set to what they are; all but those written anyway.
    fn pinned(&self, _table: &Table, _written: &[String]) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Whether a check fails once columns have other values: pairs of a quoted name and a value.
    fn check_fails(&self, expression: &str, columns: &[(String, String)]) -> String {
        let columns: Vec<String> = columns.iter().map(|(name, value)| format!("{value} AS {name}")).collect();
        format!(
            "EXISTS (SELECT 1 FROM (SELECT {}) AS after_detach WHERE NOT ({expression}))",
            columns.join(", ")
        )
    }

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

    /// These tables as lists for `ANALYZE` and `DROP TABLE`: as many to a statement as it takes.
    fn lists_of_tables(&self, names: &[String]) -> Vec<String> {
        let most = if self.takes_lists_of_tables() { 200 } else { 1 };
        names.chunks(most).map(|names| names.join(", ")).collect()
    }

    /// Whether joins of temporary tables are planned by such statistics.
    fn plans_by_statistics(&self) -> bool {
        false
    }

    /// Number of the tag of a root: its ordinal divided by a group size.
    fn tag_of(&self, ordinal: &str, group: u64) -> String;
}
