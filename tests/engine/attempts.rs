//! Questions that must not block: answered from memory alone, and for a short while, or not at all.

use super::{HOUR, batch, definition, name, set};
use milepost::clock::ManualClock;
use milepost::domain::definition::Definition;
use milepost::domain::definition::Kind;
use milepost::domain::point::Point;
use milepost::domain::time::{Interval, Time};
use milepost::engine::batch::{Change, Column, Filter, Mode, Origin, SeriesWrite};
use milepost::engine::view::{Attempt, MetricView};
use milepost::engine::{AsOf, Engine, Settings};
use milepost::store::StoreError;
use milepost::store::memory::MemoryStore;
use std::sync::Arc;

const POINTS: i64 = 4_000;

fn open(store: &MemoryStore) -> Engine {
    let settings = Settings {
        block_points_max: 8,
        tail_points_min: 3,
        page_points_max: 2,
        node_children_max: 4,
        ..Settings::default()
    };
    let clock = Arc::new(ManualClock::at(Time(2 * POINTS * HOUR)));
    Engine::open(Arc::new(store.clone()), clock, settings).expect("it opens")
}

async fn metric(engine: &Engine, as_of: AsOf) -> MetricView {
    let view = engine.view(&name().component(), as_of).await.expect("a view");
    view.metric(&name()).expect("whole").expect("the metric")
}

/// The totals at some instants. Every one of them goes down one path.
fn totals(metric: &MetricView, count: i64) -> Result<Vec<i128>, StoreError> {
    let series = metric.series(&[])?.remove(0);
    let total = |k: i64| {
        let span = series.span(Interval::new(Time::MIN, Time((17 * k + 11) % POINTS * HOUR)))?;
        Ok(span.map_or(0, |span| span.sum))
    };
    (0..count).map(total).collect()
}

fn expected(count: i64) -> Vec<i128> {
    (0..count).map(|k| i128::from((17 * k + 11) % POINTS)).collect()
}

/// What is not in memory is left to a question that may read; once it has, an attempt has the same answer. What takes long
/// is left to it too, though all of it is there; and whatever became of an attempt, the next question is asked as ever.
#[tokio::test]
async fn an_attempt_reads_nothing_and_looks_at_little() {
    let store = MemoryStore::new();
    let engine = open(&store);
    engine.write(batch(Change::Create(Box::new(definition(Kind::Delta))))).await.expect("made");
    let one = |t: i64| Point::of_period(Time(t * HOUR), Time((t + 1) * HOUR), 1);
    engine.write(batch(set((0..POINTS).map(one).collect()))).await.expect("written");
    engine.close().await.expect("closed");
    let engine = open(&store);
    let metric_now = metric(&engine, AsOf::Now).await;
    let before = engine.children_read();
    let cold = metric_now.attempt(Attempt::OF_MANY_PATHS, || totals(&metric_now, 3)).expect("it is tried");
    assert!(matches!(cold, Err(StoreError::Deferred)), "{cold:?}");
    assert_eq!(engine.children_read(), before, "nothing was read");
    assert_eq!(totals(&metric_now, 3).expect("it may read"), expected(3));
    assert!(engine.children_read() > before);
    let warm = metric_now.attempt(Attempt::OF_MANY_PATHS, || totals(&metric_now, 3)).expect("it is tried");
    assert_eq!(warm.expect("all is in memory"), expected(3));

    assert_eq!(totals(&metric_now, 200).expect("it may read"), expected(200));
    let before = engine.children_read();
    let long = metric_now.attempt(Attempt::OF_MANY_PATHS, || totals(&metric_now, 200)).expect("it is tried");
    assert!(matches!(long, Err(StoreError::Deferred)), "200 paths of five are more than it looks at");
    assert_eq!(
        metric_now.attempt(Attempt::OF_MANY_PATHS, || totals(&metric_now, 20)).expect("it is tried").expect("short"),
        expected(20)
    );
    assert_eq!(totals(&metric_now, 200).expect("it may take long"), expected(200));
    assert_eq!(engine.children_read(), before, "all of it was in memory");

    // The past is made of blocks: it is not tried.
    engine.write(batch(set(vec![one(3_000)]))).await.expect("unchanged");
    engine.write(batch(set(vec![Point { value: 5, ..one(3_000) }]))).await.expect("corrected");
    assert!(metric(&engine, AsOf::Revision(2)).await.attempt(Attempt::OF_MANY_PATHS, || ()).is_none());
    assert!(metric(&engine, AsOf::Revision(3)).await.attempt(Attempt::OF_MANY_PATHS, || ()).is_some());
    engine.close().await.expect("closed");
}

