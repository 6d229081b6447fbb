//! What every run is given: the ports, who acts, and how patient to be.

use crate::interrupt::Interrupt;
use unseed_core::port::archive::ArchiveStore;
use unseed_core::port::clock::Clock;
use unseed_core::port::progress::Progress;
use unseed_core::port::state::StateDb;
use unseed_core::port::store::Store;

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
}

/// How long a run tries when rows change under it or a commit is still under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts in a row that may find changed rows before the run stops.
    pub attempts_max: u64,
    /// Wait before the second attempt; doubles each time.
    pub wait_ms_first: u64,
    /// Longest wait between two attempts.
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
    /// The wait after `attempt` failed attempts in a row, from 1.
    pub fn wait_ms(self, attempt: u64) -> u64 {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(32);
        self.wait_ms_first.saturating_mul(1_u64 << doublings).min(self.wait_ms_max)
    }

    /// Waits after `attempt` failed attempts in a row.
    pub(crate) async fn pause(self, attempt: u64) {
        let wait_ms = self.wait_ms(attempt);
        if wait_ms > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(wait_ms)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Patience;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> = (1..=8).map(|a| Patience::default().wait_ms(a)).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    }
}
