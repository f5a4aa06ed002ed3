//! SET and ADD.

use super::Finding;
use super::result::{Check, Rule};
use crate::domain::definition::Kind;
use crate::domain::name::MetricName;
use crate::domain::point::Point;
use crate::domain::time::{Interval, Time};
use crate::engine::batch::{Fault, FaultKind, Mode, Refused, SeriesWrite};
use crate::engine::block::{Columns, Row};
use crate::engine::effect::{Around, Deed, SeriesDeed, SeriesKey};
use crate::engine::lost::{self, Whose};
use crate::engine::state::{Component, Metric, Series};
use crate::engine::tree::apply::Changes;
use crate::engine::tree::child::{Body, Loader};
use crate::engine::tree::{Entry, Extent};
use crate::store::{StoreError, Touched};
use std::sync::Arc;

pub(super) fn judge(
    component: &Component,
    mode: Mode,
    writes: &mut [SeriesWrite],
    around: &mut Around,
) -> Result<Finding, Refused> {
    let mut found = Finding { added: mode == Mode::Add, ..Finding::default() };
    let mut deeds = Vec::with_capacity(writes.len());
    let mut next_series = component.next_series;
    let mut last: Option<(MetricName, &Arc<Metric>)> = None;
    for (place, write) in writes.iter_mut().enumerate() {
        found.counts[0] += write.points.len() as u64;
        // Mostly they are all of one metric, which is looked for once.
        if last.as_ref().is_none_or(|(name, _)| *name != write.metric) {
            last = component.metrics.get_key_value(&write.metric).map(|(name, metric)| (name.clone(), metric));
        }
        let Some((_, metric)) = &last else {
            let what = FaultKind::MetricNotFound(write.metric.clone());
            found.faults.push(Fault { at: write.origin.of(0), labels: None, what });
            continue;
        };
        let kind = metric.definition().kind;
        let series = metric.series.get(&write.labels);
        let id = series.map_or_else(
            || {
                next_series += 1;
                next_series - 1
            },
            |s| s.id,
        );
        let all_are_new = is_after(series, write.points.time(0)) && series.is_none_or(|s| s.lost().is_empty());
        // Whether they are to be looked at once they are in, and then whether they are appended.
        let doubt = |changes: &Columns| {
            let appended = is_after(series, changes.time(0));
            (kind != Kind::Gauge && !(appended && suits(kind, series, changes))).then_some(appended)
        };
        let (changes, doubt) = if all_are_new {
            let doubt = doubt(&write.points);
            (if doubt.is_some() { write.points.clone() } else { std::mem::take(&mut write.points) }, doubt)
        } else {
            let times: Vec<Time> = write.points.times.iter().map(Time).collect();
            let there = rows_of(metric, series, &times, around.loader)?;
            let changes = changes(there, mode, write, &mut found.counts, &mut found.faults);
            let doubt = if changes.is_empty() { None } else { doubt(&changes) };
            (changes, doubt)
        };
        if !changes.is_empty() {
            if let Some(appended) = doubt {
                found.checks.push(Check::Keys { deed: deeds.len(), write: Some(place), appended });
            }
            let (metric_id, name) = (metric.id, write.metric.clone());
            let key = SeriesKey { metric: name, metric_id, id, labels: write.labels.clone() };
            deeds.push(SeriesDeed { key, changes: Changes::Set(changes) });
        }
    }
    if !deeds.is_empty() {
        found.deed = Deed::Points(deeds);
    }
    Ok(found)
}

/// Whether all that was ever kept of a series lies before a time.
fn is_after(series: Option<&Arc<Series>>, time: Time) -> bool {
    series.and_then(|s| s.root.as_ref()).is_none_or(|root| root.extent.last_key < time)
}

