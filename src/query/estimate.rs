//! When a threshold may be reached: at the mean pace of the last year, or of the whole history where it is shorter;
//! between the paces of its fastest and its slowest quarter. Whole numbers throughout.

use super::answer::Estimate;
use super::group::Group;
use super::ledger::{Lead, Ledger};
use super::now::Now;
use crate::domain::definition::Kind;
use crate::domain::limit::{ESTIMATE_WINDOW_NANOS_MAX, TIME_MAX};
use crate::domain::time::{Interval, Time};
use crate::store::StoreError;

const GAUGE: &str = "a level has no pace";
const NOTHING: &str = "nothing was counted yet";
const TOO_LITTLE: &str = "too little history";
const NO_GROWTH: &str = "the total does not grow";
const BEYOND: &str = "it lies beyond the year 2200";
const PAST: &str = "at its pace it would be reached by now: too little came lately";

/// When the group's total, `total` at `end`, may be `remaining` higher; or why nobody can say. Never before `now`.
pub(super) fn when(
    group: &Group,
    end: Option<Time>,
    now: &Now,
    total: Option<i128>,
    remaining: i128,
) -> Result<Result<Estimate, &'static str>, StoreError> {
    if group.kind == Kind::Gauge {
        return Ok(Err(GAUGE));
    }
    if total.is_none() {
        return Ok(Err(NOTHING));
    }
    let Some(window) = window(group, end)? else { return Ok(Err(TOO_LITTLE)) };
    let flow = group.flow(counted(group.kind, window, window))?;
    if flow.steps < 2 {
        return Ok(Err(TOO_LITTLE));
    }
    if flow.sum <= 0 {
        return Ok(Err(NO_GROWTH));
    }
    let at_pace = |stretch: Interval, sum: i128| reached(window.end, remaining, stretch, sum);
    let Some(time) = at_pace(window, flow.sum) else { return Ok(Err(BEYOND)) };
    if now.has_come(time) {
        return Ok(Err(PAST));
    }
    let mut times = Vec::with_capacity(4);
    for quarter in quarters(window) {
        times.push(at_pace(quarter, group.flow(counted(group.kind, quarter, window))?.sum));
    }
    let earliest = times.iter().flatten().min().copied().unwrap_or(time).min(time);
    let latest = times.into_iter().collect::<Option<Vec<Time>>>().and_then(|times| times.into_iter().max());
    Ok(Ok(Estimate { window, time, earliest: now.or_later(earliest), latest }))
}

/// The stretch of time up to the last thing counted; None: there is none.
fn window(group: &Group, end: Option<Time>) -> Result<Option<Interval>, StoreError> {
    let limit = Ledger::limit(group.kind, end);
    let (mut first, mut last) = (Time::MAX, Time::MIN);
    for ledger in &group.ledgers {
        let Some(found) = ledger.series().span(Interval::new(Time::MIN, limit))? else { continue };
        first = first.min(match ledger.lead()? {
            Some(Lead::Step { from, .. }) => from,
            Some(Lead::Opening) | None => found.first_time,
        });
        last = last.max(found.last_end);
    }
    let window = Interval::new(first.max(last.plus(-ESTIMATE_WINDOW_NANOS_MAX)), last);
    Ok((!window.is_empty()).then_some(window))
}

/// What counts in a part of the window: a DELTA instant at its very end does.
fn counted(kind: Kind, part: Interval, window: Interval) -> Interval {
    let is_last = kind == Kind::Delta && part.end == window.end;
    Interval::new(part.start, if is_last { part.end.next() } else { part.end })
}

fn quarters(window: Interval) -> [Interval; 4] {
    let length = window.end.0 - window.start.0;
    let cut = |quarter: i64| window.start.plus(length / 4 * quarter + length % 4 * quarter / 4);
    [0, 1, 2, 3].map(|quarter| Interval::new(cut(quarter), cut(quarter + 1)))
}

/// When `remaining` more is there at a pace of `sum` a `stretch`; None: never, or beyond 2200.
fn reached(from: Time, remaining: i128, stretch: Interval, sum: i128) -> Option<Time> {
    let length = i128::from(stretch.end.0 - stretch.start.0);
    if sum <= 0 {
        return None;
    }
    let product = remaining.checked_mul(length)?;
    let nanos = product / sum + i128::from(product % sum != 0);
    let time = Time(i64::try_from(i128::from(from.0).checked_add(nanos)?).ok()?);
    (time <= TIME_MAX).then_some(time)
}
