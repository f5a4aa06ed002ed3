//! Walking a tree in order of time, at a revision, opening only what its aggregates do not answer. What rests on lost
//! keys is refused here: nothing else walks a tree for an answer.

use super::child::{Body, Loader};
use super::children::Stretches;
use super::{Entry, Extent};
use crate::domain::aggregate::Aggregate;
use crate::domain::calendar::Calendar;
use crate::domain::definition::Kind;
use crate::domain::point::Point;
use crate::domain::time::{Interval, Time};
use crate::engine::block::{CHUNK_POINTS, Column, Columns, Leaf, unpack_first, unpack_times};
use crate::engine::codec::Undecodable;
use crate::engine::history::History;
use crate::engine::lost::{self, Lost, Whose};
use crate::engine::view::{Needs, Visitor};
use crate::store::{StoreError, Touched};
use std::ops::ControlFlow;
use std::ops::Range;
use std::sync::Arc;

/// A series' tree and past, at a revision.
pub struct Walk<'a> {
    /// What a point says.
    pub kind: Kind,
    /// The metric's periods.
    pub periods: Option<&'a Calendar>,
    /// Later revisions are left out. None: the tree as it is, nothing later is in it.
    pub revision: Option<i64>,
    /// Replaced versions.
    pub history: &'a History,
    /// What of the series is lost.
    pub lost: &'a [Lost],
    /// Whose tree it is.
    pub whose: Whose<'a>,
    /// Reads children.
    pub loader: &'a Loader,
    /// Keeps blocks as they were, for the next question to the same view.
    pub past: &'a dyn Past,
}

/// Remembers what blocks were at the view's revision.
pub trait Past {
    /// The block under this entry, where it was asked before.
    fn get(&self, entry: &Entry) -> Option<Arc<Leaf>>;
    /// It was this.
    fn put(&self, entry: &Entry, leaf: &Arc<Leaf>);
    /// How one more child's content may be asked for.
    fn asks(&self) -> Asks {
        Asks::Anything
    }
    /// Whether anything may be read.
    fn may_read(&self) -> bool {
        true
    }
}

/// How a child's content may be asked for: an attempt asks for what is in memory only, and not for much of it.
pub enum Asks {
    /// It is read where it is not in memory.
    Anything,
    /// It is not read.
    InMemory,
    /// Not at all.
    Nothing,
}

