//! Rows 5, 6, 8, 9, 10, 14 and 16: how fast the answers come, each checked against plain running sums.

use super::figure::{Figure, quantile};
use super::ingest::{loaded, name};
use super::process::Server;
use super::workload::{Running, Workload, scatter};
use super::{Bench, calls};
use milepost::proto::v1::calendar::Unit;
use milepost::proto::v1::query_service_client::QueryServiceClient;
use milepost::proto::v1::{self};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::runtime::Builder;
use tonic::transport::Channel;

/// Calls in flight.
const IN_FLIGHT: usize = 64;
const DAY: i64 = 86_400 * 1_000_000_000;
/// Rows on a page, more than any answer has: with fewer a question is one that was not asked before, and so it is reckoned
/// anew.
const PAGE: i32 = 10_000;

/// So many calls, so many at once, over two connections: calls and seconds.
async fn at_once<F: Future<Output = ()> + Send>(
    server: &Server,
    in_flight: usize,
    count: usize,
    ask: impl Fn(QueryServiceClient<Channel>, usize) -> F + Send + Sync + Copy + 'static,
) -> (usize, f64) {
    let channels = [server.connect().await, server.connect().await];
    let began = Instant::now();
    let asker = |a: usize| {
        let client = calls::asker(channels[a % 2].clone());
        tokio::spawn(async move {
            for k in (a..count).step_by(in_flight) {
                ask(client.clone(), k).await;
            }
        })
    };
    for asker in (0..in_flight).map(asker).collect::<Vec<_>>() {
        asker.await.expect("an asker does not panic");
    }
    (count, began.elapsed().as_secs_f64())
}

/// Calls of the empty echo.
pub async fn echo(nulls: &Server, in_flight: usize, count: usize) -> (usize, f64) {
    let ask = |mut client: QueryServiceClient<Channel>, _| async move {
        client.get_total(v1::GetTotalRequest::default()).await.expect("an echo");
    };
    at_once(nulls, in_flight, count, ask).await
}

/// Seconds of each of several runs, one after the other; what it came to is checked once the clock has stopped.
async fn timed<T, F: Future<Output = T>>(
    runs: usize,
    mut run: impl FnMut(usize) -> F,
    check: impl Fn(usize, T),
) -> Vec<f64> {
    let mut seconds = Vec::new();
    for k in 0..runs {
        let began = Instant::now();
        let answer = run(k).await;
        seconds.push(began.elapsed().as_secs_f64());
        check(k, answer);
    }
    seconds
}

/// Thresholds at every twentieth of everything.
fn twentieths(sums: &Running) -> Vec<i64> {
    (1..=20).map(|i| (sums.last() * i + 19) / 20).collect()
}

/// A known, shared reference for tasks: they live as long as the program, which ends soon after.
fn kept<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Rows 5 and 6: one long series.
pub async fn one_long(bench: &Bench) -> Vec<Figure> {
    let workload = bench.one_series();
    let (_dir, server) = loaded(bench, &workload).await;
    let sums = workload.running(0..1);
    let of = kept(calls::selection(&name(0), None));
    let (first, step, points) = (workload.first, workload.step, workload.points);
    let nulls = Server::nulls();
    let count = bench.scale(200_000, 2_000);
    let before = nulls.processor_seconds();
    let (echoed, seconds) = echo(&nulls, IN_FLIGHT, count).await;
    let mut figures = vec![Figure::of(5, "empty echo, 64 in flight", echoed as f64 / seconds, "calls/s")];
    let per_call =
        |server: &Server, before: f64, calls: usize| 1e6 * (server.processor_seconds() - before) / calls as f64;
    figures.push(Figure::of(
        5,
        "empty echo: the server's processor time",
        per_call(&nulls, before, echoed),
        "us a call",
    ));
    // What is expected is reckoned before the clock runs: it takes as long as the answers do.
    let instant = |k: usize| first + (scatter(k as u64) % points as u64) as i64 * step;
    let questions: Vec<(i64, i64)> = (0..count).map(instant).map(|t| (t, sums.before(t))).collect();
    let questions = kept(questions);
    let ask = move |mut client: QueryServiceClient<Channel>, k: usize| async move {
        let (t, expected) = questions[k];
        assert_eq!(calls::total(&mut client, of, t, None).await, expected);
    };
    let before = server.processor_seconds();
    let (asked, seconds) = at_once(&server, IN_FLIGHT, count, ask).await;
    figures.push(Figure::of(5, "GetTotal at random instants, 64 in flight", asked as f64 / seconds, "calls/s"));
    figures.push(Figure::of(5, "GetTotal: the server's processor time", per_call(&server, before, asked), "us a call"));
    let count = bench.scale(20_000, 500);
    for random in [false, true] {
        let question = |k: usize| {
            let mut thresholds = twentieths(&sums);
            if random {
                let any = |i: u64| 1 + (scatter(k as u64 * 20 + i) % sums.last() as u64) as i64;
                thresholds = (0..20).map(any).collect();
                thresholds.sort_unstable();
                thresholds.dedup();
            }
            let reached = thresholds.iter().map(|n| sums.reach(*n)).collect();
            (thresholds, reached)
        };
        let questions: Vec<(Vec<i64>, Vec<i64>)> = (0..count).map(question).collect();
        let questions = kept(questions);
        let ask = move |mut client: QueryServiceClient<Channel>, k: usize| async move {
            let (thresholds, expected) = &questions[k];
            assert_eq!(
                &calls::milestones(&mut client, of, thresholds, PAGE).await,
                expected,
                "every milestone is right"
            );
        };
        let before = server.processor_seconds();
        let (asked, seconds) = at_once(&server, IN_FLIGHT, count, ask).await;
        let what = if random { "20 random milestones" } else { "20 milestones, the same each call" };
        figures.push(Figure::of(6, &format!("{what}, 64 in flight"), asked as f64 / seconds, "calls/s"));
        let per_call = per_call(&server, before, asked);
        figures.push(Figure::of(6, &format!("{what}: the server's processor time"), per_call, "us a call"));
    }
    server.stop().await;
    figures
}

