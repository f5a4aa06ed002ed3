//! How what changed is cut into frames: that none grows with all that is kept, and that little things share one.

use super::frames::{FrameKind, read_changes_line, read_run_line};
use super::*;
use crate::clock::ManualClock;
use crate::domain::definition::{Definition, Kind};
use crate::domain::point::Point;
use crate::engine::batch::{Batch, Change, Column, Mode, Origin, SeriesWrite};
use crate::engine::tree::growing::Before;
use crate::engine::{AsOf, Engine};
use crate::store::memory::MemoryStore;
use crate::store::{FrameRef, Line, Store};

fn name() -> MetricName {
    MetricName::parse("team/counts").expect("a name")
}

fn definition() -> Definition {
    Definition { label_names: vec!["channel".to_string()], ..Definition::new(name(), Kind::Delta) }
}

async fn write(engine: &Engine, change: Change) {
    let text = String::new;
    let component = name().component();
    let batch = Batch { component, who: text(), request_id: text(), reason: text(), validate_only: false, change };
    engine.write(batch).await.expect("written");
}

async fn points(engine: &Engine, series: impl IntoIterator<Item = (String, Vec<Point>)>) {
    let series = series.into_iter().map(|(channel, points)| {
        let end_given = Column::of(0, points.len());
        let labels: Labels = vec![channel.into()].into();
        SeriesWrite { metric: name(), labels, points: points.into(), end_given, origin: Origin::Entry(0) }
    });
    write(engine, Change::Points { mode: Mode::Set, series: series.collect() }).await;
}

fn opened(store: MemoryStore) -> Engine {
    let settings = Settings { block_points_max: 8, tail_points_min: 3, page_points_max: 2, ..Settings::default() };
    let engine = Engine::open(Arc::new(store), Arc::new(ManualClock::at(Time(1_000))), settings);
    engine.expect("it opens")
}

async fn open(store: &MemoryStore) -> Engine {
    let engine = opened(store.clone());
    write(&engine, Change::Create(Box::new(definition()))).await;
    engine
}

fn frames(store: &MemoryStore, kind: FrameKind) -> Vec<(Line, FrameRef)> {
    let mut all = Vec::new();
    store.read_lines(&mut |line, at| all.push((line, at))).expect("read");
    all.retain(|(line, _)| line.kind == kind as u8);
    all
}

/// A series of up to `page_points_max` points is kept in its record, and takes no block of its own.
#[tokio::test]
async fn a_small_series_has_no_block() {
    for (count, blocks) in [(1, 0), (2, 0), (3, 1), (8, 1), (9, 2)] {
        let store = MemoryStore::new();
        let engine = open(&store).await;
        points(&engine, [("a".to_string(), (0..count).map(|t| Point::at(Time(t), 1)).collect())]).await;
        engine.fold().await.expect("folded");
        assert_eq!(frames(&store, FrameKind::Block).len(), blocks, "{count} points");
        assert_eq!(engine.verify().await.findings, []);
    }
}

/// A push of one point opens no block, whatever the rules of the metric ask of the point before it.
#[tokio::test]
async fn a_push_puts_no_block_together() {
    for kind in [Kind::Delta, Kind::Cumulative, Kind::Gauge] {
        let engine = opened(MemoryStore::new());
        write(&engine, Change::Create(Box::new(Definition { kind, ..definition() }))).await;
        for t in 0..8 {
            points(&engine, [("a".to_string(), vec![Point::at(Time(t), t)])]).await;
            let component = engine.shared.state.load()[&name().component()].clone();
            let series = component.metrics[&name()].series.values().next().expect("it has one").clone();
            let child = &series.root.as_ref().expect("it has points").child;
            let before = engine.shared.loader.before(child).expect("it is in memory");
            // As short as a record's it is kept packed.
            assert_eq!(child.packed_bytes().is_some(), t < 2, "{kind:?}, point {t}");
            assert_eq!(matches!(before, Some(Before::Pieces(_))), t >= 2, "{kind:?}, point {t}");
        }
        assert_eq!(engine.verify().await.findings, []);
    }
}

