//! What else is done with a machine's store: trimmed, looked at, backed up, restored, damaged and repaired, through the
//! same simulated disk.

use super::Machine;
use crate::batches::{component_name, labels, metric_name};
use crate::compare::{Refusals, Revisions};
use crate::oracle::{COMPONENTS, Deed, Oracle, Sent};
use milepost::clock::Clock;
use milepost::disk::{Disk, Open};
use milepost::domain::time::Interval;
use milepost::engine::AsOf;
use milepost::engine::repair::Repair;
use milepost::engine::verify::Finding;
use milepost::random::SeededRandom;
use milepost::store::embedded::backup::BackupError;
use milepost::store::embedded::backup::restore::restore;
use milepost::store::embedded::folds::file::{FRAME_HEAD_BYTES, SEAL_BYTES, Seal, Spot, read_directory};
use milepost::store::embedded::log::record::HEAD_BYTES;
use milepost::store::embedded::log::recovery::walk;
use milepost::store::embedded::log::salvage::Unreadable;
use milepost::store::embedded::log::segment::{Segment, segment_number};
use milepost::store::embedded::{EmbeddedStore, format, look, lost_file};
use milepost::store::{FrameRef, Line, Position, Store, StoreError};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a restore makes a store.
const RESTORED: &str = "restored";
/// Hours that nothing but the batch to be lost writes to.
const LOST_HOURS: std::ops::Range<i64> = 80..85;
/// Its component, metric and label.
const LOST: (usize, usize, usize) = (0, 2, 2);

/// What the disk made of it: other errors are none that a failing disk may cause.
fn is_done<T>(done: Result<T, StoreError>) -> bool {
    match done {
        Ok(_) => true,
        Err(StoreError::Io { .. } | StoreError::Full { .. } | StoreError::Poisoned { .. }) => false,
        Err(error) => panic!("the disk failed, and it says: {error}"),
    }
}

fn is_backed_up<T>(done: Result<T, BackupError>) -> bool {
    match done {
        Ok(_) => true,
        Err(BackupError::Store(error)) => is_done(Err::<T, _>(error)),
        Err(error) => panic!("the disk failed, and it says: {error}"),
    }
}

impl Machine {
    fn root(&self) -> PathBuf {
        self.real.path().join(self.processes.to_string())
    }

    fn store(&self) -> Arc<EmbeddedStore> {
        self.running.as_ref().and_then(|running| running.store.upgrade()).expect("it runs")
    }

    /// Lets go of the log that folds cover. False: the disk failed.
    pub fn trim(&mut self) -> bool {
        is_done(self.store().trim(Position(u64::MAX)))
    }

    /// Looks at everything while it runs. False: something was found.
    pub fn verify(&mut self) -> bool {
        self.runtime.block_on(self.engine().verify()).findings.is_empty()
    }

    /// Looks at the files of a store that nobody serves. False: something was found.
    pub fn look(&mut self) -> bool {
        let root = self.next_root();
        let mut whole = true;
        let _ = look::look(&self.disk.process(&root), &root.join(self.folder), &mut |_, error| {
            whole &= error.is_none();
            ControlFlow::Continue(())
        });
        whole
    }

    /// Backs up what there is. False: the disk failed.
    pub fn back_up(&mut self) -> bool {
        let made = self.store().back_up(&self.root().join("backup"), &mut |_| ControlFlow::Continue(()));
        let done = is_backed_up(made);
        if done {
            self.backups.clear();
            self.backed_up = true;
        }
        // Where it failed it may be there all the same.
        self.backups.push(self.oracle.clone());
        done
    }

    /// Makes a store of the backup. False: the disk failed.
    pub fn restore(&mut self) -> bool {
        let root = self.next_root();
        let (disk, random) = (self.disk.process(&root), SeededRandom::new(self.chance.next()));
        let made =
            restore(&disk, &random, &root.join("backup"), &root.join(RESTORED), &mut |_| ControlFlow::Continue(()));
        match made {
            // It had come to its end, but for saying so.
            Err(BackupError::NotEmpty { .. }) => {
                self.disk.files(RESTORED).contains_key(&Path::new(RESTORED).join("FORMAT"))
            }
            made => is_backed_up(made),
        }
    }

