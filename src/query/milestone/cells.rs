//! What series come to in each of some cells of time that follow each other: one walk a series, however many the cells.
//! A milestone search cuts time with it.

use super::super::ledger::{Lead, Ledger};
use crate::domain::aggregate::{Aggregate, link};
use crate::domain::definition::Kind;
use crate::domain::point::Point;
use crate::domain::time::{Interval, Time};
use crate::engine::view::{Leaf, Visitor};
use crate::store::StoreError;
use std::ops::{ControlFlow, Range};

/// A cell of time, and what happens in it.
pub(super) struct Cell {
    pub(super) instants: Interval,
    /// The series that have something in it.
    pub(super) members: Vec<usize>,
    pub(super) points: u64,
    pub(super) sum: i128,
    /// The total rises by no more than this at any time.
    pub(super) bound: i128,
    /// First and last instant; None: nothing happens.
    pub(super) span: Option<(Time, Time)>,
    pub(super) latest_end: Option<Time>,
    pub(super) openings: u64,
}

impl Cell {
    pub(super) fn new(instants: Interval) -> Cell {
        Cell { instants, members: Vec::new(), points: 0, sum: 0, bound: 0, span: None, latest_end: None, openings: 0 }
    }

    /// As many cells as asked for, or fewer, equally long but for the last, from the first instant to the last.
    pub(super) fn cut(first: Time, last: Time, cells: usize) -> Vec<Cell> {
        let end = last.next();
        let length = i128::from(end.0) - i128::from(first.0);
        let step = (length + cells as i128 - 1) / cells as i128;
        let edge = |k: usize| {
            let at = i128::from(first.0) + step * k as i128;
            i64::try_from(at).map_or(end, |at| Time(at).min(end))
        };
        let cells = (0..cells).map(|k| Interval::new(edge(k), edge(k + 1)));
        cells.filter(|instants| !instants.is_empty()).map(Cell::new).collect()
    }

    /// Something of a series; of one series after the other.
    fn add(&mut self, member: usize, first: Time, last: Time, sum: i128, high: i128) {
        if self.members.last() != Some(&member) {
            self.members.push(member);
        }
        self.sum += sum;
        self.bound += high.max(0);
        let (from, to) = self.span.unwrap_or((first, last));
        self.span = Some((from.min(first), to.max(last)));
    }
}

/// Adds to the cells what happens to a series in them. `limit`: points from there on do not count.
/// Cost: a descent, and of each cell some nanoseconds where the points have running sums that never fall, else up to
/// 128 points.
pub(super) fn weigh(
    cells: &mut [Cell],
    member: usize,
    ledger: &Ledger,
    kind: Kind,
    limit: Time,
) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (cells.first(), cells.last()) else { return Ok(()) };
    let times = Interval::new(first.instants.start, last.instants.end.min(limit));
    if let Some((time, value)) = ledger.set_opening() {
        let index = cells.partition_point(|cell| cell.instants.end <= time);
        if let Some(cell) = cells.get_mut(index).filter(|cell| cell.instants.contains(time)) {
            cell.openings += 1;
            cell.add(member, time, time, value.into(), value.into());
        }
    }
    if times.is_empty() {
        return Ok(());
    }
    let before = match kind {
        Kind::Cumulative => Before::of(ledger, times.start)?,
        Kind::Delta | Kind::Gauge => Before::Nothing,
    };
    let mut walk = Walk { kind, cells, member, index: 0, before, stretch: None };
    ledger.series().visit(times, &mut walk)?;
    walk.put_stretch();
    Ok(())
}

/// What the next report is a step from.
enum Before {
    /// DELTA: points are their own steps.
    Nothing,
    Report(Time, i64),
    /// It is the first one, and adds so much.
    First(i128),
}

impl Before {
    fn of(ledger: &Ledger, start: Time) -> Result<Before, StoreError> {
        if let Some(report) = ledger.series().last_before(start)? {
            return Ok(Before::Report(report.time, report.value));
        }
        Ok(match ledger.lead()? {
            Some(Lead::Opening) => Before::First(ledger.first()?.map_or(0, |first| first.first_value.into())),
            Some(Lead::Step { amount, .. }) => Before::First(amount),
            None => Before::Nothing,
        })
    }

