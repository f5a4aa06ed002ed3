//! The caller's deadline (`grpc-timeout`), told as DEADLINE_EXCEEDED: tonic's own timer, which cannot be switched
//! off, says CANCELLED.

use crate::clock;
use crate::service::status::deadline_passed;
use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Timeout};
use tonic::body::Body;
use tower::{Layer, Service};

/// So much sooner than tonic's timer, so that ours is first.
const HEAD_START: Duration = Duration::from_millis(2);

/// Wraps a service in [`Deadline`].
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer;

/// Ends calls at their caller's deadline.
#[derive(Clone, Debug)]
pub struct Deadline<S>(S);

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline(inner)
    }
}

/// What `grpc-timeout` says: up to eight digits and a unit. None where it says nothing, or nothing well-formed.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

impl<S> Service<Request<Body>> for Deadline<S>
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
        // fixed here, not when first polled: tonic's own timer starts right after this call
        let timeout = timeout(request.headers()).map(|timeout| timeout.saturating_sub(HEAD_START));
        let deadline = timeout.and_then(|timeout| Instant::from_std(clock::instant()).checked_add(timeout));
        let inner = self.0.call(request);
        match deadline {
            None => Answer::AtLeisure { inner },
            Some(deadline) => Answer::Until { inner: tokio::time::timeout_at(deadline, inner) },
        }
    }
}

pin_project! {
    /// The answer to a call.
    #[project = AnswerProject]
    pub enum Answer<F> {
        AtLeisure { #[pin] inner: F },
        Until { #[pin] inner: Timeout<F> },
    }
}

impl<F, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AnswerProject::AtLeisure { inner } => inner.poll(cx),
            AnswerProject::Until { inner } => {
                let passed = |_| Ok(deadline_passed().into_http());
                inner.poll(cx).map(|answer| answer.unwrap_or_else(passed))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let read = |text: &str| {
            timeout(&HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-timeout"),
                http::HeaderValue::from_str(text).expect("a header"),
            )]))
        };
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        for wrong in ["", "S", "3", "3 S", "-3S", "+3S", "123456789S", "3s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
