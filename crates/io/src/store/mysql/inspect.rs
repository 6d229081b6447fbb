//! Reading the catalog of MariaDB: the database of the URL, and every database that foreign keys tie to it.
//!
//! Invariants
//! - a foreign key that the role cannot see is found all the same (`hidden`), or its absence is not claimed;
//! - tables without transactions are marked, so that nothing is ever removed from them.

use super::dialect::{MysqlDialect, qualified};
use super::session::MySession;
use super::types;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, TextRow, number, text};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::schema::{
    Check, Column, ColumnIndex, Effect, EffectKind, Identity, OnDelete, Origin, Part, Reference, Schema,
    Table, TableId, TableName, Visibility,
};

/// Handle of a table that keeps no transactions, or whose rows stay behind when they are deleted.
pub(super) const UNSAFE: u64 = 1;

/// Reads everything around a database.
pub(super) async fn schema(session: &mut MySession, database: &str) -> Result<Schema, SqlError> {
    let databases = databases(session, database).await?;
    let names: Vec<String> = databases.iter().map(|name| MysqlDialect.literal(name)).collect();
    let within = names.join(", ");
    let mut tables = tables(session, &within).await?;
    let place: BTreeMap<TableName, usize> =
        tables.iter().enumerate().map(|(n, table)| (table.name.clone(), n)).collect();
    columns(session, &within, &mut tables, &place).await?;
    keys(session, &within, &mut tables, &place).await?;
    checks(session, &within, &mut tables, &place).await?;
    triggers(session, &within, &mut tables, &place).await?;
    let granted = Granted::read(session).await?;
    let mut listed = listed_keys(session, &within).await?;
    let printed = printed_keys(session, &tables, &listed, &granted).await?;
    listed.extend(printed);
    let references = references(&listed, &tables, &place);
    visibility(session, &granted, &mut tables, &references).await?;
    Ok(Schema { tables, references })
}

/// The database and all that foreign keys lead to from it, either way.
async fn databases(session: &mut MySession, database: &str) -> Result<BTreeSet<String>, SqlError> {
    let sql = "SELECT DISTINCT CONSTRAINT_SCHEMA, UNIQUE_CONSTRAINT_SCHEMA FROM information_schema.REFERENTIAL_CONSTRAINTS \
               WHERE CONSTRAINT_SCHEMA <> UNIQUE_CONSTRAINT_SCHEMA";
    let pairs: Vec<(String, String)> =
        session.rows(sql).await?.iter().map(|row| (text(row, 0), text(row, 1))).collect();
    let mut found = BTreeSet::from([database.to_owned()]);
    loop {
        let before = found.len();
        for (a, b) in &pairs {
            if found.contains(a) || found.contains(b) {
                found.extend([a.clone(), b.clone()]);
            }
        }
        if found.len() == before {
            return Ok(found);
        }
    }
}

async fn tables(session: &mut MySession, within: &str) -> Result<Vec<Table>, SqlError> {
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, TABLE_TYPE, COALESCE(TABLE_ROWS, 0), COALESCE(CREATE_OPTIONS, '') \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({within}) AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') \
         ORDER BY TABLE_SCHEMA COLLATE utf8mb3_bin, TABLE_NAME COLLATE utf8mb3_bin"
    );
    let shape = |row: &TextRow| {
        let name = TableName::new(text(row, 0), text(row, 1));
        let is_safe = text(row, 2) == "InnoDB" && text(row, 3) == "BASE TABLE";
        let handle = if is_safe { 0 } else { UNSAFE };
        Table {
            parts: vec![Part { name: name.clone(), handle }],
            name,
            columns: Vec::new(),
            keys: Vec::new(),
            has_primary_key: false,
            partitioned: text(row, 5).contains("partitioned"),
            checks: Vec::new(),
            effects: Vec::new(),
            visibility: Visibility::Full,
            rows_estimate: number(row, 4),
        }
    };
    let mut tables: Vec<Table> = session.rows(&sql).await?.iter().map(shape).collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tables)
}

type Places = BTreeMap<TableName, usize>;

fn place_of(row: &TextRow, places: &Places) -> Option<usize> {
    places.get(&TableName::new(text(row, 0), text(row, 1))).copied()
}

