//! A fold file being written: frames in big pieces, then the directory twice, then its name.

use super::Folds;
use super::file::{BETWEEN_DIRECTORIES_BYTES, Directory, FRAME_HEAD_BYTES, Range, SEAL_BYTES, Seal, Spot, frame_head};
use super::fold::{Fold, Kept};
use crate::disk::{DiskFile, Open};
use crate::planted::{self, Bug};
use crate::store::embedded::failed::failed;
use crate::store::{FoldWriter, FrameRef, Line, StoreError};
use std::path::PathBuf;
use std::sync::Arc;

/// Written to the file in pieces of about this.
const PIECE_BYTES: usize = 1 << 20;

/// See [`FoldWriter`].
pub struct Writer {
    folds: Arc<Folds>,
    range: Range,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// Not yet written; belongs at `written`.
    piece: Vec<u8>,
    written: u64,
    directory: Directory,
    kept: Vec<Kept>,
    /// Frames so far, those that were left out too.
    frames: u32,
    renamed: bool,
}

impl Writer {
    /// Begins a file under a temporary name.
    pub fn create(folds: Arc<Folds>, range: Range, path: PathBuf) -> Result<Writer, StoreError> {
        let file = folds.disk.open(&path, Open::Create).map_err(failed("create", &path))?;
        Ok(Writer {
            folds,
            range,
            path,
            file,
            piece: vec![0; SEAL_BYTES],
            written: 0,
            directory: Directory::default(),
            kept: Vec::new(),
            frames: 0,
            renamed: false,
        })
    }

    /// Frames that are left out, in place of so many that would be put.
    pub fn leave_out(&mut self, frames: u32) {
        self.directory.leave_out(frames);
        self.frames += frames;
    }

    fn offset(&self) -> u64 {
        self.written + self.piece.len() as u64
    }

    fn write_piece(&mut self) -> Result<(), StoreError> {
        self.file.write_at(&self.piece, self.written).map_err(failed("write", &self.path))?;
        self.written += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    fn put_directories(&mut self) -> Result<Seal, StoreError> {
        let directory = self.directory.encode();
        let first = self.offset();
        let second = first + (directory.len() + BETWEEN_DIRECTORIES_BYTES) as u64;
        let seal = Seal {
            store: self.folds.store,
            range: self.range,
            frames: self.frames,
            directories: [first, second],
            directory_bytes: directory.len() as u64,
            directory_crc: crc32fast::hash(&directory),
            bytes: second + (directory.len() + SEAL_BYTES) as u64,
            knows: self.folds.reach().max(self.range.last),
        };
        self.piece.extend_from_slice(&directory);
        self.piece.resize(self.piece.len() + BETWEEN_DIRECTORIES_BYTES, 0);
        self.write_piece()?;
        self.piece.extend_from_slice(&directory);
        self.write_piece()?;
        self.piece.extend_from_slice(&seal.encode());
        self.write_piece()?;
        self.file.write_at(&seal.encode(), 0).map_err(failed("write", &self.path))?;
        Ok(seal)
    }
}

impl FoldWriter for Writer {
    fn put(&mut self, line: Line, frame: &[u8]) -> Result<FrameRef, StoreError> {
        let number = self.frames;
        self.frames = number.checked_add(1).expect("a fold holds fewer than 2^32 frames");
        let bytes = u32::try_from(frame.len()).expect("a frame is far below 4 GiB");
        let (spot, crc) = (Spot { offset: self.offset(), bytes }, crc32fast::hash(frame));
        self.piece.extend_from_slice(&frame_head(number, bytes, crc));
        self.piece.extend_from_slice(frame);
        debug_assert_eq!(self.offset() - spot.offset, FRAME_HEAD_BYTES as u64 + u64::from(bytes));
        self.directory.add(&line, spot, crc);
        self.kept.push(Kept { offset: spot.offset, bytes, number });
        if self.piece.len() >= PIECE_BYTES {
            self.write_piece()?;
        }
        Ok(FrameRef { fold: self.range.last, number, crc })
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let seal = self.put_directories()?;
        if !planted::is(Bug::RenameBeforeSync) {
            self.file.sync_data().map_err(failed("sync", &self.path))?;
        }
        let path = self.folds.dir.join(self.range.file_name());
        self.folds.disk.rename(&self.path, &path).map_err(failed("rename", &path))?;
        self.renamed = true;
        let kept = std::mem::take(&mut self.kept).into_boxed_slice();
        self.folds.add(Fold::new(&self.folds, path, &seal, kept))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.renamed {
            // What is left under a temporary name is removed at opening: nothing hangs on this.
            let _ = self.folds.disk.remove(&self.path);
        }
    }
}
