//! Two answers made comparable, and what differs between them for a reader.

use milepost::proto::v1::{window::Mark, *};

use crate::{
    ask::Reply,
    oracle::{
        catalogue::{default_end, resolved},
        nanos, timestamp,
    },
};

/// The same answer with what is free to differ taken out: the order of marks and of openings, a
/// definition's text, an estimate, defaults said or not said.
pub fn normal(reply: Reply, metric: Option<&Metric>) -> Reply {
    match reply {
        Reply::Create(r) => Reply::Create(CreateMetricResponse { metric: r.metric.as_ref().map(resolved), ..r }),
        Reply::Metric(r) => Reply::Metric(GetMetricResponse { metric: r.metric.as_ref().map(resolved) }),
        Reply::Metrics(r) => {
            let metrics = r.metrics.iter().map(resolved).collect();
            Reply::Metrics(ListMetricsResponse { metrics, ..r })
        }
        Reply::Update(r) => Reply::Update(UpdateMetricResponse { metric: r.metric.as_ref().map(resolved), ..r }),
        Reply::Total(mut r) => {
            r.answer.iter_mut().for_each(answer);
            r.totals.iter_mut().for_each(|total| marks(&mut total.marks));
            Reply::Total(r)
        }
        Reply::Range(mut r) => {
            r.answer.iter_mut().for_each(answer);
            r.windows.iter_mut().for_each(window);
            Reply::Range(r)
        }
        Reply::Cumulative(mut r) => {
            r.answer.iter_mut().for_each(answer);
            r.windows.iter_mut().for_each(window);
            Reply::Cumulative(r)
        }
        Reply::Milestones(mut r) => {
            r.answer.iter_mut().for_each(answer);
            Reply::Milestones(r)
        }
        Reply::Changes(mut r) => {
            for change in &mut r.changes {
                if change.kind() == change::Kind::Metric {
                    change.old_value.iter_mut().chain(&mut change.new_value).for_each(String::clear);
                }
            }
            Reply::Changes(r)
        }
        Reply::Read(mut head, mut series) => {
            answer(&mut head);
            head.groups.clear();
            for point in series.iter_mut().flat_map(|(_, points)| points) {
                said_whole(point, metric);
            }
            Reply::Read(head, series)
        }
        other => other,
    }
}

/// What can be said of an estimate without making one: there is one, or the reason why not, and its times are in order.
pub fn check_estimates(reply: &Reply) {
    let Reply::Milestones(ListMilestonesResponse { answer: Some(answer), .. }) = reply else { return };
    for next in answer.groups.iter().filter_map(|facts| facts.next.as_ref()) {
        match next.when.as_ref().expect("an estimate, or why there is none") {
            next_milestone::When::NoEstimateReason(reason) => assert!(!reason.is_empty()),
            next_milestone::When::Estimate(estimate) => {
                let of = |at: &Option<prost_types::Timestamp>| at.as_ref().map(nanos);
                let (time, window) = (of(&estimate.time).expect("a time"), estimate.window.as_ref().expect("a window"));
                assert!(!estimate.method.is_empty());
                assert!(of(&window.start_time) < of(&window.end_time), "{estimate:?}");
                assert!(of(&estimate.earliest).expect("an earliest") <= time, "{estimate:?}");
                assert!(of(&estimate.latest).is_none_or(|latest| latest >= time), "{estimate:?}");
            }
        }
    }
}

/// A point with its end said, whether it is the default or not.
fn said_whole(point: &mut Point, metric: Option<&Metric>) {
    let (Some(metric), Some(point::At::Time(time)), None) = (metric, &point.at, &point.end) else {
        return;
    };
    let at = nanos(time);
    let end = default_end(metric, at);
    if end > at {
        point.end = Some(point::End::EndTime(timestamp(end)));
    }
}

fn answer(answer: &mut Answer) {
    for facts in &mut answer.groups {
        if let Some(next) = &mut facts.next {
            next.when = None;
        }
        facts.openings.get_or_insert_default();
        let openings = facts.openings.as_mut().expect("it is there");
        if openings.count == 0 {
            openings.sum = String::new();
        }
        openings.first.sort_by(|a, b| a.labels.cmp(&b.labels));
        openings.first.truncate(20);
    }
}

fn window(window: &mut Window) {
    marks(&mut window.marks);
    if window.levels == Some(GaugeLevels::default()) {
        window.levels = None;
    }
}

fn marks(marks: &mut [i32]) {
    assert!(marks.iter().all(|mark| Mark::try_from(*mark).is_ok()));
    marks.sort_unstable();
}

/// What differs, line by line, with a few lines before.
pub fn diff(expected: &impl std::fmt::Debug, actual: &impl std::fmt::Debug) -> String {
    let (expected, actual) = (format!("{expected:#?}"), format!("{actual:#?}"));
    let (expected, actual): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let same = expected.iter().zip(&actual).take_while(|(a, b)| a == b).count();
    let tail = expected[same..].iter().rev().zip(actual[same..].iter().rev());
    let tail = tail.take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    for line in &expected[same.saturating_sub(12)..same] {
        text.push_str(&format!("    {line}\n"));
    }
    for (sign, lines) in [("oracle ", &expected), ("service", &actual)] {
        for line in lines[same..lines.len() - tail].iter().take(60) {
            text.push_str(&format!("{sign} {line}\n"));
        }
    }
    for line in &expected[expected.len() - tail.min(12)..] {
        text.push_str(&format!("    {line}\n"));
    }
    text
}