async fn columns(
    session: &mut MySession,
    within: &str,
    tables: &mut [Table],
    places: &Places,
) -> Result<(), SqlError> {
    let json = format!(
        "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS \
         WHERE CONSTRAINT_SCHEMA IN ({within}) AND LEVEL = 'Column' AND CHECK_CLAUSE LIKE 'json\\_valid(%'"
    );
    let json: BTreeSet<(String, String, String)> =
        session.rows(&json).await?.iter().map(|row| (text(row, 0), text(row, 1), text(row, 2))).collect();
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, \
         IS_NULLABLE, COLUMN_DEFAULT, EXTRA, IS_GENERATED FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA IN ({within}) ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
    );
    for row in session.rows(&sql).await? {
        let Some(place) = place_of(&row, places) else { continue };
        let value = |n: usize| row.get(n).cloned().flatten();
        let (name, extra) = (text(&row, 2), text(&row, 9).to_lowercase());
        let clause = format!("json_valid({})", MysqlDialect.quote(&name));
        let is_json = json.contains(&(text(&row, 0), text(&row, 1), clause));
        let default = value(8).filter(|default| default != "NULL");
        tables[place].columns.push(Column {
            kind: types::kind(&text(&row, 3), &text(&row, 4), is_json),
            type_name: types::type_name(
                &text(&row, 4),
                value(5).as_deref(),
                value(6).as_deref(),
                extra.contains("on update"),
            ),
            nullable: text(&row, 7) == "YES",
            generated: text(&row, 10) == "ALWAYS",
            identity: extra.contains("auto_increment").then_some(Identity::ByDefault),
            sequence: None,
            default,
            name,
        });
    }
    Ok(())
}

/// Keys whose columns are all set; an index over the beginning of a value makes no row unique by it.
async fn keys(
    session: &mut MySession,
    within: &str,
    tables: &mut [Table],
    places: &Places,
) -> Result<(), SqlError> {
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
         WHERE TABLE_SCHEMA IN ({within}) AND NON_UNIQUE = 0 ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
    );
    let mut found: BTreeMap<(usize, bool, String), Option<Vec<ColumnIndex>>> = BTreeMap::new();
    for row in session.rows(&sql).await? {
        let Some(place) = place_of(&row, places) else { continue };
        let table = &tables[place];
        let is_whole = row.get(4).is_none_or(Option::is_none);
        let column = table.columns.iter().position(|c| c.name == text(&row, 3));
        let column = column.filter(|c| is_whole && !table.columns[*c].nullable);
        let name = text(&row, 2);
        let key = found.entry((place, name != "PRIMARY", name)).or_insert_with(|| Some(Vec::new()));
        *key = key.take().zip(column).map(|(mut key, column)| {
            key.push(column);
            key
        });
    }
    for ((place, is_other, _), key) in found {
        let Some(key) = key else { continue };
        tables[place].has_primary_key |= !is_other;
        tables[place].keys.push(key);
    }
    Ok(())
}

async fn checks(
    session: &mut MySession,
    within: &str,
    tables: &mut [Table],
    places: &Places,
) -> Result<(), SqlError> {
    let sql = format!(
        "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS \
         WHERE CONSTRAINT_SCHEMA IN ({within}) ORDER BY CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME"
    );
    for row in session.rows(&sql).await? {
        let Some(place) = place_of(&row, places) else { continue };
        let expression = text(&row, 3);
        let table = &mut tables[place];
        let named = |c: &ColumnIndex| expression.contains(&MysqlDialect.quote(&table.columns[*c].name));
        let columns = (0..table.columns.len()).filter(named).collect();
        table.checks.push(Check { name: text(&row, 2), columns, expression, validated: true });
    }
    Ok(())
}

async fn triggers(
    session: &mut MySession,
    within: &str,
    tables: &mut [Table],
    places: &Places,
) -> Result<(), SqlError> {
    let sql = format!(
        "SELECT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, TRIGGER_NAME, EVENT_MANIPULATION, ACTION_TIMING, ACTION_STATEMENT \
         FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA IN ({within}) \
         ORDER BY EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, TRIGGER_NAME"
    );
    for row in session.rows(&sql).await? {
        let Some(place) = place_of(&row, places) else { continue };
        let event = text(&row, 3);
        tables[place].effects.push(Effect {
            name: text(&row, 2),
            kind: EffectKind::Trigger,
            on_delete: event == "DELETE",
            on_update: event == "UPDATE",
            on_insert: event == "INSERT",
            // Nothing switches triggers off.
            always: true,
            definition: format!("{} {event} {}", text(&row, 4), text(&row, 5)),
        });
    }
    Ok(())
}