    /// After a power cut the store that was restored knows all that was backed up.
    pub fn check_restored(&mut self) {
        self.end(true);
        let seed = self.chance.next();
        let mut found = self.found(self.disk.copy(seed), seed);
        found.folder = RESTORED;
        found.open().unwrap_or_else(|error| panic!("what was restored opens: {error}"));
        let is_it = |found: &mut Machine, oracle: &Oracle| {
            found.oracle.clone_from(oracle);
            found.is_at_its_revisions()
        };
        assert!(self.backups.iter().any(|oracle| is_it(&mut found, oracle)), "it is one of the backups");
        found.compare(Revisions::Some);
    }

    /// The last backup that was made is restored, or another one is made first.
    pub fn check_backup(&mut self) {
        if !self.backed_up || self.below(2) == 0 {
            assert!(self.back_up(), "the disk works");
        }
        self.end(true);
        assert!(self.restore(), "the disk works");
        self.check_restored();
    }

    // ---- damage ----

    /// Writes a batch, ends, and damages its body in the log.
    pub fn lose_a_batch(&mut self) {
        let (component, metric, label) = LOST;
        let points: BTreeMap<i64, i64> = LOST_HOURS.map(|hour| (hour, hour)).collect();
        let sent = |points| Sent {
            component,
            id: String::new(),
            reason: String::new(),
            deed: Deed::Set(vec![(metric, label, points)]),
        };
        assert!(self.send(vec![sent(points)]));
        let revision = self.oracle.components[component].revision();
        // Behind it, so that it is not the last group.
        assert!(self.send(vec![sent(BTreeMap::from([(3, 333)]))]));
        self.end(false);
        self.flip_body(component, revision);
        self.without_lost = Some(self.oracle.without((component, metric, label), revision, LOST_HOURS));
    }

    /// Ends, and damages what is a component's own in the folds: the last frame of each kind.
    pub fn damage_own_frames(&mut self) {
        self.end(false);
        let root = self.next_root();
        let process = self.disk.process(&root);
        let mut last: BTreeMap<u8, (PathBuf, usize)> = BTreeMap::new();
        for path in self.disk.files("data/folds").into_keys() {
            let file = process.open(&root.join(&path), Open::Read).expect("it is there");
            let seal = Seal::read(&*file, &path).expect("it is whole");
            let directory = seal.read_directory(&*file, &path).expect("it is whole");
            let mut take = |line: Line, _: FrameRef, spot: Spot| {
                // Pages, facts, changes, ids; of components those that tell of no change of the catalogue.
                if matches!(line.kind, 3 | 5..=7) || line.kind == 4 && spot.bytes < 16 {
                    last.insert(line.kind, (path.clone(), spot.offset as usize + FRAME_HEAD_BYTES));
                }
            };
            read_directory(directory, &seal, &path, &mut take).expect("it is whole");
        }
        assert!(last.len() >= 4, "there is a frame of most kinds: {last:?}");
        for (path, at) in last.into_values() {
            let mut bytes = self.disk.files("data/folds")[&path].clone();
            bytes[at] ^= 4;
            self.disk.lay(&path, &bytes);
        }
    }

    /// Ends, and takes both seals from the last fold file: what is in it only the log may know.
    pub fn damage_last_fold(&mut self) {
        self.end(false);
        let (path, mut bytes) = self.disk.files("data/folds").pop_last().expect("there is a fold");
        let end = bytes.len() - SEAL_BYTES;
        [0, end].into_iter().for_each(|at| bytes[at] ^= 4);
        self.disk.lay(&path, &bytes);
    }

    /// Whether what cannot be read is refused, given up or not yet, and the rest is as it was; and it can be given up
    /// now, once.
    pub fn check_given_up(&mut self) {
        let cut = self.below(2) == 0;
        self.end(cut);
        match self.open() {
            Ok(()) => assert!(self.compare_with(Revisions::All, Refusals::Some) > 0, "something is refused"),
            // A fold file that cannot be read.
            Err(StoreError::Damaged { .. }) => {}
            Err(error) => panic!("what is on the disk opens: {error}"),
        }
        self.end(true);
        assert!(self.repair(), "the disk works");
        self.end(true);
        self.open().unwrap_or_else(|error| panic!("what was repaired opens: {error}"));
        assert!(self.compare_with(Revisions::All, Refusals::Some) > 0, "something is refused");
        let verified = self.runtime.block_on(self.engine().verify());
        let is_told = |finding: &Finding| ["given up", "checksum"].iter().any(|text| finding.what.contains(text));
        assert!(verified.findings.iter().all(is_told), "{:?}", verified.findings);
        // Nothing waits: a fold is made again.
        assert!(self.fold(), "it folds");
    }

