//! Weighs blocks of rows, one at a time and knowing nothing of other rows, so that several can do it at once.
//!
//! Invariants
//! - the same block gives the same rows, whoever weighs it;
//! - a batch holds every row of its block, and the values of those that may become findings; of rows that are test data
//!   for the same reasons whatever the whole store says, only the values of the first ones, which are shown.
//!
//! Not here: what rows say together (`gather`).

use super::Explain;
use super::evidence::Evidence;
use super::kept::encode_values;
use super::layout::{self, Layout};
use std::sync::Arc;
use unseed_core::detect::record::FlagValue;
use unseed_core::detect::score::PRIOR;
use unseed_core::detect::{
    Context, Examiner, Reasons, Record, Rules, Stem, Thresholds, cloned, regular, time,
};
use unseed_core::entity::Entity;
use unseed_core::port::scan::Block;

/// What a series can add at most.
pub(super) const SERIES_MAX: f64 = 2.0;
/// What a burst can add at most.
pub(super) const BURST_MAX: f64 = 2.6;
/// What its users can add to a tenant at most.
pub(super) const USERS_MAX: f64 = 3.2;
/// What its tenant can add to a user at most.
pub(super) const TENANT_MAX: f64 = 3.5;
/// What shared values and a steady pace can add at most, to rows for which something else speaks too.
pub(super) const SUPPORT_MAX: f64 = cloned::WEIGHT_MAX + regular::WEIGHT;
/// Log-odds from which something speaks for test data.
const SUPPORTED_FROM: f64 = PRIOR + 0.5;
/// What its users can take from a tenant at most.
pub(super) const USERS_MIN: f64 = -3.5;
/// What its tenant can take from a user at most.
pub(super) const TENANT_MIN: f64 = -2.0;
/// Days between creation and last log-in from which a user counts as a person in regular use.
const PERSON_DAYS_MIN: i64 = 14;
/// Rows that are kept to be shown of those that are test data for certain for the same two reasons.
const SHOWN_MAX: u8 = 16;

/// What weighing a table's rows needs to know.
#[derive(Debug)]
pub(super) struct Ground {
    pub layout: Layout,
    pub evidence: Arc<Evidence>,
    pub rules: Arc<Rules>,
    /// The row whose whole sum is asked for.
    pub explain: Option<Explain>,
    /// Log-odds from which a row is listed.
    pub listed: f64,
    /// What the whole store can add to a row at most, but for a series.
    pub late_max: f64,
    /// What a series can add at most.
    pub series_max: f64,
    /// The larger factor of the signals that only support others.
    pub support_factor: f64,
    /// The log-odds from which a row is test data whatever the whole store says; none where it is not asked.
    pub certain: Option<f64>,
    /// Whether rows have to be found by the hashes of their keys.
    pub is_pointed_at: bool,
    /// Whether users and tenants of this table are compared with each other.
    pub is_linked: bool,
}

/// The log-odds from which a row is called suspect, with a little room for rounding.
pub(super) fn listed_from(thresholds: Thresholds) -> f64 {
    log_odds(thresholds.suspect.min(thresholds.test)) - 1e-6
}

/// The log-odds from which a row is called test, with a little room for rounding.
pub(super) fn test_from(thresholds: Thresholds) -> f64 {
    log_odds(thresholds.test) + 1e-6
}

/// Whether something in a row itself speaks for test data, so that shared values and a steady pace count.
pub(super) fn is_supported(log_odds: f64) -> bool {
    log_odds >= SUPPORTED_FROM
}

/// What shared values and a steady pace can add to a row.
pub(super) fn support_max(log_odds: f64, ground: &Ground) -> f64 {
    if is_supported(log_odds) { SUPPORT_MAX * ground.support_factor } else { 0.0 }
}

fn log_odds(probability: f64) -> f64 {
    (probability / (1.0 - probability)).ln()
}

/// How many rows that are test data for certain were met, by their two strongest reasons, as far as they are shown.
#[derive(Debug)]
pub(super) struct Shown(Box<[u8]>);

impl Default for Shown {
    fn default() -> Self {
        Self(vec![0; usize::from(u16::MAX) + 1].into())
    }
}

impl Shown {
    /// Counts a row; true if it is one of the first, which are shown.
    pub(super) fn takes(&mut self, row: &Row) -> bool {
        let met = &mut self.0[usize::from(u16::from_be_bytes(row.reasons.strongest))];
        let is_shown = *met < SHOWN_MAX;
        *met += u8::from(is_shown);
        is_shown
    }
}

/// One row in numbers.
#[derive(Debug)]
pub(super) struct Row {
    pub log_odds: f64,
    /// What its own fields say, without the prior and, for users, without the mail address.
    pub log_odds_without_mail: f64,
    pub reasons: Reasons,
    pub created_at: Option<i64>,
    pub stem: Option<Stem>,
    pub tenant: Option<u64>,
    pub mail: u64,
    /// Log-ins or sessions over weeks.
    pub is_person: bool,
    /// Its whole sum is asked for.
    pub is_explained: bool,
    /// Bytes of its values; none where it can never be listed.
    pub values: u32,
}

