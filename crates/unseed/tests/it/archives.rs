//! Archives that are encrypted, checked, and opened with the real `age` and `sqlite3`.

use crate::support::{Answer, Sandbox, answer};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A new key pair of age below the sandbox; returns the public half.
fn age_key(sandbox: &Sandbox, file: &str) -> String {
    age_key_at(&sandbox.path(file))
}

/// A new key of age in this file; returns its public half.
pub(crate) fn age_key_at(path: &Path) -> String {
    let output = Command::new("age-keygen").arg("-o").arg(path).output();
    let output = output.expect("`age` is installed, as `cargo xtask test` does it");
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("# public key: "));
    line.unwrap().to_owned()
}

/// A new SSH key pair; returns the public half.
fn ssh_key(sandbox: &Sandbox, file: &str, kind: &str) -> String {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", kind, "-N", "", "-f"]).arg(sandbox.path(file));
    assert!(keygen.status().unwrap().success());
    fs::read_to_string(sandbox.path(&format!("{file}.pub"))).unwrap().trim().to_owned()
}

/// A purge of three test tenants with these further arguments; returns the run.
#[track_caller]
fn purged(sandbox: &Sandbox, more: &[&str]) -> String {
    let id = sandbox.plan(&["--batch-rows", "4"]);
    let mut arguments = vec!["purge", "plan.json", "--confirm", &id];
    arguments.extend(more);
    sandbox.json(0, &arguments)["run"].as_str().unwrap().to_owned()
}

/// Every file below the archive of a run.
fn files(sandbox: &Sandbox, run: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&sandbox.path(&format!(".unseed/archive/{run}")), &mut found);
    found
}

fn sections(sandbox: &Sandbox, run: &str) -> Vec<PathBuf> {
    let is_section = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.contains(".sql.gz")
    };
    files(sandbox, run).into_iter().filter(is_section).collect()
}

fn restore(sandbox: &Sandbox, run: &str, identity: &str) -> Answer {
    sandbox.run(&["restore", run, "--confirm", run, "--identity", identity])
}

#[test]
fn an_encrypted_archive_is_restored_with_any_of_its_keys() {
    let sandbox = Sandbox::new(3);
    let age = age_key(&sandbox, "key.txt");
    let ed25519 = ssh_key(&sandbox, "ed", "ed25519");
    let rsa = ssh_key(&sandbox, "rsa", "rsa");
    sandbox.write("others.txt", &format!("# two more\n{ed25519}\n\n{rsa}\n"));
    for identity in ["key.txt", "ed", "rsa"] {
        let run = purged(&sandbox, &["--recipient", &age, "--recipients-file", "others.txt"]);
        let sections = sections(&sandbox, &run);
        assert!(sections.len() > 3);
        for path in sections {
            assert!(path.to_string_lossy().ends_with(".sql.gz.age"), "{}", path.display());
            assert!(fs::read(path).unwrap().starts_with(b"age-encryption.org/v1\n"));
        }
        sandbox.expect(0, &["verify", &run]);
        sandbox.expect(0, &["verify", &run, "--identity", identity]);
        let one = restore(&sandbox, &run, identity);
        assert_eq!(one.code, Some(0), "{one:?}");
        sandbox.assert_untouched();
    }
}

#[test]
fn keys_come_from_the_configuration_and_the_environment() {
    let sandbox = Sandbox::new(3);
    let age = age_key(&sandbox, "key.txt");
    sandbox.write("recipients.txt", &age);
    sandbox.write(
        "unseed.toml",
        "[archive]\nrecipients = [\"file:recipients.txt\"]\nidentity = \"file:key.txt\"\n",
    );
    let run = purged(&sandbox, &[]);
    sandbox.expect(0, &["restore", &run, "--root", "101", "--confirm", &run]);
    assert_eq!(sandbox.count("tenants"), 3);
    sandbox
        .write("unseed.toml", "[archive]\nrecipients = [\"file:recipients.txt\"]\nidentity = \"env:KEY\"\n");
    let mut command = sandbox.command(&["restore", &run, "--root", "100", "--confirm", &run]);
    let text = fs::read_to_string(sandbox.path("key.txt")).unwrap();
    assert_eq!(answer(command.env("KEY", &text)).code, Some(0));
    let mut command = sandbox.command(&["restore", &run, "--root", "102", "--confirm", &run]);
    let restored = answer(command.env("UNSEED_IDENTITY", sandbox.path("key.txt")));
    assert_eq!(restored.code, Some(0), "{restored:?}");
    sandbox.assert_untouched();
}

