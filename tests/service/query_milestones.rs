//! ListMilestones: brackets by kind, openings, sums, ladders, pages, what is next.

use crate::query_asking::{ask, cell, open, push, refused, server_with, table};
use serde_json::json;

const DAILY: &str = r#""kind":"DELTA","period":"P1D""#;
const REPORTS: &str = r#""kind":"CUMULATIVE""#;
const BY_CHANNEL: &str = r#""kind":"DELTA","period":"P1D","labelNames":["channel"]"#;
const ROW: [&str; 8] =
    ["threshold", "reachedAfter", "reachedBy", "inOpening", "totalBefore", "total", "sinceFirst", "sincePrevious"];

async fn milestones(server: &crate::harness::Server, rest: &str) -> String {
    table(&ask(server, "ListMilestones", rest).await["milestones"], &ROW)
}

fn list(values: &str) -> String {
    let values: Vec<String> = values.split_whitespace().map(|value| format!("{value:?}")).collect();
    format!(r#""thresholds":{{"values":[{}]}}"#, values.join(","))
}

#[tokio::test]
async fn a_delta_is_reached_within_its_period() {
    let server = server_with(DAILY).await;
    push(&server, "", "2026-07-01=5 2026-07-02=-3 2026-07-03..2026-07-06=10 2026-07-06=1").await;
    assert_eq!(
        milestones(&server, &list("13 1 5 6 12 14")).await,
        "1 2026-07-01 2026-07-02 - - 5 86400s -\n\
         5 2026-07-01 2026-07-02 - - 5 86400s 0s\n\
         6 2026-07-03 2026-07-06 - 2 12 432000s 345600s\n\
         12 2026-07-03 2026-07-06 - 2 12 432000s 0s\n\
         13 2026-07-06 2026-07-07 - 12 13 518400s 86400s"
    );
    let next = ask(&server, "ListMilestones", &list("13 14")).await["answer"]["groups"][0]["next"].clone();
    assert_eq!((next["threshold"].clone(), next["remaining"].clone()), (json!("14"), json!("1")));
}

#[tokio::test]
async fn what_counts_is_what_the_total_at_the_end_counts() {
    let server = server_with(DAILY).await;
    push(&server, "", "2026-07-01=5 2026-07-02=3").await;
    let rest = format!(r#"{},"endDate":"2026-07-02""#, list("5 8"));
    assert_eq!(milestones(&server, &rest).await, "5 2026-07-01 2026-07-02 - - 5 86400s -");
}

#[tokio::test]
async fn an_opening_reaches_at_its_time_or_earlier() {
    let server = server_with(DAILY).await;
    open(&server, "", "2026-07-01", "100").await;
    push(&server, "", "2026-07-01=5").await;
    assert_eq!(
        milestones(&server, &list("100 101")).await,
        "100 - 2026-07-01 true - 100 - -\n101 2026-07-01 2026-07-02 - 100 105 - 86400s"
    );
}

#[tokio::test]
async fn a_report_is_reached_since_the_one_before() {
    let server = server_with(REPORTS).await;
    push(&server, "", "2026-07-01=10 2026-07-05=20 2026-07-09<2026-07-07=5").await;
    assert_eq!(
        milestones(&server, &list("10 11 25")).await,
        "10 - 2026-07-01 true - 10 - -\n\
         11 2026-07-01 2026-07-05 - 10 20 - 345600s\n\
         25 2026-07-07 2026-07-09 - 20 25 - 345600s"
    );
    push(&server, "", "2026-07-01<2026-06-30=10").await;
    assert_eq!(milestones(&server, &list("10")).await, "10 2026-06-30 2026-07-01 - - 10 86400s -");
}

#[tokio::test]
async fn a_gauge_is_reached_after_the_level_before() {
    let server = server_with(r#""kind":"GAUGE""#).await;
    push(&server, "", "2026-07-01=-5 2026-07-03=7 2026-07-04=2").await;
    let rest = list("-10 0 7 8");
    assert_eq!(
        milestones(&server, &rest).await,
        "-10 - 2026-07-01 - - -5 0s -\n0 2026-07-01 2026-07-03 - -5 7 172800s 172800s\n\
         7 2026-07-01 2026-07-03 - -5 7 172800s 0s"
    );
    let next = ask(&server, "ListMilestones", &rest).await["answer"]["groups"][0]["next"].clone();
    assert_eq!(next, json!({"threshold":"8","remaining":"6","noEstimateReason":"a level has no pace"}));
}

#[tokio::test]
async fn a_sum_steps_once_an_instant_openings_before_points() {
    let server = server_with(BY_CHANNEL).await;
    push(&server, "channel=a", "2026-07-01..2026-07-11=4 2026-07-11=1").await;
    open(&server, "channel=b", "2026-07-03", "10").await;
    push(&server, "channel=b", "2026-07-03=1").await;
    push(&server, "channel=c", "2026-07-03=2").await;
    assert_eq!(
        milestones(&server, &list("4 10 15 18")).await,
        "4 2026-07-01 2026-07-11 - - 4 864000s -\n\
         10 - 2026-07-03 true 4 14 - -\n\
         15 2026-07-03 2026-07-11 - 14 17 - 691200s\n\
         18 2026-07-11 2026-07-12 - 17 18 - 86400s"
    );
}

#[tokio::test]
async fn a_sum_of_reports_is_bracketed_by_the_earliest() {
    let server = server_with(r#""kind":"CUMULATIVE","labelNames":["channel"]"#).await;
    push(&server, "channel=a", "2026-07-02<2026-07-01=4 2026-07-09=8").await;
    push(&server, "channel=b", "2026-07-03<2026-07-02=4 2026-07-09=9").await;
    push(&server, "channel=c", "2026-07-10=100").await;
    assert_eq!(
        milestones(&server, &list("8 17 50")).await,
        "8 2026-07-02 2026-07-03 - 4 8 172800s -\n\
         17 2026-07-02 2026-07-09 - 8 17 691200s 518400s\n\
         50 - 2026-07-10 true 17 117 - 86400s"
    );
}

#[tokio::test]
async fn ladders_are_climbed_page_by_page() {
    let server = server_with(DAILY).await;
    push(&server, "", "2026-07-01=7 2026-07-02=1000000000000").await;
    let page = async |rest: &str| ask(&server, "ListMilestones", rest).await;
    let first = page(r#""every":"3","pageSize":3"#).await;
    let columns = ["threshold", "reachedBy", "ordinal", "sincePrevious"];
    assert_eq!(table(&first["milestones"], &columns), "3 2026-07-02 1 -\n6 2026-07-02 2 0s\n9 2026-07-03 3 86400s");
    let token = first["nextPageToken"].as_str().expect("there is more");
    let second = page(&format!(r#""every":"3","pageSize":2,"pageToken":"{token}""#)).await;
    assert_eq!(table(&second["milestones"], &columns), "12 2026-07-03 4 0s\n15 2026-07-03 5 0s");
    assert_eq!(second["answer"].get("groups"), None);
    assert_eq!(first["answer"]["groups"][0]["next"]["threshold"], "1000000000008");
    let powers = page(r#""named":"POWERS_OF_TEN","pageSize":2"#).await;
    assert_eq!(table(&powers["milestones"], &columns), "1 2026-07-02 1 -\n10 2026-07-03 2 86400s");
    let named = page(r#""named":"ONE_TWO_FIVE","pageSize":4"#).await;
    assert_eq!(table(&named["milestones"], &["threshold", "ordinal"]), "1 1\n2 2\n5 3\n10 4");
}

#[tokio::test]
async fn groups_that_reached_nothing_have_their_facts() {
    let server = server_with(BY_CHANNEL).await;
    for (channel, value) in [("a", 5), ("b", 1), ("c", 5), ("d", 1)] {
        push(&server, &format!("channel={channel}"), &format!("2026-07-01={value}")).await;
    }
    let selection = r#""selection":{"metric":"team/counts","groupBy":["channel"]},"every":"5","pageSize":1"#;
    let first = ask(&server, "ListMilestones", selection).await;
    assert_eq!(table(&first["milestones"], &["group"]), "a");
    assert_eq!(table(&first["answer"]["groups"], &["group"]), "a\nb");
    let token = first["nextPageToken"].as_str().expect("c has a row");
    let second = ask(&server, "ListMilestones", &format!(r#"{selection},"pageToken":"{token}""#)).await;
    assert_eq!(table(&second["milestones"], &["group"]), "c");
    assert_eq!(table(&second["answer"]["groups"], &["group"]), "c\nd");
    assert_eq!(second.get("nextPageToken"), None);
}

#[tokio::test]
async fn the_next_one_is_estimated_by_the_pace() {
    let server = server_with(DAILY).await;
    let next = async |rest: &str| ask(&server, "ListMilestones", rest).await["answer"]["groups"][0]["next"].clone();
    let rest = list("100");
    assert_eq!(
        next(&rest).await,
        json!({"threshold":"100","remaining":"100","noEstimateReason":"nothing was counted yet"})
    );
    push(&server, "", "2026-08-28=10").await;
    assert_eq!(next(&rest).await["noEstimateReason"], "too little history");
    // four days: 10, 20, 10, 0; 60 remain at 10 a day
    push(&server, "", "2026-08-29=20 2026-08-30=10 2026-08-31=0").await;
    let told = next(&rest).await;
    assert_eq!(told["remaining"], "60");
    assert_eq!(told["estimate"]["method"], "MEAN_PACE");
    assert_eq!(cell(&told["estimate"]["window"]), "2026-09-01/2026-08-28");
    assert_eq!(cell(&told["estimate"]["time"]), "2026-09-07");
    assert_eq!(cell(&told["estimate"]["earliest"]), "2026-09-04");
    assert_eq!(told["estimate"].get("latest"), None);
    assert_eq!(next(&list("1000bn")).await["noEstimateReason"], "it lies beyond the year 2200");
    push(&server, "", "2026-09-01=-40").await;
    assert_eq!(next(&rest).await["noEstimateReason"], "the total does not grow");
}

#[tokio::test]
async fn an_estimate_is_never_in_the_past() {
    let server = server_with(DAILY).await;
    push(&server, "", "2026-07-01=10 2026-07-02=20 2026-07-03=10").await;
    let told = ask(&server, "ListMilestones", &list("50")).await["answer"]["groups"][0]["next"].clone();
    assert_eq!(told["remaining"], "10");
    assert_eq!(told["noEstimateReason"], "at its pace it would be reached by now: too little came lately");
}

#[tokio::test]
async fn thresholds_that_are_none_are_refused() {
    let server = server_with(DAILY).await;
    for (rest, told) in [
        ("", "INVALID_ARGUMENT FIELD_REQUIRED thresholds: "),
        (r#""thresholds":{}"#, "INVALID_ARGUMENT FIELD_REQUIRED thresholds.values: "),
        (r#""thresholds":{"values":["1","x"]}"#, "INVALID_ARGUMENT THRESHOLD_INVALID thresholds.values[1]: "),
        (r#""thresholds":{"values":["0"]}"#, "INVALID_ARGUMENT THRESHOLD_INVALID thresholds.values[0]: "),
        (r#""thresholds":{"values":["0.5"]}"#, "INVALID_ARGUMENT THRESHOLD_INVALID thresholds.values[0]: "),
        (r#""every":"-1""#, "INVALID_ARGUMENT THRESHOLD_INVALID every: "),
        (r#""named":"NAMED_LADDER_UNSPECIFIED""#, "INVALID_ARGUMENT FIELD_REQUIRED named: "),
        (r#""named":9"#, "INVALID_ARGUMENT FIELD_INVALID named: "),
    ] {
        let answer = refused(&server, "ListMilestones", rest).await;
        assert!(answer.starts_with(told), "{rest}: {answer}");
    }
}
