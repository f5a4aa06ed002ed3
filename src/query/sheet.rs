//! What a group comes to in each of some windows, one after the other: one walk a series, which opens only what
//! lies across a window's edge.

use super::group::Group;
use super::ledger::{Lead, Ledger, step};
use crate::domain::aggregate::Aggregate;
use crate::domain::definition::Kind;
use crate::domain::point::Point;
use crate::domain::time::{Interval, Time};
use crate::engine::view::{Leaf, Visitor, summed};
use crate::planted::{self, Bug};
use crate::store::StoreError;
use std::ops::{ControlFlow, Range};

/// What a group comes to in one window.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Of the steps that count in it.
    pub(super) flow: i128,
    pub(super) steps: u64,
    pub(super) points: u64,
    /// Openings that count from within it.
    pub(super) opened: i128,
    pub(super) openings: u64,
    /// A period or a step lies across one of its edges.
    pub(super) is_straddled: bool,
    /// DELTA: the latest end of the points that count in it.
    latest_end: Time,
    /// GAUGE: all its levels. Boxed: the lines of other kinds are gone through once a series.
    pub(super) levels: Option<Box<Aggregate>>,
}

/// What a group comes to in windows that follow each other.
pub(super) struct Sheet {
    pub(super) lines: Vec<Line>,
    /// The total at the first window's start.
    pub(super) total_before: Option<i128>,
    /// DELTA: the latest end of all points before the first window.
    pub(super) latest_end_before: Time,
    /// GAUGE: the last level before the first window.
    pub(super) level_before: Option<i64>,
}

impl Line {
    fn new() -> Line {
        Line {
            flow: 0,
            steps: 0,
            points: 0,
            opened: 0,
            openings: 0,
            is_straddled: false,
            latest_end: Time::MIN,
            levels: None,
        }
    }

    /// DELTA: the latest end of the points that count in it.
    pub(super) fn latest_end(&self) -> Time {
        self.latest_end
    }
}

impl Sheet {
    /// Reckons the windows: at least one, each beginning where the one before ends.
    /// `totals`: what lies before them is asked for too.
    pub(super) fn of(group: &Group, windows: &[Interval], totals: bool) -> Result<Sheet, StoreError> {
        let all = Interval::new(windows[0].start, windows[windows.len() - 1].end);
        let mut sheet = Sheet {
            lines: vec![Line::new(); windows.len()],
            total_before: None,
            latest_end_before: Time::MIN,
            level_before: None,
        };
        let from_start = all.start == Time::MIN;
        if totals && !from_start && group.kind != Kind::Gauge {
            sheet.total_before = group.total(Some(all.start))?;
        }
        for ledger in &group.ledgers {
            sheet.open(ledger, windows)?;
            if !from_start && group.kind != Kind::Cumulative {
                let before = ledger.series().last_before(all.start)?;
                sheet.latest_end_before = sheet.latest_end_before.max(before.map_or(Time::MIN, |point| point.end));
                sheet.level_before = before.map(|point| point.value);
            }
            Walk::of(ledger, group.kind, windows, &mut sheet.lines, all)?;
        }
        if group.kind == Kind::Delta {
            sheet.straddle(windows);
        }
        Ok(sheet)
    }

    /// Notes in which window the series' opening begins to count: the one with `start < time <= end`.
    fn open(&mut self, ledger: &Ledger, windows: &[Interval]) -> Result<(), StoreError> {
        let Some((time, value)) = ledger.opening()? else { return Ok(()) };
        let index = windows.partition_point(|window| window.end < time);
        if index < windows.len() && windows[index].start < time {
            self.lines[index].opened += i128::from(value);
            self.lines[index].openings += 1;
        }
        Ok(())
    }

    /// Marks the windows that a DELTA period touches which lies across an edge.
    fn straddle(&mut self, windows: &[Interval]) {
        let mut latest = self.latest_end_before;
        for (line, window) in self.lines.iter_mut().zip(windows) {
            line.is_straddled = latest > window.start || line.latest_end > window.end;
            latest = latest.max(line.latest_end);
        }
    }
}

/// Puts the points of one series into the lines.
struct Walk<'a> {
    kind: Kind,
    windows: &'a [Interval],
    lines: &'a mut [Line],
    /// The window that is being filled.
    index: usize,
    /// CUMULATIVE: what the next report is a step from.
    before: Before,
}

enum Before {
    /// The report before.
    Report((Time, i64)),
    /// None: what the first report of all is.
    First(Option<Lead>),
}

