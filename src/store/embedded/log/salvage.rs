//! The log of a store that is opened to be repaired: what can be read of it, around what cannot.
//!
//! Every record's checksum starts from its segment's salt, so a head that is right is a record of this log wherever it
//! stands: behind a stretch that cannot be read the log goes on with the next such record. Positions say what is
//! missing before it. What an opening cuts off as a torn tail is cut off here too.

use super::record::{self, ALIGN_BYTES, Found, Head, Kind, Place};
use super::recovery::{Anew, Home, Placed, Recovered, Stop, Walk, too_new, walk_on};
use super::segment::{Blank, FRAME_BYTES, HEADER_BYTES, Header, Segment, segment_path};
use crate::planted::{self, Bug};
use crate::store::embedded::failed::damaged;
use crate::store::{Damage, Gap, Position, Record, StoreError};
use std::cmp::Reverse;
use std::collections::VecDeque;

/// How many positions are left out where nobody knows how many records are lost: more than any segment holds, so that
/// none is used twice.
const UNKNOWN_RECORDS: u64 = 1 << 32;

/// What an opening does about what cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// It fails.
    Refused,
    /// It goes on around it, and changes nothing of the log and the folds: nothing can be written.
    Listed,
    /// It goes on around it, for good.
    GivenUp,
}

/// What of a log can be read.
pub struct Salvaged {
    /// As an opening finds it.
    pub recovered: Recovered,
    /// What cannot be read, in order.
    pub gaps: Vec<Gap>,
}

/// A stretch inside a segment.
pub struct Hole {
    /// Where the last good record before it ends, and what is wrong there.
    before: Walk,
    /// Where the log goes on.
    bytes: u64,
    /// The position with which it goes on.
    next: u64,
}

/// A segment that can be read.
struct Link {
    segment: Segment,
    /// Where the log ends in it, where the next one says it.
    end: Option<u64>,
    /// What is lost between it and the next one.
    after: Option<Damage>,
}

struct Salvage<'a> {
    home: &'a Home<'a>,
    reach: Position,
    gaps: Vec<Gap>,
    /// The highest number of a segment that was ever there.
    newest: u64,
}

/// Goes through the batches of a segment's bytes as far as they can be read, in positions below `below`; `hole` is
/// told of what lies between them.
pub fn walk_over(
    bytes: &[u8],
    header: &Header,
    below: u64,
    each: &mut dyn FnMut(Placed),
    hole: &mut dyn FnMut(Hole),
) -> Walk {
    let mut walk = Walk::start(header);
    loop {
        walk = walk_on(bytes, header, walk, &mut |placed| {
            if placed.place.position < below {
                each(placed);
            }
        });
        if walk.next_position >= below {
            return Walk { next_position: below, stop: Stop::End, ..walk };
        }
        let goes_on = match walk.stop {
            Stop::End | Stop::TooNew(_) | Stop::Mark(Kind::Next, _) => None,
            Stop::Mark(..) | Stop::Bad(_) if planted::is(Bug::StopAtGap) => None,
            Stop::Mark(..) | Stop::Bad(_) => next_batch(bytes, header, &walk).filter(|(_, p)| p.position < below),
        };
        let Some((offset, Place { position, group, group_start })) = goes_on else { return walk };
        let next = Walk { offset, stop: Stop::End, next_position: position, group, group_start };
        hole(Hole { bytes: offset - walk.offset, before: walk, next: position });
        walk = next;
    }
}

/// The next batch of which at least the list can be read.
fn next_batch(bytes: &[u8], header: &Header, walk: &Walk) -> Option<(u64, Place)> {
    let from = walk.offset as usize + ALIGN_BYTES;
    (from..bytes.len()).step_by(ALIGN_BYTES).find_map(|offset| match record::read(&bytes[offset..], header.salt) {
        Found::Whole(entry) | Found::Lost(entry, _) => {
            let place = entry.head.place;
            (entry.record.is_some() && place.position >= walk.next_position).then_some((offset as u64, place))
        }
        _ => None,
    })
}

impl Home<'_> {
    /// Opens a log of which something cannot be read. `only_looks`: nothing of it is changed.
    pub fn salvage(&self, reach: Position, opening_bytes: u64, only_looks: bool) -> Result<Salvaged, StoreError> {
        let mut salvage = Salvage { home: self, reach, gaps: Vec::new(), newest: 0 };
        let recovered = salvage.run(opening_bytes, only_looks)?;
        Ok(Salvaged { recovered, gaps: salvage.gaps })
    }
}

