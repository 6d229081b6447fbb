//! Removing what was archived, in that version and in no other.
//!
//! As long as nobody wrote to the server since the keys were read (`quiet`), they go by the hundred, without being looked
//! at. From the first write on, whatever it was about, they are compared (`compare`).
//!
//! Invariants
//! - a key whose payload or expiry is not the archived one stays;
//! - what is gone already is no error.

use super::Redis;
use super::archive::Archived;
use super::compare::Fate;
use super::quiet::{KEYS_MAX, KEYS_MAX_PAUSED, Look};
use unseed_core::fault::Fault;
use unseed_core::port::derived::Cleared;
use unseed_core::port::progress::Progress;

/// Entries of one round trip that are compared.
const COMPARED_MAX: usize = 500;

impl Redis {
    /// See [`unseed_core::port::derived::DerivedStore::remove`].
    pub(super) async fn clear(&mut self, progress: &dyn Progress) -> Result<Cleared, Fault> {
        let archived = std::mem::take(&mut self.archived);
        let mut cleared = Cleared { gone: std::mem::take(&mut self.gone), ..Cleared::default() };
        let mut left = archived.as_slice();
        if let Some(look) = self.seen.take()
            && let Some(look) = self.proven(look, &mut left, &mut cleared).await?
        {
            left = self.unwritten(look, left, (&mut cleared, progress)).await?;
        }
        let mut done = u64::try_from(archived.len() - left.len()).unwrap_or(0);
        for group in left.chunk_by(|a, b| a.node == b.node).flat_map(|group| group.chunks(COMPARED_MAX)) {
            let fates = self.compared(group).await?;
            self.count(&mut cleared, group, &fates);
            done += u64::try_from(group.len()).unwrap_or(0);
            progress.update("removed entries", done, None);
            self.pause().await;
        }
        Ok(cleared)
    }

    /// What the server is like, if it counts what is removed from it, as not all do that speak the protocol: the first key
    /// that is ever removed is compared, and must make the count one larger.
    async fn proven(
        &mut self,
        look: Look,
        left: &mut &[Archived],
        cleared: &mut Cleared,
    ) -> Result<Option<Look>, Fault> {
        if self.counts_changes {
            return Ok(Some(look));
        }
        let Some((first, rest)) = left.split_first() else { return Ok(None) };
        let first = std::slice::from_ref(first);
        let fates = self.compared(first).await?;
        self.count(cleared, first, &fates);
        *left = rest;
        let after = self.look().await?.filter(|after| fates == [Fate::Removed] && after.is_next_to(&look));
        self.counts_changes = after.is_some();
        Ok(after)
    }

    /// Removes keys until somebody writes; returns those that are left.
    async fn unwritten<'a>(
        &self,
        look: Look,
        archived: &'a [Archived],
        (cleared, progress): (&mut Cleared, &dyn Progress),
    ) -> Result<&'a [Archived], Fault> {
        let keys_max = if self.settings.pause_ms == 0 { KEYS_MAX } else { KEYS_MAX_PAUSED };
        let mut groups = archived.chunks(keys_max);
        let mut unlinking = self.unlinking(look).await;
        let (mut left, mut done) = (archived, 0);
        loop {
            while unlinking.has_room()
                && let Some(group) = groups.next()
            {
                self.unlink(&mut unlinking, group).await;
            }
            let Some((group, removed)) = unlinking.next().await? else { return Ok(left) };
            for (pattern, removed, asked) in removed {
                add(cleared, self.patterns.name(pattern), removed);
                cleared.gone += asked.saturating_sub(removed);
                done += asked;
            }
            left = &left[group.len()..];
            progress.update("removed entries", done, None);
        }
    }

    fn count(&self, cleared: &mut Cleared, group: &[Archived], fates: &[Fate]) {
        for (archived, fate) in group.iter().zip(fates) {
            match fate {
                Fate::Gone => cleared.gone += 1,
                Fate::Changed => cleared.changed += 1,
                Fate::Removed => add(cleared, self.patterns.name(self.entry(archived.at).pattern), 1),
            }
        }
    }
}

fn add(cleared: &mut Cleared, pattern: &str, removed: u64) {
    if removed > 0 {
        *cleared.removed.entry(pattern.to_owned()).or_default() += removed;
    }
}
