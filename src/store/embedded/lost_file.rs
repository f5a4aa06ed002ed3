//! `LOST`: what was given up, for people: a line each, added at the end, on stable storage before it is given up.

use super::failed::failed;
use super::sync_names;
use crate::disk::{Disk, Open};
use crate::store::StoreError;
use std::path::Path;

/// The file's name in the data directory.
pub const NAME: &str = "LOST";

/// Adds lines. `Ok` means: on stable storage.
pub fn write(disk: &dyn Disk, dir: &Path, lines: impl Iterator<Item = String>) -> Result<(), StoreError> {
    let path = dir.join(NAME);
    let file = disk.open(&path, Open::CreateOrOpen).map_err(failed("open", &path))?;
    let text: String = lines.map(|line| line + "\n").collect();
    let end = file.len().map_err(failed("measure", &path))?;
    file.write_at(text.as_bytes(), end).map_err(failed("write", &path))?;
    file.sync_data().map_err(failed("sync", &path))?;
    sync_names(disk, dir, || if end == 0 { disk.remove(&path) } else { Ok(()) })
}
