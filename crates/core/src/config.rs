//! `unseed.toml` as typed values: stores, overrides of entities, protections, references, limits,
//! approval, what may be removed, the audit log, the state database, how a purge behaves while others use the store.
//!
//! Every line of the file is optional, and every mistake in it is one fault that names the line. The text is
//! given by the caller, and `env:NAME` stays a name: nothing in here reads a file or the environment.
//!
//! Invariants
//! - an unknown key is an error, never ignored: a misspelled protection must not protect nothing in silence;
//! - no password ever gets past the parser: a URL that holds one is refused.
//!
//! Not here: finding the file (`unseed::wire`), resolving names against a schema (`policy`, `entity`).

mod archive;
mod detect;
mod govern;
mod live;
mod nesting;
mod state;
mod stores;

pub use archive::{Archive, QuarantineTime};
pub use detect::Detection;
pub use govern::{Approvals, Audit, Destructive};
pub use live::Purging;
pub use state::StateConfig;
pub use stores::{Commands, KeySettings, StoreConfig};

use crate::entity::{Entity, Overrides};
use crate::fault::Fault;
use crate::hook::Hook;
use crate::keeping::Keeping;
use crate::policy::{ConfiguredProtection, ConfiguredReference, Limits, PlannedApprovals, Policy};
use crate::throttle::Throttle;
use detect::FileDetection;
use live::{FileHook, FilePurging, FileThrottle};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use stores::FileStore;
use toml::Spanned;

/// Everything a configuration file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    pub stores: BTreeMap<String, StoreConfig>,
    pub entities: Overrides,
    pub protect: Vec<ConfiguredProtection>,
    pub references: Vec<ConfiguredReference>,
    pub limits: Limits,
    pub approval: Approvals,
    /// `None` without the section: nothing is forbidden.
    pub destructive: Option<Destructive>,
    pub audit: Audit,
    pub detection: Detection,
    pub archive: Archive,
    pub state: StateConfig,
    pub throttle: Throttle,
    pub purge: Purging,
    pub hooks: Vec<Hook>,
    pub quarantine: QuarantineTime,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    stores: BTreeMap<String, FileStore>,
    entities: Overrides,
    protect: BTreeMap<String, Node>,
    references: Vec<Spanned<ConfiguredReference>>,
    limits: Option<Spanned<Limits>>,
    approval: Option<Spanned<Approvals>>,
    destructive: Option<Spanned<Destructive>>,
    audit: Audit,
    detect: Option<Spanned<FileDetection>>,
    archive: Option<Spanned<Archive>>,
    state: Option<Spanned<StateConfig>>,
    throttle: Option<Spanned<FileThrottle>>,
    purge: Option<Spanned<FilePurging>>,
    hooks: Vec<Spanned<FileHook>>,
    quarantine: QuarantineTime,
}

impl Config {
    /// Parses the text of a configuration; `file` is its name for messages.
    ///
    /// # Errors
    /// A usage fault that names the file, the line and what is wrong there.
    pub fn parse(text: &str, file: &str) -> Result<Self, Fault> {
        let place = Place { text, file };
        if let Some(bracket) = nesting::too_deep(text) {
            return Err(place.malformed(Some(bracket), "brackets stand too deep within each other"));
        }
        let parsed: File = toml::from_str(text).map_err(|error| place.syntax(&error))?;
        let mut stores = BTreeMap::new();
        for (name, store) in parsed.stores {
            stores.insert(name.clone(), place.store(&name, store)?);
        }
        if parsed.entities.contains_key(&Entity::Other) {
            return Err(Fault::usage(format!("`{file}`: `[entities.other]` overrides nothing"))
                .hint("name one of tenant, user, session, payment, invoice, subscription"));
        }
        let mut protect = Vec::new();
        for (key, node) in parsed.protect {
            place.protection(&key, node, &mut protect)?;
        }
        let references =
            parsed.references.into_iter().map(|r| place.reference(r)).collect::<Result<_, _>>()?;
        let limits = parsed.limits.map_or(Ok(Limits::default()), |limits| place.limits(&limits))?;
        let detection = parsed.detect.map_or(Ok(Detection::default()), |section| {
            let span = section.span();
            section.into_inner().read().map_err(|(what, hint)| place.at(Some(span), &what).hint(hint))
        })?;
        let approval =
            parsed.approval.map_or(Ok(Approvals::default()), |section| govern::approvals(&place, section))?;
        let destructive = parsed.destructive.map(|section| govern::destructive(&place, section, &stores));
        let archive = parsed.archive.map_or(Ok(Archive::default()), |section| {
            let span = section.span();
            section.into_inner().checked().map_err(|(what, hint)| place.at(Some(span), &what).hint(hint))
        })?;
        let state =
            parsed.state.map_or(Ok(StateConfig::default()), |section| state::state(&place, section))?;
        let throttle = parsed.throttle.map(|section| place.read(section, FileThrottle::read)).transpose()?;
        let purge = parsed.purge.map(|section| place.read(section, FilePurging::read)).transpose()?;
        let mut names = BTreeSet::new();
        let hooks = parsed.hooks.into_iter().map(|entry| place.read(entry, |hook| hook.read(&mut names)));
        Ok(Self {
            stores,
            entities: parsed.entities,
            protect,
            references,
            limits,
            approval,
            destructive: destructive.transpose()?,
            audit: parsed.audit,
            detection,
            archive,
            state,
            throttle: throttle.unwrap_or_default(),
            purge: purge.unwrap_or_default(),
            hooks: hooks.collect::<Result<_, _>>()?,
            quarantine: parsed.quarantine,
        })
    }

