//! Fold files that are written anew: what is left out is gone, what stays is found under its number, and whoever holds
//! the file that was there before still has it.

use crate::fixture::*;
use bytes::Bytes;
use milepost::disk::RealDisk;
use milepost::random::SeededRandom;
use milepost::store::embedded::EmbeddedStore;
use milepost::store::embedded::backup::restore::restore;
use milepost::store::embedded::folds::file::BETWEEN_DIRECTORIES_BYTES;
use milepost::store::{Anew, FrameRef, Line, Position, Store, StoreError};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

type Frames = Vec<(Line, FrameRef, Bytes)>;

/// Some folds of twenty frames each.
fn make(store: &dyn Store, folds: u64) -> Result<(), StoreError> {
    for number in 1..=folds {
        commit(store, &[record("pay", number, 10)])?;
        let mut fold = store.begin_fold(Position(number))?;
        for i in 0..20u64 {
            fold.put(
                line(["pay", "notify"][i as usize % 2], 1, &format!("line {i}")),
                &[(number * 20 + i) as u8; 300],
            )?;
        }
        fold.finish()?;
        store.trim(Position(number))?;
    }
    Ok(())
}

fn frames(store: &dyn Store) -> Result<Frames, StoreError> {
    let mut lines = Vec::new();
    store.read_lines(&mut |line, at| lines.push((line, at)))?;
    lines.into_iter().map(|(line, at)| Ok((line, at, store.read_frame(at)?))).collect()
}

fn fold_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("folds")).expect("a folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn whole(store: &dyn Store) {
    store.verify(&mut |_, damage| {
        assert!(damage.is_none(), "{damage:?}");
        ControlFlow::Continue(())
    });
}

/// Random frames are left out, or others put in their place, again and again: each time what is there is what was there
/// without them, in the open store, in one that is opened again, and in the files as such.
#[test]
fn what_stays_is_found_and_what_goes_is_gone() -> Result<(), StoreError> {
    let dir = temporary();
    let store = open(dir.path())?;
    make(&store, 4)?;
    let mut expected = frames(&store)?;
    let chance = SeededRandom::new(5);
    let below = |bound| chance.next() % bound;
    for round in 0..25u32 {
        let fold = Position(1 + below(4));
        let mut next = Frames::new();
        let before = store.fold_bytes();
        let written = store.write_anew(fold, &mut |line, at| {
            let frame = expected.iter().find(|(_, kept, _)| *kept == at).expect("it was there").2.clone();
            Ok(match below(8) {
                0 if round > 0 => {
                    let other = Bytes::from(vec![round as u8; 40]);
                    next.push((line.clone(), FrameRef { crc: crc32fast::hash(&other), ..at }, other.clone()));
                    Anew::Instead(line.clone(), other)
                }
                1 | 2 => Anew::Gone,
                _ => {
                    next.push((line.clone(), at, frame));
                    Anew::Stays
                }
            })
        })?;
        assert!(written && store.fold_bytes() <= before);
        let gone: Vec<FrameRef> = expected.iter().map(|(_, at, _)| *at).filter(|at| at.fold == fold).collect();
        expected.retain(|(_, at, _)| at.fold != fold);
        expected.extend(next);
        expected.sort_by_key(|(_, at, _)| *at);
        assert_eq!(frames(&store)?, expected, "round {round}");
        for at in gone.into_iter().filter(|at| !expected.iter().any(|(_, kept, _)| kept == at)) {
            assert!(matches!(store.read_frame(at), Err(StoreError::Damaged { .. })));
        }
        whole(&store);
        let copied = temporary();
        copy_dir(dir.path(), copied.path());
        let again = open(copied.path())?;
        assert_eq!(frames(&again)?, expected, "round {round}, opened again");
        whole(&again);
        let files = fold_files(dir.path());
        assert_eq!(files.len(), 4, "what was replaced is gone: {files:?}");
        let bytes: u64 = files.iter().map(|file| fs::metadata(file).expect("it is there").len()).sum();
        assert_eq!(store.fold_bytes(), bytes);
    }
    assert!(expected.len() < 60, "{} of 80 are left", expected.len());
    Ok(())
}

