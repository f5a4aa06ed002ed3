//! `GetTotal`: the exact number of all that happened before an instant, openings included.

use super::answer::{Edges, Mark, Page, TotalRow};
use super::coverage::{self, Frame};
use super::fault::QueryError;
use super::group::{Group, facts_bytes, key_bytes};
use super::ledger::Before;
use super::page::Position;
use super::plan::TotalPlan;
use super::range::figure_bytes;
use crate::domain::definition::Kind;
use crate::domain::time::Time;

/// Answers a page of the plan.
pub fn run(plan: &TotalPlan) -> Result<Page<TotalRow>, QueryError> {
    let scene = &plan.scene;
    let edges = Edges { start: None, end: plan.at };
    let groups = scene.groups(edges.interval())?;
    let frame = Frame {
        definition: scene.definition(),
        periods: scene.periods(),
        edges,
        now: &scene.now,
        last_end: coverage::last_end(&groups, scene.periods(), edges)?,
    };
    let mut page = Page { answer: scene.answer(edges, None), rows: Vec::new(), next: None };
    let mut room = scene.room();
    let begin = usize::try_from(scene.position.group).unwrap_or(usize::MAX);
    for (index, group) in groups.iter().enumerate().skip(begin) {
        let next = Some(Position { group: index as u64, row: None });
        if room.rows() == 0 {
            page.next = next;
            break;
        }
        // Where the first and the last point are is seen on the way to the total: no second descent looks for them. Facts
        // first: they load the block that they look into, so that the total finds it in memory.
        let facts = group.facts(&frame)?;
        let before = group.before(plan.at)?;
        let facts = facts.between(before.bounds);
        let row = row(group, plan.at, &before);
        let names = &page.answer.group_by;
        let bytes = facts_bytes(names, &scene.definition().label_names, &facts)
            + key_bytes(names, &group.key)
            + row.total.map_or(0, figure_bytes)
            + 20;
        if !room.take(1, bytes) {
            page.next = next;
            break;
        }
        page.answer.groups.push(facts);
        page.rows.push(row);
    }
    Ok(page)
}

fn row(group: &Group, at: Option<Time>, before: &Before) -> TotalRow {
    let mid_period = group.kind == Kind::Delta && at.is_some_and(|at| before.latest_end.is_some_and(|end| end > at));
    let marks = if mid_period { vec![Mark::MidPeriod] } else { Vec::new() };
    TotalRow { group: group.key.clone(), total: before.total, marks }
}
