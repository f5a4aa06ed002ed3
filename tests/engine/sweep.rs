//! The sweep: swept or not, every answer at every revision is the same, of views that were taken before too; and what
//! is on the disk stays little more than what lives, however long is written.

use super::lost::said;
use super::story::{BEGIN, STORE, batch, create, of_hour, once_free, points};
use super::{HOUR, small};
use milepost::clock::ManualClock;
use milepost::disk::RealDisk;
use milepost::domain::definition::Kind;
use milepost::domain::name::{ComponentName, MetricName};
use milepost::domain::point::{Labels, Point};
use milepost::domain::time::{Interval, Time};
use milepost::engine::batch::{Batch, Change, Mode, Refused, Retraction};
use milepost::engine::sweep::Swept;
use milepost::engine::view::{ChangesAsk, View};
use milepost::engine::{AsOf, Engine, Settings};
use milepost::random::SeededRandom;
use milepost::store::embedded::EmbeddedStore;
use milepost::store::embedded::folds::file::BETWEEN_DIRECTORIES_BYTES;
use milepost::store::memory::MemoryStore;
use milepost::store::{Store, StoreError};
use proptest::prelude::*;
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

const METRICS: [&str; 2] = ["team/one", "team/other"];
const LABELS: [&[&str]; 3] = [&["a"], &["b"], &["c"]];

#[derive(Clone, Debug)]
enum Step {
    /// Of a metric and a label, hours and values; with the request id of that number.
    Set(usize, usize, Vec<(i64, i64)>, Option<u8>),
    Retract(usize, i64, i64),
    Opening(usize, usize, Option<i64>),
    /// Deleted, and made again.
    MakeAgain(usize),
    Fold,
    Sweep,
    Hold,
    LetGo,
    /// Closed, and opened with the index.
    Close,
    /// Left, and opened without it.
    Leave,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let values = prop::collection::btree_map(0..60i64, -5..20i64, 1..15);
    let set = (0..2usize, 0..3usize, values, prop::option::of(0..12u8));
    let opening = (0..2usize, 0..3usize, prop::option::of(0..9i64));
    let step = prop_oneof![
        12 => set.prop_map(|(metric, label, values, id)| Step::Set(metric, label, values.into_iter().collect(), id)),
        2 => (0..2usize, 0..60i64, 1..10i64).prop_map(|(metric, from, n)| Step::Retract(metric, from, from + n)),
        1 => opening.prop_map(|(metric, label, value)| Step::Opening(metric, label, value)),
        1 => (0..2usize).prop_map(Step::MakeAgain),
        6 => Just(Step::Fold),
        3 => Just(Step::Sweep),
        2 => Just(Step::Hold),
        1 => Just(Step::LetGo),
        1 => Just(Step::Close),
        1 => Just(Step::Leave),
    ];
    prop::collection::vec(step, 10..50)
}

fn team() -> ComponentName {
    ComponentName::parse("team").expect("a name")
}

/// Everything a view answers.
fn told(view: &View) -> String {
    let mut told = String::new();
    for metric in view.metrics().expect("metrics") {
        writeln!(told, "{}", metric.definition.name).expect("a text");
        for series in metric.series(&[]).expect("series") {
            let (all, half) = (Interval::ALL, Interval::new(Time(10 * HOUR), Time(33 * HOUR)));
            let points = series.points(all, usize::MAX).expect("points");
            let sums = [all, half].map(|interval| series.span(interval).expect("a sum"));
            let reached = series.reach(all, 30).expect("a search");
            writeln!(told, "{:?} {:?} {points:?} {sums:?} {reached:?}", series.labels(), series.opening())
                .expect("a text");
        }
    }
    for metric in METRICS {
        let ask = ChangesAsk {
            metric: MetricName::parse(metric).expect("a name"),
            filters: Vec::new(),
            from_revision: 1,
            to_revision: i64::MAX,
            include_new: true,
            after: None,
            rows_max: 10_000,
        };
        writeln!(told, "{:?}", view.changes(&ask).expect("changes")).expect("a text");
    }
    told
}

/// One that is swept and one that never is, with the same history.
struct Both {
    dir: TempDir,
    clock: Arc<ManualClock>,
    swept: Option<Engine>,
    never: Engine,
    held: Vec<(View, String)>,
    sweeping: Vec<JoinHandle<Result<Swept, StoreError>>>,
    batches: i64,
    /// When each request id was recorded first: the time is part of it, and it is another once it may be forgotten.
    ids: HashMap<u8, Time>,
}

fn open(dir: &Path, clock: &Arc<ManualClock>, settings: Settings) -> Engine {
    let store = once_free(|| EmbeddedStore::open(dir, Arc::new(RealDisk), Arc::new(SeededRandom::new(17)), STORE));
    Engine::open(Arc::new(store.expect("it opens")), clock.clone(), settings).expect("it opens")
}

