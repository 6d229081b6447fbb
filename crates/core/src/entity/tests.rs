//! Schemas of well-known shapes, and what must be inferred from them.

use super::*;
use crate::schema::{Column, ColumnKind, OnDelete, Origin, Part, Reference, Table, TableName, Visibility};
use ColumnKind::{Boolean, Integer, Number, Text, Time, Uuid};

/// A table whose first column is its primary key.
pub(crate) fn table(name: &str, columns: &[(&str, ColumnKind)]) -> Table {
    let column = |(name, kind): &(&str, ColumnKind)| Column {
        name: (*name).to_owned(),
        type_name: "text".to_owned(),
        kind: *kind,
        nullable: false,
        generated: false,
        identity: None,
        sequence: None,
        default: None,
    };
    let name = TableName::new("public", name);
    Table {
        columns: columns.iter().map(column).collect(),
        keys: vec![vec![0]],
        has_primary_key: true,
        parts: vec![Part { name: name.clone(), handle: 0 }],
        partitioned: false,
        checks: Vec::new(),
        effects: Vec::new(),
        visibility: Visibility::Full,
        rows_estimate: 0,
        name,
    }
}

/// A schema with references given as `child.column → parent`.
fn schema(tables: Vec<Table>, references: &[(&str, &str, &str)]) -> Schema {
    let mut schema = Schema { tables, references: Vec::new() };
    for (child, column, parent) in references {
        let (child, parent) = (schema.find(child)[0], schema.find(parent)[0]);
        schema.references.push(Reference {
            name: (*column).to_owned(),
            child,
            child_parts: None,
            child_columns: vec![schema.table(child).column(column).unwrap()],
            parent,
            parent_parts: None,
            parent_columns: vec![0],
            on_delete: OnDelete::NoAction,
            set_columns: Vec::new(),
            match_full: false,
            deferrable: false,
            validated: true,
            indexed: true,
            origin: Origin::Declared,
            when: Vec::new(),
        });
    }
    schema
}

#[track_caller]
fn check(schema: &Schema, expected: &[(&str, Entity)]) -> Map {
    let map = infer(schema, &Overrides::new()).unwrap();
    let found: Vec<(&str, Entity)> =
        map.members.iter().map(|m| (schema.table(m.table).name.name.as_str(), m.entity)).collect();
    assert_eq!(found, expected);
    map
}

#[test]
fn a_multi_tenant_schema_has_one_tenant_table_and_its_teams_hang_below() {
    let s = schema(
        vec![
            table(
                "payments",
                &[
                    ("id", Uuid),
                    ("tenant_id", Uuid),
                    ("stripe_id", Text),
                    ("amount", Number),
                    ("paid_at", Time),
                ],
            ),
            table("team_members", &[("team_id", Uuid), ("user_id", Uuid), ("role", Text)]),
            table("teams", &[("id", Uuid), ("tenant_id", Uuid), ("name", Text)]),
            table(
                "tenants",
                &[("id", Uuid), ("name", Text), ("subdomain", Text), ("email", Text), ("created_at", Time)],
            ),
            table(
                "users",
                &[
                    ("id", Uuid),
                    ("tenant_id", Uuid),
                    ("email", Text),
                    ("name", Text),
                    ("last_login_at", Time),
                ],
            ),
            table("workspaces", &[("id", Uuid), ("tenant_id", Uuid), ("name", Text), ("slug", Text)]),
        ],
        &[
            ("users", "tenant_id", "tenants"),
            ("teams", "tenant_id", "tenants"),
            ("workspaces", "tenant_id", "tenants"),
            ("team_members", "user_id", "users"),
        ],
    );
    let map =
        check(&s, &[("payments", Entity::Payment), ("tenants", Entity::Tenant), ("users", Entity::User)]);
    let payments = &map.members[0];
    assert_eq!(payments.links.len(), 1, "payments have a tenant by name alone");
    assert_eq!(payments.links[0].reference, None);
    assert_eq!(map.members[2].links[0].child_columns, [1]);
}

#[test]
fn django_users_are_found_and_their_join_tables_are_not() {
    let s = schema(
        vec![
            table("auth_group", &[("id", Integer), ("name", Text)]),
            table(
                "auth_user",
                &[
                    ("id", Integer),
                    ("password", Text),
                    ("last_login", Time),
                    ("is_superuser", Boolean),
                    ("username", Text),
                    ("first_name", Text),
                    ("last_name", Text),
                    ("email", Text),
                    ("date_joined", Time),
                ],
            ),
            table("auth_user_groups", &[("id", Integer), ("user_id", Integer), ("group_id", Integer)]),
            table("django_session", &[("session_key", Text), ("session_data", Text), ("expire_date", Time)]),
        ],
        &[("auth_user_groups", "user_id", "auth_user")],
    );
    check(&s, &[("auth_user", Entity::User), ("django_session", Entity::Session)]);
}

