//! Which column of a table holds the name, the mail address, the time of creation and so on.
//!
//! Decided from the words of the column's name and its kind; the best candidate wins, the first one in
//! column order among equals, so that the same schema always gives the same fields.
//!
//! Invariants
//! - a column plays at most one field of [`Fields`], apart from flags, which may be several;
//! - a column of bytes or JSON plays none.
//!
//! Not here: which entity a table is (`role`), what the values mean (`detect`).

use super::words;
use crate::schema::{ColumnIndex, ColumnKind, Table};
use serde::Serialize;

/// Columns by the part they play in detection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Fields {
    /// One column, or several that make up a name in this order (first and last name).
    pub name: Vec<ColumnIndex>,
    /// Slug, subdomain, domain or identifier.
    pub slug: Option<ColumnIndex>,
    pub username: Option<ColumnIndex>,
    pub email: Option<ColumnIndex>,
    pub phone: Option<ColumnIndex>,
    pub flags: Vec<Flag>,
    /// A word for the role (`ADMIN`), or a truth value such as `is_superuser`.
    pub role: Option<ColumnIndex>,
    pub created_at: Option<ColumnIndex>,
    /// Last log-in or last activity.
    pub last_seen: Option<ColumnIndex>,
    /// Number that a payment provider gave.
    pub external_id: Option<ColumnIndex>,
    /// Street and number.
    pub address: Option<ColumnIndex>,
    pub amount: Option<ColumnIndex>,
    pub status: Option<ColumnIndex>,
    pub password: Option<ColumnIndex>,
    /// Where somebody signed up from.
    pub ip: Option<ColumnIndex>,
    pub device: Option<ColumnIndex>,
    /// The person or API key that made the row.
    pub creator: Option<ColumnIndex>,
}

/// A column that says outright whether a row is test data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Flag {
    pub column: ColumnIndex,
    pub meaning: FlagMeaning,
}

/// How the value of a flag is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FlagMeaning {
    /// True means test (`is_test`, `sandbox`).
    TrueIsTest,
    /// False means test (`livemode`).
    FalseIsTest,
    /// A word such as `test`, `demo` or `staging` means test (`environment`, `account_type`).
    WordIsTest,
    /// Anything but no means that the row has to be kept (`legal_hold`).
    SetIsHeld,
}

/// Chooses the columns of one table.
pub fn fields(table: &Table) -> Fields {
    let names: Vec<String> = table.columns.iter().map(|c| words::split(&c.name).join(" ")).collect();
    let pick = |lists: &[&str], kinds: fn(ColumnKind) -> bool| pick(table, &names, lists, kinds);
    let mut fields = Fields {
        name: name_columns(table, &names),
        slug: pick(&[SLUG, SLUG_WEAK], is_text),
        username: pick(&[USERNAME], is_text),
        email: pick(&[EMAIL, EMAIL_WEAK], is_text),
        phone: pick(&[PHONE], is_text),
        flags: flags(table, &names),
        role: pick(&[ROLE, ROLE_FLAG], is_word),
        created_at: pick(&[CREATED, CREATED_WEAK], is_time),
        last_seen: pick(&[LAST_SEEN, LAST_SEEN_WEAK], is_time),
        external_id: pick(&[EXTERNAL, EXTERNAL_WEAK], is_text),
        address: pick(&[ADDRESS], is_text),
        amount: pick(&[AMOUNT, AMOUNT_WEAK], is_number),
        status: pick(&[STATUS], is_word),
        password: pick(&[PASSWORD], |_| true),
        ip: pick(&[IP], is_text),
        device: pick(&[DEVICE], is_text),
        creator: pick(&[CREATOR], |_| true),
    };
    fields.address = fields.address.filter(|c| fields.email != Some(*c));
    fields.creator = fields.creator.filter(|c| fields.flags.iter().all(|flag| flag.column != *c));
    fields.slug = fields.slug.filter(|c| !fields.name.contains(c));
    fields.username = fields.username.filter(|c| !fields.name.contains(c));
    fields
}

const FULL_NAME: &str = "name, full name, fullname, display name, displayname, real name";
const ENTITY_NAME: &str = "\
    company name, organization name, organisation name, org name, tenant name, account name, \
    team name, workspace name, site name, customer name, business name, legal name, user full name, \
    title, label, company, company title, contact name, person name, member name, client name";
