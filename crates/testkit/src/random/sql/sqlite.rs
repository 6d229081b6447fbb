//! A case as SQL text for SQLite.

use super::{GENERATED, check_for_sqlite, check_name, key_lines, list, literal, quote, rule, text_literal};
use crate::random::{Case, ColumnModel, Kind, ReferenceModel, TableModel};

/// Values that archives get wrong, of every storage class.
const ODD_VALUES: &[&str] = &[
    "1",
    "'1'",
    "1.0",
    "X'31'",
    "9e999",
    "-9e999",
    "-0.0",
    "0.1",
    "1e-300",
    "123456789012345680.0",
    "9223372036854775807",
    "-9223372036854775807 - 1",
    "X''",
    "''",
    "NULL",
    "CAST(X'610062' AS TEXT)",
    "CAST(X'FF' AS TEXT)",
    "'a;' || char(13, 10) || 'b''c'",
];

impl Case {
    /// DDL and rows for SQLite, of the case as [`Case::for_sqlite`] has it.
    pub fn sqlite_sql(&self) -> String {
        let case = self.for_sqlite();
        let mut sql = "PRAGMA foreign_keys = off;\nBEGIN;\n".to_owned();
        for (number, table) in case.model.tables.iter().enumerate() {
            sql.push_str(&case.create(number, table));
            let start = usize::try_from(case.seed % 97).unwrap_or_default() + number;
            let odd = |position: usize| vec![ODD_VALUES[(start + position) % ODD_VALUES.len()].to_owned()];
            let relation = quote(&table.name);
            sql.push_str(&if case.dress(number).odd {
                case.insert(number, &relation, (&[case.odd_name(number)], odd), "")
            } else {
                case.insert(number, &relation, (&[], |_| Vec::new()), "")
            });
        }
        for reference in case.model.references.iter().filter(|r| r.indexed) {
            let child = &case.model.tables[reference.child];
            let name = quote(&format!("ix_{}", reference.name));
            let columns = list(child, &reference.columns);
            sql.push_str(&format!("CREATE INDEX {name} ON {} {columns};\n", quote(&child.name)));
        }
        sql.push_str("COMMIT;\n");
        sql
    }

    /// A query for SQLite that gives every row as `table`, tab, [`crate::random::row_text`].
    pub fn sqlite_content_sql(&self) -> String {
        let relation = |number: usize| quote(&self.model.tables[number].name);
        self.rows_sql(relation, |columns| format!("json_array({})", columns.join(", ")), " || ''")
    }

    /// A query that gives every column of every row with its storage class, one line per row.
    pub fn sqlite_whole_sql(&self) -> String {
        let exact = |column: String| {
            format!(
                "CASE typeof({column}) WHEN 'real' THEN quote({column}) \
                 ELSE typeof({column}) || coalesce(hex(CAST({column} AS BLOB)), '') END"
            )
        };
        let select = |(number, table): (usize, &TableModel)| {
            let dress = self.dress(number);
            let mut names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
            names.extend(dress.generated.then_some(GENERATED));
            names.extend(dress.odd.then_some(self.odd_name(number)));
            let columns: Vec<String> = names.into_iter().map(|name| exact(quote(name))).collect();
            let name = text_literal(&format!("{} ", table.name));
            format!("SELECT {name} || {} FROM {}", columns.join(" || ',' || "), quote(&table.name))
        };
        let selects: Vec<String> = self.model.tables.iter().enumerate().map(select).collect();
        selects.join("\nUNION ALL ") + ";\n"
    }

    fn create(&self, number: usize, table: &TableModel) -> String {
        let dress = self.dress(number);
        let line = |(index, column): (usize, &ColumnModel)| self.column_line(number, index, column);
        let mut lines: Vec<String> = table.columns.iter().enumerate().map(line).collect();
        // A lone integer key written this way is the rowid itself, which has its own traps.
        let rowid = table.primary_key.len() == 1
            && table.columns[table.primary_key[0]].kind == Kind::Integer
            && table.name.len().is_multiple_of(2);
        if rowid {
            let key = table.primary_key[0];
            let counting = if dress.identity && !dress.without_rowid { " AUTOINCREMENT" } else { "" };
            lines[key] = format!("{} INTEGER PRIMARY KEY{counting}", quote(&table.columns[key].name));
        }
        if dress.generated {
            let kind = if number.is_multiple_of(2) { "STORED" } else { "VIRTUAL" };
            lines.insert(1, format!("{} AS (length(\"label\")) {kind}", quote(GENERATED)));
        }
        if dress.odd {
            lines.push(quote(self.odd_name(number)));
        }
        lines.extend(key_lines(table, !rowid));
        for (index, check) in table.checks.iter().enumerate() {
            let text = check_for_sqlite(table, check);
            lines.push(format!("CONSTRAINT {} CHECK ({text})", quote(&check_name(table, index))));
        }
        let references = self.model.references.iter().filter(|r| r.child == number);
        lines.extend(references.map(|reference| self.reference_line(reference)));
        let end = if dress.without_rowid { " WITHOUT ROWID" } else { "" };
        format!("CREATE TABLE {} (\n  {}\n){end};\n", quote(&table.name), lines.join(",\n  "))
    }

    fn column_line(&self, number: usize, index: usize, column: &ColumnModel) -> String {
        let loose = self.is_loose(number, index);
        let kind = match (column.kind, loose) {
            (Kind::Integer, false) => " bigint",
            (Kind::Text, false) => " text",
            (Kind::Integer, true) if index.is_multiple_of(2) => " text",
            (Kind::Integer | Kind::Text, true) => "",
        };
        let null = if column.nullable { "" } else { " NOT NULL" };
        let default = column.default.as_ref().map(|v| format!(" DEFAULT {}", literal(Some(v), column.kind)));
        format!("{}{kind}{null}{}", quote(&column.name), default.unwrap_or_default())
    }

    fn reference_line(&self, r: &ReferenceModel) -> String {
        let (child, parent) = (&self.model.tables[r.child], &self.model.tables[r.parent]);
        format!(
            "CONSTRAINT {} FOREIGN KEY {} REFERENCES {} {}{}{}",
            quote(&r.name),
            list(child, &r.columns),
            quote(&parent.name),
            list(parent, &r.parent_columns),
            rule(r),
            if r.deferrable { " DEFERRABLE INITIALLY DEFERRED" } else { "" },
        )
    }
}
