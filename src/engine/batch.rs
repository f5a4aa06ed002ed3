//! What goes in: a batch of changes of one component, and what became of it.

use crate::domain::definition::{Definition, Kind};
use crate::domain::name::{ComponentName, MetricName};
use crate::domain::point::{Labels, Point};
use crate::domain::time::{Interval, Time};
use crate::store::StoreError;
use std::sync::Arc;

pub use super::block::{Column, Columns};

/// One creation of a metric: unique in its component, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MetricId(pub u64);

/// Changes of one component, free of faults of form: all of it or none.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Whose.
    pub component: ComponentName,
    /// Who sends it; empty: nobody said.
    pub who: String,
    /// Empty: none. With one, a retry gets the first answer.
    pub request_id: String,
    /// Kept with every change (of an opening: its note).
    pub reason: String,
    /// Judge and answer only.
    pub validate_only: bool,
    /// What to do.
    pub change: Change,
}

/// What a batch does.
#[derive(Clone, Debug)]
pub enum Change {
    /// Points, a value each.
    Points {
        /// SET or ADD.
        mode: Mode,
        /// By metric, then labels; each (metric, labels) once.
        series: Vec<SeriesWrite>,
    },
    /// Take points back.
    Retract {
        /// Whose.
        metric: MetricName,
        /// Series must pass all of them.
        filters: Vec<Filter>,
        /// Which points.
        what: Retraction,
    },
    /// Set (`Some`) or remove (`None`) a series' opening balance. Of a removal only labels count.
    Opening {
        /// Whose.
        metric: MetricName,
        /// The series.
        labels: Labels,
        /// Time and value; None removes.
        opening: Option<(Time, i64)>,
    },
    /// Make a metric. Its create and update times are set by the engine.
    Create(Box<Definition>),
    /// Change a definition.
    Update {
        /// Whose.
        metric: MetricName,
        /// What the definition becomes, from what it is; or the state of things forbids it.
        patch: Box<Patch>,
    },
    /// Remove a metric and all that was kept of it.
    Delete {
        /// Whose.
        metric: MetricName,
        /// Even if it has points or openings.
        force: bool,
    },
}

/// The fields of a definition to change.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Patch {
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub overdue_after_nanos: Option<Option<i64>>,
    pub unit: Option<String>,
    pub kind: Option<Kind>,
    pub scale: Option<u8>,
    pub label_names: Option<Vec<String>>,
    pub period: Option<Option<crate::domain::calendar::Period>>,
    pub zone: Option<crate::domain::calendar::Zone>,
    pub week_start: Option<crate::domain::calendar::Weekday>,
    pub year_start: Option<crate::domain::calendar::MonthDay>,
}

impl Patch {
    /// A definition with these fields in the place of its own.
    pub fn applied_to(self, old: Definition) -> Definition {
        Definition {
            display_name: self.display_name.unwrap_or(old.display_name),
            description: self.description.unwrap_or(old.description),
            unit: self.unit.unwrap_or(old.unit),
            kind: self.kind.unwrap_or(old.kind),
            scale: self.scale.unwrap_or(old.scale),
            label_names: self.label_names.unwrap_or(old.label_names),
            period: self.period.unwrap_or(old.period),
            zone: self.zone.unwrap_or(old.zone),
            week_start: self.week_start.unwrap_or(old.week_start),
            year_start: self.year_start.unwrap_or(old.year_start),
            overdue_after_nanos: self.overdue_after_nanos.unwrap_or(old.overdue_after_nanos),
            ..old
        }
    }
}

/// What a value does to the one that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Takes its place.
    Set,
    /// Is added to it. DELTA only.
    Add,
}

/// Points of one series.
#[derive(Clone, Debug)]
pub struct SeriesWrite {
    /// Whose.
    pub metric: MetricName,
    /// The series.
    pub labels: Labels,
    /// By time, each time once; of no revision yet.
    pub points: Columns,
    /// ADD: 1 where the point said its end (else its end is the default, and the one that is there stands).
    pub end_given: Column,
    /// Where each point stands in the request.
    pub origin: Origin,
}

/// Where points stand in the request, so that a fault can name its field.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Point i is point i of this entry.
    Entry(u32),
    /// (entry, point) of each.
    Each(Vec<(u32, u32)>),
}

impl Origin {
    /// (entry, point) of the `index`th point.
    pub fn of(&self, index: usize) -> (u32, u32) {
        match self {
            Origin::Entry(entry) => (*entry, index as u32),
            Origin::Each(each) => each[index],
        }
    }
}

/// Which points to take back.
#[derive(Clone, Debug)]
pub enum Retraction {
    /// Those at these times: ascending, each once.
    Times(Vec<Time>),
    /// Those in it.
    Interval(Interval),
}