    fn lead(&self, first: &Aggregate) -> i128 {
        match self {
            Before::Nothing => 0,
            Before::Report(time, value) => link(*time, *value, first.first_value, first.first_start),
            Before::First(amount) => *amount,
        }
    }
}

/// Puts the points of one series into the cells.
struct Walk<'a> {
    kind: Kind,
    cells: &'a mut [Cell],
    member: usize,
    /// The cell that is being filled.
    index: usize,
    before: Before,
    /// What was found of it so far.
    stretch: Option<Stretch>,
}

/// What points of one series that follow each other come to.
struct Stretch {
    first: Time,
    last: Time,
    last_end: Time,
    points: u64,
    sum: i128,
    high: i128,
}

impl Walk<'_> {
    /// The cell that holds a time, no earlier than that of the time before.
    fn cell_of(&mut self, time: Time) -> usize {
        if self.cells[self.index].instants.end <= time {
            self.put_stretch();
            self.index += self.cells[self.index..].partition_point(|cell| cell.instants.end <= time);
        }
        self.index
    }

    fn put_stretch(&mut self) {
        if let Some(Stretch { first, last, last_end, points, sum, high }) = self.stretch.take() {
            let cell = &mut self.cells[self.index];
            cell.add(self.member, first, last, sum, high);
            cell.points += points;
            cell.latest_end = cell.latest_end.max(Some(last_end));
        }
    }

    /// Points of the cell that is being filled.
    fn join(&mut self, found: Stretch) {
        self.stretch = Some(match self.stretch.take() {
            None => found,
            Some(before) => Stretch {
                first: before.first,
                last: found.last,
                last_end: before.last_end.max(found.last_end),
                points: before.points + found.points,
                sum: before.sum + found.sum,
                high: before.high.max(before.sum + found.high),
            },
        });
    }

    fn put(&mut self, found: &Aggregate) {
        let lead = self.before.lead(found);
        if self.kind == Kind::Cumulative {
            self.before = Before::Report(found.last_time, found.last_value);
        }
        self.join(Stretch {
            first: found.first_time,
            last: found.last_time,
            last_end: found.last_end,
            points: found.count,
            sum: lead + found.sum,
            high: lead + found.high,
        });
    }
}

impl Visitor for Walk<'_> {
    fn stretch(&mut self, aggregate: &Aggregate) -> bool {
        let index = self.cell_of(aggregate.first_time);
        let fits = aggregate.last_time < self.cells[index].instants.end;
        if fits {
            self.put(aggregate);
        }
        fits
    }

    fn point(&mut self, point: &Point) -> ControlFlow<()> {
        self.cell_of(point.time);
        self.put(&Aggregate::of(self.kind, point, None));
        ControlFlow::Continue(())
    }

    fn takes_points(&self, leaf: &Leaf) -> bool {
        leaf.sums(self.kind).is_some_and(|sums| sums.never_falls)
    }

    /// Cell by cell, where the sum of points is the highest that they add.
    fn points(&mut self, leaf: &Leaf, range: Range<usize>) -> ControlFlow<()> {
        let columns = &leaf.columns;
        let Some(sums) = leaf.sums(self.kind).filter(|sums| sums.never_falls) else {
            return columns.points(range).try_for_each(|point| self.point(&point));
        };
        let mut at = range.start;
        let mut before = sums.before(columns, at);
        while at < range.end {
            let index = self.cell_of(columns.time(at));
            let end = columns.at_or_after(self.cells[index].instants.end).clamp(at + 1, range.end);
            let with_it = sums.before(columns, end);
            let sum = (with_it - before).into();
            self.join(Stretch {
                first: columns.time(at),
                last: columns.time(end - 1),
                last_end: columns.end(end - 1),
                points: (end - at) as u64,
                sum,
                high: sum,
            });
            (at, before) = (end, with_it);
        }
        ControlFlow::Continue(())
    }
}
