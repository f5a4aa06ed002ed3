//! What must hold of a series once a batch is in: DELTA periods do not overlap, CUMULATIVE levels do not fall
//! unless they say why, nothing lies before the opening.

use crate::domain::definition::Kind;
use crate::domain::point::{Opening, Point};
use crate::domain::time::{Interval, Time};
use crate::engine::batch::{Change, Fault, FaultKind, SeriesWrite};
use crate::engine::effect::{Around, Deed, SeriesDeed, SeriesKey};
use crate::engine::history::History;
use crate::engine::lost::Whose;
use crate::engine::state::{Component, Series};
use crate::engine::tree::apply::KeyChange;
use crate::engine::tree::walk::{NoPast, Walk};
use crate::store::StoreError;

/// What of a batch is to be looked at.
pub(super) enum Check {
    /// The changed keys of a series.
    Keys {
        /// Its place in the deed.
        deed: usize,
        /// Its place in the batch, whose origin says where each key stands; None: that has no place in the request.
        write: Option<usize>,
        /// They are later than all others, so that each one's neighbour before is the one before it here.
        appended: bool,
    },
    /// The first point of a series that has an opening now.
    Opening(SeriesKey, Time),
}

/// The changed keys of one series.
struct Keys<'a> {
    /// In order of time: what is there now (None: nothing).
    changes: &'a [KeyChange],
    /// Where the request says so.
    origin: Option<&'a SeriesWrite>,
    appended: bool,
}

impl Keys<'_> {
    /// Asked only of keys with a fault.
    fn place(&self, time: Time) -> (u32, u32) {
        self.origin.map_or((0, 0), |write| write.origin.of(write.points.partition_point(|point| point.time < time)))
    }
}

pub(super) fn check(
    component: &Component,
    checks: &[Check],
    deed: &Deed,
    change: &Change,
    around: &Around,
) -> Result<Vec<Fault>, StoreError> {
    let deeds: &[SeriesDeed] = if let Deed::Points(deeds) = deed { deeds } else { &[] };
    let writes: &[SeriesWrite] = if let Change::Points { series, .. } = change { series } else { &[] };
    let mut faults = Vec::new();
    for check in checks {
        let before_first;
        let (key, keys) = match check {
            Check::Keys { deed, write, appended } => {
                let (deed, origin) = (&deeds[*deed], write.map(|write| &writes[write]));
                (&deed.key, Keys { changes: &deed.changes, origin, appended: *appended })
            }
            Check::Opening(key, first) => {
                before_first = [(Time(first.0 - 1), None)];
                (key, Keys { changes: &before_first, origin: None, appended: false })
            }
        };
        let Some(metric) = component.metrics.get(&key.metric) else { continue };
        let Some(series) = metric.series.get(&key.labels) else { continue };
        let kind = metric.definition().kind;
        let empty = History::default();
        let walk = Walk {
            kind,
            periods: metric.periods.as_deref(),
            revision: None,
            history: &empty,
            lost: &series.lost,
            whose: Whose { definition: metric.definition(), labels: &series.labels },
            loader: around.loader,
            past: &NoPast,
        };
        let rule = Rule { kind, opening: series.opening() };
        check_series(&rule, &walk, series, &keys, &mut faults)?;
    }
    Ok(faults)
}

