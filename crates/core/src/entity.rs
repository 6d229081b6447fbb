//! Which role each table plays: tenant, user, session, payment, invoice, subscription.
//!
//! Inferred from names, columns and references alone, so that a scan needs no configuration; every inference
//! can be overridden. The result also says how the entities hang together: which columns of one point at
//! rows of another, declared as a foreign key or only by name.
//!
//! Invariants
//! - the same schema and overrides give the same map, in table order;
//! - a table that hangs below the tenant table (`workspaces.tenant_id`) is no tenant itself;
//! - a link's child and parent columns have the same length.
//!
//! Not here: reading rows (`port::scan`), judging them (`detect`).

pub mod fields;
mod role;
pub mod words;

use crate::fault::Fault;
use crate::schema::{ColumnIndex, ReferenceId, Schema, TableId};
use fields::Fields;
use role::Candidate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The role a table plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    Tenant,
    User,
    Session,
    Payment,
    Invoice,
    Subscription,
    Other,
}

impl Entity {
    /// All roles but [`Entity::Other`], in the order in which they are looked for.
    pub const ALL: [Self; 6] =
        [Self::Tenant, Self::User, Self::Session, Self::Payment, Self::Invoice, Self::Subscription];

    /// The word for it in reports and in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::User => "user",
            Self::Session => "session",
            Self::Payment => "payment",
            Self::Invoice => "invoice",
            Self::Subscription => "subscription",
            Self::Other => "other",
        }
    }
}

/// A way from rows of one entity to rows of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    pub parent: TableId,
    pub child_columns: Vec<ColumnIndex>,
    pub parent_columns: Vec<ColumnIndex>,
    /// None when only the column's name says so.
    pub reference: Option<ReferenceId>,
}

/// A table with a role.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    pub table: TableId,
    pub entity: Entity,
    /// 0 to 1; 1 when a person said so.
    pub confidence: f64,
    pub fields: Fields,
    /// To tenants and users above it.
    pub links: Vec<Link>,
    /// Foreign keys that lead to it.
    pub inbound: Vec<ReferenceId>,
}

/// All tables with a role, in table order.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Map {
    pub members: Vec<Member>,
    /// Tables that say which users belong to which tenants, where users do not say it themselves.
    pub memberships: Vec<Membership>,
}

/// A table that joins users and tenants.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Membership {
    pub table: TableId,
    pub user: Link,
    pub tenant: Link,
}

/// What a person says about one entity; every part is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Override {
    pub table: Option<String>,
    pub name: Option<String>,
    pub slug: Option<String>,
    pub username: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub role: Option<String>,
    pub created_at: Option<String>,
    pub last_seen: Option<String>,
    /// Column that is true for test data.
    pub test_flag: Option<String>,
}

/// Overrides by entity (`[entities.tenant]` …).
pub type Overrides = BTreeMap<Entity, Override>;

/// Below this confidence a table plays no role.
const CONFIDENCE_MIN: f64 = 0.6;

impl Map {
    /// The member that a table is, if it plays a role.
    pub fn member(&self, table: TableId) -> Option<&Member> {
        self.members.iter().find(|m| m.table == table)
    }

    /// All tables with this role.
    pub fn of(&self, entity: Entity) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |m| m.entity == entity)
    }
}

/// Finds the roles of all tables.
///
/// # Errors
/// A usage fault when an override names a table or column that does not exist or is ambiguous.
pub fn infer(schema: &Schema, overrides: &Overrides) -> Result<Map, Fault> {
    let all_fields: Vec<Fields> = schema.tables.iter().map(fields::fields).collect();
    let mut chosen: BTreeMap<TableId, (Entity, f64)> = BTreeMap::new();
    for table in schema.table_ids() {
        let candidate = candidate(schema, table, &all_fields[table.0]);
        if let Some((entity, points)) = best_entity(candidate) {
            chosen.insert(table, (entity, points));
        }
    }
    drop_lesser_tenants(schema, &mut chosen);
    let mut members = Vec::new();
    apply_tables(schema, overrides, &mut chosen)?;
    for (table, (entity, confidence)) in &chosen {
        let mut fields = all_fields[table.0].clone();
        if let Some(over) = overrides.get(entity) {
            apply_columns(schema, *table, over, &mut fields)?;
        }
        let inbound = schema.reference_ids().filter(|r| schema.reference(*r).parent == *table).collect();
        members.push(Member {
            table: *table,
            entity: *entity,
            confidence: *confidence,
            fields,
            links: Vec::new(),
            inbound,
        });
    }
    let mut map = Map { members, memberships: Vec::new() };
    link(schema, &mut map);
    map.memberships = memberships(schema, &map);
    Ok(map)
}

