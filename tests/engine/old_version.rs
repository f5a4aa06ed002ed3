//! Data directories as earlier versions left them, kept here for ever: each is opened, and tells what it told then.
//!
//! Each of `fixtures/` holds a directory without its index, as after a kill, and `told.txt`: every question and its
//! answer. `v1` is the first; in `v2` blocks are columns (format 3), in `v3` bodies of log records are too (format 3), in
//! `v4` fold files may leave out frames and their sums are short (format 2), in `v5` blocks may have runs (format 4). A
//! fixture of a new version: `MILEPOST_MAKE_FIXTURE=tests/engine/fixtures/v6 cargo test --test engine makes_a_fixture`.

use super::story::{self, BEGIN, Step};
use super::told::{HOUR, everything};
use milepost::clock::ManualClock;
use milepost::disk::RealDisk;
use milepost::domain::time::Time;
use milepost::engine::{AsOf, Engine};
use milepost::random::SeededRandom;
use milepost::store::embedded::EmbeddedStore;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A day after nothing, so that the request ids are remembered.
const LATER: Time = Time(BEGIN.0 + 20 * HOUR);
/// A segment's head: it is synced before the first record is written behind it.
const HEADER_BYTES: usize = 128;
/// Every so many revisions are asked.
const STEP: usize = 8;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/fixtures")
}

/// What a fixture tells, as text.
async fn told(engine: &Engine) -> String {
    let mut text = String::new();
    for (asked, answer) in everything(engine, STEP).await {
        let answer = answer.unwrap_or_else(|error| panic!("{asked}: {error}"));
        writeln!(text, "{asked}: {answer}").expect("a text can be written to");
    }
    for batch in story::remembered() {
        let id = batch.request_id.clone();
        let ack = engine.write(batch).await.expect("the first answer");
        assert!(ack.replayed, "{id}");
        let counts = (ack.accepted, ack.unchanged, ack.corrected);
        writeln!(text, "{id} again: revision {}, {counts:?}", ack.revision).expect("a text can be written to");
    }
    text
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it can be made");
    for entry in fs::read_dir(from).expect("it can be listed") {
        let (path, target) = {
            let entry = entry.expect("it can be listed");
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("it can be copied");
        }
    }
}

/// What was said of revisions that are there is said again; answers whether all of it was.
async fn tells_of_the_past(engine: &Engine, expected: &str) -> bool {
    let now = everything(engine, 1).await;
    let of_the_past = |asked: &str| asked.contains('@') || asked.starts_with("notify");
    let mut all = true;
    for (asked, answer) in expected.lines().filter_map(|line| line.split_once(": ")) {
        match now.get(asked).filter(|_| of_the_past(asked)) {
            Some(Ok(found)) => assert!(found.starts_with(answer), "{asked}: {found}, not {answer}"),
            Some(Err(error)) => panic!("{asked}: {error}"),
            None => all &= !asked.contains('@'),
        }
    }
    all
}

/// The newest segment of the log cut at a byte, zeros behind it, as where it was not synced (its length is): in the last record of each version nothing
/// but that record goes, whole, and what came before it is told as ever. `MILEPOST_OLD_CUTS_STEP=1`: every byte, instead of
/// some.
#[tokio::test]
async fn the_last_record_of_every_version_is_cut() {
    let said = std::env::var("MILEPOST_OLD_CUTS_STEP").map(|said| said.parse().expect("a number of bytes"));
    let step = said.unwrap_or(if std::env::var_os("MILEPOST_EACH_RUN").is_some() { 7 } else { 29 });
    for version in fs::read_dir(fixtures()).expect("there are fixtures") {
        let version = version.expect("it can be listed").path();
        let expected = fs::read_to_string(version.join("told.txt")).expect("a text");
        let log = version.join("data/log");
        let segments =
            fs::read_dir(&log).expect("it can be listed").map(|entry| entry.expect("it can be listed").path());
        let newest = segments.max().expect("there is a log");
        let bytes = fs::read(&newest).expect("it can be read");
        let dir = tempfile::tempdir().expect("a directory");
        let mut states: Vec<Vec<i64>> = Vec::new();
        for to in (HEADER_BYTES..=bytes.len()).rev().step_by(step) {
            let data = dir.path().join(to.to_string());
            copy(&version.join("data"), &data);
            let mut cut = bytes[..to].to_vec();
            cut.resize(bytes.len(), 0);
            fs::write(data.join("log").join(newest.file_name().expect("a name")), cut).expect("it can be written");
            let engine = story::open(&data, LATER).unwrap_or_else(|e| panic!("{} at {to}: {e}", version.display()));
            let mut state = Vec::new();
            for component in engine.components() {
                state.push(engine.view(&component, AsOf::Now).await.expect("a view").revision());
            }
            if states.last() != Some(&state) {
                let all = tells_of_the_past(&engine, &expected).await;
                assert_eq!(all, states.is_empty(), "{} at {to}: {state:?}", version.display());
                states.push(state);
            }
            drop(engine);
            story::wait_until_free(&data);
            fs::remove_dir_all(&data).expect("it can be removed");
            if states.len() > 2 {
                break;
            }
        }
        assert!(states.len() >= 2, "{}: there is a record to cut: {states:?}", version.display());
        let lost = |pair: &[Vec<i64>]| pair[0].iter().sum::<i64>() - pair[1].iter().sum::<i64>();
        assert!(
            states.windows(2).all(|pair| lost(pair) == 1),
            "{}: whole batches, one by one: {states:?}",
            version.display()
        );
    }
}

