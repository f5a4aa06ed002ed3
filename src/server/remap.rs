//! Tells in the contract's words what tonic refused: an over-long message is TOO_LARGE, undecodable bytes are
//! MALFORMED_REQUEST.

use crate::service::status::told_by_contract;
use http::{Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
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
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // beside the services stand health and reflection, which speak their own contracts
        let ours = request.uri().path().starts_with("/milepost.");
        let answer = self.0.call(request);
        Box::pin(async move {
            let response = answer.await?;
            Ok(match response.extensions().get::<tonic::Status>() {
                Some(status) if ours => told_by_contract(status.clone()).into_http(),
                _ => response,
            })
        })
    }
}