/// What very many series take that get a point now and then: a short one is held packed, in an eighth of the bytes of its
/// columns, before it is stored, while it is changed, and after.
#[tokio::test]
async fn a_short_series_is_held_packed() {
    let store = MemoryStore::new();
    let engine = Engine::open(Arc::new(store), Arc::new(ManualClock::at(Time(1_000))), Settings::default());
    let engine = engine.expect("it opens");
    write(&engine, Change::Create(Box::new(definition()))).await;
    let hour = 3_600_000_000_000;
    let mut held = Vec::new();
    for push in 0..20 {
        // Every second one between two folds.
        for fold in [false, push % 2 == 0] {
            let one = Point::at(Time(1_438_387_200_000_000_000 + push * hour), 30 + push % 7);
            if fold {
                engine.fold().await.expect("folded");
            } else {
                points(&engine, (0..5).map(|i| (format!("channel {i}"), vec![one]))).await;
            }
            let state = engine.shared.state.load();
            for series in state[&name().component()].metrics[&name()].series.values() {
                let root = series.root.as_ref().expect("it has points");
                assert_eq!(root.child.place().is_some(), fold);
                held.push(root.child.packed_bytes().expect("it is packed").len());
            }
        }
    }
    assert_eq!(engine.verify().await.findings, []);
    let most = *held.iter().max().expect("some are held");
    assert!(most <= 24 + 20 * 2, "{most} bytes of 20 points");
}

/// While the store is open nobody reads the index's pages of series, so they are not written with every fold: a million
/// series that get a point would each time be 60,000 pages. They are there once it is closed.
#[tokio::test]
async fn pages_of_the_index_are_written_when_it_is_closed() {
    let store = MemoryStore::new();
    let engine = open(&store).await;
    let pages = |store: &MemoryStore| {
        let mut count = 0;
        store.scan_index(pages::PREFIX, &mut |_, _| count += 1).expect("scanned");
        count
    };
    for push in 0..3 {
        points(&engine, (0..100).map(|i| (format!("channel {i:03}"), vec![Point::at(Time(push), i)]))).await;
        engine.fold().await.expect("folded");
        assert_eq!(pages(&store), 0, "push {push}");
        assert_eq!(engine.verify().await.findings, []);
    }
    // Ids begin with 1, sixteen are on a page.
    engine.close().await.expect("closed");
    assert_eq!(pages(&store), 7);
    // Of those that are there only what changed is written again.
    let again = store.reopen();
    let engine = opened(again.clone());
    assert_eq!(engine.shared.loader.hold_publishing().len(), 0);
    points(&engine, [("channel 003".to_string(), vec![Point::at(Time(9), 1)])]).await;
    engine.fold().await.expect("folded");
    let behind = engine.shared.loader.hold_publishing().clone();
    assert_eq!(behind, [(name().component(), [0].into())].into());
    assert_eq!(engine.verify().await.findings, []);
}

/// Very many series with a point each are folded before their replay takes long, however little memory they take.
#[tokio::test]
async fn series_that_change_are_folded_though_they_take_no_memory() {
    let store = MemoryStore::new();
    let settings = Settings { memtable_bytes_max: 1 << 16, ..Settings::default() };
    let engine = Engine::open(Arc::new(store.clone()), Arc::new(ManualClock::at(Time(1_000))), settings);
    let engine = engine.expect("it opens");
    write(&engine, Change::Create(Box::new(definition()))).await;
    for push in 0..100 {
        points(&engine, (0..10).map(|i| (format!("channel {i}"), vec![Point::at(Time(push), i)]))).await;
    }
    engine.fold().await.expect("folded");
    // 1,000 changed series, of which 256 begin a fold, and at most twice as many wait for one.
    let folds = frames(&store, FrameKind::Component).len();
    assert!((3..=5).contains(&folds), "{folds}");
}

