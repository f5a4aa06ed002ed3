//! While others write and fold, every answer is of one revision: batches that add on one series what they take from
//! another leave every sum over both at zero, always.

use crate::campaign::SMALL;
use crate::process::{Place, files};
use crate::questions::{at_revision, read, selection};
use milepost::proto::v1::catalog_service_client::CatalogServiceClient;
use milepost::proto::v1::ingest_service_client::IngestServiceClient;
use milepost::proto::v1::query_service_client::QueryServiceClient;
use milepost::proto::v1::write_points_request::Mode;
use milepost::proto::v1::*;
use milepost::random::SeededRandom;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tonic::transport::Channel;

const METRIC: &str = "bank/moves";
const DURATION: Duration = Duration::from_millis(2_500);

/// Points of one batch on each side.
const POINTS_MAX: u64 = 12;

fn account(name: &str, points: Vec<Point>) -> SeriesPoints {
    let labels = [("writer".to_owned(), name.to_owned())].into();
    SeriesPoints { metric: METRIC.to_owned(), labels, points, columns: None }
}

async fn write(channel: Channel, writer: u64, stop: &AtomicBool) -> u64 {
    let mut client = IngestServiceClient::new(channel);
    let random = SeededRandom::new(writer);
    let mut batches = 0;
    while !stop.load(Ordering::Relaxed) {
        batches += 1;
        let adds = random.next().is_multiple_of(2);
        // Corrections of what either writer wrote, and new instants: always the same ones on both sides.
        let times: std::collections::BTreeSet<i64> =
            (0..1 + random.next() % POINTS_MAX).map(|_| (random.next() % (batches + 20)) as i64 * 600).collect();
        let value = (random.next() % 1_000) as i64 - 300;
        let side =
            |sign: i64| times.iter().map(|time| crate::book::point(crate::book::BASE + time, sign * value)).collect();
        let request = WritePointsRequest {
            request_id: if adds { format!("{writer} {batches}") } else { String::new() },
            series: vec![account("one", side(1)), account("other", side(-1))],
            mode: if adds { Mode::Add } else { Mode::Set } as i32,
            ..Default::default()
        };
        client.write_points(request).await.expect("written");
    }
    batches
}

fn zero(total: &Option<String>, what: &str) {
    assert!(total.as_deref().is_none_or(|total| total == "0"), "half of a batch in {what}: {total:?}");
}

/// One of each question; answers the number of figures that were looked at.
async fn ask(client: &mut QueryServiceClient<Channel>) -> u64 {
    let all = || selection(METRIC.to_owned());
    let total = GetTotalRequest { selection: all(), ..Default::default() };
    let total = client.get_total(total).await.expect("an answer").into_inner();
    zero(&total.totals[0].total, "GetTotal");
    let revision = total.answer.expect("facts").revision;
    let calendar = Some(Calendar { unit: calendar::Unit::Hour as i32, ..Default::default() });
    let range = QueryRangeRequest { selection: all(), calendar: calendar.clone(), ..Default::default() };
    let range = client.query_range(range).await.expect("an answer").into_inner();
    range.windows.iter().for_each(|window| zero(&window.flow, "QueryRange"));
    let cumulative = QueryCumulativeRequest { selection: all(), calendar, ..Default::default() };
    let cumulative = client.query_cumulative(cumulative).await.expect("an answer").into_inner();
    cumulative.windows.iter().for_each(|window| zero(&window.total, "QueryCumulative"));
    // Two pages of one question are of one revision too.
    let mut grouped = GetTotalRequest { selection: all(), page_size: 1, ..Default::default() };
    grouped.selection.as_mut().expect("one").group_by = vec!["writer".to_owned()];
    let mut sum = 0;
    loop {
        let page = client.get_total(grouped.clone()).await.expect("a page").into_inner();
        sum += page.totals.iter().filter_map(|row| row.total.as_ref()?.parse::<i64>().ok()).sum::<i64>();
        if page.next_page_token.is_empty() {
            break;
        }
        grouped.page_token = page.next_page_token;
    }
    assert_eq!(sum, 0, "pages of two revisions");
    let past = GetTotalRequest { selection: all(), as_of: at_revision(revision / 2), ..Default::default() };
    let past = client.get_total(past).await.expect("an answer").into_inner();
    past.totals.iter().for_each(|row| zero(&row.total, "GetTotal as of a revision"));
    (range.windows.len() + cumulative.windows.len() + 4) as u64
}

async fn read_streams(channel: Channel, stop: &AtomicBool, read_count: &AtomicU64) {
    let mut client = QueryServiceClient::new(channel.clone());
    while !stop.load(Ordering::Relaxed) {
        read_count.fetch_add(ask(&mut client).await, Ordering::Relaxed);
        let points = read(&channel, METRIC.to_owned(), None).await.expect("a stream");
        if let (Some(one), Some(other)) = (points.get("one"), points.get("other")) {
            let mirrored: Vec<_> = other.iter().map(|(time, value)| (*time, -value)).collect();
            assert!(*one == mirrored, "half of a batch in ReadPoints");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_of_one_revision_whatever_is_written_and_folded_meanwhile() {
    let place = Place::new(SMALL);
    let served = place.start();
    let label_names = vec!["writer".to_owned()];
    let metric =
        Metric { name: METRIC.to_owned(), kind: metric::Kind::Delta as i32, label_names, ..Default::default() };
    let made = CreateMetricRequest { metric: Some(metric) };
    CatalogServiceClient::new(served.channel()).create_metric(made).await.expect("a metric");
    let (stop, figures) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (1..=2)
        .map(|writer| {
            let (channel, stop) = (served.channel(), stop.clone());
            tokio::spawn(async move { write(channel, writer, &stop).await })
        })
        .collect();
    while read(&served.channel(), METRIC.to_owned(), None).await.expect("a stream").is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (channel, stop, figures) = (served.channel(), stop.clone(), figures.clone());
            tokio::spawn(async move { read_streams(channel, &stop, &figures).await })
        })
        .collect();
    tokio::time::sleep(DURATION).await;
    stop.store(true, Ordering::Relaxed);
    let mut batches = 0;
    for writer in writers {
        batches += writer.await.expect("a writer does not panic");
    }
    for reader in readers {
        reader.await.expect("every answer is of one revision");
    }
    let (folds, figures) = (files(&place.data().join("folds"), ".fold").len(), figures.load(Ordering::Relaxed));
    println!("{batches} batches, {folds} folds, {figures} figures");
    assert!(batches > 100 && folds >= 2 && figures > 100, "{batches} batches, {folds} folds, {figures} figures");
    served.stop().await;
}
