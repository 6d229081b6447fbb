//! A case as SQL text. Rows are inserted before the foreign keys are added (PostgreSQL) or while they are
//! not looked at (SQLite), so that cycles need no order.

use super::{Case, CheckModel, Kind, ReferenceModel, TableModel};
use unseed_core::schema::OnDelete;

impl Case {
    /// DDL and rows for PostgreSQL 15 and later, in the current schema.
    pub fn postgres_sql(&self) -> String {
        let mut sql = String::new();
        for table in &self.model.tables {
            sql.push_str(&create_for_postgres(table));
            sql.push_str(&inserts(table));
        }
        for reference in &self.model.references {
            sql.push_str(&self.add_for_postgres(reference));
            if reference.indexed {
                sql.push_str(&self.index(reference));
            }
        }
        sql
    }

    /// DDL and rows for SQLite, of the case as [`Case::for_sqlite`] has it.
    pub fn sqlite_sql(&self) -> String {
        let case = self.for_sqlite();
        let mut sql = "PRAGMA foreign_keys = off;\nBEGIN;\n".to_owned();
        for (number, table) in case.model.tables.iter().enumerate() {
            sql.push_str(&case.create_for_sqlite(number, table));
            sql.push_str(&inserts(table));
        }
        for reference in case.model.references.iter().filter(|r| r.indexed) {
            sql.push_str(&case.index(reference));
        }
        sql.push_str("COMMIT;\n");
        sql
    }

    /// A query for PostgreSQL that gives every row as `table`, tab, [`super::row_text`].
    pub fn postgres_content_sql(&self) -> String {
        self.content_sql(
            |columns| format!("array_to_json(ARRAY[{}]::text[])::text", columns.join(", ")),
            "::text",
        )
    }

    /// The same for SQLite, one line per row too.
    pub fn sqlite_content_sql(&self) -> String {
        self.content_sql(|columns| format!("json_array({})", columns.join(", ")), " || ''")
    }

    fn content_sql(&self, row: impl Fn(&[String]) -> String, as_text: &str) -> String {
        let select = |table: &TableModel| {
            let columns: Vec<String> =
                table.columns.iter().map(|c| format!("{}{as_text}", quote(&c.name))).collect();
            let name = literal(Some(&format!("{}\t", table.name)), Kind::Text);
            format!("SELECT {name} || {} FROM {}", row(&columns), quote(&table.name))
        };
        let selects: Vec<String> = self.model.tables.iter().map(select).collect();
        selects.join("\nUNION ALL ") + ";\n"
    }

    fn add_for_postgres(&self, r: &ReferenceModel) -> String {
        let child = &self.model.tables[r.child];
        let target =
            r.child_partition.map_or_else(|| quote(&child.name), |part| quote(&part_name(child, part)));
        let set = r.set_columns.as_ref().map(|c| format!(" {}", list(child, c))).unwrap_or_default();
        format!(
            "ALTER TABLE {target} ADD CONSTRAINT {} {}{}{set}{}{};\n",
            quote(&r.name),
            self.key_text(r),
            rule(r),
            if r.deferrable { " DEFERRABLE INITIALLY DEFERRED" } else { "" },
            if r.not_valid { " NOT VALID" } else { "" },
        )
    }

    fn key_text(&self, r: &ReferenceModel) -> String {
        let (child, parent) = (&self.model.tables[r.child], &self.model.tables[r.parent]);
        format!(
            "FOREIGN KEY {} REFERENCES {} {}{}",
            list(child, &r.columns),
            quote(&parent.name),
            list(parent, &r.parent_columns),
            if r.match_full { " MATCH FULL" } else { "" },
        )
    }

    fn index(&self, r: &ReferenceModel) -> String {
        let child = &self.model.tables[r.child];
        let name = quote(&format!("ix_{}", r.name));
        format!("CREATE INDEX {name} ON {} {};\n", quote(&child.name), list(child, &r.columns))
    }

    fn create_for_sqlite(&self, number: usize, table: &TableModel) -> String {
        let mut lines = column_lines(table);
        // A lone integer key written this way is the rowid itself, which has its own traps.
        let rowid = table.primary_key.len() == 1
            && table.columns[table.primary_key[0]].kind == Kind::Integer
            && table.name.len() % 2 == 0;
        if rowid {
            let key = table.primary_key[0];
            lines[key] = format!("{} INTEGER PRIMARY KEY", quote(&table.columns[key].name));
        }
        lines.extend(key_lines(table, !rowid));
        for (index, check) in table.checks.iter().enumerate() {
            let text = check_for_sqlite(table, check);
            lines.push(format!("CONSTRAINT {} CHECK ({text})", quote(&check_name(table, index))));
        }
        for reference in self.model.references.iter().filter(|r| r.child == number) {
            let deferrable = if reference.deferrable { " DEFERRABLE INITIALLY DEFERRED" } else { "" };
            let name = quote(&reference.name);
            lines.push(format!(
                "CONSTRAINT {name} {}{}{deferrable}",
                self.key_text(reference),
                rule(reference)
            ));
        }
        format!("CREATE TABLE {} (\n  {}\n);\n", quote(&table.name), lines.join(",\n  "))
    }
}

