//! Milestones of a sum of series, exact, falls included: time is halved until few points are left or the bounds of
//! the series' aggregates say that the sum cannot get there.

use super::super::fault::{Fault, QueryError, Reason};
use super::super::ledger::{Event, Ledger};
use super::Step;
use crate::domain::definition::Kind;
use crate::domain::limit::{MERGE_POINTS_MAX, MERGE_POINTS_PER_SERIES, QUESTION_MERGED_POINTS_MAX};
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
    /// Points that are merged at once.
    few: usize,
    /// Points that may still be merged.
    budget: u64,
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
        let few = MERGE_POINTS_MAX.max(ledgers.len() * MERGE_POINTS_PER_SERIES);
        let budget = QUESTION_MERGED_POINTS_MAX;
        Several { ledgers, kind, end, left, ready: VecDeque::new(), total: None, latest_end: Time::MIN, few, budget }
    }

    /// The first step at or above `level`, from the last one found on.
    pub(super) fn reach(&mut self, level: i128) -> Result<Option<Step>, QueryError> {
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
    fn search(&mut self, region: Region, level: i128) -> Result<(), QueryError> {
        let weight = self.weigh(&region)?;
        let Some((first, last)) = weight.span else { return Ok(()) };
        if self.total.unwrap_or(0) + weight.bound < level {
            self.total = Some(self.total.unwrap_or(0) + weight.sum);
            self.latest_end = self.latest_end.max(weight.latest_end.unwrap_or(Time::MIN));
            return Ok(());
        }
        if first == last || weight.points <= self.few as u64 {
            self.budget = self.budget.checked_sub(weight.points).ok_or_else(|| too_costly(self.ledgers.len()))?;
            return Ok(self.reckon(Interval::new(first, last.next()), &weight)?);
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

fn too_costly(series: usize) -> Fault {
    let what = format!(
        "milestones of a sum of {series} series would merge more than {QUESTION_MERGED_POINTS_MAX} points; filter \
         them, group them, or give an end"
    );
    Fault::new(Reason::QuestionTooCostly, "selection", what)
        .with("series_count", series)
        .with("points_max", QUESTION_MERGED_POINTS_MAX)
}

#[cfg(test)]
mod tests {
    use super::super::One;
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::calendar::{MonthDay, Weekday, Zone};
    use crate::domain::definition::Definition;
    use crate::domain::name::MetricName;
    use crate::domain::point::Point;
    use crate::engine::batch::{Batch, Change, Column, Mode, Origin, SeriesWrite};
    use crate::engine::{AsOf, Engine, Settings};
    use crate::store::memory::MemoryStore;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// Of one series: an opening, and points (time, value, length or start).
    type Told = (Option<i64>, BTreeMap<i64, (i64, Option<i64>)>);

    fn told() -> impl Strategy<Value = Told> {
        let point = (-4..9i64, prop::option::of(0..3i64));
        (prop::option::weighted(0.3, -5..20i64), prop::collection::btree_map(1..60i64, point, 0..30))
    }

    fn points(kind: Kind, told: &Told) -> Vec<Point> {
        let mut level = told.0.unwrap_or(0);
        let ends: Vec<i64> = told.1.keys().skip(1).copied().chain([100]).collect();
        let point = |((&time, &(value, more)), next): ((&i64, &(i64, Option<i64>)), i64)| match kind {
            Kind::Cumulative => {
                level += value;
                Point { start: more.map(|more| Time(time - more)), restated: true, ..Point::at(Time(time), level) }
            }
            _ => Point::of_period(Time(time), Time((time + more.unwrap_or(0)).min(next)), value),
        };
        told.1.iter().zip(ends).map(point).collect()
    }

    fn batch(change: Change) -> Batch {
        let component = MetricName::parse("team/counts").expect("a name").component();
        let text = String::new;
        Batch { component, who: text(), request_id: text(), reason: text(), validate_only: false, change }
    }

    /// The series' ledgers, in an engine of deep trees.
    async fn ledgers(kind: Kind, all: &[Told]) -> Vec<Ledger> {
        let settings = Settings {
            block_points_max: 4,
            tail_points_min: 2,
            node_children_max: 3,
            page_points_max: 2,
            ..Settings::default()
        };
        let clock = Arc::new(ManualClock::at(Time(1_000)));
        let engine = Engine::open(Arc::new(MemoryStore::new()), clock, settings).expect("an empty store");
        let metric = MetricName::parse("team/counts").expect("a name");
        let definition = Definition {
            name: metric.clone(),
            display_name: String::new(),
            description: String::new(),
            unit: String::new(),
            kind,
            scale: 0,
            label_names: vec!["series".to_owned()],
            period: None,
            zone: Zone::utc(),
            week_start: Weekday::Monday,
            year_start: MonthDay { month: 1, day: 1 },
            overdue_after_nanos: None,
            create_time: Time(0),
            update_time: Time(0),
        };
        engine.write(batch(Change::Create(Box::new(definition)))).await.expect("made");
        for (i, told) in all.iter().enumerate() {
            let labels: crate::domain::point::Labels = vec![format!("{i:03}").into_boxed_str()].into();
            if let Some(value) = told.0 {
                let opening = Some((Time(0), value));
                let change = Change::Opening { metric: metric.clone(), labels: labels.clone(), opening };
                engine.write(batch(change)).await.expect("opened");
            }
            let points = points(kind, told);
            if !points.is_empty() {
                let end_given = Column::of(1, points.len());
                let origin = Origin::Entry(0);
                let points = points.into();
                let series = SeriesWrite { metric: metric.clone(), labels, points, end_given, origin };
                engine.write(batch(Change::Points { mode: Mode::Set, series: vec![series] })).await.expect("written");
            }
        }
        engine.fold().await.expect("folded");
        let view = engine.view(&metric.component(), AsOf::Now).await.expect("a view");
        let series = view.metric(&metric).expect("whole").expect("it was made").series(&[]).expect("whole");
        series.into_iter().map(|series| Ledger::new(series, kind).expect("whole")).collect()
    }

    /// Every step, one after the other: all is merged at once.
    fn all_steps(ledgers: &[Ledger], kind: Kind, end: Option<Time>) -> Vec<Step> {
        let mut several = Several::new(ledgers, kind, end);
        let region = several.left.pop().expect("all of time");
        let weight = several.weigh(&region).expect("whole");
        several.reckon(region.instants, &weight).expect("whole");
        several.ready.into_iter().collect()
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// However time is cut, and whatever was skipped, the steps are those that a walk along all of them finds.
        #[test]
        fn cutting_time_finds_the_same_steps(
            is_delta: bool, all in prop::collection::vec(told(), 2..6), levels in prop::collection::btree_set(1..120i128, 1..8),
            few in 1usize..6, end in prop::option::of(0..70i64),
        ) {
            let kind = if is_delta { Kind::Delta } else { Kind::Cumulative };
            let ledgers = block_on(ledgers(kind, &all));
            let end = end.map(Time);
            let steps = all_steps(&ledgers, kind, end);
            let mut several = Several { few, ..Several::new(&ledgers, kind, end) };
            for level in levels {
                let expected = steps.iter().find(|step| step.after >= level);
                let found = several.reach(level).expect("whole");
                prop_assert_eq!(found.as_ref(), expected, "level {}", level);
                let Some(last) = found else { break };
                if last.after > level {
                    // Levels that the same step reached are not asked for again.
                    several = Several { few, ..Several::new(&ledgers, kind, end) };
                }
            }
        }

        /// Where more points would have to be merged than may be, the question is refused; never answered in part.
        #[test]
        fn a_search_that_costs_too_much_is_refused(all in prop::collection::vec(told(), 2..6), budget in 0u64..60) {
            let ledgers = block_on(ledgers(Kind::Delta, &all));
            let steps = all_steps(&ledgers, Kind::Delta, None);
            let points: usize = all.iter().map(|(_, points)| points.len()).sum();
            let mut several = Several { budget, ..Several::new(&ledgers, Kind::Delta, None) };
            match several.reach(20) {
                Ok(found) => prop_assert_eq!(found, steps.into_iter().find(|step| step.after >= 20)),
                Err(QueryError::Faults(faults)) => {
                    prop_assert_eq!(faults[0].reason, Reason::QuestionTooCostly);
                    prop_assert!(points as u64 > budget);
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }

        /// The descent in a single series finds what the search in a sum of one does.
        #[test]
        fn one_series_is_a_sum_of_one(
            is_delta: bool, told in told(), levels in prop::collection::btree_set(-3..120i128, 1..8),
            end in prop::option::of(0..70i64),
        ) {
            let kind = if is_delta { Kind::Delta } else { Kind::Cumulative };
            let ledgers = block_on(ledgers(kind, std::slice::from_ref(&told)));
            let Some(ledger) = ledgers.first() else { return Ok(()) };
            let end = end.map(Time);
            let steps = all_steps(&ledgers, kind, end);
            let mut one = One::new(ledger, kind, end);
            let mut reached = i128::MIN;
            for level in levels {
                if level <= reached {
                    continue;
                }
                let expected = steps.iter().find(|step| step.after >= level).copied();
                let found = one.reach(level).expect("whole");
                prop_assert_eq!(found, expected, "level {}", level);
                reached = found.map_or(reached, |step| step.after);
            }
        }
    }
}
