//! The index: sled 0.34.7, which queries walk. Nothing is only in it, and it is believed only where `CLEAN` says
//! that it was closed and every byte is as it was then; otherwise it starts empty and is rebuilt.
//!
//! What was measured of sled and rules this file: values of at most 8 KiB, in key order, one by one (batches and
//! transactions take a lock that slows every later read), a modest cache, and no trust in its `flush`.

pub mod marker;
pub mod value;

use crate::clock;
use crate::disk::{Disk, Open};
use crate::store::embedded::failed::{damaged, failed};
use crate::store::{IndexEntry, IndexState, Position, StoreError};
use bytes::Bytes;
use marker::{Marker, sum_files};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};
use value::{CHUNK_BYTES_MAX, Stored, chunk_key, decode_chunk, encode_chunk};

const PREFIX: &str = "sled-";
/// Zeros that are there only while it is looked whether there is room for them.
const ROOM_NAME: &str = "room.tmp";
/// How long closing waits for readers and for sled's threads; after it the index counts as not closed.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// The index of a store.
pub struct Index {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: [u8; 16],
    cache_bytes: u64,
    state: IndexState,
    /// None once it is closed.
    sled: RwLock<Option<Arc<Sled>>>,
    /// One writer at a time.
    writing: Mutex<()>,
    /// Held while a value in chunks is read, and to change one: its parts are then of one value.
    chunked: RwLock<()>,
}

struct Sled {
    path: PathBuf,
    number: u64,
    db: sled::Db,
    entries: sled::Tree,
    chunks: sled::Tree,
}

