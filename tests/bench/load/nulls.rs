//! The floors: the same messages over the same wire to a server that does nothing. A *null sink* decodes, counts and
//! drops; a *null source* sends the same points from memory; an *empty echo* answers at once.

use super::calls;
use super::workload::Workload;
use milepost::domain::limit::REQUEST_BYTES_MAX;
use milepost::proto::v1::ingest_service_server::{IngestService, IngestServiceServer};
use milepost::proto::v1::query_service_server::{QueryService, QueryServiceServer};
use milepost::proto::v1::{self, stream_points_response::Outcome};
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// The windows of milepost's own server, so that the wire is the same.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 20;
/// Points of a message of the null source: what milepost puts into one.
const SOURCE_POINTS: usize = 10_000;
/// Messages of the null source.
const SOURCE_MESSAGES: usize = 877;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

struct Sink;

struct Source {
    message: Arc<v1::ReadPointsResponse>,
}

fn count(write: &v1::WritePointsRequest) -> v1::WritePointsResponse {
    let points = |series: &v1::SeriesPoints| {
        series.points.len() + series.columns.as_ref().map_or(0, |columns| columns.units.len())
    };
    let accepted_count = write.series.iter().map(points).sum::<usize>() as i64;
    v1::WritePointsResponse { revision: 1, accepted_count, ..Default::default() }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("a null server"))
}

#[tonic::async_trait]
impl IngestService for Sink {
    type StreamPointsStream = Answers<v1::StreamPointsResponse>;

    async fn write_points(
        &self,
        request: Request<v1::WritePointsRequest>,
    ) -> Result<Response<v1::WritePointsResponse>, Status> {
        Ok(Response::new(count(request.get_ref())))
    }

    async fn stream_points(
        &self,
        request: Request<Streaming<v1::StreamPointsRequest>>,
    ) -> Result<Response<Self::StreamPointsStream>, Status> {
        let answers = request.into_inner().map(|message| {
            let write = message?.write.unwrap_or_default();
            let outcome = Some(Outcome::Response(count(&write)));
            Ok(v1::StreamPointsResponse { request_id: write.request_id, outcome })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn retract_points(
        &self,
        _: Request<v1::RetractPointsRequest>,
    ) -> Result<Response<v1::RetractPointsResponse>, Status> {
        not_here()
    }

    async fn set_opening_balance(
        &self,
        _: Request<v1::SetOpeningBalanceRequest>,
    ) -> Result<Response<v1::SetOpeningBalanceResponse>, Status> {
        not_here()
    }
}

#[tonic::async_trait]
impl QueryService for Source {
    type ReadPointsStream = Answers<v1::ReadPointsResponse>;

    async fn get_total(&self, _: Request<v1::GetTotalRequest>) -> Result<Response<v1::GetTotalResponse>, Status> {
        Ok(Response::new(v1::GetTotalResponse::default()))
    }

    async fn read_points(&self, _: Request<v1::ReadPointsRequest>) -> Result<Response<Self::ReadPointsStream>, Status> {
        let message = self.message.clone();
        let messages = (0..SOURCE_MESSAGES).map(move |_| Ok(v1::ReadPointsResponse::clone(&message)));
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }

    async fn query_range(&self, _: Request<v1::QueryRangeRequest>) -> Result<Response<v1::QueryRangeResponse>, Status> {
        not_here()
    }

    async fn query_cumulative(
        &self,
        _: Request<v1::QueryCumulativeRequest>,
    ) -> Result<Response<v1::QueryCumulativeResponse>, Status> {
        not_here()
    }

    async fn list_milestones(
        &self,
        _: Request<v1::ListMilestonesRequest>,
    ) -> Result<Response<v1::ListMilestonesResponse>, Status> {
        not_here()
    }

    async fn list_changes(
        &self,
        _: Request<v1::ListChangesRequest>,
    ) -> Result<Response<v1::ListChangesResponse>, Status> {
        not_here()
    }
}

/// Serves on a free port of loopback until it is ended.
pub async fn serve() {
    let workload = Workload::made_up(1, SOURCE_POINTS, 1);
    let series = vec![calls::regular("null/source", &workload, 0, 0..SOURCE_POINTS)];
    let message = Arc::new(v1::ReadPointsResponse { answer: None, series });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("listening on http://{}", listener.local_addr().expect("an address"));
    tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .add_service(IngestServiceServer::new(Sink).max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(QueryServiceServer::new(Source { message }))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .expect("it serves");
}