    fn flip_body(&mut self, component: usize, revision: i64) {
        let root = self.next_root();
        let process = self.disk.process(&root);
        let store = format::read(&process, &root.join("data")).expect("it is whole").expect("a store");
        for (path, mut bytes) in self.disk.files("data/log") {
            let name = path.file_name().expect("it has a name").to_string_lossy().to_string();
            let Some(number) = segment_number(&name) else { continue };
            let segment = Segment::open(&process, &root.join("data/log"), number, store).expect("it is whole");
            let mut body = None;
            walk(&bytes, &segment.header, &mut |placed| {
                let record = placed.record;
                if record.component.as_str() == COMPONENTS[component] && record.revision == revision {
                    body =
                        Some(placed.offset as usize + HEAD_BYTES + COMPONENTS[component].len() + record.series.len());
                }
            });
            if let Some(body) = body {
                bytes[body] ^= 1;
                return self.disk.lay(&path, &bytes);
            }
        }
        panic!("the batch is in the log");
    }

    /// Whether the series that something was lost of is refused.
    fn is_refused(&self) -> bool {
        let (component, metric, label) = LOST;
        let view = self.runtime.block_on(self.engine().view(&component_name(component), AsOf::Now)).expect("a view");
        let metric = view.metric(&metric_name(component, metric)).expect("it is known").expect("it is there");
        let Ok(series) = metric.series(&[]) else { return true };
        let series = series.iter().find(|series| *series.labels() == labels(label));
        series.is_some_and(|series| series.points(Interval::ALL, usize::MAX).is_err())
    }

    /// Gives up what is lost, as the command does. False: the disk failed.
    pub fn repair(&mut self) -> bool {
        let root = self.next_root();
        let (dir, disk) = (root.join("data"), Arc::new(self.disk.process(&root)));
        let open = |unreadable| -> Result<_, StoreError> {
            let random = Arc::new(SeededRandom::new(self.chance.next()));
            let store = EmbeddedStore::open_around(&dir, disk.clone(), random, self.store_settings, unreadable)
                .map(Arc::new)?;
            let repair = Repair::look(store.clone(), &*self.clock as &dyn Clock, self.settings.clone())?;
            Ok((store, repair))
        };
        let given_up = || {
            let lines: Vec<String> = {
                let (store, listed) = open(Unreadable::Listed)?;
                let lines = listed.losses().iter().map(ToString::to_string).collect();
                store.release()?;
                lines
            };
            if !lines.is_empty() {
                lost_file::write(&*disk, &dir, lines.into_iter())?;
            }
            let (store, repair) = open(Unreadable::GivenUp)?;
            let given_up = repair.give_up()?;
            store.leave_out(&given_up.frames)?;
            store.fill(given_up.folds)?;
            store.release()
        };
        is_done(given_up())
    }

    /// Whether what was lost was given up, of which then everything is there, or not yet; and it can be given up now.
    pub fn check_repaired(&mut self) {
        let cut = self.below(2) == 0;
        self.end(cut);
        self.open().unwrap_or_else(|error| panic!("what is on the disk opens: {error}"));
        let without = self.without_lost.take().expect("something was lost");
        match self.is_refused() {
            true => assert!(self.compare_with(Revisions::Some, Refusals::Some) > 0, "it is lost"),
            false => {
                self.oracle.clone_from(&without);
                self.compare(Revisions::Some);
            }
        }
        self.end(true);
        assert!(self.repair(), "the disk works");
        self.end(true);
        self.oracle = without;
        self.open().unwrap_or_else(|error| panic!("what was repaired opens: {error}"));
        self.compare_all();
    }
}
