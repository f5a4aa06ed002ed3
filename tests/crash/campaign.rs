//! kill -9 again and again on one directory, at moments drawn from a seed: nothing acknowledged is lost, nothing
//! else is there but whole batches, and every retry counts once.

use crate::book::{Book, Deed, Habit, Op};
use crate::forgetful::{Forgetful, Forgotten};
pub use crate::metrics::{COMPONENTS, SMALL, create_metrics};
use crate::process::{Place, Served, files};
use crate::questions;
use crate::round::{Sight, Snapshot, send, send_until_taken, watch, work};
use milepost::random::SeededRandom;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// Snapshots that are kept from round to round, and asked again.
const SNAPSHOTS_MAX: usize = 60;
/// A kill waits for its moment at most so long.
const MOMENT_MAX: Duration = Duration::from_millis(1_500);

/// When the server is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    /// After a while, whatever goes on.
    Any,
    /// While a fold file is being written.
    Folding,
    /// As soon as one is there: the index and the trimming come next.
    Folded,
    /// As soon as the log has let go of a segment.
    Trimmed,
    /// While a backup is made.
    Backup,
}

/// How a server's life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// kill -9.
    Kill,
    /// Told to stop; it ends by itself.
    Signal(&'static str),
    /// kill -9, and the power is cut: on a forgetful file system only.
    Cut,
}

/// What a campaign came to.
#[derive(Default, Debug)]
pub struct Figures {
    pub kills: u64,
    pub kills_with_writes_in_flight: u64,
    pub kills_while_folding: u64,
    pub acknowledged: u64,
    pub in_flight: u64,
    pub in_flight_kept: u64,
    pub retried: u64,
    pub folds: u64,
    pub segments_let_go: u64,
    pub snapshots_asked_again: u64,
    pub points: u64,
    pub openings: Vec<Duration>,
    /// From a signal to the end.
    pub stops: Vec<Duration>,
    pub openings_killed: u64,
    pub backups: u64,
    pub backups_cut_off: u64,
    pub verified: u64,
    pub cuts: u64,
    pub sectors_forgotten: u64,
    pub names_forgotten: u64,
}

/// A campaign on one directory.
pub struct Campaign {
    /// Before the place, whose directory it is mounted in.
    disk: Option<Forgetful>,
    pub place: Place,
    random: Arc<SeededRandom>,
    pub books: Vec<Book>,
    snapshots: Vec<Snapshot>,
    revisions: BTreeSet<(&'static str, i64)>,
    pub figures: Figures,
}

impl Campaign {
    pub fn new(seed: u64) -> Campaign {
        Campaign::on(Place::new(SMALL), seed)
    }

    pub fn on(place: Place, seed: u64) -> Campaign {
        let random = Arc::new(SeededRandom::new(seed));
        let book = |component, writer, habit| Book::new(component, writer, habit, random.clone());
        let books = vec![
            book("pay", "plain", Habit::Plain),
            book("pay", "careful", Habit::Careful),
            book("pay", "streaming", Habit::Streaming),
            book("notify", "careful", Habit::Careful),
            book("notify", "streaming", Habit::Streaming),
        ];
        Campaign {
            disk: None,
            place,
            random,
            books,
            snapshots: Vec::new(),
            revisions: BTreeSet::new(),
            figures: Figures::default(),
        }
    }

    /// A campaign on a file system that forgets at a cut what was not synced; None where there can be none.
    pub fn on_forgetful_disk(seed: u64) -> Option<Campaign> {
        let mut campaign = Campaign::new(seed);
        campaign.disk = Some(Forgetful::mounted(&campaign.place.data(), seed)?);
        Some(campaign)
    }

    pub fn draw(&self, below: u64) -> u64 {
        self.random.next() % below
    }

    pub fn start(&mut self) -> Served {
        let served = self.place.start();
        self.figures.openings.push(served.opening);
        served
    }

    fn cut(&mut self) {
        let Forgotten { sectors, names } = self.disk.as_mut().expect("it is on a forgetful disk").cut();
        self.figures.cuts += 1;
        self.figures.sectors_forgotten += sectors;
        self.figures.names_forgotten += names;
    }

    /// Opens, and ends while it opens or soon after, before anybody asks anything.
    pub fn opening_cut_short(&mut self, end: End) {
        self.place.start_and_kill(Duration::from_micros(self.draw(60_000)));
        self.figures.openings_killed += 1;
        if end == End::Cut {
            self.cut();
        }
    }

    /// Opens, checks, sends again what nobody knows about, and ends: what was answered then is there too.
    pub async fn retries_then(&mut self, end: End) {
        let served = self.start();
        self.check(&served.channel()).await;
        served.kill();
        if end == End::Cut {
            self.cut();
        }
    }

