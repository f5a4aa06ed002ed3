//! Batches that are refused, or only looked at: nothing of them is there afterwards, and nothing else is missing.

use super::*;

const POINTS: i64 = 100;

fn level(hour: i64, value: i64) -> Point {
    Point::at(Time(hour * HOUR), value)
}

/// One whose point is below the one before it, and one that is only looked at: both change the oldest block, and so all
/// nodes above it.
fn with_no_effect() -> [(Batch, bool); 2] {
    let falls = batch(set(vec![level(5, 2)]));
    let restates = batch(set(vec![Point { restated: true, ..level(5, 2) }]));
    [(falls, false), (Batch { validate_only: true, ..restates }, true)]
}

/// Of such a batch the nodes of the index that it would have replaced used to be named with its group's. After the next
/// fold they were removed, though the newest trees went on referring to them, and whoever asked was told of damage.
#[tokio::test]
async fn a_refused_batch_takes_no_node_away() {
    for (without_effect, is_taken) in with_no_effect() {
        // Hardly a cache: what is stored is read again.
        let settings = Settings { cache_bytes_max: 1, ..small() };
        let clock = Arc::new(ManualClock::at(Time(1_000 * HOUR)));
        let engine = Engine::open(Arc::new(MemoryStore::new()), clock, settings).expect("it opens");
        engine.write(batch(Change::Create(Box::new(definition(Kind::Cumulative))))).await.expect("made");
        let mut points: Vec<Point> = (0..POINTS).map(|hour| level(hour, hour)).collect();
        engine.write(batch(set(points.clone()))).await.expect("set");
        engine.fold().await.expect("folded");
        // Handed in together, so that they come into groups with others: these change only the last blocks, and the
        // nodes above them.
        let mut answers = Vec::new();
        for hour in POINTS..POINTS + 30 {
            points.push(level(hour, hour));
            answers.push((is_taken, engine.submit(without_effect.clone()).await.expect("handed in")));
            answers.push((true, engine.submit(batch(set(vec![level(hour, hour)]))).await.expect("handed in")));
        }
        for (is_taken, answer) in answers {
            let answer = answer.await.expect("an answer");
            assert_eq!(answer.is_ok(), is_taken, "{answer:?}");
        }
        for hour in POINTS + 30..POINTS + 32 {
            engine.fold().await.expect("folded");
            // By its end what nobody refers to is gone.
            let swept = engine.sweep().await;
            let view = engine.view(&name().component(), AsOf::Now).await.expect("a view");
            let series = view.metric(&name()).expect("known").expect("the metric").series(&[]).expect("its series");
            assert_eq!(series[0].points(Interval::ALL, usize::MAX).expect("nothing is missing"), points);
            assert_eq!(engine.verify().await.findings, []);
            swept.expect("it is swept");
            points.push(level(hour, hour));
            engine.write(batch(set(vec![level(hour, hour)]))).await.expect("set");
        }
    }
}
