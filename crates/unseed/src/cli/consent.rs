//! Consent: a person types the short id of what is about to happen, or gives it as `--confirm`.
//!
//! Invariants
//! - without a terminal and without `--confirm` the answer is no;
//! - where the configuration asks for signatures, an id is not enough.
//!
//! Not here: comparing the id (`core::approve`).

use super::Env;
use clap::Args;
use unseed_core::fault::Fault;

/// The id that a person gives.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Consent {
    /// Go ahead without asking: the short id of the plan or run
    #[arg(long, value_name = "ID")]
    pub(crate) confirm: Option<String>,
}

/// What is about to happen.
pub(crate) struct Act<'a> {
    /// e.g. `purge`.
    pub(crate) verb: &'a str,
    /// e.g. `plan`.
    pub(crate) object: &'a str,
    pub(crate) id: &'a str,
    /// A few lines for the person who is asked.
    pub(crate) summary: &'a str,
    /// The command with which to go ahead, without `--confirm`.
    pub(crate) command: &'a str,
}

/// The id that was given, typed or as an option.
///
/// # Errors
/// `Refused` when nobody gave one, or when an id is not enough.
pub(crate) fn obtain(env: &Env<'_>, consent: &Consent, act: &Act<'_>) -> Result<String, Fault> {
    let required = env.wire.config.approval.required;
    if required > 0 {
        let message =
            format!("the configuration asks for {required} signatures, which this version cannot check");
        return Err(Fault::refused(message)
            .hint("use a version that can check signatures; without `[approval]` an id is enough"));
    }
    if let Some(id) = &consent.confirm {
        return Ok(id.clone());
    }
    let Act { verb, object, id, summary, command } = act;
    env.ui.note(summary);
    let question = format!("to {verb} {object} {id}, type its id:");
    env.ui.ask(&question).filter(|answer| !answer.is_empty()).ok_or_else(|| {
        Fault::refused(format!("nobody confirmed to {verb} {object} `{id}`"))
            .hint(format!("read `unseed show`, then run `{command} --confirm {id}`"))
    })
}
