//! Virtual tables (full-text search, R-trees) that triggers keep in step with ordinary tables.
//!
//! When rows leave, delete triggers take their entries out of the virtual table. The entries lie in shadow tables,
//! which no plan names and no archive holds: they are made again from the rows, by the insert trigger of the same
//! table. A restore runs with the triggers of the database switched off, so it gives a copy of that one trigger to
//! its own connection.
//!
//! Invariants
//! - only triggers that write to nothing but virtual tables are copied;
//! - what could not be made again is not let go.
//!
//! Not here: virtual tables that the application fills by itself; nothing leads there.

use super::dialect::SqliteDialect;
use crate::store::sql::dialect::Dialect;
use rusqlite::Connection;
use std::collections::BTreeMap;
use unseed_core::schema::{Effect, Table};

/// Virtual tables and the shadow tables that belong to them, in lower case.
#[derive(Debug, Clone, Default)]
pub(super) struct VirtualTables {
    shadows: BTreeMap<String, Vec<String>>,
}

impl VirtualTables {
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT lower(name), type FROM pragma_table_list WHERE schema = 'main' AND type IN ('virtual', 'shadow')";
        let mut query = db.prepare(sql)?;
        let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let rows: Vec<(String, String)> = rows.collect::<rusqlite::Result<_>>()?;
        let (owners, shadows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, kind)| kind == "virtual");
        let mut found: BTreeMap<String, Vec<String>> =
            owners.into_iter().map(|(name, _)| (name, Vec::new())).collect();
        for (shadow, _) in shadows {
            let belongs =
                |owner: &&String| shadow.strip_prefix(owner.as_str()).is_some_and(|s| s.starts_with('_'));
            let owner = found.keys().filter(belongs).max_by_key(|owner| owner.len()).cloned();
            owner
                .and_then(|owner| found.get_mut(&owner))
                .into_iter()
                .for_each(|list| list.push(shadow.clone()));
        }
        Ok(Self { shadows: found })
    }

    /// The virtual table that a shadow table belongs to.
    pub(super) fn owner(&self, shadow: &str) -> Option<&str> {
        self.shadows
            .iter()
            .find(|(_, list)| list.iter().any(|s| s == shadow))
            .map(|(owner, _)| owner.as_str())
    }

    /// Whether a trigger writes to virtual tables and to nothing else.
    fn only_fills(&self, effect: &Effect) -> bool {
        let targets = written(&effect.definition);
        !targets.is_empty() && targets.iter().all(|target| self.shadows.contains_key(target))
    }

    /// A table whose delete trigger writes to this virtual table, but whose rows no insert trigger would enter
    /// there again.
    pub(super) fn one_way<'t>(
        &self,
        name: &str,
        mut tables: impl Iterator<Item = &'t Table>,
    ) -> Option<&'t Table> {
        tables.find(|table| {
            let taken_out = table.effects.iter().any(|e| e.on_delete && writes(e, name));
            let entered = |e: &Effect| e.on_insert && writes(e, name) && self.only_fills(e);
            taken_out && !table.effects.iter().any(entered)
        })
    }

    /// Statements that give the connection its own copies of the triggers that enter a table's rows, and those
    /// that take the copies away.
    pub(super) fn copies<'t>(&self, tables: impl Iterator<Item = &'t Table>) -> Vec<(String, String)> {
        let mut copies = Vec::new();
        for table in tables {
            for effect in table.effects.iter().filter(|e| e.on_insert && self.only_fills(e)) {
                let name = format!("unseed_fill_{}", copies.len());
                if let Some(create) = copy(&effect.definition, &name) {
                    copies.push((create, format!("DROP TRIGGER temp.{name}")));
                }
            }
        }
        copies
    }
}

/// Whether a trigger writes to a table, given in lower case.
pub(super) fn writes(effect: &Effect, name: &str) -> bool {
    written(&effect.definition).iter().any(|target| target == name)
}

/// A word, a quoted name or a single sign, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    is_name: bool,
    start: usize,
    end: usize,
}

impl Token {
    fn is(&self, word: &str) -> bool {
        self.is_name && self.text.eq_ignore_ascii_case(word)
    }
}

