//! What backup and restore refuse, and that nothing was spoilt by it.

use crate::command::{backup, restore, verify};
use crate::metrics::SMALL;
use crate::mount::Mount;
use crate::process::{Place, files};
use crate::stock::{Stock, flip};
use std::fs;

#[tokio::test]
async fn a_target_that_is_something_else_is_left_alone() {
    let stock = Stock::get().await;
    let (place, other) = (stock.copy(), Place::new(SMALL));
    let served = place.start();
    // The config file of the test: not a backup.
    let why = backup(&place.data(), other.root()).await.refused();
    assert!(why.contains("is neither empty nor a backup: config.toml is in it"), "{why}");
    assert!(!other.root().join("LOCK").exists(), "nothing is put into it");
    for inside in ["", "folds", "new/one"] {
        let why = backup(&place.data(), &place.data().join(inside)).await.refused();
        assert!(why.contains("inside the data directory"), "{inside}: {why}");
    }
    assert!(!place.data().join("new").exists());
    let why = backup(&place.data(), &other.root().join("config.toml/target")).await.refused();
    assert!(why.contains("config.toml"), "{why}");
    let link = other.root().join("link");
    std::os::unix::fs::symlink(place.data(), &link).expect("a link");
    let why = backup(&place.data(), &link.join("x")).await.refused();
    assert!(why.contains("inside the data directory"), "{why}");
    served.stop().await;
    let why = backup(&other.root().join("nothing"), &other.root().join("target")).await.refused();
    assert!(why.contains("is no data directory"), "{why}");
}

#[tokio::test]
async fn one_backup_at_a_time_is_made_into_a_target() {
    let place = Stock::get().await.copy();
    let target = place.root().join("target");
    backup(&place.data(), &target).await.done();
    let lock = fs::OpenOptions::new().write(true).open(target.join("LOCK")).expect("a lock");
    lock.try_lock().expect("nobody has it");
    let why = backup(&place.data(), &target).await.refused();
    assert!(why.contains("another backup is being made"), "{why}");
    drop(lock);
    backup(&place.data(), &target).await.done();
}

#[tokio::test]
async fn damage_is_not_backed_up_and_the_backup_before_stays() {
    let stock = Stock::get().await;
    let (place, other) = (stock.copy(), Place::new(SMALL));
    let (target, fresh) = (other.root().join("target"), other.root().join("fresh"));
    let served = place.start();
    backup(&place.data(), &target).await.done();
    let fold = files(&place.data().join("folds"), ".fold")[1].clone();
    flip(&fold, fs::metadata(&fold).expect("a file").len() / 3);
    let why = backup(&place.data(), &fresh).await.refused();
    assert!(why.contains(fold.to_str().expect("text")) && why.contains("DATA_LOSS"), "{why}");
    let why = restore(&fresh, &other.data()).await.refused();
    assert!(why.contains("holds no finished backup"), "{why}");
    // What the target has is whole still, and the next backup has it too.
    backup(&place.data(), &target).await.done();
    restore(&target, &other.data()).await.done();
    verify(&other.data()).await.done();
    served.kill();
    let restored = other.start();
    stock.check(&restored.channel(), "restored").await;
    restored.stop().await;
}

#[tokio::test]
async fn a_damaged_backup_is_not_restored_and_a_restore_is_begun_again() {
    let (place, other) = (Stock::get().await.copy(), Place::new(SMALL));
    let target = other.root().join("target");
    backup(&place.data(), &target).await.done();
    let listed =
        [files(&target.join("folds"), ".fold").swap_remove(0), files(&target.join("log.1"), ".log").swap_remove(0)];
    for path in listed {
        flip(&path, 200);
        let why = restore(&target, &other.data()).await.refused();
        assert!(why.contains(path.to_str().expect("text")), "{why}");
        flip(&path, 200);
        let not = other.try_start().err().expect("half a store is none");
        assert!(not.stderr.contains("a restore into this directory did not come to its end"), "{}", not.stderr);
    }
    flip(&target.join("BACKUP"), 40);
    let why = restore(&target, &other.data()).await.refused();
    assert!(why.contains("BACKUP"), "{why}");
    flip(&target.join("BACKUP"), 40);
    restore(&target, &other.data()).await.done();
    verify(&other.data()).await.done();
    let why = restore(&target, &other.data()).await.refused();
    assert!(why.contains("is not empty"), "{why}");
    let why = restore(&place.data(), &other.root().join("another")).await.refused();
    assert!(why.contains("holds no finished backup"), "{why}");
}

#[tokio::test]
async fn a_full_target_is_told_and_the_backup_before_stays() {
    let (place, other) = (Stock::get().await.copy(), Place::new(SMALL));
    let Some(disk) = Mount::of_bytes(&other.root().join("disk"), 4 << 20) else { return };
    let target = disk.path().join("target");
    backup(&place.data(), &target).await.done();
    let served = place.start();
    crate::stock::correct_bulk(&served.channel(), "bulk", 9_000).await.expect("corrected");
    served.stop().await;
    let served = place.start();
    let filler = disk.path().join("filler");
    // Whatever room there is.
    let _ = fs::write(&filler, vec![1; 4 << 20]);
    let why = backup(&place.data(), &target).await.refused();
    assert!(why.contains("no room on the disk"), "{why}");
    restore(&target, &other.data()).await.done();
    verify(&other.data()).await.done();
    fs::remove_file(&filler).expect("removed");
    backup(&place.data(), &target).await.done();
    disk.make_read_only();
    let why = backup(&place.data(), &target).await.refused();
    assert!(why.contains("Read-only"), "{why}");
    served.stop().await;
}