/// Records of series share pages of some KiB.
#[tokio::test]
async fn small_series_share_pages() {
    let store = MemoryStore::new();
    let engine = open(&store).await;
    points(&engine, (0..500).map(|i| (format!("channel {i:03}"), vec![Point::at(Time(i), i)]))).await;
    engine.fold().await.expect("folded");
    let pages = frames(&store, FrameKind::SeriesPage);
    let sizes: Vec<usize> = pages.iter().map(|(_, at)| store.read_frame(*at).expect("read").len()).collect();
    let (last, full) = sizes.split_last().expect("there are pages");
    assert!(full.len() >= 5 && full.iter().all(|bytes| (4_096..4_500).contains(bytes)), "{sizes:?}");
    assert!(*last < 4_500, "{sizes:?}");
}

/// Runs of replaced versions are put together before there are too many to ask, and not more often than that.
#[tokio::test]
async fn runs_are_put_together_by_the_eighth() {
    let store = MemoryStore::new();
    let engine = open(&store).await;
    let value = |value| [("a".to_string(), vec![Point::at(Time(1), value)])];
    points(&engine, value(0)).await;
    engine.fold().await.expect("folded");
    let mut wholes = Vec::new();
    for i in 1..=40 {
        points(&engine, value(i)).await;
        engine.fold().await.expect("folded");
        let runs = frames(&store, FrameKind::Run);
        let is_whole = |(line, _): &(Line, _)| read_run_line(&line.summary).expect("a line").3;
        let since = runs.iter().rev().take_while(|run| !is_whole(run)).count();
        wholes = runs.iter().enumerate().filter(|(_, run)| is_whole(run)).map(|(i, _)| i + 1).collect();
        assert!(runs.len() == i as usize && since < RUNS_MAX - usize::from(!wholes.is_empty()), "{since} of {i}");
    }
    assert_eq!(wholes, [8, 15, 22, 29, 36], "each takes the place of all before it");
    assert_eq!(engine.verify().await.findings, []);
    for revision in [2, 7, 20, 41] {
        let view = engine.view(&name().component(), AsOf::Revision(revision)).await.expect("a view");
        let series = view.metric(&name()).expect("known").expect("the metric").series(&[]).expect("series");
        let found = series[0].points(crate::domain::time::Interval::ALL, 9).expect("points");
        assert_eq!(found, [Point::at(Time(1), revision - 2)]);
    }
}

/// What one fold stores of a series' past are runs of a bounded length; only the first takes the place of all before it,
/// and what was is the same however it was cut, from the index and from the files.
#[tokio::test]
async fn a_long_past_is_cut_into_runs() {
    let store = MemoryStore::new();
    let engine = open(&store).await;
    let count = 2 * RUN_VERSIONS_MAX as i64 + 1;
    let write = |value| [("a".to_string(), (0..count).map(|t| Point::at(Time(t), value)).collect())];
    points(&engine, write(1)).await;
    for value in 2..=9 {
        points(&engine, write(value)).await;
        engine.fold().await.expect("folded");
    }
    let lines = frames(&store, FrameKind::Run);
    let lines: Vec<_> = lines.iter().map(|(line, _)| read_run_line(&line.summary).expect("a line")).collect();
    let first: Vec<_> = lines[..3].iter().map(|(_, first, last, whole)| (first.0, last.0, *whole)).collect();
    let cut = RUN_VERSIONS_MAX as i64;
    assert_eq!(first, [(0, cut - 1, false), (cut, 2 * cut - 1, false), (2 * cut, 2 * cut, false)]);
    // The eighth fold puts all of it together: eight versions a key.
    let wholes: Vec<usize> = (0..lines.len()).filter(|i| lines[*i].3).collect();
    assert_eq!((wholes, lines.len()), (vec![3 * 7], 3 * 7 + 17));
    assert_eq!(engine.verify().await.findings, []);
    let read = |engine: Engine| async move {
        let mut found = Vec::new();
        for revision in 2..=10 {
            let view = engine.view(&name().component(), AsOf::Revision(revision)).await.expect("a view");
            let series = view.metric(&name()).expect("known").expect("the metric").series(&[]).expect("series");
            let all = series[0].span(crate::domain::time::Interval::ALL).expect("whole").expect("points");
            found.push((all.count, all.sum / i128::from(count)));
        }
        found
    };
    let expected: Vec<(u64, i128)> = (1..=9).map(|value| (count as u64, value)).collect();
    assert_eq!(read(engine.clone()).await, expected);
    engine.close().await.expect("closed");
    assert_eq!(read(opened(store)).await, expected);
}

