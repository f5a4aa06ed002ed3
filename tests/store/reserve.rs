//! The reserve: whoever meets a full disk while folding has it, and nobody writes until it is there again.

use crate::fixture::{SMALL, commit, line, read_log, record, temporary};
use milepost::disk::{Disk, DiskFile, Open, RealDisk};
use milepost::random::SeededRandom;
use milepost::store::embedded::{EmbeddedStore, StoreSettings};
use milepost::store::{Position, Store, StoreError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The machine's files, but for so many that there is no room for: those with a word in their path.
#[derive(Clone, Default)]
struct Full(Arc<Mutex<(&'static str, u32)>>);

impl Full {
    fn refuse(&self, word: &'static str, times: u32) {
        *self.0.lock().expect("nothing panics while it holds it") = (word, times);
    }
}

impl Disk for Full {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut refused = self.0.lock().expect("nothing panics while it holds it");
        if how == Open::Create && refused.1 > 0 && path.to_string_lossy().contains(refused.0) {
            refused.1 -= 1;
            return Err(ErrorKind::StorageFull.into());
        }
        RealDisk.open(path, how)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        RealDisk.list(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn boot_id(&self) -> io::Result<String> {
        RealDisk.boot_id()
    }
}

fn open(disk: &Full, dir: &Path, settings: StoreSettings) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(dir, Arc::new(disk.clone()), Arc::new(SeededRandom::new(5)), settings)
}

fn length(dir: &Path) -> Option<u64> {
    std::fs::metadata(dir.join("RESERVE")).ok().map(|reserve| reserve.len())
}

fn is_full<T>(done: &Result<T, StoreError>, word: &str) -> bool {
    matches!(done, Err(StoreError::Full { file }) if file.contains(word))
}

#[test]
fn a_fold_on_a_full_disk_has_the_reserve_and_the_next_write_keeps_it_again() {
    let (real, disk) = (temporary(), Full::default());
    let dir = real.path();
    let store = open(&disk, dir, SMALL).expect("it is new");
    assert_eq!(length(dir), Some(SMALL.reserve_bytes), "made at opening");
    commit(&store, &[record("pay", 1, 100)]).expect("there is room");
    disk.refuse(".fold", 1);
    assert!(is_full(&store.begin_fold(Position(1)), ".fold"));
    assert_eq!(length(dir), None, "given up");
    let mut fold = store.begin_fold(Position(1)).expect("it may begin again");
    fold.put(line("pay", 1, "summary"), &[7; 100]).expect("there is room");
    fold.finish().expect("there is room");
    store.trim(Position(1)).expect("the disk works");

    // There is no room for it yet: nothing is written, and it is not tried again at once.
    disk.refuse("RESERVE", 1);
    assert!(is_full(&commit(&store, &[record("pay", 2, 100)]), "RESERVE"));
    assert_eq!(length(dir), None);
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let written = commit(&store, &[record("pay", 2, 100)]);
        if written.is_ok() {
            break;
        }
        assert!(is_full(&written, "RESERVE") && Instant::now() < until, "writing does not resume: {written:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(length(dir), Some(SMALL.reserve_bytes), "kept before anything was written");
    assert_eq!(read_log(&store, 1).expect("it is whole"), [(2, record("pay", 2, 100))]);
}

#[test]
fn an_opening_on_a_full_disk_takes_the_reserve_or_the_least_there_is() {
    for fulls in 1..=3 {
        let (real, disk) = (temporary(), Full::default());
        let dir = real.path();
        let store = open(&disk, dir, SMALL).expect("it is new");
        commit(&store, &[record("pay", 1, 100)]).expect("there is room");
        drop(store);
        disk.refuse("opening-", fulls);
        let opened = open(&disk, dir, SMALL);
        if fulls == 3 {
            assert!(is_full(&opened, "opening-"), "not a byte of room");
            continue;
        }
        let store = opened.expect("it opens");
        assert_eq!(read_log(&store, 0).expect("it is whole"), [(1, record("pay", 1, 100))]);
        assert_eq!(length(dir), Some(SMALL.reserve_bytes), "there was room at the end");
    }
}

#[test]
fn another_size_is_made_anew_and_none_is_none() {
    let (real, disk) = (temporary(), Full::default());
    let dir = real.path();
    for reserve_bytes in [4_096, 10_000, 0, 5_000] {
        let store = open(&disk, dir, StoreSettings { reserve_bytes, ..SMALL }).expect("it opens");
        assert_eq!(length(dir), (reserve_bytes > 0).then_some(reserve_bytes));
        let number = read_log(&store, 0).expect("it is whole").len() as u64 + 1;
        commit(&store, &[record("pay", number, 100)]).expect("there is room");
    }
}
