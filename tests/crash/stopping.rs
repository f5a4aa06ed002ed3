//! Told to stop while everybody writes: what was taken is finished and answered, and the next start finds all of it.

use crate::campaign::{Campaign, End};
use std::time::Duration;

async fn stops(signal: &'static str) {
    let mut campaign = Campaign::new(11);
    for round in 0..3 {
        campaign.round(round * 4, End::Signal(signal)).await;
    }
    campaign.end().await;
    let figures = &campaign.figures;
    println!("{signal}: {figures:#?}");
    assert!(figures.acknowledged > 100, "there was load");
    assert_eq!(figures.in_flight_kept, 0, "what was taken was answered");
    let longest = figures.stops.iter().max().copied().unwrap_or_default();
    assert!(longest < Duration::from_secs(8), "it stopped within its grace, after {longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_finishes_what_was_taken() {
    stops("TERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_finishes_what_was_taken() {
    stops("INT").await;
}
