//! Which of the metric's periods were expected, which are there, and which are missing.

use super::answer::{Coverage, Edges};
use super::group::Group;
use super::ledger::Ledger;
use super::now::Now;
use crate::domain::aggregate::{Aggregate, periods_of};
use crate::domain::calendar::Calendar;
use crate::domain::definition::{Definition, Kind};
use crate::domain::limit::{GAPS_HELD_MAX, GAPS_MAX};
use crate::domain::point::Point;
use crate::domain::time::{Interval, Time};
use crate::engine::view::Visitor;
use crate::store::StoreError;
use std::ops::ControlFlow;

/// What periods are judged by.
pub(super) struct Frame<'a> {
    pub(super) definition: &'a Definition,
    /// None: the metric is irregular, and nothing is expected.
    pub(super) periods: Option<&'a Calendar>,
    pub(super) edges: Edges,
    pub(super) now: &'a Now,
    /// The end of the last period present in all groups together: where an interval without an end ends.
    pub(super) last_end: Option<Time>,
}

/// The end of the last period present in all groups together.
/// None where `edges` have an end: then it is not needed.
pub(super) fn last_end(groups: &[Group], periods: Option<&Calendar>, edges: Edges) -> Result<Option<Time>, StoreError> {
    let (Some(periods), None) = (periods, edges.end) else { return Ok(None) };
    let mut last = None;
    for ledger in groups.iter().flat_map(|group| &group.ledgers) {
        last = last.max(ledger.last()?.map(|last| last.last_period));
    }
    Ok(last.map(|last| periods.window(last).end))
}

impl Frame<'_> {
    /// The periods expected of a series whose first one present starts at `first`: whole ones, one after the other.
    fn expected(&self, kind: Kind, first: Time) -> Option<Interval> {
        let periods = self.periods?;
        let end = self.edges.end.or(self.last_end)?;
        // A period cut by an edge counts where it starts; for CUMULATIVE where it ends.
        let (from, to) = match kind {
            Kind::Cumulative => (self.edges.start.map(|start| periods.window(start).start), periods.window(end).start),
            Kind::Delta | Kind::Gauge => {
                let up = |t: Time| if periods.is_boundary(t) { t } else { periods.window(t).end };
                (self.edges.start.map(up), up(end))
            }
        };
        let ended = self.now.but_ended(periods, to);
        let expected = Interval::new(from.map_or(first, |from| from.max(first)), ended);
        (!expected.is_empty()).then_some(expected)
    }

    /// Adds what a series misses of the periods expected of it.
    fn missing(&self, ledger: &Ledger, kind: Kind, gaps: &mut Vec<Interval>) -> Result<Option<Interval>, StoreError> {
        let Some(periods) = self.periods else { return Ok(None) };
        let Some(first) = ledger.first()? else { return Ok(None) };
        let Some(expected) = self.expected(kind, first.first_period) else { return Ok(None) };
        let mut times = Ledger::counted(kind, expected);
        if kind == Kind::Delta
            && let Some(before) = ledger.series().last_before(expected.start)?.filter(|p| p.end > expected.start)
        {
            times.start = before.time;
        }
        let mut walk = Walk { kind, periods, next: expected.start, end: expected.end, gaps };
        ledger.series().visit(times, &mut walk)?;
        walk.up_to(expected.end);
        Ok(Some(expected))
    }

    /// Whether a series is overdue. Where its last point is lost it may be said all the same: whatever it was.
    fn is_overdue_now(&self, kind: Kind, ledger: &Ledger) -> Result<bool, StoreError> {
        let error = match ledger.last() {
            Ok(last) => return Ok(last.is_some_and(|last| self.is_overdue(kind, last))),
            Err(error) => error,
        };
        let (known, lost) = ledger.series().last_known()?;
        let lost = lost.filter(|(time, _)| *time < Time::MAX).map(|(time, end)| Point { end, ..Point::at(time, 0) });
        let overdue = |point: Point| self.is_overdue(kind, &Aggregate::of(kind, &point, self.periods));
        match (known.map(overdue), lost.map(overdue)) {
            (Some(one), Some(other)) if one == other => Ok(one),
            _ => Err(error),
        }
    }

    fn is_overdue(&self, kind: Kind, whole: &Aggregate) -> bool {
        let due = match (self.periods, self.definition.overdue_after_nanos) {
            (Some(periods), Some(after)) => periods.window(whole.last_period).end.plus(after),
            (Some(periods), None) => {
                let next = periods.window(periods.window(whole.last_period).end);
                periods.window(next.end).end
            }
            (None, Some(after)) => {
                let last = if kind == Kind::Delta { whole.last_end } else { whole.last_time };
                last.plus(after)
            }
            (None, None) => return false,
        };
        self.now.has_come(due.next())
    }
}

