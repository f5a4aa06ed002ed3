//! A data directory that cannot be opened, looked at file by file. Nothing is written, and nothing is believed of one
//! file because another says so.

use super::failed::{damaged, failed};
use super::folds::check::Check;
use super::folds::file::Range;
use super::format;
use super::log::recovery::{Stop, walk};
use super::log::segment::{Segment, segment_number, segment_path};
use crate::disk::{Disk, Open};
use crate::store::{Checked, StoreError};
use std::ops::ControlFlow::{self, Continue};
use std::path::Path;

/// Whether a directory holds a store, or what is left of one.
pub fn is_store(disk: &dyn Disk, dir: &Path) -> Result<bool, StoreError> {
    for name in ["FORMAT", "log", "folds"] {
        let path = dir.join(name);
        if disk.exists(&path).map_err(failed("look for", &path))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How much room a directory's server kept for folding: who opens the directory in its place keeps it so.
pub fn reserve_bytes(disk: &dyn Disk, dir: &Path) -> Result<u64, StoreError> {
    let path = dir.join("RESERVE");
    if !disk.exists(&path).map_err(failed("look for", &path))? {
        return Ok(0);
    }
    let file = disk.open(&path, Open::Read).map_err(failed("open", &path))?;
    file.len().map_err(failed("measure", &path))
}

/// Tells `each` of every damage: of `FORMAT`, fold files, and segments of the log. Memory: a segment.
pub fn look(disk: &dyn Disk, dir: &Path, each: &mut Checked) -> ControlFlow<()> {
    let store = match format::read(disk, dir) {
        Ok(Some(store)) => store,
        Ok(None) => return each(0, Some(format::missing(dir))),
        Err(error) => return each(0, Some(error)),
    };
    folds(disk, &dir.join("folds"), store, each)?;
    log(disk, &dir.join("log"), store, each)
}

fn folds(disk: &dyn Disk, dir: &Path, store: [u8; 16], each: &mut Checked) -> ControlFlow<()> {
    let names = match disk.list(dir).map_err(failed("list", dir)) {
        Ok(names) => names,
        Err(error) => return each(0, Some(error)),
    };
    let mut reach = 0;
    for range in names.iter().filter_map(|(name, _)| Range::parse(name)) {
        if range.first.0 > reach + 1 {
            let what = format!("no fold file holds records {} to {}", reach + 1, range.first.0 - 1);
            each(0, Some(damaged(dir, 0, what)))?;
        }
        reach = reach.max(range.last.0);
        let path = dir.join(range.file_name());
        match disk.open(&path, Open::Read).map_err(failed("open", &path)) {
            Ok(file) => Check { file: &*file, path: &path, store, range, bodies: true }.run(each)?,
            Err(error) => each(0, Some(error))?,
        }
    }
    Continue(())
}

fn log(disk: &dyn Disk, dir: &Path, store: [u8; 16], each: &mut Checked) -> ControlFlow<()> {
    let names = match disk.list(dir).map_err(failed("list", dir)) {
        Ok(names) => names,
        Err(error) => return each(0, Some(error)),
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(|(name, _)| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut after: Option<Segment> = None;
    // From the last one back: each says where the log ends in the one before.
    for number in numbers.into_iter().rev() {
        let segment = match Segment::open(disk, dir, number, store) {
            Ok(segment) => segment,
            Err(error) => {
                each(0, Some(error))?;
                after = None;
                continue;
            }
        };
        if let Some(next) = &after
            && next.header.before != 0
            && next.header.before > number
        {
            let missing = segment_path(dir, next.header.before);
            each(0, Some(damaged(&missing, 0, "it is missing, and the log goes on from it")))?;
        }
        let known = after.as_ref().filter(|next| next.header.before == number).map(|next| next.header.before_end);
        match segment.read(known.unwrap_or(segment.header.bytes).min(segment.header.bytes)) {
            Ok(bytes) => {
                let mut lost = Vec::new();
                let walk = walk(&bytes, &segment.header, &mut |placed| {
                    lost.extend(placed.lost.map(|what| damaged(&segment.path, placed.offset, what)));
                });
                // In the last segment it may be its torn end.
                lost.into_iter().filter(|_| known.is_some()).try_for_each(|error| each(0, Some(error)))?;
                // Where nothing says how far the log goes, a bad record may be its torn end.
                let wrong = match (walk.stop, known) {
                    (Stop::Bad(what), Some(_)) => Some(damaged(&segment.path, walk.offset, what)),
                    (Stop::Mark(..), Some(_)) => Some(damaged(&segment.path, walk.offset, "the log ends too early")),
                    _ => None,
                };
                each(bytes.len() as u64, wrong)?;
            }
            Err(error) => each(0, Some(error))?,
        }
        after = Some(segment);
    }
    Continue(())
}
