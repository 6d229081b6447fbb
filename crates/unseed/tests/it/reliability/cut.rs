//! The connection is cut exactly at a COMMIT: before it arrives, after it, or before its answer comes back.
//!
//! A proxy between the binary and the server knows the moment: the journal says that a commit is about to be sent.

use super::books::{assert_archived, assert_chained, assert_settled};
use super::line::{COMMIT, MARIADB_COMMIT};
use super::scene::{ROWS, SHOPS};
use crate::lab::{Lab, assert_same, fault};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unseed_testkit::server::sqlite;

/// Where the connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The server never sees the COMMIT.
    Before,
    /// The server sees it, and then nobody is there.
    Sent,
    /// The server has answered it, but nobody hears that.
    Answered,
    /// The server never sees it, nor that the client is gone.
    Unnoticed,
}

struct Shared {
    cut: Cut,
    state: PathBuf,
    /// Asks the state database whether this is the commit.
    now: String,
    done: AtomicBool,
    /// The server's side of a connection that it takes for alive.
    held: Mutex<Option<TcpStream>>,
}

/// A proxy that cuts one connection once, and passes everything else on.
struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    fn start(lab: &Lab<'_>, cut: Cut, now: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = lab.port();
        let shared = Arc::new(Shared {
            cut,
            state: lab.path(".unseed/state.db"),
            now: now.to_owned(),
            done: AtomicBool::new(false),
            held: Mutex::new(None),
        });
        let inner = Arc::clone(&shared);
        // It ends with the test process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                inner.connect(&client, &server);
            }
        });
        Self { port, shared }
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: &TcpStream, server: &TcpStream) {
        let deaf = Arc::new(AtomicBool::new(false));
        let (from, to, shared) = (client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(self));
        let silence = Arc::clone(&deaf);
        std::thread::spawn(move || shared.forward(from, to, &silence));
        let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                if deaf.load(Ordering::SeqCst) || to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            drop(to.shutdown(Shutdown::Both));
        });
    }

    fn forward(&self, mut client: TcpStream, mut server: TcpStream, deaf: &AtomicBool) {
        let mut buffer = vec![0; 1 << 16];
        let mut is_cut = false;
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            let sent = &buffer[..length];
            is_cut = (sent.ends_with(COMMIT) || sent.ends_with(MARIADB_COMMIT)) && self.is_now();
            if is_cut && self.cut == Cut::Answered {
                deaf.store(true, Ordering::SeqCst);
            }
            if is_cut && matches!(self.cut, Cut::Before | Cut::Unnoticed) {
                break;
            }
            if is_cut && self.cut == Cut::Sent {
                // First of all, so that no answer is quicker.
                drop(client.shutdown(Shutdown::Both));
            }
            let passed_on = server.write_all(&buffer[..length]).is_ok();
            if !passed_on || is_cut && self.cut == Cut::Sent {
                break;
            }
        }
        if is_cut && self.cut == Cut::Unnoticed {
            *self.held.lock().unwrap() = Some(server);
        } else {
            // What was sent is still read.
            drop(server.shutdown(Shutdown::Write));
        }
        drop(client.shutdown(Shutdown::Both));
    }

    fn is_now(&self) -> bool {
        if self.done.load(Ordering::SeqCst) {
            return false;
        }
        let said = sqlite::run(&self.state, &format!(".timeout 10000\n{};", self.now));
        said.is_ok_and(|answer| answer.trim() == "1") && !self.done.swap(true, Ordering::SeqCst)
    }
}

const THIRD_BATCH: &str =
    "SELECT count(*) FROM batches WHERE number = 3 AND json_extract(body, '$.state') = 'committing'";
const RESTORE: &str = "SELECT count(*) FROM runs WHERE json_extract(report, '$.restores[#-1].committed') = 0";

/// Plans through a proxy and purges.
fn cut_at(lab: &Lab<'_>, proxy: &Proxy, way: &str) -> crate::support::Answer {
    let direct = format!(":{}/", lab.port());
    let url = lab.url().replace(&direct, &format!(":{}/", proxy.port));
    let more = [
        "--batch-rows",
        "150",
        "--max-share",
        "1",
        "--path",
        if way == "checked" { "checked" } else { "fast" },
    ];
    let plan = [&["plan", &url, "--where", "tenants: id > 4", "-o", "plan.json"], more.as_slice()].concat();
    assert_eq!(lab.run(&plan).code, Some(0));
    lab.try_purge()
}

/// PostgreSQL on this path, or MariaDB.
fn lab_of(way: &str) -> Lab<'static> {
    match way {
        "mariadb" => Lab::mariadb(&format!("SET sql_mode = 'PIPES_AS_CONCAT'; {SHOPS}{ROWS}")),
        "checked" => Lab::postgres(&format!("{SHOPS}{ROWS}")).owned(),
        _ => Lab::postgres(&format!("{SHOPS}{ROWS}")),
    }
}

