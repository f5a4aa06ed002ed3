//! `milepost verify` finds damage in every kind of file, names it, and goes on; of a server that serves, and of none.

use crate::command::{Ran, verify};
use crate::process::{Place, files};
use crate::stock::{Stock, flip};
use std::fs;
use std::path::{Path, PathBuf};

/// It found something, and said so of this file.
fn found(ran: Ran, file: &Path, what: &str) -> String {
    assert_eq!((ran.code, ran.err.as_str()), (Some(3), ""), "{what}: {}", ran.out);
    let named = ran.out.lines().find(|line| line.contains(file.to_str().expect("text")));
    assert!(named.is_some(), "{what}: {} is not named in\n{}", file.display(), ran.out);
    named.expect("it was just looked at").to_owned()
}

fn fold(place: &Place, number: usize) -> (PathBuf, u64) {
    let path = files(&place.data().join("folds"), ".fold").swap_remove(number);
    let bytes = fs::metadata(&path).expect("a file").len();
    (path, bytes)
}

#[tokio::test]
async fn damage_is_found_while_nobody_serves() {
    let stock = Stock::get().await;
    let whole = stock.copy();
    assert!(verify(&whole.data()).await.done().starts_with("Everything is as it should be"));
    type Where = fn(&Place) -> (PathBuf, u64);
    let cases: [(&str, Where); 7] = [
        ("a frame", |place| (fold(place, 0).0, 1_000)),
        ("the head of a frame", |place| (fold(place, 1).0, 130)),
        ("the first seal", |place| (fold(place, 1).0, 20)),
        ("the last seal", |place| {
            let (path, bytes) = fold(place, 1);
            (path, bytes - 20)
        }),
        ("a copy of the directory", |place| {
            let (path, bytes) = fold(place, 0);
            (path, bytes - 200)
        }),
        ("the header of a segment", |place| (files(&place.data().join("log"), ".log").pop().expect("a log"), 30)),
        ("FORMAT", |place| (place.data().join("FORMAT"), 30)),
    ];
    for (what, of) in cases {
        let place = stock.copy();
        let (path, offset) = of(&place);
        flip(&path, offset);
        found(verify(&place.data()).await, &path, what);
        // Looking at it has not made it worse: it is found again.
        found(verify(&place.data()).await, &path, what);
    }
    let place = stock.copy();
    let (missing, _) = fold(&place, 1);
    fs::remove_file(&missing).expect("removed");
    found(verify(&place.data()).await, &place.data().join("folds"), "a missing fold");
}

#[tokio::test]
async fn damage_is_found_while_it_is_served_and_the_series_named() {
    let place = Stock::get().await.copy();
    let served = place.start();
    let text = verify(&place.data()).await.done();
    assert!(text.starts_with("Everything is as it should be"), "{text}");
    // Blocks of the one long series are most of the first fold that holds them.
    let largest =
        files(&place.data().join("folds"), ".fold").into_iter().max_by_key(|p| fs::metadata(p).expect("a file").len());
    let path = largest.expect("a fold");
    flip(&path, fs::metadata(&path).expect("a file").len() / 2);
    let line = found(verify(&place.data()).await, &path, "a frame");
    assert!(line.contains(" at byte ") && line.contains("checksum"), "{line}");
    assert!(line.contains("pay") || line.contains("notify"), "{line}");
    served.kill();
    found(verify(&place.data()).await, &path, "a frame, after a kill");
}

#[tokio::test]
async fn damage_to_the_log_is_found_while_it_is_served() {
    let place = Stock::get().await.copy();
    let served = place.start();
    for i in 0..3 {
        crate::stock::write_bulk(&served.channel(), &format!("more {i}"), 300).await;
    }
    let path = files(&place.data().join("log"), ".log").pop().expect("a log");
    flip(&path, 400);
    found(verify(&place.data()).await, &path, "a record");
    served.kill();
}

#[tokio::test]
async fn a_directory_that_holds_no_store_is_not_made_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let ran = verify(&dir.path().join("nothing")).await;
    assert!(ran.refused().contains("is no data directory"));
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
}

/// Longer than the path of a Unix socket may be.
#[tokio::test]
async fn a_path_too_long_for_a_socket_is_served_all_the_same() {
    let place = Place::new(crate::metrics::SMALL);
    let deep = place.root().join("x".repeat(120)).join("data");
    fs::create_dir_all(deep.parent().expect("a parent")).expect("a directory");
    let served = place.try_start_on(&deep, None).expect("it starts");
    crate::metrics::create_metrics(&served.channel()).await;
    assert!(verify(&deep).await.done().contains("Everything is as it should be"));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(deep.join("ADMIN")).expect("a socket").permissions());
    assert_eq!(mode & 0o777, 0o600, "for its owner alone");
    served.stop().await;
    assert!(!deep.join("ADMIN").exists(), "it goes with the server");
}
