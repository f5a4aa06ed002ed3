//! The one thread that judges and writes: it takes all batches that wait, judges one after the other, appends
//! them as one group, syncs once, makes them visible, and answers.

use super::Settings;
use super::batch::{Ack, Batch, Refused};
use super::dedup::{Remembered, RequestIds};
use super::effect::{Around, Memo, write_effect};
use super::fold::index::IndexWriter;
use super::fold::{Dirty, Fold, Folded};
use super::judge::judge;
use super::state::Component;
use super::sweep::{Asked, Sweeper, Swept};
use super::tree::child::Loader;
use crate::background;
use crate::clock::{self, Clock};
use crate::domain::name::ComponentName;
use crate::domain::time::Time;
use crate::planted::{self, Bug};
use crate::store::{Commit, Committed, Position, Record, StoreError};
use arc_swap::{ArcSwap, ArcSwapOption};
use imbl::OrdMap;
use std::iter::Peekable;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Batches in one group, at most.
const GROUP_BATCHES_MAX: usize = 1_024;
/// Bytes of records after which a group is written though more batches wait.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// How long a batch waits for folding that is behind before it is refused.
const FOLD_WAIT: Duration = Duration::from_millis(5_000);
/// How long nothing is folded after a fold that failed.
const FOLD_PAUSE: Duration = Duration::from_millis(1_000);

/// Every component there is.
pub type State = OrdMap<ComponentName, Arc<Component>>;

/// What the committer and its callers share.
pub struct Shared {
    /// What is committed: synced, and visible.
    pub state: ArcSwap<State>,
    /// The folds that the state knows of hold everything through this position.
    pub folded: AtomicU64,
    /// What is remembered of request ids.
    pub ids: Mutex<RequestIds>,
    /// Reads children.
    pub loader: Arc<Loader>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Sizes and bounds.
    pub settings: Settings,
    /// Why nothing is written any more, where the disk failed.
    pub poisoned: ArcSwapOption<String>,
}

impl Shared {
    /// Whether a request id is remembered.
    pub fn remembers(&self, fingerprint: &[u8; 16]) -> bool {
        self.ids.lock().expect("no holder of the ids panics").get(fingerprint).is_some()
    }
}

/// What the committer is asked.
pub enum Ask {
    /// Judge and write.
    Write(Box<Batch>, Option<Memo>, oneshot::Sender<Result<Ack, Refused>>),
    /// Whether a request id is remembered, once every batch handed in before has been judged, and written.
    Remembers([u8; 16], oneshot::Sender<Result<bool, Refused>>),
    /// Answer when everything recorded at or before this time is visible; nothing will be recorded at it any more.
    Barrier(Time, oneshot::Sender<()>),
    /// Sweep the fold files.
    Sweep(oneshot::Sender<Result<Swept, StoreError>>),
    /// Fold everything committed.
    Fold(oneshot::Sender<Result<(), StoreError>>),
    /// A fold has ended: take its result over.
    Wake,
    /// Fold, close the store, and end.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// The committer.
pub struct Committer {
    shared: Arc<Shared>,
    asks: mpsc::Receiver<Ask>,
    wake: mpsc::WeakSender<Ask>,
    last_position: Position,
    last_record_time: Time,
    /// What is not folded yet.
    dirty: Dirty,
    memtable_bytes: usize,
    folding: Option<Receiver<Folded>>,
    /// Whether the committer waits for the fold.
    is_awaited: Arc<AtomicBool>,
    /// When the last fold failed, and why, where it did.
    fold_failed: Option<(Instant, StoreError)>,
    folded: Position,
    /// A component is damaged: the log keeps everything, nothing is folded, until a restart finds it whole.
    damaged: Option<StoreError>,
    /// None: it has ended.
    sweeper: Option<Sweeper>,
}

/// A batch of a group, judged.
struct Taken {
    reply: oneshot::Sender<Result<Ack, Refused>>,
    answer: Result<Ack, Refused>,
}

/// Whether an id is remembered, as it was asked among the batches of a group.
struct LookedUp {
    fingerprint: [u8; 16],
    reply: oneshot::Sender<Result<bool, Refused>>,
    answer: Result<bool, Refused>,
}

/// A group that is being put together.
#[derive(Default)]
struct Group {
    /// Why the memtable may not grow, where it may not.
    no_room: Option<Refused>,
    taken: Vec<Taken>,
    looked_up: Vec<LookedUp>,
    commits: Vec<Commit>,
    remembered: Vec<[u8; 16]>,
    dirty: Dirty,
    bytes_added: usize,
    bytes: usize,
    replaced_nodes: Vec<u64>,
}

impl Committer {
    /// A committer of what was opened. `last_record_time`: recorded time never goes back behind it.
    pub fn new(
        shared: Arc<Shared>,
        asks: mpsc::Receiver<Ask>,
        wake: mpsc::WeakSender<Ask>,
        opened: super::open::Opened,
        sweeper: Sweeper,
    ) -> Committer {
        Committer {
            shared,
            asks,
            wake,
            last_position: opened.last_position,
            last_record_time: opened.last_record_time,
            dirty: opened.dirty,
            memtable_bytes: opened.memtable_bytes,
            folding: None,
            is_awaited: Arc::default(),
            fold_failed: None,
            folded: opened.folded,
            damaged: opened.damaged,
            sweeper: Some(sweeper),
        }
    }

