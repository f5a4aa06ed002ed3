//! The sweep: fold files of which a good part is dead are written anew without it, in the background, so that what is
//! kept takes up little more than what lives, however long is written.
//!
//! It is due when the folds have grown by a part of what lived when it last ended, so that it costs a constant factor of
//! what is written. What is dead is what an opening would leave out ([`dead`]). It goes once nobody reads a state any
//! more in which it lived ([`super::readers`]). What is dead stays dead, so folds are written meanwhile; a crash leaves
//! the file as it was, or the new one, which says the same. The index is written anew in the same way ([`index`]).

pub mod dead;
mod index;

use super::committer::Shared;
use super::dedup;
use super::readers::{Epoch, Readers};
use super::tree::child::node_key;
use crate::background;
use crate::planted::{self, Bug};
use crate::store::{Anew, Position, StoreError};
use dead::Dead;
use index::Marked;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// A file is written anew where this part of it is dead at least: so afterwards all files together are at most 1.2 times
/// what lives.
const DEAD_PART: u64 = 6;
/// The sweep is due when the folds are this many tenths of what lived, and have grown by `GROWN_PART` of it.
const DUE_TENTHS: u64 = 14;
/// See `DUE_TENTHS`: so that what cannot be helped, as the ends of many small files, is not looked at at every fold.
const GROWN_PART: u64 = 8;
/// The index is written anew where it takes more than this for each byte of entries that are wanted: sled takes 1.8 in a
/// fresh one.
const INDEX_PER_BYTE: u64 = 3;
/// How often it is looked whether readers have left.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What the sweeper is told.
pub enum Asked {
    /// A fold was taken over. Nothing in the newest trees refers to these nodes of the index.
    Folded(Vec<u64>),
    /// Sweep now, whether it is due or not, and say what came of it.
    Sweep(oneshot::Sender<Result<Swept, StoreError>>),
}

/// What a sweep came to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Swept {
    /// It looked at the folds through this position.
    pub through: Position,
    /// Files that were written anew.
    pub files: u64,
    /// Bytes of the fold files before it.
    pub before: u64,
    /// Bytes of these fold files after it.
    pub after: u64,
    /// Bytes of what lived when it began.
    pub living: u64,
    /// Bytes of the index after it.
    pub index: u64,
}

/// The sweeper's thread. Dropping it ends the thread, before its time where it is at work.
pub struct Sweeper {
    asked: Option<Sender<Asked>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Starts it.
    pub fn start(shared: Arc<Shared>) -> Result<Sweeper, StoreError> {
        let (asked, asks) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let last = Swept::default();
        let mut sweeping = Sweeping {
            shared,
            asks,
            stop: stop.clone(),
            last,
            index_bytes: 0,
            waiting: Vec::new(),
            garbage: VecDeque::new(),
        };
        let thread = background::spawn("sweeper", move || sweeping.run());
        let thread = thread.map_err(|e| StoreError::Io {
            operation: "spawn",
            file: "the sweeper's thread".to_string(),
            cause: e.to_string(),
        })?;
        Ok(Sweeper { asked: Some(asked), stop, thread: Some(thread) })
    }

    /// Tells it something. It takes its time.
    pub fn tell(&self, asked: Asked) {
        if let Some(to) = &self.asked {
            // One that has ended after a panic cleans up no more.
            let _ = to.send(asked);
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.asked = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sweep panicked: fold files were not written anew any more");
        }
    }
}

/// At work.
struct Sweeping {
    shared: Arc<Shared>,
    asks: Receiver<Asked>,
    stop: Arc<AtomicBool>,
    /// What the last sweep came to.
    last: Swept,
    /// What the index took when it was last looked at, or written anew.
    index_bytes: u64,
    /// Who wants to be told of a sweep that begins from now on.
    waiting: Vec<oneshot::Sender<Result<Swept, StoreError>>>,
    /// Nodes of the index, and the epoch after which nobody refers to them.
    garbage: VecDeque<(Epoch, Vec<u64>)>,
}

