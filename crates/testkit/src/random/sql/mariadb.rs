//! A case as SQL text for MariaDB.

use super::{GENERATED, check_for_sqlite, check_name, key_lines, list, literal, quote, rule};
use crate::random::{Case, ColumnModel, Kind, ReferenceModel, TableModel, row_text};
use std::collections::BTreeMap;

/// Types and values that archives get wrong.
const ODD_TYPES: &[(&str, [&str; 2])] = &[
    ("float", ["0.1", "-1e-30"]),
    ("double", ["1.7976931348623157e308", "0.1"]),
    ("bigint unsigned", ["18446744073709551615", "0"]),
    ("bit(10)", ["b'1000000011'", "0"]),
    ("varbinary(20)", ["X'00FF27'", "X''"]),
    ("longblob", ["X'00010D0A5C27'", "X''"]),
    ("varchar(20) CHARACTER SET latin1", ["'é€'", "'a '"]),
    ("varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", ["'Test@x.com'", "'test@X.com '"]),
    ("decimal(30,10)", ["12345678901234567890.0123456789", "-0.5"]),
    ("datetime(6)", ["'0000-00-00 00:00:00'", "'2026-02-31 01:02:03.000004'"]),
    (
        "timestamp(3) DEFAULT current_timestamp(3) ON UPDATE current_timestamp(3)",
        ["'2026-03-14 09:26:53.123'", "'1971-01-01 00:00:01'"],
    ),
    ("date", ["'0000-00-00'", "'9999-12-31'"]),
    ("time(6)", ["'-838:59:59'", "'12:00:00.000001'"]),
    ("year", ["2026", "1901"]),
    ("enum('a','b''c','')", ["'b''c'", "''"]),
    ("set('x','y','z')", ["'x,z'", "''"]),
    ("json", ["'{\"a\": 1, \"a\": 2}'", "'[1.0,  \"\\\\u00e9\"]'"]),
    ("uuid", ["'f36002d3-e59a-11f1-a6dd-02fc00000001'", "'00000000-0000-0000-0000-000000000000'"]),
    ("inet6", ["'::1'", "'::ffff:10.0.0.1'"]),
    ("geometry", ["ST_GeomFromText('POINT(1 2.5)', 4326)", "ST_GeomFromText('LINESTRING(0 0,1 1)')"]),
    ("binary(4)", ["X'00'", "X'20202020'"]),
    ("mediumtext", ["'line\nbreak\r\n; \\ ''x'' \u{1a}'", "''"]),
];

const MODE: &str = "ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES,ALLOW_INVALID_DATES";

impl Case {
    /// DDL and rows for MariaDB, of the case as [`Case::for_mariadb`] has it.
    pub fn mariadb_sql(&self) -> String {
        let mut sql = format!(
            "SET NAMES utf8mb4; SET SESSION sql_mode = '{MODE}', time_zone = '+00:00', foreign_key_checks = 0;\n"
        );
        for (number, table) in self.model.tables.iter().enumerate() {
            sql.push_str(&self.create_in_mariadb(number, table));
        }
        sql.push_str("START TRANSACTION;\n");
        for (number, table) in self.model.tables.iter().enumerate() {
            let relation = quote(&table.name);
            let (_, values) = self.odd_in_mariadb(number);
            let odd = |position: usize| {
                let value = values.get(position % 3).copied();
                vec![value.unwrap_or("NULL").to_owned()]
            };
            sql.push_str(&if self.dress(number).odd {
                self.insert(number, &relation, (&[self.odd_name(number)], odd), "")
            } else {
                self.insert(number, &relation, (&[], |_| Vec::new()), "")
            });
        }
        sql.push_str("COMMIT;\n");
        sql
    }

    /// Every column of every row as its bytes: the number of the table, how many columns the model has, and columns
    /// with commas between them, `-` for null.
    pub fn mariadb_content_sql(&self) -> String {
        let select = |(number, table): (usize, &TableModel)| {
            let dress = self.dress(number);
            let mut names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
            names.extend(dress.generated.then_some(GENERATED));
            names.extend(dress.odd.then_some(self.odd_name(number)));
            let columns: Vec<String> = names
                .into_iter()
                .map(|name| format!("IFNULL(HEX(CAST({} AS BINARY)), '-')", quote(name)))
                .collect();
            let columns = columns.join(", ");
            format!(
                "SELECT {number}, {}, CONCAT_WS(',', {columns}) FROM {};\n",
                table.columns.len(),
                quote(&table.name)
            )
        };
        let selects: String = self.model.tables.iter().enumerate().map(select).collect();
        format!("SET SESSION sql_mode = '{MODE}', time_zone = '+00:00';\n{selects}")
    }

