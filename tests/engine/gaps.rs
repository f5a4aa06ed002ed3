//! Stretches of the log that cannot be read: heads and lists of records, segments that are missing, cut short or of
//! which nobody knows the salt. Nothing is opened until they are given up; then the answers are those of all other
//! records, at every revision.

use super::lost::{History, InLog, METRICS, all_points, below, of_a_past_that_was_given_up, place_of, random_batch};
use super::story::{self, BEGIN};
use super::told::{HOUR, everything};
use milepost::clock::ManualClock;
use milepost::disk::RealDisk;
use milepost::engine::repair::{Loss, Repair, Touched};
use milepost::engine::{AsOf, Engine};
use milepost::random::SeededRandom;
use milepost::store::embedded::log::salvage::Unreadable;
use milepost::store::embedded::log::segment::HEADER_BYTES;
use milepost::store::embedded::{EmbeddedStore, StoreSettings};
use milepost::store::{Position, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Segments of few records.
const STORE: StoreSettings =
    StoreSettings { segment_bytes: 2 << 10, index_cache_bytes_max: 1 << 20, reserve_bytes: 4 << 10 };

/// How many histories: `MILEPOST_GAP_RUNS`, or ten times as many in CI as elsewhere.
fn runs() -> u64 {
    let said = std::env::var("MILEPOST_GAP_RUNS").ok().and_then(|runs| runs.parse().ok());
    said.unwrap_or(if std::env::var_os("MILEPOST_EACH_RUN").is_some() { 300 } else { 40 })
}

/// What is done to the log.
#[derive(Clone, Debug)]
enum Harm {
    /// Bytes get other values.
    Bytes(PathBuf, std::ops::Range<u64>),
    /// The file goes.
    Gone(PathBuf),
    /// The header is unreadable.
    Header(PathBuf),
    /// The file ends there.
    Cut(PathBuf, u64),
}

impl Harm {
    /// In the head or the list of one record, or from there on over others; or of a file that holds some.
    fn random(random: &SeededRandom, records: &[InLog]) -> Harm {
        let record = &records[below(random, records.len() as i64) as usize];
        let file = record.file.clone();
        match below(random, 6) {
            0 | 1 => {
                let at = record.offset + below(random, record.body.start as i64 - record.offset as i64) as u64;
                Harm::Bytes(file, at..at + 1)
            }
            2 => {
                let length = fs::metadata(&file).expect("a file").len();
                let to = record.offset + 1 + below(random, 1_500) as u64;
                Harm::Bytes(file, record.offset..to.min(length))
            }
            3 => Harm::Gone(file),
            4 => Harm::Header(file),
            _ => Harm::Cut(file, record.offset + below(random, 100) as u64),
        }
    }

    fn file(&self) -> &Path {
        match self {
            Harm::Bytes(file, _) | Harm::Gone(file) | Harm::Header(file) | Harm::Cut(file, _) => file,
        }
    }

    fn do_it(&self) {
        let mut bytes = fs::read(self.file()).expect("it can be read");
        match self {
            Harm::Bytes(_, range) => {
                for byte in &mut bytes[range.start as usize..range.end as usize] {
                    *byte = byte.wrapping_mul(5).wrapping_add(41);
                }
            }
            Harm::Gone(file) => return fs::remove_file(file).expect("removed"),
            Harm::Header(_) => bytes[HEADER_BYTES / 2] ^= 4,
            Harm::Cut(_, end) => bytes.truncate(*end as usize),
        }
        fs::write(self.file(), bytes).expect("it can be written");
    }

    /// Whether nothing of the file can be read.
    fn is_of_all(&self) -> bool {
        matches!(self, Harm::Gone(_) | Harm::Header(_))
    }

    /// Whether a record cannot be read any more; or only not its body.
    fn hits(&self, record: &InLog) -> Option<Hit> {
        let hit = |from: u64, to: u64| {
            let overlaps = |start: u64, end: u64| from < end && start < to;
            match overlaps(record.offset, record.body.start as u64) {
                true => Some(Hit::Whole),
                false => overlaps(record.body.start as u64, record.body.end as u64).then_some(Hit::Body),
            }
        };
        match self {
            _ if self.file() != record.file => None,
            Harm::Gone(_) | Harm::Header(_) => Some(Hit::Whole),
            Harm::Bytes(_, range) => hit(range.start, range.end),
            Harm::Cut(_, end) => hit(*end, u64::MAX).map(|_| Hit::Whole),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Hit {
    Whole,
    Body,
}

/// A history whose log is damaged.
struct Damaged {
    history: History,
    records: Vec<InLog>,
    harm: Harm,
    what: String,
    /// The last position that was acknowledged: no other record gets it, nor one before it.
    last: u64,
}

impl Damaged {
    fn open(&self, unreadable: Unreadable) -> Result<Arc<EmbeddedStore>, StoreError> {
        let dir = self.history.dir.path();
        let random = || Arc::new(SeededRandom::new(5));
        story::once_free(|| EmbeddedStore::open_around(dir, Arc::new(RealDisk), random(), STORE, unreadable))
            .map(Arc::new)
    }

    fn later(&self) -> ManualClock {
        ManualClock::at(BEGIN.plus(1_000 * HOUR))
    }

    fn look(&self, unreadable: Unreadable) -> Repair {
        let store = self.open(unreadable).unwrap_or_else(|error| panic!("{}: {error}", self.what));
        let looked = Repair::look(store, &self.later(), story::settings());
        looked.unwrap_or_else(|error| panic!("{}: {error}", self.what))
    }

    fn engine(&self) -> Result<Engine, StoreError> {
        Engine::open(self.open(Unreadable::Refused)?, Arc::new(self.later()), story::settings())
    }

    /// Every file of log and folds.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in ["log", "folds"] {
            for entry in fs::read_dir(self.history.dir.path().join(folder)).expect("a folder") {
                let path = entry.expect("an entry").path();
                files.insert(path.clone(), fs::read(path).expect("it can be read"));
            }
        }
        files
    }

    /// The records that the list says are lost, whole or their bodies; and what of them is not said by name.
    fn lost(&self, losses: &[Loss]) -> (BTreeSet<u64>, BTreeSet<u64>) {
        let mut whole = BTreeSet::new();
        let mut named = BTreeSet::new();
        for loss in losses {
            let in_it = |first: Position, last: Option<Position>| {
                let is_in = move |r: &&InLog| r.position >= first.0 && last.is_none_or(|last| r.position <= last.0);
                self.records.iter().filter(is_in).map(|r| r.position)
            };
            match loss.what {
                Touched::Records(first, last) => whole.extend(in_it(first, last)),
                Touched::Revisions(first, last) => {
                    let is_in = |r: &&InLog| r.component == loss.of && (first..=last).contains(&r.revision);
                    named.extend(self.records.iter().filter(is_in).map(|r| r.position));
                }
                Touched::All(_) | Touched::Keys(..) | Touched::Catalogue | Touched::Ids(_) | Touched::Nothing => {}
            }
        }
        (whole, named)
    }
}

/// The records that are lost whole, those whose bodies are, and those that were cut off as a torn tail.
fn expected(records: &[InLog], harm: &Harm, dir: &Path) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let mut lost = (BTreeSet::new(), BTreeSet::new());
    for record in records {
        let is_copied = || place_of(dir, record.position, harm.file());
        match harm.hits(record) {
            Some(Hit::Whole) if harm.is_of_all() && is_copied() => {}
            Some(Hit::Whole) => drop(lost.0.insert(record.position)),
            Some(Hit::Body) => drop(lost.1.insert(record.position)),
            None => {}
        }
    }
    lost
}

async fn run(seed: u64) -> Option<&'static str> {
    let random = SeededRandom::new(seed);
    let restarts = below(&random, 2) == 0;
    let history = History::with(&random, STORE, restarts).await;
    let records = super::lost::in_log(history.dir.path());
    if records.len() < 3 {
        return None;
    }
    let harm = Harm::random(&random, &records[..records.len() - 1]);
    let what = format!("seed {seed}: {harm:?}");
    let (mut whole, mut bodies) = expected(&records, &harm, history.dir.path());
    harm.do_it();
    let mut damaged = Damaged { history, records, harm, what, last: 0 };
    let what = &damaged.what.clone();

    let refused = damaged.engine().err();
    let before = damaged.files();
    let losses = damaged.look(Unreadable::Listed).losses().to_vec();
    story::wait_until_free(damaged.history.dir.path());
    assert!(damaged.files() == before, "{what}: nothing is changed");
    let (listed, named) = damaged.lost(&losses);
    // What nothing later proves to have been acknowledged is a torn tail.
    let last_left = damaged.records.iter().map(|r| r.position).filter(|p| !whole.contains(p)).max().unwrap_or(0);
    let cut: BTreeSet<u64> = whole.difference(&listed).copied().collect();
    assert!(cut.iter().all(|position| *position > last_left), "{what}: {cut:?} of {whole:?} not in {losses:?}");
    let end = damaged.records.last().expect("records").body.end as u64;
    let is_all = matches!(&damaged.harm, Harm::Bytes(_, range) if range.end > end);
    assert!(cut.len() <= 1 || is_all, "{what}: a later group proves that {cut:?} were acknowledged");
    assert!(listed.is_subset(&whole), "{what}: {listed:?} is not in {whole:?}: {losses:?}");
    assert!(named.is_subset(&listed), "{what}: {named:?} is not in {listed:?}: {losses:?}");
    match &refused {
        Some(StoreError::Damaged { file, offset, .. }) => {
            let at = |loss: &Loss| (&loss.damage.file, loss.damage.offset) == (file, *offset);
            assert!(losses.iter().any(at), "{what}: {refused:?}, and not {losses:?}");
        }
        Some(error) => panic!("{what}: {error}"),
        None => assert!(listed.is_empty(), "{what}: it was opened without {listed:?}"),
    }
    // A component with a later record says which of its revisions are missing.
    for record in damaged.records.iter().filter(|record| listed.contains(&record.position)) {
        let later = |r: &&InLog| r.component == record.component && r.position > record.position;
        let is_left = damaged.records.iter().filter(later).any(|r| !whole.contains(&r.position));
        assert!(!is_left || named.contains(&record.position), "{what}: {record:?} is not named: {losses:?}");
    }
    damaged.last = listed.last().copied().unwrap_or(0).max(last_left);
    whole.append(&mut bodies);
    give_up(&damaged, &whole).await;
    Some(if refused.is_some() { "refused" } else { "opened" })
}

