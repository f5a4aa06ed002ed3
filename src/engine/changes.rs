//! `ListChanges`: which keys a revision changed, newest first.
//!
//! Changes of keys that were there are kept by revision, a few thousand a frame. Points that were made (NEW) are
//! found in the tree, where every stretch knows its lowest and highest revision.

use super::codec::{Reader, Undecodable, Writer};
use super::effect::{read_labels, read_opening, write_labels, write_opening};
use super::lost::{Lost, Whose};
use super::state::{Component, KeyChange, KeyChanged, Metric, Series};
use super::tree::Entry;
use super::tree::child::{Body, Loader};
use super::view::{ChangeKind, ChangeRow, ChangesAsk};
use crate::domain::point::{Labels, Point};
use crate::domain::time::Time;
use crate::store::{StoreError, Touched};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Order of rows: newest revision first, then METRIC, OPENING, points, then labels, then time.
type RowKey = (Reverse<i64>, u8, Option<Labels>, Time);

/// The lowest keys up to a number.
struct Rows {
    rows: BTreeMap<RowKey, ChangeKind>,
    rows_max: usize,
}

impl Rows {
    fn add(&mut self, key: RowKey, kind: ChangeKind) {
        self.rows.insert(key, kind);
        if self.rows.len() > self.rows_max {
            self.rows.pop_last();
        }
    }

    /// Whether rows of `revision` cannot be among the lowest any more.
    fn is_past(&self, revision: i64) -> bool {
        self.rows.len() == self.rows_max && self.rows.last_key_value().is_some_and(|(key, _)| key.0.0 > revision)
    }
}

pub(super) fn rows(
    component: &Component,
    last: i64,
    ask: &ChangesAsk,
    loader: &Loader,
) -> Result<Vec<ChangeRow>, StoreError> {
    let (to, skip) = match ask.after {
        Some((revision, given)) => (ask.to_revision.min(revision.saturating_add(1)), given),
        None => (ask.to_revision, 0),
    };
    let asked = Asked { from: ask.from_revision.max(1), to: to.min(last.saturating_add(1)) };
    check_lost(component, ask, &asked)?;
    let mut rows = Rows { rows: BTreeMap::new(), rows_max: skip.saturating_add(ask.rows_max) };
    for change in component.catalog.iter().rev() {
        let named = change.new.as_ref().or(change.old.as_ref()).is_some_and(|d| d.name == ask.metric);
        if named && asked.holds(change.revision) {
            let kind = ChangeKind::Metric(change.old.clone(), change.new.clone());
            rows.add((Reverse(change.revision), 0, None, Time::MIN), kind);
        }
    }
    if let Some(metric) = component.metrics.get(&ask.metric) {
        key_changes(component, metric, ask, &asked, &mut rows, loader)?;
        if ask.include_new {
            for series in metric.series.values().filter(|s| ask.filters.iter().all(|f| f.passes(&s.labels))) {
                if let Some(root) = &series.root {
                    let whose = Whose { definition: metric.definition(), labels: &series.labels };
                    made(series, whose, root, &asked, &mut rows, loader)?;
                }
            }
        }
    }
    let row = |(key, kind): (RowKey, ChangeKind)| {
        let revision = key.0.0;
        component.check_facts(revision)?;
        let facts = component.batch(revision).expect("every revision up to the last has its facts");
        Ok(ChangeRow {
            kind,
            labels: key.2,
            revision,
            record_time: facts.record_time,
            who: facts.who.clone(),
            reason: facts.reason.clone(),
        })
    };
    rows.rows.into_iter().skip(skip).map(row).collect()
}

/// From a lost revision on nobody knows what a change went from.
fn check_lost(component: &Component, ask: &ChangesAsk, asked: &Asked) -> Result<(), StoreError> {
    let is_asked = |lost: &Lost| asked.from < asked.to && lost.revision < asked.to;
    if let Some(lost) = component.lost.iter().find(|lost| lost.name == ask.metric && is_asked(&lost.lost)) {
        return Err(lost.lost.refused(ask.metric.to_string()));
    }
    let Some(metric) = component.metrics.get(&ask.metric) else { return Ok(()) };
    let passes = |series: &Series| ask.filters.iter().all(|filter| filter.passes(&series.labels));
    for series in metric.series.values().filter(|series| !series.lost().is_empty() && passes(series)) {
        if let Some(lost) = series.lost().iter().find(|lost| is_asked(lost)) {
            let whose = Whose { definition: metric.definition(), labels: &series.labels };
            return Err(lost.refused(whose.text()));
        }
    }
    Ok(())
}

struct Asked {
    from: i64,
    to: i64,
}

impl Asked {
    fn holds(&self, revision: i64) -> bool {
        self.from <= revision && revision < self.to
    }
}

