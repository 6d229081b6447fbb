//! How well a table fits each entity: points from its name, its columns and its place in the graph.
//!
//! The head noun (last word, singular) carries most of the weight: `auth_user` is a user, `user_sessions`
//! are sessions. Columns and in-degree confirm or deny it, which settles ambiguous nouns such as `account`.
//!
//! Invariants
//! - a point total lies between 0 and 1 after clamping;
//! - a table that only joins two others plays no role.
//!
//! Not here: choosing among tables (`entity`), naming columns (`fields`).

use super::fields::Fields;
use super::{Entity, words};
use crate::schema::{ColumnIndex, Table};

/// What is known about a table when it is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub table: &'a Table,
    pub fields: &'a Fields,
    /// How many other tables point at it.
    pub inbound: usize,
    /// Its own references to other tables.
    pub outbound: usize,
    /// No other table is called like tenants or users.
    pub alone: bool,
}

const TENANT: &[(&str, f64)] = &[
    ("tenant", 0.8),
    ("organization", 0.75),
    ("organisation", 0.75),
    ("org", 0.7),
    ("workspace", 0.55),
    ("company", 0.65),
    ("account", 0.4),
    ("business", 0.5),
    ("firm", 0.5),
    ("site", 0.4),
    ("team", 0.4),
    ("club", 0.4),
    ("school", 0.5),
    ("hospital", 0.5),
    ("merchant", 0.5),
    ("shop", 0.5),
    ("store", 0.4),
    ("instance", 0.3),
    ("realm", 0.4),
    ("agency", 0.5),
    ("client", 0.35),
    ("customer", 0.3),
    ("project", 0.3),
    ("household", 0.4),
    ("community", 0.4),
    ("studio", 0.4),
    ("practice", 0.35),
    ("clinic", 0.5),
    ("vendor", 0.35),
    ("partner", 0.3),
    ("dealer", 0.4),
];
const USER: &[(&str, f64)] = &[
    ("user", 0.75),
    ("userprofile", 0.5),
    ("useraccount", 0.6),
    ("member", 0.5),
    ("customer", 0.55),
    ("person", 0.5),
    ("account", 0.4),
    ("profile", 0.25),
    ("contact", 0.35),
    ("employee", 0.5),
    ("student", 0.5),
    ("teacher", 0.5),
    ("patient", 0.5),
    ("admin", 0.45),
    ("author", 0.3),
    ("subscriber", 0.4),
    ("login", 0.3),
    ("client", 0.35),
    ("guest", 0.35),
    ("lead", 0.35),
    ("staff", 0.4),
    ("operator", 0.35),
    ("driver", 0.35),
    ("player", 0.4),
    ("owner", 0.3),
    ("identity", 0.3),
    ("participant", 0.3),
    ("buyer", 0.4),
    ("seller", 0.4),
    ("shopper", 0.4),
    ("learner", 0.4),
    ("passenger", 0.4),
];
const SESSION: &[(&str, f64)] =
    &[("session", 0.8), ("signin", 0.6), ("login", 0.5), ("visit", 0.5), ("usersession", 0.8)];
const PAYMENT: &[(&str, f64)] = &[
    ("payment", 0.8),
    ("charge", 0.7),
    ("transaction", 0.5),
    ("intent", 0.5),
    ("payout", 0.4),
    ("purchase", 0.6),
];
const INVOICE: &[(&str, f64)] = &[("invoice", 0.8), ("bill", 0.6), ("receipt", 0.5)];
const SUBSCRIPTION: &[(&str, f64)] = &[("subscription", 0.8)];

/// Head nouns behind which a table only describes its subject: `user_settings` holds no users.
fn noun_points(list: &[(&str, f64)], head: &str) -> f64 {
    list.iter().find(|(word, _)| *word == head).map_or(0.0, |(_, points)| *points)
}

/// Points for one entity.
pub(super) fn points(candidate: Candidate<'_>, entity: Entity) -> f64 {
    let (head, bare) = head(&candidate.table.name.name);
    let points = match entity {
        Entity::Tenant => tenant_points(candidate, &head),
        Entity::User => {
            user_points(candidate, &head) - if bare { 0.0 } else { unnamed_points(candidate.fields) }
        }
        Entity::Session => owned_points(candidate, noun_points(SESSION, &head)),
        Entity::Payment => {
            owned_points(candidate, noun_points(PAYMENT, &head)) + has(candidate.fields.amount, 0.15)
        }
        Entity::Invoice => {
            owned_points(candidate, noun_points(INVOICE, &head)) + has(candidate.fields.amount, 0.15)
        }
        Entity::Subscription => owned_points(candidate, noun_points(SUBSCRIPTION, &head)),
        Entity::Other => 0.0,
    };
    points.clamp(0.0, 1.0)
}

