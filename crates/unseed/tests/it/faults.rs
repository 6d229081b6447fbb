//! Every bad input: one clear fault in three parts, the right exit code, nothing changed.

use crate::support::{Answer, Disk, Sandbox, answer};
use std::fs;
use std::path::Path;

/// Checks code and form of a fault; returns its first part.
#[track_caller]
fn fault(answer: &Answer, code: i32, says: &str) -> String {
    assert_eq!(answer.code, Some(code), "{answer:?}");
    assert_eq!(answer.stdout, "", "results only on standard output");
    let lines: Vec<&str> = answer.stderr.lines().skip_while(|line| !line.starts_with("error: ")).collect();
    assert!(lines.len() >= 3, "three parts: {answer:?}");
    let hint = lines.last().copied().unwrap_or_default();
    assert!(hint.starts_with("  hint: ") && hint.len() > 12, "the last part is what to do: {answer:?}");
    let state = lines[lines.len() - 2];
    assert!(state.starts_with("  ") && !state.starts_with("   "), "then the state of the data: {answer:?}");
    assert!(!lines[0].ends_with('.'), "no full stop: {answer:?}");
    let text = lines.join("\n");
    assert!(text.contains(says), "`{says}` is not in: {text}");
    lines[0].to_owned()
}

#[test]
fn stores_that_cannot_be_reached_are_named() {
    let sandbox = Sandbox::new(1);
    fault(&sandbox.run(&["scan", "nowhere.db"]), 2, "no such database file `nowhere.db`");
    fault(&sandbox.run(&["scan", "sqlite:nowhere.db"]), 2, "no such database file `nowhere.db`");
    assert!(!sandbox.path("nowhere.db").exists(), "a wrong path must not make a database");
    fault(&sandbox.run(&["scan", "gopher://db"]), 2, "`gopher` are not supported");
    fault(&sandbox.run(&["scan", "."]), 2, "is a folder");
    fault(&sandbox.run(&["scan", "env:NO_SUCH_VARIABLE"]), 2, "`NO_SUCH_VARIABLE` is not set");
    fault(&sandbox.run(&["scan"]), 2, "no store was given");
    sandbox.write("text.db", &"this is no database ".repeat(100));
    fault(&sandbox.run(&["scan", "text.db"]), 2, "not a database");
    let closed = sandbox.run(&["scan", "postgres://me:hunter2@127.0.0.1:1/app"]);
    fault(&closed, 4, "127.0.0.1");
    assert!(!closed.stderr.contains("hunter2"), "no password in messages: {closed:?}");
}

#[test]
fn wrong_arguments_are_faults_of_the_same_form() {
    let sandbox = Sandbox::new(1);
    fault(&sandbox.run(&["scann"]), 2, "scann");
    fault(&sandbox.run(&[]), 2, "unseed --help");
    fault(&sandbox.run(&["scan", "app.db", "--colour"]), 2, "unseed scan --help");
    fault(&sandbox.run(&["plan", "app.db"]), 2, "no roots were chosen");
    let json = sandbox.json(2, &["scann"]);
    assert_eq!(json["code"], "usage");
}

#[test]
fn unknown_tables_predicates_and_columns_are_named() {
    let sandbox = Sandbox::new(2);
    let plan = |choice: &[&str]| {
        let mut arguments = vec!["plan", "app.db", "-o", "plan.json"];
        arguments.extend(choice);
        sandbox.run(&arguments)
    };
    fault(&plan(&["--where", "tenant: id > 1"]), 2, "no such table `tenant`");
    fault(&plan(&["--where", "tenants: idd > 1"]), 2, "idd");
    fault(&plan(&["--where", "tenants: id > > 1"]), 2, "id > > 1");
    fault(&plan(&["--where", "tenants"]), 2, "TABLE: PREDICATE");
    fault(&plan(&["--where", "tenants: id > 99999"]), 2, "no row is chosen");
    fault(&plan(&["--ids", "tenants=none.txt"]), 2, "none.txt");
    sandbox.write("ids.txt", "1\t2\n");
    fault(&plan(&["--ids", "tenants=ids.txt"]), 2, "1");
    fault(&plan(&["--where", "tenants: id >= 100", "--protect", "tenants.idd=1"]), 2, "no such column `idd`");
    fault(&plan(&["--where", "tenants: id >= 100", "--reference", "a.b -> c.d"]), 2, "no such table `a`");
    fault(&plan(&["--findings=none.json"]), 2, "none.json");
    assert!(!sandbox.path("plan.json").exists(), "no plan is saved");
    sandbox.assert_untouched();
}

#[test]
fn a_predicate_cannot_change_anything() {
    let sandbox = Sandbox::new(2);
    let attack = "tenants: 1=1); DELETE FROM notes; --";
    let answer = sandbox.run(&["plan", "app.db", "--where", attack, "-o", "plan.json"]);
    assert_eq!(answer.code, Some(2), "{answer:?}");
    sandbox.assert_untouched();
}

