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
    let mut new = patch.clone().applied_to(Definition::clone(old));
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

pub(super) fn delete(component: &Component, name: &MetricName, force: bool) -> Result<Finding, Refused> {
    let metric = there(component, name)?;
    if !force && metric.has_content() {
        return fault(FaultKind::MetricInUse(name.clone(), Vec::new()));
    }
    Ok(finding(Deed::Delete(metric.id, metric.definition().clone()), None))
}