/// Row 16: the past of one long series, after a hundredth was corrected at random.
pub async fn past(bench: &Bench) -> Vec<Figure> {
    let workload = bench.one_series();
    let (_dir, server) = loaded(bench, &workload).await;
    let sums = workload.running(0..1);
    let channel = server.connect().await;
    let (mut asker, of) = (calls::asker(channel.clone()), calls::selection(&name(0), None));
    let request = v1::GetTotalRequest { selection: of.clone(), ..Default::default() };
    let answer = asker.get_total(request).await.expect("a total").into_inner();
    let before = answer.answer.expect("it says its revision").revision;
    let source = workload.clone();
    let batches = (0..workload.points / 100).step_by(10_000).map(move |from| {
        let to = (from + 10_000).min(source.points / 100);
        let point = |j: usize| {
            let i = 100 * j + scatter(j as u64) as usize % 100;
            (i, source.values(0)[i] + 1)
        };
        calls::write(vec![calls::fixed(&name(0), &source, 0, &(from..to).map(point).collect::<Vec<_>>())])
    });
    let corrected = calls::stream(channel, batches).await;
    assert_eq!(corrected, (workload.points / 100) as u64);
    let end = i64::MAX / 2;
    assert_eq!(calls::total(&mut asker, &of, end, None).await, sums.last() + corrected as i64);
    let mut figures = Vec::new();
    for (what, revision) in [("now", None), ("as of before 1 % corrections", Some(before))] {
        let instant = |k: usize| workload.time(scatter(k as u64) as usize % workload.points);
        let run = |k| {
            let (mut asker, of) = (asker.clone(), &of);
            async move { calls::total(&mut asker, of, instant(k), revision).await }
        };
        let runs = timed(bench.scale(21, 3), run, |k, total| {
            assert!(revision.is_none() || total == sums.before(instant(k)), "the past does not change");
        });
        figures.push(Figure::of(16, &format!("total {what}"), 1e3 * quantile(runs.await, 0.5), "ms"));
    }
    server.stop().await;
    figures
}