#[test]
fn synapse_zabbix_and_redmine_users_are_found() {
    let s = schema(
        vec![
            table("hosts", &[("hostid", Integer), ("host", Text), ("name", Text)]),
            table("projects", &[("id", Integer), ("name", Text), ("identifier", Text), ("created_on", Time)]),
            table(
                "users",
                &[("name", Text), ("password_hash", Text), ("creation_ts", Integer), ("admin", Integer)],
            ),
        ],
        &[],
    );
    check(&s, &[("users", Entity::User)]);
    let s = schema(
        vec![table(
            "users",
            &[("userid", Integer), ("username", Text), ("name", Text), ("surname", Text), ("passwd", Text)],
        )],
        &[],
    );
    let map = check(&s, &[("users", Entity::User)]);
    assert_eq!(map.members[0].fields.name, [2, 3]);
}

#[test]
fn accounts_with_a_password_are_users_and_accounts_with_a_slug_are_tenants() {
    let with_password = schema(
        vec![table(
            "accounts",
            &[("id", Integer), ("username", Text), ("email", Text), ("encrypted_password", Text)],
        )],
        &[],
    );
    check(&with_password, &[("accounts", Entity::User)]);
    let with_slug = schema(
        vec![
            table("accounts", &[("id", Integer), ("name", Text), ("subdomain", Text)]),
            table("users", &[("id", Integer), ("account_id", Integer), ("email", Text)]),
        ],
        &[("users", "account_id", "accounts")],
    );
    check(&with_slug, &[("accounts", Entity::Tenant), ("users", Entity::User)]);
}

#[test]
fn an_override_moves_the_role_and_names_what_is_missing() {
    let s = schema(
        vec![
            table("customers", &[("id", Integer), ("title", Text), ("email", Text)]),
            table("tenants", &[("id", Integer), ("name", Text), ("slug", Text)]),
        ],
        &[],
    );
    let over =
        Override { table: Some("customers".into()), name: Some("title".into()), ..Override::default() };
    let map = infer(&s, &Overrides::from([(Entity::Tenant, over)])).unwrap();
    assert_eq!(map.of(Entity::Tenant).map(|m| m.table).collect::<Vec<_>>(), [TableId(0)]);
    let wrong = Override { table: Some("nowhere".into()), ..Override::default() };
    let fault = infer(&s, &Overrides::from([(Entity::Tenant, wrong)])).unwrap_err();
    assert_eq!(fault.message, "table `nowhere` of `[entities.tenant]` does not exist");
}

#[test]
fn neutral_words_behind_the_noun_do_not_hide_it_and_settings_are_no_users() {
    let s = schema(
        vec![
            table(
                "user_entity",
                &[("id", Text), ("email", Text), ("username", Text), ("created_timestamp", Integer)],
            ),
            table("users_data", &[("uid", Integer), ("module", Text), ("name", Text), ("value", Text)]),
            table(
                "users_field_data",
                &[
                    ("uid", Integer),
                    ("name", Text),
                    ("mail", Text),
                    ("pass", Text),
                    ("created", Integer),
                    ("access", Integer),
                ],
            ),
            table(
                "wp_users",
                &[
                    ("ID", Integer),
                    ("user_login", Text),
                    ("user_pass", Text),
                    ("user_email", Text),
                    ("display_name", Text),
                    ("user_registered", Time),
                ],
            ),
        ],
        &[],
    );
    let map = check(
        &s,
        &[("user_entity", Entity::User), ("users_field_data", Entity::User), ("wp_users", Entity::User)],
    );
    let wordpress = &map.members[2].fields;
    assert_eq!((wordpress.email, wordpress.created_at, wordpress.username), (Some(3), Some(5), Some(1)));
}

#[test]
fn a_lone_table_of_accounts_is_told_by_its_columns() {
    let tenants = schema(
        vec![table(
            "accounts",
            &[("id", Text), ("name", Text), ("subdomain", Text), ("email", Text), ("created_at", Time)],
        )],
        &[],
    );
    check(&tenants, &[("accounts", Entity::Tenant)]);
    let users = schema(
        vec![table("accounts", &[("id", Text), ("name", Text), ("email", Text), ("last_login", Time)])],
        &[],
    );
    check(&users, &[("accounts", Entity::User)]);
}
