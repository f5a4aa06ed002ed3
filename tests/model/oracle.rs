//! The naive oracle: the contract once more, knowing only lists of points. Slow and plain.
//!
//! Every change is kept in a log; the state at a revision is that log played again up to it.

mod body;
pub mod calendar;
pub mod catalogue;
mod changes;
mod coverage;
pub mod decimal;
mod milestone;
mod select;
mod steps;
mod window;
mod write;

use std::collections::BTreeMap;

pub use calendar::Nanos;
use milepost::proto::v1::*;
use tonic::Code;

use body::Body;
pub use body::puts;

/// Label values in `label_names` order.
pub type Labels = Vec<String>;

/// A refusal: its code, the first fault's reason, and the reasons of all faults found.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub code: Code,
    pub reason: Reason,
    pub all: Vec<Reason>,
}

impl Refused {
    fn form(reason: Reason) -> Refused {
        Refused { code: Code::InvalidArgument, reason, all: vec![reason] }
    }

    fn state(reason: Reason) -> Refused {
        let code = match reason {
            Reason::MetricNotFound => Code::NotFound,
            Reason::MetricDiffers => Code::AlreadyExists,
            _ => Code::FailedPrecondition,
        };
        Refused { code, reason, all: vec![reason] }
    }
}

/// A point as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub value: i64,
    /// DELTA: the end of what it counts; an instant ends where it starts.
    pub end: Nanos,
    pub start: Option<Nanos>,
    pub restated: bool,
}

/// An opening balance as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    pub at: Nanos,
    pub value: i64,
    pub note: String,
}

/// One series at one revision.
#[derive(Clone, Debug, Default)]
pub struct SeriesState {
    pub points: BTreeMap<Nanos, Kept>,
    pub opening: Option<Balance>,
}

/// All series of a metric at one revision.
pub type State = BTreeMap<Labels, SeriesState>;

/// One changed key.
#[derive(Clone, Debug)]
enum Event {
    Point { labels: Labels, at: Nanos, now: Option<Kept> },
    Opening { labels: Labels, now: Option<Balance> },
}

/// A metric from its making to its deletion.
#[derive(Clone, Debug)]
struct Life {
    /// No two lives have the same.
    id: usize,
    /// Definitions, each from its revision on.
    definitions: Vec<(i64, Metric)>,
    log: Vec<(i64, Event)>,
}

impl Life {
    fn metric(&self) -> &Metric {
        &self.definitions.last().expect("a metric has a definition").1
    }

    /// The definition of a revision, and the latest one for what was before the making.
    fn metric_at(&self, revision: i64) -> &Metric {
        let then = self.definitions.iter().rfind(|(from, _)| *from <= revision);
        then.map_or(self.metric(), |(_, metric)| metric)
    }

    fn state_at(&self, revision: i64) -> State {
        let mut state = State::new();
        for (_, event) in self.log.iter().filter(|(of, _)| *of <= revision) {
            play(&mut state, event);
        }
        state
    }

    fn state(&self) -> State {
        self.state_at(i64::MAX)
    }
}

fn play(state: &mut State, event: &Event) {
    match event.clone() {
        Event::Point { labels, at, now } => {
            let series = state.entry(labels).or_default();
            match now {
                Some(point) => drop(series.points.insert(at, point)),
                None => drop(series.points.remove(&at)),
            }
        }
        Event::Opening { labels, now } => state.entry(labels).or_default().opening = now,
    }
    state.retain(|_, series| !series.points.is_empty() || series.opening.is_some());
}

/// What a request id is remembered with.
#[derive(Clone, Debug)]
struct Remembered {
    body: Body,
    answer: Answered,
}

/// The first answer to a request id.
#[derive(Clone, Debug)]
enum Answered {
    Write(WritePointsResponse),
    Retract(RetractPointsResponse),
    Opening(SetOpeningBalanceResponse),
}

/// One changed key, for `ListChanges`.
#[derive(Clone, Debug)]
struct Row {
    kind: change::Kind,
    metric: String,
    labels: Labels,
    at: Option<Nanos>,
    /// Units; of METRIC rows only whether there was a definition.
    old: Option<i64>,
    new: Option<i64>,
    revision: i64,
    recorded: Nanos,
    reason: String,
}