fn create_for_postgres(table: &TableModel) -> String {
    let mut lines = column_lines(table);
    lines.extend(key_lines(table, true));
    for (index, check) in table.checks.iter().enumerate() {
        let text = check_for_postgres(table, check);
        lines.push(format!("CONSTRAINT {} CHECK ({text})", quote(&check_name(table, index))));
    }
    let by = table.partitions.as_ref().map(|p| quote(&table.columns[p.column].name));
    let by = by.map(|column| format!(" PARTITION BY LIST ({column})")).unwrap_or_default();
    let mut sql = format!("CREATE TABLE {} (\n  {}\n){by};\n", quote(&table.name), lines.join(",\n  "));
    for (part, values) in table.partitions.iter().flat_map(|p| p.values.iter().enumerate()) {
        let kind = table.partitions.as_ref().map_or(Kind::Integer, |p| table.columns[p.column].kind);
        let values: Vec<String> = values.iter().map(|value| literal(Some(value), kind)).collect();
        sql.push_str(&format!(
            "CREATE TABLE {} PARTITION OF {} FOR VALUES IN ({});\n",
            quote(&part_name(table, part)),
            quote(&table.name),
            values.join(", ")
        ));
    }
    sql
}

fn column_lines(table: &TableModel) -> Vec<String> {
    let line = |column: &super::ColumnModel| {
        let kind = match column.kind {
            Kind::Integer => "bigint",
            Kind::Text => "text",
        };
        let null = if column.nullable { "" } else { " NOT NULL" };
        let default = column.default.as_ref().map(|v| format!(" DEFAULT {}", literal(Some(v), column.kind)));
        format!("{} {kind}{null}{}", quote(&column.name), default.unwrap_or_default())
    };
    table.columns.iter().map(line).collect()
}

fn key_lines(table: &TableModel, primary: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if primary && !table.primary_key.is_empty() {
        lines.push(format!("PRIMARY KEY {}", list(table, &table.primary_key)));
    }
    lines.extend(table.uniques.iter().map(|unique| format!("UNIQUE {}", list(table, unique))));
    lines
}

fn inserts(table: &TableModel) -> String {
    let mut sql = String::new();
    for row in &table.rows {
        let values: Vec<String> =
            row.iter().zip(&table.columns).map(|(value, c)| literal(value.as_ref(), c.kind)).collect();
        sql.push_str(&format!("INSERT INTO {} VALUES ({});\n", quote(&table.name), values.join(", ")));
    }
    sql
}

fn rule(r: &ReferenceModel) -> String {
    match r.on_delete {
        OnDelete::NoAction => String::new(),
        OnDelete::Restrict | OnDelete::Cascade | OnDelete::SetNull | OnDelete::SetDefault => {
            format!(" ON DELETE {}", r.on_delete.sql())
        }
    }
}

/// An identifier, quoted.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value as a literal.
pub(super) fn literal(value: Option<&String>, kind: Kind) -> String {
    match (value, kind) {
        (None, Kind::Integer | Kind::Text) => "NULL".to_owned(),
        (Some(value), Kind::Integer) => value.clone(),
        (Some(value), Kind::Text) => format!("'{}'", value.replace('\'', "''")),
    }
}

/// Name of a partition.
pub(super) fn part_name(table: &TableModel, part: usize) -> String {
    format!("{} p{part}", table.name)
}

/// Name of a check.
pub(super) fn check_name(table: &TableModel, number: usize) -> String {
    format!("{} check {number}", table.name)
}

fn list(table: &TableModel, columns: &[usize]) -> String {
    let names: Vec<String> = columns.iter().map(|c| quote(&table.columns[*c].name)).collect();
    format!("({})", names.join(", "))
}

fn joined(table: &TableModel, columns: &[usize], suffix: &str, word: &str) -> String {
    let terms: Vec<String> =
        columns.iter().map(|c| format!("{} {suffix}", quote(&table.columns[*c].name))).collect();
    terms.join(word)
}

/// A check as PostgreSQL and the memory store spell it.
pub(super) fn check_for_postgres(table: &TableModel, check: &CheckModel) -> String {
    match check {
        CheckModel::OneSet(columns) => format!("num_nonnulls{} = 1", list(table, columns)),
        CheckModel::AnySet(_) | CheckModel::AllOrNone(_) => check_for_sqlite(table, check),
    }
}

fn check_for_sqlite(table: &TableModel, check: &CheckModel) -> String {
    match check {
        CheckModel::AnySet(columns) => joined(table, columns, "IS NOT NULL", " OR "),
        CheckModel::OneSet(columns) => {
            let terms: Vec<String> =
                columns.iter().map(|c| format!("({} IS NOT NULL)", quote(&table.columns[*c].name))).collect();
            format!("({}) = 1", terms.join(" + "))
        }
        CheckModel::AllOrNone(columns) => format!(
            "({}) OR ({})",
            joined(table, columns, "IS NULL", " AND "),
            joined(table, columns, "IS NOT NULL", " AND ")
        ),
    }
}

/// A small number as one of the seeds' kind.
pub(super) fn number(small: usize) -> u64 {
    u64::try_from(small).expect("a small number")
}
