//! A batch of points: from entries in any order and form to series in the one form they are compared in, or every
//! fault of form there is.

use super::{columns, labels, metric_name, point, reason, request_id, required};
use crate::domain::calendar::Calendar;
use crate::domain::definition::{Definition, Kind};
use crate::domain::limit::{
    BATCH_POINTS_MAX, BATCH_SERIES_MAX, ENTRY_IN_FLIGHT_POINTS, POINTS_IN_FLIGHT_MAX, REFUSAL_VIOLATIONS_MAX,
};
use crate::domain::name::{ComponentName, MetricName, is_label_value};
use crate::domain::point::{Labels, Point};
use crate::domain::time::Time;
use crate::engine::batch::{Batch, Change, Column, Columns, Mode, Origin, SeriesWrite};
use crate::proto::v1::{SeriesPoints, WritePointsRequest, point::At, write_points_request::Mode as ModeMessage};
use crate::service::fault::{Fault, Faults, Place, Reason, cut};
use std::collections::HashMap;
use std::sync::Arc;

/// A metric that is there.
#[derive(Clone)]
pub struct Known {
    /// As it is now; for a retry of a metric that was deleted: as it last was.
    pub definition: Arc<Definition>,
    /// Its periods; None where it is irregular.
    pub periods: Option<Arc<Calendar>>,
}

impl Known {
    /// A definition with its periods worked out.
    pub fn of(definition: Arc<Definition>) -> Known {
        let periods = definition.periods().map(Arc::new);
        Known { definition, periods }
    }
}

/// The metrics that a batch names and that are there, by name.
pub type Metrics = HashMap<String, Known>;

/// A batch without a fault of form.
pub struct Converted {
    /// Of the metrics that are there.
    pub batch: Batch,
    /// Entries whose metric is not there: faults against the state.
    pub unknown: Vec<(u32, MetricName)>,
}

/// Points of one entry, and where in it they stand.
#[derive(Default)]
pub struct Read {
    /// Those without a fault of their own, as they stand in the request.
    pub points: Columns,
    /// Of each, 1 where it said its end; empty where none did.
    pub end_given: Column,
    /// Of each, its number in the entry. None: all are there.
    pub numbers: Option<Vec<u32>>,
}

impl Read {
    /// The number in the entry of the `index`th point.
    fn number(&self, index: usize) -> u32 {
        self.numbers.as_ref().map_or(index as u32, |numbers| numbers[index])
    }

    /// Notes that point `number` of the entry is left out.
    pub fn leave_out(&mut self) {
        let count = self.points.len() as u32;
        self.numbers.get_or_insert_with(|| (0..count).collect());
    }

    /// Takes a point in.
    pub fn push(&mut self, number: u32, point: Point) {
        if let Some(numbers) = &mut self.numbers {
            numbers.push(number);
        }
        self.points.push_point(&point, 0);
    }

    /// Notes that the last point taken in said its end.
    pub fn gave_end(&mut self) {
        let before = self.points.len() - 1 - self.end_given.len();
        self.end_given.extend(&Column::of(0, before), 0..before);
        self.end_given.push(1);
    }

    fn ends_given(&self, index: usize) -> i64 {
        self.end_given.get(index).unwrap_or(0)
    }

    fn is_canonical(&self) -> bool {
        self.numbers.is_none() && self.points.times.ascends()
    }
}

/// The place of a field of an entry.
pub fn entry_place(entry: u32, rank: u32) -> Place {
    (entry + 1, 0, rank)
}

/// The place of a field of a point.
pub fn point_place(entry: u32, point: u32, rank: u32) -> Place {
    (entry + 1, point + 1, rank)
}

/// The component of a batch, as its first well-formed metric's name says, and the names of all its metrics.
pub fn names(request: &WritePointsRequest) -> (Option<ComponentName>, Vec<MetricName>) {
    let mut names: Vec<MetricName> = Vec::new();
    let mut last = "";
    for entry in request.series.iter().filter(|entry| !entry.metric.is_empty()) {
        if entry.metric != last {
            names.extend(MetricName::parse(&entry.metric));
            last = &entry.metric;
        }
    }
    let component = names.first().map(MetricName::component);
    names.sort();
    names.dedup();
    (component, names)
}

/// How many points a batch has, before anything is checked.
pub fn point_count(request: &WritePointsRequest) -> usize {
    request.series.iter().map(entry_count).sum()
}

/// How many points a batch counts as while it is in flight; of very many entries not all.
pub fn points_in_flight(request: &WritePointsRequest) -> usize {
    const _: () = assert!(POINTS_IN_FLIGHT_MAX / 4 > BATCH_POINTS_MAX);
    (point_count(request) + request.series.len() * ENTRY_IN_FLIGHT_POINTS).clamp(1, POINTS_IN_FLIGHT_MAX / 4)
}

