//! How busy the server is, over a connection of its own that only reads.
//!
//! The lag of a replica is measured, not asked for: the place where the primary's log ended is remembered at every
//! look, and a replica is as far behind as the time since the primary was where the replica is now. A replica whose
//! replay stands still, or which tells nothing, therefore does not look as if it had caught up.
//!
//! Not here: what follows from it (`core::throttle`).

use super::connect::{Target, connect};
use super::session::sql_error;
use crate::store::sql::SqlError;
use async_trait::async_trait;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Row};
use unseed_core::fault::Fault;
use unseed_core::port::gauges::Gauges;
use unseed_core::throttle::{Lag, Readings, Throttle};

/// Looks that are remembered: an hour of them, at the shortest pause.
const PLACES_MAX: usize = 36_000;
/// Over which time the rate of writing is measured.
const RATE_OVER: Duration = Duration::from_secs(1);

/// One statement for all figures; sessions of unseed are not others.
const FIGURES: &str = "WITH others AS (SELECT * FROM pg_stat_activity WHERE application_name IS DISTINCT FROM 'unseed') \
    SELECT (SELECT count(*) FROM others WHERE state = 'active' AND backend_type = 'client backend')::int8, \
    (SELECT count(*) FROM others WHERE query = '<insufficient privilege>')::int8, \
    (SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN others o ON o.pid = l.pid WHERE NOT l.granted)::int8, \
    pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::int8";

/// Replicas that replay; what only receives, such as a backup, has sent and never replayed.
const REPLICAS: &str = "SELECT state, pg_wal_lsn_diff(sent_lsn, '0/0')::int8, \
    pg_wal_lsn_diff(replay_lsn, '0/0')::int8 FROM pg_stat_replication";

/// The gauges of one server.
pub(crate) struct PgGauges {
    target: Target,
    throttle: Throttle,
    client: Option<Client>,
    places: Places,
    /// Replicas that were there at the same time, at most.
    replicas_max: usize,
}

impl PgGauges {
    pub(crate) fn new(target: Target, throttle: &Throttle) -> Self {
        let throttle = throttle.clone();
        Self { target, throttle, client: None, places: Places::default(), replicas_max: 0 }
    }

    async fn connected(&self) -> Result<Client, Fault> {
        let client = connect(&self.target).await?.client;
        let ms = self.throttle.probe_ms_max;
        let settings = format!(
            "SET default_transaction_read_only = on; SET statement_timeout = {ms}; SET lock_timeout = {ms}; \
             SET idle_in_transaction_session_timeout = {ms}"
        );
        client.batch_execute(&settings).await.map_err(|error| failed("setting a probe up", &error))?;
        Ok(client)
    }

    async fn look(&mut self, client: &Client) -> Result<Readings, Fault> {
        let asked = |keys: [&str; 1]| self.throttle.measured().contains(&keys[0]);
        let (lag, active) = (asked(["replication_lag_max"]), asked(["active_sessions_max"]));
        let (locks, wal) = (asked(["lock_waits_max"]), asked(["wal_mb_per_second_max"]));
        let mut readings = Readings::default();
        if lag || active || locks || wal {
            let row = client.query_one(FIGURES, &[]).await;
            let row = row.map_err(|error| failed("probing the server", &error))?;
            if active {
                if figure(&row, 1)? > 0 {
                    return Err(Fault::store("this role may not see what other sessions do")
                        .hint("GRANT pg_read_all_stats to it, or leave `active_sessions_max` out"));
                }
                readings.active_sessions = Some(figure(&row, 0)?);
            }
            readings.lock_waits = if locks { Some(figure(&row, 2)?) } else { None };
            let now = Instant::now();
            self.places.add(now, figure(&row, 3)?);
            readings.wal_bytes_per_second = if wal { self.places.rate(now) } else { None };
        }
        if lag {
            readings.replication_lag = Some(self.lag(client).await?);
        }
        if let Some(query) = &self.throttle.query {
            readings.query = Some(number(client, query).await?);
        }
        Ok(readings)
    }

    async fn lag(&mut self, client: &Client) -> Result<Lag, Fault> {
        let rows = client.query(REPLICAS, &[]).await;
        let rows = rows.map_err(|error| failed("reading the state of replicas", &error))?;
        let mut replayed = Vec::new();
        for row in &rows {
            let state: Option<String> = row.get(0);
            let (sent, replay): (Option<i64>, Option<i64>) = (row.get(1), row.get(2));
            match (state, sent, replay) {
                (None, _, _) => {
                    return Err(Fault::store("this role may not see how far replicas are")
                        .hint("GRANT pg_read_all_stats to it, or leave `replication_lag_max` out"));
                }
                (Some(_), _, Some(replay)) => replayed.push(u64::try_from(replay).unwrap_or_default()),
                (Some(_), _, None) => {}
            }
        }
        self.replicas_max = self.replicas_max.max(replayed.len());
        if replayed.is_empty() {
            return Err(Fault::store("no replica is connected, so its lag is not known")
                .hint("bring the replica back, or leave `replication_lag_max` out"));
        }
        if replayed.len() < self.replicas_max {
            let gone = self.replicas_max - replayed.len();
            return Err(Fault::store(format!("of {} replicas {gone} are gone", self.replicas_max))
                .hint("bring them back; if they are not needed, begin the command anew"));
        }
        let now = Instant::now();
        let lags = replayed.into_iter().map(|place| self.places.lag(now, place));
        Ok(lags.reduce(worse).unwrap_or(Lag::Known(0)))
    }
}

