//! What every run is given: the ports, who acts, how patient to be, and how to live with others.

use crate::interrupt::Interrupt;
use crate::pace::Senses;
use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;
use unseed_core::hook::HookFigures;
use unseed_core::port::archive::ArchiveStore;
use unseed_core::port::clock::Clock;
use unseed_core::port::gauges::Gauges;
use unseed_core::port::hook::Commands;
use unseed_core::port::progress::Progress;
use unseed_core::port::state::StateDb;
use unseed_core::port::store::{Store, StoreWaits};
use unseed_core::throttle::{Throttle, Window};

/// The surroundings of a run.
pub struct Context<'a> {
    pub store: &'a mut dyn Store,
    pub state: &'a mut dyn StateDb,
    pub archive: &'a mut dyn ArchiveStore,
    pub clock: &'a dyn Clock,
    pub progress: &'a dyn Progress,
    pub interrupt: &'a Interrupt,
    /// Who acts, for the audit log.
    pub actor: &'a str,
    /// Which process acts, for the lease of the run.
    pub holder: &'a str,
    pub patience: Patience,
    pub live: Live,
}

/// How a run lives with others who use the store; by default it does not look at them.
#[derive(Default)]
pub struct Live {
    pub throttle: Throttle,
    /// By which the store is measured, where the throttle asks for that.
    pub gauges: Option<Box<dyn Gauges>>,
    /// In place of gauges where the run is over several stores: what looks at them for all legs.
    pub senses: Senses,
    /// Outside of it a purge refuses to begin, and stops after its batch.
    pub window: Option<Window>,
    pub waits: StoreWaits,
    /// What runs the hooks of a plan.
    pub commands: Option<Box<dyn Commands>>,
    /// A person wants no hook to run.
    pub skip_hooks: bool,
    /// Hooks that failed although the run is done.
    pub failed_hooks: Vec<HookFigures>,
}

/// How long a run tries when rows change under it or a commit is still under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts in a row that may find changed rows before the run stops.
    pub attempts_max: u64,
    /// Wait before the second attempt; doubles each time, and as much again is added by chance, so that two runs that
    /// got in each other's way do not meet again.
    pub wait_ms_first: u64,
    /// Longest wait between two attempts, before that.
    pub wait_ms_max: u64,
    /// How often an unsettled commit is asked for.
    pub settle_attempts_max: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts_max: 8, wait_ms_first: 50, wait_ms_max: 2_000, settle_attempts_max: 20 }
    }
}

impl Patience {
    /// The waits between attempts, in order, without chance.
    fn backoff(self) -> ExponentialBuilder {
        ExponentialBuilder::new()
            .with_factor(2.0)
            .with_min_delay(Duration::from_millis(self.wait_ms_first))
            .with_max_delay(Duration::from_millis(self.wait_ms_max))
            .without_max_times()
    }

    /// Waits after `attempt` failed attempts in a row, from 1.
    pub(crate) async fn pause(self, attempt: u64) {
        // A later wait is as long as the longest.
        const DIFFERENT_MAX: u64 = 64;
        let nth = usize::try_from(attempt.clamp(1, DIFFERENT_MAX) - 1).unwrap_or_default();
        let wait = self.backoff().with_jitter().build().nth(nth).unwrap_or_default();
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Patience;
    use backon::BackoffBuilder;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits = Patience::default().backoff().build().take(8);
        let waits: Vec<u128> = waits.map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn chance_adds_up_to_as_much_again() {
        let plain: Vec<_> = Patience::default().backoff().build().take(8).collect();
        let waits = |seed| {
            let backoff = Patience::default().backoff().with_jitter().with_jitter_seed(seed);
            backoff.build().take(8).collect::<Vec<_>>()
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
        assert!(waits(7).iter().zip(&plain).all(|(wait, plain)| wait >= plain && *wait <= *plain * 2));
    }
}
