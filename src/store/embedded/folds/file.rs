//! A fold file, byte by byte.
//!
//! `folds/00000000000000000001-00000000000000004096.g0.fold`: the first and the last position of the log that it
//! covers, and its generation. Numbers are little-endian:
//!
//! ```text
//! seal, 128 bytes, the first and the last of the file, so that either will do:
//!   0   8  "MPFOLDED"
//!   8   4  format version: 2; in 1 none was left out, and sums were wide
//!  12  16  id of the store
//!  28   8  first position covered
//!  36   8  last position covered
//!  44   4  generation
//!  48   4  number of frames, those that were left out too
//!  52   8  where the first copy of the directory starts
//!  60   8  where the second copy starts
//!  68   8  length of one copy
//!  76   4  CRC-32 of one copy
//!  80   8  length of the file
//!  88   8  the last position that folds reached when it was written: what is left out of it may rest on all of
//!           these; 0 in the first files, which do not say it
//!  96  28  0
//! 124   4  CRC-32 of bytes 0 to 123
//!
//! frame, from byte 128 on, one behind the other:
//!   0   4  its number, from 0
//!   4   4  L, its length
//!   8   4  CRC-32 of its bytes
//!  12   4  CRC-32 of bytes 0 to 11
//!  16   L  its bytes
//!
//! directory, twice, with 4,096 bytes of zeros between (the first files had none), so that one bad sector of a disk
//! does not take both:
//!   0   4  number of components
//!       then for each: 1 length, its name
//!       then for each frame:
//!   0   4  its component, counted from 0 in the list above
//!   4   1  kind
//!   5   8  where the frame starts
//!  13   4  L
//!  17   4  CRC-32 of its bytes
//!  21   4  S, the length of the summary
//!  25   S  the summary
//!       and in place of lines of frames that follow each other and were left out:
//!   0   4  2^32 - 1
//!   4   1  0
//!   5   8  0
//!  13   4  how many
//!  17   8  0
//! ```
//!
//! A frame without bytes that is a block or a run was given up, and one that was left out is not there at all, nor its
//! head: nothing refers to either. Numbers stay as they were, so that every other reference does.
//!
//! The file is written under a temporary name, the first seal last, and synced before it gets its own.

use crate::disk::DiskFile;
use crate::domain::name::ComponentName;
use crate::store::embedded::failed::{damaged, failed};
use crate::store::{FrameRef, Line, Position, StoreError};
use bytes::{Buf, BufMut, Bytes, TryGetError};
use std::collections::HashMap;
use std::path::Path;

/// The length of a seal.
pub const SEAL_BYTES: usize = 128;
/// Zeros between the copies of the directory.
pub const BETWEEN_DIRECTORIES_BYTES: usize = 4_096;
/// What stands before a frame's bytes.
pub const FRAME_HEAD_BYTES: usize = 16;
/// What a line of the directory takes beside its summary.
pub const LINE_BYTES: usize = 25;

const MAGIC: &[u8; 8] = b"MPFOLDED";
const VERSION: u32 = 2;
/// Stands for the component in a line of frames that were left out.
const LEFT_OUT: u32 = u32::MAX;

/// Which positions a file covers, and how often what it holds was rewritten.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Range {
    /// The first position.
    pub first: Position,
    /// The last position.
    pub last: Position,
    /// 0 as folded; one more each time it is rewritten.
    pub generation: u32,
}

/// What a file says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seal {
    /// The store it belongs to.
    pub store: [u8; 16],
    /// What it covers.
    pub range: Range,
    /// How many frames it has, those that were left out too.
    pub frames: u32,
    /// Where the two copies of the directory start.
    pub directories: [u64; 2],
    /// The length of one copy.
    pub directory_bytes: u64,
    /// The checksum of one copy.
    pub directory_crc: u32,
    /// The length of the file.
    pub bytes: u64,
    /// The last position that folds reached when it was written; 0: it does not say.
    pub knows: Position,
}

