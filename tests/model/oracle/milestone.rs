//! Milestones: walk along the steps, and note each rung where it is first reached.

use std::collections::{BTreeMap, BTreeSet};

use milepost::proto::v1::{list_milestones_request::Ladder, *};

use super::{
    Nanos, Oracle, Refused, decimal,
    select::{Edge, Group, View, instant, within, within_ending},
    timestamp,
};

/// A change of the total (of a gauge: a new level).
struct Step {
    after: Option<Nanos>,
    by: Nanos,
    in_opening: bool,
    before: Option<i128>,
    total: i128,
    /// Earliest start of what is counted by then; None where the total holds an opening.
    first: Option<Nanos>,
}

impl Oracle {
    pub fn list_milestones(
        &self,
        request: &ListMilestonesRequest,
        now: i64,
    ) -> Result<ListMilestonesResponse, Refused> {
        let view = self.view(request.selection.as_ref(), request.as_of.as_ref(), now)?;
        let edge = request.end.as_ref().map(|at| match at {
            list_milestones_request::End::EndTime(time) => Edge::Time(time),
            list_milestones_request::End::EndDate(text) => Edge::Date(text),
        });
        let end = instant(&view.metric.time_zone, edge)?;
        let rungs = Rungs::of(&view, request.ladder.as_ref().expect("a ladder is given"))?;
        view.check_levels()?;
        let mut answer = view.answer(&view.metric.time_zone, None, end);
        let mut milestones = Vec::new();
        for (group, facts) in view.groups.iter().zip(&mut answer.groups) {
            let steps = match view.metric.kind() {
                metric::Kind::Delta => delta_steps(group, end),
                metric::Kind::Cumulative => cumulative_steps(group, end),
                _ => gauge_steps(group, end),
            };
            let (rows, next) = climb(&view, &rungs, &steps);
            milestones.extend(rows.into_iter().map(|m| Milestone { group: group.values.clone(), ..m }));
            facts.next = next;
        }
        Ok(ListMilestonesResponse { answer: Some(answer), milestones, next_page_token: String::new() })
    }
}

fn climb(view: &View, rungs: &Rungs, steps: &[Step]) -> (Vec<Milestone>, Option<NextMilestone>) {
    let mut rows = Vec::new();
    let mut before: Option<Nanos> = None;
    for ordinal in 1.. {
        let Some(rung) = rungs.rung(ordinal) else {
            break;
        };
        let Some(step) = steps.iter().find(|step| step.total >= rung) else {
            let remaining = rung - steps.last().map_or(0, |step| step.total);
            let (threshold, remaining) = (view.text(rung), view.text(remaining));
            return (rows, Some(NextMilestone { threshold, remaining, when: None }));
        };
        rows.push(Milestone {
            group: BTreeMap::new(),
            threshold: view.text(rung),
            reached_after: step.after.map(timestamp),
            reached_by: Some(timestamp(step.by)),
            in_opening: step.in_opening,
            total_before: step.before.map(|total| view.text(total)),
            total: view.text(step.total),
            overshoot: view.text(step.total - rung),
            since_first: step.first.and_then(|first| since(first, step.by)),
            since_previous: before.and_then(|before| since(before, step.by)),
            ordinal: ordinal as i32,
        });
        before = Some(step.by);
    }
    (rows, None)
}

/// The time from one instant to another; none where negative.
fn since(from: Nanos, to: Nanos) -> Option<prost_types::Duration> {
    let length = timestamp(to - from);
    (to >= from).then_some(prost_types::Duration { seconds: length.seconds, nanos: length.nanos })
}

/// Openings of an instant, then all points of it.
fn delta_steps(group: &Group, end: Option<Nanos>) -> Vec<Step> {
    let openings: Vec<_> = group.counted.openings.iter().filter(|o| within_ending(None, end, o.at)).collect();
    let flows: Vec<_> = group.counted.flows.iter().filter(|f| within(None, end, f.at)).collect();
    let times: BTreeSet<Nanos> = openings.iter().map(|o| o.at).chain(flows.iter().map(|f| f.at)).collect();
    let (mut steps, mut total): (Vec<Step>, Option<i128>) = (Vec::new(), None);
    for at in times {
        let opened: Vec<i128> = openings.iter().filter(|o| o.at == at).map(|o| o.amount).collect();
        if !opened.is_empty() {
            let after = total.unwrap_or(0) + opened.iter().sum::<i128>();
            steps.push(Step {
                after: None,
                by: at,
                in_opening: true,
                before: total.replace(after),
                total: after,
                first: None,
            });
        }
        let amounts: Vec<i128> = flows.iter().filter(|f| f.at == at).map(|f| f.amount).collect();
        if !amounts.is_empty() {
            let after = total.unwrap_or(0) + amounts.iter().sum::<i128>();
            let counted = || flows.iter().filter(|flow| flow.at <= at);
            let holds_opening = openings.iter().any(|opening| opening.at <= at);
            steps.push(Step {
                after: Some(at),
                by: counted().map(|flow| flow.to).max().expect("the step's own points"),
                in_opening: false,
                before: total.replace(after),
                total: after,
                first: counted().map(|f| f.from).min().filter(|_| !holds_opening),
            });
        }
    }
    steps
}

