//! Commands around a purge and a restore: what they see, and what follows when they fail.

use super::{PLACES, Running, TENANTS, configure, lines, report};
use crate::lab::{Lab, assert_same, fault};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

/// One hook; its command is a script in the lab's folder.
fn hook(lab: &Lab<'_>, name: &str, place: &str, script: &str, more: &str) -> String {
    super::hook(&lab.path(&format!("{name}.sh")), (name, place), script, more)
}

/// Writes down that it ran.
fn noted(lab: &Lab<'_>, name: &str, place: &str, more: &str) -> String {
    let script = format!(
        "echo \"$UNSEED_HOOK $UNSEED_AT $UNSEED_PHASE $UNSEED_RUN $UNSEED_STATE_OF_RUN $1\" >> {}; \
         echo \"rows: $UNSEED_STORES\"",
        lab.path("ran.txt").display()
    );
    hook(lab, name, place, &script, more)
}

fn ran(lab: &Lab<'_>) -> Vec<String> {
    lines(&lab.path("ran.txt"))
}

fn lab() -> Lab<'static> {
    Lab::sqlite(TENANTS)
}

#[track_caller]
fn plan(lab: &Lab<'_>) -> Value {
    lab.plan("tenants: id > 1", &["--batch-rows", "6"]).0
}

#[test]
fn hooks_run_around_a_purge_and_a_restore_and_are_kept() {
    let lab = lab();
    let config: String =
        PLACES.iter().map(|place| noted(&lab, &place.replace([' ', '_'], "-"), place, "")).collect();
    configure(&lab, &config);
    let planned = plan(&lab);
    assert_eq!(planned["policy"]["hooks"].as_array().unwrap().len(), 6);
    let shown = lab.run(&["show", "plan.json"]).stdout;
    assert!(
        shown.contains("hook before purge: before-purge: ")
            && shown.contains("\"an argument\" (at most 60 s)"),
        "{shown}"
    );
    let before = lab.picture();
    let answer = lab.try_purge();
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(
        ran(&lab),
        ["before-purge before purge r-1 running an argument", "after-purge after purge r-1 done an argument"]
    );
    assert!(answer.stdout.contains("hook before-purge before purge succeeded in"), "{answer:?}");
    let kept = report(&lab, "r-1");
    let hooks = kept["hooks"].as_array().unwrap();
    assert_eq!(hooks.len(), 2, "{kept}");
    let log = lab.path(hooks[0]["log"].as_str().unwrap());
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "rows: main\n");
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let audit = lab.run(&["audit", "export"]).stdout;
    for outcome in ["before purge, started", "before purge, succeeded", "after purge, succeeded"] {
        assert!(audit.contains(outcome), "{audit}");
    }
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
    assert_eq!(
        ran(&lab)[2..],
        [
            "before-restore before restore r-1 done an argument",
            "after-restore after restore r-1 restored an argument"
        ]
    );
    assert_eq!(report(&lab, "r-1")["hooks"].as_array().unwrap().len(), 4);
}

#[test]
fn a_before_hook_that_fails_keeps_a_purge_from_beginning_and_can_be_mended() {
    let lab = lab();
    let guard = format!("test -e {} || {{ echo no >&2; exit 7; }}", lab.path("ready").display());
    let config = hook(&lab, "guard", "before purge", &guard, "")
        + &noted(&lab, "second", "before purge", "")
        + &noted(&lab, "undo", "on_stop purge", "");
    configure(&lab, &config);
    plan(&lab);
    let before = lab.picture();
    let says = [
        "stopped before its first batch: hook `guard` exited with 7",
        "nothing was changed",
        "unseed resume r-1",
    ];
    fault(&lab.try_purge(), 4, &says);
    assert_same(&lab.picture(), &before);
    assert_eq!(ran(&lab), ["undo on_stop purge r-1 stopped an argument"]);
    assert_eq!(lab.json(0, &["runs"])["runs"][0]["state"], "stopped");
    std::fs::write(lab.path("ready"), "").unwrap();
    lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(lab.count("tenants"), 1);
    assert_eq!(ran(&lab)[1..], ["second before purge r-1 running an argument"]);
}

#[test]
fn an_after_hook_that_fails_is_told_and_loses_nothing() {
    let lab = lab();
    let config = hook(&lab, "tell", "after purge", "echo nobody is there; exit 9", "")
        + &hook(&lab, "back", "after restore", "exit 3", "");
    configure(&lab, &config);
    plan(&lab);
    let before = lab.picture();
    let answer = lab.try_purge();
    let text =
        fault(&answer, 1, &["run `r-1` is done, but hook `tell` exited with 9", "run `r-1` is complete"]);
    assert!(answer.stdout.contains("run r-1 removed 354 rows"), "{text}");
    assert_eq!(lab.json(0, &["runs"])["runs"][0]["state"], "done");
    lab.verify("r-1");
    // A hook that has to fail for good must not keep the rows from coming back.
    let answer = lab.json(1, &["restore", "r-1", "--confirm", "r-1"]);
    assert_eq!(
        (answer["restored"].as_bool(), answer["failed_hooks"][0]["exit_code"].as_i64()),
        (Some(true), Some(3))
    );
    assert_same(&lab.picture(), &before);
}

