//! Everything in memory: the store of the engine's own tests, and the model the embedded store is held to.

use super::{
    Anew, Checked, Commit, Committed, EachAnew, FoldWriter, FrameRef, Gap, IndexEntry, IndexState, Line, Logged,
    Position, Record, Store, StoreError,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Keeps nothing beyond the process. Clones share what is kept, so that a test can drop an engine and open
/// another over the same store with [`MemoryStore::reopen`].
#[derive(Clone, Default)]
pub struct MemoryStore {
    kept: Arc<Mutex<Kept>>,
    opened_as: Option<Position>,
}

#[derive(Default)]
struct Kept {
    last: u64,
    log: BTreeMap<u64, Record>,
    folds: Vec<Fold>,
    index: BTreeMap<Vec<u8>, Bytes>,
    closed_at: Option<Position>,
}

struct Fold {
    through: Position,
    frames: Vec<(Line, FrameRef, Bytes)>,
}

impl Kept {
    fn reach(&self) -> Position {
        self.folds.last().map_or(Position(0), |fold| fold.through)
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// Opens what was kept again, as after a restart: the index is there only if the store was closed.
    pub fn reopen(&self) -> MemoryStore {
        let opened_as = {
            let mut kept = self.kept();
            let closed_at = kept.closed_at.take();
            if closed_at.is_none() {
                kept.index.clear();
            }
            closed_at
        };
        MemoryStore { kept: self.kept.clone(), opened_as }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics while it holds the lock")
    }
}

impl Store for MemoryStore {
    fn commit(&self, group: &[Commit]) -> Result<Vec<Committed>, StoreError> {
        let mut kept = self.kept();
        let mut done = Vec::with_capacity(group.len());
        for commit in group {
            let mut positions = Vec::with_capacity(commit.records.len());
            for record in &commit.records {
                kept.last += 1;
                let position = kept.last;
                kept.log.insert(position, record.clone());
                positions.push(Position(position));
            }
            done.push(Committed::Done(positions));
        }
        Ok(done)
    }

    fn read_log(&self, after: Position, each: &mut dyn FnMut(Position, Logged)) -> Result<(), StoreError> {
        let records: Vec<_> =
            self.kept().log.range(after.0.saturating_add(1)..).map(|(&p, r)| (p, r.clone())).collect();
        records.into_iter().for_each(|(position, record)| each(Position(position), Logged::Whole(record)));
        Ok(())
    }

    fn gaps(&self) -> Vec<Gap> {
        Vec::new()
    }

    fn trim(&self, through: Position) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let through = through.min(kept.reach());
        kept.log = kept.log.split_off(&(through.0 + 1));
        Ok(())
    }

    fn log_bytes(&self) -> u64 {
        self.kept().log.values().map(|r| (r.series.len() + r.body.len()) as u64 + 128).sum()
    }

    fn begin_fold(&self, through: Position) -> Result<Box<dyn FoldWriter>, StoreError> {
        assert!(through > self.kept().reach(), "a fold covers positions that no fold covers yet");
        Ok(Box::new(MemoryFold { store: self.clone(), fold: Fold { through, frames: Vec::new() } }))
    }

    fn read_frame(&self, at: FrameRef) -> Result<Bytes, StoreError> {
        let kept = self.kept();
        let fold = kept.folds.iter().find(|fold| fold.through == at.fold);
        let frame = fold.and_then(|fold| fold.frames.iter().find(|(_, kept, _)| *kept == at));
        frame.map(|(_, _, bytes)| bytes.clone()).ok_or_else(|| StoreError::Damaged {
            file: format!("fold through {}", at.fold.0),
            offset: 0,
            what: format!("there is no frame {} with checksum {:08x}", at.number, at.crc),
            touched: None,
        })
    }

    fn read_lines(&self, each: &mut dyn FnMut(Line, FrameRef)) -> Result<Position, StoreError> {
        let (lines, reach) = {
            let kept = self.kept();
            let frames = kept.folds.iter().flat_map(|fold| &fold.frames);
            (frames.map(|(line, at, _)| (line.clone(), *at)).collect::<Vec<_>>(), kept.reach())
        };
        lines.into_iter().for_each(|(line, at)| each(line, at));
        Ok(reach)
    }

    fn fold_bytes(&self) -> u64 {
        let kept = self.kept();
        kept.folds.iter().flat_map(|fold| &fold.frames).map(|(_, _, bytes)| bytes.len() as u64).sum()
    }

    fn frame_bytes(&self, _: &Line, at: FrameRef) -> u64 {
        self.frame_length(at)
    }

    fn frame_length(&self, at: FrameRef) -> u64 {
        self.read_frame(at).map_or(0, |frame| frame.len() as u64)
    }

    fn write_anew(&self, fold: Position, each: &mut EachAnew) -> Result<bool, StoreError> {
        let of = |fold: Position| move |one: &&mut Fold| one.through == fold;
        let before = self.kept().folds.iter_mut().find(of(fold)).map(|fold| fold.frames.clone());
        let Some(before) = before else { return Ok(false) };
        let mut frames = Vec::new();
        for (line, at, frame) in before {
            match each(&line, at)? {
                Anew::Stays => frames.push((line, at, frame)),
                Anew::Instead(line, frame) => {
                    frames.push((line, FrameRef { crc: crc32fast::hash(&frame), ..at }, frame));
                }
                Anew::Gone => {}
                Anew::Stop => return Ok(false),
            }
        }
        let mut kept = self.kept();
        kept.folds.iter_mut().find(of(fold)).expect("folds stay").frames = frames;
        Ok(true)
    }

    fn locate(&self, at: FrameRef) -> (String, u64) {
        (format!("fold through {}, frame {}", at.fold.0, at.number), 0)
    }

    fn verify(&self, _: &mut Checked) {
        // Memory has no bytes that could be other than they were.
    }

    fn index_state(&self) -> IndexState {
        self.opened_as.map_or(IndexState::Rebuild, IndexState::Trusted)
    }

    fn read_index(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.kept().index.get(key).cloned())
    }

    fn scan_index(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], Bytes)) -> Result<(), StoreError> {
        let entries: Vec<_> = {
            let kept = self.kept();
            let from = kept.index.range(prefix.to_vec()..);
            from.take_while(|(key, _)| key.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        entries.into_iter().for_each(|(key, value)| each(&key, value));
        Ok(())
    }

    fn write_index(&self, entries: Vec<IndexEntry>) -> Result<(), StoreError> {
        let mut kept = self.kept();
        for (key, value) in entries {
            match value {
                Some(value) => kept.index.insert(key, value.into()),
                None => kept.index.remove(&key),
            };
        }
        Ok(())
    }

    fn index_bytes(&self) -> u64 {
        self.kept().index.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }

    fn write_index_anew(&self, keep: &mut dyn FnMut(&[u8]) -> Option<bool>) -> Result<bool, StoreError> {
        let keys: Vec<_> = self.kept().index.keys().cloned().collect();
        let Some(kept) = keys.iter().map(|key| keep(key)).collect::<Option<Vec<bool>>>() else { return Ok(false) };
        let gone = keys.iter().zip(kept).filter(|(_, kept)| !kept);
        gone.for_each(|(key, _)| drop(self.kept().index.remove(key)));
        Ok(true)
    }

    fn reset_index(&self) -> Result<(), StoreError> {
        self.kept().index.clear();
        Ok(())
    }

    fn close(&self, through: Position) -> Result<(), StoreError> {
        self.kept().closed_at = Some(through);
        Ok(())
    }
}

struct MemoryFold {
    store: MemoryStore,
    fold: Fold,
}

impl FoldWriter for MemoryFold {
    fn put(&mut self, line: Line, frame: &[u8]) -> Result<FrameRef, StoreError> {
        let number = u32::try_from(self.fold.frames.len()).expect("a fold holds fewer than 2^32 frames");
        let at = FrameRef { fold: self.fold.through, number, crc: crc32fast::hash(frame) };
        self.fold.frames.push((line, at, Bytes::copy_from_slice(frame)));
        Ok(at)
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let mut kept = self.store.kept();
        assert!(self.fold.through > kept.reach(), "one fold is written at a time");
        kept.folds.push(self.fold);
        Ok(())
    }
}
