//! A request id that is used again while its first batch is still on its way: in one stream, in many at once, by every
//! call that takes one. Whoever comes second is answered as if the first had been acknowledged long ago.

use crate::harness::{Server, told};
use milepost::config::Limits;
use milepost::engine::Settings;
use milepost::proto::v1::stream_points_response::Outcome;
use milepost::proto::v1::write_points_request::Mode;
use milepost::proto::v1::*;
use milepost::random::SeededRandom;
use milepost::store::memory::MemoryStore;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_stream::StreamExt;

const DAY_NANOS: i64 = 86_400_000_000_000;
/// Nothing may be counted before it.
const OPENING_DAY: i64 = 1_000;

/// What a request says, under any id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Body {
    /// Adds so much.
    Adds(i64),
    /// The same, only to be judged.
    Judged,
    /// Wrong in its form: between two days.
    Misaligned,
    /// Of a metric that is not there.
    Unknown,
    /// Refused by the state: before the opening.
    Early,
    /// Another call: takes back what is not there.
    Retracts,
    /// Another call: an opening of another metric.
    Opens,
}

/// What one is told: the answer, or the reason of a refusal.
type Told = Result<WritePointsResponse, String>;

fn points(id: &str, body: Body) -> WritePointsRequest {
    let (day, value) = match body {
        Body::Adds(value) => (OPENING_DAY + value, value),
        Body::Early => (OPENING_DAY - 1, 1),
        _ => (OPENING_DAY, 1),
    };
    let at = day * DAY_NANOS + i64::from(body == Body::Misaligned);
    let times = Some(columns::Times::Fixed(FixedTimes { unix_nanos: vec![at] }));
    let metric = if body == Body::Unknown { "pay/unknown" } else { "pay/orders" };
    let columns = Some(Columns { times, units: vec![value], start_times: vec![] });
    let series = vec![SeriesPoints { metric: metric.to_owned(), columns, ..Default::default() }];
    let validate_only = body == Body::Judged;
    let mut request =
        WritePointsRequest { request_id: id.to_owned(), series, validate_only, ..WritePointsRequest::default() };
    request.set_mode(Mode::Add);
    request
}

fn random_body(random: &SeededRandom, with_other_calls: bool) -> Body {
    match random.next() % if with_other_calls { 12 } else { 10 } {
        kind @ 0..=4 => Body::Adds(1 + i64::try_from(kind % 3).expect("a small number")),
        5 => Body::Judged,
        6 | 7 => Body::Misaligned,
        8 => Body::Unknown,
        9 => Body::Early,
        10 => Body::Retracts,
        _ => Body::Opens,
    }
}

/// A server with `pay/orders`, opened on a day, and `pay/other`. On a disk every second time: syncs take their time.
async fn server(seed: u64, dir: &std::path::Path) -> Server {
    let server = match seed.is_multiple_of(2) {
        true => Server::over(Arc::new(MemoryStore::new()), Settings::default(), Limits::default()).await,
        false => Server::in_dir(dir).await,
    };
    for name in ["pay/orders", "pay/other"] {
        let metric = format!(r#"{{"metric":{{"name":"{name}","kind":"DELTA","period":"P1D"}}}}"#);
        server.ok("CatalogService/CreateMetric", &metric).await;
    }
    let opening = r#"{"requestId":"opening","metric":"pay/orders","date":"1972-09-27","value":"0"}"#;
    server.ok("IngestService/SetOpeningBalance", opening).await;
    server
}

fn heard(answer: StreamPointsResponse) -> Told {
    match answer.outcome.expect("an outcome") {
        Outcome::Response(response) => Ok(response),
        Outcome::Refusal(refusal) => Err(refusal.reason().as_str_name().to_owned()),
    }
}

/// Sends all of it without waiting for an answer, and hears every answer.
async fn stream(server: &Server, sent: &[(String, Body)]) -> Vec<Told> {
    let requests = sent.iter().map(|(id, body)| StreamPointsRequest { write: Some(points(id, *body)) });
    let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
    let mut answers = server.ingest().stream_points(requests).await.expect("a stream").into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await {
        all.push(heard(answer.expect("an answer")));
    }
    all
}

/// One call of its own.
async fn call(server: &Server, id: &str, body: Body) -> Told {
    let mut ingest = server.ingest();
    let answer = match body {
        Body::Retracts => {
            let times = vec![prost_types::Timestamp { seconds: 0, nanos: 0 }];
            let request = RetractPointsRequest {
                request_id: id.to_owned(),
                metric: "pay/other".to_owned(),
                reason: "never there".to_owned(),
                what: Some(retract_points_request::What::Times(Times { times })),
                ..Default::default()
            };
            ingest.retract_points(request).await.map(|answer| answer.into_inner()).map(|answer| WritePointsResponse {
                revision: answer.revision,
                unchanged_count: answer.unchanged_count,
                replayed: answer.replayed,
                ..Default::default()
            })
        }
        Body::Opens => {
            let request = SetOpeningBalanceRequest {
                request_id: id.to_owned(),
                metric: "pay/other".to_owned(),
                at: Some(set_opening_balance_request::At::Date("2000-01-01".to_owned())),
                value: Some("5".to_owned()),
                ..Default::default()
            };
            ingest.set_opening_balance(request).await.map(|answer| answer.into_inner()).map(|answer| {
                WritePointsResponse { revision: answer.revision, replayed: answer.replayed, ..Default::default() }
            })
        }
        _ => ingest.write_points(points(id, body)).await.map(tonic::Response::into_inner),
    };
    answer.map_err(|status| told(&status).split(' ').nth(1).expect("CODE REASON").to_owned())
}

/// What one stream must be told, message by message: as if each were sent after the answer to the one before.
struct Expected<'a> {
    revision: i64,
    first: BTreeMap<&'a str, (Body, WritePointsResponse)>,
}

