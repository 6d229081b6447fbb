//! When a purge waits for others between two batches, and when it gives up waiting.
//!
//! Invariants
//! - it fails closed: what is configured and cannot be read counts as "wait", and after a bounded time as "stop";
//! - a pause earns no credit: however long a run has waited, it goes on at its rate;
//! - one reason at a time: what is told is what would have to end first.
//!
//! Not here: measuring (`io::store`), waiting (`engine::pace`), which minute it is (`port::clock`).

mod window;

pub use window::Window;

use std::fmt;

/// Pause between two looks at the store, in milliseconds.
pub const PROBE_EVERY_MS: u64 = 100;
/// How long a run waits for others where nothing is said: an hour.
const WAIT_MS_MAX: u64 = 3_600_000;
/// How long probes may fail where nothing is said.
const FAILING_MS_MAX: u64 = 30_000;
/// How long one probe may take where nothing is said.
const PROBE_MS_MAX: u64 = 1_000;

/// What is measured, each with the most that is acceptable.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    pub replication_lag_ms: Option<u64>,
    /// Sessions of others that run a statement.
    pub active_sessions: Option<u64>,
    /// Sessions of others that wait for a lock.
    pub lock_waits: Option<u64>,
    pub wal_bytes_per_second: Option<u64>,
    /// The number that the query of the configuration returns.
    pub query: Option<f64>,
}

/// `[throttle]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Throttle {
    /// Above these the run waits.
    pub wait_above: Limits,
    /// Above these it stops at once.
    pub stop_above: Limits,
    pub query: Option<String>,
    /// Outside of it the run waits, for as long as it takes.
    pub window: Option<Window>,
    pub rows_per_second: Option<u64>,
    /// Whether the next batch is read while one is removed.
    pub archives_ahead: bool,
    /// Longest wait in a row for what is measured.
    pub wait_ms_max: u64,
    /// Longest time in a row in which nothing can be measured.
    pub failing_ms_max: u64,
    /// Longest time that one probe may take.
    pub probe_ms_max: u64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            wait_above: Limits::default(),
            stop_above: Limits::default(),
            query: None,
            window: None,
            rows_per_second: None,
            archives_ahead: true,
            wait_ms_max: WAIT_MS_MAX,
            failing_ms_max: FAILING_MS_MAX,
            probe_ms_max: PROBE_MS_MAX,
        }
    }
}

impl Throttle {
    /// Keys of the configuration that need a look at the store.
    pub fn measured(&self) -> Vec<&'static str> {
        let all = [&self.wait_above, &self.stop_above];
        let set = |is: fn(&Limits) -> bool| all.iter().any(|limits| is(limits));
        [
            ("replication_lag_max", set(|l| l.replication_lag_ms.is_some())),
            ("active_sessions_max", set(|l| l.active_sessions.is_some())),
            ("lock_waits_max", set(|l| l.lock_waits.is_some())),
            ("wal_mb_per_second_max", set(|l| l.wal_bytes_per_second.is_some())),
            ("query", self.query.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, is_set)| is_set.then_some(key))
        .collect()
    }

    /// What it asks of a store that follows from another one: all that is measured but the query, which is about the other.
    #[must_use]
    pub fn of_follower(&self) -> Self {
        let limits = |limits: Limits| Limits { query: None, ..limits };
        Self {
            wait_above: limits(self.wait_above),
            stop_above: limits(self.stop_above),
            query: None,
            window: None,
            rows_per_second: None,
            ..*self
        }
    }

    /// Rows of one batch, so that a rate holds for every second and not only on average.
    pub fn batch_rows_max(&self, planned: u64) -> u64 {
        self.rows_per_second.map_or(planned, |rate| planned.min(rate)).max(1)
    }
}

/// How far the slowest replica is behind, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    Known(u64),
    /// It has not come yet to where the primary was when it was first looked at.
    AtLeast(u64),
}

/// One look at the store; what was not asked for is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Readings {
    pub replication_lag: Option<Lag>,
    pub active_sessions: Option<u64>,
    pub lock_waits: Option<u64>,
    pub wal_bytes_per_second: Option<u64>,
    pub query: Option<f64>,
}

/// What the last look at the store came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Sensed {
    /// Nothing has to be measured.
    Unasked,
    Read(Readings),
    /// In words why not.
    Failed(String),
}

/// Whether the window is open, by the clock of its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    Open,
    /// It is this minute of the day there.
    Closed {
        minute: u16,
    },
    /// Nobody can say what time it is there.
    Unknown,
}

