//! Leases: which process may act on a run, and how a dead one is told from a slow one.
//!
//! A lease has a number, its *epoch*, that only grows: with every write its holder shows the epoch, and a process
//! that lost its lease finds that the epoch is another one. When a lease ends is told by the clock of the database,
//! so the clocks of two machines are never compared.
//!
//! Invariants
//! - a holder whose process has ended, seen from its own machine, is overruled at once;
//! - in a file, a holder that lives on this machine is never overruled; on a server, one that was silent for longer
//!   than its lease is: the server cannot tell a process that stands still from one behind a broken line;
//! - an epoch is never given out twice, not even after its lease was given back.
//!
//! Not here: when leases are taken (`engine`).

use super::database::Place;
use super::faults::{held_by, taken_over};
use super::session::{Kind, Session, Trouble, values};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Heartbeats within the time of one lease.
const BEATS: u64 = 6;

/// A lease that this process holds.
#[derive(Debug)]
pub(super) struct Lease {
    epoch: i64,
    lease_ms: i64,
    _heartbeat: Heartbeat,
}

/// Who holds a lease, or held it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub holder: String,
    pub host: String,
    pub pid: i64,
    pub process_start: i64,
    /// What is left of the lease.
    pub left_ms: i64,
}

impl Holder {
    /// This process.
    fn me(holder: &str) -> Self {
        let pid = i64::from(std::process::id());
        let process_start = process_start(pid).unwrap_or(0);
        Self { holder: holder.to_owned(), host: host(), pid, process_start, left_ms: 0 }
    }

    /// Whether the holder still works, as far as this process can see.
    fn is_alive(&self, kind: Kind) -> bool {
        if self.host == host() && self.process_start != 0 {
            let lives = process_start(self.pid) == Some(self.process_start);
            if !lives || kind == Kind::Sqlite {
                return lives;
            }
        }
        self.left_ms > 0
    }
}

impl Lease {
    /// Takes the lease of a run for this process, in a transaction of its own.
    pub(super) fn take(
        session: &mut dyn Session,
        run: &str,
        holder: &str,
        lease_ms: i64,
    ) -> Result<i64, Trouble> {
        let (kind, me) = (session.kind(), Holder::me(holder));
        let first = "INSERT INTO leases (run, holder, host, pid, process_start, epoch, expires_ms)
            VALUES (?1, '', '', 0, 0, 0, 0) ON CONFLICT (run) DO NOTHING";
        session.execute(first, &values![run])?;
        // From here on nobody else can take it, nor write under it.
        session.execute("UPDATE leases SET epoch = epoch WHERE run = ?1", &values![run])?;
        let now = kind.now_ms();
        let sql = format!(
            "SELECT holder, host, pid, process_start, expires_ms - {now}, expires_ms FROM leases WHERE run = ?1"
        );
        let row = session.one(&sql, &values![run])?;
        let other = Holder {
            holder: row.text(0)?,
            host: row.text(1)?,
            pid: row.integer(2)?,
            process_start: row.integer(3)?,
            left_ms: row.integer(4)?,
        };
        let was_given_back = row.integer(5)? == 0;
        if !was_given_back && other.is_alive(kind) {
            return Err(held_by(run, &other, kind).into());
        }
        let sql = format!(
            "UPDATE leases SET holder = ?2, host = ?3, pid = ?4, process_start = ?5, epoch = epoch + 1,
                expires_ms = {now} + ?6 WHERE run = ?1 RETURNING epoch"
        );
        let me = values![run, &me.holder, &me.host, me.pid, me.process_start, lease_ms];
        session.one(&sql, &me)?.integer(0)
    }

    /// A lease that was taken; from now on a thread keeps it.
    pub(super) fn keep(place: Place, run: &str, epoch: i64, lease_ms: i64) -> Self {
        let heartbeat = Heartbeat::start(place, run.to_owned(), epoch, lease_ms);
        Self { epoch, lease_ms, _heartbeat: heartbeat }
    }

    /// The first statement of every write under the lease: stops a process that lost it, and until the end of the
    /// transaction nobody can take it.
    pub(super) fn assert(&self, session: &mut dyn Session, run: &str) -> Result<(), Trouble> {
        match renew(session, run, self.epoch, self.lease_ms)? {
            0 => Err(taken_over(run).into()),
            _ => Ok(()),
        }
    }

    pub(super) fn give_back(&self, session: &mut dyn Session, run: &str) -> Result<(), Trouble> {
        let sql = "UPDATE leases SET expires_ms = 0 WHERE run = ?1 AND epoch = ?2";
        session.execute(sql, &values![run, self.epoch]).map(drop)
    }
}

/// Lets a lease begin anew; counts the leases for which that worked. One that was given back stays so.
fn renew(session: &mut dyn Session, run: &str, epoch: i64, lease_ms: i64) -> Result<u64, Trouble> {
    let now = session.kind().now_ms();
    let sql = format!(
        "UPDATE leases SET expires_ms = {now} + ?3 WHERE run = ?1 AND epoch = ?2 AND expires_ms <> 0"
    );
    session.execute(&sql, &values![run, epoch, lease_ms])
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
struct Heartbeat {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    fn start(place: Place, run: String, epoch: i64, lease_ms: i64) -> Self {
        let (stop, stopped) = channel::<()>();
        let pause = Duration::from_millis(u64::try_from(lease_ms).unwrap_or(0) / BEATS);
        let thread = std::thread::spawn(move || {
            let mut session: Option<Box<dyn Session>> = None;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                // A beat that cannot be written is made up for by the next one, over another connection.
                session = session.or_else(|| place.session().ok()).and_then(|mut session| {
                    let beat = renew(session.as_mut(), &run, epoch, lease_ms);
                    beat.is_ok().then_some(session)
                });
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

    const KINDS: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

    #[test]
    fn a_process_that_ended_is_dead_however_long_its_lease_is() {
        let me = Holder { left_ms: 60_000, ..Holder::me("test") };
        let reused = Holder { process_start: me.process_start + 1, ..me.clone() };
        for kind in KINDS {
            assert!(me.is_alive(kind));
            assert!(!reused.is_alive(kind), "another process start is another process");
        }
    }

    #[test]
    fn a_silent_process_is_overruled_on_a_server_only() {
        let me = Holder { left_ms: -1, ..Holder::me("test") };
        assert_eq!(KINDS.map(|kind| me.is_alive(kind)), [true, false]);
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
    fn elsewhere_only_the_lease_counts() {
        for kind in KINDS {
            let far = Holder { host: "elsewhere".to_owned(), left_ms: 1, ..Holder::me("test") };
            assert!(far.is_alive(kind));
            assert!(!Holder { left_ms: 0, ..far }.is_alive(kind));
        }
    }
}