#[test]
fn protected_rows_and_limits_refuse_a_plan() {
    let sandbox = Sandbox::new(3);
    let plan = |more: &[&str]| {
        let mut arguments = vec!["plan", "app.db", "--where", "tenants: id >= 100", "-o", "plan.json"];
        arguments.extend(more);
        sandbox.run(&arguments)
    };
    fault(&plan(&["--protect", "tenants.id=101"]), 3, "tenants 101");
    fault(&plan(&["--max-rows", "2"]), 3, "the limit is 2");
    let path = plan(&["--protect", "users.email=user102@example.com"]);
    fault(&path, 3, "users");
    assert!(path.stderr.contains("→"), "the path to the protected row: {path:?}");
    sandbox.write("unseed.toml", "[limits]\nmax_share_of_table = 0.1\n");
    fault(&plan(&[]), 3, "share");
    sandbox.assert_untouched();
}

#[test]
fn a_wrong_configuration_stops_every_command() {
    let sandbox = Sandbox::new(1);
    sandbox.write("unseed.toml", "[protec]\n");
    fault(&sandbox.run(&["scan", "app.db"]), 2, "`unseed.toml` line 1: unknown key `protec`");
    sandbox.write("unseed.toml", "[stores.main]\nurl = \"postgres://a:hunter2@db/x\"\n");
    let answer = sandbox.run(&["scan"]);
    fault(&answer, 2, "`unseed.toml` line 2: `stores.main.url` contains a password");
    assert!(!answer.stderr.contains("hunter2"));
    fault(&sandbox.run(&["scan", "app.db", "--config", "other.toml"]), 2, "other.toml");
}

#[test]
fn a_purge_needs_the_right_id() {
    let sandbox = Sandbox::new(2);
    sandbox.plan(&[]);
    fault(&sandbox.run(&["purge", "plan.json"]), 3, "nobody confirmed");
    fault(&sandbox.run(&["purge", "plan.json", "--confirm", "00000000"]), 3, "`00000000` is not the id");
    sandbox.assert_untouched();
    assert_eq!(sandbox.json(0, &["runs"])["runs"].as_array().map(Vec::len), Some(0), "no run was begun");
}

#[test]
fn a_purge_that_needs_signatures_of_nobody_is_refused() {
    let sandbox = Sandbox::new(2);
    let id = sandbox.plan(&[]);
    sandbox.write("unseed.toml", "[approval]\nrequired = 2\n");
    fault(&sandbox.run(&["purge", "plan.json", "--confirm", &id]), 3, "names nobody who may give them");
    sandbox.assert_untouched();
}

#[test]
fn a_plan_is_used_once() {
    let sandbox = Sandbox::new(2);
    let id = sandbox.plan(&[]);
    sandbox.expect(0, &["purge", "plan.json", "--confirm", &id]);
    let counts = sandbox.count("tenants");
    fault(&sandbox.run(&["purge", "plan.json", "--confirm", &id]), 3, "already used by run `r-1`");
    assert_eq!(sandbox.count("tenants"), counts);
}

#[test]
fn edited_and_damaged_plans_are_refused() {
    let sandbox = Sandbox::new(2);
    let id = sandbox.plan(&[]);
    let text = fs::read_to_string(sandbox.path("plan.json")).unwrap();
    sandbox.write("edited.json", &text.replace("\"100\"", "\"1\""));
    fault(&sandbox.run(&["purge", "edited.json", "--confirm", &id]), 3, "was edited or damaged");
    sandbox.write("cut.json", &text[..text.len() / 2]);
    fault(&sandbox.run(&["purge", "cut.json", "--confirm", &id]), 2, "is not a plan");
    fault(&sandbox.run(&["show", "none.json"]), 2, "cannot be read");
    sandbox.assert_untouched();
}

#[test]
fn a_stale_plan_is_refused() {
    let sandbox = Sandbox::new(2);
    let id = sandbox.plan(&[]);
    let db = sandbox.path("app.db");
    let sqlite = |sql: &str| unseed_io::sample::change(&db, sql).unwrap();
    sqlite("UPDATE tenants SET name = 'A real customer' WHERE id = 101");
    let answer = sandbox.run(&["purge", "plan.json", "--confirm", &id]);
    fault(&answer, 3, "101");
    assert_eq!(sandbox.count("tenants"), 4, "a root that changed stops the purge");
    let id = sandbox.plan(&[]);
    sqlite("ALTER TABLE tenants ADD COLUMN plan TEXT");
    fault(&sandbox.run(&["purge", "plan.json", "--confirm", &id]), 3, "schema has changed");
    assert_eq!(sandbox.count("tenants"), 4);
}

