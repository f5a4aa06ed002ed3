//! Looking at an open store: every byte of its files but those that reading checks, and every damage named.

use crate::fixture::{commit, files, line, open, record, temporary};
use milepost::disk::{Disk, Open, RealDisk};
use milepost::store::embedded::EmbeddedStore;
use milepost::store::embedded::folds::file::Seal;
use milepost::store::embedded::log::record::{HEAD_BYTES, MARK_BYTES};
use milepost::store::embedded::log::segment::HEADER_BYTES;
use milepost::store::embedded::look;
use milepost::store::{Position, Store, StoreError};
use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Segments full and begun, two folds, what is written after them.
fn make(dir: &Path) -> Result<EmbeddedStore, StoreError> {
    let store = open(dir)?;
    for number in 1..=3 {
        commit(&store, &[record("pay", number, 3_000)])?;
    }
    for (through, frames) in [(1, [&b"zero"[..], b"", b"two"]), (2, [b"three", b"4", b""])] {
        let mut fold = store.begin_fold(Position(through))?;
        for (i, frame) in frames.iter().enumerate() {
            fold.put(line(["pay", "notify"][i % 2], i as u8, "summary"), frame)?;
        }
        fold.finish()?;
    }
    commit(&store, &[record("pay", 4, 100), record("pay", 5, 100)])?;
    commit(&store, &[record("notify", 6, 100)])?;
    Ok(store)
}

/// The bytes looked at, and what is damaged: file and offset.
fn look(store: &dyn Store) -> (u64, Vec<(PathBuf, u64)>) {
    let (mut looked_at, mut found) = (0, Vec::new());
    store.verify(&mut |bytes, damage| {
        looked_at += bytes;
        match damage {
            Some(StoreError::Damaged { file, offset, .. }) => found.push((PathBuf::from(file), offset)),
            Some(error) => panic!("{error}"),
            None => {}
        }
        ControlFlow::Continue(())
    });
    (looked_at, found)
}

/// Where a segment's records end: behind them stands one mark.
fn end_of(segment: &[u8]) -> usize {
    let used = segment.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    used.next_multiple_of(64) - MARK_BYTES
}

/// The zeros behind each record of a segment, up to the next multiple of 64.
fn padding(segment: &[u8], end: usize) -> BTreeSet<usize> {
    let length = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().expect("four bytes")) as usize;
    let (mut at, mut all) = (HEADER_BYTES, BTreeSet::new());
    while at < end {
        let content = at + HEAD_BYTES + segment[at + 7] as usize + length(at + 68) + length(at + 72);
        at = content.next_multiple_of(64);
        all.extend(content..at);
    }
    all
}

#[test]
fn every_byte_of_a_whole_store_is_looked_at() -> Result<(), StoreError> {
    let dir = temporary();
    let store = make(dir.path())?;
    let folds: u64 = files(dir.path(), "folds").iter().map(|path| fs::metadata(path).expect("it is there").len()).sum();
    let frames = ["zero", "two", "three", "4"].iter().map(|frame| frame.len() as u64).sum::<u64>();
    let segments = files(dir.path(), "log");
    assert!(segments.len() >= 2);
    let log: usize = segments.iter().map(|path| end_of(&fs::read(path).expect("it is there"))).sum();
    assert_eq!(look(&store), (folds - frames + log as u64, vec![]));
    Ok(())
}

