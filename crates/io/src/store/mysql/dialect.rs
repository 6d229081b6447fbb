//! How MariaDB spells addresses, versions and temporary tables.
//!
//! A row is addressed by its primary key, or else by its first unique key without nulls. Key sets hold the key's
//! columns as they are (`p0`, `p1` …), so that joins find rows by index; where rows of several tables stand in one
//! set, the address is a text of them (`tid`). There is no row version to be had, so a hash of all columns stands in.
//!
//! Invariants
//! - what must be the same is compared by bytes; collations only count where the server itself follows them, in
//!   declared keys.

use super::types::{self, Sort, sort};
use crate::store::sql::dialect::{Dialect, Indexed};
use unseed_core::port::store::{SectionHead, SectionKind};
use unseed_core::schema::{Column, ColumnKind, Table, TableId, TableName};

/// MariaDB.
#[derive(Debug, Clone, Copy)]
pub(super) struct MysqlDialect;

/// Number of a row of a staging table.
pub(super) const STAGING_ROW: &str = "unseed_row";
/// More characters or bytes of a column are not indexed: enough to tell most values apart, and it fits any row.
const INDEXED_MAX: u64 = 150;
/// A value of more bytes goes into a row's hash by its own hash.
const HASHED_WHOLE_MAX: u64 = 1024;
/// Tags are compared with this where there is none.
const NO_TAG: &str = "9223372036854775807";
/// What closes a set of columns without an index that would fit.
const ENGINE: &str = "ENGINE=Aria TRANSACTIONAL=0";

/// A quoted name of a table in its database.
pub(super) fn qualified(name: &TableName) -> String {
    format!("{}.{}", MysqlDialect.quote(&name.namespace), MysqlDialect.quote(&name.name))
}

/// Bytes as a literal.
pub(super) fn hex_literal(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push_str("X'");
    out.reserve(bytes.len() * 2 + 1);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out.push('\'');
}

/// Text as a literal on one line, which neither server nor client reads otherwise.
pub(super) fn text_literal(text: &str, out: &mut String) {
    out.push('\'');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(needs_escape) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        out.push_str(match from.as_bytes()[0] {
            b'\'' => "''",
            b'\\' => "\\\\",
            b'\0' => "\\0",
            b'\n' => "\\n",
            b'\r' => "\\r",
            _ => "\\Z",
        });
        rest = &from[1..];
    }
    out.push_str(rest);
    out.push('\'');
}

/// Whether a byte of a text must not stand in a literal as it is. None of them is part of a longer character.
fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'\'' | b'\\' | b'\0' | b'\n' | b'\r' | 0x1a)
}

impl MysqlDialect {
    fn column(self, alias: &str, column: &Column) -> String {
        format!("{alias}.{}", self.quote(&column.name))
    }

    /// The columns of a key under these names as one text, the same for the same bytes only.
    fn tid(self, table: &Table, names: &[String]) -> String {
        let key = table.key().unwrap_or_default();
        let parts = key.iter().zip(names).map(|(c, name)| match sort(&table.columns[*c]) {
            Sort::Number => name.clone(),
            Sort::Float => format!("CAST({name} AS DOUBLE)"),
            Sort::Double => format!("CAST({name} AS CHAR)"),
            Sort::Bit | Sort::Words => format!("{name} + 0"),
            Sort::Plain => format!("HEX(CAST({name} AS CHAR))"),
            Sort::Text | Sort::Bytes => format!("HEX({name})"),
        });
        format!("CONCAT_WS('/', {})", parts.collect::<Vec<_>>().join(", "))
    }

