//! What is wrong on purpose is found, and named.

use super::*;
use crate::clock::ManualClock;
use crate::domain::definition::Kind;
use crate::domain::point::Point;
use crate::engine::Settings;
use crate::engine::batch::{Batch, Change, Column, Columns, Mode, Origin, Retraction, SeriesWrite};
use crate::engine::codec::{Reader, Writer};
use crate::engine::fold::frames::{self, FrameKind};
use crate::engine::state::{Metric, Series};
use crate::engine::tree::Entry;
use crate::engine::tree::child::{read_entries, write_entries};
use crate::engine::tree::summary::write_summary;
use crate::store::memory::MemoryStore;
use crate::store::{Line, Store};

fn definition() -> Definition {
    Definition {
        label_names: vec!["channel".to_string()],
        ..Definition::new(MetricName::parse("team/counts").expect("a name"), Kind::Delta)
    }
}

async fn write(engine: &Engine, change: Change) {
    let component = definition().name.component();
    let request_id = match &change {
        Change::Create(_) => String::new(),
        change => format!("change-{:08x}", crc32fast::hash(format!("{change:?}").as_bytes())),
    };
    let (who, reason) = (String::new(), String::new());
    let batch = Batch { component, who, request_id, reason, validate_only: false, change };
    engine.write(batch).await.expect("written");
}

async fn points(engine: &Engine, times: impl Iterator<Item = i64>, value: i64) {
    let points: Columns = times.map(|t| Point::at(Time(t), value)).collect::<Vec<_>>().into();
    let labels: Labels = vec!["email".into()].into();
    let end_given = Column::of(0, points.len());
    let write_of = SeriesWrite { metric: definition().name, labels, points, end_given, origin: Origin::Entry(0) };
    write(engine, Change::Points { mode: Mode::Set, series: vec![write_of] }).await;
}

fn opened(store: &MemoryStore) -> Engine {
    let settings = Settings {
        block_points_max: 4,
        tail_points_min: 2,
        node_children_max: 3,
        page_points_max: 2,
        cache_bytes_max: 0,
        ..Settings::default()
    };
    let clock = Arc::new(ManualClock::at(Time(1_000)));
    Engine::open(Arc::new(store.clone()), clock, settings).expect("it opens")
}

/// The same, closed and opened again: its index has pages, and none is behind.
async fn made_and_closed() -> (MemoryStore, Engine) {
    let (store, engine) = made().await;
    engine.close().await.expect("closed");
    let store = store.reopen();
    let engine = opened(&store);
    (store, engine)
}

/// A store of one series of 60 points, some corrected and some taken back, folded twice: blocks, nodes, runs.
async fn made() -> (MemoryStore, Engine) {
    let store = MemoryStore::new();
    let engine = opened(&store);
    write(&engine, Change::Create(Box::new(definition()))).await;
    points(&engine, 0..60, 5).await;
    engine.fold().await.expect("folded");
    points(&engine, [7, 30, 31].into_iter(), 9).await;
    let times = Retraction::Times(vec![Time(40)]);
    write(&engine, Change::Retract { metric: definition().name, filters: Vec::new(), what: times }).await;
    engine.fold().await.expect("folded");
    (store, engine)
}

/// A wrong that is written over what is right, and what must be found then.
struct Case {
    name: &'static str,
    change: fn(&mut Vec<Entry>),
    found: &'static str,
}

const NODES: [Case; 5] = [
    Case { name: "a sum", change: |entries| entries[0].sum.as_mut().expect("points").sum += 1, found: "the sum is" },
    Case {
        name: "a highest prefix sum",
        change: |entries| entries[0].sum.as_mut().expect("points").high += 1,
        found: "the highest prefix sum is",
    },
    Case {
        name: "a number of periods",
        change: |entries| entries[0].sum.as_mut().expect("points").periods += 1,
        found: "the number of periods is",
    },
    Case {
        name: "a highest revision",
        change: |entries| entries[0].extent.highest_revision -= 1,
        found: "range of keys or revisions",
    },
    Case {
        name: "a child left out",
        change: |entries| _ = entries.pop(),
        found: "a node's range of keys or revisions is not that of its children",
    },
];

#[tokio::test]
async fn a_wrong_node_is_found_though_its_checksum_is_right() {
    for case in NODES {
        let (store, engine) = made_and_closed().await;
        assert_eq!(engine.verify().await.findings, [], "before {}", case.name);
        let mut nodes = Vec::new();
        store.scan_index(b"N", &mut |key, value| nodes.push((key.to_vec(), value))).expect("scanned");
        // The newest node is the root; the ones before it are its children.
        let (key, value) = &nodes[nodes.len() - 2];
        let mut entries = read_entries(&mut Reader(value)).expect("a node");
        (case.change)(&mut entries);
        let mut out = Writer::default();
        let places: Vec<_> = entries.iter().map(|e| e.child.place().expect("it was read").clone()).collect();
        write_entries(&mut out, &entries, &places);
        store.write_index(vec![(key.clone(), Some(out.0))]).expect("written");
        let findings = engine.verify().await.findings;
        let named = |finding: &Finding| {
            let touches = finding.touches.as_ref().is_some_and(|t| t.times.is_some() && t.labels.is_some());
            finding.what.contains(case.found) && touches
        };
        assert!(findings.iter().any(named), "{}: {findings:#?}", case.name);
        let index = |finding: &Finding| finding.file == "the index";
        let expected = case.name != "a child left out" || findings.iter().any(index);
        assert!(expected, "{}: the index differs from the folds: {findings:#?}", case.name);
    }
}

