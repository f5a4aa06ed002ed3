//! What the log holds when it is opened: which segments are its own, where it ends, what is damage and what is
//! only a torn tail.
//!
//! A group is written only after the one before it was synced. So a head whose group starts behind a bad record
//! proves that the bad record was acknowledged: damage; where only its body is bad, it is carried on as lost. Without such a head nothing from the bad record on was
//! answered, and it is cut. What the last group holds before that may never have been synced, though it can be
//! read: it is copied into a new segment and synced before anything is served.

#[cfg(test)]
mod tests;

use super::record::{self, ALIGN_BYTES, Entry, Found, Kind, Place, Salt, put_mark, put_record};
use super::segment::{Blank, FRAME_BYTES, HEADER_BYTES, Header, Segment, TEMPORARY, segment_number, segment_path};
use crate::disk::Disk;
use crate::planted::{self, Bug};
use crate::random::{Random, array};
use crate::store::embedded::failed::{damaged, failed};
use crate::store::{Damage, Logged, Position, Record, StoreError};
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

/// Where a log is kept, and what it is kept with.
pub struct Home<'a> {
    /// Its files.
    pub disk: &'a Arc<dyn Disk>,
    /// Its folder.
    pub dir: &'a Path,
    /// Salts.
    pub random: &'a dyn Random,
    /// The store's id.
    pub store: [u8; 16],
}

/// Positions, and the bytes of the log up to each from the one before.
pub type Weights = VecDeque<(Position, u64)>;

/// What an opened log is.
pub struct Recovered {
    /// Oldest first; records are appended to the last.
    pub segments: Vec<Segment>,
    /// What each record takes, in order.
    pub weights: Weights,
    /// The next record's position.
    pub next_position: u64,
    /// The next group's number.
    pub next_group: u64,
}

/// How the segment is made that an opening starts with.
pub struct Anew {
    /// Its number.
    pub number: u64,
    /// What the folds reach.
    pub reach: Position,
    /// Its length, or as long as it must be.
    pub opening_bytes: u64,
    /// It never gets its name, and nothing of the log is touched.
    pub only_looks: bool,
}

/// Where a walk over a segment stopped.
pub struct Walk {
    /// Behind the last good batch.
    pub offset: u64,
    /// What stands there.
    pub stop: Stop,
    /// The position that follows.
    pub next_position: u64,
    /// The last group; the one before the first where there is none.
    pub group: u64,
    /// Where that group starts.
    pub group_start: u64,
}

/// Why a walk stopped.
pub enum Stop {
    /// The bytes end.
    End,
    /// A mark that follows the last group.
    Mark(Kind, Place),
    /// No record that belongs here: what is wrong.
    Bad(String),
    /// A record of a later version.
    TooNew(u16),
}

/// A batch in its place.
pub struct Placed {
    /// Its place in the log.
    pub place: Place,
    /// Where in the segment.
    pub offset: u64,
    /// What it takes there.
    pub bytes: u64,
    /// The batch.
    pub record: Record,
    /// What is wrong, where its body is damaged.
    pub lost: Option<String>,
}

impl Placed {
    /// As it is read again from the segment at `path`.
    pub fn logged(self, path: &Path) -> Logged {
        match self.lost {
            None => Logged::Whole(self.record),
            Some(what) => {
                let file = path.display().to_string();
                Logged::Lost(self.record, Damage { file, offset: self.offset, what })
            }
        }
    }
}

impl Walk {
    /// At the start of a segment.
    pub fn start(header: &Header) -> Walk {
        Walk {
            offset: HEADER_BYTES as u64,
            stop: Stop::End,
            next_position: header.first_position.0,
            group: header.first_group.wrapping_sub(1),
            group_start: HEADER_BYTES as u64,
        }
    }
}

/// Goes through the batches of a segment's bytes, its header included, and stops at the first thing that is
/// not a batch in its place.
pub fn walk(bytes: &[u8], header: &Header, each: &mut dyn FnMut(Placed)) -> Walk {
    walk_on(bytes, header, Walk::start(header), each)
}

