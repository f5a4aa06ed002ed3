//! One fold file that is part of the store, or was: where its frames are. One that a later generation took the place of
//! is removed once nobody holds it any more, so that a backup copies the files that it found.

use super::Folds;
use super::file::{self, FRAME_HEAD_BYTES, Range, Seal, Spot};
use super::handles::Handles;
use crate::disk::{Disk, DiskFile};
use crate::store::embedded::failed::{damaged, failed};
use crate::store::{FrameRef, Line, Position, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A fold file.
pub struct Fold {
    disk: Arc<dyn Disk>,
    handles: Arc<Handles>,
    /// Its path.
    pub path: PathBuf,
    /// What it covers.
    pub range: Range,
    /// Its length.
    pub bytes: u64,
    /// How many frames it has, those that were left out too.
    pub frames: u32,
    /// The last position that folds reached when it was written.
    pub knows: Position,
    kept: Box<[Kept]>,
    /// A later generation took its place.
    replaced: AtomicBool,
}

/// Where a frame is that was not left out: 16 bytes a frame.
pub struct Kept {
    /// Where its head starts.
    pub offset: u64,
    /// The length of its bytes.
    pub bytes: u32,
    /// Its number.
    pub number: u32,
}

impl Fold {
    /// A file that has just been written.
    pub fn new(folds: &Folds, path: PathBuf, seal: &Seal, kept: Box<[Kept]>) -> Fold {
        Fold::of(folds.disk.clone(), folds.handles.clone(), path, seal, kept)
    }

    fn of(disk: Arc<dyn Disk>, handles: Arc<Handles>, path: PathBuf, seal: &Seal, kept: Box<[Kept]>) -> Fold {
        let Seal { range, bytes, frames, knows, .. } = *seal;
        Fold { disk, handles, path, range, bytes, frames, knows, kept, replaced: AtomicBool::new(false) }
    }

    /// Opens a file and reads where its frames are.
    pub fn open(
        disk: &Arc<dyn Disk>,
        handles: &Arc<Handles>,
        dir: &Path,
        store: [u8; 16],
        range: Range,
    ) -> Result<Fold, StoreError> {
        let path = dir.join(range.file_name());
        let file = disk.open(&path, crate::disk::Open::Read).map_err(failed("open", &path))?;
        let seal = Seal::read(file.as_ref(), &path)?;
        if seal.store != store || seal.range != range {
            return Err(damaged(&path, 0, "it is another store's, or covers other records than its name says"));
        }
        let directory = seal.read_directory(file.as_ref(), &path)?;
        let mut kept = Vec::with_capacity(seal.frames as usize);
        file::read_directory(directory, &seal, &path, &mut |_, at, spot| {
            kept.push(Kept { offset: spot.offset, bytes: spot.bytes, number: at.number });
        })?;
        let end = seal.directories[0];
        if kept.iter().any(|spot| spot.offset + FRAME_HEAD_BYTES as u64 + u64::from(spot.bytes) > end) {
            return Err(damaged(&path, 0, "its directory names a frame outside it"));
        }
        Ok(Fold::of(disk.clone(), handles.clone(), path, &seal, kept.into()))
    }

    /// Where a frame is; None: there is none of this number.
    pub fn spot(&self, number: u32) -> Option<Spot> {
        let at = self.kept.binary_search_by_key(&number, |kept| kept.number).ok()?;
        Some(Spot { offset: self.kept[at].offset, bytes: self.kept[at].bytes })
    }

    /// The open file.
    pub fn file(&self) -> Result<Arc<dyn DiskFile>, StoreError> {
        self.handles.get(self.disk.as_ref(), self.range, &self.path)
    }

    /// Its directory, but for what was left out. Reads it.
    pub fn lines(&self, each: &mut dyn FnMut(Line, FrameRef)) -> Result<(), StoreError> {
        let file = self.file()?;
        let seal = Seal::read(file.as_ref(), &self.path)?;
        let directory = seal.read_directory(file.as_ref(), &self.path)?;
        file::read_directory(directory, &seal, &self.path, &mut |line, at, _| each(line, at))
    }

    /// A later generation has taken its place, for good.
    pub fn is_replaced(&self) {
        self.replaced.store(true, Ordering::Relaxed);
    }
}

impl Drop for Fold {
    fn drop(&mut self) {
        if self.replaced.load(Ordering::Relaxed) {
            // One that is left is removed at the next opening: nothing hangs on this.
            if let Err(error) = self.disk.remove(&self.path) {
                tracing::warn!(%error, file = %self.path.display(), "an old fold file cannot be removed");
            }
            self.handles.forget(self.range);
        }
    }
}
