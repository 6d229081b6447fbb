//! MariaDB servers: one for the whole test process, or one of a test's own that it may kill and restart.
//!
//! A server lives in a temporary folder, listens on a free loopback port and on a socket in that folder, and stops
//! with the test process. Durability is off unless asked for: only the process may crash, not the machine.
//!
//! Invariants
//! - one shared server a process, one fresh database a test;
//! - `root` needs no password.

use super::watchdog::Watchdog;
use super::{ServerError, command};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Another process may take the port between our look and the server's start.
const START_ATTEMPTS_MAX: u32 = 5;
/// A busy machine takes its time, recovery too.
const START_LIMIT: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(50);
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];
static SHARED: OnceLock<Result<Mariadb, ServerError>> = OnceLock::new();

/// A running server.
#[derive(Debug)]
pub struct Mariadb {
    folder: PathBuf,
    port: u16,
    user: String,
    settings: Vec<String>,
    database_count: AtomicU32,
    _watchdog: Watchdog,
}

/// The path of a program of MariaDB.
fn program(name: &str) -> Result<PathBuf, ServerError> {
    let from_path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&from_path).chain(FOLDERS.iter().map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| ServerError::Missing { program: format!("{name} (the MariaDB server)") })
}

/// Whether a server and its client are installed.
pub fn mariadb_is_installed() -> bool {
    ["mariadbd", "mariadb-install-db", "mariadb", "mariadb-dump"].iter().all(|name| program(name).is_ok())
}

