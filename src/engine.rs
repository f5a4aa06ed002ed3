//! Open, write, read, close: what is counted, kept exactly and at every revision.
//!
//! `batch` is what goes in, `view` what comes out. The engine never sees a protobuf type.

pub mod batch;
pub mod view;

use crate::clock::Clock;
use crate::domain::name::ComponentName;
use crate::domain::time::Time;
use crate::store::{Store, StoreError};
use batch::{Ack, Batch, Refused};
use std::sync::Arc;
use view::View;

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
    /// Bytes of changed blocks in memory that start a fold.
    pub memtable_bytes_max: usize,
    /// Bytes of log not yet folded that start a fold.
    pub unfolded_bytes_max: u64,
    /// Request ids that are remembered, at most.
    pub request_ids_max: usize,
    /// How long a request id is remembered at least, in nanoseconds.
    pub request_id_nanos_min: i64,
    /// Decoded blocks and nodes that are cached, in bytes.
    pub cache_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            block_points_max: 4_096,
            tail_points_min: 512,
            node_children_max: 64,
            page_points_max: 64,
            memtable_bytes_max: 256 << 20,
            unfolded_bytes_max: 256 << 20,
            request_ids_max: 4_000_000,
            request_id_nanos_min: 24 * 3_600 * 1_000_000_000,
            cache_bytes_max: 256 << 20,
        }
    }
}

/// The engine. Cloning it is cheap: all clones are the same engine.
#[derive(Clone)]
pub struct Engine;

impl Engine {
    /// Opens what `store` holds: loads the directory of series, replays the log, starts the committer.
    pub fn open(_store: Arc<dyn Store>, _clock: Arc<dyn Clock>, _settings: Settings) -> Result<Engine, StoreError> {
        todo!()
    }

    /// Judges and writes a batch, all of it or none. `Ok` means: on stable storage and visible.
    pub async fn write(&self, _batch: Batch) -> Result<Ack, Refused> {
        todo!()
    }

    /// A component at one revision. An unknown component is empty, at revision 0. `Recorded` waits for changes
    /// that are being recorded.
    pub async fn view(&self, _component: &ComponentName, _as_of: AsOf) -> Result<View, ViewError> {
        todo!()
    }

    /// All components that have, or had, a metric, by name.
    pub fn components(&self) -> Vec<ComponentName> {
        todo!()
    }

    /// Whether a request id is remembered: its retry is judged before any other check.
    pub fn remembers(&self, _component: &ComponentName, _who: &str, _request_id: &str) -> bool {
        todo!()
    }

    /// Folds everything committed so far into the store. For tests and closing; otherwise the engine decides.
    pub async fn fold(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// Why writes are refused, where the disk failed.
    pub fn poisoned(&self) -> Option<String> {
        todo!()
    }

    /// Finishes what was taken, folds, marks the index clean. Writes after it are refused.
    pub async fn close(&self) -> Result<(), StoreError> {
        todo!()
    }
}
