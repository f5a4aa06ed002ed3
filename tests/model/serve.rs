//! The real service asked as the oracle is: pages joined, streams read to their end, refusals as
//! code and reason.

use milepost::proto::v1::{
    catalog_service_server::CatalogService,
    ingest_service_client::IngestServiceClient,
    ingest_service_server::{IngestService, IngestServiceServer},
    query_service_server::QueryService,
    stream_points_response::Outcome,
    *,
};
use tokio_stream::StreamExt;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::{
    ask::{Ask, Reply, SeriesRead},
    asked::Refusal,
    oracle::{decimal, timestamp},
};

/// The three services over one engine.
#[derive(Clone)]
pub struct Served<C, I, Q> {
    pub catalog: C,
    pub ingest: I,
    pub query: Q,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        let info = status.get_details_error_info();
        let reason = info.and_then(|info| Reason::from_str_name(&info.reason));
        let message = status.message().to_owned();
        Refusal { code: status.code(), reason: reason.unwrap_or_default(), message }
    }
}

/// What was heard of a change; None: nothing.
pub type Heard = Option<Result<Reply, Refusal>>;

impl From<milepost::proto::v1::Refusal> for Refusal {
    fn from(refusal: milepost::proto::v1::Refusal) -> Refusal {
        Refusal { code: Code::from_i32(refusal.code), reason: refusal.reason(), message: refusal.message }
    }
}

impl<C, I: IngestService + Clone, Q> Served<C, I, Q> {
    /// Sends batches through one stream, all at once, and hears so many of the answers, or those before the stream
    /// breaks off.
    pub async fn stream(&self, batches: Vec<WritePointsRequest>, heard_max: usize) -> Vec<Heard> {
        let mut client = IngestServiceClient::new(IngestServiceServer::new(self.ingest.clone()));
        let count = batches.len();
        let messages = batches.into_iter().map(|batch| StreamPointsRequest { write: Some(batch) });
        let mut heard = Vec::new();
        if let Ok(answers) = client.stream_points(tokio_stream::iter(messages)).await {
            let mut answers = answers.into_inner();
            while heard.len() < heard_max
                && let Some(Ok(answer)) = answers.next().await
            {
                heard.push(Some(match answer.outcome.expect("an answer says what became of it") {
                    Outcome::Response(response) => Ok(Reply::Write(response)),
                    Outcome::Refusal(refusal) => Err(refusal.into()),
                }));
            }
        }
        heard.resize_with(count, || None);
        heard
    }
}

/// Asks for one page after the other; `join` puts a page behind those before it.
macro_rules! pages {
    ($call:expr, $request:expr, $rows:ident, $join:expr) => {{
        let mut request = $request.clone();
        let mut whole = $call(Request::new(request.clone())).await?.into_inner();
        let mut token = std::mem::take(&mut whole.next_page_token);
        check_size(whole.$rows.len(), request.page_size);
        let mut pages = 1;
        while !token.is_empty() {
            request.page_token = token;
            let mut page = $call(Request::new(request.clone())).await?.into_inner();
            token = std::mem::take(&mut page.next_page_token);
            pages += 1;
            assert!(pages < 10_000, "pages come to an end: {} rows of {request:?}", whole.$rows.len());
            check_size(page.$rows.len(), request.page_size);
            $join(&mut whole, page);
        }
        whole
    }};
}

/// The same for answers with a head: their rows in the field named.
macro_rules! answers {
    ($call:expr, $request:expr, $page:ty, $rows:ident) => {
        pages!($call, $request, $rows, |whole: &mut $page, page: $page| {
            whole.$rows.extend(page.$rows);
            join_answers(&mut whole.answer, page.answer);
        })
    };
}

