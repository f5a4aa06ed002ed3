//! Failing disks, killed processes and power cuts at random moments: what was acknowledged is there, what was
//! refused is not, and nothing is wrong.

use crate::fixture::{SMALL, commit, line, read_log, record, temporary};
use crate::sim_disk::{Counted, Fault, SimDisk};
use milepost::random::SeededRandom;
use milepost::store::embedded::EmbeddedStore;
use milepost::store::{FrameRef, Position, Record, Store, StoreError};
use std::path::Path;
use std::sync::Arc;

/// What must be there.
#[derive(Default)]
struct Expected {
    /// Acknowledged, from position 1 on.
    log: Vec<Record>,
    /// Neither acknowledged nor refused: a first part of it may be there.
    unknown: Vec<Record>,
    folds: Vec<(FrameRef, Vec<u8>)>,
    /// A fold that failed: it may be there.
    unknown_fold: Option<(FrameRef, Vec<u8>)>,
}

struct Run<'a> {
    seed: u64,
    dir: &'a Path,
    disk: SimDisk,
    random: SeededRandom,
    expected: Expected,
    next: u64,
    faults: u32,
}

impl Run<'_> {
    fn below(&self, bound: u64) -> u64 {
        self.random.next() % bound
    }

    fn open(&self) -> Result<EmbeddedStore, StoreError> {
        let random = SeededRandom::new(self.random.next());
        EmbeddedStore::open(self.dir, Arc::new(self.disk.process(self.dir)), Arc::new(random), SMALL)
    }

    /// Opens what a crash left, sometimes with another crash in the middle, and checks it.
    fn recover(&mut self, power_cut: bool) -> EmbeddedStore {
        self.disk.unplan();
        end(&self.disk, power_cut);
        while self.below(3) == 0 {
            self.disk.plan(self.below(20), Counted::Changes, Fault::Kill);
            drop(self.open());
            self.disk.unplan();
            end(&self.disk, self.below(2) == 0);
        }
        let store = self.open().unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        self.check(&store);
        store
    }

    fn check(&mut self, store: &EmbeddedStore) {
        let seed = self.seed;
        let Expected { log, unknown, folds, unknown_fold } = &mut self.expected;
        let reach = store.read_lines(&mut |_, _| {}).expect("the folds are whole");
        if let Some(fold) = unknown_fold.take().filter(|(at, _)| at.fold == reach) {
            folds.push(fold);
        }
        assert_eq!(reach, folds.last().map_or(Position(0), |(at, _)| at.fold), "seed {seed}");
        for (at, frame) in &*folds {
            assert_eq!(store.read_frame(*at).expect("it is whole"), frame, "seed {seed}");
        }
        let found = read_log(store, reach.0).expect("the log is whole");
        let known = log.len();
        log.append(unknown);
        let there = reach.0 as usize + found.len();
        assert!((known..=log.len()).contains(&there), "seed {seed}: {there} of {known} to {}", log.len());
        log.truncate(there);
        let expected = (reach.0 + 1..).zip(log[reach.0 as usize..].iter().cloned());
        assert!(found.into_iter().eq(expected), "seed {seed}: a record is another");
    }

    fn commit(&mut self, store: &EmbeddedStore) {
        let records: Vec<_> = (0..=self.below(3))
            .map(|_| {
                self.next += 1;
                let bytes = [0, 30, 400, 3_000, 9_000][self.below(5) as usize];
                record("pay", self.next, bytes)
            })
            .collect();
        match commit(store, &records) {
            Ok(positions) => {
                assert_eq!(positions[0].0 as usize, self.expected.log.len() + 1, "seed {}", self.seed);
                self.expected.log.extend(records);
            }
            Err(StoreError::Full { .. }) => self.faults += 1,
            Err(StoreError::Poisoned { .. }) => {}
            Err(StoreError::Io { .. }) => {
                self.faults += 1;
                assert!(self.expected.unknown.is_empty(), "seed {}: written after a failure", self.seed);
                self.expected.unknown = records;
            }
            Err(error) => panic!("seed {}: {error}", self.seed),
        }
    }

    fn fold(&mut self, store: &EmbeddedStore) {
        let reach = self.expected.folds.last().map_or(0, |(at, _)| at.fold.0);
        let last = self.expected.log.len() as u64;
        if reach == last || self.expected.unknown_fold.is_some() {
            return;
        }
        let through = Position(reach + 1 + self.below(last - reach));
        let frame = vec![through.0 as u8; self.below(2_000) as usize];
        let Ok(mut fold) = store.begin_fold(through) else { return };
        let Ok(at) = fold.put(line("pay", 1, "summary"), &frame) else { return };
        match fold.finish() {
            Ok(()) => {
                self.expected.folds.push((at, frame));
                let _ = store.trim(through);
            }
            Err(_) => {
                self.faults += 1;
                self.expected.unknown_fold = Some((at, frame));
            }
        }
    }
}