fn entry_count(entry: &SeriesPoints) -> usize {
    entry.points.len().max(entry.columns.as_ref().map_or(0, |columns| columns.units.len()))
}

/// The batch, or all its faults of form. Cost: some 20 ns a packed value that comes in order of time.
pub fn batch(request: &WritePointsRequest, who: &str, metrics: &Metrics) -> Result<Converted, Faults> {
    let mut faults = Faults::new();
    let mode = envelope(request, &mut faults);
    let count = point_count(request);
    if count > BATCH_POINTS_MAX {
        // nothing of it is looked at: a bound is there to bound the work, too
        faults.push_at((0, 0, 1), || too_large("points", count, BATCH_POINTS_MAX));
        return Err(faults);
    }
    let entries = Vec::with_capacity(request.series.len().min(BATCH_SERIES_MAX));
    let mut groups = Groups { entries, ..Groups::default() };
    let mut unknown = Vec::new();
    // Mostly they are all of one metric, which is looked for once.
    let mut last: Option<(&str, Option<&Known>)> = None;
    for (entry, series) in (0u32..).zip(&request.series) {
        let known = match last {
            Some((name, known)) if name == series.metric => known,
            _ => metrics.get(&series.metric),
        };
        last = Some((&series.metric, known));
        read_entry(series, entry, mode, known, &mut groups, &mut unknown, &mut faults);
    }
    let component = groups.component.take();
    let series = groups.into_series(mode, request, &mut faults);
    faults.check()?;
    Ok(Converted {
        batch: Batch {
            component: component.expect("a batch without a well-formed metric's name has a fault"),
            who: who.to_owned(),
            request_id: request.request_id.clone(),
            reason: request.reason.clone(),
            validate_only: request.validate_only,
            change: Change::Points { mode, series },
        },
        unknown,
    })
}

fn too_large(what: &'static str, count: usize, count_max: usize) -> Fault {
    Fault::new(Reason::TooLarge, "series", format!("has {count} {what}; send at most {count_max} in a batch"))
        .with(what, count)
}

/// What is around the entries.
fn envelope(request: &WritePointsRequest, faults: &mut Faults) -> Mode {
    const AFTER: u32 = u32::MAX;
    if let Err(fault) = request_id(&request.request_id, "request_id") {
        faults.push_at((0, 0, 0), || fault);
    }
    let mode = match ModeMessage::try_from(request.mode) {
        Ok(ModeMessage::Add) => Mode::Add,
        Ok(ModeMessage::Set | ModeMessage::Unspecified) => Mode::Set,
        Err(_) => {
            let why = format!("{} is no mode; say SET or ADD", request.mode);
            faults.push_at((AFTER, 0, 0), || Fault::new(Reason::FieldInvalid, "mode", why).with("mode", request.mode));
            Mode::Set
        }
    };
    if mode == Mode::Add && request.request_id.is_empty() {
        faults.push_at((0, 0, 0), || {
            required("request_id", "ADD needs one, so that a retry does not add again; a UUID if in doubt")
        });
    }
    if request.series.is_empty() {
        faults.push_at((0, 0, 1), || required("series", "send at least one entry with points"));
    }
    if let Err(fault) = reason(&request.reason, "reason") {
        faults.push_at((AFTER, 0, 1), || fault);
    }
    mode
}

/// One entry: its metric, labels and points.
fn read_entry(
    series: &SeriesPoints,
    entry: u32,
    mode: Mode,
    known: Option<&Known>,
    groups: &mut Groups,
    unknown: &mut Vec<(u32, MetricName)>,
    faults: &mut Faults,
) {
    if let Some(known) = known {
        groups.note_component(&known.definition.name, entry, faults);
    } else {
        match metric_name(&series.metric, format!("series[{entry}].metric")) {
            Ok(name) => {
                groups.note_component(&name, entry, faults);
                unknown.push((entry, name));
            }
            Err(fault) => faults.push_at(entry_place(entry, 0), || fault),
        }
    }
    let labels = match known {
        Some(known) => match labels(&series.labels, &known.definition, || format!("series[{entry}].labels")) {
            Ok(labels) => Some(labels),
            Err(fault) => {
                faults.push_at(entry_place(entry, 1), || fault);
                None
            }
        },
        None => {
            values_without_definition(series, entry, faults);
            None
        }
    };
    let misadded = known.filter(|known| mode == Mode::Add && known.definition.kind != Kind::Delta);
    if let Some(known) = misadded.filter(|_| !std::mem::replace(&mut groups.misadded, true)) {
        faults.push_at((u32::MAX, 0, 0), || {
            let (name, kind) = (&known.definition.name, point::kind_word(known.definition.kind));
            Fault::new(Reason::KindDiffers, "mode", format!("ADD is for DELTA only, {name} is {kind}; send SET"))
                .of_metric(name)
                .with("kind", kind)
        });
    }
    let read = match (&series.columns, &*series.points) {
        (Some(_), [_, ..]) => {
            faults.push_at(entry_place(entry, 2), || {
                let why = "has points and columns; send one of them, the other in an entry of its own";
                Fault::new(Reason::FieldInvalid, format!("series[{entry}]"), why)
            });
            return;
        }
        (None, []) => {
            faults.push_at(entry_place(entry, 2), || {
                required(format!("series[{entry}].points"), "send points or columns, or leave the entry out")
            });
            return;
        }
        (Some(columns), []) => columns::read(columns, entry, known, faults),
        (None, points) => point::read(points, entry, known, faults),
    };
    if let (Some(known), Some(labels)) = (known, labels) {
        groups.entries.push(Entry { metric: known.definition.name.clone(), labels, number: entry, read });
    }
}

