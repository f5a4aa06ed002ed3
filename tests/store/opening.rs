//! What opening a directory says: who has it, what it is, what is missing.

use crate::fixture::{SMALL, commit, copy_dir, files, line, open, read_log, record, temporary};
use milepost::disk::{Disk, Open, RealDisk};
use milepost::domain::name::ComponentName;
use milepost::random::SeededRandom;
use milepost::store::embedded::EmbeddedStore;
use milepost::store::embedded::backup::BackupError;
use milepost::store::embedded::log::record::record_bytes;
use milepost::store::embedded::log::segment::{HEADER_BYTES, Header};
use milepost::store::{Position, Store, StoreError};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Outcome = Result<(), StoreError>;

#[test]
fn a_directory_is_made_with_those_above_it() -> Outcome {
    let dir = temporary();
    let deep = dir.path().join("a/b/c");
    commit(&open(&deep)?, &[record("pay", 1, 10)])?;
    assert_eq!(read_log(&open(&deep)?, 0)?.len(), 1);
    Ok(())
}

#[test]
fn one_at_a_time() -> Outcome {
    let dir = temporary();
    let first = open(dir.path())?;
    let Err(StoreError::Locked { holder, .. }) = open(dir.path()) else { panic!("it is in use") };
    assert_eq!(holder, std::process::id().to_string());
    first.close(Position(0))?;
    let second = open(dir.path())?;
    assert!(commit(&first, &[record("pay", 1, 10)]).is_err(), "nothing is written after a close");
    assert!(first.write_index(vec![]).is_err());
    drop(second);
    Ok(())
}

#[test]
fn another_format_is_named() -> Outcome {
    let dir = temporary();
    drop(open(dir.path())?);
    let path = dir.path().join("FORMAT");
    let text = fs::read_to_string(&path).expect("it is text");
    fs::write(&path, text.replace("format 1", "format 2")).expect("it can be written");
    let Err(StoreError::Format { found, known, .. }) = open(dir.path()) else { panic!("it is too new") };
    assert_eq!((found.as_str(), known), ("2", 1));
    for garbage in ["", "milepost data directory\nformat 1\nstore 12\n", "\u{0}\u{1}"] {
        fs::write(&path, garbage).expect("it can be written");
        assert!(matches!(open(dir.path()), Err(StoreError::Damaged { .. })), "{garbage:?}");
    }
    fs::write(&path, text.replace("store ", "store 0").replace("0\n", "\n")).expect("it can be written");
    assert!(open(dir.path()).is_err(), "another store's id");
    fs::write(&path, text).expect("it can be written");
    open(dir.path())?;
    Ok(())
}

#[test]
fn a_lost_format_is_damage() -> Outcome {
    let dir = temporary();
    let store = open(dir.path())?;
    commit(&store, &[record("pay", 1, 10)])?;
    drop(store);
    fs::remove_file(dir.path().join("FORMAT")).expect("it is there");
    let Err(StoreError::Damaged { file, .. }) = open(dir.path()) else { panic!("a store without FORMAT") };
    assert!(file.ends_with("FORMAT"));
    Ok(())
}

/// Every file of log and folds is missed.
#[test]
fn a_missing_file_is_damage() -> Outcome {
    let dir = temporary();
    let store = open(dir.path())?;
    for number in 1..=12 {
        commit(&store, &[record("pay", number, 5_000)])?;
        if number % 4 == 0 && number < 12 {
            let mut fold = store.begin_fold(Position(number - 2))?;
            fold.put(line("pay", 1, "x"), b"frame")?;
            fold.finish()?;
            store.trim(Position(number - 2))?;
        }
    }
    drop(store);
    let all: Vec<_> = ["log", "folds"].iter().flat_map(|folder| files(dir.path(), folder)).collect();
    assert!(all.len() >= 6, "{all:?}");
    for path in all {
        let copy = temporary();
        copy_dir(dir.path(), copy.path());
        let path = copy.path().join(path.strip_prefix(dir.path()).expect("it is below"));
        fs::remove_file(&path).expect("it is there");
        let error = open(copy.path()).err();
        assert!(matches!(error, Some(StoreError::Damaged { .. })), "{path:?}: {error:?}");
    }
    for folder in ["log", "folds"] {
        let copy = temporary();
        copy_dir(dir.path(), copy.path());
        fs::remove_dir_all(copy.path().join(folder)).expect("it is there");
        let error = open(copy.path()).err();
        assert!(matches!(error, Some(StoreError::Damaged { .. })), "{folder}: {error:?}");
    }
    assert_eq!(read_log(&open(dir.path())?, 6)?.len(), 6);
    Ok(())
}

#[test]
fn opened_again_and_again_it_stays_the_same_and_small() -> Outcome {
    let dir = temporary();
    let store = open(dir.path())?;
    for number in 1..=5 {
        commit(&store, &[record("pay", number, 1_000)])?;
    }
    drop(store);
    let mut counts = Vec::new();
    for _ in 0..20 {
        let store = open(dir.path())?;
        assert_eq!(read_log(&store, 0)?.len(), 5);
        drop(store);
        counts.push(files(dir.path(), "log").len());
    }
    assert!(counts[19] <= counts[1] && counts[19] <= 3, "idle openings leave no segments: {counts:?}");
    for number in 6..=10 {
        commit(&open(dir.path())?, &[record("pay", number, 1_000)])?;
    }
    let log = read_log(&open(dir.path())?, 0)?;
    assert_eq!(log, (1..=10).map(|n| (n, record("pay", n, 1_000))).collect::<Vec<_>>());
    Ok(())
}