fn candidate<'a>(schema: &'a Schema, id: TableId, fields: &'a Fields) -> Candidate<'a> {
    let inbound = schema.references.iter().filter(|r| r.parent == id && r.child != id).count();
    let outbound = schema.references.iter().filter(|r| r.child == id && r.parent != id).count();
    let alone = schema.table_ids().all(|other| other == id || !role::is_named(schema.table(other)));
    Candidate { table: schema.table(id), fields, inbound, outbound, alone }
}

fn best_entity(candidate: Candidate<'_>) -> Option<(Entity, f64)> {
    let mut best: Option<(Entity, f64)> = None;
    for entity in Entity::ALL {
        let points = role::points(candidate, entity);
        if points >= CONFIDENCE_MIN && best.is_none_or(|(_, p)| points > p) {
            best = Some((entity, points));
        }
    }
    best
}

/// A tenant candidate that points at a better one hangs below it; of the rest, those far behind the best go.
fn drop_lesser_tenants(schema: &Schema, chosen: &mut BTreeMap<TableId, (Entity, f64)>) {
    let tenants: BTreeMap<TableId, f64> =
        chosen.iter().filter(|(_, (e, _))| *e == Entity::Tenant).map(|(t, (_, p))| (*t, *p)).collect();
    let Some(best) = tenants.iter().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(a.0))) else {
        return;
    };
    for (table, points) in &tenants {
        let below = schema.references.iter().any(|r| {
            r.child == *table && r.parent != *table && tenants.get(&r.parent).is_some_and(|p| p > points)
        });
        let named_below =
            tenants.iter().any(|(t, p)| t != table && p > points && named_link(schema, *table, *t).is_some());
        if table != best.0 && (below || named_below || best.1 - points > 0.3) {
            chosen.remove(table);
        }
    }
}

fn apply_tables(
    schema: &Schema,
    overrides: &Overrides,
    chosen: &mut BTreeMap<TableId, (Entity, f64)>,
) -> Result<(), Fault> {
    for (entity, over) in overrides {
        let Some(typed) = &over.table else { continue };
        let found = schema.find(typed);
        let [table] = found.as_slice() else {
            let why = if found.is_empty() { "does not exist" } else { "is ambiguous" };
            let message = format!("table `{typed}` of `[entities.{}]` {why}", entity.word());
            return Err(Fault::usage(message).hint("name the table as `schema.table` in unseed.toml"));
        };
        chosen.retain(|_, (e, _)| e != entity);
        chosen.insert(*table, (*entity, 1.0));
    }
    Ok(())
}

fn apply_columns(schema: &Schema, id: TableId, over: &Override, fields: &mut Fields) -> Result<(), Fault> {
    let table = schema.table(id);
    let find = |typed: &str| {
        let missing = || {
            Fault::usage(format!("table `{}` has no column `{typed}`", table.name))
                .hint("correct the `[entities]` section of unseed.toml")
        };
        table.column(typed).ok_or_else(missing)
    };
    if let Some(typed) = &over.name {
        fields.name = typed.split(',').map(|c| find(c.trim())).collect::<Result<_, _>>()?;
    }
    if let Some(typed) = &over.test_flag {
        fields.flags = vec![fields::Flag { column: find(typed)?, meaning: fields::FlagMeaning::TrueIsTest }];
    }
    let simple = [
        (&over.slug, &mut fields.slug),
        (&over.username, &mut fields.username),
        (&over.email, &mut fields.email),
        (&over.phone, &mut fields.phone),
        (&over.role, &mut fields.role),
        (&over.created_at, &mut fields.created_at),
        (&over.last_seen, &mut fields.last_seen),
    ];
    for (typed, field) in simple {
        if let Some(typed) = typed {
            *field = Some(find(typed)?);
        }
    }
    Ok(())
}

