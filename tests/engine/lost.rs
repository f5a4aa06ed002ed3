//! A record of the log whose body is damaged: what it touched is refused by name, everything else is answered as
//! before, at every revision, before and after folds and restarts; and once it is given up the answers are those of
//! all other records.

use super::story::{self, BEGIN, STORE, Step};
use super::told::{HOUR, Told, everything};
use milepost::clock::ManualClock;
use milepost::disk::RealDisk;
use milepost::domain::definition::Kind;
use milepost::domain::name::MetricName;
use milepost::domain::point::Point;
use milepost::domain::time::{Interval, Time};
use milepost::engine::batch::{Batch, Change, Filter, Mode, Patch, Retraction};
use milepost::engine::repair::{Repair, Touched};
use milepost::engine::view::{MetricView, SeriesView};
use milepost::engine::{AsOf, Engine};
use milepost::random::SeededRandom;
use milepost::store::StoreError;
use milepost::store::embedded::folds::file::Range;
use milepost::store::embedded::log::record::HEAD_BYTES;
use milepost::store::embedded::log::recovery::walk;
use milepost::store::embedded::log::segment::{Segment, segment_number};
use milepost::store::embedded::{EmbeddedStore, StoreSettings, format};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A series: metric, label.
pub type Key = (String, String);
/// The points of every series: time and value by hour.
pub type Points = BTreeMap<Key, BTreeMap<i64, i64>>;
/// What a batch changed.
pub type Diff = BTreeMap<Key, BTreeMap<i64, Option<i64>>>;

pub const METRICS: [(&str, Kind); 4] = [
    ("notify/messages", Kind::Delta),
    ("pay/payments", Kind::Delta),
    ("pay/queue", Kind::Gauge),
    ("pay/visits", Kind::Cumulative),
];
const LABELS: [&str; 2] = ["email", "sms"];

pub fn said(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|said| said.parse().ok())
}

/// How many histories: `MILEPOST_LOST_RUNS`, or ten times as many in CI as elsewhere.
fn runs() -> u64 {
    said("MILEPOST_LOST_RUNS").unwrap_or(if std::env::var_os("MILEPOST_EACH_RUN").is_some() { 200 } else { 20 })
}

/// A history on disk.
pub struct History {
    pub dir: tempfile::TempDir,
    /// What each revision of each component changed, from revision 1.
    pub diffs: BTreeMap<String, Vec<Diff>>,
    pub told: Told,
}

fn temporary() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("there is room")
}

pub fn below(random: &SeededRandom, bound: i64) -> i64 {
    (random.next() % bound as u64) as i64
}

fn point(kind: Kind, hour: i64, value: i64) -> Point {
    match kind {
        Kind::Delta => story::of_hour(hour, value),
        Kind::Gauge => Point::at(Time(hour * HOUR), value),
        Kind::Cumulative => Point { restated: true, ..Point::at(Time(hour * HOUR), value) },
    }
}

pub fn random_batch(random: &SeededRandom, number: i64) -> Batch {
    let (metric, kind) = METRICS[below(random, 4) as usize];
    let labels = &LABELS[below(random, 2) as usize..][..1];
    match below(random, 8) {
        0 => {
            let from = below(random, 90);
            let interval = Interval::new(Time(from * HOUR), Time((from + 4) * HOUR));
            let what = Retraction::Interval(interval);
            story::batch(metric, Change::Retract { metric: story::name(metric), filters: Vec::new(), what })
        }
        1 => {
            let (name, labels) = (story::name(metric), labels.iter().map(|l| Box::from(*l)).collect::<Vec<Box<str>>>());
            let opening = Some((Time(-number * HOUR), 100 + number));
            story::batch(metric, Change::Opening { metric: name, labels: labels.into(), opening })
        }
        _ => {
            let from = if below(random, 3) == 0 { below(random, 80) } else { number * 3 };
            let count = 1 + below(random, 7);
            let points = (from..from + count).map(|hour| point(kind, hour, 1 + below(random, 50))).collect();
            story::points(metric, Mode::Set, &[(labels, points)])
        }
    }
}