/// It was told to stop.
struct Stopped;

impl Sweeping {
    fn run(&mut self) {
        while let Ok(asked) = self.asks.recv() {
            self.take(asked);
            self.drop_garbage();
            while !self.is_stopped() && (!self.waiting.is_empty() || self.is_due() || self.is_index_due()) {
                let waiting = std::mem::take(&mut self.waiting);
                match self.work(!waiting.is_empty()) {
                    Ok(Some(swept)) => waiting.into_iter().for_each(|reply| drop(reply.send(Ok(swept)))),
                    Ok(None) => return,
                    Err(error) => {
                        self.failed(&error);
                        self.waiting.extend(waiting);
                        self.refuse(&error);
                        break;
                    }
                }
            }
            if let Some(cause) = &*self.shared.poisoned.load() {
                self.refuse(&StoreError::Poisoned { cause: cause.to_string() });
            }
        }
    }

    /// Whoever waits is told why nothing comes of it.
    fn refuse(&mut self, error: &StoreError) {
        self.waiting.drain(..).for_each(|reply| drop(reply.send(Err(error.clone()))));
    }

    /// What is due, or all of it where it is `asked` for. None: it was stopped.
    fn work(&mut self, asked: bool) -> Result<Option<Swept>, StoreError> {
        if asked || self.is_due() {
            let Some(swept) = self.sweep()? else { return Ok(None) };
            self.last = swept;
        }
        if asked || self.is_index_due() {
            let before = self.shared.loader.store().index_bytes();
            // Where it fails too: not at every fold.
            self.index_bytes = before;
            if self.write_index_anew(asked, before)?.is_none() {
                return Ok(None);
            }
            self.index_bytes = self.shared.loader.store().index_bytes();
        }
        Ok(Some(Swept { index: self.index_bytes, ..self.last }))
    }

    fn take(&mut self, asked: Asked) {
        match asked {
            Asked::Folded(nodes) => self.garbage.push_back((self.shared.loader.readers().end_epoch(), nodes)),
            Asked::Sweep(reply) => self.waiting.push(reply),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.shared.poisoned.load().is_some()
    }

    fn is_due(&self) -> bool {
        let Swept { through, living, after, .. } = self.last;
        let grown = (living / GROWN_PART).max(self.shared.settings.sweep_bytes_min);
        let bytes = after.saturating_add(grown).max(living / 10 * DUE_TENTHS);
        self.folded() > through && self.shared.loader.store().fold_bytes() > bytes
    }

    fn is_index_due(&self) -> bool {
        let grown = self.index_bytes.max(self.shared.settings.sweep_bytes_min);
        self.shared.loader.store().index_bytes() > self.index_bytes.saturating_add(grown)
    }

    /// The newest state knows the folds through this to be stored.
    fn folded(&self) -> Position {
        Position(self.shared.folded.load(Ordering::Acquire))
    }

    /// It is tried again after the next fold.
    fn failed(&self, error: &StoreError) {
        tracing::warn!(%error, "the fold files were not swept; it will be tried again");
        if let StoreError::Poisoned { cause } = error {
            self.shared.poisoned.store(Some(Arc::new(cause.clone())));
        }
    }

    /// Until something is so; looks after everything else meanwhile.
    fn wait_until(&mut self, is_so: impl Fn(&Shared) -> bool) -> Result<(), Stopped> {
        while !is_so(&self.shared) {
            match self.asks.recv_timeout(LOOK_EVERY) {
                Ok(asked) => self.take(asked),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Stopped),
            }
            if self.is_stopped() {
                return Err(Stopped);
            }
            self.drop_garbage();
        }
        Ok(())
    }

