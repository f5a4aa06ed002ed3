//! Replies that are kept are sent as those that are made: the same frames, whatever way a client sends its question.
//! (That they say what would be reckoned is a law of the model test; here every question is asked three times.)

use crate::harness::{Server, from_json};
use crate::query_asking::{ask, push, server_with, table};
use bytes::{BufMut, Bytes};
use http::HeaderMap;
use milepost::domain::time::Time;
use prost::Message;

const DAILY: &str = r#""kind":"DELTA","period":"P1D""#;
const DAY: i64 = 86_400_000_000_000;

/// How a question is sent.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Way {
    /// One frame, which says that it is the last.
    Whole,
    /// Nothing more comes, says an empty frame.
    EndApart,
    /// Nothing more comes, say trailers.
    Trailers,
    InHalves,
    /// Two messages in one frame.
    Twice,
    /// Two messages, a frame each.
    AndAgain,
    /// Said to be compressed.
    Compressed,
    /// Its length is not that of what comes.
    Short,
    /// In an encoding nobody knows.
    Encoded,
}

const WAYS: [Way; 9] = [
    Way::Whole,
    Way::EndApart,
    Way::Trailers,
    Way::InHalves,
    Way::Twice,
    Way::AndAgain,
    Way::Compressed,
    Way::Short,
    Way::Encoded,
];

/// A call, and what is asked beside the metric: one whose reply is a message, and those whose reply is written as it is sent.
const CALLS: [(&str, &str); 3] = [
    ("GetTotal", ""),
    ("QueryRange", r#""calendar":{"unit":"DAY"},"endDate":"2026-09-02""#),
    ("QueryCumulative", r#""calendar":{"unit":"MONTH"}"#),
];

/// Asks in frames; headers (but date and details), data and trailers of the answer.
async fn asked(server: &Server, (call, what): (&str, &str), way: Way) -> (HeaderMap, Vec<u8>, Option<HeaderMap>) {
    let socket = tokio::net::TcpStream::connect(server.address).await.expect("a connection");
    let (mut client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://{}/milepost.v1.QueryService/{call}", server.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if way == Way::Encoded {
        request = request.header("grpc-encoding", "brotli");
    }
    let (answer, mut send) = client.send_request(request.body(()).expect("a request"), false).expect("a stream");
    let descriptor = crate::harness::POOL.get_message_by_name(&format!("milepost.v1.{call}Request"));
    let more = if what.is_empty() { String::new() } else { format!(",{what}") };
    let json = format!(r#"{{"selection":{{"metric":"team/counts"}}{more}}}"#);
    let message = from_json(descriptor.expect("of the contract"), &json).encode_to_vec();
    let mut framed = Vec::new();
    framed.put_u8(u8::from(way == Way::Compressed));
    framed.put_u32(message.len() as u32 + u32::from(way == Way::Short));
    framed.extend(message);
    let mut data = |bytes: &[u8], end| send.send_data(Bytes::copy_from_slice(bytes), end).expect("sent");
    match way {
        Way::Whole | Way::Compressed | Way::Short | Way::Encoded => data(&framed, true),
        Way::EndApart => {
            data(&framed, false);
            data(&[], true);
        }
        Way::Trailers => {
            data(&framed, false);
            send.send_trailers(HeaderMap::new()).expect("sent");
        }
        Way::InHalves => {
            data(&framed[..7], false);
            data(&framed[7..], true);
        }
        Way::Twice => data(&[framed.clone(), framed].concat(), true),
        Way::AndAgain => {
            data(&framed, false);
            data(&framed, true);
        }
    }
    let (mut head, mut body) = answer.await.expect("an answer").into_parts();
    head.headers.remove("date");
    // Its metadata are in no order.
    head.headers.remove("grpc-status-details-bin");
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        all.extend(data.expect("data"));
    }
    (head.headers, all, body.trailers().await.expect("an end"))
}

#[tokio::test]
async fn every_way_to_ask_is_answered_as_the_first_time() {
    for asking in CALLS {
        let (call, what) = asking;
        let mut answers = Vec::new();
        for way in WAYS {
            let server = server_with(DAILY).await;
            push(&server, "", "2026-08-30=5").await;
            let first = asked(&server, asking, way).await;
            // kept by now, however it was first asked
            for _ in 0..3 {
                ask(&server, call, what).await;
                assert_eq!(asked(&server, asking, way).await, first, "{call} {way:?}");
            }
            let (_, data, trailers) = first;
            let status = trailers.map(|trailers| trailers["grpc-status"].clone());
            match way {
                Way::Whole | Way::EndApart | Way::Trailers | Way::InHalves => {
                    assert_eq!(status.expect("trailers"), "0");
                    answers.push(data);
                }
                Way::Compressed | Way::Short | Way::Encoded => assert!(data.is_empty(), "{call} {way:?}"),
                Way::Twice | Way::AndAgain => {}
            }
            server.stop().await;
        }
        assert!(answers[0].len() > 40 && answers.iter().all(|answer| *answer == answers[0]), "{call}");
    }
}

#[tokio::test]
async fn what_the_clock_changes_is_told_anew() {
    let server = server_with(DAILY).await;
    push(&server, "", "2026-08-30=5 2026-08-31=7").await;
    let (clock, september) = (server.clock.clone(), r#""calendar":{"unit":"MONTH"},"endDate":"2026-10-01""#);
    let marks = async || {
        let answer = ask(&server, "QueryRange", september).await;
        let head = &answer["answer"];
        format!(
            "{} {} of {}",
            table(&answer["windows"], &["flow", "marks"]).replace('\n', ", "),
            head["evaluateTime"],
            head["groups"][0]["coverage"]["expectedPeriods"]
        )
    };
    let now = crate::harness::NOW.0;
    assert_eq!(marks().await, r#"12 -, - UNFINISHED "2026-09-01T00:00:00Z" of "2""#);
    clock.set(Time(now + DAY - 1));
    assert_eq!(marks().await, r#"12 -, - UNFINISHED "2026-09-01T23:59:59.999999999Z" of "2""#);
    clock.set(Time(now + DAY));
    assert_eq!(marks().await, r#"12 -, - UNFINISHED,INCOMPLETE "2026-09-02T00:00:00Z" of "3""#);
    clock.set(Time(now + 30 * DAY));
    assert_eq!(marks().await, r#"12 -, - INCOMPLETE "2026-10-01T00:00:00Z" of "32""#);
    // A clock that was put back.
    clock.set(Time(now));
    assert_eq!(marks().await, r#"12 -, - UNFINISHED "2026-09-01T00:00:00Z" of "2""#);
    server.stop().await;
}

#[tokio::test]
async fn a_change_is_told_at_once() {
    let server = server_with(DAILY).await;
    push(&server, "", "2026-08-30=5").await;
    let total = async || table(&ask(&server, "GetTotal", "").await["totals"], &["total"]);
    assert_eq!(total().await, "5");
    push(&server, "", "2026-08-30=6").await;
    assert_eq!(total().await, "6");
    server.ok("CatalogService/DeleteMetric", r#"{"name":"team/counts","force":true}"#).await;
    let asked = r#"{"selection":{"metric":"team/counts"}}"#;
    assert!(server.refused("QueryService/GetTotal", asked).await.starts_with("NOT_FOUND METRIC_NOT_FOUND"));
    server.stop().await;
}
