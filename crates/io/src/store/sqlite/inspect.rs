//! The catalog of SQLite as a [`Schema`].
//!
//! Left out: views, virtual tables and their shadow tables, SQLite's own tables. A foreign key whose parent
//! columns are not unique is a mismatch that makes every delete of the parent fail, so it is reported.

use super::dialect::{COLLATE, WITHOUT_ROWID};
use rusqlite::Connection;
use std::collections::BTreeMap;
use unseed_core::fault::Fault;
use unseed_core::schema::{
    Check, Column, ColumnKind, Effect, EffectKind, OnDelete, Origin, Part, Reference, Schema, Table, TableId,
    TableName, Visibility,
};

/// Reads the whole catalog.
pub(super) fn schema(db: &Connection) -> Result<Schema, Fault> {
    read(db).map_err(|error| super::sql_error(&error).fault("reading the catalog"))
}

fn read(db: &Connection) -> rusqlite::Result<Schema> {
    let mut schema = Schema::default();
    let mut list = db.prepare(
        "SELECT l.name, l.wr, m.sql FROM pragma_table_list l JOIN main.sqlite_schema m ON m.name = l.name AND m.type = 'table' \
         WHERE l.schema = 'main' AND l.type = 'table' AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY l.name",
    )?;
    let tables = list.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?, row.get::<_, String>(2)?))
    })?;
    for entry in tables {
        let (name, without_rowid, sql) = entry?;
        schema.tables.push(table(db, &name, without_rowid, &sql)?);
    }
    let ids: BTreeMap<String, TableId> =
        schema.table_ids().map(|id| (schema.table(id).name.name.to_lowercase(), id)).collect();
    for id in schema.table_ids() {
        let found = references(db, &schema, &ids, id)?;
        schema.references.extend(found);
    }
    Ok(schema)
}

fn table(db: &Connection, name: &str, without_rowid: bool, sql: &str) -> rusqlite::Result<Table> {
    let mut columns = Vec::new();
    let mut primary: Vec<(i64, usize)> = Vec::new();
    let mut query = db.prepare(
        "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main')",
    )?;
    let mut rows = query.query([name])?;
    while let Some(row) = rows.next()? {
        let hidden: i64 = row.get(5)?;
        if hidden == 1 {
            continue;
        }
        let pk: i64 = row.get(4)?;
        if pk > 0 {
            primary.push((pk, columns.len()));
        }
        let type_name: String = row.get(1)?;
        columns.push(Column {
            name: row.get(0)?,
            kind: kind(&type_name),
            type_name,
            nullable: !row.get::<_, bool>(2)?,
            generated: hidden == 2 || hidden == 3,
            identity: None,
            sequence: None,
            default: row.get(3)?,
        });
    }
    add_collations(db, name, &mut columns)?;
    primary.sort_unstable();
    let primary: Vec<usize> = primary.into_iter().map(|(_, index)| index).collect();
    // A primary key implies NOT NULL only for rowid aliases and tables without a rowid.
    let alias = primary.len() == 1 && columns[primary[0]].type_name.eq_ignore_ascii_case("INTEGER");
    if alias || without_rowid {
        for index in &primary {
            columns[*index].nullable = false;
        }
    }
    let mut keys = Vec::new();
    let has_primary_key = !primary.is_empty();
    if has_primary_key {
        // A primary key may hold nulls here unless it says NOT NULL, but it is what people address rows by.
        keys.push(primary.clone());
    }
    keys.extend(unique_keys(db, name, &columns, &primary)?);
    let estimate: i64 = db
        .query_row("SELECT coalesce(max(CAST(substr(stat, 1, instr(stat || ' ', ' ') - 1) AS INTEGER)), 0) FROM sqlite_stat1 WHERE tbl = ?1", [name], |row| row.get(0))
        .unwrap_or(0);
    Ok(Table {
        name: TableName::new("main", name),
        keys,
        has_primary_key,
        parts: vec![Part {
            name: TableName::new("main", name),
            handle: if without_rowid { WITHOUT_ROWID } else { 0 },
        }],
        partitioned: false,
        checks: checks(sql, &columns),
        columns,
        effects: effects(db, name)?,
        visibility: Visibility::Full,
        rows_estimate: u64::try_from(estimate).unwrap_or_default(),
    })
}

