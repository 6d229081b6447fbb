//! From environment, configuration and arguments to ports: the only reader of the environment.
//!
//! Invariants
//! - the secret form of an address leaves this file only towards the store that it opens; plans, messages
//!   and archives see [`Target::address`];
//! - a configuration that exists is never ignored: when it cannot be read or holds a mistake, nothing runs.
//!
//! Not here: what is done with the ports (`cli`, `engine`).

pub mod govern;
mod keys;

pub use keys::SealTo;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Instant;
use unseed_core::address;
use unseed_core::config::{Config, StateConfig, StoreConfig};
use unseed_core::fault::{Category, Fault};
use unseed_core::plan::PlanStore;
use unseed_core::port::clock::Clock;
use unseed_core::port::derived::DerivedStore;
use unseed_core::port::gauges::Gauges;
use unseed_core::port::store::ArchiveSource;
use unseed_core::schema::Schema;
use unseed_core::throttle::Throttle;
use unseed_io::archive::FolderArchive;
use unseed_io::command::HookCommands;
use unseed_io::state::{LEASE_S_DEFAULT, State};
use unseed_io::store::AnyStore;
use unseed_io::store::scratch::{Rehearsed, Scratch, rehearse};

/// Name of the configuration file.
pub const CONFIG_FILE: &str = "unseed.toml";
/// Name of the state folder.
pub const STATE_FOLDER: &str = ".unseed";
/// Name of a store that is given as a bare URL.
pub const STORE_DEFAULT: &str = "main";

/// What the command line says about the surroundings.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub config: Option<PathBuf>,
    /// A folder, the URL of a PostgreSQL database, or `env:NAME` of one of them.
    pub state: Option<String>,
}

/// The surroundings of one command.
#[derive(Debug)]
pub struct Wire {
    pub config: Config,
    /// Where the configuration was read from, if there is one.
    pub config_path: Option<PathBuf>,
    /// Where archives and plans are kept, and the state database if it is on no server.
    pub state_folder: PathBuf,
    /// The server that the state database is on.
    state_server: Option<StateServer>,
    /// Who acts.
    pub actor: String,
    /// Which process acts, for leases.
    pub holder: String,
    pub clock: SystemClock,
}

/// A store that a command works on.
#[derive(Clone)]
pub struct Target {
    /// Name in configuration and plans.
    pub name: String,
    /// For plans and messages: without any secret, or `env:NAME`.
    pub address: String,
    url: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Whether the environment asks for no colour.
pub fn no_color() -> bool {
    variable("NO_COLOR").is_some()
}

/// A variable of the environment; an empty one counts as unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Wire {
    /// Reads configuration and environment.
    ///
    /// # Errors
    /// A usage fault when the configuration is missing although named, or wrong.
    pub fn new(options: &Options) -> Result<Self, Fault> {
        let (config, config_path) = load_config(options.config.as_deref())?;
        let (state_folder, state_server) =
            state_place(options.state.as_deref(), &config.state, config_path.as_deref())?;
        let actor = actor();
        let holder = format!("{actor}@{}", host());
        let clock = SystemClock::new();
        Ok(Self { config, config_path, state_folder, state_server, actor, holder, clock })
    }

    /// Surroundings without any configuration, for a folder of their own.
    pub fn bare(state_folder: PathBuf) -> Self {
        let actor = actor();
        let holder = format!("{actor}@{}", host());
        let clock = SystemClock::new();
        let (config, state_server) = (Config::default(), None);
        Self { config, config_path: None, state_folder, state_server, actor, holder, clock }
    }

    /// The store that a command is for: a URL, a path, `env:NAME`, the name of a configured store, or the only
    /// configured one.
    ///
    /// # Errors
    /// A usage fault when nothing was given, or what was given leads nowhere.
    pub fn target(&self, given: Option<&str>) -> Result<Target, Fault> {
        match given {
            Some(given) => match self.config.stores.get(given) {
                Some(store) => target(given, &store.url),
                None => target(STORE_DEFAULT, given),
            },
            None => {
                let (name, store) = self.source().ok_or_else(|| {
                    no_store(self.config.stores.iter().filter(|(_, s)| !s.follows()).map(|(name, _)| name))
                })?;
                target(name, &store.url)
            }
        }
    }