pub async fn all_points(engine: &Engine, component: &str, as_of: AsOf) -> Result<Points, StoreError> {
    let mut all = Points::new();
    let component = story::name(&format!("{component}/x")).component();
    let view = engine.view(&component, as_of).await.expect("a view");
    for metric in view.metrics()? {
        for series in metric.series(&[])? {
            let points = series.points(Interval::ALL, usize::MAX)?;
            let key = (metric.definition.name.to_string(), series.labels().join(","));
            all.insert(key, points.iter().map(|p| (p.time.0 / HOUR, p.value)).collect());
        }
    }
    all.retain(|_, points| !points.is_empty());
    Ok(all)
}

fn diff(old: &Points, new: &Points) -> Diff {
    let mut diff = Diff::new();
    for key in old.keys().chain(new.keys()) {
        let empty = BTreeMap::new();
        let (old, new) = (old.get(key).unwrap_or(&empty), new.get(key).unwrap_or(&empty));
        let hours = old.keys().chain(new.keys()).filter(|hour| old.get(hour) != new.get(hour));
        let changed: BTreeMap<_, _> = hours.map(|hour| (*hour, new.get(hour).copied())).collect();
        if !changed.is_empty() {
            diff.insert(key.clone(), changed);
        }
    }
    diff
}

impl History {
    /// A random one: no restart, so that every record is in the log once.
    async fn random(random: &SeededRandom) -> History {
        History::with(random, STORE, false).await
    }

    /// A random one, with restarts or without.
    pub async fn with(random: &SeededRandom, store: StoreSettings, restarts: bool) -> History {
        let dir = temporary();
        let clock = Arc::new(ManualClock::at(BEGIN));
        let settings = milepost::engine::Settings { block_points_max: 8, page_points_max: 3, ..story::settings() };
        let open = || {
            let random = || Arc::new(SeededRandom::new(5));
            let store = story::once_free(|| EmbeddedStore::open(dir.path(), Arc::new(RealDisk), random(), store));
            Engine::open(Arc::new(store.expect("a store")), clock.clone(), settings.clone()).expect("it opens")
        };
        let mut engine = open();
        let mut diffs: BTreeMap<String, Vec<Diff>> = BTreeMap::new();
        let mut states: BTreeMap<String, Points> = BTreeMap::new();
        let mut batches: Vec<Batch> =
            METRICS.iter().map(|(metric, kind)| story::create(metric, *kind, &["channel"])).collect();
        batches.extend((0..20 + below(random, 15)).map(|number| random_batch(random, number)));
        let fold_at = below(random, 12) as usize;
        for (number, batch) in batches.into_iter().enumerate() {
            if number == fold_at && below(random, 2) == 0 {
                engine.fold().await.expect("folded");
            }
            if restarts && below(random, 8) == 0 {
                drop(engine);
                engine = open();
            }
            clock.set(BEGIN.plus(number as i64 * HOUR));
            let component = batch.component.to_string();
            let written = engine.write(batch).await;
            let Ok(ack) = written else { continue };
            let made = diffs.entry(component.clone()).or_default();
            if ack.revision as usize > made.len() {
                let now = all_points(&engine, &component, AsOf::Now).await.expect("whole");
                made.push(diff(states.get(&component).unwrap_or(&Points::new()), &now));
                states.insert(component, now);
            }
        }
        clock.set(BEGIN.plus(1_000 * HOUR));
        let told = everything(&engine, 1).await;
        drop(engine);
        story::wait_until_free(dir.path());
        History { dir, diffs, told }
    }

