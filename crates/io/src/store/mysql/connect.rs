//! Connecting to MariaDB: URL, the client's environment variables, TLS, and the settings of the session.
//!
//! Invariants
//! - settings that change how values look, compare or are stored are pinned before the first query;
//! - `ssl-mode` means what the clients say it means: `VERIFY_IDENTITY` checks the certificate and the name it was
//!   issued for, `VERIFY_CA` the certificate alone, `REQUIRED` and `PREFERRED` encrypt without checking it.

use super::session::{MySession, sql_error};
use crate::store::Lookup;
use crate::store::sql::{Session, number, text};
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use percent_encoding::percent_decode_str;
use std::path::PathBuf;
use unseed_core::fault::Fault;

/// Settings under which rows are hashed, compared and archived.
const SETTINGS: &[&str] = &[
    "SET NAMES utf8mb4",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION'",
    "SET SESSION time_zone = '+00:00', SESSION tx_isolation = 'READ-COMMITTED', SESSION tx_read_only = 0",
    "SET SESSION autocommit = 1, SESSION foreign_key_checks = 1, SESSION unique_checks = 1",
    "SET SESSION sql_safe_updates = 0, SESSION sql_select_limit = DEFAULT, SESSION max_statement_time = 0",
    "SET SESSION big_tables = 0, SESSION wait_timeout = 86400, SESSION net_write_timeout = 3600",
    "SET SESSION group_concat_max_len = 1048576, SESSION character_set_results = utf8mb4",
    "SET SESSION join_cache_level = 2, SESSION lock_wait_timeout = 10, SESSION innodb_lock_wait_timeout = 5",
    // A longer list of values would become a table, and the server would read, and lock, every row to look it up there.
    "SET SESSION in_predicate_conversion_threshold = 0",
];

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Never,
    IfOffered,
    Always,
    KnownAuthority,
    KnownName,
}

/// Where to connect to, and how.
#[derive(Debug)]
pub(super) struct Target {
    opts: Opts,
    encryption: Encryption,
    authority: Option<PathBuf>,
    pub(super) database: String,
    /// Where it leads, without any secret.
    pub(super) location: String,
}

fn bad_url(what: &str) -> Fault {
    Fault::usage(format!("the connection URL is not valid: {what}"))
        .hint("write mysql://USER@HOST:PORT/DATABASE; escape special characters with %XX")
}

fn decoded(text: &str) -> Result<String, Fault> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| bad_url("it is no text"))?;
    Ok(text.into_owned())
}

/// Reads a URL; what it leaves out comes from the variables that the clients of MariaDB read.
pub(super) fn target(url: &str, lookup: Lookup<'_>) -> Result<Target, Fault> {
    let (_, rest) = url.split_once("://").ok_or_else(|| bad_url("it has no ://"))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word)));
    let (host, port) = host_and_port(host)?;
    let parameters = parameters(query)?;
    let parameter =
        |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let database = decoded(database)?;
    if database.is_empty() {
        return Err(bad_url("it names no database"));
    }
    let host = if host.is_empty() { lookup("MYSQL_HOST").unwrap_or_default() } else { decoded(host)? };
    let socket = parameter("socket").or_else(|| lookup("MYSQL_UNIX_PORT").filter(|_| host.is_empty()));
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    let port = port.or_else(|| lookup("MYSQL_TCP_PORT").and_then(|port| port.parse().ok())).unwrap_or(3306);
    let user = if user.is_empty() { lookup("USER").unwrap_or_default() } else { decoded(user)? };
    let password = match password {
        Some(word) => Some(decoded(word)?),
        None => lookup("MYSQL_PWD"),
    };
    let builder = OptsBuilder::default()
        .ip_or_hostname(host.clone())
        .tcp_port(port)
        .user(Some(user))
        .pass(password)
        .db_name(Some(database.clone()))
        .prefer_socket(Some(false))
        .stmt_cache_size(Some(0))
        .socket(socket.clone());
    let encryption = encryption(parameter("ssl-mode").as_deref(), socket.is_some())?;
    let location = match socket {
        Some(path) => format!("mysql://localhost/{database}?socket={path}"),
        None => format!("mysql://{host}:{port}/{database}"),
    };
    let authority = parameter("ssl-ca").map(PathBuf::from);
    Ok(Target { opts: builder.into(), encryption, authority, database, location })
}

fn host_and_port(text: &str) -> Result<(&str, Option<u16>), Fault> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map(|port| port.parse().map_err(|_| bad_url("the port is no number"))).transpose()?;
    Ok((host, port))
}

fn parameters(query: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut parameters = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = name.replace('_', "-");
        if !["ssl-mode", "ssl-ca", "socket"].contains(&name.as_str()) {
            return Err(bad_url(&format!("it has an unknown parameter `{name}`"))
                .hint("known parameters are ssl-mode, ssl-ca and socket"));
        }
        parameters.push((name, decoded(value)?));
    }
    Ok(parameters)
}