/// Foreign keys as the catalog lists them, a row for each column: child, key, column, parent, column, rule.
async fn listed_keys(session: &mut MySession, within: &str) -> Result<Vec<TextRow>, SqlError> {
    let sql = format!(
        "SELECT k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA, \
         k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, r.DELETE_RULE FROM information_schema.KEY_COLUMN_USAGE k \
         JOIN information_schema.REFERENTIAL_CONSTRAINTS r ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA \
         AND r.TABLE_NAME = k.TABLE_NAME AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME \
         WHERE k.TABLE_SCHEMA IN ({within}) AND k.REFERENCED_TABLE_NAME IS NOT NULL \
         ORDER BY k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION"
    );
    session.rows(&sql).await
}

/// The same of tables whose keys the catalog does not list to this role: who may only read a table sees them in its
/// definition.
async fn printed_keys(
    session: &mut MySession,
    tables: &[Table],
    listed: &[TextRow],
    granted: &Granted,
) -> Result<Vec<TextRow>, SqlError> {
    const LISTING: [&str; 9] =
        ["INSERT", "UPDATE", "DELETE", "REFERENCES", "CREATE", "ALTER", "INDEX", "DROP", "TRIGGER"];
    let known: BTreeSet<TableName> =
        listed.iter().map(|row| TableName::new(text(row, 0), text(row, 1))).collect();
    let is_listed = |table: &&Table| {
        known.contains(&table.name) || LISTING.iter().any(|right| granted.has_in_database(right, &table.name))
    };
    let mut keys = Vec::new();
    for table in tables.iter().filter(|table| !is_listed(table)) {
        if granted.has("SELECT", &table.name) {
            let rows = session.rows(&format!("SHOW CREATE TABLE {}", qualified(&table.name))).await?;
            let definition = rows.first().map(|row| text(row, 1)).unwrap_or_default();
            keys.extend(definition.lines().filter_map(|line| printed_key(&table.name, line)).flatten());
        }
    }
    Ok(keys)
}

/// The key that a line of a table's definition declares.
fn printed_key(table: &TableName, line: &str) -> Option<Vec<TextRow>> {
    let rest = line.trim_start().strip_prefix("CONSTRAINT ")?;
    let (mut names, rest) = quoted_names(rest);
    let constraint = names.pop()?;
    let rest = rest.trim_start().strip_prefix("FOREIGN KEY (")?;
    let (columns, rest) = quoted_names(rest);
    let rest = rest.strip_prefix(") REFERENCES ")?;
    let (parent, rest) = quoted_names(rest);
    let rest = rest.trim_start().strip_prefix('(')?;
    let (targets, rest) = quoted_names(rest);
    let rule = rest.split_once("ON DELETE ").map_or("RESTRICT", |(_, rule)| rule);
    let rule =
        ["CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION"].into_iter().find(|word| rule.starts_with(word));
    let (namespace, name) = match parent.as_slice() {
        [name] => (table.namespace.clone(), name.clone()),
        [namespace, name] => (namespace.clone(), name.clone()),
        _ => return None,
    };
    let row = |(column, target): (&String, &String)| {
        let parts = [&table.namespace, &table.name, &constraint, column, &namespace, &name, target];
        let rule = Some(rule.unwrap_or("RESTRICT").to_owned());
        parts.into_iter().map(|part| Some(part.clone())).chain([rule]).collect()
    };
    Some(columns.iter().zip(&targets).map(row).collect())
}

/// Names in backticks with nothing but commas and dots between them, and what follows.
fn quoted_names(text: &str) -> (Vec<String>, &str) {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(inner) = rest.trim_start_matches([',', '.', ' ']).strip_prefix('`') {
        let mut name = String::new();
        let mut from = inner;
        loop {
            let Some((part, behind)) = from.split_once('`') else { return (names, rest) };
            name.push_str(part);
            match behind.strip_prefix('`') {
                Some(more) => {
                    name.push('`');
                    from = more;
                }
                None => {
                    rest = behind;
                    break;
                }
            }
        }
        names.push(name);
    }
    (names, rest)
}

