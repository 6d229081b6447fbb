//! Where the state is kept: in the folder, or on a server that an argument, a variable or the configuration names.

use crate::lab::fault;
use crate::support::{Answer, Sandbox, answer};
use unseed_testkit::server::{Database, Postgres, Settings, Tls};

fn server_of(sandbox: &Sandbox) -> &Database<'static> {
    sandbox.state_database().expect("the state is on a server")
}

fn schemas(sandbox: &Sandbox) -> String {
    server_of(sandbox).psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'unseed'").unwrap()
}

/// Without the variable that the sandbox sets.
fn bare(sandbox: &Sandbox, arguments: &[&str]) -> Answer {
    answer(sandbox.command(arguments).env_remove("UNSEED_STATE"))
}

#[test]
fn argument_variable_and_configuration_lead_to_the_same_state() {
    let sandbox = Sandbox::new(3).with_state_server();
    let run = sandbox.purged();
    let url = server_of(&sandbox).url();
    sandbox.expect(0, &["verify", &run]);
    assert!(sandbox.path(".unseed/archive/r-1/manifest.json").is_file(), "archives stay files");
    assert!(!sandbox.path(".unseed/state.db").exists());
    let known = |answer: Answer| {
        assert_eq!(answer.code, Some(0), "{answer:?}");
        answer.stdout.contains("r-1")
    };
    assert!(!known(bare(&sandbox, &["runs"])));
    assert!(known(bare(&sandbox, &["runs", "--state", &url])));
    sandbox.write("unseed.toml", "[state]\nurl = \"env:RUNS\"\n");
    assert!(known(answer(sandbox.command(&["runs"]).env_remove("UNSEED_STATE").env("RUNS", &url))));
    fault(&bare(&sandbox, &["runs"]), 2, &["`RUNS` is not set"]);
    // A folder that is named holds the state itself.
    assert!(!known(sandbox.run(&["runs", "--state", "elsewhere"])));
    assert!(!known(answer(sandbox.command(&["runs"]).env("UNSEED_STATE", "elsewhere"))));
    sandbox.expect(0, &["restore", &run, "--confirm", &run]);
    sandbox.assert_untouched();
}

#[test]
fn archives_and_plans_are_kept_in_the_folder_of_the_configuration() {
    let sandbox = Sandbox::new(3).with_state_server();
    sandbox.write("unseed.toml", "[state]\nfolder = \"share/of all\"\n");
    let run = sandbox.purged();
    assert!(sandbox.path("share/of all/archive/r-1/manifest.json").is_file());
    assert!(!sandbox.path(".unseed").exists());
    sandbox.expect(0, &["archive", "check", &run]);
    sandbox.expect(0, &["restore", &run, "--confirm", &run]);
    sandbox.assert_untouched();
}

#[test]
fn looking_makes_no_schema() {
    let sandbox = Sandbox::new(3).with_state_server();
    let shown = sandbox.expect(0, &["runs"]);
    assert!(shown.contains("no runs yet in `postgres://"), "{shown}");
    sandbox.expect(0, &["audit", "verify"]);
    sandbox.expect(1, &["scan", "app.db"]);
    assert_eq!(schemas(&sandbox).trim(), "0");
}

