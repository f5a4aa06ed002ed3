//! The write-ahead log: groups of records in segments, each group synced once before it is answered.
//!
//! [`segment`] draws a file of the log, [`record`] what is in it, [`recovery`] says what is believed at opening.

pub mod record;
pub mod recovery;
pub mod salvage;
pub mod segment;
pub mod spare;

use crate::disk::Disk;
use crate::planted::{self, Bug};
use crate::random::Random;
use crate::store::embedded::failed::{damaged, failed};
use crate::store::{Checked, Commit, Committed, Gap, Logged, Position, Record, StoreError};
use record::{Kind, Place, put_mark, put_record, record_bytes};
use recovery::{Home, Recovered, Stop, Weights, seal, walk};
use salvage::{Salvaged, Unreadable, refused, walk_over};
use segment::{FRAME_BYTES, HEADER_BYTES, Header, Segment};
use spare::Spare;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// Bytes of the memory in which groups are put together that is kept for the next one: a group that is full, so that it is not
/// made of fresh pages each time. (A sixth of all page faults of durable ingest, by their profile.)
const ENCODED_BYTES_KEPT: usize = 16 << 20;

/// A log that is open.
pub struct Log {
    disk: Arc<dyn Disk>,
    random: Arc<dyn Random>,
    dir: PathBuf,
    store: [u8; 16],
    /// Held over a whole commit: one at a time.
    writer: Mutex<Writer>,
    /// Never held over a write or a sync, so that readers do not wait for commits.
    shelf: Mutex<Shelf>,
    /// What cannot be read of it, in order.
    gaps: Vec<Gap>,
    poison: OnceLock<String>,
}

/// How a log is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// The length of a segment.
    pub segment_bytes: u64,
    /// The length of the one it starts with, or as long as it must be.
    pub opening_bytes: u64,
    /// What the folds reach.
    pub reach: Position,
    /// What is done about what cannot be read.
    pub unreadable: Unreadable,
}

struct Writer {
    segment: Segment,
    next_position: u64,
    next_group: u64,
    spare: Spare,
    encoded: Vec<u8>,
}

struct Shelf {
    segments: Vec<Segment>,
    /// What no fold covers yet, and its sum.
    weights: Weights,
    bytes: u64,
}

impl Log {
    /// Makes the log of a new store in `dir`: one segment of `opening_bytes`, empty.
    pub fn create(
        disk: &Arc<dyn Disk>,
        random: &dyn Random,
        dir: &Path,
        store: [u8; 16],
        opening_bytes: u64,
    ) -> Result<(), StoreError> {
        Home { disk, dir, random, store }.create(opening_bytes)
    }

    /// Opens the log in `dir`. Costs reading once what no fold covers.
    pub fn open(
        disk: Arc<dyn Disk>,
        random: Arc<dyn Random>,
        dir: PathBuf,
        store: [u8; 16],
        opening: Opening,
    ) -> Result<Log, StoreError> {
        let Opening { segment_bytes, opening_bytes, reach, unreadable } = opening;
        let home = Home { disk: &disk, dir: &dir, random: random.as_ref(), store };
        let only_looks = unreadable == Unreadable::Listed;
        let Salvaged { recovered, gaps } = match unreadable {
            Unreadable::Refused => Salvaged { recovered: home.recover(reach, opening_bytes)?, gaps: Vec::new() },
            _ => home.salvage(reach, opening_bytes, only_looks)?,
        };
        let Recovered { segments, weights, next_position, next_group } = recovered;
        let segment = segments.last().expect("an opened log has a segment").clone();
        let spare = Spare::new(disk.clone(), &dir, segment_bytes.max(FRAME_BYTES));
        let writer = Writer { segment, next_position, next_group, spare, encoded: Vec::new() };
        let (writer, shelf) = (
            Mutex::new(writer),
            Mutex::new(Shelf { segments, bytes: weights.iter().map(|(_, bytes)| bytes).sum(), weights }),
        );
        let poison = OnceLock::new();
        if only_looks {
            poison.get_or_init(|| "the store is only looked at".to_string());
        }
        Ok(Log { disk, random, dir, store, writer, shelf, gaps, poison })
    }