const FIRST: &str = "first name, firstname, given name, forename, fname";
const LAST: &str = "last name, lastname, surname, family name, lname";
const SLUG: &str = "slug, subdomain, sub domain, url slug, tenant slug, handle, permalink";
const SLUG_WEAK: &str =
    "domain, domain name, identifier, short name, shortname, hostname, host name, code, key";
const USERNAME: &str = "\
    username, user name, login, login name, user login, nick, nickname, screen name, uid, alias, \
    user id text, handle, account name";
const EMAIL: &str =
    "email, e mail, email address, mail, user email, primary email, contact email, emailaddress";
const EMAIL_WEAK: &str = "\
    owner email, billing email, admin email, customer email, login email, work email, mail address, \
    init, address";
const PHONE: &str = "phone, phone number, mobile, telephone, tel, msisdn, mobile number, mobile phone, cell";
const ROLE: &str = "role, user role, account role, role name, user type, usertype";
const ROLE_FLAG: &str = "\
    is superuser, is admin, is staff, admin, superuser, is system, system";
const CREATED: &str = "\
    created at, createdat, created on, created, date joined, creation ts, creation time, \
    created time, inserted at, registered at, registration date, created date, date created, \
    create time, signup at, signed up at, joined at, user registered, create date, insert date, \
    created ts, registerdate, created timestamp, creation timestamp, registered on, reg date, regdate";
const CREATED_WEAK: &str = "\
    paid at, started at, issued at, opened at, joined, registered, timestamp, date, started on, \
    login at, logged in at, at";
const LAST_SEEN: &str = "\
    last login, last login at, last login on, lastlogin, last seen, last seen at, last sign in at, \
    last active, last active at, last activity, last activity at, current sign in at, last access, \
    last accessed at, last visit, lastvisitdate, last visited at, login, last login date, \
    last logged in";
const LAST_SEEN_WEAK: &str = "last used at, seen at, access, last seen ts, last request at";
const EXTERNAL: &str = "\
    stripe id, payment intent id, payment intent, stripe payment intent id, stripe charge id, \
    charge id, stripe subscription id, stripe customer id, provider id, provider payment id, \
    external id, transaction id, gateway id, processor id, stripe invoice id, paddle id, payment id";
const EXTERNAL_WEAK: &str = "reference, txn id, provider reference, customer id";
const ADDRESS: &str = "\
    street address, street, address line 1, address line1, address1, address 1, street line 1, billing address, \
    billing street, shipping address, address";
const AMOUNT: &str =
    "amount, amount cents, amount total, total, amount paid, total amount, total cents, price, value";
const AMOUNT_WEAK: &str = "\
    amount due, subtotal, grand total, net amount, gross amount, unit amount, monthly price";
const STATUS: &str = "status, state, payment status";
const PASSWORD: &str = "\
    password, password hash, passwd, encrypted password, hashed password, password digest, pass, \
    user pass, pwd, crypted password";
const IP: &str = "\
    signup ip, sign up ip, registration ip, created ip, create ip, registered ip, ip, ip address, ipaddress, remote ip";
const CREATOR: &str = "\
    api key id, api token id, apikey id, token id, oauth client id, access token id, created by id, created by user id, \
    creator id, created by user, created by, creator, added by id, imported by id";
const DEVICE: &str = "device id, device fingerprint, browser fingerprint, device uuid, device token";

fn is_text(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::Text | ColumnKind::Other)
}

fn is_word(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::Text | ColumnKind::Other | ColumnKind::Boolean | ColumnKind::Integer)
}

fn is_time(kind: ColumnKind) -> bool {
    matches!(
        kind,
        ColumnKind::Time | ColumnKind::Text | ColumnKind::Integer | ColumnKind::Number | ColumnKind::Other
    )
}

fn is_number(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::Integer | ColumnKind::Number | ColumnKind::Other | ColumnKind::Text)
}

/// Whether a list of names separated by commas holds this one.
fn holds(list: &str, name: &str) -> bool {
    list.split(", ").any(|n| n == name)
}

/// The first column that any of the lists names; earlier entries of earlier lists win.
fn pick(
    table: &Table,
    names: &[String],
    lists: &[&str],
    kinds: fn(ColumnKind) -> bool,
) -> Option<ColumnIndex> {
    let fits = |wanted: &str| {
        names
            .iter()
            .enumerate()
            .find(|(i, n)| n.as_str() == wanted && kinds(table.columns[*i].kind))
            .map(|(i, _)| i)
    };
    lists.iter().find_map(|list| list.split(", ").find_map(fits))
}

