//! `purge --quarantine`, and `purge --due` afterwards.

use super::{assert_gone, both, copy, logged, quarantined, sections, state, years_pass};
use crate::lab::{Lab, assert_same, fault};
use crate::support::answer;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn rows_in_quarantine_come_back_as_they_were() {
    for lab in both() {
        let before = lab.picture();
        let report = quarantined(&lab);
        assert_eq!(report["kept"]["agreed"]["quarantine_s"], 30 * 86_400);
        let runs = lab.json(0, &["runs"]);
        assert_eq!(runs["runs"][0]["due_at"], report["kept"]["quarantine"]["until"]);
        assert!(lab.run(&["runs"]).stdout.contains("quarantined until 20"));
        lab.verify("r-1");
        let due = lab.json(0, &["purge", "--due"]);
        assert_eq!((&due["format"], &due["runs"][0]["outcome"]), (&"unseed.due/1".into(), &"waiting".into()));
        assert_eq!(state(&lab), "quarantined", "neither verifying nor asking ends it");
        fault(&lab.run(&["resume", "r-1", "--confirm", "r-1"]), 3, &["in quarantine"]);
        // A row that came meanwhile stays.
        lab.sql("INSERT INTO tenants VALUES (9, 'new')");
        lab.restore("r-1");
        lab.sql("DELETE FROM tenants WHERE id = 9");
        assert_same(&lab.picture(), &before);
        years_pass(&lab);
        assert_eq!(lab.json(0, &["purge", "--due"])["runs"], serde_json::json!([]));
        assert!(!sections(&lab, "r-1").is_empty(), "a restore cancels the quarantine");
        assert_eq!(state(&lab), "restored");
    }
}

#[test]
fn what_is_due_is_gone_for_good_and_asking_again_changes_nothing() {
    for lab in both() {
        quarantined(&lab);
        let purged = lab.picture();
        years_pass(&lab);
        let due = lab.json(0, &["purge", "--due"]);
        assert_eq!((&due["runs"][0]["run"], &due["runs"][0]["outcome"]), (&"r-1".into(), &"purged".into()));
        assert_gone(&lab, "r-1");
        for _ in 0..2 {
            assert_eq!(lab.json(0, &["purge", "--due"])["runs"], serde_json::json!([]));
        }
        assert_eq!(lab.run(&["purge", "--due"]).code, Some(0));
        assert_same(&lab.picture(), &purged);
        let log = logged(&lab, "archive.expire");
        assert_eq!(log.len(), 2, "{log:?}");
        assert!(log[0].starts_with(
            "r-1 started: its quarantine was over since 2020-01-31T00:00:00.000Z, confirmed by its id"
        ));
        assert!(log[1].starts_with("r-1 removed ") && log[1].ends_with(" bytes"), "{log:?}");
    }
}

#[test]
fn a_root_that_was_put_back_by_hand_is_refused_and_named() {
    for lab in both() {
        quarantined(&lab);
        lab.sql("INSERT INTO tenants VALUES (3, 'somebody wanted it back')");
        let drifted = lab.picture();
        years_pass(&lab);
        for _ in 0..3 {
            let says = ["1 root of run `r-1`", "tenants` 3", "nothing was removed for good"];
            let text = fault(&lab.run(&["purge", "--due"]), 3, &says);
            assert!(!text.contains("` 2") && !text.contains("` 4"), "{text}");
        }
        let due = lab.json(3, &["purge", "--due"]);
        assert_eq!(due["runs"][0]["fault"]["code"], "stale", "{due}");
        assert_eq!(logged(&lab, "purge.refused").len(), 1, "what is refused every minute is logged once");
        assert!(lab.run(&["show", "r-1"]).stdout.contains("not ended when it was due: 1 root of run `r-1`"));
        assert_same(&lab.picture(), &drifted);
        // The others come back, or a person who has looked ends it.
        let one = lab.run(&["restore", "r-1", "--confirm", "r-1", "--root", "2"]);
        assert_eq!(one.code, Some(0), "{one:?}");
        fault(&lab.run(&["archive", "expire", "r-1"]), 3, &["nobody confirmed to expire run `r-1`"]);
        fault(&lab.run(&["archive", "expire", "r-1", "--confirm", "r-2"]), 3, &["is not the id of this run"]);
        lab.json(0, &["archive", "expire", "r-1", "--confirm", "r-1"]);
        assert!(sections(&lab, "r-1").is_empty());
        fault(&lab.run(&["restore", "r-1", "--confirm", "r-1"]), 3, &["expired at"]);
    }
}

#[test]
fn a_root_that_unseed_restored_is_no_drift() {
    for lab in both() {
        quarantined(&lab);
        lab.json(0, &["restore", "r-1", "--confirm", "r-1", "--root", "4"]);
        assert_eq!(state(&lab), "quarantined");
        years_pass(&lab);
        assert_eq!(lab.json(0, &["purge", "--due"])["runs"][0]["outcome"], "purged");
        assert_eq!(lab.count("tenants"), 2);
        assert!(sections(&lab, "r-1").is_empty());
    }
}

