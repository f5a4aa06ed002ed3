//! `IngestService`: counts in.

mod change;
mod front;
mod stream;
mod wire;
mod write;

pub use front::IngestServer;

use super::definition_lock::DefinitionLock;
use super::fault::Faults;
use crate::domain::limit::POINTS_IN_FLIGHT_MAX;
use crate::engine::Engine;
use crate::engine::batch::Ack;
use crate::proto::v1::{ingest_service_server::IngestService, *};
use futures::stream::BoxStream;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tonic::{Request, Response, Status, Streaming};

/// Serves writes to an engine.
#[derive(Clone)]
pub struct Ingest {
    engine: Engine,
    definitions: DefinitionLock,
    /// A permit a point in flight: what bounds the memory of writing.
    points: Arc<Semaphore>,
    /// True from when the server stops: streams come to their end.
    stopping: watch::Receiver<bool>,
}

impl Ingest {
    /// Serves `engine`; `definitions` is shared with whoever changes them, streams end when `stopping` turns true.
    pub fn new(engine: Engine, definitions: DefinitionLock, stopping: watch::Receiver<bool>) -> Ingest {
        Ingest { engine, definitions, points: Arc::new(Semaphore::new(POINTS_IN_FLIGHT_MAX)), stopping }
    }
}

/// Counts are far below 2^63.
fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn written(ack: &Ack) -> WritePointsResponse {
    WritePointsResponse {
        revision: ack.revision,
        accepted_count: count(ack.accepted),
        unchanged_count: count(ack.unchanged),
        corrected_count: count(ack.corrected),
        replayed: ack.replayed,
    }
}

#[tonic::async_trait]
impl IngestService for Ingest {
    async fn write_points(
        &self,
        request: Request<WritePointsRequest>,
    ) -> Result<Response<WritePointsResponse>, Status> {
        let submitted = self.submit(request.into_inner()).await;
        let ack = submitted.answer().await?;
        Ok(Response::new(written(&ack)))
    }

    type StreamPointsStream = BoxStream<'static, Result<StreamPointsResponse, Status>>;

    async fn stream_points(
        &self,
        request: Request<Streaming<StreamPointsRequest>>,
    ) -> Result<Response<Self::StreamPointsStream>, Status> {
        Ok(Response::new(stream::answers(self.clone(), request.into_inner())))
    }

    async fn retract_points(
        &self,
        request: Request<RetractPointsRequest>,
    ) -> Result<Response<RetractPointsResponse>, Status> {
        let ack = self.retract(request.into_inner()).await?;
        Ok(Response::new(RetractPointsResponse {
            revision: ack.revision,
            retracted_count: count(ack.accepted),
            unchanged_count: count(ack.unchanged),
            replayed: ack.replayed,
        }))
    }

    async fn set_opening_balance(
        &self,
        request: Request<SetOpeningBalanceRequest>,
    ) -> Result<Response<SetOpeningBalanceResponse>, Status> {
        let ack = self.set_opening(request.into_inner()).await?;
        Ok(Response::new(SetOpeningBalanceResponse { revision: ack.revision, replayed: ack.replayed }))
    }
}

/// What became of a call.
type Outcome = Result<Ack, Faults>;
