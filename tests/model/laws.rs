//! What must hold of any answers whatever was written: held against the server, and against the oracle too.

use std::collections::BTreeMap;

use milepost::proto::v1::*;

use crate::{
    ask::{Ask, Reply},
    asked::Asked,
    compare::diff,
    generate::{Chance, NAMES, World, create, some_metric},
    oracle::{Nanos, Oracle, decimal, timestamp},
};

/// Somebody under test after a random history, the oracle that guided it, and chance.
struct Run<A> {
    asked: A,
    oracle: Oracle,
    world: World,
    chance: Chance,
}

impl<A: Asked> Run<A> {
    fn new(seed: u64, changes: usize) -> Run<A> {
        let (world, chance) = (World::new(seed), Chance::new(seed ^ 0x5EED));
        let mut run = Run { asked: A::fresh(seed), oracle: Oracle::new(), world, chance };
        run.change(changes);
        run
    }

    /// More of the history: no metric is deleted, for that is the one exception to "for ever".
    fn change(&mut self, changes: usize) {
        for _ in 0..changes {
            let ask = self.world.change(&mut self.chance, &self.oracle, false);
            let _ = self.oracle.ask(&ask, self.world.now);
            let _ = self.asked.ask(&ask, None, self.world.now);
            if self.chance.percent(4) {
                self.asked.fold();
            }
        }
    }

    fn question(&mut self) -> Ask {
        self.world.ask(&mut self.chance, &self.oracle)
    }

    fn reply(&mut self, ask: &Ask) -> Option<Reply> {
        let metric = self.oracle.metric(ask.metric()).cloned();
        self.asked.ask(ask, metric.as_ref(), self.world.now).ok()
    }

    /// Metrics whose totals are asked for.
    fn additive(&self) -> Vec<Metric> {
        let metrics = NAMES.iter().filter_map(|name| self.oracle.metric(name).cloned());
        metrics.filter(|metric| metric.kind() != metric::Kind::Gauge).collect()
    }

    fn total(&mut self, request: GetTotalRequest) -> GetTotalResponse {
        match self.reply(&Ask::Total(request)) {
            Some(Reply::Total(answer)) => answer,
            other => panic!("a total has an answer: {other:?}"),
        }
    }

    fn range(&mut self, request: QueryRangeRequest) -> QueryRangeResponse {
        match self.reply(&Ask::Range(request)) {
            Some(Reply::Range(answer)) => answer,
            other => panic!("a range has an answer: {other:?}"),
        }
    }

    fn cumulative(&mut self, request: QueryCumulativeRequest) -> QueryCumulativeResponse {
        match self.reply(&Ask::Cumulative(request)) {
            Some(Reply::Cumulative(answer)) => answer,
            other => panic!("a running total has an answer: {other:?}"),
        }
    }
}

/// Decimal text as units; texts of one metric have one scale.
fn units(text: &str) -> i128 {
    text.replace('.', "").parse().expect("a figure is a number")
}

fn add(a: Option<i128>, b: Option<&String>) -> Option<i128> {
    match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0) + b.map_or(0, |text| units(text))),
    }
}

/// `QueryCumulative` at T, `GetTotal` at T, and openings plus `QueryRange` up to T agree.
pub fn three_ways_agree<A: Asked>(seed: u64) {
    let mut run = Run::<A>::new(seed, 25);
    for metric in run.additive() {
        let selection = Some(Selection { metric: metric.name.clone(), ..Selection::default() });
        for away in [-8, -1, 0, 1, 2, 5, 9, 20] {
            let at = timestamp(run.world.slot(&metric, away) + Nanos::from(run.chance.within(-1, 2)));
            let one = run.total(GetTotalRequest {
                selection: selection.clone(),
                at: Some(get_total_request::At::AtTime(at)),
                ..Default::default()
            });
            let two = run.cumulative(QueryCumulativeRequest {
                selection: selection.clone(),
                end: Some(query_cumulative_request::End::EndTime(at)),
                ..Default::default()
            });
            let three = run.range(QueryRangeRequest {
                selection: selection.clone(),
                end: Some(query_range_request::End::EndTime(at)),
                ..Default::default()
            });
            let openings = three.answer.expect("a head").groups[0].openings.clone().unwrap_or_default();
            let opened = (openings.count > 0).then(|| units(&openings.sum));
            let third = add(opened, three.windows[0].flow.as_ref());
            assert_eq!(one.totals[0].total, two.windows[0].total, "{metric:?} at {at}");
            assert_eq!(add(None, one.totals[0].total.as_ref()), third, "{metric:?} at {at}");
        }
    }
}

/// A total does not change with the window, the step, or what else was asked.
pub fn totals_stand_whatever_the_window<A: Asked>(seed: u64) {
    let mut run = Run::<A>::new(seed, 25);
    for _ in 0..12 {
        let Ask::Cumulative(mut request) = run.question() else { continue };
        request.restart = 0;
        let Some(Reply::Cumulative(answer)) = run.reply(&Ask::Cumulative(request.clone())) else { continue };
        for _ in 0..answer.windows.len().min(12) {
            let window = run.chance.pick(&answer.windows);
            let whole = run.total(GetTotalRequest {
                selection: request.selection.clone(),
                at: window.end_time.map(get_total_request::At::AtTime),
                as_of: request.as_of,
                ..Default::default()
            });
            let total = whole.totals.iter().find(|total| total.group == window.group);
            assert_eq!(window.total, total.expect("the same groups").total, "{request:#?} {window:#?}");
        }
    }
}