    /// What is known of a component at a revision, without some of its revisions.
    pub fn without(&self, component: &str, lost: &BTreeSet<i64>, revision: i64) -> Points {
        let mut points = Points::new();
        for (made, diff) in (1..).zip(&self.diffs[component]).take_while(|(made, _)| *made <= revision) {
            for (key, changes) in diff.iter().filter(|_| !lost.contains(&made)) {
                for (hour, value) in changes {
                    let series = points.entry(key.clone()).or_default();
                    match value {
                        Some(value) => series.insert(*hour, *value),
                        None => series.remove(hour),
                    };
                }
            }
        }
        points.retain(|_, series| !series.is_empty());
        points
    }
}

/// A record in the log.
#[derive(Clone, Debug)]
pub struct InLog {
    pub file: PathBuf,
    pub position: u64,
    pub component: String,
    pub revision: i64,
    /// Where the record is.
    pub offset: u64,
    /// Where its body is.
    pub body: std::ops::Range<usize>,
}

/// Everything in the log beyond the folds, in order; of what an opening copied the copy.
pub fn in_log(dir: &Path) -> Vec<InLog> {
    let folded =
        names_in(&dir.join("folds")).iter().filter_map(|name| Range::parse(name)).map(|range| range.last.0).max();
    all_in_log(dir).into_iter().filter(|record| record.position > folded.unwrap_or(0)).collect()
}

/// As [`in_log`], what folds hold too.
pub fn all_in_log(dir: &Path) -> Vec<InLog> {
    let store = format::read(&RealDisk, dir).expect("a format").expect("a store");
    let log = dir.join("log");
    let mut found: BTreeMap<u64, InLog> = BTreeMap::new();
    for number in names_in(&log).iter().filter_map(|name| segment_number(name)) {
        let segment = Segment::open(&RealDisk, &log, number, store).expect("a segment");
        let bytes = segment.read(segment.header.bytes).expect("it can be read");
        walk(&bytes, &segment.header, &mut |placed| {
            let component = placed.record.component.to_string();
            let body = placed.offset as usize + HEAD_BYTES + component.len() + placed.record.series.len();
            let body = body..body + placed.record.body.len();
            let (position, revision, offset) = (placed.place.position, placed.record.revision, placed.offset);
            found.insert(position, InLog { file: segment.path.clone(), position, component, revision, offset, body });
        });
    }
    found.into_values().collect()
}

pub fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it can be listed");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

fn flip(file: &Path, byte: usize, bit: u8) {
    let mut bytes = fs::read(file).expect("it can be read");
    bytes[byte] ^= 1 << bit;
    fs::write(file, bytes).expect("it can be written");
}

/// What one lost record touches.
struct Expected<'a> {
    history: &'a History,
    record: InLog,
    /// Another revision changes nothing but an opening, or a metric.
    diff: Diff,
}

