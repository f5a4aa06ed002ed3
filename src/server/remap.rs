//! Tells in the contract's words what tonic refused: an over-long message is TOO_LARGE, undecodable bytes are
//! MALFORMED_REQUEST.

use crate::service::status::told_by_contract;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::body::Body;
use tower::{Layer, Service};

/// Wraps a service in [`Remap`].
#[derive(Clone, Copy, Debug)]
pub struct RemapLayer;

/// Rewrites refusals that have no ErrorInfo.
#[derive(Clone, Debug)]
pub struct Remap<S>(S);

impl<S> Layer<S> for RemapLayer {
    type Service = Remap<S>;

    fn layer(&self, inner: S) -> Remap<S> {
        Remap(inner)
    }
}

impl<S> Service<Request<Body>> for Remap<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer<S::Future> {
        // beside the services stand health and reflection, which speak their own contracts
        let is_ours = request.uri().path().starts_with("/milepost.");
        Answer { inner: self.0.call(request), is_ours }
    }
}

pin_project! {
    /// The answer to a call.
    pub struct Answer<F> {
        #[pin]
        inner: F,
        is_ours: bool,
    }
}

impl<F, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(match response.extensions().get::<tonic::Status>() {
            Some(status) if *this.is_ours => told_by_contract(status.clone()).into_http(),
            _ => response,
        }))
    }
}
