//! A metric's definition, in and out, and the patch that an update mask makes of it.

use super::time::{duration, nanos, timestamp};
use super::{metric_name, required, text};
use crate::domain::calendar::{MonthDay, Period, Weekday, Zone};
use crate::domain::definition::{Definition, Kind};
use crate::domain::limit::{DESCRIPTION_BYTES_MAX, DISPLAY_NAME_BYTES_MAX, LABELS_MAX, UNIT_BYTES_MAX};
use crate::domain::name::{MetricName, is_label_name};
use crate::engine::batch::Patch;
use crate::proto::v1::{self, calendar::DayOfWeek, metric::Kind as KindMessage};
use crate::service::fault::{Fault, Faults, Reason, cut};

/// The fields that an update may name.
const FIELDS: [&str; 11] = [
    "display_name",
    "description",
    "unit",
    "kind",
    "scale",
    "label_names",
    "period",
    "time_zone",
    "week_start",
    "year_start",
    "overdue_after",
];

/// A definition to be made, or all that is wrong with it.
pub fn definition(metric: &v1::Metric) -> Result<Definition, Faults> {
    let mut faults = Faults::new();
    let name = keep(metric_name(&metric.name, "metric.name"), &mut faults);
    let patch = patch_of(metric, &FIELDS, &mut faults);
    let (Some(name), true) = (name, faults.is_empty()) else {
        return Err(faults);
    };
    let kind = patch.kind.expect("all fields were asked for, and none is faulty");
    Ok(patch.applied_to(Definition::new(name, kind)))
}

/// A metric's name and the changes that the mask (empty: what is set) makes.
pub fn patch(metric: &v1::Metric, mask: &[String]) -> Result<(MetricName, Patch), Faults> {
    let mut faults = Faults::new();
    let name = keep(metric_name(&metric.name, "metric.name"), &mut faults);
    let mut fields: Vec<&str> = Vec::new();
    if mask.is_empty() {
        fields = FIELDS.into_iter().filter(|field| is_set(metric, field)).collect();
        if fields.is_empty() {
            faults.push(required("update_mask", "name the fields to change, or set them in metric"));
        }
    }
    let patch = {
        for path in mask {
            fields.extend(FIELDS.iter().find(|field| *field == path));
        }
        patch_of(metric, &fields, &mut faults)
    };
    for (i, path) in mask.iter().enumerate().filter(|(_, path)| !FIELDS.contains(&path.as_str())) {
        faults.push(unknown_path(path, format!("update_mask.paths[{i}]")));
    }
    match name {
        Some(name) if faults.is_empty() => Ok((name, patch)),
        _ => Err(faults),
    }
}

fn unknown_path(path: &str, field: String) -> Fault {
    let shown = cut(path);
    let why = match path {
        "name" | "create_time" | "update_time" => format!("{shown} cannot be changed; the fields that can are "),
        _ => format!("{shown:?} is no field that can be changed; those are "),
    };
    Fault::new(Reason::FieldInvalid, field, why + &FIELDS.join(", ")).with("path", path)
}

fn is_set(metric: &v1::Metric, field: &str) -> bool {
    match field {
        "display_name" => !metric.display_name.is_empty(),
        "description" => !metric.description.is_empty(),
        "unit" => !metric.unit.is_empty(),
        "kind" => metric.kind != 0,
        "scale" => metric.scale != 0,
        "label_names" => !metric.label_names.is_empty(),
        "period" => !metric.period.is_empty(),
        "time_zone" => !metric.time_zone.is_empty(),
        "week_start" => metric.week_start != 0,
        "year_start" => metric.year_start.is_some(),
        _ => metric.overdue_after.is_some(),
    }
}

fn keep<T>(result: Result<T, Fault>, faults: &mut Faults) -> Option<T> {
    result.map_err(|fault| faults.push(fault)).ok()
}