/// What can be said of labels whose metric is not there.
fn values_without_definition(series: &SeriesPoints, entry: u32, faults: &mut Faults) {
    for (label, value) in series.labels.iter().filter(|(_, value)| !is_label_value(value)) {
        faults.push_at(entry_place(entry, 1), || {
            let why = format!(
                "the value {:?} of {} is not 1 to 256 bytes without control characters",
                cut(value),
                cut(label)
            );
            Fault::new(Reason::LabelsDiffer, format!("series[{entry}].labels"), why)
                .with("label", label)
                .with("value", value)
        });
    }
}

/// Entries, to be put together by series.
#[derive(Default)]
struct Groups {
    component: Option<ComponentName>,
    /// That ADD is not for some metric's kind was said.
    misadded: bool,
    entries: Vec<Entry>,
}

/// One entry's points.
struct Entry {
    metric: MetricName,
    labels: Labels,
    number: u32,
    read: Read,
}

impl Entry {
    fn series(&self) -> (&MetricName, &Labels) {
        (&self.metric, &self.labels)
    }
}

impl Groups {
    fn note_component(&mut self, name: &MetricName, entry: u32, faults: &mut Faults) {
        let component = self.component.get_or_insert_with(|| name.component());
        if !name.as_str().strip_prefix(component.as_str()).is_some_and(|rest| rest.starts_with('/')) {
            faults.push_at(entry_place(entry, 0), || {
                let why =
                    format!("{name} is not of {component}, as the metrics before it are; send a batch a component");
                Fault::new(Reason::ComponentsDiffer, format!("series[{entry}].metric"), why)
                    .with("metric", name)
                    .with("component", &component)
            });
        }
    }

    /// The points of each series, by metric and labels.
    fn into_series(mut self, mode: Mode, request: &WritePointsRequest, faults: &mut Faults) -> Vec<SeriesWrite> {
        let mut twice = Vec::new();
        let mut write = |first: Entry, others| first.into_write(others, mode, &mut twice);
        // Mostly they come in order, an entry a series: each becomes one where it is. (Put together as others are, a quarter
        // of what is done here for a batch of a point each was copying.)
        let series: Vec<SeriesWrite> = if self.entries.is_sorted_by(|a, b| a.series() < b.series()) {
            self.entries.into_iter().map(|entry| write(entry, Vec::new())).collect()
        } else {
            // A stable sort: a series' entries stay in the order of the request.
            self.entries.sort_by(|a, b| a.series().cmp(&b.series()));
            let mut series = Vec::with_capacity(self.entries.len());
            let mut rest = self.entries.into_iter().peekable();
            while let Some(first) = rest.next() {
                let mut others = Vec::new();
                while let Some(other) = rest.next_if(|next| next.series() == first.series()) {
                    others.push(other);
                }
                series.push(write(first, others));
            }
            series
        };
        if series.len() > BATCH_SERIES_MAX {
            faults.push_at((0, 0, 1), || too_large("series", series.len(), BATCH_SERIES_MAX));
        }
        twice.sort_unstable_by_key(|pair| pair.again);
        for pair in twice.iter().take(REFUSAL_VIOLATIONS_MAX) {
            let place = point_place(pair.again.0, pair.again.1, 0);
            faults.push_at(place, || duplicate(pair, mode, request));
        }
        faults.count_more(twice.len().saturating_sub(REFUSAL_VIOLATIONS_MAX));
        series
    }
}

/// A key that stands twice in the batch: (entry, point) of both.
struct Twice {
    first: (u32, u32),
    again: (u32, u32),
    time: Time,
}

