//! `milepost total`, `range`, `cumulative`, `milestones` in every format.

use crate::served::Served;

const METRIC: &str = "govuk-pay/payments";

/// Four weeks, of which one is missing: 1, 12, 1000, -, 2000.
fn payments() -> Served {
    let served = Served::with(&[METRIC, "--kind", "delta", "--period", "P1W", "--unit", "{payment}"]);
    served.ok(&["push", METRIC, "2016-08-29=1", "2016-09-05=12", "2016-09-12=1,000", "2016-09-26=2k"]);
    served
}

fn messages() -> Served {
    let served =
        Served::with(&["govuk-notify/messages", "--kind", "delta", "--period", "P1D", "--labels", "channel,kind"]);
    for (channel, kind, points) in [
        ("email", "live", ["2020-03-28=10", "2020-03-29=20"]),
        ("email", "test", ["2020-03-28=500", "2020-03-29=500"]),
        ("text", "live", ["2020-03-28=1", "2020-03-29=2"]),
    ] {
        let labels = [format!("channel={channel}"), format!("kind={kind}")];
        let push =
            ["push", "govuk-notify/messages", points[0], points[1], "--label", &labels[0], "--label", &labels[1]];
        served.ok(&push);
    }
    served
}

#[test]
fn a_total_now_and_at_a_date() {
    let served = payments();
    assert_eq!(
        served.ok(&["total", METRIC]),
        "\
govuk-pay/payments, total, in {payment}; dates in UTC

total
─────
3,013

Incomplete: 4 of 5 expected periods, none for 2016-09-19 to 2016-09-26; complete up to 2016-09-19.
Overdue: the last point is of 2016-09-26.
Revision 2, judged at DATE.
"
    );
    assert_eq!(
        served.ok(&["total", METRIC, "--at", "2016-09-14"]),
        "\
govuk-pay/payments, total before 2016-09-14, in {payment}; dates in UTC

total  marks
─────  ──────────
1,013  mid-period

mid-period: counts a whole period that ends later.

Complete: all 3 expected periods, up to 2016-09-19.
Overdue: the last point is of 2016-09-12.
Revision 2, judged at DATE.
"
    );
    // Midnight in Auckland on the 5th is noon of the 4th: only the first week began before it.
    assert_eq!(
        served.ok(&["total", METRIC, "--at", "2016-09-05", "--zone", "Pacific/Auckland", "-o", "csv"]),
        "total,marks\n1,MID_PERIOD\n"
    );
    assert_eq!(
        served.ok(&["total", METRIC, "--at", "2016-09-05T00:00:00.000000001Z", "-o", "csv"]),
        "total,marks\n13,MID_PERIOD\n"
    );
    let json = served.ok(&["total", METRIC, "--at", "2016-09-05", "--output", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(value["totals"], serde_json::json!([{"total": "1"}]));
    assert_eq!(value["answer"]["interval"]["endTime"], "2016-09-05T00:00:00Z");
    assert_eq!(value["answer"]["revision"], "2");
    assert_eq!(
        served.ok(&["total", METRIC, "--at", "2016-08-29", "-o", "csv"]),
        "total,marks\n,\n",
        "absent is not zero"
    );
}

#[test]
fn a_total_as_of_a_revision_and_a_time() {
    let served = payments();
    served.ok(&["push", METRIC, "2016-08-29=3"]);
    assert_eq!(served.ok(&["total", METRIC, "-o", "csv"]), "total,marks\n3015,\n");
    assert_eq!(served.ok(&["total", METRIC, "-o", "csv", "--as-of", "2"]), "total,marks\n3013,\n");
    assert_eq!(served.ok(&["total", METRIC, "-o", "csv", "--as-of", "2016-10-01"]), "total,marks\n,\n");
    assert!(served.refused(&["total", METRIC, "--as-of", "99"]).contains("[FAILED_PRECONDITION AS_OF_IN_FUTURE]"));
    assert!(served.refused(&["total", METRIC, "--as-of", "2200-01-01"]).contains("AS_OF_IN_FUTURE"));
}

#[test]
fn totals_by_group_and_without_test_traffic() {
    let served = messages();
    let total = |more: &[&str]| served.ok(&[&["total", "govuk-notify/messages", "-o", "csv"], more].concat());
    assert_eq!(total(&[]), "total,marks\n1033,\n");
    assert_eq!(total(&["--label", "kind!=test"]), "total,marks\n33,\n");
    assert_eq!(total(&["--label", "channel=email", "--label", "kind=live"]), "total,marks\n30,\n");
    assert_eq!(
        total(&["--label", "channel=email", "--label", "channel=text", "--label", "kind=live"]),
        "total,marks\n33,\n"
    );
    assert_eq!(
        total(&["--group-by", "kind", "--group-by", "channel"]),
        "kind,channel,total,marks\nlive,email,30,\nlive,text,3,\ntest,email,1000,\n"
    );
    assert_eq!(total(&["--group-by", "kind,channel"]), total(&["--group-by", "kind", "--group-by", "channel"]));
    let table = served.ok(&["total", "govuk-notify/messages", "--group-by", "channel"]);
    assert!(table.contains("channel  total\n───────  ─────\nemail    1,030\ntext         3\n"), "{table}");
    assert!(table.contains("channel=email: overdue"), "{table}");
    assert!(served.refused(&["total", "govuk-notify/messages", "--group-by", "chanel"]).contains("LABEL_UNKNOWN"));
}

#[test]
fn flows_by_window() {
    let served = payments();
    assert_eq!(
        served.ok(&["range", METRIC, "--by", "month", "--from", "2016-08-01", "--to", "2016-12-01"]),
        "\
govuk-pay/payments by month, in {payment}; dates in UTC

from        to           flow  points  marks
──────────  ──────────  ─────  ──────  ─────────────────────
2016-08-01  2016-09-01      1       1  straddled
2016-09-01  2016-10-01  3,012       3  straddled, incomplete
2016-10-01  2016-11-01              0  straddled, incomplete
2016-11-01  2016-12-01              0  incomplete

straddled: a period or a step lies across an edge; it counts in one window only.
incomplete: an expected period is missing.

Incomplete: 4 of 14 expected periods, none for 2016-09-19 to 2016-09-26, 2016-10-03 to 2016-12-05; complete up to 2016-09-19.
Overdue: the last point is of 2016-09-26.
Revision 2, judged at DATE.
"
    );
    assert_eq!(
        served
            .ok(&["range", METRIC, "--by", "2 weeks", "--zone", "Europe/London", "--fill", "zero", "-o", "csv"])
            .lines()
            .map(|line| line.rsplit_once(',').expect("marks").0)
            .collect::<Vec<_>>(),
        [
            "start_time,end_time,flow,point_count",
            "2016-08-22T00:00:00+01:00,2016-09-05T00:00:00+01:00,1,1",
            "2016-09-05T00:00:00+01:00,2016-09-19T00:00:00+01:00,1012,2",
            "2016-09-19T00:00:00+01:00,2016-10-03T00:00:00+01:00,2000,1",
        ]
    );
    let one = served.ok(&["range", METRIC, "--from", "2016-09-05"]);
    assert!(one.contains("from         flow  points"), "one window, without a blank column: {one}");
    let usage = served.run(&["range", METRIC, "--year-start", "04-06"]);
    assert_eq!(usage.code, Some(2), "{}", usage.err);
    let empty = served.refused(&["range", METRIC, "--from", "2016-09-05", "--to", "2016-09-05"]);
    assert!(empty.contains("INTERVAL_EMPTY"), "{empty}");
}

#[test]
fn a_day_of_23_hours_is_a_day() {
    let served = Served::with(&["a/b", "--kind", "delta", "--period", "PT1H", "--zone", "Europe/London"]);
    served.ok(&[
        "push",
        "a/b",
        "2020-03-28T23:00:00Z=1",
        "2020-03-29T00:00:00Z=2",
        "2020-03-29T22:00:00Z=4",
        "2020-03-29T23:00:00Z=8",
    ]);
    assert_eq!(
        served
            .ok(&["range", "a/b", "--by", "day", "-o", "csv"])
            .lines()
            .skip(1)
            .map(|line| line.rsplit_once(',').expect("marks").0)
            .collect::<Vec<_>>(),
        [
            "2020-03-28T00:00:00+00:00,2020-03-29T00:00:00+00:00,1,1",
            "2020-03-29T00:00:00+00:00,2020-03-30T00:00:00+01:00,6,2",
            "2020-03-30T00:00:00+01:00,2020-03-31T00:00:00+01:00,8,1",
        ]
    );
}

#[test]
fn totals_at_each_windows_end() {
    let served = payments();
    assert_eq!(
        served.ok(&["cumulative", METRIC, "--by", "week", "--output", "csv"]),
        "\
start_time,end_time,flow,total,point_count,marks
2016-08-29T00:00:00Z,2016-09-05T00:00:00Z,1,1,1,
2016-09-05T00:00:00Z,2016-09-12T00:00:00Z,12,13,1,
2016-09-12T00:00:00Z,2016-09-19T00:00:00Z,1000,1013,1,
2016-09-19T00:00:00Z,2016-09-26T00:00:00Z,,1013,0,INCOMPLETE
2016-09-26T00:00:00Z,2016-10-03T00:00:00Z,2000,3013,1,
"
    );
    assert_eq!(
        served.ok(&["cumulative", METRIC, "--restart", "month", "--output", "csv"]),
        "\
start_time,end_time,flow,running,point_count,marks
2016-08-01T00:00:00Z,2016-09-01T00:00:00Z,1,1,1,MID_PERIOD STRADDLED RESTARTED
2016-09-01T00:00:00Z,2016-10-01T00:00:00Z,3012,3012,3,MID_PERIOD STRADDLED INCOMPLETE RESTARTED
"
    );
    let tax_years = served.ok(&["cumulative", METRIC, "--restart", "year", "--year-start", "09-06", "-o", "csv"]);
    let ends: Vec<&str> = tax_years.lines().skip(1).filter_map(|line| line.get(0..10)).collect();
    assert_eq!(ends, ["2015-09-06", "2016-09-06"]);
}

#[test]
fn milestones_with_brackets_and_what_is_next() {
    let served = payments();
    assert_eq!(
        served.ok(&["milestones", METRIC, "--thresholds", "1,10,1k,3k", "--to", "2016-10-03"]),
        "\
govuk-pay/payments, milestones, in {payment}; dates in UTC

milestone  reached                          total then  over by  since the first  since the one before
─────────  ───────────────────────────────  ──────────  ───────  ───────────────  ────────────────────
        1  after 2016-08-29, by 2016-09-05           1        0  7 days
       10  after 2016-09-05, by 2016-09-12          13        3  14 days          7 days
    1,000  after 2016-09-12, by 2016-09-19       1,013       13  21 days          7 days
    3,000  after 2016-09-26, by 2016-10-03       3,013       13  1 month 4 days   14 days

Incomplete: 4 of 5 expected periods, none for 2016-09-19 to 2016-09-26; complete up to 2016-09-19.
Overdue: the last point is of 2016-09-26.
Revision 2, judged at DATE.
"
    );
    assert_eq!(
        served.ok(&["milestones", METRIC, "--every", "1k", "-o", "csv"]),
        "\
ordinal,threshold,reached_after,reached_by,in_opening,total_before,total,overshoot,since_first_seconds,since_previous_seconds
1,1000,2016-09-12T00:00:00Z,2016-09-19T00:00:00Z,false,13,1013,13,1814400,
2,2000,2016-09-26T00:00:00Z,2016-10-03T00:00:00Z,false,1013,3013,1013,3024000,1209600
3,3000,2016-09-26T00:00:00Z,2016-10-03T00:00:00Z,false,1013,3013,13,3024000,0
"
    );
    let ladder = served.ok(&["milestones", METRIC, "--ladder", "1-2-5", "--output", "json"]);
    let value: serde_json::Value = serde_json::from_str(&ladder).expect("JSON");
    let thresholds: Vec<&str> =
        value["milestones"].as_array().expect("rows").iter().filter_map(|m| m["threshold"].as_str()).collect();
    assert_eq!(thresholds, ["1", "2", "5", "10", "20", "50", "100", "200", "500", "1000", "2000"]);
    assert_eq!(value["answer"]["groups"][0]["next"]["threshold"], "5000");
    let next = served.ok(&["milestones", METRIC, "--thresholds", "5k"]);
    assert!(next.contains("None reached yet.\n") && next.contains("Next: 5,000, 1,987 to go"), "{next}");
    let faults = served.refused(&["milestones", METRIC, "--thresholds", "0,1.5"]);
    assert!(faults.contains("for 2 faults") && faults.contains("[INVALID_ARGUMENT THRESHOLD_INVALID]"), "{faults}");
}

#[test]
fn a_milestone_in_an_opening_is_by_a_date_or_earlier() {
    let served = payments();
    served.ok(&["opening", METRIC, "2016-08-29=500", "--note", "by hand"]);
    let table = served.ok(&["milestones", METRIC, "--thresholds", "100,1000"]);
    assert!(table.contains("      100  by 2016-08-29 or earlier "), "{table}");
    assert!(table.contains("    1,000  after 2016-09-12, by 2016-09-19"), "{table}");
    assert!(!table.contains("since the first"), "nobody knows: {table}");
    assert!(table.contains("Counts an opening balance: 500 before 2016-08-29, by hand.\n"), "{table}");
}

#[test]
fn levels_of_a_gauge() {
    let served = Served::with(&["govuk-paas/apps", "--kind", "gauge", "--period", "P1D"]);
    served.ok(&["push", "govuk-paas/apps", "2020-11-02=900", "2020-11-03=1,000", "2020-11-05=950"]);
    let table = served.ok(&["range", "govuk-paas/apps", "--by", "day", "--fill", "previous"]);
    assert!(table.contains("2020-11-03  2020-11-04  1,000  1,000  1,000  1,000.000000       1"), "{table}");
    assert!(table.contains("2020-11-04  2020-11-05  1,000"), "{table}");
    assert!(table.contains("filled"), "{table}");
    let refused = served.refused(&["total", "govuk-paas/apps"]);
    assert!(refused.contains("[INVALID_ARGUMENT NOT_ADDITIVE]"), "{refused}");
}

#[test]
fn a_metric_that_never_reported_is_not_zero() {
    let served = Served::with(&["govuk-paas/requests", "--kind", "delta", "--period", "P1D"]);
    let table = served.ok(&["total", "govuk-paas/requests"]);
    assert!(table.contains("nothing counted yet\n") && table.contains("Never reported"), "{table}");
}

/// More rows than a page has are all there, once.
#[test]
fn pages_are_joined() {
    let served = Served::with(&["a/b", "--kind", "delta", "--period", "PT1M"]);
    served.ok(&["push", "a/b", "2020-01-01T00:00:00Z=1", "2020-01-09T00:00:00Z=1"]);
    let csv = served.ok(&["cumulative", "a/b", "--by", "minute", "--output", "csv"]);
    assert_eq!(csv.lines().count(), 1 + 8 * 24 * 60 + 1);
    assert!(csv.ends_with("2020-01-09T00:00:00Z,2020-01-09T00:01:00Z,1,2,1,\n"), "{}", &csv[csv.len() - 200..]);
    let mut lines: Vec<&str> = csv.lines().skip(1).collect();
    lines.dedup();
    assert!(lines.is_sorted() && lines.len() == 11_521);
    let json = served.ok(&["cumulative", "a/b", "--by", "minute", "--output", "json"]);
    assert!(!json.contains("nextPageToken"));
}