/// One bit in every byte that it promises to look at, found in its file, near its place.
#[test]
fn no_flipped_bit_is_overlooked() -> Result<(), StoreError> {
    let dir = temporary();
    let store = make(dir.path())?;
    let mut lines = Vec::new();
    store.read_lines(&mut |_, at| lines.push(at))?;
    let frames: BTreeSet<_> = lines
        .iter()
        .flat_map(|at| {
            let ((file, offset), bytes) = (store.locate(*at), store.read_frame(*at).expect("it is whole").len() as u64);
            (offset..offset + bytes).map(move |byte| (PathBuf::from(&file), byte))
        })
        .collect();
    let segments = files(dir.path(), "log");
    for path in files(dir.path(), "folds").iter().chain(&segments) {
        let whole = fs::read(path).expect("it is there");
        let end = match segments.contains(path) {
            true => end_of(&whole),
            false => whole.len(),
        };
        let unchecked = if segments.contains(path) { padding(&whole, end) } else { BTreeSet::new() };
        let is_checked = |byte: &usize| !unchecked.contains(byte) && !frames.contains(&(path.clone(), *byte as u64));
        for byte in (0..end).filter(is_checked) {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << (byte % 8);
            fs::write(path, &flipped).expect("it can be written");
            let (_, found) = look(&store);
            assert!(!found.is_empty(), "byte {byte} of {path:?}");
            assert!(found.iter().all(|(file, offset)| file == path && *offset <= byte as u64), "{found:?} for {byte}");
        }
        fs::write(path, &whole).expect("it can be written");
    }
    assert_eq!(look(&store).1, []);
    Ok(())
}