/// Where a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spot {
    /// Where its head starts.
    pub offset: u64,
    /// The length of its bytes.
    pub bytes: u32,
}

impl Range {
    /// The file's name.
    pub fn file_name(&self) -> String {
        format!("{:020}-{:020}.g{}.fold", self.first.0, self.last.0, self.generation)
    }

    /// What a name says; None for other names.
    pub fn parse(name: &str) -> Option<Range> {
        let (first, rest) = name.strip_suffix(".fold")?.split_once('-')?;
        let (last, generation) = rest.split_once(".g")?;
        let (first, last) = (Position(first.parse().ok()?), Position(last.parse().ok()?));
        let range = Range { first, last, generation: generation.parse().ok()? };
        (range.file_name() == name && first <= last).then_some(range)
    }
}

/// The head of a frame.
pub fn frame_head(number: u32, bytes: u32, crc: u32) -> [u8; FRAME_HEAD_BYTES] {
    let mut head = [0; FRAME_HEAD_BYTES];
    let mut fields = &mut head[..];
    fields.put_u32_le(number);
    fields.put_u32_le(bytes);
    fields.put_u32_le(crc);
    let crc = crc32fast::hash(&head[..12]);
    head[12..].copy_from_slice(&crc.to_le_bytes());
    head
}

impl Seal {
    /// The bytes of the seal.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEAL_BYTES);
        out.extend_from_slice(MAGIC);
        out.put_u32_le(VERSION);
        out.extend_from_slice(&self.store);
        out.put_u64_le(self.range.first.0);
        out.put_u64_le(self.range.last.0);
        out.put_u32_le(self.range.generation);
        out.put_u32_le(self.frames);
        out.put_u64_le(self.directories[0]);
        out.put_u64_le(self.directories[1]);
        out.put_u64_le(self.directory_bytes);
        out.put_u32_le(self.directory_crc);
        out.put_u64_le(self.bytes);
        out.put_u64_le(self.knows.0);
        out.resize(SEAL_BYTES - 4, 0);
        let crc = crc32fast::hash(&out);
        out.put_u32_le(crc);
        out
    }

    fn decode(bytes: &[u8; SEAL_BYTES], path: &Path, offset: u64) -> Result<Seal, StoreError> {
        let crc = (&bytes[SEAL_BYTES - 4..]).get_u32_le();
        if &bytes[..8] != MAGIC || crc32fast::hash(&bytes[..SEAL_BYTES - 4]) != crc {
            return Err(damaged(path, offset, "the seal's checksum differs"));
        }
        let mut fields = &bytes[8..];
        let version = fields.get_u32_le();
        if !(1..=VERSION).contains(&version) {
            let file = path.display().to_string();
            return Err(StoreError::Format { file, found: version.to_string(), known: VERSION });
        }
        let mut store = [0; 16];
        fields.copy_to_slice(&mut store);
        let (first, last) = (Position(fields.get_u64_le()), Position(fields.get_u64_le()));
        Ok(Seal {
            store,
            range: Range { first, last, generation: fields.get_u32_le() },
            frames: fields.get_u32_le(),
            directories: [fields.get_u64_le(), fields.get_u64_le()],
            directory_bytes: fields.get_u64_le(),
            directory_crc: fields.get_u32_le(),
            bytes: fields.get_u64_le(),
            knows: Position(fields.get_u64_le()),
        })
    }

    /// The seal at an offset of a file.
    pub fn read_at(file: &dyn DiskFile, path: &Path, offset: u64) -> Result<Seal, StoreError> {
        let mut bytes = [0; SEAL_BYTES];
        file.read_at(&mut bytes, offset).map_err(failed("read", path))?;
        Seal::decode(&bytes, path, offset)
    }

    /// A file's seal: the first, or the last where that one is damaged.
    pub fn read(file: &dyn DiskFile, path: &Path) -> Result<Seal, StoreError> {
        let length = file.len().map_err(failed("measure", path))?;
        let seal = match Seal::read_at(file, path, 0) {
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::warn!(%error, "a fold file's first seal is damaged; its last one is used");
                Seal::read_at(file, path, length.saturating_sub(SEAL_BYTES as u64))?
            }
            other => other?,
        };
        if seal.bytes != length {
            return Err(damaged(path, length, format!("it has {length} bytes and should have {}", seal.bytes)));
        }
        Ok(seal)
    }

    /// The bytes of the copy of the directory at an offset.
    pub fn read_directory_at(&self, file: &dyn DiskFile, path: &Path, offset: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; usize::try_from(self.directory_bytes).expect("a directory fits in memory")];
        file.read_at(&mut bytes, offset).map_err(failed("read", path))?;
        match crc32fast::hash(&bytes) == self.directory_crc {
            true => Ok(bytes),
            false => Err(damaged(path, offset, "the directory's checksum differs")),
        }
    }

    /// The bytes of the directory: of its first copy, or of the second where that one is damaged.
    pub fn read_directory(&self, file: &dyn DiskFile, path: &Path) -> Result<Vec<u8>, StoreError> {
        match self.read_directory_at(file, path, self.directories[0]) {
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::warn!(%error, "the first copy of a fold file's directory is damaged; the second is used");
                self.read_directory_at(file, path, self.directories[1])
            }
            other => other,
        }
    }
}

