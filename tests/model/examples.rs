//! The oracle against examples counted by hand, so that it is not merely another opinion.

use std::collections::BTreeMap;

use milepost::proto::v1::*;

use crate::oracle::{Nanos, Oracle, timestamp};

const NOW: i64 = 1_800_000_000_000_000_000;

fn at(text: &str) -> prost_types::Timestamp {
    timestamp(instant(text))
}

fn instant(text: &str) -> Nanos {
    text.parse::<jiff::Timestamp>().unwrap().as_nanosecond()
}

fn metric(kind: metric::Kind, period: &str, labels: &[&str]) -> Oracle {
    let mut oracle = Oracle::new();
    let metric = Metric {
        name: "c/m".into(),
        kind: kind as i32,
        period: period.into(),
        label_names: labels.iter().map(|l| (*l).into()).collect(),
        ..Metric::default()
    };
    oracle.create_metric(&CreateMetricRequest { metric: Some(metric) }, NOW).unwrap();
    oracle
}

fn series(labels: &[(&str, &str)], points: Vec<Point>) -> WritePointsRequest {
    let labels: BTreeMap<_, _> = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let series = SeriesPoints { metric: "c/m".into(), labels, points, columns: None };
    WritePointsRequest { series: vec![series], ..WritePointsRequest::default() }
}

fn point(date: &str, value: &str) -> Point {
    let at = Some(point::At::Date(date.into()));
    Point { at, value: value.into(), ..Point::default() }
}

fn selection() -> Option<Selection> {
    Some(Selection { metric: "c/m".into(), ..Selection::default() })
}

fn total(oracle: &Oracle, date: &str) -> Option<String> {
    let at = Some(get_total_request::At::AtDate(date.into()));
    let request = GetTotalRequest { selection: selection(), at, ..GetTotalRequest::default() };
    oracle.get_total(&request, NOW).unwrap().totals[0].total.clone()
}

fn flows(oracle: &Oracle, unit: calendar::Unit, fill: query_range_request::Fill) -> Vec<Window> {
    let calendar = Calendar { unit: unit as i32, ..Calendar::default() };
    let request = QueryRangeRequest {
        selection: selection(),
        calendar: Some(calendar),
        fill: fill as i32,
        ..QueryRangeRequest::default()
    };
    oracle.query_range(&request, NOW).unwrap().windows
}

fn milestones(oracle: &Oracle, thresholds: &[&str]) -> ListMilestonesResponse {
    let values = thresholds.iter().map(|t| (*t).into()).collect();
    let ladder = Some(list_milestones_request::Ladder::Thresholds(ThresholdList { values }));
    let request = ListMilestonesRequest { selection: selection(), ladder, ..ListMilestonesRequest::default() };
    oracle.list_milestones(&request, NOW).unwrap()
}

#[test]
fn a_total_counts_what_happened_before() {
    let mut oracle = metric(metric::Kind::Delta, "P1D", &[]);
    let points = vec![point("2024-01-01", "3"), point("2024-01-02", "-1"), point("2024-01-04", "5")];
    oracle.write_points(&series(&[], points), NOW).unwrap();
    assert_eq!(total(&oracle, "2024-01-01"), None);
    assert_eq!(total(&oracle, "2024-01-02").as_deref(), Some("3"));
    assert_eq!(total(&oracle, "2024-01-04").as_deref(), Some("2"));
    assert_eq!(total(&oracle, "2024-01-05").as_deref(), Some("7"));
    let windows = flows(&oracle, calendar::Unit::Day, query_range_request::Fill::Zero);
    let flow: Vec<_> = windows.iter().map(|w| w.flow.as_deref().unwrap()).collect();
    assert_eq!(flow, ["3", "-1", "0", "5"]);
    assert_eq!(windows[2].marks, [window::Mark::Incomplete as i32, window::Mark::Filled as i32]);
    let reached = milestones(&oracle, &["3", "7", "8"]);
    let rows = &reached.milestones;
    assert_eq!(rows[1].reached_after, Some(at("2024-01-04T00:00:00Z")));
    assert_eq!(rows[1].reached_by, Some(at("2024-01-05T00:00:00Z")));
    assert_eq!(rows[1].total_before.as_deref(), Some("2"));
    assert_eq!(rows[1].since_first.as_ref().unwrap().seconds, 4 * 86_400);
    let facts = &reached.answer.unwrap().groups[0];
    assert_eq!(facts.next.as_ref().unwrap().remaining, "1");
    let coverage = facts.coverage.as_ref().unwrap();
    assert_eq!((coverage.expected_periods, coverage.present_periods), (4, 3));
    assert_eq!(coverage.complete_through, Some(at("2024-01-03T00:00:00Z")));
    assert!(coverage.overdue);
}

#[test]
fn a_report_of_midnight_belongs_to_the_day_that_ended() {
    let mut oracle = metric(metric::Kind::Cumulative, "P1D", &[]);
    let points = vec![point("2024-01-02", "10"), point("2024-01-03", "12")];
    oracle.write_points(&series(&[], points), NOW).unwrap();
    assert_eq!(total(&oracle, "2024-01-01"), None);
    assert_eq!(total(&oracle, "2024-01-02").as_deref(), Some("10"));
    let windows = flows(&oracle, calendar::Unit::Day, query_range_request::Fill::Unspecified);
    let flow: Vec<_> = windows.iter().map(|w| (w.flow.as_deref(), w.point_count)).collect();
    assert_eq!(flow, [(None, 1), (Some("2"), 1)]);
    assert_eq!(windows[0].start_time, Some(at("2024-01-01T00:00:00Z")));
    let rows = milestones(&oracle, &["10", "11"]).milestones;
    assert!(rows[0].in_opening && rows[0].reached_after.is_none());
    assert_eq!(rows[1].reached_after, Some(at("2024-01-02T00:00:00Z")));
    assert_eq!(rows[1].reached_by, Some(at("2024-01-03T00:00:00Z")));
    assert_eq!(rows[1].since_previous.as_ref().unwrap().seconds, 86_400);
    assert_eq!(rows[1].since_first, None);
}

