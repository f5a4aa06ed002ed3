//! Open, write, read, close: what is counted, kept exactly and at every revision.
//!
//! `batch` is what goes in, `view` what comes out. The engine never sees a protobuf type.

pub mod batch;
mod block;
mod changes;
mod codec;
mod committer;
mod dedup;
mod definition_codec;
mod effect;
mod fold;
#[cfg(feature = "planted")]
pub mod formats;
mod history;
mod judge;
mod lost;
mod open;
mod readers;
pub mod repair;
mod replay;
mod standing;
mod state;
pub mod sweep;
mod torn;
mod tree;
pub mod verify;
pub mod view;

use crate::clock::Clock;
use crate::domain::name::ComponentName;
use crate::domain::time::Time;
use crate::store::{Store, StoreError};
use arc_swap::{ArcSwap, ArcSwapOption};
use batch::{Ack, Batch, Refused};
use committer::{Ask, Committer, Shared};
use dedup::RequestIds;
use state::Component;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use sweep::{Sweeper, Swept};
use tokio::sync::{mpsc, oneshot};
use tree::child::Loader;
use view::View;

/// Batches that wait for the committer, at most; more wait with their callers.
const ASKS_MAX: usize = 1_024;

/// What was known when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AsOf {
    /// What is known now.
    Now,
    /// At a revision of the component.
    Revision(i64),
    /// At a recorded time: the last revision recorded at or before it.
    Recorded(Time),
}

/// Why a view cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ViewError {
    /// Ask for an earlier one.
    #[error("revision {asked} is above the last one, {last}")]
    RevisionInFuture {
        /// What was asked.
        asked: i64,
        /// The component's last revision.
        last: i64,
    },
    /// Ask for an earlier one.
    #[error("recorded time {asked} is later than now, {now}")]
    TimeInFuture {
        /// What was asked.
        asked: Time,
        /// The server's clock.
        now: Time,
    },
    /// What is kept of the component is damaged. Others are served.
    #[error(transparent)]
    Damaged(StoreError),
    /// The engine is closed.
    #[error("the engine is closed")]
    Closed,
}

/// How the engine is tuned. Tests take small numbers, so that trees get deep with few points.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Points in a block, at most.
    pub block_points_max: usize,
    /// A stored last block shorter than this grows when points follow it; a longer one is left, and a new one begun.
    pub tail_points_min: usize,
    /// Children of a node, at most.
    pub node_children_max: usize,
    /// Points a series has, at most, to be kept whole in a page of its component's directory.
    pub page_points_max: usize,
    /// Bytes of changed blocks in memory, and 256 for each series of each batch, that start a fold.
    pub memtable_bytes_max: usize,
    /// Bytes of log not yet folded that start a fold.
    pub unfolded_bytes_max: u64,
    /// Request ids that are remembered, at most.
    pub request_ids_max: usize,
    /// How long a request id is remembered at least, in nanoseconds.
    pub request_id_nanos_min: i64,
    /// Decoded blocks and nodes that are cached, in bytes.
    pub cache_bytes_max: usize,
    /// Bytes that the fold files, or the index, grow by at least before it is looked what of them is dead.
    pub sweep_bytes_min: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            block_points_max: 5_120,
            tail_points_min: 512,
            node_children_max: 64,
            page_points_max: 64,
            memtable_bytes_max: 256 << 20,
            unfolded_bytes_max: 256 << 20,
            request_ids_max: 4_000_000,
            request_id_nanos_min: 24 * 3_600 * 1_000_000_000,
            cache_bytes_max: 256 << 20,
            sweep_bytes_min: 4 << 20,
        }
    }
}

/// The engine. Cloning it is cheap: all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    asks: mpsc::Sender<Ask>,
}

impl Engine {
    /// Opens what `store` holds: loads the directory of series, replays the log, starts the committer.
    pub fn open(store: Arc<dyn Store>, clock: Arc<dyn Clock>, settings: Settings) -> Result<Engine, StoreError> {
        assert!(settings.page_points_max < settings.block_points_max, "a page's series is shorter than a block");
        assert!(settings.node_children_max >= 2, "a node has several children");
        let loader = Arc::new(Loader::new(store, settings.cache_bytes_max));
        let mut opened = open::open(&loader, &settings, clock.now(), open::Unreadable::Waits)?;
        let shared = Arc::new(Shared {
            state: ArcSwap::from_pointee(std::mem::take(&mut opened.state)),
            folded: AtomicU64::new(opened.folded.0),
            ids: Mutex::new(std::mem::replace(&mut opened.ids, RequestIds::new(0, 0))),
            loader,
            clock,
            settings,
            poisoned: ArcSwapOption::empty(),
        });
        let (asks, waiting) = mpsc::channel(ASKS_MAX);
        let sweeper = Sweeper::start(shared.clone())?;
        let committer = Committer::new(shared.clone(), waiting, asks.downgrade(), opened, sweeper);
        std::thread::Builder::new().name("committer".to_string()).spawn(move || committer.run()).map_err(|e| {
            StoreError::Io { operation: "spawn", file: "the committer's thread".to_string(), cause: e.to_string() }
        })?;
        Ok(Engine { shared, asks })
    }

