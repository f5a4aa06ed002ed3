//! `LOCK`: one process at a time serves a data directory. What counts is the system's lock on the file, which goes
//! with the process; what stands in it is for messages only:
//!
//! ```text
//! 4711 6b7f0d4e-...      process, run of the machine; nothing once it was closed
//! ```

use super::failed::failed;
use crate::disk::{Disk, DiskFile, Open};
use crate::store::StoreError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const NAME: &str = "LOCK";
/// Longer than what anybody writes there.
const BYTES_MAX: u64 = 256;

/// Holds the directory until it is dropped.
pub struct Lock {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
}

impl Lock {
    /// Takes the directory, or says who has it.
    pub fn take(disk: &dyn Disk, dir: &Path) -> Result<Lock, StoreError> {
        let path = dir.join(NAME);
        let file = disk.open(&path, Open::CreateOrOpen).map_err(failed("open", &path))?;
        let locked = file.try_lock().map_err(failed("lock", &path))?;
        let (process, boot) = read_holder(file.as_ref()).unwrap_or_default();
        if !locked {
            let holder = if process.is_empty() { "(unknown)".to_string() } else { process };
            return Err(StoreError::Locked { dir: dir.display().to_string(), holder });
        }
        // Where the machine does not say, nothing hangs on it.
        let this_boot = disk.boot_id().unwrap_or_default();
        if !process.is_empty() {
            let what = if boot == this_boot { "the process ended" } else { "the machine was restarted" };
            tracing::warn!(process, "the store was not closed: {what}");
        }
        file.set_len(0).map_err(failed("write", &path))?;
        let holder = format!("{} {this_boot}\n", std::process::id());
        match file.write_at(holder.as_bytes(), 0).map_err(failed("write", &path)) {
            // It is for messages only: a full disk does not keep anybody from reading.
            Ok(()) | Err(StoreError::Full { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Lock { file, path })
    }

    /// Lets go of the directory, which was closed as it should be.
    pub fn release(self) -> Result<(), StoreError> {
        self.file.set_len(0).map_err(failed("write", &self.path))
    }
}

/// The process and the run of the machine that are written there; None where there are none.
fn read_holder(file: &dyn DiskFile) -> Option<(String, String)> {
    let mut bytes = vec![0; file.len().ok()?.min(BYTES_MAX) as usize];
    file.read_at(&mut bytes, 0).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let mut words = text.split_whitespace();
    Some((words.next()?.to_string(), words.next().unwrap_or_default().to_string()))
}
