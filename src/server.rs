//! Sockets and protection around the services: limits, middleware, health, reflection, and a clean stop.

mod body;
mod deadline;
mod health;
mod limit;
mod reflection;
mod remap;
pub mod telemetry;
mod trace;

use crate::config::Limits;
use crate::domain::limit::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};
use crate::engine::Engine;
use crate::proto::v1::catalog_service_server::CatalogServiceServer;
use crate::proto::v1::query_service_server::QueryServiceServer;
use crate::service::catalog::Catalog;
use crate::service::definition_lock::DefinitionLock;
use crate::service::ingest::{Ingest, IngestServer};
use crate::service::kept::Kept;
use crate::service::query::Query;
use crate::store::StoreError;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;

/// HTTP/2 bytes of one call that may be under way before the server takes them: 64 KiB, the default, would cost a
/// round trip every 64 KiB of a batch.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// HTTP/2 bytes of one connection that may be under way. h2 hangs up on a connection whose small frames, waiting,
/// cost it more than half of this in overhead (256 bytes less their length, each): a stream's window full of batches
/// of one point (40 bytes and more) costs some 5 MiB, so two dozen such streams fit. What a connection can make us
/// hold unread is this, at most.
const CONNECTION_WINDOW_BYTES: u32 = 256 << 20;
/// Streams a client may open and reset without the server having looked at them (a rapid-reset attack).
const PENDING_RESETS_MAX: usize = 32;
/// Streams the server may reset because of a client's errors before it hangs up.
const ERROR_RESETS_MAX: usize = 1_024;
/// Bytes of one call's headers.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// A connection that says nothing for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// It answers within this, or is closed.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why serving ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The sockets failed. Start again.
    #[error("serving failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The store could not be closed cleanly; the next start takes longer. What was acknowledged is safe.
    #[error("the store was not closed cleanly: {0}")]
    Close(#[from] StoreError),
    /// A defect: the descriptors do not describe themselves.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// What a server does beside its port: begun with it, told when it stops, and waited for.
pub type Beside = Box<dyn FnOnce(watch::Receiver<bool>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// As [`serve_beside`], with nothing beside.
pub async fn serve(
    listener: TcpListener,
    engine: Engine,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    serve_beside(listener, engine, limits, Box::new(|_| Box::pin(async {})), shutdown).await
}

/// Serves `engine` on `listener` until `shutdown` is ready, then finishes the calls in flight within
/// `limits.drain_ms`, and closes the engine.
pub async fn serve_beside(
    listener: TcpListener,
    engine: Engine,
    limits: Limits,
    beside: Beside,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let (stop, stopping) = watch::channel(false);
    let health = health::Health::new();
    let watched = tokio::spawn(health.clone().watch(engine.clone(), stopping.clone()));
    let mut beside = tokio::spawn(beside(stopping.clone()));
    let server = run(listener, engine.clone(), &limits, health.clone(), stopping)?;
    tokio::pin!(server);
    let ended = tokio::select! {
        ended = &mut server => Some(ended),
        () = shutdown => None,
    };
    let served = match ended {
        Some(ended) => ended,
        None => {
            tracing::info!(drain_ms = limits.drain_ms, "stopping: finishing the calls in flight");
            health.stop().await;
            stop.send_replace(true);
            tokio::time::timeout(limits.drain(), server).await.unwrap_or_else(|_| {
                tracing::warn!("some calls were cut off");
                Ok(())
            })
        }
    };
    watched.abort();
    stop.send_replace(true);
    // It reads the store: so it has ended before that is closed, or, where it does not end, is left.
    if tokio::time::timeout(limits.drain(), &mut beside).await.is_err() {
        tracing::warn!("what was done beside the port was cut off");
        beside.abort();
    }
    engine.close().await?;
    served.map_err(ServeError::from)
}

/// The server: bounds of HTTP/2, then the middleware from the outside in, then the services.
fn run(
    listener: TcpListener,
    engine: Engine,
    limits: &Limits,
    health: health::Health,
    mut stopping: watch::Receiver<bool>,
) -> Result<impl Future<Output = Result<(), tonic::transport::Error>>, ServeError> {
    let definitions = DefinitionLock::default();
    let catalog = CatalogServiceServer::new(Catalog::new(engine.clone(), definitions.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(RESPONSE_BYTES_MAX);
    let query = QueryServiceServer::new(Query::new(engine.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(RESPONSE_BYTES_MAX);
    let query = Kept::new(query, engine.clone());
    let ingest = IngestServer::new(Ingest::new(engine, definitions, stopping.clone()));
    let router = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(limits.calls_per_connection_max)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(ERROR_RESETS_MAX))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        // outermost, so that refused calls are seen too, with the time they took
        .layer(trace::TraceLayer)
        // before anything is read of a call
        .layer(limit::LimitLayer::new(limits.calls_max))
        // within the limit, so that a call that ran out of time lets go of its place
        .layer(deadline::DeadlineLayer)
        // next to the services: tells in the contract's words what tonic refused before they were called
        .layer(remap::RemapLayer)
        .add_service(catalog)
        .add_service(ingest)
        .add_service(query)
        .add_service(health.service())
        .add_service(reflection::v1()?)
        .add_service(reflection::v1alpha()?);
    // acknowledgements are small: Nagle's algorithm would hold each back
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(KEEPALIVE));
    let stop = async move {
        // an error means that the sender is gone: stop as well
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    Ok(router.serve_with_incoming_shutdown(incoming, stop))
}
