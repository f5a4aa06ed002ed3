//! What corrections replaced and retractions took away: every version of a key that is not its current value.
//!
//! A version is (time, revision that made it) and a point, or no point where the key was taken back. They lie
//! beside the tree, in runs sorted by (time, revision), so that a block is not rewritten for its past.

use super::codec::{Reader, Undecodable, Writer};
use super::tree::child::{Loader, read_frame_ref, write_frame_ref};
use crate::domain::point::Point;
use crate::domain::time::Time;
use crate::store::{FrameRef, StoreError};
use imbl::OrdMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Versions in one run. What a block was is asked of whole runs.
pub const RUN_VERSIONS_MAX: usize = 8_192;

/// Unpacked versions that are held for whoever asks next, of all series together: some 40 MB of them.
const VERSIONS_HELD_MAX: usize = 1 << 19;

/// A version's key.
pub type VersionKey = (Time, i64);

/// A key, and what it was from that revision on.
pub type Version = (VersionKey, Option<Point>);

/// A stored run of versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Lowest time in it.
    pub first_key: Time,
    /// Highest time in it.
    pub last_key: Time,
    /// Where it is stored.
    pub at: FrameRef,
}

/// A series' past.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Stored.
    pub runs: Vec<Run>,
    /// Not stored yet.
    pub recent: OrdMap<VersionKey, Option<Point>>,
    /// Stored runs were given up: what is stored next takes the place of all of them.
    pub anew: bool,
}

impl History {
    /// Whether nothing was ever replaced or taken back.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.recent.is_empty()
    }

    /// Versions with `first <= time <= last`, by (time, revision). Cost: unpacks the runs that overlap and are not held.
    pub fn versions(&self, first: Time, last: Time, loader: &Loader) -> Result<Vec<Version>, StoreError> {
        let mut found: Vec<Version> =
            self.recent.range((first, i64::MIN)..=(last, i64::MAX)).map(|(k, v)| (*k, *v)).collect();
        let stored = found.len();
        for run in self.runs.iter().filter(|run| run.first_key <= last && first <= run.last_key) {
            let versions = loader.runs().read(run, loader)?;
            let from = versions.partition_point(|((time, _), _)| *time < first);
            found.extend(versions[from..].iter().take_while(|((time, _), _)| *time <= last));
        }
        if found.len() > stored {
            found.sort_unstable_by_key(|(key, _)| *key);
            // While a fold's result is being taken over a version may stand in a run and among the recent ones.
            found.dedup_by_key(|(key, _)| *key);
        }
        Ok(found)
    }
}

/// Runs that were unpacked, the newest last. Blocks follow each other as runs do: without them each block that was
/// changed since would unpack its runs again.
#[derive(Default)]
pub struct HeldRuns {
    held: Mutex<VecDeque<(FrameRef, Arc<[Version]>)>>,
    reads: AtomicU64,
}

impl HeldRuns {
    /// How many runs were read so far.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// The versions of a run. Cost: one read and unpacking, where it is not held.
    fn read(&self, run: &Run, loader: &Loader) -> Result<Arc<[Version]>, StoreError> {
        let held = || self.held.lock().expect("no holder of the runs panics");
        if let Some((_, versions)) = held().iter().rev().find(|(at, _)| *at == run.at) {
            return Ok(versions.clone());
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        let versions: Arc<[Version]> = read_run(run, loader)?.into();
        let mut held = held();
        held.push_back((run.at, versions.clone()));
        let mut count: usize = held.iter().map(|(_, versions)| versions.len()).sum();
        // One that is too long for itself is kept until the next.
        while count > VERSIONS_HELD_MAX && held.len() > 1 {
            count -= held.pop_front().map_or(0, |(_, versions)| versions.len());
        }
        Ok(versions)
    }
}

/// The versions of a run. Cost: one read.
pub fn read_run(run: &Run, loader: &Loader) -> Result<Vec<Version>, StoreError> {
    let bytes = loader.store().read_frame(run.at)?;
    unpack_run(&bytes)
        .map_err(|e| e.in_file(format!("run {} of the fold that ends at {}", run.at.number, run.at.fold.0)))
}

/// Packs versions: a format byte (1), their number, then time and revision as differences, a flag, the value.
pub fn pack_run<'a>(versions: impl ExactSizeIterator<Item = (&'a VersionKey, &'a Option<Point>)>) -> Vec<u8> {
    let mut out = Writer::default();
    out.byte(1);
    out.unsigned(versions.len() as u64);
    let mut before = (0i64, 0i64);
    for ((time, revision), point) in versions {
        out.signed(time.0.wrapping_sub(before.0));
        out.signed(revision.wrapping_sub(before.1));
        before = (time.0, *revision);
        out.byte(u8::from(point.is_some()));
        if let Some(point) = point {
            out.point_value(point);
        }
    }
    out.0
}

/// As `pack_run`.
pub fn unpack_run(bytes: &[u8]) -> Result<Vec<Version>, Undecodable> {
    let mut reader = Reader(bytes);
    reader.format(1)?;
    let count = reader.count()?;
    let mut before = (0i64, 0i64);
    let mut versions = Vec::with_capacity(count);
    for _ in 0..count {
        before = (before.0.wrapping_add(reader.signed()?), before.1.wrapping_add(reader.signed()?));
        let time = Time(before.0);
        let point = if reader.byte()? == 0 { None } else { Some(reader.point_value(time)?) };
        versions.push(((time, before.1), point));
    }
    reader.end()?;
    Ok(versions)
}

impl Run {
    /// Two times and a reference.
    pub fn write(&self, out: &mut Writer) {
        out.time(self.first_key);
        out.time(self.last_key);
        write_frame_ref(out, self.at);
    }

    /// As `write`.
    pub fn read(reader: &mut Reader) -> Result<Run, Undecodable> {
        Ok(Run { first_key: reader.time()?, last_key: reader.time()?, at: read_frame_ref(reader)? })
    }
}
