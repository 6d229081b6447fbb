//! The way from the binary to the state server: a proxy that counts commits and can hold everything at one of them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use unseed_testkit::server::Database;

/// A COMMIT as the wire has it: a simple query of its own.
pub(super) const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// The same as MariaDB has it: a packet of eight bytes, the first of its exchange.
pub(super) const MARIADB_COMMIT: &[u8] = b"\x07\0\0\0\x03COMMIT";

/// A proxy before one state database.
pub(crate) struct Line {
    url: String,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    commits: AtomicU64,
    hold_at: AtomicU64,
    /// Whether the server sees the commit at which everything is held; else it is held before it arrives.
    arrives: AtomicBool,
    hold: Mutex<Hold>,
    changed: Condvar,
}

/// What becomes of whatever comes along now.
#[derive(Default)]
struct Hold {
    way: Way,
    /// How many wait.
    waiting: u32,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Way {
    #[default]
    Open,
    Held,
    /// Nothing that was held goes on: its process is dead.
    Cut,
}

impl Line {
    pub(crate) fn before(database: &Database<'_>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, server) = (listener.local_addr().unwrap().port(), database.server().port());
        let url = database.url().replace(&format!(":{server}/"), &format!(":{port}/"));
        let shared = Arc::new(Shared {
            server,
            commits: AtomicU64::new(0),
            hold_at: AtomicU64::new(u64::MAX),
            arrives: AtomicBool::new(false),
            hold: Mutex::default(),
            changed: Condvar::new(),
        });
        let inner = Arc::clone(&shared);
        // It ends with the test process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", inner.server)) {
                    inner.connect(&client, &server);
                }
            }
        });
        Self { url, shared }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Counts commits anew; the one of this number is held, every second one after it has arrived.
    pub(crate) fn hold_at(&self, commit: u64) {
        self.shared.set(Way::Open);
        self.shared.arrives.store(commit.is_multiple_of(2), Ordering::SeqCst);
        self.shared.commits.store(0, Ordering::SeqCst);
        self.shared.hold_at.store(commit, Ordering::SeqCst);
    }

    /// The same, but the commit has always arrived.
    pub(crate) fn hold_behind(&self, commit: u64) {
        self.hold_at(commit);
        self.shared.arrives.store(true, Ordering::SeqCst);
    }

    /// What is held goes on, until this commit has arrived.
    pub(crate) fn hold_next(&self, commit: u64) {
        self.shared.hold_at.store(commit, Ordering::SeqCst);
        self.shared.set(Way::Open);
    }

    pub(crate) fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::SeqCst)
    }

    /// What was held never arrives: the process that sent it is dead.
    pub(crate) fn cut(&self) {
        self.shared.set(Way::Cut);
        let mut hold = self.shared.hold.lock().unwrap();
        while hold.waiting > 0 {
            hold = self.shared.changed.wait(hold).unwrap();
        }
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: &TcpStream, server: &TcpStream) {
        let (from, to, shared) = (client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(self));
        std::thread::spawn(move || shared.forward(from, to));
        let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let shared = Arc::clone(self);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                if !shared.may_pass() || to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            drop(to.shutdown(Shutdown::Both));
        });
    }

    fn forward(&self, mut client: TcpStream, mut server: TcpStream) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            let commits = buffer[..length].ends_with(COMMIT);
            let Some(passed_on) = self.admit(commits) else { break };
            if passed_on && server.write_all(&buffer[..length]).is_err() {
                break;
            }
            // Only now it counts, so that whoever waits for the number finds it where it was told to be.
            self.commits.fetch_add(u64::from(commits), Ordering::SeqCst);
            if !self.may_pass() || !passed_on && server.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        drop(server.shutdown(Shutdown::Write));
        drop(client.shutdown(Shutdown::Both));
    }

    /// Waits while everything is held, and holds everything at the commit that is looked for; whether that is passed on
    /// all the same. `None` if nothing goes on any more.
    fn admit(&self, commits: bool) -> Option<bool> {
        loop {
            if !self.may_pass() {
                return None;
            }
            if !commits || !self.is_due() {
                return Some(false);
            }
            // Another one may have been looked for first.
            if self.close() {
                return Some(self.arrives.load(Ordering::SeqCst));
            }
        }
    }

    /// Whether the next commit is the one that is looked for.
    fn is_due(&self) -> bool {
        self.commits.load(Ordering::SeqCst) + 1 >= self.hold_at.load(Ordering::SeqCst)
    }

    /// Holds everything, if nothing is held yet.
    fn close(&self) -> bool {
        let mut hold = self.hold.lock().unwrap();
        let was_open = hold.way == Way::Open;
        if was_open {
            hold.way = Way::Held;
        }
        was_open
    }

    fn set(&self, way: Way) {
        self.hold.lock().unwrap().way = way;
        self.changed.notify_all();
    }

    /// Waits while everything is held; whether it goes on then.
    fn may_pass(&self) -> bool {
        let mut hold = self.hold.lock().unwrap();
        hold.waiting += 1;
        while hold.way == Way::Held {
            hold = self.changed.wait(hold).unwrap();
        }
        hold.waiting -= 1;
        self.changed.notify_all();
        hold.way == Way::Open
    }
}
