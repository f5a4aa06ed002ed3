//! A series: every node against its children, every aggregate against a scan of the points below it, its past against
//! its blocks, and what a walk answers against the same scan: now, at both ends of every block, and as of earlier revisions.

use super::scan::{Scan, difference};
use super::{Go, Touches, Verifying};
use crate::domain::aggregate::Aggregate;
use crate::domain::definition::Kind;
use crate::domain::name::{ComponentName, MetricName};
use crate::domain::point::{Labels, Opening, Point};
use crate::domain::time::{Interval, Time};
use crate::engine::block::{Leaf, Row};
use crate::engine::history::{VersionKey, read_run};
use crate::engine::lost::Whose;
use crate::engine::state::Series;
use crate::engine::tree::child::{Body, Child, Place};
use crate::engine::tree::walk::{NoPast, Walk};
use crate::engine::tree::{Entry, Extent, gather};
use crate::store::{Damage, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow::Continue;
use std::sync::Arc;

/// Earlier revisions that are asked for, at most.
const REVISIONS_MAX: i64 = 6;

/// A version of a key.
type Version = (VersionKey, Option<Point>);

/// A series being looked at.
struct Looked<'a> {
    touches: Touches,
    kind: Kind,
    revision: i64,
    opening: Option<&'a Opening>,
    /// Every version that is not current, by time and revision.
    past: Vec<Version>,
    /// How many of `past` lie in blocks that were looked at.
    seen: usize,
    /// One a level of the tree, the root's first.
    scans: Vec<Scan<'a>>,
    /// A fresh one.
    empty: Scan<'a>,
    /// What the points came to at earlier revisions.
    earlier: Vec<(i64, Scan<'a>)>,
    /// Answers, as of a revision (None: now).
    walk: &'a dyn Fn(Option<i64>) -> Walk<'a>,
    root: Option<&'a Entry>,
    /// An answer differed: those after it would too.
    has_told: bool,
    /// The last block's last key.
    covered: Option<Time>,
    last: Option<Point>,
    /// Some of it is lost: what is left need not keep the rules.
    is_torn: bool,
}

impl Verifying<'_> {
    /// A series as it is now.
    pub(super) fn series_now(&mut self, component: &ComponentName, name: &MetricName, labels: &Labels) -> Go {
        let state = self.state();
        let Some(component) = state.get(component).filter(|component| component.damaged.is_none()) else {
            return Continue(());
        };
        let Some(metric) = component.metrics.get(name) else { return Continue(()) };
        let Some(series) = metric.series.get(labels) else { return Continue(()) };
        self.counts.series += 1;
        let touches = Touches::series(&component.name, metric.definition(), labels);
        if let Some(lost) = series.lost().iter().find(|lost| lost.given_up) {
            // Nothing of it is answered: what is left of it need not agree.
            return self.damage(lost.damage.clone().into(), Some(touches));
        }
        let past = self.past(series, &touches)?;
        let kind = metric.definition().kind;
        let empty = Scan::new(kind, metric.periods.as_deref());
        let walk = |revision| Walk {
            kind,
            periods: metric.periods.as_deref(),
            revision,
            history: series.history(),
            lost: &[],
            whose: Whose { definition: metric.definition(), labels },
            loader: &self.shared.loader,
            past: &NoPast,
        };
        let extent = series.root.as_ref().map(|root| root.extent);
        let mut looked = Looked {
            touches,
            kind,
            revision: component.revision,
            opening: series.opening(),
            past,
            seen: 0,
            scans: Vec::new(),
            earlier: earlier(extent, component.revision).into_iter().map(|r| (r, empty.clone())).collect(),
            walk: &walk,
            root: series.root.as_ref(),
            has_told: false,
            empty,
            covered: None,
            last: None,
            is_torn: !series.lost().is_empty(),
        };
        for lost in series.lost() {
            let touches = looked.touches.between(lost.first, lost.last);
            self.damage(lost.damage.clone().into(), Some(touches))?;
        }
        if let Some(root) = &series.root {
            self.entry(root, &mut looked)?;
        }
        if looked.seen != looked.past.len() {
            let what = format!("{} replaced versions lie in no block's range", looked.past.len() - looked.seen);
            self.wrong("the past", Some(looked.touches.clone()), what)?;
        }
        let answers = looked.of_the_past();
        answers.into_iter().try_for_each(|what| self.wrong("the tree", Some(looked.touches.clone()), what))?;
        self.tell()
    }

    /// Every version that is not current, read afresh.
    fn past(&mut self, series: &Series, touches: &Touches) -> super::ControlFlow<(), Vec<Version>> {
        let mut all: BTreeMap<VersionKey, Option<Point>> = BTreeMap::new();
        for run in &series.history().runs {
            let touches = touches.between(run.first_key, run.last_key);
            let versions = match read_run(run, &self.shared.loader) {
                Ok(versions) => versions,
                Err(error) => {
                    self.damage(error, Some(touches))?;
                    continue;
                }
            };
            let ordered = versions.windows(2).all(|pair| pair[0].0 < pair[1].0);
            let ends = versions.first().zip(versions.last()).map(|(first, last)| (first.0.0, last.0.0));
            if !ordered || ends != Some((run.first_key, run.last_key)) {
                self.wrong("the past", Some(touches.clone()), "a run is not what its line says")?;
            }
            for (key, point) in versions {
                if all.insert(key, point).is_some_and(|other| other != point) {
                    let what = format!("two runs differ in the point at {} of revision {}", key.0, key.1);
                    self.wrong("the past", Some(touches.clone()), what)?;
                }
            }
        }
        all.extend(series.history().recent.iter().map(|(key, point)| (*key, *point)));
        Continue(all.into_iter().collect())
    }

    /// A child's content, read from where it is stored though it may be in memory.
    fn fresh(&self, child: &Child) -> Result<Body, StoreError> {
        let kept = child.in_memory();
        let Some(place) = child.place() else {
            return Ok(kept.expect("a child that is not stored is in memory"));
        };
        let stored = self.shared.loader.read(place)?;
        if let (Some(Body::Leaf(kept)), Body::Leaf(stored)) = (&kept, &stored)
            // By what they say: a column of nothing but zeros is stored as none.
            && !kept.columns.rows().eq(stored.columns.rows())
        {
            let (file, offset) = self.file_of(place);
            let what = "the block differs from what is in memory".to_string();
            return Err(Damage { file, offset, what }.into());
        }
        Ok(stored)
    }

    /// Where a place is, for people.
    pub(super) fn file_of(&self, place: &Place) -> (String, u64) {
        match place {
            Place::Block(at) => self.shared.loader.store().locate(*at),
            Place::Inline(_) => ("a series' record".to_string(), 0),
            Place::Node(id) => (format!("node {id} of the index"), 0),
        }
    }

    fn entry(&mut self, entry: &Entry, looked: &mut Looked) -> Go {
        let (file, offset) = match entry.child.place() {
            Some(place) => self.file_of(place),
            None => ("memory".to_string(), 0),
        };
        let touches = looked.touches.between(entry.extent.first_key, entry.extent.last_key);
        let wrong = |this: &mut Self, what: String| {
            this.watch.found(super::Finding { file: file.clone(), offset, touches: Some(touches.clone()), what })
        };
        looked.scans.push(looked.empty.clone());
        match self.fresh(&entry.child) {
            Err(error) => {
                looked.tear(&entry.extent);
                self.damage(error, Some(touches.clone()))?;
            }
            Ok(Body::Leaf(leaf)) => {
                self.counts.blocks += 1;
                self.counts.points += leaf.columns.len() as u64;
                for what in looked.leaf(&leaf, &entry.extent) {
                    wrong(self, what)?;
                }
            }
            Ok(Body::Node(children)) => {
                self.counts.nodes += 1;
                if gather(looked.kind, &children.iter().cloned().collect::<Vec<_>>()).map(|(extent, _)| extent)
                    != Some(entry.extent)
                {
                    wrong(self, "a node's range of keys or revisions is not that of its children".to_string())?;
                }
                for child in children.iter() {
                    self.entry(child, looked)?;
                }
            }
        }
        let scan = looked.scans.pop().expect("one was pushed");
        if let Some(total) = scan.total()
            && let Some(what) = difference(entry.sum.as_ref(), total.as_ref())
        {
            wrong(self, format!("what is said of its points is not what they come to: {what}"))?;
        }
        Continue(())
    }
}

