//! The caller's deadline (`grpc-timeout`), told as DEADLINE_EXCEEDED: tonic's own timer, which cannot be switched
//! off, says CANCELLED.

use crate::clock;
use crate::service::status::deadline_passed;
use http::{HeaderMap, Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
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
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // fixed here, not when first polled: tonic's own timer starts right after this call
        let timeout = timeout(request.headers()).map(|timeout| timeout.saturating_sub(HEAD_START));
        let deadline = timeout.and_then(|timeout| Instant::from_std(clock::instant()).checked_add(timeout));
        let answer = self.0.call(request);
        Box::pin(async move {
            match deadline {
                None => answer.await,
                Some(deadline) => tokio::time::timeout_at(deadline, answer)
                    .await
                    .unwrap_or_else(|_| Ok(deadline_passed().into_http())),
            }
        })
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
