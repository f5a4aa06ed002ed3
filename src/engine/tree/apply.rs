//! Changing a tree: the blocks that hold the changed keys, and the nodes above them, are made anew.

use super::child::{Body, Child, Loader};
use super::children::Children;
use super::growing::{Before, Grown, PIECES_A_BLOCK};
use super::{Entry, Extent};
use crate::domain::aggregate::Aggregate;
use crate::domain::calendar::Calendar;
use crate::domain::definition::Kind;
use crate::domain::point::Point;
use crate::domain::time::Time;
use crate::engine::Settings;
use crate::engine::block::{self, Column, Columns, Leaf, Row, summed};
use crate::engine::history::Version;
use crate::planted::{self, Bug};
use crate::store::StoreError;
use std::sync::Arc;

/// Keys of one series and what becomes of them: at least one, in order of time, each once.
#[derive(Clone, PartialEq, Debug)]
pub enum Changes {
    /// These points are there, made by the revision that changes them.
    Set(Columns),
    /// At these times there is none any more.
    TakenBack(Column),
}

impl Changes {
    /// Times, in nanoseconds.
    pub fn times(&self) -> &Column {
        match self {
            Changes::Set(points) => &points.times,
            Changes::TakenBack(times) => times,
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.times().len()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.times().is_empty()
    }

    /// The time of the `i`th key.
    pub fn time(&self, i: usize) -> Time {
        Time(self.times().at(i))
    }

    /// What there is at the `i`th key then; None: nothing.
    pub fn point(&self, i: usize) -> Option<Point> {
        match self {
            Changes::Set(points) => Some(points.point(i)),
            Changes::TakenBack(_) => None,
        }
    }

    /// The first key and the last.
    pub fn ends(&self) -> (Time, Time) {
        let all = Part::of(self);
        (all.first(), all.last())
    }

    /// The latest end of a point; None: all are taken back.
    pub fn latest_end(&self) -> Option<Time> {
        let Changes::Set(points) = self else { return None };
        // Mostly all end as long after their times, which ascend. (Looking at each was a quarter of what the committer did
        // in durable ingest of W1, by its profile.)
        match points.ends.spacing() {
            Some((_, 0)) => points.len().checked_sub(1).map(|last| points.end(last)),
            _ => (0..points.len()).map(|i| points.end(i)).max(),
        }
    }
}

/// A stretch of changes.
#[derive(Clone, Copy)]
struct Part<'a> {
    changes: &'a Changes,
    from: usize,
    to: usize,
}

impl<'a> Part<'a> {
    fn of(changes: &'a Changes) -> Part<'a> {
        Part { changes, from: 0, to: changes.len() }
    }

    fn len(&self) -> usize {
        self.to - self.from
    }

    fn first(&self) -> Time {
        self.changes.time(self.from)
    }

    fn last(&self) -> Time {
        self.changes.time(self.to - 1)
    }

    /// The first so many, and the others.
    fn split_at(self, count: usize) -> (Part<'a>, Part<'a>) {
        let at = self.from + count;
        (Part { to: at, ..self }, Part { from: at, ..self })
    }

    /// How many keys lie before a time.
    fn before(&self, time: Time) -> usize {
        self.changes.times().at_or_above(time.0).clamp(self.from, self.to) - self.from
    }

    fn keys(self) -> impl Iterator<Item = (Time, Option<Point>)> + 'a {
        (self.from..self.to).map(move |i| (self.changes.time(i), self.changes.point(i)))
    }
}

/// Changes one series' tree with one revision.
pub struct Apply<'a> {
    /// What a point says.
    pub kind: Kind,
    /// The metric's periods.
    pub periods: Option<&'a Calendar>,
    /// The revision that changes it.
    pub revision: i64,
    /// Sizes of blocks and nodes.
    pub settings: &'a Settings,
    /// Reads children.
    pub loader: &'a Loader,
    /// Takes the versions that are replaced, and retractions.
    pub replaced: &'a mut Vec<Version>,
    /// Index nodes that nothing in the new tree refers to.
    pub replaced_nodes: &'a mut Vec<u64>,
    /// Bytes that the change added to memory, roughly.
    pub bytes_added: usize,
}

