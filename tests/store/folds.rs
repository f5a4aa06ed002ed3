//! Damage to fold files: found and named, or repaired from the second copy; never a wrong frame.

use crate::fixture::{commit, copy_dir, files, line, open, record, temporary};
use milepost::store::{FrameRef, Line, Position, Store, StoreError};
use std::fs;
use std::path::Path;

const FRAMES: [&[u8]; 3] = [b"frame zero", b"", b"frame two, somewhat longer"];

fn make(dir: &Path) -> Result<Vec<(Line, FrameRef)>, StoreError> {
    let store = open(dir)?;
    commit(&store, &[record("pay", 1, 10), record("pay", 2, 10)])?;
    let mut fold = store.begin_fold(Position(2))?;
    let mut lines = Vec::new();
    for (i, frame) in FRAMES.iter().enumerate() {
        let line = line(["pay", "notify"][i % 2], i as u8, "summary");
        lines.push((line.clone(), fold.put(line, frame)?));
    }
    fold.finish()?;
    Ok(lines)
}

fn read_lines(store: &dyn Store) -> Result<Vec<(Line, FrameRef)>, StoreError> {
    let mut all = Vec::new();
    store.read_lines(&mut |line, at| all.push((line, at)))?;
    Ok(all)
}

/// Every bit in turn, in every byte: opening or reading says Damaged, or everything is as it was.
#[test]
fn no_flipped_bit_is_believed() -> Result<(), StoreError> {
    let dir = temporary();
    let lines = make(dir.path())?;
    let path = files(dir.path(), "folds").remove(0);
    let whole = fs::read(&path).expect("it is there");
    let mut found = 0;
    for byte in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << (byte % 8);
        fs::write(&path, &flipped).expect("it can be written");
        let store = match open(dir.path()) {
            Ok(store) => store,
            Err(StoreError::Damaged { file, .. }) if file.ends_with(".fold") => {
                found += 1;
                continue;
            }
            Err(error) => panic!("byte {byte}: {error}"),
        };
        assert_eq!(read_lines(&store)?, lines, "byte {byte}");
        for (i, (_, at)) in lines.iter().enumerate() {
            match store.read_frame(*at) {
                Ok(frame) => assert_eq!(frame, FRAMES[i], "byte {byte}"),
                Err(StoreError::Damaged { .. }) => found += 1,
                Err(error) => panic!("byte {byte}: {error}"),
            }
        }
    }
    let contents: usize = FRAMES.iter().map(|frame| frame.len()).sum();
    assert_eq!(found, contents, "seals and directories are there twice: only frames are lost");
    Ok(())
}

#[test]
fn damage_to_both_copies_is_named() -> Result<(), StoreError> {
    let dir = temporary();
    make(dir.path())?;
    let path = files(dir.path(), "folds").remove(0);
    let whole = fs::read(&path).expect("it is there");
    for places in [[10, whole.len() - 100], [whole.len() - 140, whole.len() - 240]] {
        let mut flipped = whole.clone();
        places.iter().for_each(|place| flipped[*place] ^= 4);
        fs::write(&path, &flipped).expect("it can be written");
        let error = open(dir.path()).err();
        assert!(matches!(&error, Some(StoreError::Damaged { file, .. }) if file.ends_with(".fold")), "{error:?}");
    }
    for end in [0, 5, 128, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..end]).expect("it can be written");
        assert!(matches!(open(dir.path()), Err(StoreError::Damaged { .. })), "cut at {end}");
    }
    Ok(())
}

/// A rewritten file has the next generation; a crash may leave both, whole or not.
#[test]
fn the_highest_whole_generation_counts() -> Result<(), StoreError> {
    let dir = temporary();
    let lines = make(dir.path())?;
    let path = files(dir.path(), "folds").remove(0);
    let next = path.with_file_name(path.file_name().expect("it has a name").to_string_lossy().replace(".g0.", ".g1."));
    fs::copy(&path, &next).expect("it can be copied");
    let store = open(dir.path())?;
    assert_eq!(read_lines(&store)?, lines, "one that does not say its own name is not whole");
    assert_eq!(files(dir.path(), "folds").len(), 2);
    Ok(())
}

#[test]
fn leftovers_are_removed() -> Result<(), StoreError> {
    let dir = temporary();
    let lines = make(dir.path())?;
    let store = open(dir.path())?;
    let mut unfinished = store.begin_fold(Position(3))?;
    unfinished.put(line("pay", 1, ""), b"x")?;
    let crashed = temporary();
    copy_dir(dir.path(), crashed.path());
    let count = || fs::read_dir(crashed.path().join("folds")).expect("it is there").count();
    assert_eq!(count(), 2);
    let store = open(crashed.path())?;
    assert_eq!((count(), read_lines(&store)?), (1, lines));
    Ok(())
}
