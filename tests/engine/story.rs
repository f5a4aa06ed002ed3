//! A short history that uses everything that is kept: two components, metrics of every kind, corrections, additions,
//! retractions, openings, request ids, changes and deletions of metrics.

use super::told::HOUR;
use milepost::clock::ManualClock;
use milepost::disk::RealDisk;
use milepost::domain::calendar::{MonthDay, Period};
use milepost::domain::definition::{Definition, Kind};
use milepost::domain::name::MetricName;
use milepost::domain::point::Point;
use milepost::domain::time::{Interval, Time};
use milepost::engine::batch::{Ack, Batch, Change, Column, Mode, Origin, Patch, Refused, Retraction, SeriesWrite};
use milepost::engine::{Engine, Settings};
use milepost::random::SeededRandom;
use milepost::store::StoreError;
use milepost::store::embedded::lock::Lock;
use milepost::store::embedded::{EmbeddedStore, StoreSettings};
use std::path::Path;
use std::sync::Arc;

/// Segments that are full soon.
pub const STORE: StoreSettings =
    StoreSettings { segment_bytes: 8 << 10, index_cache_bytes_max: 1 << 20, reserve_bytes: 4 << 10 };

/// Blocks of both formats, trees of some levels, and series small enough for their records.
pub fn settings() -> Settings {
    Settings {
        block_points_max: 80,
        tail_points_min: 8,
        node_children_max: 3,
        page_points_max: 4,
        cache_bytes_max: 40_000,
        ..Settings::default()
    }
}

/// When the history begins.
pub const BEGIN: Time = Time(1_000 * HOUR);

/// Opens a real directory.
pub fn open(dir: &Path, now: Time) -> Result<Engine, StoreError> {
    let store = once_free(|| EmbeddedStore::open(dir, Arc::new(RealDisk), Arc::new(SeededRandom::new(17)), STORE))?;
    Engine::open(Arc::new(store), Arc::new(ManualClock::at(now)), settings())
}

/// Waits until a committer of this process has let go of a directory.
pub fn wait_until_free(dir: &Path) {
    while let Err(StoreError::Locked { .. }) = Lock::take(&RealDisk, dir) {
        std::thread::yield_now();
    }
}

