//! The newest fold files, where they cannot be read: of what the log still holds nothing is lost; of anything else
//! nothing is believed.

use crate::fixture::{commit, copy_dir, files, line, open, read_log, record, temporary};
use milepost::disk::{Disk, Open, RealDisk};
use milepost::store::embedded::folds::file::{SEAL_BYTES, Seal};
use milepost::store::embedded::log::record::HEAD_BYTES;
use milepost::store::embedded::log::segment::{HEADER_BYTES, Segment, segment_number};
use milepost::store::embedded::{EmbeddedStore, format};
use milepost::store::{Anew, FrameRef, Position, Store, StoreError};
use std::fs;
use std::path::{Path, PathBuf};

const FOLDS: u64 = 4;

/// Two records a fold, and one that none holds, of so many bytes each.
fn make(dir: &Path, bytes: usize) -> Result<EmbeddedStore, StoreError> {
    let store = open(dir)?;
    for number in 1..=FOLDS {
        commit(&store, &[record("pay", 2 * number - 1, bytes), record("pay", 2 * number, bytes)])?;
        fold(&store, 2 * number)?;
        store.trim(Position(2 * number))?;
    }
    commit(&store, &[record("pay", 2 * FOLDS + 1, bytes)])?;
    Ok(store)
}

fn fold(store: &dyn Store, through: u64) -> Result<FrameRef, StoreError> {
    let mut fold = store.begin_fold(Position(through))?;
    let at = fold.put(line("pay", 1, &format!("through {through}")), &[through as u8; 50])?;
    fold.finish().map(|()| at)
}

fn reach(store: &dyn Store) -> Result<u64, StoreError> {
    store.read_lines(&mut |_, _| {}).map(|reach| reach.0)
}

fn unreadable(path: &Path) {
    let mut bytes = fs::read(path).expect("it is there");
    let last = bytes.len() - SEAL_BYTES;
    (bytes[0], bytes[last]) = (0, 0);
    fs::write(path, bytes).expect("it can be written");
}

fn fold_files(dir: &Path) -> Vec<PathBuf> {
    files(dir, "folds")
}

fn refused(dir: &Path) -> String {
    match open(dir) {
        Ok(_) => panic!("it is opened"),
        Err(error @ StoreError::Damaged { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
    }
}

/// The first position that segments still hold.
fn first_in_log(dir: &Path) -> u64 {
    let store = format::read(&RealDisk, dir).expect("a format").expect("a store");
    let numbers = files(dir, "log").into_iter().filter_map(|path| segment_number(path.file_name()?.to_str()?));
    let first =
        |number| Segment::open(&RealDisk, &dir.join("log"), number, store).expect("whole").header.first_position.0;
    numbers.map(first).min().expect("a segment")
}

/// However many of the newest files, unreadable or missing: where the log holds what they did the store is opened, its
/// log gives that again, and it is folded anew; where it does not, it is refused.
#[test]
fn what_the_log_holds_of_them_is_folded_anew() -> Result<(), StoreError> {
    let (mut opened, mut denied) = (0, 0);
    for bytes in [10, 1_500, 5_000] {
        let whole = temporary();
        make(whole.path(), bytes)?;
        for (count, gone) in (1..=FOLDS).flat_map(|count| [(count, false), (count, true)]) {
            let dir = temporary();
            copy_dir(whole.path(), dir.path());
            let newest = fold_files(dir.path()).split_off((FOLDS - count) as usize);
            let before = 2 * (FOLDS - count);
            let expected: Vec<_> = (before + 1..=2 * FOLDS + 1).map(|n| (n, record("pay", n, bytes))).collect();
            newest
                .iter()
                .for_each(|path| if gone { fs::remove_file(path).expect("removed") } else { unreadable(path) });
            if first_in_log(whole.path()) > before + 1 {
                let error = refused(dir.path());
                assert!(gone || error.contains(".fold"), "{bytes} {count}: {error}");
                denied += 1;
                continue;
            }
            let store = open(dir.path())?;
            assert_eq!((reach(&store)?, read_log(&store, before)?), (before, expected.clone()), "{bytes} {count}");
            assert!(gone || newest.iter().all(|path| !path.exists()), "they may get their names again");
            fold(&store, 2 * FOLDS)?;
            drop(store);
            let store = open(dir.path())?;
            let rest = &expected[expected.len() - 1..];
            assert_eq!((reach(&store)?, read_log(&store, 2 * FOLDS)?), (2 * FOLDS, rest.to_vec()));
            opened += 1;
        }
    }
    assert!(opened >= 8 && denied >= 4, "{opened} {denied}");
    Ok(())
}

/// A record that cannot be read among them: the fold file is what is refused.
#[test]
fn damage_in_the_log_is_not_folded_instead() -> Result<(), StoreError> {
    let dir = temporary();
    make(dir.path(), 10)?;
    unreadable(&fold_files(dir.path())[3]);
    for segment in files(dir.path(), "log") {
        let mut bytes = fs::read(&segment).expect("it is there");
        // The body of every record but the first.
        let text = b"series of ";
        let heads: Vec<usize> =
            bytes.windows(text.len()).enumerate().filter(|(_, w)| w == text).map(|(i, _)| i).collect();
        assert!(heads.iter().all(|head| *head > HEADER_BYTES + HEAD_BYTES));
        for head in heads.iter().filter(|head| bytes[**head + text.len()] == b'8').copied().collect::<Vec<_>>() {
            bytes[head + text.len() + 1] ^= 1;
        }
        fs::write(&segment, bytes).expect("it can be written");
    }
    let error = refused(dir.path());
    assert!(error.contains("00000000000000000008.g0.fold"), "{error}");
    Ok(())
}

/// What was left out of older files because of a newer one is nowhere else: without that one nothing is believed.
#[test]
fn what_older_files_were_written_anew_for_must_be_there() -> Result<(), StoreError> {
    for gone in [false, true] {
        let dir = temporary();
        let store = make(dir.path(), 10)?;
        store.write_anew(Position(2), &mut |_, _| Ok(Anew::Gone))?;
        drop(store);
        let newest = fold_files(dir.path()).pop().expect("there are some");
        if gone {
            fs::remove_file(&newest).expect("removed")
        } else {
            unreadable(&newest)
        }
        let error = refused(dir.path());
        let named = if gone { "there was one through 8" } else { "00000000000000000008.g0.fold" };
        assert!(error.contains(named), "{error}");
    }
    Ok(())
}

/// The first files that were written anew do not say what for: beside one of them nothing goes on without the newest.
#[test]
fn a_file_that_does_not_say_what_it_was_written_anew_for_is_not_gone_behind() -> Result<(), StoreError> {
    let dir = temporary();
    // An opening would let go of the log.
    let store = make(dir.path(), 10)?;
    store.write_anew(Position(2), &mut |_, _| Ok(Anew::Gone))?;
    drop(store);
    let files = fold_files(dir.path());
    let mut bytes = fs::read(&files[0]).expect("it is there");
    let file = RealDisk.open(&files[0], Open::Read).expect("it is there");
    let seal = Seal { knows: Position(0), ..Seal::read(&*file, &files[0])? }.encode();
    let last = bytes.len() - SEAL_BYTES;
    for at in [0, last] {
        bytes[at..at + SEAL_BYTES].copy_from_slice(&seal);
    }
    fs::write(&files[0], bytes).expect("it can be written");
    unreadable(&files[3]);
    let error = refused(dir.path());
    assert!(error.contains("00000000000000000008.g0.fold"), "{error}");
    Ok(())
}
