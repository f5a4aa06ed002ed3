//! Rows 1 to 4: how fast counts come in, acknowledged after their sync, against a sink that drops them; and what they
//! take on disk.

use super::figure::Figure;
use super::process::{OnDisk, Server};
use super::workload::{Workload, scatter};
use super::{Bench, calls};
use milepost::proto::v1;
use milepost::proto::v1::ingest_service_client::IngestServiceClient;
use std::sync::Arc;
use std::time::Instant;

/// Who writes at once, each over a connection of its own.
const WRITERS: usize = 2;
/// Of a hundred points, so many are written again.
const CORRECTED_PERCENT: usize = 1;
/// Callers at once of the small calls.
const CALLERS: usize = 64;

/// The batches of a writer: a series each, one metric after the other.
fn series_order(
    workload: Arc<Workload>,
    metrics: usize,
    writer: usize,
) -> impl Iterator<Item = v1::WritePointsRequest> {
    (0..metrics).flat_map(move |metric| {
        let workload = workload.clone();
        (writer..workload.series)
            .step_by(WRITERS)
            .map(move |series| calls::write(vec![calls::regular(&name(metric), &workload, series, 0..workload.points)]))
    })
}

/// The same, and with each series a hundredth of the writer's series before, anew.
fn with_corrections(
    workload: Arc<Workload>,
    metrics: usize,
    writer: usize,
) -> impl Iterator<Item = v1::WritePointsRequest> {
    let corrected = workload.clone();
    series_order(workload, metrics, writer).enumerate().map(move |(k, mut batch)| {
        let of_metric = corrected.series.saturating_sub(writer).div_ceil(WRITERS);
        if k % of_metric > 0 {
            let series = writer + (k % of_metric - 1) * WRITERS;
            let each = 100 / CORRECTED_PERCENT;
            let point = |j: usize| {
                let i = j * each + scatter((k * 1_000 + j) as u64) as usize % each;
                (i, corrected.values(series)[i] + 1)
            };
            let points: Vec<_> = (0..corrected.points / each).map(point).collect();
            batch.series.push(calls::fixed(&name(k / of_metric), &corrected, series, &points));
        }
        batch
    })
}

/// The batches of a writer as points arrive live: all its series for a stretch of time.
fn time_order(workload: Arc<Workload>, writer: usize) -> impl Iterator<Item = v1::WritePointsRequest> {
    let mine: Vec<usize> = (writer..workload.series).step_by(WRITERS).collect();
    let stretch = (43_824 / mine.len()).max(1);
    (0..workload.points).step_by(stretch).map(move |from| {
        let to = (from + stretch).min(workload.points);
        calls::write(mine.iter().map(|s| calls::regular(&name(0), &workload, *s, from..to)).collect())
    })
}

/// The name of a metric.
pub fn name(metric: usize) -> String {
    format!("bench/counts-{metric}")
}

/// All writers send at once: points and seconds, from the first batch to the last answer.
async fn send<I: Iterator<Item = v1::WritePointsRequest> + Send + 'static>(
    server: &Server,
    batches: impl Fn(usize) -> I,
) -> (u64, f64) {
    let mut channels = Vec::new();
    for _ in 0..WRITERS {
        channels.push(server.connect().await);
    }
    let began = Instant::now();
    let writers = channels.into_iter().enumerate().map(|(w, channel)| tokio::spawn(calls::stream(channel, batches(w))));
    let mut points = 0;
    for writer in writers.collect::<Vec<_>>() {
        points += writer.await.expect("a writer does not panic");
    }
    (points, began.elapsed().as_secs_f64())
}

/// milepost with so many metrics of counts, on a fresh directory.
pub async fn fresh(bench: &Bench, metrics: usize, labelled: bool) -> (tempfile::TempDir, Server) {
    let dir = bench.directory();
    let server = Server::milepost(&dir.path().join("data"));
    let channel = server.connect().await;
    for metric in 0..metrics {
        calls::create(&channel, &name(metric), labelled).await;
    }
    (dir, server)
}

/// milepost with a workload in its first metric, and its directory. Not stopped.
pub async fn loaded(bench: &Bench, workload: &Arc<Workload>) -> (tempfile::TempDir, Server) {
    let (dir, server) = fresh(bench, 1, workload.series > 1).await;
    let long = workload.series == 1;
    let points = if long {
        let stretch = (workload.points / 100).clamp(1, 1_000_000);
        let source = workload.clone();
        let batches = (0..workload.points).step_by(stretch).map(move |from| {
            let to = (from + stretch).min(source.points);
            calls::write(vec![calls::regular(&name(0), &source, 0, from..to)])
        });
        calls::stream(server.connect().await, batches).await
    } else {
        send(&server, |w| series_order(workload.clone(), 1, w)).await.0
    };
    assert_eq!(points, workload.all(), "every point is accepted");
    server.settled().await;
    (dir, server)
}