/// Words behind the noun that add nothing to it: `user_entity`, `users_field_data`.
const NEUTRAL: &[&str] =
    &["entity", "table", "tbl", "model", "record", "master", "base", "data", "field", "info"];

/// The noun that says what a table holds, and whether it stands last.
fn head(name: &str) -> (String, bool) {
    let singulars: Vec<String> = words::split(name).iter().map(|w| words::singular(w)).collect();
    let place = singulars.iter().rposition(|w| !NEUTRAL.contains(&w.as_str()));
    match place {
        Some(place) => (singulars[place].clone(), place + 1 == singulars.len()),
        None => (singulars.last().cloned().unwrap_or_default(), true),
    }
}

/// `users_data` holds settings unless it also names people.
fn unnamed_points(fields: &Fields) -> f64 {
    if fields.email.is_some() || fields.password.is_some() || fields.username.is_some() { 0.0 } else { 0.3 }
}

fn has(field: Option<ColumnIndex>, points: f64) -> f64 {
    if field.is_some() { points } else { 0.0 }
}

fn inbound_points(candidate: Candidate<'_>) -> f64 {
    match candidate.inbound {
        0 => -0.1,
        1 | 2 => 0.05,
        3..=9 => 0.15,
        10.. => 0.25,
    }
}

/// A table whose every column belongs to a key or a reference, or that names nobody, only joins others.
fn joins_only(candidate: Candidate<'_>) -> bool {
    let names_nobody = candidate.fields.name.is_empty()
        && candidate.fields.email.is_none()
        && candidate.fields.username.is_none();
    names_nobody && candidate.fields.slug.is_none()
}

fn tenant_points(candidate: Candidate<'_>, head: &str) -> f64 {
    let noun = noun_points(TENANT, head);
    if noun == 0.0 || joins_only(candidate) {
        return 0.0;
    }
    let f = candidate.fields;
    let name = if f.name.is_empty() { -0.2 } else { 0.1 };
    let person = has(f.password, -0.5)
        + has(f.username.filter(|_| f.slug.is_none()), -0.2)
        + f64::from(u8::from(f.name.len() > 1)) * -0.4;
    // Accounts that stand alone are told apart by their columns: a slug or a company's name is that of a tenant.
    let lone = candidate.alone && head == "account" && f.slug.is_some() && !is_person(f);
    noun + name + has(f.slug, 0.15) + person + inbound_points(candidate) + if lone { 0.2 } else { 0.0 }
}

/// Columns that only people have.
fn is_person(f: &Fields) -> bool {
    f.password.is_some() || f.username.is_some() || f.name.len() > 1
}

fn user_points(candidate: Candidate<'_>, head: &str) -> f64 {
    let noun = noun_points(USER, head);
    let f = candidate.fields;
    if noun == 0.0 || joins_only(candidate) {
        return 0.0;
    }
    let identity = has(f.email, 0.2) + has(f.username, 0.1) + has(f.password, 0.3) + has(f.last_seen, 0.1);
    let names = f64::from(u8::from(f.name.len() > 1)) * 0.15;
    let company = has(f.slug.filter(|_| f.password.is_none() && f.email.is_none()), -0.3);
    let lone = candidate.alone && head == "account" && f.email.is_some() && f.slug.is_none();
    noun + identity + names + company + inbound_points(candidate) + if lone { 0.2 } else { 0.0 }
}

/// Whether a table is called like tenants or users beyond doubt.
pub(super) fn is_named(table: &Table) -> bool {
    let (head, _) = head(&table.name.name);
    let points = noun_points(TENANT, &head).max(noun_points(USER, &head));
    points >= 0.5
}

/// Sessions and payments belong to someone, so they point somewhere.
fn owned_points(candidate: Candidate<'_>, noun: f64) -> f64 {
    if noun == 0.0 {
        return 0.0;
    }
    if candidate.outbound == 0 { noun - 0.2 } else { noun + 0.1 }
}
