//! Fold files: what the log came to, immutable and checksummed. The live ones cover the log from 1 without a gap.
//!
//! [`file`] draws one, [`writer`] writes it.

pub mod check;
pub mod file;
pub mod handles;
pub mod writer;

use crate::disk::{Disk, Open};
use crate::planted::{self, Bug};
use crate::store::embedded::failed::{damaged, failed};
use crate::store::embedded::sync_names;
use crate::store::{Checked, FoldWriter, FrameRef, Line, Position, StoreError};
use bytes::Bytes;
use check::Check;
use file::{FRAME_HEAD_BYTES, Range, Seal, Spot};
use handles::Handles;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
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
    handles: Handles,
    begun: AtomicU64,
    /// Set when nobody knows whether a file got its name for good: only an opening can tell.
    poison: OnceLock<String>,
}

/// A live fold file.
pub struct Fold {
    path: PathBuf,
    range: Range,
    bytes: u64,
    /// Where each frame is: 16 bytes a frame.
    spots: Box<[Spot]>,
}

/// A live fold file, for who copies it: while a store is open none is removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoldFile {
    /// Its path.
    pub path: PathBuf,
    /// What it covers.
    pub range: Range,
    /// Its length.
    pub bytes: u64,
}

impl Folds {
    /// Opens the files of a folder: reads every directory, removes leftovers, and checks that there is no gap.
    pub fn open(disk: Arc<dyn Disk>, dir: PathBuf, store: [u8; 16]) -> Result<Folds, StoreError> {
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
        let mut live = BTreeMap::new();
        let mut reach = Position(0);
        for ((first, last), mut generations) in ranges {
            if first.0 != reach.0 + 1 {
                let what =
                    format!("no fold file goes on from record {}; the next one starts at {}", reach.0 + 1, first.0);
                return Err(damaged(&dir, 0, what));
            }
            generations.sort_by_key(|range| std::cmp::Reverse(range.generation));
            live.insert(last, Arc::new(highest_whole(disk.as_ref(), &dir, store, &generations)?));
            reach = last;
        }
        let live = RwLock::new(live);
        let (handles, begun, poison) = (Handles::default(), AtomicU64::new(0), OnceLock::new());
        Ok(Folds { disk, dir, store, live, handles, begun, poison })
    }

    /// The last position covered; 0: none.
    pub fn reach(&self) -> Position {
        self.live().last_key_value().map_or(Position(0), |(last, _)| *last)
    }

    /// See [`crate::store::Store::begin_fold`].
    pub fn begin(self: &Arc<Self>, through: Position) -> Result<Writer, StoreError> {
        if let Some(cause) = self.poison.get() {
            return Err(StoreError::Poisoned { cause: cause.clone() });
        }
        let reach = self.reach();
        assert!(through > reach, "a fold covers positions that no fold covers yet");
        self.write_as(Range { first: Position(reach.0 + 1), last: through, generation: 0 })
    }

    fn write_as(self: &Arc<Self>, range: Range) -> Result<Writer, StoreError> {
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{}.{begun}{TEMPORARY}", range.file_name()));
        Writer::create(self.clone(), range, path)
    }

    /// Leaves the bytes of frames out of their files, for good. Nothing may refer to them any more. Each file is written
    /// anew, of the next generation: the same range, the same numbers, the same bytes of every other frame. A file that
    /// holds other damage stays as it is.
    pub fn leave_out(self: &Arc<Self>, dead: &BTreeSet<FrameRef>) -> Result<(), StoreError> {
        let folds: Vec<_> = self.live().values().cloned().collect();
        for fold in folds.iter().filter(|fold| dead.iter().any(|at| at.fold == fold.range.last)) {
            match self.write_anew(fold, dead) {
                Err(error @ StoreError::Damaged { .. }) => tracing::warn!(%error, "a fold file stays as it is"),
                written => written?,
            }
        }
        Ok(())
    }

    fn write_anew(self: &Arc<Self>, fold: &Fold, dead: &BTreeSet<FrameRef>) -> Result<(), StoreError> {
        let mut writer = self.write_as(Range { generation: fold.range.generation + 1, ..fold.range })?;
        let mut lines = Vec::new();
        self.read_lines_of(fold, &mut |line, at| lines.push((line, at)))?;
        for (line, at) in lines {
            let frame = if dead.contains(&at) { Bytes::new() } else { self.read_frame(at)? };
            writer.put(line, &frame)?;
        }
        Box::new(writer).finish()?;
        self.disk.remove(&fold.path).map_err(failed("remove", &fold.path))
    }