/// The groups of a question come to what they come to without groups.
pub fn groups_sum_to_the_whole<A: Asked>(seed: u64) {
    let mut run = Run::<A>::new(seed, 30);
    for _ in 0..12 {
        let ask = run.question();
        let (mut parted, mut whole) = (ask.clone(), ask.clone());
        let (Some(a), Some(b)) = (selection(&mut parted), selection(&mut whole)) else { continue };
        let Some(metric) = run.oracle.metric(&a.metric).cloned() else { continue };
        a.group_by = metric.label_names.clone();
        b.group_by = Vec::new();
        let (Some(parted), Some(whole)) = (run.reply(&parted), run.reply(&whole)) else { continue };
        assert_eq!(sums(&parted), sums(&whole), "{ask:#?}");
    }
}

fn selection(ask: &mut Ask) -> Option<&mut Selection> {
    match ask {
        Ask::Total(request) => request.selection.as_mut(),
        Ask::Range(QueryRangeRequest { selection, fill: 0, .. })
        | Ask::Cumulative(QueryCumulativeRequest { selection, fill: 0, .. }) => selection.as_mut(),
        _ => None,
    }
}

/// Flow, total, running and points of each window of all groups together; of nothing, nothing.
#[allow(clippy::type_complexity)]
fn sums(reply: &Reply) -> BTreeMap<Option<i64>, (Option<i128>, Option<i128>, Option<i128>, i64)> {
    let mut sums = BTreeMap::new();
    let windows = match reply {
        Reply::Total(answer) => {
            let total = answer.totals.iter().fold(None, |sum, row| add(sum, row.total.as_ref()));
            sums.insert(None, (None, total, None, 0));
            return sums;
        }
        Reply::Range(answer) => &answer.windows,
        Reply::Cumulative(answer) => &answer.windows,
        _ => return sums,
    };
    for window in windows {
        let start = window.start_time.map(|at| crate::oracle::nanos(&at) as i64);
        let sum = sums.entry(start).or_insert((None, None, None, 0));
        sum.0 = add(sum.0, window.flow.as_ref());
        sum.1 = add(sum.1, window.total.as_ref());
        sum.2 = add(sum.2, window.running.as_ref());
        sum.3 += window.point_count;
    }
    // A selection without series has no groups, but one whole with nothing in it.
    sums.retain(|_, sum| *sum != (None, None, None, 0));
    sums
}

/// Pages joined are the whole.
pub fn pages_join_to_the_whole<A: Asked>(seed: u64) {
    let mut run = Run::<A>::new(seed, 25);
    for _ in 0..10 {
        let mut ask = run.question();
        let whole = run.reply(paged(&mut ask, 10_000));
        // An older revision may have thousands of windows: not one by one.
        if rows(&whole) > 400 {
            continue;
        }
        for size in [1, 3] {
            let joined = run.reply(paged(&mut ask, size));
            assert!(joined == whole, "{ask:#?}\n{}", diff(&whole, &joined));
        }
    }
}

fn rows(reply: &Option<Reply>) -> usize {
    match reply {
        Some(Reply::Total(answer)) => answer.totals.len(),
        Some(Reply::Range(answer)) => answer.windows.len(),
        Some(Reply::Cumulative(answer)) => answer.windows.len(),
        Some(Reply::Milestones(answer)) => answer.milestones.len(),
        _ => 0,
    }
}

fn paged(ask: &mut Ask, size: i32) -> &Ask {
    match ask {
        Ask::Total(request) => request.page_size = size,
        Ask::Range(request) => request.page_size = size,
        Ask::Cumulative(request) => request.page_size = size,
        Ask::Milestones(request) => request.page_size = size,
        Ask::Changes(request) => request.page_size = size,
        Ask::Series(request) => request.page_size = size,
        _ => {}
    }
    ask
}

/// The same question at the same revision has the same answer for ever.
pub fn what_was_known_stays_known<A: Asked>(seed: u64) {
    let mut run = Run::<A>::new(seed, 15);
    let mut kept = Vec::new();
    for _ in 0..12 {
        let mut ask = run.question();
        let component = ask.metric().split('/').next().expect("a component").to_owned();
        let revision = run.oracle.revision(&component);
        let Some(as_of) = ask.as_of() else { continue };
        if revision == 0 {
            continue;
        }
        as_of.get_or_insert(AsOf { as_of: Some(as_of::AsOf::Revision(revision)) });
        let metric = run.oracle.metric(ask.metric()).cloned();
        if let Some(reply) = run.reply(&ask) {
            kept.push((ask, metric, reply));
        }
        run.change(3);
    }
    run.asked.fold();
    run.change(6);
    run.asked.restart(run.chance.percent(50));
    for (ask, metric, before) in kept {
        let now = run.asked.ask(&ask, metric.as_ref(), run.world.now).expect("it was answered once");
        if was_there(&run.oracle, &ask, &before) {
            assert!(now == before, "{ask:#?}\n{}", diff(&before, &now));
        }
    }
}