/// Each damage is told, not the first alone.
#[test]
fn several_damages_are_all_told() -> Result<(), StoreError> {
    let dir = temporary();
    let store = make(dir.path())?;
    let (folds, segments) = (files(dir.path(), "folds"), files(dir.path(), "log"));
    let mut expected = BTreeSet::new();
    for path in &folds {
        let mut bytes = fs::read(path).expect("it is there");
        let last = bytes.len() as u64 - 128;
        // The last seal, and the head of the first frame.
        (bytes[last as usize + 20], bytes[128]) = (bytes[last as usize + 20] ^ 1, 7);
        fs::write(path, bytes).expect("it can be written");
        expected.extend([(path.clone(), last), (path.clone(), 128)]);
    }
    for path in &segments {
        let mut bytes = fs::read(path).expect("it is there");
        bytes[20] ^= 1;
        fs::write(path, bytes).expect("it can be written");
        expected.insert((path.clone(), 0));
    }
    assert_eq!(look(&store).1.into_iter().collect::<BTreeSet<_>>(), expected);
    // It ends where it is told to.
    let mut told = 0;
    store.verify(&mut |_, damage| {
        told += u32::from(damage.is_some());
        if damage.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(told, 1);
    Ok(())
}

/// A file of another length, cut or longer, is damage, and is said to be so.
#[test]
fn a_file_of_another_length_is_damaged() -> Result<(), StoreError> {
    let dir = temporary();
    let store = make(dir.path())?;
    for path in files(dir.path(), "folds") {
        let whole = fs::read(&path).expect("it is there");
        for other in [[&whole[..], &[0]].concat(), whole[..whole.len() - 1].to_vec(), whole[..130].to_vec(), vec![]] {
            fs::write(&path, &other).expect("it can be written");
            let mut found = Vec::new();
            store.verify(&mut |_, damage| {
                found.extend(damage);
                ControlFlow::Continue(())
            });
            assert!(!found.is_empty() && found.iter().all(|error| error.to_string().contains(".fold")), "{found:?}");
        }
        fs::write(&path, &whole).expect("it can be written");
    }
    assert_eq!(look(&store).1, []);
    Ok(())
}

/// A directory that nobody serves is looked at file by file, frames' bytes too.
#[test]
fn frames_are_looked_at_in_a_directory_that_is_closed() -> Result<(), StoreError> {
    let dir = temporary();
    let store = make(dir.path())?;
    let mut fold = store.begin_fold(Position(3))?;
    let large = fold.put(line("pay", 1, ""), &vec![7; (5 << 20) / 2])?;
    let small = fold.put(line("pay", 1, ""), b"behind it")?;
    fold.finish()?;
    let places = [large, small].map(|at| store.locate(at));
    drop(store);
    let look = || {
        let (mut looked_at, mut found) = (0, Vec::new());
        let _ = look::look(&RealDisk, dir.path(), &mut |bytes, damage| {
            looked_at += bytes;
            found.extend(damage.map(|damage| damage.to_string()));
            ControlFlow::Continue(())
        });
        (looked_at, found)
    };
    let length = |path: &PathBuf| fs::metadata(path).expect("it is there").len();
    let folds: u64 = files(dir.path(), "folds").iter().map(length).sum();
    // Of the log as much as the segment after it says, and the last one whole.
    let (looked_at, found) = look();
    assert_eq!(found, [""; 0]);
    let log: u64 = files(dir.path(), "log").iter().map(length).sum();
    assert!(folds < looked_at && looked_at <= folds + log, "{folds} {looked_at} {log}");
    let mut damages = vec![(&places[1], 0), (&places[1], 8)];
    damages.extend([0, (1 << 20) - 1, 1 << 20, (2 << 20) - 1, 2 << 20, (5 << 19) - 1].map(|byte| (&places[0], byte)));
    for ((path, offset), byte) in damages {
        let mut bytes = fs::read(path).expect("it is there");
        bytes[*offset as usize + byte] ^= 1;
        fs::write(path, &bytes).expect("it can be written");
        let (_, found) = look();
        assert!(found.len() == 1 && found[0].contains("checksum of frame") && found[0].contains(path), "{found:?}");
        bytes[*offset as usize + byte] ^= 1;
        fs::write(path, &bytes).expect("it can be written");
    }
    Ok(())
}

/// Bytes between its parts that nothing names: they would be a place for what nobody sees.
#[test]
fn a_fold_file_has_nothing_beside_its_parts() -> Result<(), StoreError> {
    let dir = temporary();
    let store = make(dir.path())?;
    let path = files(dir.path(), "folds").remove(0);
    let whole = fs::read(&path).expect("it is there");
    let seal = Seal::read_at(&*RealDisk.open(&path, Open::Read).expect("it is there"), &path, 0)?;
    let [first, second] = seal.directories.map(|at| at as usize);
    let between = first + seal.directory_bytes as usize;
    let places = [(first, [16, 16]), (between, [0, 16]), (second, [0, 16]), (whole.len() - 128, [0, 0])];
    for (at, directories) in places {
        let mut other = Seal { bytes: seal.bytes + 16, ..seal };
        (0..2).for_each(|copy| other.directories[copy] += directories[copy]);
        let mut bytes = [&whole[..at], &[0; 16], &whole[at..]].concat();
        let end = bytes.len();
        bytes[..128].copy_from_slice(&other.encode());
        bytes[end - 128..].copy_from_slice(&other.encode());
        fs::write(&path, &bytes).expect("it can be written");
        let mut found = Vec::new();
        store.verify(&mut |_, damage| {
            found.extend(damage.map(|damage| damage.to_string()));
            ControlFlow::Continue(())
        });
        assert!(found.len() == 1 && found[0].contains("its parts do not fill it"), "{at}: {found:?}");
    }
    for at in [between, second - 1] {
        let mut bytes = whole.clone();
        bytes[at] = 1;
        fs::write(&path, &bytes).expect("it can be written");
        let mut found = Vec::new();
        store.verify(&mut |_, damage| {
            found.extend(damage.map(|damage| damage.to_string()));
            ControlFlow::Continue(())
        });
        assert!(found.len() == 1 && found[0].contains("not only zeros"), "{at}: {found:?}");
    }
    Ok(())
}

/// A whole file that is another's, under this one's name.
#[test]
fn a_file_that_covers_other_records_is_told() -> Result<(), StoreError> {
    let dir = temporary();
    let store = make(dir.path())?;
    let folds = files(dir.path(), "folds");
    fs::copy(&folds[1], &folds[0]).expect("it can be copied");
    let mut found = Vec::new();
    store.verify(&mut |_, damage| {
        found.extend(damage.map(|damage| damage.to_string()));
        ControlFlow::Continue(())
    });
    assert!(found.len() == 1 && found[0].contains("covers other records than its name says"), "{found:?}");
    Ok(())
}
