//! Told to stop while everybody writes: what was taken is finished and answered, and the next start finds all of it.
//! `MILEPOST_SIGTERMS` and `MILEPOST_SIGTERMS_SEED` make a campaign of it.

use crate::campaign::{Campaign, End};
use crate::figures::{count, seed};
use std::time::Duration;

/// Signals on one directory; after them a fresh one.
const STOPS_A_DIRECTORY: u64 = 20;
/// `drain_ms`, which these servers leave at its default.
const GRACE: Duration = Duration::from_secs(10);

async fn stops(signal: &'static str, seed: u64, times: u64) {
    println!("seed {seed}, {times} times {signal}");
    let mut done = 0;
    while done < times {
        let some = STOPS_A_DIRECTORY.min(times - done);
        let mut campaign = Campaign::new(seed + done);
        for round in 0..some {
            campaign.round(round, End::Signal(signal)).await;
        }
        campaign.end().await;
        let figures = &campaign.figures;
        let longest = figures.stops.iter().max().copied().unwrap_or_default();
        println!("{signal}, seed {}: {figures:?}; stopped after {longest:?} at most", seed + done);
        assert_eq!(figures.stops.len() as u64, some);
        assert!(figures.acknowledged >= some * 30, "there was load");
        assert_eq!(figures.in_flight_kept, 0, "what was taken was answered");
        assert!(longest < GRACE, "it stopped within its grace, after {longest:?}");
        done += some;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_finishes_what_was_taken() {
    stops("TERM", seed("MILEPOST_SIGTERMS_SEED"), count("MILEPOST_SIGTERMS", 3, 5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_finishes_what_was_taken() {
    stops("INT", seed("MILEPOST_SIGTERMS_SEED"), 1).await;
}
