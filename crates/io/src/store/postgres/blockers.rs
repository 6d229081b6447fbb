//! Who is in the way: looked at from a second connection while a statement waits, since afterwards it is too late.
//!
//! Invariants
//! - only what identifies a session is told: its process, its name, its state; never what it runs, which can hold
//!   the content of rows;
//! - nothing is connected for statements that do not take long.
//!
//! Not here: what is tried again (`engine::batches`).

use super::Postgres;
use super::connect::{Target, connect};
use super::session::text_rows;
use crate::store::sql::{Session, number, text};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use unseed_core::fault::Fault;

/// What takes longer may be waiting for somebody; so long is the pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a session of ours waits for, and whose it is.
const WAITS: &str = "SELECT coalesce(b.pid::text, ''), coalesce(a.application_name, ''), coalesce(a.state, ''), \
    coalesce((SELECT string_agg(DISTINCT l.relation::regclass::text, ', ') FROM pg_locks l \
        WHERE l.pid = {pid} AND l.relation IS NOT NULL AND (NOT l.granted OR l.locktype = 'tuple')), '') \
    FROM unnest(pg_blocking_pids({pid})) b(pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid ORDER BY b.pid LIMIT 5";

/// The connection that looks, once one was needed; kept until the work is done.
pub(super) type Lookout = Arc<tokio::sync::Mutex<Option<Client>>>;

/// A look-out over one statement, or a few.
pub(super) struct Watch {
    seen: Arc<Mutex<Vec<String>>>,
    task: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Watch {
    /// Adds to a fault that somebody was in the way who that was.
    pub(super) fn explain(self, mut fault: Fault) -> Fault {
        if fault.transient {
            fault.details.append(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        }
        fault
    }
}

impl Postgres {
    /// Begins to look out; without it, faults say less.
    pub(super) async fn watch(&mut self) -> Watch {
        let seen = Arc::default();
        if self.process.is_none() {
            let rows = self.session.rows("SELECT pg_backend_pid()").await.unwrap_or_default();
            self.process = rows.first().map(|row| number(row, 0));
        }
        let task = self.process.map(|pid| {
            let (lookout, seen, every) = (Arc::clone(&self.lookout), Arc::clone(&seen), self.look_every());
            tokio::spawn(look(self.target.clone(), lookout, pid, seen, every))
        });
        Watch { seen, task }
    }

    /// Often enough to look once before a statement that waits gives up.
    fn look_every(&self) -> Duration {
        let limits = self.waits.map_or([None; 2], |waits| [waits.lock_ms_max, waits.statement_ms_max]);
        let shortest = limits.into_iter().flatten().min().map(|ms| Duration::from_millis(ms) / 2);
        shortest.map_or(LOOK_EVERY, |half| half.min(LOOK_EVERY))
    }
}

async fn look(target: Target, lookout: Lookout, pid: u64, seen: Arc<Mutex<Vec<String>>>, every: Duration) {
    tokio::time::sleep(every).await;
    let mut lookout = lookout.lock().await;
    if lookout.as_ref().is_some_and(Client::is_closed) {
        *lookout = None;
    }
    let client = match &mut *lookout {
        Some(client) => client,
        none => match connect(&target).await {
            Ok(connected) => none.insert(connected.client),
            Err(_) => return,
        },
    };
    loop {
        match blockers(client, pid).await {
            None => return,
            Some(lines) if lines.is_empty() => {}
            Some(lines) => *seen.lock().unwrap_or_else(PoisonError::into_inner) = lines,
        }
        tokio::time::sleep(every).await;
    }
}

async fn blockers(client: &Client, pid: u64) -> Option<Vec<String>> {
    let messages = client.simple_query(&WAITS.replace("{pid}", &pid.to_string())).await.ok()?;
    let line = |row: &Vec<Option<String>>| {
        let (process, name, state, table) = (text(row, 0), text(row, 1), text(row, 2), text(row, 3));
        let who = match process.as_str() {
            "0" => "a prepared transaction".to_owned(),
            process => format!("session {process}"),
        };
        let about: Vec<String> = [name, state].into_iter().filter(|part| !part.is_empty()).collect();
        let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
        let place = if table.is_empty() { String::new() } else { format!(" on `{table}`") };
        format!("{who}{about} holds the lock{place}")
    };
    Some(text_rows(&messages).iter().map(line).collect())
}
