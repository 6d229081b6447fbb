//! `[approval]`, `[destructive]` and `[audit]`: who has to agree, what may be touched at all, how it is logged.
//!
//! Without these sections one person with an id may purge any store. A section that is there is taken at its
//! strictest: `[destructive]` that says nothing else forbids.
//!
//! Not here: what follows from it (`approve`, `permit`, `audit`).

use super::Place;
use crate::fault::Fault;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// How long an approval holds where nothing is said: a week.
const VALID_HOURS_MAX: u32 = 168;

/// Who has to agree before a plan is applied.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approvals {
    /// People who have to sign a plan; 0 asks the person at the terminal instead.
    pub required: u32,
    /// People who have to sign before a run is restored; as many as `required` if nothing is said.
    pub required_for_restore: Option<u32>,
    /// An OpenSSH `allowed_signers` file, relative to the configuration.
    pub allowed_signers: Option<String>,
    /// An approval counts for so many hours after it was signed, whatever it says itself.
    pub valid_hours_max: u32,
}

impl Default for Approvals {
    fn default() -> Self {
        Self {
            required: 0,
            required_for_restore: None,
            allowed_signers: None,
            valid_hours_max: VALID_HOURS_MAX,
        }
    }
}

impl Approvals {
    /// People who have to sign before a run is restored.
    pub fn for_restore(&self) -> u32 {
        self.required_for_restore.unwrap_or(self.required)
    }

    /// How long an approval holds at most, in seconds.
    pub fn valid_s_max(&self) -> i64 {
        i64::from(self.valid_hours_max) * 3_600
    }
}

/// What may be removed at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destructive {
    /// Off until somebody turns it on.
    #[serde(default)]
    pub enabled: bool,
    /// Names of `[stores]`; any store if nothing is said.
    #[serde(default)]
    pub stores: Option<Vec<String>>,
    /// Tables that rows may be chosen from; any table if nothing is said.
    #[serde(default)]
    pub roots: Option<Vec<String>>,
}

/// How the audit log is kept from being rewritten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// A file elsewhere that every entry's hash is written to, relative to the configuration.
    pub anchor: Option<String>,
    /// An SSH key that signs the log after every run, relative to the configuration.
    pub checkpoint_key: Option<String>,
}

pub(super) fn approvals(place: &Place<'_>, section: Spanned<Approvals>) -> Result<Approvals, Fault> {
    let span = section.span();
    let read = section.into_inner();
    if read.valid_hours_max == 0 {
        let what = "`approval.valid_hours_max` is 0, so no approval would ever count";
        return Err(place.at(Some(span), what).hint("write for example 168"));
    }
    Ok(read)
}

pub(super) fn destructive<T>(
    place: &Place<'_>,
    section: Spanned<Destructive>,
    stores: &BTreeMap<String, T>,
) -> Result<Destructive, Fault> {
    let span = section.span();
    let read = section.into_inner();
    for name in read.stores.iter().flatten() {
        if !stores.contains_key(name) {
            let what = format!("`destructive.stores` names `{name}`, but there is no `[stores.{name}]`");
            return Err(place.at(Some(span), &what).hint("name stores of this configuration"));
        }
    }
    Ok(read)
}