fn check_series(
    rule: &Rule,
    walk: &Walk,
    series: &Series,
    keys: &Keys,
    faults: &mut Vec<Fault>,
) -> Result<(), StoreError> {
    let root = series.root.as_ref();
    let mut known_before: Option<Point> = None;
    for (i, (time, point)) in keys.changes.iter().enumerate() {
        let mut tell = |what: Option<FaultKind>| {
            faults.extend(what.map(|what| Fault { at: keys.place(*time), labels: Some(series.labels.clone()), what }));
        };
        let before = match known_before {
            Some(before) if keys.appended => Some(before),
            _ => match walk.last_before(root, *time) {
                // Whatever is lost before it, it suits.
                Err(StoreError::Damaged { .. }) if suits_what_is_lost(rule, series, *time, point.as_ref()) => {
                    Walk { lost: &[], ..*walk }.last_before(root, *time)?
                }
                before => before?,
            },
        };
        if let Some(point) = point {
            tell(rule.against_opening(point));
            tell(rule.pair(before.as_ref(), point, point));
            known_before = Some(*point);
        }
        if keys.appended && i + 1 < keys.changes.len() {
            continue;
        }
        let later = Interval::new(time.next(), Time::MAX);
        let after = match walk.first(root, later) {
            Err(StoreError::Damaged { .. }) if suits_what_is_lost_after(rule, series, *time, point.as_ref()) => {
                Walk { lost: &[], ..*walk }.first(root, later)?
            }
            after => after?,
        };
        // A neighbour that the batch changed too tells of the pair itself.
        let told = after.is_some_and(|after| keys.changes[i + 1..].first().is_some_and(|next| next.0 == after.time));
        if let (Some(after), false) = (after, told) {
            let left = point.or(before);
            if left.is_none() {
                tell(rule.against_opening(&after));
            }
            tell(rule.pair(left.as_ref(), &after, point.as_ref().unwrap_or(&after)));
        }
    }
    Ok(())
}

/// Whether a new point suits whatever is lost before it: DELTA periods there end before it begins, and a CUMULATIVE
/// report is restated, or counts anew since.
fn suits_what_is_lost(rule: &Rule, series: &Series, time: Time, point: Option<&Point>) -> bool {
    let Some(point) = point else { return false };
    let before = || series.lost.iter().filter(|lost| lost.first < time);
    before().next().is_some()
        && before().all(|lost| match rule.kind {
            Kind::Gauge => true,
            Kind::Delta => lost.last_end <= time,
            Kind::Cumulative => {
                lost.last < time && (point.restated || point.start.is_some_and(|start| start >= lost.last))
            }
        })
}

/// Whether a new point suits whatever is lost after it: it is of DELTA, and ends before that begins.
fn suits_what_is_lost_after(rule: &Rule, series: &Series, time: Time, point: Option<&Point>) -> bool {
    let Some(point) = point.filter(|_| rule.kind == Kind::Delta) else { return false };
    let mut after = series.lost.iter().filter(|lost| lost.last > time).peekable();
    after.peek().is_some() && after.all(|lost| point.end <= lost.first)
}

/// The rules of one series.
pub(super) struct Rule<'a> {
    pub kind: Kind,
    pub opening: Option<&'a Opening>,
}

impl Rule<'_> {
    /// A point against the opening.
    pub(super) fn against_opening(&self, point: &Point) -> Option<FaultKind> {
        let opening = self.opening?.time;
        let before = match self.kind {
            Kind::Delta => point.time < opening,
            Kind::Cumulative => point.time <= opening,
            Kind::Gauge => false,
        };
        before.then_some(FaultKind::BeforeOpening { point: point.time, opening })
    }

    /// A point and the one before it (None: the opening, where there is one); `written` is the one of the batch.
    pub(super) fn pair(&self, before: Option<&Point>, after: &Point, written: &Point) -> Option<FaultKind> {
        match self.kind {
            Kind::Gauge => None,
            Kind::Delta => {
                let before = before.filter(|before| before.end > after.time)?;
                let other = if written.time == after.time { before } else { after };
                Some(FaultKind::PeriodsOverlap { point: *written, other: *other })
            }
            Kind::Cumulative => {
                let (time, level) = match before {
                    Some(before) => (before.time, before.value),
                    None => self.opening.map(|opening| (opening.time, opening.value))?,
                };
                let began_again = after.start.is_some_and(|start| start >= time);
                let fell = after.value < level && !after.restated && !began_again;
                fell.then_some(FaultKind::LevelFell { before: (time, level), after: (after.time, after.value) })
            }
        }
    }
}