impl Looked<'_> {
    /// A stretch cannot be read: nothing that it belongs to can be added up.
    fn tear(&mut self, extent: &Extent) {
        self.scans.iter_mut().for_each(Scan::tear);
        self.earlier.iter_mut().for_each(|(_, scan)| scan.tear());
        self.seen += self.versions(extent).len();
        self.covered = Some(extent.last_key);
        self.last = None;
    }

    /// What walks answer of earlier revisions that a scan does not.
    fn of_the_past(&self) -> Vec<String> {
        let wrong = |(revision, scan): &(i64, Scan)| {
            let what = differs((self.walk)(Some(*revision)).span(self.root, Interval::ALL), scan)?;
            Some(format!("as of revision {revision} a walk answers other than a scan: {what}"))
        };
        self.earlier.iter().filter_map(wrong).collect()
    }

    fn versions(&self, extent: &Extent) -> std::ops::Range<usize> {
        let from = self.past.partition_point(|((time, _), _)| *time < extent.first_key);
        let to = self.past.partition_point(|((time, _), _)| *time <= extent.last_key);
        from..to
    }

    /// Adds a block up, and says what is wrong with it.
    fn leaf(&mut self, leaf: &Leaf, extent: &Extent) -> Vec<String> {
        let mut faults = Vec::new();
        if extent.first_key > extent.last_key || self.covered.is_some_and(|last| extent.first_key <= last) {
            faults.push("its range of keys overlaps that of the block before it".to_string());
        }
        self.covered = Some(extent.last_key);
        let revisions = extent.lowest_revision..=extent.highest_revision;
        if *revisions.end() > self.revision {
            faults.push(format!("it holds revision {}, and the last one is {}", revisions.end(), self.revision));
        }
        let range = self.versions(extent);
        self.seen += range.len();
        let versions: Vec<Version> = self.past[range].to_vec();
        let ends = [leaf.columns.times.get(0), leaf.columns.times.last()];
        for row in leaf.columns.rows() {
            let time = row.point.time;
            if time < extent.first_key || extent.last_key < time || !revisions.contains(&row.revision) {
                faults.push(format!("the point at {time} lies outside the range of keys and revisions"));
            }
            faults.extend(self.rules(&row.point).filter(|_| !self.is_torn));
            if ends.contains(&Some(time.0)) && !self.has_told {
                let asked = (self.walk)(None).span(self.root, Interval::new(Time::MIN, time));
                let what = differs(asked, &self.scans[0]);
                self.has_told = what.is_some();
                faults.extend(what.map(|what| format!("before {time} a walk answers other than a scan: {what}")));
            }
            self.scans.iter_mut().for_each(|scan| scan.add(&row.point));
            self.last = Some(row.point);
        }
        if let Some(((time, revision), _)) = versions.iter().find(|((_, revision), _)| !revisions.contains(revision)) {
            faults.push(format!("what the point at {time} was at revision {revision} lies outside its revisions"));
        }
        if versions.is_empty() {
            for (revision, scan) in &mut self.earlier {
                leaf.columns.rows().filter(|row| row.revision <= *revision).for_each(|row| scan.add(&row.point));
            }
            return faults;
        }
        let keys = by_key(leaf, versions);
        let unlikely = keys.iter().find_map(|(time, versions)| unlikely(*time, versions));
        faults.extend(unlikely.filter(|_| !self.is_torn));
        for (revision, scan) in &mut self.earlier {
            for versions in keys.values() {
                if let Some((_, Some(point))) = versions.iter().rev().find(|(made, _)| made <= revision) {
                    scan.add(point);
                }
            }
        }
        faults
    }

    /// What a batch would have been refused for.
    fn rules(&self, point: &Point) -> Option<String> {
        let time = point.time;
        let opening = self.opening.filter(|opening| match self.kind {
            Kind::Delta => time < opening.time,
            Kind::Cumulative => time <= opening.time,
            Kind::Gauge => false,
        });
        if let Some(opening) = opening {
            return Some(format!("the point at {time} lies before the opening at {}", opening.time));
        }
        let last = self.last?;
        let began_again = point.start.is_some_and(|start| last.time <= start);
        match self.kind {
            Kind::Delta if last.end > time => {
                Some(format!("the point at {} reaches over the one at {time}", last.time))
            }
            Kind::Cumulative if point.value < last.value && !point.restated && !began_again => {
                Some(format!("the level at {time} is below the one before it, and nothing says why"))
            }
            _ => None,
        }
    }
}

