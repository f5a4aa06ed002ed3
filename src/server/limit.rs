//! So many calls at once, streams included; a call beyond that is refused before anything is read of it.

use super::body::watched;
use crate::service::status::too_many_calls;
use http::{Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tower::{Layer, Service};

/// Wraps services in [`Limit`]s that share one count.
#[derive(Clone, Debug)]
pub struct LimitLayer {
    places: Arc<Semaphore>,
    calls_max: usize,
}

/// Lets so many calls in at once.
#[derive(Clone, Debug)]
pub struct Limit<S> {
    inner: S,
    layer: LimitLayer,
}

impl LimitLayer {
    /// Lets `calls_max` calls in.
    pub fn new(calls_max: usize) -> LimitLayer {
        let calls_max = calls_max.min(Semaphore::MAX_PERMITS);
        LimitLayer { places: Arc::new(Semaphore::new(calls_max)), calls_max }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Limit<S> {
        Limit { inner, layer: self.clone() }
    }
}

impl<S> Service<Request<Body>> for Limit<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Ok(place) = self.layer.places.clone().try_acquire_owned() else {
            let refused = too_many_calls(self.layer.calls_max).into_http();
            return Box::pin(async { Ok(refused) });
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            // a stream keeps its place until its last message
            Ok(response.map(|body| watched(body, move |_| drop(place))))
        })
    }
}