/// The named fields of `metric`, checked, in the order of the message.
fn patch_of(metric: &v1::Metric, fields: &[&str], faults: &mut Faults) -> Patch {
    let mut patch = Patch::default();
    for field in FIELDS.into_iter().filter(|field| fields.contains(field)) {
        let place = format!("metric.{field}");
        let limited = |said: &String, bytes_max, faults: &mut Faults| {
            keep(text(said, bytes_max, place.clone()).map(|()| said.clone()), faults)
        };
        match field {
            "display_name" => patch.display_name = limited(&metric.display_name, DISPLAY_NAME_BYTES_MAX, faults),
            "description" => patch.description = limited(&metric.description, DESCRIPTION_BYTES_MAX, faults),
            "unit" => patch.unit = limited(&metric.unit, UNIT_BYTES_MAX, faults),
            "kind" => patch.kind = keep(kind(metric.kind), faults),
            "scale" => patch.scale = keep(scale(metric.scale), faults),
            "label_names" => patch.label_names = label_names(&metric.label_names, faults),
            "period" => patch.period = keep(period(&metric.period), faults),
            "time_zone" => patch.zone = keep(zone(&metric.time_zone, place.clone()), faults),
            "week_start" => patch.week_start = keep(week_start(metric.week_start, place.clone()), faults),
            "year_start" => {
                let said = metric.year_start.unwrap_or(v1::MonthDay { month: 1, day: 1 });
                patch.year_start = keep(year_start(said, place.clone()), faults);
            }
            _ => patch.overdue_after_nanos = keep(overdue_after(metric.overdue_after.as_ref()), faults),
        }
    }
    patch
}

fn kind(number: i32) -> Result<Kind, Fault> {
    match KindMessage::try_from(number) {
        Ok(KindMessage::Delta) => Ok(Kind::Delta),
        Ok(KindMessage::Cumulative) => Ok(Kind::Cumulative),
        Ok(KindMessage::Gauge) => Ok(Kind::Gauge),
        Ok(KindMessage::Unspecified) => Err(required("metric.kind", "say DELTA, CUMULATIVE or GAUGE")),
        Err(_) => Err(Fault::new(
            Reason::FieldInvalid,
            "metric.kind",
            format!("{number} is no kind; say DELTA, CUMULATIVE or GAUGE"),
        )
        .with("kind", number)),
    }
}

fn scale(digits: i32) -> Result<u8, Fault> {
    u8::try_from(digits).ok().filter(|digits| *digits <= 9).ok_or_else(|| {
        let why = format!("{digits} is no scale; say how many digits stand after the point, 0 to 9");
        Fault::new(Reason::FieldInvalid, "metric.scale", why).with("scale", digits)
    })
}

fn label_names(names: &[String], faults: &mut Faults) -> Option<Vec<String>> {
    let before = faults.count();
    if names.len() > LABELS_MAX {
        let why = format!("has {} names; a metric has at most {LABELS_MAX} labels", names.len());
        faults.push(Fault::new(Reason::TooLarge, "metric.label_names", why).with("labels", names.len()));
    }
    for (i, name) in names.iter().enumerate().take(LABELS_MAX + 1) {
        let shown = cut(name);
        let why = if !is_label_name(name) {
            format!("{shown:?} is no label's name; write a letter or _, and up to 127 of A-Z a-z 0-9 _ . -")
        } else if names[..i].contains(name) {
            format!("{shown} stands here twice; name each label once")
        } else {
            continue;
        };
        let field = format!("metric.label_names[{i}]");
        faults.push(Fault::new(Reason::FieldInvalid, field, why).with("label", name));
    }
    (faults.count() == before).then(|| names.to_vec())
}

fn period(text: &str) -> Result<Option<Period>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    Period::parse(text).map(Some).ok_or_else(|| {
        let shown = cut(text);
        let why = format!(
            "{shown:?} is no period; say PT1M to PT12H (whole minutes that divide 24 hours), P1D, P1W, P1M, P3M, \
             P1Y, or nothing where the metric is irregular"
        );
        Fault::new(Reason::FieldInvalid, "metric.period", why).with("period", text)
    })
}

/// A zone by its IANA name; empty: UTC.
pub fn zone(name: &str, field: impl Into<String>) -> Result<Zone, Fault> {
    if name.is_empty() {
        return Ok(Zone::utc());
    }
    Zone::parse(name).ok_or_else(|| {
        let why = format!("{:?} is no time zone; give an IANA name as Europe/London, written as IANA does", cut(name));
        Fault::new(Reason::TimeZoneUnknown, field, why).with("time_zone", name)
    })
}

