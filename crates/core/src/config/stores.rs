//! `[stores]`: where each store is, and how it follows from another one.
//!
//! A store that says nothing of keys, commands or roots is one that rows are chosen in. The others follow from it.
//!
//! Not here: opening stores (`unseed::wire`), the order of their work (`legs`).

use super::{Node, Place};
use crate::address;
use crate::fault::Fault;
use crate::legs::{self, Rule};
use crate::pattern::{PatternSet, PatternSpec};
use crate::policy::{ConfiguredProtection, ConfiguredReference};
use crate::port::derived::Need;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// How long one command of a store may take, unless its configuration says otherwise.
const TIMEOUT_S: u64 = 300;

/// One store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreConfig {
    /// A URL without a password, or `env:NAME`; empty for a store behind commands.
    pub url: String,
    /// Key patterns of stores that hold keys instead of tables.
    pub keys: Vec<PatternSpec>,
    pub settings: KeySettings,
    /// Programs that stand for the store.
    pub commands: Option<Commands>,
    /// How its roots follow from the rows of another store.
    pub roots: Vec<Rule>,
    /// Stores that are worked on after this one, and before it.
    pub before: Vec<String>,
    pub after: Vec<String>,
    /// Rows of this store that must never go, and links that no constraint declares, where it is not the one that rows
    /// are chosen in.
    pub protect: Vec<ConfiguredProtection>,
    pub references: Vec<ConfiguredReference>,
}

/// How a store of keys is searched and archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySettings {
    /// Also count the keys that fit a pattern and belong to no row.
    pub orphans: bool,
    /// Milliseconds to wait between round trips.
    pub pause_ms: u64,
    /// Also archive what a server of another version can read.
    pub portable: bool,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self { orphans: false, pause_ms: 0, portable: true }
    }
}

impl StoreConfig {
    /// Whether it follows from another store.
    pub fn follows(&self) -> bool {
        self.is_derived() || !self.roots.is_empty()
    }

    /// Hash of how its entries are found and handled; a plan that was made under another one is stale.
    pub fn fingerprint(&self) -> String {
        let commands = self.commands.as_ref().map(|c| {
            serde_json::json!({
                "list": c.list, "archive": c.archive, "remove": c.remove, "verify": c.verify,
                "restore": c.restore, "subjects": c.subjects,
            })
        });
        let text = serde_json::json!({"keys": self.keys, "commands": commands}).to_string();
        format!("blake3:{}", blake3::hash(text.as_bytes()).to_hex())
    }

    /// Where it is, for plans and messages; `None` where only its URL says so.
    pub fn program(&self) -> Option<String> {
        self.commands.as_ref().map(|commands| format!("command:{}", commands.list[0]))
    }

    /// Whether it holds entries instead of rows.
    pub fn is_derived(&self) -> bool {
        !self.keys.is_empty() || self.commands.is_some()
    }
}