/// The rows of one block.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub rows: Vec<Row>,
    /// Hashes of keys, the same number for each row.
    pub own: Vec<u64>,
    /// Hashes of values that rows may share, the same number for each row.
    pub shared: Vec<u64>,
    pub values: Vec<u8>,
}

/// Weighs one block after the other.
pub(super) struct Weigher {
    ground: Arc<Ground>,
    examiner: Examiner,
    full_name: String,
    shown: Shown,
    /// Lengths of the lists of the last batch; those of the next are about as long.
    lengths: [usize; 4],
}

impl Weigher {
    pub(super) fn new(ground: Arc<Ground>) -> Self {
        let examiner = Examiner::new(Arc::clone(&ground.rules));
        Self { ground, examiner, full_name: String::new(), shown: Shown::default(), lengths: [0; 4] }
    }

    /// Weighs every row of a block.
    pub(super) fn block(&mut self, block: &dyn Block) -> Batch {
        let [rows, own, shared, values] = self.lengths.map(|length| length + length / 8);
        let mut batch = Batch {
            rows: Vec::with_capacity(rows),
            own: Vec::with_capacity(own),
            shared: Vec::with_capacity(shared),
            values: Vec::with_capacity(values),
        };
        let ground = Arc::clone(&self.ground);
        block.visit(&mut |row| self.row(&ground, row, &mut batch));
        self.lengths = [batch.rows.len(), batch.own.len(), batch.shared.len(), batch.values.len()];
        batch
    }

    fn row(&mut self, ground: &Ground, row: &[Option<&str>], batch: &mut Batch) {
        let layout = &ground.layout;
        let mut full_name = std::mem::take(&mut self.full_name);
        layout.full_name(row, &mut full_name);
        let mut flags: [FlagValue<'_>; layout::FLAGS_MAX] = layout::NO_FLAGS;
        let record = layout.record(row, &full_name, &mut flags);
        let before = batch.own.len();
        if ground.is_pointed_at {
            layout.own(row, &mut batch.own);
        }
        layout.shared(row, &mut batch.shared);
        let tenant = layout.tenant(row);
        let context = ground.context(&batch.own[before..], tenant);
        let weighed = self.examiner.weigh(&record, &context);
        let stem = self.examiner.stem();
        let mut made = Row {
            log_odds: weighed.score.log_odds,
            log_odds_without_mail: weighed.score.log_odds,
            reasons: weighed.reasons,
            created_at: record.created_at,
            stem,
            tenant,
            mail: 0,
            is_person: false,
            is_explained: ground.explain.as_ref().is_some_and(|asked| asked.is(&layout.key_values(row))),
            values: 0,
        };
        if ground.is_linked {
            self.link(&record, &context, &mut made);
        }
        let series = if stem.is_some() { ground.series_max } else { 0.0 };
        let series = series + support_max(made.log_odds, ground);
        let may_be_listed = made.log_odds + ground.late_max + series >= ground.listed;
        if made.is_explained || may_be_listed && self.is_wanted(ground, &made) {
            let before = batch.values.len();
            encode_values(row, layout.secret(), &mut batch.values);
            made.values = u32::try_from(batch.values.len() - before).expect("a row is smaller than 4 GiB");
        }
        batch.rows.push(made);
        self.full_name = full_name;
    }

    /// Whether anybody will look at the values of a row that may be listed: of those that are test data for certain, and
    /// for the same reasons, only the first are shown. Rows that point at others may turn out to be orphans.
    fn is_wanted(&mut self, ground: &Ground, row: &Row) -> bool {
        ground.is_linked || !ground.is_certain(row) || self.shown.takes(row)
    }

    /// What tenants and users are compared by.
    fn link(&self, record: &Record<'_>, context: &Context, row: &mut Row) {
        row.mail = mail_hash(record.email);
        if record.entity == Entity::User {
            row.is_person = is_person(record, context);
            row.log_odds_without_mail = self.examiner.score_without_mail().log_odds;
        }
    }
}

impl Ground {
    /// Whether a row is test data whatever the whole store says, unless it is an orphan or its whole sum is asked for.
    pub(super) fn is_certain(&self, row: &Row) -> bool {
        !row.is_explained && self.certain.is_some_and(|least| row.log_odds >= least)
    }

    /// What is known of a row before the whole store is.
    pub(super) fn context(&self, own: &[u64], tenant: Option<u64>) -> Context {
        let (money, activity) = self.evidence.of(&self.layout, own);
        let vouching_rows = self.evidence.inbound.rows(own);
        Context { money, activity, vouching_rows, belongs: tenant.is_some(), ..Context::default() }
    }
}

/// Log-ins or sessions over weeks.
fn is_person(record: &Record<'_>, context: &Context) -> bool {
    let used = context.activity.is_some_and(|a| a.days >= 4 && a.span_s / time::DAY_S >= PERSON_DAYS_MIN);
    let seen = record.last_seen.zip(record.created_at).map(|(seen, created)| (seen - created) / time::DAY_S);
    used || seen.is_some_and(|days| days >= PERSON_DAYS_MIN)
}

/// Hash of an address without regard to case; 0 for none.
fn mail_hash(address: &str) -> u64 {
    address.bytes().fold(0, |state: u64, b| {
        (state ^ u64::from(b.to_ascii_lowercase())).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}
