//! `milepost push`, `opening`, `retract`, and what `points` and `changes` show of them.

use crate::served::Served;

fn payments() -> Served {
    Served::with(&["govuk-pay/payments", "--kind", "delta", "--period", "P1W", "--zone", "Europe/London"])
}

#[test]
fn a_point_is_new_then_unchanged_then_corrected() {
    let served = payments();
    assert_eq!(served.ok(&["push", "govuk-pay/payments", "2016-08-29=1"]), "1 point: 1 new. Revision 2.\n");
    assert_eq!(served.ok(&["push", "govuk-pay/payments", "2016-08-29=1"]), "1 point: 1 unchanged. Revision 2.\n");
    assert_eq!(
        served.ok(&[
            "push",
            "govuk-pay/payments",
            "2016-08-28T23:00:00Z=2",
            "2016-09-05=1,000",
            "--reason",
            "late invoices"
        ]),
        "2 points: 1 new, 1 corrected. Revision 3.\n"
    );
    assert_eq!(
        served.ok(&["points", "govuk-pay/payments"]),
        "\
govuk-pay/payments, points; dates in Europe/London

time        value
──────────  ─────
2016-08-29      2
2016-09-05  1,000

2 points. Revision 3.
"
    );
    let changes =
        served.ok(&["changes", "govuk-pay/payments", "--include-new", "--from-revision", "2", "--output", "csv"]);
    let without_time: Vec<String> = changes
        .lines()
        .map(|line| line.split(',').enumerate().filter(|(i, _)| *i != 1).map(|(_, c)| c).collect::<Vec<_>>().join(","))
        .collect();
    assert_eq!(
        without_time,
        [
            "revision,kind,metric,labels,time,old_value,new_value,who,reason",
            "3,CORRECTED,govuk-pay/payments,,2016-08-28T23:00:00Z,1,2,,late invoices",
            "3,NEW,govuk-pay/payments,,2016-09-04T23:00:00Z,,1000,,late invoices",
            "2,NEW,govuk-pay/payments,,2016-08-28T23:00:00Z,,1,,",
        ]
    );
    let corrected = served.ok(&["changes", "govuk-pay/payments", "--from-revision", "2"]);
    assert!(corrected.contains("corrected  2016-08-29    1    2  late invoices"), "{corrected}");
}

#[test]
fn an_added_value_counts_once_however_often_it_is_sent() {
    let served = payments();
    let add = ["push", "govuk-pay/payments", "2016-08-29=5", "--add", "--request-id", "pay-2016-W35"];
    assert_eq!(served.ok(&add), "1 point: 1 added. Revision 2.\n");
    assert_eq!(
        served.ok(&add),
        "1 point: 1 added. Revision 2. This request was answered before: nothing was changed now.\n"
    );
    let reused =
        served.refused(&["push", "govuk-pay/payments", "2016-08-29=6", "--add", "--request-id", "pay-2016-W35"]);
    assert!(reused.contains("[FAILED_PRECONDITION REQUEST_ID_REUSED]"), "{reused}");
    assert_eq!(served.ok(&["total", "govuk-pay/payments", "-o", "csv"]), "total,marks\n5,\n");
}

#[test]
fn a_refused_push_names_what_was_typed_a_line_a_fault() {
    let served = payments();
    let one = served.refused(&["push", "govuk-pay/payments", "2016-08-30=1"]);
    assert!(one.starts_with("error: 2016-08-30=1: series[0].points[0].date: "), "{one}");
    assert!(one.ends_with("  [INVALID_ARGUMENT MISALIGNED]\n"), "{one}");
    assert_eq!(one.lines().count(), 2, "{one}");

    let two = served.refused(&["push", "govuk-pay/payments", "2016-08-29=1", "2016-08-30=1", "2016-09-05=1.5"]);
    let lines: Vec<&str> = two.lines().collect();
    assert_eq!(lines[0], "error: refused as a whole, for 2 faults:");
    assert!(lines[1].starts_with("  2016-08-30=1: series[0].points[1].date: "), "{two}");
    assert!(lines[2].starts_with("  2016-09-05=1.5: series[0].points[2].value: "), "{two}");
    assert_eq!(lines[3], "  [INVALID_ARGUMENT MISALIGNED]");
    assert_eq!(served.ok(&["points", "govuk-pay/payments", "-o", "csv"]), "time,end_time,value,start_time,restated\n");

    let labels = served.refused(&["push", "govuk-pay/payments", "2016-08-29=1", "--label", "channel=email"]);
    assert!(labels.contains("LABELS_DIFFER"), "{labels}");
    let unknown = served.refused(&["push", "govuk-pay/payment", "2016-08-29=1"]);
    assert!(unknown.contains("[NOT_FOUND METRIC_NOT_FOUND]"), "{unknown}");
}

