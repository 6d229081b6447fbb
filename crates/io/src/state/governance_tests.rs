//! The audit log, in real files and on a real server: appended to by several at once, tampered with by somebody who
//! can write it.

use super::super::homes::{Home, each};
use super::*;
use crate::state::anchor::AnchorFile;
use std::path::PathBuf;
use unseed_core::audit::{ANCHOR_ACTION, Evidence, Examination, Examiner};
use unseed_core::port::state::StateDb;

/// A state with an anchor.
struct Place<'a>(&'a Home);

impl Place<'_> {
    fn anchor(&self) -> PathBuf {
        self.0.folder.path().join("anchor")
    }

    fn open(&self) -> State {
        let mut state = self.0.open();
        state.anchor_to(self.anchor());
        state
    }

    fn examine(&self) -> Examination {
        let mut state = self.open();
        let anchored = AnchorFile::at(self.anchor()).read().unwrap();
        let mut examiner = Examiner::new(Evidence {
            anchor: Some(self.anchor().display().to_string()),
            broken_anchors: anchored.as_ref().map_or(0, |found| found.broken),
            anchors: anchored.map(|found| found.links),
            issued: state.audit_issued().unwrap(),
            ..Evidence::default()
        });
        state
            .audit_log(&mut |record| {
                examiner.look(&record);
                Ok(())
            })
            .unwrap();
        examiner.finish()
    }

    fn found(&self) -> Vec<&'static str> {
        self.examine().findings.iter().map(|finding| finding.id).collect()
    }
}

fn entry(object: &str) -> AuditEntry {
    AuditEntry {
        at: "2026-01-02T03:04:05.000Z".to_owned(),
        actor: "dana".to_owned(),
        action: "purge.batch".to_owned(),
        object: object.to_owned(),
        outcome: "committed".to_owned(),
    }
}

/// Six entries, the first of which begins the anchor.
fn logged(home: &Home) -> Place<'_> {
    let place = Place(home);
    let mut state = place.open();
    for number in 1..=5 {
        state.audit(&entry(&format!("r-1/{number}"))).unwrap();
    }
    assert!(place.examine().is_intact());
    place
}