/// Every version of every key of a block, the current one too, in order of revision.
fn by_key(leaf: &Leaf, versions: Vec<Version>) -> BTreeMap<Time, Vec<(i64, Option<Point>)>> {
    let mut keys: BTreeMap<Time, Vec<(i64, Option<Point>)>> = BTreeMap::new();
    for ((time, revision), point) in versions {
        keys.entry(time).or_default().push((revision, point));
    }
    for Row { point, revision } in leaf.columns.rows() {
        keys.entry(point.time).or_default().push((revision, Some(point)));
    }
    keys
}

/// What cannot have come about: the current version is the newest, and what was taken back had been there.
fn unlikely(time: Time, versions: &[(i64, Option<Point>)]) -> Option<String> {
    let mut there = false;
    let mut before = 0;
    for (revision, point) in versions {
        if *revision <= before {
            return Some(format!("the point at {time} is of revision {revision}, and an older one of {before}"));
        }
        if point.is_none() && !there {
            return Some(format!("the point at {time} was taken back by revision {revision} and was not there"));
        }
        (there, before) = (point.is_some(), *revision);
    }
    None
}

/// Earlier revisions that touched the series, or lie between such.
fn earlier(extent: Option<Extent>, last: i64) -> Vec<i64> {
    let Some(extent) = extent else { return Vec::new() };
    let (low, high) = (extent.lowest_revision, extent.highest_revision.min(last));
    let span = (high - low).max(0);
    let chosen: BTreeSet<i64> = (0..REVISIONS_MAX).map(|i| low - 1 + span * i / (REVISIONS_MAX - 1)).collect();
    chosen.into_iter().filter(|revision| *revision > 0 && *revision < last).collect()
}

/// How an answer differs from a scan; what cannot be read is told where it is.
fn differs(asked: Result<Option<Aggregate>, StoreError>, scan: &Scan) -> Option<String> {
    difference(asked.ok()?.as_ref(), scan.total()?.as_ref())
}

/// The blocks under an entry, in order: what is said of each, and where it is. Nodes are read afresh.
pub(super) fn leaves(this: &Verifying, entry: &Entry, into: &mut Vec<Entry>) -> Result<(), StoreError> {
    let body = match entry.child.place() {
        Some(Place::Node(_)) => this.fresh(&entry.child)?,
        Some(_) => {
            into.push(entry.clone());
            return Ok(());
        }
        None => match entry.child.in_memory() {
            Some(body) => body,
            None => return Ok(()),
        },
    };
    match body {
        Body::Node(children) => children.iter().try_for_each(|child| leaves(this, child, into)),
        Body::Leaf(_) => {
            into.push(Entry { child: Arc::clone(&entry.child), ..entry.clone() });
            Ok(())
        }
    }
}