    /// What a client printed for [`Case::mariadb_content_sql`], as [`Case::content`] has it.
    pub fn read_mariadb_content(&self, printed: &str) -> BTreeMap<String, Vec<String>> {
        let mut content: BTreeMap<String, Vec<String>> =
            self.model.tables.iter().map(|table| (table.name.clone(), Vec::new())).collect();
        for line in printed.lines() {
            let mut parts = line.split('\t');
            let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok()).unwrap_or_default();
            let (table, width) = (number(), number());
            let values: Vec<Option<String>> =
                parts.next().unwrap_or_default().split(',').take(width).map(text_of_hex).collect();
            let name = &self.model.tables[table].name;
            content.entry(name.clone()).or_default().push(row_text(&values));
        }
        content.values_mut().for_each(|rows| rows.sort());
        content
    }

    fn odd_in_mariadb(&self, number: usize) -> (&'static str, [&'static str; 2]) {
        let start = usize::try_from(self.seed % 101).unwrap_or_default();
        ODD_TYPES[(start * 7 + number) % ODD_TYPES.len()]
    }

    fn create_in_mariadb(&self, number: usize, table: &TableModel) -> String {
        let dress = self.dress(number);
        let line = |(index, column): (usize, &ColumnModel)| self.mariadb_column(number, index, column);
        let mut lines: Vec<String> = table.columns.iter().enumerate().map(line).collect();
        if dress.generated {
            let kind = if number.is_multiple_of(2) { "STORED" } else { "VIRTUAL" };
            lines.insert(1, format!("{} bigint AS (char_length(\"label\") * 2) {kind}", quote(GENERATED)));
        }
        if dress.odd {
            lines.push(format!("{} {} NULL", quote(self.odd_name(number)), self.odd_in_mariadb(number).0));
        }
        lines.extend(key_lines(table, true));
        for (index, check) in table.checks.iter().enumerate() {
            let text = check_for_sqlite(table, check);
            lines.push(format!("CONSTRAINT {} CHECK ({text})", quote(&check_name(table, index))));
        }
        let references = self.model.references.iter().filter(|r| r.child == number);
        lines.extend(references.map(|reference| self.mariadb_reference(reference)));
        format!("CREATE TABLE {} (\n  {}\n) ENGINE=InnoDB;\n", quote(&table.name), lines.join(",\n  "))
    }

    fn mariadb_column(&self, number: usize, index: usize, column: &ColumnModel) -> String {
        let table = &self.model.tables[number];
        let is_label = column.name == "label";
        let kind = match column.kind {
            Kind::Integer => "bigint",
            Kind::Text if is_label => "text",
            Kind::Text => "varchar(60)",
        };
        let null = if column.nullable { "" } else { " NOT NULL" };
        let default = column.default.as_ref().map(|v| format!(" DEFAULT {}", literal(Some(v), column.kind)));
        let counts =
            self.dress(number).identity && table.primary_key == [index] && column.kind == Kind::Integer;
        let counts = if counts { " AUTO_INCREMENT" } else { "" };
        format!("{} {kind}{null}{}{counts}", quote(&column.name), default.unwrap_or_default())
    }

    fn mariadb_reference(&self, r: &ReferenceModel) -> String {
        let (child, parent) = (&self.model.tables[r.child], &self.model.tables[r.parent]);
        format!(
            "CONSTRAINT {} FOREIGN KEY {} REFERENCES {} {}{}",
            quote(&r.name),
            list(child, &r.columns),
            quote(&parent.name),
            list(parent, &r.parent_columns),
            rule(r),
        )
    }
}

fn text_of_hex(hex: &str) -> Option<String> {
    let pairs = (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[n * 2..n * 2 + 2], 16));
    let bytes: Result<Vec<u8>, _> = if hex == "-" { return None } else { pairs.collect() };
    Some(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
}