#[test]
fn what_changed_meanwhile_is_listed_by_a_restore_and_overwritten_by_nobody() {
    for lab in both() {
        let before = lab.picture();
        quarantined(&lab);
        lab.sql("UPDATE notes SET user_id = 10 WHERE id = 2; UPDATE notes SET body = 'other' WHERE id = 1");
        let changed = lab.picture();
        let says = ["1 row of run `r-1` cannot be put back", "notes"];
        fault(&lab.run(&["restore", "r-1", "--confirm", "r-1"]), 1, &says);
        assert_same(&lab.picture(), &changed);
        assert_eq!(state(&lab), "quarantined", "the quarantine goes on");
        lab.sql("UPDATE notes SET user_id = NULL WHERE id = 2; UPDATE notes SET body = 'kept' WHERE id = 1");
        lab.restore("r-1");
        assert_same(&lab.picture(), &before);
    }
}

#[test]
fn a_purge_that_died_before_its_quarantine_began_begins_it_when_resumed() {
    for lab in both() {
        let first = quarantined(&lab);
        let sql = "UPDATE runs SET state = 'running', finished_at = NULL, report = json_remove(report, '$.kept.quarantine')";
        unseed_io::sample::change(&lab.path(".unseed/state.db"), sql).unwrap();
        assert_eq!(lab.json(0, &["purge", "--due"])["runs"], serde_json::json!([]));
        let report = lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
        let until =
            |report: &serde_json::Value| report["kept"]["quarantine"]["until"].as_str().unwrap().to_owned();
        assert!(until(&report) >= until(&first), "{report}");
        assert_eq!(state(&lab), "quarantined");
        years_pass(&lab);
        lab.json(0, &["purge", "--due"]);
        assert_gone(&lab, "r-1");
    }
}

#[test]
fn an_archive_that_is_not_whole_is_not_removed_by_itself() {
    let lab = Lab::sqlite(super::SHOP);
    quarantined(&lab);
    years_pass(&lab);
    let users = lab.path(".unseed/archive/r-1/batch-0001/users.sql.gz");
    let mut bytes = std::fs::read(&users).unwrap();
    let good = bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&users, bytes).unwrap();
    let says = ["1 problem in the archive of run `r-1`", "users.sql.gz", "nothing was removed for good"];
    fault(&lab.run(&["purge", "--due"]), 3, &says);
    std::fs::write(&users, good).unwrap();
    lab.json(0, &["purge", "--due"]);
    assert_gone(&lab, "r-1");
}

#[test]
fn a_store_that_cannot_be_reached_or_seen_ends_nothing() {
    let lab = Lab::sqlite(super::SHOP);
    quarantined(&lab);
    years_pass(&lab);
    std::fs::rename(lab.file(), lab.path("away.db")).unwrap();
    assert_eq!(lab.run(&["purge", "--due"]).code, Some(2), "the plan's database is not there");
    std::fs::rename(lab.path("away.db"), lab.file()).unwrap();
    assert_eq!(state(&lab), "quarantined");
    assert!(!sections(&lab, "r-1").is_empty());
    let lab = Lab::postgres(super::SHOP).owned();
    quarantined(&lab);
    years_pass(&lab);
    lab.sql("ALTER TABLE tenants ENABLE ROW LEVEL SECURITY; ALTER TABLE tenants FORCE ROW LEVEL SECURITY");
    fault(&lab.run(&["purge", "--due"]), 3, &["row-level security may hide rows"]);
    assert_eq!(state(&lab), "quarantined");
    lab.sql(
        "ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY; ALTER TABLE tenants DISABLE ROW LEVEL SECURITY",
    );
    lab.json(0, &["purge", "--due"]);
    assert_gone(&lab, "r-1");
}

#[test]
fn a_protection_that_came_later_keeps_the_rows() {
    let lab = Lab::sqlite(super::SHOP);
    quarantined(&lab);
    years_pass(&lab);
    std::fs::write(lab.path("unseed.toml"), "[protect]\ntenants.id = [\"3\"]\n").unwrap();
    assert_eq!(lab.run(&["purge", "--due"]).code, Some(3));
    std::fs::write(lab.path("unseed.toml"), "[destructive]\nenabled = false\n").unwrap();
    assert_eq!(lab.run(&["purge", "--due"]).code, Some(3));
    assert_eq!(logged(&lab, "purge.refused").len(), 2);
    assert!(!sections(&lab, "r-1").is_empty());
    std::fs::write(lab.path("unseed.toml"), "[archive]\nkeep = \"5000d\"\n").unwrap();
    let due = lab.json(0, &["purge", "--due"]);
    assert_eq!(due["runs"][0]["outcome"], "waiting", "archives are kept longer: {due}");
    std::fs::remove_file(lab.path("unseed.toml")).unwrap();
    lab.json(0, &["purge", "--due"]);
    assert_gone(&lab, "r-1");
}

