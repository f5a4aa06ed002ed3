//! Open files of folds, so many at most: folds are for ever, and a process may only have so many open.

use crate::disk::{Disk, DiskFile, Open};
use crate::store::StoreError;
use crate::store::embedded::failed::failed;
use crate::store::embedded::folds::file::Range;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Handles kept open, at most.
const HANDLES_MAX: usize = 256;

/// The files read last.
#[derive(Default)]
pub struct Handles {
    open: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    uses: u64,
    files: HashMap<Range, (Arc<dyn DiskFile>, u64)>,
}

impl Handles {
    /// The file of a fold, opened where it is not open.
    pub fn get(&self, disk: &dyn Disk, fold: Range, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
        let mut kept = self.open.lock().expect("nothing panics while it holds the handles");
        kept.uses += 1;
        let now = kept.uses;
        if let Some((file, used)) = kept.files.get_mut(&fold) {
            *used = now;
            return Ok(file.clone());
        }
        let file = disk.open(path, Open::Read).map_err(failed("open", path))?;
        if kept.files.len() >= HANDLES_MAX {
            let oldest = kept.files.iter().min_by_key(|(_, (_, used))| *used).map(|(fold, _)| *fold);
            oldest.map(|fold| kept.files.remove(&fold));
        }
        kept.files.insert(fold, (file.clone(), now));
        Ok(file)
    }

    /// Lets go of the file of a fold that is no more: while it is open, its bytes stay on the disk.
    pub fn forget(&self, fold: Range) {
        self.open.lock().expect("nothing panics while it holds the handles").files.remove(&fold);
    }
}
