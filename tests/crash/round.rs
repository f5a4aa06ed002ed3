//! One server's life in a campaign: writers and a reader at work, until a kill cuts them off.

use crate::book::{Answer, Book, Habit, Op};
use crate::questions::{self, Answers};
use milepost::proto::v1::ingest_service_client::IngestServiceClient;
use milepost::proto::v1::stream_points_response::Outcome;
use milepost::proto::v1::{StreamPointsRequest, WritePointsResponse};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Batches of one stream in flight, at most.
const IN_FLIGHT_MAX: usize = 32;
/// Pauses keep what is kept small enough to be read whole after every kill.
const PAUSE: Duration = Duration::from_millis(8);

/// How long it may take, on a busy machine, until writing resumes after room was made.
const ROOM_WAIT: Duration = Duration::from_secs(30);

/// What the tasks of a round share.
#[derive(Default)]
pub struct Sight {
    /// The server is being killed: calls may fail from now on.
    pub killed: AtomicBool,
    /// Whoever has nothing in flight stops.
    pub enough: AtomicBool,
    /// Batches refused because the disk is full.
    pub refused: AtomicU64,
    /// Batches acknowledged in this round.
    pub acknowledged: AtomicU64,
    /// Latest acknowledged revision, by component.
    latest: Mutex<BTreeMap<&'static str, i64>>,
}

/// What questions were answered as of a revision.
pub struct Snapshot {
    pub component: &'static str,
    pub revision: i64,
    pub answers: Answers,
}

impl Sight {
    pub fn acknowledge(&self, book: &mut Book, answer: Answer) {
        book.take_answer(answer);
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let mut latest = self.latest.lock().expect("no holder panics");
        let revision = latest.entry(book.component).or_default();
        *revision = answer.revision.max(*revision);
    }

    /// A call failed: that is fine once the server is being killed, and only then.
    pub async fn cut_off(&self, what: &str, status: &Status) {
        for _ in 0..200 {
            if self.killed.load(Ordering::SeqCst) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {status}");
    }
}

/// Whether a call was refused because the disk is full; then it says when to try again.
pub fn is_full(status: &Status) -> bool {
    let reason = status.get_details_error_info().map(|info| info.reason);
    let full = status.code() == Code::ResourceExhausted && reason.as_deref() == Some("DISK_FULL");
    assert!(!full || status.get_details_retry_info().and_then(|info| info.retry_delay).is_some(), "{status}");
    full
}

/// Sends one batch until there is room for it.
pub async fn send_until_taken(channel: &Channel, book: &Book, op: &Op) -> Result<Answer, Status> {
    let until = Instant::now() + ROOM_WAIT;
    loop {
        match send(channel, book, op).await {
            Err(status) if is_full(&status) && Instant::now() < until => tokio::time::sleep(PAUSE).await,
            sent => return sent,
        }
    }
}

pub fn of_write(response: WritePointsResponse) -> Answer {
    let counts = [response.accepted_count, response.unchanged_count, response.corrected_count];
    Answer { revision: response.revision, counts, replayed: response.replayed }
}

/// Sends one batch by its own call.
pub async fn send(channel: &Channel, book: &Book, op: &Op) -> Result<Answer, Status> {
    let mut client = IngestServiceClient::new(channel.clone());
    if let Some(write) = book.write(op) {
        return client.write_points(write).await.map(|response| of_write(response.into_inner()));
    }
    if let Some(retract) = book.retract(op) {
        let response = client.retract_points(retract).await?.into_inner();
        let counts = [response.retracted_count, response.unchanged_count, 0];
        return Ok(Answer { revision: response.revision, counts, replayed: response.replayed });
    }
    let opening = book.opening(op).expect("a deed is one of three calls");
    let response = client.set_opening_balance(opening).await?.into_inner();
    Ok(Answer { revision: response.revision, counts: [0; 3], replayed: response.replayed })
}

/// A writer at work until it is cut off.
pub async fn work(channel: Channel, mut book: Book, sight: &Sight) -> Book {
    match book.habit {
        Habit::Plain | Habit::Careful => loop {
            let op = book.next_op();
            match send(&channel, &book, &op).await {
                Ok(answer) => sight.acknowledge(&mut book, answer),
                Err(status) => {
                    sight.cut_off(&book.writer, &status).await;
                    return book;
                }
            }
            tokio::time::sleep(PAUSE / 4).await;
        },
        Habit::Streaming => {
            stream(channel, &mut book, sight).await;
            book
        }
    }
}

async fn stream(channel: Channel, book: &mut Book, sight: &Sight) {
    let (sender, requests) = tokio::sync::mpsc::channel(IN_FLIGHT_MAX);
    let mut client = IngestServiceClient::new(channel);
    let mut answers = match client.stream_points(ReceiverStream::new(requests)).await {
        Ok(response) => response.into_inner(),
        Err(status) => return sight.cut_off(&book.writer, &status).await,
    };
    loop {
        while book.in_flight.len() < IN_FLIGHT_MAX {
            let op = book.next_op();
            let write = book.write(&op);
            assert!(write.is_some(), "a stream takes WritePoints only");
            if sender.send(StreamPointsRequest { write }).await.is_err() {
                break;
            }
        }
        for _ in 0..IN_FLIGHT_MAX / 2 {
            match answers.message().await {
                Ok(Some(response)) => {
                    let sent = &book.in_flight.front().expect("only what was sent is answered").request_id;
                    assert_eq!(&response.request_id, sent);
                    match response.outcome {
                        Some(Outcome::Response(response)) => sight.acknowledge(book, of_write(response)),
                        other => panic!("{} was refused: {other:?}", book.writer),
                    }
                }
                Ok(None) => return sight.cut_off(&book.writer, &Status::unknown("the stream ended")).await,
                Err(status) => return sight.cut_off(&book.writer, &status).await,
            }
        }
        tokio::time::sleep(PAUSE * 4).await;
    }
}

/// A reader at work until it is cut off: asks as of revisions that were just acknowledged.
pub async fn watch(channel: Channel, sight: &Sight) -> Vec<Snapshot> {
    let mut snapshots = Vec::new();
    loop {
        tokio::time::sleep(PAUSE * 4).await;
        let latest = sight.latest.lock().expect("no holder panics").clone();
        for (component, revision) in latest {
            match questions::ask(&channel, component, revision).await {
                Ok(answers) => snapshots.push(Snapshot { component, revision, answers }),
                Err(status) => {
                    sight.cut_off("the reader", &status).await;
                    return snapshots;
                }
            }
        }
    }
}
