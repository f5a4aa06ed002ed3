//! What must hold of a series once a batch is in: DELTA periods do not overlap, CUMULATIVE levels do not fall
//! unless they say why, nothing lies before the opening.

use crate::domain::definition::Kind;
use crate::domain::point::{Opening, Point};
use crate::domain::time::{Interval, Time};
use crate::engine::batch::{Change, Fault, FaultKind, SeriesWrite};
use crate::engine::block::{Column, Columns};
use crate::engine::effect::{Around, Deed, SeriesDeed, SeriesKey};
use crate::engine::history::History;
use crate::engine::lost::Whose;
use crate::engine::state::{Component, Series};
use crate::engine::tree::apply::Changes;
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
    /// What is there now.
    changes: &'a Changes,
    /// Where the request says so.
    origin: Option<&'a SeriesWrite>,
    appended: bool,
}

impl Keys<'_> {
    /// Asked only of keys with a fault.
    fn place(&self, time: Time) -> (u32, u32) {
        self.origin.map_or((0, 0), |write| write.origin.of(write.points.at_or_after(time)))
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
                before_first = Changes::TakenBack(Column::of(first.0 - 1, 1));
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
            lost: series.lost(),
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
    let changes = keys.changes;
    let last = changes.len() - 1;
    for i in 0..=last {
        let (time, point) = (changes.time(i), changes.point(i));
        let mut tell = |what: Option<FaultKind>| {
            faults.extend(what.map(|what| Fault { at: keys.place(time), labels: Some(series.labels.clone()), what }));
        };
        let before = if keys.appended && i > 0 {
            changes.point(i - 1)
        } else {
            match walk.last_before(root, time) {
                // Whatever is lost before it, it suits.
                Err(StoreError::Damaged { .. }) if suits_what_is_lost(rule, series, time, point.as_ref()) => {
                    Walk { lost: &[], ..*walk }.last_before(root, time)?
                }
                before => before?,
            }
        };
        if let Some(point) = &point {
            tell(rule.against_opening(point));
            tell(rule.pair(before.as_ref(), point, point));
        }
        if keys.appended && i < last {
            continue;
        }
        let later = Interval::new(time.next(), Time::MAX);
        let after = match walk.first(root, later) {
            Err(StoreError::Damaged { .. }) if suits_what_is_lost_after(rule, series, time, point.as_ref()) => {
                Walk { lost: &[], ..*walk }.first(root, later)?
            }
            after => after?,
        };
        // A neighbour that the batch changed too tells of the pair itself.
        let told = after.is_some_and(|after| i < last && changes.time(i + 1) == after.time);
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
    let before = || series.lost().iter().filter(|lost| lost.first < time);
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
    let mut after = series.lost().iter().filter(|lost| lost.last > time).peekable();
    after.peek().is_some() && after.all(|lost| point.end <= lost.first)
}

/// Whether two numbers say that each of these points ends before the next one begins.
fn ends_in_time(points: &Columns) -> bool {
    let (Column::Even { step, .. }, Column::Even { first, step: 0, .. }) = (&points.times, &points.ends) else {
        return false;
    };
    (0..=*step).contains(first)
}

/// The rules of one series.
pub(super) struct Rule<'a> {
    pub kind: Kind,
    pub opening: Option<&'a Opening>,
}

impl Rule<'_> {
    /// Whether nothing is wrong with points that follow one another but, maybe, what lies before the first one. Cost:
    /// nothing where times are even and ends all as long after them, else some 2 ns a point.
    pub(super) fn suit_each_other(&self, points: &Columns) -> bool {
        let follow = |suits: fn(&Columns, usize) -> bool| (1..points.len()).all(|i| suits(points, i));
        // A later point lies before the opening only where the first one does.
        self.against_opening(&points.point(0)).is_none()
            && match self.kind {
                Kind::Gauge => true,
                Kind::Delta => ends_in_time(points) || follow(|points, i| points.point(i - 1).end <= points.time(i)),
                Kind::Cumulative => follow(|points, i| points.values.at(i - 1) <= points.values.at(i)),
            }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Points that are said to suit each other do, pair by pair; of DELTA the others do not.
        #[test]
        fn points_that_suit_each_other_do(
            points in prop::collection::vec((1i64..4, 0i64..5, -1i64..9, any::<bool>()), 1..9),
            even: bool, opening in prop::option::of(-2i64..20),
        ) {
            let opening = opening.map(|time| Opening { time: Time(time), value: 0, note: String::new() });
            let mut time = Time(0);
            let (step, length) = (points[0].0, points[0].1);
            let one = |(own_step, own_length, value, restated): &(i64, i64, i64, bool)| {
                time = time.plus(if even { step } else { *own_step });
                let end = time.plus(if even { length } else { *own_length });
                Point { restated: *restated, ..Point::of_period(time, end, *value) }
            };
            let points: Vec<Point> = points.iter().map(one).collect();
            for kind in [Kind::Delta, Kind::Cumulative] {
                let rule = Rule { kind, opening: opening.as_ref() };
                let pairs = points.windows(2).all(|pair| rule.pair(Some(&pair[0]), &pair[1], &pair[1]).is_none());
                let all_do = pairs && points.iter().all(|point| rule.against_opening(point).is_none());
                let said = rule.suit_each_other(&points.clone().into());
                prop_assert!(all_do || !said, "{:?}", kind);
                prop_assert!(said || !all_do || kind == Kind::Cumulative);
            }
        }
    }

    /// An end further from its time than 64 bits say is no reason to believe that the next point begins after it.
    #[test]
    fn far_ends_are_compared_as_they_are() {
        let (first, last) = (Time(i64::MIN / 2), Time(i64::MAX / 4 * 3));
        let points = vec![Point::of_period(first, last, 1), Point::of_period(first.next(), last.next(), 1)];
        let rule = Rule { kind: Kind::Delta, opening: None };
        assert!(!rule.suit_each_other(&points.into()));
    }
}
