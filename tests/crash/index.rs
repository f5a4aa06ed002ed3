//! The index lost, damaged or stale while nobody served the directory: every answer stays what it was.

use crate::process::{Place, copy_dir, files};
use crate::stock::{Stock, flip, write_bulk};
use std::fs;
use std::path::{Path, PathBuf};

/// Opens, asks, closes; and again on the index that was built.
async fn check(place: &Place, stock: &Stock, what: &str) {
    for _ in 0..2 {
        let served = place.start();
        stock.check(&served.channel(), what).await;
        stock.check_retries(&served.channel()).await;
        served.stop().await;
    }
}

/// Every file of sled's, with its length.
fn sled_files(index: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut folders = files(index, "");
    while let Some(path) = folders.pop() {
        if path.is_dir() {
            folders.extend(files(&path, ""));
        } else if path.parent() != Some(index) {
            let bytes = fs::metadata(&path).expect("a file").len();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn nothing_wrong_is_the_baseline() {
    let stock = Stock::get().await;
    let place = stock.copy();
    assert!(place.data().join("index/CLEAN").exists(), "a clean end leaves its marker");
    check(&place, stock, "untouched").await;
}

#[tokio::test]
async fn a_lost_index_is_built_anew() {
    let stock = Stock::get().await;
    let place = stock.copy();
    fs::remove_dir_all(place.data().join("index")).expect("there was one");
    check(&place, stock, "lost").await;
}

#[tokio::test]
async fn an_index_without_its_marker_is_not_believed() {
    let stock = Stock::get().await;
    let place = stock.copy();
    fs::remove_file(place.data().join("index/CLEAN")).expect("there was one");
    check(&place, stock, "no marker").await;
    flip(&place.data().join("index/CLEAN"), 30);
    check(&place, stock, "a damaged marker").await;
}

#[tokio::test]
async fn a_damaged_index_is_not_believed() {
    let stock = Stock::get().await;
    let place = stock.copy();
    let index = place.data().join("index");
    let count = sled_files(&index).iter().filter(|(_, bytes)| *bytes > 0).count();
    assert!(count > 0, "sled has files");
    for number in 0..count {
        let (path, bytes) = sled_files(&index).into_iter().filter(|(_, bytes)| *bytes > 0).nth(number).expect("a file");
        [bytes / 3, bytes / 2, bytes - 1].into_iter().for_each(|offset| flip(&path, offset));
        check(&place, stock, &format!("{} flipped", path.display())).await;
    }
    let (path, bytes) = sled_files(&index).into_iter().max_by_key(|(_, bytes)| *bytes).expect("a file");
    let file = fs::OpenOptions::new().write(true).open(path).expect("a file");
    file.set_len(bytes / 2).expect("cut");
    check(&place, stock, "cut").await;
}

#[tokio::test]
async fn a_stale_index_is_not_believed() {
    let stock = Stock::get().await;
    let place = stock.copy();
    let (index, old) = (place.data().join("index"), place.root().join("old-index"));
    copy_dir(&index, &old);
    let served = place.start();
    write_bulk(&served.channel(), "later", 500).await;
    let later = crate::questions::kept(&served.channel(), "pay").await.expect("what is kept");
    served.stop().await;
    fs::remove_dir_all(&index).expect("there was one");
    copy_dir(&old, &index);
    for _ in 0..2 {
        let served = place.start();
        let found = crate::questions::kept(&served.channel(), "pay").await.expect("what is kept");
        assert!(found == later, "an index from before is not taken for the present one");
        served.stop().await;
    }
}

/// Series without points used to be left out of an index that was built anew, and were gone once that was believed.
#[tokio::test]
async fn an_opening_without_points_is_in_the_index_that_is_built_anew() {
    use milepost::proto::v1::*;
    let place = Place::new(crate::campaign::SMALL);
    let total = async |served: &crate::process::Served| {
        let request =
            GetTotalRequest { selection: crate::questions::selection("solo/sum".to_owned()), ..Default::default() };
        let mut client = query_service_client::QueryServiceClient::new(served.channel());
        client.get_total(request).await.expect("an answer").into_inner().totals[0].total.clone()
    };
    let served = place.start();
    let metric = Metric { name: "solo/sum".to_owned(), kind: metric::Kind::Delta as i32, ..Default::default() };
    let mut catalog = catalog_service_client::CatalogServiceClient::new(served.channel());
    catalog.create_metric(CreateMetricRequest { metric: Some(metric) }).await.expect("a metric");
    let opening = SetOpeningBalanceRequest {
        metric: "solo/sum".to_owned(),
        value: Some("77".to_owned()),
        at: Some(set_opening_balance_request::At::Date("2020-01-01".to_owned())),
        ..Default::default()
    };
    let mut ingest = ingest_service_client::IngestServiceClient::new(served.channel());
    ingest.set_opening_balance(opening).await.expect("opened");
    served.stop().await;
    fs::remove_dir_all(place.data().join("index")).expect("there was one");
    for start in ["built anew", "believed", "believed again"] {
        let served = place.start();
        assert_eq!(total(&served).await.as_deref(), Some("77"), "{start}");
        served.stop().await;
    }
}
