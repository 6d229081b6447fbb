//! A small shop with two test tenants and a real one, for tests that tell a story.

use unseed_core::policy::{ConfiguredProtection, Policy};
use unseed_core::schema::OnDelete;
use unseed_engine::plan::{Choice, ChoiceRows};
use unseed_testkit::memory::Database;
use unseed_testkit::random::{Case, ColumnModel, Kind, Model, ReferenceModel, TableModel};

/// Columns are `name` (text, nullable), `name!` (text, not null), `name#` (number, not null), `name?` (number).
fn table(name: &str, columns: &[&str], keyed: bool, rows: &[&[&str]]) -> TableModel {
    let column = |text: &&str| {
        let plain = text.trim_end_matches(['!', '#', '?']);
        let kind = if text.ends_with(['#', '?']) { Kind::Integer } else { Kind::Text };
        ColumnModel { name: plain.to_owned(), kind, nullable: !text.ends_with(['!', '#']), default: None }
    };
    let value = |text: &&str| (*text != "-").then(|| (*text).to_owned());
    TableModel {
        name: name.to_owned(),
        columns: columns.iter().map(column).collect(),
        primary_key: if keyed { vec![0] } else { Vec::new() },
        uniques: Vec::new(),
        checks: Vec::new(),
        partitions: None,
        rows: rows.iter().map(|row| row.iter().map(value).collect()).collect(),
    }
}

fn reference(child: usize, column: usize, parent: usize, on_delete: OnDelete) -> ReferenceModel {
    ReferenceModel {
        name: format!("fk_{child}_{column}"),
        child,
        columns: vec![column],
        parent,
        parent_columns: vec![0],
        on_delete,
        set_columns: None,
        match_full: false,
        deferrable: false,
        not_valid: false,
        indexed: true,
        child_partition: None,
        parent_partition: None,
    }
}

/// The shop as a case without roots.
pub(crate) fn case() -> Case {
    let tables = vec![
        table("tenants", &["id#", "name!"], true, &[&["1", "Test A"], &["2", "Test B"], &["3", "Real"]]),
        table(
            "users",
            &["id#", "tenant_id#", "email"],
            true,
            &[&["10", "1", "a@test"], &["11", "1", "b@test"], &["20", "2", "c@test"], &["30", "3", "d@real"]],
        ),
        table(
            "posts",
            &["id#", "tenant_id#", "author_id?"],
            true,
            &[&["100", "1", "10"], &["101", "2", "20"], &["102", "3", "30"]],
        ),
        table("events", &["user_id#", "note"], false, &[&["10", "in"], &["10", "in"], &["30", "in"]]),
        table("audit_logs", &["id#", "tenant_id?", "note"], true, &[&["1", "1", "x"], &["2", "3", "y"]]),
        table("notes", &["id#", "user_id?", "text"], true, &[&["1", "10", "kept"], &["2", "-", "plain"]]),
    ];
    let references = vec![
        reference(1, 1, 0, OnDelete::Cascade),
        reference(2, 1, 0, OnDelete::NoAction),
        reference(2, 2, 1, OnDelete::SetNull),
        reference(3, 0, 1, OnDelete::Restrict),
        reference(5, 1, 1, OnDelete::SetNull),
    ];
    Case { seed: 0, model: Model { tables, references }, roots: Vec::new() }
}

pub(crate) fn database() -> Database {
    case().database()
}

/// Tenants by a predicate.
pub(crate) fn tenants(predicate: &str) -> Vec<Choice> {
    vec![Choice {
        table: "tenants".to_owned(),
        rows: ChoiceRows::Where(predicate.to_owned()),
        chosen_by: format!("--where {predicate}"),
    }]
}

/// The policy that protects the real tenant.
pub(crate) fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.protect.push(ConfiguredProtection {
        table: "tenants".to_owned(),
        column: Some("id".to_owned()),
        values: vec!["3".to_owned()],
        predicate: None,
    });
    policy
}

/// A row of text values; `-` is null.
pub(crate) fn values(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| (*text != "-").then(|| (*text).to_owned())).collect()
}

/// Finds a table and changes it behind everybody's back.
pub(crate) fn insert(database: &mut Database, table: &str, texts: &[&str]) {
    let id = database.schema.find(table)[0];
    database.insert(id, values(texts));
}

/// Writes one column of the row with this first value.
pub(crate) fn set(database: &mut Database, table: &str, first: &str, column: usize, value: &str) {
    let id = database.schema.find(table)[0];
    for row in database.tables[id.0].iter_mut().filter(|row| row.values[0].as_deref() == Some(first)) {
        row.values[column] = Some(value.to_owned());
    }
}