fn key_changes(
    component: &Component,
    metric: &Metric,
    ask: &ChangesAsk,
    asked: &Asked,
    rows: &mut Rows,
    loader: &Loader,
) -> Result<(), StoreError> {
    let mut add = |change: &KeyChanged| {
        if !asked.holds(change.revision) || !ask.filters.iter().all(|f| f.passes(&change.labels)) {
            return;
        }
        let labels = Some(change.labels.clone());
        let (place, time, kind) = match &change.what {
            KeyChange::Opening(old, new) => {
                let time = new.as_ref().or(old.as_ref()).map_or(Time::MIN, |opening| opening.time);
                (1, time, ChangeKind::Opening(old.clone(), new.clone()))
            }
            KeyChange::Point(old, None) => (2, old.time, ChangeKind::Retracted(*old)),
            KeyChange::Point(old, Some(new)) => {
                let added = component.batch(change.revision).is_some_and(|facts| facts.added);
                let kind = if added { ChangeKind::Added(*old, *new) } else { ChangeKind::Corrected(*old, *new) };
                (2, new.time, kind)
            }
        };
        rows.add((Reverse(change.revision), place, labels, time), kind);
    };
    metric.recent_changes.iter().for_each(&mut add);
    for stored in metric.stored_changes.iter().rev() {
        if stored.first_revision < asked.to && asked.from <= stored.last_revision {
            let all = || Touched { series: metric.definition().name.to_string(), first: Time::MIN, last: Time::MAX };
            let bytes = loader.store().read_frame(stored.at).map_err(|error| error.touching(all))?;
            let changes = read_changes(&bytes).map_err(|e| {
                e.in_file(format!("changes {} of the fold that ends at {}", stored.at.number, stored.at.fold.0))
            })?;
            changes.iter().for_each(&mut add);
        }
    }
    Ok(())
}

/// Points that came to be under `entry`, newest stretches first, so that older ones need not be opened.
fn made(
    series: &Series,
    whose: Whose<'_>,
    entry: &Entry,
    asked: &Asked,
    rows: &mut Rows,
    loader: &Loader,
) -> Result<(), StoreError> {
    let extent = &entry.extent;
    let newest = extent.highest_revision.min(asked.to - 1);
    if extent.highest_revision < asked.from || asked.to <= extent.lowest_revision || rows.is_past(newest) {
        return Ok(());
    }
    let here = || Touched { series: whose.text(), first: extent.first_key, last: extent.last_key };
    match loader.load(&entry.child).map_err(|error| error.touching(here))? {
        Body::Node(entries) => {
            entries.iter().rev().try_for_each(|child| made(series, whose, child, asked, rows, loader))
        }
        Body::Leaf(leaf) => {
            let mut versions: BTreeMap<(Time, i64), Option<Point>> =
                leaf.columns.rows().map(|row| ((row.point.time, row.revision), Some(row.point))).collect();
            if !series.history().is_empty() {
                let past = series.history().versions(extent.first_key, extent.last_key, loader);
                versions.extend(past.map_err(|error| error.touching(here))?);
            }
            let mut before: Option<(Time, bool)> = None;
            for ((time, revision), point) in versions {
                let was_there = before.is_some_and(|(t, there)| t == time && there);
                if let (Some(point), false) = (point, was_there)
                    && asked.holds(revision)
                {
                    let key = (Reverse(revision), 2, Some(series.labels.clone()), time);
                    rows.add(key, ChangeKind::New(point));
                }
                before = Some((time, point.is_some()));
            }
            Ok(())
        }
    }
}

/// A frame of changes: format byte (1), their number, then revision, labels, and what happened.
pub(super) fn write_changes<'a>(changes: impl ExactSizeIterator<Item = &'a KeyChanged>) -> Vec<u8> {
    let mut out = Writer::default();
    out.byte(1);
    out.unsigned(changes.len() as u64);
    for change in changes {
        out.signed(change.revision);
        write_labels(&mut out, &change.labels);
        match &change.what {
            KeyChange::Point(old, new) => {
                out.byte(if new.is_some() { 1 } else { 2 });
                out.time(old.time);
                out.point_value(old);
                if let Some(new) = new {
                    out.point_value(new);
                }
            }
            KeyChange::Opening(old, new) => {
                out.byte(3);
                write_opening(&mut out, old.as_ref());
                write_opening(&mut out, new.as_ref());
            }
        }
    }
    out.0
}

/// As `write_changes`.
pub(super) fn read_changes(bytes: &[u8]) -> Result<Vec<KeyChanged>, Undecodable> {
    let mut reader = Reader(bytes);
    reader.format(1)?;
    let count = reader.count()?;
    let mut changes = Vec::with_capacity(count);
    for _ in 0..count {
        let revision = reader.signed()?;
        let labels = read_labels(&mut reader)?;
        let what = match reader.byte()? {
            3 => KeyChange::Opening(read_opening(&mut reader)?, read_opening(&mut reader)?),
            kind => {
                let time = reader.time()?;
                let old = reader.point_value(time)?;
                KeyChange::Point(old, if kind == 1 { Some(reader.point_value(time)?) } else { None })
            }
        };
        changes.push(KeyChanged { revision, labels, what });
    }
    reader.end()?;
    Ok(changes)
}
