//! CatalogService: metrics made, listed, changed and removed.

use crate::harness::Server;
use serde_json::{Value, json};

const CREATE: &str = "CatalogService/CreateMetric";
const UPDATE: &str = "CatalogService/UpdateMetric";
const WRITE: &str = "IngestService/WritePoints";

async fn with_metric() -> Server {
    let server = Server::start().await;
    server
        .ok(CREATE, r#"{"metric":{"name":"pay/payments","kind":"DELTA","period":"P1D","labelNames":["channel"]}}"#)
        .await;
    server
}

async fn write_one(server: &Server) {
    let series = r#"{"metric":"pay/payments","labels":{"channel":"web"},"points":[{"date":"2026-08-01","value":"7"}]}"#;
    server.ok(WRITE, &format!(r#"{{"series":[{series}]}}"#)).await;
}

fn strings(rows: &Value, field: &str) -> Vec<String> {
    let rows = rows.as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row[field].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn defaults_are_spelled_out() {
    let server = with_metric().await;
    let metric = &server.ok("CatalogService/GetMetric", r#"{"name":"pay/payments"}"#).await["metric"];
    assert_eq!(metric["timeZone"], "UTC");
    assert_eq!(metric["weekStart"], "MONDAY");
    assert_eq!(metric["yearStart"], json!({"month": 1, "day": 1}));
    assert_eq!(metric["createTime"], "2026-09-01T00:00:00Z");
    assert_eq!(metric.get("overdueAfter"), None);
}

#[tokio::test]
async fn making_an_equal_metric_again_answers_the_first() {
    let server = with_metric().await;
    let again = r#"{"metric":{"name":"pay/payments","kind":"DELTA","period":"P1D","labelNames":["channel"],
        "displayName":"Other","description":"other","overdueAfter":"60s"}}"#;
    let answer = server.ok(CREATE, again).await;
    assert_eq!(answer["revision"], "1");
    assert_eq!(answer["metric"].get("displayName"), None);
}

#[tokio::test]
async fn another_definition_is_refused_with_the_fields_that_differ() {
    let server = with_metric().await;
    let other =
        r#"{"metric":{"name":"pay/payments","kind":"GAUGE","period":"P1W","labelNames":["channel"],"unit":"s"}}"#;
    assert_eq!(
        server.refused(CREATE, other).await,
        "ALREADY_EXISTS METRIC_DIFFERS metric.name: metric pay/payments is there with another unit, kind, period; \
         send it as it is, or use UpdateMetric"
    );
}

#[tokio::test]
async fn all_faults_of_a_definition_are_told() {
    let server = Server::start().await;
    let bad = r#"{"metric":{"name":"Pay/x","scale":10,"labelNames":["a","a","1"],"period":"PT7M","timeZone":"Mars",
        "yearStart":{"month":2,"day":29},"overdueAfter":"-1s"}}"#;
    let told = server.refused(CREATE, bad).await;
    assert!(told.ends_with("(and 8 more faults)"), "{told}");
    assert!(told.starts_with("INVALID_ARGUMENT FIELD_INVALID metric.name: \"Pay/x\" is no metric's name"), "{told}");
}

#[tokio::test]
async fn an_update_changes_what_the_mask_names() {
    let server = with_metric().await;
    let answer = server
        .ok(
            UPDATE,
            r#"{"metric":{"name":"pay/payments","displayName":"Payments","unit":"{p}"},"updateMask":"displayName"}"#,
        )
        .await;
    assert_eq!((answer["revision"].as_str(), &answer["metric"]["displayName"]), (Some("2"), &json!("Payments")));
    assert_eq!(answer["metric"].get("unit"), None);
    // an empty mask: what is set
    let answer = server.ok(UPDATE, r#"{"metric":{"name":"pay/payments","unit":"{p}","scale":2}}"#).await;
    assert_eq!((&answer["metric"]["unit"], &answer["metric"]["scale"]), (&json!("{p}"), &json!(2)));
    assert_eq!(answer["metric"]["displayName"], "Payments");
    // the same again changes nothing
    let answer = server.ok(UPDATE, r#"{"metric":{"name":"pay/payments","unit":"{p}"}}"#).await;
    assert_eq!(answer["revision"], "3");
    // a field in the mask that is not set is cleared
    let answer = server.ok(UPDATE, r#"{"metric":{"name":"pay/payments"},"updateMask":"unit,displayName"}"#).await;
    assert_eq!((answer["metric"].get("unit"), answer["metric"].get("displayName")), (None, None));
}

#[tokio::test]
async fn once_written_to_a_definition_stays() {
    let server = with_metric().await;
    write_one(&server).await;
    assert_eq!(
        server.refused(UPDATE, r#"{"metric":{"name":"pay/payments","scale":2,"period":"P1W"}}"#).await,
        "FAILED_PRECONDITION METRIC_IN_USE metric.name: metric pay/payments was written to, so scale, period cannot \
         change; only display_name, description and overdue_after can"
    );
    server
        .ok(UPDATE, r#"{"metric":{"name":"pay/payments","description":"counted at midnight","overdueAfter":"9s"}}"#)
        .await;
}

#[tokio::test]
async fn deleting_a_metric_with_points_needs_force() {
    let server = with_metric().await;
    write_one(&server).await;
    let delete = "CatalogService/DeleteMetric";
    assert_eq!(
        server.refused(delete, r#"{"name":"pay/payments"}"#).await,
        "FAILED_PRECONDITION METRIC_IN_USE name: metric pay/payments has points or openings; say force to remove it \
         with all that was kept"
    );
    server.ok(delete, r#"{"name":"pay/payments","force":true}"#).await;
    let told = server.refused("CatalogService/GetMetric", r#"{"name":"pay/payments"}"#).await;
    assert!(told.starts_with("NOT_FOUND METRIC_NOT_FOUND name: metric pay/payments is not there"), "{told}");
    assert!(server.refused(delete, r#"{"name":"pay/payments"}"#).await.starts_with("NOT_FOUND METRIC_NOT_FOUND"));
    // made again, it is empty
    server.ok(CREATE, r#"{"metric":{"name":"pay/payments","kind":"GAUGE"}}"#).await;
    assert_eq!(server.ok("CatalogService/ListSeries", r#"{"metric":"pay/payments"}"#).await, json!({}));
    // the component goes on counting its revisions
    let components = server.ok("CatalogService/ListComponents", "{}").await;
    assert_eq!(components["components"], json!([{"name":"pay","metricCount":"1","revision":"4"}]));
}

#[tokio::test]
async fn lists_are_paged_and_the_pages_are_the_whole() {
    let server = Server::start().await;
    let mut names: Vec<_> = (0..23).map(|i| format!("c{}/m{}", i % 4, i * 7 % 23)).collect();
    for name in &names {
        server.ok(CREATE, &format!(r#"{{"metric":{{"name":"{name}","kind":"GAUGE"}}}}"#)).await;
    }
    names.sort();
    for (method, field, component, expected) in [
        ("CatalogService/ListMetrics", "metrics", "", names.clone()),
        (
            "CatalogService/ListMetrics",
            "metrics",
            "c2",
            names.iter().filter(|n| n.starts_with("c2/")).cloned().collect(),
        ),
        ("CatalogService/ListComponents", "components", "", (0..4).map(|i| format!("c{i}")).collect()),
    ] {
        let said = if component.is_empty() { String::new() } else { format!(r#","component":"{component}""#) };
        let (mut rows, mut token) = (Vec::new(), String::new());
        loop {
            let page = server.ok(method, &format!(r#"{{"pageSize":3,"pageToken":"{token}"{said}}}"#)).await;
            let of_page = strings(&page[field], "name");
            assert!((1..=3).contains(&of_page.len()));
            rows.extend(of_page);
            match page["nextPageToken"].as_str() {
                Some(next) => token = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(rows, expected, "{method} {component}");
    }
}

#[tokio::test]
async fn series_are_listed_with_what_they_hold() {
    let server = with_metric().await;
    for channel in ["web", "post", "phone"] {
        let series = format!(
            r#"{{"metric":"pay/payments","labels":{{"channel":"{channel}"}},"points":[{{"date":"2026-08-01","value":"7"}},{{"date":"2026-08-03","value":"7"}}]}}"#
        );
        server.ok(WRITE, &format!(r#"{{"series":[{series}]}}"#)).await;
    }
    let opening =
        r#"{"metric":"pay/payments","labels":{"channel":"fax"},"date":"2026-01-01","value":"99","note":"ledger"}"#;
    server.ok("IngestService/SetOpeningBalance", opening).await;
    let list = "CatalogService/ListSeries";
    let first = server.ok(list, r#"{"metric":"pay/payments","pageSize":3}"#).await;
    let channels = |answer: &Value| {
        strings(
            &Value::Array(answer["series"].as_array().expect("rows").iter().map(|row| row["labels"].clone()).collect()),
            "channel",
        )
    };
    assert_eq!(channels(&first), ["fax", "phone", "post"]);
    assert_eq!(first["series"][0]["opening"]["value"], "99");
    assert_eq!(first["series"][0].get("pointCount"), None);
    assert_eq!(first["series"][1]["pointCount"], "2");
    assert_eq!(first["series"][1]["firstPointTime"], "2026-08-01T00:00:00Z");
    assert_eq!(first["series"][1]["lastPointTime"], "2026-08-03T00:00:00Z");
    let token = first["nextPageToken"].as_str().expect("another page");
    // a series of a later revision is not on the pages of an earlier one
    let later = r#"{"metric":"pay/payments","labels":{"channel":"tv"},"points":[{"date":"2026-08-01","value":"7"}]}"#;
    server.ok(WRITE, &format!(r#"{{"series":[{later}]}}"#)).await;
    let second = server.ok(list, &format!(r#"{{"metric":"pay/payments","pageSize":2,"pageToken":"{token}"}}"#)).await;
    assert_eq!(channels(&second), ["web"]);
    let filtered =
        r#"{"metric":"pay/payments","filters":[{"label":"channel","anyOf":["web","tv","fax"],"noneOf":["fax"]}]}"#;
    assert_eq!(channels(&server.ok(list, filtered).await), ["tv", "web"]);
    // a token of another request
    let told = server.refused(list, &format!(r#"{{"metric":"pay/other","pageToken":"{token}"}}"#)).await;
    assert!(told.starts_with("INVALID_ARGUMENT PAGE_TOKEN_INVALID page_token: belongs to another request"), "{told}");
}

#[tokio::test]
async fn a_page_of_series_with_the_longest_labels_fits_a_message() {
    // The token that names the last row is long too: it was not counted.
    let server = Server::start().await;
    let names: Vec<String> = (0..32).map(|i| format!("l{i:02}_{}", "x".repeat(119))).collect();
    let metric = json!({"name": "pay/wide", "kind": "GAUGE", "labelNames": names});
    server.ok("CatalogService/CreateMetric", &json!({ "metric": metric }).to_string()).await;
    for part in 0..5 {
        let labels = |i: i32| -> serde_json::Map<String, serde_json::Value> {
            names.iter().map(|name| (name.clone(), json!(format!("{:0>256}", part * 100 + i)))).collect()
        };
        let series: Vec<_> = (0..100)
            .map(|i| json!({"metric": "pay/wide", "labels": labels(i), "points": [{"date": "2020-01-01", "value": "1"}]}))
            .collect();
        server.ok("IngestService/WritePoints", &json!({ "series": series }).to_string()).await;
    }
    let (mut found, mut token) = (0, String::new());
    loop {
        let page = json!({"metric": "pay/wide", "pageSize": 10_000, "pageToken": token}).to_string();
        let page = server.ok("CatalogService/ListSeries", &page).await;
        found += page["series"].as_array().map_or(0, Vec::len);
        token = page["nextPageToken"].as_str().unwrap_or("").to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found, 500);
}
