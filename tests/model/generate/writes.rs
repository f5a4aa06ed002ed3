//! Random writes: mostly valid, for a refusal tries one rule only.

use std::collections::BTreeSet;

use milepost::proto::v1::*;

use super::{Chance, HOUR, World, date_at, is_date, named, some_labels, stamp, times_of};
use crate::{
    ask::Ask,
    oracle::{Labels, Nanos, Oracle, State, calendar::Rule, catalogue::default_end, decimal},
};

impl World {
    pub(super) fn write(&mut self, chance: &mut Chance, oracle: &Oracle, metric: &Metric) -> Ask {
        let add = metric.kind() == metric::Kind::Delta && chance.percent(20);
        let mut request = WritePointsRequest {
            reason: chance.pick(&["", "", "late invoice"]).to_owned(),
            validate_only: chance.percent(4),
            ..WritePointsRequest::default()
        };
        if add {
            request.set_mode(write_points_request::Mode::Add);
        }
        if add || chance.percent(40) {
            request.request_id = self.id();
        }
        let mut drawn = Drawn::of(oracle, metric);
        for _ in 0..chance.pick(&[1, 1, 1, 2, 3]) {
            let entry = self.entry(chance, metric, &mut drawn);
            request.series.push(entry);
        }
        // Now and then a metric of the same component in the same batch.
        if chance.percent(10) && !add {
            let other = if metric.name == "c/first" { "c/second" } else { "c/first" };
            if let Some(other) = oracle.metric(other).filter(|_| metric.name.starts_with("c/")) {
                let entry = self.entry(chance, other, &mut Drawn::of(oracle, other));
                request.series.push(entry);
            }
        }
        request.series.retain(|entry| !entry.points.is_empty() || entry.columns.is_some());
        if request.series.is_empty() {
            return self.write(chance, oracle, metric);
        }
        if chance.percent(4) {
            spoil(chance, metric, &mut request);
        }
        let ask = Ask::Write(request.clone());
        if request.request_id.is_empty() { ask } else { self.send(ask) }
    }

    fn entry(&self, chance: &mut Chance, metric: &Metric, drawn: &mut Drawn) -> SeriesPoints {
        let labels = some_labels(chance, metric);
        let count = chance.pick(&[1, 1, 1, 2, 2, 3, 3, 5, 9, 24]);
        let mut slot = chance.within(-8, 24);
        let forward = chance.percent(70);
        let mut points = Vec::new();
        for _ in 0..count {
            points.extend(self.point(chance, metric, drawn, &labels, slot));
            slot = if forward { slot + chance.pick(&[1, 1, 1, 1, 1, 2, 4]) } else { chance.within(-8, 24) };
        }
        if chance.percent(30) {
            chance.shuffle(&mut points);
        }
        if chance.percent(4) && !points.is_empty() {
            points.push(points[0].clone());
        }
        let entry = SeriesPoints { metric: metric.name.clone(), labels: named(metric, &labels), points, columns: None };
        if chance.percent(40) { in_columns(chance, metric, entry) } else { entry }
    }

    /// A point, and what is there once it is written: so the next one of the batch fits too.
    fn point(
        &self,
        chance: &mut Chance,
        metric: &Metric,
        drawn: &mut Drawn,
        labels: &Labels,
        slot: i64,
    ) -> Option<Point> {
        let mut at = self.slot(metric, slot);
        if metric.kind() != metric::Kind::Delta && chance.percent(15) {
            at += chance.pick(&[1, -1, HOUR]);
        }
        let series = drawn.state.entry(labels.clone()).or_default();
        if let (Some(opening), true) = (&series.opening, chance.percent(80)) {
            // Not before the opening, if it can be helped.
            let rule = Rule::of_metric(metric);
            while at <= opening.at {
                let later = opening.at + 1 + Nanos::from(slot.abs());
                at = rule.as_ref().map_or(later, |rule| rule.holding(at).1);
            }
        }
        let known = !drawn.keys.insert((labels.clone(), at));
        let inside = series.points.range(..at).next_back().is_some_and(|(_, before)| before.end > at);
        if (known && !chance.percent(2)) || (inside && !chance.percent(8)) {
            return None;
        }
        let mut point = Point { at: Some(point::At::Time(stamp(at))), ..Point::default() };
        if is_date(&metric.time_zone, at) && chance.percent(40) {
            point.at = Some(point::At::Date(date_at(&metric.time_zone, at)));
        }
        let mut end = default_end(metric, at);
        let value = match metric.kind() {
            metric::Kind::Delta => {
                let next = series.points.range(at + 1..).next().map(|(next, _)| *next);
                end = self.end(chance, metric, at, next, &mut point).unwrap_or(end);
                delta(chance)
            }
            metric::Kind::Cumulative => {
                let before = series.points.range(..at).next_back();
                let before = before.map(|(t, kept)| (*t, kept.value, kept.start));
                let before = before.or(series.opening.as_ref().map(|o| (o.at, o.value, None)));
                let after = series.points.range(at + 1..).next().map(|(_, kept)| kept.value);
                report(chance, at, before, after, &mut point)
            }
            _ => chance.within(-20, 40),
        };
        let start = point.start_time.as_ref().map(crate::oracle::nanos);
        let kept = crate::oracle::Kept { value, end, start, restated: point.restated };
        series.points.insert(at, kept);
        point.value = decimal::text(value.into(), metric.scale);
        if metric.scale == 0 && chance.percent(10) {
            point.value.push_str(".0");
        }
        Some(point)
    }