impl<'a> Expected<'a> {
    fn answer(&mut self, (id, body): &'a (String, Body)) -> Told {
        let refused = |reason: &str| Err(reason.to_owned());
        match (self.first.get(id.as_str()), body) {
            (Some((before, first)), _) if before == body => {
                return Ok(WritePointsResponse { replayed: true, ..*first });
            }
            (Some(_), _) => return refused("REQUEST_ID_REUSED"),
            (None, Body::Misaligned) => return refused("MISALIGNED"),
            (None, Body::Unknown) => return refused("METRIC_NOT_FOUND"),
            (None, Body::Early) => return refused("BEFORE_OPENING"),
            (None, Body::Judged) => {}
            (None, _) => self.revision += 1,
        }
        let answer = WritePointsResponse { revision: self.revision, accepted_count: 1, ..Default::default() };
        if *body != Body::Judged {
            self.first.insert(id, (*body, answer));
        }
        Ok(answer)
    }
}

async fn total(server: &Server) -> (i64, i64) {
    let answer = server.ok("QueryService/GetTotal", r#"{"selection":{"metric":"pay/orders"}}"#).await;
    let number = |value: &serde_json::Value| value.as_str().expect("a text").parse().expect("a number");
    (number(&answer["totals"][0]["total"]), number(&answer["answer"]["revision"]))
}

fn counted(all: &[(Body, Told)]) -> i64 {
    let first = all.iter().filter(|(_, told)| matches!(told, Ok(answer) if !answer.replayed));
    first.map(|(body, _)| if let Body::Adds(value) = body { *value } else { 0 }).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_one_stream_each_is_judged_after_the_one_before() {
    let (mut replayed, mut reused) = (0, 0);
    for seed in 0..24 {
        let dir = tempfile::tempdir().expect("a directory");
        let server = server(seed, dir.path()).await;
        let random = SeededRandom::new(seed);
        let some = |_| (format!("id {}", random.next() % 40), random_body(&random, false));
        let sent: Vec<(String, Body)> = (0..400).map(some).collect();
        let heard = stream(&server, &sent).await;
        let mut expected = Expected { revision: 3, first: BTreeMap::new() };
        assert_eq!(heard.len(), sent.len());
        for (i, (message, heard)) in sent.iter().zip(&heard).enumerate() {
            assert_eq!(*heard, expected.answer(message), "seed {seed}, message {i}: {message:?}");
        }
        let all: Vec<(Body, Told)> = sent.iter().map(|(_, body)| *body).zip(heard).collect();
        assert_eq!(total(&server).await, (counted(&all), expected.revision), "seed {seed}");
        replayed += all.iter().filter(|(_, told)| told.as_ref().is_ok_and(|answer| answer.replayed)).count();
        reused += all.iter().filter(|(_, told)| told.as_ref().is_err_and(|why| why == "REQUEST_ID_REUSED")).count();
        server.stop().await;
    }
    assert!(replayed > 500 && reused > 1_000, "{replayed} replayed, {reused} reused");
}

/// What was sent and heard of one id, and when: numbers that grow.
struct Heard {
    body: Body,
    told: Told,
    sent: u64,
    heard: u64,
}

/// Whatever the order was: one body was accepted, once; whoever had it too got its answer; nobody else was accepted,
/// and who came later was told that the id was used.
fn check_id(id: &str, all: &[Heard]) {
    let accepted: Vec<&Heard> = all.iter().filter(|one| one.told.is_ok() && one.body != Body::Judged).collect();
    let first: Vec<&&Heard> = accepted.iter().filter(|one| one.told.as_ref().is_ok_and(|a| !a.replayed)).collect();
    if accepted.is_empty() {
        assert!(all.iter().all(|one| one.told.as_ref().err().is_none_or(|why| why != "REQUEST_ID_REUSED")), "{id}");
        return;
    }
    let [first] = first[..] else { panic!("{id} was accepted {} times", first.len()) };
    let answer = first.told.as_ref().expect("accepted");
    for other in &accepted {
        assert_eq!(other.body, first.body, "{id}");
        let replayed = other.told.as_ref().is_ok_and(|told| told.replayed);
        assert_eq!(other.told, Ok(WritePointsResponse { replayed, ..*answer }), "{id}");
    }
    let known_from = accepted.iter().map(|one| one.heard).min().expect("one was accepted");
    for other in all.iter().filter(|one| one.body != first.body) {
        let told = other.told.as_ref().err().map(String::as_str);
        let own = match other.body {
            Body::Misaligned => Some("MISALIGNED"),
            Body::Unknown => Some("METRIC_NOT_FOUND"),
            Body::Early => Some("BEFORE_OPENING"),
            _ => None,
        };
        let before = other.sent < known_from && (told == own && (own.is_some() || other.body == Body::Judged));
        assert!(told == Some("REQUEST_ID_REUSED") || before, "{id}: {:?} is told {:?}", other.body, other.told);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_streams_and_calls_at_once_one_is_the_first() {
    let mut contested = 0;
    for seed in 0..16 {
        let dir = tempfile::tempdir().expect("a directory");
        let server = server(seed, dir.path()).await;
        let clock = std::sync::atomic::AtomicU64::new(0);
        let tick = || clock.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let random = SeededRandom::new(seed);
        let some = |calls| (format!("id {}", random.next() % 60), random_body(&random, calls));
        let streams: Vec<Vec<_>> = (0..3).map(|_| (0..120).map(|_| some(false)).collect()).collect();
        let calls: Vec<_> = (0..240).map(|_| some(true)).collect();
        let streamed = streams.iter().map(|sent| async {
            let at = tick();
            let heard = stream(&server, sent).await;
            (at, heard, tick())
        });
        let called = calls.iter().map(|(id, body)| async {
            let at = tick();
            let told = call(&server, id, *body).await;
            Heard { body: *body, told, sent: at, heard: tick() }
        });
        let (streamed, called) =
            futures::future::join(futures::future::join_all(streamed), futures::future::join_all(called)).await;
        let mut by_id: BTreeMap<&str, Vec<Heard>> = BTreeMap::new();
        for (sent, (at, heard, end)) in streams.iter().zip(streamed) {
            let mut accepted: BTreeMap<&str, Body> = BTreeMap::new();
            for ((id, body), told) in sent.iter().zip(heard) {
                if let Some(before) = accepted.get(id.as_str()) {
                    let right = match &told {
                        Ok(answer) => before == body && answer.replayed,
                        Err(why) => before != body && why == "REQUEST_ID_REUSED",
                    };
                    assert!(right, "seed {seed}, {id}: {body:?} after {before:?} is told {told:?}");
                } else if told.is_ok() && *body != Body::Judged {
                    accepted.insert(id, *body);
                }
                by_id.entry(id).or_default().push(Heard { body: *body, told, sent: at, heard: end });
            }
        }
        for ((id, _), heard) in calls.iter().zip(called) {
            by_id.entry(id).or_default().push(heard);
        }
        by_id.iter().for_each(|(id, all)| check_id(&format!("seed {seed}, {id}"), all));
        let all: Vec<(Body, Told)> = by_id.into_values().flatten().map(|one| (one.body, one.told)).collect();
        assert_eq!(total(&server).await.0, counted(&all), "seed {seed}");
        contested += all.iter().filter(|(_, told)| matches!(told, Err(why) if why == "REQUEST_ID_REUSED")).count();
        server.stop().await;
    }
    assert!(contested > 1_000, "{contested} were refused for their id");
}
