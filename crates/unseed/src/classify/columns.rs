//! Which column of a file is the name, the mail address and so on, by what it is called.
//!
//! Invariants
//! - the names are those of the documentation and their usual variants, without regard to case, `_` and `-`;
//! - a file without any column that can be judged is refused, since every record would pass for real.

use super::csv::Row;
use crate::report::harmless;
use unseed_core::detect::Record;
use unseed_core::detect::record::FlagValue;
use unseed_core::detect::time;
use unseed_core::entity::Entity;
use unseed_core::entity::fields::FlagMeaning;
use unseed_core::fault::Fault;

/// Parts that a value may play; a place in [`Values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Kind,
    Name,
    FirstName,
    LastName,
    Slug,
    Username,
    Email,
    Phone,
    Role,
    CreatedAt,
    LastSeen,
    TestFlag,
    LiveFlag,
    Environment,
    Address,
    Payment,
    Hold,
    Source,
    Password,
}

/// What a record may call itself.
const KINDS: &[(&str, Entity)] = &[
    ("tenant", Entity::Tenant),
    ("user", Entity::User),
    ("company", Entity::Tenant),
    ("organization", Entity::Tenant),
    ("org", Entity::Tenant),
    ("account", Entity::Tenant),
    ("workspace", Entity::Tenant),
    ("person", Entity::User),
    ("member", Entity::User),
    ("customer", Entity::User),
    ("contact", Entity::User),
];
/// How many parts there are.
const PARTS: usize = 19;

/// Values of one record by their parts; empty where there is none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values<'a> {
    parts: [&'a str; PARTS],
    /// First and last name together, where there is no other name.
    full_name: String,
    has_last_seen: bool,
}

impl Part {
    /// Whether a record can be judged by it.
    pub(super) fn is_judged(self) -> bool {
        self != Self::Kind && self != Self::CreatedAt
    }
}

/// Names of columns that a message lists.
const LISTED_MAX: usize = 12;

/// A name of a column for people, who may have given a file that has none.
fn shown(name: &str) -> String {
    harmless(name, 40)
}

/// Names of columns for people.
pub(super) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let more = names.len().saturating_sub(LISTED_MAX);
    let mut list: Vec<String> = names.iter().take(LISTED_MAX).map(|name| shown(name.as_ref())).collect();
    list.extend((more > 0).then(|| format!("and {more} more")));
    list.join(", ")
}

/// Bytes of the longest name that is known, and some more.
const NAME_BYTES_MAX: usize = 24;

/// The part that a column of this name plays.
pub(super) fn part(name: &str) -> Option<Part> {
    if !name.is_ascii() {
        let plain: String =
            name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        return part_of(&plain);
    }
    let (mut plain, mut length) = ([0; NAME_BYTES_MAX], 0);
    for letter in name.bytes().filter(u8::is_ascii_alphanumeric) {
        // A longer name is none that is known.
        *plain.get_mut(length)? = letter.to_ascii_lowercase();
        length += 1;
    }
    part_of(std::str::from_utf8(&plain[..length]).expect("ASCII is text"))
}

/// The part by the letters and digits of a name in lower case.
fn part_of(plain: &str) -> Option<Part> {
    Some(match plain {
        "kind" | "entity" | "type" => Part::Kind,
        "name" | "fullname" | "displayname" | "company" | "companyname" | "organization" | "title" => {
            Part::Name
        }
        "firstname" | "givenname" => Part::FirstName,
        "lastname" | "surname" | "familyname" => Part::LastName,
        "slug" | "subdomain" | "handle" | "domain" => Part::Slug,
        "username" | "login" | "userlogin" => Part::Username,
        "email" | "mail" | "emailaddress" => Part::Email,
        "phone" | "phonenumber" | "mobile" | "telephone" => Part::Phone,
        "role" => Part::Role,
        "createdat" | "created" | "signupat" | "registeredat" => Part::CreatedAt,
        "lastseen" | "lastseenat" | "lastlogin" | "lastloginat" | "lastactiveat" => Part::LastSeen,
        "istest" | "test" | "testaccount" | "isdemo" | "sandbox" | "testtenant" => Part::TestFlag,
        "livemode" | "islive" => Part::LiveFlag,
        "environment" | "env" | "accounttype" => Part::Environment,
        "address" | "street" | "streetaddress" | "address1" | "addressline1" | "billingaddress" => {
            Part::Address
        }
        "externalid" | "stripeid" | "stripecustomerid" | "paymentid" | "paymentmethod"
        | "paymentmethodid" | "card" | "cardnumber" | "cardlast4" | "last4" | "checkoutsession" => {
            Part::Payment
        }
        "legalhold" | "audithold" | "litigationhold" | "onlegalhold" | "donotdelete" | "holduntil" => {
            Part::Hold
        }
        "source" | "origin" | "signupsource" | "createdby" | "createdvia" => Part::Source,
        "password" | "passwordhash" | "hashedpassword" | "encryptedpassword" | "passworddigest" => {
            Part::Password
        }
        _ => return None,
    })
}