#[test]
fn a_process_that_is_killed_at_any_instant_leaves_all_or_nothing() {
    for lab in both() {
        let before = lab.picture();
        quarantined(&lab);
        let purged = lab.picture();
        years_pass(&lab);
        copy(&lab, ".unseed", "aged");
        let begun = Instant::now();
        lab.json(0, &["purge", "--due"]);
        let took = begun.elapsed();
        for part in 0..5 {
            copy(&lab, "aged", ".unseed");
            let mut command = lab.command(&["purge", "--due"]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(took.mul_f64(0.3 + 0.15 * f64::from(part)).min(Duration::from_secs(5)));
            drop(child.kill());
            child.wait().unwrap();
            let begun = lab.path(".unseed/archive/r-1/tombstone.json").exists();
            if !begun && part % 2 == 0 {
                // Nothing has happened yet, so the rows can still come back.
                lab.restore("r-1");
                assert_same(&lab.picture(), &before);
                lab.sql("DELETE FROM users WHERE tenant_id > 1; DELETE FROM tenants WHERE id > 1; UPDATE notes SET user_id = NULL WHERE id = 2;");
            } else {
                lab.json(0, &["purge", "--due"]);
                assert_eq!((state(&lab).as_str(), sections(&lab, "r-1").len()), ("done", 0));
            }
            assert_same(&lab.picture(), &purged);
        }
        lab.json(0, &["purge", "--due"]);
        assert_eq!(lab.json(0, &["audit", "verify"])["intact"], true);
    }
}

#[test]
fn what_a_dead_process_left_half_removed_is_finished_and_never_read() {
    for lab in both() {
        quarantined(&lab);
        years_pass(&lab);
        copy(&lab, ".unseed", "aged");
        // Dead while the tombstone was written.
        std::fs::write(lab.path(".unseed/archive/r-1/tombstone.json.new"), "{ \"format\"").unwrap();
        lab.json(0, &["purge", "--due"]);
        assert_gone(&lab, "r-1");
        std::fs::copy(lab.path(".unseed/archive/r-1/tombstone.json"), lab.path("tombstone.json")).unwrap();
        // Dead after the tombstone and the first file: the state database knows nothing of it yet.
        copy(&lab, "aged", ".unseed");
        std::fs::copy(lab.path("tombstone.json"), lab.path(".unseed/archive/r-1/tombstone.json")).unwrap();
        let left = sections(&lab, "r-1");
        std::fs::remove_file(&left[0]).unwrap();
        fault(&lab.run(&["restore", "r-1", "--confirm", "r-1"]), 3, &["expired at"]);
        assert_eq!(lab.run(&["archive", "check", "r-1"]).code, Some(1), "not all of it is removed");
        assert_eq!(lab.json(0, &["archive", "list"])["archives"][0]["standing"], "expiring");
        fault(&lab.run(&["archive", "hold", "r-1", "--reason", "late"]), 3, &["no rows that could be kept"]);
        lab.json(0, &["purge", "--due"]);
        assert_gone(&lab, "r-1");
    }
}

#[test]
fn many_processes_at_once_end_it_once() {
    let lab = Lab::sqlite(super::SHOP);
    quarantined(&lab);
    years_pass(&lab);
    let spawn = |_| {
        let mut command = lab.command(&["purge", "--due", "--format", "json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..6).map(spawn).collect();
    let mut purged = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}");
        purged += text.matches("\"purged\"").count();
    }
    assert_eq!(purged, 1);
    assert_eq!(logged(&lab, "archive.expire").len(), 2);
    assert_gone(&lab, "r-1");
}

#[test]
fn the_plan_says_it_and_the_configuration_gives_it() {
    let lab = Lab::sqlite(super::SHOP);
    std::fs::write(lab.path("unseed.toml"), "[quarantine]\nperiod = \"2w\"\n").unwrap();
    let plan = lab.plan("tenants: id > 1", &[]);
    assert_eq!(plan.0["policy"]["keeping"]["quarantine_s"], 14 * 86_400);
    assert!(lab.run(&["show", "plan.json"]).stdout.contains("they can be put back for 14 days"));
    let plan = lab.plan("tenants: id > 1", &["--quarantine", "10d"]);
    assert_eq!(plan.0["policy"]["keeping"]["quarantine_s"], 10 * 86_400);
    let id = lab.plan_id();
    let other = lab.run(&["purge", "plan.json", "--confirm", &id, "--quarantine", "30d"]);
    fault(&other, 2, &["says a quarantine of 10 days"]);
    for wrong in [["--quarantine", "0d"], ["--quarantine", "soon"]] {
        assert_eq!(lab.run(&["purge", "plan.json", wrong[0], wrong[1]]).code, Some(2));
        assert_eq!(lab.try_plan("tenants: id > 1", &wrong).code, Some(2));
    }
    assert_eq!(lab.run(&["purge", "plan.json", "--due"]).code, Some(2));
    assert_eq!(lab.run(&["purge"]).code, Some(2));
    lab.purge();
    assert_eq!(state(&lab), "quarantined");
    let plain = Lab::sqlite(super::SHOP);
    let plan = plain.plan("tenants: id > 1", &[]);
    assert!(plan.0["policy"].get("keeping").is_none(), "plans without it are as they were");
    let asked = answer(&mut plain.command(&["purge", "plan.json"]));
    fault(&asked, 3, &["nobody confirmed to purge plan"]);
}
