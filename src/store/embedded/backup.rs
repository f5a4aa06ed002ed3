//! A backup: the files of a store at one moment, copied while it goes on, into a directory that the next one adds to.
//!
//! ```text
//! TARGET/
//!   LOCK      one backup at a time is made here
//!   BACKUP    what belongs to the backup                                    manifest
//!   folds/    fold files, byte for byte; each generation is copied once, for it never changes
//!   log.7/    of backup 7: the segments of the log that its folds do not cover, each up to its last synced group
//! ```
//!
//! `BACKUP` is written last, in place of the one before, once everything that it names is on stable storage: whatever
//! happens before, the backup before is whole. It is written first of all, naming nothing, where the target is new: so
//! that a target belongs to one store from its first moment on.
//!
//! What is copied is checked with its own checksums, in what was written of it: damage is refused and named, never
//! carried into a backup. Bytes that the target has already are not copied again, so that a fold file that was damaged
//! since stays whole there.

pub mod copy;
pub mod manifest;
pub mod restore;
pub mod target;

use super::EmbeddedStore;
use super::folds::fold::Fold;
use crate::domain::name::ComponentName;
use crate::store::{Position, StoreError};
use copy::{Copying, copy_folds, copy_log};
use manifest::Manifest;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use target::Target;

/// What a backup came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BackedUp {
    /// The store's id.
    pub store: [u8; 16],
    /// How many backups were made into this target.
    pub number: u64,
    /// It holds every record up to this one.
    pub through: Position,
    /// Files copied, and their bytes.
    pub copied: Amount,
    /// Files that the target had, and their bytes.
    pub there: Amount,
    /// The last revision of each component that the log names; the folds know of the others.
    pub revisions: BTreeMap<ComponentName, i64>,
}

/// A number of files, and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Amount {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Amount {
    /// One more file.
    pub fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// Why there is no backup, or no restored store. What was there before is as it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BackupError {
    /// Wait for the other one.
    #[error("another backup is being made into {target}")]
    Busy {
        /// The directory.
        target: String,
    },
    /// Take another directory.
    #[error("{target} holds backups of another store, {found}; this one is {store}")]
    OtherStore {
        /// The directory.
        target: String,
        /// Whose it is.
        found: String,
        /// Who asked.
        store: String,
    },
    /// Take another directory, or an empty one.
    #[error("{target} is neither empty nor a backup: {name} is in it")]
    NotABackup {
        /// The directory.
        target: String,
        /// Something that is there.
        name: String,
    },
    /// Take a directory elsewhere.
    #[error("{target} is inside the data directory {dir}")]
    Inside {
        /// The directory.
        target: String,
        /// The data directory.
        dir: String,
    },
    /// There is no backup in it.
    #[error("{dir} holds no finished backup")]
    NoBackup {
        /// The directory.
        dir: String,
    },
    /// Take a directory that is not there, or is empty.
    #[error("{dir} is not empty: {name} is in it")]
    NotEmpty {
        /// The directory.
        dir: String,
        /// Something that is there.
        name: String,
    },
    /// Somebody stopped it. Begin again.
    #[error("it was stopped before its end")]
    Stopped,
    /// The files below.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Told of the bytes copied since it was last called. `Break` stops.
pub type Progress<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

impl EmbeddedStore {
    /// Copies the store as it is now into `target` (see the module), beside everything else that goes on. Everything
    /// acknowledged before the call is in it, and whole groups only. Memory: a segment of the log.
    pub fn back_up(&self, target: &Path, progress: &mut Progress) -> Result<BackedUp, BackupError> {
        let mut target = Target::open(&*self.disk, target, &self.dir, self.store)?;
        // The log first: what it lets go of before the folds are listed, they cover.
        let segments = self.log.segments();
        // What a later generation takes the place of stays while it is held here.
        let folds = self.folds.files();
        let number = target.manifest.number + 1;
        let log_dir = target.fresh_log(number)?;
        let mut made =
            BackedUp { store: self.store, number, through: self.folds_through(&folds), ..BackedUp::default() };
        let mut copying = Copying { disk: &*self.disk, store: self.store, made: &mut made, progress };
        let mut files = copy_folds(&mut copying, &target, &folds)?;
        files.extend(copy_log(&mut copying, &log_dir, number, &segments)?);
        target.sync_folders(&log_dir)?;
        let manifest = Manifest { store: self.store, number, through: made.through, files };
        target.finish(manifest)?;
        Ok(made)
    }

    fn folds_through(&self, folds: &[Arc<Fold>]) -> Position {
        folds.last().map_or(Position(0), |fold| fold.range.last)
    }
}

/// An id as people read it.
pub fn id_text(store: &[u8; 16]) -> String {
    store.iter().map(|byte| format!("{byte:02x}")).collect()
}
