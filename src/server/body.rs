//! A response body that tells when it has ended, and how.

use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::codegen::Bytes;

/// Whoever is told once that a body has ended: with the trailers' code, or None where it was dropped before them.
pub trait OnEnd: Unpin {
    /// It has.
    fn ended(self, code: Option<tonic::Code>);
}

/// A body, watched by `W` until it has ended.
pub struct Watched<B, W: OnEnd> {
    inner: B,
    on_end: Option<W>,
}

impl<B, W: OnEnd> Watched<B, W> {
    /// `inner`, watched; None: by nobody.
    pub fn new(inner: B, on_end: Option<W>) -> Watched<B, W> {
        Watched { inner, on_end }
    }

    fn end(&mut self, code: Option<tonic::Code>) {
        if let Some(on_end) = self.on_end.take() {
            on_end.ended(code);
        }
    }
}

/// The code that headers or trailers say.
pub fn code_of(headers: &http::HeaderMap) -> Option<tonic::Code> {
    headers.get("grpc-status").map(|value| tonic::Code::from_bytes(value.as_bytes()))
}

impl<B: http_body::Body<Data = Bytes> + Unpin, W: OnEnd> http_body::Body for Watched<B, W> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
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

impl<B, W: OnEnd> Drop for Watched<B, W> {
    fn drop(&mut self) {
        self.end(None);
    }
}