    /// Works until it is asked to close, or nobody can ask any more.
    pub fn run(mut self) {
        while let Some(first) = self.asks.blocking_recv() {
            let mut asks = vec![first];
            while asks.len() < GROUP_BATCHES_MAX
                && let Ok(ask) = self.asks.try_recv()
            {
                asks.push(ask);
            }
            self.take_over_fold(Duration::ZERO);
            let mut asks = asks.into_iter().peekable();
            while asks.peek().is_some() {
                if let Some(Ask::Close(reply)) = self.serve(&mut asks) {
                    let closed = self.close();
                    let shared = self.shared.clone();
                    drop(self);
                    drop(shared);
                    let _ = reply.send(closed);
                    return;
                }
            }
            self.fold_where_due();
        }
    }

    /// Serves asks until the group is full, they end, or something other than a batch is asked.
    fn serve(&mut self, asks: &mut Peekable<impl Iterator<Item = Ask>>) -> Option<Ask> {
        // Before the state is taken that the group goes on from: a fold taken over meanwhile changes it.
        let no_room = match asks.peek() {
            Some(Ask::Write(..) | Ask::Remembers(..)) => self.wait_for_room().err(),
            _ => None,
        };
        let mut group = Group { no_room, ..Group::default() };
        let mut working = State::clone(&self.shared.state.load());
        let mut after = None;
        for ask in asks {
            match ask {
                Ask::Write(mut batch, memo, reply) => {
                    let answer = self.judge(&mut batch, memo, &mut working, &mut group);
                    group.taken.push(Taken { reply, answer });
                }
                Ask::Remembers(fingerprint, reply) => {
                    let answer = Ok(self.shared.remembers(&fingerprint));
                    group.looked_up.push(LookedUp { fingerprint, reply, answer });
                }
                other => {
                    after = Some(other);
                    break;
                }
            }
            if group.bytes > GROUP_BYTES_MAX {
                break;
            }
        }
        self.write(group, working);
        match after? {
            Ask::Barrier(time, reply) => {
                self.last_record_time = self.last_record_time.max(time.next());
                let _ = reply.send(());
                None
            }
            Ask::Fold(reply) => {
                let _ = reply.send(self.fold_now());
                None
            }
            Ask::Sweep(reply) => {
                self.tell_sweeper(Asked::Sweep(reply));
                None
            }
            Ask::Write(..) | Ask::Remembers(..) | Ask::Wake => None,
            close @ Ask::Close(_) => Some(close),
        }
    }

