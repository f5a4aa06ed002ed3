//! Row 13: steady writing, day after day, by count: does a push, the memory, the disk stay what it was?

use super::figure::{Figure, quantile};
use super::ingest::name;
use super::process::{OnDisk, Server};
use super::workload::{Workload, scatter};
use super::{Bench, calls};
use milepost::proto::v1::WritePointsRequest;
use milepost::proto::v1::ingest_service_client::IngestServiceClient;
use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;
use tonic::transport::Channel;

/// Folds every few MiB, so that a day, written in seconds, has as many folds as months of a real one; and caches little,
/// so that the bound is met on the first day and not after months.
const CONFIG: &str = "[engine]\nmemtable_bytes_max = 4194304\nunfolded_bytes_max = 4194304\nsweep_bytes_min = 262144\n\
                      cache_bytes_max = 33554432\n\
                      [store]\nsegment_bytes = 1048576\nindex_cache_bytes_max = 8388608\n";

/// A push a minute of every series, each by a call of its own after the one before, now and then with a correction; the
/// same pushes to the null sink a quarter of a day later, so that the machine's own ups and downs are known.
pub async fn days(bench: &Bench) -> Vec<Figure> {
    let (series, minutes, days) = (bench.scale(1_000, 20), bench.scale(1_440, 40), bench.scale(10, 2));
    let workload = Workload::made_up(series, days * minutes, 60);
    let dir = bench.directory();
    let (data, log) = (dir.path().join("data"), dir.path().join("log"));
    let server = Server::configured(&data, CONFIG, &log);
    let nulls = Server::nulls();
    let channel = server.connect().await;
    calls::create(&channel, &name(0), true).await;
    let mut asker = calls::asker(channel.clone());
    let mut writers = [IngestServiceClient::new(channel), IngestServiceClient::new(nulls.connect().await)];
    let (mut expected, mut corrected) = (0, HashSet::new());
    let mut figures = Vec::new();
    for day in 0..days {
        let busy = server.processor_seconds();
        let mut pushes = [Vec::new(), Vec::new()];
        for quarter in 0..4 {
            let from = day * minutes + quarter * minutes / 4;
            for (writer, pushes) in writers.iter_mut().zip(&mut pushes) {
                for k in from..from + minutes / 4 {
                    pushes.push(push(writer, &workload, k).await);
                }
            }
        }
        for k in day * minutes..(day + 1) * minutes {
            expected += (0..series).map(|s| workload.values(s)[k]).sum::<i64>();
            expected += i64::from(correction(&workload, k).is_some_and(|place| corrected.insert(place)));
        }
        let busy = server.processor_seconds() - busy;
        let began = Instant::now();
        let total = calls::total(&mut asker, &calls::selection(&name(0), None), i64::MAX / 2, None).await;
        let asked = began.elapsed().as_secs_f64();
        assert_eq!(total, expected, "day {}: every point counts once, corrected ones by one more", day + 1);

        let on_disk = OnDisk::of(&data);
        let mut add = |what: &str, value: f64, unit| {
            figures.push(Figure::of(13, &format!("steady writing, day {}: {what}", day + 1), value, unit));
        };
        let [ours, sink] = pushes;
        add("a push of 1,000 points", 1e3 * quantile(ours.clone(), 0.5), "ms");
        add("its p99", 1e3 * quantile(ours.clone(), 0.99), "ms");
        add("of the null sink's", quantile(ours, 0.5) / quantile(sink, 0.5), "x");
        add("the server's processor time for a push", 1e3 * busy / minutes as f64, "ms");
        add("the total over all", 1e3 * asked, "ms");
        add("memory", server.memory().0 as f64 / 1e6, "MB");
        add("on disk", on_disk.kept as f64 / (series * (day + 1) * minutes) as f64, "B a point");
        if let Some((after, living)) = last_swept(&log) {
            add("fold files after the last sweep, of live data", after / living, "x");
            add("fold files now, of live data then", on_disk.folds as f64 / living, "x");
        }
    }
    server.stop().await;
    figures
}

/// Pushes the `k`th minute, and says how many seconds it took.
async fn push(writer: &mut IngestServiceClient<Channel>, workload: &Workload, k: usize) -> f64 {
    let write = minute(workload, k);
    let began = Instant::now();
    calls::call(writer, write).await;
    began.elapsed().as_secs_f64()
}

/// A point of every series, and a correction.
fn minute(workload: &Workload, k: usize) -> WritePointsRequest {
    let mut write: Vec<_> = (0..workload.series).map(|s| calls::regular(&name(0), workload, s, k..k + 1)).collect();
    if let Some((series, i)) = correction(workload, k) {
        write.push(calls::fixed(&name(0), workload, series, &[(i, workload.values(series)[i] + 1)]));
    }
    calls::write(write)
}

/// Of which series which point is corrected with the `k`th push: any of before.
fn correction(workload: &Workload, k: usize) -> Option<(usize, usize)> {
    let i = (scatter(k as u64 + 7) as usize).checked_rem(k)?;
    Some((scatter(k as u64) as usize % workload.series, i))
}

/// What the last sweep says that the fold files took after it, and what of them lived.
fn last_swept(log: &Path) -> Option<(f64, f64)> {
    let log = std::fs::read_to_string(log).expect("it is there");
    let mut lines = log.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let swept = lines.find(|line| line["message"] == "the fold files were swept")?;
    Some((swept["after"].as_f64()?, swept["living"].as_f64()?))
}