/// What revisions are counted in.
#[derive(Clone, Debug, Default)]
struct Book {
    /// Recorded time of revision 1, 2, 3, ...
    recorded: Vec<Nanos>,
    metrics: BTreeMap<String, Life>,
    changes: Vec<Row>,
    remembered: BTreeMap<String, Remembered>,
}

impl Book {
    fn revision(&self) -> i64 {
        self.recorded.len() as i64
    }
}

/// The whole store.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    books: BTreeMap<String, Book>,
    lives: usize,
    last_recorded: Nanos,
}

impl Oracle {
    pub fn new() -> Self {
        Oracle { last_recorded: Nanos::MIN, ..Oracle::default() }
    }

    /// The last revision of a component; 0: it has none.
    pub fn revision(&self, component: &str) -> i64 {
        self.books.get(component).map_or(0, Book::revision)
    }

    /// Whether a request id is remembered.
    pub fn remembers(&self, component: &str, id: &str) -> bool {
        self.books.get(component).is_some_and(|book| book.remembered.contains_key(id))
    }

    /// When a revision of a component was recorded.
    pub fn recorded(&self, component: &str, revision: i64) -> Option<Nanos> {
        let book = self.books.get(component)?;
        book.recorded.get(usize::try_from(revision - 1).ok()?).copied()
    }

    /// A metric's definition now.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.life(name).ok().map(Life::metric)
    }

    /// The revision that made a metric.
    pub fn made(&self, name: &str) -> Option<i64> {
        self.life(name).ok().map(|life| life.definitions[0].0)
    }

    /// All series of a metric now, for a generator that wants to be near them.
    pub fn now(&self, metric: &str) -> State {
        self.life(metric).map(Life::state).unwrap_or_default()
    }

    /// Times of all that was ever there.
    pub fn times_ever(&self, metric: &str) -> Vec<Nanos> {
        let time = |(_, event): &(i64, Event)| match event {
            Event::Point { at, .. } => Some(*at),
            Event::Opening { now, .. } => now.as_ref().map(|opening| opening.at),
        };
        let log = self.life(metric).map(|life| life.log.as_slice()).unwrap_or_default();
        log.iter().filter_map(time).collect()
    }

    /// No total of the metric was ever further from zero than this.
    pub fn magnitude(&self, metric: &str) -> i128 {
        let value = |(_, event): &(i64, Event)| match event {
            Event::Point { now, .. } => now.as_ref().map_or(0, |kept| kept.value),
            Event::Opening { now, .. } => now.as_ref().map_or(0, |opening| opening.value),
        };
        let log = self.life(metric).map(|life| life.log.as_slice()).unwrap_or_default();
        log.iter().map(|entry| i128::from(value(entry)).abs()).sum()
    }

    fn book(&mut self, metric: &str) -> &mut Book {
        self.books.entry(component(metric).to_owned()).or_default()
    }

    fn life(&self, metric: &str) -> Result<&Life, Refused> {
        let book = self.books.get(component(metric));
        let life = book.and_then(|book| book.metrics.get(metric));
        life.ok_or_else(|| Refused::state(Reason::MetricNotFound))
    }

    /// A new revision of the metric's component.
    fn commit(&mut self, metric: &str, now: i64) -> i64 {
        self.last_recorded = self.last_recorded.max(Nanos::from(now));
        let at = self.last_recorded;
        let book = self.book(metric);
        book.recorded.push(at);
        book.revision()
    }
}

/// "component/metric" without what follows the slash.
fn component(metric: &str) -> &str {
    metric.split_once('/').map_or(metric, |(component, _)| component)
}

/// A protobuf timestamp as nanoseconds.
pub fn nanos(at: &prost_types::Timestamp) -> Nanos {
    Nanos::from(at.seconds) * 1_000_000_000 + Nanos::from(at.nanos)
}

/// Nanoseconds as a protobuf timestamp.
pub fn timestamp(at: Nanos) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.div_euclid(1_000_000_000) as i64, nanos: at.rem_euclid(1_000_000_000) as i32 }
}

/// An optional date of a zone as its first instant.
fn instant_of_date(zone: &jiff::tz::TimeZone, text: &str) -> Result<Nanos, Refused> {
    let on = text.parse().map_err(|_| Refused::form(Reason::TimeInvalid))?;
    calendar::first_instant(zone, on).ok_or_else(|| Refused::form(Reason::TimeInvalid))
}