    /// Judges a batch against what the group has come to so far.
    fn judge(
        &mut self,
        batch: &mut Batch,
        memo: Option<Memo>,
        working: &mut State,
        group: &mut Group,
    ) -> Result<Ack, Refused> {
        let existing = working.get(&batch.component).cloned();
        if let Some(error) = existing.as_ref().and_then(|component| component.damaged.clone()) {
            return Err(error.into());
        }
        let component = existing.unwrap_or_else(|| Arc::new(Component::new(batch.component.clone())));
        if let Some(memo) = &memo
            && !planted::is(Bug::SkipDedup)
            && let Some(answer) = self.replay(batch, memo, &component)
        {
            return answer;
        }
        if let Some(cause) = &*self.shared.poisoned.load() {
            return Err(StoreError::Poisoned { cause: cause.to_string() }.into());
        }
        if let Some(refused) = &group.no_room {
            return Err(refused.clone());
        }
        let record_time = self.shared.clock.now().max(self.last_record_time);
        if memo.is_some() {
            component.check_ids(record_time, self.shared.settings.request_id_nanos_min)?;
        }
        self.check_ids(memo.is_some() && !batch.validate_only, record_time)?;
        // Of a batch that is refused, or only looked at, nothing was replaced.
        let mut replaced_nodes = Vec::new();
        let mut around = Around {
            settings: &self.shared.settings,
            loader: &self.shared.loader,
            replaced_nodes: &mut replaced_nodes,
            bytes_added: 0,
        };
        let judged = judge(&component, batch, memo, record_time, &mut around)?;
        let bytes_added = around.bytes_added;
        if batch.validate_only || (!judged.effect.changes() && judged.effect.memo.is_none()) {
            return Ok(judged.ack);
        }
        self.last_record_time = record_time;
        group.bytes_added += bytes_added;
        group.replaced_nodes.append(&mut replaced_nodes);
        group.add(&component, &judged, record_time);
        if let Some(memo) = &judged.effect.memo {
            let remembered = remembered(memo, &judged.ack, record_time);
            self.shared.ids.lock().expect("no holder of the ids panics").insert(memo.fingerprint, &remembered);
            group.dirty.ids.push((batch.component.clone(), memo.fingerprint, remembered));
            group.remembered.push(memo.fingerprint);
        }
        group.dirty.note(&judged.effect, &component);
        working.insert(batch.component.clone(), Arc::new(judged.next));
        Ok(judged.ack)
    }

    /// The first answer, where the id is remembered.
    fn replay(&self, batch: &Batch, memo: &Memo, component: &Component) -> Option<Result<Ack, Refused>> {
        let ids = self.shared.ids.lock().expect("no holder of the ids panics");
        let first = ids.get(&memo.fingerprint)?;
        let named = super::dedup::metrics_of(&batch.change);
        let made_again = named
            .iter()
            .zip(&first.metrics)
            .any(|(name, id)| component.metrics.get(*name).is_some_and(|metric| metric.id != *id));
        if !first.is_of(&memo.body) || made_again {
            return Some(Err(Refused::RequestIdReused));
        }
        let [accepted, unchanged, corrected] = first.counts;
        Some(Ok(Ack { revision: first.revision, accepted, unchanged, corrected, replayed: true, definition: None }))
    }

    fn check_ids(&self, wanted: bool, now: Time) -> Result<(), Refused> {
        if !wanted {
            return Ok(());
        }
        let mut ids = self.shared.ids.lock().expect("no holder of the ids panics");
        if ids.has_room(now) {
            return Ok(());
        }
        Err(Refused::RequestIdsFull { retry_after_nanos: ids.room_in_nanos(now) })
    }

    /// Appends and syncs the group, makes it visible, answers.
    fn write(&mut self, mut group: Group, mut working: State) {
        if planted::is(Bug::AcknowledgeBeforeSync) {
            group.taken.drain(..).for_each(|taken| drop(taken.reply.send(taken.answer)));
        }
        if !group.commits.is_empty() {
            match self.shared.loader.store().commit(&group.commits) {
                Ok(committed) => {
                    for (commit, done) in group.commits.iter().zip(committed) {
                        let Committed::Done(positions) = done else { unreachable!("an embedded store loses no race") };
                        let last = positions.last().copied().unwrap_or(self.last_position);
                        self.last_position = self.last_position.max(last);
                        if let Some(component) = working.get_mut(&commit.component) {
                            Arc::make_mut(component).position = last;
                        }
                    }
                    self.shared.state.store(Arc::new(working));
                    self.dirty.merge(std::mem::take(&mut group.dirty));
                    self.dirty.replaced_nodes.append(&mut group.replaced_nodes);
                    self.memtable_bytes += group.bytes_added;
                }
                Err(error) => self.fail(&mut group, error),
            }
        }
        for taken in group.taken {
            let _ = taken.reply.send(taken.answer);
        }
        for looked_up in group.looked_up {
            let _ = looked_up.reply.send(looked_up.answer);
        }
    }