/// Frames that were left out take no room, however many there are: not even a line each.
#[test]
fn what_is_left_out_takes_no_room() -> Result<(), StoreError> {
    let dir = temporary();
    let store = open(dir.path())?;
    commit(&store, &[record("pay", 1, 10)])?;
    let mut fold = store.begin_fold(Position(1))?;
    for i in 0..5_000 {
        fold.put(line("pay", 1, "a line"), format!("frame {i}").as_bytes())?;
    }
    fold.finish()?;
    let is_kept = |number| number == 7 || number == 4_000;
    store.write_anew(Position(1), &mut |_, at| Ok(if is_kept(at.number) { Anew::Stays } else { Anew::Gone }))?;
    assert!(store.fold_bytes() < 800 + BETWEEN_DIRECTORIES_BYTES as u64, "{} bytes", store.fold_bytes());
    let numbers: Vec<u32> = frames(&store)?.iter().map(|(_, at, _)| at.number).collect();
    assert_eq!(numbers, [7, 4_000]);
    Ok(())
}

/// One that stops, and one in which a frame that is to stay is damaged, changes nothing.
#[test]
fn a_fold_that_is_not_written_anew_stays_as_it_is() -> Result<(), StoreError> {
    let dir = temporary();
    let store = open(dir.path())?;
    make(&store, 2)?;
    let (before, files) = (frames(&store)?, fold_files(dir.path()));
    let stops = store.write_anew(Position(1), &mut |_, at| Ok(if at.number < 9 { Anew::Gone } else { Anew::Stop }));
    assert!(!stops? && !store.write_anew(Position(9), &mut |_, _| Ok(Anew::Gone))?);
    assert_eq!((frames(&store)?, fold_files(dir.path())), (before.clone(), files.clone()));
    let (path, offset) = store.locate(before[5].1);
    let mut bytes = fs::read(&path).expect("it is there");
    bytes[offset as usize] ^= 1;
    fs::write(&path, bytes).expect("it can be written");
    let written = store.write_anew(Position(1), &mut |_, at| Ok(if at.number < 5 { Anew::Gone } else { Anew::Stays }));
    assert!(matches!(written, Err(StoreError::Damaged { .. })));
    assert_eq!(fold_files(dir.path()), files);
    Ok(())
}

/// Every file is written anew while a backup is made, before it comes to it: what it copies is what it found, and what
/// was replaced goes when it has come to its end.
#[test]
fn a_backup_holds_what_it_found_whatever_is_written_anew_meanwhile() -> Result<(), StoreError> {
    let dir = temporary();
    let store: EmbeddedStore = open(&dir.path().join("data"))?;
    make(&store, 5)?;
    let (before, target) = (frames(&store)?, dir.path().join("backup"));
    let mut told = 0;
    let made = store.back_up(&target, &mut |_| {
        told += 1;
        if told <= 2 {
            for fold in 1..=5 {
                let odd = |at: FrameRef| if at.number % 2 == 1 { Anew::Gone } else { Anew::Stays };
                store.write_anew(Position(fold), &mut |_, at| Ok(odd(at))).expect("it is written");
            }
        }
        ControlFlow::Continue(())
    });
    let made = made.expect("a backup");
    assert!(told >= 5 && made.through == Position(5));
    assert_eq!(fold_files(&dir.path().join("data")).len(), 5, "what was replaced is gone");
    assert_eq!(frames(&store)?.len(), before.len() / 2);
    let restored = dir.path().join("restored");
    let random = SeededRandom::new(3);
    restore(&RealDisk, &random, &target, &restored, &mut |_| ControlFlow::Continue(())).expect("restored");
    assert_eq!(frames(&open(&restored)?)?, before, "it is as it was when the backup began");
    // The next one copies what was written anew.
    let again = store.back_up(&target, &mut |_| ControlFlow::Continue(())).expect("a backup");
    assert_eq!((again.there.files, again.number), (0, 2));
    assert_eq!(fold_files(&target).len(), 5);
    Ok(())
}

/// A bit is flipped in every byte of a file of which some was left out: what is read is what is there, or damage.
#[test]
fn no_flipped_bit_of_what_is_left_is_believed() -> Result<(), StoreError> {
    let dir = temporary();
    let store = open(dir.path())?;
    make(&store, 1)?;
    let keep = |number| if number % 5 == 2 || number == 19 { Anew::Stays } else { Anew::Gone };
    store.write_anew(Position(1), &mut |_, at| Ok(keep(at.number)))?;
    let expected = frames(&store)?;
    drop(store);
    let path = fold_files(dir.path()).remove(0);
    let whole = fs::read(&path).expect("it is there");
    let mut refused = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let copied = temporary();
        copy_dir(dir.path(), copied.path());
        fs::write(fold_files(copied.path()).remove(0), bytes).expect("it can be written");
        match open(copied.path()).and_then(|store| frames(&store)) {
            Ok(found) => assert_eq!(found, expected, "byte {at}"),
            Err(StoreError::Damaged { .. }) => refused += 1,
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    // The frames themselves are there once.
    assert_eq!(refused, expected.len() * 300);
    Ok(())
}