    /// See [`crate::store::Store::commit`].
    pub fn commit(&self, group: &[Commit]) -> Result<Vec<Committed>, StoreError> {
        let mut writer = self.writer.lock().expect("a commit does not panic");
        self.check_poison()?;
        let records = || group.iter().flat_map(|commit| &commit.records);
        let bytes: u64 = records().map(|record| record_bytes(record) as u64).sum();
        if bytes > 0 {
            if writer.segment.end + bytes + record::MARK_BYTES as u64 > writer.segment.header.bytes {
                self.roll(&mut writer, bytes)?;
            }
            self.append(&mut writer, bytes as usize, records())?;
        }
        let mut next = writer.next_position - records().count() as u64..;
        let mut take = |commit: &Commit| next.by_ref().take(commit.records.len()).map(Position).collect();
        Ok(group.iter().map(|commit| Committed::Done(take(commit))).collect())
    }

    /// Writes one group of so many bytes into the present segment, where it fits, and syncs it.
    fn append<'a>(
        &self,
        writer: &mut Writer,
        bytes: usize,
        records: impl Iterator<Item = &'a Record>,
    ) -> Result<(), StoreError> {
        let Writer { segment, next_position, next_group, spare, encoded } = writer;
        let (start, salt) = (segment.end, segment.header.salt);
        let mut position = *next_position;
        encoded.clear();
        encoded.reserve(bytes);
        for record in records {
            put_record(encoded, salt, Place { position, group: *next_group, group_start: start }, record);
            position += 1;
        }
        if let Err(error) = segment.file.write_at(encoded, start) {
            let error = failed("write", &segment.path)(error);
            return Err(self.take_back(segment, encoded, start, error));
        }
        if !planted::is(Bug::SkipSync) {
            let synced = segment.file.sync_data();
            let synced =
                if planted::is(Bug::RetrySync) { synced.or_else(|_| segment.file.sync_data()) } else { synced };
            synced.map_err(|error| self.poisoned(failed("sync", &segment.path)(error)))?;
        }
        segment.end += encoded.len() as u64;
        (*next_position, *next_group) = (position, *next_group + 1);

        // An empty group, not synced: once it is on the disk it proves this group. Where it cannot be written
        // nothing is lost but that proof.
        let written = encoded.len() as u64;
        encoded.clear();
        let place = Place { position: 0, group: *next_group, group_start: segment.end };
        put_mark(encoded, salt, Kind::Empty, place);
        let _ = segment.file.write_at(encoded, segment.end);
        encoded.shrink_to(ENCODED_BYTES_KEPT);
        if segment.end > segment.header.bytes / 2 {
            spare.begin();
        }
        let mut shelf = self.shelf();
        shelf.segments.last_mut().expect("the present segment is on the shelf").end = segment.end;
        shelf.weights.push_back((Position(position - 1), written));
        shelf.bytes += written;
        Ok(())
    }

    /// After a failed write: makes sure that a recovery sees nothing of the group, where the caller may try again.
    fn take_back(&self, segment: &Segment, encoded: &mut [u8], start: u64, error: StoreError) -> StoreError {
        if matches!(error, StoreError::Full { .. }) {
            if planted::is(Bug::KeepRefusedGroup) {
                return error;
            }
            encoded.fill(0);
            let undone = segment.file.write_at(encoded, start).and_then(|()| segment.file.sync_data());
            if undone.is_ok() {
                return error;
            }
        }
        self.poisoned(error)
    }

    /// Goes on in a new segment, with room for a group of `bytes`. Before it holds anything, the one before says
    /// that it is there: so its loss is seen.
    fn roll(&self, writer: &mut Writer, bytes: u64) -> Result<(), StoreError> {
        let home = self.home();
        let old = &writer.segment;
        let (number, before) = (old.header.number + 1, (old.header.number, old.end));
        let first = Position(writer.next_position);
        let filled = writer.spare.take(FRAME_BYTES + bytes).and_then(|blank| {
            let header = home.header(number, writer.next_group, first, before, blank.bytes());
            blank.fill(&header, &[]).map(|()| (blank, header))
        });
        let (blank, header) = match filled {
            Ok(filled) => filled,
            // Nothing of the log was touched: there may be room later.
            Err(full @ StoreError::Full { .. }) => return Err(full),
            Err(error) => return Err(self.poisoned(error)),
        };
        let new = blank.place(&self.dir, header, HEADER_BYTES as u64).map_err(|error| self.poisoned(error))?;
        seal(old, old.end, writer.next_group, number).map_err(|error| self.poisoned(error))?;
        self.shelf().segments.push(new.clone());
        writer.segment = new;
        Ok(())
    }

    /// See [`crate::store::Store::read_log`]. Costs reading the segments that hold something later than `after`.
    pub fn read(&self, after: Position, each: &mut dyn FnMut(Position, Logged)) -> Result<(), StoreError> {
        let segments = self.shelf().segments.clone();
        let is_some = |gap: &&Gap| gap.first <= gap.last && gap.last > after;
        let mut gaps = self.gaps.iter().filter(is_some).map(|gap| gap.last).peekable();
        for (i, segment) in segments.iter().enumerate() {
            let next = segments.get(i + 1).map(|next| next.header.first_position.0);
            if next.is_some_and(|next| next <= after.0.saturating_add(1)) {
                continue;
            }
            let bytes = segment.read(segment.end)?;
            let mut take = |placed: recovery::Placed| {
                let position = Position(placed.place.position);
                if position > after {
                    while let Some(last) = gaps.next_if(|last| *last < position) {
                        each(last, Logged::GivenUp);
                    }
                    each(position, placed.logged(&segment.path));
                }
            };
            if self.gaps.is_empty() {
                let walk = walk(&bytes, &segment.header, &mut take);
                refused(segment, walk).map_or(Ok(()), Err)?;
            } else {
                walk_over(&bytes, &segment.header, next.unwrap_or(u64::MAX), &mut take, &mut |_| {});
            }
        }
        gaps.for_each(|last| each(last, Logged::GivenUp));
        Ok(())
    }

    /// See [`crate::store::Store::gaps`].
    pub fn gaps(&self) -> Vec<Gap> {
        self.gaps.clone()
    }

    /// The log as it is now: its segments, open, and where it ends in each. They may be read though they are let go
    /// of meanwhile.
    pub fn segments(&self) -> Vec<Segment> {
        self.shelf().segments.clone()
    }

    /// See [`crate::store::Store::verify`]: headers, that each leads to the one before, and every record.
    pub fn verify(&self, each: &mut Checked) -> ControlFlow<()> {
        let segments = self.shelf().segments.clone();
        for (i, segment) in segments.iter().enumerate() {
            match Header::read(segment.file.as_ref(), &segment.path) {
                Ok(header) if header == segment.header => {}
                Ok(_) => each(0, Some(damaged(&segment.path, 0, "the header is not what it was when it was opened")))?,
                Err(error) => each(0, Some(error))?,
            }
            let mut lost = Vec::new();
            let found = segment.read(segment.end).map(|bytes| {
                walk(&bytes, &segment.header, &mut |placed| {
                    lost.extend(placed.lost.map(|what| damaged(&segment.path, placed.offset, what)));
                })
            });
            lost.into_iter().try_for_each(|error| each(0, Some(error)))?;
            let wrong = match found {
                Err(error) => Some(error),
                Ok(walk) => match (&walk.stop, segments.get(i + 1)) {
                    (Stop::End, Some(next)) if walk.next_position != next.header.first_position.0 => {
                        Some(damaged(&segment.path, walk.offset, "records are missing between it and the next one"))
                    }
                    _ => refused(segment, walk),
                },
            };
            each(segment.end, wrong)?;
        }
        ControlFlow::Continue(())
    }

    /// See [`crate::store::Store::trim`].
    pub fn trim(&self, through: Position) -> Result<(), StoreError> {
        // The writer's lock keeps a roll from adding a segment meanwhile: the shelf's own is not held over I/O.
        let _writer = self.writer.lock().expect("a commit does not panic");
        let mut segments = self.shelf().segments.clone();
        let trimmed = self.home().let_go(&mut segments, through);
        let mut shelf = self.shelf();
        shelf.segments = segments;
        while let Some((_, bytes)) = shelf.weights.pop_front_if(|(position, _)| *position <= through) {
            shelf.bytes -= bytes;
        }
        trimmed
    }

    /// Bytes of the records that no fold covers.
    pub fn bytes(&self) -> u64 {
        self.shelf().bytes
    }

    /// Takes no more writes from now on.
    pub fn close(&self) {
        let _writer = self.writer.lock().expect("a commit does not panic");
        self.poison.get_or_init(|| "the store is closed".to_string());
    }

    fn home(&self) -> Home<'_> {
        Home { disk: &self.disk, dir: &self.dir, random: self.random.as_ref(), store: self.store }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("nothing panics while it holds the shelf")
    }

    /// Whether writes are taken still.
    pub fn check_poison(&self) -> Result<(), StoreError> {
        self.poison.get().map_or(Ok(()), |cause| Err(StoreError::Poisoned { cause: cause.clone() }))
    }

    /// Takes no more writes from now on. A disk that is full is reported as failed: there is no going on.
    pub fn poisoned(&self, error: StoreError) -> StoreError {
        self.poison.get_or_init(|| error.to_string());
        match error {
            StoreError::Full { file } => StoreError::Io { operation: "write", file, cause: "no room".to_string() },
            error => error,
        }
    }
}
