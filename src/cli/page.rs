//! Fetches every page of an answer and joins them.

use super::error::Error;
use crate::proto::v1 as pb;

/// Rows asked for on a page: the most that the contract allows.
pub(super) const PAGE_ROWS: i32 = 10_000;

/// A request that names the page it wants.
pub(super) trait Paged: Clone {
    fn set_page(&mut self, token: String);
}

/// One page of an answer.
pub(super) trait Page {
    /// The token of the next page, taken out; empty on the last one.
    fn take_token(&mut self) -> String;
    /// Puts the rows of a later page behind these.
    fn append(&mut self, later: Self);
}

/// Every page, joined: as if the answer had been one.
pub(super) async fn joined<Q, A, F>(mut request: Q, mut call: impl FnMut(Q) -> F) -> Result<A, Error>
where
    Q: Paged,
    A: Page,
    F: Future<Output = Result<tonic::Response<A>, tonic::Status>>,
{
    let mut answer = call(request.clone()).await?.into_inner();
    let mut token = answer.take_token();
    while !token.is_empty() {
        request.set_page(token);
        let mut later = call(request.clone()).await?.into_inner();
        token = later.take_token();
        answer.append(later);
    }
    Ok(answer)
}

fn append_answer(answer: &mut Option<pb::Answer>, later: Option<pb::Answer>) {
    match (answer, later) {
        (Some(answer), Some(later)) => answer.groups.extend(later.groups),
        (answer @ None, later) => *answer = later,
        (Some(_), None) => {}
    }
}

macro_rules! pages {
    ($($request:ident $response:ident $rows:ident $($answer:ident)?;)*) => {$(
        impl Paged for pb::$request {
            fn set_page(&mut self, token: String) {
                self.page_token = token;
            }
        }
        impl Page for pb::$response {
            fn take_token(&mut self) -> String {
                std::mem::take(&mut self.next_page_token)
            }
            fn append(&mut self, later: Self) {
                self.$rows.extend(later.$rows);
                $(append_answer(&mut self.$answer, later.$answer);)?
            }
        }
    )*};
}

pages! {
    GetTotalRequest GetTotalResponse totals answer;
    QueryRangeRequest QueryRangeResponse windows answer;
    QueryCumulativeRequest QueryCumulativeResponse windows answer;
    ListMilestonesRequest ListMilestonesResponse milestones answer;
    ListChangesRequest ListChangesResponse changes;
    ListMetricsRequest ListMetricsResponse metrics;
    ListComponentsRequest ListComponentsResponse components;
    ListSeriesRequest ListSeriesResponse series;
}
