//! `QueryRange` and `QueryCumulative`: what happened in each window, and the total at its end.

use super::answer::{Edges, Levels, Mark, Page, WindowRow};
use super::ask::Fill;
use super::coverage::{self, Frame, gaps, misses};
use super::cumulative::Totals;
use super::fault::QueryError;
use super::group::{Group, facts_bytes, key_bytes};
use super::page::{Position, Room};
use super::plan::{self, RangePlan};
use super::sheet::{Line, Sheet};
use super::window::Windows;
use crate::domain::definition::Kind;
use crate::domain::time::{Interval, Time};
use crate::store::StoreError;

/// Answers a page of the plan.
pub fn run(plan: &RangePlan) -> Result<Page<WindowRow>, QueryError> {
    let scene = &plan.scene;
    let given = Edges { start: plan.start, end: plan.end };
    // Totals rest on everything before the first window.
    let start = given.start.filter(|_| plan.totals == plan::Totals::Nothing);
    let groups = scene.groups(Edges { start, ..given }.interval())?;
    // Only edges that are not given are looked for.
    let given_all = given.start.is_some() && given.end.is_some();
    let (mut first, mut last) = (None, None);
    for group in groups.iter().filter(|_| !given_all) {
        first = [first, group.first()?].into_iter().flatten().min();
        last = last.max(group.last()?);
    }
    let windows = Windows::new(scene.kind(), plan.calendar.as_ref(), plan.restart.as_ref(), given, first.zip(last));
    let frame = Frame {
        definition: scene.definition(),
        periods: scene.periods(),
        edges: windows.edges(),
        now: &scene.now,
        last_end: coverage::last_end(&groups, scene.periods(), windows.edges())?,
    };
    let zone = plan.calendar.as_ref().map(|calendar| calendar.zone().name());
    let answer = scene.answer(windows.edges(), zone);
    let mut range =
        Range { plan, windows, frame, room: scene.room(), page: Page { answer, rows: Vec::new(), next: None } };
    let begin = scene.position;
    for (index, group) in groups.iter().enumerate().skip(usize::try_from(begin.group).unwrap_or(usize::MAX)) {
        let from = begin.row.filter(|_| index as u64 == begin.group).map(Time);
        if let Some(row) = range.group(group, from)? {
            range.page.next = Some(Position { group: index as u64, row });
            break;
        }
    }
    Ok(range.page)
}

/// A page that is being filled.
struct Range<'a> {
    plan: &'a RangePlan,
    windows: Windows<'a>,
    frame: Frame<'a>,
    room: Room,
    page: Page<WindowRow>,
}

