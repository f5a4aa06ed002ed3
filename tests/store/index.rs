//! The index is believed only as it was closed.

use crate::fixture::{commit, copy_dir, line, open, record, temporary};
use milepost::store::{IndexState, Position, Store, StoreError};
use std::fs;
use std::path::{Path, PathBuf};

/// A store with a fold, whose index was closed with 50 entries.
fn make(dir: &Path) -> Result<(), StoreError> {
    let store = open(dir)?;
    commit(&store, &[record("pay", 1, 10)])?;
    let mut fold = store.begin_fold(Position(1))?;
    fold.put(line("pay", 1, ""), b"frame")?;
    fold.finish()?;
    store.write_index((0..50_u8).map(|i| (vec![i], Some(vec![i; 200]))).collect())?;
    store.close(Position(1))
}

fn state(dir: &Path) -> Result<(IndexState, usize), StoreError> {
    let store = open(dir)?;
    let mut entries = 0;
    store.scan_index(b"", &mut |key, value| {
        assert_eq!(value, vec![key[0]; 200]);
        entries += 1;
    })?;
    Ok((store.index_state(), entries))
}

fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        match path.is_dir() {
            true => all.extend(all_files(&path)),
            false => all.push(path),
        }
    }
    all
}

#[test]
fn it_is_believed_once_after_a_close() -> Result<(), StoreError> {
    let dir = temporary();
    make(dir.path())?;
    assert_eq!(state(dir.path())?, (IndexState::Trusted(Position(1)), 50));
    assert_eq!(state(dir.path())?, (IndexState::Rebuild, 0), "the second time it was not closed");
    Ok(())
}

#[test]
fn any_change_while_it_is_closed_is_seen() -> Result<(), StoreError> {
    let dir = temporary();
    make(dir.path())?;
    let files = all_files(&dir.path().join("index"));
    assert!(files.len() >= 3, "{files:?}");
    for path in files {
        let bytes = fs::read(&path).expect("it can be read");
        // A flipped bit at some places of each file, a cut, one byte more, and the file gone.
        let mut variants: Vec<Option<Vec<u8>>> = vec![None, Some([&bytes[..], &[0]].concat())];
        for step in 0..bytes.len().min(12) {
            let mut flipped = bytes.clone();
            flipped[step * bytes.len() / bytes.len().min(12)] ^= 0x10;
            variants.push(Some(flipped));
        }
        if let Some((_, shorter)) = bytes.split_last() {
            variants.push(Some(shorter.to_vec()));
        }
        for (number, variant) in variants.into_iter().enumerate() {
            let copy = temporary();
            copy_dir(dir.path(), copy.path());
            let path = copy.path().join(path.strip_prefix(dir.path()).expect("it is below"));
            match variant {
                None => fs::remove_file(&path).expect("it is there"),
                Some(bytes) => fs::write(&path, bytes).expect("it can be written"),
            }
            assert_eq!(state(copy.path())?, (IndexState::Rebuild, 0), "{path:?} {number}");
        }
    }
    Ok(())
}

#[test]
fn a_missing_folder_and_a_foreign_file_are_seen() -> Result<(), StoreError> {
    let dir = temporary();
    make(dir.path())?;
    let copy = temporary();
    copy_dir(dir.path(), copy.path());
    fs::remove_dir_all(copy.path().join("index")).expect("it is there");
    assert_eq!(state(copy.path())?, (IndexState::Rebuild, 0));
    fs::write(dir.path().join("index/sled-1/foreign"), "x").expect("it can be written");
    assert_eq!(state(dir.path())?, (IndexState::Rebuild, 0));
    Ok(())
}

/// An index that claims more than the folds hold is of another time.
#[test]
fn an_index_ahead_of_the_folds_is_not_believed() -> Result<(), StoreError> {
    let dir = temporary();
    let store = open(dir.path())?;
    commit(&store, &[record("pay", 1, 10)])?;
    store.close(Position(1))?;
    drop(store);
    assert_eq!(open(dir.path())?.index_state(), IndexState::Rebuild);
    Ok(())
}

/// Readers see one value or the other of a key that changes between whole and in chunks, never damage.
#[test]
fn values_in_chunks_change_under_readers() -> Result<(), StoreError> {
    let dir = temporary();
    let store = open(dir.path())?;
    let value = |i: usize| vec![i as u8; 10 + (i % 5) * 9_000];
    store.write_index(vec![(b"key".to_vec(), Some(value(0)))])?;
    std::thread::scope(|threads| {
        let reader = threads.spawn(|| {
            for _ in 0..2_000 {
                let read = store.read_index(b"key").expect("it is whole").expect("it is there");
                assert_eq!(read, value(read[0] as usize));
            }
        });
        for i in 0..200 {
            store.write_index(vec![(b"key".to_vec(), Some(value(i)))]).expect("it can be written");
        }
        reader.join().expect("the reader saw whole values");
    });
    Ok(())
}

/// What is written again and again makes the index grow, whatever of it is replaced; written anew it is small, with what
/// is kept, long values too, under the eyes of somebody who reads; and it is what is believed after a close.
#[test]
fn written_anew_it_is_small_and_holds_what_is_kept() -> Result<(), StoreError> {
    let dir = temporary();
    let store = open(dir.path())?;
    commit(&store, &[record("pay", 1, 10)])?;
    let mut fold = store.begin_fold(Position(1))?;
    fold.put(line("pay", 1, ""), b"frame")?;
    fold.finish()?;
    let value = |i: u8, round: u8| vec![i ^ round; if i.is_multiple_of(10) { 30_000 } else { 2_000 }];
    for round in 0..60 {
        store.write_index((0..100_u8).map(|i| (vec![i], Some(value(i, round)))).collect())?;
    }
    let before = store.index_bytes();
    let is_kept = |key: &[u8]| key[0].is_multiple_of(2);
    let check = |store: &dyn Store| -> Result<(), StoreError> {
        let mut keys = Vec::new();
        store.scan_index(b"", &mut |key, found| {
            assert!(found == value(key[0], 59), "{key:?}");
            keys.push(key[0]);
        })?;
        assert_eq!(keys, (0..100).filter(|i| i % 2 == 0).collect::<Vec<_>>());
        Ok(())
    };
    assert!(!store.write_index_anew(&mut |key| (key[0] < 50).then_some(true))?, "it is stopped");
    let (done, reader) = (std::sync::atomic::AtomicBool::new(false), &store);
    std::thread::scope(|scope| {
        let read = scope.spawn(|| {
            let (done, mut reads) = (&done, 0);
            while !done.load(std::sync::atomic::Ordering::Relaxed) || reads == 0 {
                for i in (0..100).step_by(2) {
                    assert_eq!(reader.read_index(&[i]).expect("read"), Some(value(i, 59).into()));
                }
                reads += 1;
            }
        });
        let written = store.write_index_anew(&mut |key| Some(is_kept(key)));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        read.join().expect("what is kept is read");
        assert!(written.expect("written"));
    });
    let after = store.index_bytes();
    println!("{before} bytes, then {after}");
    assert!(after * 3 < before, "{before} bytes, then {after}");
    check(&store)?;
    let sleds = fs::read_dir(dir.path().join("index")).expect("it is there").count();
    assert_eq!(sleds, 1, "the one before is gone");
    store.close(Position(1))?;
    let again = open(dir.path())?;
    assert_eq!(again.index_state(), IndexState::Trusted(Position(1)));
    check(&again)
}
