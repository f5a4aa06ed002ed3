//! The store of one machine: a directory with a log, fold files and an index. The files are the truth, sled is an
//! index over them.
//!
//! ```text
//! DATA_DIR/
//!   LOCK     who serves it                      lock
//!   FORMAT   what it is                         format
//!   LOST     what was given up, for people      lost_file
//!   log/     segments of records                log
//!   folds/   what folding made of them          folds
//!   index/   sled, and whether it is believed   index
//!   RESERVE  room for folding on a full disk    reserve
//! ```

pub mod backup;
pub mod failed;
pub mod folds;
pub mod format;
pub mod index;
pub mod lock;
pub mod log;
pub mod look;
pub mod lost_file;
pub mod reserve;

use super::{
    Checked, Commit, Committed, EachAnew, FoldWriter, FrameRef, Gap, IndexEntry, IndexState, Line, Logged, Position,
    Store, StoreError,
};
use crate::disk::{Disk, Open};
use crate::planted::{self, Bug};
use crate::random::{Random, array};
use bytes::Bytes;
use failed::failed;
use folds::Folds;
use index::{Found, Index};
use lock::Lock;
use log::recovery::Home;
use log::salvage::Unreadable;
use log::{Log, Opening, segment};
use reserve::{Drawing, Reserve};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// How an embedded store is tuned. Tests take small numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreSettings {
    /// The length of a segment of the log; a group that is larger gets one of its own.
    pub segment_bytes: u64,
    /// What sled caches, at most, counted as it is on disk.
    pub index_cache_bytes_max: u64,
    /// Room that is kept for folding on a full disk: what one fold and its index take. 0: none is kept.
    pub reserve_bytes: u64,
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings { segment_bytes: 64 << 20, index_cache_bytes_max: 64 << 20, reserve_bytes: 64 << 20 }
    }
}

/// The segment that an opening starts with is this part of a full one: opening should not wait for its zeros.
const OPENING_PART: u64 = 16;

/// See the module.
pub struct EmbeddedStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: [u8; 16],
    log: Log,
    folds: Arc<Folds>,
    index: Index,
    reserve: Arc<Reserve>,
    /// Dropped last, so that another process finds everything done.
    lock: Mutex<Option<Lock>>,
}

impl EmbeddedStore {
    /// Opens the store in `dir`, and makes it where there is none. Fails where another process has it, where it is
    /// of another version, and where what it holds is damaged: the error names the file and the place.
    pub fn open(
        dir: &Path,
        disk: Arc<dyn Disk>,
        random: Arc<dyn Random>,
        settings: StoreSettings,
    ) -> Result<EmbeddedStore, StoreError> {
        EmbeddedStore::open_around(dir, disk, random, settings, Unreadable::Refused)
    }

    /// As [`EmbeddedStore::open`], to repair it: around damage that keeps it from being opened. [`Store::gaps`] says
    /// what that is.
    pub fn open_around(
        dir: &Path,
        disk: Arc<dyn Disk>,
        random: Arc<dyn Random>,
        settings: StoreSettings,
        unreadable: Unreadable,
    ) -> Result<EmbeddedStore, StoreError> {
        let StoreSettings { segment_bytes, index_cache_bytes_max, reserve_bytes } = settings;
        make_dir(disk.as_ref(), dir)?;
        let lock = Lock::take(disk.as_ref(), dir)?;
        let at = |name: &str| dir.join(name);
        let store = match format::read(disk.as_ref(), dir)? {
            Some(store) => {
                // It may be seen and not yet be on stable storage, as may the folders.
                disk.sync_dir(dir).map_err(failed("sync", dir))?;
                store
            }
            None if disk.exists(&at(backup::restore::MARK)).map_err(failed("look for", dir))? => {
                let what = "a restore into this directory did not come to its end: begin it again";
                return Err(failed::damaged(&at(backup::restore::MARK), 0, what));
            }
            None => create(dir, &disk, random.as_ref(), segment_bytes)?,
        };
        make_dir(disk.as_ref(), &at("index"))?;
        let reserve = Arc::new(Reserve::open(disk.clone(), dir.to_path_buf(), reserve_bytes)?);
        let log_holds = |after, through| {
            Home { disk: &disk, dir: &at("log"), random: random.as_ref(), store }.holds(after, through)
        };
        let folds = Arc::new(Folds::open(disk.clone(), at("folds"), store, unreadable, &log_holds)?);
        let reach = folds.reach();
        // First, because what is not believed goes, and makes room for what follows.
        let found = Found::look(disk.as_ref(), &at("index"), store, reach)?;
        let open_log = |opening_bytes| {
            let opening = Opening { segment_bytes, opening_bytes, reach, unreadable };
            Log::open(disk.clone(), random.clone(), at("log"), store, opening)
        };
        let log = open_frugally(&reserve, segment_bytes / OPENING_PART, &open_log)?;
        if unreadable != Unreadable::Listed {
            folds.remove_unread()?;
        }
        let index = Index::open(disk.clone(), at("index"), store, index_cache_bytes_max, found, reserve.clone())?;
        match reserve.ensure() {
            Err(StoreError::Full { file }) => {
                tracing::warn!(file, reserve_bytes, "no room for the reserve: no writes until there is room");
            }
            made => made?,
        }
        let lock = Mutex::new(Some(lock));
        Ok(EmbeddedStore { disk, dir: dir.to_path_buf(), store, log, folds, index, reserve, lock })
    }

