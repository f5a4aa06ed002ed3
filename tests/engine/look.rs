//! A block that is asked for the first time is looked at and not held; asked again it is. The answers are the same.

use super::{HOUR, batch, definition, name, set};
use milepost::clock::ManualClock;
use milepost::domain::definition::{Definition, Kind};
use milepost::domain::point::Point;
use milepost::domain::time::{Interval, Time};
use milepost::engine::batch::Change;
use milepost::engine::view::{Attempt, SeriesView};
use milepost::engine::{AsOf, Engine, Settings};
use milepost::query::ask::{AsOfAsk, Head, Moment, PageAsk, SelectionAsk, TotalAsk};
use milepost::query::{TotalPlan, total};
use milepost::store::StoreError;
use milepost::store::memory::MemoryStore;
use proptest::prelude::*;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// In a store whose blocks are long enough to be packed as those of users are.
fn open(store: &MemoryStore, cache_bytes_max: usize) -> Engine {
    let settings = Settings { block_points_max: 700, node_children_max: 40, cache_bytes_max, ..Settings::default() };
    Engine::open(Arc::new(store.clone()), Arc::new(ManualClock::at(Time(1 << 60))), settings).expect("it opens")
}

/// One an hour.
fn points(values: &[i64]) -> Vec<Point> {
    let point =
        |(i, value): (usize, &i64)| Point::of_period(Time(i as i64 * HOUR), Time((i as i64 + 1) * HOUR), *value);
    values.iter().enumerate().map(point).collect()
}

/// A store that these values were written to, and closed.
fn filled(runtime: &Runtime, kind: Kind, values: &[i64]) -> MemoryStore {
    filled_of(runtime, definition(kind), values)
}

fn filled_of(runtime: &Runtime, definition: Definition, values: &[i64]) -> MemoryStore {
    let store = MemoryStore::new();
    let engine = open(&store, 1 << 20);
    runtime.block_on(engine.write(batch(Change::Create(Box::new(definition))))).expect("made");
    runtime.block_on(engine.write(batch(set(points(values))))).expect("written");
    runtime.block_on(engine.close()).expect("closed");
    store
}

fn series(runtime: &Runtime, engine: &Engine) -> SeriesView {
    let view = runtime.block_on(engine.view(&name().component(), AsOf::Now)).expect("a view");
    view.metric(&name()).expect("whole").expect("the metric").series(&[]).expect("a series").remove(0)
}

fn total_at(runtime: &Runtime, engine: &Engine, hour: i64) -> Option<i128> {
    let selection = SelectionAsk { metric: name().to_string(), ..SelectionAsk::default() };
    let head = Head { selection, as_of: AsOfAsk::Now, page: PageAsk { size: 0, pin: Ok(None) } };
    let ask = TotalAsk { head, at: Some(Moment::Instant { seconds: hour * 3_600, nanos: 0 }) };
    let plan = runtime.block_on(TotalPlan::of(engine, ask)).expect("no fault");
    total::run(&plan).expect("a total").rows[0].total
}

fn values() -> impl Strategy<Value = Vec<i64>> {
    let value = prop_oneof![Just(0i64..40), Just(-40i64..60), Just(-5i64..6)];
    value.prop_flat_map(|value| prop::collection::vec(value, 1_000..5_000))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Of series that rise and series that fall, from the first point on and from any other: what is looked at says what all
    /// points say, whether nothing is ever held or all of it.
    #[test]
    fn what_is_looked_at_is_what_is_there(
        values in values(), questions in prop::collection::vec((0i64..5_100, 0i64..5_100, -50i128..60_000), 40),
        holds: bool, is_gauge: bool,
    ) {
        let runtime = Runtime::new().expect("threads");
        let kind = if is_gauge { Kind::Gauge } else { Kind::Delta };
        let store = filled(&runtime, kind, &values);
        let engine = open(&store, if holds { 1 << 20 } else { 1_000 });
        let view = series(&runtime, &engine);
        let sums: Vec<i128> = values
            .iter()
            .scan(0, |sum, value| { *sum += i128::from(*value); Some(*sum) })
            .collect();
        let before = |hour: i64| (hour as usize).min(sums.len()).checked_sub(1).map_or(0, |last| sums[last]);
        for (from, to, level) in questions {
            if !is_gauge {
                prop_assert_eq!(total_at(&runtime, &engine, to), (to > 0).then(|| before(to)), "the total at {}", to);
            }
            for from in [None, Some(from)] {
                let interval = Interval::new(from.map_or(Time::MIN, |from| Time(from * HOUR)), Time(to * HOUR));
                let first = from.unwrap_or(0);
                // What is there after a point.
                let after = |i: usize| if is_gauge { values[i].into() } else { sums[i] - before(first) };
                let level = if is_gauge { level % 70 } else { level };
                let expected = (first as usize..values.len().min(to as usize)).find(|i| after(*i) >= level);
                let found = view.reach(interval, level).expect("a search");
                let expected = expected.map(|i| (points(&values)[i], after(i)));
                prop_assert_eq!(found.map(|found| (found.point, found.after)), expected, "{} from {}", level, first);
            }
        }
    }
}

