//! The engine against lists of points: random histories with corrections, retractions, folds and reopenings, asked
//! at random revisions. Small blocks and fan-outs, so that trees get deep with few points.

mod attempts;
mod behind;
mod gaps;
mod growth;
mod index_fails;
mod look;
mod lost;
mod old_version;
mod own_frames;
mod planted;
mod refused;
mod story;
mod sweep;
mod told;
mod wide;

use milepost::clock::ManualClock;
use milepost::domain::calendar::Period;
use milepost::domain::definition::{Definition, Kind};
use milepost::domain::name::MetricName;
use milepost::domain::point::{Labels, Point};
use milepost::domain::time::{Interval, Time};
use milepost::engine::batch::{Batch, Change, Column, Mode, Origin, Retraction, SeriesWrite};
use milepost::engine::view::{ChangeKind, ChangesAsk};
use milepost::engine::{AsOf, Engine, Settings};
use milepost::store::Store;
use milepost::store::memory::MemoryStore;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const HOUR: i64 = 3_600_000_000_000;

fn small() -> Settings {
    Settings {
        block_points_max: 8,
        tail_points_min: 3,
        node_children_max: 3,
        page_points_max: 2,
        cache_bytes_max: 4_000,
        ..Settings::default()
    }
}

fn name() -> MetricName {
    MetricName::parse("team/counts").expect("a name")
}

fn definition(kind: Kind) -> Definition {
    Definition { period: Some(Period::Minutes(60)), ..Definition::new(name(), kind) }
}

fn batch(change: Change) -> Batch {
    let component = name().component();
    let text = String::new;
    Batch { component, who: text(), request_id: text(), reason: text(), validate_only: false, change }
}

fn set(points: Vec<Point>) -> Change {
    let end_given = Column::of(0, points.len());
    let labels: Labels = Vec::new().into();
    let series = SeriesWrite { metric: name(), labels, points: points.into(), end_given, origin: Origin::Entry(0) };
    Change::Points { mode: Mode::Set, series: vec![series] }
}

#[derive(Clone, Debug)]
enum Step {
    Set(Vec<(i64, i64)>),
    Retract(i64, i64),
    Fold,
    Reopen,
    Lose,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let points = prop::collection::btree_map(0..120i64, -5..20i64, 1..20);
    let step = prop_oneof![
        8 => points.prop_map(|p| Step::Set(p.into_iter().collect())),
        2 => (0..120i64, 1..10i64).prop_map(|(from, n)| Step::Retract(from, from + n)),
        2 => Just(Step::Fold),
        1 => Just(Step::Reopen),
        1 => Just(Step::Lose),
    ];
    prop::collection::vec(step, 1..25)
}

/// All versions of the state, by revision.
type Past = Vec<BTreeMap<i64, i64>>;

async fn check_view(engine: &Engine, past: &Past, revision: i64, kind: Kind) {
    let as_of = if revision as usize + 1 == past.len() { AsOf::Now } else { AsOf::Revision(revision) };
    let view = engine.view(&name().component(), as_of).await.expect("a view");
    let expected = &past[revision as usize];
    let series = view.metric(&name()).expect("known").expect("the metric").series(&[]).expect("series");
    if expected.is_empty() {
        assert!(series.is_empty(), "no series is there at revision {revision}");
        return;
    }
    let series = &series[0];
    let points: Vec<(i64, i64)> =
        series.points(Interval::ALL, usize::MAX).expect("points").iter().map(|p| (p.time.0 / HOUR, p.value)).collect();
    assert_eq!(points, expected.iter().map(|(t, v)| (*t, *v)).collect::<Vec<_>>(), "points at revision {revision}");
    // Edges that fall on points, so on the ends of blocks too.
    let edges = points.iter().step_by(3).flat_map(|(t, _)| [(0, *t), (*t, 120), (10, t + 1)]);
    for (from, to) in [(0, 120), (10, 60), (37, 38), (50, 119), (90, 20)].into_iter().chain(edges) {
        let interval = Interval::new(Time(from * HOUR), Time(to * HOUR));
        let inside: Vec<(i64, i64)> = points.iter().copied().filter(|(t, _)| from <= *t && *t < to).collect();
        let span = series.span(interval).expect("a span");
        let time = |point: &(i64, i64)| Time(point.0 * HOUR);
        assert_eq!(series.bounds(interval).expect("bounds"), inside.first().map(time).zip(inside.last().map(time)));
        let (mut rest, mut by_columns) = (interval, Vec::new());
        loop {
            let columns = series.columns(rest, 5).expect("points");
            let Some(last) = columns.len().checked_sub(1) else { break };
            by_columns.extend(columns.points(0..columns.len()).map(|point| (point.time.0 / HOUR, point.value)));
            rest.start = columns.time(last).next();
        }
        assert_eq!(by_columns, inside, "columns at revision {revision}");
        let Some(span) = span else {
            assert!(inside.is_empty());
            continue;
        };
        let steps: Vec<i128> = match kind {
            Kind::Cumulative => {
                std::iter::once(0).chain(inside.windows(2).map(|w| i128::from(w[1].1 - w[0].1))).collect()
            }
            _ => inside.iter().map(|(_, v)| i128::from(*v)).collect(),
        };
        let prefixes: Vec<i128> = steps
            .iter()
            .scan(0, |sum, step| {
                *sum += step;
                Some(*sum)
            })
            .collect();
        assert_eq!(span.count as usize, inside.len());
        assert_eq!(span.periods as usize, inside.len());
        assert_eq!(Some(&span.sum), prefixes.last());
        assert_eq!(Some(span.high), prefixes.iter().copied().max());
        assert_eq!(Some(span.low), prefixes.iter().copied().min());
        for level in [-3i128, 1, 7, 30, 100] {
            let levels: Vec<i128> = match kind {
                Kind::Gauge => inside.iter().map(|(_, v)| i128::from(*v)).collect(),
                _ => prefixes.clone(),
            };
            let naive = levels.iter().position(|l| *l >= level).map(|i| inside[i].0);
            let found = series.reach(interval, level).expect("a search");
            assert_eq!(found.map(|c| c.point.time.0 / HOUR), naive, "reach {level} of {inside:?}");
        }
    }
    for t in [0, 33, 77, 121] {
        let before = points.iter().rfind(|(time, _)| *time < t).map(|p| p.0);
        let after = points.iter().find(|(time, _)| *time >= t).map(|p| p.0);
        let hour = |p: Option<Point>| p.map(|p| p.time.0 / HOUR);
        assert_eq!(hour(series.last_before(Time(t * HOUR)).expect("a point")), before);
        assert_eq!(hour(series.first_from(Time(t * HOUR)).expect("a point")), after);
    }
}

