//! Which approvals count, decided from plain values: statements, who signed them, who may, and what time it is.
//!
//! Invariants
//! - an approval counts for one act on one plan by its digest, by one person, before it expires;
//! - neither whoever asked for it nor whoever carries it out counts as an approver;
//! - everything that does not count is told with its reason.
//!
//! Not here: whether signatures are genuine (`port::sign`), what an agreed act may then do (`approve`).

use super::signers::{Person, Signers};
use super::statement::{self, Act, Approval, FORMAT, NAMESPACE, Statement};
use crate::plan::Plan;
use crate::port::sign::Verifier;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Clocks of different machines may differ by so much.
const SKEW_S_MAX: i64 = 300;

/// What has to be agreed to, by whom, and as of when.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    pub plan: &'a Plan,
    pub act: Act,
    /// Who is named as the requester in the statements.
    pub requester: &'a str,
    /// Who must not be among the approvers.
    pub barred: Vec<&'a str>,
    /// How many people have to agree.
    pub required: u32,
    pub signers: &'a Signers,
    /// Ids of approvals that were revoked.
    pub revoked: &'a BTreeSet<String>,
    /// An approval holds no longer than this after it was signed.
    pub valid_s_max: i64,
    pub now_s: i64,
}

/// An approval and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// For messages: a file, or the state database.
    pub source: String,
    /// The approval, or why what is there is none.
    pub approval: Result<Approval, String>,
}

/// An approval that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub id: String,
    /// As the list of signers names them.
    pub approver: String,
    pub fingerprint: String,
    pub comment: String,
    pub ticket: String,
    pub signed_at: String,
    pub expires_at: String,
    pub approval: Approval,
}

/// An approval that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub source: String,
    pub why: String,
}

/// What came of weighing: only [`weigh`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    digest: String,
    act: Act,
    required: u32,
    counted: Vec<Counted>,
    rejected: Vec<Rejected>,
}

impl Verdict {
    /// Whether enough people agreed.
    pub fn is_enough(&self) -> bool {
        usize::try_from(self.required).is_ok_and(|required| self.counted.len() >= required)
    }

    /// The digest of the plan it is about.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What is agreed to.
    pub fn act(&self) -> &Act {
        &self.act
    }

    /// How many people have to agree.
    pub fn required(&self) -> u32 {
        self.required
    }

    /// One approval per person.
    pub fn counted(&self) -> &[Counted] {
        &self.counted
    }

    /// The others, with the reasons.
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// The approvals, for keeping.
    pub fn into_counted(self) -> Vec<Counted> {
        self.counted
    }
}

/// Weighs approvals; the same one from two places is weighed once.
pub fn weigh(question: &Question<'_>, presented: &[Presented], verifier: &dyn Verifier) -> Verdict {
    let mut verdict = Verdict {
        digest: question.plan.digest.clone(),
        act: question.act.clone(),
        required: question.required,
        counted: Vec::new(),
        rejected: Vec::new(),
    };
    let (mut people, mut ids) = (Vec::new(), BTreeSet::new());
    for one in presented {
        let judged = one.approval.as_ref().map_err(Clone::clone);
        let why = match judged.and_then(|approval| question.judge(approval, verifier)) {
            Ok((counted, _)) if !ids.insert(counted.id.clone()) => continue,
            Ok((counted, person)) if people.contains(&person.number) => {
                format!("{} has approved already, and one person counts once", counted.approver)
            }
            Ok((counted, person)) => {
                people.push(person.number);
                verdict.counted.push(counted);
                continue;
            }
            Err(why) => why,
        };
        verdict.rejected.push(Rejected { source: one.source.clone(), why });
    }
    verdict
}

impl Question<'_> {
    fn judge(&self, approval: &Approval, verifier: &dyn Verifier) -> Result<(Counted, Person), String> {
        if approval.format != FORMAT {
            return Err(format!("its format is `{}`, not `{FORMAT}`", approval.format));
        }
        let signed = verifier.verify(approval.statement.as_bytes(), &approval.signature)?;
        if signed.namespace != NAMESPACE {
            return Err(format!("it is signed for `{}`, not for `{NAMESPACE}`", signed.namespace));
        }
        let statement = Statement::parse(&approval.statement)?;
        self.is_about(&statement)?;
        let id = statement::id(&approval.statement, &signed.key);
        if self.revoked.contains(&id) {
            return Err(format!("approval {id} was revoked"));
        }
        self.in_time(&statement)?;
        let person = self.signers.person(&signed.key, NAMESPACE, self.now_s);
        let person = person.map_err(|why| format!("{why}: {}", signed.fingerprint))?;
        self.is_another(&person)?;
        let counted = Counted {
            id,
            approver: person.name.clone(),
            fingerprint: signed.fingerprint,
            comment: statement.comment,
            ticket: statement.ticket,
            signed_at: statement.signed_at,
            expires_at: statement.expires_at,
            approval: approval.clone(),
        };
        Ok((counted, person))
    }

    fn is_about(&self, statement: &Statement) -> Result<(), String> {
        let plan = self.plan;
        if statement.digest != plan.digest || statement.plan != plan.id {
            return Err(format!("it is for plan `{}` with another digest", statement.plan));
        }
        if statement.act != self.act {
            return Err(format!("it agrees to `{}`, not to `{}`", statement.act.text(), self.act.text()));
        }
        if statement.requester != self.requester {
            return Err(format!("it names `{}` as requester, not `{}`", statement.requester, self.requester));
        }
        Ok(())
    }

    fn in_time(&self, statement: &Statement) -> Result<(), String> {
        let parse = |text: &str| statement::seconds(text).ok_or_else(|| format!("`{text}` is no time"));
        let (signed, expires) = (parse(&statement.signed_at)?, parse(&statement.expires_at)?);
        if signed > self.now_s.saturating_add(SKEW_S_MAX) {
            return Err(format!("it was signed in the future, at {}", statement.signed_at));
        }
        if self.now_s >= expires {
            return Err(format!("it expired at {}", statement.expires_at));
        }
        if self.now_s >= signed.saturating_add(self.valid_s_max) {
            let hours = self.valid_s_max / 3_600;
            return Err(format!("it was signed at {}, more than {hours} hours ago", statement.signed_at));
        }
        Ok(())
    }

    fn is_another(&self, person: &Person) -> Result<(), String> {
        for barred in &self.barred {
            if person.names.iter().any(|name| same_person(name, barred)) {
                let who = &person.name;
                return Err(format!("{who} is `{barred}`, who asked for it or carries it out"));
            }
        }
        Ok(())
    }
}

/// Whether an approver's name and an account are the same person: `dana` is `dana@example.org` too.
pub fn same_person(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim().to_lowercase(), other.trim().to_lowercase());
    let short = |name: &str| name.split('@').next().unwrap_or_default().to_owned();
    one == other || ((!one.contains('@') || !other.contains('@')) && short(&one) == short(&other))
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
pub(crate) mod tests;
