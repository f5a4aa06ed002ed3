//! kill -9 at random moments under load, in opening too. `MILEPOST_CRASH_KILLS` and `MILEPOST_CRASH_SEED` make a
//! campaign of it.

use crate::campaign::{Campaign, End};
use crate::figures::{count, seed};
use std::time::{Duration, Instant};

/// Kills on one directory; after them a fresh one, so that all of what is kept can be read after every kill.
const KILLS_A_DIRECTORY: u64 = 20;
/// The promise is 2 s, and the figure is printed; this is for a machine that is busy with other things.
const OPENING_MAX: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_to_kills() {
    let (kills, seed) = (count("MILEPOST_CRASH_KILLS", 10, 50), seed("MILEPOST_CRASH_SEED"));
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
    let mut rounds = 0;
    // Whether a kill hits a fold is chance: of some few none may, and then it goes on until one does, or one of ten should
    // have.
    while rounds < kills || campaign.figures.kills_while_folding == 0 && rounds < 10 {
        let round = rounds;
        rounds += 1;
        campaign.round(round, End::Kill).await;
        if round % 4 == 1 {
            campaign.opening_cut_short(End::Kill);
        }
    }
    campaign.end().await;
    let figures = &campaign.figures;
    let openings = figures.openings.iter();
    let (longest, all) = (openings.clone().max().copied().unwrap_or_default(), openings.sum::<Duration>());
    println!("seed {seed}: {figures:?}");
    println!("in {:?}; opening: {:?} on average, {longest:?} at most", began.elapsed(), all / (rounds as u32 + 2));
    // A campaign that did not get to what it is for has shown nothing.
    assert_eq!(figures.kills, rounds);
    assert!(figures.kills_with_writes_in_flight * 10 >= rounds * 9, "too few kills hit writes in flight");
    assert!(figures.acknowledged >= rounds * 50, "too few batches were acknowledged");
    assert!(figures.folds >= rounds, "too few folds");
    assert!(figures.segments_let_go >= rounds / 2, "the log was trimmed too seldom");
    assert!(figures.kills_while_folding * 10 >= rounds, "too few kills hit a fold");
    assert!(figures.snapshots_asked_again >= kills.min(10), "too few answers were asked again");
    assert!((figures.backups + figures.backups_cut_off) * 6 >= kills, "too few kills while a backup was made");
    assert!(figures.verified * 8 >= kills / 2, "too seldom looked at everything");
    assert!(longest < OPENING_MAX, "it was ready again after {longest:?}");
}