/// Why a run waits; the words of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    Probe,
    ReplicationLag,
    ActiveSessions,
    LockWaits,
    WalRate,
    Query,
    Window,
    RowRate,
}

impl Cause {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::ReplicationLag => "replication_lag",
            Self::ActiveSessions => "active_sessions",
            Self::LockWaits => "lock_waits",
            Self::WalRate => "wal_rate",
            Self::Query => "query",
            Self::Window => "window",
            Self::RowRate => "row_rate",
        }
    }
}

/// One reason, with its figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub cause: Cause,
    pub says: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

/// What to do before the next batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Go,
    Wait(Reason),
    /// End the run, resumable.
    Stop(Reason),
}

/// Decides between batches, and remembers for how long it has said no.
#[derive(Debug, Clone, Default)]
pub struct Governor {
    throttle: Throttle,
    failing_since_ms: Option<u64>,
    above_since_ms: Option<u64>,
    /// Before this moment the next batch would be above the rate.
    due_ms: u64,
}

impl Governor {
    /// For one run.
    pub fn new(throttle: Throttle) -> Self {
        Self { throttle, failing_since_ms: None, above_since_ms: None, due_ms: 0 }
    }

    /// The configuration it decides by.
    pub fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// Decides at a moment of a clock that never goes back.
    pub fn decide(&mut self, now_ms: u64, sensed: &Sensed, opening: Opening) -> Decision {
        let above = match self.judge(sensed, opening) {
            Ok(above) => above,
            Err(why) => return self.failing(now_ms, why),
        };
        self.failing_since_ms = None;
        match above {
            Some((reason, true)) => return Decision::Stop(reason),
            Some((reason, false)) => return self.above(now_ms, reason),
            None => self.above_since_ms = None,
        }
        if let (Some(window), Opening::Closed { minute }) = (&self.throttle.window, opening) {
            let says = format!("outside of the window {window}, it is {} there", window::clock(minute));
            return Decision::Wait(Reason { cause: Cause::Window, says });
        }
        if let Some(rate) = self.throttle.rows_per_second.filter(|_| now_ms < self.due_ms) {
            let says = format!("{rate} rows per second are reached");
            return Decision::Wait(Reason { cause: Cause::RowRate, says });
        }
        Decision::Go
    }

    /// Notes a batch that began at `begun_ms`.
    pub fn removed(&mut self, begun_ms: u64, rows: u64) {
        if let Some(rate) = self.throttle.rows_per_second {
            self.due_ms = self.due_ms.max(begun_ms) + rows.saturating_mul(1_000) / rate.max(1);
        }
    }

    /// Milliseconds until the rate allows the next batch.
    pub fn due_in_ms(&self, now_ms: u64) -> u64 {
        self.due_ms.saturating_sub(now_ms)
    }

    /// What is above a limit, and whether above the one that stops; an error where something is not known.
    fn judge(&self, sensed: &Sensed, opening: Opening) -> Result<Option<(Reason, bool)>, String> {
        if self.throttle.window.is_some() && opening == Opening::Unknown {
            return Err("the time in the zone of the window is not known".to_owned());
        }
        let readings = match sensed {
            Sensed::Failed(why) => return Err(why.clone()),
            Sensed::Read(readings) => *readings,
            Sensed::Unasked if self.throttle.measured().is_empty() => return Ok(None),
            Sensed::Unasked => return Err("nothing was measured".to_owned()),
        };
        let (wait, stop) = (&self.throttle.wait_above, &self.throttle.stop_above);
        let found = [
            lag((wait.replication_lag_ms, stop.replication_lag_ms), readings.replication_lag)?,
            count(
                (Cause::ActiveSessions, "active sessions"),
                (wait.active_sessions, stop.active_sessions),
                readings.active_sessions,
            )?,
            count(
                (Cause::LockWaits, "sessions that wait for locks"),
                (wait.lock_waits, stop.lock_waits),
                readings.lock_waits,
            )?,
            wal((wait.wal_bytes_per_second, stop.wal_bytes_per_second), readings.wal_bytes_per_second)?,
            query((wait.query, stop.query), readings.query)?,
        ];
        let mut found: Vec<(Reason, bool)> = found.into_iter().flatten().collect();
        let worst = found.iter().position(|(_, stops)| *stops).unwrap_or(0);
        Ok((!found.is_empty()).then(|| found.swap_remove(worst)))
    }