#[test]
fn a_place_for_the_archive_that_cannot_be_written_stops_before_the_purge() {
    let sandbox = Sandbox::new(2);
    let id = sandbox.plan(&[]);
    sandbox.write("file", "");
    fault(&sandbox.run(&["purge", "plan.json", "--confirm", &id, "--state", "file/state"]), 4, "file/state");
    sandbox.assert_untouched();
    // The plan is still good.
    sandbox.expect(0, &["purge", "plan.json", "--confirm", &id]);
}

#[test]
fn a_full_disk_stops_the_purge_and_loses_nothing() {
    let Some(disk) = Disk::mount("300k") else { return };
    let sandbox = Sandbox::new(2);
    let id = sandbox.plan(&[]);
    let state = disk.path().join("state").display().to_string();
    let answer = sandbox.run(&["purge", "plan.json", "--confirm", &id, "--state", &state]);
    fault(&answer, 4, "full");
    sandbox.assert_untouched();
}

#[test]
fn a_database_that_can_only_be_read_is_planned_but_not_purged() {
    let sandbox = Sandbox::new(2);
    let disk = Disk::mount("2m");
    let folder = disk.as_ref().map_or_else(|| sandbox.path(""), |disk| disk.path().to_path_buf());
    let db = folder.join("fixed.db");
    fs::copy(sandbox.path("app.db"), &db).unwrap();
    match &disk {
        Some(disk) => disk.make_read_only(),
        None => forbid_writing(&db),
    }
    let url = db.display().to_string();
    let plan = sandbox.json(0, &["plan", &url, "--where", "tenants: id >= 100", "-o", "plan.json"]);
    let id = plan["id"].as_str().unwrap().to_owned();
    let answer = sandbox.run(&["purge", "plan.json", "--confirm", &id]);
    fault(&answer, 3, "read");
    crate::support::assert_same(&db, &sandbox.path("original.db"));
}

fn forbid_writing(path: &Path) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(path, permissions).unwrap();
}

#[test]
fn a_damaged_archive_is_noticed_by_verify_and_never_restored() {
    let sandbox = Sandbox::new(5);
    let run = sandbox.purged();
    let part = sandbox.path(&format!(".unseed/archive/{run}/batch-0001/users.sql.gz"));
    let good = fs::read(&part).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    for (content, says) in [(bad, "is damaged"), (good[..20].to_vec(), "is cut short")] {
        fs::write(&part, &content).unwrap();
        fault(&sandbox.run(&["verify", &run]), 4, says);
        let answer = sandbox.run(&["restore", &run, "--confirm", &run]);
        fault(&answer, 4, says);
        assert!(answer.stderr.contains("copy"), "the way out is a copy of the archive: {answer:?}");
        assert_eq!(sandbox.count("users"), 2, "nothing was put back");
    }
    fs::remove_file(&part).unwrap();
    fault(&sandbox.run(&["restore", &run, "--confirm", &run]), 4, "is missing");
    fs::write(&part, &good).unwrap();
    sandbox.expect(0, &["restore", &run, "--confirm", &run]);
    sandbox.assert_untouched();
}

#[test]
fn runs_that_do_not_exist_are_named() {
    let sandbox = Sandbox::new(1);
    for verb in ["resume", "verify", "restore", "show"] {
        fault(&sandbox.run(&[verb, "r-9"]), 2, "no such run `r-9`");
    }
    assert!(!sandbox.path(".unseed").exists(), "looking for a run makes no state");
}

#[test]
fn a_restore_needs_the_right_id_and_happens_once() {
    let sandbox = Sandbox::new(2);
    let run = sandbox.purged();
    fault(&sandbox.run(&["restore", &run]), 3, "nobody confirmed");
    fault(&sandbox.run(&["restore", &run, "--confirm", "r-7"]), 3, "`r-7` is not the id");
    sandbox.expect(0, &["restore", &run, "--confirm", &run]);
    fault(&sandbox.run(&["restore", &run, "--confirm", &run]), 3, "already restored");
    fault(&sandbox.run(&["verify", &run]), 3, "restored");
    fault(&sandbox.run(&["resume", &run, "--confirm", &run]), 3, "restored");
}

#[test]
fn the_address_of_a_plan_can_be_given_again() {
    let sandbox = Sandbox::new(2);
    let url = format!("sqlite:{}", sandbox.path("app.db").display());
    let mut plan =
        sandbox.command(&["plan", "env:APP_DB", "--where", "tenants: id >= 100", "-o", "plan.json"]);
    assert_eq!(answer(plan.env("APP_DB", &url)).code, Some(0));
    let text = fs::read_to_string(sandbox.path("plan.json")).unwrap();
    assert!(text.contains("env:APP_DB") && !text.contains(&url), "the plan keeps the name only");
    let id = sandbox.json(0, &["show", "plan.json"])["id"].as_str().unwrap().to_owned();
    fault(&sandbox.run(&["purge", "plan.json", "--confirm", &id]), 2, "--url");
    sandbox.expect(0, &["purge", "plan.json", "--confirm", &id, "--url", &url]);
}
