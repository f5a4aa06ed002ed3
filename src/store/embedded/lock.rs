//! `LOCK`: one process at a time serves a data directory. It holds that process's id, for the message only: what
//! counts is the system's lock on the file, which goes with the process.

use super::failed::failed;
use crate::disk::{Disk, DiskFile, Open};
use crate::store::StoreError;
use std::path::Path;
use std::sync::Arc;

const NAME: &str = "LOCK";

/// Holds the directory until it is dropped.
pub struct Lock(#[expect(dead_code, reason = "it is held, not used")] Arc<dyn DiskFile>);

impl Lock {
    /// Takes the directory, or says who has it.
    pub fn take(disk: &dyn Disk, dir: &Path) -> Result<Lock, StoreError> {
        let path = dir.join(NAME);
        let file = disk.open(&path, Open::CreateOrOpen).map_err(failed("open", &path))?;
        if !file.try_lock().map_err(failed("lock", &path))? {
            let holder = read_holder(file.as_ref()).unwrap_or_else(|| "(unknown)".to_string());
            return Err(StoreError::Locked { dir: dir.display().to_string(), holder });
        }
        file.set_len(0).map_err(failed("write", &path))?;
        file.write_at(format!("{}\n", std::process::id()).as_bytes(), 0).map_err(failed("write", &path))?;
        Ok(Lock(file))
    }
}

fn read_holder(file: &dyn DiskFile) -> Option<String> {
    let mut bytes = vec![0; file.len().ok()?.min(32) as usize];
    file.read_at(&mut bytes, 0).ok()?;
    let text = String::from_utf8(bytes).ok()?.trim().to_string();
    (!text.is_empty()).then_some(text)
}
