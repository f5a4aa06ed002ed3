//! The log's files after a crash and after damage: acknowledged records are given or missed by name, never lost
//! and never wrong.

use crate::fixture::{commit, copy_dir, files, line, open, read_log, record, temporary};
use milepost::store::embedded::log::record::{MARK_BYTES, record_bytes};
use milepost::store::{Position, Record, Store, StoreError};
use std::fs;
use std::path::Path;

type Outcome = Result<(), StoreError>;

/// Commits a group a number list, each of records of `bytes`.
fn make(dir: &Path, groups: &[&[u64]], bytes: usize) -> Result<Vec<(u64, Record)>, StoreError> {
    let store = open(dir)?;
    let mut all = Vec::new();
    for group in groups {
        let records: Vec<_> = group.iter().map(|n| record("pay", *n, bytes)).collect();
        let positions = commit(&store, &records)?;
        all.extend(positions.iter().map(|p| p.0).zip(records));
    }
    Ok(all)
}

/// Where the zeros begin that end a file.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[test]
fn many_records_roll_over_segments_and_come_back() -> Outcome {
    let dir = temporary();
    let store = open(dir.path())?;
    let mut expected = Vec::new();
    // Far more than a segment, small and large: 20,000 bytes take a segment of their own.
    for (number, bytes) in (1..=60).zip([10, 700, 5_000, 20_000, 64, 0].into_iter().cycle()) {
        commit(&store, &[record("pay", number, bytes)])?;
        expected.push((number, record("pay", number, bytes)));
    }
    assert!(files(dir.path(), "log").len() > 20);
    assert_eq!(read_log(&store, 0)?, expected);
    drop(store);
    let store = open(dir.path())?;
    assert_eq!(read_log(&store, 0)?, expected);
    assert_eq!(read_log(&store, 41)?, expected[41..]);

    let mut fold = store.begin_fold(Position(50))?;
    fold.put(line("pay", 1, ""), b"")?;
    fold.finish()?;
    let before = store.log_bytes();
    store.trim(Position(60))?;
    assert_eq!(read_log(&store, 50)?, expected[50..], "never beyond the folds");
    assert!(files(dir.path(), "log").len() < 12 && store.log_bytes() < before / 3);
    drop(store);
    let store = open(dir.path())?;
    assert_eq!(read_log(&store, 50)?, expected[50..]);
    assert_eq!(commit(&store, &[record("pay", 61, 0)])?, [Position(61)]);
    Ok(())
}

/// As if the power went while the last group was written: at every byte, what is before it is there, of it a
/// prefix, and the log goes on.
#[test]
fn a_torn_tail_is_cut_at_every_byte() -> Outcome {
    let dir = temporary();
    let all = make(dir.path(), &[&[1], &[2, 3], &[4, 5]], 150)?;
    let path = files(dir.path(), "log").pop().expect("there is a segment");
    let whole = fs::read(&path).expect("it can be read");
    // Behind the last two records stands an empty group.
    let last: usize = all[3..].iter().map(|(_, record)| record_bytes(record)).sum();
    let (end, group) = (used(&whole), used(&whole).next_multiple_of(64) - MARK_BYTES - last);
    assert!(group > last, "another group is before it");
    for cut in group..end {
        let copy = temporary();
        copy_dir(dir.path(), copy.path());
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        fs::write(copy.path().join("log").join(path.file_name().expect("it has a name")), torn).expect("it can be");
        let store = open(copy.path())?;
        let log = read_log(&store, 0)?;
        assert!(log.len() >= 3 && log == all[..log.len()], "cut at {cut}");
        assert!(cut < group + last || log.len() == 5, "cut at {cut}");
        let next = log.len() as u64 + 1;
        assert_eq!(commit(&store, &[record("pay", 9, 20)])?, [Position(next)]);
        drop(store);
        let again = read_log(&open(copy.path())?, 0)?;
        assert_eq!(again[..log.len()], log[..]);
        assert_eq!(again[log.len()..], [(next, record("pay", 9, 20))]);
    }
    Ok(())
}

/// One bit in every byte of every segment: opening says Damaged, or every acknowledged record is there.
#[test]
fn no_flipped_bit_loses_or_changes_a_record() -> Outcome {
    let dir = temporary();
    let all = make(dir.path(), &[&[1], &[2, 3], &[4]], 150)?;
    let store = open(dir.path())?;
    drop(store);
    let all = [all, make_more(dir.path())?].concat();
    let mut damaged = 0;
    for path in files(dir.path(), "log") {
        let whole = fs::read(&path).expect("it can be read");
        for byte in 0..whole.len().min(used(&whole) + 130) {
            let copy = temporary();
            fs::create_dir_all(copy.path().join("index")).expect("it can be made");
            ["log", "folds"].iter().for_each(|name| copy_dir(&dir.path().join(name), &copy.path().join(name)));
            fs::copy(dir.path().join("FORMAT"), copy.path().join("FORMAT")).expect("it can be copied");
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << (byte % 8);
            fs::write(copy.path().join("log").join(path.file_name().expect("a name")), flipped).expect("it can be");
            match open(copy.path()) {
                Ok(store) => assert_eq!(read_log(&store, 0)?, all, "byte {byte} of {path:?}"),
                Err(StoreError::Damaged { .. }) => damaged += 1,
                Err(error) => panic!("byte {byte} of {path:?}: {error}"),
            }
        }
    }
    assert!(damaged > 7 * 250, "most bytes are records: {damaged}");
    Ok(())
}

fn make_more(dir: &Path) -> Result<Vec<(u64, Record)>, StoreError> {
    let store = open(dir)?;
    let more: Vec<_> = (5..=7).map(|n| (n, record("notify", n, 150))).collect();
    for (_, record) in &more {
        commit(&store, std::slice::from_ref(record))?;
    }
    Ok(more)
}

/// Damage before what proves it names the file, the place and the record.
#[test]
fn damage_has_a_name() -> Outcome {
    let dir = temporary();
    make(dir.path(), &[&[1], &[2], &[3]], 150)?;
    let path = files(dir.path(), "log").pop().expect("there is a segment");
    let mut bytes = fs::read(&path).expect("it can be read");
    let body = &record("pay", 2, 150).body;
    let at = bytes.windows(body.len()).position(|window| window == &body[..]).expect("it is there");
    bytes[at + 70] ^= 1;
    fs::write(&path, bytes).expect("it can be written");
    let Err(StoreError::Damaged { file, offset, what }) = open(dir.path()) else { panic!("record 2 is damaged") };
    assert!(file == path.display().to_string() && offset > 0 && (offset as usize) < at, "{file} {offset}");
    assert_eq!(what, "the checksum of the body of record 2 of component pay differs");
    Ok(())
}

/// Bytes that a client chose do not pass for records, even where they are a segment's own.
#[test]
fn a_body_cannot_pass_for_a_record() -> Outcome {
    let dir = temporary();
    make(dir.path(), &[&[1]], 150)?;
    let segment = fs::read(files(dir.path(), "log").pop().expect("there is one")).expect("it can be read");
    let store = open(dir.path())?;
    let mut evil = record("pay", 2, 0);
    evil.body = segment[..used(&segment)].to_vec().into();
    commit(&store, std::slice::from_ref(&evil))?;
    drop(store);
    assert_eq!(read_log(&open(dir.path())?, 0)?, [(1, record("pay", 1, 150)), (2, evil)]);
    Ok(())
}
