//! Answers: figures in units of 10^-scale, not yet text.

use super::page::Position;
use crate::domain::definition::Definition;
use crate::domain::point::Labels;
use crate::domain::time::{Interval, Time};
use std::sync::Arc;

/// A group's values of the `group_by` labels, in that order.
pub type GroupKey = Arc<[Box<str>]>;

/// An interval of which each edge may be unset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Edges {
    /// None: no bound.
    pub start: Option<Time>,
    /// None: no bound.
    pub end: Option<Time>,
}

impl Edges {
    /// The interval; `Time::MIN` and `Time::MAX` stand for unset edges.
    pub fn interval(&self) -> Interval {
        Interval::new(self.start.unwrap_or(Time::MIN), self.end.unwrap_or(Time::MAX))
    }

    /// The other way round.
    pub fn of(interval: Interval) -> Edges {
        Edges {
            start: (interval.start > Time::MIN).then_some(interval.start),
            end: (interval.end < Time::MAX).then_some(interval.end),
        }
    }
}

/// What was asked, resolved, and how good the data is.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it covers.
    pub interval: Edges,
    /// Of dates and windows.
    pub zone: String,
    /// Of all figures.
    pub revision: i64,
    /// What depends on the clock is judged then.
    pub evaluate_time: Time,
    /// The metric's.
    pub definition: Arc<Definition>,
    /// Names of the `group_by` labels.
    pub group_by: Vec<String>,
    /// Of the groups that begin on this page.
    pub groups: Vec<GroupFacts>,
}

/// A page of an answer.
#[derive(Clone, Debug)]
pub struct Page<R> {
    /// What was asked.
    pub answer: Answer,
    /// By group, then by time or threshold.
    pub rows: Vec<R>,
    /// Where the next page begins; None: this is the last one.
    pub next: Option<Position>,
}

/// How good the data of a group is.
#[derive(Clone, Debug)]
pub struct GroupFacts {
    /// Which.
    pub group: GroupKey,
    /// Series in it.
    pub series_count: u64,
    /// What was expected, and what is there.
    pub coverage: Coverage,
    /// At or before the interval's end.
    pub openings: Openings,
    /// Milestones only.
    pub next: Option<Next>,
}

impl GroupFacts {
    /// With the times of the first and the last point that there are; None: there is none.
    pub(super) fn between(mut self, bounds: Option<(Time, Time)>) -> GroupFacts {
        (self.coverage.first_point_time, self.coverage.last_point_time) = bounds.unzip();
        self
    }
}

/// The metric's periods that were expected, and those present.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Coverage {
    pub first_point_time: Option<Time>,
    pub last_point_time: Option<Time>,
    pub complete_through: Option<Time>,
    pub expected_periods: u64,
    pub present_periods: u64,
    /// The first 100.
    pub gaps: Vec<Interval>,
    pub gap_count: u64,
    pub overdue: bool,
    pub never_reported: bool,
}

/// Opening balances: those that were set, and those that a first report implies.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Openings {
    /// How many.
    pub count: u64,
    /// What they come to.
    pub sum: i128,
    /// At most 20.
    pub first: Vec<NamedOpening>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct NamedOpening {
    pub labels: Labels,
    pub time: Time,
    pub value: i64,
    pub note: String,
}

/// The lowest threshold never reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Next {
    /// The threshold.
    pub threshold: i128,
    /// What is missing to it.
    pub remaining: i128,
    /// When it may be reached, or why nobody can say.
    pub when: Result<Estimate, &'static str>,
}

/// When a threshold may be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Estimate {
    /// Whose pace was used.
    pub window: Interval,
    /// At the mean pace.
    pub time: Time,
    /// At the pace of its fastest quarter.
    pub earliest: Time,
    /// At the pace of its slowest quarter; None: never.
    pub latest: Option<Time>,
}

/// What to know of a figure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Mark {
    MidPeriod,
    Straddled,
    Unfinished,
    Clipped,
    Incomplete,
    Filled,
    Restarted,
}

/// A group's total.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct TotalRow {
    pub group: GroupKey,
    pub total: Option<i128>,
    pub marks: Vec<Mark>,
}

/// A group's window.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct WindowRow {
    pub group: GroupKey,
    pub window: Edges,
    pub flow: Option<i128>,
    pub total: Option<i128>,
    pub running: Option<i128>,
    /// Gauges only. Boxed: the rows of other kinds are smaller for it.
    pub levels: Option<Box<Levels>>,
    pub point_count: u64,
    pub marks: Vec<Mark>,
}

/// A gauge's levels.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Levels {
    pub last: Option<i64>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    /// Sum and count, above 0.
    pub mean: Option<(i128, u64)>,
}

/// The first time a total, or a level, was at or above a threshold.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct MilestoneRow {
    pub group: GroupKey,
    pub threshold: i128,
    pub reached_after: Option<Time>,
    pub reached_by: Time,
    pub in_opening: bool,
    pub total_before: Option<i128>,
    pub total: i128,
    pub since_first_nanos: Option<i128>,
    pub since_previous_nanos: Option<i128>,
    pub ordinal: u64,
}
