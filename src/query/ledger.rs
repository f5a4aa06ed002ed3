//! The rules of one series, by kind: what counts, when, and what lies before it. Totals, windows and milestones all
//! reckon with these, so that they agree always.
//!
//! | | DELTA | CUMULATIVE |
//! |---|---|---|
//! | opening | the one that was set | the same, else the first level where it says no `start` |
//! | a step | a point | a report less the one before it; all of it where the count began again |
//! | steps of `[a, b)` | points with `a <= time < b` | reports with `a < time <= b` |
//!
//! The total at T is the openings at or before T and the steps of everything before T.

use crate::domain::aggregate::{Aggregate, link};
use crate::domain::definition::Kind;
use crate::domain::point::{Labels, Opening, Point};
use crate::domain::time::{Interval, Time};
use crate::engine::view::{Leaf, Needs, SeriesView, Stretches, Visitor};
use crate::store::StoreError;
use std::ops::{ControlFlow, Range};

/// One series, and what its rules hang on.
pub struct Ledger {
    series: SeriesView,
    kind: Kind,
    /// The opening that was set, and its note.
    opening: Option<Opening>,
    ends: Ends,
}

/// What the points come to, as far as it is said of the first one and of the last one. (A question of many series makes one
/// a series: it is small where the root says it all, as mostly.)
enum Ends {
    /// The root says it.
    OfRoot,
    /// This; None: there is none.
    Whole(Box<Option<Aggregate>>),
    /// Points are lost: the first and the last that there is, or why nobody knows it.
    Apart(Box<[Result<Option<Aggregate>, StoreError>; 2]>),
}

/// What the first report of a CUMULATIVE series is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lead {
    /// Its level is the opening; no step.
    Opening,
    /// A step of so much, that began at `from`.
    Step { amount: i128, from: Time },
}

/// What happened in an interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Flow {
    pub(super) sum: i128,
    /// 0: nothing counts.
    pub(super) steps: u64,
    /// Points, with or without a step.
    pub(super) points: u64,
    /// The time of the last point; None: there is none.
    pub(super) last_time: Option<Time>,
    /// The latest end of a point; None: there is none.
    pub(super) latest_end: Option<Time>,
}

/// What there was before an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Before {
    /// The total; None: nothing was counted.
    pub(super) total: Option<i128>,
    /// Times of the first and the last point that counts in it; None: there is none.
    pub(super) bounds: Option<(Time, Time)>,
    /// The latest end of a point that counts in it.
    pub(super) latest_end: Option<Time>,
}

/// Something that changes a total.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Event {
    pub(super) at: Time,
    pub(super) amount: i128,
    /// Since when it may have happened.
    pub(super) from: Time,
    /// DELTA: the end of its period. Else `at`.
    pub(super) end: Time,
    pub(super) is_opening: bool,
}

impl Ledger {
    /// O(log n). Where points are lost, what does not rest on them can still be asked.
    pub(super) fn new(series: SeriesView, kind: Kind) -> Result<Ledger, StoreError> {
        let opening = series.opening()?.cloned();
        let ends = match series.span_of_root() {
            Some(_) => Ends::OfRoot,
            None => match series.span(Interval::ALL) {
                Err(StoreError::Damaged { .. }) => {
                    let alone = |point: Option<Point>| point.map(|point| Aggregate::of(kind, &point, series.periods()));
                    let (first, last) = (series.first_from(Time::MIN), series.last_before(Time::MAX));
                    Ends::Apart(Box::new([first.map(alone), last.map(alone)]))
                }
                whole => Ends::Whole(Box::new(whole?)),
            },
        };
        Ok(Ledger { series, kind, opening, ends })
    }

    /// Whether all points are known and no value is below 0: then what a DELTA comes to never falls.
    pub(super) fn never_falls(&self) -> bool {
        let is_known = !matches!(self.ends, Ends::Apart(_));
        is_known && self.first().is_ok_and(|whole| whole.is_some_and(|whole| whole.min >= 0))
    }

    pub(super) fn labels(&self) -> &Labels {
        self.series.labels()
    }

