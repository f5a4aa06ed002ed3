//! What comes out: a component at one revision. Every figure of a view is of that revision, however long it is
//! held and whatever is written or folded meanwhile.

mod attempt;

pub use self::attempt::Attempt;
use self::attempt::Left;
use super::batch::{Filter, MetricId};
pub use super::block::{Columns, Leaf, summed};
use super::changes;
use super::lost::{self, Lost, Whose};
use super::readers::Token;
use super::state::{Component, Metric, Series};
use super::tree::Entry;
use super::tree::child::{Child, Loader};
pub use super::tree::children::Stretches;
use super::tree::walk::{Asks, Past, Walk};
use crate::domain::aggregate::{Aggregate, link};
use crate::domain::calendar::Calendar;
use crate::domain::definition::{Definition, Kind};
use crate::domain::name::{ComponentName, MetricName};
use crate::domain::point::{Labels, Opening, Point};
use crate::domain::time::{Interval, Time};
use crate::store::StoreError;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};

/// Blocks as they were that a view remembers, at most.
const PAST_BLOCKS_MAX: usize = 1_024;

/// A component at one revision. Cloning it is cheap.
#[derive(Clone)]
pub struct View {
    component: Arc<Component>,
    revision: i64,
    evaluate_time: Time,
    reading: Arc<Reading>,
}

/// A child, and what it was at the view's revision.
type PastBlock = (Arc<Child>, Arc<Leaf>);

/// What the parts of a view share.
struct Reading {
    /// None: the component as it is; nothing later is in it.
    revision: Option<i64>,
    loader: Arc<Loader>,
    /// Blocks as they were at the revision, by the child they are made of, which is held so that its place in
    /// memory is not used again.
    past: Mutex<HashMap<usize, PastBlock>>,
    left: Left,
    /// So that nothing goes which the component refers to.
    _token: Token,
}

/// A metric in a view.
#[derive(Clone)]
pub struct MetricView {
    metric: Arc<Metric>,
    reading: Arc<Reading>,
    /// The revision is from before it was made.
    unborn: bool,
    /// This creation of it.
    pub id: MetricId,
    /// As it was at the revision; as it is now where the revision is from before it was made.
    pub definition: Arc<Definition>,
    /// Its periods; None where it is irregular.
    pub periods: Option<Arc<Calendar>>,
}

/// A series in a view: one that has a point or an opening at the revision.
#[derive(Clone)]
pub struct SeriesView {
    series: Arc<Series>,
    definition: Arc<Definition>,
    periods: Option<Arc<Calendar>>,
    opening: Option<Opening>,
    reading: Arc<Reading>,
}

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
    /// Stretches of a DELTA that follow each other, whole within the interval: takes the first so many of them at once.
    /// None, unless it does better: they come one by one.
    fn stretches(&mut self, _: &Stretches<'_>) -> usize {
        0
    }
    /// One point. `Break` ends the walk.
    fn point(&mut self, point: &Point) -> ControlFlow<()>;
    /// Whether it would rather have the points of this block through `points` than what its chunks come to. One that
    /// would says where it ended the walk (`ended_at`), where that is not behind all that it was given.
    fn takes_points(&self, _: &Leaf) -> bool {
        false
    }
    /// How much it needs of a block that is not in memory and that it would be the first to ask for, where it asks for points
    /// from the first one on.
    fn needs(&self) -> Needs {
        Needs::Block
    }
    /// Behind which of the points that it was given it needs none, where it ended the walk; None: behind the last.
    fn ended_at(&self) -> Option<Time> {
        None
    }
    /// Points of a block, in order; unless it does better, one by one.
    fn points(&mut self, leaf: &Leaf, range: Range<usize>) -> ControlFlow<()> {
        leaf.columns.points(range).try_for_each(|point| self.point(&point))
    }
}

/// What is needed of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// It is needed as it is, and may be asked for again.
    Block,
    /// Its first points up to the end of what is asked, and no revisions.
    First,
    /// Of these, those up to where their values come to a level.
    Until(i128),
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

/// The last key that is lost, and the latest end of what was written there.
pub type LastLost = (Time, Time);

impl View {
    /// A component at `revision`, judged at `evaluate_time`. The token is from before the component was taken.
    pub(super) fn new(
        component: Arc<Component>,
        revision: i64,
        evaluate_time: Time,
        loader: Arc<Loader>,
        token: Token,
    ) -> View {
        let earlier = (revision < component.revision).then_some(revision);
        let left = Left::no_attempt();
        let reading = Reading { revision: earlier, loader, past: Mutex::default(), left, _token: token };
        let reading = Arc::new(reading);
        View { component, revision, evaluate_time, reading }
    }

    /// Whose.
    pub fn component(&self) -> &ComponentName {
        &self.component.name
    }