    /// Now and then several periods at once, mostly not beyond the next point.
    fn end(
        &self,
        chance: &mut Chance,
        metric: &Metric,
        at: Nanos,
        next: Option<Nanos>,
        point: &mut Point,
    ) -> Option<Nanos> {
        if !chance.percent(15) {
            return None;
        }
        let end = match Rule::of_metric(metric) {
            Some(rule) => (0..chance.within(1, 4)).fold(at, |at, _| rule.holding(at).1),
            None => at + Nanos::from(chance.within(1, 12)) * HOUR,
        };
        if next.is_some_and(|next| next < end) && !chance.percent(10) {
            return None;
        }
        point.end = Some(if is_date(&metric.time_zone, end) && chance.percent(40) {
            point::End::EndDate(date_at(&metric.time_zone, end))
        } else {
            point::End::EndTime(stamp(end))
        });
        Some(end)
    }

    pub(super) fn retract(&mut self, chance: &mut Chance, oracle: &Oracle, metric: &Metric) -> Ask {
        let state = oracle.now(&metric.name);
        let what = if chance.percent(60) {
            let mut times = Vec::new();
            for _ in 0..chance.within(1, 4) {
                let there = times_of(&state);
                let at = if there.is_empty() || chance.percent(15) {
                    self.near(chance, metric, &state)
                } else {
                    chance.pick(&there)
                };
                times.push(stamp(at));
            }
            retract_points_request::What::Times(Times { times })
        } else {
            let mut edges = [self.near(chance, metric, &state), self.near(chance, metric, &state)];
            edges.sort_unstable();
            let edge = |at: Nanos, chance: &mut Chance| (!chance.percent(6)).then(|| stamp(at));
            retract_points_request::What::Interval(Interval {
                start_time: edge(edges[0], chance),
                end_time: edge(edges[1], chance),
            })
        };
        let request = RetractPointsRequest {
            request_id: self.id(),
            metric: metric.name.clone(),
            filters: super::questions::filters(chance, metric),
            what: Some(what),
            reason: "test traffic".to_owned(),
            validate_only: chance.percent(5),
        };
        self.send(Ask::Retract(request))
    }

    pub(super) fn opening(&mut self, chance: &mut Chance, oracle: &Oracle, metric: &Metric) -> Ask {
        let state = oracle.now(&metric.name);
        let mut labels = some_labels(chance, metric);
        if let Some(there) = state.keys().next().filter(|_| chance.percent(40)) {
            labels = there.clone();
        }
        let first = state.get(&labels).and_then(|series| series.points.keys().next().copied());
        let mut at = match first {
            Some(first) if chance.percent(85) => first - chance.pick(&[0, 1, HOUR, 26 * HOUR, 24 * 40 * HOUR]),
            _ => self.near(chance, metric, &state),
        };
        if metric.kind() == metric::Kind::Cumulative && Some(at) == first {
            at -= 1;
        }
        let is_date = is_date(&metric.time_zone, at) && chance.percent(50);
        let request = SetOpeningBalanceRequest {
            request_id: if chance.percent(50) { self.id() } else { String::new() },
            metric: metric.name.clone(),
            labels: named(metric, &labels),
            at: Some(if is_date {
                set_opening_balance_request::At::Date(date_at(&metric.time_zone, at))
            } else {
                set_opening_balance_request::At::Time(stamp(at))
            }),
            value: (!chance.percent(20)).then(|| decimal::text(chance.within(-2, 12).into(), metric.scale)),
            note: chance.pick(&["", "from the old books"]).to_owned(),
            validate_only: chance.percent(5),
        };
        if request.request_id.is_empty() {
            return Ask::Opening(request);
        }
        self.send(Ask::Opening(request))
    }
}

/// What is there, and what the batch has so far.
struct Drawn {
    state: State,
    keys: BTreeSet<(Labels, Nanos)>,
}

impl Drawn {
    fn of(oracle: &Oracle, metric: &Metric) -> Drawn {
        Drawn { state: oracle.now(&metric.name), keys: BTreeSet::new() }
    }
}

fn delta(chance: &mut Chance) -> i64 {
    match chance.within(0, 100) {
        0..12 => chance.within(-9, 0),
        12..20 => 0,
        20..22 => chance.pick(&[i64::MAX, i64::MIN, i64::MAX / 2]),
        _ => chance.within(1, 12),
    }
}

