//! What the engine refused, told with the fields of the request.

use super::not_found;
use crate::domain::decimal;
use crate::domain::definition::Definition;
use crate::domain::point::Point;
use crate::domain::time::Time;
use crate::engine::ViewError;
use crate::engine::batch::{Fault as EngineFault, FaultKind, Refused};
use crate::service::fault::{Fault, Faults, Reason, cut};
use crate::store::{StoreError, Touched};
use std::sync::Arc;

/// How long to wait where the engine does not say.
const RETRY_NANOS: i64 = 10_000_000_000;

/// What a fault is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The metric's name.
    Metric,
    /// A point's or an opening's time.
    Time,
    /// A value.
    Value,
    /// A point's end.
    End,
}

/// Knows the request that was refused.
pub trait Asked {
    /// The field that says this part of (entry, point).
    fn field(&self, at: (u32, u32), part: Part) -> String;
    /// The definition that (entry, point) was read with.
    fn definition(&self, at: (u32, u32)) -> Option<Arc<Definition>>;
}

/// A refused batch, told.
pub fn refused(refused: Refused, asked: &dyn Asked) -> Faults {
    match refused {
        Refused::State(list) => {
            let mut faults = Faults::new();
            for fault in list {
                let (entry, point) = fault.at;
                let missing = matches!(fault.what, FaultKind::MetricNotFound(_));
                let place = (entry + 1, if missing { 0 } else { point + 1 }, 0);
                faults.push_at(place, || state(&fault, asked));
            }
            faults
        }
        Refused::RequestIdReused => reused().into(),
        Refused::RequestIdsFull { retry_after_nanos } => Fault::new(
            Reason::RequestIdsFull,
            "request_id",
            "as many request ids are remembered as the server may; wait, or send without one",
        )
        .retry_after(retry_after_nanos)
        .of_quota("request_ids")
        .into(),
        Refused::Behind { retry_after_nanos } => {
            Fault::new(Reason::WritesBehind, "", "the server is behind with folding what was written; wait")
                .retry_after(retry_after_nanos)
                .into()
        }
        Refused::Closing => draining().into(),
        Refused::Store(error) => store(&error).into(),
    }
}

/// A request id that stands for another request.
pub fn reused() -> Fault {
    Fault::new(
        Reason::RequestIdReused,
        "request_id",
        "was used for another request, or its metric was deleted since; send this one under a new id",
    )
}

/// The server is stopping.
pub fn draining() -> Fault {
    Fault::new(Reason::Draining, "", "the server is stopping; try again, on another server or later")
        .retry_after(RETRY_NANOS)
}

/// A view that cannot be had. `field`: the as-of's.
pub fn view(error: &ViewError, field: &str) -> Fault {
    match error {
        ViewError::RevisionInFuture { asked, last } => Fault::new(
            Reason::AsOfInFuture,
            format!("{field}.revision"),
            format!("{asked} is above the last revision, {last}; ask for that one or an earlier one"),
        )
        .with("revision", asked)
        .with("last_revision", last),
        ViewError::TimeInFuture { asked, now } => Fault::new(
            Reason::AsOfInFuture,
            format!("{field}.time"),
            format!("{asked} is later than now, {now}; ask for an earlier time, or leave as_of out"),
        )
        .with("time", asked)
        .with("now", now),
        ViewError::Damaged(error) => store(error),
        ViewError::Closed => draining(),
    }
}

/// Something below failed.
pub fn store(error: &StoreError) -> Fault {
    match error {
        StoreError::Damaged { file, offset, what, touched } => damaged(file, *offset, what, touched.as_deref()),
        StoreError::Format { file, found, known } => {
            let why = format!(
                "{} has format {}; this milepost reads format {known}; use that version",
                cut(file),
                cut(found)
            );
            Fault::new(Reason::StoreDamaged, "", why).with("file", file).with("format", found).with("known", known)
        }
        StoreError::Full { file } => {
            Fault::new(Reason::DiskFull, "", format!("no room on the disk for {}; make room", cut(file)))
                .with("file", file)
                .retry_after(RETRY_NANOS)
                .of_quota("disk")
        }
        other => {
            let cause = other.to_string();
            let why = format!("the disk failed, nothing is written until a restart: {}", cut(&cause));
            Fault::new(Reason::DiskFailed, "", why).with("cause", cause)
        }
    }
}

