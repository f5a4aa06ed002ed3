//! The series that one row sums, and the facts about them.

use super::answer::{Edges, GroupFacts, GroupKey, NamedOpening, Openings};
use super::coverage::{self, Frame};
use super::fault::{Fault, QueryError, Reason};
use super::ledger::{Before, Flow, Ledger};
use crate::domain::definition::Kind;
use crate::domain::limit::OPENINGS_MAX;
use crate::domain::point::Labels;
use crate::domain::time::{Interval, Time};
use crate::engine::view::SeriesView;
use crate::store::StoreError;
use std::collections::BTreeMap;

/// The series that one row sums.
pub struct Group {
    /// Values of the `group_by` labels.
    pub(super) key: GroupKey,
    /// By label values.
    pub(super) ledgers: Vec<Ledger>,
    pub(super) kind: Kind,
}

impl Group {
    /// The groups of some series, by their values. A gauge's group of several is `NOT_ADDITIVE`.
    pub(super) fn all(series: Vec<SeriesView>, kind: Kind, group_by: &[usize]) -> Result<Vec<Group>, QueryError> {
        let ledger = |series| Ledger::new(series, kind);
        if group_by.is_empty() {
            let mut ledgers = Vec::with_capacity(series.len());
            for series in series {
                ledgers.push(ledger(series)?);
            }
            return Group { key: [].into(), ledgers, kind }.checked().map(|group| vec![group]);
        }
        let mut groups: BTreeMap<Vec<Box<str>>, Vec<Ledger>> = BTreeMap::new();
        for series in series {
            let key = group_by.iter().map(|&index| series.labels()[index].into()).collect();
            groups.entry(key).or_default().push(ledger(series)?);
        }
        let group = |(key, ledgers): (Vec<Box<str>>, _)| Group { key: key.into(), ledgers, kind }.checked();
        groups.into_iter().map(group).collect()
    }

    fn checked(self) -> Result<Group, QueryError> {
        match self.kind == Kind::Gauge && self.ledgers.len() > 1 {
            true => Err(not_additive(&self).into()),
            false => Ok(self),
        }
    }

    /// The total at `at` (None: of everything).
    pub(super) fn total(&self, at: Option<Time>) -> Result<Option<i128>, StoreError> {
        Ok(self.before(at)?.total)
    }

    /// What there was before `at` (None: ever).
    pub(super) fn before(&self, at: Option<Time>) -> Result<Before, StoreError> {
        let mut all = Before::default();
        for ledger in &self.ledgers {
            let Before { total, bounds, latest_end } = ledger.before(at)?;
            if let Some(more) = total {
                all.total = Some(all.total.unwrap_or(0) + more);
            }
            all.bounds = around(all.bounds, bounds);
            all.latest_end = all.latest_end.max(latest_end);
        }
        Ok(all)
    }

    /// What happened in `[start, end)`, openings left out.
    pub(super) fn flow(&self, window: Interval) -> Result<Flow, StoreError> {
        let mut all = Flow::default();
        for ledger in &self.ledgers {
            let flow = ledger.flow(window)?;
            all.sum += flow.sum;
            all.steps += flow.steps;
            all.points += flow.points;
            all.last_time = all.last_time.max(flow.last_time);
            all.latest_end = all.latest_end.max(flow.latest_end);
        }
        Ok(all)
    }

    /// Time of the first point or opening.
    pub(super) fn first(&self) -> Result<Option<Time>, StoreError> {
        let mut firsts = Vec::with_capacity(2 * self.ledgers.len());
        for ledger in &self.ledgers {
            firsts.extend(ledger.set_opening().map(|(time, _)| time));
            firsts.extend(ledger.first()?.map(|first| first.first_time));
        }
        Ok(firsts.into_iter().min())
    }

    /// Time of the last point or opening.
    pub(super) fn last(&self) -> Result<Option<Time>, StoreError> {
        let mut last = None;
        for ledger in &self.ledgers {
            let opening = ledger.set_opening().map(|(time, _)| time);
            last = last.max(opening).max(ledger.last()?.map(|last| last.last_time));
        }
        Ok(last)
    }

    /// Times of the first and the last point that count between these edges; None: there is none.
    pub(super) fn bounds(&self, edges: Edges) -> Result<Option<(Time, Time)>, StoreError> {
        let counted = Ledger::counted(self.kind, edges.interval());
        let mut bounds = None;
        for ledger in &self.ledgers {
            bounds = around(bounds, ledger.series().bounds(counted)?);
        }
        Ok(bounds)
    }

    /// What is to be known of the group over an interval, but for its first and its last point.
    pub(super) fn facts(&self, frame: &Frame<'_>) -> Result<GroupFacts, StoreError> {
        Ok(GroupFacts {
            group: self.key.clone(),
            series_count: self.ledgers.len() as u64,
            coverage: coverage::of(self, frame)?,
            openings: self.openings(frame.edges.end)?,
            next: None,
        })
    }

    /// The openings at or before `end`.
    fn openings(&self, end: Option<Time>) -> Result<Openings, StoreError> {
        let mut openings = Openings::default();
        for ledger in self.ledgers.iter().filter(|_| self.kind != Kind::Gauge) {
            let Some((time, value)) = ledger.opening()?.filter(|(time, _)| end.is_none_or(|end| *time <= end)) else {
                continue;
            };
            openings.count += 1;
            openings.sum += i128::from(value);
            if openings.first.len() < OPENINGS_MAX {
                let note = ledger.opening_note().to_owned();
                openings.first.push(NamedOpening { labels: ledger.labels().clone(), time, value, note });
            }
        }
        Ok(openings)
    }
}

/// From the earlier first to the later last of two.
fn around(one: Option<(Time, Time)>, other: Option<(Time, Time)>) -> Option<(Time, Time)> {
    match (one, other) {
        (Some((first, last)), Some((other_first, other_last))) => Some((first.min(other_first), last.max(other_last))),
        (one, other) => one.or(other),
    }
}

/// Bytes that a row of the group takes at most, beside its figures.
pub(super) fn key_bytes(group_by: &[String], key: &GroupKey) -> usize {
    group_by.iter().zip(key.iter()).map(|(name, value)| name.len() + value.len() + 12).sum()
}

/// Bytes that the facts take at most in an answer.
pub(super) fn facts_bytes(group_by: &[String], label_names: &[String], facts: &GroupFacts) -> usize {
    let names: usize = label_names.iter().map(|name| name.len() + 12).sum();
    let openings =
        facts.openings.first.iter().map(|opening| {
            names + opening.labels.iter().map(|value| value.len()).sum::<usize>() + opening.note.len() + 80
        });
    key_bytes(group_by, &facts.group) + facts.coverage.gaps.len() * 40 + openings.sum::<usize>() + 500
}

fn not_additive(group: &Group) -> Fault {
    let count = group.ledgers.len();
    let (first, second) = (group.ledgers[0].labels(), group.ledgers[1].labels());
    let shown = |labels: &Labels| super::fault::cut(&labels.join(", ")).to_owned();
    let what = format!(
        "levels cannot be summed: a group has {count} series, among them ({}) and ({}); filter to one, or group by \
         every label",
        shown(first),
        shown(second)
    );
    Fault::new(Reason::NotAdditive, "selection", what).with("series_count", count)
}
