//! Very many series: what an opening reads ahead, while it takes what it has read, is what it would have read by and by.

use super::*;
use milepost::disk::RealDisk;
use milepost::engine::ViewError;
use milepost::random::SeededRandom;
use milepost::store::IndexState;
use milepost::store::embedded::{EmbeddedStore, StoreSettings};
use std::path::Path;

/// So many that their records fill far more than 64 pages, and a few pushes more than 4 MiB of log.
const SERIES: i64 = 4_000;
/// Of each series, before the fold and after it.
const PUSHES: [i64; 2] = [2, 16];

fn opened(dir: &Path) -> (Arc<EmbeddedStore>, Engine) {
    let random = || Arc::new(SeededRandom::new(1));
    let store = story::once_free(|| EmbeddedStore::open(dir, Arc::new(RealDisk), random(), StoreSettings::default()));
    let store = Arc::new(store.expect("it opens"));
    let clock = Arc::new(ManualClock::at(Time(1_000 * HOUR)));
    let engine = Engine::open(store.clone(), clock, Settings::default()).expect("it opens");
    (store, engine)
}

fn value(series: i64, push: i64) -> i64 {
    series * 31 % 17 + push
}

/// A point for each of these series.
async fn push(engine: &Engine, push: i64, series: impl Iterator<Item = i64>, more: i64) {
    let write = |s: i64| {
        let points = vec![Point::of_period(Time(push * HOUR), Time((push + 1) * HOUR), value(s, push) + more)];
        let labels: Labels = vec![format!("{s:05}").into()].into();
        let end_given = Column::of(0, 1);
        SeriesWrite { metric: name(), labels, points: points.into(), end_given, origin: Origin::Entry(0) }
    };
    let series = series.map(write).collect();
    engine.write(batch(Change::Points { mode: Mode::Set, series })).await.expect("set");
}

/// All of it, in fold files and log; whether closed or not is the caller's affair.
async fn written(dir: &Path) -> Engine {
    let (store, engine) = opened(dir);
    let definition = Definition { label_names: vec!["s".to_string()], ..definition(Kind::Delta) };
    engine.write(batch(Change::Create(Box::new(definition)))).await.expect("made");
    for p in 0..PUSHES[0] {
        push(&engine, p, 0..SERIES, 0).await;
    }
    engine.fold().await.expect("folded");
    for p in PUSHES[0]..PUSHES[0] + PUSHES[1] {
        push(&engine, p, 0..SERIES, 0).await;
    }
    // What was folded is corrected beyond the fold.
    push(&engine, 0, (0..SERIES).step_by(100), 1_000).await;
    assert!(store.log_bytes() > 4 << 20, "{} bytes of log", store.log_bytes());
    engine
}

async fn check(engine: &Engine) {
    let view = engine.view(&name().component(), AsOf::Now).await.expect("a view");
    let all = view.metric(&name()).expect("known").expect("the metric").series(&[]).expect("its series");
    assert_eq!(all.len() as i64, SERIES);
    for (s, series) in (0..).zip(&all) {
        let points = series.points(Interval::ALL, usize::MAX).expect("no damage");
        let corrected = |p| if p == 0 && s % 100 == 0 { 1_000 } else { 0 };
        let expected: Vec<i64> = (0..PUSHES[0] + PUSHES[1]).map(|p| value(s, p) + corrected(p)).collect();
        assert_eq!(points.iter().map(|point| point.value).collect::<Vec<_>>(), expected, "series {s}");
    }
    assert_eq!(engine.verify().await.findings, []);
}

#[tokio::test]
async fn very_many_series_are_opened_as_they_were() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(written(dir.path()).await);
    // Nothing was closed: pages and log are read.
    let (store, engine) = opened(dir.path());
    assert_eq!(store.index_state(), IndexState::Rebuild);
    let mut pages = 0;
    store.read_lines(&mut |line, _| pages += u32::from(line.kind == 3)).expect("read");
    assert!(pages > 64, "{pages} pages");
    drop(store);
    check(&engine).await;
    engine.close().await.expect("closed");
    drop(engine);
    let (store, engine) = opened(dir.path());
    assert!(matches!(store.index_state(), IndexState::Trusted(_)));
    drop(store);
    check(&engine).await;
}

/// Damage to one of very many pages is damage, and not an end to what is read ahead.
#[tokio::test]
async fn a_page_of_very_many_is_damaged() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(written(dir.path()).await);
    let (store, engine) = opened(dir.path());
    let mut pages = Vec::new();
    store.read_lines(&mut |line, at| pages.extend((line.kind == 3).then_some(at))).expect("read");
    let (file, offset) = store.locate(pages[pages.len() / 2]);
    drop((store, engine));
    story::wait_until_free(dir.path());
    let mut bytes = std::fs::read(&file).expect("the fold file");
    bytes[offset as usize + 100] ^= 1;
    std::fs::write(&file, bytes).expect("there is room");
    let (_store, engine) = opened(dir.path());
    let refused = engine.view(&name().component(), AsOf::Now).await;
    assert!(matches!(refused, Err(ViewError::Damaged(_))), "it is not served");
}