    /// None: it was stopped.
    fn sweep(&mut self) -> Result<Option<Swept>, StoreError> {
        let store = self.shared.loader.store().clone();
        let readers = self.shared.loader.readers().clone();
        // First this, and then: whoever takes a state from now on takes one that knows these folds.
        let through = self.folded();
        let before = readers.end_epoch();
        let bytes = store.fold_bytes();
        let now = self.shared.clock.now();
        // Out of memory first, so that what is remembered is in the files.
        self.shared.ids.lock().expect("no holder of the ids panics").forget(now);
        let dead = Dead::find(&*store, through, dedup::oldest(now, self.shared.settings.request_id_nanos_min))?;
        let mut swept = Swept { through, files: 0, before: bytes, after: bytes, living: dead.living(), index: 0 };
        let worth = dead.folds.iter().filter(|(_, share)| share.dead * DEAD_PART >= share.all && share.dead > 0);
        let folds: Vec<Position> = worth.map(|(fold, _)| *fold).collect();
        if !folds.is_empty() && !planted::is(Bug::SweepUnderViews) {
            let left = self.wait_until(|shared| shared.loader.readers().have_left(before));
            if left.is_err() {
                return Ok(None);
            }
        }
        for fold in folds {
            let Some(going) = self.take_away(&readers) else { return Ok(None) };
            let written = store.write_anew(fold, &mut |line, at| match self.stop.load(Ordering::Relaxed) {
                true => Ok(Anew::Stop),
                false => dead.fate(&*store, line, at),
            });
            drop(going);
            match written {
                Ok(true) => {
                    swept.files += 1;
                    swept.after -= dead.folds[&fold].dead;
                }
                Ok(false) => return Ok(None),
                Err(error @ StoreError::Damaged { .. }) => tracing::warn!(%error, "a fold file stays as it is"),
                Err(error) => return Err(error),
            }
        }
        let Swept { files, before, after, living, .. } = swept;
        tracing::info!(files, before, after, living, "the fold files were swept");
        Ok(Some(swept))
    }

    /// Waits until something may be taken away. None: it was stopped.
    fn take_away<'r>(&mut self, readers: &'r Readers) -> Option<RwLockWriteGuard<'r, ()>> {
        loop {
            if let Some(going) = readers.try_take_away() {
                return Some(going);
            }
            self.wait_until(|shared| shared.loader.readers().try_take_away().is_some()).ok()?;
        }
    }

    /// Where a good part of the index is not wanted any more, or it is `asked` for. None: it was stopped.
    fn write_index_anew(&mut self, asked: bool, before: u64) -> Result<Option<()>, StoreError> {
        let loader = self.shared.loader.clone();
        let stop = self.stop.clone();
        let stops = move || stop.load(Ordering::Relaxed);
        let Some(marked) = Marked::now(&self.shared, &stops)? else { return Ok(None) };
        let least = marked.bytes.saturating_mul(INDEX_PER_BYTE).saturating_add(self.shared.settings.sweep_bytes_min);
        if before <= least && !asked {
            return Ok(Some(()));
        }
        if self.wait_until(|shared| shared.loader.readers().have_left(marked.epoch)).is_err() {
            return Ok(None);
        }
        let Some(_going) = self.take_away(loader.readers()) else { return Ok(None) };
        // Folds wait with their entries.
        let _alone = loader.hold_publishing();
        let written = loader.store().write_index_anew(&mut |key| (!stops()).then(|| marked.keeps(key)))?;
        let (after, wanted) = (loader.store().index_bytes(), marked.bytes);
        if written {
            tracing::info!(before, after, wanted, "the index was written anew");
        }
        Ok((!stops()).then_some(()))
    }

    /// Removes nodes of the index that nobody can refer to any more.
    fn drop_garbage(&mut self) {
        let readers = self.shared.loader.readers().clone();
        let Some(_going) = readers.try_take_away() else { return };
        let mut entries = Vec::new();
        while self.garbage.front().is_some_and(|(epoch, _)| readers.have_left(*epoch)) {
            let (_, nodes) = self.garbage.pop_front().expect("there is a front");
            entries.extend(nodes.into_iter().map(|id| (node_key(id), None)));
        }
        if let Err(error) = self.shared.loader.store().write_index(entries) {
            tracing::warn!(%error, "replaced nodes stay in the index");
        }
    }
}
