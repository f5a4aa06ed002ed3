//! A backup cut off: by kill -9 of the server, by SIGTERM, again and again. The one before stays whole, and the next
//! one is made.

use crate::book::{Book, Habit};
use crate::command::{Ran, backup, backup_command, figure, restore, verify};
use crate::metrics::SMALL;
use crate::process::Place;
use crate::questions;
use crate::round::send;
use crate::stock::Stock;
use milepost::random::SeededRandom;
use std::sync::Arc;
use std::time::Duration;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// `MILEPOST_BACKUP_KILLS` and `MILEPOST_BACKUP_SEED` make a longer campaign of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_cut_off_leaves_the_one_before() {
    let each_run = std::env::var("MILEPOST_EACH_RUN").is_ok();
    let kills = number("MILEPOST_BACKUP_KILLS", if each_run { 30 } else { 8 });
    let seed = number("MILEPOST_BACKUP_SEED", 20_261_124);
    let random = Arc::new(SeededRandom::new(seed));
    let stock = Stock::get().await;
    let (place, other) = (stock.copy(), Place::new(SMALL));
    let target = other.root().join("target");
    backup(&place.data(), &target).await.done();
    let (mut last, mut cut_off, mut ended) = (1, 0, 0);
    let mut book = Book::new("pay", "beside", Habit::Careful, random.clone());
    // On a quick machine many backups end before the kill: as many rounds as it takes, within bounds.
    for round in 0..kills * 6 {
        if round >= kills && cut_off * 4 >= kills {
            break;
        }
        let served = place.start();
        for _ in 0..40 {
            let op = book.next_op();
            let answer = send(&served.channel(), &book, &op).await.expect("an answer");
            book.take_answer(answer);
        }
        let running = backup_command(&place.data(), &target).spawn().expect("it runs");
        tokio::time::sleep(Duration::from_micros(3_000 + random.next() % 15_000)).await;
        if round % 2 == 0 {
            served.kill()
        } else {
            served.stop().await
        }
        let ran = Ran::from(running.wait_with_output().expect("it ends"));
        // The command may have seen no server, and then have backed up the directory itself: all the better.
        match ran.code {
            Some(0) => {
                ended += 1;
                last = figure(&ran.out, "number");
            }
            _ => cut_off += 1,
        }
        let restored = Place::new(SMALL);
        let text = restore(&target, &restored.data()).await.done();
        let of: u64 =
            text.split("backup ").nth(1).and_then(|t| t.split(' ').next()).expect("a number").parse().expect("one");
        // One that was cut off after its last step is there though nobody was told.
        assert!(of == last || (ran.code != Some(0) && of == last + 1), "{text}; the last one was {last}");
        last = of;
        verify(&restored.data()).await.done();
    }
    println!("seed {seed}: {} kills and stops, {cut_off} cut off, {ended} ended", cut_off + ended);
    assert!(cut_off * 4 >= kills, "too few backups were cut off");

    let finished = backup(&place.data(), &target).await.done();
    assert_eq!(figure(&finished, "number"), last + 1);
    let restored = Place::new(SMALL);
    restore(&target, &restored.data()).await.done();
    let served = restored.start();
    let kept = questions::kept(&served.channel(), "pay").await.expect("what is kept");
    assert!(kept.get("beside") == Some(&book.kept), "everything acknowledged is in the last one");
    served.stop().await;
}