fn open_with_chance(dir: &Path, seed: u64) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(dir, Arc::new(RealDisk), Arc::new(SeededRandom::new(seed)), SMALL)
}

/// A segment or a fold file of another store, or under another's name, is not taken for the store's own.
#[test]
fn another_file_under_the_name_is_damage() -> Outcome {
    let made = |seed| -> Result<_, StoreError> {
        let dir = temporary();
        let store = open_with_chance(dir.path(), seed)?;
        for number in 1..=6 {
            commit(&store, &[record("pay", number, 5_000)])?;
        }
        for through in [1, 2] {
            let mut fold = store.begin_fold(Position(through))?;
            fold.put(line("pay", 1, "x"), b"frame")?;
            fold.finish()?;
        }
        store.trim(Position(2))?;
        Ok(dir)
    };
    let (dir, other) = (made(1)?, made(2)?);
    for folder in ["log", "folds"] {
        let (own, others) = (files(dir.path(), folder), files(other.path(), folder));
        assert!(own.len() == others.len() && own.len() >= 2);
        for (i, path) in own.iter().enumerate() {
            for from in [&others[i], &own[(i + 1) % own.len()]] {
                let copy = temporary();
                copy_dir(dir.path(), copy.path());
                let to = copy.path().join(path.strip_prefix(dir.path()).expect("it is below"));
                fs::copy(from, &to).expect("it can be copied");
                let error = open_with_chance(copy.path(), 3).err();
                let named =
                    matches!(&error, Some(StoreError::Damaged { file, .. }) if *file == to.display().to_string());
                assert!(named, "{from:?} as {path:?}: {error:?}");
            }
        }
    }
    Ok(())
}

/// A segment's header with a right checksum that says that the log before it ends where it cannot.
#[test]
fn a_log_that_ends_outside_its_segment_is_damage() -> Outcome {
    let dir = temporary();
    let store = open(dir.path())?;
    commit(&store, &[record("pay", 1, 5_000)])?;
    commit(&store, &[record("pay", 2, 5_000)])?;
    drop(store);
    let [.., before, last] = &files(dir.path(), "log")[..] else { panic!("there are two segments") };
    let bytes = fs::read(last).expect("it can be read");
    let header = Header::read(&*RealDisk.open(last, Open::Read).expect("it is there"), last)?;
    let length = fs::metadata(before).expect("it is there").len();
    for before_end in [0, HEADER_BYTES as u64 - 1, length + 1, u64::MAX] {
        let wrong = [&Header { before_end, ..header }.encode(), &bytes[HEADER_BYTES..]].concat();
        fs::write(last, wrong).expect("it can be written");
        let Err(StoreError::Damaged { file, what, .. }) = open(dir.path()) else { panic!("it ends at {before_end}") };
        assert_eq!(file, last.display().to_string());
        assert_eq!(what, "it says that the log before it ends outside its segment");
    }
    Ok(())
}

/// What no fold covers is kept, and not a segment more.
#[test]
fn trimming_keeps_the_segments_that_hold_something_later() -> Outcome {
    let dir = temporary();
    let store = open(dir.path())?;
    for number in 1..=30 {
        commit(&store, &[record("pay", number, 1_500 + number as usize % 3 * 700)])?;
    }
    let first_of = |path: &PathBuf| {
        let file = RealDisk.open(path, Open::Read).expect("it is there");
        Header::read(&*file, path).expect("it is whole").first_position.0
    };
    for through in 1..=30 {
        let mut fold = store.begin_fold(Position(through))?;
        fold.put(line("pay", 1, ""), b"")?;
        fold.finish()?;
        let bytes_before = store.log_bytes();
        store.trim(Position(through))?;
        let firsts: Vec<u64> = files(dir.path(), "log").iter().map(first_of).collect();
        assert!(firsts[0] <= through + 1, "{firsts:?} after {through}");
        assert!(firsts[1..].iter().all(|first| *first > through + 1), "{firsts:?} after {through}");
        assert_eq!(
            store.log_bytes(),
            bytes_before - record_bytes(&record("pay", through, 1_500 + through as usize % 3 * 700)) as u64
        );
    }
    assert_eq!(store.log_bytes(), 0);
    Ok(())
}

/// A backup of a store holds its fold files and its segments, up to the last position.
#[test]
fn a_backup_names_what_it_holds() -> Result<(), BackupError> {
    let (dir, target) = (temporary(), temporary());
    let store = open(dir.path())?;
    for number in 1..=4 {
        commit(&store, &[record(["pay", "notify"][number as usize % 2], number, 5_000)])?;
    }
    let mut fold = store.begin_fold(Position(1))?;
    fold.put(line("notify", 1, ""), b"frame")?;
    fold.finish()?;
    let mut told = 0;
    let made = store.back_up(&target.path().join("backup"), &mut |bytes| {
        told += bytes;
        ControlFlow::Continue(())
    })?;
    assert_eq!((made.through, made.number), (Position(4), 1));
    let of = |name: &str| ComponentName::parse(name).expect("a name");
    assert_eq!(made.revisions, [(of("notify"), 3), (of("pay"), 4)].into());
    let (folds, segments) = (files(dir.path(), "folds"), files(dir.path(), "log"));
    assert_eq!(made.copied.files as usize, folds.len() + segments.len());
    assert_eq!(made.copied.bytes, told);
    let again = store.back_up(&target.path().join("backup"), &mut |_| ControlFlow::Continue(()))?;
    assert_eq!((again.number, again.there.files), (2, 1), "fold files are not copied again");
    Ok(())
}
