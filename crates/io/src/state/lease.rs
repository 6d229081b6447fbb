//! Leases: which process may act on a run, and how a dead one is told from a slow one.
//!
//! On the machine that wrote it, a lease is as alive as its process: the process number together with the
//! time the process started, so that a reused number is not mistaken for the holder. From another machine
//! or container only the heartbeat can be judged.
//!
//! Invariants
//! - a living holder is never overruled, however long a batch takes: a thread of its own beats for it;
//! - a dead holder on this machine is overruled at once.
//!
//! Not here: the table of leases (`sqlite`).

use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Pause between two heartbeats.
const BEAT: Duration = Duration::from_secs(5);
/// A holder elsewhere that was silent for so long is dead.
const SILENCE_MS_MAX: i64 = 60_000;

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub holder: String,
    pub ticket: String,
    pub host: String,
    pub pid: i64,
    pub process_start: i64,
    pub heartbeat_ms: i64,
}

impl Holder {
    /// This process, with a ticket that no other connection has.
    pub(super) fn me(holder: &str) -> Self {
        static TICKETS: AtomicU64 = AtomicU64::new(1);
        let pid = i64::from(std::process::id());
        let process_start = process_start(pid).unwrap_or(0);
        let serial = TICKETS.fetch_add(1, Ordering::Relaxed);
        let host = host();
        let ticket = format!("{host}/{pid}/{process_start}/{serial}");
        Self { holder: holder.to_owned(), ticket, host, pid, process_start, heartbeat_ms: now_ms() }
    }

    /// Whether the holder still works, as far as this process can see.
    pub(super) fn is_alive(&self, now_ms: i64) -> bool {
        if self.host == host() && self.process_start != 0 {
            return process_start(self.pid) == Some(self.process_start);
        }
        now_ms.saturating_sub(self.heartbeat_ms) < SILENCE_MS_MAX
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// When a process started, in the kernel's own ticks; `None` when there is no such process or it has ended.
fn process_start(pid: i64) -> Option<i64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in brackets and may hold anything, so count from the last one.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    if ended { None } else { fields.get(19)?.parse().ok() }
}

/// The machine since its last start, and the process numbers that count on it (containers have their own).
fn host() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let numbers = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), numbers.display())
}

/// A thread that says at intervals that this process is alive.
#[derive(Debug)]
pub(super) struct Heartbeat {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    pub(super) fn start(path: PathBuf, run: String, ticket: String) -> Self {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // A beat that cannot be written is made up for by the next one.
                let Ok(db) = Connection::open(&path) else { continue };
                let beat = "UPDATE leases SET heartbeat_ms = ?1 WHERE run = ?2 AND ticket = ?3";
                drop(db.busy_timeout(BEAT).and_then(|()| db.execute(beat, (now_ms(), &run, &ticket))));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        // It fails only when the thread has ended already.
        let _ended = self.stop.send(()).is_err();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_a_reused_number_is_not() {
        let me = Holder::me("test");
        assert!(me.is_alive(now_ms()));
        let reused = Holder { process_start: me.process_start + 1, ..me.clone() };
        assert!(!reused.is_alive(now_ms()), "another process start is another process");
    }

    #[test]
    fn a_child_that_ended_is_dead_even_before_it_is_waited_for() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i64::from(child.id());
        while process_start(pid).is_some() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }

    #[test]
    fn elsewhere_only_the_heartbeat_counts() {
        let far = Holder { host: "elsewhere".to_owned(), ..Holder::me("test") };
        assert!(far.is_alive(far.heartbeat_ms + SILENCE_MS_MAX - 1));
        assert!(!far.is_alive(far.heartbeat_ms + SILENCE_MS_MAX));
    }
}
