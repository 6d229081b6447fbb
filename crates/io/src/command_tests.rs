//! Real commands: what they are given, what is kept of them, and that none of them outlives its end.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use unseed_core::hook::{At, Phase};

const MANY_MS: u64 = 120_000;

struct Scene {
    folder: tempfile::TempDir,
    commands: HookCommands,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let known = |name: &str| match name {
            "PATH" => std::env::var("PATH").ok(),
            "HOME" => Some("/home/dana".to_owned()),
            "DATABASE_URL" => Some("postgres://secret".to_owned()),
            "TOKEN" => Some("given".to_owned()),
            _ => None,
        };
        let commands = HookCommands::new(folder.path().join("hooks"), Arc::new(known));
        Self { folder, commands }
    }

    async fn run(&mut self, script: &str, timeout_ms: u64, cancelled: &AtomicBool) -> (Ended, String) {
        let hook = Hook {
            name: "pause".to_owned(),
            at: At::Before,
            of: Phase::Purge,
            command: ["bash", "-c", script, "pause", "two words; $(touch never)"].map(str::to_owned).into(),
            timeout_ms,
            on_resume: false,
            environment: vec!["TOKEN".to_owned()],
        };
        let about = About { run: "r-7", plan: "7f3a90bc", stores: &["main".to_owned()], state: "running" };
        let (ended, log) =
            self.commands.run(&hook, &about, &|| cancelled.load(Ordering::SeqCst)).await.unwrap();
        (ended, std::fs::read_to_string(log).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn never() -> AtomicBool {
    AtomicBool::new(false)
}

#[tokio::test]
async fn a_command_is_told_of_its_run_and_knows_no_secret() {
    let mut scene = Scene::new();
    let script = "echo \"$1\"; env | grep -v '^\\(PWD\\|SHLVL\\|_\\|PATH\\)=' | sort; echo wrong >&2; exit 3";
    let (ended, log) = scene.run(script, MANY_MS, &never()).await;
    assert_eq!(ended, Ended::Exited(3));
    let lines: BTreeSet<&str> = log.lines().collect();
    let expected = [
        "two words; $(touch never)",
        "HOME=/home/dana",
        "TOKEN=given",
        "UNSEED_AT=before",
        "UNSEED_HOOK=pause",
        "UNSEED_PHASE=purge",
        "UNSEED_PLAN=7f3a90bc",
        "UNSEED_RUN=r-7",
        "UNSEED_STATE_OF_RUN=running",
        "UNSEED_STORES=main",
        "wrong",
    ];
    assert_eq!(lines, expected.into_iter().collect());
    let (ended, log) = scene.run("echo again", MANY_MS, &never()).await;
    assert_eq!((ended, log.as_str()), (Ended::Exited(0), "again\n"), "a log of its own");
    assert_eq!(std::fs::read_dir(scene.path("hooks/r-7")).unwrap().count(), 2);
}

#[tokio::test]
async fn only_the_beginning_of_a_long_output_is_kept() {
    let mut scene = Scene::new();
    let (ended, log) = scene.run("head -c 5000000 /dev/zero | tr '\\0' x; exit 4", MANY_MS, &never()).await;
    assert_eq!(ended, Ended::Exited(4));
    assert!(log.ends_with("\n[the rest was not kept]\n"));
    assert_eq!(log.len(), LOG_BYTES_MAX + "\n[the rest was not kept]\n".len());
}

/// The process with this id is gone, or waits for its parent to notice.
async fn ends(id: &str) {
    let begun = Instant::now();
    let lives = |stat: String| !stat.contains(") Z ");
    while std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(lives) {
        assert!(begun.elapsed() < Duration::from_secs(60), "process {id} lives on");
        sleep(TICK).await;
    }
}

/// Children that do not want to end, and children of children.
const STUBBORN: &str =
    "trap '' TERM; bash -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & echo $$; wait";

#[tokio::test]
async fn at_its_limit_a_command_ends_with_all_it_started() {
    let mut scene = Scene::new();
    let (ended, log) = scene.run(STUBBORN, 1_500, &never()).await;
    assert_eq!(ended, Ended::TimedOut);
    assert_eq!(log.lines().count(), 2, "{log}");
    for id in log.lines() {
        ends(id).await;
    }
}

#[tokio::test]
async fn a_command_that_is_cancelled_ends_with_all_it_started() {
    let mut scene = Scene::new();
    let flag = scene.path("begun");
    let cancelled = Arc::new(AtomicBool::new(false));
    let script = format!("sleep 1000 & echo $!; touch {}; wait", flag.display());
    let watching = Arc::clone(&cancelled);
    let watcher = tokio::spawn(async move {
        while !flag.exists() {
            sleep(TICK).await;
        }
        watching.store(true, Ordering::SeqCst);
    });
    let (ended, log) = scene.run(&script, MANY_MS, &cancelled).await;
    watcher.await.unwrap();
    assert_eq!(ended, Ended::Cancelled);
    ends(log.trim()).await;
}

#[tokio::test]
async fn what_is_no_program_is_told() {
    let mut scene = Scene::new();
    let mut hook = Hook {
        name: "pause".to_owned(),
        at: At::Before,
        of: Phase::Purge,
        command: vec!["/no/such/program".to_owned()],
        timeout_ms: MANY_MS,
        on_resume: false,
        environment: Vec::new(),
    };
    let about = About { run: "r-7", plan: "p", stores: &[], state: "running" };
    let (ended, _) = scene.commands.run(&hook, &about, &|| false).await.unwrap();
    assert!(matches!(ended, Ended::NotStarted(ref why) if why.contains("/no/such/program")), "{ended:?}");
    hook.command.clear();
    let (ended, _) = scene.commands.run(&hook, &about, &|| false).await.unwrap();
    assert_eq!(ended, Ended::NotStarted("it has no command".to_owned()));
}
