//! QueryRange and QueryCumulative: windows, marks, fills, restarts, levels.

use crate::query_asking::{ask, open, push, server_with, table};
use serde_json::json;

const DAILY: &str = r#""kind":"DELTA","period":"P1D""#;
const WEEKLY: &str = r#""kind":"DELTA","period":"P1W""#;
const REPORTS: &str = r#""kind":"CUMULATIVE","period":"P1D""#;
const LEVELS: &str = r#""kind":"GAUGE","period":"P1D","scale":1"#;
const ROW: [&str; 6] = ["startTime", "endTime", "flow", "total", "pointCount", "marks"];

async fn cumulative(server: &crate::harness::Server, rest: &str) -> String {
    table(&ask(server, "QueryCumulative", rest).await["windows"], &ROW)
}

#[tokio::test]
async fn windows_hold_the_first_and_the_last_thing() {
    let server = server_with(DAILY).await;
    open(&server, "", "2026-05-31", "100").await;
    push(&server, "", "2026-06-30=5 2026-07-01=7").await;
    assert_eq!(
        cumulative(&server, r#""calendar":{"unit":"MONTH"}"#).await,
        "2026-05-01 2026-06-01 - 100 - -\n\
         2026-06-01 2026-07-01 5 105 1 -\n\
         2026-07-01 2026-08-01 7 112 1 INCOMPLETE"
    );
}

#[tokio::test]
async fn a_report_of_midnight_belongs_to_the_day_that_ended() {
    let server = server_with(REPORTS).await;
    push(&server, "", "2026-06-30=100 2026-07-01=107 2026-07-02=109").await;
    assert_eq!(
        cumulative(&server, r#""calendar":{"unit":"MONTH"},"endDate":"2026-07-03""#).await,
        // the first level is the opening: a point, but no flow
        "2026-06-01 2026-07-01 7 107 2 -\n2026-07-01 2026-07-03 2 109 1 CLIPPED,INCOMPLETE"
    );
}

#[tokio::test]
async fn without_a_calendar_there_is_one_window() {
    let server = server_with(DAILY).await;
    push(&server, "", "2026-06-30=5 2026-07-01=7").await;
    assert_eq!(cumulative(&server, "").await, "- - 12 12 2 -");
    let to_the_future = r#""startDate":"2026-07-01","endDate":"2026-10-01""#;
    assert_eq!(cumulative(&server, to_the_future).await, "2026-07-01 2026-10-01 7 12 1 UNFINISHED,INCOMPLETE");
}

#[tokio::test]
async fn a_period_across_an_edge_counts_once_and_marks_every_window_it_touches() {
    let server = server_with(WEEKLY).await;
    // a report that covers three weeks at once, from the 27th of July to the 17th of August
    push(&server, "", "2026-07-20=1 2026-07-27..2026-08-17=30 2026-08-17=2").await;
    assert_eq!(
        cumulative(&server, r#""calendar":{"unit":"WEEK","count":2}"#).await,
        "2026-07-13 2026-07-27 1 1 1 -\n\
         2026-07-27 2026-08-10 30 31 1 MID_PERIOD,STRADDLED\n\
         2026-08-10 2026-08-24 2 33 1 STRADDLED"
    );
}

#[tokio::test]
async fn steps_across_edges_mark_the_windows_they_touch() {
    let server = server_with(REPORTS).await;
    push(&server, "", "2026-07-02=10 2026-07-05=40").await;
    assert_eq!(
        cumulative(&server, r#""calendar":{"unit":"DAY"},"startDate":"2026-07-01","endDate":"2026-07-06""#).await,
        "2026-07-01 2026-07-02 - 10 1 -\n\
         2026-07-02 2026-07-03 - 10 - STRADDLED,INCOMPLETE\n\
         2026-07-03 2026-07-04 - 10 - STRADDLED,INCOMPLETE\n\
         2026-07-04 2026-07-05 30 40 1 STRADDLED\n\
         2026-07-05 2026-07-06 - 40 - INCOMPLETE"
    );
}

#[tokio::test]
async fn zero_fills_where_nothing_touches_from_the_first_on() {
    let server = server_with(DAILY).await;
    push(&server, "", "2026-07-02=10 2026-07-04..2026-07-06=40").await;
    let rest = r#""calendar":{"unit":"DAY"},"startDate":"2026-07-01","endDate":"2026-07-07","fill":"ZERO""#;
    let answer = ask(&server, "QueryRange", rest).await;
    assert_eq!(
        table(&answer["windows"], &["startTime", "flow", "marks"]),
        "2026-07-01 - -\n2026-07-02 10 -\n2026-07-03 0 INCOMPLETE,FILLED\n2026-07-04 40 STRADDLED\n\
         2026-07-05 - STRADDLED\n2026-07-06 0 INCOMPLETE,FILLED"
    );
    let future = r#""calendar":{"unit":"MONTH"},"startDate":"2026-08-01","endDate":"2026-11-01","fill":"ZERO""#;
    assert_eq!(
        table(&ask(&server, "QueryRange", future).await["windows"], &["startTime", "flow", "marks"]),
        "2026-08-01 0 INCOMPLETE,FILLED\n2026-09-01 0 UNFINISHED,FILLED\n2026-10-01 - UNFINISHED"
    );
}

#[tokio::test]
async fn daylight_saving_makes_a_day_of_23_hours() {
    let server = server_with(r#""kind":"DELTA","period":"PT1H","timeZone":"Europe/London""#).await;
    push(&server, "", "2026-03-29T00:00:00Z=1 2026-03-29T22:00:00Z=2 2026-03-29T23:00:00Z=4").await;
    let rest = r#""calendar":{"unit":"DAY"}"#;
    let answer = ask(&server, "QueryRange", rest).await;
    assert_eq!(
        table(&answer["windows"], &["startTime", "endTime", "flow"]),
        "2026-03-29 2026-03-29T23:00:00Z 3\n2026-03-29T23:00:00Z 2026-03-30T23:00:00Z 4"
    );
    assert_eq!(answer["answer"]["timeZone"], "Europe/London");
}

#[tokio::test]
async fn a_running_total_begins_anew_with_the_year() {
    let server = server_with(DAILY).await;
    open(&server, "", "2025-01-01", "1000").await;
    push(&server, "", "2025-04-05=1 2025-04-06=2 2025-05-01=4 2026-04-05..2026-04-07=8").await;
    let rest = r#""calendar":{"unit":"MONTH","yearStart":{"month":4,"day":6}},"restart":"YEAR",
        "startDate":"2025-04-01","endDate":"2025-06-01""#;
    let row = ["startTime", "endTime", "flow", "total", "running", "marks"];
    assert_eq!(
        table(&ask(&server, "QueryCumulative", rest).await["windows"], &row),
        "2025-04-01 2025-04-06 1 - 1 -\n\
         2025-04-06 2025-05-01 2 - 2 INCOMPLETE,RESTARTED\n\
         2025-05-01 2025-06-01 4 - 6 INCOMPLETE"
    );
    // without a calendar the restart's own periods are the windows; they hold the opening too
    assert_eq!(
        table(&ask(&server, "QueryCumulative", r#""restart":"YEAR""#).await["windows"], &row),
        "2025-01-01 2026-01-01 7 - 7 INCOMPLETE,RESTARTED\n2026-01-01 2027-01-01 8 - 8 UNFINISHED,INCOMPLETE,RESTARTED"
    );
}

#[tokio::test]
async fn a_gauge_answers_levels() {
    let server = server_with(LEVELS).await;
    push(&server, "", "2026-07-01=1.5 2026-07-02=0.5 2026-07-03=2.1 2026-07-06=7").await;
    let rest =
        r#""calendar":{"unit":"DAY","count":2},"startDate":"2026-07-01","endDate":"2026-07-08","fill":"PREVIOUS""#;
    let windows = ask(&server, "QueryRange", rest).await["windows"].clone();
    assert_eq!(windows[0]["levels"], json!({"last":"1.5","min":"1.5","max":"1.5","mean":"1.5000000"}));
    assert_eq!(windows[1]["levels"], json!({"last":"2.1","min":"0.5","max":"2.1","mean":"1.3000000"}));
    assert_eq!(windows[2]["levels"], json!({"last":"2.1"}));
    assert_eq!(windows[2]["marks"], json!(["INCOMPLETE", "FILLED"]));
    assert_eq!(windows[3]["pointCount"], "1");
    assert_eq!(windows[0].get("flow"), None);
}

#[tokio::test]
async fn every_page_goes_on_where_the_one_before_ended() {
    let server = server_with(r#""kind":"DELTA","period":"P1D","labelNames":["channel"]"#).await;
    push(&server, "channel=a", "2026-07-01=1 2026-07-02=2 2026-07-03=4").await;
    push(&server, "channel=b", "2026-07-01=8 2026-07-03=16").await;
    let rest = r#""selection":{"metric":"team/counts","groupBy":["channel"]},"calendar":{"unit":"DAY"}"#;
    let columns = ["group", "startTime", "flow", "total", "marks"];
    let whole = table(&ask(&server, "QueryCumulative", rest).await["windows"], &columns);
    for size in 1..=7 {
        let (mut rows, mut groups, mut token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let rest = format!(r#"{rest},"pageSize":{size},"pageToken":"{token}""#);
            let page = ask(&server, "QueryCumulative", &rest).await;
            rows.push(table(&page["windows"], &columns));
            groups.push(table(&page["answer"]["groups"], &["group"]));
            token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(rows.join("\n"), whole, "page_size {size}");
        groups.retain(|group| !group.is_empty());
        assert_eq!(groups.join("\n"), "a\nb", "page_size {size}");
    }
}

#[tokio::test]
async fn nothing_at_all_has_no_windows_unless_both_edges_are_given() {
    let server = server_with(DAILY).await;
    let answer = ask(&server, "QueryRange", r#""calendar":{"unit":"DAY"},"startDate":"2026-07-01""#).await;
    assert_eq!(answer.get("windows"), None);
    assert_eq!(answer["answer"]["groups"].as_array().map(Vec::len), Some(1));
    let both = r#""calendar":{"unit":"DAY"},"startDate":"2026-07-01","endDate":"2026-07-03""#;
    let answer = ask(&server, "QueryRange", both).await;
    assert_eq!(table(&answer["windows"], &["startTime", "flow", "marks"]), "2026-07-01 - -\n2026-07-02 - -");
}
