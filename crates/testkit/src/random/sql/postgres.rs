//! A case as SQL text for PostgreSQL 15 and later.

use super::{GENERATED, check_for_postgres, check_name, key_lines, list, literal, part_name, quote, rule};
use crate::random::{Case, ColumnModel, Kind, ReferenceModel, TableModel};

/// The two schemas that tables lie in; the second name needs quotes.
const SCHEMAS: [&str; 2] = ["public", "Other place"];

/// Types with values that are easily spoiled, or that cannot be compared with `=`.
const ODD_TYPES: &[(&str, [&str; 2])] = &[
    ("numeric", ["'NaN'", "1.10"]),
    ("double precision", ["'-0'", "'-Infinity'"]),
    ("timestamptz", ["'infinity'", "'0044-03-15 23:59:59.999999+05:30 BC'"]),
    ("bytea", ["'\\x00ff5c0a27'", "''"]),
    ("json", ["'{\"a\": 1, \"a\": \"x\\ty\"}'", "'null'"]),
    ("jsonb", ["'{\"b\": [1.0, null]}'", "'\"\\\\\"'"]),
    ("text[]", ["'{NULL,\"a,b\",\"\\\\\",\"\"}'", "'{}'"]),
    ("int4range", ["'(,5)'", "'empty'"]),
    ("interval", ["'1 mon -3 days 00:00:00.5'", "'-0.000001 s'"]),
    ("point", ["'(1,-0)'", "'(0,1e-300)'"]),
    ("char(4)", ["'ab'", "''"]),
    ("bit varying", ["B'101'", "B''"]),
    ("public.mood", ["'it''s so'", "'so-so'"]),
    ("public.short", ["'tab\t'", "''"]),
    ("public.pair", ["ROW(1, 'a)b')", "ROW(NULL, '')"]),
];

const PREAMBLE: &str = "
CREATE SCHEMA \"Other place\";
CREATE TYPE public.mood AS ENUM ('so-so', 'it''s so');
CREATE DOMAIN public.short AS text CHECK (length(VALUE) < 9);
CREATE TYPE public.pair AS (a int, b text);
";

impl Case {
    /// DDL and rows, in an empty schema `public` and a schema of the case's own.
    pub fn postgres_sql(&self) -> String {
        let mut sql = PREAMBLE.to_owned();
        for number in 0..self.model.tables.len() {
            sql.push_str(&self.create_table(number));
            sql.push_str(&self.insert_rows(number));
            sql.push_str(&self.companions(number));
        }
        for reference in &self.model.references {
            sql.push_str(&self.add_reference(reference));
            if reference.indexed {
                let child = &self.model.tables[reference.child];
                let name = quote(&format!("ix_{}", reference.name));
                let columns = list(child, &reference.columns);
                sql.push_str(&format!(
                    "CREATE INDEX {name} ON {} {columns};\n",
                    self.relation(reference.child)
                ));
            }
        }
        sql
    }

