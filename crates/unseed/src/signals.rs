//! Ctrl-C and SIGTERM: while batches are removed, the first asks the run to stop after its batch and the second
//! ends the process at once; everything else is ended at once by the first.
//!
//! Invariants
//! - the first signal never leaves a batch half done;
//! - ending at once does not wait for anything: the store rolls the open transaction back when the connection
//!   is gone, and `resume` finds out what became of it; commands of hooks are ended too.
//!
//! Not here: how runs stop (`engine`).

use crate::cli::{self, Cli};
use crate::ui::Ui;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
#[cfg(unix)]
use std::task::Poll;
use unseed_core::fault::{Category, Fault};
use unseed_engine::interrupt::Interrupt;

/// How a command ended.
pub(crate) enum Ending {
    Done(ExitCode),
    Aborted,
}

/// Runs a command beside a watch for signals.
pub(crate) fn guarded(parsed: Cli) -> Ending {
    let (sender, endings) = channel();
    std::thread::spawn(move || {
        let ending = command(parsed, &sender);
        // The receiver is gone only when a second signal came first, which ends the process anyway.
        drop(sender.send(ending));
    });
    endings.recv().unwrap_or(Ending::Done(ExitCode::from(Category::Store.exit_code())))
}

fn command(parsed: Cli, sender: &Sender<Ending>) -> Ending {
    let ui = parsed.ui();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let fault = Fault::store(format!("the process cannot start its threads: {error}"))
                .hint("check the limits of this machine");
            ui.fault(&fault);
            return Ending::Done(ExitCode::from(fault.category.exit_code()));
        }
    };
    let interrupt = Arc::new(Interrupt::new());
    let patience = if parsed.removes_batches() { Patience::UntilTheBatchEnds } else { Patience::None };
    runtime.spawn(watch(Arc::clone(&interrupt), patience, ui.clone(), sender.clone()));
    let code = runtime.block_on(cli::execute(parsed, &ui, &interrupt));
    // Threads that still clean up behind a failed command must not keep the process alive.
    runtime.shutdown_background();
    Ending::Done(code)
}

/// What the first signal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    UntilTheBatchEnds,
    None,
}

async fn watch(interrupt: Arc<Interrupt>, patience: Patience, ui: Ui, sender: Sender<Ending>) {
    let mut signals = Signals::new();
    while signals.next().await {
        if patience == Patience::UntilTheBatchEnds && !interrupt.is_requested() {
            interrupt.request();
            ui.note("stopping after this batch; press Ctrl-C again to stop at once and roll it back");
            continue;
        }
        unseed_io::command::end_all();
        ui.fault(&ended_at_once(patience));
        drop(sender.send(Ending::Aborted));
        return;
    }
}

fn ended_at_once(patience: Patience) -> Fault {
    match patience {
        Patience::UntilTheBatchEnds => Fault::new(Category::Interrupted, "the run was stopped at once")
            .state("the open batch is rolled back; finished batches are archived and deleted")
            .hint("find the run with `unseed runs`, then go on with `unseed resume RUN`"),
        Patience::None => Fault::new(Category::Interrupted, "the command was interrupted")
            .state("nothing was changed; what was begun is rolled back")
            .hint("run the command again"),
    }
}

/// The signals that end commands, watched from one place for as long as the command runs: a signal that
/// arrives while an earlier one is being answered is kept.
#[cfg(unix)]
struct Signals(Vec<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Self(kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect())
    }

    /// Waits for the next signal; false when signals cannot be watched here.
    async fn next(&mut self) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let any = std::future::poll_fn(|context| {
            let ready = self.0.iter_mut().find_map(|signal| match signal.poll_recv(context) {
                Poll::Ready(some) => Some(some.is_some()),
                Poll::Pending => None,
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        });
        any.await
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Self {
        Self
    }

    async fn next(&mut self) -> bool {
        tokio::signal::ctrl_c().await.is_ok()
    }
}
