//! A span a call, and one line when it ends: method, peer, duration, code.

use super::body::{OnEnd, Watched, code_of};
use crate::clock;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tower::{Layer, Service};
use tracing::Span;

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

impl<S, B> Service<Request<Body>> for Trace<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
{
    type Response = Response<Watched<B, Traced>>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer<S::Future> {
        let started = clock::instant();
        let peer = request.extensions().get::<TcpConnectInfo>().and_then(|info| info.remote_addr());
        // not made a text where nobody reads it
        let peer = peer.as_ref().map_or(&"unknown" as &dyn Display, |peer| peer);
        let span = tracing::info_span!("call", method = request.uri().path(), %peer);
        let inner = span.in_scope(|| self.0.call(request));
        Answer { inner, call: Some(Traced { span, started }) }
    }
}

pin_project! {
    /// The answer to a call, within its span.
    pub struct Answer<F> {
        #[pin]
        inner: F,
        // None: it has answered
        call: Option<Traced>,
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Watched<B, Traced>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let entered = this.call.as_ref().map(|call| call.span.enter());
        let response = ready!(this.inner.poll(cx))?;
        drop(entered);
        let mut call = this.call.take();
        // an answer without a body says its code in its headers
        if let Some(code) = code_of(response.headers())
            && let Some(call) = call.take()
        {
            call.ended(Some(code));
        }
        Poll::Ready(Ok(response.map(|body| Watched::new(body, call))))
    }
}

/// A call that is not yet told of.
pub struct Traced {
    span: Span,
    started: Instant,
}

impl OnEnd for Traced {
    /// Never at error level: what a client sends is no error of ours.
    fn ended(self, code: Option<tonic::Code>) {
        let duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.span.in_scope(|| match code {
            Some(code) => tracing::info!(duration_us, code = ?code, "answered"),
            None => tracing::info!(duration_us, "the client went away"),
        });
    }
}
