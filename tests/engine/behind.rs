//! Writes that wait for a fold: what the fold took over stays taken over.

use super::*;
use milepost::disk::RealDisk;
use milepost::engine::view::ChangeRow;
use milepost::random::SystemRandom;
use milepost::store::embedded::{EmbeddedStore, StoreSettings};
use std::collections::VecDeque;

/// The recorded time of every revision, and what `ListChanges` tells.
async fn told(engine: &Engine, last: i64) -> (Vec<Time>, Vec<String>) {
    let component = name().component();
    let mut times = Vec::new();
    for revision in 1..=last {
        times.push(engine.view(&component, AsOf::Revision(revision)).await.expect("a view").evaluate_time());
    }
    let ask = ChangesAsk {
        metric: name(),
        filters: Vec::new(),
        from_revision: 1,
        to_revision: last + 1,
        include_new: false,
        after: None,
        rows_max: usize::MAX,
    };
    let view = engine.view(&component, AsOf::Now).await.expect("a view");
    let row = |row: &ChangeRow| format!("{} {:?}", row.revision, row.kind);
    (times, view.changes(&ask).expect("changes").iter().map(row).collect())
}

/// A group that waited for a fold used to bring back the state from before the fold was taken over: its revisions
/// and changes were folded twice, and after a restart each revision had another's recorded time.
#[tokio::test]
async fn a_group_that_waits_for_a_fold_keeps_what_the_fold_took_over() {
    // Real files: so that a fold takes longer than a group.
    let dir = tempfile::tempdir().expect("a directory");
    let open = || {
        let (disk, random) = (Arc::new(RealDisk), Arc::new(SystemRandom));
        let store = EmbeddedStore::open(
            dir.path(),
            disk,
            random,
            StoreSettings { segment_bytes: 1 << 20, reserve_bytes: 0, ..Default::default() },
        );
        Arc::new(store.expect("the store opens"))
    };
    let clock = Arc::new(ManualClock::at(Time(1_000)));
    let settings = Settings { memtable_bytes_max: 1, ..small() };
    let engine = Engine::open(open(), clock.clone(), settings.clone()).expect("it opens");
    let made = Change::Create(Box::new(definition(Kind::Delta)));
    engine.write(batch(made)).await.expect("a metric");
    const BATCHES: i64 = 400;
    let mut answers = VecDeque::new();
    for number in 0..BATCHES {
        clock.set(Time(1_000 + number));
        let points = (0..6).map(|i| {
            let time = Time((number % 7 * 6 + i) * HOUR);
            Point::of_period(time, time.plus(HOUR), number)
        });
        answers.push_back(engine.submit(batch(set(points.collect()))).await.expect("it is taken"));
        if answers.len() == 16 {
            answers.pop_front().expect("an answer").await.expect("an answer").expect("it is written");
        }
    }
    for answer in answers {
        answer.await.expect("an answer").expect("it is written");
    }
    let before = told(&engine, BATCHES + 1).await;
    assert!(before.1.len() as i64 > BATCHES, "most batches correct points");
    engine.close().await.expect("it closes");
    let engine = Engine::open(open(), clock, settings).expect("it opens again");
    let after = told(&engine, BATCHES + 1).await;
    assert_eq!(before.0, after.0, "recorded times");
    assert_eq!(before.1, after.1, "changes");
}

/// The niceness of this process's threads of a name.
#[cfg(target_os = "linux")]
fn nice_of(name: &str) -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux tells of threads");
    let nice = |task: std::io::Result<std::fs::DirEntry>| {
        // One that has ended meanwhile says nothing.
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (head, fields) = stat.rsplit_once(')')?;
        let is_named = head.split_once('(')?.1 == name;
        // After its name: state is the 1st field, niceness the 17th.
        fields.split_whitespace().nth(16).filter(|_| is_named)?.parse().ok()
    };
    tasks.filter_map(nice).collect()
}

/// Folds and sweeps go behind who answers and commits. A fold's thread lives as long as the fold: it is looked for while
/// folds go on.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn folds_and_sweeps_go_behind_who_commits() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = EmbeddedStore::open(dir.path(), Arc::new(RealDisk), Arc::new(SystemRandom), StoreSettings::default());
    let settings = Settings { memtable_bytes_max: 1, ..small() };
    let clock = Arc::new(ManualClock::at(Time(1_000)));
    let engine = Engine::open(Arc::new(store.expect("it opens")), clock, settings).expect("it opens");
    engine.write(batch(Change::Create(Box::new(definition(Kind::Delta))))).await.expect("a metric");
    let ours = nice_of("committer")[0];
    let behind = (ours + 3).min(19);
    let mut number = 0;
    while !nice_of("folder").contains(&behind) {
        number += 1;
        assert!(number < 10_000, "a fold is seen, and it has gone behind");
        let point = Point::of_period(Time(number * HOUR), Time((number + 1) * HOUR), 1);
        engine.write(batch(set(vec![point]))).await.expect("written");
    }
    assert!(nice_of("sweeper").contains(&behind));
    assert!(nice_of("committer").iter().all(|nice| *nice == ours));
    engine.close().await.expect("closed");
}