/// A store behind commands: one program with its arguments for each thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commands {
    pub list: Vec<String>,
    pub archive: Vec<String>,
    pub remove: Vec<String>,
    /// `list` where nothing is said.
    pub verify: Option<Vec<String>>,
    pub restore: Vec<String>,
    /// Values that the commands are given of each row that leaves; one need per entity.
    pub subjects: Vec<Need>,
    /// How long each call may take.
    pub timeout_s: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileStore {
    url: Option<Spanned<String>>,
    keys: Option<Spanned<Vec<PatternSpec>>>,
    orphans: Option<bool>,
    pause_ms: Option<u64>,
    portable: Option<bool>,
    commands: Option<FileCommands>,
    #[serde(default)]
    subjects: Vec<Spanned<String>>,
    timeout_s: Option<Spanned<u64>>,
    #[serde(default)]
    roots: Vec<Spanned<String>>,
    #[serde(default)]
    before: Vec<String>,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    protect: BTreeMap<String, Node>,
    #[serde(default)]
    references: Vec<Spanned<ConfiguredReference>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCommands {
    list: Spanned<Vec<String>>,
    archive: Spanned<Vec<String>>,
    remove: Spanned<Vec<String>>,
    verify: Option<Spanned<Vec<String>>>,
    restore: Spanned<Vec<String>>,
}

impl Place<'_> {
    pub(super) fn store(&self, name: &str, store: FileStore) -> Result<StoreConfig, Fault> {
        let url = self.url(name, &store)?;
        let commands = self.commands(name, &store)?;
        let default = KeySettings::default();
        let settings = KeySettings {
            orphans: store.orphans.unwrap_or(default.orphans),
            pause_ms: store.pause_ms.unwrap_or(default.pause_ms),
            portable: store.portable.unwrap_or(default.portable),
        };
        let keys = store.keys.map_or(Ok(Vec::new()), |keys| self.keys(keys))?;
        let mut found = StoreConfig { url, keys, settings, commands, ..StoreConfig::default() };
        for rule in store.roots {
            let span = rule.span();
            found.roots.push(Rule::parse(rule.get_ref()).map_err(|fault| self.placed(span, &fault))?);
        }
        if found.is_derived() && !found.roots.is_empty() {
            let what = format!("`stores.{name}` has both entries and roots");
            return Err(self
                .at(None, &what)
                .hint("write `keys` or `commands` for entries, `roots` for rows"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if found.follows() && (name.is_empty() || !name.chars().all(plain)) {
            let what = format!("the name of store `{name}` is not plain");
            return Err(self.at(None, &what).hint("name it with letters, digits, `-` and `_`"));
        }
        for (key, node) in store.protect {
            self.protection(&key, node, &mut found.protect)?;
        }
        found.references = store
            .references
            .into_iter()
            .map(|reference| self.reference(reference))
            .collect::<Result<_, _>>()?;
        (found.before, found.after) = (store.before, store.after);
        Ok(found)
    }

    fn keys(&self, keys: Spanned<Vec<PatternSpec>>) -> Result<Vec<PatternSpec>, Fault> {
        PatternSet::compile(keys.get_ref()).map_err(|fault| self.placed(keys.span(), &fault))?;
        Ok(keys.into_inner())
    }

    fn url(&self, name: &str, store: &FileStore) -> Result<String, Fault> {
        let Some(url) = &store.url else {
            if store.commands.is_some() {
                return Ok(String::new());
            }
            let what = format!("`stores.{name}` has no `url`");
            return Err(self
                .at(None, &what)
                .hint("write `url = \"env:NAME\"`, or `commands` for a store behind commands"));
        };
        let (span, url) = (url.span(), url.get_ref());
        if address::has_password(url) {
            let what = format!("`stores.{name}.url` contains a password");
            let variable = environment_name(name);
            return Err(self.at(Some(span), &what).hint(format!(
                "write `url = \"env:{variable}\"` and set {variable} to the whole URL where unseed runs"
            )));
        }
        if url.trim().is_empty() || url == "env:" {
            let what = format!("`stores.{name}.url` is empty");
            return Err(self.at(Some(span), &what).hint("write a URL, or `env:NAME`"));
        }
        Ok(url.clone())
    }

    fn commands(&self, name: &str, store: &FileStore) -> Result<Option<Commands>, Fault> {
        let Some(commands) = &store.commands else {
            let odd =
                store.subjects.first().map(Spanned::span).or(store.timeout_s.as_ref().map(Spanned::span));
            return match odd {
                None => Ok(None),
                Some(span) => {
                    let what = format!("`stores.{name}` has `subjects` or `timeout_s`, but no `commands`");
                    Err(self.at(Some(span), &what).hint("write `commands`, or remove the line"))
                }
            };
        };
        let mut needs = Vec::new();
        for text in &store.subjects {
            needs.push(legs::subject(text.get_ref()).map_err(|fault| self.placed(text.span(), &fault))?);
        }
        if needs.is_empty() {
            let what = format!("`stores.{name}` has commands, but no `subjects` to give them");
            return Err(self
                .at(None, &what)
                .hint("write for example `subjects = [\"tenant.id\", \"tenant.subdomain\"]`"));
        }
        let timeout = store.timeout_s.as_ref();
        if let Some(zero) = timeout.filter(|timeout| *timeout.get_ref() == 0) {
            let what = format!("`stores.{name}.timeout_s` is 0");
            return Err(self
                .at(Some(zero.span()), &what)
                .hint("write the seconds that one command may take"));
        }
        let argv = |argv: &Spanned<Vec<String>>| {
            if argv.get_ref().first().is_some_and(|program| !program.is_empty()) {
                return Ok(argv.get_ref().clone());
            }
            let what = format!("a command of `stores.{name}` is empty");
            Err(self.at(Some(argv.span()), &what).hint("write the program and its arguments as a list"))
        };
        Ok(Some(Commands {
            list: argv(&commands.list)?,
            archive: argv(&commands.archive)?,
            remove: argv(&commands.remove)?,
            verify: commands.verify.as_ref().map(argv).transpose()?,
            restore: argv(&commands.restore)?,
            subjects: legs::united(&needs),
            timeout_s: timeout.map_or(TIMEOUT_S, |timeout| *timeout.get_ref()),
        }))
    }

    /// A fault of something that stands in the file, with its line.
    fn placed(&self, span: std::ops::Range<usize>, fault: &Fault) -> Fault {
        let hint = fault.hint.clone();
        self.at(Some(span), &fault.message).hint(hint)
    }
}

fn environment_name(store: &str) -> String {
    let plain: String =
        store.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("{plain}_DATABASE_URL")
}
