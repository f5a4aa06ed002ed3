//! The bytes of a simulated file: what is read, what is on stable storage, and what a power cut makes of the rest.
//!
//! A sector of the disk holds, after a cut, what it held at the last sync or after any of the writes since: each
//! sector its own, so that writes are lost, torn and reordered, within a file and across files.

use milepost::random::SeededRandom;
use std::collections::HashMap;

const SECTOR_BYTES: usize = 512;

/// How much of what was not synced reaches the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// Of each file all or nothing.
    Files,
    /// Of each write all or nothing.
    Writes,
    /// Of each sector any state it was in since the last sync.
    Sectors,
}

impl Fate {
    /// Any of them; `Sectors` most.
    pub fn any(random: &SeededRandom) -> Fate {
        match random.next() % 8 {
            0 => Fate::Nothing,
            1 => Fate::Everything,
            2 => Fate::Files,
            3 | 4 => Fate::Writes,
            _ => Fate::Sectors,
        }
    }
}

/// What was done to a file and is not synced.
#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// A file.
#[derive(Default, Clone)]
pub struct Inode {
    /// What is read.
    pub content: Vec<u8>,
    /// What is on stable storage.
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// Which handle has it for itself.
    pub locked_by: Option<u64>,
}

fn put(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
    bytes.resize(bytes.len().max(at + written.len()), 0);
    bytes[at..at + written.len()].copy_from_slice(written);
}

/// The pieces of a write: the sector, and which of the write's bytes lie in it.
fn pieces(at: usize, length: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    let end = at + length;
    let first = at / SECTOR_BYTES;
    (first..end.div_ceil(SECTOR_BYTES).max(first)).map(move |sector| {
        let from = (sector * SECTOR_BYTES).max(at);
        let to = ((sector + 1) * SECTOR_BYTES).min(end);
        (sector, from - at..to - at)
    })
}

impl Inode {
    /// Other bytes, all of them on stable storage.
    pub fn lay(&mut self, bytes: &[u8]) {
        for kept in [&mut self.content, &mut self.durable] {
            kept.clear();
            kept.extend_from_slice(bytes);
        }
        self.unsynced.clear();
    }

    /// Writes, not synced.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        if !bytes.is_empty() {
            put(&mut self.content, at, bytes);
            self.unsynced.push(Change::Write(at, bytes.to_vec()));
        }
    }

    /// Cuts or grows, not synced.
    pub fn set_len(&mut self, bytes: usize) {
        self.content.resize(bytes, 0);
        self.unsynced.push(Change::Length(bytes));
    }

    /// Everything is on stable storage, but for what a failed sync gave up.
    pub fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write(at, bytes) => put(&mut self.durable, at, &bytes),
                Change::Length(bytes) => self.durable.resize(bytes, 0),
            }
        }
    }

    /// A sync fails: some of it reached the disk, the rest counts as written from now on, as on Linux: it is read,
    /// later syncs succeed, and it is never on the disk.
    pub fn fail_sync(&mut self, random: &SeededRandom) {
        self.tear(Fate::any(random), random);
    }

    /// The power is cut.
    pub fn cut(&mut self, fate: Fate, random: &SeededRandom) {
        self.tear(fate, random);
        self.content.clone_from(&self.durable);
        self.locked_by = None;
    }

    /// Some of what was not synced reaches the disk, the rest never will.
    fn tear(&mut self, fate: Fate, random: &SeededRandom) {
        let coin = || random.next().is_multiple_of(2);
        let fate = match fate {
            Fate::Files if coin() => Fate::Everything,
            Fate::Files => Fate::Nothing,
            fate => fate,
        };
        if fate == Fate::Everything {
            return self.sync();
        }
        let changes = std::mem::take(&mut self.unsynced);
        if fate == Fate::Nothing {
            return;
        }
        // Of each sector: the last change that it has seen.
        let mut seen: HashMap<usize, usize> = HashMap::new();
        for (number, change) in changes.iter().enumerate() {
            let Change::Write(at, bytes) = change else { continue };
            let whole = (fate == Fate::Writes).then(coin);
            for (sector, _) in pieces(*at, bytes.len()) {
                if whole.unwrap_or_else(coin) {
                    seen.insert(sector, number);
                }
            }
        }
        for (number, change) in changes.into_iter().enumerate() {
            match change {
                Change::Length(bytes) if coin() => self.durable.resize(bytes, 0),
                Change::Length(_) => {}
                Change::Write(at, bytes) => {
                    for (sector, piece) in pieces(at, bytes.len()) {
                        if seen.get(&sector).is_some_and(|last| number <= *last) {
                            put(&mut self.durable, at + piece.start, &bytes[piece]);
                        }
                    }
                }
            }
        }
        // The length may be on the disk before the bytes are: then they are zeros.
        if self.durable.len() < self.content.len() && coin() {
            self.durable.resize(self.content.len(), 0);
        }
    }
}
