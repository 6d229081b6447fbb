//! Time, as the engine may know it.

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, as RFC 3339 text in UTC with milliseconds.
    fn now(&self) -> String;

    /// Milliseconds on a clock that never goes back; for durations.
    fn monotonic_ms(&self) -> u64;

    /// The minute of the day by the clock of a time zone (an IANA name, or `UTC`); `None` for a zone that is not known.
    fn minute_of_day(&self, zone: &str) -> Option<u16> {
        let now = self.now();
        let (hours, minutes) = now.split_once('T')?.1.split_once(':')?;
        let minute = hours.parse::<u16>().ok()? * 60 + minutes.get(..2)?.parse::<u16>().ok()?;
        (zone == "UTC").then_some(minute)
    }
}