/// Row 1 and 2: large batches, packed columns, two writers.
pub async fn columns(bench: &Bench) -> Vec<Figure> {
    let metrics = bench.scale(10, 2);
    let workload = bench.many_series();
    let nulls = Server::nulls();
    let (sunk, seconds) = send(&nulls, |w| series_order(workload.clone(), metrics, w)).await;
    let mut figures = vec![Figure::rate(1, "null sink", sunk, seconds)];
    let sum = workload.running(0..workload.series).last();
    for (row, corrected) in [(1, false), (2, true)] {
        let (_dir, server) = fresh(bench, metrics, true).await;
        let (points, seconds) = match corrected {
            false => send(&server, |w| series_order(workload.clone(), metrics, w)).await,
            true => send(&server, |w| with_corrections(workload.clone(), metrics, w)).await,
        };
        let more = points - workload.all() * metrics as u64;
        assert_eq!(more > 0, corrected, "a hundredth is written again, or nothing");
        let mut asker = calls::asker(server.connect().await);
        let mut counted = 0;
        for metric in 0..metrics {
            counted += calls::total(&mut asker, &calls::selection(&name(metric), None), i64::MAX / 2, None).await;
        }
        assert_eq!(counted, sum * metrics as i64 + more as i64, "every point counts once, corrected ones by one more");
        figures.push(Figure::rate(
            row,
            if corrected { "with corrections" } else { "ingest, durable" },
            points,
            seconds,
        ));
        server.stop().await;
    }
    figures
}

/// Row 4: bytes a point on disk once everything is folded, written series by series and as points arrive live.
pub async fn on_disk(bench: &Bench) -> Vec<Figure> {
    let mut figures = Vec::new();
    let (many, one) = (bench.many_series(), bench.one_series());
    for (what, workload, live) in
        [("W1, series order", &many, false), ("W1, time order", &many, true), ("W3", &one, false)]
    {
        let (dir, server) = if live {
            let (dir, server) = fresh(bench, 1, true).await;
            assert_eq!(send(&server, |w| time_order(workload.clone(), w)).await.0, workload.all());
            (dir, server)
        } else {
            loaded(bench, workload).await
        };
        server.stop().await;
        let on_disk = OnDisk::of(&dir.path().join("data"));
        let points = workload.all() as f64;
        figures.push(Figure::of(4, what, on_disk.kept as f64 / points, "B a point"));
        figures.push(Figure::of(4, &format!("{what}: of it fold files"), on_disk.folds as f64 / points, "B a point"));
        let beside = on_disk.log_and_reserve as f64 / 1e6;
        figures.push(Figure::of(4, &format!("{what}: log and reserve beside it"), beside, "MB"));
    }
    figures
}

/// One point for each of so many series a call: the `k`th call of a writer.
fn one_point_each(workload: &Workload, writer: usize, k: usize) -> v1::WritePointsRequest {
    let mine = (writer * workload.series / WRITERS..(writer + 1) * workload.series / WRITERS).collect::<Vec<_>>();
    calls::write(mine.into_iter().map(|s| calls::regular(&name(0), workload, s, k..k + 1)).collect())
}

/// Ten points of a caller's own series: its `k`th call.
fn ten_points(workload: &Workload, caller: usize, k: usize) -> v1::WritePointsRequest {
    calls::write(vec![calls::regular(&name(0), workload, caller, 10 * k..10 * k + 10)])
}

/// Small calls, each after the answer to the caller's before.
struct Small {
    what: &'static str,
    unit: &'static str,
    /// A figure counts so many points as one.
    points: f64,
    callers: usize,
    /// Of each caller.
    calls: usize,
    workload: Workload,
    /// The call of a caller, by its number.
    make: fn(&Workload, usize, usize) -> v1::WritePointsRequest,
}

