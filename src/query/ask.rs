//! Questions as they are asked: nothing is checked yet. The plan is made of them.

use super::fault::Fault;
use super::page::Pin;
use crate::domain::calendar::Unit;

/// A time of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Since 1970-01-01T00:00:00Z.
    Instant {
        /// Whole seconds.
        seconds: i64,
        /// 0 to 999,999,999 more.
        nanos: i32,
    },
    /// `2016-08-29`: the first instant of that date.
    Date(String),
}

/// One of several words, numbered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice<T> {
    /// Not said.
    Unset,
    /// Said.
    Known(T),
    /// A number that names nothing.
    Unknown(i32),
}

/// A condition on one label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterAsk {
    /// Its name.
    pub label: String,
    /// Values to keep; empty: all.
    pub any_of: Vec<String>,
    /// Values to leave out.
    pub none_of: Vec<String>,
}

/// Which series, and how they are put together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SelectionAsk {
    /// `component/metric`.
    pub metric: String,
    /// All must pass.
    pub filters: Vec<FilterAsk>,
    /// Labels whose values make the groups.
    pub group_by: Vec<String>,
}

/// How time is cut into windows; what is unset is the metric's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CalendarAsk {
    /// Of a window.
    pub unit: Choice<Unit>,
    /// Units in a window; 0 is 1.
    pub count: i32,
    /// IANA name; empty: the metric's.
    pub zone: String,
    /// 1 (Monday) to 7.
    pub week_start: i32,
    /// Month and day.
    pub year_start: Option<(i32, i32)>,
}

/// What was known when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AsOfAsk {
    /// Now.
    Now,
    /// At a revision.
    Revision(i64),
    /// At a recorded time.
    Recorded {
        /// Since 1970-01-01T00:00:00Z.
        seconds: i64,
        /// 0 to 999,999,999 more.
        nanos: i32,
    },
}

/// Which page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageAsk {
    /// Rows; 0: the default.
    pub size: i32,
    /// What the page token says; None: the first page.
    pub pin: Result<Option<Pin>, Fault>,
}

/// What every question says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Which series.
    pub selection: SelectionAsk,
    /// What was known when.
    pub as_of: AsOfAsk,
    /// Which page.
    pub page: PageAsk,
}

/// What stands in a window in which nothing counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fill {
    /// Nothing.
    Nothing,
    /// A flow of 0.
    Zero,
    /// The last level before.
    Previous,
}

/// How much so far?
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TotalAsk {
    /// What every question says.
    pub head: Head,
    /// T.
    pub at: Option<Moment>,
}

/// What stands in each window beside the flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beside {
    /// Nothing (`QueryRange`).
    Nothing,
    /// The total at its end, or a running one (`QueryCumulative`).
    Totals(Choice<Unit>),
}

/// How much in each window?
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeAsk {
    /// What every question says.
    pub head: Head,
    /// The windows.
    pub calendar: Option<CalendarAsk>,
    /// From here.
    pub start: Option<Moment>,
    /// To here.
    pub end: Option<Moment>,
    /// What stands where nothing counts.
    pub fill: Choice<Fill>,
    /// Totals.
    pub beside: Beside,
}

/// Ladders known by a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NamedLadder {
    /// 1, 2, 5, 10, ...
    OneTwoFive,
    /// 1, 10, 100, ...
    PowersOfTen,
}

/// Which thresholds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LadderAsk {
    /// Not said.
    Unset,
    /// One by one.
    List(Vec<String>),
    /// Every multiple.
    Every(String),
    /// By name.
    Named(Choice<NamedLadder>),
}

/// When did we get there?
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MilestonesAsk {
    /// What every question says.
    pub head: Head,
    /// The thresholds.
    pub ladder: LadderAsk,
    /// What counts.
    pub end: Option<Moment>,
}

/// How points are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Packed.
    Columns,
    /// One by one.
    Points,
}

/// Which points are there?
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PointsAsk {
    /// What every question says.
    pub head: Head,
    /// From here.
    pub start: Option<Moment>,
    /// To here.
    pub end: Option<Moment>,
    /// How they are told.
    pub form: Choice<Form>,
}

/// Between which revisions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChangesIntervalAsk {
    /// All.
    Unset,
    /// `[from, to)`; 0: no bound.
    Revisions(i64, i64),
    /// Recorded times.
    Recorded(Option<Moment>, Option<Moment>),
}

/// What became of what was known?
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangesAsk {
    /// What every question says.
    pub head: Head,
    /// NEW rows too.
    pub include_new: bool,
    /// When.
    pub interval: ChangesIntervalAsk,
}