    /// The configured store that the others follow from: the only one that follows from none, or the one called `main`.
    pub fn source(&self) -> Option<(&String, &StoreConfig)> {
        let mut first = self.config.stores.iter().filter(|(_, store)| !store.follows());
        match (first.next(), first.next()) {
            (Some(only), None) => Some(only),
            (Some(_), Some(_)) => {
                self.config.stores.get_key_value(STORE_DEFAULT).filter(|(_, s)| !s.follows())
            }
            (None, _) => None,
        }
    }

    /// The configured stores that follow from this one.
    pub fn followers(&self, source: &str) -> Vec<(String, StoreConfig)> {
        if self.source().is_none_or(|(name, _)| name != source) {
            return Vec::new();
        }
        let stores = self.config.stores.iter().filter(|(_, store)| store.follows());
        stores.map(|(name, store)| (name.clone(), store.clone())).collect()
    }

    /// Opens a configured store whose entries follow from rows elsewhere; returns its address without any secret.
    ///
    /// # Errors
    /// A usage fault when its address leads nowhere, a store fault when the connection fails.
    pub fn open_derived(
        &self,
        name: &str,
        config: &StoreConfig,
    ) -> Result<(String, Box<dyn DerivedStore>), Fault> {
        let folder = self.beside_config(".");
        if let Some(program) = config.program() {
            return Ok((program, unseed_io::store::open_derived(name, config, &folder, &variable)?));
        }
        let target = target(name, &config.url)?;
        let config = StoreConfig { url: target.url, ..config.clone() };
        Ok((target.address, unseed_io::store::open_derived(name, &config, &folder, &variable)?))
    }

    /// The store of a plan: what was given, else where the plan says, else the configured store of that name.
    ///
    /// # Errors
    /// A usage fault when the plan holds no usable address and nothing else does.
    pub fn target_of_plan(&self, store: &PlanStore, given: Option<&str>) -> Result<Target, Fault> {
        let named = |target: Target| Target { name: store.store.clone(), ..target };
        if let Some(given) = given {
            return self.target(Some(given)).map(named);
        }
        let masked = address::is_masked(&store.url);
        let unset = store.url.strip_prefix("env:").is_some_and(|name| variable(name).is_none());
        if !masked && !unset {
            return target(&store.store, &store.url);
        }
        if let Some(configured) = self.config.stores.get(&store.store) {
            return target(&store.store, &configured.url);
        }
        let why = if masked { "without its password" } else { "as a variable that is not set here" };
        Err(Fault::usage(format!("the plan names store `{}` {why}: `{}`", store.store, store.url))
            .hint("give the address with `--url URL`, or as `--url env:NAME`"))
    }

    /// Opens a store.
    ///
    /// # Errors
    /// A store fault when the connection fails.
    pub async fn open(&self, target: &Target) -> Result<Box<dyn AnyStore>, Fault> {
        unseed_io::store::open(&target.url, &variable).await
    }

    /// What the throttle measures a store by; nothing where nothing has to be measured.
    ///
    /// # Errors
    /// A usage fault when this kind of store cannot tell what is asked for.
    pub fn gauges(&self, target: &Target, throttle: &Throttle) -> Result<Option<Box<dyn Gauges>>, Fault> {
        unseed_io::store::gauges(&target.url, &variable, throttle)
    }

    /// What runs hooks; their output is kept with the state.
    pub fn commands(&self) -> HookCommands {
        HookCommands::new(self.state_folder.join("hooks"), std::sync::Arc::new(variable))
    }

    /// Loads an archive into a scratch database: a PostgreSQL URL or `env:NAME` of one, or `sqlite` for a temporary file.
    ///
    /// # Errors
    /// A usage fault when the address leads nowhere, `Refused` when the database is not empty.
    pub async fn rehearse(
        &self,
        address: &str,
        schema: &Schema,
        source: &mut dyn ArchiveSource,
    ) -> Result<Vec<Rehearsed>, Fault> {
        if address == "sqlite" {
            return rehearse(Scratch::SqliteFile, schema, source, &variable).await;
        }
        let url = target("scratch", address)?.url;
        rehearse(Scratch::Postgres(&url), schema, source, &variable).await
    }

