//! Making, changing and deleting metrics.

use super::{Finding, refuse};
use crate::domain::definition::Definition;
use crate::domain::name::MetricName;
use crate::domain::time::Time;
use crate::engine::batch::{Fault, FaultKind, MetricId, Patch, Refused};
use crate::engine::effect::Deed;
use crate::engine::state::{Component, Metric};
use std::sync::Arc;

fn finding(deed: Deed, definition: Option<Arc<Definition>>) -> Finding {
    Finding { deed, definition, ..Finding::default() }
}

fn fault<T>(what: FaultKind) -> Result<T, Refused> {
    refuse(vec![Fault { at: (0, 0), labels: None, what }])?;
    unreachable!("a fault refuses")
}

fn there<'a>(component: &'a Component, name: &MetricName) -> Result<&'a Arc<Metric>, Refused> {
    match component.metrics.get(name) {
        Some(metric) => Ok(metric),
        None => fault(FaultKind::MetricNotFound(name.clone())),
    }
}

pub(super) fn create(component: &Component, asked: &Definition, now: Time) -> Result<Finding, Refused> {
    if let Some(metric) = component.metrics.get(&asked.name) {
        let fields = metric.definition().differing_fields(asked);
        if !fields.is_empty() {
            return fault(FaultKind::MetricDiffers(asked.name.clone(), fields));
        }
        return Ok(finding(Deed::Nothing, Some(metric.definition().clone())));
    }
    let made = Arc::new(Definition { create_time: now, update_time: now, ..asked.clone() });
    Ok(finding(Deed::Define(MetricId(component.next_metric), made.clone()), Some(made)))
}

pub(super) fn update(component: &Component, name: &MetricName, patch: &Patch, now: Time) -> Result<Finding, Refused> {
    let metric = there(component, name)?;
    let old = metric.definition();
    let mut new = patched(old, patch);
    if new == **old {
        return Ok(finding(Deed::Nothing, Some(old.clone())));
    }
    let fields = old.differing_fields(&new);
    if metric.written && !fields.is_empty() {
        return fault(FaultKind::MetricInUse(name.clone(), fields));
    }
    new.update_time = now;
    let new = Arc::new(new);
    Ok(finding(Deed::Define(metric.id, new.clone()), Some(new)))
}

fn patched(old: &Definition, patch: &Patch) -> Definition {
    let p = patch.clone();
    Definition {
        name: old.name.clone(),
        display_name: p.display_name.unwrap_or_else(|| old.display_name.clone()),
        description: p.description.unwrap_or_else(|| old.description.clone()),
        unit: p.unit.unwrap_or_else(|| old.unit.clone()),
        kind: p.kind.unwrap_or(old.kind),
        scale: p.scale.unwrap_or(old.scale),
        label_names: p.label_names.unwrap_or_else(|| old.label_names.clone()),
        period: p.period.unwrap_or(old.period),
        zone: p.zone.unwrap_or_else(|| old.zone.clone()),
        week_start: p.week_start.unwrap_or(old.week_start),
        year_start: p.year_start.unwrap_or(old.year_start),
        overdue_after_nanos: p.overdue_after_nanos.unwrap_or(old.overdue_after_nanos),
        create_time: old.create_time,
        update_time: old.update_time,
    }
}

pub(super) fn delete(component: &Component, name: &MetricName, force: bool) -> Result<Finding, Refused> {
    let metric = there(component, name)?;
    if !force && metric.has_content() {
        return fault(FaultKind::MetricInUse(name.clone(), Vec::new()));
    }
    Ok(finding(Deed::Delete(metric.id, metric.definition().clone()), None))
}
