//! Which of the metric's periods were expected, and which are there.

use std::collections::BTreeSet;

use milepost::proto::v1::*;

use super::{
    Nanos, SeriesState,
    calendar::Rule,
    catalogue::overdue_after,
    select::{Group, Member, View, within, within_ending},
    timestamp,
};

type Period = (Nanos, Nanos);

impl View {
    /// Coverage of a group over an interval.
    pub fn coverage(&self, group: &Group, start: Option<Nanos>, end: Option<Nanos>) -> Coverage {
        let mut coverage = Coverage { never_reported: true, ..Coverage::default() };
        let mut present_times = BTreeSet::new();
        let mut missing = BTreeSet::new();
        let mut through = None;
        for series in &group.series {
            coverage.never_reported &= series.state.points.is_empty();
            coverage.overdue |= self.overdue(series);
            let holds = if self.is_cumulative() { within_ending } else { within };
            present_times.extend(series.state.points.keys().filter(|t| holds(start, end, **t)));
            let expected = self.expected(series, start, end);
            let Some(last) = expected.last() else {
                continue;
            };
            let absent: Vec<Period> = expected.iter().filter(|p| !series.present.contains(p)).copied().collect();
            coverage.expected_periods += expected.len() as i64;
            coverage.present_periods += (expected.len() - absent.len()) as i64;
            let complete = absent.first().map_or(last.1, |first| first.0);
            through = Some(through.map_or(complete, |t: Nanos| t.min(complete)));
            missing.extend(absent);
        }
        coverage.first_point_time = present_times.first().copied().map(timestamp);
        coverage.last_point_time = present_times.last().copied().map(timestamp);
        coverage.complete_through = through.map(timestamp);
        let gaps = merged(missing);
        coverage.gap_count = gaps.len() as i64;
        coverage.gaps = gaps
            .iter()
            .take(100)
            .map(|gap| Interval { start_time: Some(timestamp(gap.0)), end_time: Some(timestamp(gap.1)) })
            .collect();
        coverage
    }

    /// Whether a window of a group misses a period of some series.
    pub fn is_incomplete(&self, group: &Group, start: Option<Nanos>, end: Option<Nanos>) -> bool {
        group.series.iter().any(|series| {
            let expected = self.expected(series, start, end);
            expected.iter().any(|period| !series.present.contains(period))
        })
    }

    /// The periods expected of a series: from the first ever present, those that the interval
    /// counts and that have ended.
    fn expected(&self, series: &Member, start: Option<Nanos>, end: Option<Nanos>) -> Vec<Period> {
        let (Some(rule), Some(&first)) = (&self.periods, series.present.first()) else {
            return Vec::new();
        };
        let Some(last) = end.or_else(|| self.last_end()) else {
            return Vec::new();
        };
        let mut expected = Vec::new();
        // A period that starts, or ends, behind the interval's end is never counted.
        let from = start.map_or(first.0, |start| start.max(first.0));
        for period in rule.windows(from, last.min(self.evaluate)) {
            let counts = if self.is_cumulative() {
                within_ending(start, Some(last), period.1)
            } else {
                within(start, Some(last), period.0)
            };
            if counts && period.1 <= self.evaluate && period.0 >= first.0 {
                expected.push(period);
            }
        }
        expected
    }

    /// The end of the last period present in all groups together.
    fn last_end(&self) -> Option<Nanos> {
        let series = self.groups.iter().flat_map(|group| &group.series);
        series.filter_map(|series| series.present.last().map(|period| period.1)).max()
    }

    /// Whether nothing came for longer than `overdue_after` from the end of the last period.
    fn overdue(&self, series: &Member) -> bool {
        if series.state.points.is_empty() {
            return false;
        }
        let rule = &self.periods;
        let end = match rule {
            Some(_) => series.present.last().map(|period| period.1),
            None => series.state.points.iter().map(|(&at, point)| at.max(point.end)).max(),
        };
        let end = end.expect("it has a point");
        let due = match (overdue_after(&self.metric), rule) {
            (Some(after), _) => end + after,
            (None, Some(rule)) => rule.holding(rule.holding(end).1).1,
            (None, None) => return false,
        };
        self.evaluate > due
    }
}

/// The periods in which a series has a point.
pub fn present(metric: &Metric, rule: Option<&Rule>, series: &SeriesState) -> BTreeSet<Period> {
    let Some(rule) = rule else {
        return BTreeSet::new();
    };
    let mut present = BTreeSet::new();
    for (&at, point) in &series.points {
        match metric.kind() {
            metric::Kind::Delta => present.extend(rule.windows(at, point.end)),
            metric::Kind::Cumulative => drop(present.insert(rule.ending(at))),
            _ => drop(present.insert(rule.holding(at))),
        }
    }
    present
}

/// As few intervals as possible.
fn merged(periods: BTreeSet<Period>) -> Vec<Period> {
    let mut gaps: Vec<Period> = Vec::new();
    for period in periods {
        match gaps.last_mut() {
            Some(gap) if gap.1 >= period.0 => gap.1 = gap.1.max(period.1),
            _ => gaps.push(period),
        }
    }
    gaps
}
