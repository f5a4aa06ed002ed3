//! What is too large, too many, too long or no message at all.

use crate::harness::{Server, code_word, told};
use crate::ingest::server;
use milepost::config::Limits;
use milepost::engine::Settings;
use milepost::proto::v1::*;
use milepost::store::memory::MemoryStore;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

const WRITE: &str = "IngestService/WritePoints";

fn columns(metric: &str, label: usize, values: usize) -> SeriesPoints {
    let times = columns::Times::Regular(RegularTimes { first_unix_nanos: 0, interval_nanos: 1 });
    SeriesPoints {
        metric: metric.to_owned(),
        labels: [("n".to_owned(), label.to_string())].into(),
        points: vec![],
        columns: Some(Columns { times: Some(times), units: vec![1; values], start_times: vec![] }),
    }
}

async fn many() -> Server {
    let server = Server::start().await;
    server.ok("CatalogService/CreateMetric", r#"{"metric":{"name":"a/many","kind":"GAUGE","labelNames":["n"]}}"#).await;
    server
}

async fn write(server: &Server, series: Vec<SeriesPoints>) -> Result<WritePointsResponse, String> {
    let request = WritePointsRequest { series, ..Default::default() };
    server.ingest().write_points(request).await.map(|answer| answer.into_inner()).map_err(|status| told(&status))
}

#[tokio::test]
async fn a_batch_has_at_most_a_million_points_and_ten_thousand_series() {
    let server = many().await;
    let answer = write(&server, vec![columns("a/many", 1, 1_000_000)]).await.expect("as many as may be");
    assert_eq!(answer.accepted_count, 1_000_000);
    assert_eq!(
        write(&server, vec![columns("a/many", 1, 600_000), columns("a/many", 2, 400_001)]).await.unwrap_err(),
        "INVALID_ARGUMENT TOO_LARGE series: has 1000001 points; send at most 1000000 in a batch"
    );
    let series: Vec<_> = (0..10_001).map(|n| columns("a/many", n, 1)).collect();
    assert_eq!(
        write(&server, series.clone()).await.unwrap_err(),
        "INVALID_ARGUMENT TOO_LARGE series: has 10001 series; send at most 10000 in a batch"
    );
    let answer = write(&server, series[1..].to_vec()).await.expect("as many as may be");
    assert_eq!(answer.accepted_count, 10_000);
}

#[tokio::test]
async fn an_overlong_message_is_an_invalid_argument() {
    let server = server().await;
    let request = WritePointsRequest { reason: "x".repeat(4 << 20), ..Default::default() };
    let status = server.ingest().write_points(request).await.expect_err("refused");
    assert!(
        told(&status).starts_with("INVALID_ARGUMENT TOO_LARGE the message is over 4 MiB; send several"),
        "{status}"
    );
}

#[tokio::test]
async fn bytes_that_are_no_message_are_an_invalid_argument() {
    let server = server().await;
    let mut wrong = vec![
        vec![0xff],
        vec![0x0a, 0x05, 1],
        vec![0x0a, 0x02, 0xff, 0xfe],
        vec![0x08, 0x01],
        vec![0x12, 0x03, 0x0a, 0x01, 0xc3],
        vec![0x0b],
    ];
    // every truncation of a real message
    let whole =
        WritePointsRequest { series: vec![columns("pay/daily", 1, 3)], request_id: "id".into(), ..Default::default() };
    let whole = whole.encode_to_vec();
    wrong.extend((1..whole.len()).map(|end| whole[..end].to_vec()));
    for method in [WRITE, "CatalogService/CreateMetric", "QueryService/GetTotal"] {
        for bytes in &wrong {
            if let Err(status) = server.call_bytes(method, bytes.clone()).await {
                let word = code_word(status.code());
                assert!(!matches!(word, "INTERNAL" | "UNKNOWN"), "{method} {bytes:?}: {}", told(&status));
                assert!(
                    !told(&status).contains(" - ") || word == "UNIMPLEMENTED",
                    "{method} {bytes:?}: {}",
                    told(&status)
                );
            }
        }
    }
    let status = server.call_bytes(WRITE, vec![0xff]).await.expect_err("refused");
    assert!(
        told(&status).starts_with("INVALID_ARGUMENT MALFORMED_REQUEST the message could not be decoded"),
        "{status}"
    );
}

#[tokio::test]
async fn random_bytes_get_an_answer_of_the_contract() {
    let server = server().await;
    let mut state = 1u64;
    for _ in 0..500 {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        let bytes: Vec<u8> = (0..next() % 40).map(|_| next() % 50).collect();
        if let Err(status) = server.call_bytes(WRITE, bytes.clone()).await {
            assert!(!told(&status).contains(" - "), "{bytes:?}: {}", told(&status));
            assert!(!matches!(code_word(status.code()), "INTERNAL" | "UNKNOWN"), "{bytes:?}: {}", told(&status));
        }
    }
}

#[tokio::test]
async fn a_call_too_many_is_refused_until_one_has_ended() {
    let limits = Limits { calls_max: 1, ..Limits::default() };
    let server = Server::over(Arc::new(MemoryStore::new()), Settings::default(), limits).await;
    let (send, requests) = tokio::sync::mpsc::channel::<StreamPointsRequest>(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut open = server.ingest().stream_points(requests).await.expect("a stream").into_inner();
    assert_eq!(
        server.refused("CatalogService/ListComponents", "{}").await,
        "RESOURCE_EXHAUSTED TOO_MANY_CALLS 1 calls are being served already; try again, with fewer at once"
    );
    drop(send);
    assert!(open.message().await.expect("no error").is_none());
    server.ok("CatalogService/ListComponents", "{}").await;
}

#[tokio::test]
async fn a_deadline_is_told_as_one() {
    let server = server().await;
    // A client of frames: one that reads `grpc-timeout` itself would race with the server.
    let socket = tokio::net::TcpStream::connect(server.address).await.expect("a connection");
    let (mut client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://{}/milepost.v1.IngestService/WritePoints", server.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "50m")
        .body(())
        .expect("a request");
    // a call whose message never comes
    let (answer, _message) = client.send_request(request, false).expect("a stream");
    let answer = tokio::time::timeout(Duration::from_secs(30), answer).await.expect("in time").expect("an answer");
    let status = tonic::Status::from_header_map(answer.headers()).expect("a status");
    assert!(told(&status).starts_with("DEADLINE_EXCEEDED DEADLINE_PASSED "), "{}", told(&status));
}

#[tokio::test]
async fn a_page_ends_early_where_it_would_be_over_4_mib() {
    let server = Server::start().await;
    let description = "d".repeat(4_096);
    let labels: Vec<_> = (0..32).map(|n| format!("\"{}{n:02}\"", "l".repeat(126))).collect();
    for i in 0..600 {
        let metric = format!(
            r#"{{"metric":{{"name":"a/m{i:03}","kind":"GAUGE","description":"{description}","labelNames":[{}]}}}}"#,
            labels.join(",")
        );
        server.ok("CatalogService/CreateMetric", &metric).await;
    }
    let (mut count, mut token, mut pages) = (0, String::new(), 0);
    loop {
        let request = ListMetricsRequest { page_token: token, ..Default::default() };
        let page = server.catalog().list_metrics(request).await.expect("a page").into_inner();
        assert!(page.encoded_len() <= 4 << 20);
        count += page.metrics.len();
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((count, pages), (600, 2));
}

#[tokio::test]
async fn a_retraction_and_a_selection_have_bounds() {
    let server = many().await;
    write(&server, vec![columns("a/many", 1, 600_000)]).await.expect("written");
    write(&server, vec![columns("a/many", 2, 600_000)]).await.expect("written");
    let retract = "IngestService/RetractPoints";
    assert_eq!(
        server.refused(retract, r#"{"requestId":"r","metric":"a/many","reason":"x","interval":{}}"#).await,
        "INVALID_ARGUMENT TOO_LARGE interval: takes back up to 1200000 points; at most 1000000 at once, so say fewer"
    );
    let one =
        r#"{"requestId":"r","metric":"a/many","reason":"x","filters":[{"label":"n","anyOf":["1"]}],"interval":{}}"#;
    assert_eq!(server.ok(retract, one).await["retractedCount"], "600000");
    assert_eq!(server.ok(retract, one).await["replayed"], true);
    let filters = vec![r#"{"label":"n"}"#; 101].join(",");
    assert_eq!(
        server.refused("CatalogService/ListSeries", &format!(r#"{{"metric":"a/many","filters":[{filters}]}}"#)).await,
        "INVALID_ARGUMENT TOO_LARGE filters: has 101 filters; send at most 100"
    );
}

/// A question of the past makes what was changed since as it was, block by block: it is refused where these are more than
/// the bound, and before they are made; what asks for fewer of them is answered.
#[tokio::test]
async fn the_past_costs_the_blocks_that_were_changed_since() {
    let settings = Settings { block_points_max: 2, page_points_max: 1, ..Settings::default() };
    let server = Server::over(Arc::new(MemoryStore::new()), settings, Limits::default()).await;
    server.ok("CatalogService/CreateMetric", r#"{"metric":{"name":"a/many","kind":"DELTA","labelNames":["n"]}}"#).await;
    let blocks = 100_001;
    let before = write(&server, vec![columns("a/many", 1, 2 * blocks)]).await.expect("written").revision;
    // One of each two points is another one now.
    let times = (0..blocks as i64).map(|block| 2 * block).collect();
    let times = Some(columns::Times::Fixed(FixedTimes { unix_nanos: times }));
    let corrected = Columns { times, units: vec![5; blocks], start_times: vec![] };
    let corrected = SeriesPoints { columns: Some(corrected), ..columns("a/many", 1, 0) };
    assert_eq!(write(&server, vec![corrected]).await.expect("written").corrected_count, blocks as i64);

    let asked = |method: &str, revision: i64, rest: &str| {
        let as_of = format!(r#""asOf":{{"revision":"{revision}"}}"#);
        (format!("QueryService/{method}"), format!(r#"{{"selection":{{"metric":"a/many"}},{as_of}{rest}}}"#))
    };
    let refusal = format!(
        "INVALID_ARGUMENT QUESTION_TOO_COSTLY as_of: as of revision {before} more than 100000 blocks would be made as \
         they were, for they were changed since; ask for a shorter interval, fewer series or a later revision"
    );
    let thresholds = r#","thresholds":{"values":["7"]}"#;
    for (method, rest) in
        [("GetTotal", ""), ("ListMilestones", thresholds), ("QueryRange", ""), ("QueryCumulative", "")]
    {
        let (call, request) = asked(method, before, rest);
        assert_eq!(server.refused(&call, &request).await, refusal, "{method}");
    }
    // Totals rest on what lies before their first window, flows do not.
    let start = r#","startTime":"1970-01-01T00:00:00.000000002Z""#;
    let (call, request) = asked("QueryCumulative", before, start);
    assert_eq!(server.refused(&call, &request).await, refusal);
    let (call, request) = asked("QueryRange", before, start);
    let answer = server.ok(&call, &request).await;
    assert_eq!(answer["windows"][0]["flow"], (2 * blocks - 2).to_string());
    // One block fewer, and as of now, when none was changed since.
    let end = format!(r#","atTime":"1970-01-01T00:00:00.{:09}Z""#, 2 * blocks - 2);
    let (call, request) = asked("GetTotal", before, &end);
    assert_eq!(server.ok(&call, &request).await["totals"][0]["total"], (2 * blocks - 2).to_string());
    let (call, request) = asked("GetTotal", before + 1, "");
    assert_eq!(server.ok(&call, &request).await["totals"][0]["total"], (6 * blocks).to_string());
    server.stop().await;
}
