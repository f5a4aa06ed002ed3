//! What points come to, added up one by one with plain code: what every aggregate of a tree is held to. Nothing here
//! is used to answer a question, and nothing that answers one is used here.

use crate::domain::aggregate::Aggregate;
use crate::domain::calendar::{Calendar, Cursor};
use crate::domain::definition::Kind;
use crate::domain::point::Point;
use crate::domain::time::{Interval, Time};

/// Windows of one point that are gone through one by one; more are counted.
const WINDOWS_MAX: u64 = 1_024;

/// Adds up points in order of time.
#[derive(Clone)]
pub struct Scan<'a> {
    kind: Kind,
    periods: Option<Cursor<'a>>,
    last: Option<Point>,
    /// What was added comes to.
    total: Option<Aggregate>,
    /// A stretch could not be read: the total means nothing.
    torn: bool,
}

impl<'a> Scan<'a> {
    /// Nothing yet.
    pub fn new(kind: Kind, periods: Option<&'a Calendar>) -> Scan<'a> {
        Scan { kind, periods: periods.map(Calendar::cursor), last: None, total: None, torn: false }
    }

    /// A stretch could not be read.
    pub fn tear(&mut self) {
        self.torn = true;
    }

    /// What the points come to; None where some could not be read.
    pub fn total(&self) -> Option<Option<Aggregate>> {
        (!self.torn).then_some(self.total)
    }

    /// One more point.
    pub fn add(&mut self, point: &Point) {
        let step = match (self.kind, self.last) {
            (Kind::Delta | Kind::Gauge, _) => i128::from(point.value),
            (Kind::Cumulative, None) => 0,
            (Kind::Cumulative, Some(last)) => match point.start {
                Some(start) if last.time <= start => i128::from(point.value),
                _ => i128::from(point.value) - i128::from(last.value),
            },
        };
        let sum = self.total.map_or(0, |total| total.sum) + step;
        let (first_period, last_period, present) = self.present(point);
        self.last = Some(*point);
        let Some(total) = &mut self.total else {
            self.total = Some(Aggregate {
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
            });
            return;
        };
        total.last_time = point.time;
        total.last_end = std::cmp::max(total.last_end, point.end);
        total.count += 1;
        total.periods += present - u64::from(self.periods.is_some() && total.last_period == first_period);
        total.last_period = last_period;
        total.sum = sum;
        total.min = std::cmp::min(total.min, point.value);
        total.max = std::cmp::max(total.max, point.value);
        total.low = std::cmp::min(total.low, sum);
        total.high = std::cmp::max(total.high, sum);
        total.last_value = point.value;
    }

    /// The first and the last period that a point is present in, and how many they are.
    fn present(&mut self, point: &Point) -> (Time, Time, u64) {
        let Some(periods) = &mut self.periods else { return (point.time, point.time, 0) };
        let just_before = |t: Time| Time(t.0.saturating_sub(1));
        if self.kind != Kind::Delta {
            let at = if self.kind == Kind::Cumulative { just_before(point.time) } else { point.time };
            let start = periods.window(at).start;
            return (start, start, 1);
        }
        let first = periods.window(point.time);
        let (mut last, mut count) = (first, 1);
        while last.end < point.end && count < WINDOWS_MAX {
            last = periods.window(last.end);
            count += 1;
        }
        if last.end < point.end {
            count = periods.calendar().count_starts(Interval::new(first.start, point.end));
            last = periods.window(just_before(point.end));
        }
        (first.start, last.start, count)
    }
}

/// What two aggregates differ in, in words; None where they are the same. `said`: what is stored.
pub fn difference(said: Option<&Aggregate>, scanned: Option<&Aggregate>) -> Option<String> {
    let (said, scanned) = match (said, scanned) {
        (None, None) => return None,
        (Some(said), None) => return Some(format!("it says {} points and there are none", said.count)),
        (None, Some(scanned)) => {
            return Some(format!("it says that there are no points and there are {}", scanned.count));
        }
        (Some(said), Some(scanned)) if said == scanned => return None,
        (Some(said), Some(scanned)) => (said, scanned),
    };
    let text = |a: &Aggregate| {
        let start = a.first_start.map_or("none".to_string(), |start| start.to_string());
        [
            ("the first time", a.first_time.to_string()),
            ("the last time", a.last_time.to_string()),
            ("the last end", a.last_end.to_string()),
            ("the count", a.count.to_string()),
            ("the number of periods", a.periods.to_string()),
            ("the first period", a.first_period.to_string()),
            ("the last period", a.last_period.to_string()),
            ("the sum", a.sum.to_string()),
            ("the lowest value", a.min.to_string()),
            ("the highest value", a.max.to_string()),
            ("the lowest prefix sum", a.low.to_string()),
            ("the highest prefix sum", a.high.to_string()),
            ("the first value", a.first_value.to_string()),
            ("the last value", a.last_value.to_string()),
            ("the first start", start),
        ]
    };
    let differing = text(said).into_iter().zip(text(scanned)).filter(|((_, a), (_, b))| a != b);
    let told: Vec<String> =
        differing.map(|((what, said), (_, scanned))| format!("{what} is {scanned}, not {said}")).collect();
    Some(told.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_scan_comes_to_what_the_aggregates_laws_say(
            values in prop::collection::vec((1..50i64, -20..20i64, any::<bool>()), 0..40),
            kind in prop_oneof![Just(Kind::Delta), Just(Kind::Cumulative), Just(Kind::Gauge)],
        ) {
            let mut time = 0;
            let mut scan = Scan::new(kind, None);
            let mut points = Vec::new();
            for (step, value, again) in values {
                let start = (again && kind == Kind::Cumulative).then_some(Time(time));
                time += step;
                let point = Point { start, ..Point::at(Time(time), value) };
                scan.add(&point);
                points.push(point);
            }
            let expected = Aggregate::of_all(kind, &points, None);
            prop_assert_eq!(scan.total(), Some(expected));
            prop_assert_eq!(difference(expected.as_ref(), scan.total().flatten().as_ref()), None);
        }
    }
}
