//! One plan over several stores: how the values of rows reach the other stores, and in which order those are worked on.
//!
//! One store is the source of truth; every other one follows from it, either by rows whose keys are values of its rows
//! ([`Rule`]), or by entries that are found by such values ([`Need`]).
//!
//! Invariants
//! - the same stores and rules give the same order;
//! - rules that contradict each other are refused with the ring they form, never dropped.
//!
//! Not here: reading the values (`port::store`), the work in each store (`engine::legs`).

use crate::fault::Fault;
use crate::port::derived::Need;
use std::collections::{BTreeMap, BTreeSet};

/// How roots of one store follow from rows of another: `sites.name = {tenant.subdomain}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub table: String,
    pub column: String,
    /// The one value that the column is compared with.
    pub need: Need,
    /// Whether that value is put into lower case first.
    pub lower: bool,
    /// As it was written.
    pub text: String,
}

impl Rule {
    /// Parses `TABLE.COLUMN = {ENTITY.COLUMN}`, or `{ENTITY.COLUMN|lower}`.
    ///
    /// # Errors
    /// A usage fault that says what was expected.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = || {
            Fault::usage(format!("`{text}` does not say how rows follow from another store"))
                .hint("write for example `sites.name = {tenant.subdomain}`")
        };
        let (left, right) = text.split_once('=').ok_or_else(wrong)?;
        let (table, column) = left.trim().rsplit_once('.').ok_or_else(wrong)?;
        let value = right.trim().strip_prefix('{').and_then(|r| r.strip_suffix('}')).ok_or_else(wrong)?;
        let (value, lower) = match value.split_once('|') {
            None => (value, false),
            Some((value, "lower")) => (value, true),
            Some(_) => return Err(wrong()),
        };
        let (table, column) = (table.trim().to_owned(), column.trim().to_owned());
        if table.is_empty() || column.is_empty() {
            return Err(wrong());
        }
        Ok(Self { table, column, need: subject(value)?, lower, text: text.trim().to_owned() })
    }
}

/// Parses `ENTITY.COLUMN`, a value of the rows of an entity.
///
/// # Errors
/// A usage fault that says what was expected.
pub fn subject(text: &str) -> Result<Need, Fault> {
    match text.trim().rsplit_once('.') {
        Some((entity, column)) if !entity.is_empty() && !column.is_empty() => {
            Ok(Need { entity: entity.to_owned(), columns: vec![column.to_owned()] })
        }
        Some(_) | None => Err(Fault::usage(format!("`{text}` is no value of an entity"))
            .hint("write the entity or table and the column, for example `tenant.subdomain`")),
    }
}

/// One need per entity, with all its columns, in the order in which they were first named.
pub fn united(needs: &[Need]) -> Vec<Need> {
    let mut all: Vec<Need> = Vec::new();
    for need in needs {
        let known = all.iter().position(|other| other.entity == need.entity);
        let at = known.unwrap_or_else(|| {
            all.push(Need { entity: need.entity.clone(), columns: Vec::new() });
            all.len() - 1
        });
        for column in &need.columns {
            if !all[at].columns.contains(column) {
                all[at].columns.push(column.clone());
            }
        }
    }
    all
}

/// Whose turn it is where no rule says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// Entries hold addresses of other things, so they leave before those.
    Entries,
    /// Rows that follow from the source.
    Rows,
    /// The source goes last: as long as it is there, all others can be found again.
    Source,
}

/// One store of a plan, with the rules that concern it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub store: String,
    pub turn: Turn,
    /// Stores that come after this one.
    pub before: Vec<String>,
    /// Stores that come before it.
    pub after: Vec<String>,
}

/// Orders stores by their rules, by their turns, and by their names.
///
/// # Errors
/// A usage fault for a rule that names no store of the plan, and for rules that form a ring.
pub fn order(places: &[Place]) -> Result<Vec<String>, Fault> {
    let names: BTreeSet<&str> = places.iter().map(|place| place.store.as_str()).collect();
    let mut earlier: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for place in places {
        for other in place.before.iter().chain(&place.after) {
            if !names.contains(other.as_str()) {
                let known: Vec<&str> = names.iter().copied().collect();
                let message =
                    format!("the order of store `{}` names `{other}`, which is no store", place.store);
                return Err(Fault::usage(message).hint(format!("name one of {}", known.join(", "))));
            }
        }
        let own = earlier.entry(&place.store).or_default();
        own.extend(place.after.iter().map(String::as_str));
        for later in &place.before {
            earlier.entry(later).or_default().insert(&place.store);
        }
    }
    let mut waiting: BTreeSet<(Turn, &str)> =
        places.iter().map(|place| (place.turn, place.store.as_str())).collect();
    let mut ordered: Vec<String> = Vec::new();
    while !waiting.is_empty() {
        let ready = |(_, name): &&(Turn, &str)| {
            earlier.get(name).is_none_or(|first| first.iter().all(|one| ordered.iter().any(|o| o == one)))
        };
        let Some(next) = waiting.iter().find(ready).copied() else {
            let ring: Vec<&str> = waiting.iter().map(|(_, name)| *name).collect();
            return Err(Fault::usage(format!("the order of the stores goes in a ring: {}", ring.join(", ")))
                .hint("remove one of their `before` or `after` lines"));
        };
        waiting.remove(&next);
        ordered.push(next.1.to_owned());
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(store: &str, turn: Turn, before: &[&str], after: &[&str]) -> Place {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Place { store: store.to_owned(), turn, before: owned(before), after: owned(after) }
    }

    #[test]
    fn addresses_leave_before_what_they_point_at_and_the_source_last() {
        let places = [
            place("main", Turn::Source, &[], &[]),
            place("site", Turn::Rows, &[], &[]),
            place("edge", Turn::Entries, &[], &[]),
            place("bench", Turn::Entries, &[], &["edge"]),
            place("cache", Turn::Entries, &[], &["main"]),
        ];
        assert_eq!(order(&places).unwrap(), ["edge", "bench", "site", "main", "cache"]);
    }

    #[test]
    fn rings_and_unknown_stores_are_refused() {
        let ring = [
            place("main", Turn::Source, &[], &[]),
            place("a", Turn::Entries, &["b"], &[]),
            place("b", Turn::Entries, &["a"], &[]),
        ];
        assert_eq!(order(&ring).unwrap_err().message, "the order of the stores goes in a ring: a, b");
        let own = [place("a", Turn::Entries, &["a"], &[])];
        assert!(order(&own).is_err(), "a store does not come before itself");
        let unknown = [place("a", Turn::Entries, &["mian"], &[])];
        assert!(order(&unknown).unwrap_err().message.contains("`mian`"));
    }

    #[test]
    fn rules_are_read_as_written() {
        let rule = Rule::parse(" public.sites.name = {tenant.subdomain|lower} ").unwrap();
        assert_eq!((rule.table.as_str(), rule.column.as_str(), rule.lower), ("public.sites", "name", true));
        assert_eq!(rule.need, Need { entity: "tenant".to_owned(), columns: vec!["subdomain".to_owned()] });
        for wrong in
            ["", "sites = {tenant.id}", "sites.name = tenant.id", "a.b = {tenant}", "a.b = {t.c|upper}"]
        {
            assert!(Rule::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn needs_of_one_entity_become_one() {
        let need = |text: &str| subject(text).unwrap();
        let all = united(&[need("tenant.id"), need("user.email"), need("tenant.slug"), need("tenant.id")]);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].columns, ["id", "slug"]);
    }
}
