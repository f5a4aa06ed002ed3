//! Packed points: taken over as columns where they come in order and without a fault, else looked at one by one.

use super::batch::{Known, Read, entry_place, point_place};
use super::point::{kind_differs, misaligned, starts_late};
use super::{required, time};
use crate::domain::calendar::Calendar;
use crate::domain::definition::{Definition, Kind};
use crate::domain::point::Point;
use crate::domain::time::Time;
use crate::engine::batch as engine;
use crate::proto::v1::{Columns, columns::Times};
use crate::service::fault::{Fault, Faults, Reason};

/// The field that says when a value is.
pub fn time_field(columns: &Columns, entry: u32, number: u32) -> String {
    match &columns.times {
        Some(Times::Fixed(_)) => format!("series[{entry}].columns.fixed.unix_nanos[{number}]"),
        _ => format!("series[{entry}].columns.units[{number}]"),
    }
}

/// The points of an entry. Of a metric that is not there only what needs no definition is checked.
pub fn read(columns: &Columns, entry: u32, known: Option<&Known>, faults: &mut Faults) -> Read {
    let before = faults.count();
    let starts_allowed = known.is_none_or(|known| known.definition.kind == Kind::Cumulative);
    check_counts(columns, entry, starts_allowed, faults);
    let starts = if starts_allowed { &columns.start_times[..] } else { &[] };
    let mut reader = Reader { columns, starts, entry, known, faults, read: Read::default() };
    if let Err(fault) = reader.times(before) {
        let place = if matches!(columns.times, None | Some(Times::Fixed(_))) { 3 } else { 2 };
        reader.faults.push_at(entry_place(entry, place), || fault);
    }
    let read = reader.read;
    if let Some(known) = known.filter(|_| !starts_allowed && !columns.start_times.is_empty()) {
        // They are the first point's as much as any other's: a fault of its time comes before this one.
        let fault = || kind_differs(&known.definition, "CUMULATIVE", starts_field(entry));
        faults.push_at(point_place(entry, 0, 3), fault);
    }
    read
}

fn starts_field(entry: u32) -> String {
    format!("series[{entry}].columns.start_times")
}

/// That there are values, and as many start times as they need, where there may be any.
fn check_counts(columns: &Columns, entry: u32, starts_allowed: bool, faults: &mut Faults) {
    let (values, starts) = (columns.units.len(), columns.start_times.len());
    if values == 0 {
        faults.push_at(entry_place(entry, 4), || {
            required(format!("series[{entry}].columns.units"), "send at least one value, or leave the entry out")
        });
    }
    if starts_allowed && starts > 1 && starts != values {
        faults.push_at(entry_place(entry, 5), || {
            let why = format!("has {starts} times for {values} values; send none, one for all, or one a value");
            let fault = Fault::new(Reason::FieldInvalid, starts_field(entry), why);
            fault.with("start_times", starts).with("values", values)
        });
    }
}

struct Reader<'a> {
    columns: &'a Columns,
    /// Start times, where they may be given.
    starts: &'a [i64],
    entry: u32,
    known: Option<&'a Known>,
    faults: &'a mut Faults,
    read: Read,
}