impl Walk<'_> {
    /// Walks the points of the interval under `entry`. `Break`: the visitor ended it.
    fn walk(
        &self,
        entry: &Entry,
        interval: &Interval,
        visitor: &mut dyn Visitor,
    ) -> Result<ControlFlow<()>, StoreError> {
        let go_on = Ok(ControlFlow::Continue(()));
        if entry.extent.last_key < interval.start || interval.end <= entry.extent.first_key {
            return go_on;
        }
        if self.revision.is_some_and(|r| r < entry.extent.lowest_revision) {
            return go_on;
        }
        let as_it_is = self.is_as_it_is(entry);
        if as_it_is {
            let Some(sum) = &entry.sum else { return go_on };
            if sum.last_time < interval.start || interval.end <= sum.first_time {
                return go_on;
            }
            if interval.start <= sum.first_time && sum.last_time < interval.end && visitor.stretch(sum) {
                return go_on;
            }
        }
        let is_from_the_first = as_it_is && interval.start == Time::MIN;
        let needs = if is_from_the_first { visitor.needs() } else { Needs::Block };
        let level = if let Needs::Until(level) = needs { Some(level) } else { None };
        let first = |bytes: &[u8]| unpack_first(bytes, interval.end, level);
        if needs != Needs::Block
            && let Some(first) = self.look(entry, true, first)?
        {
            return Ok(self.walk_leaf(&Leaf::new(first), interval, visitor));
        }
        match self.load(entry)? {
            Body::Node(entries) => {
                let many = entries.stretches(interval);
                if self.walk_each(many.in_part().iter(), interval, visitor)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                let passed = if as_it_is && self.kind == Kind::Delta { visitor.stretches(&many) } else { 0 };
                self.walk_each(entries.from(many.start() + passed), interval, visitor)
            }
            Body::Leaf(leaf) if as_it_is => Ok(self.walk_leaf(&leaf, interval, visitor)),
            Body::Leaf(leaf) => Ok(self.walk_leaf(&*self.past_of(entry, &leaf)?, interval, visitor)),
        }
    }

    fn walk_each<'e>(
        &self,
        children: impl Iterator<Item = &'e Entry>,
        interval: &Interval,
        visitor: &mut dyn Visitor,
    ) -> Result<ControlFlow<()>, StoreError> {
        for child in children.take_while(|child| child.extent.first_key < interval.end) {
            if self.walk(child, interval, visitor)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn load(&self, entry: &Entry) -> Result<Body, StoreError> {
        let loaded = match self.past.asks() {
            Asks::Anything => self.loader.load(&entry.child),
            Asks::InMemory => self.loader.at_hand(&entry.child).and_then(|body| body.ok_or(StoreError::Deferred)),
            Asks::Nothing => Err(StoreError::Deferred),
        };
        loaded.map_err(|error| self.touching(error, &entry.extent))
    }

    /// What is seen of a block that is not worth being held, as `Loader::look`; an attempt reads nothing.
    fn look<T>(
        &self,
        entry: &Entry,
        is_answer: bool,
        look: impl FnOnce(&[u8]) -> Result<Option<T>, Undecodable>,
    ) -> Result<Option<T>, StoreError> {
        if !self.past.may_read() {
            return Ok(None);
        }
        self.loader.look(&entry.child, is_answer, look).map_err(|error| self.touching(error, &entry.extent))
    }

    /// Time of the nearest point on a side of a time under `entry`. Opens only what holds it; adds nothing up.
    fn nearest(&self, entry: &Entry, side: Side) -> Result<Option<Time>, StoreError> {
        if !side.reaches(entry.extent.first_key, entry.extent.last_key)
            || self.revision.is_some_and(|r| r < entry.extent.lowest_revision)
        {
            return Ok(None);
        }
        let as_it_is = self.is_as_it_is(entry);
        if as_it_is {
            match &entry.sum {
                Some(sum) if side.reaches(sum.first_time, sum.last_time) => {
                    if let Some(end) = side.end_of(sum) {
                        return Ok(Some(end));
                    }
                }
                _ => return Ok(None),
            }
        }
        if as_it_is && let Some(times) = self.look(entry, false, unpack_times)? {
            return Ok(side.nearest_of(&times));
        }
        match self.load(entry)? {
            Body::Leaf(leaf) if as_it_is => Ok(side.nearest_of(&leaf.columns.times)),
            Body::Leaf(leaf) => Ok(side.nearest_of(&self.past_of(entry, &leaf)?.columns.times)),
            Body::Node(entries) => {
                let mut nearest = |child| self.nearest(child, side).transpose();
                let found = match side {
                    Side::Before(t) => entries.before(t).find_map(&mut nearest),
                    Side::From(t) => entries.reaching(t).find_map(&mut nearest),
                };
                found.transpose()
            }
        }
    }

    /// Adds to `count` the blocks under `entry` that hold something later than the revision and something that is not,
    /// within the interval; more than `max` are not counted on. Opens nodes only.
    fn count_changed(
        &self,
        entry: &Entry,
        interval: &Interval,
        max: usize,
        count: &mut usize,
    ) -> Result<(), StoreError> {
        let extent = &entry.extent;
        let is_asked = interval.start <= extent.last_key && extent.first_key < interval.end;
        let begins_later = self.revision.is_some_and(|r| r < extent.lowest_revision);
        if !is_asked || begins_later || self.is_as_it_is(entry) || *count > max {
            return Ok(());
        }
        match self.loader.node(&entry.child).map_err(|error| self.touching(error, extent))? {
            Some(entries) => entries
                .reaching(interval.start)
                .take_while(|e| e.extent.first_key < interval.end)
                .try_for_each(|child| self.count_changed(child, interval, max, count)),
            None => {
                *count += 1;
                Ok(())
            }
        }
    }

    /// Whether nothing under `entry` is later than the revision.
    fn is_as_it_is(&self, entry: &Entry) -> bool {
        self.revision.is_none_or(|r| entry.extent.highest_revision <= r)
    }

    /// What all points come to (None: there is none), where the root says it.
    pub fn span_of_root<'e>(&self, root: Option<&'e Entry>) -> Option<Option<&'e Aggregate>> {
        let says_it = self.lost.is_empty() && root.is_none_or(|root| self.is_as_it_is(root));
        says_it.then(|| root.and_then(|root| root.sum.as_ref()))
    }

    /// A block as it was at the revision, made or remembered.
    fn past_of(&self, entry: &Entry, leaf: &Leaf) -> Result<Arc<Leaf>, StoreError> {
        if let Some(past) = self.past.get(entry) {
            return Ok(past);
        }
        let past = Arc::new(self.as_it_was(leaf, &entry.extent)?);
        self.past.put(entry, &past);
        Ok(past)
    }

    /// A block as it was at the revision.
    fn as_it_was(&self, leaf: &Leaf, extent: &Extent) -> Result<Leaf, StoreError> {
        let revision = self.revision.expect("only an earlier revision asks for what was");
        let versions = self.history.versions(extent.first_key, extent.last_key, self.loader);
        let versions = versions.map_err(|error| self.touching(error, extent))?;
        let mut known = versions.into_iter().filter(|((_, made), _)| *made <= revision).peekable();
        let mut was = Columns::default();
        let mut from = 0;
        while let Some(((time, made), point)) = known.next() {
            if known.peek().is_some_and(|((next, _), _)| *next == time) {
                continue; // a later version of the same key follows
            }
            let Some(point) = point else { continue };
            let to = leaf.columns.at_or_after(time);
            let is_current = |i| leaf.columns.times.get(i) == Some(time.0) && leaf.columns.revisions.at(i) <= revision;
            if !is_current(to) {
                extend_as_of(&mut was, &leaf.columns, from..to, revision);
                was.push_point(&point, made);
                from = to;
            }
        }
        extend_as_of(&mut was, &leaf.columns, from..leaf.columns.len(), revision);
        Ok(Leaf::new(was))
    }

    fn walk_leaf(&self, leaf: &Leaf, interval: &Interval, visitor: &mut dyn Visitor) -> ControlFlow<()> {
        let from = leaf.columns.at_or_after(interval.start);
        let to = leaf.columns.at_or_after(interval.end);
        if to.saturating_sub(from) <= CHUNK_POINTS || visitor.takes_points(leaf) {
            return visitor.points(leaf, from..to.max(from));
        }
        let chunks = leaf.chunks(self.kind, self.periods);
        let mut at = from;
        while at < to {
            let end = ((at / CHUNK_POINTS + 1) * CHUNK_POINTS).min(leaf.columns.len());
            let whole = at.is_multiple_of(CHUNK_POINTS) && end <= to;
            if !(whole && visitor.stretch(&chunks[at / CHUNK_POINTS])) {
                visitor.points(leaf, at..end.min(to))?;
            }
            at = end;
        }
        ControlFlow::Continue(())
    }
}

