//! Protobuf to domain and back. The only place that names both.

pub mod batch;
pub mod change;
pub mod columns;
pub mod metric;
pub mod point;
pub mod query;
pub mod refused;
pub mod time;

use super::fault::{Fault, Faults, Reason, cut};
use crate::domain::definition::Definition;
use crate::domain::limit::{FILTERS_MAX, REASON_BYTES_MAX, REQUEST_ID_BYTES_MAX};
use crate::domain::name::{ComponentName, MetricName, is_label_value};
use crate::domain::point::{Labels, Opening};
use crate::engine::batch::Filter;
use crate::proto::v1::{LabelFilter, Opening as OpeningMessage};
use std::collections::BTreeMap;

/// A metric's full name, in `field`.
pub fn metric_name(text: &str, field: impl Into<String>) -> Result<MetricName, Fault> {
    MetricName::parse(text).ok_or_else(|| {
        if text.is_empty() {
            return required(field, "name the metric as \"component/metric\"");
        }
        let shown = cut(text);
        let why = format!(
            "{shown:?} is no metric's name; write \"component/metric\", each part a lower-case letter and up to 62 \
             of a-z 0-9 . _ -"
        );
        Fault::new(Reason::FieldInvalid, field, why).with("metric", text)
    })
}

/// A component's name, in `field`.
pub fn component_name(text: &str, field: impl Into<String>) -> Result<ComponentName, Fault> {
    ComponentName::parse(text).ok_or_else(|| {
        let shown = cut(text);
        let why = format!("{shown:?} is no component's name; write a lower-case letter and up to 62 of a-z 0-9 . _ -");
        Fault::new(Reason::FieldInvalid, field, why).with("component", text)
    })
}

/// A field that must be there is not; `fix` says what to do.
pub fn required(field: impl Into<String>, fix: &str) -> Fault {
    Fault::new(Reason::FieldRequired, field, format!("is required; {fix}"))
}

/// A metric that is not there, with the call that makes it.
pub fn not_found(name: &MetricName, field: impl Into<String>) -> Fault {
    Fault::new(
        Reason::MetricNotFound,
        field,
        format!(
            "metric {name} is not there; make it first, with its own kind and period: CreateMetric \
             {{\"metric\":{{\"name\":\"{name}\",\"kind\":\"DELTA\",\"period\":\"P1D\"}}}}"
        ),
    )
    .of_metric(name)
}

/// A request id: empty, or 1 to 64 printable ASCII characters.
pub fn request_id(text: &str, field: &str) -> Result<(), Fault> {
    if text.len() <= REQUEST_ID_BYTES_MAX && text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Ok(());
    }
    let shown = cut(text);
    let why = format!("{shown:?} is no request id; give 1 to 64 printable ASCII characters, a UUID if in doubt");
    Err(Fault::new(Reason::FieldInvalid, field, why).with("request_id", text))
}

/// A text of at most `bytes_max` bytes.
pub fn text(text: &str, bytes_max: usize, field: impl Into<String>) -> Result<(), Fault> {
    if text.len() <= bytes_max {
        return Ok(());
    }
    let why = format!("has {} bytes; send at most {bytes_max}", text.len());
    Err(Fault::new(Reason::TooLarge, field, why).with("bytes", text.len()).with("bytes_max", bytes_max))
}

/// A batch's reason, or an opening's note.
pub fn reason(said: &str, field: &str) -> Result<(), Fault> {
    text(said, REASON_BYTES_MAX, field)
}

/// Label values in the order of the metric's `label_names`: exactly those, none empty.
pub fn labels(
    map: &BTreeMap<String, String>,
    definition: &Definition,
    field: impl FnOnce() -> String,
) -> Result<Labels, Fault> {
    let names = &definition.label_names;
    if map.len() == names.len() {
        let values = names.iter().map_while(|name| map.get(name).filter(|value| is_label_value(value)));
        if let Some(labels) = Labels::of(values).filter(|labels| labels.len() == names.len()) {
            return Ok(labels);
        }
    }
    Err(labels_differ(map, names, field()))
}