fn a_commit_that_was(cut: Cut, becomes: &str, ways: &[&str]) {
    for way in ways {
        let lab = lab_of(way);
        let context = format!("{cut:?}, {way}");
        let before = lab.picture();
        let proxy = Proxy::start(&lab, cut, THIRD_BATCH);
        fault(
            &cut_at(&lab, &proxy, way),
            4,
            &["the outcome of batch 3 is not known yet", "unseed resume r-1"],
        );
        let resume = || lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
        if cut == Cut::Unnoticed && way != &"mariadb" {
            std::thread::scope(|scope| {
                let resumed = scope.spawn(resume);
                wait_for(&lab, "SELECT count(*) FROM audit WHERE outcome LIKE 'resumed%'", "1");
                assert_eq!(lab.state(THIRD_BATCH), "1", "{context}: nothing is guessed");
                let held = proxy.shared.held.lock().unwrap().take().expect("the server's side was kept");
                held.shutdown(Shutdown::Both).unwrap();
                resumed.join().unwrap();
            });
        } else {
            resume();
            let held = proxy.shared.held.lock().unwrap().is_some();
            assert_eq!(
                held,
                cut == Cut::Unnoticed,
                "{context}: whose connection it was is ended, not waited for"
            );
        }
        let third = "SELECT json_extract(body, '$.state') FROM batches WHERE number = 3";
        assert_eq!(lab.state(third), becomes, "{context}");
        assert_settled(&lab, "r-1", &context);
        assert_chained(&lab, &context);
        assert_archived(&lab, "r-1", &before, &lab.picture(), &context);
        lab.verify("r-1");
        lab.restore("r-1");
        assert_same(&lab.picture(), &before);
    }
}

fn wait_for(lab: &Lab<'_>, query: &str, answer: &str) {
    let begun = Instant::now();
    while lab.state(query) != answer {
        assert!(begun.elapsed() < Duration::from_secs(60), "{query} never becomes {answer}");
    }
}

#[test]
fn a_commit_that_never_arrived_is_rolled_back() {
    a_commit_that_was(Cut::Before, "discarded", &["fast", "mariadb"]);
}

#[test]
fn a_commit_that_arrived_last_is_committed() {
    a_commit_that_was(Cut::Sent, "committed", &["checked", "mariadb"]);
}

#[test]
fn a_commit_whose_answer_was_lost_is_committed() {
    a_commit_that_was(Cut::Answered, "committed", &["fast", "checked", "mariadb"]);
}

/// The server still waits for the COMMIT: the resume waits too, and guesses nothing.
#[test]
fn a_commit_that_is_still_open_is_waited_for() {
    a_commit_that_was(Cut::Unnoticed, "discarded", &["fast"]);
}

/// MariaDB waits for it too, but can be told to stop: the resume ends that connection.
#[test]
fn a_commit_that_is_still_open_in_mariadb_is_ended() {
    a_commit_that_was(Cut::Unnoticed, "discarded", &["mariadb"]);
}

#[test]
fn a_restore_that_is_cut_at_its_commit_brings_everything_back_once() {
    a_restore_that_is_cut("fast");
}

#[test]
fn a_restore_into_mariadb_that_is_cut_at_its_commit_brings_everything_back_once() {
    a_restore_that_is_cut("mariadb");
}

fn a_restore_that_is_cut(way: &str) {
    for (cut, code) in [(Cut::Before, 0), (Cut::Sent, 3), (Cut::Answered, 3), (Cut::Unnoticed, 0)] {
        let lab = lab_of(way);
        let before = lab.picture();
        let proxy = Proxy::start(&lab, cut, RESTORE);
        assert_eq!(cut_at(&lab, &proxy, way).code, Some(0), "{cut:?}");
        let restore = || lab.run(&["restore", "r-1", "--confirm", "r-1"]);
        fault(&restore(), 4, &["whether the rows are back is not known yet", "unseed restore r-1"]);
        // Whoever asks while the server still waits for the COMMIT waits as well, and takes nothing for a conflict.
        let again = std::thread::scope(|scope| {
            let again = scope.spawn(restore);
            if let Some(held) = proxy.shared.held.lock().unwrap().take() {
                std::thread::sleep(Duration::from_millis(400));
                held.shutdown(Shutdown::Both).unwrap();
            }
            again.join().unwrap()
        });
        assert_eq!(again.code, Some(code), "{cut:?}: {again:?}");
        assert_same(&lab.picture(), &before);
        fault(&restore(), 3, &["already restored"]);
    }
}
