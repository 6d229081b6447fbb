//! Connecting to PostgreSQL: URL, libpq's environment variables and password file, TLS.
//!
//! Invariants
//! - session settings that change how values look as text are pinned before the first query;
//! - `sslmode` means what libpq says it means: `verify-full` checks the certificate and the name it was issued for,
//!   `verify-ca` the certificate alone, `require` and `prefer` encrypt without checking it.

use crate::store::Lookup;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use unseed_core::fault::Fault;

/// Settings under which rows are hashed and archived. Everything that changes the text of a value is here.
const SETTINGS: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601'; \
     SET bytea_output = 'hex'; SET extra_float_digits = 3; SET xmlbinary = 'base64'; \
     SET row_security = off; SET statement_timeout = 0; \
     SET idle_in_transaction_session_timeout = 0; SET client_min_messages = warning; \
     SET standard_conforming_strings = on; SET default_transaction_isolation = 'read committed'; \
     SET default_transaction_deferrable = off; SET jit = off; \
     SET work_mem = '64MB'; SET temp_buffers = '64MB'; SET default_statistics_target = 10; SET lc_monetary = 'C'; \
     SET quote_all_identifiers = off; SET xmloption = content; SET array_nulls = on; SET backslash_quote = safe_encoding; \
     SET transform_null_equals = off";

/// A commit that was answered must survive a crash of the server, since the journal then says that it
/// happened; and keys are compared with the operators of their types, wherever an extension lives.
const OBLIGATIONS: &str = "SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') = 'off'; \
     SELECT set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''), names), false) \
     FROM (SELECT string_agg(DISTINCT quote_ident(n.nspname), ', ') AS names \
           FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace \
           WHERE o.oprname = '=' AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
             AND has_schema_privilege(n.oid, 'USAGE')) AS operators WHERE names IS NOT NULL";

/// A configuration and how strictly its certificate is checked.
#[derive(Clone)]
pub(crate) struct Target {
    config: Config,
    verify: Verify,
    root_file: Option<String>,
    /// Where it leads, without any secret.
    pub(crate) location: String,
}

/// What is asked of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verify {
    Nothing,
    /// A known authority issued it.
    Authority,
    /// That, and it was issued for the name that we connect to.
    Name,
}

/// An open connection.
pub(crate) struct Connected {
    pub(crate) client: Client,
}

/// Connects and pins the session's settings.
pub(crate) async fn connect(target: &Target) -> Result<Connected, Fault> {
    let failed = |error: &dyn std::error::Error| {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text = format!("{text}: {inner_text}");
            }
            source = inner.source();
        }
        let hint = if text.contains("certificate") {
            "point sslrootcert at the authority of the server's certificate and use the name it was issued for"
        } else {
            "check host, port, database, user and password, and that the server accepts connections"
        };
        Fault::store(format!("cannot connect to `{}`: {text}", target.location)).hint(hint)
    };
    let tls = tls(target.verify, target.root_file.as_deref())?;
    let (client, connection) = target.config.connect(tls).await.map_err(|error| failed(&error))?;
    tokio::spawn(async move {
        // A broken connection is reported by the next query; there is nobody to tell here.
        drop(connection.await);
    });
    client.batch_execute(SETTINGS).await.map_err(|error| failed(&error))?;
    client.batch_execute(OBLIGATIONS).await.map_err(|error| failed(&error))?;
    Ok(Connected { client })
}

/// Reads a connection URL; what it leaves out comes from libpq's environment variables.
pub(crate) fn target(url: &str, lookup: Lookup<'_>) -> Result<Target, Fault> {
    let (plain, mode, root_file) = take_ssl_parameters(url);
    let mut config: Config = plain.parse().map_err(|error: tokio_postgres::Error| {
        Fault::usage(format!("the connection URL is not valid: {error}"))
            .hint("write postgres://USER@HOST:PORT/DATABASE; escape special characters with %XX")
    })?;
    let mode = mode.or_else(|| lookup("PGSSLMODE"));
    let (ssl, verify) = match mode.as_deref() {
        None | Some("prefer" | "allow") => (SslMode::Prefer, Verify::Nothing),
        Some("disable") => (SslMode::Disable, Verify::Nothing),
        Some("require") => (SslMode::Require, Verify::Nothing),
        Some("verify-ca") => (SslMode::Require, Verify::Authority),
        Some("verify-full") => (SslMode::Require, Verify::Name),
        Some(other) => {
            return Err(Fault::usage(format!("sslmode `{other}` is not known"))
                .hint("use disable, prefer, require, verify-ca or verify-full"));
        }
    };
    config.ssl_mode(ssl);
    fill_from_environment(&mut config, lookup);
    config.application_name("unseed");
    config.keepalives_idle(Duration::from_secs(60));
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(15));
    }
    let location = location(&config);
    Ok(Target { config, verify, root_file: root_file.or_else(|| lookup("PGSSLROOTCERT")), location })
}

/// Takes `sslmode` and `sslrootcert` out of a URL, since the driver does not know all their values.
fn take_ssl_parameters(url: &str) -> (String, Option<String>, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None, None) };
    let (mut mode, mut root, mut rest) = (None, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(decode(value)),
            Some(("sslrootcert", value)) => root = Some(decode(value)),
            Some((
                "channel_binding"
                | "options"
                | "connect_timeout"
                | "application_name"
                | "host"
                | "port"
                | "user"
                | "password"
                | "dbname"
                | "target_session_attrs"
                | "hostaddr"
                | "keepalives"
                | "keepalives_idle",
                _,
            )) => {
                rest.push(pair);
            }
            // Parameters of poolers and object mappers (`pgbouncer`, `schema`, `pool_timeout`) mean nothing here.
            Some(_) | None => {}
        }
    }
    let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    (url, mode, root)
}

