//! A file of the log: its name, its header byte by byte, and how one comes to be.
//!
//! `log/00000000000000000001.log`; the number grows and is never used twice. Numbers are little-endian:
//!
//! ```text
//!   0   8  "MPSEGMNT"
//!   8   4  format version: 1
//!  12  16  id of the store
//!  28   8  number of the segment
//!  36   8  salt: where every checksum of its records starts
//!  44   8  number of its first group
//!  52   8  position of its first record
//!  60   8  number of the segment before it, 0: none
//!  68   8  where the log ends in the one before: what lies beyond is never read
//!  76   8  length of the file: it never changes
//!  84  40  0
//! 124   4  CRC-32 of bytes 0 to 123
//! 128      records
//! ```
//!
//! The rest is zeros, written and synced under a temporary name before the segment gets its own: so that a
//! commit changes no length and its one `fdatasync` is cheap, and no segment is ever seen half made.

use super::record::{MARK_BYTES, Salt};
use crate::disk::{Disk, DiskFile, Open};
use crate::planted::{self, Bug};
use crate::store::embedded::failed::{damaged, failed};
use crate::store::embedded::sync_names;
use crate::store::{Position, StoreError};
use bytes::{Buf, BufMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where records start.
pub const HEADER_BYTES: usize = 128;
/// What a segment needs beside its records: the header, and the mark at its end.
pub const FRAME_BYTES: u64 = (HEADER_BYTES + MARK_BYTES) as u64;
/// How names of files that are not yet, or no longer, part of the log end.
pub const TEMPORARY: &str = ".tmp";

const MAGIC: &[u8; 8] = b"MPSEGMNT";
const VERSION: u32 = 1;

/// What a segment says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The store it belongs to.
    pub store: [u8; 16],
    /// Grows; never used twice.
    pub number: u64,
    /// Where its checksums start.
    pub salt: Salt,
    /// Its first group.
    pub first_group: u64,
    /// Its first record.
    pub first_position: Position,
    /// The segment before it; 0: none.
    pub before: u64,
    /// Where the log ends in the one before.
    pub before_end: u64,
    /// The length of the file.
    pub bytes: u64,
}

/// A segment that is part of the log.
#[derive(Clone)]
pub struct Segment {
    /// Its file's path.
    pub path: PathBuf,
    /// Its file.
    pub file: Arc<dyn DiskFile>,
    /// What it says of itself.
    pub header: Header,
    /// Where the log ends in it: what lies before is synced.
    pub end: u64,
}

/// A segment's path in the folder of the log.
pub fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.log"))
}

/// The number in a segment's name; None for other names.
pub fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

impl Header {
    /// The bytes of the header.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.put_u32_le(VERSION);
        out.extend_from_slice(&self.store);
        out.put_u64_le(self.number);
        out.put_u64_le(self.salt.0);
        out.put_u64_le(self.first_group);
        out.put_u64_le(self.first_position.0);
        out.put_u64_le(self.before);
        out.put_u64_le(self.before_end);
        out.put_u64_le(self.bytes);
        out.resize(HEADER_BYTES - 4, 0);
        let crc = crc32fast::hash(&out);
        out.put_u32_le(crc);
        out
    }

    /// The header of a file.
    pub fn read(file: &dyn DiskFile, path: &Path) -> Result<Header, StoreError> {
        let mut bytes = [0; HEADER_BYTES];
        file.read_at(&mut bytes, 0).map_err(failed("read", path))?;
        Header::decode(&bytes, path)
    }

    fn decode(bytes: &[u8; HEADER_BYTES], path: &Path) -> Result<Header, StoreError> {
        let crc = (&bytes[HEADER_BYTES - 4..]).get_u32_le();
        if &bytes[..8] != MAGIC || crc32fast::hash(&bytes[..HEADER_BYTES - 4]) != crc {
            return Err(damaged(path, 0, "the header's checksum differs"));
        }
        let mut fields = &bytes[8..];
        let version = fields.get_u32_le();
        if version != VERSION {
            let file = path.display().to_string();
            return Err(StoreError::Format { file, found: version.to_string(), known: VERSION });
        }
        let mut store = [0; 16];
        fields.copy_to_slice(&mut store);
        Ok(Header {
            store,
            number: fields.get_u64_le(),
            salt: Salt(fields.get_u64_le()),
            first_group: fields.get_u64_le(),
            first_position: Position(fields.get_u64_le()),
            before: fields.get_u64_le(),
            before_end: fields.get_u64_le(),
            bytes: fields.get_u64_le(),
        })
    }
}

impl Segment {
    /// Opens the segment of a number and checks its header.
    pub fn open(disk: &dyn Disk, dir: &Path, number: u64, store: [u8; 16]) -> Result<Segment, StoreError> {
        let segment = Segment::open_any(disk, dir, number, store)?;
        segment.length().map(|()| segment)
    }