    /// The part that plans carry.
    pub fn policy(&self) -> Policy {
        self.policy_with(&self.references, &self.protect)
    }

    /// The same for rows of a store that follows from another: protections and links are that store's own.
    pub fn policy_of(&self, store: &StoreConfig) -> Policy {
        self.policy_with(&store.references, &store.protect)
    }

    fn policy_with(&self, references: &[ConfiguredReference], protect: &[ConfiguredProtection]) -> Policy {
        Policy {
            references: references.to_vec(),
            protect: protect.to_vec(),
            limits: self.limits,
            allow_effects: Vec::new(),
            approvals: PlannedApprovals {
                purge: self.approval.required,
                restore: self.approval.for_restore(),
            },
            hooks: self.hooks.clone(),
            keeping: Keeping { quarantine_s: self.quarantine.period_s, archive_s: self.archive.keep_s },
        }
    }
}

/// Where a message points to.
struct Place<'a> {
    text: &'a str,
    file: &'a str,
}

impl Place<'_> {
    fn at(&self, span: Option<Range<usize>>, what: &str) -> Fault {
        let Some(span) = span else {
            return Fault::usage(format!("`{}`: {what}", self.file));
        };
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        Fault::usage(format!("`{}` line {line}: {what}", self.file))
    }

    /// Reads a section whose mistakes are a text and what to write instead.
    fn read<F, T>(
        &self,
        section: Spanned<F>,
        read: impl FnOnce(F) -> Result<T, (String, &'static str)>,
    ) -> Result<T, Fault> {
        let span = section.span();
        read(section.into_inner()).map_err(|(what, hint)| self.at(Some(span), &what).hint(hint))
    }

    fn syntax(&self, error: &toml::de::Error) -> Fault {
        let message = error.message().lines().next().unwrap_or("not valid TOML");
        for (theirs, ours) in [("unknown field ", "unknown key "), ("unknown variant ", "unknown name ")] {
            if let Some(rest) = message.strip_prefix(theirs) {
                let (name, expected) = rest.split_once(", expected ").unwrap_or((rest, ""));
                let what = format!("{ours}{name}");
                let fault = self.at(error.span(), &what);
                let expected = expected.strip_prefix("one of ").unwrap_or(expected);
                return fault.hint(match expected {
                    "" | "there are no fields" => "remove it".to_owned(),
                    several => format!("it is one of {several}"),
                });
            }
        }
        self.malformed(error.span(), &lower_first(message))
    }

    fn malformed(&self, span: Option<Range<usize>>, what: &str) -> Fault {
        self.at(span, what).hint(format!("correct `{}` and run the command again", self.file))
    }

    fn protection(&self, path: &str, node: Node, found: &mut Vec<ConfiguredProtection>) -> Result<(), Fault> {
        let values = match node {
            Node::Table(entries) => {
                for (key, inner) in entries {
                    self.protection(&format!("{path}.{key}"), inner, found)?;
                }
                return Ok(());
            }
            Node::Values(values) => values,
        };
        let Some((table, column)) = path.rsplit_once('.') else {
            let what = format!("protection `{path}` names no column");
            return Err(self.at(None, &what).hint("write `[protect]` entries as `table.column = [values]`"));
        };
        if values.is_empty() {
            let what = format!("protection `{path}` lists no values, so it would protect nothing");
            return Err(self.at(None, &what).hint("list the values to protect, or remove the line"));
        }
        found.push(ConfiguredProtection {
            table: table.to_owned(),
            column: Some(column.to_owned()),
            values,
            predicate: None,
        });
        Ok(())
    }

    fn reference(&self, entry: Spanned<ConfiguredReference>) -> Result<ConfiguredReference, Fault> {
        let span = entry.span();
        let entry = entry.into_inner();
        for (key, value) in [("from", &entry.from), ("to", &entry.to)] {
            if !value.contains('.') {
                let what = format!("`{key} = \"{value}\"` is not of the form `table.column`");
                return Err(self
                    .at(Some(span), &what)
                    .hint("write for example `from = \"audit_logs.tenant_id\"` and `to = \"tenants.id\"`"));
            }
        }
        Ok(entry)
    }

    fn limits(&self, limits: &Spanned<Limits>) -> Result<Limits, Fault> {
        let inner = *limits.get_ref();
        for (key, share) in
            [("max_share_of_table", inner.max_share_of_table), ("max_drift_share", inner.max_drift_share)]
        {
            if !(0.0..=1.0).contains(&share) {
                let what = format!("`limits.{key}` is {share}, but a share lies between 0 and 1");
                return Err(self.at(Some(limits.span()), &what).hint("write for example 0.999"));
            }
        }
        Ok(inner)
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// `[protect]` as TOML nests it: tables within tables, with lists of values at the ends.
#[derive(Debug)]
enum Node {
    Table(BTreeMap<String, Self>),
    Values(Vec<String>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of values, as in `tenants.id = [\"…\"]`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, node)) = map.next_entry::<String, Node>()? {
            entries.insert(key, node);
        }
        Ok(Node::Table(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut values = Vec::new();
        while let Some(Scalar(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Node::Values(values))
    }
}

/// One protected value as text, since that is how protections are compared.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number or a boolean")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar(value.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