fn swept_often() -> Settings {
    // Next to no cache: what is asked for is read.
    Settings { sweep_bytes_min: 0, cache_bytes_max: 1, ..small() }
}

impl Both {
    async fn new() -> Both {
        let dir = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::at(BEGIN));
        let swept = Some(open(dir.path(), &clock, swept_often()));
        let store = Arc::new(MemoryStore::new()) as Arc<dyn Store>;
        let settings = Settings { sweep_bytes_min: u64::MAX, ..small() };
        let never = Engine::open(store, clock.clone(), settings).expect("it opens");
        let mut both =
            Both { dir, clock, swept, never, held: Vec::new(), sweeping: Vec::new(), batches: 0, ids: HashMap::new() };
        for metric in METRICS {
            both.write(create(metric, Kind::Delta, &["channel"])).await;
        }
        both
    }

    fn swept(&self) -> &Engine {
        self.swept.as_ref().expect("it is open")
    }

    async fn write(&mut self, batch: Batch) {
        self.batches += 1;
        // Request ids are forgotten after some dozen batches.
        self.clock.set(BEGIN.plus(self.batches * HOUR));
        let one = self.swept().write(batch.clone()).await;
        let other = self.never.write(batch).await;
        let text = |answer: &Result<_, Refused>| format!("{answer:?}");
        assert_eq!(
            text(&one.map(|ack| (ack.revision, ack.accepted, ack.unchanged, ack.corrected, ack.replayed))),
            text(&other.map(|ack| (ack.revision, ack.accepted, ack.unchanged, ack.corrected, ack.replayed)))
        );
    }

    /// One that both are sure to remember, or that neither has seen: what is older than promised, one may have
    /// forgotten and the other not yet.
    fn request_id(&mut self, id: u8) -> String {
        let next = BEGIN.plus((self.batches + 1) * HOUR);
        let first = self.ids.entry(id).or_insert(next);
        if first.plus(small().request_id_nanos_min) <= next {
            *first = next;
        }
        format!("id {id} of {}", first.0)
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Set(metric, label, values, id) => {
                let values: Vec<Point> = values.into_iter().map(|(hour, value)| of_hour(hour, value)).collect();
                let mut batch = points(METRICS[metric], Mode::Set, &[(LABELS[label], values)]);
                batch.request_id = id.map_or(String::new(), |id| self.request_id(id));
                self.write(batch).await;
            }
            Step::Retract(metric, from, to) => {
                let what = Retraction::Interval(Interval::new(Time(from * HOUR), Time(to * HOUR)));
                let metric = MetricName::parse(METRICS[metric]).expect("a name");
                self.write(batch(METRICS[0], Change::Retract { metric, filters: Vec::new(), what })).await;
            }
            Step::Opening(metric, label, value) => {
                let labels: Labels = LABELS[label].iter().map(|l| (*l).into()).collect::<Vec<Box<str>>>().into();
                let metric = MetricName::parse(METRICS[metric]).expect("a name");
                let opening = value.map(|value| (Time(-HOUR), value));
                self.write(batch(METRICS[0], Change::Opening { metric, labels, opening })).await;
            }
            Step::MakeAgain(metric) => {
                let name = MetricName::parse(METRICS[metric]).expect("a name");
                self.write(batch(METRICS[metric], Change::Delete { metric: name, force: true })).await;
                self.write(create(METRICS[metric], Kind::Delta, &["channel"])).await;
            }
            Step::Fold => {
                self.swept().fold().await.expect("folded");
                self.never.fold().await.expect("folded");
            }
            Step::Sweep => self.sweep().await,
            Step::Hold => {
                let view = self.swept().view(&team(), AsOf::Now).await.expect("a view");
                let told = told(&view);
                self.held.push((view, told));
                let view = self.swept().view(&team(), AsOf::Revision(self.batches / 2)).await;
                self.held.extend(view.ok().map(|view| (view.clone(), self::told(&view))));
            }
            Step::LetGo => self.let_go().await,
            Step::Close => {
                // Some are held when it is closed.
                self.swept().close().await.expect("closed");
                self.reopen().await;
            }
            Step::Leave => self.reopen().await,
        }
    }

    async fn reopen(&mut self) {
        self.held.clear();
        self.swept = None;
        for sweeping in std::mem::take(&mut self.sweeping) {
            let _ = sweeping.await;
        }
        self.swept = Some(open(self.dir.path(), &self.clock, swept_often()));
    }

    async fn sweep(&mut self) {
        let engine = self.swept().clone();
        let sweeping = tokio::spawn(async move { engine.sweep().await });
        if self.held.is_empty() {
            sweeping.await.expect("no panic").expect("it is swept");
        } else {
            tokio::time::sleep(Duration::from_millis(3)).await;
            self.sweeping.push(sweeping);
        }
        self.look_at_held();
    }

    fn look_at_held(&self) {
        for (view, before) in &self.held {
            assert_eq!(told(view), *before, "a view tells what it told");
        }
    }

    async fn let_go(&mut self) {
        self.look_at_held();
        self.held.clear();
        for sweeping in std::mem::take(&mut self.sweeping) {
            sweeping.await.expect("no panic").expect("it is swept");
        }
    }

    async fn compare(&self) {
        let last = self.never.view(&team(), AsOf::Now).await.expect("a view").revision();
        for revision in 1..=last {
            let one = self.swept().view(&team(), AsOf::Revision(revision)).await.expect("a view");
            let other = self.never.view(&team(), AsOf::Revision(revision)).await.expect("a view");
            assert_eq!(told(&one), told(&other), "at revision {revision}");
        }
        assert_eq!(self.swept().verify().await.findings, []);
    }
}

