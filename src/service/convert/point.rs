//! Points one by one: every field checked against the metric's definition.

use super::batch::{Known, Read, point_place};
use super::{required, time};
use crate::domain::calendar::{Cursor, Zone};
use crate::domain::decimal::{self, DecimalError};
use crate::domain::definition::{Definition, Kind};
use crate::domain::point::Point;
use crate::domain::time::Time;
use crate::proto::v1::{self, point::At, point::End};
use crate::service::fault::{Fault, Faults, Reason, cut};

/// A kind as messages name it.
pub fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Delta => "DELTA",
        Kind::Cumulative => "CUMULATIVE",
        Kind::Gauge => "GAUGE",
    }
}

/// The points of an entry. Of a metric that is not there only what needs no definition is checked.
pub fn read(points: &[v1::Point], entry: u32, known: Option<&Known>, faults: &mut Faults) -> Read {
    let mut read = Read::default();
    let Some(known) = known else {
        for (number, point) in (0u32..).zip(points) {
            check_without_definition(point, entry, number, faults);
        }
        return read;
    };
    let mut reader = Reader {
        definition: &known.definition,
        cursor: known.periods.as_ref().map(|periods| periods.cursor()),
        entry,
        number: 0,
        faults,
    };
    for (number, message) in (0u32..).zip(points) {
        reader.number = number;
        match reader.point(message) {
            Some(point) => {
                read.push(number, point);
                if message.end.is_some() {
                    read.gave_end();
                }
            }
            None => read.leave_out(),
        }
    }
    read
}

/// A value, exact. `scale` None: the metric is not there, so only its form can be judged.
pub fn value(text: &str, definition: Option<&Definition>, field: impl FnOnce() -> String) -> Result<i64, Fault> {
    if text.is_empty() {
        return Err(required(field(), "give decimal text as \"12.50\""));
    }
    let scale = definition.map_or(9, |definition| definition.scale);
    decimal::parse(text, scale).or_else(|error| {
        let shown = cut(text);
        let (reason, why) = match error {
            DecimalError::Malformed => (
                Reason::ValueInvalid,
                format!("{shown:?} is no value; write digits, as \"-12.50\", without separators"),
            ),
            _ if definition.is_none() => return Ok(0),
            DecimalError::TooFine => (
                Reason::ValueInvalid,
                format!("{shown} has more digits after the point than the metric's scale, {scale}; nothing is rounded"),
            ),
            DecimalError::OutOfRange => (
                Reason::ValueOutOfRange,
                format!(
                    "{shown} does not fit: at scale {scale} values go up to {}",
                    decimal::format(i64::MAX.into(), scale)
                ),
            ),
        };
        Err(Fault::new(reason, field(), why).with("value", text).with("scale", scale))
    })
}

fn check_without_definition(point: &v1::Point, entry: u32, number: u32, faults: &mut Faults) {
    let field = |name: &str| format!("series[{entry}].points[{number}].{name}");
    let utc = Zone::utc();
    let at = match &point.at {
        None => Err(required(field("time"), "give time or date")),
        Some(At::Time(at)) => time::time(at, || field("time")),
        Some(At::Date(date)) => time::date(date, &utc, || field("date")),
    };
    let end = match &point.end {
        None => Ok(Time::MIN),
        Some(End::EndTime(at)) => time::time(at, || field("end_time")),
        Some(End::EndDate(date)) => time::date(date, &utc, || field("end_date")),
    };
    let start = point.start_time.as_ref().map_or(Ok(Time::MIN), |at| time::time(at, || field("start_time")));
    let value = value(&point.value, None, || field("value")).map(|_| Time::MIN);
    for (rank, checked) in (0u32..).zip([at, value, end, start]) {
        if let Err(fault) = checked {
            faults.push_at(point_place(entry, number, rank), || fault);
        }
    }
}

struct Reader<'a> {
    definition: &'a Definition,
    cursor: Option<Cursor<'a>>,
    entry: u32,
    number: u32,
    faults: &'a mut Faults,
}