/// The first time a block is only looked at, each time anew where that is long ago by what was read since; the second time
/// shortly after it is held, and then not read any more.
#[test]
fn a_block_is_held_when_it_is_asked_again_a_short_while_after() {
    let runtime = Runtime::new().expect("threads");
    let values: Vec<i64> = (0..200_000).map(|i| i * i % 41).collect();
    let store = filled(&runtime, Kind::Delta, &values);
    let reads = |engine: &Engine, level: i128| {
        let before = engine.children_read();
        series(&runtime, engine).reach(Interval::ALL, level).expect("a search").expect("it is reached");
        engine.children_read() - before
    };
    let levels = || (0..95i128).map(|k| 1 + k * 40_000);
    let engine = open(&store, 16 << 20);
    let rounds: Vec<Vec<u64>> = (0..3).map(|_| levels().map(|level| reads(&engine, level)).collect()).collect();
    assert!(rounds[0].iter().all(|reads| *reads >= 1), "nodes and blocks: {:?}", rounds[0]);
    assert!(rounds[1].iter().all(|reads| *reads == 1), "the blocks: {:?}", rounds[1]);
    assert!(rounds[2].iter().all(|reads| *reads == 0), "all are held: {:?}", rounds[2]);
    // From one round to the next more is read than fits.
    let engine = open(&store, 100_000);
    for level in levels() {
        reads(&engine, level);
    }
    for level in levels() {
        let at_once = [reads(&engine, level), reads(&engine, level)];
        assert!(at_once[0] >= 1 && at_once[1] == 1, "looked at again, and only then loaded: {at_once:?}");
    }
}

/// The total, the times of the first and the last point before it, and whether one is missing: all from one read.
#[test]
fn a_total_reads_a_block_once() {
    let runtime = Runtime::new().expect("threads");
    let values: Vec<i64> = (0..30_000).map(|i| i * i % 41).collect();
    let regular = definition(Kind::Delta);
    for definition in [Definition { period: None, ..regular.clone() }, regular] {
        let store = filled_of(&runtime, definition, &values);
        let engine = open(&store, 16 << 20);
        // Between two blocks the nodes say it all; from then on they are in memory.
        for block in 1..=values.len() as i64 / 700 {
            total_at(&runtime, &engine, block * 700);
        }
        for block in 0..values.len() as i64 / 700 {
            let hour = block * 700 + 350;
            let before = engine.children_read();
            let total = total_at(&runtime, &engine, hour);
            assert_eq!(engine.children_read() - before, 1, "at {hour}");
            assert_eq!(total, Some(values[..hour as usize].iter().map(|value| i128::from(*value)).sum()));
        }
    }
}

/// Whoever may not read does not look at a block either.
#[test]
fn an_attempt_looks_at_no_block() {
    let runtime = Runtime::new().expect("threads");
    let store = filled(&runtime, Kind::Delta, &(0..5_000).map(|i| i * i % 41).collect::<Vec<_>>());
    let engine = open(&store, 16 << 20);
    let view = runtime.block_on(engine.view(&name().component(), AsOf::Now)).expect("a view");
    let metric = view.metric(&name()).expect("whole").expect("the metric");
    let series = metric.series(&[]).expect("a series").remove(0);
    assert!(series.reach(Interval::ALL, 2).expect("it may read").is_some(), "now its node is in memory");
    let before = engine.children_read();
    let crossing = metric.attempt(Attempt::OF_MANY_PATHS, || series.reach(Interval::ALL, 30_000)).expect("it is tried");
    assert!(matches!(crossing, Err(StoreError::Deferred)), "{crossing:?}");
    let half_a_block = Interval::new(Time::MIN, Time(1_750 * HOUR));
    let last = metric.attempt(Attempt::OF_MANY_PATHS, || series.bounds(half_a_block)).expect("it is tried");
    assert!(matches!(last, Err(StoreError::Deferred)), "{last:?}");
    assert_eq!(engine.children_read(), before, "nothing was read");
}
