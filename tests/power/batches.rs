//! Batches at random: points early and late, corrections, sums, retractions, openings, changes of the catalogue; and
//! the same as the engine takes them.

use crate::oracle::{COMPONENTS, Deed, LABELS, METRICS, Oracle, Points, Sent, Writes};
use milepost::domain::calendar::Period;
use milepost::domain::definition::{Definition, Kind};
use milepost::domain::name::{ComponentName, MetricName};
use milepost::domain::point::{Labels, Point};
use milepost::domain::time::{Interval, Time};
use milepost::engine::batch::{Batch, Change, Column, Filter, Mode, Origin, Patch, Retraction, SeriesWrite};
use milepost::random::SeededRandom;
use std::collections::BTreeMap;

/// Nanoseconds.
pub const HOUR: i64 = 3_600_000_000_000;
/// Points lie at hours from 0 to here.
pub const HOURS: i64 = 60;

/// Makes batches.
pub struct Batches {
    random: SeededRandom,
    number: u64,
}

impl Batches {
    /// The same ones for the same seed and the same states.
    pub fn new(seed: u64) -> Batches {
        Batches { random: SeededRandom::new(seed), number: 0 }
    }

    /// A number below a bound.
    pub fn below(&self, bound: u64) -> u64 {
        self.random.next() % bound
    }

    fn writes(&self, metrics: &[usize], lowest: i64) -> Writes {
        let mut writes: BTreeMap<(usize, usize), Points> = BTreeMap::new();
        for _ in 0..=self.below(2) {
            let metric = metrics[self.below(metrics.len() as u64) as usize];
            let label = self.below(LABELS.len() as u64) as usize;
            let from = self.below(HOURS as u64) as i64;
            let points = writes.entry((metric, label)).or_default();
            for hour in from..(from + 1 + self.below(12) as i64).min(HOURS) {
                if self.below(4) > 0 {
                    points.insert(hour, lowest + self.below(30) as i64);
                }
            }
            points.insert(from, lowest + self.below(30) as i64);
        }
        writes.into_iter().map(|((metric, label), points)| (metric, label, points)).collect()
    }

    /// The next batch, of metrics that are there but for one in twenty.
    pub fn next(&mut self, oracle: &Oracle) -> Sent {
        self.number += 1;
        let component = self.below(COMPONENTS.len() as u64) as usize;
        let there: Vec<usize> = oracle.components[component].now().keys().copied().collect();
        let any = self.below(METRICS.len() as u64) as usize;
        let one = if there.is_empty() { any } else { there[self.below(there.len() as u64) as usize] };
        let metrics = if self.below(20) == 0 { vec![any] } else { vec![one] };
        let label = self.below(LABELS.len() as u64) as usize;
        let some_label = (self.below(2) == 0).then_some(label);
        let hour = self.below(HOURS as u64) as i64;
        let counts = METRICS[metrics[0]].1;
        let deed = match self.below(24) {
            0 | 1 => Deed::Create(any, format!("made by {}", self.number)),
            2 => Deed::Describe(one, format!("said by {}", self.number)),
            3 if self.below(2) == 0 => Deed::Delete(one),
            4 | 5 => Deed::RetractHours(one, some_label, (hour..hour + 1 + self.below(4) as i64).collect()),
            6 => Deed::RetractSpan(one, some_label, hour, hour + 1 + self.below(10) as i64),
            7 | 8 if counts != Kind::Gauge => {
                let opening = (-1 - self.below(5) as i64, self.below(100) as i64);
                Deed::Opening(metrics[0], label, (self.below(4) > 0).then_some(opening))
            }
            9..=13 if counts == Kind::Delta => Deed::Add(self.writes(&metrics, -5)),
            _ if there.is_empty() => Deed::Create(any, format!("made by {}", self.number)),
            _ => Deed::Set(self.writes(&there, -5)),
        };
        let catalogue = matches!(deed, Deed::Create(..) | Deed::Describe(..) | Deed::Delete(_));
        let wants_id = matches!(deed, Deed::Add(_) | Deed::RetractHours(..) | Deed::RetractSpan(..));
        let id = match !catalogue && (wants_id || self.below(3) > 0) {
            true => format!("id-{}", self.number),
            false => String::new(),
        };
        Sent { component, id, reason: format!("reason {}", self.number), deed }
    }
}