/// Adds the collation to the types of key columns: keys that refer to them compare with it.
fn add_collations(db: &Connection, name: &str, columns: &mut [Column]) -> rusqlite::Result<()> {
    // An index that somebody made can have a collation of its own; those of constraints have the column's.
    let mut query = db.prepare(
        "SELECT x.name, x.coll FROM pragma_index_list(?1, 'main') l, pragma_index_xinfo(l.name, 'main') x \
         WHERE l.\"unique\" AND x.key AND x.name IS NOT NULL AND upper(x.coll) <> 'BINARY' ORDER BY l.origin = 'c'",
    )?;
    let mut rows = query.query([name])?;
    while let Some(row) = rows.next()? {
        let (key, collation): (String, String) = (row.get(0)?, row.get(1)?);
        for column in columns.iter_mut().filter(|c| c.name == key && !c.type_name.contains(COLLATE)) {
            column.type_name = format!("{}{COLLATE}{collation}", column.type_name);
        }
    }
    Ok(())
}

fn unique_keys(
    db: &Connection,
    name: &str,
    columns: &[Column],
    primary: &[usize],
) -> rusqlite::Result<Vec<Vec<usize>>> {
    let mut keys = Vec::new();
    let mut query = db.prepare(
        "SELECT name FROM pragma_index_list(?1, 'main') WHERE \"unique\" AND NOT partial ORDER BY name",
    )?;
    let indexes: Vec<String> = query.query_map([name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for index in indexes {
        let mut query = db.prepare("SELECT name FROM pragma_index_info(?1, 'main') ORDER BY seqno")?;
        let names: Vec<Option<String>> =
            query.query_map([&index], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let found: Option<Vec<usize>> = names
            .iter()
            .map(|n| n.as_ref().and_then(|n| columns.iter().position(|c| c.name == *n)))
            .collect();
        if let Some(found) = found
            && found.iter().all(|c| !columns[*c].nullable)
            && found != primary
        {
            keys.push(found);
        }
    }
    Ok(keys)
}

fn effects(db: &Connection, name: &str) -> rusqlite::Result<Vec<Effect>> {
    let mut query = db.prepare(
        "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE ORDER BY name",
    )?;
    let rows = query.query_map([name], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut effects = Vec::new();
    for row in rows {
        let (name, definition) = row?;
        let words = head_words(&definition);
        let has = |word: &str| words.iter().any(|w| w.eq_ignore_ascii_case(word));
        effects.push(Effect {
            name,
            kind: EffectKind::Trigger,
            on_delete: has("DELETE"),
            on_update: has("UPDATE"),
            on_insert: has("INSERT"),
            always: true,
            definition,
        });
    }
    Ok(effects)
}

/// Words of a trigger's definition up to its ON, where the event stands.
fn head_words(definition: &str) -> Vec<String> {
    let words = definition.split_whitespace().map(str::to_owned);
    words.take_while(|word| !word.eq_ignore_ascii_case("ON")).collect()
}

/// CHECK constraints are not in any catalog table; they are read off the table's definition.
fn checks(sql: &str, columns: &[Column]) -> Vec<Check> {
    let mut found = Vec::new();
    for expression in check_expressions(sql) {
        let lower = expression.to_lowercase();
        let mentions = |c: &Column| {
            let name = c.name.to_lowercase();
            lower.match_indices(&name).any(|(at, _)| {
                !is_word(lower[..at].chars().next_back()) && !is_word(lower[at + name.len()..].chars().next())
            })
        };
        let columns: Vec<usize> = (0..columns.len()).filter(|i| mentions(&columns[*i])).collect();
        found.push(Check {
            name: format!("check {}", found.len() + 1),
            columns,
            expression,
            validated: true,
        });
    }
    found
}

fn is_word(character: Option<char>) -> bool {
    character.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn check_expressions(sql: &str) -> Vec<String> {
    let characters: Vec<char> = sql.chars().collect();
    let mut expressions = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        match characters[at] {
            '\'' | '"' | '`' | '[' => at = skip_quoted(&characters, at),
            '-' if characters.get(at + 1) == Some(&'-') => {
                while at < characters.len() && characters[at] != '\n' {
                    at += 1;
                }
            }
            'c' | 'C' if word_at(&characters, at, "check") => {
                let mut open = at + 5;
                while characters.get(open).is_some_and(|c| c.is_whitespace()) {
                    open += 1;
                }
                if characters.get(open) == Some(&'(') {
                    let close = closing(&characters, open);
                    expressions.push(characters[open + 1..close].iter().collect());
                    at = close;
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
    expressions
}

fn word_at(characters: &[char], at: usize, word: &str) -> bool {
    let before = at.checked_sub(1).and_then(|i| characters.get(i)).copied();
    let end = at + word.len();
    let text: String = characters.iter().skip(at).take(word.len()).collect();
    text.eq_ignore_ascii_case(word) && !is_word(before) && !is_word(characters.get(end).copied())
}

fn skip_quoted(characters: &[char], at: usize) -> usize {
    let close = if characters[at] == '[' { ']' } else { characters[at] };
    let end = characters.iter().skip(at + 1).position(|c| *c == close);
    end.map_or(characters.len(), |n| at + n + 2)
}

fn closing(characters: &[char], open: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = open;
    while at < characters.len() {
        match characters[at] {
            '\'' | '"' | '`' | '[' => {
                at = skip_quoted(characters, at);
                continue;
            }
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
        at += 1;
    }
    characters.len()
}

/// One foreign key as `foreign_key_list` tells it, row by row.
#[derive(Default)]
struct ForeignKey {
    parent: String,
    from: Vec<String>,
    /// Empty entries mean the parent's primary key.
    to: Vec<Option<String>>,
    rule: String,
}

fn references(
    db: &Connection,
    schema: &Schema,
    ids: &BTreeMap<String, TableId>,
    child: TableId,
) -> rusqlite::Result<Vec<Reference>> {
    let shape = schema.table(child);
    let mut query = db.prepare(
        "SELECT id, \"table\", \"from\", \"to\", on_delete FROM pragma_foreign_key_list(?1, 'main') ORDER BY id, seq",
    )?;
    let mut rows = query.query([&shape.name.name])?;
    let mut grouped: BTreeMap<i64, ForeignKey> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let key = grouped.entry(row.get(0)?).or_default();
        key.parent = row.get(1)?;
        key.from.push(row.get(2)?);
        key.to.push(row.get(3)?);
        key.rule = row.get(4)?;
    }
    let indexes = index_columns(db, &shape.name.name)?;
    let mut found = Vec::new();
    for (id, ForeignKey { parent, from, to, rule }) in grouped {
        let Some(parent) = ids.get(&parent.to_lowercase()).copied() else { continue };
        let child_columns: Option<Vec<usize>> = from.iter().map(|n| shape.column(n)).collect();
        let target = schema.table(parent);
        let parent_columns: Option<Vec<usize>> = if to.iter().all(Option::is_some) {
            to.iter().map(|n| n.as_ref().and_then(|n| target.column(n))).collect()
        } else {
            primary_key(db, target)?
        };
        let (Some(child_columns), Some(parent_columns)) = (child_columns, parent_columns) else { continue };
        if child_columns.len() != parent_columns.len() {
            continue;
        }
        let indexed = indexes.iter().any(|index| {
            child_columns.iter().all(|c| index.iter().take(child_columns.len()).any(|i| i == c))
        });
        found.push(Reference {
            name: format!("{}_fk{id}", shape.name.name),
            child,
            child_parts: None,
            set_columns: child_columns.clone(),
            child_columns,
            parent,
            parent_parts: None,
            parent_columns,
            on_delete: on_delete(&rule),
            match_full: false,
            deferrable: false,
            // Foreign keys are off by default here, so orphans are always possible.
            validated: false,
            indexed,
            origin: Origin::Declared,
            when: Vec::new(),
        });
    }
    Ok(found)
}

fn primary_key(db: &Connection, table: &Table) -> rusqlite::Result<Option<Vec<usize>>> {
    let mut query = db.prepare("SELECT name FROM pragma_table_info(?1, 'main') WHERE pk > 0 ORDER BY pk")?;
    let names: Vec<String> =
        query.query_map([&table.name.name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(names.iter().map(|name| table.column(name)).collect())
}

/// Columns of every index, and of the primary key when it is the table itself.
fn index_columns(db: &Connection, table: &str) -> rusqlite::Result<Vec<Vec<usize>>> {
    let mut columns: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut query = db.prepare(
        "SELECT l.name, i.cid FROM pragma_index_list(?1, 'main') l, pragma_index_info(l.name, 'main') i WHERE NOT l.partial ORDER BY l.name, i.seqno",
    )?;
    let mut rows = query.query([table])?;
    while let Some(row) = rows.next()? {
        let column: i64 = row.get(1)?;
        if let Ok(column) = usize::try_from(column) {
            columns.entry(row.get(0)?).or_default().push(column);
        }
    }
    let mut all: Vec<Vec<usize>> = columns.into_values().collect();
    let mut query = db.prepare("SELECT cid FROM pragma_table_info(?1, 'main') WHERE pk > 0 ORDER BY pk")?;
    let primary: Vec<i64> = query.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    all.push(primary.into_iter().filter_map(|c| usize::try_from(c).ok()).collect());
    Ok(all)
}

fn kind(type_name: &str) -> ColumnKind {
    let upper = type_name.to_ascii_uppercase();
    let has = |word: &str| upper.contains(word);
    if has("BOOL") {
        ColumnKind::Boolean
    } else if has("DATE") || has("TIME") {
        ColumnKind::Time
    } else if has("INT") {
        ColumnKind::Integer
    } else if has("UUID") {
        ColumnKind::Uuid
    } else if has("JSON") {
        ColumnKind::Json
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        ColumnKind::Text
    } else if has("BLOB") {
        ColumnKind::Bytes
    } else if has("REAL") || has("FLOA") || has("DOUB") || has("NUM") || has("DEC") {
        ColumnKind::Number
    } else {
        ColumnKind::Other
    }
}

fn on_delete(rule: &str) -> OnDelete {
    match rule {
        "CASCADE" => OnDelete::Cascade,
        "SET NULL" => OnDelete::SetNull,
        "SET DEFAULT" => OnDelete::SetDefault,
        "RESTRICT" => OnDelete::Restrict,
        _ => OnDelete::NoAction,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_read_off_a_definition() {
        let sql = "CREATE TABLE \"check (x\" (a INT CHECK (a > 0), b TEXT DEFAULT 'check (1)', -- check (2)\n \
                   CONSTRAINT one CHECK(a IS NOT NULL OR (b <> ')')), checked INT)";
        assert_eq!(check_expressions(sql), ["a > 0", "a IS NOT NULL OR (b <> ')')"]);
    }

    #[test]
    fn trigger_events_are_read_off_the_head() {
        let words = head_words("CREATE TRIGGER t AFTER UPDATE OF a ON x BEGIN DELETE FROM y; END");
        assert!(words.iter().any(|w| w == "UPDATE") && words.iter().all(|w| w != "DELETE"));
    }
}