    /// Judges and writes a batch, all of it or none. `Ok` means: on stable storage and visible.
    pub async fn write(&self, batch: Batch) -> Result<Ack, Refused> {
        self.submit(batch).await?.await.unwrap_or(Err(Refused::Closing))
    }

    /// Hands a batch in and answers a future of what becomes of it: batches handed in one after the other are
    /// judged in that order, many in flight.
    pub async fn submit(&self, batch: Batch) -> Result<oneshot::Receiver<Result<Ack, Refused>>, Refused> {
        let memo = dedup::memo_of(&batch);
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Write(Box::new(batch), memo, reply)).await.map_err(|_| Refused::Closing)?;
        Ok(answer)
    }

    /// A component at one revision. An unknown component is empty, at revision 0. `Recorded` waits for changes
    /// that are being recorded.
    pub async fn view(&self, name: &ComponentName, as_of: AsOf) -> Result<View, ViewError> {
        let now = self.shared.clock.now();
        if let AsOf::Recorded(asked) = as_of {
            if asked > now {
                return Err(ViewError::TimeInFuture { asked, now });
            }
            let (reply, passed) = oneshot::channel();
            self.asks.send(Ask::Barrier(asked, reply)).await.map_err(|_| ViewError::Closed)?;
            passed.await.map_err(|_| ViewError::Closed)?;
        }
        let token = self.shared.loader.readers().enter();
        let component = self.shared.state.load().get(name).cloned();
        let component = component.unwrap_or_else(|| Arc::new(Component::new(name.clone())));
        if let Some(error) = &component.damaged {
            return Err(ViewError::Damaged(error.clone()));
        }
        let (revision, evaluate_time) = match as_of {
            AsOf::Now => (component.revision, now),
            AsOf::Recorded(asked) => (component.revision_at(asked).map_err(ViewError::Damaged)?, asked),
            AsOf::Revision(asked) if asked > component.revision => {
                return Err(ViewError::RevisionInFuture { asked, last: component.revision });
            }
            AsOf::Revision(asked) => {
                component.check_facts(asked).map_err(ViewError::Damaged)?;
                (asked, component.batch(asked).map_or(now, |facts| facts.record_time))
            }
        };
        Ok(View::new(component, revision, evaluate_time, self.shared.loader.clone(), token))
    }

    /// All components that have, or had, a metric, by name.
    pub fn components(&self) -> Vec<ComponentName> {
        self.shared.state.load().keys().cloned().collect()
    }

    /// The last revision of a component, and the time now, from before it was looked up. None: there is none, or it
    /// cannot be asked.
    pub fn revision(&self, name: &ComponentName) -> Option<(Time, i64)> {
        let now = self.shared.clock.now();
        let state = self.shared.state.load();
        let component = state.get(name).filter(|component| component.damaged.is_none())?;
        Some((now, component.revision))
    }

    /// The last revision of every component, as written a moment ago or since.
    pub fn revisions(&self) -> Vec<(ComponentName, i64)> {
        self.shared.state.load().iter().map(|(name, component)| (name.clone(), component.revision)).collect()
    }

    /// Whether a request id is remembered, by now. Its batch may be on its way still: see `remembers_then`.
    pub fn remembers(&self, component: &ComponentName, who: &str, request_id: &str) -> bool {
        let fingerprint = dedup::fingerprint(component, who, request_id);
        self.shared.remembers(&fingerprint)
    }

    /// Whether a request id is remembered, in the order of `submit`: as the batches handed in before leave it, those
    /// that are on their way included. The answer comes once they are written.
    pub async fn remembers_then(
        &self,
        component: &ComponentName,
        who: &str,
        request_id: &str,
    ) -> Result<oneshot::Receiver<Result<bool, Refused>>, Refused> {
        let fingerprint = dedup::fingerprint(component, who, request_id);
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Remembers(fingerprint, reply)).await.map_err(|_| Refused::Closing)?;
        Ok(answer)
    }

    /// Folds everything committed so far into the store. For tests and closing; otherwise the engine decides.
    pub async fn fold(&self) -> Result<(), StoreError> {
        let (reply, done) = oneshot::channel();
        self.asks.send(Ask::Fold(reply)).await.map_err(|_| closed())?;
        done.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Sweeps the fold files, whether that is due or not: answers once nobody holds a view any more that was taken
    /// before, and what is dead is gone. For tests; otherwise the engine decides.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        let (reply, done) = oneshot::channel();
        self.asks.send(Ask::Sweep(reply)).await.map_err(|_| closed())?;
        done.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Why writes are refused, where the disk failed.
    pub fn poisoned(&self) -> Option<String> {
        self.shared.poisoned.load().as_ref().map(|cause| cause.to_string())
    }

    /// How many blocks and nodes were read from the store so far: what growth is measured by.
    pub fn children_read(&self) -> u64 {
        self.shared.loader.reads()
    }

    /// Finishes what was taken, folds, marks the index clean. Writes after it are refused.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (reply, done) = oneshot::channel();
        if self.asks.send(Ask::Close(reply)).await.is_err() {
            return Ok(());
        }
        done.await.unwrap_or(Ok(()))
    }
}

fn closed() -> StoreError {
    StoreError::Poisoned { cause: "the engine is closed".to_string() }
}
