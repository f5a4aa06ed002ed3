//! `QueryService`: totals and milestones out. Each call: ask, plan, run, tell.

use super::convert::query as convert;
use super::kept::{KeptReply, Passed, Reply, Written};
use super::page_token::Bound;
use crate::domain::limit::READ_MESSAGES_WAITING_MAX;
use crate::engine::Engine;
use crate::engine::view::Attempt;
use crate::proto::v1::query_service_server::QueryService;
use crate::proto::v1::*;
use crate::query::{
    ChangesPlan, MilestonesPlan, PointsPlan, QueryError, RangePlan, Scene, TotalPlan, changes, milestone, range, total,
};
use std::mem::take;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Answers questions from an engine.
#[derive(Clone)]
pub struct Query {
    engine: Engine,
}

impl Query {
    /// Asks `engine`.
    pub fn new(engine: Engine) -> Query {
        Query { engine }
    }
}

/// What a page token of a request is bound to, the request without page size and token; and what its token says.
macro_rules! bound {
    ($call:literal, $request:ident) => {{
        let (size, token) = (take(&mut $request.page_size), take(&mut $request.page_token));
        let bound = Bound::to($call, &$request);
        $request.page_size = size;
        let token = bound.read(&token);
        (bound, token)
    }};
}

fn refused(error: QueryError) -> Status {
    convert::refused(error).into()
}

/// Runs what reads files where it may block. That costs the switch to another thread and back, several times a short
/// question itself: what is in memory is attempted before.
async fn run<T: Send + 'static>(run: impl FnOnce() -> Result<T, QueryError> + Send + 'static) -> Result<T, Status> {
    match tokio::task::spawn_blocking(run).await {
        Ok(answer) => answer.map_err(refused),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(refused(QueryError::Closed)),
        },
    }
}

/// Answers from memory where that is enough, else where it may block. A reply that is wanted again lies beside it.
async fn attempt<P: Send + Sync + 'static, T: Reply + Send + 'static>(
    passed: Passed,
    most: Attempt,
    plan: P,
    scene: fn(&P) -> &Scene,
    answer: impl Fn(&P) -> Result<T, QueryError> + Send + 'static,
) -> Result<Response<T>, Status> {
    let answer = move |plan: &P| {
        let reply = answer(plan)?;
        let validity = scene(plan).validity().filter(|_| passed.is_wanted);
        let kept = validity.and_then(|validity| KeptReply::of(&reply, validity));
        Ok((reply, kept))
    };
    let (reply, kept) = match scene(&plan).attempt(most, || answer(&plan)) {
        Some(answer) => answer.map_err(refused)?,
        None => run(move || answer(&plan)).await?,
    };
    let mut response = Response::new(reply);
    if let Some(kept) = kept {
        response.extensions_mut().insert(kept);
    }
    Ok(response)
}

/// A page of windows.
async fn windows(passed: Passed, bound: Bound, plan: RangePlan) -> Result<Response<Written>, Status> {
    let answer = move |plan: &RangePlan| {
        let page = range::run(plan)?;
        let next = page.next.map(|position| bound.write(plan.pin(position))).unwrap_or_default();
        Ok(Written::new(next.is_empty(), |out| convert::windows(&page, &next, out)))
    };
    attempt(passed, Attempt::OF_MANY_PATHS, plan, |plan| plan.scene(), answer).await
}

/// Sends all points; ends early when nobody listens any more.
fn send_points(plan: &PointsPlan, sender: &mpsc::Sender<Result<ReadPointsResponse, Status>>) {
    let mut messages = convert::Messages::new(plan);
    let mut send = |message| sender.blocking_send(Ok(message)).is_ok();
    // A failed send says that the reader has gone: there is nobody to tell it.
    let _ = match plan.run(|run| messages.take(run, &mut send)) {
        Ok(()) => messages.last().is_none_or(send),
        Err(error) => sender.blocking_send(Err(refused(error))).is_ok(),
    };
}

#[tonic::async_trait]
impl QueryService for Query {
    async fn get_total(&self, request: Request<GetTotalRequest>) -> Result<Response<GetTotalResponse>, Status> {
        let passed = Passed::of(&request);
        let mut request = request.into_inner();
        let (bound, token) = bound!("GetTotal", request);
        let plan = TotalPlan::of(&self.engine, convert::total_ask(request, token)).await.map_err(refused)?;
        let answer = move |plan: &TotalPlan| {
            let page = total::run(plan)?;
            let next = page.next.map(|position| bound.write(plan.pin(position)));
            Ok(convert::total(&page, next.unwrap_or_default()))
        };
        attempt(passed, Attempt::OF_TWO_PATHS, plan, |plan| plan.scene(), answer).await
    }

    async fn query_range(&self, request: Request<QueryRangeRequest>) -> Result<Response<QueryRangeResponse>, Status> {
        let passed = Passed::of(&request);
        let mut request = request.into_inner();
        let (bound, token) = bound!("QueryRange", request);
        let plan = RangePlan::of(&self.engine, convert::range_ask(request, token)).await.map_err(refused)?;
        Ok(Written::response(windows(passed, bound, plan).await?, passed))
    }

    async fn query_cumulative(
        &self,
        request: Request<QueryCumulativeRequest>,
    ) -> Result<Response<QueryCumulativeResponse>, Status> {
        let passed = Passed::of(&request);
        let mut request = request.into_inner();
        let (bound, token) = bound!("QueryCumulative", request);
        let plan = RangePlan::of(&self.engine, convert::cumulative_ask(request, token)).await.map_err(refused)?;
        Ok(Written::response(windows(passed, bound, plan).await?, passed))
    }

    async fn list_milestones(
        &self,
        request: Request<ListMilestonesRequest>,
    ) -> Result<Response<ListMilestonesResponse>, Status> {
        let passed = Passed::of(&request);
        let mut request = request.into_inner();
        let (bound, token) = bound!("ListMilestones", request);
        let plan = MilestonesPlan::of(&self.engine, convert::milestones_ask(request, token)).await.map_err(refused)?;
        let answer = move |plan: &MilestonesPlan| {
            let page = milestone::run(plan)?;
            let next = page.next.map(|position| bound.write(plan.pin(position)));
            Ok(convert::milestones(&page, next.unwrap_or_default()))
        };
        attempt(passed, Attempt::OF_MANY_PATHS, plan, |plan| plan.scene(), answer).await
    }

    type ReadPointsStream = ReceiverStream<Result<ReadPointsResponse, Status>>;

    async fn read_points(
        &self,
        request: Request<ReadPointsRequest>,
    ) -> Result<Response<Self::ReadPointsStream>, Status> {
        let ask = convert::points_ask(request.into_inner());
        let plan = PointsPlan::of(&self.engine, ask).await.map_err(refused)?;
        let (sender, receiver) = mpsc::channel(READ_MESSAGES_WAITING_MAX);
        // It ends by itself, at the latest when the reader has gone.
        drop(tokio::task::spawn_blocking(move || send_points(&plan, &sender)));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_changes(
        &self,
        request: Request<ListChangesRequest>,
    ) -> Result<Response<ListChangesResponse>, Status> {
        let mut request = request.into_inner();
        let (bound, token) = bound!("ListChanges", request);
        let plan = ChangesPlan::of(&self.engine, convert::changes_ask(request, token)).await.map_err(refused)?;
        let reply = run(move || {
            let page = changes::run(&plan)?;
            let next = page.next.map(|position| bound.write(plan.pin(position)));
            Ok(convert::changes(&page, next.unwrap_or_default()))
        });
        reply.await.map(Response::new)
    }
}
