//! An index that cannot be written: what was acknowledged is read on.

use super::*;
use bytes::Bytes;
use milepost::store::{
    Checked, Commit, Committed, EachAnew, FoldWriter, FrameRef, Gap, IndexEntry, IndexState, Line, Logged, Position,
    StoreError,
};

/// A store whose index takes nothing.
struct NoIndex(MemoryStore);

impl Store for NoIndex {
    fn commit(&self, group: &[Commit]) -> Result<Vec<Committed>, StoreError> {
        self.0.commit(group)
    }

    fn read_log(&self, after: Position, each: &mut dyn FnMut(Position, Logged)) -> Result<(), StoreError> {
        self.0.read_log(after, each)
    }

    fn gaps(&self) -> Vec<Gap> {
        self.0.gaps()
    }

    fn trim(&self, through: Position) -> Result<(), StoreError> {
        self.0.trim(through)
    }

    fn log_bytes(&self) -> u64 {
        self.0.log_bytes()
    }

    fn begin_fold(&self, through: Position) -> Result<Box<dyn FoldWriter>, StoreError> {
        self.0.begin_fold(through)
    }

    fn read_frame(&self, at: FrameRef) -> Result<Bytes, StoreError> {
        self.0.read_frame(at)
    }

    fn read_lines(&self, each: &mut dyn FnMut(Line, FrameRef)) -> Result<Position, StoreError> {
        self.0.read_lines(each)
    }

    fn locate(&self, at: FrameRef) -> (String, u64) {
        self.0.locate(at)
    }

    fn verify(&self, each: &mut Checked) {
        self.0.verify(each);
    }

    fn fold_bytes(&self) -> u64 {
        self.0.fold_bytes()
    }

    fn frame_length(&self, at: FrameRef) -> u64 {
        self.0.frame_length(at)
    }

    fn frame_bytes(&self, line: &Line, at: FrameRef) -> u64 {
        self.0.frame_bytes(line, at)
    }

    fn write_anew(&self, fold: Position, each: &mut EachAnew) -> Result<bool, StoreError> {
        self.0.write_anew(fold, each)
    }

    fn index_state(&self) -> IndexState {
        self.0.index_state()
    }

    fn read_index(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.read_index(key)
    }

    fn scan_index(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], Bytes)) -> Result<(), StoreError> {
        self.0.scan_index(prefix, each)
    }

    fn write_index(&self, entries: Vec<IndexEntry>) -> Result<(), StoreError> {
        match entries.is_empty() {
            true => Ok(()),
            false => Err(StoreError::Io { operation: "write", file: "the index".into(), cause: "it fails".into() }),
        }
    }

    fn index_bytes(&self) -> u64 {
        self.0.index_bytes()
    }

    fn write_index_anew(&self, keep: &mut dyn FnMut(&[u8]) -> Option<bool>) -> Result<bool, StoreError> {
        self.0.write_index_anew(keep)
    }

    fn reset_index(&self) -> Result<(), StoreError> {
        self.0.reset_index()
    }

    fn close(&self, through: Position) -> Result<(), StoreError> {
        self.0.close(through)
    }
}

/// A fold used to count nodes as stored, and let go of them, before they were in the index: whoever read one
/// meanwhile, or after the index could not be written, was told of damage.
#[tokio::test]
async fn a_node_is_let_go_of_only_once_it_is_in_the_index() {
    let store = Arc::new(NoIndex(MemoryStore::new()));
    // Hardly a cache: what is stored is let go of at once.
    let settings = Settings { cache_bytes_max: 1, ..small() };
    let clock = Arc::new(ManualClock::at(Time(1_000 * HOUR)));
    let engine = Engine::open(store, clock, settings).expect("it opens");
    engine.write(batch(Change::Create(Box::new(definition(Kind::Delta))))).await.expect("made");
    let points: Vec<Point> = (0..100).map(|t| Point::of_period(Time(t * HOUR), Time((t + 1) * HOUR), t)).collect();
    engine.write(batch(set(points.clone()))).await.expect("set");
    assert!(matches!(engine.fold().await, Err(StoreError::Io { .. })));
    let view = engine.view(&name().component(), AsOf::Now).await.expect("a view");
    let series = view.metric(&name()).expect("known").expect("the metric").series(&[]).expect("its series");
    assert_eq!(series[0].points(Interval::ALL, usize::MAX).expect("no damage"), points);
}

/// Where writing has ended nothing is swept, and whoever waited for a sweep waited for ever.
#[tokio::test]
async fn a_sweep_is_refused_where_writing_has_ended() {
    let clock = Arc::new(ManualClock::at(Time(1_000 * HOUR)));
    let engine = Engine::open(Arc::new(NoIndex(MemoryStore::new())), clock, small()).expect("it opens");
    engine.write(batch(Change::Create(Box::new(definition(Kind::Delta))))).await.expect("made");
    let points = (0..100).map(|t| Point::of_period(Time(t * HOUR), Time((t + 1) * HOUR), t)).collect();
    engine.write(batch(set(points))).await.expect("set");
    engine.fold().await.expect_err("the index cannot be written");
    assert!(engine.poisoned().is_some());
    let swept = tokio::time::timeout(std::time::Duration::from_secs(60), engine.sweep()).await;
    assert!(matches!(swept.expect("it is answered"), Err(StoreError::Poisoned { .. })));
}
