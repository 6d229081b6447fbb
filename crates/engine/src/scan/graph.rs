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

use super::layout::Layout;
use super::weigher::{BURST_MAX, Ground, Row, SERIES_MAX, SUPPORT_MAX, TENANT_MAX, USERS_MAX, support_max};
use std::collections::HashMap;
use unseed_core::detect::record::Members;
use unseed_core::detect::score::PRIOR;
use unseed_core::entity::Entity;

/// What can still be added to a tenant's log-odds when its users begin to be read.
const TENANT_LATE_MAX: f64 = USERS_MAX + SERIES_MAX + BURST_MAX + SUPPORT_MAX;
/// Evidence (log-odds without the prior) from which a user looks like test data on its own.
const TEST_LIKE: f64 = 3.0;
/// Evidence of one user that counts in its tenant's mean, so that no single one decides.
const EVIDENCE_CLAMP: (f64, f64) = (-3.0, 7.0);

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
    /// Whether it is test data for certain, and how many of its users are.
    is_certain: bool,
    certain_users: u32,
}

impl Graph {
    /// An empty graph over so many tables.
    pub(super) fn new(tables: usize) -> Self {
        Self { index: HashMap::new(), tenants: Vec::new(), read: vec![false; tables] }
    }

    /// Takes a row in; true if it names a tenant that does not exist.
    pub(super) fn enter(&mut self, layout: &Layout, row: &Row, own: &[u64]) -> bool {
        match layout.entity {
            Entity::Tenant => {
                self.enter_tenant(layout, row, own);
                false
            }
            Entity::User => self.enter_user(row),
            Entity::Session | Entity::Payment | Entity::Invoice | Entity::Subscription | Entity::Other => {
                false
            }
        }
    }

    fn enter_tenant(&mut self, layout: &Layout, row: &Row, own: &[u64]) {
        self.read[layout.table.0] = true;
        let tenant = Tenant {
            log_odds: row.log_odds,
            mail: row.mail,
            users: 0,
            test_like: 0,
            people: 0,
            evidence: 0.0,
            is_certain: false,
            certain_users: 0,
        };
        for hash in own.iter().filter(|h| **h != 0) {
            self.index.insert(*hash, self.tenants.len());
        }
        self.tenants.push(tenant);
    }

    fn enter_user(&mut self, row: &Row) -> bool {
        let Some(hash) = row.tenant else { return false };
        let Some(place) = self.index.get(&hash) else {
            return self.read.contains(&true);
        };
        let tenant = &mut self.tenants[*place];
        let shared = tenant.mail != 0 && tenant.mail == row.mail;
        let evidence = if shared { row.log_odds_without_mail } else { row.log_odds } - PRIOR;
        tenant.users = tenant.users.saturating_add(1);
        tenant.test_like += u32::from(evidence >= TEST_LIKE);
        tenant.people += u32::from(evidence < TEST_LIKE && row.is_person);
        tenant.evidence += evidence.clamp(EVIDENCE_CLAMP.0, EVIDENCE_CLAMP.1);
        false
    }

    /// Whether a row can still reach a verdict that is listed, now that its tenant has been read.
    pub(super) fn may_be_listed(&self, ground: &Ground, row: &Row, orphan: bool) -> bool {
        if orphan || ground.layout.entity != Entity::User {
            return true;
        }
        let series = if row.stem.is_some() { ground.series_max } else { 0.0 };
        let series = series + support_max(row.log_odds, ground);
        let tenant_max = TENANT_MAX * ground.rules.factor(Entity::User, "graph.tenant");
        let alone = ground.late_max - if ground.is_linked { tenant_max } else { 0.0 } + series;
        // A tenant that stays real whatever its users say adds nothing; factors may lift what they say.
        let lifted = !ground.rules.factors.is_empty();
        let tenant = self.owner(row.tenant).filter(|log_odds| lifted || log_odds + TENANT_LATE_MAX >= 0.0);
        row.log_odds + alone + tenant.map_or(0.0, |_| tenant_max) >= ground.listed
    }

    /// Marks a row that was entered as test data for certain.
    pub(super) fn mark_certain(&mut self, row: &Row, own: &[u64]) {
        let own = own.iter().find_map(|hash| self.index.get(hash));
        if let Some(place) = own {
            self.tenants[*place].is_certain = true;
        }
        let owner = row.tenant.and_then(|hash| self.index.get(&hash));
        if let Some(place) = owner {
            self.tenants[*place].certain_users += 1;
        }
    }

    /// Of each tenant: its users if it is test data for certain; its log-odds, and how many of its users are.
    pub(super) fn certain(&self) -> impl Iterator<Item = (Option<Members>, f64, u64)> {
        let marked = self.tenants.iter().filter(|t| t.is_certain || t.certain_users > 0);
        marked.map(|t| (t.members().filter(|_| t.is_certain), t.log_odds, u64::from(t.certain_users)))
    }

    /// The users of a tenant, taken together.
    pub(super) fn members(&self, own: &[u64]) -> Option<Members> {
        own.iter().find_map(|hash| self.index.get(hash)).and_then(|i| self.tenants[*i].members())
    }

    /// Replaces a tenant's preliminary log-odds.
    pub(super) fn settle(&mut self, own: &[u64], log_odds: f64) {
        if let Some(place) = own.iter().find_map(|hash| self.index.get(hash)) {
            self.tenants[*place].log_odds = log_odds;
        }
    }

    /// Log-odds of the tenant that a user belongs to.
    pub(super) fn owner(&self, tenant: Option<u64>) -> Option<f64> {
        tenant.and_then(|hash| self.index.get(&hash)).map(|i| self.tenants[*i].log_odds)
    }
}

impl Tenant {
    fn members(&self) -> Option<Members> {
        (self.users > 0).then(|| Members {
            users: u64::from(self.users),
            test_like: u64::from(self.test_like),
            people: u64::from(self.people),
            evidence_mean: self.evidence / f64::from(self.users),
        })
    }
}
