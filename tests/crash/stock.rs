//! A directory with a known history in it, cleanly closed: what tests lose, damage and starve.

use crate::book::{BASE, Book, Habit, Kept, timestamp};
use crate::metrics::{COMPONENTS, SMALL, create_metrics};
use crate::process::{Place, copy_dir};
use crate::questions::{self, Answers};
use crate::round::send;
use milepost::proto::v1::ingest_service_client::IngestServiceClient;
use milepost::proto::v1::*;
use milepost::random::SeededRandom;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use tokio::sync::OnceCell;
use tonic::Status;
use tonic::transport::Channel;

/// Points of the one long series: several blocks.
pub const BULK_POINTS: i64 = 9_000;
/// Batches of each writer.
const BATCHES: u64 = 150;
/// Revisions of which questions are asked.
const ASKED_EVERY: u64 = 70;

/// See the module.
pub struct Stock {
    pub place: Place,
    pub answers: Vec<(&'static str, i64, Answers)>,
    pub kept: Vec<(&'static str, BTreeMap<String, Kept>)>,
    /// A book whose answered requests can be sent again.
    pub books: Vec<Book>,
}

static STOCK: OnceCell<Stock> = OnceCell::const_new();

impl Stock {
    /// The same for all tests, who work on copies.
    pub async fn get() -> &'static Stock {
        STOCK.get_or_init(|| Stock::make(SMALL)).await
    }

    async fn make(config: &str) -> Stock {
        let place = Place::new(config);
        let served = place.start();
        let channel = served.channel();
        create_metrics(&channel).await;
        write_bulk(&channel, "bulk", BULK_POINTS).await;
        open_only(&channel).await;
        let random = Arc::new(SeededRandom::new(4));
        let book = |component, writer, habit| Book::new(component, writer, habit, random.clone());
        let mut books = vec![
            book("pay", "careful", Habit::Careful),
            book("pay", "streaming", Habit::Streaming),
            book("notify", "careful", Habit::Careful),
        ];
        let mut answers = Vec::new();
        for number in 0..BATCHES {
            for book in &mut books {
                let op = book.next_op();
                let answer = send(&channel, book, &op).await.expect("an answer");
                book.take_answer(answer);
                if number % ASKED_EVERY == 7 {
                    let asked = questions::ask(&channel, book.component, answer.revision).await.expect("answers");
                    answers.push((book.component, answer.revision, asked));
                }
            }
        }
        let mut kept = Vec::new();
        for component in COMPONENTS {
            kept.push((component, questions::kept(&channel, component).await.expect("what is kept")));
        }
        assert!(kept[0].1.contains_key("opened"), "a series of an opening alone is there");
        served.stop().await;
        Stock { place, answers, kept, books }
    }

    /// A copy, to be spoilt.
    pub fn copy(&self) -> Place {
        let place = Place::new(SMALL);
        copy_dir(&self.place.data(), &place.data());
        place
    }

    /// Everything is answered as it was.
    pub async fn check(&self, channel: &Channel, what: &str) {
        for (component, revision, first) in &self.answers {
            let again = questions::ask(channel, component, *revision).await;
            let again = again.unwrap_or_else(|status| panic!("{what}: {component} as of {revision}: {status}"));
            let differs = again.difference(first);
            assert!(differs.is_none(), "{what}: {component} as of {revision}: {}", differs.unwrap_or_default());
        }
        for (component, kept) in &self.kept {
            let found = questions::kept(channel, component).await;
            let found = found.unwrap_or_else(|status| panic!("{what}: {component}: {status}"));
            assert!(found == *kept, "{what}: {component} keeps something else");
        }
    }

    /// Everything is answered as it was, or refused as damaged: never anything else. Answers which were refused.
    pub async fn check_or_damaged(&self, channel: &Channel, what: &str) -> Vec<(String, Status)> {
        let mut refused = Vec::new();
        for (component, revision, first) in &self.answers {
            match questions::ask(channel, component, *revision).await {
                Ok(again) => {
                    let differs = again.difference(first);
                    assert!(differs.is_none(), "{what}: {component} as of {revision}: {}", differs.unwrap_or_default());
                }
                Err(status) => refused.push((format!("{component} as of {revision}"), status)),
            }
        }
        for (component, kept) in &self.kept {
            match questions::kept(channel, component).await {
                Ok(found) => assert!(found == *kept, "{what}: {component} keeps something else"),
                Err(status) => refused.push(((*component).to_owned(), status)),
            }
        }
        refused
    }

    /// The first requests, sent again, get their first answers.
    pub async fn check_retries(&self, channel: &Channel) {
        for book in &self.books {
            for (op, first) in book.answered.iter().step_by(17) {
                let answer = send(channel, book, op).await.expect("an answer");
                assert_eq!(answer, crate::book::Answer { replayed: true, ..*first });
            }
        }
    }
}

/// A long series: several blocks under a node.
pub async fn write_bulk(channel: &Channel, writer: &str, points: i64) {
    bulk(channel, writer, points, 0).await.expect("written");
}

/// As `write_bulk`, with other values.
pub async fn correct_bulk(channel: &Channel, writer: &str, points: i64) -> Result<(), Status> {
    bulk(channel, writer, points, 1).await
}

async fn bulk(channel: &Channel, writer: &str, points: i64, more: i64) -> Result<(), Status> {
    let first_unix_nanos = BASE * 1_000_000_000;
    let columns = Columns {
        times: Some(columns::Times::Periods(PeriodTimes { first_unix_nanos })),
        units: (0..points).map(|i| i * i % 1_009 + more).collect(),
        start_times: vec![],
    };
    let series = SeriesPoints {
        metric: "pay/minutes".to_owned(),
        labels: [("writer".to_owned(), writer.to_owned())].into(),
        points: vec![],
        columns: Some(columns),
    };
    let request = WritePointsRequest { series: vec![series], ..Default::default() };
    IngestServiceClient::new(channel.clone()).write_points(request).await.map(|_| ())
}

/// A series that is only an opening balance.
async fn open_only(channel: &Channel) {
    let request = SetOpeningBalanceRequest {
        metric: "pay/minutes".to_owned(),
        labels: [("writer".to_owned(), "opened".to_owned())].into(),
        value: Some("77".to_owned()),
        at: Some(set_opening_balance_request::At::Time(timestamp(BASE))),
        ..Default::default()
    };
    IngestServiceClient::new(channel.clone()).set_opening_balance(request).await.expect("opened");
}

/// Flips a bit of a file.
pub fn flip(path: &std::path::Path, offset: u64) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[offset as usize] ^= 0x10;
    fs::write(path, bytes).expect("a file");
}
