//! Writing the index anew: a fresh sled with only what is still wanted, beside the one that is read meanwhile. sled gives
//! hardly any room back for what is removed or replaced, so that this is how an index gets smaller.

use super::{CLOSE_WAIT, Index, PREFIX, ROOM_BYTES, SLOT, Sled, Slot, drop_when_alone};
use crate::clock;
use crate::store::StoreError;
use crate::store::embedded::failed::failed;
use crate::store::embedded::index::value::{Stored, chunk_key};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What sled writes for one byte of entries in order, at most.
const ROOM_PER_BYTE: u64 = 3;

/// Says of a key whether its entry is kept; None: nothing is done after all.
pub type KeepEntry<'a> = dyn FnMut(&[u8]) -> Option<bool> + 'a;

impl Index {
    /// See [`crate::store::Store::index_bytes`].
    pub fn bytes(&self) -> u64 {
        let slot = self.slot();
        let Slot::Open(sled) = &*slot else { return 0 };
        sled.db.size_on_disk().unwrap_or(0)
    }

    /// See [`crate::store::Store::write_index_anew`].
    pub fn write_anew(&self, keep: &mut KeepEntry) -> Result<bool, StoreError> {
        let _alone = self.writing.lock().expect("writing the index does not panic");
        let old = match &*self.slot() {
            Slot::Open(sled) if self.waiting().is_empty() => sled.clone(),
            _ => return Ok(false),
        };
        let mut bytes = 0;
        for entry in &old.entries {
            let (key, stored) = entry.map_err(|e| old.failed("read", e))?;
            match keep(&key) {
                None => return Ok(false),
                Some(false) => {}
                Some(true) => bytes += (key.len() + stored.len()) as u64 + old.chunk_bytes(&key, &stored)?,
            }
        }
        // The reserve is kept for folds: this can be tried again.
        self.check_room(ROOM_BYTES + ROOM_PER_BYTE * bytes)?;
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        let path = self.dir.join(format!("{PREFIX}{number}"));
        let copied = Sled::open(path.clone(), number, self.cache_bytes).and_then(|fresh| {
            let done = copy(&old, &fresh, keep)?;
            Ok(done.then_some(fresh))
        });
        let Ok(Some(fresh)) = copied else {
            self.disk.remove_dir_all(&path).map_err(failed("remove", &path))?;
            return copied.map(|_| false);
        };
        *self.sled.write().expect(SLOT) = Slot::Open(Arc::new(fresh));
        let path = old.path.clone();
        // Who reads in it still reads on, from the open file.
        if let Err(error) = drop_when_alone(old, clock::instant() + CLOSE_WAIT) {
            tracing::warn!(%error, "an index that another took the place of is not closed");
        }
        self.disk.remove_dir_all(&path).map_err(failed("remove", &path))?;
        Ok(true)
    }
}

/// False: it was stopped.
fn copy(old: &Sled, fresh: &Sled, keep: &mut KeepEntry) -> Result<bool, StoreError> {
    for entry in &old.entries {
        let (key, stored) = entry.map_err(|e| old.failed("read", e))?;
        match keep(&key) {
            None => return Ok(false),
            Some(false) => continue,
            Some(true) => {}
        }
        old.chunks_of(&key, &stored, |chunk_key, chunk| {
            fresh.chunks.insert(chunk_key, chunk).map(drop).map_err(|e| fresh.failed("write", e))
        })?;
        fresh.entries.insert(key, stored).map_err(|e| fresh.failed("write", e))?;
    }
    Ok(true)
}

impl Sled {
    /// Bytes of a value's chunks.
    fn chunk_bytes(&self, key: &[u8], stored: &[u8]) -> Result<u64, StoreError> {
        let mut bytes = 0;
        self.chunks_of(key, stored, |chunk_key, chunk| {
            bytes += (chunk_key.len() + chunk.len()) as u64;
            Ok(())
        })?;
        Ok(bytes)
    }

    /// The chunks of a value, as they are stored: each has a checksum that it keeps.
    fn chunks_of(
        &self,
        key: &[u8],
        stored: &[u8],
        mut each: impl FnMut(Vec<u8>, sled::IVec) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let decoded = Stored::decode(key, stored).ok_or_else(|| self.damaged("an entry's checksum differs"))?;
        for number in 0..decoded.chunks() {
            let chunk_key = chunk_key(key, number);
            let chunk = self.chunks.get(&chunk_key).map_err(|e| self.failed("read", e))?;
            each(chunk_key, chunk.ok_or_else(|| self.damaged("a chunk is missing"))?)?;
        }
        Ok(())
    }
}
