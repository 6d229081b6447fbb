//! Partitioned tables by month, by hash and by list, with their partitions in two schemas of their own.

use super::model::{ForeignKey, Key, Schema, Table};
use super::spine::times;

const RANGE_FAMILIES: [&str; 6] =
    ["audit_events", "web_hook_logs", "incident_events", "usage_samples", "batch_reports", "page_views"];
const HASH_FAMILIES: [&str; 4] = ["issue_search", "file_versions", "project_stats", "text_chunks"];
const LIST_FAMILIES: [&str; 3] = ["pipelines", "builds", "build_stages"];

const MONTHS: usize = 30;
const HASHES: usize = 48;
const LISTS: usize = 20;

/// Where log entries of removed rows go: see `triggers`.
pub(super) const DELETION_LOG: &str = "loose_deletions";

pub(super) fn add(schema: &mut Schema) {
    for family in RANGE_FAMILIES {
        add_range_family(schema, family);
    }
    for family in HASH_FAMILIES {
        add_hash_family(schema, family);
    }
    for family in LIST_FAMILIES {
        add_list_family(schema, family);
    }
    add_deletion_log(schema);
    add_keys_to_partitions(schema);
}

/// How many tables all of this makes beyond `Schema::tables`.
pub(super) fn partition_count(schema: &Schema) -> usize {
    schema.partitions.len()
}

fn add_range_family(schema: &mut Schema, family: &str) {
    let mut table = partitioned(schema, family, "created_at", "RANGE");
    table.column("payload", "jsonb", Some("jsonb_build_object('n', g)")).column(
        "size",
        "int4range",
        Some("int4range(g, g + 5)"),
    );
    table.tail = "PARTITION BY RANGE (created_at)".to_owned();
    for month in 0..MONTHS {
        let (from, to) = (first_of_month(month), first_of_month(month + 1));
        let name = format!("parts_dynamic.{family}_{}", from.replace('-', "").get(..6).unwrap_or_default());
        let bounds = format!("FOR VALUES FROM ('{from}') TO ('{to}')");
        schema.partitions.push(format!("CREATE TABLE {name} PARTITION OF {family} {bounds}"));
    }
    schema.keys.push(ForeignKey::to_id(family, "project_id", "projects", "CASCADE"));
    schema.keys.push(ForeignKey::to_id(family, "user_id", "users", "SET NULL"));
    schema.tables.push(table);
}

fn add_hash_family(schema: &mut Schema, family: &str) {
    let mut table = partitioned(schema, family, "project_id", "HASH");
    table.column("document", "tsvector", Some("to_tsvector('simple', 'row ' || g)"));
    table.tail = "PARTITION BY HASH (project_id)".to_owned();
    for remainder in 0..HASHES {
        let bounds = format!("FOR VALUES WITH (MODULUS {HASHES}, REMAINDER {remainder})");
        schema.partitions.push(format!(
            "CREATE TABLE parts_static.{family}_{remainder:02} PARTITION OF {family} {bounds}"
        ));
    }
    schema.keys.push(ForeignKey::to_id(family, "project_id", "projects", "CASCADE"));
    schema.tables.push(table);
}

/// Its keys are declared on each partition alone, as a large table gets them one at a time.
fn add_list_family(schema: &mut Schema, family: &str) {
    let mut table = partitioned(schema, family, "partition_id", "LIST");
    table.tail = "PARTITION BY LIST (partition_id)".to_owned();
    for index in 0..LISTS {
        let name = list_partition(family, index);
        let bounds = format!("FOR VALUES IN ({})", 100 + index);
        schema.partitions.push(format!("CREATE TABLE {name} PARTITION OF {family} {bounds}"));
        schema.keys.push(ForeignKey::to_id(&name, "project_id", "projects", "CASCADE"));
        let by_user = ForeignKey::to_id(&name, "user_id", "users", "SET NULL");
        schema.keys.push(if index.is_multiple_of(5) { by_user.with_suffix("NOT VALID") } else { by_user });
    }
    schema.tables.push(table);
}

fn partitioned(schema: &Schema, family: &str, by: &str, kind: &str) -> Table {
    let (project, user, organization) = (schema.relative(1), schema.relative(3), schema.organization());
    let mut table = Table::new(family, Key::None);
    table.column("id", "bigint NOT NULL", Some("g"));
    if kind == "LIST" {
        table.column("partition_id", "bigint NOT NULL DEFAULT 100", Some(&format!("100 + g % {LISTS}")));
    }
    table.column("project_id", "bigint NOT NULL", Some(&project)).column("user_id", "bigint", Some(&user));
    table.column("organization_id", "bigint", Some(&organization));
    times(&mut table);
    table.constraint(&format!("PRIMARY KEY (id, {by})"));
    table
}

/// The log has no key to anything, and its own partitions.
fn add_deletion_log(schema: &mut Schema) {
    let mut log = Table::new(DELETION_LOG, Key::None);
    log.is_filled = false;
    log.column("id", "bigint GENERATED ALWAYS AS IDENTITY", None).column(
        "partition",
        "bigint NOT NULL DEFAULT 1",
        None,
    );
    log.column("table_name", "text NOT NULL", None).column("key_value", "bigint NOT NULL", None);
    log.column("status", "smallint NOT NULL DEFAULT 1", None);
    log.column("created_at", "timestamptz NOT NULL DEFAULT now()", None);
    log.constraint("PRIMARY KEY (partition, id)");
    log.tail = "PARTITION BY LIST (partition)".to_owned();
    for number in 1..=4 {
        let name = format!("parts_static.{DELETION_LOG}_{number}");
        schema
            .partitions
            .push(format!("CREATE TABLE {name} PARTITION OF {DELETION_LOG} FOR VALUES IN ({number})"));
    }
    schema.tables.push(log);
}

/// One table refers to a whole partitioned table, another to one of its partitions.
fn add_keys_to_partitions(schema: &mut Schema) {
    for (name, target, is_single) in [
        ("build_notes", "builds".to_owned(), false),
        ("first_build_notes", list_partition("builds", 1), true),
    ] {
        let mut table = Table::new(name, Key::Number);
        table.column("id", "bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", None);
        // Partition 101 holds the rows with `g % LISTS = 1`.
        let row = if is_single { format!("(g - g % {LISTS} + 1)") } else { "g".to_owned() };
        let fits = format!("g % {LISTS} = 1");
        let of_row = |column: &str| {
            if is_single { format!("CASE WHEN {fits} THEN {column} END") } else { column.to_owned() }
        };
        table.column("build_id", "bigint", Some(&of_row(&row)));
        table.column("partition_id", "bigint", Some(&of_row(&format!("100 + g % {LISTS}"))));
        table.column("note", "text NOT NULL DEFAULT ''", Some("'note ' || g"));
        times(&mut table);
        schema.keys.push(ForeignKey {
            columns: vec!["build_id".to_owned(), "partition_id".to_owned()],
            target_columns: vec!["id".to_owned(), "partition_id".to_owned()],
            ..ForeignKey::to_id(name, "build_id", &target, "CASCADE")
        });
        schema.tables.push(table);
    }
}

fn list_partition(family: &str, index: usize) -> String {
    format!("parts_dynamic.{family}_{}", 100 + index)
}

/// The first day of a month, counted from January 2026.
fn first_of_month(month: usize) -> String {
    format!("{}-{:02}-01", 2026 + month / 12, month % 12 + 1)
}
