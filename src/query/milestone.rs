//! `ListMilestones`: the first time the total (of a gauge: the level) was at or above each threshold.

mod cells;
mod one;
mod several;

use self::one::One;
use self::several::Several;
use super::answer::{Edges, GroupFacts, MilestoneRow, Next, Page};
use super::coverage::{self, Frame};
use super::estimate;
use super::fault::QueryError;
use super::group::{Group, facts_bytes, key_bytes};
use super::ledger::{Lead, Ledger};
use super::page::{Position, Room};
use super::plan::MilestonesPlan;
use super::range::figure_bytes;
use crate::domain::definition::Kind;
use crate::domain::time::Time;
use crate::store::StoreError;

/// A change of the total (of a gauge: a new level).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Step {
    /// From then on the total is `after`.
    at: Time,
    reached_after: Option<Time>,
    reached_by: Time,
    in_opening: bool,
    before: Option<i128>,
    after: i128,
}

/// Finds steps that reach a level, levels ascending: each search goes on from the last step found.
enum Climb<'a> {
    One(One<'a>),
    Several(Box<Several<'a>>),
}

impl<'a> Climb<'a> {
    fn new(group: &'a Group, end: Option<Time>) -> Climb<'a> {
        match group.ledgers.as_slice() {
            [ledger] => Climb::One(One::new(ledger, group.kind, end)),
            ledgers => Climb::Several(Box::new(Several::new(ledgers, group.kind, end))),
        }
    }

    /// The first step at or above `level`, which is above what the last step found came to.
    fn reach(&mut self, level: i128) -> Result<Option<Step>, QueryError> {
        match self {
            Climb::One(one) => Ok(one.reach(level)?),
            Climb::Several(several) => several.reach(level),
        }
    }
}

/// Answers a page of the plan.
pub fn run(plan: &MilestonesPlan) -> Result<Page<MilestoneRow>, QueryError> {
    let scene = &plan.scene;
    let edges = Edges { start: None, end: plan.end };
    let groups = scene.groups(edges.interval())?;
    let frame = Frame {
        definition: scene.definition(),
        periods: scene.periods(),
        edges,
        now: &scene.now,
        last_end: coverage::last_end(&groups, scene.periods(), edges)?,
    };
    let page = Page { answer: scene.answer(edges, None), rows: Vec::new(), next: None };
    let mut filler = Filler { plan, frame, room: scene.room(), page };
    let begin = usize::try_from(scene.position.group).unwrap_or(usize::MAX);
    for (index, group) in groups.iter().enumerate().skip(begin) {
        let from = scene.position.row.filter(|_| index == begin).and_then(|row| u64::try_from(row).ok());
        if let Some(row) = filler.group(group, from)? {
            filler.page.next = Some(Position { group: index as u64, row: row.and_then(|row| i64::try_from(row).ok()) });
            break;
        }
    }
    Ok(filler.page)
}

/// A page that is being filled.
struct Filler<'a> {
    plan: &'a MilestonesPlan,
    frame: Frame<'a>,
    room: Room,
    page: Page<MilestoneRow>,
}

impl Filler<'_> {
    /// Puts a group's milestones on the page, from the rung `from`, and its facts before the first.
    /// `Some`: where the next page begins in the group.
    fn group(&mut self, group: &Group, from: Option<u64>) -> Result<Option<Option<u64>>, QueryError> {
        let (plan, names) = (self.plan, self.page.answer.group_by.clone());
        let mut climb = Climb::new(group, plan.end);
        let firsts = Firsts::of(group, plan.end)?;
        let mut ordinal = from.unwrap_or(1).max(1);
        let (mut step, mut previous) = (None, None);
        if let Some(rung) = plan.ladder.rung(ordinal - 1).filter(|_| ordinal > 1) {
            step = climb.reach(rung)?;
            previous = step.map(|step| step.reached_by);
        }
        let mut is_first = from.is_none();
        loop {
            let row = match plan.ladder.rung(ordinal) {
                Some(rung) => {
                    if step.is_none_or(|step| step.after < rung) {
                        step = climb.reach(rung)?;
                    }
                    step.map(|step| row(group, &firsts, step, rung, ordinal, previous))
                }
                None => None,
            };
            let bytes = row.as_ref().map_or(0, |row| key_bytes(&names, &group.key) + row_bytes(row));
            if row.is_some() && self.room.rows() == 0 {
                return Ok(Some((!is_first).then_some(ordinal)));
            }
            if is_first {
                let facts = self.facts(group)?;
                let facts_bytes = facts_bytes(&names, &self.frame.definition.label_names, &facts) + 300;
                // Facts stand on the page of the group's first row; without rows, where there is room.
                if !self.room.fits(usize::from(row.is_some()), facts_bytes + bytes) {
                    return Ok(Some(None));
                }
                self.room.take(0, facts_bytes);
                self.page.answer.groups.push(facts);
                is_first = false;
            }
            let Some(row) = row else { return Ok(None) };
            if !self.room.take(1, bytes) {
                return Ok(Some(Some(ordinal)));
            }
            previous = Some(row.reached_by);
            self.page.rows.push(row);
            ordinal += 1;
        }
    }

    fn facts(&self, group: &Group) -> Result<GroupFacts, QueryError> {
        Ok(GroupFacts { next: self.next(group)?, ..group.facts(&self.frame)?.between(group.bounds(self.frame.edges)?) })
    }

    /// The lowest rung never reached.
    fn next(&self, group: &Group) -> Result<Option<Next>, QueryError> {
        let plan = self.plan;
        let last = match (group.kind, group.ledgers.first()) {
            (Kind::Gauge, ledger) => last_level(ledger, plan.end)?,
            _ => group.total(plan.end)?,
        };
        let highest = match last {
            Some(last) => Some(highest(group, plan.end, last)?),
            None => None,
        };
        let ordinal = highest.map_or(Some(1), |highest| plan.ladder.first_above(highest));
        let Some(threshold) = ordinal.and_then(|ordinal| plan.ladder.rung(ordinal)) else { return Ok(None) };
        let remaining = threshold - last.unwrap_or(0);
        Ok(Some(Next {
            threshold,
            remaining,
            when: estimate::when(group, plan.end, &plan.scene.now, last, remaining)?,
        }))
    }
}