/// Whether the metric was there at the revision: before, it is answered with today's definition, which may change.
fn was_there(oracle: &Oracle, ask: &Ask, reply: &Reply) -> bool {
    let answer = match reply {
        Reply::Total(answer) => answer.answer.as_ref(),
        Reply::Range(answer) => answer.answer.as_ref(),
        Reply::Cumulative(answer) => answer.answer.as_ref(),
        Reply::Milestones(answer) => answer.answer.as_ref(),
        Reply::Read(answer, _) => Some(answer),
        _ => None,
    };
    let made = oracle.made(ask.metric());
    answer.is_some_and(|answer| made.is_some_and(|made| made <= answer.revision))
}

/// A write split into many batches, in any order, ends in the same answers.
pub fn a_split_write_ends_the_same<A: Asked>(seed: u64) {
    let mut chance = Chance::new(seed);
    let mut world = World::new(seed);
    let metric = some_metric(&mut chance, NAMES[0]);
    let entries = world.distinct(&mut chance, &metric);
    let (mut whole, mut split, mut oracle) = (A::fresh(seed), A::fresh(seed ^ 1), Oracle::new());
    for asked in [&mut whole, &mut split] {
        asked.ask(&create(metric.clone()), None, world.now).expect("a metric is made");
    }
    oracle.ask(&create(metric.clone()), world.now).expect("a metric is made");
    let write = |series: Vec<SeriesPoints>| Ask::Write(WritePointsRequest { series, ..Default::default() });
    oracle.ask(&write(entries.clone()), world.now).expect("a valid batch");
    whole.ask(&write(entries.clone()), None, world.now).expect("a valid batch");
    let mut parts: Vec<SeriesPoints> = Vec::new();
    for entry in &entries {
        for point in &entry.points {
            parts.push(SeriesPoints { points: vec![point.clone()], ..entry.clone() });
        }
    }
    chance.shuffle(&mut parts);
    while !parts.is_empty() {
        let rest = parts.split_off(parts.len().min(chance.within(1, 6) as usize));
        let part = write(std::mem::replace(&mut parts, rest));
        split.ask(&part, None, world.now).unwrap_or_else(|refusal| panic!("{refusal:?}\n{part:#?}"));
        if chance.percent(15) {
            split.fold();
        }
        if chance.percent(3) {
            split.restart(false);
        }
    }
    let metric = oracle.metric(NAMES[0]).cloned();
    for _ in 0..16 {
        let mut ask = world.ask(&mut chance, &oracle);
        if let Some(as_of) = ask.as_of() {
            *as_of = None;
        }
        if matches!(ask, Ask::Changes(_) | Ask::Components(_) | Ask::Metric(_) | Ask::Metrics(_)) {
            continue;
        }
        let a = whole.ask(&ask, metric.as_ref(), world.now).map(without_revision);
        let b = split.ask(&ask, metric.as_ref(), world.now).map(without_revision);
        assert!(a == b, "{ask:#?}\n{}", diff(&a, &b));
    }
}

fn without_revision(mut reply: Reply) -> Reply {
    match &mut reply {
        Reply::Total(GetTotalResponse { answer: Some(answer), .. })
        | Reply::Range(QueryRangeResponse { answer: Some(answer), .. })
        | Reply::Cumulative(QueryCumulativeResponse { answer: Some(answer), .. })
        | Reply::Milestones(ListMilestonesResponse { answer: Some(answer), .. })
        | Reply::Read(answer, _) => answer.revision = 0,
        _ => {}
    }
    reply
}

impl World {
    /// Distinct keys that fit together in any order: periods one by one; reports of counts that say their start.
    fn distinct(&mut self, chance: &mut Chance, metric: &Metric) -> Vec<SeriesPoints> {
        let mut entries = Vec::new();
        for value in ["a", "b", "c"] {
            let labels = metric.label_names.iter().map(|name| (name.clone(), value.to_owned())).collect();
            let (mut points, mut level, mut start) = (Vec::new(), 0, self.slot(metric, -9));
            for slot in -8..16 {
                let at = self.slot(metric, slot);
                if chance.percent(30) {
                    continue;
                }
                let mut point = Point { at: Some(point::At::Time(timestamp(at))), ..Point::default() };
                let mut units = chance.within(-3, 12);
                if metric.kind() == metric::Kind::Cumulative {
                    level += units.max(0);
                    if chance.percent(15) {
                        level = units.max(0);
                        start = self.slot(metric, slot - 1).max(start);
                    }
                    units = level;
                    point.start_time = Some(timestamp(start));
                }
                point.value = decimal::text(units.into(), metric.scale);
                points.push(point);
            }
            if !points.is_empty() {
                entries.push(SeriesPoints { metric: metric.name.clone(), labels, points, columns: None });
            }
            if metric.label_names.is_empty() {
                break;
            }
        }
        entries
    }
}