    /// Every figure is of this revision.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// What depends on the clock is judged at this time: the as-of's time, the recorded time of its revision, or now.
    pub fn evaluate_time(&self) -> Time {
        self.evaluate_time
    }

    /// The last revision recorded at or before `t`; 0 where there is none. For `ListChanges`. Refused where that is lost.
    pub fn revision_at(&self, t: Time) -> Result<i64, StoreError> {
        self.component.revision_at(t)
    }

    /// A metric that is there now, as it was at the revision. None: not there (now). Refused where its definition is
    /// lost.
    pub fn metric(&self, name: &MetricName) -> Result<Option<MetricView>, StoreError> {
        self.component.check_metric(name, self.reading.revision)?;
        Ok(self.component.metrics.get(name).map(|metric| self.metric_view(metric)))
    }

    /// A metric's last definition, deleted or not: what a retry's dates are read with.
    pub fn last_definition(&self, name: &MetricName) -> Option<Arc<Definition>> {
        self.component.last_definitions.get(name).cloned()
    }

    /// All metrics there are now, by name. Refused where one's definition is lost.
    pub fn metrics(&self) -> Result<Vec<MetricView>, StoreError> {
        let lost = self.component.lost.iter().map(|lost| &lost.name);
        lost.into_iter().try_for_each(|name| self.component.check_metric(name, None))?;
        Ok(self.component.metrics.values().map(|metric| self.metric_view(metric)).collect())
    }

    fn metric_view(&self, metric: &Arc<Metric>) -> MetricView {
        let then = metric.definition_at(self.revision);
        let definition = then.unwrap_or(metric.definition()).clone();
        let periods = match then {
            Some(then) if !Arc::ptr_eq(then, metric.definition()) => then.periods().map(Arc::new),
            _ => metric.periods.clone(),
        };
        MetricView {
            metric: metric.clone(),
            reading: self.reading.clone(),
            unborn: then.is_none(),
            id: metric.id,
            definition,
            periods,
        }
    }

    /// Changed keys, newest revision first; of one revision METRIC, then OPENING, then points, each by labels, then time.
    /// Cost: reads the frames of changes of those revisions; with `include_new` also the blocks that revisions asked for made.
    pub fn changes(&self, ask: &ChangesAsk) -> Result<Vec<ChangeRow>, StoreError> {
        changes::rows(&self.component, self.revision, ask, &self.reading.loader)
    }
}

impl MetricView {
    /// The series that pass all filters and have a point or an opening at the revision, by label values; those of which
    /// only lost keys are known too.
    /// Cost: one step a series of the metric that has the values that the filters give its first labels, where they give
    /// one each.
    pub fn series(&self, filters: &[Filter]) -> Result<Vec<SeriesView>, StoreError> {
        let left = &self.reading.left;
        if self.unborn {
            return Ok(Vec::new());
        }
        let all = &self.metric.series;
        let beginning = Filter::beginning(filters);
        if beginning.is_empty() && !left.may_look_at(all.len()) {
            return Err(StoreError::Deferred);
        }
        // Mostly all are found, where all are asked for; in an attempt few.
        let mut found = Vec::with_capacity(if filters.is_empty() { left.series_max(all.len()) } else { 0 });
        let begin_so = all.range(beginning.clone()..).take_while(|(labels, _)| labels.begin_with(&beginning));
        for (looked_at, (labels, series)) in begin_so.enumerate() {
            if !left.may_look_at(looked_at + 1) {
                return Err(StoreError::Deferred);
            }
            if !filters.iter().all(|filter| filter.passes(labels)) {
                continue;
            }
            let opening = match self.reading.revision {
                None => series.opening(),
                Some(revision) => series.opening_at(revision),
            };
            let view = SeriesView {
                series: series.clone(),
                definition: self.definition.clone(),
                periods: self.periods.clone(),
                opening: opening.cloned(),
                reading: self.reading.clone(),
            };
            let is_there = view.opening.is_some()
                || series.lost().iter().any(|lost| lost.wrote(self.reading.revision))
                || view.has_points()?;
            if is_there {
                found.push(view);
            }
            if left.series_max(found.len()) < found.len() {
                return Err(StoreError::Deferred);
            }
        }
        Ok(found)
    }
}

impl SeriesView {
    /// Whether there is a point. Mostly the root says it.
    fn has_points(&self) -> Result<bool, StoreError> {
        if let Some(known) = self.span_of_root() {
            return Ok(known.is_some());
        }
        match self.first_from(Time::MIN) {
            // Points were taken back, and perhaps not all: one that lies elsewhere tells.
            Err(error @ StoreError::Damaged { .. }) => match self.last_before(Time::MAX) {
                Ok(Some(_)) => Ok(true),
                _ => Err(error),
            },
            first => Ok(first?.is_some()),
        }
    }

