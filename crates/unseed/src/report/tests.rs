//! A report that holds one of everything.

use super::*;
use std::borrow::Cow;
use unseed_core::detect::{Group, Signal};
use unseed_core::scan::{FORMAT, Key, Month, OrphanCount, SignalCount, Since, TableCount};

fn signal(id: &'static str, weight: f64, says: &'static str) -> Signal {
    Signal { id, group: Group::Name, weight, says: Cow::Borrowed(says) }
}

pub(crate) fn finding(label: &str, score: f64, verdict: Verdict, signals: Vec<Signal>) -> Finding {
    Finding {
        table: "public.tenants".into(),
        key: Key {
            columns: [String::from("id")].into(),
            values: [Box::from(label.len().to_string())].into(),
        },
        label: label.into(),
        score,
        verdict,
        signals,
    }
}

/// Tenants of a contaminated application.
pub(crate) fn report() -> Report {
    let test = vec![
        signal("name.vocabulary", 6.3, "name is nothing but test words (`test`)"),
        signal("mail.reserved-domain", 6.4, "mail domain is reserved for examples (RFC 2606)"),
    ];
    let suspect = vec![
        signal("name.vocabulary", 5.2, "name is nothing but test words (`demo`)"),
        signal("money.paid", -3.5, "paid with real money"),
    ];
    let findings = vec![
        finding("Test Tenant <b>1712345678</b>", 0.999, Verdict::Test, test),
        finding("Demo Company", 0.61, Verdict::Suspect, suspect),
    ];
    Report {
        format: FORMAT,
        store: "main".to_owned(),
        complete: true,
        tables: vec![TableCount {
            table: "public.tenants".to_owned(),
            entity: Entity::Tenant,
            rows: 1_839,
            test: 1_826,
            suspect: 1,
            known: 0,
        }],
        samples: findings.clone(),
        findings,
        recommendations: vec!["plan the removal: `unseed plan --findings -o plan.json`".to_owned()],
        since: Some(Since { first: 1_741_564_800, last: 1_786_803_370 }),
        timeline: vec![
            Month { month: "2026-02".to_owned(), test: 0, real: 4 },
            Month { month: "2026-03".to_owned(), test: 90, real: 2 },
        ],
        signals: vec![SignalCount { id: "name.vocabulary", title: "name made of test words", rows: 1_500 }],
        orphans: vec![OrphanCount {
            table: "public.users".to_owned(),
            column: "tenant_id".to_owned(),
            rows: 3,
        }],
    }
}

#[test]
fn shares_never_claim_all_or_nothing_when_it_is_nearly_so() {
    assert_eq!(share(1_826, 1_829), "99.8 %");
    assert_eq!(share(1, 5_000), "<0.1 %");
    assert_eq!((share(0, 5), share(5, 5), share(0, 0)), ("0 %".into(), "100 %".into(), "–".into()));
    assert_eq!(share(9_999, 10_000), "99.9 %");
}

#[test]
fn samples_prefer_other_reasons_to_more_of_the_same() {
    let one = |label: &str, id: &'static str| finding(label, 0.99, Verdict::Test, vec![signal(id, 5.0, "")]);
    let all = [one("a", "x"), one("b", "x"), one("c", "y")];
    let labels: Vec<&str> = samples(all.iter(), 2).into_iter().map(|f| &*f.label).collect();
    assert_eq!(labels, ["a", "c"]);
}
