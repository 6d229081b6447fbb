//! At which hours of the day a row is used: people sleep, machines need not.
//!
//! The clock of a store is seldom that of its users, so it counts how long the longest pause is and not when. Many
//! people around the world leave no pause, so a tenant that is always in use says nothing.

use super::{Detector, Found, Group, Subject};
use crate::entity::Entity;

pub(super) const DETECTOR: Detector =
    Detector { id: "activity.hours", title: "hours at which it is used", group: Group::Hours, examine };

/// Hours of a day.
const DAY_H: u32 = 24;
/// A pause that people make each day, in hours.
const PAUSE_H: std::ops::RangeInclusive<u32> = 6..=19;
/// Traces and days from which hours are a habit.
const PEOPLE_ROWS_MIN: u64 = 20;
const PEOPLE_DAYS_MIN: u64 = 8;
/// Days from which one and the same hour is a timer's.
const TIMER_DAYS_MIN: u64 = 15;
/// Traces and days from which no pause is one that nobody makes.
const ROUND_ROWS_MIN: u64 = 100;
const ROUND_DAYS_MIN: u64 = 5;

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let activity = subject.context.activity?;
    // Nothing but midnight: days that were written into a column of times.
    if activity.hours <= 1 {
        return None;
    }
    let pause = longest_pause(activity.hours);
    let is_user = subject.record.entity == Entity::User;
    if activity.hours.count_ones() == 1 && activity.days >= TIMER_DAYS_MIN {
        return Some(Found::new(0.6, "used at the same hour of each day, as a timer would"));
    }
    if is_user && pause == 0 && activity.rows >= ROUND_ROWS_MIN && activity.days >= ROUND_DAYS_MIN {
        return Some(Found::new(0.8, "used at all hours of the day, without a pause"));
    }
    let habit = activity.rows >= PEOPLE_ROWS_MIN && activity.days >= PEOPLE_DAYS_MIN;
    (habit && PAUSE_H.contains(&pause)).then(|| {
        Found::told(-0.8, |s| {
            let hours = s.context.activity.map_or(0, |activity| longest_pause(activity.hours));
            format!("used over days with a pause of {hours} hours, as people sleep")
        })
    })
}

/// The longest run of hours without use, over midnight too.
fn longest_pause(hours: u32) -> u32 {
    let is_used = |hour: u32| hours >> (hour % DAY_H) & 1 == 1;
    let pause_from = |start: u32| (0..DAY_H).take_while(|passed| !is_used(start + passed)).count();
    let longest = (0..DAY_H).map(pause_from).max().unwrap_or(0);
    u32::try_from(longest).expect("a day has 24 hours")
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Activity, Context};
    use super::*;

    #[track_caller]
    fn weigh(rows: u64, days: u64, hours: impl IntoIterator<Item = u32>) -> f64 {
        let hours = hours.into_iter().fold(0, |set, hour| set | 1 << hour);
        let activity = Some(Activity { rows, days, span_s: 9_000_000, hours });
        check::weight(&DETECTOR, &check::user("Jane", ""), &Context { activity, ..Context::default() })
    }

    #[test]
    fn people_pause_and_machines_do_not() {
        assert!(weigh(60, 20, 7..19) < -0.5);
        assert!(weigh(60, 20, (20..24).chain(0..9)) < -0.5, "a pause in another part of the world");
        assert!(weigh(900, 30, 0..24) > 0.5);
        assert!(weigh(30, 30, [3]) > 0.5);
    }

    #[test]
    fn few_traces_days_without_hours_and_tenants_around_the_world_say_nothing() {
        for (rows, days, hours) in
            [(5, 5, 9..10), (60, 3, 7..19), (30, 30, 0..1), (40, 20, 0..24), (60, 20, 0..21)]
        {
            assert!(weigh(rows, days, hours.clone()).abs() < 1e-9, "{rows} {days} {hours:?}");
        }
        let activity = Some(Activity { rows: 9_000, days: 90, span_s: 9_000_000, hours: (1 << 24) - 1 });
        let context = Context { activity, ..Context::default() };
        assert!(check::weight(&DETECTOR, &check::tenant("Brennan", "", ""), &context).abs() < 1e-9);
    }

    #[test]
    fn the_longest_pause_goes_over_midnight() {
        assert_eq!(longest_pause(0), 24);
        assert_eq!(longest_pause((1 << 24) - 1), 0);
        assert_eq!(longest_pause(1 << 5 | 1 << 20), 14);
        assert_eq!(longest_pause(1 << 6 | 1 << 18), 11);
    }
}
