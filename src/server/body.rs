//! A response body that tells when it has ended, and how.

use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::Bytes;

/// Calls `on_end` once: with the trailers' code, or None where the body was dropped before them.
pub struct Watched {
    inner: Body,
    on_end: Option<OnEnd>,
}

type OnEnd = Box<dyn FnOnce(Option<tonic::Code>) + Send>;

/// `inner`, watched.
pub fn watched(inner: Body, on_end: impl FnOnce(Option<tonic::Code>) + Send + 'static) -> Body {
    Body::new(Watched { inner, on_end: Some(Box::new(on_end)) })
}

/// The code that headers or trailers say.
pub fn code_of(headers: &http::HeaderMap) -> Option<tonic::Code> {
    headers.get("grpc-status").map(|value| tonic::Code::from_bytes(value.as_bytes()))
}

impl Watched {
    fn end(&mut self, code: Option<tonic::Code>) {
        if let Some(on_end) = self.on_end.take() {
            on_end(code);
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            let code = code_of(trailers);
            self.end(code);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.end(None);
    }
}