impl Reader<'_> {
    fn field(&self, name: &str) -> String {
        format!("series[{}].points[{}].{name}", self.entry, self.number)
    }

    fn keep<T>(&mut self, rank: u32, result: Result<T, Fault>) -> Option<T> {
        let place = point_place(self.entry, self.number, rank);
        result.map_err(|fault| self.faults.push_at(place, || fault)).ok()
    }

    /// The point; None where it has a fault.
    fn point(&mut self, message: &v1::Point) -> Option<Point> {
        let time = self.time(message);
        let time = self.keep(0, time);
        let default_end = time.map(|time| self.default_end(time, message));
        let default_end = default_end.and_then(|end| self.keep(0, end));
        let value = value(&message.value, Some(self.definition), || self.field("value"));
        let value = self.keep(1, value);
        let end = self.end(message, time);
        let end = self.keep(2, end);
        let start = self.start(message, time);
        let start = self.keep(3, start);
        let restated = self.restated(message);
        let restated = self.keep(4, restated);
        let (time, default_end) = (time?, default_end?);
        Some(Point { time, value: value?, end: end?.unwrap_or(default_end), start: start?, restated: restated? })
    }

    fn time(&self, message: &v1::Point) -> Result<Time, Fault> {
        match &message.at {
            None => Err(required(self.field("time"), "give time or date")),
            Some(At::Time(at)) => time::time(at, || self.field("time")),
            Some(At::Date(date)) => time::date(date, &self.definition.zone, || self.field("date")),
        }
    }

    /// What the point covers where it does not say it; a DELTA point must start on a boundary.
    fn default_end(&mut self, time: Time, message: &v1::Point) -> Result<Time, Fault> {
        let Some(cursor) = self.cursor.as_mut().filter(|_| self.definition.kind == Kind::Delta) else {
            return Ok(time);
        };
        let window = cursor.window(time);
        if window.start == time {
            return Ok(window.end);
        }
        let name = if matches!(message.at, Some(At::Date(_))) { "date" } else { "time" };
        Err(misaligned(self.definition, time, (window.start, window.end), self.field(name)))
    }

    fn end(&mut self, message: &v1::Point, start: Option<Time>) -> Result<Option<Time>, Fault> {
        let (name, end) = match &message.end {
            None => return Ok(None),
            Some(End::EndTime(at)) => ("end_time", time::time(at, || self.field("end_time"))),
            Some(End::EndDate(date)) => {
                ("end_date", time::date(date, &self.definition.zone, || self.field("end_date")))
            }
        };
        if self.definition.kind != Kind::Delta {
            return Err(self.kind_differs(name, "DELTA"));
        }
        let end = end?;
        if let Some(start) = start.filter(|start| *start >= end) {
            let why = format!("{end} is not after the point's time, {start}; give a later end, or none");
            let fault = Fault::new(Reason::IntervalEmpty, self.field(name), why);
            return Err(fault.with("end", end).with("time", start));
        }
        if let Some(cursor) = &mut self.cursor {
            let window = cursor.window(end);
            if window.start != end {
                return Err(misaligned(self.definition, end, (window.start, window.end), self.field(name)));
            }
        }
        Ok(Some(end))
    }

    fn start(&self, message: &v1::Point, time: Option<Time>) -> Result<Option<Time>, Fault> {
        let Some(start) = &message.start_time else { return Ok(None) };
        if self.definition.kind != Kind::Cumulative {
            return Err(self.kind_differs("start_time", "CUMULATIVE"));
        }
        let start = time::time(start, || self.field("start_time"))?;
        match time {
            Some(time) if start > time => Err(starts_late(start, time, self.field("start_time"))),
            _ => Ok(Some(start)),
        }
    }

    fn restated(&self, message: &v1::Point) -> Result<bool, Fault> {
        if message.restated && self.definition.kind != Kind::Cumulative {
            return Err(self.kind_differs("restated", "CUMULATIVE"));
        }
        Ok(message.restated)
    }

    fn kind_differs(&self, name: &str, wanted: &str) -> Fault {
        kind_differs(self.definition, wanted, self.field(name))
    }
}

/// A field that is not for metrics of this kind.
pub fn kind_differs(definition: &Definition, wanted: &str, field: String) -> Fault {
    let (name, kind) = (&definition.name, kind_word(definition.kind));
    Fault::new(Reason::KindDiffers, field, format!("is for {wanted} only, {name} is {kind}; leave it out"))
        .of_metric(name)
        .with("kind", kind)
}

/// A count that begins after its own report.
pub fn starts_late(start: Time, time: Time, field: String) -> Fault {
    let why = format!("{start} is after the report's time, {time}; a count begins at or before its report");
    Fault::new(Reason::FieldInvalid, field, why).with("start_time", start).with("time", time)
}

/// A time that lies between two boundaries.
pub fn misaligned(definition: &Definition, time: Time, nearest: (Time, Time), field: String) -> Fault {
    let (before, after) = nearest;
    let period = definition.period.map(|period| period.text()).unwrap_or_default();
    let zone = definition.zone.name();
    let why = format!(
        "{time} is not on a boundary of the metric's period, {period} in {zone}; the nearest are {before} and {after}"
    );
    Fault::new(Reason::Misaligned, field, why)
        .with("time", time)
        .with("period", period)
        .with("time_zone", zone)
        .with("before", before)
        .with("after", after)
}
