//! One case from its plan to its restore, on a real store.

use super::compare::{Content, same_lines, same_rows};
use super::memory;
use std::path::Path as FilePath;
use std::process::Command;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use unseed::wire::SystemClock;
use unseed_core::approve::statement::Act;
use unseed_core::approve::{ConfirmedRun, Gate, Given, confirm, confirm_run};
use unseed_core::fault::{Category, Fault};
use unseed_core::keys::WholePlan;
use unseed_core::plan::{Action, Path};
use unseed_core::policy::Policy;
use unseed_core::port::progress::{Progress, Silent};
use unseed_core::port::state::StateDb;
use unseed_core::port::store::Restored;
use unseed_engine::context::{Context, Patience};
use unseed_engine::interrupt::Interrupt;
use unseed_engine::plan::{self, Choice, ChoiceRows, Request};
use unseed_engine::report::RunReport;
use unseed_engine::restore::Scope;
use unseed_engine::{purge, restore, resume, verify};
use unseed_io::archive::FolderArchive;
use unseed_io::state::State;
use unseed_io::store::AnyStore;
use unseed_testkit::oracle::{self, Expected};
use unseed_testkit::random::{Case, Dice};

/// Never waits, and gives up soon: nobody else is at work.
const IMPATIENT: Patience =
    Patience { attempts_max: 2, wait_ms_first: 0, wait_ms_max: 0, settle_attempts_max: 2 };

/// A database that one case after the other is loaded into.
pub(super) trait Server {
    fn kind(&self) -> &'static str {
        if self.path().is_some() { "postgresql" } else { "sqlite" }
    }
    /// What stands in front of a table's name.
    fn namespace(&self) -> String {
        "public".to_owned()
    }
    /// The case of a seed as this database understands it.
    fn case(&self, seed: u64) -> Case;
    /// Tables and rows of the case.
    fn script(&self, case: &Case) -> String;
    /// Replaces whatever is there by the case.
    fn load(&mut self, case: &Case) -> Result<(), String>;
    /// A case could be planned on the path that was asked for.
    fn planned(&self) {}
    fn url(&self) -> String;
    /// The path to take, where there is a choice.
    fn path(&self) -> Option<Path>;
    /// Table, key columns and keys, as a person would name them.
    fn roots(&self, case: &Case) -> Vec<(String, Vec<String>, Vec<Vec<String>>)>;
    fn content(&self, case: &Case) -> Result<Content, String>;
    /// Runs `restore.sql` in this folder with the database's own client.
    fn restore_by_hand(&self, folder: &FilePath) -> Result<(), String>;
}

/// How a case ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Everything,
    OneRoot,
    ByHand,
}

/// What is drawn about a case besides its schema and rows.
struct Course {
    batch_rows_max: u64,
    stops: bool,
    ending: Ending,
    /// Whether the restored rows are purged once more, over the same connection.
    again: bool,
    dice: Dice,
}

fn course(seed: u64) -> Course {
    let mut dice = Dice::new(seed ^ 0x0c00_5e5e);
    let batch_rows_max = if dice.chance(85) { 1 + dice.below(7) } else { 1_000 };
    let ending = match dice.below(100) {
        0..50 => Ending::Everything,
        50..75 => Ending::OneRoot,
        _ => Ending::ByHand,
    };
    Course { batch_rows_max, stops: dice.chance(40), ending, again: dice.chance(20), dice }
}

/// Takes the case of a seed all the way; an error says what was not as it should be.
pub(super) fn run(server: &mut dyn Server, seed: u64) -> Result<(), String> {
    let case = server.case(seed);
    let expected = oracle::expect(&case);
    server.load(&case)?;
    let before = server.content(&case)?;
    same_rows("the rows were not loaded as they were drawn", &case.content(), &before.rows)?;
    let mut course = course(seed);
    let mut journey = Journey::new(server)?;
    let whole = match journey.plan(&case, course.batch_rows_max) {
        Err(refused) if refused.contains("the rewrite path cannot be taken") => return Ok(()),
        made => made?,
    };
    server.planned();
    counted(&server.namespace(), &whole, &expected)?;
    journey.purge(&whole, course.stops)?;
    let purged = server.content(&case)?;
    same_rows("after the purge", &expected.remaining, &purged.rows)?;
    journey.verify(&whole)?;
    let back = match course.ending {
        Ending::OneRoot => return journey.restore_one(&case, &mut course, &whole, &purged),
        Ending::Everything => journey.restore(&whole, &Scope::Everything).and_then(no_conflict),
        Ending::ByHand => server.restore_by_hand(&journey.folder.path().join("archive/r-1")),
    };
    let now = server.content(&case)?;
    if back.is_err() && may_object(server, &case) {
        return same_lines("after a restore that was refused", &purged.whole, &now.whole);
    }
    back?;
    same_rows("after the restore", &before.rows, &now.rows)?;
    same_lines("after the restore, all columns", &before.whole, &now.whole)?;
    // Emptied tables have to be analysed before they can be emptied again.
    if !course.again || server.path() == Some(Path::Rewrite) {
        return Ok(());
    }
    let whole = journey.plan(&case, course.batch_rows_max)?;
    journey.purge(&whole, false)?;
    same_rows("after the second purge", &expected.remaining, &server.content(&case)?.rows)
}