/// Tokens without comments and texts.
fn tokens(sql: &str) -> Vec<Token> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &sql[at..];
        let end_of = |from: usize, end: &str| {
            rest[from..].find(end).map_or(bytes.len(), |n| at + from + n + end.len())
        };
        let start = at;
        match bytes[at] {
            b'-' if rest.starts_with("--") => at = end_of(2, "\n"),
            b'/' if rest.starts_with("/*") => at = end_of(2, "*/"),
            quote @ (b'\'' | b'"' | b'`' | b'[') => {
                let close = if quote == b'[' { b']' } else { quote };
                at = close_of(bytes, at, close);
                let inner = sql.get(start + 1..at.saturating_sub(1)).unwrap_or_default();
                let end = char::from(close);
                let text = inner.replace(&format!("{end}{end}"), &end.to_string());
                found.push(Token { text, is_name: quote != b'\'', start, end: at });
            }
            byte if is_word(byte) => {
                at += rest.bytes().take_while(|b| is_word(*b)).count();
                found.push(Token { text: sql[start..at].to_owned(), is_name: true, start, end: at });
            }
            byte => {
                at += 1;
                if !byte.is_ascii_whitespace() {
                    found.push(Token { text: char::from(byte).to_string(), is_name: false, start, end: at });
                }
            }
        }
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

/// Where a quoted text ends; a doubled quote does not end it.
fn close_of(bytes: &[u8], start: usize, close: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        if bytes[at] == close {
            if bytes.get(at + 1) != Some(&close) || close == b']' {
                return at + 1;
            }
            at += 1;
        }
        at += 1;
    }
    bytes.len()
}

/// Tables that the body of a trigger writes to, in lower case.
fn written(definition: &str) -> Vec<String> {
    let all = tokens(definition);
    let begin = all.iter().position(|t| t.is("BEGIN"));
    let body = begin.and_then(|at| all.get(at + 1..)).unwrap_or_default();
    let mut targets = Vec::new();
    for (at, token) in body.iter().enumerate() {
        let before = at.checked_sub(1).map(|n| &body[n]);
        let starts = before.is_none_or(|t| !t.is_name && [";", ")"].contains(&t.text.as_str()));
        let deletes = token.is("FROM") && before.is_some_and(|t| t.is("DELETE"));
        if !(token.is("INTO") || token.is("UPDATE") && starts || deletes) {
            continue;
        }
        // UPDATE OR IGNORE t; a schema in front of the name.
        let mut next = at + 1;
        if body.get(next).is_some_and(|t| t.is("OR")) {
            next += 2;
        }
        if body.get(next + 1).is_some_and(|t| t.text == "." && !t.is_name) {
            next += 2;
        }
        targets.extend(body.get(next).map(|t| t.text.to_lowercase()));
    }
    targets
}

/// The definition as a trigger of the connection, on the table of the database.
fn copy(definition: &str, name: &str) -> Option<String> {
    let all = tokens(definition);
    let mut at = all.iter().position(|t| t.is("TRIGGER"))? + 1;
    if all.get(at)?.is("IF") {
        at += 3;
    }
    if all.get(at + 1)?.text == "." && !all[at + 1].is_name {
        at += 2;
    }
    let on = at + 1 + all[at + 1..].iter().position(|t| t.is("ON"))?;
    let table = all.get(on + 1)?;
    let (events, rest) = (&definition[all[at].end..all[on].start], &definition[table.end..]);
    Some(format!(
        "CREATE TEMP TRIGGER {name} {} ON main.{} {}",
        events.trim(),
        SqliteDialect.quote(&table.text),
        rest.trim_start()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_trigger_writes_to_is_read_off_its_body() {
        let definition = "CREATE TRIGGER \"update\" AFTER UPDATE OF a ON posts BEGIN -- INSERT INTO nowhere
            INSERT INTO Posts_FTS(posts_fts, rowid, a) VALUES ('delete', old.id, 'DELETE FROM x'); UPDATE OR IGNORE [a b] SET a = 1;
            INSERT OR REPLACE INTO main.\"c\" VALUES (1) ON CONFLICT DO UPDATE SET a = 2; DELETE FROM d WHERE new.\"update\" = 1; REPLACE INTO e VALUES (1); END";
        assert_eq!(written(definition), ["posts_fts", "a b", "c", "d", "e"]);
    }

    #[test]
    fn a_copy_is_a_trigger_of_the_connection_on_the_same_table() {
        let definition = "CREATE TRIGGER IF NOT EXISTS main.\"t on\" AFTER INSERT ON \"my posts\" WHEN new.id > 0 BEGIN SELECT 1; END";
        let copied = copy(definition, "x").unwrap();
        assert_eq!(
            copied,
            "CREATE TEMP TRIGGER x AFTER INSERT ON main.\"my posts\" WHEN new.id > 0 BEGIN SELECT 1; END"
        );
    }
}
