//! A small disk that gets full again and again: writes are refused and said to be, reads are exact, folding ends, the
//! server is restarted or killed and starts on the full disk, and writing resumes by itself. `MILEPOST_FULL_CYCLES` and
//! `MILEPOST_FULL_SEED` make a campaign of it.

use crate::book::{Answer, Book, Habit, Op};
use crate::campaign::{COMPONENTS, Campaign, create_metrics};
use crate::figures::{count, seed};
use crate::mount::Mount;
use crate::process::{Place, Served, files};
use crate::questions;
use crate::round::{Sight, is_full, of_write, send};
use milepost::proto::v1::ingest_service_client::IngestServiceClient;
use milepost::proto::v1::stream_points_response::Outcome;
use milepost::proto::v1::{Reason, StreamPointsRequest};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

const CONFIG: &str = "[engine]\nmemtable_bytes_max = 131072\nunfolded_bytes_max = 131072\n\
                      [store]\nsegment_bytes = 1048576\nreserve_bytes = 4194304\n";
const DISK_BYTES: u64 = 48 << 20;
/// Cycles on one directory; after them a fresh one.
const CYCLES_A_DIRECTORY: u64 = 5;
/// Refusals after which the disk counts as full.
const REFUSED_MIN: u64 = 40;
/// Files of the log that a folded one has at most: the present segment, those that hold what came since, a spare.
const LOG_FILES_MAX: usize = 4;
/// How long anything may take on a busy machine.
const WAIT: Duration = Duration::from_secs(60);

/// What happens on the full disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    /// Nothing: there is room again.
    Room,
    /// It is stopped and started.
    Restart,
    /// It is killed and started.
    Kill,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_gets_full_again_and_again_loses_nothing() {
    let (cycles, seed) = (count("MILEPOST_FULL_CYCLES", 3, 3), seed("MILEPOST_FULL_SEED"));
    println!("seed {seed}, {cycles} cycles");
    let mut done = 0;
    while done < cycles {
        let some = CYCLES_A_DIRECTORY.min(cycles - done);
        let Some(mut disk) = Small::new(seed + done) else { return };
        for cycle in 0..some {
            let then = [Then::Room, Then::Restart, Then::Kill][((done + cycle) % 3) as usize];
            disk.cycle(then).await;
        }
        disk.end().await;
        done += some;
    }
}

/// A campaign on a small disk, and what fills it. The disk is unmounted before its folder goes.
struct Small {
    served: Option<Served>,
    _mount: Mount,
    campaign: Campaign,
    ballast: PathBuf,
    refused: u64,
    /// Cycles in which the reserve was given up.
    reserves_used: u64,
    resumed: Vec<Duration>,
}

impl Small {
    fn new(seed: u64) -> Option<Small> {
        let campaign = Campaign::on(Place::below(CONFIG, "disk"), seed);
        let mount = Mount::of_bytes(&campaign.place.root().join("disk"), DISK_BYTES)?;
        let ballast = mount.path().join("ballast");
        Some(Small {
            served: None,
            _mount: mount,
            campaign,
            ballast,
            refused: 0,
            reserves_used: 0,
            resumed: Vec::new(),
        })
    }

    /// Takes what is left of the disk but for some.
    fn fill(&self) {
        let mut file = File::create(&self.ballast).expect("a file");
        while file.write_all(&[1; 64 << 10]).is_ok() {}
        let bytes = file.metadata().expect("it is there").len();
        file.set_len(bytes.saturating_sub(self.campaign.draw(3 << 20))).expect("cut");
    }

    fn served(&self) -> &Served {
        self.served.as_ref().expect("it is served")
    }

    fn push(&mut self) -> (Arc<Sight>, Vec<JoinHandle<Book>>) {
        let sight = Arc::new(Sight::default());
        let books = std::mem::take(&mut self.campaign.books).into_iter();
        let writers = books.map(|book| tokio::spawn(push(self.served().channel(), book, sight.clone())));
        (sight.clone(), writers.collect())
    }

    async fn take_back(&mut self, writers: Vec<JoinHandle<Book>>) {
        for writer in writers {
            self.campaign.books.push(writer.await.expect("a writer does not panic"));
        }
    }

    async fn cycle(&mut self, then: Then) {
        if self.served.is_none() {
            self.served = Some(self.campaign.start());
            create_metrics(&self.served().channel()).await;
        }
        let (sight, writers) = self.push();
        until("writes", || sight.acknowledged.load(Ordering::Relaxed) >= 50).await;
        self.fill();
        until("the disk is full", || sight.refused.load(Ordering::Relaxed) >= REFUSED_MIN).await;
        let data = self.campaign.place.data();
        let (log, folds) = (data.join("log"), data.join("folds"));
        let folded = || files(&log, "").len() <= LOG_FILES_MAX && files(&folds, ".tmp").is_empty();
        until("folding ends on the full disk", folded).await;
        self.reserves_used += u64::from(!data.join("RESERVE").exists());
        if then == Then::Kill {
            sight.killed.store(true, Ordering::SeqCst);
            self.served.take().expect("it is served").kill();
        }
        sight.enough.store(true, Ordering::SeqCst);
        self.take_back(writers).await;
        self.refused += sight.refused.load(Ordering::Relaxed);
        self.campaign.figures.acknowledged += sight.acknowledged.load(Ordering::Relaxed);
        if then == Then::Restart {
            self.check_reads("full").await;
            self.served.take().expect("it is served").stop().await;
        }
        if then != Then::Room {
            self.served = Some(self.campaign.start());
        }
        self.check_reads("full").await;
        fs::remove_file(&self.ballast).expect("room is made");
        self.resume().await;
    }