/// Of a metric of many series a few may be asked for, by a filter; of very many none, for each is held to the filters; or
/// one whose labels are given.
#[tokio::test]
async fn an_attempt_finds_few_series_among_some() {
    let engine = open(&MemoryStore::new());
    let labelled = Definition { label_names: vec!["series".to_string()], ..definition(Kind::Delta) };
    engine.write(batch(Change::Create(Box::new(labelled)))).await.expect("made");
    let one = |i: usize| SeriesWrite {
        metric: name(),
        labels: vec![format!("{i:04}").into_boxed_str()].into(),
        points: vec![Point::of_period(Time(0), Time(HOUR), i as i64)].into(),
        end_given: Column::of(0, 1),
        origin: Origin::Entry(0),
    };
    for (from, to) in [(0, 8), (8, 9), (9, 256), (256, 257), (257, 1_024), (1_024, 1_025)] {
        let series = (from..to).map(one).collect();
        engine.write(batch(Change::Points { mode: Mode::Set, series })).await.expect("written");
        let metric = metric(&engine, AsOf::Now).await;
        let all = metric.attempt(Attempt::OF_MANY_PATHS, || metric.series(&[]).map(|all| all.len()));
        match (to, all) {
            (8, Some(Ok(8))) => {}
            (9.., Some(Err(StoreError::Deferred))) => {}
            (_, all) => panic!("{all:?} of {to}"),
        }
        let of_total = metric.attempt(Attempt::OF_TWO_PATHS, || metric.series(&[]).map(|all| all.len()));
        match (to, of_total) {
            (8..=256, Some(Ok(found))) if found == to => {}
            (257.., Some(Err(StoreError::Deferred))) => {}
            (_, found) => panic!("{found:?} of {to}"),
        }
        let few = |any_of| {
            let filters = [Filter::new(0, any_of, Vec::new())];
            match metric.attempt(Attempt::OF_MANY_PATHS, || metric.series(&filters)).expect("it is tried") {
                Err(StoreError::Deferred) => None,
                few => Some(few.expect("whole").len()),
            }
        };
        let last = format!("{:04}", to - 1);
        let two = few(vec!["0007".to_string(), last.clone()]);
        assert_eq!(two, (to <= 1_024).then_some(if to == 8 { 1 } else { 2 }));
        assert_eq!((few(vec![last]), few(vec!["none".to_string()])), (Some(1), Some(0)));
        assert_eq!(metric.series(&[]).expect("it may take long").len(), to);
    }
    engine.close().await.expect("closed");
}

/// Every selection of some values of two labels finds the series that it means, whatever way there is to them; values that
/// begin as others do, and some that no series has, among them.
#[tokio::test]
async fn filters_find_the_series_they_mean() {
    let engine = open(&MemoryStore::new());
    let label_names = vec!["one".to_string(), "other".to_string()];
    let labelled = Definition { label_names, ..definition(Kind::Delta) };
    engine.write(batch(Change::Create(Box::new(labelled)))).await.expect("made");
    let values = ["a", "ab", "b", "b\u{1}"];
    let all: Vec<[&str; 2]> = values.iter().flat_map(|one| values.map(|other| [*one, other])).collect();
    let write = |labels: &[&str; 2]| SeriesWrite {
        metric: name(),
        labels: labels.map(Box::from).to_vec().into(),
        points: vec![Point::of_period(Time(0), Time(HOUR), 1)].into(),
        end_given: Column::of(0, 1),
        origin: Origin::Entry(0),
    };
    let series = all.iter().map(write).collect();
    engine.write(batch(Change::Points { mode: Mode::Set, series })).await.expect("written");
    let metric = metric(&engine, AsOf::Now).await;
    let choices: [&[&str]; 7] = [&[], &["a"], &["ab"], &["b"], &["z"], &["b\0"], &["a", "b\u{1}"]];
    let ways = choices.iter().flat_map(|any_of| choices.map(|none_of| (*any_of, none_of)));
    let mut found_any = 0;
    for (one, other) in ways.clone().flat_map(|one| ways.clone().map(move |other| (one, other))) {
        let texts = |values: &[&str]| values.iter().map(|value| value.to_string()).collect::<Vec<_>>();
        let filter = |index, (any_of, none_of): (&[&str], &[&str])| Filter::new(index, texts(any_of), texts(none_of));
        let means = |value: &str, (any_of, none_of): (&[&str], &[&str])| {
            (any_of.is_empty() || any_of.contains(&value)) && !none_of.contains(&value)
        };
        let expected: Vec<_> = all.iter().filter(|[a, b]| means(a, one) && means(b, other)).collect();
        found_any += usize::from(!expected.is_empty());
        for filters in [[filter(0, one), filter(1, other)], [filter(1, other), filter(0, one)]] {
            let found = metric.series(&filters).expect("whole");
            let found: Vec<Vec<&str>> = found.iter().map(|series| series.labels().iter().collect()).collect();
            assert_eq!(found, expected.iter().map(|labels| labels.to_vec()).collect::<Vec<_>>(), "{filters:?}");
        }
    }
    assert!(found_any > 500, "{found_any}");
    engine.close().await.expect("closed");
}

/// Windows are work too, and such a question looks at fewer nodes and blocks beside.
#[tokio::test]
async fn an_attempt_reckons_some_windows() {
    let engine = open(&MemoryStore::new());
    engine.write(batch(Change::Create(Box::new(definition(Kind::Delta))))).await.expect("made");
    let one = |t: i64| Point::of_period(Time(t * HOUR), Time((t + 1) * HOUR), 1);
    engine.write(batch(set((0..POINTS).map(one).collect()))).await.expect("written");
    let metric = metric(&engine, AsOf::Now).await;
    let whole = totals(&metric, 200).expect("it may take long");
    assert_eq!(metric.windows_max(), usize::MAX, "any number where it may take long");
    metric.take_windows(100_000);
    assert_eq!(totals(&metric, 200).expect("it may take long"), whole);
    for (windows, left, paths, fits) in
        [(0, 1_024, 8, true), (0, 1_024, 20, false), (900, 112, 1, true), (900, 112, 4, false)]
    {
        let asked = metric.attempt(Attempt::OF_MANY_PATHS, || {
            assert_eq!(metric.windows_max(), 1_024);
            metric.take_windows(windows);
            assert_eq!(metric.windows_max(), left, "after {windows}");
            totals(&metric, paths)
        });
        assert_eq!(asked.expect("it is tried").is_ok(), fits, "{paths} paths after {windows} windows");
    }
    engine.close().await.expect("closed");
}
