//! The windows of a question: those of a calendar, cut at restarts and at the edges that were given.

use super::answer::Edges;
use crate::domain::calendar::Calendar;
use crate::domain::definition::Kind;
use crate::domain::time::{Interval, Time};

/// The windows of a question, found one after the other: none is held that is not asked for.
pub(super) struct Windows<'a> {
    kind: Kind,
    /// None: one window.
    calendar: Option<&'a Calendar>,
    restart: Option<&'a Calendar>,
    edges: Edges,
}

impl<'a> Windows<'a> {
    /// Resolves the edges that were not given to the windows that hold the first and the last thing there is.
    pub(super) fn new(
        kind: Kind,
        calendar: Option<&'a Calendar>,
        restart: Option<&'a Calendar>,
        given: Edges,
        first_and_last: Option<(Time, Time)>,
    ) -> Windows<'a> {
        let mut windows = Windows { kind, calendar, restart, edges: given };
        if let (true, Some((first, last))) = (calendar.is_some(), first_and_last) {
            windows.edges = Edges {
                start: given.start.or_else(|| Some(windows.holding(first).start)),
                end: given.end.or_else(|| Some(windows.holding(last).end)),
            };
        }
        windows
    }

    /// What all windows cover.
    pub(super) fn edges(&self) -> Edges {
        self.edges
    }

    /// The window in which something at `at` counts: a report of midnight is of the day that ended.
    fn holding(&self, at: Time) -> Interval {
        self.cut(if self.kind == Kind::Cumulative { at.plus(-1) } else { at })
    }

    /// The calendar's window that holds `t`, cut at restarts.
    fn cut(&self, t: Time) -> Interval {
        let window = self.calendar.map_or(Interval::ALL, |calendar| calendar.window(t));
        self.restart.map_or(window, |restart| window.intersect(&restart.window(t)))
    }

    /// Up to `windows_max` windows, in order, from the one that starts at `from` (None: from the first). An unset
    /// edge is `Time::MIN` or `Time::MAX`.
    pub(super) fn list(&self, from: Option<Time>, windows_max: usize) -> Vec<Interval> {
        let all = self.edges.interval();
        if self.calendar.is_none() {
            return vec![all];
        }
        if self.edges.start.is_none() || self.edges.end.is_none() {
            return Vec::new(); // there is nothing, so that nothing says where windows begin or end
        }
        let mut windows = Vec::new();
        let mut start = from.unwrap_or(all.start).max(all.start);
        while start < all.end && windows.len() < windows_max {
            let end = self.cut(start).end.min(all.end);
            windows.push(Interval::new(start, end));
            start = end;
        }
        windows
    }

    /// Where the window after this one starts; None: it is the last.
    pub(super) fn after(&self, window: Interval) -> Option<Time> {
        (window.end < self.edges.interval().end).then_some(window.end)
    }

    /// Whether an edge that was given cut it: only the first and the last can be.
    pub(super) fn is_clipped(&self, window: Interval) -> bool {
        let all = self.edges.interval();
        self.calendar.is_some()
            && (window.start == all.start || window.end == all.end)
            && (self.cut(window.start).start != window.start || self.cut(window.end.plus(-1)).end != window.end)
    }

    /// Whether it begins at a restart.
    pub(super) fn is_restart(&self, window: Interval) -> bool {
        self.restart.is_some_and(|restart| restart.is_boundary(window.start))
    }

    /// The last restart strictly before `end`.
    pub(super) fn restart_before(&self, end: Time) -> Option<Time> {
        self.restart.map(|restart| restart.window(end.plus(-1)).start)
    }
}