/// Opens a directory once a committer of this process has let go of it, and so has a child that another test starts: until
/// it begins its own program it holds whatever its parent held.
pub fn once_free<T>(open: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    loop {
        match open() {
            Err(StoreError::Locked { .. }) => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

/// A metric's name.
pub fn name(text: &str) -> MetricName {
    MetricName::parse(text).expect("a name")
}

/// A batch that nobody sent.
pub fn batch(metric: &str, change: Change) -> Batch {
    let component = name(metric).component();
    let text = String::new;
    Batch { component, who: text(), request_id: text(), reason: text(), validate_only: false, change }
}

fn definition(metric: &str, kind: Kind, labels: &[&str]) -> Definition {
    Definition {
        display_name: format!("Number of {metric}"),
        unit: "things".to_string(),
        scale: 2,
        label_names: labels.iter().map(|label| label.to_string()).collect(),
        period: (kind == Kind::Delta).then_some(Period::Minutes(60)),
        year_start: MonthDay { month: 4, day: 6 },
        overdue_after_nanos: Some(5 * HOUR),
        ..Definition::new(name(metric), kind)
    }
}

/// Makes a metric.
pub fn create(metric: &str, kind: Kind, labels: &[&str]) -> Batch {
    batch(metric, Change::Create(Box::new(definition(metric, kind, labels))))
}

/// A value of an hour.
pub fn of_hour(hour: i64, value: i64) -> Point {
    Point::of_period(Time(hour * HOUR), Time((hour + 1) * HOUR), value)
}

/// Points of some series of a metric.
pub fn points(metric: &str, mode: Mode, series: &[(&[&str], Vec<Point>)]) -> Batch {
    let one = |(labels, points): &(&[&str], Vec<Point>)| SeriesWrite {
        metric: name(metric),
        labels: labels.iter().map(|value| (*value).into()).collect::<Vec<Box<str>>>().into(),
        points: points.clone().into(),
        end_given: Column::of(0, points.len()),
        origin: Origin::Entry(0),
    };
    batch(metric, Change::Points { mode, series: series.iter().map(one).collect() })
}

fn retract(metric: &str, what: Retraction) -> Batch {
    batch(metric, Change::Retract { metric: name(metric), filters: Vec::new(), what })
}

fn opening(metric: &str, labels: &[&str], opening: Option<(i64, i64)>) -> Batch {
    let labels = labels.iter().map(|value| (*value).into()).collect::<Vec<Box<str>>>().into();
    let opening = opening.map(|(hour, value)| (Time(hour * HOUR), value));
    batch(metric, Change::Opening { metric: name(metric), labels, opening })
}

fn delete(metric: &str) -> Batch {
    batch(metric, Change::Delete { metric: name(metric), force: true })
}

/// What comes next.
pub enum Step {
    /// A batch.
    Write(Box<Batch>),
    /// Everything so far is folded.
    Fold,
}

fn write(batch: Batch) -> Step {
    Step::Write(Box::new(batch))
}

/// With a sender, a reason and a request id.
fn sent(id: u32, batch: Batch) -> Step {
    write(Batch { who: format!("team {}", id % 3), reason: format!("batch {id}"), request_id: id_of(id), ..batch })
}

/// A request id.
pub fn id_of(id: u32) -> String {
    format!("request-{id}")
}

/// A batch with a request id that is in the fold files, and one that is only in the log.
pub fn remembered() -> [Batch; 2] {
    let steps: Vec<Step> = steps();
    let find = |id: u32| {
        let with_id = |step: &Step| matches!(step, Step::Write(batch) if batch.request_id == id_of(id));
        match steps.iter().find(|step| with_id(step)) {
            Some(Step::Write(batch)) => (**batch).clone(),
            _ => panic!("no batch has id {id}"),
        }
    };
    [find(1), find(31)]
}

const EMAIL: &[&str] = &["email"];
const SMS: &[&str] = &["sms"];
const MESSAGES: &str = "notify/messages";
const PAYMENTS: &str = "pay/payments";
const VISITS: &str = "pay/visits";
const QUEUE: &str = "pay/queue";
const GONE: &str = "pay/gone";

fn hours(from: i64, to: i64, value: impl Fn(i64) -> i64) -> Vec<Point> {
    (from..to).map(|hour| of_hour(hour, value(hour))).collect()
}

fn report(hour: i64, value: i64) -> Point {
    Point::at(Time(hour * HOUR), value)
}

/// The history.
pub fn steps() -> Vec<Step> {
    let set = |metric: &str, series: &[(&[&str], Vec<Point>)]| points(metric, Mode::Set, series);
    let mut steps = vec![
        write(create(MESSAGES, Kind::Delta, &["channel"])),
        write(create(PAYMENTS, Kind::Delta, &[])),
        write(create(VISITS, Kind::Cumulative, &["site"])),
        write(create(QUEUE, Kind::Gauge, &[])),
        write(create(GONE, Kind::Delta, &[])),
        sent(1, set(MESSAGES, &[(EMAIL, hours(10, 30, |h| h)), (SMS, hours(10, 13, |_| 7))])),
        sent(2, set(PAYMENTS, &[(&[], hours(0, 100, |h| h % 17))])),
        sent(3, set(VISITS, &[(EMAIL, (1..60).map(|h| report(h, h * h)).collect())])),
        write(set(QUEUE, &[(&[], (0..20).map(|h| report(h, 40 - h * 3)).collect())])),
        write(set(GONE, &[(&[], hours(0, 5, |_| 1))])),
        Step::Fold,
        sent(4, points(PAYMENTS, Mode::Add, &[(&[], hours(5, 8, |_| 100))])),
        sent(5, set(MESSAGES, &[(EMAIL, hours(20, 26, |h| h * 2))])),
        sent(6, retract(PAYMENTS, Retraction::Interval(Interval::new(Time(50 * HOUR), Time(53 * HOUR))))),
        write(opening(MESSAGES, EMAIL, Some((9, 1_000)))),
        write(delete(GONE)),
        Step::Fold,
        sent(7, set(VISITS, &[(EMAIL, vec![Point { restated: true, ..report(60, 3_000) }])])),
        sent(8, set(VISITS, &[(EMAIL, vec![Point { start: Some(Time(60 * HOUR)), ..report(61, 12) }])])),
        sent(9, set(VISITS, &[(SMS, vec![report(40, 5), report(41, 6)])])),
        write(create(GONE, Kind::Gauge, &[])),
        write(set(GONE, &[(&[], vec![report(3, 3)])])),
    ];
    for round in 0..9 {
        steps.push(sent(
            10 + round,
            set(PAYMENTS, &[(&[], hours(100 + i64::from(round) * 9, 109 + i64::from(round) * 9, |h| h % 23))]),
        ));
        steps.push(sent(20 + round, set(PAYMENTS, &[(&[], hours(30, 34, |h| h + i64::from(round)))])));
        steps.push(Step::Fold);
    }
    let patch = Patch { display_name: Some("Payments".to_string()), ..Patch::default() };
    steps.extend([
        write(batch(PAYMENTS, Change::Update { metric: name(PAYMENTS), patch: Box::new(patch) })),
        write(opening(MESSAGES, EMAIL, Some((8, 900)))),
        write(opening(MESSAGES, SMS, Some((5, 10)))),
        Step::Fold,
        sent(30, set(MESSAGES, &[(EMAIL, hours(30, 45, |h| h)), (&["letter"], hours(2, 4, |_| 1))])),
        sent(31, points(MESSAGES, Mode::Add, &[(SMS, hours(12, 15, |_| 1))])),
        sent(32, retract(MESSAGES, Retraction::Times(vec![Time(11 * HOUR), Time(99 * HOUR)]))),
        write(opening(MESSAGES, SMS, None)),
        write(set(QUEUE, &[(&[], (15..25).map(|h| report(h, h)).collect())])),
        sent(33, set(PAYMENTS, &[(&[], hours(60, 62, |_| 0))])),
        write(create("pay/late", Kind::Delta, &[])),
        write(delete(GONE)),
        write(set("pay/late", &[(&[], hours(7, 9, |_| 2))])),
        sent(34, set(PAYMENTS, &[(&[], hours(181, 190, |h| h))])),
    ]);
    steps
}

/// Writes the history, an hour passing with each batch.
pub async fn write_all(engine: &Engine, clock: &ManualClock, steps: Vec<Step>) -> Result<Vec<Ack>, Refused> {
    let mut acks = Vec::new();
    for step in steps {
        match step {
            Step::Fold => engine.fold().await?,
            Step::Write(batch) => {
                clock.set(BEGIN.plus(acks.len() as i64 * HOUR / 4));
                acks.push(engine.write(*batch).await?);
            }
        }
    }
    Ok(acks)
}