    fn walk(&self) -> Walk<'_> {
        Walk {
            kind: self.definition.kind,
            periods: self.periods.as_deref(),
            revision: self.reading.revision,
            history: self.series.history(),
            lost: self.series.lost(),
            whose: Whose { definition: &self.definition, labels: &self.series.labels },
            loader: &self.reading.loader,
            past: &*self.reading,
        }
    }

    fn root(&self) -> Option<&Entry> {
        self.series.root.as_ref()
    }

    /// Its metric's periods; None where it is irregular.
    pub fn periods(&self) -> Option<&Calendar> {
        self.periods.as_deref()
    }

    /// Its label values.
    pub fn labels(&self) -> &Labels {
        &self.series.labels
    }

    /// Its opening balance.
    pub fn opening(&self) -> Result<Option<&Opening>, StoreError> {
        let whole: Vec<Lost> = self.series.lost().iter().filter(|lost| lost.is_whole()).cloned().collect();
        lost::check(&whole, &Interval::ALL, self.reading.revision, || self.walk().whose.text())?;
        Ok(self.opening.as_ref())
    }

    /// What is known of its last point where that is lost: the last known one, and the last key that is lost with the
    /// latest end there. The last point is one of the two, or was one of them and was taken back.
    pub fn last_known(&self) -> Result<(Option<Point>, Option<LastLost>), StoreError> {
        let lost = self.series.lost().iter().filter(|l| self.reading.revision.is_none_or(|r| l.revision <= r));
        let last = lost.map(|lost| (lost.last, lost.last_end)).max();
        let all = Walk { lost: &[], ..self.walk() };
        Ok((all.last_before(self.root(), Time::MAX)?, last))
    }

    /// Times of the first and the last point with `start <= time < end`; None: there is none. O(log n), and adds
    /// nothing up.
    pub fn bounds(&self, interval: Interval) -> Result<Option<(Time, Time)>, StoreError> {
        self.walk().bounds(self.root(), interval)
    }

    /// What the points with `start <= time < end` come to; None: there is none. O(log n).
    pub fn span(&self, interval: Interval) -> Result<Option<Aggregate>, StoreError> {
        self.walk().span(self.root(), interval)
    }

    /// What all points come to (None: there is none), where the root says it: nothing is lost, and nothing later than the view
    /// is in it.
    pub fn span_of_root(&self) -> Option<Option<&Aggregate>> {
        self.walk().span_of_root(self.root())
    }

    /// Blocks that were changed since the view's revision and that an answer about the interval makes as they were: what
    /// the past costs, some 0.1 ms each. `max + 1` where there are more than `max`. Cost: reads the nodes above them.
    pub fn changed(&self, interval: Interval, max: usize) -> Result<usize, StoreError> {
        match self.reading.revision {
            None => Ok(0),
            Some(_) => self.walk().changed(self.root(), interval, max),
        }
    }

    /// The last point before `t`. O(log n).
    pub fn last_before(&self, t: Time) -> Result<Option<Point>, StoreError> {
        self.walk().last_before(self.root(), t)
    }

    /// The first point at or after `t`. O(log n).
    pub fn first_from(&self, t: Time) -> Result<Option<Point>, StoreError> {
        self.walk().first(self.root(), Interval::new(t, Time::MAX))
    }

    /// The first point of the interval whose prefix sum (DELTA, CUMULATIVE: as in `Aggregate`) or whose level
    /// (GAUGE) is at or above `level`. One descent, O(log n), also where values fall.
    pub fn reach(&self, interval: Interval, level: i128) -> Result<Option<Crossing>, StoreError> {
        let mut search = Reach { kind: self.definition.kind, level, before: None, sum: 0, found: None };
        self.visit(interval, &mut search)?;
        Ok(search.found)
    }

    /// Walks the points of the interval in order of time.
    pub fn visit(&self, interval: Interval, visitor: &mut dyn Visitor) -> Result<(), StoreError> {
        self.walk().visit(self.root(), interval, visitor)
    }

    /// Points of the interval in order of time, column by column: block by block until there are `points_min`, or all.
    /// To go on: from the last one's time + 1. Cost: some nanoseconds a point, where `points` takes ten.
    pub fn columns(&self, interval: Interval, points_min: usize) -> Result<Columns, StoreError> {
        let mut take = TakeColumns { columns: Columns::default(), points_min };
        self.visit(interval, &mut take)?;
        Ok(take.columns)
    }

    /// Up to `points_max` points of the interval in order of time. To go on: from the last one's time + 1.
    pub fn points(&self, interval: Interval, points_max: usize) -> Result<Vec<Point>, StoreError> {
        let mut take = Take { points: Vec::new(), points_max };
        if points_max > 0 {
            self.visit(interval, &mut take)?;
        }
        Ok(take.points)
    }
}

