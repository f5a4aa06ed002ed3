//! Damage in the store: refused by name where it is touched, never a wrong figure, never a panic, and everything
//! else is served.

use crate::frames::{BLOCK, CHANGES, Frame, RUN, frames};
use crate::process::{Place, files};
use crate::questions;
use crate::stock::{Stock, flip, write_bulk};
use milepost::disk::{Disk, Open, RealDisk};
use milepost::store::embedded::folds::file::{self, Seal};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Refused as DATA_LOSS, with a file that is there and a place in it.
fn named(status: &Status) -> (String, u64) {
    assert_eq!(status.code(), Code::DataLoss, "{status}");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.reason, "STORE_DAMAGED");
    (info.metadata["file"].clone(), info.metadata["offset"].parse().expect("a number"))
}

#[tokio::test]
async fn a_damaged_block_is_refused_by_name_and_the_rest_is_served() {
    let stock = Stock::get().await;
    for index_lost in [false, true] {
        let place = stock.copy();
        let frames = frames(&place.data());
        let block = frames.iter().filter(|f| f.line.kind == BLOCK).max_by_key(|f| f.spot.bytes).expect("a block");
        flip(&block.file, block.middle());
        if index_lost {
            fs::remove_dir_all(place.data().join("index")).expect("there was one");
        }
        let served = place.start();
        let channel = served.channel();
        let minutes = || "pay/minutes".to_owned();
        let status = questions::read(&channel, minutes(), None).await.expect_err("it touches the block");
        let (file, offset) = named(&status);
        assert_eq!(Path::new(&file), block.file);
        assert_eq!(offset, block.spot.offset + file::FRAME_HEAD_BYTES as u64);
        let refused = stock.check_or_damaged(&channel, "a damaged block").await;
        refused.iter().for_each(|(_, status)| assert_eq!(named(status).0, file));
        assert!(refused.iter().all(|(what, _)| what.starts_with("pay")), "{refused:?}");
        // Writing beside it goes on; writing into it is refused, and nothing of that batch is there.
        write_bulk(&channel, "beside", 300).await;
        let sent = crate::stock::correct_bulk(&channel, "bulk", crate::stock::BULK_POINTS).await;
        assert_eq!(named(&sent.expect_err("it must read the block")).0, file);
        stock.check_retries(&channel).await;
        served.stop().await;
        let served = place.start();
        let slots = questions::read(&served.channel(), "pay/slots".to_owned(), None).await.expect("other metrics");
        assert!(slots.len() > 1);
        served.stop().await;
    }
}

/// One damaged frame of every kind in turn, with the index and without it.
#[tokio::test]
async fn whatever_frame_is_damaged_no_figure_is_wrong() {
    let stock = Stock::get().await;
    let mut told = BTreeMap::new();
    for index_lost in [false, true] {
        for kind in 1..=7u8 {
            let place = stock.copy();
            let frames = frames(&place.data());
            let of_pay = |f: &&Frame| f.line.kind == kind && f.line.component.as_str() == "pay";
            let frame = frames.iter().filter(of_pay).max_by_key(|f| f.spot.bytes).expect("a frame of each kind");
            flip(&frame.file, frame.middle());
            if index_lost {
                fs::remove_dir_all(place.data().join("index")).expect("there was one");
            }
            let served = place.start();
            let what = format!("kind {kind}, index lost {index_lost}");
            let refused = stock.check_or_damaged(&served.channel(), &what).await;
            assert!(refused.iter().all(|(asked, _)| asked.starts_with("pay")), "{what}: {refused:?}");
            for (_, status) in &refused {
                assert_eq!(Path::new(&named(status).0), frame.file, "{what}");
            }
            told.insert((index_lost, kind), refused.len());
            served.stop().await;
            // Nothing that was done meanwhile made a figure of it.
            let served = place.start();
            assert_eq!(stock.check_or_damaged(&served.channel(), &what).await.len(), refused.len(), "{what}, again");
            served.stop().await;
        }
    }
    println!("questions refused by (index lost, kind of frame): {told:?}");
    assert!(told[&(false, RUN)] > 0 && told[&(false, CHANGES)] > 0, "what is touched is refused");
}