/// As `walk`, from a place in the segment.
pub fn walk_on(bytes: &[u8], header: &Header, mut walk: Walk, each: &mut dyn FnMut(Placed)) -> Walk {
    while (walk.offset as usize) < bytes.len() {
        let (entry, lost) = match record::read(&bytes[walk.offset as usize..], header.salt) {
            Found::Whole(entry) => (entry, None),
            Found::Lost(entry, what) => (entry, Some(what)),
            Found::TooNew(version) => return Walk { stop: Stop::TooNew(version), ..walk },
            Found::Head(_, what) => return Walk { stop: Stop::Bad(what), ..walk },
            Found::Nothing => {
                let what = format!("record {} should stand here and does not", walk.next_position);
                return Walk { stop: Stop::Bad(what), ..walk };
            }
        };
        let Entry { head, record, bytes: taken } = entry;
        let (place, taken) = (head.place, taken as u64);
        let opens_group = place.group == walk.group.wrapping_add(1) && place.group_start == walk.offset;
        let goes_on =
            walk.offset > HEADER_BYTES as u64 && place.group == walk.group && place.group_start == walk.group_start;
        match record {
            Some(record) if place.position == walk.next_position && (opens_group || goes_on) => {
                each(Placed { place, offset: walk.offset, bytes: taken, record, lost });
                walk.next_position += 1;
                (walk.group, walk.group_start) = (place.group, place.group_start);
                walk.offset += taken;
            }
            None if opens_group || head.kind == Kind::Next => {
                return Walk { stop: Stop::Mark(head.kind, place), ..walk };
            }
            _ => return Walk { stop: Stop::Bad("a record stands here that does not belong here".into()), ..walk },
        }
    }
    walk
}

