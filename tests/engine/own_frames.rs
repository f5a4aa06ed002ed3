//! Damage in what is a component's own in the fold files: pages of series, the component's record, facts of revisions,
//! changes, request ids; and fold files that are missing, or both of whose directories cannot be read. Once it is given up every answer is what it was or is refused, other components answer as they
//! did, retries are not counted twice, and the store goes on.

use super::lost::{METRICS, all_in_log, below, random_batch, said};
use super::story::{self, BEGIN};
use super::told::{HOUR, Told, changes, of_metric};
use milepost::clock::ManualClock;
use milepost::disk::{Disk, Open, RealDisk};
use milepost::domain::point::Point;
use milepost::domain::time::{Interval, Time};
use milepost::engine::batch::{Ack, Batch, Change, Mode, Refused};
use milepost::engine::repair::{Loss, Repair, Touched};
use milepost::engine::{AsOf, Engine, Settings, ViewError};
use milepost::random::SeededRandom;
use milepost::store::embedded::folds::file::{Range, Seal};
use milepost::store::embedded::log::salvage::Unreadable;
use milepost::store::embedded::{EmbeddedStore, StoreSettings};
use milepost::store::{Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

const STORE: StoreSettings =
    StoreSettings { segment_bytes: 8 << 10, index_cache_bytes_max: 1 << 20, reserve_bytes: 4 << 10 };
/// Pages of series, components, facts, changes, ids: by the numbers of their kinds.
const OWN: std::ops::RangeInclusive<u8> = 3..=7;

fn settings() -> Settings {
    Settings { block_points_max: 8, page_points_max: 3, ..story::settings() }
}

/// How many histories: `MILEPOST_OWN_RUNS`, or ten times as many in CI as elsewhere.
fn runs() -> u64 {
    said("MILEPOST_OWN_RUNS").unwrap_or(if std::env::var_os("MILEPOST_EACH_RUN").is_some() { 300 } else { 30 })
}

/// A history in fold files and log, and what it told.
struct Kept {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    sent: Vec<(Batch, Ack)>,
    told: Told,
    what: String,
    is_swept: bool,
    /// The last fold file is the only one that cannot be read.
    newest: Option<Range>,
}

/// The metrics are made one after the other, so that some catalogues change in later folds.
fn next(random: &SeededRandom, number: i64) -> Batch {
    let made = METRICS.iter().zip([0, 1, 9, 17]).find(|(_, at)| *at == number);
    if let Some(((metric, kind), _)) = made {
        return story::create(metric, *kind, &["channel"]);
    }
    Batch { who: "team".to_string(), request_id: format!("id {number}"), ..random_batch(random, number) }
}

impl Kept {
    async fn random(random: &SeededRandom, what: String) -> Kept {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("there is room");
        let clock = Arc::new(ManualClock::at(BEGIN));
        let mut kept = Kept { dir, clock, sent: Vec::new(), told: Told::new(), what, is_swept: false, newest: None };
        let engine = kept.engine();
        let often = 2 + below(random, 6);
        for number in 0..25 + below(random, 20) {
            kept.clock.set(BEGIN.plus(number * HOUR / 4));
            let batch = next(random, number);
            if let Ok(ack) = engine.write(batch.clone()).await
                && !batch.request_id.is_empty()
            {
                kept.sent.push((batch, ack));
            }
            if below(random, often) == 0 {
                engine.fold().await.expect("folded");
            }
        }
        if below(random, 4) == 0 {
            kept.is_swept = engine.sweep().await.expect("swept").files > 0;
        }
        kept.clock.set(BEGIN.plus(13 * HOUR));
        kept.told = asked(&engine).await;
        kept
    }

    fn store(&self, unreadable: Unreadable) -> Arc<EmbeddedStore> {
        let (dir, random) = (self.dir.path(), || Arc::new(SeededRandom::new(5)));
        let store =
            story::once_free(|| EmbeddedStore::open_around(dir, Arc::new(RealDisk), random(), STORE, unreadable));
        Arc::new(store.unwrap_or_else(|error| panic!("{}: {error}", self.what)))
    }

    fn engine(&self) -> Engine {
        let opened = Engine::open(self.store(Unreadable::Refused), self.clock.clone(), settings());
        opened.unwrap_or_else(|error| panic!("{}: {error}", self.what))
    }

    /// Removes a fold file, or damages both its directories. None: there is none.
    fn damage_file(&mut self, random: &SeededRandom) -> Option<()> {
        let files: Vec<PathBuf> = self.files().into_keys().collect();
        // Of the newest the log may hold everything.
        let any = below(random, files.len().max(1) as i64) as usize;
        let path = if below(random, 2) == 0 { files.last() } else { files.get(any) }?;
        if Some(path) == files.last() {
            self.newest = path.file_name().and_then(|name| Range::parse(name.to_str()?));
        }
        // A newest file that nothing tells of is a stretch missing from the log: `gaps`.
        let is_told = |newest| self.is_swept || self.is_in_log(newest);
        let gone = below(random, 2) == 0 && self.newest.is_none_or(is_told);
        self.what += &format!(", the fold {} {}", path.display(), if gone { "missing" } else { "unreadable" });
        if gone {
            fs::remove_file(path).expect("removed");
            return Some(());
        }
        let file = RealDisk.open(path, Open::Read).expect("it is there");
        let seal = Seal::read(&*file, path).expect("it is whole");
        let mut bytes = fs::read(path).expect("it can be read");
        for start in seal.directories {
            bytes[(start + below(random, seal.directory_bytes as i64) as u64) as usize] ^= 1 << below(random, 8);
        }
        fs::write(path, bytes).expect("it can be written");
        Some(())
    }

    /// Flips a bit of some own frames. None: there are none.
    fn damage(&mut self, random: &SeededRandom) -> Option<()> {
        if below(random, 3) == 0 {
            return self.damage_file(random);
        }
        let mut spots: Vec<(u8, String, PathBuf, u64, u64)> = Vec::new();
        let store = self.store(Unreadable::Refused);
        store
            .read_lines(&mut |line, at| {
                let (file, offset) = store.locate(at);
                let of = format!("{} of {}", line.kind, line.component);
                spots.push((line.kind, of, file.into(), offset, store.frame_length(at)));
            })
            .expect("it is whole");
        store.release().expect("released");
        spots.retain(|(kind, _, _, _, length)| OWN.contains(kind) && *length > 0);
        // Each kind as often as any other.
        let kind = *OWN.start() + below(random, 5) as u8;
        let of_kind: Vec<_> = spots.iter().filter(|spot| spot.0 == kind).collect();
        for _ in 0..1 + below(random, 2) {
            let (_, of, file, offset, length) = of_kind.get(below(random, of_kind.len().max(1) as i64) as usize)?;
            let mut bytes = fs::read(file).expect("it can be read");
            bytes[(offset + below(random, *length as i64) as u64) as usize] ^= 1 << below(random, 8);
            fs::write(file, bytes).expect("it can be written");
            self.what += &format!(", kind {of} in {}", file.display());
        }
        Some(())
    }

    /// Whether the log holds all that the newest file did, so that nothing of it is lost.
    fn is_in_log(&self, newest: Range) -> bool {
        let positions: BTreeSet<u64> = all_in_log(self.dir.path()).iter().map(|record| record.position).collect();
        (newest.first.0..=newest.last.0).all(|position| positions.contains(&position))
    }

    fn losses(&self) -> Vec<Loss> {
        let store = self.store(Unreadable::Listed);
        let repair = Repair::look(store.clone(), &*self.clock, settings());
        let losses = repair.unwrap_or_else(|error| panic!("{}: {error}", self.what)).losses().to_vec();
        store.release().expect("released");
        losses
    }

    fn give_up(&self) {
        let store = self.store(Unreadable::GivenUp);
        let repair = Repair::look(store.clone(), &*self.clock, settings()).expect("it is looked at");
        let dead = repair.give_up().unwrap_or_else(|error| panic!("{}: {error}", self.what));
        store.leave_out(&dead.frames).expect("left out");
        store.fill(dead.folds).expect("filled");
        store.release().expect("released");
    }

    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let folds = fs::read_dir(self.dir.path().join("folds")).expect("a folder");
        folds.map(|entry| entry.expect("an entry").path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

/// Everything of every metric, by name, at every revision; and which revision was the last at every hour.
async fn asked(engine: &Engine) -> Told {
    let mut told = Told::new();
    for (metric, _) in METRICS {
        let name = story::name(metric);
        let component = name.component();
        let damaged = |error| match error {
            ViewError::Damaged(error) => error,
            other => panic!("{other}"),
        };
        told.insert(format!("{metric} changes"), changes(engine, &name).await);
        for hour in 0..12 {
            let as_of = AsOf::Recorded(BEGIN.plus(hour * HOUR));
            let view = engine.view(&component, as_of).await.map_err(damaged);
            told.insert(format!("{component} revision at {hour}"), view.map(|view| view.revision().to_string()));
        }
        let last = match engine.view(&component, AsOf::Now).await {
            Ok(view) => view.revision(),
            Err(error) => {
                told.insert(format!("{component}"), Err(damaged(error)));
                continue;
            }
        };
        told.insert(format!("{component} last revision"), Ok(last.to_string()));
        for revision in 0..=last {
            let of = format!("{component}@{revision:03}");
            let view = match engine.view(&component, AsOf::Revision(revision)).await {
                Ok(view) => view,
                Err(error) => {
                    told.insert(of, Err(damaged(error)));
                    continue;
                }
            };
            let time = view.evaluate_time().0.to_string();
            told.insert(format!("{of} time"), Ok(if revision > 0 { time } else { String::new() }));
            let of = format!("{of} {}", name.metric());
            match view.metric(&name) {
                Ok(Some(metric)) => of_metric(&metric, &of, &mut told),
                Ok(None) => drop(told.insert(of, Ok("no metric".to_string()))),
                Err(error) => drop(told.insert(of, Err(error))),
            }
        }
    }
    told
}

/// What came of the questions.
#[derive(Default, Debug)]
struct Came {
    exact: u64,
    refused: u64,
    listed_more: u64,
    gone: u64,
    from_the_log: u64,
}

/// Whether nothing else told of a component than a file of which nobody knows what it held, which is listed.
fn is_unknown(asked: &str, after: &Told, losses: &[Loss]) -> bool {
    let component = asked.split(['@', '/', ' ']).next().unwrap_or("");
    let last = after.get(&format!("{component} last revision")).and_then(|last| last.as_ref().ok());
    last.is_some_and(|last| last == "0") && losses.iter().any(|loss| matches!(loss.what, Touched::Records(..)))
}

/// Every answer is what it was, or is refused; what a lost catalogue made is gone.
fn compare(kept: &Kept, after: &Told, losses: &[Loss], came: &mut Came) {
    let what = &kept.what;
    let says_nothing = |text: &String| ["", "0", "none", "nothing", "never", "no metric"].contains(&text.as_str());
    let has_lost_catalogue = |asked: &str| {
        let component = asked.split(['@', '/', ' ']).next().unwrap_or("");
        losses.iter().any(|loss| loss.what == Touched::Catalogue && loss.of.ends_with(component))
    };
    let parents: Vec<(String, bool)> = after
        .iter()
        .filter(|(_, answer)| answer.as_ref().map_or(true, |text| text == "no metric"))
        .map(|(asked, answer)| (asked.trim_end_matches(" series").to_string(), answer.is_err()))
        .collect();
    for (asked, before) in &kept.told {
        let before = before.as_ref().expect("it was whole");
        match after.get(asked) {
            Some(Ok(now)) if now == before => came.exact += 1,
            Some(Err(StoreError::Damaged { .. })) => came.refused += 1,
            Some(Ok(now)) if is_unknown(asked, after, losses) && says_nothing(now) => came.gone += 1,
            None if is_unknown(asked, after, losses) => came.gone += 1,
            Some(Ok(now)) if asked.ends_with(" series") => {
                let now: Vec<&str> = now.split(' ').collect();
                assert!(before.split(' ').all(|one| one.is_empty() || now.contains(&one)), "{what}: {asked}: {now:?}");
                came.listed_more += 1;
            }
            // How many revisions were lost with a fold file nobody may know: none is used twice.
            Some(Ok(now)) if has_lost_catalogue(asked) && asked.ends_with(" last revision") => {
                let (now, before): (i64, i64) = (now.parse().expect("a number"), before.parse().expect("a number"));
                assert!(now > before, "{what}: {asked}: {now}, not {before}");
            }
            Some(now) if has_lost_catalogue(asked) && asked.ends_with(" changes") => {
                assert!(now.as_ref().is_ok_and(|rows| rows.is_empty()), "{what}: {asked}: {now:?}");
                came.gone += 1;
            }
            Some(now) => panic!("{what}: {asked}: {now:?}, not {before}: {losses:?}"),
            None => {
                let parent = parents.iter().find(|(parent, _)| asked.starts_with(parent.as_str()));
                let (_, refused) = parent.unwrap_or_else(|| panic!("{what}: {asked} is not asked"));
                assert!(
                    *refused || has_lost_catalogue(asked),
                    "{what}: {asked} is gone, and not said to be: {losses:?}"
                );
                *(if *refused { &mut came.refused } else { &mut came.gone }) += 1;
            }
        }
    }
    for (asked, now) in after.iter().filter(|(asked, _)| !kept.told.contains_key(*asked)) {
        assert!(now.as_ref().map_or(true, says_nothing), "{what}: {asked}: {now:?}");
    }
}

/// A component of which nothing was damaged.
fn is_whole(kept: &Kept, component: &str) -> bool {
    !kept.what.contains(&format!(" of {component} in ")) && !kept.what.contains("the fold")
}

async fn run(seed: u64, came: &mut Came) -> Option<()> {
    let random = SeededRandom::new(seed);
    let mut kept = Kept::random(&random, format!("seed {seed}")).await;
    kept.damage(&random)?;
    let before = kept.files();
    let losses = kept.losses();
    assert!(kept.files() == before, "{}: nothing is changed", kept.what);
    let in_log = kept.newest.is_some_and(|newest| kept.is_in_log(newest));
    if losses.is_empty() && in_log {
        came.from_the_log += 1;
        nothing_is_lost(&kept).await;
        return Some(());
    }
    assert!(!in_log || kept.is_swept, "{}: the log holds all of it: {losses:?}", kept.what);
    assert!(!losses.is_empty() && losses.iter().all(|loss| loss.can_be_given_up), "{}: {losses:?}", kept.what);
    kept.give_up();
    let again = kept.losses();
    assert!(again.is_empty(), "{}: {again:?}", kept.what);

    let engine = kept.engine();
    let told = asked(&engine).await;
    compare(&kept, &told, &losses, came);
    for (asked, before) in &kept.told {
        if is_whole(&kept, asked.split(['@', '/', ' ']).next().expect("a component")) {
            assert_eq!(told[asked].as_ref().ok(), before.as_ref().ok(), "{}: {asked} is another's", kept.what);
        }
    }
    let found = engine.verify().await.findings;
    let is_told = |finding: &milepost::engine::verify::Finding| {
        ["given up", "checksum", "no fold file"].iter().any(|text| finding.what.contains(text))
    };
    assert!(!found.is_empty() && found.iter().all(is_told), "{}: {found:?}", kept.what);
    let is_known = |batch: &Batch| !is_unknown(batch.component.as_str(), &told, &losses);
    for (batch, first) in kept.sent.iter().filter(|(batch, _)| is_known(batch)) {
        match engine.write(batch.clone()).await {
            Ok(ack) => assert!(ack.replayed && ack.revision == first.revision, "{}: {batch:?}: {ack:?}", kept.what),
            Err(Refused::Store(StoreError::Damaged { .. })) => {}
            Err(other) => panic!("{}: {batch:?}: {other:?}", kept.what),
        }
    }
    go_on(&kept, engine).await;
    Some(())
}

/// What the newest fold file held is folded anew from the log.
async fn nothing_is_lost(kept: &Kept) {
    let engine = kept.engine();
    same(&asked(&engine).await, &kept.told, &kept.what);
    assert_eq!(engine.verify().await.findings, [], "{}", kept.what);
    engine.fold().await.expect("folded");
    same(&asked(&engine).await, &kept.told, &kept.what);
    go_on(kept, engine).await;
}

fn same(one: &Told, other: &Told, what: &str) {
    assert_eq!(one.len(), other.len(), "{what}");
    for ((asked, one), (_, other)) in one.iter().zip(other) {
        assert_eq!(one.as_ref().ok(), other.as_ref().ok(), "{what}: {asked}");
    }
}

/// Writing, folding, opening and sweeping go on; what is refused can be deleted and made again.
async fn go_on(kept: &Kept, engine: Engine) {
    let (what, random) = (&kept.what, SeededRandom::new(99));
    kept.clock.set(BEGIN.plus(100 * HOUR));
    for (metric, kind) in METRICS {
        let name = story::name(metric);
        let view = engine.view(&name.component(), AsOf::Now).await.expect("a view");
        let refused = match view.metric(&name) {
            Ok(Some(metric)) => metric.series(&[]).iter().flatten().any(|s| s.span(Interval::ALL).is_err()),
            Ok(None) => false,
            Err(_) => true,
        };
        drop(view);
        if refused {
            let delete = Change::Delete { metric: name.clone(), force: true };
            engine.write(story::batch(metric, delete)).await.unwrap_or_else(|e| panic!("{what}: {metric}: {e:?}"));
        }
        engine.write(story::create(metric, kind, &["channel"])).await.unwrap_or_else(|e| panic!("{what}: {e:?}"));
        if refused {
            let points =
                vec![Point { restated: kind == milepost::domain::definition::Kind::Cumulative, ..point(kind) }];
            let set = story::points(metric, Mode::Set, &[(&["email"], points)]);
            engine.write(set).await.unwrap_or_else(|e| panic!("{what}: {metric}: {e:?}"));
            let view = engine.view(&name.component(), AsOf::Now).await.expect("a view");
            let series = view.metric(&name).expect("known").expect("there").series(&[]).expect("all of them");
            assert_eq!(series.len(), 1, "{what}");
            assert_eq!(series[0].points(Interval::ALL, 9).expect("known").len(), 1, "{what}");
        }
    }
    for number in 100..120 {
        drop(engine.write(random_batch(&random, number)).await);
    }
    let told = asked(&engine).await;
    engine.fold().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    drop(engine);
    let engine = kept.engine();
    same(&asked(&engine).await, &told, what);
    engine.sweep().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    same(&asked(&engine).await, &told, what);
    engine.close().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let engine = kept.engine();
    same(&asked(&engine).await, &told, what);
    assert!(kept.losses_of(engine).is_empty(), "{what}: nothing is left to be given up");
}

fn point(kind: milepost::domain::definition::Kind) -> Point {
    match kind {
        milepost::domain::definition::Kind::Delta => story::of_hour(500, 7),
        _ => Point::at(Time(500 * HOUR), 7),
    }
}

impl Kept {
    fn losses_of(&self, engine: Engine) -> Vec<Loss> {
        drop(engine);
        self.losses()
    }
}

#[tokio::test]
async fn what_a_component_keeps_of_its_own_is_given_up_and_the_rest_is_served() {
    let (runs, first) = (runs(), said("MILEPOST_OWN_SEED").unwrap_or(0));
    let (mut came, mut damaged) = (Came::default(), 0);
    for seed in first..first + runs {
        damaged += u64::from(run(seed, &mut came).await.is_some());
    }
    println!("own frames of {damaged} histories, seeds from {first} on: {came:?}");
    assert!(damaged * 10 >= runs * 8, "most histories have such a frame: {damaged}");
    assert!(came.exact > came.refused && came.refused > 0, "most is answered, and not all: {came:?}");
    assert!(came.from_the_log > 0, "the log holds what some newest file did: {came:?}");
}
