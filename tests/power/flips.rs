//! Every single bit of a segment of the log and of what is stored flipped, and larger damage at random: each judged
//! by what reads it, which must not believe it; and some by opening the whole store, which must answer right, or say
//! what is damaged.

use crate::batches::Batches;
use crate::compare::{Refusals, Revisions};
use crate::cuts::{first_metrics, told_on_panic};
use crate::machine::{Machine, small};
use crate::oracle::Oracle;
use crate::sim_disk::Process;
use bytes::Bytes;
use milepost::disk::{Disk, Open};
use milepost::random::{Random, SeededRandom};
use milepost::store::embedded::folds::Folds;
use milepost::store::embedded::folds::file::{FRAME_HEAD_BYTES, SEAL_BYTES, Seal, Spot, read_directory};
use milepost::store::embedded::format;
use milepost::store::embedded::index::value::{CHUNK_BYTES_MAX, Stored, chunk_key, decode_chunk, encode_chunk};
use milepost::store::embedded::log::record::{self, Found};
use milepost::store::embedded::log::recovery::walk;
use milepost::store::embedded::log::segment::{HEADER_BYTES, Header, Segment, segment_number};
use milepost::store::{FrameRef, Line, Record, StoreError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One in so many flips is judged by opening the store.
const OPENED: u64 = 1_000;
/// Where the process that judges has the disk.
const ROOT: &str = "/judge";

/// A store to damage: its process was killed, and its index is gone.
struct Victim {
    machine: Machine,
    /// The last segment of the log: its name, its bytes, its header, and where it ends.
    segment: (PathBuf, Vec<u8>, Header, usize),
    /// Its records: where each starts, what it takes, what it says.
    records: BTreeMap<usize, (usize, Record)>,
    /// The largest fold file and its frames.
    fold: (PathBuf, Vec<u8>, Seal),
    frames: Vec<(FrameRef, Spot, Bytes)>,
    lines: Vec<(Line, FrameRef)>,
    /// The last group: damage to it cannot be told from a torn tail.
    last_group: usize,
    before_last: Oracle,
    store: [u8; 16],
}

/// What flips came to.
#[derive(Clone, Copy, Default, Debug)]
struct Judged {
    detected: u64,
    harmless: u64,
    in_the_last_group: u64,
    opened: u64,
    /// Of these: nothing was served.
    refused_whole: u64,
    /// Of these: some was refused.
    refused_some: u64,
}

/// A store with a segment and a fold file of at least so many bytes.
fn victim(seed: u64, bytes: usize) -> Victim {
    let mut machine = Machine::new(seed, small()).with_segments(bytes as u64 + (4 << 10));
    let mut batches = Batches::new(seed);
    machine.open().expect("the disk works");
    assert!(machine.send(first_metrics()));
    let mut send = |machine: &mut Machine| {
        let next = batches.next(&machine.oracle);
        assert!(machine.send(vec![next]));
    };
    let largest_fold = |machine: &Machine| machine.disk.files("data/folds").into_iter().max_by_key(|(_, b)| b.len());
    while largest_fold(&machine).is_none_or(|(_, found)| found.len() < bytes) {
        (0..bytes / 100).for_each(|_| send(&mut machine));
        assert!(machine.fold());
    }
    let last_segment = |machine: &Machine| {
        let (path, bytes) = machine.disk.files("data/log").into_iter().rfind(|(path, _)| is_segment(path))?;
        let end = bytes.iter().rposition(|byte| *byte != 0)? + 1;
        Some((path, bytes, end))
    };
    while last_segment(&machine).is_none_or(|(_, _, end)| end < bytes) {
        send(&mut machine);
    }
    let before_last = machine.oracle.clone();
    let before = last_segment(&machine).expect("a segment");
    while machine.oracle == before_last {
        send(&mut machine);
    }
    let (path, content, end) = last_segment(&machine).expect("a segment");
    assert_eq!(path, before.0, "the segment had room");
    machine.end(false);
    let process = machine.disk.process(Path::new(ROOT));
    let store = format::read(&process, &Path::new(ROOT).join("data")).expect("it is whole").expect("a store");
    let number = segment_number(&name_of(&path)).expect("a segment");
    let header = Segment::open(&process, &Path::new(ROOT).join("data/log"), number, store).expect("it is whole").header;
    let mut records = BTreeMap::new();
    let mut offset = HEADER_BYTES;
    let walked = walk(&content, &header, &mut |placed| {
        records.insert(offset, (placed.bytes as usize, placed.record));
        offset += placed.bytes as usize;
    });
    let fold = largest_fold(&machine).expect("a fold");
    let (seal, frames, lines) = read_fold(&process, &fold.0, store);
    let last_group = walked.group_start as usize;
    let (segment, fold) = ((path, content, header, end), (fold.0, fold.1, seal));
    Victim { machine, segment, records, fold, frames, lines, last_group, before_last, store }
}

fn is_segment(path: &Path) -> bool {
    segment_number(&name_of(path)).is_some()
}

fn name_of(path: &Path) -> String {
    path.file_name().expect("it has a name").to_string_lossy().to_string()
}

type FoldRead = (Seal, Vec<(FrameRef, Spot, Bytes)>, Vec<(Line, FrameRef)>);

fn read_fold(process: &Process, path: &Path, store: [u8; 16]) -> FoldRead {
    let real = Path::new(ROOT).join(path);
    let file = process.open(&real, Open::Read).expect("it is there");
    let seal = Seal::read(file.as_ref(), &real).expect("it is whole");
    let directory = seal.read_directory(file.as_ref(), &real).expect("it is whole");
    let folds = open_folds(process, store).expect("they are whole");
    let (mut frames, mut lines) = (Vec::new(), Vec::new());
    read_directory(directory, &seal, &real, &mut |_, at, spot| {
        frames.push((at, spot, folds.read_frame(at).expect("it is whole")));
    })
    .expect("it is whole");
    folds.read_lines(&mut |line, at| lines.push((line, at))).expect("they are whole");
    (seal, frames, lines)
}

fn open_folds(process: &Process, store: [u8; 16]) -> Result<Folds, StoreError> {
    Folds::open(Arc::new(process.clone()), Path::new(ROOT).join("data/folds"), store)
}

impl Victim {
    /// Every bit of the segment.
    fn flip_segment(&self, judged: &mut Judged) {
        let (path, content, header, end) = &self.segment;
        let process = self.machine.disk.process(Path::new(ROOT));
        let mut bytes = content.clone();
        // The zeros behind the end too, some of them.
        for bit in 0..((end + 512).min(content.len()) * 8) {
            let at = bit / 8;
            bytes[at] ^= 1 << (bit % 8);
            let believed = match self.records.range(..=at).next_back().filter(|(start, (taken, _))| at < *start + taken)
            {
                _ if at < HEADER_BYTES => self.believes_header(&process, &bytes),
                Some((start, (_, record))) => match record::read(&bytes[*start..], header.salt) {
                    Found::Whole(entry) => {
                        assert_eq!(entry.record.as_ref(), Some(record), "bit {bit} of a record");
                        true
                    }
                    Found::Lost(entry, _) => {
                        let lost = Record { body: Bytes::new(), ..record.clone() };
                        assert_eq!(entry.record, Some(lost), "bit {bit} of a lost record");
                        false
                    }
                    Found::Head(..) | Found::Nothing | Found::TooNew(_) => false,
                },
                // Behind the last record stands an empty group, or nothing.
                None => match record::read(&bytes[at / 64 * 64..], header.salt) {
                    Found::Whole(entry) => {
                        assert!(entry.record.is_none(), "bit {bit} makes no record");
                        true
                    }
                    Found::Lost(..) | Found::Head(..) | Found::Nothing | Found::TooNew(_) => false,
                },
            };
            judged.count(believed, at >= self.last_group);
            if (bit as u64 * 7 + 3).is_multiple_of(OPENED) {
                self.open(path, &bytes, at >= self.last_group, &format!("bit {bit} of the segment"), judged);
            }
            bytes[at] = content[at];
        }
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

    /// Every bit of the fold file.
    fn flip_fold(&self, judged: &mut Judged) {
        let (path, content, seal) = &self.fold;
        let process = self.machine.disk.process(Path::new(ROOT));
        let folds = open_folds(&process, self.store).expect("they are whole");
        let flip = |bit: usize| self.machine.disk.with_content(path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        for bit in 0..content.len() * 8 {
            let at = bit / 8;
            flip(bit);
            let is_frame = at >= SEAL_BYTES && (at as u64) < seal.directories[0];
            let believed = match is_frame {
                true => self.reads_frame_at(&folds, at),
                false => self.opens_folds(&process),
            };
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
fn flip_values(bytes: usize, judged: &mut Judged) {
    let random = SeededRandom::new(5);
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
    let victim = victim(seed, bytes as usize);
    let [mut segment, mut fold, mut format, mut values] = [Judged::default(); 4];
    victim.flip_segment(&mut segment);
    victim.flip_fold(&mut fold);
    victim.flip_format(&mut format);
    flip_values(bytes as usize / 4, &mut values);
    println!(
        "seed {seed}, {bytes} bytes: segment {segment:?}; fold {fold:?}; FORMAT {format:?}; index values {values:?}"
    );
    assert!(segment.detected + segment.harmless >= bytes * 7 && fold.detected >= bytes * 5, "every bit");
    assert!(segment.opened >= bytes * 8 / OPENED && fold.opened >= bytes * 8 / OPENED && values.harmless == 0);
}

#[test]
fn no_damage_is_believed() {
    let damages = crate::said("MILEPOST_DAMAGES").unwrap_or(if crate::each_run() { 20_000 } else { 2_000 });
    let seed = crate::said("MILEPOST_DAMAGES_SEED").unwrap_or(1);
    let victim = victim(seed, 4 << 10);
    let random = SeededRandom::new(seed);
    let changed = (0..damages).filter(|_| victim.damage(&random)).count() as u64;
    println!(
        "seed {seed}: {damages} damages to a segment and a fold file each, {changed} of them met a record or a frame"
    );
    assert!(changed * 2 > damages);
}