/// The process ends, or the power too.
fn end(disk: &SimDisk, power_cut: bool) {
    match power_cut {
        true => disk.cut(),
        false => disk.kill(),
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// One run: steps in random order, over one directory.
fn run(seed: u64) -> u32 {
    let real = temporary();
    let dir = real.path();
    let random = SeededRandom::new(seed);
    let disk = SimDisk::new(random.next());
    let mut run = Run { seed, dir, disk, random, expected: Expected::default(), next: 0, faults: 0 };
    let mut store = run.recover(false);
    for _ in 0..30 {
        match run.below(12) {
            0 => {
                end(&run.disk, run.below(2) == 0);
                drop(store);
                store = run.recover(false);
            }
            1 => run.disk.plan(run.below(8), Counted::Changes, Fault::Kill),
            2 => run.disk.plan(run.below(8), Counted::Changes, Fault::Short(ENOSPC)),
            3 => run.disk.plan(run.below(8), Counted::Changes, Fault::Short(EIO)),
            4 | 5 => run.fold(&store),
            _ => run.commit(&store),
        }
    }
    run.disk.cut();
    drop(store);
    drop(run.recover(true));
    run.faults
}

#[test]
fn nothing_acknowledged_is_lost() {
    let faults: u32 = (0..250).map(run).sum();
    assert!(faults > 200, "the disks fail often enough to mean something: {faults}");
}

/// After a failed sync nothing is written; reads go on; a restart recovers.
#[test]
fn a_failed_sync_poisons_the_log() {
    let real = temporary();
    let disk = SimDisk::new(1);
    let open =
        || EmbeddedStore::open(real.path(), Arc::new(disk.process(real.path())), Arc::new(SeededRandom::new(5)), SMALL);
    let store = open().expect("it is new");
    commit(&store, &[record("pay", 1, 10)]).expect("the disk works");
    // The first change is the write, the second the sync.
    disk.plan(1, Counted::Changes, Fault::Fails(EIO));
    assert!(matches!(commit(&store, &[record("pay", 2, 10)]), Err(StoreError::Io { operation: "sync", .. })));
    assert!(matches!(commit(&store, &[record("pay", 3, 10)]), Err(StoreError::Poisoned { .. })));
    assert_eq!(read_log(&store, 0).expect("reads go on"), [(1, record("pay", 1, 10))]);
    drop(store);
    let store = open().expect("it recovers");
    let log = read_log(&store, 0).expect("it is whole");
    assert_eq!(log, [(1, record("pay", 1, 10)), (2, record("pay", 2, 10))], "what could be read was synced again");
    disk.cut();
    drop(store);
    assert_eq!(read_log(&open().expect("it recovers"), 0).expect("it is whole"), log, "before it was given");
}

/// Where the disk is full nothing of the group is kept, and there may be room later.
#[test]
fn a_full_disk_may_be_tried_again() {
    let real = temporary();
    let disk = SimDisk::new(2);
    let open =
        || EmbeddedStore::open(real.path(), Arc::new(disk.process(real.path())), Arc::new(SeededRandom::new(5)), SMALL);
    let mut expected = Vec::new();
    let mut refused = 0;
    let store = open().expect("it is new");
    for number in 1..=60 {
        if number % 3 == 0 {
            disk.plan(0, Counted::Changes, Fault::Short(ENOSPC));
        }
        // A large one needs a segment of its own.
        let record = record("pay", number, if number % 9 == 0 { 12_000 } else { 900 });
        match commit(&store, std::slice::from_ref(&record)) {
            Ok(_) => expected.push(record),
            Err(StoreError::Full { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 10, "{refused}");
    disk.cut();
    drop(store);
    let log = read_log(&open().expect("it recovers"), 0).expect("it is whole");
    assert!(log.into_iter().map(|(_, record)| record).eq(expected));
}

/// What was refused for want of room is gone for good, whatever of it was written, and whatever comes next.
#[test]
fn a_refused_group_never_comes_back() {
    for seed in 0..40 {
        let real = temporary();
        let disk = SimDisk::new(seed);
        let open = || {
            EmbeddedStore::open(
                real.path(),
                Arc::new(disk.process(real.path())),
                Arc::new(SeededRandom::new(seed)),
                SMALL,
            )
        };
        let store = open().expect("it is new");
        commit(&store, &[record("pay", 1, 1_000)]).expect("the disk works");
        commit(&store, &[record("pay", 2, 10)]).expect("the disk works");
        disk.plan(0, Counted::Changes, Fault::Short(ENOSPC));
        let refused: Vec<_> = (3..20).map(|number| record("pay", number, 10)).collect();
        assert!(matches!(commit(&store, &refused), Err(StoreError::Full { .. })));
        end(&disk, seed % 2 == 0);
        drop(store);
        assert_eq!(read_log(&open().expect("it recovers"), 0).expect("it is whole").len(), 2, "seed {seed}");
    }
}

/// Opens the store of a disk on which another process ended.
fn open_on(disk: &SimDisk, dir: &Path, seed: u64) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(
        dir,
        Arc::new(disk.process(dir.parent().expect("it lies in one"))),
        Arc::new(SeededRandom::new(seed)),
        SMALL,
    )
}

/// A store whose making failed anywhere, a sync of its folders too, is made anew: what the failed sync gave up is seen
/// and never there after a power cut, and no later sync says so.
#[test]
fn a_half_made_store_is_made_anew() {
    let mut failures = 0;
    for seed in 0..12 {
        for at in 0.. {
            let real = temporary();
            std::fs::create_dir(real.path().join("data")).expect("there is room");
            let (dir, disk) = (real.path().join("data"), SimDisk::new(seed << 8 | at));
            disk.plan(at, Counted::Changes, Fault::Fails(EIO));
            let made = open_on(&disk, &dir, seed);
            let failed = disk.has_failed();
            disk.unplan();
            drop(made);
            let store = open_on(&disk, &dir, seed).unwrap_or_else(|error| panic!("{at} of seed {seed}: {error}"));
            commit(&store, &[record("pay", 1, 10)]).expect("the disk works");
            disk.cut();
            drop(store);
            let store = open_on(&disk, &dir, seed).unwrap_or_else(|error| panic!("{at} of seed {seed}: {error}"));
            assert_eq!(read_log(&store, 0).expect("it is whole"), [(1, record("pay", 1, 10))], "{at} of seed {seed}");
            if !failed {
                break;
            }
            failures += 1;
        }
    }
    assert!(failures > 100, "{failures}");
}

/// A fold file whose folder could not be synced is taken back: else an opening would let go of the log because of a
/// file that the next power cut takes away.
#[test]
fn a_fold_whose_name_may_not_stay_is_taken_back() {
    for seed in 0..12 {
        for at in 0.. {
            let real = temporary();
            std::fs::create_dir(real.path().join("data")).expect("there is room");
            let (dir, disk) = (real.path().join("data"), SimDisk::new(seed << 8 | at));
            let store = open_on(&disk, &dir, seed).expect("the disk works");
            let records: Vec<Record> = (1..30).map(|number| record("pay", number, 900)).collect();
            records
                .iter()
                .for_each(|record| drop(commit(&store, std::slice::from_ref(record)).expect("the disk works")));
            let through = Position(20);
            disk.plan(at, Counted::Changes, Fault::Fails(EIO));
            let folded = store.begin_fold(through).and_then(|mut fold| {
                fold.put(line("pay", 1, "summary"), b"frame")?;
                fold.finish()
            });
            let failed = disk.has_failed();
            assert_eq!(folded.is_err(), failed);
            disk.unplan();
            disk.kill();
            drop(store);
            let store = open_on(&disk, &dir, seed).expect("it opens");
            store.trim(through).expect("the disk works");
            commit(&store, &[record("pay", 30, 10)]).expect("the disk works");
            disk.cut();
            drop(store);
            let store = open_on(&disk, &dir, seed).unwrap_or_else(|error| panic!("{at} of seed {seed}: {error}"));
            let reach = store.read_lines(&mut |_, _| {}).expect("the folds are whole");
            assert!(reach == through || reach == Position(0) && failed, "{at} of seed {seed}: {reach:?}");
            let found: Vec<u64> = read_log(&store, reach.0).expect("it is whole").iter().map(|(at, _)| *at).collect();
            assert!(found.iter().copied().eq(reach.0 + 1..=30), "{at} of seed {seed}: {found:?}");
            if !failed {
                break;
            }
        }
    }
}

/// A segment whose folder could not be synced is taken back: else the next opening would let go of the one before it,
/// because of a file that a power cut takes away.
#[test]
fn a_segment_whose_name_may_not_stay_is_taken_back() {
    for seed in 0..6 {
        for at in 0.. {
            let mut failed = false;
            for then in 0..12 {
                let real = temporary();
                std::fs::create_dir(real.path().join("data")).expect("there is room");
                let (dir, disk) = (real.path().join("data"), SimDisk::new(seed << 16 | at << 8 | then));
                let made = open_on(&disk, &dir, seed).expect("the disk works");
                disk.kill();
                drop(made);
                disk.plan(at, Counted::Changes, Fault::Fails(EIO));
                let opened = open_on(&disk, &dir, seed);
                failed = disk.has_failed();
                disk.kill();
                drop(opened);
                disk.plan(then, Counted::Changes, Fault::Kill);
                let again = open_on(&disk, &dir, seed);
                disk.unplan();
                disk.cut();
                drop(again);
                let what = format!("{at}, then {then}, of seed {seed}");
                let store = open_on(&disk, &dir, seed).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(read_log(&store, 0).expect("it is whole"), [], "{what}");
            }
            if !failed {
                break;
            }
        }
    }
}
