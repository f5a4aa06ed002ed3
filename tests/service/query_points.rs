//! ReadPoints and ListChanges.

use crate::query_asking::{ask, cell, open, push, server_with, table};
use serde_json::{Value, json};

const DAILY: &str = r#""kind":"DELTA","period":"P1D","labelNames":["channel"]"#;

async fn read(server: &crate::harness::Server, rest: &str) -> Value {
    ask(server, "ReadPoints", rest).await
}

#[tokio::test]
async fn points_come_by_series_then_by_time() {
    let server = server_with(DAILY).await;
    push(&server, "channel=b", "2026-07-02=2 2026-07-01=1").await;
    push(&server, "channel=a", "2026-07-01..2026-07-03=7").await;
    let answer = read(&server, r#""form":"POINTS""#).await;
    let point = |date: &str, value: &str| json!({"time": format!("{date}T00:00:00Z"), "value": value});
    let mut long = point("2026-07-01", "7");
    long["endTime"] = json!("2026-07-03T00:00:00Z");
    assert_eq!(
        answer["series"],
        json!([
            {"metric":"team/counts","labels":{"channel":"a"},"points":[long]},
            {"metric":"team/counts","labels":{"channel":"b"},"points":[point("2026-07-01","1"),point("2026-07-02","2")]},
        ])
    );
    assert_eq!(answer["answer"]["revision"], "3");
    let cut = read(&server, r#""form":"POINTS","startDate":"2026-07-02","endDate":"2026-07-03""#).await;
    assert_eq!(cut["series"].as_array().map(Vec::len), Some(1));
    assert_eq!(cut["series"][0]["points"], json!([point("2026-07-02", "2")]));
    assert_eq!(cell(&cut["answer"]["interval"]), "2026-07-03/2026-07-02");
}

#[tokio::test]
async fn columns_say_what_they_can_and_points_the_rest() {
    let server = server_with(DAILY).await;
    push(&server, "channel=a", "2026-07-01=1 2026-07-02=2 2026-07-03..2026-07-05=7 2026-07-05=-1").await;
    let answer = read(&server, "").await;
    let first = 1_782_864_000_000_000_000_i64;
    assert_eq!(
        answer["series"],
        json!([
            {"metric":"team/counts","labels":{"channel":"a"},"columns":{
                "regular":{"firstUnixNanos":first.to_string(),"intervalNanos":"86400000000000"},"units":["1","2"]}},
            {"metric":"team/counts","labels":{"channel":"a"},"points":[
                {"time":"2026-07-03T00:00:00Z","value":"7","endTime":"2026-07-05T00:00:00Z"}]},
            {"metric":"team/counts","labels":{"channel":"a"},"columns":{
                "fixed":{"unixNanos":[(first + 4 * 86_400_000_000_000).to_string()]},"units":["-1"]}},
        ])
    );
}

#[tokio::test]
async fn start_times_are_one_for_all_or_one_a_value() {
    let server = server_with(r#""kind":"CUMULATIVE""#).await;
    push(&server, "", "2026-07-02<2026-07-01=1 2026-07-03<2026-07-01=2 2026-07-05=3 2026-07-06!=2").await;
    let answer = read(&server, "").await;
    let counts = |part: usize| {
        let columns = &answer["series"][part]["columns"];
        (columns["units"].as_array().map(Vec::len), columns["startTimes"].as_array().map(Vec::len))
    };
    assert_eq!((counts(0), counts(1)), ((Some(2), Some(1)), (Some(1), None)));
    assert_eq!(answer["series"][2]["points"][0]["restated"], true);
    push(&server, "", "2026-07-03<2026-07-02=2").await;
    let answer = read(&server, "").await;
    assert_eq!(answer["series"][0]["columns"]["startTimes"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_stream_without_points_still_says_its_revision() {
    let server = server_with(DAILY).await;
    let answer = read(&server, "").await;
    assert_eq!((answer["answer"]["revision"].clone(), answer.get("series")), (json!("1"), None));
    assert_eq!(answer["answer"].get("groups"), None);
}

#[tokio::test]
async fn changes_are_told_newest_first() {
    let server = server_with(DAILY).await;
    push(&server, "channel=a", "2026-07-01=1 2026-07-02=2").await;
    push(&server, "channel=a", "2026-07-02=3 2026-07-03=4").await;
    open(&server, "channel=a", "2026-07-01", "10").await;
    let retract =
        r#"{"requestId":"r","metric":"team/counts","times":{"times":["2026-07-01T00:00:00Z"]},"reason":"twice"}"#;
    server.ok("IngestService/RetractPoints", retract).await;
    let columns = ["kind", "labels", "time", "oldValue", "newValue", "revision", "reason"];
    let answer = ask(&server, "ListChanges", "").await;
    let changes = answer["changes"].as_array().expect("rows");
    let told = table(&json!(changes[..3]), &columns);
    assert_eq!(
        told,
        "RETRACTED a 2026-07-01 1 - 5 twice\nOPENING a 2026-07-01 - 10 4 the old books\nCORRECTED a 2026-07-02 2 3 3 -"
    );
    assert_eq!((changes.len(), cell(&changes[3]["kind"])), (4, "METRIC".to_owned()));
    let made: Value = serde_json::from_str(changes[3]["newValue"].as_str().expect("JSON")).expect("JSON");
    assert_eq!((made["name"].clone(), made["period"].clone()), (json!("team/counts"), json!("P1D")));
    assert_eq!(changes[3].get("oldValue"), None);
    assert_eq!(answer["revision"], "5");
    let some = ask(&server, "ListChanges", r#""includeNew":true,"revisions":{"startRevision":"2","endRevision":"4"}"#);
    assert_eq!(
        table(&some.await["changes"], &columns[..6]),
        "CORRECTED a 2026-07-02 2 3 3\nNEW a 2026-07-03 - 4 3\nNEW a 2026-07-01 - 1 2\nNEW a 2026-07-02 - 2 2"
    );
}

#[tokio::test]
async fn pages_of_changes_join_to_the_whole() {
    let server = server_with(DAILY).await;
    push(&server, "channel=a", "2026-07-01=1 2026-07-02=2 2026-07-03=3").await;
    push(&server, "channel=b", "2026-07-01=1 2026-07-02=2").await;
    let columns = ["kind", "labels", "time", "revision"];
    let whole = table(&ask(&server, "ListChanges", r#""includeNew":true"#).await["changes"], &columns);
    for size in 1..=7 {
        let (mut rows, mut token) = (Vec::new(), String::new());
        loop {
            let rest = format!(r#""includeNew":true,"pageSize":{size},"pageToken":"{token}""#);
            let page = ask(&server, "ListChanges", &rest).await;
            assert_eq!(page["revision"], "3");
            rows.push(table(&page["changes"], &columns));
            token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(rows.join("\n"), whole, "page_size {size}");
    }
}

#[tokio::test]
async fn changes_of_a_deleted_metric_can_be_asked_for() {
    let server = server_with(DAILY).await;
    server.ok("CatalogService/DeleteMetric", r#"{"name":"team/counts"}"#).await;
    let answer = ask(&server, "ListChanges", "").await;
    let first = &answer["changes"][0];
    assert_eq!(
        (cell(&first["kind"]), first.get("newValue"), first["oldValue"].is_string()),
        ("METRIC".into(), None, true)
    );
}