impl Home<'_> {
    /// Opens a log whose folds reach `reach`. `opening_bytes` is the length of the segment it starts with.
    pub fn recover(&self, reach: Position, opening_bytes: u64) -> Result<Recovered, StoreError> {
        let segments = self.chain(reach)?;
        let Some(first) = segments.first() else {
            return Err(damaged(self.dir, 0, "no segment of the log is there"));
        };
        if first.header.first_position.0 > reach.0 + 1 {
            let missing = segment_path(self.dir, first.header.before);
            let what = format!("it is missing: records {} to {}", reach.0 + 1, first.header.first_position.0 - 1);
            return Err(damaged(&missing, 0, what));
        }
        let mut weights = VecDeque::new();
        let (last, earlier) = segments.split_last().expect("there is a first");
        for (i, segment) in earlier.iter().enumerate() {
            let after = earlier.get(i + 1).unwrap_or(last);
            self.check_whole(segment, &after.header, &mut weights)?;
        }
        let last_bytes = last.read(last.header.bytes)?;
        let mut found = Vec::new();
        let mut walk = walk(&last_bytes, &last.header, &mut |placed| found.push(placed));
        self.check_tail(last, &last_bytes, &mut walk, &mut found)?;
        let of_last = found.partition_point(|placed| placed.place.group < walk.group);
        let copied = match found[of_last..].iter().any(|placed| placed.lost.is_some()) {
            // Only what is proven to be synced is carried as lost: it stays where it is.
            true => Vec::new(),
            false if planted::is(Bug::ServeUnsyncedTail) => Vec::new(),
            false => found.split_off(of_last),
        };
        weights.extend(found.iter().map(|placed| (Position(placed.place.position), placed.bytes)));
        let copied: Vec<Record> = copied.into_iter().map(|placed| placed.record).collect();
        let anew = Anew { number: last.header.number + 1, reach, opening_bytes, only_looks: false };
        self.start_anew(segments, weights, walk, copied, anew)
    }

    /// Whether every record after a position, through another, is there and whole. Nothing is changed. Costs reading the
    /// segments that should hold them.
    pub fn holds(&self, after: Position, through: Position) -> Result<bool, StoreError> {
        let mut next = self.listed()?.last().copied();
        let mut newer: Option<Header> = None;
        while let Some(number) = next {
            let segment = match Segment::open(self.disk.as_ref(), self.dir, number, self.store) {
                Err(StoreError::Damaged { .. }) => return Ok(false),
                opened => opened?,
            };
            let header = segment.header;
            let end = newer.map_or(header.bytes, |newer| newer.before_end.min(header.bytes));
            let mut lost = false;
            let walk = walk(&segment.read(end)?, &header, &mut |placed| {
                lost |= placed.lost.is_some() && (after.0 + 1..=through.0).contains(&placed.place.position);
            });
            let leads_on = newer.map_or(through.0 + 1, |newer| newer.first_position.0.min(through.0 + 1));
            if lost || walk.next_position < leads_on {
                return Ok(false);
            }
            if header.first_position.0 <= after.0 + 1 {
                return Ok(true);
            }
            newer = Some(header);
            next = Some(header.before).filter(|before| (1..number).contains(before));
        }
        Ok(false)
    }

    /// The first segment of a new store.
    pub fn create(&self, opening_bytes: u64) -> Result<(), StoreError> {
        let header = self.header(1, 1, Position(1), (0, 0), opening_bytes.max(FRAME_BYTES));
        let blank = Blank::make(self.disk, &self.temporary(1), header.bytes)?;
        blank.fill(&header, &[])?;
        blank.place(self.dir, header, HEADER_BYTES as u64).map(drop)
    }

    /// Removes the segments that hold nothing later than `through`, oldest first; the last one stays.
    pub fn let_go(&self, segments: &mut Vec<Segment>, through: Position) -> Result<(), StoreError> {
        let mut removed = false;
        while segments.len() > 1 && segments[1].header.first_position.0 <= through.0 + 1 {
            let path = &segments[0].path;
            self.disk.remove(path).map_err(failed("remove", path))?;
            segments.remove(0);
            removed = true;
        }
        match removed {
            true => self.disk.sync_dir(self.dir).map_err(failed("sync", self.dir)),
            false => Ok(()),
        }
    }

    /// The header of a new segment, with a salt of its own.
    pub fn header(
        &self,
        number: u64,
        first_group: u64,
        first_position: Position,
        (before, before_end): (u64, u64),
        bytes: u64,
    ) -> Header {
        let salt = Salt(u64::from_le_bytes(array(self.random)));
        Header { store: self.store, number, salt, first_group, first_position, before, before_end, bytes }
    }

    /// The name of a segment that is not part of the log yet.
    pub fn temporary(&self, number: u64) -> std::path::PathBuf {
        self.dir.join(format!("opening-{number}{TEMPORARY}"))
    }

    /// The numbers of all segments that are there; what is left under temporary names is removed.
    pub fn numbers(&self) -> Result<BTreeSet<u64>, StoreError> {
        // What a name replaces is removed only once the name is on stable storage.
        self.disk.sync_dir(self.dir).map_err(failed("sync", self.dir))?;
        for (name, _) in self.disk.list(self.dir).map_err(failed("list", self.dir))? {
            if name.ends_with(TEMPORARY) {
                let path = self.dir.join(name);
                self.disk.remove(&path).map_err(failed("remove", &path))?;
            }
        }
        self.listed()
    }

    fn listed(&self) -> Result<BTreeSet<u64>, StoreError> {
        let names = self.disk.list(self.dir).map_err(failed("list", self.dir))?;
        Ok(names.iter().filter_map(|(name, _)| segment_number(name)).collect())
    }

    /// The segments that the last one's header leads back to, as far as they hold something that no fold covers.
    /// Others go: they were replaced while opening, or are not needed any more, whatever they hold.
    fn chain(&self, reach: Position) -> Result<Vec<Segment>, StoreError> {
        let mut numbers = self.numbers()?;
        let mut segments: Vec<Segment> = Vec::new();
        let mut next = numbers.last().copied();
        let mut is_covered = false;
        while let Some(number) = next.filter(|number| numbers.remove(number)) {
            let mut segment = Segment::open(self.disk.as_ref(), self.dir, number, self.store)?;
            if let Some(after) = segments.last() {
                segment.end = after.header.before_end;
                if segment.end > segment.header.bytes || segment.end < HEADER_BYTES as u64 {
                    return Err(damaged(&after.path, 0, "it says that the log before it ends outside its segment"));
                }
            }
            is_covered = segment.header.first_position.0 <= reach.0 + 1;
            next = Some(segment.header.before).filter(|_| !is_covered);
            segments.push(segment);
        }
        segments.reverse();
        let first = segments.first().map_or(0, |first| first.header.number);
        for number in numbers.into_iter().filter(|number| is_covered || *number > first) {
            let path = segment_path(self.dir, number);
            self.disk.remove(&path).map_err(failed("remove", &path))?;
        }
        Ok(segments)
    }

    /// A segment with another after it holds good records up to where that one says, and they lead up to its own.
    fn check_whole(&self, segment: &Segment, after: &Header, weights: &mut Weights) -> Result<(), StoreError> {
        let bytes = segment.read(segment.end)?;
        let walk = walk(&bytes, &segment.header, &mut |placed| {
            weights.push_back((Position(placed.place.position), placed.bytes));
        });
        match walk.stop {
            Stop::End if walk.next_position == after.first_position.0 => Ok(()),
            Stop::End => Err(damaged(&segment.path, walk.offset, "records are missing between it and the next one")),
            Stop::Mark(..) => Err(damaged(&segment.path, walk.offset, "the log ends here and should go on")),
            Stop::Bad(what) => Err(damaged(&segment.path, walk.offset, what)),
            Stop::TooNew(version) => Err(too_new(segment, version)),
        }
    }

    /// The last segment may end in a torn tail, but not before something that proves more. What is cut off is taken
    /// from `walk` and `found`.
    pub fn check_tail(
        &self,
        last: &Segment,
        bytes: &[u8],
        walk: &mut Walk,
        found: &mut Vec<Placed>,
    ) -> Result<(), StoreError> {
        match walk.stop {
            Stop::TooNew(version) => return Err(too_new(last, version)),
            Stop::Mark(Kind::Next, place) => {
                let path = segment_path(self.dir, place.position);
                return Err(damaged(&path, 0, "it is missing, and the log goes on in it"));
            }
            _ => {}
        }
        // The latest place that a head from here on proves to have been synced.
        let proven = (walk.offset as usize..bytes.len())
            .step_by(ALIGN_BYTES)
            .filter_map(|offset| record::read_head(&bytes[offset..], last.header.salt)?.ok())
            .map(|head| head.place.group_start)
            .max()
            .filter(|_| !planted::is(Bug::CutDamage));
        if proven.is_some_and(|start| start > walk.offset) {
            return Err(match &walk.stop {
                Stop::Bad(what) => damaged(&last.path, walk.offset, what.as_str()),
                _ => damaged(&last.path, walk.offset, "a group is missing before others"),
            });
        }
        let is_cut = |placed: &Placed| {
            let last_group = placed.place.group == walk.group || planted::is(Bug::CutDamage);
            placed.lost.is_some() && last_group && proven.is_none_or(|start| start <= placed.offset)
        };
        if let Some(cut) = found.iter().position(is_cut) {
            let placed = &mut found[cut];
            (walk.offset, walk.next_position) = (placed.offset, placed.place.position);
            walk.stop = Stop::Bad(placed.lost.take().unwrap_or_default());
            found.truncate(cut);
            (walk.group, walk.group_start) = match found.last() {
                Some(placed) => (placed.place.group, placed.place.group_start),
                None => (last.header.first_group.wrapping_sub(1), HEADER_BYTES as u64),
            };
        }
        if let Stop::Bad(what) = &walk.stop
            && bytes[walk.offset as usize..].iter().any(|byte| *byte != 0)
        {
            let (file, offset) = (last.path.display(), walk.offset);
            tracing::warn!(%file, offset, what, "the log's tail was torn, or its last group is damaged: it is cut off");
        }
        Ok(())
    }

    /// Starts a new segment with the last group's good records, synced, and lets go of what it replaces.
    pub fn start_anew(
        &self,
        mut segments: Vec<Segment>,
        mut weights: Weights,
        walk: Walk,
        mut copied: Vec<Record>,
        anew: Anew,
    ) -> Result<Recovered, StoreError> {
        let Anew { number, reach, opening_bytes, only_looks } = anew;
        let last = segments.last_mut().expect("there is a last segment");
        last.end = if copied.is_empty() { walk.offset } else { walk.group_start };
        let mut next_position = walk.next_position;
        if next_position <= reach.0 {
            // The folds know more than the log: its tail was damaged after it was folded. Nothing is lost.
            copied.clear();
            next_position = reach.0 + 1;
        }
        let first_position = Position(next_position - copied.len() as u64);
        let first_group = walk.group + u64::from(copied.is_empty());
        let holds_nothing = last.end == HEADER_BYTES as u64;
        let before =
            if holds_nothing { (last.header.before, last.header.before_end) } else { (last.header.number, last.end) };

        let size: u64 = copied.iter().map(|record| record::record_bytes(record) as u64).sum();
        let bytes = opening_bytes.max(FRAME_BYTES + size);
        let header = self.header(number, first_group, first_position, before, bytes);
        let mut records = Vec::new();
        for (position, record) in (first_position.0..).zip(&copied) {
            let place = Place { position, group: first_group, group_start: HEADER_BYTES as u64 };
            put_record(&mut records, header.salt, place, record);
        }
        let end = (HEADER_BYTES + records.len()) as u64;
        let next_group = first_group + u64::from(!copied.is_empty());
        put_mark(&mut records, header.salt, Kind::Empty, Place { position: 0, group: next_group, group_start: end });
        let blank = Blank::make(self.disk, &self.temporary(number), bytes)?;
        blank.fill(&header, &records)?;
        let segment = if only_looks { blank.unplaced(header, end) } else { blank.place(self.dir, header, end)? };
        if !copied.is_empty() {
            weights.push_back((Position(next_position - 1), size));
        }
        if holds_nothing {
            let replaced = segments.pop().expect("there is a last segment");
            if !only_looks {
                self.disk.remove(&replaced.path).map_err(failed("remove", &replaced.path))?;
            }
        } else if !only_looks {
            seal(segments.last().expect("there is a last segment"), walk.offset, walk.group + 1, number)?;
        }
        segments.push(segment);
        if !only_looks {
            self.let_go(&mut segments, reach)?;
        }
        weights.retain(|(position, _)| *position > reach);
        Ok(Recovered { segments, weights, next_position, next_group })
    }
}

/// That a segment holds records of a later version.
pub fn too_new(segment: &Segment, version: u16) -> StoreError {
    let file = segment.path.display().to_string();
    StoreError::Format { file, found: version.to_string(), known: record::VERSION.into() }
}

/// Writes behind a segment's last record that the log goes on in another one, so that the loss of that one is
/// seen. What stood there was never acknowledged, or is an empty group.
pub fn seal(segment: &Segment, offset: u64, group: u64, next: u64) -> Result<(), StoreError> {
    let mut mark = Vec::new();
    put_mark(&mut mark, segment.header.salt, Kind::Next, Place { position: next, group, group_start: offset });
    if offset + mark.len() as u64 > segment.header.bytes {
        return Ok(());
    }
    segment.file.write_at(&mark, offset).map_err(failed("write", &segment.path))?;
    segment.file.sync_data().map_err(failed("sync", &segment.path))
}
