//! Counts the rows in the text of a section, so that a check can compare them with the manifest.
//!
//! Invariants
//! - text comes in pieces that are cut anywhere, and memory does not grow with it;
//! - text that is not what a store writes is an error in words, never a number.
//!
//! Not here: writing that text (`store`).

use memchr::memchr_iter;

/// A reader of one section's text.
pub(super) enum Counter {
    Copy(Lines),
    Sql(Statements),
}

impl Counter {
    /// For the file of a section with so many columns.
    pub(super) fn of(file: &str, columns: usize) -> Self {
        if file.contains(".copy.gz") || file.contains(".tsv.gz") {
            Self::Copy(Lines { tabs: columns.saturating_sub(1), ..Lines::default() })
        } else if file.contains(".jsonl.gz") {
            Self::Copy(Lines::default())
        } else {
            Self::Sql(Statements::default())
        }
    }

    pub(super) fn feed(&mut self, text: &[u8]) {
        match self {
            Self::Copy(lines) => lines.feed(text),
            Self::Sql(statements) => text.iter().for_each(|byte| statements.feed(*byte)),
        }
    }

    /// How many rows there were.
    pub(super) fn rows(&self) -> Result<u64, &'static str> {
        match self {
            Self::Copy(lines) if lines.open => Err("ends within a row"),
            Self::Copy(lines) if lines.uneven => Err("holds a row with another number of columns"),
            Self::Copy(lines) => Ok(lines.rows),
            Self::Sql(s) if s.quote.is_some() || s.open || s.broken => {
                Err("ends within a statement, or holds something else")
            }
            Self::Sql(s) => Ok(s.groups - s.statements),
        }
    }
}

/// PostgreSQL's text of COPY, and the lines of a derived store: a row is a line, since line ends within values are written as `\n`.
#[derive(Default)]
pub(super) struct Lines {
    tabs: usize,
    found: usize,
    rows: u64,
    open: bool,
    uneven: bool,
}

impl Lines {
    fn feed(&mut self, mut text: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', text) {
            let (line, rest) = text.split_at(end);
            self.found += memchr_iter(b'\t', line).count();
            self.uneven |= self.found != self.tabs;
            (self.found, self.open) = (0, false);
            self.rows += 1;
            text = &rest[1..];
        }
        self.found += memchr_iter(b'\t', text).count();
        self.open |= !text.is_empty();
    }
}

/// INSERT statements: the first group in parentheses are the columns, each other one is a row.
#[derive(Default)]
pub(super) struct Statements {
    quote: Option<u8>,
    depth: u64,
    groups: u64,
    statements: u64,
    groups_here: u64,
    /// Within a statement.
    open: bool,
    /// A statement was without rows, or a parenthesis without its other half.
    broken: bool,
}

impl Statements {
    fn feed(&mut self, byte: u8) {
        if let Some(quote) = self.quote {
            // A doubled quote ends the text and begins it again, which comes to the same.
            if byte == quote {
                self.quote = None;
            }
            return;
        }
        if byte == b';' && self.depth == 0 {
            self.statements += 1;
            self.groups += self.groups_here;
            self.broken |= self.groups_here < 2;
            (self.groups_here, self.open) = (0, false);
            return;
        }
        self.open |= byte != b'\n';
        match byte {
            b'\'' | b'"' => self.quote = Some(byte),
            b'(' => {
                self.groups_here += u64::from(self.depth == 0);
                self.depth += 1;
            }
            b')' => match self.depth.checked_sub(1) {
                Some(depth) => self.depth = depth,
                None => self.broken = true,
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counter;

    #[track_caller]
    fn count(file: &str, columns: usize, text: &[u8], expected: Result<u64, ()>) {
        for size in 1..=text.len().max(1) {
            let mut counter = Counter::of(file, columns);
            text.chunks(size).for_each(|piece| counter.feed(piece));
            assert_eq!(counter.rows().map_err(drop), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn rows_of_copy_are_lines_of_so_many_columns() {
        count("a.copy.gz.age", 2, b"1\ta\n2\t\\N\n", Ok(2));
        count("a.copy.gz", 1, b"\n\n", Ok(2));
        count("a.tsv.gz", 2, b"\"1\"\ta\n", Ok(1));
        count("a.jsonl.gz", 3, b"{}\n{}\n", Ok(2));
        count("a.copy.gz", 2, b"", Ok(0));
        count("a.copy.gz", 2, b"1\ta\n2\tb", Err(()));
        count("a.copy.gz", 2, b"1\ta\n2\n", Err(()));
    }

    #[test]
    fn rows_of_inserts_are_groups_after_the_columns() {
        let text =
            b"INSERT INTO \"a(;\"\"b\"(\"x\",\"y)\") VALUES\n(1,'it''s; (ok'),\n(2,CAST(X'00' AS TEXT));\n";
        count("a.sql.gz", 2, text, Ok(2));
        count("a.sql.gz", 2, &[text.as_slice(), text].concat(), Ok(4));
        count("a.sql.gz", 2, &text[..text.len() - 3], Err(()));
        count("a.sql.gz", 2, b"", Ok(0));
    }
}
