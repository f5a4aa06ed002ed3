//! Time as people count it: minutes to years in any IANA zone, exact across daylight saving.

use super::time::{Interval, Time};

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

/// A metric's period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Period {
    /// `PT1M` to `PT12H`: whole minutes, a divisor of 24 hours.
    Minutes(u16),
    /// `P1D`.
    Day,
    /// `P1W`.
    Week,
    /// `P1M`.
    Month,
    /// `P3M`.
    Quarter,
    /// `P1Y`.
    Year,
}

/// An IANA time zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    name: std::sync::Arc<str>,
    rules: jiff::tz::TimeZone,
}

/// How time is cut into windows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Calendar {
    unit: Unit,
    count: u32,
    zone: Zone,
    week_start: Weekday,
    year_start: MonthDay,
}

impl Period {
    /// None where the text is not one of the periods there are.
    pub fn parse(_iso8601: &str) -> Option<Period> {
        todo!()
    }

    /// ISO 8601, the one way it is written: `PT15M`, `PT2H`, `P1D`.
    pub fn text(self) -> String {
        todo!()
    }
}

impl Zone {
    /// UTC.
    pub fn utc() -> Zone {
        Zone { name: "UTC".into(), rules: jiff::tz::TimeZone::UTC }
    }

    /// None where the name is not an IANA zone's.
    pub fn parse(_name: &str) -> Option<Zone> {
        todo!()
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first instant of a date `YYYY-MM-DD` in the zone. Errors: not a date; skipped by the zone; outside 1900 to 2200.
    pub fn first_instant(&self, _date: &str) -> Result<Time, DateError> {
        todo!()
    }
}

/// Why a text names no date here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DateError {
    /// It is not `YYYY-MM-DD`, or there is no such day.
    Malformed,
    /// The zone skipped that date.
    Skipped,
    /// Outside the years 1900 to 2200.
    OutOfRange,
}

impl Calendar {
    /// Windows of `count` units.
    pub fn new(unit: Unit, count: u32, zone: Zone, week_start: Weekday, year_start: MonthDay) -> Calendar {
        Calendar { unit, count, zone, week_start, year_start }
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

    /// The window that holds `t`.
    pub fn window(&self, _t: Time) -> Interval {
        todo!()
    }

    /// Whether a window starts at `t`.
    pub fn is_boundary(&self, t: Time) -> bool {
        self.window(t).start == t
    }

    /// How many windows start in `[from, to)`; 0 where empty.
    pub fn count_starts(&self, _interval: Interval) -> u64 {
        todo!()
    }
}