/// Appends the rows of a range that are not later than the revision, a stretch at a time: most are not.
fn extend_as_of(was: &mut Columns, columns: &Columns, range: Range<usize>, revision: i64) {
    let mut from = range.start;
    for later in range.clone().filter(|i| columns.revisions.at(*i) > revision) {
        was.extend(columns, from..later);
        from = later + 1;
    }
    was.extend(columns, from..range.end);
}

/// Adds up everything it is shown.
pub struct Sum<'a>(pub crate::engine::block::Summing<'a>);

impl Visitor for Sum<'_> {
    fn stretch(&mut self, aggregate: &Aggregate) -> bool {
        self.0.join(aggregate);
        true
    }

    fn point(&mut self, point: &Point) -> ControlFlow<()> {
        self.0.add(point);
        ControlFlow::Continue(())
    }

    fn takes_points(&self, leaf: &Leaf) -> bool {
        self.0.is_plain(&leaf.columns)
    }

    fn points(&mut self, leaf: &Leaf, range: Range<usize>) -> ControlFlow<()> {
        self.0.add_all(&leaf.columns, range);
        ControlFlow::Continue(())
    }
}

/// Takes the point that it is shown.
#[derive(Default)]
pub struct First(pub Option<Point>);

impl Visitor for First {
    fn stretch(&mut self, _: &Aggregate) -> bool {
        false
    }

    fn point(&mut self, point: &Point) -> ControlFlow<()> {
        self.0 = Some(*point);
        ControlFlow::Break(())
    }
}

/// A side of a time.
#[derive(Clone, Copy)]
enum Side {
    Before(Time),
    /// The time itself is among it.
    From(Time),
}

impl Side {
    /// Whether something from `first` to `last` is on it.
    fn reaches(self, first: Time, last: Time) -> bool {
        match self {
            Side::Before(t) => first < t,
            Side::From(t) => t <= last,
        }
    }

    /// The end that is nearest to the time, of what lies wholly on this side.
    fn end_of(self, sum: &Aggregate) -> Option<Time> {
        match self {
            Side::Before(t) => (sum.last_time < t).then_some(sum.last_time),
            Side::From(t) => (t <= sum.first_time).then_some(sum.first_time),
        }
    }

    fn nearest_of(self, times: &Column) -> Option<Time> {
        let i = match self {
            Side::Before(t) => times.at_or_above(t.0).checked_sub(1)?,
            Side::From(t) => times.at_or_above(t.0),
        };
        times.get(i).map(Time)
    }
}

/// Nothing is remembered: for trees as they are.
pub struct NoPast;

impl Past for NoPast {
    fn get(&self, _: &Entry) -> Option<Arc<Leaf>> {
        None
    }

    fn put(&self, _: &Entry, _: &Arc<Leaf>) {}
}