fn references(listed: &[TextRow], tables: &[Table], places: &Places) -> Vec<Reference> {
    let mut found: BTreeMap<(usize, String), Reference> = BTreeMap::new();
    for row in listed {
        let parent = places.get(&TableName::new(text(row, 4), text(row, 5))).copied();
        // A key to a table that is gone; it can be declared while checks are off.
        let (Some(child), Some(parent)) = (place_of(row, places), parent) else { continue };
        let position =
            |table: usize, n: usize| tables[table].columns.iter().position(|c| c.name == text(row, n));
        let (Some(from), Some(to)) = (position(child, 3), position(parent, 6)) else { continue };
        let name = text(row, 2);
        let reference = found.entry((child, name.clone())).or_insert_with(|| Reference {
            name,
            child: TableId(child),
            child_parts: None,
            child_columns: Vec::new(),
            parent: TableId(parent),
            parent_parts: None,
            parent_columns: Vec::new(),
            on_delete: on_delete(&text(row, 7)),
            set_columns: Vec::new(),
            match_full: false,
            deferrable: false,
            // Whoever loads data with checks off leaves orphans behind a key that looks whole.
            validated: false,
            indexed: true,
            origin: Origin::Declared,
            when: Vec::new(),
        });
        reference.child_columns.push(from);
        reference.parent_columns.push(to);
        reference.set_columns.push(from);
    }
    let mut references: Vec<Reference> = found.into_values().collect();
    references
        .sort_by(|a, b| (a.child, &a.child_columns, &a.name).cmp(&(b.child, &b.child_columns, &b.name)));
    references
}

fn on_delete(rule: &str) -> OnDelete {
    match rule {
        "CASCADE" => OnDelete::Cascade,
        "SET NULL" => OnDelete::SetNull,
        "SET DEFAULT" => OnDelete::SetDefault,
        "NO ACTION" => OnDelete::NoAction,
        _ => OnDelete::Restrict,
    }
}

/// What the role may do with each table, and whether it can know all keys that lead to them.
async fn visibility(
    session: &mut MySession,
    granted: &Granted,
    tables: &mut [Table],
    references: &[Reference],
) -> Result<(), SqlError> {
    let unknown = granted.hidden(session, tables, references).await?;
    for (n, table) in tables.iter_mut().enumerate() {
        let mut lacking: Vec<String> = ["SELECT", "UPDATE", "DELETE"]
            .into_iter()
            .filter(|privilege| !granted.has(privilege, &table.name))
            .map(str::to_owned)
            .collect();
        lacking.extend(unknown.get(&n).cloned());
        if !lacking.is_empty() {
            table.visibility = Visibility::Denied(lacking);
        }
    }
    Ok(())
}

/// Privileges of the role and of the roles it has taken on.
struct Granted {
    everywhere: BTreeSet<String>,
    /// Patterns of databases.
    databases: Vec<(String, String)>,
    tables: BTreeSet<(TableName, String)>,
}

impl Granted {
    async fn read(session: &mut MySession) -> Result<Self, SqlError> {
        let who = "SELECT CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''') \
                   UNION SELECT CONCAT('''', ROLE_NAME, '''@''''') FROM information_schema.ENABLED_ROLES WHERE ROLE_NAME IS NOT NULL \
                   UNION SELECT ROLE_NAME FROM information_schema.ENABLED_ROLES WHERE ROLE_NAME IS NOT NULL \
                   UNION SELECT CONCAT('''', ROLE_NAME, '''') FROM information_schema.ENABLED_ROLES WHERE ROLE_NAME IS NOT NULL";
        let who: Vec<String> =
            session.rows(who).await?.iter().map(|row| MysqlDialect.literal(&text(row, 0))).collect();
        let who = who.join(", ");
        let ask = |columns: &str, view: &str| {
            format!("SELECT PRIVILEGE_TYPE{columns} FROM information_schema.{view} WHERE GRANTEE IN ({who})")
        };
        let everywhere = session.rows(&ask("", "USER_PRIVILEGES")).await?;
        let databases = session.rows(&ask(", TABLE_SCHEMA", "SCHEMA_PRIVILEGES")).await?;
        let tables = session.rows(&ask(", TABLE_SCHEMA, TABLE_NAME", "TABLE_PRIVILEGES")).await?;
        let named = |row: &TextRow| (TableName::new(text(row, 1), text(row, 2)), text(row, 0));
        Ok(Self {
            everywhere: everywhere.iter().map(|row| text(row, 0)).collect(),
            databases: databases.iter().map(|row| (text(row, 1), text(row, 0))).collect(),
            tables: tables.iter().map(named).collect(),
        })
    }

    /// For all tables of the database at once.
    fn has_in_database(&self, privilege: &str, name: &TableName) -> bool {
        let in_database =
            |(pattern, known): &(String, String)| known == privilege && fits(pattern, &name.namespace);
        self.everywhere.contains(privilege) || self.databases.iter().any(in_database)
    }

