//! A disk that is full, or that cannot be written to.

use crate::book::{Book, Habit};
use crate::mount::Mount;
use crate::process::Place;
use crate::questions;
use crate::round::{is_full, send};
use milepost::random::SeededRandom;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    let config = "[engine]\nmemtable_bytes_max = 131072\nunfolded_bytes_max = 131072\n[store]\nsegment_bytes = 8388608\nreserve_bytes = 4194304\n";
    let place = Place::new(config);
    let Some(mount) = Mount::of_bytes(&place.root().join("disk"), 40 << 20) else { return };
    let (data, ballast) = (mount.path().join("data"), mount.path().join("ballast"));
    fs::write(&ballast, vec![1; 26 << 20]).expect("room is taken");
    let served = place.try_start_on(&data, None).expect("it starts");
    let channel = served.channel();
    crate::campaign::create_metrics(&channel).await;
    let mut book = Book::new("pay", "careful", Habit::Careful, Arc::new(SeededRandom::new(5)));
    let mut refused = 0;
    let began = Instant::now();
    while refused < 20 {
        assert!(began.elapsed() < Duration::from_secs(60), "the disk never got full");
        let op = book.next_op();
        match send(&channel, &book, &op).await {
            Ok(answer) => book.take_answer(answer),
            Err(status) => {
                assert!(is_full(&status));
                refused += 1;
                // Nothing of it is there: it never was.
                book.in_flight.pop_back();
                book.settle();
            }
        }
    }
    let acknowledged = book.acknowledged;
    assert!(acknowledged > 100, "{acknowledged}");
    let check = async |book: &Book| {
        let kept = questions::kept(&channel, "pay").await.expect("reads go on");
        assert!(kept["careful"] == book.kept);
    };
    check(&book).await;
    fs::remove_file(&ballast).expect("room is made");
    let began = Instant::now();
    let mut written = 0;
    while written < 200 {
        let op = book.next_op();
        match send(&channel, &book, &op).await {
            Ok(answer) => {
                book.take_answer(answer);
                written += 1;
            }
            Err(status) => {
                assert!(is_full(&status));
                assert!(began.elapsed() < Duration::from_secs(10), "it does not resume: {status}");
                book.in_flight.pop_back();
                book.settle();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    println!("{acknowledged} batches until the disk was full; writing resumed after {:?}", began.elapsed());
    check(&book).await;
    served.stop().await;
    let served = place.try_start_on(&data, None).expect("it starts again");
    let kept = questions::kept(&served.channel(), "pay").await.expect("all");
    assert!(kept["careful"] == book.kept);
    served.stop().await;
}

/// The disk is full when the server is stopped, and full when it is started: nothing is lost.
#[tokio::test]
async fn a_disk_that_stays_full_loses_nothing() {
    let place = Place::new("[store]\nsegment_bytes = 1048576\nreserve_bytes = 1048576\n");
    let Some(mount) = Mount::of_bytes(&place.root().join("disk"), 6 << 20) else { return };
    let (data, ballast) = (mount.path().join("data"), mount.path().join("ballast"));
    let served = place.try_start_on(&data, None).expect("it starts");
    let channel = served.channel();
    crate::campaign::create_metrics(&channel).await;
    let mut book = Book::new("pay", "careful", Habit::Careful, Arc::new(SeededRandom::new(6)));
    for _ in 0..100 {
        let op = book.next_op();
        let answer = send(&channel, &book, &op).await.expect("written");
        book.take_answer(answer);
    }
    let mut bytes = 8 << 20;
    while fs::write(&ballast, vec![1; bytes]).is_err() {
        bytes -= 64 << 10;
    }
    served.signal("TERM");
    let status = served.wait().await;
    println!("stopped on a full disk: {status}");
    for end in ["kill", "stop"] {
        let served = place.try_start_on(&data, None).expect("a full disk can be read");
        let channel = served.channel();
        let kept = questions::kept(&channel, "pay").await.expect("all");
        assert!(kept["careful"] == book.kept, "{end}");
        let op = book.next_op();
        match send(&channel, &book, &op).await {
            // What the index took, which is not believed, may be just enough.
            Ok(answer) => book.take_answer(answer),
            Err(status) => {
                assert!(is_full(&status));
                book.in_flight.pop_back();
                book.settle();
            }
        }
        if end == "kill" { served.kill() } else { served.stop().await }
    }
    fs::remove_file(&ballast).expect("room is made");
    let served = place.try_start_on(&data, None).expect("it starts again");
    let kept = questions::kept(&served.channel(), "pay").await.expect("all");
    assert!(kept["careful"] == book.kept);
    served.stop().await;
}

#[tokio::test]
async fn a_read_only_disk_is_said() {
    let place = Place::new("[store]\nsegment_bytes = 1048576\nreserve_bytes = 1048576\n");
    let Some(mount) = Mount::of_bytes(&place.root().join("disk"), 6 << 20) else { return };
    let (data, none) = (mount.path().join("data"), mount.path().join("none"));
    place.try_start_on(&data, None).expect("it starts").stop().await;
    mount.make_read_only();
    for dir in [data, none] {
        let not = place.try_start_on(&dir, None).err().expect("it cannot be written");
        assert_eq!(not.code, Some(1));
        assert!(not.stderr.contains("Read-only file system"), "{}", not.stderr);
        assert!(not.stderr.contains(dir.to_str().expect("text")), "{}", not.stderr);
    }
}