impl Expected<'_> {
    fn is_touched(&self, asked: &str) -> bool {
        let component = asked.split(['@', '/', ' ']).next().unwrap_or("");
        component == self.record.component
    }

    /// Everything is refused by name or is what it was, and everything of others is what it was.
    fn check(&self, told: &Told, what: &str) {
        let mut refused = 0;
        for (asked, now) in told {
            match (now, self.history.told.get(asked)) {
                // A series whose lost points were all taken back since may be listed still.
                (Ok(now), Some(Ok(before))) if asked.ends_with(" series") && self.is_touched(asked) => {
                    let listed: Vec<&str> = now.split(' ').collect();
                    let all = before.split(' ').all(|series| series.is_empty() || listed.contains(&series));
                    assert!(all, "{what}: {asked}: {now}, not {before}");
                }
                (Ok(now), Some(Ok(before))) => assert_eq!(now, before, "{what}: {asked}"),
                // Of such a series nothing is told.
                (Ok(now), _) => {
                    let nothing = ["", "none", "nothing", "never"].contains(&now.as_str());
                    assert!(self.is_touched(asked) && nothing, "{what}: {asked} was not asked: {now}");
                }
                (Err(StoreError::Damaged { file, offset, touched, .. }), _) => {
                    assert!(self.is_touched(asked), "{what}: {asked} is another's");
                    assert_eq!((Path::new(file), *offset), (&*self.record.file, self.record.offset), "{asked}");
                    let touched = touched.as_ref().unwrap_or_else(|| panic!("{what}: {asked} names no series"));
                    assert!(touched.series.starts_with(&format!("{}/", self.record.component)), "{touched:?}");
                    let revision = asked.split(['@', ' ']).nth(1).and_then(|text| text.parse::<i64>().ok());
                    // Without its making there is no telling what a metric was before.
                    let was_made = self.history.diffs[&self.record.component][..self.record.revision as usize]
                        .iter()
                        .any(|diff| !diff.is_empty());
                    assert!(!was_made || revision.is_none_or(|r| r >= self.record.revision), "{what}: {asked}");
                    refused += 1;
                }
                (Err(error), _) => panic!("{what}: {asked}: {error}"),
            }
        }
        assert!(refused > 0, "{what}: a lost batch is seen");
        for asked in self.history.told.keys() {
            assert!(told.contains_key(asked) || self.is_touched(asked), "{what}: {asked} is not asked");
        }
    }

    /// What does not rest on a lost key is answered, in the same series too; what does is refused.
    async fn check_intervals(&self, engine: &Engine, what: &str) {
        for ((metric, labels), changes) in &self.diff {
            let (first, last) = (*changes.keys().next().expect("keys"), *changes.keys().last().expect("keys"));
            let view = engine.view(&name(metric).component(), AsOf::Now).await.expect("a view");
            let view = view.metric(&name(metric)).expect("known").expect("there");
            // Where only points were taken back it may be unknown whether there is a series at all.
            let Some(series) = one(&view, labels) else { continue };
            let before = Interval::new(Time::MIN, Time(first * HOUR));
            let after = Interval::new(Time(last * HOUR).next(), Time::MAX);
            for free in [before, after] {
                let points = series.points(free, usize::MAX).unwrap_or_else(|error| panic!("{what}: {error}"));
                let span = series.span(free).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(span.map_or(0, |span| span.count), points.len() as u64, "{what}");
            }
            for touched in [Interval::ALL, Interval::new(Time(last * HOUR), Time(last * HOUR).next())] {
                let error = series.span(touched).expect_err("it rests on a lost key").to_string();
                assert!(error.contains(&format!("{metric}{{channel=\"{labels}\"}}")), "{what}: {error}");
            }
        }
    }
}

fn name(text: &str) -> MetricName {
    story::name(text)
}