impl<'a> Reader<'a> {
    /// Walks the times; `Err` is a fault of the times as a whole. With faults of counts (those since `before`)
    /// nothing can be matched up, so only the whole is judged.
    fn times(&mut self, before: usize) -> Result<(), Fault> {
        let values = self.columns.units.len();
        let entry = self.entry;
        match &self.columns.times {
            None => Err(required(format!("series[{entry}].columns.fixed"), "say the times: fixed, regular or periods")),
            Some(Times::Fixed(fixed)) => {
                let times = fixed.unix_nanos.len();
                if times != values && values > 0 {
                    let why = format!("has {values} values for {times} times; send as many of both");
                    return Err(Fault::new(Reason::FieldInvalid, format!("series[{entry}].columns.units"), why)
                        .with("values", values)
                        .with("times", times));
                }
                self.walk(before, &fixed.unix_nanos[..].into());
                Ok(())
            }
            Some(Times::Regular(regular)) => {
                let (first, interval) = (regular.first_unix_nanos, regular.interval_nanos);
                let field = |name: &str| format!("series[{entry}].columns.regular.{name}");
                if interval <= 0 {
                    let why = format!("{interval} is no interval; say the nanoseconds between two times, above 0");
                    let fault = Fault::new(Reason::FieldInvalid, field("interval_nanos"), why);
                    return Err(fault.with("interval_nanos", interval));
                }
                time::unix_nanos(first, || field("first_unix_nanos"))?;
                let times = engine::Column::evenly(first, interval, values);
                let Some(times) = times.filter(|times| times.last().is_none_or(|last| Time(last).is_input())) else {
                    let why = format!("{values} values every {interval} ns from {} go beyond 2200", Time(first));
                    return Err(Fault::new(Reason::TimeInvalid, field("interval_nanos"), why)
                        .with("values", values)
                        .with("interval_nanos", interval));
                };
                self.walk(before, &times);
                Ok(())
            }
            Some(Times::Periods(periods)) => self.periods(before, periods.first_unix_nanos),
        }
    }

    /// The metric's periods one after the other.
    fn periods(&mut self, before: usize, first: i64) -> Result<(), Fault> {
        let field = format!("series[{}].columns.periods.first_unix_nanos", self.entry);
        let first = time::unix_nanos(first, || field.clone())?;
        let Some(known) = self.known else { return Ok(()) };
        let Some(periods) = known.periods.as_deref() else {
            let name = &known.definition.name;
            let why = format!("metric {name} has no period; send fixed or regular times");
            return Err(Fault::new(Reason::FieldInvalid, format!("series[{}].columns.periods", self.entry), why)
                .of_metric(name));
        };
        let window = periods.window(first);
        if window.start != first {
            return Err(misaligned(&known.definition, first, (window.start, window.end), field));
        }
        let values = self.columns.units.len();
        let mut cursor = periods.cursor();
        let mut next = Some(first);
        let starts = std::iter::from_fn(|| {
            let start = next?;
            next = Some(cursor.window(start).end).filter(|end| end.is_input());
            Some(start.0)
        });
        let starts: engine::Column = starts.take(values).collect();
        self.walk(before, &starts);
        if starts.len() < values && self.faults.count() == before {
            let why = format!("{values} periods from {first} go beyond 2200");
            return Err(Fault::new(Reason::TimeInvalid, field, why).with("values", values).with("first", first));
        }
        Ok(())
    }

    fn walk(&mut self, before: usize, times: &engine::Column) {
        let counts_agree = self.faults.count() == before;
        let Some(known) = self.known else {
            for (number, nanos) in (0u32..).zip(times.iter()) {
                self.in_range(number, nanos);
            }
            self.starts_in_range();
            return;
        };
        if !counts_agree {
            return;
        }
        let definition = &*known.definition;
        let periods = known.periods.as_deref().filter(|_| definition.kind == Kind::Delta);
        if let Some(points) = self.whole(times, periods) {
            self.read.points = points;
            return;
        }
        match definition.kind {
            Kind::Cumulative => self.walk_reports(times.iter()),
            _ => self.walk_values(times.iter(), definition, periods),
        }
    }