    /// Opens, checks, writes, and ends.
    pub async fn round(&mut self, number: u64, end: End) {
        let served = self.start();
        let channel = served.channel();
        if number == 0 {
            create_metrics(&channel).await;
        }
        self.check(&channel).await;
        let moments = [Moment::Any, Moment::Folding, Moment::Folded, Moment::Trimmed, Moment::Backup];
        let moment = moments[number as usize % moments.len()];
        let sight = Arc::new(Sight::default());
        let writers: Vec<_> = std::mem::take(&mut self.books)
            .into_iter()
            .map(|book| {
                let (sight, channel) = (sight.clone(), served.channel());
                tokio::spawn(async move { work(channel, book, &sight).await })
            })
            .collect();
        let reader = tokio::spawn({
            let sight = sight.clone();
            async move { watch(channel, &sight).await }
        });
        let (log, folds) = (self.place.data().join("log"), self.place.data().join("folds"));
        let (segments_before, folds_before) = (files(&log, ".log"), files(&folds, ".fold").len());
        self.wait_for(moment, &sight, &log, &folds).await;
        let backup = (moment == Moment::Backup).then(|| self.begin_backup());
        if backup.is_some() {
            tokio::time::sleep(Duration::from_micros(self.draw(400_000))).await;
        }
        sight.killed.store(true, Ordering::SeqCst);
        match end {
            End::Kill | End::Cut => served.kill(),
            End::Signal(name) => {
                let began = Instant::now();
                served.signal(name);
                let status = served.wait().await;
                assert!(status.success(), "{status}");
                self.figures.stops.push(began.elapsed());
            }
        }
        for writer in writers {
            self.books.push(writer.await.expect("a writer does not panic"));
        }
        let taken = reader.await.expect("the reader does not panic");
        self.keep(taken);
        let in_flight: usize = self.books.iter().map(|book| book.in_flight.len()).sum();
        let segments = files(&log, ".log");
        let figures = &mut self.figures;
        figures.kills += 1;
        figures.kills_with_writes_in_flight += u64::from(in_flight > 0);
        figures.kills_while_folding += u64::from(!files(&folds, ".tmp").is_empty());
        figures.in_flight += in_flight as u64;
        figures.acknowledged += sight.acknowledged.load(Ordering::Relaxed);
        figures.folds += (files(&folds, ".fold").len() - folds_before) as u64;
        figures.segments_let_go += segments_before.iter().filter(|segment| !segments.contains(segment)).count() as u64;
        if let Some(backup) = backup {
            // Whatever it says, what it leaves is none or whole: the last one, restored, shows it.
            let done = backup.wait_with_output().expect("it ends");
            figures.backups += u64::from(done.status.success());
            figures.backups_cut_off += u64::from(!done.status.success());
        }
        if end == End::Cut {
            self.cut();
        }
        if number % 8 == 3 {
            self.verify();
        }
    }

    /// The last start, a clean end, and a start on what that left.
    pub async fn end(&mut self) {
        for last in [false, true] {
            let served = self.start();
            self.check(&served.channel()).await;
            if last && self.figures.backups + self.figures.backups_cut_off > 0 {
                self.restore().await;
            }
            served.stop().await;
        }
    }

