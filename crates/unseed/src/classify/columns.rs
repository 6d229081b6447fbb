//! Which column of a file is the name, the mail address and so on, by what it is called.
//!
//! Invariants
//! - the names are those of the documentation and their usual variants, without regard to case, `_` and `-`;
//! - a file without any column that can be judged is refused, since every record would pass for real.

use super::csv::Row;
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
}

/// How many parts there are.
const PARTS: usize = 18;

/// Values of one record by their parts; empty where there is none.
#[derive(Debug, Clone)]
pub(super) struct Values<'a> {
    parts: [&'a str; PARTS],
    /// First and last name together, where there is no other name.
    full_name: String,
    has_last_seen: bool,
}

/// The part that a column of this name plays.
pub(super) fn part(name: &str) -> Option<Part> {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    Some(match plain.as_str() {
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
        let judged = |part: &Option<Part>| part.is_some_and(|p| p != Part::Kind && p != Part::CreatedAt);
        if parts.iter().any(judged) {
            return Ok(Self { parts });
        }
        Err(Fault::usage(format!("none of the columns can be judged: {}", names.join(", ")))
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
        let is = |word: &str| self.get(Part::Kind).eq_ignore_ascii_case(word);
        let tenant = ["tenant", "company", "organization", "org", "account", "workspace"].into_iter().any(is);
        let user = ["user", "person", "member", "customer", "contact"].into_iter().any(is);
        let entity = match (tenant, user) {
            (true, _) => Entity::Tenant,
            (false, true) => Entity::User,
            (false, false) => kind,
        };
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
            flags,
            created_at: time::parse(self.get(Part::CreatedAt)),
            has_last_seen: self.has_last_seen,
            last_seen: time::parse(self.get(Part::LastSeen)),
        }
    }
}