    /// Lets go of the directory without closing the index, which the next opening builds anew.
    pub fn release(&self) -> Result<(), StoreError> {
        let lock = self.lock.lock().expect("nothing panics while it holds the lock").take();
        lock.map_or(Ok(()), Lock::release)
    }

    /// Leaves damaged frames that nothing refers to any more out of their files, for good. For a store that nobody
    /// serves; costs writing anew each file that holds one.
    pub fn leave_out(&self, dead: &BTreeSet<FrameRef>) -> Result<(), StoreError> {
        self.folds.leave_out(dead)
    }

    /// Puts a fold file of lines without bytes into the place of each that ends at a position and cannot be read, for
    /// good. What they say is given up. For a store that nobody serves.
    pub fn fill(&self, folds: BTreeMap<Position, Vec<Line>>) -> Result<(), StoreError> {
        folds.into_iter().try_for_each(|(last, lines)| self.folds.fill(last, lines))
    }
}

/// Opens the log, on a full disk too: with the reserve's room, or with a segment that holds only what it must.
fn open_frugally(
    reserve: &Reserve,
    opening_bytes: u64,
    open: &dyn Fn(u64) -> Result<Log, StoreError>,
) -> Result<Log, StoreError> {
    let full = |log: &Result<Log, StoreError>| matches!(log, Err(StoreError::Full { .. }));
    let mut log = reserve.on_full(open(opening_bytes));
    if full(&log) {
        log = open(opening_bytes);
    }
    if full(&log) { open(0) } else { log }
}

/// Makes a store; one that was half made is made anew, folders and all: whether their names are on stable storage is
/// not known.
fn create(dir: &Path, disk: &Arc<dyn Disk>, random: &dyn Random, segment_bytes: u64) -> Result<[u8; 16], StoreError> {
    let (log, folds) = (dir.join("log"), dir.join("folds"));
    check_unused(disk.as_ref(), dir, &log, &folds)?;
    for folder in [&log, &folds] {
        if disk.exists(folder).map_err(failed("look for", folder))? {
            disk.remove_dir_all(folder).map_err(failed("remove", folder))?;
        }
        make_dir(disk.as_ref(), folder)?;
    }
    let above = parent(dir);
    disk.sync_dir(&above).map_err(failed("sync", &above))?;
    let store = array(random);
    Log::create(disk, random, &log, store, segment_bytes / OPENING_PART)?;
    format::write(disk.as_ref(), dir, store)?;
    Ok(store)
}

/// A creation that did not get to `FORMAT` leaves a first segment without records. Anything else is a store whose
/// `FORMAT` is lost.
fn check_unused(disk: &dyn Disk, dir: &Path, log: &Path, folds: &Path) -> Result<(), StoreError> {
    let is_left = |name: &str| name.ends_with(segment::TEMPORARY) || segment::segment_number(name).is_some();
    let list = |folder: &Path| match disk.exists(folder).map_err(failed("look for", folder))? {
        true => disk.list(folder).map_err(failed("list", folder)),
        false => Ok(Vec::new()),
    };
    if list(folds)?.iter().any(|(name, _)| folds::file::Range::parse(name).is_some()) {
        return Err(format::missing(dir));
    }
    for folder in [folds, log] {
        if let Some((name, _)) = list(folder)?.iter().find(|(name, is_dir)| *is_dir || !is_left(name)) {
            return Err(failed::damaged(&folder.join(name), 0, "it is in the way of a store, and no file of one"));
        }
    }
    for (name, _) in list(log)?.iter().filter(|(name, _)| segment::segment_number(name).is_some()) {
        let path = log.join(name);
        let file = disk.open(&path, Open::Read).map_err(failed("open", &path))?;
        let mut bytes = vec![0; file.len().map_err(failed("measure", &path))? as usize];
        file.read_at(&mut bytes, 0).map_err(failed("read", &path))?;
        if bytes.iter().skip(segment::HEADER_BYTES).any(|byte| *byte != 0) {
            return Err(format::missing(dir));
        }
    }
    Ok(())
}