    /// One column of an address is this part of its text.
    fn is_part(self, column: &Column, name: &str, part: &str) -> String {
        let hex = part.bytes().all(|b| b.is_ascii_hexdigit());
        let number = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b"+-.e".contains(&b));
        match sort(column) {
            Sort::Number | Sort::Float | Sort::Double | Sort::Bit if number => format!("{name} = {part}"),
            Sort::Words if number => format!("{name} + 0 = {part}"),
            Sort::Plain if hex => format!("{name} = CONVERT(X'{part}' USING utf8mb4)"),
            Sort::Text if hex => {
                let set = types::collation(column).map_or("binary", |(set, _)| set);
                format!("({name} = _{set} X'{part}' AND CAST({name} AS BINARY) = X'{part}')")
            }
            Sort::Bytes if hex => format!("{name} = X'{part}'"),
            Sort::Number
            | Sort::Float
            | Sort::Double
            | Sort::Bit
            | Sort::Words
            | Sort::Plain
            | Sort::Text
            | Sort::Bytes => "false".to_owned(),
        }
    }

    /// What tells values of a column apart, as arguments of a CONCAT_WS in bytes; null where the value is.
    fn hashed(self, column: &Column, name: &str) -> String {
        match sort(column) {
            Sort::Number | Sort::Double => name.to_owned(),
            Sort::Plain if column.kind == ColumnKind::Time => name.to_owned(),
            Sort::Plain => format!("CAST({name} AS CHAR)"),
            Sort::Float => format!("CAST({name} AS DOUBLE)"),
            Sort::Bit | Sort::Words => format!("{name} + 0"),
            // The length keeps a value from running into the next one, and all together must fit a packet.
            Sort::Text | Sort::Bytes if types::is_long(column) => format!(
                "LENGTH({name}), IF(LENGTH({name}) <= {HASHED_WHOLE_MAX}, CAST({name} AS BINARY), MD5({name}))"
            ),
            Sort::Text | Sort::Bytes => format!("LENGTH({name}), CAST({name} AS BINARY)"),
        }
    }

    /// An index over columns, in parentheses.
    fn index(self, columns: &[Indexed<'_>]) -> String {
        let part = |(name, column): &Indexed<'_>| {
            let name = self.quote(name);
            match column {
                None if name.contains("tid") => format!("{name}({INDEXED_MAX})"),
                None => name,
                Some(column) if types::is_long(column) => format!("{name}({INDEXED_MAX})"),
                Some(column) => match (sort(column), types::length(column)) {
                    (Sort::Text | Sort::Bytes, Some(length)) if length > INDEXED_MAX => {
                        format!("{name}({INDEXED_MAX})")
                    }
                    (_, _) => name,
                },
            }
        };
        columns.iter().map(part).collect::<Vec<_>>().join(", ")
    }

    /// Names of a key's columns in a key set.
    fn set_columns(table: &Table) -> impl Iterator<Item = (String, &Column)> {
        let key = table.key().unwrap_or_default().iter().enumerate();
        key.map(|(n, c)| (format!("p{n}"), &table.columns[*c]))
    }
}

impl Dialect for MysqlDialect {
    fn quote(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    fn literal(&self, text: &str) -> String {
        let mut out = String::new();
        text_literal(text, &mut out);
        out
    }

    fn relation(&self, table: &Table) -> String {
        qualified(&table.name)
    }

    fn temp(&self, name: &str) -> String {
        name.to_owned()
    }

    fn address(&self) -> &'static [&'static str] {
        &["tid"]
    }

    fn address_of(&self, table: &Table, alias: &str) -> Vec<String> {
        let key = table.key().unwrap_or_default().iter();
        let names: Vec<String> = key.map(|c| self.column(alias, &table.columns[*c])).collect();
        vec![self.tid(table, &names)]
    }

    fn address_in_set(&self, table: &Table, alias: &str) -> Vec<String> {
        let names: Vec<String> =
            Self::set_columns(table).map(|(name, _)| format!("{alias}.{name}")).collect();
        vec![self.tid(table, &names)]
    }

    fn located(&self, table: &Table, alias: &str) -> Vec<String> {
        let columns = Self::set_columns(table);
        columns.map(|(name, column)| format!("{} AS {name}", self.column(alias, column))).collect()
    }

    fn lookup(&self, table: &Table) -> Vec<Vec<(String, usize)>> {
        let key = table.key().unwrap_or_default().iter().enumerate();
        vec![key.map(|(n, c)| (format!("p{n}"), *c)).collect()]
    }

    fn any_address(&self, _name: &str) -> String {
        // A key has at most 3072 bytes, each of which may be two digits.
        "CAST('' AS CHAR(6400) CHARACTER SET ascii)".to_owned()
    }

    fn has_address(&self, table: &Table, x: &str, address: &[String]) -> String {
        let parts = address.first().map(String::as_str).unwrap_or_default().split('/');
        let key = table.key().unwrap_or_default().iter().map(|c| &table.columns[*c]);
        let terms: Vec<String> = key
            .zip(parts)
            .map(|(column, part)| self.is_part(column, &self.column(x, column), part))
            .collect();
        if terms.is_empty() { "false".to_owned() } else { terms.join(" AND ") }
    }

    fn version_of(&self, table: &Table, alias: &str) -> Option<String> {
        Some(self.row_hash(table, alias))
    }

    fn at(&self, table: &Table, x: &str, k: &str) -> String {
        let terms: Vec<String> = Self::set_columns(table)
            .map(|(name, column)| format!("{} = {k}.{name}", self.column(x, column)))
            .collect();
        if terms.is_empty() { "false".to_owned() } else { terms.join(" AND ") }
    }

    fn text(&self, expression: &str) -> String {
        format!("CONVERT({expression} USING utf8mb4) COLLATE utf8mb4_nopad_bin")
    }

