//! Valid bytes of every format, from a service that was written to: frames and nodes from its store, records from its
//! log, a fold file and an index from a directory.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, OnceLock},
};

use milepost::store::Logged;
use milepost::{
    clock::ManualClock,
    disk::RealDisk,
    domain::time::Time,
    engine::{Engine, Settings, formats::Format},
    random::SeededRandom,
    store::{
        Anew, FrameRef, Position, Record, Store,
        embedded::{EmbeddedStore, StoreSettings},
        memory::MemoryStore,
    },
};

use crate::requests::{Service, VALID, runtime};

/// 2026-11-24.
pub const NOW: Time = Time(1_795_000_000_000_000_000);

/// Deep trees of few points.
pub fn small() -> Settings {
    Settings {
        block_points_max: 4,
        tail_points_min: 2,
        node_children_max: 3,
        page_points_max: 3,
        ..Settings::default()
    }
}

/// What is written twice: so that points are corrected, and folds hold a past.
fn written(store: Arc<dyn Store>, folds: bool) -> (Engine, Vec<Record>) {
    let clock = Arc::new(ManualClock::at(NOW));
    let engine = runtime().block_on(async { Engine::open(store.clone(), clock, small()) }).expect("it opens");
    let service = Service::over(engine.clone());
    let mut records = Vec::new();
    for round in 0..2 {
        for (method, request) in VALID.lines().filter_map(|line| line.split_once(' ')) {
            // The second time other values, under other ids.
            let request = if round == 0 {
                request.to_owned()
            } else {
                request.replace("\"1\"", "\"7\"").replace("id-", "again-")
            };
            let _ = runtime().block_on(service.call_json(method, &request));
        }
        let mut read = |_: Position, logged: Logged| match logged {
            Logged::Whole(record) => records.push(record),
            other => panic!("{other:?}"),
        };
        store.read_log(Position(0), &mut read).expect("the log is whole");
        if folds {
            runtime().block_on(engine.fold()).expect("it folds");
        }
    }
    (engine, records)
}

