//! `[archive]`: to whom archives are encrypted, and with what they are read.
//!
//! Invariants
//! - no private key stands in a configuration: one that does is refused, and not shown.
//!
//! Not here: reading the files that are named (`unseed::wire`), what a public key looks like (`io::archive`).

use crate::keeping;
use serde::Deserialize;
use serde::de::{self, Deserializer};

/// What a configuration says about archives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Archive {
    /// Public keys, or `file:PATH` of a file with one a line.
    pub recipients: Vec<String>,
    /// A file whose first line is a passphrase; instead of recipients.
    pub passphrase_file: Option<String>,
    /// Where the private key is: `file:PATH` or `env:NAME`.
    pub identity: Option<String>,
    /// How long archives are kept after their run ended; for ever if nothing is said.
    #[serde(rename = "keep", deserialize_with = "span")]
    pub keep_s: Option<u64>,
}

/// `[quarantine]`: what every plan says, unless told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuarantineTime {
    /// How long rows that left can be put back before they are gone for good.
    #[serde(rename = "period", deserialize_with = "span")]
    pub period_s: Option<u64>,
}

/// `30d`, as seconds.
fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let read = keeping::span(&text, "the value");
    read.map(Some).map_err(|fault| de::Error::custom(format!("{}; {}", fault.message, fault.hint)))
}

impl Archive {
    /// Refuses what cannot be meant; the parts are what is wrong and what to do.
    pub(super) fn checked(self) -> Result<Self, (String, &'static str)> {
        let wrong = |what: &str, hint| Err((what.to_owned(), hint));
        if !self.recipients.is_empty() && self.passphrase_file.is_some() {
            return wrong(
                "`archive.recipients` and `archive.passphrase_file` exclude each other",
                "keep one of them",
            );
        }
        let secret = |text: &String| text.to_ascii_uppercase().contains("AGE-SECRET-KEY-");
        if self.recipients.iter().chain(&self.identity).any(secret) {
            return wrong(
                "`archive` contains a private key",
                "keep it in a file outside the state folder, and write `identity = \"file:PATH\"`; recipients are public keys",
            );
        }
        let named = |text: &str| {
            ["file:", "env:"].iter().any(|p| text.strip_prefix(p).is_some_and(|rest| !rest.is_empty()))
        };
        if self.identity.as_deref().is_some_and(|text| !named(text)) {
            return wrong(
                "`archive.identity` says neither `file:PATH` nor `env:NAME`",
                "write for example `identity = \"file:/home/me/.age/key.txt\"`",
            );
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let fault = Config::parse(&format!("[archive]\n{text}\n"), "unseed.toml").unwrap_err();
        assert!(fault.message.contains(expected), "{}", fault.message);
        assert!(!format!("{fault:?}").contains("SECRET-KEY-1QQ"), "{fault:?}");
        assert!(!fault.hint.is_empty());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_no_key_is_shown() {
        refused("recipients = [\"age1x\"]\npassphrase_file = \"p\"", "exclude each other");
        refused("identity = \"AGE-SECRET-KEY-1QQ\"", "contains a private key");
        refused("recipients = [\"AGE-SECRET-KEY-1QQ\"]", "contains a private key");
        refused("identity = \"key.txt\"", "neither `file:PATH` nor `env:NAME`");
        refused("keys = 1", "unknown key `keys`");
    }

    #[test]
    fn times_are_read_and_what_is_no_time_is_refused() {
        let config =
            Config::parse("[archive]\nkeep = \"90d\"\n[quarantine]\nperiod = \"12h\"", "unseed.toml");
        let config = config.unwrap();
        assert_eq!(
            (config.archive.keep_s, config.quarantine.period_s),
            (Some(90 * 86_400), Some(12 * 3_600))
        );
        assert_eq!(config.policy().keeping.quarantine_s, Some(12 * 3_600));
        for text in ["keep = \"soon\"", "keep = \"0d\"", "keep = 90", "keep = \"\""] {
            refused(text, "line 2");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = "[archive]\nrecipients = [\"age1x\", \"file:r.txt\"]\nidentity = \"env:KEY\"";
        let archive = Config::parse(text, "unseed.toml").unwrap().archive;
        assert_eq!((archive.recipients.len(), archive.identity.as_deref()), (2, Some("env:KEY")));
    }
}
