//! Milestones of a single series: one descent of its tree a milestone.

use super::super::ledger::{Lead, Ledger, step};
use super::Step;
use crate::domain::definition::Kind;
use crate::domain::time::{Interval, Time};
use crate::store::StoreError;

/// A search in a single series.
pub(super) struct One<'a> {
    ledger: &'a Ledger,
    kind: Kind,
    end: Option<Time>,
    stage: Stage,
    /// After everything before `from`; CUMULATIVE: up to and including the report at `from`.
    total: Option<i128>,
    from: Time,
    /// The opening that was set; 0 where there is none.
    opened: i128,
}

/// What the search comes to next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    FirstReport,
    Points,
}

impl<'a> One<'a> {
    pub(super) fn new(ledger: &'a Ledger, kind: Kind, end: Option<Time>) -> One<'a> {
        One { ledger, kind, end, stage: Stage::Opening, total: None, from: Time::MIN, opened: 0 }
    }

    /// The first step at or above `level`, from the last one found on.
    pub(super) fn reach(&mut self, level: i128) -> Result<Option<Step>, StoreError> {
        if self.stage == Stage::Opening {
            self.stage = if self.kind == Kind::Cumulative { Stage::FirstReport } else { Stage::Points };
            if let Some(step) = self.opening().filter(|step| step.after >= level) {
                return Ok(Some(step));
            }
        }
        if self.stage == Stage::FirstReport {
            self.stage = Stage::Points;
            if let Some(step) = self.first_report()?.filter(|step| step.after >= level) {
                return Ok(Some(step));
            }
        }
        match self.kind {
            Kind::Delta => self.reach_by_point(level),
            Kind::Cumulative => self.reach_by_report(level),
            Kind::Gauge => self.reach_by_level(level),
        }
    }

    fn limit(&self) -> Time {
        Ledger::limit(self.kind, self.end)
    }

    fn opening(&mut self) -> Option<Step> {
        let (time, value) = self.ledger.set_opening().filter(|_| self.kind != Kind::Gauge)?;
        if self.end.is_some_and(|end| time > end) {
            return None;
        }
        let after = i128::from(value);
        (self.total, self.opened) = (Some(after), after);
        Some(Step { at: time, reached_after: None, reached_by: time, in_opening: true, before: None, after })
    }

    fn first_report(&mut self) -> Result<Option<Step>, StoreError> {
        let Some(first) = self.ledger.first()?.filter(|first| first.first_time < self.limit()) else { return Ok(None) };
        let (at, before) = (first.first_time, self.total);
        let (amount, reached_after) = match self.ledger.lead()? {
            None => return Ok(None),
            Some(Lead::Opening) => (i128::from(first.first_value), None),
            Some(Lead::Step { amount, from }) => (amount, Some(from)),
        };
        let after = before.unwrap_or(0) + amount;
        (self.total, self.from) = (Some(after), at);
        Ok(Some(Step { at, reached_after, reached_by: at, in_opening: reached_after.is_none(), before, after }))
    }

    fn reach_by_point(&mut self, level: i128) -> Result<Option<Step>, StoreError> {
        // Where it never falls a search from the first point on finds the same, and need not find its way to `from` first:
        // half the cost.
        let (from, before) = match self.ledger.never_falls() {
            true => (Time::MIN, self.opened),
            false => (self.from, self.total.unwrap_or(0)),
        };
        let interval = Interval::new(from, self.limit());
        let Some(found) = self.ledger.series().reach(interval, level - before)? else { return Ok(None) };
        let point = found.point;
        let is_first = self.total.is_none() && self.ledger.first()?.is_some_and(|first| first.first_time == point.time);
        let after = before + found.after;
        (self.total, self.from) = (Some(after), point.time.next());
        Ok(Some(Step {
            at: point.time,
            reached_after: Some(point.time),
            reached_by: point.end,
            in_opening: false,
            before: (!is_first).then_some(before + found.before),
            after,
        }))
    }

    fn reach_by_report(&mut self, level: i128) -> Result<Option<Step>, StoreError> {
        // The prefix sums of an interval begin with 0 at its first report: that of `from`, which is in the total.
        let Some(before) = self.total.filter(|_| self.from > Time::MIN) else { return Ok(None) };
        let interval = Interval::new(self.from, self.limit());
        let Some(found) = self.ledger.series().reach(interval, level - before)? else { return Ok(None) };
        let point = found.point;
        let previous = self.ledger.series().last_before(point.time)?;
        let previous = previous.expect("a report after the first has one before it");
        let Lead::Step { from, .. } = step((previous.time, previous.value), point.value, point.start) else {
            unreachable!("a report after another is a step")
        };
        let after = before + found.after;
        (self.total, self.from) = (Some(after), point.time);
        Ok(Some(Step {
            at: point.time,
            reached_after: Some(from),
            reached_by: point.time,
            in_opening: false,
            before: Some(before + found.before),
            after,
        }))
    }

    fn reach_by_level(&mut self, level: i128) -> Result<Option<Step>, StoreError> {
        let interval = Interval::new(self.from, self.limit());
        let Some(found) = self.ledger.series().reach(interval, level)? else { return Ok(None) };
        let point = found.point;
        let previous = self.ledger.series().last_before(point.time)?;
        self.from = point.time.next();
        Ok(Some(Step {
            at: point.time,
            reached_after: previous.map(|previous| previous.time),
            reached_by: point.time,
            in_opening: false,
            before: previous.map(|previous| i128::from(previous.value)),
            after: i128::from(point.value),
        }))
    }
}