/// Blocks long enough that their values are packed as those of users are: of equal periods and others, of one batch and of
/// several, one of them corrected.
fn long_blocks() -> Vec<Vec<u8>> {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(ManualClock::at(NOW));
    let settings = Settings { block_points_max: 400, ..Settings::default() };
    let engine = runtime().block_on(async { Engine::open(store.clone(), clock, settings) }).expect("it opens");
    let service = Service::over(engine.clone());
    let call = |method: &str, request: String| {
        runtime().block_on(service.call_json(method, &request)).expect("it is taken");
    };
    for (name, period) in [("pay/hourly", r#","period":"PT1H""#), ("pay/any", "")] {
        let metric = format!(r#"{{"metric":{{"name":"{name}","kind":"DELTA"{period}}}}}"#);
        call("CatalogService/CreateMetric", metric);
        for (first, count) in [(0, 700), (700, 30), (730, 200), (99, 1)] {
            let units: Vec<i64> = (first..first + count).map(|i| i * i % 977 - i % 7).collect();
            let begin = 1_767_744_000_000_000_000 + first * 3_600_000_000_000;
            let times = format!(r#""regular":{{"firstUnixNanos":"{begin}","intervalNanos":"3600000000000"}}"#);
            let columns = format!(r#""columns":{{{times},"units":{units:?}}}"#);
            call("IngestService/WritePoints", format!(r#"{{"series":[{{"metric":"{name}",{columns}}}]}}"#));
        }
    }
    runtime().block_on(engine.fold()).expect("it folds");
    let mut blocks = Vec::new();
    store
        .read_lines(&mut |line, at| {
            if Format::ALL[usize::from(line.kind) - 1] == Format::Block {
                blocks.push(at);
            }
        })
        .expect("the folds are whole");
    blocks.into_iter().map(|at| store.read_frame(at).expect("it is whole").to_vec()).collect()
}

struct Samples {
    frames: HashMap<&'static str, Vec<Vec<u8>>>,
    records: Vec<Record>,
    fold_files: Vec<Vec<u8>>,
    marker: Vec<u8>,
}

fn name(format: Format) -> &'static str {
    match format {
        Format::Block => "block",
        Format::Run => "run",
        Format::SeriesPage => "series page",
        Format::Component => "component",
        Format::Batches => "batches",
        Format::Changes => "changes",
        Format::Ids => "ids",
        Format::Effect => "effect",
        Format::Node => "node",
        Format::IndexPage => "index page",
    }
}

fn samples() -> &'static Samples {
    static SAMPLES: OnceLock<Samples> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let store = Arc::new(MemoryStore::new());
        let (engine, records) = written(store.clone(), true);
        let mut frames: HashMap<&'static str, Vec<Vec<u8>>> = HashMap::new();
        let mut lines = Vec::new();
        store.read_lines(&mut |line, at| lines.push((line, at))).expect("the folds are whole");
        for (line, at) in lines {
            let format = Format::ALL[usize::from(line.kind) - 1];
            let frame = store.read_frame(at).expect("it is whole");
            frames.entry(name(format)).or_default().push(frame.to_vec());
        }
        frames.entry(name(Format::Block)).or_default().extend(long_blocks());
        // Pages are written at closing.
        runtime().block_on(engine.close()).expect("it closes");
        for (prefix, format) in [(&b"N"[..], Format::Node), (b"S", Format::IndexPage)] {
            let mut take = |_: &[u8], value: bytes::Bytes| frames.entry(name(format)).or_default().push(value.to_vec());
            store.scan_index(prefix, &mut take).expect("the index is whole");
        }
        let effects = records.iter().map(|record| {
            let length = (record.series.len() as u32).to_le_bytes();
            [&length[..], &record.series, &record.body].concat()
        });
        frames.insert(name(Format::Effect), effects.collect());
        let (fold_files, marker) = directory();
        Samples { frames, records, fold_files, marker }
    })
}

/// A directory's fold file, the same with every third frame left out, and the marker of its index.
fn directory() -> (Vec<Vec<u8>>, Vec<u8>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let settings = StoreSettings { segment_bytes: 64 << 10, index_cache_bytes_max: 1 << 20, ..Default::default() };
    let store = EmbeddedStore::open(dir.path(), Arc::new(RealDisk), Arc::new(SeededRandom::new(1)), settings);
    let store = Arc::new(store.expect("it opens"));
    let (engine, _) = written(store.clone(), true);
    runtime().block_on(engine.close()).expect("it closes");
    let first = |dir: &Path| {
        let mut files: Vec<_> =
            std::fs::read_dir(dir).expect("a folder").map(|file| file.expect("a file").path()).collect();
        files.sort();
        files.into_iter().find(|file| file.is_file()).expect("it has a file")
    };
    let read = |path: &Path| std::fs::read(path).expect("it can be read");
    let fold_file = || read(&first(&dir.path().join("folds")));
    let whole = fold_file();
    let mut fold = Position(0);
    store.read_lines(&mut |_, at| fold = fold.max(at.fold)).expect("the folds are whole");
    let third = |at: FrameRef| if at.number % 3 == 1 { Anew::Gone } else { Anew::Stays };
    assert!(store.write_anew(fold, &mut |_, at| Ok(third(at))).expect("it is written anew"), "there is one fold");
    (vec![whole, fold_file()], read(&dir.path().join("index/CLEAN")))
}

/// Frames, nodes or bodies of a format.
pub fn frames(format: Format) -> &'static [Vec<u8>] {
    samples().frames.get(name(format)).map(Vec::as_slice).unwrap_or_else(|| panic!("no sample of {format:?}"))
}

/// Records of a log.
pub fn records() -> &'static [Record] {
    &samples().records
}

/// Fold files.
pub fn fold_files() -> &'static [Vec<u8>] {
    &samples().fold_files
}

/// What says that an index was closed.
pub fn marker() -> &'static [u8] {
    &samples().marker
}

#[test]
fn there_are_samples_of_every_format() {
    for format in Format::ALL {
        assert!(!frames(format).is_empty(), "{format:?}");
    }
    let long = frames(Format::Block).iter().filter(|block| block.len() > 300).count();
    assert!(long >= 4, "blocks as users have them: {long}");
    assert!(records().len() > 20, "{}", records().len());
    assert!(fold_files().iter().all(|file| file.len() > 1_000) && marker().len() > 40);
}
