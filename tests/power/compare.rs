//! What the engine answers against what the oracle has: definitions, points, openings, sums and milestones, now and at
//! earlier revisions, to the last digit.

use crate::batches::{HOUR, HOURS, component_name, labels, metric_name, point};
use crate::oracle::{COMPONENTS, METRICS, Metric, Oracle, Series};
use milepost::domain::definition::Kind;
use milepost::domain::name::MetricName;
use milepost::domain::time::{Interval, Time};
use milepost::engine::view::{ChangesAsk, MetricView, SeriesView, View};
use milepost::engine::{AsOf, Engine, ViewError};
use milepost::random::SeededRandom;
use milepost::store::StoreError;

/// How much of a component is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revisions {
    /// The last one, and two others at random.
    Some,
    /// All.
    All,
}

/// Whether an answer may be that something is damaged, or that the disk failed; what is answered must be right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusals {
    None,
    Some,
}

/// Compares everything. Answers how many questions were refused.
pub async fn compare(
    engine: &Engine,
    oracle: &Oracle,
    revisions: Revisions,
    refusals: Refusals,
    chance: &SeededRandom,
) -> u64 {
    let mut refused = 0;
    for (number, component) in oracle.components.iter().enumerate() {
        let last = component.revision();
        let asked: Vec<i64> = match revisions {
            Revisions::All => (0..=last).collect(),
            Revisions::Some => (0..2).map(|_| chance.next() as i64 & i64::MAX).map(|n| n % (last + 1)).collect(),
        };
        for as_of in asked.into_iter().map(AsOf::Revision).chain([AsOf::Now]) {
            let view = match engine.view(&component_name(number), as_of).await {
                Ok(view) => view,
                Err(ViewError::Damaged(StoreError::Damaged { .. })) if refusals == Refusals::Some => {
                    refused += 1;
                    continue;
                }
                Err(error) => panic!("{} at {as_of:?}: {error}", COMPONENTS[number]),
            };
            let mut compared = Compared { refusals, refused: 0, view: &view, component: number };
            let revision = if let AsOf::Revision(revision) = as_of { revision } else { last };
            assert_eq!(view.revision(), revision, "the revision of {}", COMPONENTS[number]);
            let then = &component.past[revision as usize];
            let now = component.now();
            if let Some(metrics) = compared.answered(view.metrics()) {
                let names: Vec<MetricName> = metrics.iter().map(|m| m.definition.name.clone()).collect();
                let expected: Vec<MetricName> = now.keys().map(|metric| metric_name(number, *metric)).collect();
                assert_eq!(names, expected, "the metrics of {}", COMPONENTS[number]);
            }
            for (metric, current) in now {
                compared.metric(*metric, current, then.get(metric).filter(|then| then.made == current.made));
            }
            refused += compared.refused;
        }
    }
    refused
}

struct Compared<'a> {
    refusals: Refusals,
    refused: u64,
    view: &'a View,
    component: usize,
}

impl Compared<'_> {
    /// The answer, where there is one.
    fn answered<T>(&mut self, answer: Result<T, StoreError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(StoreError::Damaged { .. } | StoreError::Io { .. } | StoreError::Full { .. })
                if self.refusals == Refusals::Some =>
            {
                self.refused += 1;
                None
            }
            Err(error) => panic!("{}: {error}", COMPONENTS[self.component]),
        }
    }

    fn metric(&mut self, number: usize, now: &Metric, then: Option<&Metric>) {
        let name = metric_name(self.component, number);
        let Some(found) = self.answered(self.view.metric(&name)) else { return };
        let found: MetricView = found.expect("it is there");
        assert_eq!(found.definition.description, then.unwrap_or(now).description, "{}", name.as_str());
        let Some(series) = self.answered(found.series(&[])) else { return };
        let of = |series: &SeriesView| series.labels().clone();
        let expected: Vec<_> = then.iter().flat_map(|then| then.series.keys()).map(|label| labels(*label)).collect();
        let listed: Vec<_> = series.iter().map(of).collect();
        match self.refusals {
            Refusals::None => assert_eq!(listed, expected, "the series of {}", name.as_str()),
            // One whose lost points were all taken back since may be listed still.
            Refusals::Some => {
                assert!(expected.iter().all(|one| listed.contains(one)), "{} lists {listed:?}", name.as_str())
            }
        }
        for (label, expected) in then.iter().flat_map(|then| &then.series) {
            let found = series.iter().find(|found| *found.labels() == labels(*label)).expect("it is listed");
            self.series(METRICS[number].1, found, expected);
        }
        self.changes(&name);
    }

    fn series(&mut self, kind: Kind, found: &SeriesView, expected: &Series) {
        let at = format!("{:?} of {} at {}", found.labels(), COMPONENTS[self.component], self.view.revision());
        if let Some(opening) = self.answered(found.opening()) {
            let opening = opening.map(|opening| (opening.time.0 / HOUR, opening.value, opening.note.clone()));
            assert_eq!(opening, expected.opening, "the opening of {at}");
        }
        if let Some(points) = self.answered(found.points(Interval::ALL, usize::MAX)) {
            let expected: Vec<_> = expected.points.iter().map(|(hour, value)| point(kind, *hour, *value)).collect();
            assert_eq!(points, expected, "the points of {at}");
        }
        for (from, to) in [(0, HOURS), (HOURS / 5, HOURS / 2)] {
            let interval = Interval::new(Time(from * HOUR), Time(to * HOUR));
            let inside: Vec<(i64, i64)> =
                expected.points.range(from..to).map(|(hour, value)| (*hour, *value)).collect();
            let prefixes = prefixes(kind, &inside);
            if let Some(span) = self.answered(found.span(interval)) {
                let found = span.map(|span| (span.count as usize, span.sum, span.low, span.high));
                let highest = prefixes.iter().copied().max();
                let sums = prefixes.last().zip(prefixes.iter().copied().min()).zip(highest);
                let expected = sums.map(|((sum, low), high)| (inside.len(), *sum, low, high));
                assert_eq!(found, expected, "count, sum, lowest and highest of {from} to {to} of {at}");
            }
            let level = i128::from(from) + prefixes.last().map_or(3, |sum| sum / 2);
            if let Some(found) = self.answered(found.reach(interval, level)) {
                let levels: Vec<i128> = match kind {
                    Kind::Gauge => inside.iter().map(|(_, value)| i128::from(*value)).collect(),
                    _ => prefixes,
                };
                let expected = levels.iter().position(|reached| *reached >= level).map(|index| inside[index].0);
                assert_eq!(found.map(|found| found.point.time.0 / HOUR), expected, "the milestone {level} of {at}");
            }
        }
    }

    /// What happened to the metric can be read; what it says is another test's affair.
    fn changes(&mut self, metric: &MetricName) {
        let ask = ChangesAsk {
            metric: metric.clone(),
            filters: Vec::new(),
            from_revision: 1,
            to_revision: i64::MAX,
            include_new: true,
            after: None,
            rows_max: 1_000,
        };
        let read = self.view.changes(&ask);
        self.answered(read);
    }
}

/// What the first points come to, each with those before it.
fn prefixes(kind: Kind, points: &[(i64, i64)]) -> Vec<i128> {
    let mut sum = 0;
    let mut before = points.first().map_or(0, |(_, value)| *value);
    let step = |(_, value): &(i64, i64)| {
        sum += match kind {
            Kind::Cumulative => i128::from(*value) - i128::from(before),
            Kind::Delta | Kind::Gauge => i128::from(*value),
        };
        before = *value;
        sum
    };
    points.iter().map(step).collect()
}
