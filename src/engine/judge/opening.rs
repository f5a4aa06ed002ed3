//! Setting, replacing and removing an opening balance.

use super::result::Check;
use super::{Finding, refuse};
use crate::domain::name::MetricName;
use crate::domain::point::{Labels, Opening};
use crate::domain::time::{Interval, Time};
use crate::engine::batch::{Fault, FaultKind, Refused};
use crate::engine::effect::{Deed, SeriesKey};
use crate::engine::lost::{self, Whose};
use crate::engine::state::Component;

pub(super) fn judge(
    component: &Component,
    name: &MetricName,
    labels: &Labels,
    opening: Option<(Time, i64)>,
    note: &str,
) -> Result<Finding, Refused> {
    let mut found = Finding { counts: [1, 0, 0], ..Finding::default() };
    let Some(metric) = component.metrics.get(name) else {
        let what = FaultKind::MetricNotFound(name.clone());
        refuse(vec![Fault { at: (0, 0), labels: None, what }])?;
        return Ok(found);
    };
    let series = metric.series.get(labels);
    if let Some(series) = series {
        // All up to the first point: the opening must suit it.
        let first = series.root.as_ref().and_then(|root| root.sum).map_or(Time::MAX, |sum| sum.first_time.next());
        let whose = Whose { definition: metric.definition(), labels };
        lost::check(series.lost(), &Interval::new(Time::MIN, first), None, || whose.text())?;
    }
    let opening = opening.map(|(time, value)| Opening { time, value, note: note.to_string() });
    if series.and_then(|s| s.opening()) == opening.as_ref() {
        found.counts[1] = 1;
        return Ok(found);
    }
    let id = series.map_or(component.next_series, |s| s.id);
    let key = SeriesKey { metric: name.clone(), metric_id: metric.id, id, labels: labels.clone() };
    if opening.is_some() {
        // The first point is the one the opening must suit.
        let first = series.and_then(|s| s.root.as_ref()).and_then(|root| root.sum).map(|sum| sum.first_time);
        found.checks.extend(first.map(|first| Check::Opening(key.clone(), first)));
    }
    found.deed = Deed::Opening(key, opening);
    Ok(found)
}