impl Past for Reading {
    fn get(&self, entry: &Entry) -> Option<Arc<Leaf>> {
        let past = self.past.lock().expect("no holder of the past panics");
        past.get(&(Arc::as_ptr(&entry.child) as usize)).map(|(_, leaf)| leaf.clone())
    }

    fn asks(&self) -> Asks {
        self.left.asks()
    }

    fn may_read(&self) -> bool {
        !self.left.is_attempt()
    }

    fn put(&self, entry: &Entry, leaf: &Arc<Leaf>) {
        let mut past = self.past.lock().expect("no holder of the past panics");
        if past.len() < PAST_BLOCKS_MAX {
            past.insert(Arc::as_ptr(&entry.child) as usize, (entry.child.clone(), leaf.clone()));
        }
    }
}

/// Looks for the first point at or above a level.
struct Reach {
    kind: Kind,
    level: i128,
    before: Option<(Time, i64)>,
    sum: i128,
    found: Option<Crossing>,
}

impl Reach {
    /// The prefix sum just before what the given first point's own aggregate counts.
    fn joined(&self, value: i64, start: Option<Time>) -> i128 {
        match (self.kind, self.before) {
            (Kind::Cumulative, Some((time, before))) => self.sum + link(time, before, value, start),
            _ => self.sum,
        }
    }
}

impl Visitor for Reach {
    fn stretch(&mut self, aggregate: &Aggregate) -> bool {
        let base = self.joined(aggregate.first_value, aggregate.first_start);
        let highest = match self.kind {
            Kind::Gauge => i128::from(aggregate.max),
            Kind::Delta | Kind::Cumulative => base + aggregate.high,
        };
        if highest >= self.level {
            return false;
        }
        self.sum = base + aggregate.sum;
        self.before = Some((aggregate.last_time, aggregate.last_value));
        true
    }

    fn stretches(&mut self, many: &Stretches<'_>) -> usize {
        let passed = many.below(self.level - self.sum);
        self.sum += many.first(passed).0;
        passed
    }

    fn takes_points(&self, leaf: &Leaf) -> bool {
        self.kind == Kind::Delta && leaf.sums(Kind::Delta).is_some_and(|sums| sums.never_falls)
    }

    fn needs(&self) -> Needs {
        match self.kind {
            Kind::Delta => Needs::Until(self.level - self.sum),
            Kind::Cumulative | Kind::Gauge => Needs::Block,
        }
    }

    fn ended_at(&self) -> Option<Time> {
        self.found.map(|found| found.point.time)
    }

    /// Of points whose sum never falls the one that gets there is found by their running sums.
    fn points(&mut self, leaf: &Leaf, range: Range<usize>) -> ControlFlow<()> {
        let Some(sums) = leaf.sums(self.kind).filter(|_| self.takes_points(leaf) && !range.is_empty()) else {
            return leaf.columns.points(range).try_for_each(|point| self.point(&point));
        };
        let found = sums.below(&leaf.columns, range.clone(), self.level - self.sum);
        self.sum += i128::from(sums.sum(&leaf.columns, range.start..found));
        match found < range.end {
            true => self.point(&leaf.columns.point(found)),
            false => ControlFlow::Continue(()),
        }
    }

    fn point(&mut self, point: &Point) -> ControlFlow<()> {
        let before = self.sum;
        let after = match self.kind {
            Kind::Delta => before + i128::from(point.value),
            Kind::Cumulative => self.joined(point.value, point.start),
            Kind::Gauge => i128::from(point.value),
        };
        if after >= self.level {
            self.found = Some(Crossing { point: *point, before, after });
            return ControlFlow::Break(());
        }
        self.sum = after;
        self.before = Some((point.time, point.value));
        ControlFlow::Continue(())
    }
}

/// Takes the first points.
struct Take {
    points: Vec<Point>,
    points_max: usize,
}

impl Visitor for Take {
    fn stretch(&mut self, _: &Aggregate) -> bool {
        false
    }

    fn point(&mut self, point: &Point) -> ControlFlow<()> {
        self.points.push(*point);
        if self.points.len() < self.points_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Takes the first points, block by block.
struct TakeColumns {
    columns: Columns,
    points_min: usize,
}

impl Visitor for TakeColumns {
    fn stretch(&mut self, _: &Aggregate) -> bool {
        false
    }

    fn point(&mut self, _: &Point) -> ControlFlow<()> {
        unreachable!("it takes whole blocks")
    }

    fn takes_points(&self, _: &Leaf) -> bool {
        true
    }

    fn points(&mut self, leaf: &Leaf, range: Range<usize>) -> ControlFlow<()> {
        if range.is_empty() {
            return ControlFlow::Continue(());
        }
        self.columns.extend(&leaf.columns, range);
        if self.columns.len() < self.points_min { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}
