//! Raw points out: messages of columns, or of points one by one, each well below 4 MiB.

use super::answer::answer;
use crate::domain::calendar::Calendar;
use crate::domain::decimal;
use crate::domain::definition::{Definition, Kind};
use crate::domain::limit::READ_MESSAGE_BYTES;
use crate::domain::point as domain;
use crate::engine::view;
use crate::proto::v1::point::{At as PointAt, End as PointEnd};
use crate::proto::v1::{columns::Times, *};
use crate::query::PointsPlan;
use crate::query::ask::Form;
use crate::query::points::Run;
use crate::service::convert::labels_map;
use crate::service::convert::time::timestamp;
use prost::Message;
use std::mem;
use std::sync::Arc;

/// Makes messages of runs of points.
pub struct Messages {
    shape: Shape,
    next: ReadPointsResponse,
    bytes: usize,
}

/// How points are told.
struct Shape {
    definition: Arc<Definition>,
    /// None: the metric is irregular.
    periods: Option<Calendar>,
    form: Form,
}

/// What columns can say of a point.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// It goes as a point, with its end where that is not the usual one.
    Special,
    Plain,
    WithStart,
}

impl Messages {
    /// The first message has the answer's head.
    pub fn new(plan: &PointsPlan) -> Messages {
        let head = plan.answer();
        let next = ReadPointsResponse { answer: Some(answer(&head)), series: Vec::new() };
        let (definition, form) = (head.definition, plan.form());
        let shape = Shape { periods: definition.periods(), definition, form };
        Messages { shape, bytes: next.encoded_len(), next }
    }

    /// Takes a run; hands on each message that is full. False: nobody wants more.
    pub fn take(&mut self, run: Run, send: &mut impl FnMut(ReadPointsResponse) -> bool) -> bool {
        let labels = labels_map(&run.labels, &self.shape.definition);
        if self.shape.is_plain(&run.points) {
            let columns = plain_columns(run.points);
            return self.put(SeriesPoints { labels, columns: Some(columns), ..SeriesPoints::default() }, send);
        }
        let points: Vec<domain::Point> = run.points.points(0..run.points.len()).collect();
        let told = self.shape.told(&points);
        for part in told.chunk_by(|a, b| a.class == b.class) {
            let mut entry = SeriesPoints { labels: labels.clone(), ..SeriesPoints::default() };
            match part[0].class {
                Class::Special => entry.points = part.iter().map(|told| self.shape.point(told)).collect(),
                class => entry.columns = Some(columns(part, class)),
            }
            if !self.put(entry, send) {
                return false;
            }
        }
        true
    }

    /// One more entry, of the metric.
    fn put(&mut self, entry: SeriesPoints, send: &mut impl FnMut(ReadPointsResponse) -> bool) -> bool {
        let entry = SeriesPoints { metric: self.shape.definition.name.to_string(), ..entry };
        self.bytes += entry.encoded_len() + 5;
        self.next.series.push(entry);
        if self.bytes < READ_MESSAGE_BYTES {
            return true;
        }
        self.bytes = 0;
        send(mem::take(&mut self.next))
    }

    /// The last message; None: all was sent.
    pub fn last(self) -> Option<ReadPointsResponse> {
        (self.bytes > 0).then_some(self.next)
    }
}

/// A point, and how it is told.
struct Told<'a> {
    point: &'a domain::Point,
    class: Class,
    /// Its end is not that of one period or of an instant.
    has_own_end: bool,
}

impl Shape {
    /// Whether all the points are told in columns of times and values.
    fn is_plain(&self, points: &view::Columns) -> bool {
        let mut cursor = self.periods.as_ref().map(Calendar::cursor);
        let mut is_usual = |i: usize| match &mut cursor {
            Some(cursor) => points.end(i) == cursor.window(points.time(i)).end,
            None => points.ends.at(i) == 0,
        };
        self.form == Form::Columns
            && points.restated.is_zero()
            && points.starts.is_zero()
            && (self.definition.kind != Kind::Delta || (0..points.len()).all(&mut is_usual))
    }

    fn told<'a>(&self, points: &'a [domain::Point]) -> Vec<Told<'a>> {
        let mut cursor = self.periods.as_ref().map(Calendar::cursor);
        let is_delta = self.definition.kind == Kind::Delta;
        let told = points.iter().map(|point| {
            let mut usual_end = || cursor.as_mut().map_or(point.time, |cursor| cursor.window(point.time).end);
            let has_own_end = is_delta && point.end != usual_end();
            let class = if self.form == Form::Points || point.restated || has_own_end {
                Class::Special
            } else if point.start.is_some() {
                Class::WithStart
            } else {
                Class::Plain
            };
            Told { point, class, has_own_end }
        });
        told.collect()
    }

    fn point(&self, told: &Told<'_>) -> Point {
        let point = told.point;
        Point {
            at: Some(PointAt::Time(timestamp(point.time))),
            value: decimal::format(point.value.into(), self.definition.scale),
            end: told.has_own_end.then(|| PointEnd::EndTime(timestamp(point.end))),
            start_time: point.start.map(timestamp),
            restated: point.restated,
        }
    }
}

fn columns(points: &[Told<'_>], class: Class) -> Columns {
    let mut start_times = Vec::new();
    if class == Class::WithStart {
        start_times = points.iter().filter_map(|told| told.point.start).map(|start| start.0).collect();
        if start_times.iter().all(|start| *start == start_times[0]) {
            start_times.truncate(1);
        }
    }
    Columns { times: Some(times(points)), units: points.iter().map(|told| told.point.value).collect(), start_times }
}

/// Times and values alone, as a block has them: no point is looked at. (Measured in one run,
/// before and after: `ReadPoints` 0.50 to 0.85 of the null source.)
fn plain_columns(points: view::Columns) -> Columns {
    let times = match points.times.spacing() {
        Some((first_unix_nanos, interval_nanos)) => Times::Regular(RegularTimes { first_unix_nanos, interval_nanos }),
        None => Times::Fixed(FixedTimes { unix_nanos: points.times.into_numbers() }),
    };
    Columns { times: Some(times), units: points.values.into_numbers(), start_times: Vec::new() }
}

/// Regular, where they are evenly spaced.
fn times(points: &[Told<'_>]) -> Times {
    if let [first, second, ..] = points {
        let interval = second.point.time.0.saturating_sub(first.point.time.0);
        if points.windows(2).all(|pair| pair[0].point.time.0.checked_add(interval) == Some(pair[1].point.time.0)) {
            return Times::Regular(RegularTimes { first_unix_nanos: first.point.time.0, interval_nanos: interval });
        }
    }
    Times::Fixed(FixedTimes { unix_nanos: points.iter().map(|told| told.point.time.0).collect() })
}