async fn check_changes(engine: &Engine, past: &Past) {
    let view = engine.view(&name().component(), AsOf::Now).await.expect("a view");
    let mut expected: Vec<(i64, i64, Option<i64>, Option<i64>)> = Vec::new();
    for (revision, pair) in past.windows(2).enumerate().rev() {
        let (old, new) = (&pair[0], &pair[1]);
        let mut keys: Vec<i64> = old.keys().chain(new.keys()).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys.into_iter().filter(|k| old.get(k) != new.get(k)) {
            expected.push((revision as i64 + 1, key, old.get(&key).copied(), new.get(&key).copied()));
        }
    }
    let mut found = Vec::new();
    let mut ask = ChangesAsk {
        metric: name(),
        filters: Vec::new(),
        from_revision: 2,
        to_revision: i64::MAX,
        include_new: true,
        after: None,
        rows_max: 7,
    };
    loop {
        let rows = view.changes(&ask).expect("changes");
        for row in &rows {
            found.push(match &row.kind {
                ChangeKind::New(p) => (row.revision, p.time.0 / HOUR, None, Some(p.value)),
                ChangeKind::Corrected(old, new) => (row.revision, old.time.0 / HOUR, Some(old.value), Some(new.value)),
                ChangeKind::Retracted(old) => (row.revision, old.time.0 / HOUR, Some(old.value), None),
                other => panic!("{other:?}"),
            });
        }
        let Some(last) = found.last().filter(|_| rows.len() == 7) else { break };
        ask.after = Some((last.0, found.iter().filter(|row| row.0 == last.0).count()));
    }
    expected.retain(|row| row.0 >= 2);
    assert_eq!(found, expected);
}

async fn run(kind: Kind, steps: Vec<Step>) {
    let store = MemoryStore::new();
    let clock = Arc::new(ManualClock::at(Time(1_000 * HOUR)));
    let open = |store: &MemoryStore| {
        let handle: Arc<dyn Store> = Arc::new(store.reopen());
        (Engine::open(handle.clone(), clock.clone(), small()).expect("it opens"), Arc::downgrade(&handle))
    };
    let (mut engine, mut held) = open(&store);
    engine.write(batch(Change::Create(Box::new(definition(kind))))).await.expect("made");
    let mut past: Past = vec![BTreeMap::new(), BTreeMap::new()];
    for step in steps {
        let mut state = past.last().expect("a state").clone();
        match step {
            Step::Set(points) => {
                let made = |(t, v): (i64, i64)| {
                    let time = Time(t * HOUR);
                    match kind {
                        Kind::Delta => Point::of_period(time, time.plus(HOUR), v),
                        Kind::Cumulative => Point { restated: true, ..Point::at(time, v) },
                        Kind::Gauge => Point::at(time, v),
                    }
                };
                state.extend(points.iter().copied());
                let ack = engine.write(batch(set(points.into_iter().map(made).collect()))).await.expect("set");
                if state != past[past.len() - 1] {
                    past.push(state);
                }
                assert_eq!(ack.revision as usize, past.len() - 1);
            }
            Step::Retract(from, to) => {
                let interval = Interval::new(Time(from * HOUR), Time(to * HOUR));
                let what = Retraction::Interval(interval);
                let change = Change::Retract { metric: name(), filters: Vec::new(), what };
                engine.write(batch(change)).await.expect("taken back");
                state.retain(|t, _| *t < from || to <= *t);
                if state != past[past.len() - 1] {
                    past.push(state);
                }
            }
            Step::Fold => engine.fold().await.expect("folded"),
            Step::Reopen => {
                engine.close().await.expect("closed");
                (engine, held) = open(&store);
            }
            Step::Lose => {
                drop(engine);
                // A process that is gone does nothing more: neither may what it left in the background.
                while held.strong_count() > 0 {
                    std::thread::yield_now();
                }
                (engine, held) = open(&store);
            }
        }
        check_view(&engine, &past, past.len() as i64 - 1, kind).await;
        let verified = engine.verify().await;
        assert_eq!(verified.findings, [], "tree = scan");
        assert_eq!(verified.counts.points as usize, past.last().map_or(0, BTreeMap::len));
    }
    for revision in 0..past.len() as i64 {
        check_view(&engine, &past, revision, kind).await;
    }
    check_changes(&engine, &past).await;
}

fn check(kind: Kind, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(run(kind, steps));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn deltas_are_what_was_written(steps in steps()) {
        check(Kind::Delta, steps);
    }

    #[test]
    fn reports_are_what_was_written(steps in steps()) {
        check(Kind::Cumulative, steps);
    }

    #[test]
    fn levels_are_what_was_written(steps in steps()) {
        check(Kind::Gauge, steps);
    }
}