/// Whether nothing is wrong with points that are later than all that was ever kept of their series: then it is not looked
/// for again once they are in. What the series' last point was is as its root tells it: no block is opened (a push of one
/// point would put the block together that it was added to).
fn suits(kind: Kind, series: Option<&Arc<Series>>, points: &Columns) -> bool {
    let rule = Rule { kind, opening: series.and_then(|series| series.opening()) };
    let before = match series.map(|series| &**series) {
        Some(series) if !series.lost().is_empty() => return false,
        Some(Series { root: Some(root), .. }) => match &root.sum {
            Some(sum) => Some(Point::of_period(sum.last_time, sum.last_end, sum.last_value)),
            None => return false,
        },
        _ => None,
    };
    let first = points.point(0);
    rule.suit_each_other(points) && rule.pair(before.as_ref(), &first, &first).is_none()
}

/// The keys of a write that change, counted.
fn changes(
    there: Vec<Option<Row>>,
    mode: Mode,
    write: &SeriesWrite,
    counts: &mut [u64; 3],
    faults: &mut Vec<Fault>,
) -> Columns {
    let mut changes = Vec::with_capacity(there.len());
    for (i, (point, there)) in write.points.points(0..there.len()).zip(&there).enumerate() {
        let new = match (there, mode) {
            (None, _) => point,
            (Some(row), Mode::Set) => {
                if row.point == point {
                    counts[1] += 1;
                    continue;
                }
                counts[2] += 1;
                point
            }
            (Some(row), Mode::Add) => match add(&row.point, &point, write.end_given.get(i) == Some(1)) {
                Ok(sum) if sum == row.point => {
                    counts[1] += 1;
                    continue;
                }
                Ok(sum) => sum,
                Err(what) => {
                    faults.push(Fault { at: write.origin.of(i), labels: Some(write.labels.clone()), what });
                    continue;
                }
            },
        };
        changes.push(new);
    }
    changes.into()
}

fn add(old: &Point, added: &Point, end_given: bool) -> Result<Point, FaultKind> {
    if end_given && added.end != old.end {
        return Err(FaultKind::EndTimeDiffers { time: old.time, old: old.end, sent: added.end });
    }
    match old.value.checked_add(added.value) {
        Some(value) => Ok(Point { value, ..*old }),
        None => Err(FaultKind::SumOutOfRange { time: old.time, old: old.value, added: added.value }),
    }
}

/// The current rows of a series at these times, which ascend. Reads only blocks that may hold one of them; refused
/// where one of them is lost.
pub(super) fn rows_of(
    metric: &Metric,
    series: Option<&Arc<Series>>,
    times: &[Time],
    loader: &Loader,
) -> Result<Vec<Option<Row>>, StoreError> {
    let mut rows = vec![None; times.len()];
    let Some(series) = series else { return Ok(rows) };
    let whose = Whose { definition: metric.definition(), labels: &series.labels };
    if !series.lost().is_empty() {
        let one = |time: &Time| lost::check(series.lost(), &Interval::new(*time, time.next()), None, || whose.text());
        times.iter().try_for_each(one)?;
    }
    if let Some(root) = &series.root {
        rows_at(root, times, whose, loader, &mut rows)?;
    }
    Ok(rows)
}

fn rows_at(
    entry: &Entry,
    times: &[Time],
    whose: Whose<'_>,
    loader: &Loader,
    out: &mut [Option<Row>],
) -> Result<(), StoreError> {
    let Some(sum) = &entry.sum else { return Ok(()) };
    let from = times.partition_point(|t| *t < sum.first_time);
    let to = times.partition_point(|t| *t <= sum.last_time);
    if from >= to {
        return Ok(());
    }
    let (times, out) = (&times[from..to], &mut out[from..to]);
    let Extent { first_key: first, last_key: last, .. } = entry.extent;
    let loaded = loader.load(&entry.child);
    match loaded.map_err(|error| error.touching(|| Touched { series: whose.text(), first, last }))? {
        Body::Leaf(leaf) => {
            for (time, found) in times.iter().zip(out) {
                *found = leaf.columns.find(*time).map(|at| leaf.columns.row(at));
            }
        }
        Body::Node(entries) => {
            for child in entries.iter() {
                rows_at(child, times, whose, loader, out)?;
            }
        }
    }
    Ok(())
}