    /// Nothing of the group happened. Answers that rest on it are refusals too.
    fn fail(&mut self, group: &mut Group, error: StoreError) {
        tracing::warn!(%error, "a group of batches could not be written");
        if !matches!(error, StoreError::Full { .. }) {
            self.shared.poisoned.store(Some(Arc::new(error.to_string())));
        }
        let mut ids = self.shared.ids.lock().expect("no holder of the ids panics");
        group.remembered.iter().for_each(|fingerprint| ids.remove(fingerprint));
        group.taken.iter_mut().for_each(|taken| taken.answer = Err(error.clone().into()));
        let forgotten = |looked_up: &&mut LookedUp| group.remembered.contains(&looked_up.fingerprint);
        group.looked_up.iter_mut().filter(forgotten).for_each(|looked_up| looked_up.answer = Err(error.clone().into()));
    }

    // ---- folding ----

    /// Whether the memtable may grow; waits a while for folds where it may not.
    fn wait_for_room(&mut self) -> Result<(), Refused> {
        let bound = self.shared.settings.memtable_bytes_max.saturating_mul(2);
        let until = clock::instant() + FOLD_WAIT;
        while self.memtable_bytes > bound {
            self.fold_where_due();
            let left = until.saturating_duration_since(clock::instant());
            if self.folding.is_none() || left.is_zero() {
                let failed = self.fold_failed.as_ref().map(|(_, error)| error);
                return match self.damaged.as_ref().or(failed) {
                    Some(error) => Err(error.clone().into()),
                    None => Err(Refused::Behind { retry_after_nanos: FOLD_WAIT.as_nanos() as i64 }),
                };
            }
            self.take_over_fold(left);
        }
        Ok(())
    }

    fn fold_where_due(&mut self) {
        let settings = &self.shared.settings;
        let due = self.memtable_bytes > settings.memtable_bytes_max
            || self.shared.loader.store().log_bytes() > settings.unfolded_bytes_max;
        let paused = self.fold_failed.as_ref().is_some_and(|(at, _)| clock::instant().duration_since(*at) < FOLD_PAUSE);
        if due && !paused && self.damaged.is_none() && self.folding.is_none() && self.last_position > self.folded {
            self.start_fold();
        }
    }

    fn start_fold(&mut self) {
        let fold = Fold {
            state: State::clone(&self.shared.state.load()),
            dirty: std::mem::take(&mut self.dirty),
            through: self.last_position,
            memtable_bytes: std::mem::take(&mut self.memtable_bytes),
            is_awaited: self.is_awaited.clone(),
        };
        let (shared, wake) = (self.shared.clone(), self.wake.clone());
        let (done, folding) = std::sync::mpsc::channel();
        self.folding = Some(folding);
        let spawned = background::spawn("folder", move || {
            let folded = fold.run(&shared.loader, &shared.settings);
            drop(shared);
            let _ = done.send(folded);
            if let Some(wake) = wake.upgrade() {
                let _ = wake.try_send(Ask::Wake);
            }
        });
        spawned.expect("there are threads");
    }

    /// Waits for a fold, which is told so meanwhile.
    fn awaiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.is_awaited.store(true, Ordering::Relaxed);
        let folded = wait();
        self.is_awaited.store(false, Ordering::Relaxed);
        folded
    }

    /// Takes a fold's result over, where one ends within `wait`.
    fn take_over_fold(&mut self, wait: Duration) {
        let Some(folding) = &self.folding else { return };
        let folded = match self.awaiting(|| folding.recv_timeout(wait)) {
            Ok(folded) => folded,
            Err(RecvTimeoutError::Timeout) => return,
            Err(RecvTimeoutError::Disconnected) => {
                // The fold's thread panicked; what it was to fold is in the log still.
                self.shared.poisoned.store(Some(Arc::new("folding failed; restart to recover".to_string())));
                self.folding = None;
                return;
            }
        };
        self.folding = None;
        self.fold_failed = self.finish_fold(folded).err().map(|error| {
            tracing::warn!(%error, "a fold failed; it will be tried again");
            (clock::instant(), error)
        });
    }