/// Does the same with a new log of six entries in a file, and with one on a server.
fn each_logged(check: impl Fn(&Place<'_>)) {
    each(|home| check(&logged(home)));
}

#[test]
fn appenders_at_the_same_time_never_fork_the_chain() {
    each(|home| {
        let place = Place(home);
        std::thread::scope(|scope| {
            for appender in 0..4 {
                let place = &place;
                scope.spawn(move || {
                    let mut state = place.open();
                    for number in 0..25 {
                        state.audit(&entry(&format!("r-{appender}/{number}"))).unwrap();
                    }
                });
            }
        });
        let found = place.examine();
        assert!(found.is_intact(), "{:?}", found.findings);
        assert_eq!((found.entries, found.anchored), (101, Some(101)));
    });
}

#[test]
fn a_log_longer_than_a_page_is_read_whole() {
    each(|home| {
        let place = Place(home);
        drop(place.open());
        let rows = match &home.database {
            None => {
                "WITH RECURSIVE n (g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < 2500) SELECT g, '', '', '', '', '', '' FROM n"
            }
            Some(_) => "SELECT g, '', '', '', '', '', '' FROM generate_series(1, 2500) g",
        };
        home.ask(&format!("INSERT INTO audit {rows}")).unwrap();
        let mut numbers = Vec::new();
        place
            .open()
            .audit_log(&mut |record| {
                numbers.push(record.sequence);
                Ok(())
            })
            .unwrap();
        assert!(numbers.into_iter().eq(1..=2500));
    });
}

#[test]
fn the_beginning_of_an_anchor_is_in_the_log_and_a_lost_one_is_found() {
    each_logged(|place| {
        let mut objects = Vec::new();
        place
            .open()
            .audit_log(&mut |r| {
                objects.push((r.entry.action, r.entry.object));
                Ok(())
            })
            .unwrap();
        assert_eq!(objects[0], (ANCHOR_ACTION.to_owned(), place.anchor().display().to_string()));
        std::fs::remove_file(place.anchor()).unwrap();
        assert_eq!(place.found(), ["anchor-lost"]);
        place.open().audit(&entry("later")).unwrap();
        assert_eq!(place.found(), ["anchor-lost"], "begun again, which is in the log");
    });
    each_logged(|place| {
        std::fs::write(place.anchor(), "").unwrap();
        place.open().audit(&entry("later")).unwrap();
        assert_eq!(place.found(), ["anchor-lost"], "it does not know its own beginning");
    });
}

#[test]
fn an_edit_a_move_and_an_insertion_are_found() {
    for sql in [
        "UPDATE audit SET actor = 'eve' WHERE sequence = 3",
        "UPDATE audit SET sequence = 99 WHERE sequence = 3; UPDATE audit SET sequence = 3 WHERE sequence = 4;
         UPDATE audit SET sequence = 4 WHERE sequence = 99",
        "INSERT INTO audit SELECT 7, at, actor, action, object, outcome, hash FROM audit WHERE sequence = 6",
        "DELETE FROM audit WHERE sequence = 3",
        "DELETE FROM audit WHERE sequence = 1; UPDATE audit SET sequence = sequence - 1",
    ] {
        each_logged(|place| {
            place.0.tamper(sql);
            assert!(!place.examine().is_intact(), "{sql}");
        });
    }
}

/// Sets the count of entries back, too.
const NEVER_MORE: &str = "DELETE FROM audit; UPDATE issued SET number = 0";

#[test]
fn a_cut_end_and_a_removed_log_are_found_even_if_the_count_is_set_back() {
    each_logged(|place| {
        place.0.tamper("DELETE FROM audit WHERE sequence > 4");
        assert_eq!(place.found(), ["cut", "cut"], "by the anchor and by the count");
    });
    each_logged(|place| {
        place.0.tamper("DELETE FROM audit WHERE sequence > 4; UPDATE issued SET number = 4");
        assert_eq!(place.found(), ["cut"], "by the anchor");
    });
    each_logged(|place| {
        place.0.tamper(NEVER_MORE);
        assert_eq!(place.found(), ["cut"]);
        place.0.remove();
        assert_eq!(place.found(), ["cut"], "the whole database is gone");
    });
}

#[test]
fn a_chain_that_was_computed_anew_contradicts_its_anchor() {
    each_logged(|place| {
        place.0.tamper(NEVER_MORE);
        let mut alone = place.0.open();
        for number in 1..=6 {
            alone.audit(&entry(&format!("innocent {number}"))).unwrap();
        }
        drop(alone);
        assert_eq!(place.found(), ["anchor"; 6]);
    });
}

#[test]
fn a_log_that_contradicts_its_anchor_is_not_written_to() {
    each_logged(|place| {
        let mut fresh = State::open(&place.0.folder.path().join("fresh")).unwrap();
        fresh.anchor_to(place.anchor());
        let fault = fresh.audit(&entry("again")).unwrap_err();
        assert_eq!(fault.category, unseed_core::fault::Category::Refused);
        assert!(fault.message.contains("does not have entry 6"), "{}", fault.message);
        place.open().audit(&entry("fine")).unwrap();
        place.0.tamper("DELETE FROM audit WHERE sequence > 4");
        assert!(place.open().audit(&entry("cut")).is_err());
    });
}

#[test]
fn what_cannot_be_anchored_is_not_logged() {
    each_logged(|place| {
        let mut state = place.open();
        state.anchor_to(place.0.folder.path().join("missing/anchor"));
        let fault = state.audit(&entry("more")).unwrap_err();
        assert!(fault.message.contains("cannot be written"), "{}", fault.message);
        assert_eq!(place.examine().entries, 6);
    });
}

fn approval(text: &str) -> Approval {
    Approval { format: "f".to_owned(), statement: text.to_owned(), signature: "s".to_owned() }
}

#[test]
fn approvals_revocations_and_checkpoints_are_kept_and_never_change() {
    each(|home| {
        let mut state = home.open();
        for (id, text) in [("1", "one"), ("2", "two"), ("1", "one again")] {
            state.put_approval("digest", id, &approval(text)).unwrap();
        }
        let expected = [("1".to_owned(), approval("one")), ("2".to_owned(), approval("two"))];
        assert_eq!(state.approvals("digest").unwrap(), expected);
        assert!(state.approvals("other").unwrap().is_empty());
        let revocation = Revocation {
            digest: "digest".to_owned(),
            approval: "1".to_owned(),
            at: "now".to_owned(),
            actor: "kim".to_owned(),
        };
        state.revoke(&revocation).unwrap();
        assert_eq!(state.revocations("digest").unwrap(), [revocation]);
        let checkpoint = Checkpoint { statement: "t".to_owned(), signature: "s".to_owned() };
        state.put_checkpoint(&checkpoint).unwrap();
        assert_eq!(state.checkpoints().unwrap(), [checkpoint]);
        for table in ["approvals", "revocations", "checkpoints"] {
            assert!(home.ask(&format!("DELETE FROM {table}")).is_err(), "{table}");
            assert!(home.ask(&format!("UPDATE {table} SET sequence = 9")).is_err(), "{table}");
        }
    });
}
