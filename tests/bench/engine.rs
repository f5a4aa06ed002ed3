//! One series of 10^4, 10^6 and 10^8 points, one a second: the curve must be flat but for the logarithm. With
//! `MILEPOST_BENCH_POINTS=1000000000` of so many (some minutes, and a gigabyte of disk).

use criterion::{BenchmarkId, Criterion};
use milepost::clock::SystemClock;
use milepost::disk::RealDisk;
use milepost::domain::calendar::{Calendar, MonthDay, Period, Unit, Weekday, Zone};
use milepost::domain::definition::{Definition, Kind};
use milepost::domain::name::MetricName;
use milepost::domain::point::{Labels, Point};
use milepost::domain::time::{Interval, Time};
use milepost::engine::batch::{Batch, Change, Column, Mode, Origin, SeriesWrite};
use milepost::engine::view::SeriesView;
use milepost::engine::{AsOf, Engine, Settings};
use milepost::query::ask::{AsOfAsk, Head, Moment, PageAsk, SelectionAsk, TotalAsk};
use milepost::query::{TotalPlan, total};
use milepost::random::SystemRandom;
use milepost::store::embedded::{EmbeddedStore, StoreSettings};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;

const SECOND: i64 = 1_000_000_000;
/// 2015-08-01, the start of the peers' workloads.
const START: i64 = 1_438_387_200 * SECOND;
const BATCH: u64 = 1_000_000;

pub fn name(metric: &str) -> MetricName {
    MetricName::parse(&format!("bench/{metric}")).expect("a name")
}

pub fn open(dir: &Path) -> Engine {
    open_with(dir, Settings::default())
}

fn open_with(dir: &Path, settings: Settings) -> Engine {
    let (disk, random) = (Arc::new(RealDisk), Arc::new(SystemRandom));
    let store = EmbeddedStore::open(dir, disk, random, StoreSettings::default()).expect("the store opens");
    Engine::open(Arc::new(store), Arc::new(SystemClock), settings).expect("the engine opens")
}

pub fn batch(change: Change) -> Batch {
    let text = String::new;
    let component = name("any").component();
    Batch { component, who: text(), request_id: text(), reason: text(), validate_only: false, change }
}

pub fn definition(name: MetricName, period: Option<Period>) -> Definition {
    Definition { period, ..Definition::new(name, Kind::Delta) }
}

/// Counts around 50 with a daily rhythm: a small generator, so that blocks pack as real ones do.
pub fn value(i: u64) -> i64 {
    let noise = i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 59;
    let hour = (i / 3_600) % 24;
    (20 + 3 * hour.min(24 - hour) + noise) as i64
}

fn fill(runtime: &Runtime, engine: &Engine, metric: &str, points: u64, step: i64, period: Option<Period>) {
    let made = Change::Create(Box::new(definition(name(metric), period)));
    runtime.block_on(engine.write(batch(made))).expect("made");
    let mut from = 0;
    while from < points {
        let to = (from + BATCH).min(points);
        let point = |i: u64| {
            let time = Time(START + i as i64 * step);
            let end = if period.is_some() { time.plus(step) } else { time };
            Point::of_period(time, end, value(i))
        };
        let labels: Labels = Vec::new().into();
        let points = (from..to).map(point).collect::<Vec<_>>().into();
        let end_given = Column::default();
        let write = SeriesWrite { metric: name(metric), labels, points, end_given, origin: Origin::Entry(0) };
        let change = Change::Points { mode: Mode::Set, series: vec![write] };
        runtime.block_on(engine.write(batch(change))).expect("written");
        from = to;
    }
    runtime.block_on(engine.fold()).expect("folded");
}

fn series(runtime: &Runtime, engine: &Engine, metric: &str) -> SeriesView {
    let view = runtime.block_on(engine.view(&name(metric).component(), AsOf::Now)).expect("a view");
    view.metric(&name(metric)).expect("known").expect("the metric").series(&[]).expect("series").remove(0)
}

/// A series so long, folded; goes with the folder.
fn long(points: u64) -> (tempfile::TempDir, Runtime, Engine, SeriesView) {
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = Runtime::new().expect("a runtime");
    let engine = open(dir.path());
    fill(&runtime, &engine, "long", points, SECOND, None);
    let view = series(&runtime, &engine, "long");
    (dir, runtime, engine, view)
}

