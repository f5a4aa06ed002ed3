//! Damage to fold files: found and named, or repaired from the second copy; never a wrong frame.

use crate::fixture::{commit, copy_dir, files, line, open, record, temporary};
use milepost::disk::{Disk, Open, RealDisk};
use milepost::store::embedded::folds::file::Seal;
use milepost::store::{FrameRef, Line, Position, Store, StoreError};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const FRAMES: [&[u8]; 3] = [b"frame zero", b"", b"frame two, somewhat longer"];

fn make(dir: &Path) -> Result<Vec<(Line, FrameRef)>, StoreError> {
    let store = open(dir)?;
    commit(&store, &[record("pay", 1, 10)])?;
    commit(&store, &[record("pay", 2, 10)])?;
    let mut fold = store.begin_fold(Position(2))?;
    let mut lines = Vec::new();
    for (i, frame) in FRAMES.iter().enumerate() {
        let line = line(["pay", "notify"][i % 2], i as u8, "summary");
        lines.push((line.clone(), fold.put(line, frame)?));
    }
    fold.finish()?;
    drop(store);
    // An opening lets go of the log that the folds hold, but for the last group.
    open(dir).map(|_| lines)
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

/// A bad sector wherever it may be: the file is opened, tells the same, and only frames in the sector are lost.
#[test]
fn a_bad_sector_takes_nothing_but_the_frames_in_it() -> Result<(), StoreError> {
    const SECTOR_BYTES: usize = 4_096;
    let dir = temporary();
    let lines = make(dir.path())?;
    let path = files(dir.path(), "folds").remove(0);
    let whole = fs::read(&path).expect("it is there");
    for from in 0..whole.len() {
        let sector = from..(from + SECTOR_BYTES).min(whole.len());
        let mut bytes = whole.clone();
        bytes[sector.clone()].fill(0x55);
        fs::write(&path, &bytes).expect("it can be written");
        let store = open(dir.path())?;
        assert_eq!(read_lines(&store)?, lines, "a sector at {from}");
        for (i, (_, at)) in lines.iter().enumerate() {
            let start = store.locate(*at).1 as usize;
            let hit = (start..start + FRAMES[i].len()).any(|byte| sector.contains(&byte));
            match store.read_frame(*at) {
                Ok(frame) => assert!(!hit && frame == FRAMES[i], "a sector at {from}"),
                Err(error) => {
                    assert!(hit && matches!(error, StoreError::Damaged { .. }), "a sector at {from}: {error}")
                }
            }
        }
    }
    Ok(())
}

#[test]
fn damage_to_both_copies_is_named() -> Result<(), StoreError> {
    let dir = temporary();
    make(dir.path())?;
    let path = files(dir.path(), "folds").remove(0);
    let whole = fs::read(&path).expect("it is there");
    let seal = Seal::read_at(&*RealDisk.open(&path, Open::Read).expect("it is there"), &path, 0)?;
    for places in [[10, whole.len() - 100], seal.directories.map(|at| at as usize + 9)] {
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

/// What was given up leaves its file, for good: of every other frame number, bytes and reference stay.
#[test]
fn what_is_left_out_is_gone_and_the_rest_is_as_it_was() -> Result<(), StoreError> {
    let dir = temporary();
    make(dir.path())?;
    let store = open(dir.path())?;
    commit(&store, &[record("pay", 3, 10)])?;
    let mut fold = store.begin_fold(Position(3))?;
    fold.put(line("pay", 1, "later"), b"of another file")?;
    fold.finish()?;
    let before = read_lines(&store)?;
    let untouched = files(dir.path(), "folds").remove(1);
    for (generation, number) in [(1, 0), (2, 2)] {
        let dead = before[number].1;
        store.leave_out(&BTreeSet::from([dead]))?;
        let names: Vec<_> = files(dir.path(), "folds");
        assert!(names[0].to_string_lossy().ends_with(&format!("2.g{generation}.fold")), "{names:?}");
        assert!(names.len() == 2 && names[1] == untouched, "the one before is gone: {names:?}");
        let copied = temporary();
        copy_dir(dir.path(), copied.path());
        for store in [&store, &open(copied.path())?] {
            let now = read_lines(store)?;
            for (i, ((line, at), (line_before, before))) in now.iter().zip(&before).enumerate() {
                assert_eq!(line, line_before);
                match i == number || i == 0 {
                    true => {
                        assert_eq!((at.number, at.fold, at.crc), (before.number, before.fold, 0));
                        assert!(matches!(store.read_frame(*before), Err(StoreError::Damaged { .. })));
                        assert_eq!(store.read_frame(*at)?, &b""[..]);
                    }
                    false => {
                        assert_eq!(at, before);
                        let frames = [&FRAMES[..], &[b"of another file"]].concat();
                        assert_eq!(store.read_frame(*at)?, frames[i]);
                    }
                }
            }
            assert_eq!(now.len(), 4);
        }
        let bytes: u64 =
            files(dir.path(), "folds").iter().map(|path| fs::metadata(path).expect("it is there").len()).sum();
        assert_eq!(store.fold_bytes(), bytes);
    }
    store.leave_out(&BTreeSet::new())?;
    assert!(files(dir.path(), "folds")[0].to_string_lossy().ends_with("2.g2.fold"), "nothing to be left out");
    Ok(())
}

/// A file that holds damage that was not given up is not written anew; the others are.
#[test]
fn a_file_with_other_damage_stays_as_it_is() -> Result<(), StoreError> {
    let dir = temporary();
    let lines = make(dir.path())?;
    let store = open(dir.path())?;
    commit(&store, &[record("pay", 3, 10)])?;
    let mut fold = store.begin_fold(Position(3))?;
    let later = fold.put(line("pay", 1, "later"), b"of another file")?;
    fold.finish()?;
    let (path, offset) = store.locate(lines[0].1);
    let mut bytes = fs::read(&path).expect("it is there");
    bytes[offset as usize] ^= 1;
    fs::write(&path, &bytes).expect("it can be written");
    store.leave_out(&BTreeSet::from([lines[2].1, later]))?;
    let names: Vec<_> = files(dir.path(), "folds").iter().map(|path| path.display().to_string()).collect();
    assert!(names.len() == 2 && names[0] == path && names[1].ends_with("3.g1.fold"), "{names:?}");
    assert_eq!(fs::read(&path).expect("it is there"), bytes);
    Ok(())
}

/// Where it says, a frame's bytes are; of one that is not there its file, or the folder.
#[test]
fn a_frame_is_where_it_is_said_to_be() -> Result<(), StoreError> {
    let dir = temporary();
    let lines = make(dir.path())?;
    let store = open(dir.path())?;
    let path = files(dir.path(), "folds").remove(0);
    let bytes = fs::read(&path).expect("it is there");
    for ((_, at), frame) in lines.iter().zip(FRAMES) {
        let (file, offset) = store.locate(*at);
        assert_eq!(file, path.display().to_string());
        assert!(bytes[offset as usize..].starts_with(frame) && offset > 0);
    }
    let [_, (_, at), _] = &lines[..] else { panic!("there are three") };
    assert_eq!(store.locate(FrameRef { number: 3, ..*at }), (path.display().to_string(), 0));
    let folder = dir.path().join("folds").display().to_string();
    assert_eq!(store.locate(FrameRef { fold: Position(1), ..*at }), (folder, 0));
    Ok(())
}

/// A crash while one is written anew leaves both: the new one counts, and the one before it goes. Where the new one is
/// damaged the one before it counts still.
#[test]
fn of_two_generations_the_later_whole_one_counts() -> Result<(), StoreError> {
    for new_is_damaged in [false, true] {
        let dir = temporary();
        let lines = make(dir.path())?;
        let path = files(dir.path(), "folds").remove(0);
        let before = fs::read(&path).expect("it is there");
        open(dir.path())?.leave_out(&BTreeSet::from([lines[0].1]))?;
        let new = files(dir.path(), "folds").remove(0);
        fs::write(&path, &before).expect("it can be written");
        if new_is_damaged {
            let bytes = fs::read(&new).expect("it is there");
            fs::write(&new, &bytes[1..]).expect("it can be written");
        }
        let store = open(dir.path())?;
        let gone = matches!(store.read_frame(lines[0].1), Err(StoreError::Damaged { .. }));
        assert_eq!(gone, !new_is_damaged);
        assert_eq!(store.read_frame(lines[2].1)?, FRAMES[2]);
        assert_eq!((path.exists(), new.exists()), (new_is_damaged, true));
    }
    Ok(())
}

/// More files than are kept open at once.
#[test]
fn frames_of_many_files_are_read() -> Result<(), StoreError> {
    let dir = temporary();
    let store = open(dir.path())?;
    let mut all = Vec::new();
    for number in 1..=300 {
        commit(&store, &[record("pay", number, 0)])?;
        let mut fold = store.begin_fold(Position(number))?;
        all.push((fold.put(line("pay", 1, ""), &number.to_le_bytes())?, number));
        fold.finish()?;
        store.trim(Position(number))?;
    }
    let back_and_forth = all.iter().chain(all.iter().rev()).chain(&all[20..40]);
    for (at, number) in back_and_forth {
        assert_eq!(store.read_frame(*at)?, number.to_le_bytes()[..]);
    }
    Ok(())
}

/// A directory whose checksum is right, and which says of a frame that it ends beyond all frames.
#[test]
fn a_directory_that_names_a_frame_outside_is_damage() -> Result<(), StoreError> {
    let dir = temporary();
    make(dir.path())?;
    let path = files(dir.path(), "folds").remove(0);
    let whole = fs::read(&path).expect("it is there");
    let seal = Seal::read_at(&*RealDisk.open(&path, Open::Read).expect("it is there"), &path, 0)?;
    let [first, second] = seal.directories.map(|at| at as usize);
    // Its last line: what stands before the summary, and the summary.
    let end = first + seal.directory_bytes as usize;
    let length_at = end - "summary".len() - 12;
    for more in [0, 1, 15, 16, 31, 32, 1_000] {
        let mut bytes = whole.clone();
        let length = FRAMES[2].len() as u32 + more;
        assert_eq!(bytes[length_at..length_at + 4], (FRAMES[2].len() as u32).to_le_bytes());
        for at in [length_at, length_at + second - first] {
            bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        }
        let seal = Seal { directory_crc: crc32fast::hash(&bytes[first..end]), ..seal };
        let last = bytes.len() - 128;
        bytes[..128].copy_from_slice(&seal.encode());
        bytes[last..].copy_from_slice(&seal.encode());
        fs::write(&path, bytes).expect("it can be written");
        match open(dir.path()) {
            Ok(_) => assert_eq!(more, 0),
            Err(StoreError::Damaged { file, what, .. }) => {
                assert!(more > 0 && file == path.display().to_string());
                assert_eq!(what, "its directory names a frame outside it");
            }
            Err(error) => panic!("{error}"),
        }
    }
    Ok(())
}
