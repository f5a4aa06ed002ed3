//! The next segment, made ready while the present one fills, so that no commit waits for its zeros.

use super::segment::{Blank, TEMPORARY};
use crate::background;
use crate::disk::Disk;
use crate::store::StoreError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Makes one blank at a time, in a thread that ends with it.
pub struct Spare {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    bytes: u64,
    making: Option<JoinHandle<Result<Blank, StoreError>>>,
}

impl Spare {
    /// Blanks of `bytes` in the folder `dir`; none is begun yet.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, bytes: u64) -> Spare {
        Spare { disk, path: dir.join(format!("spare{TEMPORARY}")), bytes, making: None }
    }

    /// Begins one, where none is begun. Does not wait.
    pub fn begin(&mut self) {
        if self.making.is_none() {
            let (disk, path, bytes) = (self.disk.clone(), self.path.clone(), self.bytes);
            // Without a thread the blank is made when it is needed.
            self.making = background::spawn("milepost-segment", move || Blank::make(&disk, &path, bytes)).ok();
        }
    }

    /// The blank, of at least `bytes`. Waits where it is not ready; one that could not be made ahead is made now, so that
    /// what failed then, with nothing in it yet, ends no writing.
    pub fn take(&mut self, bytes: u64) -> Result<Blank, StoreError> {
        if bytes > self.bytes {
            return Blank::make(&self.disk, &self.path.with_extension(format!("large{TEMPORARY}")), bytes);
        }
        if let Some(making) = self.making.take() {
            match making.join().expect("making a blank does not panic") {
                Ok(blank) => return Ok(blank),
                Err(error) => tracing::warn!(%error, "the log's next segment was not made ahead"),
            }
        }
        Blank::make(&self.disk, &self.path, self.bytes)
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if let Some(making) = self.making.take() {
            // Joined so that nothing writes to the folder once the store is closed.
            drop(making.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    /// Found by `tests/power` on a busy machine: what failed in the thread ended writing when the blank was wanted, though
    /// the disk worked again by then.
    #[test]
    fn a_blank_that_could_not_be_made_ahead_is_made_when_it_is_wanted() -> Result<(), StoreError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let dir = tempfile::tempdir().expect("a directory");
        let folder = dir.path().join("log");
        let mut spare = Spare::new(disk.clone(), &folder, 4_096);
        spare.begin();
        let failed = |spare: &Spare| spare.making.as_ref().is_some_and(JoinHandle::is_finished);
        while !failed(&spare) {
            std::thread::yield_now();
        }
        disk.create_dir(&folder).expect("the folder is made");
        assert_eq!(spare.take(0)?.bytes(), 4_096);
        Ok(())
    }
}
