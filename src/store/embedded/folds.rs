//! Fold files: what the log came to, immutable and checksummed. The live ones cover the log from 1 without a gap.
//!
//! [`file`] draws one, [`writer`] writes it, [`fold`] is one that is there.

pub mod check;
pub mod file;
pub mod fold;
pub mod handles;
pub mod writer;

use crate::disk::Disk;
use crate::planted::{self, Bug};
use crate::store::embedded::failed::{damaged, failed};
use crate::store::embedded::log::salvage::Unreadable;
use crate::store::embedded::sync_names;
use crate::store::{Anew, Checked, Damage, EachAnew, FoldWriter, FrameRef, Gap, Line, Position, StoreError};
use bytes::Bytes;
use check::Check;
use file::{FRAME_HEAD_BYTES, LINE_BYTES, Range, Spot};
use fold::Fold;
use handles::Handles;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock};
use writer::Writer;

/// How names of files that are not part of the store end.
const TEMPORARY: &str = ".tmp";

/// All fold files.
pub struct Folds {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: [u8; 16],
    /// By the last position covered.
    live: RwLock<BTreeMap<Position, Arc<Fold>>>,
    /// What no file covers that can be read, in a store that is opened to be repaired; and why.
    holes: Mutex<BTreeMap<Position, (Range, Damage)>>,
    handles: Arc<Handles>,
    begun: AtomicU64,
    /// Files that cannot be read and need not be.
    set_aside: Vec<PathBuf>,
    /// Set when nobody knows whether a file got its name for good: only an opening can tell.
    poison: OnceLock<String>,
}

/// What no file covers that can be read.
struct Unread {
    range: Range,
    /// Those that are there.
    files: Vec<PathBuf>,
    damage: Damage,
}