    pub(super) fn series(&self) -> &SeriesView {
        &self.series
    }

    /// What the points come to, as far as it is said of the first one; None: there is none.
    pub(super) fn first(&self) -> Result<Option<&Aggregate>, StoreError> {
        self.end(0)
    }

    /// What the points come to, as far as it is said of the last one; None: there is none.
    pub(super) fn last(&self) -> Result<Option<&Aggregate>, StoreError> {
        self.end(1)
    }

    fn end(&self, which: usize) -> Result<Option<&Aggregate>, StoreError> {
        match &self.ends {
            Ends::OfRoot => Ok(self.series.span_of_root().flatten()),
            Ends::Whole(whole) => Ok(Option::as_ref(whole)),
            Ends::Apart(ends) => ends[which].as_ref().map(Option::as_ref).map_err(Clone::clone),
        }
    }

    /// The times of the points that count in `[start, end)`.
    pub(super) fn counted(kind: Kind, window: Interval) -> Interval {
        match kind {
            Kind::Cumulative => Interval::new(later(window.start), later(window.end)),
            Kind::Delta | Kind::Gauge => window,
        }
    }

    /// The first instant of points that no longer count at `at` (None: all do).
    pub(super) fn limit(kind: Kind, at: Option<Time>) -> Time {
        Ledger::counted(kind, Interval::new(Time::MIN, at.unwrap_or(Time::MAX))).end
    }

    /// The opening that was set.
    pub(super) fn set_opening(&self) -> Option<(Time, i64)> {
        self.opening.as_ref().map(|opening| (opening.time, opening.value))
    }

    /// The opening: that was set, or that the first report implies.
    pub(super) fn opening(&self) -> Result<Option<(Time, i64)>, StoreError> {
        if self.opening.is_some() || self.lead()? != Some(Lead::Opening) {
            return Ok(self.set_opening());
        }
        Ok(self.first()?.map(|first| (first.first_time, first.first_value)))
    }

    pub(super) fn opening_note(&self) -> &str {
        self.opening.as_ref().map_or("", |opening| &opening.note)
    }

    /// What the first report of a CUMULATIVE series is.
    pub(super) fn lead(&self) -> Result<Option<Lead>, StoreError> {
        if self.kind != Kind::Cumulative {
            return Ok(None);
        }
        let Some(first) = self.first()? else { return Ok(None) };
        let level = i128::from(first.first_value);
        Ok(Some(match (self.set_opening(), first.first_start) {
            (None, None) => Lead::Opening,
            (None, Some(from)) => Lead::Step { amount: level, from },
            (Some(before), start) => step(before, first.first_value, start),
        }))
    }

    /// What a report adds that follows the ones before `first` (a CUMULATIVE stretch's first report).
    pub(super) fn lead_of(&self, first: &Aggregate) -> Result<Lead, StoreError> {
        match self.series.last_before(first.first_time)? {
            Some(before) => Ok(step((before.time, before.value), first.first_value, first.first_start)),
            None => Ok(self.lead()?.expect("a report before which there is none is the first")),
        }
    }

    /// What happened in `[start, end)`, openings left out. O(log n).
    pub(super) fn flow(&self, window: Interval) -> Result<Flow, StoreError> {
        if self.kind == Kind::Delta {
            let mut flow = Flow::default();
            self.series.visit(window, &mut flow)?;
            return Ok(flow);
        }
        let Some(found) = self.series.span(Ledger::counted(self.kind, window))? else { return Ok(Flow::default()) };
        let (last_time, latest_end) = (Some(found.last_time), Some(found.last_end));
        let flow = Flow { sum: found.sum, steps: found.count, points: found.count, last_time, latest_end };
        if self.kind != Kind::Cumulative {
            return Ok(flow);
        }
        Ok(match self.lead_of(&found)? {
            Lead::Opening => Flow { steps: flow.steps - 1, ..flow },
            Lead::Step { amount, .. } => Flow { sum: flow.sum + amount, ..flow },
        })
    }