/// A condition on the label at `index` of `label_names`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Place in `label_names`.
    pub index: usize,
    /// Values to keep, ascending; empty: all.
    pub any_of: Vec<String>,
    /// Values to leave out, ascending.
    pub none_of: Vec<String>,
}

impl Filter {
    /// A filter of values in any order.
    pub fn new(index: usize, mut any_of: Vec<String>, mut none_of: Vec<String>) -> Filter {
        any_of.sort_unstable();
        any_of.dedup();
        none_of.sort_unstable();
        none_of.dedup();
        Filter { index, any_of, none_of }
    }

    /// What the labels of all series begin with that pass: of each of the first labels the one value that is kept.
    pub fn beginning(filters: &[Filter]) -> Labels {
        let value = |index| filters.iter().filter(|filter| filter.index == index).find_map(Filter::one_value);
        let values = (0..filters.len()).map_while(value);
        // A value that no label has is left to `passes`.
        Labels::of(values).unwrap_or_default()
    }

    /// The one value that is kept.
    fn one_value(&self) -> Option<&str> {
        match &self.any_of[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// Whether a series passes. O(log n) of the values.
    pub fn passes(&self, labels: &Labels) -> bool {
        let value = &labels[self.index];
        let is_in = |values: &[String]| values.binary_search_by(|v| v.as_str().cmp(value)).is_ok();
        (self.any_of.is_empty() || is_in(&self.any_of)) && !is_in(&self.none_of)
    }
}

/// A batch was taken.
#[derive(Clone, Debug)]
pub struct Ack {
    /// The batch's own revision; the current one where it changed nothing.
    pub revision: i64,
    /// Of points: all keys. Of a retraction: points taken back.
    pub accepted: u64,
    /// Keys that were there with the same value; of a retraction: times without a point.
    pub unchanged: u64,
    /// Keys that were there with another value (SET).
    pub corrected: u64,
    /// This is the first answer to the request id again.
    pub replayed: bool,
    /// Of Create and Update: the metric as it is now.
    pub definition: Option<Arc<Definition>>,
}

/// A batch was refused; nothing of it happened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    /// The state forbids it: at least one fault, in the order of the request.
    #[error("{} faults against the state", .0.len())]
    State(Vec<Fault>),
    /// The id was used for something else, or its metric was deleted and made again.
    #[error("the request id was used before, for something else")]
    RequestIdReused,
    /// No further id can be remembered now; wait.
    #[error("no further request id can be remembered")]
    RequestIdsFull {
        /// Wait at least so long.
        retry_after_nanos: i64,
    },
    /// Folding is behind; wait.
    #[error("folding is behind")]
    Behind {
        /// Wait at least so long.
        retry_after_nanos: i64,
    },
    /// The engine is closing; go to another server, or wait.
    #[error("the engine is closing")]
    Closing,
    /// Something below failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One fault of a batch against the state.
#[derive(Clone, Debug)]
pub struct Fault {
    /// (entry, point) in the request. Of calls that have no entries: (0, 0).
    pub at: (u32, u32),
    /// The series' labels, where it is about one.
    pub labels: Option<Labels>,
    /// What is wrong.
    pub what: FaultKind,
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// Make it with CreateMetric.
    MetricNotFound(MetricName),
    /// A metric of that name is there; these fields differ.
    MetricDiffers(MetricName, Vec<&'static str>),
    /// It was written to: these fields stay (or, of a deletion with none: it needs `force`).
    MetricInUse(MetricName, Vec<&'static str>),
    /// The patched definition is not a valid one: field and why.
    DefinitionInvalid(&'static str, String),
    /// The point overlaps another one of the series.
    PeriodsOverlap {
        /// The written one.
        point: Point,
        /// The other one.
        other: Point,
    },
    /// The later report is below the earlier one, and is neither restated nor began again.
    LevelFell {
        /// The one before (time, level); may be the opening.
        before: (Time, i64),
        /// The one after (time, level).
        after: (Time, i64),
    },
    /// A point lies before the opening (CUMULATIVE: at or before).
    BeforeOpening {
        /// The point's time.
        point: Time,
        /// The opening's.
        opening: Time,
    },
    /// The sum leaves 64 bits.
    SumOutOfRange {
        /// The point's time.
        time: Time,
        /// What is there.
        old: i64,
        /// What was to be added.
        added: i64,
    },
    /// An ADD's end is not that of the point that is there.
    EndTimeDiffers {
        /// The point's time.
        time: Time,
        /// The end that is there.
        old: Time,
        /// The end that was sent.
        sent: Time,
    },
}