async fn run(steps: Vec<Step>) {
    let mut both = Both::new().await;
    for step in steps {
        both.take(step).await;
    }
    both.let_go().await;
    both.swept().fold().await.expect("folded");
    both.sweep().await;
    both.compare().await;
    both.take(Step::Close).await;
    both.compare().await;
    both.take(Step::Leave).await;
    both.compare().await;
}

/// How many histories: `MILEPOST_SWEEP_RUNS`, else 40.
fn runs() -> u32 {
    said("MILEPOST_SWEEP_RUNS").map_or(40, |runs| runs as u32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(runs()))]

    #[test]
    fn swept_or_not_the_answers_are_the_same(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}

/// Nodes that were replaced are removed, and a page of the index went on naming them where the metric was deleted before
/// the fold: the index could not be written anew.
#[tokio::test]
async fn the_index_says_nothing_of_a_metric_that_was_changed_and_deleted() {
    let set = |hour, value| Step::Set(1, 0, vec![(hour, value)], None);
    let many = Step::Set(1, 0, (0..9).map(|hour| (hour, 1)).collect(), None);
    run(vec![many, Step::Close, set(0, 2), set(20, 3), Step::MakeAgain(1), Step::Sweep, Step::Leave, Step::Sweep])
        .await;
}

/// Steady writing by count, with corrections and request ids: every fold writes all series' records and last blocks
/// anew. What is on the disk is soon a small multiple of what lives, and stays so.
#[tokio::test]
async fn what_is_kept_stays_little_more_than_what_lives() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::at(BEGIN));
    let settings = Settings {
        block_points_max: 1_024,
        tail_points_min: 128,
        page_points_max: 16,
        sweep_bytes_min: 16 << 10,
        cache_bytes_max: 1 << 20,
        ..Settings::default()
    };
    let engine = open(dir.path(), &clock, settings);
    engine.write(create(METRICS[0], Kind::Delta, &["channel"])).await.expect("made");
    let names: Vec<String> = (0..100).map(|i| format!("series {i}")).collect();
    let labels: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
    // But for the zeros that keep the copies of a directory apart: here a fold is 100 KB, not 100 MB.
    let on_disk = || -> (u64, u64) {
        let files = std::fs::read_dir(dir.path().join("folds")).expect("a folder");
        let files: Vec<u64> = files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).collect();
        let zeros = (files.len() * BETWEEN_DIRECTORIES_BYTES) as u64;
        (files.iter().sum::<u64>() - zeros, zeros)
    };
    let mut files_swept = 0;
    for round in 0..120 {
        let mut series: Vec<(&[&str], Vec<Point>)> = Vec::new();
        for (i, label) in labels.iter().enumerate() {
            let late = (round > 10 && i as i64 % 40 == round % 40).then(|| of_hour(round * 10, round));
            let new = (0..30).map(|k| of_hour(round * 30 + k, (i as i64 * 31 + round * 17 + k) % 1_000));
            series.push((label, late.into_iter().chain(new).collect()));
        }
        clock.set(BEGIN.plus(round * HOUR));
        let batch = Batch { request_id: format!("round {round}"), ..points(METRICS[0], Mode::Set, &series) };
        engine.write(batch).await.expect("written");
        engine.fold().await.expect("folded");
        if round % 20 < 19 {
            continue;
        }
        // Whatever was due has been done before this, which looks once more.
        let swept = engine.sweep().await.expect("swept");
        let (on_disk, zeros) = on_disk();
        let (before, after) = (swept.before - zeros, on_disk);
        let part = |bytes: u64| bytes as f64 / swept.living as f64;
        println!("{round}: {:.2} of what lives before, {:.2} after, {swept:?}", part(before), part(after));
        assert!(part(before) <= 1.5, "{before} on the disk before, {swept:?}");
        assert!(part(after) <= 1.3, "{after} on the disk after, {swept:?}");
        files_swept += swept.files;
    }
    assert_eq!(engine.verify().await.findings, []);
    println!("{files_swept} files in sweeps that were asked for");
}