/// Notes what is missing between what is present.
struct Walk<'a> {
    kind: Kind,
    periods: &'a Calendar,
    /// Start of the first period not yet accounted for.
    next: Time,
    end: Time,
    gaps: &'a mut Vec<Interval>,
}

impl Walk<'_> {
    /// Everything from `next` up to `start` is missing.
    fn up_to(&mut self, start: Time) {
        let start = start.min(self.end);
        if self.next < start {
            self.gaps.push(Interval::new(self.next, start));
            self.next = start;
        }
    }

    fn present(&mut self, first: Time, last: Time) {
        self.up_to(first);
        self.next = self.next.max(self.periods.window(last).end);
    }
}

impl Visitor for Walk<'_> {
    fn stretch(&mut self, aggregate: &Aggregate) -> bool {
        let covered = Interval::new(aggregate.first_period, aggregate.last_period.next());
        let is_whole = self.periods.count_starts(covered) == aggregate.periods;
        if is_whole {
            self.present(aggregate.first_period, aggregate.last_period);
        }
        is_whole
    }

    fn point(&mut self, point: &Point) -> ControlFlow<()> {
        let (first, last, _) = periods_of(self.kind, point, self.periods);
        self.present(first, last);
        if self.next < self.end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Coverage of a group, but for its first and its last point.
pub(super) fn of(group: &Group, frame: &Frame<'_>) -> Result<Coverage, StoreError> {
    let kind = group.kind;
    let mut coverage = Coverage { never_reported: true, ..Coverage::default() };
    let mut gaps = Gaps::default();
    for ledger in &group.ledgers {
        let never = match ledger.first() {
            Ok(first) => first.is_none(),
            // Where the first point is lost, there may be another.
            Err(error) if ledger.series().last_known()?.0.is_none() => return Err(error),
            Err(_) => false,
        };
        if never {
            continue;
        }
        coverage.never_reported = false;
        coverage.overdue |= frame.is_overdue_now(kind, ledger)?;
        let mut own = Vec::new();
        let (Some(expected), Some(periods)) = (frame.missing(ledger, kind, &mut own)?, frame.periods) else { continue };
        let missing: u64 = own.iter().map(|gap| periods.count_starts(*gap)).sum();
        let count = periods.count_starts(expected);
        coverage.expected_periods += count;
        coverage.present_periods += count - missing;
        let complete = own.first().map_or(expected.end, |gap| gap.start);
        coverage.complete_through = Some(coverage.complete_through.map_or(complete, |through| through.min(complete)));
        gaps.add(own);
    }
    let gaps = gaps.merged();
    coverage.gap_count = gaps.len() as u64;
    coverage.gaps = gaps.into_iter().take(GAPS_MAX).collect();
    Ok(coverage)
}

/// Where some series of a group misses a period: in order, as few intervals as possible.
pub(super) fn gaps(group: &Group, frame: &Frame<'_>) -> Result<Vec<Interval>, StoreError> {
    let mut gaps = Gaps::default();
    for ledger in &group.ledgers {
        let mut own = Vec::new();
        frame.missing(ledger, group.kind, &mut own)?;
        gaps.add(own);
    }
    Ok(gaps.merged())
}

/// Whether a window misses a period: one of `gaps` has a period that starts in it, for CUMULATIVE ends in it.
pub(super) fn misses(kind: Kind, periods: &Calendar, window: Interval, gaps: &[Interval]) -> bool {
    let from = gaps.partition_point(|gap| gap.end <= window.start);
    gaps[from..].iter().take_while(|gap| gap.start < window.end).any(|gap| {
        let both = window.intersect(gap);
        match kind {
            Kind::Cumulative => periods.count_starts(Interval::new(both.start.next(), both.end.next())) > 0,
            Kind::Delta | Kind::Gauge => periods.count_starts(both) > 0,
        }
    })
}

/// Gaps of several series, put together before they are too many.
#[derive(Default)]
struct Gaps(Vec<Interval>);

impl Gaps {
    fn add(&mut self, gaps: Vec<Interval>) {
        self.0.extend(gaps);
        if self.0.len() > GAPS_HELD_MAX {
            self.merge();
        }
    }

    fn merge(&mut self) {
        self.0.sort_unstable();
        let mut merged: Vec<Interval> = Vec::new();
        for gap in self.0.drain(..) {
            match merged.last_mut() {
                Some(last) if last.end >= gap.start => last.end = last.end.max(gap.end),
                _ => merged.push(gap),
            }
        }
        self.0 = merged;
    }

    fn merged(mut self) -> Vec<Interval> {
        self.merge();
        self.0
    }
}
