//! Messages as clients make them, and answers as they read them.

use super::workload::Workload;
use milepost::proto::v1::catalog_service_client::CatalogServiceClient;
use milepost::proto::v1::ingest_service_client::IngestServiceClient;
use milepost::proto::v1::query_service_client::QueryServiceClient;
use milepost::proto::v1::stream_points_response::Outcome;
use milepost::proto::v1::{self, columns::Times};
use prost_types::Timestamp;
use std::collections::BTreeMap;
use std::ops::Range;
use tokio_stream::StreamExt;
use tonic::transport::Channel;

const SECOND: i64 = 1_000_000_000;
/// What answers may hold: all windows or milestones of a page.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A client that asks.
pub fn asker(channel: Channel) -> QueryServiceClient<Channel> {
    QueryServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// Creates an irregular metric of counts whose series have a label `s`, or none.
pub async fn create(channel: &Channel, name: &str, labelled: bool) {
    let label_names = if labelled { vec!["s".to_string()] } else { Vec::new() };
    let kind = v1::metric::Kind::Delta as i32;
    let metric = v1::Metric { name: name.to_string(), kind, label_names, ..Default::default() };
    let request = v1::CreateMetricRequest { metric: Some(metric) };
    CatalogServiceClient::new(channel.clone()).create_metric(request).await.expect("the metric is made");
}

fn labels(series: Option<usize>) -> BTreeMap<String, String> {
    series.map(|s| ("s".to_string(), format!("{s:07}"))).into_iter().collect()
}

/// Points of a series in columns, at regular times.
pub fn regular(metric: &str, workload: &Workload, series: usize, points: Range<usize>) -> v1::SeriesPoints {
    let times = v1::RegularTimes { first_unix_nanos: workload.time(points.start), interval_nanos: workload.step };
    let units = workload.values(series)[points].to_vec();
    columns(metric, (workload.series > 1).then_some(series), Times::Regular(times), units)
}

/// Points of a series in columns, at times of their own.
pub fn fixed(metric: &str, workload: &Workload, series: usize, points: &[(usize, i64)]) -> v1::SeriesPoints {
    let unix_nanos = points.iter().map(|(i, _)| workload.time(*i)).collect();
    let units = points.iter().map(|(_, value)| *value).collect();
    columns(metric, (workload.series > 1).then_some(series), Times::Fixed(v1::FixedTimes { unix_nanos }), units)
}

fn columns(metric: &str, series: Option<usize>, times: Times, units: Vec<i64>) -> v1::SeriesPoints {
    let columns = v1::Columns { times: Some(times), units, start_times: Vec::new() };
    v1::SeriesPoints {
        metric: metric.to_string(),
        labels: labels(series),
        columns: Some(columns),
        ..Default::default()
    }
}

/// A batch.
pub fn write(series: Vec<v1::SeriesPoints>) -> v1::WritePointsRequest {
    v1::WritePointsRequest { series, ..Default::default() }
}

/// Sends batches down one stream, and says how many points were taken.
pub async fn stream(channel: Channel, batches: impl Iterator<Item = v1::WritePointsRequest> + Send + 'static) -> u64 {
    let messages = batches.map(|write| v1::StreamPointsRequest { write: Some(write) });
    let mut client = IngestServiceClient::new(channel);
    let mut answers = client.stream_points(tokio_stream::iter(messages)).await.expect("a stream").into_inner();
    let mut points = 0;
    while let Some(answer) = answers.next().await {
        match answer.expect("an answer").outcome {
            Some(Outcome::Response(response)) => points += response.accepted_count as u64,
            other => panic!("a batch was not taken: {other:?}"),
        }
    }
    points
}

/// Writes a batch by a call of its own.
pub async fn call(client: &mut IngestServiceClient<Channel>, write: v1::WritePointsRequest) -> u64 {
    let response = client.write_points(write).await.expect("it is taken").into_inner();
    response.accepted_count as u64
}

/// Series of a metric: one, or all together.
pub fn selection(metric: &str, series: Option<usize>) -> Option<v1::Selection> {
    let one = |s: usize| v1::LabelFilter {
        label: "s".to_string(),
        any_of: labels(Some(s)).into_values().collect(),
        ..Default::default()
    };
    let filters = series.map(one).into_iter().collect();
    Some(v1::Selection { metric: metric.to_string(), filters, group_by: Vec::new() })
}

/// Of nanoseconds.
pub fn timestamp(t: i64) -> Timestamp {
    Timestamp { seconds: t.div_euclid(SECOND), nanos: t.rem_euclid(SECOND) as i32 }
}

/// In nanoseconds.
pub fn nanos(t: &Timestamp) -> i64 {
    t.seconds * SECOND + i64::from(t.nanos)
}

/// What had been counted before `t`, as of a revision or now.
pub async fn total(
    client: &mut QueryServiceClient<Channel>,
    of: &Option<v1::Selection>,
    t: i64,
    revision: Option<i64>,
) -> i64 {
    let request = v1::GetTotalRequest {
        selection: of.clone(),
        at: Some(v1::get_total_request::At::AtTime(timestamp(t))),
        as_of: revision.map(|r| v1::AsOf { as_of: Some(v1::as_of::AsOf::Revision(r)) }),
        ..Default::default()
    };
    let answer = client.get_total(request).await.expect("a total").into_inner();
    // Before the first point there is no figure.
    answer.totals[0].total.as_deref().map_or(0, |total| total.parse().expect("a number"))
}

/// When thresholds were reached. A question of another `page_size` is another one, though its answer be the same.
pub async fn milestones(
    client: &mut QueryServiceClient<Channel>,
    of: &Option<v1::Selection>,
    thresholds: &[i64],
    page_size: i32,
) -> Vec<i64> {
    let values = thresholds.iter().map(i64::to_string).collect();
    let request = v1::ListMilestonesRequest {
        selection: of.clone(),
        ladder: Some(v1::list_milestones_request::Ladder::Thresholds(v1::ThresholdList { values })),
        page_size,
        ..Default::default()
    };
    let answer = client.list_milestones(request).await.expect("milestones").into_inner();
    answer.milestones.iter().map(|m| nanos(m.reached_by.as_ref().expect("an instant"))).collect()
}

/// Flows window by window: start and sum of each. A question of another `page_size` is another one.
pub async fn flows(
    client: &mut QueryServiceClient<Channel>,
    of: &Option<v1::Selection>,
    unit: v1::calendar::Unit,
    zone: &str,
    page_size: i32,
) -> Vec<(i64, i64)> {
    let calendar = v1::Calendar { unit: unit as i32, count: 1, time_zone: zone.to_string(), ..Default::default() };
    let request =
        v1::QueryRangeRequest { selection: of.clone(), calendar: Some(calendar), page_size, ..Default::default() };
    let answer = client.query_range(request).await.expect("windows").into_inner();
    assert_eq!(answer.next_page_token, "", "all windows are on one page");
    let flow = |w: &v1::Window| {
        let sum = w.flow.as_deref().map_or(0, |flow| flow.parse().expect("a number"));
        (nanos(w.start_time.as_ref().expect("an instant")), sum)
    };
    answer.windows.iter().map(flow).collect()
}

/// Reads all points of a metric: how many, and their sum.
pub async fn read(client: &mut QueryServiceClient<Channel>, metric: &str) -> (u64, i64) {
    let request = v1::ReadPointsRequest { selection: selection(metric, None), ..Default::default() };
    let mut messages = client.read_points(request).await.expect("a stream").into_inner();
    let (mut points, mut sum) = (0, 0);
    while let Some(message) = messages.next().await {
        for columns in message.expect("a message").series.iter().filter_map(|series| series.columns.as_ref()) {
            points += columns.units.len() as u64;
            sum += columns.units.iter().sum::<i64>();
        }
    }
    (points, sum)
}
