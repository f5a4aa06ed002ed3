//! Stores in temporary directories, and what the tests put into them.

use bytes::Bytes;
use milepost::disk::RealDisk;
use milepost::domain::name::ComponentName;
use milepost::domain::time::Time;
use milepost::random::SeededRandom;
use milepost::store::embedded::{EmbeddedStore, StoreSettings};
use milepost::store::{Commit, Committed, Line, Logged, Position, Record, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Segments of 8 KiB, so that few records roll over.
pub const SMALL: StoreSettings =
    StoreSettings { segment_bytes: 8 << 10, index_cache_bytes_max: 1 << 20, reserve_bytes: 4 << 10 };

/// A directory for a test, in memory where the system has such: what is tested is what is written, not the disk.
pub fn temporary() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("there is room")
}

/// Opens the store in a directory.
pub fn open(dir: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(dir, Arc::new(RealDisk), Arc::new(SeededRandom::new(11)), SMALL)
}

/// A component's name.
pub fn component(name: &str) -> ComponentName {
    ComponentName::parse(name).expect("it is a name")
}

/// A record with a body of `bytes`, told apart by `number`.
pub fn record(name: &str, number: u64, bytes: usize) -> Record {
    let body: Vec<u8> = (0..bytes).map(|i| (number as usize * 31 + i * 7) as u8).collect();
    Record {
        component: component(name),
        record_time: Time(number as i64 * 1_000),
        revision: number as i64,
        counts: [number, 2, 3],
        series: Bytes::from(format!("series of {number}")),
        body: body.into(),
    }
}

/// Commits records as one group of one component's.
pub fn commit(store: &dyn Store, records: &[Record]) -> Result<Vec<Position>, StoreError> {
    let component = records[0].component.clone();
    let group = [Commit { component, judged_at: Position(0), records: records.to_vec() }];
    match store.commit(&group)?.remove(0) {
        Committed::Done(positions) => Ok(positions),
        Committed::Lost => panic!("no other server is there"),
    }
}

/// Everything in the log after a position; the first lost record is an error.
pub fn read_log(store: &dyn Store, after: u64) -> Result<Vec<(u64, Record)>, StoreError> {
    let whole = |(position, logged)| match logged {
        Logged::Whole(record) => Ok((position, record)),
        Logged::Lost(_, damage) => Err(damage.into()),
        Logged::GivenUp => panic!("nothing was given up"),
    };
    read_logged(store, after)?.into_iter().map(whole).collect()
}

/// Everything in the log after a position, lost records too.
pub fn read_logged(store: &dyn Store, after: u64) -> Result<Vec<(u64, Logged)>, StoreError> {
    let mut all = Vec::new();
    store.read_log(Position(after), &mut |position, logged| all.push((position.0, logged)))?;
    Ok(all)
}

/// A line of a fold's directory.
pub fn line(name: &str, kind: u8, summary: &str) -> Line {
    Line { component: component(name), kind, summary: Bytes::copy_from_slice(summary.as_bytes()) }
}

/// The files in one of a store's folders, sorted, temporary ones left out.
pub fn files(dir: &Path, folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join(folder)).expect("the folder is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension != "tmp"));
    files.sort();
    files
}

/// Copies a directory with everything in it.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("it can be made");
    for entry in std::fs::read_dir(from).expect("it can be listed") {
        let entry = entry.expect("it can be listed");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("it has a type").is_dir() {
            true => copy_dir(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("it can be copied")),
        }
    }
}
