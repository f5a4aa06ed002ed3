//! What a stretch of a series' points comes to, and how two neighbours are put together.

use super::calendar::{Calendar, Cursor};
use super::definition::Kind;
use super::point::Point;
use super::time::{Interval, Time};
use std::borrow::Borrow;

/// What a stretch of points comes to. Neighbours combine in O(1), so a tree of these answers a total or a
/// crossing in one descent.
///
/// The *step* of a DELTA point is its value. The step of a CUMULATIVE report is what it adds to the report
/// before it (its whole level where the count began again); the first report's own step is not in here, for
/// it hangs on what lies before. A *prefix sum* is the sum of the steps up to and including some point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aggregate {
    /// Time of the first point.
    pub first_time: Time,
    /// Time of the last point.
    pub last_time: Time,
    /// DELTA: end of the last point, the latest of all. Else its time.
    pub last_end: Time,
    /// Points.
    pub count: u64,
    /// Distinct periods of the metric that are present; 0 where it is irregular.
    pub periods: u64,
    /// Start of the first period present.
    pub first_period: Time,
    /// Start of the last period present.
    pub last_period: Time,
    /// Sum of steps (CUMULATIVE: after the first report); GAUGE: of levels, for their mean.
    pub sum: i128,
    /// Lowest value.
    pub min: i64,
    /// Highest value.
    pub max: i64,
    /// Lowest prefix sum.
    pub low: i128,
    /// Highest prefix sum.
    pub high: i128,
    /// First value.
    pub first_value: i64,
    /// Last value.
    pub last_value: i64,
    /// Where the first report says it is counted from.
    pub first_start: Option<Time>,
}

/// What a CUMULATIVE report adds to the one before it: all of its level where the count began again
/// (its `start` is at or after the report before), else the difference.
pub fn link(before_time: Time, before_value: i64, value: i64, start: Option<Time>) -> i128 {
    match start {
        Some(start) if start >= before_time => i128::from(value),
        _ => i128::from(value) - i128::from(before_value),
    }
}

/// The periods that one point makes present: start of the first, start of the last, how many.
///
/// A DELTA point covers `[time, end)`; a level falls in the `[start, end)` that holds it, a report in the `(start, end]`.
pub fn periods_of(kind: Kind, point: &Point, periods: &Calendar) -> (Time, Time, u64) {
    periods_at(kind, point, &mut periods.cursor())
}

/// [`periods_of`], for points in order of time.
pub fn periods_at(kind: Kind, point: &Point, periods: &mut Cursor<'_>) -> (Time, Time, u64) {
    let last_before = |t: Time| Time(t.0.saturating_sub(1));
    match kind {
        Kind::Gauge => {
            let start = periods.window(point.time).start;
            (start, start, 1)
        }
        Kind::Cumulative => {
            let start = periods.window(last_before(point.time)).start;
            (start, start, 1)
        }
        Kind::Delta => {
            let first = periods.window(point.time);
            if point.end <= first.end {
                return (first.start, first.start, 1);
            }
            let count = periods.calendar().count_starts(Interval::new(first.start, point.end));
            (first.start, periods.window(last_before(point.end)).start, count)
        }
    }
}

impl Aggregate {
    /// What one point comes to. `periods`: the metric's, None where it is irregular.
    pub fn of(kind: Kind, point: &Point, periods: Option<&Calendar>) -> Aggregate {
        Aggregate::of_one(kind, point, periods.map(Calendar::cursor).as_mut())
    }

    /// What points in order of time come to; None where there are none. A few nanoseconds each: sums run in
    /// place, where putting aggregates of single points together would copy 200 bytes a point.
    pub fn of_all<P: Borrow<Point>>(
        kind: Kind,
        points: impl IntoIterator<Item = P>,
        periods: Option<&Calendar>,
    ) -> Option<Aggregate> {
        let mut cursor = periods.map(Calendar::cursor);
        let mut points = points.into_iter();
        let mut all = Aggregate::of_one(kind, points.next()?.borrow(), cursor.as_mut());
        for point in points {
            all.push(kind, point.borrow(), cursor.as_mut());
        }
        Some(all)
    }

    /// This stretch and one more point after it.
    fn push(&mut self, kind: Kind, point: &Point, periods: Option<&mut Cursor<'_>>) {
        debug_assert!(self.last_time < point.time, "points come in order of time");
        match periods {
            Some(periods) => {
                let (first, last, present) = periods_at(kind, point, periods);
                self.periods += present - u64::from(self.last_period == first);
                self.last_period = last;
            }
            None => self.last_period = point.time,
        }
        self.sum += match kind {
            Kind::Cumulative => link(self.last_time, self.last_value, point.value, point.start),
            Kind::Delta | Kind::Gauge => i128::from(point.value),
        };
        self.low = self.low.min(self.sum);
        self.high = self.high.max(self.sum);
        self.min = self.min.min(point.value);
        self.max = self.max.max(point.value);
        self.count += 1;
        self.last_time = point.time;
        self.last_end = self.last_end.max(point.end);
        self.last_value = point.value;
    }

    fn of_one(kind: Kind, point: &Point, periods: Option<&mut Cursor<'_>>) -> Aggregate {
        let (first_period, last_period, present) =
            periods.map_or((point.time, point.time, 0), |p| periods_at(kind, point, p));
        let sum = match kind {
            Kind::Cumulative => 0,
            Kind::Delta | Kind::Gauge => i128::from(point.value),
        };
        Aggregate {
            first_time: point.time,
            last_time: point.time,
            last_end: point.end,
            count: 1,
            periods: present,
            first_period,
            last_period,
            sum,
            min: point.value,
            max: point.value,
            low: sum,
            high: sum,
            first_value: point.value,
            last_value: point.value,
            first_start: point.start,
        }
    }

    /// This stretch and the one that follows it.
    pub fn then(&self, kind: Kind, right: &Aggregate) -> Aggregate {
        debug_assert!(self.last_time < right.first_time, "stretches are put together in order of time");
        let joint = match kind {
            Kind::Cumulative => link(self.last_time, self.last_value, right.first_value, right.first_start),
            Kind::Delta | Kind::Gauge => 0,
        };
        let before_right = self.sum + joint;
        let shared = u64::from(self.periods > 0 && right.periods > 0 && self.last_period == right.first_period);
        Aggregate {
            first_time: self.first_time,
            last_time: right.last_time,
            last_end: self.last_end.max(right.last_end),
            count: self.count + right.count,
            periods: self.periods + right.periods - shared,
            first_period: self.first_period,
            last_period: right.last_period,
            sum: before_right + right.sum,
            min: self.min.min(right.min),
            max: self.max.max(right.max),
            low: self.low.min(before_right + right.low),
            high: self.high.max(before_right + right.high),
            first_value: self.first_value,
            last_value: right.last_value,
            first_start: self.first_start,
        }
    }
}
