//! The index: sled 0.34.7, which queries walk. Nothing is only in it, and it is believed only where `CLEAN` says
//! that it was closed and every byte is as it was then; otherwise it starts empty and is rebuilt.
//!
//! sled cannot go on after it met a full disk. So before anything is written it is looked whether there is room, many
//! times over; where there is none, entries wait in memory, and are found there, until there is. What waits when the
//! store is closed is lost, and the index built anew.
//!
//! What was measured of sled and rules this file: values of at most 8 KiB, in key order, one by one (batches and
//! transactions take a lock that slows every later read), a modest cache, and no trust in its `flush`.

pub mod anew;
pub mod marker;
pub mod value;

use crate::clock;
use crate::disk::{Disk, Open};
use crate::planted::{self, Bug};
use crate::store::embedded::failed::{damaged, failed};
use crate::store::embedded::reserve::Reserve;
use crate::store::{IndexEntry, IndexState, Position, StoreError};
use bytes::Bytes;
use marker::{Marker, sum_files};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use value::{CHUNK_BYTES_MAX, Stored, chunk_key, decode_chunk, encode_chunk};

const PREFIX: &str = "sled-";
/// Takes up room only while it is looked whether there is so much.
const ROOM_NAME: &str = "room.tmp";
/// Room that sled is given beside what it is to write: some of its segments.
const ROOM_BYTES: u64 = 2 << 20;
/// What sled writes for one byte of an entry, at most: small entries out of order took six.
const ROOM_PER_BYTE: u64 = 8;
/// How long closing waits for readers and for sled's threads; after it the index counts as not closed.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

const SLOT: &str = "nothing panics while it holds the index";
const WAITING: &str = "nothing panics while it holds what waits";

/// The index of a store.
pub struct Index {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: [u8; 16],
    cache_bytes: u64,
    reserve: Arc<Reserve>,
    /// The number of sled's folder: what an older sled still does by name must not touch a newer one's.
    number: AtomicU64,
    state: IndexState,
    sled: RwLock<Slot>,
    /// Entries that there was no room for.
    waiting: RwLock<BTreeMap<Vec<u8>, Option<Bytes>>>,
    /// One writer at a time.
    writing: Mutex<()>,
    /// Held while a value in chunks is read, and to change one: its parts are then of one value.
    chunked: RwLock<()>,
}

/// Where sled is.
enum Slot {
    Open(Arc<Sled>),
    /// There is no room to make one: everything waits in memory.
    NoRoom,
    Closed,
}

struct Sled {
    path: PathBuf,
    number: u64,
    db: sled::Db,
    entries: sled::Tree,
    chunks: sled::Tree,
}

/// What an opening finds of an index.
pub struct Found {
    believed: Option<Marker>,
    /// The highest number that a folder had.
    number: u64,
}

impl Found {
    /// Looks for an index that can be believed; what cannot be is removed, which makes room. Costs reading all of it
    /// once where it was closed.
    pub fn look(disk: &dyn Disk, dir: &Path, store: [u8; 16], reach: Position) -> Result<Found, StoreError> {
        let room = dir.join(ROOM_NAME);
        if disk.exists(&room).map_err(failed("look for", &room))? {
            disk.remove(&room).map_err(failed("remove", &room))?;
        }
        let marker = marker::take(disk, dir)?;
        let believed = marker.filter(|marker| {
            let path = dir.join(format!("{PREFIX}{}", marker.number));
            let whole = sum_files(disk, &path, false).is_ok_and(|files| files == marker.files);
            marker.store == store && marker.through <= reach && whole
        });
        let through = |marker: Marker| Marker { through: reach, ..marker };
        let believed = if planted::is(Bug::StaleIndex) { believed.map(through) } else { believed };
        let number = match &believed {
            Some(marker) => marker.number,
            None => clear(disk, dir)?,
        };
        Ok(Found { believed, number })
    }
}