fn name_columns(table: &Table, names: &[String]) -> Vec<ColumnIndex> {
    let first = pick(table, names, &[FIRST], is_text);
    let last = pick(table, names, &[LAST], is_text);
    let full = pick(table, names, &[FULL_NAME], is_text);
    match (full, first, last) {
        // A table with a surname beside `name` uses `name` for the first name.
        (Some(full), None, Some(last)) => vec![full, last],
        (Some(full), _, _) => vec![full],
        (None, Some(first), Some(last)) => vec![first, last],
        (None, Some(one), None) | (None, None, Some(one)) => vec![one],
        (None, None, None) => pick(table, names, &[ENTITY_NAME], is_text).into_iter().collect(),
    }
}

const FLAG_WORDS: &str =
    "test, testing, demo, sandbox, fake, dummy, sample, synthetic, seed, seeded, qa, e2e";
const FLAG_FRAME: &str = "\
    is, mode, data, account, tenant, user, organization, org, company, customer, flag, record, \
    workspace, for, only";
const LIVE: &str = "livemode, live mode, is live, is livemode, is production";
const KIND_COLUMNS: &str = "\
    environment, env, mode, stage, account type, tenant type, customer type, organization type, \
    org type, kind, type, category, tenant kind, source, origin, signup source, created by, created via, \
    creation source, created from";
const HOLD: &str = "\
    legal hold, litigation hold, audit hold, retention hold, on legal hold, is legal hold, is on legal hold, \
    legal hold at, legal hold until, hold until, legal hold id, legal hold reason, on hold for audit, do not delete, \
    compliance hold, tax hold, under litigation, under audit, has legal hold";

fn flags(table: &Table, names: &[String]) -> Vec<Flag> {
    let meaning = |i: usize, name: &str| {
        let kind = table.columns[i].kind;
        if is_flag_name(name) && is_word(kind) {
            Some(FlagMeaning::TrueIsTest)
        } else if holds(LIVE, name) && is_word(kind) {
            Some(FlagMeaning::FalseIsTest)
        } else if holds(HOLD, name) {
            Some(FlagMeaning::SetIsHeld)
        } else if holds(KIND_COLUMNS, name) && is_text(kind) {
            Some(FlagMeaning::WordIsTest)
        } else {
            None
        }
    };
    let flag = |(i, name): (usize, &String)| meaning(i, name).map(|meaning| Flag { column: i, meaning });
    names.iter().enumerate().filter_map(flag).collect()
}

/// At least one test word, and nothing but frame words around it: `is_test_account`, not `test_results`.
fn is_flag_name(name: &str) -> bool {
    let mut test_words = 0;
    for word in name.split(' ') {
        if holds(FLAG_WORDS, word) || word == "istest" || word == "isdemo" {
            test_words += 1;
        } else if !holds(FLAG_FRAME, word) {
            return false;
        }
    }
    test_words > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::tests::table;
    use ColumnKind::{Boolean, Integer, Text, Time};

    #[test]
    fn a_prisma_user_gives_all_its_fields() {
        let t = table(
            "User",
            &[
                ("id", Text),
                ("email", Text),
                ("name", Text),
                ("role", Text),
                ("isDemo", Boolean),
                ("createdAt", Time),
                ("lastLogin", Time),
            ],
        );
        let f = fields(&t);
        assert_eq!((f.email, f.name, f.role), (Some(1), vec![2], Some(3)));
        assert_eq!(f.flags, [Flag { column: 4, meaning: FlagMeaning::TrueIsTest }]);
        assert_eq!((f.created_at, f.last_seen), (Some(5), Some(6)));
    }

    #[test]
    fn first_and_last_names_make_one_name() {
        let t = table(
            "auth_user",
            &[
                ("id", Integer),
                ("username", Text),
                ("first_name", Text),
                ("last_name", Text),
                ("date_joined", Time),
            ],
        );
        let f = fields(&t);
        assert_eq!((f.name, f.username, f.created_at), (vec![2, 3], Some(1), Some(4)));
    }

    #[test]
    fn columns_about_tests_are_not_flags() {
        let t = table(
            "users",
            &[("test_results", Boolean), ("demo_seen", Boolean), ("latest", Boolean), ("livemode", Boolean)],
        );
        assert_eq!(fields(&t).flags, [Flag { column: 3, meaning: FlagMeaning::FalseIsTest }]);
    }
}
