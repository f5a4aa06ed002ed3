//! Random metrics, writes and questions: each step from a seed of its own and what is there, so
//! that a run stays meaningful when steps are left out of it.

mod questions;
pub mod retries;
mod writes;

use std::collections::BTreeMap;

use milepost::proto::v1::*;

use crate::{
    ask::{Ask, Reply},
    oracle::{Labels, Nanos, Oracle, Refused, State, calendar::Rule, timestamp},
};

pub const SECOND: Nanos = 1_000_000_000;
pub const HOUR: Nanos = 3_600 * SECOND;
pub const DAY: Nanos = 24 * HOUR;

const ZONES: [&str; 7] =
    ["", "UTC", "Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"];

/// Days near which clocks are changed, years begin, February ends, a date is skipped.
const BASES: [&str; 9] = [
    "2024-03-31T00:00:00Z",
    "2024-03-10T05:00:00Z",
    "2024-11-03T04:00:00Z",
    "2024-10-27T00:00:00Z",
    "2024-04-06T14:00:00Z",
    "2011-12-30T10:00:00Z",
    "2024-02-28T18:30:00Z",
    "2020-12-31T00:00:00Z",
    "1970-01-01T00:00:00Z",
];

/// Small numbers from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// `low <= n < high`.
    pub fn within(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low) as u64) as i64
    }

    pub fn percent(&mut self, chance: i64) -> bool {
        self.within(0, 100) < chance
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.within(0, of.len() as i64) as usize].clone()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.within(0, i as i64 + 1) as usize);
        }
    }
}

/// One step of a run.
#[derive(Clone, Debug)]
pub enum Step {
    Ask(Box<Ask>),
    /// Batches through one stream, many in flight.
    Stream,
    /// Everything committed goes to the store.
    Fold,
    Restart(Restart),
}

/// How the server comes to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It is closed.
    Closed,
    /// It is gone in the middle of its work; what it wrote is there.
    Killed,
    /// The same, and what was not synced is lost, or a part of it.
    PowerCut,
}

/// What becomes of the index before the next start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexFate {
    Kept,
    Lost,
    /// The copy of an earlier restart is there instead, where one was taken.
    Older,
    /// A copy is taken.
    Copied,
}

/// The server ends and is started again.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    pub ending: Ending,
    pub index: IndexFate,
    /// Batches that are in flight when it ends; none where it is closed.
    pub in_flight: usize,
    /// Whether through one stream.
    pub streamed: bool,
    /// Whether a fold is asked for just before them.
    pub folding: bool,
    /// Of a killed one: the operation of its disk that is the first not to be done.
    pub disk_dies_after: u64,
    /// Starts that are killed too before one is not.
    pub starts_killed: usize,
}

impl Restart {
    pub fn some(chance: &mut Chance) -> Restart {
        let ending = chance.pick(&[Ending::Closed, Ending::Killed, Ending::PowerCut, Ending::PowerCut]);
        let index = chance.pick(&[
            IndexFate::Kept,
            IndexFate::Kept,
            IndexFate::Lost,
            IndexFate::Older,
            IndexFate::Older,
            IndexFate::Copied,
        ]);
        let in_flight = if ending == Ending::Closed { 0 } else { chance.pick(&[0, 1, 1, 2, 3, 4, 6]) };
        Restart {
            ending,
            index,
            in_flight,
            streamed: chance.percent(60),
            folding: chance.percent(30),
            disk_dies_after: chance.pick(&[0, 1, 2, 3, 5, 8, 13, 21, 34]) as u64,
            starts_killed: if ending != Ending::Closed && chance.percent(15) { chance.pick(&[1, 2]) } else { 0 },
        }
    }
}

/// What a run remembers beside the oracle.
pub struct World {
    /// The day that everything is near.
    base: Nanos,
    /// The manual clock; it never stands still for two steps.
    pub now: i64,
    /// Time does not pass.
    still: bool,
    /// Writes that had a request id, for retries.
    sent: Vec<Ask>,
    ids: u64,
}

/// A metric's name; metrics of both components are made as they are needed.
pub const NAMES: [&str; 3] = ["c/first", "c/second", "d/third"];

impl World {
    pub fn new(seed: u64) -> World {
        let mut chance = Chance::new(seed);
        let base: jiff::Timestamp = chance.pick(&BASES).parse().expect("a base is a time");
        let base = base.as_nanosecond();
        let now = base + Nanos::from(chance.within(-10, 60)) * DAY + 1;
        World { base, now: now as i64, still: false, sent: Vec::new(), ids: 0 }
    }

    /// The next step, from its seed and what is there.
    pub fn step(&mut self, seed: u64, oracle: &Oracle) -> Step {
        let mut chance = Chance::new(seed);
        match chance.within(0, 100) {
            0..47 => Step::Ask(Box::new(self.change(&mut chance, oracle, true))),
            47..54 => Step::Stream,
            54..58 => Step::Fold,
            58..63 => Step::Restart(Restart::some(&mut chance)),
            _ => Step::Ask(Box::new(self.ask(&mut chance, oracle))),
        }
    }

