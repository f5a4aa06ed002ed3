//! `milepost metric ...`, `components`, `series`.

use crate::served::Served;

#[test]
fn a_metric_is_made_shown_listed_changed_and_deleted() {
    let served = Served::new();
    assert_eq!(
        served.ok(&["metric", "list"]),
        "No metrics yet. Make one: milepost metric create COMPONENT/METRIC --kind delta --period P1D\n"
    );
    assert_eq!(served.ok(&["components"]), "No components yet.\n");

    let create =
        ["metric", "create", "govuk-pay/payments", "--kind", "delta", "--period", "P1W", "--unit", "{payment}"];
    let sheet = "\
govuk-pay/payments
  kind           delta
  unit           {payment}
  scale          0
  period         P1W
  zone           UTC
";
    assert_eq!(served.ok(&create), sheet);
    assert_eq!(served.ok(&create), sheet, "an equal definition again answers the metric that is there");
    assert_eq!(served.ok(&["metric", "get", "govuk-pay/payments"]), sheet);

    let full = served.ok(&[
        "metric",
        "create",
        "govuk-verify/logins",
        "--kind",
        "DELTA",
        "--period",
        "P1W",
        "--labels",
        "channel,organisation",
        "--scale",
        "2",
        "--zone",
        "Europe/London",
        "--week-start",
        "sunday",
        "--year-start",
        "04-06",
        "--display-name",
        "Logins",
        "--description",
        "Logins in a week",
        "--overdue-after",
        "21d",
    ]);
    assert_eq!(
        full,
        "\
govuk-verify/logins
  display name   Logins
  description    Logins in a week
  kind           delta
  scale          2
  labels         channel, organisation
  period         P1W
  zone           Europe/London
  week start     sunday
  year start     04-06
  overdue after  21d
"
    );
    assert_eq!(
        served.ok(&["metric", "list"]),
        "\
metric               kind   period  unit       scale  labels                 zone           display name
───────────────────  ─────  ──────  ─────────  ─────  ─────────────────────  ─────────────  ────────────
govuk-pay/payments   delta  P1W     {payment}      0                         UTC
govuk-verify/logins  delta  P1W                    2  channel, organisation  Europe/London  Logins
"
    );
    assert_eq!(
        served.ok(&["metric", "list", "govuk-pay", "--output", "csv"]),
        "name,kind,unit,scale,label_names,period,time_zone,week_start,year_start,display_name,description\n\
         govuk-pay/payments,DELTA,{payment},0,,P1W,UTC,MONDAY,01-01,,\n"
    );
    assert_eq!(
        served.ok(&["components", "-o", "csv"]),
        "name,metric_count,revision\ngovuk-pay,1,1\ngovuk-verify,1,1\n"
    );

    let update = served.ok(&["metric", "update", "govuk-verify/logins", "--display-name", "", "--no-overdue-after"]);
    assert!(!update.contains("display name") && !update.contains("overdue after"), "{update}");
    assert!(update.contains("description    Logins in a week"), "what was not said stays: {update}");

    assert_eq!(served.ok(&["metric", "delete", "govuk-verify/logins"]), "govuk-verify/logins deleted. Revision 3.\n");
    let gone = served.refused(&["metric", "get", "govuk-verify/logins"]);
    assert!(gone.contains("govuk-verify/logins") && gone.contains("[NOT_FOUND METRIC_NOT_FOUND]"), "{gone}");
}

#[test]
fn what_cannot_be_is_refused_with_the_fields() {
    let served = Served::with(&["govuk-pay/payments", "--kind", "delta", "--period", "P1W"]);
    let other = served.refused(&["metric", "create", "govuk-pay/payments", "--kind", "gauge"]);
    assert!(other.contains("kind, period") && other.contains("[ALREADY_EXISTS METRIC_DIFFERS]"), "{other}");
    let name = served.refused(&["metric", "create", "Payments", "--kind", "delta"]);
    assert!(name.contains("metric.name") && name.contains("INVALID_ARGUMENT"), "{name}");
    let period =
        served.refused(&["metric", "create", "a/b", "--kind", "delta", "--period", "P2W", "--unit", &"x".repeat(65)]);
    assert!(period.starts_with("error: refused as a whole, for 2 faults:\n"), "{period}");
    assert_eq!(period.lines().count(), 4, "a line a fault: {period}");

    let nothing = served.run(&["metric", "update", "govuk-pay/payments"]);
    assert_eq!(nothing.code, Some(2), "{}", nothing.err);

    served.ok(&["push", "govuk-pay/payments", "2016-08-29=1"]);
    let used = served.refused(&["metric", "update", "govuk-pay/payments", "--scale", "2"]);
    assert!(used.contains("METRIC_IN_USE"), "{used}");
    let kept = served.refused(&["metric", "delete", "govuk-pay/payments"]);
    assert!(kept.contains("METRIC_IN_USE"), "{kept}");
    assert!(served.ok(&["metric", "delete", "govuk-pay/payments", "--force"]).contains("deleted"));
}

#[test]
fn series_are_listed_with_what_they_have() {
    let served = Served::with(&["govuk-notify/messages", "--kind", "delta", "--period", "P1D", "--labels", "channel"]);
    assert_eq!(served.ok(&["series", "govuk-notify/messages"]), "govuk-notify/messages has no series yet.\n");
    served.ok(&["push", "govuk-notify/messages", "2016-05-30=2000", "2016-05-31=1", "--label", "channel=email"]);
    served.ok(&["opening", "govuk-notify/messages", "2016-06-01=5k", "--label", "channel=text", "--note", "by hand"]);
    assert_eq!(
        served.ok(&["series", "govuk-notify/messages"]),
        "\
series         points  first point  last point  opening balance
─────────────  ──────  ───────────  ──────────  ───────────────────────
channel=email       2  2016-05-30   2016-05-31
channel=text        0                           5,000 before 2016-06-01

2 series; dates in UTC.
"
    );
    assert_eq!(
        served.ok(&["series", "govuk-notify/messages", "--label", "channel!=email", "--output", "csv"]),
        "channel,point_count,first_point_time,last_point_time,opening_time,opening_value\n\
         text,0,,,2016-06-01T00:00:00Z,5000\n"
    );
}
