//! A batch is judged with the definitions that it was read with: they stay as they are from when a batch is read
//! until it stands in the engine's queue.
//!
//! Without it a metric could be deleted and made again, with other labels or another scale, in between.

use std::sync::Arc;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Many batches are read at once, or one definition changes. Fair: a change waits for the batches before it only.
#[derive(Clone, Debug, Default)]
pub struct DefinitionLock(Arc<RwLock<()>>);

impl DefinitionLock {
    /// Definitions stay as they are while this is held. Held for as long as a batch takes to be read.
    pub async fn stay(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read().await
    }

    /// A definition may change while this is held. Held until the change is acknowledged.
    pub async fn change(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.write().await
    }
}
