//! StreamPoints: batches applied and answered in order, many in flight.
//!
//! One task reads, converts and queues; the answers are awaited in the same order on the other side of a bounded
//! channel. So the next batch is converted while the disk syncs the one before, and one sync covers many.

use super::write::Submitted;
use super::{Ingest, written};
use crate::domain::limit::STREAM_BATCHES_IN_FLIGHT_MAX;
use crate::proto::v1::stream_points_response::Outcome;
use crate::proto::v1::{StreamPointsRequest, StreamPointsResponse};
use crate::service::convert::{refused, required};
use crate::service::status::{self, told_by_contract};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// What is to be answered next.
enum Next {
    /// A batch, under its request id.
    Batch(String, Submitted),
    /// The stream ends with this.
    End(Status),
}

/// Reads the batches, and answers them in order.
pub(super) fn answers(
    ingest: Ingest,
    requests: Streaming<StreamPointsRequest>,
) -> BoxStream<'static, Result<StreamPointsResponse, Status>> {
    let (queue, queued) = mpsc::channel(STREAM_BATCHES_IN_FLIGHT_MAX);
    tokio::spawn(read(ingest, requests, queue));
    ReceiverStream::new(queued).then(answer).boxed()
}

/// Until the client has said all, or is gone, or the server stops.
async fn read(ingest: Ingest, mut requests: Streaming<StreamPointsRequest>, queue: mpsc::Sender<Next>) {
    let mut stopping = ingest.stopping.clone();
    loop {
        let message = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => Err(refused::draining().into()),
            () = queue.closed() => return,
            message = requests.message() => message.map_err(told_by_contract),
        };
        let next = match message {
            Ok(None) => return,
            Err(status) => Next::End(status),
            Ok(Some(StreamPointsRequest { write: None })) => {
                let faults = required("write", "each message holds one WritePointsRequest").into();
                Next::Batch(String::new(), Submitted::Refused(faults))
            }
            Ok(Some(StreamPointsRequest { write: Some(request) })) => {
                Next::Batch(request.request_id.clone(), ingest.submit(request).await)
            }
        };
        let ends = matches!(next, Next::End(_));
        if queue.send(next).await.is_err() || ends {
            return;
        }
    }
}

async fn answer(next: Next) -> Result<StreamPointsResponse, Status> {
    match next {
        Next::End(status) => Err(status),
        Next::Batch(request_id, submitted) => {
            let outcome = match submitted.answer().await {
                Ok(ack) => Outcome::Response(written(&ack)),
                Err(faults) => Outcome::Refusal(status::refusal(&faults)),
            };
            Ok(StreamPointsResponse { request_id, outcome: Some(outcome) })
        }
    }
}