/// The directory above.
fn parent(dir: &Path) -> PathBuf {
    match dir.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Makes a directory and those above it, each on stable storage, where they are not there yet.
fn make_dir(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    if disk.exists(dir).map_err(failed("look for", dir))? {
        return Ok(());
    }
    let parent = parent(dir);
    make_dir(disk, &parent)?;
    disk.create_dir(dir).map_err(failed("create", dir))?;
    sync_names(disk, &parent, || disk.remove_dir_all(dir))
}

/// Puts the names of a folder on stable storage. After a failure what was named is seen and may never be there, and no
/// later sync says so: it is undone, so that nobody believes it.
fn sync_names(disk: &dyn Disk, dir: &Path, undo: impl FnOnce() -> std::io::Result<()>) -> Result<(), StoreError> {
    disk.sync_dir(dir).map_err(|error| {
        let _ = undo();
        failed("sync", dir)(error)
    })
}

impl Store for EmbeddedStore {
    fn commit(&self, group: &[Commit]) -> Result<Vec<Committed>, StoreError> {
        self.log.check_poison()?;
        // Writes must not eat what folding needs.
        match self.reserve.ensure() {
            Ok(()) => self.log.commit(group),
            Err(full @ StoreError::Full { .. }) => Err(full),
            Err(error) => Err(self.log.poisoned(error)),
        }
    }

    fn read_log(&self, after: Position, each: &mut dyn FnMut(Position, Logged)) -> Result<(), StoreError> {
        self.log.read(after, each)
    }

    fn gaps(&self) -> Vec<Gap> {
        [self.folds.gaps(), self.log.gaps()].concat()
    }

    fn trim(&self, through: Position) -> Result<(), StoreError> {
        // Whatever is asked, the folds must reach the log.
        self.log.trim(through.min(self.folds.reach()))
    }

    fn log_bytes(&self) -> u64 {
        self.log.bytes()
    }

    fn begin_fold(&self, through: Position) -> Result<Box<dyn FoldWriter>, StoreError> {
        if planted::is(Bug::TrimTooEarly) {
            self.log.trim(through)?;
        }
        let writer = Box::new(self.reserve.on_full(self.folds.begin(through))?);
        Ok(Box::new(Drawing { writer, reserve: self.reserve.clone() }))
    }

    fn read_frame(&self, at: FrameRef) -> Result<Bytes, StoreError> {
        self.folds.read_frame(at)
    }

    fn read_lines(&self, each: &mut dyn FnMut(Line, FrameRef)) -> Result<Position, StoreError> {
        self.folds.read_lines(each)
    }

    fn fold_bytes(&self) -> u64 {
        self.folds.bytes()
    }

    fn frame_bytes(&self, line: &Line, at: FrameRef) -> u64 {
        self.folds.frame_bytes(line, at)
    }

    fn frame_length(&self, at: FrameRef) -> u64 {
        self.folds.frame_length(at)
    }

    fn write_anew(&self, fold: Position, each: &mut EachAnew) -> Result<bool, StoreError> {
        // The reserve is kept for folds: this can be tried again.
        self.folds.write_anew(fold, each)
    }

    fn locate(&self, at: FrameRef) -> (String, u64) {
        self.folds.locate(at)
    }

    fn verify(&self, each: &mut Checked) {
        let go = self.folds.verify(each);
        if go.is_continue() {
            let _ = self.log.verify(each);
        }
    }

    fn index_state(&self) -> IndexState {
        self.index.state()
    }

    fn read_index(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.index.read(key)
    }

    fn scan_index(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], Bytes)) -> Result<(), StoreError> {
        self.index.scan(prefix, each)
    }

    fn write_index(&self, entries: Vec<IndexEntry>) -> Result<(), StoreError> {
        self.index.write(entries)
    }

    fn index_bytes(&self) -> u64 {
        self.index.bytes()
    }

    fn write_index_anew(&self, keep: &mut dyn FnMut(&[u8]) -> Option<bool>) -> Result<bool, StoreError> {
        self.index.write_anew(keep)
    }

    fn reset_index(&self) -> Result<(), StoreError> {
        self.index.reset()
    }

    fn close(&self, through: Position) -> Result<(), StoreError> {
        self.log.close();
        let closed = self.index.close(through);
        // An index that was not closed is built anew; the next opening should say why.
        closed.and_then(|()| self.release())
    }
}
