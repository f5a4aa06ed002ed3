//! GetTotal: the kind table, openings, as-of, groups, facts.

use crate::query_asking::{ask, cell, open, push, server_with, table};
use serde_json::json;

const DAILY: &str = r#""kind":"DELTA","period":"P1D""#;
const REPORTS: &str = r#""kind":"CUMULATIVE","period":"P1D""#;
const BY_CHANNEL: &str = r#""kind":"DELTA","period":"P1D","labelNames":["channel","country"]"#;

async fn totals(server: &crate::harness::Server, dates: &[&str]) -> String {
    let mut lines = Vec::new();
    for date in dates {
        let answer = ask(server, "GetTotal", &format!(r#""atDate":"{date}""#)).await;
        lines.push(format!("{date} {}", table(&answer["totals"], &["total", "marks"])));
    }
    lines.join("\n")
}

#[tokio::test]
async fn of_delta_everything_that_began_before() {
    let server = server_with(DAILY).await;
    push(&server, "", "2026-08-03=5 2026-08-04..2026-08-07=30 2026-08-10=-1").await;
    let dates = ["2026-08-03", "2026-08-04", "2026-08-05", "2026-08-07", "2026-08-11", "2030-01-01"];
    assert_eq!(
        totals(&server, &dates).await,
        "2026-08-03 - -\n2026-08-04 5 -\n2026-08-05 35 MID_PERIOD\n2026-08-07 35 -\n2026-08-11 34 -\n2030-01-01 34 -"
    );
}

#[tokio::test]
async fn an_opening_counts_from_its_time_on() {
    let server = server_with(DAILY).await;
    open(&server, "", "2026-08-03", "100").await;
    push(&server, "", "2026-08-03=5").await;
    let dates = ["2026-08-02", "2026-08-03", "2026-08-04"];
    assert_eq!(totals(&server, &dates).await, "2026-08-02 - -\n2026-08-03 100 -\n2026-08-04 105 -");
    let answer = ask(&server, "GetTotal", "").await;
    assert_eq!(
        answer["answer"]["groups"][0]["openings"],
        json!({"count":"1","sum":"100","first":[{"time":"2026-08-03T00:00:00Z","value":"100","note":"the old books"}]})
    );
    let before = ask(&server, "GetTotal", r#""atDate":"2026-08-02""#).await;
    assert_eq!(before["answer"]["groups"][0]["openings"], json!({"sum":"0"}));
}

#[tokio::test]
async fn of_cumulative_the_last_report_and_what_was_counted_before_it_began_again() {
    let server = server_with(REPORTS).await;
    push(&server, "", "2026-08-03=100 2026-08-05=140 2026-08-07<2026-08-06=7 2026-08-09<2026-08-06=9").await;
    push(&server, "", "2026-08-11!=8").await;
    let dates = ["2026-08-02", "2026-08-03", "2026-08-06", "2026-08-07", "2026-08-09", "2026-08-11"];
    assert_eq!(
        totals(&server, &dates).await,
        "2026-08-02 - -\n2026-08-03 100 -\n2026-08-06 140 -\n2026-08-07 147 -\n2026-08-09 149 -\n2026-08-11 148 -"
    );
}

#[tokio::test]
async fn a_first_report_is_the_opening_unless_it_says_its_start() {
    let server = server_with(REPORTS).await;
    push(&server, "", "2026-08-03=100 2026-08-05=140").await;
    let openings = ask(&server, "GetTotal", "").await["answer"]["groups"][0]["openings"].clone();
    assert_eq!(openings, json!({"count":"1","sum":"100","first":[{"time":"2026-08-03T00:00:00Z","value":"100"}]}));
    push(&server, "", "2026-08-03<2026-08-01=100").await;
    let openings = ask(&server, "GetTotal", "").await["answer"]["groups"][0]["openings"].clone();
    assert_eq!(openings, json!({"sum":"0"}));
}

#[tokio::test]
async fn an_opening_is_the_report_before_the_first() {
    let server = server_with(REPORTS).await;
    open(&server, "", "2026-08-01", "90").await;
    push(&server, "", "2026-08-03=100").await;
    assert_eq!(totals(&server, &["2026-08-02", "2026-08-03"]).await, "2026-08-02 90 -\n2026-08-03 100 -");
    // The count began again after the opening: all of it comes on top.
    push(&server, "", "2026-08-03<2026-08-02=100").await;
    assert_eq!(totals(&server, &["2026-08-02", "2026-08-03"]).await, "2026-08-02 90 -\n2026-08-03 190 -");
}

#[tokio::test]
async fn an_empty_selection_has_no_total_and_a_row_all_the_same() {
    let server = server_with(BY_CHANNEL).await;
    let answer = ask(&server, "GetTotal", "").await;
    assert_eq!(answer["totals"], json!([{}]));
    assert_eq!(answer["answer"]["groups"], json!([{"coverage":{"neverReported":true},"openings":{"sum":"0"}}]));
    assert_eq!(answer["answer"]["interval"], json!({}));
    let grouped = r#""selection":{"metric":"team/counts","groupBy":["channel"]}"#;
    let answer = ask(&server, "GetTotal", grouped).await;
    assert_eq!((answer.get("totals"), answer["answer"].get("groups")), (None, None));
}

#[tokio::test]
async fn groups_go_by_their_values_in_the_order_of_group_by() {
    let server = server_with(BY_CHANNEL).await;
    for (labels, value) in [
        ("channel=sms country=uk", 1),
        ("channel=email country=uk", 2),
        ("channel=email country=ca", 4),
        ("channel=test country=uk", 1_000),
    ] {
        push(&server, labels, &format!("2026-08-03={value}")).await;
    }
    let selection = r#""selection":{"metric":"team/counts","groupBy":["country","channel"],
        "filters":[{"label":"channel","noneOf":["test"]}]}"#;
    let answer = ask(&server, "GetTotal", selection).await;
    assert_eq!(table(&answer["totals"], &["group", "total"]), "email/ca 4\nemail/uk 2\nsms/uk 1");
    let answer = ask(
        &server,
        "GetTotal",
        r#""selection":{"metric":"team/counts",
        "filters":[{"label":"channel","anyOf":["email","sms"]},{"label":"country","anyOf":["uk"]}]}"#,
    )
    .await;
    assert_eq!(table(&answer["totals"], &["total"]), "3");
    assert_eq!(answer["answer"]["groups"][0]["seriesCount"], "2");
}

#[tokio::test]
async fn figures_of_a_revision_stand_for_ever() {
    let server = server_with(DAILY).await;
    push(&server, "", "2026-08-03=5").await;
    server.clock.set(milepost::domain::time::Time(crate::harness::NOW.0 + 3_600_000_000_000));
    push(&server, "", "2026-08-03=8 2026-08-04=1").await;
    let at = |as_of: &str| format!(r#""asOf":{as_of}"#);
    for (as_of, total, evaluated) in [
        (r#"{"revision":"1"}"#, "-", "2026-09-01"),
        (r#"{"revision":"2"}"#, "5", "2026-09-01"),
        (r#"{"revision":"3"}"#, "9", "2026-09-01T01:00:00Z"),
        (r#"{"time":"2026-09-01T00:59:59Z"}"#, "5", "2026-09-01T00:59:59Z"),
        (r#"{"time":"2026-08-31T00:00:00Z"}"#, "-", "2026-08-31"),
        ("{}", "9", "2026-09-01T01:00:00Z"),
    ] {
        let answer = ask(&server, "GetTotal", &at(as_of)).await;
        assert_eq!(table(&answer["totals"], &["total"]), total, "{as_of}");
        assert_eq!(cell(&answer["answer"]["evaluateTime"]), evaluated, "{as_of}");
    }
}

#[tokio::test]
async fn coverage_names_what_is_missing() {
    let server = server_with(BY_CHANNEL).await;
    push(&server, "channel=a country=x", "2026-08-03=1 2026-08-04=1 2026-08-08=1").await;
    push(&server, "channel=b country=x", "2026-08-05=1 2026-08-06..2026-08-09=1").await;
    let answer = ask(&server, "GetTotal", "").await;
    // a: 5, 6, 7 are missing of 3 to 8; b: nothing is missing of 5 to 8
    assert_eq!(
        answer["answer"]["groups"][0]["coverage"],
        json!({
            "firstPointTime": "2026-08-03T00:00:00Z", "lastPointTime": "2026-08-08T00:00:00Z",
            "completeThrough": "2026-08-05T00:00:00Z", "expectedPeriods": "10", "presentPeriods": "7",
            "gaps": [{"startTime": "2026-08-05T00:00:00Z", "endTime": "2026-08-08T00:00:00Z"}], "gapCount": "1",
            "overdue": true,
        })
    );
    // up to a time after now nothing is expected that has not ended
    let answer = ask(&server, "GetTotal", r#""atDate":"2026-10-01""#).await;
    let coverage = &answer["answer"]["groups"][0]["coverage"];
    assert_eq!((cell(&coverage["expectedPeriods"]), cell(&coverage["presentPeriods"])), ("56".into(), "7".into()));
}

#[tokio::test]
async fn a_series_is_overdue_two_periods_after_its_last() {
    let server = server_with(DAILY).await;
    push(&server, "", "2026-08-28=1").await;
    // present to the 29th, due by the 31st; now is the 1st
    let overdue = async || ask(&server, "GetTotal", "").await["answer"]["groups"][0]["coverage"]["overdue"].clone();
    assert_eq!(overdue().await, true);
    push(&server, "", "2026-08-29=1").await;
    assert!(overdue().await.is_null());
}

#[tokio::test]
async fn pages_join_to_the_whole() {
    let server = server_with(BY_CHANNEL).await;
    for country in ["a", "b", "c", "d", "e"] {
        push(&server, &format!("channel=x country={country}"), "2026-08-03=1").await;
    }
    let selection = r#""selection":{"metric":"team/counts","groupBy":["country"]}"#;
    let (mut rows, mut token) = (Vec::new(), String::new());
    for size in [2, 1, 2] {
        let rest = format!(r#"{selection},"pageSize":{size},"pageToken":"{token}""#);
        let page = ask(&server, "GetTotal", &rest).await;
        assert_eq!(page["answer"]["groups"].as_array().map(Vec::len), Some(size));
        rows.push(table(&page["totals"], &["group", "total"]));
        token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
        // what comes between pages is not seen by them
        push(&server, "channel=x country=aa", "2026-08-03=1").await;
    }
    assert_eq!(rows.join("\n"), "a 1\nb 1\nc 1\nd 1\ne 1");
    assert_eq!(token, "");
}
