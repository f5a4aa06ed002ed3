//! The log's files after a crash and after damage: acknowledged records are given or missed by name, never lost
//! and never wrong.

use crate::fixture::{commit, copy_dir, files, line, open, read_log, read_logged, record, temporary};
use milepost::disk::{Disk, Open, RealDisk};
use milepost::store::embedded::log::record::{HEAD_BYTES, Kind, MARK_BYTES, record_bytes};
use milepost::store::embedded::log::recovery::{Stop, walk};
use milepost::store::embedded::log::segment::Header;
use milepost::store::{Logged, Position, Record, Store, StoreError};
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

/// One bit in every byte of every segment: opening says Damaged, or every acknowledged record is there, but for one
/// whose body is lost, and is said to be.
#[test]
fn no_flipped_bit_loses_or_changes_a_record() -> Outcome {
    let dir = temporary();
    let all = make(dir.path(), &[&[1], &[2, 3], &[4]], 150)?;
    let store = open(dir.path())?;
    drop(store);
    let all = [all, make_more(dir.path())?].concat();
    let (mut damaged, mut lost) = (0, 0);
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
                Ok(store) => lost += is_all_but_a_lost_one(read_logged(&store, 0)?, &all, byte, &path),
                Err(StoreError::Damaged { .. }) => damaged += 1,
                Err(error) => panic!("byte {byte} of {path:?}: {error}"),
            }
        }
    }
    assert!(lost > 5 * 150 && damaged > 5 * 64, "bodies are lost, heads and lists are damage: {lost}, {damaged}");
    Ok(())
}

/// 1 where a record is lost, whose bytes are around `byte` of the segment.
fn is_all_but_a_lost_one(found: Vec<(u64, Logged)>, all: &[(u64, Record)], byte: usize, path: &Path) -> u32 {
    assert_eq!(found.len(), all.len(), "byte {byte} of {path:?}");
    let mut lost = 0;
    for ((position, logged), (expected, record)) in found.into_iter().zip(all) {
        assert_eq!(position, *expected);
        match logged {
            Logged::Whole(found) => assert_eq!(found, *record, "byte {byte} of {path:?}"),
            Logged::Lost(found, damage) => {
                assert_eq!((&found.series, found.revision, found.body.len()), (&record.series, record.revision, 0));
                let range = damage.offset as usize..damage.offset as usize + record_bytes(record);
                assert!(range.contains(&byte) && damage.file.ends_with(".log"), "{damage:?} for byte {byte}");
                lost += 1;
            }
            Logged::GivenUp => panic!("nothing was given up"),
        }
    }
    assert!(lost <= 1);
    lost
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
    let store = open(dir.path())?;
    let Err(StoreError::Damaged { file, offset, what, .. }) = read_log(&store, 0) else { panic!("record 2 is lost") };
    assert!(file == path.display().to_string() && offset > 0 && (offset as usize) < at, "{file} {offset}");
    assert_eq!(what, "the checksum of the body of record 2 of component pay differs");
    drop(store);

    // Of its list of series nobody knows whom it concerns: nothing is served.
    let mut bytes = fs::read(&path).expect("it can be read");
    let at = bytes.windows(11).position(|window| window == b"series of 2").expect("it is there");
    bytes[at] ^= 1;
    fs::write(&path, bytes).expect("it can be written");
    let Err(StoreError::Damaged { file, what, .. }) = open(dir.path()) else { panic!("its list is damaged") };
    assert_eq!(file, path.display().to_string());
    assert_eq!(what, "the checksum of the list of series of record 2 of component pay differs");
    Ok(())
}

/// A record of a later version in the last group is not cut like a torn one.
#[test]
fn a_later_version_is_not_a_torn_tail() -> Outcome {
    let dir = temporary();
    make(dir.path(), &[&[1], &[2]], 10)?;
    let path = files(dir.path(), "log").pop().expect("there is a segment");
    let mut bytes = fs::read(&path).expect("it can be read");
    let salt = u64::from_le_bytes(bytes[36..44].try_into().expect("eight bytes"));
    let record = used(&bytes).next_multiple_of(64) - MARK_BYTES - record_bytes(&record("pay", 2, 10));
    bytes[record + 4] = 9;
    let mut hasher = crc32fast::Hasher::new_with_initial(salt as u32);
    hasher.update(&bytes[record..record + HEAD_BYTES - 4]);
    hasher.update(b"pay");
    bytes[record + HEAD_BYTES - 4..record + HEAD_BYTES].copy_from_slice(&hasher.finalize().to_le_bytes());
    fs::write(&path, bytes).expect("it can be written");
    let Err(StoreError::Format { file, found, known }) = open(dir.path()) else { panic!("it is too new") };
    assert_eq!((file, found.as_str(), known), (path.display().to_string(), "9", 1));
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

/// The same while the store is open: what is read later is not believed either.
#[test]
fn no_flipped_bit_is_believed_while_the_log_is_open() -> Outcome {
    let dir = temporary();
    let all = make(dir.path(), &[&[1], &[2, 3], &[4]], 150)?;
    let all = [all, make_more(dir.path())?].concat();
    let store = open(dir.path())?;
    let (mut damaged, mut lost) = (0, 0);
    for path in files(dir.path(), "log") {
        let whole = fs::read(&path).expect("it can be read");
        for byte in 128..used(&whole) {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << (byte % 8);
            fs::write(&path, flipped).expect("it can be written");
            match read_logged(&store, 0) {
                Ok(found) => lost += is_all_but_a_lost_one(found, &all, byte, &path),
                Err(StoreError::Damaged { file, offset, .. }) => {
                    assert!(file == path.display().to_string() && offset as usize <= byte, "{file} {offset}, {byte}");
                    damaged += 1;
                }
                Err(error) => panic!("byte {byte} of {path:?}: {error}"),
            }
        }
        fs::write(&path, whole).expect("it can be written");
    }
    assert!(lost == 7 * 150 && damaged > 7 * 92, "{lost}, {damaged}");
    Ok(())
}

/// Whatever it was left for, a segment ends with a mark: where the next group would begin, and which one is next.
#[test]
fn a_segment_that_is_left_names_the_next_one() -> Outcome {
    let dir = temporary();
    for number in 1..=9 {
        // Full ones, ones with a last group that is copied, and ones with nothing behind it.
        let store = open(dir.path())?;
        commit(&store, &[record("pay", 3 * number - 2, 3_000), record("pay", 3 * number - 1, 10)])?;
        commit(&store, &[record("pay", 3 * number, if number % 2 == 0 { 9_000 } else { 10 })])?;
    }
    let paths = files(dir.path(), "log");
    let mut next = None;
    for path in paths.iter().rev() {
        let bytes = fs::read(path).expect("it can be read");
        let header = Header::read(&*RealDisk.open(path, Open::Read).expect("it is there"), path)?;
        let walk = walk(&bytes, &header, &mut |_| {});
        if let Some(next) = next {
            let Stop::Mark(kind, place) = walk.stop else { panic!("{path:?} ends without a mark") };
            // One that held nothing was replaced: then a later one is next.
            assert!(kind == Kind::Next && header.number < place.position && place.position <= next);
            assert_eq!((place.group, place.group_start), (walk.group + 1, walk.offset));
        }
        next = Some(header.number);
    }
    assert!(paths.len() > 9, "{paths:?}");
    Ok(())
}