/// Each run is read once by a question of the past, though every block asks for its own part of it.
#[tokio::test]
async fn a_run_is_unpacked_once_for_all_its_blocks() {
    let store = MemoryStore::new();
    let engine = open(&store).await;
    let write = |times: std::ops::Range<i64>, value| {
        [("a".to_string(), times.step_by(2).map(|t| Point::at(Time(t), value)).collect())]
    };
    points(&engine, write(0..8_000, 1)).await;
    for value in 2..=4 {
        points(&engine, write(0..8_000, value)).await;
        engine.fold().await.expect("folded");
    }
    engine.close().await.expect("closed");
    let engine = opened(store);
    let view = engine.view(&name().component(), AsOf::Revision(3)).await.expect("a view");
    let series = view.metric(&name()).expect("known").expect("the metric").series(&[]).expect("series");
    let all = series[0].span(crate::domain::time::Interval::ALL).expect("whole").expect("points");
    assert_eq!((all.count, all.sum), (4_000, 8_000));
    assert_eq!(engine.shared.loader.runs().reads(), 3);
}

/// Changes lie in frames of at most some thousand, each of which says its first and last revision.
#[tokio::test]
async fn changes_lie_in_frames_that_say_their_revisions() {
    let store = MemoryStore::new();
    let engine = open(&store).await;
    let write =
        |times: std::ops::Range<i64>, value| [("a".to_string(), times.map(|t| Point::at(Time(t), value)).collect())];
    points(&engine, write(0..12_000, 1)).await;
    for first in [0, 4_000, 8_000] {
        points(&engine, write(first..first + 4_000, 2)).await;
    }
    engine.fold().await.expect("folded");
    let lines: Vec<_> = frames(&store, FrameKind::Changes)
        .iter()
        .map(|(line, _)| read_changes_line(&line.summary).expect("a line"))
        .map(|(_, first, last)| (first, last))
        .collect();
    assert_eq!(lines, [(3, 4), (4, 5), (5, 5)]);
}

/// The index of more series than a page holds, with trees of nodes, says where all of them are: after a clean close, and
/// again after some of them changed.
#[tokio::test]
async fn an_index_of_many_pages_and_nodes_is_the_same_when_it_is_opened_again() {
    let store = MemoryStore::new();
    let mut engine = open(&store).await;
    let channel = |i: i64| format!("channel {i:03}");
    let mut lengths: Vec<i64> = (0..50).map(|i| if i % 7 == 0 { 3_000 } else { i % 4 + 1 }).collect();
    let all = |lengths: &[i64], from: &[i64]| -> Vec<(String, Vec<Point>)> {
        let of = |i: usize| (from[i]..lengths[i]).map(|t| Point::at(Time(t), i as i64 + t)).collect::<Vec<_>>();
        (0..lengths.len()).map(|i| (channel(i as i64), of(i))).filter(|(_, points)| !points.is_empty()).collect()
    };
    let mut from = vec![0; 50];
    for round in 0..3 {
        points(&engine, all(&lengths, &from)).await;
        engine.fold().await.expect("folded");
        engine.close().await.expect("closed");
        let again = store.reopen();
        assert!(matches!(again.index_state(), crate::store::IndexState::Trusted(_)));
        engine = opened(again);
        assert_eq!(engine.verify().await.findings, [], "round {round}");
        let view = engine.view(&name().component(), AsOf::Now).await.expect("a view");
        let series = view.metric(&name()).expect("known").expect("the metric").series(&[]).expect("series");
        assert_eq!(series.len(), 50);
        for (i, series) in series.iter().enumerate() {
            let found = series.points(crate::domain::time::Interval::ALL, usize::MAX).expect("points");
            let expected: Vec<Point> = (0..lengths[i]).map(|t| Point::at(Time(t), i as i64 + t)).collect();
            assert_eq!(found, expected, "series {i} in round {round}");
        }
        from.clone_from(&lengths);
        // Some of the pages, and of the trees, stay as they are.
        lengths.iter_mut().enumerate().filter(|(i, _)| i % 14 < 2).for_each(|(_, length)| *length += 5);
    }
}