fn encryption(mode: Option<&str>, by_socket: bool) -> Result<Encryption, Fault> {
    let Some(mode) = mode else {
        return Ok(if by_socket { Encryption::Never } else { Encryption::IfOffered });
    };
    match mode.to_ascii_uppercase().replace('-', "_").as_str() {
        "DISABLED" => Ok(Encryption::Never),
        "PREFERRED" => Ok(Encryption::IfOffered),
        "REQUIRED" => Ok(Encryption::Always),
        "VERIFY_CA" => Ok(Encryption::KnownAuthority),
        "VERIFY_IDENTITY" => Ok(Encryption::KnownName),
        _ => Err(bad_url(&format!("`{mode}` is no ssl-mode"))
            .hint("ssl-mode is DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY")),
    }
}

fn tls(target: &Target) -> Option<SslOpts> {
    let roots = target.authority.iter().map(|path| path.clone().into()).collect();
    let own = target.authority.is_some();
    let options = SslOpts::default().with_root_certs(roots).with_disable_built_in_roots(own);
    match target.encryption {
        Encryption::Never => None,
        Encryption::IfOffered | Encryption::Always => {
            Some(options.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true))
        }
        Encryption::KnownAuthority => Some(options.with_danger_skip_domain_validation(true)),
        Encryption::KnownName => Some(options),
    }
}

/// Connects and pins the session's settings.
pub(super) async fn connect(target: &Target) -> Result<MySession, Fault> {
    let builder = |tls: Option<SslOpts>| OptsBuilder::from_opts(target.opts.clone()).ssl_opts(tls);
    let mut opened = Conn::new(builder(tls(target))).await;
    if target.encryption == Encryption::IfOffered && opened.as_ref().is_err_and(offers_no_tls) {
        opened = Conn::new(builder(None)).await;
    }
    let conn = opened.map_err(|error| refused(target, &error))?;
    let mut session = MySession::new(conn);
    let failed = |e: crate::store::sql::SqlError| e.fault("preparing the session");
    session.run_all(SETTINGS).await.map_err(failed)?;
    let about = "SELECT version(), @@max_allowed_packet, @@log_bin, @@binlog_format";
    let about = session.rows(about).await.map_err(failed)?;
    let about = about.first().cloned().unwrap_or_default();
    if !text(&about, 0).contains("MariaDB") {
        return Err(Fault::refused(format!("`{}` is MySQL {}, not MariaDB", target.location, text(&about, 0)))
            .hint("MySQL reads a temporary table only once in a statement, which unseed needs; MariaDB 10.6 or later will do"));
    }
    session.packet_bytes_max = usize::try_from(number(&about, 1)).unwrap_or(16 << 20);
    // Temporary tables are of no use to replicas. Who may not say so leaves it at mixed, which is right too.
    let as_rows = session.run("SET SESSION binlog_format = ROW").await;
    if as_rows.is_err() && text(&about, 2) == "1" && text(&about, 3) == "STATEMENT" {
        return Err(Fault::refused(
            "the server logs statements, and this role may not have its own logged as rows",
        )
        .hint("set binlog_format to MIXED or ROW, or grant BINLOG ADMIN to the role"));
    }
    Ok(session)
}

fn offers_no_tls(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Driver(mysql_async::DriverError::NoClientSslFlagFromServer))
}

fn refused(target: &Target, error: &mysql_async::Error) -> Fault {
    let said = match error {
        mysql_async::Error::Server(_) => sql_error(error).message,
        other @ (mysql_async::Error::Driver(_)
        | mysql_async::Error::Io(_)
        | mysql_async::Error::Other(_)
        | mysql_async::Error::Url(_)) => other.to_string(),
    };
    let hint = if said.contains("ertificate") {
        "point ssl-ca at the authority of the server's certificate and use the name it was issued for"
    } else {
        "check host, port, database, user and password, and that the server accepts connections"
    };
    Fault::store(format!("cannot connect to `{}`: {said}", target.location)).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(url: &str) -> Target {
        let environment = |name: &str| (name == "MYSQL_PWD").then(|| "secret".to_owned());
        target(url, &environment).unwrap()
    }

    #[test]
    fn urls_name_who_where_and_what() {
        let target = read("mysql://dana%40x:p%3Aw@db.example:3307/my%20shop?ssl-mode=required");
        assert_eq!((target.opts.user(), target.opts.pass()), (Some("dana@x"), Some("p:w")));
        assert_eq!((target.opts.ip_or_hostname(), target.opts.tcp_port()), ("db.example", 3307));
        assert_eq!((target.database.as_str(), target.encryption), ("my shop", Encryption::Always));
        assert_eq!(target.location, "mysql://db.example:3307/my shop");
    }

    #[test]
    fn what_a_url_leaves_out_comes_from_the_environment() {
        let target = read("mariadb://root@[::1]/shop");
        assert_eq!((target.opts.ip_or_hostname(), target.opts.pass()), ("::1", Some("secret")));
        assert_eq!(target.encryption, Encryption::IfOffered);
    }

    #[test]
    fn urls_that_cannot_be_meant_are_refused() {
        for url in ["mysql://localhost", "mysql://h:x/d", "mysql://h/d?ssl-mode=yes", "mysql://h/d?what=1"] {
            assert!(target(url, &|_| None).is_err(), "{url}");
        }
    }
}
