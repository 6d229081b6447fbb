//! `unseed inventory`: everything that belongs to a tenant or to a mail address, in all stores.
//!
//! Not here: following to other stores (`legs`), what a plan would refuse (`plan`).

use super::{Done, Env, legs};
use crate::table::Table;
use crate::ui;
use clap::Args;
use serde_json::json;
use unseed_core::entity::{self, Entity, Member};
use unseed_core::fault::Fault;
use unseed_core::plan::{Action, BuildIndexes};
use unseed_core::policy::{Limits, Policy};
use unseed_core::schema::{ColumnIndex, Schema};
use unseed_engine::legs::Inventory;
use unseed_engine::plan::{Choice, ChoiceRows, Request};

/// List everything that belongs to a mail address or a tenant, in all stores
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed inventory --email kim@example.test
  unseed inventory --tenant 4711
  unseed inventory app.db --email kim@example.test --format json | jq '.total'

Nothing is changed. Stores that the configuration derives from the first one are searched too; one that cannot be
reached is a refusal, never a zero. Exits with 0 when nothing belongs to it, with 1 when something does.")]
pub(crate) struct InventoryArgs {
    /// Store: a URL, the path of a SQLite file, env:NAME, or a name of the configuration
    url: Option<String>,
    /// Users with this mail address, whatever its case, and all that belongs to them
    #[arg(long, value_name = "ADDRESS", required_unless_present = "tenant", conflicts_with = "tenant")]
    email: Option<String>,
    /// The tenant with this key, and all that belongs to it
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
}

pub(super) async fn run(env: &Env<'_>, args: &InventoryArgs) -> Result<Done, Fault> {
    let target = env.wire.target(args.url.as_deref())?;
    let mut store = env.wire.open(&target).await?;
    let catalog = store.store().inspect().await?;
    let choices = choices(env, &catalog.schema, args)?;
    let policy = policy(env);
    let source = Request {
        store: &target.name,
        url: &target.address,
        choices,
        policy: &policy,
        path: None,
        batch_rows_max: None,
        build_indexes: BuildIndexes::default(),
        created_by: &env.wire.actor,
    };
    let followers = legs::followers(env, &target.name).await?;
    let mut stores = vec![target.name.clone()];
    stores.extend(followers.iter().map(|follower| follower.name().to_owned()));
    let found = legs::inventory(env, store.as_mut(), source, followers).await?.unwrap_or_default();
    tell(env, args, &stores, &found);
    Ok(if found.lines.is_empty() { Done::Success } else { Done::Findings })
}

/// Links count; what a plan may not touch is listed all the same.
fn policy(env: &Env<'_>) -> Policy {
    let configured = env.wire.config.policy();
    let limits = Limits { max_rows: u64::MAX, max_share_of_table: 1.0, ..Limits::default() };
    Policy { protect: Vec::new(), limits, ..configured }
}

fn choices(env: &Env<'_>, schema: &Schema, args: &InventoryArgs) -> Result<Vec<Choice>, Fault> {
    let map = entity::infer(schema, &env.wire.config.entities)?;
    let members = |role| -> Vec<&Member> { map.of(role).collect() };
    if let Some(email) = &args.email {
        let with_email = |member: &&Member| member.fields.email.map(|column| (member.table, column));
        let columns: Vec<_> = members(Entity::User).iter().filter_map(with_email).collect();
        if columns.is_empty() {
            return Err(none("user", "email"));
        }
        let choice = |(table, column): (_, ColumnIndex)| by_email(schema, table, column, email);
        return Ok(columns.into_iter().map(choice).collect());
    }
    let tenants = members(Entity::Tenant);
    let Some(id) = args.tenant.as_ref().filter(|_| !tenants.is_empty()) else {
        return Err(none("tenant", "table"));
    };
    let key = |member: &&Member| Choice {
        table: schema.table(member.table).name.to_string(),
        rows: ChoiceRows::Keys {
            columns: Vec::new(),
            keys: [id.split('\t').collect::<Vec<_>>()].into_iter().collect(),
        },
        chosen_by: "--tenant".to_owned(),
    };
    Ok(tenants.iter().map(key).collect())
}

fn by_email(
    schema: &Schema,
    table: unseed_core::schema::TableId,
    column: ColumnIndex,
    email: &str,
) -> Choice {
    let shape = schema.table(table);
    let name = shape.columns[column].name.replace('"', "\"\"");
    let value = email.to_lowercase().replace('\'', "''");
    Choice {
        table: shape.name.to_string(),
        rows: ChoiceRows::Where(format!("lower(\"{name}\") = '{value}'")),
        chosen_by: "--email".to_owned(),
    }
}

fn none(entity: &str, what: &str) -> Fault {
    Fault::usage(format!("no table plays the part of `{entity}`, or it has no `{what}`"))
        .hint(format!("name it: `[entities.{entity}]` with `table = \"…\"` and `{what} = \"…\"`"))
}

fn tell(env: &Env<'_>, args: &InventoryArgs, stores: &[String], found: &Inventory) {
    let total: u64 =
        found.lines.iter().filter(|line| line.action != Action::Detach).map(|line| line.rows).sum();
    if !env.ui.is_table() {
        env.ui.json(&json!({
            "format": "unseed.inventory/1", "email": args.email, "tenant": args.tenant, "stores": stores,
            "total": total, "items": found.lines,
        }));
        return;
    }
    if found.lines.is_empty() {
        env.ui.text(&format!("nothing belongs to it in {}", stores.join(", ")));
        return;
    }
    let mut table = Table::new(&["store", "table or pattern", "rows", "", "because of"]).right(&[2]);
    for line in &found.lines {
        let what = match line.action {
            Action::Delete => "belong to it",
            Action::Detach => "refer to it",
            Action::Clear => "entries",
        };
        table.row(&[
            line.store.clone(),
            line.table.clone(),
            ui::count(line.rows),
            what.to_owned(),
            line.via.clone(),
        ]);
    }
    env.ui.text(&format!("{table}\n{} in {}\n", ui::rows(total), stores.join(", ")));
}
