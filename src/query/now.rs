//! The time at which an answer is judged, and until when it would come out the same.

use crate::domain::calendar::Calendar;
use crate::domain::name::ComponentName;
use crate::domain::time::Time;
use std::sync::atomic::{AtomicI64, Ordering};

/// What an answer holds for: asked again it is the same, but for its evaluate time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Validity {
    /// Of this component
    pub component: ComponentName,
    /// at this revision
    pub revision: i64,
    /// from this evaluate time on
    pub from: Time,
    /// and before this one.
    pub until: Time,
}

/// The evaluate time of an answer. Whoever judges by it asks here, and so it is known when the next of these judgements
/// would come out otherwise: until then the answer of the same revision is the same, but for the time itself.
#[derive(Debug)]
pub struct Now {
    time: Time,
    until: AtomicI64,
}

impl Now {
    /// Judged at `time`.
    pub fn at(time: Time) -> Now {
        Now { time, until: AtomicI64::new(i64::MAX) }
    }

    /// The time itself, to be told: nothing may be judged by it.
    pub fn time(&self) -> Time {
        self.time
    }

    /// What was judged so far comes out the same from `time()` on, before this.
    pub fn until(&self) -> Time {
        Time(self.until.load(Ordering::Relaxed))
    }

    fn holds_before(&self, t: Time) {
        self.until.fetch_min(t.0, Ordering::Relaxed);
    }

    /// Whether `t` is now or before.
    pub(super) fn has_come(&self, t: Time) -> bool {
        let has_come = t <= self.time;
        if !has_come {
            self.holds_before(t);
        }
        has_come
    }

    /// `t`, or where that has passed, now: which is another time a moment later.
    pub(super) fn or_later(&self, t: Time) -> Time {
        if !self.has_come(t.next()) {
            return t;
        }
        self.holds_before(self.time);
        self.time
    }

    /// `t`, or where that is later, the start of the period that has not ended.
    pub(super) fn but_ended(&self, periods: &Calendar, t: Time) -> Time {
        let unended = periods.window(self.time);
        if t > unended.start {
            self.holds_before(unended.end);
        }
        t.min(unended.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::{MonthDay, Unit, Weekday, Zone};
    use proptest::prelude::*;

    fn days() -> Calendar {
        Calendar::new(Unit::Day, 1, Zone::utc(), Weekday::Monday, MonthDay { month: 1, day: 1 })
    }

    proptest! {
        /// Until the time that it names every judgement is the same, and at it one is not.
        #[test]
        fn what_is_judged_stays_so_until_it_says(
            time in -1_000_i64..1_000,
            asked in proptest::collection::vec((0..3_u8, -1_100_i64..1_100), 1..6),
            later in 0_i64..500,
        ) {
            const HOUR: i64 = 3_600_000_000_000;
            let judge = |now: &Now| -> Vec<Time> {
                let one = |&(how, t): &(u8, i64)| {
                    let t = Time(t * HOUR);
                    match how {
                        0 => Time(i64::from(now.has_come(t))),
                        1 => now.or_later(t),
                        _ => now.but_ended(&days(), t),
                    }
                };
                asked.iter().map(one).collect()
            };
            let now = Now::at(Time(time * HOUR));
            let judged = judge(&now);
            let then = Time((time + later) * HOUR);
            if then < now.until() {
                prop_assert_eq!(&judge(&Now::at(then)), &judged);
            }
            if now.until() < Time::MAX && now.until() > now.time() {
                prop_assert_eq!(&judge(&Now::at(now.until().plus(-1))), &judged);
                prop_assert_ne!(&judge(&Now::at(now.until())), &judged);
            }
        }
    }
}
