//! StreamPoints: in order, many in flight, refused ones in the middle.

use crate::harness::Server;
use crate::ingest::server;
use milepost::proto::v1::stream_points_response::Outcome;
use milepost::proto::v1::write_points_request::Mode;
use milepost::proto::v1::*;
use tokio_stream::StreamExt;
use tonic::Code;

fn batch(request_id: &str, day: i64, value: i64) -> StreamPointsRequest {
    let columns = Columns {
        times: Some(columns::Times::Periods(PeriodTimes { first_unix_nanos: day * 86_400_000_000_000 })),
        units: vec![value],
        start_times: vec![],
    };
    let series = SeriesPoints {
        metric: "pay/messages".to_owned(),
        labels: [("channel".to_owned(), "web".to_owned()), ("country".to_owned(), "uk".to_owned())].into(),
        points: vec![],
        columns: Some(columns),
    };
    let write = WritePointsRequest { request_id: request_id.to_owned(), series: vec![series], ..Default::default() };
    StreamPointsRequest { write: Some(write) }
}

async fn send(server: &Server, batches: Vec<StreamPointsRequest>) -> Vec<StreamPointsResponse> {
    let mut answers = server.ingest().stream_points(tokio_stream::iter(batches)).await.expect("a stream").into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await {
        all.push(answer.expect("an answer"));
    }
    all
}

fn revision(answer: &StreamPointsResponse) -> Option<i64> {
    match &answer.outcome {
        Some(Outcome::Response(response)) => Some(response.revision),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_in_order_and_batches_are_applied_in_order() {
    let server = server().await;
    // every batch corrects the one before: applied in another order, the counts would differ
    let batches: Vec<_> = (0..500).map(|i| batch(&format!("id {i}"), 20_000, i)).collect();
    let answers = send(&server, batches).await;
    assert_eq!(answers.len(), 500);
    for (i, answer) in (0i64..).zip(&answers) {
        assert_eq!(answer.request_id, format!("id {i}"));
        assert_eq!(revision(answer), Some(6 + i));
    }
}

#[tokio::test]
async fn a_refused_batch_is_answered_and_the_stream_goes_on() {
    let server = server().await;
    let mut misaligned = batch("b", 1, 1);
    let times = columns::Times::Fixed(FixedTimes { unix_nanos: (1..=1_500).collect() });
    let series = &mut misaligned.write.as_mut().expect("a batch").series[0];
    *series.columns.as_mut().expect("columns") =
        Columns { times: Some(times), units: vec![1; 1_500], start_times: vec![] };
    let empty = StreamPointsRequest { write: None };
    let mut adding = batch("d", 1, 1);
    let write = adding.write.as_mut().expect("a batch");
    write.mode = Mode::Add as i32;
    write.series[0].metric = "pay/unknown".to_owned();
    let answers =
        send(&server, vec![batch("a", 1, 1), misaligned, empty, adding, batch("e", 2, 1), batch("a", 1, 1)]).await;
    assert_eq!(answers.iter().map(revision).collect::<Vec<_>>(), [Some(6), None, None, None, Some(7), Some(6)]);
    let refusals: Vec<_> = answers
        .iter()
        .filter_map(|answer| match &answer.outcome {
            Some(Outcome::Refusal(refusal)) => Some((answer.request_id.as_str(), refusal)),
            _ => None,
        })
        .collect();
    let [(b, misaligned), (_, empty), (d, unknown)] = &refusals[..] else { panic!("{refusals:?}") };
    assert_eq!((*b, misaligned.code(), misaligned.reason()), ("b", refusal::Code::InvalidArgument, Reason::Misaligned));
    assert_eq!(misaligned.violations.len(), 1_000);
    assert_eq!(misaligned.metadata["fault_count"], "1500");
    assert_eq!(misaligned.violations[999].field, "series[0].columns.fixed.unix_nanos[999]");
    assert_eq!((empty.reason(), &*empty.violations[0].field), (Reason::FieldRequired, "write"));
    assert_eq!((*d, unknown.code(), unknown.reason()), ("d", refusal::Code::NotFound, Reason::MetricNotFound));
    assert!(matches!(&answers[5].outcome, Some(Outcome::Response(response)) if response.replayed));
}

#[tokio::test]
async fn an_overlong_message_ends_the_stream_after_the_answers_before_it() {
    let server = server().await;
    let mut long = batch("long", 1, 1);
    long.write.as_mut().expect("a batch").reason = "x".repeat(5 << 20);
    let requests = tokio_stream::iter(vec![batch("a", 1, 1), batch("b", 2, 1), long, batch("c", 3, 1)]);
    let mut answers = server.ingest().stream_points(requests).await.expect("a stream").into_inner();
    assert_eq!(revision(&answers.message().await.expect("an answer").expect("a")), Some(6));
    assert_eq!(revision(&answers.message().await.expect("an answer").expect("b")), Some(7));
    let status = answers.message().await.expect_err("the end");
    assert!(crate::harness::told(&status).starts_with("INVALID_ARGUMENT TOO_LARGE the message is over 4 MiB"));
}

#[tokio::test]
async fn a_stop_ends_streams_after_what_was_taken() {
    let mut server = server().await;
    let (send, requests) = tokio::sync::mpsc::channel(8);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut answers = server.ingest().stream_points(requests).await.expect("a stream").into_inner();
    send.send(batch("a", 1, 1)).await.expect("the server reads");
    assert_eq!(revision(&answers.message().await.expect("an answer").expect("a")), Some(6));
    server.begin_stop();
    let status = answers.message().await.expect_err("the end");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(crate::harness::told(&status).contains(" DRAINING the server is stopping"));
    drop((send, answers));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_far_ahead_of_the_answers_is_served() {
    let server = server().await;
    let batches: Vec<_> = (0..60_000).map(|i| batch(&format!("far-{i}"), i % 50, i)).collect();
    let answers = send(&server, batches).await;
    assert_eq!(answers.len(), 60_000);
    assert!(answers.iter().enumerate().all(|(i, answer)| answer.request_id == format!("far-{i}")));
    assert!(answers.iter().all(|answer| matches!(answer.outcome, Some(Outcome::Response(_)))));
}