/// Series names may be long: as much of one is told as the trailers hold.
fn damaged(file: &str, offset: u64, what: &str, touched: Option<&Touched>) -> Fault {
    let of = touched.map_or(String::new(), |t| format!(" (of {}, {} to {})", cut(&t.series), t.first, t.last));
    let why = format!(
        "{} is damaged at byte {offset}: {}{of}; restore it from a backup, or give it up with milepost repair",
        cut(file),
        cut(what)
    );
    let fault = Fault::new(Reason::StoreDamaged, "", why).with("file", file).with("offset", offset).with("what", what);
    match touched {
        Some(t) => fault.with("series", &t.series).with("first_time", t.first).with("last_time", t.last),
        None => fault,
    }
}

fn state(fault: &EngineFault, asked: &dyn Asked) -> Fault {
    let field = |part| asked.field(fault.at, part);
    let told = match &fault.what {
        FaultKind::MetricNotFound(name) => return not_found(name, field(Part::Metric)),
        FaultKind::MetricDiffers(name, fields) => {
            let fields = fields.join(", ");
            let why = format!("metric {name} is there with another {fields}; send it as it is, or use UpdateMetric");
            return Fault::new(Reason::MetricDiffers, field(Part::Metric), why).of_metric(name).with("fields", fields);
        }
        FaultKind::MetricInUse(name, fields) if fields.is_empty() => {
            let why = format!("metric {name} has points or openings; say force to remove it with all that was kept");
            return Fault::new(Reason::MetricInUse, field(Part::Metric), why).of_metric(name);
        }
        FaultKind::MetricInUse(name, fields) => {
            let fields = fields.join(", ");
            let why = format!(
                "metric {name} was written to, so {fields} cannot change; only display_name, description and \
                 overdue_after can"
            );
            return Fault::new(Reason::MetricInUse, field(Part::Metric), why).of_metric(name).with("fields", fields);
        }
        FaultKind::DefinitionInvalid(name, why) => {
            return Fault::new(Reason::FieldInvalid, format!("metric.{name}"), why.clone()).with("why", why);
        }
        FaultKind::PeriodsOverlap { point, other } => overlap(point, other, field(Part::Time)),
        FaultKind::LevelFell { before, after } => {
            let scale = asked.definition(fault.at).map_or(0, |definition| definition.scale);
            fell(*before, *after, scale, field(Part::Value))
        }
        FaultKind::BeforeOpening { point, opening } => {
            let lies = if point < opening { "before" } else { "at" };
            let why = format!(
                "the point at {point} lies {lies} the opening balance of {opening}; leave the point out, or set the \
                 opening to an earlier time"
            );
            Fault::new(Reason::BeforeOpening, field(Part::Time), why).with("time", point).with("opening_time", opening)
        }
        FaultKind::SumOutOfRange { time, old, added } => {
            let scale = asked.definition(fault.at).map_or(0, |definition| definition.scale);
            let text = |units: i64| decimal::format(units.into(), scale);
            let why = format!("{} and {} at {time} do not fit 64 bits; SET it", text(*old), text(*added));
            Fault::new(Reason::SumOutOfRange, field(Part::Value), why)
                .with("time", time)
                .with("old_value", text(*old))
                .with("value", text(*added))
        }
        FaultKind::EndTimeDiffers { time, old, sent } => {
            let why = format!("the point at {time} ends at {old}, not at {sent}; send that end, or none");
            Fault::new(Reason::EndTimeDiffers, field(Part::End), why)
                .with("time", time)
                .with("old_end_time", old)
                .with("end_time", sent)
        }
    };
    match (asked.definition(fault.at), &fault.labels) {
        (Some(definition), Some(labels)) if !labels.is_empty() => {
            let series: Vec<_> =
                definition.label_names.iter().zip(labels.iter()).map(|(n, v)| format!("{n}={v}")).collect();
            told.with("series", series.join(" "))
        }
        _ => told,
    }
}

fn overlap(point: &Point, other: &Point, field: String) -> Fault {
    let covers = |point: &Point| match point.end == point.time {
        true => format!("the instant {}", point.time),
        false => format!("{} to {}", point.time, point.end),
    };
    let (sent, there) = (covers(point), covers(other));
    let why = format!("{sent} overlaps {there} of the same series; retract that one, or send what is beside it");
    Fault::new(Reason::PeriodsOverlap, field, why).with("point", sent).with("other", there)
}

fn fell(before: (Time, i64), after: (Time, i64), scale: u8, field: String) -> Fault {
    let text = |units: i64| decimal::format(units.into(), scale);
    let why = format!(
        "the report of {} is {}, below {} of {}; say start_time where the count began again, restated where a \
         published figure was put right, or correct one of the two",
        after.0,
        text(after.1),
        text(before.1),
        before.0
    );
    Fault::new(Reason::LevelFell, field, why)
        .with("time", after.0)
        .with("value", text(after.1))
        .with("before_time", before.0)
        .with("before_value", text(before.1))
}
