//! Packed columns in batches of 10,000 points through the service, over loopback, each acknowledged after its sync.

use super::engine;
use criterion::{Criterion, Throughput};
use milepost::config::Limits;
use milepost::engine::batch::Change;
use milepost::proto::v1;
use milepost::proto::v1::ingest_service_client::IngestServiceClient;
use milepost::server;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::StreamExt;

const BATCH_POINTS: u64 = 10_000;
const SECOND: i64 = 1_000_000_000;

/// The `k`th batch: later than all before, one point a second.
fn batch(k: u64) -> v1::StreamPointsRequest {
    let first = k * BATCH_POINTS;
    let regular = v1::RegularTimes { first_unix_nanos: first as i64 * SECOND, interval_nanos: SECOND };
    let columns = v1::Columns {
        times: Some(v1::columns::Times::Regular(regular)),
        units: (first..first + BATCH_POINTS).map(engine::value).collect(),
        start_times: Vec::new(),
    };
    let series = v1::SeriesPoints { metric: "bench/ingest".to_string(), columns: Some(columns), ..Default::default() };
    let write = v1::WritePointsRequest { series: vec![series], ..Default::default() };
    v1::StreamPointsRequest { write: Some(write) }
}

pub fn packed_columns(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = Runtime::new().expect("a runtime");
    let engine = engine::open(dir.path());
    let made = Change::Create(Box::new(engine::definition(engine::name("ingest"), None)));
    runtime.block_on(engine.write(engine::batch(made))).expect("made");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = runtime.spawn(server::serve(listener, engine, Limits::default(), async {
        let _ = stopped.await;
    }));
    let client = runtime.block_on(IngestServiceClient::connect(format!("http://{address}"))).expect("a client");
    let mut sent = 0u64;
    let mut group = criterion.benchmark_group("ingest, durable");
    group.throughput(Throughput::Elements(BATCH_POINTS)).sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("StreamPoints, 10,000 points a batch", |b| {
        b.iter_custom(|batches| {
            // The client's own work is done before the clock starts: what is measured is the service.
            let requests: Vec<_> = (sent..sent + batches).map(batch).collect();
            sent += batches;
            let mut client = client.clone();
            runtime.block_on(async move {
                let begun = Instant::now();
                let answers = client.stream_points(tokio_stream::iter(requests)).await.expect("a stream");
                let mut answers = answers.into_inner();
                while let Some(answer) = answers.next().await {
                    let outcome = answer.expect("an answer").outcome;
                    assert!(matches!(outcome, Some(v1::stream_points_response::Outcome::Response(_))), "{outcome:?}");
                }
                begun.elapsed()
            })
        })
    });
    group.finish();
    let _ = stop.send(());
    runtime.block_on(serving).expect("the server ends").expect("it ends well");
}