#[test]
fn validate_only_changes_nothing_and_several_periods_are_one_point() {
    let served = payments();
    assert_eq!(
        served.ok(&["push", "govuk-pay/payments", "2016-08-29=1", "--validate-only"]),
        "Checked, nothing written: 1 point: 1 new. Revision 1.\n"
    );
    assert_eq!(
        served.ok(&["push", "govuk-pay/payments", "2016-12-19=30", "--end", "2017-01-09"]),
        "1 point: 1 new. Revision 2.\n"
    );
    let inside = served.refused(&["push", "govuk-pay/payments", "2016-12-26=1"]);
    assert!(inside.contains("[FAILED_PRECONDITION PERIODS_OVERLAP]"), "{inside}");
    let many = served.run(&["push", "govuk-pay/payments", "2017-01-09=1", "2017-01-16=1", "--end", "2017-01-30"]);
    assert_eq!(many.code, Some(2), "{}", many.err);
}

#[test]
fn a_published_total_begins_again_and_is_put_right_downwards() {
    let served = Served::with(&["govuk-pay/page-total", "--kind", "cumulative"]);
    served.ok(&["push", "govuk-pay/page-total", "2026-08-10=142.3m", "2026-08-17=142.9m", "--start", "2016-08-29"]);
    let fell = served.refused(&["push", "govuk-pay/page-total", "2026-08-24=142.8m", "--start", "2016-08-29"]);
    assert!(fell.contains("[FAILED_PRECONDITION LEVEL_FELL]"), "{fell}");
    served.ok(&["push", "govuk-pay/page-total", "2026-08-24=142.8m", "--start", "2016-08-29", "--restated"]);
    served.ok(&["push", "govuk-pay/page-total", "2026-09-07=0.5m", "--start", "2026-08-24"]);
    assert_eq!(served.ok(&["total", "govuk-pay/page-total", "-o", "csv"]), "total,marks\n143300000,\n");
    assert_eq!(
        served.ok(&["points", "govuk-pay/page-total", "--from", "2026-08-17"]),
        "\
govuk-pay/page-total, points; dates in UTC

time              value  counted since  restated
──────────  ───────────  ─────────────  ────────
2026-08-17  142,900,000  2016-08-29
2026-08-24  142,800,000  2016-08-29     restated
2026-09-07      500,000  2026-08-24

3 points. Revision 4.
"
    );
}

#[test]
fn an_opening_counts_and_goes_again() {
    let served = payments();
    served.ok(&["push", "govuk-pay/payments", "2016-09-05=10"]);
    assert_eq!(
        served.ok(&["opening", "govuk-pay/payments", "2016-09-05=14.1k", "--note", "from the annual report"]),
        "Opening balance set. Revision 3.\n"
    );
    let total = served.ok(&["total", "govuk-pay/payments"]);
    assert!(total.contains("14,110") && total.contains("14,100 before 2016-09-05, from the annual report"), "{total}");
    let before = served.refused(&["opening", "govuk-pay/payments", "2016-09-12=1"]);
    assert!(before.contains("[FAILED_PRECONDITION BEFORE_OPENING]"), "{before}");
    assert_eq!(served.ok(&["opening", "govuk-pay/payments", "--remove"]), "Opening balance removed. Revision 4.\n");
    assert_eq!(served.ok(&["total", "govuk-pay/payments", "-o", "csv"]), "total,marks\n10,\n");
    assert_eq!(served.ok(&["total", "govuk-pay/payments", "-o", "csv", "--as-of", "3"]), "total,marks\n14110,\n");
}

#[test]
fn points_are_taken_back_by_time_and_by_interval() {
    let served = payments();
    served.ok(&["push", "govuk-pay/payments", "2016-08-29=1", "2016-09-05=2", "2016-09-12=4", "2016-09-19=8"]);
    assert_eq!(
        served.ok(&["retract", "govuk-pay/payments", "2016-08-29", "2016-10-03", "--reason", "test traffic"]),
        "1 point taken back, 1 point not there. Revision 3.\n"
    );
    assert_eq!(
        served.ok(&["retract", "govuk-pay/payments", "--from", "2016-09-12", "--to", "2016-09-19", "--reason", "x"]),
        "1 point taken back. Revision 4.\n"
    );
    assert_eq!(served.ok(&["total", "govuk-pay/payments", "-o", "csv"]), "total,marks\n10,\n");
    let changes = served.ok(&["changes", "govuk-pay/payments", "--from-revision", "3"]);
    assert!(changes.contains("retracted  2016-09-12    4       x"), "{changes}");
    let again = ["retract", "govuk-pay/payments", "2016-09-05", "--reason", "x", "--request-id", "r1"];
    assert_eq!(served.ok(&again), "1 point taken back. Revision 5.\n");
    assert!(served.ok(&again).ends_with("This request was answered before: nothing was changed now.\n"));
}
