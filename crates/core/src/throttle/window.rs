//! A part of every day, by the clock of a time zone: `22:00-06:00 Europe/Berlin`.
//!
//! Not here: which minute it is there (`port::clock`).

use std::fmt;

const MINUTES_A_DAY: u16 = 24 * 60;

/// From one minute of the day to another; over midnight where the first is the later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    from: u16,
    /// Not part of it.
    to: u16,
    zone: String,
}

impl Window {
    /// Reads `HH:MM-HH:MM ZONE`, the zone by its IANA name or `UTC`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` is no window: {why}");
        let (times, zone) = text.trim().split_once(' ').ok_or_else(|| wrong("it names no time zone"))?;
        let (from, to) = times.split_once('-').ok_or_else(|| wrong("it has no end"))?;
        let minute = |time: &str| minute(time).ok_or_else(|| wrong(&format!("`{time}` is no time of a day")));
        let (from, to) = (minute(from)?, minute(to)?);
        if from == to || from == MINUTES_A_DAY {
            return Err(wrong("it is empty"));
        }
        let zone = zone.trim().to_owned();
        if zone.is_empty() || zone.contains(' ') {
            return Err(wrong("it names no time zone"));
        }
        Ok(Self { from, to, zone })
    }

    /// The zone by whose clock it goes.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// Whether a minute of the day is in it.
    pub fn contains(&self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{} {}", clock(self.from), clock(self.to), self.zone)
    }
}

/// A minute of the day as a clock shows it.
pub(super) fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let digits = |text: &str| (text.len() == 2).then(|| text.parse::<u16>().ok()).flatten();
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= MINUTES_A_DAY).then_some(minute)
}