/// Everything that counts from the same instant is one step.
fn cumulative_steps(group: &Group, end: Option<Nanos>) -> Vec<Step> {
    let openings: Vec<_> = group.counted.openings.iter().filter(|o| within_ending(None, end, o.at)).collect();
    let flows: Vec<_> = group.counted.flows.iter().filter(|f| within_ending(None, end, f.at)).collect();
    let times: BTreeSet<Nanos> = openings.iter().map(|o| o.at).chain(flows.iter().map(|f| f.at)).collect();
    let (mut steps, mut total): (Vec<Step>, Option<i128>) = (Vec::new(), None);
    for at in times {
        let opened: Vec<i128> = openings.iter().filter(|o| o.at == at).map(|o| o.amount).collect();
        let flowed: Vec<_> = flows.iter().filter(|flow| flow.at == at).collect();
        let amount = opened.iter().sum::<i128>() + flowed.iter().map(|f| f.amount).sum::<i128>();
        let after = total.unwrap_or(0) + amount;
        let in_opening = !opened.is_empty();
        let holds_opening = openings.iter().any(|opening| opening.at <= at);
        let starts = flows.iter().filter(|flow| flow.at <= at).map(|flow| flow.from);
        steps.push(Step {
            after: flowed.iter().map(|flow| flow.from).min().filter(|_| !in_opening),
            by: at,
            in_opening,
            before: total.replace(after),
            total: after,
            first: starts.min().filter(|_| !holds_opening),
        });
    }
    steps
}

fn gauge_steps(group: &Group, end: Option<Nanos>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let points = group.series.iter().flat_map(|member| &member.state.points);
    for (&at, point) in points.filter(|(at, _)| within(None, end, **at)) {
        let before = steps.last();
        steps.push(Step {
            after: before.map(|step| step.by),
            by: at,
            in_opening: false,
            before: before.map(|step| step.total),
            total: point.value.into(),
            first: Some(steps.first().map_or(at, |step| step.by)),
        });
    }
    steps
}

/// The ladder, in units.
enum Rungs {
    List(Vec<i128>),
    Every(i128),
    OneTwoFive(i128),
    PowersOfTen(i128),
}

impl Rungs {
    fn of(view: &View, ladder: &Ladder) -> Result<Rungs, Refused> {
        let scale = view.metric.scale;
        let is_gauge = view.metric.kind() == metric::Kind::Gauge;
        let rung = |text: &str, any: bool| match decimal::threshold(text, scale) {
            Ok(rung) if any || rung > 0 => Ok(rung),
            _ => Err(Refused::form(Reason::ThresholdInvalid)),
        };
        let one = 10_i128.pow(scale as u32);
        Ok(match ladder {
            Ladder::Thresholds(list) => {
                let rungs: Result<BTreeSet<i128>, Refused> =
                    list.values.iter().map(|text| rung(text, is_gauge)).collect();
                Rungs::List(rungs?.into_iter().collect())
            }
            Ladder::Every(text) => Rungs::Every(rung(text, false)?),
            Ladder::Named(named) => {
                match list_milestones_request::NamedLadder::try_from(*named).expect("it is known") {
                    list_milestones_request::NamedLadder::PowersOfTen => Rungs::PowersOfTen(one),
                    _ => Rungs::OneTwoFive(one),
                }
            }
        })
    }

    /// The rung at a place, from 1.
    fn rung(&self, ordinal: usize) -> Option<i128> {
        let place = ordinal - 1;
        match self {
            Rungs::List(list) => list.get(place).copied(),
            Rungs::Every(every) => Some(every * ordinal as i128),
            Rungs::PowersOfTen(one) => Some(one * 10_i128.pow(place as u32)),
            Rungs::OneTwoFive(one) => Some(one * [1, 2, 5][place % 3] * 10_i128.pow(place as u32 / 3)),
        }
    }
}