impl Index {
    /// Opens the index, or starts an empty one. Costs reading all of it once where it was closed.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        store: [u8; 16],
        cache_bytes: u64,
        reach: Position,
    ) -> Result<Index, StoreError> {
        let room = dir.join(ROOM_NAME);
        if disk.exists(&room).map_err(failed("look for", &room))? {
            disk.remove(&room).map_err(failed("remove", &room))?;
        }
        let marker = marker::take(disk.as_ref(), &dir)?;
        let believed = marker.filter(|marker| {
            let path = dir.join(format!("{PREFIX}{}", marker.number));
            let whole = sum_files(disk.as_ref(), &path, false).is_ok_and(|files| files == marker.files);
            marker.store == store && marker.through <= reach && whole
        });
        let opened = believed.and_then(|marker| {
            let sled = Sled::open(dir.join(format!("{PREFIX}{}", marker.number)), marker.number, cache_bytes);
            sled.inspect_err(|error| tracing::warn!(%error, "the index cannot be opened"))
                .ok()
                .zip(Some(marker.through))
        });
        let state = opened.as_ref().map_or(IndexState::Rebuild, |(_, through)| IndexState::Trusted(*through));
        let sled = match opened {
            Some((sled, _)) => sled,
            None => fresh(disk.as_ref(), &dir, cache_bytes)?,
        };
        let sled = RwLock::new(Some(Arc::new(sled)));
        let (writing, chunked) = (Mutex::new(()), RwLock::new(()));
        Ok(Index { disk, dir, store, cache_bytes, state, sled, writing, chunked })
    }

    /// Judged at opening.
    pub fn state(&self) -> IndexState {
        self.state
    }

    /// See [`crate::store::Store::read_index`].
    pub fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let sled = self.sled()?;
        let Some(bytes) = sled.entries.get(key).map_err(|e| sled.failed("read", e))? else { return Ok(None) };
        match Stored::decode(key, &bytes) {
            Some(Stored::Whole(value)) => Ok(Some(Bytes::copy_from_slice(value))),
            Some(Stored::Chunked(..)) => self.read_chunked(&sled, key),
            None => Err(sled.damaged("an entry's checksum differs")),
        }
    }

    /// Reads a value that was in chunks a moment ago, and may be another by now.
    fn read_chunked(&self, sled: &Sled, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let _whole = self.chunked.read().expect("nothing panics while it holds the chunks");
        let Some(bytes) = sled.entries.get(key).map_err(|e| sled.failed("read", e))? else { return Ok(None) };
        let (stored, length, crc) = match Stored::decode(key, &bytes) {
            Some(Stored::Whole(value)) => return Ok(Some(Bytes::copy_from_slice(value))),
            Some(stored @ Stored::Chunked(length, crc)) => (stored, length, crc),
            None => return Err(sled.damaged("an entry's checksum differs")),
        };
        let mut value = Vec::with_capacity(length as usize);
        for number in 0..stored.chunks() {
            let chunk_key = chunk_key(key, number);
            let chunk = sled.chunks.get(&chunk_key).map_err(|e| sled.failed("read", e))?;
            let chunk = chunk.as_ref().and_then(|chunk| decode_chunk(&chunk_key, chunk));
            value.extend_from_slice(chunk.ok_or_else(|| sled.damaged("a chunk's checksum differs"))?);
        }
        match crc32fast::hash(&value) == crc && value.len() as u64 == length {
            true => Ok(Some(value.into())),
            false => Err(sled.damaged("the checksum of a value in chunks differs")),
        }
    }

    /// See [`crate::store::Store::scan_index`].
    pub fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], Bytes)) -> Result<(), StoreError> {
        let sled = self.sled()?;
        for entry in sled.entries.scan_prefix(prefix) {
            let (key, bytes) = entry.map_err(|e| sled.failed("read", e))?;
            match Stored::decode(&key, &bytes) {
                Some(Stored::Whole(value)) => each(&key, Bytes::copy_from_slice(value)),
                Some(Stored::Chunked(..)) => {
                    if let Some(value) = self.read_chunked(&sled, &key)? {
                        each(&key, value);
                    }
                }
                None => return Err(sled.damaged("an entry's checksum differs")),
            }
        }
        Ok(())
    }

    /// See [`crate::store::Store::write_index`].
    pub fn write(&self, mut entries: Vec<IndexEntry>) -> Result<(), StoreError> {
        let _alone = self.writing.lock().expect("writing the index does not panic");
        let sled = self.sled()?;
        // Out of key order sled is far slower. The sort is stable: of one key the last entry stands.
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (key, value) in &entries {
            self.write_one(&sled, key, value.as_deref()).map_err(|e| sled.failed("write", e))?;
        }
        Ok(())
    }

    fn write_one(&self, sled: &Sled, key: &[u8], value: Option<&[u8]>) -> sled::Result<()> {
        let Some(value) = value else {
            let old = sled.entries.remove(key)?;
            return self.drop_chunks(sled, key, old, 0);
        };
        let stored = Stored::of(value);
        if stored.chunks() == 0 {
            let old = sled.entries.insert(key, stored.encode(key))?;
            return self.drop_chunks(sled, key, old, 0);
        }
        let old = {
            let _whole = self.chunked.write().expect("nothing panics while it holds the chunks");
            for (number, chunk) in (0..).zip(value.chunks(CHUNK_BYTES_MAX)) {
                let chunk_key = chunk_key(key, number);
                let chunk = encode_chunk(&chunk_key, chunk);
                sled.chunks.insert(chunk_key, chunk)?;
            }
            sled.entries.insert(key, stored.encode(key))?
        };
        self.drop_chunks(sled, key, old, stored.chunks())
    }

    /// Removes the chunks of a value that is no more, from number `from` on.
    fn drop_chunks(&self, sled: &Sled, key: &[u8], old: Option<sled::IVec>, from: u32) -> sled::Result<()> {
        let old = old.as_ref().and_then(|old| Stored::decode(key, old)).map_or(0, |old| old.chunks());
        if old > from {
            let _whole = self.chunked.write().expect("nothing panics while it holds the chunks");
            for number in from..old {
                sled.chunks.remove(chunk_key(key, number))?;
            }
        }
        Ok(())
    }

    /// See [`crate::store::Store::reset_index`].
    pub fn reset(&self) -> Result<(), StoreError> {
        let _alone = self.writing.lock().expect("writing the index does not panic");
        let mut slot = self.sled.write().expect("nothing panics while it holds the index");
        // The folder is removed under sled's feet where a reader still has it: it reads on, from the open file.
        *slot = None;
        *slot = Some(Arc::new(fresh(self.disk.as_ref(), &self.dir, self.cache_bytes)?));
        Ok(())
    }

    /// Whether the disk has room for `bytes` more: sled cannot go on after it met a full disk, so a fold that would
    /// lead it there is not begun. Costs writing zeros, which are gone before they reach the disk.
    pub fn check_room(&self, bytes: u64) -> Result<(), StoreError> {
        let path = self.dir.join(ROOM_NAME);
        let file = self.disk.open(&path, Open::CreateOrOpen).map_err(failed("create", &path))?;
        let filled = file.fill_with_zeros(bytes).map_err(failed("write", &path));
        self.disk.remove(&path).map_err(failed("remove", &path))?;
        filled
    }

    /// See [`crate::store::Store::close`]. Costs syncing and reading all of the index.
    pub fn close(&self, through: Position) -> Result<(), StoreError> {
        let _alone = self.writing.lock().expect("writing the index does not panic");
        let Some(sled) = self.sled.write().expect("nothing panics while it holds the index").take() else {
            return Err(closed(&self.dir));
        };
        let (path, number) = (sled.path.clone(), sled.number);
        let until = clock::instant() + CLOSE_WAIT;
        sled.db.flush().map_err(|e| sled.failed("flush", e))?;
        drop_when_alone(sled, until)?;
        wait_for_file(self.disk.as_ref(), &path, until)?;
        let files = sum_files(self.disk.as_ref(), &path, true)?;
        self.disk.sync_dir(&self.dir).map_err(failed("sync", &self.dir))?;
        marker::write(self.disk.as_ref(), &self.dir, &Marker { store: self.store, through, number, files })
    }

    fn sled(&self) -> Result<Arc<Sled>, StoreError> {
        let slot = self.sled.read().expect("nothing panics while it holds the index");
        slot.clone().ok_or_else(|| closed(&self.dir))
    }
}

