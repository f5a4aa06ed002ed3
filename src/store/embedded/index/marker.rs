//! `index/CLEAN`: says that the index was closed, and what every byte of it came to then. Taken away before sled
//! is opened: an index without it is never believed. Numbers are little-endian:
//!
//! ```text
//!   0   8  "MPCLEAN\0"
//!   8   4  format version: 1
//!  12  16  id of the store
//!  28   8  the position that the index covers the folds through
//!  36   8  number of the folder: sled-N
//!  44   4  number of files
//!        then for each file in that folder, sorted by name:
//!   0   2  length of its name
//!   2   .  its name, with the folders below sled-N
//!   .   8  its length
//!   .   4  CRC-32 of its bytes
//!        and last:
//!   .   4  CRC-32 of everything before
//! ```

use crate::disk::{Disk, Open};
use crate::store::embedded::failed::{damaged, failed};
use crate::store::{Position, StoreError};
use bytes::{Buf, BufMut, TryGetError};
use std::path::Path;

const NAME: &str = "CLEAN";
const TEMPORARY_NAME: &str = "CLEAN.tmp";
const MAGIC: &[u8; 8] = b"MPCLEAN\0";
const VERSION: u32 = 1;
/// Files are read in pieces of this.
const PIECE_BYTES: u64 = 1 << 20;

/// What `CLEAN` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Marker {
    /// The store it belongs to.
    pub store: [u8; 16],
    /// What the index covers.
    pub through: Position,
    /// The folder.
    pub number: u64,
    /// Every file in it.
    pub files: Vec<FileSum>,
}

/// What a file's bytes come to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FileSum {
    name: String,
    bytes: u64,
    crc: u32,
}

impl Marker {
    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.put_u32_le(VERSION);
        out.extend_from_slice(&self.store);
        out.put_u64_le(self.through.0);
        out.put_u64_le(self.number);
        out.put_u32_le(u32::try_from(self.files.len()).expect("an index has few files"));
        for file in &self.files {
            out.put_u16_le(u16::try_from(file.name.len()).expect("a name of a file is short"));
            out.extend_from_slice(file.name.as_bytes());
            out.put_u64_le(file.bytes);
            out.put_u32_le(file.crc);
        }
        let crc = crc32fast::hash(&out);
        out.put_u32_le(crc);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Marker> {
        let (said, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let said = said.strip_prefix(MAGIC).filter(|_| crc32fast::hash(said).to_le_bytes() == crc)?;
        Marker::decode_fields(said).ok()?
    }

    fn decode_fields(mut said: &[u8]) -> Result<Option<Marker>, TryGetError> {
        if said.try_get_u32_le()? != VERSION {
            return Ok(None);
        }
        let mut store = [0; 16];
        said.try_copy_to_slice(&mut store)?;
        let (through, number) = (Position(said.try_get_u64_le()?), said.try_get_u64_le()?);
        let mut files = Vec::new();
        for _ in 0..said.try_get_u32_le()? {
            let mut name = vec![0; said.try_get_u16_le()? as usize];
            said.try_copy_to_slice(&mut name)?;
            let Ok(name) = String::from_utf8(name) else { return Ok(None) };
            files.push(FileSum { name, bytes: said.try_get_u64_le()?, crc: said.try_get_u32_le()? });
        }
        Ok(said.is_empty().then_some(Marker { store, through, number, files }))
    }
}

/// Puts the marker on stable storage.
pub fn write(disk: &dyn Disk, dir: &Path, marker: &Marker) -> Result<(), StoreError> {
    let (path, temporary) = (dir.join(NAME), dir.join(TEMPORARY_NAME));
    let file = disk.open(&temporary, Open::Create).map_err(failed("create", &temporary))?;
    file.write_at(&marker.encode(), 0).map_err(failed("write", &temporary))?;
    file.sync_data().map_err(failed("sync", &temporary))?;
    disk.rename(&temporary, &path).map_err(failed("rename", &path))?;
    disk.sync_dir(dir).map_err(failed("sync", dir))
}

/// Reads the marker and takes it away, for good, before it is believed. None where it is missing or damaged.
pub fn take(disk: &dyn Disk, dir: &Path) -> Result<Option<Marker>, StoreError> {
    let (path, temporary) = (dir.join(NAME), dir.join(TEMPORARY_NAME));
    if disk.exists(&temporary).map_err(failed("look for", &temporary))? {
        disk.remove(&temporary).map_err(failed("remove", &temporary))?;
    }
    if !disk.exists(&path).map_err(failed("look for", &path))? {
        return Ok(None);
    }
    let file = disk.open(&path, Open::Read).map_err(failed("open", &path))?;
    let mut bytes = vec![0; file.len().map_err(failed("measure", &path))? as usize];
    let read = file.read_at(&mut bytes, 0);
    disk.remove(&path).map_err(failed("remove", &path))?;
    disk.sync_dir(dir).map_err(failed("sync", dir))?;
    Ok(read.ok().and_then(|()| Marker::decode(&bytes)))
}

/// What every file in a folder comes to; each is synced first, and its folder after, where `sync`.
pub fn sum_files(disk: &dyn Disk, dir: &Path, sync: bool) -> Result<Vec<FileSum>, StoreError> {
    let mut files = Vec::new();
    sum_below(disk, dir, "", sync, &mut files)?;
    files.sort();
    Ok(files)
}

fn sum_below(disk: &dyn Disk, dir: &Path, prefix: &str, sync: bool, sums: &mut Vec<FileSum>) -> Result<(), StoreError> {
    for (name, is_dir) in disk.list(dir).map_err(failed("list", dir))? {
        let path = dir.join(&name);
        let name = format!("{prefix}{name}");
        if is_dir {
            sum_below(disk, &path, &format!("{name}/"), sync, sums)?;
            continue;
        }
        let file = disk.open(&path, Open::Read).map_err(failed("open", &path))?;
        if sync {
            file.sync_data().map_err(failed("sync", &path))?;
        }
        let bytes = file.len().map_err(failed("measure", &path))?;
        let mut hasher = crc32fast::Hasher::new();
        let mut offset = 0;
        while offset < bytes {
            let mut piece = vec![0; PIECE_BYTES.min(bytes - offset) as usize];
            file.read_at(&mut piece, offset).map_err(|_| damaged(&path, offset, "it cannot be read"))?;
            hasher.update(&piece);
            offset += piece.len() as u64;
        }
        sums.push(FileSum { name, bytes, crc: hasher.finalize() });
    }
    match sync {
        true => disk.sync_dir(dir).map_err(failed("sync", dir)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_comes_back_and_no_flipped_bit_is_believed() {
        let files =
            vec![FileSum { name: "blobs/1".into(), bytes: 7, crc: 8 }, FileSum { name: "db".into(), bytes: 0, crc: 0 }];
        let marker = Marker { store: [1; 16], through: Position(77), number: 3, files };
        let bytes = marker.encode();
        assert_eq!(Marker::decode(&bytes), Some(marker));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Marker::decode(&flipped), None, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert_eq!(Marker::decode(&bytes[..end]), None, "cut at {end}");
        }
    }
}