#[test]
fn the_rows_leave_no_trace_in_an_encrypted_archive() {
    let sandbox = Sandbox::new(3);
    let age = age_key(&sandbox, "key.txt");
    let run = purged(&sandbox, &["--recipient", &age]);
    for path in files(&sandbox, &run) {
        let bytes = fs::read(&path).unwrap();
        let plain = Command::new("gunzip").arg("-c").arg(&path).output().unwrap().stdout;
        for text in [bytes, plain] {
            assert!(!String::from_utf8_lossy(&text).contains("@example.com"), "{}", path.display());
        }
    }
}

#[test]
fn a_missing_or_wrong_key_is_one_fault_that_names_the_recipients() {
    let sandbox = Sandbox::new(3);
    let age = age_key(&sandbox, "key.txt");
    age_key(&sandbox, "other.txt");
    let run = purged(&sandbox, &["--recipient", &age]);
    fs::copy(sandbox.path("app.db"), sandbox.path("purged.db")).unwrap();
    let without = sandbox.run(&["restore", &run, "--confirm", &run]);
    let wrong = restore(&sandbox, &run, "other.txt");
    for (answer, why) in [(without, "no key was given"), (wrong, "does not open it")] {
        assert_eq!(answer.code, Some(2), "{answer:?}");
        assert!(answer.stderr.contains("is encrypted, and") && answer.stderr.contains(why), "{answer:?}");
        assert!(answer.stderr.contains(&format!("encrypted to {age}")), "{answer:?}");
        assert!(answer.stderr.contains("--identity FILE"), "{answer:?}");
    }
    let check = sandbox.run(&["archive", "check", &run, "--identity", "other.txt"]);
    assert_eq!(check.code, Some(2), "{check:?}");
    crate::support::assert_same(&sandbox.path("app.db"), &sandbox.path("purged.db"));
}

#[test]
fn keys_that_cannot_be_meant_are_refused_and_never_shown() {
    let sandbox = Sandbox::new(3);
    let age = age_key(&sandbox, "key.txt");
    let secret = fs::read_to_string(sandbox.path("key.txt")).unwrap();
    let secret = secret.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    let run = purged(&sandbox, &["--recipient", &age]);
    sandbox.write("none.txt", "# nobody\n");
    sandbox.write("noise.txt", &format!("hello {secret}\n"));
    fs::create_dir(sandbox.path(".unseed/keys")).unwrap();
    fs::copy(sandbox.path("key.txt"), sandbox.path(".unseed/keys/key.txt")).unwrap();
    std::os::unix::fs::symlink(sandbox.path(".unseed/keys/key.txt"), sandbox.path("link.txt")).unwrap();
    sandbox.expect(0, &["plan", "app.db", "--where", "tenants: id = 2", "-o", "plan.json"]);
    let cases: [(i32, &[&str], &str); 8] = [
        (2, &["purge", "plan.json", "--recipient", secret], "private key, not a recipient"),
        (2, &["purge", "plan.json", "--recipients-file", "key.txt"], "private key, not a recipient"),
        (2, &["purge", "plan.json", "--recipients-file", "none.txt"], "names no recipient"),
        (2, &["purge", "plan.json", "--recipient", "age1nonsense"], "no recipient that can be used"),
        (2, &["restore", &run, "--confirm", &run, "--identity", "noise.txt"], "is no private key"),
        (2, &["restore", &run, "--confirm", &run, "--identity", "gone.txt"], "cannot be read"),
        (
            3,
            &["restore", &run, "--confirm", &run, "--identity", ".unseed/keys/key.txt"],
            "lies in the state folder",
        ),
        (3, &["restore", &run, "--confirm", &run, "--identity", "link.txt"], "lies in the state folder"),
    ];
    for (code, arguments, expected) in cases {
        let answer = sandbox.run(arguments);
        assert_eq!(answer.code, Some(code), "{arguments:?} {answer:?}");
        assert!(answer.stderr.contains(expected), "{arguments:?} {answer:?}");
        assert!(answer.stderr.contains("hint:") && !answer.stderr.contains(secret), "{answer:?}");
    }
    let state = fs::read(sandbox.path(".unseed/state.db")).unwrap();
    assert!(!state.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()));
}