    /// A change, well formed or not; `unmakes`: deletions too.
    pub fn change(&mut self, chance: &mut Chance, oracle: &Oracle, unmakes: bool) -> Ask {
        self.pass(chance);
        let name = chance.pick(&NAMES);
        let Some(metric) = oracle.metric(name).cloned() else {
            return create(some_metric(chance, name));
        };
        match chance.within(0, 100) {
            0..72 => self.write(chance, oracle, &metric),
            72..82 => self.retract(chance, oracle, &metric),
            82..91 if metric.kind() != metric::Kind::Gauge || chance.percent(10) => {
                self.opening(chance, oracle, &metric)
            }
            82..96 => self.retry(chance, oracle, &metric),
            _ => match catalogue(chance, &metric) {
                Ask::Delete(_) if !unmakes => self.write(chance, oracle, &metric),
                ask => ask,
            },
        }
    }

    /// A question, now and then to a metric that is not there.
    pub fn ask(&mut self, chance: &mut Chance, oracle: &Oracle) -> Ask {
        self.pass(chance);
        let there: Vec<&str> = NAMES.into_iter().filter(|name| oracle.metric(name).is_some()).collect();
        let name = if there.is_empty() || chance.percent(1) { chance.pick(&NAMES) } else { chance.pick(&there) };
        let Some(metric) = oracle.metric(name).cloned() else {
            let selection = Some(Selection { metric: name.to_owned(), ..Selection::default() });
            return Ask::Total(GetTotalRequest { selection, ..GetTotalRequest::default() });
        };
        self.question(chance, oracle, &metric)
    }

    /// Changes that are in flight together: all at one time, each made for what the ones before it come to. With
    /// each what the oracle says and what it is after it. Empty where there is no metric; of a stream only batches.
    pub fn in_flight(&mut self, chance: &mut Chance, oracle: &Oracle, count: usize, streamed: bool) -> Vec<Sent> {
        self.pass(chance);
        let mut sent: Vec<Sent> = Vec::new();
        while sent.len() < count {
            let before = sent.last().map_or(oracle, |sent| &sent.after);
            let there: Vec<&Metric> = NAMES.into_iter().filter_map(|name| before.metric(name)).collect();
            if there.is_empty() {
                break;
            }
            let metric = chance.pick(&there).clone();
            self.still = true;
            let ask = match chance.within(0, 100) {
                0..70 => self.write(chance, before, &metric),
                70..82 => self.retry(chance, before, &metric),
                82..91 => self.retract(chance, before, &metric),
                _ if metric.kind() == metric::Kind::Gauge => self.write(chance, before, &metric),
                _ => self.opening(chance, before, &metric),
            };
            self.still = false;
            if streamed && !matches!(ask, Ask::Write(_)) {
                continue;
            }
            let mut after = before.clone();
            let expected = after.ask(&ask, self.now);
            // One that takes back is counted first, beside the others: only of the last is it known when it is judged.
            let is_last = matches!(ask, Ask::Retract(_));
            sent.push(Sent { ask, expected, after });
            if is_last {
                break;
            }
        }
        sent
    }

    /// Time passes.
    fn pass(&mut self, chance: &mut Chance) {
        if self.still {
            return;
        }
        let ahead = chance.pick(&[1, SECOND, HOUR, HOUR, DAY]);
        self.now += chance.within(1, ahead as i64 + 1);
    }

    /// A new request id.
    fn id(&mut self) -> String {
        self.ids += 1;
        format!("id-{}", self.ids)
    }

    /// Remembers a write for a retry.
    fn send(&mut self, ask: Ask) -> Ask {
        self.sent.push(ask.clone());
        ask
    }
}

/// A change in flight.
pub struct Sent {
    pub ask: Ask,
    pub expected: Result<Reply, Refused>,
    /// The oracle with it.
    pub after: Oracle,
}

pub fn create(metric: Metric) -> Ask {
    Ask::Create(CreateMetricRequest { metric: Some(metric) })
}

