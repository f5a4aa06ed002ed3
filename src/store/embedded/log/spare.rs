//! The next segment, made ready while the present one fills, so that no commit waits for its zeros.

use super::segment::{Blank, TEMPORARY};
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
            let thread = std::thread::Builder::new().name("milepost-segment".into());
            // Without a thread the blank is made when it is needed.
            self.making = thread.spawn(move || Blank::make(&disk, &path, bytes)).ok();
        }
    }

    /// The blank, of at least `bytes`. Waits where it is not ready; one that failed is made again next time.
    pub fn take(&mut self, bytes: u64) -> Result<Blank, StoreError> {
        if bytes > self.bytes {
            return Blank::make(&self.disk, &self.path.with_extension(format!("large{TEMPORARY}")), bytes);
        }
        match self.making.take() {
            Some(making) => making.join().expect("making a blank does not panic"),
            None => Blank::make(&self.disk, &self.path, self.bytes),
        }
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
