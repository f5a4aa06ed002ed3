//! Aggregates: put together in any way they say what a plain walk over the points says.

use std::collections::BTreeSet;

use milepost::domain::aggregate::{Aggregate, link};
use milepost::domain::calendar::{Calendar, MonthDay, Period, Weekday, Zone};
use milepost::domain::definition::Kind;
use milepost::domain::point::Point;
use milepost::domain::time::Time;
use proptest::prelude::*;

const HOUR_NANOS: i64 = 3_600_000_000_000;

fn days() -> Calendar {
    let zone = Zone::parse("Europe/London").expect("an IANA zone");
    Calendar::of_period(Period::Day, zone, Weekday::Monday, MonthDay { month: 1, day: 1 })
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Delta, Kind::Cumulative, Kind::Gauge])
}

fn any_value() -> impl Strategy<Value = i64> {
    prop_oneof![-9i64..9, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
}

/// One to forty points in order of time: DELTA ones cover one or more whole days, others come by the hour.
fn any_points() -> impl Strategy<Value = (Kind, Vec<Point>)> {
    let step = (1i64..40, 1usize..4, any_value(), prop::option::of(-30i64..1), any::<bool>());
    (any_kind(), prop::collection::vec(step, 1..40), any::<bool>()).prop_map(|(kind, steps, on_midnights)| {
        let days = days();
        let mut points = Vec::new();
        let mut at = Time(1_456_790_400_000_000_000);
        for (hours, covered, value, start, restated) in steps {
            at = at.plus(hours * HOUR_NANOS);
            if kind == Kind::Delta {
                let first = days.window(Time(at.0 - 1)).end;
                let end = (0..covered).fold(first, |end, _| days.window(end).end);
                points.push(Point::of_period(first, end, value));
                at = end;
                continue;
            }
            if on_midnights {
                at = days.window(at).end;
            }
            let start = start.map(|hours| at.plus(hours * HOUR_NANOS)).filter(|_| kind == Kind::Cumulative);
            points.push(Point { start, restated, ..Point::at(at, value) });
        }
        (kind, points)
    })
}

/// What the points come to, one after the other.
fn walked(kind: Kind, points: &[Point], periods: Option<&Calendar>) -> Aggregate {
    let (first, last) = (points[0], points[points.len() - 1]);
    let mut prefix = 0;
    let mut prefixes = Vec::new();
    for (n, point) in points.iter().enumerate() {
        prefix += match (kind, n) {
            (Kind::Cumulative, 0) => 0,
            (Kind::Cumulative, _) => link(points[n - 1].time, points[n - 1].value, point.value, point.start),
            _ => i128::from(point.value),
        };
        prefixes.push(prefix);
    }
    let present: BTreeSet<Time> = points.iter().flat_map(|point| present(kind, point, periods)).collect();
    Aggregate {
        first_time: first.time,
        last_time: last.time,
        last_end: last.end,
        count: points.len() as u64,
        periods: present.len() as u64,
        first_period: present.first().copied().unwrap_or(first.time),
        last_period: present.last().copied().unwrap_or(last.time),
        sum: prefix,
        min: points.iter().map(|point| point.value).min().expect("points"),
        max: points.iter().map(|point| point.value).max().expect("points"),
        low: *prefixes.iter().min().expect("points"),
        high: *prefixes.iter().max().expect("points"),
        first_value: first.value,
        last_value: last.value,
        first_start: first.start,
    }
}

/// The starts of the periods in which a point is, found one by one.
fn present(kind: Kind, point: &Point, periods: Option<&Calendar>) -> Vec<Time> {
    let Some(periods) = periods else { return Vec::new() };
    match kind {
        Kind::Gauge => vec![periods.window(point.time).start],
        // In the period that it ends, or lies in.
        Kind::Cumulative => {
            let window = periods.window(point.time);
            let before = periods.window(Time(window.start.0 - 1));
            vec![if point.time == window.start { before.start } else { window.start }]
        }
        Kind::Delta => {
            let mut starts = vec![point.time];
            while periods.window(starts[starts.len() - 1]).end < point.end {
                starts.push(periods.window(starts[starts.len() - 1]).end);
            }
            starts
        }
    }
}

fn folded(kind: Kind, points: &[Point], periods: Option<&Calendar>) -> Aggregate {
    let each = points.iter().map(|point| Aggregate::of(kind, point, periods));
    each.reduce(|left, right| left.then(kind, &right)).expect("points")
}

#[test]
fn a_count_that_began_again_is_all_flow() {
    let step = |start| link(Time(10), 100, 30, start);
    assert_eq!(step(None), -70);
    assert_eq!(step(Some(Time(9))), -70, "counted from before the report before");
    assert_eq!(step(Some(Time(10))), 30, "at the report before it");
    assert_eq!(step(Some(Time(11))), 30);
    assert_eq!(link(Time(0), i64::MIN, i64::MAX, None), i128::from(u64::MAX));
}

proptest! {
    #[test]
    fn a_fold_is_the_walk((kind, points) in any_points(), regular: bool) {
        let days = days();
        let periods = regular.then_some(&days);
        prop_assert_eq!(folded(kind, &points, periods), walked(kind, &points, periods));
        prop_assert_eq!(Aggregate::of_all(kind, &points, periods), Some(walked(kind, &points, periods)));
        prop_assert_eq!(Aggregate::of_all(kind, &[] as &[Point], periods), None);
    }

    /// However a stretch is cut in three, either pair may be put together first.
    #[test]
    fn then_is_associative((kind, points) in any_points(), cuts in (any::<prop::sample::Index>(), any::<prop::sample::Index>())) {
        prop_assume!(points.len() >= 3);
        let first = 1 + cuts.0.index(points.len() - 2);
        let second = first + 1 + cuts.1.index(points.len() - first - 1);
        let days = days();
        let part = |points: &[Point]| folded(kind, points, Some(&days));
        let (a, b, c) = (part(&points[..first]), part(&points[first..second]), part(&points[second..]));
        let left = a.then(kind, &b).then(kind, &c);
        let right = a.then(kind, &b.then(kind, &c));
        prop_assert_eq!(left, right);
        prop_assert_eq!(left, walked(kind, &points, Some(&days)));
    }
}
