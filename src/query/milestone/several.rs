//! Milestones of a sum of series, exact, falls included: time is halved until few points are left or the bounds of
//! the series' aggregates say that the sum cannot get there.

use super::super::ledger::{Event, Ledger};
use super::Step;
use crate::domain::definition::Kind;
use crate::domain::limit::{MERGE_POINTS_MAX, MERGE_POINTS_PER_SERIES};
use crate::domain::time::{Interval, Time};
use crate::store::StoreError;
use std::collections::VecDeque;

/// A search in a sum of series.
pub(super) struct Several<'a> {
    ledgers: &'a [Ledger],
    kind: Kind,
    end: Option<Time>,
    /// Stretches of time not yet searched, the earliest on top.
    left: Vec<Region>,
    /// Steps already reckoned, in order, before all of `left`.
    ready: VecDeque<Step>,
    /// After everything reckoned or skipped.
    total: Option<i128>,
    /// DELTA: the latest end of all points reckoned or skipped.
    latest_end: Time,
}

/// A stretch of time, and the series that have something in it.
struct Region {
    instants: Interval,
    members: Vec<usize>,
}

/// What happens in a region.
#[derive(Default)]
struct Weight {
    members: Vec<usize>,
    points: u64,
    sum: i128,
    /// The total rises by no more than this at any time.
    bound: i128,
    /// First and last instant; None: nothing happens.
    span: Option<(Time, Time)>,
    latest_end: Option<Time>,
}

impl Weight {
    fn add(&mut self, first: Time, last: Time, sum: i128, high: i128) {
        self.sum += sum;
        self.bound += high.max(0);
        let (from, to) = self.span.unwrap_or((first, last));
        self.span = Some((from.min(first), to.max(last)));
    }
}

impl<'a> Several<'a> {
    pub(super) fn new(ledgers: &'a [Ledger], kind: Kind, end: Option<Time>) -> Several<'a> {
        let all = Interval::new(Time::MIN, end.map_or(Time::MAX, Time::next));
        let left = vec![Region { instants: all, members: (0..ledgers.len()).collect() }];
        Several { ledgers, kind, end, left, ready: VecDeque::new(), total: None, latest_end: Time::MIN }
    }

    /// The first step at or above `level`, from the last one found on.
    pub(super) fn reach(&mut self, level: i128) -> Result<Option<Step>, StoreError> {
        loop {
            while let Some(step) = self.ready.pop_front() {
                if step.after >= level {
                    return Ok(Some(step));
                }
            }
            let Some(region) = self.left.pop() else { return Ok(None) };
            self.search(region, level)?;
        }
    }

    /// Skips the region, reckons it, or cuts it in two.
    fn search(&mut self, region: Region, level: i128) -> Result<(), StoreError> {
        let weight = self.weigh(&region)?;
        let Some((first, last)) = weight.span else { return Ok(()) };
        if self.total.unwrap_or(0) + weight.bound < level {
            self.total = Some(self.total.unwrap_or(0) + weight.sum);
            self.latest_end = self.latest_end.max(weight.latest_end.unwrap_or(Time::MIN));
            return Ok(());
        }
        let few = MERGE_POINTS_MAX.max(weight.members.len() * MERGE_POINTS_PER_SERIES);
        if first == last || weight.points <= few as u64 {
            return self.reckon(Interval::new(first, last.next()), &weight);
        }
        let half = (i128::from(last.0) - i128::from(first.0)) / 2;
        let middle = first.plus(i64::try_from(half).expect("half of what fits twice")).next();
        self.left.push(Region { instants: Interval::new(middle, last.next()), members: weight.members.clone() });
        self.left.push(Region { instants: Interval::new(first, middle), members: weight.members });
        Ok(())
    }

    /// The points that count among the instants: at the end itself only openings do.
    fn points(&self, instants: Interval) -> Interval {
        Interval::new(instants.start, instants.end.min(Ledger::limit(self.kind, self.end)))
    }

    fn opening(&self, ledger: &Ledger, instants: Interval) -> Option<(Time, i128)> {
        let (time, value) = ledger.set_opening()?;
        instants.contains(time).then_some((time, i128::from(value)))
    }

    fn weigh(&self, region: &Region) -> Result<Weight, StoreError> {
        let mut weight = Weight::default();
        for &member in &region.members {
            let ledger = &self.ledgers[member];
            let opening = self.opening(ledger, region.instants);
            if let Some((time, value)) = opening {
                weight.add(time, time, value, value);
            }
            let points = self.points(region.instants);
            let stretch = if points.is_empty() { None } else { ledger.stretch(points)? };
            if let Some(stretch) = stretch {
                weight.add(stretch.first_time, stretch.last_time, stretch.sum, stretch.high);
                weight.points += stretch.points;
                weight.latest_end = weight.latest_end.max(Some(stretch.last_end));
            }
            if opening.is_some() || stretch.is_some() {
                weight.members.push(member);
            }
        }
        Ok(weight)
    }

    /// Makes steps of all that happens: everything of one instant is one, but in a DELTA sum openings come before.
    fn reckon(&mut self, instants: Interval, weight: &Weight) -> Result<(), StoreError> {
        let mut events: Vec<Event> = Vec::new();
        for &member in &weight.members {
            let ledger = &self.ledgers[member];
            if let Some((at, amount)) = self.opening(ledger, instants) {
                events.push(Event { at, amount, from: at, end: at, is_opening: true });
            }
            let points = self.points(instants);
            if !points.is_empty() {
                events.extend(ledger.events(points, usize::try_from(weight.points).unwrap_or(usize::MAX))?);
            }
        }
        let kind = self.kind;
        let place = |event: &Event| (event.at, kind == Kind::Delta && !event.is_opening);
        events.sort_unstable_by_key(place);
        for step in events.chunk_by(|a, b| place(a) == place(b)) {
            self.step(step);
        }
        Ok(())
    }

    fn step(&mut self, events: &[Event]) {
        let at = events[0].at;
        let before = self.total;
        let after = before.unwrap_or(0) + events.iter().map(|event| event.amount).sum::<i128>();
        self.total = Some(after);
        let in_opening = events.iter().any(|event| event.is_opening);
        let reached_after = events.iter().map(|event| event.from).min().filter(|_| !in_opening);
        let mut reached_by = at;
        if self.kind == Kind::Delta && !in_opening {
            self.latest_end = events.iter().map(|event| event.end).fold(self.latest_end, Time::max);
            reached_by = self.latest_end;
        }
        self.ready.push_back(Step { at, reached_after, reached_by, in_opening, before, after });
    }
}