    /// Takes away what [`Case::postgres_sql`] made.
    pub fn postgres_drop_sql() -> &'static str {
        "DROP SCHEMA IF EXISTS \"Other place\" CASCADE; DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public;\n"
    }

    /// A query that gives every row as `table`, tab, [`crate::random::row_text`].
    pub fn postgres_content_sql(&self) -> String {
        let only = |number: usize| {
            let only = if self.model.tables[number].partitions.is_some() { "" } else { "ONLY " };
            format!("{only}{}", self.relation(number))
        };
        self.rows_sql(
            only,
            |columns| format!("array_to_json(ARRAY[{}]::text[])::text", columns.join(", ")),
            "::text",
        )
    }

    /// A query that gives every column of every row, also of tables that no purge may touch, and the partition
    /// that it lies in; one line per row.
    pub fn postgres_whole_sql(&self) -> String {
        let mut relations = Vec::new();
        for number in 0..self.model.tables.len() {
            // This reads the heir too.
            relations.push(self.relation(number));
            relations.extend(self.dress(number).namesake.then(|| self.namesake(number)));
        }
        let select =
            |relation: &String| format!("SELECT x.tableoid::regclass || ' ' || to_json(x) FROM {relation} x");
        let selects: Vec<String> = relations.iter().map(select).collect();
        selects.join("\nUNION ALL ") + ";\n"
    }

    /// The roots as [`Case::root_keys`] has them, by the name of the table with its schema.
    pub fn postgres_root_keys(&self) -> Vec<(String, Vec<String>, Vec<Vec<String>>)> {
        let mut roots = self.root_keys();
        for ((table, _, _), (number, _)) in roots.iter_mut().zip(&self.roots) {
            *table = format!("{}.{table}", self.schema_of(*number));
        }
        roots
    }

    fn schema_of(&self, number: usize) -> &'static str {
        SCHEMAS[usize::from(self.dress(number).elsewhere)]
    }

    fn relation(&self, number: usize) -> String {
        format!("{}.{}", quote(self.schema_of(number)), quote(&self.model.tables[number].name))
    }

    /// The table of the same name in the other schema.
    fn namesake(&self, number: usize) -> String {
        let other = SCHEMAS[usize::from(!self.dress(number).elsewhere)];
        format!("{}.{}", quote(other), quote(&self.model.tables[number].name))
    }

    /// Partitions of a table in layers lie in the other schema.
    fn partition(&self, number: usize, name: &str) -> String {
        let dress = self.dress(number);
        format!("{}.{}", quote(SCHEMAS[usize::from(dress.elsewhere != dress.layered)]), quote(name))
    }

    fn column_lines(&self, number: usize) -> Vec<String> {
        let dress = self.dress(number);
        let table = &self.model.tables[number];
        let line = |(index, column): (usize, &ColumnModel)| column_line(column, self.is_loose(number, index));
        let mut lines: Vec<String> = table.columns.iter().enumerate().map(line).collect();
        if dress.identity {
            let how = if number.is_multiple_of(2) { "ALWAYS" } else { "BY DEFAULT" };
            lines[table.primary_key[0]].push_str(&format!(" GENERATED {how} AS IDENTITY"));
        }
        if dress.generated {
            let line =
                format!("{} bigint GENERATED ALWAYS AS (length(\"label\") * 2) STORED", quote(GENERATED));
            lines.insert(1, line);
        }
        if dress.odd {
            lines.push(format!("{} {}", quote(self.odd_name(number)), self.odd(number).0));
        }
        lines
    }

    fn check_lines(&self, number: usize) -> Vec<String> {
        let table = &self.model.tables[number];
        let checks = table.checks.iter().enumerate();
        let line = |(index, check)| {
            let text = check_for_postgres(table, check);
            format!("CONSTRAINT {} CHECK ({text})", quote(&check_name(table, index)))
        };
        checks.map(line).collect()
    }

    fn create_table(&self, number: usize) -> String {
        let table = &self.model.tables[number];
        let relation = self.relation(number);
        let mut lines = self.column_lines(number);
        let dropped = self.dress(number).generated;
        if dropped {
            lines.insert(0, "gone int".to_owned());
        }
        lines.extend(key_lines(table, true));
        lines.extend(self.check_lines(number));
        let by = table.partitions.as_ref().map(|p| quote(&table.columns[p.column].name));
        let by = by.map(|column| format!(" PARTITION BY LIST ({column})")).unwrap_or_default();
        let mut sql = format!("CREATE TABLE {relation} (\n  {}\n){by};\n", lines.join(",\n  "));
        if dropped {
            sql.push_str(&format!("ALTER TABLE {relation} DROP COLUMN gone;\n"));
        }
        for part in 0..table.partitions.as_ref().map_or(0, |p| p.values.len()) {
            sql.push_str(&self.create_partition(number, part));
        }
        sql
    }

    fn create_partition(&self, number: usize, part: usize) -> String {
        let table = &self.model.tables[number];
        let partitions = table.partitions.as_ref().expect("only tables with partitions are asked for one");
        let column = &table.columns[partitions.column];
        let values: Vec<String> =
            partitions.values[part].iter().map(|value| literal(Some(value), column.kind)).collect();
        let (relation, name) = (self.relation(number), self.partition(number, &part_name(table, part)));
        let bound = format!("FOR VALUES IN ({})", values.join(", "));
        match (self.dress(number).layered, part) {
            (false, _) => format!("CREATE TABLE {name} PARTITION OF {relation} {bound};\n"),
            (true, 0) => {
                let mut lines = self.column_lines(number);
                lines.reverse();
                lines.extend(self.check_lines(number));
                let columns = lines.join(",\n  ");
                format!(
                    "CREATE TABLE {name} (\n  {columns}\n);\nALTER TABLE {relation} ATTACH PARTITION {name} {bound};\n"
                )
            }
            (true, _) => {
                let inner =
                    |suffix: &str| self.partition(number, &format!("{} {suffix}", part_name(table, part)));
                format!(
                    "CREATE TABLE {name} PARTITION OF {relation} {bound} PARTITION BY LIST ({});\n\
                     CREATE TABLE {} PARTITION OF {name} FOR VALUES IN ({});\n\
                     CREATE TABLE {} PARTITION OF {name} DEFAULT;\n",
                    quote(&column.name),
                    inner("first"),
                    values[0],
                    inner("rest"),
                )
            }
        }
    }

    fn odd(&self, number: usize) -> (&'static str, [&'static str; 2]) {
        let start = usize::try_from(self.seed % 101).unwrap_or_default();
        ODD_TYPES[(start + number) % ODD_TYPES.len()]
    }

    fn insert_rows(&self, number: usize) -> String {
        let dress = self.dress(number);
        let overriding = if dress.identity { " OVERRIDING SYSTEM VALUE" } else { "" };
        let relation = self.relation(number);
        if !dress.odd {
            return self.insert(number, &relation, (&[], |_| Vec::new()), overriding);
        }
        let (_, values) = self.odd(number);
        let odd = |position: usize| {
            let value = values.get(position % 3).copied();
            vec![value.unwrap_or("NULL").to_owned()]
        };
        self.insert(number, &relation, (&[self.odd_name(number)], odd), overriding)
    }

    /// Tables with the same rows that no purge may touch.
    fn companions(&self, number: usize) -> String {
        let dress = self.dress(number);
        let (table, relation) = (&self.model.tables[number], self.relation(number));
        let columns: Vec<String> = table.columns.iter().map(|c| quote(&c.name)).collect();
        let columns = columns.join(", ");
        let mut sql = String::new();
        if dress.namesake {
            let name = self.namesake(number);
            sql.push_str(&format!(
                "CREATE TABLE {name} (LIKE {relation});\n\
                 INSERT INTO {name} ({columns}) SELECT {columns} FROM {relation};\n"
            ));
        }
        if dress.heir {
            let name =
                format!("{}.{}", quote(self.schema_of(number)), quote(&format!("{} heir", table.name)));
            sql.push_str(&format!(
                "CREATE TABLE {name} () INHERITS ({relation});\n\
                 INSERT INTO {name} ({columns}) SELECT {columns} FROM ONLY {relation};\n"
            ));
        }
        sql
    }

    fn add_reference(&self, r: &ReferenceModel) -> String {
        let (child, parent) = (&self.model.tables[r.child], &self.model.tables[r.parent]);
        let place = |number: usize, table: &TableModel, part: Option<usize>| match part {
            None => self.relation(number),
            Some(part) => self.partition(number, &part_name(table, part)),
        };
        let set = r.set_columns.as_ref().map(|c| format!(" {}", list(child, c))).unwrap_or_default();
        format!(
            "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY {} REFERENCES {} {}{}{}{set}{}{};\n",
            place(r.child, child, r.child_partition),
            quote(&r.name),
            list(child, &r.columns),
            place(r.parent, parent, r.parent_partition),
            list(parent, &r.parent_columns),
            if r.match_full { " MATCH FULL" } else { "" },
            rule(r),
            if r.deferrable { " DEFERRABLE INITIALLY DEFERRED" } else { "" },
            if r.not_valid { " NOT VALID" } else { "" },
        )
    }
}

fn column_line(column: &ColumnModel, loose: bool) -> String {
    let kind = match (column.kind, loose) {
        (Kind::Integer, false) => "bigint",
        (Kind::Text, false) => "text",
        (Kind::Integer, true) => "int",
        (Kind::Text, true) => "varchar(40)",
    };
    let null = if column.nullable { "" } else { " NOT NULL" };
    let default = column.default.as_ref().map(|v| format!(" DEFAULT {}", literal(Some(v), column.kind)));
    format!("{} {kind}{null}{}", quote(&column.name), default.unwrap_or_default())
}
