//! `[throttle]`, `[purge]` and `[[hooks]]`: how a purge behaves while others use the store.
//!
//! Every line is optional. Durations are written with their unit (`"5s"`, `"250ms"`, `"2min"`).
//!
//! Not here: what follows from it (`throttle`, `hook`, `engine`).

use crate::hook::{At, Hook, Phase};
use crate::throttle::{Limits, Throttle, Window};
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;

/// How long a hook may take where nothing is said: a minute.
const HOOK_MS_MAX: u64 = 60_000;

/// A mistake: what is wrong, and what to write.
type Wrong = (String, &'static str);

/// A duration with its unit, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Millis(u64);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong =
            || D::Error::invalid_value(Unexpected::Str(&text), &"a duration such as \"5s\" or \"250ms\"");
        let duration = humantime::parse_duration(&text).map_err(|_| wrong())?;
        u64::try_from(duration.as_millis()).ok().filter(|ms| *ms > 0).map(Self).ok_or_else(wrong)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileThrottle {
    replication_lag_max: Option<Millis>,
    active_sessions_max: Option<u64>,
    lock_waits_max: Option<u64>,
    wal_mb_per_second_max: Option<u64>,
    query: Option<String>,
    query_max: Option<f64>,
    window: Option<String>,
    rows_per_second: Option<u64>,
    archive_ahead: Option<bool>,
    wait_max: Option<Millis>,
    failing_max: Option<Millis>,
    probe_max: Option<Millis>,
    critical: FileCritical,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileCritical {
    replication_lag_max: Option<Millis>,
    active_sessions_max: Option<u64>,
    lock_waits_max: Option<u64>,
    wal_mb_per_second_max: Option<u64>,
    query_max: Option<f64>,
}

impl FileThrottle {
    pub(super) fn read(self) -> Result<Throttle, Wrong> {
        let ms = |value: Option<Millis>| value.map(|Millis(ms)| ms);
        let bytes = |mb: Option<u64>| mb.map(|mb| mb.saturating_mul(1_000_000));
        let limited = self.query_max.is_some() || self.critical.query_max.is_some();
        if self.query.is_some() != limited {
            let what = "`throttle.query` and `throttle.query_max` go together";
            return Err((what.to_owned(), "write both, or neither"));
        }
        if [self.query_max, self.critical.query_max].into_iter().flatten().any(|max| !max.is_finite()) {
            return Err(("`throttle.query_max` is no number".to_owned(), "write for example 100"));
        }
        if self.rows_per_second == Some(0) {
            let what = "`throttle.rows_per_second` is 0, so no row would ever leave";
            return Err((what.to_owned(), "write for example 20_000"));
        }
        let default = Throttle::default();
        Ok(Throttle {
            wait_above: Limits {
                replication_lag_ms: ms(self.replication_lag_max),
                active_sessions: self.active_sessions_max,
                lock_waits: self.lock_waits_max,
                wal_bytes_per_second: bytes(self.wal_mb_per_second_max),
                query: self.query_max,
            },
            stop_above: Limits {
                replication_lag_ms: ms(self.critical.replication_lag_max),
                active_sessions: self.critical.active_sessions_max,
                lock_waits: self.critical.lock_waits_max,
                wal_bytes_per_second: bytes(self.critical.wal_mb_per_second_max),
                query: self.critical.query_max,
            },
            query: self.query.map(|query| query.trim().trim_end_matches(';').to_owned()),
            window: self.window.map(|text| window("throttle", &text)).transpose()?,
            rows_per_second: self.rows_per_second,
            archives_ahead: self.archive_ahead.unwrap_or(default.archives_ahead),
            wait_ms_max: ms(self.wait_max).unwrap_or(default.wait_ms_max),
            failing_ms_max: ms(self.failing_max).unwrap_or(default.failing_ms_max),
            probe_ms_max: ms(self.probe_max).unwrap_or(default.probe_ms_max),
        })
    }
}

/// `[purge]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purging {
    /// Outside of it a purge refuses to begin, and stops after its batch.
    pub window: Option<Window>,
    /// How often a batch is tried, in a row.
    pub attempts_max: Option<u64>,
    /// Pause after the first failed attempt, in milliseconds; doubles each time.
    pub pause_ms_first: Option<u64>,
    /// Longest pause between two attempts, in milliseconds.
    pub pause_ms_max: Option<u64>,
    /// How long a statement waits for a lock, in milliseconds.
    pub lock_ms_max: Option<u64>,
    /// How long a statement that removes may take, in milliseconds.
    pub statement_ms_max: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FilePurging {
    window: Option<String>,
    attempts_max: Option<u64>,
    pause_first: Option<Millis>,
    pause_max: Option<Millis>,
    lock_timeout: Option<Millis>,
    statement_timeout: Option<Millis>,
}

impl FilePurging {
    pub(super) fn read(self) -> Result<Purging, Wrong> {
        let ms = |value: Option<Millis>| value.map(|Millis(ms)| ms);
        if self.attempts_max == Some(0) {
            let what = "`purge.attempts_max` is 0, so no batch would ever be tried";
            return Err((what.to_owned(), "write for example 8"));
        }
        Ok(Purging {
            window: self.window.map(|text| window("purge", &text)).transpose()?,
            attempts_max: self.attempts_max,
            pause_ms_first: ms(self.pause_first),
            pause_ms_max: ms(self.pause_max),
            lock_ms_max: ms(self.lock_timeout),
            statement_ms_max: ms(self.statement_timeout),
        })
    }
}

fn window(section: &str, text: &str) -> Result<Window, Wrong> {
    Window::parse(text).map_err(|why| {
        (format!("`{section}.window`: {why}"), "write for example \"22:00-06:00 Europe/Berlin\"")
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileHook {
    name: String,
    at: At,
    #[serde(default)]
    of: Phase,
    command: Vec<String>,
    timeout: Option<Millis>,
    #[serde(default)]
    on_resume: bool,
    #[serde(default)]
    environment: Vec<String>,
}

impl FileHook {
    /// `seen` holds the names of the hooks before this one.
    pub(super) fn read(self, seen: &mut BTreeSet<String>) -> Result<Hook, Wrong> {
        let name = self.name;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 60 || !name.chars().all(plain) {
            let what =
                format!("the hook's name `{name}` is not made of lower-case letters, digits and dashes");
            return Err((what, "write for example `name = \"pause-import\"`"));
        }
        if !seen.insert(name.clone()) {
            return Err((format!("two hooks are called `{name}`"), "give each a name of its own"));
        }
        if self.command.first().is_none_or(|program| program.trim().is_empty()) {
            let hint =
                "write the program and its arguments: `command = [\"systemctl\", \"stop\", \"importer\"]`";
            return Err((format!("hook `{name}` has no command"), hint));
        }
        if self.on_resume && self.at != At::Before {
            let what = format!("hook `{name}` says `on_resume`, but runs {}", self.at.as_str());
            return Err((what, "only hooks with `at = \"before\"` can run again on resume"));
        }
        if let Some(odd) = self.environment.iter().find(|name| name.is_empty() || name.contains(['=', '\0']))
        {
            let what = format!("hook `{name}` names the variable `{odd}`");
            return Err((what, "list names of variables only; values never stand in a configuration"));
        }
        Ok(Hook {
            name,
            at: self.at,
            of: self.of,
            command: self.command,
            timeout_ms: self.timeout.map_or(HOOK_MS_MAX, |Millis(ms)| ms),
            on_resume: self.on_resume,
            environment: self.environment,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::throttle::Limits;

    const WHOLE: &str = r#"
[throttle]
replication_lag_max = "5s"
active_sessions_max = 50
lock_waits_max = 3
wal_mb_per_second_max = 40
query = "SELECT depth FROM queue;"
query_max = 100
window = "22:00-06:00 Europe/Berlin"
rows_per_second = 20_000
archive_ahead = false
wait_max = "2h"
failing_max = "10s"
probe_max = "500ms"

[throttle.critical]
replication_lag_max = "1min"
query_max = 1e4

[purge]
window = "21:00-07:00 UTC"
attempts_max = 5
pause_first = "100ms"
pause_max = "10s"
lock_timeout = "2s"
statement_timeout = "5min"

[[hooks]]
name = "pause-import"
at = "before"
command = ["systemctl", "stop", "my importer"]
timeout = "30s"
on_resume = true

[[hooks]]
name = "tell"
at = "on_stop"
of = "restore"
command = ["notify"]
environment = ["PAGER_TOKEN"]
"#;

    #[test]
    fn every_line_is_read() {
        let config = Config::parse(WHOLE, "unseed.toml").unwrap();
        let throttle = config.throttle;
        let expected = Limits {
            replication_lag_ms: Some(5_000),
            active_sessions: Some(50),
            lock_waits: Some(3),
            wal_bytes_per_second: Some(40_000_000),
            query: Some(100.0),
        };
        assert_eq!(throttle.wait_above, expected);
        assert_eq!(throttle.stop_above.replication_lag_ms, Some(60_000));
        assert_eq!(throttle.stop_above.query, Some(10_000.0));
        assert_eq!(throttle.query.as_deref(), Some("SELECT depth FROM queue"));
        assert_eq!(throttle.window.unwrap().to_string(), "22:00-06:00 Europe/Berlin");
        assert_eq!((throttle.rows_per_second, throttle.archives_ahead), (Some(20_000), false));
        assert_eq!(
            (throttle.wait_ms_max, throttle.failing_ms_max, throttle.probe_ms_max),
            (7_200_000, 10_000, 500)
        );
        let purge = config.purge;
        assert_eq!(purge.window.unwrap().to_string(), "21:00-07:00 UTC");
        assert_eq!(
            (purge.attempts_max, purge.pause_ms_first, purge.pause_ms_max),
            (Some(5), Some(100), Some(10_000))
        );
        assert_eq!((purge.lock_ms_max, purge.statement_ms_max), (Some(2_000), Some(300_000)));
        let hooks: Vec<String> = config.hooks.iter().map(ToString::to_string).collect();
        assert_eq!(
            hooks,
            [
                "before purge: pause-import: systemctl stop \"my importer\" (at most 30 s, again on resume)",
                "on stop restore: tell: notify (at most 60 s) with PAGER_TOKEN",
            ]
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        for (text, says) in [
            ("[throttle]\nreplication_lag_max = 5", "line 2: invalid type: integer `5`, expected a string"),
            ("[throttle]\nreplication_lag_max = \"5\"", "expected a duration such as"),
            ("[throttle]\nreplication_lag_max = \"0s\"", "expected a duration such as"),
            ("[throttle]\nlag_max = \"5s\"", "line 2: unknown key `lag_max`"),
            ("[throttle]\nquery = \"SELECT 1\"", "`throttle.query` and `throttle.query_max` go together"),
            ("[throttle]\nquery_max = 1", "`throttle.query` and `throttle.query_max` go together"),
            ("[throttle]\nquery = \"SELECT 1\"\nquery_max = nan", "`throttle.query_max` is no number"),
            ("[throttle]\nrows_per_second = 0", "so no row would ever leave"),
            (
                "[throttle]\nwindow = \"22:00-06:00\"",
                "`throttle.window`: `22:00-06:00` is no window: it names no time zone",
            ),
            ("[purge]\nwindow = \"night\"", "`purge.window`: `night` is no window"),
            ("[purge]\nattempts_max = 0", "so no batch would ever be tried"),
            ("[[hooks]]\nname = \"A b\"\nat = \"before\"\ncommand = [\"x\"]", "the hook's name `A b`"),
            ("[[hooks]]\nname = \"a\"\nat = \"before\"\ncommand = []", "hook `a` has no command"),
            ("[[hooks]]\nname = \"a\"\nat = \"before\"\ncommand = \"rm -rf /\"", "expected a sequence"),
            ("[[hooks]]\nname = \"a\"\nat = \"then\"\ncommand = [\"x\"]", "unknown name `then`"),
            (
                "[[hooks]]\nname = \"a\"\nat = \"after\"\ncommand = [\"x\"]\non_resume = true",
                "hook `a` says `on_resume`",
            ),
            (
                "[[hooks]]\nname = \"a\"\nat = \"after\"\ncommand = [\"x\"]\nenvironment = [\"A=b\"]",
                "names the variable `A=b`",
            ),
            (
                "[[hooks]]\nname = \"a\"\nat = \"after\"\ncommand = [\"x\"]\n[[hooks]]\nname = \"a\"\nat = \"before\"\ncommand = [\"y\"]",
                "two hooks are called `a`",
            ),
        ] {
            let fault = Config::parse(text, "unseed.toml").unwrap_err();
            assert!(fault.message.contains(says), "{text}: {}", fault.message);
            assert!(fault.message.contains(" line "), "{text}: {}", fault.message);
            assert!(!fault.hint.is_empty(), "{text}");
        }
    }
}