    fn text_of(&self, column: &Column, expression: &str) -> String {
        match sort(column) {
            Sort::Number | Sort::Double | Sort::Words | Sort::Plain | Sort::Text => self.text(expression),
            Sort::Float => self.text(&format!("CAST({expression} AS DOUBLE)")),
            Sort::Bit => self.text(&format!("{expression} + 0")),
            // Bytes are written as a literal, since they need not be text; `load` reads that back.
            Sort::Bytes => self.text(&format!("CONCAT('X''', HEX({expression}), '''')")),
        }
    }

    fn concat(&self, texts: &[String], between: &str) -> String {
        let between = format!(", {}, ", self.literal(between));
        format!("CONCAT({})", texts.join(&between))
    }

    fn exactly(&self, column: &Column, a: &str, b: &str) -> String {
        if types::is_exact(column) {
            return format!("{a} = {b}");
        }
        format!("({a} = {b} AND CAST({a} AS BINARY) = CAST({b} AS BINARY))")
    }

    fn truth(&self, condition: &str) -> String {
        format!("({condition}) IS TRUE")
    }

    fn blank_number(&self) -> &'static str {
        "CAST(0 AS SIGNED)"
    }

    fn blank_text(&self) -> &'static str {
        "CAST('' AS CHAR(100) CHARACTER SET utf8mb4)"
    }

    fn create_set(&self, name: &str, indexes: &[Vec<Indexed<'_>>], select: &str) -> String {
        let indexes: Vec<String> = indexes
            .iter()
            .filter(|columns| !columns.is_empty())
            .map(|columns| format!("KEY ({})", self.index(columns)))
            .collect();
        let indexes = if indexes.is_empty() { String::new() } else { format!(" ({})", indexes.join(", ")) };
        format!("CREATE TEMPORARY TABLE {name}{indexes} {ENGINE} AS {select}")
    }

    fn delete(&self, target: &str, condition: &dyn Fn(&str) -> String) -> String {
        format!("DELETE FROM {target} WHERE {}", condition(target))
    }

    fn update(
        &self,
        (target, alias): (&str, &str),
        sets: &[(String, String)],
        from: &[String],
        condition: &str,
    ) -> String {
        let sets: Vec<String> =
            sets.iter().map(|(name, value)| format!("{alias}.{name} = {value}")).collect();
        let tables: String = from.iter().map(|table| format!(", {table}")).collect();
        format!("UPDATE {target} {alias}{tables} SET {} WHERE {condition}", sets.join(", "))
    }

    fn others_of(&self, name: &str) -> String {
        // The limit keeps it from being merged into the statement that writes.
        format!("(SELECT * FROM {name} LIMIT 18446744073709551615)")
    }

    fn pinned(&self, table: &Table, written: &[String]) -> Vec<(String, String)> {
        let follows =
            table.columns.iter().filter(|c| types::follows_updates(c) && !written.contains(&c.name));
        follows.map(|c| (self.quote(&c.name), self.column("x", c))).collect()
    }

    fn check_fails(&self, expression: &str, columns: &[(String, String)]) -> String {
        format!("NOT ({})", substitute(expression, columns))
    }

    fn least(&self, expressions: &[String]) -> String {
        match expressions {
            [one] => one.clone(),
            several => {
                let all: Vec<String> = several.iter().map(|e| format!("COALESCE({e}, {NO_TAG})")).collect();
                format!("LEAST({})", all.join(", "))
            }
        }
    }

    fn null_of(&self, _column: &Column) -> String {
        "NULL".to_owned()
    }

    fn row_hash(&self, table: &Table, alias: &str) -> String {
        let stored: Vec<&Column> = table.columns.iter().filter(|column| !column.generated).collect();
        let mut parts: Vec<String> =
            stored.iter().map(|column| self.hashed(column, &self.column(alias, column))).collect();
        let nulls = stored.iter().filter(|column| column.nullable);
        let nulls: Vec<String> =
            nulls.map(|column| format!("{} IS NULL", self.column(alias, column))).collect();
        if !nulls.is_empty() {
            parts.insert(0, format!("CONCAT({})", nulls.join(", ")));
        }
        // Nulls are left out of the text; which they are stands in front.
        format!("MD5(CONCAT_WS(_binary ',', {}))", parts.join(", "))
    }

    fn digest_of(&self, hash: &str) -> String {
        let sum = |half: &str| format!("SUM(CAST(CONV({half}({hash}, 15), 16, 10) AS UNSIGNED))");
        format!("CONCAT_WS('-', {}, {})", sum("LEFT"), sum("RIGHT"))
    }

    fn comparable(&self, a: &Column, b: &Column) -> bool {
        types::comparable(a, b)
    }

    fn in_parts(&self, _x: &str, _handles: &[u64]) -> String {
        "true".to_owned()
    }

    fn key_in_parts(&self, _k: &str, _handles: &[u64]) -> String {
        "true".to_owned()
    }

    fn staging(&self, _id: TableId, head: &SectionHead) -> String {
        staging_table(head)
    }

    fn create_staging(&self, table: &Table, name: &str, columns: &[String]) -> String {
        let known: Vec<&Column> = columns
            .iter()
            .filter_map(|name| table.columns.iter().find(|column| column.name == *name))
            .collect();
        let mut parts = vec![format!("{STAGING_ROW} BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY")];
        parts.extend(known.iter().map(|c| format!("{} {} NULL", self.quote(&c.name), types::defined(c))));
        for key in &table.keys {
            let key: Vec<Indexed<'_>> =
                key.iter().map(|c| &table.columns[*c]).map(|c| (c.name.clone(), Some(c))).collect();
            if key.iter().all(|(name, _)| columns.contains(name)) {
                parts.push(format!("KEY ({})", self.index(&key)));
            }
        }
        format!("CREATE TEMPORARY TABLE {name} ({}) {ENGINE}", parts.join(", "))
    }

    fn staging_row(&self, alias: &str) -> String {
        format!("{alias}.{STAGING_ROW}")
    }

    fn same(&self, a: &str, b: &str) -> String {
        format!("({a} <=> {b} AND CAST({a} AS BINARY) <=> CAST({b} AS BINARY))")
    }

    fn group(&self, expression: &str) -> String {
        format!("CAST({expression} AS BINARY)")
    }

    fn insert_staged(&self, table: &Table, columns: &[String], staging: &str) -> String {
        let columns: Vec<String> = columns.iter().map(|c| self.quote(c)).collect();
        let columns = columns.join(", ");
        format!(
            "INSERT INTO {} ({columns}) SELECT {columns} FROM {staging} s ORDER BY {STAGING_ROW}",
            self.relation(table)
        )
    }

    fn analyze(&self, temp: &str) -> String {
        format!("ANALYZE TABLE {temp}")
    }

    fn tag_of(&self, ordinal: &str, group: u64) -> String {
        format!("({ordinal} DIV {group})")
    }
}