/// A directory being written.
#[derive(Default)]
pub struct Directory {
    components: Vec<ComponentName>,
    numbers: HashMap<ComponentName, u32>,
    lines: Vec<u8>,
    /// Frames since the last line that were left out.
    left_out: u32,
}

impl Directory {
    /// Adds a frame.
    pub fn add(&mut self, line: &Line, spot: Spot, crc: u32) {
        self.put_left_out();
        let next = u32::try_from(self.components.len()).expect("there are fewer than 2^32 components");
        let number = *self.numbers.entry(line.component.clone()).or_insert_with(|| {
            self.components.push(line.component.clone());
            next
        });
        self.lines.put_u32_le(number);
        self.lines.put_u8(line.kind);
        self.lines.put_u64_le(spot.offset);
        self.lines.put_u32_le(spot.bytes);
        self.lines.put_u32_le(crc);
        self.lines.put_u32_le(u32::try_from(line.summary.len()).expect("a summary is far below 4 GiB"));
        self.lines.extend_from_slice(&line.summary);
    }

    /// Adds frames that are left out.
    pub fn leave_out(&mut self, frames: u32) {
        self.left_out += frames;
    }

    fn put_left_out(&mut self) {
        let frames = std::mem::take(&mut self.left_out);
        if frames > 0 {
            self.lines.put_u32_le(LEFT_OUT);
            self.lines.put_bytes(0, 9);
            self.lines.put_u32_le(frames);
            self.lines.put_bytes(0, 8);
        }
    }

    /// One copy's bytes.
    pub fn encode(&mut self) -> Vec<u8> {
        self.put_left_out();
        let mut out = Vec::with_capacity(self.lines.len() + 64 * (self.components.len() + 1));
        out.put_u32_le(u32::try_from(self.components.len()).expect("counted when they were added"));
        for component in &self.components {
            out.put_u8(u8::try_from(component.as_str().len()).expect("a component's name has at most 63 bytes"));
            out.extend_from_slice(component.as_str().as_bytes());
        }
        out.extend_from_slice(&self.lines);
        out
    }
}