#[tokio::test]
async fn directories_of_every_version_open_and_tell_what_they_told() {
    let mut count = 0;
    for version in fs::read_dir(fixtures()).expect("there are fixtures") {
        let version = version.expect("it can be listed").path();
        let dir = tempfile::tempdir().expect("a directory");
        copy(&version.join("data"), dir.path());
        let expected = fs::read_to_string(version.join("told.txt")).expect("a text");
        let engine = story::open(dir.path(), LATER).expect("it opens");
        let found = told(&engine).await;
        for (expected, found) in expected.lines().zip(found.lines()) {
            assert_eq!(expected, found, "{}", version.display());
        }
        assert_eq!(expected, found, "{}", version.display());
        // And it goes on: what is written by this version stands beside it, folded and reopened.
        let more =
            story::points("pay/payments", milepost::engine::batch::Mode::Set, &[(&[], vec![story::of_hour(500, 5)])]);
        engine.write(more).await.expect("written");
        engine.close().await.expect("it closes");
        let engine = story::open(dir.path(), LATER).expect("it opens again");
        tells_of_the_past(&engine, &expected).await;
        engine.close().await.expect("it closes");
        count += 1;
    }
    assert!(count >= 3, "there are fixtures");
}

/// Makes a fixture of this version where the environment says so; otherwise in a temporary directory, so that it is
/// seen to work.
#[tokio::test]
async fn makes_a_fixture() {
    let temporary = tempfile::tempdir().expect("a directory");
    let target = std::env::var_os("MILEPOST_MAKE_FIXTURE").map_or(temporary.path().join("fixture"), PathBuf::from);
    let data = temporary.path().join("data");
    let clock = Arc::new(ManualClock::at(BEGIN));
    let store = EmbeddedStore::open(&data, Arc::new(RealDisk), Arc::new(SeededRandom::new(3)), story::STORE);
    let engine = Engine::open(Arc::new(store.expect("a store")), clock.clone(), story::settings()).expect("it opens");
    story::write_all(&engine, &clock, story::steps()).await.expect("written");
    clock.set(LATER);
    let text = told(&engine).await;
    drop(engine);
    let engine = story::open(&data, LATER).expect("it opens");
    assert!(text == told(&engine).await, "a restart tells the same");
    for folder in ["log", "folds"] {
        fs::create_dir_all(target.join("data").join(folder)).expect("it can be made");
        for entry in fs::read_dir(data.join(folder)).expect("it can be listed") {
            let entry = entry.expect("it can be listed");
            let name = entry.file_name();
            if !name.to_string_lossy().ends_with(".tmp") {
                fs::copy(entry.path(), target.join("data").join(folder).join(name)).expect("it can be copied");
            }
        }
    }
    fs::copy(data.join("FORMAT"), target.join("data/FORMAT")).expect("it can be copied");
    fs::write(target.join("told.txt"), text).expect("it can be written");
    assert!(story::steps().iter().any(|step| matches!(step, Step::Fold)));
}