thread_local! {
    /// Series that folds of this thread looked at ahead.
    pub(super) static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A fold that is waited for packs ahead: what it stores is what it would store otherwise, and it looks at each series once,
/// however few of them have blocks. (It looked at all that follow, for each of them: a million small ones took hours.)
#[tokio::test]
async fn a_fold_that_is_waited_for_looks_at_each_series_once() {
    const COUNT: i64 = 3_000;
    let mut stored = Vec::new();
    for is_awaited in [true, false] {
        let store = MemoryStore::new();
        let engine = open(&store).await;
        let length = |i: i64| if i % 50 == 7 { 20 * 8 } else { 1 + i % 2 };
        let series = |i: i64| (format!("{i:04}"), (0..length(i)).map(|t| Point::at(Time(t), i * t)).collect());
        points(&engine, (0..COUNT).map(series)).await;
        let state = State::clone(&engine.shared.state.load());
        let component = name().component();
        let ids = Changed::from_iter(0..=COUNT as u64);
        let dirty = Dirty { components: BTreeMap::from([(component.clone(), ids)]), ..Dirty::default() };
        let through = state[&component].position;
        let is_awaited = Arc::new(AtomicBool::new(is_awaited));
        let fold = Fold { state, dirty, through, memtable_bytes: 0, is_awaited: is_awaited.clone() };
        LOOKED_AT.set(0);
        let folded = fold.run(&engine.shared.loader, &engine.shared.settings);
        assert!(matches!(folded, Folded::Done(_)), "there is room");
        let looked_at = if is_awaited.load(Ordering::Relaxed) { COUNT as usize } else { 0 };
        assert_eq!(LOOKED_AT.get(), looked_at);
        let blocks = frames(&store, FrameKind::Block);
        assert_eq!(blocks.len(), COUNT as usize / 50 * 20);
        let bytes = |(line, at): &(Line, FrameRef)| (line.summary.clone(), store.read_frame(*at).expect("read"));
        stored.push(blocks.iter().map(bytes).collect::<Vec<_>>());
        // Nothing of it was taken over: it is only looked at.
        drop(engine);
    }
    assert_eq!(stored[0], stored[1]);
}

/// A fold that ends after its metric was deleted and made again: nothing of the old one is taken over by the new one.
#[tokio::test]
async fn a_metric_made_again_meanwhile_takes_nothing_over() {
    let engine = open(&MemoryStore::new()).await;
    let corrected = async |value: i64| {
        for value in [value, value + 1] {
            points(&engine, [("a".to_string(), (0..5).map(|t| Point::at(Time(t), value)).collect())]).await;
        }
    };
    corrected(1).await;
    let state = || State::clone(&engine.shared.state.load());
    let before = state();
    let component = name().component();
    let dirty =
        Dirty { components: BTreeMap::from([(component.clone(), Changed::from_iter([1]))]), ..Dirty::default() };
    let through = before[&component].position;
    let fold = Fold { state: before.clone(), dirty, through, memtable_bytes: 0, is_awaited: Arc::default() };
    let Folded::Done(done) = fold.run(&engine.shared.loader, &engine.shared.settings) else { panic!("there is room") };
    // Changes told of the metric that are stored, those that are not, and the same of replaced versions.
    let beside = |state: &State| {
        let metric = &state[&component].metrics[&name()];
        let series = metric.series.values().next().expect("it has one");
        let history = series.history();
        (metric.stored_changes.len(), metric.recent_changes.len(), history.runs.len(), history.recent.len())
    };
    assert_eq!(beside(&before), (0, 5, 0, 5));
    let mut taken_over = before;
    done.take_over(&mut taken_over);
    assert_eq!(beside(&taken_over), (1, 0, 1, 0));

    write(&engine, Change::Delete { metric: name(), force: true }).await;
    write(&engine, Change::Create(Box::new(definition()))).await;
    corrected(7).await;
    let mut later = state();
    done.take_over(&mut later);
    assert_eq!(beside(&later), (0, 5, 0, 5));
}