impl Apply<'_> {
    /// The tree with the changes.
    pub fn apply(&mut self, root: Option<&Entry>, changes: &Changes) -> Result<Option<Entry>, StoreError> {
        let changes = Part::of(changes);
        let mut entries = match root {
            Some(root) => self.change(root, changes)?,
            None => self.new_leaves(changes),
        };
        let appended = root.is_none_or(|root| changes.first() > root.extent.last_key);
        while entries.len() > 1 {
            entries = nodes(self.kind, entries, self.settings.node_children_max, appended);
        }
        Ok(entries.pop())
    }

    fn change(&mut self, entry: &Entry, changes: Part<'_>) -> Result<Vec<Entry>, StoreError> {
        let appended = changes.first() > entry.extent.last_key;
        let tail_stays = matches!(entry.child.place(), Some(super::child::Place::Block(_)))
            && entry.sum.is_some_and(|s| s.count >= self.settings.tail_points_min as u64);
        if appended && tail_stays {
            let mut entries = vec![entry.clone()];
            entries.extend(self.new_leaves(changes));
            return Ok(entries);
        }
        if appended && let (Changes::Set(points), Some(sum)) = (changes.changes, &entry.sum) {
            if self.is_short(sum.count as usize + changes.len())
                && let Some(before) = entry.child.packed_bytes()
                && let Some(packed) = block::packed_with(&before, points, changes.from..changes.to, self.revision)
            {
                return Ok(vec![self.extended_packed(entry, sum, packed, points, changes)]);
            }
            if let Some(before) = self.loader.before(&entry.child)? {
                return Ok(self.extended(entry, sum, &before, points, changes));
            }
        }
        match self.loader.load(&entry.child)? {
            Body::Leaf(leaf) => {
                if !appended {
                    self.keep_replaced(&leaf, changes);
                }
                if entry.child.place().is_some() {
                    self.bytes_added += leaf.bytes();
                }
                let merged = self.merge(&leaf.columns, changes);
                Ok(self.leaves(merged, entry.extent, changes, appended))
            }
            Body::Node(children) => {
                if let Some(super::child::Place::Node(id)) = entry.child.place() {
                    self.replaced_nodes.push(*id);
                }
                if changes.first() >= children.last().extent.first_key {
                    let mut made = self.change(children.last(), changes)?;
                    return Ok(match (made.pop(), made.is_empty()) {
                        (Some(last), true) => vec![node_of(self.kind, children.with_last(last))],
                        (last, _) => {
                            let all = children.others().iter().cloned().chain(made).chain(last).collect();
                            nodes(self.kind, all, self.settings.node_children_max, appended)
                        }
                    });
                }
                let mut made = Vec::with_capacity(children.count() + 1);
                let mut rest = changes;
                let mut all = children.iter().peekable();
                while let Some(child) = all.next() {
                    let (mine, later) = rest.split_at(match all.peek() {
                        Some(next) => rest.before(next.extent.first_key),
                        None => rest.len(),
                    });
                    if mine.len() == 0 {
                        made.push(child.clone());
                    } else {
                        made.extend(self.change(child, mine)?);
                    }
                    rest = later;
                }
                Ok(nodes(self.kind, made, self.settings.node_children_max, appended))
            }
        }
    }

    /// The changes' points, which are later than all before.
    fn append(&self, points: &mut Columns, changes: Part<'_>) {
        if let Changes::Set(set) = changes.changes {
            points.extend_as(set, changes.from..changes.to, self.revision);
        }
    }

    /// The points with the changes.
    fn merge(&self, points: &Columns, changes: Part<'_>) -> Columns {
        if points.times.last().is_none_or(|last| last < changes.first().0) {
            let mut merged = points.with_room(changes.len());
            self.append(&mut merged, changes);
            return merged;
        }
        if let Some(corrected) = self.corrected(points, changes) {
            return corrected;
        }
        let mut merged = Columns::default();
        let mut at = 0;
        for (time, point) in changes.keys() {
            let to = points.at_or_after(time);
            if to > at {
                merged.extend(points, at..to);
            }
            at = to + usize::from(points.times.get(to) == Some(time.0));
            if let Some(point) = point {
                merged.push(&Row { point, revision: self.revision });
            }
        }
        merged.extend(points, at..points.len());
        merged
    }

    /// The points with the changes, where there is a point at each key already: nothing moves, and what is near stays near.
    fn corrected(&self, points: &Columns, changes: Part<'_>) -> Option<Columns> {
        let Changes::Set(set) = changes.changes else { return None };
        let places = changes.keys().map(|(time, _)| points.find(time)).collect::<Option<Vec<usize>>>()?;
        let mut corrected = points.clone();
        for (place, i) in places.into_iter().zip(changes.from..) {
            corrected.set(place, &Row { point: set.point(i), revision: self.revision });
        }
        Some(corrected)
    }

    /// Versions that the changes replace, and retractions, go to the series' past.
    fn keep_replaced(&mut self, leaf: &Leaf, changes: Part<'_>) {
        for (time, point) in changes.keys() {
            if let Some(at) = leaf.columns.find(time) {
                let old = leaf.columns.row(at);
                self.replaced.push(((time, old.revision), Some(old.point)));
                self.bytes_added += 2 * size_of::<Row>();
            }
            if point.is_none() {
                self.replaced.push(((time, self.revision), None));
            }
        }
    }

    /// Whether a leaf of so many points is kept packed, in memory and in its series' record.
    fn is_short(&self, points: usize) -> bool {
        points <= self.settings.page_points_max
    }

    /// A short leaf that points follow, and that is still short then.
    fn extended_packed(
        &mut self,
        entry: &Entry,
        sum: &Aggregate,
        packed: Vec<u8>,
        points: &Columns,
        changes: Part<'_>,
    ) -> Entry {
        let more = summed(self.kind, points, changes.from..changes.to, self.periods);
        let child = Child::packed(packed);
        self.bytes_added += changes.len() * size_of::<i64>();
        let extent = entry.extent.union(&self.extent_of(changes));
        Entry { extent, sum: more.map_or(Some(*sum), |more| Some(self.then(sum, &more))), child }
    }

    fn then(&self, sum: &Aggregate, more: &Aggregate) -> Aggregate {
        let total = sum.then(self.kind, more);
        let high = if planted::is(Bug::ForgetHighestPrefix) { sum.high } else { total.high };
        Aggregate { high, ..total }
    }

    /// A leaf that points follow: what it came to is not added up again, and most of it not copied.
    fn extended(
        &mut self,
        entry: &Entry,
        sum: &Aggregate,
        before: &Before,
        points: &Columns,
        changes: Part<'_>,
    ) -> Vec<Entry> {
        let room = self.settings.block_points_max.saturating_sub(before.count()).min(changes.len());
        let (here, after) = changes.split_at(room);
        // Mostly one: a list that grows has room for four at once, a KB.
        let mut entries = Vec::with_capacity(1);
        if let Some(more) = summed(self.kind, points, here.from..here.to, self.periods) {
            let total = self.then(sum, &more);
            let piece = self.settings.block_points_max / PIECES_A_BLOCK;
            let (bytes, child) = match before.with(points, here.from..here.to, self.revision, piece) {
                Grown::Leaf(leaf) => (leaf.bytes(), Child::fresh(Body::Leaf(Arc::new(leaf)))),
                Grown::Pieces(pieces) => (pieces.bytes(), Child::growing(pieces)),
            };
            // What is stored could be let go of; from now on it is held.
            let held = if entry.child.place().is_some() { 0 } else { before.bytes() };
            self.bytes_added += bytes.saturating_sub(held);
            entries.push(Entry { extent: entry.extent.union(&self.extent_of(here)), sum: Some(total), child });
        } else {
            entries.push(entry.clone());
        }
        if after.len() > 0 {
            entries.extend(self.new_leaves(after));
        }
        entries
    }

    fn extent_of(&self, changes: Part<'_>) -> Extent {
        let (lowest_revision, highest_revision) = (self.revision, self.revision);
        Extent { first_key: changes.first(), last_key: changes.last(), lowest_revision, highest_revision }
    }

    /// Leaves of points that come after all others, as full as can be.
    fn new_leaves(&mut self, changes: Part<'_>) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut rest = changes;
        while rest.len() > 0 {
            let (part, later) = rest.split_at(rest.len().min(self.settings.block_points_max));
            rest = later;
            let mut points = Columns::default();
            self.append(&mut points, part);
            // At least what they take once a point that follows no rule comes among them.
            self.bytes_added += points.bytes().max(part.len() * 3 * size_of::<i64>());
            entries.extend(own_extent(&points).map(|extent| self.leaf(extent, points)));
        }
        entries
    }

    /// Leaves of the points of a leaf and the changes. `filled`: as full as can be, for points that come in order; else in
    /// halves.
    fn leaves(&self, points: Columns, before: Extent, changes: Part<'_>, filled: bool) -> Vec<Entry> {
        let max = self.settings.block_points_max;
        let pieces = points.len().div_ceil(max).max(1);
        let size = if filled { max } else { points.len().div_ceil(pieces).max(1) };
        let whole = before.union(&self.extent_of(changes));
        if points.len() <= size {
            return vec![self.leaf(whole, points)];
        }
        // Where a block is split, keys that hold no point now go with the piece they lie in.
        let mut entries: Vec<Entry> = Vec::with_capacity(pieces);
        let bounds: Vec<Time> = (0..points.len()).step_by(size).map(|at| points.time(at)).collect();
        for i in 0..bounds.len() {
            let piece = points.slice(i * size..((i + 1) * size).min(points.len()));
            let mut extent = own_extent(&piece).expect("chunks are not empty");
            extent.first_key = if i == 0 { whole.first_key } else { extent.first_key };
            extent.last_key = match bounds.get(i + 1) {
                // Up to the next piece: an emptied key between them is covered.
                Some(next) => Time(next.0 - 1),
                None => whole.last_key,
            };
            extent.lowest_revision = whole.lowest_revision;
            extent.highest_revision = whole.highest_revision;
            entries.push(self.leaf(extent, piece));
        }
        entries
    }

    fn leaf(&self, extent: Extent, points: Columns) -> Entry {
        let sum = summed(self.kind, &points, 0..points.len(), self.periods);
        let child = match self.is_short(points.len()) {
            true => Child::packed(block::pack(&points)),
            // In few bytes, for most are not added to: what a batch or a correction leaves in memory is a quarter as much. (Pages
            // touched for the first time took 80 % of the committer's time in corrections of a long series.)
            false => Child::fresh(Body::Leaf(Arc::new(Leaf::new(points.near())))),
        };
        Entry { extent, sum, child }
    }
}

/// Nodes of these children, at most `children_max` each. `filled`: as full as can be, for children that come at
/// the end; else in halves, so that there is room where more may come.
pub fn nodes(kind: Kind, children: Vec<Entry>, children_max: usize, filled: bool) -> Vec<Entry> {
    if children.len() <= children_max {
        // None is copied: 240 bytes each, and a count that others hold too.
        return Children::of(children).map(|children| node_of(kind, children)).into_iter().collect();
    }
    let pieces = children.len().div_ceil(children_max).max(1);
    let size = if filled { children_max } else { children.len().div_ceil(pieces).max(1) };
    let made = children.chunks(size).filter_map(|part| Children::of(part.to_vec()));
    made.map(|children| node_of(kind, children)).collect()
}

fn node_of(kind: Kind, children: Children) -> Entry {
    let (extent, sum) = children.gathered(kind);
    Entry { extent, sum, child: Child::fresh(Body::Node(Arc::new(children))) }
}

fn own_extent(points: &Columns) -> Option<Extent> {
    let (lowest_revision, highest_revision) = points.revisions.bounds()?;
    let (first_key, last_key) = (Time(points.times.get(0)?), Time(points.times.last()?));
    Some(Extent { first_key, last_key, lowest_revision, highest_revision })
}
