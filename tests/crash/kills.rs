//! The campaign of every `cargo test`: 20 kills. `MILEPOST_CRASH_KILLS` and `MILEPOST_CRASH_SEED` say otherwise.

use crate::campaign::{Campaign, End};
use std::time::{Duration, Instant};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Kills on one directory; after them a fresh one, so that all of what is kept can be read after every kill.
const KILLS_A_DIRECTORY: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_to_kills() {
    let (kills, seed) = (number("MILEPOST_CRASH_KILLS", 20), number("MILEPOST_CRASH_SEED", 20_260_829));
    println!("seed {seed}, {kills} kills");
    let mut done = 0;
    while done < kills {
        let some = KILLS_A_DIRECTORY.min(kills - done);
        campaign(seed + done, some).await;
        done += some;
    }
}

async fn campaign(seed: u64, kills: u64) {
    let began = Instant::now();
    let mut campaign = Campaign::new(seed);
    for round in 0..kills {
        campaign.round(round, End::Kill).await;
    }
    campaign.end().await;
    let figures = &campaign.figures;
    let openings = figures.openings.iter();
    let (longest, all) = (openings.clone().max().copied().unwrap_or_default(), openings.sum::<Duration>());
    println!("seed {seed}: {figures:?}");
    println!("in {:?}; opening: {:?} on average, {longest:?} at most", began.elapsed(), all / (kills as u32 + 2));
    // A campaign that did not get to what it is for has shown nothing.
    assert_eq!(figures.kills, kills);
    assert!(figures.kills_with_writes_in_flight * 10 >= kills * 9, "too few kills hit writes in flight");
    assert!(figures.acknowledged >= kills * 50, "too few batches were acknowledged");
    assert!(figures.folds >= kills, "too few folds");
    assert!(figures.segments_let_go >= kills / 2, "the log was trimmed too seldom");
    assert!(figures.kills_while_folding * 10 >= kills, "too few kills hit a fold");
    assert!(figures.snapshots_asked_again >= kills.min(10), "too few answers were asked again");
}
