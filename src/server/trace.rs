//! A span a call, and one line when it ends: method, peer, duration, code.

use super::body::{code_of, watched};
use crate::clock;
use http::{Request, Response};
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tower::{Layer, Service};
use tracing::{Instrument, Span};

/// Wraps a service in [`Trace`].
#[derive(Clone, Copy, Debug)]
pub struct TraceLayer;

/// A span a call.
#[derive(Clone, Debug)]
pub struct Trace<S>(S);

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace(inner)
    }
}

impl<S> Service<Request<Body>> for Trace<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let started = clock::instant();
        let peer = request.extensions().get::<TcpConnectInfo>().and_then(|info| info.remote_addr());
        // not made a text where nobody reads it
        let peer = peer.as_ref().map_or(&"unknown" as &dyn Display, |peer| peer);
        let span = tracing::info_span!("call", method = request.uri().path(), %peer);
        let answer = span.in_scope(|| self.0.call(request));
        let watching = span.clone();
        Box::pin(
            async move {
                let response = answer.await?;
                // an answer without a body says its code in its headers
                if let Some(code) = code_of(response.headers()) {
                    ended(&watching, started, Some(code));
                    return Ok(response);
                }
                Ok(response.map(|body| watched(body, move |code| ended(&watching, started, code))))
            }
            .instrument(span),
        )
    }
}

/// Never at error level: what a client sends is no error of ours.
fn ended(span: &Span, started: Instant, code: Option<tonic::Code>) {
    let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    span.in_scope(|| match code {
        Some(code) => tracing::info!(duration_us, code = ?code, "answered"),
        None => tracing::info!(duration_us, "the client went away"),
    });
}
