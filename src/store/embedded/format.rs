//! `FORMAT`: what a data directory is, for people and for other versions. Written last when a store is made, so
//! that a half-made one is begun again.
//!
//! ```text
//! milepost data directory
//! format 1
//! store 0f1e2d3c4b5a69788796a5b4c3d2e1f0
//! ```
//!
//! `store` is the id that every file of the store carries.

use super::failed::{damaged, failed};
use super::sync_names;
use crate::disk::{Disk, Open};
use crate::store::StoreError;
use std::path::Path;

const NAME: &str = "FORMAT";
const FIRST_LINE: &str = "milepost data directory";
const FORMAT: u32 = 1;
/// Longer than any version's file.
const BYTES_MAX: u64 = 4096;

/// The store's id; None where no store is there yet.
pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<[u8; 16]>, StoreError> {
    let path = dir.join(NAME);
    if !disk.exists(&path).map_err(failed("look for", &path))? {
        return Ok(None);
    }
    let file = disk.open(&path, Open::Read).map_err(failed("open", &path))?;
    let mut bytes = vec![0; file.len().map_err(failed("measure", &path))?.min(BYTES_MAX) as usize];
    file.read_at(&mut bytes, 0).map_err(failed("read", &path))?;
    let text = String::from_utf8(bytes).map_err(|_| damaged(&path, 0, "it is not text"))?;
    let mut lines = text.lines();
    let format = lines.next().filter(|line| *line == FIRST_LINE).and(lines.next());
    let format = format.and_then(|line| line.strip_prefix("format "));
    let format = format.ok_or_else(|| damaged(&path, 0, "it does not say which format"))?;
    if format != FORMAT.to_string() {
        let file = path.display().to_string();
        return Err(StoreError::Format { file, found: format.to_string(), known: FORMAT });
    }
    let store = lines.next().and_then(|line| line.strip_prefix("store ")).and_then(parse_id);
    match (store, lines.next()) {
        (Some(store), None) => Ok(Some(store)),
        _ => Err(damaged(&path, 0, "it does not say the store's id")),
    }
}

/// Makes the directory a store's.
pub fn write(disk: &dyn Disk, dir: &Path, store: [u8; 16]) -> Result<(), StoreError> {
    let (path, temporary) = (dir.join(NAME), dir.join("FORMAT.tmp"));
    let id: String = store.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = disk.open(&temporary, Open::CreateOrOpen).map_err(failed("create", &temporary))?;
    let text = format!("{FIRST_LINE}\nformat {FORMAT}\nstore {id}\n");
    file.set_len(0).map_err(failed("write", &temporary))?;
    file.write_at(text.as_bytes(), 0).map_err(failed("write", &temporary))?;
    file.sync_data().map_err(failed("sync", &temporary))?;
    disk.rename(&temporary, &path).map_err(failed("rename", &path))?;
    sync_names(disk, dir, || disk.remove(&path))
}

/// That `FORMAT` is missing: for a directory that holds a store all the same.
pub fn missing(dir: &Path) -> StoreError {
    damaged(&dir.join(NAME), 0, "it is missing, and the directory holds a store")
}

/// An id as `FORMAT` writes it.
pub fn parse_id(text: &str) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(id)
}