/// A report between its neighbours, or one that begins again, or is restated.
fn report(
    chance: &mut Chance,
    at: Nanos,
    before: Option<(Nanos, i64, Option<Nanos>)>,
    after: Option<i64>,
    point: &mut Point,
) -> i64 {
    let low = before.map_or(0, |(_, level, _)| level);
    let high = after.unwrap_or(low + 12).max(low);
    let start = before.and_then(|(_, _, start)| start);
    match (before, chance.within(0, 100)) {
        // The count began again, somewhere since the report before.
        (Some((then, ..)), 0..12) if then < at => {
            let length = at - then;
            let start = then + chance.pick(&[0, length / 2, length]);
            point.start_time = Some(stamp(start));
            return chance.within(0, high.clamp(0, 12) + 1);
        }
        (Some(_), 12..20) => {
            point.restated = true;
            return chance.within(low - 5, high + 1);
        }
        (None, 0..50) => {
            point.start_time = Some(stamp(at - chance.pick(&[0, HOUR, 30 * HOUR])));
        }
        (Some(_), 20..70) => point.start_time = start.map(stamp),
        _ => {}
    }
    chance.within(low, high + 1)
}

/// The same points as columns, where columns can say them.
pub(super) fn in_columns(chance: &mut Chance, metric: &Metric, entry: SeriesPoints) -> SeriesPoints {
    let plain = entry.points.iter().all(|point| point.end.is_none() && !point.restated);
    let starts: Vec<_> = entry.points.iter().filter_map(|point| point.start_time).collect();
    let whole = starts.is_empty() || starts.len() == entry.points.len();
    let units: Option<Vec<i64>> = entry.points.iter().map(|p| decimal::parse(&p.value, metric.scale).ok()).collect();
    let (Some(units), true, true) = (units, plain && whole, !entry.points.is_empty()) else {
        return entry;
    };
    let zone = crate::oracle::calendar::time_zone(&metric.time_zone);
    let mut times = Vec::new();
    for point in &entry.points {
        times.push(match &point.at {
            Some(point::At::Time(time)) => crate::oracle::nanos(time),
            Some(point::At::Date(text)) => {
                let date = text.parse().ok();
                let at = date.and_then(|d| crate::oracle::calendar::first_instant(&zone, d));
                let Some(at) = at else { return entry };
                at
            }
            None => return entry,
        });
    }
    let mut start_times: Vec<i64> = starts.iter().map(|start| crate::oracle::nanos(start) as i64).collect();
    if start_times.windows(2).all(|pair| pair[0] == pair[1]) && chance.percent(60) {
        start_times.truncate(1);
    }
    let times = packed(chance, metric, &times);
    let columns = Columns { times: Some(times), units, start_times };
    SeriesPoints { columns: Some(columns), points: Vec::new(), ..entry }
}

/// Times in the shortest form that says them.
fn packed(chance: &mut Chance, metric: &Metric, times: &[Nanos]) -> columns::Times {
    let first_unix_nanos = times[0] as i64;
    let rule = Rule::of_metric(metric);
    let one_by_one =
        rule.is_some_and(|rule| rule.is_boundary(times[0]) && times.windows(2).all(|p| rule.holding(p[0]).1 == p[1]));
    if one_by_one && chance.percent(70) {
        return columns::Times::Periods(PeriodTimes { first_unix_nanos });
    }
    let step = times.get(1).map_or(HOUR, |second| second - times[0]);
    let even = step > 0 && times.windows(2).all(|pair| pair[1] - pair[0] == step);
    if even && chance.percent(70) {
        let interval_nanos = step as i64;
        return columns::Times::Regular(RegularTimes { first_unix_nanos, interval_nanos });
    }
    let unix_nanos = times.iter().map(|at| *at as i64).collect();
    columns::Times::Fixed(FixedTimes { unix_nanos })
}

/// One fault of form.
fn spoil(chance: &mut Chance, metric: &Metric, request: &mut WritePointsRequest) {
    let entry = &mut request.series[0];
    let is_delta = metric.kind() == metric::Kind::Delta;
    match chance.within(0, 5) {
        0 => drop(entry.labels.insert("colour".to_owned(), "red".to_owned())),
        1 => {
            let Some(point) = entry.points.first_mut() else {
                return;
            };
            point.value = "99999999999999999999".to_owned();
        }
        2 => {
            let Some(point) = entry.points.first_mut() else {
                return;
            };
            if is_delta {
                point.start_time = Some(stamp(0));
            } else {
                point.end = Some(point::End::EndTime(stamp(HOUR * 24 * 365 * 100)));
            }
        }
        3 => {
            let Some(point) = entry.points.first().cloned() else {
                return;
            };
            entry.points.push(Point { value: "7".to_owned(), ..point });
        }
        _ => {
            let (Some(point), false) = (entry.points.first_mut(), metric.period.is_empty()) else {
                return;
            };
            if let (Some(point::At::Time(time)), true) = (&mut point.at, is_delta) {
                time.seconds += 17;
            }
        }
    }
}