/// Many corrections of a series, one of whose runs is damaged: folding goes on.
#[tokio::test]
async fn a_damaged_run_does_not_stop_folding() {
    let stock = Stock::get().await;
    let place = stock.copy();
    let frames = frames(&place.data());
    frames.iter().filter(|f| f.line.kind == RUN).for_each(|run| flip(&run.file, run.middle()));
    for _ in 0..12 {
        let served = place.start();
        let mut book = crate::book::Book::new(
            "pay",
            "careful",
            crate::book::Habit::Plain,
            std::sync::Arc::new(milepost::random::SeededRandom::new(9)),
        );
        for _ in 0..20 {
            let op = book.next_op();
            crate::round::send(&served.channel(), &book, &op).await.expect("written");
        }
        served.stop().await;
    }
}

fn refused_to_open(place: &Place) -> String {
    let not = place.try_start().err().expect("it does not open");
    assert_eq!(not.code, Some(1), "{}", not.stderr);
    not.stderr
}

/// Of a damaged record of the log either its body is bad, and its series is refused by name while the others are
/// served; or nobody knows whom it concerns, and nothing is opened.
#[tokio::test]
async fn a_damaged_log_is_named_and_costs_no_other_series() {
    // Nothing is folded: everything is in the log.
    let place = Place::new("");
    let served = place.start();
    let channel = served.channel();
    crate::campaign::create_metrics(&channel).await;
    for number in 0..20 {
        write_bulk(&channel, &format!("w{number}"), 200).await;
    }
    served.kill();
    let log = files(&place.data().join("log"), ".log").into_iter().next().expect("a segment");
    let bytes = fs::read(&log).expect("a segment");
    let records: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&magic(&bytes))).collect();
    let copy = place.root().join("copy");
    fs::copy(&log, &copy).expect("a copy");
    let mut lost = 0;
    for part in [1.0 / 3.0, 0.5, 2.0 / 3.0] {
        let record = (records.len() as f64 * part) as usize;
        // Behind its head and its list of series: in its body, which is most of it.
        let at = records[record] + (records[record + 1] - records[record]) * 3 / 4;
        flip(&log, at as u64);
        let served = place.start();
        let status = questions::read(&served.channel(), "pay/minutes".to_owned(), None).await.expect_err("it is lost");
        let (file, offset) = named(&status);
        assert!(Path::new(&file) == log && (offset as usize) < at, "{file} {offset}, flipped {at}");
        let info = status.get_details_error_info().expect("an ErrorInfo");
        assert!(info.metadata["series"].starts_with("pay/minutes{writer=\"w"), "{:?}", info.metadata);
        assert!(info.metadata.contains_key("first_time") && info.metadata.contains_key("last_time"));
        questions::read(&served.channel(), "pay/slots".to_owned(), None).await.expect("other metrics");
        lost += 1;
        served.kill();
        // What the opening made goes with the damage.
        for made in files(&place.data().join("log"), ".log") {
            fs::remove_file(made).expect("it is there");
        }
        fs::copy(&copy, &log).expect("put back");
    }
    assert_eq!(lost, 3);
    flip(&log, records[0] as u64 + 20);
    let told = refused_to_open(&place);
    assert!(told.contains(log.to_str().expect("text")) && told.contains("damaged at byte"), "{told}");
    fs::copy(&copy, &log).expect("put back");
    let served = place.start();
    assert_eq!(questions::read(&served.channel(), "pay/minutes".to_owned(), None).await.expect("all").len(), 20);
    served.stop().await;
}

/// How a record of this segment begins.
fn magic(segment: &[u8]) -> [u8; 4] {
    let salt = u64::from_le_bytes(segment[36..44].try_into().expect("eight bytes"));
    (u32::from_le_bytes(*b"MREC") ^ (salt >> 32) as u32).to_le_bytes()
}