    async fn wait_for(&self, moment: Moment, sight: &Sight, log: &std::path::Path, folds: &std::path::Path) {
        let began = Instant::now();
        let least = Duration::from_millis(150 + self.draw(600));
        while began.elapsed() < least || sight.acknowledged.load(Ordering::Relaxed) < 30 {
            assert!(began.elapsed() < Duration::from_secs(30), "too few batches are acknowledged");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let names =
            |dir: &std::path::Path, ending: &str| -> BTreeSet<PathBuf> { files(dir, ending).into_iter().collect() };
        let (folded, segments) = (names(folds, ".fold"), names(log, ".log"));
        let until = Instant::now() + MOMENT_MAX;
        while Instant::now() < until {
            let now = match moment {
                Moment::Any | Moment::Backup => true,
                Moment::Folding => !names(folds, ".tmp").is_empty(),
                Moment::Folded => names(folds, ".fold") != folded,
                Moment::Trimmed => !names(log, ".log").is_superset(&segments),
            };
            if now {
                break;
            }
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        if moment != Moment::Folding {
            tokio::time::sleep(Duration::from_micros(self.draw(2_000))).await;
        }
    }

    fn keep(&mut self, taken: Vec<Snapshot>) {
        for snapshot in taken {
            if self.snapshots.len() < SNAPSHOTS_MAX {
                self.snapshots.push(snapshot);
            } else {
                let at = self.draw(SNAPSHOTS_MAX as u64) as usize;
                self.snapshots[at] = snapshot;
            }
        }
    }

    /// Everything that must hold after an opening; settles what was in flight.
    pub async fn check(&mut self, channel: &Channel) {
        for component in COMPONENTS {
            let mut found = questions::kept(channel, component).await.expect("what is kept");
            for at in 0..self.books.len() {
                if self.books[at].component == component {
                    let found = found.remove(&self.books[at].writer).unwrap_or_default();
                    self.settle(channel, at, found).await;
                }
            }
            assert!(found.is_empty(), "nobody wrote {found:?}");
        }
        for component in COMPONENTS {
            let mut found = questions::kept(channel, component).await.expect("what is kept");
            for book in self.books.iter().filter(|book| book.component == component) {
                let found = found.remove(&book.writer).unwrap_or_default();
                assert!(found == book.kept, "{component} {} after its retries", book.writer);
            }
        }
        self.replay(channel).await;
        self.ask_again(channel).await;
        let points = self.books.iter().map(|b| b.kept.slots.len() + b.kept.levels.len() + b.kept.minutes.len());
        self.figures.points = points.sum::<usize>() as u64;
    }

    /// What is there is everything acknowledged, and of what was in flight the first so many. Those with a
    /// request id are sent again.
    async fn settle(&mut self, channel: &Channel, at: usize, found: crate::book::Kept) {
        let book = &mut self.books[at];
        let mut expected = book.kept.clone();
        let mut there = (expected == found).then_some(0);
        for (number, op) in book.in_flight.iter().enumerate() {
            expected.apply(op);
            if expected == found {
                assert!(there.is_none(), "{}: {op:?} cannot be told", book.writer);
                there = Some(number + 1);
            }
        }
        let Some(there) = there else {
            panic!("{} {}: {}", book.component, book.writer, difference(book, &found));
        };
        self.figures.in_flight_kept += there as u64;
        for (number, op) in std::mem::take(&mut book.in_flight).into_iter().enumerate() {
            let kept = number < there;
            if op.request_id.is_empty() {
                // Nobody will know its answer: it is there, or never was.
                if kept {
                    book.kept.apply(&op);
                }
                continue;
            }
            let answer = send_until_taken(channel, book, &op).await;
            let answer = answer.unwrap_or_else(|status| panic!("{op:?}: {status}"));
            assert_eq!(answer.replayed, kept, "{} {op:?}", book.writer);
            let moved = !matches!(op.deed, Deed::Retract { .. }) || answer.counts[0] > 0;
            if moved {
                let unique = self.revisions.insert((book.component, answer.revision));
                assert!(unique, "{} {op:?} {answer:?} has another's revision", book.writer);
            }
            book.acknowledge(op, crate::book::Answer { replayed: false, ..answer });
            self.figures.retried += 1;
        }
        book.settle();
    }

    /// Some of the answered requests with ids, sent again, get their first answers.
    pub async fn replay(&self, channel: &Channel) {
        for book in &self.books {
            let answered = book.answered.len() as u64;
            // The latest is the likeliest to be lost.
            let mut chosen: Vec<usize> = book.answered.len().checked_sub(1).into_iter().collect();
            chosen.extend((0..answered.min(4)).map(|_| self.draw(answered) as usize));
            for at in chosen {
                let (op, first): &(Op, _) = &book.answered[at];
                let answer = send(channel, book, op).await.unwrap_or_else(|status| panic!("{op:?}: {status}"));
                assert_eq!(answer, crate::book::Answer { replayed: true, ..*first }, "{} {op:?}", book.writer);
            }
        }
    }

    async fn ask_again(&mut self, channel: &Channel) {
        let count = self.snapshots.len();
        for _ in 0..count.min(8) {
            let snapshot = &self.snapshots[self.draw(count as u64) as usize];
            let (component, revision) = (snapshot.component, snapshot.revision);
            let again = questions::ask(channel, component, revision).await.expect("answers");
            let differs = again.difference(&snapshot.answers);
            assert!(differs.is_none(), "{component} as of {revision}: {}", differs.unwrap_or_default());
            questions::check_slots(channel, component, revision, &BTreeMap::new()).await;
            self.figures.snapshots_asked_again += 1;
        }
    }
}

/// The first thing that differs, for people.
fn difference(book: &Book, found: &crate::book::Kept) -> String {
    let mut all = book.kept.clone();
    book.in_flight.iter().for_each(|op| all.apply(op));
    let lost = book.kept.slots.iter().find(|(key, _)| !found.slots.contains_key(key));
    let other = found.slots.iter().find(|(key, value)| {
        let here = |kept: &crate::book::Kept| kept.slots.get(key) == Some(value);
        !here(&book.kept) && !here(&all)
    });
    let minutes = book.kept.minutes.iter().find(|(key, value)| found.minutes.get(key).is_none_or(|v| v < value));
    let openings = (book.kept.opening, found.opening);
    let counts = (book.kept.slots.len(), found.slots.len(), all.slots.len());
    format!(
        "slot lost {lost:?}; slot nobody wrote {other:?}; minute {minutes:?}; openings {openings:?}; slots {counts:?}"
    )
}
