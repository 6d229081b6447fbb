//! Panics and slowness of a parser, and the file that the input is saved in.
//!
//! Time is that of the processor, of this thread alone: however many others want it, an input takes what it takes.

use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::time::Duration;

/// What the slowest parser may take for 64 KiB without optimisation.
const INPUT_MAX: Duration = Duration::from_millis(2_500);

/// Watches one parser.
pub(crate) struct Watch {
    name: &'static str,
    seed: u64,
    slowest: Cell<Duration>,
}

/// Panics are told by whoever catches them.
pub(crate) fn be_silent() {
    panic::set_hook(Box::new(|_| {}));
}

impl Watch {
    pub(crate) fn new(name: &'static str, seed: u64) -> Self {
        Self { name, seed, slowest: Cell::new(Duration::ZERO) }
    }

    /// Feeds one input.
    pub(crate) fn run(&self, read: fn(&[u8]), input: &[u8]) -> Result<(), String> {
        let mut took = timed(read, input).map_err(|why| self.saved(input, &why))?;
        if took > INPUT_MAX {
            // Whatever else had the caches; an input that is slow is slow again.
            took = took.min(timed(read, input).map_err(|why| self.saved(input, &why))?);
        }
        self.slowest.set(self.slowest.get().max(took));
        if took > INPUT_MAX {
            return Err(self.saved(input, &format!("{} ms for {} bytes", took.as_millis(), input.len())));
        }
        Ok(())
    }

    pub(crate) fn slowest_ms(&self) -> u128 {
        self.slowest.get().as_millis()
    }

    fn saved(&self, input: &[u8], why: &str) -> String {
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/fuzz"));
        let file = folder.join(format!("{}-{}.bin", self.name, self.seed));
        let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, input));
        match written {
            Ok(()) => format!("{why}; the input is in {}", file.display()),
            Err(error) => format!("{why}; the input cannot be saved ({error}): {input:?}"),
        }
    }
}

/// The time that this thread had a processor.
pub(crate) fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanoseconds.unwrap_or(0))
}

fn timed(read: fn(&[u8]), input: &[u8]) -> Result<Duration, String> {
    let start = processor_time();
    let done = panic::catch_unwind(AssertUnwindSafe(|| read(input)));
    done.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        format!("panic: {}", text.unwrap_or("without a text"))
    })?;
    Ok(processor_time().saturating_sub(start))
}
