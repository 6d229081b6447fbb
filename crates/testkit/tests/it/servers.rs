//! Private PostgreSQL servers: fresh databases, passwords, TLS, crashes, and that nothing outlives the process.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use unseed_testkit::server::{Postgres, Settings, Tls};

/// Set for the copy of this test binary that is killed by `a_server_is_gone_after_its_process_was_killed`.
const VICTIM: &str = "UNSEED_TESTKIT_VICTIM";
const STOP_WAIT_MAX: Duration = Duration::from_secs(30);

#[test]
fn every_test_has_a_database_of_its_own() {
    let server = Postgres::shared().unwrap();
    let (one, two) = (server.database("own").unwrap(), server.database("own").unwrap());
    one.psql("CREATE TABLE only_here (a int)").unwrap();
    assert_eq!(two.psql("SELECT count(*) FROM pg_class WHERE relname = 'only_here'").unwrap(), "0\n");
    assert_ne!(one.url(), two.url());
}

#[test]
fn a_database_goes_with_its_handle() {
    let server = Postgres::shared().unwrap();
    let name = server.database("gone").unwrap().name().to_owned();
    let left = server.psql("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"));
    assert_eq!(left.unwrap(), "0\n");
}

#[test]
fn a_role_with_a_password_must_show_it() {
    let server = Postgres::shared().unwrap();
    server.role("careful", Some("s3cret")).unwrap();
    server.role("careless", None).unwrap();
    assert!(connects(server, &server.url_as("careful", Some("s3cret"), "postgres")));
    assert!(!connects(server, &server.url_as("careful", Some("wrong"), "postgres")));
    assert!(connects(server, &server.url_as("careless", None, "postgres")));
}

#[test]
fn a_killed_server_keeps_committed_rows() {
    let settings = Settings::default().durable().set("max_prepared_transactions", "7");
    let server = Postgres::start_own(&settings).unwrap();
    let database = server.database("crash").unwrap();
    database.psql("CREATE TABLE t AS SELECT 1 AS a").unwrap();
    server.kill().unwrap();
    assert!(database.psql("SELECT 1").is_err());
    server.start().unwrap();
    assert_eq!(database.psql("SELECT a FROM t; SHOW max_prepared_transactions").unwrap(), "1\n7\n");
    server.restart().unwrap();
    assert_eq!(database.psql("SELECT a FROM t").unwrap(), "1\n");
}

#[test]
fn a_server_that_requires_tls_shows_a_certificate_of_its_authority() {
    let server = Postgres::start_own(&Settings::default().tls(Tls::Required)).unwrap();
    let url = server.url("postgres");
    let authority = server.authority_file();
    assert!(connects(&server, &format!("{url}?sslmode=verify-full&sslrootcert={}", authority.display())));
    assert!(!connects(&server, &format!("{url}?sslmode=disable")));
}

#[test]
fn a_wrong_statement_is_an_error_with_the_servers_words() {
    let error = Postgres::shared().unwrap().psql("postgres", "SELECT * FROM nowhere").unwrap_err();
    assert!(error.to_string().contains("relation \"nowhere\" does not exist"), "{error}");
}

#[test]
fn a_server_is_gone_after_its_process_was_killed() {
    if std::env::var_os(VICTIM).is_some() {
        return wait_as_victim();
    }
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "servers::a_server_is_gone_after_its_process_was_killed"]).env(VICTIM, &told);
    let mut victim = victim.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the victim tells its folder", || told.is_file());
    let server_folder = std::fs::read_to_string(&told).unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    until("the server's folder is removed", || !Path::new(&server_folder).exists());
}

/// Starts a server, tells where it is, and waits to be killed.
fn wait_as_victim() {
    let server = Postgres::shared().unwrap();
    let told = std::env::var(VICTIM).unwrap();
    let whole = format!("{told}.part");
    std::fs::write(&whole, server.socket_folder().to_string_lossy().as_bytes()).unwrap();
    std::fs::rename(whole, told).unwrap();
    std::thread::sleep(STOP_WAIT_MAX);
}

fn connects(server: &Postgres, url: &str) -> bool {
    // What the URL says wins over the host, port and user options of the helper.
    let mut client = server.client("psql", url);
    client.args(["-X", "-w", "-c", "SELECT 1"]).output().unwrap().status.success()
}

#[track_caller]
fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < STOP_WAIT_MAX, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