impl Index {
    /// Opens what was found, or starts an empty one.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        store: [u8; 16],
        cache_bytes: u64,
        found: Found,
        reserve: Arc<Reserve>,
    ) -> Result<Index, StoreError> {
        let (sled, waiting) = (RwLock::new(Slot::NoRoom), RwLock::default());
        let (writing, chunked, state) = (Mutex::new(()), RwLock::new(()), IndexState::Rebuild);
        let number = AtomicU64::new(found.number);
        let mut index =
            Index { disk, dir, store, cache_bytes, reserve, number, state, sled, waiting, writing, chunked };
        let opened = match found.believed {
            Some(marker) if index.has_room(0)? => {
                let path = index.dir.join(format!("{PREFIX}{}", marker.number));
                let sled = Sled::open(path, marker.number, cache_bytes);
                let sled = sled.inspect_err(|error| tracing::warn!(%error, "the index cannot be opened")).ok();
                sled.zip(Some(marker.through))
            }
            _ => None,
        };
        let slot = match opened {
            Some((sled, through)) => {
                index.state = IndexState::Trusted(through);
                Slot::Open(Arc::new(sled))
            }
            None => index.fresh()?,
        };
        index.sled = RwLock::new(slot);
        Ok(index)
    }

    /// Judged at opening.
    pub fn state(&self) -> IndexState {
        self.state
    }

    /// See [`crate::store::Store::read_index`].
    pub fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if let Some(value) = self.waiting().get(key) {
            return Ok(value.clone());
        }
        let Some(sled) = self.sled()? else { return Ok(None) };
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
        let waiting = self.waiting();
        let from = waiting.range(prefix.to_vec()..);
        let mut waiting = from.take_while(|(key, _)| key.starts_with(prefix)).peekable();
        if let Some(sled) = self.sled()? {
            for entry in sled.entries.scan_prefix(prefix) {
                let (key, bytes) = entry.map_err(|e| sled.failed("read", e))?;
                while let Some((other, value)) = waiting.next_if(|(other, _)| other.as_slice() < &*key) {
                    value.iter().for_each(|value| each(other, value.clone()));
                }
                if let Some((other, value)) = waiting.next_if(|(other, _)| other.as_slice() == &*key) {
                    value.iter().for_each(|value| each(other, value.clone()));
                    continue;
                }
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
        }
        waiting.for_each(|(key, value)| value.iter().for_each(|value| each(key, value.clone())));
        Ok(())
    }

    /// See [`crate::store::Store::write_index`]. Costs taking up room too, for a moment.
    pub fn write(&self, entries: Vec<IndexEntry>) -> Result<(), StoreError> {
        let _alone = self.writing.lock().expect("writing the index does not panic");
        if matches!(*self.slot(), Slot::Closed) {
            return Err(closed(&self.dir));
        }
        // In key order: out of it sled is far slower. Of one key the last entry stands.
        let mut all = self.waiting().clone();
        all.extend(entries.into_iter().map(|(key, value)| (key, value.map(Bytes::from))));
        if all.is_empty() {
            return Ok(());
        }
        let bytes = all.iter().map(|(key, value)| (key.len() + value.as_ref().map_or(0, Bytes::len)) as u64).sum();
        if !self.has_room(bytes)? {
            tracing::warn!(entries = all.len(), "no room on the disk for the index: it waits in memory");
            *self.waiting.write().expect(WAITING) = all;
            return Ok(());
        }
        if matches!(*self.slot(), Slot::NoRoom) {
            let fresh = self.fresh()?;
            *self.sled.write().expect(SLOT) = fresh;
        }
        let Some(sled) = self.sled()? else { return Err(closed(&self.dir)) };
        for (key, value) in &all {
            self.write_one(&sled, key, value.as_deref()).map_err(|e| sled.failed("write", e))?;
        }
        self.waiting.write().expect(WAITING).clear();
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
        // The folder is removed under sled's feet where a reader still has it: it reads on, from the open file.
        *self.sled.write().expect(SLOT) = Slot::NoRoom;
        self.waiting.write().expect(WAITING).clear();
        let fresh = self.fresh()?;
        *self.sled.write().expect(SLOT) = fresh;
        Ok(())
    }

    /// An empty index in a folder that no other had, where there is room for one; the others are removed.
    fn fresh(&self) -> Result<Slot, StoreError> {
        let used = clear(self.disk.as_ref(), &self.dir)?.max(self.number.load(Ordering::Relaxed));
        let number = used + 1;
        self.number.store(number, Ordering::Relaxed);
        if !self.has_room(0)? {
            tracing::warn!("no room on the disk for an index: it is kept in memory");
            return Ok(Slot::NoRoom);
        }
        let sled = Sled::open(self.dir.join(format!("{PREFIX}{number}")), number, self.cache_bytes)?;
        Ok(Slot::Open(Arc::new(sled)))
    }

    /// Whether sled can write entries of so many bytes; the reserve is given up for them.
    fn has_room(&self, bytes: u64) -> Result<bool, StoreError> {
        let bytes = ROOM_BYTES + ROOM_PER_BYTE * bytes;
        let room = match self.reserve.on_full(self.check_room(bytes)) {
            Err(StoreError::Full { .. }) => self.check_room(bytes),
            room => room,
        };
        match room {
            Ok(()) => Ok(true),
            Err(StoreError::Full { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn check_room(&self, bytes: u64) -> Result<(), StoreError> {
        let path = self.dir.join(ROOM_NAME);
        let file = self.disk.open(&path, Open::CreateOrOpen).map_err(failed("create", &path))?;
        let filled = file.take_room(bytes).map_err(failed("write", &path));
        self.disk.remove(&path).map_err(failed("remove", &path))?;
        filled
    }

    /// See [`crate::store::Store::close`]. Costs syncing and reading all of the index.
    pub fn close(&self, through: Position) -> Result<(), StoreError> {
        let written = self.write(Vec::new());
        let _alone = self.writing.lock().expect("writing the index does not panic");
        let slot = std::mem::replace(&mut *self.sled.write().expect(SLOT), Slot::Closed);
        let sled = match slot {
            Slot::Open(sled) => sled,
            Slot::NoRoom => return Ok(()),
            Slot::Closed => return Err(closed(&self.dir)),
        };
        written?;
        let until = clock::instant() + CLOSE_WAIT;
        if !self.waiting().is_empty() || !self.has_room(0)? {
            tracing::warn!("no room on the disk to close the index: the next start builds it anew");
            return drop_when_alone(sled, until);
        }
        let (path, number) = (sled.path.clone(), sled.number);
        sled.db.flush().map_err(|e| sled.failed("flush", e))?;
        drop_when_alone(sled, until)?;
        wait_for_file(self.disk.as_ref(), &path, until)?;
        let files = sum_files(self.disk.as_ref(), &path, true)?;
        self.disk.sync_dir(&self.dir).map_err(failed("sync", &self.dir))?;
        marker::write(self.disk.as_ref(), &self.dir, &Marker { store: self.store, through, number, files })
    }

    /// None where there is no room for one.
    fn sled(&self) -> Result<Option<Arc<Sled>>, StoreError> {
        match &*self.slot() {
            Slot::Open(sled) => Ok(Some(sled.clone())),
            Slot::NoRoom => Ok(None),
            Slot::Closed => Err(closed(&self.dir)),
        }
    }

    fn slot(&self) -> RwLockReadGuard<'_, Slot> {
        self.sled.read().expect(SLOT)
    }

    fn waiting(&self) -> RwLockReadGuard<'_, BTreeMap<Vec<u8>, Option<Bytes>>> {
        self.waiting.read().expect(WAITING)
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

/// Removes every sled there is, and answers the highest number that one had.
fn clear(disk: &dyn Disk, dir: &Path) -> Result<u64, StoreError> {
    let mut number = 0;
    for (name, is_dir) in disk.list(dir).map_err(failed("list", dir))? {
        if let Some(used) = name.strip_prefix(PREFIX).filter(|_| is_dir).and_then(|n| n.parse::<u64>().ok()) {
            number = number.max(used);
            let path = dir.join(name);
            disk.remove_dir_all(&path).map_err(failed("remove", &path))?;
        }
    }
    Ok(number)
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
