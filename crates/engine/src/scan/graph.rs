//! Tenants and their users: what each says about the other.
//!
//! Tenants stream first and leave their preliminary log-odds; users stream next, add themselves to their
//! tenant's sum, and learn at once whether their tenant exists. When all are read, a tenant's sum is final.
//!
//! Invariants
//! - a user's mail address that is also its tenant's counts once: its mail signals are left out of the sum;
//! - a user is an orphan only if tenants were read and its key names none of them.
//!
//! Not here: weights (`core::detect::members`, `owner`).

use super::layout::{Layout, Slots};
use std::collections::HashMap;
use unseed_core::detect::record::Members;
use unseed_core::detect::{Context, Group, Record, Score, Signal, Thresholds, Verdict, score, time};
use unseed_core::entity::Entity;

/// What later signals can add at most: a tenant by its users, a user by its tenant, each with a series.
const LATE_MAX: f64 = 5.7;
/// What a series can add at most.
const SERIES_MAX: f64 = 2.0;
/// Evidence (log-odds without the prior) from which a user looks like test data on its own.
const TEST_LIKE: f64 = 3.0;
/// Evidence of one user that counts in its tenant's mean, so that no single one decides.
const EVIDENCE_CLAMP: (f64, f64) = (-3.0, 7.0);
/// Days between creation and last log-in from which a user counts as a person in regular use.
const PERSON_DAYS_MIN: i64 = 14;

/// All tenants by the hashes of their keys.
#[derive(Debug)]
pub(super) struct Graph {
    /// Index into `tenants` by key hash.
    index: HashMap<u64, usize>,
    tenants: Vec<Tenant>,
    /// Tables whose rows are all in `index`.
    read: Vec<bool>,
}

/// A tenant in few numbers.
#[derive(Debug, Clone, Copy)]
struct Tenant {
    log_odds: f64,
    mail: u64,
    users: u32,
    test_like: u32,
    people: u32,
    evidence: f64,
}

impl Graph {
    /// An empty graph over so many tables.
    pub(super) fn new(tables: usize) -> Self {
        Self { index: HashMap::new(), tenants: Vec::new(), read: vec![false; tables] }
    }

    /// Takes a row in; true if it names a tenant that does not exist.
    pub(super) fn enter(
        &mut self,
        layout: &Layout,
        slots: &Slots,
        record: &Record<'_>,
        context: &Context,
        weighed: (&[Signal], Score),
    ) -> bool {
        let (signals, score) = weighed;
        match layout.entity {
            Entity::Tenant => {
                self.enter_tenant(layout, slots, record, score);
                false
            }
            Entity::User => {
                let person = is_person(record, context);
                self.enter_user(slots, record, person, signals, score)
            }
            Entity::Session | Entity::Payment | Entity::Invoice | Entity::Subscription | Entity::Other => {
                false
            }
        }
    }

    fn enter_tenant(&mut self, layout: &Layout, slots: &Slots, record: &Record<'_>, score: Score) {
        self.read[layout.table.0] = true;
        let tenant = Tenant {
            log_odds: score.log_odds,
            mail: mail_hash(record.email),
            users: 0,
            test_like: 0,
            people: 0,
            evidence: 0.0,
        };
        for hash in slots.own.iter().filter(|h| **h != 0) {
            self.index.insert(*hash, self.tenants.len());
        }
        self.tenants.push(tenant);
    }

    fn enter_user(
        &mut self,
        slots: &Slots,
        record: &Record<'_>,
        person: bool,
        signals: &[Signal],
        score: Score,
    ) -> bool {
        let Some(hash) = slots.tenant else { return false };
        let Some(place) = self.index.get(&hash) else {
            return self.read.contains(&true);
        };
        let tenant = &mut self.tenants[*place];
        let shared = tenant.mail != 0 && tenant.mail == mail_hash(record.email);
        let evidence = if shared { without_mail(signals).evidence() } else { score.evidence() };
        tenant.users = tenant.users.saturating_add(1);
        tenant.test_like += u32::from(evidence >= TEST_LIKE);
        tenant.people += u32::from(evidence < TEST_LIKE && person);
        tenant.evidence += evidence.clamp(EVIDENCE_CLAMP.0, EVIDENCE_CLAMP.1);
        false
    }

    /// Whether a row can still reach a verdict that is listed.
    pub(super) fn may_become_finding(
        &self,
        entity: Entity,
        slots: &Slots,
        score: Score,
        thresholds: Thresholds,
    ) -> bool {
        let owner = slots.tenant.and_then(|hash| self.index.get(&hash)).map(|i| self.tenants[*i].log_odds);
        let late = match (entity, owner) {
            (Entity::Tenant, _) => LATE_MAX,
            // Even all its users cannot lift a tenant so far.
            (_, Some(log_odds)) if log_odds + LATE_MAX > 0.0 => LATE_MAX,
            (_, Some(_) | None) => SERIES_MAX,
        };
        thresholds.verdict(Score { log_odds: score.log_odds + late }) != Verdict::Real
    }

    /// The users of a tenant, taken together.
    pub(super) fn members(&self, own: &[u64]) -> Option<Members> {
        let tenant = own.iter().find_map(|hash| self.index.get(hash)).map(|i| &self.tenants[*i])?;
        let users = u64::from(tenant.users);
        (users > 0).then(|| Members {
            users,
            test_like: u64::from(tenant.test_like),
            people: u64::from(tenant.people),
            evidence_mean: tenant.evidence / f64::from(tenant.users),
        })
    }

    /// Replaces a tenant's preliminary log-odds.
    pub(super) fn settle(&mut self, own: &[u64], score: Score) {
        if let Some(place) = own.iter().find_map(|hash| self.index.get(hash)) {
            self.tenants[*place].log_odds = score.log_odds;
        }
    }

    /// Log-odds of the tenant that a user belongs to.
    pub(super) fn owner(&self, tenant: Option<u64>) -> Option<f64> {
        tenant.and_then(|hash| self.index.get(&hash)).map(|i| self.tenants[*i].log_odds)
    }
}

fn without_mail(signals: &[Signal]) -> Score {
    let own: Vec<Signal> = signals
        .iter()
        .filter(|s| !matches!(s.group, Group::MailLocal | Group::MailDomain))
        .cloned()
        .collect();
    score::sum(&own)
}

/// Log-ins or sessions over weeks.
fn is_person(record: &Record<'_>, context: &Context) -> bool {
    let used = context.activity.is_some_and(|a| a.days >= 4 && a.span_s / time::DAY_S >= PERSON_DAYS_MIN);
    used || seen_over_weeks(record)
}

fn seen_over_weeks(record: &Record<'_>) -> bool {
    let span = record.last_seen.zip(record.created_at).map(|(seen, created)| (seen - created) / time::DAY_S);
    span.is_some_and(|days| days >= PERSON_DAYS_MIN)
}

/// Hash of an address without regard to case; 0 for none.
fn mail_hash(address: &str) -> u64 {
    address.bytes().fold(0, |state: u64, b| {
        (state ^ u64::from(b.to_ascii_lowercase())).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}
