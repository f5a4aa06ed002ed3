//! Instants and half-open intervals of them.

use std::fmt;

/// An instant: nanoseconds since 1970-01-01T00:00:00Z. Years 1677 to 2262 fit; input is held to 1900 to 2200.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub i64);

impl Time {
    /// Before every instant that input can name: "no lower bound".
    pub const MIN: Time = Time(i64::MIN);
    /// After every instant that input can name: "no upper bound".
    pub const MAX: Time = Time(i64::MAX);

    /// This instant `nanos` later, held to what fits.
    pub fn plus(self, nanos: i64) -> Time {
        Time(self.0.saturating_add(nanos))
    }

    /// The next instant there is: turns `time <= T` into `time < T.next()`.
    pub fn next(self) -> Time {
        self.plus(1)
    }
}

/// RFC 3339 in UTC.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        jiff::Timestamp::from_nanosecond(i128::from(self.0)).map_err(|_| fmt::Error)?.fmt(f)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `[start, end)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Interval {
    /// The first instant in it.
    pub start: Time,
    /// The first instant after it.
    pub end: Time,
}

impl Interval {
    /// Every instant.
    pub const ALL: Interval = Interval { start: Time::MIN, end: Time::MAX };

    /// `[start, end)`; empty where `start >= end`.
    pub fn new(start: Time, end: Time) -> Interval {
        Interval { start, end }
    }

    /// Whether no instant is in it.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether `t` is in it.
    pub fn contains(&self, t: Time) -> bool {
        self.start <= t && t < self.end
    }

    /// What is in both.
    pub fn intersect(&self, other: &Interval) -> Interval {
        Interval::new(self.start.max(other.start), self.end.min(other.end))
    }
}
