//! `ListChanges`: what was corrected, added to, taken back or defined anew; newest first.

use super::fault::QueryError;
use super::page::{Position, Room};
use super::plan::ChangesPlan;
use crate::domain::definition::Definition;
use crate::domain::limit::PAGE_BYTES_MAX;
use crate::domain::time::Time;
use crate::engine::view::{ChangeKind, ChangeRow, ChangesAsk};
use crate::store::StoreError;
use std::sync::Arc;

/// A page of changes.
pub struct ChangesPage {
    /// Newest first.
    pub rows: Vec<ChangeRow>,
    /// What values and labels are told by.
    pub definition: Arc<Definition>,
    /// Every change up to this revision is in it.
    pub revision: i64,
    /// Where the next page begins; None: this is the last one.
    pub next: Option<Position>,
}

/// Answers a page of the plan.
pub fn run(plan: &ChangesPlan) -> Result<ChangesPage, QueryError> {
    let scene = &plan.scene;
    let revision = scene.view.revision();
    let (from_revision, to_revision) = revisions(plan)?;
    let after = scene.position.row.map(|revision| (revision, rows_before(scene.position)));
    let mut rows = scene.view.changes(&ChangesAsk {
        metric: scene.name.clone(),
        filters: scene.filters.clone(),
        from_revision,
        to_revision,
        include_new: plan.include_new,
        after,
        rows_max: scene.rows_max + 1,
    })?;
    let mut room = Room::new(scene.rows_max);
    let names: usize = scene.definition.label_names.iter().map(|name| name.len() + 12).sum();
    let fit = rows.iter().take_while(|row| room.take(1, names + row_bytes(row))).count();
    let next = (fit < rows.len()).then(|| position(&rows[..fit], after));
    rows.truncate(fit);
    Ok(ChangesPage { rows, definition: scene.definition.clone(), revision, next })
}

fn rows_before(position: Position) -> usize {
    usize::try_from(position.group).unwrap_or(usize::MAX)
}

/// After these rows: the last one's revision, and how many rows of it were given.
fn position(given: &[ChangeRow], after: Option<(i64, usize)>) -> Position {
    let Some(last) = given.last() else { return Position::default() };
    let of_last = given.iter().rev().take_while(|row| row.revision == last.revision).count();
    let before = match after {
        Some((revision, rows)) if revision == last.revision && of_last == given.len() => rows,
        _ => 0,
    };
    Position { group: (before + of_last) as u64, row: Some(last.revision) }
}

/// Revisions that are asked for: `[from, to)`, up to the view's own.
fn revisions(plan: &ChangesPlan) -> Result<(i64, i64), StoreError> {
    let view = &plan.scene.view;
    let (from, to) = plan.revisions;
    let last = view.revision().saturating_add(1);
    let to = if to == 0 { last } else { to.min(last) };
    let times = plan.record_times;
    let from = if times.start > Time::MIN { from.max(view.revision_at(times.start.plus(-1))? + 1) } else { from };
    let to = if times.end < Time::MAX { to.min(view.revision_at(times.end.plus(-1))? + 1) } else { to };
    Ok((from, to))
}

/// Bytes that a row takes at most, beside its labels' names.
fn row_bytes(row: &ChangeRow) -> usize {
    let values = match &row.kind {
        ChangeKind::Metric(old, new) => [old, new].into_iter().flatten().map(|d| definition_bytes(d)).sum(),
        _ => 60,
    };
    let labels = row.labels.iter().flat_map(|labels| labels.iter()).map(|value| value.len()).sum::<usize>();
    (values + labels + row.who.len() + row.reason.len() + 400).min(PAGE_BYTES_MAX)
}

/// As protobuf JSON, where a byte may be escaped by six.
fn definition_bytes(definition: &Definition) -> usize {
    let texts = [&definition.display_name, &definition.description, &definition.unit];
    let names = definition.label_names.iter().map(|name| name.len() + 4).sum::<usize>();
    texts.into_iter().map(|text| text.len() * 6).sum::<usize>() + names + 1_000
}