impl Walk<'_> {
    fn of(
        ledger: &Ledger,
        kind: Kind,
        windows: &[Interval],
        lines: &mut [Line],
        all: Interval,
    ) -> Result<(), StoreError> {
        let times = Ledger::counted(kind, all);
        let mut before = Before::First(ledger.lead()?);
        if kind == Kind::Cumulative
            && let Some(report) = ledger.series().last_before(times.start)?
        {
            before = Before::Report((report.time, report.value));
        }
        let mut walk = Walk { kind, windows, lines, index: 0, before };
        ledger.series().visit(times, &mut walk)?;
        if kind == Kind::Cumulative
            && all.end < Time::MAX
            && let Some(next) = ledger.series().first_from(times.end)?
            && let Lead::Step { from, .. } = walk.lead(&next.value, next.start)
        {
            walk.touch(windows.len(), from);
        }
        Ok(())
    }

    fn lead(&self, level: &i64, start: Option<Time>) -> Lead {
        match self.before {
            Before::Report(before) => step(before, *level, start),
            Before::First(lead) => lead.expect("a series with a report has a first one"),
        }
    }

    /// The window in which a point counts.
    fn window_of(&mut self, time: Time) -> usize {
        let is_past = |window: &Interval| match self.kind {
            Kind::Cumulative => window.end < time,
            Kind::Delta | Kind::Gauge if planted::is(Bug::WindowEnd) => window.end < time,
            Kind::Delta | Kind::Gauge => window.end <= time,
        };
        while self.index + 1 < self.windows.len() && is_past(&self.windows[self.index]) {
            self.index += 1;
        }
        self.index
    }

    /// Marks the windows before `index` that a step reaches back into, and the one of `index` if it begins before it.
    fn touch(&mut self, index: usize, from: Time) {
        if index < self.windows.len() && from < self.windows[index].start {
            self.lines[index].is_straddled = true;
        }
        for earlier in (0..index).rev().take_while(|&earlier| self.windows[earlier].end > from) {
            self.lines[earlier].is_straddled = true;
        }
    }

    /// Puts a stretch that counts in one window into its line.
    fn put(&mut self, index: usize, found: &Aggregate) {
        let lead = (self.kind == Kind::Cumulative).then(|| self.lead(&found.first_value, found.first_start));
        let line = &mut self.lines[index];
        line.points += found.count;
        line.flow += found.sum;
        line.steps += found.count;
        match self.kind {
            Kind::Delta => line.latest_end = line.latest_end.max(found.last_end),
            Kind::Gauge => {
                line.levels = Some(Box::new(match &line.levels {
                    Some(levels) => levels.then(Kind::Gauge, found),
                    None => *found,
                }));
            }
            Kind::Cumulative => self.before = Before::Report((found.last_time, found.last_value)),
        }
        match lead {
            Some(Lead::Opening) => line.steps -= 1,
            Some(Lead::Step { amount, from }) => {
                line.flow += amount;
                self.touch(index, from);
            }
            None => {}
        }
    }
}

impl Visitor for Walk<'_> {
    fn stretch(&mut self, aggregate: &Aggregate) -> bool {
        let index = self.window_of(aggregate.first_time);
        let end = self.windows[index].end;
        let fits = aggregate.last_time < end || (self.kind == Kind::Cumulative && aggregate.last_time == end);
        let fits = fits || end == Time::MAX;
        if fits {
            self.put(index, aggregate);
        }
        fits
    }

    fn point(&mut self, point: &Point) -> ControlFlow<()> {
        let index = self.window_of(point.time);
        self.put(index, &Aggregate::of(self.kind, point, None));
        ControlFlow::Continue(())
    }

    fn takes_points(&self, leaf: &Leaf) -> bool {
        leaf.sums(self.kind).is_some()
    }

    /// Those that have running sums window by window.
    fn points(&mut self, leaf: &Leaf, range: Range<usize>) -> ControlFlow<()> {
        let columns = &leaf.columns;
        let Some(sums) = leaf.sums(self.kind) else {
            return columns.points(range).try_for_each(|point| self.point(&point));
        };
        let mut at = range.start;
        let mut before = sums.before(columns, at);
        while at < range.end {
            let index = self.window_of(columns.time(at));
            let in_window = self.windows[index..].first().filter(|_| index + 1 < self.windows.len());
            let end = in_window.map_or(range.end, |window| columns.at_or_after(window.end).clamp(at + 1, range.end));
            if self.kind == Kind::Delta {
                let line = &mut self.lines[index];
                line.points += (end - at) as u64;
                line.steps += (end - at) as u64;
                let with_it = sums.before(columns, end);
                line.flow += i128::from(with_it - before);
                before = with_it;
                line.latest_end = line.latest_end.max(columns.end(end - 1));
            } else if let Some(levels) = summed(self.kind, columns, at..end, None) {
                self.put(index, &levels);
            }
            at = end;
        }
        ControlFlow::Continue(())
    }
}
