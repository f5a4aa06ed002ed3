//! One value of one series at one time, and a series' opening balance.

pub use super::labels::Labels;
use super::time::Time;

/// One value of one series at one time. The time is the key; the rest is the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Point {
    /// When: the start of the period, the time the report speaks of, or the time from which the level holds.
    pub time: Time,
    /// In units of 10^-scale.
    pub value: i64,
    /// DELTA: the end of what the value covers (the time itself: an instant). Else the time.
    pub end: Time,
    /// CUMULATIVE: counted from zero since then.
    pub start: Option<Time>,
    /// CUMULATIVE: may be below the report before it.
    pub restated: bool,
}

impl Point {
    /// A level, an instant, or a report that says nothing of its start.
    pub fn at(time: Time, value: i64) -> Point {
        Point { time, value, end: time, start: None, restated: false }
    }

    /// A value of `[time, end)`.
    pub fn of_period(time: Time, end: Time, value: i64) -> Point {
        Point { end, ..Point::at(time, value) }
    }
}

/// "Before this time the total was so much."
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// It counts from this time on.
    pub time: Time,
    /// In units of 10^-scale.
    pub value: i64,
    /// Where the figure is from.
    pub note: String,
}
