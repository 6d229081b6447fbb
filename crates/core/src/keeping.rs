//! How long rows can be put back: the quarantine of a run, how long its archive is kept, and holds.
//!
//! A plan says how long ([`Keeping`]), its run keeps what came of it ([`Kept`]), and [`standing`] tells what may be
//! done with the archive now. The plan's word is never shortened: of plan and configuration the longer time counts.
//!
//! Invariants
//! - what is not certain is kept: a time that cannot be read, a clock that went back, a run that is not over;
//! - a hold outranks every time.
//!
//! Not here: removing anything (`engine::retention`, `engine::due`), the clock (`port::clock`).

use crate::approve::statement::seconds_of_clock;
use crate::detect::time;
use crate::fault::{Fault, counted};
use crate::run::RunState;
use serde::{Deserialize, Serialize};

/// The longest time that can be asked for: a century.
const SPAN_S_MAX: u64 = 100 * 366 * 86_400;

/// What a plan says about the time in which its rows can be put back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keeping {
    /// Rows that left can be put back for so many seconds; then they are gone for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine_s: Option<u64>,
    /// An archive is kept at least for so many seconds after its run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_s: Option<u64>,
}

impl Keeping {
    /// Whether nothing is said.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What a run knows about its archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What was agreed to when the run began.
    #[serde(default, skip_serializing_if = "Keeping::is_none")]
    pub agreed: Keeping,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Expired>,
}

impl Kept {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The time between the removal of rows and their end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    pub since: String,
    pub until: String,
    /// Why the last attempt to end it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Somebody's word that an archive must stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub at: String,
    pub by: String,
    pub reason: String,
}

/// The rows of an archive were removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    pub at: String,
    pub by: String,
    pub why: String,
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub state: RunState,
    /// When the run ended.
    pub finished_at: Option<&'a str>,
    /// Whether batches of the run were ever committed.
    pub has_rows: bool,
    pub kept: &'a Kept,
    /// How long the configuration keeps archives.
    pub keep_s: Option<u64>,
    pub now: &'a str,
}

/// What may be done with an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The run goes on or can be resumed.
    Unfinished,
    /// No row of the run ever left.
    Empty,
    Expired(Expired),
    Held(Hold),
    /// In quarantine until then.
    Quarantined {
        until: String,
    },
    /// The quarantine is over since then.
    Due {
        since: String,
    },
    /// Kept until then, or as long as nobody says how long.
    Kept {
        until: Option<String>,
    },
    /// Nobody keeps it any longer since then.
    Over {
        since: String,
    },
}

/// Tells what may be done with the archive of a run.
pub fn standing(asked: &Question<'_>) -> Standing {
    let Question { state, kept, .. } = *asked;
    if let Some(expired) = &kept.expired {
        return Standing::Expired(expired.clone());
    }
    if !asked.has_rows && state != RunState::Running {
        return Standing::Empty;
    }
    if let Some(hold) = &kept.hold {
        return Standing::Held(hold.clone());
    }
    let kept_until = asked.finished_at.and_then(|finished| {
        let keep_s = asked.keep_s.map(|keep_s| keep_s.max(kept.agreed.archive_s.unwrap_or(0)));
        Some(later(finished, keep_s?))
    });
    match state {
        RunState::Running | RunState::Stopped => Standing::Unfinished,
        RunState::Quarantined => {
            let until = kept.quarantine.as_ref().map(|quarantine| quarantine.until.clone());
            let Some(until) = until else { return Standing::Kept { until: None } };
            // An archive that is to be kept longer is not removed because a quarantine ends.
            let until = [Some(until), kept_until.flatten()].into_iter().flatten().max().unwrap_or_default();
            match passed(&until, asked.now) {
                true => Standing::Due { since: until },
                false => Standing::Quarantined { until },
            }
        }
        RunState::Done | RunState::Verified | RunState::Restored | RunState::Failed => {
            match kept_until.flatten() {
                Some(until) if passed(&until, asked.now) => Standing::Over { since: until },
                until => Standing::Kept { until },
            }
        }
    }
}

/// Begins a quarantine. `seen` are times that the state knows: a clock that went back since does not make it shorter.
pub fn begin<'a>(agreed: Keeping, now: &'a str, seen: impl Iterator<Item = &'a str>) -> Option<Quarantine> {
    let span_s = agreed.quarantine_s?.max(agreed.archive_s.unwrap_or(0));
    let since = seen.chain([now]).filter_map(seconds_of_clock).max()?;
    let until = time::clock_text(since.saturating_add(i64::try_from(span_s).ok()?));
    Some(Quarantine { since: time::clock_text(since), until, refused: None })
}

fn later(from: &str, span_s: u64) -> Option<String> {
    let from_s = seconds_of_clock(from)?;
    Some(time::clock_text(from_s.saturating_add(i64::try_from(span_s).ok()?)))
}

fn passed(until: &str, now: &str) -> bool {
    matches!((seconds_of_clock(until), seconds_of_clock(now)), (Some(until), Some(now)) if now >= until)
}

/// Reads `30d`, `12h`, `2w` or `90s` as seconds.
///
/// # Errors
/// A usage fault that names `what` was meant, for anything else and for no time at all.
pub fn span(text: &str, what: &str) -> Result<u64, Fault> {
    let fault = || {
        Fault::usage(format!("{what} `{text}` is no time"))
            .hint("write for example `30d`, `12h` or `2w`, at most 100 years")
    };
    let (number, unit) =
        text.trim().split_at_checked(text.trim().len().saturating_sub(1)).ok_or_else(fault)?;
    let unit_s: u64 = match unit {
        "s" => 1,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(fault()),
    };
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let seconds = number.parse::<u64>().ok().filter(|_| plain).and_then(|n| n.checked_mul(unit_s));
    seconds.filter(|seconds| (1..=SPAN_S_MAX).contains(seconds)).ok_or_else(fault)
}

/// `30 days`, in the largest unit that fits.
pub fn span_text(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (1, "second")];
    let (unit_s, noun) =
        units.into_iter().find(|(unit_s, _)| seconds.is_multiple_of(*unit_s)).unwrap_or((1, "second"));
    counted(seconds / unit_s, noun)
}

#[cfg(test)]
#[path = "keeping_tests.rs"]
mod tests;
