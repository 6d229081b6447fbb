//! PostgreSQL servers: one for the whole test process, or one of a test's own that it may kill and restart.
//!
//! A server lives in a temporary folder, listens on a free loopback port and on a socket in that folder, and stops
//! with the test process. Durability is off unless asked for: only the process may crash, not the machine.
//!
//! Invariants
//! - one shared server a process, one fresh database a test;
//! - nobody needs a password, except roles that were made with one.

use super::database::Database;
use super::settings::{PASSWORD_GROUP, Settings, Tls, access_rules};
use super::watchdog::Watchdog;
use super::{ServerError, certificate, command, postgres_programs};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Another process may take the port between our look and the server's start.
const START_ATTEMPTS_MAX: u32 = 5;
static SHARED: OnceLock<Result<Postgres, ServerError>> = OnceLock::new();

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
    tls: Tls,
    /// Set when we are root, which PostgreSQL refuses to run as.
    as_postgres: bool,
    database_count: AtomicU32,
    _watchdog: Watchdog,
}

impl Postgres {
    /// The server that all tests of this process use, started by the first of them.
    pub fn shared() -> Result<&'static Self, ServerError> {
        SHARED.get_or_init(|| Self::start_own(&Settings::default())).as_ref().map_err(Clone::clone)
    }

    /// A separate server, stopped when the value is dropped.
    pub fn start_own(settings: &Settings) -> Result<Self, ServerError> {
        let mut server = Self::in_a_new_folder(settings.tls_mode())?;
        server.initialise(settings)?;
        server.start_on_a_free_port()?;
        server.psql("postgres", &format!("CREATE ROLE {PASSWORD_GROUP} NOLOGIN"))?;
        Ok(server)
    }

    /// A hot standby that streams from this server, which must be one without TLS.
    pub fn start_replica(&self) -> Result<Self, ServerError> {
        let mut replica = Self::in_a_new_folder(Tls::Off)?;
        replica.hand_folder_over()?;
        let mut copy = as_owner(replica.as_postgres, &replica.bin.join("pg_basebackup"));
        copy.arg("-D").arg(replica.data()).args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        copy.args(["-U", "postgres", "-R", "-X", "stream", "-c", "fast", "--no-sync"]);
        command::run(copy.current_dir("/"))?;
        let folder = replica.folder.display();
        replica.append("postgresql.conf", &format!("unix_socket_directories = '{folder}'\n"))?;
        replica.start_on_a_free_port()?;
        Ok(replica)
    }

    fn in_a_new_folder(tls: Tls) -> Result<Self, ServerError> {
        let bin = postgres_programs()?;
        let folder = tempfile::Builder::new().prefix("unseed-pg-").tempdir();
        let folder = folder.map_err(|error| ServerError::file(std::env::temp_dir(), &error))?;
        let owner =
            std::fs::metadata(folder.path()).map_err(|error| ServerError::file(folder.path(), &error))?;
        let as_postgres = owner.uid() == 0;
        let stop = control(&bin, folder.path(), as_postgres, &["-m", "immediate", "-w", "stop"]);
        let watchdog = Watchdog::start(folder.path(), &stop)?;
        // From here on the watchdog removes the folder.
        let folder = folder.keep();
        let database_count = AtomicU32::new(0);
        Ok(Self { bin, folder, port: 0, tls, as_postgres, database_count, _watchdog: watchdog })
    }

    /// An empty database whose name starts with `prefix`; it is dropped with the handle.
    pub fn database(&self, prefix: &str) -> Result<Database<'_>, ServerError> {
        let number = self.database_count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}_{number}");
        self.psql("postgres", &format!("CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'"))?;
        Ok(Database { server: self, name })
    }

    /// A copy of a database that nobody is connected to; it is dropped with the handle.
    pub fn copy(&self, database: &Database<'_>) -> Result<Database<'_>, ServerError> {
        let number = self.database_count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}_copy_{number}", database.name());
        self.psql("postgres", &format!("CREATE DATABASE \"{name}\" TEMPLATE \"{}\"", database.name()))?;
        Ok(Database { server: self, name })
    }

    /// A role that may log in, without any right. With a password it must show it, else it needs none.
    /// Roles belong to the whole server: on the shared one, take a name that no other test takes.
    pub fn role(&self, name: &str, password: Option<&str>) -> Result<(), ServerError> {
        let sql = match password {
            Some(word) => format!("CREATE ROLE \"{name}\" LOGIN PASSWORD '{word}' IN ROLE {PASSWORD_GROUP}"),
            None => format!("CREATE ROLE \"{name}\" LOGIN"),
        };
        self.psql("postgres", &sql).map(drop)
    }

    /// Connection URL of the superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Connection URL of another role, with its password if it has one.
    pub fn url_as(&self, role: &str, password: Option<&str>, database: &str) -> String {
        let secret = password.map(|word| format!(":{word}")).unwrap_or_default();
        format!("postgres://{role}{secret}@127.0.0.1:{}/{database}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Folder of the unix socket: `host=FOLDER port=PORT` reaches the server without TCP.
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// The certificate that clients of a server with TLS have to trust.
    pub fn authority_file(&self) -> PathBuf {
        self.folder.join("authority.crt")
    }

    /// Runs SQL and backslash commands through `psql`; rows come back as `a|b` lines. The first error ends it.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, ServerError> {
        let folder = tempfile::tempdir().map_err(|error| ServerError::file(std::env::temp_dir(), &error))?;
        let script = folder.path().join("script.sql");
        std::fs::write(&script, sql).map_err(|error| ServerError::file(&script, &error))?;
        self.psql_file(database, &script, &[])
    }

    /// Runs a script through `psql` with variables (`-v name=value`). The first error ends it.
    pub fn psql_file(
        &self,
        database: &str,
        script: &Path,
        variables: &[(&str, &str)],
    ) -> Result<String, ServerError> {
        let mut client = self.client("psql", database);
        client.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        for (name, value) in variables {
            client.arg("-v").arg(format!("{name}={value}"));
        }
        command::run(client.arg("-f").arg(script))
    }

    /// The schema of a database as plain SQL which any client can run, without owners and grants.
    pub fn dump_schema(&self, database: &str) -> Result<String, ServerError> {
        let mut client = self.client("pg_dump", database);
        let dump = command::run(client.args(["--schema-only", "--no-owner", "--no-privileges"]))?;
        // `\restrict` is for psql alone.
        let lines =
            dump.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
        Ok(lines.flat_map(|line| [line, "\n"]).collect())
    }

    /// A client program of the same version, told where the server is, deaf to the `PG…` variables around it.
    pub fn client(&self, program: &str, database: &str) -> Command {
        let mut client = Command::new(self.bin.join(program));
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("PG")) {
            client.env_remove(name);
        }
        client.env("PGOPTIONS", "-c client_min_messages=warning").stdin(Stdio::null());
        client.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", "-d", database]);
        client
    }

    /// Ends the server as a crash would: no checkpoint, every session cut. `start` brings it back.
    pub fn kill(&self) -> Result<(), ServerError> {
        self.control(&["-m", "immediate", "-w", "stop"])
    }

    /// Kills every process of the server with SIGKILL, as when the machine runs out of memory. `start` brings it back.
    pub fn die(&self) -> Result<(), ServerError> {
        let path = self.data().join("postmaster.pid");
        let text = std::fs::read_to_string(&path).map_err(|error| ServerError::file(&path, &error))?;
        let postmaster = text.lines().next().unwrap_or_default().to_owned();
        let signal = |name: &str, processes: &[&str]| {
            // A process that has ended by itself is dead as well.
            drop(command::run(Command::new("kill").arg(name).args(processes)));
        };
        // What is stopped has no further children.
        signal("-STOP", &[&postmaster]);
        let children = command::run(Command::new("ps").args(["-o", "pid=", "--ppid", &postmaster]))?;
        let processes: Vec<&str> =
            std::iter::once(postmaster.as_str()).chain(children.split_whitespace()).collect();
        signal("-KILL", &processes);
        // Where nobody waits for it, what is left of a process stays in the list.
        let lives = |stat: String| !stat.contains(") Z ");
        for process in processes {
            while std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(lives) {
                std::thread::yield_now();
            }
        }
        // A process that nobody waits for would still count as a server at work.
        for path in [path, self.folder.join(format!(".s.PGSQL.{}.lock", self.port))] {
            std::fs::remove_file(&path).map_err(|error| ServerError::file(&path, &error))?;
        }
        Ok(())
    }

    /// Starts a server that was killed, on the same port; recovery is finished when it returns.
    pub fn start(&self) -> Result<(), ServerError> {
        let log = self.folder.join("server.log");
        let port = format!("-p {}", self.port);
        self.control(&["-w", "-t", "120", "-l", &log.to_string_lossy(), "-o", &port, "start"])
    }

    /// Stops in order, cutting sessions, and starts again on the same port.
    pub fn restart(&self) -> Result<(), ServerError> {
        self.control(&["-m", "fast", "-w", "stop"])?;
        self.start()
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    fn initialise(&self, settings: &Settings) -> Result<(), ServerError> {
        self.hand_folder_over()?;
        let mut initdb = as_owner(self.as_postgres, &self.bin.join("initdb"));
        initdb.arg("-D").arg(self.data());
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]);
        command::run(initdb.current_dir("/"))?;
        if self.tls != Tls::Off {
            self.write_certificates()?;
        }
        self.append("postgresql.conf", &settings.configuration(&self.folder))?;
        self.write("data/pg_hba.conf", &access_rules(self.tls))
    }

    fn hand_folder_over(&self) -> Result<(), ServerError> {
        if self.as_postgres {
            command::run(Command::new("chown").arg("postgres:").arg(&self.folder))?;
            // We are root and may look into it; other tests of other users may not.
            command::run(Command::new("chmod").arg("0711").arg(&self.folder))?;
        }
        Ok(())
    }

    fn write_certificates(&self) -> Result<(), ServerError> {
        let pem = certificate::for_loopback()?;
        self.write("authority.crt", &pem.authority)?;
        self.write("server.crt", &pem.certificate)?;
        self.write("server.key", &pem.key)?;
        let key = self.folder.join("server.key");
        command::run(Command::new("chmod").arg("0600").arg(&key))?;
        if self.as_postgres {
            command::run(Command::new("chown").arg("postgres:").arg(&key))?;
        }
        Ok(())
    }

    fn start_on_a_free_port(&mut self) -> Result<(), ServerError> {
        let mut attempt = 1;
        loop {
            self.port = free_port()?;
            match self.start() {
                Err(ServerError::Failed { .. }) if attempt < START_ATTEMPTS_MAX => attempt += 1,
                Err(ServerError::Failed { command, status, output }) => {
                    let output = format!("{output}\n{}", self.log());
                    return Err(ServerError::Failed { command, status, output });
                }
                outcome => return outcome,
            }
        }
    }

    fn control(&self, arguments: &[&str]) -> Result<(), ServerError> {
        command::run(&mut control(&self.bin, &self.folder, self.as_postgres, arguments)).map(drop)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn write(&self, name: &str, text: &str) -> Result<(), ServerError> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).map_err(|error| ServerError::file(&path, &error))
    }

    fn append(&self, name: &str, text: &str) -> Result<(), ServerError> {
        let path = self.data().join(name);
        let before = std::fs::read_to_string(&path).map_err(|error| ServerError::file(&path, &error))?;
        std::fs::write(&path, format!("{before}\n{text}")).map_err(|error| ServerError::file(&path, &error))
    }
}

fn control(bin: &Path, folder: &Path, as_postgres: bool, arguments: &[&str]) -> Command {
    let mut command = as_owner(as_postgres, &bin.join("pg_ctl"));
    command
        .arg("-s")
        .arg("-D")
        .arg(folder.join("data"))
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

fn as_owner(as_postgres: bool, program: &Path) -> Command {
    if !as_postgres {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn free_port() -> Result<u16, ServerError> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = listener.map_err(|error| ServerError::file("127.0.0.1:0", &error))?;
    Ok(address.port())
}