#[test]
fn addresses_that_are_none_are_told() {
    let sandbox = Sandbox::new(1);
    let runs = |state: &str| sandbox.run(&["runs", "--state", state]);
    fault(&runs("mysql://root@localhost/x"), 2, &["cannot be kept in a store of kind `mysql`"]);
    fault(
        &runs("postgres://me@127.0.0.1:1/x?connect_timeout=2"),
        4,
        &["state database", "cannot connect to `postgres://me@127.0.0.1:1/x`"],
    );
    for (line, says) in [
        ("url = \"postgres://me:geheim@localhost/x\"", "`state.url` contains a password"),
        ("url = \"folder\"", "is not the address of a PostgreSQL database"),
        ("lease_s = 1", "`state.lease_s` is out of range"),
        ("leases = 1", "unknown key `leases`"),
    ] {
        sandbox.write("unseed.toml", &format!("[state]\n{line}\n"));
        let told = fault(&sandbox.run(&["runs"]), 2, &[says]);
        assert!(!told.contains("geheim"), "{told}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let sandbox = Sandbox::new(3).with_state_server();
    let database = server_of(&sandbox);
    let role = format!("keeper_of_{}", database.name());
    database.server().role(&role, Some("geheim")).unwrap();
    let url = database.url_as(&role, Some("geheim"));
    let id = sandbox.plan(&[]);
    let purge = ["purge", "plan.json", "--confirm", &id, "--state", &url];
    let told = fault(&sandbox.run(&purge), 4, &["permission denied", "state database `postgres://"]);
    assert!(!told.contains("geheim"), "{told}");
    database.psql(&format!("CREATE SCHEMA unseed AUTHORIZATION {role}")).unwrap();
    let no_runs = sandbox.run(&["runs", "--state", &url]);
    assert!(no_runs.code == Some(0) && !format!("{no_runs:?}").contains("geheim"), "{no_runs:?}");
    let done = sandbox.run(&purge);
    assert!(done.code == Some(0) && !format!("{done:?}").contains("geheim"), "{done:?}");
    let wrong = sandbox.run(&["runs", "--state", &url.replace("geheim", "falsch")]);
    let told = fault(&wrong, 4, &["cannot connect"]);
    assert!(!told.contains("falsch"), "{told}");
    let kept = database.psql("SELECT count(*) FROM unseed.audit a WHERE a::text LIKE '%geheim%'").unwrap();
    assert_eq!(kept.trim(), "0");
}

#[test]
fn the_way_to_the_state_is_encrypted_and_checked_as_that_to_a_store() {
    let server = Postgres::start_own(&Settings::default().tls(Tls::Required)).unwrap();
    let database = server.database("state").unwrap();
    let authority = server.authority_file().display().to_string();
    let sandbox = Sandbox::new(3);
    let runs = |more: &str| sandbox.run(&["runs", "--state", &format!("{}?{more}", database.url())]);
    fault(&runs("sslmode=disable"), 4, &["cannot connect"]);
    fault(&runs("sslmode=verify-full"), 4, &["certificate"]);
    for mode in ["require".to_owned(), format!("verify-full&sslrootcert={authority}")] {
        let answer = runs(&format!("sslmode={mode}"));
        assert_eq!(answer.code, Some(0), "{mode}: {answer:?}");
    }
}

#[test]
fn a_state_of_a_later_version_is_refused() {
    let sandbox = Sandbox::new(3).with_state_server();
    sandbox.purged();
    sandbox.state("INSERT INTO schema_version VALUES (99, '')");
    fault(&sandbox.run(&["runs"]), 4, &["written by a later version of unseed"]);
}

#[test]
fn processes_that_share_a_state_get_runs_of_their_own_and_one_log() {
    let state = Sandbox::new(1).with_state_server();
    let url = server_of(&state).url();
    let purge = || {
        let sandbox = Sandbox::new(3);
        let id = sandbox.plan(&[]);
        loop {
            let answer = sandbox.run(&["purge", "plan.json", "--confirm", &id, "--state", &url]);
            if answer.code == Some(0) {
                break;
            }
            // Another one was quicker by some milliseconds; the plan is as good as before.
            fault(&answer, 3, &["at the same time", "the plan is not used up"]);
        }
        assert_eq!(sandbox.count("tenants"), 2);
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(purge))));
    let runs = state.json(0, &["runs"]);
    let ids: Vec<&str> =
        runs["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["r-4", "r-3", "r-2", "r-1"]);
    assert_eq!(state.json(0, &["audit", "verify"])["intact"], true);
}
