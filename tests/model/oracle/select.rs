//! A question resolved: which revision, judged when, and the series of each group.

use std::collections::{BTreeMap, BTreeSet};

use milepost::proto::v1::*;

use super::{
    Labels, Nanos, Oracle, Refused, SeriesState,
    calendar::{self, Rule},
    component,
    coverage::present,
    instant_of_date, nanos,
    steps::Counted,
    timestamp,
};

/// What a question is answered from.
pub struct View {
    pub metric: Metric,
    pub revision: i64,
    pub evaluate: Nanos,
    pub groups: Vec<Group>,
    /// The metric's periods.
    pub periods: Option<Rule>,
}

/// The series that one row sums.
pub struct Group {
    pub values: BTreeMap<String, String>,
    pub series: Vec<Member>,
    pub counted: Counted,
}

/// One series of a group.
pub struct Member {
    pub labels: Labels,
    pub state: SeriesState,
    /// The periods in which it has a point.
    pub present: BTreeSet<(Nanos, Nanos)>,
}

impl Oracle {
    /// Resolves the selection at the revision.
    pub fn view(&self, selection: Option<&Selection>, as_of: Option<&AsOf>, now: i64) -> Result<View, Refused> {
        let selection = selection.expect("a selection is given");
        let life = self.life(&selection.metric)?;
        let (revision, evaluate) = self.resolve(&selection.metric, as_of, now)?;
        let metric = life.metric_at(revision).clone();
        check_filters(&metric, &selection.filters)?;
        let mut groups: BTreeMap<Vec<String>, Vec<Member>> = BTreeMap::new();
        if selection.group_by.is_empty() {
            groups.entry(Vec::new()).or_default();
        }
        let periods = Rule::of_metric(&metric);
        for (labels, state) in life.state_at(revision) {
            if !passes(&metric, &selection.filters, &labels) {
                continue;
            }
            let named = named(&metric, &labels);
            let mut key = Vec::new();
            for label in &selection.group_by {
                let value = named.get(label);
                key.push(value.ok_or_else(|| Refused::form(Reason::LabelUnknown))?.clone());
            }
            let present = present(&metric, periods.as_ref(), &state);
            groups.entry(key).or_default().push(Member { labels, state, present });
        }
        let groups = groups
            .into_iter()
            .map(|(key, series)| Group {
                values: selection.group_by.iter().cloned().zip(key).collect(),
                counted: Counted::of(&metric, &series),
                series,
            })
            .collect();
        Ok(View { metric, revision, evaluate, groups, periods })
    }

    fn resolve(&self, metric: &str, as_of: Option<&AsOf>, now: i64) -> Result<(i64, Nanos), Refused> {
        let book = &self.books[component(metric)];
        let future = || Refused::state(Reason::AsOfInFuture);
        match as_of.and_then(|as_of| as_of.as_of.as_ref()) {
            None => Ok((book.revision(), now.into())),
            Some(as_of::AsOf::Revision(revision)) => {
                let at = self.recorded(component(metric), *revision).ok_or_else(future)?;
                Ok((*revision, at))
            }
            Some(as_of::AsOf::Time(time)) => {
                let time = nanos(time);
                if time > Nanos::from(now) {
                    return Err(future());
                }
                let revision = book.recorded.iter().filter(|at| **at <= time).count();
                Ok((revision as i64, time))
            }
        }
    }
}

impl View {
    /// Levels cannot be summed: a gauge's group has one series.
    pub fn check_levels(&self) -> Result<(), Refused> {
        let several = self.groups.iter().any(|group| group.series.len() > 1);
        if several && self.metric.kind() == metric::Kind::Gauge {
            return Err(Refused::form(Reason::NotAdditive));
        }
        Ok(())
    }

    pub fn refuse_gauge(&self) -> Result<(), Refused> {
        if self.metric.kind() == metric::Kind::Gauge {
            return Err(Refused::form(Reason::NotAdditive));
        }
        Ok(())
    }

