//! What a server of a test's own is started with: lines of `postgresql.conf`, TLS, and who may come in how.

use std::path::Path;

/// Roles in this group must show their password.
pub(super) const PASSWORD_GROUP: &str = "with_password";

/// Whether connections may, or must, be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    Off,
    Offered,
    Required,
}

/// What a server of a test's own is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    tls: Tls,
    lines: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        let lines = [
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("synchronous_commit", "off"),
            // Tests that depend on statistics run ANALYZE; the others must not wait for a worker.
            ("autovacuum", "off"),
            ("max_connections", "200"),
            // A schema of 1,400 tables is created and dropped in one transaction.
            ("max_locks_per_transaction", "512"),
            ("shared_buffers", "128MB"),
            ("checkpoint_timeout", "1h"),
            ("max_wal_size", "4GB"),
            ("timezone", "UTC"),
            ("lc_messages", "C"),
        ];
        let lines = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { tls: Tls::Off, lines }
    }
}

impl Settings {
    /// One line of `postgresql.conf`; a later line wins.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes reach the disk before they are acknowledged, as in production.
    #[must_use]
    pub fn durable(self) -> Self {
        self.set("fsync", "on").set("full_page_writes", "on").set("synchronous_commit", "on")
    }

    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// The end of `postgresql.conf` for a server in `folder`.
    pub(super) fn configuration(&self, folder: &Path) -> String {
        let socket = folder.display();
        let mut text = format!("listen_addresses = '127.0.0.1'\nunix_socket_directories = '{socket}'\n");
        if self.tls != Tls::Off {
            text.push_str("ssl = on\nssl_cert_file = '../server.crt'\nssl_key_file = '../server.key'\n");
        }
        text.extend(self.lines.iter().map(|(name, value)| format!("{name} = '{value}'\n")));
        text
    }

    pub(super) fn tls_mode(&self) -> Tls {
        self.tls
    }
}

/// `pg_hba.conf`: the first line that fits decides.
pub(super) fn access_rules(tls: Tls) -> String {
    let kind = if tls == Tls::Required { "hostssl" } else { "host" };
    // psql of the helpers prefers TLS by itself, so one list serves all three.
    format!(
        "local all all trust\n\
         {kind} all +{PASSWORD_GROUP} 127.0.0.1/32 scram-sha-256\n\
         {kind} all all 127.0.0.1/32 trust\n\
         {kind} replication all 127.0.0.1/32 trust\n"
    )
}