/// Notes at which point a visitor ended the walk: what lies behind it was not needed.
struct Noting<'a> {
    visitor: &'a mut dyn Visitor,
    ended_at: Option<Time>,
}

impl Visitor for Noting<'_> {
    fn stretch(&mut self, aggregate: &Aggregate) -> bool {
        self.visitor.stretch(aggregate)
    }

    fn stretches(&mut self, many: &Stretches<'_>) -> usize {
        self.visitor.stretches(many)
    }

    fn needs(&self) -> Needs {
        self.visitor.needs()
    }

    fn point(&mut self, point: &Point) -> ControlFlow<()> {
        let flow = self.visitor.point(point);
        self.ended_at = flow.is_break().then_some(point.time);
        flow
    }

    fn takes_points(&self, leaf: &Leaf) -> bool {
        self.visitor.takes_points(leaf)
    }

    fn points(&mut self, leaf: &Leaf, range: Range<usize>) -> ControlFlow<()> {
        match self.visitor.takes_points(leaf) {
            true => {
                let last = range.end.checked_sub(1);
                let flow = self.visitor.points(leaf, range);
                let ended_at = || self.visitor.ended_at().or(last.map(|last| leaf.columns.time(last)));
                self.ended_at = flow.is_break().then(ended_at).flatten();
                flow
            }
            false => leaf.columns.points(range).try_for_each(|point| self.point(&point)),
        }
    }
}

impl Walk<'_> {
    fn touching(&self, error: StoreError, extent: &Extent) -> StoreError {
        error.touching(|| Touched { series: self.whose.text(), first: extent.first_key, last: extent.last_key })
    }

    fn check(&self, interval: &Interval) -> Result<(), StoreError> {
        lost::check(self.lost, interval, self.revision, || self.whose.text())
    }

    /// Walks the points of the interval until the visitor ends it.
    pub fn visit(&self, root: Option<&Entry>, interval: Interval, visitor: &mut dyn Visitor) -> Result<(), StoreError> {
        let mut noting = Noting { visitor, ended_at: None };
        if let Some(root) = root {
            let _ = self.walk(root, &interval, &mut noting)?;
        }
        let end = noting.ended_at.map_or(interval.end, Time::next);
        self.check(&Interval::new(interval.start, end))
    }

    /// What the points of the interval come to.
    pub fn span(&self, root: Option<&Entry>, interval: Interval) -> Result<Option<Aggregate>, StoreError> {
        self.check(&interval)?;
        let mut sum = Sum(crate::engine::block::Summing::new(self.kind, self.periods));
        if let Some(root) = root {
            let _ = self.walk(root, &interval, &mut sum)?;
        }
        Ok(sum.0.total)
    }

    /// Blocks that were changed since the revision, and that an answer about the interval makes as they were; `max + 1`
    /// where there are more than `max`. Cost: the nodes above them.
    pub fn changed(&self, root: Option<&Entry>, interval: Interval, max: usize) -> Result<usize, StoreError> {
        let mut count = 0;
        root.map_or(Ok(()), |root| self.count_changed(root, &interval, max, &mut count))?;
        Ok(count)
    }

    /// Times of the first and the last point of the interval.
    pub fn bounds(&self, root: Option<&Entry>, interval: Interval) -> Result<Option<(Time, Time)>, StoreError> {
        self.check(&interval)?;
        let Some(root) = root else { return Ok(None) };
        let Some(first) = self.nearest(root, Side::From(interval.start))? else { return Ok(None) };
        if first >= interval.end {
            return Ok(None);
        }
        let last = self.nearest(root, Side::Before(interval.end))?;
        Ok(Some((first, last.expect("the first one is before the end"))))
    }

    /// The first point of the interval.
    pub fn first(&self, root: Option<&Entry>, interval: Interval) -> Result<Option<Point>, StoreError> {
        let first = root.map_or(Ok(None), |root| self.nearest(root, Side::From(interval.start)))?;
        let first = first.filter(|first| *first < interval.end);
        self.check(&Interval::new(interval.start, first.unwrap_or(interval.end)))?;
        self.at(root, first)
    }

    /// The point of a time, where there is one.
    fn at(&self, root: Option<&Entry>, time: Option<Time>) -> Result<Option<Point>, StoreError> {
        let Some(time) = time else { return Ok(None) };
        let mut first = First::default();
        self.visit(root, Interval::new(time, time.next()), &mut first)?;
        Ok(first.0)
    }

    /// The last point before `t`.
    pub fn last_before(&self, root: Option<&Entry>, t: Time) -> Result<Option<Point>, StoreError> {
        let last = root.map_or(Ok(None), |root| self.nearest(root, Side::Before(t)))?;
        self.check(&Interval::new(last.unwrap_or(Time::MIN), t))?;
        self.at(root, last)
    }
}