/// Fills the links of every member to the tenants and users above it.
fn link(schema: &Schema, map: &mut Map) {
    let parents: Vec<(TableId, Entity)> = map
        .members
        .iter()
        .filter(|m| matches!(m.entity, Entity::Tenant | Entity::User))
        .map(|m| (m.table, m.entity))
        .collect();
    for member in &mut map.members {
        for (parent, entity) in &parents {
            let allowed = match member.entity {
                Entity::Tenant => false,
                Entity::User => *entity == Entity::Tenant,
                Entity::Session | Entity::Payment | Entity::Invoice | Entity::Subscription => true,
                Entity::Other => false,
            };
            if allowed && *parent != member.table {
                member.links.extend(best_link(schema, member.table, *parent));
            }
        }
    }
}

/// Columns that a table which only joins two others may have beside its links.
const MEMBERSHIP_COLUMNS_MAX: usize = 14;

/// Tables without a role that point at users and at tenants, for users that name no tenant.
fn memberships(schema: &Schema, map: &Map) -> Vec<Membership> {
    let mut found: Vec<Membership> = Vec::new();
    let free = map.of(Entity::User).filter(|user| user.links.is_empty());
    for (user, tenant) in free.flat_map(|u| map.of(Entity::Tenant).map(move |t| (u.table, t.table))) {
        let joining = schema.table_ids().filter(|table| {
            map.member(*table).is_none() && schema.table(*table).columns.len() <= MEMBERSHIP_COLUMNS_MAX
        });
        let candidates = joining.filter_map(|table| {
            let user = best_link(schema, table, user)?;
            let tenant = best_link(schema, table, tenant)?;
            Some(Membership { table, user, tenant })
        });
        let said = |m: &Membership| {
            let name = words::split(&schema.table(m.table).name.name);
            name.iter()
                .any(|w| matches!(words::singular(w).as_str(), "member" | "membership" | "user" | "role"))
        };
        // Of several, the one that says what it is, then the narrowest.
        let best = candidates.min_by_key(|m| (!said(m), schema.table(m.table).columns.len(), m.table.0));
        found.extend(best.filter(|m| said(m) || schema.table(m.table).columns.len() <= 6));
    }
    found
}

/// The way from rows of one table to those of another: the declared reference whose name fits best (`user_id` before
/// `created_by`), else a column named like one.
pub fn best_link(schema: &Schema, child: TableId, parent: TableId) -> Option<Link> {
    let declared = schema.reference_ids().filter(|id| {
        let r = schema.reference(*id);
        r.child == child && r.parent == parent && r.when.is_empty() && r.child_parts.is_none()
    });
    let named = named_link(schema, child, parent);
    let best = declared.min_by_key(|id| {
        let r = schema.reference(*id);
        let by_name = named.as_ref().is_some_and(|l| r.child_columns.contains(&l.child_columns[0]));
        let nullable = r.child_columns.iter().any(|c| schema.table(child).columns[*c].nullable);
        (!by_name, nullable, id.0)
    });
    let from_reference = |id: ReferenceId| {
        let r = schema.reference(id);
        Link {
            parent,
            child_columns: r.child_columns.clone(),
            parent_columns: r.parent_columns.clone(),
            reference: Some(id),
        }
    };
    best.map(from_reference).or(named)
}

/// `tenant_id` for `tenants`, `userId` for `User`, where the parent's key is one column.
fn named_link(schema: &Schema, child: TableId, parent: TableId) -> Option<Link> {
    let [key] = schema.table(parent).key()? else { return None };
    let head = words::singular(words::split(&schema.table(parent).name.name).last()?);
    let fits = |name: &str| {
        let split = words::split(name);
        match split.as_slice() {
            [noun, id] => *noun == head && matches!(id.as_str(), "id" | "uuid" | "guid" | "key"),
            [joined] => joined.strip_suffix("id").is_some_and(|noun| noun == head),
            _ => false,
        }
    };
    let column = schema.table(child).columns.iter().position(|c| fits(&c.name))?;
    Some(Link { parent, child_columns: vec![column], parent_columns: vec![*key], reference: None })
}

#[cfg(test)]
#[path = "entity/tests.rs"]
pub(crate) mod tests;