fn duplicate(pair: &Twice, mode: Mode, request: &WritePointsRequest) -> Fault {
    let first = time_field(request, pair.first);
    let fix = match mode {
        Mode::Set => "with another value; send one of them",
        Mode::Add => "and each would be added; send their sum once",
    };
    let why = format!("{} of this series stands at {first} already, {fix}", pair.time);
    Fault::new(Reason::DuplicatePoint, time_field(request, pair.again), why)
        .with("time", pair.time)
        .with("first", first)
}

/// The field that says when a point is.
pub fn time_field(request: &WritePointsRequest, (entry, point): (u32, u32)) -> String {
    let series = request.series.get(entry as usize);
    match series.and_then(|series| series.points.get(point as usize)).and_then(|point| point.at.as_ref()) {
        Some(At::Date(_)) => format!("series[{entry}].points[{point}].date"),
        Some(At::Time(_)) => format!("series[{entry}].points[{point}].time"),
        None => match series.and_then(|series| series.columns.as_ref()) {
            Some(columns) => columns::time_field(columns, entry, point),
            None => format!("series[{entry}].points[{point}].time"),
        },
    }
}

impl Entry {
    /// The series' points, of this entry and others of it.
    fn into_write(self, mut others: Vec<Entry>, mode: Mode, twice: &mut Vec<Twice>) -> SeriesWrite {
        if others.is_empty() && self.read.is_canonical() {
            let Read { points, mut end_given, .. } = self.read;
            let without = points.len() - end_given.len();
            end_given.extend(&Column::of(0, without), 0..without);
            let (metric, labels, origin) = (self.metric, self.labels, Origin::Entry(self.number));
            return SeriesWrite { metric, labels, points, end_given, origin };
        }
        let (metric, labels) = (self.metric.clone(), self.labels.clone());
        others.insert(0, self);
        let entries = others;
        // (time, entry, number in it, place in `entries`, place in its points): sorted, equal times stand together
        // in the order of the request
        let mut order: Vec<(Time, u32, u32, usize, usize)> = Vec::new();
        for (place, Entry { number, read, .. }) in entries.iter().enumerate() {
            let times = read.points.times.iter().enumerate();
            order.extend(times.map(|(i, time)| (Time(time), *number, read.number(i), place, i)));
        }
        order.sort_unstable();
        let (mut points, mut end_given, mut each) = (Vec::<Point>::new(), Column::default(), Vec::new());
        for (time, entry, number, place, i) in order {
            let read = &entries[place].read;
            let point = read.points.point(i);
            match (points.last(), each.last()) {
                (Some(last), Some(&first)) if last.time == time => {
                    if mode == Mode::Add || *last != point {
                        twice.push(Twice { first, again: (entry, number), time });
                    }
                }
                _ => {
                    points.push(point);
                    end_given.push(read.ends_given(i));
                    each.push((entry, number));
                }
            }
        }
        SeriesWrite { metric, labels, points: points.into(), end_given, origin: Origin::Each(each) }
    }
}

/// The metrics of a batch that are not there, as faults.
pub fn unknown_metrics(unknown: &[(u32, MetricName)]) -> Faults {
    let mut faults = Faults::new();
    for (entry, name) in unknown {
        faults.push_at(entry_place(*entry, 0), || super::not_found(name, format!("series[{entry}].metric")));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limit::REQUEST_BYTES_MAX;
    use prost::Message;

    /// What a batch of very many entries takes until it is answered is in its labels: of the largest that there can be some
    /// are in flight at once, and not all that the bound on points would let in.
    #[test]
    fn entries_count_as_in_flight_beside_their_points() {
        let columns = |count| crate::proto::v1::Columns { units: vec![1; count], ..Default::default() };
        let entry = |count| SeriesPoints { columns: Some(columns(count)), ..Default::default() };
        let batch = |entries, count| WritePointsRequest { series: vec![entry(count); entries], ..Default::default() };
        assert_eq!(points_in_flight(&batch(1, 43_824)), 43_824 + ENTRY_IN_FLIGHT_POINTS);
        let wide = points_in_flight(&batch(BATCH_SERIES_MAX, 1));
        assert!((4..16).contains(&(POINTS_IN_FLIGHT_MAX / wide)), "{wide}");
        // It is let in, and refused for what it is.
        let widest = batch(REQUEST_BYTES_MAX / 8, 1);
        assert!(widest.encoded_len() > REQUEST_BYTES_MAX / 2);
        assert!(points_in_flight(&widest) <= POINTS_IN_FLIGHT_MAX / 4);
        assert_eq!(points_in_flight(&WritePointsRequest::default()), 1);
    }
}
