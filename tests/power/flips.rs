//! Every single bit of a segment of the log and of what is stored flipped, and larger damage at random: each judged
//! by what reads it, which must not believe it; and some by opening the whole store, which must answer right, or say
//! what is damaged.

mod victim;

use crate::compare::{Refusals, Revisions};
use crate::cuts::told_on_panic;
use crate::sim_disk::Process;
use bytes::Bytes;
use milepost::disk::{Disk, Open};
use milepost::random::{Random, SeededRandom};
use milepost::store::embedded::folds::Folds;
use milepost::store::embedded::folds::file::{FRAME_HEAD_BYTES, SEAL_BYTES, Seal};
use milepost::store::embedded::format;
use milepost::store::embedded::index::value::{CHUNK_BYTES_MAX, Stored, chunk_key, decode_chunk, encode_chunk};
use milepost::store::embedded::log::record::{self, ALIGN_BYTES, Found};
use milepost::store::embedded::log::recovery::walk;
use milepost::store::embedded::log::segment::{HEADER_BYTES, Segment};
use milepost::store::{Record, StoreError};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use victim::{ROOT, Victim, open_folds, open_log};

/// One in so many flips is judged by opening the store.
const OPENED: u64 = 1_000;
/// Of the bits of a fold file's seals and directories, one in so many is judged by opening all fold files.
const FOLDS_OPENED: usize = 512;
/// A head, with the longest name, reaches into so many units behind its first.
const HEAD_UNITS: usize = 2;

/// What reading a damaged record comes to: all that an opening knows of where the damage lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reading {
    Whole,
    /// Its body is not.
    Lost,
    /// Neither is what its head or its list of series says.
    Nothing,
}

/// Which part of the bits is judged: the part of this number, from 0, of so many.
#[derive(Clone, Copy, Debug)]
struct Piece {
    number: u64,
    of: u64,
}

impl Piece {
    fn bits(self, bits: usize) -> Range<usize> {
        let at = |number: u64| (bits as u64 * number / self.of) as usize;
        at(self.number)..at(self.number + 1)
    }
}

/// What flips came to.
#[derive(Clone, Copy, Default, Debug)]
struct Judged {
    detected: u64,
    harmless: u64,
    in_the_last_group: u64,
    /// Of the log: records and readings of them that the log was opened with.
    recovered: u64,
    opened: u64,
    /// Of these: nothing was served.
    refused_whole: u64,
    /// Of these: some was refused.
    refused_some: u64,
}

impl Victim {
    /// The bits of the segment, and of some of the zeros behind its end.
    fn segment_bits(&self) -> usize {
        let (_, content, _, end) = &self.segment;
        (end + 512).min(content.len()) * 8
    }

    /// Bits of the segment, some of which lie in the last group, where nothing proves that it was synced. Where a record
    /// is damaged its reading decides what an opening makes of the log: each record is opened with each reading that
    /// flips give it.
    fn flip_segment(&self, content: &[u8], bits: Range<usize>, last_group: usize, judged: &mut Judged) {
        let path = &self.segment.0;
        let process = self.machine.disk.process(Path::new(ROOT));
        let mut bytes = content.to_vec();
        let mut readings = BTreeSet::new();
        for bit in bits {
            let (at, told) = (bit / 8, || format!("bit {bit} of the segment"));
            bytes[at] ^= 1 << (bit % 8);
            let believed = if at < HEADER_BYTES {
                self.believes_header(&process, &bytes)
            } else {
                let (start, reading) = self.read_around(&bytes, at);
                if readings.insert((start, reading)) {
                    told_on_panic(&told(), || self.recover(&bytes, start, reading, last_group));
                    judged.recovered += 1;
                }
                reading == Reading::Whole
            };
            judged.count(believed, at >= last_group);
            if (bit as u64 * 7 + 3).is_multiple_of(OPENED) {
                self.open(path, &bytes, at >= last_group, &told(), judged);
            }
            bytes[at] = content[at];
        }
    }