impl<C: CatalogService, I: IngestService, Q: QueryService> Served<C, I, Q> {
    /// Answers, or changes, what is asked.
    pub async fn ask(&self, ask: &Ask, metric: Option<&Metric>) -> Result<Reply, Refusal> {
        let (catalog, ingest, query) = (&self.catalog, &self.ingest, &self.query);
        Ok(match ask {
            Ask::Create(r) => Reply::Create(catalog.create_metric(Request::new(r.clone())).await?.into_inner()),
            Ask::Update(r) => Reply::Update(catalog.update_metric(Request::new(r.clone())).await?.into_inner()),
            Ask::Delete(r) => Reply::Delete(catalog.delete_metric(Request::new(r.clone())).await?.into_inner()),
            Ask::Write(r) => Reply::Write(ingest.write_points(Request::new(r.clone())).await?.into_inner()),
            Ask::Retract(r) => Reply::Retract(ingest.retract_points(Request::new(r.clone())).await?.into_inner()),
            Ask::Opening(r) => Reply::Opening(ingest.set_opening_balance(Request::new(r.clone())).await?.into_inner()),
            Ask::Metric(r) => Reply::Metric(catalog.get_metric(Request::new(r.clone())).await?.into_inner()),
            Ask::Metrics(r) => Reply::Metrics(pages!(
                |r| catalog.list_metrics(r),
                r,
                metrics,
                |whole: &mut ListMetricsResponse, page: ListMetricsResponse| whole.metrics.extend(page.metrics)
            )),
            Ask::Components(r) => Reply::Components(pages!(
                |r| catalog.list_components(r),
                r,
                components,
                |whole: &mut ListComponentsResponse, page: ListComponentsResponse| {
                    whole.components.extend(page.components);
                }
            )),
            Ask::Series(r) => Reply::Series(pages!(
                |r| catalog.list_series(r),
                r,
                series,
                |whole: &mut ListSeriesResponse, page: ListSeriesResponse| {
                    whole.series.extend(page.series);
                }
            )),
            Ask::Changes(r) => Reply::Changes(pages!(
                |r| query.list_changes(r),
                r,
                changes,
                |whole: &mut ListChangesResponse, page: ListChangesResponse| {
                    assert_eq!(whole.revision, page.revision);
                    whole.changes.extend(page.changes);
                }
            )),
            Ask::Total(r) => Reply::Total(answers!(|r| query.get_total(r), r, GetTotalResponse, totals)),
            Ask::Range(r) => Reply::Range(answers!(|r| query.query_range(r), r, QueryRangeResponse, windows)),
            Ask::Cumulative(r) => {
                Reply::Cumulative(answers!(|r| query.query_cumulative(r), r, QueryCumulativeResponse, windows))
            }
            Ask::Milestones(r) => {
                Reply::Milestones(answers!(|r| query.list_milestones(r), r, ListMilestonesResponse, milestones))
            }
            Ask::Read(r) => self.read(r, metric).await?,
        })
    }

    async fn read(&self, request: &ReadPointsRequest, metric: Option<&Metric>) -> Result<Reply, Refusal> {
        let mut stream = Box::pin(self.query.read_points(Request::new(request.clone())).await?.into_inner());
        let (mut head, mut whole): (_, Vec<SeriesRead>) = (None, Vec::new());
        while let Some(message) = stream.next().await {
            let message = message?;
            assert!(message.answer.is_none() || head.is_none(), "the head comes once");
            head = head.or(message.answer);
            assert!(head.is_some(), "the head comes first");
            for entry in message.series {
                let mut points = entry.points;
                if let Some(columns) = &entry.columns {
                    points.extend(unpacked(columns, metric.expect("what is read has a definition")));
                }
                match whole.iter_mut().find(|(labels, _)| *labels == entry.labels) {
                    Some((_, before)) => before.extend(points),
                    None => whole.push((entry.labels, points)),
                }
            }
        }
        // Points that columns cannot say come in entries of their own.
        for (_, points) in &mut whole {
            points.sort_by_key(|point| match &point.at {
                Some(point::At::Time(time)) => crate::oracle::nanos(time),
                _ => unreachable!("answers say times"),
            });
        }
        Ok(Reply::Read(head.expect("a stream has a head"), whole))
    }
}

/// Columns as points.
fn unpacked(columns: &Columns, metric: &Metric) -> Vec<Point> {
    let plain = SeriesPoints { columns: Some(columns.clone()), ..SeriesPoints::default() };
    crate::oracle::puts(metric, &plain)
        .into_iter()
        .map(|put| put.expect("columns of an answer are valid"))
        .map(|(at, put)| Point {
            at: Some(point::At::Time(timestamp(at))),
            value: decimal::text(put.value.into(), metric.scale),
            start_time: put.start.map(timestamp),
            ..Point::default()
        })
        .collect()
}

fn check_size(rows: usize, page_size: i32) {
    assert!(page_size <= 0 || rows <= page_size as usize, "{rows} rows on a page of {page_size}");
}

/// The facts of a page's groups come behind those before; all else is the same on every page.
fn join_answers(whole: &mut Option<Answer>, page: Option<Answer>) {
    let whole = whole.as_mut().expect("an answer has a head");
    let page = page.expect("an answer has a head");
    let bare = |answer: &Answer| Answer { groups: Vec::new(), ..answer.clone() };
    assert_eq!(bare(whole), bare(&page), "pages are of one revision and time");
    whole.groups.extend(page.groups);
}