    /// Makes a file that has just got its name part of the store, in the place of an earlier generation of it.
    fn add(&self, fold: Fold) -> Result<(), StoreError> {
        // Else an opening would let go of the log because of a file that the next power cut takes away.
        if let Err(error) = sync_names(self.disk.as_ref(), &self.dir, || self.disk.remove(&fold.path)) {
            let cause = self.poison.get_or_init(|| error.to_string()).clone();
            return Err(StoreError::Poisoned { cause });
        }
        let mut live = self.live.write().expect("nothing panics while it holds the folds");
        let reach = live.last_key_value().map_or(Position(0), |(last, _)| *last);
        let fits = match live.get(&fold.range.last) {
            Some(earlier) => earlier.range.generation < fold.range.generation,
            None => fold.range.first.0 == reach.0 + 1,
        };
        assert!(fits, "one fold is written at a time");
        live.insert(fold.range.last, Arc::new(fold));
        Ok(())
    }

    /// See [`crate::store::Store::read_frame`]. One read of the file.
    pub fn read_frame(&self, at: FrameRef) -> Result<Bytes, StoreError> {
        let fold = self.live().get(&at.fold).cloned();
        let fold = fold.ok_or_else(|| damaged(&self.dir, 0, format!("no fold file ends at record {}", at.fold.0)))?;
        let spot = fold.spots.get(at.number as usize);
        let spot = spot.ok_or_else(|| damaged(&fold.path, 0, format!("it has no frame {}", at.number)))?;
        let file = self.handles.get(self.disk.as_ref(), fold.range, &fold.path)?;
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
        let folds: Vec<_> = self.live().values().cloned().collect();
        for fold in &folds {
            self.read_lines_of(fold, each)?;
        }
        Ok(folds.last().map_or(Position(0), |fold| fold.range.last))
    }

    /// See [`crate::store::Store::locate`].
    pub fn locate(&self, at: FrameRef) -> (String, u64) {
        let fold = self.live().get(&at.fold).cloned();
        let spot = fold.as_ref().and_then(|fold| fold.spots.get(at.number as usize));
        let path = fold.as_ref().map_or(self.dir.clone(), |fold| fold.path.clone());
        (path.display().to_string(), spot.map_or(0, |spot| spot.offset + FRAME_HEAD_BYTES as u64))
    }

    /// See [`crate::store::Store::verify`]: seals, directories, the heads of frames, and that nothing else is there.
    pub fn verify(&self, each: &mut Checked) -> ControlFlow<()> {
        let folds: Vec<_> = self.live().values().cloned().collect();
        folds.iter().try_for_each(|fold| {
            let (path, store, range) = (&fold.path, self.store, fold.range);
            match self.handles.get(self.disk.as_ref(), range, path) {
                Ok(file) => Check { file: file.as_ref(), path, store, range, bodies: false }.run(each),
                Err(error) => each(0, Some(error)),
            }
        })
    }

    /// All live files, oldest first.
    pub fn files(&self) -> Vec<FoldFile> {
        let file = |fold: &Arc<Fold>| FoldFile { path: fold.path.clone(), range: fold.range, bytes: fold.bytes };
        self.live().values().map(file).collect()
    }

    fn read_lines_of(&self, fold: &Fold, each: &mut dyn FnMut(Line, FrameRef)) -> Result<(), StoreError> {
        let file = self.handles.get(self.disk.as_ref(), fold.range, &fold.path)?;
        let seal = Seal::read(file.as_ref(), &fold.path)?;
        let directory = seal.read_directory(file.as_ref(), &fold.path)?;
        file::read_directory(directory, &seal, &fold.path, &mut |line, at, _| each(line, at))
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
fn highest_whole(disk: &dyn Disk, dir: &Path, store: [u8; 16], ranges: &[Range]) -> Result<Fold, StoreError> {
    let mut first_error = None;
    for (i, range) in ranges.iter().enumerate() {
        match open_one(disk, dir, store, *range) {
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

/// Opens a file and reads where its frames are.
fn open_one(disk: &dyn Disk, dir: &Path, store: [u8; 16], range: Range) -> Result<Fold, StoreError> {
    let path = dir.join(range.file_name());
    let file = disk.open(&path, Open::Read).map_err(failed("open", &path))?;
    let seal = Seal::read(file.as_ref(), &path)?;
    if seal.store != store || seal.range != range {
        return Err(damaged(&path, 0, "it is another store's, or covers other records than its name says"));
    }
    let directory = seal.read_directory(file.as_ref(), &path)?;
    let mut spots = Vec::with_capacity(seal.frames as usize);
    file::read_directory(directory, &seal, &path, &mut |_, _, spot| spots.push(spot))?;
    let end = seal.directories[0];
    if spots.iter().any(|spot| spot.offset + FRAME_HEAD_BYTES as u64 + u64::from(spot.bytes) > end) {
        return Err(damaged(&path, 0, "its directory names a frame outside it"));
    }
    Ok(Fold { path, range, bytes: seal.bytes, spots: spots.into() })
}