impl Small {
    /// All callers at once, over two connections. Seconds.
    async fn send(self: &Arc<Small>, server: &Server, ids: bool) -> f64 {
        let channels = [server.connect().await, server.connect().await];
        let began = Instant::now();
        let caller = |caller: usize| {
            let (mut client, small) = (IngestServiceClient::new(channels[caller % 2].clone()), self.clone());
            tokio::spawn(async move {
                let mut points = 0;
                for k in 0..small.calls {
                    let mut write = (small.make)(&small.workload, caller, k);
                    if ids {
                        write.request_id = format!("caller-{caller}-call-{k}");
                    }
                    points += calls::call(&mut client, write).await;
                }
                points
            })
        };
        let mut points = 0;
        for caller in (0..self.callers).map(caller).collect::<Vec<_>>() {
            points += caller.await.expect("a caller does not panic");
        }
        assert_eq!(points, self.workload.all());
        began.elapsed().as_secs_f64()
    }
}

/// Row 3: small calls, with and without request ids. The sink and milepost by turns, several times: each takes less than a
/// second, and the machine is faster or slower seconds later.
pub async fn small(bench: &Bench) -> Vec<Figure> {
    let (turns, pushes, calls) = (bench.scale(5, 1), bench.scale(200, 20), bench.scale(500, 10));
    let wide = Small {
        what: "1 point each for 1,000 series",
        unit: "M points/s",
        points: 1e6,
        callers: WRITERS,
        calls: pushes,
        workload: Workload::made_up(bench.scale(2_000, 40), pushes, 60),
        make: one_point_each,
    };
    let deep = Small {
        what: "10 points a call",
        unit: "calls/s",
        points: 10.0,
        callers: CALLERS,
        calls,
        workload: Workload::made_up(CALLERS, 10 * calls, 60),
        make: ten_points,
    };
    let nulls = Server::nulls();
    let (echoed, seconds) = super::ask::echo(&nulls, CALLERS, turns * CALLERS * calls).await;
    let mut figures = vec![Figure::of(3, "empty echo, 64 callers", echoed as f64 / seconds, "calls/s")];
    for small in [Arc::new(wide), Arc::new(deep)] {
        for (ids, with) in [(false, "no ids"), (true, "an id each")] {
            let mut seconds = [0.0; 2];
            for _ in 0..turns {
                seconds[0] += small.send(&nulls, ids).await;
                let (_dir, server) = fresh(bench, 1, true).await;
                seconds[1] += small.send(&server, ids).await;
            }
            for (who, seconds) in ["null sink", "milepost"].into_iter().zip(seconds) {
                let rate = turns as f64 * small.workload.all() as f64 / small.points / seconds;
                figures.push(Figure::of(3, &format!("{}, {with}: {who}", small.what), rate, small.unit));
            }
        }
    }
    figures
}

/// Row 12: very many series, a few points each; memory, and opening again after kill -9 and with the index gone.
pub async fn million(bench: &Bench) -> Vec<Figure> {
    let pushes = 20;
    let workload = Arc::new(Workload::made_up(bench.scale(1_000_000, 2_000), pushes, 3_600));
    let batch_series = bench.scale(10_000, 100);
    let source = workload.clone();
    let batches = move |writer: usize| {
        let workload = source.clone();
        (0..pushes).flat_map(move |k| {
            let workload = workload.clone();
            (0..workload.series / batch_series).filter(move |b| b % WRITERS == writer).map(move |b| {
                let series = b * batch_series..(b + 1) * batch_series;
                calls::write(series.map(|s| calls::regular(&name(0), &workload, s, k..k + 1)).collect())
            })
        })
    };
    let nulls = Server::nulls();
    let (sunk, seconds) = send(&nulls, &batches).await;
    let mut figures = vec![Figure::rate(12, "null sink", sunk, seconds)];
    let (_dir, server) = fresh(bench, 1, true).await;
    let (points, seconds) = send(&server, &batches).await;
    assert_eq!(points, workload.all());
    figures.push(Figure::rate(12, "a million series, 20 pushes", points, seconds));
    figures.push(Figure::of(12, "memory, most", server.memory().1 as f64 / 1e9, "GB"));
    let data = server.kill();
    let sum = workload.running(0..workload.series).last();
    for (what, gone) in [("ready after kill -9", false), ("ready with the index gone", true)] {
        if gone {
            std::fs::remove_dir_all(data.join("index")).expect("the index is there");
        }
        let server = Server::milepost(&data);
        figures.push(Figure::of(12, what, server.opening.as_secs_f64(), "s"));
        let mut asker = calls::asker(server.connect().await);
        let counted = calls::total(&mut asker, &calls::selection(&name(0), None), i64::MAX / 2, None).await;
        assert_eq!(counted, sum, "{what}: every point counts");
        server.stop().await;
    }
    figures
}
