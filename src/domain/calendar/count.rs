//! How many windows start in an interval, without walking them.

use super::offsets::SECOND_NANOS;
use super::{Calendar, Cut, Place};
use crate::domain::date::DAY_SECONDS;
use crate::domain::time::{Interval, Time};

impl Calendar {
    /// How many windows start in `[from, to)`; 0 where empty.
    ///
    /// Two look-ups and, for minutes and hours, a step for each change of the clocks in between: never one a window.
    pub fn count_starts(&self, interval: Interval) -> u64 {
        if interval.is_empty() {
            return 0;
        }
        let from = self.place(interval.start, 0);
        let to = self.place(interval.end, from.stretch);
        let count = match self.cut {
            Cut::Elapsed { step_nanos } => {
                self.started_in_days(from.number, to.number, step_nanos)
                    + self.started_since_midnight(&to, interval.end, step_nanos)
                    - self.started_since_midnight(&from, interval.start, step_nanos)
            }
            Cut::Days { .. } | Cut::Months { .. } => {
                let first = from.number + i64::from(from.window.start < interval.start);
                let last = to.number + i64::from(to.window.start < interval.end);
                last - first - self.skipped(first, last)
            }
        };
        u64::try_from(count).unwrap_or(0)
    }

    /// Windows of elapsed time that start from day `from` to before day `to`.
    fn started_in_days(&self, from: i64, to: i64, step_nanos: i64) -> i64 {
        let even = steps(DAY_SECONDS * SECOND_NANOS, step_nanos);
        let uneven = self.zone.offsets().uneven(from, to);
        let correction: i64 = uneven.iter().map(|day| steps(day.seconds * SECOND_NANOS, step_nanos) - even).sum();
        (to - from) * even + correction
    }

    /// Windows of elapsed time that start in the date of `place`, before `t`.
    fn started_since_midnight(&self, place: &Place, t: Time, step_nanos: i64) -> i64 {
        let midnight = self.zone.offsets().start_of(place.number, place.stretch).saturating_mul(SECOND_NANOS);
        steps(t.0 - midnight, step_nanos)
    }

    /// Windows of days, from number `first` to before `last`, that are not there, for the zone skipped all their dates.
    fn skipped(&self, first: i64, last: i64) -> i64 {
        let Cut::Days { anchor, step } = self.cut else { return 0 };
        let offsets = self.zone.offsets();
        let days = offsets.uneven(self.first_day(first), self.first_day(last));
        let is_window = |day: i64| {
            (day - anchor).rem_euclid(step) == 0 && offsets.start_of(day, 0) == offsets.start_of(day + step, 0)
        };
        let count = days.iter().filter(|uneven| uneven.seconds == 0 && is_window(uneven.day)).count();
        i64::try_from(count).expect("a zone changes its clocks a few hundred times")
    }
}

/// Steps that begin in so many nanoseconds.
fn steps(nanos: i64, step_nanos: i64) -> i64 {
    nanos / step_nanos + i64::from(nanos % step_nanos > 0)
}
