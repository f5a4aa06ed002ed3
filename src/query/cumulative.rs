//! The totals that stand beside flows: the total at each window's end, or one that begins anew at every restart.

use super::answer::{Mark, WindowRow};
use super::group::Group;
use super::plan;
use super::sheet::{Line, Sheet};
use super::window::Windows;
use crate::domain::definition::Kind;
use crate::domain::time::{Interval, Time};
use crate::store::StoreError;

/// Carries a total from window to window.
pub(super) struct Totals {
    which: plan::Totals,
    kind: Kind,
    /// At the end of the window before; running: since the last restart.
    total: Option<i128>,
    /// DELTA: the latest end of the periods in it.
    latest_end: Time,
}

impl Totals {
    /// Before the first window, which starts at `start`.
    pub(super) fn of(
        which: plan::Totals,
        group: &Group,
        sheet: &Sheet,
        windows: &Windows<'_>,
        start: Time,
    ) -> Result<Totals, StoreError> {
        let mut totals =
            Totals { which, kind: group.kind, total: sheet.total_before, latest_end: sheet.latest_end_before };
        if which == plan::Totals::Running
            && let Some(restart) = windows.restart_before(start.next())
        {
            // What the first window goes on from: nothing, where it begins at the restart.
            let flow = group.flow(Interval::new(restart, start))?;
            totals.total = (flow.steps > 0).then_some(flow.sum);
            totals.latest_end = Time::MIN;
            if group.kind == Kind::Delta {
                totals.latest_end = flow.latest_end.unwrap_or(Time::MIN);
            }
        }
        Ok(totals)
    }

    /// Puts the total at the window's end into its row.
    pub(super) fn put(&mut self, window: Interval, line: &Line, is_restart: bool, row: &mut WindowRow) {
        if self.which == plan::Totals::Running {
            if is_restart {
                (self.total, self.latest_end) = (None, Time::MIN);
                row.marks.push(Mark::Restarted);
            }
            if line.steps > 0 {
                self.total = Some(self.total.unwrap_or(0) + line.flow);
            }
            row.running = self.total;
        } else if line.steps > 0 || line.openings > 0 {
            self.total = Some(self.total.unwrap_or(0) + line.flow + line.opened);
        }
        if self.which == plan::Totals::Nothing {
            return;
        }
        if self.which == plan::Totals::AtEnd {
            row.total = self.total;
        }
        self.latest_end = self.latest_end.max(line.latest_end());
        if self.kind == Kind::Delta && self.latest_end > window.end {
            row.marks.push(Mark::MidPeriod);
        }
    }
}
