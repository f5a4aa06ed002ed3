//! The power is cut under the whole process, sled in it, on a file system that forgets what was not synced.
//! `MILEPOST_FUSE_CUTS` and `MILEPOST_FUSE_SEED` make a campaign of it.

use crate::campaign::{Campaign, End};
use crate::figures::{count, seed};

/// Cuts on one directory; after them a fresh one.
const CUTS_A_DIRECTORY: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_to_power_cuts() {
    let (cuts, seed) = (count("MILEPOST_FUSE_CUTS", 3, 20), seed("MILEPOST_FUSE_SEED"));
    println!("seed {seed}, {cuts} cuts");
    let mut done = 0;
    while done < cuts {
        let some = CUTS_A_DIRECTORY.min(cuts - done);
        if !campaign(seed + done, some).await {
            return;
        }
        done += some;
    }
}

/// False where there can be no such file system.
async fn campaign(seed: u64, cuts: u64) -> bool {
    let Some(mut campaign) = Campaign::on_forgetful_disk(seed) else { return false };
    let mut round = 0;
    while campaign.figures.cuts < cuts {
        let left = cuts - campaign.figures.cuts;
        match round % 5 {
            // Killed, what is not known sent again, and only then cut.
            2 => {
                campaign.round(round, End::Kill).await;
                campaign.retries_then(End::Cut).await;
            }
            4 => {
                campaign.round(round, End::Cut).await;
                if left > 1 {
                    campaign.opening_cut_short(End::Cut);
                }
            }
            _ => campaign.round(round, End::Cut).await,
        }
        round += 1;
    }
    campaign.end().await;
    let figures = &campaign.figures;
    println!("seed {seed}: {figures:?}");
    assert_eq!(figures.cuts, cuts);
    assert!(figures.sectors_forgotten >= cuts, "the cuts took too little");
    assert!(figures.acknowledged >= cuts * 20, "too few batches were acknowledged");
    assert!(figures.folds >= cuts / 2, "too few folds");
    true
}