/// Whether the server itself may refuse to take rows back: it checks them, and some may refer to nothing under a
/// key that was never validated.
fn may_object(server: &dyn Server, case: &Case) -> bool {
    server.kind() == "postgresql"
        && server.path() == Some(Path::Checked)
        && case.model.references.iter().any(|reference| reference.not_valid)
}

/// The plan says of each table what the oracle says.
fn counted(namespace: &str, whole: &WholePlan, expected: &Expected) -> Result<(), String> {
    let mut planned = Vec::new();
    for step in &whole.plan().steps {
        let word = match step.action {
            Action::Delete => "delete",
            Action::Detach => "detach",
            Action::Clear => "clear",
        };
        // Names are unique over both schemas.
        let table = step.table.trim_start_matches(&format!("{namespace}."));
        let table = table.trim_start_matches("Other place.");
        planned.push(format!("{word} {} rows of {table}", step.rows));
    }
    let mut wanted: Vec<String> = expected
        .removed
        .iter()
        .map(|(table, rows)| format!("delete {} rows of {table}", rows.len()))
        .collect();
    wanted.extend(
        expected.detached.iter().map(|(table, rows)| format!("detach {} rows of {table}", rows.len())),
    );
    same_lines("the plan counts otherwise", &wanted, &planned)
}

#[allow(clippy::needless_pass_by_value, reason = "it ends a chain of results")]
fn no_conflict(restored: Restored) -> Result<(), String> {
    if restored.conflicts.is_empty() {
        Ok(())
    } else {
        Err(format!("the restore has conflicts: {:#?}", restored.conflicts))
    }
}

fn told(what: &str) -> impl Fn(Fault) -> String {
    move |fault| format!("{what}: {fault:#?}")
}

/// Runs a client; an error holds everything it said.
pub(super) fn output_of(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Err(format!("{command:?} failed ({}): {}", output.status, said.concat()))
}

/// Asks to stop as soon as the first batch is removed.
struct StopAfterOne<'a>(&'a Interrupt);

impl Progress for StopAfterOne<'_> {
    fn update(&self, stage: &str, _done: u64, _total: Option<u64>) {
        if stage == "remove" {
            self.0.request();
        }
    }

    fn note(&self, _text: &str) {}
}

fn connect(runtime: &Runtime, server: &dyn Server) -> Result<Box<dyn AnyStore>, String> {
    let opened = runtime.block_on(unseed_io::store::open(&server.url(), &|_| None));
    opened.map_err(told("no connection"))
}

/// One case at work.
struct Journey<'a> {
    server: &'a dyn Server,
    runtime: Runtime,
    /// The connection, kept from step to step.
    store: Box<dyn AnyStore>,
    folder: TempDir,
    state: State,
    archive: FolderArchive,
    clock: SystemClock,
}

impl<'a> Journey<'a> {
    fn new(server: &'a dyn Server) -> Result<Self, String> {
        // The stores read files and wait for the database on the thread they are called on.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let state = State::open(folder.path()).map_err(told("the state cannot be opened"))?;
        let kind = server.kind();
        let archive = FolderArchive::new(folder.path().join("archive"), unseed_io::archive::extension(kind));
        let runtime = runtime.map_err(|error| error.to_string())?;
        let store = connect(&runtime, server)?;
        Ok(Self { server, runtime, store, folder, state, archive, clock: SystemClock::new() })
    }

    fn plan(&mut self, case: &Case, batch_rows_max: u64) -> Result<WholePlan, String> {
        let choice = |(table, columns, keys): (_, _, Vec<Vec<String>>)| Choice {
            table,
            rows: ChoiceRows::Keys { columns, keys: keys.into_iter().collect() },
            chosen_by: "ids".to_owned(),
        };
        let mut policy = Policy::default();
        policy.limits.max_share_of_table = 1.0;
        let url = self.server.url();
        let request = Request {
            store: "main",
            url: &url,
            choices: self.server.roots(case).into_iter().map(choice).collect(),
            policy: &policy,
            path: self.server.path(),
            batch_rows_max: Some(batch_rows_max),
            build_indexes: unseed_core::plan::BuildIndexes::Auto,
            created_by: "tester",
        };
        let made = plan::make(self.store.store(), &self.clock, &Silent, &request);
        self.runtime.block_on(made).map_err(told("no plan"))
    }

