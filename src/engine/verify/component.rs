//! A component beside its series: revisions without a gap, recorded time that never goes back, the catalogue, and
//! what `ListChanges` tells against the past that is kept.

use super::{Go, Touches, Verifying};
use crate::domain::point::{Labels, Point};
use crate::domain::time::Time;
use crate::engine::changes::read_changes;
use crate::engine::state::{Component, KeyChange, KeyChanged, Metric, Series};
use std::collections::BTreeMap;
use std::ops::ControlFlow::Continue;

impl Verifying<'_> {
    /// Everything of a component that is not in its trees.
    pub(super) fn component(&mut self, component: &Component) -> Go {
        self.counts.components += 1;
        let touches = Touches::component(&component.name);
        if let Some(error) = &component.damaged {
            return self.damage(error.clone(), Some(touches));
        }
        for what in faults(component) {
            self.wrong("the catalogue", Some(touches.clone()), what)?;
        }
        for metric in component.metrics.values().filter(|metric| !component.is_refused(metric.id)) {
            self.changes(component, metric)?;
        }
        Continue(())
    }

    /// Every change of a key that is told is kept: the value that was replaced is in the past of its series.
    fn changes(&mut self, component: &Component, metric: &Metric) -> Go {
        let touches = Touches::metric(&component.name, &metric.definition().name);
        let mut by_series: BTreeMap<Labels, Vec<KeyChanged>> = BTreeMap::new();
        let mut last = 0;
        for stored in &metric.stored_changes {
            let read = self.shared.loader.store().read_frame(stored.at);
            let changes = match read {
                // The folds tell of frames that cannot be read.
                Err(_) => continue,
                Ok(bytes) => read_changes(&bytes).unwrap_or_default(),
            };
            let outside = |c: &KeyChanged| c.revision < stored.first_revision || stored.last_revision < c.revision;
            if changes.iter().any(outside) || stored.first_revision < last {
                let what = format!("changes of revisions {} to {}", stored.first_revision, stored.last_revision);
                self.wrong("the folds", Some(touches.clone()), format!("{what} are out of order"))?;
            }
            last = stored.last_revision;
            changes.into_iter().for_each(|c| by_series.entry(c.labels.clone()).or_default().push(c));
        }
        for change in &metric.recent_changes {
            by_series.entry(change.labels.clone()).or_default().push(change.clone());
        }
        for (labels, changes) in by_series {
            let touches = Touches::series(&component.name, metric.definition(), &labels);
            let Some(series) = metric.series.get(&labels) else {
                self.wrong("the folds", Some(touches), "it has changes and is not there")?;
                continue;
            };
            // What was given up is told of with the series.
            let is_known = !series.lost().iter().any(|lost| lost.given_up);
            if let Some(what) = self.untold(component, series, &changes).filter(|_| is_known) {
                self.wrong("the past", Some(touches), what)?;
            }
        }
        Continue(())
    }

    /// The first change whose old value is not in the past, or whose opening is not among the openings.
    fn untold(&self, component: &Component, series: &Series, changes: &[KeyChanged]) -> Option<String> {
        // Runs that cannot be read are told of elsewhere.
        let past = series.history().versions(Time::MIN, Time::MAX, &self.shared.loader).ok()?;
        let before = |time: Time, revision: i64| -> Option<Point> {
            let at = past.partition_point(|(key, _)| *key < (time, revision));
            past[..at].last().filter(|((t, _), _)| *t == time).and_then(|(_, point)| *point)
        };
        changes.iter().find_map(|change| {
            let revision = change.revision;
            if !(1..=component.revision).contains(&revision) {
                return Some(format!("a change is told of revision {revision}, which there is not"));
            }
            match &change.what {
                KeyChange::Point(old, _) if before(old.time, revision) != Some(*old) => {
                    Some(format!("revision {revision} changed the point at {} and what it was is not kept", old.time))
                }
                KeyChange::Opening(_, new) if !series.openings().contains(&(revision, new.clone())) => {
                    Some(format!("revision {revision} changed the opening and it is not kept"))
                }
                _ => None,
            }
        })
    }
}

fn faults(component: &Component) -> Vec<String> {
    let mut faults = Vec::new();
    if component.batches.len() as i64 != component.revision {
        faults.push(format!("it is at revision {} and knows of {}", component.revision, component.batches.len()));
    }
    let times = || component.batches.iter().map(|batch| batch.record_time);
    if let Some(at) = times().zip(times().skip(1)).position(|(one, next)| next < one) {
        faults.push(format!("revision {} was recorded before the one before it", at + 2));
    }
    let revisions = || component.catalog.iter().map(|change| change.revision);
    if revisions().zip(revisions().skip(1)).any(|(one, next)| next <= one)
        || revisions().any(|revision| !(1..=component.revision).contains(&revision))
    {
        faults.push("the changes of its catalogue are not in order of revision".to_string());
    }
    let mut ids: Vec<u64> = component.metrics.values().map(|metric| metric.id.0).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) || ids.last().is_some_and(|id| *id >= component.next_metric) {
        faults.push("the ids of its metrics are not unique".to_string());
    }
    let series = component.metrics.values().flat_map(|metric| metric.series.values());
    let mut ids: Vec<u64> = series.map(|series| series.id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) || ids.last().is_some_and(|id| *id >= component.next_series) {
        faults.push("the ids of its series are not unique".to_string());
    }
    for (name, metric) in &component.metrics {
        let last = component.last_definitions.get(name);
        if last != Some(metric.definition()) || metric.definition().name != *name {
            faults.push(format!("{name} is not defined as its catalogue says"));
        }
    }
    faults
}
