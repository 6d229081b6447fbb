//! Ctrl-C and SIGTERM: the first asks the run to stop after its batch, the second ends the process at once.
//!
//! Invariants
//! - the first signal never leaves a batch half done;
//! - the second does not wait for anything: the store rolls the open transaction back when the connection
//!   is gone, and `resume` finds out what became of it.
//!
//! Not here: how runs stop (`engine`).

use crate::cli::{self, Cli};
use crate::ui::Ui;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
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
    runtime.spawn(watch(Arc::clone(&interrupt), ui.clone(), sender.clone()));
    let code = runtime.block_on(cli::execute(parsed, &ui, &interrupt));
    // Threads that still clean up behind a failed command must not keep the process alive.
    runtime.shutdown_background();
    Ending::Done(code)
}

async fn watch(interrupt: Arc<Interrupt>, ui: Ui, sender: Sender<Ending>) {
    loop {
        if !next_signal().await {
            return;
        }
        if interrupt.is_requested() {
            ui.note("stopping at once: the open batch is rolled back");
            drop(sender.send(Ending::Aborted));
            return;
        }
        interrupt.request();
        ui.note("stopping after this batch; press Ctrl-C again to stop at once and roll it back");
    }
}

/// Waits for the next signal; false when signals cannot be watched here.
#[cfg(unix)]
async fn next_signal() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut hangup)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) else {
        return tokio::signal::ctrl_c().await.is_ok();
    };
    tokio::select! {
        ok = tokio::signal::ctrl_c() => ok.is_ok(),
        some = term.recv() => some.is_some(),
        some = hangup.recv() => some.is_some(),
    }
}

#[cfg(not(unix))]
async fn next_signal() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}
