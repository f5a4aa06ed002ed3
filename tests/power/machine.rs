//! A machine that runs the engine on a simulated disk: its process ends at any moment, its power is cut, and it is
//! opened again and compared with the oracle, with the index as it was, gone, an earlier one, or mixed of several.

#[path = "machine/offline.rs"]
mod offline;

use crate::batches::{batch, component_name};
use crate::compare::{Refusals, Revisions, compare};
use crate::fixture::{SMALL, temporary};
use crate::oracle::{Answer, Oracle, Sent};
use crate::sim_disk::{Counted, Fault, SimDisk};
use milepost::clock::ManualClock;
use milepost::domain::time::Time;
use milepost::engine::batch::{Ack, Refused};
use milepost::engine::{AsOf, Engine, Settings, ViewError};
use milepost::random::SeededRandom;
use milepost::store::embedded::{EmbeddedStore, StoreSettings};
use milepost::store::{Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long threads of an engine that is gone may take to end.
const END_WAIT: Duration = Duration::from_secs(60);

/// What a run came to.
#[derive(Clone, Copy, Default, Debug)]
pub struct Figures {
    /// The power was cut.
    pub cuts: u64,
    /// The process was killed, and the power not cut.
    pub kills: u64,
    /// Of the cuts: while the store was being opened.
    pub opening_cuts: u64,
    /// Of the cuts: after a kill whose leftovers had been served.
    pub late_cuts: u64,
    /// Of the cuts: after a clean close.
    pub closed_cuts: u64,
    /// Batches that were acknowledged.
    pub acknowledged: u64,
    /// Batches sent again.
    pub retried: u64,
    /// Batches that were in flight at the end of a process, and counted.
    pub survived: u64,
    /// Times everything was compared.
    pub compared: u64,
    /// Openings that believed the index.
    pub trusted: u64,
}

impl Figures {
    /// Both.
    pub fn add(&mut self, other: &Figures) {
        let Figures { cuts, kills, opening_cuts, late_cuts, closed_cuts, .. } = other;
        let Figures { acknowledged, retried, survived, compared, trusted, .. } = other;
        for (sum, more) in [
            (&mut self.cuts, cuts),
            (&mut self.kills, kills),
            (&mut self.opening_cuts, opening_cuts),
            (&mut self.late_cuts, late_cuts),
            (&mut self.closed_cuts, closed_cuts),
            (&mut self.acknowledged, acknowledged),
            (&mut self.retried, retried),
            (&mut self.survived, survived),
            (&mut self.compared, compared),
            (&mut self.trusted, trusted),
        ] {
            *sum += more;
        }
    }
}

/// See the module.
pub struct Machine {
    /// What comes about by chance on this machine: fates, the index, retries. What is written has a chance of its own.
    pub chance: SeededRandom,
    /// Its disk.
    pub disk: SimDisk,
    /// What must be there.
    pub oracle: Oracle,
    /// Sent and not answered: a first part of it may be there.
    pub in_flight: Vec<Sent>,
    /// What it came to.
    pub figures: Figures,
    /// Where the real files of indexes are, a folder a process.
    real: TempDir,
    processes: u64,
    clock: Arc<ManualClock>,
    hour: i64,
    runtime: tokio::runtime::Runtime,
    running: Option<Running>,
    settings: Settings,
    store_settings: StoreSettings,
    /// Acknowledged with an id: retries get the same answer.
    answered: Vec<Sent>,
    /// The store's folder on the disk.
    folder: &'static str,
    /// What a backup holds, where one was finished: one of these.
    backups: Vec<Oracle>,
    backed_up: bool,
    /// What there is once what was lost is given up.
    without_lost: Option<Oracle>,
}

struct Running {
    engine: Engine,
    store: Weak<EmbeddedStore>,
}

/// Small blocks and nodes, so that trees get deep with few points.
pub fn small() -> Settings {
    Settings {
        block_points_max: 8,
        tail_points_min: 3,
        node_children_max: 3,
        page_points_max: 2,
        cache_bytes_max: 4_000,
        ..Settings::default()
    }
}

impl Machine {
    /// With an empty disk, and nothing running.
    pub fn new(seed: u64, settings: Settings) -> Machine {
        let chance = SeededRandom::new(seed);
        Machine {
            disk: SimDisk::new(chance.next()),
            chance,
            oracle: Oracle::new(),
            in_flight: Vec::new(),
            figures: Figures::default(),
            real: temporary(),
            processes: 0,
            clock: Arc::new(ManualClock::at(Time(1_000))),
            hour: 0,
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
            running: None,
            settings,
            store_settings: SMALL,
            answered: Vec::new(),
            folder: "data",
            backups: Vec::new(),
            backed_up: false,
            without_lost: None,
        }
    }

    /// Another one, with nothing running, over a disk that was found, and without an index.
    pub fn found(&self, disk: SimDisk, seed: u64) -> Machine {
        let mut found = Machine::new(seed, self.settings.clone());
        (found.disk, found.store_settings) = (disk, self.store_settings);
        found.oracle.clone_from(&self.oracle);
        found.in_flight.clone_from(&self.in_flight);
        (found.hour, found.processes) = (self.hour, 0);
        found
    }

    /// With segments of another length.
    pub fn with_segments(mut self, segment_bytes: u64) -> Machine {
        self.store_settings.segment_bytes = segment_bytes;
        self
    }

    /// By chance a number below a bound.
    pub fn below(&self, bound: u64) -> u64 {
        self.chance.next() % bound
    }

    /// Whether an engine runs.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The engine that runs.
    pub fn engine(&self) -> &Engine {
        &self.running.as_ref().expect("it runs").engine
    }

    // ---- processes ----

    /// Starts a process. Nothing is compared yet.
    pub fn open(&mut self) -> Result<(), StoreError> {
        assert!(self.running.is_none(), "one process at a time");
        let root = self.next_root();
        let disk = Arc::new(self.disk.process(&root));
        let random = Arc::new(SeededRandom::new(self.chance.next()));
        let store = Arc::new(EmbeddedStore::open(&root.join(self.folder), disk, random, self.store_settings)?);
        let weak = Arc::downgrade(&store);
        self.figures.trusted += u64::from(store.index_state() != milepost::store::IndexState::Rebuild);
        let opened = Engine::open(store as Arc<dyn Store>, self.clock.clone(), self.settings.clone());
        let engine = opened.inspect_err(|_| wait_until_gone(&weak))?;
        self.running = Some(Running { engine, store: weak });
        Ok(())
    }

    /// A folder for the real files of the next process, with an index of the past in it.
    fn next_root(&mut self) -> PathBuf {
        self.processes += 1;
        let folder = |process: u64| self.real.path().join(process.to_string());
        let index = |process: u64| folder(process).join(self.folder).join("index");
        let root = folder(self.processes);
        std::fs::create_dir_all(root.join(self.folder)).expect("there is room");
        if self.processes > 1 {
            let last = self.processes - 1;
            let earlier = 1 + self.below(last);
            match self.below(6) {
                0..=2 => put_index(&index(last), &root.join(self.folder), &mut || true),
                3 => {}
                4 => put_index(&index(earlier), &root.join(self.folder), &mut || true),
                _ => {
                    put_index(&index(last), &root.join(self.folder), &mut || true);
                    put_index(&index(earlier), &root.join(self.folder), &mut || self.below(2) == 0);
                }
            }
        }
        root
    }

    /// Everything of the process ends; the disk keeps what it has, or only what was synced.
    pub fn end(&mut self, power_cut: bool) {
        match power_cut {
            true => {
                self.disk.cut();
                self.figures.cuts += 1;
            }
            false => {
                self.disk.kill();
                self.figures.kills += 1;
            }
        }
        if let Some(Running { engine, store }) = self.running.take() {
            drop(engine);
            wait_until_gone(&store);
        }
    }

    /// As `end`, where the process has not ended by itself meanwhile: then false.
    pub fn end_as_planned(&mut self, power_cut: bool) -> bool {
        if self.disk.has_failed() {
            return false;
        }
        self.end(power_cut);
        true
    }

    /// Closes the engine cleanly. False: the process ended meanwhile.
    pub fn close(&mut self) -> bool {
        let closed = self.runtime.block_on(self.engine().close());
        self.check_alive(closed)
    }

    /// Opens what a process left, sometimes with more cuts meanwhile, and finds everything that was acknowledged.
    /// Answers what was in flight: whether it is there or not, its clients had no answer.
    pub fn recover(&mut self) -> Vec<Sent> {
        let unanswered = self.in_flight.clone();
        while self.below(3) == 0 {
            self.disk.plan(self.below(25), Counted::Changes, Fault::Kill);
            match self.open() {
                Ok(()) => self.resolve(),
                Err(error) => assert!(self.disk.has_failed(), "it opens, or the process ends: {error}"),
            }
            self.disk.unplan();
            let power_cut = self.below(4) > 0;
            self.figures.opening_cuts += u64::from(power_cut);
            self.end(power_cut);
        }
        self.open().unwrap_or_else(|error| panic!("what is on the disk opens: {error}"));
        self.resolve();
        self.compare(Revisions::Some);
        unanswered
    }

    /// Finds how much of what was in flight is there: of each component a first part of it, in order. From now on
    /// it must stay.
    pub fn resolve(&mut self) {
        let in_flight = std::mem::take(&mut self.in_flight);
        for number in 0..self.oracle.components.len() {
            let sent: Vec<&Sent> = in_flight.iter().filter(|sent| sent.component == number).collect();
            let acknowledged = self.oracle.components[number].revision();
            let kept = (0..=sent.len()).find(|kept| {
                if *kept > 0 {
                    self.oracle.take(sent[kept - 1]);
                }
                self.is_like(number, &sent)
            });
            let (found, in_flight) = (self.revision(number), sent.len());
            self.figures.survived += kept.unwrap_or_else(|| {
                panic!("component {number}: {acknowledged} acknowledged, {in_flight} in flight; found {found}")
            }) as u64;
        }
    }

    fn revision(&self, component: usize) -> i64 {
        self.revision_if_whole(component).expect("it is not damaged")
    }

    /// None: the component is damaged.
    fn revision_if_whole(&self, component: usize) -> Option<i64> {
        let name = component_name(component);
        let view = self.engine().view(&name, AsOf::Now);
        match self.runtime.block_on(view) {
            Ok(view) => Some(view.revision()),
            Err(ViewError::Damaged(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether every component that is not damaged has the oracle's revision.
    pub fn is_at_its_revisions(&self) -> bool {
        let revision = |(number, component): (usize, &crate::oracle::Component)| {
            self.revision_if_whole(number).is_none_or(|found| found == component.revision())
        };
        self.oracle.components.iter().enumerate().all(revision)
    }

    /// Whether the engine has the revision of a component, and remembers the ids in flight that it does.
    fn is_like(&self, component: usize, in_flight: &[&Sent]) -> bool {
        let name = component_name(component);
        self.revision(component) == self.oracle.components[component].revision()
            && in_flight
                .iter()
                .filter(|sent| !sent.id.is_empty())
                .all(|sent| self.engine().remembers(&name, "team", &sent.id) == self.oracle.remembers(sent))
    }

    /// Everything is as the oracle has it, at every revision.
    pub fn compare_all(&mut self) {
        self.compare(Revisions::All);
    }

    /// Everything is as the oracle has it.
    pub fn compare(&mut self, revisions: Revisions) {
        self.compare_with(revisions, Refusals::None);
        let verified = self.runtime.block_on(self.engine().verify());
        assert_eq!(verified.findings, [], "what is kept holds together, every aggregate is its points' scan");
    }

    /// What is answered is as the oracle has it. How many answers were refusals.
    pub fn compare_with(&mut self, revisions: Revisions, refusals: Refusals) -> u64 {
        self.figures.compared += 1;
        let compared = compare(self.engine(), &self.oracle, revisions, refusals, &self.chance);
        self.runtime.block_on(compared)
    }

    // ---- what is asked of it ----

    /// Sends batches, all of them before any is answered. False: the process ended, or the disk failed.
    pub fn send(&mut self, batches: Vec<Sent>) -> bool {
        self.hour += 1;
        self.clock.set(Time(self.hour * 1_000_000));
        let engine = self.engine().clone();
        let answers: Vec<Result<Ack, Refused>> = self.runtime.block_on(async {
            let mut waiting = Vec::new();
            for sent in &batches {
                waiting.push(engine.submit(batch(sent)).await.expect("the committer listens"));
            }
            let mut answers = Vec::new();
            for answer in waiting {
                answers.push(answer.await.expect("the committer answers"));
            }
            answers
        });
        let mut went_on = true;
        for (sent, answer) in batches.into_iter().zip(answers) {
            went_on &= self.take(sent, answer);
        }
        went_on
    }

    fn take(&mut self, sent: Sent, answer: Result<Ack, Refused>) -> bool {
        let found = match answer {
            Ok(ack) => {
                let counts = [ack.accepted, ack.unchanged, ack.corrected];
                Answer::Taken { revision: ack.revision, counts, replayed: ack.replayed }
            }
            Err(Refused::State(_)) => Answer::Refused,
            Err(Refused::RequestIdReused) => Answer::IdReused,
            // Nothing of it is there, and nothing of it will be.
            Err(Refused::Store(StoreError::Full { .. } | StoreError::Poisoned { .. })) => return false,
            // The client never knows. Where the engine goes on, something could not be read: nothing was written.
            Err(Refused::Store(StoreError::Io { .. })) => {
                if self.engine().poisoned().is_some() {
                    self.in_flight.push(sent);
                }
                return false;
            }
            Err(refused) => panic!("{sent:?}: {refused:?}"),
        };
        let before = self.oracle.components[sent.component].revision();
        assert_eq!(found, self.oracle.take(&sent), "{sent:?}");
        if let Answer::Taken { revision, replayed: false, .. } = found {
            let kept = revision > before || !sent.id.is_empty();
            assert!(!kept || self.in_flight.is_empty(), "acknowledged behind a batch that failed: {sent:?}");
            self.figures.acknowledged += 1;
            if !sent.id.is_empty() {
                self.answered.push(sent);
            }
        }
        true
    }

    /// Sends a batch again, as a client does that got no answer, 1 to 5 times.
    pub fn retry(&mut self, sent: &Sent) -> bool {
        let times = 1 + self.below(5);
        self.figures.retried += 1;
        (0..times).all(|_| self.send(vec![sent.clone()]))
    }

    /// Sends some of what was acknowledged again.
    pub fn retry_some(&mut self, count: u64) -> bool {
        for _ in 0..count {
            if self.answered.is_empty() {
                return true;
            }
            // Late ones most: they are the ones that a crash may have touched.
            let back = self.below(self.answered.len() as u64).min(self.below(self.answered.len() as u64));
            let sent = self.answered[self.answered.len() - 1 - back as usize].clone();
            if !self.retry(&sent) {
                return false;
            }
        }
        true
    }

    /// Folds. False: the process ended.
    pub fn fold(&mut self) -> bool {
        let folded = self.runtime.block_on(self.engine().fold());
        self.check_alive(folded)
    }

    /// Sweeps. False: the process ended.
    pub fn sweep(&mut self) -> bool {
        let swept = self.runtime.block_on(self.engine().sweep());
        self.check_alive(swept.map(drop))
    }

    /// Where something failed, the process must have ended.
    fn check_alive(&self, done: Result<(), StoreError>) -> bool {
        if let Err(StoreError::Poisoned { cause }) = &done {
            assert!(!cause.contains("folding failed"), "a fold panicked");
        }
        done.is_ok()
    }
}

fn wait_until_gone(store: &Weak<EmbeddedStore>) {
    let until = Instant::now() + END_WAIT;
    while store.strong_count() > 0 {
        assert!(Instant::now() < until, "the threads of an engine that was dropped end");
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// Copies the files of an index that are chosen into a store's folder.
fn put_index(from: &Path, store: &Path, chosen: &mut dyn FnMut() -> bool) {
    let to = store.join("index");
    if from.is_dir() {
        put_files(from, &to, chosen);
    }
}

fn put_files(from: &Path, to: &Path, chosen: &mut dyn FnMut() -> bool) {
    std::fs::create_dir_all(to).expect("there is room");
    for entry in std::fs::read_dir(from).expect("it can be listed") {
        let entry = entry.expect("it can be listed");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("it has a type").is_dir() {
            true => put_files(&entry.path(), &target, chosen),
            false if chosen() => drop(std::fs::copy(entry.path(), target).expect("it can be copied")),
            false => {}
        }
    }
}