impl Salvage<'_> {
    fn run(&mut self, opening_bytes: u64, only_looks: bool) -> Result<Recovered, StoreError> {
        let reach = self.reach;
        let mut links = self.chain()?;
        let mut weights = VecDeque::new();
        let Some(mut last) = links.pop() else { return self.nothing_left(opening_bytes, only_looks) };
        let mut segments = Vec::new();
        let mut links = links.into_iter().peekable();
        while let Some(mut link) = links.next() {
            let after = links.peek().map_or(&last.segment, |next| &next.segment).header;
            self.earlier(&mut link, &after, &mut weights)?;
            segments.push(link.segment);
        }
        let (walk, found, is_torn) = self.last(&mut last)?;
        segments.push(last.segment);
        let of_last = found.partition_point(|placed| placed.place.group < walk.group);
        let mut found = found;
        // As in an opening: what may never have been synced is copied.
        let copied = match is_torn || found[of_last..].iter().any(|placed| placed.lost.is_some()) {
            true => Vec::new(),
            false => found.split_off(of_last),
        };
        weights.extend(found.iter().map(|placed| (Position(placed.place.position), placed.bytes)));
        let copied: Vec<Record> = copied.into_iter().map(|placed| placed.record).collect();
        let anew = Anew { number: self.newest + 1, reach, opening_bytes, only_looks };
        self.home.start_anew(segments, weights, walk, copied, anew)
    }

    /// The segments that can be read, oldest first, as far back as they hold what no fold covers.
    fn chain(&mut self) -> Result<Vec<Link>, StoreError> {
        let numbers = self.home.numbers()?;
        let mut next = numbers.last().copied();
        self.newest = next.unwrap_or(0);
        let mut links: Vec<Link> = Vec::new();
        let mut lost: Option<Damage> = None;
        while let Some(number) = next {
            match Segment::open_cut(self.home.disk.as_ref(), self.home.dir, number, self.home.store) {
                Ok((segment, cut)) => {
                    let after = links.last().filter(|after| after.segment.header.before == number);
                    let end = after.map(|after| after.segment.header.before_end.min(segment.header.bytes));
                    let before = Some(segment.header.before).filter(|b| *b > 0 && *b < number);
                    next = before.filter(|_| segment.header.first_position.0 > self.reach.0 + 1);
                    let after = lost.take().or(cut.and_then(damage));
                    links.push(Link { segment, end, after });
                }
                Err(error) => {
                    lost.get_or_insert(damage(error.clone()).ok_or(error)?);
                    next = numbers.range(..number).next_back().copied();
                }
            }
        }
        links.reverse();
        let Some(first) = links.first().map(|link| link.segment.header) else {
            let none =
                || Damage { file: text(self.home.dir), offset: 0, what: "no segment of the log is there".into() };
            self.gap(lost.unwrap_or_else(none), None, 0, None);
            return Ok(links);
        };
        if first.first_position.0 > self.reach.0 + 1 {
            let missing = segment_path(self.home.dir, first.before);
            let none = || Damage { file: text(&missing), offset: 0, what: "it is missing".into() };
            self.gap(lost.unwrap_or_else(none), None, 0, Some(first.first_position.0));
        }
        Ok(links)
    }

    /// A segment with another after it.
    fn earlier(
        &mut self,
        link: &mut Link,
        after: &Header,
        weights: &mut VecDeque<(Position, u64)>,
    ) -> Result<(), StoreError> {
        let segment = &mut link.segment;
        let bytes = segment.read(link.end.unwrap_or(segment.header.bytes))?;
        let mut holes = Vec::new();
        let mut each = |placed: Placed| weights.push_back((Position(placed.place.position), placed.bytes));
        let walk = walk_over(&bytes, &segment.header, after.first_position.0, &mut each, &mut |hole| holes.push(hole));
        segment.end = link.end.unwrap_or(walk.offset);
        holes.into_iter().for_each(|hole| self.hole(segment, hole));
        if let Stop::TooNew(version) = walk.stop {
            return Err(too_new(segment, version));
        }
        let (file, offset) = (text(&segment.path), walk.offset);
        let bytes = link.end.filter(|_| link.after.is_none()).map(|end| end - walk.offset);
        let what = match walk.stop {
            Stop::Bad(what) => what,
            _ => "records are missing between it and the next one".into(),
        };
        match link.after.take() {
            // It keeps the store from being opened, though a copy of all that it held may be elsewhere.
            Some(damage) if walk.next_position == after.first_position.0 => {
                let (first, last) = (after.first_position, Position(walk.next_position - 1));
                self.gaps.push(Gap { damage, bytes, first, last, is_bound: false });
            }
            lost => {
                let damage = lost.unwrap_or(Damage { file, offset, what });
                self.gap(damage, bytes, walk.next_position, Some(after.first_position.0));
            }
        }
        Ok(())
    }

    /// The last segment that can be read; and whether its last group is not whole, and stays where it is.
    fn last(&mut self, link: &mut Link) -> Result<(Walk, Vec<Placed>, bool), StoreError> {
        let segment = &link.segment;
        let bytes = segment.read(segment.header.bytes)?;
        let (mut found, mut holes) = (Vec::new(), Vec::new());
        let mut walk =
            walk_over(&bytes, &segment.header, u64::MAX, &mut |p| found.push(p), &mut |hole| holes.push(hole));
        let proof = proof(&bytes, &segment.header);
        let proven = proof.as_ref().map_or(0, |head| head.place.group_start);
        // What nothing proves is the torn tail, though something may stand behind it.
        if let Some(torn) = holes.iter().position(|hole| hole.before.offset >= proven) {
            walk = holes.swap_remove(torn).before;
            holes.truncate(torn);
            found.retain(|placed| placed.offset < walk.offset);
        }
        let mut is_torn = holes.last().is_some_and(|hole| hole.before.offset + hole.bytes > walk.group_start);
        holes.into_iter().for_each(|hole| self.hole(segment, hole));
        if let Some(head) = proof.filter(|_| proven > walk.offset) {
            // All that is left behind it is what proves that it was synced.
            let what = match walk.stop {
                Stop::Bad(ref what) => what.clone(),
                _ => "a group is missing before others".into(),
            };
            let damage = Damage { file: text(&segment.path), offset: walk.offset, what };
            let next = Some(head.place.position).filter(|_| head.kind == Kind::Batch);
            let next_position = self.gap(damage, Some(proven - walk.offset), walk.next_position, next);
            let group = head.place.group - 1;
            let stop = match head.kind {
                Kind::Next => Stop::Mark(Kind::Next, head.place),
                _ => Stop::Bad("a record stands here that cannot be read".into()),
            };
            walk = Walk { offset: proven, stop, next_position, group, group_start: proven };
            is_torn = true;
        }
        let mut lost = link.after.take();
        if let Stop::Mark(Kind::Next, place) = walk.stop {
            self.newest = self.newest.max(place.position);
            let file = text(&segment_path(self.home.dir, place.position));
            lost.get_or_insert(Damage { file, offset: 0, what: "it is missing, and the log goes on in it".into() });
            walk.stop = Stop::End;
        }
        self.home.check_tail(segment, &bytes, &mut walk, &mut found)?;
        if let Some(damage) = lost {
            walk.next_position = self.gap(damage, None, walk.next_position.max(self.reach.0 + 1), None);
            is_torn = true;
        }
        Ok((walk, found, is_torn))
    }

    fn hole(&mut self, segment: &Segment, hole: Hole) {
        let Hole { before, bytes, next } = hole;
        let what = match before.stop {
            Stop::Bad(what) => what,
            _ => "a group is missing before others".into(),
        };
        let damage = Damage { file: text(&segment.path), offset: before.offset, what };
        self.gap(damage, Some(bytes), before.next_position, Some(next));
    }

    /// Positions from `first` on are lost up to `next` (None: nobody knows). What folds cover is not. Answers where
    /// positions go on.
    fn gap(&mut self, damage: Damage, bytes: Option<u64>, first: u64, next: Option<u64>) -> u64 {
        let first = first.max(self.reach.0 + 1);
        let is_bound = next.is_none();
        let next = next.unwrap_or(first + UNKNOWN_RECORDS);
        if next > first && !planted::is(Bug::ForgetGap) {
            let (first, last) = (Position(first), Position(next - 1));
            self.gaps.push(Gap { damage, bytes, first, last, is_bound });
        }
        next
    }

    /// A log of which nothing is there.
    fn nothing_left(&self, opening_bytes: u64, only_looks: bool) -> Result<Recovered, StoreError> {
        let next_position = self.gaps.last().map_or(self.reach, |gap| gap.last).0 + 1;
        let (home, number) = (self.home, self.newest + 1);
        let header = home.header(number, 1, Position(next_position), (0, 0), opening_bytes.max(FRAME_BYTES));
        let blank = Blank::make(home.disk, &home.temporary(number), header.bytes)?;
        blank.fill(&header, &[])?;
        let end = HEADER_BYTES as u64;
        let segment = if only_looks { blank.unplaced(header, end) } else { blank.place(home.dir, header, end)? };
        Ok(Recovered { segments: vec![segment], weights: VecDeque::new(), next_position, next_group: 1 })
    }
}

/// The head that proves the most of a segment to have been synced.
fn proof(bytes: &[u8], header: &Header) -> Option<Head> {
    (HEADER_BYTES..bytes.len())
        .step_by(ALIGN_BYTES)
        .filter_map(|offset| record::read_head(&bytes[offset..], header.salt)?.ok())
        .max_by_key(|head| (head.place.group_start, Reverse(head.place.position)))
}

fn damage(error: StoreError) -> Option<Damage> {
    match error {
        StoreError::Damaged { file, offset, what, .. } => Some(Damage { file, offset, what }),
        _ => None,
    }
}

fn text(path: &std::path::Path) -> String {
    path.display().to_string()
}

/// That a segment's records cannot be read from somewhere on, in a log that is not opened to be repaired.
pub fn refused(segment: &Segment, walk: Walk) -> Option<StoreError> {
    match walk.stop {
        Stop::End => None,
        Stop::Mark(..) => Some(damaged(&segment.path, walk.offset, "the log ends here and should go on")),
        Stop::Bad(what) => Some(damaged(&segment.path, walk.offset, what)),
        Stop::TooNew(version) => Some(too_new(segment, version)),
    }
}
