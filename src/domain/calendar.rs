//! Time as people count it: minutes to years in any IANA zone, exact across daylight saving.

mod count;
mod offsets;
mod period;
mod walk;
mod zone;

pub use period::Period;
pub use walk::Cursor;
pub use zone::{DateError, Zone};

use super::date;
use super::time::{Interval, Time};
use offsets::SECOND_NANOS;

/// Days of the week, Monday first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs)]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A day of every year: month 1 to 12, day 1 to 28.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs)]
pub struct MonthDay {
    pub month: u8,
    pub day: u8,
}

/// Lengths of time as people count them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// How time is cut into windows: one after the other without gaps, none of them empty.
///
/// ```
/// use milepost::domain::calendar::{Calendar, MonthDay, Unit, Weekday, Zone};
/// use milepost::domain::time::Time;
///
/// let london = Zone::parse("Europe/London").expect("an IANA zone");
/// let years = Calendar::new(Unit::Year, 1, london, Weekday::Monday, MonthDay { month: 4, day: 6 });
/// let window = years.window(Time::parse("2016-08-29T12:00:00+01:00").expect("a time"));
/// assert_eq!(window.start.to_string(), "2016-04-05T23:00:00Z");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Calendar {
    unit: Unit,
    count: u32,
    zone: Zone,
    week_start: Weekday,
    year_start: MonthDay,
    cut: Cut,
}

/// Where windows start, worked out once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cut {
    /// Every so many nanoseconds from the first instant of each date.
    Elapsed { step_nanos: i64 },
    /// Every `step` days, one of them `anchor` days after 1970-01-01.
    Days { anchor: i64, step: i64 },
    /// On this day of every `step`th month, one of them `anchor` months after January 1970.
    Months { anchor: i64, step: i64, day: i64 },
}

/// A window, and where it was found.
struct Place {
    window: Interval,
    /// The same, but for [`Cut::Elapsed`] its date's.
    span: Interval,
    /// Of the zone, where the time asked for lies.
    stretch: usize,
    /// Number of the window, skipped ones counted; for [`Cut::Elapsed`] its date's.
    number: i64,
}

impl Calendar {
    /// Windows of `count` units (0 is taken for 1).
    pub fn new(unit: Unit, count: u32, zone: Zone, week_start: Weekday, year_start: MonthDay) -> Calendar {
        let count = count.max(1);
        let n = i64::from(count);
        let year_anchor = i64::from(year_start.month) - 1;
        let year_day = i64::from(year_start.day);
        let cut = match unit {
            Unit::Minute => Cut::Elapsed { step_nanos: n.saturating_mul(60 * SECOND_NANOS) },
            Unit::Hour => Cut::Elapsed { step_nanos: n.saturating_mul(3_600 * SECOND_NANOS) },
            Unit::Day => Cut::Days { anchor: 0, step: n },
            // 1970-01-01 was a Thursday; the week that holds it began 0 to 6 days before.
            Unit::Week => {
                Cut::Days { anchor: -(Weekday::Thursday as i64 - week_start as i64).rem_euclid(7), step: 7 * n }
            }
            Unit::Month => Cut::Months { anchor: 0, step: n, day: 1 },
            Unit::Quarter => Cut::Months { anchor: year_anchor, step: 3 * n, day: year_day },
            Unit::Year => Cut::Months { anchor: year_anchor, step: 12 * n, day: year_day },
        };
        Calendar { unit, count, zone, week_start, year_start, cut }
    }

    /// A metric's periods.
    pub fn of_period(period: Period, zone: Zone, week_start: Weekday, year_start: MonthDay) -> Calendar {
        let (unit, count) = match period {
            Period::Minutes(n) => (Unit::Minute, u32::from(n)),
            Period::Day => (Unit::Day, 1),
            Period::Week => (Unit::Week, 1),
            Period::Month => (Unit::Month, 1),
            Period::Quarter => (Unit::Quarter, 1),
            Period::Year => (Unit::Year, 1),
        };
        Calendar::new(unit, count, zone, week_start, year_start)
    }

    /// Its zone.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// What its windows are made of.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// How many units a window has, at least 1.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The day its weeks start.
    pub fn week_start(&self) -> Weekday {
        self.week_start
    }

    /// The day its quarters and years start from.
    pub fn year_start(&self) -> MonthDay {
        self.year_start
    }

    /// The window that holds `t`; never empty. A window that begins or ends beyond [`Time::MIN`] or [`Time::MAX`]
    /// is held to them, so that the window of `Time::MAX` is the one that ends there.
    ///
    /// Tens of nanoseconds; a [`Cursor`] is quicker for one time after the other.
    pub fn window(&self, t: Time) -> Interval {
        self.place(t, 0).window
    }

    /// Whether a window starts at `t`.
    pub fn is_boundary(&self, t: Time) -> bool {
        self.window(t).start == t
    }

    /// The window that holds `t`, sought from the zone's stretch `hint` on.
    #[inline]
    fn place(&self, t: Time, hint: usize) -> Place {
        let offsets = self.zone.offsets();
        let second = t.0.div_euclid(SECOND_NANOS);
        let stretch = offsets.stretch(second, hint);
        let start_of = |number| offsets.start_of(self.first_day(number), stretch).saturating_mul(SECOND_NANOS);
        let mut number = self.number_of(offsets.date(second, stretch));
        let (mut start, mut end) = (start_of(number), start_of(number + 1));
        // Clocks that go back over midnight come back to a date whose next has begun.
        while end <= t.0 && end < i64::MAX {
            number += 1;
            (start, end) = (end, start_of(number + 1));
        }
        let span = Interval::new(Time(start), Time(end));
        if let Cut::Elapsed { step_nanos } = self.cut {
            start += (t.0 - start) / step_nanos * step_nanos;
            end = end.min(start.saturating_add(step_nanos));
        }
        Place { window: Interval::new(Time(start), Time(end)), span, stretch, number }
    }

    /// Number of the window (for [`Cut::Elapsed`]: of the day) that a date falls in.
    #[inline]
    fn number_of(&self, day: i64) -> i64 {
        match self.cut {
            Cut::Elapsed { .. } => day,
            Cut::Days { anchor, step } => (day - anchor).div_euclid(step),
            Cut::Months { anchor, step, day: first } => {
                let (year, month, day) = date::date_of(day);
                let months = (year - 1970) * 12 + month - 1 - i64::from(day < first);
                (months - anchor).div_euclid(step)
            }
        }
    }

    /// The date that the window of that number starts on, in days from 1970-01-01.
    #[inline]
    fn first_day(&self, number: i64) -> i64 {
        match self.cut {
            Cut::Elapsed { .. } => number,
            Cut::Days { anchor, step } => anchor + number * step,
            Cut::Months { anchor, step, day } => {
                let months = anchor + number * step;
                date::days_of(1970 + months.div_euclid(12), months.rem_euclid(12) + 1, day)
            }
        }
    }
}
