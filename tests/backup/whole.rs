//! A backup holds everything acknowledged before it, and only whole batches; what is restored of it answers as the
//! store that was backed up did.

use crate::book::{Book, Habit};
use crate::command::{backup, figure, restore, verify};
use crate::metrics::{COMPONENTS, SMALL, create_metrics};
use crate::process::{Place, Served, files};
use crate::questions;
use crate::round::{Sight, work};
use crate::stock::{Stock, correct_bulk, write_bulk};
use milepost::random::SeededRandom;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tonic::transport::Channel;

/// The last revision of a component.
async fn revision(channel: &Channel, component: &str) -> i64 {
    let mut low = 1;
    let mut high = 2;
    let exists = async |revision| questions::read(channel, format!("{component}/slots"), Some(revision)).await.is_ok();
    while exists(high).await {
        (low, high) = (high, high * 2);
    }
    while high - low > 1 {
        let middle = (low + high) / 2;
        if exists(middle).await { low = middle } else { high = middle }
    }
    low
}

/// What one server answers of the past, the other answers too.
async fn same_answers(one: &Channel, other: &Channel) {
    for component in COMPONENTS {
        let last = revision(other, component).await;
        for i in 1..=8 {
            let revision = (last * i / 8).max(1);
            let first = questions::ask(one, component, revision).await.expect("answers");
            let second = questions::ask(other, component, revision).await.expect("answers");
            let differs = second.difference(&first);
            assert!(differs.is_none(), "{component} as of {revision}: {}", differs.unwrap_or_default());
            questions::check_slots(other, component, revision, &BTreeMap::new()).await;
        }
    }
}

/// What of the stock is there, whatever others wrote beside it.
async fn holds_stock(stock: &Stock, channel: &Channel) {
    for (component, revision, first) in &stock.answers {
        let again = questions::ask(channel, component, *revision).await.expect("answers");
        let differs = again.difference(first);
        assert!(differs.is_none(), "{component} as of {revision}: {}", differs.unwrap_or_default());
    }
    for (component, kept) in &stock.kept {
        let found = questions::kept(channel, component).await.expect("what is kept");
        for (writer, kept) in kept {
            assert!(found.get(writer) == Some(kept), "{component} {writer} keeps something else");
        }
    }
}

fn writers(served: &Served, sight: &Arc<Sight>) -> Vec<tokio::task::JoinHandle<Book>> {
    let random = Arc::new(SeededRandom::new(11));
    let book = |component, writer, habit| Book::new(component, writer, habit, random.clone());
    let books = [
        book("pay", "new plain", Habit::Plain),
        book("pay", "new streaming", Habit::Streaming),
        book("notify", "new careful", Habit::Careful),
    ];
    let spawn = |book| {
        let (channel, sight) = (served.channel(), sight.clone());
        tokio::spawn(async move { work(channel, book, &sight).await })
    };
    books.into_iter().map(spawn).collect()
}

async fn acknowledged(sight: &Sight, least: u64) {
    for _ in 0..30_000 {
        if sight.acknowledged.load(Ordering::Relaxed) >= least {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("too few batches are acknowledged");
}

/// The point of it all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_backup_is_in_it() {
    let stock = Stock::get().await;
    let (place, other) = (stock.copy(), Place::new(SMALL));
    let target = other.root().join("target");
    let served = place.start();
    let sight = Arc::new(Sight::default());
    let writers = writers(&served, &sight);
    acknowledged(&sight, 200).await;
    let mut before = BTreeMap::new();
    for component in COMPONENTS {
        before.insert(component, revision(&served.channel(), component).await);
    }
    let acknowledged_before = sight.acknowledged.load(Ordering::Relaxed);
    let summary = backup(&place.data(), &target).await.done();
    acknowledged(&sight, acknowledged_before + 50).await;
    assert!(verify(&place.data()).await.done().starts_with("Everything is as it should be"), "while writing");
    sight.killed.store(true, Ordering::SeqCst);
    served.kill();
    for writer in writers {
        writer.await.expect("a writer does not panic");
    }

    let text = restore(&target, &other.data()).await.done();
    let id = |name: &str| summary.split('"').skip_while(|word| *word != name).nth(2).expect("an id").to_owned();
    assert!(text.contains(&format!("of store {}", id("storeId"))), "{text}");
    assert!(!text.starts_with(&format!("Store {}", id("storeId"))), "it has a new id: {text}");
    assert!(verify(&other.data()).await.done().starts_with("Everything is as it should be"));
    let (original, restored) = (place.start(), other.start());
    for (component, before) in before {
        assert!(revision(&restored.channel(), component).await >= before, "{component} lost what was acknowledged");
    }
    holds_stock(stock, &restored.channel()).await;
    stock.check_retries(&restored.channel()).await;
    same_answers(&original.channel(), &restored.channel()).await;
    original.stop().await;
    restored.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_backup_copies_only_what_is_new() {
    let stock = Stock::get().await;
    let (place, other) = (stock.copy(), Place::new(SMALL));
    let target = other.root().join("target");
    // Nobody serves it: the same, by the command itself.
    let first = backup(&place.data(), &target).await.done();
    let folds = files(&target.join("folds"), ".fold");
    assert!(folds.len() > 2, "the stock has folds");
    assert_eq!(figure(&first, "presentFileCount"), 0);
    assert!(figure(&first, "copiedFileCount") > folds.len() as u64, "and a log");

    let served = place.start();
    correct_bulk(&served.channel(), "bulk", 9_000).await.expect("corrected");
    served.stop().await;
    let served = place.start();
    let second = backup(&place.data(), &target).await.done();
    assert_eq!(figure(&second, "number"), 2);
    assert_eq!(figure(&second, "presentFileCount"), folds.len() as u64, "no fold is copied twice");
    let more = files(&target.join("folds"), ".fold").len() - folds.len();
    let log = files(&target.join("log.2"), ".log").len();
    assert!(more > 0 && log > 0, "{more} {log}");
    assert_eq!(figure(&second, "copiedFileCount"), (more + log) as u64);
    assert!(!target.join("log.1").exists(), "the log of the backup before goes");

    restore(&target, &other.data()).await.done();
    let restored = other.start();
    same_answers(&served.channel(), &restored.channel()).await;
    // A restored store is a store like any other, and another one.
    let again = Place::new(SMALL);
    let second_target = other.root().join("second");
    backup(&other.data(), &second_target).await.done();
    let why = backup(&other.data(), &target).await.refused();
    assert!(why.contains("holds backups of another store"), "{why}");
    restore(&second_target, &again.data()).await.done();
    let restored_again = again.start();
    same_answers(&served.channel(), &restored_again.channel()).await;
    for server in [served, restored, restored_again] {
        server.stop().await;
    }
}

/// Nothing is folded here: all of it is in the log. Also what catches a backup that leaves that out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_only_in_the_log_is_backed_up() {
    let (place, other) = (Place::new(""), Place::new(""));
    let served = place.start();
    create_metrics(&served.channel()).await;
    write_bulk(&served.channel(), "bulk", 100).await;
    let first = questions::kept(&served.channel(), "pay").await.expect("what is kept");
    backup(&place.data(), &other.root().join("target")).await.done();
    served.kill();
    restore(&other.root().join("target"), &other.data()).await.done();
    let restored = other.start();
    let found = questions::kept(&restored.channel(), "pay").await.expect("what is kept");
    assert!(!first.is_empty() && found == first, "what was only in the log is not there");
    restored.stop().await;
}