    /// Opens the state database, and makes it where it is missing.
    ///
    /// # Errors
    /// An archive fault when that fails.
    pub fn state(&self) -> Result<State, Fault> {
        match &self.state_server {
            None => State::open(&self.state_folder),
            Some(server) => State::connect(&server.url, &variable),
        }
        .map(|state| self.furnished(state))
    }

    /// The state database, if there is one.
    ///
    /// # Errors
    /// An archive fault when it cannot be opened.
    pub fn existing_state(&self) -> Result<Option<State>, Fault> {
        let there = self.state_folder.join(unseed_io::state::FILE).exists();
        match &self.state_server {
            None if there => self.state().map(Some),
            None => Ok(None),
            Some(server) => {
                let state = State::connect_existing(&server.url, &variable)?;
                Ok(state.map(|state| self.furnished(state)))
            }
        }
    }

    fn furnished(&self, mut state: State) -> State {
        state.lease_for(self.config.state.lease_s.unwrap_or(LEASE_S_DEFAULT));
        if let Some(anchor) = self.anchor() {
            state.anchor_to(anchor);
        }
        state
    }

    /// Where the state database is, for messages.
    pub fn state_address(&self) -> String {
        match &self.state_server {
            None => self.state_folder.display().to_string(),
            Some(server) => server.address.clone(),
        }
    }

    /// Where archives of a kind of store are kept, without any key.
    pub fn archive(&self, store_kind: &str) -> FolderArchive {
        FolderArchive::new(self.state_folder.join("archive"), unseed_io::archive::extension(store_kind))
    }

    /// Where the plan of a run is kept, so that `resume`, `verify` and `restore` need only the run.
    pub fn plan_copy(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("blake3:");
        let short: String = hex.chars().filter(char::is_ascii_hexdigit).take(16).collect();
        self.state_folder.join("plans").join(short).join("plan.json")
    }
}

fn no_store<'a>(names: impl Iterator<Item = &'a String>) -> Fault {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        return Fault::usage("no store was given, and there is no configuration that names one").hint(
            "give a URL, for example `unseed scan postgres://USER@HOST/DATABASE` or `unseed scan app.db`",
        );
    }
    Fault::usage(format!("which store? the configuration names {}", names.join(", ")))
        .hint(format!("give one of them in place of the URL, for example `{}`", names[0]))
}

fn target(name: &str, given: &str) -> Result<Target, Fault> {
    let url = match given.strip_prefix("env:") {
        Some(variable_name) => variable(variable_name).ok_or_else(|| {
            Fault::usage(format!("environment variable `{variable_name}` is not set"))
                .hint(format!("set it to the address of store `{name}`, or give a URL"))
        })?,
        None => given.to_owned(),
    };
    let url = existing_file(&url)?;
    let address = if given.starts_with("env:") { given.to_owned() } else { address::redacted(&url) };
    Ok(Target { name: name.to_owned(), address, url })
}

/// Makes the path of an embedded database absolute, since plans are used from other folders too.
fn existing_file(url: &str) -> Result<String, Fault> {
    let path = match url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
        Some(path) => path,
        None if url.contains("://") => return Ok(url.to_owned()),
        None => url,
    };
    let path = path.split('?').next().unwrap_or(path);
    let message = match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {
            let whole = std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
            return Ok(format!("sqlite:{}", whole.display()));
        }
        Ok(_) => format!("`{path}` is a folder, not a database file"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("no such database file `{path}`")
        }
        Err(error) => format!("database file `{path}` cannot be opened: {error}"),
    };
    Err(Fault::usage(message)
        .hint("use postgres://USER@HOST/DATABASE, sqlite:PATH, or the path of an existing SQLite file"))
}