    /// Runs something that needs all ports.
    fn with<T>(
        &mut self,
        interrupt: &Interrupt,
        progress: &dyn Progress,
        action: impl AsyncFnOnce(&mut Context<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut context = Context {
            store: self.store.store(),
            state: &mut self.state,
            archive: &mut self.archive,
            clock: &self.clock,
            progress,
            interrupt,
            actor: "tester",
            holder: "this process",
            patience: IMPATIENT,
            live: unseed_engine::purge::Live::default(),
        };
        self.runtime.block_on(action(&mut context))
    }

    fn quietly<T>(
        &mut self,
        action: impl AsyncFnOnce(&mut Context<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.with(&Interrupt::new(), &Silent, action)
    }

    fn confirmed(&mut self, whole: &WholePlan, act: Act) -> Result<ConfirmedRun, String> {
        let run = self.state.run("r-1").map_err(told("the run is not known"))?;
        confirm_run(run, whole.clone(), &Gate::default(), act, Given::Id("r-1"))
            .map_err(told("the run cannot be confirmed"))
    }

    fn purge(&mut self, whole: &WholePlan, stops: bool) -> Result<(), String> {
        let confirmed = confirm(whole.clone(), &Gate::default(), Given::Id(&whole.plan().id))
            .map_err(told("the plan cannot be confirmed"))?;
        let interrupt = Interrupt::new();
        let stop = StopAfterOne(&interrupt);
        let progress: &dyn Progress = if stops { &stop } else { &Silent };
        let report = match self.with(&interrupt, progress, async |cx| purge::execute(cx, confirmed).await) {
            Err(fault) if stops && fault.category == Category::Interrupted => self.resume(whole)?,
            ended => ended.map_err(told("the purge"))?,
        };
        if report.retries > 0 {
            return Err(format!("{} batches were done again although nobody else is there", report.retries));
        }
        Ok(())
    }

    /// Goes on as another process would: over a connection of its own.
    fn resume(&mut self, whole: &WholePlan) -> Result<RunReport, String> {
        self.store = connect(&self.runtime, self.server)?;
        let confirmed = self.confirmed(whole, Act::Purge)?;
        self.quietly(async |cx| resume::execute(cx, &confirmed).await).map_err(told("the resume"))
    }

    fn verify(&mut self, whole: &WholePlan) -> Result<(), String> {
        let report =
            self.quietly(async |cx| verify::execute(cx, "r-1", whole).await).map_err(told("the verify"))?;
        verify::fault(&report).map_or(Ok(()), |fault| Err(format!("not clean: {fault:#?}")))
    }

    fn restore(&mut self, whole: &WholePlan, scope: &Scope) -> Result<Restored, String> {
        let confirmed = self.confirmed(whole, Act::Restore { run: "r-1".to_owned() })?;
        self.quietly(async |cx| restore::execute(cx, &confirmed, scope).await).map_err(told("the restore"))
    }

    /// Puts one root back, as the memory store does; with a conflict nothing changes.
    fn restore_one(
        &mut self,
        case: &Case,
        course: &mut Course,
        whole: &WholePlan,
        purged: &Content,
    ) -> Result<(), String> {
        let place = course.dice.index(case.roots.len());
        let (table, _, keys) = self.server.roots(case).swap_remove(place);
        let (bare, _, _) = case.root_keys().swap_remove(place);
        let key = course.dice.pick(&keys);
        let reference = memory::restore_one(case, whole.plan().batch_rows_max, &bare, &key)?;
        let restored = self.restore(whole, &Scope::Root { table, key: key.clone() });
        let found = self.server.content(case)?;
        let what = format!("after the restore of {key:?} of {bare}");
        let refused = match &restored {
            Ok(restored) => !restored.conflicts.is_empty(),
            // Not every conflict can be listed before the server finds it.
            Err(fault) => fault.contains("category: Findings"),
        };
        if !may_object(self.server, case) && reference.conflicts.is_empty() == refused {
            return Err(format!("{what}: {restored:#?}\nin memory: {:#?}", reference.conflicts));
        }
        if refused {
            return same_lines(&format!("{what}, which was refused"), &purged.whole, &found.whole);
        }
        restored?;
        if !reference.conflicts.is_empty() {
            return Ok(());
        }
        same_rows(&what, &reference.rows, &found.rows)
    }
}