/// A new definition.
pub fn some_metric(chance: &mut Chance, name: &str) -> Metric {
    let kind = chance.pick(&[
        metric::Kind::Delta,
        metric::Kind::Delta,
        metric::Kind::Delta,
        metric::Kind::Cumulative,
        metric::Kind::Cumulative,
        metric::Kind::Gauge,
    ]);
    let periods = ["", "", "PT15M", "PT1H", "PT12H", "P1D", "P1D", "P1W", "P1W", "P1M", "P3M", "P1Y"];
    let labels: [&[&str]; 4] = [&[], &["channel"], &["channel"], &["channel", "country"]];
    let year_starts = [None, None, Some(MonthDay { month: 4, day: 6 })];
    Metric {
        name: name.to_owned(),
        unit: "{thing}".to_owned(),
        kind: kind as i32,
        scale: chance.pick(&[0, 0, 0, 2, 9]),
        label_names: chance.pick(&labels).iter().map(|l| (*l).to_owned()).collect(),
        period: chance.pick(&periods).to_owned(),
        time_zone: chance.pick(&ZONES).to_owned(),
        week_start: chance.pick(&[0, 0, 1, 3, 7]),
        year_start: chance.pick(&year_starts),
        overdue_after: chance
            .percent(25)
            .then(|| prost_types::Duration { seconds: chance.within(1, 200_000), nanos: 0 }),
        ..Metric::default()
    }
}

/// Something done to a definition.
fn catalogue(chance: &mut Chance, metric: &Metric) -> Ask {
    let again = Metric { create_time: None, update_time: None, ..metric.clone() };
    match chance.within(0, 10) {
        0..2 => create(Metric { display_name: "Again".to_owned(), ..again }),
        2 => create(Metric { scale: (metric.scale + 1) % 9, ..again }),
        3..6 => {
            let update = Metric {
                name: metric.name.clone(),
                display_name: chance.pick(&["One", "Two"]).to_owned(),
                overdue_after: Some(prost_types::Duration { seconds: chance.within(1, 1_000_000), nanos: 0 }),
                ..Metric::default()
            };
            Ask::Update(UpdateMetricRequest { metric: Some(update), update_mask: None })
        }
        6..8 => {
            let paths = vec!["unit".to_owned()];
            let update = Metric {
                name: metric.name.clone(),
                unit: chance.pick(&["GBP", "{thing}"]).to_owned(),
                ..Metric::default()
            };
            let update_mask = Some(prost_types::FieldMask { paths });
            Ask::Update(UpdateMetricRequest { metric: Some(update), update_mask })
        }
        8 => Ask::Delete(DeleteMetricRequest { name: metric.name.clone(), force: false }),
        _ => Ask::Delete(DeleteMetricRequest { name: metric.name.clone(), force: true }),
    }
}

/// Labels of a series of the metric.
pub fn some_labels(chance: &mut Chance, metric: &Metric) -> Labels {
    metric.label_names.iter().map(|_| chance.pick(&["a", "b", "\u{e9}"]).to_owned()).collect()
}

pub fn named(metric: &Metric, labels: &Labels) -> BTreeMap<String, String> {
    metric.label_names.iter().cloned().zip(labels.iter().cloned()).collect()
}

/// All times that something of the metric has.
fn times_of(state: &State) -> Vec<Nanos> {
    let mut times: Vec<Nanos> = state
        .values()
        .flat_map(|series| {
            let points = series.points.keys().copied();
            points.chain(series.opening.as_ref().map(|opening| opening.at))
        })
        .collect();
    times.sort_unstable();
    times
}

impl World {
    /// The start of the metric's period so many away from the base; of an irregular metric some
    /// time near.
    pub fn slot(&self, metric: &Metric, away: i64) -> Nanos {
        let Some(rule) = Rule::of_metric(metric) else {
            let odd = if away % 3 == 0 { 1 } else { 0 };
            return self.base + Nanos::from(away) * 5 * HOUR + odd;
        };
        let mut at = rule.holding(self.base).0;
        for _ in 0..away.abs() {
            at = if away > 0 { rule.holding(at).1 } else { rule.holding(at - 1).0 };
        }
        at
    }

    /// A time near the metric's points; of a question's edge, of a level or a report.
    fn near(&self, chance: &mut Chance, metric: &Metric, state: &State) -> Nanos {
        let times = times_of(state);
        let at = if times.is_empty() || chance.percent(50) {
            self.slot(metric, chance.within(-8, 16))
        } else {
            chance.pick(&times)
        };
        let off = chance.pick(&[0, 0, 0, 0, 1, -1, HOUR, -HOUR / 2, 7 * HOUR]);
        at + off
    }
}

/// The local date of an instant, if its first instant is that.
fn date_at(metric_zone: &str, at: Nanos) -> String {
    let zone = crate::oracle::calendar::time_zone(metric_zone);
    let at = jiff::Timestamp::from_nanosecond(at).expect("in range");
    zone.to_datetime(at).date().to_string()
}

/// Whether the local date of an instant starts with it.
fn is_date(metric_zone: &str, at: Nanos) -> bool {
    let zone = crate::oracle::calendar::time_zone(metric_zone);
    let date = date_at(metric_zone, at).parse().expect("it is a date");
    crate::oracle::calendar::first_instant(&zone, date) == Some(at)
}

/// For brevity in what follows.
fn stamp(at: Nanos) -> prost_types::Timestamp {
    timestamp(at)
}
