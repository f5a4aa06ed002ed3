//! Copying the files of a store: each is checked as it is written, and synced.

use super::manifest::Listed;
use super::target::Target;
use super::{BackedUp, BackupError, Progress};
use crate::disk::{Disk, DiskFile, Open};
use crate::planted::{self, Bug};
use crate::store::embedded::failed::{damaged, failed};
use crate::store::embedded::folds::check::Check;
use crate::store::embedded::folds::fold::Fold;
use crate::store::embedded::log::recovery::{Stop, walk};
use crate::store::embedded::log::segment::{HEADER_BYTES, Segment, segment_path};
use crate::store::{Position, StoreError};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Copied in pieces of this.
pub const PIECE_BYTES: usize = 1 << 20;

/// A copying, under way.
pub struct Copying<'a, 'b> {
    /// The files.
    pub disk: &'a dyn Disk,
    /// Whose they are.
    pub store: [u8; 16],
    /// What it comes to.
    pub made: &'a mut BackedUp,
    /// Who is told, and may stop it.
    pub progress: &'a mut Progress<'b>,
}

impl Copying<'_, '_> {
    fn tell(&mut self, bytes: u64) -> Result<(), BackupError> {
        match (self.progress)(bytes) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BackupError::Stopped),
        }
    }
}

/// Copies the fold files that the target has not.
pub fn copy_folds(copying: &mut Copying, target: &Target, folds: &[Arc<Fold>]) -> Result<Vec<Listed>, BackupError> {
    let mut files = Vec::with_capacity(folds.len());
    for fold in folds {
        let name = fold.range.file_name();
        let path = target.folds().join(&name);
        let listed = format!("folds/{name}");
        let known = target.manifest.files.iter().find(|file| file.name == listed && file.bytes == fold.bytes);
        let there = match known {
            Some(known) if is_long(copying.disk, &path, known.bytes)? => Some(known.clone()),
            _ => None,
        };
        match there {
            Some(known) => {
                copying.made.there.add(known.bytes);
                files.push(known);
            }
            None => {
                let crc = copy_fold(copying, fold, &path)?;
                copying.made.copied.add(fold.bytes);
                files.push(Listed { name: listed, bytes: fold.bytes, crc });
            }
        }
    }
    Ok(files)
}

/// Whether a file is there and has its length. What it says is looked at when it is restored.
fn is_long(disk: &dyn Disk, path: &Path, bytes: u64) -> Result<bool, StoreError> {
    if !disk.exists(path).map_err(failed("look for", path))? {
        return Ok(false);
    }
    let file = disk.open(path, Open::Read).map_err(failed("open", path))?;
    Ok(file.len().map_err(failed("measure", path))? == bytes)
}

/// Copies one, under a temporary name until it is whole. Answers the CRC-32 of its bytes.
fn copy_fold(copying: &mut Copying, fold: &Fold, path: &Path) -> Result<u32, BackupError> {
    let temporary = path.with_extension("fold.tmp");
    let from = copying.disk.open(&fold.path, Open::Read).map_err(failed("open", &fold.path))?;
    let to = create(copying.disk, &temporary)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES.min(fold.bytes as usize)];
    let mut at = 0;
    while at < fold.bytes {
        let some = piece.len().min((fold.bytes - at) as usize);
        from.read_at(&mut piece[..some], at).map_err(failed("read", &fold.path))?;
        to.write_at(&piece[..some], at).map_err(failed("write", &temporary))?;
        hasher.update(&piece[..some]);
        at += some as u64;
        copying.tell(some as u64)?;
    }
    to.sync_data().map_err(failed("sync", &temporary))?;
    // What was written is what is checked; what is wrong with it is told by the name of what was read.
    let mut wrong = None;
    let check = Check { file: &*to, path: &fold.path, store: copying.store, range: fold.range, bodies: true };
    let _ = check.run(&mut |_, damage| match damage {
        None => ControlFlow::Continue(()),
        Some(error) => {
            wrong = Some(error);
            ControlFlow::Break(())
        }
    });
    if let Some(error) = wrong {
        copying.disk.remove(&temporary).map_err(failed("remove", &temporary))?;
        return Err(error.into());
    }
    copying.disk.rename(&temporary, path).map_err(failed("rename", path))?;
    Ok(hasher.finalize())
}

/// Copies the segments of the log, each up to where the log ends in it.
pub fn copy_log(
    copying: &mut Copying,
    dir: &Path,
    number: u64,
    segments: &[Segment],
) -> Result<Vec<Listed>, BackupError> {
    let mut files = Vec::with_capacity(segments.len());
    for (i, segment) in segments.iter().enumerate() {
        let mut bytes = segment.read(segment.end)?;
        let (mut last, mut lost) = (None, None);
        let walk = walk(&bytes, &segment.header, &mut |placed| {
            copying.made.revisions.insert(placed.record.component, placed.record.revision);
            last = Some(Position(placed.place.position));
            lost = lost.take().or(placed.lost.map(|what| damaged(&segment.path, placed.offset, what)));
        });
        if let Some(error) = lost {
            return Err(error.into());
        }
        let follows = segments.get(i + 1).is_none_or(|next| next.header.first_position.0 == walk.next_position);
        match walk.stop {
            Stop::End if follows => {}
            Stop::Bad(what) => return Err(damaged(&segment.path, walk.offset, what).into()),
            _ => return Err(damaged(&segment.path, walk.offset, "the log ends here and should go on").into()),
        }
        if planted::is(Bug::BackupWithoutLog) {
            bytes.truncate(HEADER_BYTES);
        }
        let path = segment_path(dir, segment.header.number);
        let to = create(copying.disk, &path)?;
        for (piece, at) in bytes.chunks(PIECE_BYTES).zip((0..).step_by(PIECE_BYTES)) {
            to.write_at(piece, at).map_err(failed("write", &path))?;
            copying.tell(piece.len() as u64)?;
        }
        to.sync_data().map_err(failed("sync", &path))?;
        let name = path.file_name().and_then(|name| name.to_str()).expect("a segment's name is text");
        let listed =
            Listed { name: format!("log.{number}/{name}"), bytes: bytes.len() as u64, crc: crc32fast::hash(&bytes) };
        copying.made.copied.add(listed.bytes);
        copying.made.through = copying.made.through.max(last.unwrap_or_default());
        files.push(listed);
    }
    Ok(files)
}

/// An empty file in place of what an earlier attempt left.
pub fn create(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
    if disk.exists(path).map_err(failed("look for", path))? {
        disk.remove(path).map_err(failed("remove", path))?;
    }
    disk.open(path, Open::Create).map_err(failed("create", path))
}