    /// As [`Segment::open`], of a file that may be too short: what is missing of it.
    pub fn open_cut(
        disk: &dyn Disk,
        dir: &Path,
        number: u64,
        store: [u8; 16],
    ) -> Result<(Segment, Option<StoreError>), StoreError> {
        let mut segment = Segment::open_any(disk, dir, number, store)?;
        let cut = segment.length().err();
        let length = segment.file.len().map_err(failed("measure", &segment.path))?;
        segment.header.bytes = segment.header.bytes.min(length);
        Ok((segment, cut))
    }

    fn open_any(disk: &dyn Disk, dir: &Path, number: u64, store: [u8; 16]) -> Result<Segment, StoreError> {
        let path = segment_path(dir, number);
        let file = disk.open(&path, Open::Write).map_err(failed("open", &path))?;
        let header = Header::read(file.as_ref(), &path)?;
        if header.store != store || header.number != number {
            return Err(damaged(&path, 0, "it is another store's, or another segment's"));
        }
        Ok(Segment { path, file, header, end: HEADER_BYTES as u64 })
    }

    /// That the file has its length.
    fn length(&self) -> Result<(), StoreError> {
        let length = self.file.len().map_err(failed("measure", &self.path))?;
        match self.header.bytes {
            bytes if bytes == length => Ok(()),
            bytes => Err(damaged(&self.path, length, format!("it has {length} bytes and should have {bytes}"))),
        }
    }

    /// The bytes from the file's start up to `end`.
    pub fn read(&self, end: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; usize::try_from(end).expect("a segment fits in memory")];
        self.file.read_at(&mut bytes, 0).map_err(failed("read", &self.path))?;
        Ok(bytes)
    }
}

/// A file of zeros that can become a segment; removed when it does not.
pub struct Blank {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    bytes: u64,
    placed: bool,
}

impl Blank {
    /// Makes and syncs one under a temporary name. Costs as long as the disk takes to write `bytes`.
    pub fn make(disk: &Arc<dyn Disk>, path: &Path, bytes: u64) -> Result<Blank, StoreError> {
        if disk.exists(path).map_err(failed("look for", path))? {
            disk.remove(path).map_err(failed("remove", path))?;
        }
        let file = disk.open(path, Open::Create).map_err(failed("create", path))?;
        let blank = Blank { disk: disk.clone(), path: path.to_path_buf(), file, bytes, placed: false };
        blank.file.fill_with_zeros(bytes).map_err(failed("write", path))?;
        blank.file.sync_data().map_err(failed("sync", path))?;
        Ok(blank)
    }

    /// The length of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes the header and the first records, and syncs. It is not part of the log yet.
    pub fn fill(&self, header: &Header, records: &[u8]) -> Result<(), StoreError> {
        assert!(header.bytes == self.bytes && (HEADER_BYTES + records.len()) as u64 <= self.bytes);
        let mut start = header.encode();
        start.extend_from_slice(records);
        self.file.write_at(&start, 0).map_err(failed("write", &self.path))?;
        self.file.sync_data().map_err(failed("sync", &self.path))
    }

    /// The segment that it would be; its file is removed, and gone once nobody holds it.
    pub fn unplaced(self, header: Header, end: u64) -> Segment {
        Segment { path: self.path.clone(), file: self.file.clone(), header, end }
    }

    /// Gives the file its name in the log, for good. `end` is where the records end that it was filled with.
    pub fn place(mut self, dir: &Path, header: Header, end: u64) -> Result<Segment, StoreError> {
        let path = segment_path(dir, header.number);
        self.disk.rename(&self.path, &path).map_err(failed("rename", &path))?;
        self.placed = true;
        // Else the next opening would let go of the segment before it, because of one that a power cut takes away.
        if !planted::is(Bug::SkipDirectorySync) {
            sync_names(self.disk.as_ref(), dir, || self.disk.remove(&path))?;
        }
        Ok(Segment { path, file: self.file.clone(), header, end })
    }
}

impl Drop for Blank {
    fn drop(&mut self) {
        if !self.placed {
            // What is left under a temporary name is removed when the log is opened: nothing hangs on this.
            let _ = self.disk.remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_no_flipped_bit_is_believed() {
        let header = Header {
            store: [7; 16],
            number: 12,
            salt: Salt(99),
            first_group: 4,
            first_position: Position(5),
            before: 11,
            before_end: 640,
            bytes: 4096,
        };
        let bytes: [u8; HEADER_BYTES] = header.encode().try_into().expect("a header has its length");
        let path = Path::new("log/x");
        assert_eq!(Header::decode(&bytes, path).ok(), Some(header));
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped, path).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8] = 7;
        let crc = crc32fast::hash(&bytes[..HEADER_BYTES - 4]).to_le_bytes();
        bytes[HEADER_BYTES - 4..].copy_from_slice(&crc);
        let error = Header::decode(&bytes, Path::new("log/x")).expect_err("it is too new");
        assert_eq!(error.to_string(), "log/x has format 7; this milepost reads format 1");
    }

    #[test]
    fn names_carry_the_number() {
        let path = segment_path(Path::new("log"), 42);
        assert_eq!(path.file_name().and_then(|n| n.to_str()).and_then(segment_number), Some(42));
        assert_eq!(segment_number("42.log"), None);
        assert_eq!(segment_number("spare.tmp"), None);
    }
}