    fn has(&self, privilege: &str, name: &TableName) -> bool {
        self.has_in_database(privilege, name) || self.tables.contains(&(name.clone(), privilege.to_owned()))
    }

    /// What is not known about tables: keys of databases that the role cannot see may lead to them.
    async fn hidden(
        &self,
        session: &mut MySession,
        tables: &[Table],
        references: &[Reference],
    ) -> Result<BTreeMap<usize, String>, SqlError> {
        let mut unknown = BTreeMap::new();
        if self.everywhere.contains("SELECT") {
            return Ok(unknown);
        }
        if !self.everywhere.contains("PROCESS") {
            let why = "PROCESS, by which keys of databases that it cannot see would be known".to_owned();
            unknown.extend((0..tables.len()).map(|n| (n, why.clone())));
            return Ok(unknown);
        }
        let sql = "SELECT REF_NAME, FOR_NAME FROM information_schema.INNODB_SYS_FOREIGN";
        let mut leading: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in session.rows(sql).await? {
            leading.entry(text(&row, 0)).or_default().insert(text(&row, 1));
        }
        for (n, table) in tables.iter().enumerate() {
            let seen: BTreeSet<String> = references
                .iter()
                .filter(|r| r.parent == TableId(n))
                .map(|r| file_name(&tables[r.child.0].name))
                .collect();
            let there = leading.get(&file_name(&table.name)).cloned().unwrap_or_default();
            if let Some(other) = there.difference(&seen).next() {
                unknown
                    .insert(n, format!("the right to see `{}`, which refers to it", other.replace('/', ".")));
            }
        }
        Ok(unknown)
    }
}

/// Whether a pattern of a grant covers a database: `%` and `_` as in LIKE, unless escaped.
fn fits(pattern: &str, database: &str) -> bool {
    let mut pattern = pattern.chars();
    match pattern.next() {
        None => database.is_empty(),
        Some('%') => {
            let rest = pattern.as_str();
            (0..=database.len()).any(|at| database.is_char_boundary(at) && fits(rest, &database[at..]))
        }
        Some(wanted) => {
            let (any, wanted) = match wanted {
                '_' => (true, wanted),
                '\\' => (false, pattern.next().unwrap_or('\\')),
                other => (false, other),
            };
            let mut rest = database.chars();
            rest.next().is_some_and(|c| any || c == wanted) && fits(pattern.as_str(), rest.as_str())
        }
    }
}

/// A table's name as the storage engine has it: everything but letters, digits and `_` as `@` and four digits.
fn file_name(name: &TableName) -> String {
    let encode = |text: &str| {
        let mut out = String::new();
        for c in text.chars() {
            if c.is_ascii_alphanumeric() || c == '_' {
                out.push(c);
            } else {
                out.push_str(&format!("@{:04x}", u32::from(c)));
            }
        }
        out
    };
    format!("{}/{}", encode(&name.namespace), encode(&name.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_cover_databases_by_pattern() {
        assert!(fits("shop", "shop") && fits("sh%", "shop") && fits("%", "shop") && fits("s__p", "shop"));
        assert!(
            fits("a\\_b", "a_b") && !fits("a\\_b", "axb") && !fits("sho", "shop") && !fits("shop_", "shop")
        );
    }

    #[test]
    fn keys_are_read_from_a_definition() {
        let table = TableName::new("shop", "a");
        let line = "  CONSTRAINT `k``1` FOREIGN KEY (`x`, `y.z`) REFERENCES `crm`.`b` (`p`, `q`) ON DELETE SET NULL,";
        let rows = printed_key(&table, line).unwrap();
        let second: Vec<&str> = rows[1].iter().map(|value| value.as_deref().unwrap()).collect();
        assert_eq!((rows.len(), second), (2, vec!["shop", "a", "k`1", "y.z", "crm", "b", "q", "SET NULL"]));
        let own = printed_key(&table, "CONSTRAINT `k` FOREIGN KEY (`x`) REFERENCES `b` (`p`)").unwrap();
        assert_eq!((own[0][4].as_deref(), own[0][7].as_deref()), (Some("shop"), Some("RESTRICT")));
        assert!(printed_key(&table, "  CONSTRAINT `c` CHECK (`x` > 0)").is_none());
    }

    #[test]
    fn names_of_files_are_encoded() {
        assert_eq!(file_name(&TableName::new("my-shop", "users_1")), "my@002dshop/users_1");
    }
}