    /// On a full disk: what is kept is what was acknowledged, a batch in flight there or not, and retries are answered.
    async fn check_reads(&self, what: &str) {
        let channel = self.served().channel();
        for component in COMPONENTS {
            let mut kept = questions::kept(&channel, component).await.expect("reads go on");
            for book in self.campaign.books.iter().filter(|book| book.component == component) {
                let found = kept.remove(&book.writer).unwrap_or_default();
                let mut all = book.kept.clone();
                assert!(book.in_flight.len() <= 1);
                book.in_flight.iter().for_each(|op| all.apply(op));
                assert!(found == book.kept || found == all, "{what}: {component} {} is not exact", book.writer);
            }
            assert!(kept.is_empty(), "{what}: nobody wrote {kept:?}");
        }
        self.campaign.replay(&channel).await;
    }

    /// Writing goes on without anybody doing anything, and everything holds.
    async fn resume(&mut self) {
        let began = Instant::now();
        let channel = self.served().channel();
        self.campaign.check(&channel).await;
        let (sight, writers) = self.push();
        until("writing resumes", || sight.acknowledged.load(Ordering::Relaxed) > 0).await;
        self.resumed.push(began.elapsed());
        until("writing goes on", || sight.acknowledged.load(Ordering::Relaxed) >= 100).await;
        sight.enough.store(true, Ordering::SeqCst);
        self.take_back(writers).await;
        self.campaign.figures.acknowledged += sight.acknowledged.load(Ordering::Relaxed);
        self.campaign.check(&channel).await;
        assert!(self.campaign.place.data().join("RESERVE").exists(), "it is kept again before anything is written");
    }

    async fn end(mut self) {
        self.served.take().expect("it is served").stop().await;
        self.campaign.end().await;
        let figures = &self.campaign.figures;
        println!(
            "{} acknowledged, {} refused, {} retried; reserve used in {} cycles; resumed after {:?}; openings {:?}",
            figures.acknowledged, self.refused, figures.retried, self.reserves_used, self.resumed, figures.openings,
        );
        assert!(self.reserves_used > 0, "the reserve was never needed");
    }
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + WAIT;
    while !is() {
        assert!(Instant::now() < until, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A writer at work, one batch after the other, until it is cut off or it is enough. What is refused never was.
async fn push(channel: Channel, mut book: Book, sight: Arc<Sight>) -> Book {
    let mut stream = None;
    while !sight.enough.load(Ordering::SeqCst) {
        let op = book.next_op();
        let sent = match book.habit {
            Habit::Streaming => send_streamed(&channel, &book, &op, &mut stream).await,
            Habit::Plain | Habit::Careful => send(&channel, &book, &op).await.map(Some).or_else(none_where_full),
        };
        match sent {
            Ok(Some(answer)) => sight.acknowledge(&mut book, answer),
            Ok(None) => {
                sight.refused.fetch_add(1, Ordering::Relaxed);
                book.in_flight.pop_back();
                book.settle();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(status) => {
                sight.cut_off(&book.writer, &status).await;
                return book;
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    book
}

fn none_where_full(status: Status) -> Result<Option<Answer>, Status> {
    if is_full(&status) { Ok(None) } else { Err(status) }
}

type Stream = (mpsc::Sender<StreamPointsRequest>, Streaming<milepost::proto::v1::StreamPointsResponse>);

/// By the one stream of a writer. None: refused, the disk is full.
async fn send_streamed(
    channel: &Channel,
    book: &Book,
    op: &Op,
    stream: &mut Option<Stream>,
) -> Result<Option<Answer>, Status> {
    if stream.is_none() {
        let (sender, requests) = mpsc::channel(1);
        let answers = IngestServiceClient::new(channel.clone()).stream_points(ReceiverStream::new(requests)).await?;
        *stream = Some((sender, answers.into_inner()));
    }
    let (sender, answers) = stream.as_mut().expect("just made");
    let gone = || Status::unknown("the stream ended");
    sender.send(StreamPointsRequest { write: book.write(op) }).await.map_err(|_| gone())?;
    let response = answers.message().await?.ok_or_else(gone)?;
    match response.outcome.expect("an outcome") {
        Outcome::Response(response) => Ok(Some(of_write(response))),
        Outcome::Refusal(refusal) => {
            assert_eq!(refusal.reason(), Reason::DiskFull, "{refusal:?}");
            assert!(refusal.retry_delay.is_some(), "{refusal:?}");
            Ok(None)
        }
    }
}
