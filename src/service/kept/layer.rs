//! In front of `QueryService`: looks at a request's bytes before anything is made of them.

use super::{Asked, KeptReply, PREFIX, Passed, Replies, Sent};
use crate::engine::Engine;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use std::convert::Infallible;
use std::future::Future;
use std::mem::replace;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

/// Calls whose replies are kept: their requests and replies are one message each, and their replies begin with an answer.
const CALLS: [&str; 4] = [
    "/milepost.v1.QueryService/GetTotal",
    "/milepost.v1.QueryService/QueryRange",
    "/milepost.v1.QueryService/QueryCumulative",
    "/milepost.v1.QueryService/ListMilestones",
];
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A service that answers anew only what it has not answered before.
#[derive(Clone)]
pub struct Kept<S> {
    inner: S,
    replies: Arc<Replies>,
}

impl<S> Kept<S> {
    /// In front of `inner`, which asks `engine`.
    pub fn new(inner: S, engine: Engine) -> Kept<S> {
        Kept { inner, replies: Arc::new(Replies::new(engine)) }
    }

    /// How many replies were sent again so far.
    pub fn sent_again(&self) -> u64 {
        self.replies.sent_again.load(Ordering::Relaxed)
    }
}

impl<S: NamedService> NamedService for Kept<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Kept<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let called = CALLS.into_iter().find(|call| *call == request.uri().path());
        // What is compressed, or said to be, is left to tonic to refuse.
        let Some(call) = called.filter(|_| !request.headers().contains_key(GRPC_ENCODING)) else {
            return Box::pin(self.inner.call(request));
        };
        // The one that is ready goes along.
        let unready = self.inner.clone();
        let inner = replace(&mut self.inner, unready);
        Box::pin(answer(inner, self.replies.clone(), call, request))
    }
}

async fn answer<S>(
    mut inner: S,
    replies: Arc<Replies>,
    call: &'static str,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let (mut head, mut body) = request.into_parts();
    let first = body.frame().await;
    let whole = match &first {
        Some(Ok(frame)) => frame.data_ref().and_then(whole_message),
        _ => None,
    };
    // Some clients say in a frame of its own, an empty one, that nothing more comes.
    let second = if whole.is_some() && !body.is_end_stream() { body.frame().await } else { None };
    let is_all = second.as_ref().is_none_or(|second| second.as_ref().is_ok_and(says_nothing));
    let again = Body::new(Again { ahead: [first, second], rest: body });
    // Where more than one whole message comes, or what comes is no message, tonic says what is wrong with it.
    let Some(message) = whole.filter(|_| is_all) else { return inner.call(Request::from_parts(head, again)).await };
    let asked = Asked { call, request: &message };
    if let Some(reply) = replies.get(asked) {
        return Ok(sent(reply));
    }
    head.extensions.insert(Passed { is_by_layer: true, is_wanted: replies.came_lately(asked) });
    let mut response = inner.call(Request::from_parts(head, again)).await?;
    if let Some(reply) = response.extensions_mut().remove::<KeptReply>() {
        replies.keep(asked, reply);
    }
    Ok(match response.extensions_mut().remove::<Sent>() {
        Some(Sent(reply)) => sent(reply),
        None => response,
    })
}

/// The message that a frame of data is, without its prefix; None: it is not exactly one.
fn whole_message(data: &Bytes) -> Option<Bytes> {
    let (prefix, message) = data.split_at_checked(PREFIX)?;
    let [is_compressed, length @ ..] = prefix else { return None };
    let is_whole = length.try_into().map(u32::from_be_bytes).is_ok_and(|length| length as usize == message.len());
    (*is_compressed == 0 && is_whole).then(|| data.slice(PREFIX..))
}

fn says_nothing(frame: &Frame<Bytes>) -> bool {
    frame.data_ref().is_some_and(Bytes::is_empty)
}

/// A reply as tonic would send it.
fn sent(reply: Bytes) -> Response<Body> {
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    let frames = [Frame::data(reply), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::new(StreamBody::new(stream::iter(frames))));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response
}

/// A body whose first frames were looked at.
struct Again {
    ahead: [Option<Result<Frame<Bytes>, tonic::Status>>; 2],
    rest: Body,
}

impl http_body::Body for Again {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        match self.ahead.iter_mut().find_map(Option::take) {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.iter().all(Option::is_none) && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