fn last_level(ledger: Option<&Ledger>, end: Option<Time>) -> Result<Option<i128>, StoreError> {
    let Some(ledger) = ledger else { return Ok(None) };
    let last = ledger.series().last_before(Ledger::limit(Kind::Gauge, end))?;
    Ok(last.map(|point| i128::from(point.value)))
}

/// The highest that the total (or the level) ever was, where it is `last` at the end.
fn highest(group: &Group, end: Option<Time>, last: i128) -> Result<i128, QueryError> {
    let mut climb = Climb::new(group, end);
    let mut highest = last;
    while let Some(step) = climb.reach(highest + 1)? {
        highest = step.after;
    }
    Ok(highest)
}

/// When what is counted began.
struct Firsts {
    /// Time of the first opening; from then on nobody knows.
    opening: Option<Time>,
    /// When each series' first point counts, and since when it counts; the earliest so far.
    starts: Vec<(Time, Time)>,
}

impl Firsts {
    fn of(group: &Group, end: Option<Time>) -> Result<Firsts, StoreError> {
        let limit = Ledger::limit(group.kind, end);
        let mut starts: Vec<(Time, Time)> = Vec::new();
        for ledger in &group.ledgers {
            let Some(first) = ledger.first()?.filter(|first| first.first_time < limit) else { continue };
            match ledger.lead()? {
                None => starts.push((first.first_time, first.first_time)),
                Some(Lead::Step { from, .. }) => starts.push((first.first_time, from)),
                Some(Lead::Opening) => {}
            }
        }
        starts.sort_unstable();
        let mut earliest = Time::MAX;
        for (_, start) in &mut starts {
            earliest = earliest.min(*start);
            *start = earliest;
        }
        let mut opening: Option<Time> = None;
        for ledger in group.ledgers.iter().filter(|_| group.kind != Kind::Gauge) {
            opening = opening.into_iter().chain(ledger.opening()?.map(|(time, _)| time)).min();
        }
        Ok(Firsts { opening, starts })
    }

    /// The earliest start of what is counted from `at` on; None where it holds an opening.
    fn at(&self, at: Time) -> Option<Time> {
        if self.opening.is_some_and(|opening| opening <= at) {
            return None;
        }
        let counted = self.starts.partition_point(|(time, _)| *time <= at);
        self.starts[..counted].last().map(|(_, start)| *start)
    }
}

fn row(
    group: &Group,
    firsts: &Firsts,
    step: Step,
    threshold: i128,
    ordinal: u64,
    previous: Option<Time>,
) -> MilestoneRow {
    let since = |from: Time| Some(i128::from(step.reached_by.0) - i128::from(from.0)).filter(|nanos| *nanos >= 0);
    MilestoneRow {
        group: group.key.clone(),
        threshold,
        reached_after: step.reached_after,
        reached_by: step.reached_by,
        in_opening: step.in_opening,
        total_before: step.before,
        total: step.after,
        since_first_nanos: firsts.at(step.at).and_then(since),
        since_previous_nanos: previous.and_then(since),
        ordinal,
    }
}

/// Bytes that a row takes at most, beside its group.
fn row_bytes(row: &MilestoneRow) -> usize {
    let figures = [row.threshold, row.total, row.total - row.threshold, row.total_before.unwrap_or(0)];
    figures.into_iter().map(figure_bytes).sum::<usize>() + 100
}