/// Goes through a directory whose checksum is right: every frame that was not left out.
pub fn read_directory(
    bytes: Vec<u8>,
    seal: &Seal,
    path: &Path,
    each: &mut dyn FnMut(Line, FrameRef, Spot),
) -> Result<(), StoreError> {
    let mut rest = Bytes::from(bytes);
    let mut all = || -> Result<Option<()>, TryGetError> {
        let mut components = Vec::new();
        for _ in 0..rest.try_get_u32_le()? {
            let length = rest.try_get_u8()? as usize;
            let Some(name) = take(&mut rest, length) else { return Ok(None) };
            let Some(name) = std::str::from_utf8(&name).ok().and_then(ComponentName::parse) else { return Ok(None) };
            components.push(name);
        }
        let mut number = 0;
        while number < seal.frames {
            let component = rest.try_get_u32_le()?;
            if component == LEFT_OUT {
                let Some(zeros) = take(&mut rest, 9) else { return Ok(None) };
                let frames = rest.try_get_u32_le()?;
                let is_line = frames > 0 && frames <= seal.frames - number && rest.try_get_u64_le()? == 0;
                if !is_line || zeros.iter().any(|byte| *byte != 0) {
                    return Ok(None);
                }
                number += frames;
                continue;
            }
            let component = component as usize;
            let kind = rest.try_get_u8()?;
            let spot = Spot { offset: rest.try_get_u64_le()?, bytes: rest.try_get_u32_le()? };
            let crc = rest.try_get_u32_le()?;
            let summary_bytes = rest.try_get_u32_le()? as usize;
            let (Some(component), Some(summary)) = (components.get(component), take(&mut rest, summary_bytes)) else {
                return Ok(None);
            };
            let line = Line { component: component.clone(), kind, summary };
            each(line, FrameRef { fold: seal.range.last, number, crc }, spot);
            number += 1;
        }
        Ok(rest.is_empty().then_some(()))
    };
    match all() {
        Ok(Some(())) => Ok(()),
        _ => Err(damaged(path, seal.directories[0], "the directory is not of the form")),
    }
}

fn take(rest: &mut Bytes, bytes: usize) -> Option<Bytes> {
    (bytes <= rest.len()).then(|| rest.split_to(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_comes_back_and_no_flipped_bit_is_believed() {
        let seal = Seal {
            store: [3; 16],
            range: Range { first: Position(1), last: Position(9), generation: 2 },
            frames: 4,
            directories: [500, 600],
            directory_bytes: 100,
            directory_crc: 7,
            bytes: 828,
            knows: Position(12),
        };
        let bytes: [u8; SEAL_BYTES] = seal.encode().try_into().expect("a seal has its length");
        let path = Path::new("folds/x");
        assert_eq!(Seal::decode(&bytes, path, 0).ok(), Some(seal));
        for bit in 0..SEAL_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Seal::decode(&flipped, path, 0).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut bytes = [0; SEAL_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8] = 7;
        let crc = crc32fast::hash(&bytes[..SEAL_BYTES - 4]).to_le_bytes();
        bytes[SEAL_BYTES - 4..].copy_from_slice(&crc);
        let error = Seal::decode(&bytes, Path::new("folds/x"), 0).expect_err("it is too new");
        assert_eq!(error.to_string(), "folds/x has format 7; this milepost reads format 2");
    }

    #[test]
    fn names_say_range_and_generation() {
        let range = Range { first: Position(1), last: Position(4096), generation: 0 };
        assert_eq!(range.file_name(), "00000000000000000001-00000000000000004096.g0.fold");
        assert_eq!(Range::parse(&range.file_name()), Some(range));
        assert_eq!(Range::parse("1-4096.g0.fold"), None);
        assert_eq!(Range::parse("00000000000000000009-00000000000000000002.g0.fold"), None);
    }

    #[test]
    fn a_frames_head_is_as_it_is_drawn() {
        let head = frame_head(3, 70_000, 0x0102_0304);
        let fields = [3u32.to_le_bytes(), 70_000u32.to_le_bytes(), [4, 3, 2, 1]].concat();
        assert_eq!(head, *[&fields[..], &crc32fast::hash(&fields).to_le_bytes()].concat());
    }
}