    fn finish_fold(&mut self, folded: Folded) -> Result<(), StoreError> {
        match folded {
            Folded::Done(done) => {
                let mut state = State::clone(&self.shared.state.load());
                done.take_over(&mut state);
                self.shared.state.store(Arc::new(state));
                self.folded = done.through;
                self.shared.folded.store(done.through.0, Ordering::Release);
                if let Some(error) = done.index_error {
                    self.shared.poisoned.store(Some(Arc::new(error.to_string())));
                    return Err(error);
                }
                self.tell_sweeper(Asked::Folded(done.replaced_nodes));
                self.shared.loader.store().trim(done.through)
            }
            Folded::Failed { error, dirty, memtable_bytes } => {
                if let StoreError::Poisoned { cause } = &error {
                    // Nothing can be folded until a restart: writing ends now, not when the memtable is full.
                    self.shared.poisoned.store(Some(Arc::new(cause.clone())));
                }
                let later = std::mem::replace(&mut self.dirty, dirty);
                self.dirty.merge(later);
                self.memtable_bytes += memtable_bytes;
                Err(error)
            }
        }
    }

    fn tell_sweeper(&self, asked: Asked) {
        if let Some(sweeper) = &self.sweeper {
            sweeper.tell(asked);
        }
    }

    /// Folds everything committed, and waits for it.
    fn fold_now(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &self.damaged {
            return Err(error.clone());
        }
        while let Some(folding) = self.folding.take() {
            match self.awaiting(|| folding.recv()) {
                Ok(folded) => self.finish_fold(folded)?,
                Err(_) => return Err(StoreError::Poisoned { cause: "folding failed".to_string() }),
            }
        }
        if self.last_position == self.folded {
            return Ok(());
        }
        self.start_fold();
        self.fold_now_after_start()
    }

    fn fold_now_after_start(&mut self) -> Result<(), StoreError> {
        let folding = self.folding.take().expect("a fold was just started");
        match self.awaiting(|| folding.recv()) {
            Ok(folded) => self.finish_fold(folded),
            Err(_) => Err(StoreError::Poisoned { cause: "folding failed".to_string() }),
        }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.asks.close();
        if self.shared.poisoned.load().is_some() || self.damaged.is_some() {
            // Everything is in the log; the index is not marked as closed, and built anew.
            return Ok(());
        }
        match self.fold_now() {
            Err(error @ StoreError::Full { .. }) => {
                tracing::warn!(%error, "what is not folded stays in the log; the next start takes longer");
                return Ok(());
            }
            folded => folded?,
        }
        self.sweeper = None;
        self.write_pages()?;
        self.shared.loader.store().close(self.folded)
    }

    /// The index's pages, all of which is stored: the next opening reads them.
    fn write_pages(&self) -> Result<(), StoreError> {
        let behind = std::mem::take(&mut *self.shared.loader.hold_publishing());
        let state = self.shared.state.load();
        let mut index = IndexWriter::new(&self.shared.loader);
        for (name, pages) in &behind {
            if let Some(component) = state.get(name) {
                index.pages(component, pages)?;
            }
        }
        index.write()
    }
}

impl Group {
    fn add(&mut self, component: &Arc<Component>, judged: &super::judge::Judged, record_time: Time) {
        let (series, body) = write_effect(&judged.effect);
        self.bytes += series.len() + body.len();
        let record = Record {
            component: component.name.clone(),
            record_time,
            revision: judged.ack.revision,
            counts: [judged.ack.accepted, judged.ack.unchanged, judged.ack.corrected],
            series: series.into(),
            body: body.into(),
        };
        match self.commits.iter_mut().find(|commit| commit.component == component.name) {
            Some(commit) => commit.records.push(record),
            None => self.commits.push(Commit {
                component: component.name.clone(),
                judged_at: component.position,
                records: vec![record],
            }),
        }
    }
}

/// What is remembered of an answer.
pub fn remembered(memo: &Memo, ack: &Ack, record_time: Time) -> Remembered {
    Remembered {
        body: memo.body,
        metrics: memo.metrics.clone(),
        revision: ack.revision,
        counts: [ack.accepted, ack.unchanged, ack.corrected],
        record_time,
    }
}
