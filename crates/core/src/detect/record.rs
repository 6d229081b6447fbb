//! One row as detectors see it: its fields by the part they play, their words, and what is known from elsewhere.
//!
//! Invariants
//! - an absent or null field is the empty text; detectors need no second kind of nothing;
//! - a context that nobody filled says nothing, neither for nor against.
//!
//! Not here: how a context comes about (`engine::scan`), what anything is worth (one file per signal).

use super::domain::{self, Classes};
use super::lexicon::Class;
use super::mail;
use super::memory::Memory;
use super::placeholder_domain::Typed;
use super::rules::Rules;
use super::text::{self, Words};
use crate::entity::Entity;
use crate::entity::fields::FlagMeaning;

/// Fields of a row by the part they play.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub entity: Entity,
    pub name: &'a str,
    pub slug: &'a str,
    pub username: &'a str,
    pub email: &'a str,
    pub phone: &'a str,
    pub role: &'a str,
    /// Street and number.
    pub address: &'a str,
    /// What a payment provider calls it: a customer, a card, a checkout.
    pub payment: &'a str,
    /// A hash of it, which nothing shows and no file holds.
    pub password: &'a str,
    pub flags: &'a [FlagValue<'a>],
    /// Seconds since 1970.
    pub created_at: Option<i64>,
    /// Whether the table records log-ins or activity at all.
    pub has_last_seen: bool,
    pub last_seen: Option<i64>,
}

/// The value of one flag column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlagValue<'a> {
    pub column: &'a str,
    pub value: &'a str,
    pub meaning: FlagMeaning,
}

impl Record<'_> {
    /// A row without any field.
    pub fn new(entity: Entity) -> Self {
        Self {
            entity,
            name: "",
            slug: "",
            username: "",
            email: "",
            phone: "",
            role: "",
            address: "",
            payment: "",
            password: "",
            flags: &[],
            created_at: None,
            has_last_seen: false,
            last_seen: None,
        }
    }
}

/// What is known about a row from other rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    /// Rows of the same table created in the same second; 0 when it is no burst.
    pub burst_rows: u64,
    pub series: Option<Series>,
    pub money: Option<Money>,
    pub activity: Option<Activity>,
    pub members: Option<Members>,
    /// Log-odds of the tenant that the row belongs to.
    pub owner: Option<f64>,
    /// A value that the row shares with others, where something else speaks for test data too.
    pub cloned: Option<Cloned>,
    /// Rows created one after the other at the same interval, this one among them; 0 when there is no such run.
    pub regular_rows: u64,
    /// The row names a tenant that does not exist.
    pub orphan: bool,
    /// Rows of protected tenants that refer to the row.
    pub vouching_rows: u64,
    /// The row belongs to some tenant, so its role is a role within that tenant.
    pub belongs: bool,
}

/// Rows that share a stem and count up: `user1` … `user99`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series {
    pub rows: u64,
    /// Distance from the lowest to the highest number, at least 1.
    pub span: u64,
    /// Nothing but nouns and test words stands before the number.
    pub generic: bool,
}

/// A value that several rows share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cloned {
    pub what: Shared,
    pub rows: u64,
    /// The rows belong to more than one tenant, as far as is known.
    pub tenants: bool,
}

/// What kind of value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shared {
    /// A salted hash, which two people never share.
    Password,
    Phone,
    Device,
    Ip,
    /// Whoever, or whatever key, made the row.
    Creator,
}

/// Payments, invoices and subscriptions that belong to the row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Money {
    /// Marked as test by the provider's id or a live flag.
    pub marked: u64,
    /// Paid with real money, as far as the columns tell.
    pub paid: u64,
}

/// Sessions and other traces of use that belong to the row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    pub rows: u64,
    pub days: u64,
    /// Seconds from the first to the last.
    pub span_s: i64,
    /// Hours of the day at which something happened, a bit for each; 0 where they are not known.
    pub hours: u32,
}

/// The users of a tenant, taken together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Members {
    pub users: u64,
    /// Users that look like test data on their own.
    pub test_like: u64,
    /// Users with log-ins spread over weeks and nothing that looks like a test.
    pub people: u64,
    /// Mean of the evidence of the users (log-odds without the prior).
    pub evidence_mean: f64,
}