/// A series by its one label.
fn one(metric: &MetricView, labels: &str) -> Option<SeriesView> {
    let filter = Filter::new(0, vec![labels.to_string()], Vec::new());
    match metric.series(&[filter]) {
        Ok(mut series) => Some(series.remove(0)),
        Err(StoreError::Damaged { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

async fn run(seed: u64) -> bool {
    let random = SeededRandom::new(seed);
    let history = History::random(&random).await;
    let records = in_log(history.dir.path());
    let (_, candidates) = records.split_last().expect("there are records");
    let candidates: Vec<&InLog> = candidates.iter().filter(|record| record.revision > 0).collect();
    if candidates.is_empty() {
        return false;
    }
    let record = candidates[below(&random, candidates.len() as i64) as usize].clone();
    let diff = history.diffs[&record.component][record.revision as usize - 1].clone();
    flip(&record.file, record.body.start + below(&random, record.body.len() as i64) as usize, below(&random, 8) as u8);
    let expected = Expected { history: &history, record: record.clone(), diff };
    let what =
        format!("seed {seed}, record {} (revision {} of {})", record.position, record.revision, record.component);

    let later = BEGIN.plus(1_000 * HOUR);
    let open = || story::open(history.dir.path(), later).unwrap_or_else(|error| panic!("{what}: {error}"));
    let engine = open();
    expected.check(&everything(&engine, 1).await, &what);
    expected.check_intervals(&engine, &what).await;
    engine.fold().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    expected.check(&everything(&engine, 1).await, &format!("{what}, folded"));
    // The log is let go of, the index is built anew; then closed cleanly, and believed.
    drop(engine);
    let engine = open();
    expected.check(&everything(&engine, 1).await, &format!("{what}, folded and opened"));
    engine.close().await.expect("it closes");
    let engine = open();
    expected.check(&everything(&engine, 1).await, &format!("{what}, closed and opened"));
    expected.check_intervals(&engine, &what).await;
    drop(engine);
    give_up(&history, &record, later, &what).await;
    true
}

/// What is lost is listed, and once it is given up the answers are those of all other records.
async fn give_up(history: &History, record: &InLog, later: Time, what: &str) {
    let look = || {
        let random = || Arc::new(SeededRandom::new(5));
        let store = story::once_free(|| EmbeddedStore::open(history.dir.path(), Arc::new(RealDisk), random(), STORE));
        let store = store.unwrap_or_else(|error| panic!("{what}: {error}"));
        Repair::look(Arc::new(store), &ManualClock::at(later), story::settings()).expect("it is looked at")
    };
    let listed = look();
    assert!(!listed.losses().is_empty(), "{what}: it is listed");
    for loss in listed.losses() {
        assert_eq!((Path::new(&loss.damage.file), loss.damage.offset), (&*record.file, record.offset), "{what}");
        assert!(loss.of.starts_with(&format!("{}/", record.component)), "{what}: {loss}");
        let (Touched::All(revision) | Touched::Keys(_, _, revision)) = loss.what else { panic!("{what}: {loss}") };
        assert_eq!(revision, record.revision, "{what}: {loss}");
    }
    drop(listed);
    look().give_up().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(look().losses().is_empty(), "{what}: nothing is lost any more");
    let engine = story::open(history.dir.path(), later).expect("it opens");
    for (component, diffs) in &history.diffs {
        let is_hers = *component == record.component;
        // Without its making a metric is gone, with all that was written to it.
        let of_metric = diffs.iter().take_while(|diff| diff.is_empty()).count() as i64 >= record.revision && is_hers;
        for revision in 0..=diffs.len() as i64 {
            let lost = BTreeSet::from([if is_hers { record.revision } else { 0 }]);
            let found = all_points(&engine, component, AsOf::Revision(revision)).await;
            let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
            let expected = history.without(component, &lost, revision);
            if of_metric {
                assert!(found.iter().all(|(key, points)| expected.get(key) == Some(points)), "{what}: {found:?}");
            } else {
                assert_eq!(found, expected, "{what}: {component} at {revision}");
            }
        }
    }
    let found = engine.verify().await.findings;
    assert!(found.is_empty() || of_a_past_that_was_given_up(&found), "{what}: {found:?}");
    drop(engine);
}

/// A retraction may be left of a point whose writing was given up, and the rules between neighbours need not hold.
pub fn of_a_past_that_was_given_up(found: &[milepost::engine::verify::Finding]) -> bool {
    let texts = ["was not there", "reaches over", "below the one before", "before the opening"];
    found.iter().all(|finding| texts.iter().any(|text| finding.what.contains(text)))
}

/// Flips a bit in the body of any record but the last one, of random histories.
#[tokio::test]
async fn what_is_lost_is_refused_and_the_rest_is_served() {
    let (runs, first) = (runs(), said("MILEPOST_LOST_SEED").unwrap_or(0));
    let mut flipped = 0;
    for seed in first..first + runs {
        flipped += u64::from(run(seed).await);
    }
    println!("lost records, seeds from {first} on: {flipped} histories, each asked everything five times");
    assert!(flipped * 10 >= runs * 9, "most histories have a record to damage: {flipped}");
    assert!(story::steps().iter().any(|step| matches!(step, Step::Fold)));
}

/// Whether a record is in another segment too: an opening copied it from there, or to there.
pub fn place_of(dir: &Path, position: u64, but: &Path) -> bool {
    let store = format::read(&RealDisk, dir).expect("a format").expect("a store");
    let log = dir.join("log");
    names_in(&log).iter().filter_map(|name| segment_number(name)).any(|number| {
        let segment = Segment::open(&RealDisk, &log, number, store).expect("a segment");
        let bytes = segment.read(segment.header.bytes).expect("it can be read");
        let mut is_there = false;
        walk(&bytes, &segment.header, &mut |placed| is_there |= placed.place.position == position);
        is_there && segment.path != but
    })
}

/// Of a time before a metric was made its definition now is told: where a change of it is lost, that is refused too.
#[tokio::test]
async fn a_metric_asked_of_before_it_was_made_rests_on_its_definition_now() {
    let dir = temporary();
    let engine = story::open(dir.path(), BEGIN).expect("it opens");
    let written = |batch: Batch| async { engine.write(batch).await.expect("it is written").revision };
    assert_eq!(written(story::create("pay/payments", Kind::Delta, &["channel"])).await, 1);
    let patch = Box::new(Patch { description: Some("other".to_string()), ..Patch::default() });
    let update = Change::Update { metric: name("pay/payments"), patch };
    assert_eq!(written(story::batch("pay/payments", update)).await, 2);
    // Behind it, so that it is not the last group.
    written(story::create("notify/messages", Kind::Delta, &["channel"])).await;
    drop(engine);
    story::wait_until_free(dir.path());
    let record = in_log(dir.path()).into_iter().find(|record| record.component == "pay" && record.revision == 2);
    let record = record.expect("it is in the log");
    flip(&record.file, record.body.end - 1, 0);
    let engine = story::open(dir.path(), BEGIN).expect("it opens");
    let component = name("pay/payments").component();
    for (as_of, expected) in [(AsOf::Revision(0), None), (AsOf::Revision(1), Some("")), (AsOf::Now, None)] {
        let view = engine.view(&component, as_of).await.expect("a view");
        let found =
            view.metric(&name("pay/payments")).map(|metric| metric.expect("there").definition.description.clone());
        match expected {
            Some(description) => assert_eq!(found.expect("it is known"), description, "{as_of:?}"),
            None => assert!(matches!(found, Err(StoreError::Damaged { .. })), "{as_of:?} rests on what is lost"),
        }
    }
}

/// A metric whose making is lost is missed in the list of metrics, whatever other metric was made and deleted since.
#[tokio::test]
async fn the_deletion_of_another_metric_does_not_hide_a_lost_one() {
    let dir = temporary();
    let engine = story::open(dir.path(), BEGIN).expect("it opens");
    let written = |batch: Batch| async { engine.write(batch).await.expect("it is written").revision };
    assert_eq!(written(story::create("pay/payments", Kind::Delta, &["channel"])).await, 1);
    written(story::create("pay/queue", Kind::Gauge, &["channel"])).await;
    written(story::batch("pay/queue", Change::Delete { metric: name("pay/queue"), force: true })).await;
    drop(engine);
    story::wait_until_free(dir.path());
    let record = in_log(dir.path()).into_iter().find(|record| record.component == "pay" && record.revision == 1);
    let record = record.expect("it is in the log");
    flip(&record.file, record.body.end - 1, 0);
    let engine = story::open(dir.path(), BEGIN).expect("it opens");
    let view = engine.view(&name("pay/payments").component(), AsOf::Now).await.expect("a view");
    assert!(matches!(view.metrics(), Err(StoreError::Damaged { .. })), "it is there, and cannot be listed");
    assert!(matches!(view.metric(&name("pay/payments")), Err(StoreError::Damaged { .. })), "nor be told of");
    assert!(view.metric(&name("pay/queue")).expect("it is known").is_none(), "the other one was deleted");
}