/// Rows 8, 9 and 10: many series, alone and summed.
pub async fn many(bench: &Bench) -> Vec<Figure> {
    let workload = bench.many_series();
    let (_dir, server) = loaded(bench, &workload).await;
    let mut figures = sums(bench, &workload, &server, "200 series").await;
    let mut asker = calls::asker(server.connect().await);
    for (what, series) in [("one series", Some(7 % workload.series)), ("200 series", None)] {
        let of = calls::selection(&name(0), series);
        let running = workload.running(series.map_or(0..workload.series, |s| s..s + 1));
        for (unit, zone, again) in [
            (Unit::Week, "UTC", false),
            (Unit::Week, "UTC", true),
            (Unit::Month, "Europe/London", false),
            (Unit::Month, "Europe/London", true),
        ] {
            let run = |k| {
                let (mut asker, of) = (asker.clone(), &of);
                let page_size = if again { PAGE } else { PAGE - 1 - k as i32 };
                async move { calls::flows(&mut asker, of, unit, zone, page_size).await }
            };
            let runs = timed(bench.scale(21, 3), run, |_, flows| {
                let mut counted = 0;
                for pair in flows.windows(2) {
                    let (from, to) = (pair[0].0, pair[1].0);
                    assert_eq!(pair[0].1, running.before(to) - running.before(from), "from {from} to {to}");
                    counted += pair[0].1;
                    assert!(unit != Unit::Week || to - from == 7 * DAY);
                }
                let last = flows.last().expect("there are windows").1;
                assert_eq!(counted + last, running.last(), "the windows hold everything");
            });
            let what = format!("{unit:?}s in {zone}, {what}{}", if again { ", the same again" } else { "" });
            figures.push(Figure::of(9, &what, 1e3 * quantile(runs.await, 0.5), "ms"));
        }
    }
    let nulls = Server::nulls();
    let mut source = calls::asker(nulls.connect().await);
    let began = Instant::now();
    let (sent, _) = calls::read(&mut source, &name(0)).await;
    figures.push(Figure::rate(10, "null source", sent, began.elapsed().as_secs_f64()));
    let began = Instant::now();
    let (read, sum) = calls::read(&mut asker, &name(0)).await;
    figures.push(Figure::rate(10, "ReadPoints, one connection", read, began.elapsed().as_secs_f64()));
    assert_eq!((read, sum), (workload.all(), workload.running(0..workload.series).last()));
    server.stop().await;
    figures
}

/// Row 8: total, first crossing and 20 milestones of a sum.
async fn sums(bench: &Bench, workload: &Arc<Workload>, server: &Server, of_what: &str) -> Vec<Figure> {
    let asker = calls::asker(server.connect().await);
    let (of, running) = (calls::selection(&name(0), None), workload.running(0..workload.series));
    let runs = bench.scale(21, 3);
    let (of, running) = (&of, &running);
    let instant = |k: usize| workload.time(scatter(k as u64) as usize % workload.points);
    let run = |k| {
        let mut asker = asker.clone();
        async move { calls::total(&mut asker, of, instant(k), None).await }
    };
    let total = timed(runs, run, |k, total| assert_eq!(total, running.before(instant(k))));
    let mut figures = vec![Figure::of(8, &format!("total of {of_what}"), 1e3 * quantile(total.await, 0.5), "ms")];
    for (what, twenty) in [("first crossing", false), ("20 milestones", true)] {
        let thresholds = |k| if twenty { twentieths(running) } else { vec![running.last() / 2 + k as i64] };
        let run = |k| {
            let mut asker = asker.clone();
            async move { calls::milestones(&mut asker, of, &thresholds(k), PAGE - k as i32).await }
        };
        let seconds = timed(runs, run, |k, reached| {
            let expected: Vec<i64> = thresholds(k).iter().map(|n| running.reach(*n)).collect();
            assert_eq!(reached, expected);
        });
        figures.push(Figure::of(8, &format!("{what} of {of_what}"), 1e3 * quantile(seconds.await, 0.5), "ms"));
    }
    figures
}

/// Row 8: very many series of a thousand points.
pub async fn very_many(bench: &Bench) -> Vec<Figure> {
    let workload = Arc::new(Workload::made_up(bench.scale(10_000, 50), bench.scale(1_000, 200), 3_600));
    let (_dir, server) = loaded(bench, &workload).await;
    let figures = sums(bench, &workload, &server, "10,000 series").await;
    server.stop().await;
    figures
}

/// Row 14: totals while another client writes at full speed.
pub async fn beside_ingest(bench: &Bench) -> Vec<Figure> {
    let workload = bench.many_series();
    let (_dir, server) = loaded(bench, &workload).await;
    let channel = server.connect().await;
    // So many that there are thousands of questions meanwhile: the worst hundredth of a few hundred is chance.
    let times = bench.scale(10, 1);
    for metric in 1..=times {
        calls::create(&channel, &name(metric), true).await;
    }
    let asker = calls::asker(channel);
    let (of, running) = (calls::selection(&name(0), Some(0)), workload.running(0..1));
    // Threads of its own, so that one client does not wait for the other's.
    let another_client = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let mut figures = Vec::new();
    for busy in [false, true] {
        let ended = Arc::new(AtomicBool::new(!busy));
        let (source, end) = (workload.clone(), ended.clone());
        let batches = (0..times * workload.series).map(move |k| {
            end.store(k + 1 == times * source.series, Ordering::Relaxed);
            let (metric, series) = (1 + k / source.series, k % source.series);
            calls::write(vec![calls::regular(&name(metric), &source, series, 0..source.points)])
        });
        let connection = server.endpoint();
        let writing = async move { calls::stream(connection.connect().await.expect("a connection"), batches).await };
        let writer = busy.then(|| another_client.spawn(writing));
        let mut seconds = Vec::new();
        let idle_runs = bench.scale(5_000, 50);
        while seconds.len() < idle_runs && (!busy || !ended.load(Ordering::Relaxed)) || seconds.is_empty() {
            let t = workload.time(scatter(seconds.len() as u64) as usize % workload.points);
            let (mut asker, of) = (asker.clone(), of.clone());
            let began = Instant::now();
            assert_eq!(calls::total(&mut asker, &of, t, None).await, running.before(t));
            seconds.push(began.elapsed().as_secs_f64());
        }
        if let Some(writer) = writer {
            assert_eq!(writer.await.expect("the writer does not panic"), times as u64 * workload.all());
        }
        let what = if busy { "GetTotal beside a writer" } else { "GetTotal, idle" };
        figures.push(Figure::of(14, &format!("{what}: calls"), seconds.len() as f64, "calls"));
        for (name, q) in [("median", 0.5), ("p99", 0.99)] {
            figures.push(Figure::of(14, &format!("{name} of {what}"), 1e3 * quantile(seconds.clone(), q), "ms"));
        }
    }
    another_client.shutdown_background();
    server.stop().await;
    figures
}