/// Afterwards the answers are those of all other records, and the store is whole.
async fn give_up(damaged: &Damaged, lost: &BTreeSet<u64>) {
    let (what, history) = (&damaged.what, &damaged.history);
    damaged.look(Unreadable::GivenUp).give_up().unwrap_or_else(|error| panic!("{what}: {error}"));
    let again = damaged.look(Unreadable::Listed);
    assert!(again.losses().is_empty(), "{what}: {:?}", again.losses());
    drop(again);
    let engine = damaged.engine().unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = engine.verify().await.findings;
    assert!(found.is_empty() || of_a_past_that_was_given_up(&found), "{what}: {found:?}");
    let lost_of = |component: &str| -> BTreeSet<i64> {
        let records = damaged.records.iter().filter(|r| r.component == component && lost.contains(&r.position));
        records.map(|r| r.revision).collect()
    };
    for component in history.diffs.keys() {
        check(&engine, damaged, component, &lost_of(component)).await;
    }
    let told = everything(&engine, 1).await;
    let mut compared = 0;
    for (asked, before) in &history.told {
        let component = asked.split(['@', '/', ' ']).next().unwrap_or("");
        if history.diffs.contains_key(component) && lost_of(component).is_empty() {
            compared += 1;
            let (now, before) = (&told[asked], before.as_ref().expect("it was whole"));
            assert_eq!(now.as_ref().expect("untouched"), before, "{what}: {asked}");
        }
    }
    assert!(compared > 0 || history.diffs.keys().all(|component| !lost_of(component).is_empty()), "{what}");
    go_on(damaged, engine).await;
}

