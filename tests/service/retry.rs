//! A retry changes nothing: it is known by its id, before any other check, after a restart too.

use crate::harness::{NOW, Server, open_dir};
use milepost::config::Limits;
use milepost::engine::Settings;
use milepost::store::memory::MemoryStore;
use serde_json::{Value, json};
use std::sync::Arc;

const CREATE: &str = "CatalogService/CreateMetric";
const DELETE: &str = "CatalogService/DeleteMetric";
const WRITE: &str = "IngestService/WritePoints";
const METRIC: &str = r#"{"metric":{"name":"pay/daily","kind":"DELTA","period":"P1D","timeZone":"Europe/London"}}"#;
const BATCH: &str = r#"{"requestId":"week 1","reason":"first","series":[{"metric":"pay/daily","points":[{"date":"2026-07-01","value":"5"},{"date":"2026-07-02","value":"6"}]}]}"#;
/// The same, in another order and form.
const SAME: &str = r#"{"requestId":"week 1","reason":"first","series":[{"metric":"pay/daily","columns":{"fixed":{"unixNanos":["1782946800000000000","1782860400000000000"]},"units":["6","5"]}}]}"#;

fn replayed() -> Value {
    json!({"revision":"2","acceptedCount":"2","replayed":true})
}

const REUSED: &str = "FAILED_PRECONDITION REQUEST_ID_REUSED request_id: was used for another request, or its metric was \
                      deleted since; send this one under a new id";

#[tokio::test]
async fn the_first_answer_is_given_again() {
    let server = Server::start().await;
    server.ok(CREATE, METRIC).await;
    assert_eq!(server.ok(WRITE, BATCH).await, json!({"revision":"2","acceptedCount":"2"}));
    // what came after does not matter
    server.ok(WRITE, r#"{"series":[{"metric":"pay/daily","points":[{"date":"2026-07-01","value":"9"}]}]}"#).await;
    assert_eq!(server.ok(WRITE, BATCH).await, replayed());
    assert_eq!(server.ok(WRITE, SAME).await, replayed());
}

#[tokio::test]
async fn another_body_is_refused_whatever_is_wrong_with_it() {
    let server = Server::start().await;
    server.ok(CREATE, METRIC).await;
    server.ok(WRITE, BATCH).await;
    for (from, to) in [
        (r#""value":"5""#, r#""value":"7""#),
        (r#""first""#, r#""second""#),
        (r#""reason""#, r#""validateOnly":true,"reason""#),
        (r#""value":"5""#, r#""value":"no value""#),
        ("2026-07-01", "2026-07-99"),
        ("pay/daily", "pay/unknown"),
        (r#"{"requestId""#, r#"{"mode":"ADD","requestId""#),
    ] {
        assert_eq!(server.refused(WRITE, &BATCH.replacen(from, to, 1)).await, REUSED, "{to}");
    }
    // ids are of a component
    server.ok(CREATE, &METRIC.replace("pay/", "verify/")).await;
    assert_eq!(server.ok(WRITE, &BATCH.replace("pay/", "verify/")).await, json!({"revision":"2","acceptedCount":"2"}));
}

#[tokio::test]
async fn a_deleted_metric_has_its_answers_still_until_it_is_made_again() {
    let server = Server::start().await;
    server.ok(CREATE, METRIC).await;
    server.ok(WRITE, BATCH).await;
    server.ok(DELETE, r#"{"name":"pay/daily","force":true}"#).await;
    // its dates are read as they were, in London
    assert_eq!(server.ok(WRITE, BATCH).await, replayed());
    server.ok(CREATE, &METRIC.replace("Europe/London", "UTC")).await;
    assert_eq!(server.refused(WRITE, BATCH).await, REUSED);
}

#[tokio::test]
async fn ids_are_shared_by_the_calls() {
    let server = Server::start().await;
    server.ok(CREATE, METRIC).await;
    server.ok(WRITE, BATCH).await;
    let retract = r#"{"requestId":"week 1","metric":"pay/daily","reason":"first","interval":{}}"#;
    assert_eq!(server.refused("IngestService/RetractPoints", retract).await, REUSED);
    let opening = r#"{"requestId":"week 1","metric":"pay/daily","date":"2020-01-01","value":"1"}"#;
    assert_eq!(server.refused("IngestService/SetOpeningBalance", opening).await, REUSED);
    // a refused batch is not remembered
    let refused = r#"{"requestId":"new","metric":"pay/daily","date":"2027-01-01","value":"1"}"#;
    assert!(server.refused("IngestService/SetOpeningBalance", refused).await.contains("BEFORE_OPENING"));
    let set = refused.replace("2027", "2020");
    assert_eq!(server.ok("IngestService/SetOpeningBalance", &set).await, json!({"revision":"3"}));
    assert_eq!(server.ok("IngestService/SetOpeningBalance", &set).await, json!({"revision":"3","replayed":true}));
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::in_dir(dir.path()).await;
    server.ok(CREATE, METRIC).await;
    server.ok(WRITE, BATCH).await;
    server.stop().await;
    let server = Server::over(open_dir(dir.path()), Settings::default(), Limits::default()).await;
    assert_eq!(server.ok(WRITE, SAME).await, replayed());
    let listed = server.ok("CatalogService/ListSeries", r#"{"metric":"pay/daily"}"#).await;
    assert_eq!(listed["series"][0]["pointCount"], "2");
    server.stop().await;
}

#[tokio::test]
async fn where_no_more_ids_fit_new_ones_wait_and_old_ones_stand() {
    let settings = Settings { request_ids_max: 2, ..Settings::default() };
    let server = Server::over(Arc::new(MemoryStore::new()), settings, Limits::default()).await;
    server.ok(CREATE, METRIC).await;
    server.ok(WRITE, BATCH).await;
    server.ok(WRITE, &BATCH.replace("week 1", "week 2")).await;
    let third = BATCH.replace("week 1", "week 3");
    let status = server.call(WRITE, &third).await.expect_err("refused");
    assert!(crate::harness::told(&status).starts_with("RESOURCE_EXHAUSTED REQUEST_IDS_FULL request_id: as many"));
    use tonic_types::StatusExt;
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay).expect("when to try again");
    assert!(status.get_details_quota_failure().is_some());
    assert_eq!(server.ok(WRITE, BATCH).await, replayed());
    let day = 86_400_000_000_000;
    assert!(wait.as_nanos() > 0 && wait.as_nanos() <= 2 * day as u128, "{wait:?}");
    server.clock.set(NOW.plus(3 * day));
    server.ok(WRITE, &third).await;
}
