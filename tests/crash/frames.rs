//! The frames of fold files, for what is damaged in them.

use crate::process::files;
use milepost::disk::{Disk, Open, RealDisk};
use milepost::store::Line;
use milepost::store::embedded::folds::file::{self, Seal, Spot};
use std::path::{Path, PathBuf};

/// Kinds of frames, as the engine's map of fold files draws them.
pub const BLOCK: u8 = 1;
pub const RUN: u8 = 2;
pub const CHANGES: u8 = 6;

/// A frame of a fold file.
pub struct Frame {
    pub file: PathBuf,
    pub line: Line,
    pub spot: Spot,
}

impl Frame {
    /// The middle byte of its content.
    pub fn middle(&self) -> u64 {
        self.spot.offset + file::FRAME_HEAD_BYTES as u64 + u64::from(self.spot.bytes) / 2
    }
}

/// Every frame of a data directory's fold files.
pub fn frames(data: &Path) -> Vec<Frame> {
    let mut found = Vec::new();
    for path in files(&data.join("folds"), ".fold") {
        let file = RealDisk.open(&path, Open::Read).expect("a fold file");
        let seal = Seal::read(file.as_ref(), &path).expect("a seal");
        let directory = seal.read_directory(file.as_ref(), &path).expect("a directory");
        let mut each = |line: Line, _, spot| found.push(Frame { file: path.clone(), line, spot });
        file::read_directory(directory, &seal, &path, &mut each).expect("a directory");
    }
    found
}
