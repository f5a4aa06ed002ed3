//! What comes out: a component at one revision. Every figure of a view is of that revision, however long it is
//! held and whatever is written or folded meanwhile.

use super::batch::{Filter, MetricId};
use crate::domain::aggregate::Aggregate;
use crate::domain::calendar::Calendar;
use crate::domain::definition::Definition;
use crate::domain::name::{ComponentName, MetricName};
use crate::domain::point::{Labels, Opening, Point};
use crate::domain::time::{Interval, Time};
use crate::store::StoreError;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A component at one revision.
#[derive(Clone)]
pub struct View;

/// A metric in a view.
#[derive(Clone)]
pub struct MetricView {
    /// This creation of it.
    pub id: MetricId,
    /// As it was at the revision; as it is now where the revision is from before it was made.
    pub definition: Arc<Definition>,
    /// Its periods; None where it is irregular.
    pub periods: Option<Arc<Calendar>>,
}

/// A series in a view: one that has a point or an opening at the revision.
#[derive(Clone)]
pub struct SeriesView;

/// The first point at which a search got there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crossing {
    /// The point.
    pub point: Point,
    /// The prefix sum before it, counted as `Aggregate` counts it within the interval searched (0 at its start).
    pub before: i128,
    /// The prefix sum with it.
    pub after: i128,
}

/// Walks a series without opening what its aggregates already answer.
pub trait Visitor {
    /// A stretch of points, whole within the interval: true takes its aggregate as the answer, false goes inside
    /// (down to `point`).
    fn stretch(&mut self, aggregate: &Aggregate) -> bool;
    /// One point. `Break` ends the walk.
    fn point(&mut self, point: &Point) -> ControlFlow<()>;
}

/// One changed key.
#[derive(Clone, Debug)]
pub struct ChangeRow {
    /// What became of it.
    pub kind: ChangeKind,
    /// The series; None for METRIC.
    pub labels: Option<Labels>,
    /// The revision that did it.
    pub revision: i64,
    /// When that was recorded.
    pub record_time: Time,
    /// Who.
    pub who: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
}

/// What became of a key.
#[derive(Clone, Debug)]
pub enum ChangeKind {
    /// A point was made.
    New(Point),
    /// Another value (old, new).
    Corrected(Point, Point),
    /// Added to (old, new).
    Added(Point, Point),
    /// Taken back.
    Retracted(Point),
    /// Set, replaced or removed (old, new).
    Opening(Option<Opening>, Option<Opening>),
    /// Made, changed or deleted (old, new).
    Metric(Option<Arc<Definition>>, Option<Arc<Definition>>),
}

/// What `View::changes` is asked.
#[derive(Clone, Debug)]
pub struct ChangesAsk {
    /// Of this metric, deleted ones too.
    pub metric: MetricName,
    /// Series must pass; METRIC rows always do.
    pub filters: Vec<Filter>,
    /// First revision.
    pub from_revision: i64,
    /// First revision after.
    pub to_revision: i64,
    /// NEW rows too.
    pub include_new: bool,
    /// Rows to leave out from the newest on: (revision, rows of that revision already given).
    pub after: Option<(i64, usize)>,
    /// Rows wanted.
    pub rows_max: usize,
}

impl View {
    /// Whose.
    pub fn component(&self) -> &ComponentName {
        todo!()
    }

    /// Every figure is of this revision.
    pub fn revision(&self) -> i64 {
        todo!()
    }

    /// What depends on the clock is judged at this time: the as-of's time, the recorded time of its revision, or now.
    pub fn evaluate_time(&self) -> Time {
        todo!()
    }

    /// The last revision recorded at or before `t`; 0 where there is none. For `ListChanges`.
    pub fn revision_at(&self, _t: Time) -> i64 {
        todo!()
    }

    /// A metric that is there now, as it was at the revision. None: not there (now).
    pub fn metric(&self, _name: &MetricName) -> Option<MetricView> {
        todo!()
    }

    /// A metric's last definition, deleted or not: what a retry's dates are read with.
    pub fn last_definition(&self, _name: &MetricName) -> Option<Arc<Definition>> {
        todo!()
    }

    /// All metrics there are now, by name.
    pub fn metrics(&self) -> Vec<MetricView> {
        todo!()
    }

    /// Changed keys, newest revision first; of one revision METRIC, then OPENING, then points, each by labels, then time.
    pub fn changes(&self, _ask: &ChangesAsk) -> Result<Vec<ChangeRow>, StoreError> {
        todo!()
    }
}

impl MetricView {
    /// The series that pass all filters and have a point or an opening at the revision, by label values.
    /// Cost: one step a series of the metric.
    pub fn series(&self, _filters: &[Filter]) -> Result<Vec<SeriesView>, StoreError> {
        todo!()
    }
}

impl SeriesView {
    /// Its label values.
    pub fn labels(&self) -> &Labels {
        todo!()
    }

    /// Its opening balance.
    pub fn opening(&self) -> Option<&Opening> {
        todo!()
    }

    /// What the points with `start <= time < end` come to; None: there is none. O(log n).
    pub fn span(&self, _interval: Interval) -> Result<Option<Aggregate>, StoreError> {
        todo!()
    }

    /// The last point before `t`. O(log n).
    pub fn last_before(&self, _t: Time) -> Result<Option<Point>, StoreError> {
        todo!()
    }

    /// The first point at or after `t`. O(log n).
    pub fn first_from(&self, _t: Time) -> Result<Option<Point>, StoreError> {
        todo!()
    }

    /// The first point of the interval whose prefix sum (DELTA, CUMULATIVE: as in `Aggregate`) or whose level
    /// (GAUGE) is at or above `level`. One descent, O(log n), also where values fall.
    pub fn reach(&self, _interval: Interval, _level: i128) -> Result<Option<Crossing>, StoreError> {
        todo!()
    }

    /// Walks the points of the interval in order of time.
    pub fn visit(&self, _interval: Interval, _visitor: &mut dyn Visitor) -> Result<(), StoreError> {
        todo!()
    }

    /// Up to `points_max` points of the interval in order of time. To go on: from the last one's time + 1.
    pub fn points(&self, _interval: Interval, _points_max: usize) -> Result<Vec<Point>, StoreError> {
        todo!()
    }
}
