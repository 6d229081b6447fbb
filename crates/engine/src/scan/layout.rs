//! Which columns of a table a scan reads, and how a row of them becomes a record.
//!
//! Columns are asked for once each, however many parts they play; positions are looked up when the layout is
//! made, so that a row costs nothing but slicing.
//!
//! Invariants
//! - hashes of a key are the same on both sides of a reference: they depend on the values and on the place of
//!   the referenced columns only;
//! - a key with a null in it has no hash, since it refers to nothing.
//!
//! Not here: what the record is worth (`core::detect`).

use super::clones;
use super::evidence::Evidence;
use super::memberships::Memberships;
use super::tape::wide;
use std::sync::Arc;
use unseed_core::detect::Record;
use unseed_core::detect::record::{FlagValue, Shared};
use unseed_core::detect::time;
use unseed_core::entity::fields::{Flag, FlagMeaning};
use unseed_core::entity::{Entity, Member};
use unseed_core::schema::{ColumnIndex, Schema, Table, TableId};

/// Flag columns of one table that are looked at.
pub(super) const FLAGS_MAX: usize = 6;
/// Room for the flags of a row.
pub(super) const NO_FLAGS: [FlagValue<'static>; FLAGS_MAX] =
    [FlagValue { column: "", value: "", meaning: FlagMeaning::TrueIsTest }; FLAGS_MAX];
/// Characters of a label that are kept.
const LABEL_CHARS_MAX: usize = 80;

/// Position of a column among the columns read.
type Position = usize;

/// Where everything stands in the rows of one table.
#[derive(Debug)]
pub(super) struct Layout {
    pub table: TableId,
    pub entity: Entity,
    pub columns: Vec<ColumnIndex>,
    key: Vec<Position>,
    name: Vec<Position>,
    slug: Option<Position>,
    username: Option<Position>,
    email: Option<Position>,
    phone: Option<Position>,
    role: Option<Position>,
    address: Option<Position>,
    payment: Option<Position>,
    created_at: Option<Position>,
    last_seen: Option<Position>,
    flags: Vec<(Position, String, FlagMeaning)>,
    /// Columns whose values scripts copy from row to row.
    shared: Vec<(Position, Shared)>,
    /// Each set of columns by which evidence or users point at this table.
    own_sets: Vec<KeySet>,
    /// The columns that name the row's tenant, and the set of the tenant's columns they mean.
    tenant: Option<KeySet>,
    /// The row's own key, where a table between users and tenants names the tenant.
    membership: Option<(KeySet, Arc<Memberships>)>,
}

/// Columns that together address a row of some table.
#[derive(Debug)]
struct KeySet {
    positions: Vec<Position>,
    /// The table they address, and its columns.
    target: (TableId, Vec<ColumnIndex>),
}

impl KeySet {
    fn hash(&self, row: &[Option<&str>]) -> Option<u64> {
        key_hash(self.target.0, &self.target.1, self.positions.iter().map(|p| row[*p]))
    }
}

impl Layout {
    /// The layout of a tenant or user table.
    pub(super) fn new(
        schema: &Schema,
        member: &Member,
        evidence: &Evidence,
        memberships: &Arc<Memberships>,
    ) -> Self {
        let table = schema.table(member.table);
        let mut columns = Columns::default();
        let f = &member.fields;
        let all: Vec<ColumnIndex> = (0..table.columns.len()).collect();
        let key_columns = table.key().unwrap_or(&all);
        let mut sets: Vec<Vec<ColumnIndex>> = vec![key_columns.to_vec()];
        for wanted in evidence.parent_columns(member.table).chain(referenced(schema, member.table)) {
            if !sets.contains(&wanted) {
                sets.push(wanted);
            }
        }
        let set = |columns: &mut Columns, own: &[ColumnIndex], target: (TableId, Vec<ColumnIndex>)| KeySet {
            positions: columns.all(own),
            target,
        };
        let flag = |columns: &mut Columns, flag: &Flag| {
            (columns.one(flag.column), table.columns[flag.column].name.clone(), flag.meaning)
        };
        Self {
            table: member.table,
            entity: member.entity,
            key: columns.all(key_columns),
            name: columns.all(&f.name),
            slug: columns.maybe(f.slug),
            username: columns.maybe(f.username),
            email: columns.maybe(f.email),
            phone: columns.maybe(f.phone),
            role: columns.maybe(f.role),
            address: columns.maybe(f.address),
            payment: columns.maybe(f.external_id),
            created_at: columns.maybe(f.created_at),
            last_seen: columns.maybe(f.last_seen),
            flags: holds_first(&f.flags).take(FLAGS_MAX).map(|x| flag(&mut columns, x)).collect(),
            shared: [
                (f.password, Shared::Password),
                (f.phone, Shared::Phone),
                (f.device, Shared::Device),
                (f.ip, Shared::Ip),
                (f.creator, Shared::Creator),
            ]
            .into_iter()
            .filter_map(|(column, what)| Some((columns.one(column?), what)))
            .collect(),
            own_sets: sets.iter().map(|s| set(&mut columns, s, (member.table, s.clone()))).collect(),
            tenant: member
                .links
                .first()
                .map(|l| set(&mut columns, &l.child_columns, (l.parent, l.parent_columns.clone()))),
            membership: memberships
                .columns(member.table)
                .map(|own| (set(&mut columns, own, (member.table, own.to_vec())), Arc::clone(memberships))),
            columns: columns.list,
        }
    }

    /// Names of the key columns.
    pub(super) fn key_columns(&self, table: &Table) -> Arc<[String]> {
        self.key.iter().map(|p| table.columns[self.columns[*p]].name.clone()).collect()
    }

    /// Name of the column that points at the tenant, for people.
    pub(super) fn tenant_column(&self, table: &Table) -> String {
        let name = |set: &KeySet| {
            let columns: Vec<ColumnIndex> = set.positions.iter().map(|p| self.columns[*p]).collect();
            table.column_names(&columns)
        };
        self.tenant.as_ref().map(name).unwrap_or_default()
    }

    /// Joins the parts of the name, when it has several.
    pub(super) fn full_name(&self, row: &[Option<&str>], into: &mut String) {
        into.clear();
        if self.name.len() < 2 {
            return;
        }
        for part in self.name.iter().filter_map(|p| row[*p]) {
            if !into.is_empty() {
                into.push(' ');
            }
            into.push_str(part);
        }
    }

    /// The row as detectors see it.
    pub(super) fn record<'a>(
        &'a self,
        row: &[Option<&'a str>],
        full_name: &'a str,
        flags: &'a mut [FlagValue<'a>; FLAGS_MAX],
    ) -> Record<'a> {
        let text = |p: Option<Position>| p.and_then(|p| row[p]).unwrap_or("");
        let at = |p: Option<Position>| p.and_then(|p| row[p]).and_then(time::parse);
        for (slot, (position, column, meaning)) in flags.iter_mut().zip(&self.flags) {
            *slot = FlagValue { column, value: row[*position].unwrap_or(""), meaning: *meaning };
        }
        let name = match self.name.as_slice() {
            [one] => row[*one].unwrap_or(""),
            [] | [_, ..] => full_name,
        };
        Record {
            entity: self.entity,
            name,
            slug: text(self.slug),
            username: text(self.username),
            email: text(self.email),
            phone: text(self.phone),
            role: text(self.role),
            address: text(self.address),
            payment: text(self.payment),
            password: text(self.secret()),
            flags: &flags[..self.flags.len()],
            created_at: at(self.created_at),
            has_last_seen: self.last_seen.is_some(),
            last_seen: at(self.last_seen),
        }
    }

    /// Appends a hash for each way in which others point at the row; 0 where one of its columns is null.
    pub(super) fn own(&self, row: &[Option<&str>], into: &mut Vec<u64>) {
        into.extend(self.own_sets.iter().map(|set| set.hash(row).unwrap_or(0)));
    }

    /// Appends a hash of each value that scripts copy; 0 where there is none, or where people share it as well.
    pub(super) fn shared(&self, row: &[Option<&str>], into: &mut Vec<u64>) {
        for (position, what) in &self.shared {
            let tells = |text: &&str| match what {
                Shared::Password => clones::is_salted(text),
                Shared::Phone | Shared::Ip | Shared::Device => text.len() >= 7,
                Shared::Creator => !text.is_empty(),
            };
            let value = row[*position].filter(tells);
            into.push(
                value
                    .and_then(|text| key_hash(self.table, &[*position], [Some(text)].into_iter()))
                    .unwrap_or(0),
            );
        }
    }

    /// Where the password hash stands.
    pub(super) fn secret(&self) -> Option<Position> {
        self.shared.iter().find(|(_, what)| *what == Shared::Password).map(|(position, _)| *position)
    }

    /// What they are.
    pub(super) fn shared_kinds(&self) -> impl ExactSizeIterator<Item = Shared> {
        self.shared.iter().map(|(_, what)| *what)
    }

    /// How many such ways there are.
    pub(super) fn own_sets(&self) -> usize {
        self.own_sets.len()
    }

    /// The hash of its tenant's key.
    pub(super) fn tenant(&self, row: &[Option<&str>]) -> Option<u64> {
        let named = self.tenant.as_ref().and_then(|set| set.hash(row));
        named.or_else(|| {
            let (own, memberships) = self.membership.as_ref()?;
            memberships.tenant(self.table, own.hash(row)?)
        })
    }

    /// Whether rows name a tenant.
    pub(super) fn has_tenant(&self) -> bool {
        self.tenant.is_some() || self.membership.is_some()
    }

    /// Whether rows say when they were created.
    pub(super) fn has_time(&self) -> bool {
        self.created_at.is_some()
    }

    /// The key values as text; null, where a table without a key has one, is the empty text.
    pub(super) fn key_values(&self, row: &[Option<&str>]) -> Box<[Box<str>]> {
        self.key.iter().map(|p| Box::from(row[*p].unwrap_or(""))).collect()
    }
}