#[tokio::test]
async fn a_page_of_another_past_or_series_is_found() {
    let (store, engine) = made_and_closed().await;
    let mut page = None;
    store.scan_index(b"S", &mut |key, value| page = Some((key.to_vec(), value))).expect("scanned");
    let (key, _) = page.expect("a page");
    store.write_index(vec![(key, None)]).expect("written");
    let findings = engine.verify().await.findings;
    assert!(findings.iter().any(|f| f.what == "it is not in the index"), "{findings:#?}");
}

/// While pages are behind it is what is in memory that is held to the folds.
#[tokio::test]
async fn a_series_that_is_other_in_memory_than_in_the_folds_is_found() {
    type Wrong = fn(&mut Metric, &Labels);
    let cases: [(Wrong, &str); 3] = [
        (|metric, labels| _ = metric.series.remove(labels), "it is not in what is in memory"),
        (|metric, labels| with(metric, labels, |series| _ = series.aside_mut().history.runs.pop()), "its past is not"),
        (
            |metric, labels| {
                with(metric, labels, |series| series.root.as_mut().expect("points").extent.last_key.0 += 1)
            },
            "its root is not",
        ),
    ];
    for (wrong, what) in cases {
        let (_store, engine) = made().await;
        assert_eq!(engine.verify().await.findings, [], "before {what}");
        let mut state = State::clone(&engine.shared.state.load());
        let component = state.get_mut(&definition().name.component()).map(Arc::make_mut).expect("it is there");
        let metric = component.metrics.get_mut(&definition().name).map(Arc::make_mut).expect("it is there");
        wrong(metric, &vec!["email".into()].into());
        engine.shared.state.store(Arc::new(state));
        let findings = engine.verify().await.findings;
        let named = |f: &Finding| f.file == "what is in memory" && f.what.contains(what) && f.touches.is_some();
        assert!(findings.iter().any(named), "{what}: {findings:#?}");
    }
}

fn with(metric: &mut Metric, labels: &Labels, change: impl FnOnce(&mut Series)) {
    change(metric.series.get_mut(labels).map(Arc::make_mut).expect("it is there"));
}

#[tokio::test]
async fn a_missing_node_is_found_and_what_is_beside_it_is_looked_at() {
    let (store, engine) = made().await;
    let mut nodes = Vec::new();
    store.scan_index(b"N", &mut |key, _| nodes.push(key.to_vec())).expect("scanned");
    store.write_index(vec![(nodes[nodes.len() - 2].clone(), None)]).expect("written");
    let verified = engine.verify().await;
    assert!(verified.findings.iter().any(|f| f.what.contains("it is missing")), "{:#?}", verified.findings);
    assert!(verified.counts.points > 30, "{:?}", verified.counts);
}

#[tokio::test]
async fn a_line_that_says_other_than_its_frame_is_found() {
    let (store, engine) = made().await;
    let mut lines = Vec::new();
    store.read_lines(&mut |line, at| lines.push((line, at))).expect("read");
    let mut kinds = std::collections::BTreeSet::new();
    for (line, at) in &lines {
        let mut folded = folds::Folded::default();
        let mut watch = Collect(Vec::new());
        let verifying =
            Verifying { shared: &engine.shared, counts: Counts::default(), watch: &mut watch, told: HashSet::new() };
        folded.know(&verifying);
        let bytes = store.read_frame(*at).expect("read");
        let Some(wrong) = changed(line) else { continue };
        assert!(folded.frame(&Line { summary: wrong.into(), ..line.clone() }, &bytes).is_err(), "{line:?}");
        kinds.insert(line.kind);
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [1, 2, 5, 6, 7], "kinds whose lines were changed");
}

/// A line's summary with something else in it.
fn changed(line: &Line) -> Option<Vec<u8>> {
    let mut out = Writer::default();
    let mut reader = Reader(&line.summary);
    match FrameKind::of(line.kind).ok()? {
        FrameKind::Block => {
            let (series, extent, mut sum) = frames::read_block_line(&line.summary).ok()?;
            sum.as_mut()?.low -= 1;
            out.unsigned(reader.unsigned().ok()?);
            out.unsigned(series);
            write_summary(&mut out, &extent, sum.as_ref());
        }
        FrameKind::Run => {
            let (series, first, last, whole) = frames::read_run_line(&line.summary).ok()?;
            out.unsigned(reader.unsigned().ok()?);
            out.unsigned(series);
            out.time(first);
            out.time(last.next());
            out.byte(u8::from(whole));
        }
        FrameKind::Batches => {
            out.unsigned(reader.unsigned().ok()? + 1);
            out.unsigned(reader.unsigned().ok()?);
        }
        FrameKind::Changes => {
            let (metric, first, last) = frames::read_changes_line(&line.summary).ok()?;
            out.unsigned(metric.0);
            out.signed(first + 1);
            out.signed(last);
        }
        FrameKind::Ids => out.time(frames::read_ids_line(&line.summary).ok()?.next()),
        FrameKind::SeriesPage | FrameKind::Component => return None,
    }
    Some(out.0)
}