/// The words of a row's fields, in buffers that are used again for the next row.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    pub name: Words,
    pub slug: Words,
    pub username: Words,
    pub local: Words,
    pub tag: Words,
    /// In lower case.
    pub domain: String,
    pub site: Site,
    memory: Memory,
}

/// What is known of a mail domain, looked up once.
#[derive(Debug, Clone, Copy)]
pub struct Site {
    pub classes: Classes,
    /// Class of the label that the domain is known by.
    pub label_class: Class,
    pub(super) typed: Typed,
    /// Where that label stands in the domain.
    label: (usize, usize),
}

impl Default for Site {
    fn default() -> Self {
        Self { classes: Classes::default(), label_class: Class::Content, typed: Typed::Not, label: (0, 0) }
    }
}

impl Site {
    fn of(domain: &str, memory: &mut Memory) -> Self {
        let place = mail::main_label(domain);
        let label = &domain[place.0..place.1];
        Self {
            classes: domain::classes(domain),
            label_class: label_class(label, memory),
            typed: Typed::of(label, memory),
            label: place,
        }
    }
}

/// `test1` of `test1.com` is `test`; numbers behind other words make other names.
fn label_class(label: &str, memory: &mut Memory) -> Class {
    let class = memory.known(label).class;
    let stem = without_number(label);
    if class != Class::Content || stem.len() == label.len() || stem.is_empty() {
        return class;
    }
    let known = memory.known(stem).class;
    if matches!(known, Class::Strong | Class::Junk) { known } else { class }
}

impl Prepared {
    /// Reads all fields of a row.
    pub fn read(&mut self, record: &Record<'_>) {
        let memory = &mut self.memory;
        self.name.read(record.name, memory);
        self.slug.read(record.slug, memory);
        let address = if record.email.is_empty() { record.username } else { record.email };
        let parts = mail::split(address);
        let username_is_mail = record.username.contains('@');
        self.username.read(if username_is_mail { "" } else { record.username }, memory);
        match parts {
            Some(parts) => {
                self.local.read(parts.local, memory);
                self.tag.read(parts.tag.unwrap_or(""), memory);
                // Neighbours often share their domain, and what is known of it.
                if !self.domain.eq_ignore_ascii_case(parts.domain) {
                    self.domain.clear();
                    self.domain.push_str(parts.domain);
                    self.domain.make_ascii_lowercase();
                    self.site = Site::of(&self.domain, memory);
                }
            }
            None => {
                self.local.read("", memory);
                self.tag.read("", memory);
                self.domain.clear();
                self.site = Site::default();
            }
        }
    }
}

impl Prepared {
    /// The label that the mail domain is known by: `acme` of `mail.acme.co.uk`.
    pub(super) fn label(&self) -> &str {
        &self.domain[self.site.label.0..self.site.label.1]
    }
}

impl Subject<'_> {
    /// Whether a handle, local part or domain label was made from a real name, so that its words say no more
    /// than the name does: `mocha` of `Mocha House`.
    pub(super) fn is_from_name(&self, handle: &str) -> bool {
        let name = &self.words.name;
        // A name with a run that a machine has made was not chosen either.
        // Nor was one that a test word and a number make different from others: `demo-hollis-8579`.
        let counted = name.counts.number > 0 && name.counts.strong + name.counts.soft > 0;
        let chosen = !name.counts.no_name_left() && name.counts.mixed == 0 && !counted;
        let handle = without_number(handle);
        handle.len() >= 3 && chosen && text::contains(name.joined(), handle)
    }

    /// Whether a handle, local part or domain label says the name again, whatever the name is made of: `qa.manager`
    /// of `QA Manager`.
    pub(super) fn repeats_name(&self, handle: &str) -> bool {
        let handle = without_number(handle);
        handle.len() >= 2 && text::contains(self.words.name.joined(), handle)
    }
}

/// `weber1984` is `weber`.
fn without_number(handle: &str) -> &str {
    let last = handle.bytes().rposition(|b| !b.is_ascii_digit());
    last.map_or("", |last| &handle[..=last])
}

/// What a detector gets.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub record: &'a Record<'a>,
    pub context: &'a Context,
    pub words: &'a Prepared,
    /// What was configured.
    pub rules: &'a Rules,
}
