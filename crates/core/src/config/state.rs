//! `[state]`: where runs, journal and audit log are kept, and what belongs to them as files.
//!
//! Not here: opening it (`unseed::wire`).

use super::Place;
use crate::address;
use crate::fault::Fault;
use serde::Deserialize;
use toml::Spanned;

/// The shortest and the longest lease, in seconds.
const LEASE_S: std::ops::RangeInclusive<u32> = 2..=3_600;

/// What a configuration says about the state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateConfig {
    /// A PostgreSQL URL without a password, or `env:NAME`; a file in the folder if nothing is said.
    pub url: Option<String>,
    /// The folder of archives and plans, relative to the configuration.
    pub folder: Option<String>,
    /// How long a run belongs to a process that gives no sign of life, in seconds.
    pub lease_s: Option<u32>,
}

pub(super) fn state(place: &Place<'_>, section: Spanned<StateConfig>) -> Result<StateConfig, Fault> {
    let span = section.span();
    let state = section.into_inner();
    let wrong = |what: &str, hint: &str| Err(place.at(Some(span.clone()), what).hint(hint));
    if let Some(url) = &state.url {
        if address::has_password(url) {
            return wrong(
                "`state.url` contains a password",
                "write `url = \"env:UNSEED_STATE_URL\"` and set UNSEED_STATE_URL to the whole URL where unseed runs",
            );
        }
        let server = ["postgres://", "postgresql://", "env:"];
        if !server.iter().any(|start| url.strip_prefix(start).is_some_and(|rest| !rest.is_empty())) {
            return wrong(
                "`state.url` is not the address of a PostgreSQL database",
                "write postgres://USER@HOST/DATABASE or `env:NAME`; a folder is named as `state.folder`",
            );
        }
    }
    if state.lease_s.is_some_and(|seconds| !LEASE_S.contains(&seconds)) {
        return wrong(
            "`state.lease_s` is out of range",
            "write a number of seconds from 2 to 3600; 30 is the default",
        );
    }
    Ok(state)
}