/// A component's name.
pub fn component_name(component: usize) -> ComponentName {
    ComponentName::parse(COMPONENTS[component]).expect("it is a name")
}

/// A metric's name.
pub fn metric_name(component: usize, metric: usize) -> MetricName {
    MetricName::parse(&format!("{}/{}", COMPONENTS[component], METRICS[metric].0)).expect("it is a name")
}

/// A series' labels.
pub fn labels(label: usize) -> Labels {
    vec![LABELS[label].into()].into()
}

/// A point of a kind.
pub fn point(kind: Kind, hour: i64, value: i64) -> Point {
    let time = Time(hour * HOUR);
    match kind {
        Kind::Delta => Point::of_period(time, time.plus(HOUR), value),
        // Any level may follow any other.
        Kind::Cumulative => Point { restated: true, ..Point::at(time, value) },
        Kind::Gauge => Point::at(time, value),
    }
}

fn definition(component: usize, metric: usize, description: &str) -> Definition {
    Definition {
        description: description.to_string(),
        label_names: vec!["label".to_string()],
        period: Some(Period::Minutes(60)),
        ..Definition::new(metric_name(component, metric), METRICS[metric].1)
    }
}

fn series(component: usize, writes: &Writes) -> Vec<SeriesWrite> {
    let one = |(entry, (metric, label, points)): (usize, &(usize, usize, Points))| SeriesWrite {
        metric: metric_name(component, *metric),
        labels: labels(*label),
        points: points.iter().map(|(hour, value)| point(METRICS[*metric].1, *hour, *value)).collect::<Vec<_>>().into(),
        end_given: Column::of(0, points.len()),
        origin: Origin::Entry(entry as u32),
    };
    writes.iter().enumerate().map(one).collect()
}

fn filters(label: Option<usize>) -> Vec<Filter> {
    label.map(|label| Filter::new(0, vec![LABELS[label].to_string()], Vec::new())).into_iter().collect()
}

/// What the engine is given.
pub fn batch(sent: &Sent) -> Batch {
    let name = |metric: &usize| metric_name(sent.component, *metric);
    let change = match &sent.deed {
        Deed::Set(writes) => Change::Points { mode: Mode::Set, series: series(sent.component, writes) },
        Deed::Add(writes) => Change::Points { mode: Mode::Add, series: series(sent.component, writes) },
        Deed::RetractHours(metric, label, hours) => {
            let what = Retraction::Times(hours.iter().map(|hour| Time(hour * HOUR)).collect());
            Change::Retract { metric: name(metric), filters: filters(*label), what }
        }
        Deed::RetractSpan(metric, label, from, to) => {
            let what = Retraction::Interval(Interval::new(Time(from * HOUR), Time(to * HOUR)));
            Change::Retract { metric: name(metric), filters: filters(*label), what }
        }
        Deed::Opening(metric, label, opening) => {
            let opening = opening.map(|(hour, value)| (Time(hour * HOUR), value));
            Change::Opening { metric: name(metric), labels: labels(*label), opening }
        }
        Deed::Create(metric, description) => Change::Create(Box::new(definition(sent.component, *metric, description))),
        Deed::Describe(metric, description) => {
            let patch = Box::new(Patch { description: Some(description.clone()), ..Patch::default() });
            Change::Update { metric: name(metric), patch }
        }
        Deed::Delete(metric) => Change::Delete { metric: name(metric), force: true },
    };
    Batch {
        component: component_name(sent.component),
        who: "team".to_string(),
        request_id: sent.id.clone(),
        reason: sent.reason.clone(),
        validate_only: false,
        change,
    }
}