    /// All points at once, where they come in order of time and nothing is wrong with any: they never are a struct a
    /// point.
    fn whole(&self, times: &engine::Column, periods: Option<&Calendar>) -> Option<engine::Columns> {
        let is_input = |nanos: i64| Time(nanos).is_input();
        let count = times.len();
        if !times.ascends() || !is_input(times.get(0)?) || !is_input(times.last()?) || count != self.columns.units.len()
        {
            return None;
        }
        let starts = self.starts;
        let start = |(i, time): (usize, i64)| {
            let start = starts[if starts.len() == 1 { 0 } else { i }];
            (is_input(start) && start <= time).then(|| time.wrapping_sub(start).wrapping_add(1))
        };
        let starts = match starts.len() {
            0 => engine::Column::of(0, count),
            _ => times.iter().enumerate().map(start).collect::<Option<_>>()?,
        };
        Some(engine::Columns {
            times: times.clone(),
            values: self.columns.units[..].into(),
            revisions: engine::Column::of(0, count),
            ends: lengths(times, periods)?,
            starts,
            restated: engine::Column::of(0, count),
        })
    }

    /// DELTA and GAUGE.
    fn walk_values(&mut self, times: impl Iterator<Item = i64>, definition: &Definition, periods: Option<&Calendar>) {
        let mut cursor = periods.map(Calendar::cursor);
        let units = &self.columns.units;
        for (number, (nanos, &value)) in (0u32..).zip(times.zip(units)) {
            if !self.in_range(number, nanos) {
                continue;
            }
            let time = Time(nanos);
            let end = match &mut cursor {
                None => time,
                Some(cursor) => {
                    let window = cursor.window(time);
                    if window.start != time {
                        let nearest = (window.start, window.end);
                        let field = || time_field(self.columns, self.entry, number);
                        let place = point_place(self.entry, number, 0);
                        self.faults.push_at(place, || misaligned(definition, time, nearest, field()));
                        self.read.leave_out();
                        continue;
                    }
                    window.end
                }
            };
            self.read.push(number, Point::of_period(time, end, value));
        }
    }

    fn walk_reports(&mut self, times: impl Iterator<Item = i64>) {
        let units = &self.columns.units;
        let starts = self.starts;
        self.starts_in_range();
        for (number, (nanos, &value)) in (0u32..).zip(times.zip(units)) {
            if !self.in_range(number, nanos) {
                continue;
            }
            let time = Time(nanos);
            let place = if starts.len() == 1 { 0 } else { number as usize };
            let start = starts.get(place).copied().map(Time);
            match start {
                Some(start) if start > time && start.is_input() => {
                    let field = format!("series[{}].columns.start_times[{place}]", self.entry);
                    self.faults.push_at(point_place(self.entry, number, 3), || starts_late(start, time, field));
                    self.read.leave_out();
                }
                _ => self.read.push(number, Point { start, ..Point::at(time, value) }),
            }
        }
    }

    fn starts_in_range(&mut self) {
        let entry = self.entry;
        for (number, &nanos) in (0u32..).zip(self.starts) {
            let field = || format!("series[{entry}].columns.start_times[{number}]");
            if let Err(fault) = time::unix_nanos(nanos, field) {
                self.faults.push_at(point_place(entry, number, 3), || fault);
            }
        }
    }

    fn in_range(&mut self, number: u32, nanos: i64) -> bool {
        if Time(nanos).is_input() {
            return true;
        }
        let field = || time_field(self.columns, self.entry, number);
        self.faults.push_at(point_place(self.entry, number, 0), || {
            time::unix_nanos(nanos, field).err().unwrap_or_else(|| required(field(), "give a time"))
        });
        self.read.leave_out();
        false
    }
}

/// How long each point lasts; None: one does not start with a period.
fn lengths(times: &engine::Column, periods: Option<&Calendar>) -> Option<engine::Column> {
    let Some(periods) = periods else { return Some(engine::Column::of(0, times.len())) };
    let mut cursor = periods.cursor();
    if let engine::Column::Even { first, step, count } = *times
        && cursor.is_even(Time(first), step, count)
    {
        return Some(engine::Column::of(step, count));
    }
    let length = |time: i64| {
        let window = cursor.window(Time(time));
        (window.start == Time(time)).then(|| window.end.0.wrapping_sub(time))
    };
    times.iter().map(length).collect()
}