/// A hold is never left out for want of room.
fn holds_first(flags: &[Flag]) -> impl Iterator<Item = &Flag> {
    let is_hold = |flag: &&Flag| flag.meaning == FlagMeaning::SetIsHeld;
    flags.iter().filter(is_hold).chain(flags.iter().filter(move |flag| !is_hold(flag)))
}

/// Column sets of a table that users or others refer to.
fn referenced(schema: &Schema, table: TableId) -> impl Iterator<Item = Vec<ColumnIndex>> {
    schema.references.iter().filter(move |r| r.parent == table).map(|r| r.parent_columns.clone())
}

/// Columns to read, each once.
#[derive(Debug, Default)]
struct Columns {
    list: Vec<ColumnIndex>,
}

impl Columns {
    fn one(&mut self, column: ColumnIndex) -> Position {
        let known = self.list.iter().position(|c| *c == column);
        known.unwrap_or_else(|| {
            self.list.push(column);
            self.list.len() - 1
        })
    }

    fn all(&mut self, columns: &[ColumnIndex]) -> Vec<Position> {
        columns.iter().map(|c| self.one(*c)).collect()
    }

    fn maybe(&mut self, column: Option<ColumnIndex>) -> Option<Position> {
        column.map(|c| self.one(c))
    }
}