/// What is not known is worse than what is.
fn worse(one: Lag, other: Lag) -> Lag {
    match (one, other) {
        (Lag::Known(a), Lag::Known(b)) => Lag::Known(a.max(b)),
        (Lag::AtLeast(a), Lag::AtLeast(b) | Lag::Known(b)) | (Lag::Known(b), Lag::AtLeast(a)) => {
            Lag::AtLeast(a.max(b))
        }
    }
}

#[async_trait]
impl Gauges for PgGauges {
    async fn read(&mut self) -> Result<Readings, Fault> {
        // It goes back only after an answer: whoever drops this call in the middle drops the connection too.
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.connected().await?,
        };
        let readings = self.look(&client).await;
        self.client = Some(client);
        readings
    }
}

/// The one number that the query of the configuration returns.
async fn number(client: &Client, query: &str) -> Result<f64, Fault> {
    let nonsense = |what: &str| {
        Fault::store(format!("the throttle query returned {what}"))
            .hint("write `throttle.query` so that it returns one number")
    };
    // A subquery is one statement, of one column and one row at most.
    let rows = client.query(&format!("SELECT ({query}\n)::text"), &[]).await;
    let rows = rows.map_err(|error| failed("the throttle query", &error))?;
    let text: Option<String> = rows.first().and_then(|row| row.get(0));
    let text = text.ok_or_else(|| nonsense("nothing"))?;
    // What it returned instead may be the content of a row.
    text.trim().parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| nonsense("no number"))
}

fn figure(row: &Row, index: usize) -> Result<u64, Fault> {
    let value: Option<i64> = row.get(index);
    value.and_then(|value| u64::try_from(value).ok()).ok_or_else(|| {
        Fault::store("the server told no figure where there is always one").hint("look at the server's log")
    })
}

fn failed(what: &str, error: &tokio_postgres::Error) -> Fault {
    let error: SqlError = sql_error(error);
    error.fault(what)
}

/// Where the log of the primary ended, at each look.
#[derive(Debug, Default)]
struct Places(VecDeque<(Instant, u64)>);

impl Places {
    fn add(&mut self, now: Instant, place: u64) {
        // A log that went back is another one: after a restore, or on another server.
        if self.0.back().is_some_and(|(_, last)| *last > place) {
            self.0.clear();
        }
        if self.0.len() == PLACES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, place));
    }

    /// How long ago the primary was where a replica is.
    fn lag(&self, now: Instant, replayed: u64) -> Lag {
        let ms = |since: Instant| {
            u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
        };
        let passed = self.0.partition_point(|(_, place)| *place <= replayed);
        match (passed.checked_sub(1), self.0.front()) {
            (None, Some((first, _))) => Lag::AtLeast(ms(*first)),
            (None, None) => Lag::AtLeast(0),
            (Some(_), _) if passed == self.0.len() => Lag::Known(0),
            (Some(last), _) => Lag::Known(ms(self.0[last].0)),
        }
    }

    /// Bytes a second, once there are two looks.
    fn rate(&self, now: Instant) -> Option<u64> {
        let (_, last) = self.0.back()?;
        let recent = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) < RATE_OVER;
        let newer = self.0.iter().rev().take_while(|place| recent(place)).count();
        let from = self.0.len().saturating_sub(newer + 1);
        let (at, first) = self.0.get(from)?;
        let ms = u64::try_from(now.saturating_duration_since(*at).as_millis()).ok().filter(|ms| *ms > 0)?;
        Some((last - first).saturating_mul(1_000) / ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(looks: &[(u64, u64)]) -> (Places, Instant) {
        let start = Instant::now();
        let mut places = Places::default();
        for (ms, place) in looks {
            places.add(start + Duration::from_millis(*ms), *place);
        }
        (places, start)
    }

    #[test]
    fn a_replica_is_as_far_behind_as_the_time_since_the_primary_was_there() {
        let (places, start) = places(&[(0, 100), (100, 100), (200, 300), (300, 500)]);
        let at = |place| places.lag(start + Duration::from_millis(300), place);
        assert_eq!(at(500), Lag::Known(0), "it has everything");
        assert_eq!(at(499), Lag::Known(100));
        assert_eq!(at(300), Lag::Known(100));
        assert_eq!(at(299), Lag::Known(200), "a quiet time before does not count");
        assert_eq!(at(99), Lag::AtLeast(300), "where it was before the first look is not known");
        assert_eq!(Places::default().lag(start, 1), Lag::AtLeast(0));
    }

    #[test]
    fn the_worst_replica_counts() {
        assert_eq!(worse(Lag::Known(3), Lag::Known(5)), Lag::Known(5));
        assert_eq!(worse(Lag::Known(7), Lag::AtLeast(1)), Lag::AtLeast(7));
        assert_eq!(worse(Lag::AtLeast(1), Lag::AtLeast(2)), Lag::AtLeast(2));
    }

    #[test]
    fn a_rate_is_that_of_the_last_second() {
        let (places, start) = places(&[(0, 0), (1_000, 4_000), (1_500, 5_000), (2_000, 6_000)]);
        assert_eq!(places.rate(start + Duration::from_millis(2_000)), Some(2_000));
        assert_eq!(Places::default().rate(start), None);
        let (one, start) = self::places(&[(0, 7)]);
        assert_eq!(one.rate(start), None);
    }

    #[test]
    fn a_log_that_goes_back_is_another_one() {
        let (places, start) = places(&[(0, 900), (100, 5)]);
        assert_eq!(places.lag(start + Duration::from_millis(100), 4), Lag::AtLeast(0));
    }
}