    pub fn is_cumulative(&self) -> bool {
        self.metric.kind() == metric::Kind::Cumulative
    }

    pub fn text(&self, units: i128) -> String {
        super::decimal::text(units, self.metric.scale)
    }

    /// The answer's head over an interval, each group's facts with it.
    pub fn answer(&self, zone: &str, start: Option<Nanos>, end: Option<Nanos>) -> Answer {
        Answer {
            interval: Some(Interval { start_time: start.map(timestamp), end_time: end.map(timestamp) }),
            time_zone: zone.to_owned(),
            revision: self.revision,
            evaluate_time: Some(timestamp(self.evaluate)),
            unit: self.metric.unit.clone(),
            kind: self.metric.kind,
            scale: self.metric.scale,
            groups: self
                .groups
                .iter()
                .map(|group| GroupFacts {
                    group: group.values.clone(),
                    series_count: group.series.len() as i64,
                    coverage: Some(self.coverage(group, start, end)),
                    openings: Some(self.openings(group, end)),
                    next: None,
                })
                .collect(),
        }
    }

    /// The openings at or before `end`, those that a first report implies too.
    fn openings(&self, group: &Group, end: Option<Nanos>) -> Openings {
        let held = || group.counted.openings.iter().filter(|o| end.is_none_or(|end| o.at <= end));
        Openings {
            count: held().count() as i64,
            sum: self.text(held().map(|o| o.amount).sum()),
            first: held()
                .map(|opening| Opening {
                    labels: named(&self.metric, &opening.labels),
                    time: Some(timestamp(opening.at)),
                    value: self.text(opening.amount),
                    note: opening.note.clone(),
                })
                .collect(),
        }
    }
}

/// Label values by their names.
pub fn named(metric: &Metric, labels: &Labels) -> BTreeMap<String, String> {
    metric.label_names.iter().cloned().zip(labels.iter().cloned()).collect()
}

pub fn check_filters(metric: &Metric, filters: &[LabelFilter]) -> Result<(), Refused> {
    if filters.iter().any(|filter| !metric.label_names.contains(&filter.label)) {
        return Err(Refused::form(Reason::LabelUnknown));
    }
    Ok(())
}

/// Whether a series passes every filter.
pub fn passes(metric: &Metric, filters: &[LabelFilter], labels: &Labels) -> bool {
    let named = named(metric, labels);
    filters.iter().all(|filter| {
        let value = &named[&filter.label];
        (filter.any_of.is_empty() || filter.any_of.contains(value)) && !filter.none_of.contains(value)
    })
}

/// `start <= at < end`, an unset edge being none.
pub fn within(start: Option<Nanos>, end: Option<Nanos>, at: Nanos) -> bool {
    start.is_none_or(|start| start <= at) && end.is_none_or(|end| at < end)
}

/// `start < at <= end`, an unset edge being none.
pub fn within_ending(start: Option<Nanos>, end: Option<Nanos>, at: Nanos) -> bool {
    start.is_none_or(|start| start < at) && end.is_none_or(|end| at <= end)
}

pub fn check_interval(start: Option<Nanos>, end: Option<Nanos>) -> Result<(), Refused> {
    match (start, end) {
        (Some(start), Some(end)) if start >= end => Err(Refused::form(Reason::IntervalEmpty)),
        _ => Ok(()),
    }
}

/// A query's edge: an instant, or a date in a zone.
pub enum Edge<'a> {
    Time(&'a prost_types::Timestamp),
    Date(&'a str),
}

/// The instant of an edge.
pub fn instant(zone: &str, edge: Option<Edge>) -> Result<Option<Nanos>, Refused> {
    match edge {
        None => Ok(None),
        Some(Edge::Time(time)) => Ok(Some(nanos(time))),
        Some(Edge::Date(text)) => instant_of_date(&calendar::time_zone(zone), text).map(Some),
    }
}