impl Mariadb {
    /// The server that all tests of this process use, started by the first of them.
    pub fn shared() -> Result<&'static Self, ServerError> {
        SHARED.get_or_init(|| Self::start_own(&[])).as_ref().map_err(Clone::clone)
    }

    /// A separate server with further options such as `--innodb-flush-log-at-trx-commit=1`, stopped when the value
    /// is dropped.
    pub fn start_own(settings: &[&str]) -> Result<Self, ServerError> {
        let folder = tempfile::Builder::new().prefix("unseed-my-").tempdir();
        let folder = folder.map_err(|error| ServerError::file(std::env::temp_dir(), &error))?;
        let owner =
            std::fs::metadata(folder.path()).map_err(|error| ServerError::file(folder.path(), &error))?;
        let user = if owner.uid() == 0 { "root".to_owned() } else { owner.uid().to_string() };
        let watchdog = Watchdog::start(folder.path(), &stop(folder.path(), "TERM"))?;
        // From here on the watchdog removes the folder.
        let folder = folder.keep();
        let mut server = Self {
            folder,
            port: 0,
            user,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            database_count: AtomicU32::new(0),
            _watchdog: watchdog,
        };
        let mut install = Command::new(program("mariadb-install-db")?);
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg(format!("--datadir={}", server.data().display()));
        if server.user == "root" {
            install.arg("--user=root");
        }
        command::run(install.current_dir("/").stdin(Stdio::null()))?;
        server.start_on_a_free_port()?;
        server.sql(
            "",
            "CREATE USER IF NOT EXISTS 'root'@'127.0.0.1'; GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION",
        )?;
        Ok(server)
    }

    /// An empty database whose name starts with `prefix`; it is dropped with the handle.
    pub fn database(&self, prefix: &str) -> Result<MariadbDatabase<'_>, ServerError> {
        let number = self.database_count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}_{number}");
        self.sql("", &format!("CREATE DATABASE `{name}` CHARACTER SET utf8mb4"))?;
        Ok(MariadbDatabase { server: self, name })
    }

    /// Connection URL of the superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_as("root", None, database)
    }

    /// Connection URL of another user, with its password if it has one.
    pub fn url_as(&self, user: &str, password: Option<&str>, database: &str) -> String {
        let secret = password.map(|word| format!(":{word}")).unwrap_or_default();
        format!("mysql://{user}{secret}@127.0.0.1:{}/{database}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The unix socket of the server.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Runs SQL through `mariadb`; rows come back with tabs between their values. The first error ends it.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String, ServerError> {
        let folder = tempfile::tempdir().map_err(|error| ServerError::file(std::env::temp_dir(), &error))?;
        let script = folder.path().join("script.sql");
        std::fs::write(&script, sql).map_err(|error| ServerError::file(&script, &error))?;
        self.sql_file(database, &script)
    }

    /// Runs a script through `mariadb`. The first error ends it.
    pub fn sql_file(&self, database: &str, script: &Path) -> Result<String, ServerError> {
        let input = std::fs::File::open(script).map_err(|error| ServerError::file(script, &error))?;
        let mut client = self.client("mariadb", database)?;
        command::run(client.args(["--batch", "--skip-column-names"]).stdin(Stdio::from(input)))
    }

    /// A client program of the same version, told where the server is, deaf to its option files.
    pub fn client(&self, name: &str, database: &str) -> Result<Command, ServerError> {
        let mut client = Command::new(program(name)?);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MYSQL")) {
            client.env_remove(name);
        }
        client.arg("--no-defaults").arg(format!("--socket={}", self.socket().display()));
        client.args(["--user=root", "--default-character-set=utf8mb4"]).stdin(Stdio::null());
        if !database.is_empty() {
            client.arg(database);
        }
        Ok(client)
    }

    /// Kills the server with SIGKILL, as when the machine runs out of memory. `start` brings it back.
    pub fn die(&self) -> Result<(), ServerError> {
        command::run(&mut stop(&self.folder, "KILL")).map(drop)
    }

    /// Starts a server that was killed, on the same port; recovery is finished when it returns.
    pub fn start(&self) -> Result<(), ServerError> {
        let mut server = Command::new(program("mariadbd")?);
        let log = std::fs::File::create(self.folder.join("server.out"))
            .map_err(|error| ServerError::file(&self.folder, &error))?;
        server.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"]);
        server.args([
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--performance-schema=0",
        ]);
        server.args(["--innodb-buffer-pool-size=96M", "--innodb-log-file-size=64M", "--max-connections=200"]);
        server.args([
            "--character-set-server=utf8mb4",
            "--innodb-flush-method=fsync",
            "--key-buffer-size=16M",
        ]);
        server.args(["--innodb-stats-persistent=0", "--aria-pagecache-buffer-size=32M"]);
        server.args(&self.settings);
        server.arg(format!("--user={}", self.user)).arg(format!("--port={}", self.port));
        server.arg(format!("--datadir={}", self.data().display()));
        server.arg(format!("--socket={}", self.socket().display()));
        server.arg(format!("--pid-file={}", self.folder.join("pid").display()));
        server.arg(format!("--log-error={}", self.folder.join("server.log").display()));
        server.current_dir("/").process_group(0).stdin(Stdio::null());
        server.stderr(Stdio::from(log)).stdout(Stdio::null());
        let mut child = server.spawn().map_err(|error| command::not_started(&server, &error))?;
        let since = Instant::now();
        loop {
            if self.sql("", "SELECT 1").is_ok() {
                return Ok(());
            }
            let status = child.try_wait().ok().flatten();
            if status.is_some() || since.elapsed() > START_LIMIT {
                // It is of no use any more, whether it still runs or not.
                drop(child.kill());
                let status = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
                let output = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
                return Err(ServerError::Failed { command: "mariadbd".to_owned(), status, output });
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn start_on_a_free_port(&mut self) -> Result<(), ServerError> {
        let mut attempt = 1;
        loop {
            let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            self.port = listener.map_err(|error| ServerError::file("127.0.0.1:0", &error))?.port();
            match self.start() {
                Err(ServerError::Failed { .. }) if attempt < START_ATTEMPTS_MAX => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

/// Ends the server of a folder by a signal, and waits until it is gone.
fn stop(folder: &Path, signal: &str) -> Command {
    let mut command = Command::new("sh");
    // A process that nobody waits for stays in the list as a zombie.
    command.arg("-c").arg(format!(
        "p=$(cat '{0}/pid' 2>/dev/null) || exit 0; kill -{signal} $p 2>/dev/null || exit 0; \
         while [ -e /proc/$p/stat ] && ! grep -q ') Z ' /proc/$p/stat 2>/dev/null; do sleep 0.05; done; rm -f '{0}/pid'",
        folder.display()
    ));
    command.current_dir("/").stdin(Stdio::null());
    command
}

/// An empty database, dropped with the handle.
#[derive(Debug)]
pub struct MariadbDatabase<'server> {
    server: &'server Mariadb,
    name: String,
}

impl MariadbDatabase<'_> {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn server(&self) -> &Mariadb {
        self.server
    }

    /// Connection URL of the superuser.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Runs SQL through `mariadb`; rows come back with tabs between their values.
    pub fn sql(&self, sql: &str) -> Result<String, ServerError> {
        self.server.sql(&self.name, sql)
    }

    /// Every row as an INSERT of its own, by `mariadb-dump`.
    pub fn dump(&self) -> Result<String, ServerError> {
        let mut dump = self.server.client("mariadb-dump", "")?;
        dump.args(["--no-create-info", "--skip-extended-insert", "--complete-insert", "--hex-blob"]);
        dump.args(["--skip-comments", "--skip-triggers", "--skip-opt", "--compact", "--tz-utc"]);
        command::run(dump.arg(&self.name))
    }
}

impl Drop for MariadbDatabase<'_> {
    fn drop(&mut self) {
        // The server may have been killed by the test; its folder goes in any case.
        drop(self.server.sql("", &format!("DROP DATABASE IF EXISTS `{}`", self.name)));
    }
}