impl Sled {
    fn open(path: PathBuf, number: u64, cache_bytes: u64) -> Result<Sled, StoreError> {
        // Without its own thread that flushes: the index is synced by us, at closing.
        let config = sled::Config::new().path(&path).cache_capacity(cache_bytes).flush_every_ms(None);
        // sled may panic over files that are not as it left them; that is damage like any other.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let db = config.open()?;
            Ok((db.open_tree("entries")?, db.open_tree("chunks")?, db))
        }));
        match opened {
            Ok(Ok((entries, chunks, db))) => Ok(Sled { path, number, db, entries, chunks }),
            Ok(Err(error)) => Err(sled_failed(&path, "open", error)),
            Err(_) => Err(damaged(&path, 0, "sled cannot open it")),
        }
    }

    fn failed(&self, operation: &'static str, error: sled::Error) -> StoreError {
        sled_failed(&self.path, operation, error)
    }

    fn damaged(&self, what: &str) -> StoreError {
        damaged(&self.path, 0, what)
    }
}

/// An empty index in a folder that no other had; the others are removed.
fn fresh(disk: &dyn Disk, dir: &Path, cache_bytes: u64) -> Result<Sled, StoreError> {
    let mut number = 0;
    for (name, is_dir) in disk.list(dir).map_err(failed("list", dir))? {
        if let Some(used) = name.strip_prefix(PREFIX).filter(|_| is_dir).and_then(|n| n.parse::<u64>().ok()) {
            number = number.max(used);
            let path = dir.join(name);
            disk.remove_dir_all(&path).map_err(failed("remove", &path))?;
        }
    }
    Sled::open(dir.join(format!("{PREFIX}{}", number + 1)), number + 1, cache_bytes)
}

/// Drops sled once no reader has it, so that it has written everything.
fn drop_when_alone(mut sled: Arc<Sled>, until: Instant) -> Result<(), StoreError> {
    let path = sled.path.clone();
    loop {
        match Arc::try_unwrap(sled) {
            // sled syncs when it is dropped, and panics where that fails.
            Ok(alone) => return catch_unwind(AssertUnwindSafe(|| drop(alone))).map_err(|_| not_closed(&path)),
            Err(shared) if clock::instant() < until => sled = shared,
            Err(_) => return Err(not_closed(&path)),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until sled's threads have let go of its file: it holds a lock on it to the end.
fn wait_for_file(disk: &dyn Disk, path: &Path, until: Instant) -> Result<(), StoreError> {
    let db = path.join("db");
    let file = disk.open(&db, Open::Read).map_err(failed("open", &db))?;
    while !file.try_lock().map_err(failed("lock", &db))? {
        if clock::instant() >= until {
            return Err(not_closed(path));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn sled_failed(path: &Path, operation: &'static str, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => failed(operation, path)(error),
        sled::Error::Corruption { .. } => damaged(path, 0, error.to_string()),
        other => StoreError::Io { operation, file: path.display().to_string(), cause: other.to_string() },
    }
}

fn not_closed(path: &Path) -> StoreError {
    StoreError::Io { operation: "close", file: path.display().to_string(), cause: "sled did not finish".to_string() }
}

fn closed(dir: &Path) -> StoreError {
    StoreError::Io { operation: "use", file: dir.display().to_string(), cause: "the store is closed".to_string() }
}