/// A question for the total before an instant, from what a caller says to the figure: all but the wire.
fn ask_total(runtime: &Runtime, engine: &Engine, at: Time) -> Option<i128> {
    let selection = SelectionAsk { metric: "bench/long".to_string(), ..SelectionAsk::default() };
    let head = Head { selection, as_of: AsOfAsk::Now, page: PageAsk { size: 0, pin: Ok(None) } };
    let (seconds, nanos) = (at.0.div_euclid(SECOND), at.0.rem_euclid(SECOND) as i32);
    let ask = TotalAsk { head, at: Some(Moment::Instant { seconds, nanos }) };
    let plan = runtime.block_on(TotalPlan::of(engine, ask)).expect("no fault");
    total::run(&plan).expect("a total").rows[0].total
}

pub fn totals_and_crossings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one series");
    let asked = std::env::var("MILEPOST_BENCH_POINTS").ok().map(|points| vec![points.parse().expect("a number")]);
    for points in asked.unwrap_or_else(|| vec![10_000u64, 1_000_000, 100_000_000]) {
        let (dir, runtime, engine, view) = long(points);
        let whole = view.span(Interval::ALL).expect("a sum").expect("points").sum;
        let mut k = 0u64;
        // Instants and amounts all over the series: mostly blocks that are not in the cache where it is long.
        let mut next = move || {
            // Scattered: multiples of one number alone come back to a block in turns, as nobody's questions do.
            k = k.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (k ^ (k >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11
        };
        group.bench_function(BenchmarkId::new("total at a random instant", points), |b| {
            b.iter(|| {
                let at = Time(START + (next() % points) as i64 * SECOND);
                black_box(ask_total(&runtime, &engine, at))
            })
        });
        group.bench_function(BenchmarkId::new("first crossing of a random level", points), |b| {
            b.iter(|| black_box(view.reach(Interval::ALL, i128::from(next()) % whole + 1).expect("a search")))
        });
        let middle = Time(START + (points / 2) as i64 * SECOND);
        group.bench_function(BenchmarkId::new("total at the same instant", points), |b| {
            b.iter(|| black_box(ask_total(&runtime, &engine, middle)))
        });
        group.bench_function(BenchmarkId::new("first crossing of the same level", points), |b| {
            b.iter(|| black_box(view.reach(Interval::ALL, whole / 2).expect("a search")))
        });
        drop(view);
        runtime.block_on(engine.close()).expect("closed");
        // Nothing is held of what was read before: each question reads its path again.
        let engine = open_with(dir.path(), Settings { cache_bytes_max: 1, ..Settings::default() });
        group.bench_function(BenchmarkId::new("total at a random instant, nothing cached", points), |b| {
            b.iter(|| {
                let at = Time(START + (next() % points) as i64 * SECOND);
                black_box(ask_total(&runtime, &engine, at))
            })
        });
    }
    group.finish();
}

pub fn months(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = Runtime::new().expect("a runtime");
    let engine = open(dir.path());
    let hours = 5 * 8_766;
    fill(&runtime, &engine, "hourly", hours, 3_600 * SECOND, Some(Period::Minutes(60)));
    let view = series(&runtime, &engine, "hourly");
    let mut group = criterion.benchmark_group("five years of hours");
    for (unit, zone) in [(Unit::Month, "Europe/London"), (Unit::Week, "UTC")] {
        let zone = Zone::parse(zone).expect("a zone");
        let calendar = Calendar::new(unit, 1, zone, Weekday::Monday, MonthDay { month: 1, day: 1 });
        let whole = Interval::new(Time(START), Time(START + hours as i64 * 3_600 * SECOND));
        group.bench_function(format!("flows by {unit:?}, {}", calendar.zone().name()), |b| {
            b.iter(|| {
                let flow = |window: Interval| view.span(window).expect("a sum").map_or(0, |sum| sum.sum);
                black_box(calendar.windows(whole).map(flow).sum::<i128>())
            })
        });
    }
    group.finish();
}
