//! A disk that fails: writes are refused from then on, reads go on, and health says so.

use crate::harness::{Server, told};
use crate::server::health;
use crate::sim_disk::{Counted, Fault, SimDisk};
use milepost::config::Limits;
use milepost::engine::Settings;
use milepost::random::SeededRandom;
use milepost::store::embedded::{EmbeddedStore, StoreSettings};
use std::sync::Arc;
use tonic_health::pb::health_check_response::ServingStatus;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const WRITE: &str = "IngestService/WritePoints";

/// A server over a disk that can fail. The directory is held for as long as it runs.
async fn over_sim_disk() -> (Server, SimDisk, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = SimDisk::new(1);
    let settings = StoreSettings { segment_bytes: 1 << 20, reserve_bytes: 1 << 20, ..StoreSettings::default() };
    let process = Arc::new(disk.process(dir.path()));
    let store = EmbeddedStore::open(dir.path(), process, Arc::new(SeededRandom::new(1)), settings);
    let server = Server::over(Arc::new(store.expect("it opens")), Settings::default(), Limits::default()).await;
    server.ok("CatalogService/CreateMetric", r#"{"metric":{"name":"a/b","kind":"GAUGE"}}"#).await;
    (server, disk, dir)
}

fn write(day: u8) -> String {
    format!(r#"{{"series":[{{"metric":"a/b","points":[{{"date":"2026-08-0{day}","value":"1"}}]}}]}}"#)
}

#[tokio::test]
async fn a_failed_disk_takes_no_more_writes_and_answers_still() {
    let (server, disk, _dir) = over_sim_disk().await;
    server.ok(WRITE, &write(1)).await;
    disk.plan(0, Counted::Changes, Fault::Fails(EIO));
    for day in [2, 3] {
        let told = server.refused(WRITE, &write(day)).await;
        assert!(
            told.starts_with("UNAVAILABLE DISK_FAILED the disk failed, nothing is written until a restart"),
            "{told}"
        );
    }
    let listed = server.ok("CatalogService/ListSeries", r#"{"metric":"a/b"}"#).await;
    assert_eq!(listed["series"][0]["pointCount"], "1");
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    assert_eq!(health(&server, "milepost.v1.IngestService").await, Some(ServingStatus::NotServing));
    assert_eq!(health(&server, "milepost.v1.QueryService").await, Some(ServingStatus::Serving));
}

#[tokio::test]
async fn a_full_disk_is_told_with_when_to_try_again() {
    use tonic_types::StatusExt;
    let (server, disk, _dir) = over_sim_disk().await;
    disk.plan(0, Counted::Changes, Fault::Fails(ENOSPC));
    let status = server.call(WRITE, &write(1)).await.expect_err("refused");
    assert!(told(&status).starts_with("RESOURCE_EXHAUSTED DISK_FULL no room on the disk for "), "{}", told(&status));
    assert!(status.get_details_retry_info().is_some() && status.get_details_quota_failure().is_some());
    // there is room again
    assert_eq!(server.ok(WRITE, &write(1)).await["revision"], "2");
}