impl Folds {
    /// Opens the files of a folder: reads every directory, removes leftovers, and checks that there is no gap; or goes on
    /// around it. `log_holds`: whether the log holds every record after the first position through the second. Then the
    /// newest files need not be read: what they held is folded anew.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        store: [u8; 16],
        unreadable: Unreadable,
        log_holds: &dyn Fn(Position, Position) -> Result<bool, StoreError>,
    ) -> Result<Folds, StoreError> {
        // A name that is seen may not be on stable storage, where a process was killed between renaming and
        // syncing; the log must not be let go of because of it.
        disk.sync_dir(&dir).map_err(failed("sync", &dir))?;
        let mut ranges: BTreeMap<(Position, Position), Vec<Range>> = BTreeMap::new();
        for (name, _) in disk.list(&dir).map_err(failed("list", &dir))? {
            if name.ends_with(TEMPORARY) {
                let path = dir.join(name);
                disk.remove(&path).map_err(failed("remove", &path))?;
            } else if let Some(range) = Range::parse(&name) {
                ranges.entry((range.first, range.last)).or_default().push(range);
            }
        }
        let handles = Arc::<Handles>::default();
        let mut live = BTreeMap::new();
        let mut unread = Vec::new();
        let missing = |first: u64, last: u64, what: String| {
            let range = Range { first: Position(first), last: Position(last), generation: 0 };
            Unread { range, files: Vec::new(), damage: Damage { file: dir.display().to_string(), offset: 0, what } }
        };
        let (mut reach, mut knows, mut all_say) = (Position(0), Position(0), true);
        for ((first, last), mut generations) in ranges {
            let what =
                || format!("no fold file goes on from record {}; the next one starts at {}", reach.0 + 1, first.0);
            match first.0.cmp(&(reach.0 + 1)) {
                std::cmp::Ordering::Less => return Err(damaged(&dir, 0, what())),
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => unread.push(missing(reach.0 + 1, first.0 - 1, what())),
            }
            generations.sort_by_key(|range| std::cmp::Reverse(range.generation));
            match highest_whole(&disk, &handles, &dir, store, &generations) {
                Ok(fold) => {
                    knows = knows.max(fold.knows);
                    all_say &= fold.knows > Position(0) || fold.range.generation == 0;
                    live.insert(last, Arc::new(fold));
                }
                Err(StoreError::Damaged { file, offset, what, .. }) => {
                    let files = generations.iter().map(|range| dir.join(range.file_name())).collect();
                    let range = Range { generation: generations[0].generation + 1, ..generations[0] };
                    unread.push(Unread { range, files, damage: Damage { file, offset, what } });
                }
                Err(error) => return Err(error),
            }
            reach = last;
        }
        if knows > reach {
            let what = format!("no fold file goes on from record {}; there was one through {}", reach.0 + 1, knows.0);
            unread.push(missing(reach.0 + 1, knows.0, what));
        }
        let read = live.last_key_value().map_or(Position(0), |(last, _)| *last);
        let inside = unread.partition_point(|unread| unread.range.first < read);
        let mut set_aside = Vec::new();
        // What was left out because of them is nowhere else.
        if let Some(newest) = unread[inside..].last().filter(|_| all_say && knows <= read)
            && log_holds(read, newest.range.last)?
        {
            set_aside = unread.split_off(inside).into_iter().flat_map(|unread| unread.files).collect();
        }
        if let (Some(unread), Unreadable::Refused) = (unread.first(), unreadable) {
            return Err(unread.damage.clone().into());
        }
        let hole = |unread: Unread| (unread.range.last, (unread.range, unread.damage));
        let holes = Mutex::new(unread.into_iter().map(hole).collect());
        let live = RwLock::new(live);
        let (begun, poison) = (AtomicU64::new(0), OnceLock::new());
        Ok(Folds { disk, dir, store, live, holes, handles, begun, poison, set_aside })
    }

    /// Removes newest files that cannot be read and whose records the log holds, for good: those that are folded now may
    /// get their names.
    pub fn remove_unread(&self) -> Result<(), StoreError> {
        for path in &self.set_aside {
            tracing::warn!(file = %path.display(), "a fold file cannot be read: what it held is folded anew from the log");
            self.disk.remove(path).map_err(failed("remove", path))?;
        }
        match self.set_aside.is_empty() {
            true => Ok(()),
            false => self.disk.sync_dir(&self.dir).map_err(failed("sync", &self.dir)),
        }
    }

    /// The last position covered; 0: none.
    pub fn reach(&self) -> Position {
        self.reach_of(&self.live())
    }

    fn reach_of(&self, live: &BTreeMap<Position, Arc<Fold>>) -> Position {
        let last = live.last_key_value().map_or(Position(0), |(last, _)| *last);
        self.holes().last_key_value().map_or(last, |(hole, _)| last.max(*hole))
    }

    /// See [`crate::store::Store::gaps`].
    pub fn gaps(&self) -> Vec<Gap> {
        let gap = |(range, damage): &(Range, Damage)| {
            let (damage, first, last) = (damage.clone(), range.first, range.last);
            Gap { damage, bytes: None, first, last, is_bound: false }
        };
        self.holes().values().map(gap).collect()
    }

    /// Puts a file of these lines, without bytes, where no file can be read that ends at a position; for good.
    pub fn fill(self: &Arc<Self>, last: Position, lines: Vec<Line>) -> Result<(), StoreError> {
        let Some((range, _)) = self.holes().get(&last).cloned() else { return Ok(()) };
        let mut writer = Box::new(self.write_as(range)?);
        for line in lines {
            writer.put(line, &[])?;
        }
        writer.finish()
    }

    fn holes(&self) -> MutexGuard<'_, BTreeMap<Position, (Range, Damage)>> {
        self.holes.lock().expect("nothing panics while it holds the holes")
    }

    /// See [`crate::store::Store::begin_fold`].
    pub fn begin(self: &Arc<Self>, through: Position) -> Result<Writer, StoreError> {
        let reach = self.reach();
        assert!(through > reach, "a fold covers positions that no fold covers yet");
        self.write_as(Range { first: Position(reach.0 + 1), last: through, generation: 0 })
    }

    fn write_as(self: &Arc<Self>, range: Range) -> Result<Writer, StoreError> {
        if let Some(cause) = self.poison.get() {
            return Err(StoreError::Poisoned { cause: cause.clone() });
        }
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{}.{begun}{TEMPORARY}", range.file_name()));
        Writer::create(self.clone(), range, path)
    }

    /// Leaves the bytes of frames out of their files, for good; their lines stay. Nothing may refer to them any more. A
    /// file that holds other damage stays as it is.
    pub fn leave_out(self: &Arc<Self>, dead: &BTreeSet<FrameRef>) -> Result<(), StoreError> {
        let folds: BTreeSet<Position> = dead.iter().map(|at| at.fold).collect();
        for fold in folds {
            let empty = |line: &Line, at: FrameRef| match dead.contains(&at) {
                true => Ok(Anew::Instead(line.clone(), Bytes::new())),
                false => Ok(Anew::Stays),
            };
            match self.write_anew(fold, &mut { empty }) {
                Err(error @ StoreError::Damaged { .. }) => tracing::warn!(%error, "a fold file stays as it is"),
                written => drop(written?),
            }
        }
        Ok(())
    }

    /// See [`crate::store::Store::write_anew`]. The same range, the same numbers, the next generation.
    pub fn write_anew(self: &Arc<Self>, fold: Position, each: &mut EachAnew) -> Result<bool, StoreError> {
        let Some(fold) = self.live().get(&fold).cloned() else { return Ok(false) };
        let mut lines = Vec::new();
        fold.lines(&mut |line, at| lines.push((line, at)))?;
        let mut writer = self.write_as(Range { generation: fold.range.generation + 1, ..fold.range })?;
        let mut next = 0;
        for (line, at) in lines {
            writer.leave_out(at.number - next);
            next = at.number + 1;
            match each(&line, at)? {
                Anew::Stays => drop(writer.put(line, &self.read_frame(at)?)?),
                Anew::Instead(line, frame) => drop(writer.put(line, &frame)?),
                Anew::Gone => writer.leave_out(1),
                Anew::Stop => return Ok(false),
            }
        }
        writer.leave_out(fold.frames - next);
        if planted::is(Bug::RemoveBeforeWriting) {
            let _ = self.disk.remove(&fold.path);
        }
        Box::new(writer).finish().map(|()| true)
    }

    /// Makes a file that has just got its name part of the store, in the place of an earlier generation of it.
    fn add(&self, fold: Fold) -> Result<(), StoreError> {
        // Else an opening would let go of the log because of a file that the next power cut takes away.
        if let Err(error) = sync_names(self.disk.as_ref(), &self.dir, || self.disk.remove(&fold.path)) {
            let cause = self.poison.get_or_init(|| error.to_string()).clone();
            return Err(StoreError::Poisoned { cause });
        }
        let filled = self.holes().remove(&fold.range.last);
        let mut live = self.live.write().expect("nothing panics while it holds the folds");
        let reach = self.reach_of(&live);
        let fits = match live.get(&fold.range.last) {
            Some(earlier) => earlier.range.generation < fold.range.generation,
            None => fold.range.first.0 == reach.0 + 1 || filled.is_some(),
        };
        assert!(fits, "one fold is written at a time");
        let earlier = live.insert(fold.range.last, Arc::new(fold));
        drop(live);
        earlier.inspect(|earlier| earlier.is_replaced());
        Ok(())
    }

    /// See [`crate::store::Store::read_frame`]. One read of the file.
    pub fn read_frame(&self, at: FrameRef) -> Result<Bytes, StoreError> {
        let fold = self.live().get(&at.fold).cloned();
        let fold = fold.ok_or_else(|| damaged(&self.dir, 0, format!("no fold file ends at record {}", at.fold.0)))?;
        let spot = fold.spot(at.number);
        let spot = spot.ok_or_else(|| damaged(&fold.path, 0, format!("it has no frame {}", at.number)))?;
        let file = fold.file()?;
        let mut bytes = vec![0; spot.bytes as usize];
        let offset = spot.offset + FRAME_HEAD_BYTES as u64;
        file.read_at(&mut bytes, offset).map_err(failed("read", &fold.path))?;
        if crc32fast::hash(&bytes) != at.crc && !planted::is(Bug::IgnoreFrameCrc) {
            return Err(damaged(&fold.path, offset, format!("the checksum of frame {} differs", at.number)));
        }
        Ok(bytes.into())
    }

    /// See [`crate::store::Store::read_lines`]. Reads every file's directory.
    pub fn read_lines(&self, each: &mut dyn FnMut(Line, FrameRef)) -> Result<Position, StoreError> {
        // Both at once: a file that gets its name meanwhile is in neither.
        let (folds, reach): (Vec<_>, _) = {
            let live = self.live();
            (live.values().cloned().collect(), self.reach_of(&live))
        };
        for fold in &folds {
            fold.lines(each)?;
        }
        Ok(reach)
    }

    /// See [`crate::store::Store::locate`].
    pub fn locate(&self, at: FrameRef) -> (String, u64) {
        let fold = self.live().get(&at.fold).cloned();
        let spot = fold.as_ref().and_then(|fold| fold.spot(at.number));
        let path = fold.as_ref().map_or(self.dir.clone(), |fold| fold.path.clone());
        (path.display().to_string(), spot.map_or(0, |spot| spot.offset + FRAME_HEAD_BYTES as u64))
    }

    /// See [`crate::store::Store::verify`]: seals, directories, the heads of frames, and that nothing else is there.
    pub fn verify(&self, each: &mut Checked) -> ControlFlow<()> {
        let folds: Vec<_> = self.live().values().cloned().collect();
        folds.iter().try_for_each(|fold| {
            let (path, store, range) = (&fold.path, self.store, fold.range);
            match fold.file() {
                Ok(file) => Check { file: file.as_ref(), path, store, range, bodies: false }.run(each),
                Err(error) => each(0, Some(error)),
            }
        })
    }

    /// See [`crate::store::Store::frame_length`].
    pub fn frame_length(&self, at: FrameRef) -> u64 {
        self.spot(at).map_or(0, |spot| u64::from(spot.bytes))
    }

    fn spot(&self, at: FrameRef) -> Option<Spot> {
        self.live().get(&at.fold).and_then(|fold| fold.spot(at.number))
    }

    /// See [`crate::store::Store::frame_bytes`]: its head, its bytes, and its line, twice.
    pub fn frame_bytes(&self, line: &Line, at: FrameRef) -> u64 {
        let spot = self.spot(at);
        let lines = 2 * (LINE_BYTES + line.summary.len());
        spot.map_or(0, |spot| (FRAME_HEAD_BYTES + lines) as u64 + u64::from(spot.bytes))
    }

    /// All live files, oldest first; each stays as long as it is held.
    pub fn files(&self) -> Vec<Arc<Fold>> {
        self.live().values().cloned().collect()
    }

    /// Bytes of all live files.
    pub fn bytes(&self) -> u64 {
        self.live().values().map(|fold| fold.bytes).sum()
    }

    fn live(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Position, Arc<Fold>>> {
        self.live.read().expect("nothing panics while it holds the folds")
    }
}

/// Of one range's generations, highest first: the highest that is whole. Those below it are removed.
fn highest_whole(
    disk: &Arc<dyn Disk>,
    handles: &Arc<Handles>,
    dir: &Path,
    store: [u8; 16],
    ranges: &[Range],
) -> Result<Fold, StoreError> {
    let mut first_error = None;
    for (i, range) in ranges.iter().enumerate() {
        match Fold::open(disk, handles, dir, store, *range) {
            Ok(fold) => {
                for below in &ranges[i + 1..] {
                    let path = dir.join(below.file_name());
                    disk.remove(&path).map_err(failed("remove", &path))?;
                }
                return Ok(fold);
            }
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::warn!(%error, "a fold file is not whole");
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(first_error.expect("a range has a file"))
}