#[test]
fn a_passphrase_opens_the_archive_and_going_on_needs_no_key() {
    let sandbox = Sandbox::new(3);
    sandbox.write("pass.txt", "correct horse battery staple\n");
    sandbox.write("unseed.toml", "[archive]\npassphrase_file = \"pass.txt\"\n");
    let run = purged(&sandbox, &[]);
    let key = sandbox.path(&format!(".unseed/archive/{run}/key.age"));
    assert!(fs::read(&key).unwrap().starts_with(b"age-encryption.org/v1\n-> scrypt "));
    sandbox.expect(0, &["archive", "check", &run]);
    sandbox.write("pass.txt", "something else\n");
    let wrong = sandbox.run(&["restore", &run, "--confirm", &run]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("the passphrase does not open"), "{wrong:?}");
    sandbox.write("unseed.toml", "");
    let without = sandbox.run(&["restore", &run, "--confirm", &run]);
    assert!(without.stderr.contains("no passphrase was given"), "{without:?}");
    sandbox.write("pass.txt", "correct horse battery staple\n");
    sandbox.write("unseed.toml", "[archive]\npassphrase_file = \"pass.txt\"\n");
    sandbox.expect(0, &["restore", &run, "--confirm", &run]);
    sandbox.assert_untouched();
}

#[test]
fn a_stopped_purge_goes_on_encrypting_without_any_key() {
    let sandbox = Sandbox::new(150);
    let age = age_key(&sandbox, "key.txt");
    let id = sandbox.plan(&["--batch-rows", "4"]);
    let mut command = sandbox.command(&["purge", "plan.json", "--confirm", &id, "--recipient", &age]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !sandbox.path(".unseed/archive/r-1/batch-0003").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the purge ended early");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::rename(sandbox.path("key.txt"), sandbox.path("away.txt")).unwrap();
    sandbox.expect(0, &["archive", "check", "r-1"]);
    sandbox.expect(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert!(sections(&sandbox, "r-1").iter().all(|path| path.extension().unwrap() == "age"));
    sandbox.expect(0, &["archive", "check", "r-1", "--identity", "away.txt"]);
    assert_eq!(restore(&sandbox, "r-1", "away.txt").code, Some(0));
    sandbox.assert_untouched();
}

/// `sqlite3` with the script of a run, and this key.
fn by_hand(sandbox: &Sandbox, run: &str, identity: &str) -> Answer {
    let folder = sandbox.path(&format!(".unseed/archive/{run}"));
    let mut client = Command::new("sqlite3");
    client.arg(sandbox.path("app.db")).current_dir(&folder).env("UNSEED_IDENTITY", sandbox.path(identity));
    answer(client.stdin(fs::File::open(folder.join("restore.sql")).unwrap()))
}

#[test]
fn age_and_sqlite_alone_restore_an_encrypted_archive() {
    let sandbox = Sandbox::new(3);
    let age = age_key(&sandbox, "key.txt");
    age_key(&sandbox, "other.txt");
    let run = purged(&sandbox, &["--recipient", &age]);
    for path in sections(&sandbox, &run) {
        let shell = format!("age -d -i key.txt < '{}' | gunzip -t", path.display());
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("set -o pipefail; {shell}")]).current_dir(sandbox.path(""));
        assert!(bash.status().unwrap().success(), "{shell}");
    }
    fs::copy(sandbox.path("app.db"), sandbox.path("purged.db")).unwrap();
    let wrong = by_hand(&sandbox, &run, "other.txt");
    assert_ne!(wrong.code, Some(0), "{wrong:?}");
    assert!(wrong.stderr.contains("not all archived rows could be read"), "{wrong:?}");
    crate::support::assert_same(&sandbox.path("app.db"), &sandbox.path("purged.db"));
    let right = by_hand(&sandbox, &run, "key.txt");
    assert_eq!(right.code, Some(0), "{right:?}");
    sandbox.assert_untouched();
}

