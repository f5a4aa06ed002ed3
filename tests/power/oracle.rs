//! What must be there, in plain maps: every batch that counts applied one after the other, each revision kept whole.
//! It shares no code with the engine, and knows nothing of files.

use milepost::domain::definition::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Components, by number.
pub const COMPONENTS: [&str; 2] = ["notify", "pay"];
/// Metrics of every component, by number, each of its kind for ever.
pub const METRICS: [(&str, Kind); 3] =
    [("cumulative", Kind::Cumulative), ("delta", Kind::Delta), ("gauge", Kind::Gauge)];
/// Values of the one label.
pub const LABELS: [&str; 3] = ["a", "b", "c"];

/// Points by hour.
pub type Points = BTreeMap<i64, i64>;
/// (metric, label, points by hour), sorted.
pub type Writes = Vec<(usize, usize, Points)>;

/// A batch as a client sends it.
#[derive(Clone, PartialEq, Debug)]
pub struct Sent {
    /// Whose.
    pub component: usize,
    /// Empty: none.
    pub id: String,
    /// Kept with it.
    pub reason: String,
    /// What it does.
    pub deed: Deed,
}

/// What a batch does.
#[derive(Clone, PartialEq, Debug)]
pub enum Deed {
    Set(Writes),
    Add(Writes),
    /// Of one label or of all.
    RetractHours(usize, Option<usize>, BTreeSet<i64>),
    RetractSpan(usize, Option<usize>, i64, i64),
    /// At an hour; None removes.
    Opening(usize, usize, Option<(i64, i64)>),
    Create(usize, String),
    Describe(usize, String),
    Delete(usize),
}

/// How a batch is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The state forbids it.
    Refused,
    /// Its id was used with another creation of its metric.
    IdReused,
    /// Revision; accepted, unchanged, corrected.
    Taken { revision: i64, counts: [u64; 3], replayed: bool },
}

/// A series.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Series {
    pub points: Points,
    /// Hour, value, note.
    pub opening: Option<(i64, i64, String)>,
}

/// A metric.
#[derive(Clone, PartialEq, Debug)]
pub struct Metric {
    /// Which creation.
    pub made: u64,
    pub description: String,
    pub series: BTreeMap<usize, Series>,
}

/// The metrics of a component.
pub type Metrics = BTreeMap<usize, Metric>;

/// A component.
#[derive(Clone, PartialEq, Debug)]
pub struct Component {
    /// By revision, from 0.
    pub past: Vec<Arc<Metrics>>,
    made: u64,
    ids: BTreeMap<String, Remembered>,
}

#[derive(Clone, PartialEq, Debug)]
struct Remembered {
    /// The metrics it named, each with its creation.
    metrics: Vec<(usize, u64)>,
    revision: i64,
    counts: [u64; 3],
}

/// Everything.
#[derive(Clone, PartialEq, Debug)]
pub struct Oracle {
    pub components: Vec<Component>,
}

impl Oracle {
    /// Nothing yet.
    pub fn new() -> Oracle {
        let empty = Component { past: vec![Arc::default()], made: 0, ids: BTreeMap::new() };
        Oracle { components: vec![empty; COMPONENTS.len()] }
    }

    /// Whether a batch's id is remembered.
    pub fn remembers(&self, sent: &Sent) -> bool {
        self.components[sent.component].ids.contains_key(&sent.id)
    }

    /// As it is where a revision of a component had not written these hours of a series, which nothing else writes.
    pub fn without(
        &self,
        (component, metric, label): (usize, usize, usize),
        revision: i64,
        hours: std::ops::Range<i64>,
    ) -> Oracle {
        let mut without = self.clone();
        for then in &mut without.components[component].past[revision as usize..] {
            let Some(metric) = Arc::make_mut(then).get_mut(&metric) else { continue };
            let Some(series) = metric.series.get_mut(&label) else { continue };
            series.points.retain(|hour, _| !hours.contains(hour));
            if series.points.is_empty() && series.opening.is_none() {
                metric.series.remove(&label);
            }
        }
        without
    }

    /// Applies a batch.
    pub fn take(&mut self, sent: &Sent) -> Answer {
        self.components[sent.component].take(sent)
    }
}

impl Deed {
    /// The metrics it names.
    fn metrics(&self) -> BTreeSet<usize> {
        match self {
            Deed::Set(writes) | Deed::Add(writes) => writes.iter().map(|(metric, _, _)| *metric).collect(),
            Deed::RetractHours(metric, ..)
            | Deed::RetractSpan(metric, ..)
            | Deed::Opening(metric, ..)
            | Deed::Create(metric, _)
            | Deed::Describe(metric, _)
            | Deed::Delete(metric) => BTreeSet::from([*metric]),
        }
    }
}

