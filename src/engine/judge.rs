//! Judging a batch against a component: what of it is new, unchanged, a correction; or why it is refused.
//! In memory but for blocks that hold the keys it touches.

mod catalog;
mod opening;
mod points;
mod result;
mod retract;

use super::batch::{Ack, Batch, Change, Fault, Refused};
use super::effect::{Around, Deed, Effect, Memo};
use super::state::Component;
use crate::domain::definition::Definition;
use crate::domain::time::Time;
use std::sync::Arc;

/// A batch that is taken.
pub struct Judged {
    /// What it does.
    pub effect: Effect,
    /// The component after it.
    pub next: Component,
    /// The answer.
    pub ack: Ack,
}

/// What a judge of one kind of change finds.
#[derive(Default)]
struct Finding {
    deed: Deed,
    added: bool,
    counts: [u64; 3],
    definition: Option<Arc<Definition>>,
    /// Faults that were found without doing the deed; what has one is not in the deed.
    faults: Vec<Fault>,
    /// Keys whose neighbours are to be looked at once the deed is done.
    checks: Vec<result::Check>,
}

/// Judges a batch, out of which points are taken that nothing is wrong with. `record_time` is what its revision will be
/// recorded at.
pub fn judge(
    component: &Component,
    batch: &mut Batch,
    memo: Option<Memo>,
    record_time: Time,
    around: &mut Around,
) -> Result<Judged, Refused> {
    // What was given up can be deleted, and made again.
    let clears = |name| matches!(&batch.change, Change::Delete { force: true, .. }) && component.is_given_up(name);
    if !component.lost.is_empty() {
        let named = super::dedup::metrics_of(&batch.change).into_iter().filter(|name| !clears(name));
        named.into_iter().try_for_each(|name| component.check_metric(name, None))?;
    }
    let found = match &mut batch.change {
        Change::Points { mode, series } => points::judge(component, *mode, series, around)?,
        Change::Retract { metric, filters, what } => retract::judge(component, metric, filters, what, around)?,
        Change::Opening { metric, labels, opening } => {
            opening::judge(component, metric, labels, *opening, &batch.reason)?
        }
        Change::Create(definition) => catalog::create(component, definition, record_time)?,
        Change::Update { metric, patch } => catalog::update(component, metric, patch, record_time)?,
        Change::Delete { metric, force } => catalog::delete(component, metric, *force)?,
    };
    let metric_ids = |mut memo: Memo| {
        let named = super::dedup::metrics_of(&batch.change);
        memo.metrics = named.iter().filter_map(|name| component.metrics.get(*name)).map(|m| m.id).collect();
        memo
    };
    let effect = Effect {
        memo: memo.map(metric_ids),
        who: batch.who.as_str().into(),
        reason: batch.reason.as_str().into(),
        added: found.added,
        deed: found.deed,
    };
    let mut next = component.clone();
    effect.apply(&mut next, record_time, around)?;
    let mut faults = found.faults;
    faults.extend(result::check(&next, &found.checks, &effect.deed, &batch.change, around)?);
    refuse(faults)?;
    let [accepted, unchanged, corrected] = found.counts;
    let revision = if batch.validate_only { component.revision } else { next.revision };
    let ack = Ack { revision, accepted, unchanged, corrected, replayed: false, definition: found.definition };
    Ok(Judged { effect, next, ack })
}

/// Faults are told in the order of the request.
fn refuse(mut faults: Vec<Fault>) -> Result<(), Refused> {
    if faults.is_empty() {
        return Ok(());
    }
    faults.sort_by_key(|fault| fault.at);
    Err(Refused::State(faults))
}
