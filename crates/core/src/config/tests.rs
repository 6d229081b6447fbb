//! What a configuration may say, and how each mistake in it is told.

use super::*;
use crate::policy::OnRemove;

const WHOLE: &str = r#"
[stores.main]
url = "env:DATABASE_URL"

[stores.cache]
url  = "env:REDIS_URL"
keys = ["tenant:{tenant.id}:*", "cache:branding:{tenant.subdomain}"]

[entities.tenant]
table = "tenants"
name = "name"
slug = "subdomain"

[protect]
tenants.id = ["31c06fc4-db22-4740-83ea-48ac14f25810", "system", "default"]
"public.users.id" = [1, 2]

[[references]]
from = "audit_logs.tenant_id"
to   = "tenants.id"
on_remove = "delete"

[approval]
required = 2
allowed_signers = "approvers"

[destructive]
stores = ["main"]

[audit]
anchor = "/mnt/elsewhere/audit"

[limits]
max_rows = 5_000_000
max_share_of_table = 0.9
"#;

#[track_caller]
fn refused(text: &str, message: &str, hint: &str) {
    let fault = Config::parse(text, "unseed.toml").expect_err("the text holds a mistake");
    assert_eq!(fault.message, message);
    assert!(fault.hint.contains(hint), "hint is: {}", fault.hint);
}

#[test]
fn every_documented_section_is_read() {
    let config = Config::parse(WHOLE, "unseed.toml").unwrap();
    assert_eq!(config.stores["main"].url, "env:DATABASE_URL");
    assert_eq!(config.stores["cache"].keys.len(), 2);
    assert_eq!(config.entities[&Entity::Tenant].slug.as_deref(), Some("subdomain"));
    assert_eq!(config.references[0].on_remove, OnRemove::Delete);
    assert_eq!((config.approval.required, config.approval.for_restore()), (2, 2));
    assert_eq!(config.approval.allowed_signers.as_deref(), Some("approvers"));
    assert_eq!(config.policy().approvals, PlannedApprovals { purge: 2, restore: 2 });
    assert_eq!(config.destructive.as_ref().map(|section| section.enabled), Some(false));
    assert_eq!(config.audit.anchor.as_deref(), Some("/mnt/elsewhere/audit"));
    assert_eq!(config.limits.max_rows, 5_000_000);
    assert_eq!(config.limits.max_drift_rows, Limits::default().max_drift_rows);
}

#[test]
fn protections_are_read_nested_and_quoted() {
    let config = Config::parse(WHOLE, "unseed.toml").unwrap();
    let found: Vec<(&str, &str, usize)> = config
        .protect
        .iter()
        .map(|p| (p.table.as_str(), p.column.as_deref().unwrap_or(""), p.values.len()))
        .collect();
    assert_eq!(found, [("public.users", "id", 2), ("tenants", "id", 3)]);
    assert_eq!(config.protect[0].values, ["1", "2"]);
}

#[test]
fn an_empty_file_is_a_configuration() {
    assert_eq!(Config::parse("", "unseed.toml").unwrap(), Config::default());
}

#[test]
fn unknown_keys_are_named_with_their_line() {
    refused("\n[protects]\na.b = [1]\n", "`unseed.toml` line 2: unknown key `protects`", "`protect`");
    refused("[limits]\nmax_row = 1\n", "`unseed.toml` line 2: unknown key `max_row`", "`max_rows`");
    refused("[entities.tenants]\nname = \"n\"\n", "`unseed.toml` line 1: unknown name `tenants`", "`tenant`");
}

#[test]
fn a_password_in_a_url_is_refused() {
    let text = "[stores.main]\n\nurl = \"postgres://app:secret@db/app\"\n";
    refused(text, "`unseed.toml` line 3: `stores.main.url` contains a password", "env:MAIN_DATABASE_URL");
    let fault = Config::parse(text, "unseed.toml").expect_err("a password");
    assert!(!format!("{fault:?}").contains("secret"));
}

#[test]
fn protections_that_protect_nothing_are_refused() {
    refused(
        "[protect]\ntenants = [1]\n",
        "`unseed.toml`: protection `tenants` names no column",
        "table.column",
    );
    refused(
        "[protect]\ntenants.id = []\n",
        "`unseed.toml`: protection `tenants.id` lists no values, so it would protect nothing",
        "list the values",
    );
    let fault = Config::parse("[protect]\ntenants.id = 5\n", "unseed.toml").expect_err("no list");
    assert!(
        fault.message.starts_with("`unseed.toml` line 2: invalid type: integer `5`"),
        "{}",
        fault.message
    );
}

#[test]
fn impossible_limits_and_references_are_refused() {
    refused(
        "[limits]\nmax_share_of_table = 99.0\n",
        "`unseed.toml` line 1: `limits.max_share_of_table` is 99, but a share lies between 0 and 1",
        "0.999",
    );
    refused(
        "[[references]]\nfrom = \"logs\"\nto = \"t.id\"\non_remove = \"keep\"\n",
        "`unseed.toml` line 1: `from = \"logs\"` is not of the form `table.column`",
        "tenants.id",
    );
}

#[test]
fn broken_toml_names_the_line() {
    let fault = Config::parse("[limits]\nmax_rows = = 3\n", "unseed.toml").expect_err("no TOML");
    assert!(fault.message.starts_with("`unseed.toml` line 2: "), "{}", fault.message);
}

/// Each of them takes a hundred kilobytes of stack or more for a thousand brackets where nobody counts.
#[test]
fn brackets_that_stand_too_deep_are_refused() {
    for part in ["[", "{a=", "{{},a=", "{[],a=", "{{},a=["] {
        let text = format!("[limits]\nmax_rows = {}", part.repeat(100_000));
        let fault = Config::parse(&text, "unseed.toml").expect_err("too deep");
        assert_eq!(fault.message, "`unseed.toml` line 2: brackets stand too deep within each other");
    }
}

#[test]
fn approvals_that_never_count_and_stores_that_are_not_there_are_refused() {
    refused(
        "[approval]\nvalid_hours_max = 0\n",
        "`unseed.toml` line 1: `approval.valid_hours_max` is 0, so no approval would ever count",
        "168",
    );
    refused(
        "[destructive]\nstores = [\"main\"]\n",
        "`unseed.toml` line 1: `destructive.stores` names `main`, but there is no `[stores.main]`",
        "stores",
    );
    refused("[destructive]\nenable = true\n", "`unseed.toml` line 2: unknown key `enable`", "`enabled`");
}

#[test]
fn a_section_that_says_nothing_forbids_and_a_missing_one_does_not() {
    assert_eq!(
        Config::parse("[destructive]\n", "unseed.toml").unwrap().destructive,
        Some(Destructive::default())
    );
    assert!(!Destructive::default().enabled);
    assert_eq!(Config::parse("", "unseed.toml").unwrap().destructive, None);
}
