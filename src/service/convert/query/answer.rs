//! Answers out: figures become text, times timestamps.

use crate::domain::decimal;
use crate::domain::definition::{Definition, Kind};
use crate::domain::time;
use crate::proto::v1::{self, *};
use crate::query::answer::{self as told, Edges, GroupKey, Mark, Page};
use crate::service::convert::labels_map;
use crate::service::convert::time::timestamp;
use prost_types::Duration;
use std::collections::BTreeMap;

/// What all rows of a page are told by.
pub(super) struct Teller<'a> {
    definition: &'a Definition,
    group_by: &'a [String],
}

impl<'a> Teller<'a> {
    pub(super) fn of(answer: &'a told::Answer) -> Teller<'a> {
        Teller { definition: &answer.definition, group_by: &answer.group_by }
    }

    pub(super) fn text(&self, units: i128) -> String {
        decimal::format(units, self.definition.scale)
    }

    pub(super) fn group(&self, key: &GroupKey) -> BTreeMap<String, String> {
        self.group_by.iter().cloned().zip(key.iter().map(|value| value.to_string())).collect()
    }

    fn facts(&self, facts: &told::GroupFacts) -> GroupFacts {
        GroupFacts {
            group: self.group(&facts.group),
            series_count: count(facts.series_count),
            coverage: Some(coverage(&facts.coverage)),
            openings: Some(self.openings(&facts.openings)),
            next: facts.next.as_ref().map(|next| self.next(next)),
        }
    }

    fn openings(&self, openings: &told::Openings) -> Openings {
        let opening = |opening: &told::NamedOpening| Opening {
            labels: labels_map(&opening.labels, self.definition),
            time: Some(timestamp(opening.time)),
            value: self.text(opening.value.into()),
            note: opening.note.clone(),
        };
        Openings {
            count: count(openings.count),
            sum: self.text(openings.sum),
            first: openings.first.iter().map(opening).collect(),
        }
    }

    fn next(&self, next: &told::Next) -> NextMilestone {
        use next_milestone::When;
        NextMilestone {
            threshold: self.text(next.threshold),
            remaining: self.text(next.remaining),
            when: Some(match &next.when {
                Err(reason) => When::NoEstimateReason((*reason).to_owned()),
                Ok(estimate) => When::Estimate(Estimate {
                    method: "MEAN_PACE".to_owned(),
                    window: Some(interval(Edges::of(estimate.window))),
                    time: Some(timestamp(estimate.time)),
                    earliest: Some(timestamp(estimate.earliest)),
                    latest: estimate.latest.map(timestamp),
                }),
            }),
        }
    }

    pub(super) fn levels(&self, levels: &told::Levels) -> GaugeLevels {
        let text = |level: Option<i64>| level.map(|level| self.text(level.into()));
        GaugeLevels {
            last: text(levels.last),
            min: text(levels.min),
            max: text(levels.max),
            mean: levels.mean.map(|(sum, count)| decimal::format_mean(sum, count, self.definition.scale)),
        }
    }
}

pub(super) fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn interval(edges: Edges) -> Interval {
    Interval { start_time: edges.start.map(timestamp), end_time: edges.end.map(timestamp) }
}

fn coverage(coverage: &told::Coverage) -> Coverage {
    let gap = |gap: &time::Interval| interval(Edges::of(*gap));
    Coverage {
        first_point_time: coverage.first_point_time.map(timestamp),
        last_point_time: coverage.last_point_time.map(timestamp),
        complete_through: coverage.complete_through.map(timestamp),
        expected_periods: count(coverage.expected_periods),
        present_periods: count(coverage.present_periods),
        gaps: coverage.gaps.iter().map(gap).collect(),
        gap_count: count(coverage.gap_count),
        overdue: coverage.overdue,
        never_reported: coverage.never_reported,
    }
}

pub(super) fn marks(marks: &[Mark]) -> Vec<i32> {
    use v1::window::Mark as Told;
    let mark = |mark: &Mark| match mark {
        Mark::MidPeriod => Told::MidPeriod,
        Mark::Straddled => Told::Straddled,
        Mark::Unfinished => Told::Unfinished,
        Mark::Clipped => Told::Clipped,
        Mark::Incomplete => Told::Incomplete,
        Mark::Filled => Told::Filled,
        Mark::Restarted => Told::Restarted,
    };
    marks.iter().map(|is| mark(is) as i32).collect()
}

fn kind(kind: Kind) -> metric::Kind {
    match kind {
        Kind::Delta => metric::Kind::Delta,
        Kind::Cumulative => metric::Kind::Cumulative,
        Kind::Gauge => metric::Kind::Gauge,
    }
}

fn duration(nanos: i128) -> Option<Duration> {
    let (seconds, nanos) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    Some(Duration { seconds: i64::try_from(seconds).ok()?, nanos: i32::try_from(nanos).ok()? })
}

/// The head of an answer.
pub(super) fn answer(answer: &told::Answer) -> Answer {
    let (definition, teller) = (&answer.definition, Teller::of(answer));
    Answer {
        interval: Some(interval(answer.interval)),
        time_zone: answer.zone.clone(),
        revision: answer.revision,
        evaluate_time: Some(timestamp(answer.evaluate_time)),
        unit: definition.unit.clone(),
        kind: kind(definition.kind) as i32,
        scale: definition.scale.into(),
        groups: answer.groups.iter().map(|facts| teller.facts(facts)).collect(),
    }
}

/// `GetTotal`'s answer.
pub fn total(page: &Page<told::TotalRow>, next_page_token: String) -> GetTotalResponse {
    let teller = Teller::of(&page.answer);
    let row = |row: &told::TotalRow| Total {
        group: teller.group(&row.group),
        total: row.total.map(|total| teller.text(total)),
        marks: marks(&row.marks),
    };
    GetTotalResponse {
        answer: Some(answer(&page.answer)),
        totals: page.rows.iter().map(row).collect(),
        next_page_token,
    }
}

/// `ListMilestones`' answer.
pub fn milestones(page: &Page<told::MilestoneRow>, next_page_token: String) -> ListMilestonesResponse {
    let teller = Teller::of(&page.answer);
    let row = |row: &told::MilestoneRow| Milestone {
        group: teller.group(&row.group),
        threshold: teller.text(row.threshold),
        reached_after: row.reached_after.map(timestamp),
        reached_by: Some(timestamp(row.reached_by)),
        in_opening: row.in_opening,
        total_before: row.total_before.map(|total| teller.text(total)),
        total: teller.text(row.total),
        overshoot: teller.text(row.total - row.threshold),
        since_first: row.since_first_nanos.and_then(duration),
        since_previous: row.since_previous_nanos.and_then(duration),
        ordinal: i32::try_from(row.ordinal).unwrap_or(i32::MAX),
    };
    ListMilestonesResponse {
        answer: Some(answer(&page.answer)),
        milestones: page.rows.iter().map(row).collect(),
        next_page_token,
    }
}