#[test]
fn a_count_that_begins_again_carries_the_total_on() {
    let mut oracle = metric(metric::Kind::Cumulative, "P1D", &[]);
    let start = |date: &str, value: &str, start: &str| Point { start_time: Some(at(start)), ..point(date, value) };
    let points =
        vec![start("2024-01-02", "10", "2024-01-01T06:00:00Z"), start("2024-01-04", "4", "2024-01-03T00:00:00Z")];
    oracle.write_points(&series(&[], points), NOW).unwrap();
    assert_eq!(total(&oracle, "2024-01-04").as_deref(), Some("14"));
    let rows = milestones(&oracle, &["1", "14"]).milestones;
    assert_eq!(rows[0].reached_after, Some(at("2024-01-01T06:00:00Z")));
    assert_eq!(rows[1].reached_after, Some(at("2024-01-03T00:00:00Z")));
    assert_eq!(rows[1].since_first.as_ref().unwrap().seconds, 66 * 3_600);
    let refused = oracle.write_points(&series(&[], vec![point("2024-01-05", "3")]), NOW);
    assert_eq!(refused.unwrap_err().reason, Reason::LevelFell);
    let restated = Point { restated: true, ..point("2024-01-05", "3") };
    oracle.write_points(&series(&[], vec![restated]), NOW).unwrap();
    assert_eq!(total(&oracle, "2024-01-05").as_deref(), Some("13"));
}

#[test]
fn what_was_known_stays_known() {
    let mut oracle = metric(metric::Kind::Delta, "P1D", &[]);
    oracle.write_points(&series(&[], vec![point("2024-01-01", "3")]), NOW).unwrap();
    let corrected = oracle.write_points(&series(&[], vec![point("2024-01-01", "4")]), NOW).unwrap();
    assert_eq!((corrected.revision, corrected.corrected_count), (3, 1));
    for (revision, expected) in [(1, None), (2, Some("3")), (3, Some("4"))] {
        let as_of = Some(AsOf { as_of: Some(as_of::AsOf::Revision(revision)) });
        let request = GetTotalRequest { selection: selection(), as_of, ..Default::default() };
        let total = oracle.get_total(&request, NOW).unwrap().totals[0].total.clone();
        assert_eq!(total.as_deref(), expected);
    }
}

#[test]
fn faults_of_the_state_are_named() {
    let mut oracle = metric(metric::Kind::Delta, "P1D", &[]);
    let long = Point { end: Some(point::End::EndDate("2024-01-08".into())), ..point("2024-01-01", "3") };
    oracle.write_points(&series(&[], vec![long]), NOW).unwrap();
    let refused = oracle.write_points(&series(&[], vec![point("2024-01-07", "1")]), NOW);
    assert_eq!(refused.unwrap_err().reason, Reason::PeriodsOverlap);
    let opening = SetOpeningBalanceRequest {
        metric: "c/m".into(),
        at: Some(set_opening_balance_request::At::Date("2024-01-02".into())),
        value: Some("5".into()),
        ..Default::default()
    };
    let refused = oracle.set_opening_balance(&opening, NOW);
    assert_eq!(refused.unwrap_err().reason, Reason::BeforeOpening);
    let mut request = series(&[], vec![point("2024-01-01", "9223372036854775807")]);
    request.set_mode(write_points_request::Mode::Add);
    request.request_id = "a".into();
    let refused = oracle.write_points(&request, NOW);
    assert_eq!(refused.unwrap_err().reason, Reason::SumOutOfRange);
}

/// The public running totals of a payment service: its milestones are known.
#[test]
fn the_payments_milestones_are_those_published() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/pay_cumulative.csv");
    let Ok(mut file) = csv::Reader::from_path(path) else {
        println!("skipped: no data folder");
        return;
    };
    let mut oracle = metric(metric::Kind::Cumulative, "P1W", &[]);
    for row in file.records() {
        let row = row.unwrap();
        let point = Point { restated: true, ..point(&row[1], &row[2]) };
        oracle.write_points(&series(&[], vec![point]), NOW).unwrap();
    }
    let answer = milestones(&oracle, &["15m", "20m", "25m", "50m", "75m", "100m", "125m"]);
    let days: Vec<String> = answer
        .milestones
        .iter()
        .map(|row| {
            let by = row.reached_by.as_ref().unwrap();
            jiff::Timestamp::from_second(by.seconds).unwrap().to_string()[..10].to_owned()
        })
        .collect();
    assert_eq!(
        days,
        ["2021-04-26", "2021-09-06", "2022-01-17", "2023-03-06", "2024-02-26", "2025-02-17", "2026-01-19"]
    );
    assert_eq!(answer.milestones[3].reached_after, Some(at("2023-02-13T00:00:00Z")));
}
