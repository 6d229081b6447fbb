//! SQLite: the catalog through pragmas, and the rows as statements of which those that fit take effect.

use super::catalog::{Check, Column, ForeignKey, Kind, Shape, Table};
use super::rows::Row;
use super::value;
use crate::random::Dice;
use crate::server::{ServerError, SqliteFile};
use serde_json::Value;

/// Variants of a row that are offered where a table has checks; the first that fits is kept.
const VARIANTS: usize = 24;

const CATALOG: &str = "
SELECT json_object('name', m.name, 'sql', m.sql,
    'columns', (SELECT json_group_array(json_object('name', name, 'type', type, 'required', \"notnull\" OR pk > 0,
        'key', pk, 'hidden', hidden)) FROM pragma_table_xinfo(m.name)),
    'uniques', (SELECT json_group_array((SELECT json_group_array(name) FROM pragma_index_info(l.name)))
        FROM pragma_index_list(m.name) l WHERE l.\"unique\"),
    'keys', (SELECT json_group_array(json_object('id', id, 'parent', \"table\", 'from', \"from\", 'to', \"to\"))
        FROM (SELECT * FROM pragma_foreign_key_list(m.name) ORDER BY id, seq)))
FROM sqlite_master m JOIN pragma_table_list t ON t.name = m.name AND t.schema = 'main'
WHERE m.type = 'table' AND t.type = 'table' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY m.name;";

/// Reads the catalog.
pub(super) fn read(file: &SqliteFile) -> Result<Shape, ServerError> {
    let answer = file.run(CATALOG)?;
    let entries: Result<Vec<Value>, _> = answer.lines().map(serde_json::from_str).collect();
    let entries = entries.map_err(|error| ServerError::file(file.path(), &error))?;
    let mut shape = Shape { tables: entries.iter().map(table).collect(), keys: Vec::new() };
    for (child, entry) in entries.iter().enumerate() {
        for key in list(&entry["keys"]).chunk_by(|a, b| a["id"] == b["id"]) {
            shape.keys.extend(foreign_key(&shape, child, key));
        }
    }
    Ok(shape)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn position(table: &Table, name: &str) -> Option<usize> {
    table.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name))
}

fn table(entry: &Value) -> Table {
    let columns: Vec<Column> = list(&entry["columns"]).iter().map(column).collect();
    let mut table = Table { name: quoted(&text(&entry["name"])), columns, ..Table::default() };
    let mut primary: Vec<(u64, usize)> = list(&entry["columns"])
        .iter()
        .enumerate()
        .filter_map(|(n, c)| c["key"].as_u64().filter(|place| *place > 0).map(|place| (place, n)))
        .collect();
    primary.sort_unstable();
    table.has_primary_key = !primary.is_empty();
    if table.has_primary_key {
        table.uniques.push(primary.into_iter().map(|(_, n)| n).collect());
    }
    for unique in list(&entry["uniques"]) {
        let found: Option<Vec<usize>> =
            list(unique).iter().map(|name| name.as_str().and_then(|name| position(&table, name))).collect();
        table.uniques.extend(found);
    }
    let sql = text(&entry["sql"]);
    if sql.to_ascii_uppercase().contains("CHECK") {
        let mentioned = |c: &usize| sql.matches(table.columns[*c].name.as_str()).count() > 1;
        let columns = (0..table.columns.len()).filter(mentioned).collect();
        table.checks.push(Check { name: String::new(), columns, text: sql.clone() });
    }
    table
}

fn column(entry: &Value) -> Column {
    let declared = text(&entry["type"]).to_ascii_lowercase();
    let (name, size) = match declared.split_once('(') {
        Some((name, size)) => (name.trim(), size.trim_end_matches(')')),
        None => (declared.as_str(), ""),
    };
    let mut sizes = size.split(',').filter_map(|number| number.trim().parse::<usize>().ok());
    // What the words of a declared type mean here; the first that occurs decides.
    const MEANINGS: [(&str, &str); 13] = [
        ("bool", "bool"),
        ("timestamp", "timestamp"),
        ("datetime", "timestamp"),
        ("date", "date"),
        ("time", "time"),
        ("json", "json"),
        ("blob", "blob"),
        ("bytea", "blob"),
        ("real", "real"),
        ("double", "real"),
        ("numeric", "numeric"),
        ("decimal", "numeric"),
        ("int", "integer"),
    ];
    let name = MEANINGS.iter().find(|(word, _)| name.contains(word)).map_or("text", |(_, meaning)| *meaning);
    Column {
        name: text(&entry["name"]),
        kind: Kind {
            name: name.to_owned(),
            size: sizes.next(),
            scale: sizes.next().unwrap_or(0),
            ..Kind::default()
        },
        required: entry["required"] == 1,
        generated: entry["hidden"] != 0,
    }
}

fn foreign_key(shape: &Shape, child: usize, entries: &[Value]) -> Option<ForeignKey> {
    let name = quoted(entries.first()?["parent"].as_str()?);
    let parent = shape.tables.iter().position(|table| table.name.eq_ignore_ascii_case(&name))?;
    let target = &shape.tables[parent];
    let named: Option<Vec<usize>> = entries.iter().map(|e| position(target, e["to"].as_str()?)).collect();
    let child_columns: Option<Vec<usize>> =
        entries.iter().map(|e| position(&shape.tables[child], e["from"].as_str()?)).collect();
    // Without columns, the key leads to the primary key.
    let parent_columns =
        named.or_else(|| target.uniques.first().filter(|_| target.has_primary_key).cloned())?;
    Some(ForeignKey { child, child_columns: child_columns?, parent, parent_columns })
}

/// The script; it answers with the number of each table and its rows.
pub(super) fn script(shape: &Shape, rows: &[Vec<Row>]) -> String {
    let mut dice = Dice::new(5);
    let mut script = String::from(".dbconfig enable_trigger off\nPRAGMA foreign_keys = OFF;\nBEGIN;\n");
    for (table, rows) in shape.tables.iter().zip(rows) {
        let written = table.written();
        let names: Vec<String> = written.iter().map(|c| quoted(&table.columns[*c].name)).collect();
        let head = format!("INSERT OR IGNORE INTO {} ({}) VALUES", table.name, names.join(", "));
        for row in rows {
            for variant in variants(table, row, &mut dice) {
                let cells: Vec<String> =
                    written.iter().map(|c| literal(&table.columns[*c], &variant[*c])).collect();
                script.push_str(&format!("{head} ({});\n", cells.join(", ")));
            }
        }
    }
    for _ in 0..12 {
        shape.keys.iter().for_each(|key| script.push_str(&mend(shape, key)));
    }
    for (number, table) in shape.tables.iter().enumerate() {
        script.push_str(&format!("SELECT '{number}|' || count(*) || '|no row fits' FROM {};\n", table.name));
    }
    format!("{script}COMMIT;\nANALYZE;\n")
}

/// The row, and where the table has checks and a key, the row with other values in the columns they mention.
fn variants(table: &Table, row: &Row, dice: &mut Dice) -> Vec<Vec<Option<String>>> {
    let mut variants = vec![row.cells.clone()];
    let Some(check) = table.checks.first().filter(|_| !table.uniques.is_empty()) else { return variants };
    for _ in 0..VARIANTS {
        let mut cells = row.cells.clone();
        for column in &check.columns {
            let choices = value::choices(&table.columns[*column], &[&check.text], *column);
            let chance = if table.is_unique(*column) { 20 } else { 50 };
            if dice.chance(chance) && !choices.is_empty() {
                cells[*column] = dice.pick(&choices);
            }
        }
        variants.push(cells);
    }
    variants
}

fn literal(column: &Column, cell: &Option<String>) -> String {
    match (cell, column.kind.name.as_str()) {
        (None, _) => "NULL".to_owned(),
        (Some(value), "bool") => (if value == "true" { "1" } else { "0" }).to_owned(),
        (Some(value), "blob") => format!("CAST('{}' AS BLOB)", value.replace('\'', "''")),
        (Some(value), _) => format!("'{}'", value.replace('\'', "''")),
    }
}

/// Takes back references to rows that do not exist, or the rows that hold them.
fn mend(shape: &Shape, key: &ForeignKey) -> String {
    let (child, parent) = (&shape.tables[key.child], &shape.tables[key.parent]);
    let child_names: Vec<String> =
        key.child_columns.iter().map(|c| quoted(&child.columns[*c].name)).collect();
    let pairs = child_names.iter().zip(&key.parent_columns);
    let same: Vec<String> =
        pairs.map(|(c, p)| format!("x.{c} = y.{}", quoted(&parent.columns[*p].name))).collect();
    let set: Vec<String> = child_names.iter().map(|c| format!("x.{c} IS NOT NULL")).collect();
    let dangling = format!(
        "{} AND NOT EXISTS (SELECT 1 FROM {} y WHERE {})",
        set.join(" AND "),
        parent.name,
        same.join(" AND ")
    );
    let free = key.child_columns.iter().zip(&child_names).filter(|(c, _)| !child.columns[**c].required);
    let emptied: Vec<String> = free.map(|(_, name)| format!("{name} = NULL")).collect();
    let mut statements = String::new();
    if !emptied.is_empty() {
        statements =
            format!("UPDATE OR IGNORE {} AS x SET {} WHERE {dangling};\n", child.name, emptied.join(", "));
    }
    format!("{statements}DELETE FROM {} AS x WHERE {dangling};\n", child.name)
}
