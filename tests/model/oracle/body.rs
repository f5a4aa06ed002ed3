//! What a write asks for, by meaning: labels in order, times as instants, values as units.

use std::collections::BTreeMap;

use milepost::proto::v1::*;

use super::{
    Labels, Nanos, Refused,
    calendar::{self, Rule},
    decimal, instant_of_date, nanos,
};

/// The body of a write, compared with that of a retry.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Write {
        add: bool,
        reason: String,
        validate_only: bool,
        /// By life of the metric, labels and time.
        puts: BTreeMap<(usize, Labels, Nanos), Put>,
    },
    Retract {
        life: usize,
        filters: Vec<LabelFilter>,
        what: What,
        reason: String,
        validate_only: bool,
    },
    Opening {
        life: usize,
        labels: Labels,
        at: Option<Nanos>,
        value: Option<i64>,
        note: String,
        validate_only: bool,
    },
}

/// What a retraction is of.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Times(Vec<Nanos>),
    Interval(Option<Nanos>, Option<Nanos>),
}

/// One point as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    pub value: i64,
    /// None: it does not say. One period said is said.
    pub end: Option<Nanos>,
    pub start: Option<Nanos>,
    pub restated: bool,
}

/// The labels in `label_names` order.
pub fn labels(metric: &Metric, given: &BTreeMap<String, String>) -> Result<Labels, Refused> {
    let differ = || Refused::form(Reason::LabelsDiffer);
    if given.len() != metric.label_names.len() {
        return Err(differ());
    }
    let mut labels = Labels::new();
    for name in &metric.label_names {
        let value = given.get(name).ok_or_else(differ)?;
        if value.is_empty() || value.len() > 256 {
            return Err(differ());
        }
        labels.push(value.clone());
    }
    Ok(labels)
}

/// The points of one entry, or what is wrong with them, in its order.
pub fn puts(metric: &Metric, entry: &SeriesPoints) -> Vec<Result<(Nanos, Put), Refused>> {
    let mut puts: Vec<_> = entry.points.iter().map(|point| of_point(metric, point)).collect();
    if let Some(columns) = &entry.columns {
        match of_columns(metric, columns) {
            Ok(columns) => puts.extend(columns.into_iter().map(Ok)),
            Err(refused) => puts.push(Err(refused)),
        }
    }
    let checked = |(at, put): (Nanos, Put)| check(metric, at, &put).map(|()| (at, put));
    puts.into_iter().map(|put| put.and_then(checked)).collect()
}

/// A point's fields in their order: the first fault is told.
fn of_point(metric: &Metric, point: &Point) -> Result<(Nanos, Put), Refused> {
    let zone = calendar::time_zone(&metric.time_zone);
    let at = match &point.at {
        None => return Err(Refused::form(Reason::FieldRequired)),
        Some(point::At::Time(time)) => nanos(time),
        Some(point::At::Date(text)) => instant_of_date(&zone, text)?,
    };
    check_boundary(metric, at)?;
    let value = decimal::parse(&point.value, metric.scale).map_err(Refused::form)?;
    let end = match &point.end {
        None => None,
        Some(_) if metric.kind() != metric::Kind::Delta => return Err(Refused::form(Reason::KindDiffers)),
        Some(point::End::EndTime(time)) => Some(nanos(time)),
        Some(point::End::EndDate(text)) => Some(instant_of_date(&zone, text)?),
    };
    let start = point.start_time.as_ref().map(nanos);
    Ok((at, Put { value, end, start, restated: point.restated }))
}

fn of_columns(metric: &Metric, columns: &Columns) -> Result<Vec<(Nanos, Put)>, Refused> {
    let count = columns.units.len();
    let times: Vec<Nanos> = match &columns.times {
        None => return Err(Refused::form(Reason::FieldRequired)),
        Some(columns::Times::Fixed(fixed)) => fixed.unix_nanos.iter().map(|&t| Nanos::from(t)).collect(),
        Some(columns::Times::Regular(regular)) => {
            let (first, step) = (regular.first_unix_nanos, regular.interval_nanos);
            (0..count as i128).map(|i| Nanos::from(first) + i * Nanos::from(step)).collect()
        }
        Some(columns::Times::Periods(periods)) => {
            let Some(rule) = Rule::of_metric(metric) else {
                return Err(Refused::form(Reason::FieldInvalid));
            };
            let mut at = Nanos::from(periods.first_unix_nanos);
            let mut times = Vec::new();
            while times.len() < count {
                times.push(at);
                at = rule.holding(at).1;
            }
            times
        }
    };
    if times.len() != count {
        return Err(Refused::form(Reason::FieldInvalid));
    }
    let start = |i: usize| match columns.start_times.len() {
        0 => None,
        1 => Some(Nanos::from(columns.start_times[0])),
        _ => Some(Nanos::from(columns.start_times[i])),
    };
    let put = |i| Put { value: columns.units[i], end: None, start: start(i), restated: false };
    Ok(times.into_iter().enumerate().map(|(i, at)| (at, put(i))).collect())
}

/// A DELTA metric's times are boundaries of its period.
fn check_boundary(metric: &Metric, at: Nanos) -> Result<(), Refused> {
    let rule = Rule::of_metric(metric).filter(|_| metric.kind() == metric::Kind::Delta);
    if rule.is_some_and(|rule| !rule.is_boundary(at)) {
        return Err(Refused::form(Reason::Misaligned));
    }
    Ok(())
}

/// The other faults of form that depend on the metric's definition.
fn check(metric: &Metric, at: Nanos, put: &Put) -> Result<(), Refused> {
    check_boundary(metric, at)?;
    if let Some(end) = put.end {
        check_boundary(metric, end)?;
        if end <= at {
            return Err(Refused::form(Reason::IntervalEmpty));
        }
    }
    if (put.start.is_some() || put.restated) && metric.kind() != metric::Kind::Cumulative {
        return Err(Refused::form(Reason::KindDiffers));
    }
    if put.start.is_some_and(|start| start > at) {
        return Err(Refused::form(Reason::FieldInvalid));
    }
    Ok(())
}