fn load_config(named: Option<&Path>) -> Result<(Config, Option<PathBuf>), Fault> {
    let path = named.map_or_else(|| PathBuf::from(CONFIG_FILE), Path::to_path_buf);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            return Ok((Config::default(), None));
        }
        Err(error) => {
            return Err(Fault::usage(format!("configuration `{}` cannot be read: {error}", path.display()))
                .hint("give another one with `--config FILE`, or write one with `unseed init`"));
        }
    };
    let config = Config::parse(&text, &path.display().to_string())?;
    Ok((config, Some(path)))
}

/// A server that holds the state database.
#[derive(Clone)]
struct StateServer {
    url: String,
    /// Without any secret, or `env:NAME`.
    address: String,
}

impl std::fmt::Debug for StateServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateServer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The state's folder and server: as the argument says, else the variable, else the configuration. A folder that was
/// named holds the state database too.
fn state_place(
    named: Option<&str>,
    config: &StateConfig,
    config_path: Option<&Path>,
) -> Result<(PathBuf, Option<StateServer>), Fault> {
    let beside = config_path.and_then(Path::parent).unwrap_or(Path::new(""));
    let folder = beside.join(config.folder.as_deref().unwrap_or(STATE_FOLDER));
    let given = named.map(str::to_owned).or_else(|| variable("UNSEED_STATE")).or_else(|| config.url.clone());
    let Some(given) = given else { return Ok((folder, None)) };
    let value = match given.strip_prefix("env:") {
        Some(name) => variable(name).ok_or_else(|| {
            Fault::usage(format!("environment variable `{name}` is not set"))
                .hint("set it to the URL of the state database, or name a folder with `--state DIR`")
        })?,
        None => given.clone(),
    };
    if unseed_io::state::is_server(&value) {
        let address = if given == value { address::redacted(&value) } else { given };
        return Ok((folder, Some(StateServer { url: value, address })));
    }
    if value.contains("://") {
        let scheme = value.split("://").next().unwrap_or_default();
        return Err(Fault::usage(format!("the state cannot be kept in a store of kind `{scheme}`"))
            .hint("name a folder, or a PostgreSQL database as postgres://USER@HOST/DATABASE"));
    }
    Ok((PathBuf::from(value), None))
}

fn actor() -> String {
    variable("UNSEED_ACTOR")
        .or_else(|| variable("USER"))
        .or_else(|| variable("LOGNAME"))
        .or_else(account)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The account's name where no variable tells it, as in scheduled jobs and containers.
fn account() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let uid =
        status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.to_owned();
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let found = accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2) == Some(&uid.as_str())).then(|| fields[0].to_owned())
    });
    found.or(Some(format!("uid-{uid}")))
}

fn host() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    kernel
        .map(|name| name.trim().to_owned())
        .or_else(|| variable("HOSTNAME"))
        .unwrap_or_else(|| "localhost".to_owned())
}

/// A file that a command was told to write.
///
/// # Errors
/// A fault that names the file and what keeps it from being written.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), Fault> {
    std::fs::write(path, content).map_err(|error| not_written(path, &error))
}

/// A file that a command was told to write, piece by piece.
///
/// # Errors
/// A fault that names the file and what keeps it from being made.
pub fn create_file(path: &Path) -> Result<BufWriter<File>, Fault> {
    File::create(path).map(BufWriter::new).map_err(|error| not_written(path, &error))
}

/// A file that a command reads.
///
/// # Errors
/// A usage fault that names the file.
pub fn open_file(path: &Path) -> Result<File, Fault> {
    File::open(path).map_err(|error| {
        Fault::usage(format!("file `{}` cannot be read: {error}", path.display())).hint("name another file")
    })
}

/// What is said of a file that cannot be written.
pub fn not_written(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(Category::Archive, format!("file `{}` cannot be written: {error}", path.display()))
        .state("the store was not changed")
        .hint("check the folder and the space on the disk, or name another file")
}

/// The time of this machine.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose durations count from now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> String {
        format!("{:.3}", jiff::Timestamp::now())
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn minute_of_day(&self, zone: &str) -> Option<u16> {
        let zone = jiff::tz::TimeZone::get(zone).ok()?;
        let there = jiff::Timestamp::now().to_zoned(zone);
        u16::try_from(there.hour()).ok()?.checked_mul(60)?.checked_add(u16::try_from(there.minute()).ok()?)
    }
}