/// The first thing that is wrong with labels that are known to differ.
fn labels_differ(map: &BTreeMap<String, String>, names: &[String], field: String) -> Fault {
    let expected = match names {
        [] => "the metric has no labels".to_owned(),
        _ => format!("the metric has exactly {}, each with a value", list(names)),
    };
    let missing: Vec<_> = names.iter().filter(|name| !map.contains_key(*name)).cloned().collect();
    let unknown: Vec<_> = map.keys().filter(|name| !names.contains(name)).cloned().collect();
    let mut fault = Fault::new(Reason::LabelsDiffer, field, "");
    let mut wrong = Vec::new();
    if !missing.is_empty() {
        wrong.push(format!("missing: {}", list(&missing)));
        fault = fault.with("missing", list(&missing));
    }
    if !unknown.is_empty() {
        wrong.push(format!("not of the metric: {}", list(&unknown)));
        fault = fault.with("unknown", list(&unknown));
    }
    if let Some((name, value)) = map.iter().find(|(name, value)| names.contains(name) && !is_label_value(value)) {
        let (value, name) = (cut(value), cut(name));
        wrong.push(format!("the value {value:?} of {name} is not 1 to 256 bytes without control characters"));
        fault = fault.with("label", name).with("value", value);
    }
    fault.description = format!("{}; {expected}", wrong.join("; "));
    fault.with("label_names", list(names))
}

/// Names, one after the other, cut short as a whole.
pub fn list<S: AsRef<str>>(names: &[S]) -> String {
    cut(&names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")).to_owned()
}

/// Filters in the one order they are compared in. Faults: a label that the metric has not.
pub fn filters(filters: &[LabelFilter], definition: &Definition, field: &str) -> Result<Vec<Filter>, Faults> {
    let mut faults = Faults::new();
    let count = filters.len();
    if count > FILTERS_MAX {
        let why = format!("has {count} filters; send at most {FILTERS_MAX}");
        return Err(Fault::new(Reason::TooLarge, field, why).with("filters", count).into());
    }
    let mut found = Vec::with_capacity(count);
    for (i, filter) in filters.iter().enumerate() {
        match definition.label_names.iter().position(|name| *name == filter.label) {
            Some(index) => {
                found.push(Filter::new(index, filter.any_of.clone(), filter.none_of.clone()));
            }
            None => faults.push(label_unknown(&filter.label, definition, format!("{field}[{i}].label"))),
        }
    }
    faults.check()?;
    found.sort_by(|a, b| (a.index, &a.any_of, &a.none_of).cmp(&(b.index, &b.any_of, &b.none_of)));
    found.dedup();
    Ok(found)
}

/// A label that the metric has not.
pub fn label_unknown(label: &str, definition: &Definition, field: impl Into<String>) -> Fault {
    let (name, shown) = (&definition.name, cut(label));
    let has = match &*definition.label_names {
        [] => "it has none".to_owned(),
        names => format!("it has {}", list(names)),
    };
    Fault::new(Reason::LabelUnknown, field, format!("{shown:?} is no label of {name}; {has}"))
        .with("label", label)
        .with("label_names", list(&definition.label_names))
        .of_metric(name)
}

/// Label values as the contract writes them.
pub fn labels_map(labels: &Labels, definition: &Definition) -> BTreeMap<String, String> {
    definition.label_names.iter().cloned().zip(labels.iter().map(|value| value.to_string())).collect()
}

/// An opening balance as the contract writes it.
pub fn opening(opening: &Opening, labels: &Labels, definition: &Definition) -> OpeningMessage {
    OpeningMessage {
        labels: labels_map(labels, definition),
        time: Some(time::timestamp(opening.time)),
        value: crate::domain::decimal::format(i128::from(opening.value), definition.scale),
        note: opening.note.clone(),
    }
}
