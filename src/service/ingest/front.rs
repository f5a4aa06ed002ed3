//! In front of `IngestService`: batches are decoded by `wire`, all else as it is generated.

use super::Ingest;
use super::wire::BatchCodec;
use crate::domain::limit::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};
use crate::proto::v1::ingest_service_server::{IngestService, IngestServiceServer};
use http::{Request, Response};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tower::{Service, service_fn};

const WRITE_POINTS: &str = "/milepost.v1.IngestService/WritePoints";
const STREAM_POINTS: &str = "/milepost.v1.IngestService/StreamPoints";

/// `IngestService`, served.
#[derive(Clone)]
pub struct IngestServer {
    ingest: Ingest,
    generated: IngestServiceServer<Ingest>,
}

impl IngestServer {
    /// Serves `ingest`; messages have the contract's bounds.
    pub fn new(ingest: Ingest) -> IngestServer {
        let generated = IngestServiceServer::new(ingest.clone())
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(RESPONSE_BYTES_MAX);
        IngestServer { ingest, generated }
    }
}

impl NamedService for IngestServer {
    const NAME: &'static str = <IngestServiceServer<Ingest> as NamedService>::NAME;
}

fn grpc<E: prost::Message + 'static, D: super::wire::FromWire>() -> Grpc<BatchCodec<E, D>> {
    Grpc::new(BatchCodec::default())
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(RESPONSE_BYTES_MAX)
}

impl Service<Request<Body>> for IngestServer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ingest = self.ingest.clone();
        match request.uri().path() {
            WRITE_POINTS => Box::pin(async move {
                let write = service_fn(move |request| {
                    let ingest = ingest.clone();
                    async move { ingest.write_points(request).await }
                });
                Ok(grpc().unary(write, request).await)
            }),
            STREAM_POINTS => Box::pin(async move {
                let stream = service_fn(move |request| {
                    let ingest = ingest.clone();
                    async move { ingest.stream_points(request).await }
                });
                Ok(grpc().streaming(stream, request).await)
            }),
            _ => self.generated.call(request),
        }
    }
}
