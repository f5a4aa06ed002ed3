//! RetractPoints and SetOpeningBalance: their form, and what they come to.

use super::point::{kind_differs, value};
use super::{filters, labels, metric_name, reason, request_id, required, time};
use crate::domain::calendar::Zone;
use crate::domain::definition::{Definition, Kind};
use crate::domain::time::{Interval, Time};
use crate::engine::batch::{Change, Retraction};
use crate::proto::v1::set_opening_balance_request::At;
use crate::proto::v1::{self, RetractPointsRequest, SetOpeningBalanceRequest, retract_points_request::What};
use crate::service::fault::{Fault, Faults, Reason};

/// Keeps what is right, and notes what is wrong.
fn keep<T>(result: Result<T, impl Into<Faults>>, faults: &mut Faults) -> Option<T> {
    result
        .map_err(|wrong| {
            let wrong: Faults = wrong.into();
            for fault in wrong.iter() {
                faults.push(fault.clone());
            }
        })
        .ok()
}

/// What a retraction comes to. None: it has no fault, but its metric is not there.
pub fn retraction(request: &RetractPointsRequest, metric: Option<&Definition>) -> Result<Option<Change>, Faults> {
    let mut faults = Faults::new();
    let id = match &*request.request_id {
        "" => Err(required("request_id", "so that a retry is known as one; a UUID if in doubt")),
        id => request_id(id, "request_id"),
    };
    keep(id, &mut faults);
    let name = keep(metric_name(&request.metric, "metric"), &mut faults);
    let filters = match metric {
        Some(definition) => keep(filters(&request.filters, definition, "filters"), &mut faults),
        None => Some(Vec::new()),
    };
    let what = match &request.what {
        None => keep(Err(required("times", "say which points: times, or an interval")), &mut faults),
        Some(What::Times(times)) => instants(times, &mut faults).map(Retraction::Times),
        Some(What::Interval(said)) => keep(interval(said, "interval"), &mut faults).map(Retraction::Interval),
    };
    let why = match &*request.reason {
        "" => Err(required("reason", "say why; it is kept with every change")),
        text => reason(text, "reason"),
    };
    keep(why, &mut faults);
    faults.check()?;
    Ok(match (metric, name, filters, what) {
        (Some(_), Some(metric), Some(filters), Some(what)) => Some(Change::Retract { metric, filters, what }),
        _ => None,
    })
}

fn instants(times: &v1::Times, faults: &mut Faults) -> Option<Vec<Time>> {
    if times.times.is_empty() {
        faults.push(required("times.times", "name at least one instant"));
        return None;
    }
    let before = faults.count();
    let mut instants = Vec::with_capacity(times.times.len());
    for (i, at) in times.times.iter().enumerate() {
        match time::time(at, || format!("times.times[{i}]")) {
            Ok(time) => instants.push(time),
            Err(fault) => faults.push(fault),
        }
    }
    instants.sort_unstable();
    instants.dedup();
    (faults.count() == before).then_some(instants)
}

/// `[start_time, end_time)`; an unset edge is no bound.
fn interval(said: &v1::Interval, field: &str) -> Result<Interval, Faults> {
    let mut faults = Faults::new();
    let mut edge = |at: Option<&prost_types::Timestamp>, name: &str, unset| match at {
        None => unset,
        Some(at) => keep(time::time(at, || format!("{field}.{name}")), &mut faults).unwrap_or(unset),
    };
    let start = edge(said.start_time.as_ref(), "start_time", Time::MIN);
    let end = edge(said.end_time.as_ref(), "end_time", Time::MAX);
    faults.check()?;
    if start >= end {
        let why = format!("start_time {start} is not before end_time {end}, the first instant after the interval");
        let fault = Fault::new(Reason::IntervalEmpty, format!("{field}.end_time"), why);
        return Err(fault.with("start_time", start).with("end_time", end).into());
    }
    Ok(Interval::new(start, end))
}

/// What an opening balance comes to. None: it has no fault, but its metric is not there.
pub fn opening(request: &SetOpeningBalanceRequest, metric: Option<&Definition>) -> Result<Option<Change>, Faults> {
    let mut faults = Faults::new();
    keep(request_id(&request.request_id, "request_id"), &mut faults);
    let name = keep(metric_name(&request.metric, "metric"), &mut faults);
    if let Some(definition) = metric.filter(|definition| definition.kind == Kind::Gauge) {
        let mut fault = kind_differs(definition, "DELTA and CUMULATIVE", "metric".to_owned());
        fault.description = format!("{} is a GAUGE, and levels are not summed; it has no opening", definition.name);
        faults.push(fault);
    }
    let series = match metric {
        Some(definition) => keep(labels(&request.labels, definition, || "labels".to_owned()), &mut faults),
        None => None,
    };
    let utc = Zone::utc();
    let zone = metric.map_or(&utc, |definition| &definition.zone);
    let at = match &request.at {
        None if request.value.is_some() => {
            keep(Err(required("time", "give time or date: the opening counts from it on")), &mut faults)
        }
        None => None,
        Some(At::Time(at)) => keep(time::time(at, || "time".to_owned()), &mut faults),
        Some(At::Date(date)) => keep(time::date(date, zone, || "date".to_owned()), &mut faults),
    };
    let units = request.value.as_ref().and_then(|text| keep(value(text, metric, || "value".to_owned()), &mut faults));
    keep(reason(&request.note, "note"), &mut faults);
    faults.check()?;
    Ok(match (name, series) {
        (Some(metric), Some(labels)) => Some(Change::Opening { metric, labels, opening: at.zip(units) }),
        _ => None,
    })
}