#[tokio::test]
async fn what_cannot_be_done_without_is_named_and_not_opened() {
    let stock = Stock::get().await;
    let missing = |what: &str| {
        let place = stock.copy();
        let path = match what {
            "fold" => files(&place.data().join("folds"), ".fold")[1].clone(),
            "log" => files(&place.data().join("log"), ".log")[0].clone(),
            other => place.data().join(other),
        };
        fs::remove_file(&path).expect("there was one");
        refused_to_open(&place)
    };
    assert!(missing("fold").contains("no fold file goes on from record"), "{}", missing("fold"));
    assert!(missing("log").contains("no segment of the log is there"), "{}", missing("log"));
    assert!(missing("FORMAT").contains("FORMAT is damaged at byte 0: it is missing"), "{}", missing("FORMAT"));
    // Both copies of a directory are there for one of them to be damaged.
    let place = stock.copy();
    let fold = files(&place.data().join("folds"), ".fold")[0].clone();
    let opened = RealDisk.open(&fold, Open::Read).expect("a fold file");
    let seal = Seal::read(opened.as_ref(), &fold).expect("a seal");
    flip(&fold, seal.directories[0] + 5);
    let served = place.start();
    stock.check(&served.channel(), "one copy of a directory").await;
    served.stop().await;
    flip(&fold, seal.directories[1] + 5);
    let told = refused_to_open(&place);
    assert!(told.contains(fold.to_str().expect("text")) && told.contains("the directory's checksum differs"), "{told}");
}

/// The log goes on from a block that is damaged since: its component waits for the block, others are served, and
/// nothing of the log is let go of meanwhile.
#[tokio::test]
async fn a_log_that_goes_on_from_a_damaged_block_waits_for_it() {
    let stock = Stock::get().await;
    let place = stock.copy();
    // So that the correction is in the log only.
    fs::write(place.root().join("config.toml"), "").expect("a config file");
    let served = place.start();
    let channel = served.channel();
    crate::stock::correct_bulk(&channel, "bulk", 50).await.expect("corrected");
    let minutes = "pay/minutes".to_owned();
    let corrected = questions::read(&channel, minutes.clone(), None).await.expect("points");
    served.kill();
    let frames = frames(&place.data());
    let first = frames.iter().find(|f| f.line.kind == BLOCK && f.spot.bytes > 2_000).expect("the first long block");
    flip(&first.file, first.middle());
    for number in 0..3 {
        let served = place.start();
        let channel = served.channel();
        let status = questions::read(&channel, minutes.clone(), None).await.expect_err("its component is damaged");
        assert_eq!(Path::new(&named(&status).0), first.file);
        let status = crate::stock::correct_bulk(&channel, "other", 5).await.expect_err("nothing is taken either");
        named(&status);
        let book = crate::book::Book::new(
            "notify",
            "careful",
            crate::book::Habit::Careful,
            std::sync::Arc::new(milepost::random::SeededRandom::new(1)),
        );
        for op in number * 40 + 1_000..number * 40 + 1_040 {
            let deed = crate::book::Deed::Add { hot: 0 };
            let op = crate::book::Op { number: op, request_id: format!("beside {op}"), deed };
            crate::round::send(&channel, &book, &op).await.expect("others write");
        }
        served.stop().await;
    }
    flip(&first.file, first.middle());
    let served = place.start();
    assert!(questions::read(&served.channel(), minutes, None).await.expect("points") == corrected, "all is there");
    let notify = questions::kept(&served.channel(), "notify").await.expect("what is kept");
    let before = &stock.kept.iter().find(|(component, _)| *component == "notify").expect("kept").1;
    let hot = |kept: &BTreeMap<String, crate::book::Kept>| kept["careful"].minutes.get(&0).copied().unwrap_or(0);
    assert_eq!(hot(&notify), hot(before) + 120);
    served.stop().await;
}