fn fill_from_environment(config: &mut Config, lookup: Lookup<'_>) {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host(lookup("PGHOST").unwrap_or_else(|| "localhost".to_owned()));
    }
    if config.get_ports().is_empty()
        && let Some(port) = lookup("PGPORT").and_then(|text| text.parse().ok())
    {
        config.port(port);
    }
    if config.get_user().is_none() {
        let user = lookup("PGUSER").or_else(|| lookup("USER")).unwrap_or_else(|| "postgres".to_owned());
        config.user(user);
    }
    if config.get_dbname().is_none() {
        let name = lookup("PGDATABASE").or_else(|| config.get_user().map(str::to_owned));
        config.dbname(name.unwrap_or_default());
    }
    if config.get_password().is_none() {
        let password = lookup("PGPASSWORD").or_else(|| password_file(config, lookup));
        if let Some(password) = password {
            config.password(password);
        }
    }
}

/// Looks into the password file, in libpq's format: host:port:database:user:password, `*` for any.
fn password_file(config: &Config, lookup: Lookup<'_>) -> Option<String> {
    let path = lookup("PGPASSFILE").or_else(|| lookup("HOME").map(|home| format!("{home}/.pgpass")))?;
    let text = std::fs::read_to_string(path).ok()?;
    let host = config.get_hosts().first().map(host_text).unwrap_or_default();
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let wanted = [
        host.as_str(),
        &port,
        config.get_dbname().unwrap_or_default(),
        config.get_user().unwrap_or_default(),
    ];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = password_fields(line);
        let (password, keys) = fields.split_last()?;
        let fits = keys.len() == 4 && keys.iter().zip(wanted).all(|(key, want)| key == "*" || key == want);
        fits.then(|| password.clone())
    })
}

fn password_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut escaped = false;
    for character in line.chars() {
        if !escaped && character == '\\' {
            escaped = true;
            continue;
        }
        if !escaped && character == ':' && fields.len() < 5 {
            fields.push(String::new());
        } else if let Some(last) = fields.last_mut() {
            last.push(character);
        }
        escaped = false;
    }
    fields
}

fn host_text(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

fn location(config: &Config) -> String {
    let host = config.get_hosts().first().map(host_text).unwrap_or_default();
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let user = config.get_user().unwrap_or_default();
    format!("postgres://{user}@{host}:{port}/{}", config.get_dbname().unwrap_or_default())
}

fn tls(verify: Verify, root_file: Option<&str>) -> Result<MakeRustlsConnect, Fault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::store(format!("TLS cannot be set up: {error}")))?;
    let config = match verify {
        Verify::Name => builder.with_root_certificates(roots(root_file)?).with_no_client_auth(),
        Verify::Authority => {
            let known = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(root_file)?), provider);
            let known = known.build().map_err(|error| {
                Fault::usage(format!("no authority to check the server's certificate with: {error}"))
                    .hint("point sslrootcert at a PEM file with the certificate authority of the server")
            })?;
            custom(builder, Arc::new(AnyName(known)))
        }
        Verify::Nothing => custom(builder, Arc::new(AnyCertificate(provider))),
    };
    Ok(MakeRustlsConnect::new(config))
}

fn custom(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> ClientConfig {
    builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
}

fn roots(file: Option<&str>) -> Result<RootCertStore, Fault> {
    let mut store = RootCertStore::empty();
    let Some(file) = file.filter(|file| *file != "system") else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    let broken = |error: &dyn std::fmt::Display| {
        Fault::usage(format!("certificate file `{file}` cannot be used: {error}"))
            .hint("point sslrootcert at a PEM file with the certificate authority of the server")
    };
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| broken(&error))? {
        let certificate = certificate.map_err(|error| broken(&error))?;
        store.add(certificate).map_err(|error| broken(&error))?;
    }
    Ok(store)
}

/// Accepts any certificate, as libpq does for `require` and `prefer`: the line is encrypted, the peer is not
/// known.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Accepts what a known authority issued, for whatever name, as libpq does for `verify-ca`.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is looked at last, so a wrong one is all that is wrong.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            answer => answer,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_lines_are_split_as_libpq_does() {
        assert_eq!(password_fields(r"db\:1:5432:*:ann:a:b\\c"), ["db:1", "5432", "*", "ann", r"a:b\c"]);
    }

    #[test]
    fn ssl_and_foreign_parameters_are_taken_out_of_the_url() {
        let (url, mode, root) = take_ssl_parameters(
            "postgres://a@b/c?sslmode=verify-full&connect_timeout=3&pgbouncer=true&sslrootcert=%2Fca.pem",
        );
        assert_eq!(url, "postgres://a@b/c?connect_timeout=3");
        assert_eq!((mode.as_deref(), root.as_deref()), (Some("verify-full"), Some("/ca.pem")));
    }

    #[test]
    fn the_location_has_no_password() {
        let target = target("postgres://ann:secret@db.example:6000/app", &|_| None).unwrap();
        assert_eq!(target.location, "postgres://ann@db.example:6000/app");
    }
}