/// The day weeks start; unspecified: Monday.
pub fn week_start(number: i32, field: impl Into<String>) -> Result<Weekday, Fault> {
    Ok(match DayOfWeek::try_from(number) {
        Ok(DayOfWeek::Unspecified | DayOfWeek::Monday) => Weekday::Monday,
        Ok(DayOfWeek::Tuesday) => Weekday::Tuesday,
        Ok(DayOfWeek::Wednesday) => Weekday::Wednesday,
        Ok(DayOfWeek::Thursday) => Weekday::Thursday,
        Ok(DayOfWeek::Friday) => Weekday::Friday,
        Ok(DayOfWeek::Saturday) => Weekday::Saturday,
        Ok(DayOfWeek::Sunday) => Weekday::Sunday,
        Err(_) => {
            let why = format!("{number} is no day of the week; say MONDAY to SUNDAY");
            return Err(Fault::new(Reason::FieldInvalid, field, why).with("week_start", number));
        }
    })
}

/// The day years start: month 1 to 12, day 1 to 28.
pub fn year_start(said: v1::MonthDay, field: impl Into<String>) -> Result<MonthDay, Fault> {
    let (month, day) = (u8::try_from(said.month).unwrap_or(0), u8::try_from(said.day).unwrap_or(0));
    if (1..=12).contains(&month) && (1..=28).contains(&day) {
        return Ok(MonthDay { month, day });
    }
    let why = format!("month {} and day {} start no year; month is 1 to 12, day 1 to 28", said.month, said.day);
    Err(Fault::new(Reason::FieldInvalid, field, why).with("month", said.month).with("day", said.day))
}

fn overdue_after(said: Option<&prost_types::Duration>) -> Result<Option<i64>, Fault> {
    let Some(said) = said else { return Ok(None) };
    nanos(said).filter(|nanos| *nanos > 0).map(Some).ok_or_else(|| {
        let (seconds, nanos) = (said.seconds, said.nanos);
        let why = format!("{seconds} seconds and {nanos} nanos are no time to wait; say more than 0, under 292 years");
        Fault::new(Reason::FieldInvalid, "metric.overdue_after", why).with("seconds", seconds).with("nanos", nanos)
    })
}

/// A kind as the contract writes it.
pub fn kind_message(kind: Kind) -> KindMessage {
    match kind {
        Kind::Delta => KindMessage::Delta,
        Kind::Cumulative => KindMessage::Cumulative,
        Kind::Gauge => KindMessage::Gauge,
    }
}

/// A day of the week as the contract writes it.
pub fn day_message(day: Weekday) -> DayOfWeek {
    match day {
        Weekday::Monday => DayOfWeek::Monday,
        Weekday::Tuesday => DayOfWeek::Tuesday,
        Weekday::Wednesday => DayOfWeek::Wednesday,
        Weekday::Thursday => DayOfWeek::Thursday,
        Weekday::Friday => DayOfWeek::Friday,
        Weekday::Saturday => DayOfWeek::Saturday,
        Weekday::Sunday => DayOfWeek::Sunday,
    }
}

/// A definition as the contract writes it, every default spelled out.
pub fn message(definition: &Definition) -> v1::Metric {
    v1::Metric {
        name: definition.name.to_string(),
        display_name: definition.display_name.clone(),
        description: definition.description.clone(),
        unit: definition.unit.clone(),
        kind: kind_message(definition.kind) as i32,
        scale: i32::from(definition.scale),
        label_names: definition.label_names.clone(),
        period: definition.period.map(Period::text).unwrap_or_default(),
        time_zone: definition.zone.name().to_owned(),
        week_start: day_message(definition.week_start) as i32,
        year_start: Some(v1::MonthDay {
            month: i32::from(definition.year_start.month),
            day: i32::from(definition.year_start.day),
        }),
        overdue_after: definition.overdue_after_nanos.map(duration),
        create_time: Some(timestamp(definition.create_time)),
        update_time: Some(timestamp(definition.update_time)),
    }
}