    /// What there was before `at` (None: ever). O(log n).
    pub(super) fn before(&self, at: Option<Time>) -> Result<Before, StoreError> {
        let Flow { sum, steps, last_time, latest_end, .. } =
            self.flow(Interval::new(Time::MIN, at.unwrap_or(Time::MAX)))?;
        let bounds = match (last_time, self.first()) {
            (Some(last), first) => first?.map(|first| (first.first_time, last)),
            (None, _) => None,
        };
        let opening = self.opening()?.filter(|(time, _)| at.is_none_or(|at| *time <= at));
        let is_counted = opening.is_some() || steps > 0;
        let total = is_counted.then(|| opening.map_or(0, |(_, value)| i128::from(value)) + sum);
        Ok(Before { total, bounds, latest_end })
    }

    /// Everything that points at these times do to a total, in order of time.
    pub(super) fn events(&self, times: Interval, points_max: usize) -> Result<Vec<Event>, StoreError> {
        let points = self.series.points(times, points_max)?;
        let mut events = Vec::with_capacity(points.len());
        let mut before = None;
        for point in &points {
            let (at, end) = (point.time, point.end);
            events.push(match self.kind {
                Kind::Delta | Kind::Gauge => {
                    Event { at, amount: i128::from(point.value), from: at, end, is_opening: false }
                }
                Kind::Cumulative => {
                    let lead = match before {
                        Some(before) => step(before, point.value, point.start),
                        None => self.lead_of(&Aggregate::of(self.kind, point, None))?,
                    };
                    before = Some((point.time, point.value));
                    match lead {
                        Lead::Opening => {
                            Event { at, amount: i128::from(point.value), from: at, end: at, is_opening: true }
                        }
                        Lead::Step { amount, from } => Event { at, amount, from, end: at, is_opening: false },
                    }
                }
            });
        }
        Ok(events)
    }
}

/// Adds up DELTA points: of a part of a block no more than a flow says. (Measured with
/// what coverage no longer adds up: a total of 200 series in a quarter of the time.)
impl Visitor for Flow {
    fn stretch(&mut self, aggregate: &Aggregate) -> bool {
        self.add(aggregate.sum, aggregate.count, aggregate.last_time, aggregate.last_end);
        true
    }

    fn stretches(&mut self, many: &Stretches<'_>) -> usize {
        let (sum, points) = many.first(many.count());
        if let Some(last) = many.last(many.count()) {
            self.add(sum, points, last.last_time, last.last_end);
        }
        many.count()
    }

    fn point(&mut self, point: &Point) -> ControlFlow<()> {
        self.add(point.value.into(), 1, point.time, point.end);
        ControlFlow::Continue(())
    }

    fn needs(&self) -> Needs {
        Needs::First
    }

    fn takes_points(&self, leaf: &Leaf) -> bool {
        leaf.sums(Kind::Delta).is_some()
    }

    fn points(&mut self, leaf: &Leaf, range: Range<usize>) -> ControlFlow<()> {
        let Some(sums) = leaf.sums(Kind::Delta).filter(|_| !range.is_empty()) else {
            return leaf.columns.points(range).try_for_each(|point| self.point(&point));
        };
        let (sum, last) = (sums.sum(&leaf.columns, range.clone()), range.end - 1);
        self.add(sum.into(), range.len() as u64, leaf.columns.time(last), leaf.columns.end(last));
        ControlFlow::Continue(())
    }
}

impl Flow {
    /// Takes in points that are later than all before.
    fn add(&mut self, sum: i128, points: u64, last_time: Time, latest_end: Time) {
        self.sum += sum;
        self.steps += points;
        self.points += points;
        self.last_time = Some(last_time);
        self.latest_end = self.latest_end.max(Some(latest_end));
    }
}

/// The step from one report (or the opening) to the next.
pub(super) fn step(before: (Time, i64), level: i64, start: Option<Time>) -> Lead {
    let amount = link(before.0, before.1, level, start);
    Lead::Step { amount, from: start.filter(|start| *start >= before.0).unwrap_or(before.0) }
}

/// Turns `time <= T` into `time < later(T)`; no bound stays none.
fn later(time: Time) -> Time {
    if time == Time::MIN { time } else { time.next() }
}
