//! What payments, invoices, subscriptions and sessions say about the tenants and users they belong to.
//!
//! One grouped count per table and link, made by the store. Only the sums are kept, by the hash of the key that
//! the rows point at.
//!
//! Invariants
//! - a tenant or user without any row has zero counts, not none, once its kind of evidence exists;
//! - a row that points at both a tenant and a user counts once for each.
//!
//! Not here: how many days make a difference (`core::detect::active`, `idle`, `paid`).

use super::inbound::Inbound;
use super::layout::{Layout, key_hash};
use std::collections::HashMap;
use unseed_core::detect::record::{Activity, Money};
use unseed_core::detect::time;
use unseed_core::entity::fields::FlagMeaning;
use unseed_core::entity::{Entity, Link, Map, Member};
use unseed_core::fault::Fault;
use unseed_core::port::progress::Progress;
use unseed_core::port::scan::{PaidWhen, ScanSource, Tally, TallyRequest};
use unseed_core::schema::{ColumnIndex, Schema, TableId};

/// All evidence of a store.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub sources: Vec<Source>,
    /// References from rows of protected tenants.
    pub inbound: Inbound,
}

/// One table seen through one link.
#[derive(Debug)]
pub(super) struct Source {
    pub table: TableId,
    pub entity: Entity,
    pub rows: u64,
    /// The rows it points at.
    pub parent: TableId,
    pub parent_columns: Vec<ColumnIndex>,
    has_time: bool,
    counts: HashMap<u64, Counts>,
}

/// Sums of one group.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub rows: u32,
    marked: u32,
    paid: u32,
    days: u32,
    span_s: i64,
    hours: u32,
}

/// Asks the store for every table that is evidence.
pub(super) async fn collect(
    source: &mut dyn ScanSource,
    schema: &Schema,
    map: &Map,
    progress: &dyn Progress,
) -> Result<Evidence, Fault> {
    let mut evidence = Evidence::default();
    for entity in [Entity::Payment, Entity::Invoice, Entity::Subscription, Entity::Session] {
        for member in map.of(entity) {
            progress.update(&format!("counting {}", schema.table(member.table).name), 0, None);
            for link in links(member, map) {
                evidence.sources.push(tally(source, schema, member, link).await?);
            }
        }
    }
    Ok(evidence)
}

/// Sessions are counted per user where users have a tenant to pass them on to; counting a large table twice
/// would say nothing more.
fn links<'a>(member: &'a Member, map: &'a Map) -> impl Iterator<Item = &'a Link> {
    let entity = |link: &Link| map.member(link.parent).map(|m| m.entity);
    let by_user =
        member.entity == Entity::Session && member.links.iter().any(|l| entity(l) == Some(Entity::User));
    member.links.iter().filter(move |l| !by_user || entity(l) == Some(Entity::User))
}

async fn tally(
    source: &mut dyn ScanSource,
    schema: &Schema,
    member: &Member,
    link: &Link,
) -> Result<Source, Fault> {
    let request = TallyRequest {
        table: member.table,
        by: link.child_columns.clone(),
        time: member.fields.created_at,
        paid: paid_when(member),
        within: None,
    };
    let mut counts: HashMap<u64, Counts> = HashMap::new();
    let mut visit = |tally: &Tally<'_>| {
        if let Some(hash) = key_hash(link.parent, &link.parent_columns, tally.key.iter().copied()) {
            counts.insert(hash, Counts::of(tally));
        }
    };
    let rows = source.tally(schema, &request, &mut visit).await?;
    Ok(Source {
        table: member.table,
        entity: member.entity,
        rows,
        parent: link.parent,
        parent_columns: link.parent_columns.clone(),
        has_time: member.fields.created_at.is_some(),
        counts,
    })
}

/// Sessions are no money, whatever their columns are called.
fn paid_when(member: &Member) -> PaidWhen {
    let f = &member.fields;
    if member.entity == Entity::Session {
        return PaidWhen::default();
    }
    let live = f.flags.iter().find(|flag| flag.meaning == FlagMeaning::FalseIsTest);
    PaidWhen {
        external_id: f.external_id,
        live_flag: live.map(|flag| flag.column),
        amount: f.amount,
        status: f.status,
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Counts {
    fn of(tally: &Tally<'_>) -> Self {
        let at = |text: Option<&str>| text.and_then(time::parse);
        let span_s = at(tally.last).zip(at(tally.first)).map_or(0, |(last, first)| last - first);
        Self {
            rows: narrow(tally.rows),
            marked: narrow(tally.marked),
            paid: narrow(tally.paid),
            days: narrow(tally.days),
            span_s,
            hours: tally.hours,
        }
    }
}

impl Evidence {
    /// Whether anything points at a table.
    pub(super) fn is_about(&self, table: TableId) -> bool {
        self.sources.iter().any(|s| s.parent == table) || self.inbound.is_about(table)
    }

    /// Column sets by which evidence points at a table.
    pub(super) fn parent_columns(&self, table: TableId) -> impl Iterator<Item = Vec<ColumnIndex>> {
        self.sources.iter().filter(move |s| s.parent == table).map(|s| s.parent_columns.clone())
    }

    /// Money and activity of a row, by the hashes of its keys.
    pub(super) fn of(&self, layout: &Layout, own: &[u64]) -> (Option<Money>, Option<Activity>) {
        let (mut money, mut activity) = (None, None);
        for source in self.sources.iter().filter(|s| s.parent == layout.table) {
            let counts = source.counts_of(own);
            match source.entity {
                Entity::Payment | Entity::Invoice | Entity::Subscription => {
                    let money = money.get_or_insert_with(Money::default);
                    money.marked += u64::from(counts.marked);
                    money.paid += u64::from(counts.paid);
                }
                Entity::Session => {
                    let activity = activity.get_or_insert_with(Activity::default);
                    add_activity(activity, counts);
                    // Payments follow the clocks of machines.
                    activity.hours |= counts.hours;
                }
                Entity::Tenant | Entity::User | Entity::Other => {}
            }
            if source.has_time && counts.paid > 0 {
                add_activity(activity.get_or_insert_with(Activity::default), counts);
            }
        }
        (money, activity)
    }
}

fn add_activity(activity: &mut Activity, counts: Counts) {
    activity.rows += u64::from(counts.rows);
    activity.days = activity.days.max(u64::from(counts.days));
    activity.span_s = activity.span_s.max(counts.span_s);
}

impl Source {
    /// The counts of a row, by whichever of its keys this table uses.
    pub(super) fn counts_of(&self, own: &[u64]) -> Counts {
        own.iter().find_map(|hash| self.counts.get(hash)).copied().unwrap_or_default()
    }
}
