//! Writing: every form of a batch, and every way it can be refused.

use crate::harness::Server;
use milepost::proto::v1::*;
use serde_json::json;
use tonic_types::StatusExt;

const CREATE: &str = "CatalogService/CreateMetric";
const WRITE: &str = "IngestService/WritePoints";
const RETRACT: &str = "IngestService/RetractPoints";
const OPENING: &str = "IngestService/SetOpeningBalance";

/// A daily DELTA in London, a running total, a gauge, an irregular DELTA of pounds, and one with labels.
pub async fn server() -> Server {
    let server = Server::start().await;
    for metric in [
        r#""name":"pay/daily","kind":"DELTA","period":"P1D","timeZone":"Europe/London""#,
        r#""name":"pay/so-far","kind":"CUMULATIVE","period":"P1D""#,
        r#""name":"pay/teams","kind":"GAUGE""#,
        r#""name":"pay/pounds","kind":"DELTA","scale":2"#,
        r#""name":"pay/messages","kind":"DELTA","period":"P1D","labelNames":["channel","country"]"#,
    ] {
        server.ok(CREATE, &format!(r#"{{"metric":{{{metric}}}}}"#)).await;
    }
    server
}

fn one(metric: &str, point: &str) -> String {
    format!(r#"{{"series":[{{"metric":"{metric}","points":[{point}]}}]}}"#)
}

#[tokio::test]
async fn the_same_again_is_unchanged_another_value_is_a_correction() {
    let server = server().await;
    let batch = one("pay/daily", r#"{"date":"2026-07-01","value":"5"},{"date":"2026-07-02","value":"6"}"#);
    assert_eq!(server.ok(WRITE, &batch).await, json!({"revision":"6","acceptedCount":"2"}));
    // the same instants, written another way
    let again = one(
        "pay/daily",
        r#"{"time":"2026-06-30T23:00:00Z","value":"5.0"},{"time":"2026-07-02T00:00:00+01:00","value":"8"}"#,
    );
    assert_eq!(
        server.ok(WRITE, &again).await,
        json!({"revision":"7","acceptedCount":"2","unchangedCount":"1","correctedCount":"1"})
    );
    assert_eq!(server.ok(WRITE, &again).await, json!({"revision":"7","acceptedCount":"2","unchangedCount":"2"}));
}

#[tokio::test]
async fn columns_say_what_points_say() {
    let server = server().await;
    let day = 86_400_000_000_000i64;
    let first = 1_782_860_400_000_000_000i64; // 2026-06-30T23:00:00Z, midnight in London
    let points = one(
        "pay/daily",
        r#"{"date":"2026-07-01","value":"5"},{"date":"2026-07-02","value":"6"},{"date":"2026-07-03","value":"-7"}"#,
    );
    server.ok(WRITE, &points).await;
    for times in [
        format!(r#""fixed":{{"unixNanos":["{first}","{}","{}"]}}"#, first + day, first + 2 * day),
        format!(r#""regular":{{"firstUnixNanos":"{first}","intervalNanos":"{day}"}}"#),
        format!(r#""periods":{{"firstUnixNanos":"{first}"}}"#),
    ] {
        let batch = format!(r#"{{"series":[{{"metric":"pay/daily","columns":{{{times},"units":["5","6","-7"]}}}}]}}"#);
        assert_eq!(
            server.ok(WRITE, &batch).await,
            json!({"revision":"6","acceptedCount":"3","unchangedCount":"3"}),
            "{times}"
        );
    }
    // out of order, and in two entries
    let batch = format!(
        r#"{{"series":[{{"metric":"pay/daily","columns":{{"fixed":{{"unixNanos":["{}","{first}"]}},"units":["-7","5"]}}}},
        {{"metric":"pay/daily","points":[{{"date":"2026-07-02","value":"6"}},{{"date":"2026-07-01","value":"5"}}]}}]}}"#,
        first + 2 * day
    );
    assert_eq!(server.ok(WRITE, &batch).await, json!({"revision":"6","acceptedCount":"3","unchangedCount":"3"}));
}

#[tokio::test]
async fn reports_come_in_columns_with_their_start() {
    let server = server().await;
    let t = 1_782_860_400_000_000_000i64;
    let columns = |starts: &str| {
        format!(
            r#"{{"series":[{{"metric":"pay/so-far","columns":{{"regular":{{"firstUnixNanos":"{t}","intervalNanos":"7"}},"units":["5","6"],"startTimes":[{starts}]}}}}]}}"#
        )
    };
    assert_eq!(server.ok(WRITE, &columns(r#""5""#)).await, json!({"revision":"6","acceptedCount":"2"}));
    assert_eq!(server.ok(WRITE, &columns(r#""5","5""#)).await["unchangedCount"], "2");
    // the start is part of the value
    assert_eq!(server.ok(WRITE, &columns("")).await["correctedCount"], "2");
    assert_eq!(
        server.refused(WRITE, &columns(r#""1","2","3""#)).await,
        "INVALID_ARGUMENT FIELD_INVALID series[0].columns.start_times: has 3 times for 2 values; send none, one for all, or one a value"
    );
}

/// Start times are refused for a DELTA as those of its points are: behind what is wrong with the first one's time, and
/// before what is wrong with the second. (The model test, seed 532861.)
#[tokio::test]
async fn start_times_of_a_delta_are_told_in_the_order_of_its_points() {
    let server = server().await;
    let first = 1_782_860_400_000_000_000i64; // 2026-07-01 in London
    for (odd, reason, field) in [(0, "MISALIGNED", "fixed.unix_nanos[0]"), (1, "KIND_DIFFERS", "start_times")] {
        let mut times = [first, first + 86_400_000_000_000];
        times[odd] += 1;
        let columns = format!(r#""fixed":{{"unixNanos":["{}","{}"]}}"#, times[0], times[1]);
        let batch = format!(
            r#"{{"series":[{{"metric":"pay/daily","columns":{{{columns},"units":["5","6"],"startTimes":["{first}"]}}}}]}}"#
        );
        let told = server.refused(WRITE, &batch).await;
        assert!(told.starts_with(&format!("INVALID_ARGUMENT {reason} series[0].columns.{field}: ")), "{told}");
        assert!(told.ends_with("(and 1 more fault)"), "{told}");
    }
}

#[tokio::test]
async fn every_fault_of_form_is_told_in_the_order_of_the_request() {
    let server = server().await;
    let batch = r#"{"requestId":"bad\nid","mode":9,"reason":"r","series":[
        {"metric":"pay/daily","labels":{"x":"y"},"points":[{"date":"2026-07-01"},{"time":"2026-07-01T00:00:00Z","value":"1"}]},
        {"metric":"nix","points":[{"value":"1"}]},
        {"metric":"other/metric"},
        {"metric":"pay/gone","points":[{"date":"2026-13-01","value":"1,000"}]},
        {"metric":"pay/teams","points":[{"date":"2026-07-01","value":"1","endDate":"2026-07-02","restated":true}]}]}"#;
    let status = server.call(WRITE, batch).await.expect_err("refused");
    let violations = status.get_details_bad_request().expect("violations").field_violations;
    let fields: Vec<_> = violations.iter().map(|v| format!("{} {}", v.reason, v.field)).collect();
    assert_eq!(
        fields,
        [
            "FIELD_INVALID request_id",
            "LABELS_DIFFER series[0].labels",
            "FIELD_REQUIRED series[0].points[0].value",
            "MISALIGNED series[0].points[1].time",
            "FIELD_INVALID series[1].metric",
            "FIELD_REQUIRED series[1].points[0].time",
            "COMPONENTS_DIFFER series[2].metric",
            "FIELD_REQUIRED series[2].points",
            "TIME_INVALID series[3].points[0].date",
            "VALUE_INVALID series[3].points[0].value",
            "KIND_DIFFERS series[4].points[0].end_date",
            "KIND_DIFFERS series[4].points[0].restated",
            "FIELD_INVALID mode",
        ]
    );
    let info = status.get_details_error_info().expect("one ErrorInfo");
    assert_eq!((&*info.reason, &*info.metadata["fault_count"]), ("FIELD_INVALID", "13"));
}

#[tokio::test]
async fn faults_of_state_are_told_together_and_only_without_faults_of_form() {
    let server = server().await;
    server
        .ok(
            WRITE,
            &one("pay/pounds", r#"{"time":"2026-07-01T00:00:00Z","endTime":"2026-07-05T00:00:00Z","value":"1"}"#),
        )
        .await;
    server.ok(WRITE, &one("pay/so-far", r#"{"date":"2026-07-01","value":"100"}"#)).await;
    let batch = r#"{"series":[
        {"metric":"pay/unknown","points":[{"date":"2026-07-01","value":"1"}]},
        {"metric":"pay/pounds","points":[{"time":"2026-07-03T00:00:00Z","value":"1.5"}]},
        {"metric":"pay/so-far","points":[{"date":"2026-07-02","value":"99"}]}]}"#;
    let status = server.call(WRITE, batch).await.expect_err("refused");
    let violations = status.get_details_bad_request().expect("violations").field_violations;
    let fields: Vec<_> = violations.iter().map(|v| format!("{} {}", v.reason, v.field)).collect();
    assert_eq!(
        fields,
        [
            "METRIC_NOT_FOUND series[0].metric",
            "PERIODS_OVERLAP series[1].points[0].time",
            "LEVEL_FELL series[2].points[0].value"
        ]
    );
    let resource = status.get_details_resource_info().expect("which metric");
    assert_eq!((&*resource.resource_type, &*resource.resource_name), ("milepost.v1.Metric", "pay/unknown"));
    let with_form = batch.replace("1.5", "1.555");
    assert!(
        server.refused(WRITE, &with_form).await.starts_with("INVALID_ARGUMENT VALUE_INVALID series[1].points[0].value")
    );
    // nothing of it happened
    let listed = server.ok("CatalogService/ListSeries", r#"{"metric":"pay/so-far"}"#).await;
    assert_eq!(listed["series"][0]["pointCount"], "1");
}

#[tokio::test]
async fn a_key_that_stands_twice_is_refused_unless_it_says_the_same() {
    let server = server().await;
    let same = one("pay/daily", r#"{"date":"2026-07-01","value":"5"},{"time":"2026-06-30T23:00:00Z","value":"5.00"}"#);
    assert_eq!(server.ok(WRITE, &same).await["acceptedCount"], "1");
    let other = r#"{"series":[{"metric":"pay/daily","points":[{"date":"2026-07-02","value":"5"}]},
        {"metric":"pay/daily","points":[{"date":"2026-07-03","value":"5"},{"date":"2026-07-02","value":"6"}]}]}"#;
    assert_eq!(
        server.refused(WRITE, other).await,
        "INVALID_ARGUMENT DUPLICATE_POINT series[1].points[1].date: 2026-07-01T23:00:00Z of this series stands at \
         series[0].points[0].date already, with another value; send one of them"
    );
    let added = r#"{"requestId":"a","mode":"ADD","series":[{"metric":"pay/daily","points":[{"date":"2026-07-02","value":"5"},{"date":"2026-07-02","value":"5"}]}]}"#;
    assert!(server.refused(WRITE, added).await.contains("DUPLICATE_POINT series[0].points[1].date"));
}

#[tokio::test]
async fn add_adds() {
    let server = server().await;
    let add = |id: &str, point: &str| {
        format!(r#"{{"requestId":"{id}","mode":"ADD","series":[{{"metric":"pay/pounds","points":[{point}]}}]}}"#)
    };
    let at = r#""time":"2026-07-01T10:00:00Z""#;
    server.ok(WRITE, &add("1", &format!(r#"{{{at},"value":"1.25","endTime":"2026-07-01T11:00:00Z"}}"#))).await;
    server.ok(WRITE, &add("2", &format!(r#"{{{at},"value":"0.5"}}"#))).await;
    assert_eq!(
        server.refused(WRITE, &add("3", &format!(r#"{{{at},"value":"1","endTime":"2026-07-01T12:00:00Z"}}"#))).await,
        "FAILED_PRECONDITION END_TIME_DIFFERS series[0].points[0].end_time: the point at 2026-07-01T10:00:00Z ends at \
         2026-07-01T11:00:00Z, not at 2026-07-01T12:00:00Z; send that end, or none"
    );
    assert_eq!(
        server.refused(WRITE, &add("4", &format!(r#"{{{at},"value":"92233720368547758.07"}}"#))).await,
        "FAILED_PRECONDITION SUM_OUT_OF_RANGE series[0].points[0].value: 1.75 and 92233720368547758.07 at \
         2026-07-01T10:00:00Z do not fit 64 bits; SET it"
    );
    assert!(
        server
            .refused(WRITE, &add("", &format!(r#"{{{at},"value":"1"}}"#)))
            .await
            .starts_with("INVALID_ARGUMENT FIELD_REQUIRED request_id: is required; ADD needs one")
    );
    let gauge = add("5", r#"{"date":"2026-07-01","value":"1"}"#).replace("pounds", "teams");
    assert_eq!(
        server.refused(WRITE, &gauge).await,
        "INVALID_ARGUMENT KIND_DIFFERS mode: ADD is for DELTA only, pay/teams is GAUGE; send SET"
    );
}

#[tokio::test]
async fn validate_only_judges_and_changes_nothing() {
    let server = server().await;
    let batch = r#"{"requestId":"v","validateOnly":true,"series":[{"metric":"pay/daily","points":[{"date":"2026-07-01","value":"5"}]}]}"#;
    assert_eq!(server.ok(WRITE, batch).await, json!({"revision":"5","acceptedCount":"1"}));
    assert_eq!(server.ok("CatalogService/ListSeries", r#"{"metric":"pay/daily"}"#).await, json!({}));
    // the id is free still
    let answer = server.ok(WRITE, &batch.replace(r#""validateOnly":true,"#, "")).await;
    assert_eq!(answer, json!({"revision":"6","acceptedCount":"1"}));
    assert!(server.refused(WRITE, batch).await.starts_with("FAILED_PRECONDITION REQUEST_ID_REUSED"));
}

#[tokio::test]
async fn points_are_taken_back() {
    let server = server().await;
    for (channel, country) in [("web", "uk"), ("web", "au"), ("post", "uk")] {
        let series = format!(
            r#"{{"metric":"pay/messages","labels":{{"channel":"{channel}","country":"{country}"}},"points":[{{"date":"2026-07-01","value":"1"}},{{"date":"2026-07-02","value":"2"}}]}}"#
        );
        server.ok(WRITE, &format!(r#"{{"series":[{series}]}}"#)).await;
    }
    let times = r#"{"requestId":"r1","metric":"pay/messages","reason":"test traffic","filters":[{"label":"channel","anyOf":["web"]}],
        "times":{"times":["2026-07-02T00:00:00Z","2026-07-09T00:00:00Z","2026-07-02T01:00:00+01:00"]}}"#;
    let expected = json!({"revision":"9","retractedCount":"2","unchangedCount":"2"});
    assert_eq!(server.ok(RETRACT, times).await, expected);
    let mut replayed = expected.clone();
    replayed["replayed"] = json!(true);
    assert_eq!(server.ok(RETRACT, times).await, replayed);
    let interval = r#"{"requestId":"r2","metric":"pay/messages","reason":"test traffic","interval":{"endTime":"2026-07-02T00:00:00Z"}}"#;
    assert_eq!(server.ok(RETRACT, interval).await, json!({"revision":"10","retractedCount":"3"}));
    let left = server.ok("CatalogService/ListSeries", r#"{"metric":"pay/messages"}"#).await;
    assert_eq!(left["series"].as_array().expect("rows").len(), 1);
}

#[tokio::test]
async fn a_retraction_may_not_let_a_level_fall() {
    let server = server().await;
    let reports = r#"{"date":"2026-07-01","value":"100"},{"date":"2026-07-02","value":"5","startTime":"2026-07-01T00:00:00Z"},{"date":"2026-07-03","value":"6"}"#;
    server.ok(WRITE, &one("pay/so-far", reports)).await;
    let retract = r#"{"requestId":"r","metric":"pay/so-far","reason":"x","times":{"times":["2026-07-02T00:00:00Z"]}}"#;
    let told = server.refused(RETRACT, retract).await;
    assert!(
        told.starts_with(
            "FAILED_PRECONDITION LEVEL_FELL times: the report of 2026-07-03T00:00:00Z is 6, below 100 of 2026-07-01T00:00:00Z"
        ),
        "{told}"
    );
}

#[tokio::test]
async fn a_retraction_says_all_that_it_needs() {
    let server = server().await;
    let status =
        server.call(RETRACT, r#"{"metric":"pay/messages","filters":[{"label":"nix"}]}"#).await.expect_err("refused");
    let violations = status.get_details_bad_request().expect("violations").field_violations;
    let fields: Vec<_> = violations.iter().map(|v| format!("{} {}", v.reason, v.field)).collect();
    assert_eq!(
        fields,
        [
            "FIELD_REQUIRED request_id",
            "LABEL_UNKNOWN filters[0].label",
            "FIELD_REQUIRED times",
            "FIELD_REQUIRED reason"
        ]
    );
}

#[tokio::test]
async fn openings_are_set_replaced_and_removed() {
    let server = server().await;
    let set = |value: &str, date: &str| {
        format!(r#"{{"metric":"pay/daily","date":"{date}","value":"{value}","note":"the old system"}}"#)
    };
    assert_eq!(server.ok(OPENING, &set("5000", "2026-01-01")).await, json!({"revision":"6"}));
    assert_eq!(server.ok(OPENING, &set("5000", "2026-01-01")).await, json!({"revision":"6"}));
    assert_eq!(server.ok(OPENING, &set("5001", "2026-02-01")).await, json!({"revision":"7"}));
    let told = server.refused(WRITE, &one("pay/daily", r#"{"date":"2026-01-31","value":"1"}"#)).await;
    assert_eq!(
        told,
        "FAILED_PRECONDITION BEFORE_OPENING series[0].points[0].date: the point at 2026-01-31T00:00:00Z lies before the \
         opening balance of 2026-02-01T00:00:00Z; leave the point out, or set the opening to an earlier time"
    );
    server.ok(WRITE, &one("pay/daily", r#"{"date":"2026-02-01","value":"1"}"#)).await;
    assert!(
        server.refused(OPENING, &set("1", "2026-02-02")).await.starts_with("FAILED_PRECONDITION BEFORE_OPENING date: ")
    );
    assert_eq!(server.ok(OPENING, r#"{"metric":"pay/daily"}"#).await, json!({"revision":"9"}));
    server.ok(WRITE, &one("pay/daily", r#"{"date":"2026-01-31","value":"1"}"#)).await;
    assert_eq!(
        server.refused(OPENING, r#"{"metric":"pay/teams","date":"2026-01-01","value":"1"}"#).await,
        "INVALID_ARGUMENT KIND_DIFFERS metric: pay/teams is a GAUGE, and levels are not summed; it has no opening"
    );
    assert!(
        server
            .refused(OPENING, r#"{"metric":"pay/daily","value":"1"}"#)
            .await
            .starts_with("INVALID_ARGUMENT FIELD_REQUIRED time: is required; give time or date")
    );
}

#[tokio::test]
async fn labels_are_exactly_the_metrics() {
    let server = server().await;
    let write = |labels: &str| {
        format!(
            r#"{{"series":[{{"metric":"pay/messages","labels":{{{labels}}},"points":[{{"date":"2026-07-01","value":"1"}}]}}]}}"#
        )
    };
    assert_eq!(
        server.refused(WRITE, &write(r#""channel":"web","extra":"1""#)).await,
        "INVALID_ARGUMENT LABELS_DIFFER series[0].labels: missing: country; not of the metric: extra; the metric has \
         exactly channel, country, each with a value"
    );
    assert_eq!(
        server.refused(WRITE, &write(r#""channel":"web","country":"""#)).await,
        "INVALID_ARGUMENT LABELS_DIFFER series[0].labels: the value \"\" of country is not 1 to 256 bytes without control \
         characters; the metric has exactly channel, country, each with a value"
    );
    let long = "x".repeat(257);
    let status =
        server.call(WRITE, &write(&format!(r#""channel":"web","country":"{long}""#))).await.expect_err("refused");
    let info = status.get_details_error_info().expect("one ErrorInfo");
    assert_eq!(info.metadata["value"].len(), 128);
}

/// A metric is deleted and made again with its labels in another order, while points come in: none of them is read
/// with one definition and kept with the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_is_kept_with_the_definition_it_was_read_with() {
    let server = Server::start().await;
    let create = |names: &str| format!(r#"{{"metric":{{"name":"pay/race","kind":"GAUGE","labelNames":[{names}]}}}}"#);
    // large enough that reading it takes as long as deleting and making the metric
    let times = columns::Times::Regular(RegularTimes { first_unix_nanos: 0, interval_nanos: 1 });
    let series = SeriesPoints {
        metric: "pay/race".to_owned(),
        labels: [("a".to_owned(), "is a".to_owned()), ("b".to_owned(), "is b".to_owned())].into(),
        points: vec![],
        columns: Some(Columns { times: Some(times), units: vec![1; 100_000], start_times: vec![] }),
    };
    let write = WritePointsRequest { series: vec![series], ..Default::default() };
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|_| {
            let (mut client, write, done) = (server.ingest(), write.clone(), done.clone());
            tokio::spawn(async move {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    let _ = client.write_points(write.clone()).await;
                }
            })
        })
        .collect();
    for i in 0..60 {
        server.ok(CREATE, &create(if i % 2 == 0 { r#""a","b""# } else { r#""b","a""# })).await;
        tokio::time::sleep(std::time::Duration::from_millis(i % 7 * 4)).await;
        let listed = server.ok("CatalogService/ListSeries", r#"{"metric":"pay/race"}"#).await;
        for series in listed["series"].as_array().into_iter().flatten() {
            assert_eq!(series["labels"], json!({"a":"is a","b":"is b"}), "round {i}");
        }
        server.ok("CatalogService/DeleteMetric", r#"{"name":"pay/race","force":true}"#).await;
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    for writer in writers {
        writer.await.expect("no panic");
    }
}

#[tokio::test]
async fn faults_of_adding_do_not_hide_faults_of_overlapping() {
    let server = Server::start().await;
    let metric = r#"{"metric":{"name":"pay/daily","kind":"DELTA","period":"P1D"}}"#;
    server.ok("CatalogService/CreateMetric", metric).await;
    let write =
        |rest: &str, points: &str| format!(r#"{{{rest}"series":[{{"metric":"pay/daily","points":[{points}]}}]}}"#);
    let there = r#"{"date":"2026-08-01","value":"1"},{"date":"2026-08-05","end_date":"2026-08-08","value":"1"}"#;
    server.ok("IngestService/WritePoints", &write("", there)).await;
    let added = r#"{"date":"2026-08-06","value":"1"},{"date":"2026-08-01","end_date":"2026-08-03","value":"1"}"#;
    let told = server.refused("IngestService/WritePoints", &write(r#""mode":"ADD","request_id":"a","#, added)).await;
    assert!(told.starts_with("FAILED_PRECONDITION PERIODS_OVERLAP series[0].points[0].date"), "{told}");
    assert!(told.contains("(and 1 more fault)"), "{told}");
}