    /// The segment, whose last group the mark behind it proves to have been synced.
    fn flip_log(&self, piece: Piece, judged: &mut Judged) {
        self.flip_segment(&self.segment.1, piece.bits(self.segment_bits()), self.records_end, judged);
    }

    /// The last group, with nothing behind it.
    fn flip_last_group(&self, judged: &mut Judged) {
        let mut content = self.segment.1.clone();
        content[self.records_end..].fill(0);
        self.flip_segment(&content, self.last_group * 8..self.records_end * 8, self.last_group, judged);
    }

    /// The record that a byte lies in, where there is one, or what stands behind the last; and what is read of it.
    fn read_around(&self, bytes: &[u8], at: usize) -> (usize, Reading) {
        let salt = self.segment.2.salt;
        let (start, expected) = match self.records.range(..=at).next_back() {
            Some((start, (_, record))) if at < self.records_end => (*start, Some(record)),
            _ => (self.records_end, None),
        };
        // A head where none was would say what was synced.
        let unit = at / ALIGN_BYTES;
        for other in (unit.saturating_sub(HEAD_UNITS)..=unit).map(|unit| unit * ALIGN_BYTES).filter(|o| *o > start) {
            assert!(record::read_head(&bytes[other..], salt).is_none(), "byte {at} makes a head at {other}");
        }
        let reading = match record::read(&bytes[start..], salt) {
            Found::Whole(entry) => {
                assert_eq!(entry.record.as_ref(), expected, "byte {at} of a record");
                Reading::Whole
            }
            Found::Lost(entry, _) => {
                let lost = expected.map(|record| Record { body: Bytes::new(), ..record.clone() });
                assert_eq!(entry.record, lost, "byte {at} of a lost record");
                Reading::Lost
            }
            Found::Head(..) | Found::Nothing => Reading::Nothing,
            Found::TooNew(version) => panic!("byte {at} makes a record of version {version}"),
        };
        (start, reading)
    }

    /// The log with these bytes in its last segment, opened: right, or refused.
    fn recover(&self, bytes: &[u8], start: usize, reading: Reading, last_group: usize) {
        let disk = self.machine.disk.copy(start as u64);
        disk.lay(&self.segment.0, bytes);
        let opened = open_log(disk, self.store, self.reach);
        let of_last = start >= last_group;
        let mut expected = self.log.clone();
        match (self.positions.get(&start), reading) {
            // Behind the last record stands what only proves that it was synced.
            (None, _) | (_, Reading::Whole) => {}
            (Some(at), Reading::Lost | Reading::Nothing) if of_last => expected.retain(|(position, ..)| position < at),
            (Some(at), Reading::Lost) => {
                let lost = expected.iter_mut().filter(|(position, ..)| position == at);
                lost.for_each(|(_, record, whole)| (record.body, *whole) = (Bytes::new(), false));
            }
            (Some(_), Reading::Nothing) => {
                let Err(StoreError::Damaged { file, offset, .. }) = opened else {
                    panic!("a record that cannot be read refuses the log: {opened:?}");
                };
                assert_eq!((Path::new(&file), offset), (&*Path::new(ROOT).join(&self.segment.0), start as u64));
                return;
            }
        }
        assert_eq!(opened.expect("it opens"), expected, "the record at {start} reads as {reading:?}");
    }

