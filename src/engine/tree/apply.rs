//! Changing a tree: the blocks that hold the changed keys, and the nodes above them, are made anew.

use super::child::{Body, Child, Loader};
use super::{Entry, Extent, gather};
use crate::domain::calendar::Calendar;
use crate::domain::definition::Kind;
use crate::domain::point::Point;
use crate::domain::time::Time;
use crate::engine::Settings;
use crate::engine::block::{Columns, Leaf, Row, Summing, summed};
use crate::engine::history::History;
use crate::planted::{self, Bug};
use crate::store::StoreError;
use std::sync::Arc;

/// One key and what becomes of it; None: it is taken back.
pub type KeyChange = (Time, Option<Point>);

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
    /// Takes what is replaced.
    pub history: &'a mut History,
    /// Index nodes that nothing in the new tree refers to.
    pub replaced_nodes: &'a mut Vec<u64>,
    /// Bytes that the change added to memory, roughly.
    pub bytes_added: usize,
}

impl Apply<'_> {
    /// The tree with the changes, which are in order of time, each key once.
    pub fn apply(&mut self, root: Option<&Entry>, changes: &[KeyChange]) -> Result<Option<Entry>, StoreError> {
        let mut entries = match root {
            Some(root) => self.change(root, changes)?,
            None => self.new_leaves(changes),
        };
        let appended = root.is_none_or(|root| changes[0].0 > root.extent.last_key);
        while entries.len() > 1 {
            entries = nodes(self.kind, entries, self.settings.node_children_max, appended);
        }
        Ok(entries.pop())
    }

    fn change(&mut self, entry: &Entry, changes: &[KeyChange]) -> Result<Vec<Entry>, StoreError> {
        let appended = changes[0].0 > entry.extent.last_key;
        let tail_stays = matches!(entry.child.place(), Some(super::child::Place::Block(_)))
            && entry.sum.is_some_and(|s| s.count >= self.settings.tail_points_min as u64);
        if appended && tail_stays {
            let mut entries = vec![entry.clone()];
            entries.extend(self.new_leaves(changes));
            return Ok(entries);
        }
        match self.loader.load(&entry.child)? {
            Body::Leaf(leaf) => {
                if !appended {
                    self.keep_replaced(&leaf, changes);
                }
                if entry.child.place().is_some() {
                    self.bytes_added += leaf.bytes();
                }
                if appended && entry.sum.is_some() {
                    return Ok(self.extended(entry, &leaf, changes));
                }
                let merged = self.merge(&leaf.columns, changes);
                Ok(self.leaves(merged, entry.extent, changes, appended))
            }
            Body::Node(children) => {
                if let Some(super::child::Place::Node(id)) = entry.child.place() {
                    self.replaced_nodes.push(*id);
                }
                let mut made = Vec::with_capacity(children.len() + 1);
                let mut rest = changes;
                for (i, child) in children.iter().enumerate() {
                    let mine = match children.get(i + 1) {
                        Some(next) => rest.partition_point(|(time, _)| *time < next.extent.first_key),
                        None => rest.len(),
                    };
                    if mine == 0 {
                        made.push(child.clone());
                    } else {
                        made.extend(self.change(child, &rest[..mine])?);
                    }
                    rest = &rest[mine..];
                }
                Ok(nodes(self.kind, made, self.settings.node_children_max, appended))
            }
        }
    }

    /// The points with the changes.
    fn merge(&self, points: &Columns, changes: &[KeyChange]) -> Columns {
        if points.times.last().is_none_or(|last| last < changes[0].0.0) {
            let mut merged = points.with_room(changes.len());
            merged.append(changes.iter().filter_map(|(_, point)| point.as_ref()), self.revision);
            return merged;
        }
        let mut merged = Columns::default();
        let mut at = 0;
        for (time, point) in changes {
            let to = points.at_or_after(*time);
            if to > at {
                merged.extend(points, at..to);
            }
            at = to + usize::from(points.times.get(to) == Some(time.0));
            if let Some(point) = point {
                merged.push(&Row { point: *point, revision: self.revision });
            }
        }
        merged.extend(points, at..points.len());
        merged
    }

    /// Versions that the changes replace, and retractions, go to the series' past.
    fn keep_replaced(&mut self, leaf: &Leaf, changes: &[KeyChange]) {
        for (time, point) in changes {
            if let Some(at) = leaf.columns.find(*time) {
                let old = leaf.columns.row(at);
                self.history.recent.insert((*time, old.revision), Some(old.point));
                self.bytes_added += 2 * size_of::<Row>();
            }
            if point.is_none() {
                self.history.recent.insert((*time, self.revision), None);
            }
        }
    }

    /// A leaf that points follow: what it came to is not added up again.
    fn extended(&mut self, entry: &Entry, leaf: &Leaf, changes: &[KeyChange]) -> Vec<Entry> {
        let room = self.settings.block_points_max.saturating_sub(leaf.columns.len()).min(changes.len());
        let (here, after) = changes.split_at(room);
        let mut entries = Vec::new();
        if here.is_empty() {
            entries.push(entry.clone());
        } else {
            let merged = self.merge(&leaf.columns, here);
            let mut sum = Summing::new(self.kind, self.periods);
            sum.total = entry.sum;
            if let Some(more) = summed(self.kind, &merged, leaf.columns.len()..merged.len(), self.periods) {
                sum.join(&more);
            }
            if let (true, Some(total), Some(old)) = (planted::is(Bug::ForgetHighestPrefix), &mut sum.total, entry.sum) {
                total.high = old.high;
            }
            let extent = entry.extent.union(&self.extent_of(here).expect("here is not empty"));
            self.bytes_added += here.len() * size_of::<Row>();
            entries.push(Entry {
                extent,
                sum: sum.total,
                child: Child::fresh(Body::Leaf(Arc::new(Leaf::new(merged)))),
            });
        }
        if !after.is_empty() {
            entries.extend(self.new_leaves(after));
        }
        entries
    }

    fn extent_of(&self, changes: &[KeyChange]) -> Option<Extent> {
        Some(Extent {
            first_key: changes.first()?.0,
            last_key: changes.last()?.0,
            lowest_revision: self.revision,
            highest_revision: self.revision,
        })
    }

    /// Leaves of points that come after all others, as full as can be.
    fn new_leaves(&mut self, changes: &[KeyChange]) -> Vec<Entry> {
        let mut entries = Vec::new();
        for part in changes.chunks(self.settings.block_points_max) {
            let mut points = Columns::default();
            points.append(part.iter().filter_map(|(_, point)| point.as_ref()), self.revision);
            // At least what they take once a point that follows no rule comes among them.
            self.bytes_added += points.bytes().max(part.len() * 3 * size_of::<i64>());
            entries.extend(own_extent(&points).map(|extent| self.leaf(extent, points)));
        }
        entries
    }

    /// Leaves of the points of a leaf and the changes. `filled`: as full as can be, for points that come in order; else in
    /// halves.
    fn leaves(&self, points: Columns, before: Extent, changes: &[KeyChange], filled: bool) -> Vec<Entry> {
        let max = self.settings.block_points_max;
        let pieces = points.len().div_ceil(max).max(1);
        let size = if filled { max } else { points.len().div_ceil(pieces).max(1) };
        let whole = self.extent_of(changes).map_or(before, |changed| before.union(&changed));
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
        Entry { extent, sum, child: Child::fresh(Body::Leaf(Arc::new(Leaf::new(points)))) }
    }
}

/// Nodes of these children, at most `children_max` each. `filled`: as full as can be, for children that come at
/// the end; else in halves, so that there is room where more may come.
pub fn nodes(kind: Kind, children: Vec<Entry>, children_max: usize, filled: bool) -> Vec<Entry> {
    let pieces = children.len().div_ceil(children_max).max(1);
    let size = if filled { children_max } else { children.len().div_ceil(pieces).max(1) };
    children.chunks(size).filter_map(|part| node(kind, part.to_vec())).collect()
}

fn node(kind: Kind, children: Vec<Entry>) -> Option<Entry> {
    let (extent, sum) = gather(kind, &children)?;
    Some(Entry { extent, sum, child: Child::fresh(Body::Node(children.into())) })
}

fn own_extent(points: &Columns) -> Option<Extent> {
    let (lowest_revision, highest_revision) = points.revisions.bounds()?;
    let (first_key, last_key) = (Time(points.times.get(0)?), Time(points.times.last()?));
    Some(Extent { first_key, last_key, lowest_revision, highest_revision })
}
