//! A store to damage, and what is known of it: every record of its last segment, every frame of its largest fold file.

use crate::batches::Batches;
use crate::cuts::first_metrics;
use crate::machine::{Machine, small};
use crate::oracle::Oracle;
use crate::sim_disk::{Process, SimDisk};
use bytes::{Buf, Bytes};
use milepost::disk::{Disk, Open};
use milepost::random::SeededRandom;
use milepost::store::embedded::folds::Folds;
use milepost::store::embedded::folds::file::{Seal, Spot, read_directory};
use milepost::store::embedded::format;
use milepost::store::embedded::log::recovery::walk;
use milepost::store::embedded::log::salvage::Unreadable;
use milepost::store::embedded::log::segment::{Header, Segment, segment_number};
use milepost::store::embedded::log::{Log, Opening};
use milepost::store::{FrameRef, Line, Logged, Position, Record, StoreError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the process that judges has the disk.
pub const ROOT: &str = "/judge";

/// A store to damage: its process was killed, and its index is gone.
pub struct Victim {
    pub machine: Machine,
    /// The last segment of the log: its name, its bytes, its header, and where it ends.
    pub segment: (PathBuf, Vec<u8>, Header, usize),
    /// Its records: where each starts, what it takes, what it says.
    pub records: BTreeMap<usize, (usize, Record)>,
    /// Where the last of them ends.
    pub records_end: usize,
    /// What an opened log has beyond the folds, which reach this position; and the position of each record of the last
    /// segment.
    pub log: Vec<Beyond>,
    pub reach: Position,
    pub positions: BTreeMap<usize, Position>,
    /// The largest fold file, its directory, and its frames.
    pub fold: (PathBuf, Vec<u8>, Seal),
    pub directory: Vec<u8>,
    pub frames: Vec<(FrameRef, Spot, Bytes)>,
    pub lines: Vec<(Line, FrameRef)>,
    /// The last group: damage to it cannot be told from a torn tail.
    pub last_group: usize,
    pub before_last: Oracle,
    pub store: [u8; 16],
}

/// A record of an opened log; whether its body is there.
pub type Beyond = (Position, Record, bool);

impl Victim {
    /// A store with a segment and a fold file of at least so many bytes.
    pub fn new(seed: u64, bytes: usize) -> Victim {
        let mut machine = Machine::new(seed, small()).with_segments(bytes as u64 + (4 << 10));
        let mut batches = Batches::new(seed);
        machine.open().expect("the disk works");
        // One at a time, as all that follows: so that every piece of a campaign has the same groups.
        first_metrics().into_iter().for_each(|made| assert!(machine.send(vec![made])));
        let mut send = |machine: &mut Machine| {
            let next = batches.next(&machine.oracle);
            assert!(machine.send(vec![next]));
        };
        let largest_fold =
            |machine: &Machine| machine.disk.files("data/folds").into_iter().max_by_key(|(_, b)| b.len());
        // Frames, that is: what stands twice is not counted.
        let frames_end = |found: &[u8]| (&found[52..]).get_u64_le() as usize;
        while largest_fold(&machine).is_none_or(|(_, found)| frames_end(&found) < bytes) {
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
        machine.disk.forget_removed();
        let process = machine.disk.process(Path::new(ROOT));
        let store = format::read(&process, &Path::new(ROOT).join("data")).expect("it is whole").expect("a store");
        let number = segment_number(&name_of(&path)).expect("a segment");
        let header =
            Segment::open(&process, &Path::new(ROOT).join("data/log"), number, store).expect("it is whole").header;
        let (mut records, mut positions) = (BTreeMap::new(), BTreeMap::new());
        let walked = walk(&content, &header, &mut |placed| {
            records.insert(placed.offset as usize, (placed.bytes as usize, placed.record));
            positions.insert(placed.offset as usize, Position(placed.place.position));
        });
        let fold = largest_fold(&machine).expect("a fold");
        let FoldRead { seal, directory, frames, lines, reach } = read_fold(&process, &fold.0, store);
        let log = open_log(machine.disk.copy(seed), store, reach).expect("it is whole");
        let (records_end, last_group) = (walked.offset as usize, walked.group_start as usize);
        let (segment, fold) = ((path, content, header, end), (fold.0, fold.1, seal));
        Victim {
            machine,
            segment,
            records,
            records_end,
            log,
            reach,
            positions,
            fold,
            directory,
            frames,
            lines,
            last_group,
            before_last,
            store,
        }
    }
}

/// Opens the log of a disk and reads what it has beyond the folds.
pub fn open_log(disk: SimDisk, store: [u8; 16], reach: Position) -> Result<Vec<Beyond>, StoreError> {
    let (process, random) = (Arc::new(disk.process(Path::new(ROOT))), Arc::new(SeededRandom::new(1)));
    let opening = Opening { segment_bytes: 1 << 10, opening_bytes: 1 << 10, reach, unreadable: Unreadable::Refused };
    let log = Log::open(process, random, Path::new(ROOT).join("data/log"), store, opening)?;
    let mut found = Vec::new();
    log.read(reach, &mut |position, logged| match logged {
        Logged::Whole(record) => found.push((position, record, true)),
        Logged::Lost(record, _) => found.push((position, record, false)),
        Logged::GivenUp => panic!("nothing was given up"),
    })?;
    Ok(found)
}

fn is_segment(path: &Path) -> bool {
    segment_number(&name_of(path)).is_some()
}

fn name_of(path: &Path) -> String {
    path.file_name().expect("it has a name").to_string_lossy().to_string()
}

/// What a fold file says, and all of them.
struct FoldRead {
    seal: Seal,
    directory: Vec<u8>,
    frames: Vec<(FrameRef, Spot, Bytes)>,
    lines: Vec<(Line, FrameRef)>,
    reach: Position,
}

fn read_fold(process: &Process, path: &Path, store: [u8; 16]) -> FoldRead {
    let real = Path::new(ROOT).join(path);
    let file = process.open(&real, Open::Read).expect("it is there");
    let seal = Seal::read(file.as_ref(), &real).expect("it is whole");
    let directory = seal.read_directory(file.as_ref(), &real).expect("it is whole");
    let folds = open_folds(process, store).expect("they are whole");
    let (mut frames, mut lines) = (Vec::new(), Vec::new());
    read_directory(directory.clone(), &seal, &real, &mut |_, at, spot| {
        frames.push((at, spot, folds.read_frame(at).expect("it is whole")));
    })
    .expect("it is whole");
    let reach = folds.read_lines(&mut |line, at| lines.push((line, at))).expect("they are whole");
    FoldRead { seal, directory, frames, lines, reach }
}

pub fn open_folds(process: &Process, store: [u8; 16]) -> Result<Folds, StoreError> {
    let folds = Path::new(ROOT).join("data/folds");
    Folds::open(Arc::new(process.clone()), folds, store, Unreadable::Refused, &|_, _| Ok(false))
}
