//! Taking points back.

use super::points::rows_of;
use super::result::Check;
use super::{Finding, refuse};
use crate::domain::definition::Kind;
use crate::domain::name::MetricName;
use crate::domain::point::Point;
use crate::domain::time::{Interval, Time};
use crate::engine::batch::{Fault, FaultKind, Filter, Refused, Retraction};
use crate::engine::effect::{Around, Deed, SeriesDeed, SeriesKey};
use crate::engine::history::History;
use crate::engine::lost::Whose;
use crate::engine::state::{Component, Metric, Series};
use crate::engine::tree::apply::Changes;
use crate::engine::tree::walk::{NoPast, Walk};
use crate::engine::view::Visitor;
use crate::store::StoreError;
use std::ops::ControlFlow;
use std::sync::Arc;

pub(super) fn judge(
    component: &Component,
    name: &MetricName,
    filters: &[Filter],
    what: &Retraction,
    around: &mut Around,
) -> Result<Finding, Refused> {
    let mut found = Finding::default();
    let Some(metric) = component.metrics.get(name) else {
        let what = FaultKind::MetricNotFound(name.clone());
        refuse(vec![Fault { at: (0, 0), labels: None, what }])?;
        return Ok(found);
    };
    let mut deeds = Vec::new();
    for series in metric.series.values().filter(|s| filters.iter().all(|f| f.passes(&s.labels))) {
        let there = series.root.as_ref().is_some_and(|root| root.sum.is_some());
        if !there && series.opening().is_none() && series.lost().is_empty() {
            continue;
        }
        let keys = keys(metric, series, what, around, &mut found.counts)?;
        if keys.is_empty() {
            continue;
        }
        found.counts[0] += keys.len() as u64;
        let key =
            SeriesKey { metric: name.clone(), metric_id: metric.id, id: series.id, labels: series.labels.clone() };
        if metric.definition().kind == Kind::Cumulative {
            found.checks.push(Check::Keys { deed: deeds.len(), write: None, appended: false });
        }
        deeds.push(SeriesDeed { key, changes: Changes::TakenBack(keys.into_iter().map(|time| time.0).collect()) });
    }
    if !deeds.is_empty() {
        found.deed = Deed::Points(deeds);
    }
    Ok(found)
}

/// The keys to take back, in order; counts those asked for that are not there.
fn keys(
    metric: &Metric,
    series: &Arc<Series>,
    what: &Retraction,
    around: &Around,
    counts: &mut [u64; 3],
) -> Result<Vec<Time>, StoreError> {
    match what {
        Retraction::Times(times) => {
            let rows = rows_of(metric, Some(series), times, around.loader)?;
            let keys: Vec<Time> = rows.iter().flatten().map(|row| row.point.time).collect();
            counts[1] += (times.len() - keys.len()) as u64;
            Ok(keys)
        }
        Retraction::Interval(interval) => keys_in(metric, series, interval, around),
    }
}

fn keys_in(metric: &Metric, series: &Series, interval: &Interval, around: &Around) -> Result<Vec<Time>, StoreError> {
    struct Keys(Vec<Time>);
    impl Visitor for Keys {
        fn stretch(&mut self, _: &crate::domain::aggregate::Aggregate) -> bool {
            false
        }
        fn point(&mut self, point: &Point) -> ControlFlow<()> {
            self.0.push(point.time);
            ControlFlow::Continue(())
        }
    }
    let empty = History::default();
    let walk = Walk {
        kind: metric.definition().kind,
        periods: metric.periods.as_deref(),
        revision: None,
        history: &empty,
        lost: series.lost(),
        whose: Whose { definition: metric.definition(), labels: &series.labels },
        loader: around.loader,
        past: &NoPast,
    };
    let mut keys = Keys(Vec::new());
    walk.visit(series.root.as_ref(), *interval, &mut keys)?;
    Ok(keys.0)
}