/// Row 11: late points into one long series, and into many.
pub async fn late(bench: &Bench) -> Vec<Figure> {
    let workload = bench.one_series();
    let (_dir, server) = loaded(bench, &workload).await;
    let count = bench.scale(20_000, 200);
    let channels = [server.connect().await, server.connect().await];
    let began = Instant::now();
    let writer = |w: usize| {
        let mut client = v1::ingest_service_client::IngestServiceClient::new(channels[w % 2].clone());
        let source = workload.clone();
        tokio::spawn(async move {
            for k in (w..count).step_by(IN_FLIGHT) {
                // Each point once: what follows can say what they come to.
                let i = (k * (source.points / count)) + scatter(k as u64) as usize % (source.points / count);
                let write = calls::write(vec![calls::fixed(&name(0), &source, 0, &[(i, source.values(0)[i] + 1)])]);
                assert_eq!(calls::call(&mut client, write).await, 1);
            }
        })
    };
    for writer in (0..IN_FLIGHT).map(writer).collect::<Vec<_>>() {
        writer.await.expect("a writer does not panic");
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    let mut asker = calls::asker(server.connect().await);
    let counted = calls::total(&mut asker, &calls::selection(&name(0), None), i64::MAX / 2, None).await;
    assert_eq!(counted, workload.running(0..1).last() + count as i64, "every correction is in the total");
    server.stop().await;
    let mut figures = vec![Figure::of(11, "late points into one long series, 64 in flight", rate, "points/s")];

    let workload = bench.many_series();
    let (_dir, server) = loaded(bench, &workload).await;
    let mut asker = calls::asker(server.connect().await);
    let mut client = v1::ingest_service_client::IngestServiceClient::new(server.connect().await);
    let of = calls::selection(&name(0), None);
    let count = bench.scale(1_000, 20);
    let mut expected = workload.running(0..workload.series).last();
    let mut seconds = Vec::new();
    for round in 0..bench.scale(5, 2) {
        // A new point at each place of every round, so that each changes something.
        let at = |k: usize| (k * 7_919 + round) % (workload.series * workload.points);
        let mut places: Vec<usize> = (0..count).map(at).collect();
        places.sort_unstable();
        places.dedup();
        let of_series = |s: usize| {
            let points: Vec<_> = places.iter().filter(|p| *p / workload.points == s).collect();
            let value = |p: &usize| workload.values(s)[p % workload.points] / 2;
            let points: Vec<_> = points.into_iter().map(|p| (p % workload.points, value(p))).collect();
            (!points.is_empty()).then(|| calls::fixed(&name(0), &workload, s, &points))
        };
        let write = calls::write((0..workload.series).filter_map(of_series).collect());
        for p in &places {
            let value = workload.values(p / workload.points)[p % workload.points];
            expected += value / 2 - value;
        }
        let began = Instant::now();
        calls::call(&mut client, write).await;
        let total = calls::total(&mut asker, &of, i64::MAX / 2, None).await;
        seconds.push(began.elapsed().as_secs_f64());
        assert_eq!(total, expected, "the total is right at once");
    }
    // The peers are asked once: what is fresh in memory then is touched for the first time.
    figures.push(Figure::of(11, "1,000 corrections, then the total over all (W4)", 1e3 * seconds[0], "ms"));
    let again = 1e3 * quantile(seconds.split_off(1), 0.5);
    figures.push(Figure::of(11, "the same again, of the same blocks", again, "ms"));
    server.stop().await;
    figures
}