    fn believes_header(&self, process: &Process, bytes: &[u8]) -> bool {
        let (path, content, header, _) = &self.segment;
        self.machine.disk.with_content(path, |found| found[..HEADER_BYTES].copy_from_slice(&bytes[..HEADER_BYTES]));
        let opened = Segment::open(process, &Path::new(ROOT).join("data/log"), header.number, self.store);
        self.machine.disk.with_content(path, |found| found[..HEADER_BYTES].copy_from_slice(&content[..HEADER_BYTES]));
        match opened {
            Ok(segment) => {
                assert_eq!(segment.header, *header);
                true
            }
            Err(StoreError::Damaged { .. } | StoreError::Format { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// The bits of the fold file that are judged: all of its seals and its frames; of its directories, where they are
    /// longer than so many bytes, one in some.
    fn fold_bits(&self, piece: Piece, bytes: usize) -> impl Iterator<Item = usize> {
        let (_, content, seal) = &self.fold;
        // Odd, so that all bits of a byte have their turn.
        let one_in = (2 * self.directory.len()).div_ceil(bytes) | 1;
        let directories = seal.directories[0] as usize * 8..(content.len() - SEAL_BYTES) * 8;
        piece.bits(content.len() * 8).filter(move |bit| !directories.contains(bit) || bit.is_multiple_of(one_in))
    }

    fn is_frame(&self, at: usize) -> bool {
        at >= SEAL_BYTES && (at as u64) < self.fold.2.directories[0]
    }

    /// Every bit of the fold file.
    fn flip_fold(&self, bits: impl Iterator<Item = usize>, judged: &mut Judged) {
        let (path, content, _) = &self.fold;
        let process = self.machine.disk.process(Path::new(ROOT));
        let folds = open_folds(&process, self.store).expect("they are whole");
        let flip = |bit: usize| self.machine.disk.with_content(path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        for bit in bits {
            let at = bit / 8;
            flip(bit);
            let is_frame = self.is_frame(at);
            let believed = match is_frame {
                true => self.reads_frame_at(&folds, at),
                false => self.reads_directory(&process),
            };
            if !is_frame && bit % FOLDS_OPENED == 5 {
                assert_eq!(self.opens_folds(&process), believed, "bit {bit} of the fold file");
            }
            flip(bit);
            judged.count(believed, false);
            if (bit as u64 * 7 + 3).is_multiple_of(OPENED) {
                let mut bytes = content.clone();
                bytes[at] ^= 1 << (bit % 8);
                self.open(path, &bytes, false, &format!("bit {bit} of the fold file"), judged);
            }
        }
    }

    /// The frame that holds a byte, read: right, or refused.
    fn reads_frame_at(&self, folds: &Folds, at: usize) -> bool {
        let after = self.frames.partition_point(|(_, spot, _)| spot.offset as usize <= at);
        let (frame, spot, expected) = &self.frames[after - 1];
        assert!(at < spot.offset as usize + FRAME_HEAD_BYTES + spot.bytes as usize, "frames lie side by side");
        match folds.read_frame(*frame) {
            Ok(found) => {
                assert_eq!(found, *expected, "byte {at} of a frame");
                true
            }
            Err(StoreError::Damaged { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Its seal and its directory, read: right, or refused. All else is made of their bytes.
    fn reads_directory(&self, process: &Process) -> bool {
        let (path, _, seal) = &self.fold;
        let real = Path::new(ROOT).join(path);
        let file = process.open(&real, Open::Read).expect("it is there");
        let read = Seal::read(file.as_ref(), &real);
        match read.and_then(|read| Ok((read, read.read_directory(file.as_ref(), &real)?))) {
            Ok((read, directory)) => {
                assert!(read == *seal && directory == self.directory, "the seal or the directory is another");
                true
            }
            Err(StoreError::Damaged { .. } | StoreError::Format { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// All directories, read: right, or refused.
    fn opens_folds(&self, process: &Process) -> bool {
        let mut lines = Vec::new();
        let opened = open_folds(process, self.store);
        match opened.and_then(|folds| folds.read_lines(&mut |line, at| lines.push((line, at)))) {
            Ok(_) => {
                assert_eq!(lines, self.lines, "the directory");
                true
            }
            Err(StoreError::Damaged { .. } | StoreError::Format { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// The whole store with these bytes in a file: right, or refused.
    fn open(&self, path: &Path, bytes: &[u8], last_group: bool, told: &str, judged: &mut Judged) {
        told_on_panic(told, || {
            judged.opened += 1;
            let disk = self.machine.disk.copy(judged.opened);
            disk.lay(path, bytes);
            let mut found = self.machine.found(disk, judged.opened);
            match found.open() {
                Ok(()) => {}
                Err(StoreError::Damaged { .. } | StoreError::Format { .. }) => {
                    judged.refused_whole += 1;
                    return;
                }
                Err(error) => panic!("{error}"),
            }
            if !found.is_at_its_revisions() {
                assert!(last_group, "only the last group may be cut");
                found.oracle.clone_from(&self.before_last);
                assert!(found.is_at_its_revisions(), "only the last group is cut");
            }
            judged.refused_some += u64::from(found.compare_with(Revisions::Some, Refusals::Some) > 0);
        });
    }

    /// Every bit of `FORMAT`: another id is no file's.
    fn flip_format(&self, judged: &mut Judged) {
        let path = Path::new("data/FORMAT");
        let content = self.machine.disk.files("data/FORMAT").remove(path).expect("it is there");
        let process = self.machine.disk.process(Path::new(ROOT));
        for bit in 0..content.len() * 8 {
            let mut bytes = content.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            self.machine.disk.lay(path, &bytes);
            let read = format::read(&process, &Path::new(ROOT).join("data"));
            judged.count(matches!(&read, Ok(Some(id)) if *id == self.store), false);
            self.machine.disk.lay(path, &content);
            if bit % 8 == 0 {
                let before = judged.refused_whole;
                self.open(path, &bytes, false, &format!("bit {bit} of FORMAT"), judged);
                assert!(judged.refused_whole > before || matches!(read, Ok(Some(id)) if id == self.store), "bit {bit}");
            }
        }
    }

    /// Larger damage at random: what is read of it is a first part of what was written.
    fn damage(&self, random: &SeededRandom) -> bool {
        let (_, content, header, _) = &self.segment;
        let (bytes, cut) = damaged(content, random);
        let mut expected = self.records.values().map(|(_, record)| record);
        let mut lost = false;
        walk(&bytes, header, &mut |placed| {
            let written = expected.next().expect("no record more").clone();
            let body = if placed.lost.is_some() { Bytes::new() } else { written.body.clone() };
            assert_eq!(placed.record, Record { body, ..written }, "a record is another");
            lost |= placed.lost.is_some();
        });
        let changed = lost || expected.next().is_some();
        let (path, content, _) = &self.fold;
        let (bytes, _) = damaged(content, random);
        self.machine.disk.with_content(path, |found| found.clone_from(&bytes));
        let process = self.machine.disk.process(Path::new(ROOT));
        let mut refused = 0;
        if self.opens_folds(&process) {
            let folds = open_folds(&process, self.store).expect("it was opened just now");
            for (at, _, expected) in &self.frames {
                match folds.read_frame(*at) {
                    Ok(found) => assert_eq!(found, *expected, "a frame is another"),
                    Err(StoreError::Damaged { .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        self.machine.disk.with_content(path, |found| found.clone_from(content));
        changed || cut || refused > 0
    }
}

impl Judged {
    fn flips(&self) -> u64 {
        self.detected + self.harmless + self.in_the_last_group
    }

    fn count(&mut self, believed: bool, last_group: bool) {
        match (believed, last_group) {
            (true, _) => self.harmless += 1,
            (false, false) => self.detected += 1,
            (false, true) => self.in_the_last_group += 1,
        }
    }
}

/// Bytes with one damage: several bytes, a stretch of zeros, two sectors that changed places, an end too early.
fn damaged(content: &[u8], random: &SeededRandom) -> (Vec<u8>, bool) {
    let mut bytes = content.to_vec();
    let below = |bound: usize| random.next() as usize % bound;
    match random.next() % 4 {
        0 => {
            for _ in 0..=below(8) {
                let at = below(bytes.len());
                bytes[at] = random.next() as u8;
            }
        }
        1 => {
            let at = below(bytes.len());
            let end = (at + 1 + below(2_000)).min(bytes.len());
            bytes[at..end].fill(0);
        }
        2 => {
            let sectors = bytes.len() / 512;
            let (one, other) = (below(sectors) * 512, below(sectors) * 512);
            for i in 0..512 {
                bytes.swap(one + i, other + i);
            }
        }
        _ => bytes.truncate(below(bytes.len())),
    }
    let cut = bytes.len() < content.len();
    (bytes, cut)
}

/// Every bit of so many bytes of values as the index has them.
fn flip_values(bytes: usize, piece: Piece, judged: &mut Judged) {
    let random = SeededRandom::new(5 + piece.number);
    let mut done = 0;
    for number in 0.. {
        if done >= bytes {
            return;
        }
        let key = format!("key {number}").into_bytes();
        let mut value = vec![0; random.next() as usize % (CHUNK_BYTES_MAX / 4)];
        random.fill(&mut value);
        let mut entry = Stored::of(&value).encode(&key);
        let chunk_key = chunk_key(&key, 3);
        let mut chunk = encode_chunk(&chunk_key, &value);
        for bit in 0..entry.len() * 8 {
            entry[bit / 8] ^= 1 << (bit % 8);
            judged.count(Stored::decode(&key, &entry).is_some(), false);
            entry[bit / 8] ^= 1 << (bit % 8);
        }
        for bit in 0..chunk.len() * 8 {
            chunk[bit / 8] ^= 1 << (bit % 8);
            judged.count(decode_chunk(&chunk_key, &chunk).is_some(), false);
            chunk[bit / 8] ^= 1 << (bit % 8);
        }
        done += entry.len() + chunk.len();
    }
}

#[test]
fn no_flipped_bit_is_believed() {
    let bytes = crate::said("MILEPOST_FLIPS_BYTES").unwrap_or(if crate::each_run() { 16 << 10 } else { 3 << 10 });
    let seed = crate::said("MILEPOST_FLIPS_SEED").unwrap_or(1);
    let (number, of) = (crate::said("MILEPOST_FLIPS_PIECE"), crate::said("MILEPOST_FLIPS_PIECES"));
    let piece = Piece { number: number.unwrap_or(0), of: of.unwrap_or(1) };
    assert!(piece.number < piece.of, "pieces are counted from 0");
    let victim = Victim::new(seed, bytes as usize);
    let [mut segment, mut last_group, mut fold, mut format, mut values] = [Judged::default(); 5];
    victim.flip_log(piece, &mut segment);
    victim.flip_fold(victim.fold_bits(piece, bytes as usize), &mut fold);
    if piece.number == 0 {
        victim.flip_last_group(&mut last_group);
        victim.flip_format(&mut format);
        assert!(last_group.in_the_last_group * 2 > last_group.flips() && last_group.detected == 0);
    }
    flip_values((bytes / piece.of) as usize / 4, piece, &mut values);
    println!(
        "seed {seed}, {bytes} bytes, {piece:?}: segment {segment:?}; its last group, unproven {last_group:?}; \
         fold {fold:?}; FORMAT {format:?}; \
         index values {values:?}"
    );
    assert!(victim.segment_bits() as u64 >= bytes * 8 && victim.fold.2.directories[0] >= bytes, "so many bytes");
    assert_eq!(segment.flips(), piece.bits(victim.segment_bits()).len() as u64, "every bit");
    assert_eq!(fold.flips(), victim.fold_bits(piece, bytes as usize).count() as u64, "every bit");
    for judged in [segment, fold] {
        assert!(judged.opened * 2 >= judged.flips() / OPENED, "every thousandth");
        assert!(piece.of > 1 || judged.detected >= bytes * 5, "most of them are seen");
    }
    assert!(fold.in_the_last_group == 0 && values.harmless == 0);
}

#[test]
fn no_damage_is_believed() {
    let damages = crate::said("MILEPOST_DAMAGES").unwrap_or(if crate::each_run() { 20_000 } else { 2_000 });
    let seed = crate::said("MILEPOST_DAMAGES_SEED").unwrap_or(1);
    let victim = Victim::new(seed, 4 << 10);
    let random = SeededRandom::new(seed);
    let changed = (0..damages).filter(|_| victim.damage(&random)).count() as u64;
    println!(
        "seed {seed}: {damages} damages to a segment and a fold file each, {changed} of them met a record or a frame"
    );
    assert!(changed * 2 > damages);
}