/// What a component's revisions came to without those that are lost.
async fn check(engine: &Engine, damaged: &Damaged, component: &str, lost: &BTreeSet<i64>) {
    let (what, history) = (&damaged.what, &damaged.history);
    // The first revisions make the metrics.
    let of_component = METRICS.iter().map(|(name, _)| *name).filter(|name| name.starts_with(component));
    let gone: Vec<&str> =
        (1..).zip(of_component).filter(|(made, _)| lost.contains(made)).map(|(_, name)| name).collect();
    let last = history.diffs[component].len() as i64;
    let left = (1..=last).filter(|revision| !lost.contains(revision)).max().unwrap_or(0);
    // What only its own body says is lost keeps its revision.
    for revision in 0..=left {
        let found = all_points(engine, component, AsOf::Revision(revision)).await;
        let found = found.unwrap_or_else(|error| panic!("{what}: {component} at {revision}: {error}"));
        let mut expected = history.without(component, lost, revision);
        expected.retain(|(metric, _), _| !gone.contains(&metric.as_str()));
        assert_eq!(found, expected, "{what}: {component} at {revision} without {lost:?}");
    }
}

/// Writing and folding go on, and the index is built anew and believed.
async fn go_on(damaged: &Damaged, engine: Engine) {
    let what = &damaged.what;
    let random = SeededRandom::new(99);
    for (metric, kind) in METRICS {
        engine.write(story::create(metric, kind, &["channel"])).await.unwrap_or_else(|e| panic!("{what}: {e:?}"));
    }
    let mut written = 0;
    for number in 100..130 {
        written += u64::from(engine.write(random_batch(&random, number)).await.is_ok());
    }
    assert!(written > 10, "{what}: {written}");
    let again = super::lost::in_log(damaged.history.dir.path()).into_iter().find(|r| r.position <= damaged.last);
    assert!(again.is_none(), "{what}: {again:?}, and {} was acknowledged", damaged.last);
    let told = everything(&engine, 1).await;
    engine.fold().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    drop(engine);
    let engine = damaged.engine().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_same(&everything(&engine, 1).await, &told, what);
    engine.close().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let engine = damaged.engine().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_same(&everything(&engine, 1).await, &told, what);
    let found = engine.verify().await.findings;
    assert!(found.is_empty() || of_a_past_that_was_given_up(&found), "{what}: {found:?}");
}

fn assert_same(one: &super::told::Told, other: &super::told::Told, what: &str) {
    assert_eq!(one.len(), other.len(), "{what}");
    for ((asked, one), (_, other)) in one.iter().zip(other) {
        assert_eq!(one.as_ref().ok(), other.as_ref().ok(), "{what}: {asked}");
    }
}

/// Damages the log beyond the folds of random histories in every way.
#[tokio::test]
async fn what_of_the_log_cannot_be_read_is_given_up_and_the_rest_is_served() {
    let runs = runs();
    let mut came_to: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..runs {
        if let Some(how) = run(seed).await {
            *came_to.entry(how).or_default() += 1;
        }
    }
    println!("gaps of the log: {came_to:?} of {runs} histories");
    assert!(came_to["refused"] * 2 >= runs, "most damage keeps a store from being opened: {came_to:?}");
}