fn place(part: Part) -> usize {
    match part {
        Part::Kind => 0,
        Part::Name => 1,
        Part::FirstName => 2,
        Part::LastName => 3,
        Part::Slug => 4,
        Part::Username => 5,
        Part::Email => 6,
        Part::Phone => 7,
        Part::Role => 8,
        Part::CreatedAt => 9,
        Part::LastSeen => 10,
        Part::TestFlag => 11,
        Part::LiveFlag => 12,
        Part::Environment => 13,
        Part::Address => 14,
        Part::Payment => 15,
        Part::Hold => 16,
        Part::Source => 17,
        Part::Password => 18,
    }
}

/// The columns of a CSV file.
#[derive(Debug)]
pub(super) struct Columns {
    /// The part of each column.
    parts: Vec<Option<Part>>,
}

impl Columns {
    /// Columns by their names.
    pub(super) fn named(names: &[&str]) -> Result<Self, Fault> {
        let parts: Vec<Option<Part>> = names.iter().map(|name| part(name)).collect();
        for (at, (name, part)) in names.iter().zip(&parts).enumerate() {
            let again = names[..at].iter().any(|other| other.eq_ignore_ascii_case(name));
            if again && part.is_some() {
                return Err(Fault::usage(format!("two columns are called `{}`", shown(name)))
                    .hint("call each column differently; of `name` and `company` the first that is not empty counts"));
            }
        }
        if parts.iter().flatten().any(|part| part.is_judged()) {
            return Ok(Self { parts });
        }
        Err(Fault::usage(format!("none of the columns can be judged: {}", listed(names)))
            .hint("the first line names the columns, for example `kind,name,slug,email`"))
    }

    /// The values of a row.
    pub(super) fn values<'a>(&self, row: &'a Row) -> Values<'a> {
        let mut values = Values::empty();
        for (at, part) in self.parts.iter().enumerate() {
            if let Some(part) = part {
                values.set(*part, row.value(at));
            }
        }
        values.finish();
        values
    }
}

impl<'a> Values<'a> {
    /// A record without values.
    pub(super) fn empty() -> Self {
        Self { parts: [""; PARTS], full_name: String::new(), has_last_seen: false }
    }

    /// Sets a value; of two columns that play the same part, the first that is not empty counts.
    pub(super) fn set(&mut self, part: Part, value: &'a str) {
        self.has_last_seen |= part == Part::LastSeen;
        let slot = &mut self.parts[place(part)];
        if slot.is_empty() {
            *slot = value;
        }
    }

    /// Whether there is anything that a record can be judged by.
    pub(super) fn can_be_judged(&self) -> bool {
        let others = [place(Part::Kind), place(Part::CreatedAt)];
        self.parts.iter().enumerate().any(|(at, value)| !value.is_empty() && !others.contains(&at))
    }

    /// Puts first and last name together.
    pub(super) fn finish(&mut self) {
        let (first, last) = (self.get(Part::FirstName), self.get(Part::LastName));
        if self.get(Part::Name).is_empty() && !(first.is_empty() && last.is_empty()) {
            self.full_name = format!("{first} {last}");
        }
    }

    fn get(&self, part: Part) -> &'a str {
        self.parts[place(part)]
    }

    /// The flags that are set, and how many there are.
    pub(super) fn flags(&self) -> ([FlagValue<'a>; 5], usize) {
        let none = FlagValue { column: "", value: "", meaning: FlagMeaning::TrueIsTest };
        let (mut flags, mut count) = ([none; 5], 0);
        for (part, column, meaning) in [
            (Part::TestFlag, "is_test", FlagMeaning::TrueIsTest),
            (Part::LiveFlag, "livemode", FlagMeaning::FalseIsTest),
            (Part::Environment, "environment", FlagMeaning::WordIsTest),
            (Part::Source, "source", FlagMeaning::WordIsTest),
            (Part::Hold, "legal_hold", FlagMeaning::SetIsHeld),
        ] {
            let value = self.get(part);
            if !value.is_empty() {
                flags[count] = FlagValue { column, value, meaning };
                count += 1;
            }
        }
        (flags, count)
    }

    /// The record as detectors see it.
    pub(super) fn record<'r>(&'r self, kind: Entity, flags: &'r [FlagValue<'r>]) -> Record<'r> {
        let said = self.get(Part::Kind);
        let entity = KINDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(said)).map_or(kind, |k| k.1);
        let name = if self.full_name.is_empty() { self.get(Part::Name) } else { self.full_name.as_str() };
        Record {
            entity,
            name,
            slug: self.get(Part::Slug),
            username: self.get(Part::Username),
            email: self.get(Part::Email),
            phone: self.get(Part::Phone),
            role: self.get(Part::Role),
            address: self.get(Part::Address),
            payment: self.get(Part::Payment),
            password: self.get(Part::Password),
            flags,
            created_at: time::parse(self.get(Part::CreatedAt)),
            has_last_seen: self.has_last_seen,
            last_seen: time::parse(self.get(Part::LastSeen)),
        }
    }
}
