//! What a question costs as a series grows, by counting: how many nodes and blocks are read from the store.

use super::{batch, definition, name, set};
use milepost::clock::ManualClock;
use milepost::domain::definition::{Definition, Kind};
use milepost::domain::point::Point;
use milepost::domain::time::{Interval, Time};
use milepost::engine::batch::Change;
use milepost::engine::view::SeriesView;
use milepost::engine::{AsOf, Engine, Settings};
use milepost::proto::v1::get_total_request::At;
use milepost::proto::v1::list_milestones_request::Ladder;
use milepost::proto::v1::query_service_server::QueryService;
use milepost::proto::v1::{GetTotalRequest, ListMilestonesRequest, Selection, ThresholdList};
use milepost::service::query::Query;
use milepost::store::memory::MemoryStore;
use std::sync::Arc;

const SECOND: i64 = 1_000_000_000;
const BATCH_POINTS: i64 = 1_000_000;

/// One a second; every value is 1, 2 or 3, and three in a row come to 6.
fn point(i: i64) -> Point {
    Point::at(Time(i * SECOND), i % 3 + 1)
}

/// What the first `count` points come to.
fn sum(count: i64) -> i128 {
    i128::from(count / 3 * 6 + [0, 1, 3][(count % 3) as usize])
}

async fn grow(engine: &Engine, from: i64, to: i64) {
    for first in (from..to).step_by(BATCH_POINTS as usize) {
        let points = (first..(first + BATCH_POINTS).min(to)).map(point).collect();
        engine.write(batch(set(points))).await.expect("written");
    }
    engine.fold().await.expect("folded");
}

async fn series(engine: &Engine) -> SeriesView {
    let view = engine.view(&name().component(), AsOf::Now).await.expect("a view");
    view.metric(&name()).expect("read").expect("known").series(&[]).expect("read").remove(0)
}

/// The most that one of many totals and milestones that are asked for by calls read, all over the series.
async fn most_read_by_call(engine: &Engine, points: i64) -> (u64, u64) {
    let query = Query::new(engine.clone());
    let selection = Some(Selection { metric: name().to_string(), ..Selection::default() });
    let (mut total_reads, mut crossing_reads) = (0, 0);
    for k in 0..200 {
        let count = (k * 7_919_993 + k * k * 104_729) % points;
        let instant = prost_types::Timestamp { seconds: count, nanos: 0 };
        let at = Some(At::AtTime(instant));
        let request = GetTotalRequest { selection: selection.clone(), at, ..GetTotalRequest::default() };
        let before = engine.children_read();
        let reply = query.get_total(tonic::Request::new(request)).await.expect("a total").into_inner();
        // Before the first point there is no figure.
        let total = (count > 0).then(|| sum(count).to_string());
        assert_eq!(reply.totals[0].total, total, "{count} of {points}");
        let between = engine.children_read();
        let ladder = Some(Ladder::Thresholds(ThresholdList { values: vec![sum(count + 1).to_string()] }));
        let request = ListMilestonesRequest { selection: selection.clone(), ladder, ..Default::default() };
        let reply = query.list_milestones(tonic::Request::new(request)).await.expect("milestones").into_inner();
        assert_eq!(reply.milestones[0].reached_by, Some(instant), "{count} of {points}");
        total_reads = total_reads.max(between - before);
        crossing_reads = crossing_reads.max(engine.children_read() - between);
    }
    (total_reads, crossing_reads)
}

/// The most that one of many totals and crossings read, all over the series.
fn most_read(engine: &Engine, series: &SeriesView, points: i64) -> (u64, u64) {
    let (mut total_reads, mut crossing_reads) = (0, 0);
    for k in 0..200 {
        let count = (k * 7_919_993 + k * k * 104_729) % points;
        let before = engine.children_read();
        let total = series.span(Interval::new(Time::MIN, Time(count * SECOND))).expect("a sum");
        assert_eq!(total.map_or(0, |total| total.sum), sum(count), "{count} of {points}");
        let between = engine.children_read();
        let reached = series.reach(Interval::ALL, sum(count + 1)).expect("a search").expect("it is reached");
        assert_eq!(reached.point.time, Time(count * SECOND), "{count} of {points}");
        total_reads = total_reads.max(between - before);
        crossing_reads = crossing_reads.max(engine.children_read() - between);
    }
    (total_reads, crossing_reads)
}

/// A path from the root to one block, whatever the length: nodes of 64 children over blocks of 5,120 points are two
/// deep at a million points and three at a hundred million, and half-full ones are a level deeper at the most.
#[tokio::test]
async fn a_total_and_a_crossing_read_one_path_however_long_the_series() {
    // Next to no cache: every node asked for is read, and counted.
    let settings = Settings { cache_bytes_max: 1, ..Settings::default() };
    let clock = Arc::new(ManualClock::at(Time(1_000_000_000 * SECOND)));
    let engine = Engine::open(Arc::new(MemoryStore::new()), clock, settings).expect("opened");
    let irregular = Definition { period: None, ..definition(Kind::Delta) };
    engine.write(batch(Change::Create(Box::new(irregular)))).await.expect("made");
    let mut from = 0;
    for (points, reads_max) in [(1_000_000, 3), (100_000_000, 4)] {
        grow(&engine, from, points).await;
        let (total, crossing) = most_read(&engine, &series(&engine).await, points);
        assert!((1..=reads_max).contains(&total), "a total of {points} points read {total}");
        assert!((1..=reads_max).contains(&crossing), "a crossing of {points} points read {crossing}");
        let (total, crossing) = most_read_by_call(&engine, points).await;
        assert!((1..=reads_max).contains(&total), "GetTotal of {points} points read {total}");
        assert!((1..=reads_max).contains(&crossing), "ListMilestones of {points} points read {crossing}");
        from = points;
    }
}
