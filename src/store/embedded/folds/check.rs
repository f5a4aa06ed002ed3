//! Every byte of a fold file: both seals, both copies of the directory, every frame, the zeros between the copies, and that there is
//! nothing else.

use super::file::{
    BETWEEN_DIRECTORIES_BYTES, FRAME_HEAD_BYTES, Range, SEAL_BYTES, Seal, Spot, frame_head, read_directory,
};
use crate::disk::DiskFile;
use crate::store::embedded::failed::{damaged, failed};
use crate::store::{Checked, StoreError};
use std::ops::ControlFlow::{self, Continue};
use std::path::Path;

/// Frames are read in pieces of at most this.
const PIECE_BYTES: usize = 1 << 20;

/// What is looked at.
pub struct Check<'a> {
    /// The file.
    pub file: &'a dyn DiskFile,
    /// Its path, for messages.
    pub path: &'a Path,
    /// Whose it should be.
    pub store: [u8; 16],
    /// What it should cover.
    pub range: Range,
    /// The bytes of frames too, not only their heads.
    pub bodies: bool,
}

type Go = ControlFlow<()>;

/// A frame's number, where it is, and its checksum.
type Frame = (u32, Spot, u32);

impl Check<'_> {
    /// Tells `each` of every damage and goes on, as far as what is left says where things are.
    pub fn run(&self, each: &mut Checked) -> Go {
        let length = match self.file.len().map_err(failed("measure", self.path)) {
            Ok(length) => length,
            Err(error) => return each(0, Some(error)),
        };
        let Some(seal) = self.seals(length, each)? else { return Continue(()) };
        if seal.store != self.store || seal.range != self.range {
            let what = "it is another store's, or covers other records than its name says";
            return each(0, Some(damaged(self.path, 0, what)));
        }
        if seal.bytes != length {
            let what = format!("it has {length} bytes and should have {}", seal.bytes);
            return each(0, Some(damaged(self.path, length, what)));
        }
        let Some(frames) = self.directories(&seal, each)? else { return Continue(()) };
        let mut at = SEAL_BYTES as u64;
        for (number, spot, crc) in frames {
            if spot.offset != at {
                let what = format!("the directory says that frame {number} is at {}", spot.offset);
                return each(0, Some(damaged(self.path, at, what)));
            }
            self.frame(number, spot, crc, each)?;
            at += FRAME_HEAD_BYTES as u64 + u64::from(spot.bytes);
        }
        let [first, second] = seal.directories;
        let between = first + seal.directory_bytes;
        let ends = at == first
            && [between, between + BETWEEN_DIRECTORIES_BYTES as u64].contains(&second)
            && second + seal.directory_bytes + SEAL_BYTES as u64 == length;
        if !ends {
            return each(0, Some(damaged(self.path, at, "its parts do not fill it")));
        }
        self.zeros(between, (second - between) as usize, each)
    }

    fn zeros(&self, start: u64, bytes: usize, each: &mut Checked) -> Go {
        let mut found = vec![0; bytes];
        if let Err(error) = self.file.read_at(&mut found, start).map_err(failed("read", self.path)) {
            return each(0, Some(error));
        }
        let differs = || damaged(self.path, start, "there are not only zeros between the directories");
        each(bytes as u64, found.iter().any(|byte| *byte != 0).then(differs))
    }

    /// A good seal, where one is.
    fn seals(&self, length: u64, each: &mut Checked) -> ControlFlow<(), Option<Seal>> {
        let mut good: Option<Seal> = None;
        for offset in [0, length.saturating_sub(SEAL_BYTES as u64)] {
            let read = Seal::read_at(self.file, self.path, offset);
            each(SEAL_BYTES as u64, None)?;
            match (read, good) {
                (Err(error), _) => each(0, Some(error))?,
                (Ok(seal), Some(first)) if seal != first => {
                    each(0, Some(damaged(self.path, offset, "its two seals differ")))?;
                }
                (Ok(seal), _) => good = Some(seal),
            }
        }
        Continue(good)
    }

    /// The numbers of the frames, where they are, and their checksums; None where no copy says it.
    fn directories(&self, seal: &Seal, each: &mut Checked) -> ControlFlow<(), Option<Vec<Frame>>> {
        let mut good = None;
        for offset in seal.directories {
            let read = seal.read_directory_at(self.file, self.path, offset);
            each(seal.directory_bytes, None)?;
            match read {
                Ok(bytes) => good = Some(bytes),
                Err(error) => each(0, Some(error))?,
            }
        }
        let Some(bytes) = good else { return Continue(None) };
        let mut frames = Vec::with_capacity(seal.frames as usize);
        match read_directory(bytes, seal, self.path, &mut |_, at, spot| frames.push((at.number, spot, at.crc))) {
            Ok(()) => Continue(Some(frames)),
            Err(error) => {
                each(0, Some(error))?;
                Continue(None)
            }
        }
    }

    fn frame(&self, number: u32, spot: Spot, crc: u32, each: &mut Checked) -> Go {
        let mut head = [0; FRAME_HEAD_BYTES];
        if let Err(error) = self.file.read_at(&mut head, spot.offset).map_err(failed("read", self.path)) {
            return each(0, Some(error));
        }
        if head != frame_head(number, spot.bytes, crc) {
            let what = format!("the head of frame {number} is not what the directory says");
            each(0, Some(damaged(self.path, spot.offset, what)))?;
        }
        if !self.bodies {
            return each(FRAME_HEAD_BYTES as u64, None);
        }
        let start = spot.offset + FRAME_HEAD_BYTES as u64;
        let found = match self.crc(start, spot.bytes as usize) {
            Ok(found) => found,
            Err(error) => return each(0, Some(error)),
        };
        let differs = || damaged(self.path, start, format!("the checksum of frame {number} differs"));
        each(FRAME_HEAD_BYTES as u64 + u64::from(spot.bytes), (found != crc).then(differs))
    }

    fn crc(&self, start: u64, bytes: usize) -> Result<u32, StoreError> {
        let mut hasher = crc32fast::Hasher::new();
        let mut piece = vec![0; bytes.min(PIECE_BYTES)];
        let mut done = 0;
        while done < bytes {
            let some = piece.len().min(bytes - done);
            self.file.read_at(&mut piece[..some], start + done as u64).map_err(failed("read", self.path))?;
            hasher.update(&piece[..some]);
            done += some;
        }
        Ok(hasher.finalize())
    }
}