/// A hash of the values that address a row of `table` by `columns`; none if one of them is null. With 64 bits
/// two of a million keys collide once in thirty million scans, and would then share their payments and sessions.
pub(super) fn key_hash<'a>(
    table: TableId,
    columns: &[ColumnIndex],
    values: impl Iterator<Item = Option<&'a str>>,
) -> Option<u64> {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |part: u64| {
        state = (state ^ part).wrapping_mul(ODD);
        state ^= state >> 32;
    };
    for number in std::iter::once(table.0).chain(columns.iter().copied()) {
        eat(wide(number) + 256);
    }
    for value in values {
        let (whole, rest) = value?.as_bytes().as_chunks::<8>();
        whole.iter().for_each(|part| eat(u64::from_le_bytes(*part)));
        let last = rest.iter().fold(0, |part, byte| part << 8 | u64::from(*byte));
        eat(last ^ (wide(whole.len() * 8 + rest.len()) << 56));
    }
    let mixed = (state ^ (state >> 29)).wrapping_mul(ODD);
    Some((mixed ^ (mixed >> 32)).max(1))
}

/// What people know a row by.
pub(super) fn label(record: &Record<'_>, row: &[Option<&str>], layout: &Layout) -> Box<str> {
    let named = [record.name, record.email, record.username, record.slug];
    let text = named.into_iter().find(|t| !t.trim().is_empty());
    let text = text.or_else(|| layout.key.first().and_then(|p| row[*p])).unwrap_or("");
    text.chars()
        .take(LABEL_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .into()
}

/// Whether a column holds days, which say nothing about seconds.
pub(super) fn is_day(table: &Table, column: Option<ColumnIndex>) -> bool {
    column.is_some_and(|c| table.columns[c].type_name.eq_ignore_ascii_case("date"))
}