#[test]
fn a_restore_whose_hook_cannot_work_any_more_can_do_without() {
    let lab = lab();
    configure(&lab, &hook(&lab, "guard", "before restore", "exit 1", ""));
    plan(&lab);
    let before = lab.picture();
    lab.purge();
    let says = ["hook `guard` exited with 1", "nothing was put back", "--skip-hooks"];
    fault(&lab.run(&["restore", "r-1", "--confirm", "r-1"]), 4, &says);
    assert_eq!(lab.count("tenants"), 1);
    lab.json(0, &["restore", "r-1", "--confirm", "r-1", "--skip-hooks"]);
    assert_same(&lab.picture(), &before);
    assert!(lab.run(&["audit", "export"]).stdout.contains("without its hooks"));
}

/// The plan's digest covers its hooks: what was read and agreed to is what runs.
#[test]
fn hooks_that_were_edited_since_are_refused() {
    let lab = lab();
    let config = noted(&lab, "pause", "before purge", "");
    configure(&lab, &config);
    plan(&lab);
    for edited in [config.replace("an argument", "another"), config.replace("before", "after"), String::new()]
    {
        configure(&lab, &edited);
        let id = lab.plan_id();
        fault(
            &lab.try_purge(),
            3,
            &[&format!("not those of plan `{id}`"), "only in the plan: before purge: pause"],
        );
    }
    let text = std::fs::read_to_string(lab.path("plan.json")).unwrap();
    configure(&lab, &config);
    std::fs::write(lab.path("plan.json"), text.replace("an argument", "another")).unwrap();
    assert_eq!(lab.try_purge().code, Some(3));
    assert_eq!((ran(&lab).len(), lab.count("tenants")), (0, 60));
    std::fs::write(lab.path("plan.json"), text).unwrap();
    lab.purge();
    assert_eq!(ran(&lab).len(), 1);
}

#[test]
fn what_a_person_stopped_is_undone_and_only_what_says_so_is_done_again() {
    let lab = lab();
    // Who looks must not keep the purge from writing, nor the purge who looks.
    lab.sql("PRAGMA journal_mode = WAL");
    let config = noted(&lab, "pause", "before purge", "on_resume = true")
        + &noted(&lab, "once", "before purge", "")
        + &noted(&lab, "go-on", "on_stop purge", "")
        + "[throttle]\nrows_per_second = 6\n";
    configure(&lab, &config);
    plan(&lab);
    let purge = Running::purge(&lab);
    let begun = std::time::Instant::now();
    while lab.count("tenants") == 60 {
        assert!(begun.elapsed() < super::LONG);
    }
    purge.signal("-INT");
    fault(&purge.end(), 130, &["was interrupted after batch"]);
    let names = |from: usize| -> Vec<String> {
        ran(&lab)[from..].iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    assert_eq!(names(0), ["pause", "once", "go-on"]);
    configure(&lab, &config.replace("rows_per_second = 6", ""));
    lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(names(3), ["pause"]);
    assert_eq!(lab.count("tenants"), 1);
}

/// The process with the id in this file is gone.
#[track_caller]
fn assert_ends(lab: &Lab<'_>, file: &str) {
    let id = std::fs::read_to_string(lab.path(file)).unwrap();
    let begun = std::time::Instant::now();
    let lives = |stat: String| !stat.contains(") Z ");
    while std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).is_ok_and(lives) {
        assert!(begun.elapsed() < super::LONG, "process {id} lives on");
    }
}

fn wait_for_file(lab: &Lab<'_>, file: &str) {
    let begun = std::time::Instant::now();
    while !std::fs::read_to_string(lab.path(file)).is_ok_and(|text| text.ends_with('\n')) {
        assert!(begun.elapsed() < super::LONG, "{file} never appears");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_hook_that_hangs_ends_with_all_it_started() {
    let lab = lab();
    let hang = |file: &str| {
        format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", lab.path(file).display())
    };
    configure(&lab, &hook(&lab, "hang", "before purge", &hang("one"), "timeout = \"1s\""));
    plan(&lab);
    fault(&lab.try_purge(), 4, &["hook `hang` took longer than 1 s and was ended"]);
    assert_ends(&lab, "one");
    // Ctrl-C does not wait for it either.
    configure(&lab, &hook(&lab, "wait", "before purge", &hang("two"), "timeout = \"10min\""));
    plan(&lab);
    let purge = Running::purge(&lab);
    wait_for_file(&lab, "two");
    purge.signal("-INT");
    fault(&purge.end(), 130, &["was interrupted before its first batch", "nothing was changed"]);
    assert_ends(&lab, "two");
    assert_eq!(lab.count("tenants"), 60);
    // A restore ends at once, and so does what it started.
    configure(&lab, &hook(&lab, "late", "before restore", &hang("three"), "timeout = \"10min\""));
    plan(&lab);
    lab.purge();
    let restore = Running::start(&lab, &["restore", "r-3", "--confirm", "r-3"]);
    wait_for_file(&lab, "three");
    restore.signal("-INT");
    assert_eq!(restore.end().code, Some(130));
    assert_ends(&lab, "three");
}