impl Component {
    /// The last revision.
    pub fn revision(&self) -> i64 {
        self.past.len() as i64 - 1
    }

    /// As it is now.
    pub fn now(&self) -> &Metrics {
        self.past.last().expect("revision 0 is there")
    }

    fn take(&mut self, sent: &Sent) -> Answer {
        if let Some(first) = self.ids.get(&sent.id) {
            let made_again = |(metric, made): &(usize, u64)| self.now().get(metric).is_some_and(|m| m.made != *made);
            return match first.metrics.iter().any(made_again) {
                true => Answer::IdReused,
                false => Answer::Taken { revision: first.revision, counts: first.counts, replayed: true },
            };
        }
        let named = sent.deed.metrics();
        let is_create = matches!(sent.deed, Deed::Create(..));
        if !is_create && named.iter().any(|metric| !self.now().contains_key(metric)) {
            return Answer::Refused;
        }
        let mut next = Metrics::clone(self.now());
        let made = named.iter().filter_map(|metric| Some((*metric, next.get(metric)?.made))).collect();
        let counts = self.apply(&mut next, sent);
        if next != *self.now() {
            self.past.push(Arc::new(next));
        }
        let revision = self.revision();
        if !sent.id.is_empty() {
            self.ids.insert(sent.id.clone(), Remembered { metrics: made, revision, counts });
        }
        Answer::Taken { revision, counts, replayed: false }
    }

    fn apply(&mut self, next: &mut Metrics, sent: &Sent) -> [u64; 3] {
        let mut counts = [0; 3];
        match &sent.deed {
            Deed::Set(writes) => write(next, writes, &mut counts, |_, new| new),
            Deed::Add(writes) => {
                write(next, writes, &mut counts, |old, added| old.unwrap_or(0) + added);
                counts[2] = 0;
            }
            Deed::RetractHours(metric, label, hours) => {
                for series in selected(next, *metric, *label) {
                    for hour in hours {
                        counts[usize::from(series.points.remove(hour).is_none())] += 1;
                    }
                }
            }
            Deed::RetractSpan(metric, label, from, to) => {
                for series in selected(next, *metric, *label) {
                    let before = series.points.len();
                    series.points.retain(|hour, _| hour < from || to <= hour);
                    counts[0] += (before - series.points.len()) as u64;
                }
            }
            Deed::Opening(metric, label, opening) => {
                counts[0] = 1;
                let series = next.get_mut(metric).expect("it is there").series.entry(*label).or_default();
                let opening = opening.map(|(hour, value)| (hour, value, sent.reason.clone()));
                counts[1] = u64::from(series.opening == opening);
                series.opening = opening;
            }
            Deed::Create(metric, description) => {
                if !next.contains_key(metric) {
                    self.made += 1;
                    let (made, description) = (self.made, description.clone());
                    next.insert(*metric, Metric { made, description, series: BTreeMap::new() });
                }
            }
            Deed::Describe(metric, description) => {
                next.get_mut(metric).expect("it is there").description.clone_from(description);
            }
            Deed::Delete(metric) => drop(next.remove(metric)),
        }
        // A series is there while it has a point or an opening.
        for metric in next.values_mut() {
            metric.series.retain(|_, series| !series.points.is_empty() || series.opening.is_some());
        }
        counts
    }
}

fn write(next: &mut Metrics, writes: &Writes, counts: &mut [u64; 3], value: impl Fn(Option<i64>, i64) -> i64) {
    for (metric, label, points) in writes {
        let series = next.get_mut(metric).expect("it is there").series.entry(*label).or_default();
        for (hour, sent) in points {
            let old = series.points.get(hour).copied();
            let new = value(old, *sent);
            series.points.insert(*hour, new);
            counts[0] += 1;
            match old {
                None => {}
                Some(old) if old == new => counts[1] += 1,
                Some(_) => counts[2] += 1,
            }
        }
    }
}

fn selected(next: &mut Metrics, metric: usize, label: Option<usize>) -> impl Iterator<Item = &mut Series> {
    let series = &mut next.get_mut(&metric).expect("it is there").series;
    series.iter_mut().filter(move |(at, _)| label.is_none_or(|label| label == **at)).map(|(_, series)| series)
}
