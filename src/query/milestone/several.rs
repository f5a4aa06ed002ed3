//! Milestones of a sum of series, exact, falls included: time is cut until few points are left or the bounds of the
//! series' aggregates say that the sum cannot get there. What was weighed stays for the next threshold.

use super::super::fault::{Fault, QueryError, Reason};
use super::super::ledger::{Event, Ledger};
use super::Step;
use super::cells::{self, Cell};
use crate::domain::definition::Kind;
use crate::domain::limit::{MERGE_POINTS_MAX, MERGE_POINTS_PER_SERIES, QUESTION_MERGED_POINTS_MAX};
use crate::domain::time::{Interval, Time};
use crate::store::StoreError;
use std::collections::VecDeque;

/// Cells into which time is cut at once. (Measured in one run, against halves: 20 milestones of 200 series, and of 10,000,
/// in a quarter of the time; against 64: the same, and a first crossing in two thirds.)
const CELLS: usize = 16;

/// A search in a sum of series.
pub(super) struct Several<'a> {
    ledgers: &'a [Ledger],
    kind: Kind,
    end: Option<Time>,
    /// Stretches of time not yet searched, the earliest on top; None: nothing was weighed yet.
    left: Option<Vec<Cell>>,
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

impl<'a> Several<'a> {
    pub(super) fn new(ledgers: &'a [Ledger], kind: Kind, end: Option<Time>) -> Several<'a> {
        let few = few_of(ledgers.len());
        let budget = QUESTION_MERGED_POINTS_MAX;
        let ready = VecDeque::new();
        Several { ledgers, kind, end, left: None, ready, total: None, latest_end: Time::MIN, few, budget }
    }

    /// The first step at or above `level`, from the last one found on.
    pub(super) fn reach(&mut self, level: i128) -> Result<Option<Step>, QueryError> {
        loop {
            while let Some(step) = self.ready.pop_front() {
                if step.after >= level {
                    return Ok(Some(step));
                }
            }
            let Some(cell) = self.next()? else { return Ok(None) };
            self.search(&cell, level)?;
        }
    }

    /// The earliest stretch of time that was not searched yet.
    fn next(&mut self) -> Result<Option<Cell>, StoreError> {
        if self.left.is_none() {
            let all = Interval::new(Time::MIN, self.end.map_or(Time::MAX, Time::next));
            self.left = Some(self.weigh(vec![Cell::new(all)], 0..self.ledgers.len())?);
        }
        Ok(self.left.as_mut().and_then(Vec::pop))
    }

    /// Skips the cell, reckons it, or cuts it.
    fn search(&mut self, cell: &Cell, level: i128) -> Result<(), QueryError> {
        let Some((first, last)) = cell.span else { return Ok(()) };
        if self.total.unwrap_or(0) + cell.bound < level {
            self.total = Some(self.total.unwrap_or(0) + cell.sum);
            self.latest_end = self.latest_end.max(cell.latest_end.unwrap_or(Time::MIN));
            return Ok(());
        }
        if first == last && self.kind == Kind::Delta && cell.openings == 0 {
            // All that is to be known of the one step was found when it was weighed.
            let end = cell.latest_end.expect("it has points");
            self.step(&[Event { at: first, amount: cell.sum, from: first, end, is_opening: false }]);
            return Ok(());
        }
        if first == last || cell.points <= self.few as u64 {
            self.budget = self.budget.checked_sub(cell.points).ok_or_else(|| too_costly(self.ledgers.len()))?;
            return Ok(self.reckon(Interval::new(first, last.next()), cell)?);
        }
        let parts = self.weigh(Cell::cut(first, last, CELLS), cell.members.iter().copied())?;
        self.left.get_or_insert_default().extend(parts);
        Ok(())
    }

    /// Weighs cells, the earliest last; those in which nothing happens are left out.
    fn weigh(&self, mut cells: Vec<Cell>, members: impl Iterator<Item = usize>) -> Result<Vec<Cell>, StoreError> {
        let limit = Ledger::limit(self.kind, self.end);
        for member in members {
            cells::weigh(&mut cells, member, &self.ledgers[member], self.kind, limit)?;
        }
        cells.retain(|cell| cell.span.is_some());
        cells.reverse();
        Ok(cells)
    }

    /// The points that count among the instants: at the end itself only openings do.
    fn points(&self, instants: Interval) -> Interval {
        Interval::new(instants.start, instants.end.min(Ledger::limit(self.kind, self.end)))
    }

    fn opening(&self, ledger: &Ledger, instants: Interval) -> Option<(Time, i128)> {
        let (time, value) = ledger.set_opening()?;
        instants.contains(time).then_some((time, i128::from(value)))
    }

    /// Makes steps of all that happens: everything of one instant is one, but in a DELTA sum openings come before.
    fn reckon(&mut self, instants: Interval, cell: &Cell) -> Result<(), StoreError> {
        let mut events: Vec<Event> = Vec::new();
        for &member in &cell.members {
            let ledger = &self.ledgers[member];
            if let Some((at, amount)) = self.opening(ledger, instants) {
                events.push(Event { at, amount, from: at, end: at, is_opening: true });
            }
            let points = self.points(instants);
            if !points.is_empty() {
                events.extend(ledger.events(points, usize::try_from(cell.points).unwrap_or(usize::MAX))?);
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

/// How many points are merged at once where so many series are summed.
fn few_of(series: usize) -> usize {
    MERGE_POINTS_MAX.max(series * MERGE_POINTS_PER_SERIES)
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
    use super::super::super::group::Group;
    use super::super::super::sheet::Sheet;
    use super::super::One;
    use super::*;
    use crate::clock::ManualClock;

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

    /// Of one series with many points: all of one length, so that they are plain, or not; falling, or never.
    fn long() -> impl Strategy<Value = Told> {
        let points = prop::collection::btree_map(1..600i64, (-4..9i64, prop::option::weighted(0.1, 0..3i64)), 0..400);
        (prop::option::weighted(0.3, -5..20i64), points, 0..3).prop_map(|(opening, mut points, form)| {
            for (value, more) in points.values_mut() {
                *value = if form == 0 { *value } else { value.abs() };
                *more = more.filter(|_| form == 1);
            }
            (opening, points)
        })
    }

    /// What each point adds, reckoned from what was told: time, amount, end, and whether it is a step and no opening.
    fn steps(kind: Kind, told: &Told) -> Vec<(i64, i128, i64, bool)> {
        let mut before = told.0.map(|opening| (0, opening));
        let step = |point: Point| {
            let Point { time, value, end, start, .. } = point;
            if kind == Kind::Delta {
                return (time.0, i128::from(value), end.0, true);
            }
            let began_again = start.is_some_and(|start| before.is_none_or(|(time, _)| start.0 >= time));
            let level = before.map_or(0, |(_, level)| level);
            let is_opening = before.is_none() && start.is_none();
            before = Some((time.0, value));
            (time.0, i128::from(value - if began_again { 0 } else { level }), time.0, !is_opening)
        };
        points(kind, told).into_iter().map(step).collect()
    }

    fn check_cell(cell: &Cell, kind: Kind, all: &[&Told], limit: i64) -> Result<(), TestCaseError> {
        let (mut sum, mut bound, mut points, mut openings) = (0, 0, 0, 0);
        let (mut instants, mut ends, mut members) = (Vec::new(), Vec::new(), Vec::new());
        for (member, told) in all.iter().enumerate() {
            let inside = |at: i64| cell.instants.contains(Time(at));
            let opening = told.0.filter(|_| inside(0));
            let (mut own, mut high) = (0, 0);
            for (at, amount, end, _) in steps(kind, told).into_iter().filter(|(at, ..)| inside(*at) && *at < limit) {
                own += amount;
                high = high.max(own);
                points += 1;
                instants.push(at);
                ends.push(end);
                members.push(member);
            }
            if let Some(opening) = opening {
                openings += 1;
                own += i128::from(opening);
                high += i128::from(opening.max(0));
                instants.push(0);
                members.push(member);
            }
            sum += own;
            bound += high;
        }
        members.dedup();
        prop_assert_eq!((cell.sum, cell.bound, cell.points, cell.openings), (sum, bound, points, openings));
        let span = instants.iter().min().zip(instants.iter().max()).map(|(first, last)| (Time(*first), Time(*last)));
        prop_assert_eq!(cell.span, span);
        prop_assert_eq!(cell.latest_end, ends.into_iter().max().map(Time));
        prop_assert_eq!(&cell.members, &members);
        Ok(())
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
    async fn ledgers(kind: Kind, all: &[Told], block_points_max: usize) -> Vec<Ledger> {
        let settings = Settings {
            block_points_max,
            tail_points_min: 2,
            node_children_max: 3,
            page_points_max: 2,
            ..Settings::default()
        };
        let clock = Arc::new(ManualClock::at(Time(1_000)));
        let engine = Engine::open(Arc::new(MemoryStore::new()), clock, settings).expect("an empty store");
        let metric = MetricName::parse("team/counts").expect("a name");
        let definition = Definition { label_names: vec!["series".to_owned()], ..Definition::new(metric.clone(), kind) };
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
        let Some(all) = several.next().expect("whole") else { return Vec::new() };
        several.reckon(all.instants, &all).expect("whole");
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

    /// Of many series more are merged at once.
    #[test]
    fn how_few_hangs_on_the_series() {
        for (series, few) in [(1, 4_096), (1_024, 4_096), (1_025, 4_100), (10_000, 40_000)] {
            assert_eq!(few_of(series), few, "of {series} series");
        }
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
            let ledgers = block_on(ledgers(kind, &all, 4));
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

        /// Points are merged where they are few enough, and only there: a stretch of time with more of them is cut, down
        /// to one instant.
        #[test]
        fn only_few_points_are_merged_at_once(
            is_delta: bool, all in prop::collection::vec(told(), 2..6), level in 1..60i128, few in 1usize..9,
        ) {
            let kind = if is_delta { Kind::Delta } else { Kind::Cumulative };
            let ledgers = block_on(ledgers(kind, &all, 4));
            let new = Several::new(&ledgers, kind, None);
            prop_assert_eq!(new.few, few_of(ledgers.len()));
            let mut several = Several { few, ..new };
            while let Some(cell) = several.next().expect("whole") {
                let left = |several: &Several| several.left.as_ref().map_or(0, Vec::len);
                let (instants, before, budget) = (cell.instants, left(&several), several.budget);
                let times = all.iter().flat_map(|(_, points)| points.keys()).filter(|t| instants.contains(Time(**t)));
                let times: Vec<i64> = times.copied().collect();
                several.search(&cell, level).expect("whole");
                let merged = (budget - several.budget) as usize;
                let is_cut = left(&several) > before;
                prop_assert!(!is_cut || (merged == 0 && times.len() > few), "{} points are cut", times.len());
                if merged > 0 {
                    prop_assert_eq!(merged, times.len());
                    let is_instant = times.iter().min() == times.iter().max();
                    prop_assert!(merged <= few || is_instant, "{} points are merged, {} are few", merged, few);
                }
            }
        }

        /// Of long blocks, whose running sums answer for parts of them, cells and windows come to what their points do
        /// one by one; so does any flow.
        #[test]
        fn parts_of_blocks_come_to_what_their_points_do(
            is_delta: bool, all in prop::collection::vec(long(), 1..4), cells in 1usize..20, from in -9..250i64,
            length in 1..400i64, limit in 0..700i64,
        ) {
            let kind = if is_delta { Kind::Delta } else { Kind::Cumulative };
            let ledgers = block_on(ledgers(kind, &all, 150));
            let all: Vec<_> = all.iter().filter(|told| told.0.is_some() || !told.1.is_empty()).collect();
            prop_assert_eq!(ledgers.len(), all.len());
            let mut cells = Cell::cut(Time(from), Time(from + length - 1), cells);
            prop_assert_eq!((cells[0].instants.start, cells[cells.len() - 1].instants.end), (Time(from), Time(from + length)));
            prop_assert!(cells.windows(2).all(|pair| pair[0].instants.end == pair[1].instants.start));
            for (member, ledger) in ledgers.iter().enumerate() {
                cells::weigh(&mut cells, member, ledger, kind, Time(limit)).expect("whole");
            }
            for cell in &cells {
                check_cell(cell, kind, &all, limit)?;
            }
            let windows: Vec<Interval> = cells.iter().map(|cell| cell.instants).collect();
            let group = Group { key: Vec::new().into(), ledgers, kind };
            let sheet = Sheet::of(&group, &windows, false).expect("whole");
            for (window, line) in windows.iter().zip(&sheet.lines) {
                // CUMULATIVE: the steps of a window are those of `start < time <= end`.
                let shift = i64::from(!is_delta);
                let mut steps: Vec<_> = all.iter().flat_map(|told| steps(kind, told)).collect();
                steps.retain(|(at, _, _, counts)| *counts && window.contains(Time(at - shift)));
                let flow = group.flow(*window).expect("whole");
                let expected = (steps.iter().map(|step| step.1).sum::<i128>(), steps.len() as u64);
                prop_assert_eq!((line.flow, line.steps), expected, "{:?}", window);
                prop_assert_eq!((flow.sum, flow.steps, flow.points), (line.flow, line.steps, line.points));
                if is_delta {
                    prop_assert_eq!(flow.latest_end, steps.iter().map(|step| Time(step.2)).max());
                    prop_assert_eq!(line.latest_end(), flow.latest_end.unwrap_or(Time::MIN));
                }
            }
        }

        /// Where more points would have to be merged than may be, the question is refused; never answered in part.
        #[test]
        fn a_search_that_costs_too_much_is_refused(all in prop::collection::vec(told(), 2..6), budget in 0u64..60) {
            let ledgers = block_on(ledgers(Kind::Delta, &all, 4));
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
            let ledgers = block_on(ledgers(kind, std::slice::from_ref(&told), 4));
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