    fn failing(&mut self, now_ms: u64, why: String) -> Decision {
        let since = *self.failing_since_ms.get_or_insert(now_ms);
        let reason = |says| Reason { cause: Cause::Probe, says };
        let took = now_ms.saturating_sub(since);
        if took >= self.throttle.failing_ms_max {
            return Decision::Stop(reason(format!(
                "whether it may go on could not be told for {}: {why}",
                spelled(took)
            )));
        }
        Decision::Wait(reason(why))
    }

    fn above(&mut self, now_ms: u64, reason: Reason) -> Decision {
        let since = *self.above_since_ms.get_or_insert(now_ms);
        let took = now_ms.saturating_sub(since);
        if took < self.throttle.wait_ms_max {
            return Decision::Wait(reason);
        }
        let says = format!("waited {} in vain: {reason}", spelled(took));
        Decision::Stop(Reason { says, ..reason })
    }
}

/// The limits of one thing: above the first wait, above the second stop.
type Pair<T> = (Option<T>, Option<T>);
type Found = Result<Option<(Reason, bool)>, String>;

/// The limit that is broken, and whether it is the one that stops.
fn broken<T: PartialOrd + Copy>((wait, stop): Pair<T>, value: T) -> Option<(T, bool)> {
    let over = |limit: &T| value > *limit;
    stop.filter(over).map(|limit| (limit, true)).or_else(|| wait.filter(over).map(|limit| (limit, false)))
}

fn is_unset<T>((wait, stop): &Pair<T>) -> bool {
    wait.is_none() && stop.is_none()
}

fn critical(stops: bool) -> &'static str {
    if stops { ", the critical limit" } else { "" }
}

fn lag(limits: Pair<u64>, lag: Option<Lag>) -> Found {
    if is_unset(&limits) {
        return Ok(None);
    }
    let cause = Cause::ReplicationLag;
    match lag {
        None => Err("the replication lag was not measured".to_owned()),
        Some(Lag::Known(ms)) => Ok(broken(limits, ms).map(|(limit, stops)| {
            let (ms, limit) = (spelled(ms), spelled(limit));
            (Reason { cause, says: format!("replication lag {ms} > {limit}{}", critical(stops)) }, stops)
        })),
        // Not known yet is above every limit that waits; what is known of it may be above the other one too.
        Some(Lag::AtLeast(ms)) => {
            let over = limits.1.filter(|limit| ms > *limit);
            let than = over.map(|limit| format!(" > {}{}", spelled(limit), critical(true)));
            let says = format!("replication lag at least {}{}", spelled(ms), than.unwrap_or_default());
            Ok(Some((Reason { cause, says }, over.is_some())))
        }
    }
}

fn count((cause, what): (Cause, &str), limits: Pair<u64>, value: Option<u64>) -> Found {
    if is_unset(&limits) {
        return Ok(None);
    }
    let value = value.ok_or_else(|| format!("{what} were not counted"))?;
    Ok(broken(limits, value).map(|(limit, stops)| {
        (Reason { cause, says: format!("{what}: {value} > {limit}{}", critical(stops)) }, stops)
    }))
}

fn wal(limits: Pair<u64>, value: Option<u64>) -> Found {
    if is_unset(&limits) {
        return Ok(None);
    }
    let value = value.ok_or("the WAL rate is not known yet")?;
    Ok(broken(limits, value).map(|(limit, stops)| {
        let (value, limit) = (megabytes(value), megabytes(limit));
        let says = format!("WAL rate {value} MB/s > {limit} MB/s{}", critical(stops));
        (Reason { cause: Cause::WalRate, says }, stops)
    }))
}

fn query(limits: Pair<f64>, value: Option<f64>) -> Found {
    if is_unset(&limits) {
        return Ok(None);
    }
    let value = value.filter(|value| value.is_finite()).ok_or("the throttle query returned no number")?;
    Ok(broken(limits, value).map(|(limit, stops)| {
        let says = format!("the throttle query returned {value} > {limit}{}", critical(stops));
        (Reason { cause: Cause::Query, says }, stops)
    }))
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Milliseconds for people: `250 ms`, `12 s`, `3 min`.
pub fn spelled(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 if ms % 1_000 >= 100 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        1_000..120_000 => format!("{} s", ms / 1_000),
        _ => format!("{} min", ms / 60_000),
    }
}

#[cfg(test)]
#[path = "throttle/tests.rs"]
mod tests;
