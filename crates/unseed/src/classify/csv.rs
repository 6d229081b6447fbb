//! The values of one CSV record (RFC 4180), separated by commas, semicolons or tabs.
//!
//! Invariants
//! - any text is read: a quote that nobody closes ends with the record;
//! - nothing is allocated once the buffers have grown.

use unseed_core::detect::text::trimmed;

/// One record, in buffers that are used again for the next.
#[derive(Debug)]
pub(super) struct Row {
    separator: u8,
    text: String,
    ends: Vec<usize>,
    /// Bytes between two values in `text`.
    behind: usize,
}

impl Row {
    /// The line of column names; what separates them separates all values.
    pub(super) fn of_head(line: &str) -> Self {
        let count = |separator: u8| line.bytes().filter(|b| *b == separator).count();
        let separator = [b',', b';', b'\t'].into_iter().rev().max_by_key(|s| count(*s)).unwrap_or(b',');
        let mut row = Self { separator, text: String::new(), ends: Vec::new(), behind: 0 };
        row.read(line);
        row
    }

    /// Reads a record, replacing what was read before.
    pub(super) fn read(&mut self, line: &str) {
        self.text.clear();
        self.ends.clear();
        let bytes = line.as_bytes();
        if memchr::memchr(b'"', bytes).is_none() {
            // Values stand one behind the other, each with its separator.
            self.text.push_str(line);
            self.ends.extend(memchr::memchr_iter(self.separator, bytes));
            self.ends.push(line.len());
            self.behind = 1;
            return;
        }
        self.behind = 0;
        let mut at = 0;
        loop {
            at = self.cut(line, at);
            self.ends.push(self.text.len());
            if at >= bytes.len() {
                return;
            }
            at += 1;
            if at == bytes.len() {
                self.ends.push(self.text.len());
                return;
            }
        }
    }

    /// Reads one value from `start` and gives back where its separator stands.
    fn cut(&mut self, line: &str, start: usize) -> usize {
        let bytes = line.as_bytes();
        let wanted = self.separator;
        let separator =
            |from: usize| bytes[from..].iter().position(|b| *b == wanted).map_or(bytes.len(), |n| from + n);
        if bytes.get(start) != Some(&b'"') {
            let end = separator(start);
            self.text.push_str(&line[start..end]);
            return end;
        }
        let mut at = start + 1;
        loop {
            let close = bytes[at..].iter().position(|b| *b == b'"').map_or(bytes.len(), |n| at + n);
            self.text.push_str(&line[at..close]);
            if bytes.get(close + 1) != Some(&b'"') {
                return separator((close + 1).min(bytes.len()));
            }
            self.text.push('"');
            at = close + 2;
        }
    }

    /// All values.
    pub(super) fn values(&self) -> Vec<&str> {
        (0..self.ends.len()).map(|column| self.value(column)).collect()
    }

    /// A value by its column, without spaces around it; empty beyond the last.
    pub(super) fn value(&self, column: usize) -> &str {
        let Some(end) = self.ends.get(column) else { return "" };
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before] + self.behind);
        trimmed(&self.text[start..*end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_separators_and_missing_values_are_read() {
        let mut row = Row::of_head("name;mail;note");
        assert_eq!(row.values(), ["name", "mail", "note"]);
        row.read("\"Smith; \"\"Joe\"\"\";a@b.c;");
        assert_eq!(row.values(), ["Smith; \"Joe\"", "a@b.c", ""]);
        row.read("x");
        assert_eq!((row.value(0), row.value(2)), ("x", ""));
        row.read("\"never closed;a");
        assert_eq!(row.values(), ["never closed;a"]);
    }
}