/// The temporary table that the statements of an archived section insert into.
pub(super) fn staging_table(head: &SectionHead) -> String {
    let kind = match head.kind {
        SectionKind::Rows => "rows",
        SectionKind::Detached => "detached",
        SectionKind::Effect => "effect",
        SectionKind::Born => "born",
    };
    let known: String =
        head.table.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(24).collect();
    // Sections of one table can have different columns, or the same with another identity.
    let columns =
        format!("{}\n{}\n{}\n{}", head.namespace, head.table, head.identity_columns, head.columns.join("\n"));
    format!("unseed_{kind}_{known}_{}", &blake3::hash(columns.as_bytes()).to_hex()[..8])
}

/// The text of a check with values in place of columns. The server prints checks with every column in backticks.
fn substitute(expression: &str, columns: &[(String, String)]) -> String {
    let mut text = String::new();
    let mut rest = expression;
    while let Some(at) = rest.find(['\'', '"', '`']) {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let end = quoted_end(from);
        let (token, behind) = from.split_at(end);
        let value = columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(token)).map(|(_, value)| value);
        text.push_str(value.map_or(token, String::as_str));
        rest = behind;
    }
    text.push_str(rest);
    text
}

/// Length of the quoted token that a text begins with.
fn quoted_end(text: &str) -> usize {
    let quote = text.as_bytes()[0];
    let mut bytes = text.bytes().enumerate().skip(1).peekable();
    while let Some((at, byte)) = bytes.next() {
        if byte == b'\\' && quote != b'`' {
            bytes.next();
        } else if byte == quote {
            if bytes.peek().is_some_and(|(_, next)| *next == quote) {
                bytes.next();
            } else {
                return at + 1;
            }
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_get_values_in_place_of_columns_but_not_inside_texts() {
        let columns = [("`a`".to_owned(), "NULL".to_owned()), ("`b``c`".to_owned(), "x.`b``c`".to_owned())];
        let check = "`A` is null or `b``c` <> 'it''s `a` \\'`a`' and `z` = `a`";
        assert_eq!(
            substitute(check, &columns),
            "NULL is null or x.`b``c` <> 'it''s `a` \\'`a`' and `z` = NULL"
        );
        assert_eq!(substitute("`a", &columns), "`a");
    }

    #[test]
    fn literals_stay_on_one_line() {
        assert_eq!(MysqlDialect.literal("it's\\ a\nb\0"), "'it''s\\\\ a\\nb\\0'");
        assert_eq!(MysqlDialect.literal("\u{1a}é\r'"), "'\\Zé\\r'''");
        assert_eq!(MysqlDialect.literal(""), "''");
    }
}