/// What a check finds after this was done to the archive of the first of two runs, which belong to one key.
#[track_caller]
fn found_after(damage: impl FnOnce(&Path)) -> String {
    let sandbox = Sandbox::new(6);
    let age = age_key(&sandbox, "key.txt");
    for (range, name) in [("id BETWEEN 100 AND 102", "r-1"), ("id >= 103", "r-2")] {
        let plan =
            sandbox.json(0, &["plan", "app.db", "--where", &format!("tenants: {range}"), "-o", "plan.json"]);
        let id = plan["id"].as_str().unwrap();
        let report = sandbox.json(0, &["purge", "plan.json", "--confirm", id, "--recipient", &age]);
        assert_eq!(report["run"], name);
    }
    let all = sandbox.json(0, &["archive", "check", "--all", "--identity", "key.txt"]);
    assert_eq!((&all["format"], &all["ok"]), (&"unseed.archive-check/1".into(), &true.into()));
    assert_eq!(all["archives"].as_array().unwrap().len(), 2);
    damage(&sandbox.path(".unseed/archive/r-1"));
    let without_key = sandbox.run(&["archive", "check", "r-1"]);
    let check = sandbox.json(1, &["archive", "check", "r-1", "--identity", "key.txt"]);
    let answer = sandbox.run(&["archive", "check", "r-1", "--identity", "key.txt"]);
    assert_eq!((without_key.code, answer.code), (Some(1), Some(1)), "{answer:?}");
    assert_eq!(without_key.stderr, answer.stderr, "a check of files needs no key");
    assert!(answer.stderr.contains("hint:"), "{answer:?}");
    sandbox.expect(0, &["archive", "check", "r-2", "--identity", "key.txt"]);
    let problems = check["archives"][0]["problems"].as_array().unwrap();
    let line =
        |p: &serde_json::Value| format!("{} {}", p["file"].as_str().unwrap(), p["what"].as_str().unwrap());
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

const USERS: &str = "batch-0001/users.sql.gz.age";

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_check_lists_everything_that_is_wrong() {
    let found = found_after(|run| {
        flip(&run.join(USERS));
        let tenants = run.join("batch-0001/tenants.sql.gz.age");
        fs::write(&tenants, &fs::read(&tenants).unwrap()[..200]).unwrap();
        fs::remove_file(run.join("batch-0001/invoices.sql.gz.age")).unwrap();
        fs::write(run.join("batch-0001/note.txt"), "hello").unwrap();
        fs::write(run.join("key.txt"), "hello").unwrap();
    });
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 5, "{found}");
    assert_eq!(lines[0], "batch-0001/invoices.sql.gz.age is missing");
    assert_eq!(lines[1], "batch-0001/note.txt does not belong to the archive");
    assert!(lines[2].starts_with("batch-0001/tenants.sql.gz.age is cut short: 200 of "), "{found}");
    assert_eq!(lines[3], "batch-0001/users.sql.gz.age is damaged: its hash differs from the manifest's");
    assert_eq!(lines[4], "key.txt does not belong to the archive");
}

