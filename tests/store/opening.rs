//! What opening a directory says: who has it, what it is, what is missing.

use crate::fixture::{commit, copy_dir, files, line, open, read_log, record, temporary};
use milepost::store::{Position, Store, StoreError};
use std::fs;

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
