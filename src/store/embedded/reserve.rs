//! `RESERVE`: room that is kept so that folding and trimming can finish on a full disk, and an opening can begin.
//!
//! ```text
//! RESERVE       zeros, as many as the settings say; synced, never read
//! RESERVE.tmp   the same while it is made; removed at opening
//! ```
//!
//! Who meets a full disk on the way to letting go of something gives it up: the file is removed, and what it took
//! is theirs. From then on no write is taken, so that writes cannot eat what folding needs, until there is room
//! to make it again; that is tried when somebody wants to write.

use super::failed::failed;
use crate::clock;
use crate::disk::{Disk, Open};
use crate::store::{FoldWriter, FrameRef, Line, StoreError};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

const NAME: &str = "RESERVE";
const TEMPORARY_NAME: &str = "RESERVE.tmp";
/// How long it is not tried again to make it: that costs writing as much as there is room for.
const PAUSE: Duration = Duration::from_millis(500);

/// See the module.
pub struct Reserve {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    bytes: u64,
    held: Mutex<Held>,
}

struct Held {
    /// It is there, whole.
    whole: bool,
    /// When it was last tried to make it, in vain.
    tried: Option<Instant>,
}

impl Reserve {
    /// Looks whether it is there; makes none yet, so that the opening may have what is left. 0 bytes: none is kept.
    pub fn open(disk: Arc<dyn Disk>, dir: PathBuf, bytes: u64) -> Result<Reserve, StoreError> {
        let reserve = Reserve { disk, dir, bytes, held: Mutex::new(Held { whole: false, tried: None }) };
        reserve.remove(TEMPORARY_NAME)?;
        let path = reserve.dir.join(NAME);
        let there = reserve.disk.exists(&path).map_err(failed("look for", &path))?;
        let length = match there {
            true => {
                let file = reserve.disk.open(&path, Open::Read).map_err(failed("open", &path))?;
                file.len().map_err(failed("measure", &path))?
            }
            false => 0,
        };
        if there && (length != bytes || bytes == 0) {
            // Of other settings.
            reserve.remove(NAME)?;
        }
        reserve.held().whole = bytes == 0 || length == bytes;
        Ok(reserve)
    }

    /// Makes it where it is not there. `Full` where there is no room for it: no write may be taken. Costs nothing
    /// where it is there, otherwise writing and syncing it; tried at most every half second.
    pub fn ensure(&self) -> Result<(), StoreError> {
        let mut held = self.held();
        if held.whole {
            return Ok(());
        }
        if held.tried.is_some_and(|at| clock::instant().duration_since(at) < PAUSE) {
            return Err(StoreError::Full { file: self.dir.join(NAME).display().to_string() });
        }
        match self.make() {
            Ok(()) => {
                *held = Held { whole: true, tried: None };
                Ok(())
            }
            Err(error) => {
                held.tried = Some(clock::instant());
                // What was written of it would keep others from the room that there is.
                self.remove(TEMPORARY_NAME)?;
                Err(error)
            }
        }
    }

    /// Passes a result on; where it says that the disk is full, gives the reserve up, so that another attempt has it.
    pub fn on_full<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Full { file }) = &done {
            self.give_up(file);
        }
        done
    }

    fn give_up(&self, wanted_for: &str) {
        let mut held = self.held();
        if !held.whole || self.bytes == 0 {
            return;
        }
        *held = Held { whole: false, tried: None };
        match self.remove(NAME) {
            Ok(()) => {
                tracing::warn!(wanted_for, "the disk is full: the reserve is used, no writes until there is room")
            }
            Err(error) => tracing::warn!(%error, wanted_for, "the disk is full, and the reserve cannot be given up"),
        }
    }

    fn make(&self) -> Result<(), StoreError> {
        let (path, temporary) = (self.dir.join(NAME), self.dir.join(TEMPORARY_NAME));
        self.remove(TEMPORARY_NAME)?;
        self.remove(NAME)?;
        let file = self.disk.open(&temporary, Open::Create).map_err(failed("create", &temporary))?;
        file.fill_with_zeros(self.bytes).map_err(failed("write", &path))?;
        file.sync_data().map_err(failed("sync", &path))?;
        self.disk.rename(&temporary, &path).map_err(failed("rename", &path))?;
        self.disk.sync_dir(&self.dir).map_err(failed("sync", &self.dir))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.dir.join(name);
        match self.disk.exists(&path).map_err(failed("look for", &path))? {
            true => self.disk.remove(&path).map_err(failed("remove", &path)),
            false => Ok(()),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("nothing panics while it holds the reserve")
    }
}

/// A fold file that is written: one that meets a full disk gives the reserve up, and can be begun again.
pub struct Drawing {
    /// Writes it.
    pub writer: Box<dyn FoldWriter>,
    /// What is given up.
    pub reserve: Arc<Reserve>,
}

impl FoldWriter for Drawing {
    fn put(&mut self, line: Line, frame: &[u8]) -> Result<FrameRef, StoreError> {
        let put = self.writer.put(line, frame);
        self.reserve.on_full(put)
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let Drawing { writer, reserve } = *self;
        reserve.on_full(writer.finish())
    }
}