impl Range<'_> {
    /// Puts a group's windows on the page, from the one that starts at `from`, and its facts before the first.
    /// `Some`: where the next page begins in the group.
    fn group(&mut self, group: &Group, from: Option<Time>) -> Result<Option<Option<i64>>, QueryError> {
        let series = group.ledgers.len().max(1);
        let windows_max = self.room.rows_of_work(series);
        if windows_max == 0 && !self.windows.list(from, 1).is_empty() {
            return Ok(Some(from.map(|from| from.0)));
        }
        let names = self.page.answer.group_by.clone();
        let bytes_of = |row: &WindowRow| key_bytes(&names, &group.key) + row_bytes(row);
        let windows = self.plan.scene.windows(windows_max, |most| self.windows.list(from, most))?;
        let mut rows = if windows.is_empty() { Vec::new() } else { self.rows(group, &windows)? };
        if from.is_none() {
            let facts = group.facts(&self.frame)?.between(group.bounds(self.frame.edges)?);
            let bytes = facts_bytes(&names, &self.plan.scene.definition().label_names, &facts);
            // Facts stand on the page of the group's first row; without rows, where there is room.
            if !self.room.fits(usize::from(!rows.is_empty()), bytes + rows.first().map_or(0, bytes_of)) {
                return Ok(Some(None));
            }
            self.room.take(0, bytes);
            self.page.answer.groups.push(facts);
        }
        self.room.work(series * windows.len());
        let fitting = rows.iter().take_while(|row| self.room.take(1, bytes_of(row))).count();
        let next = rows.get(fitting).map(|row| row.window.start.map(|start| start.0));
        rows.truncate(fitting);
        self.page.rows.append(&mut rows);
        if next.is_some() {
            return Ok(next);
        }
        Ok(windows.last().and_then(|last| self.windows.after(*last)).map(|next| Some(next.0)))
    }

    fn rows(&self, group: &Group, windows: &[Interval]) -> Result<Vec<WindowRow>, QueryError> {
        let sheet = Sheet::of(group, windows, self.plan.totals == plan::Totals::AtEnd)?;
        let all = Interval::new(windows[0].start, windows[windows.len() - 1].end);
        let gaps = gaps(group, &Frame { edges: Edges::of(all), ..self.frame })?;
        let mut totals = Totals::of(self.plan.totals, group, &sheet, &self.windows, all.start)?;
        let mut level = sheet.level_before;
        let mut rows = Vec::with_capacity(windows.len());
        for (&window, line) in windows.iter().zip(&sheet.lines) {
            let mut row = self.row(group, window, line, &gaps);
            level = self.fill(group, window, line, level, &mut row)?;
            totals.put(window, line, self.windows.is_restart(window), &mut row);
            row.marks.sort_unstable();
            rows.push(row);
        }
        Ok(rows)
    }

    fn row(&self, group: &Group, window: Interval, line: &Line, gaps: &[Interval]) -> WindowRow {
        let kind = group.kind;
        let unfinished = window.end < Time::MAX && !self.plan.scene.now.has_come(window.end);
        let incomplete = self.frame.periods.is_some_and(|periods| misses(kind, periods, window, gaps));
        let marks = [
            (line.is_straddled, Mark::Straddled),
            (unfinished, Mark::Unfinished),
            (self.windows.is_clipped(window), Mark::Clipped),
            (incomplete, Mark::Incomplete),
        ];
        WindowRow {
            group: group.key.clone(),
            window: Edges::of(window),
            flow: (kind != Kind::Gauge && line.steps > 0).then_some(line.flow),
            total: None,
            running: None,
            levels: (kind == Kind::Gauge).then(|| Box::new(levels(line))),
            point_count: line.points,
            marks: marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect(),
        }
    }

    /// Fills in what was asked for; the last level so far.
    fn fill(
        &self,
        group: &Group,
        window: Interval,
        line: &Line,
        level: Option<i64>,
        row: &mut WindowRow,
    ) -> Result<Option<i64>, StoreError> {
        let begun = self.plan.scene.now.has_come(window.start);
        let untouched = line.points == 0 && !line.is_straddled;
        let fits = self.plan.fill != Fill::Nothing
            && begun
            && untouched
            && group.first()?.is_some_and(|first| first < window.end);
        if let (Some(levels), Some(found)) = (&mut row.levels, level)
            && fits
            && self.plan.fill == Fill::Previous
        {
            levels.last = Some(found);
            row.marks.push(Mark::Filled);
        }
        if fits && self.plan.fill == Fill::Zero && group.kind != Kind::Gauge {
            row.flow = Some(0);
            row.marks.push(Mark::Filled);
        }
        Ok(line.levels.as_ref().map_or(level, |levels| Some(levels.last_value)))
    }
}

fn levels(line: &Line) -> Levels {
    line.levels.as_ref().map_or_else(Levels::default, |found| Levels {
        last: Some(found.last_value),
        min: Some(found.min),
        max: Some(found.max),
        mean: Some((found.sum, found.count)),
    })
}

/// Bytes that a row takes at most, beside its group.
fn row_bytes(row: &WindowRow) -> usize {
    let figures = [row.flow, row.total, row.running].into_iter().flatten().map(figure_bytes).sum::<usize>();
    figures + row.levels.as_ref().map_or(0, |_| 140) + row.marks.len() + 70
}

/// Bytes that a figure takes at most.
pub(super) fn figure_bytes(units: i128) -> usize {
    units.unsigned_abs().checked_ilog10().map_or(1, |digits| digits as usize + 1).max(10) + 5
}
