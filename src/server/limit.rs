//! So many calls at once, streams included; a call beyond that is refused before anything is read of it.

use super::body::{OnEnd, Watched};
use crate::service::status::too_many_calls;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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
{
    type Response = Response<Watched<Body, Place>>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer<S::Future> {
        match self.layer.places.clone().try_acquire_owned() {
            Ok(place) => Answer::LetIn { inner: self.inner.call(request), place: Some(Place(place)) },
            Err(_) => Answer::Refused { calls_max: self.layer.calls_max },
        }
    }
}

pin_project! {
    /// The answer to a call.
    #[project = AnswerProject]
    pub enum Answer<F> {
        LetIn {
            #[pin]
            inner: F,
            // None: it has answered
            place: Option<Place>,
        },
        Refused {
            calls_max: usize,
        },
    }
}

impl<F, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Watched<Body, Place>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (response, place) = match self.project() {
            AnswerProject::LetIn { inner, place } => (ready!(inner.poll(cx))?, place.take()),
            AnswerProject::Refused { calls_max } => (too_many_calls(*calls_max).into_http(), None),
        };
        // a stream keeps its place until its last message
        Poll::Ready(Ok(response.map(|body| Watched::new(body, place))))
    }
}

/// The place of a call, held.
pub struct Place(OwnedSemaphorePermit);

impl OnEnd for Place {
    fn ended(self, _: Option<tonic::Code>) {
        drop(self.0);
    }
}