#[test]
fn sections_and_manifests_of_another_run_are_noticed() {
    let found = found_after(|run| {
        let other = run.with_file_name("r-2");
        fs::copy(other.join(USERS), run.join(USERS)).unwrap();
    });
    assert!(found.starts_with("batch-0001/users.sql.gz.age is "), "{found}");
    let found = found_after(|run| {
        let other = run.with_file_name("r-2");
        fs::remove_dir_all(run.join("batch-0001")).unwrap();
        fs::create_dir(run.join("batch-0001")).unwrap();
        for entry in fs::read_dir(other.join("batch-0001")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), run.join("batch-0001").join(entry.file_name())).unwrap();
        }
        fs::copy(other.join("manifest.json"), run.join("manifest.json")).unwrap();
    });
    assert!(
        found.contains("batch-0001/batch.json is damaged: its hash differs from the recorded one"),
        "{found}"
    );
    assert!(found.contains("manifest.json belongs to run `r-2`"), "{found}");
}

#[test]
fn links_and_missing_folders_are_noticed() {
    let found = found_after(|run| {
        let away = run.with_file_name("elsewhere");
        fs::rename(run, &away).unwrap();
        std::os::unix::fs::symlink(&away, run).unwrap();
    });
    assert_eq!(found, ". is a link that leads elsewhere, not the folder of the archive");
    let found = found_after(|run| {
        let away = run.with_file_name("users");
        fs::rename(run.join(USERS), &away).unwrap();
        std::os::unix::fs::symlink(&away, run.join(USERS)).unwrap();
    });
    assert_eq!(found, "batch-0001/users.sql.gz.age is a link that leads elsewhere");
    assert_eq!(found_after(|run| fs::remove_dir_all(run).unwrap()), ". is missing: the whole archive");
    let found = found_after(|run| fs::remove_file(run.join("manifest.json")).unwrap());
    assert_eq!(found, "manifest.json is missing");
}

#[test]
fn an_archive_that_is_not_encrypted_is_read_to_its_last_row() {
    let sandbox = Sandbox::new(3);
    let run = purged(&sandbox, &[]);
    let check = sandbox.json(0, &["archive", "check", &run]);
    let archive = &check["archives"][0];
    assert_eq!((&archive["inside"], &archive["recipients"]), (&true.into(), &serde_json::json!([])));
    // 12 rows that left, and one value that was detached.
    assert_eq!(archive["rows"], 13);
    let manifest = fs::read_to_string(sandbox.path(".unseed/archive/r-1/manifest.json")).unwrap();
    assert!(
        !manifest.contains("recipients") && !manifest.contains("hash_inside"),
        "as earlier versions wrote it"
    );
    assert!(sandbox.expect(0, &["archive", "check", "--all"]).contains("ok"));
    assert_eq!(sandbox.run(&["archive", "check", "r-9"]).code, Some(2));
    assert_eq!(sandbox.run(&["archive", "check"]).code, Some(2));
}

#[test]
fn an_archive_is_restored_into_a_scratch_file_and_compared() {
    let sandbox = Sandbox::new(3);
    let age = age_key(&sandbox, "key.txt");
    let run = purged(&sandbox, &["--recipient", &age]);
    let into = |more: &[&str]| {
        let mut arguments = vec!["archive", "check", run.as_str(), "--restore-into", "sqlite"];
        arguments.extend(more);
        sandbox.run(&arguments)
    };
    let answer = into(&["--identity", "key.txt"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.stdout.contains("13 rows, 10 of 10 sections byte for byte"), "{answer:?}");
    assert_eq!(into(&[]).code, Some(2), "an encrypted archive cannot be restored without its key");
    let other = ["archive", "check", &run, "--restore-into", "postgres://nobody@localhost/nothing"];
    assert_eq!(sandbox.run(&other).code, Some(2));
    sandbox.expect(0, &["restore", &run, "--confirm", &run, "--identity", "key.txt"]);
    sandbox.assert_untouched();
}
