//! `unseed init`: writes a first `unseed.toml` from what a store looks like.
//!
//! What is only a guess is written as a comment, for a person to decide; the file says what every line does.

use super::{Done, Env};
use crate::wire::{self, CONFIG_FILE, Target};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use unseed_core::address;
use unseed_core::config::Config;
use unseed_core::entity::{self, Entity, Map, Member};
use unseed_core::fault::Fault;
use unseed_core::schema::{ColumnIndex, Schema};

/// Write unseed.toml from what a store looks like
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed init postgres://me@db.example/app
  unseed init env:DATABASE_URL --output etc/unseed.toml")]
pub(crate) struct InitArgs {
    /// Store: a URL, the path of a SQLite file, or env:NAME
    url: Option<String>,
    /// Where to write it
    #[arg(long, short, value_name = "FILE", default_value = CONFIG_FILE)]
    output: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(env: &Env<'_>, args: &InitArgs) -> Result<Done, Fault> {
    let shown = args.output.display();
    if args.output.exists() && !args.force {
        return Err(Fault::usage(format!("`{shown}` is there already"))
            .hint("name another file with `--output FILE`, or replace it with `--force`"));
    }
    let target = env.wire.target(args.url.as_deref())?;
    let mut store = env.wire.open(&target).await?;
    let catalog = store.store().inspect().await?;
    let map = entity::infer(&catalog.schema, &env.wire.config.entities)?;
    let text = text(&target, &catalog.schema, &map);
    Config::parse(&text, "unseed.toml")?;
    wire::write_file(&args.output, text.as_bytes())?;
    let roles: Vec<_> = map
        .members
        .iter()
        .map(|m| json!({"table": catalog.schema.table(m.table).name.to_string(), "entity": m.entity.word()}))
        .collect();
    if env.ui.is_table() {
        env.ui.text(&format!(
            "wrote {shown}: {} tables, {} with a role",
            catalog.schema.tables.len(),
            roles.len()
        ));
        env.ui.note("next: read it, protect what must stay, then run `unseed scan`");
    } else {
        env.ui.json(&json!({"format": "unseed.init/1", "file": args.output, "entities": roles}));
    }
    Ok(Done::Success)
}

fn text(target: &Target, schema: &Schema, map: &Map) -> String {
    let mut lines =
        vec!["# What unseed knows about your stores. Every line is optional.".to_owned(), String::new()];
    lines.push(format!("[stores.{}]", key(&target.name)));
    if address::is_masked(&target.address) {
        lines
            .push(format!("# The address of {} without its password is not enough to connect:", target.name));
        lines.push("# set DATABASE_URL to the whole one where unseed runs.".to_owned());
        lines.push("url = \"env:DATABASE_URL\"".to_owned());
    } else {
        lines.push(format!("url = {}", quoted(&target.address)));
    }
    for role in [Entity::Tenant, Entity::User] {
        lines.extend(entity_lines(schema, map, role));
    }
    lines.extend(protect_lines(schema, map));
    lines.extend(reference_lines(schema));
    lines.extend(
        [
            "",
            "[limits]",
            "# Beyond these, a plan is refused.",
            "max_rows = 5_000_000",
            "max_share_of_table = 0.999",
        ]
        .map(ToOwned::to_owned),
    );
    lines.push(String::new());
    lines.join("\n")
}

fn entity_lines(schema: &Schema, map: &Map, role: Entity) -> Vec<String> {
    let members: Vec<&Member> = map.of(role).collect();
    let Some(first) = members.first() else {
        return vec![
            String::new(),
            format!("# No table looks like the one of {}s; name it here if there is one.", role.word()),
            format!("# [entities.{}]", role.word()),
            "# table = \"…\"".to_owned(),
        ];
    };
    let mut lines = vec![String::new(), format!("# Inferred; change a line to overrule it.")];
    for other in members.iter().skip(1) {
        lines.push(format!("# `{}` plays this role as well.", schema.table(other.table).name));
    }
    // Naming the table in a live line would take the role from the others.
    let mark = if members.len() > 1 { "# " } else { "" };
    let table = schema.table(first.table);
    lines.push(format!("{mark}[entities.{}]", role.word()));
    lines.push(format!("{mark}table = {}", quoted(&table.name.to_string())));
    let fields = &first.fields;
    let name = (!fields.name.is_empty())
        .then(|| fields.name.iter().map(|c| table.columns[*c].name.as_str()).collect::<Vec<_>>().join(", "));
    lines.extend(name.map(|name| format!("{mark}name = {}", quoted(&name))));
    let simple: [(&str, Option<ColumnIndex>); 5] = [
        ("slug", fields.slug),
        ("username", fields.username),
        ("email", fields.email),
        ("created_at", fields.created_at),
        ("last_seen", fields.last_seen),
    ];
    for (word, column) in simple {
        lines.extend(column.map(|c| format!("{mark}{word} = {}", quoted(&table.columns[c].name))));
    }
    lines
}

fn protect_lines(schema: &Schema, map: &Map) -> Vec<String> {
    let example = map.of(Entity::Tenant).chain(map.of(Entity::User)).find_map(|member| {
        let table = schema.table(member.table);
        let column = table.key()?.first()?;
        Some(format!("# {} = [\"…\"]", quoted(&format!("{}.{}", table.name, table.columns[*column].name))))
    });
    let mut lines = vec![
        String::new(),
        "# Rows that must never be removed or changed: your real customers, system accounts, administrators."
            .to_owned(),
        "[protect]".to_owned(),
    ];
    lines.push(example.unwrap_or_else(|| "# \"table.column\" = [\"…\"]".to_owned()));
    lines
}

/// Columns named like a reference to a table, without a foreign key.
fn reference_lines(schema: &Schema) -> Vec<String> {
    let mut lines = Vec::new();
    for id in schema.table_ids() {
        let table = schema.table(id);
        for (index, column) in table.columns.iter().enumerate() {
            let declared =
                schema.references.iter().any(|r| r.child == id && r.child_columns.contains(&index));
            let own_key = table.key() == Some(&[index]);
            if declared || own_key {
                continue;
            }
            if let Some(parent) = meant(schema, &column.name) {
                lines.push("#".to_owned());
                lines.push("# [[references]]".to_owned());
                lines.push(format!("# from = {}", quoted(&format!("{}.{}", table.name, column.name))));
                lines.push(format!("# to = {}", quoted(&parent)));
                lines.push("# on_remove = \"delete\"        # or \"detach\", \"keep\"".to_owned());
            }
        }
    }
    if !lines.is_empty() {
        let head =
            "# Columns that look like references, though no constraint says so. Uncomment those that are.";
        lines.insert(0, head.to_owned());
        lines.insert(0, String::new());
    }
    lines
}

/// `tenants.id` for `tenant_id` or `tenantId`, where there is one such table.
fn meant(schema: &Schema, column: &str) -> Option<String> {
    let words = entity::words::split(column);
    let (last, head) = words.split_last()?;
    if last != "id" || head.is_empty() {
        return None;
    }
    let wanted = head.join("_");
    let mut fitting = schema.tables.iter().filter(|table| {
        let mut words = entity::words::split(&table.name.name);
        if let Some(last) = words.pop() {
            words.push(entity::words::singular(&last));
        }
        words.join("_") == wanted
    });
    let (parent, other) = (fitting.next()?, fitting.next());
    match (parent.key(), other) {
        (Some([key]), None) => Some(format!("{}.{}", parent.name, parent.columns[*key].name)),
        (Some(_) | None, Some(_)) | (Some(_) | None, None) => None,
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text can always be quoted")
}

fn key(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain { name.to_owned() } else { quoted(name) }
}
